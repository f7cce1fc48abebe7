"""When in the year, the week or the day revenue is made, and how sure that is."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect, day_number
from crmlytics._orders import ORDER_ROLES
from crmlytics._validation import as_moment, check_choice, check_fraction, warn
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

CALLER = "seasonality_table"
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December")  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
HOURS = tuple(f"{hour:02d}:00" for hour in range(24))
LABELS = {"month": MONTHS, "weekday": WEEKDAYS, "hour": HOURS}
CYCLES = {"month": "years", "weekday": "weeks", "hour": "days"}
EPOCH = dt.datetime(1970, 1, 1)
SURE = 0.05
THURSDAY = 3  # 1970-01-01 was one
SCHEMA = nw.Schema(
    {"part": nw.String(), "part_number": nw.Int64(), "average_amount": nw.Float64(), "amount_index": nw.Float64()}
    | {"amount_index_low": nw.Float64(), "amount_index_high": nw.Float64(), "cycle_count": nw.Int64()}
    | {"strength_share": nw.Float64(), "is_reliable": nw.Boolean()}
)


def seasonality_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    of: str = "month",
    interval: float = 0.95,
) -> Any:
    r"""Measure how revenue is spread over the months of a year, the days of a week or the hours of a day.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``.
    as_of : date
        The moment up to which the data are known; lines on or after it are left out.
    of : {"month", "weekday", "hour"}, default "month"
        Months of the year, days of the week, or hours of the day.
    interval : float, default 0.95
        The probability with which the interval is to hold the index.

    Returns
    -------
    dataframe of the kind that came in, one row per month, weekday or hour, in their order
        ``part`` (String, ``"January"``, ``"Monday"`` or ``"08:00"``), ``part_number`` (Int64, month 1-12, weekday 1-7
        from Monday, hour 0-23),
        ``average_amount`` (Float64, mean revenue of the part; of a month per day, since months differ in length),
        ``amount_index`` (Float64, over the mean of all parts: 1.2 is 20 % above, and the mean of the column is 1),
        ``amount_index_low``, ``amount_index_high`` (Float64, the interval; null with one cycle),
        ``cycle_count`` (Int64, the years, weeks or days seen as a whole; the same in each row),
        ``strength_share`` (Float64, 0-1, how much of the variance within cycles the profile explains; above .64 a
        season is usually called strong; null with one cycle; the same in each row),
        ``is_reliable`` (Boolean, two cycles or more were seen, and their profile is more than chance would make of
        them, p <= 0.05; the same in each row).

    Raises
    ------
    SchemaError
        When no line lies before ``as_of``, no whole year, week or day was seen, revenue of them is not above zero, or
        no line has a time of day.

    Warns
    -----
    DataQualityWarning
        When a single year or week was seen: what looks like season may be growth or chance.

    Notes
    -----
    Years are twelve whole months each, counted back from the last month that is whole, so none is wasted; weeks are
    Monday to Sunday; weeks and days without any line are left out. The index of part *j* over cycles *c* is
    :math:`\sum_c x_{cj} / \sum_c \bar x_c`, so a poor year weighs little. Its interval comes from how the part varies
    from cycle to cycle, with Student's *t*: with two years it is honest and very wide. Steady growth from year to year
    is taken out of the months; with one year it cannot be told from the season. Strength is
    :math:`1 - \mathrm{var}(\text{rest}) / \mathrm{var}(\text{season} + \text{rest})`, not below zero. ``is_reliable``
    asks an analysis of variance by part; the bounds of an index are not below zero unless revenue was.

    Hours and weekdays of neighbouring days are alike, so intervals of hours are rather too narrow. Where the customers
    of weekdays and weekends differ, look at the hours of each on its own: filter the lines first.

    References: X. Wang, K. Smith, R. Hyndman, Characteristic-based clustering for time series data, Data Mining and
    Knowledge Discovery 13 (2006), 335-364. W. G. Cochran, Sampling techniques, 3rd ed. (1977), chapter 6.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.date_range("2024-01-01", periods=21)  # three weeks from a Monday on
    >>> amounts = [20.0] * 5 + [5.0, 5.0] + [10.0] * 14
    >>> orders = pd.DataFrame({"customer_id": 1, "order_id": range(21), "timestamp": days, "amount": amounts})
    >>> table = seasonality_table(orders, as_of="2024-01-22", of="weekday")
    >>> print(table[["part", "average_amount", "amount_index", "cycle_count"]].round(2).tail(3).to_string())
           part  average_amount  amount_index  cycle_count
    4    Friday           13.33          1.12            3
    5  Saturday            8.33          0.70            3
    6    Sunday            8.33          0.70            3
    """
    from crmlytics._kernels.seasonal_profiles import profile, without_trend

    check_choice(of, LABELS, name="of", caller=CALLER)
    interval = check_fraction(interval, name="interval", caller=CALLER)
    moment = as_moment(as_of, caller=CALLER)
    table = Transactions.bind(transactions).before(moment)
    lines = table.need(*ORDER_ROLES, caller=CALLER)
    cells, start = {"month": _years, "weekday": _weeks, "hour": _days}[of](lines, moment)
    _check(cells, of)
    found = profile(np.roll(without_trend(cells), start, axis=1) if of == "month" else cells, interval)
    parts = len(LABELS[of])
    columns = {
        "part": list(LABELS[of]),
        "part_number": [number + int(of != "hour") for number in range(parts)],
        "average_amount": np.roll(cells.mean(axis=0), start).tolist(),
        "amount_index": found.index.tolist(),
        "amount_index_low": found.lower,
        "amount_index_high": found.upper,
        "cycle_count": [len(cells)] * parts,
        "strength_share": np.full(parts, found.strength),
        "is_reliable": [found.p_value <= SURE] * parts,  # missing, with one cycle: false
    }
    return table.engine.from_columns(columns, SCHEMA)


# -- inside --------------------------------------------------------------------------------------------------------


def _by_day(lines: nw.LazyFrame[Any], as_of: dt.datetime) -> tuple[NDArray[np.int64], Vector]:
    """Return the days with a line, as days since 1970, and their revenue."""
    days = lines.with_columns(day=day_number(nw.col("timestamp"))).group_by("day").agg(nw.col("amount").sum())
    found = _some(collect(days.sort("day")), as_of)
    return found["day"].to_numpy().astype(np.int64), found["amount"].to_numpy().astype(np.float64)


def _some(rows: nw.DataFrame[Any], as_of: dt.datetime) -> nw.DataFrame[Any]:
    if not len(rows):
        msg = f"{CALLER}: no line lies before as_of={as_of:%Y-%m-%d %H:%M}. Check as_of and the data."
        raise SchemaError(msg)
    return rows


def _years(lines: nw.LazyFrame[Any], as_of: dt.datetime) -> tuple[Vector, int]:
    """Return revenue per day, one row per twelve whole months back from the last one, and which month comes first."""
    days, amounts = _by_day(lines, as_of)
    months = (days.astype("datetime64[D]").astype("datetime64[M]")).astype(np.int64)  # months since 1970
    end = (as_of.year - 1970) * 12 + as_of.month - 1
    first_is_whole = np.datetime64(int(days[0]), "D") == np.datetime64(int(months[0]), "M").astype("datetime64[D]")
    start = int(months[0]) + int(not first_is_whole)
    start = end - max((end - start) // 12, 0) * 12
    inside = (months >= start) & (months < end)
    sums = np.bincount(months[inside] - start, amounts[inside], minlength=end - start)
    edges = np.arange(start, end + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    years: Vector = (sums / np.diff(edges)).reshape(-1, 12)
    return years, start % 12


def _weeks(lines: nw.LazyFrame[Any], as_of: dt.datetime) -> tuple[Vector, int]:
    """Return revenue, one row per week from Monday to Sunday that is whole, also where nothing was sold on a day."""
    days, amounts = _by_day(lines, as_of)
    first = -(-(int(days[0]) + THURSDAY) // 7)  # weeks since the Monday before 1970
    last = ((as_of - EPOCH).days + THURSDAY) // 7
    day = days + THURSDAY - 7 * first
    inside = (day >= 0) & (day < 7 * (last - first))
    sums = np.bincount(day[inside], amounts[inside], minlength=max(7 * (last - first), 0))
    weeks: Vector = sums.astype(np.float64).reshape(-1, 7)
    return weeks[weeks.any(axis=1)], 0


def _days(lines: nw.LazyFrame[Any], as_of: dt.datetime) -> tuple[Vector, int]:
    """Return revenue, one row per day with a line, one column per hour; a day that is not over is left out."""
    moment = nw.col("timestamp")
    hours = lines.with_columns(day=day_number(moment), hour=moment.dt.hour().cast(nw.Int64))
    found = _some(collect(hours.group_by("day", "hour").agg(nw.col("amount").sum()).sort("day", "hour")), as_of)
    day, hour = (found[name].to_numpy().astype(np.int64) for name in ("day", "hour"))
    if not hour.any():
        msg = f'{CALLER}: no timestamp has a time of day. Take of="weekday" or of="month".'
        raise SchemaError(msg)
    known = day < (as_of - EPOCH).days
    rows = np.unique(day[known], return_inverse=True)[1]
    days = np.zeros((len(np.unique(rows)), 24))
    np.add.at(days, (rows, hour[known]), found["amount"].to_numpy().astype(np.float64)[known])
    return days, 0


def _check(cells: Vector, of: str) -> None:
    cycles = CYCLES[of]
    if not len(cells):
        shorter = {"month": "weekday", "weekday": "hour", "hour": None}[of]
        repair = f' Take of="{shorter}", or wait for more data.' if shorter else " Wait for more data."
        msg = f'{CALLER}: of="{of}" needs at least one whole {cycles[:-1]} before as_of, got none.{repair}'
        raise SchemaError(msg)
    if not cells.sum() > 0:
        msg = f"{CALLER}: revenue of all whole {cycles} is {cells.sum():.2f}: shares need an amount above zero."
        raise SchemaError(msg)
    if len(cells) == 1:
        warn(f"{CALLER}: one {cycles[:-1]} was seen, so season cannot be told from growth or chance; no intervals.")
