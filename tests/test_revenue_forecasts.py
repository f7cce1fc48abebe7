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
from crmlytics._kernels import forecast_errors as errors_kernel
from crmlytics._kernels import revenue_forecast as kernel
from crmlytics.exceptions import DataQualityWarning, SchemaError
from crmlytics.revenue._pictures import plot_forecast, plot_forecast_evaluation
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
    # past forecasts were right, so the interval is nothing wide; five months ahead only two looked
    assert rows(table, "forecast_amount_low", "forecast_amount_high") == [*[(near(14), near(14))] * 4, (None, None)]
    assert rows(table, "benchmark_amount", "benchmark")[:2] == [(14.0, "naive"), (14.0, "naive")]


@pytest.mark.parametrize("kind", [kind for kind in FRAME_KINDS if kind != "pyspark"])  # the forecast reads Spark's
def test_evaluation_counted_by_hand(kind):
    sales = one_customer_a_month(10)
    sales = {
        name: [*values, extra] for (name, values), extra in zip(sales.items(), (0, 99, month(9), 3.0), strict=True)
    }
    table = forecast_evaluation_table(make_frame(sales, kind), as_of=month(10), horizon=2)
    # four origins: right three times, then 3 too low
    columns = ("period_number", "origin_count", "mean_absolute_error_amount", "bias_amount", "absolute_error_share")
    near = pytest.approx
    assert rows(table, *columns) == [
        (1, 4, near(3 / 4), near(-3 / 4), near(3 / 59)),
        (2, 3, near(3 / 3), near(-3 / 3), near(3 / 45)),
    ]
    # the last month known, 14 at each origin, was wrong as often: there is no difference to test
    columns = ("benchmark", "benchmark_absolute_error_amount", "benchmark_absolute_error_share", "skill_share")
    assert rows(table, *columns) == [
        ("naive", near(3 / 4), near(3 / 59), near(0.0, abs=1e-9)),
        ("naive", near(3 / 3), near(3 / 45), near(0.0, abs=1e-9)),
    ]
    assert rows(table, "p_value", "verdict") == [(None, "not known")] * 2


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
    existing, new = kernel.cohort_forecast(triangle(amounts, sizes=[1] + [0] * 35), 12)
    factors = 1 + (season - 1) * 2 / 3
    assert existing == pytest.approx((amounts[0] / np.tile(factors, 3))[-6:].mean() * factors)
    assert new == pytest.approx(np.zeros(12))


def test_customers_there_from_the_start_fall_on_and_never_rise():
    falling = 100 * 0.9 ** np.arange(12)
    assert kernel.decayed(falling, 3, span=6)[0] == pytest.approx(falling[-6:].mean() * 0.9**3.5)
    assert kernel.decayed(falling, 3, span=6)[1:] == pytest.approx(kernel.decayed(falling, 3, span=6)[:-1] * 0.9)
    assert kernel.decayed(falling[::-1], 2, span=6) == pytest.approx([falling[:6].mean()] * 2)
    gone = np.r_[np.full(3, 8.0), np.full(3, 1.0)]
    assert kernel.decayed(gone, 1, span=3) == pytest.approx([0.8**2])  # an eighth in three periods, but held at .8
    assert kernel.decayed(np.r_[gone[:3], np.zeros(3)], 1, span=3) == pytest.approx([0.0])


def test_smoothing_takes_the_constant_that_told_the_past_best():
    assert kernel.smoothed(np.array([10.0, 14, 14, 14])) == pytest.approx(14.0)  # the last period
    noise = np.array([10.0, 12, 8, 12, 8, 12, 8, 12, 8])
    level = 10.0
    for value in noise:
        level += 0.05 * (value - level)
    assert kernel.smoothed(noise) == pytest.approx(level)  # hardly moves


def test_benchmarks_are_the_last_period_the_level_and_the_cycle_before():
    amounts = np.diag(np.arange(1.0, 7.0))
    found = kernel.benchmarks(triangle(amounts, cycle=4), 6)
    assert found[0].tolist() == [6.0] * 6
    assert found[1].tolist() == [6.0] * 6
    assert found[2].tolist() == [3, 4, 5, 6, 3, 4]
    assert np.isnan(kernel.benchmarks(triangle(amounts[:3, :3], cycle=4), 2)[2]).all()
    assert np.isnan(kernel.benchmarks(triangle(amounts, cycle=1), 2)[2]).all()


def test_the_hardest_benchmark_is_asked_and_needs_three_origins():
    actual = np.zeros((5, 2))
    others = np.array([[[2.0, 2.0]] * 5, [[3.0, 1.0]] * 5, [[np.nan] * 2] * 2 + [[1.0, 0.5]] * 3])
    others[2, 4, 1] = np.nan  # two periods ahead only two
    test = errors_kernel.BackTest(actual, actual, others, np.ones((5, 2)))
    which = errors_kernel.hardest(test)
    assert which.tolist() == [2, 1]
    assert np.array_equal(test.benchmark(which)[:, 0], others[2, :, 0], equal_nan=True)
    assert test.benchmark(which)[:, 1].tolist() == [1.0] * 5


def test_weights_are_the_inverse_square_of_errors_known_at_the_origin():
    squares = np.full((3, 6, 1), np.nan)
    squares[0, :, 0], squares[1, :, 0], squares[2, 2:, 0] = 4.0, 1.0, 1.0
    found = kernel.model_weights(squares)[:, :, 0]
    first = np.array([1 / 2**2, 1.0, 0.0])  # nothing tried: the cohorts are taken to miss twice as much
    assert found[:, 0] == pytest.approx(first / first.sum())
    # two outcomes of each: 8 + 4 x 2.5 x 2 and 2 + 4 x 2.5
    second = np.array([1 / 28**2, 1 / 12**2, 0.0])
    assert found[:, 2] == pytest.approx(second / second.sum())
    # the cycle has three outcomes at the last origin: 3 + 4 x 2.5 over 7, the others five
    last = 1 / np.array([(20 + 20) / 9, (5 + 10) / 9, (3 + 10) / 7]) ** 2
    assert found[:, 5] == pytest.approx(last / last.sum())


def test_two_periods_ahead_an_outcome_is_known_two_origins_later():
    squares = np.ones((3, 5, 2))
    other = squares.copy()
    other[:, 1] = [[9.0], [2.0], [3.0]]
    changed = (kernel.model_weights(squares) != kernel.model_weights(other)).any(axis=0)
    assert changed[:, 0].tolist() == [False, False, True, True, True]
    assert changed[:, 1].tolist() == [False, False, False, True, True]


def test_existing_and_new_keep_their_proportion_and_add_up():
    existing, new = kernel.shared_out(np.array([6.0, -2.0, 0.0]), np.array([2.0, 6.0, 0.0]), np.array([4.0, 5.0, 3.0]))
    assert existing.tolist() == [3.0, -1.0, 3.0]
    assert new.tolist() == [1.0, 6.0, 0.0]


@settings(max_examples=25)
@given(st.integers(7, 16), st.integers(0, 2**20), st.sampled_from([1, 4, 12]))
def test_past_forecasts_know_nothing_of_what_came_later(periods, seed, cycle):
    random = np.random.default_rng(seed)
    amounts = np.triu(random.gamma(1.0, 10.0, (periods, periods)))
    sizes = random.integers(0, 5, periods).astype(float)
    ahead, test = kernel.forecast(triangle(amounts, cycle=cycle, sizes=sizes), 3)
    assert ahead.existing + ahead.new == pytest.approx(ahead.total)
    poisoned = amounts.copy()
    poisoned[:, -1] = 1e9
    _, other = kernel.forecast(triangle(poisoned, cycle=cycle, sizes=np.r_[sizes[:-1], 1e9]), 3)
    assert (test.forecast == other.forecast).all()
    assert np.array_equal(test.benchmarks, other.benchmarks, equal_nan=True)
    assert test.actual[:, 0] == pytest.approx(amounts.sum(axis=0)[-len(test.actual) :])


def back_test(errors, *, scale=1.0):
    errors = np.asarray(errors, float)
    nothing = np.zeros_like(errors)
    return errors_kernel.BackTest(errors, nothing, np.stack([nothing] * 3), nothing + scale)


def test_intervals_come_from_the_errors_of_which_late_ones_count_more():
    test = back_test([[4.0, 1.0], [-1.0, 0.0], [1.0, 0.0], [-1.0, np.nan]], scale=2.0)
    spread, worth = errors_kernel.error_spread(test)
    near = np.sqrt((1 * 4 + 2 * 0.25 + 3 * 0.25 + 4 * 0.25) / 10)
    assert spread == pytest.approx([near, near])  # the second would be less: it does not narrow with the horizon
    assert worth == pytest.approx([100 / 30, 36 / 14])
    quantiles = stats.t.ppf(0.9, worth)
    assert errors_kernel.half_widths(spread, worth, 0.8) == pytest.approx(spread * quantiles)
    assert np.isnan(errors_kernel.error_spread(back_test([[1.0], [1.0]]))[0]).all()


def test_coverage_asks_the_origins_before():
    errors = np.ones((6, 1))
    errors[4] = 50.0  # outside what was known then; the last is inside for it
    assert errors_kernel.coverage(back_test(errors), 0.95) == pytest.approx([2 / 3])
    # what comes later changes nothing: the second of two steps ahead is known two origins later
    assert np.isnan(errors_kernel.coverage(back_test(np.ones((4, 2))), 0.95)[1])
    assert errors_kernel.coverage(back_test(np.ones((5, 2))), 0.95)[1] == pytest.approx(1.0)


def test_one_step_comparison_is_the_paired_t_test():
    mine, others = np.array([0.0, 1.0, -1.0, 2.0, np.nan]), np.array([1.0, -3.0, 4.0, 4.0, 1.0])
    difference, p_value = errors_kernel.compare_errors(mine, others, 1)
    assert difference == pytest.approx(-2.0)
    assert p_value == pytest.approx(stats.ttest_1samp([-1, -2, -3, -2], 0).pvalue)


def test_comparison_of_longer_looks_ahead_takes_the_slow_waves():
    mine, others = np.zeros(7), np.array([1.0, 2.0, 3.0, 3.0, 2.0, 1.0, 2.0])
    waves = [np.cos(np.pi * j * (np.arange(7) + 0.5) / 7) * np.sqrt(2 / 7) for j in (1, 2, 3)]  # (7 - 1) / 2
    variance = np.mean([(wave @ others) ** 2 for wave in waves]) / 7
    expected = 2 * stats.t.sf(2 / np.sqrt(variance), 3)
    assert errors_kernel.compare_errors(mine, others, 2)[1] == pytest.approx(expected)


@settings(max_examples=30)
@given(st.integers(1, 12), st.integers(0, 2**20))
def test_nothing_is_proved_with_no_more_origins_than_periods_ahead(horizon, seed):
    random = np.random.default_rng(seed)
    for n in range(1, horizon + 1):
        assert np.isnan(errors_kernel.compare_errors(random.normal(size=n), random.normal(size=n), horizon)[1])
    n = max(horizon + 1, 3)
    assert 0 < errors_kernel.compare_errors(random.normal(size=n), random.normal(size=n), horizon)[1] <= 1


def test_rounding_errors_are_no_difference():
    mine = 0.1 * np.arange(1.0, 11.0)
    assert np.isnan(errors_kernel.compare_errors(mine, mine + 1e-14 * np.cos(np.arange(10)), 1)[1])


@pytest.mark.parametrize(("horizon", "n"), [(1, 10), (3, 20), (6, 20), (6, 40)])
def test_equal_forecasts_are_rarely_said_to_differ(horizon, n):
    random = np.random.default_rng(3)
    errors = random.normal(size=(2, 1500, n + horizon - 1))
    overlapping = np.lib.stride_tricks.sliding_window_view(errors, horizon, axis=2).sum(axis=3)
    told = [
        errors_kernel.compare_errors(mine, others, horizon)[1] <= 0.05
        for mine, others in zip(*overlapping, strict=True)
    ]
    assert 0.03 <= np.mean(told) <= 0.08


def test_the_verdict_does_not_hide_behind_a_weak_benchmark():
    """Steady growth: last year is hopeless, the last month is not, and it is the last month that is named."""
    starts = [month(number) for number in range(30)]
    growing = pd.DataFrame({"customer_id": 1, "order_id": range(30), "timestamp": starts,
                            "amount": [100 * 1.05**number for number in range(30)]})  # fmt: skip
    table = forecast_evaluation_table(growing, as_of=month(30), horizon=2)
    assert table["benchmark"].tolist() == ["naive", "naive"]
    assert table["benchmark_origin_count"].tolist() == [24, 23]
    assert (table["verdict"] != "better").all()


def test_intervals_end_at_zero_unless_revenue_was_below():
    random = np.random.default_rng(1)
    starts = [month(number) for number in range(14)]
    wild = pd.DataFrame({"customer_id": 1, "order_id": range(14), "timestamp": starts,
                         "amount": random.gamma(0.3, 100.0, 14)})  # fmt: skip
    assert quiet(revenue_forecast_table, wild, as_of=month(14), horizon=3)["forecast_amount_low"].tolist() == [0.0] * 3
    wild.loc[3, "amount"] = -5.0
    assert (quiet(revenue_forecast_table, wild, as_of=month(14), horizon=3)["forecast_amount_low"] < 0).all()


def test_days_are_held_against_the_week_before_and_not_the_year():
    days = [AS_OF - dt.timedelta(days=n) for n in range(1, 29)]
    sales = pd.DataFrame({"customer_id": 1, "order_id": range(28), "timestamp": days, "amount": 10.0})
    sales.loc[sales["timestamp"].dt.day_of_week == 5, "amount"] = 25.0
    table = quiet(revenue_forecast_table, sales, as_of=AS_OF, period="1d", horizon=9)  # from Monday on
    assert table["benchmark"].tolist()[:6] == ["weekly naive"] * 6
    assert table["benchmark_amount"].tolist()[:6] == [10.0] * 5 + [25.0]
    assert forecast_evaluation_table(sales, as_of=AS_OF, period="1d", horizon=2)["benchmark"].iloc[0] == "weekly naive"
    assert "the weekly naive or naive benchmark" in describe_revenue(table)["finding"].iloc[1]


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


def test_adventureworks_is_held_against_the_week_before_and_not_the_year(shared_data):
    raw = pd.read_parquet(shared_data / "adventureworks" / "FactInternetSales.parquet")
    tx = Transactions(raw, customer_id="CustomerKey", order_id="SalesOrderNumber", timestamp="OrderDate",
                      amount="SalesAmount")  # fmt: skip
    table = forecast_evaluation_table(tx, as_of="2014-01-01", period="7d", horizon=2)
    assert set(table["benchmark"]) <= {"naive", "exponential smoothing"}
    assert table["verdict"].tolist() == ["no clear difference"] * 2
    assert (table["absolute_error_share"] < 0.15).all()  # last year's week: .64
    assert table["coverage_share"].between(0.9, 1.0).all()


@pytest.mark.parametrize("kind", ["pandas", "duckdb"])
def test_plot_of_the_back_test(kind):
    table = forecast_evaluation_table(make_frame(one_customer_a_month(12), kind), as_of=AS_OF, horizon=3)
    ax = plot_forecast_evaluation(table)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Benchmark: naive", "Forecast"]
    assert ax.lines[1].get_ydata() == pytest.approx([0.0] * 3, abs=1e-9)


def test_the_gravest_verdict_is_told_first():
    table = quiet(revenue_forecast_table, pd.DataFrame(one_customer_a_month(12)), as_of=AS_OF, horizon=5)
    table["verdict"] = ["better", "no clear difference", "worse", "not known", "worse"]
    table["benchmark"] = ["naive"] * 4 + ["seasonal naive"]
    _, first, second = describe_revenue(table, n=2)["finding"]
    assert first.startswith("Forecasts of the 3rd and 5th period ahead were worse than the naive or seasonal naive ben")
    assert second == "Forecasts of the 2nd period ahead did not clearly beat the naive benchmark in the past."
