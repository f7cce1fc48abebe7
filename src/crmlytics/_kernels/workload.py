"""How many tickets will come, hour by hour or day by day, and how many people it takes to answer them.

References
----------
A. K. Erlang (1917), "Solution of some problems in the theory of probabilities of significance in automatic telephone
exchanges".
H. Shen and J. Z. Huang (2008), "Interday forecasting and intraday updating of call center arrivals", Manufacturing and
Service Operations Management 10(3): a level of the day times a profile, and more spread than chance has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Counts = NDArray[np.int64]

HALF_LIVES = (1.0, 2.0, 4.0, 8.0)  # weeks: how fast the level may change
USUAL = 2  # of these, while nothing is known
PROFILE_HALF_LIFE = 13.0  # weeks: the shape of a week changes slowly
PRIOR_WEEKS = 4.0  # that "every day has the same hours" weighs, beside the weeks that were seen
WEEK_DAYS = 7
LEAST_WEEKS, LEAST_ORIGINS = 3, 3
MOST_AGENTS = 20_000


# -- volumes -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class BackTest:
    """What would have been forecast at earlier moments, and what came.

    Attributes
    ----------
    counts, forecasts, last_week : float64 arrays, shape (origins, periods)
        What came, what the profile and what the week before would have said; the oldest origin first.
    half_life : float
        Weeks; the one that would have forecast best at all origins.
    least : float
        The mean of what was never seen to come: half a ticket a weekday in all weeks (H. Jeffreys 1946).
    """

    counts: Vector
    forecasts: Vector
    last_week: Vector
    half_life: float
    least: float

    def bounds(self, mean: Vector, confidence: float, left_out: int | None = None) -> tuple[Vector, Vector]:
        """Return between which counts the next one lies, going by the errors at all origins but one."""
        return count_bounds(np.maximum(mean, self.least), self.dispersion(left_out), confidence)

    def dispersion(self, left_out: int | None = None) -> float:
        """Return by how much the counts vary more than chance alone lets them, ``Var = m + dispersion m^2``.

        By moments of the errors of the forecasts, so that it holds how far the level may be off as well; a quiet period
        says as much as a busy one, or the busiest alone would decide for all.
        """
        kept = np.arange(len(self.counts)) != (-1 if left_out is None else left_out)
        counts, means = self.counts[kept], self.forecasts[kept]
        weights = 1 / (means + 1)
        squares = float((weights * means**2).sum())
        return max(0.0, float((weights * ((counts - means) ** 2 - means)).sum()) / squares) if squares > 0 else 0.0


def weekly_counts(age: Counts, weeks: int, slots: int) -> Vector:
    """Count by week and slot, shape (weeks, slots), what happened ``age`` slots before the end, from 0 on."""
    place = weeks * slots - 1 - age[(age >= 0) & (age < weeks * slots)]
    return np.bincount(place, minlength=weeks * slots).reshape(weeks, slots).astype(np.float64)


def weekly_profile(counts: Vector) -> Vector:
    """Return which share of a week falls on each of its slots, shape (slots,); recent weeks weigh more.

    Hours of few tickets borrow from the product of their day's share and their hour's.
    """
    weights = 0.5 ** (_age(len(counts)) / PROFILE_HALF_LIFE)
    mean = weights @ counts / weights.sum()
    total = mean.sum()
    if not total > 0:
        return np.full(counts.shape[1], 1 / counts.shape[1])
    cells = mean.reshape(WEEK_DAYS, -1)
    product = np.outer(cells.sum(axis=1), cells.sum(axis=0)) / total
    seen = weights.sum()
    shrunk = (seen * cells + PRIOR_WEEKS * product) / (seen + PRIOR_WEEKS)
    profile: Vector = shrunk.ravel() / total
    return profile


def weekly_level(counts: Vector, half_life: float) -> float:
    """Return the tickets of a week, recent ones weighing more."""
    weights = 0.5 ** (_age(len(counts)) / half_life)
    return float(weights @ counts.sum(axis=1) / weights.sum())


def forecast_counts(counts: Vector, half_life: float, periods: int) -> Vector:
    """Return the counts expected of the next periods: the level of recent weeks times the profile of the week."""
    return _ahead(weekly_level(counts, half_life) * weekly_profile(counts), periods)


def back_test(counts: Vector, periods: int) -> BackTest:
    """Forecast from earlier moments, as far apart as the forecasts are long, each from the weeks before it alone.

    At each the level changes as fast as would have been best at the moments before.
    """
    weeks, slots = counts.shape
    step = -(-periods // slots)
    origins = np.arange(weeks - step, LEAST_WEEKS - 1, -step)[::-1]
    came = np.array([counts[one : one + step].ravel()[:periods] for one in origins])
    tried = np.array(
        [[forecast_counts(counts[:one], half_life, periods) for one in origins] for half_life in HALF_LIVES]
    )
    misses = ((tried - came) ** 2).sum(axis=2)  # by half-life and origin
    known = np.cumsum(misses, axis=1)
    chosen = np.append(USUAL, known[:, :-1].argmin(axis=0))
    forecasts = tried[chosen, np.arange(len(origins))]
    last_week = np.array([_ahead(counts[one - 1], periods) for one in origins])
    least = WEEK_DAYS / (2 * weeks * slots)
    return BackTest(came, forecasts, last_week, HALF_LIVES[int(known[:, -1].argmin())], least)


def weeks_needed(periods: int, slots: int) -> int:
    """Return how many weeks a back-test takes."""
    return LEAST_WEEKS + LEAST_ORIGINS * -(-periods // slots)


def count_bounds(mean: Vector, dispersion: float, confidence: float) -> tuple[Vector, Vector]:
    """Return between which counts the next one lies: negative binomial quantiles, Poisson's without spread."""
    from scipy import stats

    tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])[:, None]
    if dispersion > 0:
        size = 1 / dispersion
        low, high = stats.nbinom.ppf(tails, size, size / (size + mean))
    else:
        low, high = stats.poisson.ppf(tails, mean)
    return low, high


def _age(weeks: int) -> Vector:
    return np.arange(weeks - 1, -1, -1, dtype=np.float64)


def _ahead(week: Vector, periods: int) -> Vector:
    return np.resize(week, periods)


# -- people --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Staffing:
    """How many agents, and what they achieve; arrays of shape (periods,).

    Attributes
    ----------
    agents : int64 array
    waits : float64 array
        The probability that a customer has to wait at all (Erlang C).
    answered : float64 array
        The share answered within the time.
    mean_wait : float64 array
        In the unit of the handling time; of all customers.
    """

    agents: Counts
    waits: Vector
    answered: Vector
    mean_wait: Vector


def agents_needed(load: Vector, handling: float, within: float, share: float) -> Staffing:
    """Return the fewest agents who answer this share within the time.

    Parameters
    ----------
    load : float64 array, shape (periods,)
        Erlangs: arrivals times handling time, in one unit of time.
    handling, within : float
        In one unit.
    share : float

    Notes
    -----
    ``B(n) = A B(n-1) / (n + A B(n-1))`` is Erlang's formula of loss, ``C = n B / (n - A (1 - B))`` that of waiting;
    ``C exp(-(n - A) within / handling)`` wait longer.
    """
    agents, loss = np.zeros(len(load), np.int64), np.ones(len(load))
    waits, answered, mean_wait = np.zeros(len(load)), np.ones(len(load)), np.zeros(len(load))
    left = load > 0
    for number in range(1, MOST_AGENTS + 1):
        if not left.any():
            break
        loss = load * loss / (number + load * loss)
        spare = number - load
        able = left & (spare > 0)
        if not able.any():
            continue
        chance = number * loss[able] / (number - load[able] * (1 - loss[able]))
        reached = 1 - chance * np.exp(-spare[able] * within / handling)
        done = np.flatnonzero(able)[reached >= share]
        agents[done] = number
        waits[done], answered[done] = chance[reached >= share], reached[reached >= share]
        mean_wait[done] = waits[done] * handling / spare[done]
        left[done] = False
    return Staffing(agents, waits, answered, mean_wait)
