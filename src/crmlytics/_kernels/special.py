"""Special functions that neither overflow nor cancel, as functions on float arrays."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

Vector: TypeAlias = npt.NDArray[np.float64]
Number: TypeAlias = float | Vector

STIRLING_FROM = 16.0  # above, the series below are exact to 1e-17


def log_rising(z: Number, n: Number) -> Vector:
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


def digamma_rise(z: Number, n: Number) -> Vector:
    """Return ψ(z + n) - ψ(z), the derivative of ``log_rising`` by z."""
    z, n = np.broadcast_arrays(np.asarray(z, dtype=float), np.asarray(n, dtype=float))
    large = np.maximum(z, STIRLING_FROM)
    series = (
        np.log1p(n / large) + n / (2 * large * (large + n)) + _digamma_remainder(large + n) - _digamma_remainder(large)
    )
    small = np.minimum(z, STIRLING_FROM)
    return np.where(z > STIRLING_FROM, series, special.digamma(small + n) - special.digamma(small))


def log_beta(a: Number, b: Number) -> Vector:
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


def dot(u: Vector, v: Vector) -> float:
    """Sum of products, pairwise: the same whatever the number of BLAS threads, and no threads to wait for."""
    return float(np.sum(u * v))
