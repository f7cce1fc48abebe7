"""Sums of groups in samples of customers, and between which places each group may stand, as functions on arrays."""

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
