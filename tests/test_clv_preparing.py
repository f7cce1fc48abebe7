"""What btyd_table and holdout_table promise: hand-counted values on every frame, and nothing of the future."""

import datetime as dt
import itertools
import math

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from _reference_btyd import btyd_rows
from crmlytics import Transactions
from crmlytics.clv import btyd_table, holdout_table
from crmlytics.datasets import load_cdnow
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records


@pytest.fixture(scope="module")
def cdnow_orders():
    return Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")


@pytest.fixture(scope="module")
def cdnow(cdnow_orders):
    return btyd_table(cdnow_orders, as_of="1997-10-01", unit="7d")


# --- btyd_table


def test_cdnow_table_has_the_published_totals(cdnow):
    assert len(cdnow) == 2357
    assert cdnow["frequency"].sum() == 2457
    assert (cdnow["frequency"] > 0).sum() == 946
    assert cdnow["T"].max() == pytest.approx(38.857142857, rel=1e-10)
    assert cdnow.dtypes.astype(str).tolist()[1:] == ["int64", "float64", "float64", "float64"]
    customer = cdnow.set_index("customer_id").loc[1516]  # Fader, Hardie & Lee: x 26, t_x 30.86, T 31
    assert customer[["frequency", "recency", "T"]].round(3).tolist() == [26, 30.857, 31.0]


AS_OF = dt.datetime(2024, 2, 6)
LINES = [
    ("a", (1, 10), 10.0),  # the hour does not matter
    ("a", (8, 0), 4.0),
    ("a", (29, 0), 6.0),
    ("a", (29, 23), 2.0),  # one purchase day of 8
    ("b", (22, 0), 7.0),
    ("c", (3, 0), 5.0),
    ("c", (3, 12), -5.0),  # cancelled the same day: no purchase day
    ("c", (5, 0), 8.0),
    ("c", (9, 0), -8.0),  # a pure return
    ("d", (4, 0), -3.0),  # never bought: no row
    ("e", (5, 0), 0.1),
    ("e", (5, 0), 0.2),
    ("e", (5, 0), -0.3),  # adds up to 5.6e-17
    ("f", (6, 0), 0.0),  # free of charge, yet a purchase
]
ORDERS = {
    "customer_id": [customer for customer, _, _ in LINES] + ["a", "g"],
    "timestamp": [dt.datetime(2024, 1, day, hour) for _, (day, hour), _ in LINES] + [AS_OF, AS_OF],
    "amount": [amount for _, _, amount in LINES] + [1000.0, 1000.0],  # at as_of: not known yet
}


def test_btyd_table_counts_by_hand_on_every_kind_of_frame(frame):
    orders = frame(ORDERS)
    table = btyd_table(orders, as_of=AS_OF, unit="1d")
    assert type(table) is type(orders)
    assert records(table) == [
        ("a", 2, 28.0, 35.0, 6.0),
        ("b", 0, 0.0, 14.0, None),
        ("c", 0, 0.0, 31.0, None),
        ("f", 0, 0.0, 30.0, None),
    ]


@pytest.mark.parametrize(
    ("as_of", "T"),
    [("2024-02-06", 35.0), (dt.date(2024, 2, 6), 35.0), ("2024-02-06 00:01", 36.0), ("2024-02-05 23:59", 35.0)],
)
def test_the_last_day_watched_is_the_last_one_before_as_of(as_of, T):
    table = btyd_table(pd.DataFrame(ORDERS), as_of=as_of, unit="1d")
    assert table.loc[0, "T"] == T


def test_nothing_at_or_after_as_of_is_read():
    poisoned = pd.DataFrame(ORDERS)
    poisoned.loc[poisoned["timestamp"] >= AS_OF, "amount"] = 1e12
    clean = pd.DataFrame(ORDERS)[lambda lines: lines["timestamp"] < AS_OF]
    pd.testing.assert_frame_equal(btyd_table(poisoned, as_of=AS_OF), btyd_table(clean, as_of=AS_OF))


order_lines = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.dates(dt.date(2023, 12, 20), dt.date(2024, 3, 5)),
        st.integers(-3, 6).map(float),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(lines=order_lines, unit=st.sampled_from([1, 7, 30]), kind=st.sampled_from(["pandas", "polars"]))
def test_btyd_table_equals_plain_python(lines, unit, kind):
    as_of = dt.date(2024, 2, 20)
    customers, days, amounts = zip(*lines, strict=True)
    moments = [dt.datetime.combine(day, dt.time(9)) for day in days]
    orders = make_frame({"customer_id": customers, "timestamp": moments, "amount": amounts}, kind)
    assume(btyd_rows(lines, as_of, unit))
    table = records(btyd_table(orders, as_of=as_of, unit=f"{unit}d"))
    expected = btyd_rows(lines, as_of, unit)
    assert [row[:2] for row in table] == [row[:2] for row in expected]
    for row, other in zip(table, expected, strict=True):
        assert (row[4] is None) == (other[4] is None) == (row[1] == 0)
        assert row[2:4] == pytest.approx(other[2:4], rel=1e-12)
        assert (row[4] or 0.0) == pytest.approx(other[4] or 0.0, rel=1e-12)


def test_btyd_table_is_the_same_to_the_last_bit_on_every_kind(frame):
    days = range(2, 400)  # the first and second purchase; 334 / 7 is not 334 * (1 / 7)
    orders = {
        "customer_id": [*days, *days],
        "timestamp": [AS_OF - dt.timedelta(days=day) for day in days] + [AS_OF - dt.timedelta(days=1)] * len(days),
        "amount": [8.0] * (2 * len(days)),
    }
    expected = [(day, 1, (day - 1) / 7, (day - 1) / 7, 8.0) for day in days]
    assert records(btyd_table(frame(orders), as_of=AS_OF, unit="7d")) == expected


def test_btyd_table_says_what_it_needs_and_how_time_is_written():
    orders = pd.DataFrame(ORDERS)
    with pytest.raises(MissingColumnsError, match=r"btyd_table needs \['amount'\].*amount='<your column>'"):
        btyd_table(orders.rename(columns={"amount": "Total"}), as_of=AS_OF)
    with pytest.raises(SchemaError, match=r"btyd_table: unit must be a duration in days or weeks.*got 'W'"):
        btyd_table(orders, as_of=AS_OF, unit="W")


@settings(max_examples=30, deadline=None)
@given(amounts=st.lists(st.sampled_from([0.0, 1.0, 2.5]), min_size=2, max_size=12), data=st.data())
def test_days_without_returns_are_the_same_by_the_short_way_and_the_long_one(amounts, data):
    days = data.draw(st.lists(st.integers(0, 5), min_size=len(amounts), max_size=len(amounts)))
    orders = pd.DataFrame({
        "customer_id": [i % 2 for i in range(len(amounts))],
        "timestamp": [pd.Timestamp("2024-01-01") + pd.Timedelta(days=day) for day in days],
        "amount": amounts,
    })  # fmt: skip
    known = btyd_table(orders, as_of="2024-02-01")  # looked through: no return in it
    ghost = pd.DataFrame({"customer_id": [9], "timestamp": [pd.Timestamp("2024-01-01")], "amount": [-1.0]})
    careful = btyd_table(pd.concat([orders, ghost]), as_of="2024-02-01")
    pd.testing.assert_frame_equal(known, careful)


# --- options of btyd_table


@pytest.mark.parametrize("start", ["2024-01-05", dt.date(2024, 1, 5), "2024-01-05 18:00"])
def test_start_keeps_the_cohort_acquired_since(frame, start):
    table = btyd_table(frame(ORDERS), as_of=AS_OF, unit="1d", start=start)
    assert [row[:4] for row in records(table)] == [("b", 0, 0.0, 14.0), ("c", 0, 0.0, 31.0), ("f", 0, 0.0, 30.0)]


@settings(max_examples=15, deadline=None)
@given(start=st.dates(dt.date(2023, 12, 31), dt.date(2024, 2, 5)))
def test_start_changes_who_is_in_the_table_and_nothing_else(start):
    orders = pd.DataFrame(ORDERS)
    everybody = btyd_table(orders, as_of=AS_OF, unit="1d")
    older = 0 if start <= dt.date(2024, 1, 1) else len(btyd_table(orders, as_of=start, unit="1d"))
    joined = (AS_OF - pd.Timedelta(days=1) - pd.to_timedelta(everybody["T"], unit="D")).dt.date
    cohort = btyd_table(orders, as_of=AS_OF, unit="1d", start=start)
    pd.testing.assert_frame_equal(cohort, everybody[joined >= start].reset_index(drop=True), check_dtype=False)
    assert len(cohort) + older == len(everybody)


def test_the_first_purchase_counts_in_on_request(frame):
    table = btyd_table(frame(ORDERS), as_of=AS_OF, unit="1d", first_purchase="count_in")
    assert [(row[0], row[4]) for row in records(table)] == [("a", 22 / 3), ("b", 7.0), ("c", 8.0), ("f", 0.0)]


def test_log_intervals_by_hand_on_every_kind(frame):
    table = btyd_table(frame(ORDERS), as_of=AS_OF, unit="7d", with_intervals=True)
    expected = [math.log(7 / 7) + math.log(21 / 7), 0.0, 0.0, 0.0]
    assert [row[5] for row in records(table)] == pytest.approx(expected, abs=1e-12)
    assert [row[:5] for row in records(table)] == records(btyd_table(frame(ORDERS), as_of=AS_OF, unit="7d"))


@settings(max_examples=30, deadline=None)
@given(lines=order_lines, unit=st.sampled_from([1, 7, 30]), kind=st.sampled_from(["pandas", "polars", "duckdb"]))
def test_log_intervals_equal_plain_python(lines, unit, kind):
    as_of = dt.date(2024, 2, 20)
    assume(btyd_rows(lines, as_of, unit))
    totals = {}
    for customer, day, amount in lines:
        if day < as_of:
            totals.setdefault(customer, {}).setdefault(day, []).append(amount)
    expected = {}
    for customer, by_day in totals.items():
        days = sorted(day for day, amounts in by_day.items() if sum(amounts) > 0 or min(amounts) >= 0)
        if days:
            gaps = [(later - earlier).days for earlier, later in itertools.pairwise(days)]
            expected[customer] = math.fsum(math.log(gap / unit) for gap in gaps)
    customers, days, amounts = zip(*lines, strict=True)
    orders = make_frame({"customer_id": customers, "timestamp": list(map(pd.Timestamp, days)), "amount": amounts}, kind)
    table = records(btyd_table(orders, as_of=as_of, unit=f"{unit}d", with_intervals=True))
    assert {row[0]: row[5] for row in table} == pytest.approx(expected, abs=1e-12)


def test_options_that_cannot_be_are_refused():
    orders = pd.DataFrame(ORDERS)
    with pytest.raises(SchemaError, match=r"btyd_table: start must lie before as_of, got 2024-02-06"):
        btyd_table(orders, as_of=AS_OF, start=AS_OF)
    with pytest.raises(SchemaError, match=r"first_purchase must be one of \['leave_out', 'count_in'\], got 'count'"):
        btyd_table(orders, as_of=AS_OF, first_purchase="count")


# --- holdout_table

SPLIT = dt.datetime(2024, 1, 9)


def test_holdout_by_hand_on_every_kind(frame):
    orders = frame(ORDERS)
    table = holdout_table(orders, calibration_end=SPLIT, as_of=AS_OF, unit="7d")
    assert type(table) is type(orders)
    assert records(table) == [
        ("a", 1.0, 1.0, 1.0, 4.0, 1, 4.0, 8.0, False),  # two lines of one day: one purchase day of 8
        ("b", None, None, None, None, 1, 4.0, 7.0, True),
        ("c", 0.0, 0.0, 3 / 7, None, 0, 4.0, None, False),  # a return in the holdout is no purchase
        ("f", 0.0, 0.0, 2 / 7, None, 0, 4.0, None, False),
    ]


def test_holdout_of_cdnow_has_the_published_total(cdnow_orders, cdnow):
    table = holdout_table(cdnow_orders, calibration_end="1997-10-01", as_of="1998-07-01", unit="7d")
    assert table["holdout_frequency"].sum() == 1882
    assert (table["holdout_duration"] == 39).all()
    assert not table["late_joiner"].any()
    pd.testing.assert_frame_equal(table[list(cdnow.columns)], cdnow.astype({"frequency": float}))


@settings(max_examples=30, deadline=None)
@given(lines=order_lines, split=st.dates(dt.date(2023, 12, 21), dt.date(2024, 2, 19)), data=st.data())
def test_both_sides_add_up_to_the_whole(lines, split, data):
    as_of = dt.date(2024, 2, 20)
    assume(btyd_rows(lines, as_of, 7))
    kind = data.draw(st.sampled_from(["pandas", "polars"]))
    customers, days, amounts = zip(*lines, strict=True)
    orders = make_frame({"customer_id": customers, "timestamp": list(map(pd.Timestamp, days)), "amount": amounts}, kind)
    table = records(holdout_table(orders, calibration_end=split, as_of=as_of))
    whole = records(btyd_table(orders, as_of=as_of))
    assert [row[0] for row in table] == [row[0] for row in whole]
    late = [row for row in table if row[8]]
    for row, full in zip(table, whole, strict=True):
        assert (0 if row[8] else row[1] + 1) + row[5] == full[1] + 1  # purchase days
    if known := btyd_rows(lines, split, 7):
        expected = records(btyd_table(orders, as_of=split))
        assert [row[:5] for row in table if not row[8]] == expected
        assert len(late) == len(table) - len(known)
    else:
        assert len(late) == len(table)
    if late:
        assert [row[0] for row in late] == [row[0] for row in records(btyd_table(orders, as_of=as_of, start=split))]


def test_nothing_of_the_holdout_reaches_the_calibration_columns():
    orders = pd.DataFrame(ORDERS)
    poisoned = orders.copy()
    poisoned.loc[poisoned["timestamp"] >= SPLIT, "amount"] = 1e12
    calibration = ["customer_id", "frequency", "recency", "T", "monetary_value"]
    tables = [holdout_table(lines, calibration_end=SPLIT, as_of=AS_OF)[calibration] for lines in (orders, poisoned)]
    known = [table[table["T"].notna()].reset_index(drop=True) for table in tables]
    pd.testing.assert_frame_equal(*known)


@pytest.mark.filterwarnings("ignore::Warning:lifetimes", "ignore::Warning:autograd")
def test_lifetimes_splits_alike_where_it_is_right(cdnow_orders):
    """It is right in days, for customers known at the split, about counts; its holdout spend is a mean over rows."""
    lifetimes = pytest.importorskip("lifetimes.utils")
    theirs = lifetimes.calibration_and_holdout_data(
        load_cdnow(), "sample_id", "date", "1997-09-30", observation_period_end="1998-06-30",
        monetary_value_col="amount",
    ).reset_index()  # fmt: skip
    ours = holdout_table(cdnow_orders, calibration_end="1997-10-01", as_of="1998-07-01", unit="1d")
    pairs = {"frequency": "frequency_cal", "recency": "recency_cal", "T": "T_cal", "holdout_frequency": None}
    for name, other in pairs.items():
        assert ours[name].tolist() == theirs[other or "frequency_holdout"].tolist()
    assert (theirs["duration_holdout"] == 273).all()
    repeat = ours["frequency"] > 0
    assert ours["monetary_value"][repeat].tolist() == pytest.approx(theirs["monetary_value_cal"][repeat].tolist())


def test_holdout_refuses_what_is_no_split():
    orders = pd.DataFrame(ORDERS)
    with pytest.raises(SchemaError, match=r'beginning of a day, got 2024-01-09 12:00:00.*calibration_end="2024-01-09"'):
        holdout_table(orders, calibration_end="2024-01-09 12:00", as_of=AS_OF)
    with pytest.raises(SchemaError, match="holdout_table: calibration_end must lie before as_of"):
        holdout_table(orders, calibration_end=AS_OF, as_of=AS_OF)
    with pytest.raises(MissingColumnsError, match=r"holdout_table needs \['amount'\]"):
        holdout_table(orders.drop(columns="amount"), calibration_end=SPLIT, as_of=AS_OF)


def test_an_order_cancelled_in_the_holdout_was_known_as_one_before(frame):
    """Where returns are paired with their originals, the pairing must not reach back over the end of calibration."""
    lines = {
        "customer_id": ["a", "a", "b", "b", "b"],
        "order_id": [1, 2, 3, 4, 5],
        "product_id": ["p"] * 5,
        "timestamp": [dt.datetime(2024, 1, day) for day in (2, 20, 3, 9, 22)],
        "quantity": [1.0, -1.0, 1.0, 1.0, -1.0],
        "amount": [8.0, -8.0, 5.0, 6.0, -6.0],
    }
    tx = Transactions(frame(lines), returns="match")
    table = records(holdout_table(tx, calibration_end="2024-01-15", as_of="2024-02-01", unit="1d"))
    known = records(btyd_table(tx, as_of="2024-01-15", unit="1d"))
    assert [row[:4] for row in table] == [row[:4] for row in known] == [("a", 0, 0.0, 12.0), ("b", 1, 6.0, 11.0)]
    assert [row[5] for row in table] == [0, 0]  # what was cancelled is no purchase of the holdout either
    assert [row[0] for row in records(btyd_table(tx, as_of="2024-02-01"))] == ["b"]


def test_a_cohort_can_be_chosen_for_the_holdout_too(frame):
    orders = frame(ORDERS)
    whole = records(holdout_table(orders, calibration_end="2024-01-20", as_of=AS_OF))
    cohort = records(holdout_table(orders, calibration_end="2024-01-20", as_of=AS_OF, start="2024-01-05"))
    known = {row[0] for row in records(btyd_table(orders, as_of=AS_OF, start="2024-01-05"))}
    assert cohort == [row for row in whole if row[0] in known]
    assert 0 < len(cohort) < len(whole)
