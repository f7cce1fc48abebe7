"""What is told of moments: events that share one, clocks that are changed, and sessions that customers share."""

import datetime as dt
import warnings
from collections import defaultdict

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics import Events
from crmlytics.clickstream import add_sessions, funnel_table, session_table, transition_table, visitor_table
from crmlytics.clickstream._moments import clock_changes, tell_of_ties, tied_count
from crmlytics.exceptions import DataQualityWarning, SchemaError
from crmlytics.testing import make_frame, records

NOON = dt.datetime(2024, 5, 1, 12)
EPOCH = dt.datetime(1970, 1, 1)


# -- events of one moment ----------------------------------------------------------------------------------------------


@given(rows=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 2)), max_size=30))
def test_tied_are_those_whose_moment_holds_something_else(rows):
    held = defaultdict(list)
    for group, moment, what in rows:
        held[group, moment].append(what)
    expected = sum(len(some) for some in held.values() if len(set(some)) > 1)
    ordered = np.array(sorted(rows, key=lambda row: row[:2]), np.int64).reshape(-1, 3)
    assert tied_count(*ordered.T) == expected


@pytest.mark.parametrize(("events", "is_told"), [(39, True), (40, False)])
def test_ties_are_told_above_one_in_twenty(events, is_told):
    moment = np.arange(events)
    moment[1] = 0
    with warnings.catch_warnings(record=True, action="always") as told:
        tell_of_ties(np.zeros(events, int), moment, np.arange(events), caller="test")
    assert len(told) == is_told


def test_every_reader_tells_and_the_repair_that_it_names_keeps_the_order():
    clicks = pd.DataFrame({"customer_id": 1, "timestamp": pd.Timestamp(NOON), "event": ["view", "cart", "buy"]})
    told = r"3 of 3 events share their moment .*timestamp \+ pd.to_timedelta\(counter, unit=\"s\"\)"
    with pytest.warns(DataQualityWarning, match=f"^transition_table: {told}"):
        assert transition_table(clicks)["to_state"].tolist()[0] == "buy"
    with pytest.warns(DataQualityWarning, match=f"^session_table: {told}"):
        session_table(clicks)
    with pytest.warns(DataQualityWarning, match=f"^funnel_table: {told}"):
        funnel_table(clicks, ["view", "cart", "buy"])
    counter = clicks.groupby("customer_id").cumcount()
    repaired = clicks.assign(timestamp=clicks["timestamp"] + pd.to_timedelta(counter, unit="s"))
    assert transition_table(repaired)["from_state"].tolist() == ["(start)", "buy", "cart", "view"]
    add_sessions(clicks)  # which session an event belongs to does not hang on its order


# -- clocks ------------------------------------------------------------------------------------------------------------


def local(*moments):
    return [(dt.datetime.fromisoformat(moment) - EPOCH) // dt.timedelta(microseconds=1) for moment in moments]


@pytest.mark.parametrize(
    ("zone", "year", "changes"),
    [
        ("Europe/Berlin", 2024, [("03-31T02:00", "03-31T03:00"), ("10-27T02:00", "10-27T03:00")]),
        ("America/New_York", 2024, [("03-10T02:00", "03-10T03:00"), ("11-03T01:00", "11-03T02:00")]),
        ("Australia/Lord_Howe", 2024, [("04-07T01:30", "04-07T02:00"), ("10-06T02:00", "10-06T02:30")]),
        ("Asia/Tokyo", 2024, []),
        ("UTC", 2024, []),
    ],
)
def test_clocks_are_changed_when_the_law_says(zone, year, changes):
    every_day = pd.date_range(f"{year}-01-01T12:00", f"{year}-12-31T12:00").astype("datetime64[us]")
    found = clock_changes(zone, every_day.to_numpy().astype("int64"))
    expected = [tuple(local(f"{year}-{first}", f"{year}-{last}")) for first, last in changes]
    assert [change[:2] for change in found] == expected
    assert [change[2] for change in found] == [f"{year}-{first[:5]}" for first, _ in changes]


@pytest.mark.parametrize(
    ("moments", "told"),
    [
        (["2024-03-31 00:55", "2024-03-31 01:02"], r"2 of 2 .*in Europe/Berlin \(2024-03-31\)"),  # an hour is left out
        (["2024-10-27 00:50", "2024-10-27 01:10"], r"2 of 2 .*in Europe/Berlin \(2024-10-27\)"),  # an hour comes twice
        (["2024-10-26 22:59", "2024-10-26 23:00"], "1 of 2 events are within an hour"),  # 00:59 and 01:00
        (["2024-10-27 02:59", "2024-10-27 03:00"], "1 of 2 events are within an hour"),  # 03:59 and 04:00
    ],
)
def test_events_near_a_change_of_the_clock_are_told_and_utc_has_none(moments, told):
    clicks = pd.DataFrame({"customer_id": 1, "timestamp": pd.to_datetime(moments, utc=True), "event": ["home", "cart"]})
    events = Events(clicks, time_zone="Europe/Berlin")
    for table in (session_table, transition_table, add_sessions):
        with pytest.warns(DataQualityWarning, match=rf"{table.__name__}: {told}.*time_zone=\"UTC\""):
            table(events)
    steady = session_table(Events(clicks, time_zone="UTC"))  # does not warn
    assert (len(steady), steady["entry"][0], steady["exit"][0]) == (1, "home", "cart")


def test_far_from_a_change_nothing_is_told():
    moments = pd.to_datetime(["2024-03-30 12:00", "2024-03-31 12:00"], utc=True)
    assert clock_changes("Europe/Berlin", np.array(local("0001-01-01", "2024-06-01", "9999-12-31"))) == []
    clicks = pd.DataFrame({"customer_id": 1, "timestamp": moments, "event": ["home", "cart"]})
    assert len(session_table(Events(clicks, time_zone="Europe/Berlin"))) == 2


# -- sessions of several customers -------------------------------------------------------------------------------------


def test_a_log_in_on_the_way_is_told_and_sessions_can_be_read_whole():
    clicks = pd.DataFrame({
        "customer_id": ["cookie", "cookie", "ann", "bob"], "session_id": ["s", "s", "s", "t"],
        "timestamp": [NOON + dt.timedelta(minutes=m) for m in range(4)], "event": ["home", "cart", "buy", "home"],
    })  # fmt: skip
    told = r"session_table: 1 of 2 session_ids belong to several customers.* bind customer_id=None"
    with pytest.warns(DataQualityWarning, match=told):
        assert session_table(clicks)["event_count"].tolist() == [1, 1, 2]
    with pytest.warns(DataQualityWarning, match="visitor_table: 1 of 2 session_ids"):
        visitor_table(clicks, as_of="2024-05-02")
    assert session_table(Events(clicks, customer_id=None))["event_count"].tolist() == [3, 1]
    unique = clicks.assign(session_id=clicks["customer_id"] + "/" + clicks["session_id"])
    assert session_table(unique)["event_count"].tolist() == [1, 1, 2]  # as the message says: not told


def test_sessions_numbered_within_each_customer_are_no_mistake():
    clicks = pd.DataFrame({
        "customer_id": ["ann", "bob", "cleo", "dan"], "session_id": [1, 1, 1, 1], "timestamp": [NOON] * 4,
        "event": ["home"] * 4,
    })  # fmt: skip
    assert len(session_table(clicks)) == 4  # and warnings are errors


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_events_set_aside_without_a_customer_say_that_they_have_a_session(kind):
    columns = {
        "customer_id": ["a", None, None], "session_id": [1, 1, None],
        "timestamp": [NOON, NOON, NOON], "event": ["home", "cart", "buy"],
    }  # fmt: skip
    told = r"set aside \(no customer 2\).* Of those without a customer 1 have a session_id: .*customer_id=None\)"
    with pytest.warns(DataQualityWarning, match=told):
        Events(make_frame(columns, kind))
    columns["session_id"] = [1, None, None]
    with pytest.warns(DataQualityWarning, match=r"The table .audit has them all.$"):
        Events(make_frame(columns, kind))


# -- events that are there twice ---------------------------------------------------------------------------------------


def test_exact_duplicates_are_set_aside_when_asked_for_on_every_kind(frame):
    columns = {
        "customer_id": ["a", "a", "a", "a"], "timestamp": [NOON, NOON, NOON, NOON],
        "event": ["home"] * 4, "amount": [1.0, 1.0, 1.0, 1.0], "device": ["app", "app", "web", "app"],
        "page": ["x", "x", "x", "y"],
    }  # fmt: skip
    data = frame(columns)
    assert len(records(add_sessions(Events(data, page=None)))) == 4
    events = Events(data, page=None, duplicates="set_aside")  # the page is not used, and tells two events apart
    table = add_sessions(events)
    assert len(records(table)) == 3
    assert list(nw.from_native(table).collect_schema()) == [*events.columns, "session_id", "session_number"]
    assert events.columns == ["customer_id", "timestamp", "event", "amount", "device"]
    assert [row for row in records(events.audit) if row[2] and row[1] != "received"] == [
        ("kept", "kept", 3, 3.0), ("exact duplicate", "set aside", 1, 1.0)
    ]  # fmt: skip


def test_duplicates_are_kept_or_set_aside():
    with pytest.raises(SchemaError, match=r"Events: duplicates must be one of \['keep', 'set_aside'\], got 'drop'"):
        Events(pd.DataFrame({"customer_id": [1], "timestamp": [NOON], "event": ["home"]}), duplicates="drop")
