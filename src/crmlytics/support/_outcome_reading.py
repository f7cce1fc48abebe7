"""Tickets beside orders: whose they are, how they went, and what each customer did before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import check_same_kind, collect
from crmlytics._kernels.landmarks import Timeline
from crmlytics._orders import ORDER_ROLES, gather
from crmlytics._validation import check_choice
from crmlytics.exceptions import SchemaError
from crmlytics.support._reading import HOUR, ids_of
from crmlytics.tables import check_same_ids

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics.support._reading import KnownTickets
    from crmlytics.tables import Tickets, Transactions

    Counts = NDArray[np.int64]
    Flags = NDArray[np.bool_]

SECOND = HOUR // 3_600
SLOW, REOPENED, LOW_MARK = "slow", "reopened", "low mark"
SIGNS = {
    SLOW: ("closed_at",),
    REOPENED: ("reopened_at",),
    LOW_MARK: ("satisfaction",),
}  # of a ticket that went badly, and the roles that show them


def roles_of(bad: Sequence[str] | None, *, caller: str) -> set[str]:
    """Return the roles without which the signs that were asked for cannot be seen."""
    if isinstance(bad, str) or (bad is not None and not len(bad)):
        raise SchemaError(f"{caller}: bad must be a list of signs such as bad={list(SIGNS)}, got {bad!r}.")
    return {role for sign in bad or () for role in SIGNS[check_choice(sign, SIGNS, name="bad", caller=caller)]}


@dataclass(frozen=True, slots=True)
class Targets:
    """Seconds after the opening within which a ticket is to be answered, and closed."""

    reply: int
    resolution: int

    def judged_at(self, known: KnownTickets) -> Counts:
        """Return when each ticket is judged: at an age that does not depend on how it went."""
        return known.opened + max(self.reply, self.resolution) * SECOND


def signs_of(known: KnownTickets, targets: Targets, low_mark: float) -> dict[str, Flags]:
    """Return which tickets showed which sign of having gone badly when they were judged."""
    judged = targets.judged_at(known)
    late = (known.replied > known.opened + targets.reply * SECOND) & ("first_reply_at" in known.roles)
    long = known.closed > known.opened + targets.resolution * SECOND
    low = (known.mark <= low_mark) & (known.closed <= judged)
    found = {SLOW: late | long, REOPENED: known.reopened <= judged, LOW_MARK: low}
    return {sign: flags for sign, flags in found.items() if known.roles.issuperset(SIGNS[sign])}


@dataclass(frozen=True, slots=True, eq=False)
class Ordered:
    """The orders of all customers who ever ordered before a moment.

    Attributes
    ----------
    customers : array
        Their ids, sorted.
    orders : Timeline
        Figures: orders placed, and the amount, each at the moment of its line: what comes back later is not known
        before.
    """

    customers: NDArray[Any]
    orders: Timeline


def read_ordered(table: Transactions, tickets: Tickets, *, moment: dt.datetime, caller: str) -> Ordered:
    """Read the order lines before a moment; an order is placed once, with the first that makes it one."""
    check_same_kind({"tickets": tickets.engine, "transactions": table.engine}, caller=caller)
    check_same_ids([tickets, table], role="customer_id", caller=caller)
    lines = table.before(moment).need(*ORDER_ROLES, caller=caller)
    rows = collect(gather(lines, "customer_id", "order_id", "timestamp")).to_pandas()
    if rows.empty:
        msg = f"{caller}: no order was placed before as_of={moment:%Y-%m-%d %H:%M}. Check as_of and the data."
        raise SchemaError(msg)
    rows = rows.sort_values("timestamp")
    again = rows.groupby(["customer_id", "order_id"])["is_order"].cumsum() > 1
    rows["placed"] = rows["is_order"].mask(again, 0)
    customers, customer = np.unique(ids_of(rows["customer_id"]), return_inverse=True)
    moments = rows["timestamp"].astype("datetime64[us]").to_numpy().astype(np.int64)
    figures = rows[["placed", "amount"]].to_numpy(np.float64)
    return Ordered(customers, Timeline.of(customer.astype(np.int64), moments, figures, len(customers)))


def places_of(ids: NDArray[Any], among: NDArray[Any]) -> Counts:
    """Return the place of each id among sorted ones, -1 for none."""
    place = np.minimum(np.searchsorted(among, ids), len(among) - 1)
    return np.where(among[place] == ids, place, -1).astype(np.int64)
