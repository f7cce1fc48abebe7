"""How long leads take to convert: Kaplan and Meier's curve, read off for each group."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import table_with_lists
from crmlytics._validation import as_days, did_you_mean, warn
from crmlytics.exceptions import MissingColumnsError
from crmlytics.leads._maturing import read_known
from crmlytics.tables import Leads

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics.leads._maturing import KnownLeads

CALLER = "conversion_time_table"
Z = 1.959963984540054  # of 95 %


def conversion_time_table(
    leads: Leads | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    by: str | None = None,
    horizons: Sequence[str | dt.timedelta] = ("30d", "90d"),
) -> Any:
    """Say how long leads take to convert, and how many have done so after 30 and 90 days.

    Leads that had not converted before ``as_of`` count for as long as they have been seen not to, and neither as lost
    nor as won: the share converted of a table with young leads in it is too low, these are not.

    Parameters
    ----------
    leads : Leads or dataframe, one row per lead
        Needs ``lead_id``, ``created_at`` and ``converted_at``.
    as_of : date
        The day described from: leads created on or after it are left out, and conversions then have not happened.
    by : str, optional
        A column of the leads, such as ``"source"``: a row for each value. For grades, join those of
        :attr:`LeadScores.scores` to the leads first, or see :attr:`LeadScores.time_table`.
    horizons : sequence of durations, default ("30d", "90d")

    Returns
    -------
    dataframe of the kind that came in, one row per group, sorted by it
        The column ``by`` (String, missing values as "unknown"), where it was given; ``lead_count`` and
        ``converted_count`` (Int64); ``median_days`` (Float64, the time by which half of all leads have converted, null
        if they never do) with ``median_days_low`` and ``_high``; for each horizon ``converted_30d_probability``
        (Float64, of having converted so many days after creation) with ``_low`` and ``_high`` (95%), null where nobody
        was seen for so long.

    Raises
    ------
    SchemaError, MissingColumnsError
        For a date or duration that cannot be read, a column that is not there, or no lead before ``as_of``.

    Warns
    -----
    DataQualityWarning
        When leads converted at an unknown moment, which are left out: the shares converted are too low then.

    Notes
    -----
    E. L. Kaplan and P. Meier (1958), "Nonparametric estimation from incomplete observations"; intervals are normal on
    the scale of ln(-ln S). A lead that is lost for good counts as one that never converts.

    Examples
    --------
    >>> import pandas as pd
    >>> leads = pd.DataFrame({
    ...     "lead_id": [1, 2, 3, 4], "created_at": pd.to_datetime(["2024-01-01"] * 3 + ["2024-02-20"]),
    ...     "converted_at": pd.to_datetime(["2024-01-11", "2024-01-31", None, None]),
    ... })
    >>> table = conversion_time_table(leads, as_of="2024-03-01", horizons=["14d"])
    >>> table[["lead_count", "converted_count", "median_days", "converted_14d_probability"]].round(3)
       lead_count  converted_count  median_days  converted_14d_probability
    0           4                2         30.0                       0.25
    """
    days = [as_days(horizon, name="horizons", caller=CALLER) for horizon in horizons]
    table = Leads.bind(leads)
    table.need("converted_at", caller=CALLER)
    if by is not None and not table.has(by):
        msg = f"{CALLER}: no column by={by!r}.{did_you_mean(by, table.columns)} Columns: {table.columns}"
        raise MissingColumnsError(msg)
    known = read_known(table, as_of=as_of, by=by, caller=CALLER)
    _tell_undated(known)
    words = np.full(len(known), "") if known.groups is None else known.groups.astype(str)
    names, group = np.unique(words, return_inverse=True)
    columns = {} if by is None else {by: names.astype(object)}
    return table_with_lists(known.engine, columns | time_columns(known, group, len(names), days))


def time_columns(known: KnownLeads, group: NDArray[np.int64], groups: int, days: Sequence[int]) -> dict[str, Any]:
    """Return what there is to say of the time to conversion of each group."""
    from crmlytics._kernels.kaplan_meier import kaplan_meier

    kept = ~known.undated
    ended = known.converted[kept]
    time = np.where(ended, known.days[kept], known.age_days[kept])
    curves = kaplan_meier(time, ended, group[kept], groups)
    low, high = curves.interval(Z)
    columns = {
        "lead_count": np.bincount(group[kept], minlength=groups),
        "converted_count": np.bincount(group[kept][ended], minlength=groups),
        "median_days": curves.median(),
        "median_days_low": curves.median(low),
        "median_days_high": curves.median(high),
    }
    for horizon in days:
        name, at = f"converted_{horizon}d_probability", _places(curves.starts, curves.time, curves.survival, horizon)
        for suffix, values in (("", curves.survival), ("_low", high), ("_high", low)):
            columns[name + suffix] = _converted(values, at)
    return columns


def _places(
    starts: NDArray[np.int64], time: NDArray[np.float64], survival: NDArray[np.float64], horizon: int
) -> NDArray[np.int64]:
    """Return the row of each curve that holds at the horizon; -1 before the first, -2 where nobody was seen so long."""
    places = np.full(len(starts) - 1, -2)
    for curve, (start, end) in enumerate(pairwise(starts)):
        place = start + np.searchsorted(time[start:end], horizon, side="right") - 1
        if end > start and (time[end - 1] >= horizon or survival[end - 1] == 0):
            places[curve] = place if place >= start else -1
    return places


def _converted(survival: NDArray[np.float64], at: NDArray[np.int64]) -> NDArray[np.float64]:
    inside = survival[np.maximum(at, 0)] if len(survival) else np.full(len(at), np.nan)
    return np.where(at >= 0, 1 - inside, np.where(at == -1, 0.0, np.nan))


def _tell_undated(known: KnownLeads) -> None:
    """Warn of conversions that no curve can show, and what that does to it."""
    count, total = int(known.undated.sum()), int(known.converted.sum())
    if count:
        warn(
            f"{CALLER}: {count:,} of {total:,} conversions have no converted_at and are left out: the shares "
            "converted are too low."
        )
