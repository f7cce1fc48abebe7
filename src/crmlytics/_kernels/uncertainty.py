"""How sure a prediction is when the parameters it was made with are estimates: the delta method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from collections.abc import Callable

    from crmlytics._kernels.special import Vector

STEP = 1e-3  # of a standard deviation
ROUNDING = 1e-14
LARGEST_REACH = 700.0  # exp(700) does not overflow
LARGEST = 1e308
FLAT = 1e-3  # information: the likelihood does not notice a factor of 1e6

Scale = Literal["plain", "log", "logit"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A prediction per customer with the bounds of its confidence interval, three arrays of one shape."""

    value: Vector
    low: Vector
    high: Vector


def delta_errors(
    predict: Callable[[Vector], tuple[Vector, ...]], theta: Vector, covariance: Vector
) -> list[tuple[Vector, Vector]]:
    """Each array of ``predict(theta)`` with its standard errors, to first order in the uncertainty of theta.

    The errors are built up along the principal axes of the correlations, so that one more array at a time is held, and
    the units of theta do not matter.
    """
    values = predict(theta)
    squares = [np.zeros_like(value) for value in values]
    for direction in _independent_directions(covariance):
        ahead, behind = predict(theta + STEP * direction), predict(theta - STEP * direction)
        for at, (up, down) in enumerate(zip(ahead, behind, strict=True)):
            squares[at] += ((up - down) / (2 * STEP)) ** 2
    return [(value, np.sqrt(square)) for value, square in zip(values, squares, strict=True)]


def _independent_directions(covariance: Vector) -> list[Vector]:
    """Return vectors of one standard deviation each whose outer products sum up to the covariance."""
    deviations = np.sqrt(np.diag(covariance))
    scale = np.where(deviations > 0, deviations, 1.0)
    variances, axes = np.linalg.eigh(covariance / np.outer(scale, scale))
    kept = variances > ROUNDING
    return list((scale[:, None] * axes[:, kept] * np.sqrt(variances[kept])).T)


def interval_around(value: Vector, error: Vector, *, level: float, scale: Scale) -> Interval:
    """Return the normal confidence interval of a value with a standard error, symmetric on ``scale``."""
    reach = float(special.ndtri((1 + level) / 2)) * error
    if scale == "plain":
        return Interval(value, value - reach, value + reach)
    if scale == "log":
        positive = value > 0
        factor = np.exp(np.minimum(_ratio(reach, np.where(positive, value, 1.0)), LARGEST_REACH))
        high = np.minimum(np.where(positive, value, 0.0), LARGEST / factor) * factor
        return Interval(value, value / factor, np.where(np.isfinite(value) & positive, np.maximum(high, value), value))
    inside = (value > 0) & (value < 1)
    middle = np.where(inside, value, 0.5)
    reach = np.where(inside, _ratio(reach, middle * (1 - middle)), 0.0)
    log_odds = special.logit(middle)
    low, high = (np.where(inside, special.expit(log_odds + side * reach), value) for side in (-1, 1))
    return Interval(value, np.minimum(low, value), np.maximum(high, value))  # expit(logit(p)) may round off p


def _ratio(reach: Vector, by: Vector) -> Vector:
    """Divide, but to no more than what is as good as infinite on the scale of logarithms."""
    return np.minimum(reach, LARGEST_REACH * by) / by


def trusted_covariance(information: Vector) -> Vector:
    """Invert the information on theta in the directions that have any; the others are left where they are.

    Where the likelihood is flat (a ridge, a parameter at its bound) predictions hardly change either: that is what
    flat means. So such a direction adds nothing to an interval, instead of making it infinite or missing.
    """
    if not np.isfinite(information).all():
        return np.zeros_like(information)
    values, vectors = np.linalg.eigh(information)
    trusted = values > FLAT
    return np.asarray((vectors[:, trusted] / values[trusted]) @ vectors[:, trusted].T)
