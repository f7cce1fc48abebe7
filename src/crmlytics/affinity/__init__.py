"""What is bought together, and what to do with it.

Count sets of items with :func:`frequent_itemsets`, turn them into rules with :func:`association_rules`, ask which of
them to believe with :func:`significant_rules`, tell them with :func:`describe_rules`, and use them with
:class:`RuleRecommender`, :func:`cross_sell_table` and :func:`whitespace_table`.
"""

from crmlytics.affinity._plots import plot_lift_matrix, plot_parallel_coordinates, plot_rule_graph, plot_rules
from crmlytics.affinity.contrasts import contrast_table
from crmlytics.affinity.cross_selling import cross_sell_table
from crmlytics.affinity.describing import describe_rules
from crmlytics.affinity.explained import without_implied
from crmlytics.affinity.interop import from_mlxtend, rules_from_mlxtend, to_mlxtend
from crmlytics.affinity.itemsets import Itemsets, frequent_itemsets
from crmlytics.affinity.margins import item_margins, margin_table
from crmlytics.affinity.measures import measure_guide
from crmlytics.affinity.pairs import pair_table
from crmlytics.affinity.recommending import RuleRecommender
from crmlytics.affinity.rules import RuleSet, association_rules
from crmlytics.affinity.significance import significant_rules, split_by_customer
from crmlytics.affinity.trends import plot_rule_trend, rule_movement_table, rule_trend_table
from crmlytics.affinity.whitespace import plot_whitespace, whitespace_table

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
