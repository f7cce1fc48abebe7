"""What is read off Kaplan and Meier's curves of waiting: quantiles, shares by a moment, and whether groups differ."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from crmlytics._kernels.kaplan_meier import ROUNDING, Curves, _first_below
from crmlytics._kernels.proportions import wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Counts = NDArray[np.int64]
    Flags = NDArray[np.bool_]

LEAST_EXPECTED = 5.0  # endings, in a group and in the others: below it the normal distribution is not theirs
LEAST_CLUSTERS = 10  # likewise, where they are what varies
BEFORE_FIRST, UNSEEN = -1, -2


def quantile(curves: Curves, share: float, values: Floats | None = None) -> Floats:
    """Return the time of each group by which ``share`` have ended, NaN where it is never seen.

    ``values`` are bounds of the survival instead of it. Where the curve stays at exactly ``1 - share`` for a while, the
    middle of that time, as with :meth:`Curves.median`.
    """
    values = curves.survival if values is None else values
    first, below = (
        _first_below(curves.starts, curves.time, values, 1 - share + side * ROUNDING) for side in (1.0, -1.0)
    )
    return np.where(np.isnan(below), first, (first + below) / 2)


def survival_interval(curves: Curves, confidence: float) -> tuple[Floats, Floats]:
    """Return bounds of each row of the curves, normal on the scale of ln(-ln S).

    With clusters on Student's t, with a degree of freedom for each that they are worth, less one.
    """
    reach = special.stdtrit(np.maximum(np.asarray(curves.worth) - 1, 1), (1 + confidence) / 2)
    return curves.interval(np.repeat(np.broadcast_to(reach, len(curves.starts) - 1), np.diff(curves.starts)))


def quantile_interval(curves: Curves, share: float, confidence: float) -> tuple[Floats, Floats]:
    """Return the times at which the bounds of the curve pass ``1 - share``.

    R. Brookmeyer and J. Crowley (1982), "A confidence interval for the median survival time", Biometrics 38.
    """
    low, high = survival_interval(curves, confidence)
    return quantile(curves, share, low), quantile(curves, share, high)


def share_within(curves: Curves, time: float | Floats, confidence: float) -> tuple[Floats, Floats, Floats]:
    """Return the share of each group that has ended by ``time``, with bounds; NaN where nobody was watched so long.

    ``time`` is one for all groups or one for each. Where nobody, or everybody, has ended the scale of ln(-ln S) has no
    bounds: Wilson's, of those who were watched, a cluster counting as one; a single one has none.
    """
    time = np.broadcast_to(np.asarray(time, np.float64), len(curves.starts) - 1)
    place = _places(curves, time)
    row = np.maximum(place, 0)
    low, high = (_at(bound, row) for bound in survival_interval(curves, confidence))
    seen = place != UNSEEN
    survival = np.where(place >= 0, _at(curves.survival, row), 1.0)
    share = np.where(seen, 1 - survival, np.nan)
    watched, spells = _watched(curves, time), np.maximum(_watched(curves, np.zeros(len(time))), 1)
    watched *= np.where(np.asarray(curves.worth) > 1, np.minimum(curves.worth, spells) / spells, np.nan)
    extreme = seen & ((survival == 0) | (survival == 1))
    least, most = wilson(np.where(survival == 0, watched, 0), watched, confidence)
    below, above = (np.where(seen, bound, np.nan) for bound in (1 - high, 1 - low))
    return share, np.where(extreme, least, below), np.where(extreme, most, above)


def log_rank(
    time: Floats, ended: Flags, group: Counts, groups: int, *, cluster: Counts | None = None
) -> tuple[Floats, Floats]:
    """Test for each group whether its spells end as soon as all others': z (above 0: sooner) and its p-value.

    N. Mantel (1966), "Evaluation of survival data and two new rank order statistics arising in its consideration",
    Cancer Chemotherapy Reports 50: ``z = (O - E) / sqrt(V)``. Where spells share clusters V is the sum of these'
    squared influences on O - E (D. Y. Lin and L. J. Wei (1989), "The robust inference for the Cox proportional hazards
    model", Journal of the American Statistical Association 84), times G / (G - 1). NaN where fewer than 5 endings are
    expected, or fewer than 10 such clusters are in the group or in the others.
    """
    members = None if cluster is None else np.unique(cluster, return_inverse=True)[1]
    if members is not None and members.max(initial=0) + 1 == len(members):
        members = None  # each its own: the robust variance of a small group is too small
    times, moment = np.unique(time, return_inverse=True)
    endings = np.bincount(moment, ended, len(times))
    at_risk = _from_here_on(moment, len(times))
    hazard = endings / at_risk
    z = np.full(groups, np.nan)
    for g in range(groups):
        inside = group == g
        share = _from_here_on(moment[inside], len(times)) / at_risk
        expected = float((share * endings).sum())
        if min(expected, float(endings.sum()) - expected) < LEAST_EXPECTED or _few(members, inside):
            continue
        if members is None:
            left = np.divide(at_risk - endings, at_risk - 1, out=np.zeros(len(times)), where=at_risk > 1)
            variance = float((endings * left * share * (1 - share)).sum())
        else:
            passed = inside * np.cumsum(hazard)[moment] - np.cumsum(share * hazard)[moment]
            sums = np.bincount(members, ended * (inside - share[moment]) - passed)
            variance = float(sums @ sums) * len(sums) / (len(sums) - 1)
        if variance > 0:
            z[g] = (ended[inside].sum() - expected) / np.sqrt(variance)
    return z, 2 * special.ndtr(-np.abs(z))


def _few(members: Counts | None, inside: Flags) -> bool:
    if members is None:
        return False
    return bool(min(np.count_nonzero(np.bincount(members[part])) for part in (inside, ~inside)) < LEAST_CLUSTERS)


def _places(curves: Curves, time: Floats) -> Counts:
    """Return the row of each curve that holds at a time of its own."""
    places = np.full(len(curves.starts) - 1, UNSEEN)
    for g, (start, end) in enumerate(pairwise(curves.starts)):
        if end > start and (curves.time[end - 1] >= time[g] or curves.survival[end - 1] == 0):
            place = start + np.searchsorted(curves.time[start:end], time[g], side="right") - 1
            places[g] = place if place >= start else BEFORE_FIRST
    return places


def _at(values: Floats, row: Counts) -> Floats:
    return values[row] if len(values) else np.full(len(row), np.nan)


def _watched(curves: Curves, time: Floats) -> Floats:
    """Return how many of each group ended by a time or were watched until then."""
    watched = np.zeros(len(curves.starts) - 1)
    for g, (start, end) in enumerate(pairwise(curves.starts)):
        if end > start:
            watched[g] = curves.at_risk[start] - curves.open[start:end][curves.time[start:end] < time[g]].sum()
    return watched


def _from_here_on(moment: Counts, times: int) -> Floats:
    """Count the spells that last until each moment."""
    counted: Floats = np.cumsum(np.bincount(moment, minlength=times)[::-1])[::-1].astype(np.float64)
    return counted
