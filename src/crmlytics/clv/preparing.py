"""From order lines to what the models of :mod:`crmlytics.clv` read, and to what their forecasts are judged by."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import day_number, days_between
from crmlytics._orders import gather
from crmlytics._validation import as_days, as_moment, check_choice
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    from narwhals.stable.v2 import LazyFrame


FIRST_PURCHASE = ("leave_out", "count_in")


def btyd_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    unit: str = "7d",
    start: str | dt.date | dt.datetime | None = None,
    with_intervals: bool = False,
    first_purchase: str = "leave_out",
) -> Any:
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
    start : date, optional
        Keep the cohort acquired on this day or later. Customers who bought before are left out, see Notes; they are
        ``len(btyd_table(..., as_of=start))``.
    with_intervals : bool, default False
        Add ``log_interval_sum``, which the models with regular purchases (CNBD-k) choose their k by.
    first_purchase : {"leave_out", "count_in"}, default "leave_out"
        Whether the first purchase day enters ``monetary_value``.

    Returns
    -------
    dataframe of the kind that came in, one row per customer with a purchase, sorted by ``customer_id``
        ``frequency`` (Int64, days with a purchase after the first one), ``recency`` (Float64, units from the first to
        the last purchase), ``T`` (Float64, units from the first purchase to the last day watched),
        ``monetary_value`` (Float64, mean total of a purchase day, the first one left out; null if ``frequency`` is 0.
        With ``first_purchase="count_in"`` the mean of all purchase days, and never null).
        With intervals also ``log_interval_sum`` (Float64, sum over repeat purchases of the natural logarithm of the
        units since the purchase before; 0 without a repeat purchase).

    Raises
    ------
    SchemaError
        If ``start`` does not lie before ``as_of``, or a word or duration is not one that is known.

    Notes
    -----
    A day is a purchase day if its lines add up to more than zero, or if they are free but none is a return. A day of
    returns, or of a purchase cancelled the same day, is none, and its amount enters nothing: ``monetary_value`` is
    what purchase days brought in, before returns on other days. To take these off, pair returns with their originals:
    ``Transactions(..., returns="match")``. The first purchase is left out of ``monetary_value`` because it is often
    unlike the others and the models predict repeat purchases (Fader and Hardie 2013).

    The models take the first purchase in the table for the customer's first ever. Where the data begin in the midst of
    business, those who bought before look newly acquired on their next purchase, and like faster buyers than they are.
    Cutting the lines off (``Transactions.between``) does just that. ``start`` does not: earlier lines are read, in
    order to know whom to leave out. Give it a day late enough for old customers to have shown themselves.

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
    >>> btyd_table(orders, as_of="2024-02-06", start="2024-01-15", first_purchase="count_in")
      customer_id  frequency  recency    T  monetary_value
    0           b          0      0.0  2.0             7.0
    """
    caller = "btyd_table"
    as_of = as_moment(as_of, caller=caller)
    unit_days = float(as_days(unit, name="unit", caller=caller))
    first_purchase = check_choice(first_purchase, FIRST_PURCHASE, name="first_purchase", caller=caller)
    table = Transactions.bind(transactions).before(as_of)
    days = purchase_days(table, caller=caller)
    if with_intervals:
        days = _with_log_intervals(days, unit_days)
    customers = _histories(days, counts_first=first_purchase == "count_in", with_intervals=with_intervals)
    if start is not None:
        customers = customers.filter(nw.col("first") >= _start_day(start, as_of, caller=caller))
    result = customers.with_columns(_unit=_unit_column(nw.col("day_count"), unit_days)).select(
        "customer_id",
        frequency=(nw.col("day_count") - 1).cast(nw.Int64),
        recency=(day_number(nw.col("last")) - day_number(nw.col("first"))).cast(nw.Float64) / nw.col("_unit"),
        T=_elapsed(nw.col("first"), as_of) / nw.col("_unit"),
        monetary_value=_mean(nw.col("valued_amount"), nw.col("valued_count")),
        **({"log_interval_sum": nw.col("log_interval_sum").fill_null(0.0).cast(nw.Float64)} if with_intervals else {}),
    )
    return table.to_native(result.sort("customer_id"))


def holdout_table(
    transactions: Transactions | Any,
    *,
    calibration_end: str | dt.date | dt.datetime,
    as_of: str | dt.date | dt.datetime,
    unit: str = "7d",
    start: str | dt.date | dt.datetime | None = None,
    with_intervals: bool = False,
) -> Any:
    """Split each customer's purchases into what a model may learn from and what its forecast is judged by.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``timestamp`` and ``amount``.
    calibration_end : date
        The first day of the holdout. Nothing on or after it enters ``frequency``, ``recency``, ``T`` and
        ``monetary_value``.
    as_of : date
        The day described from: the holdout ends before it, lines on or after it are left out.
    unit : str, default "7d"
        The unit of time of the result, in days or weeks, as in :func:`btyd_table`.
    start : date, optional
        Keep the customers acquired on that day or later, as in :func:`btyd_table`.
    with_intervals : bool, default False
        Add ``log_interval_sum`` of the calibration period, as in :func:`btyd_table`; null for a late joiner.

    Returns
    -------
    dataframe of the kind that came in, one row per customer with a purchase before ``as_of``, sorted by ``customer_id``
        ``frequency`` (Float64, whole numbers; null for a late joiner, hence not Int64), ``recency``, ``T`` and
        ``monetary_value`` (Float64) are those of ``btyd_table(..., as_of=calibration_end)``; null for a late joiner.
        ``holdout_frequency`` (Int64, days with a purchase in the holdout), ``holdout_duration`` (Float64, units from
        ``calibration_end`` to ``as_of``, the same for all), ``holdout_monetary_value`` (Float64, mean total of a
        purchase day in the holdout; null without one), ``late_joiner`` (Boolean, the first purchase was in the
        holdout).

    Raises
    ------
    SchemaError
        If ``calibration_end`` is not the beginning of a day, or does not lie before ``as_of``.

    Notes
    -----
    Judge a forecast for known customers by the rows that are not late joiners. Late joiners are there so that nothing
    is lost: ``holdout_frequency`` counts their first purchase too, so that its sum is all purchase days of the holdout.
    Their repeat purchases are ``holdout_frequency - 1``, made in the time since they joined: for these,
    ``btyd_table(..., as_of=as_of, start=calibration_end)`` is the table.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "a", "a", "a", "b"], "amount": [10.0, 4.0, 6.0, 9.0, 7.0],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-08", "2024-01-29", "2024-01-29", "2024-01-23"]),
    ... })
    >>> holdout = holdout_table(orders, calibration_end="2024-01-16", as_of="2024-02-06")
    >>> holdout[["customer_id", "frequency", "T", "holdout_frequency", "late_joiner"]]
      customer_id  frequency    T  holdout_frequency  late_joiner
    0           a        1.0  2.0                  1        False
    1           b        NaN  NaN                  1         True
    >>> holdout["holdout_monetary_value"].tolist()
    [15.0, 7.0]
    """
    caller = "holdout_table"
    as_of = as_moment(as_of, caller=caller)
    calibration_end = split_day(calibration_end, as_of, caller=caller)
    unit_days = float(as_days(unit, name="unit", caller=caller))
    table = Transactions.bind(transactions).before(as_of)
    days = days_as_known(table, calibration_end, caller=caller)
    if with_intervals:
        days = _with_log_intervals(days, unit_days)
    customers = _split_histories(days, calibration_end, with_intervals=with_intervals)
    if start is not None:
        customers = customers.filter(nw.col("first") >= _start_day(start, as_of, caller=caller))
    unit_column = _unit_column(nw.col("holdout_count"), unit_days)
    duration = nw.lit(float(holdout_days(calibration_end, as_of)))
    known, in_units = nw.col("known_count") > 0, nw.col("_unit")
    result = customers.with_columns(_unit=unit_column).select(
        "customer_id",
        frequency=nw.when(known).then((nw.col("known_count") - 1).cast(nw.Float64)).otherwise(None),
        recency=nw.when(known).then((nw.col("last_number") - nw.col("first_number")).cast(nw.Float64) / in_units),
        T=nw.when(known).then(_elapsed(nw.col("first"), calibration_end) / in_units),
        monetary_value=_mean(nw.col("later_amount"), nw.col("known_count") - 1),
        holdout_frequency=nw.col("holdout_count").cast(nw.Int64),
        holdout_duration=duration / in_units,
        holdout_monetary_value=_mean(nw.col("holdout_amount"), nw.col("holdout_count")),
        late_joiner=~known,
        **({"log_interval_sum": nw.when(known).then(nw.col("log_interval_sum"))} if with_intervals else {}),
    )
    return table.to_native(result.sort("customer_id"))


def last_day_before(moment: dt.datetime) -> dt.datetime:
    """Return the last moment of the last day watched by somebody who stops at ``moment``."""
    return moment - dt.timedelta(microseconds=1)


def holdout_days(calibration_end: dt.datetime, as_of: dt.datetime) -> int:
    """Days watched from ``calibration_end``, the beginning of a day, to ``as_of``."""
    return (last_day_before(as_of).date() - calibration_end.date()).days + 1


def split_day(calibration_end: Any, as_of: dt.datetime, *, caller: str) -> dt.datetime:
    """Read the day that splits calibration from holdout: the beginning of a day, before ``as_of``."""
    moment = as_moment(calibration_end, name="calibration_end", caller=caller)
    if moment.time() != dt.time():
        msg = (
            f"{caller}: calibration_end must be the beginning of a day, got {moment}: the purchases of one day count "
            f'as one, on one side of it. Write calibration_end="{moment.date()}".'
        )
        raise SchemaError(msg)
    if moment >= as_of:
        msg = f"{caller}: calibration_end must lie before as_of, got {moment} and {as_of}: the holdout is in between."
        raise SchemaError(msg)
    return moment


def purchase_days(table: Transactions, *, caller: str) -> LazyFrame[Any]:
    """One row per customer and day with a purchase: customer_id, day, amount."""
    lines = table.need("customer_id", "timestamp", "amount", caller=caller)
    lines = lines.with_columns(day=nw.col("timestamp").dt.truncate("1d"))
    if not table.may_hold_returns:  # then every day with a line is one, and its sum is all there is to know
        return lines.group_by("customer_id", "day").agg(nw.col("amount").sum())
    days = gather(lines, "customer_id", "day")
    return days.filter(nw.col("is_order") == 1).select("customer_id", "day", "amount")


def days_as_known(table: Transactions, calibration_end: dt.datetime, *, caller: str) -> LazyFrame[Any]:
    """Return the same, but those before ``calibration_end`` as they were known then.

    Where returns are paired with their originals, one made later takes an order back that was known to be one.
    """
    days = purchase_days(table, caller=caller)
    if table.returns != "match":
        return days
    known = purchase_days(table.before(calibration_end), caller=caller)
    return nw.concat([known, days.filter(nw.col("day") >= calibration_end)])


def _start_day(start: Any, as_of: dt.datetime, *, caller: str) -> dt.datetime:
    moment = as_moment(start, name="start", caller=caller)
    if moment >= as_of:
        msg = f"{caller}: start must lie before as_of, got {moment} and {as_of}."
        raise SchemaError(msg)
    return dt.datetime.combine(moment.date(), dt.time())


def _with_log_intervals(days: LazyFrame[Any], unit_days: float) -> LazyFrame[Any]:
    """Add ``log_interval``: ln of the units since the customer's purchase day before, null for the first."""
    before = nw.col("_number").shift(1).over("customer_id", order_by="_number")
    return (
        days.with_columns(_number=day_number(nw.col("day")))  # before the shift: no engine casts a missing date
        .with_columns(_gap=(nw.col("_number") - before).cast(nw.Float64))
        .with_columns(log_interval=(nw.col("_gap") / unit_days).log())
    )


def _histories(days: LazyFrame[Any], *, counts_first: bool, with_intervals: bool) -> LazyFrame[Any]:
    """One row per customer: first and last day, number of days, and the amount and number of the days valued."""
    more = {"log_interval_sum": nw.col("log_interval").sum()} if with_intervals else {}
    if not counts_first:
        first = nw.col("day").min().over("customer_id")
        valued = nw.when(nw.col("day") > first).then(nw.col("amount")).otherwise(nw.lit(0.0))
        days = days.with_columns(amount=valued)
    customers = days.group_by("customer_id").agg(
        first=nw.col("day").min(),
        last=nw.col("day").max(),
        day_count=nw.len(),
        valued_amount=nw.col("amount").sum(),
        **more,
    )
    return customers.with_columns(valued_count=nw.col("day_count") - (0 if counts_first else 1))


def _split_histories(days: LazyFrame[Any], calibration_end: dt.datetime, *, with_intervals: bool) -> LazyFrame[Any]:
    """One row per customer: purchase days before and from ``calibration_end``, and their amounts."""
    day, amount, none = nw.col("day"), nw.col("amount"), nw.lit(0.0)
    known, first = day < calibration_end, nw.col("first")
    interval = nw.when(known).then(nw.col("log_interval").fill_null(0.0)).otherwise(none)
    more = {"log_interval_sum": nw.col("_interval").sum()} if with_intervals else {}
    days = days.with_columns(_interval=interval) if with_intervals else days
    return (
        days.with_columns(first=day.min().over("customer_id"), _number=day_number(day))
        .with_columns(
            _known=known.cast(nw.Int64),
            _last=nw.when(known).then(nw.col("_number")).otherwise(day_number(first)),
            _later=nw.when(known & (day > first)).then(amount).otherwise(none),
            _holdout=nw.when(known).then(none).otherwise(amount),
        )
        .group_by("customer_id")
        .agg(
            first=first.min(),
            first_number=nw.col("_number").min(),
            last_number=nw.col("_last").max(),
            known_count=nw.col("_known").sum(),
            day_count=nw.len(),
            later_amount=nw.col("_later").sum(),
            holdout_amount=nw.col("_holdout").sum(),
            **more,
        )
        .with_columns(holdout_count=nw.col("day_count").cast(nw.Int64) - nw.col("known_count"))
    )


def _unit_column(column: nw.Expr, unit_days: float) -> nw.Expr:
    """Return the days of a unit, made of a column so that every engine divides by it to the same last bit.

    Polars multiplies by the reciprocal of what it knows to be one number. No optimiser may fold x * 0.0, since x could
    be NaN.
    """
    return column.cast(nw.Float64) * 0.0 + unit_days


def _elapsed(first: nw.Expr, end: dt.datetime) -> nw.Expr:
    return days_between(first, last_day_before(end)).cast(nw.Float64)


def _mean(total: nw.Expr, count: nw.Expr) -> nw.Expr:
    return nw.when(count > 0).then(total / count.cast(nw.Float64)).otherwise(None).cast(nw.Float64)
