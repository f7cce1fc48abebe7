"""The outcome table: what happened within the horizon, what lay before the contact, and who was left out."""

import datetime as dt
import warnings

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics import Contacts, Customers, Events, Transactions
from crmlytics._frames import to_pandas
from crmlytics.campaigns._experiment import read_experiment
from crmlytics.campaigns.outcomes import outcome_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError

CONTACT = dt.datetime(2024, 3, 1, 12)


def at(days, hours=0):
    """The moment so many days and hours after the contact."""
    return CONTACT + dt.timedelta(days=days, hours=hours)


CONTACTS = {
    "campaign_id": ["spring"] * 4,
    "customer_id": ["a", "b", "c", "a"],
    "timestamp": [CONTACT, CONTACT, CONTACT, at(3)],
    "arm": ["email", "control", "letter", "email"],
    "cost": [1.0, 0.0, 2.0, 1.0],
    "responded": [False, False, True, True],
}
ORDERS = {
    "customer_id": ["a", "a", "a", "b", "b", "b", "c", "c", "c"],
    "order_id": [1, 1, 2, 3, 4, 5, 6, 7, 8],
    "timestamp": [
        at(0, -1), at(2), at(9, 11),  # a: order 1 began before the contact; 2 on the last day of ten
        at(0), at(-20), at(-21),  # b: at the very moment of the contact; on the first day before, and a day earlier
        at(10, -12), at(5), at(6),  # c: at the midnight that ends the window; one order, and all of it given back
    ],
    "amount": [10.0, 5.0, 20.0, 8.0, 4.0, 99.0, 50.0, 30.0, -30.0],
    "cost": [6.0, 3.0, 12.0, 5.0, 2.0, 50.0, 25.0, 20.0, -20.0],
}  # fmt: skip
WINDOWS = {"as_of": "2024-04-01", "horizon": "10d", "pre_period": "20d"}


def test_windows_by_hand_on_every_frame(frame):
    found = to_pandas(outcome_table(frame(CONTACTS), frame(ORDERS), **WINDOWS))
    names = ["customer_id", "arm", "is_treated", "contact_count", "contact_cost_amount", "responded", "converted",
             "order_count", "revenue_amount", "margin_amount"]  # fmt: skip
    assert list(found[names].itertuples(index=False, name=None)) == [
        ("a", "email", True, 2, 2.0, True, True, 1, 20.0, 8.0),
        ("b", "control", False, 0, 0.0, False, True, 1, 8.0, 3.0),
        ("c", "letter", True, 1, 2.0, True, True, 1, 0.0, 0.0),
    ]
    assert found["pre_order_count"].tolist() == [1, 1, 0]
    assert found["pre_revenue_amount"].tolist() == [15.0, 4.0, 0.0]
    assert found["pre_converted"].tolist() == [True, True, False]
    assert found["contacted_at"].tolist() == [CONTACT] * 3


def test_dtypes_are_fixed():
    found = outcome_table(pd.DataFrame(CONTACTS), pd.DataFrame(ORDERS), **WINDOWS)
    kinds = {name: str(kind) for name, kind in found.dtypes.items()}
    assert {kinds[name] for name in ("order_count", "pre_order_count", "contact_count")} == {"int64"}
    assert {kinds[name] for name in ("converted", "pre_converted", "is_treated", "responded")} == {"bool"}
    assert {kinds[name] for name in ("revenue_amount", "pre_margin_amount", "contact_cost_amount")} == {"float64"}


def test_nothing_at_or_after_as_of_is_read():
    contacts, orders = pd.DataFrame(CONTACTS), pd.DataFrame(ORDERS)
    poison = pd.DataFrame({
        "customer_id": ["a", "b"], "order_id": [91, 92], "amount": [1e9, 1e9], "cost": [0.0, 0.0],
        "timestamp": pd.to_datetime(["2024-04-01", "2024-05-01"]),
    })  # fmt: skip
    late = pd.DataFrame(CONTACTS).assign(timestamp=pd.Timestamp("2024-04-02"), arm="letter")
    clean = outcome_table(contacts, orders, **WINDOWS)
    with_future = outcome_table(pd.concat([contacts, late]), pd.concat([orders, poison]), **WINDOWS)
    pd.testing.assert_frame_equal(clean, with_future)


def test_events_are_outcomes_too(frame):
    events = {
        "customer_id": ["a", "a", "b", "b"], "event": ["view", "register", "view", "view"],
        "timestamp": [at(1), at(2), at(1), at(-1)],
    }  # fmt: skip
    contacts = frame({name: values[:2] for name, values in CONTACTS.items()})
    every = to_pandas(outcome_table(contacts, frame(events), **WINDOWS))
    assert every["event_count"].tolist() == [2, 1]
    assert every["pre_event_count"].tolist() == [0, 1]
    registered = to_pandas(outcome_table(contacts, frame(events), event="register", **WINDOWS))
    assert registered["converted"].tolist() == [True, False]
    assert "revenue_amount" not in registered.columns


def test_each_campaign_has_windows_of_its_own():
    second = pd.DataFrame(CONTACTS).head(2).assign(campaign_id="summer", timestamp=at(9))
    found = outcome_table(pd.concat([pd.DataFrame(CONTACTS), second]), pd.DataFrame(ORDERS), **WINDOWS)
    summer = found[found["campaign_id"] == "summer"].set_index("customer_id")
    assert summer["order_count"].tolist() == [1, 0]  # a: order 2, eleven hours after the second contact
    assert summer["pre_order_count"].tolist() == [1, 1]  # b: order 3; order 4 lies 29 days before


def test_windows_that_are_not_over_are_left_out_and_told():
    contacts = pd.DataFrame(CONTACTS).assign(timestamp=[CONTACT, CONTACT, at(25), at(3)])
    with pytest.warns(DataQualityWarning, match="1 of 3 customers are left out: the 10 days after the contact are not"):
        found = outcome_table(contacts, pd.DataFrame(ORDERS), **WINDOWS)
    assert found["customer_id"].tolist() == ["a", "b"]
    with pytest.raises(SchemaError, match=r"of all 3 customers the 300 days .* Take a shorter horizon, or wait"):
        outcome_table(contacts, pd.DataFrame(ORDERS), as_of="2024-04-01", horizon="300d")


def test_contacted_in_two_arms(frame):
    later = frame(CONTACTS | {"arm": ["email", "control", "letter", "letter"]})
    with pytest.warns(DataQualityWarning, match=r"1 customers were contacted in several arms .* their first contact"):
        found = to_pandas(outcome_table(later, frame(ORDERS), **WINDOWS))
    assert found["arm"].tolist() == ["email", "control", "letter"]
    at_once = pd.DataFrame(CONTACTS | {"arm": ["email", "control", "letter", "letter"], "timestamp": [CONTACT] * 4})
    with pytest.raises(SchemaError, match="such as customer 'a' in 'email' and 'letter' of 'spring'"):
        outcome_table(at_once, pd.DataFrame(ORDERS), **WINDOWS)


def test_without_arms_and_campaigns_all_are_treated_by_one():
    contacts = pd.DataFrame(CONTACTS)[["customer_id", "timestamp"]]
    found = outcome_table(contacts, pd.DataFrame(ORDERS), **WINDOWS)
    assert found["campaign_id"].unique().tolist() == ["campaign"]
    assert found["arm"].unique().tolist() == ["treated"]
    with pytest.raises(SchemaError, match=r"no control group. Arms: \['treated'\]. So contacts without an arm are"):
        read_experiment(found, caller="test")


def test_who_was_added_to_compare_with_is_not_treated():
    contacts = pd.DataFrame(CONTACTS | {"arm": ["email", "not contacted", "letter", "email"]})
    found = outcome_table(contacts, pd.DataFrame(ORDERS), **WINDOWS)
    assert found["is_treated"].tolist() == [True, False, True]
    assert found["contact_count"].tolist() == [2, 0, 1]


def test_a_cost_on_record_for_the_control_group_is_none():
    found = outcome_table(pd.DataFrame(CONTACTS | {"cost": [1.0] * 4}), pd.DataFrame(ORDERS), **WINDOWS)
    assert found["contact_cost_amount"].tolist() == [2.0, 0.0, 1.0]


def daily_orders(end):
    """One order a day, from half a year before the contact."""
    moments = pd.date_range(at(-180), end, freq="D")
    return pd.DataFrame({"customer_id": "c", "order_id": range(len(moments)), "timestamp": moments, "amount": 1.0})


def test_outcomes_that_end_before_the_windows_do_are_told(frame):
    orders = {name: values.tolist() for name, values in daily_orders(at(12)).items()}
    told = r"outcomes end on 2024-03-13, up to 17 days before the windows of 3 customers do.* as_of=.2024-03-14"
    with pytest.warns(DataQualityWarning, match=told):
        outcome_table(frame(CONTACTS), frame(orders), as_of="2024-06-01", horizon="30d")


@pytest.mark.parametrize(
    ("orders", "is_told"),
    [
        (pd.concat([daily_orders(at(23))] * 2), False),  # six days are no week
        (pd.concat([daily_orders(at(22))] * 2), True),
        (daily_orders(at(20)), False),  # nine days are not ten times the distance of two orders
        (daily_orders(at(19)), True),
        (pd.DataFrame(ORDERS).head(2), False),  # of so short a history nobody can tell
    ],
)
def test_a_quiet_end_is_not_told_where_orders_are_rare(orders, is_told):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        outcome_table(pd.DataFrame(CONTACTS), orders, as_of="2024-06-01", horizon="30d")
    assert ["the outcomes end on" in str(one.message) for one in told] == [True] * is_told


def test_arms_may_be_numbers(frame):
    found = to_pandas(outcome_table(frame(CONTACTS | {"arm": [1, 0, 2, 1]}), frame(ORDERS), control=0, **WINDOWS))
    assert found["arm"].tolist() == ["1", "0", "2"]
    assert found["is_treated"].tolist() == [True, False, True]


def test_attributes_as_they_stood_at_the_contact(frame):
    customers = {
        "customer_id": ["a", "a", "b"], "segment": ["new", "gold", "gold"],
        "valid_from": [dt.datetime(2024, 1, 1), at(1), None], "valid_to": [at(1), None, None],
    }  # fmt: skip
    found = to_pandas(outcome_table(frame(CONTACTS), frame(ORDERS), customers=frame(customers), **WINDOWS))
    assert found["segment"].tolist()[:2] == ["new", "gold"]
    assert pd.isna(found["segment"][2])
    plain = frame({"customer_id": ["c", "a"], "segment": ["x", "y"]})
    found = to_pandas(outcome_table(frame(CONTACTS), frame(ORDERS), customers=plain, **WINDOWS))
    assert found["segment"].fillna("?").tolist() == ["y", "?", "x"]


@given(
    hours=st.lists(st.integers(-24 * 40, 24 * 25), min_size=1, max_size=12),
    customers=st.lists(st.sampled_from(["a", "b", "c", "z"]), min_size=12, max_size=12),
)
def test_every_order_counts_once_where_it_lies(hours, customers):
    orders = pd.DataFrame({
        "customer_id": customers[: len(hours)], "order_id": range(len(hours)), "amount": 1.0,
        "timestamp": [at(0, hour) for hour in hours],
    })  # fmt: skip
    found = outcome_table(pd.DataFrame(CONTACTS), orders, **WINDOWS).set_index("customer_id")
    midnight = CONTACT.replace(hour=0)
    for customer in "abc":
        moments = orders.loc[orders["customer_id"] == customer, "timestamp"]
        after = moments[(moments >= CONTACT) & (moments < midnight + dt.timedelta(days=10))]
        before = moments[(moments < CONTACT) & (moments >= midnight - dt.timedelta(days=20))]
        assert found.loc[customer, "order_count"] == len(after)
        assert found.loc[customer, "pre_order_count"] == len(before)


def test_order_of_rows_does_not_matter():
    contacts, orders = pd.DataFrame(CONTACTS), pd.DataFrame(ORDERS)
    mixed = outcome_table(contacts.sample(frac=1, random_state=1), orders.sample(frac=1, random_state=2), **WINDOWS)
    pd.testing.assert_frame_equal(mixed, outcome_table(contacts, orders, **WINDOWS))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outcomes": Contacts(pd.DataFrame(CONTACTS))}, "outcomes must be Transactions or Events, got Contacts"),
        ({"outcomes": pd.DataFrame({"customer_id": ["a"]})}, "outcomes must be purchases or events. Name the columns"),
        ({"event": "click"}, "event='click' goes with Events, and outcomes are Transactions"),
        ({"as_of": "2020-01-01"}, "no contact lies before as_of"),
        ({"contacts": pd.DataFrame(CONTACTS | {"arm": ["x", None, "y", "x"]})}, "'arm' is missing in 1 contacts"),
        ({"contacts": pd.DataFrame(CONTACTS | {"arm": [True, False, True, True]})}, "holds Boolean.* Say it in words"),
        (
            {"contacts": pd.DataFrame(CONTACTS).drop(columns="timestamp")},
            r"outcome_table needs 'timestamp' of contacts.*data.assign\(timestamp=<day>\)",
        ),
        ({"contacts": pd.DataFrame(CONTACTS | {"customer_id": [1, 2, 3, 1]})}, "customer_id is Int64 in Contacts"),
        (
            {"customers": pd.DataFrame({"customer_id": ["a"], "arm": ["x"]})},
            r"customers has columns called \['arm'\], like the result",
        ),
        (
            {"customers": pd.DataFrame({"customer_id": ["a", "a"], "valid_from": [at(-9)] * 2, "tier": [1, 2]})},
            "two rows that begin together for customer 'a'",
        ),
    ],
)
def test_refusals(changes, message):
    given = {"contacts": pd.DataFrame(CONTACTS), "outcomes": pd.DataFrame(ORDERS)} | WINDOWS | changes
    with pytest.raises(SchemaError, match=message):
        outcome_table(given.pop("contacts"), given.pop("outcomes"), **given)


def test_an_unknown_event_is_told_with_those_known():
    events = Events(pd.DataFrame({"customer_id": ["a"], "event": ["register"], "timestamp": [at(1)]}))
    with pytest.raises(SchemaError, match=r"no event is 'registr'. Did you mean 'register'\?"):
        outcome_table(pd.DataFrame(CONTACTS), events, event="registr", **WINDOWS)


def test_tables_of_different_libraries_are_refused():
    polars = pytest.importorskip("polars")
    with pytest.raises(SchemaError, match=r"contacts is a pandas table and outcomes a Polars table"):
        outcome_table(pd.DataFrame(CONTACTS), polars.DataFrame(ORDERS), **WINDOWS)


def test_source_names_are_read_through_the_contracts():
    contacts = Contacts(
        pd.DataFrame(CONTACTS).rename(columns={"customer_id": "Who", "arm": "Gruppe"}), customer_id="Who", arm="Gruppe"
    )
    orders = Transactions(pd.DataFrame(ORDERS).rename(columns={"amount": "Umsatz"}), amount="Umsatz")
    customers = Customers(pd.DataFrame({"Kunde": ["a", "b", "c"], "tier": [1, 2, 3]}), customer_id="Kunde")
    found = outcome_table(contacts, orders, customers=customers, **WINDOWS)
    assert found["tier"].tolist() == [1, 2, 3]
    assert found["revenue_amount"].tolist() == [20.0, 8.0, 0.0]


# -- the door for experiments ---------------------------------------------------------------------------------------


def experiment(**columns):
    return pd.DataFrame({"customer_id": [3, 1, 2], "arm": ["b", "control", "a"], "x": [1.0, 2.0, None]} | columns)


def test_experiments_are_sorted_and_the_control_group_comes_first(frame):
    found = read_experiment(frame({"customer_id": [3, 1, 2], "arm": ["b", "control", "a"]}), caller="test")
    assert found.arms == ("control", "a", "b")
    assert found.arm.tolist() == [0, 1, 2]
    assert found.versus(2).tolist() == [True, False, True]
    assert found.table["customer_id"].tolist() == [1, 2, 3]


def test_an_arm_is_compared_with_control_of_its_own_campaigns():
    table = pd.DataFrame({
        "campaign_id": ["x"] * 4 + ["y"] * 3, "customer_id": range(7),
        "arm": ["mail", "mail", "mail", "control", "call", "mail", "control"],
    })  # fmt: skip
    found = read_experiment(table, caller="test")
    call, mail = found.arms.index("call"), found.arms.index("mail")
    assert found.versus(call).tolist() == [False] * 4 + [True, False, True]
    assert found.share(call).tolist() == [0.5, 0.5]
    assert found.versus(mail).tolist() == [True] * 4 + [False, True, True]
    assert found.share(mail).tolist() == [0.75] * 4 + [0.5] * 2


def test_numbers_and_words_of_experiments():
    found = read_experiment(experiment(flag=[True, False, True], s=[1.0, None, 2.5]), caller="test")
    assert found.numbers("flag", caller="test").tolist() == [0.0, 1.0, 1.0]
    assert found.words("s", caller="test").tolist() == ["missing", "2.5", "1"]
    with pytest.raises(SchemaError, match="'x' is missing in 1 of 3 rows"):
        found.numbers("x", caller="test")
    with pytest.raises(MissingColumnsError, match=r"needs the columns \['flgs'\]. Did you mean 'flag'\?"):
        found.numbers("flgs", caller="test")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (experiment().head(0), "the table has no rows"),
        (experiment(arm=[1.0, 0.0, 1.0]), r"no row has arm='control'.*If that is '0', type control='0'"),
        (experiment(arm=["email", "Holdout", "email"]), r"If that is 'Holdout', type control='Holdout'"),
        (experiment(arm=["email", "letter", "email"]), r"If one of them was held out, type its name"),
        (experiment(arm=["email"] * 3), r"Arms: \['email'\]. All were treated: nobody was held out"),
        (experiment(arm=["control"] * 3), "all 3 rows have arm='control': nobody was treated"),
        (experiment(arm=["a", None, "control"]), "'arm' is missing in 1 of 3 rows. Leave out who was in no arm"),
        (experiment(customer_id=[1, 1, 2]), "expected one row per customer_id"),
        (
            experiment(customer_id=[1, 1, 2], campaign_id=["x", "y", "x"]),
            r"customers of several campaigns \(\['x', 'y'\]\).*Take one: table\[table\[\"campaign_id\"\] == 'x'\]",
        ),
    ],
)
def test_experiments_refused(table, message):
    with pytest.raises(SchemaError, match=message):
        read_experiment(table, caller="test")


def test_costs_that_are_missing_are_told():
    orders = pd.DataFrame(ORDERS | {"cost": [None, *ORDERS["cost"][1:]]})
    with pytest.warns(
        DataQualityWarning, match="cost is missing in 1 of 9 order lines, which count as costing nothing"
    ):
        outcome_table(pd.DataFrame(CONTACTS), orders, **WINDOWS)
    contacts = pd.DataFrame(CONTACTS | {"cost": [None, None, 2.0, 1.0]})
    with pytest.warns(DataQualityWarning, match="cost is missing in 1 of 3 contacts"):
        outcome_table(contacts, pd.DataFrame(ORDERS), **WINDOWS)
