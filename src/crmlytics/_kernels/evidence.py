"""Weight of evidence: what a bin says for or against an outcome, the best bins, and what bins say together."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from numpy.typing import NDArray

Vector: TypeAlias = npt.NDArray[np.float64]

RISING, FALLING = 1, -1
NEWTON_STEPS = 100
CONVERGED = 1e-10  # of the gradient, relative to the number of rows


def weight_of_evidence(events: Vector, counts: Vector, rate: float, shrinkage: float) -> Vector:
    """Return the log odds of each bin less those of everybody, as if ``shrinkage`` average rows were in it besides."""
    positive = events + shrinkage * rate
    negative = counts - events + shrinkage * (1 - rate)
    odds = positive / negative / (rate / (1 - rate))
    return np.where(counts > 0, np.log(odds), 0.0)


def information_values(events: Vector, counts: Vector, total_events: float, total: float, shrinkage: float) -> Vector:
    """Return each bin's part of the information value: the share of events less that of the rest, times its weight.

    S. Kullback and R. A. Leibler (1951)'s divergence, both ways. No part is negative, since a shrunken weight keeps its
    sign.
    """
    difference = events / total_events - (counts - events) / (total - total_events)
    parts: Vector = difference * weight_of_evidence(events, counts, total_events / total, shrinkage)
    return parts


def best_bins(
    events: Vector,
    counts: Vector,
    totals: tuple[float, float],
    direction: int,
    max_bins: int,
    least: tuple[float, float],
    shrinkage: float,
    price: float,
) -> tuple[NDArray[np.int64], float]:
    """Join neighbouring fine bins into those of the highest information value, exactly.

    Parameters
    ----------
    events, counts : float64 arrays, shape (fine bins,)
    totals : tuple
        Events and rows of everybody, those without a value included.
    direction : {1, -1, 0}
        Whether the weight of evidence must rise, fall, or may do as it likes.
    least : tuple
        The fewest rows of a bin, and the fewest events and the fewest other rows in it. One bin alone is always there.
    price : float
        The information value that every bin after the first has to bring.

    Returns
    -------
    edges : int64 array, from 0 to the number of fine bins
    value : float
        Information value less what was paid.

    Notes
    -----
    Dynamic programming: the best way to end with a bin from i to j is this bin and the best way to end at i with a bin
    whose weight does not lie beyond its own.
    """
    value, weight = _all_joins(events, counts, totals, least, shrinkage)
    fine = len(events)
    best = np.full((fine + 1, fine + 1), -np.inf)
    best[0] = value[0]
    best[0, fine] = _whole(events, counts, totals, shrinkage)
    ways, parents = [best], []
    for _ in range(1, min(max_bins, fine)):
        best, parent = _one_more(ways[-1], value - price, weight, direction)
        ways.append(best)
        parents.append(parent)
    ends = [way[:, fine].max() for way in ways]
    chosen = int(np.argmax(ends))
    edges = [fine, int(np.argmax(ways[chosen][:, fine]))]
    for parent in reversed(parents[:chosen]):
        edges.append(int(parent[edges[-1], edges[-2]]))
    return np.array(edges[::-1], np.int64), float(ends[chosen])


def _all_joins(
    events: Vector, counts: Vector, totals: tuple[float, float], least: tuple[float, float], shrinkage: float
) -> tuple[Vector, Vector]:
    """Return the information value (-inf where a bin is too small) and the weight of the bin from i to j, at [i, j]."""
    held_events, held = (np.concatenate(([0.0], np.cumsum(values))) for values in (events, counts))
    positive, size = held_events - held_events[:, None], held - held[:, None]
    fits = (size >= max(least[0], 1)) & (positive >= least[1]) & (size - positive >= least[1])
    positive, size = np.where(fits, positive, 0.0), np.where(fits, size, 0.0)
    parts = information_values(positive, size, *totals, shrinkage)
    return np.where(fits, parts, -np.inf), weight_of_evidence(positive, size, totals[0] / totals[1], shrinkage)


def _whole(events: Vector, counts: Vector, totals: tuple[float, float], shrinkage: float) -> float:
    together = np.array([events.sum()]), np.array([counts.sum()])
    return float(information_values(together[0], together[1], totals[0], totals[1], shrinkage)[0])


def _one_more(best: Vector, gain: Vector, weight: Vector, direction: int) -> tuple[Vector, NDArray[np.int64]]:
    """Append one bin to the best ways so far; also where the bin before it begins."""
    edges = len(best)
    longer, parent = np.full((edges, edges), -np.inf), np.zeros((edges, edges), np.int64)
    for i in range(1, edges - 1):
        fits = direction * (weight[i, i + 1 :] - weight[:i, i, None]) >= 0
        before = np.where(fits, best[:i, i, None], -np.inf)
        parent[i, i + 1 :] = before.argmax(axis=0)
        longer[i, i + 1 :] = before.max(axis=0) + gain[i, i + 1 :]
    return longer, parent


def agreeing_logistic(x: Vector, events: Vector, counts: Vector, l2: float) -> tuple[float, Vector]:
    """Fit a logistic regression none of whose coefficients is negative.

    It maximises the log-likelihood less ``l2 / 2`` times the sum of squared coefficients (not of the intercept): a
    concave function over a convex set, so there is one answer. Newton steps on the coefficients that are free to move
    (D. P. Bertsekas (1982), "Projected Newton methods for optimization problems with simple constraints").
    """
    design = np.column_stack([np.ones(len(x)), x])
    penalty = np.append(0.0, np.full(x.shape[1], l2))
    rate = events.sum() / counts.sum()
    beta = np.append(np.log(rate / (1 - rate)), np.zeros(x.shape[1]))
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-(design @ beta)))
        gradient = design.T @ (events - counts * p) - penalty * beta
        free = (beta > 0) | (gradient > 0)
        free[0] = True
        if np.abs(gradient[free]).max() < CONVERGED * counts.sum():
            break
        part = design[:, free]
        hessian = (part * (counts * p * (1 - p))[:, None]).T @ part + np.diag(penalty[free])
        step = np.zeros(len(beta))
        step[free] = np.linalg.solve(hessian, gradient[free])
        beta = _uphill(design, events, counts, penalty, beta, step)
    return float(beta[0]), beta[1:]


def _uphill(design: Vector, events: Vector, counts: Vector, penalty: Vector, beta: Vector, step: Vector) -> Vector:
    """Take the step, or a half, a quarter ... of it, as far as it leads upwards."""

    def height(at: Vector) -> float:
        odds = design @ at
        return float(events @ odds - counts @ np.logaddexp(0, odds) - penalty @ (at * at) / 2)

    start = height(beta)
    for halvings in range(30):
        moved = beta + step * 0.5**halvings
        moved[1:] = np.maximum(moved[1:], 0.0)
        if height(moved) >= start - 1e-12 * abs(start):
            return moved
    return beta
