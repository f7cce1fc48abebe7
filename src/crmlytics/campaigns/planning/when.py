"""The events that a trigger waits for: what must have happened to a customer, or not have happened.

Each is a frozen description to be given to :class:`~crmlytics.campaigns.Trigger`; nothing is read before
:func:`~crmlytics.campaigns.trigger_table` asks.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import narwhals.stable.v2 as nw
import pandas as pd

from crmlytics._frames import collect, day_number
from crmlytics._native import settle_objects
from crmlytics._orders import ORDER_ROLES, orders_of
from crmlytics._validation import as_days, as_seconds, check_amount, check_count, read_length
from crmlytics.campaigns.planning._records import in_force, records_of
from crmlytics.campaigns.planning._trigger_windows import DAY, EPOCH, found, refuse_unknown, rows_of
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from crmlytics.campaigns.planning._trigger_windows import Window
    from crmlytics.tables import Customers, Events, Subscriptions, Tickets, Transactions

__all__ = ["Anniversary", "ContractEnd", "Event", "LowMark", "Order", "Overdue", "Silence"]

CALLER = "trigger_table"
LEAP_DAY = 229
ROUNDING = 1e-9  # 2.2 x 5 days are 11


@dataclass(frozen=True, slots=True)
class Order:
    """An order was placed: any, a customer's first, fifth ..., or one above an amount. Reads ``transactions``.

    Parameters
    ----------
    number : int, optional
        Only the order of this number of a customer, 1 for the first in the data.
    at_least : float, optional
        Only orders of this amount or more, in the currency of ``amount``, returns known at ``as_of`` taken off.

    Notes
    -----
    Credit notes are no orders. An order lies where its first line lies, and counts with the lines known at ``as_of``.

    Examples
    --------
    >>> Order(number=1, at_least=50.0)
    Order(number=1, at_least=50.0)
    """

    source: ClassVar[str] = "transactions"

    number: int | None = None
    at_least: float | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.number is not None:
            check_count(self.number, name="number", caller="when.Order")
        if self.at_least is not None:
            check_amount(self.at_least, name="at_least", caller="when.Order", positive=True)

    def find(self, orders: nw.LazyFrame[Any], window: Window) -> pd.DataFrame:
        """Return the last such order of each customer in the window."""
        low, _ = window.moments()
        recent = orders.filter(nw.col("ordered_at") >= low)
        earlier = orders.filter(nw.col("ordered_at") < low).group_by("customer_id").agg(_before=nw.len())
        recent = recent.join(earlier, on="customer_id", how="left") if self.number is not None else recent
        rows = rows_of(recent.sort("customer_id", "ordered_at", "order_id"))
        if self.number is not None:  # numbered here: few orders lie in the window, however long the history
            before = rows["_before"].astype("Float64").fillna(0.0)
            rows = rows[rows.groupby("customer_id").cumcount() + 1 + before == self.number]
        if self.at_least is not None:
            rows = rows[rows["amount"] >= self.at_least]
        rows = rows.drop_duplicates("customer_id", keep="last")
        which = "order" if self.number is None else f"order {self.number}"
        reasons = [f"{which} on {at:%Y-%m-%d}, of {amount:,.2f}" for at, amount in _pairs(rows, "ordered_at", "amount")]
        return found(rows["customer_id"], rows["ordered_at"], reasons)


@dataclass(frozen=True, slots=True)
class Silence:
    """No order for so many days. Reads ``transactions``.

    Parameters
    ----------
    silent_for : str or timedelta, default "90d"
        Calendar days since the last order, which is the event: due on the day on which as many have passed.

    Notes
    -----
    With the usual ``within="1d"`` a customer is due on one day only: who fell silent before the trigger was set up is
    not, or all of them would be contacted at once. For these there is :func:`~crmlytics.churn.watchlist`.
    """

    source: ClassVar[str] = "transactions"

    silent_for: str | dt.timedelta = "90d"

    def __post_init__(self) -> None:
        """Check the duration."""
        as_days(self.silent_for, name="silent_for", caller="when.Silence")

    def find(self, orders: nw.LazyFrame[Any], window: Window) -> pd.DataFrame:
        """Return the customers whose silence has lasted as long within the window."""
        silent = as_days(self.silent_for, name="silent_for", caller="when.Silence") * DAY
        low, high = window.days(silent)
        last = orders.group_by("customer_id").agg(last=nw.col("completed_at").max())
        rows = rows_of(last.filter((nw.col("last") >= low) & (nw.col("last") < high)).sort("customer_id"))
        reasons = [f"no order for {(window.as_of.date() - at.date()).days} days" for at in rows["last"]]
        return found(rows["customer_id"], rows["last"], reasons, due=rows["last"].dt.floor("D") + silent)


@dataclass(frozen=True, slots=True)
class Overdue:
    """No order for longer than the customer's own interval allows. Reads ``transactions``.

    Parameters
    ----------
    factor : float, default 2.0
        How many of the customer's mean intervals between days with an order must have passed, at least 1.
    min_day_count : int, default 4
        The fewest days with an order that an interval is told from.

    Notes
    -----
    The mean interval of a few orders is rough; :func:`~crmlytics.sequences.overdue_table` draws it towards everybody's.
    Here a rule is wanted that can be told in one sentence, and that a customer passes on one known day.
    """

    source: ClassVar[str] = "transactions"

    factor: float = 2.0
    min_day_count: int = 4

    def __post_init__(self) -> None:
        """Check the numbers."""
        if check_amount(self.factor, name="factor", caller="when.Overdue") < 1:
            raise SchemaError(f"when.Overdue: factor must be 1 or more, got {self.factor!r}: nobody is late before it.")
        check_count(self.min_day_count, name="min_day_count", caller="when.Overdue", least=2)

    def find(self, orders: nw.LazyFrame[Any], window: Window) -> pd.DataFrame:
        """Return the customers who became overdue within the window."""
        dated = orders.with_columns(day=day_number(nw.col("ordered_at")))
        moments = {"last": nw.col("completed_at").max()}
        days = {"first_day": nw.col("day").min(), "last_day": nw.col("day").max(), "days": nw.col("day").n_unique()}
        per_customer = dated.group_by("customer_id").agg(**moments, **days)
        enough = per_customer.filter(nw.col("days") >= self.min_day_count)
        span = (nw.col("last_day") - nw.col("first_day")).cast(nw.Float64)
        usual = enough.with_columns(usual=span / (nw.col("days").cast(nw.Float64) - 1))
        waited = -((ROUNDING - self.factor * nw.col("usual")).floor())  # whole days, rounded up
        late = usual.with_columns(due_day=day_number(nw.col("last")) + waited.cast(nw.Int64))
        first, end = ((at - EPOCH).days for at in window.days(0 * DAY))
        late = late.filter((nw.col("due_day") >= first) & (nw.col("due_day") < end))
        rows = rows_of(late.select("customer_id", "last", "usual", "due_day").sort("customer_id"))
        reasons = [
            f"no order for {(window.as_of.date() - at.date()).days} days, usually every {usual:.1f}"
            for at, usual in _pairs(rows, "last", "usual")
        ]
        due = [EPOCH + int(day) * DAY for day in rows["due_day"]]
        return found(rows["customer_id"], rows["last"], reasons, due=due)


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened, and did not lead to anything: a cart that was left, or any event at all. Reads ``events``.

    Parameters
    ----------
    event : str or list of str
        The event that begins it, such as ``"add_to_cart"``; the last one of a customer counts.
    without : str or list of str, optional
        What must not have followed by ``as_of``, such as ``"purchase"``.
    wait : str or timedelta, default "0d"
        How long to wait for that: ``"1h"``, ``"1d"``.

    Examples
    --------
    >>> Event("add_to_cart", without="purchase", wait="1d")
    Event(event='add_to_cart', without='purchase', wait='1d')
    """

    source: ClassVar[str] = "events"

    event: str | Sequence[str]
    without: str | Sequence[str] | None = None
    wait: str | dt.timedelta = "0d"

    def __post_init__(self) -> None:
        """Check the names and the duration."""
        begins, follows = _several(self.event), _several(self.without)
        if not begins or set(begins) & set(follows):
            msg = f"when.Event: event and without must be different events, got {self.event!r} and {self.without!r}."
            raise SchemaError(msg)
        self._waiting()

    def find(self, events: Events, window: Window) -> pd.DataFrame:
        """Return the customers whose waiting was over within the window."""
        begins, follows, wait = _several(self.event), _several(self.without), self._waiting()
        low, high = window.moments(wait)
        lines = events.need("customer_id", "timestamp", "event", caller=CALLER)
        lines = lines.with_columns(nw.col("event").cast(nw.String))
        last = _last(lines, begins, "began").filter((nw.col("began") >= low) & (nw.col("began") < high))
        if follows:
            last = last.join(_last(lines, follows, "followed"), on="customer_id", how="left")
            last = last.filter(nw.col("followed").is_null() | (nw.col("followed") < nw.col("began")))
        rows = rows_of(last.sort("customer_id"))
        if not len(rows):
            refuse_unknown(lines, "event", begins, told="no event before as_of is", caller=CALLER)
        tail = f" and no {' or '.join(follows)} since" if follows else ""
        reasons = [f"{' or '.join(begins)} on {at:%Y-%m-%d %H:%M}{tail}" for at in rows["began"]]
        return found(rows["customer_id"], rows["began"], reasons, due=rows["began"] + wait)

    def _waiting(self) -> dt.timedelta:
        if isinstance(self.wait, str) and self.wait.strip() in {"0d", "0h", "0m", "0s"}:
            return dt.timedelta(0)
        return dt.timedelta(seconds=as_seconds(self.wait, name="wait", caller="when.Event"))


@dataclass(frozen=True, slots=True)
class Anniversary:
    """A date of the customer comes round: a birthday, the day of signing up. Reads ``customers``.

    Parameters
    ----------
    column : str
        The column of dates, such as ``"birth_date"``.
    ahead : str or timedelta, default "0d"
        How many days before the day to act.

    Notes
    -----
    The day itself is no anniversary: the first is a year later. Who was born on 29 February has the 28th in other
    years. Of dated customers, the row valid at ``as_of`` is read.
    """

    source: ClassVar[str] = "customers"

    column: str
    ahead: str | dt.timedelta = "0d"

    def __post_init__(self) -> None:
        """Check the duration."""
        read_length(self.ahead, name="ahead", caller="when.Anniversary")

    def find(self, customers: Customers, window: Window) -> pd.DataFrame:
        """Return the customers whose day comes round within the window."""
        ahead = read_length(self.ahead, name="ahead", caller="when.Anniversary")
        low, high = window.days(-ahead)
        days = [low + number * DAY for number in range((high - low).days)]
        lines = _dates(customers, self.column, window.as_of)
        date = nw.col("date")
        lines = lines.with_columns(year=date.dt.year().cast(nw.Int64), month_day=_month_day(date))
        of_code = {code: at for at in days for code in _codes(at)}
        table = rows_of(lines.filter(nw.col("month_day").is_in(sorted(of_code))))
        comes = [of_code[code] for code in table["month_day"].tolist()]
        table = table.assign(comes=pd.Series(comes, dtype="datetime64[us]"))
        table = table[table["comes"].dt.year > table["year"]].sort_values("customer_id")
        reasons = [f"{self.column} comes round on {at:%Y-%m-%d}" for at in table["comes"]]
        return found(table["customer_id"], table["comes"], reasons, due=[at - ahead for at in table["comes"]])


@dataclass(frozen=True, slots=True)
class ContractEnd:
    """The last contract of a customer ends in so many days. Reads ``subscriptions``.

    Parameters
    ----------
    ahead : str or timedelta, default "60d"
        How many days before the end to act.

    Notes
    -----
    ``ended_at`` must be the end agreed on when the contract was made, which was known at ``as_of``. The day on which
    somebody left, filled in afterwards, would be read from the future. Who has another contract that began before
    ``as_of`` and ends later, or never, is not due.
    """

    source: ClassVar[str] = "subscriptions"

    ahead: str | dt.timedelta = "60d"

    def __post_init__(self) -> None:
        """Check the duration."""
        read_length(self.ahead, name="ahead", caller="when.ContractEnd")

    def find(self, subscriptions: Subscriptions, window: Window) -> pd.DataFrame:
        """Return the customers whose last contract ends so long after the window."""
        ahead = read_length(self.ahead, name="ahead", caller="when.ContractEnd")
        low, high = window.days(-ahead)
        lines = subscriptions.need("customer_id", "ended_at", caller=CALLER)
        lines = lines.with_columns(_runs_on=nw.col("ended_at").is_null().cast(nw.Int64))
        ends = lines.group_by("customer_id").agg(ends=nw.col("ended_at").max(), _runs_on=nw.col("_runs_on").sum())
        ends = ends.filter((nw.col("_runs_on") == 0) & (nw.col("ends") >= low) & (nw.col("ends") < high))
        rows = rows_of(ends.sort("customer_id"))
        reasons = [f"contract ends on {at:%Y-%m-%d}" for at in rows["ends"]]
        return found(rows["customer_id"], rows["ends"], reasons, due=rows["ends"].dt.floor("D") - ahead)


@dataclass(frozen=True, slots=True)
class LowMark:
    """A ticket was closed, and the customer gave a low mark. Reads ``tickets``.

    Parameters
    ----------
    at_most : float
        The highest mark that is low.
    wait : str or timedelta, default "0d"
        Days after closing by which marks are in. A mark has no date of its own: to try a trigger out on the past,
        without reading marks before they were given, take the time that your customers need.
    """

    source: ClassVar[str] = "tickets"

    at_most: float
    wait: str | dt.timedelta = "0d"

    def __post_init__(self) -> None:
        """Check the number and the duration."""
        check_amount(self.at_most, name="at_most", caller="when.LowMark")
        read_length(self.wait, name="wait", caller="when.LowMark")

    def find(self, tickets: Tickets, window: Window) -> pd.DataFrame:
        """Return the customers with such a ticket closed within the window, the last one of each."""
        wait = read_length(self.wait, name="wait", caller="when.LowMark")
        low, high = window.moments(wait)
        lines = tickets.need("customer_id", "ticket_id", "closed_at", "satisfaction", caller=CALLER)
        lines = lines.filter((nw.col("closed_at") >= low) & (nw.col("closed_at") < high))
        rows = rows_of(lines.filter(nw.col("satisfaction") <= self.at_most))
        rows = rows.sort_values(["customer_id", "closed_at", "ticket_id"]).drop_duplicates("customer_id", keep="last")
        reasons = [
            f"ticket {ticket} closed on {at:%Y-%m-%d} with mark {mark:g}"
            for ticket, at, mark in zip(rows["ticket_id"], rows["closed_at"], rows["satisfaction"], strict=True)
        ]
        return found(rows["customer_id"], rows["closed_at"], reasons, due=rows["closed_at"] + wait)


def orders_known(transactions: Transactions) -> nw.LazyFrame[Any]:
    """Return the orders that the rules on transactions read, one row each: gathered once where data are in memory."""
    orders = orders_of(transactions.need(*ORDER_ROLES, caller=CALLER), "customer_id").filter(nw.col("is_order") == 1)
    return orders if transactions.engine.is_lazy else collect(orders).lazy()


# -- inside --------------------------------------------------------------------------------------------------------


def _pairs(rows: pd.DataFrame, one: str, other: str) -> Iterable[tuple[Any, Any]]:
    return zip(rows[one], rows[other], strict=True)


def _several(names: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if names is None else (names,) if isinstance(names, str) else tuple(map(str, names))


def _last(lines: nw.LazyFrame[Any], names: tuple[str, ...], called: str) -> nw.LazyFrame[Any]:
    of_these = lines.filter(nw.col("event").is_in(names))
    return of_these.group_by("customer_id").agg(nw.col("timestamp").max().alias(called))


def _dates(customers: Customers, column: str, as_of: dt.datetime) -> nw.LazyFrame[Any]:
    """Return one row per customer with a date: ``customer_id`` and ``date``."""
    lines = settle_objects(records_of(customers, column, caller=CALLER), moments=[column], caller=CALLER)
    kind = lines.collect_schema()[column]
    if not isinstance(kind, (nw.Date, nw.Datetime)):
        msg = f"{CALLER}: {column!r} must hold dates, got {kind}. Convert it first, such as pandas.to_datetime(column)."
        raise SchemaError(msg)
    lines = lines.with_columns(nw.col(column).cast(nw.Datetime("us")))
    known = in_force(lines, as_of).filter(nw.col(column) < as_of)
    return known.group_by("customer_id").agg(date=nw.col(column).min())


def _month_day(date: nw.Expr) -> nw.Expr:
    return date.dt.month().cast(nw.Int64) * 100 + date.dt.day().cast(nw.Int64)


def _codes(day: dt.datetime) -> list[int]:
    """Return the month and day of a day as one number; 28 February stands for the 29th where there is none."""
    code = day.month * 100 + day.day
    return [code, LEAP_DAY] if code == LEAP_DAY - 1 and (day + DAY).month > 2 else [code]
