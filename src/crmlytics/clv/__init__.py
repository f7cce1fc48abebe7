"""Customer lifetime value: how many orders a customer will place, how much they will be worth, and who is gone.

Prepare with :func:`btyd_table`; count future orders with :class:`ModifiedBetaGeoModel` or :class:`BetaGeoModel`;
value them with :class:`GammaGammaModel`.
"""

from crmlytics.clv.baselines import baseline_table, markov_value_table, retention_lifetime_value
from crmlytics.clv.beta_geo import BetaGeoModel, ModifiedBetaGeoModel
from crmlytics.clv.contractual import BetaDiscreteWeibullModel, ShiftedBetaGeoModel, plot_retention, tenure_table
from crmlytics.clv.discrete import BetaGeoBetaBinomModel, discrete_table
from crmlytics.clv.cnbd import BetaGeoCNBDModel, ModifiedBetaGeoCNBDModel
from crmlytics.clv.gamma_gamma import GammaGammaModel
from crmlytics.clv.lifetime_value import clv_table, new_customer_value
from crmlytics.clv.pareto import GammaGompertzNBDModel, NBDModel, ParetoNBDModel
from crmlytics.clv.preparing import btyd_table, holdout_table

__all__ = [
    "BetaDiscreteWeibullModel",
    "BetaGeoBetaBinomModel",
    "BetaGeoCNBDModel",
    "BetaGeoModel",
    "GammaGammaModel",
    "GammaGompertzNBDModel",
    "ModifiedBetaGeoCNBDModel",
    "ModifiedBetaGeoModel",
    "NBDModel",
    "ParetoNBDModel",
    "ShiftedBetaGeoModel",
    "baseline_table",
    "btyd_table",
    "clv_table",
    "discrete_table",
    "holdout_table",
    "markov_value_table",
    "new_customer_value",
    "plot_retention",
    "retention_lifetime_value",
    "tenure_table",
]
