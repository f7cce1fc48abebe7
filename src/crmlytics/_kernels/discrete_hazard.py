"""When customers under contract leave, period by period: a logistic law of the hazard, fitted without unrolling it.

In period k = 1, 2, ... a customer who is still there leaves with probability
``1 / (1 + exp(-(b_k'a + x'(c + z_k d))))``, where b_k is a basis of the period (what time does), x are the customer's
own numbers and z_k grows with time, so that what they do may fade. The likelihood is that of a logistic regression with
a row per customer and period lived through
(P. D. Allison (1982), "Discrete-time methods for the analysis of event histories"; J. D. Singer and J. B. Willett
(1993), "It's about time"). With customers sorted by how long they were seen, those at risk in a period are the first so
many: the rows need never be made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.special import Vector

STEPS, HALVINGS = 60, 30
CLOSE = 1e-10  # of the log-likelihood: so little before the last step that it is nothing after
ROUNDING = 1e-12
BASELINE_RIDGE = 1e-6  # where nobody or everybody left in a period, its coefficient has no maximum


@dataclass(frozen=True, slots=True, eq=False)
class Hazards:
    """A fitted law.

    Attributes
    ----------
    coefficients : float64 array, shape (basis + 2 covariates,)
        a, c and d.
    covariance : float64 array
        The inverse of the penalised information.
    log_likelihood : float
        Of the data, without the penalty.
    at_risk, left, expected : float64 arrays, one entry per period
        How many were there, how many left, and how many should have by the law.
    converged : bool
    """

    coefficients: Vector
    covariance: Vector
    log_likelihood: float
    at_risk: Vector
    left: Vector
    expected: Vector
    converged: bool


def fit_hazards(
    basis: Vector,
    clock: Vector,
    covariates: Vector,
    periods: NDArray[np.int64],
    left: NDArray[np.bool_],
    ridge: float,
) -> Hazards:
    """Maximise the likelihood, less half of ``ridge`` times the squares of the covariates' coefficients, by Newton.

    Parameters
    ----------
    basis : shape (periods, terms)
        Row k - 1 is that of period k.
    clock : shape (periods,)
        z of each period.
    covariates : shape (customers, columns), on a common scale
    periods : how many periods each customer was seen for, 0 to ``len(basis)``
    left : whether the last of them was that in which the customer left
    """
    order = np.argsort(-periods, kind="stable")
    data = _Sorted(basis, clock, covariates[order], periods[order], left[order])
    penalty = np.append(np.full(basis.shape[1], BASELINE_RIDGE), np.full(2 * covariates.shape[1], ridge))
    theta = np.zeros(len(penalty))
    value, gradient, information, expected = data.evaluate(theta, penalty)
    converged = False
    for _ in range(STEPS):
        step = np.linalg.solve(information, gradient)
        promised = float(gradient @ step)
        for _ in range(HALVINGS):
            found = data.evaluate(theta + step, penalty)
            if found[0] >= value - ROUNDING * (1 + abs(value)):
                theta = theta + step
                value, gradient, information, expected = found
                break
            step = step / 2
        if promised <= CLOSE:
            converged = True
            break
    likelihood = value + float(penalty @ theta**2) / 2
    covariance = np.asarray(np.linalg.inv(information), np.float64)
    return Hazards(theta, covariance, likelihood, data.at_risk, data.left, expected, converged)


class _Sorted:
    """Customers by how long they were seen, the longest first."""

    def __init__(
        self,
        basis: Vector,
        clock: Vector,
        covariates: Vector,
        periods: NDArray[np.int64],
        left: NDArray[np.bool_],
    ) -> None:
        self.basis, self.clock, self.covariates = basis, clock, covariates
        self.there = len(periods) - np.searchsorted(periods[::-1], np.arange(1, len(basis) + 2))
        self.leaves = left
        self.at_risk = self.there[:-1].astype(np.float64)
        self.left = np.array([float(left[rows].sum()) for rows in map(self._last, range(len(basis)))])

    def _last(self, period: int) -> slice:
        """Return the rows of those who were seen last in a period."""
        return slice(self.there[period + 1], self.there[period])

    def evaluate(self, theta: Vector, penalty: Vector) -> tuple[float, Vector, Vector, Vector]:
        """Return the penalised log-likelihood, its gradient, minus its second derivatives, and who should leave."""
        x, terms, columns = self.covariates, self.basis.shape[1], self.covariates.shape[1]
        base, own, drift = self.basis @ theta[:terms], x @ theta[terms : terms + columns], x @ theta[terms + columns :]
        value, expected = -float(penalty @ theta**2) / 2, np.zeros(len(base))
        gradient, information = -penalty * theta, np.diag(penalty)
        rests, weights = np.zeros((2, len(x))), np.zeros((3, len(x)))  # sums over the periods, by powers of z
        for k in np.flatnonzero(self.at_risk).tolist():
            there, b, last = self.there[k], self.basis[k], self._last(k)
            powers = self.clock[k] ** np.arange(3)
            logit = base[k] + own[:there] + powers[1] * drift[:there]
            hazard = special.expit(logit)
            value += float(logit[last] @ self.leaves[last]) - float(np.logaddexp(0.0, logit).sum())
            weight, expected[k] = hazard * (1 - hazard), hazard.sum()
            rest = -hazard
            rest[last] += self.leaves[last]
            rests[:, :there] += powers[:2, None] * rest
            weights[:, :there] += powers[:, None] * weight
            gradient[:terms] += b * rest.sum()
            information[:terms, :terms] += weight.sum() * np.outer(b, b)
            information[:terms, terms:] += np.outer(b, np.outer(powers[:2], weight @ x[:there]))
        gradient[terms:] += (rests @ x).ravel()
        plain, once, twice = ((x * weight[:, None]).T @ x for weight in weights)
        information[terms:, terms:] += np.block([[plain, once], [once, twice]])
        information[terms:, :terms] = information[:terms, terms:].T
        return value, gradient, information, expected


def spline_basis(period: Vector, knots: Vector) -> Vector:
    """Return a restricted cubic spline of ln(period): 1, x and a column for each inner knot; straight beyond the ends.

    F. E. Harrell (2015), "Regression modeling strategies", 2.4.5.
    """
    x, t = np.log(period), np.log(knots)
    columns = [np.ones(len(x)), x]
    if len(t) > 2:
        cubes = np.maximum(x[:, None] - t, 0.0) ** 3 / (t[-1] - t[0]) ** 2
        last = t[-1] - t[-2]
        for j in range(len(t) - 2):
            before, after = (t[-1] - t[j]) / last, (t[-2] - t[j]) / last
            columns.append(cubes[:, j] - cubes[:, -2] * before + cubes[:, -1] * after)
    return np.stack(columns, axis=1)


def survival_ahead(
    base: Vector, clock: Vector, effects: tuple[Vector, Vector], elapsed: Vector, ahead: float
) -> tuple[Vector, Vector]:
    """Return the probability of staying ``ahead`` more periods, and the periods expected within them.

    Parameters
    ----------
    base : logit of the hazard of each period, of a customer whose ``effects`` are 0; the last one holds for ever
    clock : z of each period
    effects : x'c and x'd of each customer
    elapsed : periods that each has lived through already; within a period the hazard is even
    """
    log_left, expected, place = np.zeros(len(elapsed)), np.zeros(len(elapsed)), np.floor(elapsed)
    end = elapsed + ahead
    for step in range(int(np.ceil(ahead)) + 1):
        number = np.minimum(place + step, len(base) - 1).astype(np.int64)
        width = np.clip(np.minimum(end, place + step + 1) - np.maximum(elapsed, place + step), 0.0, 1.0)
        rate = np.logaddexp(0.0, base[number] + effects[0] + clock[number] * effects[1])  # -ln(1 - hazard)
        lost = rate * width
        expected += np.exp(log_left) * width * np.where(lost > 1e-9, -np.expm1(-lost) / np.maximum(lost, 1e-9), 1.0)
        log_left -= lost
    return np.exp(log_left), expected
