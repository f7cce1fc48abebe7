"""How alike two partitions of the same rows are, as functions on arrays of codes (0, 1, ...)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]


def contingency(one: NDArray[Any], other: NDArray[Any], sizes: tuple[int, int]) -> Ints:
    """Count the rows in each group of ``one`` (rows) and each of ``other`` (columns)."""
    cells = np.bincount(one * sizes[1] + other, minlength=sizes[0] * sizes[1])
    return np.asarray(cells.reshape(sizes), np.int64)


def best_jaccard(counts: Ints) -> Floats:
    """Return, for each group of the first partition, its likeness with the group of the second that it is most like.

    ``max_j |A and B_j| / |A or B_j|`` (C. Hennig 2007); missing for a group without rows.
    """
    first, second = counts.sum(axis=1, keepdims=True), counts.sum(axis=0, keepdims=True)
    union = first + second - counts
    likeness = np.divide(counts, union, out=np.zeros(counts.shape), where=union > 0)
    return np.where(first[:, 0] > 0, likeness.max(axis=1), np.nan)


def adjusted_rand(counts: Ints) -> float:
    """Return how many pairs of rows two partitions agree on: 1 all of them, 0 as many as by chance.

    L. Hubert and P. Arabie (1985), "Comparing partitions", Journal of Classification 2.
    """
    pairs = _pairs(counts).sum()
    first, second = _pairs(counts.sum(axis=1)).sum(), _pairs(counts.sum(axis=0)).sum()
    expected = first * second / max(_pairs(counts.sum()), 1.0)
    largest = (first + second) / 2
    return 1.0 if largest == expected else float((pairs - expected) / (largest - expected))


def _pairs(counts: Any) -> Any:
    counted = np.asarray(counts, np.float64)
    return counted * (counted - 1) / 2
