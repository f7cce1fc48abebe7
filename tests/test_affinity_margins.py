"""What margins promise: counted by hand on every frame, equal to brute force, nothing weighed without being asked."""

import warnings

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Products, Transactions
from crmlytics.affinity.itemsets import frequent_itemsets
from crmlytics.affinity.margins import item_margins, margin_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError

# tea earns 1 and 3, milk 0.25 twice, the pot 20; the baskets 1.25, 3.25, 20.25, in all 24.75
SALES = {
    "order_id": [1, 1, 2, 2, 3, 3],
    "product_id": ["tea", "milk", "tea", "milk", "pot", "milk"],
    "quantity": [1, 1, 2, 1, 1, 1],
    "amount": [4.0, 1.0, 9.0, 1.0, 50.0, 1.0],
    "cost": [3.0, 0.75, 6.0, 0.75, 30.0, 0.75],
}
COLUMNS = [
    *["itemset", "length", "basket_count", "support"],
    *["margin_amount", "basket_margin_amount", "margin_share"],
]


def rows(table, *columns):
    found = nw.from_native(table).lazy().collect().to_arrow()
    names = columns or found.column_names
    read = [found[name].to_pylist() for name in names]
    return [tuple(tuple(v) if isinstance(v, list) else v for v in row) for row in zip(*read, strict=True)]


# -- by hand -------------------------------------------------------------------------------------------------------


def test_counted_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = margin_table(frequent_itemsets(sales, min_support=1), sales)
    assert type(table) is type(sales)
    assert dict(nw.from_native(table).collect_schema()) == dict(
        zip(COLUMNS, [nw.List(nw.String), nw.Int64, nw.Int64, *[nw.Float64] * 4], strict=True)
    )
    share = 20.25 / 24.75
    assert rows(table) == [
        (("milk",), 1, 3, 1.0, 0.75, 24.75, 1.0),
        (("pot",), 1, 1, pytest.approx(1 / 3), 20.0, 20.25, pytest.approx(share)),
        (("milk", "pot"), 2, 1, pytest.approx(1 / 3), 20.25, 20.25, pytest.approx(share)),
        (("tea",), 1, 2, pytest.approx(2 / 3), 4.0, 4.5, pytest.approx(4.5 / 24.75)),
        (("milk", "tea"), 2, 2, pytest.approx(2 / 3), 4.5, 4.5, pytest.approx(4.5 / 24.75)),
    ]


def test_item_margins_are_means_per_basket_on_every_kind(frame):
    twice = {name: [*values, values[0]] for name, values in SALES.items()}  # another line of tea in order 1
    assert item_margins(frame(twice)) == {"milk": 0.25, "pot": 20.0, "tea": 2.5}


def test_margin_from_products_is_that_of_a_unit_times_quantity(frame):
    products = Products(frame({"product_id": ["milk", "pot", "tea"], "price": [1.0, 60, 4], "cost": [0.5, 30, 3]}))
    assert item_margins(frame(SALES), margin=products) == {"milk": 0.5, "pot": 30.0, "tea": 1.5}


def test_margin_as_a_share_of_the_amount():
    sales = pd.DataFrame(SALES)
    assert item_margins(sales, margin=0.5) == {"milk": 0.5, "pot": 25.0, "tea": 3.25}
    table = margin_table(frequent_itemsets(sales, 2), sales, margin=1)
    amounts = [(("milk",), 66.0), (("tea",), 15.0), (("milk", "tea"), 15.0)]
    assert rows(table, "itemset", "basket_margin_amount") == amounts


@pytest.mark.parametrize("kind", ["all", "closed", "maximal"])
@given(baskets=st.lists(st.sets(st.integers(0, 6), min_size=1), min_size=1, max_size=12))
def test_counts_of_every_kind_of_itemsets_are_those_that_were_mined(kind, baskets):
    pairs = [(number, item) for number, basket in enumerate(baskets) for item in basket]
    sales = pd.DataFrame({"order_id": [n for n, _ in pairs], "product_id": [i for _, i in pairs], "amount": 1.0})
    itemsets = frequent_itemsets(sales, 1, kind=kind)
    found = dict(rows(margin_table(itemsets, sales, margin=1.0), "itemset", "basket_count"))
    assert found == dict(rows(itemsets.to_frame(), "itemset", "basket_count"))


def test_transactions_with_other_ids_are_refused():
    sales = pd.DataFrame({"order_id": [1, 1, 2], "product_id": ["10", "11", "10"], "amount": 1.0})
    itemsets = frequent_itemsets(sales, 1)
    with pytest.raises(SchemaError, match="none of the 2 items of the itemsets was bought in these transactions"):
        margin_table(itemsets, sales.assign(product_id=[10, 11, 10]), margin=0.3)


def test_what_was_only_returned_has_no_margin():
    sales = pd.DataFrame({"order_id": [1, 2], "product_id": ["a", "b"], "quantity": [1, -1], "amount": [2.0, -2.0]})
    assert item_margins(sales, margin=0.5) == {"a": 1.0}


def test_lines_of_days_and_categories():
    sales = pd.DataFrame({
        "customer_id": ["a", "a", "b"], "order_id": [1, 2, 3], "category": ["FOOD", "TOYS", "FOOD"],
        "timestamp": pd.to_datetime(["2024-01-01 09:00", "2024-01-01 15:00", "2024-01-01 12:00"]),
        "amount": [2.0, 4.0, 3.0],
    })  # fmt: skip
    a_day = ("customer_id", "1d")
    found = frequent_itemsets(sales, 1, basket=a_day, item="category")
    assert rows(margin_table(found, sales, margin=1.0), "itemset", "margin_amount", "basket_margin_amount") == [
        (("FOOD",), 5.0, 9.0),
        (("TOYS",), 4.0, 6.0),
        (("FOOD", "TOYS"), 6.0, 6.0),
    ]
    assert item_margins(sales, margin=1.0, basket=a_day, item="category") == {"FOOD": 2.5, "TOYS": 4.0}


def test_a_category_earns_what_its_products_do():
    sales = pd.DataFrame(SALES)
    products = pd.DataFrame({"product_id": ["tea", "milk", "pot"], "category": ["DRINKS", "DRINKS", "POTS"]})
    found = frequent_itemsets(sales, min_support=1, hierarchy=products)
    table = {row[0]: row[1:] for row in rows(margin_table(found, sales), "itemset", "basket_count", "margin_amount")}
    assert table["category: DRINKS",] == (3, 4.75)
    assert table["category: DRINKS", "pot"] == (1, 20.25)
    assert table["milk", "tea"] == (2, 4.5)


def test_baskets_are_counted_anew_and_items_not_frequent_count_in_their_baskets():
    sales = pd.DataFrame(SALES)
    found = frequent_itemsets(sales, min_support=2)  # without the pot
    assert rows(margin_table(found, sales), "itemset", "basket_margin_amount")[0] == (("milk",), 24.75)
    later = sales[sales["order_id"] > 1]
    assert rows(margin_table(found, later), "itemset", "basket_count", "support", "margin_share") == [
        (("milk",), 2, 1.0, 1.0),
        (("tea",), 1, 0.5, pytest.approx(3.25 / 23.5)),
        (("milk", "tea"), 1, 0.5, pytest.approx(3.25 / 23.5)),
    ]


def test_the_least_share_is_included():
    sales = pd.DataFrame({"order_id": [1, 2, 3], "product_id": ["a", "b", "c"], "amount": [0.1, 0.2, 0.7]})
    found = frequent_itemsets(sales, min_support=1)
    kept = margin_table(found, sales, margin=1.0, min_margin_share=0.1)
    assert rows(kept, "itemset") == [(("c",),), (("b",),), (("a",),)]
    assert rows(margin_table(found, sales, margin=1.0, min_margin_share=0.2), "itemset") == [(("c",),), (("b",),)]


def test_of_equal_shares_the_more_frequent_comes_first():
    sales = pd.DataFrame({"order_id": [1, 1, 2], "product_id": ["rare", "often", "often"], "amount": [1.0, 0.0, 0.0]})
    found = frequent_itemsets(sales, min_support=1, max_len=1)
    assert rows(margin_table(found, sales, margin=1.0), "itemset", "basket_count") == [(("often",), 2), (("rare",), 1)]


def test_three_items_earn_the_sum_of_the_three():
    sales = pd.DataFrame({"order_id": [1] * 3, "product_id": ["a", "b", "c"], "amount": [1.0, 2.0, 4.0]})
    found = frequent_itemsets(sales, min_support=1, min_len=3)
    assert rows(margin_table(found, sales, margin=1.0), "itemset", "margin_amount") == [(("a", "b", "c"), 7.0)]


# -- against brute force -------------------------------------------------------------------------------------------

line = st.tuples(st.integers(0, 3), st.sampled_from("abcde"), st.sampled_from([-1, 1, 1, 2]), st.integers(-4, 9))


def by_brute_force(sales, itemset):
    """Return baskets with all items, what the items and the baskets earn, and what all baskets earn."""
    units, earned = {}, {}
    for order, item, quantity, gain in sales:
        units[order, item] = units.get((order, item), 0) + quantity
        earned[order, item] = earned.get((order, item), 0) + gain
    held = {key: earned[key] for key, bought in units.items() if bought > 0}
    orders = {order for order, _ in held}
    having = [order for order in orders if all((order, item) in held for item in itemset)]
    own = sum(held[order, item] for order in having for item in itemset)
    baskets = sum(gain for (order, _), gain in held.items() if order in having)
    return len(having), own, baskets, sum(held.values())


@settings(max_examples=40)
@given(sales=st.lists(line, min_size=1, max_size=25), data=st.data())
def test_equals_brute_force_whatever_the_order_of_the_lines(sales, data):
    names = ["order_id", "product_id", "quantity", "gain"]
    table = pd.DataFrame(sales, columns=names)
    table = table.assign(amount=table["quantity"] * 10.0, cost=table["quantity"] * 10.0 - table["gain"] / 8)
    with warnings.catch_warnings(action="ignore", category=DataQualityWarning):  # everything may have been returned
        found = frequent_itemsets(table, min_support=1)
    if not len(found):
        return
    whole = by_brute_force(sales, [])[3]
    if whole <= 0:
        with pytest.raises(SchemaError, match=r"the margin of all .* baskets is .*shares of it would mean nothing"):
            margin_table(found, table)
        return
    weighed = margin_table(found, table)
    for itemset, count, own, basket, share in rows(weighed, "itemset", *COLUMNS[2:3], *COLUMNS[4:]):
        expected = by_brute_force(sales, itemset)
        assert (count, own * 8, basket * 8) == expected[:3]
        assert share == pytest.approx(expected[2] / whole)
    shares = [row[0] for row in rows(weighed, "margin_share")]
    assert shares == sorted(shares, reverse=True)
    assert len(shares) == len(found)
    shuffled = table.iloc[data.draw(st.permutations(range(len(table))))]
    assert rows(margin_table(frequent_itemsets(shuffled, min_support=1), shuffled)) == rows(weighed)


def test_complete_journey_shares_of_revenue(shared_data):
    columns = ["household_id", "basket_id", "product_id", "sales_value"]
    sales = pd.read_parquet(shared_data / "complete_journey" / "transactions.parquet", columns=columns)
    tx = Transactions(sales, customer_id="household_id", order_id="basket_id", amount="sales_value")
    found = frequent_itemsets(tx, min_support=150, max_len=3)
    table = rows(margin_table(found, tx, margin=1.0))
    assert len(table) == len(found) > 300
    spent = sales.groupby("basket_id")["sales_value"].sum()
    having = {item: set(group["basket_id"]) for item, group in sales.groupby("product_id")}
    for itemset, _, count, _, _, amount, share in table[::25]:
        baskets = list(set.intersection(*(having[item] for item in itemset)))
        assert count == len(baskets)
        assert amount == pytest.approx(spent[baskets].sum())
        assert share == pytest.approx(amount / spent.sum())
    assert sum(row[2] for row in table) == int(found.tree.count[found.rows].astype(np.int64).sum())


# -- what is told and what is refused ------------------------------------------------------------------------------


def test_tells_how_many_margins_are_not_known_and_counts_them_as_zero(frame):
    sales = frame({**SALES, "cost": [3.0, None, 6.0, 0.75, None, 0.75]})
    with pytest.warns(DataQualityWarning, match=r"2 of 6 items in baskets is not known \(2 different items"):
        earned = item_margins(sales)
    assert earned == {"milk": pytest.approx(0.5 / 3), "pot": 0.0, "tea": 2.0}


def test_tells_products_without_a_price():
    products = Products(pd.DataFrame({"product_id": ["milk", "tea"], "price": [1.0, None], "cost": [0.5, 3.0]}))
    with pytest.warns(DataQualityWarning, match=r"3 of 6 items in baskets is not known \(2 different items"):
        assert item_margins(pd.DataFrame(SALES), margin=products) == {"milk": 0.5, "pot": 0.0, "tea": 0.0}


def test_refuses_when_there_is_no_margin():
    sales = pd.DataFrame(SALES).drop(columns="cost")
    found = frequent_itemsets(sales, min_support=1)
    with pytest.raises(SchemaError, match=r"no margin is given, and the transactions have no cost .*margin=0\.3"):
        margin_table(found, sales)
    with pytest.raises(SchemaError, match="item_margins: no margin is given"):
        item_margins(sales)
    with pytest.raises(MissingColumnsError, match=r"margin_table needs \['amount'\]"):
        margin_table(found, sales.drop(columns="amount"), margin=0.3)


@pytest.mark.parametrize("margin", [0, -0.1, 1.5, True, "30%", {"tea": 1.0}, float("nan")])
def test_refuses_a_margin_it_cannot_read(margin):
    with pytest.raises(SchemaError, match=r"margin must be Products\(...\) with price and cost, or a share of the amo"):
        item_margins(pd.DataFrame(SALES), margin=margin)


def test_refuses_products_that_do_not_fit():
    sales = pd.DataFrame(SALES).assign(category="FOOD")
    products = Products(pd.DataFrame({"product_id": [1], "price": [1.0], "cost": [0.5]}))
    with pytest.raises(SchemaError, match="Int64 in Products"):
        item_margins(sales, margin=products)
    with pytest.raises(SchemaError, match='margins by product_id, and the items are "category"'):
        item_margins(sales, margin=products, item="category")


def test_refuses_a_share_that_is_none():
    sales = pd.DataFrame(SALES)
    with pytest.raises(SchemaError, match="min_margin_share must be a fraction between 0 and 1"):
        margin_table(frequent_itemsets(sales, 1), sales, min_margin_share=5)
