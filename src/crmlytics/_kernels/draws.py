"""The bootstrap by cluster: customers are drawn again with all their rows, since rows of one customer are alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

BUNDLES = 5_000
INTERVAL = 0.95


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

    @property
    def bundles(self) -> int:
        """How many bundles there are to draw from."""
        return int(self.weights.shape[1])

    def among(self, rows: NDArray[np.bool_]) -> Draws:
        """Return the same samples, of some of the rows."""
        return Draws(self.bundle[rows], self.weights)

    def sums(self, columns: Vector) -> Vector:
        """Add up columns, shape (rows, k), in every sample: shape (replicates, k)."""
        by_bundle = np.column_stack([np.bincount(self.bundle, column, self.bundles) for column in columns.T])
        drawn: Vector = self.weights @ by_bundle
        return drawn


def bounds(drawn: Vector, interval: float = INTERVAL) -> tuple[Vector, Vector]:
    """Return the middle of figures drawn, shape (replicates, ...); missing where half the samples have none."""
    known = ~np.isnan(drawn)
    enough = 2 * known.sum(axis=0) >= len(drawn)
    filled = np.where(enough & known, drawn, np.where(enough, np.nan, 0.0))
    tail = (1 - interval) / 2
    low, high = np.nanquantile(filled, [tail, 1 - tail], axis=0)
    return np.where(enough, low, np.nan), np.where(enough, high, np.nan)
