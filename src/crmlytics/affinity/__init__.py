"""What is bought together: frequent itemsets, association rules, and what to do with them."""

from crmlytics.affinity.itemsets import Itemsets, frequent_itemsets
from crmlytics.affinity.rules import RuleSet, association_rules

__all__ = ["Itemsets", "RuleSet", "association_rules", "frequent_itemsets"]
