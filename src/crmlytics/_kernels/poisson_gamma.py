"""NBD: customers buy at random moments at a steady rate of their own, and never leave.

The rate is gamma distributed over customers: shape r and rate alpha. Given x purchases until T it is gamma distributed
with shape r + x and rate alpha + T. Models in which customers leave build on the functions below.

References
----------
Ehrenberg, A. (1959), The pattern of consumer purchases, Applied Statistics 8(1).
"""

# ruff: noqa: ARG002  the signatures are those of the protocol

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy import special

from crmlytics._kernels.special import Vector, digamma_rise, dot, log_rising

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crmlytics._kernels.process import Params


@dataclass(frozen=True, slots=True)
class PoissonGamma:
    """Customers buy at their own constant rate and never leave. The parameters are r and alpha."""

    names: ClassVar[tuple[str, ...]] = ("r", "alpha")
    time_powers: ClassVar[tuple[int, ...]] = (0, 1)
    starts: ClassVar[tuple[tuple[float, ...], ...]] = ((1.0, 1.0), (0.2, 0.2), (5.0, 1.0))
    buying: ClassVar[int] = 1
    forgets_recency: ClassVar[bool] = True

    def log_likelihood(self, params: Params, x: Vector, t_x: Vector, T: Vector) -> Vector:
        """Log-likelihood of each history, shape (n,)."""
        return buying_log_likelihood(params, x, T)

    def log_likelihood_and_gradient(
        self,
        params: Params,
        x: Vector,
        t_x: Vector,
        T: Vector,
    ) -> tuple[Vector, Vector]:
        """Log-likelihood of each history, shape (n,), and its derivatives by r and alpha, shape (2, n)."""
        return buying_log_likelihood(params, x, T), buying_slopes(params, x, T)

    def objective(
        self,
        x: Vector,
        t_x: Vector,
        T: Vector,
        weights: Vector,
    ) -> Callable[[Vector], tuple[float, Vector]]:
        """Return the function of r and alpha that gives the weighted log-likelihood and its derivatives."""
        return buying_sums(x, T, weights).log_likelihood

    def alive_probability(self, params: Params, x: Vector, t_x: Vector, T: Vector) -> Vector:
        """P(alive at T): one."""
        return np.ones_like(T)

    def survival_if_alive(self, params: Params, x: Vector, t_x: Vector, T: Vector, *, ahead: float | Vector) -> Vector:
        """P(alive at T + ahead | alive at T): one."""
        return np.ones_like(T + ahead)

    def expected_purchases_if_alive(
        self,
        params: Params,
        x: Vector,
        t_x: Vector,
        T: Vector,
        *,
        horizon: float | Vector,
    ) -> Vector:
        """Purchases expected in (T, T + horizon], shape (n,)."""
        return mean_rate(params, x, T) * horizon

    def count_probabilities_if_alive(
        self,
        params: Params,
        x: Vector,
        t_x: Vector,
        T: Vector,
        *,
        horizon: float | Vector,
        most: int,
    ) -> Vector:
        """P(exactly 0, 1, ..., most purchases in (T, T + horizon]), shape (n, most + 1)."""
        r, alpha = params
        return np.stack([*count_probabilities(r + x, horizon / (alpha + T), most)], axis=-1)

    def discounted_purchases_if_alive(
        self,
        params: Params,
        x: Vector,
        t_x: Vector,
        T: Vector,
        *,
        horizon: float,
        rate: float,
    ) -> Vector:
        """Mean of the sum of ``exp(-rate * t)`` over purchases at T + t, 0 < t <= horizon."""
        return mean_rate(params, x, T) * worth_until(horizon, rate)


@dataclass(frozen=True, slots=True)
class BuyingSums:
    """Purchase histories as the sums that the log-likelihood of buying needs, once for each distinct x and T.

    Attributes
    ----------
    x, x_weights : arrays, one entry per distinct x
    T, T_weights, T_purchases : arrays, one entry per distinct T
        ``T_purchases`` is the weighted sum of x.
    """

    x: Vector
    x_weights: Vector
    T: Vector
    T_weights: Vector
    T_purchases: Vector

    def log_likelihood(self, params: Vector) -> tuple[float, Vector]:
        """Log-likelihood of buying at one's rate until T, and its derivatives by r and alpha."""
        r, alpha = params
        waited = np.log1p(self.T / alpha)
        value = dot(self.x_weights, log_rising(r, self.x)) - r * dot(self.T_weights, waited)
        value -= dot(self.T_purchases, np.log(alpha + self.T))
        by_r = dot(self.x_weights, digamma_rise(r, self.x)) - dot(self.T_weights, waited)
        by_alpha = np.sum((r / alpha * self.T * self.T_weights - self.T_purchases) / (alpha + self.T))
        return value, np.array([by_r, by_alpha])


def buying_sums(x: Vector, T: Vector, weights: Vector) -> BuyingSums:
    """Sum up purchase histories."""
    distinct_x, at_x = np.unique(x, return_inverse=True)
    distinct_T, at_T = np.unique(T, return_inverse=True)
    return BuyingSums(
        x=distinct_x,
        x_weights=np.bincount(at_x, weights).astype(float),
        T=distinct_T,
        T_weights=np.bincount(at_T, weights).astype(float),
        T_purchases=np.bincount(at_T, weights * x).astype(float),
    )


def buying_log_likelihood(params: Params, x: Vector, T: Vector) -> Vector:
    """Log-likelihood of x purchases until T at one's rate: ``Γ(r+x)/Γ(r) * alpha^r (alpha+T)^-(r+x)``."""
    r, alpha = params
    return np.asarray(log_rising(np.asarray(r), x) - r * np.log1p(T / alpha) - x * np.log(alpha + T))


def buying_slopes(params: Params, x: Vector, T: Vector) -> Vector:
    """Return the derivatives of ``buying_log_likelihood`` by r and alpha."""
    r, alpha = params
    return np.stack([digamma_rise(np.asarray(r), x) - np.log1p(T / alpha), (r / alpha * T - x) / (alpha + T)])


def mean_rate(params: Params, x: Vector, T: Vector) -> Vector:
    """Mean rate of buying given the history: ``(r + x) / (alpha + T)``."""
    return np.asarray((params[0] + x) / (params[1] + T))


def worth_until(time: float | Vector, rate: float) -> Vector:
    """Integral of ``exp(-rate * t)`` from 0 to ``time``, which may be infinite if the rate is not 0."""
    return np.asarray(time if rate == 0 else -np.expm1(-rate * np.asarray(time)) / rate)


def count_probabilities(shape: Vector, reach: Vector, most: int) -> Iterator[Vector]:
    """Probabilities of 0, 1, ..., most purchases while time grows by ``reach`` times what is known of the rate.

    ``Γ(shape+n) / (Γ(shape) n!) * (1+reach)^-shape * (reach/(1+reach))^n``, by logarithms: the first may vanish.
    """
    none = -shape * np.log1p(reach)
    with np.errstate(divide="ignore"):  # no time, no purchases: log 0
        each = np.log(reach) - np.log1p(reach)
    yield np.exp(none)
    for n in range(1, most + 1):
        ways = log_rising(shape, np.full_like(shape, n)) - special.gammaln(n + 1)
        yield np.exp(none + n * each + ways)


NBD = PoissonGamma()
