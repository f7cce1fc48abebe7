"""What reading in order promises: elements in time, returns gone, ties by id, the future unread, any row order."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics._sequences import read_event_sequences, read_sequences
from crmlytics.exceptions import DataQualityWarning, SchemaError
from crmlytics.testing import make_frame

DAY = [dt.datetime(2024, 1, 1) + dt.timedelta(days=d) for d in range(60)]
NOON = dt.timedelta(hours=12)
FIRST_DAY = 19_723  # 2024-01-01, in days from 1970-01-01
LINES = {
    "customer_id": ["b", "a", "a", "a", "a", "a", "a"],
    "order_id": [1, 2, 3, 2, 4, 4, 5],
    "timestamp": [DAY[1], DAY[9] + NOON, DAY[9], DAY[9] + NOON, DAY[3], DAY[3], DAY[20]],
    "product_id": ["tea", "tea", "jam", "milk", "tea", "tea", "jam"],
    "quantity": [1, 1, 2, 1, 1, -1, 1],
}
CLICKS = {
    "customer_id": ["b", "a", "a", "a"],
    "session_id": [7, 8, 9, 8],
    "timestamp": [DAY[0], DAY[2], DAY[3], DAY[2]],
    "event": ["home", "search", "cart", "home"],
}


def as_lists(sequences):
    """{sequence id: [(moment, [item ids])]}"""
    elements = [
        (int(sequences.moment[e]), sequences.item_ids[sequences.items[first:last]].tolist())
        for e, (first, last) in enumerate(zip(sequences.item_starts[:-1], sequences.item_starts[1:], strict=True))
    ]
    starts = sequences.starts.tolist()
    return {key: elements[starts[s] : starts[s + 1]] for s, key in enumerate(sequences.sequence_ids.tolist())}


def test_orders_stand_in_time_and_what_was_returned_is_not_there(frame):
    found = as_lists(read_sequences(frame(LINES), caller="test"))
    assert found == {
        "a": [(FIRST_DAY + 9, ["jam"]), (FIRST_DAY + 9, ["milk", "tea"]), (FIRST_DAY + 20, ["jam"])],
        "b": [(FIRST_DAY + 1, ["tea"])],
    }


def test_a_day_is_one_element(frame):
    found = as_lists(read_sequences(frame(LINES), element="day", caller="test"))
    assert found["a"] == [(FIRST_DAY + 9, ["milk", "jam", "tea"]), (FIRST_DAY + 20, ["jam"])]


def test_what_happens_at_as_of_or_later_is_not_read():
    lines = make_frame(LINES, kind="pandas")
    before = lines[lines["timestamp"] < DAY[20]]
    asked = as_lists(read_sequences(lines, as_of=DAY[20], caller="test"))
    assert asked == as_lists(read_sequences(before, caller="test"))
    assert asked["a"][-1] == (FIRST_DAY + 9, ["milk", "tea"])


def test_known_items_keep_their_codes_and_others_are_left_out():
    sequences = read_sequences(make_frame(LINES, kind="pandas"), known=np.array(["tea", "rice"], object), caller="test")
    assert sequences.item_ids.tolist() == ["tea", "rice"]
    assert as_lists(sequences)["a"] == [(FIRST_DAY + 9, []), (FIRST_DAY + 9, ["tea"]), (FIRST_DAY + 20, [])]


def test_events_stand_in_time_and_those_of_one_moment_together(frame):
    sequences = read_event_sequences(frame(CLICKS), caller="test")
    assert sequences.unit == "us"
    second_day = (FIRST_DAY + 2) * 86_400_000_000
    assert as_lists(sequences)["a"] == [(second_day, ["search", "home"]), (second_day + 86_400_000_000, ["cart"])]
    by_session = as_lists(read_event_sequences(frame(CLICKS), by="session_id", caller="test"))
    assert by_session == {7: [((FIRST_DAY) * 86_400_000_000, ["home"])], 8: [(second_day, ["search", "home"])],
                          9: [(second_day + 86_400_000_000, ["cart"])]}  # fmt: skip


@given(clicks=st.lists(st.tuples(st.sampled_from("xy"), st.integers(0, 3), st.sampled_from("abc")), min_size=1))
def test_an_element_is_what_a_customer_did_at_a_moment(clicks):
    columns = {
        "customer_id": [who for who, _, _ in clicks],
        "timestamp": [DAY[at] for _, at, _ in clicks],
        "event": [what for _, _, what in clicks],
    }
    sequences = read_event_sequences(make_frame(columns, kind="pandas"), known=np.array(["c", "a"], object), caller="t")
    expected = {}
    for who, at, what in sorted(clicks):
        if what != "b":
            moments = expected.setdefault(who, {})
            moments.setdefault((FIRST_DAY + at) * 86_400_000_000, set()).add(what)
    found = as_lists(sequences)
    assert found == {who: [(at, sorted(what, reverse=True)) for at, what in moments.items()]
                     for who, moments in expected.items()}  # fmt: skip


def test_events_without_a_session_are_told():
    clicks = make_frame(CLICKS, kind="pandas").astype({"session_id": "Int64"})
    clicks.loc[0, "session_id"] = None
    with pytest.warns(DataQualityWarning, match=r"test: 1 of 4 events have no session_id and are left out\."):
        sequences = read_event_sequences(clicks, by="session_id", caller="test")
    assert sequences.sequence_ids.tolist() == [8, 9]


def test_no_events_are_no_sequences():
    assert len(read_event_sequences(make_frame(CLICKS, kind="pandas"), as_of="2023-01-01", caller="test")) == 0
    assert len(read_sequences(make_frame(LINES, kind="pandas"), as_of="2023-01-01", caller="test")) == 0


@given(order=st.permutations(range(len(LINES["order_id"]))))
def test_the_order_of_rows_does_not_matter(order):
    shuffled = {name: [values[place] for place in order] for name, values in LINES.items()}
    there, here = (read_sequences(make_frame(lines, kind="pandas"), caller="test") for lines in (LINES, shuffled))
    for name in ("starts", "item_starts", "items", "moment", "sequence_ids", "item_ids"):
        assert np.array_equal(getattr(there, name), getattr(here, name)), name


def test_says_what_an_element_may_be():
    with pytest.raises(SchemaError, match=r"test: element must be one of \['day', 'order_id'\], got 'week'"):
        read_sequences(make_frame(LINES, kind="pandas"), element="week", caller="test")
    with pytest.raises(SchemaError, match=r"test: item must be one of .*got 'product_id'"):
        read_event_sequences(make_frame(CLICKS, kind="pandas"), item="product_id", caller="test")
