"""Families of features that are sums over a customer's orders."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING

import narwhals.stable.v2 as nw

from crmlytics._frames import days_between
from crmlytics._periods import ratio
from crmlytics.snapshots._history import Sums

if TYPE_CHECKING:
    from crmlytics.snapshots._history import History

YEAR_DAYS = 365.25
LARGEST_TREND = 3.0  # twenty-fold: more is one order against none
LEAST_TREND_DAYS = 2  # half a day is a matter of opening hours
ZERO, NOTHING = nw.lit(0).cast(nw.Int64), nw.lit(0.0)
MEAN_ORDER = ratio("_ordered_amount", "_order_count")  # null where all were free


def recency(history: History) -> Sums:
    """``recency_days``: calendar days since the last order was complete."""
    return Sums({"recency_days": days_between(nw.col("_last"), history.cutoff)})


def frequency(history: History) -> Sums:
    """``order_count``, ``order_count_<days>d``: orders in all, and in the last so many days."""
    names = {f"order_count_{days}d": days for days in history.lookbacks}
    orders = {f"_{name}": _orders_since(history, days) for name, days in names.items()}
    columns = {name: nw.col(f"_{name}") for name in names}
    return Sums({"order_count": nw.col("_order_count"), **columns}, orders=orders)


def monetary(history: History) -> Sums:
    """``total_amount``, ``mean_order_amount``, ``amount_<days>d``: what the customer spent.

    Returns and credit notes are taken off the sums; ``mean_order_amount`` is that of orders alone.
    """
    names = {f"amount_{days}d": days for days in history.lookbacks}
    orders = {f"_{name}": _amount_between(history.start(days), history.cutoff) for name, days in names.items()}
    columns = {name: nw.col(f"_{name}") for name in names}
    return Sums({"total_amount": nw.col("_amount"), "mean_order_amount": MEAN_ORDER, **columns}, orders=orders)


def tenure(history: History) -> Sums:
    """``tenure_days``: calendar days since the first order in the data."""
    return Sums({"tenure_days": days_between(nw.col("_first"), history.cutoff)})


def trends(history: History) -> Sums:
    """``order_trend_<days>d``, ``amount_trend_<days>d``: the later half of a lookback against the earlier one.

    The logarithm of (later + s) / (earlier + s), at most 3 either way: one order for s, or the customer's mean order.
    The halves of an odd number of days meet at noon; one day has none.
    """
    columns: dict[str, nw.Expr] = {}
    orders: dict[str, nw.Expr] = {}
    for days in history.lookbacks:
        if days < LEAST_TREND_DAYS:
            continue
        later, earlier = history.start(days / 2), history.start(days)
        for what, measure in (("order", _orders_between), ("amount", _amount_between)):
            recent, before = f"_later_{what}_{days}", f"_earlier_{what}_{days}"
            orders |= {recent: measure(later, history.cutoff), before: measure(earlier, later)}
            unit = nw.lit(1.0) if what == "order" else MEAN_ORDER
            columns[f"{what}_trend_{days}d"] = _log_ratio(nw.col(recent), nw.col(before), unit)
    return Sums(columns, orders=orders)


def seasonality(history: History) -> Sums:
    """``season_sin``, ``season_cos``, ``same_season_order_count``: the day of the year, and what it brought last time.

    The first two are the cutoff's place in the year on a circle, the same for everybody. The last counts the orders of
    the label window a year earlier, as far as it lies before the cutoff; it is null where the data do not reach back.
    """
    angle = 2 * math.pi * (history.cutoff - dt.datetime(history.cutoff.year, 1, 1)).days / YEAR_DAYS
    start, end = history.season
    count = nw.when(nw.col("_begins") <= start).then(nw.col("_season").cast(nw.Float64)).otherwise(None)
    columns = {
        "season_sin": nw.lit(math.sin(angle)),
        "season_cos": nw.lit(math.cos(angle)),
        "same_season_order_count": count,
    }
    return Sums(columns, orders={"_season": _orders_between(start, end)})


def returns(history: History) -> Sums:
    """``return_line_share``, ``return_amount_share``: of the lines, and of the money moved either way, what came back.

    Returns that the contract set aside, alone or with their originals, are not seen.
    """
    is_return = nw.col("amount") < 0
    if history.transactions.has("quantity"):  # some systems keep returned amounts positive
        is_return |= (nw.col("quantity") < 0).fill_null(value=False)
    money = nw.col("amount").abs()
    lines = {
        "_lines": nw.lit(1).cast(nw.Int64),
        "_return_lines": is_return.cast(nw.Int64),
        "_moved": money,
        "_returned": nw.when(is_return).then(money).otherwise(NOTHING),
    }
    columns = {
        "return_line_share": ratio("_return_lines", "_lines"),
        "return_amount_share": ratio("_returned", "_moved"),
    }
    return Sums(columns, lines=lines)


def discounts(history: History) -> Sums:
    """``discounted_line_share``, ``discount_share``: discounts by the lines bought, and by the full price.

    The discount is ``discount_amount`` (of either sign), else what ``list_price`` x ``quantity`` is above ``amount``.
    """
    if history.transactions.has("discount_amount"):
        discount = nw.col("discount_amount").abs().fill_null(0.0)
    else:
        discount = (nw.col("list_price") * nw.col("quantity") - nw.col("amount")).fill_null(0.0)
    is_bought = nw.col("amount") >= 0
    is_discounted = is_bought & (discount > 0)
    lines = {
        "_bought_lines": is_bought.cast(nw.Int64),
        "_discounted_lines": is_discounted.cast(nw.Int64),
        "_discount": nw.when(is_discounted).then(discount).otherwise(NOTHING),
        "_full_price": nw.when(is_discounted).then(nw.col("amount") + discount).when(is_bought).then(nw.col("amount"))
        .otherwise(NOTHING),
    }  # fmt: skip
    columns = {
        "discounted_line_share": ratio("_discounted_lines", "_bought_lines"),
        "discount_share": ratio("_discount", "_full_price"),
    }
    return Sums(columns, lines=lines)


# -- inside --------------------------------------------------------------------------------------------------------


def _orders_since(history: History, days: int) -> nw.Expr:
    return _orders_between(history.start(days), history.cutoff)


def _orders_between(start: dt.datetime, end: dt.datetime) -> nw.Expr:
    return nw.when(_lies_between(start, end)).then(nw.col("is_order")).otherwise(ZERO)


def _amount_between(start: dt.datetime, end: dt.datetime) -> nw.Expr:
    return nw.when(_lies_between(start, end)).then(nw.col("amount")).otherwise(NOTHING)


def _lies_between(start: dt.datetime, end: dt.datetime) -> nw.Expr:
    return (nw.col("completed_at") >= start) & (nw.col("completed_at") < end)


def _log_ratio(later: nw.Expr, earlier: nw.Expr, unit: nw.Expr) -> nw.Expr:
    is_known = unit > 0
    some = nw.when(is_known).then(unit).otherwise(nw.lit(1.0))  # pandas computes both branches: no log of zero
    later, earlier = later.cast(nw.Float64).clip(0.0, None), earlier.cast(nw.Float64).clip(0.0, None)
    trend = ((later + some) / (earlier + some)).log().clip(-LARGEST_TREND, LARGEST_TREND)
    return nw.when(is_known).then(trend).otherwise(None)
