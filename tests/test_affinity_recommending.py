"""What recommendations promise: the best rule of each suggestion, found by hand and by brute force."""

import datetime as dt
import pickle
import re
from itertools import combinations

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from crmlytics import Products, Transactions
from crmlytics._frames import collect, plan_of
from crmlytics._kernels.itemset_tree import ItemsetTree
from crmlytics._kernels.rule_matching import best_rules, trie_of
from crmlytics.affinity.cross_selling import cross_sell_table
from crmlytics.affinity.itemsets import frequent_itemsets
from crmlytics.affinity.recommending import RuleRecommender
from crmlytics.affinity.rules import association_rules
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame

ITEMS = 6


def tree_of(sets):
    """Some itemsets and all their prefixes as a tree, shorter ones first; counts do not matter here."""
    prefixes = {itemset[:length] for itemset in sets for length in range(1, len(itemset) + 1)}
    ordered = sorted(prefixes, key=lambda itemset: (len(itemset), itemset))
    rows = {itemset: row for row, itemset in enumerate(ordered)}
    parent = [rows.get(itemset[:-1], -1) for itemset in ordered]
    item = np.array([itemset[-1] for itemset in ordered], np.int32)
    return ItemsetTree(item, np.array(parent, np.int32), np.ones(len(rows), np.int32), ITEMS, 1), rows


def as_arrays(carts):
    starts = np.cumsum([0, *map(len, carts)]).astype(np.int64)
    return starts, np.array([code for cart in carts for code in sorted(cart)], np.int32)


def matched(rules, carts, n):
    tree, rows = tree_of([antecedent for antecedent, _ in rules if antecedent])
    antecedents = np.array([rows.get(antecedent, -1) for antecedent, _ in rules], np.int32)
    trie = trie_of(tree, antecedents, np.array([consequent for _, consequent in rules], np.int32))
    return [[int(rank) for rank in row if rank >= 0] for row in best_rules(trie, *as_arrays(carts), n)]


def by_brute_force(rules, cart, n):
    best = {}
    for rank, (antecedent, consequent) in enumerate(rules):
        if set(antecedent) <= cart and consequent not in cart:
            best.setdefault(consequent, rank)
    return sorted(best.values())[:n]


RULES = [(a, c) for size in range(4) for a in combinations(range(ITEMS), size) for c in range(ITEMS) if c not in a]


@given(
    rules=st.lists(st.sampled_from(RULES), unique=True, max_size=60),
    carts=st.lists(st.sets(st.integers(0, ITEMS - 1)), min_size=1, max_size=8),
    n=st.integers(1, 5),
)
def test_the_best_rules_are_those_of_a_search_through_all(rules, carts, n):
    assert matched(rules, carts, n) == [by_brute_force(rules, cart, n) for cart in carts]


def test_every_cart_of_many_chunks_is_matched():
    rules = [((0,), 1), ((0, 2), 3), ((4,), 5)]
    carts = [{0}, {0, 2}, {4, 5}, set()] * 2500
    assert matched(rules, carts, 2) == [[0], [0, 1], [], []] * 2500


def test_a_node_with_many_children_finds_them_as_well():
    rules = [((0, item), 99) for item in range(1, 90)]
    tree = ItemsetTree(
        np.array([0, *range(1, 90)], np.int32), np.array([-1] + [0] * 89, np.int32), np.ones(90, np.int32), 100, 1
    )
    trie = trie_of(tree, np.arange(1, 90, dtype=np.int32), np.array([c for _, c in rules], np.int32))
    found = best_rules(trie, *as_arrays([{0, 40, 95}, {0, 89}, {1, 2}, {0, 90}]), 1)
    assert found[:, 0].tolist() == [39, 88, -1, -1]


# -- recommending --------------------------------------------------------------------------------------------------

# four baskets: tea in 3, milk in 2, lemon and rice in 1; tea with milk twice, with lemon once
ORDERS = {
    "order_id": [1, 1, 2, 2, 3, 3, 4],
    "product_id": ["tea", "milk", "milk", "tea", "tea", "lemon", "rice"],
}
MARGINS = {"tea": 1.0, "milk": 3.0, "lemon": 12.0}
COLUMNS = ["basket_number", "rank", "product_id", "confidence", "lift", "because", "basket_count"]


def fitted(margin=None, **options):
    return RuleRecommender(**{"min_support": 1, **options}).fit(pd.DataFrame(ORDERS), margin=margin)


def rows(table):
    """Rows of any dataframe in its own order; lists as lists."""
    return [tuple(row.values()) for row in collect(plan_of(table)).to_arrow().to_pylist()]


def test_a_live_cart_gets_the_suggestions_counted_by_hand():
    table = fitted().recommend(["tea"])
    assert list(table.columns) == COLUMNS
    assert rows(table) == [
        (0, 1, "milk", pytest.approx(2 / 3), pytest.approx(4 / 3), ["tea"], 2),
        (0, 2, "lemon", pytest.approx(1 / 3), pytest.approx(4 / 3), ["tea"], 1),
    ]
    assert [str(kind) for kind in table.dtypes] == [
        "int64", "int64", "str", "float64", "float64", "list<item: string>[pyarrow]", "int64",
    ]  # fmt: skip


def test_what_the_cart_makes_likelier_comes_before_what_everybody_buys():
    """Milk is in 18 of 20 baskets and in 5 of 5 with tea; lemon is in 4 of 20, all with tea."""
    carts = [["milk", "tea", "lemon"]] * 4 + [["milk", "tea"]] + [["milk"]] * 13 + [["rice"]] * 2
    lines = [(order, item) for order, items in enumerate(carts) for item in items]
    orders = pd.DataFrame(lines, columns=["order_id", "product_id"])
    table = RuleRecommender(min_support=1).fit(orders).recommend(["tea"])
    assert rows(table[["product_id", "confidence"]]) == [("lemon", 0.8), ("milk", 1.0)]  # .8 - .2 before 1 - .9
    by_confidence = RuleRecommender(min_support=1, rank_by="confidence").fit(orders).recommend(["tea"])
    assert by_confidence["product_id"].tolist() == ["milk", "lemon"]


def test_several_carts_are_numbered_and_one_without_a_rule_has_no_row():
    table = fitted().recommend([["milk", "tea"], ["rice"], [], ("lemon", "lemon", "unheard of"), {"milk"}], n=1)
    assert [(row[0], row[1], row[2], row[5]) for row in rows(table)] == [
        (0, 1, "lemon", ["tea"]),
        (3, 1, "tea", ["lemon"]),
        (4, 1, "tea", ["milk"]),
    ]


def test_order_lines_of_every_kind_are_answered_in_kind(frame):
    recommender = RuleRecommender(min_support=1).fit(frame(ORDERS))
    carts = frame({"order_id": [12, 11, 11, 13], "product_id": ["rice", "tea", "milk", "tea"]})
    table = recommender.recommend(carts, n=1)
    assert type(table) is type(carts)
    assert [row[:3] + row[5:] for row in rows(table)] == [(11, 1, "lemon", ["tea"], 1), (13, 1, "milk", ["tea"], 2)]


def test_customers_and_days_are_named_where_they_are_known():
    lines = pd.DataFrame(
        {
            "customer_id": ["x", "x", "y", "y"],
            "order_id": [1, 1, 1, 2],  # both have an order 1
            "product_id": ["tea", "milk", "tea", "milk"],
            "timestamp": pd.to_datetime(
                ["2024-01-01 10:00", "2024-01-01 12:00", "2024-01-02 08:00", "2024-01-02 09:00"]
            ),
        }
    )
    by_order = fitted().recommend(lines, n=1)
    found = rows(by_order[["order_id", "customer_id", "product_id"]])
    assert found == [(1, "x", "lemon"), (1, "y", "milk"), (2, "y", "tea")]
    daily = RuleRecommender(min_support=1, basket=("customer_id", "1d"), fill_with_popular=True).fit(lines)
    tea_today = lines.drop(columns="order_id").head(1)
    table = daily.recommend(tea_today, n=1)
    assert table.iloc[0][["customer_id", "basket_start", "product_id"]].tolist() == [
        "x", pd.Timestamp("2024-01-01"), "milk",
    ]  # fmt: skip


def test_popular_items_fill_up_with_an_empty_reason():
    table = fitted(fill_with_popular=True).recommend([["rice"], ["tea"], []], n=3)
    assert rows(table)[:3] == [
        (0, 1, "tea", 0.75, 1.0, [], 3),
        (0, 2, "milk", 0.5, 1.0, [], 2),
        (0, 3, "lemon", 0.25, 1.0, [], 1),
    ]
    assert [(row[2], row[5]) for row in rows(table)[3:]] == [
        ("milk", ["tea"]), ("lemon", ["tea"]), ("rice", []),  # rules first
        ("tea", []), ("milk", []), ("lemon", []),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["pandas", "polars", "duckdb"])
def test_nothing_to_suggest_is_a_table_of_the_same_columns(kind):
    recommender = RuleRecommender(min_support=1).fit(make_frame(ORDERS, kind))
    empty, full = recommender.recommend(["rice"]), recommender.recommend(["tea"])
    assert rows(empty) == []
    assert nw.from_native(empty).collect_schema() == nw.from_native(full).collect_schema()


def test_rules_over_a_hierarchy_fire_for_what_stands_above_the_cart():
    products = pd.DataFrame(
        {
            "product_id": ["tea", "milk", "lemon", "rice", "oats"],
            "category": ["drink", "drink", "fruit", "food", "food"],
        }
    )
    itemsets = frequent_itemsets(pd.DataFrame(ORDERS), 1, hierarchy=products)
    recommender = RuleRecommender().fit(association_rules(itemsets, consequent=["lemon", "milk"]), margin=MARGINS)
    table = recommender.recommend([["tea"], ["rice"]], n=1)
    assert rows(table[["basket_number", "product_id", "because"]]) == [(0, "milk", ["tea"])]
    above = RuleRecommender().fit(association_rules(itemsets).with_items(antecedent="category: drink"), margin=MARGINS)
    table = above.recommend(["milk"])
    assert rows(table[["product_id", "confidence", "because"]]) == [
        ("category: fruit", pytest.approx(1 / 3), ["category: drink"]),
        ("lemon", pytest.approx(1 / 3), ["category: drink"]),
    ]
    assert table["associated_margin_amount"].tolist() == pytest.approx([np.nan, 1.0], nan_ok=True)


# -- margins -------------------------------------------------------------------------------------------------------


def test_the_associated_margin_is_the_gain_in_probability_times_the_margin():
    table = fitted(MARGINS).recommend(["tea"])
    assert table["associated_margin_amount"].tolist() == pytest.approx([(2 / 3 - 2 / 4) * 3, (1 / 3 - 1 / 4) * 12])


def test_ranked_by_associated_margin_and_an_item_without_one_is_never_suggested():
    assert fitted(MARGINS, rank_by="associated_margin").recommend(["tea"])["product_id"].tolist() == ["lemon", "milk"]
    with pytest.warns(DataQualityWarning, match=r"fit: 1 items that rules suggest have no margin: .* never suggested"):
        recommender = fitted({"tea": 1.0, "milk": 3.0}, rank_by="associated_margin")
    assert recommender.recommend(["tea"])["product_id"].tolist() == ["milk"]


def test_products_give_price_less_cost_and_unknown_is_null():
    products = Products(pd.DataFrame({"product_id": ["milk", "lemon"], "price": [5.0, 9.0], "cost": [2.0, None]}))
    table = fitted(products).recommend(["tea"])
    assert rows(table[["product_id", "associated_margin_amount"]]) == [("milk", pytest.approx(0.5)), ("lemon", None)]


@pytest.mark.parametrize("unknown", [float("nan"), np.nan, None])
def test_a_margin_that_is_nan_is_not_known(unknown):
    table = fitted({"milk": 3.0, "lemon": unknown}).recommend(["tea"])
    assert rows(table[["product_id", "associated_margin_amount"]]) == [("milk", pytest.approx(0.5)), ("lemon", None)]
    with pytest.raises(SchemaError, match=r"margin has none of the items, such as .* it has nothing"):
        fitted({"lemon": unknown})


@pytest.mark.parametrize("kind", ["float64", "Float64"])
def test_margins_can_be_a_series(kind):
    margin = pd.Series({"milk": 3.0, "lemon": None}, dtype=kind)
    table = fitted(margin).recommend(["tea"])
    assert rows(table[["product_id", "associated_margin_amount"]]) == [("milk", pytest.approx(0.5)), ("lemon", None)]
    with pytest.raises(SchemaError, match="margin has 'milk' more than once in its index"):
        fitted(pd.Series([1.0, 2.0], index=["milk", "milk"]))


def test_says_what_is_wrong_with_margins():
    with pytest.raises(SchemaError, match=r"rank_by=\"associated_margin\" needs margins\. Add margin="):
        fitted(rank_by="associated_margin")
    with pytest.raises(SchemaError, match=r"margin\['tea'\] must be an amount per basket, got '1'"):
        fitted({"tea": "1"})
    with pytest.raises(SchemaError, match=r"margin has none of the items, such as 'lemon', .* it has 'coffee'"):
        fitted({"coffee": 2.0})
    with pytest.raises(SchemaError, match=r"margin must be a mapping such as .* got list"):
        fitted([1.0, 2.0])
    lines = pd.DataFrame(ORDERS).rename(columns={"product_id": "category"})
    products = Products(pd.DataFrame({"product_id": ["tea"], "price": [1.0], "cost": [0.5]}))
    with pytest.raises(SchemaError, match=r"Products has margins by product_id, and item is \"category\""):
        RuleRecommender(min_support=1, item="category").fit(lines, margin=products)


# -- the estimator -------------------------------------------------------------------------------------------------


def test_clone_pickle_and_a_second_fit_leave_it_the_same():
    recommender = fitted(MARGINS, rank_by="lift")
    expected = rows(recommender.recommend(["tea"]))
    again = pickle.loads(pickle.dumps(recommender))  # noqa: S301  our own bytes
    assert rows(again.recommend(["tea"])) == expected
    fresh = clone(recommender)
    assert fresh.get_params() == recommender.get_params()
    with pytest.raises(NotFittedError):
        fresh.recommend(["tea"])
    assert fresh.fit(pd.DataFrame(ORDERS).iloc[::-1], margin=MARGINS) is fresh
    assert rows(fresh.recommend(["tea"])) == expected
    assert all(name.endswith("_") for name in set(vars(fresh)) - set(fresh.get_params()))


def test_rules_can_be_given():
    rules = association_rules(frequent_itemsets(pd.DataFrame(ORDERS), 1), min_confidence=0.1, max_consequent_len=2)
    table = RuleRecommender(rank_by="lift").fit(rules).recommend(["tea"])
    assert table["product_id"].tolist() == ["milk", "lemon"]


def test_rules_that_suggest_several_items_at_once_are_left_out():
    orders = pd.DataFrame({"order_id": [1, 1, 1, 2], "product_id": ["tea", "milk", "lemon", "rice"]})
    rules = association_rules(frequent_itemsets(orders, 1), max_consequent_len=2)
    assert RuleRecommender().fit(rules).recommend(["tea"])["product_id"].tolist() == ["lemon", "milk"]
    several = rules.take(np.flatnonzero(rules.itemsets.tree.parent[rules.consequent] >= 0))
    with pytest.raises(SchemaError, match=r"none of the 3 rules suggests a single item.*max_consequent_len=1"):
        RuleRecommender().fit(several)


def test_says_when_there_is_nothing_to_recommend_by():
    with pytest.raises(SchemaError, match=r"no rule has a support of 3, .* Lower min_support or min_confidence"):
        fitted(min_support=3)
    assert fitted(min_support=3, fill_with_popular=True).recommend([[]])["product_id"].tolist() == ["tea"]


def test_says_when_there_are_no_rules():
    none = association_rules(frequent_itemsets(pd.DataFrame(ORDERS), 3))
    with pytest.raises(
        SchemaError, match=r"RuleRecommender\.fit: there are no rules to recommend by\. .*lower min_supp"
    ):
        RuleRecommender().fit(none)
    with pytest.raises(SchemaError, match=r"fit: expected a RuleSet, got Itemsets. Type association_rules\("):
        RuleRecommender().fit(none.itemsets)


@pytest.mark.parametrize("kind", [np.array, pd.Series, pl.Series, lambda ids: pa.chunked_array([ids]), tuple])
def test_a_cart_can_be_an_array_or_a_series(kind):
    expected = rows(fitted().recommend(["tea", "rice"]))
    assert expected
    assert rows(fitted().recommend(kind(["tea", "rice"]))) == expected
    assert rows(fitted().recommend([kind(["tea", "rice"])])) == expected
    orders = pd.DataFrame(ORDERS).assign(product_id=[1, 2, 2, 1, 1, 3, 4])
    numbered = RuleRecommender(min_support=1).fit(orders)
    assert rows(numbered.recommend(kind([1, 4]))) == rows(numbered.recommend([1, 4])) != []


def test_says_what_a_cart_is():
    for cart in ("tea", 7, ["tea", ["milk"]]):
        with pytest.raises(SchemaError, match=r"baskets must be a cart such as \[\"tea\", \"milk\"\]"):
            fitted().recommend(cart)
    with pytest.raises(SchemaError, match="n must be a whole number of at least 1, got 0"):
        fitted().recommend(["tea"], n=0)


def test_warns_when_no_item_is_known():
    with pytest.warns(DataQualityWarning, match=r"no item of the baskets \(22, 23\) is among the 4 frequent ones"):
        fitted().recommend([22, 23])
    lines = pd.DataFrame({"order_id": [1], "product_id": ["Tea"]})
    with pytest.warns(DataQualityWarning, match="no item of the baskets is among the 4 frequent ones"):
        fitted().recommend(lines)


@settings(max_examples=25)
@given(
    baskets=st.lists(st.sets(st.integers(1, 6), min_size=1), min_size=2, max_size=12),
    cart=st.sets(st.integers(1, 6)),
    measure=st.sampled_from(["confidence", "lift", "added_value"]),
)
def test_suggestions_are_the_best_rules_of_all(baskets, cart, measure):
    lines = [(number, item) for number, basket in enumerate(baskets) for item in basket]
    orders = pd.DataFrame(lines, columns=["order_id", "product_id"])
    recommender = RuleRecommender(
        min_support=1, min_confidence=0.2, max_len=None, rank_by=measure, fill_with_popular=True
    ).fit(orders)
    cart &= set().union(*baskets)
    found = [row for row in rows(recommender.recommend(cart, n=6)) if row[5]]
    share = lambda items: sum(items <= basket for basket in baskets) / len(baskets)  # noqa: E731
    best = {}
    for size in range(1, len(cart) + 1):
        for reason in map(set, combinations(sorted(cart), size)):
            for item in {item for basket in baskets for item in basket} - cart:
                both = share(reason | {item})
                if both and both > share(reason) * share({item}) + 1e-12 and both / share(reason) >= 0.2 - 1e-12:
                    value = {"confidence": both / share(reason), "lift": both / share(reason) / share({item})}
                    value["added_value"] = value["confidence"] - share({item})
                    best[item] = max(best.get(item, 0), value[measure])
    strength = {
        "confidence": lambda row: row[3],
        "lift": lambda row: row[4],
        "added_value": lambda row: row[3] - row[3] / row[4],
    }[measure]
    assert {row[2]: strength(row) for row in found} == pytest.approx(best)
    values = [round(strength(row), 12) for row in found]
    assert values == sorted(values, reverse=True)


def test_online_retail_like_counting_lines(shared_data):
    lines = pd.read_parquet(shared_data / "online_retail.parquet")
    lines = lines[(lines["Quantity"] > 0) & (lines["UnitPrice"] > 0) & lines["CustomerID"].notna()]
    sales = Transactions(lines, customer_id="CustomerID", order_id="InvoiceNo", timestamp="InvoiceDate",
                         product_id="StockCode", quantity="Quantity", unit_price="UnitPrice")  # fmt: skip
    recommender = RuleRecommender(min_support=0.005, min_confidence=0.3).fit(sales)
    held = lines.groupby("StockCode")["InvoiceNo"].agg(set)
    baskets = lines["InvoiceNo"].nunique()
    table = recommender.recommend(["22697", "22699"], n=3)  # green and roses Regency teacups
    assert table["product_id"].iloc[0] == "22698"  # the pink one
    for row in table.itertuples():
        reason = set.intersection(*(held[item_id] for item_id in row.because))
        both = reason & held[row.product_id]
        assert row.basket_count == len(both)
        assert row.confidence == pytest.approx(len(both) / len(reason))
        assert row.lift == pytest.approx(len(both) / len(reason) / (len(held[row.product_id]) / baskets))


# -- cross-selling -------------------------------------------------------------------------------------------------

DAY = dt.datetime(2024, 1, 1)
AS_OF = dt.datetime(2024, 2, 1)
# phones: 1 2 3; cases: 1 2 (2's in another order); 4 owns a radio, and sent the phone back
BOUGHT = {
    "customer_id": [1, 1, 2, 2, 3, 4, 4, 4],
    "order_id": [1, 1, 2, 3, 4, 5, 6, 7],
    "product_id": ["phone", "case", "phone", "case", "phone", "radio", "phone", "phone"],
    "quantity": [1, 1, 1, 1, 1, 1, 1, -1],
    "timestamp": [DAY + dt.timedelta(day) for day in range(8)],
}
FUTURE = {
    "customer_id": [3, 3, 4],
    "order_id": [8, 9, 10],
    "product_id": ["case", "radio", "phone"],
    "quantity": [1, 1, 9],
    "timestamp": [AS_OF, AS_OF + dt.timedelta(1), dt.datetime(2030, 1, 1)],
}
SUGGESTED = [(3, 1, "case", pytest.approx(2 / 3), pytest.approx(4 / 3), ["phone"], 2)]


def test_cross_selling_by_hand_and_nothing_of_the_future_on_every_kind(frame):
    bought = frame({name: values + FUTURE[name] for name, values in BOUGHT.items()})
    table = cross_sell_table(bought, as_of="2024-02-01", min_customer_count=2)
    assert type(table) is type(bought)
    assert rows(table) == SUGGESTED


def test_cross_selling_names_customers_not_baskets():
    table = cross_sell_table(pd.DataFrame(BOUGHT), as_of=AS_OF, min_customer_count=2, margin={"case": 6.0})
    assert list(table.columns) == [
        "customer_id", "rank", "product_id", "owning_share", "lift", "because", "customer_count",
        "associated_margin_amount",
    ]  # fmt: skip
    assert table["associated_margin_amount"].tolist() == pytest.approx([(2 / 3 - 2 / 4) * 6])


def test_letters_offer_what_is_likelier_for_the_owner_before_what_everybody_owns():
    """Of 201 customers 180 own milk and 40 a lemon; of the 51 with tea 50 own milk and 40 a lemon."""
    owned = [["milk", "tea", "lemon"]] * 40 + [["milk", "tea"]] * 10 + [["milk"]] * 130 + [["rice"]] * 20 + [["tea"]]
    lines = [(who, who, item, DAY) for who, items in enumerate(owned) for item in items]
    sales = pd.DataFrame(lines, columns=["customer_id", "order_id", "product_id", "timestamp"])
    table = cross_sell_table(sales, as_of=AS_OF)
    assert rows(table.loc[table["customer_id"] == 200, ["product_id", "owning_share"]]) == [
        ("lemon", pytest.approx(40 / 51)),
        ("milk", pytest.approx(50 / 51)),
    ]


def test_cross_selling_says_when_nothing_lies_before_as_of(frame):
    with pytest.raises(SchemaError, match=r"cross_sell_table: no line lies before as_of=2009-01-01 00:00. Check as_of"):
        cross_sell_table(frame(BOUGHT), as_of="2009-01-01")


def test_cross_selling_says_what_it_needs():
    with pytest.raises(SchemaError, match=r'cross_sell_table: as_of must be a date such as as_of="2011-12-10"'):
        cross_sell_table(pd.DataFrame(BOUGHT), as_of="tomorrow")
    with pytest.raises(MissingColumnsError, match=r"cross_sell_table needs \['category'\]"):
        cross_sell_table(pd.DataFrame(BOUGHT), as_of=AS_OF, item="category")
    with pytest.raises(SchemaError, match=r"cross_sell_table: item must be one of \['product_id', .*got 'colour'"):
        cross_sell_table(pd.DataFrame(BOUGHT), as_of=AS_OF, item="colour")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"min_customer_count": 3},
            "no rule has a support of 0.01, 3 customers or more, a confidence of 0.1 and a lift",
        ),
        ({"min_customer_count": 0}, "min_customer_count must be a whole number of at least 1, got 0"),
        ({"min_customer_count": 2, "rank_by": "gain"}, "no measure is called 'gain'"),
        (
            {"min_customer_count": 2, "rank_by": "associated_margin"},
            'rank_by="associated_margin" needs margins. Add mar',
        ),
        (
            {"min_customer_count": 2, "margin": {"pen": 1.0}},
            "margin has none of the items, such as 'radio', 'case', 'ph",
        ),
        ({"min_customer_count": 2, "n": 0}, "n must be a whole number of at least 1, got 0"),
    ],
)
def test_what_is_wrong_is_told_in_the_name_of_cross_selling(options, told):
    with pytest.raises(SchemaError, match=re.escape(f"cross_sell_table: {told}")):
        cross_sell_table(pd.DataFrame(BOUGHT), as_of=AS_OF, **options)


@pytest.mark.parametrize(("both", "suggested"), [(29, 0), (30, 10)])
def test_fewer_than_thirty_customers_are_no_reason_for_a_suggestion(both, suggested):
    """Of 100 customers ``both`` own a phone and a case, 10 a phone only: 1 in 100 would do for min_support alone."""
    owned = [["phone", "case"]] * both + [["phone"]] * 10 + [["radio"], ["radio", "aerial"]] * 30
    lines = [(who, item) for who, items in enumerate(owned) for item in items]
    sales = pd.DataFrame(lines, columns=["customer_id", "product_id"]).assign(timestamp=DAY)
    sales["order_id"] = sales["customer_id"]
    table = cross_sell_table(sales, as_of=AS_OF)
    assert (table["product_id"] == "case").sum() == suggested
    assert (table["customer_count"] >= 30).all()
    assert set(table["product_id"]) == {"case", "aerial"} if suggested else {"aerial"}
