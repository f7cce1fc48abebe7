"""What ScoringModel promises: chosen on the future, calibrated, explained to the last digit, plain about bad input."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.naive_bayes import GaussianNB

from crmlytics._kernels.classification import calibration_error
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.scoring._encoding import Feature, learn_encoder
from crmlytics.scoring._folds import deal_customers, time_folds
from crmlytics.scoring._model import ScoringModel
from crmlytics.testing import check_table_estimator, records


def simulated(rows=3000, seed=0):
    """Customers whose probability is known: it falls with tenure, rises with tickets, differs by plan."""
    rng = np.random.default_rng(seed)
    tenure, tickets = rng.integers(0, 60, rows), rng.poisson(1.0, rows)
    plan = rng.choice(["basic", "plus", "pro"], rows)
    odds = -0.5 - tenure / 25 + 0.7 * tickets + np.select([plan == "pro", plan == "plus"], [-1.0, 0.3], 0.0)
    truth = 1 / (1 + np.exp(-odds))
    return pd.DataFrame({
        "customer_id": np.arange(rows), "tenure_months": tenure, "ticket_count": tickets, "plan": plan,
        "churned": rng.random(rows) < truth, "truth": truth,
    })  # fmt: skip


def churn_model(**options):
    return ScoringModel(**({"target": "churned", "exclude": ["truth"], "model": "logistic"} | options))


@pytest.fixture(scope="module")
def table():
    return simulated()


@pytest.fixture(scope="module")
def smooth(table):
    return churn_model().fit(table)


@pytest.fixture(scope="module")
def trees(table):
    return churn_model(model="boosting").fit(table)


# -- numbers -------------------------------------------------------------------------------------------------------


def test_probabilities_are_close_to_the_simulated_truth(smooth, trees):
    fresh = simulated(4000, seed=1)
    for model, within in ((smooth, 0.025), (trees, 0.05)):
        probability = model.predict_proba(fresh)[:, 1]
        assert np.sqrt(np.mean((probability - fresh["truth"]) ** 2)) < within
        assert probability.mean() == pytest.approx(fresh["truth"].mean(), abs=0.02)  # nothing was resampled


def test_planted_effects_come_back(smooth, table):
    contributions = smooth.contribution_table(table)
    plans = contributions["plan"].groupby(table["plan"].to_numpy()).mean()
    assert plans["plus"] - plans["basic"] == pytest.approx(0.3, abs=0.3)
    assert plans["pro"] - plans["basic"] == pytest.approx(-1.0, abs=0.3)
    assert np.corrcoef(contributions["tenure_months"], table["tenure_months"])[0, 1] < -0.95


@pytest.mark.parametrize("which", ["smooth", "trees"])
def test_contributions_add_up_to_the_score(which, table, request):
    model = request.getfixturevalue(which)
    taken_apart, scores = model.contribution_table(table), model.score_table(table)
    parts = taken_apart[["base", *model.feature_names_in_]].sum(axis=1)
    np.testing.assert_allclose(parts, taken_apart["log_odds"], atol=1e-9)
    np.testing.assert_allclose(1 / (1 + np.exp(-taken_apart["log_odds"])), scores["probability"], atol=1e-9)


def test_telco_reaches_what_the_best_reach(shared_data):
    telco = pd.read_parquet(shared_data / "telco_churn.parquet")
    y = (telco["Churn"] == "Yes").to_numpy()
    probability, areas = np.empty(len(y)), []
    for train, test in StratifiedKFold(5, shuffle=True, random_state=42).split(telco, y):
        model = ScoringModel(target="Churn", key="customerID").fit(telco.iloc[train])
        probability[test] = model.predict_proba(telco.iloc[test])[:, 1]
        areas.append(roc_auc_score(y[test], probability[test]))
    assert np.mean(areas) >= 0.848
    assert calibration_error(y, probability) <= 0.02


def test_a_time_is_judged_on_its_later_part(table):
    rng = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=6, freq="30D")
    dated = table.assign(cutoff=rng.choice(days, len(table)))
    model = churn_model(purge="60d").fit(dated)
    later, random = model.predictions_
    assert (later.scheme, random.scheme) == ("out of time", "random folds")
    assert set(later.period) == set(days[3:].to_numpy())
    assert len(random.outcome) == len(table)
    assert model.chosen_on_ == "out of time"


def test_the_same_customer_never_teaches_and_tests_in_random_folds():
    group = np.repeat(np.arange(40), 3)
    outcome = np.zeros(120, bool)
    outcome[::7] = True
    fold = deal_customers(group, outcome, 5, 0)
    assert (fold.reshape(40, 3) == fold.reshape(40, 3)[:, :1]).all()
    assert set(fold) == set(range(5))


@given(st.integers(1, 30), st.integers(2, 10), st.integers(0, 40))
def test_rows_learnt_from_lie_before_the_purge(step, periods, purge):
    period = np.repeat(np.arange(periods) * step, 40)
    outcome = np.tile([True, False], len(period) // 2)
    for train, test in time_folds(period, outcome, purge=purge):
        assert period[train].max() <= period[test].min() - purge
        assert period[train].max() < period[test].min()


def test_monotone_features_only_raise(table):
    model = churn_model(model="auto", monotone={"ticket_count": 1}).fit(table)
    one = table.head(1).loc[[0] * 8].reset_index(drop=True).assign(ticket_count=np.arange(8), customer_id=np.arange(8))
    assert (np.diff(model.predict_proba(one)[:, 1]) >= 0).all()
    assert all(name.startswith("boosting") for name in model.selection_)


@pytest.mark.parametrize("classifier", [GaussianNB(), RandomForestClassifier(20, random_state=0)])
def test_any_classifier_is_calibrated_and_explained(classifier, table):
    holes = table.assign(tenure_months=table["tenure_months"].where(table["customer_id"] % 7 > 0))
    model = churn_model(model=classifier).fit(holes)
    assert list(model.selection_) == [type(classifier).__name__]
    few = holes.head(20)
    taken_apart = model.contribution_table(few)
    np.testing.assert_allclose(taken_apart["log_odds"], model.decision_function(few), atol=1e-9)
    assert abs(model.predict_proba(table)[:, 1].mean() - table["churned"].mean()) < 0.05


def test_importance_finds_what_matters(table):
    noisy = table.assign(noise=np.random.default_rng(5).normal(size=len(table)))
    importance = churn_model().fit(noisy).importance_table(noisy).set_index("feature")
    assert importance.loc["tenure_months", "log_loss_increase_low"] > 0
    assert importance.loc["noise", "log_loss_increase_low"] < 0.001
    assert importance.index[-1] == "noise"


# -- the contract --------------------------------------------------------------------------------------------------


def test_keeps_the_contract_of_estimators():
    columns = simulated(500).drop(columns="truth").to_dict("list")
    check_table_estimator(ScoringModel(target="churned", model="logistic"), columns, kinds=["pandas", "polars"])


def test_scores_every_frame_alike(frame, table):
    columns = table.drop(columns="truth").head(400).to_dict("list")
    model = churn_model(exclude=()).fit(frame(columns))
    expected = churn_model(exclude=()).fit(table.drop(columns="truth").head(400))
    scores = model.score_table(frame(columns))
    assert type(scores) is type(frame(columns))
    found = records(scores)
    wanted = records(expected.score_table(table.head(400)))
    np.testing.assert_allclose([row[1:] for row in found], [row[1:] for row in wanted], rtol=1e-9)
    assert [row[0] for row in found] == sorted(row[0] for row in found)
    reasons = records(model.reason_table(frame(columns), n=1))
    assert [row[1] for row in reasons] == [1] * 400


def test_scikit_learn_can_cross_validate_it(table):
    y = table["churned"].to_numpy()
    found = cross_val_score(churn_model(), table.drop(columns="churned"), y, cv=3)
    assert found.min() > 0.7  # its score is the area under the ROC curve


def test_a_table_without_a_key_has_row_numbers(table):
    keyless = table.drop(columns="customer_id")
    scores = churn_model().fit(keyless).score_table(keyless)
    assert list(scores["row_number"]) == list(range(len(table)))


def test_unfitted_it_refuses_to_score(table):
    with pytest.raises(NotFittedError):
        churn_model().score_table(table)


# -- columns -------------------------------------------------------------------------------------------------------


def test_columns_become_features_or_say_why_not():
    rows = 200
    table = pd.DataFrame({
        "amount_as_text": [" ", "2.5"] * (rows // 2), "flag": [True, False] * (rows // 2), "constant": 1,
        "empty": np.nan, "name": [f"customer {i}" for i in range(rows)], "joined": pd.Timestamp("2024-01-01"),
        "colour": ["red"] * 120 + ["blue"] * 78 + ["mauve", "teal"], "number": np.arange(rows) % 7,
    })  # fmt: skip
    encoder = learn_encoder(table, list(table), caller="test")
    assert encoder.features == (
        Feature("flag"), Feature("colour", ("blue", "red", "other")), Feature("number"),
    )  # fmt: skip
    assert encoder.left_out == {
        "amount_as_text": "the same in every row",
        "constant": "the same in every row",
        "empty": "no value in any row",
        "name": "different in nearly every row, as names and ids are",
        "joined": "a date or duration: give the days from it to the cutoff as a number",
    }


def test_unseen_levels_and_holes_are_scored():
    feature = Feature("colour", ("blue", "other"))
    words = pd.Series(["blue", "green", None, " "])
    np.testing.assert_array_equal(feature.encode(words, caller="test"), [0, 1, np.nan, np.nan])
    closed = Feature("colour", ("blue", "red"))
    np.testing.assert_array_equal(closed.encode(pd.Series(["red", "green"]), caller="test"), [1, np.nan])
    assert [closed.in_words(value) for value in (0.0, np.nan)] == ["blue", "missing"]


def test_numbers_in_text_are_numbers():
    encoder = learn_encoder(pd.DataFrame({"total": ["1.5", " ", "20", None] * 30}), ["total"], caller="test")
    np.testing.assert_array_equal(
        encoder.design(pd.DataFrame({"total": ["3", "?", ""]}), caller="test").matrix[:, 0], [3, np.nan, np.nan]
    )


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(churned=False), "every row has 'churned' False: there is nothing to tell apart"),
        (lambda t: t.assign(churned=t.index < 5), "5 rows have the rarer outcome of 'churned', and it takes 10"),
        (lambda t: t.assign(churned="maybe"), "must be true or false, 1 or 0, or yes and no, got ['maybe']"),
        (lambda t: t.assign(churned=t["churned"].astype(object).where(t.index > 3)), "is missing in 4 rows"),
        (lambda t: t.drop(columns="churned").assign(churn=1), "Did you mean 'churn'?"),
        (lambda t: t.assign(customer_id=1), "expected one row per customer_id, but ['1'] appear more than once"),
        (lambda t: t.assign(customer_id=pd.array([None, *range(1, len(t))], "Int64")), "missing in 1 rows"),
        (lambda t: t.assign(tenure_months=t["tenure_months"].where(t.index > 3, np.inf)), "infinite values in 4 rows"),
        (lambda t: t[["customer_id", "churned", "truth"]], "no column is left to learn from"),
        (lambda t: t.head(0), "the table has no rows"),
    ],
)
def test_bad_tables_are_refused(change, message, table):
    with pytest.raises(SchemaError, match=re.escape(message)):
        churn_model().fit(change(table))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "forest"}, "model must be one of ['auto', 'logistic', 'boosting']"),
        ({"monotone": {"ticket_count": 1}}, 'monotone goes with model="boosting"'),
        ({"model": "auto", "monotone": {"plan": 1}}, "'plan', which is no numeric feature"),
        ({"model": "auto", "monotone": {"ticket_count": 2}}, "must be 1 (may only raise the score) or -1"),
        ({"features": ["tenure"]}, "Did you mean 'tenure_months'?"),
        ({"features": ["customer_id"]}, "which is the key"),
        ({"baselines": ["rfm"]}, "baselines='rfm', no such column"),
    ],
)
def test_bad_options_are_refused(options, message, table):
    with pytest.raises(SchemaError, match=re.escape(message)):
        churn_model(**options).fit(table)


def test_several_cutoffs_need_to_know_when_outcomes_were_known(table):
    dated = table.assign(cutoff=np.where(table.index % 2, np.datetime64("2024-01-01"), np.datetime64("2024-02-01")))
    with pytest.raises(SchemaError, match=re.escape('gap + horizon, such as purge="90d"')):
        churn_model().fit(dated)


def test_a_missing_feature_is_named_when_scoring(smooth, table):
    with pytest.raises(MissingColumnsError, match="lacks the column 'plan' that the model learnt from"):
        smooth.score_table(table.drop(columns="plan"))


def test_few_outcomes_are_said_to_be_few(table):
    few = pd.concat([table[table["churned"]].head(40), table[~table["churned"]].head(300)])
    with pytest.warns(DataQualityWarning, match="40 rows have the rarer outcome"):
        model = churn_model(model="auto").fit(few)
    assert set(model.selection_) == {"logistic, strongest ridge", "logistic, strong ridge"}


def test_a_column_that_tells_the_outcome_is_named(table):
    leaking = table.assign(cancelled_at_desk=np.where(table["churned"], "yes", None))
    with pytest.warns(DataQualityWarning, match=re.escape("['cancelled_at_desk'] alone tell the outcome")):
        churn_model().fit(leaking)


def test_a_word_that_nearly_everybody_has_tells_nothing(table):
    rare = table.assign(country=np.where(table.index % 150, "PL", "DE"))
    with warnings.catch_warnings(action="error"):
        model = churn_model().fit(rare)
    assert "country" in model.feature_names_in_


def test_weights_follow_their_rows(smooth, table):
    mixed = table.sample(frac=1, random_state=0)
    weight = np.where(mixed["tenure_months"] > 30, 3.0, 1.0)
    wanted = roc_auc_score(mixed["churned"], smooth.decision_function(mixed), sample_weight=weight)
    assert smooth.score(mixed, sample_weight=weight) == pytest.approx(wanted)


def test_labels_of_a_panel_are_no_features(table):
    panel = table.assign(bought=~table["churned"], future_order_count=1, future_amount=2.0, bought_DAIRY=table["plan"])
    with warnings.catch_warnings(action="error"):
        model = churn_model().fit(panel)
    assert list(model.feature_names_in_) == ["tenure_months", "ticket_count", "plan"]


# -- a dirty table -------------------------------------------------------------------------------------------------


def test_a_slip_among_numbers_is_named_and_many_are_refused(table):
    text = table["tenure_months"].astype(str)
    slips = table.assign(tenure_months=text.where(table.index > 4, "seven"))
    with pytest.warns(DataQualityWarning, match=re.escape("'tenure_months' holds numbers, and ['seven'] in 5 rows")):
        model = churn_model().fit(slips)
    with pytest.raises(SchemaError, match=re.escape("should hold numbers, got ['x'] in 3,000 rows")):
        model.score_table(table.assign(tenure_months="x"))
    with pytest.raises(SchemaError, match="Write a point for the decimal comma"):
        churn_model().fit(table.assign(tenure_months=text + ",5"))
    silent = table.assign(tenure_months=text.where(table.index > 4, "n/a"))
    with warnings.catch_warnings(action="error"):
        churn_model().fit(silent)


def test_an_id_under_another_name_is_no_feature(table):
    renamed = table.rename(columns={"customer_id": "CustomerID"})
    with pytest.warns(DataQualityWarning, match=re.escape("type key='CustomerID'. It is not learnt from")):
        model = churn_model().fit(renamed)
    assert "CustomerID" not in model.feature_names_in_
    with pytest.raises(MissingColumnsError, match=re.escape("key names 'customerID', no such column")):
        churn_model(key="customerID").fit(renamed)


def test_whole_float_ids_become_whole_numbers(table):
    floats = table.assign(customer_id=table["customer_id"].astype(float))
    model = churn_model().fit(floats)
    assert str(model.score_table(floats)["customer_id"].dtype) == "int64"
    with pytest.raises(SchemaError, match=re.escape("ids must be whole numbers or text, got 0.5 in 'customer_id'")):
        model.score_table(floats.assign(customer_id=floats["customer_id"] + 0.5))


def test_periods_of_whole_numbers_need_their_distance(table):
    dated = table.assign(cutoff=table.index % 8)
    with pytest.raises(SchemaError, match=re.escape("such as purge=3 (0: before the next one)")):
        churn_model().fit(dated)
    with pytest.raises(SchemaError, match=re.escape("so purge must be one: purge=3, got '90d'")):
        churn_model(purge="90d").fit(dated)
    with pytest.raises(SchemaError, match="must hold dates or whole numbers, got float64"):
        churn_model(purge=1, time="period").fit(table.assign(period=table.index % 8 + 0.5))
    assert churn_model(purge=2).fit(dated.assign(cutoff=dated["cutoff"] * 1.0)).chosen_on_ == "out of time"


def test_a_misspelt_exclusion_is_no_exclusion(table):
    with pytest.raises(
        MissingColumnsError, match=re.escape("exclude names 'Truth', no such column. Did you mean 'truth'?")
    ):
        churn_model(exclude=["Truth"]).fit(table)


def test_the_repair_of_an_outcome_works(table):
    coded = table.assign(churned=np.where(table["churned"], 2, 1))
    with pytest.raises(SchemaError, match=re.escape('table["churned"] = table["churned"] == 2')):
        churn_model().fit(coded)
    assert churn_model().fit(coded.assign(churned=coded["churned"] == 2)).base_rate_ == table["churned"].mean()


def test_the_outcomes_of_one_customer_are_not_enough():
    rows = simulated(600).assign(customer_id=np.r_[np.zeros(30, int), np.arange(1, 571)], row=np.arange(600))
    rows["churned"] = rows["customer_id"] == 0
    with pytest.raises(SchemaError, match="belong to 1 customers only, and it takes 10 to"):
        churn_model(key=("customer_id", "row")).fit(rows)


def test_the_best_single_feature_is_always_there_to_beat(smooth, table):
    evaluation = smooth.evaluation_.to_frame().set_index("score")
    rates = table.groupby("ticket_count")["churned"].mean()
    by_hand = roc_auc_score(table["churned"], table["ticket_count"].map(rates))
    assert evaluation.loc["best single feature", "auc"] == pytest.approx(by_hand, abs=0.03)
    assert evaluation.loc["model", "auc_low"] > evaluation.loc["best single feature", "auc"]


def test_rare_outcomes_are_not_sampled_away():
    rng = np.random.default_rng(0)
    rows = 150_000
    table = pd.DataFrame({"customer_id": np.arange(rows), "x": rng.normal(size=rows)})
    table["churned"] = False
    table.loc[rng.choice(rows, 30, replace=False), "churned"] = True
    with pytest.warns(DataQualityWarning, match="30 rows have the rarer outcome"):
        model = churn_model(exclude=()).fit(table)
    assert model.predictions_[0].outcome.sum() == 30
    assert model.predict_proba(table)[:, 1].mean() == pytest.approx(30 / rows, rel=0.3)
