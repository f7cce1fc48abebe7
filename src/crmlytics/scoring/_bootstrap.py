"""How sure a figure is: the same samples of customers for everything that is compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

BUNDLES = 5_000


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Draws:
    """Customers drawn with replacement, each with all rows; made once, so that every difference is a paired one.

    More than 5,000 customers are dealt at random into 5,000 bundles of equal size, which are drawn instead: figures
    vary as much between samples of bundles as between samples of customers, and a million cost no more than these.

    Attributes
    ----------
    bundle : int64 array, shape (rows,)
    weights : float64 array, shape (replicates, bundles)
        How often each bundle was drawn.
    """

    bundle: NDArray[np.int64]
    weights: Vector

    @classmethod
    def of(cls, group: NDArray[Any], *, replicates: int, seed: int) -> Draws:
        """Draw the customers of some rows."""
        random = np.random.default_rng(seed)
        codes = np.unique(group, return_inverse=True)[1]
        customers = int(codes.max(initial=-1)) + 1
        bundles = min(customers, BUNDLES)
        drawn = random.integers(0, bundles, (replicates, bundles))
        weights = np.array([np.bincount(row, minlength=bundles) for row in drawn], np.float64)
        return cls((random.permutation(customers) % bundles)[codes], weights)

    def among(self, rows: NDArray[np.bool_]) -> Draws:
        """Return the same samples, of some of the rows."""
        return Draws(self.bundle[rows], self.weights)

    def sums(self, columns: Vector) -> Vector:
        """Add up columns, shape (rows, k), in every sample: shape (replicates, k)."""
        bundles = self.weights.shape[1]
        by_bundle = np.column_stack([np.bincount(self.bundle, column, bundles) for column in columns.T])
        drawn: Vector = self.weights @ by_bundle
        return drawn


def divided(count: Vector, total: Vector) -> Vector:
    """Divide, missing where there is nothing to divide by."""
    shares: Vector = np.divide(count, total, out=np.full(np.broadcast(count, total).shape, np.nan), where=total > 0)
    return shares


def middle(drawn: Vector) -> tuple[Vector, Vector]:
    """Return the middle 95% of figures drawn, shape (replicates, ...); missing where half the samples have none."""
    known = ~np.isnan(drawn)
    enough = 2 * known.sum(axis=0) >= len(drawn)
    filled = np.where(enough & known, drawn, np.where(enough, np.nan, 0.0))
    low, high = np.nanquantile(filled, [0.025, 0.975], axis=0)
    return np.where(enough, low, np.nan), np.where(enough, high, np.nan)


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
