"""Each group against all others, among members who are alike in what was known before, as functions on arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crmlytics._kernels.treatment_effects import LEAST_SKEWNESS, MOST_SKEWNESS, skewed, unskewed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Codes = NDArray[np.int64]

LEAST = 2  # of a group and of the others in a stratum, or nothing is known of how they vary
NOISE = 1e-12  # a spread of this share of the numbers' size is that of rounding


class Against(NamedTuple):
    """How each group differs from the others; arrays of shape (groups,), NaN where it cannot be told.

    Attributes
    ----------
    members : int64 array
        How many have others alike.
    mean, others_mean : float64 arrays
        Of these members, and of the others weighted as the members are spread over the strata.
    difference, error, degrees, skewness : float64 arrays
        The difference, its standard error, its degrees of freedom (Welch and Satterthwaite), and how skewed it is as
        an estimate.
    """

    members: Codes
    mean: Vector
    others_mean: Vector
    difference: Vector
    error: Vector
    degrees: Vector
    skewness: Vector

    def interval(self, confidence: float) -> tuple[Vector, Vector]:
        """Return the bounds of the differences, corrected for skewness after Hall (1992)."""
        from scipy import special

        quantile = special.stdtrit(self.degrees, (1 + confidence) / 2)
        low, high = (skewed(side * quantile, self.skewness) for side in (-1, 1))
        return self.difference - high * self.error, self.difference - low * self.error

    def p_value(self) -> Vector:
        """Return the two-sided p-values of no difference."""
        from scipy import special

        statistic = np.abs(unskewed(self.difference / self.error, self.skewness))
        return np.asarray(2 * special.stdtr(self.degrees, -statistic), np.float64)


def against_others(values: Vector, group: Codes, groups: int, stratum: Codes) -> Against:
    """Compare the mean of each group with that of all others in the same strata, weighted as the group is spread.

    Direct standardisation: of every stratum with two members and two others at least, the difference of means counts
    with the group's share there. In one stratum that is Welch's test, corrected for skewness as
    :func:`~crmlytics._kernels.treatment_effects.mean_difference` does it: of a stratum, both sides share one skewness.
    """
    strata = int(stratum.max(initial=-1)) + 1
    centre = float(values.mean()) if len(values) else 0.0
    cell = group * strata + stratum
    powers = [(values - centre) ** power for power in range(4)]
    own = np.array([np.bincount(cell, power, groups * strata).reshape(groups, strata) for power in powers])
    others = own.sum(axis=1, keepdims=True) - own
    size, mean, variance, cube = _moments(own)
    other_size, other_mean, other_variance, other_cube = _moments(others)
    used = (size >= LEAST) & (other_size >= LEAST)
    weight = np.where(used, size, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = weight / weight.sum(axis=1, keepdims=True)
        part = np.where(used, weight**2 * variance / size, 0.0)
        other_part = np.where(used, weight**2 * other_variance / other_size, 0.0)
        error = np.sqrt((part + other_part).sum(axis=1))
        freedom = part**2 / (size - 1) + other_part**2 / (other_size - 1)
        degrees = error**4 / np.where(used, freedom, 0.0).sum(axis=1)
        both = size + other_size
        squares = variance * (size - 1) + other_variance * (other_size - 1)
        second = weight**2 * squares / both * (1 / size + 1 / other_size)
        third = weight**3 * (cube + other_cube) / both * (1 / size**2 - 1 / other_size**2)
        second, third = (np.where(used, moment, 0.0).sum(axis=1) for moment in (second, third))
        skewness = np.clip(third / second**1.5, -MOST_SKEWNESS, MOST_SKEWNESS)
        mine, theirs = (centre + np.where(used, weight * mean_of, 0.0).sum(axis=1) for mean_of in (mean, other_mean))
    told = error > NOISE * max(float(np.abs(values).max(initial=0.0)), 1e-300)
    missing = ~used.any(axis=1)
    mine, theirs = np.where(missing, np.nan, mine), np.where(missing, np.nan, theirs)
    error, degrees = np.where(told, error, np.nan), np.where(told, degrees, np.nan)
    skewness = np.where(np.abs(skewness) >= LEAST_SKEWNESS, skewness, 0.0)
    members = np.where(used, size, 0.0).sum(axis=1).astype(np.int64)
    return Against(members, mine, theirs, mine - theirs, error, degrees, skewness)


def _moments(sums: Vector) -> tuple[Vector, Vector, Vector, Vector]:
    """Return size, mean, variance and the sum of cubes about the mean, from sums of powers 0 to 3."""
    size, first, second, third = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = first / size
        squares = np.maximum(second - first * mean, 0.0)
        cubes = third - 3 * mean * second + 2 * size * mean**3
        return size, mean, squares / (size - 1), cubes


def mean_interval(values: Vector, group: Codes, groups: int, confidence: float) -> tuple[Vector, Vector, Vector]:
    """Return the mean of each group and its bounds: Student's, corrected for skewness after P. Hall (1992).

    The skewness is that of the values of all groups about their means, over the root of the group's size.
    """
    from scipy import special

    centre = float(values.mean()) if len(values) else 0.0
    sums = np.array([np.bincount(group, (values - centre) ** power, groups) for power in range(4)])
    size, mean, variance, cube = _moments(sums)
    known = size >= LEAST
    squares = float((variance * (size - 1))[known].sum())
    total = float(size[known].sum())
    ratio = float(cube[known].sum()) / total / (squares / total) ** 1.5 if squares > 0 else 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        skewness = np.clip(ratio / np.sqrt(size), -MOST_SKEWNESS, MOST_SKEWNESS)
        error = np.sqrt(variance / size)
        quantile = special.stdtrit(size - 1, (1 + confidence) / 2)
        low, high = (mean - skewed(side * quantile, skewness) * error for side in (1, -1))
    told = known & (error > NOISE * max(float(np.abs(values).max(initial=0.0)), 1e-300))
    return centre + mean, np.where(told, centre + low, np.nan), np.where(told, centre + high, np.nan)
