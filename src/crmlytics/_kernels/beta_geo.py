"""BG/NBD and MBG/NBD: likelihoods and expectations as functions on contiguous float arrays.

One customer is ``x`` repeat purchases, the last of them ``t_x`` after the first purchase, watched until ``T``.

The BG/NBD and the MBG/NBD differ in one thing: how often a customer had a chance to drop out. After a purchase a
customer leaves with probability p; the BG/NBD lets that happen after repeat purchases only (``x`` chances), the
MBG/NBD after the first purchase too (``x + 1`` chances). So every function takes ``chances`` and serves both.

References
----------
Fader, P., Hardie, B. and Lee, K. (2005), "Counting your customers" the easy way: an alternative to the Pareto/NBD
model, Marketing Science 24(2). Batislam, E., Denizel, M. and Filiztekin, A. (2007), Empirical validation and
comparison of models for customer base analysis, IJRM 24(3). Hoppe, D. and Wagner, U. (2007), Customer base analysis:
the case for a central variant of the betageometric/NBD model, Marketing JRM 3(2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from crmlytics._kernels.special import Vector, digamma_rise, dot, log_rising

NODES_PER_SEGMENT = 40
TAIL = 38.0  # exp(-38) is below the rounding of a double
ROWS_PER_CHUNK = 4096  # 4096 rows x 160 nodes keep every temporary near 5 MB


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
