"""What a period will bring, told when part of it is gone, from the same point of past periods; arrays of partners.

Every array of the past has the shape (partners, periods), the earliest period first; NaN is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from crmlytics._kernels.ratios import over

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Flags = NDArray[np.bool_]

METHODS = ("run rate", "level", "quota", "rest of quota", "season")
LAST_RESORT = (1, 0, 3, 2, 4)  # where nothing can be judged
RECENT = 4  # periods that tell the level: of quarters a year
LEAST_ERRORS, LEAST_JUDGED = 10, 4  # past forecasts, and the periods these are of, before an interval is made
LEAST_PERIODS = 2  # before a level is one
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """Past periods as they looked when the same part of them was gone.

    Attributes
    ----------
    early, total : float64 arrays, shape (partners, periods)
        Revenue by that point, and of the whole period.
    quota : float64 array, shape (partners, periods)
        What was asked.
    known_before : int64 array, shape (periods,)
        How many of the earlier periods were over at that point.
    season : int64 array, shape (periods,)
        The period a year before, -1 where none is known.
    elapsed : float
        The part that is gone, 0 to 1.
    """

    early: Vector
    total: Vector
    quota: Vector
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
        ``scale``: what errors are measured in, what is usual of the partner (of methods that know its quota: what is
        usual of such a quota) or what the method says, whichever is larger.
    floor : float64 array
        What no period ends below: what came, where no past period ended below where it stood; else minus infinity.
    error_count : int64 array, shape (methods,)
        Past forecasts of each method; 0 where these are too few.
    spread, freedom : float64 arrays, shape (methods,)
        The standard error of a forecast, in scales, and its degrees of freedom: see :func:`_spread`.
    error_share, run_rate_error_share : float64 arrays, shape (methods,)
        Mean absolute error over the mean of what came, of each method and of the bare run rate at the same points.
    """

    method: NDArray[np.int64]
    forecast: Vector
    scale: Vector
    floor: Vector
    error_count: NDArray[np.int64]
    spread: Vector
    freedom: Vector
    error_share: Vector
    run_rate_error_share: Vector

    def interval(self, confidence: float) -> tuple[Vector, Vector]:
        """Return the bounds of the forecasts."""
        reach = (special.stdtrit(self.freedom, (1 + confidence) / 2) * self.spread)[self.method] * self.scale
        low, high = (np.maximum(self.forecast + side * reach, self.floor) for side in (-1, 1))
        return low, high

    def reach_probability(self, target: Vector) -> Vector:
        """Return how probable it is that so much comes."""
        ahead = (self.forecast - target) / self.scale / self.spread[self.method]
        found = special.stdtr(self.freedom[self.method], ahead)
        return np.where((target <= self.floor) & ~np.isnan(found), 1.0, found)


def forecasts(early: Vector, quota: Vector, past: Past, until: int, season: int) -> tuple[Vector, Vector]:
    """Return forecasts by every method, and what is usual: the level of each partner, or A; shape (methods, partners).

    The run rate is ``early / elapsed``. With g the part of revenue that had come by this point in past periods of all
    partners, and U what a period of the partner usually brings, "level" (U the mean of the last four periods) and
    "season" (the period a year before) are ``early + (1 - g) (early + (1 - g) U)``, the reserve of G. Benktander
    (1976), "An approach to credibility in calculating IBNR for casualty excess reinsurance", Actuarial Review: what
    has come counts by g, what was usual by the rest. "quota" is A, the quota times what all partners together attained
    of theirs before, whatever has come; "rest of quota" is ``early + (1 - g) A``: R. L. Bornhuetter and R. E. Ferguson
    (1972), "The actuary and IBNR", Proceedings of the Casualty Actuarial Society 59.
    """
    before = past.total[:, :until]
    run_rate = early / past.elapsed if past.elapsed > 0 else np.full(len(early), np.nan)
    came = _part(past.early[:, :until], before)
    came = min(max(came, 0.0), 1.0) if np.isfinite(came) else np.nan
    level = _recent_means(before)
    asked = quota * _part(before, past.quota[:, :until])
    last_year = past.total[:, season] if 0 <= season < until else np.full(len(early), np.nan)
    usual, seasonal = (early + (1 - came) * (early + (1 - came) * known) for known in (level, last_year))
    told = np.array([run_rate, usual, asked, early + (1 - came) * asked, seasonal])
    return told, np.array([level, level, asked, asked, level])


def outlook(early: Vector, quota: Vector, past: Past, season: int) -> Outlook:
    """Forecast each partner by the method that was nearest in the past, of those that know it, and tell its errors.

    What a method missed in the median is added: where it was too high before, forecasts are as much lower.
    """
    periods = past.total.shape[1]
    now, usual = forecasts(early, quota, past, periods, season)
    made = [
        forecasts(past.early[:, j], past.quota[:, j], past, int(past.known_before[j]), int(past.season[j]))
        for j in range(periods)
    ]
    tried, sizes = np.concatenate([np.zeros((2, len(METHODS), 0)), *made], axis=2)
    came = past.total.T.ravel()
    scales = _positive(np.maximum(sizes, tried))
    misses = came - tried
    errors = misses / scales
    count = (~np.isnan(errors)).sum(axis=1)
    is_judged = count >= LEAST_ERRORS
    errors[~is_judged] = np.nan
    shift = np.array([np.nanmedian(row) if judged else 0.0 for row, judged in zip(errors, is_judged, strict=True)])
    left = misses - shift[:, None] * scales
    method = _best_available(np.isnan(now), _order(left / _positive(sizes[0]), is_judged))
    says, size = now[method, np.arange(len(early))], usual[method, np.arange(len(early))]
    scale = _positive(np.fmax(size, says))
    spread, freedom = np.array([_spread(row.reshape(periods, len(early))) for row in errors]).T
    floor = np.where(periods > 0 and _never_less(past), early, -np.inf)
    return Outlook(
        method=method,
        forecast=np.maximum(np.where(shift[method] == 0, says, says + shift[method] * scale), floor),
        scale=scale,
        floor=floor,
        error_count=np.where(is_judged, count, 0),
        spread=spread,
        freedom=freedom,
        error_share=_over_what_came(left, came),
        run_rate_error_share=_over_what_came(np.where(np.isnan(left), np.nan, misses[0]), came),
    )


def _spread(errors: Vector) -> tuple[float, float]:
    """Return the standard error of a forecast, in scales, and its degrees of freedom; NaN of too few periods.

    What makes one period good or bad for all partners at once is drawn anew but once a period: however many partners
    there are, J periods tell of it with J - 1 degrees of freedom. With the variance of the means of periods, less what
    that within them adds to it, a new error varies by what is between, what is within, and what the mean may be off by
    (variance components; F. E. Satterthwaite 1946, Biometrics Bulletin 2, for the degrees of freedom).

    Parameters
    ----------
    errors : float64 array, shape (periods, partners)
        What came less what was forecast, over the scale; NaN is not known.
    """
    rows = [row[~np.isnan(row)] for row in errors]
    rows = [row for row in rows if len(row)]
    periods = len(rows)
    if periods < LEAST_JUDGED:
        return np.nan, np.nan
    size, loose = np.mean([len(row) for row in rows]), sum(len(row) - 1 for row in rows)
    between = float(np.var([row.mean() for row in rows], ddof=1))
    within = sum(len(row) * row.var() for row in rows) / max(loose, 1)
    variance = max(between - within / size, 0.0) + within + between / periods
    parts = (between * (1 + 1 / periods)) ** 2 / (periods - 1) + (within * (1 - 1 / size)) ** 2 / max(loose, 1)
    freedom = variance**2 / parts if parts > 0 else 0.0
    return max(float(np.sqrt(variance)), ROUNDING), max(float(freedom), periods - 1.0)


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


def _part(values: Vector, whole: Vector) -> float:
    """Return the part that values are of a whole, both added up where both are known; NaN of nothing."""
    known = ~np.isnan(values) & ~np.isnan(whole)
    below = float(whole[known].sum())
    return float(values[known].sum()) / below if below > 0 else np.nan


def _never_less(past: Past) -> bool:
    """Whether no past period ended below where it stood."""
    least = ROUNDING * max(float(np.nanmax(np.abs(past.total), initial=0.0)), 1.0)
    return bool((np.nan_to_num(past.total - past.early) >= -least).all())


def _positive(values: Vector) -> Vector:
    return np.where(values > 0, values, np.nan)


def _over_what_came(misses: Vector, came: Vector) -> Vector:
    """Return mean absolute errors over the mean of what came at the same points; NaN without any."""
    known = ~np.isnan(misses)
    off = np.where(known, np.abs(misses), 0.0).sum(axis=1)
    whole = np.where(known, np.abs(came), 0.0).sum(axis=1)
    return over(off, whole)


def _recent_means(totals: Vector) -> Vector:
    """Return the mean of the last known periods of each partner; NaN without two."""
    found = np.full(len(totals), np.nan)
    for partner, row in enumerate(totals):
        known = row[~np.isnan(row)][-RECENT:]
        if len(known) >= LEAST_PERIODS:
            found[partner] = known.mean()
    return found
