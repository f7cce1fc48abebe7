# --- kernels against slow references

positive = st.floats(-2, 2).map(lambda exponent: 10**exponent)
params4 = st.tuples(positive, positive, positive, positive)
histories = st.tuples(st.integers(0, 30), st.floats(0.05, 1), st.floats(0.1, 60)).map(
    lambda h: (float(h[0]), h[1] * h[2] if h[0] else 0.0, h[2])
)


def one(history, first):
    x, t_x, T = (np.array([value]) for value in history)
    return x, t_x, T, x + first


@settings(max_examples=150, deadline=None)
@given(params=params4, history=histories, first=st.sampled_from([0, 1]))
def test_likelihood_equals_the_formula_of_the_papers(params, history, first):
    ours = btyd.beta_geo_log_likelihood(np.array(params), *one(history, first))[0]
    theirs = beta_geo_likelihood(*params, *history, first=first)
    assume(1e-290 < theirs < 1e290)
    assert ours == pytest.approx(math.log(theirs), rel=1e-9, abs=1e-9)


@settings(max_examples=150, deadline=None)
@given(params=params4, history=histories, horizon=st.floats(0.1, 100), first=st.sampled_from([0, 1]))
def test_no_purchase_in_the_horizon_is_a_ratio_of_likelihoods(params, history, horizon, first):
    """P(none in (T, T+t] | history until T) = L(x, t_x, T + t) / L(x, t_x, T): no formula for P(purchase) needed."""
    x, t_x, T, chances = one(history, first)
    p = np.array(params)
    alive = btyd.alive_probability(p, x, t_x, T, chances)
    ours = alive * btyd.purchase_probability_if_alive(p, x, T, horizon)
    longer = btyd.beta_geo_log_likelihood(p, x, t_x, T + horizon, chances)
    assert ours == pytest.approx(-np.expm1(longer - btyd.beta_geo_log_likelihood(p, x, t_x, T, chances)), abs=1e-10)


@settings(max_examples=100, deadline=None)
@given(params=params4, history=histories, horizon=st.floats(0.1, 60), first=st.sampled_from([0, 1]))
def test_expected_purchases_equal_the_sum_over_counts(params, history, horizon, first):
    r, alpha, _, _ = params
    assume(horizon * (r + history[0]) / (alpha + history[2]) < 300)
    assume(horizon / (alpha + history[2]) < 100)  # the slow sum would take too long
    assume(1e-290 < beta_geo_likelihood(*params, *history, first=first) < 1e290)
    x, t_x, T, chances = one(history, first)
    p = np.array(params)
    ours = btyd.alive_probability(p, x, t_x, T, chances) * btyd.expected_purchases_if_alive(p, x, T, chances, horizon)
    theirs = expected_purchases(*params, *history, horizon, first=first)
    assert ours[0] == pytest.approx(theirs, rel=1e-9, abs=1e-250)


def quadrature_in_log_odds(a, b, shape, reach):
    """The same mean over p as the kernel's, by brute force: 200,000 equal steps in the log-odds of p."""
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
    params = np.array([shape, 1.0, a, b])  # alpha 1, T 0: reach is the horizon
    ours = btyd.expected_purchases_if_alive(params, np.zeros(1), np.zeros(1), np.zeros(1), reach)
    assert ours[0] == pytest.approx(quadrature_in_log_odds(a, b, shape, reach), rel=2e-10)


@settings(max_examples=60, deadline=None)
@given(params=params4, history=histories, horizon=st.floats(0.1, 60), first=st.sampled_from([0, 1]))
def test_a_longer_horizon_means_more_purchases(params, history, horizon, first):
    x, _, T, chances = one(history, first)
    shorter, longer = (
        btyd.expected_purchases_if_alive(np.array(params), x, T, chances, t) for t in (horizon, 1.1 * horizon)
    )
    buys = btyd.purchase_probability_if_alive(np.array(params), x, T, horizon)
    assert 0 < buys <= shorter * (1 + 1e-10) < longer * (1 + 1e-9)


def test_expected_purchases_are_smooth_through_the_pole_of_the_closed_form(cdnow):
    x, _, T, chances = kernel_arguments(cdnow.head(50), 0)

    def at(a):
        return btyd.expected_purchases_if_alive(np.array([0.24, 4.4, a, 2.4]), x, T, chances, 39.0)

    np.testing.assert_allclose(at(1.0), (at(1 - 1e-6) + at(1 + 1e-6)) / 2, rtol=1e-11)


@pytest.mark.parametrize("model", COUNTING)
def test_scores_match_simulated_customers(model):
    """The story of the model told customer by customer: frequencies, survival and counts in each group of x."""
    first, params, T, horizon = FIRST[model], np.array([0.8, 6.0, 0.9, 2.5]), 40.0, 30.0
    rng = np.random.default_rng(7)
    x, t_x, future, alive = simulate(rng, 150_000, params, T, horizon, first=first)
    until, chances = np.full_like(x, T), x + first
    p_alive = btyd.alive_probability(params, x, t_x, until, chances)
    p_purchase = p_alive * btyd.purchase_probability_if_alive(params, x, until, horizon)
    expected = p_alive * btyd.expected_purchases_if_alive(params, x, until, chances, horizon)
    for group in (x == 0, x == 1, (x > 1) & (t_x < 20), (x > 1) & (t_x >= 20), x > 8):
        for predicted, actual in ((p_alive, alive), (p_purchase, future > 0), (expected, future)):
            error = actual[group].std() / math.sqrt(group.sum())
            assert abs(predicted[group].mean() - actual[group].mean()) < 4 * error + 1e-12


@settings(max_examples=60, deadline=None)
@given(params=params4, history=histories, first=st.sampled_from([0, 1]))
def test_gradient_equals_finite_differences(params, history, first):
    def value(theta):
        return btyd.beta_geo_log_likelihood(np.exp(theta), *one(history, first))[0]

    check_gradient(value, beta_geo_gradient(np.array(params), *one(history, first))[:, 0], params)


STRESS = [1e-3, 1.0, 30.0, 1e4]


@pytest.mark.parametrize("first", [0, 1])
def test_everything_is_finite_on_a_stress_grid(first):
    x = np.array([0.0, 1, 1, 5, 5, 1000, 1000, 5000])
    T = np.array([0.0, 1e-3, 40, 40, 40, 40, 300, 5000])
    t_x = np.array([0.0, 1e-3, 0, 0.01, 40, 40, 1, 2500])
    chances = x + first
    for params in np.stack(np.meshgrid(STRESS, STRESS, STRESS, STRESS), axis=-1).reshape(-1, 4):
        assert np.isfinite(btyd.beta_geo_log_likelihood(params, x, t_x, T, chances)).all()
        assert np.isfinite(beta_geo_gradient(params, x, t_x, T, chances)).all()
        alive = btyd.alive_probability(params, x, t_x, T, chances)
        buys = btyd.purchase_probability_if_alive(params, x, T, 13.0)
        assert (alive >= 0).all()
        assert (alive <= 1).all()
        assert (buys > 0).all()
        assert (buys <= 1).all()
        counts = [btyd.expected_purchases_if_alive(params, x, T, chances, horizon) for horizon in (0.01, 13.0, 1e4)]
        assert np.isfinite(counts).all()
        assert (np.diff(counts, axis=0) > -1e-9 * np.array(counts[1:])).all()  # nearly level where all have left
        assert (counts[1] >= buys * (1 - 1e-12)).all()  # E[N] >= P(N >= 1)


@settings(max_examples=50, deadline=None)
@given(params=params4, rows=st.lists(histories, min_size=1, max_size=20), first=st.sampled_from([0, 1]))
def test_collapsed_total_equals_the_sum_over_customers(params, rows, first):
    x, t_x, T = (np.array(column) for column in zip(*rows, *rows[:3], strict=True))
    few = collapse(x, t_x, T)
    value, gradient = btyd.beta_geo_total(np.array(params), btyd.beta_geo_data(*few.columns, few.weights, first))
    each = np.array(params), x, t_x, T, x + first
    assert value == pytest.approx(btyd.beta_geo_log_likelihood(*each).sum(), rel=1e-11, abs=1e-10)
    np.testing.assert_allclose(gradient, beta_geo_gradient(*each).sum(axis=1), rtol=1e-8, atol=1e-8)
