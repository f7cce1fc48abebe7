"""Where revenue comes from: by period, by who brought it, by cohort; what moved it; and where it goes from here.

By period: :func:`revenue_table`, :func:`movement_table`, :func:`composition_table`, :func:`cohort_table`. What moved
it: :func:`bridge_table` and :func:`revenue_cut_table`, in words by :func:`describe_revenue`. What is usual:
:func:`seasonality_table`. What is to come: :func:`revenue_forecast_table`, and how far to trust it:
:func:`forecast_evaluation_table`.
"""

from crmlytics.revenue._pictures import (
    plot_bridge,
    plot_composition,
    plot_forecast,
    plot_forecast_evaluation,
    plot_revenue_cuts,
    plot_seasonality,
)
from crmlytics.revenue._plots import plot_cohorts, plot_movements, plot_revenue
from crmlytics.revenue._tables import cohort_table, movement_table, revenue_table
from crmlytics.revenue.bridges import bridge_table
from crmlytics.revenue.composition import composition_table
from crmlytics.revenue.cuts import revenue_cut_table
from crmlytics.revenue.describing import describe_revenue
from crmlytics.revenue.forecasting import forecast_evaluation_table, revenue_forecast_table
from crmlytics.revenue.seasonality import seasonality_table

__all__ = [
    "bridge_table",
    "cohort_table",
    "composition_table",
    "describe_revenue",
    "forecast_evaluation_table",
    "movement_table",
    "plot_bridge",
    "plot_cohorts",
    "plot_composition",
    "plot_forecast",
    "plot_forecast_evaluation",
    "plot_movements",
    "plot_revenue",
    "plot_revenue_cuts",
    "plot_seasonality",
    "revenue_cut_table",
    "revenue_forecast_table",
    "revenue_table",
    "seasonality_table",
]
