"""By what revenue is cut: a role of the order lines, an attribute of the customers, or one of the products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import check_same_kind, collect
from crmlytics._segments import label as label_of
from crmlytics._validation import check_count, did_you_mean
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Customers, Products, Transactions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crmlytics._contract import Contract

LINE_ROLES = ("category", "channel", "partner_id", "product_id")
PRODUCT_ROLES = ("category", "department", "tier")
ALL, UNKNOWN = "all", "(unknown)"
TIE_DECIMALS = 6  # engines add floats in different orders: the last bit is no change


@dataclass(frozen=True, slots=True)
class Grouping:
    """What the caller asks to cut by, and the tables it may be in.

    Attributes
    ----------
    by : str or None
        A role or attribute; None keeps everything in one group.
    customers, products : tables or None
    """

    by: str | None
    customers: Any = None
    products: Any = None

    def lines(self, table: Transactions, roles: tuple[str, ...], *, caller: str) -> nw.LazyFrame[Any]:
        """Return the lines with these roles and ``group`` (String), ``(unknown)`` where there is none."""
        if self.by is None:
            return table.need(*roles, caller=caller).with_columns(group=nw.lit(ALL).cast(nw.String))
        if self.by in LINE_ROLES and table.has(self.by):
            plan = table.need(*dict.fromkeys((*roles, self.by)), caller=caller)
            return _named(plan, self.by).select(*roles, "group")
        for name, key, other in self._tables():
            if self.by in _attributes(other, key):
                return _joined(table, roles, (name, other, key, self.by), caller=caller)
        raise self._unknown(table, caller=caller)

    def _tables(self) -> Iterator[tuple[str, str, Contract]]:
        if self.customers is not None:
            yield "customers", "customer_id", Customers.bind(self.customers)
        if self.products is not None:
            yield "products", "product_id", Products.bind(self.products)

    def _unknown(self, table: Transactions, *, caller: str) -> SchemaError:
        known = [role for role in LINE_ROLES if table.has(role)]
        for _, key, other in self._tables():
            known += _attributes(other, key)
        return SchemaError(
            f"{caller}: by must name a role or an attribute, one of {known}, got {self.by!r}."
            f"{did_you_mean(self.by, known)} Name a column of the lines, for example "
            "Transactions(data, category='<your column>'), or give customers=<one row per customer> or "
            "products=<one row per product>."
        )


def comparisons(rows: nw.LazyFrame[Any], lag: int) -> nw.LazyFrame[Any]:
    """Add ``_before_complete`` (Int64) to rows of periods: of the period ``lag`` before; null where there is none."""
    earlier = rows.select(nw.col("period_index") + lag, _before_complete=nw.col("is_complete").cast(nw.Int64))
    return rows.join(earlier, on="period_index", how="left")


def check_periods(rows: nw.LazyFrame[Any], lag: Any, *, caller: str) -> int:
    """Refuse data that hold no period to compare with."""
    least = check_count(lag, name="lag", caller=caller)
    count = int(collect(rows.select(count=nw.len()))["count"][0])
    if count <= least:
        msg = (
            f"{caller}: comparing with the period {least} before needs at least {least + 1} periods, got {count}. "
            'Take a shorter period such as period="month" or "7d", or a smaller lag.'
        )
        raise SchemaError(msg)
    return least


def now_and_before(
    frame: nw.LazyFrame[Any], keys: tuple[str, ...], values: tuple[str, ...], lag: int
) -> nw.LazyFrame[Any]:
    """Add up values by keys (one of them ``period_index``) beside those of ``lag`` periods before, ``_before_*``."""
    nothing = [(nw.col(name) * 0).alias(name) for name in values]
    kept = [nw.col(name).alias(f"_before_{name}") for name in values]
    none = [(nw.col(name) * 0).alias(f"_before_{name}") for name in values]
    later = [(nw.col(key) + lag).alias(key) if key == "period_index" else nw.col(key) for key in keys]
    both = nw.concat([frame.select(*keys, *values, *none), frame.select(*later, *nothing, *kept)])
    return both.group_by(*keys).agg(nw.col(*values, *(f"_before_{name}" for name in values)).sum())


# -- inside --------------------------------------------------------------------------------------------------------


def _attributes(table: Contract, key: str) -> list[str]:
    if key == "product_id":
        return [role for role in PRODUCT_ROLES if table.has(role)]
    return [name for name in table.columns if name != key]


def _joined(
    table: Transactions, roles: tuple[str, ...], source: tuple[str, Contract, str, str], *, caller: str
) -> nw.LazyFrame[Any]:
    """Look the group up in the table of customers or products; what is not in it is unknown."""
    name, other, key, by = source
    check_same_kind({name: other.engine, "transactions": table.engine}, caller=caller)
    if other.has("valid_from"):
        msg = f"{caller}: {name} must hold one row each, got rows with valid_from. Keep those valid at as_of."
        raise SchemaError(msg)
    lines = table.need(*dict.fromkeys((*roles, key)), caller=caller)
    found, wanted = other.id_kind(key), table.id_kind(key)
    if found != wanted:
        msg = (
            f"{caller}: {key} is {found} in {name} and {wanted} in transactions. "
            "Give both the same kind, for example with .astype(str) on both sides."
        )
        raise SchemaError(msg)
    groups = _named(other.need(key, by, caller=caller), by).select(key, "group")
    joined = lines.join(groups, on=key, how="left")
    return joined.with_columns(nw.col("group").fill_null(UNKNOWN)).select(*roles, "group")


def _named(plan: nw.LazyFrame[Any], by: str) -> nw.LazyFrame[Any]:
    label = label_of(by, plan.collect_schema()[by]).cast(nw.String)
    return plan.with_columns(group=label.fill_null(UNKNOWN))
