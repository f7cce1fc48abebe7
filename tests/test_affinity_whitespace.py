"""What whitespace_table promises: owners and gaps counted by hand, nothing of the future, nobody lost silently."""

import datetime as dt
import math
from collections import defaultdict

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Transactions
from crmlytics.affinity.whitespace import plot_whitespace, whitespace_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

mpl.use("Agg")

AS_OF = dt.datetime(2024, 6, 1)
COLUMNS = [
    "segment", "category", "customer_count", "owner_count", "owning_share", "amount_per_owner", "benchmark_share",
    "gap_count", "potential_amount",
]  # fmt: skip
# gold: 1 and 2 own phones, 1 owns a case; silver: 3 owns a phone, 4 sent the case back, 5 and 6 bought nothing
SALES = {
    "customer_id": [1, 2, 2, 1, 3, 4, 4, 3],
    "order_id": [1, 2, 3, 1, 4, 5, 6, 7],
    "timestamp": [dt.datetime(2024, 1, day) for day in range(1, 8)] + [AS_OF],  # the last at as_of: not known yet
    "category": ["phone", "phone", "phone", "case", "phone", "case", "case", "case"],
    "amount": [300.0, 500.0, -100.0, 20.0, 400.0, 30.0, -30.0, 25.0],
}
SEGMENTS = {
    "customer_id": [1, 2, 3, 4, 5, 6],
    "segment": ["gold", "gold", "silver", "silver", "silver", "silver"],
}
BY_HAND = [
    ("silver", "phone", 4, 1, 0.25, 400.0, 1.0, 3, 1200.0),
    ("silver", "case", 4, 0, 0.0, 20.0, 0.5, 2, 40.0),  # nobody of silver owns one: worth what all owners spent
    ("gold", "case", 2, 1, 0.5, 20.0, 0.5, 0, 0.0),
    ("gold", "phone", 2, 2, 1.0, 350.0, 1.0, 0, 0.0),
]


def test_owners_gaps_and_potential_counted_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = whitespace_table(sales, frame(SEGMENTS), as_of=AS_OF, min_customer_count=2)
    assert type(table) is type(sales)
    assert records(table) == BY_HAND


def test_the_columns_have_their_names_and_types():
    table = whitespace_table(pd.DataFrame(SALES), pd.DataFrame(SEGMENTS), as_of=AS_OF, min_customer_count=2)
    assert list(table.columns) == COLUMNS
    assert [str(kind) for kind in table.dtypes] == [
        "str", "str", "int64", "int64", "float64", "float64", "float64", "int64", "float64",
    ]  # fmt: skip


def test_all_customers_as_the_benchmark():
    table = whitespace_table(pd.DataFrame(SALES), pd.DataFrame(SEGMENTS), as_of=AS_OF, benchmark="all")
    found = [(row[0], row[1], row[6], row[7], row[8]) for row in records(table)]
    assert found == [
        ("silver", "phone", 0.5, 1, 400.0),  # 3 of 6 own one: 2 of 4 would, 1 does
        ("gold", "case", pytest.approx(1 / 6), 0, 0.0),
        ("gold", "phone", 0.5, 0, 0.0),
        ("silver", "case", pytest.approx(1 / 6), 0, 0.0),  # 4 / 6 of a customer is missing: no whole one
    ]


def test_a_small_segment_is_no_benchmark():
    segments = pd.DataFrame(SEGMENTS)
    table = whitespace_table(pd.DataFrame(SALES), segments, as_of=AS_OF, min_customer_count=3)
    assert {row[1]: row[6] for row in records(table)} == {"phone": 0.25, "case": 0.0}  # those of silver
    with pytest.raises(SchemaError, match=r"no segment has the 5 customers .* largest has 4.*benchmark=\"all\""):
        whitespace_table(pd.DataFrame(SALES), segments, as_of=AS_OF, min_customer_count=5)


@pytest.mark.parametrize("kind", ["pandas", "polars-lazy", "duckdb"])
def test_nothing_at_or_after_as_of_is_read(kind):
    poison = {
        "customer_id": [1, 5, 6],
        "order_id": [8, 9, 10],
        "timestamp": [AS_OF, AS_OF + dt.timedelta(1), dt.datetime(2030, 1, 1)],
        "category": ["tablet", "phone", "case"],
        "amount": [1e9, 1e9, -1e9],
    }
    poisoned = {name: values + poison[name] for name, values in SALES.items()}
    table = whitespace_table(
        make_frame(poisoned, kind), make_frame(SEGMENTS, kind), as_of="2024-06-01", min_customer_count=2
    )
    assert records(table) == BY_HAND


@pytest.mark.parametrize("segment", [None, "absent"])
def test_customers_without_a_segment_are_counted_and_left_out(segment):
    segments = {"customer_id": [2, 3, 4, 5, 6, 1], "segment": ["gold", *["silver"] * 4, None]}
    if segment == "absent":
        segments = {name: values[:-1] for name, values in segments.items()}
    with pytest.warns(DataQualityWarning, match=r"whitespace_table: 1 of 4 customers .* no segment: left out"):
        table = whitespace_table(pd.DataFrame(SALES), pd.DataFrame(segments), as_of=AS_OF, min_customer_count=1)
    assert records(table) == [  # the case of customer 1 is gone with them
        ("silver", "phone", 4, 1, 0.25, 400.0, 1.0, 3, 1200.0),
        ("gold", "phone", 1, 1, 1.0, 400.0, 1.0, 0, 0.0),
    ]


def test_what_was_sent_back_for_less_money_is_not_owned(frame):
    """3 sent the phone back at 50 less; 1 got more than the price of two cases back for one, and owns the other."""
    sales = {
        "customer_id": [1, 2, 3, 3, 1, 1],
        "order_id": [1, 2, 3, 4, 5, 6],
        "timestamp": SALES["timestamp"][:6],
        "category": ["phone", "phone", "phone", "phone", "case", "case"],
        "quantity": [1, None, 1, -1, 2, -1],  # how many 2 bought is not known, and they returned none
        "amount": [300.0, 500.0, 500.0, -450.0, 40.0, -50.0],
    }
    found = records(whitespace_table(frame(sales), frame(SEGMENTS), as_of=AS_OF, min_customer_count=2))
    assert found == [
        ("silver", "phone", 4, 0, 0.0, 400.0, 1.0, 4, 1600.0),  # worth what the owners, 1 and 2, spent
        ("gold", "case", 2, 1, 0.5, -10.0, 0.5, 0, 0.0),
        ("gold", "phone", 2, 2, 1.0, 400.0, 1.0, 0, 0.0),
        ("silver", "case", 4, 0, 0.0, -10.0, 0.5, 2, 0.0),  # a loss is no potential
    ]


CELLS = st.tuples(st.integers(1, 6), st.sampled_from("abc"), st.integers(-2, 3))


@settings(max_examples=30)
@given(bought=st.lists(CELLS, min_size=1, max_size=25), benchmark=st.sampled_from(["best", "all"]))
def test_the_same_as_counting_customer_by_customer(bought, benchmark):
    lines = pd.DataFrame(
        {
            "customer_id": [customer for customer, _, _ in bought],
            "order_id": range(len(bought)),
            "timestamp": dt.datetime(2024, 1, 1),
            "category": [item for _, item, _ in bought],
            "amount": [float(amount) for _, _, amount in bought],
        }
    )
    segment_of = {customer: "xy"[customer % 2] for customer in range(1, 7)}
    segments = pd.DataFrame({"customer_id": list(segment_of), "segment": list(segment_of.values())})
    spent, returned = defaultdict(float), set()
    for customer, item, amount in bought:
        spent[customer, item] += amount
        returned |= {(customer, item)} if amount < 0 else set()
    owned = {cell: amount for cell, amount in spent.items() if amount > 0 or cell not in returned}
    if not owned:
        with pytest.raises(SchemaError, match="no customer with a segment owns a category"):
            whitespace_table(lines, segments, as_of=AS_OF, min_customer_count=1)
        return
    table = whitespace_table(lines, segments, as_of=AS_OF, benchmark=benchmark, min_customer_count=1)
    found = {(row.segment, row.category): row for row in table.itertuples()}
    assert set(found) == {(segment, item) for segment in "xy" for _, item in owned}
    for (segment, item), row in found.items():
        owners = {s: [c for c, i in owned if i == item and segment_of[c] == s] for s in "xy"}
        share = max(len(o) for o in owners.values()) / 3 if benchmark == "best" else sum(map(len, owners.values())) / 6
        mine = owners[segment] or [c for o in owners.values() for c in o]
        worth = sum(owned[c, item] for c in mine) / len(mine)
        gap = max(0, math.floor(share * 3 + 1e-9) - len(owners[segment]))
        assert (row.owner_count, row.gap_count) == (len(owners[segment]), gap)
        assert (row.benchmark_share, row.potential_amount) == pytest.approx((share, gap * worth))
    assert table["potential_amount"].is_monotonic_decreasing


# -- refusals ------------------------------------------------------------------------------------------------------


def test_says_what_is_wrong_with_the_segments():
    sales, segments = pd.DataFrame(SALES), pd.DataFrame(SEGMENTS)
    with pytest.raises(MissingColumnsError, match=r"segments needs the columns \['segment'\], got .*'group'"):
        whitespace_table(sales, segments.rename(columns={"segment": "group"}), as_of=AS_OF)
    with pytest.raises(SchemaError, match=r"expected one row each, but \[1, 2\] appear more than once"):
        whitespace_table(sales, pd.concat([segments, segments.head(2)]), as_of=AS_OF)
    with pytest.raises(SchemaError, match="customer_id is String in segments and Int64 in transactions"):
        whitespace_table(sales, segments.astype({"customer_id": str}), as_of=AS_OF)
    with pytest.raises(SchemaError, match="segments is a Polars table and transactions a pandas table"):
        whitespace_table(sales, make_frame(SEGMENTS, "polars"), as_of=AS_OF)


def test_says_when_nothing_lies_before_as_of(frame):
    with pytest.raises(SchemaError, match=r"whitespace_table: no line lies before as_of=2009-01-01 00:00. Check as_of"):
        whitespace_table(frame(SALES), frame(SEGMENTS), as_of="2009-01-01")


def test_says_which_argument_is_wrong():
    sales, segments = pd.DataFrame(SALES), pd.DataFrame(SEGMENTS)
    with pytest.raises(SchemaError, match=r"item must be one of .* Did you mean 'category'"):
        whitespace_table(sales, segments, as_of=AS_OF, item="categry")
    with pytest.raises(SchemaError, match=r"benchmark must be one of \['best', 'all'\], got 'mean'"):
        whitespace_table(sales, segments, as_of=AS_OF, benchmark="mean")
    with pytest.raises(MissingColumnsError, match=r"whitespace_table needs \['product_id'\]"):
        whitespace_table(sales, segments, as_of=AS_OF, item="product_id")


# -- the plot ------------------------------------------------------------------------------------------------------


def test_the_plot_shades_shares_and_writes_the_potential(frame):
    table = whitespace_table(frame(SALES), frame(SEGMENTS), as_of=AS_OF, min_customer_count=2)
    ax = plot_whitespace(table)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["phone", "case"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["gold", "silver"]
    assert ax.images[0].get_array().tolist() == [[1.0, 0.25], [0.5, 0.0]]
    assert [(text.get_text(), text.get_position()) for text in ax.texts] == [("1.2k", (1, 0)), ("40", (1, 1))]
    plt.close(ax.figure)


def test_the_plot_draws_where_it_is_told_and_refuses_other_tables():
    table = whitespace_table(pd.DataFrame(SALES), pd.DataFrame(SEGMENTS), as_of=AS_OF, benchmark="all")
    given_ax = plt.subplots()[1]
    assert plot_whitespace(table, ax=given_ax) is given_ax
    plt.close(given_ax.figure)
    with pytest.raises(MissingColumnsError, match=r"needs a table as whitespace_table makes it, got .*'owner_count'"):
        plot_whitespace(table[["category", "owner_count"]])


# -- real data -----------------------------------------------------------------------------------------------------


def test_complete_journey_departments_by_income(shared_data):
    folder = shared_data / "complete_journey"
    products = pd.read_parquet(folder / "products.parquet")[["product_id", "department"]]
    lines = pd.read_parquet(folder / "transactions.parquet").merge(products, on="product_id")
    people = pd.read_parquet(folder / "demographics.parquet").astype({"income": str})
    sales = Transactions(
        lines,
        customer_id="household_id",
        order_id="basket_id",
        timestamp="transaction_timestamp",
        category="department",
        amount="sales_value",
    )
    segments = people.rename(columns={"household_id": "customer_id", "income": "segment"})
    with pytest.warns(DataQualityWarning, match="200 of 600 customers .* have no segment"):
        table = whitespace_table(sales, segments, as_of="2018-01-02")
    fuel = lines[lines["department"] == "FUEL"].groupby("household_id")["sales_value"].sum()  # nothing is returned here
    owners = people[people["household_id"].isin(fuel.index)].groupby("income").size()
    found = table[table["category"] == "FUEL"].set_index("segment")
    assert found["owner_count"][found["owner_count"] > 0].sort_index().to_dict() == owners.to_dict()
    large = people.groupby("income").size().loc[lambda sizes: sizes >= 30]
    assert found["benchmark_share"].unique() == pytest.approx([(owners / large).max()])
    assert (table["gap_count"] * table["amount_per_owner"]).to_list() == pytest.approx(table["potential_amount"])
