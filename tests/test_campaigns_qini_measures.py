"""What the table of conventions promises: the figures of other libraries to 1e-9, and why ours differs from them."""

import numpy as np
import pandas as pd
import pytest

from crmlytics._kernels.uplift_curves import curves
from crmlytics.campaigns.uplift.qini_measures import qini_measure_table
from crmlytics.testing import records

# causalml 0.18.0 (numpy 2.4.6, pandas 3.1.1): qini_score(d)["m"] and auuc_score(d)["m"] of made_trial(seed) with the
# columns y (converted), w (treated) and m (score).
CAUSALML = [
    (1.4616702344191292, 0.8677900292705374),
    (0.3428664994004747, 0.8581273391406145),
    (0.15037243206851728, 0.6360286467358766),
    (-0.06968177232716155, 0.444367109559062),
    (0.21831209041647412, 0.7931245045548986),
]

theirs_complain = pytest.mark.filterwarnings("ignore:Function stable_cumsum is deprecated")


def made_trial(seed, least=20, most=300):
    """Customers with different scores, a share treated that is not a half, an effect where the score is positive."""
    random = np.random.default_rng(seed)
    rows = random.integers(least, most)
    score, treated = random.normal(size=rows), random.random(rows) < random.uniform(0.2, 0.8)
    bought = random.random(rows) < 0.3 + 0.2 * treated * (score > 0)
    treated[:2] = [True, False]
    return score, bought, treated


def measures_of(score, bought, treated):
    arms = np.where(treated, "mail", "control")
    trial = pd.DataFrame({"customer_id": range(len(score)), "arm": arms, "converted": bought, "uplift": score})
    return qini_measure_table(trial, score="uplift").set_index("convention")["value"]


# -- peers -------------------------------------------------------------------------------------------------------------


@theirs_complain
@pytest.mark.parametrize("seed", range(12))
def test_equals_scikit_uplift(seed):
    metrics = pytest.importorskip("sklift.metrics")
    score, bought, treated = made_trial(seed, least=60)
    found = measures_of(score, bought, treated)
    theirs = (bought.astype(int), score, treated.astype(int))
    assert found["qini_of_optimum"] == pytest.approx(metrics.qini_auc_score(*theirs), abs=1e-9)
    assert found["uplift_of_optimum"] == pytest.approx(metrics.uplift_auc_score(*theirs), abs=1e-9)
    name = "qini_of_optimum_without_negative_effects"
    if bought[treated].mean() > bought[~treated].mean():
        assert found[name] == pytest.approx(metrics.qini_auc_score(*theirs, negative_effect=False), abs=1e-9)
    else:  # where they raise "x is neither increasing nor decreasing"
        assert np.isnan(found[name])
    for percent in (10, 20, 30):
        for strategy in ("overall", "by_group"):
            expected = metrics.uplift_at_k(*theirs, strategy=strategy, k=percent / 100)
            assert found[f"uplift_at_{percent}_{strategy}"] == pytest.approx(expected, abs=1e-9)


def test_equals_causalml():
    for seed, (qini_score, auuc_score) in enumerate(CAUSALML):
        found = measures_of(*made_trial(seed))
        assert found["qini_of_effect"] == pytest.approx(qini_score, abs=1e-9)
        assert found["auuc_of_effect"] == pytest.approx(auuc_score, abs=1e-9)


def test_ours_is_causalmls_in_customers_without_its_scale():
    """With one share treated throughout, curves differ by that share only: a large trial shows the factor."""
    random = np.random.default_rng(1)
    score, treated = random.normal(size=40_000), np.arange(40_000) % 2 == 0
    bought = random.random(40_000) < 0.2 + 0.1 * treated * (score > 0)
    found = measures_of(score, bought, treated)
    effect = bought[treated].mean() - bought[~treated].mean()
    assert found["qini"] / effect == pytest.approx(found["qini_of_effect"], rel=0.02)
    assert found["auuc"] / effect == pytest.approx(found["auuc_of_effect"], rel=0.02)


# -- where they are wrong, and we are not ------------------------------------------------------------------------------


@theirs_complain
def test_scikit_uplift_takes_the_mean_of_nobody_for_nought_and_we_do_not():
    """All but the last customer buy: down to them no ranking gains anything. Theirs does: the treated come first."""
    metrics = pytest.importorskip("sklift.metrics")
    treated = np.array([True] * 3 + [False] * 3)
    bought, score = np.array([1.0, 1, 1, 1, 1, 0]), np.arange(6, 0, -1.0)
    _, heights = metrics.uplift_curve(bought.astype(int), score, treated.astype(int))
    assert heights.tolist() == [0, 1, 2, 3, 0, 0, pytest.approx(2)]
    ours = curves(score, bought, treated, np.full(6, 0.5), shares=np.arange(7) / 6)
    assert ours.heights[0] == pytest.approx([0, 0, 0, 0, 0, 0, 1 / 3])


def test_the_order_of_rows_with_equal_scores_counts_for_scikit_uplift_and_not_for_us():
    metrics = pytest.importorskip("sklift.metrics")
    score, bought, treated = made_trial(4, least=60)
    score = np.zeros(len(score))
    backwards = measures_of(score, bought[::-1], treated[::-1])
    theirs = [
        metrics.uplift_at_k(y.astype(int), score, t.astype(int), strategy="overall", k=0.3)
        for y, t in ((bought, treated), (bought[::-1], treated[::-1]))
    ]
    assert theirs[0] != pytest.approx(theirs[1])
    found = measures_of(score, bought, treated)
    pd.testing.assert_series_equal(found, backwards)
    assert found["uplift_at_30_overall"] == pytest.approx(bought[treated].mean() - bought[~treated].mean())


def test_over_the_effect_means_nothing_where_the_contact_helps_as_many_as_it_harms():
    """The same ranking, effects 1 and -1 a half each, then all higher by 1: ours stays, causalml's does not."""
    score = np.repeat([2.0, 1.0], 200)
    treated = np.arange(400) % 2 == 0
    base = np.where(treated, np.where(score > 1, 1.0, -1.0), 0.0)
    values = {}
    for name, more in (("none", 0.01), ("one", 1.0)):
        arms = np.where(treated, "mail", "control")
        spent = base + more * treated
        trial = pd.DataFrame({"customer_id": range(400), "arm": arms, "converted": spent, "uplift": score})
        values[name] = qini_measure_table(trial, score="uplift").set_index("convention")["value"]
    assert values["none"]["qini"] == pytest.approx(values["one"]["qini"]) == pytest.approx(0.25)
    assert values["none"]["qini_of_effect"] > 50 * values["one"]["qini_of_effect"]


# -- the table ---------------------------------------------------------------------------------------------------------


def test_amounts_have_no_optimum_and_every_frame_says_so(frame):
    """Per customer the curve is 0, .5 x (6 - .5) = 2.75, then 3.5 - 2.5 = 1: an area of 1.625, .5 of it at random."""
    spent = [5.0, 0.0, 7.0, 1.0, 0.0, 0.0, 2.0, 9.0]
    arms, score = ["mail", "control"] * 4, [2.0] * 4 + [1.0] * 4
    came = frame({"customer_id": list(range(8)), "arm": arms, "spent": spent, "uplift": score})
    table = qini_measure_table(came, score="uplift", outcome="spent")
    assert type(table) is type(came)
    rows = {row[2]: row for row in records(table)}
    assert rows["qini"] == (
        "mail", "uplift", "qini", pytest.approx(1.125),
        "area of (Y_t / N_t - Y_c / N_c) (N_t + N_c) less its diagonal, per customer", "crmlytics",
    )  # fmt: skip
    assert rows["qini_of_optimum"][3] is None
    assert rows["uplift_at_30_by_group"][3] == pytest.approx(6.0 - 0.5)
    assert len(rows) == 13


def test_what_cannot_be_divided_is_missing():
    found = measures_of(np.arange(8.0), np.zeros(8, bool), np.arange(8) % 2 == 0)
    assert found[["qini", "auuc"]].tolist() == [0, 0]
    assert found[["qini_of_optimum", "uplift_of_optimum", "qini_of_effect", "auuc_of_effect"]].isna().all()
