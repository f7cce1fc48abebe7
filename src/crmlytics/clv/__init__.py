"""Customer lifetime value: how many orders a customer will place, how much they will be worth, and who is gone.

Prepare with :func:`btyd_table`; count future orders with :class:`ModifiedBetaGeoModel` or :class:`BetaGeoModel`;
value them with :class:`GammaGammaModel`.
"""

from crmlytics.clv.beta_geo import BetaGeoModel, ModifiedBetaGeoModel
from crmlytics.clv.gamma_gamma import GammaGammaModel
from crmlytics.clv.preparing import btyd_table

__all__ = ["BetaGeoModel", "GammaGammaModel", "ModifiedBetaGeoModel", "btyd_table"]
