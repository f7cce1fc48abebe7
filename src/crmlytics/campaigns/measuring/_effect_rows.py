"""Which customers are compared with which, and what each comparison of a metric says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crmlytics._frames import columns_of, enter
from crmlytics._validation import did_you_mean
from crmlytics.campaigns._experiment import (
    CAMPAIGN,
    CUSTOMER,
    Experiment,
    NoControlError,
    check_columns,
    read_experiment,
)
from crmlytics.campaigns.measuring._no_trial import tell_if_no_trial
from crmlytics.campaigns.uplift._trial import AFTER_CONTACT
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics._kernels.treatment_effects import Effect

    Vector = NDArray[np.float64]

PRE, AMOUNT = "pre_", "_amount"
METRICS = ("converted", "order_count", "event_count", "revenue_amount", "margin_amount")
LEAST_ADJUSTED = 20  # with the outcome and without it in either arm: fewer shares are not adjusted
SHOWN = 5
NO_CONTROL = (
    "Without a control group see matched_effect_table(...) and difference_in_differences_table(...), and what these "
    "cannot show."
)
SHARE_METHOD = "Newcombe; ratio: Koopman; test: {}"
MEAN_METHOD = "Welch, corrected for skewness; ratio: Fieller"


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Customers of an arm and of control in one segment of one campaign.

    Attributes
    ----------
    labels : dict of str to value
        ``campaign_id`` if there is one, the segment columns, ``arm``.
    treated, control : int64 arrays
        Their rows in the table.
    """

    labels: dict[str, Any]
    treated: NDArray[np.int64]
    control: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """What is compared, and the columns of before the contact that make the comparison sharper.

    Attributes
    ----------
    columns : float64 array, shape (n, 1 + covariates)
        The outcome first.
    is_share : bool
        The outcome is 0 or 1 throughout.
    always_adjusted : bool
        The covariates were asked for, so they are used however few have the outcome.
    """

    name: str
    covariates: tuple[str, ...]
    columns: Vector
    is_share: bool
    always_adjusted: bool


# -- reading -------------------------------------------------------------------------------------------------------


def read_arms(outcomes: Any, *, control: Any, needs: Sequence[str] = (), caller: str) -> Experiment:
    """Read an outcome table: one row per customer, of one campaign or of several."""
    columns = columns_of(enter(outcomes, caller=caller)[0])
    key = (CAMPAIGN, CUSTOMER) if CAMPAIGN in columns else (CUSTOMER,)
    try:
        experiment = read_experiment(outcomes, key=key, control=control, needs=needs, caller=caller)
    except NoControlError as error:  # said here, since uplift models need a control group too and have no other way
        raise NoControlError(f"{error} {NO_CONTROL}") from None
    if CAMPAIGN in experiment.key:
        _check_campaigns(experiment, caller=caller)
    tell_if_no_trial(control, caller=caller)
    return experiment


def read_names(names: str | Sequence[str] | None, *, name: str, caller: str) -> list[str]:
    """Read one column name or several, each once."""
    found = [names] if isinstance(names, str) else list(names or ())
    if len(set(found)) < len(found) or not all(isinstance(one, str) for one in found):
        raise SchemaError(f"{caller}: {name} must be a column name or a list of different ones, got {names!r}.")
    return found


def check_known_before(experiment: Experiment, names: Sequence[str], *, name: str, caller: str) -> None:
    """Refuse columns that are known only after the contact: the contact itself may have changed them."""
    check_columns(experiment.table.columns, names, caller=caller)
    late = [one for one in names if one in {*AFTER_CONTACT, *experiment.key, "arm"}]
    if late:
        msg = (
            f"{caller}: {name}={late} are keys, or known only after the contact. Take what was known before it, such "
            f"as attributes of customers or columns that begin with {PRE!r}."
        )
        raise SchemaError(msg)


def read_metrics(
    experiment: Experiment, metrics: str | Sequence[str] | None, covariates: Any, *, caller: str
) -> list[Metric]:
    """Read the outcomes to compare, each with its covariates."""
    names = read_names(metrics, name="metrics", caller=caller)
    columns = [str(name) for name in experiment.table.columns]
    names = names or [name for name in METRICS if name in columns]
    if not names:
        msg = (
            f"{caller}: none of the usual outcomes {list(METRICS)} is there. Name yours: metrics=['<your column>']. "
            f"Columns: {columns}"
        )
        raise MissingColumnsError(msg)
    return [read_metric(experiment, name, covariates, caller=caller) for name in names]


def read_metric(experiment: Experiment, name: str, covariates: Any, *, caller: str) -> Metric:
    """Read one outcome with its covariates."""
    outcome = experiment.numbers(name, caller=caller)
    used = _covariates_of(experiment, name, covariates, caller=caller)
    columns = [outcome, *(experiment.numbers(one, caller=caller) for one in used)]
    is_share = not name.endswith(AMOUNT) and bool(((outcome == 0) | (outcome == 1)).all())
    return Metric(name, used, np.column_stack(columns), is_share, covariates != "pre")


def _covariates_of(experiment: Experiment, metric: str, covariates: Any, *, caller: str) -> tuple[str, ...]:
    if covariates is None:
        return ()
    if isinstance(covariates, str):
        if covariates == "pre":
            return (PRE + metric,) if PRE + metric in experiment.table.columns else ()
        hint = did_you_mean(covariates, ["pre"])
        msg = (
            f'{caller}: covariates must be "pre" (the same figure before the contact), None, or a list of columns such '
            f"as [{covariates!r}], got {covariates!r}.{hint}"
        )
        raise SchemaError(msg)
    names = read_names(covariates, name="covariates", caller=caller)
    check_known_before(experiment, names, name="covariates", caller=caller)
    return tuple(names)


def _check_campaigns(experiment: Experiment, *, caller: str) -> None:
    """Refuse campaigns without a control group, and those with nothing else."""
    campaigns = experiment.table[CAMPAIGN]
    lowest = pd.Series(experiment.arm).groupby(campaigns.to_numpy()).agg(["min", "max"])
    for lacking, words, error, way_out in (
        (lowest["min"] > 0, "no control group", NoControlError, f" {NO_CONTROL}"),
        (lowest["max"] == 0, "nobody but control", SchemaError, ""),
    ):
        if lacking.any():
            names = lowest.index[lacking].tolist()
            msg = (
                f"{caller}: {len(names)} of {len(lowest)} campaigns have {words}: {names[:SHOWN]}. Expected the "
                f"control group and another arm in each. Leave these campaigns out.{way_out}"
            )
            raise error(msg)


# -- who is compared -----------------------------------------------------------------------------------------------


def comparisons_of(experiment: Experiment, by: Sequence[str], *, caller: str) -> list[Comparison]:
    """Return every arm against control, in each segment of each campaign, in their order."""
    groups = _groups(experiment, by, caller=caller)
    arms = len(experiment.arms)
    cell = groups.cell * arms + experiment.arm
    order = np.argsort(cell, kind="stable")
    ends = np.cumsum(np.bincount(cell, minlength=len(groups.labels) * arms))
    rows = np.split(order, ends[:-1])
    in_campaign = _arms_of_campaigns(experiment)
    return [
        Comparison({**labels, "arm": experiment.arms[arm]}, rows[place * arms + arm], rows[place * arms])
        for place, labels in enumerate(groups.labels)
        for arm in range(1, arms)
        if (labels.get(CAMPAIGN), arm) in in_campaign
    ]


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """Segments of campaigns: the place of each row's, shape (n,), and their labels."""

    cell: NDArray[np.int64]
    labels: list[dict[str, Any]]


def _groups(experiment: Experiment, by: Sequence[str], *, caller: str) -> _Groups:
    check_known_before(experiment, by, name="by", caller=caller)
    columns = {name: experiment.table[name].to_numpy() for name in experiment.key if name == CAMPAIGN}
    columns |= {name: experiment.words(name, caller=caller) for name in by}
    if not columns:
        return _Groups(np.zeros(len(experiment), np.int64), [{}])
    found = pd.DataFrame(columns).groupby(list(columns), sort=True)
    index = found.size().index.to_frame(index=False)
    labels = [dict(zip(columns, row, strict=True)) for row in index.itertuples(index=False, name=None)]
    return _Groups(found.ngroup().to_numpy(np.int64), labels)


def _arms_of_campaigns(experiment: Experiment) -> set[tuple[Any, int]]:
    """Return which arms each campaign has: those of other campaigns are not compared in it."""
    if CAMPAIGN not in experiment.key:
        return {(None, arm) for arm in range(len(experiment.arms))}
    pairs = pd.DataFrame({CAMPAIGN: experiment.table[CAMPAIGN].to_numpy(), "arm": experiment.arm}).drop_duplicates()
    return set(pairs.itertuples(index=False, name=None))


# -- what they say -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """What one comparison says, and how it was found; the remark is None where nothing is to be minded."""

    effect: Effect
    method: str | None
    remark: str | None


def findings_of(metric: Metric, comparisons: Sequence[Comparison], confidence: float) -> list[Finding]:
    """Compare all arms in one metric."""
    shares = _shares(metric, comparisons, confidence) if metric.is_share else [None] * len(comparisons)
    return [
        _mean(metric, one, confidence) if share is None or _is_adjusted(metric, one) else share
        for one, share in zip(comparisons, shares, strict=True)
    ]


def _is_adjusted(metric: Metric, comparison: Comparison) -> bool:
    if not metric.covariates or metric.always_adjusted:
        return bool(metric.covariates)
    sides = [metric.columns[rows, 0] for rows in (comparison.treated, comparison.control)]
    return bool(min(min(side.sum(), (1 - side).sum()) for side in sides) >= LEAST_ADJUSTED)


def _shares(metric: Metric, comparisons: Sequence[Comparison], confidence: float) -> list[Any]:
    from crmlytics._kernels.proportion_tests import _is_enough
    from crmlytics._kernels.treatment_effects import Effect, share_effects

    outcome = metric.columns[:, 0]

    def counted(sides: list[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return np.array([outcome[rows].sum() for rows in sides], np.int64), np.array([*map(len, sides)], np.int64)

    treated, control = counted([one.treated for one in comparisons]), counted([one.control for one in comparisons])
    effects = share_effects(*treated, *control, confidence)
    tests = np.where(_is_enough(*treated, *control), "score", "Fisher's exact")
    found = []
    for place, one in enumerate(comparisons):
        effect = Effect(*(float(values[place]) for values in effects))
        nobody = _nobody(one)
        method = None if nobody else SHARE_METHOD.format(tests[place])
        found.append(Finding(effect, method, nobody or _of_ratio(effect)))
    return found


def _mean(metric: Metric, comparison: Comparison, confidence: float) -> Finding:
    from crmlytics._kernels.treatment_effects import mean_effect

    treated, control, used = sides_of(metric, comparison)
    effect = mean_effect(treated, control, confidence)
    nobody = _nobody(comparison)
    if nobody or min(len(treated), len(control)) < 2:
        return Finding(effect, None, nobody or "a single customer in an arm: no interval")
    if np.isnan(effect.difference_low):
        return Finding(effect, None, "the same value throughout: no interval")
    method = f"{MEAN_METHOD}; adjusted for {', '.join(used)}" if used else MEAN_METHOD
    remark = "too few customers in an arm to adjust" if used != metric.covariates else _of_ratio(effect)
    return Finding(effect, method, remark)


def sides_of(metric: Metric, comparison: Comparison) -> tuple[Vector, Vector, tuple[str, ...]]:
    """Return the columns of both arms and the covariates among them: none where an arm is too small to adjust."""
    treated, control = metric.columns[comparison.treated], metric.columns[comparison.control]
    if min(len(treated), len(control)) >= 2 + len(metric.covariates):
        return treated, control, metric.covariates
    return treated[:, :1], control[:, :1], ()


def _nobody(comparison: Comparison) -> str | None:
    sides = {"the arm": comparison.treated, "the control group": comparison.control}
    empty = [name for name, rows in sides.items() if not len(rows)]
    return f"nobody in {empty[0]}" if empty else None


def _of_ratio(effect: Effect) -> str | None:
    if np.isnan(effect.ratio):
        return "no ratio: the control group's mean is not above 0"
    return "no upper bound of the ratio: the control group's mean may be 0" if np.isnan(effect.ratio_high) else None
