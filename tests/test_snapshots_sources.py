"""What the features of tickets, clicks, contacts, attributes and subscriptions promise: only what was known then."""

import datetime as dt

import narwhals.stable.v2 as nw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Contacts, Customers, Events, Subscriptions, Tickets
from crmlytics.exceptions import MissingColumnsError
from crmlytics.snapshots._clicks import click_features
from crmlytics.snapshots._contacts import contact_features
from crmlytics.snapshots._customers import customer_features
from crmlytics.snapshots._sources import fills
from crmlytics.snapshots._subscriptions import subscription_features
from crmlytics.snapshots._tickets import ticket_features
from crmlytics.testing import make_frame, records

CUTOFF = dt.datetime(2024, 7, 1)


def day(month, number, hour=0):
    return dt.datetime(2024, month, number, hour)


TICKETS = {
    "ticket_id": [1, 2, 3, 4, 5],
    "customer_id": ["a", "a", "a", "b", "c"],
    "opened_at": [day(5, 1, 10), day(6, 20), day(6, 30, 23), day(6, 1), CUTOFF],  # c's comes at the cutoff itself
    "first_reply_at": [day(5, 2), day(7, 2), None, CUTOFF, day(7, 2)],
    "closed_at": [day(5, 4), day(6, 28), day(7, 5), None, None],
    "reopened_at": [day(5, 20), day(7, 3), None, None, None],
    "satisfaction": [4.0, 1.0, 2.0, None, 5.0],  # ticket 2 was closed 3 days before: its mark may not be there yet
}
EVENTS = {
    "customer_id": [1, 1, 1, 1, 2, 3],
    "timestamp": [day(1, 1), day(6, 1), day(6, 1, 12), day(6, 30), day(6, 30, 23), CUTOFF],
    "event": ["view", "view", "cart", "view", "view", "buy"],
    "page": ["p", None, None, "q", None, "z"],
    "session_id": ["s", "t", "t", "u", "v", "w"],
}
CONTACTS = {
    "customer_id": ["a", "a", "a", "a", "b", "b", "c"],
    "campaign_id": [1, 2, 3, 4, 1, 2, 5],
    "timestamp": [day(4, 1), day(6, 1), day(6, 2), day(6, 25), day(6, 20), day(6, 21), CUTOFF],
    "arm": ["mail", "mail", "mail", "mail", "Control", "mail", "mail"],
    "responded": [True, False, True, True, True, True, True],  # 2 June is 29 days before: not known yet
    "amount": [10.0, None, 20.0, 40.0, 80.0, 160.0, 320.0],
}
CUSTOMERS = {
    "customer_id": [1, 1, 1, 2, 2, 3, 4],
    "valid_from": [None, day(3, 1), CUTOFF, day(1, 1), day(1, 1), day(8, 1), day(1, 1)],
    "valid_to": [day(3, 1), CUTOFF, None, None, None, None, day(2, 1)],
    "city": ["Rome", "Oslo", "Lima", "Kiev", "Bonn", "Nice", "York"],
    "income": [1.0, 2.0, 3.0, 4.0, 4.0, 5.0, 6.0],
    "consent": [True, False, True, True, True, True, True],
    "signed_up": [day(1, 1), day(6, 1), day(6, 1), CUTOFF, CUTOFF, day(1, 1), day(1, 1)],
}
SUBSCRIPTIONS = {
    "customer_id": ["a", "a", "a", "b", "b", "c", "d", "e", "e"],
    "started_at": [day(1, 1), day(3, 1), day(5, 1), day(2, 1), day(2, 1), CUTOFF, day(6, 1), day(1, 1), day(6, 1)],
    "ended_at": [day(3, 1), None, CUTOFF, day(6, 1), day(6, 11), None, day(6, 2), None, None],
    "plan": ["basic", "gold", "gold", "x", "y", "z", None, "old", "new"],
    "price": [5.0, 20.0, 7.0, 1.0, 1.0, 9.0, 3.0, None, 2.0],
}


def rows(plan):
    table = records(plan.sort("customer_id").collect().to_native())
    names = plan.collect_schema().names()
    return {row[0]: dict(zip(names[1:], row[1:], strict=True)) for row in table}


def kinds(plan):
    return {name: str(dtype) for name, dtype in plan.collect_schema().items() if name != "customer_id"}


def test_tickets_by_hand(frame):
    found = rows(ticket_features(Tickets(frame(TICKETS)), CUTOFF, (30,)))
    assert found["a"] == {
        "ticket_count": 3, "ticket_count_30d": 2, "open_ticket_count": 1, "unanswered_ticket_count": 2,
        "reopened_ticket_count": 1, "ticket_recency_days": 1, "mean_closing_days": 5.5, "mean_reply_days": 1.0,
        "mean_satisfaction": 4.0,
    }  # fmt: skip
    assert found["b"] == {
        "ticket_count": 1, "ticket_count_30d": 1, "open_ticket_count": 1, "unanswered_ticket_count": 1,
        "reopened_ticket_count": 0, "ticket_recency_days": 30, "mean_closing_days": None, "mean_reply_days": None,
        "mean_satisfaction": None,
    }  # fmt: skip
    assert sorted(found) == ["a", "b"]


def test_a_lookback_begins_so_many_days_before_the_cutoff():
    tickets = Tickets(make_frame({"ticket_id": [1], "customer_id": [1], "opened_at": [day(6, 1)]}, "polars"))
    found = rows(ticket_features(tickets, CUTOFF, (29, 30)))[1]
    assert (found["ticket_count_29d"], found["ticket_count_30d"]) == (0, 1)


def test_clicks_by_hand(frame):
    found = rows(click_features(Events(frame(EVENTS)), CUTOFF, (30, 90)))
    assert found == {
        1: {
            "event_count": 4, "event_count_30d": 3, "event_count_90d": 3, "event_recency_days": 1,
            "event_day_count": 3, "event_kind_count": 2, "event_page_count": 2, "event_session_count": 3,
        },
        2: {
            "event_count": 1, "event_count_30d": 1, "event_count_90d": 1, "event_recency_days": 1,
            "event_day_count": 1, "event_kind_count": 1, "event_page_count": 0, "event_session_count": 1,
        },
    }  # fmt: skip


def test_contacts_by_hand(frame):
    found = rows(contact_features(Contacts(frame(CONTACTS)), CUTOFF, (10,)))
    assert found == {
        "a": {
            "contact_count": 4, "contact_count_10d": 1, "response_count": 1, "response_amount": 10.0,
            "contact_recency_days": 6, "response_share": 0.5,
        },
        "b": {
            "contact_count": 1, "contact_count_10d": 1, "response_count": 0, "response_amount": 0.0,
            "contact_recency_days": 10, "response_share": None,
        },
    }  # fmt: skip


def test_arms_that_are_numbers_are_all_contacts():
    contacts = Contacts(make_frame(CONTACTS | {"arm": [1, 1, 1, 1, 0, 1, 1]}, "pandas"))
    assert rows(contact_features(contacts, CUTOFF, ()))["b"]["contact_count"] == 2


def test_attributes_of_the_row_in_force_just_before_the_cutoff(frame):
    found = rows(customer_features(Customers(frame(CUSTOMERS)), CUTOFF))
    assert found == {
        1: {"city": "Oslo", "income": 2.0, "consent": 0.0, "signed_up_days": 30.0},
        2: {"city": None, "income": 4.0, "consent": 1.0, "signed_up_days": None},  # two rows that contradict each other
    }


def test_undated_attributes_are_taken_as_they_are(frame):
    people = {"customer_id": [2, 1], "age": [30, 40], "account_id": ["x", "y"], "segment": ["s", None]}
    found = rows(customer_features(Customers(frame(people)), CUTOFF))
    assert found == {1: {"age": 40.0, "segment": None}, 2: {"age": 30.0, "segment": "s"}}


def test_of_overlapping_rows_the_one_that_began_last_counts():
    people = {
        "customer_id": [1, 1], "valid_from": [day(1, 1), day(2, 1)], "valid_to": [day(9, 1), None],
        "city": ["Rome", "Oslo"],
    }  # fmt: skip
    assert rows(customer_features(Customers(make_frame(people, "pandas")), CUTOFF)) == {1: {"city": "Oslo"}}


def test_subscriptions_by_hand(frame):
    found = rows(subscription_features(Subscriptions(frame(SUBSCRIPTIONS)), CUTOFF))
    assert found["a"] == {
        "subscription_count": 3, "running_subscription_count": 2, "running_price_amount": 27.0,
        "subscription_days": 182, "running_days": 122.0, "end_recency_days": 122.0,
        "running_plan": "gold", "plan_change_count": 1,
    }  # fmt: skip
    assert found["b"] == {
        "subscription_count": 2, "running_subscription_count": 0, "running_price_amount": 0.0,
        "subscription_days": 151, "running_days": None, "end_recency_days": 20.0,
        "running_plan": None, "plan_change_count": 1,
    }  # fmt: skip
    assert found["d"]["plan_change_count"] == 0
    assert found["d"]["running_days"] is None
    assert found["e"]["running_plan"] == "new"  # began last, though "old" comes last by name
    assert (found["e"]["plan_change_count"], found["e"]["running_price_amount"]) == (1, 2.0)
    assert sorted(found) == ["a", "b", "d", "e"]


SOURCES = {
    "tickets": lambda kind: ticket_features(Tickets(make_frame(TICKETS, kind)), CUTOFF, (30,)),
    "clicks": lambda kind: click_features(Events(make_frame(EVENTS, kind)), CUTOFF, (30,)),
    "contacts": lambda kind: contact_features(Contacts(make_frame(CONTACTS, kind)), CUTOFF, (30,)),
    "customers": lambda kind: customer_features(Customers(make_frame(CUSTOMERS, kind)), CUTOFF),
    "subscriptions": lambda kind: subscription_features(Subscriptions(make_frame(SUBSCRIPTIONS, kind)), CUTOFF),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("kind", ["pandas", "pandas-nullable", "polars-lazy", "pyarrow", "duckdb"])
def test_every_engine_gives_the_same_dtypes(source, kind):
    assert kinds(SOURCES[source](kind)) == kinds(SOURCES[source]("polars"))


def test_what_a_customer_without_a_row_gets():
    assert fills(["ticket_count_30d", "response_amount", "ticket_recency_days", "response_share"]) == {
        "ticket_count_30d": 0,
        "response_amount": 0.0,
    }


# -- the future is not read ----------------------------------------------------------------------------------------

moments = st.integers(0, 40).map(lambda hours: CUTOFF + dt.timedelta(hours=6 * (hours - 20)))
later = st.integers(0, 20).map(lambda hours: CUTOFF + dt.timedelta(hours=6 * hours))


@settings(max_examples=20)
@given(opened=st.lists(moments, min_size=1, max_size=6), data=st.data())
def test_no_ending_at_or_after_the_cutoff_changes_a_feature(opened, data):
    endings = [data.draw(st.none() | moments.map(lambda end, start=start: max(end, start))) for start in opened]
    poisoned = [data.draw(st.none() | later) if end is None or end >= CUTOFF else end for end in endings]
    poisoned = [None if end is None else max(start, end) for start, end in zip(opened, poisoned, strict=True)]
    marks = [
        1.0 if end is not None and end < CUTOFF - dt.timedelta(days=7) + dt.timedelta(microseconds=1) else 5.0
        for end in endings
    ]
    fixed = {"ticket_id": list(range(len(opened))), "customer_id": ["a"] * len(opened), "opened_at": opened}
    fixed |= {"started_at": opened, "price": [1.0] * len(opened), "plan": ["x"] * len(opened)}
    for kind in ("pandas", "polars"):
        plans = []
        for ends, given_marks in ((endings, [1.0] * len(opened)), (poisoned, marks)):
            whole = fixed | {"ended_at": ends, "closed_at": ends, "first_reply_at": ends, "satisfaction": given_marks}
            table = make_frame(whole, kind)
            table = (
                nw.from_native(table)
                .with_columns(nw.col("closed_at", "ended_at", "first_reply_at").cast(nw.Datetime("us")))
                .to_native()
            )
            plans.append(
                (ticket_features(Tickets(table), CUTOFF, (3,)), subscription_features(Subscriptions(table), CUTOFF))
            )
        assert [rows(plan) for plan in plans[0]] == [rows(plan) for plan in plans[1]]


@settings(max_examples=20)
@given(moments_of=st.lists(moments, min_size=1, max_size=8), data=st.data())
def test_no_event_contact_or_attribute_from_the_cutoff_on_changes_a_feature(moments_of, data):
    kept = [moment for moment in moments_of if moment < CUTOFF]
    future = data.draw(st.lists(later, min_size=1, max_size=4))
    found = []
    for stamps in (kept + [moment for moment in moments_of if moment >= CUTOFF] + [CUTOFF], kept + future):
        size = len(stamps)
        table = make_frame(
            {
                "customer_id": [1] * size, "timestamp": stamps, "event": [str(i) for i in range(size)],
                "campaign_id": [1] * size, "responded": [stamp > CUTOFF - dt.timedelta(days=30) for stamp in stamps],
                "valid_from": stamps, "income": [float(i) for i in range(size)],
            },
            "polars",
        )  # fmt: skip
        found.append(
            [
                rows(click_features(Events(table), CUTOFF, (3,))),
                rows(contact_features(Contacts(table), CUTOFF, (3,))),
                rows(customer_features(Customers(table.select("customer_id", "valid_from", "income")), CUTOFF)),
            ]
        )
    assert found[0] == found[1]


def test_says_which_column_is_missing():
    contacts = Contacts(make_frame({"timestamp": [CUTOFF - dt.timedelta(days=9)], "campaign_id": [1]}, "pandas"))
    with pytest.raises(MissingColumnsError, match=r"contact_features needs \['customer_id'\].*customer_id='<your col"):
        contact_features(contacts, CUTOFF, ())
