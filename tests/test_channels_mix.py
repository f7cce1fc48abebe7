"""What channel_mix_table and multichannel_table promise: every customer once, and like compared with like."""

import datetime as dt

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Transactions, datasets
from crmlytics.channels._plots import plot_channel_mix
from crmlytics.channels.mix import MIX_SCHEMA, MULTI_SCHEMA, channel_mix_table, multichannel_table
from crmlytics.exceptions import SchemaError
from crmlytics.testing import records

AS_OF = dt.datetime(2024, 3, 31)


def ago(days):
    return AS_OF - dt.timedelta(days=days)


SALES = {
    "customer_id": ["a", "a", "a", "b", "b", "c", "d", "e", "f"],
    "order_id": [1, 1, 2, 3, 4, 5, 6, 7, 8],  # a's first order has lines of two channels
    "timestamp": [ago(day) for day in (9, 9, 8, 7, 6, 5, 4, 3, 0)],
    "amount": [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, -5.0, 8.0, 99.0],
    "channel": ["web", "store", "web", "web", None, "web", "web", None, "web"],
}
NAMES = ["channels", "channel_count", "customer_count", "customer_share", "order_count", "orders_per_customer",
         "amount", "amount_per_customer", "amount_per_order"]  # fmt: skip


def told(table, names, schema):
    rows = [dict(zip(schema, row, strict=True)) for row in records(table)]
    return [tuple(row[name] for name in names) for row in rows]


def test_counts_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = channel_mix_table(sales, as_of=AS_OF)
    assert type(table) is type(sales)
    assert dict(nw.from_native(table).collect_schema()) == dict(MIX_SCHEMA)
    assert told(table, NAMES, MIX_SCHEMA) == [
        ("(no order)", 0, 1, 0.2, 0, 0.0, -5.0, -5.0, None),
        ("(unknown)", 0, 1, 0.2, 1, 1.0, 8.0, 8.0, 8.0),
        ("web", 1, 2, 0.4, 3, 1.5, 150.0, 75.0, 50.0),  # b's other channel is not known
        ("store + web", 2, 1, 0.2, 2, 2.0, 60.0, 60.0, 30.0),
    ]


def test_the_period_begins_with_since():
    table = channel_mix_table(pd.DataFrame(SALES), as_of=AS_OF, since=ago(6))
    assert told(table, NAMES[:3], MIX_SCHEMA) == [("(no order)", 0, 1), ("(unknown)", 0, 2), ("web", 1, 1)]


LINE = st.tuples(st.sampled_from("abcd"), st.sampled_from(["x", "y", None]), st.integers(1, 29), st.integers(-300, 999))


@settings(max_examples=25)
@given(lines=st.lists(LINE, min_size=1, max_size=25))
def test_customers_orders_and_amounts_add_up_whatever_the_order_of_rows(lines):
    customer, channel, days, cents = zip(*lines, strict=True)
    sales = pd.DataFrame({
        "customer_id": customer, "order_id": range(len(lines)), "timestamp": [ago(day) for day in days],
        "amount": [cent / 100 for cent in cents], "channel": pd.array(channel, dtype="str"),
    })  # fmt: skip
    table = channel_mix_table(sales, as_of=AS_OF)
    pd.testing.assert_frame_equal(table, channel_mix_table(sales.sample(frac=1, random_state=0), as_of=AS_OF))
    assert table["customer_count"].sum() == len(set(customer))
    assert table["order_count"].sum() == sum(cent >= 0 for cent in cents)
    assert round(table["amount"].sum(), 2) == sum(cents) / 100


def spread(amounts, orders, channels, start=0):
    """Make customers of so many orders each, all orders of one amount."""
    return pd.DataFrame([
        {"customer_id": start + who, "order_id": 100 * (start + who) + number, "timestamp": ago(9), "amount": amount,
         "channel": channels[number % len(channels)]}
        for who, amount in enumerate(amounts) for number in range(orders)
    ])  # fmt: skip


def test_like_is_compared_with_like_by_hand(frame):
    parts = [
        spread([10.0, 20.0, 30.0], 2, ["web"]),  # 20, 40, 60: mean 40
        spread([30.0, 30.0, 60.0], 2, ["web", "store"], start=10),  # 60, 60, 120: mean 80
        spread([10.0, 20.0], 4, ["web"], start=20),  # 40, 80: mean 60
        spread([10.0, 30.0], 4, ["web", "store"], start=30),  # 40, 120: mean 80
        spread([1.0], 9, ["web", "store"], start=40),  # nobody alike
        spread([5.0], 1, ["web"], start=50),
    ]
    lines = pd.concat(parts, ignore_index=True)
    table = multichannel_table(frame({name: lines[name].tolist() for name in lines}), as_of=AS_OF)
    assert dict(nw.from_native(table).collect_schema()) == dict(MULTI_SCHEMA)
    several, one = (60 + 60 + 120 + 40 + 120 + 9) / 6, 20 + 40 + 60 + 40 + 80
    found = told(table, ["comparison", "several_count", "one_count", "several_amount", "one_amount"], MULTI_SCHEMA)
    assert [row[:3] for row in found] == [
        ("all customers", 6, 6), ("with two orders or more", 6, 5), ("at equal number of orders", 5, 5)
    ]  # fmt: skip
    amounts = [row[3:] for row in found]
    np.testing.assert_allclose(amounts, [(several, (one + 5) / 6), (several, one / 5), (80, 48)])
    difference = [row[0] for row in told(table, ["difference"], MULTI_SCHEMA)]
    np.testing.assert_allclose(difference, [row[0] - row[1] for row in amounts])


def test_what_the_number_of_orders_makes_is_gone_like_for_like():
    world = datasets.make_universe(customers=3_000, random_state=2)  # the channel of an order moves no amount
    table = multichannel_table(world.transactions, as_of="2025-06-24").set_index("comparison")
    assert table.loc["all customers", "difference_low"] > 100
    alike = table.loc["at equal number of orders"]
    assert alike["difference_low"] < 0 < alike["difference_high"]
    assert alike["p_value"] > 0.05


def test_a_dearer_order_of_several_channels_is_found():
    random = np.random.default_rng(1)
    plain = [spread(random.gamma(9, 3, 150), 3, ["web"]), spread(random.gamma(9, 3, 150), 6, ["web"], start=1000)]
    both = [spread(random.gamma(9, 4, 150), 6, ["web", "store"], start=3000)]
    table = multichannel_table(pd.concat(plain + both), as_of=AS_OF)
    last = table.iloc[2]
    assert last["difference_low"] < 6 * 9 < last["difference_high"]
    assert last["p_value"] < 1e-6
    raw, adjusted = np.sort(table["p_value"]), np.sort(table["adjusted_p_value"])
    assert adjusted.tolist() == pytest.approx(np.maximum.accumulate(raw * [3, 2, 1]))  # Holm


def test_customers_of_three_ways_to_buy(shared_data):
    people = pd.read_parquet(shared_data / "customer_personality.parquet")
    ways = {"NumWebPurchases": "web", "NumCatalogPurchases": "catalogue", "NumStorePurchases": "store"}
    wide = people.set_index("ID")[list(ways)].rename(columns=ways)
    counts = wide.melt(var_name="channel", value_name="orders", ignore_index=False).reset_index(names="customer_id")
    lines = counts.loc[counts.index.repeat(counts["orders"])].reset_index(drop=True)
    lines["order_id"], lines["amount"], lines["timestamp"] = range(len(lines)), 1.0, ago(9)
    table = channel_mix_table(lines, as_of=AS_OF).set_index("channels")
    assert table["order_count"].sum() == int(wide.to_numpy().sum())
    assert table.loc["catalogue + store + web", "customer_count"] == int((wide > 0).all(axis=1).sum())


def test_says_what_is_wrong():
    with pytest.raises(SchemaError, match="multichannel_table: no order of the period has a channel"):
        multichannel_table(pd.DataFrame(SALES | {"channel": pd.array([None] * 9, dtype="str")}), as_of=AS_OF)
    table = multichannel_table(Transactions(pd.DataFrame(SALES | {"channel": "web"})), as_of=AS_OF)
    assert told(table, ["several_count", "difference"], MULTI_SCHEMA) == [(0, None)] * 3  # one channel only


def test_the_picture_has_a_bar_a_set():
    axes = plot_channel_mix(channel_mix_table(pd.DataFrame(SALES), as_of=AS_OF))
    bars = sorted(axes.patches, key=lambda bar: bar.get_y())
    assert [bar.get_width() for bar in bars] == [1.0, 1.0, 1.0, 2.0]
    assert len({bar.get_facecolor() for bar in bars}) == len(axes.get_legend().get_texts())
    assert axes.texts[-1].get_text() == "75 a customer in 1.5 orders"
