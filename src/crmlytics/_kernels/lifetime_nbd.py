"""Pareto/NBD and Gamma/Gompertz/NBD: buying at a gamma-distributed rate, for a lifetime that owes nothing to it.

While alive, a customer buys at random moments with a rate that is gamma distributed over customers: shape r and rate
alpha. The lifetime has a distribution of its own, see :mod:`crmlytics._kernels.lifetimes`.
So a history (x, t_x, T) has the likelihood, with the density f and the survival function S of lifetimes,

    Γ(r+x)/Γ(r) * alpha^r * [(alpha+T)^-(r+x) S(T) + integral over u from t_x to T of (alpha+u)^-(r+x) f(u)].

It is computed as that of buying and living until t_x, times that of the silence since: a sum of two probabilities.

Of a customer who is alive at T, the lifetime given T and the purchases given (x, T) are independent again.

References
----------
Schmittlein, D., Morrison, D. and
Colombo, R. (1987), Counting your customers: who are they and what will they do next?, Management Science 33(1).
Fader, P. and Hardie, B. (2005), A note on deriving the Pareto/NBD model and related expressions. Bemmaor, A. and
Glady, N. (2012), Modeling purchasing behavior with sudden "death": a flexible customer lifetime model, Management
Science 58(5).
"""

# ruff: noqa: ARG002  the signatures are those of the protocol

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy import special

from crmlytics._kernels.fitting import collapse
from crmlytics._kernels.lifetimes import FALL, LARGEST_LOG, NEGLIGIBLE, GammaGompertz, Lifetime, Pareto, nodes_of, take
from crmlytics._kernels.poisson_gamma import (
    NBD,
    buying_log_likelihood,
    buying_slopes,
    buying_sums,
    count_probabilities,
    mean_rate,
    worth_until,
)
from crmlytics._kernels.special import Vector, dot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crmlytics._kernels.lifetimes import Nodes
    from crmlytics._kernels.process import Params


@dataclass(frozen=True, slots=True)
class Silence:
    """What the time from the last purchase to T says, given that the customer was alive at t_x.

    Attributes
    ----------
    log_odds_gone : array (n,)
        Of having left by T; minus infinity if T is t_x.
    log_probability : array (n,)
        Of no purchase in that time, whether alive at T or not.
    slopes : array (k, n)
        Derivatives of ``log_probability`` by the parameters.
    """

    log_odds_gone: Vector
    log_probability: Vector
    slopes: Vector


@dataclass(frozen=True, slots=True)
class LifetimeNBD:
    """Customers buy at their own constant rate for a lifetime that does not depend on it.

    The parameters are r, alpha and those of the lifetime.
    """

    lifetime: Lifetime
    starts: tuple[tuple[float, ...], ...]
    buying: ClassVar[int] = 1
    forgets_recency: ClassVar[bool] = True

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters."""
        return ("r", "alpha", *self.lifetime.names)

    @property
    def time_powers(self) -> tuple[int, ...]:
        """In other time units a parameter is multiplied by ``factor ** power``."""
        return (0, 1, *self.lifetime.time_powers)

    def log_likelihood(self, params: Params, x: Vector, t_x: Vector, T: Vector) -> Vector:
        """Log-likelihood of each history, shape (n,)."""
        return self.log_likelihood_and_gradient(params, x, t_x, T)[0]

    def log_likelihood_and_gradient(self, params: Params, x: Vector, t_x: Vector, T: Vector) -> tuple[Vector, Vector]:
        """Log-likelihood of each history, shape (n,), and its derivatives by the parameters, shape (k, n)."""
        leaving = params[2:]
        silence = self._silence(params, x, t_x, T)
        value = buying_log_likelihood(params[:2], x, t_x) + self.lifetime.log_survival(leaving, np.zeros_like(t_x), t_x)
        slopes = np.vstack([buying_slopes(params[:2], x, t_x), self.lifetime.survival_slopes(leaving, t_x)])
        return value + silence.log_probability, slopes + silence.slopes

    def objective(self, x: Vector, t_x: Vector, T: Vector, weights: Vector) -> Callable[[Vector], tuple[float, Vector]]:
        """Return the function of k parameters that gives the weighted sum of log-likelihoods and its derivatives."""
        sums = buying_sums(x, t_x, weights)
        silent = t_x < T
        histories, silent_weights = (x[silent], t_x[silent], T[silent]), weights[silent]

        def total(params: Vector) -> tuple[float, Vector]:
            leaving = params[2:]
            value, by_buying = sums.log_likelihood(params[:2])
            value += dot(sums.T_weights, self.lifetime.log_survival(leaving, np.zeros_like(sums.T), sums.T))
            by_leaving = np.sum(sums.T_weights * self.lifetime.survival_slopes(leaving, sums.T), axis=1)
            silence = self._silence(params, *histories)
            value += dot(silent_weights, silence.log_probability)
            slopes = np.concatenate([by_buying, by_leaving])
            return value, slopes + np.sum(silent_weights * silence.slopes, axis=1)

        return total

    def alive_probability(self, params: Params, x: Vector, t_x: Vector, T: Vector) -> Vector:
        """P(alive at T), shape (n,)."""
        return np.asarray(special.expit(-self._silence(params, x, t_x, T).log_odds_gone))

    def survival_if_alive(self, params: Params, x: Vector, t_x: Vector, T: Vector, *, ahead: float | Vector) -> Vector:
        """P(alive at T + ahead | alive at T), shape (n,)."""
        return np.exp(self.lifetime.log_survival(params[2:], T, ahead))

    def expected_purchases_if_alive(
        self,
        params: Params,
        x: Vector,
        t_x: Vector,
        T: Vector,
        *,
        horizon: float | Vector,
    ) -> Vector:
        """Purchases expected in (T, T + horizon] of a customer alive at T, shape (n,)."""
        worth = _per_distinct(partial(self._mean_worth, rate=0.0), params[2:], T, horizon)
        return mean_rate(params, x, T) * worth

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
        """P(exactly 0, 1, ..., most purchases in (T, T + horizon] | alive at T), shape (n, most + 1).

        Either alive at the end, having made n purchases, or gone before it, having made n until then.
        """
        return _per_distinct(partial(self._counts, most), params, x, T, horizon)

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
        """Mean of the sum of ``exp(-rate * t)`` over purchases at T + t, 0 < t <= horizon, of a customer alive at T."""
        nearest = horizon if rate == 0 else min(horizon, NEGLIGIBLE / rate)  # what comes later is worth nothing
        worth = _per_distinct(partial(self._mean_worth, rate=rate), params[2:], T, nearest)
        return mean_rate(params, x, T) * worth

    def _silence(self, params: Params, x: Vector, t_x: Vector, T: Vector) -> Silence:
        """Judge the time since the last purchase: alive and waiting, or gone at one of the nodes."""
        alpha, leaving = params[1], params[2:]
        power, since = np.broadcast_to(params[0] + x, T.shape), alpha + t_x
        log_gone, gone_slopes = np.full(len(T), -np.inf), np.zeros((len(params), len(T)))
        for nodes in self._silent_nodes(leaving, power, alpha, t_x, T):
            rows, here = nodes.rows, take(leaving, nodes.rows)
            waited = np.log1p(nodes.elapsed / since[rows])
            mass = nodes.mass(here, -power[rows] * waited)
            total = mass.sum(axis=0)
            mean = partial(np.einsum, "ij,ij->j", mass / total)
            log_gone[rows] = np.log(total)
            gone_slopes[0, rows] = -mean(waited)
            gone_slopes[1, rows] = power[rows] / since[rows] * mean(-np.expm1(-waited))
            gone_slopes[2:, rows] = self.lifetime.density_slopes(here, nodes, mean)
        waited = np.log1p((T - t_x) / since)
        log_alive = self.lifetime.log_survival(leaving, t_x, T - t_x) - power * waited
        survival_slopes = self.lifetime.survival_slopes(leaving, T) - self.lifetime.survival_slopes(leaving, t_x)
        alive_slopes = np.vstack([-waited, power / since * (T - t_x) / (alpha + T), survival_slopes])
        gone = special.expit(log_gone - log_alive)
        slopes = gone * gone_slopes + (1 - gone) * alive_slopes
        return Silence(log_gone - log_alive, np.logaddexp(log_gone, log_alive), slopes)

    def _silent_nodes(
        self, leaving: Params, power: Vector, alpha: float | Vector, t_x: Vector, T: Vector
    ) -> Iterator[Nodes]:
        """Nodes from t_x to T for the density of lifetimes times ``(alpha + time) ** -power``."""
        since = alpha + t_x
        enough = since * np.expm1(np.minimum(FALL / np.maximum(power - 1, 1e-3), LARGEST_LOG))
        return nodes_of(
            self.lifetime,
            leaving,
            self.lifetime.frame(leaving, t_x, reach=alpha),
            np.minimum(T - t_x, enough),
            tail=leaving[-2],
            slope=lambda pace: power * np.minimum(1.0, pace / since),
        )

    def _mean_worth(self, leaving: Params, T: Vector, horizon: Vector, rate: float) -> Vector:
        """Mean of the integral of ``exp(-rate * t)`` over the time that a customer alive at T will stay.

        The time has a density before the horizon and a lump of those who stay longer at it: no term is negative.
        """
        worth = np.exp(self.lifetime.log_survival(leaving, T, horizon)) * worth_until(horizon, rate)
        for nodes in nodes_of(
            self.lifetime,
            leaving,
            self.lifetime.frame(leaving, T, reach=np.inf),
            horizon,
            tail=leaving[-2] - self.lifetime.growth,
            slope=lambda pace: 1 + rate * pace,
        ):
            mass = nodes.mass(take(leaving, nodes.rows))
            worth[nodes.rows] += np.sum(mass * worth_until(nodes.elapsed, rate), axis=0)
        return worth

    def _counts(self, most: int, params: Params, x: Vector, T: Vector, horizon: Vector) -> Vector:
        """P(0, 1, ..., most purchases): by the horizon, or by the node at which the customer leaves."""
        r, alpha, leaving = params[0], params[1], params[2:]
        shape, since = r + x, alpha + T
        stay = np.exp(self.lifetime.log_survival(leaving, T, horizon))
        counts = np.stack([stay * p for p in count_probabilities(shape, horizon / since, most)], axis=-1)
        power = np.maximum(shape, most)
        power = np.minimum(power, 9 * np.sqrt(power))  # where a peak is steeper than that, nothing is left of it
        for nodes in nodes_of(
            self.lifetime,
            leaving,
            self.lifetime.frame(leaving, T, reach=alpha),
            horizon,
            tail=leaving[-2],
            slope=lambda pace: power * np.minimum(1.0, pace / since),
        ):
            rows = nodes.rows
            mass = nodes.mass(take(leaving, rows))
            for n, p in enumerate(count_probabilities(shape[rows], nodes.elapsed / since[rows], most)):
                counts[rows, n] += np.sum(mass * p, axis=0)
        return counts


def _per_distinct(function: Callable[..., Vector], params: Params, *columns: float | Vector) -> Vector:
    """Evaluate a function of parameters and columns once for each distinct row of them."""
    varying = [i for i, value in enumerate(params) if np.ndim(value)]
    rows = np.broadcast_arrays(*columns, *(params[i] for i in varying))
    few = collapse(*(np.ascontiguousarray(column, dtype=float) for column in rows))
    chosen = list(params)
    for i, column in zip(varying, few.columns[len(columns) :], strict=True):
        chosen[i] = column
    return function(chosen, *few.columns[: len(columns)])[few.inverse]


__all__ = ["GAMMA_GOMPERTZ_NBD", "NBD", "PARETO_NBD", "LifetimeNBD"]

PARETO_NBD = LifetimeNBD(Pareto(), starts=((0.5, 0.3, 0.6, 0.4), (1.0, 1.0, 1.0, 1.0), (3.0, 0.5, 3.0, 3.0)))
GAMMA_GOMPERTZ_NBD = LifetimeNBD(
    GammaGompertz(), starts=((0.5, 0.3, 1.0, 0.6, 0.4), (1.0, 1.0, 3.0, 1.0, 3.0), (1.0, 1.0, 3.0, 0.5, 20.0))
)
