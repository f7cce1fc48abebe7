"""Customer support: how many tickets, how long customers wait, how satisfied they are, and what it does to them.

:func:`support_table` has volumes, times and targets, :func:`resolution_curve_table` how many still wait,
:func:`backlog_table` what is left, :func:`satisfaction_table` and :func:`satisfaction_driver_table` what customers say.
:func:`ticket_outcome_table` asks whether a bad ticket costs a customer, :func:`at_risk_table` who waits now, and
:func:`workload_table` what comes in next.
"""

from crmlytics.support._outcome_plots import plot_staffing, plot_ticket_outcomes, plot_workload
from crmlytics.support._plots import plot_backlog, plot_resolution, plot_satisfaction_drivers, plot_support
from crmlytics.support.backlog import backlog_table
from crmlytics.support.outcomes import ticket_outcome_table
from crmlytics.support.resolution import resolution_curve_table
from crmlytics.support.risk import at_risk_table
from crmlytics.support.satisfaction import satisfaction_table
from crmlytics.support.satisfaction_drivers import satisfaction_driver_table
from crmlytics.support.staffing import staffing_table
from crmlytics.support.volumes import support_table
from crmlytics.support.workload import workload_evaluation_table, workload_table

__all__ = [
    "at_risk_table",
    "backlog_table",
    "plot_backlog",
    "plot_resolution",
    "plot_satisfaction_drivers",
    "plot_staffing",
    "plot_support",
    "plot_ticket_outcomes",
    "plot_workload",
    "resolution_curve_table",
    "satisfaction_driver_table",
    "satisfaction_table",
    "staffing_table",
    "support_table",
    "ticket_outcome_table",
    "workload_evaluation_table",
    "workload_table",
]
