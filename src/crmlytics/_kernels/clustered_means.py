"""Means and shares of groups and how sure they are, when rows of one cluster (a customer) are alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from crmlytics._kernels.proportions import wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class GroupMeans:
    """One entry a group.

    Attributes
    ----------
    count, clusters : int64 array
    worth : float64 array
        So many clusters of one size say as much: ``(sum n)^2 / sum n^2``. L. Kish (1965), Survey Sampling, section 8.2.
    mean, error : float64 array
        The mean and its standard error; NaN of no row, and of a single cluster.
    design_effect : float64 array
        By how much the clusters raise the variance of the mean over that of as many rows drawn one by one, at least 1;
        where all values are alike each cluster is one row.
    """

    count: Counts
    clusters: Counts
    worth: Floats
    mean: Floats
    error: Floats
    design_effect: Floats

    def interval(self, confidence: float) -> tuple[Floats, Floats]:
        """Return bounds of the mean on Student's t with a degree of freedom for each cluster it is worth, less one.

        NaN where all values are alike: they say nothing of how far the next one may lie off.
        """
        reach = _student(self.worth, confidence) * np.where(self.error > 0, self.error, np.nan)
        return self.mean - reach, self.mean + reach

    def share_interval(self, confidence: float) -> tuple[Floats, Floats]:
        """Return bounds of a mean of zeros and ones: Wilson's, of the rows drawn one by one that say as much."""
        rows = self.rows_worth(confidence)
        return wilson(self.mean * rows, rows, confidence)

    def rows_worth(self, confidence: float) -> Floats:
        """Return how many rows drawn one by one say as much; NaN of a single cluster, which says nothing of others.

        E. L. Korn and B. I. Graubard (1998), "Confidence intervals for proportions with small expected number of
        positive counts estimated from survey data", Survey Methodology 24.
        """
        drawn, clustered = (_student(number, confidence) for number in (self.count, self.worth))
        return np.where(self.clusters > 1, self.count / self.design_effect * (drawn / clustered) ** 2, np.nan)


def group_means(values: Floats, group: Counts, groups: int, *, cluster: Counts | None = None) -> GroupMeans:
    """Return the mean of each group; without clusters each row is one.

    Its variance is that of the means without one cluster each, the jackknife: ``(G - 1) / G * sum of (m_g - m)^2``.
    """
    count = np.bincount(group, minlength=groups)
    members = np.arange(len(values)) if cluster is None else np.asarray(cluster, np.int64)
    spread = int(members.max(initial=0)) + 1
    keys, place = np.unique(group * spread + members, return_inverse=True)  # a cluster that is in two groups is two
    owner = keys // spread
    clusters, size = np.bincount(owner, minlength=groups), np.bincount(place, minlength=len(keys))
    with np.errstate(divide="ignore", invalid="ignore"):
        worth = count**2 / np.bincount(owner, size**2, groups)
        mean = np.bincount(group, values, groups) / count
        residuals = values - mean[group]
        moved = np.bincount(place, residuals, len(keys)) / (count[owner] - size)
        variance = np.bincount(owner, moved**2, groups) * (clusters - 1) / clusters
        alone = np.bincount(group, residuals**2, groups) / (count - 1) / count
        design = np.where(alone > 0, np.maximum(variance / alone, 1.0), count / worth)
    return GroupMeans(count, clusters, worth, mean, np.sqrt(_rounded(variance, mean)), design)


def _student(rows: Any, confidence: float) -> Any:
    """Return the quantile of Student's t with a degree of freedom a row, less one, but one at least."""
    return special.stdtrit(np.maximum(rows - 1, 1), (1 + confidence) / 2)


def _rounded(variance: Floats, mean: Floats) -> Any:
    """Take what rounding leaves of equal values for what it is."""
    return np.where(variance <= (1e-12 * np.abs(mean)) ** 2, 0.0, variance)
