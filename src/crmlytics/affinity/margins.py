"""What is bought together, weighed by what it earns: margins of itemsets, of baskets and of items."""

from __future__ import annotations

import numbers
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._baskets import read_baskets
from crmlytics._lists import list_column, table_with_lists
from crmlytics._validation import check_fraction, warn
from crmlytics.affinity._checks import check_itemsets
from crmlytics.affinity._margins import unit_margins
from crmlytics.affinity.hierarchy import in_codes_of
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Products, Transactions, check_same_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._baskets import Basket, Baskets
    from crmlytics._kernels.itemset_values import Sums
    from crmlytics.affinity.itemsets import Itemsets

DIGITS = 12  # of a share: what rounding does must neither drop a row at the threshold nor decide the order


def margin_table(
    itemsets: Itemsets,
    transactions: Transactions | Any,
    *,
    margin: Products | float | None = None,
    min_margin_share: float | None = None,
) -> Any:
    """Weigh itemsets by the margin of the baskets that hold them: what often goes together may earn little.

    Parameters
    ----------
    itemsets : Itemsets
        From :func:`frequent_itemsets`.
    transactions : Transactions or dataframe
        The lines they were found in, or others: baskets are counted anew. Needs the roles of the itemsets and those of
        the margin.
    margin : Products or float, optional
        Left out: a line's margin is its ``amount`` less its ``cost``. ``Products`` with ``price`` and ``cost``: their
        difference a unit, times ``quantity`` (list prices: discounts are not seen). A number such as 0.3: this share of
        the ``amount`` (1 weighs by revenue).
    min_margin_share : float, optional
        Only itemsets with at least this ``margin_share``.

    Returns
    -------
    dataframe of the kind that the itemsets were found in, one row per itemset, the largest ``margin_share`` first
        ``itemset`` (List of ids, sorted), ``length`` (Int64), ``basket_count`` (Int64, baskets that hold all of it),
        ``support`` (Float64, the share of all baskets),
        ``margin_amount`` (Float64, the margin of its own items in these baskets, in the currency of ``amount``),
        ``basket_margin_amount`` (Float64, the margin of everything in these baskets),
        ``margin_share`` (Float64, ``basket_margin_amount`` of the margin of all baskets: the margin-weighted support).

    Raises
    ------
    SchemaError
        No margin is given or can be made; or the margin of all baskets is not above zero, so that it has no shares.

    Notes
    -----
    An item that was returned within its basket is not in it, and neither is its margin; nor are baskets of returns
    only. Basket margins overlap: an itemset's includes that of all larger ones, so shares do not add up. They are the
    utility and the transaction-weighted utility of Y. Liu, W. Liao, A. Choudhary (2005), "A two-phase algorithm for
    fast discovery of high utility itemsets", PAKDD, 689-695. Nothing is said about what the baskets would have earned
    without the itemset.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.affinity import frequent_itemsets
    >>> lines = pd.DataFrame({
    ...     "order_id": [1, 1, 2, 2, 3], "product_id": ["tea", "milk", "tea", "milk", "pot"],
    ...     "amount": [4.0, 1.0, 5.0, 1.0, 30.0], "cost": [3.0, 1.0, 3.0, 1.0, 13.0],
    ... })
    >>> table = margin_table(frequent_itemsets(lines, min_support=1, min_len=1), lines)
    >>> print(table[["itemset", "basket_count", "margin_amount", "margin_share"]].to_string())
              itemset  basket_count  margin_amount  margin_share
    0         ['pot']             1           17.0          0.85
    1        ['milk']             2            0.0          0.15
    2         ['tea']             2            3.0          0.15
    3  ['milk' 'tea']             2            3.0          0.15
    """
    caller = "margin_table"
    itemsets = check_itemsets(itemsets, caller=caller)
    if min_margin_share is not None:
        check_fraction(min_margin_share, name="min_margin_share", caller=caller)
    baskets = _valued_baskets(transactions, margin, basket=itemsets.basket, item=itemsets.item, caller=caller)
    totals = _basket_totals(baskets)
    whole = float(totals.sum())
    if not whole > 0:
        msg = (
            f"{caller}: the margin of all {len(baskets):,} baskets is {whole:,.2f}, and shares of it would mean "
            "nothing. Check amount and cost: cost is that of the line, not of one unit."
        )
        raise SchemaError(msg)
    coded = in_codes_of(baskets, itemsets)
    if len(itemsets) and not len(coded.items):
        msg = (
            f"margin_table: none of the {len(itemsets.item_ids):,} items of the itemsets was bought in these "
            f"transactions. Compare the ids: {itemsets.item} is such as {itemsets.item_ids[-1]!r} in the itemsets."
        )
        raise SchemaError(msg)
    sums = _sums(itemsets, coded, totals)
    return _table(itemsets, sums, whole, len(baskets), min_margin_share)


def item_margins(
    transactions: Transactions | Any,
    *,
    margin: Products | float | None = None,
    basket: Basket = "order_id",
    item: str = "product_id",
) -> dict[Any, float]:
    """Return what each item earns in a basket that holds it, on average: what :class:`RuleRecommender` weighs by.

    Parameters
    ----------
    transactions : Transactions or dataframe
    margin : Products or float, optional
        As in :func:`margin_table`.
    basket, item : what is a basket, and what is an item
        As in :func:`frequent_itemsets`.

    Returns
    -------
    dict
        From item id to the mean margin per basket with the item, in the currency of ``amount``; sorted by id. Items
        that were only ever returned are in no basket, and not in it.

    Examples
    --------
    >>> import pandas as pd
    >>> lines = pd.DataFrame({"order_id": [1, 1, 2], "product_id": ["tea", "tea", "tea"], "amount": [4.0, 4.0, 2.0]})
    >>> item_margins(lines, margin=0.5)
    {'tea': 2.5}
    """
    baskets = _valued_baskets(transactions, margin, basket=basket, item=item, caller="item_margins")
    sums = np.bincount(baskets.items, baskets.values, len(baskets.item_ids))
    held = np.bincount(baskets.items, minlength=len(sums))
    sold = np.flatnonzero(held)  # what was only ever returned is in no basket
    means = (sums[sold] / held[sold]).tolist()
    return dict(sorted(zip(baskets.item_ids[sold].tolist(), means, strict=True)))


# -- inside --------------------------------------------------------------------------------------------------------


class _Margin(NamedTuple):
    """How a line's margin is computed: an expression, the roles it needs, and what each unit of it earns by item."""

    line: nw.Expr
    roles: tuple[str, ...]
    unit: dict[Any, float] | None = None


def _valued_baskets(transactions: Any, margin: Any, *, basket: Basket, item: str, caller: str) -> Baskets:
    """Read baskets with the margin of each item in :attr:`Baskets.values`; unknown margins are told and count as 0."""
    table = Transactions.bind(transactions)
    how = _margin_of(margin, table, item, caller=caller)
    baskets = read_baskets(table, basket=basket, item=item, value=how.line, value_roles=how.roles, caller=caller)
    values = np.zeros(0) if baskets.values is None else baskets.values
    if how.unit is not None:
        earned = np.array([how.unit.get(item_id, np.nan) for item_id in baskets.item_ids.tolist()], dtype=np.float64)
        values = values * earned[baskets.items]
    unknown = np.isnan(values)
    if unknown.any():
        items = len(np.unique(baskets.items[unknown]))
        warn(
            f"{caller}: the margin of {int(unknown.sum()):,} of {len(values):,} items in baskets is not known "
            f"({items:,} different items without a cost or price): it counts as 0."
        )
    return replace(baskets, values=np.where(unknown, 0.0, values))


def _margin_of(margin: Any, table: Transactions, item: str, *, caller: str) -> _Margin:
    if margin is None:
        return _from_cost(table, caller=caller)
    if isinstance(margin, Products):
        return _from_products(margin, table, item, caller=caller)
    if isinstance(margin, numbers.Real) and not isinstance(margin, bool) and 0 < float(margin) <= 1:
        return _Margin(nw.col("amount") * float(margin), ("amount",))
    msg = (
        f"{caller}: margin must be Products(...) with price and cost, or a share of the amount such as margin=0.3, got "
        f"{margin!r}."
    )
    raise SchemaError(msg)


def _from_cost(table: Transactions, *, caller: str) -> _Margin:
    if not table.has("amount", "cost"):
        lacking = " and ".join(name for name in ("amount", "cost") if not table.has(name))
        msg = (
            f"{caller}: no margin is given, and the transactions have no {lacking} to compute it from. Name yours: "
            "Transactions(data, cost='<your column>'); or give margin=Products(data, price=..., cost=...), or a share "
            "of the amount such as margin=0.3."
        )
        raise SchemaError(msg)
    return _Margin(nw.col("amount") - nw.col("cost"), ("amount", "cost"))


def _from_products(products: Products, table: Transactions, item: str, *, caller: str) -> _Margin:
    if item != "product_id":
        msg = (
            f'{caller}: Products has margins by product_id, and the items are "{item}". Bind cost in the transactions, '
            "or give a share of the amount such as margin=0.3."
        )
        raise SchemaError(msg)
    check_same_ids([table, products], role="product_id", caller=caller)
    return _Margin(nw.col("quantity"), ("quantity",), unit_margins(products, caller=caller))


def _basket_totals(baskets: Baskets) -> NDArray[np.float64]:
    basket = np.repeat(np.arange(len(baskets)), np.diff(baskets.starts))
    return np.bincount(basket, baskets.values, len(baskets)).astype(np.float64)


def _sums(itemsets: Itemsets, baskets: Baskets, totals: NDArray[np.float64]) -> Sums:
    """Return the sums of the rows of the tree that are itemsets asked for."""
    from crmlytics._kernels.itemset_values import Sums, Valued, sum_values
    from crmlytics._kernels.tree_of_sets import prefix_tree

    tree, rows = itemsets.tree, itemsets.rows
    if itemsets.kind != "all":  # their codes do not rise along the paths of the tree
        tree, rows = prefix_tree(*tree.members(rows), tree.item_total, tree.basket_count)
    values = np.zeros(0) if baskets.values is None else baskets.values
    sums = sum_values(tree, Valued(baskets.starts, baskets.items, values, totals))
    return Sums(sums.basket_count[rows], sums.own[rows], sums.total[rows])


def _table(itemsets: Itemsets, sums: Sums, whole: float, basket_count: int, min_margin_share: float | None) -> Any:
    share = sums.total / whole
    rounded = np.round(share, DIGITS)
    rows = itemsets.rows
    order = np.lexsort((rows, itemsets.tree.lengths()[rows], -sums.basket_count, -rounded))
    if min_margin_share is not None:
        order = order[rounded[order] >= round(min_margin_share, DIGITS)]
    starts, codes = itemsets.tree.members(rows[order], order=itemsets.id_order())
    columns = {
        "itemset": list_column(starts, codes, itemsets.item_ids),
        "length": np.diff(starts),
        "basket_count": sums.basket_count[order],
        "support": sums.basket_count[order] / max(basket_count, 1),
        "margin_amount": sums.own[order],
        "basket_margin_amount": sums.total[order],
        "margin_share": share[order],
    }
    return table_with_lists(itemsets.engine, columns)
