"""What the watchlist promises: who is warned of by hand, what is kept across runs, what is refused, and real runs."""

import datetime as dt
import io

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Transactions
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


def day(number):
    return START + dt.timedelta(days=number)


def orders(days=DAYS, **more):
    lines = [(who, day(number)) for who in days for number in days[who]]
    table = {"customer_id": [who for who, _ in lines], "timestamp": [moment for _, moment in lines]}
    return table | {"amount": [10.0] * len(lines)} | more


def watch(days=DAYS, as_of=120, **options):
    options = {"silent_for": "90d", **options}
    return watchlist(make_frame(orders(days), "pandas"), as_of=day(as_of), **options)


def shown(table, *columns):
    return [tuple(row) for row in records(table[list(columns)] if isinstance(table, pd.DataFrame) else table)]


# -- who is warned of ----------------------------------------------------------------------------------------------


def test_two_rules_by_hand_on_every_frame(frame):
    sales = frame(orders())
    table = watchlist(sales, as_of=day(120), silent_for="90d")
    assert type(table) is type(sales)
    found = [(r[0], r[3], r[4], r[5], r[6], r[8], r[9], r[10], r[11], r[12]) for r in records(table)]
    assert found == [
        ("a", "warned", 1, day(35), 85, "own interval", 6, 35, 60.0, 60.0),
        ("b", "warned", 2, day(20), 100, "fixed period", 1, 0, 10.0, 10.0),  # d was silent for more than a year
    ]


def test_dates_and_ids_come_out_typed_also_where_empty(frame):
    ids = {"a": 1, "b": 2, "c": 3, "d": 4}
    sales = orders() | {"customer_id": [ids[who] for who in orders()["customer_id"]]}
    row = records(watchlist(frame(sales), as_of=day(120), silent_for="90d"))[0]
    assert row[0] == 1
    assert row[1] == row[-1] == day(120)
    assert row[13:22] == (None,) * 9  # no product, no segment, nothing done yet
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
    assert [row[13] for row in records(watchlist(frame(sales), as_of=day(120), silent_for="90d"))] == ["3"]


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
    with pytest.raises(SchemaError, match=r"whole numbers such as 7 in previous and is String.*leading zeros"):
        watchlist(zeros, as_of=day(120), silent_for="90d", previous=as_csv(kept))


def test_what_a_person_filled_in_by_hand_counts():
    kept = watch()
    kept["measure"], kept["measure_reason"], kept["measure_at"] = "called", "price", "2024-05-02"
    assert watch(as_of=130, previous=kept).state.tolist() == ["deferred", "deferred"]


# -- recording -----------------------------------------------------------------------------------------------------


def test_measures_are_recorded_on_every_frame(frame):
    table = watchlist(frame(orders()), as_of=day(120), silent_for="90d")
    chosen = frame({"customer_id": ["a", "b"]})
    called = defer(table, chosen, measure="called", reason="price", on=day(121))
    lost = confirm_lost(called, ["b"], reason="moved", on=day(122))
    assert type(lost) is type(table)
    assert [(row[3], row[15], row[17], row[19]) for row in records(lost)] == [
        ("deferred", "called", day(121), None),
        ("lost", "called", day(121), day(122)),
    ]
    assert [row[3] for row in records(reopen(lost, "b"))] == ["deferred", "deferred"]


def test_a_loss_is_refused_while_nothing_was_tried():
    table = defer(watch(), "a", measure="called", reason="price", on=day(121))
    with pytest.raises(SchemaError, match=r"no measure is recorded for \['b'\].*Record it: defer\(watch, \['b'\]"):
        confirm_lost(table, ["a", "b"], reason="moved", on=day(122))


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda t: defer(t, "c", measure="x", reason="y", on=day(121)), r"\['c'\] are not open on the list"),
        (lambda t: defer(t, 1, measure="x", reason="y", on=day(121)), r"\[1\] are not open .* whose ids are text"),
        (lambda t: defer(t, [], measure="x", reason="y", on=day(121)), "customers names nobody"),
        (lambda t: defer(t, "a", measure=" ", reason="y", on=day(121)), "measure must be a few words"),
        (lambda t: defer(t, "a", measure="x", reason="y", on=day(119)), "lies before the warning of 2024-04-30"),
        (lambda t: defer(t, "a", measure="x", reason="y", on=day(121), until=day(121)), "until must lie after"),
        (lambda t: confirm_lost(t, "b", reason="y", on=day(120)), "lies before the measure of 2024-05-01"),
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


def test_refuses_runs_out_of_order():
    kept = watch()
    with pytest.raises(SchemaError, match="Runs go forward in time"):
        watch(as_of=119, previous=kept)
    told = defer(kept, "a", measure="called", reason="price", on=day(125))
    with pytest.raises(SchemaError, match=r"previous knows of 2024-05-05 00:00:00 \(measure_at\)"):
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


def test_tells_what_is_not_kept_and_what_is_no_watchlist():
    with pytest.warns(DataQualityWarning, match=r"the columns \['note'\] are not the watchlist's"):
        watch(as_of=130, previous=watch().assign(note="vip"))
    with pytest.raises(MissingColumnsError, match=r"needs the columns \['warned_at'"):
        lost_table(pd.DataFrame({"customer_id": ["a"]}))


def test_tells_when_the_data_end_before_as_of():
    with pytest.warns(DataQualityWarning, match='nobody bought anything in the last 81 days.*as_of="2024-04-30"'):
        watch({"a": [0, 60], "c": [119]}, as_of=201)


# -- losses --------------------------------------------------------------------------------------------------------


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
        (dt.datetime(2024, 4, 1), 4, 4, 0, 0, 4),  # day 120 is the last of April
        (dt.datetime(2024, 5, 1), 0, 0, 1, 0, 3),
        (dt.datetime(2024, 6, 1), 0, 0, 3, 1, 0),  # a comes back on 19 June
        (dt.datetime(2024, 7, 1), 0, 0, 0, 0, 0),
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
