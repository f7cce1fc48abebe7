"""Nothing that can be in a table makes a fit or a score fail, be missing, or contradict itself."""

import itertools
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics._kernels.beta_geo import BG_NBD, MBG_NBD
from crmlytics._kernels.beta_geo_erlang import BetaGeoErlang
from crmlytics._kernels.lifetime_nbd import GAMMA_GOMPERTZ_NBD, PARETO_NBD
from crmlytics._kernels.poisson_gamma import NBD
from crmlytics._kernels.population import Population
from crmlytics._kernels.predictive import count_interval
from crmlytics._kernels.uncertainty import interval_around
from crmlytics.clv import (
    BetaGeoCNBDModel,
    BetaGeoModel,
    GammaGammaModel,
    GammaGompertzNBDModel,
    ModifiedBetaGeoCNBDModel,
    ModifiedBetaGeoModel,
    NBDModel,
    ParetoNBDModel,
)
from crmlytics.exceptions import DataQualityWarning

MODELS = {
    "NBD": lambda unit: NBDModel(unit=unit),
    "Pareto": lambda unit: ParetoNBDModel(unit=unit),
    "BG": lambda unit: BetaGeoModel(unit=unit),
    "MBG": lambda unit: ModifiedBetaGeoModel(unit=unit),
    "BG/CNBD-2": lambda unit: BetaGeoCNBDModel(k=2, unit=unit),
    "MBG/CNBD-3": lambda unit: ModifiedBetaGeoCNBDModel(k=3, unit=unit),
    "Gompertz": lambda unit: GammaGompertzNBDModel(unit=unit),
}
PROCESSES = {
    "NBD": NBD,
    "Pareto": PARETO_NBD,
    "BG": BG_NBD,
    "MBG": MBG_NBD,
    "BG/CNBD-2": BetaGeoErlang(first=0, k=2),
    "MBG/CNBD-3": BetaGeoErlang(first=1, k=3),
    "Gompertz": GAMMA_GOMPERTZ_NBD,
}
DECADES = np.logspace(-1, 3, 24)
HEAVY = np.array([0, 1, 2, 5, 20, 100, 1000])
HISTORIES = {
    "one customer": ([3], [5.0], [20.0]),
    "one who never came back": ([0], [0.0], [20.0]),
    "first day": ([0], [0.0], [0.0]),
    "nobody came back": ([0] * 20, [0.0] * 20, np.linspace(5, 30, 20)),
    "last purchase on the last day": (np.arange(24) % 7 + 1, DECADES, DECADES),
    "all alike": ([4] * 30, [18.0] * 30, [20.0] * 30),
    "four decades of T": (np.arange(24) % 4, DECADES * (np.arange(24) % 4 > 0) / 3, DECADES),
    "a thousand purchases": (HEAVY, 38.0 * (HEAVY > 0), [38.0] * 7),
    "two kinds of customer": ([0] * 50 + [1000] * 2, [0.0] * 50 + [38.0] * 2, [38.0] * 52),
    "came at once and never again": ([20] * 20 + [0] * 20, [1.0] * 20 + [0.0] * 20, [50.0] * 40),
    "on the first day among others": ([0, 0, 0, 2, 1], [0, 0, 0, 3.0, 1.0], [0, 0, 1.0, 4.0, 9.0]),
    "minutes": ([0, 1, 2, 0, 1], [0, 1e-3, 2e-3, 0, 1e-3], [1e-3, 2e-3, 3e-3, 1e-3, 2e-3]),
}


def as_table(x, t_x, T):
    x, t_x = np.asarray(x), np.asarray(t_x, dtype=float)
    intervals = x * np.log(np.maximum(t_x, 1e-9) / np.maximum(x, 1))
    return pd.DataFrame({"frequency": x, "recency": t_x, "T": T, "log_interval_sum": intervals})


def check(scores):
    """Every number is there, no count is negative, probabilities are some, bounds hold what they bound."""
    numbers = scores.select_dtypes("number")
    assert np.isfinite(numbers.to_numpy(float)).all()
    assert (numbers.to_numpy(float) >= 0).all()
    for name in numbers:
        if "probability" in name:
            assert (scores[name] <= 1).all(), name
        if f"{name}_low" in scores:
            assert (scores[f"{name}_low"] <= scores[name]).all(), name
            assert (scores[name] <= scores[f"{name}_high"]).all(), name


@pytest.mark.filterwarnings("ignore::crmlytics.exceptions.DataQualityWarning")
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("case", HISTORIES)
def test_any_table_can_be_fitted_and_scored(model, case):
    table = as_table(*HISTORIES[case])
    fitted = MODELS[model]("7d").fit(table)
    scores = fitted.score_table(table, horizon="12w", discount_rate=0.1)
    check(scores)
    assert (scores["purchase_count_low"] <= scores["purchase_count_high"]).all()
    counts = fitted.count_table(table, horizon="12w")
    check(counts)
    np.testing.assert_allclose(counts.drop(columns="row_number").sum(axis=1), 1.0, rtol=1e-9)
    check(fitted.residual_table(table, discount_rate=0.1))
    check(fitted.new_customer_table(horizons=["1d", "52w"]))


@pytest.mark.filterwarnings("ignore::crmlytics.exceptions.DataQualityWarning")
@pytest.mark.parametrize("model", ["NBD", "Pareto", "BG", "MBG"])
@pytest.mark.parametrize("case", ["one customer", "four decades of T", "nobody came back"])
def test_any_table_has_a_profile(model, case):
    table = as_table(*HISTORIES[case])
    found = MODELS[model]("7d").fit(table).profile_table(table)
    assert (found["low"].fillna(0.0) <= found["estimate"]).all()
    assert (found["estimate"] <= found["high"].fillna(math.inf)).all()


@pytest.mark.filterwarnings("ignore::crmlytics.exceptions.DataQualityWarning")
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("case", ["one customer", "all alike", "on the first day among others", "nobody came back"])
def test_any_table_can_be_forecast(model, case):
    table = as_table(*HISTORIES[case])
    fitted = MODELS[model]("7d").fit(table)
    check(fitted.forecast_table(table, horizon="12w", step="14d", new_customers=3))


@pytest.mark.filterwarnings("ignore::crmlytics.exceptions.DataQualityWarning")
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("case", ["on the first day among others", "came at once and never again"])
def test_a_day_and_a_hundred_years_are_horizons(model, case):
    table = as_table(*HISTORIES[case])
    by_year = MODELS[model]("52w").fit(table)
    check(by_year.score_table(table, horizon="1d", discount_rate=0.1))
    check(by_year.forecast_table(table, horizon="3d", step="1d", new_customers=1))
    x, t_x, T = (np.asarray(column, dtype=float) for column in HISTORIES[case])
    seldom = as_table(np.minimum(x, 3), t_x, T * 50)  # a hundred years of few purchases: they are counted one by one
    fitted = MODELS[model]("7d").fit(seldom)
    check(fitted.score_table(seldom, horizon="36500d", discount_rate=0.1))
    check(fitted.forecast_table(seldom, horizon="36500d", step="18250d", new_customers=1))


@pytest.mark.parametrize("name", ["BG", "MBG"])
def test_more_purchases_than_can_be_counted_leave_a_forecast_with_bands(name):
    x = np.array([1000.0, 3.0])
    table = as_table(x, np.full(2, 37.0), np.full(2, 38.0))
    with pytest.warns(DataQualityWarning):
        fitted = MODELS[name]("7d").fit(table)
    check(fitted.forecast_table(table, horizon="36500d", step="18250d"))


CORNERS = [0.01, 1.0, 100.0]


@pytest.mark.parametrize("name", PROCESSES)
def test_parameters_far_out_give_probabilities_and_finite_counts(name):
    process = PROCESSES[name]
    x = np.array([0.0, 0.0, 1.0, 1.0, 7.0, 300.0, 300.0])
    t_x, T = np.array([0, 0, 0.01, 30.0, 2.0, 40.0, 1.0]), np.array([0, 50.0, 50.0, 30.0, 400.0, 40.0, 40.0])
    population = Population(process, x, t_x, T)
    for params in itertools.product(CORNERS, repeat=len(process.names)):
        theta = np.log(params)
        alive, stay = population.alive(theta), population.survival(theta, 10.0)
        mass = population.counts(theta, 10.0, 3)
        assert np.isfinite(population.log_likelihood(theta)).all()
        for probability in (alive, stay, mass):
            assert ((probability >= 0) & (probability <= 1 + 1e-12)).all()
        assert (mass.sum(axis=1) <= 1 + 1e-9).all()
        expected, worth = population.expected(theta, 10.0), population.discounted(theta, 10.0, 0.01)
        assert np.isfinite(expected).all()
        bought = (1 - mass[population.future.inverse, 0]) * (1 - 1e-9) - 1e-12
        assert (expected >= bought).all()
        assert (worth <= expected * (1 + 1e-9)).all()
        assert (worth >= expected * math.exp(-0.1) * (1 - 1e-9)).all()


def test_counts_that_are_too_many_get_the_largest_bound_and_no_long_wait():
    row = np.array([20_000.0]), np.array([10.0]), np.array([10.0])
    low, high = count_interval(Population(BG_NBD, *row), np.log([1.0, 1.0, 1e-3, 1e4]), np.ones(1), 1e4, level=0.9)
    assert low.tolist() == high.tolist() == [2**14]


anything = st.one_of(st.just(0.0), st.floats(-320, 300).map(lambda power: 10.0**power))


@settings(max_examples=300, deadline=None)
@given(value=anything, error=anything, scale=st.sampled_from(["log", "logit"]), level=st.floats(0.01, 0.9999))
def test_bounds_hold_the_value_whatever_its_error(value, error, scale, level):
    value = min(value, 1.0) if scale == "logit" else value
    found = interval_around(np.array([value]), np.array([error]), level=level, scale=scale)
    assert np.isfinite([found.low, found.high]).all()
    assert 0 <= found.low[0] <= value <= found.high[0]
    if scale == "logit":
        assert found.high[0] <= 1
    wider = interval_around(np.array([value]), np.array([error]), level=(1 + level) / 2, scale=scale)
    assert wider.low[0] <= found.low[0]
    assert found.high[0] <= wider.high[0]


SPEND = {
    "one customer": ([2], [30.0]),
    "one purchase each": ([1] * 30, np.linspace(5, 50, 30)),
    "all alike": ([4] * 30, [20.0] * 30),
    "two amounts": ([1, 9] * 10, [1e-3, 1e6] * 10),
    "six decades": ([3] * 30, np.logspace(-2, 4, 30)),
    "a thousand purchases": ([1000, 999, 1], [10.0, 11.0, 500.0]),
    "tiny amounts": ([1, 2, 3, 4] * 5, np.linspace(1e-9, 3e-9, 20)),
}


@pytest.mark.parametrize("case", SPEND)
def test_any_spend_can_be_fitted_and_scored(case):
    x, spend = SPEND[case]
    table = pd.DataFrame({"frequency": [*x, 0], "monetary_value": [*spend, math.nan]})
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fitted = GammaGammaModel().fit(table)
    assert {warning.category for warning in said} <= {DataQualityWarning}
    scores = fitted.score_table(table)
    is_infinite = fitted.params_["q"] <= 1
    assert np.isinf(scores["expected_order_amount"].iloc[-1]) == is_infinite
    buyers = scores.iloc[:-1] if is_infinite else scores
    check(buyers)
    assert (buyers["expected_order_amount"] > 0).all()
