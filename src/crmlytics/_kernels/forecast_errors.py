"""How far past forecasts missed: intervals made from that, their coverage, and a test against another forecast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

ENOUGH_ORIGINS = 3
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class BackTest:
    """Forecasts made at past origins beside what came, each array of shape (origins, horizon); missing is NaN.

    Attributes
    ----------
    actual, forecast, scale : float64 array
        What came, what was forecast, and the typical amount known at the origin.
    benchmarks : float64 array, shape (benchmarks, origins, horizon)
        What others said at the same origins.
    """

    actual: Vector
    forecast: Vector
    benchmarks: Vector
    scale: Vector

    def benchmark(self, which: NDArray[np.int64]) -> Vector:
        """Return what one benchmark for each horizon said, shape (origins, horizon)."""
        chosen: Vector = self.benchmarks[which, :, np.arange(len(which))].T
        return chosen


def hardest(test: BackTest) -> NDArray[np.int64]:
    """Return for each horizon which benchmark missed least at the origins at which all of them could be told.

    One that could be told at fewer than three origins does not compete.
    """
    missed = np.abs(test.benchmarks - test.actual)
    chosen = np.zeros(test.actual.shape[1], np.int64)
    for step in range(len(chosen)):
        errors = missed[:, :, step]
        tried = np.isfinite(errors).sum(axis=1) >= ENOUGH_ORIGINS
        if tried.any():
            shared = np.isfinite(errors[tried]).all(axis=0)
            means = np.where(tried, np.where(shared, errors, 0.0).sum(axis=1), np.inf)
            size = float(means[tried].max())
            chosen[step] = int(np.argmin(np.round(means / (size if size > 0 else 1.0), 9)))  # of equal ones the first
    return chosen


def error_spread(test: BackTest) -> tuple[Vector, Vector]:
    """Return the root mean square error of each horizon, as a share of the typical amount, and the origins behind it.

    The first origin counts once, the second twice and so on: forecasts from few periods say little of one from many.
    The origins behind it are the number of equal ones that would be worth as much. The spread does not fall with the
    horizon: that a longer look ahead went better was luck.
    """
    errors = (test.actual - test.forecast) / test.scale
    known = np.isfinite(errors)
    weights = np.where(known, np.arange(1.0, len(errors) + 1)[:, None], 0.0)
    total = weights.sum(axis=0)
    some = known.any(axis=0)
    squares = (weights * np.where(known, errors, 0.0) ** 2).sum(axis=0)
    widest: Vector = np.maximum.accumulate(np.sqrt(squares / np.where(some, total, 1.0)))
    worth = total**2 / np.where(some, (weights**2).sum(axis=0), 1.0)
    enough = known.sum(axis=0) >= ENOUGH_ORIGINS
    return np.where(enough, widest, np.nan), worth


def half_widths(spread: Vector, origins: Vector, interval: float) -> Vector:
    """Return half the width of the interval: Student's t with as many degrees as origins; missing without a spread."""
    from scipy import stats

    width: Vector = stats.t.ppf((1 + interval) / 2, np.maximum(origins, 1.0)) * spread
    return width


def coverage(test: BackTest, interval: float) -> Vector:
    """Return how often what came lay in the interval that could be told then, from outcomes known at the origin."""
    inside, tried = np.zeros(test.actual.shape[1]), np.zeros(test.actual.shape[1])
    steps = np.arange(test.actual.shape[1])
    for row in range(ENOUGH_ORIGINS, len(test.actual)):
        told = np.arange(row)[:, None] + steps < row
        actual = np.where(told, test.actual[:row], np.nan)
        before = BackTest(actual, test.forecast[:row], test.benchmarks[:, :row], test.scale[:row])
        width = half_widths(*error_spread(before), interval)
        missed = np.abs(test.actual[row] - test.forecast[row]) / test.scale[row]
        known = np.isfinite(missed) & np.isfinite(width)
        tried += known
        inside += known & (missed <= width)
    share: Vector = np.where(tried > 0, inside / np.maximum(tried, 1), np.nan)
    return share


def compare_errors(mine: Vector, others: Vector, horizon: int) -> tuple[float, float]:
    """Test whether absolute errors differ on average: their mean difference and a two-sided p-value.

    After Diebold & Mariano (1995). Errors ``horizon`` periods ahead overlap, so the variance of the mean is that of
    the slowest B = (n - 1) / horizon (rounded down) waves in the differences, the cosines of Lazarus, Lewis, Stock &
    Watson (2018): never below zero, and Student's t with B degrees is its distribution. One period ahead this is the
    paired t test. Missing with no more origins than ``horizon``, with fewer than three, or without any variance.
    """
    from scipy import stats

    known = np.isfinite(mine) & np.isfinite(others)
    difference = np.abs(mine[known]) - np.abs(others[known])
    n = len(difference)
    mean = float(difference.mean()) if n else float("nan")
    waves = (n - 1) // horizon
    if n < ENOUGH_ORIGINS or waves < 1:
        return mean, float("nan")
    cosines = np.cos(np.pi * np.arange(1, waves + 1)[:, None] * (np.arange(n) + 0.5) / n) * np.sqrt(2 / n)
    variance = float(np.mean((cosines @ (difference - mean)) ** 2)) / n
    size = max(float(np.abs(mine[known]).max()), float(np.abs(others[known]).max()))
    if variance <= (ROUNDING * size) ** 2:  # nothing but the last bits of floats
        return mean, float("nan")
    return mean, float(2 * stats.t.sf(abs(mean) / np.sqrt(variance), waves))
