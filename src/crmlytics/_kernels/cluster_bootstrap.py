"""The measures of a classifier in samples of customers (:class:`crmlytics._kernels.draws.Draws`), in one pass each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.classification import (
    bin_edges,
    line_terms,
    log_losses,
    log_odds,
    newton_step,
)
from crmlytics._kernels.compiled import compiled
from crmlytics._kernels.working import PARTS_A_THREAD, in_parts, thread_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from crmlytics._kernels.draws import Draws

    Vector = NDArray[np.float64]

MEASURES = (
    "auc",
    "average_precision",
    "log_loss",
    "brier_score",
    "calibration_error",
    "calibration_intercept",
    "calibration_slope",
    "mean_predicted_probability",
    "observed_share",
    "calibration_in_the_large",
)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in descending order of score, and the cluster of each, numbered from 0.

    Attributes
    ----------
    y : bool array, shape (n,)
    score : float64 array, shape (n,)
    cluster : int64 array, shape (n,)
    sizes : float64 array, shape (clusters,)
        Rows of each cluster.
    """

    y: NDArray[np.bool_]
    score: Vector
    cluster: NDArray[np.int64]
    sizes: Vector


def by_score(y: NDArray[np.bool_], score: Vector, cluster: NDArray[np.int64]) -> Rows:
    """Sort rows by descending score."""
    order = np.argsort(-score, kind="stable")
    return Rows(y[order], score[order], cluster[order], np.bincount(cluster).astype(np.float64))


def bootstrap(statistic: Callable[[Vector], Vector], draws: Draws, *, label: str) -> Vector:
    """Return a statistic of each sample, shape (replicates, ...).

    ``statistic`` takes the weight of each bundle, shape (bundles,): how often it was drawn.
    """

    def part(weights: Vector) -> list[Vector]:
        return [statistic(weight) for weight in weights]

    parts = np.array_split(draws.weights, min(len(draws.weights), PARTS_A_THREAD * thread_count()))
    return np.array([row for rows in in_parts(part, parts, label=label) for row in rows])


def classification_statistic(
    y: NDArray[np.bool_], p: Vector, cluster: NDArray[np.int64], line: tuple[float, float], bins: int
) -> Callable[[Vector], Vector]:
    """Return the function from cluster weights to :data:`MEASURES`, in that order.

    ``line`` is the calibration line of all rows: a replicate's own is taken one Newton step from it, which differs
    from the maximum by less than the bootstrap's own error.
    """
    rows = by_score(y, p, cluster)
    gradient, curvature = line_terms(log_odds(p), y.astype(np.float64), np.array(line))
    each = np.column_stack([log_losses(y, p), (p - y) ** 2, p, y, gradient, curvature])
    by_cluster = np.column_stack([np.bincount(cluster, column) for column in each.T]).astype(np.float64)

    def statistic(weight: Vector) -> Vector:
        order, binned = _read_down(rows, weight, bins)
        total = binned[0].sum()
        sums = _weighted(by_cluster, weight)
        loss, brier, predicted, observed = sums[:4] / total
        intercept, slope = np.array(line) + newton_step(sums[4:6], sums[6:])
        error = np.abs(binned[1] - binned[2]).sum() / total
        level = (predicted, observed, predicted - observed)
        return np.array([*order, loss, brier, error, intercept, slope, *level])

    return statistic


def binned_statistic(
    y: NDArray[np.bool_], score: Vector, cluster: NDArray[np.int64], bins: int
) -> Callable[[Vector], Vector]:
    """Return the function from cluster weights to rows, positives and summed scores per bin, shape (3, bins).

    Bins are of equal size, the highest scores first. Rows with one score that two bins divide are shared out in
    proportion, as if they were shuffled: that is the only order they have.
    """
    rows = by_score(y, score, cluster)
    return lambda weight: _read_down(rows, weight, bins)[1]


def _read_down(rows: Rows, weight: Vector, bins: int) -> tuple[Vector, Vector]:
    """Return AUC and average precision, shape (2,), and :func:`binned_statistic` of weighted rows."""
    edges = bin_edges(float(np.sum(rows.sizes * weight)), bins)
    order, binned = _one_pass(rows.y, rows.score, rows.cluster, weight, edges)
    return order, binned


@compiled
def _one_pass(
    y: NDArray[np.bool_], score: Vector, cluster: NDArray[np.int64], weight: Vector, edges: Vector
) -> tuple[Vector, Vector]:
    """Read rows from the highest score down once; the measures are those of ``classification``."""
    binned = np.zeros((3, len(edges) - 1))
    mass, found, won, precise = 0.0, 0.0, 0.0, 0.0
    row, at = 0, 0
    while row < len(y):
        tied, total, positive = score[row], 0.0, 0.0
        while row < len(y) and score[row] == tied:
            total += weight[cluster[row]]
            positive += weight[cluster[row]] * y[row]
            row += 1
        won += (total - positive) * (found + positive / 2)
        found += positive
        precise += positive * found / max(mass + total, 1.0)
        end = mass + total
        while mass < end:
            while at < len(edges) - 2 and mass >= edges[at + 1]:
                at += 1
            part = (end if at == len(edges) - 2 else min(end, edges[at + 1])) - mass
            binned[0, at] += part
            binned[1, at] += positive * part / total
            binned[2, at] += tied * part
            mass += part
    return np.array([won / (found * (mass - found)), precise / found]), binned


@compiled
def _weighted(rows: Vector, weight: Vector) -> Vector:
    """Sum rows by their weight; the library of linear algebra would start threads of its own in each of ours."""
    sums = np.zeros(rows.shape[1])
    for row in range(len(rows)):
        if weight[row] > 0:
            for column in range(rows.shape[1]):
                sums[column] += weight[row] * rows[row, column]
    return sums
