"""What forecasts promise: they add up, hold what comes as often as they say, and do not depend on units."""

import math

import numpy as np
import pandas as pd
import pytest

from _reference_btyd import simulate
from _simulated_customers import pareto_futures, pareto_table
from crmlytics import Transactions
from crmlytics._kernels.beta_geo import BG_NBD, MBG_NBD
from crmlytics._kernels.beta_geo_erlang import BetaGeoErlang
from crmlytics._kernels.forecast import forecast_purchases, pairs_of_purchases
from crmlytics._kernels.lifetime_nbd import PARETO_NBD
from crmlytics._kernels.poisson_gamma import NBD
from crmlytics._kernels.population import Population
from crmlytics.clv import (
    BetaGeoCNBDModel,
    BetaGeoModel,
    GammaGompertzNBDModel,
    ModifiedBetaGeoCNBDModel,
    ModifiedBetaGeoModel,
    NBDModel,
    ParetoNBDModel,
    btyd_table,
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
    "Gompertz": GammaGompertzNBDModel(l2=0.01),
}
PARETO = {"r": 1.2, "alpha": 8.0, "s": 1.5, "beta": 30.0}


@pytest.fixture(scope="module")
def cdnow():
    orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    return btyd_table(orders, as_of="1997-10-01", unit="7d", with_intervals=True)


@pytest.fixture(scope="module")
def fitted(cdnow):
    few = cdnow.head(300)
    return {name: (model.fit(few), few) for name, model in MODELS.items()}


@pytest.mark.parametrize("name", MODELS)
def test_steps_add_up_to_what_customers_are_expected_to_buy(fitted, name):
    model, table = fitted[name]
    forecast = model.forecast_table(table, horizon="28w", step="14d")
    assert forecast["step"].tolist() == list(range(1, 15))
    assert forecast["days_until"].tolist() == list(range(14, 197, 14))
    each = model.score_table(table, horizon="28w")["expected_purchase_count"].sum()
    assert forecast["cumulative_purchase_count"].iloc[-1] == pytest.approx(each, rel=1e-9)
    assert forecast["purchase_count"].sum() == pytest.approx(each, rel=1e-9)
    assert (forecast["new_customer_purchase_count"] == 0).all()
    assert (np.diff(forecast["cumulative_purchase_count"]) >= 0).all()
    for column in ("purchase_count", "cumulative_purchase_count"):
        assert (forecast[f"{column}_low"] < forecast[column]).all()
        assert (forecast[column] < forecast[f"{column}_high"]).all()
    first = forecast.iloc[0]
    assert first["purchase_count_high"] == pytest.approx(first["cumulative_purchase_count_high"])  # one and the same


@pytest.mark.parametrize("name", MODELS)
def test_those_who_join_buy_as_new_customers_do_from_the_day_they_join(fitted, name):
    model, table = fitted[name]
    joining = [10.0, 0.0, 4.0]
    forecast = model.forecast_table(table, horizon="6w", step="14d", new_customers=joining)
    by_age = model.new_customer_table(horizons=["2w", "4w", "6w"])["expected_purchase_count"].to_numpy()
    since = [10 * by_age[0], 10 * by_age[1], 10 * by_age[2] + 4 * by_age[0]]
    np.testing.assert_allclose(forecast["new_customer_purchase_count"].cumsum(), since, rtol=1e-9)
    alone = model.forecast_table(table, horizon="6w", step="14d")
    np.testing.assert_allclose(forecast["existing_purchase_count"], alone["existing_purchase_count"])
    every = model.forecast_table(table, horizon="6w", step="14d", new_customers=5)
    same = model.forecast_table(table, horizon="6w", step="14d", new_customers=[5, 5, 5])
    pd.testing.assert_frame_equal(every, same)
    by_hand = 5 * np.cumsum(by_age)
    np.testing.assert_allclose(every["new_customer_purchase_count"].cumsum(), by_hand, rtol=1e-9)


def test_errors_of_the_parameters_are_shared_by_old_and_new_customers(cdnow):
    """Both are forecast with the same parameters: their errors do not cancel as independent ones would."""
    model = ParetoNBDModel().fit(cdnow)
    wide = model.forecast_table(cdnow, horizon="52w", step="52w", new_customers=50_000)
    one = model.new_customer_table(horizons=["52w"])
    old = model.forecast_table(cdnow, horizon="52w", step="52w")
    reach_of_new = 50_000 * (one["expected_purchase_count_high"] - one["expected_purchase_count"])[0]
    reach_of_old = (old["purchase_count_high"] - old["purchase_count"])[0]
    reach = (wide["purchase_count_high"] - wide["purchase_count"])[0]
    assert reach > math.hypot(reach_of_new, reach_of_old) * 0.98
    assert wide["purchase_count"][0] == pytest.approx(
        50_000 * one["expected_purchase_count"][0] + old["purchase_count"][0]
    )


def variance_of(process, params, x, t_x, T, ends, joining=0.0):
    population = Population(process, x, t_x, T)
    none = np.zeros(1)
    newcomer = Population(process, none, none, none) if joining else None
    theta = np.log(params)
    covariance = np.zeros((len(params), len(params)))
    found = forecast_purchases(
        population, newcomer, np.full(len(ends), joining), theta=theta, covariance=covariance, ends=ends
    )
    return population, found


@pytest.mark.parametrize("alpha", [8.0, 0.8])
def test_bands_hold_the_futures_of_pareto_customers_as_often_as_they_say(alpha):
    params = PARETO | {"alpha": alpha}  # with 0.8 they buy several times a step, and it matters how many have left
    rng = np.random.default_rng(8)
    T = rng.integers(20, 60, 400).astype(float)
    table = pareto_table(rng, T, **params)
    x, t_x, ends = table["frequency"].to_numpy(float), table["recency"].to_numpy(), np.arange(4.0, 53.0, 4.0)
    population, found = variance_of(PARETO_NBD, [*params.values()], x, t_x, T, ends)
    alive = population.alive(np.log([*params.values()]))
    totals = pareto_futures(rng, 1500, x, T, ends=ends, alive=alive, **params)
    for expected, variance, seen in (
        (found.cumulative, found.cumulative_variance, totals),
        (found.existing, found.variance, np.diff(totals, axis=1, prepend=0.0)),
    ):
        np.testing.assert_allclose(seen.mean(axis=0), expected, atol=4 * np.sqrt(variance / 1500).max())
        held = (np.abs(seen - expected) <= 1.6449 * np.sqrt(variance)).mean(axis=0)
        assert held == pytest.approx(0.9, abs=0.035)  # 4.5 standard errors of 1,500 draws
        np.testing.assert_allclose(seen.var(axis=0), variance, rtol=0.16)  # 4.4 standard errors


@pytest.mark.parametrize("first", [0, 1])
def test_bands_of_those_who_join_are_as_wide_as_their_purchases_vary(first):
    rng = np.random.default_rng(21)
    params, ends, customers = (0.8, 4.0, 0.9, 4.0), np.array([10.0, 20.0, 30.0, 40.0]), 60_000
    none = np.zeros(1)
    process = MBG_NBD if first else BG_NBD
    _, found = variance_of(process, params, none, none, none, ends, joining=7.0)
    _, alone = variance_of(process, params, none, none, none, ends)
    by_age = [simulate(rng, customers, params, end, 1.0, first=first)[0].var() for end in ends]
    ours = found.cumulative_variance - alone.cumulative_variance
    np.testing.assert_allclose(np.diff(ours, prepend=0.0), 7 * np.array(by_age), rtol=0.06)


@pytest.mark.parametrize("T", [0.0, 0.5])
def test_purchases_more_regular_than_chance_give_no_negative_variance(T):
    params = (900.0, 600.0, 0.01, 5.0)  # 1.5 phases a unit of time, nearly the same for all
    rows = np.array([T * 0]), np.array([0.0]), np.array([T])
    for length in (1e-3, 0.5, 12.0, 40.0):
        _, found = variance_of(BetaGeoErlang(first=0, k=12), params, *rows, length * np.arange(1.0, 13.0), joining=2.0)
        assert np.isfinite(found.variance).all()
        assert (found.variance > 0).all()
        assert (found.cumulative_variance >= 0).all()


@pytest.mark.parametrize("rate", [1.0, 300.0, 5_000.0])
def test_pairs_of_purchases_have_the_moment_of_the_negative_binomial(rate):
    """``E[N (N - 1)] = r (r + 1) / alpha^2 h^2``."""
    r, alpha = np.array([3.0, 50.0, 4000.0]), 10.0
    x, T = r - 1.0, np.zeros(3)
    population = Population(NBD, x, T, T)
    theta, horizon = np.log([1.0, alpha]), rate * alpha / 4000.0
    mean = population.expected_of_cases(theta, horizon)
    found = pairs_of_purchases(population, theta, horizon, mean)
    np.testing.assert_allclose(found, mean * (mean + horizon / alpha), rtol=2e-3)
    assert (found >= mean**2 * (1 - 1e-9)).all()


def test_days_and_weeks_make_the_same_forecast(cdnow):
    few = cdnow.head(400)
    days = few.assign(recency=(few["recency"] * 7).round(), T=(few["T"] * 7).round())
    for model in (ParetoNBDModel, ModifiedBetaGeoModel):
        options = {"horizon": "12w", "step": "7d", "new_customers": 3}
        weekly = model(unit="7d").fit(few).forecast_table(few, **options)
        pd.testing.assert_frame_equal(weekly, model(unit="1d").fit(days).forecast_table(days, **options), rtol=1e-6)


def test_steps_that_do_not_fit_are_refused(fitted):
    model, table = fitted["NBD"]
    with pytest.raises(SchemaError, match=r"horizon '6d' has 0 steps of '7d', expected 1 to 2000"):
        model.forecast_table(table, horizon="6d")
    with pytest.raises(SchemaError, match="has 3650 steps of '1d', expected 1 to 2000"):
        model.forecast_table(table, horizon="3650d", step="1d")
    for bad in ([1, 2], [1, 2, -1], [1, 2, math.nan]):
        with pytest.raises(SchemaError, match="new_customers must be one number of zero or more, or 3 of them"):
            model.forecast_table(table, horizon="3w", new_customers=bad)
    for bad in (-1, math.inf):
        with pytest.raises(SchemaError, match="new_customers must be a number of zero or more"):
            model.forecast_table(table, horizon="3w", new_customers=bad)
    assert len(model.forecast_table(table, horizon="20d")) == 2  # the step that would go beyond is left out


@pytest.mark.parametrize("name", MODELS)
def test_residual_purchases_are_those_of_a_very_long_horizon(fitted, name):
    model, table = fitted[name]
    few = table.head(20)
    for rate in (0.1, 1.0):
        residual = model.residual_table(few, discount_rate=rate)
        long = model.score_table(few, horizon=20_000, discount_rate=rate)
        for bound in ("", "_low", "_high"):
            ours, theirs = residual[f"discounted_residual_count{bound}"], long[f"discounted_purchase_count{bound}"]
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_residual_purchases_have_the_closed_form_of_the_pareto(cdnow):
    """Fader, Hardie & Lee (2005), equation 2: DERT with Tricomi's function, which is evaluated in many digits."""
    mpmath = pytest.importorskip("mpmath")
    model = ParetoNBDModel().fit(cdnow)
    r, alpha, s, beta = (mpmath.mpf(value) for value in model.params_.values())
    delta = mpmath.log(mpmath.mpf("1.15")) * 7 / 365
    found = model.residual_table(cdnow.head(40), discount_rate=0.15)["discounted_residual_count"]
    alive = model.score_table(cdnow.head(40), horizon=1)["alive_probability"]
    rows = cdnow.head(40)
    for ours, here, x, T in zip(found, alive, rows["frequency"], rows["T"], strict=True):
        z = delta * (beta + mpmath.mpf(T))
        exact = here * (r + x) / (alpha + mpmath.mpf(T)) * delta ** (s - 1) * (beta + mpmath.mpf(T)) ** s
        assert ours == pytest.approx(float(exact * mpmath.hyperu(s, s, z)), rel=1e-9)
