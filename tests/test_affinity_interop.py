"""What the way to mlxtend and back promises: the same itemsets, the same rules, the same numbers, or a refusal."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlxtend.frequent_patterns import association_rules, fpgrowth, fpmax
from mlxtend.preprocessing import TransactionEncoder

from crmlytics._kernels.tree_of_sets import MissingSetError, tree_of_sets
from crmlytics.affinity.interop import from_mlxtend, rules_from_mlxtend, to_mlxtend
from crmlytics.affinity.itemsets import frequent_itemsets
from crmlytics.affinity.rules import association_rules as make_rules
from crmlytics.affinity.significance import significant_rules
from crmlytics.exceptions import MissingColumnsError, SchemaError

BASKETS = [["tea", "milk", "jam"], ["tea", "milk"], ["tea"], ["jam", "bread"], ["bread"], ["tea", "milk", "bread"]]


def order_lines(baskets):
    return pd.DataFrame(
        [(number, item) for number, basket in enumerate(baskets) for item in basket], columns=["order_id", "product_id"]
    )


def one_hot(baskets):
    encoder = TransactionEncoder()
    return pd.DataFrame(encoder.fit_transform(baskets), columns=encoder.columns_)


def their_itemsets(baskets, count, mine=fpgrowth):
    least = min((count - 0.5) / len(baskets), 1)
    return mine(one_hot(baskets), min_support=least, use_colnames=True)


def their_rules(itemsets, baskets, **threshold):
    with np.errstate(all="ignore"):  # mlxtend divides by zero before it replaces the result
        return association_rules(itemsets, num_itemsets=baskets, **threshold)


def supports(frame):
    return {itemset: round(support, 12) for support, itemset in zip(frame["support"], frame["itemsets"], strict=True)}


def by_sides(rules):
    return {(row[0], row[1]): row[2:] for row in rules.itertuples(index=False, name=None)}


def assert_same_rules(ours, theirs):
    assert list(ours.columns) == list(theirs.columns)
    ours, theirs = by_sides(ours), by_sides(theirs)
    assert set(ours) == set(theirs)
    for sides, numbers in theirs.items():
        assert ours[sides] == pytest.approx(numbers, rel=1e-9, abs=1e-12)


some_baskets = st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True), min_size=4, max_size=25)


# -- to mlxtend ----------------------------------------------------------------------------------------------------


def test_itemsets_are_those_of_mlxtend_by_hand():
    frame = to_mlxtend(frequent_itemsets(order_lines(BASKETS), min_support=3))
    assert list(frame.columns) == ["support", "itemsets"]
    assert frame["itemsets"].tolist() == [{"tea"}, {"bread"}, {"milk"}, {"tea", "milk"}]
    assert frame["support"].tolist() == [4 / 6, 3 / 6, 3 / 6, 3 / 6]
    assert type(frame["itemsets"][0]) is frozenset


@given(baskets=some_baskets, count=st.integers(1, 4))
@settings(max_examples=25)
def test_mlxtend_makes_the_same_rules_of_our_itemsets_as_of_its_own(baskets, count):
    ours = to_mlxtend(frequent_itemsets(order_lines(baskets), min_support=count))
    theirs = their_itemsets(baskets, count)
    assert supports(ours) == supports(theirs)
    if len(theirs):
        every = {"metric": "support", "min_threshold": 0}
        assert_same_rules(their_rules(ours, len(baskets), **every), their_rules(theirs, len(baskets), **every))


def test_ids_that_are_numbers_are_python_ints():
    lines = pd.DataFrame({"order_id": [1, 1, 2], "product_id": np.array([7, 9, 7])})
    frame = to_mlxtend(frequent_itemsets(lines, min_support=1))
    assert frame["itemsets"].tolist() == [{7}, {9}, {7, 9}]
    assert {type(item) for itemset in frame["itemsets"] for item in itemset} == {int}


def test_what_is_neither_itemsets_nor_rules_is_refused():
    with pytest.raises(SchemaError, match=r"expected Itemsets or a RuleSet, got DataFrame. Give it before .to_frame"):
        to_mlxtend(pd.DataFrame())


# -- from mlxtend --------------------------------------------------------------------------------------------------


@given(baskets=some_baskets, count=st.integers(1, 4))
@settings(max_examples=25)
def test_itemsets_of_mlxtend_come_back_as_if_mined_here(baskets, count):
    theirs = their_itemsets(baskets, count)
    ours = frequent_itemsets(order_lines(baskets), min_support=count)
    back = from_mlxtend(theirs.sample(frac=1, random_state=0), basket_count=len(baskets))
    assert back.basket_count == len(baskets)
    assert back.item_ids.tolist() == ours.item_ids.tolist()
    if len(theirs):  # nothing has no kind of id
        pd.testing.assert_frame_equal(back.to_frame(), ours.to_frame())


def test_significance_needs_to_know_how_many_items_there_were():
    baskets = [["tea", "milk"]] * 30 + [["jam"]] * 30 + [["bread"], ["cake"]]
    theirs = their_itemsets(baskets, 5)  # of tea, milk and jam
    unknown = from_mlxtend(theirs, basket_count=62)
    assert unknown.distinct_item_count is None
    refusal = (
        r"significant_rules: .* Give from_mlxtend\(\.\.\., item_count=<.*>\), or test on other customers with holdout="
    )
    with pytest.raises(SchemaError, match=refusal):
        significant_rules(make_rules(unknown))
    known = from_mlxtend(theirs, basket_count=62, item_count=one_hot(baskets).shape[1])
    tested = significant_rules(make_rules(known))
    assert tested["tested_count"].tolist() == [40, 40]  # 5 consequents, 4 antecedents, 2 for the size
    assert tested.equals(significant_rules(make_rules(frequent_itemsets(order_lines(baskets), min_support=5))))


def test_itemsets_without_the_number_of_items_are_tested_on_other_customers():
    rules = make_rules(from_mlxtend(their_itemsets(BASKETS, 3), basket_count=6))
    holdout = order_lines([["tea", "milk"], ["jam"], ["tea"]]).assign(customer_id=[1, 1, 2, 3])
    assert significant_rules(rules, holdout=holdout)["tested_count"].tolist() == [2, 2]


def test_fewer_items_than_the_itemsets_hold_are_refused():
    theirs = their_itemsets(BASKETS, 2)
    refusal = r"item_count=3 is less than the 4 items .* item_count=onehot\.shape\[1\]"
    with pytest.raises(SchemaError, match=refusal):
        from_mlxtend(theirs, basket_count=6, item_count=3)
    with pytest.raises(SchemaError, match=r"item_count must be a whole number of at least 1, got 4\.0"):
        from_mlxtend(theirs, basket_count=6, item_count=4.0)
    assert from_mlxtend(theirs, basket_count=6, item_count=4).distinct_item_count == 4


def test_column_numbers_of_mlxtend_are_ids_too():
    theirs = fpgrowth(one_hot(BASKETS), min_support=0.5)
    assert from_mlxtend(theirs, basket_count=6).item_ids.tolist() == [0, 2, 3]


def test_rules_of_mlxtend_come_back_in_their_order_with_the_same_numbers():
    itemsets = from_mlxtend(their_itemsets(BASKETS, 1), basket_count=len(BASKETS))
    theirs = their_rules(their_itemsets(BASKETS, 1), len(BASKETS), metric="lift", min_threshold=1.1)
    assert len(theirs) == 10
    back = to_mlxtend(rules_from_mlxtend(theirs, itemsets))
    pd.testing.assert_frame_equal(back, theirs, rtol=1e-9)


def test_a_certain_rule_to_what_is_in_every_basket_has_mlxtends_conviction():
    baskets = [["bag", "tea"], ["bag"], ["bag", "tea"]]
    theirs = their_rules(their_itemsets(baskets, 1), 3, metric="support", min_threshold=0)
    itemsets = frequent_itemsets(order_lines(baskets), min_support=1)
    assert_same_rules(to_mlxtend(rules_from_mlxtend(theirs, itemsets)), theirs)
    assert np.inf in by_sides(theirs)[frozenset({"tea"}), frozenset({"bag"})]


def test_says_that_basket_count_does_not_fit_the_supports():
    refusal = r"is 4\.667 of 7 baskets, expected a whole number.*basket_count=len\(onehot\)"
    with pytest.raises(SchemaError, match=refusal):
        from_mlxtend(their_itemsets(BASKETS, 3)[:1].assign(support=4 / 6), basket_count=7)


def test_says_that_a_count_of_no_baskets_or_more_than_all_is_none():
    for support, count in ((0.0, "0.000"), (1.5, "6.000")):
        frame = pd.DataFrame({"support": [support], "itemsets": [frozenset({"tea"})]})
        with pytest.raises(SchemaError, match=rf"of \['tea'\] is {count} of 4 baskets"):
            from_mlxtend(frame, basket_count=4)


def test_maximal_itemsets_are_refused_since_counts_of_their_parts_are_not_known():
    with pytest.raises(SchemaError, match=r"\['\w+'.*\] is part of a larger itemset.*not those of fpmax"):
        from_mlxtend(their_itemsets(BASKETS, 2, mine=fpmax), basket_count=6)


@pytest.mark.parametrize("lacking", ["jam", "milk", "tea", "jam milk", "jam tea", "milk tea"])
def test_whichever_part_is_missing_is_named(lacking):
    found = their_itemsets(BASKETS, 1)
    found = found[found["itemsets"] != frozenset(lacking.split())]
    with pytest.raises(SchemaError) as refusal:
        from_mlxtend(found, basket_count=6)
    assert f"{lacking.split()} is part of a larger itemset" in str(refusal.value)


def test_repeated_itemsets_and_ids_of_other_kinds_are_refused():
    frame = their_itemsets(BASKETS, 3)
    with pytest.raises(SchemaError, match=r"some itemset is there twice. Drop it: frame.drop_duplicates"):
        from_mlxtend(pd.concat([frame, frame[:1]]), basket_count=6)
    mixed = pd.DataFrame({"support": [0.5, 0.5], "itemsets": [frozenset({"tea"}), frozenset({1})]})
    with pytest.raises(SchemaError, match=r"whole numbers or text, all of one kind, got \['int', 'str'\]"):
        from_mlxtend(mixed, basket_count=6)
    with pytest.raises(SchemaError, match=r"all of one kind, got \['float'\]"):
        from_mlxtend(pd.DataFrame({"support": [0.5], "itemsets": [frozenset({1.5})]}), basket_count=6)


def test_frames_of_another_shape_are_refused():
    with pytest.raises(MissingColumnsError, match=r"needs the columns \['itemsets'\], as mlxtend names them"):
        from_mlxtend(pd.DataFrame({"support": [0.5]}), basket_count=6)
    rules = their_rules(their_itemsets(BASKETS, 3), 6, min_threshold=0)
    with pytest.raises(SchemaError, match=r"this is a frame of rules.*rules_from_mlxtend\(frame, itemsets\)"):
        from_mlxtend(rules, basket_count=6)


def test_rules_that_the_itemsets_do_not_know_are_refused():
    rules = their_rules(their_itemsets(BASKETS, 1), 6, metric="support", min_threshold=0)
    with pytest.raises(SchemaError, match=r"a rule needs the itemset \[.*\], which itemsets does not have"):
        rules_from_mlxtend(rules, from_mlxtend(their_itemsets(BASKETS, 3), basket_count=6))


def test_a_table_is_not_taken_for_itemsets():
    itemsets = their_itemsets(BASKETS, 3)
    rules = their_rules(itemsets, 6, min_threshold=0)
    with pytest.raises(SchemaError, match=r"rules_from_mlxtend: expected Itemsets, got DataFrame"):
        rules_from_mlxtend(rules, itemsets)


def test_rules_of_other_baskets_are_refused():
    rules = pd.DataFrame({"antecedents": [{"tea"}], "consequents": [{"milk"}], "support": [2 / 6]})
    with pytest.raises(SchemaError, match=r"\['milk', 'tea'\] is in 3 of the 6 baskets of itemsets, and the rule says"):
        rules_from_mlxtend(rules, from_mlxtend(their_itemsets(BASKETS, 3), basket_count=6))


def test_empty_frames_come_back_empty():
    nothing = their_itemsets([["tea"], ["jam"]], 2)
    assert len(from_mlxtend(nothing, basket_count=2)) == 0
    assert len(to_mlxtend(from_mlxtend(nothing, basket_count=2))) == 0


# -- the tree of sets ----------------------------------------------------------------------------------------------


def arrays(sets):
    starts = np.cumsum([0, *map(len, sets)])
    return starts, np.array([code for itemset in sets for code in itemset], np.int32)


def test_tree_of_sets_by_hand_in_any_order():
    sets = [(2, 0), (1,), (0,), (2,), (1, 2, 0), (1, 2), (0, 1)]
    tree, rows = tree_of_sets(*arrays(sets), np.array([3, 6, 5, 7, 1, 4, 2]), 3, 10)
    assert tree.item.tolist() == [0, 1, 2, 1, 2, 2, 2]
    assert tree.parent.tolist() == [-1, -1, -1, 0, 0, 1, 3]
    assert tree.count.tolist() == [5, 6, 7, 2, 3, 4, 1]
    assert rows.tolist() == [4, 1, 0, 2, 6, 5, 3]
    assert (tree.item_total, tree.basket_count) == (3, 10)
    assert {array.dtype for array in (tree.item, tree.parent, tree.count, rows)} == {np.dtype("int32")}


def test_tree_of_sets_refuses_what_lacks_its_first_items_or_comes_twice():
    with pytest.raises(MissingSetError, match=r"the set \[0, 1\] is not"):
        tree_of_sets(*arrays([(0,), (1, 0, 2)]), np.array([2, 1]), 3, 3)
    with pytest.raises(ValueError, match="twice"):
        tree_of_sets(*arrays([(0,), (1,), (1, 0), (0, 1)]), np.array([2, 2, 1, 1]), 2, 3)
