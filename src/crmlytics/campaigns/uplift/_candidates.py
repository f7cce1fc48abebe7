"""The learners that compete, by name: those asked for with the caller's estimators, or a few of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.base import BaseEstimator, is_classifier, is_regressor

from crmlytics.campaigns.uplift._base_models import (
    OnDrivers,
    SmoothRidge,
    auto_effect_model,
    auto_line_model,
    auto_outcome_model,
)
from crmlytics.campaigns.uplift._choosing import Contest
from crmlytics.campaigns.uplift._learners import ClassTransformation, DRLearner, SLearner, TLearner, XLearner
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from crmlytics.campaigns.uplift._learners import Learner
    from crmlytics.campaigns.uplift.model import UpliftModel

S, INTERACTIONS, T, X, DR = "s", "s with interactions", "t", "x", "dr"
CLASSES = "class transformation"
KINDS = ("auto", S, INTERACTIONS, T, X, DR, CLASSES)
SMOOTH, DRIVERS, LINE = "dr, smooth", "dr, drivers", "dr, drivers and their line"


def contest_of(model: UpliftModel, rows: int, *, is_flag: bool, caller: str) -> Contest:
    """Return what competes for one arm.

    Parameters
    ----------
    model : UpliftModel
        Its parameters say what is wanted.
    rows : int
        Customers to learn from.
    is_flag : bool
        The outcome is yes or no.
    """
    is_ours = isinstance(model.base_model, str)
    outcome = _outcome_model(model, rows, is_flag=is_flag, caller=caller)
    effect = _effect_model(model, rows, caller=caller)
    lines = auto_line_model(is_flag=is_flag) if is_ours else outcome
    seed = model.random_state
    learners: dict[str, Learner] = {
        S: SLearner(outcome),
        INTERACTIONS: SLearner(lines, interactions=True),
        T: TLearner(outcome),
        X: XLearner(outcome, effect),
        DR: DRLearner(outcome, effect, random_state=seed),
        CLASSES: ClassTransformation(outcome),
    }
    if not is_flag or (not is_ours and not is_classifier(outcome)):
        del learners[CLASSES]
    if model.learner != "auto":
        if model.learner not in learners:
            msg = (
                f"{caller}: learner={model.learner!r} needs a classifier and an outcome of yes or no; "
                f'{model.outcome!r} holds amounts or counts, or base_model is a regressor. Take learner="dr".'
            )
            raise SchemaError(msg)
        learners = {model.learner: learners[model.learner]}
    elif is_ours:
        learners = {name: learners[name] for name in (S, T, X)} | _ours(outcome, rows, seed)
    return Contest(learners, outcome, model.learner == "auto", is_ours, seed)


# -- inside --------------------------------------------------------------------------------------------------------


def _ours(outcome: Any, rows: int, seed: int) -> dict[str, Learner]:
    """Return DR-learners from many weak drivers to few strong ones."""
    pairs = auto_effect_model(rows, random_state=seed, max_depth=2, max_features=1.0)
    return {
        SMOOTH: DRLearner(outcome, SmoothRidge()),
        DRIVERS: DRLearner(outcome, OnDrivers(pairs)),
        LINE: DRLearner(outcome, OnDrivers(pairs, with_line=True)),
    }


def _outcome_model(model: UpliftModel, rows: int, *, is_flag: bool, caller: str) -> Any:
    given = model.base_model
    if isinstance(given, str):
        if given != "auto":
            msg = f'{caller}: base_model must be "auto" or a scikit-learn estimator, got {given!r}.'
            raise SchemaError(msg)
        return auto_outcome_model(rows, is_flag=is_flag, random_state=model.random_state)
    if not _is_estimator(given) or not (is_classifier(given) or is_regressor(given)):
        msg = f"{caller}: base_model must be a scikit-learn classifier or regressor, got {given!r}."
        raise SchemaError(msg)
    if is_classifier(given) and not is_flag:
        msg = (
            f"{caller}: {model.outcome!r} holds amounts or counts, and base_model={type(given).__name__} is a "
            "classifier. Give a regressor."
        )
        raise SchemaError(msg)
    return given


def _effect_model(model: UpliftModel, rows: int, *, caller: str) -> Any:
    given = model.effect_model
    if isinstance(given, str) and given == "auto":
        if not isinstance(model.base_model, str) and is_regressor(model.base_model):
            return model.base_model
        return auto_effect_model(rows, random_state=model.random_state)
    if not _is_estimator(given) or not is_regressor(given):
        msg = f'{caller}: effect_model must be "auto" or a scikit-learn regressor, got {given!r}.'
        raise SchemaError(msg)
    return given


def _is_estimator(given: Any) -> bool:
    return isinstance(given, BaseEstimator)
