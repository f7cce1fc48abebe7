"""Rules that say no more than a rule on a higher level does: yogurt brands beside "yogurt"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crmlytics._validation import check_amount
from crmlytics.affinity._checks import check_rules
from crmlytics.affinity.hierarchy import ancestors_of
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from crmlytics.affinity.rules import RuleSet


def without_implied(rules: RuleSet, *, ratio: float = 1.1) -> RuleSet:
    r"""Keep the rules that say more than a rule with categories or departments in place of their items.

    If those who buy jam buy a dairy product, those who buy jam buy milk as well, as often as milk has its share of
    dairy. Such a rule is implied, and goes.

    Parameters
    ----------
    rules : RuleSet
        From itemsets that were mined with ``hierarchy=``.
    ratio : float, default 1.1
        A rule stays if its support, or its confidence, is at least this many times what is expected. From 1 on.

    Returns
    -------
    RuleSet
        In the order that came in.

    Raises
    ------
    SchemaError
        The itemsets have no hierarchy.

    Notes
    -----
    A rule is above another if it has something above an item, for one item or more, in its place, and is among
    ``rules`` itself: ask for rules of every level, filter afterwards. With :math:`\hat z` above :math:`z`,

    .. math:: E[\mathrm{support}(X \to Y)] = \mathrm{support}(\hat X \to \hat Y)
              \prod_{z \in X \cup Y} \frac{\mathrm{count}(z)}{\mathrm{count}(\hat z)}, \qquad
              E[\mathrm{confidence}(X \to Y)] = \mathrm{confidence}(\hat X \to \hat Y)
              \prod_{y \in Y} \frac{\mathrm{count}(y)}{\mathrm{count}(\hat y)}

    Rules are compared with the closest rules above them that were kept themselves, and stay if they say more than each
    of these: the interest of R. Srikant, R. Agrawal (1995), "Mining generalized association rules", VLDB, 407-419.
    Far less than expected is no reason to stay. Nor does it say that a rule is more than chance: see
    :func:`significant_rules`.

    Examples
    --------
    Milk and yogurt go with jam as their share of dairy lets expect; the rule about dairy is enough:

    >>> import pandas as pd
    >>> baskets = {1: "milk jam", 2: "yogurt jam", 3: "milk jam", 4: "yogurt jam", 5: "milk", 6: "yogurt", 7: "bread"}
    >>> lines = pd.DataFrame([(k, item) for k, items in baskets.items() for item in items.split()])
    >>> lines.columns = ["order_id", "product_id"]
    >>> products = pd.DataFrame({
    ...     "product_id": ["milk", "yogurt", "jam", "bread"], "category": ["DAIRY", "DAIRY", "SPREADS", "BAKERY"],
    ... })
    >>> from crmlytics.affinity import association_rules, frequent_itemsets
    >>> rules = association_rules(frequent_itemsets(lines, 2, hierarchy=products), consequent=["jam"])
    >>> without_implied(rules).to_frame(measures=["confidence"])[["antecedent", "confidence"]]
                antecedent  confidence
    0  ['category: DAIRY']    0.666667
    """
    caller = "without_implied"
    check_rules(rules, caller=caller)
    if check_amount(ratio, name="ratio", caller=caller) < 1:
        msg = f"{caller}: ratio must be at least 1, such as ratio=1.1 (a tenth more than expected), got {ratio!r}."
        raise SchemaError(msg)
    parents = rules.itemsets.parents
    if parents is None:
        msg = (
            f"{caller}: the rules come from itemsets without a hierarchy, so nothing stands above them. Mine with one: "
            "frequent_itemsets(transactions, min_support, hierarchy=products)."
        )
        raise SchemaError(msg)
    from crmlytics._kernels.generalisation import unexpected
    from crmlytics._kernels.itemset_index import index_of
    from crmlytics._kernels.rules import Rules

    tree = rules.itemsets.tree
    sides = Rules(rules.both, rules.antecedent, rules.consequent)
    return rules.take(np.flatnonzero(unexpected(tree, index_of(tree), sides, ancestors_of(parents), ratio)))
