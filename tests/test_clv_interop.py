"""What from_lifetimes promises: the same parameters and predictions, with errors, and a word on what is not right."""

import warnings

import numpy as np
import pandas as pd
import pytest

from crmlytics import Transactions
from crmlytics.clv import (
    BetaGeoModel,
    GammaGammaModel,
    ModifiedBetaGeoModel,
    ParetoNBDModel,
    btyd_table,
    from_lifetimes,
)
from crmlytics.datasets import load_cdnow
from crmlytics.exceptions import DataQualityWarning, SchemaError

pytestmark = pytest.mark.filterwarnings("ignore::Warning:lifetimes", "ignore::Warning:autograd")
KINDS = {
    "BetaGeoFitter": BetaGeoModel,
    "ModifiedBetaGeoFitter": ModifiedBetaGeoModel,
    "ParetoNBDFitter": ParetoNBDModel,
}


@pytest.fixture(scope="module")
def lifetimes():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("lifetimes")


@pytest.fixture(scope="module")
def cdnow():
    orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    return btyd_table(orders, as_of="1997-10-01", unit="7d")


@pytest.mark.parametrize("name", KINDS)
def test_predictions_are_those_of_the_fitter(lifetimes, cdnow, name):
    fitter = getattr(lifetimes, name)()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitter.fit(cdnow["frequency"], cdnow["recency"], cdnow["T"])
    model = from_lifetimes(fitter, unit="7d")
    assert type(model) is KINDS[name]
    assert model.params_ == pytest.approx(dict(fitter.params_), rel=1e-12)
    assert model.verdict_.startswith("taken over: the likelihood is greatest")
    own = KINDS[name]().fit(cdnow)
    assert model.log_likelihood_ == pytest.approx(own.log_likelihood_, abs=1e-4)
    assert model.standard_errors_ == pytest.approx(own.standard_errors_, rel=1e-3)
    few = cdnow[cdnow["recency"] < cdnow["T"]].head(200)  # lifetimes gives NaN where t_x = T
    theirs = fitter.conditional_expected_number_of_purchases_up_to_time(20, few["frequency"], few["recency"], few["T"])
    np.testing.assert_allclose(model.score_table(few, horizon=20)["expected_purchase_count"], theirs, rtol=1e-8)


def test_spend_comes_over_with_its_verdicts(lifetimes, cdnow):
    buyers = cdnow[cdnow["frequency"] > 0]
    fitter = lifetimes.GammaGammaFitter()
    fitter.fit(buyers["frequency"], buyers["monetary_value"])
    model = from_lifetimes(fitter, unit="7d")
    own = GammaGammaModel().fit(cdnow)
    assert model.population_mean_amount_ == pytest.approx(own.population_mean_amount_, rel=1e-5)
    assert model.independence_verdict_ == own.independence_verdict_
    theirs = fitter.conditional_expected_average_profit(buyers["frequency"], buyers["monetary_value"])
    np.testing.assert_allclose(model.score_table(buyers)["expected_order_amount"], theirs, rtol=1e-10)


def test_a_fit_that_stopped_early_is_called_so(lifetimes, cdnow):
    fitter = lifetimes.BetaGeoFitter()
    fitter.fit(cdnow["frequency"], cdnow["recency"], cdnow["T"])
    fitter.params_ = pd.Series({"r": 0.3, "alpha": 5.0, "a": 0.5, "b": 2.0})
    with pytest.warns(DataQualityWarning, match="these parameters are not where the likelihood is greatest"):
        model = from_lifetimes(fitter, unit="7d")
    assert model.params_ == {"r": pytest.approx(0.3), "alpha": pytest.approx(5.0), "a": 0.5, "b": pytest.approx(2.0)}


def test_what_cannot_come_over_is_refused(lifetimes, cdnow):
    with pytest.raises(SchemaError, match=r"from_lifetimes: expected a fitted BetaGeoFitter, .*got an unfitted one"):
        from_lifetimes(lifetimes.BetaGeoFitter(), unit="7d")
    with pytest.raises(SchemaError, match=r"expected a fitted BetaGeoFitter, .*got int"):
        from_lifetimes(3, unit="7d")
    fitter = lifetimes.BetaGeoFitter()
    few = cdnow.head(300)
    fitter.fit(few["frequency"], few["recency"], few["T"], weights=pd.Series(np.full(300, 2), index=few.index))
    with pytest.raises(SchemaError, match=r"the fitter was given weights.*BetaGeoModel\(\)\.fit\(table\)"):
        from_lifetimes(fitter, unit="7d")
    with pytest.raises(SchemaError, match="unit must be a duration in days or weeks"):
        from_lifetimes(fitter, unit="week")
