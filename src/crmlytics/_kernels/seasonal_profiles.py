"""Profiles of a cycle: how much of a year, week or day each of its parts makes up, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]


ROUNDING = 1e-12


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
    p_value : float
        Of cycles without any profile; missing below two cycles.
    """

    index: Vector
    lower: Vector
    upper: Vector
    strength: float
    p_value: float


def profile(cells: Vector, interval: float) -> Profile:
    """Return the profile of cycles, shape (cycles, parts), with intervals from cycle to cycle.

    The index is a ratio of sums, so cycles of little revenue weigh little. Its variance is linearised: that of
    ``cell - index x mean of its cycle``, with Student's t of ``cycles - 1`` degrees. Strength is that of Wang, Smith &
    Hyndman (2006): 1 - var(rest) / var(season + rest), of cells over the mean of their cycle.

    The p-value is that of an analysis of variance by part of cells over the mean of their cycle. An index of nothing
    but positive cells has no bound below zero.
    """
    from scipy import stats

    cycles, parts = cells.shape
    means = cells.mean(axis=1)
    index = cells.sum(axis=0) / means.sum()
    if cycles < 2:
        missing = np.full(parts, np.nan)
        return Profile(index, missing, missing, float("nan"), float("nan"))
    rest = cells - means[:, None] * index
    error = np.sqrt((rest**2).sum(axis=0) * cycles / (cycles - 1)) / means.sum()
    half = stats.t.ppf((1 + interval) / 2, cycles - 1) * error
    weighed = means[:, None] / means.mean()
    total = np.sum((cells / means.mean() - weighed) ** 2)
    unexplained = np.sum((rest / means.mean()) ** 2) * cycles / (cycles - 1)  # the profile was fitted to these cycles
    strength = max(0.0, 1 - float(unexplained / total)) if total > 0 else 0.0
    lowest = np.minimum(index, 0.0) if (cells >= 0).all() else np.full(parts, -np.inf)
    return Profile(index, np.maximum(index - half, lowest), index + half, strength, _chance(cells))


def _chance(cells: Vector) -> float:
    """Return the probability that cycles without a profile differ as much by part; each cycle weighs the same."""
    from scipy import stats

    means = cells.mean(axis=1, keepdims=True)
    shares = (cells / np.where(means > 0, means, 1.0))[means[:, 0] > 0]
    cycles, parts = shares.shape
    if cycles < 2:
        return 1.0
    profile_of = shares.mean(axis=0)
    between, within = cycles * np.sum((profile_of - 1) ** 2), np.sum((shares - profile_of) ** 2)
    if between <= ROUNDING * shares.size:
        return 1.0
    ratio = between * (cycles - 1) / max(float(within), ROUNDING)
    return float(stats.f.sf(ratio, parts - 1, (cycles - 1) * (parts - 1)))


def without_trend(cells: Vector) -> Vector:
    """Take steady growth from cycle to cycle out of the parts within each, so late parts do not look high for it."""
    sums = cells.sum(axis=1)
    if len(cells) < 2 or (sums <= 0).any():
        return cells
    parts = cells.shape[1]
    growth = (sums[-1] / sums[0]) ** (1 / (len(sums) - 1))
    level: Vector = cells / growth ** ((np.arange(parts) - (parts - 1) / 2) / parts)
    return level
