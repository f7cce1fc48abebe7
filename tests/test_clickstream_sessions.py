"""What add_sessions and session_table promise: every event in one session, cut where it is said, on every frame."""

import datetime as dt
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics import Events
from crmlytics._kernels.sessions import distinct_counts, session_begins, time_order
from crmlytics.clickstream.sessions import add_sessions, session_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

NOON = dt.datetime(2024, 5, 1, 12)


def at(minutes):
    return NOON + dt.timedelta(minutes=minutes)


# ann: a visit of three events, exactly 30 minutes apart at most, then one of a single event 31 minutes later, then a
# third one two days later; bob: one visit, with a purchase.
CLICKS = {
    "customer_id": ["bob", "ann", "ann", "ann", "ann", "bob", "ann"],
    "timestamp": [at(3), at(0), at(30), at(45), at(76), at(5), at(2 * 24 * 60)],
    "event": ["view", "view", "view", "cart", "view", "purchase", "view"],
    "page": ["shoes", "home", "shoes", "home", "home", "till", None],
    "channel": [None, "mail", None, "ad", "ad", "ad", None],
    "amount": [None, None, None, None, None, 20.0, None],
    "platform": ["web", "app", "app", "app", "web", "web", "app"],
}
NAMES = [
    "session_id", "customer_id", "started_at", "ended_at", "duration_seconds", "event_count", "page_count", "entry",
    "exit", "bounced", "converted", "converted_at", "amount", "channel", "visit_number", "days_since_previous",
]  # fmt: skip
ROWS = [
    ("ann/1", "ann", at(0), at(45), 2700.0, 3, 2, "home", "home", False, False, None, 0.0, "mail", 1, None),
    ("ann/2", "ann", at(76), at(76), 0.0, 1, 1, "home", "home", True, False, None, 0.0, "ad", 2, 0.0),
    ("ann/3", "ann", at(2880), at(2880), 0.0, 1, 0, None, None, True, False, None, 0.0, None, 3, 2.0),
    ("bob/1", "bob", at(3), at(5), 120.0, 2, 2, "shoes", "till", False, True, at(5), 20.0, "ad", 1, None),
]


def test_sessions_counted_by_hand_on_every_kind(frame):
    clicks = frame(CLICKS)
    table = session_table(clicks, converted="purchase")
    assert type(table) is type(clicks)
    assert records(table) == ROWS


def test_dtypes_are_the_same_on_every_kind(frame):
    import narwhals.stable.v2 as nw

    schema = nw.from_native(session_table(frame(CLICKS), converted="purchase")).collect_schema()
    kinds = dict.fromkeys(["session_id", "customer_id", "entry", "exit", "channel"], "String")
    kinds |= dict.fromkeys(["event_count", "page_count", "visit_number"], "Int64")
    kinds |= dict.fromkeys(["duration_seconds", "amount", "days_since_previous"], "Float64")
    kinds |= dict.fromkeys(["bounced", "converted"], "Boolean")
    kinds |= dict.fromkeys(["started_at", "ended_at", "converted_at"], "Datetime(time_unit='us', time_zone=None)")
    assert list(schema.names()) == NAMES
    assert {name: str(kind) for name, kind in schema.items()} == kinds


def test_events_keep_their_columns_and_say_their_session_on_every_kind(frame):
    clicks = frame(CLICKS)
    table = add_sessions(clicks)
    assert type(table) is type(clicks)
    found = records(table)
    assert [row[-2:] for row in found] == [("ann/1", 1)] * 3 + [("ann/2", 2), ("ann/3", 3)] + [("bob/1", 1)] * 2
    assert [row[6] for row in found] == ["app", "app", "app", "web", "app", "web", "web"]  # a column without a role
    moments = [at(0), at(30), at(45), at(76), at(2880), at(3), at(5)]
    assert [row[:2] for row in found] == list(zip(["ann"] * 5 + ["bob"] * 2, moments, strict=True))


def test_a_pause_of_the_gap_goes_on_and_a_longer_one_ends():
    events = pd.DataFrame({"customer_id": [1, 1], "timestamp": [at(0), at(30)], "event": ["a", "b"]})
    assert add_sessions(events, gap="30m")["session_number"].tolist() == [1, 1]
    events.loc[1, "timestamp"] += pd.Timedelta("1us")
    assert add_sessions(events, gap="30m")["session_number"].tolist() == [1, 2]
    assert add_sessions(events, gap=dt.timedelta(hours=1))["session_number"].tolist() == [1, 1]


def test_a_session_may_end_at_midnight():
    moments = [dt.datetime(2024, 5, 1, 23, 59), dt.datetime(2024, 5, 2)]
    events = pd.DataFrame({"customer_id": [1, 1], "timestamp": moments, "event": ["a", "b"]})
    assert add_sessions(events)["session_number"].tolist() == [1, 1]
    assert add_sessions(events, new_day=True)["session_number"].tolist() == [1, 2]


def test_a_session_may_end_where_the_channel_changes_and_not_where_none_is_known():
    channels = [None, "mail", None, "mail", "ad", None, "mail"]
    events = pd.DataFrame(
        {"customer_id": 7, "timestamp": [at(m) for m in range(7)], "event": "view", "channel": channels}
    )
    table = add_sessions(events, new_channel=True)
    assert table["session_number"].tolist() == [1, 1, 1, 1, 2, 2, 3]
    assert table["session_id"].tolist()[-1] == "7/3"
    assert session_table(events, gap="30m", new_channel=True)["channel"].tolist() == ["mail", "ad", "mail"]


def test_events_of_one_moment_stand_in_order_of_event_and_page():
    events = pd.DataFrame({"customer_id": 1, "timestamp": NOON, "event": ["b", "a", "a"], "page": ["x", "z", "y"]})
    assert add_sessions(events)[["event", "page"]].to_numpy().tolist() == [["a", "y"], ["a", "z"], ["b", "x"]]
    with pytest.warns(DataQualityWarning, match="session_table: 3 of 3 events share their moment"):
        (row,) = records(session_table(events))
    assert row[7:9] == ("y", "x")


# -- sessions that are given -------------------------------------------------------------------------------------------


def test_given_sessions_are_taken_as_they_are_and_need_to_be_unique_only_within_a_customer():
    events = pd.DataFrame({
        "customer_id": ["a", "a", "b", "a"],
        "session_id": [2, 1, 1, 2],
        "timestamp": [at(0), at(1), at(0), at(999)],
        "event": ["x", "y", "x", "z"],
    })  # fmt: skip
    with pytest.warns(DataQualityWarning, match=r"1 of 2 session_ids .*Events\(data, customer_id=None\).*unique: cust"):
        table = session_table(events)
    columns = ["session_id", "customer_id", "event_count", "entry", "exit", "visit_number"]
    assert table[columns].to_numpy().tolist() == [
        [2, "a", 2, "x", "z", 1],
        [1, "a", 1, "y", "y", 2],
        [1, "b", 1, "x", "x", 1],
    ]
    remade = session_table(events, gap="30m")
    assert remade["session_id"].tolist() == ["a/1", "a/2", "b/1"]


def test_sessions_without_customers_have_a_table_too():
    events = pd.DataFrame({"session_id": [5, 5], "timestamp": [at(0), at(1)], "page": ["x", "y"]})
    table = session_table(events, converted="y")
    assert table["converted"].tolist() == [True]
    assert "customer_id" not in table.columns
    assert "visit_number" not in table.columns


def test_events_without_a_session_are_left_out_and_told():
    events = pd.DataFrame({"customer_id": [1, 1], "session_id": ["s", None], "timestamp": NOON, "event": "x"})
    with pytest.warns(DataQualityWarning, match=r"session_table: 1 of 2 events have no session_id and are left out"):
        assert session_table(events)["event_count"].tolist() == [1]


# -- what the contract does holds here too --------------------------------------------------------------------------


def test_zones_formats_periods_and_bad_lines_are_the_contract_s():
    clicks = pd.DataFrame({
        "who": [1, 1, None, 1, 1],
        "when": ["01/05/2024 22:00", "01/05/2024 22:20", "01/05/2024 22:30", "sometime", "02/05/2024 09:00"],
        "what": list("abcde"),
    })  # fmt: skip
    roles = {"customer_id": "who", "timestamp": "when", "event": "what", "timestamp_format": "%d/%m/%Y %H:%M"}
    with pytest.warns(DataQualityWarning, match=r"2 of 5 lines set aside \(no customer 1, no date 1\)"):
        events = Events(clicks, **roles)
    table = add_sessions(events)  # does not warn again
    assert table[["customer_id", "event", "session_id"]].to_numpy().tolist() == [
        [1, "a", "1/1"], [1, "b", "1/1"], [1, "e", "1/2"],
    ]  # fmt: skip
    assert add_sessions(events.before("2024-05-02"))["event"].tolist() == ["a", "b"]
    when = pd.to_datetime(clicks["when"], format="%d/%m/%Y %H:%M", errors="coerce").dt.tz_localize("UTC")
    aware = Events(
        clicks.assign(when=when).iloc[[0, 1, 4]], **roles | {"timestamp_format": None}, time_zone="Asia/Tokyo"
    )
    assert add_sessions(aware)["timestamp"].tolist()[0] == pd.Timestamp("2024-05-02 07:00")


# -- nothing lost, nothing from the future, no order needed ------------------------------------------------------------

clicks = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 300), st.sampled_from("abc"), st.sampled_from(["ad", "mail", None])),
    min_size=1,
    max_size=30,
)


def frame_of(rows, kind="pandas"):
    columns = zip(*rows, strict=True)
    data = dict(zip(["customer_id", "timestamp", "event", "channel"], map(list, columns), strict=True))
    data["timestamp"] = [at(10 * minute) for minute in data["timestamp"]]
    data["channel"] = pd.array(data["channel"], dtype="str")
    return make_frame(data, kind)


def plain_sessions(rows, gap, *, new_day, new_channel):
    """Sessions as lists of rows, one loop over sorted rows."""
    found = []
    for row in sorted(rows, key=lambda row: (*row[:3], row[3] is not None, row[3] or "")):
        customer, minute, _, channel = row
        last = found[-1][-1] if found else None
        new = last is None or last[0] != customer or 10 * (minute - last[1]) > gap
        new = new or (new_day and at(10 * minute).date() != at(10 * last[1]).date())
        known = [other[3] for other in found[-1] if other[3]] if found else []
        new = new or bool(new_channel and channel and known and known[-1] != channel)
        if new:
            found.append([])
        found[-1].append(row)
    return found


@given(rows=clicks, gap=st.sampled_from([10, 30, 720]), new_day=st.booleans(), new_channel=st.booleans())
def test_sessions_part_the_events_as_a_plain_loop_does(rows, gap, new_day, new_channel):
    options = {"gap": f"{gap}m", "new_day": new_day, "new_channel": new_channel}
    expected = plain_sessions(rows, gap, new_day=new_day, new_channel=new_channel)
    with warnings.catch_warnings(action="ignore"):  # many of these events share their moment
        table = session_table(frame_of(rows), **options)
    assert table["event_count"].tolist() == [len(session) for session in expected]
    assert table["started_at"].tolist() == [at(10 * session[0][1]) for session in expected]
    assert table["page_count"].tolist() == [len({row[2] for row in session}) for session in expected]
    channels = [next((row[3] for row in session if row[3]), None) for session in expected]
    assert [row[10] for row in records(table)] == channels
    added = add_sessions(frame_of(rows), **options)
    assert len(added) == len(rows)
    assert added.groupby("session_id", sort=False).size().tolist() == table["event_count"].tolist()
    assert added["session_id"].unique().tolist() == table["session_id"].tolist()


@given(rows=clicks, seed=st.integers(0, 9))
def test_the_order_of_the_rows_does_not_matter(rows, seed):
    shuffled = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
    options = {"converted": "a", "new_channel": True, "gap": "20m"}
    with warnings.catch_warnings(action="ignore"):
        tables = [session_table(frame_of(some, "polars"), **options) for some in (rows, shuffled)]
        added = [add_sessions(frame_of(some, "polars"), new_channel=True) for some in (rows, shuffled)]
    assert tables[0].equals(tables[1])
    assert added[0].equals(added[1])


def test_nothing_at_or_after_as_of_is_read():
    as_of = at(76)
    future = {name: [*values, *values[:1]] for name, values in CLICKS.items()}
    future["timestamp"][-1], future["event"][-1], future["amount"][-1] = as_of, "purchase", 1e9
    known = {name: [v for v, moment in zip(values, CLICKS["timestamp"], strict=True) if moment < as_of]
             for name, values in CLICKS.items()}  # fmt: skip
    table = session_table(make_frame(future, "polars"), converted="purchase", as_of=as_of)
    assert table.equals(session_table(make_frame(known, "polars"), converted="purchase"))


def test_before_any_event_there_is_an_empty_table(frame):
    table = session_table(frame(CLICKS), converted=["purchase"], as_of="2024-06-01")
    assert records(table) == ROWS
    with pytest.warns(DataQualityWarning, match="names 'purchase', and no event"):
        assert records(session_table(frame(CLICKS), converted=["purchase"], as_of="2024-04-01")) == []


# -- kernels against plain counts --------------------------------------------------------------------------------------


@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(-1, 2), st.integers(-1, 2)), max_size=40)
)
def test_the_order_is_that_of_sorted_rows(rows):
    group, moment, first, second = (np.array(column, np.int64) for column in zip(*rows, strict=True)) if rows else (
        np.zeros(0, np.int64),
    ) * 4  # fmt: skip
    order = time_order([group.astype(np.int32)], moment, [first.astype(np.int32), second.astype(np.int32)])
    assert sorted(order.tolist()) == list(range(len(rows)))
    assert [rows[i] for i in order] == sorted(rows)


def test_loops_give_what_python_gives():
    starts = np.array([0, 3, 3, 5])
    codes = np.array([0, 0, -1, 1, 0], np.int32)
    assert distinct_counts(starts, codes, 2).tolist() == [1, 0, 2]
    day = 86_400_000_000
    moment = np.array([-1, 0, day - 1, day, 2 * day])  # before 1970 as well
    begins = session_begins(np.array([0, 5]), moment, np.full(5, -1, np.int32), day - 1, True, False)
    assert begins.tolist() == [True, True, False, True, True]


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_says_what_to_type():
    events = make_frame(CLICKS, "pandas")
    given_ids = events.assign(session_id=1)
    with pytest.raises(SchemaError, match=r"add_sessions: the events have a session_id.*Events\(data, session_id=None"):
        add_sessions(given_ids)
    assert len(add_sessions(Events(given_ids, session_id=None))) == len(events)
    with pytest.raises(SchemaError, match=r"column 'session_number' of their own. Rename it first"):
        add_sessions(events.assign(session_number=1))
    with pytest.raises(SchemaError, match=r'session_table: gap must be a duration such as gap="90s", "30m"'):
        session_table(events, gap="half an hour")
    with pytest.raises(SchemaError, match=r"new_day and new_channel are for sessions that are made.*gap=\"30m\""):
        session_table(given_ids, new_day=True)
    with pytest.raises(MissingColumnsError, match=r"add_sessions needs \['channel'\]"):
        add_sessions(events.drop(columns="channel"), new_channel=True)
    with pytest.raises(MissingColumnsError, match=r"session_table needs 'event' or 'page', and Events has"):
        session_table(events.drop(columns=["event", "page"]))
    with pytest.raises(SchemaError, match=r'converted must be an event or a list of events such as \["purchase"\]'):
        session_table(events, converted=[])
    with pytest.warns(DataQualityWarning, match=r"converted names 'purchse', .* Did you mean 'purchase'\?"):
        session_table(events, converted="purchse")


# -- real data ---------------------------------------------------------------------------------------------------------


def test_the_sessions_of_a_shop_are_those_of_pauses_of_half_an_hour(shared_data):
    events = pd.read_parquet(shared_data / "clickstream_ecom.parquet").rename(columns={"user_id": "customer_id"})
    table = session_table(events, converted="purchase")
    assert len(table) == 3605
    assert table["event_count"].sum() == len(events) == 31_106
    assert table["converted"].sum() == 470
    made = add_sessions(Events(events.assign(given=events["session_id"]), session_id=None), gap="30m")
    assert len(made) == len(events)
    assert made.groupby("given")["session_id"].nunique().eq(1).all()
    assert made.groupby("session_id")["given"].nunique().eq(1).all()
    assert len(session_table(events, gap="10m")) == 4171


def test_clicks_that_have_only_dates_and_an_order_are_ordered_by_made_seconds(shared_data):
    clicks = pd.read_parquet(shared_data / "eshop_clickstream.parquet")
    day = pd.to_datetime(clicks[["year", "month", "day"]])
    clicks["timestamp"] = day + pd.to_timedelta(clicks["order"], unit="s")
    events = Events(clicks, session_id="session ID", page="page 2 (clothing model)")
    table = session_table(events)
    assert (len(table), table["event_count"].sum()) == (24_026, 165_474)
    first = clicks.sort_values(["session ID", "order"]).groupby("session ID")["page 2 (clothing model)"].first()
    assert table.set_index("session_id")["entry"].loc[first.index].tolist() == first.tolist()
