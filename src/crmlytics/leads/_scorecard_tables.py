"""A scorecard laid out: the columns of its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics.leads._scorecard import most_telling_first

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics.leads._scorecard import Scorecard

EVERYBODY = "everybody"


def points_columns(card: Scorecard) -> dict[str, Any]:
    """Return what gives how many points, a row a bin."""
    columns = card.used
    everybody = card.characteristics[0]
    total, positive = everybody.counts.sum(), everybody.events.sum()
    counts = np.concatenate([[total], *(c.counts for c in columns)])
    events = np.concatenate([[positive], *(c.events for c in columns)])
    sizes = [len(c.bins) for c in columns]
    values = np.repeat([c.information_value for c in columns], sizes)
    with np.errstate(invalid="ignore"):
        shares = events / counts
    return {
        "characteristic": _texts([EVERYBODY, *(c.name for c in columns for _ in range(len(c.bins)))]),
        "attribute": _texts([EVERYBODY, *(word for c in columns for word in c.bins.words())]),
        "points": np.concatenate([[card.base], *(c.points for c in columns)]).astype(np.int64),
        "weight_of_evidence": np.concatenate([[0.0], *(c.weights for c in columns)]),
        "row_count": counts.astype(np.int64),
        "positive_count": events.astype(np.int64),
        "positive_share": shares,
        "information_value": np.concatenate([[np.nan], values]),
    }  # fmt: skip


def information_columns(card: Scorecard) -> dict[str, Any]:
    """Return how much each column tells."""
    columns = most_telling_first(card.characteristics)
    return {
        "characteristic": _texts([c.name for c in columns]),
        "bin_count": np.array([(c.counts > 0).sum() for c in columns], np.int64),
        "information_value": np.array([c.information_value for c in columns]),
        "chance_information_value": np.array([c.by_chance for c in columns]),
        "strength": _texts([c.strength for c in columns]),
        "coefficient": np.array([c.coefficient for c in columns]),
        "verdict": _texts([c.verdict for c in columns]),
    }  # fmt: skip


def rounding_columns(card: Scorecard) -> dict[str, Any]:
    """Return what whole points cost."""
    rounding = card.rounding
    return {
        "score": _texts(["exact", "whole points"]),
        "auc": np.array(rounding.auc),
        "log_loss": np.array(rounding.log_loss),
        "mean_difference_points": np.array([0.0, rounding.mean_points]),
        "largest_difference_points": np.array([0.0, rounding.largest_points]),
    }  # fmt: skip


def _texts(words: Sequence[str]) -> NDArray[Any]:
    return np.array(words, dtype=object)
