"""What the tables about segments promise: sizes and differences by hand, moves counted, drift told from chance."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.metrics import population_stability_index
from crmlytics.rfm import RFMSegmenter
from crmlytics.segmentation.moving import segment_drift_table, segment_migration_table
from crmlytics.segmentation.needs import value_needs_table
from crmlytics.segmentation.segmenter import CustomerSegmenter
from crmlytics.segmentation.summaries import segment_summary_table
from crmlytics.testing import make_frame, records

CUSTOMERS = {
    "customer_id": ["a", "b", "c", "d"],
    "orders": [1.0, 3.0, 10.0, None],
    "channel": ["web", "web", "shop", "shop"],
}
SEGMENTS = {"customer_id": ["d", "c", "b", "a"], "segment": ["many", "many", "few", "few"]}


# -- what segments look like ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pandas", "pandas-nullable", "polars-lazy", "pyarrow", "duckdb"])
def test_summary_by_hand(kind):
    table = make_frame(CUSTOMERS, kind)
    found = segment_summary_table(table, make_frame(SEGMENTS, kind))
    assert type(found) is type(table)
    rows = {row[:1] + row[3:5]: row[1:3] + row[5:10] for row in records(found)}
    assert rows["few", "orders", None] == (2, 0.5, 2.0, 2.0, None, pytest.approx(14 / 3), None)
    assert rows["many", "orders", None] == (2, 0.5, 10.0, 10.0, None, pytest.approx(14 / 3), None)  # one is unknown
    assert rows["few", "channel", "web"] == (2, 0.5, None, None, 1.0, None, 0.5)
    assert rows["many", "channel", "web"] == (2, 0.5, None, None, 0.0, None, 0.5)
    differences = {row[:1] + row[3:5]: row[10] for row in records(found)}
    assert differences["few", "channel", "web"] == pytest.approx((1 - 0.5) / np.sqrt(0.5 * 0.5))
    assert differences["many", "channel", "web"] == pytest.approx(-1.0)


def test_summary_goes_from_the_largest_segment_and_the_largest_difference_and_has_no_p_values():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"customer_id": range(100), "a": rng.normal(size=100), "b": rng.normal(size=100)})
    model = CustomerSegmenter(segments=3).fit(table)
    found = segment_summary_table(table, model.score_table(table))
    assert found["customer_count"].is_monotonic_decreasing
    for _, part in found.groupby("segment"):
        assert part["standardised_difference"].abs().is_monotonic_decreasing
    assert not [name for name in found.columns if "p_value" in name]
    assert sorted(found["standardised_difference"].abs()) == pytest.approx(sorted(np.abs(model.differences_).ravel()))


def test_segments_of_any_origin_and_who_is_in_one_table_only_is_counted():
    measures = pd.DataFrame({
        "customer_id": [1, 2, 3, 4], "recency_days": [5, 40, 200, 300], "order_count": [9, 2, 1, 1],
        "total_amount": [900.0, 80.0, 100.0, 50.0],
    })  # fmt: skip
    scores = RFMSegmenter(n_bins=3).fit(measures).score_table(measures)
    segments = scores[scores["customer_id"] < 4]
    with pytest.warns(
        DataQualityWarning,
        match=r"segment_summary_table: 1 of 4 customers of X are not in segments \(such as 4\) and are left out. Give",
    ):
        found = segment_summary_table(measures, segments, features=["order_count"])
    assert found.drop_duplicates("segment")["customer_count"].sum() == 3


def test_summary_refusals():
    table, segments = pd.DataFrame(CUSTOMERS), pd.DataFrame(SEGMENTS)
    with pytest.raises(MissingColumnsError, match=r"segments needs the columns \['customer_id', 'segment'\], got"):
        segment_summary_table(table, segments.rename(columns={"segment": "group"}))
    with pytest.raises(SchemaError, match=r"customer_id is String in X and Int64 in segments"):
        segment_summary_table(table, segments.assign(customer_id=range(4)))
    with pytest.raises(SchemaError, match=r"no customer of X is in segments"):
        segment_summary_table(table, segments.assign(customer_id=list("wxyz")))
    with pytest.raises(SchemaError, match=r"1 rows of segments have no segment"):
        segment_summary_table(table, segments.assign(segment=[None, "a", "a", "b"]))


# -- who moved -----------------------------------------------------------------------------------------------------

BEFORE = {"customer_id": [1, 2, 3, 4, 5], "segment": ["big", "big", "small", "small", None]}
AFTER = {"customer_id": [6, 4, 3, 2, 1], "segment": ["small", "small", "big", "small", "big"]}


def test_moves_by_hand_on_every_frame(frame):
    before = frame(BEFORE)
    found = segment_migration_table(before, frame(AFTER))
    assert type(found) is type(before)
    rows = records(found)
    assert [row[:3] for row in rows] == [
        ("(no segment)", "(gone)", 1), ("big", "big", 1), ("big", "small", 1), ("small", "big", 1),
        ("small", "small", 1), ("(new)", "small", 1),
    ]  # fmt: skip
    assert [row[3] for row in rows] == pytest.approx([1 / 6] * 6)
    assert [row[4] for row in rows] == [1.0, 0.5, 0.5, 0.5, 0.5, 1.0]
    assert rows[1][5:] == pytest.approx((0.094531, 0.905469), abs=1e-6)  # Wilson's interval of 1 of 2


@given(
    before=st.dictionaries(st.integers(0, 12), st.sampled_from("xyz"), min_size=1),
    after=st.dictionaries(st.integers(0, 12), st.sampled_from("xyz"), min_size=1),
)
def test_nobody_is_lost_or_invented(before, after):
    tables = [pd.DataFrame({"customer_id": list(part), "segment": list(part.values())}) for part in (before, after)]
    found = segment_migration_table(*tables)
    assert found["customer_count"].sum() == len(set(before) | set(after))
    sums = found.groupby("from_segment")["transition_probability"].sum()
    assert sums.to_numpy() == pytest.approx(np.ones(len(sums)))
    moved = {(row.from_segment, row.to_segment): row.customer_count for row in found.itertuples()}
    for one in "xyz":
        for other in "xyz":
            both = sum(before[who] == one and after.get(who) == other for who in before)
            assert moved.get((one, other), 0) == both


def test_migration_refusals():
    before, after = pd.DataFrame(BEFORE), pd.DataFrame(AFTER)
    with pytest.raises(SchemaError, match=r"before is a pandas table and after a Polars table"):
        segment_migration_table(before, make_frame(AFTER, "polars"))
    with pytest.raises(SchemaError, match=r"customer_id is Int64 in before and String in after"):
        segment_migration_table(before, after.assign(customer_id=list("abcde")))
    with pytest.raises(SchemaError, match=r"one row per customer_id in after, and none without: 6 rows, 5 customers"):
        segment_migration_table(before, pd.concat([after, after.head(1)]))
    with pytest.raises(MissingColumnsError, match=r"before needs the columns \['client', 'segment'\]"):
        segment_migration_table(before, after, key="client")


# -- drift ---------------------------------------------------------------------------------------------------------


def two_groups(low, high, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    visits = np.concatenate([rng.normal(10, spread, low), rng.normal(30, spread, high)])
    return pd.DataFrame({"customer_id": range(low + high), "visits": visits})


def test_sizes_that_moved_add_up_to_the_index():
    then, now = two_groups(120, 80), two_groups(60, 140, seed=1)
    model = CustomerSegmenter(segments=2).fit(then)
    found = segment_drift_table(model, now)
    assert found["segment"].tolist() == ["low visits", "high visits", "(everybody)"]
    assert found["fitted_count"].tolist() == [120, 80, 200]
    assert found["customer_count"].tolist() == [60, 140, 200]
    index = population_stability_index(["l"] * 120 + ["h"] * 80, ["l"] * 60 + ["h"] * 140)
    assert found["psi"].tolist()[2] == pytest.approx(index)
    assert found["psi"][:2].sum() == pytest.approx(index)
    assert found["verdict"][2] == "moved far"
    assert (found["customer_share_low"][:2] < found["customer_share"][:2]).all()


def test_the_same_customers_have_not_moved():
    then = two_groups(120, 80)
    found = segment_drift_table(CustomerSegmenter(segments=2).fit(then), then)
    assert found["psi"].abs().max() == 0.0
    assert found["distance_ratio"].tolist() == pytest.approx([1.0, 1.0, 1.0])
    assert found["verdict"].tolist() == ["no more than chance"] * 3


def test_segments_of_the_same_size_that_no_longer_fit_are_noticed():
    model = CustomerSegmenter(segments=2).fit(two_groups(100, 100))
    found = segment_drift_table(model, two_groups(100, 100, seed=1, spread=3.0))
    assert found["psi"].abs().max() == pytest.approx(0.0, abs=1e-9)
    assert found["verdict"].tolist()[:2] == ["farther from the centre"] * 2
    assert found["distance_ratio"].between(2, 4).all()


def test_an_empty_segment_has_no_distance_and_a_finite_index():
    model = CustomerSegmenter(segments=2).fit(two_groups(60, 40))
    found = records(segment_drift_table(model, make_frame(two_groups(50, 0).to_dict("list"), "polars")))
    high = dict(zip(["segment", "fitted_count", "customer_count"], found[1][:3], strict=True))
    assert high == {"segment": "high visits", "fitted_count": 40, "customer_count": 0}
    assert found[1][9] is None  # mean_distance
    assert np.isfinite(found[2][7])


# -- value and needs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pandas", "polars", "duckdb"])
def test_value_and_needs_by_hand(kind):
    values = make_frame({"customer_id": [1, 2, 3, 4, 5], "worth": [100.0, 60.0, 60.0, 20.0, 10.0]}, kind)
    needs = make_frame({"customer_id": [1, 2, 3, 4, 9], "segment": ["f", "f", "g", "g", "g"]}, kind)
    with pytest.warns(
        DataQualityWarning,
        match=r"value_needs_table: 1 of 5 customers of values are not in needs \(such as 5\), "
        r"1 of 5 customers of needs are not in values \(such as 9\) and are left out",
    ):
        found = value_needs_table(values, needs, value="worth", tiers={"top": 0.5, "rest": 0.5})
    assert type(found) is type(values)
    # 60 and 60 are equal: both in the top half, three of four
    assert records(found) == [
        ("top", "f", 2, 0.5, 160.0, pytest.approx(2 / 3), 80.0, 1.0, pytest.approx(4 / 3)),
        ("top", "g", 1, 0.25, 60.0, 0.25, 60.0, 0.5, pytest.approx(2 / 3)),
        ("rest", "f", 0, 0.0, 0.0, 0.0, None, 0.0, 0.0),
        ("rest", "g", 1, 0.25, 20.0, pytest.approx(1 / 12), 20.0, 0.5, 2.0),
    ]


@given(st.lists(st.tuples(st.integers(-5, 20), st.sampled_from("fgh")), min_size=1, max_size=30))
def test_no_customer_and_no_money_is_lost(customers):
    worth = [float(one) for one, _ in customers]
    values = pd.DataFrame({"customer_id": range(len(worth)), "total_amount": worth})
    needs = pd.DataFrame({"customer_id": range(len(worth)), "segment": [one for _, one in customers]})
    found = value_needs_table(values, needs)
    assert found["customer_count"].sum() == len(worth)
    assert found["value_amount"].sum() == pytest.approx(sum(worth))
    assert len(found) == 3 * len(set(needs["segment"]))
    high = found[found["value_tier"] == "high"]
    assert high["customer_count"].sum() >= 0.2 * len(worth)  # equals go up, never down
    cut = sorted(worth, reverse=True)[high["customer_count"].sum() - 1]
    assert sum(one >= cut for one in worth) == high["customer_count"].sum()


def test_value_and_needs_refusals():
    values = pd.DataFrame({"customer_id": [1, 2], "total_amount": [1.0, None]})
    needs = pd.DataFrame({"customer_id": [1, 2], "segment": ["a", "b"]})
    with pytest.raises(SchemaError, match=r"'total_amount' is missing or infinite in 1 rows"):
        value_needs_table(values, needs)
    with pytest.raises(SchemaError, match=r"tiers must map names to shares that add up to 1"):
        value_needs_table(values.fillna(0.0), needs, tiers={"a": 0.5})
    with pytest.raises(MissingColumnsError, match=r"values needs the columns \['customer_id', 'clv'\]"):
        value_needs_table(values, needs, value="clv")


def test_numbers_of_segments_are_the_same_whether_some_are_missing_or_not():
    before = pd.DataFrame({"customer_id": [1, 2, 3], "segment": [1, 2, 2]})
    after = pd.DataFrame({"customer_id": [1, 2, 3], "segment": [1.0, 2.0, None]})
    moved = segment_migration_table(before, after)
    stayed = moved[moved["from_segment"] == moved["to_segment"]]
    assert stayed["customer_count"].sum() == 2
    long = pd.DataFrame({"customer_id": [1, 2], "segment": [1234567.0, 1234568.0]})
    assert segment_summary_table(long.assign(orders=[1.0, 2.0]).drop(columns="segment"), long)["segment"].nunique() == 2


def test_tiers_must_be_shares():
    values = pd.DataFrame({"customer_id": [1, 2], "total_amount": [1.0, 2.0]})
    needs = pd.DataFrame({"customer_id": [1, 2], "segment": ["a", "b"]})
    with pytest.raises(SchemaError, match="tiers must map names to shares that add up to 1"):
        value_needs_table(values, needs, tiers={"high": float("nan"), "rest": 0.5})
