"""What a period will bring, told when part of it is gone, from the same point of past periods; arrays of partners.

Every array of the past has the shape (partners, periods), the earliest period first; NaN is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Flags = NDArray[np.bool_]

METHODS = ("run rate", "level", "season")
LAST_RESORT = (1, 0, 2)  # level, run rate, season: where nothing can be judged
RECENT = 4  # periods that tell the level: of quarters a year
LEAST_ERRORS = 10
LEAST_PERIODS = 2  # before a level is one
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """Past periods as they looked when the same part of them was gone.

    Attributes
    ----------
    early, total : float64 arrays, shape (partners, periods)
        Revenue by that point, and of the whole period.
    known_before : int64 array, shape (periods,)
        How many of the earlier periods were over at that point.
    season : int64 array, shape (periods,)
        The period a year before, -1 where none is known.
    elapsed : float
        The part that is gone, 0 to 1.
    """

    early: Vector
    total: Vector
    known_before: NDArray[np.int64]
    season: NDArray[np.int64]
    elapsed: float


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """Forecasts of every partner, shape (partners,), and how such forecasts did before.

    Attributes
    ----------
    method : int64 array
        The place among the methods.
    forecast, scale : float64 arrays
        ``scale``: what errors are measured in, the level of the partner or the forecast, whichever is larger.
    errors : list of float64 arrays, one a method
        Sorted: what came less what was forecast, over the scale, of past forecasts; none where these are too few.
    error_share, run_rate_error_share : float64 arrays, shape (methods,)
        Mean absolute error over the mean of what came, of each method and of the run rate at the same points.
    never_less : bool
        Whether no past period ended below where it stood.
    """

    method: NDArray[np.int64]
    forecast: Vector
    scale: Vector
    errors: list[Vector]
    error_share: Vector
    run_rate_error_share: Vector
    never_less: bool

    def interval(self, confidence: float) -> tuple[Vector, Vector]:
        """Return the bounds of the forecasts."""
        reach = np.array([error_bounds(errors, confidence) for errors in self.errors])[self.method]
        return self.forecast + reach[:, 0] * self.scale, self.forecast + reach[:, 1] * self.scale

    def reach_probability(self, target: Vector) -> Vector:
        """Return how probable it is that so much comes: as often as past errors were as large as it takes."""
        needed = (target - self.forecast) / self.scale
        found = np.full(len(target), np.nan)
        for method, errors in enumerate(self.errors):
            own = (self.method == method) & ~np.isnan(needed)
            if len(errors):
                above = len(errors) - np.searchsorted(errors, needed[own] - ROUNDING)
                found[own] = (above + 0.5) / (len(errors) + 1)
        return found


def forecasts(early: Vector, past: Past, until: int, season: int) -> tuple[Vector, Vector]:
    """Return forecasts by every method, shape (methods, partners), and the level of each partner.

    The run rate is ``early / elapsed``. The others expect of the rest of the period what it usually brings: with g the
    part of revenue that had come by this point in past periods of all partners and U what a period of the partner is
    expected to bring, ``early + (1 - g) (early + (1 - g) U)``. That is the reserve of G. Benktander (1976), "An
    approach to credibility in calculating IBNR for casualty excess reinsurance", Actuarial Review: what has come
    counts by g, what was expected by the rest. U is the mean of the last four periods (level) or the period a year
    before (season).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        run_rate = early / past.elapsed if past.elapsed > 0 else np.full(len(early), np.nan)
        before = past.total[:, :until]
        came = float(np.nansum(past.early[:, :until]) / np.nansum(before)) if until else np.nan
    came = min(max(came, 0.0), 1.0) if np.isfinite(came) else np.nan
    level = _recent_means(before)
    last_year = past.total[:, season] if 0 <= season < until else np.full(len(early), np.nan)
    expected = [early + (1 - came) * (early + (1 - came) * usual) for usual in (level, last_year)]
    return np.array([run_rate, *expected]), level


def outlook(early: Vector, past: Past, season: int) -> Outlook:
    """Forecast each partner by the method that was nearest in the past, of those that know it, and keep the errors."""
    periods = past.total.shape[1]
    now, level = forecasts(early, past, periods, season)
    made = [forecasts(past.early[:, j], past, int(past.known_before[j]), int(past.season[j])) for j in range(periods)]
    tried = np.concatenate([np.zeros((len(METHODS), 0)), *[rows for rows, _ in made]], axis=1)
    levels = np.concatenate([np.zeros(0), *[of for _, of in made]])
    came = past.total.T.ravel()
    scales = np.maximum(levels, tried)
    with np.errstate(invalid="ignore"):
        misses = np.where(scales > 0, came - tried, np.nan)
    known = ~np.isnan(misses)
    enough = known.sum(axis=1) >= LEAST_ERRORS
    method = _best_available(np.isnan(now), _order(misses / _positive(levels), enough))
    run_rate = np.where(known, misses[0], np.nan)
    largest = float(np.nanmax(np.abs(past.total), initial=0.0))
    return Outlook(
        method=method,
        forecast=now[method, np.arange(len(early))],
        scale=_positive(np.fmax(level, now[method, np.arange(len(early))])),
        errors=[np.sort((row / scale)[is_known]) if is_enough else np.zeros(0)
                for row, scale, is_known, is_enough in zip(misses, scales, known, enough, strict=True)],
        error_share=_over_what_came(misses, came),
        run_rate_error_share=_over_what_came(run_rate, came),
        never_less=bool((np.nan_to_num(past.total - past.early) >= -ROUNDING * max(largest, 1.0)).all()),
    )  # fmt: skip


def error_bounds(errors: Vector, confidence: float) -> tuple[float, float]:
    """Return between which errors a new one lies, as exchangeable ones do; the outermost where there are too few.

    V. Vovk, A. Gammerman and G. Shafer (2005), Algorithmic learning in a random world.
    """
    if not len(errors):
        return np.nan, np.nan
    place = max(int(np.floor((len(errors) + 1) * (1 - confidence) / 2 + ROUNDING)), 1)
    return float(errors[place - 1]), float(errors[-place])


def _order(misses: Vector, enough: Flags) -> list[int]:
    """Return the methods, the nearest in relation to the level first, judged at the same points; unjudged ones last."""
    judged = [number for number in range(len(METHODS)) if enough[number]]
    while judged and (~np.isnan(misses[judged])).all(axis=0).sum() < LEAST_ERRORS:
        judged.pop()  # the season has the fewest points
    common = (~np.isnan(misses[judged])).all(axis=0)
    nearest = sorted(judged, key=lambda number: float(np.abs(misses[number][common]).mean()))
    return [*nearest, *(number for number in LAST_RESORT if number not in judged)]


def _best_available(missing: Flags, order: list[int]) -> NDArray[np.int64]:
    """Return the first method of the order that has a forecast for each partner."""
    ranked = ~missing[order]
    return np.array(order)[np.where(ranked.any(axis=0), ranked.argmax(axis=0), 0)]


def _positive(values: Vector) -> Vector:
    return np.where(values > 0, values, np.nan)


def _over_what_came(misses: Vector, came: Vector) -> Vector:
    """Return mean absolute errors over the mean of what came at the same points; NaN without any."""
    known = ~np.isnan(misses)
    off = np.where(known, np.abs(misses), 0.0).sum(axis=1)
    whole = np.where(known, np.abs(came), 0.0).sum(axis=1)
    share: Vector = np.divide(off, whole, out=np.full(len(misses), np.nan), where=whole > 0)
    return share


def _recent_means(totals: Vector) -> Vector:
    """Return the mean of the last known periods of each partner; NaN without two."""
    found = np.full(len(totals), np.nan)
    for partner, row in enumerate(totals):
        known = row[~np.isnan(row)][-RECENT:]
        if len(known) >= LEAST_PERIODS:
            found[partner] = known.mean()
    return found
