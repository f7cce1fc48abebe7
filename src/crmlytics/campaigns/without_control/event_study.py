"""When the contacted and the others parted: period by period, before the contact and after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._validation import as_days, check_count, check_fraction, warn
from crmlytics.campaigns._experiment import CAMPAIGN, CONTROL
from crmlytics.campaigns._rows import NUMBER, TEXT, WHOLE, table_of
from crmlytics.campaigns.measuring._since_contact import amount_names, count_name, read_since_contact
from crmlytics.campaigns.without_control._comparing import LEAST, TOO_FEW, told, with_remark

if TYPE_CHECKING:
    import datetime as dt

    from crmlytics.campaigns.measuring._since_contact import Groups, SinceContact

ALPHA = 0.05
STUDY_KINDS = {
    CAMPAIGN: TEXT,
    "arm": TEXT,
    "metric": TEXT,
    "period": WHOLE,
    "first_day": WHOLE,
    "last_day": WHOLE,
    "treated_count": WHOLE,
    "comparison_count": WHOLE,
    "treated_mean": NUMBER,
    "comparison_mean": NUMBER,
    "difference": NUMBER,
    "difference_low": NUMBER,
    "difference_high": NUMBER,
    "p_value": NUMBER,
    "pre_trend_p_value": NUMBER,
    "caution": TEXT,
}


def event_study_table(
    contacts: Any,
    outcomes: Any,
    *,
    as_of: str | dt.date | dt.datetime,
    step: str | dt.timedelta = "30d",
    before: int = 4,
    after: int = 3,
    comparison: Any = CONTROL,
    event: str | None = None,
    confidence: float = 0.95,
) -> Any:
    """Compare the contacted with others period by period, to see whether they were alike before the contact.

    Parameters
    ----------
    contacts, outcomes : as in :func:`outcome_table`
    as_of : date or datetime
        Nothing at or after it is read. Customers whose last period is not over are left out, with a warning.
    step : str, default "30d"
        The length of a period.
    before, after : int, default 4 and 3
        How many periods; at least two before.
    comparison : str, number or bool, default "control"
        The arm to compare with, such as ``"not contacted"`` of :func:`comparison_contacts`.
    event : str, optional
        Which of the events is the outcome.
    confidence : float, default 0.95

    Returns
    -------
    dataframe of the kind of ``contacts``, one row per campaign, arm, metric and period, sorted by these
        ``campaign_id``; ``arm``, ``metric`` (String: the count, then amounts); ``period`` (Int64, 0 begins with the
        contact, -1 ends with it and is what the others are compared with); ``first_day``, ``last_day`` (Int64, since
        the contact); ``treated_count``, ``comparison_count`` (Int64); ``treated_mean``, ``comparison_mean`` (Float64,
        per customer); ``difference`` (Float64, how much more the treated differ from their period -1 than the
        comparison does: before the contact it should be about zero, after it is the effect), ``difference_low``,
        ``difference_high`` (of each by itself), ``p_value`` (null, like the interval, where nothing varies);
        ``pre_trend_p_value`` (Float64, that all differences before are zero, the same in all rows of an arm and
        metric); ``caution`` (String).

    Raises
    ------
    SchemaError, MissingColumnsError
        As :func:`outcome_table`; for fewer than two periods before; when nobody is in the comparison arm.

    Warns
    -----
    DataQualityWarning
        When the groups moved apart before the contact already.

    Notes
    -----
    In each period the difference of differences to period -1, of means over the same customers throughout; standard
    errors are clustered by customer, intervals corrected for skewness as in :func:`effect_table`. The test of the
    periods before is Hotelling's T squared. That it finds nothing proves nothing: a small group can drift unnoticed (J.
    Roth 2022, American Economic Review: Insights 4(3)).

    Examples
    --------
    >>> import pandas as pd
    >>> day = pd.Timestamp("2024-06-01")
    >>> contacts = pd.DataFrame({
    ...     "customer_id": [1, 2, 3, 4], "arm": ["offer", "offer", "control", "control"], "timestamp": day,
    ... })
    >>> orders = pd.DataFrame({
    ...     "customer_id": [1, 2, 3, 4, 1, 2], "order_id": range(6), "amount": [5.0, 7.0, 3.0, 3.0, 8.0, 9.0],
    ...     "timestamp": day + pd.to_timedelta([-9, -9, -9, -9, 3, 3], unit="D"),
    ... })
    >>> table = event_study_table(contacts, orders, as_of="2024-08-01", step="10d", before=2, after=1)
    >>> table[table["metric"] == "revenue_amount"][["period", "treated_mean", "comparison_mean", "difference"]]
       period  treated_mean  comparison_mean  difference
    3      -2           0.0              0.0        -3.0
    4      -1           6.0              3.0         0.0
    5       0           8.5              0.0         5.5
    """
    caller = "event_study_table"
    check_fraction(confidence, name="confidence", caller=caller)
    width = as_days(step, name="step", caller=caller)
    check_count(before, name="before", caller=caller, least=2)
    check_count(after, name="after", caller=caller)
    read = read_since_contact(
        contacts,
        outcomes,
        as_of=as_of,
        comparison=comparison,
        days=(before * width, after * width),
        period=(nw.col("_day") + before * width) // width,
        event=event,
        whole=True,
        caller=caller,
    )
    rows = [
        row
        for groups in read.groups()
        for metric in [count_name(read.figures), *amount_names(read.figures)]
        for row in _study(read, groups, metric, (before, after, width), confidence)
    ]
    _tell_pre_trends(rows, caller=caller)
    return table_of(read.engine, rows, STUDY_KINDS, campaign_id=read.campaigns)


# -- inside --------------------------------------------------------------------------------------------------------


def _study(
    read: SinceContact, groups: Groups, metric: str, plan: tuple[int, int, int], confidence: float
) -> list[dict[str, Any]]:
    """Return the rows of one arm and metric."""
    from crmlytics._kernels.panel_effects import differences, from_reference, joint_p_value

    before, after, width = plan
    periods, reference = before + after, before - 1
    key = {CAMPAIGN: groups.campaign, "arm": groups.arm, "metric": metric}
    key |= {"treated_count": len(groups.treated), "comparison_count": len(groups.comparison)}
    treated, other = (
        read.means(places, read.figures[metric], periods=periods) for places in (groups.treated, groups.comparison)
    )
    rows = [
        key
        | {"period": number - before, "first_day": (number - before) * width}
        | {"last_day": (number - before + 1) * width - 1}
        | {"treated_mean": treated.mean[number], "comparison_mean": other.mean[number]}
        for number in range(periods)
    ]
    if min(len(groups.treated), len(groups.comparison)) < LEAST:
        return [row | {"caution": TOO_FEW} for row in rows]
    weights = from_reference(periods, reference)
    found = differences(treated.through(weights), other.through(weights))
    joint = joint_p_value(
        found.estimate[:reference],
        found.covariance[:reference, :reference],
        len(groups.treated) + len(groups.comparison) - 2,
    )
    columns = [told(found, place, confidence) for place in range(periods - 1)]
    columns.insert(reference, {"difference": 0.0})
    common = {"pre_trend_p_value": joint, "caution": _caution_of_trends(joint)}
    return [with_remark(row | more | common) for row, more in zip(rows, columns, strict=True)]


def _caution_of_trends(p_value: float) -> str:
    if np.isnan(p_value):
        return "Nothing varies before the contact: nothing shows whether the groups would have changed alike."
    if p_value < ALPHA:
        return (
            f"Parallel trends fail (p = {p_value:.2g}): the groups moved apart before the contact already, so what "
            "follows is no effect of it alone."
        )
    return (
        f"No sign that the groups moved apart before the contact (p = {p_value:.2g}); that they would have gone on so "
        "is taken for granted."
    )


def _tell_pre_trends(rows: list[dict[str, Any]], *, caller: str) -> None:
    """Warn of arms and metrics whose groups differ in their course before the contact."""
    tested = {(row[CAMPAIGN], row["arm"], row["metric"]): row.get("pre_trend_p_value", np.nan) for row in rows}
    failed = {name: p_value for name, p_value in tested.items() if p_value < ALPHA}
    if failed:
        (campaign, arm, metric), p_value = min(failed.items(), key=lambda item: item[1])
        more = f", as {len(failed)} of {len(tested)} tests do" if len(tested) > 1 else ""
        warn(
            f"{caller}: parallel trends fail for {metric} of arm {arm!r} in campaign {campaign!r} (p = {p_value:.2g})"
            f"{more}: treated and comparison moved apart before the contact already. What follows is no effect of the "
            "contact alone. (Where arms were dealt at random, one test in twenty says so by chance.)"
        )
