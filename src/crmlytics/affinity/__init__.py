"""What is bought together, and what to do with it.

Count sets of items with :func:`frequent_itemsets`, turn them into rules with :func:`association_rules`, ask which of
them to believe with :func:`significant_rules`, tell them with :func:`describe_rules`, and use them with
:class:`RuleRecommender`, :func:`cross_sell_table` and :func:`whitespace_table`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from crmlytics.affinity._plots import plot_lift_matrix, plot_parallel_coordinates, plot_rule_graph, plot_rules
from crmlytics.affinity.contrasts import contrast_table
from crmlytics.affinity.describing import describe_rules
from crmlytics.affinity.explained import without_implied
from crmlytics.affinity.interop import from_mlxtend, rules_from_mlxtend, to_mlxtend
from crmlytics.affinity.itemsets import Itemsets, frequent_itemsets
from crmlytics.affinity.margins import item_margins, margin_table
from crmlytics.affinity.measures import measure_guide
from crmlytics.affinity.pairs import pair_table
from crmlytics.affinity.rules import RuleSet, association_rules
from crmlytics.affinity.significance import significant_rules, split_by_customer
from crmlytics.affinity.trends import plot_rule_trend, rule_movement_table, rule_trend_table
from crmlytics.affinity.whitespace import plot_whitespace, whitespace_table

if TYPE_CHECKING:
    from crmlytics.affinity.cross_selling import cross_sell_table
    from crmlytics.affinity.recommending import RuleRecommender

__all__ = [
    "Itemsets",
    "RuleRecommender",
    "RuleSet",
    "association_rules",
    "contrast_table",
    "cross_sell_table",
    "describe_rules",
    "frequent_itemsets",
    "from_mlxtend",
    "item_margins",
    "margin_table",
    "measure_guide",
    "pair_table",
    "plot_lift_matrix",
    "plot_parallel_coordinates",
    "plot_rule_graph",
    "plot_rule_trend",
    "plot_rules",
    "plot_whitespace",
    "rule_movement_table",
    "rule_trend_table",
    "rules_from_mlxtend",
    "significant_rules",
    "split_by_customer",
    "to_mlxtend",
    "whitespace_table",
    "without_implied",
]


_HOMES = {"RuleRecommender": "recommending", "cross_sell_table": "cross_selling"}


def __getattr__(name: str) -> Any:
    """Load the recommender when it is first used: it brings scikit-learn, which nothing else here needs."""
    if name not in _HOMES:
        msg = f"module 'crmlytics.affinity' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"crmlytics.affinity.{_HOMES[name]}"), name)
