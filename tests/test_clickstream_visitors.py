"""What visitor_table promises: features counted by hand on every frame, from nothing at or after the moment."""

import datetime as dt
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics.clickstream.sessions import session_table
from crmlytics.clickstream.visitors import visitor_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

MAY = dt.datetime(2024, 5, 1)  # a Wednesday


def at(day, hour, minute=0):
    return MAY + dt.timedelta(days=day - 1, hours=hour, minutes=minute)


AS_OF = at(31, 0)
CLICKS = {
    "customer_id": [2, 2, 2, 2, 1, 1, 3],
    "timestamp": [at(3, 10), at(3, 10, 10), at(4, 5), at(4, 19), at(30, 23), at(31, 0), at(1, 0)],
    "event": ["view", "cart", "view", "buy", "view", "buy", "view"],
    "page": ["home", "till", None, "till", "home", "till", "home"],
    "channel": [None, "mail", "ad", None, None, "mail", None],
    "amount": [None, None, None, 9.5, None, 99.0, None],
}
NAMES = [
    "customer_id", "session_count", "event_count", "page_count", "active_day_count", "days_since_last_event",
    "mean_session_seconds", "mean_session_events", "bounced_share", "night_share", "morning_share", "afternoon_share",
    "evening_share", "weekend_share", "converted", "converted_share", "cart_count", "buy_count", "amount",
    "last_channel",
]  # fmt: skip
ROWS = [
    (1, 1, 1, 1, 1, 1, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, False, 0.0, 0, 0, 0.0, None),
    (2, 3, 4, 2, 2, 27, 200.0, 4 / 3, 2 / 3, 0.25, 0.5, 0.0, 0.25, 0.5, True, 1 / 3, 1, 1, 9.5, "ad"),
    (3, 1, 1, 1, 1, 30, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, False, 0.0, 0, 0, 0.0, None),
]


def test_counted_by_hand_on_every_kind(frame):
    clicks = frame(CLICKS)
    table = visitor_table(clicks, as_of=AS_OF, converted="buy", count_events=["cart", "buy"])
    assert type(table) is type(clicks)
    found = records(table)
    assert [row[-1] for row in found] == [row[-1] for row in ROWS]
    assert [row[:-1] for row in found] == [pytest.approx(row[:-1]) for row in ROWS]


def test_dtypes_are_the_same_on_every_kind(frame):
    import narwhals.stable.v2 as nw

    table = visitor_table(frame(CLICKS), as_of=AS_OF, converted="buy", count_events=["cart", "buy"])
    schema = nw.from_native(table).collect_schema()
    kinds = {name: "Int64" if name.endswith("_count") else "Float64" for name in NAMES}
    kinds |= {"customer_id": "Int64", "days_since_last_event": "Int64", "converted": "Boolean"}
    assert {name: str(kind) for name, kind in schema.items()} == kinds | {"last_channel": "String"}
    assert schema.names() == NAMES


def test_the_lookback_begins_at_midnight_and_who_was_not_there_has_no_row():
    clicks = make_frame(CLICKS, "pandas")
    assert visitor_table(clicks, as_of=at(31, 9), lookback="30d")["customer_id"].tolist() == [1, 2, 3]
    assert visitor_table(clicks, as_of=at(31, 9), lookback="29d")["customer_id"].tolist() == [1, 2]
    assert visitor_table(clicks, as_of=AS_OF, lookback="27d")["event_count"].tolist() == [1, 2]
    assert visitor_table(clicks, as_of=at(400, 0), lookback=None)["event_count"].tolist() == [2, 4, 1]


def test_nothing_at_or_after_as_of_is_read():
    poisoned = {name: [*values, *values] for name, values in CLICKS.items()}
    poisoned["timestamp"][7:] = [AS_OF + dt.timedelta(hours=hours) for hours in range(7)]
    poisoned["event"][7:] = ["buy"] * 7
    poisoned["amount"][7:] = [1e9] * 7
    known = {name: [v for v, moment in zip(values, CLICKS["timestamp"], strict=True) if moment < AS_OF]
             for name, values in CLICKS.items()}  # fmt: skip
    options = {"as_of": AS_OF, "converted": "buy", "count_events": ["buy"]}
    table = visitor_table(make_frame(poisoned, "polars"), **options)
    assert table.equals(visitor_table(make_frame(known, "polars"), **options))


clicks = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 99), st.sampled_from("abc"), st.sampled_from("xyz")),
    min_size=1,
    max_size=30,
)


@given(rows=clicks, seed=st.integers(0, 9), given_sessions=st.booleans())
def test_customers_are_what_their_sessions_add_up_to(rows, seed, given_sessions):
    customer, hour, event, session = zip(*rows, strict=True)
    events = pd.DataFrame({"customer_id": customer, "timestamp": [at(1, h) for h in hour], "event": event})
    events = events.assign(session_id=session) if given_sessions else events
    wanted = {"converted": "a"} if "a" in event else {}
    shuffled = events.sample(frac=1, random_state=seed)
    with warnings.catch_warnings(action="ignore"):  # events share moments, and customers share sessions' ids
        found = visitor_table(shuffled, as_of="2024-06-01", lookback=None, **wanted)
        sessions = session_table(events, **wanted)
    grouped = sessions.groupby("customer_id")
    assert found["session_count"].tolist() == grouped.size().tolist()
    assert found["event_count"].tolist() == grouped["event_count"].sum().tolist()
    assert found["mean_session_seconds"].tolist() == pytest.approx(grouped["duration_seconds"].mean().tolist())
    assert found["bounced_share"].tolist() == pytest.approx(grouped["bounced"].mean().tolist())
    days = events.assign(day=events["timestamp"].dt.date).groupby("customer_id")
    assert found["active_day_count"].tolist() == days["day"].nunique().tolist()
    assert found["page_count"].tolist() == days["event"].nunique().tolist()
    parts = found[NAMES[9:13]].sum(axis=1)
    assert parts.to_numpy() == pytest.approx(np.ones(len(found)))
    if wanted:
        assert found["converted_share"].tolist() == pytest.approx(grouped["converted"].mean().tolist())


@pytest.mark.parametrize("wanted", [np.array([0, 4]), pd.Series([0, 4]), [np.int64(0), 4], (0, 4)])
def test_events_that_are_numbers_are_counted_as_they_come(wanted):
    events = pd.DataFrame({"customer_id": 1, "timestamp": [at(1, h) for h in range(3)], "event": [0, 4, 4]})
    table = visitor_table(events, as_of="2024-06-01", lookback=None, count_events=wanted, converted=wanted[1:])
    assert table[["0_count", "4_count", "converted"]].to_numpy().tolist() == [[1, 2, True]]
    assert visitor_table(events, as_of="2024-06-01", lookback=None, count_events=0)["0_count"].tolist() == [1]


def test_weekends_are_saturday_and_sunday():
    days = pd.date_range("2023-12-25", periods=14)  # from a Monday
    events = pd.DataFrame({"customer_id": range(14), "timestamp": days, "event": "x"})
    found = visitor_table(events, as_of="2024-02-01", lookback=None)["weekend_share"].tolist()
    assert found == [float(day.day_of_week >= 5) for day in days]


def test_says_what_to_type():
    events = make_frame(CLICKS, "pandas")
    with pytest.raises(SchemaError, match=r"visitor_table: lookback must be a duration in days or weeks such as lookb"):
        visitor_table(events, as_of=AS_OF, lookback="12h")
    with pytest.raises(SchemaError, match=r"count_events would make a second column 'Session_count'. Rename the event"):
        visitor_table(events.assign(event="Session"), as_of=AS_OF, count_events="Session")
    with pytest.raises(MissingColumnsError, match=r"visitor_table needs \['customer_id'\]"):
        visitor_table(events.drop(columns="customer_id"), as_of=AS_OF)
    with pytest.warns(DataQualityWarning, match=r"count_events names 'crt', and no event .* Did you mean 'cart'\?"):
        assert visitor_table(events, as_of=AS_OF, count_events="crt")["crt_count"].tolist() == [0, 0, 0]
    with pytest.raises(TypeError, match="as_of"):
        visitor_table(events)


def test_the_visitors_of_a_shop_fit_a_model(shared_data):
    events = pd.read_parquet(shared_data / "clickstream_ecom.parquet").rename(columns={"user_id": "customer_id"})
    table = visitor_table(events, as_of="2024-06-01", converted="purchase", count_events=["cart", "search"])
    inside = events[(events["timestamp"] >= "2024-05-02") & (events["timestamp"] < "2024-06-01")]
    assert table["event_count"].sum() == len(inside)
    assert table["search_count"].sum() == (inside["event"] == "search").sum()
    assert table["session_count"].sum() == inside["session_id"].nunique()
    assert not table.isna().to_numpy().any()
