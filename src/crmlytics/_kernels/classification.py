"""How good scores and probabilities are against what came true, as functions on arrays.

Rows with the same score cannot be told apart: every measure of order treats them as shuffled at random and gives the
expected value, so that it never depends on the order of the rows. A weight is so many copies of a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

FARTHEST = 36.0  # of log odds: beyond it a probability is 1 to the last digit
SMALLEST = float(np.finfo(np.float64).eps)  # of a probability whose logarithm is taken
STEPS = 100
STEEPEST = 1e3  # slopes beyond it: outcomes are separated and the likelihood has no maximum
SMALL_STEP = 1e-10
FLAT = 1e-10  # of a determinant: what is left of it is rounding


class Ties(NamedTuple):
    """What holds for each distinct score, from the highest to the lowest.

    Attributes
    ----------
    score : float64 array, shape (scores,)
    total, positive : float64 arrays, shape (scores,)
        Weight of the rows with this score, and of those of them whose outcome is true.
    """

    score: Vector
    total: Vector
    positive: Vector


def ties_of(y: NDArray[Any], score: NDArray[Any], weight: NDArray[Any] | None = None) -> Ties:
    """Sum rows by their score."""
    values, inverse = np.unique(-np.asarray(score, np.float64), return_inverse=True)
    weight = np.ones(len(inverse)) if weight is None else np.asarray(weight, np.float64)
    columns = (weight, weight * np.asarray(y, np.float64))
    total, positive = (np.bincount(inverse, column, len(values)).astype(np.float64) for column in columns)
    return Ties(-values, total, positive)


def auc(y: NDArray[Any], score: NDArray[Any], weight: NDArray[Any] | None = None) -> float:
    """Return the probability that a positive has a higher score than a negative, ties counted half.

    Missing if there is one class only.
    """
    ties = ties_of(y, score, weight)
    return auc_of(ties.total, ties.positive)


def auc_of(total: Vector, positive: Vector) -> float:
    """Return the area under the ROC curve of the sums by descending score."""
    above = np.cumsum(positive)
    if not 0 < above[-1] < total.sum():
        return float("nan")
    negative = total - positive
    return float(negative @ (above - positive / 2) / (above[-1] * negative.sum()))


def average_precision(y: NDArray[Any], score: NDArray[Any], weight: NDArray[Any] | None = None) -> float:
    """Return the mean, over the positives, of the precision of the rows scored at least as high.

    Missing if there is no positive.
    """
    ties = ties_of(y, score, weight)
    return average_precision_of(ties.total, ties.positive)


def average_precision_of(total: Vector, positive: Vector) -> float:
    """Return the average precision of the sums by descending score."""
    chosen, found = np.cumsum(total), np.cumsum(positive)
    if not found[-1] > 0:
        return float("nan")
    precision = np.divide(found, chosen, out=np.zeros_like(found), where=chosen > 0)
    return float(positive @ precision / found[-1])


def log_losses(y: NDArray[Any], p: NDArray[Any]) -> Vector:
    """Return minus the log-probability of each outcome; certainty that was wrong costs 36, not infinity."""
    p = np.clip(np.asarray(p, np.float64), SMALLEST, 1 - SMALLEST)
    losses: Vector = np.where(np.asarray(y, bool), -np.log(p), -np.log1p(-p))
    return losses


def log_loss(y: NDArray[Any], p: NDArray[Any], weight: NDArray[Any] | None = None) -> float:
    """Return minus the mean log-probability of the outcomes."""
    return float(np.average(log_losses(y, p), weights=weight))


def brier_score(y: NDArray[Any], p: NDArray[Any], weight: NDArray[Any] | None = None) -> float:
    """Return the mean squared difference between probability and outcome."""
    return float(np.average((np.asarray(p, np.float64) - np.asarray(y, np.float64)) ** 2, weights=weight))


def bin_edges(total: float, bins: int, *, whole: bool = True) -> Vector:
    """Return where equal shares of a total begin and end, shape (bins + 1,), at whole numbers of rows if asked to."""
    edges = total * np.arange(bins + 1) / bins
    return np.floor(edges + 0.5) if whole else edges


def share_out(total: Vector, amounts: Vector, edges: Vector) -> Vector:
    """Return the amount that falls between edges of the running total; what is tied is split in proportion."""
    ends = np.concatenate([[0.0], np.cumsum(total)])
    running = np.concatenate([[0.0], np.cumsum(amounts)])
    shared: Vector = np.diff(np.interp(edges, ends, running))
    return shared


def calibration_error(y: NDArray[Any], p: NDArray[Any], bins: int = 10, weight: NDArray[Any] | None = None) -> float:
    """Return the expected calibration error: the mean gap between probability and outcome in bins of equal mass.

    Bins hold whole rows where weights are whole. Rows with the same probability that an edge divides are split in
    proportion. M. P. Naeini, G. F. Cooper and M. Hauskrecht (2015), AAAI 29.
    """
    ties = ties_of(y, p, weight)
    return calibration_error_of(ties.total, ties.positive, ties.score, bins)


def calibration_error_of(total: Vector, positive: Vector, p: Vector, bins: int) -> float:
    """Return the expected calibration error of the sums by descending probability."""
    mass = float(total.sum())
    whole = bool(np.all(total == np.floor(total)))
    edges = bin_edges(mass, bins, whole=whole)
    return float(np.abs(share_out(total, total * p - positive, edges)).sum() / mass)


def log_odds(p: NDArray[Any]) -> Vector:
    """Return log(p / (1 - p)), at most 36 from zero."""
    p = np.clip(np.asarray(p, np.float64), SMALLEST, 1 - SMALLEST)
    odds: Vector = np.log(p) - np.log1p(-p)
    return odds


def probability_of(log_odds: NDArray[Any]) -> Vector:
    """Return 1 / (1 + exp(-log odds)), never quite 0 or 1: :func:`log_odds` finds the way back."""
    p: Vector = 1 / (1 + np.exp(-np.clip(np.asarray(log_odds, np.float64), -FARTHEST, FARTHEST)))
    return p


def calibration_line(y: NDArray[Any], p: NDArray[Any], weight: NDArray[Any] | None = None) -> tuple[float, float]:
    """Return intercept and slope of the logistic regression of the outcome on the log odds: (0, 1) is calibrated.

    A slope below one says that the probabilities are too extreme. Both are missing where the likelihood has no
    maximum: one class only, one probability only, or outcomes that the probabilities separate without error.
    D. R. Cox (1958), "Two further applications of a model for binary regression", Biometrika 45.
    """
    x, y = log_odds(p), np.asarray(y, np.float64)
    weight = np.ones(len(x)) if weight is None else np.asarray(weight, np.float64)
    line = _newton(x, y, weight, np.array([0.0, 1.0])) if np.ptp(x[weight > 0]) > 0 else None
    return (float(line[0]), float(line[1])) if line is not None else (float("nan"), float("nan"))


def line_terms(x: Vector, y: Vector, line: Vector) -> tuple[Vector, Vector]:
    """Return each row's gradient, shape (n, 2), and curvature (n, 3: in 1, x and x squared) of its log-likelihood."""
    p = probability_of(line[0] + line[1] * x)
    error, spread = y - p, p * (1 - p)
    return np.column_stack([error, error * x]), np.column_stack([spread, spread * x, spread * x * x])


def newton_step(gradient: Vector, curvature: Vector) -> Vector:
    """Return the step to the maximum of a quadratic with this gradient (2,) and curvature (3,); NaN if it has none."""
    a, b, c = curvature
    determinant = a * c - b * b
    if not determinant > FLAT * a * c:
        return np.full(2, np.nan)
    step = [c * gradient[0] - b * gradient[1], a * gradient[1] - b * gradient[0]]
    return np.array(step, np.float64) / float(determinant)


def _newton(x: Vector, y: Vector, weight: Vector, line: Vector) -> Vector | None:
    """Climb the log-likelihood, which is concave, halving a step that does not."""
    best = _likelihood(x, y, weight, line)
    for _ in range(STEPS):
        gradient, curvature = line_terms(x, y, line)
        step = newton_step(weight @ gradient, weight @ curvature)
        if not np.all(np.isfinite(step)):
            return None
        while (reached := _likelihood(x, y, weight, line + step)) < best and np.abs(step).max() > SMALL_STEP:
            step = step / 2
        line, best = line + step, reached
        if np.abs(line).max() > STEEPEST:
            return None
        if np.abs(step).max() < SMALL_STEP * (1 + np.abs(line).max()):
            return line
    return None


def _likelihood(x: Vector, y: Vector, weight: Vector, line: Vector) -> float:
    z = line[0] + line[1] * x
    return float(weight @ (y * z - np.logaddexp(0.0, z)))
