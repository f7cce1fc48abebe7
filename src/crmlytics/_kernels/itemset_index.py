"""Where an itemset stands in its tree: a hash table from the set of its items, in any order, to its row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.itemset_tree import ItemsetTree

LOST = -1  # the row of a set that is not in the tree, and of the empty set


@dataclass(frozen=True, slots=True, eq=False)
class ItemsetIndex:
    """The rows of a tree by hash: an itemset's hash is the sum of its items' keys, wrapped at 64 bits.

    No two itemsets of the tree share a hash, so that :func:`find` is exact for every set that is in the tree; whether
    a set is there at all, :func:`rows_of_sets` answers by its members. The hash of a set with an item more or less is
    one addition away.

    Attributes
    ----------
    keys : int64 array, shape (items,)
        A fixed random number for each item code.
    hashes : int64 array, shape (itemsets,)
        The hash of each row.
    slots : int32 array, shape (a power of two, more than twice the itemsets,)
        Open addressing: a row stands in the first free slot from ``hash & (len(slots) - 1)`` on; -1 is free.
    """

    keys: NDArray[np.int64]
    hashes: NDArray[np.int64]
    slots: NDArray[np.int32]


def index_of(tree: ItemsetTree) -> ItemsetIndex:
    """Index every row of ``tree``, whose itemsets must differ from each other."""
    slot_total = 1 << (2 * len(tree) + 1).bit_length()
    for seed in range(64):
        keys = _random_keys(tree.item_total, seed)
        hashes = _hashes(tree.item, tree.parent, keys)
        slots = np.full(slot_total, LOST, np.int32)
        if _fill(hashes, slots):
            return ItemsetIndex(keys, hashes, slots)
    msg = "index_of: some itemset stands in the tree twice."  # 64 collisions in a row do not happen
    raise ValueError(msg)


@compiled
def find(wanted: int, hashes: NDArray[np.int64], slots: NDArray[np.int32]) -> int:
    """Return the row of the itemset with the hash ``wanted``, or -1; exact where the set is in the tree."""
    mask = len(slots) - 1
    slot = wanted & mask
    while slots[slot] >= 0 and hashes[slots[slot]] != wanted:
        slot = (slot + 1) & mask
    return int(slots[slot])


def rows_without(
    tree: ItemsetTree, index: ItemsetIndex, rows: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the rows of some itemsets with one item removed, flat.

    Laid out as ``tree.members(rows)``: where ``starts, codes = tree.members(rows)``, the element ``j`` of the second
    array is the row of the itemset without item ``codes[j]``; -1 where nothing is left, or the set is not in the tree.
    """
    starts, codes = tree.members(rows)
    hashes = np.repeat(index.hashes[rows], np.diff(starts)) - index.keys[codes]
    return starts, _found(hashes, index.hashes, index.slots)


def rows_of_sets(
    tree: ItemsetTree, index: ItemsetIndex, starts: NDArray[np.int64], codes: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Return the row of each set ``codes[starts[i]:starts[i + 1]]``; -1 where the tree does not have it.

    The codes of a set stand in any order, each once; a code the tree does not know, such as -1, is in no itemset.
    """
    return _rows_of_sets(
        starts.astype(np.int64), codes.astype(np.int32), tree.item, tree.parent, index.keys, index.hashes, index.slots
    )


def _random_keys(total: int, seed: int) -> NDArray[np.int64]:
    """Return splitmix64's numbers: fixed, so that nothing depends on the session (S. Vigna's constants)."""
    state = np.arange(1, total + 1, dtype=np.uint64) + np.uint64(seed << 32)
    state *= np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (state ^ (state >> np.uint64(31))).view(np.int64)


@compiled
def _hashes(item: NDArray[np.int32], parent: NDArray[np.int32], keys: NDArray[np.int64]) -> NDArray[np.int64]:
    hashes = np.empty(len(item), np.int64)
    for row in range(len(item)):
        hashes[row] = keys[item[row]]
        if parent[row] >= 0:
            hashes[row] += hashes[parent[row]]
    return hashes


@compiled
def _fill(hashes: NDArray[np.int64], slots: NDArray[np.int32]) -> bool:
    """Put every row into its slot; False at the first hash seen twice."""
    mask = len(slots) - 1
    for row in range(len(hashes)):
        slot = hashes[row] & mask
        while slots[slot] >= 0:
            if hashes[slots[slot]] == hashes[row]:
                return False
            slot = (slot + 1) & mask
        slots[slot] = row
    return True


@compiled
def _found(wanted: NDArray[np.int64], hashes: NDArray[np.int64], slots: NDArray[np.int32]) -> NDArray[np.int32]:
    rows = np.empty(len(wanted), np.int32)
    for i in range(len(wanted)):
        rows[i] = find(wanted[i], hashes, slots)
    return rows


@compiled
def _rows_of_sets(
    starts: NDArray[np.int64],
    codes: NDArray[np.int32],
    item: NDArray[np.int32],
    parent: NDArray[np.int32],
    keys: NDArray[np.int64],
    hashes: NDArray[np.int64],
    slots: NDArray[np.int32],
) -> NDArray[np.int32]:
    rows = np.full(len(starts) - 1, LOST, np.int32)
    for i in range(len(rows)):
        members = codes[starts[i] : starts[i + 1]]
        wanted = 0
        for code in members:
            if 0 <= code < len(keys):  # an unknown code fails the check of the members
                wanted += keys[code]
        row = find(wanted, hashes, slots)
        if row >= 0 and is_the_set(row, members, item, parent):
            rows[i] = row
    return rows


@compiled
def is_the_set(row: int, members: NDArray[np.int32], item: NDArray[np.int32], parent: NDArray[np.int32]) -> bool:
    matched = 0
    while row >= 0:
        held = False
        for code in members:
            held |= code == item[row]
        if not held:
            return False
        matched += 1
        row = parent[row]
    return matched == len(members)
