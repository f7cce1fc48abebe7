"""What what_worked_table promises: published values, kept groups, intervals that hold what they should, refusals."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from crmlytics._kernels.random_effects import dersimonian_laird, pooled, reml, shrunken
from crmlytics.campaigns.learning.worked import add_shrunken_effects, what_worked_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

# Colditz et al. (1994), JAMA 271: thirteen trials of the BCG vaccine, cases and others among vaccinated and control
BCG = np.array([
    [4, 119, 11, 128], [6, 300, 29, 274], [3, 228, 11, 209], [62, 13536, 248, 12619], [33, 5036, 47, 5761],
    [180, 1361, 372, 1079], [8, 2537, 10, 619], [505, 87886, 499, 87892], [29, 7470, 45, 7232], [17, 1699, 65, 1600],
    [186, 50448, 141, 27197], [5, 2493, 3, 2338], [27, 16886, 29, 17825],
], dtype=float)  # fmt: skip
Z = 1.959963984540054


def log_risk_ratios():
    cases, others, control_cases, control_others = BCG.T
    treated, control = cases + others, control_cases + control_others
    effect = np.log(cases / treated / (control_cases / control))
    return effect, 1 / cases - 1 / treated + 1 / control_cases - 1 / control


def bcg_table():
    effect, variance = log_risk_ratios()
    reach = Z * np.sqrt(variance)
    return {"campaign_id": list(range(13)), "metric": ["tuberculosis"] * 13, "ratio": np.exp(effect),
            "ratio_low": np.exp(effect - reach), "ratio_high": np.exp(effect + reach)}  # fmt: skip


def effects(difference, error=0.01, **more):
    table = {"campaign_id": [f"c{i}" for i in range(len(difference))], "difference": difference}
    return table | {"standard_error": np.broadcast_to(error, len(difference)).tolist()} | more


def worked(table, **options):
    return what_worked_table(make_frame(table, "pandas"), **options)


# -- published values ----------------------------------------------------------------------------------------------


def test_bcg_by_restricted_maximum_likelihood():
    """The front page of R's metafor: rma(yi, vi, data=dat, test="knha"), and predict(res, transf=exp)."""
    row = worked(bcg_table()).iloc[0]
    logs = np.log(row[["effect", "effect_low", "effect_high"]].astype(float))
    np.testing.assert_allclose(logs, [-0.7145, -1.1084, -0.3206], atol=5e-5)
    np.testing.assert_allclose(row[["next_effect_low", "next_effect_high"]].astype(float), [0.14, 1.76], atol=5e-3)
    assert row["tau_squared"] == pytest.approx(0.3132, abs=5e-5)
    assert row["i2_share"] == pytest.approx(0.9222, abs=5e-5)
    assert row["q"] == pytest.approx(152.2330, abs=5e-5)
    assert row["p_value"] == pytest.approx(0.0019, abs=5e-5)
    assert (row["measure"], row["campaign_count"], row["verdict"]) == (
        "ratio",
        13,
        "works on average"[:0] + "harms on average",
    )


def test_bcg_by_the_method_of_moments():
    """R's metafor against Stata's metan, in metafor's tests: tau2 .3088, -0.7141, I2 92.1173."""
    row = worked(bcg_table(), method="dersimonian-laird").iloc[0]
    assert np.log(row["effect"]) == pytest.approx(-0.7141, abs=5e-5)
    assert row["tau_squared"] == pytest.approx(0.3088, abs=5e-5)
    assert row["i2_share"] == pytest.approx(0.921173, abs=5e-7)


def test_kacker_by_hartung_and_knapp():
    """Kacker (2004), by metafor as given in the tests of statsmodels: rma(y, v, method="DL", test="knha")."""
    effect = np.array([61.0, 61.4, 62.21, 62.3, 62.34, 62.6, 62.7, 62.84, 65.9])
    variance = np.array([0.2025, 1.21, 0.09, 0.2025, 0.3844, 0.5625, 0.0676, 0.0225, 1.8225])
    found = pooled(effect, variance, confidence=0.95, method="dersimonian-laird")
    assert found.mean == pytest.approx(62.3901386044504, abs=1e-10)
    assert found.standard_error == pytest.approx(0.29477605699879, abs=1e-10)
    assert (found.low, found.high) == pytest.approx((61.710383798052, 63.0698934108488), abs=1e-9)
    assert found.tau2 == pytest.approx(0.288049246973751, abs=1e-10)
    assert found.q_p_value == pytest.approx(0.00167935146372742, abs=1e-12)
    assert found.i2 == pytest.approx(0.67744403741711, abs=1e-10)


def test_two_campaigns_by_hand():
    """Effects 1 and 3 of variance 1: Q = 2, tau2 = (2 - 1) / (2 - 2 / 2) = 1, mean 2 of variance 1."""
    found = pooled(np.array([1.0, 3.0]), np.ones(2), confidence=0.95, method="dersimonian-laird")
    t = 12.706204736174707  # of one degree of freedom
    assert (found.tau2, found.mean, found.q, found.i2) == pytest.approx((1.0, 2.0, 2.0, 0.5))
    assert (found.low, found.high) == pytest.approx((2 - t, 2 + t))
    assert (found.next_low, found.next_high) == pytest.approx((2 - t * 2**0.5, 2 + t * 2**0.5))


def test_campaigns_that_agree_by_chance_have_no_shorter_interval_than_their_errors_allow():
    found = pooled(np.full(4, 0.5), np.full(4, 0.04), confidence=0.95, method="reml")
    assert (found.tau2, found.standard_error) == pytest.approx((0.0, 0.1))


# -- the estimates -------------------------------------------------------------------------------------------------

studies = st.lists(st.tuples(st.floats(-3, 3), st.floats(0.01, 2)), min_size=2, max_size=12)


@given(studies=studies)
def test_restricted_likelihood_is_greatest_there(studies):
    effect, variance = np.array(studies).T

    def loss(tau2):
        weight = 1 / (variance + tau2)
        mean = weight @ effect / weight.sum()
        return 0.5 * (np.log(variance + tau2).sum() + np.log(weight.sum()) + weight @ (effect - mean) ** 2)

    found = reml(effect, variance)
    near = optimize.minimize_scalar(loss, bounds=(max(found - 0.05, 0), found + 0.05), method="bounded").fun
    others = [loss(tau2) for tau2 in np.linspace(0, 100, 2001)]
    assert loss(found) <= min(near, *others) + 1e-9


def test_fisher_scoring_swings_to_and_fro_here():
    effect, variance = np.array([0.0, 0.0, 0.0, 0.0, 1.0]), np.array([1.0, 1.0, 1.0, 1.0, 0.125])
    found = reml(effect, variance)
    weight = 1 / (variance + found)
    residual = effect - weight @ effect / weight.sum()
    slope = weight**2 @ residual**2 - weight.sum() + (weight**2).sum() / weight.sum()
    assert slope == pytest.approx(0.0, abs=1e-12)
    assert found == pytest.approx(0.0868744783)


@given(studies=studies, shift=st.floats(-5, 5), scale=st.floats(0.1, 10))
def test_other_units_give_the_same_answer_in_other_units(studies, shift, scale):
    effect, variance = np.array(studies).T
    for method, estimate in (("reml", reml), ("dersimonian-laird", dersimonian_laird)):
        assert estimate(shift + scale * effect, scale**2 * variance) == pytest.approx(
            scale**2 * estimate(effect, variance), rel=1e-5, abs=1e-8 * scale**2
        )
        one, other = (
            pooled(moved, spread, confidence=0.9, method=method)
            for moved, spread in ((effect, variance), (shift + scale * effect, scale**2 * variance))
        )
        assert other.low == pytest.approx(shift + scale * one.low, rel=1e-4, abs=1e-4)
        assert other.i2 == pytest.approx(one.i2, abs=1e-5)


@pytest.mark.parametrize(("campaigns", "tau"), [(8, 0.01), (15, 0.03)])
def test_intervals_hold_the_mean_and_the_next_effect_about_as_often_as_they_say(campaigns, tau):
    random = np.random.default_rng(7)
    runs, mean = 1000, 0.02
    held = np.zeros(2)
    for _ in range(runs):
        error = random.uniform(0.005, 0.02, campaigns)
        true = random.normal(mean, tau, campaigns + 1)
        found = pooled(random.normal(true[:-1], error), error**2, confidence=0.95, method="reml")
        held += [found.low <= mean <= found.high, found.next_low <= true[-1] <= found.next_high]
    assert 0.925 <= held[0] / runs <= 0.98
    assert (0.92 if tau > 0.02 else 0.82) <= held[1] / runs <= 0.97  # short where errors hide the differences


def test_shrunken_effects_are_the_means_of_the_joint_normal_distribution():
    """Brute force: the mean known up to a normal error, the effects normal around it, each measured."""
    effect, variance = np.array([0.5, 2.0, -1.0, 0.7]), np.array([0.2, 0.5, 1.0, 0.1])
    found = pooled(effect, variance, confidence=0.95, method="dersimonian-laird")
    assert found.tau2 > 0
    middle, error = shrunken(effect, variance, found)
    prior, k = 1e4, len(effect)  # of the mean: as good as flat
    joint = found.tau2 * np.eye(k) + prior * np.ones((k, k))
    gain = joint @ np.linalg.inv(joint + np.diag(variance))
    np.testing.assert_allclose(middle, gain @ effect, atol=1e-3)
    plain = np.sqrt(np.diag(joint - gain @ joint))
    assert (error >= plain - 1e-3).all()  # the same but for the interval of the mean, which is no shorter than plain


@given(difference=st.lists(st.floats(-1, 1), min_size=1, max_size=10), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_shrinking_moves_towards_the_mean_and_never_past_it(difference, seed):
    error = np.random.default_rng(seed).uniform(0.05, 0.5, len(difference))
    data = pd.DataFrame(effects(difference, error))
    table, mean = add_shrunken_effects(data), what_worked_table(data)["effect"][0]
    before, after = table["difference"] - mean, table["shrunken_difference"] - mean
    assert (after.abs() <= before.abs() + 1e-12).all()
    assert (after * before >= -1e-12).all()
    assert (table["shrunken_difference_low"] < table["shrunken_difference_high"]).all()


# -- the table -----------------------------------------------------------------------------------------------------


def test_groups_by_hand_on_every_frame(frame):
    table = effects([1.0, 3.0, 0.5, 7.0, 8.0], 1.0, metric=["sales"] * 3 + ["visits"] * 2,
                    channel=["mail", "mail", None, "mail", "mail"])  # fmt: skip
    data = frame(table)
    found = what_worked_table(data, by="channel", method="dersimonian-laird")
    assert type(found) is type(data)
    rows = records(found)
    assert [row[:5] for row in rows] == [
        ("mail", "sales", "difference", 2, 2),
        ("mail", "visits", "difference", 2, 2),
        ("missing", "sales", "difference", 1, 1),
    ]
    assert rows[0][5] == pytest.approx(2.0)
    assert rows[1][11] == pytest.approx(0.0)  # (7 - 8)^2 / 2 is less than by chance
    assert rows[2][5:8] == pytest.approx((0.5, 0.5 - Z, 0.5 + Z))
    assert rows[2][9:15] == (None,) * 6
    assert [row[-1] for row in rows] == ["not shown", "not shown", "one campaign"]


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        ([0.5, 0.51, 0.49, 0.5], "works"),
        ([0.1, 0.5, 0.9, 0.5, 0.3, 0.7], "works on average"),
        ([-0.5, -0.51, -0.49, -0.5], "harms"),
        ([-0.1, -0.5, -0.9, -0.5, -0.3, -0.7], "harms on average"),
        ([-0.5, 0.5, 0.1], "not shown"),
        ([0.5], "one campaign"),
    ],
)
def test_every_verdict(difference, verdict):
    assert worked(effects(difference))["verdict"].tolist() == [verdict]


def test_differences_and_ratios_have_a_row_each():
    table = effects([0.1, 0.2]) | {"ratio": [1.5, 2.0], "ratio_low": [1.2, 1.5], "ratio_high": [1.875, 2.6667]}
    found = worked(table)
    assert found["measure"].tolist() == ["difference", "ratio"]
    assert 1.5 < found["effect"][1] < 2.0


def test_standard_errors_are_read_from_the_width_of_intervals():
    errors = np.array([0.1, 0.2, 0.15])
    bounds = {"difference_low": [0.1, 0.2, 0.6] - Z * errors, "difference_high": [0.1, 0.2, 0.6] + Z * errors}
    given_errors = effects([0.1, 0.2, 0.6], errors)
    by_width = {name: values for name, values in given_errors.items() if name != "standard_error"} | bounds
    pd.testing.assert_frame_equal(worked(by_width), worked(given_errors))


def test_shrunken_effects_keep_every_row_and_column_on_every_frame(frame):
    columns = effects([0.09, 0.02, 0.01], [0.03, 0.005, 0.005], note=["x", None, "z"])
    data = frame(columns)
    table = add_shrunken_effects(data)
    assert type(table) is type(data)
    rows = records(table)
    assert [row[:4] for row in rows] == records(
        frame(effects([0.09, 0.02, 0.01], [0.03, 0.005, 0.005], note=["x", None, "z"]))
    )
    assert [round(row[4], 3) for row in rows] == [0.059, 0.02, 0.011]


def test_the_order_of_rows_changes_nothing():
    data = pd.DataFrame(effects([0.5, 0.2, 0.9, 0.1], [0.1, 0.2, 0.3, 0.1], channel=["a", "b", "a", "b"]))
    for function in (what_worked_table, add_shrunken_effects):
        pd.testing.assert_frame_equal(function(data, by="channel"), function(data[::-1], by="channel"))


# -- warnings and refusals -----------------------------------------------------------------------------------------


def test_effects_without_an_interval_are_left_out_and_told(frame):
    table = effects([0.5, 0.2, 0.9], [0.1, None, 0.2])
    with pytest.warns(DataQualityWarning, match="1 of 3 rows are left out, since they have no diff"):
        assert records(what_worked_table(frame(table)))[0][1:3] == (2, 2)
    with pytest.warns(DataQualityWarning, match="1 of 3 rows"):
        shrunk = records(add_shrunken_effects(frame(table)))
    assert [row[3] is None for row in shrunk] == [False, True, False]


def test_arms_of_one_campaign_are_told():
    table = effects([0.5, 0.2, 0.9]) | {"campaign_id": ["a", "a", "b"], "arm": ["x", "y", "x"]}
    with pytest.warns(DataQualityWarning, match="hold several rows of campaign 'a'. Arms share their control"):
        assert worked(table)[["campaign_count", "effect_count"]].to_numpy().tolist() == [[2, 3]]
    assert worked(table, by="arm")["effect_count"].tolist() == [2, 1]
    with pytest.warns(DataQualityWarning, match="add_shrunken_effects: the effects hold several rows of campaign 'a'"):
        add_shrunken_effects(make_frame(table, "pandas"))
    add_shrunken_effects(make_frame(table, "pandas"), by="arm")


@pytest.mark.parametrize(
    ("table", "options", "error", "words"),
    [
        (
            effects([0.5]),
            {"by": "chanel", "more": {"channel": ["x"]}},
            MissingColumnsError,
            "needs the columns .*'channel'",
        ),
        ({"campaign_id": [1], "difference": [1.0]}, {}, MissingColumnsError, "difference_low and difference_high"),
        (
            {"difference": [1.0], "standard_error": [1.0]},
            {},
            MissingColumnsError,
            r"needs the columns \['campaign_id'\]",
        ),
        (effects([0.5], [0.0]), {}, SchemaError, "none of the 1 rows has a difference with an interval"),
        (effects([0.5]), {"method": "dl"}, SchemaError, r"method must be one of \['reml', 'dersimonian-laird'\]"),
        (effects([0.5]), {"confidence": 95}, SchemaError, "confidence must be a fraction"),
    ],
)
def test_refusals(table, options, error, words):
    more = options.pop("more", {})
    for function in (what_worked_table, add_shrunken_effects):
        with pytest.raises(error, match=words):
            function(pd.DataFrame(table | more), **options)


def test_results_that_are_not_comparable_are_told():
    remarks = ["not comparable: the groups were not dealt at random", None, None]
    for marked in ({"remark": remarks}, {"verdict": ["not comparable", "as planned", "as planned"]}):
        with pytest.warns(DataQualityWarning, match="what_worked_table: 1 of 3 rows say of themselves that they are n"):
            worked(effects([0.01, 0.02, 0.03], **marked))
