"""Rows of a matrix in groups: four ways to find them, one way to say which group a row belongs to."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import ThreadpoolController

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

K_MEANS, MIXTURE, PROTOTYPES, HIERARCHY = "k-means", "gaussian mixture", "k-prototypes", "hierarchical"
METHODS = (K_MEANS, MIXTURE, PROTOTYPES, HIERARCHY)
MOST_ROWS = {K_MEANS: 100_000, MIXTURE: 20_000, PROTOTYPES: 100_000, HIERARCHY: 3_000}  # to begin with
MOST_ROUNDS = 100
MANY_COLUMNS = 30  # of a covariance matrix
RIDGE = 0.01  # of a column whose variance is 1: no group is thinner than a tenth of its spread
LEAST_SPREAD = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """Groups of rows, the largest first.

    Attributes
    ----------
    centres : float64 array, shape (groups, columns)
    spread : float
        The mean squared distance of a row to its centre, a feature.
    mixture : GaussianMixture, optional
        With it rows belong where they are likeliest, without it where the centre is nearest.
    order : int64 array, shape (groups,)
        Which component of the mixture each group is.
    """

    centres: Floats
    spread: float
    mixture: Any
    order: Ints

    def distances(self, matrix: Floats) -> Floats:
        """Return the distance of each row to each centre: by differences, the same however many rows there are."""
        return np.sqrt(_squares(matrix, self.centres))

    def probabilities(self, matrix: Floats, distances: Floats) -> Floats:
        """Return how likely each row belongs to each group.

        Without a mixture: as if the groups were round, equally wide and equally likely, which k-means supposes.
        """
        if self.mixture is not None:
            return np.asarray(self.mixture.predict_proba(matrix)[:, self.order])
        nearer = distances.min(axis=1, keepdims=True) ** 2 - distances**2
        weight = np.exp(nearer / (2 * self.spread))
        return np.asarray(weight / weight.sum(axis=1, keepdims=True))

    def labels(self, matrix: Floats) -> Ints:
        """Return the number of the group of each row."""
        distances = self.distances(matrix)
        if self.mixture is None:
            return np.asarray(distances.argmin(axis=1), np.int64)
        return np.asarray(self.probabilities(matrix, distances).argmax(axis=1), np.int64)


def find_clusters(
    matrix: Floats, count: int, method: str, blocks: Sequence[slice], *, seed: int, starts: int = 8
) -> Clusters:
    """Find ``count`` groups of rows, or as many as there are different rows.

    Parameters
    ----------
    matrix : float64 array, shape (rows, columns)
    method : one of METHODS
    blocks : sequence of slice
        The columns that are the levels of one feature, one of them above zero.
    starts : int
        How often the search begins anew.
    """
    random = np.random.default_rng(seed)
    few = matrix
    if len(matrix) > MOST_ROWS[method]:
        few = matrix[np.sort(random.permutation(len(matrix))[: MOST_ROWS[method]])]
    count = min(count, len(np.unique(few, axis=0)))
    mixture = None
    with _threads().limit(limits=1), warnings.catch_warnings():  # threads add up in another order every time
        warnings.simplefilter("ignore", ConvergenceWarning)
        if method == MIXTURE:
            mixture = _mixture(few, count, blocks, seed, starts)
            centres = mixture.means_
        elif method == HIERARCHY:
            centres = _hierarchy(few, count)
        else:
            centres = _k_means(matrix, few, count, seed, starts)
    if method == PROTOTYPES:
        centres = _prototypes(matrix, centres, blocks)
    features = matrix.shape[1] - sum(block.stop - block.start - 1 for block in blocks)
    return _in_order(Clusters(centres, 1.0, mixture, np.arange(count)), matrix, features)


# -- inside --------------------------------------------------------------------------------------------------------


@cache
def _threads() -> Any:
    """Return what limits threads: to look for the libraries that have any takes longer than to group a small table."""
    return ThreadpoolController()


def _squares(matrix: Floats, centres: Floats) -> Floats:
    return np.column_stack([((matrix - centre) ** 2).sum(axis=1) for centre in centres])


def _k_means(matrix: Floats, few: Floats, count: int, seed: int, starts: int) -> Floats:
    """Begin on some of the rows, end on all."""
    found = KMeans(count, n_init=starts, random_state=seed, max_iter=MOST_ROUNDS).fit(few).cluster_centers_
    if len(few) == len(matrix):
        return np.asarray(found)
    return np.asarray(KMeans(count, init=found, n_init=1, max_iter=MOST_ROUNDS).fit(matrix).cluster_centers_)


def _mixture(few: Floats, count: int, blocks: Sequence[slice], seed: int, starts: int) -> Any:
    """Fit normal distributions: of any direction where all columns are numbers and few, else along the axes.

    From k-means the search never comes to long groups side by side, so it begins from single rows as well.
    """
    kind = "diag" if blocks or few.shape[1] > MANY_COLUMNS else "full"
    found = [
        GaussianMixture(
            count, covariance_type=kind, init_params=begin, n_init=times, random_state=seed, reg_covar=RIDGE,
            max_iter=300,
        ).fit(few)
        for begin, times in (("kmeans", 1), ("k-means++", starts))
    ]  # fmt: skip
    return max(found, key=lambda mixture: mixture.lower_bound_)


def _hierarchy(few: Floats, count: int) -> Floats:
    """Join groups whose union is least spread (Ward 1963), and return their middles."""
    if count == 1:
        return np.asarray(few.mean(axis=0, keepdims=True))
    labels = AgglomerativeClustering(count, linkage="ward").fit_predict(few)
    return np.array([few[labels == group].mean(axis=0) for group in range(count)])


def _prototypes(matrix: Floats, centres: Floats, blocks: Sequence[slice]) -> Floats:
    """Let centres have one level of each feature of words, the most frequent (Huang 1998), and move until they stay."""
    labels = _squares(matrix, centres).argmin(axis=1)
    for _ in range(MOST_ROUNDS):
        centres = np.array(
            [
                _prototype(matrix[labels == group], blocks) if (labels == group).any() else centre
                for group, centre in enumerate(centres)
            ]
        )
        moved = _squares(matrix, centres).argmin(axis=1)
        if (moved == labels).all():
            break
        labels = moved
    return centres


def _prototype(rows: Floats, blocks: Sequence[slice]) -> Floats:
    centre = rows.mean(axis=0)
    for block in blocks:
        mode = block.start + int(centre[block].argmax())
        height = rows[:, mode].max()
        centre[block] = 0.0
        centre[mode] = height
    return np.asarray(centre)


def _in_order(found: Clusters, matrix: Floats, features: int) -> Clusters:
    """Put the largest group first, drop those without a row, and measure how far rows lie from their centres."""
    labels = found.labels(matrix)
    sizes = np.bincount(labels, minlength=len(found.centres))
    order = np.lexsort((*found.centres.T[::-1], -sizes))
    order = order[sizes[order] > 0]
    squares = ((matrix - found.centres[labels]) ** 2).sum(axis=1)
    spread = max(float(squares.mean()) / features, LEAST_SPREAD)
    return Clusters(found.centres[order], spread, found.mixture, order)
