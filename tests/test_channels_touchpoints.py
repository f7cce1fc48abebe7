"""What touchpoint_table promises: every day in one phase, counted by hand and one by one; planted order."""

import datetime as dt

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from crmlytics import Contacts, datasets
from crmlytics.channels._plots import plot_touchpoints
from crmlytics.channels.touchpoints import SCHEMA, touchpoint_table
from crmlytics.exceptions import SchemaError
from crmlytics.testing import records

START = dt.datetime(2024, 1, 1)


def day(number):
    return START + dt.timedelta(days=number)


AS_OF = day(60)
SALES = {
    "customer_id": ["a", "a", "b", "b", "a"],
    "order_id": [1, 2, 3, 4, 5],
    "timestamp": [day(10), day(30), day(20), day(20), AS_OF],
    "amount": [5.0, 5.0, 5.0, 5.0, 9.0],
}
TOUCHES = [  # customer, day, session, channel; windows of five days
    ("a", 0, "s0", "web"),  # before the first order, and not near
    ("a", 7, "s1", "web"), ("a", 10, "s2", "mail"), ("a", 12, "s3", "web"),
    ("a", 18, "s4", "web"), ("a", 18, "s4", "web"),  # one session, one touch; outside
    ("a", 27, "s5", "web"), ("a", 28, "s6", "web"), ("a", 35, "s7", "mail"),
    ("a", 40, "s8", "mail"), ("a", 50, "s9", "web"),  # outside; the last known day
    ("b", 20, "s10", "web"), ("b", 22, None, None),
    ("c", 20, "s11", "web"),  # never ordered
    ("a", 60, "s12", "web"),  # at as_of
]  # fmt: skip
EVENTS = {
    "customer_id": [touch[0] for touch in TOUCHES],
    "timestamp": [day(touch[1]) for touch in TOUCHES],
    "session_id": [touch[2] for touch in TOUCHES],
    "channel": [touch[3] for touch in TOUCHES],
    "event": ["view"] * len(TOUCHES),
}
WINDOWS = {"as_of": AS_OF, "before": "5d", "after": "5d"}


def told(table, names):
    rows = [dict(zip(SCHEMA, row, strict=True)) for row in records(table)]
    return [tuple(row[name] for name in names) for row in rows]


def test_counts_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = touchpoint_table(frame(EVENTS), sales, **WINDOWS)
    assert type(table) is type(sales)
    assert dict(nw.from_native(table).collect_schema()) == dict(SCHEMA)
    counted = ["channel", "phase", "order_count", "reached_order_count", "touch_count", "touches_per_order"]
    assert told(table, counted) == [  # b's two orders of one day are one
        ("mail", "before", 3, 0, 0, 0.0),
        ("mail", "at", 3, 1, 1, 1 / 3),
        ("mail", "after", 3, 1, 1, 1 / 3),  # day 35
        ("web", "before", 3, 2, 3, 1.0),
        ("web", "at", 3, 1, 1, 1 / 3),
        ("web", "after", 3, 1, 1, 1 / 3),
    ]
    # of a, outside and known: days 16 to 24 and 36 to 49, 23 days with the touches of day 18 (web) and 40 (mail)
    found = dict(zip([row[:2] for row in told(table, counted)], told(table, ["lift"]), strict=True))
    assert found["web", "before"][0] == pytest.approx((2 / 5) / (1 / 23))  # not the days before the first order
    assert found["mail", "at"][0] == pytest.approx((1 / 2) / (1 / 23))
    assert found["web", "after"][0] == pytest.approx((1 / 10) / (1 / 23))
    assert told(table, ["usual_touches"])[3][0] == pytest.approx(5 / 23)


def test_the_day_between_two_orders_belongs_to_the_next_one():
    sales = pd.DataFrame({"customer_id": 1, "order_id": [1, 2], "amount": 1.0, "timestamp": [day(20), day(27)]})
    events = pd.DataFrame({"customer_id": 1, "event": "view", "channel": "web",
                           "timestamp": [day(number) for number in (0, 21, 22, 23)]})  # fmt: skip
    table = touchpoint_table(events, sales, **WINDOWS)
    assert told(table, ["phase", "touch_count", "phase_days"]) == [
        ("before", 2, 5.0), ("at", 0, 1.0), ("after", 1, 3.0)
    ]  # fmt: skip


@pytest.mark.parametrize(("arm", "control"), [("control", None), ("Not contacted", None), ("wait", "wait"), (0, 0)])
def test_contacts_touch_too_but_the_control_group_is_not_touched(arm, control):
    rows = {name: EVENTS[name] for name in ("customer_id", "timestamp", "channel")}
    offer = 1 if arm == 0 else "offer"
    contacts = pd.DataFrame(rows | {"campaign_id": "x", "arm": [offer] * 6 + [arm] * 3 + [offer] * 6})
    table = touchpoint_table(Contacts(contacts), pd.DataFrame(SALES), control=control, **WINDOWS)
    assert told(table, ["channel", "phase", "touch_count"]) == [
        ("mail", "before", 0), ("mail", "at", 1), ("mail", "after", 0),
        ("web", "before", 1), ("web", "at", 1), ("web", "after", 1),
    ]  # fmt: skip


def brute(sales, events, before, after, end):  # noqa: C901  as plain as can be
    """Give every day of every customer its phase, one by one."""
    found = {}
    first_touch = events["day"].min()
    for customer, lines in sales.groupby("customer_id"):
        days = sorted(set(lines["day"]))
        touched = events[events["customer_id"] == customer]
        last = max([*days, *touched["day"]])
        inside, outside, touches_in, touches_out = np.zeros(3), 0, {}, {}
        for number in range(-5, end):
            following = [place for place in days if place >= number]
            previous = [place for place in days if place <= number]
            phase, owner = 3, None
            if number in days:
                phase, owner = 1, number
            elif following and following[0] - number <= before:
                phase, owner = 0, following[0]
            elif previous and number - previous[-1] <= after:
                phase, owner = 2, previous[-1]
            counts = owner is not None and owner - before >= first_touch and owner + after + before < end
            on_day = touched[touched["day"] == number]["channel"]
            if not previous and not (phase == 0 and owner != days[0]):
                continue
            if number >= last:
                continue
            if phase == 3 and first_touch <= number <= end - before - 1:
                outside += 1
                for channel in on_day:
                    touches_out[channel] = touches_out.get(channel, 0) + 1
            elif counts:
                inside[phase] += 1
                for channel in on_day:
                    touches_in[channel, phase] = touches_in.get((channel, phase), 0) + 1
        found[customer] = inside, outside, touches_in, touches_out
    return found


@pytest.mark.filterwarnings("ignore:.*no customer_id of")
@settings(max_examples=15)
@given(
    orders=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 39)), min_size=1, max_size=8),
    touches=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 39), st.sampled_from(["x", "y"])), min_size=1, max_size=25
    ),
)
def test_lift_is_that_of_days_taken_one_by_one(orders, touches):
    orders, touches = [*orders, ("a", 15)], [*touches, ("c", 0, "x")]
    sales = pd.DataFrame({
        "customer_id": [who for who, _ in orders], "day": [number for _, number in orders], "amount": 1.0,
        "order_id": range(len(orders)), "timestamp": [day(number) for _, number in orders],
    })  # fmt: skip
    events = pd.DataFrame({
        "customer_id": [who for who, *_ in touches], "day": [number for _, number, _ in touches], "event": "view",
        "channel": [channel for *_, channel in touches], "timestamp": [day(number) for _, number, _ in touches],
    })  # fmt: skip
    options = {"as_of": day(40), "before": "4d", "after": "3d"}
    table = touchpoint_table(events.drop(columns="day"), sales.drop(columns="day"), **options)
    mixed = touchpoint_table(events.sample(frac=1, random_state=1), sales.sample(frac=1, random_state=1), **options)
    pd.testing.assert_frame_equal(table, mixed)
    by_customer = brute(sales, events, 4, 3, 40)
    for channel, phase, lift, low, high in told(table, ["channel", "phase", "lift", "lift_low", "lift_high"]):
        place = ["before", "at", "after"].index(phase)
        pairs = [
            (touches_in.get((channel, place), 0) * outside / (inside[place] + outside),
             touches_out.get(channel, 0) * inside[place] / (inside[place] + outside))
            for inside, outside, touches_in, touches_out in by_customer.values() if inside[place] + outside
        ]  # fmt: skip
        above, below = sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)
        assert lift == (pytest.approx(above / below) if below else None)
        parts = [up / above - down / below for up, down in pairs if up + down] if above and below else []
        if len(parts) > 1 and max(map(abs, parts)) > 1e-9:
            error = np.sqrt(sum(part**2 for part in parts) * len(parts) / (len(parts) - 1))
            freedom = sum(part**2 for part in parts) ** 2 / sum(part**4 for part in parts) - 1
            reach = stats.t.ppf(0.975, max(freedom, 1)) * error
            assert [low, high] == pytest.approx([lift * np.exp(-reach), lift * np.exp(reach)])
        else:
            assert (low, high) == (None, None)


def test_intervals_of_few_customers_hold_the_truth():
    hits = []
    for seed in range(80):  # touches and orders that have nothing to do with one another
        random = np.random.default_rng(seed)
        orders, touches = random.poisson(random.gamma(1, 6, 60)), random.poisson(random.gamma(1, 20, 60))
        who, touched = np.repeat(np.arange(60), orders), np.repeat(np.arange(60), touches)
        sales = pd.DataFrame({"customer_id": who, "order_id": range(len(who)), "amount": 1.0})
        sales["timestamp"] = [day(number) for number in random.uniform(0, 400, len(who))]
        events = pd.DataFrame({"customer_id": touched, "event": "view", "channel": "web"})
        events["timestamp"] = [day(number) for number in random.uniform(0, 400, len(touched))]
        table = touchpoint_table(events, sales, as_of=day(400), before="10d", after="10d")
        hits.append(((table["lift_low"] <= 1) & (table["lift_high"] >= 1)).to_numpy())
    assert np.all(np.mean(hits, axis=0) > 0.925)  # with samples of customers 0.88 on the day


def test_nothing_at_or_after_as_of_is_read():
    sales, events = pd.DataFrame(SALES), pd.DataFrame(EVENTS)
    late = events.assign(timestamp=AS_OF + dt.timedelta(hours=1), channel="new", session_id="late")
    more = sales.assign(timestamp=AS_OF, order_id=range(50, 55), customer_id="c")
    clean = touchpoint_table(events, sales, **WINDOWS)
    pd.testing.assert_frame_equal(
        clean, touchpoint_table(pd.concat([late, events]), pd.concat([more, sales]), **WINDOWS)
    )


def test_what_visits_trigger_in_the_made_world_comes_in_the_planted_order():
    world = datasets.make_universe(customers=6_000, random_state=3)
    planted = world.channel_effects.set_index("channel")["order_probability"].sort_values()
    table = touchpoint_table(world.events, world.transactions, as_of="2025-06-24", before="7d", after="7d")
    before = table[table["phase"] == "before"].set_index("channel")
    assert before["lift"].sort_values().index.tolist() == planted.index.tolist()
    assert before.loc["direct", "lift_low"] < 1 < before.loc["direct", "lift_high"]  # brings nothing, and is seen to
    assert before.loc["email", "lift_low"] > 1.2
    after = table[table["phase"] == "after"]
    assert ((after["lift_low"] < 1) & (after["lift_high"] > 1)).all()


def test_says_what_is_wrong():
    sales, events = pd.DataFrame(SALES), pd.DataFrame(EVENTS)
    with pytest.raises(SchemaError, match=r'no order has touches known 30 days before it.*before="15d"'):
        touchpoint_table(events, sales, as_of=AS_OF)
    with pytest.raises(SchemaError, match="no touch with a channel lies before as_of"):
        touchpoint_table(events.assign(channel=pd.array([None] * len(events), dtype="str")), sales, **WINDOWS)
    with pytest.raises(SchemaError, match="no order lies before as_of"):
        touchpoint_table(events, sales.assign(amount=-1.0), **WINDOWS)
    with pytest.raises(SchemaError, match="customer_id is"):
        touchpoint_table(events, sales.assign(customer_id=7), **WINDOWS)


def test_a_channel_never_touched_otherwise_has_no_lift_and_says_so():
    events = pd.DataFrame(EVENTS)
    table = touchpoint_table(events[~events["session_id"].isin(["s4"])], pd.DataFrame(SALES), **WINDOWS)
    web = table[table["channel"] == "web"]
    assert web[["usual_touches", "lift", "lift_low", "lift_high"]].isna().all(axis=None)
    assert web["caution"].str.contains("Nobody was touched outside the phases").all()


def test_the_picture_draws_before_and_after():
    axes = plot_touchpoints(touchpoint_table(pd.DataFrame(EVENTS), pd.DataFrame(SALES), **WINDOWS))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["mail", "web"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["before", "after"]
    assert axes.texts[0].get_text() == "11.5 times on the day"
