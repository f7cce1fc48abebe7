"""What sizes promise: R's and G*Power's numbers, the power they state, and the way back from counts to effects."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics._kernels.power import means_count, means_effect, means_power, shares_count, shares_power
from crmlytics._kernels.proportion_tests import score_p_value
from crmlytics.campaigns.planning.sizing import detectable_effect_table, sample_size_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import records

TENTH = {"control": 0.1, "mail": 0.9}


def test_rates_as_r_has_them():
    """The examples of R's power.prop.test, with the digits that its help page gives."""
    assert shares_power(0.5, 0.75, 50, 50, 0.05) == pytest.approx(0.7401659, abs=5e-8)
    assert shares_count(0.5, 0.75, 1, 0.05, 0.9) == pytest.approx(76.7, abs=0.05)
    assert shares_count(0.5, 0.501, 1, 0.001, 0.9) == pytest.approx(10451937, rel=1e-7)
    assert shares_count(0.9, 1.0, 1, 0.05, 0.8) == pytest.approx(73.37, abs=5e-3)
    table = detectable_effect_table({"control": 50, "mail": 50}, baseline_rate=0.5, power=0.9)
    assert table["smallest_difference"][0] + 0.5 == pytest.approx(0.8026, abs=5e-5)


def test_means_as_r_and_gpower_have_them():
    """R's power.t.test and pwr.t2n.test (one-sided at 5 %), and G*Power's table for d = 0.5."""
    assert means_power(1, 20, 20, 0.05) == pytest.approx(0.8689528, abs=5e-8)
    assert means_count(1, 1, 0.05, 0.9) == pytest.approx(22.02110, abs=5e-6)
    assert means_power(0.6, 90, 60, 0.10) == pytest.approx(0.9737262, abs=5e-8)
    assert np.ceil([means_count(0.5, 1, 0.05, power) for power in (0.8, 0.95)]).tolist() == [64, 105]


def test_sizes_by_hand():
    """Rates of 2 and 2.2 %: z = 1.95996 and 0.84162, s = 0.0218, null variance 10 / 9, (z s0 + z s1)^2 / 0.002^2."""
    table = sample_size_table(baseline_rate=0.02, lift=0.1, shares=TENTH)
    null = 0.0218 * 0.9782 * 10 / 9
    spread = 0.02 * 0.98 + 0.022 * 0.978 / 9
    held = (1.9599639845 * null**0.5 + 0.8416212336 * spread**0.5) ** 2 / 0.002**2
    assert table["customer_count"].tolist() == [np.ceil(held), np.ceil(9 * held)]
    assert list(table.columns) == [
        "lift", "arm", "share", "expected_value", "customer_count", "total_customer_count", "power",
    ]  # fmt: skip
    assert records(table)[0][:4] == (0.1, "control", 0.1, 0.02)
    assert table["expected_value"][1] == pytest.approx(0.022)
    assert table["total_customer_count"].eq(table["customer_count"].sum()).all()
    assert np.isnan(table["power"][0])
    assert 0.8 <= table["power"][1] < 0.8001


def test_the_smallest_arm_decides_and_comparisons_share_the_significance():
    arms = {"control": 0.5, "mail": 0.4, "call": 0.1}
    table = sample_size_table(baseline_rate=0.1, lift=[0.5, 0.2], shares=arms).set_index(["lift", "arm"])
    assert list(table.index) == [(lift, arm) for lift in (0.2, 0.5) for arm in ("control", "call", "mail")]
    alone = sample_size_table(
        baseline_rate=0.1, lift=0.2, shares={"control": 5 / 6, "call": 1 / 6}, significance=0.025
    )  # the call against the control group, at half the significance
    assert table["customer_count"][0.2, "call"] == alone["customer_count"][1]
    assert table["power"][0.2, "mail"] > table["power"][0.2, "call"] >= 0.8


def test_adjusting_for_the_past_saves_its_square():
    plain, adjusted = (
        sample_size_table(baseline_mean=10, standard_deviation=40, lift=0.05, correlation=rho) for rho in (0, 0.6)
    )
    assert adjusted["customer_count"][0] == pytest.approx(0.64 * plain["customer_count"][0], abs=2)
    plain, adjusted = (sample_size_table(baseline_rate=0.1, lift=0.05, correlation=rho) for rho in (0, -0.6))
    assert adjusted["customer_count"][0] == np.ceil(0.64 * shares_count(0.1, 0.105, 1, 0.05, 0.8))
    assert plain["customer_count"][0] == np.ceil(shares_count(0.1, 0.105, 1, 0.05, 0.8))


def test_halves_need_the_fewest():
    totals = [
        sample_size_table(baseline_mean=10, standard_deviation=40, lift=0.1, shares=shares)["total_customer_count"][0]
        for shares in (None, TENTH)
    ]
    assert totals[1] / totals[0] == pytest.approx(0.25 / 0.09, rel=1e-3)


def test_simulated_tests_find_what_was_promised():
    """20,000 campaigns of the size asked for: the share found is the power, to its simulation error (3 sigma)."""
    table = sample_size_table(baseline_rate=0.1, lift=0.3, shares={"control": 0.25, "mail": 0.75})
    counts = table["customer_count"].to_numpy()
    random = np.random.default_rng(7)
    bought = [random.binomial(n, p, 20_000) for n, p in zip(counts, (0.1, 0.13), strict=True)]
    found = (score_p_value(bought[1], counts[1], bought[0], counts[0]) < 0.05) & (
        bought[1] / counts[1] > bought[0] / counts[0]
    )
    assert found.mean() == pytest.approx(table["power"][1], abs=3 * 0.4 / 20_000**0.5 + 0.004)


@given(rate=st.floats(0.001, 0.6), lift=st.floats(0.02, 0.6), share=st.floats(0.05, 0.95), power=st.floats(0.1, 0.99))
def test_the_count_and_the_effect_are_each_others_way_back(rate, lift, share, power):
    ratio = (1 - share) / share
    held = shares_count(rate, rate * (1 + lift), ratio, 0.05, power)
    assert shares_power(rate, rate * (1 + lift), held, held * ratio, 0.05) == pytest.approx(power, abs=1e-9)
    held = means_count(lift, ratio, 0.05, power)
    if means_power(lift, held, held * ratio, 0.05) > power + 1e-6:  # two customers are enough
        assert held * (1 + ratio) == pytest.approx(2)
    else:
        assert means_effect(held, held * ratio, 0.05, power) == pytest.approx(lift, rel=1e-6)


@given(held=st.integers(2, 10**6), treated=st.integers(2, 10**6), rate=st.floats(0.01, 0.9))
def test_the_smallest_rise_is_found_and_a_smaller_one_is_not(held, treated, rate):
    row = detectable_effect_table({"control": held, "mail": treated}, baseline_rate=rate).iloc[0]
    rise = row["smallest_difference"]
    if np.isnan(rise):
        assert shares_power(rate, 1.0, held, treated, 0.05) < 0.8
    else:
        assert shares_power(rate, rate + rise, held, treated, 0.05) == pytest.approx(0.8, abs=1e-9)
        assert shares_power(rate, rate + 0.99 * rise, held, treated, 0.05) < 0.8
        assert row["smallest_lift"] == pytest.approx(rise / rate)


def test_detectable_effects_count_a_table_on_every_kind(frame):
    assigned = frame({"customer_id": range(60), "arm": ["mail"] * 10 + ["control"] * 30 + ["call"] * 20})
    table = detectable_effect_table(assigned, baseline_mean=10.0, standard_deviation=5.0)
    assert type(table) is type(assigned)
    call, mail = records(table)
    assert (call[:3], mail[:3]) == (("call", 20, 30), ("mail", 10, 30))
    assert call[3] == pytest.approx(5 * means_effect(30, 20, 0.025, 0.8))
    assert mail[4] == pytest.approx(mail[3] / 10)
    (none,) = records(detectable_effect_table(frame({"arm": ["control", "mail"]}), baseline_rate=0.5))
    assert none == ("mail", 1, 1, None, None)


def test_a_lift_in_per_cent_is_told():
    with pytest.warns(DataQualityWarning, match=r"lift=10 is 1000% more: the baseline goes from 0\.02 to 0\.22\. Ten"):
        table = sample_size_table(lift=[0.1, 10], baseline_rate=0.02)
    assert table["expected_value"].round(3).tolist() == [0.02, 0.022, 0.02, 0.22]  # meant or not, it is computed
    with pytest.warns(DataQualityWarning, match="from 30 to 90"):
        sample_size_table(lift=2, baseline_mean=30, standard_deviation=60)
    sample_size_table(lift=[-0.5, 1.0], baseline_rate=0.02)  # twice as many is no slip


def test_refusals_say_what_to_type():
    size = {"baseline_rate": 0.02, "lift": 0.1}
    baselines = ({}, {"baseline_rate": 0.1, "baseline_mean": 1.0}, {"baseline_mean": 1.0})
    for given_ in (*baselines, {"baseline_rate": 0.1, "standard_deviation": 1.0}):
        with pytest.raises(
            SchemaError, match=r"give baseline_rate, such as baseline_rate=0\.02 .* or baseline_mean and"
        ):
            sample_size_table(lift=0.1, **given_)
    with pytest.raises(SchemaError, match=r"a lift of 60 takes the baseline from 0\.02 to 1\.22, which cannot be"):
        sample_size_table(baseline_rate=0.02, lift=60)
    with pytest.raises(SchemaError, match="lift must be a number above zero, got 0"):
        sample_size_table(baseline_rate=0.02, lift=[0.1, 0])
    with pytest.raises(SchemaError, match=r"lift is empty\. Give one or several"):
        sample_size_table(baseline_rate=0.02, lift=[])
    with pytest.raises(
        SchemaError, match=r"no arm of \['hold-out', 'mail'\] is called 'control'.*type control='hold-out'"
    ):
        sample_size_table(**size, shares={"hold-out": 0.1, "mail": 0.9})
    with pytest.raises(SchemaError, match=r"the shares add up to 1\.1, expected shares above 0 that add up to 1"):
        sample_size_table(**size, shares={"control": 0.2, "mail": 0.9})
    with pytest.raises(SchemaError, match="the share of 'control' is 0, expected shares above 0"):
        sample_size_table(**size, shares={"control": 0.0, "mail": 1.0})
    with pytest.raises(SchemaError, match=r"shares must map two arms or more to their shares.*got \[0\.5\]"):
        sample_size_table(**size, shares=[0.5])
    with pytest.raises(SchemaError, match=r"power=0\.05 must be above significance=0\.05"):
        sample_size_table(**size, power=0.05)
    with pytest.raises(SchemaError, match=r"needs the arm 'control' and another one, got \['mail'\]"):
        detectable_effect_table({"mail": 10}, baseline_rate=0.1)
    with pytest.raises(SchemaError, match=r"sizes\['mail'\] must be a whole number of at least 1, got 0\.9"):
        detectable_effect_table({"control": 10, "mail": 0.9}, baseline_rate=0.1)
    with pytest.raises(MissingColumnsError, match=r"needs the columns \['arm'\]\. Did you mean 'Arm'\?"):
        detectable_effect_table(pd.DataFrame({"Arm": ["control"]}), baseline_rate=0.1)
    with pytest.raises(SchemaError, match="'arm' is missing in 1 rows"):
        detectable_effect_table(pd.DataFrame({"arm": ["control", "mail", None]}), baseline_rate=0.1)
