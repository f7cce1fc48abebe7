"""Amounts of customers and samples of them: shares of the best, Gini's coefficient, the tail, with their bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.draws import Draws
from crmlytics.value._reading import best_first, settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

WHOLE = 1e-9  # 0.07 x 100 is not above 7


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Spread:
    """Amounts of customers, the largest first, and samples of these customers.

    Attributes
    ----------
    amounts : float64 array, shape (customers,)
    draws : Draws
    """

    amounts: Vector
    draws: Draws

    @classmethod
    def of(cls, amounts: Vector, *, replicates: int, seed: int) -> Spread:
        """Sort the amounts and draw the samples."""
        return cls(amounts[best_first(amounts)], Draws.of(np.arange(len(amounts)), replicates=replicates, seed=seed))

    def customers(self, share: float) -> int:
        """Return the smallest number of customers that is at least this share."""
        return math.ceil(share * len(self.amounts) - WHOLE)

    def top(self, share: float) -> tuple[float, float, float]:
        """Return what the best make of the whole, and its bounds; NaN where there is no whole, or nobody to vary."""
        from crmlytics._kernels.top_shares import drawn_top_shares

        return self._measured(drawn_top_shares, share)

    def gini(self) -> tuple[float, float, float]:
        """Return the Gini coefficient, and its bounds."""
        from crmlytics._kernels.top_shares import drawn_ginis

        return self._measured(drawn_ginis)

    def _measured(self, drawn: Callable[..., Vector], *more: float) -> tuple[float, float, float]:
        """Return a figure of these customers, and its bounds from samples of them."""
        from crmlytics._kernels.top_shares import bias_corrected

        if not settled(self.amounts.sum()) > 0:
            return math.nan, math.nan, math.nan
        each = np.arange(len(self.amounts))
        measured = float(drawn(self.amounts, each, np.ones((1, len(each))), *more)[0])
        if len(each) == 1:
            return measured, math.nan, math.nan
        return measured, *bias_corrected(drawn(self.amounts, self.draws.bundle, self.draws.weights, *more), measured)

    def earning(self) -> int:
        """Return how many customers brought in anything."""
        return int((settled(self.amounts) > 0).sum())

    def tail_index(self) -> float:
        """Return Hill's index of the largest customers, the smaller the heavier; NaN where these are alike."""
        from crmlytics._kernels.top_shares import hill_index

        return hill_index(self.amounts[: self.earning()])

    def needed(self, share: float) -> float:
        """Return the smallest share of the customers that makes this share of the whole."""
        summed = np.cumsum(self.amounts)
        return float(np.argmax(summed >= share * summed[-1] * (1 - WHOLE)) + 1) / len(summed)


def three(found: list[tuple[float, float, float]], name: str) -> dict[str, Vector]:
    """Return figures and their bounds as three columns."""
    values = np.array(found, np.float64).reshape(-1, 3)
    return {name: values[:, 0], f"{name}_low": values[:, 1], f"{name}_high": values[:, 2]}
