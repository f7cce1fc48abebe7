"""Whether groups of rows stand apart: how high the valley between two neighbours is, seen along their line.

References
----------
Silverman, B. (1986), Density estimation for statistics and data analysis, for the bandwidth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

NEIGHBOURS = 3  # of each group: those farther away lie behind these
BANDWIDTH = 0.54  # of n^-1/5 standard deviations: 0.6 times Silverman's, which is for one peak and fills valleys
PLACES = np.linspace(-0.6, 1.6, 221)  # 0 is one centre, 1 the other
BETWEEN = (PLACES >= 0.15) & (PLACES <= 0.85)


def highest_valley(matrix: Floats, labels: Ints, centres: Floats) -> float:
    """Return how high the valley is between the two neighbouring groups that are least apart.

    Parameters
    ----------
    matrix : float64 array, shape (rows, columns)
    labels : int64 array, shape (rows,)
        The group of each row; at least two occur.
    centres : float64 array, shape (groups, columns)

    Returns
    -------
    float
        From 0 (nobody stands between any two) to 1 (no valley between some two).
    """
    present = np.flatnonzero(np.bincount(labels, minlength=len(centres)))
    pairs = set()
    for group in present:
        others = present[present != group]
        distance = ((centres[others] - centres[group]) ** 2).sum(axis=1)
        nearest = others[np.argsort(distance, kind="stable")[:NEIGHBOURS]]
        pairs |= {(min(group, other), max(group, other)) for other in nearest}
    return max(_valley(matrix[labels == one], matrix[labels == other], centres[[one, other]]) for one, other in pairs)


# -- inside --------------------------------------------------------------------------------------------------------


def _valley(first: Floats, second: Floats, centres: Floats) -> float:
    """Return the density at the lowest place between two groups over that of the lower of the peaks beside it."""
    way = centres[1] - centres[0]
    length = float((way**2).sum())
    if not length:
        return 1.0
    density = _density(*(((rows - centres[0]) @ way / length) for rows in (first, second)))
    lowest = int(np.where(BETWEEN, density, np.inf).argmin())
    lower_peak = min(density[:lowest].max(), density[lowest + 1 :].max())
    return float(min(density[lowest] / max(lower_peak, np.finfo(float).tiny), 1.0))


def _density(first: Floats, second: Floats) -> Any:
    """Return the density of two groups together at PLACES, each weighing the same, by normal kernels."""
    at = np.concatenate([first, second])
    weight = np.repeat([0.5 / len(first), 0.5 / len(second)], [len(first), len(second)])
    spread = np.sqrt(weight @ (at - weight @ at) ** 2)
    width = BANDWIDTH * len(at) ** -0.2 * spread
    return np.exp(-0.5 * ((PLACES[:, None] - at) / width) ** 2) @ weight
