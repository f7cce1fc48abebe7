"""What a whole customer base will do: sums over customers, step by step, and how far they may be off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.uncertainty import delta_errors

if TYPE_CHECKING:
    import numpy.typing as npt

    from crmlytics._kernels.population import Population
    from crmlytics._kernels.special import Vector

ENTRIES_PER_CHUNK = 2**20
FIRST_MOST = 31
LARGEST_MOST = 2**14
NEGLIGIBLE = 1e-4  # share of the mean that may be missing in a table of probabilities: only variances are made of it


@dataclass(frozen=True, slots=True)
class Forecast:
    """Purchases of a group of customers per step and since the beginning, with their variances, arrays (steps,).

    A variance has two sources: the parameters are estimates (delta method), and customers act by chance. The second is
    exact for the sum since the beginning. For one step it is ``mean + D mean ** 2`` per customer, where D is what it is
    in the first step: how much customers with the same history differ hardly changes from step to step.
    """

    expected: Vector
    variance: Vector
    cumulative: Vector
    cumulative_variance: Vector

    def __add__(self, other: Forecast) -> Forecast:
        return Forecast(
            self.expected + other.expected,
            self.variance + other.variance,
            self.cumulative + other.cumulative,
            self.cumulative_variance + other.cumulative_variance,
        )


def forecast_existing(population: Population, theta: Vector, covariance: Vector, ends: Vector) -> Forecast:
    """Forecast the purchases of all customers up to each of ``ends``, rising times from now."""

    def totals(at: Vector) -> tuple[Vector, Vector]:
        alive = _per_case(population, population.alive(at))
        cumulative = np.array([np.sum(alive * population.expected_of_cases(at, end)) for end in ends])
        return np.diff(cumulative, prepend=0.0), cumulative

    (expected, step_error), (cumulative, error) = delta_errors(totals, theta, covariance)
    alive = population.alive(theta)
    once, twice = _per_case(population, alive), _per_case(population, alive**2)
    by_chance, step_by_chance = np.empty(len(ends)), np.empty(len(ends))
    previous, clumping = np.zeros(len(once)), np.zeros(len(once))
    for step, end in enumerate(ends):
        mean = population.expected_of_cases(theta, end)
        square = second_moments(population, theta, end, mean)
        by_chance[step] = np.sum(once * square - twice * mean**2)
        if step == 0:
            clumping = (once * (square - mean) - twice * mean**2) / np.maximum(mean, 1e-150) ** 2
        grown = mean - previous
        step_by_chance[step] = np.sum(once * grown + clumping * grown**2)
        previous = mean
    return Forecast(expected, step_error**2 + step_by_chance, cumulative, error**2 + by_chance)


def forecast_joining(
    newcomer: Population, theta: Vector, covariance: Vector, ends: Vector, joining: Vector
) -> Forecast:
    """Forecast the repeat purchases of customers who join: ``joining[k]`` of them at the beginning of step k.

    ``newcomer`` holds customers with the history (0, 0, 0): those who join are like them on average.
    """
    begins = np.concatenate([[0.0], ends[:-1]])
    ages = ends[:, None] - begins  # of the customers who joined at k (column) at the end of step j (row)
    distinct, at_age = np.unique(np.round(np.maximum(ages, 0.0), 9), return_inverse=True)
    at_age = at_age.reshape(ages.shape)

    def mean_of(at: Vector) -> Vector:
        alive = newcomer.alive(at)
        means = [np.mean(alive * newcomer.expected(at, age)) if age > 0 else 0.0 for age in distinct]
        return np.array(means)[at_age]

    def totals(at: Vector) -> tuple[Vector, Vector]:
        cumulative = mean_of(at) @ joining
        return np.diff(cumulative, prepend=0.0), cumulative

    (expected, step_error), (cumulative, error) = delta_errors(totals, theta, covariance)
    mean, square = mean_of(theta), _newcomer_squares(newcomer, theta, distinct)[at_age]
    grown = np.diff(mean, axis=0, prepend=0.0)
    clumping = (square[0, 0] - mean[0, 0] - mean[0, 0] ** 2) / mean[0, 0] ** 2
    by_chance, step_by_chance = (square - mean**2) @ joining, (grown + clumping * grown**2) @ joining
    return Forecast(expected, step_error**2 + step_by_chance, cumulative, error**2 + by_chance)


def _newcomer_squares(newcomer: Population, theta: Vector, ages: Vector) -> Vector:
    alive = _per_case(newcomer, newcomer.alive(theta)) / newcomer.size
    squares = [
        np.sum(alive * second_moments(newcomer, theta, age, newcomer.expected_of_cases(theta, age))) if age > 0 else 0.0
        for age in ages
    ]
    return np.array(squares)


def second_moments(population: Population, theta: Vector, horizon: float, mean: Vector) -> Vector:
    """Mean square of the number of purchases in the horizon, if alive, of each case of ``population.future``."""
    squares = np.zeros(len(mean))
    open_cases, most = np.arange(len(mean)), FIRST_MOST
    while len(open_cases):
        n = np.arange(most + 1.0)
        size = max(1, ENTRIES_PER_CHUNK // (most + 1))
        seen = np.empty(len(open_cases))
        for start in range(0, len(open_cases), size):
            cases = open_cases[start : start + size]
            mass = population.counts(theta, horizon, most, cases)
            squares[cases], seen[start : start + size] = mass @ n**2, mass @ n
        if most >= LARGEST_MOST:
            break
        open_cases = open_cases[mean[open_cases] - seen > NEGLIGIBLE * mean[open_cases]]
        most = 2 * most + 1
    return squares


def _per_case(population: Population, values: Vector) -> npt.NDArray[np.float64]:
    """Sum values of customers over each case of ``population.future``."""
    future = population.future
    return np.bincount(future.inverse, values, minlength=len(future.weights)).astype(float)
