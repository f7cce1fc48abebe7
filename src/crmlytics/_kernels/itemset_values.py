"""What the baskets that hold an itemset are worth, for all itemsets of a tree in one walk."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crmlytics._kernels.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.itemset_tree import ItemsetTree

    Ints = NDArray[np.int32]
    Places = NDArray[np.int64]
    Numbers = NDArray[np.float64]


class Valued(NamedTuple):
    """Baskets and what they are worth.

    Attributes
    ----------
    starts : int64 array, shape (baskets + 1,)
        The items of basket ``b`` are ``items[starts[b]:starts[b + 1]]``.
    items : int32 array
        Item codes of the tree, rising within a basket.
    values : float64 array
        What each of ``items`` is worth.
    totals : float64 array, shape (baskets,)
        What each basket is worth, items outside the tree included.
    """

    starts: Places
    items: Ints
    values: Numbers
    totals: Numbers


class Sums(NamedTuple):
    """For each itemset: the baskets that hold it, what its items are worth in them, and what they are worth."""

    basket_count: Places
    own: Numbers
    total: Numbers


class Stack(NamedTuple):
    """Baskets that hold an itemset, those of one behind those of another.

    Attributes
    ----------
    basket : int32 array
    behind : int64 array
        Where the items behind the last one of the itemset begin in this basket.
    own : float64 array
        What the items of the itemset are worth in this basket.
    """

    basket: Ints
    behind: Places
    own: Numbers


def sum_values(tree: ItemsetTree, baskets: Valued) -> Sums:
    """Count the baskets of every row of the tree, in which codes must rise along paths, and add up their values.

    The walk goes depth first with the baskets that hold an itemset; its children are found among the items behind.
    """
    children = np.argsort(tree.parent, kind="stable").astype(np.int32)
    firsts = np.searchsorted(tree.parent[children], np.arange(-1, len(tree) + 1)).astype(np.int64)
    sums = Sums(np.zeros(len(tree), np.int64), np.zeros(len(tree)), np.zeros(len(tree)))
    _walk(tree.item, children, firsts, np.full(tree.item_total, -1, np.int32), baskets, sums)
    return sums


@compiled
def _walk(item: Ints, children: Ints, firsts: Places, row_of: Ints, baskets: Valued, sums: Sums) -> None:
    """Go through the rows with children; those of row ``r`` are ``children[firsts[r + 1]:firsts[r + 2]]``."""
    total = len(baskets.starts) - 1
    stack = Stack(np.arange(total).astype(np.int32), baskets.starts[:-1].copy(), np.zeros(total))
    place = np.empty(len(item), np.int64)  # where the baskets of a child go
    pending = [(-1, 0, total)]  # a row, and where its baskets begin and end
    while pending:
        row, begin, end = pending.pop()
        below = children[firsts[row + 1] : firsts[row + 2]]
        for child in below:
            row_of[item[child]] = child
        _add(stack, begin, end, row_of, baskets, sums)
        top = end
        for child in below:
            place[child] = -1
            if firsts[child + 1] < firsts[child + 2] and sums.basket_count[child] > 0:
                place[child] = top
                top += int(sums.basket_count[child])
                pending.append((int(child), int(place[child]), top))
        if top > end:
            stack = _with_room(stack, top)
            _fill(stack, begin, end, row_of, place, baskets)
        for child in below:
            row_of[item[child]] = -1


@compiled
def _add(stack: Stack, begin: int, end: int, row_of: Ints, baskets: Valued, sums: Sums) -> None:
    """Add each basket of an itemset to the sums of the children it holds."""
    for entry in range(begin, end):
        basket = stack.basket[entry]
        for behind in range(stack.behind[entry], baskets.starts[basket + 1]):
            child = row_of[baskets.items[behind]]
            if child >= 0:
                sums.basket_count[child] += 1
                sums.own[child] += stack.own[entry] + baskets.values[behind]
                sums.total[child] += baskets.totals[basket]


@compiled
def _fill(stack: Stack, begin: int, end: int, row_of: Ints, place: Places, baskets: Valued) -> None:
    """Write the baskets of the children that have children themselves."""
    for entry in range(begin, end):
        basket = stack.basket[entry]
        for behind in range(stack.behind[entry], baskets.starts[basket + 1]):
            child = row_of[baskets.items[behind]]
            if child >= 0 and place[child] >= 0:
                stack.basket[place[child]] = basket
                stack.behind[place[child]] = behind + 1
                stack.own[place[child]] = stack.own[entry] + baskets.values[behind]
                place[child] += 1


@compiled
def _with_room(stack: Stack, needed: int) -> Stack:
    """Return the stack, in larger copies of its arrays if they are too short."""
    held = len(stack.basket)
    if needed <= held:
        return stack
    larger = Stack(np.empty(2 * needed, np.int32), np.empty(2 * needed, np.int64), np.empty(2 * needed))
    larger.basket[:held], larger.behind[:held], larger.own[:held] = stack.basket, stack.behind, stack.own
    return larger
