"""What loyalty_table promises: hand-counted economics of tiers, sums that add up, comparisons told apart, refusals."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from crmlytics.campaigns.learning.loyalty import loyalty_table
from crmlytics.campaigns.measuring.effects import effect_table
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

PEOPLE = {
    "customer_id": list(range(8)),
    "tier": ["gold"] * 4 + ["silver"] * 4,
    "arm": ["member", "member", "control", "control"] * 2,
    "margin_amount": [120.0, 100.0, 91.0, 89.0, 30.0, 34.0, 29.0, 31.0],
    "bonus_cost_amount": [6.0, 5.0, 0.0, 0.0, 3.0, 3.0, 0.0, 0.0],
    "pre_margin_amount": [100.0, 90.0, 90.0, 88.0, 30.0, 30.0, 28.0, 30.0],
}


def loyalty(people=PEOPLE, **options):
    more = {name: options.pop(name) for name in list(options) if name in PEOPLE}
    return loyalty_table(make_frame(people | more, "pandas"), **options).set_index("tier")


def test_tiers_by_hand_on_every_frame(frame):
    people = frame(PEOPLE)
    table = loyalty_table(people, fixed_cost=7.0)
    assert type(table) is type(people)
    told = "members against held-out customers"
    kept = [(*row[:7], row[7], *row[10:13], row[15], *row[16:18]) for row in records(table)]
    assert kept == [
        ("gold", told, 2, 2, 110.0, 90.0, 90 / 110, 40.0, 11.0, 0.0, 29.0, pytest.approx(29 / 11), 20 / 90, 5.5 / 90),
        ("silver", told, 2, 2, 32.0, 30.0, 30 / 32, 4.0, 6.0, 0.0, -2.0, pytest.approx(-2 / 6), 2 / 30, 3 / 30),
        ("all", told, 4, 4, 71.0, 60.0, 240 / 284, 44.0, 17.0, 7.0, 20.0, pytest.approx(20 / 24), 44 / 240, 24 / 240),
    ]


def test_the_net_interval_is_welchs_of_value_less_bonus():
    """Arms of equal size have no skewness to set right."""
    found = loyalty().loc["gold"]
    net = stats.ttest_ind([114.0, 95.0], [91.0, 89.0], equal_var=False).confidence_interval(0.95)
    assert found[["net_amount_low", "net_amount_high"]].tolist() == pytest.approx([2 * net.low, 2 * net.high])
    gain = stats.ttest_ind([120.0, 100.0], [91.0, 89.0], equal_var=False).confidence_interval(0.95)
    bounds = found[["incremental_amount_low", "incremental_amount_high"]].tolist()
    assert bounds == pytest.approx([2 * gain.low, 2 * gain.high])


def test_few_held_out_have_the_interval_that_effect_table_gives_them():
    """A long tail and a small control group: the interval is not symmetric."""
    random = np.random.default_rng(2)
    people = pd.DataFrame({"customer_id": range(600), "tier": "gold", "arm": ["member"] * 550 + ["control"] * 50,
                           "margin_amount": random.lognormal(3, 1, 600), "bonus_cost_amount": 0.0})  # fmt: skip
    found = loyalty_table(people).iloc[0]
    effect = effect_table(people, metrics="margin_amount", covariates=None).iloc[0]
    low, high = 550 * effect["difference_low"], 550 * effect["difference_high"]
    assert found[["net_amount_low", "net_amount_high"]].tolist() == pytest.approx([low, high])
    assert abs(high - found["net_amount"]) != pytest.approx(abs(found["net_amount"] - low), rel=0.01)


def test_members_against_themselves_before():
    people = {name: values for name, values in PEOPLE.items() if name != "arm"}
    with_arms = loyalty(against="pre_period")
    members = {name: [value for value, arm in zip(values, PEOPLE["arm"], strict=True) if arm == "member"]
               for name, values in people.items()}  # fmt: skip
    alone = loyalty(members, against="pre_period")
    pd.testing.assert_frame_equal(with_arms, alone)
    gold = alone.loc["gold"]
    assert gold[["member_count", "comparison_count", "incremental_amount", "net_amount"]].tolist() == [2, 0, 30.0, 19.0]
    reach = stats.t.ppf(0.975, 1) * np.std([14.0, 5.0], ddof=1) * np.sqrt(2)
    assert gold["net_amount_high"] == pytest.approx(19 + reach)
    assert gold["comparison"] == "members against themselves before"


def test_change_against_change_by_hand():
    found = loyalty(against="change")
    assert found.loc["gold", "incremental_amount"] == pytest.approx(2 * ((20 + 10) / 2 - 1))
    assert found.loc["silver", "incremental_amount"] == pytest.approx(2 * ((0 + 4) / 2 - 1))


def test_the_period_before_may_have_been_longer():
    longer = [3 * value for value in PEOPLE["pre_margin_amount"]]
    expected = loyalty(against="change")
    pd.testing.assert_frame_equal(loyalty(against="change", pre_margin_amount=longer, pre_factor=1 / 3), expected)


def test_all_adds_tiers_up_whatever_share_of_each_was_held_out():
    """Ten times as many gold held out as silver: pooled over tiers, control would look rich."""
    random = np.random.default_rng(3)
    tier = np.repeat(["gold", "silver"], [2000, 2000])
    held = random.random(4000) < np.where(tier == "gold", 0.5, 0.05)
    margin = np.where(tier == "gold", 100.0, 10.0) + random.normal(0, 5, 4000) + 2.0 * ~held
    people = {"customer_id": range(4000), "tier": tier, "arm": np.where(held, "control", "member"),
              "margin_amount": margin, "bonus_cost_amount": 1.0 * ~held}  # fmt: skip
    found = loyalty(people)
    parts = found.drop(index="all")
    columns = ["member_count", "incremental_amount", "bonus_cost_amount", "net_amount"]
    np.testing.assert_allclose(found.loc["all", columns].astype(float), parts[columns].sum())
    per_member = found["incremental_amount"] / found["member_count"]
    assert per_member["all"] == pytest.approx(2.0, abs=0.6)
    assert found.loc["all", "verdict"] == "pays"


cents = st.integers(0, 100_000).map(lambda number: number / 100)


@settings(max_examples=25)
@given(
    margin=st.lists(cents, min_size=8, max_size=8),
    bonus=st.lists(cents, min_size=8, max_size=8),
    fixed=cents,
    against=st.sampled_from(["control", "pre_period", "change"]),
)
def test_net_is_what_is_gained_less_what_it_cost(margin, bonus, fixed, against):
    found = loyalty(margin_amount=margin, bonus_cost_amount=bonus, fixed_cost=fixed, against=against)
    cost = found["bonus_cost_amount"] + found["fixed_cost_amount"]
    np.testing.assert_allclose(found["net_amount"], found["incremental_amount"] - cost, atol=1e-8)
    total, baseline = found["value_per_member_amount"], found["baseline_per_member_amount"]
    np.testing.assert_allclose((total - baseline) * found["member_count"], found["incremental_amount"], atol=1e-8)
    np.testing.assert_allclose(found.loc["all", "net_amount"], found["net_amount"][:-1].sum() - fixed, atol=1e-8)


@pytest.mark.parametrize(
    ("bonus", "verdict"), [(0.0, "pays"), (15.0, "costs more than it brings"), (5.0, "cannot tell")]
)
def test_every_verdict(bonus, verdict):
    noise = [-1.0, 1.0] * 20
    people = {"customer_id": range(80), "tier": ["gold"] * 80, "arm": ["control"] * 40 + ["member"] * 40,
              "margin_amount": [10 + one for one in noise] + [15 + one for one in noise],
              "bonus_cost_amount": [0.0] * 40 + [bonus] * 40}  # fmt: skip
    assert loyalty(people)["verdict"].tolist() == [verdict] * 2  # one tier is all


def test_one_customer_on_a_side_has_no_interval():
    people = {name: values[1:] for name, values in PEOPLE.items()}
    found = loyalty(people)
    assert found["net_amount_low"].isna().tolist() == [True, False, True]
    assert found.loc["gold", "net_amount"] == 100 - 90 - 5
    assert found.loc["all", "verdict"] == "cannot tell"


def test_what_is_not_above_zero_is_no_base_of_a_share():
    found = loyalty(margin_amount=[-1.0] * 8, bonus_cost_amount=[0.0] * 8)
    assert found[["anyway_share", "roi", "lift_share", "break_even_lift_share"]].isna().all(axis=None)


def test_the_order_of_rows_changes_nothing():
    people = pd.DataFrame(PEOPLE)
    for against in ("control", "pre_period"):
        first, second = (loyalty_table(one, against=against) for one in (people, people[::-1]))
        pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize(
    ("people", "options", "error", "words"),
    [
        (PEOPLE | {"arm": ["member"] * 8}, {}, SchemaError, r"there is no control group.*against=\"pre_period\""),
        (
            PEOPLE | {"arm": ["control"] * 4 + ["member"] * 4},
            {},
            SchemaError,
            "tier 'gold' is in a programme",
        ),
        (
            PEOPLE | {"arm": ["member"] * 6 + ["control"] * 2},
            {},
            SchemaError,
            "tier 'gold' is in the control",
        ),
        (PEOPLE | {"arm": ["control"] * 8}, {"against": "pre_period"}, SchemaError, "no row is of a member"),
        (PEOPLE | {"tier": ["all"] * 8}, {}, SchemaError, "tier='all' is the name of the last row"),
        (PEOPLE, {"value": "revenue_amount"}, MissingColumnsError, r"needs the columns \['revenue_amount'\]"),
        (PEOPLE, {"value": "bonus_cost_amount", "against": "change"}, MissingColumnsError, "'pre_bonus_cost_amount'"),
        (PEOPLE, {"against": "before"}, SchemaError, "against must be one of .*'pre_period'"),
        (PEOPLE, {"fixed_cost": -1}, SchemaError, "fixed_cost must be a number of zero or more"),
        (PEOPLE, {"pre_factor": 0}, SchemaError, "pre_factor must be a number above zero"),
        (PEOPLE, {"confidence": 95}, SchemaError, "confidence must be a fraction"),
        (PEOPLE | {"bonus_cost_amount": [None] * 8}, {}, SchemaError, "bonus_cost_amount"),
        (
            PEOPLE | {"bonus_cost_amount": [-2.5, -1.0] + [0.0] * 6},
            {},
            SchemaError,
            "'bonus_cost_amount' is below 0 for 2 customers, the least is -2.5. Expected",
        ),
        (PEOPLE | {"customer_id": [1] * 8}, {"against": "pre_period"}, SchemaError, "customer_id"),
    ],
)
def test_refusals(people, options, error, words):
    with pytest.raises(error, match=words):
        loyalty_table(pd.DataFrame(people), **options)


def test_another_way_is_only_told_where_nobody_was_held_out():
    lacks_arm = pd.DataFrame(PEOPLE).rename(columns={"arm": "no control group"})
    with pytest.raises(MissingColumnsError, match=r"needs the columns \['arm'\]") as told:
        loyalty_table(lacks_arm)
    assert "pre_period" not in str(told.value)


def test_gains_that_are_all_the_same_are_no_certainty():
    people = {"margin_amount": [20.0] * 8, "pre_margin_amount": [10.0] * 8}
    row = loyalty(against="pre_period", **people).loc["gold"]
    assert pd.isna(row[["incremental_amount_low", "incremental_amount_high"]]).all()
    assert row["verdict"] != "pays"
