"""What is known at a cutoff: the lines strictly before it, gathered into orders and into customers."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._orders import ORDER_ROLES, orders_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crmlytics.tables import Products, Transactions

CALLER = "Snapshots"
MORE_ROLES = ("product_id", "category", "channel", "quantity", "list_price", "discount_amount")  # read where bound
LEVELS = ("product_id", "category", "department")  # what can be bought; the last is known to Products alone


@dataclass(frozen=True, slots=True)
class Sums:
    """The features of one family that are sums over orders: all such families are computed by one query.

    Attributes
    ----------
    columns : dict of feature to expression
        What the features are, told from the sums and from ``_order_count``, ``_amount``, ``_ordered_amount`` (without
        credit notes), ``_first`` and ``_last``.
    lines : dict of name to expression
        Numbers of a line; they are added up by order, then by customer.
    orders : dict of name to expression
        Numbers of an order (``is_order``, ``amount``, ``ordered_at``, ``completed_at``); they are added up by customer.
    """

    columns: dict[str, nw.Expr]
    lines: dict[str, nw.Expr] = field(default_factory=dict)
    orders: dict[str, nw.Expr] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """Everything a family of features may look at.

    Attributes
    ----------
    transactions : Transactions
        Whatever period; only what lies before the cutoff is read.
    cutoff : datetime
    lookbacks : tuple of int
        Days.
    season : (datetime, datetime)
        The label window, a year earlier.
    products : Products or None
    """

    transactions: Transactions
    cutoff: dt.datetime
    lookbacks: tuple[int, ...]
    season: tuple[dt.datetime, dt.datetime]
    products: Products | None = None

    @cached_property
    def lines(self) -> nw.LazyFrame[Any]:
        """The lines strictly before the cutoff."""
        known = self.transactions.before(self.cutoff)
        return known.need(*ORDER_ROLES, *[role for role in MORE_ROLES if known.has(role)], caller=CALLER)

    @cached_property
    def orders(self) -> nw.LazyFrame[Any]:
        """The orders strictly before the cutoff, without credit notes: an order begun before and added to after it."""
        return orders_of(self.lines, "customer_id").filter(nw.col("is_order") == 1)

    def start(self, days: float) -> dt.datetime:
        """Return the moment so many days before the cutoff."""
        return self.cutoff - dt.timedelta(days=days)

    def customers(self, families: Iterable[Sums]) -> nw.LazyFrame[Any]:
        """Return one row per customer who ever ordered, with what the families ask for, ``_first`` and ``_last``."""
        wanted = list(families)
        lines = {name: column for family in wanted for name, column in family.lines.items()}
        orders = {name: column for family in wanted for name, column in family.orders.items()}
        is_order = nw.col("is_order") == 1
        marked = self.lines.with_columns(**lines) if lines else self.lines
        gathered = orders_of(marked, "customer_id", **{name: nw.col(name).sum() for name in lines}).with_columns(
            _ordered=nw.when(is_order).then(nw.col("ordered_at")),
            _paid=nw.when(is_order).then(nw.col("amount")).otherwise(nw.lit(0.0)),
            _completed=nw.when(is_order).then(nw.col("completed_at")),
            **orders,
        )
        summed = gathered.group_by("customer_id").agg(
            _order_count=nw.col("is_order").sum(),
            _amount=nw.col("amount").sum(),
            _ordered_amount=nw.col("_paid").sum(),
            _first=nw.col("_ordered").min(),
            _last=nw.col("_completed").max(),
            **{name: nw.col(name).sum() for name in [*lines, *orders]},
        )
        columns = {name: column for family in wanted for name, column in family.columns.items()}
        begins = self.lines.select(_begins=nw.col("timestamp").min())
        ordered = summed.filter(nw.col("_order_count") > 0).join(begins, how="cross")
        return ordered.select("customer_id", "_first", "_last", **columns)


def levels_of(transactions: Transactions, products: Products | None) -> list[str]:
    """Return which of product, category and department are known of a line."""
    from_products = products is not None and transactions.has("product_id")
    return [
        level
        for level in LEVELS
        if (level in MORE_ROLES and transactions.has(level))
        or (from_products and level != "product_id" and products is not None and products.has(level))
    ]


def at_level(lines: nw.LazyFrame[Any], level: str, products: Products | None) -> nw.LazyFrame[Any]:
    """Return the lines that have a ``level``, taken from the products where the lines do not say it themselves."""
    if level not in lines.collect_schema().names() and products is not None:
        lines = lines.join(products.need("product_id", level, caller=CALLER), on="product_id", how="inner")
    return lines.filter(~nw.col(level).is_null())
