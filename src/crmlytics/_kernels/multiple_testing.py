"""Many tests at once: p-values made as large as they must be for all of them to be read together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


HOLM, BENJAMINI_HOCHBERG, NO_CORRECTION = CORRECTIONS = ("holm", "benjamini_hochberg", "none")


def adjust_p_values(p_values: NDArray[np.float64], correction: str) -> NDArray[np.float64]:
    """Adjust p-values by the correction of this name."""
    if correction == NO_CORRECTION:
        return p_values
    return holm(p_values) if correction == HOLM else benjamini_hochberg(p_values)


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjust p-values so that rejecting those <= alpha makes a single false rejection with probability alpha at most.

    NaN, a test that was not made, stays NaN and does not count. S. Holm (1979), "A simple sequentially rejective
    multiple test procedure", Scandinavian Journal of Statistics 6.
    """
    order, tested = _tested(p_values)
    steps = np.maximum.accumulate(p_values[order] * np.arange(tested, 0, -1))
    return _back(p_values, order, steps)


def benjamini_hochberg(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjust p-values so that of those <= alpha at most the share alpha is expected to be false rejections.

    NaN, a test that was not made, stays NaN and does not count. Y. Benjamini and Y. Hochberg (1995), "Controlling the
    false discovery rate", Journal of the Royal Statistical Society B 57.
    """
    order, tested = _tested(p_values)
    raised = p_values[order] * tested / np.arange(1, tested + 1)
    return _back(p_values, order, np.minimum.accumulate(raised[::-1])[::-1])


def _tested(p_values: NDArray[np.float64]) -> tuple[NDArray[np.int64], int]:
    """Return the places of the tests made, smallest p-value first, and their number."""
    tested = int((~np.isnan(p_values)).sum())
    return np.argsort(p_values, kind="stable")[:tested], tested  # NaN sorts last


def _back(
    p_values: NDArray[np.float64], order: NDArray[np.int64], adjusted: NDArray[np.float64]
) -> NDArray[np.float64]:
    result = np.full(len(p_values), np.nan)
    result[order] = np.minimum(adjusted, 1.0)
    return result
