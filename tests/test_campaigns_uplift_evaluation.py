"""What judging uplift promises: verdicts that are seldom wrong, paired differences, figures that agree, plain words."""

import re
from collections import Counter
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from crmlytics._frames import enter, to_pandas
from crmlytics._kernels.draws import Draws, bounds
from crmlytics._kernels.uplift_curves import curves
from crmlytics.campaigns.uplift._judging import drawn_p_value
from crmlytics.campaigns.uplift._plots import plot_qini
from crmlytics.campaigns.uplift._trial import CHOSEN, RESPONSE, Trial
from crmlytics.campaigns.uplift._verdicts import AS_GOOD, FOUND, NOTHING
from crmlytics.campaigns.uplift.balance import balance_table
from crmlytics.campaigns.uplift.evaluation import evaluate_trials, evaluate_uplift
from crmlytics.campaigns.uplift.qini import qini_table, uplift_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

mpl.use("Agg")

PANDAS = enter(pd.DataFrame({"a": [1]}), caller="tests")[1]


def made(rows=4_000, *, seed=0, uplift=0.0, steeper=0.0, even=0.02, share=0.5):
    """A trial: some are persuadable (``uplift``), or who buys anyway buys even more (``steeper``), or all alike."""
    random = np.random.default_rng(seed)
    visits, persuadable = random.normal(size=rows), random.random(rows) < 0.3
    treated = random.random(rows) < share
    base, more = (1 / (1 + np.exp(1.5 - (1 + pull) * visits)) for pull in (0.0, steeper))
    chance = np.where(treated, more + uplift * persuadable + even, base)
    scores = {
        "T-learner": persuadable + random.normal(0, 0.5, rows),
        "S-learner": persuadable + random.normal(0, 1, rows) + visits * bool(steeper),
        RESPONSE: visits + random.normal(0, 0.3, rows),
    }
    outcome = (random.random(rows) < chance).astype(np.float64)
    return Trial(outcome, treated, np.full(rows, treated.mean()), scores)


def judged(trial, *, replicates=300, seed=0, baseline=RESPONSE):
    return evaluate_trials({"mail": trial}, engine=PANDAS, baseline=baseline, replicates=replicates, seed=seed)


def as_table(trial, arm="mail"):
    arms = np.where(trial.treated, arm, "control")
    columns = {"customer_id": range(len(arms)), "arm": arms, "converted": trial.outcome.astype(bool)}
    return pd.DataFrame(columns | dict(trial.scores))


# -- verdicts ----------------------------------------------------------------------------------------------------------


def test_uplift_is_found_where_it_is():
    evaluation = judged(made(uplift=0.4))
    assert evaluation.verdicts[0].words == FOUND
    assert evaluation.verdicts[0].score == "T-learner"  # the sharper of two that found it
    sentence = (
        r"mail: uplift found\. Contacting by T-learner brings \+\S+ \(\+\S+ to \+\S+\) per 100 customers over random "
        r"contacts, on average over all shares, better than response model by \+\S+ \(\+\S+ to \+\S+\), p = \S+ "
        r"adjusted for 2 scores\. Treating everybody brings \+\S+ \(\+\S+ to \+\S+\) per 100 customers\."
    )
    assert re.fullmatch(sentence, evaluation.verdict)


def test_response_targeting_is_as_good_where_who_buys_anyway_is_who_buys_more():
    evaluation = judged(made(steeper=1.2, even=0.0))
    assert evaluation.verdicts[0].words == AS_GOOD
    assert "than response model (difference" in evaluation.verdict


def test_a_response_model_that_wins_is_said_to():
    trial = made(steeper=1.2, even=0.0)
    assert "worse than response model (difference -" in judged(trial).verdict


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_says_that_nothing_is_there_in_95_of_100_trials_without_anything(share):
    """Two learners and the response model, which does find who buys: but the contact changes all alike."""
    words = Counter(
        judged(made(600, seed=seed, share=share), replicates=100, seed=seed).verdicts[0].words for seed in range(200)
    )
    assert words[NOTHING] >= 190
    assert words[FOUND] <= 4


def test_seldom_misses_what_is_there():
    words = Counter(judged(made(seed=seed, uplift=0.4), replicates=100).verdicts[0].words for seed in range(20))
    assert words[FOUND] >= 19


def test_several_scores_have_to_be_surer():
    """The interval of the best of two leaves nought out, but the best of two often does by luck."""
    trial = made(uplift=0.2)
    both = judged(trial)
    assert both.figures["difference_low"][0] > 0
    assert both.verdicts[0].words == AS_GOOD
    assert re.search(r"\(difference \+1.16 \(.*\), p = 0.0[5-9]\S* adjusted for 2 scores\)", both.verdict)
    alone = {name: trial.scores[name] for name in ("T-learner", RESPONSE)}
    assert judged(replace(trial, scores=alone)).verdicts[0].words == FOUND


def test_a_learner_chosen_fold_by_fold_is_judged_alone():
    trial = made(uplift=0.4)
    trial.scores[CHOSEN] = -trial.scores["T-learner"]
    verdict = judged(trial).verdicts[0]
    assert verdict.score == CHOSEN
    assert verdict.words == NOTHING


def test_without_a_baseline_chance_is_the_one_to_beat():
    found = judged(made(uplift=0.4), baseline=None)
    assert found.verdicts[0].words == FOUND
    assert "no response model was given to compare with (baseline=)" in found.verdict
    assert found.figures["difference"].tolist() == pytest.approx([np.nan] * 3, nan_ok=True)
    assert judged(made(600), baseline=None).verdicts[0].words == NOTHING


def test_amounts_are_told_per_customer():
    trial = made(uplift=0.4)
    spent = Trial(trial.outcome * 50.0, trial.treated, trial.propensity, trial.scores)
    assert "per customer over random contacts" in judged(spent).verdict
    figures = [judged(one).figures["qini"][0] for one in (trial, spent)]
    assert figures[1] == pytest.approx(50 * figures[0])


# -- figures -----------------------------------------------------------------------------------------------------------


def test_differences_are_of_the_same_samples_of_customers():
    trial = made(800, uplift=0.4)
    evaluation = judged(trial, replicates=200, seed=5)
    draws = Draws.of(np.arange(800), replicates=200, seed=5)
    observed = (trial.outcome, trial.treated, trial.propensity)
    by_score = [
        curves(trial.scores[name], *observed, draws, shares=np.ones(1)).qini for name in ("T-learner", RESPONSE)
    ]
    low, high = bounds(by_score[0] - by_score[1])
    figures = {name: values[0] for name, values in evaluation.figures.items()}
    assert (figures["difference_low"], figures["difference_high"]) == (pytest.approx(low), pytest.approx(high))
    assert figures["difference"] == pytest.approx(figures["qini"] - evaluation.figures["qini"][2])
    assert np.isnan(evaluation.figures["difference"][2])


def test_p_value_agrees_with_the_interval():
    random = np.random.default_rng(0)
    for middle in np.linspace(1, 3, 21):
        drawn = random.normal(middle, 1, 999)
        low, _ = bounds(drawn)
        p_value = drawn_p_value(middle, drawn)
        assert (low > 0) == (p_value < 0.05) or abs(p_value - 0.05) < 0.01
    assert drawn_p_value(1.96, np.array([0.96, 1.96, 2.96])) == pytest.approx(0.05, abs=1e-4)
    assert drawn_p_value(-1.96, np.array([0.96, 1.96, 2.96])) == pytest.approx(0.05, abs=1e-4)
    assert drawn_p_value(0.0, np.zeros(99)) == 1
    assert np.isnan(drawn_p_value(1.0, np.full(9, np.nan)))


def test_tables_agree_with_the_functions_of_their_names(frame):
    came = frame({name: values.tolist() for name, values in as_table(made(400, uplift=0.3)).items()})
    names = ["T-learner", RESPONSE]
    evaluation = evaluate_uplift(came, scores="T-learner", baseline=RESPONSE, replicates=100)
    assert type(evaluation.comparison) is type(came)
    assert records(evaluation.curve) == records(qini_table(came, score=names, replicates=100))
    assert records(evaluation.deciles) == records(uplift_table(came, score=names))
    comparison, curve = records(evaluation.comparison), records(evaluation.curve)
    assert [row[:2] for row in comparison] == [("mail", name) for name in names]
    for place, share in ((7, 10), (8, 20), (9, 30)):
        assert comparison[0][place] == pytest.approx(curve[share][4] / (400 * share / 100))
    assert comparison[1][10:] == (None, None, None, None)


def test_every_arm_has_its_verdict():
    mail, call = made(2_000, uplift=0.3), made(2_000, seed=1)
    table = pd.concat([as_table(mail), as_table(call, "call")], ignore_index=True)
    table = table.assign(customer_id=range(len(table)))
    evaluation = evaluate_uplift(table, scores=["T-learner", "S-learner"], baseline=RESPONSE, replicates=300)
    assert [(verdict.arm, verdict.words) for verdict in evaluation.verdicts] == [("call", NOTHING), ("mail", FOUND)]
    assert evaluation.verdict.splitlines()[0].startswith("call: nothing detectable. No score ranks customers")


def test_does_not_depend_on_the_order_of_rows():
    table = as_table(made(500, uplift=0.4))
    first, second = (
        evaluate_uplift(rows, scores=["T-learner", RESPONSE], replicates=100)
        for rows in (table, table.sample(frac=1, random_state=1))
    )
    pd.testing.assert_frame_equal(first.comparison, second.comparison)


# -- balance, words, picture -------------------------------------------------------------------------------------------


def test_what_was_known_before_is_compared_and_what_came_after_is_not():
    trial = made(1_000, uplift=0.4)
    table = as_table(trial).assign(revenue_amount=trial.treated * 9.0, pre_revenue_amount=np.arange(1_000) % 7.0)
    evaluation = evaluate_uplift(table, scores="T-learner", baseline=RESPONSE, replicates=100)
    assert set(evaluation.balance["covariate"]) == {"S-learner", "pre_revenue_amount"}
    assert evaluation.randomisation["arm"].tolist() == ["mail"]
    chosen = table.assign(age=trial.treated * 3.0 + np.arange(1_000) % 7)
    told = r"'mail' and control were not alike before the contact"
    with pytest.warns(DataQualityWarning, match=f"evaluate_uplift: {told}"):
        picked = evaluate_uplift(chosen, scores="T-learner", covariates=["age"], replicates=100)
    assert f" But {told}" in picked.verdict
    dealt_so = chosen.assign(chance=np.where(np.arange(1_000) % 2, 0.4, 0.6))  # by a rule that is known
    meant = evaluate_uplift(dealt_so, scores="T-learner", covariates=["age"], propensity="chance", replicates=100)
    assert told not in repr(meant)


def test_scores_of_an_uplift_model_are_no_covariates():
    trial = made(400)
    joined = {"uplift_mail": 1.0, "uplift_mail_standard_error": 2.0, "best_arm": "mail", "best_uplift": 1.0}
    columns = {name: [value, None] * 200 for name, value in joined.items()} | {"age": [30, 40, 50, 60] * 100}
    table = as_table(trial).drop(columns=["S-learner", RESPONSE]).assign(**columns)
    assert set(evaluate_uplift(table, scores="T-learner", replicates=100).balance["covariate"]) == {"age"}
    assert set(balance_table(table)["covariate"]) == {"age", "T-learner"}


def test_reads_well():
    evaluation = judged(made(1_000, uplift=0.6, seed=2))
    lines = repr(evaluation).splitlines()
    assert lines[0] == "Uplift: 500 in 'mail', 500 in control"
    assert lines[1] == evaluation.verdict
    assert lines[3].split()[:3] == ["score", "qini", "qini_low"]
    assert [line.split()[0] for line in lines[4:]] == ["T-learner", "S-learner", "response"]
    html = evaluation._repr_html_()
    assert html.count("<tr>") == 4
    assert "uplift found" in html


def test_says_what_is_wrong():
    table = as_table(made(200))
    with pytest.raises(MissingColumnsError, match=r"evaluate_uplift needs the columns \['T-lerner'\]"):
        evaluate_uplift(table, scores="T-lerner")
    with pytest.raises(SchemaError, match=r"replicates must be a whole number of at least 100"):
        evaluate_uplift(table, scores="T-learner", replicates=10)
    alone = evaluate_uplift(
        table[["customer_id", "arm", "converted", "T-learner"]].assign(campaign_id=1), scores="T-learner"
    )
    with pytest.raises(SchemaError, match=r"UpliftEvaluation.balance: no covariates were given"):
        _ = alone.balance


def test_picture_of_one_arm_of_several():
    table = pd.concat([as_table(made(500, uplift=0.3)), as_table(made(500, seed=1), "call")], ignore_index=True)
    table = table.assign(customer_id=range(1_000))
    polars = make_frame({name: values.tolist() for name, values in table.items()}, kind="polars")
    curves = qini_table(polars, score=["T-learner", RESPONSE], replicates=100)
    for arm, told in ((None, "call, T-learner: "), ("mail", "mail, T-learner: ")):
        ax = plot_qini(curves, arm=arm)
        assert ax.get_title(loc="left").startswith(told)
        labels = [text.get_text() for text in ax.get_legend().get_texts()]
        assert labels == ["T-learner", "response model", "random contacts"]
        assert len(ax.collections) == 1  # a band
        drawn = to_pandas(curves)
        drawn = drawn[(drawn["arm"] == (arm or "call")) & (drawn["score"] == "T-learner")]
        assert ax.get_lines()[0].get_ydata().tolist() == drawn["incremental_outcome"].tolist()
        mpl.pyplot.close(ax.figure)
    with pytest.raises(SchemaError, match=r"plot_qini: arm must be one of \['call', 'mail'\], got 'post'"):
        plot_qini(curves, arm="post")
    with pytest.raises(MissingColumnsError, match=r"plot_qini draws the result of qini_table: no columns"):
        plot_qini(table)


def test_campaigns_that_sell_differently_are_not_compared_with_each_other():
    """Nobody is moved; who bought 30 % anyway was mailed 80:20, who bought 5 % was mailed 20:80 or called."""
    random = np.random.default_rng(0)
    share = {"x": {"mail": 0.8, "control": 0.2}, "y": {"mail": 0.2, "control": 0.6, "call": 0.2}}
    rate = np.repeat([0.3, 0.05], 4000)
    table = pd.DataFrame({
        "campaign_id": np.repeat(["x", "y"], 4000), "customer_id": range(8000),
        "arm": np.concatenate([random.choice(list(arms), 4000, p=list(arms.values())) for arms in share.values()]),
        "converted": random.random(8000) < rate, "rate": rate, "chance": random.random(8000),
    })  # fmt: skip
    found = evaluate_uplift(table, scores=["chance", "rate"], covariates=[], replicates=200)
    assert found.verdict.count("nothing detectable") == 2
    curve = found.curve
    for _, end in curve[curve["contact_share"] == 1].iterrows():
        assert end["incremental_outcome_low"] < 0 < end["incremental_outcome_high"]
