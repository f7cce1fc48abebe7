"""Where revenue comes from: what drives it, which customers move it, and how long each generation of them stays."""

from crmlytics.revenue._plots import plot_cohorts, plot_movements, plot_revenue
from crmlytics.revenue._tables import cohort_table, movement_table, revenue_table

__all__ = ["cohort_table", "movement_table", "plot_cohorts", "plot_movements", "plot_revenue", "revenue_table"]
