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
from crmlytics.scoring._periods import periods_of, when

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.draws import Draws
    from crmlytics.scoring._predictions import Predictions

    Vector = NDArray[np.float64]

RARE = 0.01  # p-value
MUCH = 1.1  # of the highest base rate divided by the lowest
SURE = 0.05  # p-value, of all cutoffs together
ENOUGH = 5  # rows of either outcome that a cutoff should have, to tell anything


@dataclass(frozen=True, slots=True)
class Levels:
    """What was foretold of each cutoff on average, and what came true.

    Attributes
    ----------
    cutoffs : array, shape (cutoffs,)
    foretold, true : float64 array, shape (cutoffs,)
        Mean probability and base rate.
    off : bool array, shape (cutoffs,)
        Whether they differ by more than chance (a two-sided 5% for all cutoffs together, between customers), at
        cutoffs where at least 5 rows of either outcome were to be expected.
    """

    cutoffs: NDArray[Any]
    foretold: Vector
    true: Vector
    off: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Movement:
    """How far the base rate moves from cutoff to cutoff, of those with rows enough to tell.

    Attributes
    ----------
    lowest, highest : float
        Base rates.
    lowest_at, highest_at : str
        Their cutoffs, in words.
    p_value : float
        How often chance alone would move them as far: a score test that all are equal, which is Pearson's where every
        row is another customer; else with the covariance between customers (who are in several cutoffs) and
        Hotelling's correction for few of them. Missing where there are fewer customers than cutoffs.
    followed : bool
        Whether probabilities moved along: there are none that are off by more than chance.
    when : tuple of str
        What a period is called, such as ``("at", "cutoff")``.
    """

    lowest: float
    highest: float
    lowest_at: str
    highest_at: str
    p_value: float
    followed: bool
    when: tuple[str, str]

    @property
    def sentence(self) -> str | None:
        """What to do about it; None where it moves no more than chance explains, or by less than a tenth."""
        at, cutoff = self.when
        if not (self.p_value < RARE and self.highest >= MUCH * self.lowest):
            return None
        p_value = "p < 0.001" if self.p_value < 0.001 else f"p = {self.p_value:.3f}"
        moves = (
            f"The base rate moves between {self.lowest:.0%} ({cutoff} {self.lowest_at}) and {self.highest:.0%} "
            f"({self.highest_at}), more than chance explains ({p_value})."
        )
        if self.followed:
            return f"{moves} The model followed: {at} no {cutoff} are its probabilities off by more than chance."
        return (
            f"{moves} The order may hold, but probabilities shift with the season: take training {cutoff}s of the "
            "same season as the one you score."
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
    """Test whether the base rate moves between cutoffs; None if fewer than two have rows enough to tell."""
    cutoffs, code = periods_of(predictions)
    size, level = np.bincount(code), float(predictions.outcome.mean())
    told = np.flatnonzero(size * min(level, 1 - level) >= ENOUGH)
    if len(cutoffs) < 2 or len(told) < 2:
        return None
    inside = np.isin(code, told)
    y, code = predictions.outcome[inside], np.searchsorted(told, code[inside])
    rate = np.bincount(code, y) / size[told]
    errors = _errors(y - level, code, draws.bundle[inside], draws.bundles, level * (1 - level))
    low, high = int(rate.argmin()), int(rate.argmax())
    words = in_words(cutoffs[told[low]]), in_words(cutoffs[told[high]])
    p_value, followed = _p_value_of_equality(rate, errors), not levels_of(predictions).off.any()
    return Movement(float(rate[low]), float(rate[high]), *words, p_value, followed, when(predictions))


def levels_of(predictions: Predictions) -> Levels:
    """Compare what was foretold of each cutoff with what came true.

    The variance of the difference is that between customers, or that of independent rows with these probabilities if it
    is larger: of few rows all with the same outcome the first would be too small.
    """
    from scipy import special

    cutoffs, code = periods_of(predictions)
    p, size = predictions.probability, np.bincount(code)
    foretold, true = (np.bincount(code, values) / size for values in (p, predictions.outcome))
    gap = foretold - true
    cells, of = np.unique(predictions.group * len(size) + code, return_inverse=True)
    between = np.bincount(of, p - predictions.outcome - gap[code])
    drawn = np.bincount(cells % len(size), between**2)
    error = np.sqrt(np.maximum(drawn, np.bincount(code, p * (1 - p)))) / size
    expected = np.minimum(foretold, 1 - foretold) * size
    bound = special.ndtri(1 - SURE / (2 * len(size)))
    return Levels(cutoffs, foretold, true, (expected >= ENOUGH) & (np.abs(gap) > bound * error))


def _errors(
    residual: Vector, code: NDArray[np.int64], bundle: NDArray[np.int64], bundles: int, variance: float
) -> Vector:
    """Return what each of many customers adds to the error of each rate if all are equal, shape (bundles, cutoffs).

    Residuals from the common rate are scaled to the variance that it has: those of a cutoff with few rows, or whose
    outcomes are all alike, would have too small a one of their own.
    """
    size = np.bincount(code)
    own = np.bincount(code, residual**2) / size
    error = residual * (np.sqrt(variance / own) / size)[code]
    cell = bundle * len(size) + code
    return np.bincount(cell, error, bundles * len(size)).astype(np.float64).reshape(bundles, len(size))


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
