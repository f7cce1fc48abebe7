"""What customers did in a holdout, and measures of how well it was forecast."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
from scipy import stats

from crmlytics._frames import collect, columns_of, enter
from crmlytics._kernels.predictive import log_probability_of_counts
from crmlytics.clv._histories import read_histories, refuse_rows
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from crmlytics._frames import Engine
    from crmlytics._kernels.population import Population
    from crmlytics._kernels.special import Vector
    from crmlytics.clv._histories import Histories
    from crmlytics.clv._purchases import PurchaseModel

FOUND, SPAN, LATE = "holdout_frequency", "holdout_duration", "late_joiner"


def read_holdout(X: Any, *, caller: str) -> Holdout:
    """Collect a holdout table, without its late joiners."""
    frame, engine = enter(X, caller=caller)
    present = columns_of(frame)
    missing = [name for name in ("frequency", "recency", "T", FOUND, SPAN) if name not in present]
    if missing:
        msg = (
            f"{caller} needs the columns {missing} of a holdout table, got {present}. Make one from your orders: "
            "crm.clv.holdout_table(tx, calibration_end=..., as_of=...)."
        )
        raise MissingColumnsError(msg)
    if LATE in present and frame.collect_schema()[LATE] != nw.Boolean:
        kind = frame.collect_schema()[LATE]
        raise SchemaError(
            f"{caller}: column {LATE!r} holds {kind}, expected truth values, as holdout_table makes them."
        )
    known = frame.filter(~nw.col(LATE)) if LATE in present else frame
    native = collect(known).to_native()  # once: every model reads it
    table = read_histories(native, FOUND, SPAN, caller=caller)
    actual, spans = table[FOUND], np.unique(table[SPAN])
    bad = ~np.isfinite(actual) | (actual < 0) | (actual != np.floor(actual))
    refuse_rows(table, bad, f"a {FOUND} that is not a whole number >= 0", "", caller=caller)
    if len(spans) != 1 or not (np.isfinite(spans[0]) and spans[0] > 0):
        msg = f"{caller}: {SPAN} must be one number above zero for all customers, got {spans[:5].tolist()}."
        raise SchemaError(msg)
    return Holdout(native, engine, table, actual, float(spans[0]))


@dataclass(frozen=True, slots=True)
class Holdout:
    """Customers known at the end of the calibration period, and what they did afterwards."""

    frame: Any
    engine: Engine
    table: Histories
    actual: Vector
    span: float

    def predict(self, model: PurchaseModel) -> Vector:
        """Purchases expected of each customer in the holdout, (n,)."""
        population = self._population(model)
        return population.alive(model.theta_) * population.expected(model.theta_, self.span)

    def log_probabilities(self, model: PurchaseModel) -> Vector:
        """Log of the probability of what each customer did, (n,)."""
        population = self._population(model)
        return log_probability_of_counts(population, model.theta_, self.span, self.actual)

    def _population(self, model: PurchaseModel) -> Population:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataQualityWarning)  # fitting said it
            return model._enter(self.frame, caller="evaluation_table")[1]

    def judge_model(self, model: PurchaseModel) -> dict[str, Any]:
        """Return the row of ``MEASURES`` of a fitted model."""
        row = self.judge_forecast(name_of(model), self.predict(model))
        return row | {
            "predictive_log_likelihood": float(np.sort(self.log_probabilities(model)).sum()),
            "log_likelihood": model.log_likelihood_,
            "aic": model.aic_,
            "bic": model.bic_,
            "verdict": model.verdict_,
        }

    def judge_forecast(self, name: str, predicted: Vector) -> dict[str, Any]:
        """Return the row of ``MEASURES`` of a forecast of one number per customer."""
        missing = int((~np.isfinite(predicted)).sum())
        if missing:
            verdict = f"not judged: no forecast for {missing} of {len(predicted)} customers."
            return dict.fromkeys(MEASURES) | {"model": name, "verdict": verdict}
        error, total = predicted - self.actual, float(self.actual.sum())
        return dict.fromkeys(MEASURES) | {
            "model": name,
            "predicted_purchase_count": float(predicted.sum()),
            "actual_purchase_count": total,
            "bias_share": float(predicted.sum()) / total - 1 if total else None,
            "root_mean_squared_error": float(np.sqrt(np.mean(error**2))),
            "mean_absolute_error": float(np.abs(error).mean()),
            "correlation": _correlation(predicted, self.actual),
            "normalised_gini": normalised_gini(predicted, self.actual),
        }


MEASURES = (
    "model",
    "predictive_log_likelihood",
    "predicted_purchase_count",
    "actual_purchase_count",
    "bias_share",
    "root_mean_squared_error",
    "mean_absolute_error",
    "correlation",
    "normalised_gini",
    "log_likelihood",
    "aic",
    "bic",
    "verdict",
)


def normalised_gini(predicted: Vector, actual: Vector) -> float | None:
    """Return the Gini coefficient of ``actual`` in the order of ``predicted``, over that in its own order.

    Ties share their mean rank, so equal forecasts rank nobody. None where nobody differs in what they did.
    """
    own = np.cov(stats.rankdata(actual), actual)[0, 1]
    return float(np.cov(stats.rankdata(predicted), actual)[0, 1] / own) if own > 0 else None


def _correlation(predicted: Vector, actual: Vector) -> float | None:
    if np.ptp(predicted) == 0 or np.ptp(actual) == 0:
        return None
    return float(np.corrcoef(predicted, actual)[0, 1])


def name_of(model: PurchaseModel) -> str:
    """Name a fitted model in a table: its kind, its k if it has one, its covariates."""
    name = type(model).__name__
    if hasattr(model, "k_"):
        name += f"(k={model.k_})"
    return name + (" with " + ", ".join(model.coefficients_) if model.coefficients_ else "")
