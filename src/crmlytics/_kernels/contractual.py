"""Shifted beta-geometric and beta discrete Weibull: how long customers under contract renew, as functions on arrays.

At every renewal a customer stays or leaves. A customer of propensity theta is still there after t renewals with
probability ``theta ** (t ** c)``; theta varies over customers as Beta(delta, gamma). So of all customers

``S(t) = B(gamma, delta + t^c) / B(gamma, delta)``

are left: the beta discrete Weibull (BdW). ``c = 1`` is the shifted beta-geometric (sBG), whose papers write alpha for
gamma and beta for delta. With c above 1 each customer becomes more likely to leave as time goes by, below 1 less.
Throughout ``params`` is (gamma, delta, c), and periods are whole numbers from 0.

References
----------
Fader, P. and Hardie, B. (2007), How to project customer retention, Journal of Interactive Marketing 21(1). Fader, P.
and Hardie, B. (2010), Customer-base valuation in a contractual setting: the perils of ignoring heterogeneity, Marketing
Science 29(1). Fader, P., Hardie, B., Liu, Y., Davin, J. and Steenburgh, T. (2018), "How to project customer retention"
revisited: the role of duration dependence, Journal of Interactive Marketing 43.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.special import STIRLING_FROM, Vector, digamma_rise, dot

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST_EXPONENT = 200.0  # t^c is held below exp(200): its cube is still a double
FORGOTTEN = 30.0  # exp(-30) = 1e-13
TINY = 1e-300
ROWS_PER_CHUNK = 65_536
STIRLING_REST = {3: -1 / 360, 5: 1 / 1260, 7: -1 / 1680, 9: 1 / 1188}  # of ln Gamma, after the term 1/(12 z)


def log_beta_moment(n: Vector | float, a: Vector | float, b: Vector | float) -> Vector:
    """Return ln E[theta^n] of theta ~ Beta(a, b) for real n >= 0: ``ln B(a + n, b) - ln B(a, b)``.

    Exact relative to its own size, however large ``a`` is beside it (n and b above 1e-5: to 1e-13). It is a second
    difference of ln Γ: a sum of terms of one sign while a is stepped up by Γ(a) = Γ(a + 1) / a, and from there on
    Stirling's series, differenced by hand.
    """
    n, z, b = (np.asarray(part, dtype=float) for part in np.broadcast_arrays(n, a, b))
    total = np.zeros(z.shape)
    while (small := z < STIRLING_FROM).any():
        total += np.where(small, _log_moment_step(n, z, b), 0.0)
        z = np.where(small, z + 1, z)
    return np.asarray(total + _log_moment_far_out(n, z, b))


def _log_moment_step(n: Vector, z: Vector, b: Vector) -> Vector:
    """``ln[z (z + n + b) / ((z + n)(z + b))]``, without cancellation where it is small or large."""
    lost = n / (z + n) * (b / (z + b))
    return np.where(lost < 0.5, np.log1p(-np.minimum(lost, 0.5)), np.log(z / (z + b)) + np.log1p(b / (z + n)))


def _log_moment_far_out(n: Vector, z: Vector, b: Vector) -> Vector:
    """Second difference of Stirling's ``(w - 1/2) ln w + 1/(12 w) + ...`` for z of 16 or more."""
    x, y = n / z, b / z
    both = np.log1p(x * y / (1 + x + y))
    main = z * (both - x * np.log1p(y / (1 + x)) - y * np.log1p(x / (1 + y))) - both / 2
    first = x * y * (2 + x + y) / (12 * z * (1 + x) * (1 + y) * (1 + x + y))
    rest = sum(share * _difference_of_power(power, x, y, both) * z**-power for power, share in STIRLING_REST.items())
    return np.asarray(main - first + rest)


def _difference_of_power(power: int, x: Vector, y: Vector, both: Vector) -> Vector:
    """``(1 + x)^-p + (1 + y)^-p - 1 - (1 + x + y)^-p`` in two terms of one sign; ``both`` is what logs differ by."""
    product = np.expm1(-power * np.log1p(x)) * np.expm1(-power * np.log1p(y))
    return np.asarray((1 + x + y) ** -power * np.expm1(-power * both) - product)


def _clock(c: float, period: Vector) -> tuple[Vector, Vector]:
    """``period ** c`` and its derivative by c."""
    log_period = np.log(np.maximum(period, 1.0))
    exponent = np.minimum(c * log_period, LARGEST_EXPONENT)
    time = np.where(period > 0, np.exp(exponent), 0.0)
    return time, np.where(exponent < LARGEST_EXPONENT, time * log_period, 0.0)


def _clock_steps(c: float, period: Vector) -> tuple[Vector, Vector, Vector, Vector]:
    """``(t-1)^c`` and ``t^c - (t-1)^c`` for periods t = 1, 2, ..., and their derivatives by c."""
    before, before_by_c = _clock(c, period - 1)
    after, after_by_c = _clock(c, period)
    step = np.where(before > 0, -after * np.expm1(c * np.log1p(-1 / np.maximum(period, 2.0))), after)
    step = np.where(after > before, step, 0.0)
    return before, step, before_by_c, after_by_c - before_by_c


def log_survival(params: Vector, period: Vector) -> Vector:
    """Return ln S(t), the logarithm of the share of all customers that make at least t renewals."""
    gamma, delta, c = params
    return log_beta_moment(_clock(c, np.asarray(period, dtype=float))[0], delta, gamma)


def log_renewal_probability(params: Vector, period: Vector) -> Vector:
    """Return ln r(t) = ln S(t) - ln S(t - 1) of the t-th renewal, t = 1, 2, ...

    For c = 1, ``r(t) = (delta + t - 1) / (gamma + delta + t - 1)``.
    """
    gamma, delta, c = params
    before, step, _, _ = _clock_steps(c, np.asarray(period, dtype=float))
    return log_beta_moment(step, delta + before, gamma)


def retention_objective(period: Vector, renewed: Vector, lost: Vector) -> Callable[[Vector], tuple[float, Vector]]:
    """Return the log-likelihood as a function of (gamma, delta, c), with its derivatives.

    ``sum over t of renewed(t) ln r(t) + lost(t) ln(1 - r(t))``: at its t-th renewal a customer renews or is lost, and
    customers still there at the end of their record are simply not asked again. So records may differ in length.

    Parameters
    ----------
    period : array
        Distinct t = 1, 2, ...
    renewed, lost : arrays
        How many customers made the t-th renewal, and how many left instead.
    """

    def objective(params: Vector) -> tuple[float, Vector]:
        gamma, delta, c = params
        before, step, before_by_c, step_by_c = _clock_steps(c, period)
        log_renewal = log_beta_moment(step, delta + before, gamma)
        churn = np.maximum(-np.expm1(log_renewal), TINY)
        value = dot(renewed, log_renewal) + dot(lost, np.log(churn))
        slope = renewed - lost * np.exp(log_renewal) / churn
        z = delta + before
        by_z = digamma_rise(z, step) - digamma_rise(z + gamma, step)
        by_step = -digamma_rise(z + step, gamma)
        by_gamma = -digamma_rise(z + gamma, step)
        by_c = by_z * before_by_c + by_step * step_by_c
        return value, np.array([dot(slope, by_gamma), dot(slope, by_z), dot(slope, by_c)])

    return objective


def expected_renewals(params: Vector, renewals: Vector, *, horizon: float, rate: float) -> Vector:
    """Discounted renewals to come of a customer who made ``renewals`` and stands before the next decision.

    ``sum over j = 1..horizon of S(n + j) / S(n) / (1 + rate)^(j - 1)``: the next renewal is not discounted, as in
    Fader and Hardie (2010), equation 6. With c = 1 and an infinite horizon that is their

    ``(delta + n) / (gamma + delta + n) * 2F1(1, delta + n + 1; gamma + delta + n + 1; 1 / (1 + rate))``,

    but summed, all terms being positive. Where the sum is cut off after J terms, the rest is at most
    ``(1 + rate)^-J`` of the whole, since S(n + J + j) <= S(n + j); J is chosen to make that 1e-13.

    Parameters
    ----------
    renewals : array of whole numbers
    horizon : float
        Whole number of renewals, or infinite if ``rate`` is above zero.
    rate : float
        Discount rate per period, 0 or more.
    """
    needed = FORGOTTEN / np.log1p(rate) if rate > 0 else np.inf
    steps = int(np.ceil(min(horizon, needed)))
    last = int(renewals.max())
    renewal = _renewal_probabilities(params, last + steps)
    ahead = _ahead(renewal, 1 / (1 + rate), last, steps if needed > horizon else None)
    return np.asarray(ahead[renewals.astype(np.int64)])


def _renewal_probabilities(params: Vector, last: int) -> Vector:
    """Return r(1), ..., r(last), in pieces that stay in the cache."""
    starts = range(1, last + 1, ROWS_PER_CHUNK)
    pieces = [np.arange(start, min(start + ROWS_PER_CHUNK, last + 1), dtype=float) for start in starts]
    return np.asarray(np.exp(np.concatenate([log_renewal_probability(params, piece) for piece in pieces])))


def _ahead(renewal: Vector, discount: float, last: int, steps: int | None) -> Vector:
    """Return the discounted renewals ahead of a customer with 0, 1, ..., last renewals.

    With a limit of ``steps``, from the definition, all customers at once; without, backwards from the end of
    ``renewal`` by ``ahead(n) = r(n + 1) (1 + discount * ahead(n + 1))``.
    """
    if steps is not None:
        total, still = np.zeros(last + 1), np.ones(last + 1)
        for j in range(steps):
            still = still * renewal[j : j + last + 1]
            total += still
            still = still * discount
        return total
    ahead, value = np.zeros(last + 1), 0.0
    for n in range(len(renewal) - 1, -1, -1):
        value = renewal[n] * (1 + discount * value)
        if n <= last:
            ahead[n] = value
    return ahead
