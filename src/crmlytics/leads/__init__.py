"""Which prospects become customers, and where the pipeline loses them.

Score open leads in one call with :func:`score_leads`, or fit a :class:`LeadModel` or a :class:`PointsScorecard`, whose
points a sales team can add up and a database can compute (``to_sql``). How long conversion takes:
:func:`conversion_time_table`. What happens on the way: :func:`pipeline_table`, :func:`velocity_table`,
:func:`loss_reason_table`, :func:`forecast_table`. Who does it well, whatever leads they were given:
:func:`owner_table`. Fields that were filled in after the outcome: :func:`late_field_table`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from crmlytics.leads._pipeline_plots import plot_pipeline
from crmlytics.leads._scoring_plots import plot_grades, plot_points
from crmlytics.leads.conversion_times import conversion_time_table
from crmlytics.leads.late_fields import late_field_table
from crmlytics.leads.owners import owner_table
from crmlytics.leads.pipeline import forecast_table, loss_reason_table, pipeline_table, velocity_table

if TYPE_CHECKING:
    from crmlytics.leads.model import LeadModel
    from crmlytics.leads.points import PointsScorecard, points_table
    from crmlytics.leads.scoring import LeadScores, score_leads

__all__ = [
    "LeadModel",
    "LeadScores",
    "PointsScorecard",
    "conversion_time_table",
    "forecast_table",
    "late_field_table",
    "loss_reason_table",
    "owner_table",
    "pipeline_table",
    "plot_grades",
    "plot_pipeline",
    "plot_points",
    "points_table",
    "score_leads",
    "velocity_table",
]
_HOMES = {
    "LeadModel": "model",
    "LeadScores": "scoring",
    "PointsScorecard": "points",
    "points_table": "points",
    "score_leads": "scoring",
}


def __getattr__(name: str) -> Any:
    """Load the models when they are first used: they bring scikit-learn, which nothing else here needs."""
    if name not in _HOMES:
        msg = f"module 'crmlytics.leads' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"crmlytics.leads.{_HOMES[name]}"), name)
