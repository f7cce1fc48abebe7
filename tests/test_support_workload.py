"""What the workload tables promise: forecasts by hand, bounds that hold, published Erlang figures, no look ahead."""

import datetime as dt
from fractions import Fraction
from math import factorial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics._frames import to_pandas
from crmlytics._kernels.workload import agents_needed, back_test, count_bounds, weekly_counts, weekly_profile
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.support._outcome_plots import plot_staffing, plot_workload
from crmlytics.support.staffing import staffing_table
from crmlytics.support.workload import workload_evaluation_table, workload_table

MONDAY = pd.Timestamp("2024-01-01")
WEEK = [7, 6, 5, 4, 3, 0, 1]


def opened(counts, start=MONDAY, freq="D"):
    """Return so many tickets in each period."""
    times = pd.date_range(start, periods=len(counts), freq=freq).repeat(counts)
    return {"ticket_id": list(range(len(times))), "opened_at": list(times.to_pydatetime())}


def noisy(weeks=26, seed=0, spread=0.0):
    """Return tickets by chance: a day has its own mean, and good and bad days if there is spread."""
    random = np.random.default_rng(seed)
    mean = np.tile([30, 25, 25, 20, 20, 6, 4], weeks).astype(float)
    mood = random.gamma(1 / spread, spread, len(mean)) if spread else 1.0
    return pd.DataFrame(opened(random.poisson(mean * mood)))


def test_a_week_like_any_other_is_forecast_on_every_frame(frame):
    table = workload_table(frame(opened(WEEK * 10)), as_of=MONDAY + pd.Timedelta(weeks=10), horizon="14d")
    assert type(table) is type(frame(opened(WEEK)))
    rows = to_pandas(table)
    assert rows["expected_count"].tolist() == pytest.approx(WEEK * 2)
    assert rows["last_week_count"].tolist() == WEEK * 2
    assert rows["period_start"].iloc[0] == MONDAY + pd.Timedelta(weeks=10)
    assert (rows["period_end"] - rows["period_start"] == pd.Timedelta(days=1)).all()
    assert (rows["expected_count_low"] <= rows["expected_count"]).all()
    assert rows["caution"].str.startswith("In the back-test no better than last week's").all()  # nor could it be


def test_a_level_that_moved_is_followed():
    low = workload_table(pd.DataFrame(opened(WEEK * 24)), as_of="2024-06-17", horizon="7d")
    doubled = [2 * count for count in WEEK]
    high = workload_table(pd.DataFrame(opened(WEEK * 16 + doubled * 8)), as_of="2024-06-17", horizon="7d")
    assert low["expected_count"].sum() == pytest.approx(26)
    assert 50 < high["expected_count"].sum() < 52.1  # half-life of a week: half, a quarter ... of the old level is left


def test_as_of_within_a_day_forecasts_that_day_as_a_whole():
    data = pd.DataFrame(opened(WEEK * 10))
    whole = workload_table(data, as_of="2024-03-06", horizon="7d")
    within = workload_table(data, as_of=dt.datetime(2024, 3, 6, 15, 30), horizon="7d")
    pd.testing.assert_frame_equal(within, whole)
    assert whole["expected_count"].round(6).tolist() == WEEK[2:] + WEEK[:2]  # a Wednesday


def test_hours_of_a_day_borrow_from_one_another():
    day = [0] * 8 + [4, 4, 2, 2] + [0] * 12
    data = pd.DataFrame(opened(day * 70, freq="h"))
    rows = workload_table(data, as_of="2024-03-11", period="hour", horizon="1d")
    assert rows["expected_count"].tolist() == pytest.approx(day)
    quiet = np.array(day * 7, float)
    quiet[9] = 0  # of Mondays: four weeks of what is usual stand beside those that were seen
    profile = weekly_profile(np.tile(quiet, (10, 1)))
    assert 0 < profile[9] < profile[8]


def test_nothing_of_the_future_is_read():
    data = noisy()
    cut = pd.Timestamp("2024-05-06")
    late = data["opened_at"] >= cut
    poisoned = pd.concat([data, data[late].assign(ticket_id=lambda rows: rows["ticket_id"] + 10**6)])
    for make in (workload_table, workload_evaluation_table):
        pd.testing.assert_frame_equal(make(poisoned, as_of=cut), make(data[~late], as_of=cut))


@pytest.mark.parametrize("spread", [0.0, 0.1])
def test_bounds_hold_as_often_as_they_say(spread):
    covered = []
    for seed in range(20):
        data = noisy(28, seed, spread)
        rows = workload_table(data, as_of="2024-07-01", history="182d").set_index("period_start")
        came = data.groupby(data["opened_at"].dt.normalize()).size().reindex(rows.index, fill_value=0)
        covered += ((rows["expected_count_low"] <= came) & (came <= rows["expected_count_high"])).tolist()
    assert 0.92 < np.mean(covered) < 0.985


def test_the_back_test_by_hand():
    """Weeks of 1, 2, 4, 8 ... tickets: whatever the half-life, the last week is nearer."""
    counts = np.zeros((8, 7))
    counts[:, 0] = 2.0 ** np.arange(8)
    tested = back_test(counts, 7)
    assert tested.counts[:, 0].tolist() == [8, 16, 32, 64, 128]
    assert tested.last_week[:, 0].tolist() == [4, 8, 16, 32, 64]
    level = np.array([1, 2, 4]) @ (0.5 ** (np.array([2, 1, 0]) / 4)) / (0.5 ** (np.array([2, 1, 0]) / 4)).sum()
    assert tested.forecasts[0].sum() == pytest.approx(level)  # four weeks while nothing is known
    level = np.array([1, 2, 4, 8]) @ 0.5 ** np.arange(3, -1, -1) / (0.5 ** np.arange(4)).sum()
    assert tested.forecasts[1].sum() == pytest.approx(level)  # then one week, which would have been best
    assert tested.half_life == 1


def test_the_evaluation_tells_better_from_worse():
    better = workload_evaluation_table(noisy(), as_of="2024-07-01").set_index("method")
    assert better.loc["profile", "verdict"] == "better than last week"
    assert better.loc["profile", "error_ratio"] < 0.9
    assert better.loc["last week", "error_ratio"] == 1
    assert better["origin_count"].tolist() == [11, 11]
    assert better["period_count"].tolist() == [154, 154]
    assert better.loc["profile", "covered_share"] > 0.9
    growing = [count for week in range(26) for count in [int(1.3**week)] * 7]
    worse = workload_evaluation_table(pd.DataFrame(opened(growing)), as_of="2024-07-01", horizon="7d")
    assert worse["verdict"][0] == "worse than last week"
    assert worse["mean_error_count"][0] < 0


def test_bounds_are_judged_where_they_had_not_looked():
    """The last week is five times as busy: its six days with tickets lie beyond what the errors before allow."""
    data = pd.DataFrame(opened(WEEK * 25 + [5 * count for count in WEEK]))
    table = workload_evaluation_table(data, as_of="2024-07-01", horizon="7d", history="42d")
    assert table["covered_share"][0] == pytest.approx(1 - 6 / (3 * 7))


def test_real_incidents_are_forecast_better_than_by_last_week(shared_data):
    log = pd.read_parquet(shared_data / "support_incidents.parquet", columns=["number", "opened_at"])
    tickets = log.drop_duplicates("number").rename(columns={"number": "ticket_id"})
    for period in ("day", "hour"):
        table = workload_evaluation_table(tickets, as_of="2016-05-23", period=period, horizon="7d").set_index("method")
        assert table.loc["profile", "error_ratio"] < 0.75
        assert table.loc["profile", "covered_share"] > {"day": 0.9, "hour": 0.94}[period]


def test_real_complaints_with_few_weeks(shared_data):
    log = pd.read_parquet(shared_data / "cfpb_complaints.parquet", columns=["Date received"])
    tickets = pd.DataFrame({"ticket_id": range(len(log)), "opened_at": pd.to_datetime(log["Date received"])})
    table = workload_evaluation_table(tickets, as_of="2016-02-29", history="56d", horizon="7d")
    assert table["origin_count"].tolist() == [5, 5]
    assert table["error_ratio"][0] < 1


@given(age=st.lists(st.integers(-3, 60), max_size=40), weeks=st.integers(1, 8))
def test_no_ticket_of_the_weeks_is_lost(age, weeks):
    counts = weekly_counts(np.array(age, np.int64), weeks, 7)
    inside = [one for one in age if 0 <= one < 7 * weeks]
    assert counts.sum() == len(inside)
    assert counts[-1, -1] == age.count(0)
    assert counts[0, 0] == age.count(7 * weeks - 1)


def test_bounds_are_those_of_the_distributions_in_the_tables():
    assert [bound.tolist() for bound in count_bounds(np.array([10.0]), 0.0, 0.95)] == [[4], [17]]  # Poisson's
    low, high = count_bounds(np.array([10.0]), 0.5, 0.95)  # negative binomial, size 2, p 1/6
    below = [(size + 1) * (1 / 6) ** 2 * (5 / 6) ** size for size in range(60)]
    assert (low[0], high[0]) == tuple(int(np.searchsorted(np.cumsum(below), tail)) for tail in (0.025, 0.975))


# -- Erlang --------------------------------------------------------------------------------------------------------


def hours(counts, **more):
    start = pd.date_range(MONDAY, periods=len(counts), freq="h")
    return pd.DataFrame({"period_start": start, "period_end": start + pd.Timedelta(hours=1),
                         "expected_count": [float(count) for count in counts], **more})  # fmt: skip


def test_the_worked_examples_of_the_trade():
    row = staffing_table(hours([200]), handling_time="3m").iloc[0]  # Call Centre Helper, "Erlang C formula"
    assert row["agent_count"] == 14
    assert row["load_erlangs"] == pytest.approx(10)
    assert row["wait_probability"] == pytest.approx(0.174, abs=5e-4)
    assert row["answered_within_share"] == pytest.approx(0.888, abs=5e-4)
    assert row["mean_wait_seconds"] == pytest.approx(7.8, abs=0.05)
    assert row["occupancy_share"] == pytest.approx(0.714, abs=5e-4)
    found = agents_needed(np.array([48.0]), 240, 15, 0.84)  # 360 calls in half an hour, of four minutes: 55 agents
    assert found.agents[0] == 55
    assert found.waits[0] == pytest.approx(0.239, abs=5e-4)
    assert found.mean_wait[0] == pytest.approx(8.2, abs=0.05)


@given(load=st.fractions(Fraction(1, 10), 12, max_denominator=10), share=st.sampled_from([0.5, 0.8, 0.95]))
def test_erlangs_formula_as_it_is_written(load, share):
    """``A^n/n! n/(n-A) / (sum of A^k/k! + A^n/n! n/(n-A))``, in fractions; one agent fewer misses the target."""
    found = agents_needed(np.array([float(load)]), 300.0, 30.0, share)

    def waits(agents):
        if agents <= load:
            return Fraction(1)
        last = load**agents / factorial(agents) * Fraction(agents) / (agents - load)
        return last / (sum(load**k / factorial(k) for k in range(agents)) + last)

    agents = int(found.agents[0])
    assert found.waits[0] == pytest.approx(float(waits(agents)), rel=1e-10)
    assert 1 - float(waits(agents)) * np.exp(-(agents - float(load)) / 10) >= share - 1e-12
    fewer = agents - 1
    assert fewer <= load or 1 - float(waits(fewer)) * np.exp(-(fewer - float(load)) / 10) < share + 1e-12


def test_quiet_hours_need_nobody_and_busy_ones_more(frame):
    table = staffing_table(
        frame(hours([0, 30, 200], expected_count_high=[2.0, 50.0, 300.0]).to_dict("list")), handling_time="3m"
    )
    rows = to_pandas(table)
    assert rows["agent_count"].tolist() == [0, 4, 14]
    assert rows["answered_within_share"][0] == 1
    assert rows["occupancy_share"].isna().tolist() == [True, False, False]
    assert (rows["agent_count_high"] > rows["agent_count"]).all()


def test_says_what_it_does_not_understand():
    data = pd.DataFrame(opened(WEEK * 5))
    with pytest.raises(
        SchemaError, match=r"9 whole weeks of tickets before as_of are needed.*forecast of 14 days.*got 5"
    ):
        workload_table(data, as_of="2024-02-05")
    with pytest.raises(SchemaError, match=r"period must be one of \['day', 'hour'\], got 'week'"):
        workload_table(data, as_of="2024-02-05", period="week")
    with pytest.raises(SchemaError, match="got 0"):
        workload_table(data, as_of="2023-02-05")
    with pytest.raises(MissingColumnsError, match=r'needs the result of workload_table\(..., period="hour"\)'):
        staffing_table(data, handling_time="3m")


def test_the_pictures_show_what_is_in_the_tables():
    import matplotlib.pyplot as plt

    table = workload_table(pd.DataFrame(opened(WEEK * 10)), as_of="2024-03-11", horizon="7d")
    ax = plot_workload(table)
    assert ax.get_ylabel() == "Tickets a day"
    assert ax.lines[0].get_ydata().tolist() == pytest.approx([*WEEK, WEEK[-1]])
    assert ax.lines[1].get_ydata().tolist() == WEEK
    few = pd.DataFrame(opened(([0] * 11 + [1] + [0] * 12) * 70, freq="h"))
    ax = plot_workload(workload_table(few, as_of="2024-03-11", period="hour", horizon="1d"))
    assert ax.get_ylabel() == "Tickets an hour"
    assert all(float(tick).is_integer() for tick in ax.get_yticks())
    ax = plot_staffing(staffing_table(hours([0, 30, 200]), handling_time="3m"))
    assert ax.lines[0].get_ydata().tolist() == [0, 4, 14, 14]
    plt.close("all")


def test_an_export_that_ended_is_no_forecast_of_silence():
    lines = noisy()
    late = lines["opened_at"].max() + pd.Timedelta(days=20)
    for forecast in (workload_table, workload_evaluation_table):
        with pytest.raises(SchemaError, match=r"the last ticket is of 2024-06-30, and .* none in its last week"):
            forecast(lines, as_of=late)
    with pytest.raises(SchemaError, match=r"and 0\.0 a week came in the history"):
        workload_table(lines, as_of=lines["opened_at"].max() + pd.Timedelta(days=400))


def test_a_silence_longer_than_usual_is_told():
    data = noisy()
    short = data[data["opened_at"] < "2024-06-28"]  # no Friday, Saturday, Sunday: thirty usually come
    caution = workload_table(short, as_of="2024-07-01")["caution"]
    assert caution.str.match(
        r"No ticket since 2024-06-27, in which time (28|29|30|31)\.\d usually come: the export may"
    ).all()
    last = pd.DataFrame({"ticket_id": [-1], "opened_at": [pd.Timestamp("2024-07-01 08:00")]})
    for fresh in (data, pd.concat([short, last])):
        assert workload_table(fresh, as_of="2024-07-01 09:00")["caution"].isna().all()
    weekend = workload_table(pd.DataFrame(opened(WEEK * 9 + WEEK[:6])), as_of="2024-03-10")["caution"]
    assert weekend.str.startswith("In the back-test").all()  # Saturdays are always silent


def test_a_day_that_was_never_seen_may_come_while_few_weeks_are_known():
    for weeks, most in ((10, 1), (30, 0)):  # half a ticket in ten weeks, or in 26: one comes in 4.9 % and in 1.9 %
        data = pd.DataFrame(opened(WEEK * weeks))
        table = workload_table(data, as_of=MONDAY + pd.Timedelta(weeks=weeks), horizon="7d")
        assert table["expected_count_high"][5] == most


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"period_end": MONDAY + pd.Timedelta(days=1)}, 'an hour or shorter.* 2024-01-02T00:00:00.*period="hour"'),
        ({"period_end": pd.NaT}, "every period needs a start and an end, got 2024-01-01T00:00:00 to NaT"),
        ({"period_end": MONDAY - pd.Timedelta(days=1)}, "end after they start, got .* to 2023-12-31"),
        (
            {"period_start": MONDAY, "period_end": MONDAY + pd.Timedelta(hours=1)},
            "must not overlap, one line of customers at a time, got 2024-01-01T00:00:00 to",
        ),
        ({"period_start": "2024-01-01"}, "period_start must be moments without a time zone.*got String"),
        ({"period_end": MONDAY.tz_localize("UTC")}, "period_end must be moments without a time zone.*UTC"),
        ({"expected_count": [3, -1]}, "numbers of tickets must be zero or more, got -1"),
        ({"expected_count": ["3", "many"]}, "expected_count must be numbers, got '3'"),
        ({"expected_count": [3, None]}, "expected_count is missing in 1 of 2 rows"),
        ({"expected_count_high": [3, np.inf]}, "expected_count_high is infinite in 1 rows"),
    ],
)
def test_only_hours_one_after_the_other_are_staffed(changed, words):
    with pytest.raises(SchemaError, match=words):
        staffing_table(hours([3, 4]).assign(**changed), handling_time="3m")


def test_a_load_no_centre_has_is_refused():
    hour = pd.DataFrame({"period_start": [MONDAY], "period_end": [MONDAY + pd.Timedelta(hours=1)]})
    with pytest.raises(SchemaError, match=r"10,000,000 agents would be busy all the time.*Check expected_count"):
        staffing_table(hour.assign(expected_count=2e8), handling_time="3m")
