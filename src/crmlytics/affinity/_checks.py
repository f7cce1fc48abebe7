"""Whether rules and itemsets came in, and not the tables that are made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from crmlytics.affinity.itemsets import Itemsets
    from crmlytics.affinity.rules import RuleSet


def check_rules(rules: Any, *, caller: str) -> RuleSet:
    """Check for the rules of :func:`association_rules`."""
    from crmlytics.affinity.itemsets import Itemsets
    from crmlytics.affinity.rules import RuleSet

    if isinstance(rules, RuleSet):
        return rules
    is_itemsets = isinstance(rules, Itemsets)
    repair = "Type association_rules(itemsets)." if is_itemsets else "Give the rules before .to_frame()."
    msg = f"{caller}: expected a RuleSet, got {type(rules).__name__}. {repair}"
    raise SchemaError(msg)


def check_itemsets(itemsets: Any, *, caller: str) -> Itemsets:
    """Check for the itemsets of :func:`frequent_itemsets`."""
    from crmlytics.affinity.itemsets import Itemsets
    from crmlytics.affinity.rules import RuleSet

    if isinstance(itemsets, Itemsets):
        return itemsets
    is_rules = isinstance(itemsets, RuleSet)
    repair = "Type rules.itemsets." if is_rules else "Give the itemsets before .to_frame()."
    msg = f"{caller}: expected Itemsets, got {type(itemsets).__name__}. {repair}"
    raise SchemaError(msg)
