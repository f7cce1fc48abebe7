"""Which rules are more than chance, when millions were possible and the same customers come again."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect, columns_of, enter
from crmlytics._kernels.multiple_testing import adjust_p_values
from crmlytics._lists import table_with_lists
from crmlytics._validation import check_choice, check_count, check_fraction
from crmlytics.affinity._checks import check_rules
from crmlytics.affinity._rule_baskets import baskets_for, rule_columns
from crmlytics.affinity.measures import measure_values
from crmlytics.exceptions import DataQualityWarning, SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.affinity.rules import RuleSet

CALLER = "significant_rules"
SPLIT = "split_by_customer"
SEARCH_SPACE = "search_space"
HOLDOUT_CORRECTIONS = ("holm", "benjamini_hochberg")


@dataclass(frozen=True, slots=True, eq=False)
class RuleTests:
    """The tests of some rules, one a rule: counts of the baskets and customers they were made in, and the p-values."""

    both: NDArray[np.int64]
    antecedent: NDArray[np.int64]
    consequent: NDArray[np.int64]
    basket_count: int
    p_value: NDArray[np.float64]
    adjusted: NDArray[np.float64]
    tested_count: NDArray[np.float64]
    customer_count: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class CustomerSplit:
    """Transactions in two parts, each customer wholly in one.

    Attributes
    ----------
    explore : Transactions
        To find rules in, as often and in as many ways as you like.
    holdout : Transactions
        To test them in, once.
    """

    explore: Transactions
    holdout: Transactions


def significant_rules(
    rules: RuleSet,
    *,
    alpha: float = 0.05,
    holdout: Transactions | Any = None,
    correction: str | None = None,
) -> Any:
    """Test which rules are more than chance, with errors that hold although the rules were searched for.

    A rule passes if its sides come together more often than by chance and every item of its antecedent does its part:
    the consequent must be likelier than without that item too (a "productive" rule). Its p-value is the largest of
    these one-sided tests.

    Parameters
    ----------
    rules : RuleSet
        From :func:`association_rules`.
    alpha : float
        The probability, at most, that a single one of the rules called significant is chance.
    holdout : Transactions or dataframe, optional
        Baskets of other customers than those the rules were found in, as :func:`split_by_customer` gives them. With
        them few rules are tested, not all that were possible: far more pass, and repeat customers are allowed for.
    correction : str, optional
        ``"search_space"``, the default without a holdout: for all rules that the search could have come upon.
        ``"holm"``, the default with one: for the rules brought. ``"benjamini_hochberg"``, with a holdout: ``alpha`` is
        then the expected share of chance among the rules called significant.

    Returns
    -------
    dataframe of the kind that came in, one row per rule, the smallest adjusted p-value first, then the greatest lift
        ``antecedent``, ``consequent`` (List of ids, sorted); ``basket_count``, ``antecedent_count``,
        ``consequent_count`` (Int64, baskets with both sides, with each), ``confidence``, ``lift`` (Float64), all of the
        baskets tested in: those of the holdout, if given; ``customer_count`` (Int64, customers of the holdout with a
        basket that holds both sides: where it is small, the rule is a few households'; null without a holdout or
        customers); ``p_value``; ``adjusted_p_value`` (Float64, compare with ``alpha``); ``is_significant`` (Boolean);
        ``tested_count`` (Float64, for how many rules it was corrected: it can pass what whole numbers hold).

    Raises
    ------
    SchemaError
        Something else than a RuleSet. A holdout that is the data the rules were found in: as many baskets, and the same
        counts of every rule. A correction for the mined rules alone, without a holdout: these were chosen by the same
        data, from among all possible rules, and a p-value that forgets it is no p-value. Without a holdout, itemsets of
        :func:`from_mlxtend` without ``item_count``: how many rules were possible is then not known.

    Notes
    -----
    *What a significant rule means*: among customers' baskets the sides are associated. The reason may be that the same
    households buy both, in whatever basket, or that large baskets hold everything. Whether a customer puts the two into
    the same basket beyond that is what :func:`pair_table` asks.

    *Search space* (G. Webb, "Layered critical values", 2008): of all items in the baskets, frequent or not, m choose L
    antecedents of L items and consequents of the rest are possible. The p-value, of Fisher's exact test, is multiplied
    by that number and by the number of sizes searched (with ``max_len=None`` by 2^L for L items, which sums to one over
    all sizes). If every rule brought has a consequent of one item, the space is that of such rules. The test takes
    baskets for independent: where the same customers come again and again, use a holdout.

    *Holdout* (G. Webb, "Discovering significant patterns", 2007): counts are taken anew. One customer's baskets are not
    independent, so that Fisher's test calls a few loyal households a law: where customers are known, the p-value is the
    larger of a test of leverage with a standard error robust to customers (Student's t with the customers who hold the
    rarer side, less one, as degrees of freedom) and a binomial tail of the counts divided by their design effect. It
    is conservative where few customers hold a side. Without customers, and where none has two baskets, it is Fisher's.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.affinity.itemsets import frequent_itemsets
    >>> from crmlytics.affinity.rules import association_rules
    >>> bought = ["tea milk"] * 30 + ["jam"] * 30
    >>> pairs = [(order, product) for order, basket in enumerate(bought) for product in basket.split()]
    >>> lines = pd.DataFrame(pairs, columns=["order_id", "product_id"])
    >>> rules = association_rules(frequent_itemsets(lines, min_support=5, max_len=2))
    >>> significant_rules(rules)[["antecedent", "consequent", "lift", "is_significant", "tested_count"]]
      antecedent consequent  lift  is_significant  tested_count
    0   ['milk']    ['tea']   2.0            True           6.0
    1    ['tea']   ['milk']   2.0            True           6.0
    """
    rules = check_rules(rules, caller=CALLER)
    alpha = check_fraction(alpha, name="alpha", caller=CALLER)
    correction = _checked_correction(correction, has_holdout=holdout is not None)
    tested = _in_all_baskets(rules) if holdout is None else _in_holdout(rules, holdout, correction)
    return _table(rules, tested, alpha)


def split_by_customer(
    transactions: Transactions | Any, *, holdout_share: float = 0.5, random_state: int = 0
) -> CustomerSplit:
    """Split customers at random in two groups: one to find rules in, the other to test them in.

    Rules are tested on customers nobody has looked at: baskets of one customer are alike, so that a split by basket
    would confirm every habit. The split depends on the ids and ``random_state``, not on the order of the rows.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``. Lines without a customer are in neither part.
    holdout_share : float
        The share of the customers in the holdout.
    random_state : int
        The number that fixes the split.

    Returns
    -------
    CustomerSplit
        ``.explore`` and ``.holdout``: Transactions of the same kind, with the same roles and options.

    Examples
    --------
    >>> import pandas as pd
    >>> lines = pd.DataFrame({"customer_id": ["a", "b", "b", "c", "d"], "order_id": [1, 2, 3, 4, 5]})
    >>> split = split_by_customer(lines)
    >>> split.holdout.data
      customer_id  order_id
    0           a         1
    1           c         4
    """
    check_fraction(holdout_share, name="holdout_share", caller=SPLIT)
    check_count(random_state, name="random_state", caller=SPLIT, least=0)
    table = Transactions.bind(transactions)
    found = collect(table.need("customer_id", caller=SPLIT).unique())["customer_id"].to_list()
    ids = sorted(found)
    held = round(holdout_share * len(ids))
    if not 0 < held < len(ids):
        msg = (
            f"{SPLIT}: holdout_share={holdout_share!r} of {len(ids):,} customers leaves a part without any. "
            "Expected two customers or more, and a share that divides them, such as holdout_share=0.5."
        )
        raise SchemaError(msg)
    order = np.random.default_rng(random_state).permutation(len(ids))
    parts = (order[held:], order[:held])
    explore, holdout = (_only_customers(table, sorted(ids[i] for i in part)) for part in parts)
    return CustomerSplit(explore, holdout)


# -- tests ---------------------------------------------------------------------------------------------------------


def _checked_correction(correction: str | None, *, has_holdout: bool) -> str:
    usual = HOLDOUT_CORRECTIONS[0] if has_holdout else SEARCH_SPACE
    if correction is None:
        return usual
    check_choice(correction, [SEARCH_SPACE, *HOLDOUT_CORRECTIONS], name="correction", caller=CALLER)
    if has_holdout == (correction in HOLDOUT_CORRECTIONS):
        return correction
    if has_holdout:
        msg = f"{CALLER}: correction={correction!r} is for rules tested where they were found. Leave out holdout or it."
    else:
        msg = (
            f"{CALLER}: correction={correction!r} over the mined rules alone gives no p-values: the same baskets chose "
            "these rules from all that were possible. Test them on other customers: split = "
            "affinity.split_by_customer(transactions), find the rules in split.explore, then "
            f"significant_rules(rules, holdout=split.holdout, correction={correction!r}). Or leave out correction: it "
            "is then for the whole search space."
        )
    raise SchemaError(msg)


def _in_all_baskets(rules: RuleSet) -> RuleTests:
    """Test rules in the baskets they were found in, corrected for all rules that the search could have found."""
    from crmlytics._kernels.clustered_tests import part_tests
    from crmlytics._kernels.hypergeometric import upper_tail

    tree = rules.itemsets.tree
    count = tree.count.astype(np.int64)
    both, antecedent, consequent = (count[rows] for rows in (rules.both, rules.antecedent, rules.consequent))
    p_value = upper_tail(tree.basket_count, antecedent, consequent, both)
    parts = part_tests(tree, rules.both, rules.antecedent)
    np.maximum.at(
        p_value,
        parts.rule,
        upper_tail(count[parts.within], count[parts.antecedent], count[parts.consequent], count[parts.both]),
    )
    tested = _search_spaces(rules)
    adjusted = np.minimum(p_value * tested, 1.0)
    return RuleTests(both, antecedent, consequent, tree.basket_count, p_value, adjusted, tested)


def _in_holdout(rules: RuleSet, holdout: Transactions | Any, correction: str) -> RuleTests:
    """Test rules in baskets of other customers, corrected for their number."""
    from crmlytics._kernels.clustered_tests import clustered_p_values, moments_within, part_tests
    from crmlytics._kernels.rule_counts import ANTECEDENT, BOTH, CONSEQUENT, cluster_moments

    baskets = baskets_for(rules, Transactions.bind(holdout), caller=CALLER)
    tree, entries, customer = rules.itemsets.tree, (baskets.starts, baskets.items), baskets.customer
    moments = cluster_moments(tree, rules.antecedent, rules.consequent, *entries, customer)
    _refuse_mining_data(rules, moments.sums)
    p_value = clustered_p_values(moments)
    parts = part_tests(tree, rules.both, rules.antecedent)
    within = moments_within(tree, parts, rules.consequent, entries, customer)
    np.maximum.at(p_value, parts.rule, clustered_p_values(within))
    adjusted = adjust_p_values(p_value, correction)
    both, antecedent, consequent = (moments.sums[:, number] for number in (BOTH, ANTECEDENT, CONSEQUENT))
    tested = np.full(len(rules), float(len(rules)))
    customers = None if customer is None else moments.clusters[:, BOTH]
    return RuleTests(both, antecedent, consequent, len(baskets), p_value, adjusted, tested, customers)


def _refuse_mining_data(rules: RuleSet, counts: NDArray[Any]) -> None:
    """Refuse a holdout in which each rule has the very counts it was found with, of as many baskets."""
    from crmlytics._kernels.rule_counts import ANTECEDENT, BASKETS, BOTH, CONSEQUENT

    tree = rules.itemsets.tree
    found = {BOTH: rules.both, ANTECEDENT: rules.antecedent, CONSEQUENT: rules.consequent}
    same = all(np.array_equal(counts[:, number], tree.count[rows]) for number, rows in found.items())
    if len(rules) and same and (counts[:, BASKETS] == tree.basket_count).all():
        msg = (
            f"{CALLER}: holdout has {tree.basket_count:,} baskets and the counts of every rule that the rules were "
            "found with: it is the same data, and confirms whatever was found in them. Test on other customers: split "
            "= affinity.split_by_customer(transactions), find the rules in split.explore, then "
            "significant_rules(rules, holdout=split.holdout)."
        )
        raise SchemaError(msg)


def _search_spaces(rules: RuleSet) -> NDArray[np.float64]:
    """Return for how many rules each is corrected: those of its size that are possible, times the sizes searched."""
    found = rules.itemsets
    item_count = found.distinct_item_count
    if item_count is None:
        msg = (
            f"{CALLER}: how many rules were possible is not known: the itemsets came without the number of items, "
            "infrequent ones too. Give from_mlxtend(..., item_count=<different items in the baskets>), or test on "
            "other customers with holdout=."
        )
        raise SchemaError(msg)
    lengths = found.tree.lengths()
    sizes = np.stack([lengths[rules.antecedent], lengths[rules.consequent]], axis=1)
    one_head = bool((sizes[:, 1] == 1).all())
    shapes, shape = np.unique(sizes, axis=0, return_inverse=True)
    spaces = [
        float(_possible_rules(item_count, a, c) * _share_of_size(a, c, found.max_len, one_head=one_head))
        for a, c in shapes.tolist()
    ]
    return np.array(spaces, dtype=np.float64)[shape.reshape(-1)]


def _possible_rules(item_count: int, antecedent: int, consequent: int) -> int:
    return math.comb(item_count, consequent) * math.comb(item_count - consequent, antecedent)


def _share_of_size(antecedent: int, consequent: int, max_len: int | None, *, one_head: bool) -> int:
    """Return the number of sizes among which alpha is shared out, or for sizes without end one over a size's share."""
    if max_len is None:
        return int(2**antecedent if one_head else 2 ** (antecedent + consequent))
    return max_len - 1 if one_head else max_len * (max_len - 1) // 2


def _table(rules: RuleSet, tested: RuleTests, alpha: float) -> Any:
    counts = tested.both, tested.antecedent, tested.consequent
    lift = measure_values("lift", *counts, tested.basket_count)
    order = np.lexsort((rules.consequent, rules.antecedent, -tested.both, -np.nan_to_num(lift), tested.adjusted))
    columns = {
        "basket_count": tested.both,
        "antecedent_count": tested.antecedent,
        "consequent_count": tested.consequent,
        "confidence": measure_values("confidence", *counts, tested.basket_count),
        "lift": lift,
        "customer_count": _counts_or_missing(tested.customer_count, len(rules)),
        "p_value": tested.p_value,
        "adjusted_p_value": tested.adjusted,
        "is_significant": tested.adjusted <= alpha,
        "tested_count": tested.tested_count,
    }
    sorted_columns = {name: values[order] for name, values in columns.items()}
    table = rule_columns(rules.take(order)) | sorted_columns
    return table_with_lists(rules.itemsets.engine, table)


def _counts_or_missing(counts: NDArray[np.int64] | None, size: int) -> Any:
    import pandas as pd

    return pd.array([pd.NA] * size, dtype="Int64") if counts is None else counts  # Arrow reads it, too


# -- splitting -----------------------------------------------------------------------------------------------------


def _only_customers(table: Transactions, ids: list[Any]) -> Transactions:
    """Keep the lines of these customers, in the caller's own frame, under the same roles, options and period."""
    frame, engine = enter(table.data, caller=SPLIT)
    column = table.sources["customer_id"]
    kind: Any = nw.String() if table.id_kind("customer_id") == "String" else nw.Int64()
    wanted, _ = enter(engine.from_columns({"_wanted": ids}, nw.Schema({"_wanted": kind})), caller=SPLIT)
    if kind == nw.Int64() and not frame.collect_schema()[column].is_integer():
        kind = nw.Float64()  # whole numbers that came as floats, or NaN would have to be cast
    kept = (
        frame.with_columns(_customer=nw.col(column).cast(kind))
        .join(wanted.select(nw.col("_wanted").cast(kind)), left_on="_customer", right_on="_wanted", how="inner")
        .select(columns_of(frame))
    )
    with warnings.catch_warnings():  # of lines set aside the caller was told when the contract was made
        warnings.simplefilter("ignore", DataQualityWarning)
        part = table.rebind(engine.to_native(kept))
        return part._narrowed(table._period) if table._period else part  # noqa: SLF001
