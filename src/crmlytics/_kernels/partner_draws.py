"""Sums of groups in samples of customers: their bounds, the largest share, concentration, places; on arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.compiled import compiled
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


def concentration_bounds(drawn: Vector, measured: Vector, confidence: float) -> tuple[float, float]:
    """Return the bounds of the sum of squared shares; arrays as of :func:`largest_bounds`.

    A sample is more concentrated than what it is drawn from, by the variances of the shares: so are samples of the
    sample than this, and both are taken off their percentiles. With n groups nothing is less concentrated than 1 / n.
    """
    tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    low, high = np.quantile((drawn**2).sum(axis=1), tails) - 2 * drawn.var(axis=0).sum()
    return max(float(low), 1 / int((measured > 0).sum())), max(float(high), float((measured**2).sum()))


def rank_bounds(drawn: Vector, measured: Vector, confidence: float) -> tuple[Codes, Codes]:
    """Return the best and the worst place of each group that samples cannot rule out; the largest is first.

    A group stands behind those that are surely above it and before those that are surely below. Sure is a difference
    beyond what the largest of its studentised differences in samples reaches with this confidence, so that all of them
    hold together: M. Mogstad, J. P. Romano, A. M. Shaikh and D. Wilhelm (2024), "Inference for ranks with applications
    to mobility across neighbourhoods and academic achievement across countries", Review of Economic Studies 91 (the
    marginal intervals). Places counted in the samples would be too narrow where groups are nearly alike.

    Parameters
    ----------
    drawn : float64 array, shape (replicates, groups)
    measured : float64 array, shape (groups,)
    """
    apart = np.ascontiguousarray(drawn - measured)
    least = NO_SPREAD * max(float(np.abs(measured).max(initial=0.0)), 1.0)
    parts = np.array_split(np.arange(len(measured)), min(len(measured), PARTS_A_THREAD * thread_count()))

    def one(groups: Codes) -> list[tuple[int, int]]:
        return [_places(apart, measured, int(group), confidence, least) for group in groups]

    found = [row for rows in in_parts(one, parts, label="ranks") for row in rows]
    best, worst = np.array(found, np.int64).reshape(-1, 2).T
    return best, worst


def _places(apart: Vector, measured: Vector, group: int, confidence: float, least: float) -> tuple[int, int]:
    largest, error = _largest_differences(apart, group, least)
    reach = float(np.quantile(largest, confidence))
    ahead = measured - measured[group]
    sure = np.abs(ahead) > np.maximum(reach * error, least)
    return 1 + int((sure & (ahead > 0)).sum()), len(measured) - int((sure & (ahead < 0)).sum())


@compiled
def _largest_differences(apart: Vector, group: int, least: float) -> tuple[Vector, Vector]:
    """Return the largest studentised difference to a group in every sample, and the spread of each difference."""
    replicates, groups = apart.shape
    error, largest = np.zeros(groups), np.zeros(replicates)
    for replicate in range(replicates):
        own = apart[replicate, group]
        for other in range(groups):
            error[other] += (apart[replicate, other] - own) ** 2
    for other in range(groups):
        error[other] = np.sqrt(error[other] / replicates)
    for replicate in range(replicates):
        own = apart[replicate, group]
        for other in range(groups):
            if error[other] > least:
                largest[replicate] = max(largest[replicate], abs(apart[replicate, other] - own) / error[other])
    return largest, error
