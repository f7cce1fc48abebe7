"""What a campaign did: every arm against its control group, in any outcome, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._kernels.multiple_testing import CORRECTIONS, HOLM, NO_CORRECTION, adjust_p_values
from crmlytics._validation import check_choice, check_fraction
from crmlytics.campaigns._experiment import CAMPAIGN, CONTROL
from crmlytics.campaigns._rows import NUMBER, TEXT, WHOLE, table_of
from crmlytics.campaigns.measuring._effect_rows import (
    Comparison,
    Finding,
    Metric,
    comparisons_of,
    findings_of,
    read_arms,
    read_metrics,
    read_names,
)
from crmlytics.campaigns.measuring._no_trial import remarked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crmlytics.campaigns._experiment import Experiment

FIGURES = {
    "metric": TEXT, "treated_count": WHOLE, "control_count": WHOLE, "treated_mean": NUMBER, "control_mean": NUMBER,
    "difference": NUMBER, "difference_low": NUMBER, "difference_high": NUMBER,
    "ratio": NUMBER, "ratio_low": NUMBER, "ratio_high": NUMBER,
    "p_value": NUMBER, "adjusted_p_value": NUMBER, "is_significant": nw.Boolean(),
    "incremental_total": NUMBER, "incremental_total_low": NUMBER, "incremental_total_high": NUMBER,
    "unadjusted_difference": NUMBER, "variance_reduction_share": NUMBER, "method": TEXT, "remark": TEXT,
}  # fmt: skip


def effect_table(
    outcomes: Any,
    *,
    metrics: str | Sequence[str] | None = None,
    by: str | Sequence[str] | None = None,
    covariates: str | Sequence[str] | None = "pre",
    correction: str = HOLM,
    confidence: float = 0.95,
    control: Any = CONTROL,
) -> Any:
    """Say what each arm of a campaign did, compared with the control group.

    Parameters
    ----------
    outcomes : dataframe, one row per customer (and campaign)
        What :func:`outcome_table` returns, or any table with ``customer_id``, ``arm``, columns of outcomes, and
        ``campaign_id`` if there are several campaigns. All customers who were dealt to an arm, whether the contact
        reached them or not.
    metrics : column names, optional
        The outcomes to compare: numbers or flags. By default those of :func:`outcome_table` that are there.
    by : column names, optional
        Segments to compare within, known before the contact.
    covariates : "pre", None or column names, default "pre"
        What makes the comparison sharper: the same figure of before the contact (of ``revenue_amount`` the column
        ``pre_revenue_amount``, where it is there), nothing, or these columns of numbers, for every metric.
    correction : {"holm", "benjamini_hochberg", "none"}, default "holm"
        How p-values are raised since several are looked at. A family is all comparisons of one campaign in one metric:
        its arms and segments.
    confidence : float, default 0.95
        Of intervals, which are not corrected; ``1 - confidence`` is the bound of significance.
    control : str or number, default "control"
        How the arm of the control group is called.

    Returns
    -------
    dataframe of the kind that came in, one row per campaign, segment, arm and metric, in this order
        ``campaign_id`` (if there is one), the columns of ``by`` (String), ``arm`` (String), ``metric`` (String, in the
        order asked for); ``treated_count``, ``control_count`` (Int64, customers); ``treated_mean``, ``control_mean``
        (Float64, of flags shares; adjusted: as they would be had both arms the same covariates); ``difference``
        (Float64, treated less control) with ``difference_low`` and ``difference_high``; ``ratio`` (Float64, treated by
        control) with ``ratio_low`` and ``ratio_high``; ``p_value`` (Float64, two-sided, of no difference),
        ``adjusted_p_value``, ``is_significant`` (Boolean, false where there is no test); ``incremental_total``
        (Float64, ``difference`` x ``treated_count``: conversions, orders or money that would not have been) with
        ``incremental_total_low`` and ``incremental_total_high``; ``unadjusted_difference`` (Float64),
        ``variance_reduction_share`` (Float64, by covariates: .4 is worth 1 / .6 times the customers; null without),
        ``method`` (String), ``remark`` (String, why a figure is missing, or that the groups are
        not comparable; null where all is well).

    Raises
    ------
    SchemaError
        Without a control group or with nobody else in a campaign; when a customer has several rows, a value is missing,
        or segments or covariates are known only after the contact.
    MissingColumnsError
        When a column is missing.

    Warns
    -----
    DataQualityWarning
        When control is ``"not contacted"``, the arm of :func:`comparison_contacts`: that is no control group.

    Notes
    -----
    **Flags** are compared as shares: Newcombe's interval of the difference (1998, method 10), Koopman's of the ratio
    (1984), and the score test, or Fisher's where fewer than 5 are expected in a cell. With covariates (with ``"pre"``
    only where at least 20 in both arms have the outcome, and 20 do not) they are compared as means.

    **Means** have Welch's interval, corrected for skewness (Hall 1992; Zhou & Dinh 2005), and Fieller's of the ratio.
    With arms of equal size that is Welch's t-test. Revenue per customer is mostly zeros with a long tail; where the
    control group is small, Welch's interval alone misses the true effect on one side: with 5 % buyers, log-normal
    amounts (sigma 1) and 2,000 customers against 200, that is 10 buyers in control, it holds it in 87 % instead of
    95 % of the campaigns, the corrected one in 97 %; with 9,000 against 1,000, 93 % and 96 %. The skewness is taken to
    be the same in all arms: effects are small beside the spread of customers.

    **Covariates** are taken off as CUPED does (Deng et al. 2013), with weights common to both arms: those with which
    the variance of the difference is least, which is what the regression with interactions (Lin 2013) comes to in
    large samples. Whatever the shares of the arms, it loses no more than a degree of freedom in either.

    The correction looks at one metric at a time: decide before the campaign which one it is for. Who picks the best of
    five metrics afterwards finds something by chance in up to a quarter of the campaigns that did nothing.

    When not to use: if arms were not dealt at random (see :func:`balance_table`), the difference is not what the
    campaign did. Where segments were dealt with different shares, each is a trial of its own: compare ``by`` them.

    Examples
    --------
    >>> import pandas as pd
    >>> arms = ["mail"] * 500 + ["control"] * 500
    >>> bought = [True] * 60 + [False] * 440 + [True] * 40 + [False] * 460
    >>> outcomes = pd.DataFrame({"customer_id": range(1000), "arm": arms, "converted": bought})
    >>> table = effect_table(outcomes)
    >>> print(table[["difference", "difference_low", "difference_high", "ratio", "p_value"]].round(4).to_string())
       difference  difference_low  difference_high  ratio  p_value
    0        0.04          0.0027           0.0776    1.5    0.035
    """
    caller = "effect_table"
    reading = read_reading(correction, confidence, caller=caller)
    segments = read_names(by, name="by", caller=caller)
    experiment = read_arms(outcomes, control=control, needs=segments, caller=caller)
    wanted = read_metrics(experiment, metrics, covariates, caller=caller)
    rows = effect_rows(experiment, wanted, segments, reading, caller=caller)
    return effects_as_table(experiment, segments, remarked(rows, control))


# -- for measure_campaign too --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reading:
    """How differences are read: what corrects p-values, and the confidence of intervals."""

    correction: str
    confidence: float

    @property
    def is_corrected(self) -> bool:
        """Whether p-values are raised since several are looked at."""
        return self.correction != NO_CORRECTION

    @property
    def alpha(self) -> float:
        """The bound of significance."""
        return 1 - self.confidence


def read_reading(correction: Any, confidence: Any, *, caller: str) -> Reading:
    """Check how differences are to be read."""
    check_choice(correction, CORRECTIONS, name="correction", caller=caller)
    return Reading(correction, check_fraction(confidence, name="confidence", caller=caller))


def effect_rows(
    experiment: Experiment, metrics: Sequence[Metric], segments: Sequence[str], reading: Reading, *, caller: str
) -> list[dict[str, Any]]:
    """Return the rows of :func:`effect_table`."""
    comparisons = comparisons_of(experiment, segments, caller=caller)
    found = [(metric.name, findings_of(metric, comparisons, reading.confidence)) for metric in metrics]
    rows = [_row(one, name, findings[place]) for place, one in enumerate(comparisons) for name, findings in found]
    _correct(rows, reading)
    return rows


def effects_as_table(experiment: Experiment, segments: Sequence[str], rows: list[dict[str, Any]]) -> Any:
    """Return rows as a table of the kind that came in."""
    ids = {name: experiment.table[name].tolist() for name in experiment.key if name == CAMPAIGN}
    kinds = {**dict.fromkeys([*ids, *segments, "arm"], TEXT), **FIGURES}
    return table_of(experiment.engine, rows, kinds, **ids)


# -- inside --------------------------------------------------------------------------------------------------------


def _row(comparison: Comparison, metric: str, finding: Finding) -> dict[str, Any]:
    treated = len(comparison.treated)
    effect = finding.effect._asdict()
    totals = {
        name.replace("difference", "incremental_total"): value * treated
        for name, value in effect.items()
        if name.startswith("difference")
    }
    counts = {"metric": metric, "treated_count": treated, "control_count": len(comparison.control)}
    words = {"method": finding.method, "remark": finding.remark}
    return {**comparison.labels, **counts, **effect, **totals, **words}


def _correct(rows: list[dict[str, Any]], reading: Reading) -> None:
    """Add adjusted p-values, by campaign and metric."""
    families: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        families.setdefault((row.get(CAMPAIGN), row["metric"]), []).append(row)
    for family in families.values():
        p_values = adjust_p_values(np.array([row["p_value"] for row in family]), reading.correction)
        for row, value in zip(family, p_values.tolist(), strict=True):
            row["adjusted_p_value"], row["is_significant"] = value, value <= reading.alpha
