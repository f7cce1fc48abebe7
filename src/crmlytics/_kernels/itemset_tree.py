"""Frequent itemsets as a prefix tree in three arrays: twelve bytes an itemset, whatever its length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class ItemsetTree:
    """Itemsets, one a row; a parent stands before its children.

    In a tree of all itemsets item codes rise along every path; in one of closed or maximal itemsets they need not.

    Attributes
    ----------
    item : int32 array, shape (itemsets,)
        The code of the last item of each itemset: codes run from 0 to ``item_total`` - 1, rare items first.
    parent : int32 array, shape (itemsets,)
        The row of the itemset without its last item; -1 for a single item.
    count : int32 array, shape (itemsets,)
        The baskets that hold all items of the itemset. Multiply as int64 only.
    item_total : int
        How many items have a code.
    basket_count : int
        How many baskets there are in all.
    """

    item: NDArray[np.int32]
    parent: NDArray[np.int32]
    count: NDArray[np.int32]
    item_total: int
    basket_count: int

    def __len__(self) -> int:
        """Return how many itemsets there are."""
        return len(self.item)

    def lengths(self) -> NDArray[np.int32]:
        """Return how many items each itemset has."""
        return _lengths(self.parent)

    def members(
        self, rows: NDArray[np.int32], order: NDArray[np.int32] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return the item codes of some rows, flat: those of ``rows[i]`` are ``codes[starts[i]:starts[i + 1]]``.

        Within an itemset codes rise, or ``order[code]`` rises where it is given.
        """
        starts = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(self.lengths()[rows], out=starts[1:])
        rank = np.arange(self.item_total, dtype=np.int32) if order is None else order.astype(np.int32)
        return starts, _members(self.item, self.parent, rows.astype(np.int32), starts, rank)


@compiled
def _lengths(parent: NDArray[np.int32]) -> NDArray[np.int32]:
    lengths = np.ones(len(parent), np.int32)
    for row in range(len(parent)):
        if parent[row] >= 0:
            lengths[row] = lengths[parent[row]] + 1
    return lengths


@compiled
def _members(
    item: NDArray[np.int32],
    parent: NDArray[np.int32],
    rows: NDArray[np.int32],
    starts: NDArray[np.int64],
    rank: NDArray[np.int32],
) -> NDArray[np.int32]:
    codes = np.empty(starts[-1], np.int32)
    for i in range(len(rows)):
        row, end = rows[i], starts[i]
        while row >= 0:  # insertion sort: itemsets are short
            code, place = item[row], end
            while place > starts[i] and rank[codes[place - 1]] > rank[code]:
                codes[place] = codes[place - 1]
                place -= 1
            codes[place] = code
            end += 1
            row = parent[row]
    return codes
