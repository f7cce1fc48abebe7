"""Scores in slices: what each tenth of the ranking holds, and whether probabilities come true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._kernels.classification import bin_edges
from crmlytics._kernels.draws import bounds
from crmlytics._kernels.proportions import wilson
from crmlytics.metrics.classification import calibration_table
from crmlytics.metrics.lift import lift_table
from crmlytics.scoring._bootstrap import divided, shares_within
from crmlytics.scoring._measures import MODEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.draws import Draws
    from crmlytics.scoring._predictions import Predictions

    Vector = NDArray[np.float64]

BINS = 10
STEPS = 20
CONFIDENCE = 0.95


def lift_columns(predictions: Predictions, **resampling: int) -> dict[str, Any]:
    """Return the columns of :meth:`Evaluation.lift_table`."""
    y, p = predictions.outcome, predictions.probability
    return _columns_of(lift_table(y, p, n_bins=min(BINS, len(y)), customer_id=predictions.group, **resampling))


def gains_columns(predictions: Predictions, draws: Draws) -> dict[str, Any]:
    """Return the columns of :meth:`Evaluation.gains_table`."""
    y, scores = predictions.outcome, {MODEL: predictions.probability, **predictions.baselines}
    flagged = np.arange(STEPS + 1) / STEPS
    parts = [_gains(y, score, flagged, draws) for score in scores.values()]
    columns: dict[str, Any] = {
        "score": np.repeat(np.array(list(scores), object), STEPS + 1),
        "row_share": np.tile(flagged, len(scores)),
    }
    names = ("positive_share", "positive_share_low", "positive_share_high")
    columns |= {name: np.concatenate([part[number] for part in parts]) for number, name in enumerate(names)}
    return columns | {"perfect_share": np.minimum(columns["row_share"] / max(float(y.mean()), 1 / len(y)), 1.0)}


def _gains(y: NDArray[Any], score: Vector, flagged: Vector, draws: Draws) -> tuple[Vector, Vector, Vector]:
    """Return the share of positives found among shares flagged, with bounds.

    In a sample the slices of the ranking are not quite as large as in all rows: the line through what they hold is read
    at the shares flagged.
    """
    shares = shares_within(score, flagged * len(y))
    columns = np.column_stack([shares * y[:, None], shares])
    found, total = np.split(columns.sum(axis=0), 2)
    some = zip(*np.split(draws.sums(columns), 2, axis=1), strict=True)
    drawn = np.array([np.interp(flagged, _so_far(totals), _so_far(founds)) for founds, totals in some])
    return np.interp(flagged, _so_far(total), _so_far(found)), *bounds(drawn)


def _so_far(counts: Vector) -> Vector:
    """Return the running share of a total, from nought; missing where there is nothing to share."""
    running = np.insert(np.cumsum(counts), 0, 0.0)
    return divided(running, running[-1:])


def calibration_columns(predictions: Predictions, draws: Draws) -> dict[str, Any]:
    """Return the columns of :meth:`Evaluation.calibration_table`."""
    y, p = predictions.outcome, predictions.probability
    bins = min(BINS, len(y))
    columns = _columns_of(calibration_table(y, p, n_bins=bins))
    shares = shares_within(-p, bin_edges(len(y), bins))
    drawn = draws.sums(np.column_stack([shares * y[:, None], shares]))
    limits = clustered_wilson(
        columns["positive_count"], columns["row_count"], divided(drawn[:, :bins], drawn[:, bins:])
    )
    return columns | dict(zip(("observed_share_low", "observed_share_high"), limits, strict=True))


def clustered_wilson(found: Vector, total: Vector, drawn: Vector) -> tuple[Vector, Vector]:
    """Return Wilson intervals of shares, of as many independent rows as the samples of customers vary like.

    ``drawn`` are the shares in samples, shape (replicates, shares). Unlike percentiles of these, the intervals are
    right where nobody or everybody was positive, and no sample differs.
    """
    share = divided(found, total)
    variance = np.array([np.var(column[~np.isnan(column)]) if total[i] else 0 for i, column in enumerate(drawn.T)])
    alike = np.divide(share * (1 - share), variance, out=total.astype(np.float64), where=variance > 0)
    rows = np.clip(alike, np.minimum(1.0, total), total)
    return wilson(share * rows, rows, CONFIDENCE)


def _columns_of(table: Any) -> dict[str, Any]:
    return {name: table[name].to_numpy() for name in table.columns}
