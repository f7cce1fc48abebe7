"""Whether two groups are alike in what was known before, as functions on arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Flags = NDArray[np.bool_]

NEGLIGIBLE = 1e-9  # an eigenvalue of a correlation matrix: the columns say the same


class Omnibus(NamedTuple):
    """A test of all covariates at once.

    Attributes
    ----------
    statistic : float
        Hansen and Bowers's d squared, expected to be ``degrees`` where arms were dealt at random.
    degrees : int
        Covariates that say something of their own.
    p_value : float
    """

    statistic: float
    degrees: int
    p_value: float


def standardised_differences(values: Vector, treated: Flags) -> Vector:
    """Return the difference of means in units of the mean standard deviation of both groups, one per column.

    ``(m_t - m_c) / sqrt((v_t + v_c) / 2)``, of flags with ``v = p (1 - p)``; NaN is left out. Nought where means are
    equal, infinite where they differ and nobody does within a group. P. C. Austin (2009), "Balance diagnostics for
    comparing the distribution of baseline covariates between treatment groups", Statistics in Medicine 28.
    """
    found = []
    for column in values.T:
        shares = are_flags(column)
        found.append(_moments(column[treated], shares=shares) + _moments(column[~treated], shares=shares))
    mean, variance, other_mean, other_variance = np.array(found, np.float64).reshape(-1, 4).T
    difference, spread = mean - other_mean, np.sqrt((variance + other_variance) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(difference == 0, 0.0, difference / spread)


def mean_p_value(values: Vector, other: Vector) -> float:
    """Return the two-sided p-value of Welch's test that two means are equal; NaN is left out.

    Missing with fewer than two values in a group, 1 where all values are the same. B. L. Welch (1947), Biometrika 34.
    """
    from scipy import special

    groups = [group[~np.isnan(group)] for group in (values, other)]
    if min(map(len, groups)) < 2:
        return float("nan")
    errors = [float(np.var(group, ddof=1)) / len(group) for group in groups]
    difference = float(groups[0].mean() - groups[1].mean())
    if sum(errors) == 0:
        return float(difference == 0)
    degrees = sum(errors) ** 2 / sum(error**2 / (len(group) - 1) for error, group in zip(errors, groups, strict=True))
    return float(2 * special.stdtr(degrees, -abs(difference) / np.sqrt(sum(errors))))


def omnibus(values: Vector, treated: Flags) -> Omnibus:
    """Test whether all columns together tell the groups apart: by the share of the assignment that they explain.

    ``d^2 = (n - 1) R^2`` of the regression of the assignment on the columns, which is the d squared of B. B. Hansen and
    J. Bowers (2008), "Covariate balance in simple, stratified and clustered comparative studies", Statistical Science
    23. They refer it to chi-squared; with many columns ``R^2 ~ Beta(r / 2, (n - 1 - r) / 2)`` (Hotelling's F) is
    closer, and what is used here. Columns hold no missing values; ``r`` is their rank. Missing without columns, or
    with as many as rows.
    """
    from scipy import special

    rows = len(treated)
    centred = values - values.mean(axis=0)
    spread = np.sqrt((centred**2).sum(axis=0))
    scaled = centred[:, spread > 0] / spread[spread > 0]
    weights, vectors = np.linalg.eigh(scaled.T @ scaled)
    kept = weights > NEGLIGIBLE
    degrees = int(kept.sum())
    if not degrees or degrees >= rows - 1:
        return Omnibus(float("nan"), degrees, float("nan"))
    assigned = treated - treated.mean()
    along = (vectors[:, kept].T @ (scaled.T @ assigned)) / np.sqrt(weights[kept])
    explained = min(float(along @ along / (assigned @ assigned)), 1.0)
    p_value = float(special.betaincc(degrees / 2, (rows - 1 - degrees) / 2, explained))
    return Omnibus((rows - 1) * explained, degrees, p_value)


def sample_ratio_p_value(count: int, other_count: int, planned_share: float) -> float:
    """Return the p-value of the chi-squared test that the first of two groups has the share that was planned.

    A. Fabijan et al. (2019), "Diagnosing sample ratio mismatch in online controlled experiments", KDD: below .001 the
    trial is not what was planned, and its results are not to be read.
    """
    from scipy import special

    total = count + other_count
    square = (count - total * planned_share) ** 2 / (total * planned_share * (1 - planned_share))
    return float(special.chdtrc(1, square))


def are_flags(values: Vector) -> bool:
    """Whether all that is known is 0 or 1."""
    return bool(np.isin(values[~np.isnan(values)], (0.0, 1.0)).all())


def _moments(values: Vector, *, shares: bool) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    if len(known) <= (not shares):
        return float(known.mean()) if len(known) else float("nan"), float("nan")
    mean = float(known.mean())
    return mean, mean * (1 - mean) if shares else float(np.var(known, ddof=1))
