"""What significance promises: chance stays within alpha, habits of the few too, and what is planted is found."""

import datetime as dt
import math
from itertools import combinations, pairwise

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from crmlytics import Transactions
from crmlytics._baskets import read_baskets
from crmlytics._kernels.clustered_tests import clustered_p_values, moments_within, part_tests
from crmlytics._kernels.rule_counts import ClusterMoments, cluster_moments
from crmlytics.affinity.itemsets import frequent_itemsets
from crmlytics.affinity.rules import RuleSet
from crmlytics.affinity.significance import significant_rules, split_by_customer
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

COLUMNS = ["antecedent", "consequent", "basket_count", "antecedent_count", "consequent_count", "confidence", "lift"]
COLUMNS += ["customer_count", "p_value", "adjusted_p_value", "is_significant", "tested_count"]


def order_lines(baskets, customers=None):
    """One line an item, of baskets written as words."""
    lines = [(order, item) for order, basket in enumerate(baskets) for item in basket.split()]
    columns = {"order_id": [order for order, _ in lines], "product_id": [item for _, item in lines]}
    return columns if customers is None else columns | {"customer_id": [customers[order] for order, _ in lines]}


def all_rules(itemsets, most_in_consequent=1):
    """Split every itemset in two in every way, in plain Python."""
    starts, codes = itemsets.tree.members(np.arange(len(itemsets.tree), dtype=np.int32))
    sets = [tuple(codes[a:b].tolist()) for a, b in pairwise(starts)]
    row = {items: place for place, items in enumerate(sets)}
    found = [
        (row[items], row[tuple(i for i in items if i not in head)], row[head])
        for items in sets
        for size in range(1, min(most_in_consequent, len(items) - 1) + 1)
        for head in combinations(items, size)
    ]
    both, antecedent, consequent = np.array(found, np.int32).reshape(-1, 3).T
    return RuleSet(itemsets, both, antecedent, consequent)


def mined(baskets, *, customers=None, max_len=None, min_support=1, most_in_consequent=1):
    lines = pd.DataFrame(order_lines(baskets, customers))
    return all_rules(frequent_itemsets(lines, min_support, max_len=max_len), most_in_consequent)


def by_rule(table):
    rows = nw.from_native(table).lazy().collect().to_arrow().to_pylist()
    return {(" ".join(row["antecedent"]), " ".join(row["consequent"])): row for row in rows}


def fisher(within, has, target, baskets):
    """Test whether, of the baskets that hold ``within``, those that hold ``has`` hold ``target`` more often."""
    inside = [basket for basket in baskets if within <= basket]
    table = [
        [sum((has <= b) == left and (target <= b) == right for b in inside) for right in (True, False)]
        for left in (True, False)
    ]
    return stats.fisher_exact(table, alternative="greater").pvalue


# -- the whole search ----------------------------------------------------------------------------------------------


def test_a_pair_counted_by_hand_on_every_kind(frame):
    sales = frame(order_lines(["tea milk"] * 30 + ["jam"] * 30))
    table = significant_rules(all_rules(frequent_itemsets(sales, 5, max_len=2)))
    assert type(table) is type(sales)
    assert nw.from_native(table).collect_schema().names() == COLUMNS
    assert {str(kind) for kind in list(nw.from_native(table).collect_schema().values())[2:]} == {
        *["Int64", "Float64", "Boolean"]
    }
    found = by_rule(table)
    assert list(found) == [("milk", "tea"), ("tea", "milk")]
    row = found["tea", "milk"]
    chance = 1 / math.comb(60, 30)  # the one way in which 30 of 60 baskets are those with tea
    assert (row["basket_count"], row["antecedent_count"], row["consequent_count"]) == (30, 30, 30)
    assert (row["confidence"], row["lift"], row["is_significant"]) == (1.0, 2.0, True)
    assert row["p_value"] == pytest.approx(chance, rel=1e-12)
    assert row["tested_count"] == 6  # three items: each with each other
    assert row["adjusted_p_value"] == pytest.approx(6 * chance, rel=1e-12)
    assert row["customer_count"] is None


FIVE = ["a b c", "a b c", "a b", "d", "a d", "e"]  # e is in one basket only, and was part of the search


@pytest.mark.parametrize(
    ("max_len", "heads", "spaces"),
    [
        (3, 1, {("a", "b"): 5 * 4 * 2, ("a b", "c"): 5 * 6 * 2}),  # two sizes of antecedent
        (2, 1, {("a", "b"): 5 * 4}),
        (None, 1, {("a", "b"): 5 * 4 * 2, ("a b", "c"): 5 * 6 * 4}),  # a half of alpha, a quarter, ...
        (3, 2, {("a", "b"): 5 * 4 * 3, ("a b", "c"): 5 * 6 * 3, ("a", "b c"): 10 * 3 * 3}),
        (None, 2, {("a", "b"): 5 * 4 * 4, ("a", "b c"): 10 * 3 * 8}),
    ],
)
def test_the_correction_is_for_every_rule_that_was_possible(max_len, heads, spaces):
    rules = mined(FIVE, max_len=max_len, min_support=2, most_in_consequent=heads)
    assert rules.itemsets.tree.item_total == 4
    found = by_rule(significant_rules(rules))
    assert {rule: found[rule]["tested_count"] for rule in spaces} == spaces


def test_layers_without_end_share_alpha_out_once():
    for m in (3, 5, 8):
        shared = sum(2**-antecedent for antecedent in range(1, m))
        assert shared < 1
    rules = mined(["a b c d e"] * 3 + ["f"] * 3, min_support=1)
    table = significant_rules(rules)
    sizes = {len(row["antecedent"]): row["tested_count"] for row in by_rule(table).values()}
    spent = sum(6 * math.comb(5, size) / tested for size, tested in sizes.items())  # of alpha, over all sizes
    assert spent == pytest.approx(1 / 2 + 1 / 4 + 1 / 8 + 1 / 16)


def basket_lists(smallest=1):
    return st.lists(st.sets(st.sampled_from("abcd"), min_size=1), min_size=smallest, max_size=14)


@given(basket_lists())
@settings(max_examples=30)
def test_a_p_value_is_the_largest_of_the_tests_of_the_whole_and_of_every_part(baskets):
    rules = mined([" ".join(sorted(basket)) for basket in baskets], most_in_consequent=2)
    if not len(rules):
        return
    for (left, right), row in by_rule(significant_rules(rules)).items():
        antecedent, consequent = set(left.split()), set(right.split())
        tests = [fisher(set(), antecedent, consequent, baskets)]
        if len(antecedent) > 1:
            tests += [fisher(antecedent - {z}, {z}, consequent, baskets) for z in antecedent]
        assert row["p_value"] == pytest.approx(max(tests), rel=1e-9)


def test_an_item_that_adds_nothing_makes_a_rule_unproductive():
    always = ["tea milk"] * 40 + ["tea milk pen"] * 40 + ["jam"] * 40 + ["jam pen"] * 40
    found = by_rule(significant_rules(mined(always, max_len=3)))
    assert found["tea", "milk"]["is_significant"]
    assert found["pen tea", "milk"]["adjusted_p_value"] == 1.0
    assert found["pen tea", "milk"]["p_value"] == 1.0  # of the baskets with tea, all have milk: the pen adds nothing


def independent(rng, baskets, shares):
    held = rng.random((baskets, len(shares))) < shares
    return [" ".join(f"i{item:02d}" for item in np.flatnonzero(row)) or "bag" for row in held]


def test_independent_items_rarely_give_a_rule_and_planted_ones_are_found():
    rng = np.random.default_rng(7)
    runs, false, mined_alone, missed = 60, 0, 0, 0
    for _ in range(runs):
        baskets = independent(rng, 300, np.linspace(0.05, 0.3, 10))
        planted = [f"{b} x y" if i % 12 == 0 else b for i, b in enumerate(baskets)]
        table = significant_rules(mined(planted, max_len=3, min_support=5))
        chance = ~table["antecedent"].map(lambda ids: "x" in ids or "y" in ids)
        chance &= ~table["consequent"].map(lambda ids: "x" in ids or "y" in ids)
        false += bool(table.loc[chance, "is_significant"].any())
        mined_alone += bool((table.loc[chance, "p_value"] < 0.05).any())
        missed += not table.loc[0, "is_significant"] or set(table.loc[0, "antecedent"]) > {"x", "y"}
    assert mined_alone > 0.8 * runs  # uncorrected, most searches come back with something
    assert false <= 6  # 60 at 5%: 3 expected, 6 or fewer in 97 of 100
    assert missed == 0


# -- a holdout -----------------------------------------------------------------------------------------------------


def test_a_holdout_counts_anew_and_corrects_for_the_rules_brought_on_every_kind(frame):
    rules = mined(["tea milk"] * 3 + ["jam"] * 2 + ["jam tea"], min_support=1)
    held = frame(order_lines(["tea milk"] * 9 + ["jam tea"] + ["jam"] * 10 + ["pen"] * 2))
    found = by_rule(significant_rules(rules, holdout=held))
    row = found["tea", "milk"]
    assert (row["basket_count"], row["antecedent_count"], row["consequent_count"]) == (9, 10, 9)
    assert (row["confidence"], row["tested_count"]) == (0.9, 4)
    assert row["p_value"] == pytest.approx(stats.hypergeom(22, 10, 9).sf(8), rel=1e-12)
    assert row["adjusted_p_value"] == pytest.approx(4 * row["p_value"])
    assert row["is_significant"]
    assert found["tea", "jam"]["p_value"] == pytest.approx(stats.hypergeom(22, 10, 11).sf(0), rel=1e-9)
    assert not found["tea", "jam"]["is_significant"]


def test_a_rule_of_one_household_shows_as_one_customer_on_every_kind(frame):
    rules = mined(["tea milk"] * 3 + ["jam pen"] * 2, min_support=1)
    bought = ["tea milk"] * 9 + ["tea", "milk", "jam pen", "jam pen", "jam pen"]
    owners = [1] * 9 + [2, 2, 3, 3, 4]  # customer 2 has both, but never in one basket
    table = significant_rules(rules, holdout=frame(order_lines(bought, owners)))
    found = by_rule(table)
    assert (found["tea", "milk"]["basket_count"], found["tea", "milk"]["customer_count"]) == (9, 1)
    assert (found["jam", "pen"]["basket_count"], found["jam", "pen"]["customer_count"]) == (3, 2)
    unknown = significant_rules(rules, holdout=frame(order_lines(bought)))
    assert {row["customer_count"] for row in by_rule(unknown).values()} == {None}
    kinds = [nw.from_native(found).collect_schema()["customer_count"] for found in (table, unknown)]
    assert kinds == [nw.Int64, nw.Int64]


def test_benjamini_hochberg_is_there_for_a_holdout():
    rules = mined(["a b", "a b", "c d", "c d", "a", "c", "b d"], min_support=1)
    held = pd.DataFrame(order_lines(["a b"] * 6 + ["c d"] * 4 + ["a c"] * 3 + ["b d"] * 4))
    table = significant_rules(rules, holdout=held, correction="benjamini_hochberg")
    assert table["adjusted_p_value"].to_numpy() == pytest.approx(stats.false_discovery_control(table["p_value"]))


def test_what_a_holdout_does_not_hold_is_not_significant():
    rules = mined(["a b", "a b", "c d", "c d"], min_support=2)
    held = pd.DataFrame(order_lines(["a b"] * 20 + ["c"] * 20))
    found = by_rule(significant_rules(rules, holdout=held))
    assert found["a", "b"]["is_significant"]
    row = found["c", "d"]
    assert (row["basket_count"], row["consequent_count"], row["p_value"], row["is_significant"]) == (0, 0, 1.0, False)
    assert row["confidence"] == 0.0
    assert row["lift"] is None


def test_a_part_that_no_basket_of_the_holdout_holds_proves_nothing():
    rules = mined(["a b c", "a b c", "d"], min_support=2)
    held = pd.DataFrame(order_lines(["b c"] * 20 + ["d"] * 20, [number // 2 for number in range(40)]))
    found = by_rule(significant_rules(rules, holdout=held))
    assert found["a b", "c"]["p_value"] == 1.0
    assert found["b", "c"]["is_significant"]


def by_basket(baskets, customers, within, has, target):
    """Sum what each basket adds to leverage over each customer; return counts and the robust standard error."""
    inside = [(b, c) for b, c in zip(baskets, customers, strict=True) if within <= b]
    n = len(inside)
    x = np.array([has <= b for b, _ in inside], float)
    y = np.array([target <= b for b, _ in inside], float)
    adds = (x * y - (x * y).mean()) - x.mean() * (y - y.mean()) - y.mean() * (x - x.mean())
    owners = np.array([c for _, c in inside])
    sums = np.array([adds[owners == c].sum() for c in np.unique(owners)])
    return [int((x * y).sum()), int(x.sum()), int(y.sum()), n], float((sums**2).sum())


@given(basket_lists(smallest=2), st.data())
@settings(max_examples=40)
def test_moments_give_the_counts_and_the_robust_variance_of_plain_python(baskets, data):
    customers = data.draw(st.lists(st.integers(0, 3), min_size=len(baskets), max_size=len(baskets)))
    rules = mined([" ".join(sorted(basket)) for basket in baskets], customers=customers)
    if not len(rules):
        return
    read = read_baskets(
        pd.DataFrame(order_lines([" ".join(sorted(basket)) for basket in baskets], customers)),
        known=rules.itemsets.item_ids, caller="test",
    )  # fmt: skip
    place, tree, ids = (read.starts, read.items, read.customer), rules.itemsets.tree, rules.itemsets.item_ids

    def items_of(row):
        return set(ids[tree.members(np.array([row], np.int32))[1]])

    parts = part_tests(tree, rules.both, rules.antecedent)
    cases = [
        (set(), a, c, m) for a, c, m in zip(rules.antecedent, rules.consequent, np.arange(len(rules)), strict=True)
    ]
    _compare(cluster_moments(tree, rules.antecedent, rules.consequent, *place), cases, items_of, baskets, customers)
    cases = [
        (items_of(w), a, c, m)
        for w, a, c, m in zip(parts.within, parts.antecedent, parts.consequent, range(len(parts.rule)), strict=True)
    ]
    _compare(moments_within(tree, parts, rules.consequent, place[:2], place[2]), cases, items_of, baskets, customers)


def _compare(moments, cases, items_of, baskets, customers):
    sums = moments.sums
    n = np.maximum(sums[:, 3], 1)
    xy, x, y = sums[:, 0] / n, sums[:, 1] / n, sums[:, 2] / n
    variance = moments.variance(np.stack([np.ones_like(x), -y, -x, 2 * x * y - xy], axis=1))
    for within, antecedent, consequent, place in cases:
        counts, expected = by_basket(baskets, customers, within, items_of(antecedent), items_of(consequent))
        assert sums[place].tolist() == counts
        assert variance[place] == pytest.approx(expected, abs=1e-9)


def table_of(customers):
    """Sum up customers given as (both, antecedent, consequent, baskets)."""
    counts = np.array(customers)[None]
    return ClusterMoments(
        counts.sum(axis=1), (counts != 0).sum(axis=1), np.einsum("rci,rcj->rij", counts, counts).astype(float)
    )


def test_one_basket_a_customer_is_fishers_exact_test():
    customers = [(1, 1, 1, 1)] * 6 + [(0, 1, 0, 1)] * 2 + [(0, 0, 1, 1)] * 3 + [(0, 0, 0, 1)] * 9
    assert clustered_p_values(table_of(customers))[0] == pytest.approx(stats.hypergeom(20, 8, 9).sf(5))


def test_the_robust_test_by_hand():
    customers = [(1, 1, 2, 10)] * 9 + [(0, 1, 0, 10)] * 4 + [(0, 0, 1, 8)] * 7 + [(0, 0, 0, 9)] * 30
    both, x, y, n = np.array(customers, float).T
    share_xy, share_x, share_y = both.sum() / n.sum(), x.sum() / n.sum(), y.sum() / n.sum()
    adds = both - share_x * y - share_y * x + share_x * share_y * n  # (1_x - p_x)(1_y - p_y) over their baskets
    t = n.sum() * (share_xy - share_x * share_y) / math.sqrt((adds**2).sum())
    assert clustered_p_values(table_of(customers))[0] == pytest.approx(stats.t(13 - 1).sf(t), rel=1e-9)  # 13 have x


def test_the_binomial_test_by_hand():
    # equal customers, no habits: the design effect is 1. Of the 160 baskets without y, 100 are without x, half of all
    frequent = table_of([(17, 20, 32, 40)] * 20)
    rare = table_of([(5, 8, 20, 40)] * 20)  # of the 160 with x, 100 have y, half of all
    for customers in (frequent, rare):
        assert clustered_p_values(customers)[0] == pytest.approx(stats.binom(160, 0.5).sf(99), rel=1e-9)


def test_the_habit_of_one_customer_is_no_rule_and_that_of_many_is():
    others = [(0, 1, 0, 10), (0, 0, 1, 10)] * 30
    loyal = clustered_p_values(table_of([*others, (40, 40, 40, 40)]))[0]
    spread = clustered_p_values(table_of([*others, *[(1, 1, 1, 10)] * 40]))[0]
    assert stats.hypergeom(640, 70, 70).sf(39) < 1e-20  # what Fisher's test says of the one customer
    assert loyal > 0.1
    assert spread < 1e-6


def test_a_consequent_nobody_goes_without_is_not_taken_for_proof():
    # ten customers buy x, and y as nine in ten do in every basket: 70 baskets of 70, Fisher 1e-4, in truth .9^10 = .35
    customers = [(7, 7, 10, 10)] * 10 + [(0, 0, 10, 10)] * 170 + [(0, 0, 0, 10)] * 20
    assert stats.hypergeom(2000, 70, 1800).sf(69) < 1e-3
    assert clustered_p_values(table_of(customers))[0] == pytest.approx(0.35, abs=0.1)


def habitual(rng, customers, visits, shares, habit):
    """Baskets of customers who have their own shares of each item, independent between items."""
    own = rng.beta(shares / habit, (1 - shares) / habit, size=(customers, len(shares)))
    owner = np.repeat(np.arange(customers), rng.poisson(visits, customers) + 1)
    held = rng.random((len(owner), len(shares))) < own[owner]
    return [" ".join(f"i{item:02d}" for item in np.flatnonzero(row)) or "bag" for row in held], owner.tolist()


@pytest.mark.parametrize(("customers", "visits", "most"), [(60, 20, 0.06), (400, 8, 0.06)])
def test_repeat_customers_fool_fishers_test_and_not_the_clustered_one(customers, visits, most):
    rng = np.random.default_rng(3)
    shares = np.array([0.03, 0.08, 0.2, 0.3, 0.3, 0.5, 0.5, 0.7, 0.85, 0.95])
    plain, clustered = [], []
    for _ in range(12):
        baskets, owner = habitual(rng, customers, visits, shares, habit=0.5)
        explored, _ = habitual(rng, customers, visits, shares, habit=0.5)
        rules = mined(explored, max_len=2)
        lines = pd.DataFrame(order_lines(baskets, owner))
        clustered += significant_rules(rules, holdout=lines)["p_value"].to_list()
        plain += significant_rules(rules, holdout=lines.drop(columns="customer_id"))["p_value"].to_list()
    plain, clustered = np.array(plain), np.array(clustered)
    assert len(clustered) > 1000
    assert (plain < 0.05).mean() > 0.1
    assert (plain < 0.001).mean() > 0.02  # twenty times too many, and more
    assert (clustered < 0.05).mean() < most
    assert (clustered < 0.01).mean() < 0.012
    assert (clustered < 0.001).mean() < 0.002


def test_a_planted_rule_is_found_among_repeat_customers():
    rng = np.random.default_rng(5)
    shares = np.array([0.1, 0.2, 0.3, 0.5])
    halves = []
    for _ in range(2):
        baskets, owner = habitual(rng, 200, 8, shares, habit=0.3)
        halves.append(([f"{b} x y" if rng.random() < 0.04 else b for b in baskets], owner))
    rules = mined(halves[0][0], max_len=3, min_support=10)
    found = by_rule(significant_rules(rules, holdout=pd.DataFrame(order_lines(*halves[1]))))
    assert {rule for rule, row in found.items() if row["is_significant"]} == {("x", "y"), ("y", "x")}


def test_the_order_of_the_rows_changes_nothing():
    baskets, owner = habitual(np.random.default_rng(1), 30, 5, np.array([0.2, 0.4, 0.6]), habit=0.3)
    lines = pd.DataFrame(order_lines(baskets, owner))
    rules = mined(baskets[1:])
    shuffled = lines.sample(frac=1, random_state=2)
    pd.testing.assert_frame_equal(significant_rules(rules, holdout=lines), significant_rules(rules, holdout=shuffled))


# -- splitting by customer -----------------------------------------------------------------------------------------

DAY = dt.datetime(2024, 1, 1)
SALES = {
    "Client": ["a", "a", "b", "c", "c", "c", "d", "e"],
    "Order": [1, 2, 3, 4, 5, 5, 6, 7],
    "When": [DAY + dt.timedelta(days=days) for days in range(8)],
    "Product": ["x", "y", "x", "z", "x", "y", "x", "z"],
}
ROLES = {"customer_id": "Client", "order_id": "Order", "timestamp": "When", "product_id": "Product"}


def test_a_split_keeps_customers_whole_and_loses_no_line_on_every_kind(frame):
    sales = frame(SALES)
    split = split_by_customer(Transactions(sales, **ROLES), holdout_share=0.4, random_state=1)
    assert type(split.explore.data) is type(split.holdout.data) is type(sales)
    assert split.holdout.sources == ROLES
    explore, holdout = records(split.explore.data), records(split.holdout.data)
    assert sorted(explore + holdout) == sorted(records(sales))
    in_explore, in_holdout = {row[0] for row in explore}, {row[0] for row in holdout}
    assert (len(in_explore), len(in_holdout)) == (3, 2)
    assert not in_explore & in_holdout


def clients(table):
    return set(table.data["Client"])


def test_a_split_depends_on_ids_and_seed_not_on_the_order_of_rows():
    sales = pd.DataFrame({"Client": range(100), "Order": range(100), "When": DAY, "Product": "x"})
    split = split_by_customer(Transactions(sales, **ROLES))
    again = split_by_customer(Transactions(sales.sample(frac=1, random_state=3), **ROLES))
    other = split_by_customer(Transactions(sales, **ROLES), random_state=1)
    assert clients(split.holdout) == clients(again.holdout) != clients(other.holdout)
    assert len(clients(split.holdout)) == 50
    assert 10 < len(clients(split.holdout) & clients(other.holdout)) < 40


@pytest.mark.parametrize(
    "ids",
    [
        [1.0, 2.0, 2.0, 3.0, None, 4.0, 5.0, 6.0],
        pd.Categorical(["a", "b", "b", None, "c", "d", "e", "f"]),
        pd.array([1, 2, 2, None, 3, 4, 5, 6], dtype="Int64"),
    ],
)
@pytest.mark.filterwarnings("ignore:Transactions")
def test_ids_of_other_kinds_are_split_too_and_lines_without_one_are_in_neither_part(ids):
    split = split_by_customer(Transactions(pd.DataFrame(SALES).assign(Client=ids), **ROLES))
    assert len(split.explore.data) + len(split.holdout.data) == 7
    assert len(clients(split.explore)) == len(clients(split.holdout)) == 3


def test_a_period_and_options_are_kept():
    sales = pd.DataFrame(SALES).assign(quantity=1)
    split = split_by_customer(Transactions(sales, **ROLES, returns="set_aside").before("2024-01-06"))
    assert split.explore.returns == "set_aside"
    kept = [len(nw.from_native(part.need("Order".lower() + "_id", caller="t").collect()))
            for part in (split.explore, split.holdout)]  # fmt: skip
    assert sum(kept) == 5


def test_rules_found_in_one_part_are_tested_in_the_other():
    baskets, owner = habitual(np.random.default_rng(2), 80, 6, np.array([0.2, 0.3, 0.4]), habit=0.3)
    planted = [f"{b} x y" if i % 5 == 0 else b for i, b in enumerate(baskets)]
    split = split_by_customer(Transactions(make_frame(order_lines(planted, owner), "polars")))
    table = significant_rules(all_rules(frequent_itemsets(split.explore, 3)), holdout=split.holdout)
    assert table["antecedent"].to_list()[:2] == [["x"], ["y"]]
    assert table["is_significant"].to_list()[:2] == [True, True]


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("correction", ["holm", "benjamini_hochberg"])
def test_p_values_over_mined_rules_alone_are_refused(correction):
    rules = mined(["a b", "a b", "c"])
    with pytest.raises(
        SchemaError,
        match=f"significant_rules: correction='{correction}' over the mined rules alone gives no p-values.*"
        rf"split_by_customer\(transactions\).*holdout=split.holdout, correction='{correction}'",
    ):
        significant_rules(rules, correction=correction)


def test_arguments_that_make_no_sense_are_refused():
    rules, held = mined(["a b", "a b", "c"]), pd.DataFrame(order_lines(["a b", "c"]))
    with pytest.raises(SchemaError, match="correction='search_space' is for rules tested where they were found"):
        significant_rules(rules, holdout=held, correction="search_space")
    with pytest.raises(SchemaError, match=r"correction must be one of \['search_space', 'holm', .*got 'bonferroni'"):
        significant_rules(rules, correction="bonferroni")
    with pytest.raises(SchemaError, match=r"alpha must be a fraction between 0 and 1, such as alpha=0.2, got 5"):
        significant_rules(rules, alpha=5)
    with pytest.raises(SchemaError, match="significant_rules: none of the 3 items of the rules was bought"):
        significant_rules(rules, holdout=pd.DataFrame(order_lines(["q r", "s"])))


def test_the_data_the_rules_were_found_in_are_no_holdout():
    baskets = ["tea milk"] * 9 + ["jam tea"] + ["jam"] * 10
    rules, owners = mined(baskets), [number // 2 for number in range(21)]
    for lines in (order_lines(baskets), order_lines(baskets[::-1], owners)):
        with pytest.raises(
            SchemaError, match=r"holdout has 20 baskets .* same data.*split_by_customer\(transactions\)"
        ):
            significant_rules(rules, holdout=pd.DataFrame(lines))
    for other in (["pen"], ["tea"], ["tea milk"]):  # one basket more: of none, of one, of all of the counts
        assert len(significant_rules(rules, holdout=pd.DataFrame(order_lines(baskets + other)))) == len(rules)
    moved = [*baskets[1:], "milk"]  # as many baskets, with other counts
    assert len(significant_rules(rules, holdout=pd.DataFrame(order_lines(moved)))) == len(rules)


def test_a_table_of_rules_is_not_rules():
    rules = mined(["a b", "a b", "c"])
    with pytest.raises(SchemaError, match=r"significant_rules: expected a RuleSet, got DataFrame.*before \.to_frame"):
        significant_rules(rules.to_frame())


def test_splits_that_cannot_be_are_refused():
    sales = pd.DataFrame(SALES)
    with pytest.raises(
        SchemaError, match=r"split_by_customer: holdout_share=0.01 of 5 customers leaves a part without"
    ):
        split_by_customer(Transactions(sales, **ROLES), holdout_share=0.01)
    with pytest.raises(SchemaError, match="holdout_share must be a fraction"):
        split_by_customer(Transactions(sales, **ROLES), holdout_share=1.5)
    with pytest.raises(MissingColumnsError, match=r"split_by_customer needs \['customer_id'\]"):
        split_by_customer(sales[["Order"]].rename(columns={"Order": "order_id"}))


def test_no_rules_give_an_empty_table_of_the_same_columns():
    rules = mined(["a", "b", "c"])
    for table in (significant_rules(rules), significant_rules(rules, holdout=pd.DataFrame(order_lines(["a", "b"])))):
        assert list(table.columns) == COLUMNS
        assert len(table) == 0
