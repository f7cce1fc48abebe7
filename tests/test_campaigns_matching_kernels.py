"""What the matching kernels promise: brute force's answers, published values, and intervals that hold the truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics._kernels import matching

few = st.integers(0, 6).map(float)


def brute_force(outcome, score, comparison, comparison_score, caliper):
    """Match one by one, and add the variance of Abadie and Imbens (2006) up as it is written."""
    used, apart = np.zeros((len(score), len(comparison))), []
    for i, own in enumerate(score):
        distance = np.abs(comparison_score - own)
        if distance.min() <= caliper:
            twins = distance == distance.min()
            used[i] = twins / twins.sum()
            apart.append(outcome[i] - comparison[twins].mean())
    return used, np.array(apart)


@given(
    treated=st.lists(st.tuples(few, few), min_size=1, max_size=8),
    other=st.lists(st.tuples(few, few), min_size=2, max_size=8),
    caliper=st.sampled_from([0.0, 1.0, 2.5, np.inf]),
)
def test_twins_by_brute_force(treated, other, caliper):
    (score, outcome), (other_score, comparison) = np.array(treated).T, np.array(other).T
    used, apart = brute_force(outcome, score, comparison, other_score, caliper)
    twins = matching.find_twins(score, other_score, caliper)
    np.testing.assert_allclose(twins.weights(), used.sum(axis=0))
    np.testing.assert_allclose(twins.weights(2), (used**2).sum(axis=0))
    assert twins.matched.sum() == len(apart)
    np.testing.assert_array_equal(np.isnan(twins.outcomes(comparison)), ~twins.matched)
    if len(apart):
        effect, error = matching.matched_effect(outcome, comparison, other_score, twins)
        assert effect == pytest.approx(apart.mean())
        local = matching.local_variance(comparison, other_score)
        variance = ((apart - apart.mean()) ** 2).sum()
        variance += ((used.sum(axis=0) ** 2 - (used**2).sum(axis=0)) * local).sum()
        assert error == pytest.approx(np.sqrt(variance) / len(apart))


def test_local_variance_by_hand():
    """Each against the mean of the four others: 4/5 (y - m)^2, in the order of the scores."""
    values, score = np.array([9.0, 1.0, 2.0, 3.0, 4.0]), np.array([5.0, 1.0, 2.0, 3.0, 4.0])
    expected = [0.8 * (own - (19 - own) / 4) ** 2 for own in values]
    np.testing.assert_allclose(matching.local_variance(values, score), expected)
    assert matching.local_variance(np.array([3.0]), np.array([1.0])).tolist() == [0.0]


def test_doubly_robust_by_hand():
    """Expectations 1 below for the treated; the comparison, by odds 1 and 3, exceeds its own by (1 * 2 + 3 * 0) / 4."""
    outcome, treated = np.array([5.0, 7.0, 4.0, 1.0]), np.array([True, True, False, False])
    weight = matching.odds_weights(np.array([0.5, 0.5, 0.5, 0.75]), treated)
    assert weight.tolist() == [0, 0, 1, 3]
    effect, error = matching.doubly_robust_effect(outcome, treated, weight, np.array([4.0, 6.0, 2.0, 1.0]))
    assert effect == 1.0 - 0.5
    influence = np.array([0.0, 0.0, -1 * (2 - 0.5), -3 * (0 - 0.5)])  # mean odds of all rows: 1
    assert error == pytest.approx(np.sqrt((influence**2).sum()) / 4)


def test_nobody_counts_for_more_than_ten():
    treated = np.array([True, False, False, False, False])
    weight = matching.odds_weights(np.array([0.5, 0.2, 0.5, 0.7, 1.0]), treated)
    np.testing.assert_allclose(weight, [0, 0.25, 1, 7 / 3, 10 * 1 / 4])


def test_e_values_as_published():
    """VanderWeele and Ding (2017): formula-fed infants, RR 3.9 (1.8 to 8.7), have E-values 7.26 and 3.0."""
    assert matching.e_value(3.9) == pytest.approx(7.26, abs=0.005)
    assert matching.e_value(1.8) == pytest.approx(3.0, abs=1e-9)
    assert matching.e_value(1 / 3.9) == pytest.approx(7.26, abs=0.005)
    assert matching.e_value(1.0) == 1.0
    assert np.isnan(matching.e_value(-1.0))


def test_effects_as_ratios_of_risks():
    assert matching.risk_ratio(0.25, np.array([1.0, 0.0, 1.0, 0.0])) == 2.0  # .5 instead of .25
    assert matching.risk_ratio(0.5, np.array([1.0, 0.0])) == np.inf
    amounts = np.array([0.0, 10.0, 20.0])  # a standard deviation of 10
    assert matching.risk_ratio(5.0, amounts) == pytest.approx(np.exp(0.91 / 2))


def test_ridge_without_penalty_is_least_squares():
    random = np.random.default_rng(0)
    basis, outcomes = random.normal(size=(30, 3)), random.normal(size=(30, 2))
    full = np.column_stack([np.ones(30), basis])
    expected = full[:4] @ np.linalg.lstsq(full, outcomes, rcond=None)[0]
    np.testing.assert_allclose(matching.ridge_predictions(basis, outcomes, basis[:4], 0.0), expected)


def test_ridge_expects_nothing_that_was_never_seen():
    """A column that one row of a hundred has makes a new row ten deviations off; a constant, 1e16 of rounding."""
    random = np.random.default_rng(0)
    rare, constant = np.zeros(100), np.full(100, 0.1)
    rare[0], outcome = 1e-3, np.append(1.0, random.random(99))
    assert constant.std() > 0
    basis = np.column_stack([rare, constant])
    expected = matching.ridge_predictions(basis, outcome[:, None], np.array([[1.0, 0.1], [0.0, 0.6]]))
    assert expected[0] == outcome.max()
    np.testing.assert_allclose(expected[1], matching.ridge_predictions(basis, outcome[:, None], basis[1:2])[0])


def test_standardised_differences_by_hand():
    treated, other = np.array([[4.0, 1.0], [6.0, 1.0]]), np.array([[1.0, 1.0], [3.0, 1.0]])
    spread = matching.pooled_spread(treated, other)
    np.testing.assert_allclose(spread, [np.sqrt(2.0), 0.0])
    found = matching.standardised_difference(treated, other, np.array([0.0, 2.0]), spread)
    np.testing.assert_allclose(found, [2 / np.sqrt(2.0), 0.0])  # all the weight on the second
