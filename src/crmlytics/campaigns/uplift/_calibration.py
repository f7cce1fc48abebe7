"""How near scores are to the mean uplift of customers who have such scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """The line of mean uplift against the score, learnt from customers whom the models had not seen.

    V. Chernozhukov, M. Demirer, E. Duflo and I. Fernández-Val (2018), "Generic machine learning inference on
    heterogeneous treatment effects in randomized experiments", NBER 24678: the best linear predictor of effects.

    Attributes
    ----------
    centre : float
        The mean score.
    line : float64 array, shape (2,)
        The mean uplift, and how much more a score higher by 1 has; 1 of a model that is right.
    covariance : float64 array, shape (2, 2)
        Of the line.
    """

    centre: float
    line: Vector
    covariance: Matrix

    @classmethod
    def learn(cls, beyond: Vector, pseudo: Vector, *, group: NDArray[np.int64], centre: float) -> Calibration:
        """Regress pseudo-outcomes on scores beyond the mean of their fold; the rows of a customer err together.

        That mean is no part of it: where it is high the outcomes of the other folds were, and so these are low.
        """
        columns = np.column_stack([np.ones(len(beyond)), beyond])
        inverse = np.linalg.pinv(columns.T @ columns)  # a score that is the same for all has no slope
        line = inverse @ columns.T @ pseudo
        rest = columns * (pseudo - columns @ line)[:, None]
        of_customers: Matrix = np.column_stack([np.bincount(group, part) for part in rest.T])
        return cls(centre, line, inverse @ of_customers.T @ of_customers @ inverse)

    def standard_error(self, score: Vector) -> Vector:
        """Return by how much scores may miss: the line's standard error, and the score's distance from the line."""
        columns = np.column_stack([np.ones(len(score)), score - self.centre])
        variance = ((columns @ self.covariance) * columns).sum(axis=1)
        return np.asarray(np.sqrt(variance + (columns @ self.line - score) ** 2))
