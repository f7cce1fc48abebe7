"""The marks that customers gave: on which scale, and what a group's marks say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._validation import check_amount
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.support._reading import KnownTickets

    Scale = tuple[float, float]

NPS_SCALE = (0.0, 10.0)
USUAL_SCALES = ((1, 5), (1, 7), (0, 10), (0, 100))
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


def read_marks(known: KnownTickets, scale: Scale, *, caller: str) -> NDArray[np.float64]:
    """Return the marks; refuse those beyond the scale."""
    given = known.mark[~np.isnan(known.mark)]
    unfit = given[(given < scale[0]) | (given > scale[1])]
    if len(unfit):
        fitting = [usual for usual in USUAL_SCALES if usual[0] <= given.min() and given.max() <= usual[1]]
        other = f" Where it is a mark, name the scale, such as scale={fitting[0]}." if fitting else ""
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
    columns = {"mark_count": means.count, "satisfaction_mean": means.mean}
    columns |= {
        "satisfaction_mean_low": np.maximum(low, scale[0]),
        "satisfaction_mean_high": np.minimum(high, scale[1]),
    }
    missing = np.full(known.groups, np.nan)
    if scale != NPS_SCALE:
        return columns | dict.fromkeys(("nps_score", "nps_score_low", "nps_score_high"), missing)
    votes = (marks >= PROMOTER).astype(np.float64) - (marks < PASSIVE)
    net = group_means(votes, group, known.groups, cluster=cluster)
    up, down = (np.bincount(group[votes == side], minlength=known.groups) / net.design_effect for side in (1, -1))
    low, high = net_score_interval(up, down, net.count / net.design_effect, confidence)
    return columns | {"nps_score": 100 * net.mean, "nps_score_low": 100 * low, "nps_score_high": 100 * high}


def marked(
    known: KnownTickets, marks: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64] | None]:
    """Return group, mark and customer of the tickets that have a mark."""
    given = ~np.isnan(marks)
    return known.group[given], marks[given], None if known.customer is None else known.customer[given]
