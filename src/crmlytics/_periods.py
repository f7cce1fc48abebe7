"""What the tables of money share: what a period is."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import collect, day_number, enter
from crmlytics._orders import ORDER_ROLES, orders_of
from crmlytics._validation import DURATION, as_days, as_moment
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from matplotlib.axes import Axes

MONTHS_IN = {"month": 1, "quarter": 3, "year": 12}
ENOUGH_PERIODS = 10_000_000  # keeps a floor division positive: engines round negative ones differently
EPOCH = dt.date(1970, 1, 1).toordinal()
NOTHING = 5e-7  # amounts that cancel out leave a rest of about this size in floats
MONTHS_OF_QUARTERS = {1, 4, 7, 10}
MOST_LABELS = 14  # that fit beside one another
PALE = 0.45
PERIOD_SCHEMA = nw.Schema({
    "period_index": nw.Int64(), "period_start": nw.Datetime("us"), "period_end": nw.Datetime("us"),
    "is_complete": nw.Boolean(),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class PeriodGrid:
    """Periods that follow one another without a gap, numbered by whole numbers, up to ``as_of``.

    Attributes
    ----------
    months : int
        Length in calendar months, 0 for periods of days.
    days : int
        Length in days, 0 for calendar periods. The last such period ends with the last day before ``as_of``.
    as_of : datetime
        The moment before which lines are known.
    """

    months: int
    days: int
    as_of: dt.datetime

    @property
    def last(self) -> int:
        """The number of the period that holds the last moment before ``as_of``."""
        return self.number_of(self._last_moment)

    def number(self, moment: nw.Expr) -> nw.Expr:
        """Return the number of the period that holds a moment, as Int64."""
        if self.months:
            return (moment.dt.year().cast(nw.Int64) * 12 + moment.dt.month().cast(nw.Int64) - 1) // self.months
        shift = ENOUGH_PERIODS * self.days - (self._origin - EPOCH)
        return (day_number(moment) + shift) // self.days - ENOUGH_PERIODS

    def number_of(self, moment: dt.datetime) -> int:
        """Return the number of the period that holds a moment."""
        if self.months:
            return (moment.year * 12 + moment.month - 1) // self.months
        return (moment.toordinal() - self._origin) // self.days

    def start(self, number: int) -> dt.datetime:
        """Return the moment at which a period begins, and the one before it ends."""
        if self.months:
            year, month = divmod(number * self.months, 12)
            return dt.datetime(year, month + 1, 1)
        return dt.datetime.fromordinal(self._origin + number * self.days)

    def rows(self, transactions: Transactions, lines: nw.LazyFrame[Any], *, caller: str) -> nw.LazyFrame[Any]:
        """Return one row for each period from the first line to ``as_of``, also for those without any line.

        Columns: ``period_index``, ``period_start``, ``period_end``, ``is_complete``.

        This asks even a lazy engine for one number, the moment of the first line: no engine-neutral plan makes rows
        for months in which nothing happened, and a month without orders that is missing from a table goes unnoticed.
        """
        found = collect(lines.select(nw.col("timestamp").min()))["timestamp"]
        if found.is_null().any():
            msg = f"{caller}: no line lies before as_of={self.as_of:%Y-%m-%d %H:%M}. Check as_of and the data."
            raise SchemaError(msg)
        first = as_moment(found[0], name="timestamp", caller=caller)
        numbers = range(self.number_of(first), self.last + 1)
        starts, ends = [self.start(n) for n in numbers], [self.start(n + 1) for n in numbers]
        covered = [first.date() <= start.date() for start in starts[:1]] + [True] * (len(numbers) - 1)
        complete = [known and end <= self.as_of for known, end in zip(covered, ends, strict=True)]
        columns: dict[str, list[Any]] = dict(zip(PERIOD_SCHEMA, (list(numbers), starts, ends, complete), strict=True))
        return enter(transactions.engine.from_columns(columns, PERIOD_SCHEMA), caller=caller)[0]

    @property
    def _last_moment(self) -> dt.datetime:
        return self.as_of - dt.timedelta(microseconds=1)

    @property
    def _origin(self) -> int:
        """The day after the last one known, as a proleptic ordinal: periods of days are counted back from it."""
        return self._last_moment.toordinal() + 1


def period_grid(period: Any, *, as_of: dt.datetime, caller: str) -> PeriodGrid:
    """Read ``"month"``, ``"quarter"``, ``"year"``, or a number of days or weeks such as ``"7d"`` or ``"4w"``."""
    if isinstance(period, str) and period in MONTHS_IN:
        return PeriodGrid(MONTHS_IN[period], 0, as_of)
    if isinstance(period, dt.timedelta) or (isinstance(period, str) and re.match(DURATION, period)):
        return PeriodGrid(0, as_days(period, name="period", caller=caller), as_of)
    hint = ' For weeks write "7d".' if isinstance(period, str) and period.lower().startswith("week") else ""
    msg = (
        f'{caller}: period must be "month", "quarter", "year" or a number of days or weeks such as "7d" or "4w", '
        f"got {period!r}.{hint}"
    )
    raise SchemaError(msg)


def opened(
    transactions: Transactions | Any, *, as_of: Any, period: Any, caller: str
) -> tuple[Transactions, nw.LazyFrame[Any], PeriodGrid]:
    """Open what every table by period is made from: the contract up to ``as_of``, its lines, and the periods."""
    grid = period_grid(period, as_of=as_moment(as_of, caller=caller), caller=caller)
    table = Transactions.bind(transactions).before(grid.as_of)
    return table, table.need(*ORDER_ROLES, caller=caller), grid


def customer_periods(lines: nw.LazyFrame[Any], grid: PeriodGrid) -> nw.LazyFrame[Any]:
    """One row per customer and period with a line: what everything else about periods is counted from.

    Columns: ``customer_id``, ``period_index``, ``amount`` (returns taken off), ``order_count``, ``is_active`` (Int64,
    1 with an order), ``last_order_day`` and ``first_order_day`` (Float64 day numbers, null without an order).
    """
    orders = orders_of(lines.with_columns(period_index=grid.number(nw.col("timestamp"))), "customer_id", "period_index")
    day = nw.when(nw.col("is_order") == 1).then(day_number(nw.col("ordered_at")).cast(nw.Float64)).otherwise(None)
    return (
        orders.with_columns(_day=day.cast(nw.Float64))
        .group_by("customer_id", "period_index")
        .agg(
            nw.col("amount").sum(),
            order_count=nw.col("is_order").sum(),
            is_active=nw.col("is_order").max(),
            first_order_day=nw.col("_day").min(),
            last_order_day=nw.col("_day").max(),
        )
        .with_columns(
            nw.col("amount").cast(nw.Float64), nw.col("order_count").cast(nw.Int64), nw.col("is_active").cast(nw.Int64)
        )
    )


def first_active_period(periods: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """One row per customer who ever ordered: ``customer_id`` and ``first_index``, the period of the first order."""
    active = periods.filter(nw.col("is_active") == 1)
    return active.group_by("customer_id").agg(first_index=nw.col("period_index").min())


def ratio(numerator: str, denominator: str) -> nw.Expr:
    """Divide two columns as Float64; null where the denominator is not above zero, but for the last bits of a sum."""
    above = nw.col(denominator).cast(nw.Float64)
    return nw.when(above > NOTHING).then(nw.col(numerator).cast(nw.Float64) / above).otherwise(None).cast(nw.Float64)


def filled(counts: tuple[str, ...], amounts: tuple[str, ...]) -> list[nw.Expr]:
    """Return counts as Int64 and amounts as Float64, with 0 where a period had none."""
    return [nw.col(name).fill_null(0).cast(nw.Int64) for name in counts] + [
        nw.col(name).fill_null(0.0).cast(nw.Float64) for name in amounts
    ]


def period_labels(starts: Iterable[Any]) -> list[str]:
    """Name periods by their start: as years, as quarters, as months if all begin on the first of one, else as dates."""
    moments = list(starts)
    months = [12 * moment.year + moment.month for moment in moments]
    if not all(moment.day == 1 for moment in moments):
        return [f"{moment:%Y-%m-%d}" for moment in moments]
    if all(moment.month == 1 for moment in moments) and len(moments) > 1:
        return [f"{moment:%Y}" for moment in moments]
    by_threes = all(later - month == MONTHS_IN["quarter"] for month, later in pairwise(months)) and len(moments) > 1
    if by_threes and {moment.month for moment in moments} <= MONTHS_OF_QUARTERS:
        return [f"Q{(moment.month + 2) // 3} {moment.year}" for moment in moments]
    return [f"{moment:%Y-%m}" for moment in moments]


def label_periods(ax: Axes, rows: Any) -> None:
    """Write the periods under the bars, skipping some when there are many."""
    labels = period_labels(rows["period_start"])
    step = -(-len(labels) // MOST_LABELS) or 1
    places = range(0, len(labels), step)
    ax.set_xticks(list(places), [labels[place] for place in places], rotation=30, ha="right", rotation_mode="anchor")


def draw_bars(ax: Axes, rows: Any, heights: Any, colour: str, **more: Any) -> None:
    """Draw one bar a period, pale where the period is not complete."""
    bars = ax.bar(range(len(rows)), heights, color=colour, width=0.72, **more)
    for bar, complete in zip(bars, rows["is_complete"], strict=True):
        bar.set_alpha(1.0 if complete else PALE)


def draw_stacks(ax: Axes, rows: Any, parts: Mapping[str, tuple[str, str]]) -> None:
    """Stack the parts of a change up and down from zero, label to (column, colour), with a dot at their sum."""
    from crmlytics._plots import INK, MUTED

    above, below = [0.0] * len(rows), [0.0] * len(rows)
    for label, (column, colour) in parts.items():
        heights = [float(height) for height in rows[column]]
        if not any(heights):
            continue
        bottoms = [up if height >= 0 else down for height, up, down in zip(heights, above, below, strict=True)]
        draw_bars(ax, rows, heights, colour, bottom=bottoms, label=label)
        above = [up + max(height, 0.0) for height, up in zip(heights, above, strict=True)]
        below = [down + min(height, 0.0) for height, down in zip(heights, below, strict=True)]
    ax.axhline(0, color=MUTED, linewidth=0.8)
    ax.plot(range(len(rows)), rows["amount_change"].astype(float), "o", color=INK, markeredgecolor="white",
            markersize=7, label="Change")  # fmt: skip
    label_periods(ax, rows)
    ax.legend(frameon=False, ncols=4, loc="upper left", bbox_to_anchor=(0, -0.16), fontsize=9)
