"""Tests of rules in baskets of customers who come again: one customer's baskets are not independent.

A test asks whether, of the baskets that hold ``within`` (or of all), those that hold more items, the ``antecedent``,
hold the ``consequent`` more often. Its numbers are those of :class:`~crmlytics._kernels.rule_counts.ClusterMoments`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from crmlytics._kernels.compiled import compiled
from crmlytics._kernels.hypergeometric import upper_tail
from crmlytics._kernels.itemset_index import index_of, rows_without
from crmlytics._kernels.rule_counts import (
    ANTECEDENT,
    BASKETS,
    BOTH,
    CONSEQUENT,
    ClusterMoments,
)
from crmlytics._kernels.working import PARTS_A_THREAD, in_parts, thread_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.itemset_tree import ItemsetTree

    Rows = NDArray[np.int32]
    Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PartTests:
    """What must hold for every item of an antecedent to do its part: one test an item, sorted by ``within``.

    Attributes
    ----------
    rule : int64 array, shape (tests,)
        The rule that a test belongs to.
    item : int32 array
        The code of the item.
    within : int32 array
        The row of the antecedent without the item.
    antecedent : int32 array
        The row of the whole antecedent.
    consequent : int32 array
        The row of all items of the rule but the item.
    both : int32 array
        The row of all items of the rule.
    """

    rule: NDArray[np.int64]
    item: NDArray[np.int32]
    within: Rows
    antecedent: Rows
    consequent: Rows
    both: Rows


def part_tests(tree: ItemsetTree, both: Rows, antecedent: Rows) -> PartTests:
    """Find the tests for rules whose antecedents have two items or more; the tree holds every subset."""
    rule = np.flatnonzero(tree.parent[antecedent] >= 0)
    if not len(rule):
        none = np.zeros(0, np.int32)
        return PartTests(rule, none, none, none, none, none)
    index = index_of(tree)
    starts, codes = tree.members(antecedent[rule])
    _, within = rows_without(tree, index, antecedent[rule])
    all_starts, all_codes = tree.members(both[rule])
    _, without = rows_without(tree, index, both[rule])
    of, of_all = np.repeat(np.arange(len(rule)), np.diff(starts)), np.repeat(np.arange(len(rule)), np.diff(all_starts))
    place = np.searchsorted(of_all * tree.item_total + all_codes, of * tree.item_total + codes)  # codes rise
    order = np.argsort(within, kind="stable")
    owner = rule[of[order]]
    return PartTests(owner, codes[order], within[order], antecedent[owner], without[place[order]], both[owner])


def moments_within(
    tree: ItemsetTree,
    tests: PartTests,
    heads: Rows,
    baskets: tuple[NDArray[np.int64], NDArray[np.int32]],
    cluster: NDArray[np.int32] | None = None,
) -> ClusterMoments:
    """Count as :func:`~crmlytics._kernels.rule_counts.cluster_moments` does, of the baskets that hold ``within``.

    ``heads`` are the rows of the consequents of all rules, ``baskets`` the starts and items of the baskets. What many
    tests have in common, the baskets that hold ``within``, is gathered once.
    """
    numbers = np.arange(len(baskets[0]) - 1, dtype=np.int32) if cluster is None else cluster
    order = np.argsort(numbers, kind="stable").astype(np.int32)
    sorted_baskets = _gathered(order, *baskets)
    withins, edges = np.unique(tests.within, return_index=True)
    groups = np.append(edges, len(tests.rule)), *tree.members(withins)
    given = (*groups, tests.item, *tree.members(heads[tests.rule]), *sorted_baskets, numbers[order], tree.item_total)
    size = len(tests.rule)
    sums, clusters, products = np.zeros((size, 4), np.int64), np.zeros((size, 4), np.int64), np.zeros((size, 4, 4))

    def fill(part: NDArray[np.int64]) -> None:
        _moments_within(part, *given, sums, clusters, products)

    parts = np.array_split(np.arange(len(withins)), PARTS_A_THREAD * thread_count())
    in_parts(fill, parts, label="parts of rules")
    return ClusterMoments(sums, clusters, products)


def clustered_p_values(moments: ClusterMoments) -> Values:
    """Test that the sides of each rule come together more often than by chance: the larger of two p-values.

    The first is that of leverage over its standard error, robust to clusters: the root of the sum over customers of the
    square of what each adds to it, (1_x - p_x)(1_y - p_y) a basket (a score test; S. Zeger and K. Liang, 1986), on
    Student's t with the customers who have the rarer side, less one, as degrees of freedom. It fails where a consequent
    is so frequent that nobody was seen without it. The second does not: a binomial tail of the counts divided by the
    design effect 1 + (n - 1) r_x r_y that two independent habits would have, n the size-weighted mean number of baskets
    of a customer and r the correlation of two baskets of one customer in having x, or y (J. Rao and A. Scott, 1992).
    Where nobody has two baskets it is Fisher's exact test.
    """
    both, antecedent, consequent, baskets = (moments.sums[:, i] for i in (BOTH, ANTECEDENT, CONSEQUENT, BASKETS))
    pairs = moments.products[:, BASKETS, BASKETS] - baskets  # ordered pairs of two baskets of one customer
    exact = upper_tail(baskets, antecedent, consequent, both)
    total = np.maximum(baskets, 1)
    shares = both / total, antecedent / total, consequent / total
    robust = np.maximum(_robust_p_values(moments, shares), _deflated_p_values(moments, shares, pairs))
    return np.where(pairs > 0, robust, exact)


def _robust_p_values(moments: ClusterMoments, shares: tuple[Values, Values, Values]) -> Values:
    xy, x, y = shares
    spread = np.sqrt(moments.variance(np.stack([np.ones_like(x), -y, -x, x * y], axis=1)))  # in the order of the sums
    excess = moments.sums[:, BASKETS] * (xy - x * y)
    freedom = np.minimum(moments.clusters[:, ANTECEDENT], moments.clusters[:, CONSEQUENT]) - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        p_values = special.stdtr(np.maximum(freedom, 1), -excess / spread)
    return np.where((excess > 0) & (freedom >= 1), p_values, 1.0)


def _deflated_p_values(moments: ClusterMoments, shares: tuple[Values, Values, Values], pairs: Values) -> Values:
    _, x, y = shares
    nothing, one = np.zeros_like(x), np.ones_like(x)
    baskets = moments.sums[:, BASKETS]
    habit_x = moments.variance(np.stack([nothing, one, nothing, -x], axis=1)) - baskets * x * (1 - x)
    habit_y = moments.variance(np.stack([nothing, nothing, one, -y], axis=1)) - baskets * y * (1 - y)
    with np.errstate(divide="ignore", invalid="ignore"):
        more = np.maximum(habit_x, 0) * np.maximum(habit_y, 0) / (pairs * baskets * x * (1 - x) * y * (1 - y))
    effect = 1 + np.where(np.isfinite(more), more, 0.0)
    both, antecedent, consequent = (moments.sums[:, i] for i in (BOTH, ANTECEDENT, CONSEQUENT))
    rarer, other = np.minimum(antecedent, consequent), np.maximum(antecedent, consequent)
    turned = baskets - other < rarer  # as many more baskets with neither: the smallest margin is drawn
    hits = np.where(turned, baskets - rarer - other + both, both) / effect
    draws = np.where(turned, baskets - other, rarer) / effect
    share = np.where(turned, baskets - rarer, other) / np.maximum(baskets, 1)
    tail = special.betainc(np.maximum(hits, 1e-9), draws - hits + 1, share)  # P(binomial >= hits), hits no whole number
    return np.where(hits > 0, tail, 1.0)


@compiled
def _moments_within(
    groups: NDArray[np.int64],
    edges: NDArray[np.int64],
    within_starts: NDArray[np.int64],
    within_codes: NDArray[np.int32],
    item_codes: NDArray[np.int32],
    head_starts: NDArray[np.int64],
    head_codes: NDArray[np.int32],
    starts: NDArray[np.int64],
    items: NDArray[np.int32],
    cluster: NDArray[np.int32],
    item_total: int,
    sums: NDArray[np.int64],
    clusters: NDArray[np.int64],
    products: NDArray[np.float64],
) -> None:
    ends, places = _inverted(starts, items, item_total)
    for group in groups:
        within = _holding(within_codes[within_starts[group] : within_starts[group + 1]], ends, places)
        runs, totals = _runs(cluster[within])
        own_starts, own_items = _gathered(within, starts, items)
        own_ends, own_places = _inverted(own_starts, own_items, item_total)
        squares = float((totals * totals).sum())
        for test in range(edges[group], edges[group + 1]):
            left = own_places[own_ends[item_codes[test]] : own_ends[item_codes[test] + 1]]
            right = _holding(head_codes[head_starts[test] : head_starts[test + 1]], own_ends, own_places)
            _fold(left, right, runs, totals, sums[test], clusters[test], products[test])
            sums[test, BASKETS], clusters[test, BASKETS] = len(within), len(totals)
            products[test, BASKETS, BASKETS] = squares


@compiled
def _gathered(
    baskets: NDArray[np.int32], starts: NDArray[np.int64], items: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return some baskets as baskets of their own."""
    own_starts = np.zeros(len(baskets) + 1, np.int64)
    for i, basket in enumerate(baskets):
        own_starts[i + 1] = own_starts[i] + starts[basket + 1] - starts[basket]
    own_items = np.empty(own_starts[-1], np.int32)
    for i, basket in enumerate(baskets):
        own_items[own_starts[i] : own_starts[i + 1]] = items[starts[basket] : starts[basket + 1]]
    return own_starts, own_items


@compiled
def _inverted(
    starts: NDArray[np.int64], items: NDArray[np.int32], item_total: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Turn baskets round: the baskets, rising, that hold each item."""
    ends = np.zeros(item_total + 1, np.int64)
    for item in items:
        ends[item + 1] += 1
    ends = np.cumsum(ends)
    places, filled = np.empty(len(items), np.int32), ends[:-1].copy()
    for basket in range(len(starts) - 1):
        for item in items[starts[basket] : starts[basket + 1]]:
            places[filled[item]] = basket
            filled[item] += 1
    return ends, places


@compiled
def _holding(codes: NDArray[np.int32], ends: NDArray[np.int64], places: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the baskets, rising, that hold all of some items."""
    found = places[ends[codes[0]] : ends[codes[0] + 1]].copy()
    for code in codes[1:]:
        other, at, kept = places[ends[code] : ends[code + 1]], 0, 0
        for place in found:
            while at < len(other) and other[at] < place:
                at += 1
            if at < len(other) and other[at] == place:
                found[kept] = place
                kept += 1
        found = found[:kept]
    return found


@compiled
def _runs(cluster: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Give the clusters of sorted baskets numbers from 0, and count the baskets of each."""
    runs = np.zeros(len(cluster), np.int32)
    for i in range(1, len(cluster)):
        runs[i] = runs[i - 1] + (cluster[i] != cluster[i - 1])
    return runs, np.bincount(runs).astype(np.int64)


@compiled
def _fold(
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    runs: NDArray[np.int32],
    totals: NDArray[np.int64],
    sums: NDArray[np.int64],
    clusters: NDArray[np.int64],
    products: NDArray[np.float64],
) -> None:
    """Walk the baskets of the two sides together, and add up the numbers of each cluster at its end."""
    numbers = np.zeros(4, np.int64)
    i, j = 0, 0
    while i < len(left) or j < len(right):
        in_left = i < len(left) and (j == len(right) or left[i] <= right[j])
        in_right = j < len(right) and (i == len(left) or right[j] <= left[i])
        run = runs[left[i] if in_left else right[j]]
        numbers[BOTH] += in_left and in_right
        numbers[ANTECEDENT] += in_left
        numbers[CONSEQUENT] += in_right
        i += in_left
        j += in_right
        if (i == len(left) or runs[left[i]] != run) and (j == len(right) or runs[right[j]] != run):
            numbers[BASKETS] = totals[run]
            for a in range(4):
                sums[a] += numbers[a]
                clusters[a] += numbers[a] != 0
                for b in range(4):
                    products[a, b] += float(numbers[a]) * float(numbers[b])
            numbers[:] = 0
