"""Means over what is not known of a customer: the probability p of leaving after a purchase, and the purchase rate.

Of a customer who is alive, p ~ Beta(a, b) and the rate λ ~ Gamma(shape, scale), with the values of a, b, shape and
scale that the history has left. The closed forms of the papers (a 2F1) have poles at a = 1 and overflow for frequent
buyers; the integrals have neither. All arrays have one entry per customer; ``reach`` is a time divided by ``scale``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from crmlytics._kernels.special import Vector, log_beta

if TYPE_CHECKING:
    from collections.abc import Callable

TAIL = 38.0  # exp(-38) is below the rounding of a double
CELLS_PER_CHUNK = 30_000  # temporaries of 240 kB stay in the cache


@dataclass(frozen=True, slots=True)
class Dropout:
    """Nodes of a quadrature over p, arrays (rows, nodes).

    Attributes
    ----------
    log_p, log_stay : arrays
        ln p and ln(1 - p).
    log_mass : array
        Of the weight times ``p^(a-1) (1-p)^(b-1)``.
    log_total : array (rows,)
        ln B(a, b).
    """

    log_p: Vector
    log_stay: Vector
    log_mass: Vector
    log_total: Vector

    def mean(self, value: Vector) -> Vector:
        """Mean of a function of p that changes only where these nodes are dense; constants come out exactly."""
        mass = np.exp(self.log_mass - self.log_mass.max(axis=1, keepdims=True))
        return np.asarray((mass * value).sum(axis=1) / mass.sum(axis=1))

    def mean_of_exp(self, log_value: Vector) -> Vector:
        """Mean of ``exp(log_value)``, however small, where these nodes follow its product with the density of p."""
        return np.asarray(np.exp(special.logsumexp(self.log_mass + log_value, axis=1) - self.log_total))


def staying(a: Vector, b: Vector, most: int) -> Vector:
    """P(staying at each of 0, 1, ..., most chances to leave), the mean of ``(1 - p)^n``, shape (rows, most + 1)."""
    earlier = b[:, None] + np.arange(most)
    return np.asarray(np.cumprod(np.hstack([np.ones((len(b), 1)), earlier / (a[:, None] + earlier)]), axis=1), float)


def leaving(a: Vector, b: Vector, most: int) -> Vector:
    """P(staying at n - 1 chances and leaving at the n-th), n = 1, ..., most, shape (rows, most)."""
    a, b = a[:, None], b[:, None]
    return np.asarray(staying(a[:, 0], b[:, 0], most)[:, :-1] * (a / (a + (b + np.arange(most)))))


def in_chunks(function: Callable[..., Vector], *columns: Vector, cells: int) -> Vector:
    """Apply a function of several columns to slices of rows, each row of which takes ``cells`` numbers to work out."""
    columns = tuple(np.broadcast_arrays(*columns))
    rows = max(1, CELLS_PER_CHUNK // cells)
    starts = range(0, len(columns[0]), rows) or [0]
    return np.concatenate([function(*(column[start : start + rows] for column in columns)) for start in starts])


def dropout_of_buyers(a: Vector, b: Vector, shape: Vector, reach: Vector, count: int) -> Dropout:
    """Nodes for functions that bend where ``p * reach * shape`` is one: purchases expected of a customer.

    The integrand has two places where something happens: the peak of the beta density, and that bend.
    """
    peak = np.log((a + 1) / (b + 1))
    width = np.minimum(1.0, np.sqrt(1 / (a + 1) + 1 / (b + 1)))
    bend = np.minimum(0.0, -np.log(reach) - np.log1p(shape))
    return _dropout(a, b, count, peak=peak, width=width, bend=bend)


def dropout_of_survivors(a: Vector, b: Vector, shape: Vector, reach: Vector, count: int) -> Dropout:
    """Nodes where ``p^a (1 - p)^b (1 + p * reach)^-shape`` is: p of those who are still customers after ``reach``.

    In y = logit(p) that is ``exp(a y) (1 + e^y)^(shape - a - b) (1 + (1 + reach) e^y)^-shape``. Its slope is a on the
    left, -b on the right and a - shape between the bends at y = -ln(1 + reach) and 0. It has one peak, the positive
    root of a quadratic in e^y.
    """
    bend = -np.log1p(reach)
    spread = 1 + reach
    middle = b - a + reach * (shape - a)  # b v e^2 + middle e - a = 0
    root = np.sqrt(middle * middle + 4 * a * b * spread)
    odds = np.where(middle > 0, 2 * a / (root + np.abs(middle)), (root + np.abs(middle)) / (2 * b * spread))
    peak = np.log(odds)
    one, other = odds / (1 + odds) ** 2, spread * odds / (1 + spread * odds) ** 2
    curvature = np.maximum((a + b - shape) * one + shape * other, 0.0)
    width = np.minimum(1.0, 1 / np.sqrt(curvature + 1))
    bend = np.where(np.abs(peak - bend) > np.abs(peak), bend, 0.0)  # the one that the nodes of the peak do not see
    return _dropout(a, b, count, peak=peak, width=width, bend=bend)


def _dropout(a: Vector, b: Vector, count: int, *, peak: Vector, width: Vector, bend: Vector) -> Dropout:
    """Gauss-Legendre in y = logit(p), where something happens at ``peak`` and ``bend``.

    Between and beyond these places the integrand is nearly an exponential in y. So the line is cut into four segments
    of ``count`` nodes, each stretched by a sinh away from its place. What lies beyond the outermost nodes is a pure
    power of p, or of 1 - p, and is added in closed form.
    """
    bend = np.where(np.abs(bend - peak) < 1.5, peak - 1.5, bend)  # so near, the nodes of the peak see it too
    gap = np.abs(peak - bend)
    border = np.minimum(gap, (1 - width**2 + gap**2) / (2 * gap))  # where both stretches are equally fine
    below = bend < peak
    border = np.where(below, peak - border, peak + border)
    low, high = np.minimum(bend, peak), np.maximum(bend, peak)
    low_width, high_width = np.where(below, 1.0, width), np.where(below, width, 1.0)
    left = low - np.minimum(TAIL, 9 * low_width + 45 / a)
    right = high + np.minimum(TAIL, 9 * high_width + 45 / b)
    pieces = [
        (left[:, None], -np.log(a)[:, None]),
        _stretched(left, low, low, low_width, count),
        _stretched(low, border, low, low_width, count),
        _stretched(border, high, high, high_width, count),
        _stretched(high, right, high, high_width, count),
        (right[:, None], -np.log(b)[:, None]),
    ]
    y, log_weight = (np.hstack(columns) for columns in zip(*pieces, strict=True))
    log_p, log_stay = -np.logaddexp(0, -y), -np.logaddexp(0, y)
    return Dropout(log_p, log_stay, a[:, None] * log_p + b[:, None] * log_stay + log_weight, log_beta(a, b))


def _stretched(start: Vector, end: Vector, centre: Vector, width: Vector, count: int) -> tuple[Vector, Vector]:
    """Gauss-Legendre nodes from ``start`` to ``end`` in s, where y = centre + width * sinh(s), and log-weights in y."""
    nodes, weights = _legendre(count)
    first, last = np.arcsinh((start - centre) / width), np.arcsinh((end - centre) / width)
    half = (last - first)[:, None] / 2
    s = first[:, None] + half * (nodes + 1)
    with np.errstate(divide="ignore"):  # an empty segment weighs nothing: log 0
        return centre[:, None] + width[:, None] * np.sinh(s), np.log(half * weights * width[:, None] * np.cosh(s))


@cache
def _legendre(count: int) -> tuple[Vector, Vector]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return nodes, weights


def fading(slope: Vector, rate: Vector, end: Vector, count: int, *, latest: float = 1.0) -> tuple[Vector, Vector]:
    """Nodes v along a new last axis, and their weights, for integrals of ``exp(-slope v - rate expm1(v))`` to ``end``.

    Gauss-Legendre before and beyond v = ln(1 + 1/rate), where the second term takes over, to where 1e-17 is left, of
    the integrand or of its product with powers of v up to ``latest`` - 1.
    """
    nodes, weights = _legendre(count)
    tail = TAIL + 2.5 * (latest - 1)
    last = np.minimum(np.minimum(end, tail / slope), np.log1p(tail / rate))
    border = np.minimum(np.log1p(1 / rate), last)
    half = np.stack([border, last - border], axis=-1)[..., None] / 2
    v = np.stack([np.zeros_like(border), border], axis=-1)[..., None] + half * (1 + nodes)
    mass = half * weights * np.exp(-slope[..., None, None] * v - rate[..., None, None] * np.expm1(v))
    shape = (*border.shape, 2 * count)
    return v.reshape(shape), mass.reshape(shape)
