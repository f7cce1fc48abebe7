"""Sequential patterns as a prefix tree in four arrays: thirteen bytes a pattern, whatever its length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class SequenceTree:
    """Sequential patterns, one a row; a parent stands before its children.

    A pattern is its parent and one item more: in an element of its own that comes later, or in the last element of the
    parent. Within an element item codes rise along the path.

    Attributes
    ----------
    item : int32 array, shape (patterns,)
        The code of the last item of each pattern: codes run from 0 to ``item_total`` - 1.
    parent : int32 array, shape (patterns,)
        The row of the pattern without its last item; -1 for a single item.
    joined : bool array, shape (patterns,)
        Whether the last item stands in the same element as the one before it.
    count : int32 array, shape (patterns,)
        The sequences that hold the pattern. Multiply as int64 only.
    item_total : int
        How many items have a code.
    sequence_count : int
        How many sequences there are in all.
    """

    item: NDArray[np.int32]
    parent: NDArray[np.int32]
    joined: NDArray[np.bool_]
    count: NDArray[np.int32]
    item_total: int
    sequence_count: int

    def __len__(self) -> int:
        """Return how many patterns there are."""
        return len(self.item)

    def lengths(self) -> NDArray[np.int32]:
        """Return how many items each pattern has, over all its elements."""
        return _steps(self.parent, np.zeros(len(self.parent), np.bool_))

    def element_counts(self) -> NDArray[np.int32]:
        """Return how many elements each pattern has."""
        return _steps(self.parent, self.joined)

    def members(self, rows: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.bool_]]:
        """Return the items of some rows, flat, in order.

        Those of ``rows[i]`` are ``codes[starts[i]:starts[i + 1]]``; where ``joined`` is false a new element begins.
        """
        starts = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(self.lengths()[rows], out=starts[1:])
        return starts, *_members(self.item, self.parent, self.joined, rows.astype(np.int32), starts)


@compiled
def _steps(parent: NDArray[np.int32], skipped: NDArray[np.bool_]) -> NDArray[np.int32]:
    steps = np.zeros(len(parent), np.int32)
    for row in range(len(parent)):
        steps[row] = (steps[parent[row]] if parent[row] >= 0 else 0) + (0 if skipped[row] else 1)
    return steps


@compiled
def _members(
    item: NDArray[np.int32],
    parent: NDArray[np.int32],
    joined: NDArray[np.bool_],
    rows: NDArray[np.int32],
    starts: NDArray[np.int64],
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    codes, in_same = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.bool_)
    for i in range(len(rows)):
        row, place = rows[i], starts[i + 1]
        while row >= 0:
            place -= 1
            codes[place], in_same[place] = item[row], joined[row]
            row = parent[row]
    return codes, in_same
