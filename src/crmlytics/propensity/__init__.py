"""Who buys what, or answers, within a horizon.

Score today's customers in one call with :func:`score_propensity`: to buy anything, each of several products or
categories, or to answer a contact; or fit a :class:`PropensityModel` on a ready table. Turn probabilities into each
customer's best next offers with :func:`offer_table`, and find customers like those you have with
:func:`look_alike_table`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from crmlytics.propensity._plots import plot_offers

if TYPE_CHECKING:
    from crmlytics.propensity.look_alikes import look_alike_table
    from crmlytics.propensity.modelling import PropensityModel
    from crmlytics.propensity.offers import offer_table
    from crmlytics.propensity.scoring import PropensityScores, score_propensity

__all__ = [
    "PropensityModel",
    "PropensityScores",
    "look_alike_table",
    "offer_table",
    "plot_offers",
    "score_propensity",
]
_HOMES = {
    "PropensityModel": "modelling",
    "PropensityScores": "scoring",
    "look_alike_table": "look_alikes",
    "offer_table": "offers",
    "score_propensity": "scoring",
}


def __getattr__(name: str) -> Any:
    """Load the models when they are first used: they bring scikit-learn, which nothing else here needs."""
    if name not in _HOMES:
        msg = f"module 'crmlytics.propensity' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"crmlytics.propensity.{_HOMES[name]}"), name)
