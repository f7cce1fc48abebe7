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
LARGEST_MOST = 2**12  # purchases of one customer whose probabilities are looked at one by one
NEGLIGIBLE = 1e-4  # share of the mean that may be missing in a table of probabilities: only variances are made of it


@dataclass(frozen=True, slots=True)
class Forecast:
    """Purchases of a group of customers per step and since the beginning, arrays (steps,).

    A variance has two sources: the parameters are estimates (delta method), and customers act by chance. The second is
    exact for the sum since the beginning. For one step it takes from the first step how much customers with the same
    history differ while they are there, and adds that fewer and fewer are: see :func:`_chance_in_step`.

    Attributes
    ----------
    existing, joined : arrays
        Expected in the step of those who are customers already, and of those who join.
    variance : array
        Of their sum.
    cumulative, cumulative_variance : arrays
        Expected of both since the beginning, and its variance.
    """

    existing: Vector
    joined: Vector
    variance: Vector
    cumulative: Vector
    cumulative_variance: Vector


def forecast_purchases(
    population: Population,
    newcomer: Population | None,
    joining: Vector,
    *,
    theta: Vector,
    covariance: Vector,
    ends: Vector,
) -> Forecast:
    """Forecast the purchases of customers and of those who join, in steps of equal length that end at ``ends``.

    ``joining[k]`` customers join at the beginning of step k, counted from 0; they are on average as the customers of
    ``newcomer``, who have the history (0, 0, 0). Their repeat purchases are forecast.
    """

    def totals(at: Vector) -> tuple[Vector, ...]:
        own, joined = _existing_means(population, at, ends), np.zeros(len(ends))
        if newcomer is not None:
            joined = _since_joining(joining, _newcomer_means(newcomer, at, ends))
        steps = [np.diff(total, prepend=0.0) for total in (own, joined)]
        return *steps, steps[0] + steps[1], own + joined

    (existing, _), (joined, _), (_, step_error), (cumulative, error) = delta_errors(totals, theta, covariance)
    by_step, by_chance = _chance_of_existing(population, theta, ends)
    if newcomer is not None:
        by_age = _chance_of_newcomer(newcomer, theta, ends)
        by_step, by_chance = (
            by_step + _since_joining(joining, by_age[0]),
            by_chance + _since_joining(joining, by_age[1]),
        )
    return Forecast(
        existing=np.maximum(existing, 0.0),  # a difference of two sums: it may be a rounding error below
        joined=np.maximum(joined, 0.0),
        variance=step_error**2 + by_step,
        cumulative=np.maximum.accumulate(cumulative),
        cumulative_variance=error**2 + by_chance,
    )


def _since_joining(joining: Vector, by_age: Vector) -> Vector:
    """Sum what happens at an age, in steps, over customers who join at different steps."""
    return np.convolve(joining, by_age)[: len(by_age)]


def _existing_means(population: Population, theta: Vector, ends: Vector) -> Vector:
    alive = _per_case(population, population.alive(theta))
    return np.array([np.sum(alive * population.expected_of_cases(theta, end)) for end in ends])


def _newcomer_means(newcomer: Population, theta: Vector, ends: Vector) -> Vector:
    return _existing_means(newcomer, theta, ends) / newcomer.size


def _chance_of_existing(population: Population, theta: Vector, ends: Vector) -> tuple[Vector, Vector]:
    """Variance, by chance, of the purchases of all customers: in each step, and since the beginning."""
    alive = population.alive(theta)
    once, twice = _per_case(population, alive), _per_case(population, alive**2)
    in_step, since = np.empty(len(ends)), np.empty(len(ends))
    mean = np.zeros(len(once))
    first = mean, mean
    for step, end in enumerate(ends):
        previous, mean = mean, population.expected_of_cases(theta, end)
        pairs = pairs_of_purchases(population, theta, end, mean)
        since[step] = max(np.sum(once * (pairs + mean) - twice * mean**2), 0.0)
        if step == 0:
            in_step[0], first = since[0], (mean, pairs)
            continue
        stay = population.survival_of_cases(theta, ends[step - 1])
        grown = np.maximum(mean - previous, 0.0)
        in_step[step] = np.sum(_chance_in_step(once, twice, first, grown=grown, stay=stay))
    return in_step, since


def _chance_of_newcomer(newcomer: Population, theta: Vector, ends: Vector) -> tuple[Vector, Vector]:
    """Variance, by chance, of the purchases of one who joins: at each age, and since joining."""
    share = _per_case(newcomer, newcomer.alive(theta)) / newcomer.size
    one, means, pairs, alive = np.ones(1), [], [], [share.sum()]
    for end in ends:
        mean = newcomer.expected_of_cases(theta, end)
        means.append(np.sum(share * mean))
        pairs.append(np.sum(share * pairs_of_purchases(newcomer, theta, end, mean)))
        alive.append(np.sum(share * newcomer.survival_of_cases(theta, end)))
    mean, pair = np.array(means), np.array(pairs)
    grown, stay = np.maximum(np.diff(mean, prepend=0.0), 0.0), np.array(alive[:-1]) / alive[0]
    in_step = _chance_in_step(one, one, (mean[:1], pair[:1]), grown=grown, stay=stay)
    return in_step, np.maximum(pair + mean - mean**2, 0.0)


def _chance_in_step(
    once: Vector, twice: Vector, first: tuple[Vector, Vector], *, grown: Vector, stay: Vector
) -> Vector:
    """Variance of the purchases in a step, summed over customers who are alike.

    Of one who is alive when the step begins, the mean of N (N - 1) is taken to be the square of the mean times what it
    is in the first step. That is exact for purchases at a steady rate while a customer stays, but for those who leave
    within the step. So the mean over all is that times ``grown ** 2 / stay``.

    Parameters
    ----------
    once, twice : arrays
        Sums of P(alive) and of its square over these customers.
    first : two arrays
        Means of N and of N (N - 1) in the first step, if alive at its beginning.
    grown : array
        Mean of N in the step, if alive now.
    stay : array
        P(alive when the step begins | alive now).
    """
    first_mean, first_pairs = first
    square = first_mean**2
    ratio = np.where(square > 0, first_pairs / np.where(square > 0, square, 1.0), 1.0)
    spread = once * ratio / np.maximum(stay, 1e-150) - twice
    # purchases that are more regular than chance are not more so than in the first step: nothing gets below zero
    return grown * (once + spread * np.where(spread > 0, grown, np.minimum(grown, first_mean)))


def pairs_of_purchases(population: Population, theta: Vector, horizon: float, mean: Vector) -> Vector:
    """Mean of N (N - 1), if alive, of each case of ``population.future``, N its purchases in the horizon.

    Beyond ``LARGEST_MOST`` N is taken to be as spread as a Poisson count is.
    """
    pairs = np.zeros(len(mean))
    open_cases, most = np.arange(len(mean)), FIRST_MOST
    while len(open_cases):
        n = np.arange(most + 1.0)
        size = max(1, ENTRIES_PER_CHUNK // (most + 1))
        missing = np.empty(len(open_cases))
        for start in range(0, len(open_cases), size):
            cases = open_cases[start : start + size]
            mass = population.counts(theta, horizon, most, cases)
            rest = np.maximum(mean[cases] - mass @ n, 0.0)
            beyond = rest / np.maximum(1 - mass.sum(axis=1), 1e-12)  # mean of N, if above most
            tail = rest * np.where(rest > NEGLIGIBLE * mean[cases], np.maximum(beyond, most), most)
            pairs[cases], missing[start : start + size] = mass @ (n * (n - 1)) + tail, rest
        if most >= LARGEST_MOST:
            break
        open_cases = open_cases[missing > NEGLIGIBLE * mean[open_cases]]
        most = 2 * most + 1
    return pairs


def _per_case(population: Population, values: Vector) -> npt.NDArray[np.float64]:
    """Sum values of customers over each case of ``population.future``."""
    future = population.future
    return np.asarray(np.bincount(future.inverse, values, minlength=len(future.weights)), dtype=float)
