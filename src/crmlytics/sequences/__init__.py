"""What comes after what, and what each customer buys next, when, and how sure that is.

Find patterns with :func:`frequent_sequences`, read them as rules with :func:`sequence_rules`, and test on other people
which orders are no accident (:func:`significant_sequence_rules`). Predict purchases with :class:`NextPurchaseModel` or
in one call with :func:`score_next_purchase`, beside the baselines that it has to beat (:func:`evaluate`). See how long
customers wait with :func:`survival_table` and :func:`interval_table`, who is due with :func:`due_table`, and who is
late by their own habits with :func:`overdue_table`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from crmlytics.sequences._plots import plot_sequence_rules, plot_sequences
from crmlytics.sequences._timing_plots import plot_overdue, plot_survival
from crmlytics.sequences.patterns import SequencePatterns, frequent_sequences, pattern_features
from crmlytics.sequences.rules import SequenceRules, sequence_rules
from crmlytics.sequences.significance import significant_sequence_rules
from crmlytics.sequences.survival import survival_summary_table, survival_table
from crmlytics.sequences.timing import due_table, interval_law_table, interval_table, overdue_table

if TYPE_CHECKING:
    from crmlytics.sequences.baselines import (
        DecayedRepeatRecommender,
        MarkovRecommender,
        PersonalThenPopularRecommender,
        PersonalTopRecommender,
        PopularRecommender,
        TIFUKNNRecommender,
    )
    from crmlytics.sequences.evaluating import Evaluation, evaluate, evaluate_last_orders, plot_evaluation
    from crmlytics.sequences.next_purchase import NextPurchaseModel, NextPurchaseScores, score_next_purchase
    from crmlytics.sequences.upselling import upsell_table

__all__ = [
    "DecayedRepeatRecommender",
    "Evaluation",
    "MarkovRecommender",
    "NextPurchaseModel",
    "NextPurchaseScores",
    "PersonalThenPopularRecommender",
    "PersonalTopRecommender",
    "PopularRecommender",
    "SequencePatterns",
    "SequenceRules",
    "TIFUKNNRecommender",
    "due_table",
    "evaluate",
    "evaluate_last_orders",
    "frequent_sequences",
    "interval_law_table",
    "interval_table",
    "overdue_table",
    "pattern_features",
    "plot_evaluation",
    "plot_overdue",
    "plot_sequence_rules",
    "plot_sequences",
    "plot_survival",
    "score_next_purchase",
    "sequence_rules",
    "significant_sequence_rules",
    "survival_summary_table",
    "survival_table",
    "upsell_table",
]
_HOMES = {
    "DecayedRepeatRecommender": "baselines",
    "Evaluation": "evaluating",
    "MarkovRecommender": "baselines",
    "NextPurchaseModel": "next_purchase",
    "NextPurchaseScores": "next_purchase",
    "PersonalThenPopularRecommender": "baselines",
    "PersonalTopRecommender": "baselines",
    "PopularRecommender": "baselines",
    "TIFUKNNRecommender": "baselines",
    "evaluate": "evaluating",
    "evaluate_last_orders": "evaluating",
    "plot_evaluation": "evaluating",
    "score_next_purchase": "next_purchase",
    "upsell_table": "upselling",
}


def __getattr__(name: str) -> Any:
    """Load the models when they are first used: they bring scikit-learn, which nothing else here needs."""
    if name not in _HOMES:
        msg = f"module 'crmlytics.sequences' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"crmlytics.sequences.{_HOMES[name]}"), name)
