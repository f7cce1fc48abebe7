"""Forecasting revenue from a triangle of cohorts: how each generation ages, and how many come anew.

Rows are cohorts, columns periods, both numbered alike; ``amounts[c, t]`` is the revenue in period ``t`` from customers
with their first order in period ``c``. Cohort 0 holds whoever was there when the data begin: it has no known age, and
teaches neither how new customers begin nor how many come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

ENOUGH_COHORTS = 3  # with fewer a link of its own would be noise
LEAST_PERIODS = 6
MOST_ORIGINS = 52
ENOUGH_ORIGINS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Triangle:
    """Revenue by cohort and period up to an origin.

    Attributes
    ----------
    amounts : float64 array, shape (periods, periods)
        Zero below the diagonal: nobody orders before the first order.
    sizes : float64 array, shape (periods,)
        Customers in each cohort.
    unassigned : float64 array, shape (periods,)
        Revenue, mostly returns, of customers without a cohort.
    cycle : int
        Periods in a year; 1 where periods have no place in a year.
    """

    amounts: Vector
    sizes: Vector
    unassigned: Vector
    cycle: int

    @property
    def totals(self) -> Vector:
        """Revenue by period."""
        summed: Vector = self.amounts.sum(axis=0) + self.unassigned
        return summed

    def until(self, periods: int) -> Triangle:
        """Return what was known after the first periods."""
        return Triangle(self.amounts[:periods, :periods], self.sizes[:periods], self.unassigned[:periods], self.cycle)


@dataclass(frozen=True, slots=True, eq=False)
class BackTest:
    """Forecasts made at past origins beside what came, each array of shape (origins, horizon); missing is NaN."""

    actual: Vector
    forecast: Vector
    benchmark: Vector
    scale: Vector


def recent_periods(cycle: int) -> int:
    """How many periods tell a level: half a year, at least three."""
    return max(3, cycle // 2)


def seasonal_factors(totals: Vector, cycle: int) -> Vector:
    """Return one factor for each place in the cycle (period number modulo ``cycle``), 1 on average.

    Ratios to a centred moving average over a cycle, averaged by place. They need two cycles and revenue above zero;
    else all are 1. With y ratios at a place the factor is drawn to 1 by 1 / (y + 1), as one year proves little.
    """
    periods = len(totals)
    if cycle < 2 or periods < 2 * cycle or (totals <= 0).any():
        return np.ones(max(cycle, 1))
    half = cycle // 2
    weights = np.ones(2 * half + 1)
    if cycle % 2 == 0:
        weights[[0, -1]] = 0.5
    trend = np.convolve(totals, weights / weights.sum(), mode="valid")
    places = np.arange(half, half + len(trend)) % cycle
    seen = np.bincount(places, minlength=cycle)
    raw = np.bincount(places, totals[half : half + len(trend)] / trend, minlength=cycle) / np.maximum(seen, 1)
    factors = 1 + (np.where(seen > 0, raw, 1.0) - 1) * seen / (seen + 1)
    normal: Vector = factors / factors.mean()
    return normal


def rates(amounts: Vector, sizes: Vector, *, window: int) -> Vector:
    """Return revenue per original customer by age, shape (periods,): age 0 is the period of the first order.

    From the last ``window`` periods, customers of all cohorts that passed through the age then added up. Ages that
    fewer than three cohorts have reached share one rate.
    """
    periods = len(sizes)
    first = max(periods - window, 1)
    money, heads, cohorts = np.zeros(periods), np.zeros(periods), np.zeros(periods)
    for age in range(periods - 1):
        born = np.arange(max(first - age, 1), periods - age)
        money[age], heads[age] = amounts[born, born + age].sum(), sizes[born].sum()
        cohorts[age] = np.count_nonzero(sizes[born])
    own = np.cumprod(np.r_[True, cohorts[1:] >= ENOUGH_COHORTS]).astype(bool)
    heads_of_old = heads[~own].sum()
    last = np.flatnonzero(own)[-1]
    old = money[~own].sum() / heads_of_old if heads_of_old > 0 else money[last] / max(heads[last], 1.0)
    by_age: Vector = np.where(own, money / np.maximum(heads, 1e-12), old)
    return np.where(own & (heads <= 0), 0.0, by_age)


def forecast(triangle: Triangle, horizon: int) -> tuple[Vector, Vector]:
    """Return revenue from existing and from new customers in each of the next periods."""
    periods = len(triangle.sizes)
    factors = seasonal_factors(triangle.totals, triangle.cycle)
    season = factors[np.arange(periods + horizon) % len(factors)]
    recent = recent_periods(triangle.cycle)
    amounts, sizes = triangle.amounts / season[:periods], triangle.sizes / season[:periods]
    by_age = rates(amounts, sizes, window=max(triangle.cycle, LEAST_PERIODS))
    by_age[1:] *= _fit(amounts, sizes, by_age, recent=recent)
    by_age = np.r_[by_age, np.full(horizon, by_age[-1])]
    ages = np.arange(periods - 1, 0, -1) - 1  # of cohorts 1, 2, ... at the origin
    existing = np.array([sizes[1:] @ by_age[ages + ahead] for ahead in range(1, horizon + 1)])
    existing += amounts[0, -recent:].mean()  # those there from the start have no age: they go on as of late
    arrivals = sizes[max(1, periods - recent) :].mean()
    new = arrivals * np.cumsum(by_age[:horizon])
    return existing * season[periods:] + triangle.unassigned[-recent:].mean(), new * season[periods:]


def _fit(amounts: Vector, sizes: Vector, by_age: Vector, *, recent: int) -> float:
    """Return recent revenue of returning customers over what the rates of the last year make of it, at most double."""
    periods = len(sizes)
    actual, expected = 0.0, 0.0
    for period in range(max(periods - recent, 2), periods):
        cohorts = np.arange(1, period)
        actual += float(amounts[cohorts, period].sum())
        expected += float(sizes[cohorts] @ by_age[period - cohorts])
    return float(np.clip(actual / expected, 0.5, 2.0)) if expected > 0 else 1.0


def benchmark_step(periods: int, cycle: int) -> int:
    """Return how many periods back the benchmark looks: a cycle, if three origins can check that, else one."""
    return cycle if periods >= cycle + ENOUGH_ORIGINS else 1


def benchmark(totals: Vector, step: int, horizon: int) -> Vector:
    """Return the last ``step`` periods, over and over; missing where fewer are known."""
    if len(totals) < step:
        return np.full(horizon, np.nan)
    last: Vector = totals[-step:][np.arange(horizon) % step]
    return last


def back_test(triangle: Triangle, horizon: int) -> BackTest:
    """Forecast from every past origin with enough history, at most the last 52, as if the rest were not known."""
    totals = triangle.totals
    step = benchmark_step(len(totals), triangle.cycle)
    least = max(LEAST_PERIODS, recent_periods(triangle.cycle))
    origins = range(max(least, len(totals) - MOST_ORIGINS), len(totals))
    shape = (len(origins), horizon)
    actual, made, naive, scale = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan), np.ones(shape)
    for row, origin in enumerate(origins):
        known = triangle.until(origin)
        came = totals[origin : origin + horizon]
        actual[row, : len(came)] = came
        made[row] = np.sum(forecast(known, horizon), axis=0)
        naive[row] = benchmark(known.totals, step, horizon)
        scale[row] = typical_amount(known.totals, triangle.cycle)
    return BackTest(actual, made, naive, scale)


def typical_amount(totals: Vector, cycle: int) -> float:
    """Return the mean size of recent revenue, by which errors of different years are made comparable."""
    size = float(np.abs(totals[-max(cycle, LEAST_PERIODS) :]).mean())
    return size if size > 0 else 1.0


def error_spread(test: BackTest) -> tuple[Vector, NDArray[np.int64]]:
    """Return the root mean square error of each horizon, as a share of the typical amount, and the origins behind it.

    It does not fall with the horizon: that a longer look ahead went better was luck.
    """
    errors = (test.actual - test.forecast) / test.scale
    counts = np.isfinite(errors).sum(axis=0)
    squares = np.where(np.isfinite(errors), errors, 0.0) ** 2
    spread = np.sqrt(squares.sum(axis=0) / np.maximum(counts, 1))
    widest: Vector = np.maximum.accumulate(spread)
    return np.where(counts > 0, widest, np.nan), counts


def half_widths(spread: Vector, counts: NDArray[np.int64], interval: float) -> Vector:
    """Return half the width of the interval: Student's t with as many degrees as origins; missing below three."""
    from scipy import stats

    quantile = stats.t.ppf((1 + interval) / 2, np.maximum(counts, 1))
    width: Vector = np.where(counts >= ENOUGH_ORIGINS, quantile * spread, np.nan)
    return width


def coverage(test: BackTest, interval: float) -> Vector:
    """Return how often what came lay in an interval made from the errors of the *other* origins."""
    inside, tried = np.zeros(test.actual.shape[1]), np.zeros(test.actual.shape[1])
    for row in range(len(test.actual)):
        others = np.arange(len(test.actual)) != row
        rest = BackTest(*(part[others] for part in (test.actual, test.forecast, test.benchmark, test.scale)))
        width = half_widths(*error_spread(rest), interval)
        missed = np.abs(test.actual[row] - test.forecast[row]) / test.scale[row]
        known = np.isfinite(missed) & np.isfinite(width)
        tried += known
        inside += known & (missed <= width)
    share: Vector = np.where(tried > 0, inside / np.maximum(tried, 1), np.nan)
    return share


def compare_errors(mine: Vector, others: Vector, horizon: int) -> tuple[float, float]:
    """Test whether absolute errors differ on average: their mean difference and a two-sided p-value.

    Diebold & Mariano (1995) with the small-sample correction of Harvey, Leybourne & Newbold (1997): errors ``horizon``
    periods ahead overlap, so their autocovariances up to ``horizon - 1`` are counted in.
    """
    from scipy import stats

    known = np.isfinite(mine) & np.isfinite(others)
    difference = np.abs(mine[known]) - np.abs(others[known])
    n = len(difference)
    if n < ENOUGH_ORIGINS:
        return (float(difference.mean()) if n else float("nan")), float("nan")
    centred = difference - difference.mean()
    covariances = [float(centred[lag:] @ centred[: n - lag]) / n for lag in range(min(horizon, n))]
    variance = (covariances[0] + 2 * sum(covariances[1:])) / n
    factor = (n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n
    if variance <= 0 or factor <= 0:  # with few origins the estimate may come out below zero: then nothing is proved
        return float(difference.mean()), float("nan")
    statistic = difference.mean() / np.sqrt(variance) * np.sqrt(factor)
    return float(difference.mean()), float(2 * stats.t.sf(abs(statistic), n - 1))
