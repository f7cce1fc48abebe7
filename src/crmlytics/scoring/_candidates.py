"""The models that compete for a table: two smooth ones, four of trees, or the caller's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from crmlytics._validation import check_choice, did_you_mean
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from crmlytics.scoring._encoding import Feature

FEW = 100  # outcomes of the rarer kind: with fewer, trees learn chance by heart
SMOOTH = {"logistic, strong ridge": 0.02, "logistic": 1.0}
VERY_FEW = {"logistic, strongest ridge": 0.002, "logistic, strong ridge": 0.02}
TREES: dict[str, dict[str, Any]] = {
    "boosting, shallow": {
        "learning_rate": 0.03, "max_iter": 200, "max_depth": 3, "min_samples_leaf": 100, "l2_regularization": 10.0,
        "max_features": 0.4,
    },
    "boosting, careful": {
        "learning_rate": 0.03, "max_iter": 300, "max_depth": 4, "min_samples_leaf": 60, "l2_regularization": 10.0,
        "max_features": 0.4,
    },
    "boosting": {
        "learning_rate": 0.04, "max_iter": 200, "max_leaf_nodes": 15, "min_samples_leaf": 40, "l2_regularization": 5.0,
        "max_features": 0.5,
    },
    "boosting, flexible": {
        "learning_rate": 0.06, "max_iter": 300, "max_leaf_nodes": 31, "min_samples_leaf": 10, "l2_regularization": 1.0,
        "max_features": 0.5,
    },
}  # fmt: skip
KINDS = ("auto", "logistic", "boosting")
LEAST = 1e-7  # nobody is certain


def knows_threads(estimator: Any) -> bool:
    """Whether several of ours may ask an estimator at once: scikit-learn's forests and their like start their own."""
    return type(estimator).__name__ != "Prepared"


def candidates(
    model: Any, features: tuple[Feature, ...], rarer: int, *, monotone: Mapping[str, int] | None, random_state: int,
    caller: str,
) -> dict[str, Any]:  # fmt: skip
    """Return the unfitted models that compete, by name.

    Parameters
    ----------
    model : str or classifier
        ``"auto"``, ``"logistic"``, ``"boosting"`` or a scikit-learn classifier.
    features : tuple of Feature
    rarer : int
        How many outcomes of the rarer kind there are to learn from.
    monotone : dict of feature to 1 or -1, optional
        What may only raise or only lower the score: trees keep to it, so only they compete.
    """
    signs = _signs(monotone, features, caller=caller)
    if hasattr(model, "fit"):
        if monotone:
            msg = f"{caller}: monotone goes with the models of this library, not with {type(model).__name__}."
            raise SchemaError(msg)
        from crmlytics.scoring._own import Prepared

        levels = [len(feature.levels or ()) for feature in features]
        return {type(model).__name__: Prepared(model, levels=levels)}
    check_choice(model, KINDS, name="model", caller=caller)
    if monotone and model == "logistic":
        msg = f'{caller}: monotone goes with model="boosting" or "auto": curves of model="logistic" are free.'
        raise SchemaError(msg)
    smooth = {} if model == "boosting" or monotone else _smooth(features, rarer)
    trees = {} if model == "logistic" or (rarer < FEW and smooth) else _trees(features, signs, random_state)
    return smooth | trees


def fit_quietly(estimator: Any, matrix: NDArray[np.float64], outcome: NDArray[np.bool_]) -> Any:
    """Fit in this thread alone: several of ours do so at once. A column of which nothing is known becomes zeros."""
    unknown = np.isnan(matrix).all(axis=0)
    if unknown.any():
        matrix = np.where(unknown, 0.0, matrix)
    with threadpool_limits(1, user_api="openmp"):
        return estimator.fit(matrix, outcome)


def raw_log_odds(estimator: Any, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log odds as the model gives them, before they are calibrated."""
    if hasattr(estimator, "decision_function"):
        return np.asarray(estimator.decision_function(matrix), dtype=np.float64)
    probability = np.clip(estimator.predict_proba(matrix)[:, 1], LEAST, 1 - LEAST)
    return np.asarray(np.log(probability / (1 - probability)))


# -- inside --------------------------------------------------------------------------------------------------------


def _smooth(features: tuple[Feature, ...], rarer: int) -> dict[str, Any]:
    from crmlytics.scoring._spline_logistic import SplineLogistic

    levels = [len(feature.levels or ()) for feature in features]
    ridges = VERY_FEW if rarer < FEW else SMOOTH
    return {name: SplineLogistic(C=C, levels=levels) for name, C in ridges.items()}


def _trees(features: tuple[Feature, ...], signs: list[int], random_state: int) -> dict[str, Any]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    of_words = [feature.levels is not None for feature in features]
    common: dict[str, Any] = {"early_stopping": False, "random_state": random_state, "monotonic_cst": signs}
    if any(of_words):
        common["categorical_features"] = of_words
    return {name: HistGradientBoostingClassifier(**settings, **common) for name, settings in TREES.items()}


def _signs(monotone: Mapping[str, int] | None, features: tuple[Feature, ...], *, caller: str) -> list[int]:
    numeric = [feature.name for feature in features if feature.levels is None]
    for name, sign in (monotone or {}).items():
        if name not in numeric:
            msg = f"{caller}: monotone names {name!r}, which is no numeric feature.{did_you_mean(name, numeric)}"
            raise SchemaError(msg)
        if sign not in {-1, 1}:
            msg = f"{caller}: monotone[{name!r}] must be 1 (may only raise the score) or -1 (only lower), got {sign!r}."
            raise SchemaError(msg)
    return [(monotone or {}).get(feature.name, 0) for feature in features]
