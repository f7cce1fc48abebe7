"""From itemsets that were found elsewhere, with their counts, to a prefix tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.itemset_tree import ItemsetTree

if TYPE_CHECKING:
    from numpy.typing import NDArray


class MissingSetError(ValueError):
    """An itemset is there, and a part of it is not: the count of the part is unknown.

    Attributes
    ----------
    codes : list of int
        The item codes of the set that is missing.
    """

    def __init__(self, codes: list[int]) -> None:
        super().__init__(f"a larger itemset is there, the set {codes} is not.")
        self.codes = codes


def tree_of_sets(
    starts: NDArray[np.int64], codes: NDArray[np.int32], counts: NDArray[np.int32], item_total: int, basket_count: int
) -> tuple[ItemsetTree, NDArray[np.int32]]:
    """Build the tree of some itemsets: short ones first, rare items first.

    Parameters
    ----------
    starts, codes : int64 array, shape (sets + 1,), and int32 array
        The items of set ``i`` are ``codes[starts[i]:starts[i + 1]]``: at least one, in any order, each once.
    counts : array, shape (sets,)
        The baskets that hold each set.
    item_total, basket_count : int
        As in :class:`ItemsetTree`.

    Returns
    -------
    ItemsetTree, and an int32 array of shape (sets,)
        The tree, and the row of each set in it.

    Raises
    ------
    MissingSetError
        When the first items of a set are no set themselves.
    ValueError
        When a set is there twice.
    """
    item, parent, row_of = _levels(starts, _sorted_within(starts, codes, item_total), item_total)
    count = np.full(len(item), -1, np.int32)
    count[row_of] = counts
    tree = ItemsetTree(item, parent, count, item_total, basket_count)
    without = np.flatnonzero(count < 0).astype(np.int32)
    if len(without):
        raise MissingSetError(tree.members(without[:1])[1].tolist())
    if len(tree) < len(row_of):
        msg = "tree_of_sets: some itemset is there twice."
        raise ValueError(msg)
    return tree, row_of


def prefix_tree(
    starts: NDArray[np.int64], codes: NDArray[np.int32], item_total: int, basket_count: int
) -> tuple[ItemsetTree, NDArray[np.int32]]:
    """Build a tree in which codes rise along every path, for sets in any order and without their counts.

    Returns the tree, with all prefixes of the sets and counts of 0, and the row of each set.
    """
    item, parent, row_of = _levels(starts, _sorted_within(starts, codes, item_total), item_total)
    return ItemsetTree(item, parent, np.zeros(len(item), np.int32), item_total, basket_count), row_of


def _sorted_within(starts: NDArray[np.int64], codes: NDArray[np.int32], item_total: int) -> NDArray[np.int64]:
    """Return the codes with those of each set rising."""
    which = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    return np.sort(which * item_total + codes) % max(item_total, 1)


def _levels(
    starts: NDArray[np.int64], codes: NDArray[np.int64], item_total: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Return the last item and the parent of every prefix of the sets, by length, and the number of each set."""
    lengths = np.diff(starts)
    row_of = np.full(len(lengths), -1)  # of the first items of each set, one item more a round
    items, parents, total = [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0
    for length in range(1, int(lengths.max(initial=0)) + 1):
        long = np.flatnonzero(lengths >= length)
        keys = (row_of[long] + 1) * item_total + codes[starts[long] + length - 1]
        keys, row = np.unique(keys, return_inverse=True)
        row_of[long] = total + row
        total += len(keys)
        items.append(keys % item_total)
        parents.append(keys // item_total - 1)
    return np.concatenate(items).astype(np.int32), np.concatenate(parents).astype(np.int32), row_of.astype(np.int32)
