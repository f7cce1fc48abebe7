"""What channel_migration_table promises: hand-counted moves on every frame, and nobody lost on the way."""

import datetime as dt

import narwhals.stable.v2 as nw
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics.channels._plots import plot_channel_migration
from crmlytics.channels.migration import SCHEMA, channel_migration_table
from crmlytics.exceptions import SchemaError
from crmlytics.testing import records

AS_OF = dt.datetime(2024, 3, 31)


def ago(days):
    return AS_OF - dt.timedelta(days=days)


LINES = [  # customer, days ago, amount, channel; windows of ten days
    ("a", 20, 10.0, "store"), ("a", 12, 10.0, "web"), ("a", 11, 10.0, "store"), ("a", 10, 7.0, "web"),
    ("b", 15, 5.0, "web"), ("b", 14, 5.0, "store"),  # equal: the last order tells
    ("b", 2, 6.0, "store"),
    ("c", 13, 8.0, "web"),  # gone
    ("d", 3, 9.0, "web"),  # new
    ("e", 40, 1.0, "web"), ("e", 1, 4.0, "store"),  # back
    ("f", 18, 3.0, None), ("f", 17, 3.0, None), ("f", 16, 3.0, "web"),  # what is known counts
    ("f", 5, 2.0, None),
    ("g", 30, 50.0, "web"), ("g", 4, -20.0, "web"),  # nothing but a credit note
    ("h", 0, 99.0, "web"),  # at as_of
]  # fmt: skip
SALES = {
    "customer_id": [line[0] for line in LINES],
    "order_id": list(range(len(LINES))),
    "timestamp": [ago(line[1]) for line in LINES],
    "amount": [line[2] for line in LINES],
    "channel": [line[3] for line in LINES],
}
COUNTED = ["from_channel", "to_channel", "customer_count", "reverse_count", "from_share", "previous_amount",
           "current_amount", "amount_change"]  # fmt: skip


def told(table, names=COUNTED):
    rows = [dict(zip(SCHEMA, row, strict=True)) for row in records(table)]
    return [tuple(row[name] for name in names) for row in rows]


def test_counts_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = channel_migration_table(sales, as_of=AS_OF, window="10d")
    assert type(table) is type(sales)
    assert dict(nw.from_native(table).collect_schema()) == dict(SCHEMA)
    assert told(table) == [
        ("store", "store", 1, 0, 0.5, 10.0, 6.0, -4.0),  # b
        ("store", "web", 1, 0, 0.5, 30.0, 7.0, -23.0),  # a: day 20 is the first of the window before
        ("web", "(unknown)", 1, 0, 0.5, 9.0, 2.0, -7.0),  # f
        ("web", "(gone)", 1, 0, 0.5, 8.0, 0.0, -8.0),  # c
        ("(new)", "web", 1, 0, 1.0, 0.0, 9.0, 9.0),  # d
        ("(back)", "store", 1, 0, 0.5, 0.0, 4.0, 4.0),  # e
        ("(back)", "(gone)", 1, 0, 0.5, 0.0, -20.0, -20.0),  # g
    ]


def test_the_way_back_is_counted_and_said():
    lines = [("a", 15, "x"), ("a", 5, "y"), ("b", 15, "y"), ("b", 5, "x"), ("c", 15, "x"), ("c", 5, "y")]
    sales = pd.DataFrame({
        "customer_id": [line[0] for line in lines], "order_id": range(6), "amount": 1.0,
        "timestamp": [ago(line[1]) for line in lines], "channel": [line[2] for line in lines],
    })  # fmt: skip
    table = channel_migration_table(sales, as_of=AS_OF, window="10d")
    assert told(table, COUNTED[:4]) == [("x", "y", 2, 1), ("y", "x", 1, 2)]
    assert table["caution"].str.contains("As many moved back").tolist() == [False, True]
    assert table["caution"].str.contains("The data begin within the window before").all()  # on day 15, not 20


def test_who_looks_new_may_be_back_where_the_data_begin_shortly_before():
    lines = [("a", 29, "x"), ("a", 15, "x"), ("a", 5, "x"), ("b", 3, "x")]
    sales = pd.DataFrame({
        "customer_id": [line[0] for line in lines], "order_id": range(4), "amount": 1.0, "channel": "x",
        "timestamp": [ago(line[1]) for line in lines],
    })  # fmt: skip
    said = channel_migration_table(sales, as_of=AS_OF, window="10d")["caution"].str.contains("new are back")
    assert said.tolist() == [False, True]
    sales.loc[0, "timestamp"] = ago(30)  # a whole window ahead of the window before
    table = channel_migration_table(sales, as_of=AS_OF, window="10d")
    assert not table["caution"].str.contains("begin").any()


def test_equals_without_a_later_order_are_told_by_name():
    lines = {"customer_id": ["a", "a", "a"], "order_id": [1, 2, 3], "amount": 1.0, "channel": ["y", "x", "x"]}
    sales = pd.DataFrame(lines | {"timestamp": [ago(15), ago(15), ago(5)]})
    assert told(channel_migration_table(sales, as_of=AS_OF, window="10d"), COUNTED[:2]) == [("x", "x")]


LINE = st.tuples(st.sampled_from("abcd"), st.sampled_from(["x", "y", None]), st.integers(1, 35), st.integers(-300, 999))


@settings(max_examples=25)
@given(lines=st.lists(LINE, min_size=1, max_size=25))
def test_customers_and_amounts_add_up_whatever_the_order_of_rows(lines):
    lines = [*lines, ("z", "x", 15, 100)]
    customer, channel, days, cents = zip(*lines, strict=True)
    sales = pd.DataFrame({
        "customer_id": customer, "order_id": range(len(lines)), "timestamp": [ago(day) for day in days],
        "amount": [cent / 100 for cent in cents], "channel": pd.array(channel, dtype="str"),
    })  # fmt: skip
    table = channel_migration_table(sales, as_of=AS_OF, window="10d")
    mixed = channel_migration_table(sales.sample(frac=1, random_state=0), as_of=AS_OF, window="10d")
    pd.testing.assert_frame_equal(table, mixed)
    seen = sales[sales["timestamp"] >= ago(20)]
    assert table["customer_count"].sum() == seen["customer_id"].nunique()
    assert round(table["current_amount"].sum(), 2) == round(seen["amount"][seen["timestamp"] >= ago(10)].sum(), 2)
    assert round(table["previous_amount"].sum(), 2) == round(seen["amount"][seen["timestamp"] < ago(10)].sum(), 2)
    assert table.groupby("from_channel")["from_share"].sum().round(9).eq(1).all()


def test_nothing_at_or_after_as_of_is_read():
    sales = pd.DataFrame(SALES)
    late = sales.assign(timestamp=AS_OF, channel="new", order_id=range(100, 100 + len(sales)))
    both = pd.concat([late, sales])
    clean = channel_migration_table(sales, as_of=AS_OF, window="10d")
    pd.testing.assert_frame_equal(clean, channel_migration_table(both, as_of=AS_OF, window="10d"))


def test_says_what_is_wrong():
    with pytest.raises(SchemaError, match=r'nobody ordered from 2024-01-11 to 2024-02-20.*window="20d"'):
        channel_migration_table(pd.DataFrame(SALES).iloc[:2], as_of=AS_OF, window="40d")


def test_the_picture_has_a_cell_a_move():
    axes = plot_channel_migration(channel_migration_table(pd.DataFrame(SALES), as_of=AS_OF, window="10d"))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["store", "web", "(new)", "(back)"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["store", "web", "(unknown)", "(gone)"]
    assert sum(text.get_text() == "1" for text in axes.texts) == 7
