"""Tickets beside orders: whose they are, how they went, and what each customer did before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import check_same_kind, collect
from crmlytics._kernels.landmarks import Timeline
from crmlytics._orders import ORDER_ROLES, orders_of
from crmlytics.exceptions import SchemaError
from crmlytics.support._reading import HOUR, NEVER, _moments
from crmlytics.tables import Tickets, Transactions, check_same_ids

if TYPE_CHECKING:
    import datetime as dt

    import pandas as pd
    from numpy.typing import NDArray

    from crmlytics._frames import Engine

    Vector = NDArray[np.float64]
    Counts = NDArray[np.int64]
    Flags = NDArray[np.bool_]

SECOND = HOUR // 3_600
SLOW, REOPENED, LOW_MARK = "slow", "reopened", "low mark"
SIGNS = {
    SLOW: ("closed_at",),
    REOPENED: ("reopened_at",),
    LOW_MARK: ("satisfaction",),
}  # of a ticket that went badly, and the roles that show them


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Tickets with a customer as they were known at a moment, sorted by ticket; arrays of shape (tickets,).

    Attributes
    ----------
    engine : Engine
    as_of : int
        Microseconds since 1970, as all moments.
    ticket, customer : arrays
        The ids.
    opened, closed, replied, reopened : int64 arrays
        ``NEVER`` where it had not happened by then.
    mark : float64 array
        NaN where there is none, or the ticket was open.
    words : dict of object arrays
        Category, priority and channel, where they were asked for; missing is None.
    roles : frozenset of str
    """

    engine: Engine
    as_of: int
    ticket: NDArray[Any]
    customer: NDArray[Any]
    opened: Counts
    closed: Counts
    replied: Counts
    reopened: Counts
    mark: Vector
    words: dict[str, NDArray[Any]]
    roles: frozenset[str]

    def __len__(self) -> int:
        return len(self.opened)

    @property
    def is_closed(self) -> Flags:
        """Whether a ticket had been closed."""
        return self.closed < NEVER

    @property
    def settled(self) -> Counts:
        """When it was known how a ticket had gone: closed, or reopened after that."""
        again = np.where(self.reopened < NEVER, self.reopened, 0)
        return np.where(self.is_closed, np.maximum(self.closed, again), NEVER)

    def signs(self, *, reply: int, resolution: int, low_mark: float) -> dict[str, Flags]:
        """Return which tickets show which sign of having gone badly; the targets are seconds."""
        late = (self.replied > self.opened + reply * SECOND) & ("first_reply_at" in self.roles)
        long = self.closed > self.opened + resolution * SECOND
        found = {SLOW: late | long, REOPENED: self.reopened < NEVER, LOW_MARK: self.mark <= low_mark}
        return {sign: flags for sign, flags in found.items() if self.roles.issuperset(SIGNS[sign])}


@dataclass(frozen=True, slots=True, eq=False)
class Ordered:
    """The orders of all customers who ever ordered before a moment.

    Attributes
    ----------
    customers : array
        Their ids, sorted.
    orders : Timeline
        Figures: whether it is an order and no credit note, and its amount.
    """

    customers: NDArray[Any]
    orders: Timeline


def read_asked(table: Tickets, *needed: str, moment: dt.datetime, words: tuple[str, ...] = (), caller: str) -> Asked:
    """Read the tickets of customers, opened before a moment, as they were known then."""
    asked = {"ticket_id", "customer_id", "opened_at", *needed, *words}
    table.need(*sorted(asked), caller=caller)
    may = ("closed_at", "first_reply_at", "reopened_at", "satisfaction")
    roles = sorted(asked | {role for role in may if table.has(role)})
    rows = collect(table.before(moment).need(*roles, caller=caller)).to_pandas()
    rows = rows.sort_values("ticket_id").reset_index(drop=True)
    if rows.empty:
        msg = f"{caller}: no ticket was opened before as_of={moment:%Y-%m-%d %H:%M}. Check as_of and the data."
        raise SchemaError(msg)
    as_of = int(np.datetime64(moment, "us").astype(np.int64))
    opened, closed, replied, reopened = (
        _moments(rows, role, as_of) for role in ("opened_at", "closed_at", "first_reply_at", "reopened_at")
    )
    mark = np.full(len(rows), np.nan)
    if "satisfaction" in rows:
        mark = np.where(closed < NEVER, rows["satisfaction"].to_numpy(np.float64, na_value=np.nan), np.nan)
    return Asked(
        engine=table.engine,
        as_of=as_of,
        ticket=ids_of(rows["ticket_id"]),
        customer=ids_of(rows["customer_id"]),
        opened=opened,
        closed=closed,
        replied=replied,
        reopened=reopened,
        mark=mark,
        words={role: _words(rows[role]) for role in words},
        roles=frozenset(roles),
    )


def read_ordered(table: Transactions, tickets: Tickets, *, moment: dt.datetime, caller: str) -> Ordered:
    """Read the orders placed before a moment."""
    check_same_kind({"tickets": tickets.engine, "transactions": table.engine}, caller=caller)
    check_same_ids([tickets, table], role="customer_id", caller=caller)
    lines = table.before(moment).need(*ORDER_ROLES, caller=caller)
    rows = collect(orders_of(lines, "customer_id")).to_pandas()
    if rows.empty:
        msg = f"{caller}: no order was placed before as_of={moment:%Y-%m-%d %H:%M}. Check as_of and the data."
        raise SchemaError(msg)
    rows = rows.sort_values(["customer_id", "ordered_at", "order_id"])
    customers, customer = np.unique(ids_of(rows["customer_id"]), return_inverse=True)
    placed = rows["ordered_at"].astype("datetime64[us]").to_numpy().astype(np.int64)
    figures = rows[["is_order", "amount"]].to_numpy(np.float64)
    return Ordered(customers, Timeline.of(customer.astype(np.int64), placed, figures, len(customers)))


def places_of(ids: NDArray[Any], among: NDArray[Any]) -> Counts:
    """Return the place of each id among sorted ones, -1 for none."""
    place = np.minimum(np.searchsorted(among, ids), len(among) - 1)
    return np.where(among[place] == ids, place, -1).astype(np.int64)


def ids_of(values: pd.Series[Any]) -> NDArray[Any]:
    """Return ids as int64, or as text."""
    import pandas as pd

    return np.asarray(values, np.int64 if pd.api.types.is_integer_dtype(values.dtype) else object)


def _words(values: pd.Series[Any]) -> NDArray[Any]:
    """Return a column as text; missing is None."""
    known = values.notna().to_numpy(bool)
    words = np.full(len(values), None, object)
    words[known] = [str(value) for value in values[known]]
    return words
