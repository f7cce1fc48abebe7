"""What partner_credit_table promises: parts by hand, a split that adds up to the cent and is Shapley's."""

import datetime as dt
import math
from itertools import permutations

import narwhals.stable.v2 as nw
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Contacts, datasets
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.partners._plots import plot_partner_credit
from crmlytics.partners.credit import SCHEMA, partner_credit_table
from crmlytics.testing import records

AS_OF = dt.datetime(2024, 3, 31)


def ago(days):
    return AS_OF - dt.timedelta(days=days)


SALES = {
    "customer_id": [1, 1, 2, 2, 3],
    "order_id": [1, 2, 3, 3, 4],
    "timestamp": [ago(50), ago(10), ago(8), ago(8), AS_OF],
    "amount": [30.0, 90.0, 50.0, 10.0, 1e6],
    "partner_id": ["x", "y", None, "x", "x"],
}
EVENTS = {  # z within 30 days of the second order, w just outside, x at the very moment of the third
    "customer_id": [1, 1, 2, 2, 1],
    "timestamp": [ago(40), ago(41), ago(8), ago(7), AS_OF],
    "partner_id": ["z", "w", "x", "v", "u"],
}


def parts(table):
    names = ["order_count", "sold_amount", "sourced_amount", "influenced_amount", "sole_amount", "joint_amount",
             "credit_amount"]  # fmt: skip
    rows = [dict(zip(SCHEMA, row, strict=True)) for row in records(table)]
    return {row["partner_id"]: [row[name] for name in names] for row in rows}


def test_parts_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = partner_credit_table(sales, frame(EVENTS), as_of=AS_OF)
    assert type(table) is type(sales)
    assert dict(nw.from_native(table).collect_schema()) == dict(SCHEMA)
    assert parts(table) == {
        # sold 50 with x in touch; brought customer 2, to whom x sold 10
        "(direct)": [1, 50.0, 60.0, 0.0, 0.0, 60.0, 30.0],
        "x": [3, 40.0, 120.0, 60.0, 30.0, 150.0, 30.0 + 30.0 + 25.0 + 5.0],
        "y": [1, 90.0, 0.0, 0.0, 0.0, 90.0, 30.0],
        "z": [1, 0.0, 0.0, 90.0, 0.0, 90.0, 30.0],
    }


@pytest.mark.parametrize("control", ["control", "Holdout ", "not contacted"])
def test_contacts_count_but_not_of_those_held_out(control):
    contacts = pd.DataFrame({
        "who": [1, 1], "at": [ago(20), ago(20)], "partner_id": ["z", "w"], "group": ["call", control],
    })  # fmt: skip
    for given_as in (
        Contacts(contacts, customer_id="who", timestamp="at", arm="group"),
        contacts.rename(columns={"who": "customer_id", "at": "timestamp", "group": "arm"}),
    ):
        table = partner_credit_table(pd.DataFrame(SALES), contacts=given_as, as_of=AS_OF)
        assert set(table["partner_id"]) == {"(direct)", "x", "y", "z"}
        named = partner_credit_table(pd.DataFrame(SALES), contacts=given_as, as_of=AS_OF, control="call")
        assert set(named["partner_id"]) == {"(direct)", "x", "y", "w"}


def test_who_brought_a_customer_is_told_by_customers():
    customers = pd.DataFrame({"customer_id": [1], "partner_id": ["b"]})
    table = partner_credit_table(pd.DataFrame(SALES), customers=customers, as_of=AS_OF)
    assert parts(table)["b"] == [2, 0.0, 120.0, 0.0, 0.0, 120.0, 60.0]
    assert table["caution"].str.endswith("No touches were given: only who brought and who sold.").all()


@pytest.mark.parametrize(
    ("dates", "who"),
    [
        ({"valid_to": [None, None]}, "b"),  # of whom nothing says since when, that always held
        ({"valid_from": [None, None]}, "b"),
        ({"valid_from": [None, ago(50)]}, "b"),  # as long as the row for who brought customer 2 says nothing else
        ({"valid_from": [ago(49), None]}, "x"),  # only after the first order
        ({"valid_from": [ago(50), None]}, "b"),
        ({"valid_from": [ago(90), None], "valid_to": [ago(50), None]}, "x"),  # up to the order, not at it
    ],
)
def test_customers_without_a_beginning_or_an_end_are_read_as_snapshots_read_them(dates, who):
    days = {name: pd.to_datetime(pd.Series(values)) for name, values in dates.items()}
    customers = pd.DataFrame({"customer_id": [1, 2], "partner_id": ["b", "c"], **days})
    table = partner_credit_table(pd.DataFrame(SALES), customers=customers, as_of=AS_OF)
    assert parts(table)[who][2] == 120.0
    assert parts(table)["c"][2] == 60.0


def test_rows_of_a_customer_that_contradict_each_other_say_nothing():
    states = pd.DataFrame({"customer_id": [1, 1, 1], "partner_id": ["b", "c", "d"]})
    for order in ([0, 1, 2], [2, 1, 0]):
        dated = states.assign(valid_from=[ago(60), ago(60), ago(70)]).iloc[order]
        table = partner_credit_table(pd.DataFrame(SALES), customers=dated, as_of=AS_OF)
        assert parts(table)["x"][2] == 120.0  # who sold the first order


def test_since_splits_only_later_revenue_but_knows_who_brought_the_customer():
    table = partner_credit_table(pd.DataFrame(SALES), as_of=AS_OF, since=ago(20))
    assert parts(table)["x"][:4] == [2, 10.0, 90.0, 0.0]
    assert table["credit_amount"].sum() == 150


SALE = st.tuples(st.integers(0, 3), st.sampled_from(["x", "y", "z", None]), st.integers(1, 60), st.integers(-999, 9999))
TOUCH = st.tuples(st.integers(0, 3), st.sampled_from(["x", "y", "w"]), st.integers(1, 60))


def shapley(players, amount):
    """Pay each player what the coalition gains when the player joins, averaged over all orders of joining."""
    paid = dict.fromkeys(players, 0.0)
    orders = list(permutations(players))
    for order in orders:
        paid[order[-1]] += amount / len(orders)  # only the last one completes the coalition
    return paid


@pytest.mark.filterwarnings("ignore:.*the last line is of", "ignore:.*no customer_id of Events")
@settings(max_examples=25)
@given(sales=st.lists(SALE, min_size=1, max_size=15), touches=st.lists(TOUCH, min_size=1, max_size=10))
def test_credit_is_shapley_of_every_sale_and_adds_up_to_the_cent(sales, touches):
    sales = sorted(sales, key=lambda sale: -sale[2])
    customer, partner, days, cents = zip(*sales, strict=True)
    lines = pd.DataFrame({
        "customer_id": customer, "order_id": range(len(sales)), "timestamp": [ago(day) for day in days],
        "amount": [cent / 100 for cent in cents], "partner_id": pd.array(partner, dtype="str"),
    })  # fmt: skip
    events = pd.DataFrame(touches, columns=["customer_id", "partner_id", "days"])
    events["timestamp"] = [ago(day) for day in events.pop("days")]
    table = partner_credit_table(lines.sample(frac=1, random_state=0), events, as_of=AS_OF)
    assert math.fsum(table["credit_amount"]) == pytest.approx(sum(cents) / 100, abs=1e-9)
    assert math.fsum(table["sold_amount"]) == pytest.approx(sum(cents) / 100, abs=1e-9)
    assert math.fsum(table["sourced_amount"]) == pytest.approx(sum(cents) / 100, abs=1e-9)
    paid = {}
    for who, seller, day, cent in sales:
        firsts = [sale for sale in sales if sale[0] == who and sale[3] >= 0]
        earliest = [sale for sale in firsts if sale[2] == firsts[0][2]] if firsts else []
        if len(earliest) > 1:
            return  # two orders at the same moment: either may be the first
        source = earliest[0][1] if earliest else seller
        near = {name for other, name, at in touches if other == who and day <= at <= day + 30}
        for name, amount in shapley({seller, source, *near}, cent / 100).items():
            paid[name or "(direct)"] = paid.get(name or "(direct)", 0.0) + amount
    assert table.set_index("partner_id")["credit_amount"].to_dict() == pytest.approx(paid, abs=1e-6)


def test_lookback_counts_calendar_days_and_dated_orders_know_the_touches_of_their_day():
    noon, evening = dt.timedelta(hours=12), dt.timedelta(hours=20)
    touches = pd.DataFrame({
        "customer_id": [1, 1, 1], "partner_id": ["z", "w", "v"],
        "timestamp": [ago(40), ago(41) + evening, ago(10) + noon],
    })  # fmt: skip
    dated = partner_credit_table(pd.DataFrame(SALES), touches, as_of=AS_OF, since=ago(20))
    assert set(dated["partner_id"]) == {"(direct)", "x", "y", "z", "v"}  # v: noon of the day of the order
    timed = pd.DataFrame(SALES | {"timestamp": [moment + dt.timedelta(hours=9) for moment in SALES["timestamp"]]})
    table = partner_credit_table(timed, touches, as_of=AS_OF, since=ago(20))
    assert set(table["partner_id"]) == {"(direct)", "x", "y", "z"}  # z: 30 days and 9 hours before; v came later


@pytest.mark.parametrize("name", ["events", "contacts", "customers"])
def test_ids_of_partners_are_of_one_kind(name):
    sales = pd.DataFrame(SALES | {"partner_id": pd.array([1, 2, None, 1, 1], "Int64")})
    other = pd.DataFrame(EVENTS).drop_duplicates("customer_id")
    with pytest.raises(SchemaError, match=rf"partner_id is String in {name} and Int64 in transactions. Give both"):
        partner_credit_table(sales, **{name: other}, as_of=AS_OF)
    with pytest.raises(SchemaError, match=rf"partner_id is Int64 in {name} and String in transactions. Give both"):
        partner_credit_table(pd.DataFrame(SALES), **{name: other.assign(partner_id=7)}, as_of=AS_OF)
    nobody = other.assign(partner_id=pd.array([None] * len(other), "str"))
    assert set(partner_credit_table(sales, **{name: nobody}, as_of=AS_OF)["partner_id"]) == {"(direct)", "1", "2"}


def test_the_future_changes_nothing():
    tables = []
    for amount, partner in ((1.0, "x"), (-1e9, "q")):
        sales = pd.DataFrame(SALES | {"amount": [*SALES["amount"][:-1], amount]})
        events = pd.DataFrame(EVENTS | {"partner_id": [*EVENTS["partner_id"][:-1], partner]})
        tables.append(partner_credit_table(sales, events, as_of=AS_OF))
    pd.testing.assert_frame_equal(*tables)


@pytest.mark.parametrize(
    ("more", "kind", "said"),
    [
        (
            {"events": pd.DataFrame({"customer_id": [1], "timestamp": [AS_OF]})},
            MissingColumnsError,
            "events needs a column 'partner_id', which tells who was in touch",
        ),
        (
            {"events": pd.DataFrame(EVENTS | {"customer_id": list("abcde")})},
            SchemaError,
            "customer_id is Int64 in Transactions, String in Events",
        ),
        ({"since": AS_OF}, SchemaError, "since must lie before as_of, got since=2024-03-31 00:00"),
        ({"since": ago(5)}, SchemaError, "no line lies from since=2024-03-26 to as_of"),
        ({"lookback": 30}, SchemaError, r'lookback must be a duration.*lookback="30d"'),
    ],
)
def test_refusals_say_what_to_type(more, kind, said):
    with pytest.raises(kind, match=said):
        partner_credit_table(pd.DataFrame(SALES), as_of=AS_OF, **more)


def test_all_revenue_of_the_universe_is_somebodys_and_the_picture_shows_it():
    import matplotlib.pyplot as plt

    made = datasets.make_universe(customers=400, random_state=1)
    table = partner_credit_table(made.transactions, customers=made.customers, as_of="2025-06-24")
    assert math.fsum(table["credit_amount"]) == pytest.approx(made.transactions["amount"].sum(), abs=0.005)
    ax = plot_partner_credit(table)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Sold", "Brought", "In touch", "Credit"]
    assert len(ax.patches) == 6
    sold, brought = (line.get_ydata() for line in ax.lines[:2])
    assert (sold > brought).all()  # equal amounts do not hide each other
    plt.close(ax.figure)


def test_an_experiment_stands_beside_the_credit_and_moves_none_of_it():
    plain = partner_credit_table(pd.DataFrame(SALES), pd.DataFrame(EVENTS), as_of=AS_OF)
    measured = pd.DataFrame({
        "partner_id": ["x", "z"], "incremental_amount": [18.0, 0.0], "incremental_amount_low": -9.0,
    })  # fmt: skip
    table = partner_credit_table(pd.DataFrame(SALES), pd.DataFrame(EVENTS), as_of=AS_OF, experiment=measured)
    same = [name for name in plain if not name.startswith("incremental") and name != "caution"]
    pd.testing.assert_frame_equal(plain[same], table[same])
    found = table.set_index("partner_id")
    assert found.loc["x", "incremental_per_credit"] == pytest.approx(18 / 90)
    of_z = found.loc["z", ["incremental_amount", "incremental_amount_low", "incremental_per_credit"]]
    assert of_z.tolist() == [0, -9, 0]
    assert found["incremental_amount_high"].isna().all()
    assert found.loc[["(direct)", "y"], "incremental_amount"].isna().all()
    assert found["caution"].str.contains("decide by it").tolist() == [False, True, False, True]
    assert plain["incremental_per_credit"].isna().all()


def test_an_experiment_names_partners_as_the_table_does():
    sales = pd.DataFrame(SALES).assign(partner_id=[7, 8, None, 7, 7])
    measured = pd.DataFrame({"partner_id": [7.0], "incremental_amount": [1.0]})
    table = partner_credit_table(sales, as_of=AS_OF, experiment=measured)
    assert table.set_index("partner_id").loc["7", "incremental_amount"] == 1.0
    refused = {
        r"experiment names '77', a partner_id that has no row": measured.assign(partner_id=77),
        r"the partner_id '7' more than once": pd.concat([measured, measured]),
    }
    for message, experiment in refused.items():
        with pytest.raises(SchemaError, match=message):
            partner_credit_table(sales, as_of=AS_OF, experiment=experiment)
    with pytest.raises(MissingColumnsError, match=r"experiment needs the columns \['incremental_amount'\]"):
        partner_credit_table(sales, as_of=AS_OF, experiment=measured[["partner_id"]])
