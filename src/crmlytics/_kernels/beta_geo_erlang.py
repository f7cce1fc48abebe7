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
  the BG/NBD with 1 - θ for p; the others bring the rhythm of k phases. Where nearly everybody leaves (p > 0.95) the
  roots cancel, and a dozen purchases are everything there is.

References
----------
Platzer, M. and Reutterer, T. (2016), Ticking away the moments: timing regularity helps to better predict customer
activity, Marketing Science 35(5). Reutterer, T., Platzer, M. and Schröder, N. (2021), Leveraging purchase regularity
for predicting customer behavior the easy way, IJRM 38(1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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
RARELY_STAYS = 0.05  # below this chance to stay, powers of it are added up
RARE_PURCHASES, RARE_SURVIVED = 12, 30  # 0.05 ** 12 = 2e-16
RHYTHM_NODES = 24

Complex = npt.NDArray[np.complex128]


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
        """Log-likelihood of each history, less ``(k-1)`` times the sum of the logarithms of the times between purchases.

        These do not depend on the parameters. With s = r + k x and c = x + first chances to drop out, the rest is
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
        alive = self.alive_probability(params, x, t_x, T)
        dead, j = 1 - alive, np.arange(self.k)[:, None]
        in_phase = alive * self._phases(params, x, t_x, T)
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
        alive = np.log(self._ways(params, x, t_x, T).sum(axis=0))
        return np.asarray(special.expit(alive - self._log_odds_dead(params, x, t_x, T)))

    def survival_if_alive(self, params: Params, x: Vector, t_x: Vector, T: Vector, *, ahead: float | Vector) -> Vector:
        """P(alive at T + ahead | alive at T): the mean of ``(1-p)^(purchases)``."""
        return self._mean(_survival, params, x, t_x, T, ahead, cells=4 * SURVIVAL_NODES)

    def expected_purchases_if_alive(
        self, params: Params, x: Vector, t_x: Vector, T: Vector, *, horizon: float | Vector
    ) -> Vector:
        """Purchases in (T, T + horizon] of a customer alive at T: the sum of P(staying n - 1 times, n k-th phases)."""
        return self._mean(_expected, params, x, t_x, T, horizon, cells=4 * EXPECTED_NODES)

    def count_probabilities_if_alive(
        self, params: Params, x: Vector, t_x: Vector, T: Vector, *, horizon: float | Vector, most: int
    ) -> Vector:
        """P(n purchases in (T, T + horizon] | alive at T), shape (n, most + 1): stayed each time, or left at the n-th."""
        counts = partial(_count_probabilities, most=most)
        return self._mean(counts, params, x, t_x, T, horizon, cells=self.k * (most + 1))

    def discounted_purchases_if_alive(
        self, params: Params, x: Vector, t_x: Vector, T: Vector, *, horizon: float, rate: float
    ) -> Vector:
        """Mean of the sum of ``exp(-rate * t)`` over purchases at T + t, 0 < t <= horizon, of a customer alive at T."""
        if rate == 0:
            return self.expected_purchases_if_alive(params, x, t_x, T, horizon=horizon)
        discounted = partial(_discounted, rate=rate)
        return self._mean(discounted, params, x, t_x, T, horizon, cells=4 * DISCOUNTED_NODES * 2 * TIME_NODES)

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

    def _log_odds_dead(self, params: Params, x: Vector, t_x: Vector, T: Vector) -> Vector:
        """Relative to being alive with no phase passed since the last purchase."""
        r, alpha, a, b = as_arrays(params)
        silence = (r + self.k * x) * np.log1p((T - t_x) / (alpha + t_x))
        return log_odds_dead(a, b, x + self.first, silence)

    def _mean(
        self,
        function: Callable[..., Vector],
        params: Params,
        x: Vector,
        t_x: Vector,
        T: Vector,
        ahead: float | Vector,
        *,
        cells: int,
    ) -> Vector:
        """Mean over the phases since the last purchase, of which the function tells once for each distinct (x, T)."""
        r, alpha, a, b = as_arrays(params)
        columns = np.broadcast_arrays(
            a, b + (x + self.first), r + self.k * x, alpha + T, np.asarray(ahead, dtype=float)
        )
        rows = collapse(*columns)
        mean: Vector = np.zeros(1)
        for j, weight in enumerate(self._phases(params, x, t_x, T)):
            stay_a, stay_b, shape, scale, time = rows.columns
            of_phase = partial(function, self.k, self.k - j)
            value = in_chunks(of_phase, stay_a, stay_b, shape + j, scale, time, cells=cells)[rows.inverse]
            mean = mean + (weight * value.T).T
        return mean


# --- given the phases left to the next purchase: arrays of one entry per customer


def _survival(k: int, left: int, a: Vector, b: Vector, shape: Vector, scale: Vector, ahead: Vector) -> Vector:
    return _by_number(
        partial(_survival_of_few, k, left), partial(_survival_of_many, k, left), a, b, shape, ahead / scale
    )


def _expected(k: int, left: int, a: Vector, b: Vector, shape: Vector, scale: Vector, horizon: Vector) -> Vector:
    return _by_number(
        partial(_expected_of_few, k, left), partial(_expected_of_many, k, left), a, b, shape, horizon / scale
    )


def _discounted(
    k: int, left: int, a: Vector, b: Vector, shape: Vector, scale: Vector, horizon: Vector, *, rate: float
) -> Vector:
    fading_rate = rate * scale
    reach = np.minimum(horizon / scale, 60 / fading_rate)  # exp(-60) is left of the value of a later purchase
    few, many = partial(_discounted_of_few, k, left), partial(_discounted_of_many, k, left)
    return _by_number(few, many, a, b, shape, reach, fading_rate)


def _count_probabilities(
    k: int, left: int, a: Vector, b: Vector, shape: Vector, scale: Vector, horizon: Vector, *, most: int
) -> Vector:
    reach = horizon / scale
    probability = _purchases_exactly(k, left, shape, reach, most) * staying(a, b, most)
    probability[:, 1:] += at_least(shape, reach, _phase_of_purchase(k, left, most)) * leaving(a, b, most)
    return probability


def _by_number(
    few: Callable[..., Vector],
    many: Callable[..., Vector],
    a: Vector,
    b: Vector,
    shape: Vector,
    reach: Vector,
    *more: Vector,
) -> Vector:
    """Choose the way to add up: see the head of this module."""
    is_few = (shape * reach <= FEW_PHASES) & (reach <= 1)
    value = np.empty_like(shape)
    for chosen, way in ((is_few, few), (~is_few, many)):
        value[chosen] = way(*(column[chosen] for column in (a, b, shape, reach, *more)))
    return value


def _phase_of_purchase(k: int, left: int, most: int) -> Vector:
    """Which phase is the purchase 1, 2, ..., most."""
    return left + k * np.arange(float(most))


def _purchases_exactly(k: int, left: int, shape: Vector, reach: Vector, most: int) -> Vector:
    """P(phases enough for n purchases and no more), n = 0, ..., most."""
    phases = exactly(shape, reach, left + k * most - 1)
    return np.asarray(np.add.reduceat(phases, [0, *range(left, left + k * most, k)], axis=1))


def _survival_of_few(k: int, left: int, a: Vector, b: Vector, shape: Vector, reach: Vector) -> Vector:
    most = FEW_MOST // k + 1
    return np.asarray((_purchases_exactly(k, left, shape, reach, most) * staying(a, b, most)).sum(axis=1))


def _expected_of_few(k: int, left: int, a: Vector, b: Vector, shape: Vector, reach: Vector) -> Vector:
    most = FEW_MOST // k + 1
    reached = at_least(shape, reach, _phase_of_purchase(k, left, most))
    return np.asarray((reached * staying(a, b, most - 1)).sum(axis=1))


def _discounted_of_few(k: int, left: int, a: Vector, b: Vector, shape: Vector, reach: Vector, rate: Vector) -> Vector:
    most = FEW_MOST // k + 1
    return np.asarray((_value_reached(k, left, shape, reach, rate, most) * staying(a, b, most - 1)).sum(axis=1))


def _value_reached(k: int, left: int, shape: Vector, reach: Vector, rate: Vector, most: int) -> Vector:
    """Mean of ``exp(-rate t)`` over the time t of purchase 1, 2, ..., most; 0 for one beyond ``reach``.

    The time t of phase n has density ``exp(-shape v) (1 - exp(-v))^(n-1) / B(n, shape)`` in v = ln(1 + t).
    """
    n = _phase_of_purchase(k, left, most)
    v, mass = fading(shape, rate, np.log1p(reach), TIME_NODES, latest=n[-1])
    powers = (n - 1) * np.log(-np.expm1(-v))[:, :, None] - log_beta(n, shape[:, None])[:, None, :]
    return np.asarray((mass[:, :, None] * np.exp(powers)).sum(axis=1))


def _expected_of_many(k: int, left: int, a: Vector, b: Vector, shape: Vector, reach: Vector) -> Vector:
    dropout = dropout_of_buyers(a, b, shape, reach / k, EXPECTED_NODES)
    log_root = np.maximum(dropout.log_stay, math.log(RARELY_STAYS)) / k
    real = -np.expm1(log_root)
    value = -np.expm1(-shape[:, None] * np.log1p(real * reach[:, None])) / real
    for weight, turn in _turns(k):
        leave = 1 - np.exp(log_root) * turn
        term = (1 - np.exp(-shape[:, None] * np.log(1 + leave * reach[:, None]))) / leave
        value += weight * (turn ** (1 - left) * term).real
    value *= np.exp((1 - left) * log_root) / k
    reached = at_least(shape, reach, _phase_of_purchase(k, left, RARE_PURCHASES))
    return dropout.mean(_unless_rare(dropout.log_stay, value, reached))


def _discounted_of_many(k: int, left: int, a: Vector, b: Vector, shape: Vector, reach: Vector, rate: Vector) -> Vector:
    dropout = dropout_of_buyers(a, b, shape, np.minimum(reach, 1 / rate) / k, DISCOUNTED_NODES)
    log_root = np.maximum(dropout.log_stay, math.log(RARELY_STAYS)) / k
    real = -np.expm1(log_root)
    _, mass = fading(shape[:, None], rate[:, None] / real, np.log1p(real * reach[:, None]), TIME_NODES)
    value = shape[:, None] / real * mass.sum(axis=2)
    if k > 1:
        value += _rhythm(k, left, np.exp(log_root), shape, reach, rate)
    value *= np.exp((1 - left) * log_root) / k
    reached = _value_reached(k, left, shape, reach, rate, RARE_PURCHASES)
    return dropout.mean(_unless_rare(dropout.log_stay, value, reached))


def _rhythm(k: int, left: int, root: Vector, shape: Vector, reach: Vector, rate: Vector) -> Vector:
    """What the roots off the real axis add to discounted purchases, at many values of the real root.

    It is a smooth function of that root, known from ``RHYTHM_NODES`` of its values between 0 and 1.
    """
    nodes = np.polynomial.chebyshev.chebpts1(RHYTHM_NODES)
    v, mass = fading(shape, rate, np.log1p(reach), TIME_NODES)
    passed, power = -np.expm1(-v)[:, None, :], -(shape + 1)[:, None, None]
    value = np.zeros((len(shape), RHYTHM_NODES))
    for weight, turn in _turns(k):
        term = np.exp(power * np.log(1 - (nodes[:, None] + 1) / 2 * turn * passed)) * mass[:, None, :]
        value += weight * (turn ** (1 - left) * term.sum(axis=2)).real
    basis = np.polynomial.chebyshev.chebvander(nodes, RHYTHM_NODES - 1) * 2 / RHYTHM_NODES
    basis[:, 0] /= 2
    coefficients = shape * (value @ basis).T
    return np.asarray(np.polynomial.chebyshev.chebval(2 * root - 1, coefficients[:, :, None], tensor=False))


def _survival_of_many(k: int, left: int, a: Vector, b: Vector, shape: Vector, reach: Vector) -> Vector:
    dropout = dropout_of_survivors(a, b, shape, reach / k, SURVIVAL_NODES)
    few = shape[:, None] * np.exp(dropout.log_stay / k) * (reach / (1 + reach))[:, None] < 2 * k
    rare = few & (dropout.log_stay < math.log(RARELY_STAYS))
    log_root = np.where(rare, math.log(RARELY_STAYS), dropout.log_stay) / k
    log_real = np.log1p(-np.expm1(log_root) * reach[:, None])
    powers = np.arange(1 - left, k - left + 1)
    value = sum(np.exp((power + left - 1) * log_root) for power in powers)
    for weight, turn in _turns(k):
        log_ratio = np.log(1 + (1 - np.exp(log_root) * turn) * reach[:, None]) - log_real
        share = sum(np.exp((power + left - 1) * log_root) * turn**power for power in powers)
        value += weight * (share * np.exp(-shape[:, None] * log_ratio)).real
    log_value = np.log(value / k) - (left - 1) * log_root - shape[:, None] * log_real
    reached = _purchases_exactly(k, left, shape, reach, RARE_SURVIVED)
    with np.errstate(divide="ignore"):  # a chance below the smallest number is none
        log_rare = np.log(_powers(np.exp(dropout.log_stay), reached))
    return dropout.mean_of_exp(np.where(rare, log_rare, log_value))


def _turns(k: int) -> Iterator[tuple[int, complex]]:
    """The k-th roots of one above and on the left of zero, and how many they stand for."""
    for m in range(1, k // 2 + 1):
        yield (1 if 2 * m == k else 2), np.exp(2j * np.pi * m / k)


def _unless_rare(log_stay: Vector, value: Vector, reached: Vector) -> Vector:
    """Take the value, but where nearly everybody leaves, the sum over purchases ``reached`` after staying so often."""
    return np.where(log_stay < math.log(RARELY_STAYS), _powers(np.exp(log_stay), reached), value)


def _powers(stay: Vector, coefficients: Vector) -> Vector:
    """Return the sum of ``coefficients[:, n] * stay**n``, by Horner's rule."""
    total = np.zeros_like(stay)
    for coefficient in coefficients.T[::-1]:
        total = total * stay + coefficient[:, None]
    return total
