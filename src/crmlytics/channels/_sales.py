"""How orders come in by channel: one row per customer, order and channel, added up once where the lines live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from crmlytics._frames import collect
from crmlytics._orders import ORDER_ROLES, gather
from crmlytics._validation import as_moment, check_amount, check_fraction, did_you_mean
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from crmlytics._frames import Engine

    Vector = NDArray[np.float64]
    Codes = NDArray[np.int64]
    Flags = NDArray[np.bool_]

CHANNEL = "channel"
UNKNOWN = "(unknown)"  # what came through a channel that nobody wrote down
DECIMALS = 6  # of an amount: sums of engines differ beyond
FEW = 30
NO_CAUSE = "Association, not effect: channels differ in whom they reach and in what they sell."


@dataclass(frozen=True, slots=True, eq=False)
class Sales:
    """What each customer bought in each order through each channel, in the order of time; arrays have a row a sale.

    Attributes
    ----------
    table : Transactions
        The lines of the period.
    names : list of str
        The channels, sorted; ``"(unknown)"``, where there is any, is the last.
    customer_ids : array
        The customers, sorted.
    channel, customer, order : int64 arrays
        Numbers from 0: of the name, of the customer, of the customer's order.
    moment : datetime64[us] array
        Of the first line.
    amount, margin : float64 arrays
        ``margin`` is NaN where it is not known.
    is_order : bool array
        False for credit notes and what was cancelled.
    """

    table: Transactions
    names: list[str]
    customer_ids: NDArray[Any]
    channel: Codes
    customer: Codes
    order: Codes
    moment: NDArray[np.datetime64]
    amount: Vector
    margin: Vector
    is_order: Flags

    @property
    def engine(self) -> Engine:
        """The kind of table that came in."""
        return self.table.engine

    @property
    def day(self) -> Codes:
        """The days of the sales, from 1970-01-01."""
        return self.moment.astype("datetime64[D]").astype(np.int64)

    @property
    def is_known(self) -> Flags:
        """Whether the channel of each sale is known."""
        return np.array([name != UNKNOWN for name in self.names], bool)[self.channel]

    def firsts(self) -> Codes:
        """Return the row of each customer's first order, -1 without one; of its channels the largest amount counts."""
        rows = np.flatnonzero(self.is_order)
        customers, place = np.unique(self.customer[rows], return_index=True)
        found = np.full(len(self.customer_ids), -1)
        found[customers] = rows[place]
        return found

    def order_counts(self) -> Codes:
        """Count the orders of each customer, through whatever channels."""
        _, place = np.unique(self.order[self.is_order], return_index=True)
        return np.bincount(self.customer[self.is_order][place], minlength=len(self.customer_ids))

    def uses(self, rows: Flags) -> Flags:
        """Whether each customer ordered through each channel in some of the sales: shape (customers, channels)."""
        used = np.zeros((len(self.customer_ids), len(self.names)), bool)
        rows = rows & self.is_order
        used[self.customer[rows], self.channel[rows]] = True
        return used

    def main_channel(self, rows: Flags) -> Codes:
        """Return the channel each customer ordered through most often, -1 without an order.

        Equals are told apart by the later last order, then by name. What is not known is nobody's main channel who
        has another.
        """
        chosen = np.flatnonzero(rows & self.is_order)
        size, width = len(self.customer_ids), len(self.names)
        cell = self.customer[chosen] * width + self.channel[chosen]
        count = np.bincount(cell, minlength=size * width)
        last = np.full(size * width, -1)
        last[cell] = np.arange(len(chosen))  # sales are sorted by time: the last one stays
        moments = np.unique(self.moment[chosen], return_inverse=True)[1]
        latest = np.where(last >= 0, np.append(moments, -1)[last], -1)
        known = np.tile(np.array(self.names, object) != UNKNOWN, size)
        backwards = np.tile(-np.arange(width), size)
        filled = np.flatnonzero(count)
        order = filled[np.lexsort((backwards[filled], latest[filled], count[filled], known[filled], filled // width))]
        found = np.full(size, -1)
        found[order // width] = order % width  # the last of each customer is the best
        return found


def named_channel() -> nw.Expr:
    """Return the channel as text, "(unknown)" where it is missing."""
    text = nw.col(CHANNEL).cast(nw.String).fill_null(UNKNOWN)
    return nw.when(text == "").then(nw.lit(UNKNOWN)).otherwise(text).alias(CHANNEL)


def sorted_names(names: Iterable[str]) -> list[str]:
    """Sort channels, numbers as numbers, what is unknown last."""
    found = set(names)
    known = found - {UNKNOWN}
    whole = all(name.lstrip("-").isdecimal() for name in known)
    return [*sorted(known, key=int if whole else None), *(found & {UNKNOWN})]


def begin_of(since: Any, end: dt.datetime, *, caller: str) -> dt.datetime | None:
    """Read the beginning of a period; None is that of the data."""
    if since is None:
        return None
    begin = as_moment(since, name="since", caller=caller)
    if begin >= end:
        raise SchemaError(f"{caller}: since must lie before as_of, got {begin} and {end}.")
    return begin


def read_sales(
    transactions: Transactions | Any,
    *,
    as_of: dt.datetime,
    since: dt.datetime | None = None,
    margin: Any = None,
    needs_channel: bool = True,
    caller: str,
) -> Sales:
    """Read all sales of a period; the margin is a share of amounts, else amounts less costs where these are known."""
    share = None if margin is None else check_fraction(margin, name="margin", caller=caller)
    whole = Transactions.bind(transactions)
    table = whole.before(as_of) if since is None else whole.between(since, as_of)
    costs = ["cost"] if share is None and table.has("cost") else []
    channels = [CHANNEL] if needs_channel or table.has(CHANNEL) else []
    lines = table.need(*ORDER_ROLES, *channels, *costs, caller=caller).with_columns(
        named_channel() if channels else nw.lit(UNKNOWN).alias(CHANNEL),
        _cost=nw.col("cost").fill_null(0.0) if costs else nw.lit(0.0),
        _unknown=nw.col("cost").is_null().cast(nw.Int64) if costs else nw.lit(1).cast(nw.Int64),
    )
    sums = {"cost": nw.col("_cost").sum(), "unknown": nw.col("_unknown").sum(), "moment": nw.col("timestamp").min()}
    rows = collect(gather(lines, "customer_id", "order_id", CHANNEL, **sums)).to_pandas()
    if not len(rows):
        since_when = "" if since is None else f"since={since:%Y-%m-%d %H:%M} and "
        msg = f"{caller}: no line lies before {since_when}as_of={as_of:%Y-%m-%d %H:%M}. Check as_of and the data."
        raise SchemaError(msg.replace("before since", "between since"))
    return _packed(table, rows, share)


def _packed(table: Transactions, rows: pd.DataFrame, share: float | None) -> Sales:
    """Give channels, customers and orders numbers, and sort: the same whatever the order of the rows."""
    words = rows[CHANNEL].astype(object).to_numpy()
    names = sorted_names(words)
    number = {name: place for place, name in enumerate(names)}
    channel = np.array([number[name] for name in words], np.int64)
    customer, customer_ids = pd.factorize(rows["customer_id"], sort=True)
    order = pd.factorize(rows["order_id"], sort=True)[0]
    order = np.unique(np.column_stack([customer, order]), axis=0, return_inverse=True)[1].ravel()
    moment = rows["moment"].to_numpy("datetime64[us]")
    amount = np.round(rows["amount"].to_numpy(np.float64), DECIMALS)
    cost = np.where(rows["unknown"].to_numpy(np.int64) > 0, np.nan, rows["cost"].to_numpy(np.float64))
    margin = np.round(amount - cost, DECIMALS) if share is None else share * amount
    at = np.lexsort((channel, -amount, order, customer, moment))
    return Sales(
        table=table,
        names=names,
        customer_ids=np.asarray(customer_ids),
        channel=channel[at],
        customer=customer.astype(np.int64)[at],
        order=order.astype(np.int64)[at],
        moment=moment[at],
        amount=amount[at],
        margin=margin[at],
        is_order=rows["is_order"].to_numpy(np.int64)[at] == 1,
    )


# -- what tables of channels share ---------------------------------------------------------------------------------


def channel_costs(costs: Mapping[Any, float], names: Sequence[str], *, caller: str) -> Vector:
    """Return what each channel cost, NaN where nobody says."""
    if not hasattr(costs, "items"):
        msg = f'{caller}: costs must map channels to amounts, such as costs={{"{names[0]}": 500.0}}, got {costs!r}.'
        raise SchemaError(msg)
    given = {str(name): check_amount(cost, name=f"costs[{name!r}]", caller=caller) for name, cost in costs.items()}
    for name in given:
        if name not in names:
            hint = did_you_mean(name, names)
            raise SchemaError(f"{caller}: costs names {name!r}, no such channel.{hint} Channels: {list(names)}")
    return np.array([given.get(name, np.nan) for name in names], np.float64)


def sums(group: Codes, values: NDArray[Any], groups: int) -> Vector:
    """Add up values by group."""
    return np.bincount(group, values, groups).astype(np.float64)


def over(numerator: Any, denominator: Any) -> Vector:
    """Divide; missing where there is nothing above zero to divide by."""
    above = np.where(np.asarray(denominator) > 0, denominator, np.nan)
    return np.asarray(numerator / above, np.float64)


def cautions(rows: int, told: Iterable[tuple[Any, str]], *, first: str = NO_CAUSE) -> NDArray[Any]:
    """Write on every row what it does not show: the first sentence, and each that holds for the row."""
    holds = [(np.broadcast_to(which, rows), words) for which, words in told]
    said = [first + "".join(f" {words}" for which, words in holds if which[row]) for row in range(rows)]
    return np.array(said, object)
