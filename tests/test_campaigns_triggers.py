"""What trigger_table promises: who is due by hand, each event answered once, nothing read of the future, refusals."""

import datetime as dt

import narwhals.stable.v2 as nw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Customers
from crmlytics._frames import enter
from crmlytics.campaigns import when
from crmlytics.campaigns.planning.triggers import Trigger, trigger_table
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

START = dt.datetime(2024, 1, 1)
COLUMNS = ("customer_id", "trigger", "action", "event_at", "due_at", "status", "last_contact_at", "reason")


def day(number, hour=0):
    return START + dt.timedelta(days=number, hours=hour)


TODAY = day(100)


def orders(lines, **more):
    """Lines as (customer, order, day, amount)."""
    names = ("customer_id", "order_id", "timestamp", "amount")
    columns = dict(zip(names, map(list, zip(*lines, strict=True)), strict=True))
    return (
        columns | {"timestamp": [day(*at) if isinstance(at, tuple) else day(at) for at in columns["timestamp"]]} | more
    )


def due(event, *, as_of=TODAY, kind="pandas", shown=("customer_id",), contacts=None, options=None, **tables):
    trigger = Trigger("it", event, action="act", **(options or {}))
    frames = {name: make_frame(table, kind) if isinstance(table, dict) else table for name, table in tables.items()}
    log = None if contacts is None else make_frame(contacts, kind)
    return cells(trigger_table([trigger], as_of=as_of, contacts=log, **frames), *shown)


def cells(table, *names):
    places = [COLUMNS.index(name) for name in names]
    found = [tuple(row[place] for place in places) for row in records(table)]
    return [row[0] for row in found] if len(names) == 1 else found


SALES = orders([
    ("a", 1, (99, 9), 40.0), ("a", 1, (99, 9), 20.0),  # first order, of two lines
    ("b", 2, 3, 10.0), ("b", 3, (99, 23), 600.0),  # second
    ("c", 4, 10, 10.0),  # silent for 90 days today
    ("d", 5, 9, 10.0),  # was due yesterday
    ("e", 6, 100, 900.0),  # not known yet
    ("f", 7, 99, 50.0), ("f", 7, (99, 1), -50.0),  # given back: no order
])  # fmt: skip
EVENTS = {
    "customer_id": ["a", "b", "b", "c", "c", "d", "e"],
    "event": ["add_to_cart", "add_to_cart", "purchase", "add_to_cart", "purchase", "add_to_cart", "add_to_cart"],
    "timestamp": [day(98, 5), day(98, 5), day(98, 6), day(98, 5), day(98, 4), day(99, 1), day(97, 23)],
}
CUSTOMERS = {
    "customer_id": ["a", "b", "c", "d"],
    "birth_date": [dt.datetime(1980, 4, 10), dt.datetime(1980, 4, 11), dt.datetime(1980, 4, 9), None],
    "segment": ["gold", "silver", "gold", "gold"],
}
CONTRACTS = {
    "customer_id": ["a", "b", "c", "c", "d"],
    "started_at": [day(0)] * 5,
    "ended_at": [day(160), day(161), day(160), None, day(160)],
}
TICKETS = {
    "ticket_id": [1, 2, 3, 4],
    "customer_id": ["a", "b", "c", "d"],
    "opened_at": [day(90)] * 4,
    "closed_at": [day(99, 3), day(99, 4), day(100), None],
    "satisfaction": [2.0, 3.0, 1.0, 1.0],
}
LOG = {"customer_id": ["c"], "campaign_id": ["win back"], "timestamp": [day(80)]}
ALL = [
    Trigger("welcome", when.Order(number=1), action="mail"),
    Trigger("thanks", when.Order(at_least=500), action="call"),
    Trigger("win back", when.Silence("90d"), action="voucher"),
    Trigger("cart", when.Event("add_to_cart", without="purchase", wait="1d"), action="remind"),
    Trigger("birthday", when.Anniversary("birth_date"), action="card"),
    Trigger("renewal", when.ContractEnd("60d"), action="offer"),
    Trigger("sorry", when.LowMark(2), action="call back"),
]


def test_every_trigger_by_hand_on_every_frame(frame):
    sales = frame(SALES)
    table = trigger_table(
        ALL, as_of=TODAY, transactions=sales, events=frame(EVENTS), customers=frame(CUSTOMERS),
        subscriptions=frame(CONTRACTS), tickets=frame(TICKETS), contacts=frame(LOG),
    )  # fmt: skip
    assert type(table) is type(sales)
    assert records(table) == [
        ("a", "birthday", "card", TODAY, TODAY, "due", None, "birth_date comes round on 2024-04-10"),
        ("a", "cart", "remind", day(98, 5), day(99, 5), "due", None,
         "add_to_cart on 2024-04-08 05:00 and no purchase since"),
        ("a", "renewal", "offer", day(160), TODAY, "due", None, "contract ends on 2024-06-09"),
        ("a", "sorry", "call back", day(99, 3), day(99, 3), "due", None, "ticket 1 closed on 2024-04-09 with mark 2"),
        ("a", "welcome", "mail", day(99, 9), day(99, 9), "due", None, "order 1 on 2024-04-09, of 60.00"),
        ("b", "thanks", "call", day(99, 23), day(99, 23), "due", None, "order on 2024-04-09, of 600.00"),
        ("c", "cart", "remind", day(98, 5), day(99, 5), "due", None,
         "add_to_cart on 2024-04-08 05:00 and no purchase since"),
        ("c", "win back", "voucher", day(10), TODAY, "cooling down", day(80), "no order for 90 days"),
        ("d", "renewal", "offer", day(160), TODAY, "due", None, "contract ends on 2024-06-09"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["pandas", "polars-lazy", "duckdb"])
def test_nobody_due_is_an_empty_table_with_the_same_types(kind):
    sales = make_frame(SALES | {"customer_id": [1, 1, 2, 2, 3, 4, 5, 6, 6]}, kind)
    table = trigger_table(ALL[:1], as_of=day(50), transactions=sales)
    assert records(table) == []
    assert enter(table, caller="test")[0].collect_schema()["customer_id"] == nw.Int64


# -- the rules -----------------------------------------------------------------------------------------------------


def test_the_number_of_an_order_counts_those_before_the_window_and_in_it():
    sales = orders(
        [("a", 1, 1, 5.0), ("a", 2, 99, 5.0), ("a", 3, (99, 5), 7.0), ("b", 4, (99, 1), 5.0), ("b", 5, 98, 1.0)]
    )
    assert due(when.Order(number=3), transactions=sales) == ["a"]
    assert due(when.Order(number=2), transactions=sales) == ["a", "b"]
    assert due(when.Order(number=1), transactions=sales) == []
    assert due(when.Order(number=2, at_least=6), transactions=sales) == []
    assert due(when.Order(number=3, at_least=7), transactions=sales) == ["a"]
    assert due(when.Order(), transactions=sales, shown=("customer_id", "event_at")) == [
        ("a", day(99, 5)), ("b", day(99, 1))]  # fmt: skip


def test_an_order_is_as_large_as_its_lines_known_by_then():
    lines = [("a", 1, 99, 400.0), ("a", 1, 99, 100.0), ("b", 2, 99, 499.0), ("b", 2, 100, 9.0)]
    sales = orders([*lines, ("c", 3, 99, 600.0), ("c", 3, (99, 2), -101.0)])
    assert due(when.Order(at_least=500), transactions=sales) == ["a"]


@pytest.mark.parametrize(("last", "is_due"), [(9, False), (10, True), ((10, 23), True), (11, False)])
def test_silence_counts_calendar_days_since_the_last_order(last, is_due):
    sales = orders([("a", 1, last, 5.0), ("a", 2, 1, 5.0), ("z", 3, 99, 1.0)])
    assert due(when.Silence("90d"), transactions=sales) == ["a"] * is_due


def test_overdue_by_the_customers_own_interval():
    # a: every 10 days, last on 70, three times 10 passed on 100. b: every 7.5, last on 77, 22.5 days: 23 passed on 100
    days = {"a": (40, 50, 60, 70), "b": (62, 70, 77), "c": (40, 70)}
    sales = orders([(who, f"{who}{at}", at, 1.0) for who in days for at in days[who]])
    options = {"shown": ("customer_id", "due_at", "reason"), "transactions": sales}
    found = [("a", TODAY, "no order for 30 days, usually every 10.0")]
    assert due(when.Overdue(3.0), **options) == found
    assert due(when.Overdue(3.0, min_day_count=3), **options) == [
        *found, ("b", TODAY, "no order for 23 days, usually every 7.5")]  # fmt: skip
    assert due(when.Overdue(3.0), **options, as_of=day(99)) == []
    assert due(when.Overdue(3.0), **options, as_of=day(101)) == []


def test_a_multiple_of_an_interval_is_rounded_up_to_days_but_not_for_its_last_digit():
    sales = orders([("a", n, 74 + 5 * n, 1.0) for n in range(4)])  # 2.2 x 5 = 11.000000000000002
    assert due(when.Overdue(2.2), transactions=sales) == ["a"]


def test_habits_dates_and_conditions_on_every_frame(frame):
    sales = frame(orders([("a", n, 40 + 10 * n, 1.0) for n in range(4)] + [("b", 9, 99, 1.0)]))
    since = [dt.date(2020, 4, number) for number in (17, 18, 17)]
    people = frame({"customer_id": ["a", "b", "b"], "since": since, "valid_from": [None, day(0), day(9)],
                    "valid_to": [None, day(9), None], "is_vip": [True, True, False]})  # fmt: skip
    triggers = [
        Trigger("late", when.Overdue(3.0), action="call", only={"is_vip": True}),
        Trigger("year", when.Anniversary("since", ahead="7d"), action="card"),
        Trigger("year of a vip", when.Anniversary("since", ahead="7d"), action="card", only={"is_vip": [False]}),
    ]
    table = trigger_table(triggers, as_of=TODAY, transactions=sales, customers=people)
    assert cells(table, "customer_id", "trigger", "event_at", "due_at") == [
        ("a", "late", day(70), TODAY), ("a", "year", day(107), TODAY),
        ("b", "year", day(107), TODAY), ("b", "year of a vip", day(107), TODAY),
    ]  # fmt: skip


def test_an_event_alone_needs_no_waiting():
    assert due(when.Event("purchase"), events=EVENTS, as_of=day(98, 5)) == ["c"]
    assert due(when.Event(["purchase", "add_to_cart"]), events=EVENTS, shown=("customer_id", "reason")) == [
        ("d", "purchase or add_to_cart on 2024-04-09 01:00")]  # fmt: skip


def test_a_later_start_begins_the_waiting_anew_and_what_followed_at_once_counts():
    events = {"customer_id": ["a", "a", "b", "b"], "event": ["cart", "cart", "cart", "paid"],
              "timestamp": [day(98, 5), day(99, 2), day(98, 5), day(98, 5)]}  # fmt: skip
    event = when.Event("cart", without="paid", wait="1d")
    assert due(event, events=events) == []
    assert due(event, events=events, as_of=day(101)) == ["a"]


def test_whoever_bought_after_the_waiting_but_before_the_run_is_left_alone():
    events = {"customer_id": ["a", "a"], "event": ["cart", "paid"], "timestamp": [day(98, 1), day(99, 20)]}
    event = when.Event("cart", without="paid", wait="1d")
    assert due(event, events=events) == []
    assert due(event, events=events, as_of=day(99, 19)) == ["a"]


@pytest.mark.parametrize(
    ("birth", "as_of", "ahead", "is_due"),
    [
        ((2000, 2, 29), (2023, 2, 28), "0d", True),
        ((2000, 2, 29), (2023, 3, 1), "0d", False),
        ((2000, 2, 29), (2024, 2, 28), "0d", False),
        ((2000, 2, 29), (2024, 2, 29), "0d", True),
        ((2000, 1, 3), (2023, 12, 27), "7d", True),
        ((2000, 1, 3), (2023, 12, 28), "7d", False),
        ((2023, 3, 1), (2023, 3, 1), "0d", False),
        ((2023, 3, 1), (2024, 2, 28), "2d", True),
    ],
)
def test_a_date_comes_round(birth, as_of, ahead, is_due):
    people = {"customer_id": [1], "born": [dt.datetime(*birth)]}
    assert due(when.Anniversary("born", ahead=ahead), customers=people, as_of=dt.datetime(*as_of)) == [1] * is_due


def test_dated_attributes_are_read_as_they_stood():
    people = {"customer_id": [1, 1, 2], "valid_from": [day(0), TODAY, day(0)], "valid_to": [TODAY, None, None],
              "born": [dt.datetime(1980, 4, 10), dt.datetime(1980, 4, 11), dt.datetime(1980, 4, 10)],
              "segment": ["gold", "silver", "silver"]}  # fmt: skip
    assert due(when.Anniversary("born"), customers=people) == [1, 2]
    assert due(when.Anniversary("born"), customers=people, options={"only": {"segment": "gold"}}) == [1]


def test_a_contract_that_is_followed_by_another_does_not_end():
    later = {"customer_id": ["a"] * 2 + ["b"] * 2, "started_at": [day(0), day(9), day(0), TODAY],
             "ended_at": [day(160), day(500), day(160), day(500)]}  # fmt: skip
    assert due(when.ContractEnd("60d"), subscriptions=later) == ["b"]  # what begins today is not known yet


def test_marks_are_waited_for():
    assert due(when.LowMark(3), tickets=TICKETS) == ["a", "b"]
    assert due(when.LowMark(3, wait="2d"), tickets=TICKETS) == []
    assert due(when.LowMark(3, wait="2d"), tickets=TICKETS, as_of=day(102)) == ["a", "b"]


@pytest.mark.parametrize("value", ["gold", ["gold"], ("gold", "bronze")])
def test_a_condition_on_the_customer(value):
    tables = {"customers": CUSTOMERS, "events": EVENTS, "options": {"only": {"segment": value}}}
    event = when.Event("add_to_cart", wait="1d")
    assert due(event, **tables) == ["a", "c"]
    assert due(event, events=EVENTS) == ["a", "b", "c"]


@pytest.mark.parametrize(("values", "wanted"), [([1, 2, 2], 1), ([1.0, 2.0, None], 1), ([True, False, None], True)])
def test_a_condition_on_numbers_and_flags(values, wanted):
    people = {"customer_id": ["a", "b", "c"], "level": values}
    tables = {"customers": people, "events": EVENTS, "options": {"only": {"level": wanted}}}
    assert due(when.Event("add_to_cart", wait="1d"), **tables) == ["a"]


# -- answering -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contacted", "within", "cool_down", "status"),
    [
        (day(99, 10), "1d", "30d", "answered"),  # since the order of 09:00
        (day(99, 10), "1d", "0d", "answered"),
        (day(99, 9), "1d", "0d", "answered"),  # at the very moment
        (day(99, 8), "1d", "30d", "cooling down"),
        (day(99, 8), "1d", "0d", "due"),
        (day(70), "1d", "30d", "due"),  # 30 days ago
        (day(70, 1), "1d", "30d", "cooling down"),
        (TODAY, "1d", "30d", "due"),  # not known yet
    ],
)
def test_contacts_mute(contacted, within, cool_down, status):
    log = {"customer_id": ["a"], "campaign_id": ["it"], "timestamp": [contacted], "arm": ["control"]}
    options = {"within": within, "cool_down": cool_down}
    known = None if contacted >= TODAY else contacted
    shown = ("customer_id", "status", "last_contact_at")
    found = due(when.Order(number=1), transactions=SALES, contacts=log, options=options, shown=shown)
    assert found == [("a", status, known)]


def test_contacts_of_other_triggers_and_of_others_do_not_mute():
    log = {"customer_id": ["a", "b"], "campaign_id": ["other", "it"], "timestamp": [day(99, 12)] * 2}
    assert due(when.Order(number=1), transactions=SALES, contacts=log, shown=("status",)) == ["due"]


moments = st.integers(0, 24 * 8).map(lambda hours: day(90) + dt.timedelta(hours=hours))


@settings(max_examples=15)
@given(happened=st.lists(st.tuples(st.sampled_from("abc"), moments), min_size=1, max_size=8))
def test_daily_runs_answer_each_event_once_and_none_is_lost(happened):
    """Without a cool-down; of several events on a day the last one counts."""
    events = {"customer_id": [who for who, _ in happened], "timestamp": [at for _, at in happened],
              "event": ["visit"] * len(happened)}  # fmt: skip
    runs = [day(number) for number in range(91, 100)]
    shown = ("customer_id", "event_at")
    answered = [
        row for run in runs for row in due(when.Event("visit"), events=add_early(events), as_of=run, shown=shown)
    ]
    last = {(who, at.date()): at for who, at in sorted(happened)}
    assert sorted(answered) == sorted((who, at) for (who, _), at in last.items())


def add_early(events):
    """A contract without a line before as_of is refused by nobody here, but an unknown event is: have one early."""
    return {"customer_id": [*events["customer_id"], "z"], "timestamp": [*events["timestamp"], day(0)],
            "event": [*events["event"], "visit"]}  # fmt: skip


@settings(max_examples=10)
@given(
    days=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 60)), min_size=1, max_size=14, unique=True),
    limit=st.integers(2, 20),
    within=st.integers(1, 5),
)
def test_silence_agrees_with_a_walk_through_the_days(days, limit, within):
    sales = orders([(who, number, at, 1.0) for number, (who, at) in enumerate(days)] + [("z", 99, 0, 1.0)])
    expected = []
    for who in sorted({who for who, _ in days} | {"z"}):
        last = max([at for name, at in days if name == who and at < 61], default=0)
        reached = last + limit
        expected += [who] if 61 - within < reached <= 61 else []
    options = {"within": f"{within}d"}
    assert due(when.Silence(f"{limit}d"), transactions=sales, as_of=day(61), options=options) == expected


# -- the future is not read ----------------------------------------------------------------------------------------


def test_the_future_changes_nothing():
    tables = {"transactions": SALES, "events": EVENTS, "customers": CUSTOMERS, "subscriptions": CONTRACTS,
              "tickets": TICKETS, "contacts": LOG}  # fmt: skip
    poison = {
        "transactions": {"customer_id": "a", "order_id": 1, "timestamp": TODAY, "amount": -60.0},
        "events": {"customer_id": "a", "event": "purchase", "timestamp": TODAY},
        "subscriptions": {"customer_id": "a", "started_at": TODAY, "ended_at": None},
        "tickets": {"ticket_id": 9, "customer_id": "b", "opened_at": TODAY, "closed_at": TODAY, "satisfaction": 1.0},
        "contacts": {"customer_id": "a", "campaign_id": "welcome", "timestamp": TODAY},
    }
    poisoned = tables | {
        name: {column: [*tables[name][column], value] for column, value in line.items()}
        for name, line in poison.items()
    }
    first, second = (
        records(trigger_table(ALL, as_of=TODAY, **{name: make_frame(table, "polars") for name, table in given.items()}))
        for given in (tables, poisoned)
    )
    assert first == second


def test_the_order_of_rows_changes_nothing():
    frame = make_frame(SALES, "pandas")
    tables = [trigger_table(ALL[:3], as_of=TODAY, transactions=one) for one in (frame, frame[::-1])]
    assert records(tables[0]) == records(tables[1])


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Trigger("", when.Order(), action="x"), "Trigger: name must be a few words, got ''"),
        (lambda: Trigger("a", when.Order(), action=" "), "Trigger: action must be a few words"),
        (
            lambda: Trigger("a", "first order", action="x"),
            r"Trigger 'a': event must be one of .*'when.Silence'.* got 'first",
        ),
        (lambda: Trigger("a", when.Order(), action="x", only="gold"), r"only must be a dict such as .*got 'gold'"),
        (
            lambda: Trigger("a", when.Order(), action="x", cool_down="1 month"),
            "Trigger 'a': cool_down must be a duration",
        ),
        (lambda: Trigger("a", when.Order(), action="x", within="0d"), "Trigger 'a': within must be a duration"),
        (lambda: when.Order(number=0), "when.Order: number must be a whole number of at least 1"),
        (lambda: when.Order(at_least=0), "when.Order: at_least must be a number above zero"),
        (lambda: when.Silence("3 months"), "when.Silence: silent_for must be a duration"),
        (lambda: when.Overdue(0.5), "when.Overdue: factor must be 1 or more, got 0.5"),
        (lambda: when.Overdue(min_day_count=1), "min_day_count must be a whole number of at least 2"),
        (lambda: when.Event("cart", without="cart"), "event and without must be different events"),
        (lambda: when.Event("cart", wait="soon"), "when.Event: wait must be a duration"),
        (lambda: when.Anniversary("born", ahead="x"), "when.Anniversary: ahead must be"),
        (lambda: when.LowMark("bad"), "when.LowMark: at_most must be a number"),
    ],
)
def test_a_trigger_that_makes_no_sense_is_refused(make, words):
    with pytest.raises(SchemaError, match=words):
        make()


def test_what_is_missing_is_told():
    sales = make_frame(SALES, "pandas")
    with pytest.raises(SchemaError, match=r"trigger 'it' reads events. Give events=Events\(data, ...\)"):
        due(when.Event("cart"), transactions=SALES)
    with pytest.raises(SchemaError, match=r"trigger 'it' reads customers. Give customers=Customers"):
        due(when.Order(), transactions=SALES, options={"only": {"segment": "gold"}})
    with pytest.raises(MissingColumnsError, match=r"customers has no 'birth_dat'. Did you mean 'birth_date'\?"):
        due(when.Anniversary("birth_dat"), customers=CUSTOMERS)
    with pytest.raises(MissingColumnsError, match=r"customers has no 'segmnt'. Did you mean 'segment'\?"):
        due(when.Order(), transactions=SALES, customers=CUSTOMERS, options={"only": {"segmnt": "gold"}})
    with pytest.raises(SchemaError, match=r"'segment' must hold dates, got String. Convert it first"):
        due(when.Anniversary("segment"), customers=Customers(make_frame(CUSTOMERS, "polars")))
    with pytest.raises(SchemaError, match=r"no event before as_of is 'add_to_card'. Did you mean 'add_to_cart'\?"):
        due(when.Event("add_to_card"), events=EVENTS)
    with pytest.raises(
        SchemaError, match=r"has segment 'Gold'\. Did you mean 'gold'\? There are: \['gold', 'silver'\]"
    ):
        due(when.Order(), transactions=SALES, customers=CUSTOMERS, options={"only": {"segment": "Gold"}})
    assert due(when.Order(), transactions=SALES, customers=CUSTOMERS, options={"only": {"segment": ["gold", "lead"]}})
    with pytest.raises(MissingColumnsError, match=r"trigger_table needs \['satisfaction'\]"):
        due(when.LowMark(2), tickets={name: values for name, values in TICKETS.items() if name != "satisfaction"})
    with pytest.raises(SchemaError, match=r"the names \['welcome'\] come more than once"):
        trigger_table([ALL[0], ALL[0]], as_of=TODAY, transactions=sales)
    with pytest.raises(SchemaError, match=r"triggers must be a list such as \[Trigger\("):
        trigger_table(ALL[0], as_of=TODAY, transactions=sales)
    log = {"customer_id": [1], "campaign_id": ["it"], "timestamp": [day(3)]}
    with pytest.raises(SchemaError, match=r"customer_id is String in Transactions, Int64 in Contacts"):
        due(when.Order(), transactions=SALES, contacts=log)
