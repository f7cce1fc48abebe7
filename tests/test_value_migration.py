"""What value migration promises: moves by hand, the revenue of both periods to the cent, nobody lost."""

import datetime as dt
import re

import narwhals.stable.v2 as nw
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Transactions
from crmlytics.exceptions import SchemaError
from crmlytics.testing import records
from crmlytics.value.migration import value_migration_table

AS_OF = dt.datetime(2024, 3, 31)


def ago(days):
    return AS_OF - dt.timedelta(days=days)


# periods of 10 days: then is from 20 to 11 days ago, now from 10 days ago
SALES = {
    "customer_id": ["a", "b", "c", "d", "e", "a", "b", "d", "f", "g", "g", "h"],
    "order_id": list(range(12)),
    "timestamp": [
        ago(20), ago(11), ago(12), ago(15), ago(13), ago(10), ago(1), ago(2), ago(3), ago(21), ago(4), AS_OF,
    ],
    "amount": [100.0, 50.0, 50.0, 10.0, -5.0, 40.0, 120.0, -10.0, 60.0, 7.0, 3.0, 99.0],
}  # fmt: skip
TIERS = {"high": 0.25, "low": 0.75}


def test_moves_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = value_migration_table(sales, as_of=AS_OF, period="10d", tiers=TIERS)
    assert type(table) is type(sales)
    assert records(table) == [
        ("high", "low", 1, 1.0, 100.0, 40.0, -60.0, -60.0),  # a
        ("low", "high", 1, 1 / 3, 50.0, 120.0, 70.0, 70.0),  # b, beyond the 100 of then
        ("low", "(nothing)", 1, 1 / 3, 10.0, -10.0, -20.0, -20.0),  # d only gave back
        ("low", "(gone)", 1, 1 / 3, 50.0, 0.0, -50.0, -50.0),  # c
        ("(nothing)", "(gone)", 1, 1.0, -5.0, 0.0, 5.0, 5.0),  # e
        ("(back)", "low", 1, 1.0, 0.0, 3.0, 3.0, 3.0),  # g
        ("(new)", "low", 1, 1.0, 0.0, 60.0, 60.0, 60.0),  # f
    ]
    kinds = [str(dtype) for dtype in nw.from_native(table).collect_schema().values()]
    assert kinds == ["String", "String", "Int64", *["Float64"] * 5]


def test_equals_are_in_one_tier_and_a_single_tier_holds_all():
    sales = pd.DataFrame({"customer_id": ["a", "b", "c"], "order_id": [1, 2, 3], "timestamp": ago(15), "amount": 0.3})
    sales.loc[0, "amount"] = 0.1 + 0.2  # not 0.3 by its last bit
    table = value_migration_table(sales, as_of=AS_OF, period="10d", tiers={"top": 0.3, "rest": 0.7})
    assert table[["from_tier", "customer_count"]].to_numpy().tolist() == [["top", 3]]
    table = value_migration_table(sales, as_of=AS_OF, period="10d", tiers={"all": 1})
    assert table["from_tier"].tolist() == ["all"]


@pytest.mark.parametrize("order", [[0.1, 0.2, -0.3], [-0.3, 0.2, 0.1], [0.0]])
def test_a_last_bit_is_nothing_whatever_the_order_of_the_lines(order):
    lines = [("a", ago(15), 9.0), *[("b", ago(15), amount) for amount in order], *[("a", ago(5), n) for n in order]]
    customer, timestamp, amount = map(list, zip(*lines, strict=True))
    sales = pd.DataFrame({
        "customer_id": customer, "order_id": range(len(lines)), "timestamp": timestamp, "amount": amount,
    })  # fmt: skip
    table = value_migration_table(sales, as_of=AS_OF, period="10d", tiers={"all": 1})
    assert table[["from_tier", "to_tier"]].to_numpy().tolist() == [["all", "(nothing)"], ["(nothing)", "(gone)"]]


LINE = st.tuples(st.sampled_from("abcde"), st.integers(0, 29), st.integers(-300, 1_000))


@settings(max_examples=25)
@given(lines=st.lists(LINE, min_size=1, max_size=25))
def test_revenue_and_customers_are_all_there(lines):
    lines = [*lines, ("z", 15, 500)]  # somebody to migrate from
    customer, days, cents = zip(*lines, strict=True)
    sales = pd.DataFrame({
        "customer_id": customer, "order_id": range(len(lines)), "timestamp": [ago(day + 1) for day in days],
        "amount": [cent / 100 for cent in cents],
    })  # fmt: skip
    table = value_migration_table(sales, as_of=AS_OF, period="10d")
    mixed = value_migration_table(sales.sample(frac=1, random_state=0), as_of=AS_OF, period="10d")
    pd.testing.assert_frame_equal(table, mixed)
    then, now = (
        sum(c for c, d in zip(cents, days, strict=True) if d in period) for period in (range(10, 20), range(10))
    )
    assert round(table["previous_amount"].sum(), 2) == then / 100
    assert round(table["current_amount"].sum(), 2) == now / 100
    assert table["customer_count"].sum() == len({c for c, d in zip(customer, days, strict=True) if d < 20})
    assert table.groupby("from_tier")["from_share"].sum().to_numpy() == pytest.approx(1)


def test_the_future_changes_nothing():
    poisoned = pd.DataFrame(SALES | {"customer_id": [*SALES["customer_id"][:-1], "a"], "amount": SALES["amount"]})
    one, two = (value_migration_table(s, as_of=AS_OF, period="10d") for s in (pd.DataFrame(SALES), poisoned))
    pd.testing.assert_frame_equal(one, two)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"period": "60d"},
            'nobody brought anything from 2023-12-02 to 2024-01-31.*first of all is of 2024-03-10.*="11d"',
        ),
        (
            {"as_of": ago(30)},
            "value_migration_table: no line lies before as_of=2024-03-01 00:00. Check as_of and the data",
        ),
        (
            {"as_of": ago(20.5), "period": "1d"},
            "it has no line, and the first of all.* That is one period, and no other",
        ),
        ({"period": "year"}, "period must be a duration in days or weeks"),
        ({"tiers": {"high": 0.2}}, "tiers must map names to shares that add up to 1"),
        ({"tiers": 3}, "tiers must map names to shares that add up to 1.*got 3"),
    ],
)
def test_refusals_say_what_to_type(more, said):
    with pytest.raises(SchemaError, match=said):
        value_migration_table(pd.DataFrame(SALES), **{"as_of": AS_OF} | more)


def test_a_period_of_returns_only_is_no_matter_of_its_length():
    lost = pd.DataFrame(SALES).assign(amount=-1.0)
    with pytest.raises(
        SchemaError, match=r"add up to nothing or less\. Check the sign of amount, or set returns aside"
    ):
        value_migration_table(lost, as_of=AS_OF, period="10d")


@given(days=st.lists(st.integers(1, 40), min_size=1, max_size=4), period=st.integers(1, 30))
def test_the_period_that_is_typed_works(days, period):
    sales = pd.DataFrame({
        "customer_id": range(len(days)), "order_id": range(len(days)), "timestamp": [ago(day) for day in days],
        "amount": 5.0,
    })  # fmt: skip
    try:
        value_migration_table(sales, as_of=AS_OF, period=f"{period}d")
    except SchemaError as refused:
        typed = re.search(r'period="(\d+d)"', str(refused))
        if typed:
            assert len(value_migration_table(sales, as_of=AS_OF, period=typed[1]))
        else:
            assert max(days) == 1


def test_online_retail_moves_add_up_to_the_cent(shared_data):
    raw = pd.read_parquet(shared_data / "online_retail.parquet")
    raw = raw[raw["CustomerID"].notna() & (raw["UnitPrice"] > 0)].astype({"CustomerID": "int64"})
    tx = Transactions(raw, customer_id="CustomerID", order_id="InvoiceNo", timestamp="InvoiceDate",
                      quantity="Quantity", unit_price="UnitPrice")  # fmt: skip
    table = value_migration_table(tx, as_of="2011-12-10", period="180d")
    mils = raw["Quantity"] * (raw["UnitPrice"] * 1000).round().astype(int)
    now = raw["InvoiceDate"] >= "2011-06-13"
    assert table["current_amount"].sum() == pytest.approx(mils[now].sum() / 1000, abs=0.005)
    then = (raw["InvoiceDate"] >= "2010-12-15") & ~now
    assert table["previous_amount"].sum() == pytest.approx(mils[then].sum() / 1000, abs=0.005)
