"""Mining where the data are: on a Spark cluster, with the counts that mining in memory gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._baskets import basket_lines
from crmlytics._frames import SPARK, collect
from crmlytics._support import least_count
from crmlytics.exceptions import ResultTooLargeError, SchemaError
from crmlytics.sequences._mining import Mined, Wanted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.sequence_tree import SequenceTree
    from crmlytics.sequences._reading import Layout
    from crmlytics.tables import Events, Transactions

BYTES_A_PATTERN = 200  # as they come from the cluster, lists of lists of ids
COLLECT = "Collect the lines first: data.toPandas()."


def is_on_cluster(table: Transactions | Events) -> bool:
    """Whether the lines live in Spark."""
    return table.engine.implementation in SPARK


def mine_on_cluster(table: Transactions | Events, wanted: Wanted, layout: Layout, *, as_of: Any, caller: str) -> Mined:
    """Mine what is wanted with Spark's own PrefixSpan; only the patterns come to this machine."""
    if wanted.limits is not None:
        msg = f"{caller}: Spark's PrefixSpan knows no min_gap, max_gap or window. {COLLECT}"
        raise SchemaError(msg)
    if wanted.min_support is None:
        msg = f"{caller}: on Spark give min_support along with top_k, such as min_support=0.01."
        raise SchemaError(msg)
    table = table if as_of is None else table.before(as_of)
    lines, order = _event_lines(table, layout, caller) if layout.of_events else _order_lines(table, layout, caller)
    total = int(collect(lines.select(layout.by).unique().select(count=nw.len()))["count"][0])
    floor = least_count(wanted.min_support, total)
    patterns = _found(lines, order, layout, wanted, (floor, total))
    if patterns is None:
        raise ResultTooLargeError(wanted.too_many(floor, total, caller))
    tree, item_ids = _as_tree(patterns, total)
    rows = wanted.fitting(tree)
    rows = rows if wanted.top_k is None else wanted.top(tree, rows)
    return Mined(tree, rows, item_ids, wanted.least_of(tree, rows, floor))


def _event_lines(table: Any, layout: Layout, caller: str) -> tuple[nw.LazyFrame[Any], list[str]]:
    plan = table.need(layout.by, "timestamp", layout.item, caller=caller)
    plan = plan.filter(~nw.col(layout.by).is_null(), ~nw.col(layout.item).is_null())
    return plan.select(nw.col(layout.by), moment=nw.col("timestamp"), item=nw.col(layout.item)), ["moment"]


def _order_lines(table: Any, layout: Layout, caller: str) -> tuple[nw.LazyFrame[Any], list[str]]:
    """Return one row per customer, element and item, and the columns that sort a customer's elements."""
    if layout.element == "day":
        lines, _ = basket_lines(table, basket=("customer_id", "1d"), item=layout.item, caller=caller)
        return lines, ["bucket"]
    lines, keys = basket_lines(table, basket="order_id", item=layout.item, caller=caller)
    moments = table.need(*keys, "timestamp", layout.item, caller=caller).filter(~nw.col(layout.item).is_null())
    moments = moments.group_by(*keys).agg(moment=nw.col("timestamp").max())
    return lines.join(moments, on=keys), ["moment", "order_id"]


def _found(lines: nw.LazyFrame[Any], order: list[str], layout: Layout, wanted: Wanted, counts: tuple[int, int]) -> Any:
    """Return all patterns as an Arrow table; None if they are too many."""
    from crmlytics import _spark

    floor, total = counts
    found = _spark.frequent_sequences(
        lines.to_native(), layout.by, order,
        max_len=wanted.question(floor).max_len, min_count=floor, sequence_count=total,
    ).cache()  # counted, then fetched: mined once  # fmt: skip
    try:
        return None if found.count() * BYTES_A_PATTERN > wanted.max_bytes else found.toArrow().combine_chunks()
    finally:
        found.unpersist()


def _as_tree(table: Any, sequence_count: int) -> tuple[SequenceTree, NDArray[Any]]:
    """Return the tree of all patterns, and the ids of the item codes."""
    from crmlytics._kernels.sequence_kinds import tree_of_patterns

    patterns, counts = table["sequence"].combine_chunks(), table["freq"].to_numpy()
    inner = patterns.values.offsets.to_numpy().astype(np.int64)
    starts = inner[patterns.offsets.to_numpy()]
    joined = np.ones(int(inner[-1]), bool)
    joined[inner[:-1]] = False
    codes, item_ids = _codes(starts, patterns.values.values, counts)
    tree = tree_of_patterns(starts, codes, joined, counts.astype(np.int32), len(item_ids), sequence_count)
    return tree, item_ids


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
