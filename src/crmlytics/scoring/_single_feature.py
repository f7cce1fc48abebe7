"""The rival of every model: the one column that tells most, read off a table of rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.classification import auc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.scoring._encoding import Design

    Vector = NDArray[np.float64]

BEST_SINGLE = "best single feature"
BINS = 10
SHRINKAGE = 10.0  # rows of the mean rate that every bin begins with
LOOKED_AT = 20_000  # rows, to choose


@dataclass(frozen=True, slots=True, eq=False)
class RateTable:
    """The share of positives in the bins of one column: tenths of a number, levels of words, what is missing.

    Attributes
    ----------
    column : int
    edges : float64 array
        Between the bins of a number, or the codes of levels.
    rate : float64 array, shape (bins + 1,)
        Shrunken towards the mean; the last is that of what is missing.
    """

    column: int
    edges: Vector
    rate: Vector

    def scores(self, matrix: Vector) -> Vector:
        """Return the rate of each row's bin."""
        return np.asarray(self.rate[_bins(matrix[:, self.column], self.edges)])


def best_rate_table(design: Design, outcome: NDArray[np.bool_]) -> RateTable:
    """Learn the rates of each column, and keep the one that ranks these rows best."""
    step = max(len(outcome) // LOOKED_AT, 1)
    matrix, outcome = design.matrix[::step], outcome[::step]
    tables = [_rates(matrix, outcome, column, feature.levels) for column, feature in enumerate(design.features)]
    return max(tables, key=lambda table: auc(outcome, table.scores(matrix)))


def _rates(matrix: Vector, outcome: NDArray[np.bool_], column: int, levels: tuple[str, ...] | None) -> RateTable:
    values = matrix[:, column]
    known = values[~np.isnan(values)]
    tenths = np.quantile(known, np.arange(1, BINS) / BINS) if len(known) else known
    edges = np.unique(tenths) if levels is None else np.arange(0.5, len(levels) - 1)
    place = _bins(values, edges)
    total = np.bincount(place, minlength=len(edges) + 2)
    positive = np.bincount(place, outcome, len(edges) + 2)
    return RateTable(column, edges, (positive + SHRINKAGE * outcome.mean()) / (total + SHRINKAGE))


def _bins(values: Vector, edges: Vector) -> NDArray[np.int64]:
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="left"))
