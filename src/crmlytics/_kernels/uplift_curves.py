"""What contacting the best share of customers brings over contacting nobody: the curve, its area, and their samples.

The curve at a share ``s`` is ``s * (mean outcome of the treated - mean outcome of control)`` among the customers with
the highest scores: the incremental outcome per customer of all, not per contact. Means are weighted by ``1 /
propensity`` and ``1 / (1 - propensity)``. Customers with equal scores are contacted in random order, so they are one
straight segment; where only one arm has been met yet, the curve goes straight on to the first share with both.
N. J. Radcliffe (2007), "Using control groups to target on predicted lift", Direct Marketing Analytics Journal 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.compiled import compiled
from crmlytics._kernels.working import in_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.draws import Draws

    Vector = NDArray[np.float64]
    Flags = NDArray[np.bool_]

PART = 50  # samples a thread takes at a time
FINEST = 5_000  # steps of a sample, about: a million customers need no million points


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Curves of several samples.

    Attributes
    ----------
    heights : float64 array, shape (samples, shares)
        Incremental outcome per customer at each share; missing where an arm was not drawn.
    area : float64 array, shape (samples,)
        Under the whole curve: the AUUC per customer.
    """

    heights: Vector
    area: Vector

    @property
    def qini(self) -> Vector:
        """Area between the curve and the straight line to its end, shape (samples,); the last share must be 1."""
        above: Vector = self.area - self.heights[:, -1] / 2
        return above


def curves(
    score: Vector, outcome: Vector, treated: Flags, propensity: Vector, draws: Draws | None = None, *, shares: Vector
) -> Curves:
    """Return the curve at these rising shares: of the customers as they are, or of each sample of them.

    Parameters
    ----------
    score, outcome, treated, propensity : arrays, shape (n,)
        Scores are finite; propensities between 0 and 1, both excluded.
    draws : Draws, optional
        Of these rows; without it there is one sample, everybody once.
    shares : float64 array, shape (k,)
        Between 0 and 1, rising.
    """
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    weight = np.array([treated / propensity, ~treated / (1 - propensity)])[:, order]
    columns = np.column_stack([weight[0], weight[0] * outcome[order], weight[1], weight[1] * outcome[order]])
    if draws is None:
        bundle, times = np.zeros(len(order), np.int64), np.ones((1, 1))
    else:
        bundle, times = draws.bundle[order], draws.weights
        last = last[-1 :: -max(len(last) // FINEST, 1)][::-1]
    ranked = (bundle, columns, np.append(-1, last), np.asarray(shares, np.float64))
    parts = [times[at : at + PART] for at in range(0, len(times), PART)]
    found = in_parts(lambda part: _curves_of(part, *ranked), parts, label="samples of customers")
    return Curves(np.concatenate([heights for heights, _ in found]), np.concatenate([area for _, area in found]))


def qini(score: Vector, outcome: Vector, treated: Flags, propensity: Vector) -> float:
    """Return the Qini coefficient per customer: how much the ranking brings over random order, over all shares."""
    return float(curves(score, outcome, treated, propensity, shares=np.ones(1)).qini[0])


@compiled
def _curves_of(
    times: Vector, bundle: NDArray[np.int64], columns: Vector, last: NDArray[np.int64], shares: Vector
) -> tuple[Vector, Vector]:
    """Walk down the ranking once a sample, from one last customer of a score to the next.

    ``columns`` are weights and weighted outcomes of the treated, then of control; ``last`` begins with -1.
    """
    samples, points = len(times), len(shares)
    values = np.full((samples, points), np.nan)
    area = np.full(samples, np.nan)
    for sample in range(samples):
        drawn = 0.0
        for row in range(len(bundle)):
            drawn += times[sample, bundle[row]]
        seen = treated = treated_sum = control = control_sum = 0.0
        share = height = under = 0.0
        point = 0
        for step in range(1, len(last)):
            for row in range(last[step - 1] + 1, last[step] + 1):
                often = times[sample, bundle[row]]
                seen += often
                treated += often * columns[row, 0]
                treated_sum += often * columns[row, 1]
                control += often * columns[row, 2]
                control_sum += often * columns[row, 3]
            if treated == 0 or control == 0:
                continue
            next_share = seen / drawn
            next_height = next_share * (treated_sum / treated - control_sum / control)
            slope = (next_height - height) / (next_share - share)
            while point < points and shares[point] <= next_share:
                values[sample, point] = height + slope * (shares[point] - share)
                point += 1
            under += (next_share - share) * (height + next_height) / 2
            share, height = next_share, next_height
        if treated > 0 and control > 0:
            area[sample] = under
    return values, area
