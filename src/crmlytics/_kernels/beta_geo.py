"""BG/NBD and MBG/NBD: customers buy at random times at a steady rate, and may leave for good after a purchase.

The rate varies over customers as Gamma(r, alpha), the probability p of leaving after a purchase as Beta(a, b). The
BG/NBD and the MBG/NBD differ in one thing: how often a customer had a chance to drop out. The BG/NBD lets that happen
after repeat purchases only (x chances), the MBG/NBD after the first purchase too (x + 1 chances).

Of a customer who is alive at T, the rate is Gamma(r + x, alpha + T), and p is Beta(a, b + chances).

References
----------
Fader, P., Hardie, B. and Lee, K. (2005), "Counting your customers" the easy way: an alternative to the Pareto/NBD
model, Marketing Science 24(2). Batislam, E., Denizel, M. and Filiztekin, A. (2007), Empirical validation and
comparison of models for customer base analysis, IJRM 24(3). Hoppe, D. and Wagner, U. (2007), Customer base analysis:
the case for a central variant of the betageometric/NBD model, Marketing JRM 3(2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy import special

from crmlytics._kernels.beta_geo_dropout import (
    dropout_of_buyers,
    dropout_of_survivors,
    fading,
    in_chunks,
    leaving,
    staying,
)
from crmlytics._kernels.special import Vector, digamma_rise, dot, log_rising

if TYPE_CHECKING:
    from collections.abc import Callable

    from crmlytics._kernels.process import Params


EXPECTED_NODES, SURVIVAL_NODES, DISCOUNTED_NODES = 40, 56, 32  # in each of four segments of p
TIME_NODES = 32  # in each of two segments


@dataclass(frozen=True, slots=True)
class BetaGeo:
    """The BG/NBD (``first`` = 0) and the MBG/NBD (``first`` = 1), a :class:`~crmlytics._kernels.process.Process`.

    Attributes
    ----------
    first : int
        Chances to drop out at the first purchase.
    """

    first: int

    names: ClassVar[tuple[str, ...]] = ("r", "alpha", "a", "b")
    time_powers: ClassVar[tuple[int, ...]] = (0, 1, 0, 0)
    starts: ClassVar[tuple[tuple[float, ...], ...]] = (
        (0.5, 0.3, 1.0, 2.0),
        (1.0, 1.0, 0.3, 3.0),
        (0.2, 0.1, 5.0, 20.0),
    )
    buying: ClassVar[int] = 1
    forgets_recency: ClassVar[bool] = True

    def log_likelihood(self, params: Params, x: Vector, t_x: Vector, T: Vector) -> Vector:
        """Log-likelihood of each history, k = x + first chances to drop out.

        ``Γ(r+x)/Γ(r) * alpha^r (alpha+T)^-(r+x) * B(a,b+k)/B(a,b) * (1 + odds that the customer is dead)``.
        """
        r, alpha, a, b = as_arrays(params)
        chances = x + self.first
        buying = log_rising(r, x) - r * np.log1p(T / alpha) - x * np.log(alpha + T)
        surviving = log_rising(b, chances) - log_rising(a + b, chances)
        return np.asarray(buying + surviving + np.logaddexp(0, self._log_odds_dead(params, x, t_x, T)))

    def log_likelihood_and_gradient(self, params: Params, x: Vector, t_x: Vector, T: Vector) -> tuple[Vector, Vector]:
        """Log-likelihood of each history, shape (n,), and its derivatives by r, alpha, a, b, shape (4, n)."""
        r, alpha, a, b = as_arrays(params)
        chances = x + self.first
        dead = special.expit(self._log_odds_dead(params, x, t_x, T))
        silence = np.log1p((T - t_x) / (alpha + t_x))
        by_r = digamma_rise(r, x) - np.log1p(T / alpha) + dead * silence
        by_alpha = (r * T / alpha - x) / (alpha + T) - dead * (r + x) * (T - t_x) / ((alpha + T) * (alpha + t_x))
        either = -digamma_rise(a + b, chances)
        by_a = either + dead / a
        by_b = either + digamma_rise(b, chances) - dead / (b + np.maximum(chances - 1, 0))
        return self.log_likelihood(params, x, t_x, T), np.stack([by_r, by_alpha, by_a, by_b])

    def objective(self, x: Vector, t_x: Vector, T: Vector, weights: Vector) -> Callable[[Vector], tuple[float, Vector]]:
        """Return the weighted sum over histories, with special functions evaluated once for each distinct x or T."""
        data = beta_geo_data(x, t_x, T, weights, self.first)
        return lambda params: beta_geo_total(params, data)

    def alive_probability(self, params: Params, x: Vector, t_x: Vector, T: Vector) -> Vector:
        """P(alive at T): the customer has used none of the chances to drop out."""
        return np.asarray(special.expit(-self._log_odds_dead(params, x, t_x, T)))

    def survival_if_alive(
        self,
        params: Params,
        x: Vector,
        t_x: Vector,  # noqa: ARG002  the protocol's signature
        T: Vector,
        *,
        ahead: float | Vector,
    ) -> Vector:
        """P(alive at T + ahead | alive at T): the mean of ``(1 + p ahead / (alpha+T))^-(r+x)`` over p."""
        shape, scale, a, stay = self._if_alive(params, x, T)
        return in_chunks(_survival, a, stay, shape, ahead / scale, cells=4 * SURVIVAL_NODES)

    def expected_purchases_if_alive(
        self,
        params: Params,
        x: Vector,
        t_x: Vector,  # noqa: ARG002  the protocol's signature
        T: Vector,
        *,
        horizon: float | Vector,
    ) -> Vector:
        """Purchases in (T, T + horizon] of a customer alive at T: ``(1 - (1 + p u)^-(r+x)) / p``, its mean over p.

        u = horizon / (alpha + T).
        """
        shape, scale, a, stay = self._if_alive(params, x, T)
        return in_chunks(_expected, a, stay, shape, horizon / scale, cells=4 * EXPECTED_NODES)

    def count_probabilities_if_alive(
        self,
        params: Params,
        x: Vector,
        t_x: Vector,  # noqa: ARG002  the protocol's signature
        T: Vector,
        *,
        horizon: float | Vector,
        most: int,
    ) -> Vector:
        """P(n purchases in (T, T + horizon] | alive at T), shape (n, most + 1): stayed each time, or left at the n-th.

        ``P(N = n) E[(1-p)^n] + P(N >= n) E[p (1-p)^(n-1)]``, where N, the purchases of one who never leaves, is
        negative binomial.
        """
        shape, scale, a, stay = self._if_alive(params, x, T)
        reach = np.broadcast_to(horizon / scale, shape.shape)
        probability = exactly(shape, reach, most) * staying(a, stay, most)
        probability[:, 1:] += at_least(shape, reach, np.arange(1.0, most + 1)) * leaving(a, stay, most)
        return probability

    def discounted_purchases_if_alive(
        self, params: Params, x: Vector, t_x: Vector, T: Vector, *, horizon: float, rate: float
    ) -> Vector:
        """Mean of the sum of ``exp(-rate * t)`` over purchases at T + t, 0 < t <= horizon, of a customer alive at T.

        ``(r+x)/(alpha+T) * integral of exp(-rate t) (1 + p t / (alpha+T))^-(r+x+1)`` over t, its mean over p.
        """
        if rate == 0:
            return self.expected_purchases_if_alive(params, x, t_x, T, horizon=horizon)
        shape, scale, a, stay = self._if_alive(params, x, T)
        cells = 4 * DISCOUNTED_NODES * 2 * TIME_NODES
        return in_chunks(_discounted, a, stay, shape, horizon / scale, rate * scale, cells=cells)

    def _log_odds_dead(self, params: Params, x: Vector, t_x: Vector, T: Vector) -> Vector:
        r, alpha, a, b = as_arrays(params)
        return log_odds_dead(a, b, x + self.first, (r + x) * np.log1p((T - t_x) / (alpha + t_x)))

    def _if_alive(self, params: Params, x: Vector, T: Vector) -> tuple[Vector, Vector, Vector, Vector]:
        """Return what is known of a customer alive at T: rate ~ Gamma(shape, scale) and p ~ Beta(a, stay)."""
        r, alpha, a, b = as_arrays(params)
        shape, scale, a, stay = np.broadcast_arrays(r + x, alpha + T, a, b + (x + self.first))
        return shape, scale, a, stay


BG_NBD = BetaGeo(first=0)
MBG_NBD = BetaGeo(first=1)


def as_arrays(params: Params) -> tuple[Vector, ...]:
    """Return each parameter as an array, of one value or of one per customer."""
    return tuple(np.asarray(value, dtype=float) for value in params)


def log_odds_dead(a: Vector, b: Vector, chances: Vector, silence: Vector) -> Vector:
    """Log-odds of having dropped out after the last purchase; minus infinity where there was no chance to.

    ``a / (b + k - 1) * exp(silence)`` with k chances; for one who cannot have left, silence is as unlikely as
    ``exp(-silence)``: ``((alpha + T) / (alpha + t_x)) ** -(r + x)``.
    """
    return np.where(chances > 0, np.log(a / (b + np.maximum(chances - 1, 0))) + silence, -np.inf)


def exactly(shape: Vector, reach: Vector, most: int) -> Vector:
    """P(n events in a time ``reach``), n = 0, ..., most, at a rate ~ Gamma(shape, 1): negative binomial."""
    shape, reach, n = shape[:, None], reach[:, None], np.arange(most + 1.0)
    log_ways = log_rising(shape, n) - special.gammaln(n + 1)
    return np.asarray(np.exp(log_ways + special.xlogy(n, reach / (1 + reach)) - shape * np.log1p(reach)))


def at_least(shape: Vector, reach: Vector, n: Vector) -> Vector:
    """P(at least n events in a time ``reach``) for several n >= 1, shape (rows, len(n))."""
    return np.asarray(special.betainc(n, shape[:, None], (reach / (1 + reach))[:, None]))


def _survival(a: Vector, b: Vector, shape: Vector, reach: Vector) -> Vector:
    dropout = dropout_of_survivors(a, b, shape, reach, SURVIVAL_NODES)
    return dropout.mean_of_exp(-shape[:, None] * np.log1p(np.exp(dropout.log_p) * reach[:, None]))


def _expected(a: Vector, b: Vector, shape: Vector, reach: Vector) -> Vector:
    dropout = dropout_of_buyers(a, b, shape, reach, EXPECTED_NODES)
    p = np.exp(dropout.log_p)
    return dropout.mean(-np.expm1(-shape[:, None] * np.log1p(p * reach[:, None])) / p)


def _discounted(a: Vector, b: Vector, shape: Vector, reach: Vector, rate: Vector) -> Vector:
    """Integrate over v = ln(1 + p t), where dropping out is an exponential; ``rate`` is per unit of the scale."""
    dropout = dropout_of_buyers(a, b, shape, np.minimum(reach, 1 / rate), DISCOUNTED_NODES)
    p = np.exp(dropout.log_p)
    _, mass = fading(shape[:, None], rate[:, None] / p, np.log1p(p * reach[:, None]), TIME_NODES)
    return dropout.mean(shape[:, None] / p * mass.sum(axis=2))


@dataclass(frozen=True, slots=True)
class BetaGeoData:
    """Purchase histories as the sums that the log-likelihood needs.

    Most of a customer's log-likelihood depends on x alone or on T alone, so its special functions are evaluated once
    for each distinct x or T. Only the odds of being dead need the whole row.

    Attributes
    ----------
    x, x_weights : arrays, one entry per distinct x
    T, T_weights, T_purchases : arrays, one entry per distinct T
        ``T_purchases`` is the weighted sum of x.
    first : int
        Chances to drop out at the first purchase: 0 (BG/NBD) or 1 (MBG/NBD).
    mortal_x, mortal_last, mortal_until, mortal_weights : arrays, one entry per row that had a chance to drop out
        Its x, t_x and T.
    """

    x: Vector
    x_weights: Vector
    T: Vector
    T_weights: Vector
    T_purchases: Vector
    first: int
    mortal_x: Vector
    mortal_last: Vector
    mortal_until: Vector
    mortal_weights: Vector


def beta_geo_data(x: Vector, t_x: Vector, T: Vector, weights: Vector, first: int) -> BetaGeoData:
    """Sum up purchase histories for :func:`beta_geo_total`."""
    distinct_x, at_x = np.unique(x, return_inverse=True)
    distinct_T, at_T = np.unique(T, return_inverse=True)
    mortal = x + first > 0
    return BetaGeoData(
        x=distinct_x,
        x_weights=np.bincount(at_x, weights).astype(float),
        T=distinct_T,
        T_weights=np.bincount(at_T, weights).astype(float),
        T_purchases=np.bincount(at_T, weights * x).astype(float),
        first=first,
        mortal_x=x[mortal],
        mortal_last=t_x[mortal],
        mortal_until=T[mortal],
        mortal_weights=weights[mortal],
    )


def beta_geo_total(params: Vector, data: BetaGeoData) -> tuple[float, Vector]:
    """Log-likelihood of all customers, and its derivatives by r, alpha, a, b: sums over customers, in one go."""
    r, alpha, a, b = params
    chances = data.x + data.first
    surviving, either = log_rising(b, chances) - log_rising(a + b, chances), -digamma_rise(a + b, chances)
    waited, log_rate = np.log1p(data.T / alpha), np.log(alpha + data.T)
    x, t_x, T, weights = data.mortal_x, data.mortal_last, data.mortal_until, data.mortal_weights
    silence, others = np.log1p((T - t_x) / (alpha + t_x)), b + (x + (data.first - 1))
    log_odds = (r + x) * silence + np.log(a / others)
    small = np.exp(-np.abs(log_odds))
    dead = weights * np.where(log_odds > 0, 1.0, small) / (1 + small)
    value = (
        dot(data.x_weights, log_rising(r, data.x) + surviving)
        - r * dot(data.T_weights, waited)
        - dot(data.T_purchases, log_rate)
        + dot(weights, np.maximum(log_odds, 0) + np.log1p(small))
    )
    by_r = dot(data.x_weights, digamma_rise(r, data.x)) - dot(data.T_weights, waited) + dot(dead, silence)
    by_alpha = np.sum((r / alpha * data.T * data.T_weights - data.T_purchases) / (alpha + data.T))
    by_alpha -= dot(dead, (r + x) * (T - t_x) / ((alpha + T) * (alpha + t_x)))
    by_a = dot(data.x_weights, either) + dead.sum() / a
    by_b = dot(data.x_weights, either + digamma_rise(b, chances)) - np.sum(dead / others)
    return float(value), np.array([by_r, by_alpha, by_a, by_b])
