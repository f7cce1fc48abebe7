"""From whom moved where to transition probabilities and how sure they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._kernels.proportions import wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIDENCE = 0.95


def transition_columns(
    counts: NDArray[Any], from_total: NDArray[Any], customers: NDArray[Any] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Return the probability of each move and its 95 % interval.

    Parameters
    ----------
    counts, from_total : arrays, shape (moves,)
        How often each move was made, and how often any move began where it begins.
    customers : array, shape (moves,), optional
        How many different customers the latter were. What one customer does again and again tells less than what many
        do once: the interval is as wide as if each had been seen once.
    """
    total = from_total.astype(np.float64)
    probability = np.divide(counts, total, out=np.full(len(total), np.nan), where=total > 0)
    seen = total if customers is None else customers.astype(np.float64)
    low, high = wilson(probability * seen, seen, CONFIDENCE)
    return {
        "transition_probability": probability,
        "transition_probability_low": np.minimum(low, probability),
        "transition_probability_high": np.maximum(high, probability),
    }
