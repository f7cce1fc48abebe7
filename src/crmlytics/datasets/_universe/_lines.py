"""Order lines: what is in an order, what it costs, and the dirt on top."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crmlytics.datasets._synthetic import _fill_orders, _product_ids, _spoil
from crmlytics.datasets._universe import _laws as laws
from crmlytics.datasets._universe import _orders as ordering

if TYPE_CHECKING:
    from crmlytics.datasets._universe._people import Flags, People, Real, Whole
    from crmlytics.datasets._universe._world import World

FAULTS = ("missing_customer", "duplicate", "zero_price", "negative_price", "cancelled")


@dataclass(frozen=True, slots=True)
class Lines:
    """One entry a line, by order and product; ``is_web`` has one entry an order."""

    order: Whole
    product: Whole
    quantity: Whole
    list_price: Real
    unit_price: Real
    unit_cost: Real
    is_web: Flags


def draw_lines(
    rng: np.random.Generator,
    orders: ordering.Orders,
    contacts: ordering.Contacts,
    people: People,
    catalogue: dict[str, Any],
) -> Lines:
    """Fill the orders, at prices less the discounts of the customer and of the campaign that is on."""
    count = len(orders.customer)
    web = (orders.cause == ordering.VISIT) | (rng.random(count) < laws.WEB_SHARE)
    dealt = rng.random(count) < people.discounted_share[orders.customer]
    factor = (1 - laws.DISCOUNT * dealt) * (1 - _campaign_discount(orders, contacts, len(people.nu)))
    filled = _fill_orders(
        rng, {"customer": orders.customer}, {"nu": people.nu}, catalogue,
        shape=laws.ORDER_SHAPE, lines_per_order=laws.LINES_PER_ORDER,
    )  # fmt: skip
    price = filled["unit_price"]
    spread = rng.uniform(1 - laws.COST_SPREAD, 1 + laws.COST_SPREAD, len(price))
    return Lines(
        order=filled["order"],
        product=filled["product"],
        quantity=filled["quantity"],
        list_price=price,
        unit_price=np.maximum((price * factor[filled["order"]]).round(2), 0.01),
        unit_cost=(price * laws.COST_SHARE * spread).round(4),
        is_web=web,
    )


def _campaign_discount(orders: ordering.Orders, contacts: ordering.Contacts, count: int) -> Real:
    """Return the share that a campaign takes off each order: all orders of its window, brought or not."""
    off = np.zeros(len(orders.customer))
    for rows, arms in zip(contacts.by_campaign(), laws.CAMPAIGNS.values(), strict=True):
        shares = np.array([laws.ARM_DISCOUNT.get(arm, 0.0) for arm in arms])
        contact = ordering.contact_on(orders, contacts, rows, count)
        on = contact >= 0
        off[on] = shares[contacts.arm[contact[on]]]
    return off


def transactions(world: World) -> pd.DataFrame:
    """Lay out the order lines by time, with dirt if asked for."""
    lines, quantity = world.rows, world.rows["quantity"]
    order, customer = lines["order"], lines["customer"]
    return pd.DataFrame({
        "customer_id": ids_or_missing(customer, lines["dirt"] == "missing_customer" if "dirt" in lines else None),
        "order_id": _ids_as_exported(lines),
        "timestamp": world.moments(lines["second"]),
        "product_id": _product_ids(np.arange(laws.PRODUCT_COUNT)).array.take(lines["product"]),
        "category": words(laws.CATEGORIES, lines["product"] % len(laws.CATEGORIES)),
        "quantity": quantity,
        "list_price": lines["list_price"],
        "unit_price": lines["unit_price"],
        "amount": (quantity * lines["unit_price"]).round(2),
        "discount_amount": (quantity * (lines["list_price"] - lines["paid"])).round(2),
        "cost": (quantity * lines["unit_cost"]).round(4),
        "channel": words(("store", "web"), world.lines.is_web[order].astype(int)),
        "partner_id": words(laws.PARTNERS, world.people.partner[customer]),
    })  # fmt: skip


def line_truth(world: World) -> pd.DataFrame:
    """Lay out the truth of each order line."""
    lines = world.rows
    dirt = pd.Series(lines["dirt"]).astype(str) if "dirt" in lines else words(("clean",), np.zeros_like(lines["order"]))
    return pd.DataFrame({
        "dirt": dirt, "true_customer_id": lines["customer"] + 1, "true_order_id": order_ids(lines["order"]),
    })  # fmt: skip


def order_lines(world: World) -> dict[str, Any]:
    """Return the order lines as columns, by time, spoilt if dirt was asked for."""
    return _spoiled(world) if world.dirt else _clean(world)


def order_amounts(lines: Lines, count: int) -> Real:
    """Return the amount of each order, without dirt."""
    amounts = (lines.quantity * lines.unit_price).round(2)
    return np.bincount(lines.order, weights=amounts, minlength=count).astype(float).round(2)


def words(names: Any, places: Whole) -> Any:
    """Return names by place as text; a place of -1 is missing."""
    return pd.array(list(names), dtype="str").take(places, allow_fill=True)


def order_ids(numbers: Whole) -> Any:
    """Name the orders by time."""
    return pd.Series(numbers + 100_001).astype(str)


def _clean(world: World) -> dict[str, Any]:
    """Return the clean lines as columns; orders go by time, so lines do."""
    lines, orders = world.lines, world.orders
    return {
        "order": lines.order,
        "customer": orders.customer[lines.order],
        "second": orders.second[lines.order],
        "product": lines.product,
        "quantity": lines.quantity,
        "list_price": lines.list_price,
        "unit_price": lines.unit_price,
        "paid": lines.unit_price,
        "unit_cost": lines.unit_cost,
    }


def _spoiled(world: World) -> dict[str, Any]:
    """Spoil an equal share of the lines in each way; what is drawn here touches nothing else."""
    lines = _clean(world)
    lines["unit_price"] = lines["unit_price"].copy()
    rates = dict.fromkeys(FAULTS, world.dirt / len(FAULTS)) | {"infinite_amount": 0.0, "return": 0.0}
    return _spoil(world.stream("dirty lines"), lines, rates, last_second=world.end - 1)


def _ids_as_exported(lines: dict[str, Any]) -> Any:
    ids = order_ids(lines["order"])
    return pd.Series(lines["prefix"]).astype(str) + ids if "prefix" in lines else ids


def ids_or_missing(places: Whole, missing: Flags | None) -> Any:
    """Return the ids of customers, those of some rows lost."""
    column = pd.Series(places + 1).astype("Int64")
    return column if missing is None else column.mask(missing)
