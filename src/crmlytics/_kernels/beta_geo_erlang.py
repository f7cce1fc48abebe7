"""BG/CNBD-k and MBG/CNBD-k: as BG/NBD and MBG/NBD, but with regular purchases.

The time between two purchases is the sum of k exponentials, called phases, at the customer's rate λ ~ Gamma(r, alpha).
After a purchase the customer leaves with probability p ~ Beta(a, b). k = 1 is the (M)BG/NBD.

A customer alive at T has passed j = 0, ..., k - 1 phases since the last purchase. Given j, the rate is
Gamma(r + k x + j, alpha + T), and the phases passed in a time ahead are negative binomial. Of these, every k-th is a
purchase, the first after ``left`` = k - j. There are two ways to add up purchases and chances to leave.

- Few phases: sum over purchases, all terms positive. Taken where at most 20 phases are expected, and the time ahead is
  at most ``alpha + T``; then more than 120 phases have probability below 1e-16 of what is added up.
- Many phases: given p, ``(1-p)^(purchases)`` is a sum of k powers ``θ^phases``, where θ runs over the k-th roots of
  1 - p, and the mean of such a power over phases and rates is ``(1 + u (1-θ))^-shape``. The root on the real axis is
  the BG/NBD with 1 - θ for p; the others bring the rhythm of k phases. Where nearly everybody leaves (p > 0.999)
  the roots cancel, and half a dozen purchases are everything there is.

References
----------
Reutterer, T., Platzer, M. and Schröder, N. (2021), Leveraging purchase regularity
for predicting customer behavior the easy way, IJRM 38(1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import special

from crmlytics._kernels.beta_geo import (
    DISCOUNTED_NODES,
    EXPECTED_NODES,
    SURVIVAL_NODES,
    TIME_NODES,
    BetaGeo,
    as_arrays,
    at_least,
    exactly,
    log_odds_dead,
)
from crmlytics._kernels.beta_geo_dropout import (
    dropout_of_buyers,
    dropout_of_survivors,
    fading,
    in_chunks,
    leaving,
    staying,
)
from crmlytics._kernels.fitting import collapse
from crmlytics._kernels.process import summed
from crmlytics._kernels.special import Vector, digamma_rise, log_beta, log_rising

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crmlytics._kernels.process import Params

FEW_PHASES, FEW_MOST = 20.0, 120  # expected, and added up
LOG_RARELY = math.log(1e-3)  # below this chance to stay, its powers are added up
RARE_PURCHASES, RARE_SURVIVED = 6, 30  # 1e-3 ** 6 is below the rounding of a double
RHYTHM_NODES, RHYTHM_TIME_NODES, RARE_TIME_NODES = 20, 32, 64


@dataclass(frozen=True, slots=True)
class BetaGeoErlang:
    """The BG/CNBD-k (``first`` = 0) and MBG/CNBD-k (``first`` = 1), a :class:`~crmlytics._kernels.process.Process`.

    Attributes
    ----------
    first : int
        Chances to drop out at the first purchase.
    k : int
        Phases from one purchase to the next, >= 1: the larger, the more regular.
    """

    first: int
    k: int

    names: ClassVar[tuple[str, ...]] = BetaGeo.names
    time_powers: ClassVar[tuple[int, ...]] = BetaGeo.time_powers
    buying: ClassVar[int] = BetaGeo.buying
    forgets_recency: ClassVar[bool] = False

    @property
    def starts(self) -> tuple[tuple[float, ...], ...]:
        """Those of the BG/NBD: k times as many phases in the same time."""
        return tuple((r, alpha / self.k, a, b) for r, alpha, a, b in BetaGeo.starts)

    def log_likelihood(self, params: Params, x: Vector, t_x: Vector, T: Vector) -> Vector:
        """Log-likelihood of each history, less ``k - 1`` times the sum of the logarithms of times between purchases.

        That sum does not depend on the parameters. With s = r + k x and c = x + first chances to drop out, the rest is
        ``(k-1)!^-x Γ(s)/Γ(r) alpha^r (alpha+T)^-s B(a,b+c)/B(a,b)`` times
        ``sum over j < k of Γ(s+j)/(Γ(s) j!) ((T-t_x)/(alpha+T))^j`` + odds that the customer is dead.
        """
        r, alpha, a, b = as_arrays(params)
        phases, chances = self.k * x, x + self.first
        buying = log_rising(r, phases) - r * np.log1p(T / alpha) - phases * np.log(alpha + T)
        surviving = log_rising(b, chances) - log_rising(a + b, chances) - x * math.lgamma(self.k)
        alive = np.log(self._ways(params, x, t_x, T).sum(axis=0))
        return np.asarray(buying + surviving + np.logaddexp(alive, self._log_odds_dead(params, x, t_x, T)))

    def log_likelihood_and_gradient(self, params: Params, x: Vector, t_x: Vector, T: Vector) -> tuple[Vector, Vector]:
        """Log-likelihood of each history, shape (n,), and its derivatives by r, alpha, a, b, shape (4, n)."""
        r, alpha, a, b = as_arrays(params)
        shape, chances = r + self.k * x, x + self.first
        in_phase = self.alive_probability(params, x, t_x, T) * self._phases(params, x, t_x, T)
        dead, j = special.expit(-self._log_odds_alive(params, x, t_x, T)), np.arange(float(self.k))[:, None]
        silence, slope = np.log1p((T - t_x) / (alpha + t_x)), (T - t_x) / ((alpha + T) * (alpha + t_x))
        by_r = digamma_rise(r, self.k * x) - np.log1p(T / alpha) + dead * silence
        by_r += (in_phase * digamma_rise(shape, j)).sum(axis=0)
        by_alpha = (r * T / alpha - self.k * x - (in_phase * j).sum(axis=0)) / (alpha + T) - dead * shape * slope
        either = -digamma_rise(a + b, chances)
        by_a = either + dead / a
        by_b = either + digamma_rise(b, chances) - dead / (b + np.maximum(chances - 1, 0))
        return self.log_likelihood(params, x, t_x, T), np.stack([by_r, by_alpha, by_a, by_b])

    def objective(self, x: Vector, t_x: Vector, T: Vector, weights: Vector) -> Callable[[Vector], tuple[float, Vector]]:
        """Return the weighted sum over histories."""
        return summed(self, x, t_x, T, weights)

    def alive_probability(self, params: Params, x: Vector, t_x: Vector, T: Vector) -> Vector:
        """P(alive at T), the silence since t_x being some of the k phases."""
        return np.asarray(special.expit(self._log_odds_alive(params, x, t_x, T)))

    def survival_if_alive(self, params: Params, x: Vector, t_x: Vector, T: Vector, *, ahead: float | Vector) -> Vector:
        """P(alive at T + ahead | alive at T): the mean of ``(1-p)^(purchases)``."""
        return self._mean(_survival, params, (x, t_x, T), ahead, cells=4 * SURVIVAL_NODES)

    def expected_purchases_if_alive(
        self, params: Params, x: Vector, t_x: Vector, T: Vector, *, horizon: float | Vector
    ) -> Vector:
        """Purchases in (T, T + horizon] of a customer alive at T: the sum of P(staying n - 1 times, n k-th phases)."""
        return self._mean(_expected, params, (x, t_x, T), horizon, cells=4 * EXPECTED_NODES)

    def count_probabilities_if_alive(
        self, params: Params, x: Vector, t_x: Vector, T: Vector, *, horizon: float | Vector, most: int
    ) -> Vector:
        """P(n purchases in (T, T + horizon] | alive at T), shape (n, most + 1), as for the (M)BG/NBD."""
        counts = partial(_count_probabilities, most=most)
        return self._mean(counts, params, (x, t_x, T), horizon, cells=self.k * (most + 1))

    def discounted_purchases_if_alive(
        self, params: Params, x: Vector, t_x: Vector, T: Vector, *, horizon: float, rate: float
    ) -> Vector:
        """Mean of the sum of ``exp(-rate * t)`` over purchases at T + t, 0 < t <= horizon, of a customer alive at T."""
        if rate == 0:
            return self.expected_purchases_if_alive(params, x, t_x, T, horizon=horizon)
        discounted = partial(_discounted, rate=rate)
        return self._mean(discounted, params, (x, t_x, T), horizon, cells=4 * DISCOUNTED_NODES * 2 * TIME_NODES)

    def _ways(self, params: Params, x: Vector, t_x: Vector, T: Vector) -> Vector:
        """Likelihood of j = 0, ..., k - 1 phases since the last purchase, relative to none, shape (k, n)."""
        r, alpha, _, _ = as_arrays(params)
        shape, silent = r + self.k * x, (T - t_x) / (alpha + T)
        steps = [np.ones_like(silent), *((shape + j - 1) / j * silent for j in range(1, self.k))]
        return np.asarray(np.cumprod(np.stack(steps), axis=0), dtype=float)

    def _phases(self, params: Params, x: Vector, t_x: Vector, T: Vector) -> Vector:
        """P(j phases since the last purchase | alive at T), shape (k, n)."""
        ways = self._ways(params, x, t_x, T)
        return np.asarray(ways / ways.sum(axis=0))

    def _log_odds_alive(self, params: Params, x: Vector, t_x: Vector, T: Vector) -> Vector:
        return np.asarray(np.log(self._ways(params, x, t_x, T).sum(axis=0)) - self._log_odds_dead(params, x, t_x, T))

    def _log_odds_dead(self, params: Params, x: Vector, t_x: Vector, T: Vector) -> Vector:
        """Relative to being alive with no phase passed since the last purchase."""
        r, alpha, a, b = as_arrays(params)
        silence = (r + self.k * x) * np.log1p((T - t_x) / (alpha + t_x))
        return log_odds_dead(a, b, x + self.first, silence)

    def _mean(
        self,
        function: Callable[[Outlook], Vector],
        params: Params,
        histories: tuple[Vector, Vector, Vector],
        ahead: float | Vector,
        *,
        cells: int,
    ) -> Vector:
        """Mean over the phases since the last purchase; each phase is asked once for each distinct (x, T)."""
        x, t_x, T = histories
        r, alpha, a, b = as_arrays(params)
        columns = np.broadcast_arrays(
            a, b + (x + self.first), r + self.k * x, alpha + T, np.asarray(ahead, dtype=float)
        )
        rows = collapse(*columns)
        mean: Vector = np.zeros(1)
        for j, weight in enumerate(self._phases(params, x, t_x, T)):
            tell = partial(self._tell, function, j)
            value = in_chunks(tell, *rows.columns, cells=cells)[rows.inverse]
            mean = mean + (weight * value.T).T
        return mean

    def _tell(self, function: Callable[[Outlook], Vector], j: int, *columns: Vector) -> Vector:
        a, b, shape, scale, ahead = columns
        return function(Outlook(self.k, self.k - j, a, b, shape + j, scale, ahead / scale))


@dataclass(frozen=True, slots=True)
class Outlook:
    """Customers who are alive in the same phase: their rate ~ Gamma(shape, scale) and p ~ Beta(a, b); n of each.

    Attributes
    ----------
    k, left : int
        Phases from one purchase to the next, and from now to the next.
    a, b, shape, scale : arrays
    reach : array
        The time ahead, in units of the scale.
    """

    k: int
    left: int
    a: Vector
    b: Vector
    shape: Vector
    scale: Vector
    reach: Vector

    def at(self, rows: npt.NDArray[np.bool_]) -> Outlook:
        """Return those of these rows."""
        columns = (column[rows] for column in (self.a, self.b, self.shape, self.scale, self.reach))
        return Outlook(self.k, self.left, *columns)

    def phase_of_purchase(self, most: int) -> Vector:
        """Which phase is the purchase 1, 2, ..., most."""
        return self.left + self.k * np.arange(float(most))

    def reached(self, most: int) -> Vector:
        """P(at least 1, 2, ..., most purchases, were there no dropout)."""
        return at_least(self.shape, self.reach, self.phase_of_purchase(most))

    def exactly(self, most: int) -> Vector:
        """P(0, 1, ..., most purchases, were there no dropout)."""
        last = self.left + self.k * most
        phases = exactly(self.shape, self.reach, last - 1)
        return np.asarray(np.add.reduceat(phases, [0, *range(self.left, last, self.k)], axis=1))

    def value_reached(self, rate: float, most: int, count: int) -> Vector:
        """Mean of ``exp(-rate t)`` over the time t of purchase 1, 2, ..., most; 0 for one beyond ``reach``.

        Phase n comes with density ``exp(-shape v) (1 - exp(-v))^(n-1) / B(n, shape)`` in v = ln(1 + t / scale).
        """
        n = self.phase_of_purchase(most)
        v, mass = fading(self.shape, rate * self.scale, np.log1p(self.reach), count, latest=n[-1])
        log_density = (n - 1) * np.log(-np.expm1(-v))[:, :, None] - log_beta(n, self.shape[:, None])[:, None, :]
        return np.asarray((mass[:, :, None] * np.exp(log_density)).sum(axis=1))


def _by_number(few: Callable[[Outlook], Vector], many: Callable[[Outlook], Vector], of: Outlook) -> Vector:
    """Choose the way to add up: see the head of this module."""
    is_few = (of.shape * of.reach <= FEW_PHASES) & (of.reach <= 1)
    value = np.empty_like(of.shape)
    value[is_few], value[~is_few] = few(of.at(is_few)), many(of.at(~is_few))
    return value


def _survival(of: Outlook) -> Vector:
    return _by_number(_survival_of_few, _survival_of_many, of)


def _expected(of: Outlook) -> Vector:
    return _by_number(_expected_of_few, _expected_of_many, of)


def _discounted(of: Outlook, *, rate: float) -> Vector:
    near = replace(of, reach=np.minimum(of.reach, 60 / (rate * of.scale)))  # of later purchases exp(-60) is left
    return _by_number(partial(_discounted_of_few, rate=rate), partial(_discounted_of_many, rate=rate), near)


def _count_probabilities(of: Outlook, *, most: int) -> Vector:
    probability = of.exactly(most) * staying(of.a, of.b, most)
    probability[:, 1:] += of.reached(most) * leaving(of.a, of.b, most)
    return np.asarray(probability)


def _survival_of_few(of: Outlook) -> Vector:
    most = FEW_MOST // of.k + 1
    return np.asarray((of.exactly(most) * staying(of.a, of.b, most)).sum(axis=1))


def _expected_of_few(of: Outlook) -> Vector:
    most = FEW_MOST // of.k + 1
    return np.asarray((of.reached(most) * staying(of.a, of.b, most - 1)).sum(axis=1))


def _discounted_of_few(of: Outlook, *, rate: float) -> Vector:
    most = FEW_MOST // of.k + 1
    return np.asarray((of.value_reached(rate, most, TIME_NODES) * staying(of.a, of.b, most - 1)).sum(axis=1))


def _expected_of_many(of: Outlook) -> Vector:
    """Mean over p of the sum over the roots θ of ``θ^(1-left) (1 - (1 + reach (1-θ))^-shape) / (k (1-θ))``."""
    dropout = dropout_of_buyers(of.a, of.b, of.shape, of.reach / of.k, EXPECTED_NODES)
    log_root, shape, reach = _log_root(dropout.log_stay, of.k), of.shape[:, None], of.reach[:, None]
    leave = -np.expm1(log_root)
    value = -np.expm1(-shape * np.log1p(leave * reach)) / leave
    for weight, turn in _turns(of.k):
        leave_turned = 1 - np.exp(log_root) * turn
        term = (1 - np.exp(-shape * np.log(1 + leave_turned * reach))) / leave_turned
        value += weight * (turn ** (1 - of.left) * term).real
    value *= np.exp((1 - of.left) * log_root) / of.k
    return dropout.mean(_unless_rare(dropout.log_stay, value, of.reached(RARE_PURCHASES)))


def _discounted_of_many(of: Outlook, *, rate: float) -> Vector:
    """As expected, ``(1 - (1 + reach (1-θ))^-shape) / (1-θ)`` being an integral over time, which now is discounted."""
    fade = rate * of.scale
    dropout = dropout_of_buyers(of.a, of.b, of.shape, np.minimum(of.reach, 1 / fade) / of.k, DISCOUNTED_NODES)
    log_root, shape = _log_root(dropout.log_stay, of.k), of.shape[:, None]
    leave = -np.expm1(log_root)
    _, mass = fading(shape, fade[:, None] / leave, np.log1p(leave * of.reach[:, None]), TIME_NODES)
    value = shape / leave * mass.sum(axis=2) + _rhythm(of, np.exp(log_root), fade)
    value *= np.exp((1 - of.left) * log_root) / of.k
    return dropout.mean(_unless_rare(dropout.log_stay, value, of.value_reached(rate, RARE_PURCHASES, RARE_TIME_NODES)))


def _rhythm(of: Outlook, root: Vector, fade: Vector) -> Vector:
    """Return what the roots off the positive axis add to discounted purchases, at many values of the positive root.

    It is a smooth function of that root, known from ``RHYTHM_NODES`` of its values between 0 and 1.
    """
    nodes = np.polynomial.chebyshev.chebpts1(RHYTHM_NODES)
    v, mass = fading(of.shape, fade, np.log1p(of.reach), RHYTHM_TIME_NODES)
    passed, power = -np.expm1(-v)[:, None, :], -(of.shape + 1)[:, None, None]
    value = np.zeros((len(of.shape), RHYTHM_NODES))
    for weight, turn in _turns(of.k):
        term = np.exp(power * np.log(1 - (nodes[:, None] + 1) / 2 * turn * passed)) * mass[:, None, :]
        value += weight * (turn ** (1 - of.left) * term.sum(axis=2)).real
    basis = np.polynomial.chebyshev.chebvander(nodes, RHYTHM_NODES - 1) * 2 / RHYTHM_NODES
    basis[:, 0] /= 2
    coefficients = of.shape * (value @ basis).T
    return np.asarray(np.polynomial.chebyshev.chebval(2 * root - 1, coefficients[:, :, None], tensor=False))


def _survival_of_many(of: Outlook) -> Vector:
    """Mean over p of the sum over the roots θ of ``(θ^(1-left) + ... + θ^(k-left)) (1 + reach (1-θ))^-shape / k``."""
    dropout = dropout_of_survivors(of.a, of.b, of.shape, of.reach / of.k, SURVIVAL_NODES)
    shape, reach = of.shape[:, None], of.reach[:, None]
    survived = np.exp(dropout.log_stay / of.k) * shape * reach / (1 + reach)  # hardly more phases among survivors
    rare = (survived < 2 * of.k) & (dropout.log_stay < LOG_RARELY)
    log_root = np.where(rare, LOG_RARELY, dropout.log_stay) / of.k
    log_spread = np.log1p(-np.expm1(log_root) * reach)
    value = np.exp(np.arange(of.k) * log_root[:, :, None]).sum(axis=2)
    for weight, turn in _turns(of.k):
        ratio = np.log(1 + (1 - np.exp(log_root) * turn) * reach) - log_spread
        share = sum(np.exp(i * log_root) * turn ** (i + 1 - of.left) for i in range(of.k))
        value += weight * (share * np.exp(-shape * ratio)).real
    log_value = np.log(value / of.k) + (1 - of.left) * log_root - shape * log_spread
    with np.errstate(divide="ignore"):  # a chance below the smallest number is none
        log_rare = np.log(_powers(np.exp(dropout.log_stay), of.exactly(RARE_SURVIVED)))
    return dropout.mean_of_exp(np.where(rare, log_rare, log_value))


def _log_root(log_stay: Vector, k: int) -> Vector:
    """Logarithm of the k-th root of 1 - p, where the roots are used."""
    return np.asarray(np.maximum(log_stay, LOG_RARELY) / k)


def _turns(k: int) -> Iterator[tuple[int, complex]]:
    """Yield the k-th roots of one above and on the left of zero, and how many each stands for."""
    for m in range(1, k // 2 + 1):
        yield (1 if 2 * m == k else 2), np.exp(2j * np.pi * m / k)


def _unless_rare(log_stay: Vector, value: Vector, reached: Vector) -> Vector:
    """Take the value, but where nearly everybody leaves, the sum over purchases ``reached`` after staying so often."""
    return np.where(log_stay < LOG_RARELY, _powers(np.exp(log_stay), reached), value)


def _powers(stay: Vector, coefficients: Vector) -> Vector:
    """Return the sum of ``coefficients[:, n] * stay**n``, by Horner's rule."""
    total = np.zeros_like(stay)
    for coefficient in coefficients.T[::-1]:
        total = total * stay + coefficient[:, None]
    return total
