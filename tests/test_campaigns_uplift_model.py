"""What UpliftModel promises: uplift of each arm on any engine, honest evaluation, nothing learnt from after contact."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeRegressor
from threadpoolctl import threadpool_limits

from crmlytics._frames import to_pandas
from crmlytics._kernels.classification import auc
from crmlytics._kernels.uplift_curves import qini
from crmlytics.campaigns.uplift._trial import AFTER_CONTACT, CHOSEN, RESPONSE
from crmlytics.campaigns.uplift.model import UpliftModel
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import check_table_estimator, records

ROWS = 900
LOGIT = LogisticRegression(solver="newton-cholesky", tol=1e-8)
TREE = DecisionTreeRegressor(max_depth=2)


def experiment(rows=ROWS, seed=0, arms=("control", "mail", "call")):
    """Mail works on those with many visits; calls drive customers of the plus plan away."""
    rng = np.random.default_rng(seed)
    visits, plan = rng.integers(0, 10, rows), rng.choice(["basic", "plus"], rows)
    arm = rng.choice(list(arms), rows)
    chance = 0.3 + (arm == "mail") * 0.05 * visits - (arm == "call") * 0.25 * (plan == "plus")
    return {
        "customer_id": list(range(rows)),
        "arm": arm.tolist(),
        "visits": visits.tolist(),
        "plan": plan.tolist(),
        "age": [None if one % 7 == 0 else float(20 + one % 50) for one in range(rows)],
        "converted": (rng.random(rows) < chance).tolist(),
    }


def table_of(**options):
    return pd.DataFrame(experiment(**options))


TABLE = table_of()
MAIL = TABLE[TABLE["arm"] != "call"].reset_index(drop=True)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Fits are small here: on a busy machine threads of OpenMP wait for each other far longer than they work."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def fitted():
    return UpliftModel().fit(MAIL)


def quick(**options):
    return UpliftModel(**{"learner": "t", "base_model": LOGIT, **options})


# -- scores --------------------------------------------------------------------------------------------------------


def test_scores_every_kind_of_frame_alike(frame):
    expected = quick().fit(TABLE)
    given = frame(experiment())
    scores = quick().fit(given).score_table(given)
    assert type(scores) is type(given)
    found = to_pandas(scores)
    names = ["uplift_call", "uplift_call_standard_error", "uplift_mail", "uplift_mail_standard_error"]
    assert list(found.columns) == ["customer_id", *names, "best_arm", "best_uplift"]
    assert found["customer_id"].tolist() == list(range(ROWS))
    uplift = expected.predict(TABLE)
    np.testing.assert_allclose(found[["uplift_call", "uplift_mail"]].to_numpy(float), uplift, atol=1e-9)
    errors = [
        learnt.calibration.standard_error(said)
        for learnt, said in zip(expected.learnt_.values(), uplift.T, strict=True)
    ]
    np.testing.assert_allclose(found[names[1::2]].to_numpy(float), np.column_stack(errors), atol=1e-9)
    best = [None if max(row) <= 0 else ("call", "mail")[int(np.argmax(row))] for row in uplift.tolist()]
    assert [row[5] for row in records(scores)] == best
    assert None in best
    assert {"call", "mail"} <= set(best)
    np.testing.assert_allclose(found["best_uplift"].to_numpy(float), uplift.max(axis=1), atol=1e-9)


def test_keeps_the_promises_of_every_estimator():
    check_table_estimator(
        UpliftModel(base_model=LOGIT, effect_model=TREE), table_of(rows=400), kinds=["pandas"], tolerance=1e-6
    )


def test_finds_whom_the_arms_change():
    model = UpliftModel().fit(table_of(rows=3000, arms=("control", "mail")))
    ask = pd.DataFrame({"customer_id": [0, 1], "visits": [0, 9], "plan": "basic", "age": 30.0})
    never, often = model.score_table(ask)["uplift_mail"]
    assert never == pytest.approx(0, abs=0.1)
    assert often == pytest.approx(0.45, abs=0.12)


def test_arms_are_compared_with_control_alone():
    both = quick().fit(TABLE)
    alone = quick().fit(MAIL)
    assert both.arms_ == ("call", "mail")
    np.testing.assert_allclose(both.predict(MAIL)[:, 1], alone.predict(MAIL)[:, 0], atol=1e-9)


@pytest.mark.parametrize("learner", ["s", "s with interactions", "t", "x", "dr", "class transformation"])
def test_every_learner_works_with_ours_and_with_yours(learner):
    planted = MAIL["visits"].to_numpy(float)
    for base_model in ("auto", LOGIT):
        said = UpliftModel(learner=learner, base_model=base_model).fit(MAIL).predict(MAIL)
        assert said.shape == (len(MAIL), 1)
        if learner != "s":  # lines and few customers: the treatment shifts all alike
            assert np.corrcoef(said[:, 0], planted)[0, 1] > 0.5


def test_amounts_are_in_their_units_and_the_rest_is_theirs():
    rng = np.random.default_rng(1)
    table = MAIL.assign(revenue_amount=np.where(MAIL["converted"], rng.lognormal(3, 1, len(MAIL)), 0.0))
    means = table.groupby("arm")["revenue_amount"].mean()
    model = UpliftModel(outcome="revenue_amount").fit(table.drop(columns="converted"))
    assert "revenue_amount" not in model.feature_names_in_
    assert model.predict(table).mean() == pytest.approx(means["mail"] - means["control"], abs=3)
    assert set(model.learnt_["mail"].weights) == {
        "s",
        "t",
        "x",
        "dr, smooth",
        "dr, drivers",
        "dr, drivers and their line",
    }


def test_a_caller_s_estimators_compete_too():
    model = UpliftModel(base_model=LOGIT, effect_model=TREE).fit(MAIL)
    table = model.learner_table()
    assert sorted(table["learner"]) == ["class transformation", "dr", "s", "s with interactions", "t", "x"]
    regressor = UpliftModel(base_model=LinearRegression()).fit(MAIL)
    assert "class transformation" not in set(regressor.learner_table()["learner"])


def test_missing_values_and_unknown_levels_are_scored():
    model = quick().fit(TABLE)
    ask = pd.DataFrame({"customer_id": ["b", "a"], "visits": [None, 3], "plan": ["gold", None], "age": [None, 41.0]})
    scores = model.score_table(ask)
    assert scores["customer_id"].tolist() == ["a", "b"]
    assert scores[["uplift_mail", "uplift_call"]].notna().to_numpy().all()


def test_the_outcome_may_come_beside_the_table():
    expected = quick().fit(TABLE)
    found = quick().fit(TABLE.drop(columns="converted"), TABLE["converted"])
    np.testing.assert_array_equal(found.predict(TABLE), expected.predict(TABLE))
    with pytest.raises(SchemaError, match=r"X has 900 rows, and 2 outcomes came with it"):
        quick().fit(TABLE, [1, 0])


def test_scores_survive_pickle_and_say_nothing_unfitted(fitted):
    again = pickle.loads(pickle.dumps(fitted))  # noqa: S301  our own bytes
    np.testing.assert_array_equal(again.predict(MAIL), fitted.predict(MAIL))
    for ask in ("predict", "score", "score_table"):
        with pytest.raises(NotFittedError):
            getattr(clone(fitted), ask)(MAIL)


def test_does_not_depend_on_the_order_of_rows(fitted):
    again = UpliftModel().fit(MAIL.sample(frac=1, random_state=2))
    np.testing.assert_allclose(again.predict(MAIL), fitted.predict(MAIL), atol=1e-9)


def test_customers_of_several_campaigns_are_held_out_as_a_whole():
    """Twins share a feature that nearest neighbours recognise: seen, their own noise would be foretold."""
    rng = np.random.default_rng(5)
    half = pd.DataFrame(
        {"customer_id": range(300), "code": rng.normal(size=300), "revenue_amount": rng.normal(size=300)}
    )
    half["arm"] = np.where(rng.random(300) < 0.5, "mail", "control")
    twins = pd.concat([half.assign(campaign_id="a"), half.assign(campaign_id="b")])
    options = {"learner": "t", "base_model": KNeighborsRegressor(1), "outcome": "revenue_amount"}
    model = UpliftModel(key=("campaign_id", "customer_id"), **options).fit(twins)
    trial = model.trials_["mail"]
    sign = np.where(trial.treated, 1, -1) * trial.outcome
    assert abs(np.corrcoef(trial.scores["t"], sign)[0, 1]) < 0.2


# -- evaluation ----------------------------------------------------------------------------------------------------


def test_says_that_uplift_was_found():
    """Who visits often buys anyway; mail moves the others."""
    rng = np.random.default_rng(6)
    table = table_of(rows=1500, arms=("control", "mail"))
    often, mailed = table["visits"] > 4, table["arm"] == "mail"
    table["converted"] = rng.random(1500) < np.where(often, 0.7, 0.1 + 0.3 * mailed)
    evaluation = UpliftModel().fit(table).evaluation_
    assert evaluation.verdict.startswith("mail: uplift found")
    assert {CHOSEN, RESPONSE, "t", "x", "dr, smooth"} <= set(evaluation.comparison["score"])
    assert set(evaluation.balance["covariate"]) == {"visits", "plan", "age"}


def test_says_that_responses_show_as_much(fitted):
    """Mail works on those with many visits, who are also the likeliest to buy when mailed."""
    assert fitted.evaluation_.verdict.startswith("mail: response targeting is as good")


def test_says_that_nothing_was_detectable():
    table = table_of(rows=1000, arms=("control", "mail"))
    table["converted"] = np.random.default_rng(9).random(1000) < 0.2
    evaluation = UpliftModel().fit(table).evaluation_
    assert evaluation.verdict.startswith("mail: nothing detectable")


def test_is_judged_on_customers_it_had_not_seen():
    rng = np.random.default_rng(2)
    table = pd.DataFrame(
        {"customer_id": range(1200), "code": rng.normal(size=1200), "order_count": rng.poisson(2, 1200)}
    )
    table["arm"] = np.where(rng.random(1200) < 0.5, "mail", "control")
    model = UpliftModel(learner="t", base_model=KNeighborsRegressor(1), outcome="order_count").fit(table)
    seen = model.score(table)
    held_out = model.evaluation_.comparison.set_index("score").loc["t", "qini"]
    assert seen > 0.3
    assert abs(held_out) < 0.06


def test_score_is_the_qini_coefficient_of_what_is_predicted():
    model = quick().fit(MAIL)
    treated = (MAIL["arm"] == "mail").to_numpy()
    share = np.full(len(MAIL), treated.mean())
    expected = qini(model.predict(MAIL)[:, 0], MAIL["converted"].to_numpy(float), treated, share)
    assert model.score(MAIL) == pytest.approx(expected)
    assert model.score(MAIL.sample(frac=1, random_state=1)) == pytest.approx(expected)
    assert model.score(MAIL.drop(columns="converted"), MAIL["converted"]) == pytest.approx(expected)


def test_score_weighs_arms_by_their_customers():
    model = quick().fit(TABLE)
    found, sizes = [], []
    for at, arm in enumerate(model.arms_):
        rows = TABLE["arm"].isin([arm, "control"]).to_numpy()
        treated = (TABLE["arm"] == arm).to_numpy()[rows]
        share = np.full(len(treated), treated.mean())
        found.append(qini(model.predict(TABLE)[rows, at], TABLE["converted"].to_numpy(float)[rows], treated, share))
        sizes.append(len(treated))
    assert model.score(TABLE) == pytest.approx(np.average(found, weights=sizes))
    with pytest.raises(SchemaError, match=r"arms \['call'\] were not learnt, but \['mail'\]"):
        quick().fit(MAIL).score(TABLE)


def test_learner_table_has_the_nearest_first(frame):
    given = frame({name: values[:300] for name, values in experiment(arms=("control", "mail")).items()})
    table = UpliftModel(base_model=LinearRegression()).fit(given).learner_table()
    assert type(table) is type(given)
    rows = records(table)
    assert [row[0] for row in rows] == ["mail"] * 5
    assert [row[2] for row in rows] == sorted(row[2] for row in rows)
    assert {type(row[3]) for row in rows} == {float}
    assert all(row[3] >= 0 for row in rows)


# -- what it may learn from ----------------------------------------------------------------------------------------


def test_nothing_after_the_contact_is_learnt_from():
    rng = np.random.default_rng(3)
    later = {name: rng.random(ROWS) for name in AFTER_CONTACT if name != "converted"}
    model = quick().fit(TABLE.assign(**later))
    assert list(model.feature_names_in_) == ["visits", "plan", "age"]
    np.testing.assert_array_equal(model.predict(TABLE), quick().fit(TABLE).predict(TABLE))


def test_refuses_features_of_after_the_contact():
    with pytest.raises(SchemaError, match=r"features names 'order_count', .*known only after the contact"):
        quick(features=["visits", "order_count"]).fit(TABLE.assign(order_count=1))
    with pytest.raises(SchemaError, match=r"features names 'arm'"):
        quick(features=["arm"]).fit(TABLE)
    with pytest.raises(MissingColumnsError, match=r"features names 'visit', no such column. Did you mean 'visits'"):
        quick(features=["visit"]).fit(TABLE)
    assert list(quick(features=["visits"]).fit(TABLE).feature_names_in_) == ["visits"]


def test_refuses_what_tells_the_arms_apart():
    coupon = (TABLE["arm"] == "mail").map({True: "SAVE10", False: None})
    with pytest.raises(
        SchemaError, match=r"\['coupon'\] alone tell 'mail' from 'control' .*drop\(columns=\['coupon'\]\)"
    ):
        quick().fit(TABLE.assign(coupon=coupon))


@pytest.mark.parametrize(("still", "other"), [("control", "mail"), ("mail", "control")])
def test_refuses_what_varies_in_one_arm_only(still, other):
    """A voucher is used by those of its arm who bought, and by nobody else."""
    used = (MAIL["arm"] == other) & MAIL["converted"]
    message = rf"\['voucher'\] are the same for everybody in '{still}' and not in '{other}', so .*drop\(columns="
    for voucher in (used, used.map({True: "SAVE10", False: None})):
        with pytest.raises(SchemaError, match=message):
            quick().fit(MAIL.assign(voucher=voucher))


def test_what_is_rare_may_vary_in_one_arm_by_chance():
    """Of five customers dealt at random to two arms, all go to the same one time in 16."""
    rare = np.zeros(len(MAIL))
    rare[np.flatnonzero(MAIL["arm"] == "mail")[:5]] = 1
    assert "rare" in quick().fit(MAIL.assign(rare=rare)).feature_names_in_


@pytest.mark.parametrize("arm", ["mail", "control"])
def test_warns_of_what_tells_the_outcome_of_an_arm(arm):
    told, mine = MAIL["converted"] * 3.0, MAIL["arm"] == arm
    thanks = np.where(mine, told, told[mine].sample(len(MAIL), replace=True, random_state=1))
    with pytest.warns(DataQualityWarning, match=r"\['thanks'\] alone tell the outcome of an arm"):
        UpliftModel(learner="t", base_model=TREE).fit(MAIL.assign(thanks=thanks))


def test_a_strong_predictor_is_no_leak():
    """Who buys anyway is known nearly for sure before a contact that changes nothing."""
    rng = np.random.default_rng(1)
    bought = rng.random(len(MAIL)) < 0.3
    habit = bought + rng.normal(0, 0.35, len(MAIL))
    assert auc(bought, habit) > 0.97
    assert "habit" in quick().fit(MAIL.assign(converted=bought, habit=habit)).feature_names_in_


def test_says_that_the_arms_were_not_alike():
    """In a list of those who were picked, differences between the picked and the others look like uplift."""
    rng = np.random.default_rng(7)
    picked = np.where(rng.random(len(MAIL)) < 0.2 + 0.06 * MAIL["visits"], "mail", "control")
    told = r"'mail' and control were not alike before the contact \(p = .*\), least of all in visits"
    with pytest.warns(DataQualityWarning, match=rf"UpliftModel.fit: {told}"):
        model = quick().fit(MAIL.assign(arm=picked))
    assert re.search(rf"\. But {told}", model.evaluation_.verdict)
    assert model.evaluation_.verdicts[0].sentence == model.evaluation_.verdict
    assert repr(model.evaluation_).count("not alike") == 1


def test_propensities_may_be_numbers_or_columns():
    """Many visits are mailed more often: weighing by the propensity finds the effect that means would overstate."""
    rng = np.random.default_rng(4)
    visits = rng.integers(0, 2, 4000)
    chance = np.where(visits == 1, 0.8, 0.2)
    mailed = rng.random(4000) < chance
    table = pd.DataFrame({
        "customer_id": range(4000), "visits": visits + rng.normal(0, 0.3, 4000), "chance": chance,
        "arm": np.where(mailed, "mail", "control"), "converted": rng.random(4000) < 0.1 + 0.5 * visits,
    })  # fmt: skip
    constant = {"learner": "class transformation", "base_model": LogisticRegression(C=1e-9)}
    with pytest.warns(DataQualityWarning, match="not alike before the contact"):
        naive = UpliftModel(**constant, features=["visits"]).fit(table).predict(table).mean()
    weighed = UpliftModel(**constant, propensity="chance").fit(table)
    assert "chance" not in weighed.feature_names_in_
    assert naive > 0.25
    assert weighed.predict(table).mean() == pytest.approx(0, abs=0.04)
    again = UpliftModel(**constant, propensity={"mail": "chance"}).fit(table)
    np.testing.assert_array_equal(again.predict(table), weighed.predict(table))


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learner": "u"}, r"learner must be one of \['auto', 's', .*got 'u'"),
        ({"base_model": "trees"}, r"base_model must be \"auto\" or a scikit-learn estimator, got 'trees'"),
        ({"base_model": 3}, r"base_model must be a scikit-learn classifier or regressor, got 3"),
        ({"base_model": LogisticRegression}, r"base_model must be a scikit-learn classifier or regressor, got <class"),
        ({"effect_model": LOGIT}, r"effect_model must be \"auto\" or a scikit-learn regressor"),
        ({"outcome": "visits"}, r"'visits' holds amounts or counts, and base_model=LogisticRegression is a classifier"),
        ({"outcome": "bought"}, r"needs the columns \['bought'\]"),
        ({"control": "nobody"}, r"no row has arm='nobody', so there is no control group"),
        ({"propensity": "visits"}, r"2 arms, and one column of propensities.*'call': 'visits'"),
        ({"propensity": {"mail": 0.5}}, r"a mapping of every arm to a number or column"),
        ({"propensity": {"mail": 0.5, "call": 1.0}}, r"propensities of 'call' must lie between 0 and 1, .*got 1.0"),
        ({"propensity": {"mail": 0.5, "call": True}}, r"propensities of 'call' must lie between 0 and 1"),
    ],
)
def test_says_what_is_wrong_with_the_parameters(options, message):
    with pytest.raises(SchemaError, match=message):
        quick(**options).fit(TABLE)


def test_class_transformation_needs_yes_or_no():
    model = UpliftModel(learner="class transformation", outcome="visits")
    with pytest.raises(SchemaError, match=r"needs a classifier and an outcome of yes or no.*learner=\"dr\""):
        model.fit(TABLE)


def test_says_what_is_wrong_with_the_experiment():
    with pytest.raises(SchemaError, match=r"nobody was treated"):
        quick().fit(TABLE[TABLE["arm"] == "control"])
    with pytest.raises(SchemaError, match=r"every row has converted = 0: there is nothing to tell apart"):
        quick().fit(TABLE.assign(converted=False))
    few = TABLE["converted"] & ~((TABLE["arm"] == "mail") & (TABLE["customer_id"] > 60))
    count = int(few[TABLE["arm"] == "mail"].sum())
    assert count < 10
    with pytest.raises(SchemaError, match=rf"{count} of \d+ customers in 'mail' have another converted than 0, and it"):
        quick().fit(TABLE.assign(converted=few))
    with pytest.raises(SchemaError, match=r"'converted' is missing"):
        quick().fit(TABLE.assign(converted=TABLE["converted"].where(TABLE["visits"] > 0)))
    with pytest.raises(SchemaError, match=r"no column is left to learn from"):
        quick().fit(TABLE[["customer_id", "arm", "converted"]])


def test_says_what_is_wrong_with_customers_to_score():
    model = quick().fit(TABLE)
    with pytest.raises(MissingColumnsError, match=r"lacks the column 'visits' that the model learnt from"):
        model.score_table(TABLE.drop(columns="visits"))
    with pytest.raises(
        MissingColumnsError,
        match=r"lacks the columns \['visits', 'plan'\] that .*those of Snapshots\(...\).features_table\(day of the",
    ):
        model.score_table(TABLE.drop(columns=["visits", "plan"]))
    with pytest.raises(MissingColumnsError, match=r"lacks its key 'customer_id'"):
        model.score_table(TABLE.drop(columns="customer_id"))
    with pytest.raises(SchemaError, match=r"appear more than once"):
        model.score_table(pd.concat([TABLE, TABLE]))
