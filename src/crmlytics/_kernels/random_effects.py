"""Effects of several studies put together, as functions on arrays: how much they differ beyond chance, what is next.

Every function takes ``effect`` and ``variance``, float64 arrays of shape (k,), the variances above zero and known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

POINTS, CLOSE = 201, 1e-14


@dataclass(frozen=True, slots=True)
class Pooled:
    """What several studies say together.

    Attributes
    ----------
    mean, standard_error : float
        Of the distribution that the true effects come from.
    low, high, p_value : float
        Of the mean, by the t distribution with k - 1 degrees of freedom; of one study by the normal distribution.
    next_low, next_high : float
        Where the true effect of another study is to be expected; NaN of one study.
    tau2 : float
        The variance between the true effects; NaN of one study.
    q, q_p_value : float
        Cochran's test that all true effects are the same; NaN of one study.
    i2 : float
        The share of the variance of the estimates that is due to ``tau2``; NaN of one study.
    """

    mean: float
    standard_error: float
    low: float
    high: float
    p_value: float
    next_low: float
    next_high: float
    tau2: float
    q: float
    q_p_value: float
    i2: float


def pooled(effect: Vector, variance: Vector, *, confidence: float, method: str) -> Pooled:
    """Put studies together by a random-effects model; ``method`` is ``"reml"`` or ``"dersimonian-laird"``.

    G. Knapp and J. Hartung (2003), "Improved tests for a random effects meta-regression with a single covariate",
    Statistics in Medicine 22: the variance of the mean is ``sum w (y - m)^2 / (k - 1) / sum w`` with ``w = 1 / (v +
    tau2)``. Where that is less than ``1 / sum w`` the latter is taken: a few studies that agree by chance would
    otherwise have the shortest interval of all. The next effect lies within ``m +- t sqrt(tau2 + se^2)``.
    """
    from scipy import special

    k = len(effect)
    if k == 1:
        return _alone(float(effect[0]), math.sqrt(variance[0]), confidence)
    tau2 = reml(effect, variance) if method == "reml" else dersimonian_laird(effect, variance)
    weight = 1 / (variance + tau2)
    mean = float(weight @ effect / weight.sum())
    spread = float(weight @ (effect - mean) ** 2) / (k - 1)
    error = math.sqrt(max(1.0, spread) / weight.sum())
    t = float(special.stdtrit(k - 1, (1 + confidence) / 2))
    reach = t * math.sqrt(tau2 + error**2)
    q, typical = cochran_q(effect, variance), _typical_variance(variance)
    return Pooled(
        mean, error, mean - t * error, mean + t * error, 2 * float(special.stdtr(k - 1, -abs(mean) / error)),
        mean - reach, mean + reach, tau2, q, float(special.chdtrc(k - 1, q)), tau2 / (tau2 + typical),
    )  # fmt: skip


def shrunken(effect: Vector, variance: Vector, found: Pooled) -> tuple[Vector, Vector]:
    """Return the most likely true effect of each study given all of them, and its standard error.

    With the share ``B = tau2 / (tau2 + v)`` it is ``m + B (y - m)``, of variance ``B v + (1 - B)^2 se(m)^2``: the
    empirical Bayes estimate (C. Morris (1983), "Parametric empirical Bayes inference", Journal of the American
    Statistical Association 78), ``tau2`` being taken as known. A study alone stays as it is.
    """
    if math.isnan(found.tau2):
        return effect.copy(), np.sqrt(variance)
    kept = found.tau2 / (found.tau2 + variance)
    error = np.sqrt(kept * variance + (1 - kept) ** 2 * found.standard_error**2)
    return found.mean + kept * (effect - found.mean), error


def cochran_q(effect: Vector, variance: Vector) -> float:
    """Return the weighted sum of squares around the mean, chi-squared with k - 1 if all true effects are the same."""
    weight = 1 / variance
    return float(weight @ (effect - weight @ effect / weight.sum()) ** 2)


def dersimonian_laird(effect: Vector, variance: Vector) -> float:
    """Return the variance between studies by the method of moments.

    R. DerSimonian and N. Laird (1986), "Meta-analysis in clinical trials", Controlled Clinical Trials 7.
    """
    excess = cochran_q(effect, variance) - (len(effect) - 1)
    weight = 1 / variance
    return max(0.0, excess / float(weight.sum() - (weight**2).sum() / weight.sum()))


def reml(effect: Vector, variance: Vector) -> float:
    """Return the variance between studies of the greatest restricted likelihood.

    The likelihood may have several tops, and Fisher scoring, the usual way, may swing to and fro between its steps: so
    the best of a grid is taken, and the place beside it where the slope is none. W. Viechtbauer (2005), "Bias and
    efficiency of meta-analytic variance estimators in the random-effects model", Journal of Educational and Behavioral
    Statistics 30.
    """
    from scipy import optimize

    most = 2 * float(np.ptp(effect)) ** 2  # beyond it the likelihood falls
    if most == 0:
        return 0.0
    grid = most * np.linspace(0, 1, POINTS) ** 3  # finest near none
    likelihood, slope = _restricted(effect, variance, grid)
    best = int(likelihood.argmax())
    low, high = (best, min(best + 1, POINTS - 1)) if slope[best] > 0 else (max(best - 1, 0), best)
    if not slope[low] > 0 > slope[high]:  # none, where it falls from the first; or the place itself
        return float(grid[best])
    ends, close = (grid[low], grid[high]), max(CLOSE * most, float(np.finfo(np.float64).tiny))
    found = optimize.brentq(lambda tau2: _restricted(effect, variance, np.array([tau2]))[1][0], *ends, xtol=close)
    return float(found)


def _restricted(effect: Vector, variance: Vector, tau2: Vector) -> tuple[Vector, Vector]:
    """Return twice the restricted log-likelihood and its slope at several ``tau2``, but for a constant."""
    weight = 1 / (variance + tau2[:, None])
    total, squares = weight.sum(axis=1), (weight**2).sum(axis=1)
    residual = effect - (weight @ effect / total)[:, None]
    likelihood = np.log(weight).sum(axis=1) - np.log(total) - (weight * residual**2).sum(axis=1)
    return likelihood, (weight**2 * residual**2).sum(axis=1) - total + squares / total


def _alone(effect: float, error: float, confidence: float) -> Pooled:
    from scipy import special

    z = -float(special.ndtri((1 - confidence) / 2))
    p_value = 2 * float(special.ndtr(-abs(effect) / error))
    return Pooled(effect, error, effect - z * error, effect + z * error, p_value, *[math.nan] * 6)


def _typical_variance(variance: Vector) -> float:
    """Return the variance within studies that makes I2 of DerSimonian and Laird's tau2 equal to (Q - df) / Q.

    J. Higgins and S. Thompson (2002), "Quantifying heterogeneity in a meta-analysis", Statistics in Medicine 21.
    """
    weight = 1 / variance
    return float((len(variance) - 1) * weight.sum() / (weight.sum() ** 2 - (weight**2).sum()))
