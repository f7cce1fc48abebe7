"""How often itemsets and rules occur in baskets, other ones than those they were found in or the same in groups.

Interface (item codes as in the tree; baskets are ``items[starts[b]:starts[b + 1]]``)::

    count_itemsets(tree, rows, starts, items, group=None, group_count=1) -> int64 [rows, groups]
    cluster_moments(tree, antecedent, consequent, starts, items, cluster=None, score=None) -> ClusterMoments
        .sums      int64 [rules, size]         size 4: baskets with BOTH, ANTECEDENT, CONSEQUENT, and all BASKETS
        .clusters  int64 [rules, size]         clusters (customers) in which that number is not 0
        .products  float64 [rules, size, size] sums over clusters of the products of these numbers
        .variance(weights) -> float64 [rules]  of a statistic that is linear in baskets, weights [rules, size]

Examples of weights: confidence b/a has (1, -b/a, 0, 0)/a; leverage has (1, -p_y, -p_x, 2 p_x p_y - p_xy)/n (its
influence function). With a whole number a basket (``score``: a period, or 1 in a group) the size is 8: number
``SCORED + i`` is the sum of the scores of the baskets that number ``i`` counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._kernels.compiled import bits_set, compiled
from crmlytics._kernels.working import PARTS_A_THREAD, in_parts, thread_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.itemset_tree import ItemsetTree

BOTH, ANTECEDENT, CONSEQUENT, BASKETS, SCORED = range(5)
WORDS = 8  # 64-bit words a block: an itemset's occurrences in 512 baskets are one cache line
NOISE = 1e-12  # of the sum of absolute terms: what is left of an exact 0 after rounding


def count_itemsets(
    tree: ItemsetTree,
    rows: NDArray[np.int32],
    starts: NDArray[np.int64],
    items: NDArray[np.int32],
    group: NDArray[np.int32] | None = None,
    group_count: int = 1,
) -> NDArray[np.int64]:
    """Count the baskets of each group that hold all items of an itemset.

    Block by block of baskets, an itemset's occurrences are its parent's and its last item's: one AND an itemset.

    Parameters
    ----------
    tree : ItemsetTree
    rows : int32 array, shape (rows,)
        The itemsets to count.
    starts, items : arrays
        Baskets, with the item codes of the tree.
    group : int32 array, shape (baskets,), or None
        The group of each basket, 0 to ``group_count`` - 1; -1 is in none. None: one group of all.
    group_count : int

    Returns
    -------
    int64 array, shape (rows, group_count)
    """
    needed, place = _with_parents(tree.parent, rows)
    parent = np.where(tree.parent[needed] >= 0, place[tree.parent[needed]], -1).astype(np.int32)
    order, blocks = _blocks(group, len(starts) - 1, group_count)

    def count(part: NDArray[np.int64]) -> NDArray[np.int64]:
        counts = np.zeros((len(needed), group_count), np.int64)
        _count(tree.item[needed], parent, order, starts, items, part, tree.item_total, counts)
        return counts

    workers = max(1, min(thread_count(), len(blocks)))  # each has counts of its own: no more than there are processors
    parts = [np.ascontiguousarray(blocks[first::workers]) for first in range(workers)]
    counts = sum(in_parts(count, parts, label="counting"), np.zeros((len(needed), group_count), np.int64))
    return counts[place[rows]]


@dataclass(frozen=True, slots=True, eq=False)
class ClusterMoments:
    """Numbers of baskets of each rule, summed over clusters, alone and in products: what robust variances need.

    Attributes
    ----------
    sums : int64 array, shape (rules, size)
        Baskets with both sides of the rule, with its antecedent, with its consequent, and all; where a score was
        given, followed by the sums of the scores of the same baskets.
    clusters : int64 array, shape (rules, size)
        How many clusters have a number other than 0 there.
    products : float64 array, shape (rules, size, size)
        Sums over clusters of the products of two of their numbers.
    """

    sums: NDArray[np.int64]
    clusters: NDArray[np.int64]
    products: NDArray[np.float64]

    def variance(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum over clusters of (weights x numbers) squared, weights of shape (rules, size)."""
        terms = weights[:, :, None] * self.products * weights[:, None, :]
        total, size = terms.sum(axis=(1, 2)), np.abs(terms).sum(axis=(1, 2))
        return np.where(total > NOISE * size, total, 0.0)


def cluster_moments(
    tree: ItemsetTree,
    antecedent: NDArray[np.int32],
    consequent: NDArray[np.int32],
    starts: NDArray[np.int64],
    items: NDArray[np.int32],
    cluster: NDArray[np.int32] | None = None,
    score: NDArray[np.int64] | None = None,
) -> ClusterMoments:
    """Count rules in each cluster of baskets and sum the products of these counts over clusters.

    Parameters
    ----------
    tree : ItemsetTree
    antecedent, consequent : int32 arrays, shape (rules,)
        Rows of the tree: the two sides of each rule.
    starts, items : arrays
        Baskets, with the item codes of the tree.
    cluster : int32 array, shape (baskets,), or None
        The cluster of each basket, such as the number of its customer. None: each basket is one of its own.
    score : int64 array, shape (baskets,), or None
        A whole number for each basket.

    Returns
    -------
    ClusterMoments
    """
    basket_count = len(starts) - 1
    numbers = np.arange(basket_count, dtype=np.int32) if cluster is None else cluster
    order = np.argsort(numbers, kind="stable").astype(np.int32)
    scores = np.zeros(basket_count, np.int64) if score is None else score[order].astype(np.int64)
    runs = np.unique(numbers[order], return_inverse=True)[1].astype(np.int32)
    size = 4 if score is None else 8
    result = ClusterMoments(
        np.zeros((len(antecedent), size), np.int64),
        np.zeros((len(antecedent), size), np.int64),
        np.zeros((len(antecedent), size, size)),
    )
    sides = (*tree.members(antecedent), *tree.members(consequent))
    lists = _occurrences(order, starts, items, tree.item_total)
    totals = _cluster_totals(runs, scores)[:, : size // 4].copy()

    def fill(rules: NDArray[np.int64]) -> None:
        _moments(rules, consequent, *sides, *lists, runs, scores, totals, result.sums, result.clusters, result.products)

    by_consequent = np.argsort(consequent, kind="stable")  # what is known of a consequent serves all its rules
    in_parts(fill, np.array_split(by_consequent, PARTS_A_THREAD * thread_count()), label="customers behind rules")
    return result


# -- inside --------------------------------------------------------------------------------------------------------


def _with_parents(parent: NDArray[np.int32], rows: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the rows and all rows above them, rising, and the place of each row of the tree among these."""
    marked = np.zeros(len(parent), np.bool_)
    above = rows
    while len(above):
        above = np.unique(above[above >= 0])
        above = above[~marked[above]]
        marked[above] = True
        above = parent[above]
    needed = np.flatnonzero(marked)
    place = np.full(len(parent), -1, np.int32)
    place[needed] = np.arange(len(needed), dtype=np.int32)
    return needed, place


def _blocks(
    group: NDArray[np.int32] | None, basket_count: int, group_count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sort baskets by group and cut them in blocks of one group each: rows of first place, end and group."""
    groups = np.zeros(basket_count, np.int32) if group is None else group
    order = np.argsort(groups, kind="stable").astype(np.int64)
    edges = np.searchsorted(groups[order], np.arange(group_count + 1))
    width = 64 * WORDS
    blocks = [
        (first, min(first + width, edges[g + 1]), g)
        for g in range(group_count)
        for first in range(edges[g], edges[g + 1], width)
    ]
    return order, np.array(blocks, np.int64).reshape(-1, 3)


@compiled
def _count(
    item: NDArray[np.int32],
    parent: NDArray[np.int32],
    order: NDArray[np.int64],
    starts: NDArray[np.int64],
    items: NDArray[np.int32],
    blocks: NDArray[np.int64],
    item_total: int,
    counts: NDArray[np.int64],
) -> None:
    of_item = np.zeros((item_total, WORDS), np.uint64)
    held = np.empty((len(item), WORDS), np.uint64)
    one = np.uint64(1)
    for block in range(len(blocks)):
        first, end, group = blocks[block]
        for place in range(first, end):
            basket, word, bit = order[place], (place - first) >> 6, np.uint64((place - first) & 63)
            for line in range(starts[basket], starts[basket + 1]):
                of_item[items[line], word] |= one << bit
        for row in range(len(item)):
            found = 0
            for word in range(WORDS):
                bits = of_item[item[row], word]
                if parent[row] >= 0:
                    bits &= held[parent[row], word]
                held[row, word] = bits
                found += bits_set(bits)
            counts[row, group] += found
        for place in range(first, end):  # only what was set: there may be many items
            basket = order[place]
            for line in range(starts[basket], starts[basket + 1]):
                of_item[items[line], (place - first) >> 6] = 0


@compiled
def _occurrences(
    order: NDArray[np.int32], starts: NDArray[np.int64], items: NDArray[np.int32], item_total: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Turn baskets round: the rising places in ``order`` of the baskets that hold each item."""
    ends = np.zeros(item_total + 1, np.int64)
    for line in range(len(items)):
        ends[items[line] + 1] += 1
    ends = np.cumsum(ends)
    places, filled = np.empty(len(items), np.int32), ends[:-1].copy()
    for place in range(len(order)):
        for line in range(starts[order[place]], starts[order[place] + 1]):
            places[filled[items[line]]] = place
            filled[items[line]] += 1
    return ends, places


@compiled
def _cluster_totals(runs: NDArray[np.int32], scores: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each cluster's number of baskets and sum of scores."""
    totals = np.zeros((runs[-1] + 1 if len(runs) else 0, 2), np.int64)
    for place in range(len(runs)):
        totals[runs[place], 0] += 1
        totals[runs[place], 1] += scores[place]
    return totals


@compiled
def _held_by(
    first: int,
    end: int,
    codes: NDArray[np.int32],
    ends: NDArray[np.int64],
    places: NDArray[np.int32],
    found: NDArray[np.int32],
) -> int:
    """Write the places of the baskets that hold all of ``codes[first:end]`` to ``found``; return how many."""
    count = int(ends[codes[first] + 1] - ends[codes[first]])  # the rarest item comes first
    found[:count] = places[ends[codes[first]] : ends[codes[first] + 1]]
    for index in range(first + 1, end):
        at, last, kept = ends[codes[index]], ends[codes[index] + 1], 0
        for i in range(count):
            leap = 1
            while at + leap < last and places[at + leap] < found[i]:
                at += leap
                leap *= 2
            at += np.searchsorted(places[at : min(at + leap + 1, last)], found[i])
            if at < last and places[at] == found[i]:
                found[kept] = found[i]
                kept += 1
        count = kept
    return count


@compiled
def _moments(
    rules: NDArray[np.int64],
    consequent: NDArray[np.int32],
    antecedent_starts: NDArray[np.int64],
    antecedent_codes: NDArray[np.int32],
    consequent_starts: NDArray[np.int64],
    consequent_codes: NDArray[np.int32],
    ends: NDArray[np.int64],
    places: NDArray[np.int32],
    runs: NDArray[np.int32],
    scores: NDArray[np.int64],
    totals: NDArray[np.int64],
    sums: NDArray[np.int64],
    clusters: NDArray[np.int64],
    products: NDArray[np.float64],
) -> None:
    left, right = np.empty(len(runs), np.int32), np.empty(len(runs), np.int32)
    held, ways = np.zeros(len(runs), np.bool_), totals.shape[1]
    margins = np.zeros((len(totals), 2 * ways), np.int64)  # of each cluster: consequent and baskets, then scored
    for way in range(ways):
        margins[:, 2 * way + 1] = totals[:, way]
    whole, within, counts = np.zeros((2 * ways, 2 * ways)), np.zeros(2 * ways, np.int64), np.zeros(2 * ways, np.int64)
    _sum_margins(np.arange(len(totals)), 1, margins, whole, within, counts)
    known, m = -1, 0
    for rule in rules:
        if consequent[rule] != known:
            _mark(right[:m], runs, scores, held, margins, False)
            known = consequent[rule]
            m = _held_by(consequent_starts[rule], consequent_starts[rule + 1], consequent_codes, ends, places, right)
            _mark(right[:m], runs, scores, held, margins, True)
            _sum_margins(runs[right[:m]], 0, margins, whole, within, counts)
        n = _held_by(antecedent_starts[rule], antecedent_starts[rule + 1], antecedent_codes, ends, places, left)
        _walk(left[:n], runs, scores, held, margins, sums[rule], clusters[rule], products[rule])
        for i in range(2 * ways):
            to = _number(i)
            sums[rule, to], clusters[rule, to] = within[i], counts[i]
            for j in range(2 * ways):
                products[rule, to, _number(j)] = whole[i, j]


@compiled
def _number(margin: int) -> int:
    """Return where a margin stands among the numbers of a rule."""
    return SCORED * (margin // 2) + CONSEQUENT + margin % 2


@compiled
def _mark(
    found: NDArray[np.int32],
    runs: NDArray[np.int32],
    scores: NDArray[np.int64],
    held: NDArray[np.bool_],
    margins: NDArray[np.int64],
    sign: bool,
) -> None:
    """Note the baskets with a consequent, and their numbers in each cluster, or take that back."""
    step = 1 if sign else -1
    for place in found:
        held[place] = sign
        margins[runs[place], 0] += step
        if margins.shape[1] == 4:
            margins[runs[place], 2] += step * scores[place]


@compiled
def _sum_margins(
    some: NDArray[np.integer[Any]],
    first: int,
    margins: NDArray[np.int64],
    whole: NDArray[np.float64],
    within: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Sum over some clusters, in order and perhaps repeated, what does not depend on the antecedent.

    ``first`` is 0 for what the consequent has (``some`` are the clusters with it) and 1 for all baskets.
    """
    for i in range(first, margins.shape[1], 2):
        within[i], counts[i], whole[i, :], whole[:, i] = 0, 0, 0, 0
    for at in range(len(some)):
        if at > 0 and some[at] == some[at - 1]:
            continue
        numbers = margins[some[at]]
        for i in range(first, len(numbers), 2):
            within[i] += numbers[i]
            counts[i] += numbers[i] != 0
            for j in range(len(numbers)):
                whole[i, j] += float(numbers[i]) * float(numbers[j])
    for i in range(first, margins.shape[1], 2):
        whole[:, i] = whole[i, :]


@compiled
def _walk(
    found: NDArray[np.int32],
    runs: NDArray[np.int32],
    scores: NDArray[np.int64],
    held: NDArray[np.bool_],
    margins: NDArray[np.int64],
    sums: NDArray[np.int64],
    clusters: NDArray[np.int64],
    products: NDArray[np.float64],
) -> None:
    """Sum over the clusters that have the antecedent."""
    numbers = np.zeros(len(sums), np.int64)
    for at in range(len(found)):
        place = found[at]
        for way in range(len(sums) // SCORED):
            weight = scores[place] if way else 1
            numbers[SCORED * way + ANTECEDENT] += weight
            numbers[SCORED * way + BOTH] += weight * held[place]
        if at + 1 == len(found) or runs[found[at + 1]] != runs[place]:
            _add_cluster(numbers, margins[runs[place]], sums, clusters, products)


@compiled
def _add_cluster(
    numbers: NDArray[np.int64],
    margins: NDArray[np.int64],
    sums: NDArray[np.int64],
    clusters: NDArray[np.int64],
    products: NDArray[np.float64],
) -> None:
    """Add the numbers of a cluster that ends here, and begin the next."""
    for i in range(len(margins)):
        numbers[_number(i)] = margins[i]
    for i in range(len(numbers)):
        if i % SCORED <= ANTECEDENT:
            sums[i] += numbers[i]
            clusters[i] += numbers[i] != 0
            for j in range(len(numbers)):
                product = float(numbers[i]) * float(numbers[j])
                products[i, j] += product
                if j % SCORED > ANTECEDENT:
                    products[j, i] += product
    numbers[:] = 0
