"""What the baselines of crmlytics.clv promise: hand-counted forecasts on every frame, published values, no leak."""

import datetime as dt
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Transactions
from crmlytics._kernels import markov
from crmlytics.clv import baseline_table, btyd_table, markov_value_table, retention_lifetime_value
from crmlytics.datasets import load_cdnow
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

FORECASTS = [
    "last_period_count",
    "mean_count",
    "historic_rate_count",
    "retention_rate_count",
    "retention_table_count",
    "markov_count",
]

# Three weeks of January, the holdout is the fourth: days a 3 + 1 + 2, b 1 + 0 + 1, c 1 + 1 + 0, d 1, e 1 (the last one)
DAYS = {"a": [1, 3, 5, 9, 16, 18], "b": [2, 20], "c": [6, 10], "d": [7], "e": [21]}
SALES = {
    "customer_id": [customer for customer, days in DAYS.items() for _ in days] + ["a", "f"],
    "timestamp": [dt.datetime(2024, 1, day, 9) for days in DAYS.values() for day in days]
    + [dt.datetime(2024, 1, 22)] * 2,
    "amount": [10.0] * (sum(map(len, DAYS.values())) + 2),
}
HOLDOUT = {"calibration_end": "2024-01-22", "as_of": "2024-01-29"}


def test_forecasts_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = baseline_table(sales, **HOLDOUT)
    assert type(table) is type(sales)
    mean = 7 * 7 / (20 + 19 + 15 + 14 + 0)
    stayed, per_buyer = 1 / 2, 4 / 3  # of a and c only a bought again; a, b and e bought on 4 days
    # a week earlier: of recency 0 (a, c) a bought on 2 days; of recency 1 (b, d) b bought on one
    by_recency, bought = [2 / 2, 1 / 2], [1 / 2, 1 / 2]
    expected = [
        ("a", 2.0, mean, 5 / 20 * 7, stayed * per_buyer, by_recency[0], bought[0] * per_buyer),
        ("b", 1.0, mean, 1 / 19 * 7, stayed * per_buyer, by_recency[0], bought[0] * per_buyer),
        ("c", 0.0, mean, 1 / 15 * 7, 0.0, by_recency[1], bought[1] * per_buyer),
        ("d", 0.0, mean, 0.0, 0.0, by_recency[1], bought[1] * per_buyer),  # recency 2: like the oldest class seen
        ("e", 1.0, mean, 0.0, stayed * per_buyer, by_recency[0], bought[0] * per_buyer),  # T = 0
    ]
    found = records(table)
    assert [row[0] for row in found] == [row[0] for row in expected]
    for row, other in zip(found, expected, strict=True):
        assert row[1:] == pytest.approx(other[1:], rel=1e-14)


def test_shorter_periods_take_several_steps():
    table = baseline_table(pd.DataFrame(SALES), calibration_end="2024-01-22", as_of="2024-02-05", period="7d")
    rate, per_buyer = 1 / 2, 4 / 3
    by_customer = table.set_index("customer_id")
    assert by_customer.loc["a", "retention_rate_count"] == pytest.approx(per_buyer * (rate + rate**2))
    assert by_customer.loc["c", "retention_rate_count"] == 0
    chain = 1 / 2 + 1 / 2  # both classes buy with 1/2, in each of two weeks
    assert by_customer["markov_count"].tolist() == pytest.approx([chain * per_buyer] * 5)
    # two weeks earlier only week 1 was known (recency 0 for a, b, c, d): 3 + 1 + 1 + 0 days in the two weeks since
    assert by_customer["retention_table_count"].tolist() == pytest.approx([5 / 4] * 5)


def test_what_cannot_be_estimated_is_null_and_nothing_else(frame):
    table = baseline_table(frame(SALES), calibration_end="2024-01-08", as_of="2024-01-15")
    assert [row[4:] for row in records(table)] == [(None, None, None)] * 4
    assert [row[1] for row in records(table)] == [3.0, 1.0, 1.0, 1.0]


def test_nothing_of_the_holdout_is_read():
    early = pd.DataFrame(SALES)[lambda lines: lines["timestamp"] < "2024-01-22"]
    pd.testing.assert_frame_equal(baseline_table(pd.DataFrame(SALES), **HOLDOUT), baseline_table(early, **HOLDOUT))


def test_cdnow_baselines_against_the_actual_1882():
    orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    split = {"calibration_end": "1997-10-01", "as_of": "1998-07-01"}
    table = baseline_table(orders, **split, period="21d")
    known = btyd_table(orders, as_of="1997-10-01", unit="1d")
    assert table["customer_id"].tolist() == known["customer_id"].tolist()
    assert table["mean_count"].sum() == pytest.approx(2457 / known["T"].sum() * 273 * 2357, rel=1e-12)
    rate = (known["frequency"] / known["T"] * 273).tolist()
    assert table["historic_rate_count"].tolist() == pytest.approx(rate, rel=1e-12)
    assert table["last_period_count"].sum() == 2457 + 2357  # all that had ever happened: 39 weeks are the whole history
    assert table["retention_table_count"].isna().all()
    assert 0 < table["retention_rate_count"].sum() < table["markov_count"].sum() < 1882


histories = st.dictionaries(st.integers(0, 5), st.sets(st.integers(-40, -1), min_size=1), min_size=1)


@settings(max_examples=50, deadline=None)
@given(days=histories, kind=st.sampled_from(["pandas", "polars"]), length=st.sampled_from([2, 6, 12]))
def test_baselines_equal_plain_python(days, kind, length):
    end = dt.datetime(2024, 3, 1)
    rows = [(customer, end + dt.timedelta(days=day)) for customer, known in days.items() for day in known]
    columns = dict(zip(("customer_id", "timestamp"), zip(*rows, strict=True), strict=True))
    lines = make_frame({**columns, "amount": [1.0] * len(rows)}, kind)
    table = baseline_table(lines, calibration_end=end, as_of=end + dt.timedelta(days=length))

    def bought(customer, first, last):
        return sum(first <= day < last for day in days[customer])

    def recency(customer, at):
        return (at - 1 - max(day for day in days[customer] if day < at)) // length

    buyers = [customer for customer in days if bought(customer, -length, 0)]
    before = [customer for customer in days if bought(customer, -2 * length, -length)]
    per_buyer = sum(bought(customer, -length, 0) for customer in buyers) / max(len(buyers), 1)
    earlier = [customer for customer in days if min(days[customer]) < -length]
    found = {row[0]: dict(zip(FORECASTS, row[1:], strict=True)) for row in records(table)}
    assert list(found) == sorted(days)
    for customer, row in found.items():
        assert row["last_period_count"] == bought(customer, -length, 0)
        kept = sum(other in buyers for other in before) / len(before) if before else None
        expected = None if kept is None else kept * per_buyer * (customer in buyers)
        assert row["retention_rate_count"] == (None if expected is None else pytest.approx(expected))
        alike = [other for other in earlier if recency(other, -length) == recency(customer, 0)]
        if alike:
            outcomes = [bought(other, -length, 0) for other in alike]
            assert row["retention_table_count"] == pytest.approx(sum(outcomes) / len(alike))
            chance = sum(map(bool, outcomes)) / len(alike)
            assert row["markov_count"] == pytest.approx(chance * per_buyer)
        assert (row["markov_count"] is None) == (row["retention_table_count"] is None) == (not earlier)


def test_baselines_refuse_what_cannot_be():
    sales = pd.DataFrame(SALES)
    with pytest.raises(SchemaError, match="the holdout of 7 days is no whole number of periods of 3 days"):
        baseline_table(sales, **HOLDOUT, period="3d")
    with pytest.raises(SchemaError, match="baseline_table: calibration_end must lie before as_of"):
        baseline_table(sales, calibration_end="2024-01-29", as_of="2024-01-29")
    with pytest.raises(MissingColumnsError, match=r"baseline_table needs \['amount'\]"):
        baseline_table(sales.drop(columns="amount"), **HOLDOUT)


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=5), steps=st.integers(0, 8))
def test_the_chain_counts_every_way_to_buy(p, steps):
    """By the distribution over states after each step, forwards; the kernel goes backwards."""
    chances = np.array(p)
    move = markov.recency_chain(chances)
    move[-1, -1] += 1 - chances[-1]  # of the oldest state, those who do not buy stay
    forward = [np.linalg.matrix_power(move, step) @ chances for step in range(steps)]
    expected = np.sum(forward, axis=0) if steps else np.zeros(len(p))
    np.testing.assert_allclose(markov.expected_recency_purchases(chances, steps), expected, rtol=1e-12, atol=1e-12)


def test_before_anybody_bought_the_table_is_empty(frame):
    assert records(baseline_table(frame(SALES), calibration_end="2023-12-01", as_of="2024-01-01")) == []


# --- the textbook's lifetime value


@given(
    margin=st.floats(0, 1e6), rate=st.floats(0, 0.95), discount=st.floats(0.05, 1.0), immediate=st.booleans()
)  # fmt: skip
def test_retention_value_is_the_sum_of_discounted_margins(margin, rate, discount, immediate):
    value = retention_lifetime_value(
        margin, retention_rate=rate, discount_rate=discount, immediate_margin=immediate
    )  # fmt: skip
    periods = np.arange(0 if immediate else 1, 1000)
    assert value == pytest.approx(margin * ((rate / (1 + discount)) ** periods).sum(), rel=1e-12, abs=1e-300)


def test_retention_value_of_the_textbook_and_its_refusals():
    assert retention_lifetime_value(1.0, retention_rate=0.9, discount_rate=0.12) == pytest.approx(0.9 / 0.22)
    with pytest.raises(SchemaError, match="retention_rate must be a share from 0 to 1, got 80"):
        retention_lifetime_value(1.0, retention_rate=80, discount_rate=0.1)
    with pytest.raises(SchemaError, match="nobody leaves and nothing is discounted, so the value is infinite"):
        retention_lifetime_value(1.0, retention_rate=1, discount_rate=0)
    with pytest.raises(SchemaError, match="margin_amount must be a number of zero or more, got -1"):
        retention_lifetime_value(-1, retention_rate=0.5, discount_rate=0.1)


# --- the chain of Pfeifer and Carraway

PAPER = {"margin_amount": 40, "contact_cost": 4, "discount_rate": 0.2}
P = [0.3, 0.2, 0.15, 0.05]


def test_the_papers_example():
    """Pfeifer & Carraway 2000: V_4 = (50.115, 4.220, 0.592, -1.980), V = (52.320, 5.554, 1.251, -1.820)."""
    four = markov_value_table(P, **PAPER, horizon=4)
    assert four["value_amount"].tolist() == pytest.approx([50.115, 4.220, 0.592, -1.980], abs=5e-4)
    ever = markov_value_table(P, **PAPER)
    assert ever["value_amount"].tolist() == pytest.approx([52.320, 5.554, 1.251, -1.820], abs=5e-4)
    assert ever["recency"].tolist() == [1, 2, 3, 4]
    assert ever["is_contacted"].tolist() == [True, True, True, False]
    curtailed = markov_value_table(P[:3], **PAPER)["value_amount"].tolist()  # contacts end after recency 3
    assert ever["best_value_amount"].tolist() == pytest.approx([*curtailed, 0.0], rel=1e-12)
    assert curtailed[0] == pytest.approx(53.149, abs=5e-4)


chances = st.lists(st.floats(0, 1), min_size=1, max_size=6)
economics = {"margin": st.floats(0, 100), "cost": st.floats(0, 30), "discount": st.floats(0.01, 1)}


@given(p=chances, **economics)
def test_stopping_is_the_best_of_all_ways_to_contact(p, margin, cost, discount):
    table = markov_value_table(p, margin_amount=margin, contact_cost=cost, discount_rate=discount)
    chain, rewards = markov.recency_chain(np.array(p)), np.array([margin] + [0.0] * (len(p) - 1))
    ways = [np.array(way) for way in itertools.product([0.0, 1.0], repeat=len(p))]
    values = [markov.chain_value(chain * way[:, None], rewards - cost * way, discount) for way in ways]
    np.testing.assert_allclose(table["best_value_amount"], np.max(values, axis=0), rtol=1e-9, atol=1e-9)


@given(p=chances, horizon=st.integers(0, 12), **economics)
def test_a_finite_horizon_is_the_sum_of_its_periods(p, margin, cost, discount, horizon):
    table = markov_value_table(p, margin_amount=margin, contact_cost=cost, discount_rate=discount, horizon=horizon)
    chain = np.zeros((len(p) + 1,) * 2)  # with the state of former customers, as the paper writes it
    chain[-1, -1] = 1
    for state, chance in enumerate(p):
        chain[state, 0] += chance
        chain[state, state + 1] += 1 - chance
    rewards = np.array([margin - cost] + [-cost] * (len(p) - 1) + [0.0])
    powers = [np.linalg.matrix_power(chain / (1 + discount), t) @ rewards for t in range(horizon + 1)]
    np.testing.assert_allclose(table["value_amount"], np.sum(powers, axis=0)[:-1], rtol=1e-10, atol=1e-10)
    assert (table["best_value_amount"] >= table["value_amount"] - 1e-9).all()


def test_a_long_horizon_comes_near_for_ever():
    ever, long = markov_value_table(P, **PAPER), markov_value_table(P, **PAPER, horizon=300)
    for name in ("value_amount", "best_value_amount"):
        np.testing.assert_allclose(long[name], ever[name], rtol=1e-12, atol=1e-12)
    assert long["is_contacted"].tolist() == ever["is_contacted"].tolist()


def test_the_chain_says_what_it_cannot_read():
    with pytest.raises(SchemaError, match=r"purchase_probabilities must be a list of shares from 0 to 1, got \[30\]"):
        markov_value_table([30], **PAPER)
    with pytest.raises(SchemaError, match="discount_rate must be a number above zero, got 0"):
        markov_value_table(P, margin_amount=40, contact_cost=4, discount_rate=0)
    with pytest.raises(SchemaError, match=r"horizon must be a whole number of at least 0, got 1\.5"):
        markov_value_table(P, **PAPER, horizon=1.5)
    assert len(markov_value_table(P, margin_amount=40, contact_cost=4, discount_rate=0, horizon=3)) == 4
