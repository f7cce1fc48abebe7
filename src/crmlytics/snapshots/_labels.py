"""What happened in a window after the cutoff: the outcomes that a model learns."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._orders import ORDER_ROLES, gather, orders_of
from crmlytics._validation import did_you_mean
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.snapshots._contacts import CONTROL_ARMS
from crmlytics.snapshots._history import LEVELS, MORE_ROLES, at_level, levels_of
from crmlytics.snapshots._joining import LABEL_PREFIX, Part

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping

    from crmlytics.tables import Contacts, Products, Subscriptions, Transactions

CALLER = "Snapshots"
FILLS = {"future_order_count": 0, "future_amount": 0.0}


def read_targets(targets: Any, transactions: Transactions, products: Products | None) -> dict[str, tuple[Any, ...]]:
    """Check ``{"category": ["DAIRY", ...]}``: what the label columns ``bought_<value>`` are for."""
    if targets is None:
        return {}
    example = 'such as targets={"category": ["DAIRY", "MEAT"]}'
    if not hasattr(targets, "items"):
        msg = f"{CALLER}: targets must be a dict {example}, got {targets!r}."
        raise SchemaError(msg)
    known = levels_of(transactions, products)
    read = {}
    for level, values in targets.items():
        if level not in LEVELS:
            msg = f"{CALLER}: targets has the key {level!r}, expected one of {list(LEVELS)}."
            raise SchemaError(msg + did_you_mean(level, LEVELS))
        if level not in known:
            msg = f"{CALLER}: targets needs {level!r}, which neither transactions nor products= have. Known: {known}."
            raise MissingColumnsError(msg)
        kind = (transactions if level in MORE_ROLES and transactions.has(level) else products).id_kind(level)  # type: ignore[union-attr]
        read[level] = _values(level, values, str if kind == "String" else Integral, example)
    return read


def label_names(targets: Mapping[str, Iterable[Any]], *, contacts: bool, subscriptions: bool) -> list[str]:
    """Return the label columns in their order."""
    names = ["bought", *FILLS]
    names += [f"{LABEL_PREFIX}{value}" for values in targets.values() for value in values]
    return names + ["contacted", "responded"] * contacts + ["ended"] * subscriptions


def purchases(transactions: Transactions, start: dt.datetime, end: dt.datetime) -> Part:
    """Orders begun from ``start`` to before ``end``: ``bought``, ``future_order_count``, ``future_amount``."""
    orders = orders_of(transactions.between(start, end).need(*ORDER_ROLES, caller=CALLER), "customer_id")
    summed = (
        _begun(orders, transactions, start)
        .group_by("customer_id")
        .agg(future_order_count=nw.col("is_order").sum(), future_amount=nw.col("amount").sum())
    )
    columns = summed.select("customer_id", nw.col("future_order_count").alias("bought"), *FILLS)
    return Part(columns, _label_fills)


def purchases_of(
    transactions: Transactions, products: Products | None, level: str, values: tuple[Any, ...],
    window: tuple[dt.datetime, dt.datetime],
) -> Part:  # fmt: skip
    """Whether each value was bought, and not given back, in the window: a column ``bought_<value>`` for each."""
    roles = [level if level in MORE_ROLES and transactions.has(level) else "product_id"]
    lines = transactions.between(*window).need(*ORDER_ROLES, *roles, caller=CALLER)
    asked = at_level(lines, level, products).filter(nw.col(level).is_in(values))
    bought = _begun(gather(asked, "customer_id", "order_id", level), transactions, window[0])
    flags = {
        f"{LABEL_PREFIX}{value}": nw.when(nw.col(level) == value).then(nw.col("is_order")).otherwise(nw.lit(0))
        for value in values
    }
    marked = bought.with_columns(**flags).group_by("customer_id").agg(*[nw.col(name).max() for name in flags])
    return Part(marked, _label_fills)


def answers(contacts: Contacts, start: dt.datetime, end: dt.datetime) -> Part:
    """Whether a customer was ``contacted`` in the window, and whether one of these contacts was ``responded`` to.

    A contact of which it is not known whether it was answered says neither.
    """
    roles = [role for role in ("arm",) if contacts.has(role) and contacts.id_kind(role) == "String"]
    lines = contacts.between(start, end).need("customer_id", "responded", *roles, caller=CALLER)
    lines = lines.filter(~nw.col("responded").is_null())
    if roles:
        lines = lines.filter(~nw.col("arm").fill_null("").str.to_lowercase().is_in(CONTROL_ARMS))
    flags = lines.select(
        "customer_id",
        contacted=nw.lit(1).cast(nw.Int64),
        responded=nw.col("responded").cast(nw.Int64),
    )
    return Part(flags.group_by("customer_id").agg(nw.col("contacted").max(), nw.col("responded").max()), _label_fills)


def endings(subscriptions: Subscriptions, start: dt.datetime, end: dt.datetime) -> Part:
    """Whether a subscription ran when the window began and none ran when it was over: ``ended``."""
    lost = running_at(subscriptions, start).join(running_at(subscriptions, end), on="customer_id", how="anti")
    return Part(lost.with_columns(ended=nw.lit(1).cast(nw.Int64)), _label_fills)


def running_at(subscriptions: Subscriptions, moment: dt.datetime) -> nw.LazyFrame[Any]:
    """Return the customers with a subscription begun before a moment and not ended before it."""
    lines = subscriptions.need("customer_id", "started_at", "ended_at", caller=CALLER)
    runs = (nw.col("started_at") < moment) & (nw.col("ended_at").is_null() | (nw.col("ended_at") >= moment))
    return lines.filter(runs).select("customer_id").unique()


# -- inside --------------------------------------------------------------------------------------------------------


def _begun(orders: nw.LazyFrame[Any], transactions: Transactions, start: dt.datetime) -> nw.LazyFrame[Any]:
    """Count only orders without a line before the window: freight that is charged later is no new order."""
    key = ["customer_id", "order_id"]
    known = transactions.before(start).need(*key, caller=CALLER).select(*key).unique()
    marked = orders.join(known.with_columns(_known=nw.lit(1).cast(nw.Int64)), on=key, how="left")
    return marked.with_columns(is_order=nw.when(nw.col("_known").is_null()).then(nw.col("is_order")).otherwise(0))


def _label_fills(columns: Iterable[str]) -> dict[str, Any]:
    return {name: FILLS.get(name, False) for name in columns}


def _values(level: str, values: Any, kind: type, example: str) -> tuple[Any, ...]:
    one = isinstance(values, (str, Integral)) or not hasattr(values, "__iter__")
    listed = [values] if one else list(values)
    wrong = [value for value in listed if not isinstance(value, kind) or isinstance(value, bool)]
    if wrong or not listed:
        words = "text" if kind is str else "whole numbers"
        msg = (
            f"{CALLER}: targets[{level!r}] must be a list of {words}, as the data have them, {example}, got {values!r}."
        )
        raise SchemaError(msg)
    return tuple(dict.fromkeys(listed))
