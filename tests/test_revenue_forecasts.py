"""What the forecast of revenue promises: rates by age counted by hand, nothing from the future, honest errors."""

import datetime as dt
import warnings

import matplotlib as mpl
import matplotlib.pyplot as plt
import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from crmlytics import Transactions
from crmlytics._kernels import revenue_forecast as kernel
from crmlytics.exceptions import DataQualityWarning, SchemaError
from crmlytics.revenue._pictures import plot_forecast
from crmlytics.revenue._tables import revenue_table
from crmlytics.revenue.describing import describe_revenue
from crmlytics.revenue.forecasting import _history, forecast_evaluation_table, revenue_forecast_table
from crmlytics.testing import FRAME_KINDS, make_frame, records

mpl.use("Agg")

AS_OF = dt.datetime(2024, 1, 1)
SHORT = r"only 12 whole periods are known, fewer than 24, two seasons: no seasonality is estimated"


def rows(table, *columns):
    names = nw.from_native(table).collect_schema().names()
    return [tuple(row[names.index(name)] for name in columns) for row in records(table)]


def month(number):
    """The first day of the month so many months after January 2023."""
    return dt.datetime(2023 + number // 12, number % 12 + 1, 1)


def one_customer_a_month(months):
    """Each month somebody new spends 10, then 4 in the month after, then nothing."""
    lines = [(c, 2 * c + age, month(c + age), amount) for c in range(months) for age, amount in enumerate((10.0, 4.0))]
    known = [line for line in lines if line[2] < month(months)]
    return dict(
        zip(("customer_id", "order_id", "timestamp", "amount"), map(list, zip(*known, strict=True)), strict=True)
    )


def triangle(amounts, *, cycle=12, sizes=None):
    amounts = np.asarray(amounts, float)
    sizes = np.ones(len(amounts)) if sizes is None else np.asarray(sizes, float)
    return kernel.Triangle(amounts, sizes, np.zeros(len(amounts)), cycle)


def quiet(build, *args, **options):
    with warnings.catch_warnings(action="ignore"):
        return build(*args, **options)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


# -- the tables ----------------------------------------------------------------------------------------------------


def test_forecast_counted_by_hand_on_every_kind(frame):
    sales = frame(one_customer_a_month(12))
    with pytest.warns(DataQualityWarning, match=SHORT):
        table = revenue_forecast_table(sales, as_of=AS_OF, horizon=5)
    assert type(table) is type(sales)
    assert rows(table, "period_start", "period_end", "period_number") == [
        (month(12 + step), month(13 + step), step + 1) for step in range(5)
    ]
    # the youngest customer spends 4 once more; of the new ones, one begins each month
    near = pytest.approx
    assert rows(table, "existing_amount", "new_amount", "forecast_amount") == [
        (near(4.0), near(10.0), near(14.0)),
        *[(near(0.0, abs=1e-9), near(14.0), near(14.0))] * 4,
    ]
    # past forecasts were right but for those after 6 and 7 months, when the customer there from the start was still
    # taken to go on with the mean of what they had spent in half a year, 14 / 6 and 4 / 6
    errors = np.array([14 / 6 / (80 / 6), 4 / 6 / (94 / 7)])  # over the mean revenue of the months before
    counts = np.array([6, 5, 4, 3])  # five months ahead two looked
    halves = stats.t.ppf(0.975, counts) * np.sqrt((errors**2).sum() / counts) * (164 / 12)
    assert rows(table, "forecast_amount_low", "forecast_amount_high") == [
        *[(near(14 - half), near(14 + half)) for half in halves],
        (None, None),
    ]
    assert rows(table, "benchmark_amount", "benchmark")[:2] == [(14.0, "naive"), (14.0, "naive")]


@pytest.mark.parametrize("kind", [kind for kind in FRAME_KINDS if kind != "pyspark"])  # the forecast reads Spark's
def test_evaluation_counted_by_hand(kind):
    sales = one_customer_a_month(10)
    sales = {
        name: [*values, extra] for (name, values), extra in zip(sales.items(), (0, 99, month(9), 3.0), strict=True)
    }
    table = forecast_evaluation_table(make_frame(sales, kind), as_of=month(10), horizon=2)
    # four origins: 14 / 6 and 4 / 6 too high at first (see above), then right, then 3 too low
    columns = ("period_number", "origin_count", "mean_absolute_error_amount", "bias_amount", "absolute_error_share")
    near = pytest.approx
    assert rows(table, *columns) == [
        (1, 4, near(6 / 4), near(0.0, abs=1e-9), near(6 / 59)),
        (2, 3, near(6 / 3), near(0.0, abs=1e-9), near(6 / 45)),
    ]
    # the last month known, 14 at each origin, was wrong once
    columns = ("benchmark", "benchmark_absolute_error_amount", "benchmark_absolute_error_share", "skill_share")
    assert rows(table, *columns) == [
        ("naive", near(3 / 4), near(3 / 59), near(-1.0)),
        ("naive", near(3 / 3), near(3 / 45), near(-1.0)),
    ]
    p_value = stats.ttest_1samp([14 / 6, 4 / 6, 0, 0], 0).pvalue
    assert rows(table, "p_value", "verdict")[0] == (near(p_value), "no clear difference")


@pytest.mark.parametrize("build", [revenue_forecast_table, forecast_evaluation_table])
def test_the_future_changes_nothing(build):
    sales = pd.DataFrame(one_customer_a_month(12))
    poison = sales.assign(timestamp=[AS_OF + dt.timedelta(days=n) for n in range(len(sales))], amount=1e9)
    clean, poisoned = (quiet(build, data, as_of=AS_OF) for data in (sales, pd.concat([sales, poison])))
    pd.testing.assert_frame_equal(clean, poisoned)


def test_a_month_that_is_not_over_is_forecast_as_a_whole_and_not_learnt_from():
    sales = pd.DataFrame(one_customer_a_month(13))
    whole = quiet(revenue_forecast_table, sales, as_of=AS_OF)
    part = quiet(revenue_forecast_table, sales, as_of=AS_OF + dt.timedelta(days=9))  # January began with 14
    pd.testing.assert_frame_equal(whole, part)


def test_the_triangle_holds_all_revenue_of_whole_periods():
    sales = pd.DataFrame(one_customer_a_month(9))
    more = pd.DataFrame({
        "customer_id": [77, 78, 0], "order_id": [97, 98, 99], "amount": [-5.0, -2.0, 6.0],
        "timestamp": [month(3), month(1) + dt.timedelta(days=3), dt.datetime(2022, 12, 9)],
    })  # fmt: skip
    data = pd.concat([sales, more])  # returns without an order, and a first month that is not whole
    history = _history(data, as_of=month(9), period="month", caller="test")
    totals = revenue_table(data, as_of=month(9))["total_amount"].to_numpy()
    assert history.triangle.totals == pytest.approx(totals[1:])
    assert history.triangle.unassigned == pytest.approx([0, -2, 0, -5, 0, 0, 0, 0, 0])
    assert history.triangle.sizes.tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 1]  # customer 0 was there before


@settings(max_examples=10)
@given(st.randoms())
def test_the_order_of_the_lines_changes_nothing(random):
    sales = pd.DataFrame(one_customer_a_month(12))
    shuffled = sales.iloc[random.sample(range(len(sales)), len(sales))]
    one, other = (quiet(revenue_forecast_table, data, as_of=AS_OF) for data in (sales, shuffled))
    pd.testing.assert_frame_equal(one, other)


def test_refusals_say_where_what_came_and_what_to_type():
    sales = pd.DataFrame(one_customer_a_month(12))
    with pytest.raises(
        SchemaError, match=r"revenue_forecast_table: a forecast needs at least 6 whole periods .* got 5"
    ):
        revenue_forecast_table(sales, as_of=month(5))
    with pytest.raises(SchemaError, match=r"horizon must be at most the number of whole periods known, 12, got 13"):
        revenue_forecast_table(sales, as_of=AS_OF, horizon=13)
    with pytest.raises(SchemaError, match=r"forecast_evaluation_table: interval must be a fraction .* got 95"):
        forecast_evaluation_table(sales, as_of=AS_OF, interval=95)
    with pytest.raises(
        SchemaError, match=r"revenue_forecast_table: horizon must be a whole number of at least 1, got 0"
    ):
        revenue_forecast_table(sales, as_of=AS_OF, horizon=0)
    with pytest.warns(
        DataQualityWarning, match=r"too few to check a look ahead of more than 4: these have no interval"
    ):
        revenue_forecast_table(sales, as_of=AS_OF, horizon=5)


# -- the arrays ----------------------------------------------------------------------------------------------------


def test_rates_by_age_pool_cohorts_and_share_one_figure_among_old_ages():
    amounts = np.zeros((6, 6))
    for cohort in range(6):
        amounts[cohort, cohort:] = [10.0, 4.0, 3.0, 2.0, 1.0, 1.0][: 6 - cohort]
    amounts[0] = 100.0  # there from the start: no age
    amounts[4, 5] = 8.0
    found = kernel.rates(amounts, np.array([9.0, 1, 1, 1, 1, 2]), window=6)
    # age 0: 50 of 6 customers; age 1: 4 + 4 + 4 + 8 of 4; age 2: 3; older: 2, 2, 1 of 2 + 1 customers
    assert found == pytest.approx([50 / 6, 5.0, 3.0, 5 / 3, 5 / 3, 5 / 3])


def test_rates_know_the_last_window_only():
    amounts = np.triu(np.ones((9, 9)))
    amounts[:, :6] *= 100.0
    assert kernel.rates(amounts, np.ones(9), window=3) == pytest.approx(np.ones(9))


def test_season_is_found_and_drawn_towards_one():
    season = np.r_[np.full(11, 0.9), 2.1]
    factors = kernel.seasonal_factors(np.tile(season, 3) * 50, 12)
    assert factors == pytest.approx(1 + (season - 1) * 2 / 3)  # two ratios at each place
    assert kernel.seasonal_factors(np.tile(season, 3)[:23], 12) == pytest.approx(np.ones(12))
    assert kernel.seasonal_factors(np.tile(season, 3) - 1, 12) == pytest.approx(np.ones(12))  # negative totals


def test_customers_there_from_the_start_go_on_with_the_season():
    season = np.r_[np.full(11, 0.9), 2.1]
    amounts = np.zeros((36, 36))
    amounts[0] = np.tile(season, 3) * 50
    existing, new = kernel.forecast(triangle(amounts, sizes=[1] + [0] * 35), 12)
    factors = 1 + (season - 1) * 2 / 3
    assert existing == pytest.approx((amounts[0] / np.tile(factors, 3))[-6:].mean() * factors)
    assert new == pytest.approx(np.zeros(12))


def test_benchmark_is_the_year_before_or_the_last_period():
    assert kernel.benchmark(np.arange(5.0), 4, 6) == pytest.approx([1, 2, 3, 4, 1, 2])
    assert kernel.benchmark(np.arange(3.0), 1, 2) == pytest.approx([2, 2])
    assert np.isnan(kernel.benchmark(np.arange(3.0), 4, 2)).all()
    assert [kernel.benchmark_step(periods, 4) for periods in (6, 7)] == [1, 4]


@settings(max_examples=25)
@given(st.integers(7, 16), st.integers(0, 2**20), st.sampled_from([1, 4, 12]))
def test_past_forecasts_know_nothing_of_what_came_later(periods, seed, cycle):
    random = np.random.default_rng(seed)
    amounts = np.triu(random.gamma(1.0, 10.0, (periods, periods)))
    sizes = random.integers(0, 5, periods).astype(float)
    test = kernel.back_test(triangle(amounts, cycle=cycle, sizes=sizes), 3)
    poisoned = amounts.copy()
    poisoned[:, -1] = 1e9
    other = kernel.back_test(triangle(poisoned, cycle=cycle, sizes=np.r_[sizes[:-1], 1e9]), 3)
    assert (test.forecast == other.forecast).all()
    assert np.array_equal(test.benchmark, other.benchmark, equal_nan=True)
    assert test.actual[:, 0] == pytest.approx(amounts.sum(axis=0)[-len(test.actual) :])


def test_intervals_come_from_the_errors_and_do_not_narrow_with_the_horizon():
    actual = np.array([[1.0, 1.0], [-1.0, 0.0], [1.0, 0.0], [-1.0, np.nan]])
    test = kernel.BackTest(actual, np.zeros((4, 2)), np.zeros((4, 2)), np.full((4, 2), 2.0))
    spread, counts = kernel.error_spread(test)
    assert spread == pytest.approx([0.5, 0.5])  # the second would be sqrt(1 / 12)
    assert counts.tolist() == [4, 3]
    quantiles = stats.t.ppf(0.9, [4, 3])
    assert kernel.half_widths(spread, counts, 0.8) == pytest.approx(0.5 * quantiles)
    assert np.isnan(kernel.half_widths(spread, np.array([2, 1]), 0.8)).all()


def test_coverage_asks_the_other_origins():
    errors = np.ones((4, 1))
    errors[3] = 50.0  # outside what the others say; were it one of them, it would be inside
    test = kernel.BackTest(errors, np.zeros((4, 1)), np.zeros((4, 1)), np.ones((4, 1)))
    assert kernel.coverage(test, 0.95) == pytest.approx([3 / 4])


def test_one_step_comparison_is_the_paired_t_test():
    mine, others = np.array([0.0, 1.0, -1.0, 2.0, np.nan]), np.array([1.0, -3.0, 4.0, 4.0, 1.0])
    difference, p_value = kernel.compare_errors(mine, others, 1)
    assert difference == pytest.approx(-2.0)
    assert p_value == pytest.approx(stats.ttest_1samp([-1, -2, -3, -2], 0).pvalue)


def test_comparison_of_longer_looks_ahead_counts_what_they_share():
    mine, others = np.zeros(6), np.array([1.0, 2.0, 3.0, 3.0, 2.0, 1.0])
    # covariances 4/6 and, one apart, (1 * 0 + 0 * 1 + 1 * 1 + 1 * 0 + 0 * -1) / 6; n + 1 - 4 + 2 / 6 = 3 1/3
    statistic = 2 / np.sqrt((4 / 6 + 2 * 1 / 6) / 6) * np.sqrt((3 + 1 / 3) / 6)
    assert kernel.compare_errors(mine, others, 2)[1] == pytest.approx(2 * stats.t.sf(statistic, 5))
    assert np.isnan(kernel.compare_errors(mine[:2], others[:2], 1)[1])


def test_the_seasonal_benchmark_is_judged_where_it_can_be_told():
    sales = pd.DataFrame(one_customer_a_month(16))
    sales.loc[sales["timestamp"] == month(15), "amount"] *= 2  # 28 instead of 14
    table = forecast_evaluation_table(sales, as_of=month(16), horizon=2)
    columns = ("benchmark", "origin_count", "benchmark_origin_count", "benchmark_absolute_error_amount")
    # after 12 months January's 10 stands for 14, then the benchmark is right but for the last month
    assert rows(table, *columns) == [("seasonal naive", 10, 4, 4.5), ("seasonal naive", 9, 3, 14 / 3)]
    # of the forecasts, only the last month was wrong since then
    assert rows(table, "skill_share") == [(pytest.approx(1 - 3.5 / 4.5),), (pytest.approx(0.0),)]


# -- picture, words, real data -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pandas", "polars", "duckdb"])
def test_plot_and_words(kind):
    table = quiet(revenue_forecast_table, make_frame(one_customer_a_month(12), kind), as_of=AS_OF, horizon=5)
    ax = plot_forecast(table)
    existing, new = (container for container in ax.containers if len(container) == 5)
    assert [bar.get_height() for bar in existing] == pytest.approx([4.0, 0, 0, 0, 0], abs=1e-9)
    assert [bar.get_y() + bar.get_height() for bar in new] == pytest.approx([14.0] * 5)
    assert "Benchmark: naive" in [text.get_text() for text in ax.get_legend().get_texts()]
    findings = [finding for (finding,) in rows(describe_revenue(table), "finding")]
    assert findings[0] == (
        "From 2024-01-01 to 2024-06-01, revenue of 70 is expected, 94% of it from customers still to come."
    )
    assert findings[-1].startswith("Too little is known to compare forecasts")


def test_adventureworks_beats_seasonal_naive_a_week_ahead(shared_data):
    raw = pd.read_parquet(shared_data / "adventureworks" / "FactInternetSales.parquet")
    tx = Transactions(raw, customer_id="CustomerKey", order_id="SalesOrderNumber", timestamp="OrderDate",
                      amount="SalesAmount")  # fmt: skip
    table = forecast_evaluation_table(tx, as_of="2014-01-01", period="7d", horizon=2)
    assert table["verdict"].tolist() == ["better", "better"]
    assert (table["skill_share"] > 0.5).all()
    assert table["coverage_share"].between(0.9, 1.0).all()
