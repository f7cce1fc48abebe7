"""How many customers have come back after so many days: Kaplan and Meier's curve of the time to the next purchase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._baskets import ITEM_ROLES, encode
from crmlytics._frames import collect, columns_of, enter
from crmlytics._lists import table_with_lists
from crmlytics._purchase_days import CUSTOMER, read_purchases, tell_silence
from crmlytics._segments import enter_segments
from crmlytics._validation import as_days, check_choice, check_fraction
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics._kernels.kaplan_meier import Curves
    from crmlytics._purchase_days import Purchases

AFTER = ("any", "first")
CURVE = ("time_days", "survival_probability", "survival_probability_low", "survival_probability_high",
         "at_risk_count", "event_count", "waiting_count")  # fmt: skip


def survival_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    by: str | None = None,
    segments: Any = None,
    after: str = "any",
    interval: float = 0.95,
) -> Any:
    """Follow customers from a purchase on: how many have not bought again (the same item) after 1, 2, 3, ... days.

    Customers who still wait at ``as_of`` count for as long as they have been seen to wait, and neither as lost nor as
    returned; leaving them out makes intervals look too short, the more so the shorter the data.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``timestamp``, ``amount`` and the item that ``by`` names.
    as_of : date
        The day described from; lines on or after it are left out, so nothing leaks from the future.
    by : item such as "product_id" or "category", optional
        A curve for each ``product_id``, ``category``, ``channel`` or ``partner_id``, of the time until the same
        customer buys it again.
    segments : Customers or dataframe of the same kind, optional
        Needs ``customer_id`` and ``segment``: a curve each. Customers without a segment are left out. Not with ``by``.
    after : {"any", "first"}
        Which purchases (of the item) time is counted from: every one, so that frequent customers count often; or the
        first in the data, so that each customer counts once and the curve tells how many make a second purchase.
    interval : float
        The probability that an interval, ``_low`` to ``_high``, is made to hold.

    Returns
    -------
    dataframe of the kind that came in, one row per curve and day on which anything happened, sorted by both
        With segments ``segment`` (String), with ``by`` the item (Int64 or String); ``time_days`` (Int64, days since the
        purchase: 0 and each on which somebody bought again or was seen last); ``survival_probability`` (Float64, of not
        having bought again by the end of that day); ``survival_probability_low`` and ``_high`` (Float64, null where the
        probability is 1 or 0); ``at_risk_count`` (Int64, intervals that had lasted until that day), ``event_count``
        (Int64, those that ended on it), ``waiting_count`` (Int64, those seen no longer).

    Raises
    ------
    SchemaError, MissingColumnsError
        For a date or an option that cannot be read, or when no customer who bought has a segment.

    Warns
    -----
    DataQualityWarning
        When nobody bought anything for more than a week before ``as_of``, and for longer than ever before.

    Notes
    -----
    A purchase is a day on which more was bought than returned (or goods were free); what comes back on another day
    cancels nothing, and an ``as_of`` within a day counts that day as seen to its end. The survival probability is the
    product of ``1 - event_count / at_risk_count`` over the days so far (E. L. Kaplan and P. Meier (1958),
    "Nonparametric estimation from incomplete observations"), the interval normal on the scale of ln(-ln S). With one
    interval a customer the variance is Greenwood's; intervals of the same customer are alike, and their influence is
    summed before it is squared (R. L. Williams (1995), "Product-limit survival functions with correlated survival
    times"). A segment of one customer has no interval, and one of a few customers too narrow a one.

    The law assumes that who was seen last says nothing of when they would have bought. Customers who came late are seen
    for a short time: if they differ from early ones, the right end of the curve tells of early ones only.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "a", "b", "b", "c"], "amount": [5.0, 5.0, 7.0, 7.0, 9.0],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-08", "2024-01-02", "2024-01-22", "2024-01-20"]),
    ... })
    >>> table = survival_table(orders, as_of="2024-01-31", after="first")
    >>> table[["time_days", "survival_probability", "at_risk_count", "event_count", "waiting_count"]].round(3)
       time_days  survival_probability  at_risk_count  event_count  waiting_count
    0          0                 1.000              3            0              0
    1          7                 0.667              3            1              0
    2         10                 0.667              2            0              1
    3         20                 0.000              1            1              0
    """
    caller = "survival_table"
    check_choice(after, AFTER, name="after", caller=caller)
    check_fraction(interval, name="interval", caller=caller)
    _check_by(by, segments, caller=caller)
    table = Transactions.bind(transactions)
    purchases, engine = read_purchases(table, as_of=as_of, by=(by or CUSTOMER,), caller=caller)
    tell_silence(purchases, as_of, caller=caller)
    group, ids = _groups(purchases, by, segments, table, caller=caller)
    ended = np.ones(len(purchases.day), bool)
    ended[purchases.starts[1:] - 1] = False
    time = np.diff(purchases.day, append=0)
    time[~ended] = purchases.watched - purchases.last()
    history = np.repeat(np.arange(len(purchases)), purchases.counts())
    kept = group[history] >= 0
    if after == "first":
        kept &= np.isin(np.arange(len(kept)), purchases.starts[:-1])
    history = history[kept]
    clusters = None if after == "first" else purchases.customer[history]
    curves = _curves(time[kept], ended[kept], group[history], clusters)
    names = {role: np.repeat(of_curve, np.diff(curves.starts)) for role, of_curve in ids.items()}
    return table_with_lists(engine, names | _columns(curves, interval))


def survival_summary_table(table: Any, *, horizon: str | dt.timedelta) -> Any:
    """Read off each curve when half have bought again, how many within a horizon, and after how long on average.

    Parameters
    ----------
    table : dataframe
        As :func:`survival_table` makes it.
    horizon : duration such as "90d"

    Returns
    -------
    dataframe of the kind that came in, one row per curve, sorted by segment or item
        ``segment`` (String) or the item where there are any; ``interval_count`` (Int64, all, ended or not);
        ``event_count`` (Int64, those that ended); ``median_days`` (Float64, the first day by whose end
        fewer than half still wait; where exactly half do for a while, the middle of that time; null if more do to the
        end), ``median_days_low`` and ``median_days_high`` (Float64, the same of the bounds of the curve);
        ``returned_probability`` (Float64, of buying again within ``horizon``) with ``_low`` and ``_high``;
        ``restricted_mean_days`` (Float64, the mean of the time to the next purchase, where whoever takes longer than
        ``horizon`` counts as ``horizon``). The last four are null if nobody was seen for so long, the bounds also where
        the probability is 0 or 1.

    Raises
    ------
    SchemaError, MissingColumnsError
        For a table that is not a survival table, or several in one; for a duration that cannot be read.

    Notes
    -----
    Two segments whose intervals of ``returned_probability`` lie apart differ beyond doubt. Means without a limit would
    rest on the few intervals that nobody has seen the end of (P. Royston and M. K. B. Parmar (2013), "Restricted mean
    survival time").

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "a", "b", "b", "c"], "amount": [5.0, 5.0, 7.0, 7.0, 9.0],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-08", "2024-01-02", "2024-01-22", "2024-01-20"]),
    ... })
    >>> table = survival_table(orders, as_of="2024-01-31", after="first")
    >>> summary = survival_summary_table(table, horizon="14d")
    >>> summary[["interval_count", "median_days", "returned_probability", "restricted_mean_days"]].round(2)
       interval_count  median_days  returned_probability  restricted_mean_days
    0               3         20.0                  0.33                 11.67
    """
    caller = "survival_summary_table"
    days = as_days(horizon, caller=caller)
    curves, bounds, ids, engine = read_curves(table, caller=caller)
    first, last = curves.starts[:-1], curves.starts[1:] - 1
    place = np.array([
        start + np.searchsorted(curves.time[start : end + 1], days, side="right") - 1
        for start, end in zip(first, last, strict=True)
    ], dtype=np.int64)  # fmt: skip
    seen = (curves.time[last] >= days) | (curves.survival[last] == 0)
    low, high = bounds
    columns = {
        "interval_count": curves.at_risk[first].astype(np.int64),
        "event_count": np.add.reduceat(curves.ended, first).astype(np.int64),
        "median_days": curves.median(),
        "median_days_low": curves.median(low),
        "median_days_high": curves.median(high),
        "returned_probability": np.where(seen, 1 - curves.survival[place], np.nan),
        "returned_probability_low": np.where(seen, 1 - high[place], np.nan),
        "returned_probability_high": np.where(seen, 1 - low[place], np.nan),
        "restricted_mean_days": np.where(seen, curves.restricted_mean(days), np.nan),
    }
    return table_with_lists(engine, ids | columns)


# -- inside --------------------------------------------------------------------------------------------------------


def read_curves(
    table: Any, *, caller: str
) -> tuple[Curves, tuple[NDArray[np.float64], NDArray[np.float64]], dict[str, NDArray[Any]], Any]:
    """Read a survival table: its curves, their bounds, the segments or items (of one curve none) and the engine."""
    from crmlytics._kernels.kaplan_meier import Curves

    frame, engine = enter(table, caller=caller)
    present = columns_of(frame)
    missing = [name for name in CURVE if name not in present]
    if missing:
        msg = f"{caller} needs the columns {missing} of a survival table, got {present}. Make one: survival_table(...)."
        raise MissingColumnsError(msg)
    keys = [name for name in ("segment", *ITEM_ROLES) if name in present][:1]
    found = collect(frame.select(*keys, *CURVE).sort(*keys, "time_days"))
    if len(found) == 0:
        msg = f"{caller}: the table has no rows. Check the filters before it."
        raise SchemaError(msg)
    values = {name: np.asarray(found[name].cast(nw.Float64).to_numpy(), np.float64) for name in CURVE}
    code, ids = np.zeros(len(found), np.int32), {}
    for name in keys:
        code, ids[name] = encode(found.to_arrow()[name])
    _check_once(code, values["time_days"], keys, caller=caller)
    starts = np.append(np.flatnonzero(np.diff(code, prepend=-1)), len(found)).astype(np.int64)
    time, survival, low, high, *counts = values.values()
    return Curves(starts, time, survival, np.full(len(time), np.nan), *counts), (low, high), ids, engine


def _check_once(code: NDArray[np.int32], days: NDArray[np.float64], keys: list[str], *, caller: str) -> None:
    """Refuse curves on top of each other: rows are sorted, so equal ones are neighbours."""
    again = np.flatnonzero((np.diff(code) == 0) & (np.diff(days) == 0))
    if len(again):
        per = f"each {keys[0]}" if keys else "the table"
        msg = (
            f"{caller}: {len(again):,} rows have a time_days that {per} has already, first {days[again[0]]:.0f}. If "
            "these are several survival tables in one, give each its own name first: table.assign(segment='2023')."
        )
        raise SchemaError(msg)


def _check_by(by: Any, segments: Any, *, caller: str) -> None:
    if by is None:
        return
    check_choice(by, ITEM_ROLES, name="by", caller=caller)
    if segments is not None:
        msg = f"{caller}: by={by!r} and segments came together. Give one of them, or only the lines of one segment."
        raise SchemaError(msg)


def _groups(
    purchases: Purchases, by: str | None, segments: Any, table: Transactions, *, caller: str
) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """Return the curve that each history belongs to, -1 without one, and the items or segments of the curves."""
    if segments is not None:
        group, names = _segments(segments, table, purchases.ids[CUSTOMER], caller=caller)
        return group, {"segment": names}
    if by is None:
        return np.zeros(len(purchases), np.int64), {}
    _, first = np.unique(purchases.item, return_index=True)
    return purchases.item, {by: purchases.ids[by][first]}


def _segments(
    segments: Any, table: Transactions, customer_ids: NDArray[Any], *, caller: str
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the number of each customer's segment, -1 without one, and the names of the segments."""
    arrow = collect(enter_segments(segments, table, caller=caller)).to_arrow()
    code, names = encode(arrow["segment"])
    of_customer = dict(zip(arrow["customer_id"].to_pylist(), code.tolist(), strict=True))
    group = np.array([of_customer.get(customer, -1) for customer in customer_ids.tolist()], np.int64)
    if (group < 0).all():
        msg = f"{caller}: no customer who bought anything before as_of is in segments. Check their customer_id."
        raise SchemaError(msg)
    held, number = np.unique(group[group >= 0], return_inverse=True)  # segments of which nobody bought are no curves
    group[group >= 0] = number
    return group, names[held]


def _curves(
    time: NDArray[np.int64],
    ended: NDArray[np.bool_],
    group: NDArray[np.int64],
    customer: NDArray[np.int64] | None,
) -> Curves:
    """Estimate the curves, each from day 0 on: a spell without weight of one of its customers sees to that."""
    from crmlytics._kernels.kaplan_meier import kaplan_meier

    anybody = np.unique(group, return_index=True)[1]
    groups = len(anybody)
    return kaplan_meier(
        np.append(time, np.zeros(groups)),
        np.append(ended, np.zeros(groups, bool)),
        np.append(group, np.arange(groups)),
        groups,
        weights=np.append(np.ones(len(time)), np.zeros(groups)),
        cluster=None if customer is None else np.append(customer, customer[anybody]),
    )


def _columns(curves: Curves, interval: float) -> dict[str, NDArray[Any]]:
    from scipy import stats

    low, high = curves.interval(float(stats.norm.ppf((1 + interval) / 2)))
    counts = [values.astype(np.int64) for values in (curves.at_risk, curves.ended, curves.open)]
    return dict(zip(CURVE, (curves.time.astype(np.int64), curves.survival, low, high, *counts), strict=True))
