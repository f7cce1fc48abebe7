"""Kaplan and Meier's curve of how many still wait, for many groups at once, and what is read off it.

E. L. Kaplan and P. Meier (1958), "Nonparametric estimation from incomplete observations".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._kernels.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.special import Vector

ROUNDING = 1e-9  # a product of fractions may miss one half by its last bit


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """How many still wait; one row per group and time at which a spell ended or was cut off, by group and time.

    Attributes
    ----------
    starts : int64 array, shape (groups + 1,)
        The rows of group ``g`` are ``starts[g]`` to ``starts[g + 1]``.
    time : float64 array
    survival : float64 array
        The share that lasts longer than ``time``.
    variance : float64 array
        Of the logarithm of ``survival``: Greenwood's, or that of clusters; NaN where nobody is left.
    at_risk, ended, open : float64 arrays
        The weight of the spells that had lasted until ``time``, of those that ended then and those cut off then.
    worth : float64 array, shape (groups,)
        So many clusters of one size say as much; infinite without clusters.
    """

    starts: NDArray[np.int64]
    time: Vector
    survival: Vector
    variance: Vector
    at_risk: Vector
    ended: Vector
    open: Vector
    worth: float | Vector = math.inf

    def interval(self, z: float | Vector) -> tuple[Vector, Vector]:
        """Return bounds of ``survival``, z errors off on the scale of ln(-ln S); NaN where it is 1 or 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            log_survival = np.log(self.survival)
            reach = np.exp(z * np.sqrt(self.variance) / -log_survival)
            low, high = self.survival**reach, self.survival ** (1 / reach)
        known = (self.survival > 0) & (self.survival < 1)
        return np.where(known, low, np.nan), np.where(known, high, np.nan)

    def median(self, values: Vector | None = None) -> Vector:
        """Return the time of each group at which ``survival`` (or a bound of it) passes one half, or NaN.

        Where it stays at exactly one half for a while, the middle of that time: the median as it is usually taken.
        """
        values = self.survival if values is None else values
        first, below = (_first_below(self.starts, self.time, values, 0.5 + side * ROUNDING) for side in (1, -1))
        return np.where(np.isnan(below), first, (first + below) / 2)

    def restricted_mean(self, until: float) -> Vector:
        """Return the mean of min(T, ``until``) of each group: the area below its curve."""
        return _area(self.starts, self.time, self.survival, float(until))


def kaplan_meier(
    time: Vector,
    ended: NDArray[np.bool_],
    group: NDArray[np.int64],
    groups: int,
    *,
    weights: Vector | None = None,
    cluster: NDArray[np.int64] | None = None,
) -> Curves:
    """Estimate how many still wait, from spells of which some were cut off (not ``ended``) and last longer.

    Without clusters the variance is Greenwood's. Spells of one cluster (a customer, say) are alike: their influence on
    the curve is summed before it is squared (the infinitesimal jackknife; R. L. Williams (1995), "Product-limit
    survival functions with correlated survival times"), and taken for what leaving the cluster out moves, which is
    ``1 / (1 - its share of the weight)`` times as much; all that times (G - 1) / G. One cluster alone says nothing.
    """
    time = np.asarray(time, np.float64)
    weights = np.ones(len(time)) if weights is None else np.asarray(weights, np.float64)
    order = np.lexsort((time, group))
    starts = np.searchsorted(group[order], np.arange(groups + 1))
    if cluster is None:
        members, stretch, worth = np.arange(len(time)), np.ones(len(time)), np.full(groups, np.inf)
    else:  # a cluster that is in two groups is two
        spread = int(cluster.max(initial=0)) + 1
        ids, members = np.unique(group[order] * spread + cluster[order], return_inverse=True)
        stretch, worth = _held(np.bincount(members, weights[order], len(ids)), ids // spread, groups)
    return Curves(*_curves(starts, time[order], ended[order], weights[order], members, stretch), worth)


def _held(weight: NDArray[Any], owner: NDArray[np.int64], groups: int) -> tuple[Vector, Vector]:
    """Return by how much a cluster's square counts, given its weight and group, and how many clusters of one size."""
    whole, squares = np.bincount(owner, weight, groups), np.bincount(owner, weight**2, groups)
    clusters = np.bincount(owner, minlength=groups)[owner]
    others = np.where(clusters > 1, 1 - weight / whole[owner], np.nan)
    return (clusters - 1) / clusters / others**2, whole**2 / np.where(squares > 0, squares, np.nan)


@compiled
def _curves(
    starts: NDArray[np.int64],
    time: Vector,
    ended: NDArray[np.bool_],
    weights: Vector,
    member: NDArray[np.int64],
    stretch: Vector,
) -> tuple[NDArray[np.int64], Vector, Vector, Vector, Vector, Vector, Vector]:
    """Walk through each group by time.

    The influence of a spell on -ln S(t) is H(t) = sum of d / (n (n - d)) while it lasts, and H(T) - 1 / (n - d) once
    it has ended at T (H(T), if it was cut off). So a cluster's influence is H(t) a + b, and only three sums over the
    clusters are kept: of a^2, a b and b^2, each times ``stretch``.
    """
    row_starts, rows = np.zeros(len(starts), np.int64), np.empty((6, len(time)))
    a, b, row = np.zeros(len(stretch)), np.zeros(len(stretch)), 0
    for g in range(len(starts) - 1):
        at_risk, survival, hazard = 0.0, 1.0, 0.0
        for i in range(starts[g], starts[g + 1]):
            at_risk += weights[i]
            a[member[i]] += weights[i]
        aa, ab, bb = 0.0, 0.0, 0.0
        for i in range(starts[g], starts[g + 1]):  # each spell's part of its cluster's square
            aa += stretch[member[i]] * weights[i] * a[member[i]]
        first = starts[g]
        while first < starts[g + 1]:
            last, events, cut = first, 0.0, 0.0
            while last < starts[g + 1] and time[last] == time[first]:
                events += weights[last] if ended[last] else 0.0
                cut += 0.0 if ended[last] else weights[last]
                last += 1
            left = at_risk - events if last < starts[g + 1] or cut > 0 else 0.0
            if left > 0:
                survival *= left / at_risk
                hazard += events / (at_risk * left)
            elif events > 0:
                survival = 0.0
            for i in range(first, last):
                c, w, s = member[i], weights[i], stretch[member[i]]
                gain = w * (hazard - (1 / left if ended[i] and left > 0 else 0.0))
                ab += s * ((a[c] - w) * (b[c] + gain) - a[c] * b[c])
                aa -= s * (2 * a[c] - w) * w
                bb += s * (2 * b[c] + gain) * gain
                a[c] -= w
                b[c] += gain
            variance = hazard * hazard * aa + 2 * hazard * ab + bb if survival > 0 else np.nan
            values = (time[first], survival, 0.0 if variance < 0 else variance, at_risk, events, cut)
            for column in range(6):
                rows[column, row] = values[column]
            row += 1
            at_risk = left - cut
            first = last
        row_starts[g + 1] = row
    kept = rows[:, :row]
    return row_starts, kept[0], kept[1], kept[2], kept[3], kept[4], kept[5]


@compiled
def _first_below(starts: NDArray[np.int64], time: Vector, values: Vector, limit: float) -> Vector:
    found = np.full(len(starts) - 1, np.nan)
    for g in range(len(found)):
        for row in range(starts[g], starts[g + 1]):
            if values[row] <= limit:
                found[g] = time[row]
                break
    return found


@compiled
def _area(starts: NDArray[np.int64], time: Vector, survival: Vector, until: float) -> Vector:
    areas = np.zeros(len(starts) - 1)
    for g in range(len(areas)):
        height, before = 1.0, 0.0
        for row in range(starts[g], starts[g + 1]):
            if time[row] >= until:
                break
            areas[g] += height * (time[row] - before)
            height, before = survival[row], time[row]
        areas[g] += height * (until - before) if math.isfinite(until) else np.nan
    return areas
