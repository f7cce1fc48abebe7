"""How customers buy: how much comes back, how much is bought at a discount, how many products and categories."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import collect
from crmlytics._periods import ratio
from crmlytics.scorecard._part import CALLER, Column, Part

if TYPE_CHECKING:
    from crmlytics.scorecard._part import Request
    from crmlytics.tables import Transactions

    Plan = nw.LazyFrame[Any]

COUNTED = "Counted from the lines kept."
COLUMNS = {
    "returned_share": Column(
        "returned_share", "Amounts below zero as a share of those above; empty where nothing was bought", "share",
        f"{COUNTED} Credit notes and discounts on lines of their own count, too; what the contract set aside does not.",
    ),
    "discount_share": Column(
        "discount_share", "Discounts as a share of the full price of what was bought", "share", COUNTED,
    ),
    "product_count": Column("product_count", "Different products bought", "products", COUNTED),
    "category_count": Column("category_count", "Different categories bought from", "categories", COUNTED),
}  # fmt: skip


def habits_part(request: Request) -> Part:
    """Share returned; with their roles, share of discounts, products and categories."""
    known, amount = request.known, nw.col("amount")
    lines = known.need("customer_id", "amount", *_roles(known), caller=CALLER)
    bought = lines.filter(amount >= 0)
    plans = [_shares(lines, known)]
    if known.has("product_id"):
        plans.append(_different(bought, "product_id", "product_count"))
    categories = _with_category(bought, request)
    if categories is not None:
        plans.append(_different(categories, "category", "category_count"))
    table = collect(reduce(lambda one, other: one.join(other, on="customer_id", how="left"), plans))
    counts = [name for name in ("product_count", "category_count") if name in table.columns]
    if counts:  # who only sent back has none
        table = table.with_columns(nw.col(*counts).fill_null(0).cast(nw.Int64))
    return Part(table, tuple(column for name, column in COLUMNS.items() if name in table.columns))


def _roles(known: Transactions) -> list[str]:
    return [name for name in ("discount_amount", "product_id", "category") if known.has(name)]


def _shares(lines: Plan, known: Transactions) -> Plan:
    """Return ``returned_share`` and, with the role, ``discount_share``: one row per customer."""
    amount, nothing = nw.col("amount"), nw.lit(0.0)
    bought = amount > 0
    sums = {"_bought": nw.when(bought).then(amount), "_returned": nw.when(amount < 0).then(-amount)}
    found = {"returned_share": ratio("_returned", "_bought")}
    if known.has("discount_amount"):  # of either sign, as exports have it
        off = nw.col("discount_amount").abs().fill_null(0.0)
        sums |= {"_off": nw.when(bought).then(off), "_full": nw.when(bought).then(amount + off)}
        found["discount_share"] = ratio("_off", "_full")
    marked = lines.select("customer_id", **{name: value.otherwise(nothing) for name, value in sums.items()})
    summed = marked.group_by("customer_id").agg(**{name: nw.col(name).sum() for name in sums})
    return summed.select("customer_id", **found)


def _with_category(bought: Plan, request: Request) -> Plan | None:
    """Return the lines with their category: their own, else that of the product; None where neither is known."""
    known, products = request.known, request.products
    if known.has("category"):
        return bought
    if products is None or not products.has("category") or not known.has("product_id"):
        return None
    listed = products.need("product_id", "category", caller=CALLER)
    return bought.join(listed, on="product_id", how="inner")


def _different(bought: Plan, role: str, name: str) -> Plan:
    """Count what is different, the missing left out: one row per customer."""
    pairs = bought.filter(~nw.col(role).is_null()).select("customer_id", role).unique()
    return pairs.group_by("customer_id").agg(nw.len().alias(name)).with_columns(nw.col(name).cast(nw.Int64))
