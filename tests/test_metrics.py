"""What the metrics promise: values counted by hand, equal to peers and to papers, whatever the order of the rows."""

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from crmlytics._kernels import classification as kernel
from crmlytics._kernels.cluster_bootstrap import (
    MEASURES,
    binned_statistic,
    bootstrap,
    classification_statistic,
)
from crmlytics._kernels.draws import Draws, bounds
from crmlytics._kernels.expected_profit import expected_maximum, running_totals
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.metrics._plots import plot_calibration, plot_gains, plot_lift
from crmlytics.metrics.classification import calibration_table, classification_table, confusion_table
from crmlytics.metrics.lift import gains_table, lift_table
from crmlytics.metrics.profit import expected_max_profit
from crmlytics.metrics.stability import population_stability_index, stability_table
from crmlytics.testing import make_frame, records

Y = [0, 1, 0, 1, 0, 1, 0, 1]
S = [0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8, 0.9]
OFFER = {"offer_cost": 10, "contact_cost": 1}


@st.composite
def judged(draw, most=40):
    """Outcomes of both kinds, probabilities with ties, whole weights that leave both kinds in."""
    n = draw(st.integers(4, most))
    y = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    y[:2] = [True, False]
    p = np.array(draw(st.lists(st.integers(0, 8), min_size=n, max_size=n))) / 8
    weight = np.array(draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)), float)
    weight[:2] = 1.0
    return y, p, weight


@pytest.fixture(scope="module")
def calibrated():
    """2,000 rows of 500 customers whose outcomes follow their probabilities."""
    rng = np.random.default_rng(5)
    p = rng.beta(1, 3, 2000)
    return rng.random(2000) < p, p, rng.integers(0, 500, 2000)


# -- kernels ---------------------------------------------------------------------------------------------------------


@given(judged())
def test_measures_equal_those_of_scikit_learn(case):
    y, p, weight = case
    for w in (None, weight):
        assert kernel.auc(y, p, w) == pytest.approx(roc_auc_score(y, p, sample_weight=w), abs=1e-12)
        assert kernel.average_precision(y, p, w) == pytest.approx(
            average_precision_score(y, p, sample_weight=w), abs=1e-12
        )
        assert kernel.brier_score(y, p, w) == pytest.approx(brier_score_loss(y, p, sample_weight=w), abs=1e-12)
        assert kernel.log_loss(y, p, w) == pytest.approx(log_loss(y, p, sample_weight=w), abs=1e-12)


@given(judged())
def test_a_weight_is_so_many_copies_of_a_row(case):
    y, p, weight = case
    copies = np.repeat(np.arange(len(y)), weight.astype(int))
    for measure in (kernel.auc, kernel.average_precision, kernel.brier_score, kernel.log_loss):
        assert measure(y, p, weight=weight) == pytest.approx(measure(y[copies], p[copies]), abs=1e-12)
    assert kernel.calibration_error(y, p, 4, weight) == pytest.approx(
        kernel.calibration_error(y[copies], p[copies], 4), abs=1e-12
    )


@given(judged())
def test_auc_knows_only_the_order(case):
    y, p, _ = case
    area = kernel.auc(y, p)
    assert kernel.auc(y, np.exp(3 * p) - 7) == pytest.approx(area, abs=1e-12)
    assert kernel.auc(y, -p) == pytest.approx(1 - area, abs=1e-12)
    assert kernel.auc(~y, p) == pytest.approx(1 - area, abs=1e-12)


def test_one_class_has_no_order():
    assert math.isnan(kernel.auc(np.array([True, True]), np.array([0.1, 0.2])))
    assert math.isnan(kernel.average_precision(np.array([False, False]), np.array([0.1, 0.2])))


def test_calibration_error_by_hand():
    y = np.array([0, 1, 1, 1], bool)
    p = np.array([0.1, 0.3, 0.6, 0.8])
    assert kernel.calibration_error(y, p, bins=2) == pytest.approx((abs(0.2 - 0.5) + abs(0.7 - 1.0)) / 2)


def test_calibration_error_shares_out_what_is_tied():
    y = np.array([1, 0, 0, 0, 1, 1], bool)
    p = np.array([0.5, 0.5, 0.5, 0.5, 0.9, 0.9])  # two bins of three: the upper one gets a quarter of the tied positive
    upper = abs((2 * 0.9 + 0.5) / 3 - (2 + 0.25) / 3)
    lower = abs(0.5 - 0.75 / 3)
    assert kernel.calibration_error(y, p, bins=2) == pytest.approx((upper + lower) / 2)
    assert kernel.calibration_error(y[::-1], p[::-1], bins=2) == kernel.calibration_error(y, p, bins=2)


def test_calibration_line_is_the_logistic_regression(calibrated):
    y, p, _ = calibrated
    p = np.clip(p, 1e-6, None)
    for weight in (None, np.random.default_rng(0).integers(0, 3, len(y))):
        model = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000)
        model.fit(kernel.log_odds(p)[:, None], y, sample_weight=weight)
        line = kernel.calibration_line(y, p, weight)
        assert line == pytest.approx((model.intercept_[0], model.coef_[0, 0]), abs=1e-6)


def test_calibration_line_undoes_what_was_done_to_the_log_odds(calibrated):
    y, p, _ = calibrated
    intercept, slope = kernel.calibration_line(y, p)
    bent = 1 / (1 + np.exp(-(2 * kernel.log_odds(p) + 1)))
    assert kernel.calibration_line(y, bent) == pytest.approx((intercept - slope / 2, slope / 2), abs=1e-6)


@pytest.mark.parametrize(
    ("y", "p"),
    [([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]), ([0, 1, 0, 1], [0.5] * 4), ([1, 1, 1, 1], [0.1, 0.2, 0.8, 0.9])],
    ids=["separated", "one probability", "one class"],
)
def test_calibration_line_is_missing_where_the_likelihood_has_no_maximum(y, p):
    assert np.isnan(kernel.calibration_line(np.array(y, bool), np.array(p))).all()


@given(judged())
def test_one_pass_over_a_replicate_equals_the_measures_one_by_one(case):
    y, p, weight = case
    cluster = np.arange(len(y)) // 2
    drawn = weight[: cluster[-1] + 1]
    rows = drawn[cluster]
    found = dict(zip(MEASURES, classification_statistic(y, p, cluster, (0.0, 1.0), 10)(drawn), strict=True))
    assert found["auc"] == pytest.approx(kernel.auc(y, p, rows), abs=1e-12)
    assert found["average_precision"] == pytest.approx(kernel.average_precision(y, p, rows), abs=1e-12)
    assert found["log_loss"] == pytest.approx(kernel.log_loss(y, p, rows), abs=1e-9)
    assert found["brier_score"] == pytest.approx(kernel.brier_score(y, p, rows), abs=1e-12)
    assert found["calibration_error"] == pytest.approx(kernel.calibration_error(y, p, 10, rows), abs=1e-12)
    assert found["calibration_in_the_large"] == pytest.approx(np.average(p - y, weights=rows), abs=1e-12)
    total, positive, score = binned_statistic(y, p, cluster, 3)(drawn)
    assert total.sum() == rows.sum()
    assert positive.sum() == pytest.approx(rows @ y)
    assert score.sum() == pytest.approx(rows @ p)


def test_a_replicate_takes_one_step_to_nearly_its_own_calibration_line(calibrated):
    y, p, cluster = calibrated
    statistic = classification_statistic(y, p, cluster, kernel.calibration_line(y, p), 10)
    weight = np.bincount(np.random.default_rng(1).integers(500, size=500), minlength=500).astype(float)
    step = statistic(weight)[[MEASURES.index("calibration_intercept"), MEASURES.index("calibration_slope")]]
    assert step == pytest.approx(kernel.calibration_line(y, p, weight[cluster]), abs=0.01)


def test_bootstrap_spreads_as_the_mean_of_clusters_does():
    values = np.random.default_rng(2).normal(size=400)
    draws = Draws.of(np.arange(400), replicates=2000, seed=0)
    mean = np.zeros(draws.bundles)
    mean[draws.bundle] = values / 400
    samples = bootstrap(lambda weight: np.array([weight @ mean]), draws, label="means")
    assert samples.std() == pytest.approx(values.std() / 20, rel=0.05)
    assert samples == pytest.approx(draws.sums(values[:, None] / 400), abs=1e-12)


def test_bounds_leave_out_replicates_without_a_value():
    low, high = bounds(np.array([[1.0, np.nan], [2.0, np.nan], [np.nan, np.nan], [3.0, np.nan]]), 0.5)
    assert (low[0], high[0]) == (1.5, 2.5)
    assert np.isnan([low[1], high[1]]).all()


# -- tables ----------------------------------------------------------------------------------------------------------


def test_classification_table_by_hand():
    table = classification_table(Y, S).set_index("metric")["value"]
    assert list(table.index) == list(MEASURES)
    assert table["auc"] == 10 / 16  # of 4 x 4 pairs, 0.2 beats one, 0.4 two, 0.7 three, 0.9 four
    assert table["average_precision"] == pytest.approx((1 / 1 + 2 / 3 + 3 / 5 + 4 / 7) / 4)
    assert table["brier_score"] == pytest.approx(np.mean((np.array(S) - Y) ** 2))
    assert table["mean_predicted_probability"] == pytest.approx(3.9 / 8)
    assert table["observed_share"] == 0.5
    assert table["calibration_in_the_large"] == pytest.approx(3.9 / 8 - 0.5)


def test_intervals_are_wider_where_customers_have_many_rows(calibrated):
    y, p = calibrated[:2]
    same = np.repeat(np.arange(200), 10)  # ten copies of 200 rows know as much as the 200 rows do
    y, p = y[same], p[same]
    by_row = classification_table(y, p).set_index("metric")
    by_customer = classification_table(y, p, customer_id=same).set_index("metric")
    for name in ("auc", "brier_score", "observed_share"):
        narrow, wide = ((table["high"] - table["low"])[name] for table in (by_row, by_customer))
        assert wide == pytest.approx(math.sqrt(10) * narrow, rel=0.15)
    assert by_row["value"].tolist() == pytest.approx(by_customer["value"].tolist(), abs=1e-9)


def test_interval_of_the_auc_is_that_of_hanley_and_mcneil(calibrated):
    y, p = calibrated[:2]
    auc = classification_table(y, p, replicates=500).set_index("metric").loc["auc"]
    a, positives, negatives = auc["value"], y.sum(), (~y).sum()
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)  # Radiology 143 (1982)
    variance = (a * (1 - a) + (positives - 1) * (q1 - a * a) + (negatives - 1) * (q2 - a * a)) / (positives * negatives)
    assert auc["high"] - auc["low"] == pytest.approx(2 * 1.96 * math.sqrt(variance), rel=0.15)


def test_bounds_hold_the_value_of_every_measure(calibrated):
    table = classification_table(*calibrated[:2], customer_id=calibrated[2], replicates=200)
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()


@settings(max_examples=10)
@given(judged(), st.randoms(use_true_random=False))
def test_tables_do_not_depend_on_the_order_of_the_rows(case, random):
    y, p, _ = case
    order = list(range(len(y)))
    random.shuffle(order)
    names = np.array([f"c{number // 2}" for number in range(len(y))])
    options = {"replicates": 100}
    for function, more in ((classification_table, {}), (lift_table, {"n_bins": 4}), (gains_table, {"n_points": 7})):
        for ids in (None, names):
            shuffled = None if ids is None else ids[order]
            before = function(y, p, customer_id=ids, **options, **more)
            after = function(y[order], p[order], customer_id=shuffled, **options, **more)
            pd.testing.assert_frame_equal(before, after, rtol=1e-6, atol=1e-6)


def test_resampling_noise_does_not_move_the_bounds_of_the_calibration_error():
    rng = np.random.default_rng(2)
    p = rng.beta(1, 3, 5000)
    row = classification_table(rng.random(5000) < p, p, replicates=300).set_index("metric").loc["calibration_error"]
    assert 0 <= row["low"] < row["value"] < row["high"]
    assert (row["low"] + row["high"]) / 2 == pytest.approx(row["value"], abs=0.15 * (row["high"] - row["low"]))


def test_lift_by_hand():
    y = [1, 1, 0, 1, 0, 0, 0, 0]
    score = [9, 8, 7, 6, 5, 4, 3, 2]
    table = lift_table(y, score, n_bins=4, replicates=100)
    assert table["row_count"].tolist() == [2, 2, 2, 2]
    assert table["positive_count"].tolist() == [2, 1, 0, 0]
    assert table["positive_share"].tolist() == [1, 0.5, 0, 0]
    assert table["lift"].tolist() == pytest.approx([8 / 3, 4 / 3, 0, 0])
    assert table["mean_score"].tolist() == [8.5, 6.5, 4.5, 2.5]
    assert table["cumulative_row_share"].tolist() == [0.25, 0.5, 0.75, 1]
    assert table["cumulative_positive_share"].tolist() == pytest.approx([2 / 3, 1, 1, 1])
    assert table["cumulative_lift"].tolist() == pytest.approx([8 / 3, 2, 4 / 3, 1])


def test_lift_shares_ties_out_as_if_they_were_shuffled():
    y, score = [1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]
    table = lift_table(y, score, n_bins=3, replicates=100)
    assert table["positive_count"].tolist() == [1, 1, 0]
    constant = lift_table(y, [0.5] * 6, n_bins=3, replicates=100)
    assert constant["lift"].tolist() == pytest.approx([1, 1, 1])


@given(judged())
def test_gains_begin_at_nothing_rise_and_end_at_everything(case):
    y, p, _ = case
    table = gains_table(y, p, n_points=9, replicates=100)
    assert table.iloc[0].tolist() == [0, 0, 0, 0, 0]
    assert table.iloc[-1].tolist() == pytest.approx([1, 1, 1, 1, 1])
    assert (table["positive_share"].diff().dropna() >= 0).all()
    assert (table["positive_share"] <= table["perfect_share"] + 1e-12).all()


def test_calibration_table_adds_up_to_the_calibration_error(calibrated):
    y, p, _ = calibrated
    y, p = y[:1234], np.round(p[:1234], 1)  # neither divides by ten, and many ties
    table = calibration_table(y, p)
    gaps = (table["mean_predicted_probability"] - table["observed_share"]).abs()
    assert (table["row_count"] * gaps).sum() / 1234 == pytest.approx(kernel.calibration_error(y, p))
    assert table["row_count"].sum() == 1234
    assert table["row_count"].max() - table["row_count"].min() <= 1
    assert table["positive_count"].sum() == pytest.approx(y.sum())
    assert table["mean_predicted_probability"].is_monotonic_increasing


def test_calibration_table_has_wilsons_interval():
    y, p = [True, *[False] * 9] * 2, [0.1] * 10 + [0.9] * 10
    row = calibration_table(y, p, n_bins=2).iloc[0]
    assert (row["observed_share_low"], row["observed_share_high"]) == pytest.approx(
        (0.0179, 0.4042), abs=1e-4
    )  # 1 / 10


def test_confusion_by_hand_and_a_threshold_is_included():
    table = confusion_table(Y, S, threshold=[0.4, 0.41, 1.0])
    counts = ["true_positive_count", "false_positive_count", "false_negative_count", "true_negative_count"]
    assert table[counts].to_numpy().tolist() == [[3, 2, 1, 2], [2, 2, 2, 2], [0, 0, 4, 4]]
    assert table["precision"].tolist()[:2] == [0.6, 0.5]
    assert math.isnan(table["precision"].iloc[2])
    assert table["recall"].tolist() == [0.75, 0.5, 0]
    assert table["specificity"].tolist() == [0.5, 0.5, 1]
    assert table["f1"].tolist() == pytest.approx([2 * 0.6 * 0.75 / 1.35, 0.5, 0])
    assert table["selected_share"].tolist() == [0.625, 0.5, 0]


def test_columns_of_any_engine_come_out_as_tables_of_that_engine():
    import polars as pl
    import pyarrow as pa

    assert type(confusion_table(pl.Series(Y), pl.Series(S), threshold=0.5)) is pl.DataFrame
    assert type(confusion_table(pa.array(Y), pa.chunked_array([S]), threshold=0.5)) is pa.Table
    assert type(confusion_table(Y, np.array(S).reshape(-1, 1), threshold=0.5)) is pd.DataFrame
    nullable = confusion_table(pd.Series(Y, dtype="boolean"), pd.Series(S, dtype="Float64"), threshold=0.5)
    arrow = confusion_table(pd.Series(Y, dtype="bool[pyarrow]"), pd.Series(S, dtype="double[pyarrow]"), threshold=0.5)
    assert records(nullable) == records(arrow) == records(confusion_table(Y, S, threshold=0.5))


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([1, 1], [0.1, 0.2], r"classification_table: y is true in all 2 rows.*longer horizon"),
        ([0, 0, 0], [0.1, 0.2, 0.3], "y is false in all 3 rows"),
        ([0, 1], [0.1], "y has 2, probability has 1 rows"),
        ([], [], "have no rows"),
        ([0, None], [0.1, 0.2], "y is missing in 1 of 2 rows.*not a negative"),
        ([0, 1], [0.1, float("nan")], "probability is missing in 1 of 2 rows"),
        ([0, 1], [0.1, float("inf")], "probability is infinite in 1 rows"),
        ([0, 1], [0.1, 1.5], r"between 0 and 1, got 1.5 \(1 of 2 rows.*lift_table.*exp\(-x\)"),
        ([0, 1], ["a", "b"], "probability must be numbers, got 'a'"),
        (["no", "yes"], [0.1, 0.2], r"true or false, or 1 and 0, got 'no', 'yes'.*y == \"yes\""),
        ([0, 2], [0.1, 0.2], "true or false, or 1 and 0, got 0, 2"),
        ([0, 1], [[0.9, 0.1], [0.8, 0.2]], r"predict_proba\(X\)\[:, 1\]"),
        ([0, 1], 0.5, "one column of values, got 0.5"),
    ],
)
def test_bad_columns_are_refused_with_the_repair(y, p, message):
    with pytest.raises(SchemaError, match=message):
        classification_table(y, p)


def test_tables_are_no_columns():
    with pytest.raises(SchemaError, match=r"got a table \(DataFrame\).*probability=table\[\"probability\"\]"):
        classification_table(Y, pd.DataFrame({"p": S}))


def test_bad_options_are_refused():
    with pytest.raises(SchemaError, match="n_bins=10 bins need as many rows, got 8"):
        lift_table(Y, S)
    with pytest.raises(SchemaError, match="customer_id is missing in 1 rows"):
        lift_table(Y, S, n_bins=2, customer_id=[*"abcdefg", None])
    with pytest.raises(SchemaError, match="y has 8, customer_id has 1 rows"):
        gains_table(Y, S, customer_id=["a"])
    with pytest.raises(SchemaError, match="replicates must be a whole number of at least 100"):
        classification_table(Y, S, replicates=10)
    for threshold in ("0.5", None, [], [float("nan")]):
        with pytest.raises(SchemaError, match=r"threshold must be a number such as threshold=0.3"):
            confusion_table(Y, S, threshold=threshold)


# -- expected maximum profit -----------------------------------------------------------------------------------------


def test_profit_is_the_published_one():
    found = expected_max_profit(Y, S, customer_value=200, **OFFER)
    assert found.profit_amount == pytest.approx(23.875593418348124, abs=1e-12)
    assert found.fraction == pytest.approx(0.8743700763487141, abs=1e-12)
    assert found.total_profit_amount == pytest.approx(8 * 23.875593418348124)


def test_equal_values_one_by_one_are_one_value():
    assert expected_max_profit(Y, S, customer_value=[200] * 8, **OFFER) == expected_max_profit(
        Y, S, customer_value=200, **OFFER
    )


@given(judged(most=15), st.integers(0, 10**6), st.floats(0.5, 8), st.floats(0.5, 8))
def test_profit_with_individual_values_equals_numeric_integration(case, seed, a, b):
    y, p, _ = case
    value = np.random.default_rng(seed).gamma(1, 60, len(y))  # some are worth less than the offer costs
    cuts = [p >= cut for cut in np.unique(p)]
    gains = np.array([0, *((y & cut) @ (value - 10) for cut in cuts)])
    costs = np.array([0, *(cut.sum() * 1 + (~y & cut).sum() * 10 for cut in cuts)])
    law = stats.beta(a, b)
    crossings = sorted(
        {
            round(float(turn), 12)
            for i in range(len(gains))
            for j in range(i)
            if gains[i] != gains[j] and 0 < (turn := (costs[i] - costs[j]) / (gains[i] - gains[j])) < 1
        }
    )
    edges = law.cdf([0, *crossings, 1])  # integrated over the probability: the integrand has no pole, only kinks
    expected = sum(
        integrate.quad(lambda u: max(law.ppf(u) * gains - costs), low, high)[0] for low, high in pairwise(edges)
    )
    found = expected_max_profit(y, p, customer_value=value, acceptance=(a, b), **OFFER)
    assert found.total_profit_amount == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_known_acceptance_is_what_a_narrow_distribution_comes_to():
    value = [300, 70, 80, 400, 20, 150, 5, 100]
    known = expected_max_profit(Y, S, customer_value=value, acceptance=0.3, **OFFER)
    narrow = expected_max_profit(Y, S, customer_value=value, acceptance=(3e7, 7e7), **OFFER)
    assert known.profit_amount == pytest.approx(narrow.profit_amount, rel=1e-4)
    assert known.fraction == pytest.approx(narrow.fraction)


def test_nobody_is_contacted_where_nothing_is_to_be_won():
    found = expected_max_profit(Y, S, customer_value=5, **OFFER)
    assert (found.profit_amount, found.fraction) == (0, 0)


@given(judged())
def test_profit_knows_only_the_order_and_no_rows_order(case):
    y, p, _ = case
    value = np.arange(len(y)) * 30.0
    one = expected_max_profit(y, p, customer_value=value, **OFFER)
    other = expected_max_profit(y[::-1], np.exp(p[::-1]), customer_value=value[::-1], **OFFER)
    assert other.profit_amount == pytest.approx(one.profit_amount, abs=1e-9)
    assert other.fraction == pytest.approx(one.fraction, abs=1e-9)


def test_a_longer_hull_than_python_would_like():
    rng = np.random.default_rng(3)
    y = rng.random(50_000) < 0.3
    count, gain, cost = running_totals(rng.random(50_000) + y, y * 190.0, np.where(y, 1.0, 11.0))
    profit, contacts = expected_maximum(gain, cost, count, 6, 14)
    share = (np.arange(400) + 0.5) / 400
    best = np.array([max(g * gain - cost) for g in share])
    assert profit == pytest.approx(best @ stats.beta.pdf(share, 6, 14) / 400, rel=1e-4)
    assert 0 < contacts < 50_000


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"acceptance": 30}, r"acceptance=0.3, or a beta distribution of it such as acceptance=\(6, 14\), got 30"),
        ({"acceptance": (6, -1)}, "got \\(6, -1\\)"),
        ({"customer_value": -1}, "customer_value must be a number of zero or more"),
        ({"customer_value": [1, 2]}, "y has 8, customer_value has 2 rows"),
        ({"customer_value": [-3.0, *[1] * 7]}, r"customer_value must be zero or more, got -3 \(1 customers\)"),
        ({"offer_cost": -1}, "offer_cost must be a number of zero or more"),
    ],
)
def test_bad_money_is_refused(more, message):
    with pytest.raises(SchemaError, match=message):
        expected_max_profit(Y, S, **({"customer_value": 200} | OFFER | more))


# -- stability -------------------------------------------------------------------------------------------------------


def test_index_by_hand():
    expected = 0.3 * math.log(0.8 / 0.5) - 0.3 * math.log(0.2 / 0.5)
    assert population_stability_index(["a"] * 50 + ["b"] * 50, ["a"] * 80 + ["b"] * 20) == pytest.approx(expected)
    numbers = list(range(100))
    assert population_stability_index(numbers, numbers * 3, n_bins=10) == 0
    halves = (0.6 - 0.5) * math.log(0.6 / 0.5) + (0.4 - 0.5) * math.log(0.4 / 0.5)
    assert population_stability_index(numbers, [0] * 60 + [99] * 40, n_bins=2) == pytest.approx(halves)


def test_missing_values_are_a_bin_of_their_own():
    known = [1.0] * 60 + [2.0] * 40
    gone = [1.0] * 30 + [2.0] * 20 + [None] * 50
    bins = np.array([60.5, 40.5, 0.5]), np.array([30.5, 20.5, 50.5])  # one has none: half a row is added to each
    e, a = (counts / counts.sum() for counts in bins)
    assert population_stability_index(known, gone, n_bins=2) == pytest.approx(((a - e) * np.log(a / e)).sum())


def test_an_empty_bin_and_rare_categories_keep_it_finite():
    assert math.isfinite(population_stability_index(["a"] * 50, ["b"] * 50))
    ids = [f"id{number}" for number in range(500)]
    assert math.isnan(population_stability_index(ids, [f"new{number}" for number in range(500)]))  # all rare


def test_a_value_that_many_rows_share_is_a_bin_of_its_own():
    heavy = [12.0] * 930 + [20.0] * 70
    found = population_stability_index(heavy, list(range(12)) * 50 + [12] * 400)  # below it there was nobody
    e, a = np.array([0.5, 930.5, 70.5]) / 1001.5, np.array([600.5, 400.5, 0.5]) / 1001.5
    assert found == pytest.approx(((a - e) * np.log(a / e)).sum())
    rare, often = [0] * 95 + [1] * 5, [0] * 5 + [1] * 95
    shares = 0.9 * math.log(0.95 / 0.05) * 2
    for bins in (2, 10):
        assert population_stability_index(rare, often, n_bins=bins) == pytest.approx(shares)
        assert population_stability_index(often, rare, n_bins=bins) == pytest.approx(shares)
    assert population_stability_index([5] * 50, [0] * 50) > 5
    assert population_stability_index([5] * 50, [9] * 50) > 5
    middle = list(range(40)) + [50] * 20 + list(range(60, 100))
    assert population_stability_index(middle, [value - (value == 50) for value in middle]) > 1


def test_too_few_rows_are_no_evidence_that_nothing_moved(frame):
    nine = {"word": ["x"] * 9, "number": [5] * 9, "same": ["a"] * 9}
    table = stability_table(frame(nine), frame({"word": ["y"] * 9, "number": [0] * 9, "same": ["a"] * 9}))
    rows = {row[0]: row[4:] for row in records(table)}
    assert rows["same"] == (1, 0, 0, 1, "stable", "no more than chance")
    assert rows["word"] == rows["number"] == (1, None, None, None, None, "too few rows")
    assert [row[0] for row in records(table)] == ["same", "number", "word"]
    assert population_stability_index(["x"] * 10, ["y"] * 10) == pytest.approx(2 * 10 / 11 * math.log(21))


def test_neighbouring_numbers_are_put_together_until_they_are_enough():
    table = stability_table(pd.DataFrame({"a": range(20)}), pd.DataFrame({"a": range(20)}))
    assert table["bin_count"].tolist() == [3]  # of ten bins with four rows of both tables; ten rows are needed
    large = stability_table(pd.DataFrame({"a": range(1000)}), pd.DataFrame({"a": range(0, 1000, 50)}))
    assert large["bin_count"].tolist() == [3]  # of 1,020 rows, five expected of twenty


def test_stability_of_every_frame_kind(frame):
    before = frame({"age": list(range(20, 70)) * 4, "vip": [True, False] * 100, "shop": ["web"] * 120 + ["x"] * 80})
    now = frame({"age": list(range(30, 80)) * 4, "vip": [True, False] * 100, "shop": ["web"] * 120 + ["x"] * 80})
    table = stability_table(before, now)
    assert type(table) is type(now)
    rows = records(table)
    assert [row[:5] for row in rows] == [
        ("age", "number", 200, 200, 10), ("shop", "category", 200, 200, 2), ("vip", "category", 200, 200, 2),
    ]  # fmt: skip
    assert [row[5] for row in rows[1:]] == [0, 0]
    critical = [(1 / 200 + 1 / 200) * stats.chi2.ppf(0.95, freedom) for freedom in (9, 1, 1)]
    assert [row[6] for row in rows] == pytest.approx(critical)
    assert [row[-1] for row in rows] == ["moved far", "no more than chance", "no more than chance"]


def test_chance_exceeds_the_critical_value_as_often_as_it_says():
    rng = np.random.default_rng(11)
    tables = [
        pd.DataFrame({f"x{number}": rng.normal(size=rows) for number in range(200)}).assign(
            **{f"c{number}": rng.choice(list("abcd"), rows) for number in range(200)}
        )
        for rows in (900, 300)
    ]
    table = stability_table(*tables)
    beyond = (table["psi"] > table["critical_psi"]).groupby(table["kind"]).mean()
    assert beyond["number"] == pytest.approx(0.05, abs=0.03)
    assert beyond["category"] == pytest.approx(0.05, abs=0.03)
    assert ((table["p_value"] < 0.05) == (table["psi"] > table["critical_psi"])).all()


@pytest.mark.parametrize("rows", [(800, 800), (200, 200), (2_000, 100)])
def test_chance_is_as_seldom_where_values_are_heavy_or_rare(rows):
    rng = np.random.default_rng(3)
    tables = [
        pd.DataFrame({f"x{number}": rng.poisson(1.5, size) * rng.integers(0, 2, size) for number in range(300)})
        for size in rows
    ]
    table = stability_table(*tables)
    assert (table["psi"] > table["critical_psi"]).mean() == pytest.approx(0.05, abs=0.04)


def test_the_verdict_weighs_the_number_of_rows():
    small = stability_table(
        pd.DataFrame({"c": ["a"] * 10 + ["b"] * 10}), pd.DataFrame({"c": ["a"] * 13 + ["b"] * 7})
    ).iloc[0]
    assert (small["psi"] > 0.09, small["verdict"]) == (True, "no more than chance")
    large = stability_table(
        pd.DataFrame({"c": ["a", "b"] * 50_000}), pd.DataFrame({"c": ["a"] * 52_000 + ["b"] * 48_000})
    ).iloc[0]
    assert (large["thumb_rule"], large["verdict"]) == ("stable", "small change")


def test_columns_that_cannot_be_compared_are_refused():
    before, now = pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": ["x", "y"]})
    with pytest.raises(SchemaError, match="'a' holds numbers in one table and text in the other"):
        stability_table(before, now)
    with pytest.raises(MissingColumnsError, match=r"actual has no columns \['b'\].*Columns: \['a'\]"):
        stability_table(before.assign(b=1), now, columns=["b"])
    with pytest.raises(SchemaError, match=r"expected has 0 rows and actual 2"):
        stability_table(before[:0], now)
    with pytest.raises(SchemaError, match=r"columns=\[\"age\"\], got 'a'"):
        stability_table(before, now, columns="a")


def test_dates_are_left_out_and_nothing_else():
    day = pd.Timestamp("2024-01-01")
    table = pd.DataFrame({"when": [day, day], "a": [1, 2], "none": [None, None]})
    assert sorted(stability_table(table, table)["column"]) == ["a", "none"]


# -- pictures --------------------------------------------------------------------------------------------------------


def test_pictures_show_what_the_tables_say(calibrated):
    y, p, _ = calibrated
    lift = lift_table(y, p, replicates=100)
    assert plot_lift(lift).get_title(loc="left") == f"The first bin holds {lift['lift'][0]:.1f} times as many as chance"
    gains = gains_table(y, p, replicates=100)
    fifth = gains.loc[20, "positive_share"]
    assert plot_gains(gains).get_title(loc="left") == f"The first 20% of the list hold {fifth:.0%} of the positives"
    error = kernel.calibration_error(y, p)
    assert plot_calibration(calibration_table(y, p)).get_title(loc="left") == f"Calibration error {error:.3f}"


def test_pictures_say_what_they_draw():
    with pytest.raises(MissingColumnsError, match=r"plot_lift draws the result of lift_table\(...\)"):
        plot_lift(pd.DataFrame({"a": [1]}))


def test_pictures_take_any_frame():
    rows = gains_table(Y, S, replicates=100)
    ax = plot_gains(make_frame(rows.to_dict("list"), kind="duckdb"))
    assert ax.lines[1].get_ydata()[-1] == 1
