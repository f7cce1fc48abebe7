"""Slow, plain and independent versions of what the kernels of crmlytics.clv compute."""

import math

import numpy as np
import pytest
from scipy import special


def beta_geo_likelihood(r, alpha, a, b, x, t_x, T, *, first):
    """Likelihood of one history, in the words of the papers: alive at T, or dropped out at the last purchase."""
    k = x + first
    rising = math.exp(math.lgamma(r + x) - math.lgamma(r)) * alpha**r
    beta = math.exp(_log_beta(a, b))
    alive = math.exp(_log_beta(a, b + k)) / beta * (alpha + T) ** -(r + x)
    dead = math.exp(_log_beta(a + 1, b + k - 1)) / beta * (alpha + t_x) ** -(r + x) if k else 0.0
    return rising * (alive + dead)


def expected_purchases(r, alpha, a, b, x, t_x, T, horizon, *, first):
    """Sum over n of P(at least n purchases): alive, survived n - 1 dropouts, and a Poisson-gamma count of n or more.

    All terms are positive; slow for long horizons, so not how the library does it.
    """
    likelihood = beta_geo_likelihood(r, alpha, a, b, x, t_x, T, first=first)
    k = x + first
    beta = _log_beta(a, b + k) - _log_beta(a, b)
    alive = math.exp(math.lgamma(r + x) - math.lgamma(r) + r * math.log(alpha) + beta) * (alpha + T) ** -(r + x)
    z = horizon / (alpha + T + horizon)
    total, survived, n = 0.0, 1.0, 0
    while True:
        term = survived * float(special.betainc(n + 1, r + x, z))
        total += term
        if term < 1e-17 * total or n > 200_000:
            return alive / likelihood * total
        survived *= (b + k + n) / (a + b + k + n)
        n += 1


def gamma_gamma_likelihood(p, q, gamma, x, mean_spend):
    log_likelihood = (
        math.lgamma(p * x + q)
        - math.lgamma(p * x)
        - math.lgamma(q)
        + q * math.log(gamma)
        + (p * x - 1) * math.log(mean_spend)
        + p * x * math.log(x)
        - (p * x + q) * math.log(gamma + x * mean_spend)
    )
    return math.exp(log_likelihood)


def check_gradient(value, gradient, params):
    """Five-point differences in the log-parameters."""
    theta, h = np.log(params), 1e-3
    for j, step in enumerate(h * np.eye(len(theta))):
        near, far = value(theta + step) - value(theta - step), value(theta + 2 * step) - value(theta - 2 * step)
        assert gradient[j] * params[j] == pytest.approx((8 * near - far) / (12 * h), rel=1e-6, abs=1e-6)


def btyd_rows(lines, as_of, unit_days):
    """btyd_table in plain Python, from (customer, date, amount) lines."""
    days = {}
    for customer, day, amount in lines:
        if day < as_of:
            days.setdefault(customer, {}).setdefault(day, []).append(amount)
    rows = []
    for customer, by_day in sorted(days.items()):
        bought = {day: sum(amounts) for day, amounts in by_day.items() if sum(amounts) > 0 or min(amounts) >= 0}
        if not bought:
            continue
        first, last = min(bought), max(bought)
        later = [amount for day, amount in bought.items() if day != first]
        recency, T = (last - first).days / unit_days, ((as_of - first).days - 1) / unit_days
        rows.append((customer, len(later), recency, T, sum(later) / len(later) if later else None))
    return rows


def simulate(rng, customers, params, T, horizon, *, first, k=1):
    """Histories until T and what happens in the horizon after it, customer by customer of the model's own story."""
    r, alpha, a, b = params
    rate, leaving = rng.gamma(r, 1 / alpha, customers), rng.beta(a, b, customers)
    alive = rng.random(customers) >= leaving * first
    clock = np.zeros(customers)
    frequency, recency, future = np.zeros(customers), np.zeros(customers), np.zeros(customers)
    alive_at_T = np.zeros(customers, dtype=bool)
    running = alive.copy()
    while running.any():
        clock += rng.gamma(k, 1.0, customers) / np.maximum(rate, 1e-300)
        alive_at_T |= running & (clock > T)
        running &= clock <= T + horizon
        before = running & (clock <= T)
        frequency += before
        recency = np.where(before, clock, recency)
        future += running & ~before
        running &= rng.random(customers) >= leaving
    return frequency, recency, future, alive_at_T


def exact_log_likelihood(mp, params, x, t_x, T, *, first, k=1):
    """Log-likelihood of the (M)BG/CNBD-k in arithmetic of many digits: the formula of Reutterer et al. (2021)."""
    r, alpha, a, b = map(mp.mpf, params)
    x, t_x, T = map(mp.mpf, (x, t_x, T))
    s, c = r + k * x, x + first
    alive = mp.fsum(mp.rf(s, j) / mp.factorial(j) * (T - t_x) ** j / (alpha + T) ** (s + j) for j in range(k))
    dead = a / (b + c - 1) * (alpha + t_x) ** -s if c else 0
    stay = mp.beta(a, b + c) / mp.beta(a, b)
    return mp.log(mp.rf(r, k * x) * alpha**r * stay * (alive + dead) / mp.factorial(k - 1) ** x)


def exact_outlook(mp, params, x, T, horizon, *, first):
    """Survival and purchases expected of one alive at T, (M)BG/NBD, by the 2F1 of the papers in many digits."""
    r, alpha, a, b = map(mp.mpf, params)
    a += mp.mpf(10) ** -25 * (a == 1)  # beside the pole
    b, s, u = b + x + first, r + x, mp.mpf(horizon) / (alpha + mp.mpf(T))
    expected = (a + b - 1) / (a - 1) * (1 - mp.hyp2f1(s, a - 1, a + b - 1, -u))
    return mp.hyp2f1(s, a, a + b, -u), expected


def exact_sums(mp, params, x, t_x, T, horizon, *, first, k):
    """Survival and purchases expected of one alive at T, (M)BG/CNBD-k, summed over the number of phases."""
    r, alpha, a, b = map(mp.mpf, params)
    s, silent, b = r + k * x, (mp.mpf(T) - mp.mpf(t_x)) / (alpha + mp.mpf(T)), b + x + first
    weights = [mp.rf(s, j) / mp.factorial(j) * silent**j for j in range(k)]
    z = mp.mpf(horizon) / (alpha + mp.mpf(T) + mp.mpf(horizon))
    survival = expected = mp.mpf(0)
    for j, weight in enumerate(weights):
        probability, rest, stay, counted, n = (1 - z) ** (s + j), mp.mpf(1), mp.mpf(1), mp.mpf(0), 0
        while rest > mp.mpf(10) ** -26:
            survival += weight * probability * stay
            expected += weight * probability * counted
            rest -= probability
            probability *= z * (s + j + n) / (n + 1)
            n += 1
            if (n + j) % k == 0:  # a purchase
                bought = (n + j) // k - 1
                counted += stay
                stay *= (b + bought) / (a + b + bought)
    return survival / mp.fsum(weights), expected / mp.fsum(weights)


def _log_beta(a, b):
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
