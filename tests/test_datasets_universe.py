"""What make_universe promises of its tables: they fit together, nothing comes before its cause, dirt is counted."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics import Contacts, Customers, Events, Leads, Products, Subscriptions, Tickets, Transactions
from crmlytics.campaigns.planning.eligibility import eligibility_table
from crmlytics.datasets._universe import SyntheticUniverse, make_universe
from crmlytics.datasets._universe._laws import CAMPAIGNS
from crmlytics.exceptions import SchemaError

TABLES = [name for name in vars(SyntheticUniverse) if not name.startswith("_")]
DIRTY = {"transactions", "lines", "events", "event_lines"}
MADE = make_universe(customers=3000, random_state=1)
SPOILT = make_universe(customers=3000, random_state=1, dirt=0.1)
DAY = pd.Timedelta(days=1)
START, END = pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-01") + 540 * DAY


def window_end(contacted):
    return contacted.dt.normalize() + 30 * DAY


def test_the_same_seed_makes_the_same_tables():
    one, same, other = (make_universe(customers=60, random_state=seed) for seed in (4, 4, 5))
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(one, name), getattr(same, name))
    assert not one.transactions.equals(other.transactions)
    assert not one.customers.equals(other.customers)


def test_what_was_asked_for_before_changes_nothing():
    one, other = (make_universe(customers=60, random_state=4) for _ in range(2))
    for name in TABLES:
        getattr(one, name)
    for name in reversed(TABLES):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name))
    assert one.contacts is one.contacts  # kept, not made again
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(other)).orders, one.orders)  # noqa: S301  our own


def test_dirt_leaves_the_clean_rows_and_the_truth_as_they_are():
    for name in set(TABLES) - DIRTY:
        pd.testing.assert_frame_equal(getattr(MADE, name), getattr(SPOILT, name))
    added = SPOILT.lines["dirt"].isin(["duplicate", "cancellation"])
    clean = SPOILT.lines["dirt"][~added].eq("clean").to_numpy()
    kept = SPOILT.transactions[~added].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept[clean], MADE.transactions[clean])
    again = SPOILT.event_lines["dirt"] == "duplicate"
    clean = SPOILT.event_lines["dirt"][~again].eq("clean").to_numpy()
    pd.testing.assert_frame_equal(SPOILT.events[~again].reset_index(drop=True)[clean], MADE.events[clean])


def test_dirt_is_exactly_as_much_as_asked_for():
    each = round(0.1 / 5 * len(MADE.transactions))
    faults = ["missing_customer", "duplicate", "zero_price", "negative_price", "cancelled", "cancellation"]
    counts = SPOILT.lines["dirt"].value_counts()
    assert counts.drop("clean").to_dict() == dict.fromkeys(faults, each)
    assert len(SPOILT.transactions) == len(MADE.transactions) + 2 * each
    half = round(0.1 / 2 * len(MADE.events))
    counts = SPOILT.event_lines["dirt"].value_counts()
    assert counts.drop("clean").to_dict() == {"missing_customer": half, "duplicate": half}
    assert len(SPOILT.events) == len(MADE.events) + half


def test_dirt_is_where_the_truth_says():
    lines, dirt = SPOILT.transactions, SPOILT.lines["dirt"]
    assert lines["customer_id"].isna().equals(dirt == "missing_customer")
    assert (lines["unit_price"] == 0).equals(dirt == "zero_price")
    assert (lines["unit_price"] < 0).equals(dirt == "negative_price")
    assert lines["order_id"].str.startswith("C").equals(dirt == "cancellation")
    known = lines["customer_id"].notna()
    assert lines["customer_id"][known].eq(SPOILT.lines["true_customer_id"][known]).all()
    assert lines["order_id"].str.removeprefix("C").eq(SPOILT.lines["true_order_id"]).all()
    copies = SPOILT.events.duplicated()
    assert copies.eq(SPOILT.event_lines["dirt"] == "duplicate").mean() > 0.999  # two clicks of a second may be equal
    assert SPOILT.events["customer_id"].isna().equals(SPOILT.event_lines["dirt"] == "missing_customer")
    assert MADE.lines["dirt"].eq("clean").all()
    assert MADE.event_lines["dirt"].eq("clean").all()


def test_contracts_take_the_tables_as_they_are():
    roles = {
        Transactions: ("transactions", ["customer_id", "order_id", "timestamp", "product_id", "category", "quantity",
                       "unit_price", "amount", "list_price", "discount_amount", "cost", "channel", "partner_id"]),
        Products: ("products", ["product_id", "category", "price", "cost"]),
        Customers: ("customers", ["customer_id", "acquisition_channel", "acquisition_cost", "consent"]),
        Events: ("events", ["customer_id", "timestamp", "event", "session_id", "channel", "amount", "cost"]),
        Contacts: ("contacts", ["customer_id", "campaign_id", "timestamp", "channel", "arm", "responded", "cost",
                   "consent"]),
        Tickets: ("tickets", ["ticket_id", "customer_id", "opened_at", "first_reply_at", "closed_at", "reopened_at",
                  "category", "priority", "channel", "satisfaction"]),
        Leads: ("leads", ["lead_id", "created_at", "source", "stage", "owner", "converted", "converted_at"]),
        Subscriptions: ("subscriptions", ["customer_id", "started_at", "ended_at", "plan", "price"]),
    }  # fmt: skip
    for contract, (name, names) in roles.items():
        table = contract(getattr(MADE, name))  # warnings are errors here: nothing is set aside
        assert table.has(*names)
        counts = table.audit.set_index("reason")["lines"]
        assert counts["received"] == counts["kept"] == len(getattr(MADE, name))


def test_every_id_is_known():
    customers = set(MADE.customers["customer_id"])
    assert customers == set(range(1, 3001))
    assert set(MADE.customer_truth["customer_id"]) == set(MADE.transactions["customer_id"]) == customers
    for name in ("events", "tickets", "contacts", "subscriptions", "sessions", "uplifts", "prevented_orders"):
        assert set(getattr(MADE, name)["customer_id"]) <= customers
    assert set(MADE.leads["customer_id"].dropna()) <= customers
    assert set(MADE.transactions["product_id"]) <= set(MADE.products["product_id"])
    assert set(MADE.customers["partner_id"]) == set(MADE.transactions["partner_id"]) == set(MADE.partners["partner_id"])
    assert MADE.orders["order_id"].tolist() == MADE.transactions["order_id"].drop_duplicates().tolist()
    assert set(MADE.events["session_id"]) <= set(MADE.sessions["session_id"])
    assert set(MADE.orders["visit_session_id"].dropna()) <= set(MADE.sessions["session_id"])
    assert MADE.tickets["ticket_id"].equals(MADE.ticket_truth["ticket_id"])
    assert set(MADE.stage_history["lead_id"]) == set(MADE.lead_truth["lead_id"]) == set(MADE.leads["lead_id"])


def test_rows_of_a_customer_agree_between_tables():
    lines = MADE.transactions.merge(MADE.customers, on="customer_id", suffixes=("", "_of"))
    assert lines["partner_id"].eq(lines["partner_id_of"]).all()
    products = MADE.transactions.merge(MADE.products, on="product_id", suffixes=("", "_of"))
    assert products["category"].eq(products["category_of"]).all()
    partners = MADE.customers.merge(MADE.partners, on="partner_id", suffixes=("", "_of"))
    assert partners["region"].eq(partners["region_of"]).all()
    first = MADE.orders.drop_duplicates("customer_id").set_index("customer_id")
    assert first["cause"].eq("joining").all()
    assert first["timestamp"].sort_index().tolist() == MADE.customers["joined_at"].tolist()


@pytest.mark.parametrize("start", ["2024-01-01", "2023-03-01", "2024-12-31"])
def test_ages_are_those_of_the_birthdays(start):
    people, start = make_universe(customers=1000, start=start).customers, pd.Timestamp(start)
    born = people["birthday"].dt
    later = (born.month > start.month) | ((born.month == start.month) & (born.day > start.day))
    assert (start.year - born.year - later).tolist() == people["age"].tolist()


def test_nothing_is_known_of_after_the_end():
    for name in TABLES:
        table = getattr(MADE, name)
        for column in table.select_dtypes("datetime"):
            if column not in {"birthday", "started_at"} and name != "prevented_orders":
                assert table[column].min() >= START, (name, column)
            assert not (table[column] >= END).any(), (name, column)


def test_visits_that_outlast_the_data_are_cut_off():
    made = make_universe(customers=20_000, days=365, random_state=1)  # ten clicks would come after
    assert made.events["timestamp"].max() < START + 365 * DAY
    clicks = made.events.groupby("session_id")["timestamp"].max()
    assert clicks.max() > START + 365 * DAY - pd.Timedelta(minutes=5)


def test_orders_come_after_what_caused_them():
    orders = MADE.orders
    visits = orders.dropna(subset="visit_session_id")
    assert visits["cause"].eq("visit").all()
    wait = visits["timestamp"] - visits["visit_session_id"].map(MADE.sessions.set_index("session_id")["started_at"])
    assert wait.min() >= DAY / 2
    assert wait.max() <= 7 * DAY
    brought = orders[orders["cause"] == "contact"].merge(
        MADE.contacts, on=["customer_id", "campaign_id", "arm"], suffixes=("", "_contact")
    )
    assert len(brought) == (orders["cause"] == "contact").sum() > 50
    assert (brought["timestamp"] >= brought["timestamp_contact"]).all()
    assert (brought["timestamp"] < window_end(brought["timestamp_contact"])).all()
    assert brought["arm"].ne("control").all()
    assert brought["responded"].all()


def test_leads_are_won_before_they_join_and_only_they_are_acquired_by_sales():
    truth = MADE.customer_truth.merge(MADE.customers, on="customer_id").merge(
        MADE.leads, on="lead_id", how="left", suffixes=("", "_lead")
    )
    was_lead = truth["lead_id"].notna()
    assert was_lead.sum() == MADE.leads["converted"].sum() == MADE.leads["customer_id"].notna().sum() > 50
    assert truth["acquisition_channel"].eq("sales").equals(was_lead)
    late = (truth["joined_at"] - truth["converted_at"])[was_lead]
    assert late.between(pd.Timedelta(0), DAY).all()
    assert truth["customer_id"][was_lead].astype("Int64").equals(truth["customer_id_lead"][was_lead])
    assert MADE.customers["joined_at"][~was_lead].max() < START + 270 * DAY


def test_nothing_happens_before_joining_or_after_leaving():
    life = MADE.customers.merge(MADE.customer_truth, on="customer_id").set_index("customer_id")
    left = life["dropped_out_at"].fillna(END)
    for name, column in (("orders", "timestamp"), ("tickets", "opened_at"), ("subscriptions", "started_at")):
        table = getattr(MADE, name)
        assert (table[column] >= table["customer_id"].map(life["joined_at"])).all(), name
        assert (table[column] < table["customer_id"].map(left)).all(), name
    visits = MADE.sessions[MADE.sessions["order_id"].isna()]
    assert (visits["started_at"] >= visits["customer_id"].map(life["joined_at"])).all()
    assert (visits["started_at"] < visits["customer_id"].map(left)).all()


def test_support_answers_in_order_and_open_tickets_have_no_mark():
    tickets = MADE.tickets
    assert tickets["opened_at"].is_monotonic_increasing
    assert not (tickets["first_reply_at"] < tickets["opened_at"]).any()
    assert not (tickets["closed_at"] < tickets["first_reply_at"]).any()
    assert not (tickets["reopened_at"] < tickets["closed_at"]).any()
    assert tickets["reopened_at"][tickets["closed_at"].isna()].isna().all()
    assert tickets["satisfaction"][tickets["closed_at"].isna()].isna().all()
    assert tickets["satisfaction"].dropna().between(1, 5).all()
    bad = MADE.ticket_truth["is_bad"]
    wait = tickets["first_reply_at"] - tickets["opened_at"]
    assert wait[bad].min() >= DAY / 2
    assert tickets["satisfaction"][bad].max() == tickets["satisfaction"][~bad].min() == 3
    assert tickets["reopened_at"][~bad].isna().all()


def test_a_membership_ends_with_the_period_in_which_the_customer_leaves():
    clubs = MADE.subscriptions.merge(MADE.customer_truth, on="customer_id")
    ended = clubs.dropna(subset="ended_at")
    assert len(ended) > 50
    late = ended["ended_at"] - ended["dropped_out_at"]
    assert late.between(pd.Timedelta(0), 30 * DAY).all()
    assert ((ended["ended_at"] - ended["started_at"]) % (30 * DAY) == pd.Timedelta(0)).all()
    open_ones = clubs[clubs["ended_at"].isna()]
    assert not (open_ones["dropped_out_at"] < END - 30 * DAY).any()


def test_arms_have_exact_shares_of_everyone_who_may_be_contacted():
    for campaign, shares in CAMPAIGNS.items():
        contacts = MADE.contacts[MADE.contacts["campaign_id"] == campaign]
        assert contacts["customer_id"].is_unique
        day = contacts["timestamp"].dt.normalize().unique().item()
        may = MADE.customers["consent"] & (MADE.customers["joined_at"] <= day - 30 * DAY)
        assert set(contacts["customer_id"]) == set(MADE.customers["customer_id"][may])
        counts = contacts["arm"].value_counts()
        assert set(counts.index) == set(shares)
        assert all(abs(counts[arm] - share * len(contacts)) <= 1 for arm, share in shares.items())
    control = MADE.contacts["arm"] == "control"
    assert MADE.contacts["cost"].eq(0).equals(control)
    assert not MADE.contacts["responded"][control].any()
    assert MADE.contacts["channel"].isna().equals(control)


def test_only_who_was_asked_answers_and_a_no_is_the_last_word():
    contacts = MADE.contacts
    refused = contacts[contacts["consent"].notna()]
    assert len(refused) > 20
    assert not refused["consent"].any()
    assert refused["campaign_id"].eq("autumn").all()
    assert refused["arm"].ne("control").all()
    last = contacts.groupby("customer_id")["timestamp"].max()
    assert refused["timestamp"].eq(refused["customer_id"].map(last)).all()
    table = eligibility_table(MADE.customers, contacts=contacts, as_of="2025-06-24")
    opted_out = table["customer_id"][table["reason"] == "opted out"]
    assert set(opted_out) == set(refused["customer_id"]) | set(
        MADE.customers["customer_id"][~MADE.customers["consent"]]
    )


def test_windows_of_campaigns_do_not_touch():
    for days in (365, 400, 540):
        contacts = make_universe(customers=50, days=days).contacts
        begins = contacts.groupby("campaign_id")["timestamp"].min().dt.normalize().sort_values()
        assert (begins.diff().dropna() >= 60 * DAY).all()  # the window, and the one from which orders are pulled
        assert begins.iloc[-1] + 30 * DAY <= START + days * DAY


def test_web_orders_are_placed_at_the_last_click_of_their_session():
    web = MADE.transactions.drop_duplicates("order_id")["channel"].eq("web").to_numpy()
    assert (MADE.orders["session_id"].notna() == web).all()
    placed = MADE.sessions.dropna(subset="order_id")
    assert placed.set_index("session_id")["order_id"].to_dict() == dict(
        zip(MADE.orders["session_id"][web], MADE.orders["order_id"][web], strict=True)
    )
    bought = MADE.events[MADE.events["event"] == "purchase"].merge(MADE.orders, on="session_id")
    assert len(bought) == web.sum() == (MADE.events["event"] == "purchase").sum()
    assert bought["timestamp_x"].equals(bought["timestamp_y"])
    assert bought["customer_id_x"].eq(bought["customer_id_y"]).all()
    last = MADE.events.drop_duplicates("session_id", keep="last").set_index("session_id")["event"]
    assert last[bought["session_id"]].eq("purchase").all()
    totals = MADE.transactions.groupby("order_id")["amount"].sum()
    assert bought["amount"].to_numpy() == pytest.approx(totals[bought["order_id"]].to_numpy())
    assert MADE.events["amount"].notna().equals(MADE.events["event"] == "purchase")


def test_clicks_stand_by_time_and_the_first_one_of_a_session_costs():
    events = MADE.events
    assert events["timestamp"].is_monotonic_increasing
    first = ~events["session_id"].duplicated()
    prices = events["channel"].map({"direct": 0.0, "email": 0.01, "search_ad": 0.4, "social": 0.25})
    assert events["cost"].eq(prices.where(first, 0.0)).all()
    sessions = events[first].merge(MADE.sessions, on="session_id")
    assert len(sessions) == len(MADE.sessions)
    assert sessions["timestamp"].equals(sessions["started_at"])
    assert sessions["channel_x"].equals(sessions["channel_y"])


def test_lines_add_up():
    lines = MADE.transactions
    assert lines["timestamp"].is_monotonic_increasing
    assert lines["amount"].to_numpy() == pytest.approx((lines["quantity"] * lines["unit_price"]).to_numpy())
    full = (lines["quantity"] * lines["list_price"]).to_numpy()
    assert (lines["amount"] + lines["discount_amount"]).to_numpy() == pytest.approx(full)
    off = lines.groupby("order_id")[["amount", "discount_amount"]].sum()
    share = (off["discount_amount"] / off.sum(axis=1)).round(2)
    assert share.isin([0.0, 0.1, 0.15, 0.23, 0.24]).mean() > 0.95  # 1 - .85 * .9, but for whole cents


@given(
    customers=st.integers(1, 40),
    days=st.integers(365, 900),
    dirt=st.sampled_from([0.0, 0.013, 0.5, 1.0]),
    seed=st.integers(0, 2**32),
)
def test_small_universes_add_up_as_well(customers, days, dirt, seed):
    made = make_universe(customers=customers, days=days, dirt=dirt, random_state=seed)
    end = START + days * DAY
    added = made.lines["dirt"].isin(["duplicate", "cancellation"])
    clean = (~added).sum()
    assert made.lines["dirt"].eq("duplicate").sum() == min(round(dirt / 5 * clean), clean)
    assert made.lines["true_order_id"].nunique() == len(made.orders)
    assert len(made.orders) == customers + made.orders["cause"].ne("joining").sum()
    assert not (made.transactions["timestamp"] >= end).any()
    assert not (made.events["timestamp"] >= end).any()  # a customer may have left without a click
    assert made.orders["timestamp"].is_monotonic_increasing
    participants = made.contacts.groupby("campaign_id").size()
    arms = made.uplifts.groupby("campaign_id")["arm"].nunique()
    assert len(made.uplifts) == (participants * arms).sum()
    assert made.average_effects["customer_count"].sum() == len(made.uplifts)


def test_a_single_customer_has_every_table():
    made = make_universe(customers=1, random_state=3)
    assert len(made.customers) == 1
    for name in TABLES:
        assert isinstance(getattr(made, name), pd.DataFrame)


def test_says_what_was_made_without_making_it():
    made = make_universe(customers=12_000_000, start="2023-05-01", dirt=0.02)
    words = "12,000,000 customers, 540 days from 2023-05-01, 2.0% of lines and clicks dirty"
    assert repr(made) == f"SyntheticUniverse({words})"
    assert not (set(vars(made)) & set(TABLES))


def test_days_begin_at_the_start():
    made = make_universe(customers=400, start="2022-03-05", days=400, random_state=2)
    assert made.transactions["timestamp"].min() >= pd.Timestamp("2022-03-05")
    assert made.transactions["timestamp"].max() < pd.Timestamp("2022-03-05") + 400 * DAY
    assert made.transactions["timestamp"].max() > pd.Timestamp("2022-03-05") + 395 * DAY


def test_importing_loads_no_numpy():
    code = "import sys, crmlytics.datasets._universe; print({'numpy', 'pandas', 'scipy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"customers": 0}, r"make_universe: customers must be a whole number of at least 1, got 0"),
        ({"days": 364}, r"make_universe: days must be a whole number of at least 365, got 364"),
        ({"dirt": 1.5}, r"make_universe: dirt must be a share between 0 and 1, such as dirt=0.05, got 1.5"),
        ({"dirt": "a"}, r"make_universe: dirt must be a share between 0 and 1, such as dirt=0.05, got 'a'"),
        ({"random_state": -1}, r"make_universe: random_state must be a whole number of at least 0, got -1"),
        ({"start": "May"}, r"make_universe: start must be a date such as start=\"2011-12-10\", got 'May'"),
    ],
)
def test_says_what_is_out_of_range(arguments, message):
    with pytest.raises(SchemaError, match=message):
        make_universe(**arguments)


def test_seeds_may_be_numbers_of_numpy():
    assert make_universe(customers=9, random_state=np.int64(3)).customers.equals(
        make_universe(customers=9, random_state=3).customers
    )
