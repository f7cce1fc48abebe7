"""Association rules in words: the few findings that a manager should read."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import list_column, table_with_lists
from crmlytics._names import names_of
from crmlytics._validation import check_count
from crmlytics.affinity._checks import check_rules
from crmlytics.affinity._findings import FEW, Finding
from crmlytics.affinity._margins import margin_amounts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.affinity.rules import RuleSet

    Floats = NDArray[np.float64]

CALLER = "describe_rules"
CANDIDATES = 20_000  # the strongest rules, among which findings are chosen
ITEM_AGAIN = 0.25  # what an item that was told already leaves of a finding's strength
KIND_AGAIN = 0.75  # and what a pair leaves of the pairs, a bundle of the bundles
SELDOM = 2 / 3  # of what chance gives: worth a finding
STRONG_LIFT = 2.0  # an item that leads to another


def describe_rules(rules: RuleSet, *, n: int = 10, names: Any = None, margin: Any = None) -> Any:
    r"""Choose the findings that a manager should read, and say them in sentences.

    Parameters
    ----------
    rules : RuleSet
        Rules of :func:`association_rules`, the more the better: a choice is made from them.
    n : int, default 10
        How many findings at most.
    names : mapping, optional
        Item id to the name that is read; an item without one is called by its id, items that share one by
        name and id.
    margin : mapping or Products, optional
        What an item earns when it is in a basket: item id to amount, or products with ``price`` and ``cost``.

    Returns
    -------
    dataframe of the kind that came in, one row per finding, the most important first
        ``rank`` (Int64, from 1);
        ``finding`` (String, what to read: ``print("\n".join(table["finding"]))``);
        ``kind`` (String: ``"pair"``, ``"bundle"`` of three items or more, ``"near_certain"``, ``"driver"`` of many
        other items, or ``"seldom"`` together);
        ``antecedent``, ``consequent`` (List of item ids);
        ``basket_count`` (Int64, baskets that hold both), ``antecedent_count`` (Int64, baskets with the antecedent);
        ``extra_basket_count`` (Float64, baskets that hold both, less those expected by chance);
        ``confidence`` (Float64, share of the baskets with the antecedent that hold the consequent);
        ``lift`` (Float64, that share as a multiple of the share of all baskets).
        With margins also ``extra_margin_amount`` (Float64, the extra baskets times the margin of the consequent; null
        where it is not known).

    Notes
    -----
    The strength of a rule X -> Y is how many baskets it concerns times how unusual it is,
    :math:`(n_{XY} - n_X g) \log_2 \text{lift}`, where :math:`n` counts baskets and :math:`g` is the share of Y that is
    known without the rule: the confidence of the best more general rule, for a single item X the share of all baskets.
    So chance pairs of rare items do not win, nor do frequent items that go with everything; a bundle counts for what
    it adds to its parts, and a redundant rule for nothing. With margins, strength is multiplied by the margin of the
    consequent (an average one where it is not known). Rules with several items in the consequent are left to their
    parts.

    Findings are chosen one after the other, the strongest first. Every item that was told already leaves a quarter of
    a finding's strength, every pair three quarters of that of the pairs, every bundle of the bundles; and the same
    items are told once, in the more confident direction.

    Numbers are counts of the baskets at hand. That X and Y are bought together does not mean that showing Y to buyers
    of X sells more: for that, try it with a control group.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.affinity import association_rules, frequent_itemsets
    >>> carts = ["tea milk"] * 30 + ["tea"] * 10 + ["milk"] * 5 + ["rice"] * 55
    >>> lines = pd.DataFrame(
    ...     [(number, item) for number, cart in enumerate(carts) for item in cart.split()],
    ...     columns=["order_id", "product_id"],
    ... )
    >>> rules = association_rules(frequent_itemsets(lines, min_support=10))
    >>> print("\n".join(describe_rules(rules)["finding"]))
    Who buys milk also buys tea 2.1 times as often as usual: 30 of 35 baskets (86%), 16 more than by chance. The other
    way round it is 75%.
    """
    check_rules(rules, caller=CALLER)
    n = check_count(n, name="n", caller=CALLER)
    labels = names_of(rules.itemsets.item_ids.tolist(), names, caller=CALLER)
    earned = None if margin is None else margin_amounts(margin, rules.itemsets, caller=CALLER)
    chosen = rules.take(_choose(rules, n, earned))
    earns = np.full(len(labels), np.nan) if earned is None else earned
    findings = _findings(chosen, rules, labels, earns[rules.itemsets.tree.item[chosen.consequent]])
    return table_with_lists(rules.itemsets.engine, _columns(chosen, findings, with_margin=earned is not None))


# -- choosing ------------------------------------------------------------------------------------------------------


def _choose(rules: RuleSet, n: int, earned: Floats | None) -> NDArray[np.int64]:
    """Return the positions of the findings, the strongest first, each weaker for what was told before."""
    strength = _strength(rules, earned)
    candidates = np.lexsort((-rules.measure("confidence"), -strength))[:CANDIDATES]
    strength, sets = strength[candidates], rules.both[candidates]
    starts, codes = rules.itemsets.tree.members(sets)
    is_bundle = (np.diff(starts) > 2).astype(np.int64)
    told, told_kinds = np.zeros(len(rules.itemsets.item_ids)), np.zeros(2)
    chosen: list[int] = []
    while len(chosen) < min(n, len(candidates)):
        again = np.add.reduceat(told[codes], starts[:-1])
        best = int(np.argmax(strength * ITEM_AGAIN**again * KIND_AGAIN ** told_kinds[is_bundle]))
        if strength[best] <= 0:
            break
        chosen.append(best)
        told[codes[starts[best] : starts[best + 1]]] += 1
        told_kinds[is_bundle[best]] += 1
        strength[sets == sets[best]] = 0  # the same items, split another way
    return candidates[chosen]


def _strength(rules: RuleSet, earned: Floats | None) -> Floats:
    """Weigh each rule: baskets beyond what is known without it, times how unusual it is; zero where it says nothing."""
    tree, both, lift = rules.itemsets.tree, rules.both_count, rules.measure("lift")
    single = tree.parent[rules.antecedent] < 0
    beyond = np.where(single, both - _by_chance(rules), rules.antecedent_count * rules.improvement())
    says_something = np.where(single, (lift > 1) | (lift <= SELDOM), (lift > 1) & (beyond > 0))
    says_something &= tree.parent[rules.consequent] < 0
    strength = np.where(says_something, beyond * np.log2(lift), 0.0)
    if earned is not None:
        margins = np.where(np.isnan(earned), np.nanmean(earned), earned)
        strength *= margins[tree.item[rules.consequent]]
    return strength.round(6)  # both directions of a pair are equally strong


def _by_chance(rules: RuleSet) -> Floats:
    """Return in how many baskets both sides would be if they were independent."""
    return rules.antecedent_count * rules.consequent_count / rules.itemsets.basket_count


# -- telling -------------------------------------------------------------------------------------------------------


def _findings(chosen: RuleSet, rules: RuleSet, labels: list[str], earns: Floats) -> list[Finding]:
    antecedents = _names(chosen, chosen.antecedent, labels)
    tree = rules.itemsets.tree
    simpler = chosen.measure("confidence") - chosen.improvement()
    by_chance = (chosen.measure("hyper_lift") <= 1) & (chosen.measure("lift") > 1)
    return [
        Finding(
            antecedent=antecedents[i],
            consequent=labels[tree.item[chosen.consequent[i]]],
            both_count=int(chosen.both_count[i]),
            antecedent_count=int(chosen.antecedent_count[i]),
            consequent_count=int(chosen.consequent_count[i]),
            basket_count=rules.itemsets.basket_count,
            simpler_share=float(simpler[i]),
            could_be_chance=bool(by_chance[i]),
            leads_to=_leads_to(rules, chosen.antecedent[i], chosen.consequent[i], labels),
            margin_amount=float(earns[i]),
            unit="customers" if rules.itemsets.basket == "customer_id" else "baskets",
        )
        for i in range(len(chosen))
    ]


def _names(rules: RuleSet, rows: NDArray[np.int32], labels: list[str]) -> list[list[str]]:
    starts, codes = rules.itemsets.tree.members(rows, order=rules.itemsets.id_order())
    return [[labels[code] for code in part] for part in np.split(codes, starts[1:-1])]


def _leads_to(rules: RuleSet, antecedent: int, told: int, labels: list[str]) -> list[str]:
    """Name the other single items that a single item goes with often, the most telling first.

    That is leverage times lift: leverage alone names the best-sellers, lift alone what is rare.
    """
    tree = rules.itemsets.tree
    others = rules.take(np.flatnonzero((rules.antecedent == antecedent) & (rules.consequent != told)))
    strong = (others.measure("lift") >= STRONG_LIFT) & (others.both_count >= FEW)
    strong &= (tree.parent[others.consequent] < 0) & (tree.parent[antecedent] < 0)
    others = others.take(np.flatnonzero(strong))
    order = np.lexsort((others.consequent, -(others.measure("leverage") * others.measure("lift")).round(9)))
    return [labels[code] for code in tree.item[others.consequent[order]]]


def _columns(chosen: RuleSet, findings: list[Finding], *, with_margin: bool) -> dict[str, Any]:
    import pyarrow as pa

    itemsets, extra = chosen.itemsets, chosen.both_count - _by_chance(chosen)
    members = partial(itemsets.tree.members, order=itemsets.id_order())
    columns = {
        "rank": np.arange(1, len(chosen) + 1),
        "finding": pa.array([finding.sentence() for finding in findings], pa.string()),
        "kind": pa.array([finding.kind for finding in findings], pa.string()),
        "antecedent": list_column(*members(chosen.antecedent), itemsets.item_ids),
        "consequent": list_column(*members(chosen.consequent), itemsets.item_ids),
        "basket_count": chosen.both_count,
        "antecedent_count": chosen.antecedent_count,
        "extra_basket_count": extra,
        "confidence": chosen.measure("confidence"),
        "lift": chosen.measure("lift"),
    }
    if with_margin:
        columns["extra_margin_amount"] = extra * np.array([finding.margin_amount for finding in findings])
    return columns
