"""Without a random control group: whether the contacted changed more than others did over the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._validation import as_days, check_fraction
from crmlytics.campaigns._experiment import CAMPAIGN, CONTROL
from crmlytics.campaigns._rows import NUMBER, TEXT, WHOLE, table_of
from crmlytics.campaigns.outcomes import AMOUNTS, COUNTS, PRE
from crmlytics.campaigns.without_control._comparing import (
    LEAST,
    TOO_FEW,
    arms_of,
    campaign_ids,
    read_outcomes,
    told,
    with_campaign,
    with_remark,
)
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

FAR = 0.25  # standard deviations: groups that begin so far apart were not alike (Imbens and Rubin 2015)
BASIC = (
    "Taken for granted: without the contact both groups would have changed alike. Two periods cannot show whether they "
    "would have; event_study_table looks at the periods before."
)
PAIR_KINDS = {
    CAMPAIGN: TEXT,
    "arm": TEXT,
    "metric": TEXT,
    "treated_count": WHOLE,
    "comparison_count": WHOLE,
    "treated_before_mean": NUMBER,
    "treated_after_mean": NUMBER,
    "comparison_before_mean": NUMBER,
    "comparison_after_mean": NUMBER,
    "difference": NUMBER,
    "difference_low": NUMBER,
    "difference_high": NUMBER,
    "p_value": NUMBER,
    "caution": TEXT,
}


def difference_in_differences_table(
    outcomes: Any,
    *,
    comparison: Any = CONTROL,
    horizon: str | dt.timedelta = "30d",
    pre_period: str | dt.timedelta = "90d",
    metrics: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> Any:
    """Compare how much the contacted changed with how much others changed over the same time.

    Parameters
    ----------
    outcomes : dataframe, one row per customer, or per campaign and customer
        As :func:`outcome_table` makes it: ``customer_id``, ``arm``, and figures after the contact beside those before
        it, such as ``revenue_amount`` and ``pre_revenue_amount``.
    comparison : str, number or bool, default "control"
        The arm to compare with, such as ``"not contacted"`` of :func:`comparison_contacts`.
    horizon, pre_period : str, default "30d" and "90d"
        How long the two periods are, as :func:`outcome_table` was told: figures of before are scaled to the length of
        those after.
    metrics : sequence of str, optional
        Which figures; by default all counts and amounts that are there for both periods.
    confidence : float, default 0.95

    Returns
    -------
    dataframe of the kind that came in, sorted by campaign and arm, one row per (campaign,) arm and metric
        ``campaign_id`` (where there is one); ``arm``, ``metric`` (String); ``treated_count``, ``comparison_count``
        (Int64, customers); ``treated_before_mean``, ``treated_after_mean``, ``comparison_before_mean``,
        ``comparison_after_mean`` (Float64, per customer and ``horizon``); ``difference`` (Float64, how much more the
        treated changed, per customer), ``difference_low``, ``difference_high``; ``p_value`` (null, like the interval,
        where all customers of a group changed alike); ``caution`` (String, what this cannot show).

    Raises
    ------
    SchemaError, MissingColumnsError
        When there is no comparison arm, no other arm, or no figure of both periods.

    Notes
    -----
    ``(after - before) of the treated - (after - before) of the comparison``; the interval is Welch's, of the changes of
    customers, which is what standard errors clustered by customer come to with two periods; corrected for skewness as
    in :func:`effect_table`.

    **What it cannot show.** It takes differences between the groups that stay the same out of the comparison, and no
    others. If customers were chosen because their last months were unusually good or bad, they come back to their usual
    by themselves, and this looks like an effect. With a random control group, :func:`effect_table` is surer and
    sharper.

    References
    ----------
    D. Card and A. B. Krueger (1994), "Minimum wages and employment", American Economic Review 84(4). J. D. Angrist and
    J.-S. Pischke (2009), "Mostly harmless econometrics", chapter 5.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({
    ...     "customer_id": [1, 2, 3, 4], "arm": ["offer", "offer", "control", "control"],
    ...     "pre_revenue_amount": [30.0, 60.0, 0.0, 30.0], "revenue_amount": [20.0, 36.0, 1.0, 11.0],
    ... })
    >>> found = difference_in_differences_table(table, horizon="30d", pre_period="90d")
    >>> found[["arm", "metric", "treated_before_mean", "treated_after_mean", "difference"]]
         arm          metric  treated_before_mean  treated_after_mean  difference
    0  offer  revenue_amount                 15.0                28.0        12.0
    """
    caller = "difference_in_differences_table"
    check_fraction(confidence, name="confidence", caller=caller)
    lengths = as_days(horizon, caller=caller), as_days(pre_period, name="pre_period", caller=caller)
    experiment = read_outcomes(outcomes, comparison, caller=caller)
    names = _metrics(list(map(str, experiment.table.columns)), metrics, caller=caller)
    pairs = {
        name: np.column_stack([
            experiment.numbers(PRE + name, caller=caller) * (lengths[0] / lengths[1]),
            experiment.numbers(name, caller=caller),
        ])
        for name in names
    }  # fmt: skip
    rows = [
        key | {"metric": name} | _change(values, treated, other, confidence)
        for key, treated, other in arms_of(experiment)
        for name, values in pairs.items()
    ]
    return table_of(experiment.engine, rows, with_campaign(PAIR_KINDS, experiment), **campaign_ids(experiment))


# -- inside ---------------------------------------------------------------------------------------------------


def _metrics(columns: list[str], asked: Sequence[str] | None, *, caller: str) -> list[str]:
    """Return the figures that are there for both periods."""
    if isinstance(asked, str):
        raise SchemaError(f"{caller}: metrics must be a list of columns, such as metrics=[{asked!r}].")
    found = [name for name in (*COUNTS, *AMOUNTS) if name in columns and PRE + name in columns]
    names = list(asked) if asked is not None else found
    lacking = [column for name in names for column in (name, PRE + name) if column not in columns]
    if lacking or not names:
        wanted = lacking or ["revenue_amount", "pre_revenue_amount"]
        msg = (
            f"{caller} needs {wanted}: a figure after the contact and, under the same name with {PRE!r} in front, "
            f"before it. outcome_table makes such a table. Columns: {columns}"
        )
        raise MissingColumnsError(msg)
    return names


def _change(values: Vector, treated: NDArray[np.int64], other: NDArray[np.int64], confidence: float) -> dict[str, Any]:
    """Compare the changes of two groups; ``values``, shape (n, 2), are before and after."""
    from crmlytics._kernels.panel_effects import differences, from_reference, means_of

    row: dict[str, Any] = {"treated_count": len(treated), "comparison_count": len(other)}
    for group, rows in (("treated", treated), ("comparison", other)):
        means = values[rows].mean(axis=0) if len(rows) else (np.nan, np.nan)
        row |= {f"{group}_before_mean": means[0], f"{group}_after_mean": means[1]}
    if min(len(treated), len(other)) < LEAST:
        return row | {"caution": TOO_FEW}
    change = from_reference(2, 0)
    found = differences(*(means_of(values[rows]).through(change) for rows in (treated, other)))
    return with_remark(row | told(found, 0, confidence) | {"caution": _caution(values[treated, 0], values[other, 0])})


def _caution(treated: Vector, other: Vector) -> str:
    """Say what two periods cannot show, and whether the groups were alike before."""
    spread = float(np.sqrt((treated.var(ddof=1) + other.var(ddof=1)) / 2))
    apart = (treated.mean() - other.mean()) / spread if spread else 0.0
    if abs(apart) < FAR:
        return BASIC
    side = "above" if apart > 0 else "below"
    return (
        f"{BASIC} Before the contact the treated were {abs(apart):.2f} standard deviations {side} the comparison: if "
        "they were chosen for that, some of it goes away by itself."
    )
