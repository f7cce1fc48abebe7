"""What the kernels of the beta-geometric family promise: slow references met to 1e-10, and nothing but numbers."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from _reference_btyd import (
    beta_geo_likelihood,
    check_gradient,
    exact_log_likelihood,
    exact_outlook,
    exact_sums,
    expected_purchases,
    simulate,
)
from crmlytics._kernels.beta_geo import BG_NBD, MBG_NBD
from crmlytics._kernels.beta_geo_erlang import BetaGeoErlang
from crmlytics._kernels.fitting import collapse, maximise
from crmlytics._kernels.process import summed

GEOMETRIC = [BG_NBD, MBG_NBD]
ERLANG = [BetaGeoErlang(first, k) for first in (0, 1) for k in (2, 3, 4)]
ALL = GEOMETRIC + ERLANG

positive = st.floats(-2, 2).map(lambda exponent: 10**exponent)
params4 = st.tuples(positive, positive, positive, positive).map(np.array)
histories = st.tuples(st.integers(0, 30), st.floats(0.05, 1), st.floats(0.1, 60)).map(
    lambda h: (float(h[0]), h[1] * h[2] if h[0] else 0.0, h[2])
)
geometric, processes = st.sampled_from(GEOMETRIC), st.sampled_from(ALL)


def one(history):
    return tuple(np.array([value]) for value in history)


def hard_cases(count, seed, most=1000):
    """Parameters over four decades, a = 1 among them; histories and horizons over seven."""
    rng = np.random.default_rng(seed)
    params = 10 ** rng.uniform(-2, 2, (4, count))
    params[2, :5] = 1
    x = np.round(10 ** rng.uniform(0, np.log10(most), count)) * (rng.random(count) < 0.8)
    T, horizon = 10 ** rng.uniform(-3, 4, (2, count))
    t_x = np.where(x > 0, T * np.where(rng.random(count) < 0.2, 1.0, rng.random(count)), 0.0)
    return params, x, t_x, T, horizon


# --- against slow references


@given(params=params4, history=histories, process=geometric)
def test_likelihood_equals_the_formula_of_the_papers(params, history, process):
    theirs = beta_geo_likelihood(*params, *history, first=process.first)
    assume(1e-290 < theirs < 1e290)
    ours = process.log_likelihood(params, *one(history))[0]
    assert ours == pytest.approx(math.log(theirs), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("process", ALL)
def test_likelihood_has_all_its_digits_in_hard_cases(process):
    mp = pytest.importorskip("mpmath").mp.clone()
    mp.dps = 60
    params, x, t_x, T, _ = hard_cases(30, seed=1)
    ours = process.log_likelihood(params, x, t_x, T)
    k = getattr(process, "k", 1)
    for i, value in enumerate(ours):
        theirs = exact_log_likelihood(mp, params[:, i], x[i], t_x[i], T[i], first=process.first, k=k)
        assert value == pytest.approx(float(theirs), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("process", GEOMETRIC)
def test_survival_and_expectation_have_ten_digits_in_hard_cases(process):
    mp = pytest.importorskip("mpmath").mp.clone()
    mp.dps = 60
    params, x, t_x, T, horizon = hard_cases(60, seed=2)
    survival = process.survival_if_alive(params, x, t_x, T, ahead=horizon)
    expected = process.expected_purchases_if_alive(params, x, t_x, T, horizon=horizon)
    for i in range(60):
        exact = exact_outlook(mp, params[:, i], x[i], T[i], horizon[i], first=process.first)
        assert survival[i] == pytest.approx(float(exact[0]), rel=1e-10, abs=1e-300)
        assert expected[i] == pytest.approx(float(exact[1]), rel=1e-10)


@pytest.mark.parametrize("process", ERLANG)
def test_survival_and_expectation_equal_sums_over_phases(process):
    mp = pytest.importorskip("mpmath").mp.clone()
    mp.dps = 30
    params, x, t_x, T, horizon = hard_cases(60, seed=3, most=200)
    reach = horizon / (params[1] + T)
    short = np.flatnonzero(((params[0] + process.k * x) * reach < 500) & (reach < 50))[:10]  # of the sums
    assert len(short) == 10
    for i in short:
        case = params[:, i], *one((x[i], t_x[i], T[i]))
        exact = exact_sums(mp, params[:, i], x[i], t_x[i], T[i], horizon[i], first=process.first, k=process.k)
        survival = process.survival_if_alive(*case, ahead=horizon[i])[0]
        expected = process.expected_purchases_if_alive(*case, horizon=horizon[i])[0]
        assert survival == pytest.approx(float(exact[0]), rel=1e-10, abs=1e-300)
        assert expected == pytest.approx(float(exact[1]), rel=1e-10)


@given(params=params4, history=histories, horizon=st.floats(0.1, 60), process=geometric)
def test_expected_purchases_equal_the_sum_over_counts(params, history, horizon, process):
    r, alpha, _, _ = params
    assume(horizon * (r + history[0]) / (alpha + history[2]) < 300)
    assume(horizon / (alpha + history[2]) < 100)  # the slow sum would take too long
    assume(1e-290 < beta_geo_likelihood(*params, *history, first=process.first) < 1e290)
    case = params, *one(history)
    ours = process.alive_probability(*case) * process.expected_purchases_if_alive(*case, horizon=horizon)
    theirs = expected_purchases(*params, *history, horizon, first=process.first)
    assert ours[0] == pytest.approx(theirs, rel=1e-9, abs=1e-250)


@pytest.mark.parametrize("process", ALL)
@pytest.mark.parametrize(("horizon", "rate"), [(np.inf, 0.01), (np.inf, 5.0), (50.0, 0.05), (3.0, 30.0), (1e4, 1e-4)])
def test_discounted_purchases_equal_the_expectation_integrated_by_parts(process, horizon, rate):
    """``exp(-rate h) E(h) + rate * integral of exp(-rate t) E(t)`` over t until h, panel by panel in ln t."""
    params, x, t_x, T, _ = hard_cases(12, seed=4)
    case = params, x, t_x, T
    nodes, weights = np.polynomial.legendre.leggauss(16)
    ours = process.discounted_purchases_if_alive(*case, horizon=horizon, rate=rate)
    first = np.log(np.minimum(1 / rate, (params[1] + T) / (params[0] + x))) - 13
    last = np.log(min(horizon, 60 / rate))

    def expected(t):
        return process.expected_purchases_if_alive(*case, horizon=t)

    theirs = rate * np.exp(first) * expected(np.exp(first)) / 2  # from 0 to the first panel E is a line
    if rate * horizon < 60:
        theirs += np.exp(-rate * horizon) * expected(horizon)
    for panel in range(16):
        half = (last - first) / 32
        for node, weight in zip(nodes, weights, strict=True):
            t = np.exp(first + half * (2 * panel + 1 + node))
            theirs += weight * half * rate * t * np.exp(-rate * t) * expected(t)
    np.testing.assert_allclose(ours, theirs, rtol=2e-9)


def quadrature_in_log_odds(a, b, shape, reach):
    """The mean over p that is expected of buyers, by brute force: 200,000 equal steps in the log-odds of p."""
    places = [math.log((a + 1) / (b + 1)), min(0.0, -math.log(reach) - math.log1p(shape))]
    y = np.linspace(min(places) - 45, max(places) + 45, 200_001)
    log_p, log_stay = -np.logaddexp(0, -y), -np.logaddexp(0, y)
    mass = np.exp((log_mass := a * log_p + b * log_stay) - log_mass.max())
    weights = np.full_like(y, y[1] - y[0])
    weights[[0, -1]] = weights[[0, -1]] / 2 + np.array([1 / a, 1 / b])  # the tails are powers
    p = np.exp(log_p)
    return (weights * mass * -np.expm1(-shape * np.log1p(p * reach)) / p).sum() / (weights * mass).sum()


@pytest.mark.parametrize("a", [0.01, 0.3, 1.0, 1.0 + 1e-9, 2.0, 40.0, 900.0])
@pytest.mark.parametrize("b", [0.01, 1.0, 30.0, 4000.0])
@pytest.mark.parametrize(("shape", "reach"), [(0.01, 1e-3), (0.3, 1e4), (5.0, 1.0), (2000.0, 0.5), (1000.0, 1e5)])
def test_mean_over_dropout_is_exact_at_the_edges_of_the_domain(a, b, shape, reach):
    new = np.zeros(1)
    ours = BG_NBD.expected_purchases_if_alive((shape, 1.0, a, b), new, new, new, horizon=reach)  # alpha 1
    assert ours[0] == pytest.approx(quadrature_in_log_odds(a, b, shape, reach), rel=2e-10)


# --- what must hold whatever the numbers


@given(params=params4, history=histories, process=processes)
def test_gradient_equals_finite_differences(params, history, process):
    def value(theta):
        return process.log_likelihood(np.exp(theta), *one(history))[0]

    same, gradient = process.log_likelihood_and_gradient(params, *one(history))
    assert same[0] == process.log_likelihood(params, *one(history))[0]
    check_gradient(value, gradient[:, 0], params)


@given(params=params4, history=histories, horizon=st.floats(0.1, 100), process=processes)
def test_no_purchase_in_the_horizon_is_a_ratio_of_likelihoods(params, history, horizon, process):
    """P(none in (T, T+t] | history until T) = L(x, t_x, T + t) / L(x, t_x, T): no formula for counts needed."""
    x, t_x, T = one(history)
    alive = process.alive_probability(params, x, t_x, T)
    none = process.count_probabilities_if_alive(params, x, t_x, T, horizon=horizon, most=0)[:, 0]
    longer = process.log_likelihood(params, x, t_x, T + horizon) - process.log_likelihood(params, x, t_x, T)
    assert 1 - alive * (1 - none) == pytest.approx(np.exp(longer), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("process", ALL)
def test_probabilities_of_counts_have_total_one_and_the_expected_mean(process):
    params = np.array([0.8, 6.0 / getattr(process, "k", 1), 0.9, 2.5])
    x, t_x, T = np.array([0.0, 1, 7, 7]), np.array([0.0, 3, 20, 39]), np.array([40.0, 40, 40, 39])
    counts = process.count_probabilities_if_alive(params, x, t_x, T, horizon=30.0, most=150)
    np.testing.assert_allclose(counts.sum(axis=1), 1, rtol=1e-12)
    expected = process.expected_purchases_if_alive(params, x, t_x, T, horizon=30.0)
    np.testing.assert_allclose(counts @ np.arange(151), expected, rtol=1e-11)


@pytest.mark.parametrize("process", GEOMETRIC)
def test_one_phase_is_no_phase(process):
    params, x, t_x, T, horizon = hard_cases(60, seed=5)
    erlang, case = BetaGeoErlang(process.first, 1), (params, x, t_x, T)
    for name, options, close in [
        ("log_likelihood", {}, 1e-12),
        ("alive_probability", {}, 1e-12),
        ("survival_if_alive", {"ahead": horizon}, 1e-11),
        ("expected_purchases_if_alive", {"horizon": horizon}, 1e-11),
        ("count_probabilities_if_alive", {"horizon": horizon, "most": 4}, 1e-12),
        ("discounted_purchases_if_alive", {"horizon": np.inf, "rate": 0.01}, 1e-11),
        ("discounted_purchases_if_alive", {"horizon": 50.0, "rate": 0.2}, 1e-11),
        ("discounted_purchases_if_alive", {"horizon": 50.0, "rate": 0}, 1e-11),
    ]:
        ours, theirs = getattr(erlang, name)(*case, **options), getattr(process, name)(*case, **options)
        np.testing.assert_allclose(ours, theirs, rtol=close, atol=1e-300, err_msg=name)
    ours, theirs = erlang.log_likelihood_and_gradient(*case)[1], process.log_likelihood_and_gradient(*case)[1]
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("process", ALL)
def test_parameters_by_customer_are_parameters_customer_by_customer(process):
    params, x, t_x, T, _ = hard_cases(6, seed=6, most=20)
    options = {
        "log_likelihood": {},
        "log_likelihood_and_gradient": {},
        "alive_probability": {},
        "survival_if_alive": {"ahead": 3.0},
        "expected_purchases_if_alive": {"horizon": 3.0},
        "count_probabilities_if_alive": {"horizon": 3.0, "most": 3},
        "discounted_purchases_if_alive": {"horizon": 3.0, "rate": 0.1},
    }
    mixed = [1.5, params[1], params[2], 2.5]
    for name, more in options.items():
        together = getattr(process, name)(mixed, x, t_x, T, **more)
        for i in range(6):
            alone = getattr(process, name)((1.5, params[1, i], params[2, i], 2.5), *one((x[i], t_x[i], T[i])), **more)
            if name == "log_likelihood_and_gradient":
                np.testing.assert_allclose(together[1][:, [i]], alone[1], rtol=1e-12)
            else:
                np.testing.assert_allclose(together[[i]], alone, rtol=1e-12)


@pytest.mark.parametrize("process", [*GEOMETRIC, BetaGeoErlang(1, 3)])
@given(params=params4, rows=st.lists(histories, min_size=1, max_size=20))
def test_objective_equals_the_sum_over_customers(process, params, rows):
    x, t_x, T = (np.array(column) for column in zip(*rows, *rows[:3], strict=True))
    few = collapse(x, t_x, T)
    value, gradient = process.objective(*few.columns, few.weights)(params)
    theirs = summed(process, x, t_x, T, np.ones(len(x)))(params)
    assert value == pytest.approx(theirs[0], rel=1e-11, abs=1e-10)
    np.testing.assert_allclose(gradient, theirs[1], rtol=1e-8, atol=1e-8)


def test_expected_purchases_are_smooth_through_the_pole_of_the_closed_form():
    x, T = np.arange(30.0), np.linspace(5, 38, 30)

    def at(a):
        return BG_NBD.expected_purchases_if_alive((0.24, 4.4, a, 2.4), x, T, T, horizon=39.0)

    np.testing.assert_allclose(at(1.0), (at(1 - 1e-6) + at(1 + 1e-6)) / 2, rtol=1e-11)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_few_and_many_phases_meet_where_one_way_takes_over(k):
    """At 20 phases expected the sum over purchases and the roots must agree, and at a reach of one."""
    new, beside = np.zeros(1), np.array([1 - 1e-12, 1 + 1e-12])
    for shape, border in ((0.3, 1.0), (80.0, 0.25)):
        for a, b in ((0.3, 2.0), (30.0, 0.5)):  # the second leaves soon: p near one
            case = (shape, 1.0, a, b), new, new, new
            for name, option, more in [
                ("survival_if_alive", "ahead", {}),
                ("expected_purchases_if_alive", "horizon", {}),
                ("discounted_purchases_if_alive", "horizon", {"rate": 0.7}),
            ]:
                function = getattr(BetaGeoErlang(0, k), name)
                few, many = (function(*case, **{option: reach}, **more)[0] for reach in border * beside)
                assert few == pytest.approx(many, rel=1e-10)


STRESS = [1e-2, 1.0, 30.0, 1e2]


@pytest.mark.parametrize("process", [*GEOMETRIC, BetaGeoErlang(0, 2), BetaGeoErlang(1, 3)])
def test_everything_is_finite_and_in_order_on_a_stress_grid(process):
    histories = [(0, 0, 0), (0, 0, 1e4), (1, 1e-3, 1e-3), (1, 1e-9, 40), (5, 0.01, 40), (5, 40, 40), (1000, 1, 1e4)]
    params = np.stack(np.meshgrid(STRESS, STRESS, STRESS, STRESS), axis=-1).reshape(-1, 4)
    x, t_x, T = np.tile(np.array(histories, dtype=float).T, len(params))
    case = np.repeat(params, len(histories), axis=0).T, x, t_x, T
    value, gradient = process.log_likelihood_and_gradient(*case)
    alive = process.alive_probability(*case)
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()
    assert ((alive >= 0) & (alive <= 1)).all()
    before = np.zeros(len(x)), np.ones(len(x))
    for horizon in (1e-3, 13.0, 1e4):
        expected = process.expected_purchases_if_alive(*case, horizon=horizon)
        survival = process.survival_if_alive(*case, ahead=horizon)
        counts = process.count_probabilities_if_alive(*case, horizon=horizon, most=3)
        present = process.discounted_purchases_if_alive(*case, horizon=horizon, rate=0.02)
        assert (expected >= before[0] * (1 - 1e-9)).all()  # nearly level where all have left
        assert (survival <= before[1] * (1 + 1e-9)).all()
        assert (survival >= 0).all()
        assert ((counts >= 0) & (counts <= 1)).all()
        assert (expected >= (1 - counts[:, 0]) * (1 - 1e-9) - 1e-15).all()  # E[N] >= P(N >= 1)
        assert (present > 0).all()
        assert (present <= expected * (1 + 1e-9)).all()
        assert np.isfinite(expected).all()
        before = expected, survival


# --- the story of the model, customer by customer


@pytest.mark.parametrize("process", [*GEOMETRIC, BetaGeoErlang(0, 2), BetaGeoErlang(1, 3)])
def test_predictions_match_simulated_customers(process):
    """Frequencies, survival and counts in each group of histories."""
    k, T, horizon = getattr(process, "k", 1), 40.0, 30.0
    params = np.array([0.8, 6.0 / k, 0.9, 2.5])
    rng = np.random.default_rng(7)
    x, t_x, future, alive = simulate(rng, 100_000, params, T, horizon, first=process.first, k=k)
    case = params, x, t_x, np.full_like(x, T)
    p_alive = process.alive_probability(*case)
    expected = p_alive * process.expected_purchases_if_alive(*case, horizon=horizon)
    counts = p_alive[:, None] * process.count_probabilities_if_alive(*case, horizon=horizon, most=2)
    for group in (x == 0, x == 1, (x > 1) & (t_x < 20), (x > 1) & (t_x >= 20), x > 8):
        for predicted, actual in (
            (p_alive, alive),
            (expected, future),
            (counts[:, 1], future == 1),
            (counts[:, 2], future == 2),
        ):
            error = actual[group].std() / math.sqrt(group.sum())
            assert abs(predicted[group].mean() - actual[group].mean()) < 4 * error + 1e-12


@pytest.mark.parametrize("process", [BetaGeoErlang(0, 3), BetaGeoErlang(1, 2)])
def test_parameters_are_recovered_and_the_right_k_fits_best(process):
    true, T = np.array([0.8, 2.0, 0.9, 2.5]), 60.0
    rng = np.random.default_rng(11)
    rate, leaving = rng.gamma(true[0], 1 / true[1], 8000), rng.beta(true[2], true[3], 8000)
    x, t_x, logs = np.zeros(8000), np.zeros(8000), np.zeros(8000)
    running = rng.random(8000) >= leaving * process.first
    while running.any():
        gap = rng.gamma(process.k, 1.0, 8000) / rate
        running &= t_x + gap <= T
        x, t_x, logs = x + running, t_x + running * gap, logs + running * np.log(gap)
        running &= rng.random(8000) >= leaving
    fits = {}
    for k in (1, process.k, process.k + 1):
        model = BetaGeoErlang(process.first, k)
        objective = model.objective(x, t_x / T, np.ones(8000), np.ones(8000))
        found = maximise(objective, model.starts, weight=8000)
        fits[k] = found.log_likelihood + (k - 1) * (logs - np.log(T) * x).sum()
        if k == process.k:
            assert found.converged
            errors = (found.theta + np.log([1, T, 1, 1]) - np.log(true)) / np.sqrt(np.diag(found.covariance))
            assert (np.abs(errors) < 4).all()
    assert max(fits, key=fits.get) == process.k
