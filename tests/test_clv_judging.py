"""What judging promises: measures counted by hand, forecasts side by side, a choice with its reason."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from _simulated_customers import pareto_table
from crmlytics import Transactions
from crmlytics._kernels.lifetime_nbd import PARETO_NBD
from crmlytics._kernels.population import Population
from crmlytics._kernels.predictive import log_probability_of_counts
from crmlytics.clv import (
    BetaGeoCNBDModel,
    BetaGeoModel,
    ModifiedBetaGeoModel,
    NBDModel,
    ParetoNBDModel,
    baseline_table,
    calibration_table,
    choose_model,
    evaluation_table,
    holdout_table,
)
from crmlytics.clv._holdout import normalised_gini
from crmlytics.datasets import load_cdnow
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

PERIODS = {"calibration_end": "1997-10-01", "as_of": "1998-07-01"}


@pytest.fixture(scope="module")
def orders():
    return Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")


@pytest.fixture(scope="module")
def cdnow(orders):
    return holdout_table(orders, **PERIODS)


@pytest.fixture(scope="module")
def simulated():
    """1,500 Pareto/NBD customers with 30 weeks of holdout."""
    rng = np.random.default_rng(8)
    table = pareto_table(
        rng, rng.integers(20, 60, 1500).astype(float), r=0.9, alpha=8.0, s=0.8, beta=12.0, horizon=30.0
    )
    return table.rename(columns={"later_count": "holdout_frequency"}).assign(holdout_duration=30.0)


def test_cdnow_is_judged_as_published(cdnow):
    table = evaluation_table(cdnow, models=[ParetoNBDModel(), BetaGeoModel(), ModifiedBetaGeoModel()]).set_index(
        "model"
    )
    published = {  # ../shared/ANCHORS.md section 1; Pareto/NBD at its true maximum
        "ParetoNBDModel": (1665.5, 0.7545, 0.630),
        "BetaGeoModel": (1653.4, 0.7855, 0.626),
        "ModifiedBetaGeoModel": (1576.7, 0.7648, 0.627),
    }
    for name, (total, error, correlation) in published.items():
        row = table.loc[name]
        assert row["predicted_purchase_count"] == pytest.approx(total, abs=0.05)
        assert row["mean_absolute_error"] == pytest.approx(error, abs=5e-5)
        assert row["correlation"] == pytest.approx(correlation, abs=5e-4)
        assert row["actual_purchase_count"] == 1882
        assert row["bias_share"] == pytest.approx(total / 1882 - 1, abs=1e-4)


def test_measures_are_those_of_numpy_and_the_probabilities_those_of_count_table(cdnow):
    model = ModifiedBetaGeoModel().fit(cdnow)
    row = evaluation_table(cdnow, models=[ModifiedBetaGeoModel()]).iloc[0]
    actual = cdnow["holdout_frequency"].to_numpy(float)
    predicted = model.score_table(cdnow, horizon=39)["expected_purchase_count"].to_numpy()
    assert row["root_mean_squared_error"] == pytest.approx(np.sqrt(((predicted - actual) ** 2).mean()))
    assert row["mean_absolute_error"] == pytest.approx(np.abs(predicted - actual).mean())
    assert row["log_likelihood"] == model.log_likelihood_
    assert row["aic"] == pytest.approx(8 - 2 * model.log_likelihood_)
    assert row["bic"] == pytest.approx(4 * math.log(2357) - 2 * model.log_likelihood_)
    most = int(actual.max())
    mass = model.count_table(cdnow, horizon=39, most=most).iloc[:, 1 : most + 2].to_numpy()
    expected = np.log(mass[np.arange(len(actual)), actual.astype(int)]).sum()
    assert row["predictive_log_likelihood"] == pytest.approx(expected, rel=1e-10)


def test_mean_absolute_error_is_not_to_be_trusted(cdnow):
    """Half of BG/NBD's forecast, which is 56 % too low in sum, has the lower mean absolute error on CDNOW."""
    forecast = BetaGeoModel().fit(cdnow).score_table(cdnow, horizon=39)[["customer_id", "expected_purchase_count"]]
    half = forecast.assign(half_count=forecast["expected_purchase_count"] / 2).drop(columns="expected_purchase_count")
    table = evaluation_table(cdnow, models=[BetaGeoModel()], baselines=half).set_index("model")
    assert table.loc["half", "mean_absolute_error"] < table.loc["BetaGeoModel", "mean_absolute_error"]
    assert table.loc["half", "root_mean_squared_error"] > table.loc["BetaGeoModel", "root_mean_squared_error"]
    assert table.loc["half", "bias_share"] == pytest.approx(-0.56, abs=0.005)


def test_the_true_model_is_chosen_and_the_reason_is_told(simulated):
    choice = choose_model(simulated, models=[NBDModel(), ParetoNBDModel()])
    assert isinstance(choice.model, ParetoNBDModel)
    assert choice.model.converged_
    assert choice.reason.startswith("ParetoNBDModel has the highest predictive log-likelihood, -")
    assert "cannot be told" not in choice.reason
    assert choice.to_frame()["model"].tolist() == ["ParetoNBDModel", "NBDModel"]
    again = choice.refit(simulated.head(800))
    assert again.n_customers_ == 800
    assert choice.model.n_customers_ == 1500


def test_models_too_close_to_tell_apart_compete_by_squared_error(cdnow):
    choice = choose_model(cdnow)
    table = choice.evaluation.set_index("model")
    assert table.index[0] == "ModifiedBetaGeoModel"  # by likelihood
    assert type(choice.model).__name__ == table["root_mean_squared_error"].idxmin() == "ParetoNBDModel"
    assert "ParetoNBDModel, BetaGeoModel cannot be told from it" in choice.reason


def test_fits_that_did_not_converge_are_passed_over():
    rng = np.random.default_rng(2)
    x = rng.poisson(rng.gamma(2.0, 0.5, 500) * 30)  # nobody leaves: BG/NBD has no maximum
    table = pd.DataFrame({"frequency": x, "recency": np.where(x > 0, 30.0 * x / (x + 0.2), 0.0), "T": 30.0})
    table = table.assign(holdout_frequency=rng.poisson(x / 3), holdout_duration=10.0)
    choice = choose_model(table, models=[BetaGeoModel(), NBDModel()])
    assert isinstance(choice.model, NBDModel)
    assert choice.reason.endswith("Not considered: BetaGeoModel (no dropout found).")


def test_regular_models_join_where_intervals_are_there(orders):
    table = holdout_table(orders, **PERIODS, with_intervals=True)
    names = evaluation_table(table)["model"].tolist()
    assert {"BetaGeoCNBDModel(k=1)", "ModifiedBetaGeoCNBDModel(k=1)"} <= set(names)
    one = evaluation_table(table, models=[BetaGeoCNBDModel(), BetaGeoModel()])["predictive_log_likelihood"]
    assert one[0] == pytest.approx(one[1], rel=1e-8)  # the same model


def test_baselines_are_matched_by_id_and_say_when_they_know_nothing(orders, cdnow):
    simple = baseline_table(orders, **PERIODS)
    shuffled = simple.sample(frac=1, random_state=0)
    table = evaluation_table(cdnow, models=[NBDModel()], baselines=shuffled).set_index("model")
    by_hand = simple["historic_rate_count"].to_numpy(float) - cdnow["holdout_frequency"].to_numpy(float)
    assert table.loc["historic_rate", "root_mean_squared_error"] == pytest.approx(np.sqrt((by_hand**2).mean()))
    assert pd.isna(table.loc["historic_rate", "predictive_log_likelihood"])
    assert table.loc["markov", "verdict"] == "not judged: no forecast for 2357 of 2357 customers."
    with pytest.raises(SchemaError, match=r"evaluation_table: 1 customers have no baseline \(customer_id 1\)"):
        evaluation_table(cdnow, models=[NBDModel()], baselines=simple.iloc[1:])


def test_late_joiners_are_not_judged(simulated):
    late = pd.DataFrame(
        {"customer_id": [9001], "holdout_frequency": [3], "holdout_duration": 30.0, "late_joiner": True}
    )
    both = pd.concat([simulated.assign(late_joiner=False), late], ignore_index=True)
    ours = evaluation_table(both, models=[ModifiedBetaGeoModel()])
    pd.testing.assert_frame_equal(ours, evaluation_table(simulated, models=[ModifiedBetaGeoModel()]))
    with pytest.raises(SchemaError, match=r"ModifiedBetaGeoModel\.fit: 1 of 1501 rows .* Late joiners of a holdout"):
        ModifiedBetaGeoModel().fit(both)


def test_every_kind_of_frame_is_judged_the_same(frame, simulated):
    few = simulated.head(300)
    data = {name: few[name].tolist() for name in few}
    simple = {"customer_id": few["customer_id"].tolist(), "guess_count": [1.0] * 300}
    expected = records(
        evaluation_table(make_frame(data, "pandas"), models=[BetaGeoModel()], baselines=make_frame(simple, "pandas"))
    )
    came = frame(data)
    table = evaluation_table(came, models=[BetaGeoModel()], baselines=frame(simple))
    assert type(table) is type(came)
    for row, other in zip(records(table), expected, strict=True):
        assert [value for value in row if isinstance(value, float)] == pytest.approx(
            [value for value in other if isinstance(value, float)], rel=1e-7, nan_ok=True
        )
    model = BetaGeoModel().fit(make_frame(data, "pandas"))
    assert type(calibration_table(model, came)) is type(came)


def test_calibration_groups_are_equal_in_size_and_lose_nobody(simulated):
    model = ParetoNBDModel().fit(simulated)
    table = calibration_table(model, simulated, bins=10)
    assert table["customer_count"].sum() == 1500
    assert table["decile"].tolist() == [*range(1, len(table) + 1)]
    assert table["predicted_mean_count"].is_monotonic_increasing
    sums = table[["predicted_mean_count", "actual_mean_count"]].mul(table["customer_count"], axis=0).sum()
    forecast = model.score_table(simulated, horizon=30)["expected_purchase_count"].sum()
    assert sums.tolist() == pytest.approx([forecast, simulated["holdout_frequency"].sum()])
    # the true model is calibrated: the groups are off by no more than chance makes them
    chance = np.sqrt(table["predicted_mean_count"] * 4 / table["customer_count"])
    assert ((table["predicted_mean_count"] - table["actual_mean_count"]).abs() < 4 * chance).all()


@given(actual=st.lists(st.integers(0, 9), min_size=2, max_size=20), seed=st.integers(0, 99))
def test_the_gini_is_one_for_the_truth_minus_one_for_its_reverse(actual, seed):
    actual = np.array(actual, dtype=float)
    if np.ptp(actual) == 0:
        assert normalised_gini(np.arange(len(actual)), actual) is None
        return
    assert normalised_gini(actual, actual) == pytest.approx(1.0)
    assert normalised_gini(-actual, actual) == pytest.approx(-1.0)
    assert normalised_gini(np.ones(len(actual)), actual) == pytest.approx(0.0, abs=1e-12)
    predicted = np.random.default_rng(seed).random(len(actual))
    assert normalised_gini(predicted, actual) == pytest.approx(normalised_gini(np.exp(predicted), actual))


def test_probabilities_of_large_counts_are_found_in_pieces():
    x, T = np.array([0.0, 400.0, 30.0]), np.array([20.0, 39.0, 39.0])
    population = Population(PARETO_NBD, x, np.array([0.0, 39.0, 20.0]), T)
    theta, counts = np.log([0.5, 10.0, 0.6, 11.0]), np.array([0.0, 380.0, 2.0])
    alive = population.alive(theta)
    mass = population.counts(theta, 39.0, 500)[population.future.inverse]
    expected = np.log(alive * mass[[0, 1, 2], [0, 380, 2]] + (1 - alive) * (counts == 0))
    np.testing.assert_allclose(log_probability_of_counts(population, theta, 39.0, counts), expected, rtol=1e-12)


def test_refusals_say_what_a_holdout_table_is(simulated):
    with pytest.raises(
        MissingColumnsError, match=r"evaluation_table needs .*holdout_frequency.*crm\.clv\.holdout_table"
    ):
        evaluation_table(simulated.drop(columns="holdout_frequency"))
    with pytest.raises(SchemaError, match=r"holdout_duration must be one number above zero .*got \[30\.0, 31\.0\]"):
        evaluation_table(simulated.assign(holdout_duration=np.where(simulated["customer_id"] < 5, 30.0, 31.0)))
    with pytest.raises(SchemaError, match=r"choose_model: models must be models of purchases .*got \['str'\]"):
        choose_model(simulated, models=["BG/NBD"])
    with pytest.raises(SchemaError, match="calibration_table: bins must be a whole number of at least 2, got 1"):
        calibration_table(ParetoNBDModel().fit(simulated), simulated, bins=1)
    assert stats.rankdata([1, 1, 2]).tolist() == [1.5, 1.5, 3.0]  # ties share their mean rank, on which the Gini rests


def test_a_wrong_unit_is_told_once():
    orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    daily = holdout_table(orders, **PERIODS, unit="1d")
    with pytest.warns(DataQualityWarning, match="choose_model: recency and T look as if") as said:
        choose_model(daily, models=[BetaGeoModel()])
    assert len(said) == 1


def test_swapped_and_strange_inputs_are_refused_in_words(simulated):
    with pytest.raises(SchemaError, match="models must be a list of models, got BetaGeoModel"):
        evaluation_table(simulated, models=BetaGeoModel())
    with pytest.raises(SchemaError, match=r"calibration_table: model must be a fitted model .*got DataFrame"):
        calibration_table(simulated, simulated)
    with pytest.raises(SchemaError, match="column 'late_joiner' holds Int64, expected truth values"):
        evaluation_table(simulated.assign(late_joiner=0))
    twice = pd.DataFrame({"customer_id": [0, *range(1500)], "guess_count": 1.0})
    with pytest.raises(SchemaError, match="baselines repeat customer_id 0"):
        evaluation_table(simulated, models=[BetaGeoModel()], baselines=twice)
    with pytest.raises(SchemaError, match=r"baselines must be columns of numbers, \['guess'\] are not"):
        evaluation_table(simulated, models=[BetaGeoModel()], baselines=twice.iloc[1:, :1].assign(guess="two"))
