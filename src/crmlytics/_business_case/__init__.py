"""Money: whether an investment pays, what that hangs on, and what a sales goal asks for."""

from crmlytics._business_case.cases import business_case, cash_flow_table
from crmlytics._business_case.goal import goal_table
from crmlytics._business_case.plan import CampaignPlan
from crmlytics._business_case.plots import plot_tornado
from crmlytics._business_case.sensitivity import plan_scenarios, sensitivity_table

__all__ = [
    "CampaignPlan",
    "business_case",
    "cash_flow_table",
    "goal_table",
    "plan_scenarios",
    "plot_tornado",
    "sensitivity_table",
]
