"""What scoreboard_table promises: shares and words by hand, nothing read too late, no objective that is not SMART."""

import datetime as dt

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics.campaigns.planning.scoreboard import scoreboard_table
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

OBJECTIVES = {
    "metric": ["orders", "churn rate", "revenue", "visits", "leads"],
    "baseline": [1000.0, 0.05, 10.0, 0.0, 5.0],
    "target": [1200.0, 0.04, 20.0, 8.0, 6.0],
    "started_at": [dt.datetime(2024, 1, 1)] * 2 + [None, dt.datetime(2024, 8, 1), dt.datetime(2024, 1, 1)],
    "due": [dt.datetime(2024, 12, 31)] * 3 + [dt.datetime(2024, 12, 31), dt.datetime(2024, 6, 30)],
}
ACTUALS = {"orders": 1050.0, "churn rate": 0.045, "revenue": 12.0, "visits": 1.0, "leads": 5.5}
JULY = dt.datetime(2024, 7, 1)  # 182 of the 366 days of 2024 are over


def board(objectives, actuals=None, *, as_of=JULY, **more):
    table = scoreboard_table(make_frame(objectives | more, "pandas"), actuals, as_of=as_of)
    return table.set_index("metric")


def one(as_of=JULY, actuals=None, **more):
    objective = {"metric": ["sales"], "baseline": [100.0], "target": [200.0], "due": ["2024-12-31"]}
    return board(objective | {name: [value] for name, value in more.items()}, actuals, as_of=as_of).iloc[0]


def test_shares_and_words_by_hand_on_every_frame(frame):
    objectives = frame(OBJECTIVES | {"owner": ["Ann", "Bob", "Ann", "Ann", "Bob"]})
    table = scoreboard_table(objectives, ACTUALS, as_of=JULY)
    assert type(table) is type(objectives)
    due, half = dt.datetime(2024, 12, 31), pytest.approx(182 / 366)
    assert records(table) == [
        ("churn rate", "Bob", 0.05, 0.04, 0.045, None, due, pytest.approx(0.5), half, 184, pytest.approx(-0.005),
         "on track"),
        ("leads", "Bob", 5.0, 6.0, 5.5, None, dt.datetime(2024, 6, 30), 0.5, 1.0, 0, 0.5, "missed"),
        ("orders", "Ann", 1000.0, 1200.0, 1050.0, None, due, 0.25, half, 184, 150.0, "behind"),
        ("revenue", "Ann", 10.0, 20.0, 12.0, None, due, 0.2, None, 184, 8.0, "under way"),
        ("visits", "Ann", 0.0, 8.0, 1.0, None, due, 0.125, 0.0, 184, 7.0, "not started"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("actual", "as_of", "status"),
    [
        (200.0, "2024-07-01", "reached"),
        (250.0, "2025-07-01", "reached"),
        (199.9, "2025-01-01", "missed"),  # the due day is over
        (199.0, "2024-12-31", "behind"),  # its last day
        (149.0, "2024-07-01", "behind"),
        (149.8, "2024-07-01", "on track"),
        (150.0, "2024-07-02", "on track"),  # half of the way in half of the time
        (90.0, "2024-07-01", "behind"),
        (None, "2024-07-01", "not measured"),
        (None, "2025-07-01", "not measured"),
        (None, "2023-07-01", "not started"),
        (200.0, "2023-07-01", "reached"),
    ],
)
def test_every_status(actual, as_of, status):
    row = one(as_of, started_at="2024-01-01", actual=actual)
    assert row["status"] == status
    assert pd.isna(row["progress_share"]) == (actual is None)


def test_days_left_count_the_due_day():
    days = ("2024-12-30", "2024-12-31", "2025-01-01", "2025-01-03")
    assert [one(as_of, {"sales": 1})["days_left"] for as_of in days] == [2, 1, 0, -2]


def test_the_last_measurement_in_time_counts_on_every_frame(frame):
    objectives = {"metric": ["sales"], "baseline": [100.0], "target": [200.0], "due": [dt.datetime(2024, 6, 30)],
                  "started_at": [dt.datetime(2024, 1, 1)]}  # fmt: skip
    measured = {
        "metric": ["sales", "sales", "sales", "sales", "cost"],
        "actual": [500.0, 150.0, 120.0, 300.0, 1.0],
        "measured_at": [dt.datetime(2023, 12, 31), dt.datetime(2024, 6, 30, 12), dt.datetime(2024, 3, 1), JULY, JULY],
    }  # before the start; the last; earlier; too late
    table = scoreboard_table(frame(objectives), frame(measured), as_of="2024-08-01")
    assert records(table)[0][3:5] == (150.0, dt.datetime(2024, 6, 30, 12))
    table = scoreboard_table(frame(objectives), frame(measured), as_of=dt.datetime(2024, 6, 30, 12))
    assert records(table)[0][3] == 120.0  # what is measured at as_of is not known yet


def test_what_was_measured_before_the_start_is_no_progress():
    early = pd.DataFrame({"metric": ["sales"], "actual": [150.0], "measured_at": ["2023-12-31"]})
    assert one(actuals=early, started_at="2024-01-01")["status"] == "not measured"
    assert one(actuals=early.assign(measured_at="2024-01-01"), started_at="2024-01-01")["actual"] == 150.0


@given(later=st.lists(st.tuples(st.integers(0, 400), st.floats(-1e6, 1e6)), max_size=5))
def test_measurements_of_the_future_change_nothing(later):
    at = [dt.datetime(2024, 2, 1), *(JULY + dt.timedelta(days=days) for days, _ in later)]
    actuals = pd.DataFrame({"metric": "sales", "actual": [120.0, *(value for _, value in later)], "measured_at": at})
    pd.testing.assert_series_equal(one(actuals=actuals), one(actuals=actuals[:1]))


@given(
    baseline=st.floats(-1e3, 1e3), way=st.floats(0.01, 1e3), sign=st.sampled_from([-1, 1]), share=st.floats(-2, 3),
)  # fmt: skip
def test_progress_is_the_share_of_the_way_whichever_way_it_goes(baseline, way, sign, share):
    target, actual = baseline + sign * way, baseline + sign * way * share
    row = one(baseline=baseline, target=target, actual=actual)
    assert row["progress_share"] == pytest.approx(share, abs=1e-6)
    assert row["gap"] == pytest.approx(target - actual)


def test_objectives_of_several_campaigns_keep_their_ids(frame):
    objectives = frame({"metric": ["sales"] * 2, "campaign_id": [2, 1], "baseline": [1.0, 1.0], "target": [2.0, 3.0],
                        "due": [dt.date(2024, 12, 31)] * 2})  # fmt: skip
    actuals = frame({"metric": ["sales"] * 2, "campaign_id": [1, 2], "actual": [2.0, 1.5]})
    table = scoreboard_table(objectives, actuals, as_of=JULY)
    assert [(row[0], row[6]) for row in records(table)] == [
        (1, dt.datetime(2024, 12, 31)),
        (2, dt.datetime(2024, 12, 31)),
    ]
    assert [row[4] for row in records(table)] == [2.0, 1.5]


def test_the_order_of_rows_changes_nothing():
    rows = pd.DataFrame(OBJECTIVES)
    pd.testing.assert_frame_equal(
        scoreboard_table(rows, ACTUALS, as_of=JULY), scoreboard_table(rows[::-1], ACTUALS, as_of=JULY)
    )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"metric": None}, "row 1 is not specific: it names no metric"),
        ({"target": None}, "'sales' is not measurable: its target is no number"),
        ({"baseline": "many"}, "'sales' is not measurable: its baseline is no number"),
        ({"target": float("inf")}, "'sales' is not measurable: its target is no number"),
        ({"target": 100.0}, "'sales' is not measurable: target and baseline are both 100, so nothing can change"),
        ({"owner": None}, "'sales' is not assignable: it has no owner"),
        ({"due": None}, "'sales' is not time-bound: it has no day on which it is due"),
        ({"started_at": "2025-01-01"}, "'sales' is not time-bound: it is due on 2024-12-31, before it starts"),
        ({"due": "soon"}, "scoreboard_table: due must be a date such as due=\"2011-12-10\", got 'soon'"),
    ],
)
def test_an_objective_that_is_not_smart_is_refused(wrong, words):
    with pytest.raises(SchemaError, match=words):
        one(**wrong)


@pytest.mark.parametrize(
    ("ids", "measured", "words"),
    [
        ([1, "a"], None, "campaign_id is Int64 and String in objectives. Give all the same kind"),
        ([1, 2], ["1", "2"], "campaign_id is Int64 in objectives, String in actuals"),
        (["1", "2"], [1, None], "campaign_id is String in objectives, Int64 in actuals"),
        (["1", "2"], [1, "2"], "campaign_id is String in objectives, Int64 and String in actuals"),
    ],
)
def test_campaigns_are_numbers_or_text_throughout(ids, measured, words):
    objectives = {"metric": ["sales"] * 2, "baseline": [1, 1], "target": [2, 3], "due": ["2024-12-31"] * 2}
    actuals = None if measured is None else pd.DataFrame({"metric": "sales", "campaign_id": measured, "actual": 1.5})
    with pytest.raises(SchemaError, match=f"scoreboard_table: {words}"):
        board(objectives, actuals, campaign_id=ids)


def test_other_refusals():
    with pytest.raises(SchemaError, match=r"'sales' is not specific: it comes more than once.*SMART"):
        board({"metric": ["sales"] * 2, "baseline": [1, 1], "target": [2, 3], "due": ["2024-12-31"] * 2})
    with pytest.raises(SchemaError, match="objectives has no rows"):
        board({"metric": [], "baseline": [], "target": [], "due": []})
    with pytest.raises(MissingColumnsError, match=r"scoreboard_table needs the columns \['due'\].*Columns:"):
        board({"metric": ["sales"], "baseline": [1], "target": [2]})
    with pytest.raises(SchemaError, match="column 'actual', and actuals is given too"):
        one(actual=1.0, actuals={"sales": 1.0})
    with pytest.raises(SchemaError, match=r"none of the metrics \['sales'\], such as 'sale'. Did you mean 'sales'"):
        one(actuals={"sale": 1.0})
    with pytest.raises(SchemaError, match="actuals must be numbers by metric, got 'much' of 'sales'"):
        one(actuals={"sales": "much"})
    with pytest.raises(SchemaError, match="'sales' was measured 2 times, and not every time is told"):
        one(actuals=pd.DataFrame({"metric": ["sales"] * 2, "actual": [1.0, 2.0]}))
