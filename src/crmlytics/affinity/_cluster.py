"""Mining where the data are: on a Spark cluster, with the counts that mining in memory gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._baskets import basket_lines
from crmlytics._frames import SPARK, collect
from crmlytics._support import least_count
from crmlytics.affinity._mining import Mined, Wanted
from crmlytics.exceptions import ResultTooLargeError, SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._baskets import Basket
    from crmlytics._kernels.itemset_tree import ItemsetTree
    from crmlytics.tables import Transactions

BYTES_AN_ITEMSET = 100  # as they come from the cluster, lists of ids


def is_on_cluster(table: Transactions) -> bool:
    """Whether the lines live in Spark."""
    return table.engine.implementation in SPARK


def mine_on_cluster(table: Transactions, wanted: Wanted, *, basket: Basket, item: str, caller: str) -> Mined:
    """Mine what is wanted with Spark's own FP-growth; only the itemsets come to this machine."""
    if wanted.min_support is None:
        msg = f"{caller}: on Spark give min_support along with top_k, such as min_support=0.01."
        raise SchemaError(msg)
    lines, keys = basket_lines(table, basket=basket, item=item, caller=caller)
    basket_count, item_count = (_distinct(lines, *names) for names in (keys, ["item"]))
    floor = least_count(wanted.min_support, basket_count)
    too_many = wanted.too_many(floor, basket_count, caller)
    tree, item_ids = _mined(lines, keys, floor, basket_count, (wanted.max_bytes, too_many))
    rows = wanted.fitting(tree, _answers(tree, wanted.kind))
    return Mined(tree, rows if wanted.top_k is None else wanted.top(tree, rows), item_ids, floor, item_count)


def _distinct(lines: nw.LazyFrame[Any], *names: str) -> int:
    return int(collect(lines.select(*names).unique().select(count=nw.len()))["count"][0])


def _mined(
    lines: nw.LazyFrame[Any], keys: list[str], floor: int, basket_count: int, limit: tuple[int, str]
) -> tuple[ItemsetTree, NDArray[Any]]:
    """Return the tree of all itemsets, and the ids of the item codes."""
    from crmlytics import _spark
    from crmlytics._kernels.tree_of_sets import tree_of_sets

    max_bytes, too_many = limit
    found = _spark.frequent_itemsets(lines.to_native(), keys, "item", min_count=floor, basket_count=basket_count)
    found = found.cache()  # counted, then fetched: mined once
    try:
        if found.count() * BYTES_AN_ITEMSET > max_bytes:
            raise ResultTooLargeError(too_many)
        table = found.toArrow().combine_chunks()
    finally:
        found.unpersist()
    sets, counts = table["items"].combine_chunks(), table["freq"].to_numpy()
    starts = sets.offsets.to_numpy().astype(np.int64)
    codes, item_ids = _codes(starts, sets.values, counts)
    tree, _ = tree_of_sets(starts, codes, counts.astype(np.int32), len(item_ids), basket_count)
    return tree, item_ids


def _answers(tree: ItemsetTree, kind: str) -> NDArray[np.int32]:
    """Return the rows of a tree of all itemsets that are closed or maximal: one item less gives a set that is not."""
    from crmlytics._kernels.itemset_index import index_of, rows_without

    every = np.arange(len(tree), dtype=np.int32)
    if kind == "all":
        return every
    starts, parts = rows_without(tree, index_of(tree), every)
    whole = np.repeat(every, np.diff(starts))
    inside = parts >= 0
    whole, parts = whole[inside], parts[inside]
    is_answer = np.ones(len(tree), bool)
    is_answer[parts if kind == "maximal" else parts[tree.count[parts] == tree.count[whole]]] = False
    return every[is_answer]


def _codes(starts: NDArray[np.int64], values: Any, counts: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Give the items codes, rare ones first, by id among equals."""
    ids, coded = np.unique(values.to_numpy(zero_copy_only=False), return_inverse=True)
    single = np.flatnonzero(np.diff(starts) == 1)
    count = np.zeros(len(ids), np.int64)
    count[coded[starts[single]]] = counts[single]
    order = np.argsort(count, kind="stable")
    rank = np.empty(len(ids), np.int32)
    rank[order] = np.arange(len(ids), dtype=np.int32)
    return rank[coded], ids[order]
