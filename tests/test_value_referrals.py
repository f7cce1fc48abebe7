"""What referral_table promises: trees counted by hand, each referred customer's revenue once, dirt told by number."""

import datetime as dt

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Customers
from crmlytics._kernels.referral_trees import below, generation, youngest_first
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import FRAME_KINDS, make_frame, records
from crmlytics.value.referrals import referral_table

AS_OF = dt.datetime(2024, 3, 31)


def ago(days):
    return AS_OF - dt.timedelta(days=days)


# a brought b and c, b brought d; d never ordered, and brought e; f comes at as_of; g only returned; z brought g and h
SALES = {
    "customer_id": ["a", "b", "b", "c", "e", "f", "g", "h"],
    "order_id": list(range(8)),
    "timestamp": [ago(90), ago(80), ago(2), ago(70), ago(60), AS_OF, ago(9), ago(8)],
    "amount": [50.0, 20.0, -5.0, 35.0, 10.0, 999.0, -4.0, 6.0],
}
BROUGHT = {
    "customer_id": ["b", "c", "d", "e", "f", "g", "h", "z", "a"],
    "referred_by": ["a", "a", "b", "d", "a", "z", "z", None, None],
}
QUICK = [kind for kind in FRAME_KINDS if kind != "pyspark"]


def test_trees_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = referral_table(sales, referrals=frame(BROUGHT), as_of=AS_OF)
    assert type(table) is type(sales)
    assert records(table) == [
        # b and c, who made 15 and 35; with e three, over three generations: b, (d), e
        ("a", 0, 2, 50.0, 50.0, 0.5, 3, 60.0, 3),
        ("b", 1, 0, 0.0, 15.0, 0.0, 1, 10.0, 2),  # d is no customer yet, e is one
        ("d", 2, 1, 10.0, 0.0, 1.0, 1, 10.0, 1),
        ("z", 0, 1, 6.0, 0.0, 1.0, 1, 6.0, 1),  # of g and h only h ordered
    ]
    dtypes = {name: str(dtype) for name, dtype in nw.from_native(table).collect_schema().items()}
    assert dtypes == {
        "customer_id": "String", "generation": "Int64", "referred_count": "Int64", "referred_amount": "Float64",
        "own_amount": "Float64", "referral_share": "Float64", "descendant_count": "Int64",
        "descendant_amount": "Float64", "generation_count": "Int64",
    }  # fmt: skip


@pytest.mark.parametrize("kind", QUICK)
def test_whole_numbers_stay_whole_though_some_referrers_are_missing(kind):
    sales = {"customer_id": [1, 2, 3], "order_id": [1, 2, 3], "timestamp": ago(5), "amount": [9.0, 1.0, 2.0]}
    sales["timestamp"] = [ago(5)] * 3
    brought = {"customer_id": [1, 2, 3], "referred_by": [None, 1, 1]}
    table = referral_table(make_frame(sales, kind), referrals=make_frame(brought, kind), as_of=AS_OF)
    assert [row[:4] for row in records(table)] == [(1, 0, 2, 3.0)]


def test_columns_are_named_in_the_contract():
    brought = Customers(pd.DataFrame(BROUGHT).rename(columns={"customer_id": "Kunde"}), customer_id="Kunde")
    table = referral_table(pd.DataFrame(SALES), referrals=brought, as_of=AS_OF)
    assert table["customer_id"].tolist() == ["a", "b", "d", "z"]


def test_a_share_of_less_than_nothing_is_missing():
    sales = pd.DataFrame({"customer_id": ["a", "b", "a", "b"], "order_id": [1, 2, 3, 4], "timestamp": [ago(9)] * 4,
                          "amount": [0.1, 0.2, -0.3, 0.0]})  # fmt: skip
    brought = pd.DataFrame({"customer_id": ["b"], "referred_by": ["a"]})
    row = referral_table(sales, referrals=brought, as_of=AS_OF).iloc[0]
    assert np.isnan(row["referral_share"])  # -0.2 + 0.2 is a last bit above nothing or below


def test_unknown_referrers_and_circles_are_set_aside_and_counted():
    brought = pd.DataFrame({
        "customer_id": ["b", "c", "e", "h", "a", "g"], "referred_by": ["a", "nobody", "e", "a", "b", "b"],
    })  # fmt: skip
    with pytest.warns(DataQualityWarning) as told:
        table = referral_table(pd.DataFrame(SALES), referrals=brought, as_of=AS_OF)
    first, second = (str(warning.message) for warning in told)
    assert first == (
        "referral_table: 1 of 6 links name a referrer who is in neither table: set aside, as if these customers came "
        "without."
    )
    assert second.startswith("referral_table: 3 of 6 links lead round in a circle, such as that of ['a']: set aside")
    # a and b brought each other and e brought herself; h stays, whom a brought
    assert table[["customer_id", "generation", "referred_count"]].to_numpy().tolist() == [["a", 0, 1]]


def test_the_order_of_rows_and_the_future_change_nothing():
    sales, brought = pd.DataFrame(SALES), pd.DataFrame(BROUGHT)
    poison = sales.assign(timestamp=AS_OF, order_id=range(50, 58), amount=1e9)
    one, two, three = (
        referral_table(lines, referrals=links, as_of=AS_OF)
        for lines, links in ((sales, brought), (sales[::-1], brought[::-1]), (pd.concat([sales, poison]), brought))
    )
    pd.testing.assert_frame_equal(one, two)
    pd.testing.assert_frame_equal(one, three)


@pytest.mark.parametrize(
    ("brought", "error", "said"),
    [
        ({"customer_id": ["b", "b"], "referred_by": ["a", "c"]}, SchemaError, r"\['b'\] appear more than once"),
        ({"customer_id": ["b"], "referred_by": [1]}, SchemaError, "customer_id is String and referred_by is int64"),
        ({"customer_id": [1], "referred_by": [2]}, SchemaError, "customer_id is String in Transactions, Int64 in"),
        ({"customer_id": ["b"]}, MissingColumnsError, "referral_table needs .'referred_by'."),
        ({"customer_id": ["b"], "referred_by": [None]}, SchemaError, "nobody with an order before as_of was referred"),
        ({"customer_id": ["f"], "referred_by": ["a"]}, SchemaError, "nobody with an order before as_of was referred"),
    ],
)
def test_refusals_say_what_came(brought, error, said):
    with pytest.raises(error, match=said):
        referral_table(pd.DataFrame(SALES), referrals=pd.DataFrame(brought), as_of=AS_OF)


def test_half_a_customer_is_no_referrer():
    sales = pd.DataFrame({"customer_id": [1, 2], "order_id": [1, 2], "timestamp": [ago(9)] * 2, "amount": [1.0, 2.0]})
    for links in ([1.5, np.nan], ["1", None]):
        brought = pd.DataFrame({"customer_id": [2, 1], "referred_by": links})
        with pytest.raises(SchemaError, match="customer_id is Int64 and referred_by is"):
            referral_table(sales, referrals=brought, as_of=AS_OF)


@pytest.mark.parametrize("kind", ["polars-lazy", "duckdb"])
def test_repeated_customers_of_lazy_tables_are_refused_too(kind):
    brought = make_frame({"customer_id": ["b", "b"], "referred_by": ["a", "c"]}, kind)
    with pytest.raises(SchemaError, match=r"\['b'\] appear more than once"):
        referral_table(make_frame(SALES, kind), referrals=brought, as_of=AS_OF)


def test_rows_of_several_periods_of_validity_are_refused():
    brought = pd.DataFrame({"customer_id": ["b", "b"], "referred_by": ["a", "c"], "valid_from": [ago(9), ago(3)]})
    with pytest.raises(SchemaError, match="referral_table: 'b' has more than one row in referrals"):
        referral_table(pd.DataFrame(SALES), referrals=brought, as_of=AS_OF)


# -- the arrays ----------------------------------------------------------------------------------------------------


def chain_of(place, parent):
    """Everybody above, the nearest first, up to a root or back to who was there."""
    seen = []
    while parent[place] >= 0 and parent[place] not in seen:
        place = parent[place]
        seen.append(place)
    return seen


@settings(max_examples=100)
@given(st.data())
def test_trees_equal_a_walk_from_each_customer(data):
    size = data.draw(st.integers(1, 9))
    parent = np.array(data.draw(st.lists(st.integers(-1, size - 1), min_size=size, max_size=size)))
    counted = np.array(data.draw(st.lists(st.integers(0, 1), min_size=size, max_size=size)))
    amounts = np.arange(1.0, size + 1) ** 2
    circling = {place for place in range(size) if place in chain_of(place, parent)}
    order = youngest_first(parent)
    assert set(order) == set(range(size)) - circling
    parent[list(circling)] = -1
    order = youngest_first(parent)
    chains = [chain_of(place, parent) for place in range(size)]
    heads, sums, generations = below(parent, order, amounts, counted)
    for place in range(size):
        under = [other for other in range(size) if place in chains[other] and counted[other]]
        assert heads[place] == len(under)
        assert sums[place] == sum(amounts[other] for other in under)
        assert generations[place] == max((chains[other].index(place) + 1 for other in under), default=0)
    assert generation(parent, order).tolist() == [len(chain) for chain in chains]


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(-500, 2_000)), min_size=8, max_size=30), st.randoms())
def test_revenue_of_each_referred_customer_is_there_once(lines, random):
    customer, cents = map(list, zip(*lines, strict=True))
    sales = pd.DataFrame({
        "customer_id": [*customer, 8], "order_id": range(len(lines) + 1), "timestamp": ago(3),
        "amount": [*(cent / 100 for cent in cents), 1.0],
    })  # fmt: skip
    links = {place: random.randrange(place) for place in range(1, 9)}  # by somebody earlier: no circle
    brought = pd.DataFrame({"customer_id": list(links), "referred_by": list(links.values())})
    everybody = pd.DataFrame({"customer_id": [0], "referred_by": [pd.NA]})
    table = referral_table(sales, referrals=pd.concat([brought, everybody]).astype("Int64"), as_of=AS_OF)
    buyers = set(sales.loc[sales["amount"] >= 0, "customer_id"])
    counted = sales["customer_id"].isin(buyers & set(links))
    assert table["referred_amount"].sum() == pytest.approx(sales.loc[counted, "amount"].sum())
    assert table["referred_count"].sum() == len(buyers & set(links))
