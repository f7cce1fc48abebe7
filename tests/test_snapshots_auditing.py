"""What the auditor promises: each known leak is caught, by the data where they show it, and honest tables pass."""

import datetime as dt
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, KFold

from crmlytics import Customers, Transactions
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.snapshots._cutoffs import cutoff_dates
from crmlytics.snapshots._snapshots import Snapshots
from crmlytics.snapshots.auditing import audit_features, audit_leakage
from crmlytics.testing import records

COLUMNS = ["check", "severity", "column", "evidence", "repair"]
MAY, JUNE, JULY = (pd.Timestamp(2024, month, 1) for month in (5, 6, 7))
RNG = np.random.default_rng(0)


def honest(rows=400, cutoffs=(MAY, JUNE)):
    """Customers at two cutoffs, whose features say a little, or nothing, of what they do."""
    size = rows * len(cutoffs)
    rng = np.random.default_rng(7)
    outcome = rng.random(size) < 0.3
    return pd.DataFrame(
        {
            "customer_id": np.tile(np.arange(rows), len(cutoffs)),
            "cutoff": np.repeat(cutoffs, rows),
            "recency_days": rng.integers(1, 90, size) + 20.0 * ~outcome,
            "order_count": rng.poisson(3, size) + 1,
            "city": rng.choice(["Rome", "Oslo"], size),
            "churned": outcome,
        }
    )


def found(table, *severities):
    return [(row[0], row[2]) for row in records(table) if row[1] in (severities or ("error",))]


def evidence(table, check, column=None):
    return next(row[3] for row in records(table) if (row[0], row[2]) == (check, column))


# -- by hand -------------------------------------------------------------------------------------------------------


def test_an_honest_panel_has_no_finding_and_says_what_was_looked_at(frame):
    panel = frame(honest())
    table = audit_leakage(panel, target="churned")
    assert type(table) is type(panel)
    rows = records(table)
    assert [row[:3] for row in rows] == [
        ("attributes", "not checked", None),
        ("label windows", "not checked", None),
        ("later facts", "not checked", None),
        ("dated after the cutoff", "passed", None),
        ("identical rows", "passed", None),
        ("near-perfect feature", "passed", None),
        ("telling value", "passed", None),
    ]
    assert rows[1][3].endswith("cutoffs lie 31 days apart, so random folds would share label windows")


def test_each_leak_in_a_column_is_named(frame):
    panel = honest()
    outcome = panel["churned"].to_numpy()
    late = panel["cutoff"] + pd.Timedelta(days=9)
    panel = panel.assign(
        score=np.where(outcome, 5.0, -5.0) + RNG.normal(size=len(panel)),
        ended=late.where(outcome & (RNG.random(len(panel)) < 0.5), panel["cutoff"] - pd.Timedelta(days=3)),
        reason=np.where(outcome & (panel["customer_id"] % 2 == 0), "price", "none"),
        total_amount=panel["customer_id"] * 1.5,
        age=panel["customer_id"] % 50,
        ticket_count=panel["customer_id"] % 40,  # may honestly stay the same from one cutoff to the next
        first_order_amount=panel["customer_id"] * 2.5,
        days_since_visit=panel["order_count"] - 2,
    )
    table = audit_leakage(frame(panel), target="churned")
    assert found(table) == [
        ("as of today", "total_amount"),
        ("cutoff day", "days_since_visit"),
        ("dated after the cutoff", "days_since_visit"),
        ("dated after the cutoff", "ended"),
        ("near-perfect feature", "score"),
        ("telling value", "reason"),
    ]
    assert [column for check, column in found(table, "warning") if check == "as of today"] == [
        "age",
        "reason",
        "ticket_count",
    ]
    assert evidence(table, "dated after the cutoff", "days_since_visit").startswith(
        f"{(panel['days_since_visit'] < 0).sum()} of 800 values are below zero"
    )


def test_the_threshold_of_a_near_perfect_column_is_met_from_both_sides():
    outcome = np.tile([True, False], 500)
    for right, severity in ((0.98, "error"), (0.88, "warning"), (0.7, "passed")):
        wrong = np.arange(1000) % 100 >= 100 * right
        panel = pd.DataFrame({"is_it": np.where(wrong, ~outcome, outcome).astype(int), "y": outcome})
        table = audit_leakage(panel, target="y", key=())
        assert ("near-perfect feature", "is_it" if severity != "passed" else None) in found(table, severity)


def test_a_column_that_stands_out_is_a_question():
    rng = np.random.default_rng(1)
    outcome = rng.random(4000) < 0.5
    panel = pd.DataFrame({"a": rng.normal(size=4000) + 1.1 * outcome, "b": rng.normal(size=4000), "y": outcome})
    assert found(audit_leakage(panel, target="y", key=()), "warning") == [("near-perfect feature", "a")]
    panel["b"] = rng.normal(size=4000) + 0.9 * outcome
    assert found(audit_leakage(panel, target="y", key=()), "warning") == []


def test_a_leak_that_is_no_straight_line_is_found_too():
    rng = np.random.default_rng(2)
    value = rng.uniform(-1, 1, 2000)
    panel = pd.DataFrame({"v": value, "y": np.abs(value) < 0.5})
    assert ("near-perfect feature", "v") in found(audit_leakage(panel, target="y", key=()))


def test_ids_tell_nothing():
    panel = honest().assign(ticket=[f"t{i}" for i in range(800)])
    table = audit_leakage(panel, target="churned")
    assert found(table) == []


def test_a_field_filled_in_for_churners_only_is_caught_and_one_empty_by_nature_is_asked_about():
    panel = honest(rows=1000)
    outcome = panel["churned"].to_numpy()
    filled = outcome & (np.arange(2000) % 3 == 0)
    panel["closing_note"] = np.where(filled, RNG.normal(size=2000), np.nan)
    panel["bonus"] = np.where(~outcome & (np.arange(2000) % 3 == 0), np.nan, 1.0 + np.arange(2000) % 97)
    table = audit_leakage(panel, target="churned")
    assert found(table) == [("telling value", "closing_note")]
    assert evidence(table, "telling value", "closing_note") == (
        f"all {filled.sum():,} rows where it is filled in have the rarer outcome"
    )
    assert ("telling value", "bonus") in found(table, "warning")


@pytest.mark.parametrize(("seconds", "errors"), [(-1, []), (0, [("dated after the cutoff", "seen_at")])])
def test_a_date_at_the_very_cutoff_is_of_the_future(seconds, errors):
    panel = honest()
    panel["seen_at"] = panel["cutoff"] + pd.Timedelta(seconds=seconds)
    assert found(audit_leakage(panel, target="churned")) == errors


def test_a_word_of_one_outcome_is_told_only_when_chance_would_not_do_it():
    outcome = np.arange(2000) % 10 == 0
    words = np.full(2000, "often", object)
    words[np.flatnonzero(~outcome)[:30]] = "rare"  # 0.9 ** 30 = 0.04
    panel = pd.DataFrame({"word": words, "number": np.arange(2000), "y": outcome})
    assert found(audit_leakage(panel, target="y", key=()), "error", "warning") == []
    words[np.flatnonzero(~outcome)[:140]] = "rare"  # 0.9 ** 140 = 4e-7
    panel["word"] = words
    assert found(audit_leakage(panel, target="y", key=()), "error", "warning") == [("telling value", "word")]


def test_copies_are_counted():
    panel = honest()
    panel = pd.concat([panel, panel.iloc[:40]], ignore_index=True)
    table = audit_leakage(panel, target="churned")
    assert evidence(table, "identical rows") == "40 of 840 rows repeat another in the key, features and outcome"
    assert found(table, "warning") == [("identical rows", None)]


def test_copies_in_a_table_without_a_key_may_be_chance():
    alike = pd.DataFrame(
        {"score": np.r_[np.arange(90), np.arange(10)] / 3, "y": np.r_[np.arange(90), np.arange(10)] % 2}
    )
    assert found(audit_leakage(alike, target="y", key=()), "warning") == [("identical rows", None)]
    assert found(audit_leakage(alike.iloc[:94], target="y", key=()), "warning") == []


# -- training and test ---------------------------------------------------------------------------------------------

PANEL = honest(rows=100, cutoffs=(MAY, JUNE, JULY))
FIRST, SECOND, THIRD = (np.arange(100) + 100 * number for number in range(3))


@pytest.mark.parametrize(
    ("horizon", "gap", "errors"),
    [
        ("30d", "0d", []),
        ("29d", "1d", []),
        ("30d", "1d", [("label windows", None)]),
        ("31d", "0d", [("label windows", None)]),
    ],
)
def test_a_training_row_must_lie_a_whole_label_window_before_the_test(horizon, gap, errors):
    table = audit_leakage(PANEL, target="churned", splits=[(SECOND, THIRD)], horizon=horizon, gap=gap)
    assert found(table) == errors


def test_says_how_many_training_rows_reach_into_the_test():
    splits = [(np.r_[FIRST, SECOND[:50]], THIRD)]
    table = audit_leakage(PANEL, target="churned", splits=splits, horizon="60d")
    assert evidence(table, "label windows") == (
        "50 of 150 training rows have a cutoff less than 60 days before the test cutoff, so their outcome was not "
        "known yet; 50% of the test rows are customers of these"
    )


def test_without_cutoffs_a_customer_must_be_on_one_side():
    folds = list(KFold(5, shuffle=True, random_state=0).split(PANEL))
    table = audit_leakage(PANEL.drop(columns="cutoff"), target="churned", key="customer_id", splits=folds)
    assert found(table) == [("label windows", None)]
    grouped = GroupKFold(5).split(PANEL, groups=PANEL["customer_id"])
    table = audit_leakage(PANEL.drop(columns="cutoff"), target="churned", key="customer_id", splits=grouped)
    assert found(table) == []


# -- attributes ----------------------------------------------------------------------------------------------------

PEOPLE = pd.DataFrame(
    {
        "customer_id": np.repeat(np.arange(400), 2),
        "valid_from": np.tile([pd.Timestamp(2024, 1, 1), pd.Timestamp(2024, 5, 15)], 400),
        "valid_to": np.tile([pd.Timestamp(2024, 5, 15), pd.NaT], 400),
        "plan": np.tile(["basic", "gold"], 400),
        "visits": np.arange(800) % 7,
    }
)


def as_of_today(panel, people):
    return panel.merge(people.groupby("customer_id", as_index=False).last()[["customer_id", "plan", "visits"]])


def test_undated_attributes_are_warned_of():
    people = PEOPLE.iloc[::2][["customer_id", "plan", "visits"]]
    table = audit_leakage(honest().merge(people), target="churned", customers=people)
    assert [item for item in found(table, "warning") if item[0] == "attributes"] == [
        ("attributes", "plan"),
        ("attributes", "visits"),
    ]


def test_attributes_of_a_later_row_are_errors_and_those_in_force_pass(frame):
    customers = Customers(frame(PEOPLE))
    table = audit_leakage(frame(as_of_today(honest(), PEOPLE)), target="churned", customers=customers)
    assert found(table) == [("attributes", "plan"), ("attributes", "visits")]
    assert evidence(table, "attributes", "plan").startswith("400 of 800 values are not those in force")
    right = honest().merge(PEOPLE, on="customer_id")
    right = right[(right["valid_from"] < right["cutoff"]) & ~(right["valid_to"] < right["cutoff"])]
    right = right.drop(columns=["valid_from", "valid_to"])
    table = audit_leakage(frame(right), target="churned", customers=customers)
    assert found(table) == []
    assert evidence(table, "attributes") == "2 attributes are those in force just before the cutoff"


# -- a function that builds features -------------------------------------------------------------------------------

ORDERS = {
    "customer_id": ["a", "a", "b", "b", "c"],
    "order_id": [1, 2, 3, 4, 5],
    "timestamp": [MAY, JULY, MAY, JUNE + pd.Timedelta(hours=9), JULY],
    "amount": [1.0, 2.0, 4.0, 8.0, 16.0],
}


def counts(lines, name="order_count"):
    table = lines.need("customer_id", "amount", caller="counts").collect().to_pandas()
    return table.groupby("customer_id").agg(**{name: ("amount", "size"), "total": ("amount", "sum")}).reset_index()


def test_taking_the_future_away_by_hand(frame):
    orders = frame(ORDERS)
    table = audit_features(lambda tx, _: counts(tx), orders, cutoff=JUNE)
    assert type(table) is type(orders)
    changed = "2 of 3 customers have another value without the future: it reads lines after the cutoff"
    new = "1 customers are there only with the lines from the cutoff on, or only without them"
    assert [row[:4] for row in records(table)] == [
        ("later facts", "error", None, new),
        ("later facts", "error", "order_count", changed),
        ("later facts", "error", "total", changed),
    ]
    honest_ones = audit_features(lambda tx, cutoff: counts(tx.before(cutoff)), orders, cutoff=JUNE)
    assert [row[:4] for row in records(honest_ones)] == [
        ("later facts", "passed", None, "2 features of 2 customers stay the same without the future")
    ]


def test_a_function_that_reads_the_cutoff_day_is_told_from_one_that_reads_more():
    def build(tx, cutoff):
        return counts(tx.before(cutoff + dt.timedelta(days=1)))

    assert found(audit_features(build, pd.DataFrame(ORDERS), cutoff=JUNE)) == [
        ("cutoff day", "order_count"),
        ("cutoff day", "total"),
    ]


@settings(max_examples=20)
@given(lines=st.lists(st.tuples(st.integers(0, 4), st.integers(-9, 9)), max_size=12))
def test_a_feature_is_blamed_if_and_only_if_the_future_changes_it(lines):
    lines = [*lines, (0, -9), (0, 9)]
    orders = pd.DataFrame(
        {
            "customer_id": [customer for customer, _ in lines],
            "timestamp": [JUNE + pd.Timedelta(hours=12 * half_days) for _, half_days in lines],
            "amount": 1.0,
            "order_id": range(len(lines)),
        }
    )
    whole, before = (len({c for c, half_days in lines if half_days < end}) for end in (99, 0))
    table = audit_features(lambda tx, _: counts(tx), orders, cutoff=JUNE)
    assert (("later facts", None) in found(table)) == (whole != before)
    assert ("later facts", "total") in found(table)  # customer 0 has lines on both sides
    assert found(audit_features(lambda tx, cutoff: counts(tx.before(cutoff)), orders, cutoff=JUNE)) == []


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "more", "text"),
    [
        ({}, {"target": "churn"}, r"audit_leakage\(target='churn'\): no such column. Did you mean 'churned'\?"),
        ({}, {"key": ("customer_id", "day")}, r"\(key='day'\): no such column.* A table without .*: key=\(\)"),
        ({}, {"key": ("customer_id", "order_count")}, "'order_count' must hold dates, one in every row"),
        ({}, {"features": ["city", "churned"]}, "the target 'churned' is among the features"),
        ({}, {"features": ["town"]}, r"\(features='town'\): no such column"),
        ({"churned": "yes"}, {}, r"expected true and false, or 1 and 0, got \['yes'\].*data\['churned'\] == 'yes'"),
        ({"churned": True}, {}, r"every row is \[True\]. Leakage shows only where both outcomes occur"),
        ({"churned": [None] + [1.0, 0.0, 1.0] * 100}, {}, "1 rows have no outcome. Drop them first"),
        ({}, {"splits": [(FIRST, THIRD)]}, r'say how long the label window is, such as horizon="90d"'),
        ({}, {"splits": [3]}, r"splits must be pairs \(train, test\) of row positions from 0 to 299"),
        ({}, {"splits": [(FIRST, THIRD + 1)], "horizon": "9d"}, "splits must be pairs"),
        ({}, {"horizon": "3 months"}, 'horizon must be a duration in days or weeks such as horizon="90d"'),
    ],
)
def test_refusals_say_what_to_type(change, more, text):
    panel = honest(rows=100, cutoffs=(MAY, JUNE, JULY)) if "churned" not in change else honest(rows=301, cutoffs=(MAY,))
    panel = panel.assign(**change)
    with pytest.raises((SchemaError, MissingColumnsError), match=text):
        audit_leakage(panel, **{"target": "churned"} | more)


def test_refusals_of_functions_that_build():
    orders = pd.DataFrame(ORDERS)
    with pytest.raises(
        SchemaError, match=r"cutoff=2024-08-01 must have lines on both sides, and they run from 2024-05"
    ):
        audit_features(lambda tx, _: counts(tx), orders, cutoff="2024-08-01")
    with pytest.raises(SchemaError, match=r"build must return a table with the column 'customer_id', got \['amount'\]"):
        audit_features(lambda *_: orders[["amount"]], orders, cutoff=JUNE)
    with pytest.raises(SchemaError, match="build must return one row per customer"):
        audit_features(lambda *_: orders, orders, cutoff=JUNE)
    with pytest.raises(SchemaError, match=r"build must be a function of \(transactions, cutoff\)"):
        audit_features("build", orders, cutoff=JUNE)


def test_a_column_that_only_happens_to_agree_with_the_cutoff_day_is_not_blamed():
    panel = honest(cutoffs=(MAY,))
    today = panel["customer_id"] < 15
    panel["share"] = np.where(today, 0.0, 1.0 + panel["customer_id"] / 7)  # 0 days from the cutoff day, for the 15
    days = np.where(today, 0, -9)
    orders = pd.DataFrame({"customer_id": panel["customer_id"], "order_id": range(400), "amount": 1.0})
    orders["timestamp"] = MAY + pd.to_timedelta(days, unit="D")
    assert found(audit_leakage(panel, target="churned", transactions=orders, horizon="30d")) == []


def lines_of(people=300, days=400):
    """Lines at random moments, more of some customers than of others."""
    rng = np.random.default_rng(3)
    customer = np.repeat(np.arange(people), rng.geometric(0.1, people) + 1)
    size = len(customer)
    return pd.DataFrame({
        "customer_id": customer, "order_id": np.arange(size), "product_id": rng.integers(0, 30, size),
        "timestamp": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, days * 24, size), unit="h"),
        "amount": rng.gamma(2.0, 10.0, size).round(2),
    })  # fmt: skip


def facts_of(lines, cutoff):
    known = lines[lines["timestamp"] < cutoff].groupby("customer_id")
    last = (pd.Timestamp("2025-02-04") - known["timestamp"].max().dt.normalize()).dt.days
    return pd.DataFrame({
        "a": known["amount"].sum(), "b": known["order_id"].nunique(), "c": known["product_id"].nunique(),
        "d": known["amount"].max(), "e": last,
    })  # fmt: skip


def test_facts_of_the_whole_history_are_caught_by_whatever_scale_and_honest_ones_are_not():
    lines, cutoff = lines_of(), pd.Timestamp("2024-11-01")
    past, whole = facts_of(lines, cutoff), facts_of(lines, pd.Timestamp("2026-01-01"))
    whole = whole.loc[past.index]
    outcome = np.random.default_rng(5).random(len(past)) < 0.4
    for scale in (lambda x: x, np.log, np.sqrt, lambda x: 1 / x, lambda x: -(x**2)):
        for facts, leaks in ((past, []), (whole, [("later facts", name) for name in "abcde"])):
            panel = scale(facts.astype(float)).reset_index().assign(cutoff=cutoff, y=outcome)
            assert found(audit_leakage(panel, target="y", transactions=lines)) == leaks


def test_who_orders_as_regularly_as_anybody_is_no_leak():
    every = pd.date_range("2024-01-01", periods=12, freq="30D")
    lines = pd.DataFrame(
        [(who, f"{who} {day} {n}", day, 1.0) for who in range(12) for day in every for n in range(who + 1)],
        columns=["customer_id", "order_id", "timestamp", "amount"],
    )
    past = lines[lines["timestamp"] < "2024-07-01"].groupby("customer_id", as_index=False)["amount"].sum()
    panel = past.assign(cutoff=pd.Timestamp("2024-07-01"), y=past["customer_id"] % 2 == 0)
    assert found(audit_leakage(panel, target="y", transactions=lines)) == []


def test_transactions_of_other_customers_are_refused():
    with pytest.raises(SchemaError, match="none of the customers of the panel has a line"):
        audit_leakage(honest(), target="churned", transactions=pd.DataFrame(ORDERS))


# -- the false highs, on real orders -------------------------------------------------------------------------------

LAST, HORIZON = pd.Timestamp("2011-09-10"), pd.Timedelta(days=90)


@pytest.fixture(scope="module")
def retail(shared_data):
    lines = pd.read_parquet(
        shared_data / "online_retail.parquet",
        columns=["CustomerID", "InvoiceNo", "InvoiceDate", "Quantity", "UnitPrice"],
    ).dropna(subset="CustomerID")
    lines = lines[lines["UnitPrice"] > 0]
    return pd.DataFrame(
        {
            "customer_id": lines["CustomerID"].astype(int),
            "order_id": lines["InvoiceNo"],
            "timestamp": lines["InvoiceDate"],
            "amount": lines["Quantity"] * lines["UnitPrice"],
        }
    ).reset_index(drop=True)


def leaky(lines, cutoff, *, until, measured_at=None):
    """Features that an analyst in a hurry would write: whatever lies before ``until``."""
    known = lines[lines["timestamp"] < until]
    known = known[known["customer_id"].isin(lines.loc[lines["timestamp"] < cutoff, "customer_id"])]
    table = known.groupby("customer_id").agg(
        last=("timestamp", "max"), order_count=("order_id", "nunique"), total_amount=("amount", "sum")
    )
    table["recency_days"] = ((measured_at or cutoff).normalize() - table.pop("last").dt.normalize()).dt.days
    later = lines[(lines["timestamp"] >= cutoff) & (lines["timestamp"] < cutoff + HORIZON) & (lines["amount"] > 0)]
    return table.reset_index().assign(cutoff=cutoff, bought=lambda t: t["customer_id"].isin(later["customer_id"]))


def test_whole_history_features_are_caught_by_the_data_alone_and_by_the_orders(retail):
    end = retail["timestamp"].max() + pd.Timedelta(days=1)
    panel = leaky(retail, LAST, until=end, measured_at=end)
    assert found(audit_leakage(panel, target="bought")) == [("near-perfect feature", "recency_days")]
    table = audit_leakage(panel, target="bought", transactions=retail, horizon="90d")
    assert found(table) == [
        ("later facts", "order_count"),
        ("later facts", "recency_days"),
        ("later facts", "total_amount"),
        ("near-perfect feature", "recency_days"),
    ]
    assert "through the label window" in evidence(table, "later facts", "total_amount")  # the data end with it
    several = pd.concat([leaky(retail, c, until=end, measured_at=end) for c in (LAST - pd.Timedelta(days=60), LAST)])
    alone = found(audit_leakage(several, target="bought"))
    assert {("as of today", "order_count"), ("as of today", "total_amount"), ("as of today", "recency_days")} <= set(
        alone
    )


def test_the_cutoff_day_on_both_sides_is_caught_by_the_data_alone_and_by_the_orders(retail):
    cutoff = pd.Timestamp("2011-09-08")
    panel = leaky(retail, cutoff, until=cutoff + pd.Timedelta(days=1))
    table = audit_leakage(panel, target="bought")
    assert found(table) == [("cutoff day", "recency_days")]
    assert "100% of them have the outcome" in evidence(table, "cutoff day", "recency_days")
    table = audit_leakage(panel.drop(columns="recency_days"), target="bought", transactions=retail, horizon="90d")
    assert found(table) == [("cutoff day", "order_count"), ("cutoff day", "total_amount")]
    with_gap = audit_leakage(panel[["customer_id", "cutoff", "order_count", "bought"]], target="bought",
                             transactions=retail, horizon="90d", gap="7d")  # fmt: skip
    assert found(with_gap) == []
    assert ("cutoff day", "order_count") in found(with_gap, "warning")


def test_random_folds_on_weekly_snapshots_are_caught(retail):
    cutoffs = [LAST - pd.Timedelta(days=7 * back) for back in range(6)]
    panel = pd.concat([leaky(retail, cutoff, until=cutoff) for cutoff in cutoffs], ignore_index=True)
    folds = KFold(5, shuffle=True, random_state=0).split(panel)
    table = audit_leakage(panel, target="bought", splits=folds, horizon="90d", transactions=retail)
    assert found(table) == [("label windows", None)]
    assert "100% of the test rows are customers of these" in evidence(table, "label windows")
    assert "cutoffs lie 7 days apart" in evidence(audit_leakage(panel, target="bought"), "label windows")


def test_overlapping_label_windows_are_caught_and_purged_ones_pass(retail):
    cutoffs = [LAST - pd.Timedelta(days=30 * back) for back in range(4)]
    panel = pd.concat([leaky(retail, cutoff, until=cutoff) for cutoff in cutoffs], ignore_index=True)
    test = np.flatnonzero(panel["cutoff"] == LAST)
    overlapping = [(np.flatnonzero(panel["cutoff"] < LAST), test)]
    purged = [(np.flatnonzero(panel["cutoff"] <= LAST - HORIZON), test)]
    assert found(audit_leakage(panel, target="bought", splits=overlapping, horizon="90d")) == [("label windows", None)]
    assert found(audit_leakage(panel, target="bought", splits=purged, horizon="90d", transactions=retail)) == []


def test_snapshots_are_honest(retail):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        orders = Transactions(retail)
    snapshots = Snapshots(orders, cutoffs=cutoff_dates(LAST, count=5), horizon="90d")
    table = audit_leakage(snapshots, target="bought")
    assert found(table, "error", "warning") == []
    looked_at = found(table, "passed")
    assert {check for check, _ in looked_at} >= {"label windows", "later facts", "near-perfect feature"}


# -- other honest tables -------------------------------------------------------------------------------------------


def test_telco_and_bank_are_honest_but_for_the_duration_of_the_call(shared_data):
    telco = pd.read_parquet(shared_data / "telco_churn.parquet")
    telco["Churn"] = telco["Churn"] == "Yes"
    assert found(audit_leakage(telco, target="Churn", key="customerID"), "error", "warning") == []
    bank = pd.read_parquet(shared_data / "bank_marketing.parquet")
    bank["y"] = bank["y"] == "yes"
    table = audit_leakage(bank, target="y", key=())
    assert found(table, "error", "warning") == [("near-perfect feature", "duration")]
    assert found(audit_leakage(bank.drop(columns="duration"), target="y", key=()), "error", "warning") == []
