"""What the Qini curve promises: counted by hand on every frame, a plain reference, no matter how rows are ordered."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from crmlytics._kernels.draws import Draws
from crmlytics._kernels.uplift_curves import curves, qini
from crmlytics.campaigns.uplift.qini import qini_table, uplift_table
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

EIGHT = {
    "customer_id": [8, 7, 6, 5, 4, 3, 2, 1],  # sorted by nobody
    "arm": ["mail", "control"] * 4,
    "converted": [True, False, True, True, False, False, False, True],
    "uplift": [2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0],
}
CURVE = ["arm", "score", "contact_share", "contact_count", "incremental_outcome"]


def trial_of(rows=400, *, seed=0, **more):
    """Customers with a score that knows where the uplift is."""
    random = np.random.default_rng(seed)
    score, treated = random.normal(size=rows), random.random(rows) < 0.5
    bought = random.random(rows) < 0.3 + 0.2 * treated * (score > 0)
    arms = np.where(treated, "mail", "control")
    return pd.DataFrame({"customer_id": np.arange(rows), "arm": arms, "converted": bought, "uplift": score} | more)


def qini_of(trial, score="uplift"):
    treated = (trial["arm"] != "control").to_numpy()
    share = np.full(len(trial), treated.mean())
    return qini(trial[score].to_numpy(float), trial["converted"].to_numpy(float), treated, share)


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_counts_by_hand_and_returns_the_kind_that_came_in(frame):
    """The first four: 1 of 1 x 2 / 2 less 1 / 2 = .5 of four customers; with all four more, 2 / 4 less 2 / 4."""
    came = frame(EIGHT)
    curve = qini_table(came, score="uplift", replicates=100)
    assert type(curve) is type(came)
    rows = records(curve)
    assert len(rows) == 101
    assert rows[0][:5] == ("mail", "uplift", 0.0, 0, 0.0)
    assert rows[25][:5] == ("mail", "uplift", 0.25, 2, pytest.approx(1.0))  # half the way to .5 x 4
    assert rows[50][:5] == ("mail", "uplift", 0.5, 4, pytest.approx(2.0))
    assert rows[75][4] == pytest.approx(1.0)
    assert rows[100][:5] == ("mail", "uplift", 1.0, 8, pytest.approx(0.0))
    assert [row[7] for row in rows] == pytest.approx([0.0] * 101)


def test_the_coefficient_by_hand():
    """Heights per customer 0, .25, 0 at shares 0, .5, 1: area .125, and nothing is gained at random."""
    assert qini_of(pd.DataFrame(EIGHT)) == pytest.approx(0.125)


def test_where_one_arm_alone_was_met_the_curve_goes_straight_on():
    trial = pd.DataFrame(
        {"arm": ["mail", "mail", "control", "control"], "converted": [1, 1, 0, 1], "uplift": [4, 3, 2, 1]}
    )
    treated = (trial["arm"] == "mail").to_numpy()
    found = curves(
        trial["uplift"].to_numpy(float), trial["converted"].to_numpy(float), treated, np.full(4, 0.5),
        shares=np.array([0.25, 0.5, 0.75, 1.0]),
    )  # fmt: skip
    assert found.heights[0] == pytest.approx([0.25, 0.5, 0.75, 0.5])  # 2 of 2 less 0 of 1; 2 of 2 less 1 of 2


def test_unequal_chances_of_being_treated_are_weighed():
    """Two strata of which one was treated more: the plain difference would mix them, weighted means do not."""
    trial = pd.DataFrame(
        {
            "customer_id": range(20),
            "arm": ["mail"] * 8 + ["control"] * 2 + ["mail"] * 2 + ["control"] * 8,
            "spent": [10.0] * 8 + [8.0] * 2 + [3.0] * 2 + [2.0] * 8,
            "chance": [0.8] * 10 + [0.2] * 10,
            "uplift": [1.0] * 20,
        }
    )
    weighed = qini_table(trial, score="uplift", outcome="spent", propensity="chance", replicates=100)
    assert weighed["incremental_outcome"].iloc[-1] == pytest.approx(20 * 1.5)  # 2 in one half, 1 in the other
    plain = qini_table(trial, score="uplift", outcome="spent", replicates=100)
    assert plain["incremental_outcome"].iloc[-1] == pytest.approx(20 * (86 / 10 - 32 / 10))


# -- properties --------------------------------------------------------------------------------------------------------


def plain_curve(score, outcome, treated, times):
    """Shares and heights, customer by customer: each as often as drawn, equal scores together."""
    points = [(0.0, 0.0)]
    for least in sorted(set(score), reverse=True):
        arms = [[(y, k) for s, y, t, k in zip(score, outcome, treated, times, strict=True) if s >= least and t == arm]
                for arm in (True, False)]  # fmt: skip
        sizes = [sum(k for _, k in arm) for arm in arms]
        if all(sizes):
            means = [sum(y * k for y, k in arm) / size for arm, size in zip(arms, sizes, strict=True)]
            share = sum(sizes) / sum(times)
            if share > points[-1][0]:
                points.append((share, share * (means[0] - means[1])))
    return np.array(points)


customers = st.lists(
    st.tuples(st.integers(0, 4), st.integers(-2, 3), st.booleans(), st.integers(0, 3)), min_size=2, max_size=25
).filter(lambda rows: {t for *_, t, k in rows if k} == {True, False})


@given(rows=customers)
def test_equals_a_plain_reference_in_every_sample(rows):
    score, outcome, treated, times = (np.array(column) for column in zip(*rows, strict=True))
    draws = Draws(np.arange(len(rows)), np.array([times, np.ones(len(rows))], np.float64))
    shares = np.linspace(0, 1, 7)
    args = (score.astype(float), outcome.astype(float), treated, np.full(len(rows), 0.3))
    found = curves(*args, draws, shares=shares)
    points = plain_curve(score, outcome, treated, times)
    assert found.heights[0] == pytest.approx(np.interp(shares, *points.T), abs=1e-12)
    area = np.trapezoid(points[:, 1], points[:, 0])
    assert found.area[0] == pytest.approx(area, abs=1e-12)
    assert found.qini[0] == pytest.approx(area - points[-1, 1] / 2, abs=1e-12)
    assert curves(*args, shares=shares).heights[0] == pytest.approx(found.heights[1], abs=1e-12)


def test_long_rankings_are_sampled_in_fewer_steps_to_the_same_effect():
    trial = trial_of(22_000)
    treated = (trial["arm"] == "mail").to_numpy()
    args = (trial["uplift"].to_numpy(), trial["converted"].to_numpy(float), treated, np.full(len(trial), 0.5))
    everybody_once = Draws(np.zeros(len(trial), np.int64), np.ones((1, 1)))
    shares = np.linspace(0, 1, 11)
    exact, fewer = curves(*args, shares=shares), curves(*args, everybody_once, shares=shares)
    assert fewer.heights[0] == pytest.approx(exact.heights[0], abs=1e-4)
    assert fewer.qini[0] == pytest.approx(exact.qini[0], abs=1e-5)
    assert fewer.heights[0, -1] == pytest.approx(exact.heights[0, -1], abs=1e-12)


def test_only_the_order_of_scores_counts_and_not_that_of_rows():
    trial = trial_of(300).assign(uplift=lambda rows: rows["uplift"].round(1))
    expected = qini_table(trial, score="uplift", replicates=100)
    mixed = trial.sample(frac=1, random_state=3).assign(uplift=lambda rows: np.exp(rows["uplift"]) * 7)
    pd.testing.assert_frame_equal(qini_table(mixed, score="uplift", replicates=100), expected)


def test_a_score_that_says_nothing_is_the_random_line():
    curve = qini_table(trial_of(uplift=1.0), score="uplift", replicates=100)
    assert curve["incremental_outcome"].to_numpy() == pytest.approx(curve["random_outcome"].to_numpy())
    assert qini_of(trial_of(uplift=1.0)) == pytest.approx(0.0, abs=1e-12)


def test_turning_a_score_round_turns_the_coefficient_round():
    trial = trial_of()
    backwards = trial.assign(uplift=-trial["uplift"])
    assert qini_of(trial) > 0.02
    assert qini_of(backwards) < -0.02


def test_band_of_everybody_is_that_of_a_difference_of_means():
    trial = trial_of(3_000)
    curve = qini_table(trial, score="uplift", replicates=2_000)
    groups = [trial.loc[trial["arm"] == arm, "converted"].astype(float) for arm in ("mail", "control")]
    expected = stats.ttest_ind(*groups, equal_var=False).confidence_interval()
    found = curve.loc[100, ["incremental_outcome_low", "incremental_outcome_high"]].to_numpy(float) / 3_000
    assert found == pytest.approx([expected.low, expected.high], abs=0.003)
    assert curve.loc[0, "incremental_outcome_low"] == curve.loc[0, "incremental_outcome_high"] == 0


def test_customers_are_drawn_with_all_their_campaigns():
    """Each customer in three campaigns with the same outcome: three times the rows, no more certainty."""
    once = trial_of(600)
    thrice = pd.concat([once.assign(campaign_id=number) for number in range(3)])
    single = qini_table(once, score="uplift")
    several = qini_table(thrice, score="uplift", key=["campaign_id", "customer_id"])
    widths = [(t["incremental_outcome_high"] - t["incremental_outcome_low"]).to_numpy() for t in (single, several)]
    assert widths[1][100] / 3 == pytest.approx(widths[0][100], rel=0.1)


def test_arms_are_compared_with_control_one_by_one():
    trial = trial_of(600)
    trial.loc[::3, "arm"] = "call"
    both = qini_table(trial, score="uplift", replicates=100)
    assert list(dict.fromkeys(both["arm"])) == ["call", "mail"]
    alone = qini_table(trial[trial["arm"] != "call"], score="uplift", replicates=100)
    pd.testing.assert_frame_equal(both[both["arm"] == "mail"].reset_index(drop=True), alone)


# -- tenths ------------------------------------------------------------------------------------------------------------


def test_tenths_by_hand_on_every_frame(frame):
    came = frame(EIGHT)
    table = uplift_table(came, score="uplift", n_bins=2)
    assert type(table) is type(came)
    rows = records(table)
    assert rows[0][:8] == ("mail", "uplift", 1, 2.0, 2.0, 1.0, 0.5, 0.5)
    assert rows[1][:8] == ("mail", "uplift", 2, 2.0, 2.0, 0.0, 0.5, -0.5)
    assert [row[10] for row in rows] == [2.0, 1.0]


def test_interval_of_shares_is_newcombes():
    """56 of 70 against 48 of 80: .0524 to .3339 in Newcombe (1998), table II, method 10."""
    trial = {
        "customer_id": list(range(150)),
        "arm": ["mail"] * 70 + ["control"] * 80,
        "converted": [True] * 56 + [False] * 14 + [True] * 48 + [False] * 32,
        "uplift": [0.2] * 150,
    }
    row = uplift_table(pd.DataFrame(trial), score="uplift", n_bins=1).iloc[0]
    assert row["uplift"] == pytest.approx(0.2)
    assert [row["uplift_low"], row["uplift_high"]] == pytest.approx([0.0524, 0.3339], abs=5e-5)


def test_interval_of_amounts_is_welchs():
    spent = np.random.default_rng(5).gamma(1, 20, 400)
    trial = trial_of(spent=spent)
    row = uplift_table(trial, score="uplift", outcome="spent", n_bins=1).iloc[0]
    groups = [spent[(trial["arm"] == arm).to_numpy()] for arm in ("mail", "control")]
    expected = stats.ttest_ind(*groups, equal_var=False).confidence_interval()
    assert [row["uplift_low"], row["uplift_high"]] == pytest.approx([expected.low, expected.high])


def test_customers_with_equal_scores_are_shared_out():
    table = uplift_table(trial_of(uplift=1.0), score="uplift", n_bins=4)
    assert table["uplift"].to_numpy() == pytest.approx(np.full(4, table["uplift"].iloc[0]))
    assert (table["treated_count"] + table["control_count"]).to_numpy() == pytest.approx(np.full(4, 100.0))


def test_a_slice_without_an_arm_has_no_uplift():
    trial = {"customer_id": [1, 2, 3], "arm": ["mail", "mail", "control"], "converted": [1, 0, 1], "uplift": [3, 2, 1]}
    rows = records(uplift_table(make_frame(trial, kind="polars"), score="uplift", n_bins=3))
    assert [row[7] for row in rows] == [None, None, None]
    assert [row[8] for row in rows] == [None, None, None]
    assert [row[3:5] for row in rows] == [(1.0, 0.0), (1.0, 0.0), (0.0, 1.0)]


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_says_what_is_wrong():
    trial = trial_of()
    with pytest.raises(MissingColumnsError, match=r"qini_table needs the columns \['uplft'\]. Did you mean 'uplift'"):
        qini_table(trial, score="uplft")
    with pytest.raises(SchemaError, match=r"expected the name of a column of scores or a list of different names"):
        qini_table(trial, score=["uplift", "uplift"])
    with pytest.raises(SchemaError, match=r"no row has arm='control'.*Arms: \['mail'\]"):
        qini_table(trial[trial["arm"] == "mail"], score="uplift")
    with pytest.raises(SchemaError, match=r"'chance' must lie between 0 and 1, both excluded, got 1 to 1"):
        qini_table(trial.assign(chance=1.0), score="uplift", propensity="chance")
    with pytest.raises(SchemaError, match=r"'uplift' is missing in 1 of 400 rows"):
        qini_table(trial.assign(uplift=trial["uplift"].where(trial["customer_id"] > 0)), score="uplift")
    with pytest.raises(SchemaError, match=r"at least one customer per slice, got 400 for n_bins=401"):
        uplift_table(trial, score="uplift", n_bins=401)
    with pytest.raises(SchemaError, match=r"replicates must be a whole number of at least 100, got 5"):
        qini_table(trial, score="uplift", replicates=5)
