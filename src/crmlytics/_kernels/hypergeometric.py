"""Tails and quantiles of the hypergeometric distribution, to 1e-12 of their value however small that is.

Of ``population`` baskets ``successes`` hold one thing and ``draws`` another: the distribution is that of how many hold
both, were the two independent. The probability of one count is written as exp(-sum O ln(O/E)) over the four cells of
its table, times Stirling's corrections (after C. Loader, "Fast and accurate computation of binomial probabilities",
2000): every exponent is a sum of terms of one sign, where a difference of log-gammas would lose eight digits in a
million baskets. A tail adds up its terms away from the mode, each by its ratio to the last.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

STIRLING_FROM = 16
# ln(n!) less Stirling's formula; of 0 nothing, since its square root is left out as well
STIRLING_ERRORS = np.array(
    [0.0]
    + [
        math.log(math.factorial(n)) - 0.5 * math.log(2 * math.pi * n) - n * math.log(n) + n
        for n in range(1, STIRLING_FROM)
    ]
)
TIES = 1e-12  # a probability that reaches the level up to rounding has reached it


def upper_tail(population: ArrayLike, successes: ArrayLike, draws: ArrayLike, count: ArrayLike) -> NDArray[np.float64]:
    """Return P(X >= count), the p-value of Fisher's one-sided exact test.

    Parameters
    ----------
    population : int or int array
        Baskets in all.
    successes, draws : int arrays
        Baskets that hold the one, and the other.
    count : int array
        Baskets that hold both.

    Returns
    -------
    float64 array
        0 where it is below the smallest number a float can hold (about 1e-308).
    """
    codes, distinct = _distinct(population, successes, draws, count)
    return _upper_tails(*distinct)[codes]


def lower_tail(population: ArrayLike, successes: ArrayLike, draws: ArrayLike, count: ArrayLike) -> NDArray[np.float64]:
    """Return P(X <= count): the upper tail of the draws that fail."""
    whole, held, drawn, both = (np.asarray(numbers, np.int64) for numbers in (population, successes, draws, count))
    return upper_tail(whole, whole - held, drawn, drawn - both)


def quantile(population: ArrayLike, successes: ArrayLike, draws: ArrayLike, level: float) -> NDArray[np.int64]:
    """Return the least count q with P(X <= q) >= level, 0 < level < 1; equal up to 1e-12 counts as reached."""
    codes, (total, held, drawn) = _distinct(population, successes, draws)
    return _quantiles(total, held, drawn, level, NormalDist().inv_cdf(level))[codes]


def _distinct(*numbers: ArrayLike) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Find the distinct rows of some columns: the number of each row's, and the columns of these."""
    columns = np.broadcast_arrays(*(np.asarray(column, np.int64) for column in numbers))
    codes = np.zeros(len(columns[0]), np.int64)
    first = codes[:0]
    for column in columns:
        span = column - column.min(initial=0)
        _, first, codes = np.unique(
            codes * (int(span.max(initial=0)) + 1) + span, return_index=True, return_inverse=True
        )
    return codes, [column[first] for column in columns]


@compiled
def _upper_tails(
    population: NDArray[np.int64], successes: NDArray[np.int64], draws: NDArray[np.int64], count: NDArray[np.int64]
) -> NDArray[np.float64]:
    tails = np.empty(len(count))
    for i in range(len(count)):
        tails[i] = _upper_tail(population[i], successes[i], draws[i], count[i])
    return tails


@compiled
def _upper_tail(population: int, successes: int, draws: int, count: int) -> float:
    least, most = max(0, successes + draws - population), min(successes, draws)
    if count <= least:
        return 1.0
    if count > most:
        return 0.0
    mode = ((draws + 1.0) * (successes + 1.0)) / (population + 2.0)
    if count > mode:
        return _sum_away(population, successes, draws, count)
    return 1.0 - _sum_away(population, population - successes, draws, draws - count + 1)


@compiled
def _sum_away(population: int, successes: int, draws: int, count: int) -> float:
    """Add P(X = count), P(X = count + 1) and on, falling, until the rest no longer counts."""
    term = _probability(population, successes, draws, count)
    total = term
    for k in range(count, min(successes, draws)):
        ratio = _ratio(population, successes, draws, k)
        term *= ratio
        total += term
        if term * ratio <= 1e-17 * total * (1.0 - ratio):  # ratios fall: a geometric series bounds the rest
            break
    return total


@compiled
def _ratio(population: int, successes: int, draws: int, k: int) -> float:
    """Return P(X = k + 1) / P(X = k)."""
    upper = float(successes - k) * float(draws - k)
    return upper / (float(k + 1) * float(population - successes - draws + k + 1))


@compiled
def _probability(population: int, successes: int, draws: int, k: int) -> float:
    """Return P(X = k) for a possible k, where neither margin is empty or full."""
    excess = (float(k * population - successes * draws)) / population  # exact before the division
    misses, left = population - successes, population - draws
    exponent = (
        _divergence(excess, successes, draws, population)
        + _divergence(-excess, successes, left, population)
        + _divergence(-excess, misses, draws, population)
        + _divergence(excess, misses, left, population)
    )
    cells = (k, successes - k, draws - k, misses - draws + k)
    correction, product = -_stirling_error(population), _root(population)
    for margin in (successes, misses, draws, left):
        correction += _stirling_error(margin)
    for cell in cells:
        correction -= _stirling_error(cell)
        product *= _root(cell)
    roots = _root(successes) * _root(misses) / product * _root(draws) * _root(left)
    return math.exp(correction - exponent) * roots


@compiled
def _divergence(excess: float, row: int, column: int, population: int) -> float:
    """Return E h(excess / E) for a cell, h(t) = (1 + t) ln(1 + t) - t, which is never negative."""
    expected = float(row) * float(column) / population
    t = excess / expected
    if t <= -1.0:
        return expected
    if abs(t) > 0.5:
        return expected * ((1.0 + t) * math.log1p(t) - t)
    v = t / (2.0 + t)  # ln(1 + t) = 2 artanh(v): h without cancellation
    square, power, series = v * v, v, 0.0
    for odd in range(3, 40, 2):
        power *= square
        series += power / odd
    return expected * 2.0 * (square + (1.0 + v) * series) / (1.0 - v)


@compiled
def _root(n: int) -> float:
    return math.sqrt(2.0 * math.pi * n) if n > 0 else 1.0


@compiled
def _stirling_error(n: int) -> float:
    """Return ln(n!) less Stirling's formula."""
    if n < STIRLING_FROM:
        return float(STIRLING_ERRORS[n])
    square = 1.0 / (float(n) * n)
    return (1.0 / 12 - square * (1.0 / 360 - square * (1.0 / 1260 - square * (1.0 / 1680 - square / 1188)))) / n


@compiled
def _quantiles(
    population: NDArray[np.int64],
    successes: NDArray[np.int64],
    draws: NDArray[np.int64],
    level: float,
    normal_quantile: float,
) -> NDArray[np.int64]:
    counts = np.empty(len(population), np.int64)
    for i in range(len(population)):
        counts[i] = _quantile(population[i], successes[i], draws[i], level, normal_quantile)
    return counts


@compiled
def _quantile(population: int, successes: int, draws: int, level: float, normal_quantile: float) -> int:
    least, most = max(0, successes + draws - population), min(successes, draws)
    if least == most:
        return least
    share = successes / population
    spread = math.sqrt(draws * share * (1.0 - share) * (population - draws) / max(population - 1, 1))
    q = min(max(int(draws * share + normal_quantile * spread), least), most)
    allowed = 1.0 - level + TIES * level
    above = _upper_tail(population, successes, draws, q + 1)
    term = _probability(population, successes, draws, q)
    while above > allowed:  # too low: the next count comes off the tail
        term *= _ratio(population, successes, draws, q)
        above -= term
        q += 1
    while q > least and above + term <= allowed:
        above += term
        q -= 1
        term /= _ratio(population, successes, draws, q)
    return q
