"""Does it hold from one cutoff to the next: base rates, probabilities, order, and the scores themselves."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crmlytics._kernels.classification import auc
from crmlytics._kernels.draws import bounds
from crmlytics.metrics.stability import stability_table
from crmlytics.scoring._bins import clustered_wilson
from crmlytics.scoring._bootstrap import auc_of_sums, auc_terms, divided
from crmlytics.scoring._periods import period_count, periods_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.draws import Draws
    from crmlytics.scoring._predictions import Predictions

    Vector = NDArray[np.float64]

RARE = 0.01  # p-value
MUCH = 1.1  # of the highest base rate divided by the lowest


@dataclass(frozen=True, slots=True)
class Movement:
    """How far the base rate moves from cutoff to cutoff.

    Attributes
    ----------
    lowest, highest : float
        Base rates.
    lowest_at, highest_at : str
        Their cutoffs, in words.
    p_value : float
        How often chance alone would move them as far: a Wald test that all are equal, with the variance between
        customers (who are in several cutoffs) and Hotelling's correction for few of them. Missing where there are
        fewer customers than cutoffs.
    """

    lowest: float
    highest: float
    lowest_at: str
    highest_at: str
    p_value: float

    @property
    def sentence(self) -> str | None:
        """What to do about it; None where it moves no more than chance explains, or by less than a tenth."""
        if not (self.p_value < RARE and self.highest >= MUCH * self.lowest):
            return None
        p_value = "p < 0.001" if self.p_value < 0.001 else f"p = {self.p_value:.3f}"
        return (
            f"The base rate moves between {self.lowest:.0%} (cutoff {self.lowest_at}) and {self.highest:.0%} "
            f"({self.highest_at}), more than chance explains ({p_value}). The order of customers may hold, but "
            "probabilities shift with the season: take training cutoffs of the same season as the one you score."
        )


def in_words(cutoff: Any) -> str:
    """Write a cutoff: a moment as its date, anything else as it is."""
    return str(cutoff.astype("datetime64[D]")) if isinstance(cutoff, np.datetime64) else str(cutoff)


def period_columns(predictions: Predictions, draws: Draws) -> dict[str, Any]:
    """Return the columns of :meth:`Evaluation.period_table`."""
    cutoffs, code = periods_of(predictions)
    rows = [_period(predictions, draws, code == number) for number in range(len(cutoffs))]
    drawn = np.column_stack([row.pop("drawn") for row in rows])
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    low, high = clustered_wilson(columns["positive_count"], columns["row_count"], drawn)
    columns["base_rate_low"], columns["base_rate_high"] = low, high
    return {"cutoff": cutoffs, **{name: columns[name] for name in PERIOD_COLUMNS}}


PERIOD_COLUMNS = (
    "row_count", "positive_count", "base_rate", "base_rate_low", "base_rate_high", "mean_probability",
    "difference", "difference_low", "difference_high", "auc", "auc_low", "auc_high",
)  # fmt: skip


def movement_of(predictions: Predictions, draws: Draws) -> Movement | None:
    """Test whether the base rate moves between cutoffs; None if there is one cutoff or none."""
    if period_count(predictions) < 2:
        return None
    cutoffs, code = periods_of(predictions)
    y = predictions.outcome.astype(np.float64)
    size = np.bincount(code)
    rate = np.bincount(code, y) / size
    bundles = draws.bundles
    cell, error = draws.bundle * len(cutoffs) + code, (y - rate[code]) / size[code]
    errors = np.bincount(cell, error, bundles * len(cutoffs)).astype(np.float64).reshape(bundles, len(cutoffs))
    p_value = _p_value_of_equality(rate, errors)
    low, high = int(rate.argmin()), int(rate.argmax())
    return Movement(float(rate[low]), float(rate[high]), in_words(cutoffs[low]), in_words(cutoffs[high]), p_value)


def _period(predictions: Predictions, draws: Draws, inside: NDArray[np.bool_]) -> dict[str, Any]:
    y, p, draws = predictions.outcome[inside], predictions.probability[inside], draws.among(inside)
    area, drawn = auc(y, p), draws.sums(np.column_stack([y, p - y, np.ones(len(y))]))
    row: dict[str, Any] = {
        "drawn": divided(drawn[:, 0], drawn[:, 2]),
        "row_count": len(y),
        "positive_count": int(y.sum()),
        "base_rate": float(y.mean()),
        "mean_probability": float(p.mean()),
        "difference": float((p - y).mean()),
        "auc": area,
    }
    row["difference_low"], row["difference_high"] = map(float, bounds(divided(drawn[:, 1], drawn[:, 2])))
    row["auc_low"], row["auc_high"] = map(float, bounds(auc_of_sums(draws.sums(auc_terms(y, p)), area)))
    return row


def _p_value_of_equality(rate: Vector, shares: Vector) -> float:
    """Test that all rates are equal; ``shares`` is what each of many customers adds to the error of each of them."""
    from scipy import special

    contrasts = np.diff(np.eye(len(rate)), axis=0)
    moved, errors = contrasts @ rate, shares @ contrasts.T
    covariance = errors.T @ errors
    freedom = int(np.linalg.matrix_rank(covariance, hermitian=True))
    others = len(shares) - freedom
    if freedom == 0 or others < 1:
        return float("nan")
    statistic = float(moved @ np.linalg.pinv(covariance, hermitian=True) @ moved)
    return float(special.fdtrc(freedom, others, statistic * others / (freedom * (len(shares) - 1))))


def stability_columns(predictions: Predictions) -> dict[str, Any]:
    """Return the columns of :meth:`Evaluation.stability_table`."""
    cutoffs, code = periods_of(predictions)
    scores = [pd.DataFrame({"probability": predictions.probability[code == at]}) for at in range(len(cutoffs))]
    found = pd.concat([stability_table(before, after) for before, after in pairwise(scores)])
    columns: dict[str, Any] = {"cutoff": cutoffs[1:], "previous_cutoff": cutoffs[:-1]}
    columns |= {"row_count": found["actual_count"], "previous_row_count": found["expected_count"]}
    columns |= {name: found[name] for name in ("psi", "critical_psi", "p_value", "verdict")}
    return {name: np.asarray(values) for name, values in columns.items()}
