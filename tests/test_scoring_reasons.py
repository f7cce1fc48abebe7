"""Reasons are exact where they can be: Shapley values by definition, sums that are the score, words that fit."""

from copy import deepcopy
from itertools import combinations, permutations
from math import comb
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import log_loss, roc_auc_score
from threadpoolctl import threadpool_limits

from crmlytics._kernels import shapley_sampling
from crmlytics._kernels.shapley_sampling import sampled_contributions
from crmlytics.scoring import _importance, _reasons
from crmlytics.scoring._encoding import Design, Feature
from crmlytics.scoring._importance import IMPORTANCE_SCHEMA, HeldOut, importance_columns
from crmlytics.scoring._reasons import (
    REASON_SCHEMA,
    background_of,
    contribution_columns,
    contribution_schema,
    explain,
    reason_columns,
)

RNG = np.random.default_rng(6)
ROWS = 400
FEATURES = (Feature("recency_days"), Feature("city", ("Łódź", "Opole", "other")), Feature("amount"), Feature("noise"))


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """On a machine that others use as well, the threads of scikit-learn wait for each other longer than they work."""
    with threadpool_limits(1, user_api="openmp"):
        yield


def as_fitted(estimator, matrix, *, slope=1.0, intercept=0.0):
    return SimpleNamespace(
        estimator=estimator, slope=slope, intercept=intercept, background=background_of(matrix, random_state=1)
    )


@pytest.fixture(scope="module")
def data():
    """Numbers, codes of levels and missing values, all of which decide."""
    matrix = np.column_stack(
        [RNG.normal(size=ROWS), RNG.integers(0, 3, ROWS), RNG.normal(size=ROWS), RNG.normal(size=ROWS)]
    ).astype(float)
    matrix[RNG.random((ROWS, 4)) < 0.15] = np.nan
    score = np.nan_to_num(matrix[:, 0], nan=1.5) + 2 * (matrix[:, 1] == 1) - np.nan_to_num(matrix[:, 2], nan=-1)
    return matrix, score + RNG.normal(size=ROWS) > 0.5


@pytest.fixture(scope="module")
def trees(data):
    """Deep enough that a feature decides more than once on a path."""
    return HistGradientBoostingClassifier(
        max_iter=6, max_leaf_nodes=12, min_samples_leaf=5, categorical_features=[1], early_stopping=False
    ).fit(*data)


# -- Shapley values of trees -------------------------------------------------------------------------------------------


def conditional_mean(tree, row, known, node=0):
    """What a tree says of a row of which only some features are known: it goes both ways where it knows nothing."""
    here = tree.nodes[node]
    if here["is_leaf"]:
        return here["value"]
    left, right = int(here["left"]), int(here["right"])
    if here["feature_idx"] not in known:
        mean = sum(tree.nodes[at]["count"] * conditional_mean(tree, row, known, at) for at in (left, right))
        return mean / here["count"]
    x = row[here["feature_idx"]]
    if np.isnan(x):
        goes_left = here["missing_go_to_left"]
    elif here["is_categorical"]:
        word = tree.raw_left_cat_bitsets[here["bitset_idx"]][int(x) // 32]
        goes_left = int(word) >> (int(x) % 32) & 1
    else:
        goes_left = x <= here["num_threshold"]
    return conditional_mean(tree, row, known, left if goes_left else right)


def shapley_values(value, features):
    """By definition: the mean over all coalitions of what a feature adds, each size with the same weight."""
    found = np.zeros(features)
    for feature in range(features):
        others = [other for other in range(features) if other != feature]
        for size in range(features):
            for coalition in combinations(others, size):
                gain = value({*coalition, feature}) - value(set(coalition))
                found[feature] += gain / (features * comb(features - 1, size))
    return found


def test_trees_are_explained_by_the_shapley_values_of_their_own_counts(data, trees):
    matrix, _ = data
    design = Design(matrix[:12], FEATURES)
    base, contributions = explain(as_fitted(trees, matrix), design)
    theirs = [1, 0, 2, 3]  # scikit-learn puts the categorical feature first
    for row, found in zip(matrix[:12, theirs], contributions[:, theirs], strict=True):

        def value(known, row=row):
            return sum(conditional_mean(tree, row, known) for (tree,) in trees._predictors)  # noqa: SLF001  the nodes are the truth

        assert found == pytest.approx(shapley_values(value, 4), abs=1e-12)
        assert base == pytest.approx(value(set()) + trees._baseline_prediction[0, 0], abs=1e-12)  # noqa: SLF001


def test_contributions_of_trees_sum_to_the_calibrated_log_odds(data, trees):
    matrix, _ = data
    base, contributions = explain(as_fitted(trees, matrix, slope=0.8, intercept=-0.3), Design(matrix, FEATURES))
    assert base + contributions.sum(axis=1) == pytest.approx(-0.3 + 0.8 * trees.decision_function(matrix), abs=1e-12)


def test_trees_that_never_split_say_the_same_of_everybody():
    matrix = RNG.normal(size=(300, 2))
    stump = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=200).fit(matrix, matrix[:, 0] > 0)
    base, contributions = explain(as_fitted(stump, matrix), Design(matrix, FEATURES[::2]))
    assert not contributions.any()
    assert base == pytest.approx(stump.decision_function(matrix)[0])


def test_of_no_rows_there_is_nothing_to_explain(data, trees):
    base, contributions = explain(as_fitted(trees, data[0]), Design(data[0][:0], FEATURES))
    assert np.isnan(base)
    assert contributions.shape == (0, 4)


def test_many_rows_in_threads_are_explained_as_a_few_are(trees, data):
    matrix = np.tile(data[0], (9, 1))
    base, contributions = explain(as_fitted(trees, matrix), Design(matrix, FEATURES))
    assert base + contributions.sum(axis=1) == pytest.approx(trees.decision_function(matrix), abs=1e-12)
    assert np.array_equal(contributions[: 2 * ROWS], np.tile(contributions[:ROWS], (2, 1)))


def with_other_trees(model, change):
    """The model as a scikit-learn would be that keeps its trees in another way."""
    predictors = deepcopy(model._predictors)  # noqa: SLF001
    change(predictors[0])
    kept = ("is_categorical_", "n_features_in_", "_baseline_prediction", "_preprocess_X", "decision_function")
    return SimpleNamespace(_predictors=predictors, **{name: getattr(model, name) for name in kept})


def add_one(field):
    def change(predictors):
        predictors[0].nodes[field] += 1

    return change


@pytest.mark.parametrize(
    "change", [add_one("value"), add_one("count"), add_one("num_threshold"), list.clear, lambda one: one.append(None)]
)
def test_trees_kept_in_another_way_are_sampled_rather_than_explained_wrongly(data, trees, change):
    matrix, _ = data
    design = Design(matrix[:20], FEATURES)
    known = explain(as_fitted(with_other_trees(trees, lambda _: None), matrix), design)
    assert np.array_equal(known.contributions, explain(as_fitted(trees, matrix), design).contributions)
    found = explain(as_fitted(with_other_trees(trees, change), matrix), design)
    sampled = sampled_contributions(trees.decision_function, design.matrix, background_of(matrix, random_state=1))
    assert np.array_equal(found.contributions, sampled.contributions)
    assert not np.allclose(found.contributions, known.contributions)


# -- Shapley values of anything ----------------------------------------------------------------------------------------


def interventional(score, row, background):
    """Shapley values by definition against a background: unknown features are those of its rows."""

    def value(known):
        mixed = background.copy()
        mixed[:, sorted(known)] = row[sorted(known)]
        return score(mixed).mean()

    return shapley_values(value, len(row))


def test_sampling_is_exact_where_features_act_in_pairs():
    matrix, background = RNG.normal(size=(6, 4)), RNG.normal(size=(9, 4))

    def score(x):
        return x[:, 0] * x[:, 1] - 2 * x[:, 2] * x[:, 3] + x[:, 0] ** 3

    found = sampled_contributions(score, matrix, background)
    for row, contributions in zip(matrix, found.contributions, strict=True):
        assert contributions == pytest.approx(interventional(score, row, background), abs=1e-12)


def test_sampling_is_as_near_to_the_truth_as_its_errors_say_and_always_sums_up():
    matrix, background = RNG.normal(size=(40, 4)), RNG.normal(size=(200, 4))

    def score(x):
        return x[:, 0] * x[:, 1] * x[:, 2] + np.maximum(x[:, 0], x[:, 3])

    found = sampled_contributions(score, matrix, background, random_state=3)
    truth = np.array([interventional(score, row, background) for row in matrix])
    away = (found.contributions - truth) / found.standard_errors
    assert np.sqrt((away**2).mean()) < 1.1  # the background itself is known to the truth, so less than 1
    assert np.sqrt((away**2).mean()) > 0.1
    assert found.base == pytest.approx(score(background).mean())
    assert found.base + found.contributions.sum(axis=1) == pytest.approx(score(matrix), abs=1e-12)


def test_sampling_says_the_same_of_a_row_whichever_others_are_there():
    matrix, background = RNG.normal(size=(30, 3)), RNG.normal(size=(20, 3))

    def score(x):
        return np.prod(x, axis=1)

    together = sampled_contributions(score, matrix, background, random_state=1)
    alone = sampled_contributions(score, matrix[7:8], background, random_state=1)
    assert np.array_equal(together.contributions[7:8], alone.contributions)
    other = sampled_contributions(score, matrix, background, random_state=2)
    assert not np.allclose(together.contributions, other.contributions)
    assert np.isnan(sampled_contributions(score, matrix, background[:1]).standard_errors).all()
    assert sampled_contributions(score, matrix[:0], background).contributions.shape == (0, 3)


def test_sampling_in_parts_is_sampling(monkeypatch):
    matrix, background = RNG.normal(size=(50, 3)), RNG.normal(size=(10, 3))
    whole = sampled_contributions(lambda x: np.prod(x, axis=1), matrix, background)
    monkeypatch.setattr(shapley_sampling, "ROWS_AT_ONCE", 7)
    parts = sampled_contributions(lambda x: np.prod(x, axis=1), matrix, background)
    assert np.array_equal(whole.contributions, parts.contributions)
    assert np.array_equal(whole.standard_errors, parts.standard_errors)


def test_a_classifier_of_the_callers_is_explained_by_sampling(data):
    matrix = np.nan_to_num(data[0][:, [0, 2]])
    forest = RandomForestClassifier(8, max_depth=3, random_state=0).fit(matrix, data[1])
    base, contributions = explain(as_fitted(forest, matrix, slope=2.0), Design(matrix[:20], FEATURES[::2]))
    probability = np.clip(forest.predict_proba(matrix[:20])[:, 1], 1e-7, 1 - 1e-7)
    log_odds = np.log(probability / (1 - probability))
    assert base + contributions.sum(axis=1) == pytest.approx(2 * log_odds)


def test_a_model_that_takes_its_score_apart_itself_is_asked(data):
    matrix, _ = data
    linear = SimpleNamespace(contributions=lambda rows: (1.0, np.full(rows.shape, 0.5)))
    base, contributions = explain(as_fitted(linear, matrix, slope=2.0, intercept=-3.0), Design(matrix, FEATURES))
    assert base == -1.0
    assert (contributions == 1.0).all()


def test_the_background_is_the_training_rows_or_a_sample_of_them():
    few, many = RNG.normal(size=(10, 2)), RNG.normal(size=(1000, 2))
    assert np.array_equal(background_of(few), few)
    drawn = background_of(many, random_state=4)
    assert len(np.unique(drawn, axis=0)) == _reasons.BACKGROUND_ROWS
    assert np.array_equal(drawn, background_of(many, random_state=4))


# -- tables ------------------------------------------------------------------------------------------------------------

EXPLAINED = _reasons.Explained(
    -1.0,
    np.array([[np.log(2), -np.log(4), 0.1, 0.0], [0.3, 0.2, -0.3, 0.0], [0.0, 0.0, 0.0, 0.0]]),
)
SEEN = Design(np.array([[210.0, 1, 5.25, 1], [np.nan, 2, 1e6, 1], [1, 0, 1, 1]]), FEATURES)
KEYS = {"customer_id": np.array(["a", "b", "c"], object)}


def test_contributions_are_one_column_a_feature_and_sum_to_the_log_odds():
    columns = contribution_columns(KEYS, SEEN, EXPLAINED)
    assert list(columns) == ["customer_id", "base", "recency_days", "city", "amount", "noise", "log_odds"]
    assert list(columns)[1:] == contribution_schema(SEEN.names).names()
    assert columns["log_odds"] == pytest.approx([-1 + np.log(2) - np.log(4) + 0.1, -0.8, -1])
    assert columns["city"] == pytest.approx([-np.log(4), 0.2, 0])


def test_the_weightiest_reasons_are_said_in_words():
    columns = reason_columns(KEYS, SEEN, EXPLAINED, n=2)
    assert list(columns)[1:] == REASON_SCHEMA.names()
    rows = list(zip(*(columns[name] for name in columns if name not in {"contribution", "odds_factor"}), strict=True))
    assert rows == [
        ("a", 1, "city", "Opole", "lowers", "city = Opole (odds x 0.25)"),
        ("a", 2, "recency_days", "210", "raises", "recency_days = 210 (odds x 2)"),
        ("b", 1, "recency_days", "missing", "raises", "recency_days is missing (odds x 1.35)"),
        ("b", 2, "amount", "1000000", "lowers", "amount = 1000000 (odds x 0.741)"),
    ]  # c has no reasons; of reasons that weigh the same, the earlier feature comes first
    assert columns["odds_factor"] == pytest.approx([1 / 4, 2, np.exp(0.3), np.exp(-0.3)])
    assert columns["contribution"] == pytest.approx(np.log(columns["odds_factor"]))


def test_no_more_reasons_than_features_and_none_of_no_rows():
    assert list(reason_columns(KEYS, SEEN, EXPLAINED, n=9)["rank"]) == [1, 2, 3, 1, 2, 3]
    nobody = _reasons.Explained(0.0, np.empty((0, 4)))
    columns = reason_columns({"customer_id": np.array([], object)}, SEEN.rows(np.array([], int)), nobody)
    assert {len(values) for values in columns.values()} == {0}


# -- importance --------------------------------------------------------------------------------------------------------


def held_out(rows, *, seed=0, copies=1, predict=None):
    """Rows whose outcome depends on the first feature only, as the model knows it."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(rows, 3))

    def probabilities(x):
        return 1 / (1 + np.exp(-2 * x[:, 0]))

    outcome = rng.random(rows) < probabilities(matrix)
    return HeldOut(
        predict or probabilities,
        np.repeat(matrix, copies, axis=0),
        np.repeat(outcome, copies),
        np.repeat(np.arange(rows), copies),
    )


def test_the_feature_that_decides_is_the_important_one_and_the_others_cost_nothing():
    columns = importance_columns(["known", "b", "a"], [held_out(400), held_out(300, seed=1)], np.ones((5, 3)))
    assert list(columns) == IMPORTANCE_SCHEMA.names()
    assert list(columns["feature"]) == ["known", "b", "a"]
    assert columns["log_loss_increase"][0] > 0.3
    assert columns["auc_drop"][0] == pytest.approx(0.87 - 0.5, abs=0.05)
    assert columns["auc_drop_low"][0] > 0.25
    for name in ("log_loss_increase", "auc_drop", "auc_drop_low", "auc_drop_high"):
        assert list(columns[name][1:]) == [0, 0]
    assert list(columns["mean_abs_contribution"]) == [1, 1, 1]


def test_the_drop_in_auc_is_the_one_of_shuffling():
    fold = held_out(300)
    columns = importance_columns(["a", "b", "c"], [fold], np.ones((1, 3)), repeats=1, random_state=5)
    shuffled = fold.matrix.copy()
    shuffled[:, 0] = np.random.default_rng([5, 0]).permutation(shuffled[:, 0])
    before, after = fold.predict(fold.matrix), fold.predict(shuffled)
    drop = roc_auc_score(fold.outcome, before) - roc_auc_score(fold.outcome, after)
    assert columns["auc_drop"][0] == pytest.approx(drop)
    assert columns["log_loss_increase"][0] == pytest.approx(
        log_loss(fold.outcome, after) - log_loss(fold.outcome, before)
    )


def test_the_interval_is_that_of_customers_drawn_again():
    """Bootstrap of the AUC itself, row by row, with the same shuffled rows."""
    fold = held_out(250)
    probability = fold.predict(fold.matrix + np.random.default_rng(2).normal(size=fold.matrix.shape))

    parts = _importance._placed(fold, probability)  # noqa: SLF001  what is drawn is shown to nobody
    assert parts[:, 1].mean() == pytest.approx(roc_auc_score(fold.outcome, probability))
    error = _importance._customer_error(parts, [fold])[1]  # noqa: SLF001
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, 250, 250) for _ in range(500)]
    drawn = [roc_auc_score(fold.outcome[draw], probability[draw]) for draw in draws]
    assert error == pytest.approx(np.std(drawn), rel=0.12)


def test_rows_of_one_customer_are_no_more_certain_than_one_row():
    once = importance_columns(["a", "b", "c"], [held_out(200)], np.ones((1, 3)), repeats=30)
    often = importance_columns(["a", "b", "c"], [held_out(200, copies=4)], np.ones((1, 3)), repeats=30)
    width = [found["auc_drop_high"][0] - found["auc_drop_low"][0] for found in (once, often)]
    assert width[1] > 0.6 * width[0]  # four times the rows, taken for independent, would halve it


def test_threads_change_nothing_about_importance():
    folds = [held_out(60), held_out(80, seed=1)]
    alone, together = (
        importance_columns(["a", "b", "c"], folds, np.ones((1, 3)), in_threads=in_threads)
        for in_threads in (False, True)
    )
    assert all(np.array_equal(alone[name], together[name]) for name in alone)


def test_without_both_outcomes_contributions_alone_order_the_features():
    fold = held_out(50)
    only = HeldOut(fold.predict, fold.matrix, np.ones(50, bool), fold.group)
    columns = importance_columns(["a", "b", "c"], [only], np.array([[0.1, -3.0, 1.0]]))
    assert list(columns["feature"]) == ["b", "c", "a"]
    assert np.isnan(columns["auc_drop"]).all()
    assert np.isnan(columns["log_loss_increase_low"]).all()


def test_shapley_values_by_definition_are_the_mean_over_all_orders():
    """The oracle of this file against the other definition."""

    def value(known):
        return float((0 in known) * 2 + (1 in known) * (2 in known) * 3 + len(known) ** 2)

    means = np.zeros(3)
    for order in permutations(range(3)):
        for at, feature in enumerate(order):
            means[feature] += (value(set(order[: at + 1])) - value(set(order[:at]))) / 6
    assert shapley_values(value, 3) == pytest.approx(means)
