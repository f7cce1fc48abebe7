"""What a model card promises: every fact and figure on one page, in words, the same on every engine."""

from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest

from crmlytics._frames import enter
from crmlytics.scoring._card import LIMITS, RETENTION, CardFacts, ModelCard, current_versions
from crmlytics.scoring._evaluation import evaluate_predictions
from crmlytics.scoring._predictions import OUT_OF_TIME, RANDOM_FOLDS, Predictions
from crmlytics.testing import records

FACTS = CardFacts(
    model="ChurnModel",
    target="churned",
    definition="no purchase within 90 days from the cutoff",
    row_count=12_000,
    customer_count=4_000,
    positive_count=4_200,
    cutoffs=["2011-03-01", "2011-06-01", "2011-09-01"],
    gap="0d",
    horizon="90d",
    candidates={"boosting": 0.5432, "logistic": 0.5401},
    chosen="logistic",
    why="lowest log loss out of time",
    intercept=0.05,
    slope=0.9,
    features=["recency_days", "order_count"],
    left_out={"constant <b>": "has one value only"},
    limits=["Not for wholesale customers."],
    versions={"python": "3.11", "crmlytics": "0.1.0"},
)


def evaluation_of(scheme=OUT_OF_TIME, rows=400, engine=None, off=0.0, noun="customers"):
    """Two cutoffs as foretold, but for ``off`` too much at the second."""
    random = np.random.default_rng(0)
    p = random.random(rows)
    period = np.repeat([1, 2], rows // 2)
    outcome = random.random(rows) < p - off * (period == 2)
    given = Predictions(scheme, outcome, p, np.arange(rows), period, {"order count": np.round(5 * p)}, noun)
    engine = engine or enter(pd.DataFrame({"a": [1]}), caller="tests")[1]
    return evaluate_predictions([given], engine=engine, replicates=100, seed=0)


def lines_of(facts=FACTS, **options):
    return {(section, item): value for section, item, value in ModelCard(facts, evaluation_of(**options)).lines()}


def limits_of(facts=FACTS, **options):
    card = ModelCard(facts, evaluation_of(**options))
    return [value for section, _, value in card.lines() if section == "Limits"]


def test_the_card_states_what_it_was_given():
    lines = lines_of()
    assert lines["What it predicts", "a positive is"] == "no purchase within 90 days from the cutoff"
    assert lines["What it predicts", "horizon"] == "90d"
    assert lines["Data", "rows"] == "12,000"
    assert lines["Data", "positives"] == "4,200 (35.0%)"
    assert lines["Data", "cutoffs"] == "3, 2011-03-01 to 2011-09-01"
    assert lines["How it was chosen", "tried (log loss)"] == "logistic 0.5401; boosting 0.5432"
    assert lines["How it was chosen", "why"] == "lowest log loss out of time"
    assert lines["How it was chosen", "calibration"] == "calibrated log odds = 0.05 + 0.90 x log odds"
    assert lines["Features", "used (2)"] == "recency_days, order_count"
    assert lines["Features", "left out: constant <b>"] == "has one value only"
    assert lines["Made with", "crmlytics"] == "0.1.0"


def test_the_card_states_the_figures_of_the_evaluation():
    evaluation, lines = evaluation_of(off=0.3), lines_of(off=0.3)
    low, high = evaluation.figure("auc_low"), evaluation.figure("auc_high")
    expected = f"{evaluation.figure('auc'):.3f} (95% interval {low:.3f} to {high:.3f})"
    assert lines["How good it is", "AUC, out of time"] == expected
    assert lines["How good it is", "in a sentence"] == evaluation.grade.sentence
    assert lines["How good it is", "calibration error"] == f"{evaluation.figure('calibration_error'):.3f}"
    assert lines["How good it is", "judged"] == "out of time"
    rows = evaluation.period_table()
    worst = rows.iloc[rows["difference"].abs().argmax()]
    expected = f"{worst['cutoff']:.0f}: {worst['mean_probability']:.1%} foretold, {worst['base_rate']:.1%} came true"
    assert lines["How good it is", "worst cutoff"] == expected


def test_no_cutoff_is_the_worst_by_chance():
    assert ("How good it is", "worst cutoff") not in lines_of()


def test_the_card_of_leads_speaks_of_leads():
    lines = lines_of(replace(FACTS, limits=()), noun="leads", off=0.3)
    assert lines["How good it is", "worst period"].startswith("2: ")
    assert lines["Data", "leads"] == "4,000"
    assert lines["Data", "periods"] == "3, 2011-03-01 to 2011-09-01"
    limits = limits_of(replace(FACTS, limits=()), noun="leads")
    assert any(limit.startswith("It holds for leads chosen as those it was trained on") for limit in limits)
    assert not any("customer" in text or "{" in text for text in (*lines.values(), *limits))
    assert not any("Ascarza" in limit for limit in limits)
    assert RETENTION in limits_of(replace(FACTS, limits=(RETENTION,)))


def test_nothing_looks_at_the_clock():
    assert not any("trained as of" in item for _, item in lines_of())
    assert lines_of(replace(FACTS, as_of="2011-12-10"))["What it predicts", "trained as of"] == "2011-12-10"
    assert ModelCard(FACTS, evaluation_of()).to_markdown() == ModelCard(FACTS, evaluation_of()).to_markdown()


def test_a_table_without_time_has_no_windows():
    plain = replace(FACTS, cutoffs=(), gap=None, horizon=None, intercept=0.0, slope=1.0)
    lines = lines_of(plain)
    assert ("Data", "cutoffs") not in lines
    assert ("What it predicts", "horizon") not in lines
    assert lines["How it was chosen", "calibration"] == "none needed"
    assert lines_of(replace(FACTS, cutoffs=["2011-03-01"]))["Data", "cutoffs"] == "2011-03-01"


def test_limits_begin_with_what_was_found_and_always_tell_risk_from_persuasion():
    limits = limits_of(scheme=RANDOM_FOLDS)
    assert limits[-len(LIMITS) :] == [limit.format(noun="customers") for limit in LIMITS]
    assert any(limit.startswith("Judged in random folds only") for limit in limits[: -len(LIMITS)])
    assert limits[-len(LIMITS) - 1] == "Not for wholesale customers."
    assert LIMITS[0].startswith("It says who is likely, not who can be persuaded")


@pytest.mark.parametrize(("positives", "told"), [(199, True), (200, False)])
def test_few_positives_are_a_limit(positives, told):
    limits = limits_of(replace(FACTS, positive_count=positives))
    assert any(limit.startswith(f"Learnt from {positives} positives: few.") for limit in limits) is told


def test_one_cutoff_is_a_limit():
    evaluation = evaluation_of()
    one = replace(evaluation.judged, period=np.ones(400, int))
    judged_once = evaluate_predictions([one], engine=evaluation.engine, replicates=100)
    words = "Judged at one cutoff only: how it does in other seasons is not known."
    assert words in [value for _, _, value in ModelCard(FACTS, judged_once).lines()]
    assert words not in limits_of()


def test_markdown_has_a_heading_a_section():
    text = str(ModelCard(FACTS, evaluation_of()))
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "# ChurnModel: churned", "## What it predicts", "## Data", "## How it was chosen", "## How good it is",
        "## Features", "## Limits", "## Made with",
    ]  # fmt: skip
    assert "- **target**: churned\n" in text
    assert "\n- It says who is likely, not who can be persuaded" in text
    assert text == ModelCard(FACTS, evaluation_of())._repr_markdown_()


def test_html_is_escaped_and_has_every_line():
    card = ModelCard(FACTS, evaluation_of())
    html = card._repr_html_()
    assert "constant &lt;b&gt;" in html
    assert "<b>" not in html
    assert html.count("<tr>") == len(card.lines())


def test_repr_says_whose_card_it_is():
    assert repr(ModelCard(FACTS, evaluation_of())).startswith("ModelCard of ChurnModel: churned, grade ")


def test_to_frame_is_of_the_kind_that_came_in(frame):
    native = frame({"a": [1, 2]})
    card = ModelCard(FACTS, evaluation_of(engine=enter(native, caller="tests")[1]))
    table = card.to_frame()
    assert type(table) is type(native)
    assert records(table) == card.lines()


def test_versions_are_those_installed():
    assert current_versions()["scikit-learn"] == version("scikit-learn")
    assert list(current_versions()) == ["python", "crmlytics", "scikit-learn", "numpy"]
