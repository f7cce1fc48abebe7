"""Why boosted trees say what they say: exact Shapley values of each feature, summing to the score.

A feature that is not known is averaged over as the tree itself saw it in training, by the counts of its nodes
(path-dependent TreeSHAP: Lundberg et al., "From local explanations to global understanding with explainable AI for
trees", Nature Machine Intelligence 2, 2020). Of a leaf with value ``v`` and the features ``j`` on its path, let ``o_j``
be 1 if the row goes its way wherever ``j`` decides, else 0, and ``z_j`` the share of the training rows that did. Then

    phi_i = v (o_i - z_i) * integral over t in [0, 1] of prod over j != i of (t o_j + (1 - t) z_j)

since the integral of t^s (1 - t)^(d - 1 - s) is the weight of a coalition of s features out of d. The integrand is a
polynomial of degree d - 1, which Gauss-Legendre quadrature with d / 2 points, rounded up, integrates exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crmlytics._kernels.compiled import compiled
from crmlytics._kernels.working import PARTS_A_THREAD, in_parts, thread_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]

LEVELS = 256  # most that scikit-learn's histogram trees take
BLOCK = 256  # rows that are in the processor's cache together
SMALLEST_PART = 64


class Trees(NamedTuple):
    """All nodes of all trees, one after the other; children are numbered from the first node of all.

    Attributes
    ----------
    feature : int64 array, shape (nodes,)
        What decides here; -1 in a leaf.
    threshold : float64 array, shape (nodes,)
        Numbers up to here go left.
    levels_left : bool array, shape (categorical nodes, LEVELS)
        Which levels go left.
    levels_at : int64 array, shape (nodes,)
        The row of ``levels_left``; -1 where numbers are compared.
    missing_left : bool array, shape (nodes,)
        Whether missing values go left.
    parent : int64 array, shape (nodes,)
        -1 in a root.
    is_left : bool array, shape (nodes,)
        Whether the node is its parent's left child.
    value : float64 array, shape (nodes,)
        What a leaf adds to the score.
    rows : float64 array, shape (nodes,)
        How many training rows came by.
    """

    feature: Ints
    threshold: Floats
    levels_left: Flags
    levels_at: Ints
    missing_left: Flags
    parent: Ints
    is_left: Flags
    value: Floats
    rows: Floats


class Leaves(NamedTuple):
    """Each leaf as the conditions on its path, one condition a feature.

    Attributes
    ----------
    value : float64 array, shape (leaves,)
    starts : int64 array, shape (leaves + 1,)
        The conditions of leaf ``i`` are ``starts[i]:starts[i + 1]``.
    feature : int64 array, shape (conditions,)
    low, high : float64 array, shape (conditions,)
        Numbers above ``low`` (NaN: any) and up to ``high`` pass.
    levels_at : int64 array, shape (conditions,)
        The row of ``levels``; -1 for numbers.
    levels : bool array, shape (conditions on levels, LEVELS)
        Which levels pass.
    missing : bool array, shape (conditions,)
        Whether missing values pass.
    share : float64 array, shape (conditions,)
        The share of the training rows that passed where this feature decides.
    """

    value: Floats
    starts: Ints
    feature: Ints
    low: Floats
    high: Floats
    levels_at: Ints
    levels: Flags
    missing: Flags
    share: Floats


def joined_trees(nodes: list[Any], level_bits: list[NDArray[np.uint32]]) -> Trees:
    """Join trees as scikit-learn keeps them: structured nodes, and the levels that go left as bits."""
    firsts = np.cumsum([0, *map(len, nodes)])
    bit_rows = np.cumsum([0, *map(len, level_bits)])
    every = np.concatenate(nodes)
    tree = np.repeat(np.arange(len(nodes)), np.diff(firsts))
    splits = np.flatnonzero(every["is_leaf"] == 0)
    parent, is_left = np.full(len(every), -1), np.zeros(len(every), bool)
    for side in ("left", "right"):
        children = every[side][splits].astype(np.int64) + firsts[tree[splits]]
        parent[children], is_left[children] = splits, side == "left"
    by_level = (every["is_leaf"] == 0) & (every["is_categorical"] != 0)
    bits = np.concatenate(level_bits).reshape(-1, LEVELS // 32)
    return Trees(
        feature=np.where(every["is_leaf"] != 0, -1, every["feature_idx"]).astype(np.int64),
        threshold=every["num_threshold"].astype(np.float64),
        levels_left=(bits[:, :, None] >> np.arange(32, dtype=np.uint32) & 1).astype(bool).reshape(-1, LEVELS),
        levels_at=np.where(by_level, every["bitset_idx"] + bit_rows[tree], -1).astype(np.int64),
        missing_left=every["missing_go_to_left"] != 0,
        parent=parent,
        is_left=is_left,
        value=every["value"].astype(np.float64),
        rows=every["count"].astype(np.float64),
    )


def counts_add_up(trees: Trees) -> bool:
    """Return whether the rows of each node are those of its children."""
    child = trees.parent >= 0
    of_children = np.bincount(trees.parent[child], trees.rows[child], minlength=len(trees.parent))
    return bool(np.array_equal(of_children[trees.feature >= 0], trees.rows[trees.feature >= 0]))


def leaves_of(trees: Trees) -> Leaves:
    """Return the leaves of trees with the conditions that lead to them."""
    return Leaves(*_leaves(*trees, *_sizes(trees.feature, trees.parent, trees.levels_at)))


@compiled
def _sizes(feature: Ints, parent: Ints, levels_at: Ints) -> tuple[int, int, int]:
    """Return the number of leaves, and how many conditions they have at most, in all and on levels."""
    leaves, conditions, on_levels = 0, 0, 0
    for leaf in range(len(feature)):
        if feature[leaf] >= 0:
            continue
        leaves += 1
        node = parent[leaf]
        while node >= 0:
            conditions += 1
            on_levels += levels_at[node] >= 0
            node = parent[node]
    return leaves, conditions, on_levels


@compiled
def _leaves(
    split_feature: Ints,
    threshold: Floats,
    levels_left: Flags,
    split_levels: Ints,
    missing_left: Flags,
    parent: Ints,
    is_left: Flags,
    node_value: Floats,
    rows: Floats,
    leaf_count: int,
    most: int,
    most_levels: int,
) -> tuple[Floats, Ints, Ints, Floats, Floats, Ints, Flags, Flags, Floats]:
    value, starts = np.empty(leaf_count), np.zeros(leaf_count + 1, np.int64)
    feature, levels_at = np.empty(most, np.int64), np.full(most, -1, np.int64)
    low, high = np.full(most, np.nan), np.full(most, np.inf)
    levels, missing, share = np.ones((most_levels, LEVELS), np.bool_), np.ones(most, np.bool_), np.ones(most)
    leaf, end, level_end = 0, 0, 0
    for node in range(len(split_feature)):
        if split_feature[node] >= 0:
            continue
        value[leaf], begin, child = node_value[node], end, node
        while parent[child] >= 0:
            split, left = parent[child], is_left[child]
            at = _condition(feature, begin, end, split_feature[split])
            end = max(end, at + 1)
            missing[at] &= missing_left[split] == left
            share[at] *= rows[child] / rows[split]
            if split_levels[split] >= 0:
                if levels_at[at] < 0:
                    levels_at[at] = level_end
                    level_end += 1
                _keep_levels(levels[levels_at[at]], levels_left[split_levels[split]], left)
            elif left:
                high[at] = min(high[at], threshold[split])
            elif not threshold[split] <= low[at]:
                low[at] = threshold[split]
            child = split
        leaf += 1
        starts[leaf] = end
    return value, starts, feature[:end], low[:end], high[:end], levels_at[:end], levels, missing[:end], share[:end]


@compiled
def _condition(feature: Ints, begin: int, end: int, wanted: int) -> int:
    """Return where the condition on a feature is noted, or is to be."""
    at = begin
    while at < end and feature[at] != wanted:
        at += 1
    feature[at] = wanted
    return at


@compiled
def _keep_levels(passing: Flags, levels_left: Flags, left: bool) -> None:
    for level in range(LEVELS):
        passing[level] &= levels_left[level] == left


def base_of(leaves: Leaves) -> float:
    """Return what the trees say of a row of which nothing is known."""
    owner = np.repeat(np.arange(len(leaves.value)), np.diff(leaves.starts))
    reach = np.ones(len(leaves.value))
    np.multiply.at(reach, owner, leaves.share)
    return float(leaves.value @ reach)


def tree_contributions(leaves: Leaves, matrix: Floats, *, label: str = "Reasons") -> Floats:
    """Return how much each feature moves the score of each row away from the base: shape (rows, features).

    The numbers of a row and :func:`base_of` add up to what the trees say of it. Levels are whole numbers below 256,
    missing values NaN. Rows are shared out among threads.
    """
    matrix = np.ascontiguousarray(matrix, dtype=np.float64)
    contributions = np.zeros(matrix.shape)
    longest = int(np.diff(leaves.starts).max(initial=0))
    points, weights = _quadratures((longest + 1) // 2)

    def part(rows: slice) -> None:
        _add_contributions(*leaves, matrix[rows], points, weights, contributions[rows])

    size = max(SMALLEST_PART, -(-len(matrix) // (PARTS_A_THREAD * thread_count())))
    in_parts(part, [slice(first, first + size) for first in range(0, len(matrix), size)], label=label)
    return contributions


def _quadratures(most: int) -> tuple[Floats, Floats]:
    """Return the points and weights on [0, 1] of the rules with 1 to ``most`` points, one a row."""
    points, weights = np.zeros((most + 1, most)), np.zeros((most + 1, most))
    for size in range(1, most + 1):
        at, weight = np.polynomial.legendre.leggauss(size)
        points[size, :size], weights[size, :size] = (at + 1) / 2, weight / 2
    return points, weights


@compiled
def _add_contributions(
    value: Floats,
    starts: Ints,
    feature: Ints,
    low: Floats,
    high: Floats,
    levels_at: Ints,
    levels: Flags,
    missing: Flags,
    share: Floats,
    matrix: Floats,
    points: Floats,
    weights: Floats,
    contributions: Floats,
) -> None:
    longest = (starts[1:] - starts[:-1]).max()
    met = np.zeros(longest, np.int64)
    factor, push = np.empty((2, longest, points.shape[1])), np.empty((2, longest, points.shape[1]))
    product = np.empty(points.shape[1])
    for block in range(0, len(matrix), BLOCK):
        for leaf in range(len(value)):
            begin, size = starts[leaf], starts[leaf + 1] - starts[leaf]
            rule = (size + 1) // 2
            _prepare(share[begin : begin + size], points[rule, :rule], factor, push)
            for row in range(block, min(block + BLOCK, len(matrix))):
                for q in range(rule):
                    product[q] = value[leaf] * weights[rule, q]
                for at in range(size):
                    here = begin + at
                    x = matrix[row, feature[here]]
                    met[at] = _passes(x, low[here], high[here], levels_at[here], levels, missing[here])
                    for q in range(rule):
                        product[q] *= factor[met[at], at, q]
                for at in range(size):
                    moved = 0.0
                    for q in range(rule):
                        moved += product[q] * push[met[at], at, q]
                    contributions[row, feature[begin + at]] += moved


@compiled
def _passes(x: float, low: float, high: float, levels_at: int, levels: Flags, missing: bool) -> bool:
    if np.isnan(x):
        return missing
    if levels_at >= 0:
        return levels[levels_at, np.int64(x)]  # type: ignore[no-any-return]
    return not x <= low and x <= high


@compiled
def _prepare(share: Floats, points: Floats, factor: Floats, push: Floats) -> None:
    """Write down the factors of the product, condition failed or met, and what turns the product into an integrand."""
    for at in range(len(share)):
        z = share[at]
        for q in range(len(points)):
            t = points[q]
            factor[0, at, q], factor[1, at, q] = (1 - t) * z, t + (1 - t) * z
            push[0, at, q], push[1, at, q] = -1 / (1 - t), (1 - z) / (t + (1 - t) * z)
