"""What a model of purchases must be able to say, so that fitting, scoring, forecasting and judging are written once.

A customer's history is ``x`` repeat purchases, the last of them ``t_x`` after the first purchase, watched until ``T``;
all arrays of one entry per customer. A customer who begins today is the history (0, 0, 0).

``params`` is a sequence with one entry per name in ``names``. Each entry is a positive number, or an array with a value
per customer (covariates make them differ).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from crmlytics._kernels.special import Vector, dot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Params: TypeAlias = "Sequence[float | Vector] | Vector"


class Process(Protocol):
    """A model of when customers buy and when they leave for good.

    Attributes
    ----------
    names : tuple of str
        Of the parameters, all positive.
    time_powers : tuple of int
        In other time units a parameter is multiplied by ``factor ** power``: 1 for a time, -1 for a rate, else 0.
    starts : tuple of tuples of float
        Starting values of the parameters, where the mean of T is one unit of time.
    buying : int
        Index of the parameter that slows buying down in proportion: ``alpha``.
    forgets_recency : bool
        Of a customer who is alive at T, the future depends on x and T only, not on t_x.
    """

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def time_powers(self) -> tuple[int, ...]: ...
    @property
    def starts(self) -> tuple[tuple[float, ...], ...]: ...
    @property
    def buying(self) -> int: ...
    @property
    def forgets_recency(self) -> bool: ...

    def log_likelihood(self, params: Params, x: Vector, t_x: Vector, T: Vector) -> Vector:
        """Log-likelihood of each history, shape (n,)."""

    def log_likelihood_and_gradient(self, params: Params, x: Vector, t_x: Vector, T: Vector) -> tuple[Vector, Vector]:
        """Log-likelihood of each history, shape (n,), and its derivatives by the parameters, shape (k, n)."""

    def objective(self, x: Vector, t_x: Vector, T: Vector, weights: Vector) -> Callable[[Vector], tuple[float, Vector]]:
        """Return the function of k parameters that gives the weighted sum of log-likelihoods and its derivatives."""

    def alive_probability(self, params: Params, x: Vector, t_x: Vector, T: Vector) -> Vector:
        """P(alive at T), shape (n,)."""

    def survival_if_alive(self, params: Params, x: Vector, t_x: Vector, T: Vector, *, ahead: float | Vector) -> Vector:
        """P(alive at T + ahead | alive at T), shape (n,)."""

    def expected_purchases_if_alive(
        self, params: Params, x: Vector, t_x: Vector, T: Vector, *, horizon: float | Vector
    ) -> Vector:
        """Purchases expected in (T, T + horizon] of a customer alive at T, shape (n,)."""

    def count_probabilities_if_alive(
        self, params: Params, x: Vector, t_x: Vector, T: Vector, *, horizon: float | Vector, most: int
    ) -> Vector:
        """P(exactly 0, 1, ..., most purchases in (T, T + horizon] | alive at T), shape (n, most + 1)."""

    def discounted_purchases_if_alive(
        self, params: Params, x: Vector, t_x: Vector, T: Vector, *, horizon: float, rate: float
    ) -> Vector:
        """Mean of the sum of ``exp(-rate * t)`` over purchases at T + t, 0 < t <= horizon, of a customer alive at T.

        ``horizon`` may be infinite if ``rate`` is above zero.
        """


def summed(
    process: Process, x: Vector, t_x: Vector, T: Vector, weights: Vector
) -> Callable[[Vector], tuple[float, Vector]]:
    """Return the plain objective: weighted sums over the rows of ``log_likelihood_and_gradient``."""

    def objective(params: Vector) -> tuple[float, Vector]:
        value, gradient = process.log_likelihood_and_gradient(params, x, t_x, T)
        return dot(weights, value), np.sum(weights * gradient, axis=1)

    return objective
