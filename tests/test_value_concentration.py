"""What intervals of concentration promise: shares by hand, a sampler that a slow one agrees with, words that fit."""

import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Transactions
from crmlytics._kernels.top_shares import bias_corrected, drawn_ginis, drawn_top_shares, hill_index
from crmlytics.exceptions import SchemaError
from crmlytics.testing import make_frame, records
from crmlytics.value import concentration_table, gini
from crmlytics.value.concentration import (
    concentration_interval_table,
    concentration_window_table,
    pareto_test_table,
)

AS_OF = dt.datetime(2024, 3, 31)
QUICK = ["pandas", "pandas-nullable", "pyarrow", "polars", "polars-lazy", "duckdb"]


def ago(days):
    return AS_OF - dt.timedelta(days=days)


# five customers; in the last 10 days a and b bought, e gave back; d is at as_of
SALES = {
    "customer_id": ["a", "a", "b", "b", "c", "e", "e", "d"],
    "order_id": [1, 2, 3, 4, 5, 6, 7, 8],
    "timestamp": [ago(10), ago(50), ago(1), ago(60), ago(11), ago(40), ago(5), AS_OF],
    "amount": [30.0, 10.0, 10.0, 10.0, 20.0, 25.0, -5.0, 999.0],
}


@pytest.mark.parametrize("kind", QUICK)
def test_windows_by_hand(kind):
    sales = make_frame(SALES, kind)
    table = concentration_window_table(sales, as_of=AS_OF, windows=["100d", "10d"], top_share=0.25, replicates=20)
    assert type(table) is type(sales)
    found = records(table)
    assert [row[:6] for row in found] == [
        (10, ago(10), True, 35.0, 4, 30 / 35),
        (100, ago(100), False, 100.0, 4, 0.4),  # the data begin later
    ]
    assert [row[8:10] for row in found] == [(3, 30 / 35), (4, 0.4)]
    for row in found:
        assert row[6] <= row[5] <= row[7]


def test_windows_on_spark_too(frame):
    columns = {name: values[:7] for name, values in SALES.items()}
    found = records(concentration_window_table(frame(columns), as_of=AS_OF, windows=["10d"], replicates=20))
    assert found[0][4:6] == (4, 30 / 35)


def test_a_window_without_revenue_has_no_shares():
    table = concentration_window_table(pd.DataFrame(SALES), as_of=ago(4), windows=["2d", "200d"], replicates=20)
    assert table["total_amount"].tolist() == [-5.0, 90.0]  # only a return in the short one
    assert table["active_customer_count"].tolist() == [1, 4]
    assert table.iloc[0][["known_amount_share", "active_amount_share", "active_amount_share_low"]].isna().all()


def test_the_known_base_is_the_same_and_looks_less_concentrated_the_longer_the_window():
    random = np.random.default_rng(0)
    each = random.poisson(random.gamma(1.0, 6.0, 400))  # NBD orders a year, spread evenly
    customer = np.repeat(np.arange(400), each)
    sales = pd.DataFrame({
        "customer_id": customer, "order_id": np.arange(len(customer)), "amount": 1.0,
        "timestamp": pd.Timestamp(ago(365)) + pd.to_timedelta(random.integers(0, 365, len(customer)), unit="D"),
    })  # fmt: skip
    table = concentration_window_table(sales, as_of=AS_OF, windows=["15d", "60d", "365d"], replicates=50)
    assert table["known_amount_share"].is_monotonic_decreasing
    assert set(table["known_customer_count"]) == {len(set(customer))}


@settings(max_examples=25)
@given(
    amounts=st.lists(st.integers(-20, 100), min_size=1, max_size=12),
    share=st.floats(0.05, 1.0),
    seed=st.integers(0, 99),
)
def test_samples_agree_with_sorting_each(amounts, share, seed):
    amounts = np.sort(np.array(amounts, float))[::-1]
    weights = np.random.default_rng(seed).integers(0, 3, (5, len(amounts))).astype(float)
    found = drawn_top_shares(amounts, np.arange(len(amounts)), weights, share)
    for row, value in zip(weights, found, strict=True):
        sample = np.sort(np.repeat(amounts, row.astype(int)))[::-1]
        if sample.sum() > 0:
            top = math.ceil(share * len(sample) - 1e-9)
            assert value == pytest.approx(sample[:top].sum() / sample.sum())
        else:
            assert np.isnan(value)


@settings(max_examples=25)
@given(amounts=st.lists(st.integers(-20, 100), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_ginis_of_samples_are_mean_differences_between_all_pairs(amounts, seed):
    amounts = np.sort(np.array(amounts, float))[::-1]
    weights = np.random.default_rng(seed).integers(0, 3, (5, len(amounts))).astype(float)
    for row, value in zip(weights, drawn_ginis(amounts, np.arange(len(amounts)), weights), strict=True):
        sample = np.repeat(amounts, row.astype(int))
        if sample.sum() > 0:
            apart = np.abs(sample[:, None] - sample[None, :]).mean()
            assert value == pytest.approx(apart / (2 * sample.mean()), abs=1e-9)
        else:
            assert np.isnan(value)


def test_hill_by_hand():
    assert hill_index(np.array([8.0, 4.0, 2.0, 1.0])) == pytest.approx(
        2 / np.log(4 * 2)
    )  # the two largest over the third
    assert np.isnan(hill_index(np.ones(9)))
    assert np.isnan(hill_index(np.ones(1)))
    many = np.sort(1 / np.random.default_rng(0).random(40_000) ** (1 / 1.5))[::-1]
    assert hill_index(many) == pytest.approx(1.5, abs=0.25)  # deviation 1.5 / sqrt(200)


def test_bias_correction_moves_the_bounds_and_does_nothing_without_bias():
    drawn = np.arange(1.0, 1_000)
    assert bias_corrected(drawn, 500.0) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))
    low, high = bias_corrected(drawn, 700.0)  # 70 % of the samples below: Phi(2 x 0.524 -+ 1.96)
    assert (low, high) == pytest.approx((1 + 998 * 0.1811, 1 + 998 * 0.9987), abs=2)
    assert np.isnan(bias_corrected(np.array([np.nan, np.nan, 1.0]), 1.0)).all()


@pytest.mark.parametrize("kind", QUICK)
def test_intervals_hold_the_shares_of_concentration_table(kind):
    sales = make_frame(SALES, kind)
    table = records(concentration_interval_table(sales, as_of=AS_OF, top_shares=[0.25, 0.5], replicates=50))
    plain = records(concentration_table(sales, as_of=AS_OF, top_shares=[0.25, 0.5]))
    assert [row[5] for row in table] == [pytest.approx(gini(sales, as_of=AS_OF))] * 2
    assert all(row[6] < row[5] < row[7] for row in table)
    assert [row[:3] for row in table] == [(row[0], row[1], row[3]) for row in plain] == [(0.25, 1, 0.4), (0.5, 2, 0.6)]
    for row in table:
        assert row[3] <= row[2] <= row[4]


def customers(amounts):
    size = len(amounts)
    return pd.DataFrame({
        "customer_id": range(size), "order_id": range(size), "timestamp": ago(9), "amount": amounts
    })  # fmt: skip


def test_the_same_draws_whatever_the_order_of_rows_and_others_for_another_seed():
    sales = customers([100.0 / n for n in range(1, 41)])
    one, two, other = (
        concentration_interval_table(table, as_of=AS_OF, top_shares=[0.5], replicates=200, random_state=seed)
        for table, seed in ((sales, 0), (sales[::-1], 0), (sales, 1))
    )
    pd.testing.assert_frame_equal(one, two)
    assert one["amount_share"].tolist() == other["amount_share"].tolist()
    assert one["amount_share_low"].tolist() != other["amount_share_low"].tolist()


@pytest.mark.parametrize(
    ("amounts", "verdict", "needed"),
    [
        ([1.0] * 100, "less concentrated", 0.8),
        ([1000.0] * 10 + [1.0] * 90, "more concentrated", 0.09),  # a heavy tail, whose interval is too low
        ([100.0 / n**1.25 for n in range(1, 101)], "compatible", 0.2),
    ],
)
def test_verdict_and_words(amounts, verdict, needed):
    row = pareto_test_table(customers(amounts), as_of=AS_OF).iloc[0]
    assert row["verdict"] == verdict
    assert row["needed_customer_share"] == pytest.approx(needed, abs=0.035)
    assert verdict in row["finding"]
    assert f"{row['amount_share']:.0%} of revenue ({row['amount_share_low']:.0%} to" in row["finding"]
    assert (row["amount_share_low"] <= 0.8 <= row["amount_share_high"]) == (verdict == "compatible")


@pytest.mark.parametrize("amounts", [[1.0] * 99, [1.0, 1.0], [900.0] + [1.0] * 40, [1.0] * 99 + [0.0, -0.5]])
def test_fewer_than_a_hundred_who_brought_anything_tell_nothing(amounts):
    row = pareto_test_table(customers(amounts), as_of=AS_OF).iloc[0]
    assert row["verdict"] == "not known"
    earning = sum(amount > 0 for amount in amounts)
    assert row["finding"].endswith(f"is not known: it takes 100 customers, and there are {earning}.")


def test_less_is_not_said_of_a_heavy_tail():
    pareto = [n ** (-1 / 1.5) for n in range(1, 401)]
    row = pareto_test_table(customers(pareto), as_of=AS_OF).iloc[0]
    assert row["amount_share_high"] < 0.8
    assert row["tail_index"] < 2
    assert row["verdict"] == "not known"
    assert (
        f"so large (tail index {row['tail_index']:.2g}, below 2) that such intervals come out too low."
        in row["finding"]
    )
    light = [1 / (1 + n / 100) for n in range(400)]
    row = pareto_test_table(customers(light), as_of=AS_OF).iloc[0]
    assert row["tail_index"] > 2
    assert row["verdict"] == "less concentrated"


def test_bases_that_keep_the_law_are_seldom_called_less_concentrated():
    """80/20 is exactly true of Pareto amounts with exponent 1.161; without the tail half of these are "less"."""
    said = []
    for seed in range(30):
        amounts = (1 - np.random.default_rng(seed).random(500)) ** (-1 / 1.161)
        row = pareto_test_table(customers(amounts), as_of=AS_OF, replicates=100).iloc[0]
        said.append((row["verdict"] == "less concentrated", row["amount_share_high"] < 0.8))
    assert np.sum(said, axis=0)[0] <= 2
    assert np.sum(said, axis=0)[1] >= 10


def test_one_customer_is_no_test():
    table = pareto_test_table(customers([5.0]), as_of=AS_OF)
    assert table["verdict"].tolist() == ["one customer"]
    assert table["amount_share"].tolist() == [1.0]
    assert table[["amount_share_low", "amount_share_high"]].isna().all(axis=None)


def test_the_future_changes_nothing():
    poisoned = pd.DataFrame(SALES | {"amount": [*SALES["amount"][:-1], -1e9]})
    for table in (concentration_interval_table, concentration_window_table, pareto_test_table):
        one, two = (table(sales, as_of=AS_OF, replicates=20) for sales in (pd.DataFrame(SALES), poisoned))
        pd.testing.assert_frame_equal(one, two)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: pareto_test_table(customers([-1.0, -2.0]), as_of=AS_OF),
            r"-3.00 in all before 2024-03-31; shares need .* set returns aside: Transactions\(..., returns='set_aside'",
        ),
        (lambda: pareto_test_table(customers([1.0]), as_of="2020-01-01"), "no line lies before as_of=2020-01-01"),
        (lambda: pareto_test_table(customers([1.0]), as_of=AS_OF, top_share=1), "top_share must be a fraction"),
        (
            lambda: pareto_test_table(customers([1.0]), as_of=AS_OF, expected_share=80),
            "expected_share must be a fraction",
        ),
        (lambda: concentration_window_table(customers([1.0]), as_of=AS_OF, windows=[]), "windows holds nothing"),
        (
            lambda: concentration_window_table(customers([1.0]), as_of=AS_OF, windows=["1m"]),
            "windows must be a duration",
        ),
        (
            lambda: concentration_interval_table(customers([1.0]), as_of=AS_OF, replicates=0),
            "replicates must be a whole",
        ),
    ],
)
def test_refusals_say_what_to_type(call, said):
    with pytest.raises(SchemaError, match=said):
        call()


def test_of_online_retail_less_than_the_law_is_not_said(shared_data):
    raw = pd.read_parquet(shared_data / "online_retail.parquet")
    with pytest.warns(match="set aside"):
        tx = Transactions(raw, customer_id="CustomerID", order_id="InvoiceNo", timestamp="InvoiceDate",
                          quantity="Quantity", unit_price="UnitPrice")  # fmt: skip
    row = pareto_test_table(tx, as_of="2011-12-10", replicates=200).iloc[0]
    assert row["customer_count"] == 4371
    assert row["amount_share"] == pytest.approx(0.7385, abs=1e-4)  # as docs/value.md says
    assert row["amount_share_high"] < 0.8
    assert row["tail_index"] == pytest.approx(1.2, abs=0.1)
    assert row["verdict"] == "not known"


def test_revenue_near_nought_is_told_from_one_customer():
    """More than half of the samples of five such customers add up to nothing or less."""
    sales = pd.DataFrame({
        "customer_id": range(5), "order_id": range(5), "timestamp": pd.Timestamp("2024-01-01"),
        "amount": [100.0, -10.0, -20.0, -30.0, -39.9],
    })  # fmt: skip
    row = pareto_test_table(sales, as_of="2024-03-01").iloc[0]
    assert row["verdict"] == "not known"
    assert "too near nought" in row["finding"]
