"""The marks that customers gave: on which scale, and what a group's marks say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._cautions import BOUNDS, with_bounds
from crmlytics._validation import check_amount
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.support._reading import KnownTickets

    Scale = tuple[float, float]

NPS_SCALE = (0.0, 10.0)
USUAL_SCALES = ((1, 5), (1, 7), (0, 10), (0, 100))
LOW_AT, SATISFIED_AT = 0.25, 0.75  # of the way up: 2 and 4 of 1 to 5, the two worst and the two best answers
PROMOTER, PASSIVE = 9, 7  # Reichheld (2003)


def check_scale(scale: Any, *, caller: str) -> Scale:
    """Read the lowest and the highest mark."""
    try:
        lowest, highest = (check_amount(mark, name="scale", caller=caller) for mark in scale)
    except (TypeError, ValueError):
        lowest, highest = 0.0, 0.0
    if lowest >= highest:
        msg = f"{caller}: scale must be the lowest and the highest mark such as scale=(1, 5) or (0, 10), got {scale!r}."
        raise SchemaError(msg)
    return lowest, highest


def scale_of(marks: NDArray[np.float64]) -> Scale | None:
    """Guess the scale: the first usual one that holds all marks, None where none does."""
    given = marks[~np.isnan(marks)]
    fits = (scale for scale in USUAL_SCALES if not ((given < scale[0]) | (given > scale[1])).any())
    return next(fits, None)


def check_mark(mark: float | None, scale: Scale, *, usual: float, name: str, caller: str) -> float:
    """Read the mark from which on, or up to which, something holds; where none is given it is ``usual`` of the way up.

    One that holds of every mark is refused.
    """
    lowest, highest = scale
    if mark is None:
        return lowest + usual * (highest - lowest)
    given = check_amount(mark, name=name, caller=caller)
    takes_all, words = (lowest, "above the lowest") if usual > 0.5 else (highest, "below the highest")
    if not lowest <= given <= highest or given == takes_all:
        raise SchemaError(f"{caller}: {name} must lie within scale={scale}, {words} mark, got {mark!r}.")
    return given


def read_marks(known: KnownTickets, scale: Scale, *, caller: str) -> NDArray[np.float64]:
    """Return the marks; refuse those beyond the scale."""
    given = known.mark[~np.isnan(known.mark)]
    unfit = given[(given < scale[0]) | (given > scale[1])]
    if len(unfit):
        fitting = scale_of(given)
        other = f" Where it is a mark, name the scale, such as scale={fitting}." if fitting else ""
        msg = (
            f"{caller}: satisfaction holds {unfit[0]:g}, beyond the scale of {scale[0]:g} to {scale[1]:g} "
            f"({len(unfit):,} of {len(given):,} marks). Where {unfit[0]:g} means no answer, make it missing.{other}"
        )
        raise SchemaError(msg)
    return known.mark


def mark_columns(
    known: KnownTickets, marks: NDArray[np.float64], scale: Scale, confidence: float
) -> dict[str, NDArray[Any]]:
    """Return how many marks each group gave, their mean and, on its scale, the net promoter score, with bounds."""
    from crmlytics._kernels.clustered_means import group_means
    from crmlytics._kernels.net_scores import net_score_interval

    group, marks, cluster = marked(known, marks)
    means = group_means(marks, group, known.groups, cluster=cluster)
    low, high = means.interval(confidence)
    columns = {"mark_count": means.count}
    columns |= with_bounds("satisfaction_mean", means.mean, np.maximum(low, scale[0]), np.minimum(high, scale[1]))
    if scale != NPS_SCALE:
        return columns | dict.fromkeys([f"nps_score{end}" for end in BOUNDS], np.full(known.groups, np.nan))
    votes = (marks >= PROMOTER).astype(np.float64) - (marks < PASSIVE)
    net = group_means(votes, group, known.groups, cluster=cluster)
    rows = net.rows_worth(confidence)
    up, down = (group_means((votes == side) * 1.0, group, known.groups).mean * rows for side in (1, -1))
    low, high = net_score_interval(up, down, rows, confidence)
    return columns | with_bounds("nps_score", 100 * net.mean, 100 * low, 100 * high)


def marked(
    known: KnownTickets, marks: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64] | None]:
    """Return group, mark and customer of the tickets that have a mark."""
    given = ~np.isnan(marks)
    return known.group[given], marks[given], None if known.customer is None else known.customer[given]
