"""What every miner of sequential patterns shares: the question, and rows of patterns that grow within their memory."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crmlytics._kernels.compiled import compiled
from crmlytics._kernels.sequence_tree import SequenceTree
from crmlytics._kernels.working import FULL, GO, thread_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.working import Controls

    Ints = NDArray[np.int32]

NO_LIMIT = 2**30
LATER, JOINED = 0, 1  # how an item extends a pattern: in a later element, or in the last one
RESULTS, STACK = 0, 1  # what memory is held for
BYTES_A_ROW = 250  # what a pattern takes in its table, of lists and text: as it is found, and in the tree, 48
TASKS_A_THREAD = 24  # enough that no thread waits long for the last one
LARGEST = 2**31 - 1  # rows are 32-bit numbers


class Question(NamedTuple):
    """What is looked for.

    Attributes
    ----------
    min_count : int
        The fewest sequences that hold a pattern, 1 or more.
    max_len : int
        The most items of a pattern, over all its elements.
    max_element_len : int
        The most items of one element; 1 for elements of single items.
    """

    min_count: int
    max_len: int = NO_LIMIT
    max_element_len: int = NO_LIMIT


class Frequent(NamedTuple):
    """The frequent items of sequences, numbered from 0; elements and sequences without any are left out.

    Attributes
    ----------
    starts, item_starts, items : arrays
        As in ``Sequences``.
    codes : int32 array
        The code that each item had before, rising.
    counts : int64 array
        The sequences that hold each item.
    """

    starts: NDArray[np.int64]
    item_starts: NDArray[np.int64]
    items: Ints
    codes: Ints
    counts: NDArray[np.int64]


class TooManySequencesError(Exception):
    """The patterns found so far fill the memory allowed."""


def ranges_of(counts: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Cut the items into ranges in about as many sequences each: these take about as long."""
    firsts = np.concatenate([[0], np.cumsum(counts)])
    tasks = max(1, min(len(counts), TASKS_A_THREAD * thread_count()))
    cuts = np.searchsorted(firsts, np.linspace(0, firsts[-1], tasks + 1)[1:-1])
    return [(int(first), int(last)) for first, last in pairwise(np.unique([0, *cuts, len(counts)]))]


def tree_of(parts: list[Ints], codes: Ints, item_total: int, sequence_count: int) -> SequenceTree:
    """Put parts, each of complete branches, behind one another; item ``k`` of a part has the code ``codes[k]``."""
    offset = 0
    for rows in parts:
        rows[rows[:, 1] >= 0, 1] += offset
        offset += len(rows)
        if offset > LARGEST:
            raise TooManySequencesError
    item, parent, joined, count = np.concatenate([np.empty((0, 4), np.int32), *parts]).T
    return SequenceTree(codes[item], parent.copy(), joined.astype(np.bool_), count.copy(), item_total, sequence_count)


@compiled
def grown(array: NDArray[Any], needed: int) -> NDArray[Any]:
    """Return an array of one dimension, in a larger copy if it is too short."""
    if needed <= len(array):
        return array
    larger = np.empty(2 * needed, array.dtype)
    for k in range(len(array)):
        larger[k] = array[k]
    return larger


@compiled
def with_a_free_row(rows: Ints, used: int, slot: int, shared: Controls) -> Ints:
    """Return the rows, in twice the room if they were full; if none is left, give the signal FULL."""
    if used < len(rows) or is_over(2 * len(rows) * BYTES_A_ROW, RESULTS, slot, shared):
        return rows
    larger = np.empty((2 * len(rows), 4), np.int32)
    for row in range(used):  # copied by hand: what numba compiles for slices takes it seconds
        for k in range(4):
            larger[row, k] = rows[row, k]
    return larger


@compiled
def write(rows: Ints, row: int, item: int, parent: int, joined: int, count: int) -> None:
    """Write one pattern: its last item, the row without it, whether it joined the last element, its count."""
    rows[row, 0], rows[row, 1], rows[row, 2], rows[row, 3] = item, parent, joined, count


@compiled
def is_over(needed: int, what: int, slot: int, shared: Controls) -> bool:
    """Whether so many bytes would be too many, all tasks together; gives the signal FULL if so."""
    shared.held[slot, what] = needed
    if shared.held.sum() > shared.room[0]:
        shared.signal[0] = FULL
    return bool(shared.signal[0] != GO)
