"""What Snapshots promises: features strictly before, labels in a half-open window after, no label known too early."""

import dataclasses
import datetime as dt
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Contacts, Products, Subscriptions, Transactions
from crmlytics._frames import to_pandas
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.snapshots._cutoffs import cutoff_dates
from crmlytics.snapshots._snapshots import Snapshots
from crmlytics.testing import FRAME_KINDS, make_frame, records

CUTOFF = dt.datetime(2024, 3, 1)
DAY = dt.timedelta(days=1)


@pytest.fixture(params=[name for name in FRAME_KINDS if name != "pyspark"])
def quick_frame(request):
    """Every kind but PySpark, which is slow: one test of this file has that one too."""
    return partial(make_frame, kind=request.param)


def on(days, **more):
    """The moment so many days from the cutoff."""
    return CUTOFF + dt.timedelta(days=days, **more)


ORDERS = {
    "customer_id": ["a", "a", "a", "a", "b", "b", "c", "c", "d", "e"],
    "order_id": [1, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    "timestamp": [
        on(-40), on(-40), on(-10), on(5),  # a: two orders, then one five days after
        on(-20), on(17),  # b: the end of [7, 17) is exclusive
        on(-3), on(7),  # c: its beginning is inclusive
        on(0),  # d: at the very cutoff: belongs to the future
        on(-70),  # e: too long ago to be eligible
    ],
    "amount": [10.0, 5.0, 20.0, 7.0, 8.0, 9.0, 3.0, 4.0, 6.0, 2.0],
}  # fmt: skip
KNOWN = dt.datetime(2024, 6, 1)


def snapshots_of(data, **more):
    options = {
        "cutoffs": CUTOFF, "horizon": "10d", "active_within": "60d", "families": ["recency", "frequency"],
        "lookbacks": ["30d"], "observed_until": KNOWN,
    }  # fmt: skip
    return Snapshots(data, **options | more)


def test_panel_by_hand_on_every_frame_is_of_the_kind_that_came_in(frame):
    orders = frame(ORDERS)
    panel = snapshots_of(orders, gap="7d").panel_table()
    assert type(panel) is type(orders)
    assert list(to_pandas(panel).columns) == [
        "customer_id", "cutoff", "recency_days", "order_count", "order_count_30d",
        "bought", "future_order_count", "future_amount",
    ]  # fmt: skip
    assert records(panel) == [
        ("a", CUTOFF, 10.0, 2, 1, False, 0, 0.0),
        ("b", CUTOFF, 20.0, 1, 1, False, 0, 0.0),
        ("c", CUTOFF, 3.0, 1, 1, True, 1, 4.0),
    ]


def test_without_a_gap_the_window_begins_at_the_cutoff():
    panel = snapshots_of(make_frame(ORDERS, "polars"), horizon="17d").panel_table()
    assert panel["bought"].to_list() == [True, False, True]
    assert panel["future_amount"].to_list() == [7.0, 0.0, 4.0]


def test_the_same_features_without_labels_at_any_moment(quick_frame):
    snapshots = snapshots_of(quick_frame(ORDERS))
    features = snapshots.features_table("2024-03-01")
    assert list(to_pandas(features).columns) == ["customer_id", "cutoff", *snapshots.feature_names]
    assert records(features) == [row[:5] for row in records(snapshots.panel_table())]


def test_the_cutoffs_come_out_one_below_the_other_by_customer():
    panel = snapshots_of(make_frame(ORDERS, "pandas"), cutoffs=[on(0), on(-10)]).panel_table()
    assert list(panel[["customer_id", "cutoff"]].itertuples(index=False, name=None)) == [
        ("a", on(-10)),
        ("a", on(0)),
        ("b", on(-10)),
        ("b", on(0)),
        ("c", on(0)),
        ("e", on(-10)),
    ]  # e was active within 60 days of the earlier one; a's order at that very moment belongs to its future
    assert panel["recency_days"].to_list() == [30.0, 10.0, 10.0, 20.0, 3.0, 60.0]


def test_who_is_eligible_ends_at_the_day_it_says():
    orders = make_frame(ORDERS, "polars")
    assert "e" not in snapshots_of(orders, active_within="69d").panel_table()["customer_id"]
    assert "e" in snapshots_of(orders, active_within="70d").panel_table()["customer_id"]
    assert snapshots_of(orders, active_within=None).panel_table()["customer_id"].to_list() == ["a", "b", "c", "e"]


def test_a_credit_note_is_no_order_before_or_after_the_cutoff():
    orders = pd.DataFrame({
        "customer_id": ["a", "a", "b", "c"], "order_id": [1, 2, 3, 4],
        "timestamp": [on(-20), on(3), on(-5), on(-5)], "amount": [10.0, -4.0, -3.0, 1.0],
    })  # fmt: skip
    rows = records(snapshots_of(orders, active_within=None).panel_table())
    assert rows == [("a", CUTOFF, 20.0, 1, 1, False, 0, -4.0), ("c", CUTOFF, 5.0, 1, 1, False, 0, 0.0)]


def test_what_is_charged_later_for_an_order_begun_before_is_no_purchase(frame):
    orders = {
        "customer_id": ["a", "a", "b", "b", "b", "c", "c"], "order_id": [1, 1, 2, 2, 3, 1, 4],
        "timestamp": [on(-2), on(3), on(-2), on(3), on(4), on(-9), on(2)], "product_id": [10, 99, 10, 99, 10, 10, 99],
        "amount": [10.0, 4.0, 10.0, 4.0, 7.0, 5.0, 6.0],
    }  # fmt: skip
    snapshots = snapshots_of(frame(orders), families="recency", targets={"product_id": [10, 99]})
    rows = [(row[0], *row[-5:]) for row in records(snapshots.panel_table())]
    assert rows == [
        ("a", False, 0, 4.0, False, False),  # freight of order 1
        ("b", True, 1, 11.0, True, False),
        ("c", True, 1, 6.0, False, True),  # order 1 of somebody else
    ]


# -- nothing of the future ------------------------------------------------------------------------------------------

line = st.tuples(
    st.sampled_from("abc"),
    st.integers(1, 6),
    st.integers(-400, 60),
    st.sampled_from([-5.0, 0.0, 2.5, 10.0]),
    st.sampled_from("xyz"),
    st.sampled_from([-1.0, 1.0, 3.0]),
)
COLUMNS = ("customer_id", "order_id", "timestamp", "amount", "product_id", "quantity")


def as_columns(lines):
    rows = [(customer, order, on(day, hours=12 * (order % 2)), *rest) for customer, order, day, *rest in lines]
    columns = dict(zip(COLUMNS, [list(values) for values in zip(*rows, strict=True)], strict=True))
    return columns | {"channel": columns["product_id"], "list_price": [4.0] * len(rows)}


def features_at_the_cutoff(columns, kind):
    snapshots = Snapshots(
        make_frame(columns, kind), cutoffs=CUTOFF, horizon="30d", active_within=None, observed_until=KNOWN
    )
    return records(snapshots.features_table(CUTOFF))


ANCHOR = ("a", 9, -30, 4.0, "x", 1.0)


@settings(max_examples=6)
@given(past=st.lists(line.filter(lambda row: row[2] < 0), max_size=12), future=st.lists(line, max_size=8))
@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_whatever_the_future_holds_no_feature_changes(kind, past, future):
    past = [ANCHOR, *past]
    poison = [(customer, order, abs(day), *rest) for customer, order, day, *rest in future]
    assert features_at_the_cutoff(as_columns(past), kind) == features_at_the_cutoff(as_columns(past + poison), kind)


@pytest.mark.parametrize("kind", [name for name in FRAME_KINDS if name != "pyspark"])
def test_whatever_the_future_holds_no_feature_changes_on_any_engine(kind):
    past = [ANCHOR, ("a", 1, -200, 10.0, "y", 1.0), ("b", 2, -1, 2.5, "x", 3.0), ("a", 3, -10, -5.0, "x", -1.0)]
    poison = [("a", 1, 0, 99.0, "x", 1.0), ("b", 2, 0, -2.5, "x", -3.0), ("c", 5, 0, 7.0, "z", 1.0)]
    without = features_at_the_cutoff(as_columns(past), kind)
    assert without == features_at_the_cutoff(as_columns(past + poison), kind)
    assert [row[0] for row in without] == ["a", "b"]


@pytest.mark.parametrize("returns", ["keep", "match"])
def test_a_return_after_the_cutoff_does_not_undo_what_was_known(returns):
    columns = as_columns([ANCHOR, ("a", 2, 3, -4.0, "x", -1.0)])
    snapshots = snapshots_of(Transactions(make_frame(columns, "pandas"), returns=returns))
    assert records(snapshots.features_table(CUTOFF)) == [("a", CUTOFF, 30.0, 1, 1)]


@settings(max_examples=20)
@given(lines=st.lists(line, max_size=15))
def test_labels_count_what_a_plain_loop_counts(lines):
    columns = as_columns([ANCHOR, *lines])
    panel = snapshots_of(make_frame(columns, "polars"), gap="5d", horizon="20d", active_within=None).panel_table()
    for customer, amount, count, bought in panel.select(
        "customer_id", "future_amount", "future_order_count", "bought"
    ).iter_rows():
        mine = [
            (order, value)
            for who, order, moment, value in zip(*(columns[name] for name in COLUMNS[:4]), strict=True)
            if who == customer and on(5) <= moment < on(25)
        ]
        assert amount == pytest.approx(sum(value for _, value in mine))
        orders = {order: [value for other, value in mine if other == order] for order, _ in mine}
        before = {
            order
            for who, order, moment in zip(*(columns[name] for name in COLUMNS[:3]), strict=True)
            if who == customer and moment < on(5)
        }
        real = [
            values for order, values in orders.items() if order not in before and (sum(values) > 0 or min(values) >= 0)
        ]
        assert (count, bought) == (len(real), bool(real))


# -- other labels ---------------------------------------------------------------------------------------------------

LINES = {
    "customer_id": ["a", "a", "a", "b", "b"],
    "order_id": [1, 2, 3, 4, 5],
    "timestamp": [on(-5), on(2), on(3), on(-5), on(4)],
    "amount": [1.0, 1.0, -1.0, 1.0, 1.0],
    "product_id": [10, 11, 11, 10, 12],
}
RANGE = {"product_id": [10, 11, 12], "category": ["tea", "milk", "tea"], "department": ["dry", "cold", "dry"]}


def test_targets_are_bought_in_the_window_by_category_of_the_products(quick_frame):
    products = Products(quick_frame(RANGE))
    panel = snapshots_of(
        quick_frame(LINES), products=products, targets={"category": ["tea", "milk"], "product_id": [12]}
    )
    assert panel.label_names[-3:] == ["bought_tea", "bought_milk", "bought_12"]
    assert [row[-3:] for row in records(panel.panel_table())] == [(False, True, False), (True, False, True)]


def test_contacts_give_who_was_contacted_and_who_responded(quick_frame):
    contacts = Contacts(
        quick_frame({
            "customer_id": ["a", "a", "b", "b"], "campaign_id": ["k"] * 4, "timestamp": [on(1), on(2), on(-1), on(10)],
            "responded": [False, True, True, True], "arm": ["mail", "mail", "mail", "mail"],
        })
    )  # fmt: skip
    snapshots = snapshots_of(quick_frame(LINES), contacts=contacts)
    assert snapshots.label_names[-2:] == ["contacted", "responded"]
    assert [row[-2:] for row in records(snapshots.panel_table())] == [(True, True), (False, False)]


def test_the_control_group_is_not_contacted():
    contacts = pd.DataFrame({
        "customer_id": ["a", "b"], "campaign_id": ["k"] * 2, "timestamp": [on(1)] * 2, "responded": [True, True],
        "arm": ["Control", "mail"],
    })  # fmt: skip
    panel = snapshots_of(pd.DataFrame(LINES), contacts=contacts).panel_table()
    assert panel["contacted"].to_list() == [False, True]


SUBSCRIPTIONS = {
    "customer_id": ["a", "b", "b", "c", "d", "e", "f"],
    "started_at": [on(-90), on(-50), on(8), on(-30), on(0), on(-20), on(-20)],
    "ended_at": [on(10), on(8), pd.NaT, on(3), pd.NaT, pd.NaT, on(15)],
}


def test_who_ended_a_subscription_by_hand(quick_frame):
    subscriptions = Subscriptions(quick_frame(SUBSCRIPTIONS))
    snapshots = snapshots_of(
        quick_frame(ORDERS), subscriptions=subscriptions, eligible="subscriptions", gap="5d", horizon="10d"
    )
    rows = [(row[0], row[2], row[3], row[-1]) for row in records(snapshots.panel_table())]
    assert rows == [  # c ended within the gap, d began at the cutoff
        ("a", 10.0, 2, True),
        ("b", 20.0, 1, False),  # went over to another one
        ("e", 70.0, 1, False),
        ("f", None, 0, False),  # ended when the window was over
    ]
    assert [row[0] for row in records(snapshots.features_table(CUTOFF))] == ["a", "b", "c", "e", "f"]


def test_a_subscriber_without_an_order_has_counts_of_zero_and_an_unknown_recency(quick_frame):
    orders = {name: values[:4] for name, values in ORDERS.items()}
    snapshots = snapshots_of(
        quick_frame(orders),
        subscriptions=quick_frame(SUBSCRIPTIONS),
        eligible="subscriptions",
        families=["recency", "monetary"],
    )
    rows = {row[0]: row[2:6] for row in records(snapshots.features_table(CUTOFF))}
    assert rows["e"] == (None, 0.0, None, 0.0)
    assert rows["a"] == (10.0, 35.0, 17.5, 20.0)


# -- splits ---------------------------------------------------------------------------------------------------------


def monthly(count=6, **more):
    rng = np.random.default_rng(0)
    size = 600
    orders = pd.DataFrame({
        "customer_id": rng.integers(0, 60, size), "order_id": np.arange(size), "amount": rng.uniform(1, 9, size),
        "timestamp": CUTOFF - pd.to_timedelta(rng.integers(-3600, 360 * 24, size), unit="h"),
    })  # fmt: skip
    return Snapshots(
        orders,
        cutoffs=cutoff_dates(CUTOFF, every="30d", count=count),
        families=["recency", "frequency", "monetary"],
        active_within=None,
        **{"horizon": "50d", "gap": "10d"} | more,
    )


def test_a_split_trains_on_labels_known_by_then_and_tests_every_row_of_a_cutoff():
    snapshots = monthly()
    cutoff = snapshots.panel_table()["cutoff"]
    splits = snapshots.splits()
    assert [cutoff[test].unique().tolist() for _, test in splits] == [[moment] for moment in snapshots.cutoffs[2:]]
    for train, test in splits:
        assert set(train) == set(np.flatnonzero(cutoff <= cutoff[test[0]] - dt.timedelta(days=60)))
        assert set(test) == set(np.flatnonzero(cutoff == cutoff[test[0]]))
    assert len(snapshots.splits(min_train_cutoffs=3)) == 2


def test_rows_of_a_part_of_the_panel_are_numbered_as_they_lie():
    snapshots = monthly()
    part = snapshots.panel_table().query("customer_id < 20").iloc[::-1].reset_index(drop=True)
    for train, test in snapshots.splits(part):
        assert part["cutoff"][train].max() <= part["cutoff"][test].min() - dt.timedelta(days=60)
    assert sum(len(test) for _, test in snapshots.splits(part)) == (part["cutoff"] >= snapshots.cutoffs[2]).sum()


def test_scikit_learn_takes_the_splits():
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import cross_val_score

    snapshots = monthly()
    panel = snapshots.panel_table()
    scores = cross_val_score(
        HistGradientBoostingClassifier(max_iter=5),
        panel[snapshots.feature_names],
        panel["future_order_count"] > 1,
        cv=snapshots.splits(),
        scoring="roc_auc",
    )
    assert len(scores) == 4
    assert np.isfinite(scores).all()


def test_says_which_cutoffs_would_make_a_split():
    with pytest.raises(
        SchemaError,
        match=r"test at 2024-03-01, training cutoffs must lie at or before 2024-01-01, 60 days.*count=3\)",
    ):
        monthly(count=2).splits()
    assert len(monthly(count=3).splits()) == 1  # what it says to type


# -- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"horizon": 90}, r'horizon must be a duration.*horizon="90d"'),
        ({"gap": "3"}, r"gap must be a duration"),
        ({"active_within": ""}, r"active_within must be a duration"),
        ({"cutoffs": []}, r"cutoffs is empty.*cutoff_dates"),
        ({"cutoffs": ["01.02.2024"]}, r"cutoffs must be a date"),
        ({"families": ["recencie"]}, r"families must be one of .*Did you mean 'recency'\?"),
        ({"families": "recencie"}, r"families must be one of .*Did you mean 'recency'\?"),
        ({"families": 3}, r"families must be a list such as"),
        ({"lookbacks": None}, r"lookbacks must be a duration.* got None"),
        ({"lookbacks": 30}, r'lookbacks must be a duration.*lookbacks="30d"'),
        ({"families": []}, r"families is empty"),
        ({"families": ["channels"]}, r"family 'channels' needs 'channel': name yours.*channel='<your column>'"),
        ({"families": ["discounts"]}, r"needs 'discount_amount' or 'list_price' and 'quantity'"),
        ({"families": ["tickets"]}, r"family 'tickets' needs tickets=: give the table"),
        ({"eligible": "all"}, r"eligible must be one of"),
        ({"eligible": "subscriptions"}, r"needs subscriptions= with the role 'ended_at'"),
        ({"targets": "tea"}, r"targets must be a dict"),
        ({"targets": {"categorie": ["tea"]}}, r"Did you mean 'category'\?"),
        ({"targets": {"category": ["tea"]}}, r"neither transactions nor products= have"),
        ({"observed_until": "soon"}, r"observed_until must be a date"),
        ({"cutoffs": [CUTOFF, dt.datetime(2023, 12, 22)]}, r"nothing was known at the cutoff 2023-12-22"),
        ({"cutoffs": dt.datetime(2024, 1, 20), "active_within": "2d"}, r"nobody is eligible \(an order in the 2 days"),
    ],
)
def test_refuses_with_what_to_type(options, text):
    with pytest.raises(SchemaError, match=text):
        snapshots_of(pd.DataFrame(ORDERS), **options).panel_table()


def test_a_label_window_beyond_the_data_is_refused_with_the_last_cutoff_possible(quick_frame):
    orders = quick_frame(ORDERS)
    text = r"The last cutoff possible is 2024-02-21"  # the last line is of 2024-03-18: known until the 19th
    with pytest.raises(SchemaError, match=text):
        snapshots_of(orders, horizon="27d", observed_until=None).panel_table()
    assert (
        len(records(snapshots_of(orders, horizon="27d", observed_until=None, cutoffs="2024-02-21").panel_table())) == 2
    )


@pytest.mark.parametrize("values", [["11"], 7.0, None, []])
def test_targets_are_compared_with_ids_of_their_kind(values):
    with pytest.raises(SchemaError, match=r"targets\['product_id'\] must be a list of whole numbers"):
        snapshots_of(pd.DataFrame(LINES), targets={"product_id": values})


def test_a_target_that_nobody_bought_is_said():
    with pytest.warns(DataQualityWarning, match=r"\['bought_99'\] are true for nobody"):
        snapshots_of(pd.DataFrame(LINES), targets={"product_id": [11, 99]}).panel_table()


def test_a_cutoff_without_anybody_eligible_is_said():
    orders = pd.DataFrame(ORDERS)
    with pytest.warns(DataQualityWarning, match=r"nobody is eligible .* at 1 of 2 cutoffs: 2024-01-15"):
        snapshots_of(orders, cutoffs=["2024-01-15", CUTOFF], active_within="20d").panel_table()


def test_tables_of_two_libraries_are_refused():
    products = make_frame(RANGE, "polars")
    with pytest.raises(SchemaError, match=r"transactions is a pandas table and products a Polars table"):
        snapshots_of(pd.DataFrame(LINES), products=products)


def test_ids_of_two_kinds_are_refused():
    products = pd.DataFrame(RANGE).assign(product_id=["10", "11", "12"])
    with pytest.raises(SchemaError, match=r"product_id is Int64 in Transactions, String in Products"):
        snapshots_of(pd.DataFrame(LINES), products=products)


def test_an_attribute_called_as_a_feature_is_refused():
    customers = pd.DataFrame({"customer_id": ["a"], "Recency_days": [1.0]})
    with pytest.raises(SchemaError, match=r"two columns would be called 'Recency_days'"):
        snapshots_of(pd.DataFrame(ORDERS), customers=customers, families=["recency", "customers"]).panel_table()


def test_a_missing_role_of_the_transactions_is_named():
    with pytest.raises(MissingColumnsError, match=r"Snapshots needs \['amount'\]"):
        snapshots_of(pd.DataFrame(ORDERS).drop(columns="amount"))


# -- the object -----------------------------------------------------------------------------------------------------


def test_cutoff_dates_count_back_from_the_last():
    assert cutoff_dates("2024-03-01", every="1w", count=3) == [on(-14), on(-7), on(0)]
    with pytest.raises(SchemaError, match="count must be a whole number of at least 1"):
        cutoff_dates("2024-03-01", count=0)


def test_it_is_frozen_says_what_it_is_and_can_be_made_again_with_other_cutoffs():
    snapshots = snapshots_of(pd.DataFrame(ORDERS), gap="2w")
    assert repr(snapshots) == "Snapshots(pandas frame, 2024-03-01, horizon 10d, gap 14d; recency, frequency)"
    with pytest.raises(dataclasses.FrozenInstanceError):
        snapshots.gap = "0d"
    other = dataclasses.replace(snapshots, cutoffs=["2024-02-20", "2024-03-01"])
    assert other.cutoffs == (dt.datetime(2024, 2, 20), CUTOFF)
    assert other.gap == 14 * DAY


def test_the_table_that_came_is_not_changed_and_neither_is_what_is_kept():
    orders = pd.DataFrame(ORDERS)
    before = orders.copy()
    snapshots = snapshots_of(orders)
    panel = snapshots.panel_table()
    panel["recency_days"] = 0.0
    assert snapshots.panel_table()["recency_days"].to_list() == [10.0, 20.0, 3.0]
    pd.testing.assert_frame_equal(orders, before)


def test_lazy_engines_are_asked_for_nothing_when_the_end_is_given():
    polars = pytest.importorskip("polars")

    def fail(_):
        msg = "the data were asked for"
        raise AssertionError(msg)

    schema = {"customer_id": polars.String, "order_id": polars.Int64, "timestamp": polars.Datetime("us"),
              "amount": polars.Float64}  # fmt: skip
    lines = polars.LazyFrame(schema=schema).map_batches(fail, schema=schema)
    plan = snapshots_of(lines).panel_table()
    with pytest.raises(Exception, match="the data were asked for"):
        plan.collect()
