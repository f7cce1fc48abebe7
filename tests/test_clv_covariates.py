"""What covariates promise: recovered effects, constraints that hold, the same answer in any units, helpful refusals."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from _simulated_customers import pareto_table
from crmlytics.clv import (
    BetaGeoModel,
    GammaGammaModel,
    GammaGompertzNBDModel,
    ModifiedBetaGeoModel,
    NBDModel,
    ParetoNBDModel,
    likelihood_ratio_test,
)
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

TRUE = {"purchase:age": 0.02, "purchase:channel=web": 0.5, "dropout:channel=web": -0.6}
WITH_BOTH = [ParetoNBDModel, BetaGeoModel, ModifiedBetaGeoModel]


def people(count, seed):
    """Pareto/NBD customers: the old buy faster, web customers buy faster and stay longer."""
    rng = np.random.default_rng(seed)
    age, web = rng.normal(45, 12, count), rng.random(count) < 0.4
    buying = np.exp(TRUE["purchase:age"] * age + TRUE["purchase:channel=web"] * web)
    leaving = np.exp(TRUE["dropout:channel=web"] * web)
    T = rng.integers(30, 70, count).astype(float)
    table = pareto_table(rng, T, r=1.2, alpha=20.0 / buying, s=1.5, beta=30.0 / leaving)
    spend = rng.gamma(6.0 * np.maximum(table["frequency"], 1)) / np.maximum(table["frequency"], 1)
    spend = spend / rng.gamma(4.0, 1 / (15.0 * np.exp(0.3 * web)), count)
    return table.assign(
        age=age, channel=np.where(web, "web", "shop"), member=web, monetary_value=spend.where(table["frequency"] > 0)
    )


@pytest.fixture(scope="module")
def table():
    return people(3000, seed=4)


def test_effects_are_recovered_within_their_errors():
    crowd = people(8000, seed=1)
    model = ParetoNBDModel(purchase_covariates=["age", "channel"], dropout_covariates=["channel"]).fit(crowd)
    assert model.converged_
    assert list(model.coefficients_) == list(TRUE)
    for name, true in TRUE.items():
        assert abs(model.coefficients_[name] - true) < 3 * model.standard_errors_[name]
        assert model.standard_errors_[name] < 0.3
    for name, true in {"r": 1.2, "alpha": 20.0, "s": 1.5, "beta": 30.0}.items():
        assert abs(np.log(model.params_[name] / true)) < 3 * model.standard_errors_[name] / model.params_[name]


def test_an_effect_on_spend_is_recovered(table):
    model = GammaGammaModel(spend_covariates=["channel"]).fit(table)
    found, error = model.coefficients_["spend:channel=web"], model.standard_errors_["spend:channel=web"]
    assert abs(found - 0.3) < 3 * error < 0.3
    assert likelihood_ratio_test(GammaGammaModel().fit(table), model).p_value < 0.001
    once = pd.DataFrame({"frequency": [0, 0], "monetary_value": [None, None], "channel": ["shop", "web"]})
    amounts = model.score_table(once.astype({"monetary_value": float}))["expected_order_amount"]
    assert amounts[1] / amounts[0] == pytest.approx(np.exp(found))


@pytest.mark.parametrize("model", WITH_BOTH)
def test_covariates_in_other_units_give_the_same_predictions(table, model):
    years = model(purchase_covariates=["age"], dropout_covariates=["age"]).fit(table)
    months_old = table.assign(age=table["age"] * 12 + 7)
    months = model(purchase_covariates=["age"], dropout_covariates=["age"]).fit(months_old)
    assert months.log_likelihood_ == pytest.approx(years.log_likelihood_, abs=1e-6)
    for name in ("purchase:age", "dropout:age"):
        assert 12 * months.coefficients_[name] == pytest.approx(years.coefficients_[name], rel=1e-4)
        assert 12 * months.standard_errors_[name] == pytest.approx(years.standard_errors_[name], rel=1e-4)
    ours, theirs = (fit.score_table(data, horizon=20) for fit, data in ((years, table), (months, months_old)))
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-4)


@pytest.mark.parametrize("model", [*WITH_BOTH, NBDModel])
def test_fitting_is_at_the_top_in_every_direction(table, model):
    names = {"purchase_covariates": ["age", "channel"]}
    fitted = model(**names).fit(table)
    value, gradient = fitted._objective(table, caller="test")(fitted.theta_)  # noqa: SLF001  not shown otherwise
    spread = np.sqrt(np.diag(fitted.theta_covariance_))
    assert np.abs(gradient * spread).max() < 1e-3  # of the log-likelihood, for a standard error
    assert value == pytest.approx(fitted.log_likelihood_, rel=1e-9)
    assert fitted.score(table) * len(table) == pytest.approx(fitted.log_likelihood_, rel=1e-9)


def test_without_covariates_the_likelihood_is_lower_and_the_test_says_by_how_much(table):
    plain = ModifiedBetaGeoModel().fit(table)
    richer = ModifiedBetaGeoModel(purchase_covariates=["age", "channel"]).fit(table)
    test = likelihood_ratio_test(plain, richer)
    assert test.statistic == pytest.approx(2 * (richer.log_likelihood_ - plain.log_likelihood_))
    assert test.degrees_of_freedom == 2
    assert test.p_value == pytest.approx(stats.chi2.sf(test.statistic, 2))
    assert richer.aic_ < plain.aic_


def test_a_shared_covariate_has_one_coefficient_for_both_processes(table):
    shared = ParetoNBDModel(shared_covariates=["member"]).fit(table)
    free = ParetoNBDModel(purchase_covariates=["member"], dropout_covariates=["member"]).fit(table)
    assert list(shared.coefficients_) == ["shared:member"]
    assert len(shared.theta_) == len(free.theta_) - 1
    assert shared.log_likelihood_ < free.log_likelihood_  # a constraint costs
    low, high = sorted(free.coefficients_.values())
    assert low < shared.coefficients_["shared:member"] < high


def test_a_penalty_shrinks_coefficients_and_its_size_is_not_in_the_likelihood(table):
    loose, tight = (ParetoNBDModel(purchase_covariates=["age"], l2=l2).fit(table) for l2 in (0.0, 5000.0))
    assert abs(tight.coefficients_["purchase:age"]) < 0.9 * abs(loose.coefficients_["purchase:age"])
    assert tight.log_likelihood_ < loose.log_likelihood_
    assert tight.score(table) * len(table) == pytest.approx(tight.log_likelihood_)


def test_a_narrow_prior_wins_and_a_wide_one_changes_nothing(table):
    loose = BetaGeoModel().fit(table)
    wide = BetaGeoModel(priors={"r": stats.lognorm(s=100.0)}).fit(table)
    narrow = BetaGeoModel(priors={"r": stats.norm(3.0, 0.01), "alpha": stats.gamma(2.0, scale=10.0)}).fit(table)
    assert wide.params_ == pytest.approx(loose.params_, rel=0.01)
    assert narrow.params_["r"] == pytest.approx(3.0, abs=0.1)
    assert narrow.standard_errors_["r"] < 0.011


def test_priors_are_of_parameters_in_the_units_of_the_table(table):
    days = table.assign(recency=table["recency"] * 7, T=table["T"] * 7)
    weeks = BetaGeoModel(priors={"alpha": stats.gamma(200.0, scale=0.05)}).fit(table)
    same = BetaGeoModel(unit="1d", priors={"alpha": stats.gamma(200.0, scale=0.35)}).fit(days)
    assert same.params_["alpha"] == pytest.approx(7 * weeks.params_["alpha"], rel=1e-5)


def test_covariates_come_in_on_every_kind_of_frame(frame, table):
    few = table.head(400)
    data = {
        name: few[name].tolist() for name in ("customer_id", "frequency", "recency", "T", "age", "channel", "member")
    }
    model = BetaGeoModel(purchase_covariates=["channel"], dropout_covariates=["age"], l2=0.1)
    expected = records(model.fit(make_frame(data, "pandas")).score_table(make_frame(data, "pandas"), horizon="90d"))
    came = frame(data)
    found = records(model.fit(came).score_table(came, horizon="90d"))
    for row, other in zip(found, expected, strict=True):
        assert row == pytest.approx(other, rel=1e-7)


def test_new_customers_need_covariates_to_be_forecast(table):
    model = ParetoNBDModel(purchase_covariates=["channel"]).fit(table)
    with pytest.raises(
        SchemaError, match=r"new_customer_table: the model has covariates, .*like=<a table with \['channel'"
    ):
        model.new_customer_table(horizons=["52w"])
    by_channel = [
        model.new_customer_table(horizons=["52w"], like=table[table["channel"] == channel])["expected_purchase_count"][
            0
        ]
        for channel in ("shop", "web")
    ]
    both = model.new_customer_table(horizons=["52w"], like=table)["expected_purchase_count"][0]
    assert by_channel[0] < both < by_channel[1]


def test_a_group_in_which_nobody_comes_back_is_said_to_run_away(table):
    alone = table.head(1500).assign(group=lambda rows: np.where(rows["frequency"] == 0, "b", "a"))
    with pytest.warns(DataQualityWarning, match="rises for ever with the coefficient of purchase:group=b.*l2=1.0"):
        model = ModifiedBetaGeoModel(purchase_covariates=["group"]).fit(alone)
    assert not model.converged_
    assert np.isfinite(model.score_table(alone, horizon=10).select_dtypes("number").to_numpy()).all()
    held = ModifiedBetaGeoModel(purchase_covariates=["group"], l2=1.0).fit(alone)
    assert held.converged_


def test_gompertz_takes_covariates_too(table):
    model = GammaGompertzNBDModel(purchase_covariates=["channel"], dropout_covariates=["channel"], l2=0.01)
    fitted = model.fit(table.head(1500))
    pareto = ParetoNBDModel(purchase_covariates=["channel"], dropout_covariates=["channel"]).fit(table.head(1500))
    assert fitted.log_likelihood_ > pareto.log_likelihood_ - 0.5  # the Pareto/NBD is a case of it
    assert list(fitted.coefficients_) == ["purchase:channel=web", "dropout:channel=web"]


REFUSALS = [
    ({"purchase_covariates": ["agee"]}, MissingColumnsError, r"the covariates \['agee'\] are not .*Did you mean 'age'"),
    ({"purchase_covariates": ["same"]}, SchemaError, "covariate 'same' is 1 for everybody: it explains nothing"),
    (
        {"dropout_covariates": ["hole"]},
        SchemaError,
        r"1 of 50 rows have no 'hole', which is a covariate \(customer_id 3\)",
    ),
    ({"purchase_covariates": ["born"]}, SchemaError, "covariate 'born' holds Datetime.*, expected numbers"),
    (
        {"purchase_covariates": ["age"], "shared_covariates": ["age"]},
        SchemaError,
        r"\['age'\] are in shared_covariates",
    ),
    ({"purchase_covariates": ["age", "age"]}, SchemaError, r"purchase_covariates names \['age'\] twice"),
    ({"purchase_covariates": 3}, SchemaError, r"purchase_covariates must be a list of column names .*got 3"),
    ({"purchase_covariates": ["name"]}, SchemaError, "covariate 'name' has 51 different texts, at most 50"),
    ({"priors": {"rr": stats.norm()}}, SchemaError, r"priors name 'rr', expected one of .*Did you mean 'r'"),
    ({"priors": {"r": 3.0}}, SchemaError, r"the prior of 'r' has no logpdf or no median.*scipy\.stats\.gamma"),
    ({"l2": -1.0}, SchemaError, "l2 must be a number of zero or more, got -1.0"),
]


@pytest.mark.parametrize(("options", "error", "text"), REFUSALS)
def test_refusals_say_which_covariate_and_why(table, options, error, text):
    rows = 51 if options.get("purchase_covariates") == ["name"] else 50
    few = table.head(rows).assign(same=1.0, born=pd.Timestamp("2000-01-01"), name=[f"n{i}" for i in range(rows)])
    few["hole"] = np.where(few["customer_id"] == 3, np.nan, few["age"])
    with pytest.raises(error, match=rf"BetaGeoModel\.fit: .*{text}"):
        BetaGeoModel(**options).fit(few)


def test_a_level_that_was_not_seen_is_refused(table):
    model = BetaGeoModel(purchase_covariates=["channel"]).fit(table)
    strange = table.head(3).assign(channel=["web", "fax", "shop"])
    with pytest.raises(SchemaError, match=r"score_table: column 'channel' holds \['fax'\].*It knows \['shop', 'web'\]"):
        model.score_table(strange, horizon=10)


@pytest.mark.parametrize("prior", [stats.uniform(5, 1), stats.uniform(1, 1), stats.truncnorm(-1, 1, loc=5)])
def test_a_prior_that_excludes_the_estimate_holds_and_is_said_to_decide(table, prior):
    with pytest.warns(DataQualityWarning, match="the prior of a is zero next to the estimate, so it decides"):
        model = BetaGeoModel(priors={"a": prior}).fit(table)
    low, high = prior.support()
    assert low * 0.99 < model.params_["a"] < high * 1.01
    assert not model.converged_


def test_a_column_of_another_kind_is_refused(table):
    model = BetaGeoModel(purchase_covariates=["channel", "age"]).fit(table)
    with pytest.raises(SchemaError, match="column 'age' holds text; the model was fitted on numbers"):
        model.score_table(table.assign(age="old"), horizon=10)
    with pytest.raises(SchemaError, match="column 'channel' holds numbers; the model was fitted on text"):
        model.score_table(table.assign(channel=1), horizon=10)
    with pytest.raises(SchemaError, match=r"1 of 3000 rows have no 'channel', which is a covariate \(customer_id 2\)"):
        model.fit(table.assign(channel=["web", "shop", None, *["web"] * 2997]))
    with pytest.raises(SchemaError, match=r"\['frequency'\] are what the model explains, not covariates of it"):
        BetaGeoModel(purchase_covariates=["frequency"]).fit(table)
