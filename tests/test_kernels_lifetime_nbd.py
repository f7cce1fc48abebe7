"""What NBD, Pareto/NBD and Gamma/Gompertz/NBD promise: published values, fifty-digit arithmetic, finite numbers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics import Transactions
from crmlytics._kernels.fitting import collapse, maximise
from crmlytics._kernels.lifetime_nbd import GAMMA_GOMPERTZ_NBD, NBD, PARETO_NBD
from crmlytics._kernels.lifetimes import NODES, nodes_of
from crmlytics.clv import btyd_table
from crmlytics.datasets import load_cdnow

LEAVING = [PARETO_NBD, GAMMA_GOMPERTZ_NBD]
ALL = [NBD, *LEAVING]
PLAUSIBLE = {NBD: (0.6, 10.0), PARETO_NBD: (0.55, 10.6, 0.6, 11.7), GAMMA_GOMPERTZ_NBD: (0.85, 4.5, 0.12, 0.75, 9.5)}
HISTORIES = [  # x, t_x, T
    (0, 0.0, 0.0),
    (0, 0.0, 30.0),
    (2, 3.0, 30.0),
    (2, 28.0, 30.0),
    (26, 30.857, 31.0),
    (7, 12.0, 12.0),
    (1000, 400.0, 500.0),
]
GAUSS = [*zip(*(column.tolist() for column in np.polynomial.legendre.leggauss(40)), strict=True)]

named = pytest.mark.parametrize("process", ALL, ids=lambda process: "/".join(process.names))
named_leaving = pytest.mark.parametrize("process", LEAVING, ids=lambda process: "/".join(process.names))


def columns(rows):
    return tuple(np.array(column, dtype=float) for column in zip(*rows, strict=True))


def fit(process, x, t_x, T):
    """Parameters, standard errors and log-likelihood at the maximum, in the units of T."""
    rows = collapse(x, t_x, T)
    unit = np.average(rows.columns[2], weights=rows.weights)
    objective = process.objective(rows.columns[0], rows.columns[1] / unit, rows.columns[2] / unit, rows.weights)
    found = maximise(objective, process.starts, weight=len(x))
    params = found.params * unit ** np.array(process.time_powers)
    return params, np.sqrt(np.diag(found.covariance)) * params, found.log_likelihood - x.sum() * np.log(unit), found


@pytest.fixture(scope="module")
def cdnow():
    orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    return btyd_table(orders, as_of="1997-10-01", unit="7d")


@pytest.fixture(scope="module")
def histories(cdnow):
    return tuple(cdnow[name].to_numpy(float) for name in ("frequency", "recency", "T"))


# --- published values


def test_nbd_on_cdnow_is_the_published_one(histories):
    params, _, log_likelihood, found = fit(NBD, *histories)
    assert found.converged
    assert params == pytest.approx([0.384766, 12.072014], rel=1e-5)  # BTYD and BTYDplus
    assert log_likelihood == pytest.approx(-9763.6576, abs=1e-4)


def test_pareto_nbd_on_cdnow_is_the_published_one(histories):
    params, errors, log_likelihood, found = fit(PARETO_NBD, *histories)
    assert found.converged
    assert params == pytest.approx([0.5534, 10.580, 0.6061, 11.656], rel=2e-3)  # Fader & Hardie 2005, BTYD, CLVTools
    assert errors == pytest.approx([0.0476, 0.8427, 0.1871, 6.2037], rel=2e-3)
    assert log_likelihood == pytest.approx(-9594.9762, abs=1e-4)


def test_pareto_nbd_forecasts_of_cdnow_are_the_published_ones(histories):
    params = (0.5534, 10.58, 0.6061, 11.656)
    alive = PARETO_NBD.alive_probability(params, *histories)
    holdout = alive * PARETO_NBD.expected_purchases_if_alive(params, *histories, horizon=39.0)
    assert holdout.sum() == pytest.approx(1665.4, abs=0.1)  # BTYD, CLVTools
    frequent = np.array([26.0]), np.array([30.86]), np.array([31.0])  # customer 1516, rounded as in BTYD's walk-through
    alive = PARETO_NBD.alive_probability(params, *frequent)
    assert alive == pytest.approx(0.99792, abs=1e-5)
    year = alive * PARETO_NBD.expected_purchases_if_alive(params, *frequent, horizon=52.0)
    assert year == pytest.approx(25.4553, abs=1e-3)
    new = PARETO_NBD.expected_purchases_if_alive(params, *np.zeros((3, 1)), horizon=52.0)
    assert new == pytest.approx(1.47311, abs=1e-4)


def test_gamma_gompertz_nbd_becomes_the_pareto_nbd_on_cdnow(histories):
    """CLVTools' tests: r .55313 alpha 10.5758 b .0000011 s .60682 beta .000013, log-likelihood -9594.9762."""
    published = (0.55313, 10.5758, 1.1e-6, 0.60682, 1.3e-5)
    assert GAMMA_GOMPERTZ_NBD.log_likelihood(published, *histories).sum() == pytest.approx(
        -9594.9762, abs=0.01
    )  # b, beta rounded
    params, _, log_likelihood, found = fit(GAMMA_GOMPERTZ_NBD, *histories)
    r, alpha, b, s, beta = params
    pareto, _, pareto_log_likelihood, _ = fit(PARETO_NBD, *histories)
    assert log_likelihood == pytest.approx(pareto_log_likelihood, abs=1e-4)
    assert [r, alpha, s, beta / b] == pytest.approx(pareto, rel=1e-3)
    assert found.on_ridge.tolist() == [False, False, True, False, True]


@pytest.mark.filterwarnings("ignore")
def test_pareto_nbd_agrees_with_lifetimes_where_that_is_right(histories):
    lifetimes = pytest.importorskip("lifetimes")
    peer = lifetimes.ParetoNBDFitter()
    params = np.array([0.5534, 10.58, 0.6061, 11.656])
    peer.params_ = dict(zip(PARETO_NBD.names, params, strict=True))
    x, t_x, T = histories
    known = (x < 10) & (t_x < T)  # with t_x = T it returns NaN
    x, t_x, T = x[known], t_x[known], T[known]
    ours = PARETO_NBD.alive_probability(params, x, t_x, T)
    np.testing.assert_allclose(ours, np.asarray(peer.conditional_probability_alive(x, t_x, T)), rtol=1e-7)
    ours = ours * PARETO_NBD.expected_purchases_if_alive(params, x, t_x, T, horizon=39.0)
    theirs = peer.conditional_expected_number_of_purchases_up_to_time(39.0, x, t_x, T)
    np.testing.assert_allclose(ours, np.asarray(theirs), rtol=1e-7)


# --- against arithmetic of many digits


def stress_points(process, count, seed):
    """Parameters over four decades, x to 1000, t_x from 0 to T, T over seven decades, b * T over eight."""
    rng = np.random.default_rng(seed)
    params = list(10 ** rng.uniform(-2, 2, (len(process.names), count)))
    x = rng.choice([0.0, 1.0, 2.0, 10.0, 100.0, 1000.0], count)
    T = 10 ** rng.uniform(-3, 4, count)
    t_x = np.where(x > 0, T * rng.choice([1e-6, 0.01, 0.5, 0.9, 0.999, 1 - 1e-9, 1.0], count), 0.0)
    if "b" in process.names:
        params[2] = 10 ** rng.uniform(-4, 4, count) / T
    return params, x, t_x, T


def exact_pareto(mp, r, alpha, s, beta, x, t_x, T):
    """Alive and gone parts of the likelihood by the 2F1 of Fader & Hardie (2005), differences and all."""
    power, low, high = r + x, min(alpha, beta), max(alpha, beta)

    def beyond(u):
        shape = s + 1 if alpha >= beta else power
        return (
            mp.hyp2f1(power + s, shape, power + s + 1, (high - low) / (high + u))
            / (power + s)
            / (high + u) ** (power + s)
        )

    scale = mp.gammaprod([power], [r]) * alpha**r * beta**s
    return scale * (alpha + T) ** -power * (beta + T) ** -s, scale * s * (beyond(t_x) - beyond(T))


def exact_gompertz(mp, r, alpha, b, s, beta, x, t_x, T):
    """Alive and gone parts of the likelihood by Gauss-Legendre over calendar time, in steps of every scale."""
    power = r + x

    def survival(u):
        return (beta / (beta + mp.expm1(b * u))) ** s

    def integrand(u):
        return (alpha + u) ** -power * survival(u) * s * b * mp.exp(b * u) / (beta + mp.expm1(b * u))

    gone, u, near = mp.mpf(0), t_x, min(alpha, min(beta, 1) / b) / 2
    while u < T and b * s * (u - t_x) < 100 + s * mp.log(1 + beta):
        past = b * u - mp.log(max(beta, 1))
        steps = [near + u, 8 * (alpha + u) / max(power, 1), max(2, past / 2) / b, 8 / (s * b) if past > 0 else 2 / b]
        step = min(*steps, T - u)
        gone += step / 2 * mp.fsum(w * integrand(u + step * (1 + n) / 2) for n, w in GAUSS)
        u += step
    scale = mp.gammaprod([power], [r]) * alpha**r
    return scale * (alpha + T) ** -power * survival(T), scale * gone


@pytest.mark.parametrize(
    ("process", "exact", "count"), [(PARETO_NBD, exact_pareto, 200), (GAMMA_GOMPERTZ_NBD, exact_gompertz, 40)]
)
def test_likelihood_and_alive_probability_keep_ten_digits_everywhere(process, exact, count):
    mp = pytest.importorskip("mpmath").mp.clone()
    mp.dps = 60
    params, x, t_x, T = stress_points(process, count, seed=4)
    found, alive = process.log_likelihood(params, x, t_x, T), process.alive_probability(params, x, t_x, T)
    for i in range(count):
        numbers = [mp.mpf(float(value[i])) for value in (*params, x, t_x, T)]
        here, gone = exact(mp, *numbers)
        assert found[i] == pytest.approx(
            float(mp.log(here + gone)), rel=1e-10, abs=1e-13
        )  # one is a silence that is certain: log 1
        assert alive[i] == pytest.approx(float(here / (here + gone)), rel=1e-10, abs=1e-300)


@named_leaving
def test_gradient_is_that_of_the_log_likelihood(process):
    params, x, t_x, T = stress_points(process, 300, seed=6)
    value, gradient = process.log_likelihood_and_gradient(params, x, t_x, T)

    def moved(j, step):
        return process.log_likelihood([p * math.exp(step * (i == j)) for i, p in enumerate(params)], x, t_x, T)

    for j in range(len(params)):
        h = 1e-3
        rough, fine = (moved(j, 2 * h) - moved(j, -2 * h)) / (4 * h), (moved(j, h) - moved(j, -h)) / (2 * h)
        slope = fine + (fine - rough) / 3
        tolerance = 1e-7 * np.abs(slope) + 1e-10 * (1 + np.abs(value)) + 2e-4 * np.abs(fine - rough)
        assert (np.abs(slope - gradient[j] * params[j]) <= tolerance).all()


@pytest.mark.parametrize(
    ("s", "horizon", "rate"),
    [
        (0.3, 40.0, 0.0),
        (1.0, 5.0, 0.0),
        (1 + 1e-9, 1e4, 0.0),
        (1.0, 3.0, 0.2),
        (60.0, 1e-6, 0.0),
        (2.5, math.inf, 0.003),
        (0.05, math.inf, 1e-6),
        (80.0, math.inf, 50.0),
        (0.6, 52.0, 0.01),
    ],
)
def test_pareto_expectations_keep_their_digits_at_every_pole_of_the_closed_form(s, horizon, rate):
    """Without discount Fader & Hardie (2005), with it and for ever the DERT of Fader, Hardie & Lee (2005, Note)."""
    mp = pytest.importorskip("mpmath").mp.clone()
    mp.dps = 50
    r, alpha, beta, x, T = 0.7, 3.0, 5.0, 4.0, 11.0
    rest, wait = mp.mpf(beta) + T, mp.mpf(rate)
    if horizon == math.inf:
        stay = wait ** (s - 1) * rest**s * mp.hyperu(s, s, wait * rest)
    elif rate == 0:
        stay = rest * (
            mp.log(1 + horizon / rest) if s == 1 else ((1 + horizon / rest) ** (1 - mp.mpf(s)) - 1) / (1 - mp.mpf(s))
        )
    else:
        stay = mp.quad(lambda u: mp.exp(-wait * u) * (rest / (rest + u)) ** s, mp.linspace(0, horizon, 9))
    exact = float((r + x) / (alpha + T) * stay)
    history = np.array([x]), np.array([T - 1]), np.array([T])
    found = PARETO_NBD.discounted_purchases_if_alive((r, alpha, s, beta), *history, horizon=horizon, rate=rate)
    assert found == pytest.approx(exact, rel=1e-11)
    if rate == 0:
        found = PARETO_NBD.expected_purchases_if_alive((r, alpha, s, beta), *history, horizon=horizon)
        assert found == pytest.approx(exact, rel=1e-11)


@pytest.mark.parametrize(
    ("b", "s", "beta", "T"),
    [(0.1, 0.7, 9.0, 12.0), (3.0, 0.01, 50.0, 0.0), (0.01, 20.0, 0.02, 5.0), (2.0, 0.5, 30.0, 500.0)],
)
@pytest.mark.parametrize(("horizon", "rate"), [(30.0, 0.0), (30.0, 0.1), (math.inf, 0.02), (1e-5, 0.0)])
def test_gamma_gompertz_expectations_equal_the_integral_of_survival(b, s, beta, T, horizon, rate):
    mp = pytest.importorskip("mpmath").mp.clone()
    mp.dps = 30

    def worth(u):
        return mp.exp(-rate * u) * ((beta + mp.expm1(b * mp.mpf(T))) / (beta + mp.expm1(b * (T + u)))) ** s

    end = min(horizon, 90 / (rate + b * s) + 2 * math.log1p(beta) / b)
    bend = max(math.log(beta) / b - T, 0)
    borders = sorted(
        {
            0.0,
            end,
            *(end * 0.5**k for k in range(1, 9)),
            *(bend + k / b for k in range(-3, 4) if 0 < bend + k / b < end),
        }
    )
    exact = float(3.7 / (2.0 + T) * mp.quad(worth, borders))
    history = np.array([3.0]), np.array([T]), np.array([T])
    params = (0.7, 2.0, b, s, beta)
    found = GAMMA_GOMPERTZ_NBD.discounted_purchases_if_alive(params, *history, horizon=horizon, rate=rate)
    assert found == pytest.approx(exact, rel=1e-10)


# --- laws that hold whatever the numbers


@st.composite
def cases(draw, processes=tuple(ALL)):
    process = draw(st.sampled_from(processes))
    params = [10 ** draw(st.floats(-2, 2)) for _ in process.names]
    rows = draw(st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 1), st.floats(-3, 4)), min_size=1, max_size=8))
    x, share, log_T = columns(rows)
    T = 10**log_T
    return process, params, (x, np.where(x > 0, share * T, 0.0), T)


@given(case=cases(), horizon=st.floats(1e-3, 1e4), rate=st.floats(1e-4, 10))
def test_every_answer_is_finite_and_in_its_domain(case, horizon, rate):
    process, params, history = case
    x, _, T = history
    value, gradient = process.log_likelihood_and_gradient(params, *history)
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()
    alive = process.alive_probability(params, *history)
    stays = process.survival_if_alive(params, *history, ahead=horizon)
    assert ((alive >= 0) & (alive <= 1) & (stays >= 0) & (stays <= 1)).all()
    expected = process.expected_purchases_if_alive(params, *history, horizon=horizon)
    r, alpha = params[:2]
    assert (expected >= 0).all()
    assert (expected <= (r + x) / (alpha + T) * horizon * (1 + 1e-12)).all()  # as if nobody ever left
    discounted = process.discounted_purchases_if_alive(params, *history, horizon=horizon, rate=rate)
    assert ((discounted >= 0) & (discounted <= expected * (1 + 1e-12))).all()
    for_ever = process.discounted_purchases_if_alive(params, *history, horizon=math.inf, rate=rate)
    assert ((for_ever >= discounted * (1 - 1e-12)) & np.isfinite(for_ever)).all()
    counts = process.count_probabilities_if_alive(params, *history, horizon=horizon, most=4)
    assert counts.shape == (len(x), 5)
    assert ((counts >= 0) & (counts.sum(axis=1, keepdims=True) <= 1 + 1e-12)).all()


@given(case=cases(), ahead=st.floats(1e-3, 1e3))
def test_no_purchase_ahead_has_the_probability_that_the_likelihood_gives_it(case, ahead):
    process, params, (x, t_x, T) = case
    none = process.count_probabilities_if_alive(params, x, t_x, T, horizon=ahead, most=0)[:, 0]
    alive = process.alive_probability(params, x, t_x, T)
    silent = process.log_likelihood(params, x, t_x, T + ahead) - process.log_likelihood(params, x, t_x, T)
    tolerance = 1e-10 + 1e-12 * np.abs(process.log_likelihood(params, x, t_x, T))
    assert (np.abs(alive * none + 1 - alive - np.exp(silent)) <= tolerance).all()


@given(case=cases(), factor=st.floats(0.01, 100))
def test_the_unit_of_time_shifts_the_log_likelihood_and_nothing_else(case, factor):
    process, params, (x, t_x, T) = case
    scaled = [value * factor**power for value, power in zip(params, process.time_powers, strict=True)]
    history, rescaled = (x, t_x, T), (x, t_x * factor, T * factor)
    value = process.log_likelihood(params, *history)
    shifted = process.log_likelihood(scaled, *rescaled) + x * math.log(factor)
    np.testing.assert_allclose(shifted, value, rtol=1e-9, atol=1e-9)
    forecast = process.expected_purchases_if_alive(params, *history, horizon=2.0)
    again = process.expected_purchases_if_alive(scaled, *rescaled, horizon=2.0 * factor)
    np.testing.assert_allclose(again, forecast, rtol=1e-10)


@given(case=cases(), weight=st.integers(1, 5))
def test_objective_is_the_weighted_sum_over_histories(case, weight):
    process, params, history = case
    weights = np.arange(weight, weight + len(history[0]), dtype=float)
    value, gradient = process.objective(*history, weights)(np.array(params))
    each, slopes = process.log_likelihood_and_gradient(params, *history)
    assert value == pytest.approx(np.sum(weights * each), rel=1e-10, abs=1e-9)
    size = np.sum(weights * np.abs(slopes), axis=1)
    assert (np.abs(gradient - np.sum(weights * slopes, axis=1)) <= 1e-9 * (1 + size)).all()


@named
def test_parameters_and_horizons_by_customer_are_those_of_each_customer_alone(process):
    history = columns(HISTORIES)
    rows = len(HISTORIES)
    factors = np.linspace(0.5, 2.0, rows)
    params = [p * (factors if j in {1, len(process.names) - 1} else 1.0) for j, p in enumerate(PLAUSIBLE[process])]
    horizon = np.linspace(1.0, 60.0, rows)

    def answers(params, history, horizon):
        return [
            *process.log_likelihood_and_gradient(params, *history),
            process.alive_probability(params, *history),
            process.survival_if_alive(params, *history, ahead=horizon),
            process.expected_purchases_if_alive(params, *history, horizon=horizon),
            process.count_probabilities_if_alive(params, *history, horizon=horizon, most=3).T,
            process.discounted_purchases_if_alive(params, *history, horizon=9.0, rate=0.01),
        ]

    together = answers(params, history, horizon)
    for i in range(rows):
        alone = answers([p[i] if np.ndim(p) else p for p in params], [c[[i]] for c in history], float(horizon[i]))
        for all_rows, one in zip(together, alone, strict=True):
            np.testing.assert_allclose(all_rows[..., [i]], one, rtol=1e-12)


@named
def test_counts_add_up_to_one_and_to_the_expectation(process):
    history = columns(HISTORIES[:4])
    params = PLAUSIBLE[process]
    counts = process.count_probabilities_if_alive(params, *history, horizon=20.0, most=150)
    np.testing.assert_allclose(counts.sum(axis=1), 1.0, rtol=1e-12)
    expected = process.expected_purchases_if_alive(params, *history, horizon=20.0)
    np.testing.assert_allclose(counts @ np.arange(151.0), expected, rtol=1e-12)
    assert (counts[:, 0] > process.count_probabilities_if_alive(params, *history, horizon=40.0, most=0)[:, 0]).all()


@named_leaving
def test_who_bought_on_the_last_day_is_alive_and_others_are_less_so_the_longer_they_are_silent(process):
    last = np.array([50.0, 45.0, 30.0, 5.0])
    alive = process.alive_probability(PLAUSIBLE[process], np.full(4, 6.0), last, np.full(4, 50.0))
    assert alive[0] == 1
    assert (np.diff(alive) < 0).all()


@named_leaving
def test_without_leaving_it_is_the_nbd(process):
    immortal = [*PLAUSIBLE[process][:-2], 1e-6, 1e6]
    history = columns(HISTORIES[:-1])  # the silence of the last is so unlikely that leaving explains it even so
    nbd = immortal[:2]
    np.testing.assert_allclose(process.log_likelihood(immortal, *history), NBD.log_likelihood(nbd, *history), atol=1e-6)
    for question, how in [
        ("expected_purchases_if_alive", {"horizon": 9.0}),
        ("discounted_purchases_if_alive", {"horizon": 9.0, "rate": 0.05}),
        ("count_probabilities_if_alive", {"horizon": 9.0, "most": 5}),
    ]:
        ours, plain = (
            getattr(process, question)(immortal, *history, **how),
            getattr(NBD, question)(nbd, *history, **how),
        )
        np.testing.assert_allclose(ours, plain, rtol=1e-5)


# --- simulated customers


def simulate(process, params, customers, T, horizon, seed):
    """Histories until T, who is alive then, and purchases in the horizon after it."""
    rng = np.random.default_rng(seed)
    r, alpha, *leaving = params
    rate = rng.gamma(r, 1 / alpha, customers)
    hazard = rng.gamma(leaving[-2], 1 / leaving[-1], customers)
    customer_time = rng.exponential(1.0, customers) / np.maximum(hazard, 1e-300)
    life = customer_time if process is PARETO_NBD else np.log1p(customer_time) / leaving[0]
    x = rng.poisson(rate * np.minimum(life, T)).astype(float)
    t_x = np.where(x > 0, np.minimum(life, T) * rng.random(customers) ** (1 / np.maximum(x, 1)), 0.0)
    future = rng.poisson(rate * np.clip(life - T, 0.0, horizon))
    return (x, t_x, np.full(customers, T)), life > T, future


TRUTHS = [
    (PARETO_NBD, (0.55, 10.6, 0.6, 11.7), 39.0),
    (PARETO_NBD, (3.0, 2.0, 2.5, 30.0), 20.0),
    (PARETO_NBD, (0.3, 30.0, 1.2, 400.0), 730.0),
    (GAMMA_GOMPERTZ_NBD, (0.85, 4.45, 0.12, 0.75, 9.55), 52.0),
    (GAMMA_GOMPERTZ_NBD, (2.0, 1.0, 0.5, 1.0, 20.0), 12.0),
]


@pytest.mark.parametrize(("process", "truth", "T"), TRUTHS)
def test_parameters_are_recovered_within_their_errors_from_any_start(process, truth, T):
    history, _, _ = simulate(process, truth, 12_000, T, 0.0, seed=8)
    params, errors, log_likelihood, found = fit(process, *history)
    assert found.converged
    assert (np.abs(np.log(params / truth)) < 4 * errors / params).all()
    assert log_likelihood >= process.log_likelihood(truth, *history).sum()


@pytest.mark.parametrize(("process", "truth", "T"), TRUTHS[1::2])
def test_forecasts_come_true_on_simulated_customers(process, truth, T):
    horizon = T / 2
    history, alive, future = simulate(process, truth, 40_000, T, horizon, seed=9)
    probability = process.alive_probability(truth, *history)
    for group in (probability < 0.5, probability >= 0.5):
        assert probability[group].mean() == pytest.approx(alive[group].mean(), abs=4 * 0.5 / math.sqrt(group.sum()))
    expected = probability * process.expected_purchases_if_alive(truth, *history, horizon=horizon)
    assert expected.sum() == pytest.approx(future.sum(), abs=4 * math.sqrt(np.sum((future - expected) ** 2)))
    counts = process.count_probabilities_if_alive(truth, *history, horizon=horizon, most=3)
    for n in (1, 2, 3):
        share = np.mean(probability * counts[:, n])
        assert share == pytest.approx(np.mean(future == n), abs=4 * math.sqrt(share / len(future)))


@named_leaving
def test_wherever_a_search_may_go_integrals_are_finite_and_take_few_nodes(process):
    rng = np.random.default_rng(1)
    x, t_x, T = (np.tile(column, 40) for column in columns(HISTORIES[1:]))
    params = list(10 ** rng.uniform(-6, 6, (len(process.names), len(T))))
    value, gradient = process.log_likelihood_and_gradient(params, x, t_x / 30, T / 30)
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()
    leaving = params[2:]
    frame = process.lifetime.frame(leaving, t_x, reach=params[1])
    for nodes in nodes_of(process.lifetime, leaving, frame, T - t_x, tail=leaving[-2], slope=np.ones_like):
        assert len(nodes.v) < 200 * NODES
