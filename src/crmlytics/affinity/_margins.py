"""What items earn: margins as they are given, by item code."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from narwhals.stable.v2.dependencies import is_pandas_series

from crmlytics._frames import collect
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Products

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.affinity.itemsets import Itemsets

SHOWN = 3  # ids in a message


def margin_amounts(margin: Any, itemsets: Itemsets, *, caller: str) -> NDArray[np.float64]:
    """Return the margin of each item code, NaN where not known."""
    amounts = _mapping(margin, itemsets.item, caller=caller)
    if itemsets.hierarchy is not None:  # ids are text beside what stands above them
        amounts = {str(item_id): amount for item_id, amount in amounts.items()}
    amounts = {item_id: amount for item_id, amount in amounts.items() if not _is_unknown(amount)}
    for item_id, amount in amounts.items():
        if isinstance(amount, bool) or not isinstance(amount, numbers.Real) or not np.isfinite(float(amount)):
            msg = f"{caller}: margin[{item_id!r}] must be an amount per basket, got {amount!r}."
            raise SchemaError(msg)
    found = np.array([float(amounts.get(item_id, np.nan)) for item_id in itemsets.item_ids.tolist()])
    if np.isnan(found).all():
        known, given = (", ".join(map(repr, list(ids)[:SHOWN])) for ids in (itemsets.item_ids.tolist(), amounts))
        msg = f"{caller}: margin has none of the items, such as {known}; it has {given or 'nothing'}."
        raise SchemaError(msg)
    return found


def _is_unknown(amount: Any) -> bool:
    return amount is None or (isinstance(amount, numbers.Real) and bool(np.isnan(float(amount))))


def _of_series(margin: Any, *, caller: str) -> dict[Any, Any]:
    """Read a pandas Series of amounts whose index has the item ids."""
    if not margin.index.is_unique:
        again = margin.index[margin.index.duplicated()][0]
        msg = f"{caller}: margin has {again!r} more than once in its index. Expected one amount per item."
        raise SchemaError(msg)
    return dict(margin.dropna().items())


def _mapping(margin: Any, item: str, *, caller: str) -> Mapping[Any, Any]:
    if isinstance(margin, Mapping):
        return margin
    if is_pandas_series(margin):
        return _of_series(margin, caller=caller)
    if not isinstance(margin, Products):
        msg = (
            f"{caller}: margin must be a mapping such as {{item_id: amount}}, a pandas Series by item id, or "
            f"Products(...) with price and cost, got {type(margin).__name__}."
        )
        raise SchemaError(msg)
    if item != "product_id":
        msg = f'{caller}: Products has margins by product_id, and item is "{item}". Give margin={{{item}: amount}}.'
        raise SchemaError(msg)
    return unit_margins(margin, caller=caller)


def unit_margins(products: Products, *, caller: str) -> dict[Any, float]:
    """Return what one unit of each product earns, its price less its cost, where both are known."""
    found = collect(products.need("product_id", "price", "cost", caller=caller).drop_nulls())
    return dict(zip(found["product_id"].to_list(), (found["price"] - found["cost"]).to_list(), strict=True))
