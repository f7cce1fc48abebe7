"""How many customers have come back after so many days: Kaplan and Meier's curve of the time to the next purchase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._baskets import encode
from crmlytics._frames import collect, columns_of, enter
from crmlytics._lists import table_with_lists
from crmlytics._segments import enter_segments
from crmlytics._validation import as_days, check_choice, check_fraction
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.sequences._intervals import CUSTOMER, read_purchases
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics._kernels.kaplan_meier import Curves

AFTER = ("any", "first")
CURVE = ("time_days", "survival_probability", "survival_probability_low", "survival_probability_high",
         "at_risk_count", "event_count", "waiting_count")  # fmt: skip


def survival_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    segments: Any = None,
    after: str = "any",
    interval: float = 0.95,
) -> Any:
    """Follow customers from a purchase on: how many have not bought again after 1, 2, 3, ... days.

    Customers who still wait at ``as_of`` count for as long as they have been seen to wait, and neither as lost nor as
    returned; leaving them out makes intervals look too short, the more so the shorter the data.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``timestamp`` and ``amount``.
    as_of : date
        The day described from; lines on or after it are left out, so nothing leaks from the future.
    segments : Customers or dataframe of the same kind, optional
        Needs ``customer_id`` and ``segment``: a curve each. Customers without a segment are left out.
    after : {"any", "first"}
        Which purchases time is counted from: every one, so that frequent customers count often; or the first in the
        data, so that each customer counts once and the curve tells how many make a second purchase.
    interval : float
        The probability that an interval, ``_low`` to ``_high``, is made to hold.

    Returns
    -------
    dataframe of the kind that came in, one row per segment and day on which anything happened, sorted by both
        With segments ``segment`` (String); ``time_days`` (Int64, days since the purchase: 0 and each on which somebody
        bought again or was seen last); ``survival_probability`` (Float64, of not having bought again by the end of
        that day); ``survival_probability_low`` and ``_high`` (Float64, null where the probability is 1 or 0);
        ``at_risk_count`` (Int64, intervals that had lasted until that day), ``event_count`` (Int64, those that ended on
        it), ``waiting_count`` (Int64, those seen no longer).

    Raises
    ------
    SchemaError, MissingColumnsError
        For a date or an option that cannot be read, or when no customer who bought has a segment.

    Notes
    -----
    A purchase is a day on which more was bought than returned (or goods were free). The survival probability is the
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
    table = Transactions.bind(transactions)
    purchases, engine = read_purchases(table, as_of=as_of, by=(CUSTOMER,), caller=caller)
    customers = np.arange(len(purchases))
    group, names = np.zeros(len(purchases), np.int64), np.array([""], object)
    if segments is not None:
        group, names = _groups(segments, table, purchases.ids[CUSTOMER], caller=caller)
    ended = np.ones(len(purchases.day), bool)
    ended[purchases.starts[1:] - 1] = False
    time = np.diff(purchases.day, append=0)
    time[~ended] = purchases.watched - purchases.last()
    customer = np.repeat(customers, purchases.counts())
    kept = group[customer] >= 0
    if after == "first":
        kept &= np.isin(np.arange(len(kept)), purchases.starts[:-1])
    clusters = None if after == "first" else customer[kept]
    curves = _curves(time[kept], ended[kept], group[customer[kept]], clusters, len(names))
    columns = _columns(curves, interval)
    if segments is None:
        return table_with_lists(engine, columns)
    return table_with_lists(engine, {"segment": np.repeat(names, np.diff(curves.starts))} | columns)


def survival_summary_table(table: Any, *, horizon: str | dt.timedelta) -> Any:
    """Read off each curve when half have bought again, how many within a horizon, and after how long on average.

    Parameters
    ----------
    table : dataframe
        As :func:`survival_table` makes it.
    horizon : duration such as "90d"

    Returns
    -------
    dataframe of the kind that came in, one row per segment (or one row), sorted by segment
        ``segment`` (String) where there are segments; ``interval_count`` (Int64, all, ended or not); ``event_count``
        (Int64, those that ended); ``median_days`` (Float64, the first day by whose end at most half still wait; null if
        more do to the end), ``median_days_low`` and ``median_days_high`` (Float64, the first days at which the bounds
        of the curve are at most half; null likewise); ``returned_probability`` (Float64, of buying again within
        ``horizon``) with ``_low`` and ``_high``; ``restricted_mean_days`` (Float64, the mean of the time to the next
        purchase, where whoever takes longer than ``horizon`` counts as ``horizon``). The last four are null if nobody
        was seen for so long, the bounds also where the probability is 0 or 1.

    Raises
    ------
    SchemaError, MissingColumnsError
        For a table that is not a survival table, or a duration that cannot be read.

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
    curves, bounds, names, engine = read_curves(table, caller=caller)
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
    return table_with_lists(engine, columns if names is None else {"segment": names} | columns)


# -- inside --------------------------------------------------------------------------------------------------------


def read_curves(
    table: Any, *, caller: str
) -> tuple[Curves, tuple[NDArray[np.float64], NDArray[np.float64]], NDArray[Any] | None, Any]:
    """Read a survival table: its curves, their bounds, the segments (None without) and the engine."""
    from crmlytics._kernels.kaplan_meier import Curves

    frame, engine = enter(table, caller=caller)
    present = columns_of(frame)
    missing = [name for name in CURVE if name not in present]
    if missing:
        msg = f"{caller} needs the columns {missing} of a survival table, got {present}. Make one: survival_table(...)."
        raise MissingColumnsError(msg)
    keys = ["segment"] if "segment" in present else []
    found = collect(frame.select(*keys, *CURVE).sort(*keys, "time_days"))
    if len(found) == 0:
        msg = f"{caller}: the table has no rows. Check the filters before it."
        raise SchemaError(msg)
    values = {name: np.asarray(found[name].cast(nw.Float64).to_numpy(), np.float64) for name in CURVE}
    code, names = encode(found.to_arrow()["segment"]) if keys else (np.zeros(len(found), np.int32), None)
    starts = np.append(np.flatnonzero(np.diff(code, prepend=-1)), len(found)).astype(np.int64)
    time, survival, low, high, *counts = values.values()
    return Curves(starts, time, survival, np.full(len(time), np.nan), *counts), (low, high), names, engine


def _groups(
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
    groups: int,
) -> Curves:
    """Estimate the curves, each from day 0 on: a spell without weight of one of its customers sees to that."""
    from crmlytics._kernels.kaplan_meier import kaplan_meier

    _, anybody = np.unique(group, return_index=True)
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
