"""Tickets beside orders: whose they are, how they went, and what each customer did before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import check_same_kind, collect
from crmlytics._kernels.landmarks import Timeline
from crmlytics._orders import ORDER_ROLES, orders_of
from crmlytics.exceptions import SchemaError
from crmlytics.support._reading import HOUR, NEVER
from crmlytics.tables import Tickets, Transactions, check_same_ids

if TYPE_CHECKING:
    import datetime as dt

    import pandas as pd
    from numpy.typing import NDArray

    from crmlytics.support._reading import KnownTickets

    Counts = NDArray[np.int64]
    Flags = NDArray[np.bool_]

SECOND = HOUR // 3_600
SLOW, REOPENED, LOW_MARK = "slow", "reopened", "low mark"
SIGNS = {
    SLOW: ("closed_at",),
    REOPENED: ("reopened_at",),
    LOW_MARK: ("satisfaction",),
}  # of a ticket that went badly, and the roles that show them


def settled_at(known: KnownTickets) -> Counts:
    """Return when it was known how a ticket had gone: closed, or reopened after that; ``NEVER`` while it is open."""
    again = np.where(known.reopened < NEVER, known.reopened, 0)
    return np.where(known.is_closed, np.maximum(known.closed, again), NEVER)


def signs_of(known: KnownTickets, *, reply: int, resolution: int, low_mark: float) -> dict[str, Flags]:
    """Return which tickets show which sign of having gone badly; the targets are seconds."""
    late = (known.replied > known.opened + reply * SECOND) & ("first_reply_at" in known.roles)
    long = known.closed > known.opened + resolution * SECOND
    found = {SLOW: late | long, REOPENED: known.reopened < NEVER, LOW_MARK: known.mark <= low_mark}
    return {sign: flags for sign, flags in found.items() if known.roles.issuperset(SIGNS[sign])}


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


def read_ids(table: Tickets, *, moment: dt.datetime, caller: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Read the ids of the tickets that :func:`read_tickets` reads, in its order, and those of their customers."""
    rows = collect(table.before(moment).need("ticket_id", "customer_id", caller=caller)).to_pandas()
    rows = rows.sort_values("ticket_id")
    return ids_of(rows["ticket_id"]), ids_of(rows["customer_id"])


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
