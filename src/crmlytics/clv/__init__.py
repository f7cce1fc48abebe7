"""Customer lifetime value: how many orders a customer will place, how much they will be worth, and who is gone.

Prepare with :func:`btyd_table` (or :func:`discrete_table`, :func:`tenure_table`); count future orders with a model such
as :class:`ModifiedBetaGeoModel`, chosen by :func:`choose_model`; value an order with :class:`GammaGammaModel`, the
customer with :func:`clv_table`, and all of them with :func:`customer_equity`.
"""

from crmlytics._business_case import business_case, cash_flow_table
from crmlytics.clv._contractual_tables import tenure_table
from crmlytics.clv._plots import (
    plot_alive_history,
    plot_calibration,
    plot_conditional,
    plot_forecast,
    plot_frequency,
    plot_heterogeneity,
    plot_recency_frequency,
    plot_retention,
    plot_tracking,
    plot_value_distribution,
)
from crmlytics.clv.baselines import baseline_table, markov_value_table, retention_lifetime_value
from crmlytics.clv.beta_geo import BetaGeoModel, ModifiedBetaGeoModel
from crmlytics.clv.checking import conditional_table, frequency_table, tracking_table
from crmlytics.clv.cnbd import BetaGeoCNBDModel, ModifiedBetaGeoCNBDModel
from crmlytics.clv.comparing import LikelihoodRatioTest, likelihood_ratio_test
from crmlytics.clv.contractual import BetaDiscreteWeibullModel, ShiftedBetaGeoModel
from crmlytics.clv.discrete import BetaGeoBetaBinomModel, discrete_table
from crmlytics.clv.equity import (
    CustomerEquity,
    customer_equity,
    elasticity_table,
    retention_elasticity,
    retention_elasticity_table,
)
from crmlytics.clv.exploring import alive_history_table, heterogeneity_table, recency_frequency_table
from crmlytics.clv.gamma_gamma import GammaGammaModel
from crmlytics.clv.interop import from_lifetimes
from crmlytics.clv.judging import ModelChoice, calibration_table, choose_model, evaluation_table
from crmlytics.clv.lifetime_value import NewCustomerValue, clv_table, new_customer_value
from crmlytics.clv.loyalty import claims_table, profit_pattern_table
from crmlytics.clv.pareto import GammaGompertzNBDModel, NBDModel, ParetoNBDModel
from crmlytics.clv.preparing import btyd_table, holdout_table

__all__ = [
    "BetaDiscreteWeibullModel",
    "BetaGeoBetaBinomModel",
    "BetaGeoCNBDModel",
    "BetaGeoModel",
    "CustomerEquity",
    "GammaGammaModel",
    "GammaGompertzNBDModel",
    "LikelihoodRatioTest",
    "ModelChoice",
    "ModifiedBetaGeoCNBDModel",
    "ModifiedBetaGeoModel",
    "NBDModel",
    "NewCustomerValue",
    "ParetoNBDModel",
    "ShiftedBetaGeoModel",
    "alive_history_table",
    "baseline_table",
    "btyd_table",
    "business_case",
    "calibration_table",
    "cash_flow_table",
    "choose_model",
    "claims_table",
    "clv_table",
    "conditional_table",
    "customer_equity",
    "discrete_table",
    "elasticity_table",
    "evaluation_table",
    "frequency_table",
    "from_lifetimes",
    "heterogeneity_table",
    "holdout_table",
    "likelihood_ratio_test",
    "markov_value_table",
    "new_customer_value",
    "plot_alive_history",
    "plot_calibration",
    "plot_conditional",
    "plot_forecast",
    "plot_frequency",
    "plot_heterogeneity",
    "plot_recency_frequency",
    "plot_retention",
    "plot_tracking",
    "plot_value_distribution",
    "profit_pattern_table",
    "recency_frequency_table",
    "retention_elasticity",
    "retention_elasticity_table",
    "retention_lifetime_value",
    "tenure_table",
    "tracking_table",
]
