"""What the tables of timing promise: counts by hand, planted habits found, no look ahead, on every frame."""

import datetime as dt

import matplotlib as mpl
import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Transactions
from crmlytics._sequences import Sequences, read_sequences
from crmlytics.datasets import load_cdnow
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.sequences._timing import learn_timing
from crmlytics.sequences._timing_plots import plot_overdue, plot_survival
from crmlytics.sequences.survival import survival_summary_table, survival_table
from crmlytics.sequences.timing import due_table, interval_law_table, interval_table, overdue_table
from crmlytics.testing import FRAME_KINDS, make_frame, records

mpl.use("Agg")
START = dt.datetime(2024, 1, 1)
# a: every week, two orders on day 7, day 21 sent back on the same day; b: every 30 days; c: once; d: days 59 and 60
LINES = [
    *[("a", day, "milk", 2.0) for day in (0, 7, 7, 14, 21, 28, 35)], ("a", 21, "milk", -2.0),
    *[("b", day, "soap", 5.0) for day in (0, 30)], ("b", 30, "milk", 3.0), ("c", 5, "soap", 4.0),
    ("d", 59, "tea", 1.0), ("d", 60, "milk", 1.0),
]  # fmt: skip
AS_OF = START + dt.timedelta(days=60)


def columns_of(lines):
    customer, day, product, amount = map(list, zip(*lines, strict=True))
    return {
        "customer_id": customer,
        "timestamp": [START + dt.timedelta(days=at, hours=9 + number % 5) for number, at in enumerate(day)],
        "product_id": product,
        "amount": amount,
    }


def table_of(table):
    return pd.DataFrame(records(table), columns=nw.from_native(table).collect_schema().names())


def day(number):
    return START + dt.timedelta(days=number)


# -- by hand, on every kind ----------------------------------------------------------------------------------------


def test_counted_by_hand_on_every_kind(frame):
    sales = frame(columns_of(LINES))
    intervals = interval_table(sales, as_of=AS_OF)
    assert type(intervals) is type(sales)
    assert [row[:4] for row in records(intervals)] == [
        ("a", 4, 1, 7.0),
        ("b", 1, 1, 30.0),
        ("c", 0, 1, None),
        ("d", 0, 1, None),
    ]
    due = table_of(due_table(sales, as_of=AS_OF, horizon="30d"))
    assert due["purchase_count"].tolist() == [5, 2, 1, 1]
    assert due["last_date"].tolist() == [day(35), day(30), day(5), day(59)]
    assert due["days_since_last"].tolist() == [25, 30, 55, 1]
    usual = [row[4] for row in records(intervals)]
    assert (due["usual_interval_days"] < usual).all()  # without the time waited now
    (late,) = records(overdue_table(sales, as_of=AS_OF, threshold=0.8))
    assert late[:4] == ("a", 5, day(35), 25)
    usual, over, ratio = late[4:7]
    assert usual == due["usual_interval_days"][0]
    assert (over, ratio) == (25 - usual, 25 / usual)
    assert late[7] == due["overdue_probability"][0] > 0.8
    assert late[8] == due["expected_date"][0] >= AS_OF


@pytest.mark.parametrize("kind", [kind for kind in FRAME_KINDS if kind != "pyspark"])  # whose schema is PyArrow's
def test_dtypes_are_the_same_on_every_kind(kind):
    sales = make_frame(columns_of(LINES), kind)
    dates = ["expected_date", "expected_date_low", "expected_date_high"]
    kinds = {"customer_id": "String", "product_id": "String", "purchase_count": "Int64", "interval_count": "Int64",
             "waiting_count": "Int64", "days_since_last": "Int64", "time_days": "Int64", "at_risk_count": "Int64",
             "event_count": "Int64", "family": "String", "is_chosen": "Boolean", "key_count": "Int64",
             "spell_count": "Int64"}  # fmt: skip
    kinds |= dict.fromkeys(["last_date", *dates], "Datetime(time_unit='us', time_zone=None)")
    tables = [
        interval_table(sales, as_of=AS_OF, by="product_id"),
        due_table(sales, as_of=AS_OF, horizon="30d", by=("customer_id", "product_id")),
        overdue_table(sales, as_of=AS_OF, threshold=0.5),
        interval_law_table(sales, as_of=AS_OF),
        survival_table(sales, as_of=AS_OF, by="product_id"),
        survival_table(sales, as_of=AS_OF),
        survival_summary_table(survival_table(sales, as_of=AS_OF), horizon="9d"),
    ]
    for table in tables:
        schema = nw.from_native(table).collect_schema()
        assert {name: str(dtype) for name, dtype in schema.items()} == {
            name: kinds.get(name, "Float64") for name in schema
        }


@pytest.mark.parametrize("kind", ["pandas", "polars-lazy", "pyarrow", "duckdb"])
def test_an_empty_list_has_its_columns(kind):
    table = overdue_table(make_frame(columns_of(LINES), kind), as_of=AS_OF, min_purchase_count=99)
    assert records(table) == []
    assert nw.from_native(table).collect_schema()["customer_id"] == nw.String


def test_items_are_bought_again_by_the_same_customer():
    sales = make_frame(columns_of(LINES), "polars")
    items = records(interval_table(sales, as_of=AS_OF, by="product_id"))
    # milk: four intervals of a of 7, 7, 14 and 7 days, a waits since 24 whole days, b since 29; soap: one of 30 days
    assert [row[:3] for row in items] == [("milk", 4, 2), ("soap", 1, 2), ("tea", 0, 1)]
    assert items[0][3] == 10.5  # half from day 7 to day 14
    assert items[1][3] == 30  # c is seen for 54 days
    pairs = table_of(due_table(sales, as_of=AS_OF, horizon="30d", by=("customer_id", "product_id")))
    assert list(zip(pairs["customer_id"], pairs["product_id"], pairs["purchase_count"], strict=True)) == [
        ("a", "milk", 5), ("b", "milk", 1), ("b", "soap", 2), ("c", "soap", 1), ("d", "tea", 1)]  # fmt: skip


def test_fewer_than_half_came_back_so_there_is_no_median():
    lines = [("a", 0, "tv", 1.0), ("a", 9, "tv", 1.0), *[(who, 0, "tv", 1.0) for who in "bcd"]]
    (row,) = records(interval_table(make_frame(columns_of(lines), "pandas"), as_of=day(17), by="product_id"))
    assert row[:4] == ("tv", 1, 4, None)
    assert row[4] > 16  # the usual interval of the item knows those who wait


# -- what must not matter, and what must ---------------------------------------------------------------------------


TABLES = {
    "intervals": lambda sales: interval_table(sales, as_of=AS_OF),
    "law": lambda sales: interval_law_table(sales, as_of=AS_OF, by="product_id"),
    "items": lambda sales: interval_table(sales, as_of=AS_OF, by="product_id"),
    "due": lambda sales: due_table(sales, as_of=AS_OF, horizon="30d"),
    "pairs": lambda sales: due_table(sales, as_of=AS_OF, horizon="30d", by=("customer_id", "product_id")),
    "overdue": lambda sales: overdue_table(sales, as_of=AS_OF, min_purchase_count=2, threshold=0.1),
    "survival": lambda sales: survival_table(sales, as_of=AS_OF),
    "survival of items": lambda sales: survival_table(sales, as_of=AS_OF, by="product_id"),
}


@pytest.mark.parametrize("name", TABLES)
def test_nothing_at_or_after_as_of_is_read(name):
    known = [line for line in LINES if line[1] < 60]
    poison = [(who, at, what, 1e6) for who in "abcdef" for what in ("milk", "new") for at in (60, 61, 300)]
    clean, poisoned = (TABLES[name](make_frame(columns_of(lines), "pandas")) for lines in (known, known + poison))
    assert clean.equals(poisoned)
    assert len(clean)


@pytest.mark.parametrize("name", TABLES)
def test_the_order_of_the_lines_changes_nothing(name):
    lines = make_frame(columns_of(LINES), "pandas")
    assert TABLES[name](lines).equals(TABLES[name](lines.sample(frac=1, random_state=3)))


def test_a_moment_within_a_day_ends_with_what_was_bought_until_then():
    sales = make_frame(
        columns_of([("a", 0, "x", 1.0), ("a", 10, "x", 1.0), ("b", 0, "x", 1.0), ("b", 9, "x", 1.0)]), "pandas"
    )
    table = due_table(sales, as_of=day(10) + dt.timedelta(hours=23), horizon="9d")
    assert table["days_since_last"].tolist() == [0, 1]
    assert (table["expected_date_low"] >= day(11)).all()  # day 10 is told


def habits(seed=1):
    """200 customers, half of them weekly and half monthly buyers, watched for a year; the last is three weeks late."""
    rng = np.random.default_rng(seed)
    lines = []
    for customer in range(200):
        usual, at = (7, 28)[customer % 2], rng.integers(0, 28)
        while at < 365 - (21 if customer == 198 else 0):
            lines.append((customer, int(at), ("bread", "soap")[customer % 2], 1.0))
            at += max(round(usual * np.exp(0.08 * rng.logistic())), 1)
    return make_frame(columns_of(lines), "pandas")


def test_planted_habits_are_found_and_the_late_one_with_them():
    sales, end = habits(), day(365)
    usual = interval_table(sales, as_of=end)["usual_interval_days"].to_numpy()
    assert usual[::2] == pytest.approx(np.full(100, 7), rel=0.08)
    assert usual[1::2] == pytest.approx(np.full(100, 28), rel=0.12)
    due = due_table(sales, as_of=end, horizon="7d")
    expected = (due["expected_date"] - due["last_date"]).dt.days.to_numpy()
    in_time = due["days_since_last"] < 7 * 4 ** (due["customer_id"] % 2) * 0.8
    assert expected[in_time & (due["customer_id"] % 2 == 0)] == pytest.approx(7, abs=1)
    assert expected[in_time & (due["customer_id"] % 2 == 1)] == pytest.approx(28, abs=3)
    late = overdue_table(sales, as_of=end, threshold=0.99)
    assert 198 in late["customer_id"].to_list()
    assert len(late) <= 5
    assert late.set_index("customer_id").loc[198, "overdue_ratio"] > 3


def test_each_item_has_its_own_pace():
    """Everybody buys bread weekly and soap every four weeks; the one who bought soap once is told the pace of soap."""
    rng = np.random.default_rng(5)
    days = [(c, what, gap, rng.integers(0, gap)) for c in range(60) for what, gap in (("bread", 7), ("soap", 28))]
    lines = [(c, int(at), what, 1.0) for c, what, gap, first in days for at in range(first, 200, gap)]
    lines += [(99, 199, "bread", 1.0), (99, 199, "soap", 1.0)]
    sales = make_frame(columns_of(lines), "pandas")
    pairs = due_table(sales, as_of=day(200), horizon="14d", by=("customer_id", "product_id"))
    bread, soap = (pairs[pairs["product_id"] == what] for what in ("bread", "soap"))
    assert bread["purchase_probability"].min() > 0.9
    just_bought = soap["days_since_last"] <= 7
    assert soap.loc[just_bought, "purchase_probability"].max() < 0.25
    new = pairs[pairs["customer_id"] == 99]
    assert new["usual_interval_days"].tolist() == pytest.approx([7, 28], rel=0.25)
    intervals = interval_table(sales, as_of=day(200), by=("customer_id", "product_id")).set_index("product_id")
    assert (intervals["interval_days_low"] <= intervals["usual_interval_days"]).all()
    assert (intervals["usual_interval_days"] <= intervals["interval_days_high"]).all()
    assert intervals.loc["soap", "interval_days_low"].min() > 14


def drawn(keys=1500, seed=11):
    """Customers who come to be known within a year, with their median interval and a whole interval of theirs."""
    rng = np.random.default_rng(seed)
    lines, median, whole = [], rng.lognormal(np.log(28), 0.8, keys), []
    for customer in range(keys):
        at = rng.uniform(0, 330)
        while at < 365:
            lines.append((customer, int(at), "x", 1.0))
            at += median[customer] * np.exp(0.5 * rng.logistic())
        whole.append(median[customer] * np.exp(0.5 * rng.logistic()))
    return make_frame(columns_of(lines), "pandas"), median, np.array(whole)


def test_intervals_of_customers_with_few_of_them_are_not_told_too_short():
    sales, median, whole = drawn()
    table = interval_table(sales, as_of=day(365))
    bias = np.log(table["usual_interval_days"] / median)
    held = (table["interval_days_low"] <= whole) & (whole <= table["interval_days_high"])
    for least, most in ((0, 0), (1, 2), (3, 9), (10, 999)):
        rows = table["interval_count"].between(least, most)
        assert rows.sum() > 100
        assert bias[rows].mean() == pytest.approx(0, abs=0.12)
        assert held[rows].mean() == pytest.approx(0.8, abs=0.07)


def test_the_law_of_intervals_tells_regularity_and_differences():
    sales, _, _ = drawn()
    weibull, chosen = records(interval_law_table(sales, as_of=day(365)))
    assert (weibull[:2], chosen[:2]) == (("weibull", False), ("log-logistic", True))
    assert chosen[2] > weibull[2]
    assert chosen[3:6] == pytest.approx((28, 1 / 0.5, 0.8), rel=0.1)
    assert weibull[3] == pytest.approx(28, rel=0.2)
    assert chosen[6:] == (1500, len(sales.groupby(["customer_id", sales["timestamp"].dt.date])))
    by_pair = interval_law_table(habits(), as_of=day(365), by=("customer_id", "product_id"))
    assert by_pair["key_spread"][1] < 0.1  # weekly bread and monthly soap: no difference is left


def test_intervals_beyond_a_century_are_no_numbers():
    lines = [*[(0, at, "x", 1.0) for at in range(0, 365, 5)], *[(c, 65 + c, "x", 1.0) for c in range(1, 300)]]
    table = interval_table(make_frame(columns_of(lines), "polars"), as_of=day(365))
    assert table["interval_days_high"].is_null().to_list() == [False, *[True] * 299]
    assert table["usual_interval_days"][0] == pytest.approx(5, rel=0.01)


def test_the_silence_of_a_customer_does_not_make_their_interval_longer():
    sales = habits()
    before, after = (
        overdue_table(sales[sales["timestamp"] < day(300)], as_of=day(at), threshold=0.001).set_index("customer_id")
        for at in (300, 306)
    )
    both = before.index.intersection(after.index)
    change = after.loc[both, "usual_interval_days"] / before.loc[both, "usual_interval_days"]
    assert change.between(0.99, 1.01).all()
    assert (after.loc[both, "overdue_probability"] >= before.loc[both, "overdue_probability"] - 0.02).all()


def test_customers_are_overdue_by_their_own_interval_not_by_a_number_of_days():
    late = overdue_table(habits()[lambda lines: lines["timestamp"] < day(340)], as_of=day(347))
    weekly = late["customer_id"] % 2 == 0
    assert weekly.sum() > 60
    assert late.loc[weekly, "days_since_last"].min() <= 10
    assert late.loc[~weekly, "days_since_last"].min() > 28


def test_thresholds_are_kept():
    few = make_frame(columns_of(LINES), "pandas")
    lists = [overdue_table(few, as_of=AS_OF, threshold=0.8, min_purchase_count=least) for least in (5, 6)]
    assert [table["customer_id"].tolist() for table in lists] == [["a"], []]
    sales, end = habits(), day(365)
    due = due_table(sales, as_of=end, horizon="7d")
    for least, threshold in ((2, 0.5), (14, 0.5), (2, 0.9)):
        rows = (due["overdue_probability"] >= threshold) & (due["purchase_count"] >= least)
        found = overdue_table(sales, as_of=end, min_purchase_count=least, threshold=threshold)
        assert found["customer_id"].tolist() == due.loc[rows, "customer_id"].tolist()


def test_on_cdnow_as_many_come_back_as_was_predicted_and_when():
    cdnow = Transactions(load_cdnow(), timestamp="date")
    due = due_table(cdnow, as_of="1997-10-01", horizon="273d").query("purchase_count >= 3").set_index("customer_id")
    later = cdnow.data[cdnow.data["date"].between("1997-10-01", "1998-06-30")].groupby("customer_id")["date"].min()
    came = later.reindex(due.index)
    assert due["purchase_probability"].mean() == pytest.approx(came.notna().mean(), abs=0.03)
    held = (due["expected_date_low"] <= came) & (came <= due["expected_date_high"])
    assert held.sum() / came.notna().sum() > 0.75  # given a purchase in time, fewer late ones than 80 % allow
    assert held.sum() / came.notna().sum() < 0.95


histories = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 80)), min_size=2, max_size=40, unique=True)


@settings(max_examples=15)
@given(histories, st.sampled_from(["weibull", "log-logistic"]), st.integers(81, 86))
def test_dates_are_in_order_and_never_before_as_of(drawn, family, end):
    drawn = [*drawn, (9, 0), (9, 80)]  # somebody bought twice
    sales = make_frame(columns_of([(who, at, "x", 1.0) for who, at in drawn]), "polars")
    short, long = (due_table(sales, as_of=day(end), horizon=horizon, family=family) for horizon in ("5d", "50d"))
    low, middle, high = (
        short[f"expected_date{name}"].fill_null(dt.datetime(9999, 1, 1)) for name in ("_low", "", "_high")
    )
    assert (low >= day(end)).all()
    assert (low <= middle).all()
    assert (middle <= high).all()
    assert (short["purchase_probability"] <= long["purchase_probability"]).all()
    assert short["purchase_probability"].is_between(0, 1).all()
    assert short["overdue_probability"].is_between(0, 1).all()
    assert short["usual_interval_days"].is_finite().all()


# -- curves --------------------------------------------------------------------------------------------------------


SEGMENTS = {"customer_id": ["a", "b", "c", "z"], "segment": ["x", "y", "y", "none here"]}


def test_curves_by_hand_on_every_kind(frame):
    sales, segments = frame(columns_of(LINES)), frame(SEGMENTS)
    table = survival_table(sales, as_of=AS_OF, segments=segments)
    assert type(table) is type(sales)
    curve = [(*row[:2], row[2], *row[5:]) for row in records(table)]
    assert curve == [
        ("x", 0, 1.0, 5, 0, 0), ("x", 7, pytest.approx(2 / 5), 5, 3, 0), ("x", 14, pytest.approx(1 / 5), 2, 1, 0),
        ("x", 24, pytest.approx(1 / 5), 1, 0, 1),  # day 35 to 59, the last one known
        ("y", 0, 1.0, 3, 0, 0), ("y", 29, 1.0, 3, 0, 1), ("y", 30, 0.5, 2, 1, 0), ("y", 54, 0.5, 1, 0, 1),
    ]  # fmt: skip
    first = survival_table(sales, as_of=AS_OF, segments=segments, after="first")
    assert [row[1:3] for row in records(first)] == [(0, 1.0), (7, 0.0), (0, 1.0), (30, 0.5), (54, 0.5)]
    summary = records(survival_summary_table(table, horizon="20d"))
    assert [row[:4] for row in summary] == [("x", 5, 4, 7.0), ("y", 3, 1, 30.0)]
    (*_, returned, low, high, mean), last = summary
    assert (returned, mean) == pytest.approx((4 / 5, 7 + 7 * 2 / 5 + 6 / 5))
    assert (low, high) == (None, None)  # one customer
    assert last[6:] == (0.0, None, None, 20.0)


def test_curves_of_items_by_hand():
    sales = make_frame(columns_of(LINES), "polars")
    table = survival_table(sales, as_of=AS_OF, by="product_id")
    assert [(*row[:3], *row[5:]) for row in records(table)] == [
        ("milk", 0, 1.0, 6, 0, 0), ("milk", 7, 0.5, 6, 3, 0), ("milk", 14, pytest.approx(1 / 3), 3, 1, 0),
        ("milk", 24, pytest.approx(1 / 3), 2, 0, 1), ("milk", 29, pytest.approx(1 / 3), 1, 0, 1),
        ("soap", 0, 1.0, 3, 0, 0), ("soap", 29, 1.0, 3, 0, 1), ("soap", 30, 0.5, 2, 1, 0), ("soap", 54, 0.5, 1, 0, 1),
        ("tea", 0, 1.0, 1, 0, 1),
    ]  # fmt: skip
    assert [row[:4] for row in records(survival_summary_table(table, horizon="9d"))] == [
        ("milk", 6, 4, 10.5), ("soap", 3, 1, 30.0), ("tea", 1, 0, None)]  # fmt: skip
    first = survival_table(sales, as_of=AS_OF, by="product_id", after="first")
    assert [row[:3] for row in records(first) if row[0] == "milk"] == [("milk", 0, 1.0), ("milk", 7, 0.5),
                                                                       ("milk", 29, 0.5)]  # fmt: skip


def test_the_intervals_of_a_customer_are_alike_for_items_too():
    """One item: its curve, with its bounds, is that of any purchase."""
    sales = make_frame(columns_of([(c, at, "x", 1.0) for c in range(9) for at in range(c % 3, 60, 3 + c)]), "pandas")
    of_item = survival_table(sales, as_of=AS_OF, by="product_id").drop(columns="product_id")
    assert of_item.equals(survival_table(sales, as_of=AS_OF))


def test_what_nobody_was_seen_for_is_not_told():
    sales = make_frame(columns_of(LINES), "polars")
    table = survival_table(sales, as_of=AS_OF)
    (row,) = records(survival_summary_table(table, horizon="55d"))
    assert row[5:] == (None, None, None, None)
    (row,) = records(survival_summary_table(table, horizon="54d"))
    assert row[5] > 0.5


def test_intervals_of_one_customer_are_not_many_customers():
    """Ten customers with 30 like intervals each say little more than ten intervals do."""
    lines = [(c, at, "x", 1.0) for c in range(10) for at in range(0, 31 * (c + 1), c + 1)]
    sales = make_frame(columns_of(lines), "pandas")
    any_, first = (
        survival_table(sales, as_of=day(301), after=after).set_index("time_days") for after in ("any", "first")
    )
    width = [
        table.loc[5, "survival_probability_high"] - table.loc[5, "survival_probability_low"] for table in (any_, first)
    ]
    assert any_.loc[5, "at_risk_count"] > 20 * first.loc[5, "at_risk_count"]
    assert width[0] > 0.8 * width[1]


# -- arrays for the recommender ------------------------------------------------------------------------------------


def timing_of(sales, end):
    sequences = read_sequences(sales, element="day", as_of=day(end), caller="test")
    return sequences, learn_timing(sequences, np.full(len(sequences), (day(end) - dt.datetime(1970, 1, 1)).days))


def test_pairs_and_next_orders_are_expected_when_they_are_due():
    sales = habits().assign(order_id=lambda lines: np.arange(len(lines)))
    sequences, timing = timing_of(Transactions(sales), 365)
    bread = sequences.item_ids.tolist().index("bread")
    customer, zeros = np.array([0, 1, 1]), np.zeros(3, np.int64)
    found = timing.dates(customer, np.array([bread, 1 - bread, bread]), np.array([1, 10, -1]))
    assert found.middle[:2] == pytest.approx([6, 18], abs=3)
    (alone,) = timing._next_order(np.array([1]), None).middle  # noqa: SLF001
    assert found.middle[2] == alone  # never bought: the next order
    assert (found.probability == 1).all()
    within = timing.dates(customer, zeros + bread, np.array([1, 1, -1]), 5)
    assert (
        (within.low >= 0) & (within.low <= within.middle) & (within.middle <= within.high) & (within.high < 5)
    ).all()
    assert within.probability[0] < timing.dates(customer, zeros + bread, np.array([1, 1, -1]), 9).probability[0]
    unknown = timing.dates(np.array([0]), np.array([1 - bread]), np.array([4]))  # a pair that was not there
    assert unknown.middle[0] > found.middle[0]


def test_without_any_interval_nothing_is_expected():
    lines = Sequences(
        np.array([0, 1]), np.array([0, 1]), np.array([0], np.int32), np.array([10]), np.array([1]), np.array(["x"])
    )
    found = learn_timing(lines, np.array([20])).dates(np.array([0, 0]), np.array([0, 0]), np.array([10, -1]), 30)
    assert np.isnan(found.probability).all()
    assert found.middle.tolist() == [-1, -1]


def test_two_orders_of_a_day_are_one_day():
    twice = Sequences(
        np.array([0, 4]), np.arange(5), np.zeros(4, np.int32), np.array([0, 0, 9, 18]), np.array([1]), np.array(["x"])
    )
    once = Sequences(
        np.array([0, 3]), np.arange(4), np.zeros(3, np.int32), np.array([0, 9, 18]), np.array([1]), np.array(["x"])
    )
    asked = np.array([0, 0]), np.array([0, 0]), np.array([2, -1]), 30
    one, other = (learn_timing(each, np.array([20])).dates(*asked) for each in (twice, once))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


# -- refusals and warnings -----------------------------------------------------------------------------------------


def test_refusals_say_what_to_type():
    sales = make_frame(columns_of(LINES), "pandas")
    with pytest.raises(MissingColumnsError, match=r"due_table needs \['amount'\].*amount='<your column>'"):
        due_table(sales.drop(columns="amount"), as_of=AS_OF, horizon="30d")
    with pytest.raises(SchemaError, match=r"overdue_table: by must be \"customer_id\" or a customer's items such as"):
        overdue_table(sales, as_of=AS_OF, by="product_id")
    with pytest.raises(SchemaError, match=r"interval_table: by must be .*an item such as \"product_id\""):
        interval_table(sales, as_of=AS_OF, by="order_id")
    with pytest.raises(SchemaError, match=r"family must be one of .*Did you mean 'weibull'"):
        interval_table(sales, as_of=AS_OF, family="Weibul")
    with pytest.raises(SchemaError, match=r"interval_table: nobody bought anything before as_of"):
        interval_table(sales, as_of=START)
    with pytest.raises(SchemaError, match=r"due_table: nobody bought anything on two days before as_of"):
        due_table(sales, as_of=day(3), horizon="9d")
    with pytest.raises(SchemaError, match="nobody bought the same item on two days"):
        due_table(sales, as_of=day(3), horizon="9d", by=("customer_id", "product_id"))
    with pytest.raises(SchemaError, match="no line before as_of has a product_id"):
        interval_table(
            sales.assign(product_id=pd.Series([None] * len(sales), dtype=object)), as_of=AS_OF, by="product_id"
        )
    with pytest.raises(SchemaError, match="threshold must be a fraction between 0 and 1"):
        overdue_table(sales, as_of=AS_OF, threshold=90)
    with pytest.raises(SchemaError, match="min_purchase_count must be a whole number of at least 2"):
        overdue_table(sales, as_of=AS_OF, min_purchase_count=1)


def test_refusals_of_curves_say_what_to_type():
    sales = make_frame(columns_of(LINES), "pandas")
    with pytest.raises(SchemaError, match=r"survival_table: after must be one of \['any', 'first'\]"):
        survival_table(sales, as_of=AS_OF, after="last")
    with pytest.raises(SchemaError, match="no customer who bought anything before as_of is in segments"):
        survival_table(sales, as_of=AS_OF, segments=pd.DataFrame({"customer_id": ["z"], "segment": ["x"]}))
    with pytest.raises(MissingColumnsError, match=r"survival_summary_table needs the columns .*survival_table\(...\)"):
        survival_summary_table(sales, horizon="9d")
    with pytest.raises(SchemaError, match="survival_summary_table: the table has no rows"):
        survival_summary_table(survival_table(sales, as_of=AS_OF).head(0), horizon="9d")
    with pytest.raises(MissingColumnsError, match=r"plot_overdue needs the columns .*due_table\(tx, ...\)"):
        plot_overdue(sales)
    with pytest.raises(SchemaError, match=r"survival_table: by must be one of \['product_id'"):
        survival_table(sales, as_of=AS_OF, by="customer_id")
    with pytest.raises(SchemaError, match=r"by='product_id' and segments came together\. Give one of them"):
        survival_table(sales, as_of=AS_OF, by="product_id", segments=pd.DataFrame(SEGMENTS))
    curve = survival_table(sales, as_of=AS_OF)
    twice = pd.concat([curve, curve.iloc[1:]])
    with pytest.raises(SchemaError, match=rf"summary_table: {len(curve) - 1} rows have a time_days that the table has"):
        survival_summary_table(twice, horizon="9d")
    with pytest.raises(SchemaError, match=r"each segment has already, first 7\..*table.assign\(segment='2023'\)"):
        plot_survival(twice.assign(segment="x"))
    named = pd.concat([curve.assign(segment="x"), curve.assign(segment="y")])
    assert len(survival_summary_table(named, horizon="9d")) == 2
    many = pd.DataFrame({"customer_id": range(8), "segment": list("abcdefgh")})
    lines = make_frame(columns_of([(c, at, "x", 1.0) for c in range(8) for at in (0, c + 1)]), "pandas")
    with pytest.raises(SchemaError, match="8 curves cannot be told apart, at most 7 can"):
        plot_survival(survival_table(lines, as_of=day(16), segments=many))


def test_data_that_end_long_before_as_of_are_told():
    sales = make_frame(columns_of([line for line in LINES if line[1] < 60]), "pandas")
    for builder in (overdue_table, interval_table, interval_law_table, survival_table):
        message = (
            rf"^{builder.__name__}: .* in the last 30 days before .*taken to have waited .*write as_of=\"2024-03-01\""
        )
        with pytest.warns(DataQualityWarning, match=message):
            builder(sales, as_of=day(90))
    with pytest.warns(DataQualityWarning, match=r"^due_table: nobody bought anything in the last 30 days"):
        due_table(sales, as_of=day(90), horizon="9d")
    due_table(sales, as_of=day(84), horizon="9d")  # there was a silence of 24 days before


def test_lines_without_an_item_are_left_out_and_told():
    columns = columns_of(LINES)
    columns["product_id"][-3] = None
    with pytest.warns(DataQualityWarning, match=r"1 of 10 purchases have no product_id and are left out"):
        table = interval_table(make_frame(columns, "polars"), as_of=AS_OF, by="product_id")
    assert [row[:3] for row in records(table)] == [("milk", 4, 2), ("soap", 1, 1), ("tea", 0, 1)]


# -- pictures ------------------------------------------------------------------------------------------------------


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_plots_draw_the_tables():
    sales = make_frame(columns_of(LINES), "pandas")
    segments = pd.DataFrame(SEGMENTS)
    ax = plot_survival(survival_table(sales, as_of=AS_OF, segments=segments))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["x (5), 7 d", "y (3), 30 d"]
    assert ax.lines[1].get_ydata().tolist() == pytest.approx([0, 3 / 5, 4 / 5, 4 / 5])
    assert [text.get_text() for text in ax.texts] == []  # near medians would overprint
    ax = plot_survival(survival_table(sales, as_of=AS_OF))
    assert (ax.get_legend(), [text.get_text() for text in ax.texts]) == (None, ["22 d"])
    due = due_table(sales, as_of=AS_OF, horizon="30d").assign(overdue_probability=[0.9, 0.004, 0.5, 0.1])
    ax = plot_overdue(due)
    assert legend_of(ax) == ["one purchase (2)", "below 0.9 (1)", "0.9 or more (1)"]
    assert ax.collections[2].get_offsets()[0][1] == 25
    ax.figure.canvas.draw()
    assert ax.get_legend().get_window_extent().y0 >= ax.get_window_extent().y1  # above the points
    ax = plot_overdue(due.iloc[:2].assign(overdue_probability=[0.95, 0.75]))
    assert legend_of(ax) == ["0.75 to 0.9 (1)", "0.9 or more (1)"]
    mpl.pyplot.close("all")


def test_no_plot_of_nothing_fails():
    empty = overdue_table(make_frame(columns_of(LINES), "polars"), as_of=AS_OF, min_purchase_count=99)
    assert plot_overdue(empty).get_xscale() == "log"
    mpl.pyplot.close("all")
