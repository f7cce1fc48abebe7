"""What is looked for, and mining it in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._support import least_count, mined_for_top
from crmlytics.affinity.hierarchy import ancestors_of, parents_of
from crmlytics.exceptions import ResultTooLargeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._baskets import Baskets
    from crmlytics._kernels.itemset_tree import ItemsetTree

    Found = tuple[ItemsetTree, NDArray[np.int32]]

BYTES_AN_ENTRY = 16  # of what is read: where each item of each basket stands
NO_LIMIT = 2**30


@dataclass(frozen=True, slots=True)
class Wanted:
    """The arguments of ``frequent_itemsets`` that say which itemsets are wanted."""

    min_support: Any
    max_len: int | None
    min_len: int
    kind: str
    top_k: int | None
    max_bytes: int

    def fitting(self, tree: ItemsetTree, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """Keep the rows of itemsets that are long enough, and not too long."""
        if self.min_len == 1 and self.max_len is None:
            return rows
        lengths = tree.lengths()[rows]
        return rows[(lengths >= self.min_len) & (lengths <= (self.max_len or NO_LIMIT))]

    def top(self, tree: ItemsetTree, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """Keep the ``top_k`` most frequent; among equals short ones and rare items first."""
        order = np.lexsort((rows, tree.lengths()[rows], -tree.count[rows]))
        return np.sort(rows[order[: self.top_k]])

    def too_many(self, min_count: int, basket_count: int, caller: str) -> str:
        """Say that there are more itemsets than memory for them, and what to type."""
        return (
            f"{caller}: the itemsets in at least {min_count:,} of {basket_count:,} baskets need more than max_memory="
            f"{self.max_bytes / 1e6:,.0f} MB. Ask for fewer: a higher min_support, max_len=3, kind='closed' or "
            "top_k=1000; or give more, such as max_memory='8GB'."
        )


@dataclass(frozen=True, slots=True, eq=False)
class Mined:
    """What was found: see the attributes of ``Itemsets``."""

    tree: ItemsetTree
    rows: NDArray[np.int32]
    item_ids: NDArray[Any]
    min_count: int
    distinct_item_count: int


def mine_in_memory(baskets: Baskets, wanted: Wanted, parent_of: dict[str, str] | None, *, caller: str) -> Mined:
    """Mine what is wanted from baskets whose item codes rise with frequency."""
    from crmlytics._kernels.itemsets import KINDS, Question, TooManyItemsetsError, columns_of, frequent_part, mine

    counts = np.bincount(baskets.items, minlength=len(baskets.item_ids))
    floor = least_count(wanted.min_support, len(baskets))
    room = wanted.max_bytes - BYTES_AN_ENTRY * len(baskets.items)

    def mined_at(min_count: int) -> Found:
        first = int(np.searchsorted(counts, min_count))
        if room <= 0:
            raise TooManyItemsetsError
        above = None if parent_of is None else ancestors_of(parents_of(baskets.item_ids[first:], parent_of))
        columns = columns_of(*frequent_part(baskets.starts, baskets.items, first), len(counts) - first, above)
        question = Question(min_count, wanted.max_len or NO_LIMIT, KINDS[wanted.kind])
        tree, rows = mine(columns, question, basket_count=len(baskets), max_bytes=room)
        return tree, wanted.fitting(tree, rows)

    try:
        if wanted.top_k is not None and wanted.kind != "maximal":
            tree, rows = mined_for_top(mined_at, counts, wanted.top_k, floor, TooManyItemsetsError)
            rows = wanted.top(tree, rows)
        else:  # what is maximal depends on the threshold
            tree, rows = mined_at(floor)
            rows = rows if wanted.top_k is None else wanted.top(tree, rows)
    except TooManyItemsetsError:
        raise ResultTooLargeError(wanted.too_many(floor, len(baskets), caller)) from None
    return Mined(tree, rows, baskets.item_ids[len(counts) - tree.item_total :], floor, len(counts))
