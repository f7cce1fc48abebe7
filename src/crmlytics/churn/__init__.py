"""Who leaves, how sure that is, why, and what to do about it.

Score today's customers in one call with :func:`score_churn`, or fit a :class:`ChurnModel` on a ready table; both carry
their evaluation, out of time beside random folds, against the rules that they have to beat. Choose the horizon by
:func:`horizon_table`; sum reasons up by segment with :func:`churn_reason_table`.

Sales teams work with the :func:`watchlist`, kept from run to run: :func:`defer` records a measure, :func:`confirm_lost`
a loss, :func:`lost_table` looks back.

Of subscriptions, :func:`contract_table` tells who ended, :func:`retention_curve_table` how many stay, and
:class:`DiscreteTimeHazardModel` who is next.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from crmlytics.churn._contract_plots import plot_hazard, plot_retention
from crmlytics.churn._watch_plots import plot_lost, plot_watch_movement
from crmlytics.churn.contractual import contract_table, retention_curve_table
from crmlytics.churn.horizons import horizon_table
from crmlytics.churn.losses import lost_table, watch_movement_table
from crmlytics.churn.reasons import churn_reason_table, plot_churn_reasons
from crmlytics.churn.recording import confirm_lost, defer, reopen
from crmlytics.churn.watching import watchlist

if TYPE_CHECKING:
    from crmlytics.churn.hazard_model import DiscreteTimeHazardModel
    from crmlytics.churn.modelling import ChurnModel
    from crmlytics.churn.scoring import ChurnScores, score_churn

__all__ = [
    "ChurnModel",
    "ChurnScores",
    "DiscreteTimeHazardModel",
    "churn_reason_table",
    "confirm_lost",
    "contract_table",
    "defer",
    "horizon_table",
    "lost_table",
    "plot_churn_reasons",
    "plot_hazard",
    "plot_lost",
    "plot_retention",
    "plot_watch_movement",
    "reopen",
    "retention_curve_table",
    "score_churn",
    "watch_movement_table",
    "watchlist",
]
_HOMES = {
    "ChurnModel": "modelling",
    "ChurnScores": "scoring",
    "DiscreteTimeHazardModel": "hazard_model",
    "score_churn": "scoring",
}


def __getattr__(name: str) -> Any:
    """Load the models when they are first used: they bring scikit-learn, which nothing else here needs."""
    if name not in _HOMES:
        msg = f"module 'crmlytics.churn' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"crmlytics.churn.{_HOMES[name]}"), name)
