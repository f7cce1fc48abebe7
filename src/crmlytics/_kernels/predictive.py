"""Counts that are still to come: their intervals, and how probable those were that came."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from crmlytics._kernels.population import Population
    from crmlytics._kernels.special import Vector

Counts = npt.NDArray[np.int64]

ENTRIES_PER_CHUNK = 2**20  # of a table of probabilities: 8 MB
FIRST_MOST = 15
LARGEST_MOST = 2**14  # days with a purchase: 45 years of them


def count_interval(
    population: Population, theta: Vector, alive: Vector, horizon: float, *, level: float
) -> tuple[Counts, Counts]:
    """Bounds that the number of purchases in the horizon stays within, with probability ``level`` or a bit more.

    The lower bound is the first count n with P(X <= n) >= (1 - level) / 2, the upper one that with (1 + level) / 2.
    P(X <= n) is ``1 - alive + alive * F(n)``, F the distribution of a customer who is alive. A bound of
    ``LARGEST_MOST`` says that it is this or more.

    Returns
    -------
    low, high : arrays of int (n,)
    """
    inverse = population.future.inverse
    bounds = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        needed = 1 - (1 - tail) / np.maximum(alive, 1e-300)  # F(n) >= needed
        bounds.append(_first_reaching(population, theta, horizon, inverse, needed))
    return bounds[0], bounds[1]


def log_probability_of_counts(population: Population, theta: Vector, horizon: float, counts: Vector) -> Vector:
    """Log of the probability that each customer makes just this number of purchases in the horizon, (n,).

    A probability below 1e-300 counts as that: one impossible customer shall not decide alone.
    """
    alive = population.alive(theta)
    inverse, n = population.future.inverse, counts.astype(np.int64)
    probability = np.empty(len(n))
    done, most = np.zeros(len(n), dtype=bool), FIRST_MOST
    while not done.all():
        rows = np.flatnonzero(~done & (n <= most))
        cases, at = np.unique(inverse[rows], return_inverse=True)
        size = max(1, ENTRIES_PER_CHUNK // (most + 1))
        for start in range(0, len(cases), size):
            mass = population.counts(theta, horizon, most, cases[start : start + size])
            here = (at >= start) & (at < start + size)
            probability[rows[here]] = mass[at[here] - start, n[rows[here]]]
        done[rows] = True
        most = 4 * most + 3
    probability = alive * probability + np.where(n == 0, 1 - alive, 0.0)
    return np.log(np.maximum(probability, 1e-300))


def _first_reaching(
    population: Population, theta: Vector, horizon: float, inverse: npt.NDArray[np.intp], needed: Vector
) -> Counts:
    """Return the smallest n with ``F(n) >= needed`` for each customer; tables are doubled until it is found."""
    found = np.zeros(len(needed), dtype=np.int64)
    open_rows = np.flatnonzero(needed > 0)
    most = FIRST_MOST
    while len(open_rows) and most < LARGEST_MOST:
        cases, at = np.unique(inverse[open_rows], return_inverse=True)
        reached = _search(population, theta, horizon, cases, at, needed=needed[open_rows], most=most)
        found[open_rows] = reached
        open_rows = open_rows[reached > most]
        most = 2 * most + 1
    return found


def _search(
    population: Population,
    theta: Vector,
    horizon: float,
    cases: npt.NDArray[np.intp],
    at: npt.NDArray[np.intp],
    *,
    needed: Vector,
    most: int,
) -> Counts:
    """Return the smallest n that reaches, ``most + 1`` if none does: one search in the distributions end to end."""
    reached = np.empty(len(needed), dtype=np.int64)
    order = np.argsort(at, kind="stable")
    size = max(1, ENTRIES_PER_CHUNK // (most + 1))
    for start in range(0, len(cases), size):
        distribution = np.cumsum(population.counts(theta, horizon, most, cases[start : start + size]), axis=1)
        lines = np.minimum(distribution, 1.0) + 2.0 * np.arange(len(distribution))[:, None]
        rows = order[np.searchsorted(at[order], start) : np.searchsorted(at[order], start + size)]
        case = at[rows] - start
        place = np.searchsorted(lines.ravel(), needed[rows] + 2.0 * case)
        reached[rows] = np.minimum(place - case * (most + 1), most + 1)
    return reached
