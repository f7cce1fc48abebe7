"""What each family of features promises, counted by hand on every frame, and found again where it was planted."""

import datetime as dt
import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Products
from crmlytics._frames import to_pandas
from crmlytics.datasets import make_transactions
from crmlytics.snapshots._cutoffs import cutoff_dates
from crmlytics.snapshots._families import FAMILIES
from crmlytics.snapshots._snapshots import Snapshots
from crmlytics.testing import FRAME_KINDS, make_frame

CUTOFF = dt.datetime(2024, 3, 1)
KNOWN = dt.datetime(2024, 6, 1)


@pytest.fixture(params=[name for name in FRAME_KINDS if name != "pyspark"])
def quick_frame(request):
    """Every kind but PySpark, which is slow: one test of this file has that one too."""
    return partial(make_frame, kind=request.param)


def on(days, **more):
    """The moment so many days from the cutoff."""
    return CUTOFF + dt.timedelta(days=days, **more)


def features(data, *families, **more):
    """The features of each customer at the cutoff, as plain dicts."""
    options = {"horizon": "30d", "active_within": None, "lookbacks": ["40d"], "observed_until": KNOWN}
    snapshots = Snapshots(data, cutoffs=CUTOFF, families=families, **options | more)
    table = to_pandas(snapshots.features_table(CUTOFF))
    assert list(table.columns[2:]) == snapshots.feature_names
    rows = table.astype(object).where(table.notna(), None)
    return {row["customer_id"]: {name: row[name] for name in snapshots.feature_names} for _, row in rows.iterrows()}


ORDERS = {
    "customer_id": ["a", "a", "a", "a", "a", "b"],
    "order_id": [1, 2, 2, 3, 4, 5],
    "timestamp": [on(-100), on(-30, hours=9), on(-30, hours=20), on(-10), on(-5), on(-40)],
    "amount": [10.0, 20.0, 10.0, 30.0, -6.0, 0.0],  # order 4 is a credit note, order 5 free
}


def test_recency_frequency_monetary_and_tenure_by_hand(quick_frame):
    found = features(quick_frame(ORDERS), "recency", "frequency", "monetary", "tenure")
    assert found["a"] == {
        "recency_days": 10.0, "order_count": 3, "order_count_40d": 2, "total_amount": 64.0,
        "mean_order_amount": pytest.approx(70 / 3), "amount_40d": 54.0, "tenure_days": 100.0,
    }  # fmt: skip
    assert found["b"] == {
        "recency_days": 40.0, "order_count": 1, "order_count_40d": 1, "total_amount": 0.0, "mean_order_amount": 0.0,
        "amount_40d": 0.0, "tenure_days": 40.0,
    }  # fmt: skip


def test_a_lookback_begins_at_its_day_and_each_has_its_columns():
    found = features(make_frame(ORDERS, "polars"), "frequency", lookbacks=["39d", "100d", "14w"])
    assert found["b"] == {"order_count": 1, "order_count_39d": 0, "order_count_98d": 1, "order_count_100d": 1}
    assert found["a"] == {"order_count": 3, "order_count_39d": 2, "order_count_98d": 2, "order_count_100d": 3}


def test_intervals_by_hand(quick_frame):
    orders = {
        "customer_id": ["a"] * 5 + ["b", "b", "b", "c"],
        "order_id": range(9),
        "timestamp": [on(-70), on(-60), on(-40, hours=9), on(-40, hours=15), on(-10), on(-9), on(-9), on(-5), on(-1)],
        "amount": [1.0] * 9,
    }
    found = features(quick_frame(orders), "intervals")
    assert found["a"] == {
        "mean_interval_days": 20.0,  # 10, 20, 30: two orders of one day are one
        "interval_cv": pytest.approx(10 / 20),
        "overdue_ratio": 0.5,
    }
    assert found["b"] == {"mean_interval_days": 4.0, "interval_cv": None, "overdue_ratio": 1.25}
    assert found["c"] == {"mean_interval_days": None, "interval_cv": None, "overdue_ratio": None}


@settings(max_examples=10)
@given(days=st.lists(st.integers(-500, -1), min_size=3, max_size=12, unique=True))
def test_intervals_are_what_numpy_says(days):
    orders = {"customer_id": ["a"] * len(days), "order_id": range(len(days)), "timestamp": [on(day) for day in days],
              "amount": [1.0] * len(days)}  # fmt: skip
    gaps = np.diff(np.sort(days))
    found = features(make_frame(orders, "polars"), "intervals")["a"]
    assert found["mean_interval_days"] == pytest.approx(gaps.mean())
    assert found["interval_cv"] == pytest.approx(gaps.std(ddof=1) / gaps.mean(), abs=1e-6)
    assert found["overdue_ratio"] == pytest.approx(-max(days) / gaps.mean())


def test_trends_by_hand(quick_frame):
    orders = {
        "customer_id": ["a", "a", "a", "b", "c", "d"] + ["e"] * 40,
        "order_id": range(46),
        "timestamp": [on(-20), on(-1), on(-21), on(-40), on(-41), on(-1)] + [on(-3)] * 40,
        "amount": [30.0, 10.0, 20.0, 5.0, 5.0, 0.0] + [1.0] * 40,
    }
    found = features(quick_frame(orders), "trends")
    assert found["a"] == {
        "order_trend_40d": pytest.approx(math.log(3 / 2)),
        "amount_trend_40d": pytest.approx(math.log((40 + 20) / (20 + 20))),
    }
    assert found["b"] == pytest.approx({"order_trend_40d": math.log(1 / 2), "amount_trend_40d": math.log(1 / 2)})
    assert found["c"] == pytest.approx({"order_trend_40d": 0.0, "amount_trend_40d": 0.0})
    assert found["d"] == {"order_trend_40d": pytest.approx(math.log(2)), "amount_trend_40d": None}  # free orders alone
    assert found["e"] == {"order_trend_40d": 3.0, "amount_trend_40d": 3.0}  # log 41 is bounded


def test_the_halves_of_odd_days_meet_at_noon_and_one_day_has_none(quick_frame):
    orders = {
        "customer_id": ["a", "b", "c"], "order_id": [1, 2, 3], "amount": [1.0, 1.0, 1.0],
        "timestamp": [on(-1, hours=-11), on(-1, hours=-13), on(-3, hours=1)],
    }  # fmt: skip
    found = features(quick_frame(orders), "frequency", "trends", lookbacks=["1d", "2d", "3d"])
    assert list(found["a"])[-4:] == ["order_trend_2d", "amount_trend_2d", "order_trend_3d", "amount_trend_3d"]
    trends = {who: (found[who]["order_trend_2d"], found[who]["order_trend_3d"]) for who in found}
    up, down = pytest.approx(math.log(2)), pytest.approx(-math.log(2))
    assert trends == {"a": (down, up), "b": (down, down), "c": (0.0, down)}


def test_seasonality_by_hand(quick_frame):
    orders = {
        "customer_id": ["a"] * 5 + ["b"],
        "order_id": range(6),
        "timestamp": [on(-358), on(-357, hours=-1), on(-358 + 30), on(-359), on(-3), on(-360)],
        "amount": [1.0] * 6,
    }
    found = features(quick_frame(orders), "seasonality", gap="7d")  # last year's window is [-358, -328)
    angle = 2 * math.pi * 60 / 365.25  # the 1st of March is 60 days after New Year in a leap year
    assert found["a"] == pytest.approx(
        {"season_sin": math.sin(angle), "season_cos": math.cos(angle), "same_season_order_count": 2.0}
    )
    assert found["b"]["same_season_order_count"] == 0.0


def test_a_season_before_the_data_begin_is_unknown(quick_frame):
    found = features(quick_frame(ORDERS), "recency", "seasonality")
    assert found["a"]["same_season_order_count"] is None


def test_a_season_that_begins_with_the_data_is_known():
    orders = {"customer_id": ["a", "a"], "order_id": [1, 2], "timestamp": [on(-365), on(-1)], "amount": [1.0, 1.0]}
    assert features(pd.DataFrame(orders), "seasonality")["a"]["same_season_order_count"] == 1.0


LINES = {
    "customer_id": ["a"] * 6 + ["b", "c"],
    "order_id": [1, 1, 2, 2, 3, 4, 5, 6],
    "timestamp": [on(-50), on(-50), on(-20), on(-20), on(-10), on(-5), on(-7), on(-8)],
    "product_id": [10, 11, 10, 12, 12, 11, 11, None],
    "amount": [30.0, 10.0, 30.0, 5.0, -5.0, 15.0, 4.0, 2.0],  # product 12 was given back
    "quantity": [3.0, 1.0, 3.0, 1.0, -1.0, 1.0, 1.0, 1.0],
    "channel": ["shop", "shop", "web", "web", "web", "tv", None, "web"],
    "discount_amount": [0.0, 2.0, None, -5.0, 1.0, 0.0, 0.0, 0.0],
}
RANGE = {"product_id": [10, 11, 12], "category": ["tea", "milk", "tea"], "department": ["all", "all", "all"]}


def test_breadth_by_hand_with_categories_and_departments_of_the_products(quick_frame):
    lines = quick_frame(LINES | {"product_id": [10, 11, 10, 12, 12, 11, 11, 99]})
    found = features(lines, "breadth", products=Products(quick_frame(RANGE)))
    assert found["a"] == pytest.approx({
        "product_count": 2, "top_product_share": 60 / 85, "category_count": 2, "top_category_share": 60 / 85,
        "department_count": 1, "top_department_share": 1.0,
    })  # fmt: skip
    assert found["b"]["category_count"] == 1
    assert found["c"] == {
        "product_count": 1, "top_product_share": 1.0, "category_count": 0, "top_category_share": None,
        "department_count": 0, "top_department_share": None,
    }  # fmt: skip


def test_a_category_of_the_lines_goes_before_that_of_the_products():
    lines = pd.DataFrame(LINES).assign(category=[f"c{i}" for i in range(8)])
    assert features(lines, "breadth", products=pd.DataFrame(RANGE))["a"]["category_count"] == 5  # one was only returned


def test_what_was_only_given_back_takes_nothing_from_the_share():
    lines = {"customer_id": ["a", "a"], "order_id": [1, 2], "timestamp": [on(-9), on(-8)], "product_id": [10, 11],
             "amount": [6.0, -4.0]}  # fmt: skip
    assert features(pd.DataFrame(lines), "breadth")["a"] == {"product_count": 1, "top_product_share": 1.0}


def test_lines_without_a_product_are_no_product():
    assert features(pd.DataFrame(LINES).dropna(subset="channel"), "breadth")["c"]["product_count"] == 0


def test_channels_by_hand(quick_frame):
    found = features(quick_frame({name: LINES[name] for name in LINES if name != "product_id"}), "channels")
    assert found["a"] == {
        "channel_count": 3,
        "last_channel": "tv",
        "top_channel_share": pytest.approx(1 / 3),  # the return in the web shop is no order
    }
    assert found["b"] == {"channel_count": 0, "last_channel": None, "top_channel_share": None}
    assert found["c"] == {"channel_count": 1, "last_channel": "web", "top_channel_share": 1.0}


def test_the_last_channel_of_one_moment_is_the_first_by_name_whatever_the_order_of_rows():
    rows = pd.DataFrame({
        "customer_id": ["a"] * 3, "order_id": [1, 2, 3], "timestamp": [on(-2)] * 3, "amount": [1.0] * 3,
        "channel": ["web", "app", "shop"],
    })  # fmt: skip
    assert features(rows, "channels") == features(rows[::-1], "channels")
    assert features(rows, "channels")["a"]["last_channel"] == "app"


def test_returns_by_hand(quick_frame):
    found = features(quick_frame({name: LINES[name] for name in LINES if name != "product_id"}), "returns")
    assert found["a"] == pytest.approx({"return_line_share": 1 / 6, "return_amount_share": 5 / 95})
    assert found["b"] == {"return_line_share": 0.0, "return_amount_share": 0.0}


def test_a_returned_line_may_have_a_positive_amount():
    found = features(pd.DataFrame(LINES).assign(amount=1.0), "returns")
    assert found["a"] == pytest.approx({"return_line_share": 1 / 6, "return_amount_share": 1 / 6})


def test_discounts_by_hand(quick_frame):
    found = features(quick_frame({name: LINES[name] for name in LINES if name != "product_id"}), "discounts")
    assert found["a"] == pytest.approx({"discounted_line_share": 2 / 5, "discount_share": 7 / (90 + 7)})
    assert found["b"] == {"discounted_line_share": 0.0, "discount_share": 0.0}


def test_discounts_are_told_from_list_prices_where_no_discount_is_bound():
    lines = (
        pd.DataFrame(LINES)
        .drop(columns="discount_amount")
        .assign(list_price=[10.0, 12.0, 10.0, 5.0, 5.0, 15.0, 4.0, 2.0])
    )
    assert features(lines, "discounts")["a"] == pytest.approx(
        {"discounted_line_share": 1 / 5, "discount_share": 2 / (90 + 2)}
    )


def test_the_history_with_each_target_by_hand(quick_frame):
    lines = quick_frame(LINES | {"product_id": [10, 11, 10, 12, 12, 11, 11, 99]})
    targets = {"category": ["tea"], "product_id": [11, 12]}
    found = features(lines, "targets", products=Products(quick_frame(RANGE)), targets=targets)
    assert found["a"] == {
        "order_count_tea": 2, "recency_days_tea": 20.0,  # that of 12 was given back under another number
        "order_count_11": 2, "recency_days_11": 5.0, "order_count_12": 1, "recency_days_12": 20.0,
    }  # fmt: skip
    assert found["c"] == {
        "order_count_tea": 0, "recency_days_tea": None, "order_count_11": 0, "recency_days_11": None,
        "order_count_12": 0, "recency_days_12": None,
    }  # fmt: skip


# -- all together ---------------------------------------------------------------------------------------------------


def everything(frame):
    """Every table there is, with one thing known and one of the future in each."""
    return {
        "events": frame({"customer_id": ["a", "a"], "timestamp": [on(-2), on(0)], "event": ["home", "cart"]}),
        "tickets": frame({
            "ticket_id": [1, 2], "customer_id": ["a", "a"], "opened_at": [on(-9), on(1)], "closed_at": [on(2), on(3)],
        }),
        "contacts": frame({"customer_id": ["b", "b"], "campaign_id": ["k", "k"], "timestamp": [on(-3), on(3)]}),
        "customers": frame({"customer_id": ["a", "b"], "city": ["Ulm", "Bonn"]}),
        "subscriptions": frame({"customer_id": ["b"], "started_at": [on(-30)], "ended_at": [on(4)]}),
    }  # fmt: skip


def test_all_families_that_the_data_allow_in_one_table(frame):
    orders = frame({name: values for name, values in LINES.items() if name != "product_id"})
    snapshots = Snapshots(orders, cutoffs=CUTOFF, horizon="30d", observed_until=KNOWN, **everything(frame))
    assert snapshots.families == tuple(name for name in FAMILIES if name not in {"breadth", "targets"})
    panel = snapshots.panel_table()
    assert type(panel) is type(orders)
    found = to_pandas(panel).set_index("customer_id")
    assert found["event_count"].tolist() == [1, 0, 0]
    assert found["open_ticket_count"].tolist() == [1, 0, 0]
    assert found["contact_count"].tolist() == [0, 1, 0]
    assert found["city"].tolist()[:2] == ["Ulm", "Bonn"]
    assert found["city"].isna().tolist() == [False, False, True]
    assert found["running_subscription_count"].tolist() == [0, 1, 0]
    assert found["ended"].tolist() == [False, True, False]


def test_counts_are_whole_words_text_and_everything_else_a_number_on_every_engine(quick_frame):
    import narwhals.stable.v2 as nw

    orders = quick_frame({name: values for name, values in LINES.items() if name != "product_id"})
    snapshots = Snapshots(orders, cutoffs=CUTOFF, horizon="30d", observed_until=KNOWN, **everything(quick_frame))
    schema = nw.from_native(snapshots.panel_table()).collect_schema()
    words = {"customer_id", "last_channel", "city"}
    flags = {"bought", "ended"}
    for name, dtype in schema.items():
        is_count = "_count" in name and name != "same_season_order_count"
        expected = nw.String if name in words else nw.Boolean if name in flags else nw.Int64 if is_count else nw.Float64
        assert dtype == (nw.Datetime("us") if name == "cutoff" else expected), name


def test_the_order_of_rows_does_not_matter():
    orders = make_transactions(customers=40, random_state=3).transactions
    shuffled = orders.sample(frac=1.0, random_state=1)
    tables = [
        Snapshots(rows, cutoffs=cutoff_dates("2024-06-01", count=2), horizon="90d").panel_table()
        for rows in (orders, shuffled)
    ]
    pd.testing.assert_frame_equal(*tables, rtol=1e-9)


# -- planted effects ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted():
    """Made customers, their features at one cutoff, and the truth that made them."""
    made = make_transactions(customers=1500, days=730, joining_days=200, random_state=5)
    snapshots = Snapshots(made.transactions, cutoffs="2024-09-01", horizon="90d", active_within=None)
    truth = made.customers.drop(columns="order_count").rename(columns={"mean_order_amount": "true_amount"})
    return snapshots.panel_table().merge(truth, on="customer_id"), made


def test_nobody_is_lost_and_every_order_is_before_or_after(planted):
    panel, made = planted
    orders = made.transactions.query("quantity > 0").drop_duplicates("order_id")
    cutoff = pd.Timestamp("2024-09-01")
    before = orders[orders["timestamp"] < cutoff].groupby("customer_id").size()
    window = orders[orders["timestamp"].between(cutoff, cutoff + pd.Timedelta(days=90), inclusive="left")]
    after = window.groupby("customer_id").size().reindex(before.index, fill_value=0)
    assert panel["order_count"].tolist() == before.tolist()
    assert panel["future_order_count"].tolist() == after.tolist()


def test_who_left_is_overdue_and_who_orders_often_has_short_intervals(planted):
    panel, _ = planted
    left = panel["dropped_out_at"] < pd.Timestamp("2024-09-01")
    assert panel["recency_days"][left].median() > 3 * panel["recency_days"][~left].median()
    assert panel["overdue_ratio"][left].median() > 2 * panel["overdue_ratio"][~left].median()
    assert panel["mean_interval_days"].corr(1 / panel["weekly_order_rate"], method="spearman") > 0.6
    assert panel["bought"][left].sum() == 0  # nobody buys after leaving
    assert panel["mean_order_amount"].corr(panel["true_amount"], method="spearman") > 0.6
