"""What the scorecard is asked for, checked once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmlytics._frames import check_same_kind
from crmlytics._validation import as_days, as_moment, check_fraction
from crmlytics.exceptions import SchemaError
from crmlytics.scorecard._part import Request
from crmlytics.tables import Contacts, Customers, Products, Tickets, Transactions, check_same_ids

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crmlytics._contract import Contract

KINDS: dict[str, type[Contract]] = {
    "customers": Customers, "products": Products, "tickets": Tickets, "contacts": Contacts,
}  # fmt: skip


def read_request(
    transactions: Any, as_of: Any, horizon: Any, margin: Any, tables: Mapping[str, Any], *, caller: str
) -> Request:
    """Check the arguments and bind the tables; of the future of each nothing stays in reach."""
    moment = as_moment(as_of, caller=caller)
    days = as_days(horizon, name="horizon", caller=caller)
    share = None if margin is None else check_fraction(margin, name="margin", caller=caller)
    known = Transactions.bind(transactions)
    more: dict[str, Any] = {name: _bound(KINDS[name], tables[name]) for name in KINDS if tables[name] is not None}
    _check_joinable({"transactions": known, **more}, caller=caller)
    more = {name: table if table.moment_role is None else table.before(moment) for name, table in more.items()}
    _check_segmenter(tables["segmenter"], caller=caller)
    rest = {name: tables[name] for name in ("costs", "segmenter")}
    return Request(known.before(moment), moment, days, share, **more, **rest)


def _bound(kind: type[Contract], table: Any) -> Contract:
    """Bind a table; a lazy one is checked now, since repeated keys would multiply customers."""
    bound = kind.bind(table)
    return bound.validate() if bound.engine.is_lazy else bound


def _check_joinable(tables: dict[str, Contract], *, caller: str) -> None:
    check_same_kind({name: table.engine for name, table in tables.items()}, caller=caller)
    check_same_ids(tables.values(), role="customer_id", caller=caller)
    check_same_ids(tables.values(), role="product_id", caller=caller)


def _check_segmenter(segmenter: Any, *, caller: str) -> None:
    if segmenter is not None and not (hasattr(segmenter, "score_table") and hasattr(segmenter, "clusters_")):
        msg = (
            f"{caller}: segmenter must be a fitted CustomerSegmenter such as score_customers(...).segmenter, "
            f"got {segmenter!r}."
        )
        raise SchemaError(msg)
