"""What describe_rules promises: sentences with numbers counted by hand, findings that differ, words of caution."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics.affinity.describing import describe_rules
from crmlytics.affinity.itemsets import frequent_itemsets
from crmlytics.affinity.rules import association_rules
from crmlytics.exceptions import SchemaError
from crmlytics.testing import records

PAIR = {"tea milk": 30, "tea": 10, "milk": 5, "rice": 55}
BUNDLE = {"a b c": 40, "a": 30, "b": 30, "c": 10, "x": 90}


def order_lines(carts):
    """Turn {"tea milk": 30} into the lines of 30 baskets with tea and milk."""
    filled = [cart for cart, times in carts.items() for _ in range(times)]
    lines = [(number, item) for number, cart in enumerate(filled) for item in cart.split()]
    return {"order_id": [number for number, _ in lines], "product_id": [item for _, item in lines]}


def rules_of(carts, *, least=1, max_len=None, **limits):
    lines = pd.DataFrame(order_lines(carts))
    return association_rules(frequent_itemsets(lines, min_support=least, max_len=max_len), **limits)


def described(carts, **options):
    return describe_rules(rules_of(carts), **options)


def firsts(column):
    """Return the first item of each list."""
    return [items[0] for items in column]


# -- the sentences -------------------------------------------------------------------------------------------------


def test_a_pair_is_told_once_in_its_more_confident_direction():
    (row,) = described(PAIR).to_dict("records")
    assert row["finding"] == (
        "Who buys milk also buys tea 2.1 times as often as usual: 30 of 35 baskets (86%), 16 more than by chance. "
        "The other way round it is 75%."
    )
    assert (row["rank"], row["kind"]) == (1, "pair")
    assert (list(row["antecedent"]), list(row["consequent"])) == (["milk"], ["tea"])
    assert (row["basket_count"], row["antecedent_count"]) == (30, 35)
    assert row["extra_basket_count"] == pytest.approx(30 - 35 * 40 / 100)
    assert row["confidence"] == pytest.approx(30 / 35)
    assert row["lift"] == pytest.approx(30 * 100 / (35 * 40))


def test_the_other_way_round_is_left_out_where_it_is_weak():
    weak = {"tea milk": 30, "tea": 20, "milk": 5, "rice": 145}  # 30 of 50 against 30 of 35: less than four fifths
    assert described(weak)["finding"].tolist() == [
        "Who buys milk also buys tea 3.4 times as often as usual: 30 of 35 baskets (86%), 21 more than by chance."
    ]


def test_a_bundle_says_what_its_parts_do_alone():
    row = described(BUNDLE).iloc[0]
    assert row["kind"] == "bundle"
    assert row["finding"] == (
        "a, b and c often go together. Who buys a and b also buys c 4.0 times as often as usual: 40 of 40 baskets "
        "(100%). With one of the two it is 57% at best."
    )


def test_near_certain_rules_are_doubted():
    row = described({"cup saucer": 95, "cup": 5, "saucer": 45, "x": 255}).iloc[0]
    assert row["kind"] == "near_certain"
    assert row["finding"] == (
        "Who buys cup nearly always buys saucer: 95 of 100 baskets (95%), 2.7 times as often as usual. Perhaps they "
        "belong together: look before offering one as an extra."
    )


def test_what_is_seldom_together_is_told_as_such():
    row = described({"tea coffee": 40, "tea": 160, "coffee": 160, "x": 40}).iloc[0]
    assert row["kind"] == "seldom"
    assert row["finding"] == (
        "Who buys coffee seldom buys tea: 40 of 200 baskets (20%), where chance gives 100. Perhaps one replaces the "
        "other."
    )
    assert row["extra_basket_count"] == -60


def test_what_is_just_below_chance_is_no_finding():
    assert len(described({"tea coffee": 80, "tea": 120, "coffee": 120, "x": 80})) == 0


def test_a_driver_says_to_how_many_items_it_leads():
    others = [f"i{number:02}" for number in range(11)]
    carts = {f"bread {' '.join(others)}": 60, "bread": 40, "x": 1000} | dict.fromkeys(others, 50)
    row = describe_rules(rules_of(carts, max_len=2)).iloc[0]
    assert row["kind"] == "driver"
    assert row["finding"].startswith("Who buys bread also buys i")
    told = row["consequent"][0]
    first, second = [item for item in others if item != told][:2]
    assert row["finding"].endswith(
        f"bread also goes with 10 other items at least twice as often as usual, above all {first} and {second}."
    )


def test_a_driver_names_what_belongs_to_it_before_the_best_seller_and_what_is_rare():
    others = [f"i{number:02}" for number in range(9)]
    carts = {"bread butter": 150, "bread milk": 90, "bread honey": 50, "milk": 130, "honey": 5, "x": 900}
    carts |= {f"bread {' '.join(others)}": 30} | dict.fromkeys(others, 40)
    row = describe_rules(rules_of(carts, max_len=2, min_confidence=0.01, antecedent="bread"), n=1).iloc[0]
    # baskets beyond chance: milk 49, honey 40, i00 17; lift: honey 4.9, i00 2.3, milk 2.2
    assert row["finding"].endswith(" 11 other items at least twice as often as usual, above all honey and milk.")


def test_few_baskets_make_no_driver():
    others = [f"i{number:02}" for number in range(11)]
    carts = {f"bread {' '.join(others)}": 20, "bread": 15, "x": 500} | dict.fromkeys(others, 16)
    row = describe_rules(rules_of(carts, max_len=2)).iloc[0]
    assert (list(row["antecedent"]), row["kind"]) == (["bread"], "pair")


def test_few_baskets_and_chance_are_cautioned():
    few = described({"tea milk": 29, "tea": 10, "milk": 5, "rice": 55})["finding"][0]
    assert few.endswith(" Only 29 baskets: wait for more before acting on it.")
    chance = described({"tea milk": 30, "tea": 70, "milk": 70, "x": 230})["finding"][0]  # 25 expected, 34 in 1 of 100
    assert chance.endswith(" Now and then chance alone gives so many: wait for more data.")
    assert "wait" not in described({"tea milk": 40, "tea": 60, "milk": 60, "x": 240})["finding"][0]


def test_what_is_not_all_is_not_written_as_100_per_cent():
    carts = {"cup saucer": 999, "cup": 1, "x": 1000}
    row = describe_rules(rules_of(carts, antecedent="cup")).iloc[0]
    assert "999 of 1,000 baskets (99.9%)" in row["finding"]


def test_customers_are_called_customers():
    lines = pd.DataFrame(order_lines(PAIR)).rename(columns={"order_id": "customer_id"})
    rules = association_rules(frequent_itemsets(lines, min_support=1, basket="customer_id"))
    assert "30 of 35 customers (86%)" in describe_rules(rules)["finding"][0]


# -- the choice ----------------------------------------------------------------------------------------------------


def test_another_pair_comes_before_the_third_of_three_alike():
    carts = {"a b c": 50, "a": 5, "b": 5, "c": 5, "tea milk": 30, "tea": 30, "milk": 30, "x": 400}
    found = describe_rules(rules_of(carts, max_len=2))
    assert [set(row.antecedent) | set(row.consequent) for row in found[:2].itertuples()] == [
        {"a", "b"},
        {"tea", "milk"},
    ]
    assert len(found) == 4


def test_many_baskets_outweigh_a_high_lift_of_few():
    carts = {"tea milk": 500, "tea": 300, "milk": 300, "rare rarer": 3, "x": 2000}
    found = described(carts)
    assert list(found["lift"].round()) == [2, 1034]
    assert found["basket_count"].tolist() == [500, 3]


def test_n_is_the_most_findings():
    assert len(described(BUNDLE, n=2)) == 2
    assert described(BUNDLE, n=2)["finding"].tolist() == described(BUNDLE, n=10)["finding"].tolist()[:2]


def test_redundant_bundles_are_not_told():
    carts = {"a b c": 20, "a b": 20, "a c": 20, "a": 20, "b": 20, "x": 100}  # half of a have c, with b or without
    assert "bundle" not in set(described(carts)["kind"])


def test_after_two_pairs_a_weaker_bundle_has_its_turn():
    pairs = {f"p{i} q{i}": 20 for i in range(5)}  # 19 baskets beyond chance, at a lift of 15
    found = described(pairs | BUNDLE)  # 17 beyond the better of its parts, at a lift of 6
    assert [kind == "bundle" for kind in found["kind"][:5]] == [False, False, True, False, False]


CARTS = st.sampled_from(["a", "b", "a b", "a b c", "c d", "a d", "b c d", "e"])


@given(carts=st.dictionaries(CARTS, st.integers(1, 60), min_size=1))
@settings(max_examples=30)
def test_no_items_are_told_twice_and_every_number_is_of_its_rule(carts):
    rules = rules_of(carts)
    found = describe_rules(rules, n=100)
    sets = [frozenset([*row.antecedent, *row.consequent]) for row in found.itertuples()]
    assert len(sets) == len(set(sets))
    known = {
        (tuple(row.antecedent), tuple(row.consequent)): (row.basket_count, row.antecedent_count, row.lift)
        for row in rules.to_frame().itertuples()
    }
    for row in found.itertuples():
        told = (row.basket_count, row.antecedent_count, row.lift)
        assert told == known[tuple(row.antecedent), tuple(row.consequent)]
        assert not 2 / 3 < row.lift <= 1


# -- margins and names ---------------------------------------------------------------------------------------------


def test_margins_move_what_earns_to_the_front():
    carts = {"tea milk": 60, "tea": 30, "milk": 30, "ring box": 30, "ring": 20, "box": 20, "x": 300}
    assert firsts(described(carts)["antecedent"]) == ["milk", "box"]
    found = described(carts, margin={"tea": 0.5, "milk": 0.4, "ring": 100.0, "box": 90.0})
    assert firsts(found["consequent"]) == ["ring", "tea"]
    extra = 30 - 50 * 50 / 490
    assert found["extra_margin_amount"][0] == pytest.approx(extra * 100)
    assert found["finding"][0].endswith(" The baskets beyond chance come with a margin of 2,490 on ring.")


def test_an_unknown_margin_weighs_as_an_average_one():
    carts = {"a b": 20, "c d": 20, "e f": 20, "x": 200}
    found = described(carts, margin={"a": 1.0, "b": 1.0, "c": 9.0, "d": 9.0})  # 5 for e and f
    assert [{*row.antecedent, *row.consequent} for row in found.itertuples()] == [{"c", "d"}, {"e", "f"}, {"a", "b"}]


def test_an_unknown_margin_stays_unknown():
    found = described(PAIR | {"x y": 9}, margin={"x": 1.0})
    row = firsts(found["consequent"]).index("tea")
    assert np.isnan(found["extra_margin_amount"][row])
    assert "margin" not in found["finding"][row]


def test_names_are_read_and_ids_stand_in_where_there_is_none():
    for names in ({"tea": "Green tea"}, pd.Series({"tea": "Green tea"})):
        assert described(PAIR, names=names)["finding"][0].startswith("Who buys milk also buys Green tea 2.1 times")


def test_names_are_written_in_one_line_and_missing_ones_are_ids():
    names = {"tea": " Green \n  tea ", "milk": float("nan")}
    assert described(PAIR, names=names)["finding"][0].startswith("Who buys milk also buys Green tea 2.1 times")


def test_refusals_say_what_to_type():
    rules = rules_of(PAIR)
    with pytest.raises(SchemaError, match=r"expected a RuleSet, got DataFrame. Give the rules before .to_frame\(\)"):
        describe_rules(rules.to_frame())
    with pytest.raises(SchemaError, match=r"names has none of the items, such as 'milk', 'tea', 'rice'; it has 1, 2\."):
        describe_rules(rules, names={1: "Tea", 2: "Milk"})
    with pytest.raises(SchemaError, match=r"names must be a mapping such as \{item_id: name\}, got list"):
        describe_rules(rules, names=["Tea"])
    with pytest.raises(SchemaError, match=r"names has 2 names for 1 ids\. Give each id one name"):
        describe_rules(rules, names=pd.Series(["Tea", "Ceylon tea"], index=["tea", "tea"]))
    with pytest.raises(SchemaError, match="n must be a whole number of at least 1"):
        describe_rules(rules, n=0)


# -- every kind of frame -------------------------------------------------------------------------------------------


def test_returns_the_kind_that_came_in_whatever_the_order_of_lines(frame):
    lines = order_lines(BUNDLE)
    order = np.random.default_rng(0).permutation(len(lines["order_id"]))
    shuffled = frame({name: [values[i] for i in order] for name, values in lines.items()})
    rules = association_rules(frequent_itemsets(shuffled, min_support=1))
    table = describe_rules(rules, margin={"c": 2.0})
    expected = describe_rules(rules_of(BUNDLE), margin={"c": 2.0})
    assert type(table) is type(shuffled)
    assert [row[:3] for row in records(table)] == [row[:3] for row in records(expected)]
    cells = [cell for row in records(table) for cell in row[3:5]]
    assert [list(ids) for ids in cells] == [list(ids) for row in records(expected) for ids in row[3:5]]
    assert [row[5:] for row in records(table)] == [row[5:] for row in records(expected)]


def test_no_rules_give_an_empty_table_with_all_columns():
    nothing = rules_of(PAIR, min_confidence=0.99)
    assert len(nothing) == 0
    found = describe_rules(nothing, margin={"tea": 1.0})
    assert len(found) == 0
    assert [str(dtype) for dtype in found.dtypes[["rank", "basket_count", "lift", "extra_margin_amount"]]] == [
        "int64", "int64", "float64", "float64",
    ]  # fmt: skip
