"""Columns that tell an outcome by themselves: mostly they were filled in after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.classification import auc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.scoring._encoding import Design

TELLS_ALL = 0.995  # the AUC of a single column: nothing known beforehand is so good
LOOKED_AT = 20_000  # rows


def telling_columns(design: Design, outcome: NDArray[np.bool_]) -> list[str]:
    """Return the features that rank the outcome all but without error; both outcomes occur."""
    step = max(len(outcome) // LOOKED_AT, 1)
    matrix, outcome = design.matrix[::step], outcome[::step]
    found = []
    for feature, values in zip(design.features, matrix.T, strict=True):
        area = _number_area(values, outcome) if feature.levels is None else auc(outcome, _rates(values, outcome))
        if area >= TELLS_ALL:
            found.append(feature.name)
    return found


def _number_area(values: NDArray[np.float64], outcome: NDArray[np.bool_]) -> float:
    """Return how well a number ranks the outcome, rising or falling, what is missing at one end or at the other."""
    areas = [auc(outcome, np.where(np.isnan(values), end, values)) for end in (np.inf, -np.inf)]
    return max([*areas, *[1 - area for area in areas]])


def _rates(codes: NDArray[np.float64], outcome: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the rate of each row's level, without the row itself: a level of one row tells nothing."""
    code = np.where(np.isnan(codes), codes[~np.isnan(codes)].max(initial=0) + 1, codes).astype(np.int64)
    others = np.bincount(code)[code] - 1
    positive = np.bincount(code, outcome)[code] - outcome
    return np.where(others > 0, positive / np.maximum(others, 1), outcome.mean())
