"""Expected maximum profit: the best cut for every share of people who accept an offer, averaged over that share.

Contacting the first k customers brings ``acceptance * gain_k - cost_k``, a straight line in the acceptance. The best of
all cuts is the upper envelope of these lines, which is piecewise linear: its mean over a beta-distributed acceptance
is a sum of incomplete beta functions, without simulation and without integration by numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from crmlytics._kernels.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]


def running_totals(score: Vector, *amounts: Vector) -> list[Vector]:
    """Return counts and running totals of amounts by descending score, at the places where the list may be cut.

    Each begins with zero, nobody. People with the same score are contacted together or not at all.
    """
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.concatenate([score[order][1:] != score[order][:-1], [True]]))
    columns = [np.arange(1.0, len(score) + 1), *(np.cumsum(amount[order]) for amount in amounts)]
    return [np.concatenate([[0.0], column[ends]]) for column in columns]


def expected_maximum(gain: Vector, cost: Vector, count: Vector, a: float, b: float) -> tuple[float, float]:
    """Return the expected profit of the best cut, and the expected count at it, for acceptance ~ Beta(a, b).

    ``gain``, ``cost`` and ``count`` hold, for each cut, what it brings if everybody accepts, what it costs, and its
    size.
    """
    best, turns = best_cuts(gain, cost)
    reached = special.betainc(a, b, turns)
    weighted = special.betainc(a + 1, b, turns) * a / (a + b)
    chance, mean = np.diff(reached), np.diff(weighted)
    return float(gain[best] @ mean - cost[best] @ chance), float(count[best] @ chance)


def maximum_at(gain: Vector, cost: Vector, count: Vector, acceptance: float) -> tuple[float, float]:
    """Return the profit of the best cut, and the count at it, for an acceptance that is known; the smallest cut."""
    profit = acceptance * gain - cost
    best = int(np.argmax(profit))
    return float(profit[best]), float(count[best])


def best_cuts(gain: Vector, cost: Vector) -> tuple[NDArray[np.int64], Vector]:
    """Return the cuts that are best for some acceptance, and between which acceptances (one more) each is.

    They are the corners of the upper hull of the points (gain, -cost), in the order of their gain.
    """
    order = np.lexsort((cost, gain))  # of equal gains the cheapest comes first, and the others never matter
    hull = order[_upper_hull(gain[order], -cost[order])]
    turns = np.diff(cost[hull]) / np.diff(gain[hull])
    turns = np.concatenate([[0.0], np.clip(turns, 0.0, 1.0), [1.0]])
    return hull, turns


@compiled
def _upper_hull(x: Vector, height: Vector) -> NDArray[np.int64]:
    """Return the corners of the upper hull of points that are sorted by x, then from high to low."""
    corners = np.empty(len(x), np.int64)
    size = 0
    for new in range(len(x)):
        if size > 0 and x[corners[size - 1]] == x[new]:
            continue
        while size > 1:
            first, second = corners[size - 2], corners[size - 1]
            run, rise = x[second] - x[first], height[second] - height[first]
            if rise * (x[new] - x[first]) > (height[new] - height[first]) * run:
                break
            size -= 1
        corners[size] = new
        size += 1
    return corners[:size]
