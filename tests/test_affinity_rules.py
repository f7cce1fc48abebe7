"""What association_rules promises: every rule and no other, exact thresholds, an order, and a bound on how many."""

import math
import pickle
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import chain, combinations, pairwise

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlxtend.frequent_patterns import association_rules as mlxtend_rules

from crmlytics._frames import enter
from crmlytics._kernels.itemset_index import index_of, rows_of_sets, rows_without
from crmlytics._kernels.itemset_tree import ItemsetTree
from crmlytics._kernels.rules import COUNT_LIMIT, TooManyRulesError, split_count
from crmlytics._lists import list_column, table_with_lists
from crmlytics.affinity.contrasts import contrast_table
from crmlytics.affinity.itemsets import Itemsets, frequent_itemsets
from crmlytics.affinity.rules import RuleSet, association_rules
from crmlytics.affinity.significance import significant_rules, split_by_customer
from crmlytics.exceptions import MissingColumnsError, ResultTooLargeError, SchemaError
from crmlytics.testing import make_frame

EVERY_LEN = 99
COUNTS = ["basket_count", "antecedent_count", "consequent_count"]
# 10 baskets: bread 6, jam 5, tea 4; bread + jam 4, bread + tea 3, jam + tea 2, all three 2
BREAKFASTS = ["bread jam tea"] * 2 + ["bread jam"] * 2 + ["bread tea", "bread", "jam", "tea", "milk", ""]


def subsets(items):
    return [frozenset(part) for length in range(1, len(items) + 1) for part in combinations(sorted(items), length)]


def counts_of(baskets):
    return Counter(part for basket in baskets for part in subsets(set(basket)))


def mined(baskets, min_count=1, *, native=None, left_out=()):
    """The frequent itemsets of Python baskets, counted one by one."""
    counts = {part: n for part, n in counts_of(baskets).items() if n >= min_count and set(part) not in left_out}
    ids = sorted(
        (next(iter(part)) for part in counts if len(part) == 1), key=lambda item: (counts[frozenset([item])], item)
    )
    code = {item: number for number, item in enumerate(ids)}
    sets = {tuple(sorted(code[item] for item in part)): n for part, n in counts.items()}
    paths = sorted(sets)
    row = {path: number for number, path in enumerate(paths)}
    tree = ItemsetTree(
        np.array([path[-1] for path in paths], np.int32),
        np.array([row.get(path[:-1], -1) for path in paths], np.int32),
        np.array([sets[path] for path in paths], np.int32),
        len(ids),
        len(baskets),
    )
    item_ids = np.array(ids, object if ids and isinstance(ids[0], str) else np.int64)
    engine = enter(pd.DataFrame({"x": [1]}) if native is None else native, caller="mined")[1]
    return Itemsets(
        tree=tree, rows=np.arange(len(tree), dtype=np.int32), item_ids=item_ids, min_count=min_count, max_len=None,
        distinct_item_count=len(set().union(*baskets)), kind="all", item="product_id", basket="order_id", engine=engine,
    )  # fmt: skip


def breakfasts(min_count=2, **settings_):
    return mined([text.split() for text in BREAKFASTS], min_count, **settings_)


def sides(rules):
    """The rules as pairs of sets, in their order."""
    table = rules.to_frame()
    return [(frozenset(x), frozenset(y)) for x, y in zip(table["antecedent"], table["consequent"], strict=True)]


def in_words(rules):
    return [f"{'+'.join(sorted(x))} > {'+'.join(sorted(y))}" for x, y in sides(rules)]


def splits(baskets, min_count, max_consequent_len=EVERY_LEN):
    """All rules by the definition: antecedent and consequent -> confidence, as a fraction."""
    counts = counts_of(baskets)
    frequent = [part for part, n in counts.items() if n >= min_count]
    return {
        (whole - then, then): Fraction(counts[whole], counts[whole - then])
        for whole in frequent
        for then in subsets(whole)
        if whole != then and len(then) <= max_consequent_len
    }


def cells(table):
    """Rows of a table of any kind, lists as lists."""
    frame = nw.from_native(table)
    return (frame.collect() if isinstance(frame, nw.LazyFrame) else frame).to_arrow().to_pylist()


baskets = st.lists(st.sets(st.integers(0, 5)), min_size=1, max_size=12)
shares = st.sampled_from([0, 0.1, 0.25, 0.3, 1 / 3, 0.5, 2 / 3, 0.7, 0.75, 1])

# -- which rules ---------------------------------------------------------------------------------------------------


def test_rules_counted_by_hand_on_every_kind(frame):
    native = frame({"x": [1]})
    table = association_rules(breakfasts(native=native), min_confidence=0.5).to_frame(["confidence", "lift"])
    assert type(table) is type(native)
    assert [list(row.values()) for row in cells(table)] == [
        [["jam", "tea"], ["bread"], 2, 2, 6, 1.0, pytest.approx(1 / 0.6)],
        [["bread"], ["jam"], 4, 6, 5, pytest.approx(4 / 6), pytest.approx(4 / 3)],
        [["jam"], ["bread"], 4, 5, 6, 0.8, pytest.approx(4 / 3)],
        [["bread", "tea"], ["jam"], 2, 3, 5, pytest.approx(2 / 3), pytest.approx(4 / 3)],
        [["bread"], ["tea"], 3, 6, 4, 0.5, 1.25],
        [["tea"], ["bread"], 3, 4, 6, 0.75, 1.25],
        [["bread", "jam"], ["tea"], 2, 4, 4, 0.5, 1.25],
        [["tea"], ["jam"], 2, 4, 5, 0.5, 1.0],
    ]
    assert {name: str(dtype) for name, dtype in nw.from_native(table).collect_schema().items()} == {
        "antecedent": "List(String)",
        "consequent": "List(String)",
        **dict.fromkeys(COUNTS, "Int64"),
        "confidence": "Float64",
        "lift": "Float64",
    }


@given(baskets=baskets, min_count=st.integers(1, 3), confidence=shares, longest=st.integers(1, 4))
def test_every_split_that_is_confident_enough_and_no_other(baskets, min_count, confidence, longest):
    rules = association_rules(mined(baskets, min_count), min_confidence=confidence, max_consequent_len=longest)
    least = Fraction(str(confidence)).limit_denominator(1000)
    expected = {rule for rule, value in splits(baskets, min_count, longest).items() if value >= least}
    assert sorted(map(str, sides(rules))) == sorted(map(str, expected))
    counts = counts_of(baskets)
    for (x, y), *numbers in zip(
        sides(rules), rules.both_count, rules.antecedent_count, rules.consequent_count, strict=True
    ):
        assert numbers == [counts[x | y], counts[x], counts[y]]


@given(baskets=baskets, first=st.sets(st.integers(0, 5)), second=st.sets(st.integers(0, 5)), longest=st.integers(1, 4))
def test_filtered_sides_consist_of_the_items_given(baskets, first, second, longest):
    itemsets = mined(baskets)
    known = set(itemsets.item_ids.tolist())
    rules = association_rules(
        itemsets, min_confidence=0.3, max_consequent_len=longest, antecedent=first & known, consequent=second & known
    )
    every = association_rules(itemsets, min_confidence=0.3, max_consequent_len=longest)
    assert sides(rules) == [(x, y) for x, y in sides(every) if x <= first and y <= second]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7])  # none of which is a float
def test_a_rule_exactly_at_the_threshold_is_kept(share):
    tenths = round(share * 10)
    itemsets = mined([{1, 2}] * tenths + [{1}] * (10 - tenths) + [{3}])
    assert sides(association_rules(itemsets, min_confidence=share, consequent=2)) == [({1}, {2})]
    assert len(association_rules(itemsets, min_confidence=np.nextafter(share, 1) + 1e-8, consequent=2)) == 0
    rules = association_rules(itemsets, min_confidence=0, consequent=2)
    assert len(rules.at_least(confidence=share)) == len(rules.at_most(confidence=share)) == 1
    assert len(rules.at_least(confidence=share + 1e-8)) == len(rules.at_most(confidence=share - 1e-8)) == 0


def test_only_the_itemsets_asked_for_are_split():
    lines = pd.DataFrame(
        [(order, item) for order, basket in enumerate(BREAKFASTS) for item in basket.split()],
        columns=["order_id", "product_id"],
    )
    itemsets = frequent_itemsets(lines, min_len=2, top_k=1)  # bread + jam; the tree also has what leads there
    assert in_words(association_rules(itemsets)) == ["bread > jam", "jam > bread"]


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning:mlxtend")  # an item is in every basket
def test_the_same_rules_as_mlxtend(shared_data):
    lines = [line.split() for line in (shared_data / "mushroom.dat").read_text().splitlines()[:500]]
    orders = pd.DataFrame(
        {
            "order_id": np.repeat(np.arange(len(lines)), [len(line) for line in lines]),
            "product_id": [int(item) for line in lines for item in line],
        }
    )
    itemsets = frequent_itemsets(orders, min_support=300, max_len=4)
    ours = association_rules(itemsets, min_confidence=0.8, max_consequent_len=EVERY_LEN)
    sets = itemsets.to_frame().assign(itemsets=lambda table: table["itemset"].map(frozenset))
    theirs = mlxtend_rules(sets[["support", "itemsets"]], num_itemsets=500, metric="confidence", min_threshold=0.8)
    assert len(ours) > 1000
    columns = ["support", "confidence", "lift", "leverage"]
    expected = dict(
        zip(zip(theirs["antecedents"], theirs["consequents"], strict=True), theirs[columns].to_numpy(), strict=True)
    )
    assert set(sides(ours)) == set(expected)
    assert ours.to_frame()[columns].to_numpy() == pytest.approx(
        np.array([expected[rule] for rule in sides(ours)]), abs=1e-12
    )


def test_real_data_give_the_known_number_of_rules(shared_data):
    lines = [line.split() for line in (shared_data / "T10I4D100K.dat").read_text().splitlines()]
    orders = pd.DataFrame(
        {
            "order_id": np.repeat(np.arange(len(lines)), [len(line) for line in lines]),
            "product_id": [int(item) for line in lines for item in line],
        }
    )
    rules = association_rules(frequent_itemsets(orders, min_support=100), max_consequent_len=EVERY_LEN)
    assert len(rules) == 386_781
    assert (np.diff(rules.measure("lift")) <= 0).all()


# -- their order ---------------------------------------------------------------------------------------------------


def test_ties_go_to_more_baskets_then_fewer_items_then_ids():
    together = [{"z", "y"}] * 3 + [{"b", "c"}] * 2 + [{"a", "d"}] * 2 + [{"e", "f", "g"}] * 2
    rules = association_rules(mined(together), max_consequent_len=2).top(99, by="confidence")
    assert set(rules.measure("confidence")) == {1.0}
    assert in_words(rules)[:8] == ["y > z", "z > y", "a > d", "d > a", "b > c", "c > b", "e > f", "f > e"]
    assert in_words(rules)[-2:] == ["e+g > f", "f+g > e"]


@given(baskets=baskets, by=st.sampled_from(["lift", "support", "leverage", "improvement"]), n=st.integers(1, 9))
def test_the_top_rules_are_the_strongest_whatever_the_order_before(baskets, by, n):
    rules = association_rules(mined(baskets), max_consequent_len=EVERY_LEN)
    everything, strength = rules.top(10_000, by=by), rules.measure(by)
    assert np.array_equal(everything.measure(by), -np.sort(-strength))
    shuffled = rules.take(np.random.default_rng(0).permutation(len(rules)))
    assert sides(shuffled.top(n, by=by)) == sides(everything)[:n]


def test_a_small_p_value_is_a_strong_rule():
    rules = association_rules(breakfasts(), max_consequent_len=EVERY_LEN)
    p_values = rules.measure("fisher_p_value")
    assert rules.top(1, by="fisher_p_value").measure("fisher_p_value") == p_values.min() < p_values.max()


# -- fewer rules ---------------------------------------------------------------------------------------------------


@given(baskets=baskets, min_count=st.integers(1, 2), confidence=shares)
def test_redundancy_and_improvement_by_their_definition(baskets, min_count, confidence):
    rules = association_rules(mined(baskets, min_count), min_confidence=confidence, max_consequent_len=EVERY_LEN)
    counts, every = counts_of(baskets), splits(baskets, 1)

    def improvement(rule):
        x, y = rule
        general = [every[part, y] for part in subsets(x) if part != x] + [Fraction(counts[y], len(baskets))]
        return every[rule] - max(general)

    assert rules.improvement() == pytest.approx([float(improvement(rule)) for rule in sides(rules)], abs=1e-12)
    assert sides(rules.without_redundant()) == [rule for rule in sides(rules) if improvement(rule) > 0]


def test_a_rule_as_confident_as_a_more_general_one_is_redundant():
    rules = association_rules(mined([{1, 2, 3}, {1, 2}, {3}, {1, 3}]), min_confidence=0, consequent=2)
    assert dict(zip(map(str, sides(rules)), rules.improvement(), strict=True)) == {
        str((frozenset({1}), frozenset({2}))): pytest.approx(2 / 3 - 2 / 4),
        str((frozenset({1, 3}), frozenset({2}))): pytest.approx(1 / 2 - 2 / 3),
        str((frozenset({3}), frozenset({2}))): pytest.approx(1 / 3 - 2 / 4),
    }
    assert sides(rules.without_redundant()) == [({1}, {2})]
    equal = association_rules(mined([{1, 2}, {1, 2}, {3}, {1, 2, 3}]), min_confidence=0, consequent=2)
    assert sides(equal.without_redundant()) == [({1}, {2})]  # {1, 3} > {2} is as confident: 1


def test_improvement_is_a_bound_like_any_measure():
    rules = association_rules(mined([{1, 2, 3}, {1, 2}, {3}, {1, 3}]), min_confidence=0, consequent=2)
    assert sides(rules.at_least(improvement=2 / 3 - 2 / 4)) == [({1}, {2})]  # the others: below zero
    assert len(rules.at_least(improvement=0.17)) == 0
    assert len(rules.at_most(improvement=-1 / 6)) == 2


def test_bounds_on_measures_keep_what_lies_on_them():
    rules = association_rules(breakfasts(), min_confidence=0, max_consequent_len=EVERY_LEN)
    lift = rules.measure("lift")
    assert len(rules.at_least(lift=4 / 3)) == (lift > 4 / 3 - 1e-9).sum() > len(rules.at_least(lift=4 / 3 + 1e-9)) > 0
    assert len(rules.at_least(lift=4 / 3 * (1 + 1e-13))) == len(rules.at_least(lift=4 / 3))  # rounding parts no equals
    assert len(rules.at_most(lift=1.25)) == (lift < 1.25 + 1e-9).sum() > len(rules.at_most(lift=1.25 - 1e-9)) > 0
    assert set(rules.at_least(support=0.3, confidence=0.6).both_count) == {3, 4}
    assert set(rules.at_most(support=0.3).both_count) == {2, 3}


def test_rules_with_an_item_on_a_side():
    rules = association_rules(breakfasts(), min_confidence=0.5, max_consequent_len=EVERY_LEN)
    assert in_words(rules.with_items(antecedent="tea", consequent="jam")) == [
        "bread+tea > jam",
        "tea > bread+jam",
        "tea > jam",
    ]
    assert in_words(rules.with_items(consequent=["tea"])) == [
        rule for rule in in_words(rules) if "tea" in rule.split(">")[1]
    ]
    assert in_words(rules.with_items(either=["tea", "jam"])) == in_words(rules)  # at least one of them
    both = rules.with_items(either="tea").with_items(either="jam")
    assert in_words(both) == [rule for rule in in_words(rules) if "tea" in rule and "jam" in rule]


# -- back from a table ---------------------------------------------------------------------------------------------


def lists_of(pairs, kind="pandas"):
    """A table with the two sides of each rule."""
    first, second = zip(*pairs, strict=True)
    return make_frame({"antecedent": list(first), "consequent": list(second)}, kind=kind)


def test_rules_come_back_from_a_table_of_every_kind_in_its_order(frame):
    rules = association_rules(breakfasts(native=frame({"x": [1]})), min_confidence=0.5, max_consequent_len=2)
    chosen = rules.take(np.array([5, 0, 3]))
    assert rules.matching(chosen.to_frame([])).both.tolist() == chosen.both.tolist()
    assert rules.matching(chosen.to_frame([])).antecedent.tolist() == chosen.antecedent.tolist()


@given(baskets=baskets, data=st.data())
def test_any_choice_in_any_order_of_rows_and_of_ids_is_found(baskets, data):
    rules = association_rules(mined(baskets), max_consequent_len=2)
    wanted = data.draw(st.lists(st.sampled_from(sides(rules)), max_size=9)) if len(rules) else []
    rows = [tuple(data.draw(st.permutations(sorted(side))) for side in rule) for rule in wanted]
    table = pd.DataFrame({"antecedent": [x for x, _ in rows], "consequent": [y for _, y in rows]})
    assert sides(rules.matching(table)) == list(dict.fromkeys(wanted))


def test_what_other_customers_confirm_goes_on_with_the_counts_of_all():
    carts = [["tea", "milk"]] * 3 + [["jam"]] * 3 + [["tea", "jam"]]
    lines = pd.DataFrame({"customer_id": range(70), "order_id": range(70), "product_id": carts * 10})
    lines = lines.explode("product_id")
    everybody = association_rules(frequent_itemsets(lines, 2))
    split = split_by_customer(lines)
    tested = significant_rules(association_rules(frequent_itemsets(split.explore, 2)), holdout=split.holdout)
    believed = everybody.matching(tested[tested["is_significant"]])
    assert in_words(believed) == ["milk > tea", "tea > milk"]
    assert believed.both_count.tolist() == [30, 30]


def test_a_rule_with_a_row_a_segment_comes_back_once():
    lines = pd.DataFrame(
        {"customer_id": range(12), "order_id": range(12), "product_id": [["tea", "milk"], ["tea"]] * 6}
    )
    lines = lines.explode("product_id")
    segments = pd.DataFrame({"customer_id": range(12), "segment": ["new"] * 5 + ["old"] * 7})
    rules = association_rules(frequent_itemsets(lines, 2))
    table = contrast_table(rules, lines, segments=segments)
    assert len(table) == 2 * len(rules) == 4
    assert in_words(rules.matching(table)) == in_words(rules)


def test_rows_that_are_no_rule_of_the_set_are_counted_and_the_first_is_shown():
    rules = association_rules(breakfasts(), min_confidence=0.5)
    message = (
        r"RuleSet.matching: 2 of 3 rows are no rule of this set, the first \['jam'\] -> \['tea'\]\. Rules are known by "
        r"their item ids, such as \['bread'\]: a table with names=\.\.\. has none\. Call it on the rules"
    )
    rows = [(["bread"], ["jam"]), (["jam"], ["tea"]), (["jam"], ["cocoa"])]  # jam > tea: 2 of 5, not mined
    with pytest.raises(SchemaError, match=message):
        rules.matching(lists_of(rows))
    for side in (["bread", "bread"], ["bread", None], [None], []):  # no sets of ids
        with pytest.raises(SchemaError, match="1 of 2 rows are no rule of this set"):
            rules.matching(lists_of([(["bread"], ["jam"]), (side, ["jam"])]))
    with pytest.raises(SchemaError, match=r"the first \['White bread'\] -> \['jam'\]"):
        rules.with_items(antecedent="bread").matching(rules.to_frame(names={"bread": "White bread"}).iloc[1:])
    with pytest.raises(SchemaError, match="1 of 1 rows are no rule"):
        rules.take(np.zeros(0, np.int64)).matching(rules.to_frame().head(1))


def test_an_empty_table_matches_nothing():
    rules = association_rules(breakfasts())
    assert len(rules.matching(rules.to_frame().head(0))) == 0
    assert len(rules.matching(pd.DataFrame({"antecedent": [], "consequent": []}))) == 0


def test_tables_without_lists_of_ids_are_refused():
    rules = association_rules(breakfasts())
    with pytest.raises(MissingColumnsError, match=r"RuleSet.matching needs the columns \['antecedent'\], got \['conse"):
        rules.matching(rules.to_frame()[["consequent"]])
    with pytest.raises(SchemaError, match=r"must be lists of item ids, the first row has 'tea' and 'jam'.*a text file"):
        rules.matching(pd.DataFrame({"antecedent": ["tea"], "consequent": ["jam"]}))
    with pytest.raises(SchemaError, match=r"must be lists of item ids, the first row has frozenset"):
        rules.matching(pd.DataFrame({"antecedent": [frozenset({"tea"})], "consequent": [frozenset({"jam"})]}))


# -- names ---------------------------------------------------------------------------------------------------------


def test_tables_are_read_by_names_on_every_kind(frame):
    names = {1: "  Green \n tea ", 2: None, 3: "Milk"}
    itemsets = mined([{1, 2, 3}], native=frame({"x": [1]}))
    table = association_rules(itemsets).top(1).to_frame(["lift"], names=names)
    assert cells(table)[0]["antecedent"] == ["Green tea"]
    assert cells(table)[0]["consequent"] == ["2"]  # the id, where there is no name
    assert {name: str(dtype) for name, dtype in nw.from_native(table).collect_schema().items()} == {
        "antecedent": "List(String)", "consequent": "List(String)", **dict.fromkeys(COUNTS, "Int64"), "lift": "Float64",
    }  # fmt: skip
    assert cells(itemsets.to_frame(names=names))[-1]["itemset"] == ["Green tea", "2", "Milk"]


def test_items_of_one_name_are_told_apart_by_their_ids():
    itemsets = mined([{1, 2, 3}])
    names = {1: "Mailout", 2: " Mailout ", 3: "Milk"}
    assert cells(itemsets.to_frame(names=names))[-1]["itemset"] == ["Mailout (1)", "Mailout (2)", "Milk"]


def test_a_single_measure_needs_no_list():
    rules = association_rules(breakfasts())
    assert rules.to_frame("lift").equals(rules.to_frame(["lift"]))


def test_names_that_name_nothing_or_twice_are_refused():
    rules = association_rules(breakfasts())
    with pytest.raises(SchemaError, match=r"RuleSet.to_frame: names has none of the items, such as 'tea'"):
        rules.to_frame(names={1: "Tea"})
    with pytest.raises(SchemaError, match=r"Itemsets.to_frame: names has 2 names for 1 ids\. Give each id one name"):
        rules.itemsets.to_frame(names=pd.Series(["Tea", "Ceylon tea"], index=["tea", "tea"]))


# -- what is refused -----------------------------------------------------------------------------------------------


def test_too_many_rules_are_counted_and_refused():
    itemsets = breakfasts()
    assert split_count(itemsets.tree.lengths(), 1) == 9
    message = (
        r"association_rules: 5 of the 12 rules that these itemsets can be split into reach min_confidence=0.55; "
        r"max_rules=4\. .* min_confidence=0.78, max_consequent_len=1, .* max_rules=5\."
    )
    with pytest.raises(ResultTooLargeError, match=message):
        association_rules(itemsets, min_confidence=0.55, max_consequent_len=2, max_rules=4)
    assert len(association_rules(itemsets, min_confidence=0.55, max_consequent_len=2, max_rules=5)) == 5


def test_the_refusal_says_what_building_the_rules_and_a_table_of_them_would_take():
    lines = pd.DataFrame({"order_id": 1, "product_id": range(200)})
    itemsets = frequent_itemsets(lines, min_support=1, max_len=2)  # 200 x 199 rules, of 64 and 190 bytes
    with pytest.raises(ResultTooLargeError) as refusal:
        association_rules(itemsets, min_confidence=0, max_rules=39_799)
    assert str(refusal.value) == (
        "association_rules: 39,800 of the 39,800 rules that these itemsets can be split into reach min_confidence=0; "
        "max_rules=39,799. Building them would take about 3 MB, and a table of them about 8 MB. Ask for fewer, for "
        "example with min_confidence=0.5, consequent=[...] or itemsets of a higher min_support; or allow them with "
        "max_rules=39_800."
    )


def test_beyond_the_limit_of_counting_nothing_is_said_that_is_not_known(monkeypatch):
    def stop_counting(*_, **__):
        raise TooManyRulesError(COUNT_LIMIT + 195_008)

    monkeypatch.setattr("crmlytics._kernels.rules.find_rules", stop_counting)
    with pytest.raises(ResultTooLargeError) as refusal:
        association_rules(breakfasts(), min_confidence=0.5, max_rules=COUNT_LIMIT)
    assert str(refusal.value) == (
        "association_rules: more than 1,000,000,000 of the 9 rules that these itemsets can be split into reach "
        "min_confidence=0.5; max_rules=1,000,000,000. Ask for fewer, for example with min_confidence=0.75, "
        "consequent=[...] or itemsets of a higher min_support."
    )


def test_more_rules_than_are_counted_cannot_be_allowed():
    with pytest.raises(
        SchemaError, match=r"max_rules must be at most 1_000_000_000, .*, got 1_000_000_001\. .* raise min_confidence"
    ):
        association_rules(breakfasts(), max_rules=COUNT_LIMIT + 1)
    assert len(association_rules(breakfasts(), max_rules=COUNT_LIMIT)) == 9


def test_tables_and_rules_are_not_taken_for_itemsets():
    itemsets = breakfasts()
    with pytest.raises(
        SchemaError,
        match=r"association_rules: expected Itemsets, got DataFrame. Give the itemsets before .to_frame\(\)",
    ):
        association_rules(itemsets.to_frame())
    with pytest.raises(SchemaError, match=r"expected Itemsets, got RuleSet. Type rules.itemsets"):
        association_rules(association_rules(itemsets))


def test_itemsets_without_their_subsets_are_refused():
    closed = replace(breakfasts(), kind="closed")
    with pytest.raises(SchemaError, match=r"closed itemsets lack subsets.*frequent_itemsets\(\.\.\., kind=\"all\"\)"):
        association_rules(closed)
    with pytest.raises(SchemaError, match="lack a subset of one of them"):
        association_rules(breakfasts(left_out=[{"bread", "jam"}]))
    with pytest.raises(SchemaError, match="lack a subset of one of them"):
        association_rules(
            breakfasts(left_out=[{"bread", "jam"}]), antecedent="tea", consequent=["bread", "jam"], max_consequent_len=2
        )


def test_unknown_items_and_impossible_thresholds_are_refused():
    rules = association_rules(breakfasts())
    with pytest.raises(SchemaError, match=r"antecedent='bred' is in no frequent itemset\. Did you mean 'bread'\?"):
        association_rules(breakfasts(), antecedent="bred")
    with pytest.raises(
        SchemaError, match=r"either=7 is .* itemset\. There are 3 items of product_id, such as \['bread'\]"
    ):
        rules.with_items(either=[7])
    with pytest.raises(SchemaError, match=r"min_confidence must be a share between 0 and 1.*got 10"):
        association_rules(breakfasts(), min_confidence=10)
    with pytest.raises(SchemaError, match=r"at_least: support must be a share between 0 and 1.*got 2"):
        rules.at_least(support=2)
    with pytest.raises(SchemaError, match=r"at_most: lift must be a finite number.*got nan"):
        rules.at_most(lift=math.nan)
    with pytest.raises(SchemaError, match=r"no measure is called 'lit'.*Did you mean 'lift'"):
        rules.top(3, by="lit")


def test_p_values_of_mined_rules_are_refused_as_a_threshold():
    with pytest.raises(SchemaError, match=r"p-values over mined rules alone are no p-values.*significant_rules\(rules"):
        association_rules(breakfasts()).at_most(fisher_p_value=0.05)


# -- what a rule set is --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_rule_sets_survive_pickling(kind):
    rules = association_rules(breakfasts(native=make_frame({"x": [1]}, kind=kind)))
    copy = pickle.loads(pickle.dumps(rules))  # noqa: S301  our own
    assert isinstance(copy, RuleSet)
    assert cells(copy.to_frame()) == cells(rules.to_frame())


def test_shown_in_one_line_and_as_the_first_ten():
    rules = association_rules(mined([{"<b>", "c", "d", "e"}] * 2), max_consequent_len=3)
    assert repr(rules) == "RuleSet: 50 rules from 15 itemsets of product_id in 2 baskets (.to_frame(), .top(10))"
    shown = rules._repr_html_()
    assert shown.count("<tr>") == 1 + 10
    assert "&lt;b&gt;" in shown
    assert "<b>" not in shown


def test_no_rules_make_an_empty_table_of_the_same_columns(frame):
    baskets = [{1}, {2}]
    none = association_rules(mined(baskets, native=frame({"x": [1]})))
    assert len(none) == len(none.without_redundant()) == len(none.top(3)) == 0
    some = association_rules(mined([{1, 2}], native=frame({"x": [1]})))
    types = [nw.from_native(rules.to_frame()).collect_schema() for rules in (none, some)]
    assert types[0] == types[1]
    assert cells(none.to_frame()) == []


# -- the index below -----------------------------------------------------------------------------------------------


@given(baskets=baskets, asked=st.lists(st.sets(st.integers(-1, 7)), max_size=6))
def test_the_index_finds_exactly_the_sets_of_the_tree(baskets, asked):
    tree = mined(baskets, 2).tree
    index = index_of(tree)
    starts, codes = tree.members(np.arange(len(tree), dtype=np.int32))
    sets = [frozenset(codes[a:b].tolist()) for a, b in pairwise(starts)]
    row = {part: number for number, part in enumerate(sets)}
    ends = np.cumsum([0] + [len(part) for part in asked])
    wanted = np.array([code for part in asked for code in sorted(part, reverse=True)], np.int32)
    assert rows_of_sets(tree, index, ends, wanted).tolist() == [row.get(frozenset(part), -1) for part in asked]
    places, without = rows_without(tree, index, np.arange(len(tree), dtype=np.int32))
    assert np.array_equal(places, starts)
    expected = [
        row.get(part - {code}, -1) for part, a in zip(sets, starts, strict=False) for code in codes[a : a + len(part)]
    ]
    assert without.tolist() == expected


def test_an_itemset_twice_in_the_tree_is_refused():
    twice = ItemsetTree(np.zeros(2, np.int32), np.full(2, -1, np.int32), np.ones(2, np.int32), 1, 1)
    with pytest.raises(ValueError, match="some itemset stands in the tree twice"):
        index_of(twice)


@settings(max_examples=20)
@given(
    lists=st.lists(st.lists(st.integers(0, 2)), min_size=1),
    kind=st.sampled_from(["pandas", "polars", "pyarrow", "duckdb"]),
)
def test_columns_of_lists_keep_every_list(lists, kind):
    names = np.array(["x", "y", "z"], object)
    column = list_column(
        np.cumsum([0] + [len(part) for part in lists]), np.array([*chain.from_iterable(lists)], np.int32), names
    )
    engine = enter(make_frame({"x": [1]}, kind=kind), caller="test")[1]
    table = table_with_lists(engine, {"items": column, "n": np.arange(len(lists))})
    assert cells(table) == [{"items": [names[i] for i in part], "n": n} for n, part in enumerate(lists)]
