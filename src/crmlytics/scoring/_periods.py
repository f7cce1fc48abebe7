"""The cutoffs of rows held out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics.scoring._folds import blocks_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.scoring._predictions import Predictions


def periods_of(predictions: Predictions) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the cutoffs, rising, and which of them each row belongs to; without cutoffs, none and all in one.

    Moments with too few rows each are cut into blocks, as :func:`blocks_of` does, named by their first.
    """
    if predictions.period is None:
        return np.zeros(0, np.int64), np.zeros(len(predictions.outcome), np.int64)
    period = np.asarray(predictions.period)
    return blocks_of(period.astype("datetime64[us]" if period.dtype.kind == "M" else np.int64))


def period_count(predictions: Predictions) -> int:
    """Return how many cutoffs there are; 0 if rows have none."""
    return len(periods_of(predictions)[0])


def when(predictions: Predictions) -> tuple[str, str]:
    """Return what a period is called, with its preposition: customers have cutoffs, other things only a time."""
    return ("at", "cutoff") if predictions.noun == "customers" else ("in", "period")
