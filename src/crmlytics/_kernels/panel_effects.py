"""What two groups of customers did in several periods, compared: means, how they vary together, and tests of them all.

Figures of one customer hang together, so every covariance is one between customers (clustered by customer), and what
is said of sums or changes follows from it by :meth:`Means.through`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Counts = NDArray[np.int64]

ROUNDING = 1e-12  # relative to the squares that a sum of squares about the mean is left over from
DRAWS = 20_000
LEAST_VARIANCE = 1e-12  # relative to the largest: rounding, not variance


@dataclass(frozen=True, slots=True, eq=False)
class Means:
    """Figures per customer of one group.

    Attributes
    ----------
    mean : float64 array, shape (k,)
    covariance : float64 array, shape (k, k)
        Of the means, between samples of customers.
    count : float64 array, shape (k,)
        The customers behind each mean.
    parts : sparse array, shape (customers, p)
    by_part : float64 array, shape (k, p)
        ``parts @ by_part.T`` is how far off each customer puts each mean.
    """

    mean: Vector
    covariance: Vector
    count: Vector
    parts: Any
    by_part: Vector

    def through(self, weights: Vector) -> Means:
        """Return sums of the figures with weights, shape (m, k); their count is the least of their parts."""
        used = weights != 0
        count = np.where(used, self.count, np.inf).min(axis=1)
        covariance = weights @ self.covariance @ weights.T
        covariance = _without_rounding(covariance, np.abs(weights) @ np.sqrt(np.diag(self.covariance)))
        return Means(weights @ self.mean, covariance, count, self.parts, weights @ self.by_part)

    def third_moment(self) -> Vector:
        """Return the third central moment of each mean, shape (k,)."""
        apart = (self.parts @ weights for weights in self.by_part)
        return np.array([(one * one * one).sum() for one in apart])


@dataclass(frozen=True, slots=True, eq=False)
class Differences:
    """How much more the one group has than the other.

    Attributes
    ----------
    estimate : float64 array, shape (k,)
    covariance : float64 array, shape (k, k)
    freedom : float64 array, shape (k,)
        Degrees of freedom, by Welch and Satterthwaite.
    skewness : float64 array, shape (k,)
        Of the differences as estimates; see :func:`~crmlytics._kernels.treatment_effects.mean_difference`.
    """

    estimate: Vector
    covariance: Vector
    freedom: Vector
    skewness: Vector

    @property
    def error(self) -> Vector:
        """Standard errors, shape (k,); NaN where nothing varies, so that nothing tells how sure an estimate is."""
        variance = np.diag(self.covariance)
        error: Vector = np.sqrt(np.where(variance > 0, variance, np.nan))
        return error

    def interval(self, confidence: float) -> tuple[Vector, Vector]:
        """Return the interval of each estimate by itself."""
        from scipy import special

        return self._within(special.stdtrit(self.freedom, (1 + confidence) / 2))

    def band(self, confidence: float, *, seed: int) -> tuple[Vector, Vector]:
        """Return intervals that hold all together at this confidence: never narrower than :meth:`interval`."""
        from scipy import special

        together = special.ndtr(largest_deviation(self.covariance, confidence, seed=seed))
        return self._within(special.stdtrit(self.freedom, max(together, (1 + confidence) / 2)))

    def _within(self, quantile: Vector) -> tuple[Vector, Vector]:
        """Return the estimates less and plus so many standard errors, set right for skewness."""
        from crmlytics._kernels.treatment_effects import skewed

        low, high = (self.estimate - skewed(end, self.skewness) * self.error for end in (quantile, -quantile))
        return low, high

    def p_value(self) -> Vector:
        """Return the two-sided p-value of each estimate."""
        from scipy import special

        from crmlytics._kernels.treatment_effects import unskewed

        p_value: Vector = 2 * special.stdtr(self.freedom, -np.abs(unskewed(self.estimate / self.error, self.skewness)))
        return p_value


def group_means(row: Counts, column: Counts, value: Vector, *, observed: Counts, periods: int) -> Means:
    """Return the means of figures of which only those that are not zero are listed.

    Each period's mean is one over the customers who were observed in it: those of ``observed[i] > period``. So a sum
    over periods is the partitioned estimator of D. Y. Lin et al. (1997), "Estimating medical costs from incomplete
    follow-up data", Biometrics 53; where all were observed throughout it is the plain mean.

    Parameters
    ----------
    row, column : int64 arrays
        The customer and the period of each figure; a pair that comes twice is added up.
    value : float64 array
    observed : int64 array, shape (customers,)
        The number of periods, from the first, in which a customer was observed.
    """
    from scipy import sparse

    seen = column < observed[row]
    row, column, value = row[seen], column[seen], value[seen]
    count = np.array([(observed > period).sum() for period in range(periods)], np.float64)
    mean = _divided(np.bincount(column, value, minlength=periods).astype(np.float64), count)
    figures = sparse.coo_array((value, (row, column)), shape=(len(observed), periods)).tocsr()
    squares = (figures.T @ figures).toarray()  # sparse: most customers do nothing in most periods
    until = np.bincount(column * (periods + 1) + observed[row], value, minlength=periods * (periods + 1))
    later = until.reshape(periods, periods + 1)[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]  # [s, t]: in s, observed in t
    both, center = np.minimum.outer(count, count), np.where(count > 0, mean, 0.0)
    products = squares - later * center - (later * center).T + both * np.outer(center, center)
    spread = np.sqrt(_divided(count, count - 1)) / np.maximum(count, 1)
    covariance = _without_rounding(products, np.sqrt(np.diag(squares))) * np.outer(spread, spread)
    levels = np.arange(periods + 1)
    whose = sparse.csr_array(
        (np.ones(len(observed)), (np.arange(len(observed)), observed)), (len(observed), len(levels))
    )
    expected = np.where(levels > levels[:-1, None], center[:, None], 0.0)  # in a period, of those observed so long
    by_part = spread[:, None] * np.hstack([np.eye(periods), -expected])
    return Means(mean, covariance, count, sparse.hstack([figures, whose], format="csr"), by_part)


def _without_rounding(products: Vector, scale: Vector) -> Vector:
    """Return sums of products, those that are rounding next to the scales of their figures being zero."""
    return np.where(np.abs(products) > ROUNDING * np.outer(scale, scale), products, 0.0)


def _divided(top: Vector, bottom: Vector) -> Vector:
    """Divide; missing where there is nothing to divide by."""
    ratio: Vector = np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)
    return ratio


def means_of(values: Vector) -> Means:
    """Return the means of figures laid out in full, shape (customers, k)."""
    count, periods = values.shape
    row, column = np.nonzero(values)
    return group_means(row, column, values[row, column], observed=np.full(count, periods), periods=periods)


def differences(treated: Means, comparison: Means) -> Differences:
    """Compare the means of two groups that have no customer in common."""
    variance = np.array([np.diag(group.covariance) for group in (treated, comparison)])
    count = np.array([treated.count, comparison.count])
    spread = (variance**2 / (count - 1)).sum(axis=0)
    freedom = np.divide(variance.sum(axis=0) ** 2, spread, out=count.min(axis=0) - 1, where=spread > 0)
    return Differences(
        treated.mean - comparison.mean,
        treated.covariance + comparison.covariance,
        freedom,
        _skewness(treated, comparison, variance),
    )


def _skewness(treated: Means, comparison: Means, variance: Vector) -> Vector:
    """Return the skewness of differences, that of a figure being the same in both groups."""
    from crmlytics._kernels.treatment_effects import difference_skewness

    count = np.array([treated.count, comparison.count])
    scale = count * (count - 1)  # makes of a mean's variance the sum of squares
    cubes = scale**1.5 * np.array([treated.third_moment(), comparison.third_moment()])
    found: Vector = difference_skewness(cubes.sum(axis=0), (scale * variance).sum(axis=0), count)
    return found


def joint_p_value(estimate: Vector, covariance: Vector, freedom: float) -> float:
    """Return the p-value of the test that all of these are zero: Hotelling's T squared; NaN where nothing varies.

    ``F = T^2 (f - r + 1) / (f r)`` with r and f - r + 1 degrees of freedom, r being the rank of the covariance.
    """
    from scipy import special

    size, vectors = np.linalg.eigh(covariance)
    kept = size > LEAST_VARIANCE * max(float(size.max(initial=0.0)), np.finfo(float).tiny)
    rank = int(kept.sum())
    if not rank or freedom < rank:
        return float("nan")
    square = float(((vectors[:, kept].T @ estimate) ** 2 / size[kept]).sum())
    rest = freedom - rank + 1
    return float(special.fdtrc(rank, rest, square * rest / (freedom * rank)))


def largest_deviation(covariance: Vector, confidence: float, *, seed: int) -> float:
    """Return by how many standard errors the farthest of several normal estimates is off at most, at this confidence.

    The sup-t band of J. L. Montiel Olea and M. Plagborg-Moller (2019), "Simultaneous confidence bands", Journal of
    Applied Econometrics 34; drawn, with a fixed seed.
    """
    error = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    varies = error > LEAST_VARIANCE * error.max(initial=0.0)
    if not varies.any():
        return 0.0
    scaled = covariance[np.ix_(varies, varies)] / np.outer(error[varies], error[varies])
    size, vectors = np.linalg.eigh(scaled)
    root = vectors * np.sqrt(np.maximum(size, 0.0))
    drawn = np.random.default_rng(seed).standard_normal((DRAWS, len(size)))
    return float(np.quantile(np.abs(drawn @ root.T).max(axis=1), confidence))


def ratio_interval(top: float, bottom: float, covariance: Vector, critical: float) -> tuple[float, float] | None:
    """Return Fieller's interval of ``top / bottom``; None where ``bottom`` may be zero, and so the ratio anything.

    E. C. Fieller (1954), "Some problems in interval estimation", Journal of the Royal Statistical Society B 16.
    """
    square = critical**2
    a = bottom**2 - square * covariance[1, 1]
    b = top * bottom - square * covariance[0, 1]
    c = top**2 - square * covariance[0, 0]
    if a <= 0 or b * b < a * c:
        return None
    reach = float(np.sqrt(b * b - a * c))
    return (float(b) - reach) / float(a), (float(b) + reach) / float(a)


def cumulative(periods: int) -> Vector:
    """Return the weights that add each period to all before it."""
    return np.tril(np.ones((periods, periods)))


def from_reference(periods: int, reference: int) -> Vector:
    """Return the weights that take one period from every other, shape (periods - 1, periods)."""
    weights: Any = np.eye(periods)
    weights[:, reference] -= 1.0
    return np.asarray(np.delete(weights, reference, axis=0))
