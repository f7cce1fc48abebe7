"""What the seasonality of revenue promises: shares counted by hand, honest intervals, a word on short data."""

import datetime as dt

import matplotlib as mpl
import matplotlib.pyplot as plt
import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from crmlytics._kernels.seasonal_profiles import profile
from crmlytics.exceptions import DataQualityWarning, SchemaError
from crmlytics.revenue._pictures import plot_seasonality
from crmlytics.revenue.seasonality import seasonality_table
from crmlytics.testing import make_frame, records

mpl.use("Agg")

MONDAY = dt.datetime(2024, 1, 1)


def rows(table, *columns):
    names = nw.from_native(table).collect_schema().names()
    return [tuple(row[names.index(name)] for name in columns) for row in records(table)]


def sales(moments, amounts):
    count = len(moments)
    return {"customer_id": [1] * count, "order_id": list(range(count)), "timestamp": moments, "amount": list(amounts)}


def years(first, count, amount_of):
    """One line on the first of each month, of so much a day."""
    starts = [
        dt.datetime(first.year + (first.month - 1 + n) // 12, (first.month - 1 + n) % 12 + 1, 1) for n in range(count)
    ]
    days = [pd.Timestamp(start).days_in_month for start in starts]
    return sales(
        starts, [amount_of(n, start) * length for n, (start, length) in enumerate(zip(starts, days, strict=True))]
    )


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_weekdays_counted_by_hand_on_every_kind(frame):
    # Sunday is no whole week, nor are the days from the 15th on; between: 14 on a Monday, 14 on a Tuesday
    moments = [MONDAY + dt.timedelta(days=days) for days in (-1, 0, 8, 14)]
    data = frame(sales(moments, [99.0, 14.0, 14.0, 99.0]))
    table = seasonality_table(data, as_of=MONDAY + dt.timedelta(days=16), of="weekday")
    assert type(table) is type(data)
    assert rows(table, "part", "part_number", "average_amount", "amount_index", "cycle_count", "is_reliable")[:3] == [
        ("Monday", 1, 7.0, 3.5, 2, False),  # two weeks that do not agree
        ("Tuesday", 2, 7.0, 3.5, 2, False),
        ("Wednesday", 3, 0.0, 0.0, 2, False),
    ]
    half = 3.5 * stats.t.ppf(0.975, 1)  # 7 above and 7 below 7: sqrt(2 x 98) / 4
    assert rows(table, "amount_index_low", "amount_index_high")[0] == pytest.approx((max(3.5 - half, 0), 3.5 + half))


def test_months_are_amounts_per_day_and_growth_is_taken_out():
    data = years(dt.datetime(2021, 4, 1), 36, lambda n, _: 1.2 ** (n / 12))
    table = seasonality_table(pd.DataFrame(data), as_of="2024-04-01")
    assert table["amount_index"].to_numpy() == pytest.approx(np.ones(12))
    assert table["part"].tolist()[:4] == ["January", "February", "March", "April"]
    assert table["cycle_count"].unique().tolist() == [3]
    assert table["average_amount"].idxmax() == 2  # March is the last month of each of these years


def test_a_december_twice_as_large_is_found_wherever_the_year_begins():
    for first, as_of in ((dt.datetime(2022, 1, 1), "2024-01-01"), (dt.datetime(2021, 8, 1), "2023-08-20")):
        data = years(first, 24, lambda _, start: 2.0 if start.month == 12 else 1.0)
        table = seasonality_table(pd.DataFrame(data), as_of=as_of)
        assert table["amount_index"].to_numpy() == pytest.approx(np.r_[np.full(11, 12 / 13), 24 / 13])
        assert table["average_amount"].to_numpy() == pytest.approx(np.r_[np.ones(11), 2.0])
        assert table["strength_share"].iloc[0] == pytest.approx(1.0)
        assert table["amount_index_high"].iloc[11] == pytest.approx(24 / 13)


@pytest.mark.parametrize("kind", ["pandas", "polars", "duckdb"])
def test_one_year_has_no_intervals_and_says_so(kind):
    data = years(dt.datetime(2022, 1, 1), 14, lambda n, _: 1.0 + n)
    with pytest.warns(DataQualityWarning, match=r"one year was seen, so season cannot be told from growth or chance"):
        table = seasonality_table(make_frame(data, kind), as_of="2023-03-01")
    assert (
        rows(table, "amount_index_low", "amount_index_high", "strength_share", "is_reliable", "cycle_count")
        == [(None, None, None, False, 1)] * 12
    )
    assert rows(table, "average_amount")[:3] == [(13.0,), (14.0,), (3.0,)]  # March 2022 to February 2023


def test_hours_count_days_that_are_over():
    moments = [MONDAY + dt.timedelta(hours=hours) for hours in (8, 9, 24 + 8, 24 + 8, 48 + 8)]
    table = seasonality_table(
        pd.DataFrame(sales(moments, [1.0, 3.0, 2.0, 2.0, 99.0])), as_of=MONDAY.replace(day=3, hour=12), of="hour"
    )
    assert table["average_amount"].tolist()[8:10] == [2.5, 1.5]
    assert table["amount_index"].tolist()[8:10] == [5 / 8 * 24, 3 / 8 * 24]
    assert table["part"].tolist()[8] == "08:00"
    assert table["cycle_count"].iloc[0] == 2


def test_the_future_changes_nothing():
    data = pd.DataFrame(years(dt.datetime(2021, 1, 1), 36, lambda n, _: 1.0 + n % 5))
    poison = data.assign(timestamp=[dt.datetime(2024, 1, 1) + dt.timedelta(hours=n) for n in range(36)], amount=1e9)
    for of in ("month", "weekday"):
        one, other = (seasonality_table(d, as_of="2024-01-01", of=of) for d in (data, pd.concat([poison, data])))
        pd.testing.assert_frame_equal(one, other)


@settings(max_examples=40)
@given(st.integers(2, 30), st.sampled_from([7, 12, 24]), st.integers(0, 2**20))
def test_indices_are_one_on_average_and_lie_in_their_intervals(cycles, parts, seed):
    cells = np.random.default_rng(seed).gamma(1.0, 10.0, (cycles, parts))
    found = profile(cells, 0.9)
    assert found.index.mean() == pytest.approx(1.0)
    assert (found.lower <= found.index).all()
    assert (found.index <= found.upper).all()
    assert 0 <= found.strength <= 1
    assert profile(cells * 7, 0.9).upper == pytest.approx(found.upper)


def test_intervals_hold_the_truth_as_often_as_they_say():
    random = np.random.default_rng(1)
    truth = np.r_[np.full(6, 1.1), 0.4]
    held = 0
    for _ in range(200):
        found = profile(truth * random.gamma(5.0, 0.2, (20, 1)) * random.gamma(3.0, 1 / 3, (20, 7)), 0.9)
        held += int(((found.lower <= truth) & (truth <= found.upper)).sum())
    assert held / 1400 == pytest.approx(0.9, abs=0.03)


def test_noise_without_a_season_is_weak():
    cells = np.random.default_rng(2).gamma(2.0, 5.0, (200, 7))
    assert profile(cells, 0.95).strength < 0.03


@pytest.mark.parametrize("kind", ["pandas", "polars", "duckdb"])
def test_plot_draws_from_the_mean(kind):
    moments = [MONDAY + dt.timedelta(days=days) for days in range(21)]
    ax = plot_seasonality(
        seasonality_table(make_frame(sales(moments, [5.0] * 21), kind), as_of="2024-01-22", of="weekday")
    )
    assert [bar.get_height() for bar in ax.containers[0]] == pytest.approx([0.0] * 7)
    assert ax.get_title(loc="left") == "When revenue is made (3 weeks seen, no more than chance)"
    assert [label.get_text() for label in ax.get_xticklabels()][:2] == ["Mon", "Tue"]


def test_refusals_say_where_what_came_and_what_to_type():
    data = pd.DataFrame(sales([MONDAY, MONDAY + dt.timedelta(days=9)], [1.0, 2.0]))
    with pytest.raises(
        SchemaError, match=r'of="month" needs at least one whole year before as_of, got none. Take of="week'
    ):
        seasonality_table(data, as_of="2024-02-01")
    with pytest.raises(SchemaError, match=r'no timestamp has a time of day. Take of="weekday" or of="month"'):
        seasonality_table(data, as_of="2024-02-01", of="hour")
    with pytest.raises(SchemaError, match=r"of must be one of \['month', 'weekday', 'hour'\], got 'weekdays'"):
        seasonality_table(data, as_of="2024-02-01", of="weekdays")
    with pytest.raises(SchemaError, match=r"revenue of all whole weeks is -3.00: shares need an amount above zero"):
        seasonality_table(data.assign(amount=-data["amount"]), as_of="2024-01-15", of="weekday")
    with pytest.raises(SchemaError, match=r'of="weekday" needs at least one whole week before as_of, got none'):
        seasonality_table(data, as_of="2024-01-05", of="weekday")
    for of in ("month", "weekday", "hour"):
        with pytest.raises(
            SchemaError, match=r"seasonality_table: no line lies before as_of=2020-01-01 00:00. Check as_of"
        ):
            seasonality_table(data, as_of="2020-01-01", of=of)


def test_a_profile_is_reliable_when_it_is_more_than_chance():
    random = np.random.default_rng(5)
    noise = [profile(random.gamma(2.0, 5.0, (6, 7)), 0.95).p_value <= 0.05 for _ in range(400)]
    assert np.mean(noise) == pytest.approx(0.05, abs=0.03)
    season = np.r_[np.full(6, 1.0), 2.0]
    found = profile(season * random.gamma(20.0, 0.05, (6, 7)), 0.95)
    assert found.p_value < 0.001
    # two-way analysis of variance by hand: cycles over their means are (.5, 1, 1.5) and (.5, 1.25, 1.25)
    between, within = 2 * (0.5**2 + 0.125**2 + 0.375**2), 4 * 0.125**2
    found = profile(np.array([[1.0, 2.0, 3.0], [2.0, 5.0, 5.0]]), 0.95)
    assert found.p_value == pytest.approx(stats.f.sf(between / 2 / (within / 2), 2, 2))


def test_bounds_stop_at_zero_unless_revenue_was_below():
    cells = np.array([[0.0, 9.0, 1.0], [5.0, 1.0, 1.0]])
    assert profile(cells, 0.95).lower.min() == 0.0
    assert profile(cells - [[1.0, 0, 0], [0, 0, 0]], 0.95).lower.min() < 0
