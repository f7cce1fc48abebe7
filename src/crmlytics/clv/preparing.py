"""From order lines to what the models of :mod:`crmlytics.clv` read: frequency, recency, T and monetary value."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import day_number, days_between
from crmlytics._orders import gather
from crmlytics._validation import as_days, as_moment
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    from narwhals.stable.v2 import LazyFrame


def btyd_table(transactions: Transactions | Any, *, as_of: str | dt.date | dt.datetime, unit: str = "7d") -> Any:
    """Summarise each customer's purchases before ``as_of`` as the models of this module read them.

    The purchases of one customer on one day count as one. The last day before ``as_of`` is the last one watched, so
    time runs to that day: with ``as_of="1997-10-01"`` and the CDNOW data this gives the published figures.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``timestamp`` and ``amount``.
    as_of : date
        The day described from; lines on or after it are left out, so nothing leaks from the future.
    unit : str, default "7d"
        The unit of time of the result, in days or weeks: elapsed days are divided by it, never counted in calendar
        weeks. Give the same ``unit`` to the model.

    Returns
    -------
    dataframe of the kind that came in, one row per customer with a purchase, sorted by ``customer_id``
        ``frequency`` (Int64, days with a purchase after the first one), ``recency`` (Float64, units from the first to
        the last purchase), ``T`` (Float64, units from the first purchase to the last day watched),
        ``monetary_value`` (Float64, mean total of a purchase day, the first one left out; null if ``frequency`` is 0).

    Notes
    -----
    A day is a purchase day if its lines add up to more than zero, or if they are free but none is a return. A day of
    returns, or of a purchase cancelled the same day, is none, and its amount enters nothing: ``monetary_value`` is
    what purchase days brought in, before returns on other days. To take these off, pair returns with their originals:
    ``Transactions(..., returns="match")``. The first purchase is left out of ``monetary_value`` because it is often
    unlike the others and the models predict repeat purchases (Fader and Hardie 2013).

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "a", "a", "b"], "amount": [10.0, 4.0, 6.0, 7.0],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-08", "2024-01-29", "2024-01-22"]),
    ... })
    >>> btyd_table(orders, as_of="2024-02-06")
      customer_id  frequency  recency    T  monetary_value
    0           a          2      4.0  5.0             5.0
    1           b          0      0.0  2.0             NaN
    """
    caller = "btyd_table"
    as_of = as_moment(as_of, caller=caller)
    days = float(as_days(unit, name="unit", caller=caller))
    table = Transactions.bind(transactions).before(as_of)
    lines = table.need("customer_id", "timestamp", "amount", caller=caller)
    last_day = as_of - dt.timedelta(microseconds=1)
    # Polars multiplies by the reciprocal of what it knows to be one number, which moves the last bit. Made of a column
    # (no optimiser may fold x * 0.0, since x could be NaN) the unit divides the same on every engine
    in_units = nw.col("day_count").cast(nw.Float64) * 0.0 + days
    per_customer = (
        _histories(_purchase_days(lines, may_hold_returns=table.may_hold_returns))
        .with_columns(_unit=in_units)
        .select(
            "customer_id",
            frequency=(nw.col("day_count") - 1).cast(nw.Int64),
            recency=(day_number(nw.col("last")) - day_number(nw.col("first"))).cast(nw.Float64) / nw.col("_unit"),
            T=days_between(nw.col("first"), last_day).cast(nw.Float64) / nw.col("_unit"),
            monetary_value=nw.when(nw.col("day_count") > 1)
            .then(nw.col("later_amount") / (nw.col("day_count") - 1).cast(nw.Float64))
            .otherwise(None)
            .cast(nw.Float64),
        )
    )
    return table.to_native(per_customer.sort("customer_id"))


def _purchase_days(lines: LazyFrame[Any], *, may_hold_returns: bool) -> LazyFrame[Any]:
    """One row per customer and day with a purchase: customer_id, day, amount."""
    lines = lines.with_columns(day=nw.col("timestamp").dt.truncate("1d"))
    if not may_hold_returns:  # then every day with a line is one, and its sum is all there is to know
        return lines.group_by("customer_id", "day").agg(nw.col("amount").sum())
    days = gather(lines, "customer_id", "day")
    return days.filter(nw.col("is_order") == 1).select("customer_id", "day", "amount")


def _histories(days: LazyFrame[Any]) -> LazyFrame[Any]:
    """One row per customer: first and last day, number of days, amount of all days after the first."""
    first = nw.col("day").min().over("customer_id")
    later = nw.when(nw.col("day") > first).then(nw.col("amount")).otherwise(nw.lit(0.0))
    return (
        days.with_columns(later=later)
        .group_by("customer_id")
        .agg(
            first=nw.col("day").min(),
            last=nw.col("day").max(),
            day_count=nw.len(),
            later_amount=nw.col("later").sum(),
        )
    )
