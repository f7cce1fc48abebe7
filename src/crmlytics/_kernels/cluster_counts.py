"""How many groups there are: found again in other samples, tighter than in one cloud, with valleys between them.

References
----------
Hennig, C. (2007), Cluster-wise assessment of cluster stability, Computational Statistics & Data Analysis 52.
Tibshirani, R., Walther, G. and Hastie, T. (2001), Estimating the number of clusters in a data set via the gap
statistic, Journal of the Royal Statistical Society B 63.
Rousseeuw, P. (1987), Silhouettes: a graphical aid to the interpretation and validation of cluster analysis, Journal of
Computational and Applied Mathematics 20.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import silhouette_samples

from crmlytics._kernels.clusters import find_clusters
from crmlytics._kernels.partitions import adjusted_rand, best_jaccard, contingency
from crmlytics._kernels.valleys import highest_valley

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics._kernels.clusters import Clusters

    Floats = NDArray[np.float64]

FEW_VALUES = 10  # a column with so few different ones cannot be spread evenly
STARTS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What speaks for a number of groups; missing where there is only one.

    Attributes
    ----------
    jaccard : float64 array, shape (replicates, groups)
        How alike each group is to the one most like it, found in a bootstrap sample.
    rand : float64 array, shape (replicates,)
        How far the whole partition agrees with that of a bootstrap sample.
    silhouette : float64 array, shape (rows,)
    valley : float
        The highest one between two neighbouring groups.
    sizes : int64 array, shape (groups,)
    log_dispersion : float
        Of the rows about their centres.
    """

    jaccard: Floats
    rand: Floats
    silhouette: Floats
    valley: float
    sizes: NDArray[np.int64]
    log_dispersion: float


def evidence_for(
    matrix: Floats, count: int, method: str, blocks: Sequence[slice], *, replicates: int, seed: int
) -> Evidence:
    """Find ``count`` groups of rows, and find them again in bootstrap samples."""
    found = find_clusters(matrix, count, method, blocks, seed=seed, starts=STARTS)
    labels = found.labels(matrix)
    sizes = np.bincount(labels, minlength=len(found.centres))
    dispersion = log_dispersion(found, matrix)
    if (sizes > 0).sum() == 1:
        none = np.full((0, 1), np.nan)
        return Evidence(none, none[:, 0], none[:, 0], np.nan, sizes, dispersion)
    random = np.random.default_rng(seed)
    jaccard, rand = [], []
    for replicate in range(replicates):
        drawn = random.integers(0, len(matrix), len(matrix))
        again = find_clusters(matrix[drawn], count, method, blocks, seed=seed + replicate + 1, starts=STARTS)
        seen = np.unique(drawn)
        counts = contingency(labels[seen], again.labels(matrix[seen]), (len(sizes), len(again.centres)))
        jaccard.append(best_jaccard(counts))
        rand.append(adjusted_rand(counts))
    silhouette, valley = silhouette_samples(matrix, labels), highest_valley(matrix, labels, found.centres)
    return Evidence(np.array(jaccard), np.array(rand), silhouette, valley, sizes, dispersion)


def log_dispersion(found: Clusters, matrix: Floats) -> float:
    """Return the logarithm of the squared distances of all rows to the centres of their groups."""
    labels = found.labels(matrix)
    within = sum(
        float(((rows - rows.mean(axis=0)) ** 2).sum())
        for rows in (matrix[labels == group] for group in np.unique(labels))
    )
    return float(np.log(max(within, np.finfo(float).tiny)))


def reference_dispersions(
    matrix: Floats, counts: Sequence[int], method: str, blocks: Sequence[slice], *, references: int, seed: int
) -> Floats:
    """Return the log dispersion of ``counts`` groups in tables without any: shape (references, len(counts))."""
    random = np.random.default_rng(seed)
    found = np.empty((references, len(counts)))
    for row in range(references):
        cloud = one_cloud(matrix, blocks, random)
        for column, count in enumerate(counts):
            clusters = find_clusters(cloud, count, method, blocks, seed=seed + row, starts=1)
            found[row, column] = log_dispersion(clusters, cloud)
    return found


def one_cloud(matrix: Floats, blocks: Sequence[slice], random: np.random.Generator) -> Floats:
    """Draw a table of the same shape without groups.

    Numbers lie evenly in the box along their principal axes; words, and numbers of few different values, keep the
    values that they have, dealt out anew and each for itself.
    """
    cloud = matrix.copy()
    in_blocks = {column for block in blocks for column in range(block.start, block.stop)}
    alone = [column for column in range(matrix.shape[1]) if column not in in_blocks]
    few = [column for column in alone if len(np.unique(matrix[:, column])) <= FEW_VALUES]
    for columns in [*blocks, *(slice(column, column + 1) for column in few)]:
        cloud[:, columns] = matrix[random.permutation(len(matrix)), columns]
    many = [column for column in alone if column not in few]
    if many:
        middle = matrix[:, many].mean(axis=0)
        axes = np.linalg.svd(matrix[:, many] - middle, full_matrices=False)[2]
        along = (matrix[:, many] - middle) @ axes.T
        cloud[:, many] = random.uniform(along.min(axis=0), along.max(axis=0), along.shape) @ axes + middle
    return cloud
