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
    mean, error : float64 array
        The mean and its standard error; NaN of no row, and of a single cluster.
    design_effect : float64 array
        By how much the clusters raise the variance of the mean over that of as many rows drawn one by one, at least 1.
    """

    count: Counts
    clusters: Counts
    mean: Floats
    error: Floats
    design_effect: Floats

    def interval(self, confidence: float) -> tuple[Floats, Floats]:
        """Return bounds of the mean on Student's t with a degree of freedom a cluster, less one.

        NaN where all values are alike: they say nothing of how far the next one may lie off.
        """
        freedom = np.maximum(self.clusters - 1, 1)
        reach = special.stdtrit(freedom, (1 + confidence) / 2) * np.where(self.error > 0, self.error, np.nan)
        return self.mean - reach, self.mean + reach

    def share_interval(self, confidence: float) -> tuple[Floats, Floats]:
        """Return bounds of a mean of zeros and ones: Wilson's, of so many rows as the clusters are worth.

        J. N. K. Rao and A. J. Scott (1992), "A simple method for the analysis of clustered binary data", Biometrics 48.
        """
        rows = self.count / self.design_effect
        return wilson(np.where(self.count > 0, self.mean, 0.0) * rows, rows, confidence)


def group_means(values: Floats, group: Counts, groups: int, *, cluster: Counts | None = None) -> GroupMeans:
    """Return the mean of each group; without clusters each row is one.

    ``Var = G / (G - 1) * sum over clusters (sum of residuals)^2 / n^2``.
    """
    count = np.bincount(group, minlength=groups)
    members = np.arange(len(values)) if cluster is None else np.asarray(cluster, np.int64)
    spread = int(members.max(initial=0)) + 1
    keys, place = np.unique(group * spread + members, return_inverse=True)  # a cluster that is in two groups is two
    owner = keys // spread
    clusters = np.bincount(owner, minlength=groups)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(group, values, groups) / count
        residuals = values - mean[group]
        squares = np.bincount(owner, np.bincount(place, residuals, len(keys)) ** 2, groups)
        variance = np.where(clusters > 1, squares * clusters / (clusters - 1) / count**2, np.nan)
        alone = np.bincount(group, residuals**2, groups) / (count - 1) / count
        design = np.where((alone > 0) & (variance > alone), variance / alone, 1.0)
    return GroupMeans(count, clusters, mean, np.sqrt(_rounded(variance, mean)), design)


def _rounded(variance: Floats, mean: Floats) -> Any:
    """Take what rounding leaves of equal values for what it is."""
    return np.where(variance <= (1e-12 * np.abs(mean)) ** 2, 0.0, variance)
