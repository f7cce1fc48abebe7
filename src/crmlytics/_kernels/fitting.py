"""Maximum likelihood for models of a few positive parameters, on rows collapsed to the distinct ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import linalg, optimize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Vector: TypeAlias = npt.NDArray[np.float64]
Objective: TypeAlias = "Callable[[Vector], tuple[float, Vector]]"

LARGEST_LOG = float(np.log(1e6))  # parameters stay in [1e-6, 1e6]
DIFFERENCE = 1e-4  # of the gradient, in a log-parameter: error near 1e-9 of the second derivative
RIDGE = 3.0  # a log-parameter known only to within a factor exp(3) = 20
FLAT = 1e-3  # information on a log-parameter: the likelihood does not notice a factor of 1e6
NEAR_BOUND = 1e-2
MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Collapsed:
    """Distinct rows of several columns.

    Attributes
    ----------
    columns : list of arrays, one entry per distinct row
    weights : array
        How many rows are like this one.
    inverse : array of int, one entry per original row
        ``columns[j][inverse]`` is the original column j.
    """

    columns: list[Vector]
    weights: Vector
    inverse: npt.NDArray[np.intp]


def collapse(*columns: Vector) -> Collapsed:
    """Collapse equal rows, in an order that depends on the values only.

    Rows are sorted by a 64-bit mixture of their bits, one sort of integers whatever the number of columns. Should two
    different rows ever mix to the same number, they are still told apart: neighbours are compared by value.
    """
    mixed = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        mixed = (mixed ^ (column + 0.0).view(np.uint64)) * MIX  # + 0.0: minus zero has other bits
        mixed ^= mixed >> np.uint64(29)
    order = np.argsort(mixed)
    ordered = [column[order] for column in columns]
    first = np.ones(len(order), dtype=bool)
    first[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in ordered])
    starts = np.flatnonzero(first)
    inverse = np.empty(len(order), dtype=np.intp)
    inverse[order] = np.cumsum(first) - 1
    weights = np.diff(starts, append=len(order)).astype(float)
    return Collapsed([column[starts] for column in ordered], weights, inverse)


@dataclass(frozen=True, slots=True)
class Maximum:
    """Where a log-likelihood is greatest, and how well that place is known.

    Attributes
    ----------
    theta : array (k,)
        What was searched: log-parameters first, then coefficients of covariates, if any.
    information : array (k, k)
        Minus the second derivatives of the log-likelihood by theta.
    covariance : array (k, k)
        The inverse of the information. NaN for parameters that the likelihood does not depend on at this place; NaN
        throughout where the information on the others has no inverse.
    log_likelihood : float
        Of what was maximised: a penalty, if there was one, is in it.
    converged : bool
        The gradient vanishes, the surface bends down in every direction, and no parameter ran off to its bound.
    at_bound : array (k,) of bool
    on_ridge : array (k,) of bool
        The data hardly say how large this parameter is (a standard error above 3 on the log scale).
    """

    theta: Vector
    information: Vector
    covariance: Vector
    log_likelihood: float
    converged: bool
    at_bound: npt.NDArray[np.bool_]
    on_ridge: npt.NDArray[np.bool_]

    @property
    def params(self) -> Vector:
        """The parameters, if theta are their logarithms."""
        return np.exp(self.theta)


def maximise(objective: Objective, starts: Sequence[Sequence[float]], *, weight: float) -> Maximum:
    """Maximise a log-likelihood over positive parameters; later starts are tried only while none has converged.

    Parameters
    ----------
    objective : function of the parameters
        Returns the log-likelihood and its derivatives by the parameters.
    starts : starting values of the parameters
    weight : float
        Number of observations: what the log-likelihood is divided by, so that tolerances mean the same for all data.
    """
    return climb(in_logs(objective), [np.log(np.asarray(start, dtype=float)) for start in starts], weight=weight)


def in_logs(objective: Objective) -> Objective:
    """Turn a function of positive parameters into one of their logarithms."""

    def of_logs(theta: Vector) -> tuple[float, Vector]:
        params = np.exp(theta)
        value, gradient = objective(params)
        return value, gradient * params

    return of_logs


def climb(
    objective: Objective, starts: Sequence[Vector], *, weight: float, reach: float | Vector = LARGEST_LOG
) -> Maximum:
    """Maximise over theta within ``[-reach, reach]``; later starts are tried only while none has converged."""

    def loss(theta: Vector) -> tuple[float, Vector]:
        value, gradient = objective(theta)
        return -value / weight, -gradient / weight

    best: Maximum | None = None
    for start in starts:
        found = _descend(loss, np.asarray(start, dtype=float), weight, np.broadcast_to(reach, np.shape(start)))
        if best is None or (found.converged, found.log_likelihood) > (best.converged, best.log_likelihood):
            best = found
        if best.converged:
            break
    if best is None:
        raise ValueError("climb needs at least one start.")
    return best


def measure(objective: Objective, theta: Vector, *, weight: float) -> Maximum:
    """Take theta for a maximum, found by somebody else, and say how well it is known."""

    def loss(at: Vector) -> tuple[float, Vector]:
        value, gradient = objective(at)
        return -value / weight, -gradient / weight

    return _measured(loss, theta, weight, np.full(len(theta), np.inf))


def _descend(loss: Objective, start: Vector, weight: float, reach: Vector) -> Maximum:
    options = {"maxiter": 1000, "maxfun": 2000, "ftol": 1e-12, "gtol": 1e-5}
    bounds = list(zip(-reach, reach, strict=True))
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    theta = np.asarray(found.x, dtype=float)
    if not (np.abs(theta) > reach - NEAR_BOUND).any():
        theta = _polish(loss, theta, reach)
    return _measured(loss, theta, weight, reach)


def _measured(loss: Objective, theta: Vector, weight: float, reach: Vector) -> Maximum:
    at_bound = np.abs(theta) > reach - NEAR_BOUND
    value, gradient = loss(theta)
    information = _second_derivatives(loss, theta) * weight
    covariance = _invert_where_curved(information)
    left_to_gain = float(gradient @ covariance @ gradient) * weight**2 / 2  # in units of the log-likelihood
    return Maximum(
        theta=theta,
        information=information,
        covariance=covariance,
        log_likelihood=-value * weight,
        converged=bool(not at_bound.any() and left_to_gain < 1e-6),  # False for NaN
        at_bound=at_bound,
        on_ridge=np.sqrt(np.diag(covariance)) > RIDGE,
    )


def _polish(loss: Objective, theta: Vector, reach: Vector) -> Vector:
    """Take Newton steps with one matrix until the gradient is gone: the last digits, which L-BFGS-B leaves open."""
    inverse = _inverse(_second_derivatives(loss, theta))
    if np.isnan(inverse).any():
        return theta
    gradient = loss(theta)[1]
    for _ in range(20):
        candidate = np.clip(theta - inverse @ gradient, -reach, reach)
        new_gradient = loss(candidate)[1]
        if not np.abs(new_gradient).max() < np.abs(gradient).max():
            break
        theta, gradient = candidate, new_gradient
    return theta


def _second_derivatives(loss: Objective, theta: Vector) -> Vector:
    """Central differences of the analytic gradient."""
    steps = DIFFERENCE * np.eye(len(theta))
    rows = [(loss(theta + step)[1] - loss(theta - step)[1]) / (2 * DIFFERENCE) for step in steps]
    matrix = np.array(rows)
    return np.asarray((matrix + matrix.T) / 2)


def _invert_where_curved(information: Vector) -> Vector:
    """Invert the block of parameters on which there is information; NaN for the others."""
    curved = np.diag(information) > FLAT
    covariance = np.full_like(information, np.nan)
    if curved.any():
        block = np.ix_(curved, curved)
        covariance[block] = _inverse(information[block])
    return covariance


def _inverse(matrix: Vector) -> Vector:
    """Inverse of a positive definite matrix; all NaN if it is not one."""
    try:
        return np.asarray(linalg.cho_solve(linalg.cho_factor(matrix), np.eye(len(matrix))))
    except (linalg.LinAlgError, ValueError):
        return np.full_like(matrix, np.nan)
