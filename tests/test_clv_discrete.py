"""What the BG/BB promises: published values, agreement with 50-digit arithmetic, finite answers, helpful refusals."""

import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError

from crmlytics._kernels import beta_binomial as kernel
from crmlytics.clv import BetaGeoBetaBinomModel, btyd_table, discrete_table
from crmlytics.datasets import load_donations
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records


@pytest.fixture(scope="module")
def donors():
    counts = load_donations().rename(columns={"periods": "T"})
    return counts.loc[counts.index.repeat(counts.pop("weights"))].reset_index(drop=True)


@pytest.fixture(scope="module")
def fitted(donors):
    return BetaGeoBetaBinomModel().fit(donors)


@pytest.fixture(scope="module")
def mp():
    mpmath = pytest.importorskip("mpmath").mp.clone()
    mpmath.dps = 50
    return mpmath


def arrays(*numbers):
    return tuple(np.array([float(number)]) for number in numbers)


# --- published values: Fader, Hardie & Shang (2010), 1995 cohort of donors


def test_donations_fit_has_the_published_values(fitted, donors):
    params = {"alpha": 1.203507, "beta": 0.749767, "gamma": 0.656757, "delta": 2.783887}
    assert fitted.params_ == pytest.approx(params, rel=2e-4)
    assert fitted.log_likelihood_ == pytest.approx(-33225.581, abs=5e-4)
    assert fitted.converged_
    assert fitted.n_customers_ == 11_104
    assert fitted.score(donors) * 11_104 == pytest.approx(fitted.log_likelihood_)


def histories(*rows):
    return pd.DataFrame(rows, columns=["frequency", "recency", "T"])


def test_donations_scores_have_the_published_values(fitted):
    table = histories((6, 6, 6), (5, 5, 6), (0, 0, 6))
    scores = fitted.score_table(table, horizon=5)
    assert scores["alive_probability"].round(4).tolist() == [0.9304, 0.5220, 0.1081]
    value = fitted.residual_table(table, discount_rate=0.1)["discounted_residual_count"]
    assert value.to_numpy()[[0, 2]] == pytest.approx([5.9098, 0.1148], abs=2e-4)
    expected = [0.4985, 0.9233, 1.2969, 1.6323, 1.9381, 2.2202, 2.4826, 2.7285, 2.9603, 3.1798, 3.3887]
    ours = fitted.new_customer_table(horizons=range(1, 12))
    assert ours["expected_purchase_count"].tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.filterwarnings("ignore::Warning:lifetimes", "ignore::Warning:autograd")
def test_lifetimes_agrees_where_it_is_right(fitted, donors):
    lifetimes = pytest.importorskip("lifetimes")
    cells = donors.drop_duplicates()
    peer = lifetimes.BetaGeoBetaBinomFitter()
    peer.params_ = pd.Series(fitted.params_)
    x, t_x, n = (cells[name] for name in ("frequency", "recency", "T"))
    scores = fitted.score_table(cells, horizon=7)
    alive = peer.conditional_probability_alive(1, x, t_x, n)
    np.testing.assert_allclose(scores["alive_probability"], alive, rtol=1e-9)
    expected = peer.conditional_expected_number_of_purchases_up_to_time(7, x, t_x, n)
    np.testing.assert_allclose(scores["expected_purchase_count"], expected, rtol=1e-9)


# --- kernels against arithmetic of 50 digits and against one another

positive = st.floats(-2, 2).map(lambda exponent: 10**exponent)
params4 = st.tuples(positive, positive, positive, positive)


@st.composite
def history(draw, longest=25):
    n = draw(st.integers(0, longest))
    t_x = draw(st.integers(0, n))
    return (draw(st.integers(1, t_x)) if t_x else 0), t_x, n


def exact_likelihood(mp, params, x, t_x, n):
    """Equation 5 of the paper."""
    alpha, beta, gamma, delta = (mp.mpf(value) for value in params)
    alive = mp.beta(alpha + x, beta + n - x) * mp.beta(gamma, delta + n)
    left = [mp.beta(alpha + x, beta + k - x) * mp.beta(gamma + 1, delta + k) for k in range(t_x, n)]
    return (alive + mp.fsum(left)) / (mp.beta(alpha, beta) * mp.beta(gamma, delta))


@settings(max_examples=80)
@given(params=params4, past=history())
def test_likelihood_and_survival_equal_the_formula_of_the_paper(mp, params, past):
    exact = exact_likelihood(mp, params, *past)
    ours = kernel.log_likelihood(np.array(params), *arrays(*past))[0]
    assert ours == pytest.approx(float(mp.log(exact)), rel=1e-11, abs=1e-12)
    x, _, n = past
    alpha, beta, gamma, delta = (mp.mpf(value) for value in params)
    bought = mp.beta(alpha + x, beta + n - x) / mp.beta(alpha, beta)
    for ahead in (0, 1, 30):
        alive = bought * mp.beta(gamma, delta + n + ahead) / mp.beta(gamma, delta) / exact
        ours = kernel.alive_probability(np.array(params), *arrays(*past), ahead=ahead)[0]
        assert ours == pytest.approx(float(alive), rel=1e-10)


@settings(max_examples=80)
@given(params=params4, rows=st.lists(st.tuples(history(), st.integers(1, 9)), min_size=1, max_size=6))
def test_objective_is_the_sum_and_its_gradient_the_differences(params, rows):
    x, t_x, n = (np.array(column, dtype=float) for column in zip(*[past for past, _ in rows], strict=True))
    weights = np.array([float(weight) for _, weight in rows])
    objective = kernel.objective(x, t_x, n, weights)
    value, gradient = objective(np.array(params))
    assert value == pytest.approx((weights * kernel.log_likelihood(np.array(params), x, t_x, n)).sum(), rel=1e-12)
    theta, h = np.log(params), 1e-3
    for j, step in enumerate(h * np.eye(4)):
        near = objective(np.exp(theta + step))[0] - objective(np.exp(theta - step))[0]
        far = objective(np.exp(theta + 2 * step))[0] - objective(np.exp(theta - 2 * step))[0]
        assert gradient[j] * params[j] == pytest.approx((8 * near - far) / (12 * h), rel=1e-6, abs=1e-6)


@settings(max_examples=80)
@given(params=params4, past=history(), horizon=st.integers(1, 40))
def test_no_purchase_in_the_horizon_is_a_ratio_of_likelihoods(params, past, horizon):
    x, t_x, n = arrays(*past)
    p = np.array(params)
    alive = kernel.alive_probability(p, x, t_x, n)
    buys = alive * kernel.purchase_probability_if_alive(p, x, n, horizon=horizon)
    ratio = kernel.log_likelihood(p, x, t_x, n + horizon) - kernel.log_likelihood(p, x, t_x, n)
    assert buys == pytest.approx(-np.expm1(ratio), abs=1e-11)


@settings(max_examples=80)
@given(params=params4, past=history(), horizon=st.integers(1, 40))
def test_counts_add_up_to_one_and_to_their_mean(params, past, horizon):
    x, _, n = arrays(*past)
    p = np.array(params)
    shares = kernel.count_probabilities_if_alive(p, x, n, horizon=horizon, most=horizon)[0]
    assert (shares >= 0).all()
    assert shares.sum() == pytest.approx(1, rel=1e-12)
    mean = kernel.expected_purchases_if_alive(p, x, n, horizon=horizon)[0]
    assert shares @ np.arange(horizon + 1) == pytest.approx(mean, rel=1e-11)
    assert 1 - shares[0] == pytest.approx(kernel.purchase_probability_if_alive(p, x, n, horizon=horizon)[0], abs=1e-12)
    some = kernel.count_probabilities_if_alive(p, x, n, horizon=horizon, most=2)[0]
    assert some == pytest.approx(np.append(shares, 0.0)[:3], rel=1e-12)


@settings(max_examples=60)
@given(params=params4, past=history(), horizon=st.integers(1, 60))
def test_expected_purchases_equal_the_closed_form_away_from_its_pole(mp, params, past, horizon):
    """Equation 13 of the paper, given alive at n."""
    alpha, beta, gamma, delta = (mp.mpf(value) for value in params)
    assume(abs(gamma - 1) > 1e-6)
    x, _, n = past
    periods = (delta + n) / (gamma - 1)
    periods *= 1 - mp.gammaprod(
        [delta + n + 1 + horizon, gamma + delta + n], [delta + n + 1, gamma + delta + n + horizon]
    )
    exact = (alpha + x) / (alpha + beta + n) * periods
    ours = kernel.expected_purchases_if_alive(np.array(params), *arrays(x, n), horizon=horizon)[0]
    assert ours == pytest.approx(float(exact), rel=1e-11)


def test_expected_purchases_are_smooth_through_the_pole_of_the_closed_form():
    x, n = np.array([0.0, 3.0, 9.0]), np.array([0.0, 5.0, 9.0])

    def at(gamma):
        return kernel.expected_purchases_if_alive(np.array([1.2, 0.7, gamma, 2.8]), x, n, horizon=20)

    np.testing.assert_allclose(at(1.0), (at(1 - 1e-6) + at(1 + 1e-6)) / 2, rtol=1e-11)


@pytest.mark.parametrize("gamma", [0.05, 1.0, 20.0])
@pytest.mark.parametrize("rate", [0.002, 0.1, 2.0])
def test_discounted_purchases_equal_the_hypergeometric_function(mp, gamma, rate):
    """Equation 14 of the paper, given alive at n."""
    alpha, beta, delta, x, n = 1.2, 0.7, 2.8, 4, 6
    b = mp.mpf(delta) + n
    v = 1 / (1 + mp.mpf(rate))
    periods = v * b / (gamma + b) * mp.hyp2f1(1, b + 1, gamma + b + 1, v)
    params = np.array([alpha, beta, gamma, delta])
    ours = kernel.expected_purchases_if_alive(params, *arrays(x, n), horizon=np.inf, rate=rate)[0]
    assert ours == pytest.approx(float((alpha + x) / (alpha + beta + n) * periods), rel=1e-11)


def test_everything_is_finite_on_a_stress_grid():
    x = np.array([0.0, 0, 1, 1, 50, 50, 1, 400])
    t_x = np.array([0.0, 0, 1, 60, 50, 400, 400, 400])
    n = np.array([0.0, 400, 400, 60, 400, 400, 400, 400])
    stress = [1e-6, 1.0, 1e6]
    for params in np.stack(np.meshgrid(stress, stress, stress, stress), axis=-1).reshape(-1, 4):
        value, gradient = kernel.objective(x, t_x, n, np.ones(len(x)))(params)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
        alive = kernel.alive_probability(params, x, t_x, n)
        buys = kernel.purchase_probability_if_alive(params, x, n, horizon=30)
        for probability in (alive, buys):
            assert ((probability >= 0) & (probability <= 1 + 1e-12)).all()
        counts = kernel.expected_purchases_if_alive(params, x, n, horizon=30)
        assert (counts >= buys * (1 - 1e-12)).all()
        discounted = kernel.expected_purchases_if_alive(params, x, n, horizon=np.inf, rate=0.2)
        assert ((discounted >= 0) & (discounted <= 5 * (1 + 1e-12))).all()
        shares = kernel.count_probabilities_if_alive(params, x, n, horizon=30, most=30)
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-10)


def simulate(rng, customers, params, n, horizon):
    """The story of the model, opportunity by opportunity: histories of n, and purchases in the horizon after."""
    alpha, beta, gamma, delta = params
    buying, leaving = rng.beta(alpha, beta, customers), rng.beta(gamma, delta, customers)
    alive, alive_at_n = np.ones(customers, dtype=bool), None
    x, t_x, future = np.zeros(customers), np.zeros(customers), np.zeros(customers)
    for opportunity in range(1, n + horizon + 1):
        alive = alive & (rng.random(customers) >= leaving)
        bought = alive & (rng.random(customers) < buying)
        if opportunity > n:
            future += bought
        else:
            x += bought
            t_x = np.where(bought, opportunity, t_x)
            alive_at_n = alive
    return x, t_x, future, alive_at_n


def test_scores_match_simulated_customers():
    params, n, horizon = np.array([1.2, 0.9, 0.7, 2.8]), 6, 8
    x, t_x, future, alive = simulate(np.random.default_rng(7), 200_000, params, n, horizon)
    until = np.full_like(x, n)
    now = kernel.alive_probability(params, x, t_x, until)
    buys = now * kernel.purchase_probability_if_alive(params, x, until, horizon=horizon)
    expected = now * kernel.expected_purchases_if_alive(params, x, until, horizon=horizon)
    for group in (x == 0, t_x == n, (x == 1) & (t_x < 3), x >= 4):
        for predicted, actual in ((now, alive), (buys, future > 0), (expected, future)):
            error = actual[group].std() / math.sqrt(group.sum())
            assert abs(predicted[group].mean() - actual[group].mean()) < 4 * error + 1e-12


def test_parameters_are_recovered_within_their_errors():
    true = {"alpha": 1.2, "beta": 0.9, "gamma": 0.7, "delta": 2.8}
    x, t_x, _, _ = simulate(np.random.default_rng(11), 20_000, tuple(true.values()), 10, 0)
    fitted = BetaGeoBetaBinomModel().fit(pd.DataFrame({"frequency": x, "recency": t_x, "T": 10}))
    for name, value in true.items():
        assert abs(fitted.params_[name] - value) < 4 * fitted.standard_errors_[name]
        assert fitted.standard_errors_[name] < 0.2 * value


# --- discrete_table

AS_OF = dt.datetime(2024, 4, 1)
LINES = [
    ("a", (2024, 1, 5), 10.0),  # the first period is no opportunity
    ("a", (2024, 1, 9), 4.0),  # and buying again in it does not count
    ("a", (2024, 3, 1), 6.0),
    ("a", (2024, 3, 30), 2.0),  # twice in March is once
    ("b", (2023, 11, 30), 7.0),
    ("b", (2024, 1, 31), 7.0),
    ("b", (2024, 3, 3), -7.0),  # a return is no purchase
    ("c", (2024, 2, 3), 5.0),
    ("c", (2024, 3, 3), 5.0),
    ("c", (2024, 3, 3), -5.0),  # cancelled the same day
    ("d", (2024, 1, 4), -3.0),  # never bought: no row
    ("e", (2024, 3, 31), 0.0),  # free of charge, yet a purchase
]
ORDERS = {
    "customer_id": [customer for customer, _, _ in LINES] + ["a", "g"],
    "timestamp": [dt.datetime(*day, 13) for _, day, _ in LINES] + [AS_OF, AS_OF],
    "amount": [amount for _, _, amount in LINES] + [1000.0, 1000.0],  # at as_of: not known yet
}


def test_discrete_table_counts_by_hand_on_every_kind_of_frame(frame):
    orders = frame(ORDERS)
    table = discrete_table(orders, as_of=AS_OF, period="month")
    assert type(table) is type(orders)
    assert records(table) == [("a", 1, 2, 2), ("b", 1, 2, 4), ("c", 0, 0, 1), ("e", 0, 0, 0)]
    # of 13 weeks back from 31 March: 1 to 7 January is the first
    weekly = records(discrete_table(orders, as_of=AS_OF, period="7d"))
    assert weekly == [("a", 3, 12, 12), ("b", 1, 9, 17), ("c", 0, 0, 8), ("e", 0, 0, 0)]


def test_a_calendar_period_that_as_of_cuts_short_is_left_out():
    orders = pd.DataFrame(ORDERS)
    cut = discrete_table(orders, as_of="2024-03-31", period="month")
    assert records(cut) == [("a", 0, 0, 1), ("b", 1, 2, 3), ("c", 0, 0, 0)]
    assert records(cut) == records(discrete_table(orders, as_of="2024-03-01", period="month"))


def plain_rows(lines, as_of, days):
    by_customer = {}
    for customer, day, amount in lines:
        if day < as_of:
            by_customer.setdefault(customer, {}).setdefault(day, []).append(amount)
    rows = []
    for customer, by_day in sorted(by_customer.items()):
        bought = [day for day, amounts in by_day.items() if sum(amounts) > 0 or min(amounts) >= 0]
        back = sorted({((as_of - day).days - 1) // days for day in bought})
        if back:
            rows.append((customer, len(back) - 1, back[-1] - back[0], back[-1]))
    return rows


order_lines = st.lists(
    st.tuples(
        st.sampled_from("abcd"), st.dates(dt.date(2023, 12, 20), dt.date(2024, 3, 5)), st.integers(-3, 6).map(float)
    ),
    min_size=1,
    max_size=40,
)


@given(lines=order_lines, days=st.sampled_from([1, 7, 30]), kind=st.sampled_from(["pandas", "polars"]))
def test_discrete_table_equals_plain_python(lines, days, kind):
    as_of = dt.date(2024, 2, 20)
    expected = plain_rows(lines, as_of, days)
    assume(expected)
    customers, dates, amounts = zip(*lines, strict=True)
    moments = [dt.datetime.combine(day, dt.time(9)) for day in dates]
    orders = make_frame({"customer_id": customers, "timestamp": moments, "amount": amounts}, kind)
    assert records(discrete_table(orders, as_of=as_of, period=f"{days}d")) == expected


def test_with_periods_of_a_day_it_is_the_btyd_table():
    orders = pd.DataFrame(ORDERS)
    daily, other = discrete_table(orders, as_of=AS_OF, period="1d"), btyd_table(orders, as_of=AS_OF, unit="1d")
    assert daily.astype({"recency": float, "T": float}).equals(other[daily.columns])


def test_discrete_table_says_what_it_needs():
    orders = pd.DataFrame(ORDERS)
    with pytest.raises(MissingColumnsError, match=r"discrete_table needs \['amount'\].*amount='<your column>'"):
        discrete_table(orders.rename(columns={"amount": "Total"}), as_of=AS_OF)
    with pytest.raises(SchemaError, match=r'discrete_table: period must be "month".*got \'monthly\''):
        discrete_table(orders, as_of=AS_OF, period="monthly")


# --- the estimator


def small_table():
    rng = np.random.default_rng(3)
    x, t_x, _, _ = simulate(rng, 600, (1.2, 0.9, 0.7, 2.8), 8, 0)
    return {"customer_id": rng.permutation(600), "frequency": x.astype(int), "recency": t_x.astype(int), "T": [8] * 600}


def test_every_table_of_scores_is_the_kind_that_came_in_sorted_by_key(frame):
    data = small_table()
    came, plain = frame(data), make_frame(data, "pandas")
    fitted, other = BetaGeoBetaBinomModel().fit(came), BetaGeoBetaBinomModel().fit(plain)
    for scored in (
        lambda model, table: model.score_table(table, horizon=5, discount_rate=0.1),
        lambda model, table: model.residual_table(table, discount_rate=0.1),
        lambda model, table: model.count_table(table, horizon=5, most=2),
    ):
        ours, expected = scored(fitted, came), scored(other, plain)
        assert type(ours) is type(came)
        assert [row[0] for row in records(ours)] == list(range(600))
        for row, theirs in zip(records(ours), records(expected), strict=True):
            assert row == pytest.approx(theirs, rel=1e-9)


def test_scores_agree_with_one_another(fitted, donors):
    table = donors.drop_duplicates()
    scores = fitted.score_table(table, horizon=5, discount_rate=0.1)
    assert (scores["purchase_probability"] < scores["alive_probability"]).all()
    assert (scores["alive_at_horizon_probability"] < scores["alive_probability"]).all()
    assert (scores["purchase_probability"] < scores["expected_purchase_count"]).all()
    counts = fitted.count_table(table, horizon=5).drop(columns="row_number")
    assert counts["probability_of_more"].max() < 1e-12
    np.testing.assert_allclose(counts.sum(axis=1), 1, rtol=1e-12)
    few = fitted.count_table(table, horizon=5, most=1)
    np.testing.assert_allclose(few["probability_of_more"], counts.loc[:, "probability_of_2":].sum(axis=1), rtol=1e-9)
    np.testing.assert_allclose(1 - counts["probability_of_0"], scores["purchase_probability"], rtol=1e-10)
    np.testing.assert_allclose(counts.to_numpy() @ np.arange(7), scores["expected_purchase_count"], rtol=1e-10)
    values = [name for name in scores if not name.endswith(("_low", "_high", "_number"))]
    assert len(values) == 5
    for name in values:
        assert (scores[f"{name}_low"] < scores[name]).all()
        assert (scores[name] < scores[f"{name}_high"]).all()
    pd.testing.assert_frame_equal(scores.iloc[:, :-3], fitted.score_table(table, horizon=5))
    soon = fitted.residual_table(table, discount_rate=0.1, horizon=5)["discounted_residual_count"]
    np.testing.assert_allclose(soon, scores["discounted_purchase_count"])
    ever = fitted.residual_table(table, discount_rate=0.1)["discounted_residual_count"]
    assert (soon < ever).all()
    assert (soon < scores["expected_purchase_count"] / 1.1).all()


def test_a_new_customer_is_one_without_a_history(fitted):
    new = fitted.score_table(histories((0, 0, 0)), horizon=4).drop(columns=["row_number"])
    table = fitted.new_customer_table(horizons=[1, 4])
    assert table["horizon"].tolist() == [1, 4]
    for name in table.columns.drop("horizon"):
        assert table[name].iloc[1] == pytest.approx(new[name].iloc[0])
    assert table["alive_at_horizon_probability"].iloc[0] == pytest.approx(new["alive_probability"].iloc[0])


def test_profile_intervals_hold_the_estimates(fitted, donors):
    table = fitted.profile_table(donors)
    wald = fitted.parameter_table()
    np.testing.assert_allclose(table["low"], wald["low"], rtol=0.1)
    np.testing.assert_allclose(table["high"], wald["high"], rtol=0.1)


def test_intervals_cover_what_is_true_about_as_often_as_they_say():
    rng, params = np.random.default_rng(2), np.array([1.2, 0.9, 0.7, 2.8])
    past = histories((3, 5, 8), (0, 0, 8))
    x, t_x, n = (past[name].to_numpy(float) for name in past)
    alive = kernel.alive_probability(params, x, t_x, n)
    truth = alive * kernel.expected_purchases_if_alive(params, x, n, horizon=5)
    covered = []
    for _ in range(40):
        x, t_x, _, _ = simulate(rng, 2000, params, 8, 0)
        fitted = BetaGeoBetaBinomModel().fit(pd.DataFrame({"frequency": x, "recency": t_x, "T": 8}))
        scores = fitted.score_table(past, horizon=5, interval=0.9)
        covered.append(
            scores["expected_purchase_count_low"].lt(truth) & scores["expected_purchase_count_high"].gt(truth)
        )
    assert np.mean(covered, axis=0) == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / 40))


DEGENERATE = {
    "nobody came back": ([0] * 20, [0] * 20, [6] * 20),
    "one customer": ([3], [5], [8]),
    "no opportunity yet": ([0] * 3, [0] * 3, [0] * 3),
    "all alike": ([4] * 30, [6] * 30, [6] * 30),
    "nobody leaves": ([6] * 30 + [3] * 5, [6] * 35, [6] * 35),
}


@pytest.mark.parametrize("case", DEGENERATE)
def test_degenerate_data_give_finite_scores_and_a_warning(case):
    table = pd.DataFrame(dict(zip(("frequency", "recency", "T"), DEGENERATE[case], strict=True)))
    with pytest.warns(DataQualityWarning, match=r"BinomModel: (not converged|converged on a ridge)"):
        fitted = BetaGeoBetaBinomModel().fit(table)
    assert np.isfinite(fitted.score_table(table, horizon=5, interval=0.9).to_numpy(float)).all()
    assert np.isfinite(fitted.residual_table(table, discount_rate=0.1).to_numpy(float)).all()


BAD_ROWS = [
    ((2, 5, 4), r"1 of 2 rows have a recency that is negative or larger than T \(customer_id 'bad'\)"),
    ((2, 3.5, 4), "a recency or T that is not a whole number .*crm.clv.discrete_table, not with btyd_table"),
    ((3, 2, 4), "more purchases than opportunities up to the last one .*An opportunity counts once"),
    ((1.5, 2, 4), "a frequency that is not a whole number >= 0"),
    ((0, 2, 4), "a recency above 0 without a repeat purchase"),
    ((1, float("nan"), 4), "a frequency, recency or T that is missing or infinite"),
]


@pytest.mark.parametrize(("row", "text"), BAD_ROWS)
def test_histories_that_cannot_be_are_refused_by_name(row, text):
    table = pd.DataFrame([("fine", 1.0, 2.0, 9.0), ("bad", *row)], columns=["customer_id", "frequency", "recency", "T"])
    with pytest.raises(SchemaError, match=rf"BetaGeoBetaBinomModel\.fit: .*{text}"):
        BetaGeoBetaBinomModel().fit(table)


def test_refusals_say_what_came_and_what_to_type(fitted, donors):
    with pytest.raises(NotFittedError):
        BetaGeoBetaBinomModel().score_table(donors, horizon=3)
    with pytest.raises(SchemaError, match="score_table: horizon must be a whole number of at least 1, got '90d'"):
        fitted.score_table(donors, horizon="90d")
    with pytest.raises(SchemaError, match=r"without a horizon, discount_rate must be at least 1e-05"):
        fitted.residual_table(donors, discount_rate=0)
    with pytest.raises(SchemaError, match="most must be a whole number of at least 0"):
        fitted.count_table(donors, horizon=3, most=-1)
    with pytest.raises(SchemaError, match="interval must be a fraction between 0 and 1"):
        fitted.score_table(donors, horizon=3, interval=90)


def test_histories_with_weights_are_not_taken_for_customers():
    counts = load_donations().rename(columns={"periods": "T"})
    with pytest.raises(SchemaError, match=r"fit: the column 'weights' is not read: .*table\.index\.repeat"):
        BetaGeoBetaBinomModel().fit(counts)
