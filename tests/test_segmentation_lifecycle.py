"""What the life cycle promises: stages by hand and by an oracle, one each, no look at the future, exact sums."""

import datetime as dt
import itertools

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Transactions
from crmlytics.datasets import load_complete_journey
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.segmentation.lifecycle import STAGES, lifecycle_table
from crmlytics.segmentation.transitions import lifecycle_transition_table, lifecycle_value_table
from crmlytics.testing import make_frame, records

START = dt.datetime(2024, 1, 1)
DAYS = {
    "loyal": range(0, 300, 10),
    "growing": [*range(0, 230, 10), *range(230, 300, 2)],
    "at risk": range(0, 270, 10),
    "lapsed": range(0, 200, 10),
    "won back": [*range(0, 100, 10), 280, 290],
    "new": [250, 262, 275, 288],
    "new once": [285],
}


def day(number):
    return START + dt.timedelta(days=int(number))


def orders(days, amount=10.0):
    lines = [(who, day(number)) for who in days for number in days[who]]
    return {
        "customer_id": [who for who, _ in lines],
        "order_id": list(range(len(lines))),
        "timestamp": [moment for _, moment in lines],
        "amount": [amount] * len(lines),
    }


def stages(table):
    return {row[0]: row[1] for row in records(table)}


def oracle(days, today, window=60, risk=2.0, lapsed=4.0):
    """Return the stage of each customer, in plain words of the documentation."""
    known = {who: sorted({one for one in days[who] if one < today}) for who in days}
    known = {who: history for who, history in known.items() if history}
    own = [np.mean(np.diff(history)) for history in known.values() if len(history) > 1]
    everybody = float(np.floor(np.mean(own) * 1e6 + 0.5) / 1e6) if own else float(window)
    return {who: oracle_stage(history, everybody, today, window, risk, lapsed) for who, history in known.items()}


def oracle_stage(history, everybody, today, window, risk, lapsed):
    start = today - window
    gaps = np.diff(history)
    lapses = np.zeros(len(gaps), bool)
    for _ in range(2):
        usual = [(gaps[:i][~lapses[:i]].sum() + 2 * everybody) / ((~lapses[:i]).sum() + 2) for i in range(len(gaps))]
        # the interval before the gap: the k-th gap is judged by k - 1 intervals, less lapses
        lapses = np.array([gap > lapsed * max(one, 7.0) for gap, one in zip(gaps, usual, strict=True)], bool)
    usual = (gaps[~lapses].sum() + 2 * everybody) / ((~lapses).sum() + 2)
    ratio = (today - history[-1]) / max(usual, 7.0)
    if ratio > lapsed:
        return "lapsed"
    if ratio > risk:
        return "at risk"
    returns = [back for back, lapse in zip(history[1:], lapses, strict=True) if lapse]
    if returns and today - returns[-1] <= window:
        return "won back"
    if history[0] >= start or len(history) == 1:
        return "new"
    recent = sum(one >= start for one in history)
    away = sum(gap for gap, lapse, back in zip(gaps, lapses, history[1:], strict=True) if lapse and back < start)
    expected = window * (len(history) - recent - 1 + 2) / (start - history[0] - away + 2 * everybody)
    grows = recent >= 2 and recent > expected and (recent - expected) ** 2 >= 1.6448536269514722**2 * expected
    return "growing" if grows else "loyal"


# -- stages --------------------------------------------------------------------------------------------------------


def test_stages_on_every_frame(frame):
    sales = frame(orders(DAYS))
    table = lifecycle_table(sales, as_of=day(300), window="60d")
    assert type(table) is type(sales)
    assert stages(table) == {who: who.removesuffix(" once") for who in sorted(DAYS)}
    assert [row[0] for row in records(table)] == sorted(DAYS)


def test_measures_by_hand():
    days = {"a": [0, 10, 20, 130, 140], "b": [0, 30]}
    (a, b) = records(lifecycle_table(pd.DataFrame(orders(days)), as_of=day(150), window="60d"))
    # intervals of everybody: (140 / 4 + 30) / 2 = 32.5; at 130: (20 + 65) / (2 + 2) = 21.25, and 110 > 85 is a lapse
    usual = (140 - 110 + 65) / (4 - 1 + 2)
    assert a[:4] == ("a", "won back", 5, 10)
    assert a[4] == pytest.approx(usual)
    assert a[5] == pytest.approx(10 / usual)
    assert a[6:] == (2, pytest.approx(60 * (3 - 1 + 2) / (90 + 65)), 1, 20.0)
    assert b[:4] == ("b", "at risk", 2, 120)
    assert b[4] == pytest.approx((30 + 65) / 3)
    assert b[6:] == (0, pytest.approx(60 * 3 / (90 + 65)), 0, None)


def test_limits_from_both_sides():
    days = {"a": range(0, 101, 10), "b": range(0, 101, 10)}  # everybody every ten days
    for today, stage in ((120, "loyal"), (121, "at risk"), (140, "at risk"), (141, "lapsed")):
        assert stages(lifecycle_table(pd.DataFrame(orders(days)), as_of=day(today)))["a"] == stage


def test_the_window_begins_with_its_first_day():
    others = {"x": range(0, 300, 10), "y": range(0, 300, 10)}
    for first, stage in ((240, "new"), (239, "loyal")):
        table = pd.DataFrame(orders(others | {"a": range(first, 300, 10)}))
        found = records(lifecycle_table(table, as_of=day(300), window="60d"))[0]
        assert (found[1], found[6]) == (stage, 6)
    for back, stage in ((240, "won back"), (239, "loyal")):
        table = pd.DataFrame(orders(others | {"a": [*range(0, 60, 10), *range(back, 300, 20)]}))
        assert stages(lifecycle_table(table, as_of=day(300), window="60d"))["a"] == stage


def test_who_lapses_twice_has_a_rhythm_in_between():
    regular = dict.fromkeys(("x", "y", "z"), range(0, 360, 10))
    table = pd.DataFrame(orders(regular | {"a": [0, 10, 20, 30, 230, 240, 350, 360]}))
    first = records(lifecycle_table(table, as_of=day(365)))[0]
    # 110 days are many for who buys every ten days, and would be few had the 200 days before been an interval
    assert first[8] == 2
    assert first[4] == pytest.approx((50 + 2 * (360 / 7 + 30) / 4) / (5 + 2))


def test_a_week_of_silence_is_no_risk_for_who_buys_daily():
    days = {"a": range(100)}
    assert stages(lifecycle_table(pd.DataFrame(orders(days)), as_of=day(113)))["a"] == "loyal"
    assert stages(lifecycle_table(pd.DataFrame(orders(days)), as_of=day(114)))["a"] == "at risk"


@settings(max_examples=25)
@given(
    days=st.dictionaries(
        st.sampled_from("abcdef"), st.lists(st.integers(0, 400), min_size=1, max_size=15), min_size=1, max_size=6
    ),
    today=st.integers(1, 450),
    seed=st.integers(0, 9),
)
def test_everybody_has_the_one_stage_that_the_rules_say(days, today, seed):
    table = pd.DataFrame(orders(days)).sample(frac=1, random_state=seed)
    found = lifecycle_table(table, as_of=day(today), window="60d")
    assert stages(found) == oracle(days, today)
    assert found["customer_id"].is_unique
    assert set(found["stage"]) <= set(STAGES)


def test_the_future_is_not_read():
    sales = pd.DataFrame(orders(DAYS))
    poison = sales.assign(timestamp=day(300), order_id=lambda t: t["order_id"] + 1000, amount=1e9)
    later = pd.concat([sales, poison, poison.assign(timestamp=day(350), amount=-1e9)])
    expected = lifecycle_table(sales, as_of=day(300))
    pd.testing.assert_frame_equal(lifecycle_table(later, as_of=day(300)), expected)


def test_what_came_back_is_no_purchase():
    lines = {
        "customer_id": ["a", "a", "b", "c", "c"], "order_id": [1, 2, 3, 4, 5],
        "timestamp": [day(0), day(50), day(50), day(10), day(10)], "amount": [10.0, -10.0, -5.0, 8.0, -8.0],
    }  # fmt: skip
    found = lifecycle_table(pd.DataFrame(lines), as_of=day(60))
    assert [row[:4] for row in records(found)] == [("a", "new", 1, 60)]  # b and c kept nothing


def test_refusals():
    sales = pd.DataFrame(orders(DAYS))
    with pytest.raises(SchemaError, match=r"lapsed_factor must be above at_risk_factor, got 2 and 3"):
        lifecycle_table(sales, as_of=day(300), at_risk_factor=3, lapsed_factor=2)
    with pytest.raises(SchemaError, match=r'window must be a duration in days or weeks such as window="90d"'):
        lifecycle_table(sales, as_of=day(300), window="3 months")
    with pytest.raises(MissingColumnsError, match=r"lifecycle_table needs \['amount'\]"):
        lifecycle_table(sales.drop(columns="amount"), as_of=day(300))


# -- from stage to stage -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def journey():
    data = load_complete_journey()
    return Transactions(
        data.transactions, customer_id="household_id", order_id="basket_id", timestamp="transaction_timestamp",
        product_id="product_id", quantity="quantity", amount="sales_value",
    )  # fmt: skip


def test_moves_are_those_between_two_looks(journey):
    table = lifecycle_transition_table(journey, as_of="2017-12-31", step="90d", step_count=2)
    looks = [
        lifecycle_table(journey, as_of=dt.datetime(2017, 12, 31) - dt.timedelta(days=90 * back)) for back in (2, 1, 0)
    ]
    moves = pd.concat([one.merge(other, on="customer_id") for one, other in itertools.pairwise(looks)])
    counted = moves.groupby(["stage_x", "stage_y"]).size()
    assert len(table) == len(STAGES) ** 2
    for row in table.itertuples():
        assert row.transition_count == counted.get((row.from_stage, row.to_stage), 0)
    assert table["transition_count"].sum() == len(looks[0]) + len(looks[1])
    sums = table.groupby("from_stage")["transition_probability"].sum()
    assert sums.to_numpy() == pytest.approx(np.ones(6))
    low, high = table["transition_probability_low"], table["transition_probability_high"]
    assert (low <= table["transition_probability"]).all()
    assert (high >= table["transition_probability"]).all()
    assert (high[table["transition_count"] == 0] > 0).all()  # what nobody did yet is not impossible


def test_steps_by_hand():
    days = {"a": range(0, 400, 10), "b": range(0, 400, 10), "c": range(0, 280, 10)}
    table = lifecycle_transition_table(
        make_frame(orders(days), "polars"), as_of=day(400), step="60d", step_count=2, window="60d"
    )
    found = {row[:2]: row[2:5] for row in records(table)}
    # looks on days 280, 340 and 400: c, last seen on day 270, is loyal, then silent for 70 and 130 days
    assert found["loyal", "loyal"] == (4, 3, pytest.approx(4 / 5))
    assert found["loyal", "lapsed"] == (1, 3, pytest.approx(1 / 5))
    assert found["lapsed", "lapsed"] == (1, 1, 1.0)
    assert found["new", "loyal"] == (0, 0, None)
    low, high = next(row[5:] for row in records(table) if row[:2] == ("loyal", "loyal"))
    z, n, p = 1.959964, 3, 0.8  # five steps, but of three customers
    middle, reach = (p + z * z / (2 * n)), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert (low, high) == pytest.approx(tuple((middle + side * reach) / (1 + z * z / n) for side in (-1, 1)), abs=1e-6)


def test_values_by_hand():
    days = {"a": range(0, 400, 10), "b": range(0, 400, 10), "c": range(0, 280, 10)}
    table = lifecycle_value_table(
        pd.DataFrame(orders(days)), as_of=day(400), step="60d", step_count=2, window="60d", horizon_step_count=3,
        annual_discount_rate=0.1,
    ).set_index("stage")  # fmt: skip
    # in each step a and b buy six times for 10; c buys nothing: loyal customers bring 4 x 60 in 5 steps
    loyal, step = 48.0, 1.1 ** (60 / 365)
    assert table.loc["loyal", "next_amount"] == pytest.approx(loyal)
    assert table.loc["lapsed", "next_amount"] == 0.0
    value = loyal * (1 + 0.8 / step + 0.64 / step**2)
    assert table.loc["loyal", "expected_amount"] == pytest.approx(value)
    assert table.loc["loyal", "customer_count"] == 2
    assert table.loc["loyal", "total_expected_amount"] == pytest.approx(2 * value)
    assert np.isnan(table.loc["new", "expected_amount"])
    low, high = table.loc["loyal", ["expected_amount_low", "expected_amount_high"]]
    assert 0 <= low < value < high


def test_amounts_of_all_steps_add_up_to_the_revenue_of_known_customers(journey):
    table = lifecycle_value_table(journey, as_of="2017-12-31", step_count=2)
    sales = journey.data
    sales = sales[sales["transaction_timestamp"] < "2017-12-31"]
    revenue = 0.0
    for back in (2, 1):
        begin = dt.datetime(2017, 12, 31) - dt.timedelta(days=90 * back)
        known = sales[sales["transaction_timestamp"] < begin]["household_id"].unique()
        step = sales[sales["transaction_timestamp"].between(begin, begin + dt.timedelta(days=90), inclusive="left")]
        revenue += step[step["household_id"].isin(known)]["sales_value"].sum()
    assert (table["next_amount"] * table["observed_count"]).sum() == pytest.approx(revenue, abs=0.01)
    assert table["customer_count"].sum() == sales["household_id"].nunique()


def test_moves_and_values_know_no_future_and_no_order_of_rows():
    sales = pd.DataFrame(orders(DAYS))
    poison = sales.assign(timestamp=day(300), order_id=lambda t: t["order_id"] + 1000, amount=1e9)
    for table in (lifecycle_transition_table, lifecycle_value_table):
        options = {"as_of": day(300), "step": "60d", "step_count": 2, "window": "60d"}
        expected = records(table(sales, **options))
        assert records(table(pd.concat([poison, sales]).sample(frac=1, random_state=0), **options)) == expected
        assert records(table(make_frame(orders(DAYS), "duckdb"), **options)) == expected


SQL = ["duckdb", pytest.param("pyspark", marks=[pytest.mark.spark, pytest.mark.xdist_group("spark")])]


@pytest.mark.parametrize("kind", SQL, indirect=True)
def test_order_lines_stay_where_they_are(frame, monkeypatch):
    collected, collect = [], nw.LazyFrame.collect

    def counted(plan, *args, **options):
        found = collect(plan, *args, **options)
        collected.append(len(found))
        return found

    sales = frame(orders(DAYS))
    monkeypatch.setattr(nw.LazyFrame, "collect", counted)
    table = lifecycle_table(sales, as_of=day(300), window="60d")
    assert type(table) is type(sales)
    assert collected == []  # still a plan
    lifecycle_transition_table(sales, as_of=day(300), step="60d", step_count=1, window="60d")
    assert 0 < max(collected) <= len(DAYS)  # a row per customer, of 190 lines


def test_real_shop_everybody_who_bought_has_a_stage(shared_data):
    lines = pd.read_parquet(shared_data / "online_retail.parquet").dropna(subset=["CustomerID"])
    lines = lines[lines["UnitPrice"] > 0]
    tx = Transactions(
        lines, customer_id="CustomerID", order_id="InvoiceNo", timestamp="InvoiceDate", product_id="StockCode",
        quantity="Quantity", unit_price="UnitPrice",
    )  # fmt: skip
    table = lifecycle_table(tx, as_of="2011-12-10")
    bought = lines[lines["Quantity"] > 0]["CustomerID"].nunique()
    assert bought - 20 < len(table) <= bought  # a few sent everything back on the same day
    assert table["customer_id"].is_unique
    worth = lifecycle_value_table(tx, as_of="2011-12-10").set_index("stage")["next_amount"]
    assert worth["growing"] > worth["loyal"] > worth["at risk"]


def test_too_short_a_history_is_refused():
    sales = pd.DataFrame(orders({"a": range(0, 100, 10)}))
    with pytest.raises(
        SchemaError, match=r"no whole step of 90 days after a window of 90.*the data begin on 2024-01-01"
    ):
        lifecycle_transition_table(sales, as_of=day(100))
    with pytest.raises(SchemaError, match=r"no line lies before it"):
        lifecycle_value_table(sales, as_of="2020-01-01")
    with pytest.raises(SchemaError, match=r"step_count must be a whole number of at least 1"):
        lifecycle_transition_table(sales, as_of=day(100), step_count=0)
