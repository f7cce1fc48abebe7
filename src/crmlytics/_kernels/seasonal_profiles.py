"""Profiles of a cycle: how much of a year, week or day each of its parts makes up, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Indices of the parts of a cycle, each array of shape (parts,), and the strength of the season.

    Attributes
    ----------
    index : float64 array
        Mean of the part over the mean of all parts: 1 on average.
    lower, upper : float64 array
        Missing below two cycles.
    strength : float
        Share of the variance within cycles that the profile explains; missing below two cycles.
    """

    index: Vector
    lower: Vector
    upper: Vector
    strength: float


def profile(cells: Vector, interval: float) -> Profile:
    """Return the profile of cycles, shape (cycles, parts), with intervals from cycle to cycle.

    The index is a ratio of sums, so cycles of little revenue weigh little. Its variance is linearised: that of
    ``cell - index x mean of its cycle``, with Student's t of ``cycles - 1`` degrees. Strength is that of Wang, Smith &
    Hyndman (2006): 1 - var(rest) / var(season + rest), of cells over the mean of their cycle.
    """
    from scipy import stats

    cycles, parts = cells.shape
    means = cells.mean(axis=1)
    index = cells.sum(axis=0) / means.sum()
    if cycles < 2:
        missing = np.full(parts, np.nan)
        return Profile(index, missing, missing, float("nan"))
    rest = cells - means[:, None] * index
    error = np.sqrt((rest**2).sum(axis=0) * cycles / (cycles - 1)) / means.sum()
    half = stats.t.ppf((1 + interval) / 2, cycles - 1) * error
    weighed = means[:, None] / means.mean()
    total = np.sum((cells / means.mean() - weighed) ** 2)
    unexplained = np.sum((rest / means.mean()) ** 2) * cycles / (cycles - 1)  # the profile was fitted to these cycles
    strength = max(0.0, 1 - float(unexplained / total)) if total > 0 else 0.0
    return Profile(index, index - half, index + half, strength)


def without_trend(cells: Vector) -> Vector:
    """Take steady growth from cycle to cycle out of the parts within each, so late parts do not look high for it."""
    sums = cells.sum(axis=1)
    if len(cells) < 2 or (sums <= 0).any():
        return cells
    parts = cells.shape[1]
    growth = (sums[-1] / sums[0]) ** (1 / (len(sums) - 1))
    level: Vector = cells / growth ** ((np.arange(parts) - (parts - 1) / 2) / parts)
    return level
