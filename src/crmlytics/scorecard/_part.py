"""What a topic contributes to the scorecard, and what it may be built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from crmlytics.tables import Contacts, Customers, Products, Tickets, Transactions

CALLER = "scorecard_table"


@dataclass(frozen=True, slots=True)
class Request:
    """What every part is built from.

    Attributes
    ----------
    known : Transactions
        The lines before ``as_of``; nothing later is in reach.
    as_of : datetime
        The moment described from.
    horizon_days : int
        How far forecasts look ahead.
    margin : float, optional
        The share of an amount that is margin.
    customers, products : Customers, Products, optional
    tickets, contacts : Tickets, Contacts, optional
        What happened before ``as_of``.
    costs : mapping of str to float, optional
        What serving costs, by activity.
    segmenter : CustomerSegmenter, optional
        Behaviour segments learnt before.
    """

    known: Transactions
    as_of: dt.datetime
    horizon_days: int
    margin: float | None = None
    customers: Customers | None = None
    products: Products | None = None
    tickets: Tickets | None = None
    contacts: Contacts | None = None
    costs: Mapping[str, float] | None = None
    segmenter: Any = None

    @property
    def served(self) -> dict[str, Any]:
        """The tables of what serving consists of; tickets only where it is said what one costs."""
        return served({"tickets": self.tickets, "contacts": self.contacts}, self.costs)

    @property
    def has_service(self) -> bool:
        """Whether anything is said of what serving costs."""
        return self.costs is not None or bool(self.served)

    @property
    def has_costs(self) -> bool:
        """Whether anything is said of what goods or serving cost, line by line or each time."""
        return self.has_service or self.known.has("cost")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the scorecard: its name, what it means, in which unit, and how sure it is."""

    name: str
    meaning: str
    unit: str
    certainty: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a back-test: its name, its value and what it means."""

    name: str
    value: float
    meaning: str


@dataclass(frozen=True, slots=True)
class Part:
    """What a topic knows about every customer.

    Attributes
    ----------
    table : eager narwhals frame, one row per customer
        ``customer_id`` and at least ``columns``; a customer without a row gets nulls.
    columns : tuple of Column
        What the scorecard takes over, in order; none where a table or role that it takes was not given.
    evaluation : tuple of Figure
        How the forecasts did on the past; empty for what was counted.
    segmenter : CustomerSegmenter, optional
        What placed the customers, to place those of another day by it.
    """

    table: nw.DataFrame[Any]
    columns: tuple[Column, ...]
    evaluation: tuple[Figure, ...] = ()
    segmenter: Any = None


def served(tables: Mapping[str, Any], costs: Mapping[str, float] | None) -> dict[str, Any]:
    """Return the tables that :func:`crmlytics.value.contribution_table` counts in: tickets without a cost tell more."""
    found = {name: tables.get(name) for name in ("tickets", "contacts")}
    is_priced = {"tickets": "ticket" in (costs or {}), "contacts": True}
    return {name: table for name, table in found.items() if table is not None and is_priced[name]}


def unknown(table: nw.DataFrame[Any], **kinds: Any) -> nw.DataFrame[Any]:
    """Return the customers of a table with columns of these kinds (String or Float64) in which all is missing."""
    return table.select("customer_id", *[nw.lit(None).cast(kind).alias(name) for name, kind in kinds.items()])
