"""What eligibility promises: a no is honoured, silence is no yes, pressure ends when it says, nothing is read ahead."""

import datetime as dt
from functools import partial

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Contacts, Customers
from crmlytics.campaigns.planning.eligibility import eligibility_table
from crmlytics.campaigns.without_control.comparison_contacts import comparison_contacts
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

DAY = dt.timedelta(days=1)
START = dt.datetime(2024, 1, 1)
AS_OF = dt.datetime(2024, 6, 1)


def flags(*values):
    """True and false with gaps, also in pandas, whose own columns of truth values have none."""
    return pd.array(values, dtype="boolean")


PEOPLE = {
    "customer_id": ["f", "e", "d", "c", "b", "a", "g"],
    "consent": flags(True, True, True, None, False, True, True),
}
LOG = {
    "customer_id": ["a", "a", "a", "d", "e", "e", "f", "g", "c", "a"],
    "campaign_id": ["x"] * 10,
    "timestamp": [AS_OF - days * DAY for days in (2, 20, 29, 7, 8, 30, 1, 100, 3, 0)],  # the last one is not known
    "arm": ["mail", "mail", "mail", "mail", "mail", "mail", "control", "mail", "mail", "mail"],
    "channel": ["email", "post", "email", "email", "email", "post", "email", "email", "email", "email"],
    "consent": flags(None, None, None, None, None, None, None, False, None, False),
}


def reasons(table):
    return {row[0]: row[2] for row in records(table)}


def test_every_rule_by_hand_on_every_kind(frame):
    people, at_most = frame(PEOPLE), {"30d": 3, "7d": 1}
    table = eligibility_table(people, as_of=AS_OF, contacts=frame(LOG), at_most=at_most, suppress=["e", "unknown"])
    assert type(table) is type(people)
    day = AS_OF.replace
    assert records(table) == [
        ("a", False, "contacted too often in 7d", 1, 3, AS_OF - 2 * DAY, AS_OF - 2 * DAY + 8 * DAY),
        ("b", False, "opted out", 0, 0, None, None),
        ("c", False, "no consent on record", 1, 1, AS_OF - 3 * DAY, AS_OF + 5 * DAY),
        ("d", False, "contacted too often in 7d", 1, 1, day(month=5, day=25), day(day=2)),  # seven days ago counts
        ("e", False, "suppressed", 0, 2, AS_OF - 8 * DAY, None),
        ("f", True, None, 0, 0, None, None),  # of the control group: not contacted
        ("g", False, "opted out", 0, 0, AS_OF - 100 * DAY, None),  # in the answer to a campaign, long ago
    ]


def test_columns_follow_the_tables_given(frame):
    table = eligibility_table(frame(PEOPLE), as_of=AS_OF, consent="assured")
    assert records(table) == [(name, name != "b", "opted out" if name == "b" else None) for name in "abcdefg"]
    table = eligibility_table(frame(PEOPLE), as_of=AS_OF, contacts=frame(LOG), channel="post", at_most={"4w": 1})
    assert [row[3] for row in records(table)] == [1, 0, 0, 0, 0, 0, 0]  # e's letter is thirty days old
    assert reasons(table)["a"] == "contacted too often in 28d"
    assert reasons(table)["g"] == "opted out"  # by e-mail, and no less


@pytest.mark.parametrize("kind", ["pandas", "pandas-pyarrow", "polars-lazy", "duckdb"])
def test_reasons_of_suppression_come_with_a_table(kind):
    frame = partial(make_frame, kind=kind)
    complaints = frame({"customer_id": ["d", "d", "e"], "reason": ["complaint", "abroad", None]})
    found = reasons(eligibility_table(frame(PEOPLE), as_of=AS_OF, suppress=complaints))
    assert (found["d"], found["e"], found["f"]) == ("suppressed: complaint", "suppressed", None)


@pytest.mark.parametrize(
    "ids",
    [[1], (1,), {1}, pd.Series([1]), pd.Index([1]), Customers(pd.DataFrame({"customer_id": [1]})), [1.0],
     pd.DataFrame({"customer_id": [1.0]})],
)  # fmt: skip
def test_ids_to_suppress_come_in_many_shapes(ids):
    people = pd.DataFrame({"customer_id": [1, 2], "consent": True})
    assert eligibility_table(people, as_of=AS_OF, suppress=ids)["is_eligible"].tolist() == [False, True]
    assert eligibility_table(people, as_of=AS_OF, suppress=[])["is_eligible"].all()


def dated(rows):
    columns = ["customer_id", "valid_from", "valid_to", "consent"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(
        valid_from=pd.to_datetime(table["valid_from"]), valid_to=pd.to_datetime(table["valid_to"]),
        consent=table["consent"].astype("boolean"),
    )  # fmt: skip


def answers(*rows):
    table = pd.DataFrame(rows, columns=["customer_id", "timestamp", "consent"])
    table = table.assign(campaign_id="x", timestamp=pd.to_datetime(table["timestamp"]))
    return table.astype({"consent": "boolean"})


def test_a_no_counts_until_a_later_yes():
    people = dated([
        ("moved", "2024-01-01", "2024-03-01", True), ("moved", "2024-03-01", None, True),  # the yes is of January
        ("again", "2024-01-01", "2024-03-01", False), ("again", "2024-03-01", None, True),
        ("silent", "2024-01-01", "2024-03-01", False), ("silent", "2024-03-01", None, None),
        ("answered", "2024-01-01", None, False),
        ("tied", "2024-02-01", None, True),
        ("ended", "2024-01-01", "2024-03-01", True),
        ("new", "2024-06-01", None, True),
        ("expired", "2024-01-01", "2024-03-01", True), ("expired", "2024-03-01", None, None),
    ])  # fmt: skip
    log = answers(
        ("moved", "2024-02-01", False),
        ("again", "2024-02-01", False),
        ("answered", "2024-02-01", True),
        ("tied", "2024-02-01", False),
        ("expired", "2023-02-01", None),
    )
    assert reasons(eligibility_table(people, as_of=AS_OF, contacts=log)) == {
        "again": None, "answered": None, "expired": "no consent on record", "moved": "opted out",
        "silent": "opted out", "tied": "opted out",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["pandas", "pandas-pyarrow", "polars-lazy", "duckdb"])
def test_a_yes_of_who_was_held_out_is_no_answer(kind):
    log = make_frame({
        "customer_id": [1, 1, 2, 2, 3], "campaign_id": list("abaaa"),
        "timestamp": [START, START + 60 * DAY, START, START + 60 * DAY, START],
        "arm": ["mail", "control", "mail", "mail", "control"], "consent": [False, True, False, True, False],
    }, kind)  # fmt: skip
    found = {1: "opted out", 2: None, 3: "opted out", 4: None}  # 2 was asked again, 3 said no without being asked
    people = {"customer_id": [1, 2, 3, 4], "consent": [True] * 4}
    for table in (people, people | {"valid_from": [START - DAY] * 4}):
        assert reasons(eligibility_table(make_frame(table, kind), as_of=AS_OF, contacts=log)) == found
    nobody_said = make_frame({"customer_id": [1, 2, 3, 4]}, kind)
    told = reasons(eligibility_table(nobody_said, as_of=AS_OF, contacts=log))
    assert told == found | {4: "no consent on record"}
    assert reasons(eligibility_table(nobody_said, as_of=AS_OF, contacts=log, control="mail")) == {
        1: None, 2: "opted out", 3: "opted out", 4: "no consent on record"}  # fmt: skip


def test_whom_a_campaign_left_out_was_neither_contacted_nor_asked(frame):
    """The arm of comparison_contacts beside any control group: no contact, a yes is no answer, a no is honoured."""
    log = {
        "customer_id": [1, 2, 2, 3, 4], "campaign_id": list("aabaa"),
        "timestamp": [AS_OF - days * DAY for days in (1, 5, 2, 1, 1)],
        "arm": ["not contacted", "mail", "not contacted", "not contacted", "holdout"],
        "consent": flags(True, None, None, False, True),
    }  # fmt: skip
    people = frame({"customer_id": [1, 2, 3, 4], "consent": flags(None, True, True, None)})
    table = eligibility_table(people, as_of=AS_OF, contacts=frame(log), at_most={"7d": 2}, control="holdout")
    assert [row[:5] for row in records(table)] == [
        (1, False, "no consent on record", 0, None),
        (2, True, None, 1, AS_OF - 5 * DAY),
        (3, False, "opted out", 0, None),
        (4, False, "no consent on record", 0, None),
    ]


def test_what_comparison_contacts_adds_is_no_pressure():
    made = pd.DataFrame({"customer_id": [1], "campaign_id": ["may"], "timestamp": [AS_OF - 3 * DAY], "arm": ["mail"]})
    orders = pd.DataFrame({"customer_id": [1, 2], "order_id": [1, 2], "amount": 9.0, "timestamp": AS_OF - 30 * DAY})
    both = comparison_contacts(made, orders, as_of=AS_OF)
    assert both["arm"].tolist() == ["mail", "not contacted"]
    people = pd.DataFrame({"customer_id": [1, 2], "consent": True})
    table = eligibility_table(people, as_of=AS_OF, contacts=both, at_most={"7d": 1})
    assert reasons(table) == {1: "contacted too often in 7d", 2: None}


@pytest.mark.parametrize("kind", ["pandas", "polars", "duckdb"])
def test_the_control_group_may_be_a_number(kind):
    log = make_frame({"customer_id": [1, 2], "timestamp": [AS_OF - DAY] * 2, "arm": [0, 1]}, kind)
    people = make_frame({"customer_id": [1, 2], "consent": [True, True]}, kind)
    table = eligibility_table(people, as_of=AS_OF, contacts=log, at_most={"7d": 1}, control=0)
    assert [row[1] for row in records(table)] == [True, False]


def test_customers_valid_from_joining_are_none_before():
    people = pd.DataFrame({"customer_id": [1, 2], "joined_at": [START, AS_OF], "consent": True})
    assert reasons(eligibility_table(people, as_of=AS_OF)) == {1: None, 2: None}
    assert reasons(eligibility_table(Customers(people, valid_from="joined_at"), as_of=AS_OF)) == {1: None}


def test_rows_that_contradict_each_other_are_no_yes():
    people = dated([("a", "2024-01-01", None, True), ("a", "2024-01-01", None, None), ("b", None, None, True)])
    assert reasons(eligibility_table(people, as_of=AS_OF)) == {"a": "no consent on record", "b": None}
    people = dated([("a", "2024-01-01", None, True), ("a", "2024-01-01", None, False)])
    assert reasons(eligibility_table(people, as_of=AS_OF)) == {"a": "opted out"}


@pytest.mark.parametrize("kind", ["pandas", "polars", "duckdb"])
def test_a_contact_of_no_arm_is_a_contact_and_one_of_no_channel_is_of_none(kind):
    people = make_frame({"customer_id": [1, 2], "consent": [True, True]}, kind)
    when = [AS_OF - DAY] * 3
    columns = {"customer_id": [1, 2, 2], "timestamp": when, "arm": [None, "control", "mail"]}
    log = make_frame({**columns, "channel": ["post", "post", None]}, kind)
    counted = [row[3] for row in records(eligibility_table(people, as_of=AS_OF, contacts=log, at_most={"7d": 5}))]
    assert counted == [1, 1]
    table = eligibility_table(people, as_of=AS_OF, contacts=log, at_most={"7d": 1}, channel="post")
    assert [row[1:4] for row in records(table)] == [(False, "contacted too often in 7d", 1), (True, None, 0)]


def test_a_log_that_begins_later_counts_nothing():
    people = pd.DataFrame({"customer_id": ["a"], "consent": True})
    log = answers(("a", "2025-01-01", False))
    table = eligibility_table(people, as_of=AS_OF, contacts=log, at_most={"7d": 1})
    assert records(table) == [("a", True, None, 0, None, None)]


def test_without_dates_a_no_stands():
    people = pd.DataFrame({"customer_id": ["a", "b", "c"], "consent": flags(False, True, None)})
    log = answers(("a", "2024-02-01", True), ("b", "2024-02-01", False), ("c", "2024-02-01", True))
    found = reasons(eligibility_table(people, as_of=AS_OF, contacts=log))
    assert found == {"a": "opted out", "b": "opted out", "c": None}
    log = answers(("b", "2024-02-01", False), ("b", "2024-03-01", True), ("c", "2024-02-01", None))
    assert reasons(eligibility_table(people, as_of=AS_OF, contacts=log))["b"] is None


moments = st.integers(0, 200).map(lambda hours: START + hours * dt.timedelta(hours=12))
log_lines = st.lists(
    st.tuples(st.integers(1, 4), moments, st.sampled_from(["mail", "control"]), st.sampled_from([None, True, False])),
    min_size=1, max_size=25,
)  # fmt: skip
yes_no = st.lists(st.sampled_from([None, True, False]), min_size=4, max_size=4)


def tables(consents, lines):
    people = pd.DataFrame({"customer_id": [1, 2, 3, 4], "consent": flags(*consents)})
    log = pd.DataFrame(lines, columns=["customer_id", "timestamp", "arm", "consent"])
    return people, log.assign(campaign_id="x", consent=log["consent"].astype("boolean"))


@settings(max_examples=30)
@given(consents=yes_no, lines=log_lines, mode=st.sampled_from(["recorded", "assured"]))
def test_who_opted_out_is_never_eligible(consents, lines, mode):
    people, log = tables(consents, lines)
    table = eligibility_table(people, as_of=AS_OF, contacts=log, consent=mode, at_most={"1d": 99})
    for customer, is_eligible in zip(table["customer_id"], table["is_eligible"], strict=True):
        said = sorted(
            (when, answer)
            for who, when, arm, answer in lines
            if who == customer and answer is not None and not (answer and arm == "control")
        )
        latest = [answer for when, answer in said if when == said[-1][0]]
        opted_out = consents[customer - 1] is False or not all(latest)
        agreed = consents[customer - 1] is True or any(answer for _, answer in said) or mode == "assured"
        assert is_eligible == (agreed and not opted_out)


rules = st.dictionaries(st.sampled_from(["3d", "10d", "40d"]), st.integers(1, 4), min_size=1)


@settings(max_examples=25)
@given(lines=log_lines, at_most=rules, kind=st.sampled_from(["pandas", "polars"]))
def test_pressure_ends_on_the_day_it_says_and_not_before(lines, at_most, kind):
    people, log = (make_frame(table, kind) for table in tables([True] * 4, [(*line[:3], None) for line in lines]))

    def at(day):
        return {row[0]: row for row in records(eligibility_table(people, as_of=day, contacts=log, at_most=at_most))}

    today = START + 100 * DAY + dt.timedelta(hours=12)  # after every contact
    for customer, row in at(today).items():
        made = [when for who, when, arm, _ in lines if who == customer and arm != "control"]
        counts = [
            sum(when >= today - int(window[:-1]) * DAY for when in made)
            for window in sorted(at_most, key=lambda window: int(window[:-1]))
        ]
        assert list(row[3:-2]) == counts
        assert row[-2] == max(made, default=None)
        assert row[1] == all(sum(w >= today - int(n[:-1]) * DAY for w in made) < most for n, most in at_most.items())
        assert (row[-1] is None) == row[1]
        if not row[1]:
            assert at(row[-1])[customer][1]
            assert not at(row[-1] - DAY)[customer][1] or row[-1] - DAY < today


@pytest.mark.parametrize("kind", ["pandas", "duckdb"])
def test_the_future_is_not_read(kind):
    later = {name: [*values, *values] for name, values in LOG.items() if name != "consent"}
    later["timestamp"] = [*LOG["timestamp"], *[AS_OF + day * DAY for day in range(10)]]
    later["consent"] = flags(*LOG["consent"], *[False] * 10)
    args = {"as_of": AS_OF, "at_most": {"30d": 1}}
    tables_ = [
        eligibility_table(make_frame(PEOPLE, kind), contacts=make_frame(log, kind), **args) for log in (LOG, later)
    ]
    assert records(tables_[0]) == records(tables_[1])
    people = dated([("a", "2024-01-01", None, True)])
    poisoned = dated([("a", "2024-01-01", None, True), ("a", "2024-06-01", None, False)])
    assert reasons(eligibility_table(people, as_of=AS_OF)) == reasons(eligibility_table(poisoned, as_of=AS_OF))


def test_refusals_say_what_to_type():
    people = pd.DataFrame({"customer_id": ["a"]})
    log = answers(("a", "2024-02-01", None)).drop(columns="consent")
    with pytest.raises(MissingColumnsError, match=r"^eligibility_table needs \['customer_id'\], and Customers has"):
        eligibility_table(people.rename(columns={"customer_id": "id"}).assign(consent=True), as_of=AS_OF)
    repair = r"no consent column.*Customers\(data, consent='<your column>'\).*consent=\"assured\""
    with pytest.raises(MissingColumnsError, match=repair):
        eligibility_table(people, as_of=AS_OF, contacts=log)
    assert eligibility_table(people, as_of=AS_OF, consent="assured")["is_eligible"].all()
    agreed = people.assign(consent=True)
    with pytest.raises(SchemaError, match=r"at_most counts contacts\. Give them: contacts="):
        eligibility_table(agreed, as_of=AS_OF, at_most={"7d": 1})
    with pytest.raises(SchemaError, match=r"at_most must map windows to contacts, such as at_most=\{\"7d\": 1"):
        eligibility_table(agreed, as_of=AS_OF, contacts=log, at_most=3)
    with pytest.raises(SchemaError, match="at_most has one window twice"):
        eligibility_table(agreed, as_of=AS_OF, contacts=log, at_most={"7d": 1, "1w": 2})
    with pytest.raises(SchemaError, match=r"at_most\['7d'\] must be a whole number of at least 1, got 0"):
        eligibility_table(agreed, as_of=AS_OF, contacts=log, at_most={"7d": 0})
    with pytest.raises(SchemaError, match="customer_id is Int64 in suppress, String in customers"):
        eligibility_table(agreed, as_of=AS_OF, suppress=[1])
    with pytest.raises(MissingColumnsError, match=r"\(suppress\) needs the columns \['customer_id'\].*: \['id'\]"):
        eligibility_table(agreed, as_of=AS_OF, suppress=pd.DataFrame({"id": ["a"]}))
    with pytest.raises(SchemaError, match=r"a list of ids or a dataframe, such as suppress=\['a'\], got 'a'"):
        eligibility_table(agreed, as_of=AS_OF, suppress="a")
    for strange in ([1.5], [1, float("nan")]):
        refusal = r"ids must be whole numbers or text, got 1\.5 in 'customer_id'|customer_id is missing in 1 rows"
        with pytest.raises(SchemaError, match=refusal):
            eligibility_table(agreed.assign(customer_id=1), as_of=AS_OF, suppress=strange)
    with pytest.raises(SchemaError, match="suppress is a Polars table and customers a pandas table"):
        eligibility_table(agreed, as_of=AS_OF, suppress=make_frame({"customer_id": ["a"]}, "polars"))
    with pytest.raises(SchemaError, match="customer_id is String in Customers, Int64 in Contacts"):
        eligibility_table(agreed, as_of=AS_OF, contacts=Contacts(log.assign(customer_id=1)))
