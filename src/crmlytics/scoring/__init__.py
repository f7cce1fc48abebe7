"""The supervised core of churn, propensity and leads: calibrated models that carry their evaluation.

:class:`ScoringModel` scores any ready table with a yes-or-no outcome; ``ChurnModel``, ``PropensityModel`` and
``LeadModel`` are the same with the names of their topic. Each has an :class:`Evaluation`, reasons and a
:class:`ModelCard`. Models of yours are judged by :func:`evaluate_predictions`. Saved models are read by
:func:`load_model`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from crmlytics.scoring._card import CardFacts, ModelCard
from crmlytics.scoring._evaluation import Evaluation, evaluate_predictions
from crmlytics.scoring._grading import Contest, Grade
from crmlytics.scoring._persistence import describe_model, load_model, save_model
from crmlytics.scoring._plots import plot_evaluation, plot_periods, plot_score_gains
from crmlytics.scoring._predictions import Predictions

if TYPE_CHECKING:
    from crmlytics.scoring._model import ScoringModel

__all__ = [
    "CardFacts",
    "Contest",
    "Evaluation",
    "Grade",
    "ModelCard",
    "Predictions",
    "ScoringModel",
    "describe_model",
    "evaluate_predictions",
    "load_model",
    "plot_evaluation",
    "plot_periods",
    "plot_score_gains",
    "save_model",
]


def __getattr__(name: str) -> Any:
    """Load the model when it is first used: it brings scikit-learn, which nothing else here needs."""
    if name != "ScoringModel":
        msg = f"module 'crmlytics.scoring' has no attribute {name!r}"
        raise AttributeError(msg)
    return import_module("crmlytics.scoring._model").ScoringModel
