"""The families of features: what each is called, what computes it and what it needs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from crmlytics._validation import check_choice
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.snapshots import _line_families as of_lines
from crmlytics.snapshots import _order_families as of_orders
from crmlytics.snapshots._history import Sums
from crmlytics.snapshots._joining import Part
from crmlytics.snapshots._target_family import target_features

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import narwhals.stable.v2 as nw

    from crmlytics.snapshots._history import History
    from crmlytics.tables import Transactions

CALLER = "Snapshots"
NOTHING_HAPPENED = re.compile(r"_count(_\d+d)?$|^total_amount$|^amount_\d+d$")  # what is 0 without an order
UNKNOWN_COUNT = "same_season_order_count"  # of a season before the data begin


@dataclass(frozen=True, slots=True)
class Family:
    """What computes a family from the transactions.

    Attributes
    ----------
    build : function of a History
        Returns sums over orders, or a table keyed by ``customer_id``.
    roles : tuple of tuples of str
        The roles it needs: one of these sets.
    """

    build: Callable[[History], Sums | nw.LazyFrame[Any]]
    roles: tuple[tuple[str, ...], ...] = ((),)


OF_TRANSACTIONS = {
    "recency": Family(of_orders.recency),
    "frequency": Family(of_orders.frequency),
    "monetary": Family(of_orders.monetary),
    "tenure": Family(of_orders.tenure),
    "intervals": Family(of_lines.intervals),
    "trends": Family(of_orders.trends),
    "seasonality": Family(of_orders.seasonality),
    "breadth": Family(of_lines.breadth, (("product_id",), ("category",))),
    "channels": Family(of_lines.channels, (("channel",),)),
    "returns": Family(of_orders.returns),
    "discounts": Family(of_orders.discounts, (("discount_amount",), ("list_price", "quantity"))),
}
OF_OTHERS = {  # family -> the argument of Snapshots that it is computed from
    "tickets": "tickets",
    "clicks": "events",
    "contacts": "contacts",
    "customers": "customers",
    "subscriptions": "subscriptions",
    "targets": "targets",
}
FAMILIES = (*OF_TRANSACTIONS, *OF_OTHERS)


def choose_families(wanted: Any, transactions: Transactions, others: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the families asked for, or all that the data allow; refuse those that they do not."""
    if wanted is None:
        return tuple(name for name in FAMILIES if _lacks(name, transactions, others) is None)
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if not hasattr(wanted, "__iter__"):
        msg = f'{CALLER}: families must be a list such as ["recency", "frequency"], got {wanted!r}.'
        raise SchemaError(msg)
    names = tuple(dict.fromkeys(check_choice(name, FAMILIES, name="families", caller=CALLER) for name in wanted))
    if not names:
        msg = f"{CALLER}: families is empty. Leave it out for all, or name some of {list(FAMILIES)}."
        raise SchemaError(msg)
    for name in names:
        lacking = _lacks(name, transactions, others)
        if lacking is not None:
            msg = f"{CALLER}: the family {name!r} needs {lacking}."
            raise MissingColumnsError(msg)
    return names


def features_of(history: History, families: Iterable[str], others: Mapping[str, Any]) -> tuple[Part, list[Part]]:
    """Return the customers with all families that are sums over orders, and a part for each of the others.

    The first has ``_first`` and ``_last``, the moments of the first and last order, beside the features.
    """
    built = {name: OF_TRANSACTIONS[name].build(history) for name in families if name in OF_TRANSACTIONS}
    customers = history.customers(made for made in built.values() if isinstance(made, Sums))
    parts = [Part(made, fills) for made in built.values() if not isinstance(made, Sums)]
    parts += [_part_of(name, history, others[OF_OTHERS[name]]) for name in families if name in OF_OTHERS]
    return Part(customers, fills), parts


def fills(columns: Iterable[str]) -> dict[str, int | float]:
    """Return what a customer without an order has: counts and sums are 0, what is told from orders stays unknown."""
    told = {name: 0.0 if "amount" in name else 0 for name in columns if NOTHING_HAPPENED.search(name)}
    return {name: value for name, value in told.items() if name != UNKNOWN_COUNT}


# -- inside --------------------------------------------------------------------------------------------------------


def _lacks(name: str, transactions: Transactions, others: Mapping[str, Any]) -> str | None:
    """Say what a family lacks, with what to type, or None."""
    if name in OF_OTHERS:
        argument = OF_OTHERS[name]
        what = "{level: [values]}" if name == "targets" else "the table"
        return None if others.get(argument) is not None else f"{argument}=: give {what}"
    options = OF_TRANSACTIONS[name].roles
    if any(transactions.has(*roles) for roles in options):
        return None
    wanted = " or ".join(" and ".join(repr(role) for role in roles) for roles in options)
    return f"{wanted}: name yours, Transactions(data, {options[0][0]}='<your column>')"


def _part_of(name: str, history: History, table: Any) -> Part:
    """Compute the features of another table; what has no moments of lookback takes the cutoff alone."""
    if name == "targets":
        return target_features(history, table)
    module = import_module(f"crmlytics.snapshots._{name}")
    build = getattr(module, f"{name.removesuffix('s')}_features")
    lookbacks = () if name in {"customers", "subscriptions"} else (history.lookbacks,)
    return Part(build(table, history.cutoff, *lookbacks), module.fills)
