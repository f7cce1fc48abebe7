"""What uplift learners promise: their papers' formulas, customers held out as a whole, no weight for noise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from crmlytics._kernels.uplift_curves import qini
from crmlytics.campaigns.uplift._base_models import Columns, OnDrivers, SmoothRidge, driver_p_values
from crmlytics.campaigns.uplift._choosing import FOLDS, Contest, cut, learn, mixed_by_others, mixing_weights
from crmlytics.campaigns.uplift._learners import (
    ClassTransformation,
    DRLearner,
    Lesson,
    ResponseModel,
    SLearner,
    TLearner,
    XLearner,
    cross_fitted,
    deal,
    pseudo_outcomes,
)
from crmlytics.campaigns.uplift._trial import CHOSEN, RESPONSE
from crmlytics.exceptions import SchemaError
from crmlytics.scoring._encoding import Design, Feature

MEAN, SHARE, LINE = DummyRegressor(), DummyClassifier(), LinearRegression()


def lesson_of(outcome, treated, X=None, propensity=None, group=None):
    outcome, treated = np.array(outcome, float), np.array(treated, bool)
    size = len(outcome)
    X = np.zeros((size, 1)) if X is None else np.array(X, float)
    propensity = np.full(size, treated.mean() if propensity is None else propensity)
    return Lesson(X, outcome, treated, propensity, np.arange(size) if group is None else np.array(group))


FLAGS = lesson_of([1, 1, 1, 0, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0])  # 3 of 4 against 1 of 4
UNEQUAL = lesson_of([1, 0, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0])  # 1 of 2 against 1 of 4


# -- formulas ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lesson", [FLAGS, UNEQUAL], ids=["equal arms", "unequal arms"])
@pytest.mark.parametrize(
    "learner",
    [TLearner(MEAN), TLearner(SHARE), XLearner(MEAN, MEAN), ClassTransformation(SHARE)],
    ids=["T of means", "T of shares", "X", "classes"],
)
def test_without_features_effects_are_differences_of_means(learner, lesson):
    difference = lesson.outcome[lesson.treated].mean() - lesson.outcome[~lesson.treated].mean()
    np.testing.assert_allclose(learner.fit(lesson).predict(np.zeros((2, 1))), [difference] * 2)


def test_a_single_model_that_ignores_the_treatment_sees_no_effect():
    assert SLearner(MEAN).fit(FLAGS).predict(np.zeros((1, 1))).tolist() == [0.0]


def test_lines_need_interactions_to_tell_effects_apart():
    x = np.array([0, 1, 0, 1, 0, 1, 0, 1.0])[:, None]
    lesson = lesson_of([5, 9, 5, 9, 3, 4, 3, 4], [1, 1, 1, 1, 0, 0, 0, 0], x)
    ask = np.array([[0.0], [1.0]])
    np.testing.assert_allclose(SLearner(LINE).fit(lesson).predict(ask), [3.5, 3.5])
    np.testing.assert_allclose(SLearner(LINE, interactions=True).fit(lesson).predict(ask), [2, 5])


def test_the_x_learner_trusts_the_model_of_the_larger_arm():
    """Effects seen in control (from the model of the treated) count by the propensity."""
    x = np.array([0.0, 1, 2, 0, 1, 2])[:, None]
    lesson = lesson_of([4, 6, 8, 1, 1, 4], [1, 1, 1, 0, 0, 0], x, propensity=0.2)
    learner = XLearner(MEAN, LINE).fit(lesson)
    in_control = LINE.fit(x[3:], 6 - np.array([1, 1, 4.0])).predict([[3.0]])[0]  # mean of the treated less each
    in_treated = LINE.fit(x[:3], np.array([4, 6, 8.0]) - 2).predict([[3.0]])[0]  # each less mean of control
    assert learner.predict(np.array([[3.0]]))[0] == pytest.approx(0.2 * in_control + 0.8 * in_treated)


def test_pseudo_outcomes_by_hand():
    lesson = lesson_of([1, 0], [True, False], propensity=0.25)
    found = pseudo_outcomes(lesson, control=np.array([0.1, 0.2]), treated=np.array([0.4, 0.5]))
    np.testing.assert_allclose(found, [0.4 - 0.1 + 0.6 / 0.25, 0.5 - 0.2 + 0.2 / 0.75])


def test_the_dr_learner_is_a_regression_on_pseudo_outcomes_of_models_that_have_not_seen_the_customer():
    rng = np.random.default_rng(2)
    X, treated = rng.normal(size=(60, 2)), rng.random(60) < 0.4
    lesson = lesson_of(X[:, 0] + treated * X[:, 1], treated, X, propensity=0.4)
    fold, expected = deal(lesson, 2, 5), np.empty((2, 60))
    for number in (0, 1):
        for arm in (0, 1):
            rows = (fold != number) & (treated == arm)
            fitted = LinearRegression().fit(X[rows], lesson.outcome[rows])
            expected[arm, fold == number] = fitted.predict(X[fold == number])
    pseudo = [
        e1 - e0 + ((y - e1) / 0.4 if t else -(y - e0) / 0.6)
        for e0, e1, y, t in zip(*expected, lesson.outcome, treated, strict=True)
    ]
    found = DRLearner(LINE, LinearRegression(), random_state=5).fit(lesson).predict(X)
    np.testing.assert_allclose(found, LinearRegression().fit(X, pseudo).predict(X), atol=1e-10)


def test_cross_fitting_shows_no_customer_their_own_outcome():
    """The nearest neighbour of anybody is themselves: had it seen them, no residual would be left."""
    rng = np.random.default_rng(0)
    X, treated = rng.normal(size=(200, 1)), np.arange(200) % 2 == 0
    lesson = lesson_of(rng.normal(size=200), treated, X)
    nearest = KNeighborsRegressor(1)
    own, (control, fresh) = cross_fitted(nearest, lesson, folds=2, random_state=0, fresh=X)
    seen = TLearner(nearest).fit(lesson).predict(X)
    assert np.abs(own - seen).min() > 0
    assert control.shape == fresh.shape == (200,)


@given(
    arms=st.lists(st.tuples(st.booleans(), st.integers(0, 1), st.integers(0, 15)), min_size=1, max_size=60),
    seed=st.integers(0, 3),
)
def test_folds_keep_customers_together_and_are_even(arms, seed):
    treated, outcome, customer = zip(*arms, strict=True)
    group = np.unique(customer, return_inverse=True)[1]
    fold = deal(lesson_of(outcome, treated, group=group, propensity=0.5), 3, seed)
    assert all(len(np.unique(fold[group == one])) == 1 for one in group)
    single = lesson_of(outcome, treated, propensity=0.5)
    fold = deal(single, 3, seed)
    for arm in (False, True):
        for value in (0, 1):
            sizes = np.bincount(fold[(single.treated == arm) & (single.outcome == value)], minlength=3)
            assert sizes.max() - sizes.min() <= 1


def test_class_transformation_says_that_unequal_arms_need_weights():
    with pytest.raises(SchemaError, match=r"unequal size need weights, and KNeighborsClassifier takes none.*dr"):
        ClassTransformation(KNeighborsClassifier()).fit(UNEQUAL)


def test_the_response_model_expects_what_the_treated_do():
    assert ResponseModel(SHARE).fit(FLAGS).predict(np.zeros((1, 1)))[0] == pytest.approx(3 / 4)


# -- choosing ------------------------------------------------------------------------------------------------------


def test_weights_by_hand():
    rest = np.array([1.0, 1, -1, -1, 0.5, -0.5])
    other = np.array([1.0, -1, 1, -1, 0, 0])  # nothing to do with it
    np.testing.assert_allclose(mixing_weights(np.column_stack([rest, other]), rest), [1, 0], atol=1e-6)
    np.testing.assert_allclose(mixing_weights(np.column_stack([2 * rest, other]), rest), [0.5, 0], atol=1e-6)
    np.testing.assert_allclose(mixing_weights(np.column_stack([-rest, other]), rest), [0, 0], atol=1e-6)


def test_weights_are_the_best_of_all_that_are_allowed():
    rng = np.random.default_rng(4)
    steps = np.arange(0, 1.5001, 0.02)
    allowed = [(a, b) for a in steps for b in steps if a + b <= 1.5 + 1e-9]
    for _ in range(5):
        beyond, rest = rng.normal(size=(30, 2)), rng.normal(size=30)
        rest += beyond @ rng.uniform(-1, 2, 2)
        distance = [np.sum((rest - beyond @ weights) ** 2) for weights in allowed]
        found = mixing_weights(beyond, rest)
        assert found.min() >= 0
        assert found.sum() <= 1.5 + 1e-6
        assert np.sum((rest - beyond @ found) ** 2) <= min(distance) + 1e-6
        np.testing.assert_allclose(found, allowed[int(np.argmin(distance))], atol=0.03)


def contest(**learners):
    return Contest(learners, MEAN, is_mixed=True, is_ours=False, random_state=0)


def test_finds_the_learner_that_is_right_and_its_effects():
    rng = np.random.default_rng(1)
    x, treated = rng.normal(size=(1000, 1)), rng.random(1000) < 0.5
    lesson = lesson_of((x[:, 0] + 2) * treated + rng.normal(size=1000), treated, x)
    learnt = learn(lesson, contest(right=TLearner(LINE), blind=TLearner(MEAN)))
    assert learnt.weights["right"] > 0.9
    assert learnt.losses["right"] < learnt.losses["blind"] == pytest.approx(0, abs=0.01)
    np.testing.assert_allclose(learnt.model.predict(np.array([[-1.0], [0], [1]])), [1, 2, 3], atol=0.2)
    np.testing.assert_allclose(learnt.scores[CHOSEN], x[:, 0] + 2, atol=0.5)
    assert set(learnt.scores) == {"right", "blind", CHOSEN, RESPONSE}


def test_learners_are_asked_about_customers_they_have_not_seen():
    """Other outcomes of those held out change what is said of the others, not of them."""
    rng = np.random.default_rng(11)
    X, treated = rng.normal(size=(400, 2)), np.arange(400) % 2 == 0
    lesson = lesson_of(5 + X[:, 0] * treated + rng.normal(size=400), treated, X)
    held = deal(lesson, FOLDS, 0) == 2
    other = lesson_of(np.where(held, rng.uniform(1, 50, 400), lesson.outcome), treated, X)
    learners = {"t": TLearner(LINE), "x": XLearner(LINE, LINE), "dr": DRLearner(LINE, LINE), "rough": TLearner(MEAN)}
    one, two = learn(lesson, contest(**learners)).scores, learn(other, contest(**learners)).scores
    assert set(one) == {*learners, CHOSEN, RESPONSE}
    for name in [*learners, RESPONSE]:
        np.testing.assert_allclose(two[name][held], one[name][held], atol=1e-9)
        assert (two[name][~held] != one[name][~held]).any()


def test_each_fold_is_mixed_by_the_weights_of_the_others():
    rng = np.random.default_rng(12)
    fold, beyond = np.arange(100) % FOLDS, rng.normal(size=(100, 2))
    rest = beyond @ [0.3, 0.6] + rng.normal(size=100)
    found = mixed_by_others(beyond, rest, fold)
    for number in range(FOLDS):
        mine = fold == number
        weights = mixing_weights(beyond[~mine], rest[~mine])
        np.testing.assert_allclose(found[mine], beyond[mine] @ weights, atol=1e-12)


def test_choosing_flatters_nothing():
    """Of noise, the mean over 60 trials of what was chosen must not rank better than chance."""
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        X, treated = rng.normal(size=(200, 3)), np.arange(200) % 2 == 0
        lesson = lesson_of(rng.normal(size=200), treated, X)
        learners = {
            "t": TLearner(LINE),
            "s": SLearner(LINE, interactions=True),
            "rough": TLearner(KNeighborsRegressor(9)),
        }
        said = learn(lesson, contest(**learners)).scores[CHOSEN]
        found.append(qini(said, lesson.outcome, treated, lesson.propensity))
    assert np.mean(found) < 2 * np.std(found) / np.sqrt(len(found))


def test_what_was_chosen_is_no_noise_learnt_by_heart():
    """Outcomes are noise, and nearest neighbours learn noise by heart: seen, they would agree with it."""
    rng = np.random.default_rng(3)
    X, treated = rng.normal(size=(1500, 1)), np.arange(1500) % 2 == 0
    lesson = lesson_of(rng.normal(size=1500), treated, X)
    learners = {str(count): TLearner(KNeighborsRegressor(count)) for count in (1, 2, 5, 20)}
    learnt = learn(lesson, contest(**learners))
    sign = np.where(treated, 1, -1) * lesson.outcome
    said = learnt.scores[CHOSEN]
    assert abs(stats.pearsonr(learnt.scores["1"], sign).statistic) < 0.08  # three standard errors
    assert said.std() == 0 or stats.pearsonr(said, sign).statistic < 0.08
    assert sum(learnt.weights.values()) < 0.1


def test_one_learner_is_taken_as_it_is():
    x = np.arange(40.0)[:, None]
    lesson = lesson_of(np.arange(40) % 5, np.arange(40) % 2 == 0, x)
    alone = Contest({"t": TLearner(LINE)}, LINE, is_mixed=False, is_ours=False, random_state=0)
    learnt = learn(lesson, alone)
    np.testing.assert_array_equal(learnt.model.predict(x), TLearner(LINE).fit(lesson).predict(x))
    assert set(learnt.scores) == {"t", RESPONSE}


def test_the_largest_hundredth_of_amounts_is_cut():
    amounts = np.concatenate([np.zeros(1000), np.arange(1, 102), [-500.0]])
    reach = np.quantile(np.append(np.arange(1, 102), 500), 0.99)
    found = cut(amounts)
    assert found.max() == found[100 + 1000] == pytest.approx(min(reach, 101))
    assert found[-1] == -reach
    np.testing.assert_array_equal(found[:1090], amounts[:1090])
    assert cut(np.zeros(3)).tolist() == [0, 0, 0]


def test_the_mean_effect_is_that_of_amounts_as_they_are():
    """One order in a hundred is huge, all of them among the treated: cut to learn from, whole in the mean."""
    rng = np.random.default_rng(0)
    treated = np.arange(2000) % 2 == 0
    outcome = np.where(rng.random(2000) < 0.5, 10.0, 0)
    outcome[np.flatnonzero(treated)[:5]] = 10_000
    lesson = lesson_of(outcome, treated, rng.normal(size=(2000, 1)))
    ours = Contest({"t": TLearner(MEAN)}, MEAN, is_mixed=True, is_ours=True, random_state=0)
    difference = outcome[treated].mean() - outcome[~treated].mean()
    assert learn(lesson, ours).model.predict(lesson.matrix).mean() == pytest.approx(difference, abs=0.2)


# -- our base models -----------------------------------------------------------------------------------------------


def test_drivers_are_found_by_their_line_or_by_their_eighths():
    rng = np.random.default_rng(7)
    X = rng.normal(size=(4000, 12))
    X[:, 5] = rng.random(4000) < 0.001  # an indicator that is nearly always nought
    y = 0.2 * X[:, 0] + 0.3 * (np.abs(X[:, 1]) < 0.5) + rng.normal(size=4000)  # a line, and a hill that no line sees
    assert OnDrivers(LINE).fit(X, y).kept_.tolist() == [0, 1]
    line = stats.linregress(X[:, 0], y).pvalue
    part = np.searchsorted(np.quantile(X[:, 1], np.arange(1, 8) / 8), X[:, 1], side="right")
    eighths = stats.f_oneway(*(y[part == number] for number in range(8))).pvalue
    np.testing.assert_allclose(driver_p_values(X, y)[:2], [2 * line, 2 * eighths], rtol=1e-6)


def test_without_drivers_everybody_has_the_mean():
    rng = np.random.default_rng(8)
    X, y = rng.normal(size=(500, 3)), rng.normal(size=500)
    found = OnDrivers(KNeighborsRegressor(1)).fit(X, y)
    np.testing.assert_allclose(found.predict(X[:4]), np.full(4, y.mean()))
    assert driver_p_values(np.zeros((500, 1)), y).tolist() == [1.0]


def test_the_line_of_the_drivers_is_one_more_column():
    rng = np.random.default_rng(9)
    X = rng.normal(size=(3000, 3))
    y = (X[:, 0] + X[:, 1] > 1) + 0.1 * rng.normal(size=3000)
    columns = OnDrivers(LINE, with_line=True).fit(X, y).columns(X[:5])
    assert columns.shape == (5, 3)
    assert np.corrcoef(columns[:, 2], X[:5, 0] + X[:5, 1])[0, 1] > 0.999


def test_smooth_lines_bend():
    x = np.linspace(-1, 1, 2000)[:, None]
    X = np.hstack([x, np.zeros_like(x), (x > 0.999)])  # with a constant, and an indicator that is nearly always nought
    y = np.maximum(x[:, 0] - 0.2, 0)
    np.testing.assert_allclose(SmoothRidge().fit(X, y).predict(X)[100:-100], y[100:-100], atol=0.02)


def test_columns_fill_what_is_missing_and_spread_levels():
    features = (Feature("a"), Feature("plan", ("basic", "plus")), Feature("b"))
    design = Design(np.array([[1.0, 0, 5], [np.nan, 1, 6], [3, np.nan, 7], [9, 1, 8]]), features)
    columns = Columns.learn(design)
    assert columns.matrix(design).tolist() == [
        [1, 5, 0, 1, 0],
        [3, 6, 1, 0, 1],
        [3, 7, 0, 0, 0],
        [9, 8, 0, 0, 1],
    ]
    fresh = Design(np.array([[np.nan, 0, np.nan]]), features)
    assert columns.matrix(fresh).tolist() == [[3, 6.5, 1, 1, 0]]
