"""Figures as quotients of sums over rows, which every sample of customers has its own of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]


def divided(count: Vector, total: Vector) -> Vector:
    """Divide, missing where there is nothing to divide by."""
    shares: Vector = np.divide(count, total, out=np.full(np.broadcast(count, total).shape, np.nan), where=total > 0)
    return shares


def auc_terms(y: NDArray[Any], score: NDArray[Any]) -> Vector:
    """Return the columns whose sums :func:`auc_of_sums` turns into the area under the ROC curve, shape (rows, 4).

    Of each positive the share of negatives with a lower score and of each negative the share of positives with a higher
    one (equals half), beside who is which: the placements of E. DeLong, D. DeLong and D. Clarke-Pearson (1988),
    Biometrics 44. Missing if there is one class only.
    """
    positive = np.asarray(y, np.float64)
    _, tie = np.unique(np.asarray(score, np.float64), return_inverse=True)
    positives, negatives = np.bincount(tie, positive), np.bincount(tie, 1 - positive)
    with np.errstate(invalid="ignore", divide="ignore"):
        below = (np.cumsum(negatives) - negatives / 2)[tie] / negatives.sum()
        above = (positives.sum() - np.cumsum(positives) + positives / 2)[tie] / positives.sum()
    return np.column_stack([positive * below, positive, (1 - positive) * above, 1 - positive])


def auc_of_sums(sums: Vector, auc: float) -> Vector:
    """Return the area in samples, to first order: rows keep the placements that they have among all rows."""
    return np.clip(divided(sums[:, 0], sums[:, 1]) + divided(sums[:, 2], sums[:, 3]) - auc, 0.0, 1.0)


def shares_within(score: NDArray[Any], edges: Vector) -> Vector:
    """Return how much of each row lies between edges of the ranking, shape (rows, edges - 1).

    Rows are ranked by descending score; those with the same score hold their places together and share them equally.
    """
    _, tie, sizes = np.unique(-np.asarray(score, np.float64), return_inverse=True, return_counts=True)
    ends = np.cumsum(sizes, dtype=np.float64)[:, None]
    starts = ends - sizes[:, None]
    overlap = np.minimum(ends, edges[1:]) - np.maximum(starts, edges[:-1])
    shares: Vector = (np.maximum(overlap, 0) / sizes[:, None])[tie]
    return shares
