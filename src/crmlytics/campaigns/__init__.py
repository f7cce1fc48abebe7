"""Campaigns, the closed loop: whom to contact, whom to hold out, what it did, and what to do next.

**Plan**: goals on a :func:`scoreboard_table`, who is due today by :func:`trigger_table`, who may be contacted by
:func:`eligibility_table`, how many it takes by :func:`sample_size_table`, and :func:`assign_arms`. **Target**: what an
:class:`Offer` is worth to whom, under a budget, by :func:`target_table`; who is moved by a contact, by
:class:`UpliftModel`. **Measure**: :func:`measure_campaign` in one call, or :func:`outcome_table` and what reads it;
without a control group :func:`matched_effect_table` and :func:`difference_in_differences_table`. **Learn**:
:func:`campaign_history_table`, :func:`what_worked_table`. Does it pay: :func:`business_case`, :func:`goal_table`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from crmlytics._business_case import (
    CampaignPlan,
    business_case,
    cash_flow_table,
    goal_table,
    plan_scenarios,
    plot_tornado,
    sensitivity_table,
)
from crmlytics.campaigns.learning._history_plots import plot_timeline
from crmlytics.campaigns.learning.history import campaign_history_table
from crmlytics.campaigns.learning.loyalty import loyalty_table
from crmlytics.campaigns.learning.worked import add_shrunken_effects, what_worked_table
from crmlytics.campaigns.measuring._curve_plots import plot_event_study, plot_response_curve
from crmlytics.campaigns.measuring._effect_plots import plot_effects
from crmlytics.campaigns.measuring.campaign_result import CampaignResult, measure_campaign
from crmlytics.campaigns.measuring.effects import effect_table
from crmlytics.campaigns.measuring.pull_forward import pull_forward_table
from crmlytics.campaigns.measuring.response_curves import response_curve_table
from crmlytics.campaigns.measuring.returns import return_table
from crmlytics.campaigns.outcomes import outcome_table
from crmlytics.campaigns.planning import when
from crmlytics.campaigns.planning.assigning import assign_arms
from crmlytics.campaigns.planning.eligibility import eligibility_table
from crmlytics.campaigns.planning.scoreboard import scoreboard_table
from crmlytics.campaigns.planning.sizing import detectable_effect_table, sample_size_table
from crmlytics.campaigns.planning.triggers import Trigger, trigger_table
from crmlytics.campaigns.targeting._plots import plot_arms
from crmlytics.campaigns.targeting.contacts import contacts_table
from crmlytics.campaigns.targeting.offers import Offer
from crmlytics.campaigns.targeting.policies import policy_table
from crmlytics.campaigns.targeting.target_summary import target_summary_table
from crmlytics.campaigns.targeting.targets import target_table
from crmlytics.campaigns.uplift._plots import plot_balance, plot_incremental_profit, plot_qini
from crmlytics.campaigns.uplift.balance import balance_table, randomisation_table
from crmlytics.campaigns.uplift.evaluation import UpliftEvaluation, evaluate_uplift
from crmlytics.campaigns.uplift.incremental_profit import incremental_profit_table
from crmlytics.campaigns.uplift.qini import qini_table, uplift_table
from crmlytics.campaigns.uplift.qini_measures import qini_measure_table
from crmlytics.campaigns.without_control.comparison_contacts import comparison_contacts
from crmlytics.campaigns.without_control.differences import difference_in_differences_table
from crmlytics.campaigns.without_control.event_study import event_study_table
from crmlytics.campaigns.without_control.matching import matched_balance_table, matched_effect_table

if TYPE_CHECKING:
    from crmlytics.campaigns.uplift.model import UpliftModel

__all__ = [
    "CampaignPlan",
    "CampaignResult",
    "Offer",
    "Trigger",
    "UpliftEvaluation",
    "UpliftModel",
    "add_shrunken_effects",
    "assign_arms",
    "balance_table",
    "business_case",
    "campaign_history_table",
    "cash_flow_table",
    "comparison_contacts",
    "contacts_table",
    "detectable_effect_table",
    "difference_in_differences_table",
    "effect_table",
    "eligibility_table",
    "evaluate_uplift",
    "event_study_table",
    "goal_table",
    "incremental_profit_table",
    "loyalty_table",
    "matched_balance_table",
    "matched_effect_table",
    "measure_campaign",
    "outcome_table",
    "plan_scenarios",
    "plot_arms",
    "plot_balance",
    "plot_effects",
    "plot_event_study",
    "plot_incremental_profit",
    "plot_qini",
    "plot_response_curve",
    "plot_timeline",
    "plot_tornado",
    "policy_table",
    "pull_forward_table",
    "qini_measure_table",
    "qini_table",
    "randomisation_table",
    "response_curve_table",
    "return_table",
    "sample_size_table",
    "scoreboard_table",
    "sensitivity_table",
    "target_summary_table",
    "target_table",
    "trigger_table",
    "uplift_table",
    "what_worked_table",
    "when",
]


def __getattr__(name: str) -> Any:
    """Load the model when it is first used: it brings scikit-learn, which nothing else here needs."""
    if name != "UpliftModel":
        msg = f"module 'crmlytics.campaigns' has no attribute {name!r}"
        raise AttributeError(msg)
    return import_module("crmlytics.campaigns.uplift.model").UpliftModel
