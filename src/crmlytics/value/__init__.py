"""What customers are worth so far: contribution of each, concentration of revenue, and the key figures by period."""

from crmlytics.value._plots import plot_concentration, plot_kpis, plot_value
from crmlytics.value._tables import concentration_table, gini, kpi_table, value_table

__all__ = ["concentration_table", "gini", "kpi_table", "plot_concentration", "plot_kpis", "plot_value", "value_table"]
