"""What the watchlist promises: who is warned of by hand, what is kept across runs, what is refused, and real runs."""

import datetime as dt
import io
from functools import cache

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from crmlytics import Transactions
from crmlytics.churn._watch import COLUMNS
from crmlytics.churn._watch_plots import plot_lost, plot_watch_movement
from crmlytics.churn.losses import lost_table, watch_movement_table
from crmlytics.churn.recording import confirm_lost, defer, reopen
from crmlytics.churn.watching import watchlist
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.sequences import due_table
from crmlytics.testing import make_frame, records

mpl.use("Agg")
START = dt.datetime(2024, 1, 1)
# a every week and then no more; b once; c every month, and is here; d long ago
DAYS = {"a": [0, 7, 14, 21, 28, 35], "b": [20], "c": [0, 30, 60, 90, 119], "d": [-500]}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Fits are tiny here: on a busy machine threads of BLAS wait for each other ten times longer than they work."""
    with threadpool_limits(1, user_api="blas"):
        yield


def day(number):
    return START + dt.timedelta(days=number)


def orders(days=DAYS, **more):
    lines = [(who, day(number)) for who in days for number in days[who]]
    table = {"customer_id": [who for who, _ in lines], "timestamp": [moment for _, moment in lines]}
    return table | {"amount": [10.0] * len(lines)} | more


def watch(days=DAYS, as_of=120, **options):
    options = {"silent_for": "90d", **options}
    return watchlist(make_frame(orders(days), "pandas"), as_of=day(as_of), **options)


def cells(table, *columns):
    """Return some columns of a watchlist of any kind."""
    places = [list(COLUMNS).index(name) for name in columns]
    return [tuple(row[place] for place in places) for row in records(table)]


def shown(table, *columns):
    return [tuple(row) for row in records(table[list(columns)] if isinstance(table, pd.DataFrame) else table)]


# -- who is warned of ----------------------------------------------------------------------------------------------


def test_two_rules_by_hand_on_every_frame(frame):
    sales = frame(orders())
    table = watchlist(sales, as_of=day(120), silent_for="90d")
    assert type(table) is type(sales)
    found = ("customer_id", "state", "priority", "last_order_at", "silent_days", "rule", "purchase_count",
             "tenure_days", "total_amount", "at_stake_amount")  # fmt: skip
    assert cells(table, *found) == [
        ("a", "warned", 1, day(35), 85, "own interval", 6, 35, 60.0, 60.0),
        ("b", "warned", 2, day(20), 100, "fixed period", 1, 0, 10.0, 10.0),  # d was silent for more than a year
    ]


def test_dates_and_ids_come_out_typed_also_where_empty(frame):
    ids = {"a": 1, "b": 2, "c": 3, "d": 4}
    sales = orders() | {"customer_id": [ids[who] for who in orders()["customer_id"]]}
    table = watchlist(frame(sales), as_of=day(120), silent_for="90d")
    assert cells(table, "customer_id", "warned_at", "as_of", "is_new")[0] == (1, day(120), day(120), True)
    empty = ("last_product", "segment", "measure", "measure_reason", "measure_at", "earlier_measures", "deferred_until",
             "lost_at", "lost_reason", "won_back_at", "dropped_at")  # fmt: skip
    assert cells(table, *empty)[0] == (None,) * 11
    assert cells(table, "measure_count")[0] == (0,)
    nobody = watchlist(frame(sales), as_of=day(120), silent_for=None, overdue_factor=1000.0)
    assert records(nobody) == []


@pytest.mark.parametrize(("silent_for", "listed"), [("99d", ["b"]), ("100d", [])])
def test_the_fixed_period_is_passed_only_by_more_days(silent_for, listed):
    assert watch(silent_for=silent_for, overdue_factor=None).customer_id.tolist() == listed


def test_the_usual_interval_is_that_of_overdue_table():
    sales = make_frame(orders(), "pandas")
    usual = due_table(sales, as_of=day(120), horizon="30d").set_index("customer_id").usual_interval_days
    table = watch().set_index("customer_id")
    np.testing.assert_allclose(table.usual_interval_days, usual[table.index])
    assert 7 < usual["a"] < 14
    factor = 85 / usual["a"]  # a was silent for 85 days
    assert "a" in watch(overdue_factor=factor * 0.99).customer_id.tolist()
    assert "a" not in watch(overdue_factor=factor * 1.01).customer_id.tolist()


def test_a_habit_takes_enough_purchases():
    assert "a" in watch(min_purchase_count=6).customer_id.tolist()
    assert "a" not in watch(min_purchase_count=7).customer_id.tolist()


def test_nobody_is_warned_of_within_a_week():
    daily = {"a": list(range(30)), "c": [*range(30), 36]}
    assert watch(daily, as_of=36, overdue_factor=1.0).empty  # a: 7 days
    assert watch(daily, as_of=37, overdue_factor=1.0).customer_id.tolist() == ["a"]


def test_who_left_long_ago_is_put_on_the_list_only_if_asked():
    assert watch(active_within=None).customer_id.tolist() == ["a", "b", "d"]


def test_a_credit_note_is_no_order_and_its_amount_counts():
    returned = pd.DataFrame({"customer_id": ["b"], "timestamp": [day(110)], "amount": [-4.0]})
    table = watchlist(pd.concat([make_frame(orders(), "pandas"), returned]), as_of=day(120), silent_for="90d")
    assert table.set_index("customer_id").loc["b", ["silent_days", "at_stake_amount"]].tolist() == [100, 6.0]


def test_what_is_at_stake_is_the_year_up_to_the_last_order():
    table = watch({"a": [0, 1, 365, 366], "c": [500]}, as_of=501, overdue_factor=None)
    assert table[["total_amount", "at_stake_amount", "tenure_days"]].to_numpy().tolist() == [[40.0, 20.0, 366.0]]


def test_the_last_product_is_the_most_valuable_of_the_last_day(frame):
    sales = {"customer_id": ["a"] * 4 + ["c"], "timestamp": [day(0), day(9), day(9), day(9), day(119)],
             "amount": [99.0, 5.0, 4.0, 4.0, 1.0], "product_id": [1, 2, 3, 3, 4]}  # fmt: skip
    assert cells(watchlist(frame(sales), as_of=day(120), silent_for="90d"), "last_product") == [("3",)]


def test_segments_are_told():
    segments = make_frame({"customer_id": ["a", "b"], "segment": ["gold", None]}, "pandas")
    assert watch(segments=segments).segment.fillna("none").tolist() == ["gold", "none"]


@settings(max_examples=8)
@given(more=st.lists(st.tuples(st.sampled_from("abcxyz"), st.integers(120, 900)), max_size=10))
def test_the_future_changes_nothing(more):
    poisoned = {who: [*days, *(at for name, at in more if name == who)] for who, days in DAYS.items()}
    poisoned |= {who: [at for name, at in more if name == who] for who in "xyz"}
    pd.testing.assert_frame_equal(watch(poisoned), watch())


def test_the_order_of_lines_changes_nothing():
    sales = make_frame(orders(), "pandas")
    expected = watchlist(sales, as_of=day(120), silent_for="90d")
    pd.testing.assert_frame_equal(watchlist(sales[::-1], as_of=day(120), silent_for="90d"), expected)


# -- across runs ---------------------------------------------------------------------------------------------------


def test_the_states_of_a_warning_one_after_the_other():
    first = watch()
    called = defer(first, "a", measure="called", reason="price", on=day(121), until=day(140))
    assert shown(called, "customer_id", "state", "priority") == [("a", "deferred", 2), ("b", "warned", 1)]
    assert shown(watch(as_of=130, previous=called), "state") == [("deferred",), ("warned",)]
    again = watch(as_of=140, previous=called)  # the deferral is over, what was tried stays
    assert shown(again, "customer_id", "state", "priority", "silent_days", "measure")[0] == (
        "a", "warned", 1, 105, "called")  # fmt: skip
    lost = confirm_lost(again, "a", reason="moved", on=day(141))
    assert shown(lost, "state", "lost_at", "lost_reason")[0] == ("lost", day(141), "moved")
    back = watch(DAYS | {"a": [*DAYS["a"], 150, 155]}, as_of=160, previous=lost)
    assert shown(back, "state", "won_back_at", "silent_days", "lost_at")[0] == ("won back", day(150), 115, day(141))


def test_whoever_falls_silent_again_is_a_warning_of_its_own():
    comes_back = DAYS | {"a": [*DAYS["a"], 150]}
    table = watch(comes_back, as_of=300, previous=watch(), overdue_factor=None, silent_for="80d")
    kept = table[table.customer_id == "a"]
    assert shown(kept, "warned_at", "warning_count", "state", "silent_days", "purchase_count") == [
        (day(120), 1, "won back", 115, 6),
        (day(300), 2, "warned", 150, 7),
    ]


@settings(max_examples=15)
@given(
    days=st.dictionaries(st.sampled_from("abcdefg"), st.lists(st.integers(0, 299), min_size=1, max_size=9), min_size=1),
    runs=st.lists(st.integers(30, 300), min_size=1, max_size=3).map(sorted),
)
def test_runs_agree_with_a_walk_through_the_days(days, runs):
    """The fixed rule alone, by brute force; and the same run again changes nothing."""
    rule = {"overdue_factor": None, "silent_for": "20d", "active_within": "60d"}
    days = days | {"z": list(range(0, 300, 7))}  # somebody is always there
    table, expected = None, {}
    for run in runs:
        table = watch(days, as_of=run, previous=table, **rule)
        for who, bought in days.items():
            known = sorted(at for at in set(bought) if at < run)
            warnings = expected.setdefault(who, [])
            if warnings and warnings[-1][2] is None:
                later = [at for at in known if at > warnings[-1][1]]
                warnings[-1][2] = later[0] if later else None
            closed = not warnings or warnings[-1][2] is not None
            if known and closed and 20 < run - known[-1] <= 60:
                warnings.append([run, known[-1], None])
    pd.testing.assert_frame_equal(watch(days, as_of=runs[-1], previous=table, **rule), table)
    found = shown(table, "customer_id", "warned_at", "last_order_at", "won_back_at")
    assert found == [
        (who, day(warned), day(last), None if back is None else day(back))
        for who in sorted(expected)
        for warned, last, back in expected[who]
    ]


def test_a_customer_who_is_no_longer_in_the_data_stays_on_the_list():
    kept = watch(as_of=121, previous=watch())
    without = watch({"b": [20], "c": DAYS["c"]}, as_of=121, previous=watch())
    assert without.customer_id.tolist() == kept.customer_id.tolist() == ["a", "b"]
    assert without.silent_days.tolist() == [86, 101]


def as_csv(table, **options):
    return pd.read_csv(io.StringIO(table.to_csv(index=False)), **options)


@pytest.mark.parametrize("kind", ["pandas", "polars", "duckdb"])
def test_the_kept_table_may_have_been_a_file_in_between(kind):
    kept = defer(watch(), ["a"], measure="called", reason="price", on=day(121))
    expected = watch(as_of=130, previous=kept)
    for previous in (as_csv(kept, dtype=str), make_frame(as_csv(kept).to_dict("list"), kind)):
        pd.testing.assert_frame_equal(watch(as_of=130, previous=previous), expected)


def test_ids_that_a_file_made_text_are_whole_numbers_again_and_lost_zeros_are_told():
    numbers = make_frame(orders({1: [0], 2: [100]}), "pandas")
    kept = watchlist(numbers, as_of=day(120), silent_for="90d")
    again = watchlist(numbers, as_of=day(120), silent_for="90d", previous=as_csv(kept, dtype=str))
    pd.testing.assert_frame_equal(again, kept)
    zeros = make_frame(orders({"007": [0], "008": [100]}), "pandas")
    kept = watchlist(zeros, as_of=day(120), silent_for="90d")
    with pytest.raises(SchemaError, match=r"whole numbers such as 7 in previous and is text.*leading zeros"):
        watchlist(zeros, as_of=day(120), silent_for="90d", previous=as_csv(kept))


def test_what_a_person_filled_in_by_hand_counts():
    kept = watch()
    kept["measure"], kept["measure_reason"], kept["measure_at"] = "called", "price", "2024-05-02"
    assert watch(as_of=130, previous=kept).state.tolist() == ["deferred", "deferred"]


def test_a_column_of_the_teams_own_stays_with_its_warning(frame):
    sales = frame(orders())
    first = watchlist(sales, as_of=day(120), silent_for="90d")
    chosen = dict(zip(COLUMNS, zip(*records(first), strict=True), strict=True))
    given = {"owner": ["Ann", None], "visits": [3, 4], "seen_at": [day(1), None]}
    kept = frame({name: list(values) for name, values in chosen.items() if set(values) != {None}} | given)
    table = watchlist(frame(orders(DAYS | {"c": [0]})), as_of=day(121), silent_for="90d", previous=kept)
    assert [(row[0], *row[len(COLUMNS) :]) for row in records(defer(table, "a", measure="called", reason="x",
            on=day(121)))] == [("a", "Ann", 3, day(1)), ("b", None, 4, None), ("c", None, None, None)]  # fmt: skip
    assert cells(table, "is_new") == [(False,), (False,), (True,)]


def test_a_list_of_before_there_were_such_columns_is_read():
    kept = defer(watch(), "a", measure="called", reason="price", on=day(121))
    old = kept.drop(columns=["is_new", "measure_count", "earlier_measures", "dropped_at", "deferred_until"])
    pd.testing.assert_frame_equal(watch(as_of=121, previous=old), watch(as_of=121, previous=kept))


def test_row_numbers_that_pandas_wrote_are_not_kept():
    kept = pd.read_csv(io.StringIO(watch().to_csv()))
    assert list(watch(as_of=121, previous=kept).columns) == list(COLUMNS)


# -- what is found out later ---------------------------------------------------------------------------------------


def test_a_warning_was_mistaken_if_the_order_before_it_came_late():
    late = DAYS | {"a": [*DAYS["a"], 110]}
    with pytest.warns(DataQualityWarning, match=r"1 warning was mistaken: orders before .* of \['a'\]"):
        table = watch(late, as_of=125, previous=watch())
    assert shown(table, "customer_id", "state", "priority", "won_back_at") == [
        ("a", "mistaken", 2, day(110)), ("b", "warned", 1, None)]  # fmt: skip
    assert records(watch_movement_table(table)) == [
        (dt.datetime(2024, 4, 1), 1, 0, 0, 0, 0, 1), (dt.datetime(2024, 5, 1), 0, 0, 0, 0, 0, 1)]  # fmt: skip
    pd.testing.assert_frame_equal(watch(late, as_of=125, previous=table), table)  # told once
    again = watch(late, as_of=210, previous=table, silent_for="90d")
    assert shown(again[again.customer_id == "a"], "state", "warning_count") == [("mistaken", 1), ("warned", 1)]


def test_a_mistaken_warning_of_the_same_day_is_not_warned_of_twice():
    with pytest.warns(DataQualityWarning, match="mistaken"):
        table = watch(DAYS | {"b": [20, 25]}, previous=watch())  # 25: still silent for more than 90 days
    assert shown(table, "customer_id", "state") == [("a", "warned"), ("b", "mistaken")]
    later = watch(DAYS | {"b": [20, 25]}, as_of=121, previous=table)
    assert shown(later, "customer_id", "state") == [("a", "warned"), ("b", "mistaken"), ("b", "warned")]


@pytest.mark.filterwarnings("ignore::crmlytics.exceptions.DataQualityWarning")
def test_nobody_leaves_a_list_before_they_are_on_it():
    """Of many customers a part of the orders comes a run too late."""
    rng = np.random.default_rng(0)
    days = {f"{who:02}": sorted(rng.integers(0, 300, 5).tolist()) for who in range(60)}
    late = {(who, at) for who in days for at in days[who] if rng.random() < 0.3}
    table = None
    for run in (100, 200, 300):
        known = {who: [at for at in days[who] if run >= at + 100 * ((who, at) in late)] for who in days}
        table = watch(known | {"z": list(range(0, 300, 7))}, as_of=run, previous=table, silent_for="20d")
        movement = watch_movement_table(table)
        assert (movement.open_count >= 0).all()
        assert movement.open_count.iloc[-1] == table.state.isin(["warned", "deferred"]).sum()
    counted = ~table.state.eq("mistaken")
    assert 0 < counted.sum() < len(table)
    assert (table.won_back_at >= table.warned_at)[counted & table.won_back_at.notna()].all()


def test_a_loss_confirmed_after_the_next_order_is_none():
    lost = defer(watch(), ["a", "b"], measure="called", reason="price", on=day(121))
    lost = confirm_lost(lost, ["a", "b"], reason="moved", on=day(140))
    with pytest.warns(DataQualityWarning, match=r"1 loss was confirmed when .* ordered again: \['a'\]"):
        table = watch(DAYS | {"a": [*DAYS["a"], 140], "b": [20, 141]}, as_of=150, previous=lost)
    assert shown(lost_table(table), "lost_count", "won_back_count") == [(1, 1)]  # b: a day later
    assert watch_movement_table(table).lost_count.tolist() == [0, 1]
    assert watch_movement_table(table).open_count.tolist() == [2, 0]


def test_old_warnings_are_dropped_unless_something_runs():
    days = DAYS | {"c": list(range(0, 400, 20))}
    tried = defer(watch(days), "a", measure="called", reason="price", on=day(121), until=day(222))
    assert watch(days, as_of=219, previous=tried, drop_after="100d").state.tolist() == ["deferred", "warned"]
    table = watch(days, as_of=220, previous=tried, drop_after="100d", active_within=None)
    assert shown(table[table.customer_id != "d"], "state", "dropped_at") == [("deferred", None), ("dropped", day(220))]
    later = watch(days, as_of=260, previous=table, drop_after="100d", active_within=None)
    assert shown(later, "customer_id", "state") == [("a", "dropped"), ("b", "dropped"), ("d", "warned")]
    assert watch_movement_table(table).dropped_count.sum() == 1
    assert defer(later, "b", measure="wrote", reason="again", on=day(261)).state.tolist()[1] == "deferred"
    back = watch(days | {"b": [20, 262]}, as_of=270, previous=later, drop_after="100d", active_within=None)
    assert back.state.tolist()[1] == "won back"
    kept = watch(DAYS | {"c": list(range(0, 900, 20))}, as_of=900, previous=tried, drop_after=None)
    assert kept.state.tolist() == ["warned", "warned"]


# -- recording -----------------------------------------------------------------------------------------------------


def test_measures_are_recorded_on_every_frame(frame):
    table = watchlist(frame(orders()), as_of=day(120), silent_for="90d")
    chosen = frame({"customer_id": ["a", "b"]})
    called = defer(table, chosen, measure="called", reason="price", on=day(121))
    lost = confirm_lost(called, ["b"], reason="moved", on=day(122))
    assert type(lost) is type(table)
    assert cells(lost, "state", "measure", "measure_at", "lost_at") == [
        ("deferred", "called", day(121), None),
        ("lost", "called", day(121), day(122)),
    ]
    assert cells(reopen(lost, "b"), "state") == [("deferred",), ("deferred",)]


def test_a_second_measure_keeps_the_first():
    table = defer(watch(), "a", measure="called", reason="price", on=day(121))
    table = defer(table, ["a", "b"], measure="visited", reason="angry", on=day(130))
    table = defer(table, "a", measure="wrote", reason="last try", on=day(130))
    assert cells(table, "measure", "measure_count", "earlier_measures") == [
        ("wrote", 3, "2024-05-01 called (price); 2024-05-10 visited (angry)"), ("visited", 1, None)]  # fmt: skip
    with pytest.raises(SchemaError, match=r"on=2024-05-09 lies before measure_at=2024-05-10 of \['a', 'b'\]"):
        defer(table, ["a", "b"], measure="called", reason="price", on=day(129))


def test_a_measure_without_an_end_waits_for_thirty_days():
    table = defer(watch(), "a", measure="called", reason="price", on=day(121))
    assert cells(table, "deferred_until")[0] == (day(151),)
    by_hand = watch()
    by_hand["measure"], by_hand["measure_reason"], by_hand["measure_at"] = "called", "price", "2024-05-01"
    assert watch(as_of=150, previous=by_hand).state.tolist() == ["deferred", "deferred"]
    later = watch(as_of=151, previous=by_hand, active_within=None)
    assert shown(later, "customer_id", "state", "measure_count")[:2] == [("a", "warned", 1), ("b", "warned", 1)]


def test_ids_of_another_kind_are_read_or_refused():
    numbers = make_frame(orders({1: [0], 2: [5], 3: [100]}), "pandas")
    table = watchlist(numbers, as_of=day(120), silent_for="90d")
    told = {"measure": "called", "reason": "price", "on": day(121)}
    for asked in ("1", 1.0, np.int64(1), ["1"], pd.DataFrame({"customer_id": [1.0]}), pd.Series(["1"])):
        assert defer(table, asked, **told).state.tolist() == ["deferred", "warned"]
    for asked, seen in (("01", "text such as '01'"), (1.5, "whole numbers such as 1.5"), ([1, None], "nothing in some"),
                        (True, "whole numbers such as True")):  # fmt: skip
        with pytest.raises(SchemaError, match=f"customer_id holds {seen}.*in customers and is whole numbers in the li"):
            defer(table, asked, **told)
    zeros = watchlist(make_frame(orders({"007": [0], "008": [100]}), "pandas"), as_of=day(120), silent_for="90d")
    with pytest.raises(SchemaError, match=r"text such as '007' in customers and is whole numbers .*leading zeros"):
        defer(as_csv(zeros), "007", **told)


def test_a_loss_is_refused_while_nothing_was_tried():
    table = defer(watch(), "a", measure="called", reason="price", on=day(121))
    with pytest.raises(SchemaError, match=r"no measure is recorded for \['b'\].*Record it: defer\(watch, \['b'\]"):
        confirm_lost(table, ["a", "b"], reason="moved", on=day(122))


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda t: defer(t, "c", measure="x", reason="y", on=day(121)), r"\['c'\] are not open on the list"),
        (lambda t: defer(t, 1, measure="x", reason="y", on=day(121)), "such as 1 in customers and is text in"),
        (lambda t: defer(t, [], measure="x", reason="y", on=day(121)), "customers names nobody"),
        (lambda t: defer(t, "a", measure=" ", reason="y", on=day(121)), "measure must be a few words"),
        (lambda t: defer(t, "a", measure="x", reason="y", on=day(119)), r"lies before warned_at=2024-04-30 of \['a'\]"),
        (lambda t: defer(t, "a", measure="x", reason="y", on=day(121), until=day(121)), "until must lie after"),
        (lambda t: defer(t, "a", measure="x", reason="y", on="2204-05-01"), "a year after the last run of 2024"),
        (lambda t: defer(t, "a", measure="x", reason="y", on=day(121), until="2204-05-01"), "by a year at most"),
        (lambda t: confirm_lost(t, "b", reason="y", on="2204-05-01"), "Is the year right"),
        (lambda t: confirm_lost(t, "b", reason="y", on=day(120)), r"lies before measure_at=2024-05-01 of \['b'\]"),
        (lambda t: reopen(t, "a"), r"\['a'\] are not lost"),
        (lambda t: defer(t, pd.DataFrame({"id": ["a"]}), measure="x", reason="y", on=day(121)), "'customer_id'"),
        (lambda t: defer(confirm_lost(t, "b", reason="y", on=day(121)), "b", measure="x", reason="y", on=day(122)),
         r"\['b'\] are confirmed as lost already.*reopen"),
    ],
)  # fmt: skip
def test_refuses_what_makes_no_sense(act, message):
    table = defer(watch(), "b", measure="called", reason="price", on=day(121))
    with pytest.raises(SchemaError, match=message):
        act(table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(lost_at=day(121)), r"lost_at without a measure_at for \['a', 'b'\]"),
        (
            lambda t: t.assign(measure="called"),
            r"only some of measure, .* for \['a', 'b'\]. Fill in measure_reason, measure_at there",
        ),
        (lambda t: t.assign(deferred_until=day(121)), r"deferred_until without a measure for \['a', 'b'\]"),
        (
            lambda t: t.assign(measure="x", measure_reason="y", measure_at=day(119)),
            r"measure_at before the warned_at for \['a', 'b'\], such as 2024-04-29 before .*\. Correct measure_at",
        ),
        (
            lambda t: t.assign(measure="x", measure_reason="y", measure_at=day(122), lost_at=day(121), lost_reason="z"),
            "lost_at before the measure_at",
        ),
        (
            lambda t: t.assign(measure="x", measure_reason="y", measure_at=day(122), lost_at=day(122)),
            "Fill in lost_reason there",
        ),
        (
            lambda t: t.assign(measure="x", measure_reason="y", measure_at="2204-05-01"),
            r"measure_at after as_of=2024-05-10 for \['a', 'b'\], such as 2204-05-01\. Correct measure_at of these",
        ),
        (lambda t: t.assign(state="lost"), r"says 'lost' without a lost_at for \['a', 'b'\].*confirm_lost"),
        (lambda t: t.assign(state="gone"), r"holds \['gone'\], expected one of \['warned'"),
        (lambda t: t.assign(last_order_at="31/01/2024"), "'last_order_at' .* holds '31/01/2024', expected dates"),
        (lambda t: t.assign(warning_count=1.5), "'warning_count' .* holds 1.5, expected whole numbers"),
        (lambda t: t.assign(as_of=None), "'as_of' .* has no value in some rows"),
        (lambda t: pd.concat([t, t]), r"open warnings twice for \['a', 'b'\]"),
    ],
)
def test_refuses_a_kept_table_changed_against_the_rules(change, message):
    with pytest.raises(SchemaError, match=message):
        watch(as_of=130, previous=change(watch()))


def test_a_loss_is_refused_where_the_measure_lacks_its_words():
    table = defer(watch(), "a", measure="called", reason="price", on=day(121)).assign(measure=None)
    with pytest.raises(SchemaError, match=r"for \['a'\]. Fill in measure there"):
        confirm_lost(table, "a", reason="moved", on=day(122))


def test_refuses_runs_out_of_order():
    kept = watch()
    with pytest.raises(SchemaError, match=r"is of 2024-04-30, which lies after as_of=2024-04-29. Runs go forward"):
        watch(as_of=119, previous=kept)
    told = defer(kept, "a", measure="called", reason="price", on=day(125))
    with pytest.raises(SchemaError, match=r"a measure_at after as_of=2024-05-04 for \['a'\].*Correct measure_at"):
        watch(as_of=124, previous=told)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"silent_for": None, "overdue_factor": None}, "no rule is left"),
        ({"overdue_factor": 0.5}, "overdue_factor must be 1 or more"),
        ({"active_within": "90d"}, "active_within='90d' leaves out"),
        ({"silent_for": "3 months"}, "silent_for must be a duration"),
        ({"as_of": -600}, "nobody bought anything before as_of"),
    ],
)
def test_refuses_rules_that_cannot_be(options, message):
    with pytest.raises(SchemaError, match=message):
        watch(**options)


def test_tells_what_is_no_watchlist():
    with pytest.raises(MissingColumnsError, match=r"needs the columns \['warned_at'"):
        lost_table(pd.DataFrame({"customer_id": ["a"]}))


def test_tells_when_the_data_end_before_as_of():
    with pytest.warns(DataQualityWarning, match='nobody bought anything in the last 81 days.*as_of="2024-04-30"'):
        watch({"a": [0, 60], "c": [119]}, as_of=201)


# -- losses --------------------------------------------------------------------------------------------------------


@cache
def losses():
    """Four losses: a and b for the price, of whom a comes back; c moved; e without a segment."""
    days = {"a": [0, 10], "b": [5], "c": [9], "e": [1], "z": [*range(0, 300, 7)]}
    sales = orders(days)
    sales["amount"] = [{"a": 20.0, "b": 10.0, "c": 40.0, "e": 10.0, "z": 1.0}[who] for who in sales["customer_id"]]
    sales = make_frame(sales, "pandas")
    segments = make_frame({"customer_id": ["a", "b", "c"], "segment": ["gold", "gold", "blue"]}, "pandas")
    table = watchlist(sales, as_of=day(120), silent_for="90d", overdue_factor=None, segments=segments)
    table = defer(table, table, measure="called", reason="silent", on=day(120))
    for who, reason, on in (("a", "price", 130), ("b", "price", 160), ("c", "moved", 160), ("e", "price", 161)):
        table = confirm_lost(table, who, reason=reason, on=day(on))
    more = pd.concat([sales, pd.DataFrame({"customer_id": ["a"], "timestamp": [day(170)], "amount": [5.0]})])
    return watchlist(more, as_of=day(185), silent_for="90d", overdue_factor=None, previous=table)


def test_losses_by_hand(kind):
    table = lost_table(make_frame(losses().astype(object).where(losses().notna(), None).to_dict("list"), kind))
    assert records(table) == [
        ("blue", 1, 0.25, 40.0, 0.4, 0.0, 151.0, 0, 0.0),
        ("gold", 2, 0.5, 50.0, 0.5, 5.0, 137.5, 1, 0.5),  # a lost after 120 days, b after 155; tenures of 10 and 0
        (None, 1, 0.25, 10.0, 0.1, 0.0, 160.0, 0, 0.0),
    ]


def test_losses_by_several():
    table = lost_table(losses(), by=["lost_reason", "segment"])
    assert shown(table, "lost_reason", "segment", "lost_count") == [
        ("moved", "blue", 1), ("price", "gold", 2), ("price", None, 1)]  # fmt: skip
    assert table.lost_share.sum() == table.lost_amount_share.sum() == 1.0


def test_a_list_without_losses_is_an_empty_table():
    table = lost_table(watch())
    assert records(table) == []
    assert [str(kind) for kind in table.dtypes][1:3] == ["int64", "float64"]


def test_refuses_another_by():
    with pytest.raises(SchemaError, match=r"by must be one of .*got 'segmnt'. Did you mean 'segment'\?"):
        lost_table(watch(), by="segmnt")
    with pytest.raises(SchemaError, match="each once"):
        lost_table(watch(), by=["segment", "segment"])


def test_movements_by_hand_with_months_in_which_nothing_happens():
    assert records(watch_movement_table(losses())) == [
        (dt.datetime(2024, 4, 1), 4, 4, 0, 0, 0, 4),  # day 120 is the last of April
        (dt.datetime(2024, 5, 1), 0, 0, 1, 0, 0, 3),
        (dt.datetime(2024, 6, 1), 0, 0, 3, 1, 0, 0),  # a comes back on 19 June
        (dt.datetime(2024, 7, 1), 0, 0, 0, 0, 0, 0),
    ]


def test_pictures_draw_the_tables():
    ax = plot_lost(lost_table(losses(), by="segment"))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["not known", "blue", "gold"]
    assert [text.get_text().strip() for text in ax.texts] == ["1 lost", "1 lost", "2 lost, 1 came back"]
    ax = plot_watch_movement(watch_movement_table(losses()))
    assert [bar.get_height() for bar in ax.containers[0]] == [4, 0, 0, 0]
    assert ax.lines[0].get_ydata().tolist() == [4, 3, 0, 0]
    with pytest.raises(MissingColumnsError, match=r"plot_lost needs the columns .*lost_table\(watch\)"):
        plot_lost(watch())
    mpl.pyplot.close("all")


# -- real data -----------------------------------------------------------------------------------------------------


def test_online_retail_three_month_ends(shared_data):
    """Warned in September, won back in October: the runs tell the story that the orders tell."""
    data = pd.read_parquet(shared_data / "online_retail.parquet")
    data = data[data.CustomerID.notna() & (data.UnitPrice > 0)]
    tx = Transactions(data, customer_id="CustomerID", order_id="InvoiceNo", timestamp="InvoiceDate",
                      product_id="StockCode", quantity="Quantity", unit_price="UnitPrice")  # fmt: skip
    august = watchlist(tx, as_of="2011-09-01")
    september = watchlist(tx, as_of="2011-10-01", previous=august)
    october = watchlist(tx, as_of="2011-11-01", previous=september)
    assert len(august) < len(september) < len(october)
    key = ["customer_id", "warned_at"]
    pd.testing.assert_frame_equal(october[key].merge(august[key]), august[key])  # nothing is forgotten
    back = october[(october.warned_at == "2011-10-01") & (october.state == "won back")]
    assert len(back) > 50
    amount = (data.Quantity * data.UnitPrice).groupby([data.CustomerID, data.InvoiceDate.dt.normalize()]).sum()
    for row in back.itertuples():
        dates = amount[row.customer_id][lambda days: days > 1e-6].index.to_series()  # more bought than returned
        assert row.last_order_at < row.warned_at <= row.won_back_at < pd.Timestamp("2011-11-01")
        assert not dates.between(row.last_order_at, row.warned_at, inclusive="neither").any()
        assert row.won_back_at in set(dates)
    own = october[october.rule == "own interval"]
    assert (own.purchase_count >= 3).all()
    assert (october[october.rule == "fixed period"].silent_days > 180).all()
