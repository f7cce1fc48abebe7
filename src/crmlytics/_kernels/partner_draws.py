"""Sums of groups in samples of customers: bounds of them, of growth, the largest share, concentration, places."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.compiled import compiled
from crmlytics._kernels.ratios import over
from crmlytics._kernels.working import PARTS_A_THREAD, in_parts, thread_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.draws import Draws

    Vector = NDArray[np.float64]
    Codes = NDArray[np.int64]

NO_SPREAD = 1e-9  # of the numbers' size: the spread of rounding


def group_sums(draws: Draws, values: Vector, group: Codes, groups: int) -> Vector:
    """Add up values by group in every sample: shape (replicates, groups)."""
    cells = np.bincount(draws.bundle * groups + group, values, draws.bundles * groups)
    drawn: Vector = draws.weights @ cells.reshape(draws.bundles, groups)
    return drawn


def of_any_number(drawn: Vector, units: int, seed: int) -> Vector:
    """Let vary how many customers there are, too: samples of sums, which are of the same number, as by a Poisson one.

    Without it a group that is all there is would vary by what its customers buy, not by how many come.
    """
    size = np.random.default_rng([seed, units]).poisson(units, (len(drawn), 1))
    return drawn * (size / units)


def sum_bounds(drawn: Vector, units: Codes, confidence: float) -> tuple[Vector, Vector]:
    """Return the bounds of sums, or of shares of them, from samples of shape (replicates, groups).

    Percentiles, corrected for bias and acceleration: B. Efron (1987), "Better bootstrap confidence intervals", Journal
    of the American Statistical Association 82; of a sum of independent units both constants are a sixth of its
    skewness. Their level is Student's: a few units know little of their own spread. Missing where half the samples
    have none.

    Parameters
    ----------
    drawn : float64 array, shape (replicates, groups)
        NaN only in whole samples.
    units : int64 array, shape (groups,)
        How many customers or orders a sum is of.
    """
    from scipy import special

    known = drawn[~np.isnan(drawn).any(axis=1)]
    if 2 * len(known) < len(drawn):
        return np.full(len(units), np.nan), np.full(len(units), np.nan)
    apart = known - known.mean(axis=0)
    spread = np.sqrt((apart**2).mean(axis=0))
    skewness = np.where(spread > 0, (apart**3).mean(axis=0) / np.where(spread > 0, spread, 1.0) ** 3, 0.0)
    shift = np.clip(skewness, -1, 1) / 6
    reach = shift + special.stdtrit(np.maximum(units - 1, 1), (1 + confidence) / 2) * np.array([[-1.0], [1.0]])
    places = special.ndtr(shift + reach / (1 - shift * reach)) * (len(known) - 1)
    ranked = np.sort(known, axis=0)
    low, high = (_between(ranked, place) for place in places)
    return low, high


def growth_bounds(
    now: Vector, before: Vector, unit: Codes, group: Codes, groups: int, confidence: float
) -> tuple[Vector, Vector]:
    """Return the bounds of the growth of each group from one sum to another; missing where one is not above zero.

    On the logarithmic scale, with each unit (a customer with all it bought) as one observation, and as many degrees of
    freedom as there are units that count: percentiles of samples are too narrow below some 60 units.
    """
    from scipy import special

    cells, cell = np.unique(unit * groups + group, return_inverse=True)
    owner = cells % groups
    shares, totals = [], []
    for values in (now, before):
        of_cell = np.bincount(cell, values, len(cells))
        totals.append(np.bincount(owner, of_cell, groups))
        shares.append(over(of_cell, totals[-1][owner]))
    apart = shares[0] - shares[1]
    squares, fourths = (np.bincount(owner, apart**power, groups) for power in (2, 4))
    freedom = np.fmax(over(squares**2, fourths) - 1, 1.0)
    count = np.bincount(owner, minlength=groups)
    reach = special.stdtrit(freedom, (1 + confidence) / 2) * np.sqrt(squares * over(count, count - 1))
    ratio = over(totals[0], totals[1])
    return ratio * np.exp(-reach) - 1, ratio * np.exp(reach) - 1


def _between(ranked: Vector, place: Vector) -> Vector:
    """Return the values at places between rows of sorted columns, one a column."""
    below = np.floor(place).astype(np.int64)
    above, column = np.minimum(below + 1, len(ranked) - 1), np.arange(len(place))
    found: Vector = ranked[below, column] + (place - below) * (ranked[above, column] - ranked[below, column])
    return found


def largest_bounds(drawn: Vector, measured: Vector, confidence: float) -> tuple[float, float]:
    """Return the bounds of the largest of shares, whosever it is.

    Each share has bounds that hold together, by the largest of the studentised differences in samples; the largest lies
    between the largest lower and the largest upper one. Bounds are then made again of those alone that may be it.

    Parameters
    ----------
    drawn : float64 array, shape (replicates, groups)
    measured : float64 array, shape (groups,)
        From 0 up, 1 together; groups of share 0 take no part.
    """
    error = np.sqrt(((drawn - measured) ** 2).mean(axis=0))
    varies = error > NO_SPREAD
    away = np.abs(drawn - measured)[:, varies] / error[varies]
    may_lead = np.ones(len(measured), bool)
    for _ in range(2):
        among = away[:, may_lead[varies]]
        reach = float(np.quantile(among.max(axis=1), confidence)) if among.shape[1] else 0.0
        low, high = measured - reach * error, measured + reach * error
        least, most = float(low[may_lead].max()), float(high[may_lead].max())
        may_lead &= high >= least
    return max(least, 1 / int((measured > 0).sum())), min(most, 1.0)


def concentration(drawn: Vector, measured: Vector, confidence: float) -> tuple[float, float, float]:
    """Return the sum of squared shares without the chance in it, and its bounds; arrays as of :func:`largest_bounds`.

    A sample is more concentrated than what it is drawn from, by the variances of the shares, which are taken off. So
    are samples of the sample than this: off their percentiles both are taken. With n groups nothing is below 1 / n.
    """
    tails, chance = [(1 - confidence) / 2, (1 + confidence) / 2], float(drawn.var(axis=0).sum())
    low, high = np.quantile((drawn**2).sum(axis=1), tails) - 2 * chance
    least = 1 / int((measured > 0).sum())
    middle, low, high = (max(float(value), least) for value in ((measured**2).sum() - chance, low, high))
    return middle, low, high


def rank_bounds(drawn: Vector, measured: Vector, asked: NDArray[np.bool_], confidence: float) -> tuple[Codes, Codes]:
    """Return the best and the worst place of groups that samples cannot rule out; the largest is first.

    A group stands behind those that are surely above it and before those that are surely below. Sure is a difference
    beyond what the largest of its studentised differences in samples reaches with this confidence, so that all of them
    hold together; then the same of those that are left, until none is sure: M. Mogstad, J. P. Romano, A. M. Shaikh and
    D. Wilhelm (2024), "Inference for ranks with applications to mobility across neighbourhoods and academic achievement
    across countries", Review of Economic Studies 91 (the marginal intervals, stepdown). Places counted in the samples
    would be too narrow where groups are nearly alike.

    Parameters
    ----------
    drawn : float64 array, shape (replicates, groups)
    measured : float64 array, shape (groups,)
    asked : bool array, shape (groups,)
        Whose places are told, among all.
    """
    apart = np.ascontiguousarray(drawn - measured)
    least = NO_SPREAD * max(float(np.abs(measured).max(initial=0.0)), 1.0)
    wanted = np.flatnonzero(asked)
    parts = np.array_split(wanted, max(min(len(wanted), PARTS_A_THREAD * thread_count()), 1))

    def one(groups: Codes) -> list[tuple[int, int]]:
        return [_places(apart, measured, int(group), confidence, least) for group in groups]

    found = [row for rows in in_parts(one, parts, label="ranks") for row in rows]
    best, worst = np.array(found, np.int64).reshape(-1, 2).T
    return best, worst


def _places(apart: Vector, measured: Vector, group: int, confidence: float, least: float) -> tuple[int, int]:
    error, ahead = _spreads(apart, group), measured - measured[group]
    is_sure = np.abs(ahead) > least
    unsure = np.flatnonzero(error > least)
    is_sure[unsure] = False
    while True:
        reach = float(np.quantile(_largest_differences(apart, group, error, unsure), confidence))
        found = np.abs(ahead[unsure]) > np.maximum(reach * error[unsure], least)
        if not found.any():
            return 1 + int((is_sure & (ahead > 0)).sum()), len(measured) - int((is_sure & (ahead < 0)).sum())
        is_sure[unsure[found]] = True
        unsure = unsure[~found]


@compiled
def _spreads(apart: Vector, group: int) -> Vector:
    """Return the spread of each difference to a group in samples."""
    replicates, groups = apart.shape
    squares = np.zeros(groups)
    for replicate in range(replicates):
        own = apart[replicate, group]
        for other in range(groups):
            squares[other] += (apart[replicate, other] - own) ** 2
    spread: Vector = np.sqrt(squares / replicates)
    return spread


@compiled
def _largest_differences(apart: Vector, group: int, error: Vector, others: Codes) -> Vector:
    """Return the largest studentised difference to a group in every sample, among some of the others."""
    largest = np.zeros(len(apart))
    for replicate in range(len(apart)):
        own = apart[replicate, group]
        for other in others:
            largest[replicate] = max(largest[replicate], abs(apart[replicate, other] - own) / error[other])
    return largest
