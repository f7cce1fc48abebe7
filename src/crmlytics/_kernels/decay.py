"""How fast an effect fades: an exponential through the effects of successive periods, and how sure its half-life is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

POINTS = 1_000  # half-lives tried
LONGEST = 20.0  # times what was observed: a half-life as long as that is a straight line
SHORTEST = 0.1  # of a period
LEAST = 1e-10  # of the largest variance
MISFIT = 0.01
AT_ONCE = "faded within the first step: take shorter steps"


class Decay(NamedTuple):
    """Half-life and its interval, in the unit of the width of a period; or why there is none, and NaN."""

    half_life: float
    low: float
    high: float
    reason: str | None


def half_life(lift: Vector, covariance: Vector, width: float, confidence: float) -> Decay:
    """Fit ``lift ~ a * exp(-rate * time)``, a period's lift being the mean over it, by generalised least squares.

    For a given rate the size ``a`` is linear, so the half-life is tried on a grid; its interval holds the half-lives
    whose sum of squares is not above the least one by more than the chi-squared quantile (profile likelihood).
    """
    from scipy import special

    whitener = _whitener(covariance)
    if whitener is None or len(lift) < 3:
        return _none("fewer than three steps in which anything happened")
    target = whitener @ lift
    observed = width * len(lift)
    lives = np.geomspace(SHORTEST * width, LONGEST * observed, POINTS)
    shapes = whitener @ _shapes(lives, len(lift), width)
    inner, power = target @ shapes, (shapes**2).sum(axis=0)
    misfit = target @ target - inner**2 / power
    level = float(special.chdtri(1, 1 - confidence))
    best = int(misfit.argmin())
    if target @ target - misfit[best] < level:
        return _none("no effect that could be told from chance")
    if special.chdtrc(max(len(target) - 2, 1), misfit[best]) < MISFIT:
        return _none("the effect does not fade as an exponential does")
    inside = lives[misfit <= misfit[best] + level]
    if inside[-1] >= lives[-1]:
        return _none("no fading that could be told from chance in the time observed")
    if inside[0] <= lives[0]:
        return _none(AT_ONCE)
    return Decay(float(lives[best]), float(inside[0]), float(inside[-1]), None)


def _none(reason: str) -> Decay:
    return Decay(float("nan"), float("nan"), float("nan"), reason)


def _shapes(lives: Vector, periods: int, width: float) -> Vector:
    """Return the mean of ``exp(-rate t)`` over each period, shape (periods, half-lives)."""
    rate = np.log(2.0) / lives
    start = np.arange(periods)[:, None] * width
    shapes: Vector = np.exp(-rate * start) * -np.expm1(-rate * width) / (rate * width)
    return shapes


def _whitener(covariance: Vector) -> Vector | None:
    """Return the matrix after which errors are independent and of variance 1; periods without variance drop out."""
    size, vectors = np.linalg.eigh(covariance)
    largest = float(size.max(initial=0.0))
    if largest <= 0:
        return None
    kept = size > LEAST * largest
    return np.asarray((vectors[:, kept] / np.sqrt(size[kept])).T)
