"""What acquisition_channel_table promises: who came how, the same time for all, planted differences found."""

import datetime as dt

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Customers, Transactions, datasets
from crmlytics.channels._plots import plot_acquisition_channels
from crmlytics.channels.acquisition import SCHEMA, acquisition_channel_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

AS_OF = dt.datetime(2024, 3, 31)


def ago(days):
    return AS_OF - dt.timedelta(days=days)


SALES = {
    "customer_id": ["a", "a", "a", "b", "b", "c", "d", "e"],
    "order_id": [1, 2, 3, 4, 5, 6, 7, 8],
    # a's third order lies on the day the horizon of ten days ends; d's horizon is not over; e came at as_of
    "timestamp": [ago(30), ago(25), ago(20), ago(10), ago(9), ago(12), ago(9), AS_OF],
    "amount": [10.0, 20.0, 99.0, 40.0, -8.0, 30.0, 5.0, 999.0],
    "channel": ["web", "store", "web", "web", "web", "store", "store", "web"],
}
PEOPLE = {
    "customer_id": ["a", "b", "d", "z"],
    "acquisition_channel": ["ads", "ads", None, "mail"],  # c is not there, z never ordered
    "acquisition_cost": [4.0, None, 1.0, 7.0],
}
TOLD = ["acquisition_channel", "customer_count", "observed_count", "first_order_amount", "repeat_share",
        "horizon_amount", "horizon_margin_amount", "acquisition_cost_amount", "net_amount", "return_on_cost",
        "roi"]  # fmt: skip


def told(table, names=TOLD):
    rows = [dict(zip(SCHEMA, row, strict=True)) for row in records(table)]
    return [tuple(row[name] for name in names) for row in rows]


def test_counts_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = acquisition_channel_table(sales, as_of=AS_OF, horizon="10d", margin=0.5, costs={"web": 6.0})
    assert type(table) is type(sales)
    assert dict(nw.from_native(table).collect_schema()) == dict(SCHEMA)
    assert told(table) == [
        ("store", 2, 1, 30.0, 0.0, 30.0, 15.0, None, None, None, None),
        ("web", 2, 2, 25.0, 0.5, 31.0, 15.5, 3.0, 12.5, 31 / 3, 12.5 / 3),  # a 30, b 32
    ]


def test_customers_say_how_they_came(frame):
    table = acquisition_channel_table(frame(SALES), frame(PEOPLE), as_of=AS_OF, horizon="10d", margin=0.5)
    assert told(table) == [
        ("ads", 2, 2, 25.0, 0.5, 31.0, 15.5, 4.0, 11.5, 7.75, 2.875),  # b's cost is the mean of the others'
        ("(unknown)", 2, 1, 30.0, 0.0, 30.0, 15.0, None, None, None, None),
    ]
    assert "How these customers came is not known." in told(table, ["caution"])[1][0]


def test_channels_of_orders_are_not_needed_where_customers_say_it():
    sales = Transactions(pd.DataFrame(SALES), channel=None)
    table = acquisition_channel_table(sales, pd.DataFrame(PEOPLE), as_of=AS_OF, horizon="10d")
    assert told(table, TOLD[:2]) == [("ads", 2), ("(unknown)", 2)]
    assert table["horizon_margin_amount"].isna().all()
    nothing_said = pd.DataFrame(PEOPLE)[["customer_id"]]
    with pytest.raises(MissingColumnsError, match=r"acquisition_channel_table needs \['acquisition_channel'\]"):
        acquisition_channel_table(sales, nothing_said, as_of=AS_OF)
    table = acquisition_channel_table(pd.DataFrame(SALES), nothing_said, as_of=AS_OF, horizon="10d")
    assert told(table, TOLD[:1]) == [("store",), ("web",)]  # so the first order tells


def test_of_dated_customers_the_earliest_row_known_counts():
    states = pd.DataFrame({
        "customer_id": ["a", "a", "b", "c"], "acquisition_channel": ["mail", "ads", "mail", "ads"],
        "valid_from": [ago(20), ago(30), ago(30), AS_OF],
    })  # fmt: skip
    table = acquisition_channel_table(
        pd.DataFrame(SALES), Customers(states, valid_from="valid_from"), as_of=AS_OF, horizon="10d"
    )
    assert told(table, TOLD[:2]) == [("ads", 1), ("mail", 1), ("(unknown)", 2)]  # c's row is of the future


def test_a_row_without_a_beginning_held_always():
    states = pd.DataFrame({
        "customer_id": ["a", "a", "b"], "acquisition_channel": ["mail", "ads ", "ads"],
        "valid_from": [ago(30), None, ago(30)],
    })  # fmt: skip
    for order in ([0, 1, 2], [2, 1, 0]):
        table = acquisition_channel_table(
            pd.DataFrame(SALES), Customers(states.iloc[order]), as_of=AS_OF, horizon="10d"
        )
        assert told(table, TOLD[:2]) == [("ads", 2), ("(unknown)", 2)]


def joined(kind, **days):
    """State on which day each customer joined."""
    columns = {"customer_id": list(days), "joined_at": [ago(number) for number in days.values()]}
    return Customers(make_frame(columns, kind), valid_from="joined_at")


@pytest.mark.parametrize("kind", ["pandas", "pandas-pyarrow", "polars-lazy", "pyarrow", "duckdb"])
def test_who_had_joined_before_the_data_begin_is_not_new(kind):
    sales = make_frame(SALES, kind)
    people = joined(kind, a=31, c=12, d=30)  # the first order of all is of day 30; of b nobody knows
    table = acquisition_channel_table(sales, people, as_of=AS_OF, horizon="10d")
    assert told(table, TOLD[:3]) == [("store", 2, 1), ("web", 1, 1)]  # a is left out
    assert all("Left out: 1 who had joined before the data begin." in row[0] for row in told(table, ["caution"]))
    later = acquisition_channel_table(sales, people, as_of=AS_OF, since=ago(12), horizon="10d")
    assert told(later, TOLD[:3]) == [("store", 2, 1), ("web", 1, 1)]
    assert not any("Left out" in row[0] for row in told(later, ["caution"]))  # the first order of a is of no interest
    with pytest.raises(SchemaError, match=r"everybody had joined before 2024-03-01.*Customers\(data, valid_from="):
        acquisition_channel_table(sales, joined(kind, a=31, b=31, c=31, d=31), as_of=AS_OF, horizon="10d")


def test_of_a_cut_export_days_of_joining_tell_the_truth():
    world = datasets.make_universe(customers=1500, random_state=5)
    sales = world.transactions
    people = Customers(world.customers, valid_from="joined_at")
    options = {"as_of": "2025-06-01", "horizon": "90d"}
    cut = acquisition_channel_table(sales[sales["timestamp"] >= "2024-09-01"], people, **options)
    whole = acquisition_channel_table(sales, people, since="2024-09-01", **options)
    assert cut["customer_count"].sum() < 300
    assert cut["caution"].str.contains(r"Left out: 1,0\d\d who").all()
    pd.testing.assert_frame_equal(cut.drop(columns="caution"), whole.drop(columns="caution"))


def test_since_counts_whose_first_order_was_then():
    table = acquisition_channel_table(pd.DataFrame(SALES), as_of=AS_OF, since=ago(12), horizon="10d")
    assert told(table, TOLD[:3]) == [("store", 2, 1), ("web", 1, 1)]


def test_nothing_at_or_after_as_of_is_read():
    sales = pd.DataFrame(SALES)
    late = sales.assign(timestamp=AS_OF + dt.timedelta(hours=1), order_id=range(20, 28), channel="new", amount=1e6)
    clean = acquisition_channel_table(sales, as_of=AS_OF, horizon="10d")
    pd.testing.assert_frame_equal(
        clean, acquisition_channel_table(pd.concat([late, sales]), as_of=AS_OF, horizon="10d")
    )


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_means_add_up_to_the_whole_and_hold_in_any_order(seed):
    random = np.random.default_rng(seed)
    sales = pd.DataFrame({
        "customer_id": random.integers(0, 12, 60), "order_id": range(60),
        "timestamp": [ago(int(day)) for day in random.integers(31, 60, 60)], "amount": random.integers(1, 99, 60) / 4,
        "channel": random.choice(["x", "y", "z"], 60),
    })  # fmt: skip
    table = acquisition_channel_table(sales, as_of=AS_OF, horizon="30d")
    shuffled = sales.sample(frac=1, random_state=seed)
    pd.testing.assert_frame_equal(table, acquisition_channel_table(shuffled, as_of=AS_OF, horizon="30d"))
    first = sales.groupby("customer_id")["timestamp"].transform("min")
    within = (sales["timestamp"] - first) < dt.timedelta(days=30)
    assert (table["horizon_amount"] * table["observed_count"]).sum() == pytest.approx(sales["amount"][within].sum())
    others = [
        (table["horizon_amount"] * table["observed_count"]).drop(row).sum() / table["observed_count"].drop(row).sum()
        for row in table.index
    ]
    known = table["horizon_difference"].notna()
    expected = table["horizon_amount"] - others
    np.testing.assert_allclose(table["horizon_difference"][known], expected[known], atol=1e-9)


def test_a_planted_difference_is_found_and_no_other():
    random = np.random.default_rng(5)
    count = 900
    channel = random.choice(["good", "plain", "same"], count)
    amount = random.gamma(2, 10, count) * np.where(channel == "good", 1.5, 1.0)
    sales = pd.DataFrame({
        "customer_id": range(count), "order_id": range(count), "timestamp": ago(90), "amount": amount,
        "channel": channel,
    })  # fmt: skip
    table = acquisition_channel_table(sales, as_of=AS_OF, horizon="60d").set_index("acquisition_channel")
    assert table.loc["good", "horizon_p_value"] < 1e-6
    raw, adjusted = (table["horizon_" + name].to_numpy() for name in ("p_value", "adjusted_p_value"))
    at = np.argsort(raw)
    assert adjusted[at].tolist() == pytest.approx(np.minimum(np.maximum.accumulate(raw[at] * [3, 2, 1]), 1))  # Holm
    assert table.loc["good", "horizon_difference_low"] < 10 < table.loc["good", "horizon_difference_high"]
    assert table["repeat_p_value"].tolist() == [1.0, 1.0, 1.0]  # nobody came back


def test_who_leaves_sooner_in_the_made_world_returns_less():
    world = datasets.make_universe(customers=6_000, random_state=3)
    table = acquisition_channel_table(world.transactions, world.customers, as_of="2025-06-24")
    by_channel = table.set_index("acquisition_channel")
    planted = world.effects[world.effects["column"] == "acquisition_channel"].set_index("level")["effect"]
    assert planted.idxmax() == "social"  # the highest hazard of leaving
    assert by_channel["repeat_share"].idxmin() == "social"
    assert by_channel.loc["social", "repeat_difference_high"] < 0
    assert by_channel.loc["social", "repeat_p_value"] < 0.05
    cost = world.customers.groupby("acquisition_channel")["acquisition_cost"].mean()
    np.testing.assert_allclose(by_channel["acquisition_cost_amount"], cost[by_channel.index], rtol=0.02)
    assert by_channel["net_amount"].idxmin() == "sales"  # dear, and worth no more


def test_says_what_is_wrong():
    sales = pd.DataFrame(SALES)
    with pytest.raises(SchemaError, match=r'nobody had the first order 180 days before as_of.*horizon="90d"'):
        acquisition_channel_table(sales, as_of=AS_OF)
    with pytest.raises(SchemaError, match=r"costs names 'Stores', no such channel. Did you mean 'store'\?"):
        acquisition_channel_table(sales, as_of=AS_OF, horizon="10d", costs={"Stores": 1.0})
    with pytest.raises(SchemaError, match="customer_id is"):
        acquisition_channel_table(sales, pd.DataFrame(PEOPLE | {"customer_id": [1, 2, 3, 4]}), as_of=AS_OF)
    only = acquisition_channel_table(sales.assign(channel="web"), as_of=AS_OF, horizon="10d")
    assert "No other customers to compare with." in only["caution"][0]
    assert only["horizon_difference"].isna().all()


def test_what_brought_nobody_has_a_row_with_its_cost():
    sales = pd.DataFrame(SALES)
    table = acquisition_channel_table(sales, as_of=AS_OF, horizon="10d", margin=0.5, costs={"web": 6, "tv": 500})
    names = ["acquisition_channel", "customer_count", "observed_count", "cost_amount", "horizon_amount",
             "acquisition_cost_amount", "return_on_cost", "roi"]  # fmt: skip
    assert told(table, names)[1] == ("tv", 0, 0, 500.0, None, None, 0.0, -1.0)
    assert "It brought nobody" in table["caution"][1]
    assert told(table, ["cost_amount", "acquisition_cost_amount"])[2] == (6.0, 3.0)
    others = table.drop(index=1).reset_index(drop=True)  # and it moves no other row
    plain = acquisition_channel_table(sales, as_of=AS_OF, horizon="10d", margin=0.5, costs={"web": 6})
    pd.testing.assert_frame_equal(others, plain)
    assert plot_acquisition_channels(table).get_yticklabels()[0].get_text() == "tv (0)"


def test_the_picture_shows_customers_beside_the_name():
    table = acquisition_channel_table(pd.DataFrame(SALES), as_of=AS_OF, horizon="10d", margin=0.5, costs={"web": 6})
    axes = plot_acquisition_channels(table)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["store (1)", "web (2)"]
    assert axes.lines[0].get_xdata().tolist() == [30.0, 31.0]


def test_data_that_begin_amid_the_business_are_told():
    """In lines from September on, 389 customers were won by search; in truth 50 were."""
    made = datasets.make_universe(customers=1500, random_state=5).transactions
    late = made[made["timestamp"] >= "2024-09-01"]
    with pytest.warns(
        DataQualityWarning, match=r"in the first 30 days of the data.*since=\"2024-\d\d-\d\d\", or later"
    ):
        table = acquisition_channel_table(late, as_of="2025-06-01", horizon="90d")
    assert table["caution"].str.contains("begin amid the business").all()
    whole = acquisition_channel_table(made, as_of="2025-06-01", horizon="90d")
    assert not whole["caution"].fillna("").str.contains("amid").any()
    assert (
        not acquisition_channel_table(late, as_of="2025-06-01", horizon="90d", since="2024-12-15")["caution"]
        .fillna("")
        .str.contains("amid")
        .any()
    )
