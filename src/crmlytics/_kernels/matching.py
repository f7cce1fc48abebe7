"""Comparing customers who were contacted with those who were not: twins by score, weights, and what might be hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Flags = NDArray[np.bool_]

DIGITS = 9  # of a score: smaller distances are rounding, so ties are the same on every engine
NEIGHBOURS = 4  # of one's own kind, who tell how much customers vary
MOST_LIKELY = 0.999
MOST_WEIGHT = 10  # mean weights: a customer who stood for more would decide alone
ROUNDING = 1e-9  # means: by so much a constant column differs from itself
LOG_RISK_PER_SD = 0.91  # T. J. VanderWeele (2017): a difference of one standard deviation as a ratio of risks


@dataclass(frozen=True, slots=True, eq=False)
class Twins:
    """Who was matched to whom: each treated customer to the nearest comparison customer, or to all that are as near.

    Attributes
    ----------
    matched : bool array, shape (treated,)
        Whether a twin lies within the caliper.
    lower, upper : int64 arrays, shape (treated,)
        Groups of comparison customers with the same score that are the twins; -1 for none on that side.
    count : float64 array, shape (treated,)
        How many twins each has; their outcomes are averaged.
    group : int64 array, shape (comparisons,)
        The group of each comparison customer.
    """

    matched: Flags
    lower: NDArray[np.int64]
    upper: NDArray[np.int64]
    count: Vector
    group: NDArray[np.int64]

    def outcomes(self, values: Vector) -> Vector:
        """Return the mean of the twins' values, shape (treated,); NaN without twins."""
        sums = np.append(np.bincount(self.group, values), 0.0)  # the last is the group -1
        both = sums[self.lower] + sums[self.upper]
        mean: Vector = np.divide(both, self.count, out=np.full(len(both), np.nan), where=self.count > 0)
        return mean

    def weights(self, power: int = 1) -> Vector:
        """Return for each comparison customer the sum, over whose twin it is, of its part to this power."""
        groups = int(self.group.max()) + 1
        part = np.divide(1.0, self.count, out=np.zeros(len(self.count)), where=self.count > 0) ** power
        total = np.zeros(groups)
        for side in (self.lower, self.upper):
            used = side >= 0
            total += np.bincount(side[used], part[used], minlength=groups)
        return np.asarray(total[self.group])


def find_twins(treated: Vector, comparison: Vector, caliper: float) -> Twins:
    """Match scores with replacement, every treated customer to the nearest comparison customer within the caliper.

    Customers at the same distance are all taken, and averaged, as in A. Abadie and G. W. Imbens (2006): nothing
    depends on the order of rows.
    """
    treated, comparison = np.round(treated, DIGITS), np.round(comparison, DIGITS)
    levels, group, size = np.unique(comparison, return_inverse=True, return_counts=True)
    right = np.searchsorted(levels, treated)
    left = right - 1
    below = np.where(left >= 0, treated - levels[np.maximum(left, 0)], np.inf)
    above = np.where(right < len(levels), levels[np.minimum(right, len(levels) - 1)] - treated, np.inf)
    below, above = np.round(below, DIGITS), np.round(above, DIGITS)
    nearest = np.minimum(below, above)
    matched = nearest <= caliper
    lower = np.where(matched & (below == nearest), left, -1)
    upper = np.where(matched & (above == nearest), right, -1)
    sizes = np.append(size, 0).astype(np.float64)
    return Twins(matched, lower, upper, sizes[lower] + sizes[upper], group.astype(np.int64))


def matched_effect(outcome: Vector, comparison: Vector, score: Vector, twins: Twins) -> tuple[float, float]:
    """Return the mean effect on the treated who have twins, and its standard error.

    Parameters
    ----------
    outcome : float64 array, shape (treated,)
    comparison, score : float64 arrays, shape (comparisons,)

    Notes
    -----
    The variance of A. Abadie and G. W. Imbens (2006), "Large sample properties of matching estimators for average
    treatment effects", Econometrica 74: that of the matched differences, plus that of comparison customers who are
    twins of several, by how much customers of nearly the same score vary.
    """
    kept = twins.matched
    apart = outcome[kept] - twins.outcomes(comparison)[kept]
    effect, count = float(apart.mean()), int(kept.sum())
    repeated = twins.weights() ** 2 - twins.weights(2)
    variance = ((apart - effect) ** 2).sum() + (repeated * local_variance(comparison, score)).sum()
    return effect, float(np.sqrt(max(variance, 0.0))) / count


def local_variance(values: Vector, score: Vector) -> Vector:
    """Return how much each value varies among its neighbours by score: ``J / (J + 1) (y - mean of J others)^2``."""
    size = len(values)
    others = min(NEIGHBOURS, size - 1)
    if others < 1:
        return np.zeros(size)
    order = np.lexsort((values, score))
    ranked = values[order]
    start = np.clip(np.arange(size) - others // 2, 0, size - others - 1)
    sums = np.append(0.0, np.cumsum(ranked))
    mean = (sums[start + others + 1] - sums[start] - ranked) / others
    variance = np.empty(size)
    variance[order] = others / (others + 1) * (ranked - mean) ** 2
    return variance


def odds_weights(probability: Vector, treated: Flags) -> Vector:
    """Return how much each comparison customer counts to resemble the treated: the odds ``p / (1 - p)``; 0 if treated.

    None counts for more than ten on average do: truncated weights, as S. R. Cole and M. A. Hernan (2008) advise.
    """
    chance = np.minimum(probability, MOST_LIKELY)
    most = MOST_WEIGHT * treated.sum() / (~treated).sum()
    weights: Vector = np.where(treated, 0.0, np.minimum(chance / (1 - chance), most))
    return weights


def doubly_robust_effect(outcome: Vector, treated: Flags, weight: Vector, expected: Vector) -> tuple[float, float]:
    """Return the mean effect on the treated and its standard error: right if either of two models is.

    Parameters
    ----------
    outcome : float64 array, shape (n,)
    treated : bool array, shape (n,)
    weight : float64 array, shape (n,)
        As :func:`odds_weights` makes them from a model that had not seen the customer.
    expected : float64 array, shape (n,)
        The outcome expected untreated, from a model that had not seen the customer.

    Notes
    -----
    The treated exceed what was expected of them by some mean, the weighted comparison customers by another; the effect
    is the difference (J. M. Robins, A. Rotnitzky and L. P. Zhao 1994; cross-fitting as in V. Chernozhukov et al. 2018,
    Econometrics Journal 21).
    """
    excess = outcome - expected
    one, other = float(excess[treated].mean()), float((weight * excess).sum() / weight.sum())
    influence = np.where(treated, (excess - one) / treated.mean(), -weight * (excess - other) / weight.mean())
    return one - other, float(np.sqrt((influence**2).sum())) / len(outcome)


def ridge_predictions(basis: Vector, outcomes: Vector, new_basis: Vector, penalty: float = 1.0) -> Vector:
    """Fit several outcomes, shape (n, k), by ridge regression on a basis and return what it expects of other rows.

    Nothing beyond what was seen is expected: a column that hardly varied can be many deviations off in a new row.
    """
    mean, scale = basis.mean(axis=0), basis.std(axis=0)
    scale = np.where(scale > ROUNDING * np.abs(mean), scale, 1.0)
    columns, level = (basis - mean) / scale, outcomes.mean(axis=0)
    system = columns.T @ columns + penalty * np.eye(columns.shape[1])
    slopes = np.linalg.solve(system, columns.T @ (outcomes - level))
    expected: Vector = level + ((new_basis - mean) / scale) @ slopes
    return np.clip(expected, outcomes.min(axis=0), outcomes.max(axis=0))


def standardised_difference(treated: Vector, comparison: Vector, weight: Vector, spread: Vector) -> Vector:
    """Return differences of means, columns of shape (n, k), the comparison weighted, in standard deviations.

    P. C. Austin (2009), "Balance diagnostics for comparing the distribution of baseline covariates", Statistics in
    Medicine 28; ``spread`` is that of before matching, so that before and after are measured alike.
    """
    apart = treated.mean(axis=0) - weight @ comparison / weight.sum()
    scaled: Vector = np.divide(apart, spread, out=np.zeros(len(apart)), where=spread > 0)
    return scaled


def pooled_spread(treated: Vector, comparison: Vector) -> Vector:
    """Return the root of the mean of both groups' variances, column by column."""
    spread: Vector = np.sqrt((treated.var(axis=0, ddof=1) + comparison.var(axis=0, ddof=1)) / 2)
    return spread


def e_value(risk_ratio: float) -> float:
    """Return how strongly something unseen would have to go with both contact and outcome to make up this ratio.

    ``RR + sqrt(RR (RR - 1))``, of 1 / RR where RR < 1: T. J. VanderWeele and P. Ding (2017), "Sensitivity analysis in
    observational research: introducing the E-value", Annals of Internal Medicine 167.
    """
    if not risk_ratio > 0:
        return float("nan")
    ratio = max(risk_ratio, 1 / risk_ratio)
    return float(ratio + np.sqrt(ratio * (ratio - 1)))


def risk_ratio(effect: float, treated: Vector) -> float:
    """Return an effect on the treated as a ratio of risks, or what is known to come near it for amounts and counts."""
    level = float(treated.mean())
    if np.isin(treated, (0.0, 1.0)).all():
        return level / (level - effect) if level > effect else float("inf")
    spread = float(treated.std(ddof=1))
    return float(np.exp(LOG_RISK_PER_SD * effect / spread)) if spread > 0 else float("nan")
