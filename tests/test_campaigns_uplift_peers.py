"""With the same estimators, uplift learners predict what scikit-uplift and causalml predict, to 1e-9."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from crmlytics.campaigns.uplift._learners import ClassTransformation, Lesson, SLearner, TLearner, XLearner
from crmlytics.campaigns.uplift.model import UpliftModel

LINE = LinearRegression()
TREE = DecisionTreeRegressor(max_depth=3, random_state=0)
LOGIT = LogisticRegression(solver="newton-cholesky", tol=1e-12)

# causalml 0.18.0 with scikit-learn 1.9.1 on the data of _customers(): m.fit_predict(X=X, treatment=arm, y=y), and for
# the X-learner p={1: share of arm 1 in arms 0 and 1, 2: likewise}. Effects of arms 1 and 2 on the first three
# customers, and their sums over all 600. Its S-learner has the treatment first, ours last: the same for lines.
CAUSALML = {
    "BaseSRegressor(LINE)": (
        [[3.265581169118393, 3.3194239925025464]] * 3,
        [1959.3487014710272, 1991.6543955015386],
    ),
    "BaseTRegressor(LINE)": (
        [
            [-0.9015838328925021, 2.130614444514073],
            [-1.927242400602248, -0.23832701333294182],
            [3.7551088437613966, 8.110707526189524],
        ],
        [1863.5626214188649, 1944.386621933972],
    ),
    "BaseTRegressor(TREE)": (
        [
            [23.946428571428573, 17.884615384615383],
            [23.946428571428573, 17.884615384615383],
            [9.42722910835666, -1.2362369337979082],
        ],
        [2175.0820778630487, 2511.5737509262685],
    ),
    "BaseXRegressor(TREE)": (
        [
            [4.298830614364329, 13.600419978026414],
            [3.671035999654831, 13.600419978026414],
            [4.298830614364329, 4.634498691056017],
        ],
        [2238.550333208185, 2395.8072730987237],
    ),
    "BaseSClassifier(LOGIT)": (
        [
            [0.03642667846013742, 0.06530587942732624],
            [0.036754470734074285, 0.0643595346439042],
            [0.028294616952894175, 0.05606585729668531],
        ],
        [19.52255701321391, 33.17899297136576],
    ),
    "BaseTClassifier(LOGIT)": (
        [
            [-0.040155214060172084, 0.041080892400549796],
            [-0.04616459733921302, 0.012287243100068568],
            [-0.017744472981926662, 0.09308575077925774],
        ],
        [19.594130369362393, 34.37306178787608],
    ),
    "BaseXClassifier(outcome_learner=LOGIT, effect_learner=LINE)": (
        [
            [-0.029772804345579985, 0.04807699506612645],
            [-0.03409330832967969, 0.02317664237980834],
            [-0.024412553321251043, 0.09598287414358117],
        ],
        [19.56150180932491, 34.264178210567664],
    ),
}
OURS = {
    "BaseSRegressor(LINE)": (SLearner(LINE), "amount"),
    "BaseTRegressor(LINE)": (TLearner(LINE), "amount"),
    "BaseTRegressor(TREE)": (TLearner(TREE), "amount"),
    "BaseXRegressor(TREE)": (XLearner(TREE, TREE), "amount"),
    "BaseSClassifier(LOGIT)": (SLearner(LOGIT), "yes"),
    "BaseTClassifier(LOGIT)": (TLearner(LOGIT), "yes"),
    "BaseXClassifier(outcome_learner=LOGIT, effect_learner=LINE)": (XLearner(LOGIT, LINE), "yes"),
}


def _customers():
    rng = np.random.default_rng(7)
    X = rng.integers(-3, 4, (600, 3)).astype(float)
    arm = rng.integers(0, 3, 600)
    yes = rng.random(600) < 0.2 + 0.05 * (X[:, 0] > 0) + 0.1 * (arm > 0) * (X[:, 1] > 0)
    return X, arm, {"yes": yes.astype(float), "amount": yes * rng.integers(10, 100, 600).astype(float)}


def _lesson(X, outcome, treated):
    return Lesson(X, outcome, treated, np.full(len(X), treated.mean()), np.arange(len(X)))


@pytest.mark.parametrize("peer", CAUSALML)
def test_predicts_what_causalml_predicts(peer):
    X, arm, outcomes = _customers()
    learner, outcome = OURS[peer]
    found = []
    for code in (1, 2):
        rows = (arm == 0) | (arm == code)
        found.append(learner.fit(_lesson(X[rows], outcomes[outcome][rows], arm[rows] == code)).predict(X))
    first, total = CAUSALML[peer]
    np.testing.assert_allclose(np.transpose(found)[:3], first, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(np.sum(found, axis=1), total, rtol=1e-9)


def _equal_arms():
    """As many treated as in control: what class transformation is made for."""
    X, _, outcomes = _customers()
    treated = np.random.default_rng(1).permutation(np.arange(600) % 2 == 0)
    return X, treated, outcomes


SKLIFT = {
    "s": lambda models, base: models.SoloModel(clone(base)),
    "s with interactions": lambda models, base: models.SoloModel(clone(base), method="treatment_interaction"),
    "t": lambda models, base: models.TwoModels(clone(base), clone(base), method="vanilla"),
    "class transformation": lambda models, base: models.ClassTransformation(clone(base)),
}
BASES = [
    LOGIT,
    DecisionTreeClassifier(max_depth=4, random_state=0),
    HistGradientBoostingClassifier(max_iter=5, random_state=0),
]


@pytest.mark.parametrize("base", BASES, ids=lambda base: type(base).__name__)
@pytest.mark.parametrize("learner", SKLIFT)
def test_predicts_what_scikit_uplift_predicts(learner, base):
    models = pytest.importorskip("sklift.models")
    X, treated, outcomes = _equal_arms()
    theirs = SKLIFT[learner](models, base).fit(X, outcomes["yes"].astype(int), treated.astype(int)).predict(X)
    table = pd.DataFrame(X, columns=["a", "b", "c"]).assign(
        customer_id=range(600), arm=np.where(treated, "mail", "control"), converted=outcomes["yes"] == 1
    )
    model = UpliftModel(learner=learner, base_model=base).fit(table)
    np.testing.assert_allclose(model.predict(table)[:, 0], theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("learner", ["s", "s with interactions", "t"])
def test_predicts_amounts_as_scikit_uplift_does(learner):
    models = pytest.importorskip("sklift.models")
    X, treated, outcomes = _equal_arms()
    theirs = SKLIFT[learner](models, TREE).fit(X, outcomes["amount"], treated.astype(int)).predict(X)
    lesson = _lesson(X, outcomes["amount"], treated)
    ours = {"s": SLearner(TREE), "s with interactions": SLearner(TREE, interactions=True), "t": TLearner(TREE)}
    np.testing.assert_allclose(ours[learner].fit(lesson).predict(X), theirs, rtol=0, atol=1e-9)


def test_class_transformation_is_right_where_scikit_uplift_is_not():
    """With one in four treated it does not weigh: an effect that all share, 0.3 - 0.1, becomes 0.5."""
    from sklearn.dummy import DummyClassifier

    models = pytest.importorskip("sklift.models")
    treated = np.arange(400) % 4 == 0
    outcome = np.zeros(400)
    outcome[np.flatnonzero(treated)[:30]] = 1  # 30 of 100
    outcome[np.flatnonzero(~treated)[:30]] = 1  # 30 of 300
    X = np.zeros((400, 1))
    theirs = models.ClassTransformation(DummyClassifier()).fit(X, outcome.astype(int), treated.astype(int)).predict(X)
    ours = ClassTransformation(DummyClassifier()).fit(_lesson(X, outcome, treated)).predict(X)
    assert ours[0] == pytest.approx(0.3 - 0.1)
    assert theirs[0] == pytest.approx(2 * (30 + 270) / 400 - 1)
