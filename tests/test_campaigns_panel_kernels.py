"""What the kernels behind effects over time promise: plain NumPy's answers, errors as often as they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import optimize, stats

from crmlytics._kernels import panel_effects as pe
from crmlytics._kernels.decay import half_life
from crmlytics._kernels.treatment_effects import mean_effect


@given(
    values=arrays(np.float64, st.tuples(st.integers(2, 9), st.integers(1, 4)), elements=st.integers(0, 5).map(float))
)
def test_means_of_listed_figures_are_those_of_the_whole_table(values):
    row, column = np.nonzero(values)
    count, periods = values.shape
    found = pe.group_means(row, column, values[row, column], observed=np.full(count, periods), periods=periods)
    full = pe.means_of(values)
    np.testing.assert_allclose(found.mean, values.mean(axis=0), atol=1e-12)
    expected = np.atleast_2d(np.cov(values, rowvar=False)) / count
    np.testing.assert_allclose(found.covariance, expected, atol=1e-12)
    np.testing.assert_allclose(full.covariance, expected, atol=1e-12)


@given(data=st.data())
def test_open_windows_by_brute_force(data):
    count, periods = data.draw(st.integers(3, 8)), data.draw(st.integers(1, 4))
    observed = np.array(data.draw(st.lists(st.integers(0, periods), min_size=count, max_size=count)))
    observed[:2] = periods  # two are seen throughout
    values = data.draw(arrays(np.float64, (count, periods), elements=st.integers(0, 4).map(float)))
    row, column = np.nonzero(values)
    found = pe.group_means(row, column, values[row, column], observed=observed, periods=periods)
    seen = np.arange(periods) < observed[:, None]
    size = seen.sum(axis=0)
    mean = np.where(seen, values, 0).sum(axis=0) / size
    apart = np.where(seen, values - mean, 0) * np.sqrt(size / (size - 1)) / size
    np.testing.assert_allclose(found.mean, mean)
    np.testing.assert_allclose(found.covariance, apart.T @ apart, atol=1e-12)
    weights = np.vstack([np.eye(periods), pe.cumulative(periods), -np.ones(periods)])
    expected = ((apart @ weights.T) ** 3).sum(axis=0)
    np.testing.assert_allclose(found.through(weights).third_moment(), expected, atol=1e-12)


def test_a_period_counts_those_observed_in_it():
    """Three customers, the last one observed in the first period only: what it did later is not read."""
    values = np.array([[1.0, 2.0], [3.0, 6.0], [5.0, 99.0]])
    row, column = np.nonzero(values)
    found = pe.group_means(row, column, values[row, column], observed=np.array([2, 2, 1]), periods=2)
    assert found.mean.tolist() == [3.0, 4.0]
    assert found.count.tolist() == [3.0, 2.0]
    np.testing.assert_allclose(np.diag(found.covariance), [4.0 / 3, 8.0 / 2])
    total = found.through(pe.cumulative(2))
    assert total.mean.tolist() == [3.0, 7.0]
    assert total.count.tolist() == [3.0, 2.0]


def test_one_difference_is_the_test_of_welch():
    random = np.random.default_rng(1)
    one, other = random.gamma(1, 2, 14), random.gamma(2, 2, 14)  # of one size: nothing is skewed
    found = pe.differences(pe.means_of(one[:, None]), pe.means_of(other[:, None]))
    test = stats.ttest_ind(one, other, equal_var=False)
    assert found.p_value()[0] == pytest.approx(test.pvalue)
    assert np.ravel(found.interval(0.9)) == pytest.approx(tuple(test.confidence_interval(0.9)))


def test_one_difference_is_the_mean_effect():
    random = np.random.default_rng(1)
    one, other = random.gamma(1, 2, (90, 1)), random.gamma(2, 2, (9, 1))
    found, effect = pe.differences(pe.means_of(one), pe.means_of(other)), mean_effect(one, other, 0.9)
    assert abs(found.skewness[0]) > 0.1
    assert found.p_value()[0] == pytest.approx(effect.p_value)
    ends = effect.difference_low, effect.difference_high
    assert np.ravel(found.interval(0.9)) == pytest.approx(ends)
    assert np.ravel(found.band(0.9, seed=0)) == pytest.approx(ends, rel=0.03)  # of one figure it is its interval


def test_groups_that_do_not_vary_tell_nothing():
    one, other = np.array([[1.0, 2.0, 3.0]] * 2), np.array([[1.0, 3.0, 3.0], [1.0, 3.0, 4.0]])
    found = pe.differences(pe.means_of(one), pe.means_of(other))
    assert found.estimate.tolist() == [0.0, -1.0, -0.5]
    for ends in (found.p_value(), *found.interval(0.95), *found.band(0.95, seed=0)):
        assert np.isnan(ends).tolist() == [True, True, False]


def test_what_is_left_of_figures_that_cancel_is_no_variance():
    before = np.random.default_rng(0).gamma(2, 30, 50) / 3
    change = pe.means_of(np.column_stack([before, before + 0.1])).through(pe.from_reference(2, 0))
    assert change.covariance.tolist() == [[0.0]]


def test_a_small_control_group_finds_nothing_where_nothing_is():
    """900 against 100, 2 % buy, amounts with a long tail: Welch's p-value and band find an effect in one of four."""
    random, found = np.random.default_rng(0), []

    def spent(count):
        row, column = np.nonzero(random.random((count, 3)) < 0.02 / 3)
        amount, observed = random.lognormal(3, 1, len(row)), np.full(count, 3)
        return pe.group_means(row, column, amount, observed=observed, periods=3).through(pe.cumulative(3))

    for _ in range(200):
        one = pe.differences(spent(900), spent(100))
        low, high = one.band(0.95, seed=0)
        found.append([one.p_value()[-1] < 0.05, ((low > 0) | (high < 0)).any()])
    assert (np.mean(found, axis=0) < 0.07).all()


def test_the_joint_test_is_hotellings():
    random = np.random.default_rng(2)
    one, other = random.normal(size=(20, 3)), random.normal(0.4, 1, (30, 3))
    pooled = (19 * np.cov(one, rowvar=False) + 29 * np.cov(other, rowvar=False)) / 48
    apart = one.mean(axis=0) - other.mean(axis=0)
    square = 20 * 30 / 50 * apart @ np.linalg.solve(pooled, apart)
    expected = stats.f.sf(square * 46 / (48 * 3), 3, 46)
    assert pe.joint_p_value(apart, pooled * (1 / 20 + 1 / 30), 48) == pytest.approx(expected)
    assert np.isnan(pe.joint_p_value(np.zeros(2), np.zeros((2, 2)), 10))
    doubled = np.array([[1.0, 1.0], [1.0, 1.0]])  # the same figure twice is one figure
    assert pe.joint_p_value(np.array([2.0, 2.0]), doubled, 30) == pytest.approx(stats.f.sf(4.0, 1, 30))


def test_the_band_is_as_wide_as_dependence_asks():
    alone = pe.largest_deviation(np.eye(1), 0.95, seed=0)
    assert alone == pytest.approx(1.96, abs=0.03)
    assert pe.largest_deviation(np.ones((5, 5)), 0.95, seed=0) == pytest.approx(alone, abs=0.03)
    independent = stats.norm.ppf((1 + 0.95 ** (1 / 5)) / 2)  # Sidak
    assert pe.largest_deviation(np.eye(5), 0.95, seed=0) == pytest.approx(independent, abs=0.03)
    assert pe.largest_deviation(np.zeros((2, 2)), 0.95, seed=0) == 0.0


def test_the_ratio_of_fieller_solves_its_equation():
    """Its bounds are the ratios r for which (top - r bottom) is just ``critical`` standard errors from zero."""
    top, bottom, critical = 3.0, 10.0, 1.96
    covariance = np.array([[1.0, 0.5], [0.5, 4.0]])

    def beyond(r):
        return (top - r * bottom) ** 2 - critical**2 * (1.0 - 2 * r * 0.5 + r**2 * 4.0)

    low, high = pe.ratio_interval(top, bottom, covariance, critical)
    assert low == pytest.approx(optimize.brentq(beyond, -1, 0.3))
    assert high == pytest.approx(optimize.brentq(beyond, 0.3, 3))
    assert pe.ratio_interval(3.0, 3.0, covariance, 1.96) is None  # 3 with a standard error of 2: may be zero


def test_weights_of_changes_and_sums():
    assert pe.from_reference(3, 1).tolist() == [[1, -1, 0], [0, -1, 1]]
    assert pe.cumulative(2).tolist() == [[1, 0], [1, 1]]


# -- decay ---------------------------------------------------------------------------------------------------------


def fading(life, periods=12, width=5.0):
    """Return the mean of ``exp(-t ln 2 / life)`` over periods."""
    ends = np.arange(periods + 1) * width
    sums = -np.expm1(-np.log(2) * ends / life) * life / np.log(2)
    return np.diff(sums) / width


def test_a_half_life_without_noise_is_found():
    found = half_life(fading(9.0), 1e-6 * np.eye(12), 5.0, 0.95)
    assert found.half_life == pytest.approx(9.0, rel=0.02)
    assert found.low <= found.half_life <= found.high
    assert found.reason is None


@pytest.mark.parametrize(
    ("lift", "error", "reason"),
    [
        (fading(9.0), 10.0, "no effect that could be told from chance"),
        (np.ones(12), 0.2, "no fading that could be told from chance in the time observed"),
        (np.eye(12)[0], 0.01, "faded within the first step: take shorter steps"),
        (np.arange(12.0), 0.1, "the effect does not fade as an exponential does"),
        (np.ones(2), 0.1, "fewer than three steps in which anything happened"),
    ],
)
def test_where_there_is_no_half_life_it_says_why(lift, error, reason):
    found = half_life(lift, error**2 * np.eye(len(lift)), 5.0, 0.95)
    assert found.reason == reason
    assert np.isnan([found.half_life, found.low, found.high]).all()


def test_the_interval_holds_the_half_life_as_often_as_it_says():
    random, lift, held = np.random.default_rng(5), fading(15.0), []
    for _ in range(400):
        found = half_life(lift + random.normal(0, 0.08, 12), 0.08**2 * np.eye(12), 5.0, 0.95)
        if found.reason is None:
            held.append(found.low <= 15.0 <= found.high)
    assert len(held) > 350
    assert 0.92 <= np.mean(held) <= 0.98
