"""What path_table promises: each touch in one path or told of, each conversion in one row, nothing of the future."""

import datetime as dt
import warnings
from collections import Counter

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics.channels._attribution_plots import plot_paths
from crmlytics.channels.paths import path_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.tables import Events, Transactions
from crmlytics.testing import make_frame, records

DAY0 = dt.datetime(2024, 1, 1)
AS_OF = DAY0 + dt.timedelta(days=200)


def log(*rows):
    """Rows of (customer, day, event, channel, ...): one event each."""
    names = ["customer_id", "timestamp", "event", "channel", "session_id", "amount"]
    columns = {name: [row[place] if place < len(row) else None for row in rows] for place, name in enumerate(names)}
    columns["timestamp"] = [DAY0 + dt.timedelta(days=day) for day in columns["timestamp"]]
    if all(value is None for value in columns["session_id"]):
        del columns["session_id"]
    columns["amount"] = [0.0 if value is None else float(value) for value in columns["amount"]]
    return columns


WAYS = log(
    ("a", 0, "visit", "social"),
    ("a", 4, "visit", "email"),
    ("a", 5, "purchase", None, None, 10),  # social > email, five days from the first touch
    ("a", 9, "visit", "email"),
    ("a", 12, "purchase", None, None, 20),  # a path ends with a conversion: email alone
    ("b", 1, "visit", "social"),
    ("b", 2, "visit", "email"),
    ("b", 9, "purchase", None, None, 5),  # social > email again, eight days
    ("c", 3, "visit", "social"),
    ("c", 60, "visit", "social"),  # further apart than the lookback: two paths that led to nothing
    ("d", 7, "purchase", None, None, 2),
    ("e", 0, "visit", "search"),
    ("e", 40, "visit", "email"),
    ("e", 45, "purchase", None, None, 3),  # the search is too old to be of this path
)
BY_HAND = [
    ("email", 1, 2, 0, 2, 1.0, 23.0, 4.0),  # median of 3 and 5 days
    ("social > email", 2, 2, 0, 2, 1.0, 15.0, 6.5),
    ("(no touchpoint)", 0, 1, 0, 0, None, 2.0, None),
    ("social", 1, 0, 2, 0, 0.0, 0.0, None),
    ("search", 1, 0, 1, 0, 0.0, 0.0, None),
]


def test_counts_by_hand_and_returns_the_kind_that_came_in(frame):
    events = frame(WAYS)
    table = path_table(events, as_of=AS_OF)
    assert type(table) is type(events)
    assert records(table) == BY_HAND


def test_orders_are_the_conversions_where_transactions_are_given(frame):
    events = frame({name: values for name, values in WAYS.items() if name not in {"event", "amount"}})
    orders = frame(
        {
            "customer_id": ["a", "a", "a", "c"],
            "order_id": [1, 1, 2, 3],
            "timestamp": [DAY0 + dt.timedelta(days=day, hours=12) for day in (5, 5, 12, 8)],
            "amount": [6.0, 4.0, 20.0, -7.0],  # a credit note is no conversion
        }
    )
    table = {row[0]: row[1:] for row in records(path_table(events, orders, as_of=AS_OF))}
    assert table["social > email"] == (2, 1, 1, 1, 0.5, 10.0, 5.0)  # b's led to no order
    assert table["email"] == (1, 1, 1, 1, 0.5, 20.0, 3.0)  # nor did e's
    assert sum(row[1] for row in table.values()) == 2


def test_orders_dated_only_lie_at_the_end_of_their_day():
    touch = make_frame(
        {"customer_id": [1], "timestamp": [DAY0 + dt.timedelta(hours=9)], "channel": ["email"]}, "pandas"
    )
    order = {"customer_id": [1], "order_id": [1], "amount": [5.0]}
    dated = make_frame(order | {"timestamp": [DAY0]}, "pandas")
    timed = make_frame(order | {"timestamp": [DAY0 + dt.timedelta(hours=8)]}, "pandas")
    assert records(path_table(touch, dated, as_of=AS_OF))[0][0] == "email"
    assert records(path_table(touch, timed, as_of=AS_OF))[0][0] == "(no touchpoint)"


def test_events_of_one_session_are_one_touch_of_the_channel_it_began_with():
    events = log(
        ("a", 0.0, "visit", "email", "s1"),
        ("a", 0.1, "visit", "social", "s1"),
        ("a", 0.2, "visit", "email", None),  # of no session: a touch of its own
        ("a", 0.3, "visit", "email", None),
        ("b", 0.1, "visit", "search", "s1"),  # sessions are those of a customer
        ("a", 1.0, "purchase", None, "s2"),
        ("b", 1.0, "purchase", None, "s2"),
    )
    paths = [row[0] for row in records(path_table(make_frame(events, "polars"), as_of=AS_OF))]
    assert paths == ["email > email > email", "search"]


def test_the_lookback_counts_calendar_days_both_ends_in():
    def paths(touch_day):
        events = make_frame(log(("a", touch_day, "visit", "email"), ("a", 40.0, "purchase", None)), "pandas")
        return [row[0] for row in records(path_table(events, as_of=AS_OF, lookback="30d"))]

    assert paths(10.0) == ["email"]
    assert paths(9.99) == ["(no touchpoint)", "email"]


def test_touches_too_young_to_have_led_anywhere_are_told_of_and_left_out():
    events = log(
        ("a", 0, "visit", "email"), ("a", 20, "visit", "social"), ("b", 19, "visit", "email"),
        ("b", 19, "purchase", None),
    )  # fmt: skip
    events = make_frame(events, "pandas")
    with pytest.warns(DataQualityWarning, match=r"path_table: 1 touchpoints are younger than lookback='30d' at as_of"):
        early = path_table(events, as_of=DAY0 + dt.timedelta(days=50))
    assert [row[:4] for row in records(early)] == [("email", 1, 1, 1)]
    late = path_table(events, as_of=DAY0 + dt.timedelta(days=51))
    assert [row[:4] for row in records(late)] == [("email", 1, 1, 0), ("email > social", 2, 0, 1)]


def test_since_counts_later_conversions_and_still_looks_back_before_it():
    table = path_table(make_frame(WAYS, "pandas"), as_of=AS_OF, since=DAY0 + dt.timedelta(days=8))
    assert [row[:4] for row in records(table)] == [
        ("email", 1, 2, 0), ("social > email", 2, 1, 0), ("social", 1, 0, 1),
    ]  # fmt: skip


def test_the_future_changes_nothing():
    until = DAY0 + dt.timedelta(days=100)
    poison = log(("a", 100, "purchase", None, None, 999), ("c", 101, "visit", "email"), ("d", 150, "purchase", "email"))
    poisoned = {name: [*values, *poison[name]] for name, values in WAYS.items()}
    assert records(path_table(make_frame(poisoned, "pandas"), as_of=until)) == BY_HAND


TIMELINES = st.lists(
    st.tuples(st.integers(1, 2), st.integers(0, 60), st.sampled_from(["x", "y", "buy"])), min_size=1, max_size=14
)


def by_walking(rows, since, as_of, lookback):
    """The definition, touch by touch: paths with whether they converted and compare, and the undecided touches."""
    found, undecided = Counter(), 0

    def close(touches, *, converted):
        began_within = bool(touches) and since <= touches[0][0] < as_of - lookback
        if converted or began_within:
            found[" > ".join(what for _, what in touches) or "(no touchpoint)", converted, began_within] += 1

    for customer in {row[0] for row in rows}:
        line = sorted((day, what == "buy", what) for who, day, what in rows if who == customer)
        buys, path, alone = [day for day, is_buy, _ in line if is_buy], [], []
        for day, is_buy, what in line:
            if is_buy:
                if day >= since:
                    close(path, converted=True)
                path = []
            elif any(day <= later <= day + lookback for later in buys):
                path.append((day, what))
            elif as_of - day <= lookback:
                undecided += day >= since
            else:
                if alone and day - alone[-1][0] > lookback:
                    close(alone, converted=False)
                    alone = []
                alone.append((day, what))
        close(alone, converted=False)
    return found, undecided


@given(rows=TIMELINES, lookback=st.sampled_from([3, 10, 30]), since=st.sampled_from([0, 15, 40]))
def test_paths_are_those_of_the_definition(rows, lookback, since):
    if not any(what == "buy" for *_, what in rows) or all(what == "buy" for *_, what in rows):
        return
    events = log(*((who, day, what, None if what == "buy" else what, None, 1) for who, day, what in rows))
    expected, undecided = by_walking(rows, since, 62, lookback)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        options = {"as_of": DAY0 + dt.timedelta(days=62), "since": DAY0 + dt.timedelta(days=since)}
        options |= {"lookback": f"{lookback}d", "conversion": "buy"}
        table = records(path_table(make_frame(events, "pandas"), **options))
    found = Counter({(path, True, True): compared for path, _, _, _, compared, *_ in table})
    found += Counter({(path, True, False): count - compared for path, _, count, _, compared, *_ in table})
    found += Counter({(path, False, True): count for path, _, _, count, *_ in table})
    assert found == expected
    assert sum(row[6] for row in table) == sum(what == "buy" and day >= since for _, day, what in rows)  # 1 each
    told = [str(warning.message) for warning in told if "are younger than" in str(warning.message)]
    assert bool(told) == bool(undecided)
    assert not told or f" {undecided} touchpoints" in told[0]


def test_near_its_ends_a_period_does_not_make_more_convert():
    """One touch a customer and day; each fifth converts, sooner or later: of those who began, whenever one looks."""
    rows = [
        row
        for who in range(300)
        for row in (
            (who, who, "visit", "email"),
            *([(who, who + who % 30, "purchase", None)] if who % 5 == 0 else []),
        )
    ]
    events = make_frame(log(*rows), "polars")
    for since, until in ((100, 140), (100, 181), (40, 260)):
        options = {"as_of": DAY0 + dt.timedelta(days=until), "since": DAY0 + dt.timedelta(days=since)}
        with pytest.warns(DataQualityWarning, match="are younger than lookback"):
            (email,) = records(path_table(events, **options))
        began = range(since, until - 30)  # thirty days later the last of them is decided
        assert email[3] + email[4] == len(began)
        assert email[5] == sum(who % 5 == 0 for who in began) / len(began)
        assert email[2] == sum(row[2] == "purchase" and since <= row[1] < until for row in rows)  # and none is lost
    with pytest.warns(DataQualityWarning, match="are younger than lookback"):
        (email,) = records(path_table(events, as_of=DAY0 + dt.timedelta(days=130), since=DAY0 + dt.timedelta(days=100)))
    assert email[3:6] == (0, 0, None)


def test_blanks_around_a_channel_are_not_of_its_name():
    rows = log(
        ("a", 0, "visit", " email"), ("a", 1, "visit", "email "), ("a", 2, "visit", "  "), ("a", 3, "purchase", None)
    )
    assert records(path_table(make_frame(rows, "polars"), as_of=AS_OF))[0][0] == "email > email"


def test_touches_of_one_moment_and_pages_of_one_visit_are_told_of():
    dated = log(("a", 0, "visit", "email"), ("a", 0, "visit", "ads"), ("a", 2, "purchase", None))
    with pytest.warns(DataQualityWarning, match=r"100% of touchpoints share their moment.*model=\"linear\" and model"):
        assert records(path_table(make_frame(dated, "pandas"), as_of=AS_OF))[0][0] == "ads > email"
    pages = log(*(("a", 0.01 * page, "visit", "ads") for page in range(4)), ("a", 2, "purchase", None))
    with pytest.warns(DataQualityWarning, match=r"75% of touchpoints repeat the channel.*Bind session_id, which crm\."):
        assert records(path_table(make_frame(pages, "pandas"), as_of=AS_OF))[0][0] == "ads > ads > ads > ads"


def test_amounts_that_are_missing_are_told_of_and_none_is_not_zero():
    events = pd.DataFrame(WAYS)
    bought = events["event"] == "purchase"
    lacking = events.assign(amount=events["amount"].mask(bought & (events["customer_id"] == "b")))
    with pytest.warns(DataQualityWarning, match=r"1 of 5 conversions have no amount, and count as 0 in money"):
        assert path_table(lacking, as_of=AS_OF)["amount"].sum() == 35
    assert path_table(events.assign(amount=events["amount"].mask(bought)), as_of=AS_OF)["amount"].isna().all()


def test_the_order_of_rows_changes_nothing():
    events = pd.DataFrame(WAYS)
    shuffled = events.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(path_table(events, as_of=AS_OF), path_table(shuffled, as_of=AS_OF))


def test_a_period_without_conversions_has_paths_that_did_not_convert():
    table = path_table(make_frame(WAYS, "pandas"), as_of=AS_OF, since=DAY0 + dt.timedelta(days=50))
    assert [row[:7] for row in records(table)] == [("social", 1, 0, 1, 0, 0.0, 0.0)]
    assert records(path_table(make_frame(WAYS, "pandas"), as_of=AS_OF, since=DAY0 + dt.timedelta(days=90))) == []


def test_without_amounts_money_is_missing(kind):
    events = make_frame({name: values for name, values in WAYS.items() if name != "amount"}, kind)
    assert {row[6] for row in records(path_table(events, as_of=AS_OF))} == {None}


def test_refusals_say_what_to_type():
    events = pd.DataFrame(WAYS)
    with pytest.raises(SchemaError, match=r"no event before as_of is called 'purchse'\. Did you mean 'purchase'\?"):
        path_table(events, as_of=AS_OF, conversion="purchse")
    with pytest.raises(SchemaError, match=r"conversion must be an event, which are a word here, got 3"):
        path_table(events, as_of=AS_OF, conversion=3)
    with pytest.raises(SchemaError, match=r"the channel 'a>b' cannot be told apart in a path\. Rename it"):
        path_table(events.assign(channel="a>b"), as_of=AS_OF)
    with pytest.raises(SchemaError, match=r"no event before as_of has a channel"):
        path_table(events.assign(channel=pd.Series([None] * len(events), dtype="str")), as_of=AS_OF)
    with pytest.raises(SchemaError, match=r"since must lie before as_of"):
        path_table(events, as_of=AS_OF, since=AS_OF)
    with pytest.raises(MissingColumnsError, match=r"path_table needs \['channel'\].*channel='<your column>'"):
        path_table(Events(events, channel=None), as_of=AS_OF)
    with pytest.raises(SchemaError, match=r"a conversion has the amount -1\.0; expected zero or more"):
        path_table(events.assign(amount=-1.0), as_of=AS_OF)
    orders = pd.DataFrame({"customer_id": [1], "order_id": [1], "timestamp": [AS_OF], "amount": [1.0]})
    with pytest.raises(SchemaError, match=r"path_table: customer_id is String in Events, Int64 in Transactions"):
        path_table(events, orders, as_of=AS_OF)
    with pytest.raises(SchemaError, match=r"orders convert where transactions are given\. Leave conversion out"):
        path_table(events, orders, as_of=AS_OF, conversion="visit")
    with pytest.raises(SchemaError, match=r"transactions hold no order before as_of"):
        path_table(events, Transactions(orders.assign(customer_id="a")), as_of=AS_OF)
    with pytest.raises(SchemaError, match=r"events is a pandas table and transactions a Polars table"):
        path_table(events, make_frame(orders.to_dict("list"), "polars"), as_of=AS_OF)


def test_the_picture_has_a_bar_a_path_and_the_share_of_those_that_compare():
    table = path_table(pd.DataFrame(WAYS), as_of=AS_OF, since=DAY0 + dt.timedelta(days=2))
    ax = plot_paths(table, most=4)
    assert [bar.get_width() for bar in ax.patches] == [0.0, 1.0, 2.0, 2.0]
    assert [text.get_text().strip() for text in ax.texts] == ["0% of 2", "100% of 2"]  # social > email began before
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["social", "(no touchpoint)", "social > email", "email"]
    assert ax.get_title(loc="left") == "The ways that most conversions came"
