"""The figures of scores against what came true, each with the figures of the same samples of customers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._kernels.classification import auc, average_precision, brier_score, calibration_error, log_loss
from crmlytics._kernels.draws import bounds
from crmlytics.scoring._bootstrap import auc_of_sums, auc_terms, divided, shares_within
from crmlytics.scoring._periods import periods_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.draws import Draws
    from crmlytics.scoring._predictions import Predictions

    Vector = NDArray[np.float64]

MODEL, BASE_RATE = "model", "base rate"
TOP = 0.1
MOST_BINS, FEWEST_IN_BIN = 10, 100
AUC, LIFT = "auc", "top_decile_lift"
OF_PROBABILITIES = ("log_loss", "brier_score", "calibration_error", "mean_probability")


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One score of one scheme.

    Attributes
    ----------
    name : str
        ``"model"``, the name of a baseline, or ``"base rate"``.
    values : dict of str to float
        The columns of :meth:`Evaluation.to_frame`, and ``top_decile_lift``.
    drawn : dict of str to float64 array, shape (replicates,)
        ``auc`` and ``top_decile_lift`` of every sample of customers.
    """

    name: str
    values: dict[str, float]
    drawn: dict[str, Vector]


def measure(predictions: Predictions, draws: Draws) -> list[Measured]:
    """Measure the model, the baselines in their order, and the base rate."""
    y = predictions.outcome
    constant = np.full(len(y), y.mean())
    scores = {MODEL: predictions.probability, **predictions.baselines, BASE_RATE: constant}
    found = [_measured(name, y, score, draws) for name, score in scores.items()]
    period = periods_of(predictions)[1]
    for one in found:
        if one.name in {MODEL, BASE_RATE} or is_probability(scores[one.name]):
            one.values.update(_of_probabilities(y, scores[one.name], period))
    return found


def compared(model: Measured, baseline: Measured, metric: str) -> dict[str, float]:
    """Return the columns of :meth:`Evaluation.comparison_table` of one metric."""
    drawn = model.drawn[metric] - baseline.drawn[metric]
    known = drawn[~np.isnan(drawn)]
    low, high = bounds(drawn)
    return {
        "model_value": model.values[metric],
        "baseline_value": baseline.values[metric],
        "difference": model.values[metric] - baseline.values[metric],
        "difference_low": float(low),
        "difference_high": float(high),
        "not_better_share": float((known <= 0).mean()) if len(known) else float("nan"),
    }


def is_probability(score: NDArray[Any]) -> bool:
    """Tell probabilities from other scores: within 0 and 1, and more than a yes or no."""
    return bool(np.all((score >= 0) & (score <= 1))) and len(np.unique(score)) > 2


def _measured(name: str, y: NDArray[Any], score: Vector, draws: Draws) -> Measured:
    area = auc(y, score)
    top = shares_within(score, np.array([0.0, TOP * len(y)]))[:, 0]
    columns = np.column_stack([top * y, top, y, np.ones(len(y))])
    drawn = {AUC: auc_of_sums(draws.sums(auc_terms(y, score)), area), LIFT: _lift(draws.sums(columns))}
    low, high = bounds(drawn[AUC])
    values = {
        AUC: area,
        "auc_low": float(low),
        "auc_high": float(high),
        "average_precision": average_precision(y, score),
        **dict.fromkeys(OF_PROBABILITIES, float("nan")),
        LIFT: float(_lift(columns.sum(axis=0, keepdims=True))[0]),
    }
    return Measured(name, values, drawn)


def _of_probabilities(y: NDArray[Any], p: Vector, period: NDArray[np.int64]) -> dict[str, float]:
    figures = (log_loss(y, p), brier_score(y, p), calibration_error_within(period, y, p), float(p.mean()))
    return dict(zip(OF_PROBABILITIES, figures, strict=True))


def calibration_error_within(period: NDArray[np.int64], y: NDArray[Any], p: Vector) -> float:
    """Return the calibration error of each cutoff, weighted by rows.

    Of all rows together, a cutoff with too much promised would make up for one with too little. A bin has at least 100
    rows if there are as many, since smaller ones would measure chance: cutoffs with fewer are taken with those after.
    """
    size = np.bincount(period)
    together = ((np.cumsum(size) - size) // FEWEST_IN_BIN)[period]
    errors = [
        len(rows) * calibration_error(y[rows], p[rows], int(np.clip(len(rows) // FEWEST_IN_BIN, 1, MOST_BINS)))
        for rows in (np.flatnonzero(together == number) for number in np.unique(together))
    ]
    return float(sum(errors)) / len(y)


def _lift(sums: Vector) -> Vector:
    return divided(divided(sums[:, 0], sums[:, 1]), divided(sums[:, 2], sums[:, 3]))
