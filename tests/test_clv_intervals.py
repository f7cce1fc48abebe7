"""What intervals promise: they hold the truth, or what customers do, as often as they say."""

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from _simulated_customers import pareto_table
from crmlytics import Transactions
from crmlytics.clv import (
    BetaGeoCNBDModel,
    BetaGeoModel,
    GammaGammaModel,
    GammaGompertzNBDModel,
    ModifiedBetaGeoCNBDModel,
    ModifiedBetaGeoModel,
    NBDModel,
    ParetoNBDModel,
    btyd_table,
    likelihood_ratio_test,
)
from crmlytics.datasets import load_cdnow
from crmlytics.exceptions import SchemaError

MODELS = {
    "NBD": NBDModel(),
    "Pareto": ParetoNBDModel(),
    "BG": BetaGeoModel(),
    "MBG": ModifiedBetaGeoModel(),
    "BG/CNBD-2": BetaGeoCNBDModel(k=2),
    "MBG/CNBD-3": ModifiedBetaGeoCNBDModel(k=3),
    "Gompertz": GammaGompertzNBDModel(l2=0.1),
}
PARETO = {"r": 1.2, "alpha": 8.0, "s": 1.5, "beta": 30.0}
STUDIES = 80
CUSTOMER = pd.DataFrame({"frequency": [3, 0], "recency": [20.0, 0.0], "T": [30.0, 30.0]})
BOUNDED = [
    "alive_probability",
    "alive_at_horizon_probability",
    "purchase_probability",
    "expected_purchase_count",
    "discounted_purchase_count",
]


@pytest.fixture(scope="module")
def cdnow():
    orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    return btyd_table(orders, as_of="1997-10-01", unit="7d", with_intervals=True)


@pytest.fixture(scope="module")
def fitted(cdnow):
    return {name: model.fit(cdnow) for name, model in MODELS.items()}


def nearly(share, level, count):
    """Whether a share of so many trials is what chance makes of ``level`` in 999 of 1,000 cases."""
    low, high = stats.binom.interval(0.999, count, level)
    return low <= share * count <= high


@pytest.fixture(scope="module")
def studies():
    """The same study of 1,500 Pareto/NBD customers, again and again."""
    rng = np.random.default_rng(17)
    made = []
    for _ in range(STUDIES):
        table = pareto_table(rng, rng.integers(40, 80, 1500).astype(float), **PARETO)
        made.append((table, ParetoNBDModel().fit(table)))
    return made


@pytest.mark.parametrize("level", [0.95, 0.5])
def test_wald_intervals_hold_the_true_parameters(studies, level):
    tables = [model.parameter_table(level=level) for _, model in studies]
    for at, (name, true) in enumerate(PARETO.items()):
        held = np.mean([table["low"][at] <= true <= table["high"][at] for table in tables])
        assert nearly(held, level, STUDIES), (name, held)


def test_profile_intervals_hold_the_true_parameters():
    rng = np.random.default_rng(3)
    rate = rng.gamma(0.8, 1 / 6.0, (STUDIES, 150))
    inside = []
    for bought in rng.poisson(rate * 40.0):
        table = pd.DataFrame({"frequency": bought, "recency": np.where(bought > 0, 39.0, 0.0), "T": 40.0})
        found = NBDModel().fit(table).profile_table(table, level=0.8)
        inside.append((found["low"] <= [0.8, 6.0]) & (found["high"] >= [0.8, 6.0]))
    for held in np.mean(inside, axis=0):
        assert nearly(held, 0.8, STUDIES)


def test_intervals_of_predictions_hold_what_the_true_parameters_predict(studies):
    def scores(model):
        return model.score_table(CUSTOMER, horizon=26, discount_rate=0.1, interval=0.8)

    true = ParetoNBDModel().fit(studies[0][0])
    true.theta_ = np.log([*PARETO.values()])
    truth, found = scores(true), [scores(model) for _, model in studies]
    for name in BOUNDED:
        for row in CUSTOMER.index:
            held = np.mean([f[f"{name}_low"][row] <= truth[name][row] <= f[f"{name}_high"][row] for f in found])
            assert nearly(held, 0.8, STUDIES), (name, row, held)


def test_counts_fall_between_their_bounds_at_least_as_often_as_they_say():
    rng = np.random.default_rng(5)
    table = pareto_table(rng, rng.integers(20, 60, 6000).astype(float), horizon=26.0, **PARETO)
    model = ParetoNBDModel().fit(table)
    for interval in (0.5, 0.9):
        scores = model.score_table(table, horizon=26, interval=interval)
        low, high = scores["purchase_count_low"], scores["purchase_count_high"]
        later = table["later_count"]
        held = ((low <= later) & (later <= high)).mean()
        assert held > interval - 0.02
        assert (later < low).mean() < (1 - interval) / 2 + 0.01
        assert (later > high).mean() < (1 - interval) / 2 + 0.01
        counts = model.count_table(table, horizon=26, most=60).drop(columns="customer_id").to_numpy().cumsum(axis=1)
        inside = counts[np.arange(6000), high] - np.where(low > 0, counts[np.arange(6000), low - 1], 0.0)
        assert held == pytest.approx(inside.mean(), abs=0.02)  # as often as the model says of whole numbers


@pytest.mark.parametrize("name", MODELS)
def test_bounds_of_counts_are_the_quantiles_of_their_distribution(cdnow, fitted, name):
    """The smallest n with ``P(X <= n) >= tail``, by the distribution of every customer."""
    table = cdnow.head(400)
    for interval in (0.5, 0.95):
        scores = fitted[name].score_table(table, horizon="39w", interval=interval)
        chances = fitted[name].count_table(table, horizon="39w", most=120)
        distribution = chances.drop(columns=["customer_id", "probability_of_more"]).to_numpy().cumsum(axis=1)
        for column, tail in (("low", (1 - interval) / 2), ("high", (1 + interval) / 2)):
            assert (distribution[:, -1] > tail).all()
            assert scores[f"purchase_count_{column}"].tolist() == (distribution < tail).sum(axis=1).tolist()


@pytest.mark.parametrize("name", MODELS)
def test_counts_sum_to_one_and_have_the_mean_and_the_chance_of_the_scores(cdnow, fitted, name):
    table = cdnow.head(300)
    chances = fitted[name].count_table(table, horizon="26w", most=150).drop(columns="customer_id")
    scores = fitted[name].score_table(table, horizon="26w")
    np.testing.assert_allclose(chances.sum(axis=1), 1.0, rtol=1e-10)
    mean = chances.drop(columns="probability_of_more").to_numpy() @ np.arange(151.0)
    np.testing.assert_allclose(mean, scores["expected_purchase_count"], rtol=1e-6)
    np.testing.assert_allclose(1 - chances["probability_of_0"], scores["purchase_probability"], rtol=1e-9, atol=1e-15)
    assert (scores["purchase_probability"] <= scores["alive_probability"]).all()
    assert (scores["alive_at_horizon_probability"] <= scores["alive_probability"]).all()


@pytest.mark.parametrize("name", ["NBD", "Pareto", "MBG"])
def test_errors_are_what_draws_of_the_parameters_make_of_a_prediction(cdnow, name):
    rng = np.random.default_rng(29)
    table = pd.concat([cdnow] * 30, ignore_index=True).drop(columns="customer_id")  # well determined
    model = MODELS[name].__class__(**MODELS[name].get_params()).fit(table)
    few = cdnow.head(8)
    draws = rng.multivariate_normal(model.theta_, model.theta_covariance_, 300)
    scores = model.score_table(few, horizon=39, discount_rate=0.1)
    estimate, drawn = model.theta_, []
    for model.theta_ in draws:
        drawn.append(model.score_table(few, horizon=39, discount_rate=0.1)[BOUNDED].to_numpy())
    model.theta_ = estimate
    for at, column in enumerate(BOUNDED):
        value, sample = scores[column], np.array(drawn)[:, :, at]
        if (value == 1).all():  # nobody leaves
            continue
        scale = np.log if column.endswith("count") else special.logit
        reach = scale(scores[f"{column}_high"]) - scale(value)
        np.testing.assert_allclose(
            reach / special.ndtri(0.95), scale(sample).std(axis=0), rtol=0.19
        )  # 4.7 standard errors


@pytest.mark.parametrize("name", MODELS)
def test_a_higher_interval_is_wider_and_all_hold_the_value(cdnow, fitted, name):
    table = cdnow.head(200)
    levels = [
        fitted[name].score_table(table, horizon="26w", discount_rate=0.1, interval=level)
        for level in (0.1, 0.5, 0.9, 0.999)
    ]
    for column in [*BOUNDED, "purchase_count"]:
        low, high = (np.array([scores[f"{column}_{side}"] for scores in levels]) for side in ("low", "high"))
        assert (np.diff(low, axis=0) <= 0).all()
        assert (np.diff(high, axis=0) >= 0).all()
        if column in BOUNDED:
            assert (low <= levels[0][column].to_numpy()).all()
            assert (levels[0][column].to_numpy() <= high).all()
    assert (levels[3]["expected_purchase_count_high"] > levels[0]["expected_purchase_count_high"]).all()


@pytest.mark.parametrize("model", [NBDModel, ParetoNBDModel, BetaGeoModel, ModifiedBetaGeoModel, GammaGammaModel])
def test_profile_bounds_lose_just_what_the_chi_square_allows(cdnow, model):
    """At a bound, the best the other parameters can do is 1.92 below the top (95 %, one degree of freedom)."""
    found = model().fit(cdnow)
    profile, wald = found.profile_table(cdnow), found.parameter_table()
    assert profile["parameter"].tolist() == wald["parameter"].tolist() == list(found.params_)
    assert (profile["low"] < profile["estimate"]).all()
    assert (profile["estimate"] < profile["high"]).all()
    width, other = np.log(profile["high"] / profile["low"]), np.log(wald["high"] / wald["low"])
    np.testing.assert_allclose(width, other, rtol=0.25)  # the likelihood is not far from normal here
    narrower = found.profile_table(cdnow, level=0.5)
    assert (narrower["low"] > profile["low"]).all()
    assert (narrower["high"] < profile["high"]).all()


def test_profile_of_two_parameters_equals_a_plain_search(cdnow):
    found = NBDModel().fit(cdnow)
    objective = found._objective(cdnow, caller="test")  # noqa: SLF001  nothing public takes parameters
    for at, row in found.profile_table(cdnow).iterrows():
        for bound in (row["low"], row["high"]):
            others = found.theta_[1 - at] + np.linspace(-1.5, 1.5, 3001)
            thetas = np.empty((3001, 2))
            thetas[:, at], thetas[:, 1 - at] = np.log(bound), others
            best = max(objective(theta)[0] for theta in thetas)
            assert found.log_likelihood_ - best == pytest.approx(3.841459 / 2, abs=2e-3)


def test_profile_with_covariates_in_their_own_units(cdnow):
    rng = np.random.default_rng(2)
    table = cdnow.assign(age=rng.normal(540, 140, len(cdnow)))  # in months: far from standardised
    found = BetaGeoModel(purchase_covariates=["age"]).fit(table)
    profile, wald = found.profile_table(table), found.parameter_table()
    for side in ("low", "high"):
        ours = (profile[side] - profile["estimate"]) / (wald[side] - wald["estimate"])
        assert ours.between(0.6, 1.8).all()


def test_profile_of_a_penalised_fit_is_refused(cdnow):
    with pytest.raises(SchemaError, match=r"BetaGeoModel\.profile_table: a fit with l2 or priors has no profile"):
        BetaGeoModel(l2=0.1).fit(cdnow).profile_table(cdnow)


@pytest.mark.filterwarnings("ignore::crmlytics.exceptions.DataQualityWarning")
@pytest.mark.parametrize("model", [NBDModel, ParetoNBDModel, BetaGeoModel, ModifiedBetaGeoModel])
def test_profile_of_data_that_tell_little_is_missing_where_nothing_is_rejected(model):
    table = pd.DataFrame({"frequency": [2, 1, 1, 2] * 8, "recency": [30.0, 29, 30, 31] * 8, "T": [32.0] * 32})
    found = model().fit(table).profile_table(table)
    assert found["high"].isna().any()  # customers are alike: r and alpha may grow for ever
    known = found.dropna()
    assert (known["low"] <= known["estimate"]).all()
    assert (known["estimate"] <= known["high"]).all()


def test_likelihood_ratio_of_nbd_in_pareto_is_the_difference_of_the_published_values(fitted):
    test = likelihood_ratio_test(fitted["NBD"], fitted["Pareto"])
    assert test.statistic == pytest.approx(2 * (9763.6576 - 9594.9762), abs=2e-4)  # BTYD's log-likelihoods
    assert test.degrees_of_freedom == 2
    assert test.p_value == pytest.approx(np.exp(-test.statistic / 2), rel=1e-9)  # chi-square with 2 degrees
    assert test.is_on_boundary
    assert "ParetoNBDModel fits better than chance would make it: chi-square 337.36 on 2" in test.verdict


def test_likelihood_ratios_that_mean_nothing_are_refused(cdnow, fitted):
    with pytest.raises(SchemaError, match=r"ParetoNBDModel \[\] is not a smaller case of BetaGeoModel .*aic_ or bic_"):
        likelihood_ratio_test(fitted["Pareto"], fitted["BG"])
    with pytest.raises(SchemaError, match=r"ParetoNBDModel .* is not a smaller case of NBDModel"):
        likelihood_ratio_test(fitted["Pareto"], fitted["NBD"])
    with pytest.raises(SchemaError, match=r"a fit with l2 or priors is not at the maximum .*Fit it without"):
        likelihood_ratio_test(NBDModel(l2=0.1).fit(cdnow), fitted["Pareto"])
    with pytest.raises(SchemaError, match=r"fitted on 100 and on 2357 customers\. Fit both on the same table"):
        likelihood_ratio_test(NBDModel().fit(cdnow.head(100)), fitted["Pareto"])


def test_fits_on_other_histories_or_units_are_not_compared():
    orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    weeks, days = (btyd_table(orders, as_of="1997-10-01", unit=unit) for unit in ("7d", "1d"))
    with pytest.raises(SchemaError, match="fitted on different histories, or in different units"):
        likelihood_ratio_test(NBDModel().fit(weeks), ParetoNBDModel(unit="1d").fit(days))


def test_a_profile_needs_the_histories_of_the_fit():
    orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    table = btyd_table(orders, as_of="1997-10-01", unit="7d")
    with pytest.raises(SchemaError, match="profile_table: X is not what the model was fitted on"):
        NBDModel().fit(table).profile_table(table.head(300))
