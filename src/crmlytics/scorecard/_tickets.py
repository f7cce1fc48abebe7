"""Who asked support, who still waits, and for how long compared with others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics import support
from crmlytics._frames import collect, compute
from crmlytics.scorecard._part import CALLER, Column, Part

if TYPE_CHECKING:
    from crmlytics.scorecard._part import Request
    from crmlytics.tables import Tickets

COUNTED = "Counted from the tickets kept."
OPEN = ("open_ticket_count", "open_ticket_urgency", "open_ticket_reason")


def tickets_part(request: Request, scores: nw.DataFrame[Any]) -> Part | None:
    """Count tickets, and say of those open how unusual their age is; None without customers of tickets."""
    tickets = request.tickets
    if tickets is None or not tickets.has("customer_id"):
        return None
    lines = tickets.need("customer_id", "ticket_id", caller=CALLER)
    counted = collect(lines.group_by("customer_id").agg(ticket_count=nw.len()))
    table = scores.select("customer_id").join(counted, on="customer_id", how="left")
    counts, columns = ["ticket_count"], [Column("ticket_count", "Tickets opened", "tickets", COUNTED)]
    if len(counted) and tickets.has("closed_at"):
        table = table.join(_waiting(tickets, request), on="customer_id", how="left")
        counts, columns = [*counts, OPEN[0]], [*columns, *_open_columns()]
    return Part(table.with_columns(nw.col(*counts).fill_null(0).cast(nw.Int64)), tuple(columns))


def _waiting(tickets: Tickets, request: Request) -> nw.DataFrame[Any]:
    """Return the customers with an open ticket."""
    table = compute(support.at_risk_table(tickets, as_of=request.as_of), caller=CALLER)
    found = {"open_ticket_count": "open_ticket_count", "open_ticket_urgency": "urgency", "open_ticket_reason": "reason"}
    return table.select("customer_id", **found)


def _open_columns() -> tuple[Column, ...]:
    by_age = "From tickets alike, open ones counted for as long as they have waited; no chance to lose the customer."
    return (
        Column("open_ticket_count", "Tickets not closed yet", "tickets",
               f"{COUNTED} One reopened after it was closed does not count as open."),
        Column("open_ticket_urgency", "How unusual the age of the open ticket is: overdue, when 90 % of tickets alike "
               "are closed by then; late, when 75 % are; else usual; empty without an open ticket, or a closed one to "
               "compare with", "text", by_age),
        Column("open_ticket_reason", "The same in words", "text", by_age),
    )  # fmt: skip
