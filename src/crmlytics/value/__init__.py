"""What customers are worth: revenue so far, contribution after what serving them costs, and what they may become.

So far: :func:`value_table`, :func:`kpi_table`. After costs: :func:`contribution_table`, :func:`whale_curve_table`. How
few make how much: :func:`concentration_table` and, with intervals, :func:`concentration_interval_table`,
:func:`pareto_test_table`; how much of it is chance: :func:`concentration_window_table`,
:func:`order_concentration_table`. Now and later: :func:`value_matrix_table`, :func:`value_migration_table`. Loyalty:
:func:`loyalty_measure_table`, :func:`nps_table`, :func:`service_profit_table`, :func:`referral_table`.
"""

from crmlytics.value._customer_plots import (
    plot_concentration_windows,
    plot_order_concentration,
    plot_value_deciles,
    plot_value_matrix,
    plot_value_migration,
    plot_whale_curve,
)
from crmlytics.value._loyalty_plots import plot_loyalty, plot_service_profit
from crmlytics.value._plots import plot_concentration, plot_kpis, plot_value
from crmlytics.value._tables import concentration_table, gini, kpi_table, value_table
from crmlytics.value.concentration import concentration_interval_table, concentration_window_table, pareto_test_table
from crmlytics.value.contribution import contribution_table
from crmlytics.value.loyalty import loyalty_measure_table, nps_table
from crmlytics.value.matrix import value_group_table, value_matrix_table
from crmlytics.value.migration import value_migration_table
from crmlytics.value.order_concentration import order_concentration_table
from crmlytics.value.referrals import referral_table
from crmlytics.value.service_profit import service_profit_table
from crmlytics.value.whale import value_decile_table, whale_curve_table, whale_summary_table

__all__ = [
    "concentration_interval_table",
    "concentration_table",
    "concentration_window_table",
    "contribution_table",
    "gini",
    "kpi_table",
    "loyalty_measure_table",
    "nps_table",
    "order_concentration_table",
    "pareto_test_table",
    "plot_concentration",
    "plot_concentration_windows",
    "plot_kpis",
    "plot_loyalty",
    "plot_order_concentration",
    "plot_service_profit",
    "plot_value",
    "plot_value_deciles",
    "plot_value_matrix",
    "plot_value_migration",
    "plot_whale_curve",
    "referral_table",
    "service_profit_table",
    "value_decile_table",
    "value_group_table",
    "value_matrix_table",
    "value_migration_table",
    "value_table",
    "whale_curve_table",
    "whale_summary_table",
]
