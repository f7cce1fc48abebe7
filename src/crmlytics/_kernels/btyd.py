"""Likelihoods and expectations of the "buy till you die" models, as functions on contiguous float arrays.

One customer is ``x`` repeat purchases, the last of them ``t_x`` after the first purchase, watched until ``T``.

The BG/NBD and the MBG/NBD differ in one thing: how often a customer had a chance to drop out. After a purchase a
customer leaves with probability p; the BG/NBD lets that happen after repeat purchases only (``x`` chances), the
MBG/NBD after the first purchase too (``x + 1`` chances). So every function takes ``chances`` and serves both.

References
----------
Fader, P., Hardie, B. and Lee, K. (2005), "Counting your customers" the easy way: an alternative to the Pareto/NBD
model, Marketing Science 24(2). Batislam, E., Denizel, M. and Filiztekin, A. (2007), Empirical validation and
comparison of models for customer base analysis, IJRM 24(3). Hoppe, D. and Wagner, U. (2007), Customer base analysis:
the case for a central variant of the betageometric/NBD model, Marketing JRM 3(2). Fader, P. and Hardie, B. (2013), The
Gamma-Gamma model of monetary value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

Vector: TypeAlias = npt.NDArray[np.float64]

STIRLING_FROM = 16.0  # above, the series below are exact to 1e-17
NODES_PER_SEGMENT = 40
TAIL = 38.0  # exp(-38) is below the rounding of a double
ROWS_PER_CHUNK = 4096  # 4096 rows x 160 nodes keep every temporary near 5 MB


# --- special functions that neither overflow nor cancel


def log_rising(z: Vector, n: Vector) -> Vector:
    """Return ln Γ(z + n) - ln Γ(z) for z > 0, n >= 0, without the cancellation that large z brings."""
    z, n = np.broadcast_arrays(np.asarray(z, dtype=float), np.asarray(n, dtype=float))
    large = np.maximum(z, STIRLING_FROM)
    series = (
        n * np.log(large)
        + (large + n - 0.5) * np.log1p(n / large)
        - n
        + _stirling_remainder(large + n)
        - _stirling_remainder(large)
    )
    small = np.minimum(z, STIRLING_FROM)
    return np.where(z > STIRLING_FROM, series, special.gammaln(small + n) - special.gammaln(small))


def digamma_rise(z: Vector, n: Vector) -> Vector:
    """Return ψ(z + n) - ψ(z), the derivative of ``log_rising`` by z."""
    z, n = np.broadcast_arrays(np.asarray(z, dtype=float), np.asarray(n, dtype=float))
    large = np.maximum(z, STIRLING_FROM)
    series = (
        np.log1p(n / large) + n / (2 * large * (large + n)) + _digamma_remainder(large + n) - _digamma_remainder(large)
    )
    small = np.minimum(z, STIRLING_FROM)
    return np.where(z > STIRLING_FROM, series, special.digamma(small + n) - special.digamma(small))


def log_beta(a: Vector, b: Vector) -> Vector:
    """Return ln B(a, b) for a, b > 0."""
    larger, smaller = np.maximum(a, b), np.minimum(a, b)
    return np.asarray(special.gammaln(smaller) - log_rising(larger, smaller))


def _stirling_remainder(z: Vector) -> Vector:
    inverse = 1 / z
    square = inverse * inverse
    tail = 1 / 1680 - square * (1 / 1188 - square * 691 / 360360)
    return inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * tail)))


def _digamma_remainder(z: Vector) -> Vector:
    square = 1 / (z * z)
    tail = 1 / 240 - square * (1 / 132 - square * 691 / 32760)
    return -square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square * tail)))


# --- BG/NBD and MBG/NBD


def log_odds_dead(params: Vector, x: Vector, t_x: Vector, T: Vector, chances: Vector) -> Vector:
    """Log-odds that a customer has dropped out by ``T``; minus infinity where there was no chance to.

    ``a / (b + k - 1) * ((alpha + T) / (alpha + t_x)) ** (r + x)`` with k chances.
    """
    r, alpha, a, b = params
    possible = chances > 0
    log_odds = np.log(a / (b + np.where(possible, chances, 1) - 1)) + (r + x) * np.log1p((T - t_x) / (alpha + t_x))
    return np.where(possible, log_odds, -np.inf)


def beta_geo_log_likelihood(params: Vector, x: Vector, t_x: Vector, T: Vector, chances: Vector) -> Vector:
    """Log-likelihood of each customer; ``params`` is (r, alpha, a, b).

    ``Γ(r+x)/Γ(r) * alpha^r (alpha+T)^-(r+x) * B(a,b+k)/B(a,b) * (1 + odds that the customer is dead)``, k chances.
    """
    r, alpha, a, b = params
    buying = log_rising(r, x) - r * np.log1p(T / alpha) - x * np.log(alpha + T)
    surviving = log_rising(b, chances) - log_rising(a + b, chances)
    return np.asarray(buying + surviving + np.logaddexp(0, log_odds_dead(params, x, t_x, T, chances)))


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
        _dot(data.x_weights, log_rising(r, data.x) + surviving)
        - r * _dot(data.T_weights, waited)
        - _dot(data.T_purchases, log_rate)
        + _dot(weights, np.maximum(log_odds, 0) + np.log1p(small))
    )
    by_r = _dot(data.x_weights, digamma_rise(r, data.x)) - _dot(data.T_weights, waited) + _dot(dead, silence)
    by_alpha = np.sum((r / alpha * data.T * data.T_weights - data.T_purchases) / (alpha + data.T))
    by_alpha -= _dot(dead, (r + x) * (T - t_x) / ((alpha + T) * (alpha + t_x)))
    by_a = _dot(data.x_weights, either) + dead.sum() / a
    by_b = _dot(data.x_weights, either + digamma_rise(b, chances)) - np.sum(dead / others)
    return float(value), np.array([by_r, by_alpha, by_a, by_b])


def _dot(u: Vector, v: Vector) -> float:
    """Sum of products, pairwise: the same whatever the number of BLAS threads, and no threads to wait for."""
    return float(np.sum(u * v))


def alive_probability(params: Vector, x: Vector, t_x: Vector, T: Vector, chances: Vector) -> Vector:
    """P(the customer has not dropped out by ``T``)."""
    return np.asarray(special.expit(-log_odds_dead(params, x, t_x, T, chances)))


def purchase_probability_if_alive(params: Vector, x: Vector, T: Vector, horizon: float) -> Vector:
    """P(at least one purchase in (T, T + horizon]) of a customer who is alive at ``T``.

    ``1 - ((alpha + T) / (alpha + T + horizon)) ** (r + x)``: dropping out comes after a purchase, never before the
    next one, so only the gamma-distributed rate matters.
    """
    r, alpha, _, _ = params
    return np.asarray(-np.expm1(-(r + x) * np.log1p(horizon / (alpha + T))))


def expected_purchases_if_alive(params: Vector, x: Vector, T: Vector, chances: Vector, horizon: float) -> Vector:
    """Purchases expected in (T, T + horizon] of a customer who is alive at ``T``.

    Given the dropout probability p ~ Beta(a, b + chances) this is ``(1 - (1 + p u)^-(r+x)) / p`` with
    u = horizon / (alpha + T), and p is integrated out. The closed form of the paper (a 2F1) has poles at a = 1 and
    overflows for frequent buyers; the integral has neither.
    """
    r, alpha, a, b = params
    shape, reach, stay = np.broadcast_arrays(r + x, horizon / (alpha + T), b + chances)
    expected = np.empty(shape.shape)
    for start in range(0, len(expected), ROWS_PER_CHUNK):
        rows = slice(start, start + ROWS_PER_CHUNK)
        expected[rows] = _mean_over_dropout(a, stay[rows], shape[rows], reach[rows])
    return expected


def _mean_over_dropout(a: float, b: Vector, shape: Vector, reach: Vector) -> Vector:
    """Mean of ``(1 - (1 + p reach)^-shape) / p`` over p ~ Beta(a, b), by Gauss-Legendre in y = logit(p).

    The integrand has two places where something happens: the peak of the beta density, and the p at which
    ``p * reach * shape`` is one. Between and beyond them it is nearly an exponential in y. So the line is cut into
    four segments, each stretched by a sinh away from its place. What lies beyond the outermost nodes is a pure power
    of p, or of 1 - p, and is added in closed form. The density is normalised with the same nodes.
    """
    y, log_weight = _dropout_nodes(a, b, shape, reach)
    log_p, log_stay = -np.logaddexp(0, -y), -np.logaddexp(0, y)
    log_mass = a * log_p + b[:, None] * log_stay + log_weight
    mass = np.exp(log_mass - log_mass.max(axis=1, keepdims=True))
    p = np.exp(log_p)
    value = -np.expm1(-shape[:, None] * np.log1p(p * reach[:, None])) / p
    return np.asarray((mass * value).sum(axis=1) / mass.sum(axis=1))


def _dropout_nodes(a: float, b: Vector, shape: Vector, reach: Vector) -> tuple[Vector, Vector]:
    """Nodes y (rows, nodes) and the logarithms of their weights, the two tails included as first and last node."""
    peak = np.log((a + 1) / (b + 1))
    width = np.minimum(1.0, np.sqrt(1 / (a + 1) + 1 / (b + 1)))
    bend = np.minimum(0.0, -np.log(reach) - np.log1p(shape))
    bend = np.where(np.abs(bend - peak) < 1.5, peak - 1.5, bend)  # so near, the nodes of the peak see it too
    gap = np.abs(peak - bend)
    border = np.minimum(gap, (1 - width**2 + gap**2) / (2 * gap))  # where both stretches are equally fine
    below = bend < peak
    border = np.where(below, peak - border, peak + border)
    low, high = np.minimum(bend, peak), np.maximum(bend, peak)
    low_width, high_width = np.where(below, 1.0, width), np.where(below, width, 1.0)
    left = low - np.minimum(TAIL, 9 * low_width + 45 / a)
    right = np.maximum(high, peak + np.minimum(TAIL, 9 * width + 45 / b))
    pieces = [
        _stretched(left, low, low, low_width),
        _stretched(low, border, low, low_width),
        _stretched(border, high, high, high_width),
        _stretched(high, right, high, high_width),
    ]
    tails = (left[:, None], np.full((len(b), 1), -np.log(a))), (right[:, None], -np.log(b)[:, None])
    pieces = [tails[0], *pieces, tails[1]]
    return np.hstack([y for y, _ in pieces]), np.hstack([weight for _, weight in pieces])


def _stretched(start: Vector, end: Vector, centre: Vector, width: Vector) -> tuple[Vector, Vector]:
    """Gauss-Legendre nodes from ``start`` to ``end`` in s, where y = centre + width * sinh(s), and log-weights in y."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES_PER_SEGMENT)
    first, last = np.arcsinh((start - centre) / width), np.arcsinh((end - centre) / width)
    half = (last - first)[:, None] / 2
    s = first[:, None] + half * (nodes + 1)
    with np.errstate(divide="ignore"):  # an empty segment weighs nothing: log 0
        return centre[:, None] + width[:, None] * np.sinh(s), np.log(half * weights * width[:, None] * np.cosh(s))


# --- Gamma-Gamma


def gamma_gamma_log_likelihood(params: Vector, x: Vector, mean_spend: Vector) -> Vector:
    """Log-likelihood of a customer's mean spend over ``x`` purchases; ``params`` is (p, q, gamma).

    ``gamma^q m^(px-1) x^(px) / (B(px, q) (gamma + m x)^(px+q))``.
    """
    p, q, gamma = params
    total = x * mean_spend
    return np.asarray(
        -p * x * np.log1p(gamma / total) - q * np.log1p(total / gamma) - np.log(mean_spend) - log_beta(p * x, q),
    )


def gamma_gamma_gradient(params: Vector, x: Vector, mean_spend: Vector) -> Vector:
    """Return the derivatives of ``gamma_gamma_log_likelihood`` by p, q, gamma: an array of three rows."""
    p, q, gamma = params
    total = x * mean_spend
    by_p = x * (digamma_rise(p * x, q) - np.log1p(gamma / total))
    by_q = digamma_rise(q, p * x) - np.log1p(total / gamma)
    by_gamma = (q * total / gamma - p * x) / (gamma + total)
    return np.stack([by_p, by_q, by_gamma])


def expected_order_amount(params: Vector, x: Vector, mean_spend: Vector) -> Vector:
    """Mean amount of a customer's future orders: ``p (gamma + m x) / (p x + q - 1)``, infinite if p x + q <= 1."""
    p, q, gamma = params
    spent = np.where(x > 0, x * mean_spend, 0.0)
    divisor = p * x + q - 1
    return np.where(divisor > 0, p * (gamma + spent) / np.where(divisor > 0, divisor, 1.0), np.inf)
