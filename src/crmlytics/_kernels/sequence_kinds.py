"""Sequential patterns among each other: where each stands in its tree, which are closed, which are maximal.

A pattern is part of another if its elements are, in order, parts of different elements of the other. It is closed if no
pattern that it is part of has the same count, and maximal if it is part of none that is frequent.

Without limits of time it is enough to look at patterns with one item more. Let a pattern be part of a larger one. The
items that it lacks can be put in one by one, each into the element where it belongs or as an element of its own; every
pattern on the way holds the smaller one and is part of the larger one. A sequence that holds a pattern holds its parts,
so that the counts on the way lie between both: if the larger one is frequent or as frequent as the smaller one, so is
the first pattern on the way, and it has one item more.

Within limits of time parts may be rarer than the whole: where an inner element is missing, its neighbours may be too
far apart. There a pattern is called closed, or maximal, by the patterns *found* with one item more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crmlytics._kernels.compiled import compiled
from crmlytics._kernels.sequence_tree import SequenceTree
from crmlytics._kernels.working import in_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int32]
    Longs = NDArray[np.int64]
    Flags = NDArray[np.bool_]

LOST = -1  # the row of a pattern that is not in the tree
ROWS_A_PART = 1 << 16  # a fraction of a second, so that Ctrl-C is heard


class Children(NamedTuple):
    """What extends each pattern of a tree, sorted: node 0 is the empty pattern, node ``r + 1`` that in row ``r``.

    Attributes
    ----------
    starts : int64 array, shape (patterns + 2,)
        The children of a node are ``rows[starts[node]:starts[node + 1]]``.
    rows : int32 array, shape (patterns,)
        Their rows.
    keys : int64 array, shape (patterns,)
        ``2 * item + joined`` of each, rising within a node.
    """

    starts: Longs
    rows: Ints
    keys: Longs


def children_of(tree: SequenceTree) -> Children:
    """Sort the patterns of a tree by what they extend and how."""
    keys = 2 * tree.item.astype(np.int64) + tree.joined
    rows = np.lexsort((keys, tree.parent)).astype(np.int32)
    starts = np.searchsorted(tree.parent[rows], np.arange(-1, len(tree) + 1)).astype(np.int64)
    return Children(starts, rows, keys[rows])


def rows_of(tree: SequenceTree, starts: Longs, codes: Ints, joined: Flags) -> Ints:
    """Return the row of each pattern; -1 where the tree does not have it, and for the empty pattern.

    Patterns are laid out as by ``tree.members``: pattern ``i`` is ``codes[starts[i]:starts[i + 1]]``, codes rise within
    an element, and where ``joined`` is false a new element begins.
    """
    keys = 2 * codes.astype(np.int64) + joined
    return _rows_of(starts.astype(np.int64), keys, *children_of(tree))


def closed_rows(tree: SequenceTree) -> Ints:
    """Return the rows of patterns that no pattern of the tree with one item more is as frequent as."""
    return np.flatnonzero(~_is_covered(tree)[1]).astype(np.int32)


def maximal_rows(tree: SequenceTree) -> Ints:
    """Return the rows of patterns that no pattern of the tree has with one item more."""
    return np.flatnonzero(~_is_covered(tree)[0]).astype(np.int32)


def _is_covered(tree: SequenceTree) -> tuple[Flags, Flags]:
    """Say which patterns are part of one with one item more, and which of one that is as frequent."""
    larger, equal = np.zeros(len(tree), np.bool_), np.zeros(len(tree), np.bool_)
    children, longest = children_of(tree), int(tree.lengths().max(initial=0))

    def cover(first: int) -> None:  # in threads, which only ever write True
        last = min(first + ROWS_A_PART, len(tree))
        _cover(first, last, tree.item, tree.parent, tree.joined, tree.count, *children, longest, larger, equal)

    in_parts(cover, range(0, len(tree), ROWS_A_PART), label="larger patterns")
    return larger, equal


@compiled
def find(node: int, key: int, starts: Longs, rows: Ints, keys: Longs) -> int:
    """Return the row of the child of a node with a key; -1 if there is none. See :class:`Children`."""
    low, high = starts[node], starts[node + 1]
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return int(rows[low]) if low < starts[node + 1] and keys[low] == key else LOST


@compiled
def _rows_of(starts: Longs, wanted: Longs, child_starts: Longs, child_rows: Ints, child_keys: Longs) -> Ints:
    found = np.empty(len(starts) - 1, np.int32)
    for i in range(len(found)):
        row, place = LOST, starts[i]
        while place < starts[i + 1] and (row >= 0 or place == starts[i]):
            row = find(row + 1, wanted[place], child_starts, child_rows, child_keys)
            place += 1
        found[i] = row
    return found


@compiled
def _cover(
    first: int, last: int, item: Ints, parent: Ints, joined: Flags, count: Ints,
    child_starts: Longs, child_rows: Ints, child_keys: Longs, longest: int, larger: Flags, equal: Flags,
) -> None:  # fmt: skip
    """Mark the patterns that are those in a range of rows without one item."""
    path = np.empty(longest + 1, np.int64)
    for row in range(first, last):
        length, above = 0, row
        while above >= 0:
            length += 1
            path[longest - length] = above
            above = parent[above]
        for without in range(longest - length, longest):
            part = parent[path[without]]
            for place in range(without + 1, longest):
                step = path[place]
                # the item behind one that began an element begins it in its stead
                is_joined = joined[step] and (place > without + 1 or joined[path[without]])
                part = find(part + 1, 2 * int(item[step]) + is_joined, child_starts, child_rows, child_keys)
                if part < 0:
                    break
            if part >= 0:
                larger[part] = True
                equal[part] |= count[part] == count[row]


# -- trees of patterns that come from elsewhere ----------------------------------------------------------------------


def tree_of_patterns(
    starts: Longs, codes: Ints, joined: Flags, counts: Ints, item_total: int, sequence_count: int
) -> SequenceTree:
    """Build the tree of patterns that were found elsewhere, in the order of those that are mined here.

    Parameters
    ----------
    starts, codes, joined : arrays
        Pattern ``i`` is ``codes[starts[i]:starts[i + 1]]``: at least one item, in any order within an element; a new
        element begins where ``joined`` is false.
    counts : int32 array, shape (patterns,)
        The sequences that hold each pattern.
    item_total, sequence_count : int
        As in :class:`SequenceTree`.

    Raises
    ------
    ValueError
        When a pattern is there twice, or not without its last item.
    """
    tree, row_of = prefix_tree(starts, codes, joined, item_total)
    tree.count[:] = -1
    tree.count[row_of] = counts
    if len(row_of) > len(tree) or tree.count.min(initial=0) < 0:
        msg = "tree_of_patterns: some pattern is there twice, or it is there without its prefix."
        raise ValueError(msg)
    return SequenceTree(tree.item, tree.parent, tree.joined, tree.count, item_total, sequence_count)


def prefix_tree(starts: Longs, codes: Ints, joined: Flags, item_total: int) -> tuple[SequenceTree, Ints]:
    """Build the tree of patterns and all their prefixes, with counts of 0, and return the row of each pattern, too.

    Patterns are laid out as for :func:`tree_of_patterns`; the row of an empty one is -1.
    """
    starts = starts.astype(np.int64)
    rising = codes[np.lexsort((codes, np.cumsum(~joined)))].astype(np.int64)  # within each element
    keys, parents, row_of = _levels(starts, 2 * rising + joined, 2 * max(item_total, 1))
    place = _depth_first(parents)
    order = np.argsort(place)
    parent = np.append(place, LOST)[parents[order]]
    count = np.zeros(len(order), np.int32)
    tree = SequenceTree(
        (keys[order] >> 1).astype(np.int32), parent.astype(np.int32), keys[order] % 2 == 1, count, item_total, 0
    )
    return tree, np.append(place, LOST)[row_of].astype(np.int32)


def _levels(starts: Longs, keys: Longs, key_total: int) -> tuple[Longs, Longs, Longs]:
    """Return the last step and the parent of every prefix, short ones first, sorted; and the number of each pattern."""
    lengths = np.diff(starts)
    row_of = np.full(len(lengths), LOST)  # of the first items of each pattern, one item more a round
    steps, parents, total = [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0
    for length in range(1, int(lengths.max(initial=0)) + 1):
        long = np.flatnonzero(lengths >= length)
        found, row = np.unique((row_of[long] + 1) * key_total + keys[starts[long] + length - 1], return_inverse=True)
        row_of[long] = total + row
        total += len(found)
        steps.append(found % key_total)
        parents.append(found // key_total - 1)
    return np.concatenate(steps), np.concatenate(parents), row_of


@compiled
def _depth_first(parent: Longs) -> Longs:
    """Return the place of each row when every parent is followed by its children, and these by theirs."""
    below, place = np.ones(len(parent) + 1, np.int64), np.empty(len(parent), np.int64)
    for row in range(len(parent) - 1, -1, -1):
        below[parent[row]] += below[row]  # the last entry is that of the empty pattern: its row is -1
    free = np.zeros(len(parent) + 1, np.int64)
    for row in range(len(parent)):
        place[row] = free[parent[row]]
        free[parent[row]] += below[row]
        free[row] = place[row] + 1
    return place
