"""What the kernels of treatment effects promise: published intervals, known tests, limits from both sides."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from crmlytics._kernels.treatment_effects import (
    UNKNOWN,
    mean_difference,
    mean_effect,
    share_effects,
    share_ratio_interval,
)

# 400 customers, every other one treated; x is known before, y afterwards
PLACE = np.arange(400)
IS_TREATED = PLACE % 2 == 1
X = (PLACE * 37) % 101.0
Y = X / 2 + (PLACE * 53) % 97 + 5 * IS_TREATED


def arrays(*numbers):
    return [np.array([number]) for number in numbers]


def outcome(values):
    return np.asarray(values, np.float64)[:, None]


def skewed(size, seed, buyers=0.2):
    rng = np.random.default_rng(seed)
    return outcome(np.where(rng.random(size) < buyers, rng.lognormal(3, 0.8, size), 0))


# -- shares --------------------------------------------------------------------------------------------------------


def test_the_ratio_interval_is_that_of_koopman():
    low, high = share_ratio_interval(*arrays(36, 40, 16, 80), 0.95)  # Koopman (1984), section 5: 2.94 to 7.15
    assert (low[0], high[0]) == (pytest.approx(2.94, abs=0.005), pytest.approx(7.15, abs=0.005))


def test_the_difference_interval_is_that_of_newcombe():
    effect = share_effects(*arrays(56, 70, 48, 80), 0.95)  # Newcombe (1998), table II, example a, method 10
    assert (effect.difference_low[0], effect.difference_high[0]) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert (effect.difference[0], effect.ratio[0]) == pytest.approx((0.2, 4 / 3))


@given(x=st.integers(0, 30), n=st.integers(1, 30), y=st.integers(0, 30), m=st.integers(1, 30))
def test_turning_a_ratio_round_turns_its_interval_round(x, n, y, m):
    counts = min(x, n), n, min(y, m), m
    low, high = share_ratio_interval(*arrays(*counts), 0.9)
    other_low, other_high = share_ratio_interval(*arrays(*counts[2:], *counts[:2]), 0.9)
    if counts[0] and counts[2]:
        assert low[0] == pytest.approx(1 / other_high[0], rel=1e-9)
        assert low[0] <= (counts[0] / n) / (counts[2] / m) <= high[0]
    else:
        assert low[0] == 0 or np.isnan(high[0])
        assert other_low[0] == 0 or np.isnan(other_high[0])


def test_the_bounds_of_a_ratio_are_those_that_the_score_test_just_does_not_refuse():
    x, n, y, m = 9, 60, 4, 50
    low, high = share_ratio_interval(*arrays(x, n, y, m), 0.95)
    for ratio in (low[0], high[0]):
        grid = np.linspace(1e-4, min(1, 1 / ratio) - 1e-4, 200_001)  # of the control share, by brute force
        likelihood = stats.binom.logpmf(x, n, ratio * grid) + stats.binom.logpmf(y, m, grid)
        q = grid[likelihood.argmax()]
        p = ratio * q
        error = np.sqrt(p * (1 - p) / n + ratio**2 * q * (1 - q) / m)
        assert abs((x / n - ratio * y / m) / error) == pytest.approx(stats.norm.ppf(0.975), abs=1e-3)


def test_zeros_leave_one_bound_or_none():
    effect = share_effects(
        np.array([0, 3, 0, 0]), np.array([10, 10, 10, 0]), np.array([4, 0, 0, 2]), np.array([20, 20, 20, 5]), 0.95
    )
    assert (effect.ratio[0], effect.ratio_low[0]) == (0, 0)
    assert effect.ratio_high[0] > 0
    assert np.isnan([effect.ratio[1], effect.ratio_high[1]]).all()
    assert effect.ratio_low[1] > 1
    assert np.isnan([effect.ratio[2], effect.ratio_low[2], effect.ratio_high[2]]).all()
    assert (effect.difference[2], effect.p_value[2]) == (0, 1)
    assert effect.difference_low[2] < 0 < effect.difference_high[2]
    assert np.isnan([effect.difference[3], effect.difference_low[3], effect.p_value[3]]).all()


# -- means ---------------------------------------------------------------------------------------------------------


def test_arms_of_equal_size_have_the_test_of_welch():
    treated, control = skewed(150, 1), skewed(150, 2)
    effect = mean_effect(treated, control, 0.9)
    known = stats.ttest_ind(treated[:, 0], control[:, 0], equal_var=False)
    interval = known.confidence_interval(0.9)
    assert effect.p_value == pytest.approx(known.pvalue)
    assert (effect.difference_low, effect.difference_high) == pytest.approx((interval.low, interval.high))
    assert effect.ratio == pytest.approx(treated.mean() / control.mean())


def test_figures_of_tea_tasting():
    y = outcome(Y)
    plain = mean_effect(y[IS_TREATED], y[~IS_TREATED], 0.95)
    # tea_tasting 1.14: Experiment(y=Mean("y")), Welch's test; its ratio's interval is of the logarithm, not Fieller's
    assert plain[:5] == pytest.approx((78.2025, 72.2825, 5.92, -0.4307118358872426, 12.270711835887246))
    assert plain.p_value == pytest.approx(0.06760749454685337)
    assert plain.ratio_low == pytest.approx(1 - 0.005859, abs=5e-4)
    assert plain.ratio_high == pytest.approx(1.177408, abs=5e-4)
    both = np.column_stack([Y, X])
    adjusted = mean_effect(both[IS_TREATED], both[~IS_TREATED], 0.95)
    # Mean("y", "x"): its theta counts the difference of the arms as spread of customers, and takes no degree of freedom
    assert adjusted[:3] == pytest.approx((78.303042, 72.181958, 6.121084), abs=5e-4)
    assert adjusted[3:5] == pytest.approx((0.595854, 11.646314), abs=0.02)
    assert adjusted.unadjusted_difference == pytest.approx(5.92)


def test_skewness_is_corrected_as_hall_did():
    treated, control = skewed(900, 3), skewed(100, 4)
    found = mean_difference(treated, control)
    about_means = np.concatenate([treated - treated.mean(), control - control.mean()])[:, 0]
    of_outcome = (about_means**3).mean() / (about_means**2).mean() ** 1.5
    g = of_outcome * (1 / 900**2 - 1 / 100**2) / (1 / 900 + 1 / 100) ** 1.5  # third cumulant by variance ** 1.5
    assert found.spread.skewness == pytest.approx(g)
    assert g < -0.1
    effect = mean_effect(treated, control, 0.95)
    bounds = np.array([effect.difference_high, effect.difference_low])
    t = (found.difference - bounds) / found.spread.error
    reach = stats.t.ppf([0.025, 0.975], found.spread.degrees)
    assert t + g * t**2 / 3 + g**2 * t**3 / 27 + g / 6 == pytest.approx(reach)
    assert effect.difference_high - effect.difference < effect.difference - effect.difference_low


def test_shifted_by_a_bound_the_difference_is_just_significant():
    treated, control = skewed(900, 3), skewed(100, 4)
    effect = mean_effect(treated, control, 0.95)
    for bound in (effect.difference_low, effect.difference_high):
        assert mean_effect(treated - bound, control, 0.95).p_value == pytest.approx(0.05)


@given(seed=st.integers(0, 10_000), sizes=st.tuples(st.integers(5, 60), st.integers(5, 60)), shift=st.floats(0, 30))
def test_intervals_and_test_agree(seed, sizes, shift):
    treated, control = (skewed(size, seed + place, buyers=0.7) for place, size in enumerate(sizes))
    effect = mean_effect(treated + shift, control, 0.95)
    if np.isnan(effect.p_value):
        return
    refuses = effect.p_value < 0.05
    assert refuses == (not effect.difference_low <= 0 <= effect.difference_high)
    if not np.isnan([effect.ratio_low, effect.ratio_high]).any():
        assert refuses == (not effect.ratio_low <= 1 <= effect.ratio_high)


def test_the_unit_of_money_does_not_matter():
    rng = np.random.default_rng(5)
    treated, control = (
        np.column_stack([skewed(size, size), rng.gamma(1, 5, size), rng.normal(0, 1, size)]) for size in (90, 40)
    )
    cents = np.array([100.0, 1e-6, 1e6])
    effect, in_cents = mean_effect(treated, control, 0.95), mean_effect(treated * cents, control * cents, 0.95)
    for name, value in effect._asdict().items():
        times = 100 if "mean" in name or "difference" in name else 1
        assert getattr(in_cents, name) == pytest.approx(value * times)


# -- covariates ----------------------------------------------------------------------------------------------------


def experiment(size=3000, share=0.15, seed=3):
    rng = np.random.default_rng(seed)
    treated, x = rng.random(size) < share, rng.gamma(2, 10, size)
    y = 0.8 * x + rng.normal(0, 12, size) + treated * (2 + 0.3 * (x - 20))
    return np.column_stack([y, x]), treated


def test_no_other_weight_makes_the_difference_sharper():
    rows, treated = experiment(size=120, share=0.3)
    found = mean_difference(rows[treated], rows[~treated])
    free = np.array([treated.sum() - 2, (~treated).sum() - 2])

    def error(theta):
        arms = [rows[side, 0] - theta * rows[side, 1] for side in (treated, ~treated)]
        return np.sqrt(sum(((arm - arm.mean()) ** 2).sum() / len(arm) / df for arm, df in zip(arms, free, strict=True)))

    assert found.spread.error == pytest.approx(min(error(theta) for theta in np.linspace(-2, 3, 5001)), rel=1e-6)


def test_in_large_samples_it_is_the_regression_with_interactions():
    rows, treated = experiment()
    y, x = rows.T
    design = np.column_stack([np.ones(len(y)), treated, x - x.mean(), treated * (x - x.mean())])  # Lin (2013)
    inverse = np.linalg.inv(design.T @ design)
    coefficients = inverse @ design.T @ y
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    squares = (y - design @ coefficients) ** 2 / (1 - leverage)
    error = np.sqrt((inverse @ (design.T * squares) @ design @ inverse)[1, 1])  # HC2
    found = mean_difference(rows[treated], rows[~treated])
    assert found.difference == pytest.approx(coefficients[1], abs=0.02 * error)
    assert found.spread.error == pytest.approx(error, rel=0.02)
    assert found.unadjusted - found.difference > 0.5 * error


def test_a_covariate_that_says_everything_and_one_that_says_nothing():
    rows, treated = experiment(size=200, share=0.5)
    nothing = np.column_stack([rows[:, 0], np.full(200, 7.0)])
    plain = mean_difference(rows[treated, :1], rows[~treated, :1])
    same = mean_difference(nothing[treated], nothing[~treated])
    assert same.difference == pytest.approx(plain.difference)
    everything = np.column_stack([rows[:, 1] + 3.0 * treated, rows[:, 1]])
    assert mean_difference(everything[treated], everything[~treated]) is None  # no spread is left
    twice = np.column_stack([rows, rows[:, 1]])
    once = mean_difference(rows[treated], rows[~treated])
    assert mean_difference(twice[treated], twice[~treated]).difference == pytest.approx(once.difference, rel=1e-4)


def test_adjusting_moves_what_was_bought_from_one_arm_to_the_other_and_adds_nothing():
    rows, treated = experiment(size=150, share=0.2)
    effect = mean_effect(rows[treated], rows[~treated], 0.95)
    total = effect.treated_mean * treated.sum() + effect.control_mean * (~treated).sum()
    assert total == pytest.approx(rows[:, 0].sum())
    assert effect.difference != pytest.approx(effect.unadjusted_difference)


def test_the_covariance_of_adjusted_means_is_that_of_the_difference():
    rows, treated = experiment(size=150, share=0.3)
    found = mean_difference(rows[treated], rows[~treated])
    variance = found.covariance[0, 0] + found.covariance[1, 1] - 2 * found.covariance[0, 1]
    assert variance == pytest.approx(found.spread.error**2)


# -- little is known -----------------------------------------------------------------------------------------------


def test_too_few_or_too_equal_customers_have_no_interval():
    one = mean_effect(outcome([5]), outcome([1, 2, 6]), 0.95)
    assert one[:3] == (5, 3, 2)
    assert np.isnan(one.p_value)
    assert np.isnan(one.difference_low)
    nothing = mean_effect(outcome([0.1] * 7), outcome([0.1] * 5), 0.95)
    assert nothing.difference == pytest.approx(0, abs=1e-15)
    assert np.isnan([nothing.difference_low, nothing.p_value]).all()
    nobody = mean_effect(outcome([]), outcome([1, 2]), 0.95)
    assert nobody.control_mean == 1.5
    assert np.isnan([nobody.treated_mean, nobody.difference, nobody.p_value]).all()
    assert np.isnan(UNKNOWN).all()


def test_no_ratio_to_a_mean_below_zero_and_no_upper_bound_to_one_that_may_be():
    losses = mean_effect(outcome([1, 2, 3]), outcome([-1, -2, -4]), 0.95)
    assert losses.difference == pytest.approx(2 + 7 / 3)
    assert np.isnan([losses.ratio, losses.ratio_low, losses.ratio_high]).all()
    rare = mean_effect(skewed(300, 1), outcome([0] * 200 + [30, 10, 20]), 0.95)
    assert rare.ratio > 1
    assert np.isnan(rare.ratio_high)
    assert 1 < rare.ratio_low < rare.ratio
