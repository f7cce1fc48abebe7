"""What customers leave over once the goods, and serving them, are paid for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import compute
from crmlytics._periods import ratio
from crmlytics.scorecard._part import CALLER, Column, Part
from crmlytics.value import contribution_table

if TYPE_CHECKING:
    import datetime as dt

    from crmlytics.scorecard._part import Request

COUNTED = "Counted from the lines kept."


def contribution_part(request: Request, scores: nw.DataFrame[Any]) -> Part | None:
    """Margin where costs of goods are known; with costs of serving, what serving costs and what is left over."""
    if not request.has_costs:
        return None
    table = contributions(request)
    return Part(table, (*_goods_columns(request), *_service_columns(request, table, scores)))


def contributions(request: Request, since: dt.datetime | None = None) -> nw.DataFrame[Any]:
    """Return ``contribution_table``; where only a margin says what goods cost, that comes off."""
    native = contribution_table(
        request.known, as_of=request.as_of, since=since, costs=request.costs or {}, **request.served
    )
    table = compute(native, caller=CALLER)
    if request.margin is None or request.known.has("cost"):
        return table
    left = nw.col("total_amount") * request.margin - nw.col("service_cost_amount")
    table = table.with_columns(contribution_amount=left)
    return table.with_columns(contribution_ratio=ratio("contribution_amount", "total_amount"))


def _goods_columns(request: Request) -> tuple[Column, ...]:
    if not request.known.has("cost"):
        return ()
    return (
        Column("margin_amount", "Revenue so far less what the goods cost; empty when a line has no cost", "currency",
               COUNTED),
    )  # fmt: skip


def _service_columns(request: Request, table: nw.DataFrame[Any], scores: nw.DataFrame[Any]) -> tuple[Column, ...]:
    if not request.has_service:
        return ()
    costs = ", ".join(f"{name} {cost:g}" for name, cost in (request.costs or {}).items()) or "each contact its own"
    lost = _without_a_line(table, scores)
    contacts = [Column("contact_count", "Contacts by campaigns, control groups left out", "contacts",
                       "Counted from the contacts kept.")]  # fmt: skip
    return (
        Column("return_count", "Order numbers with a line that came back", "returns", COUNTED),
        *(contacts if request.contacts is not None else []),
        Column("service_cost_amount", "What serving the customer has cost so far; empty when the cost of a contact is "
               "unknown", "currency", f"Averages as given ({costs}).{lost}"),
        Column("contribution_amount", f"Revenue so far less {_goods(request)} and the cost of serving", "currency",
               f"As good as the costs given.{lost}"),
        Column("contribution_ratio", "Contribution as a share of the customer's revenue; empty where revenue is not "
               "above zero", "share", "As good as the costs given."),
    )  # fmt: skip


def _goods(request: Request) -> str:
    if request.known.has("cost"):
        return "goods"
    return "nothing for goods, whose cost is not known," if request.margin is None else "goods (all but the margin)"


def _without_a_line(table: nw.DataFrame[Any], scores: nw.DataFrame[Any]) -> str:
    """Say what serving cost people who never bought: they have no row here."""
    others = table.join(scores.select("customer_id"), on="customer_id", how="anti")
    if not len(others):
        return ""
    cost = float(others["service_cost_amount"].fill_null(0.0).sum())
    return f" {len(others):,} with tickets or contacts and no order line have no row here; they cost {cost:,.2f}."
