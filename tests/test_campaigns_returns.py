"""What return_table promises: money by hand on every frame, bounds that agree, costs that add up, refusals."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics._frames import to_pandas
from crmlytics.campaigns.measuring.effects import effect_table
from crmlytics.campaigns.measuring.response_curves import response_curve_table
from crmlytics.campaigns.measuring.returns import return_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError

# 40 of 200 treated and 20 of 200 held out bought for 50 each
SPRING = {
    "customer_id": list(range(400)),
    "arm": ["mail"] * 200 + ["control"] * 200,
    "converted": [True] * 40 + [False] * 160 + [True] * 20 + [False] * 180,
    "revenue_amount": [50.0] * 40 + [0.0] * 160 + [50.0] * 20 + [0.0] * 180,
    "contact_cost_amount": [0.5] * 200 + [0.0] * 200,
}
OF_REVENUE = {"value": "revenue_amount", "margin_share": 0.4}


def only(table):
    rows = to_pandas(table)
    assert len(rows) == 1
    return rows.iloc[0]


def two_campaigns(size=1200, seed=0):
    rng = np.random.default_rng(seed)
    outcomes = pd.DataFrame({"campaign_id": rng.choice([1, 2], size), "customer_id": np.arange(size)})
    outcomes["arm"] = rng.choice(["control", "mail", "call"], size)
    outcomes["converted"] = rng.random(size) < 0.2
    outcomes["margin_amount"] = np.where(outcomes["converted"], rng.gamma(2, 10, size), 0)
    outcomes["pre_margin_amount"] = rng.gamma(1, 5, size)
    return outcomes


# -- by hand -------------------------------------------------------------------------------------------------------


def test_money_by_hand_on_every_frame(frame):
    outcomes = frame(SPRING)
    table = return_table(outcomes, **OF_REVENUE, offer_cost=2, campaign_costs=30)
    assert type(table) is type(outcomes)
    row = only(table)
    assert (row["arm"], row["treated_count"], row["control_count"]) == ("mail", 200, 200)
    assert row["incremental_conversion_count"] == pytest.approx(20)  # (.2 - .1) x 200
    assert row["incremental_revenue_amount"] == pytest.approx(1000)
    assert row["incremental_margin_amount"] == pytest.approx(400)
    costs = [row[f"{name}cost_amount"] for name in ("contact_", "offer_", "fixed_", "")]
    assert costs == pytest.approx([100, 80, 30, 210])  # offers go to those too who would have bought anyway
    assert row["incremental_profit_amount"] == pytest.approx(190)
    assert row["roi"] == pytest.approx(190 / 210)
    assert row["cost_per_conversion_amount"] == pytest.approx(210 / 20)
    assert pd.isna(row["payback_days"])
    assert pd.isna(row["remark"])


def test_the_margin_has_the_interval_of_the_effect():
    outcomes = pd.DataFrame(SPRING)
    row = only(return_table(outcomes, **OF_REVENUE))
    effects = effect_table(outcomes).set_index("metric")
    for end in ("", "_low", "_high"):
        revenue = effects.loc["revenue_amount", f"incremental_total{end}"]
        assert row[f"incremental_revenue_amount{end}"] == pytest.approx(revenue)
        assert row[f"incremental_margin_amount{end}"] == pytest.approx(0.4 * revenue)
        assert row[f"incremental_profit_amount{end}"] == pytest.approx(0.4 * revenue - 100)
        assert row[f"roi{end}"] == pytest.approx((0.4 * revenue - 100) / 100)
    conversions = effects.loc["converted"]
    assert row["cost_per_conversion_amount_low"] == pytest.approx(100 / conversions["incremental_total_high"])
    assert row["cost_per_conversion_amount_high"] == pytest.approx(100 / conversions["incremental_total_low"])


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), cost=st.floats(0, 5), fixed=st.floats(0, 2000))
def test_costs_add_up_and_bounds_and_probability_agree(seed, cost, fixed):
    outcomes = two_campaigns(300, seed)
    table = return_table(outcomes, contact_cost=cost, campaign_costs={1: fixed}, offer_cost=1)
    assert table[["campaign_id", "arm"]].to_numpy().tolist() == [[1, "call"], [1, "mail"], [2, "call"], [2, "mail"]]
    parts = table[["contact_cost_amount", "offer_cost_amount", "fixed_cost_amount"]]
    assert table["cost_amount"].tolist() == pytest.approx(parts.sum(axis=1).tolist())
    assert table.groupby("campaign_id")["fixed_cost_amount"].sum().tolist() == pytest.approx([fixed, 0])
    treated = outcomes[outcomes["arm"] != "control"]
    assert parts["contact_cost_amount"].sum() == pytest.approx(cost * len(treated))
    assert parts["offer_cost_amount"].sum() == treated["converted"].sum()
    probability = table["probability_profitable"]
    assert ((probability > 0.975) == (table["incremental_profit_amount_low"] > 0)).all()
    assert ((probability < 0.025) == (table["incremental_profit_amount_high"] < 0)).all()


def test_costs_logged_for_the_control_group_are_no_costs_of_contacts():
    outcomes = pd.DataFrame(SPRING | {"contact_cost_amount": 0.5})
    assert only(return_table(outcomes, **OF_REVENUE))["contact_cost_amount"] == pytest.approx(200 * 0.5)


def test_the_row_order_does_not_matter():
    outcomes = two_campaigns()
    table = return_table(outcomes, contact_cost=0.1)
    pd.testing.assert_frame_equal(return_table(outcomes[::-1], contact_cost=0.1), table)


def test_the_unit_of_money_does_not_matter():
    euros = only(return_table(pd.DataFrame(SPRING), **OF_REVENUE, campaign_costs=20))
    cents = pd.DataFrame(SPRING).assign(revenue_amount=lambda t: 100 * t["revenue_amount"], contact_cost_amount=50.0)
    cents.loc[cents["arm"] == "control", "contact_cost_amount"] = 0.0
    in_cents = only(return_table(cents, **OF_REVENUE, campaign_costs=2000))
    assert in_cents["roi_low"] == pytest.approx(euros["roi_low"])
    assert in_cents["probability_profitable"] == pytest.approx(euros["probability_profitable"])


# -- what cannot be told -------------------------------------------------------------------------------------------


def test_bounds_are_missing_where_there_may_be_no_conversion_at_all():
    outcomes = pd.DataFrame(SPRING).assign(converted=[True] * 24 + [False] * 176 + [True] * 20 + [False] * 180)
    row = only(return_table(outcomes, **OF_REVENUE))
    assert row["cost_per_conversion_amount"] == pytest.approx(25)
    assert row["cost_per_conversion_amount_low"] > 0
    assert pd.isna(row["cost_per_conversion_amount_high"])


def test_no_return_on_no_cost_and_no_conversions_without_a_flag():
    row = only(return_table(pd.DataFrame(SPRING).drop(columns="converted"), **OF_REVENUE, contact_cost=0))
    assert row["cost_amount"] == 0
    assert pd.isna([row["roi"], row["incremental_conversion_count"], row["cost_per_conversion_amount"]]).all()
    assert row["incremental_profit_amount"] == pytest.approx(400)


def test_a_single_customer_held_out_tells_no_interval():
    outcomes = pd.DataFrame(SPRING)[:201]
    row = only(return_table(outcomes, **OF_REVENUE))
    assert row["incremental_profit_amount"] == pytest.approx(0.4 * (10 - 50) * 200 - 100)
    assert pd.isna([row["incremental_profit_amount_low"], row["probability_profitable"]]).all()
    assert row["remark"] == "a single customer in an arm: no interval"


# -- payback -------------------------------------------------------------------------------------------------------


def test_payback_is_the_first_day_on_which_the_lift_was_worth_the_cost():
    curve = pd.DataFrame({"arm": "mail", "metric": "revenue_amount", "day": [3, 1, 2], "difference": [5.0, 1.0, 2.0]})
    for cost, days in ((0.4, 1), (0.8, 2), (1.9, 3), (2.1, None)):  # .4 x 1, .4 x 2 and .4 x 5 per customer
        row = only(return_table(pd.DataFrame(SPRING), **OF_REVENUE, contact_cost=cost, curve=curve))
        assert row["payback_days"] == days if days else pd.isna(row["payback_days"])


def test_what_covered_the_cost_for_some_days_only_did_not_pay_back():
    curve = pd.DataFrame({"arm": "mail", "metric": "revenue_amount", "day": [4, 1, 2, 3]})
    for difference, days in (([0.1, 2.0, 0.1, 2.0], None), ([2.0, 2.0, 0.1, 1.0], 3), ([9.0] * 4, 1)):  # of day 4 first
        lifts = curve.assign(difference=difference)
        row = only(return_table(pd.DataFrame(SPRING), **OF_REVENUE, contact_cost=0.4, curve=lifts))
        assert row["payback_days"] == days if days else pd.isna(row["payback_days"])


def test_payback_from_the_curve_of_the_same_contacts():
    day = pd.Timestamp("2024-03-01")
    contacts = pd.DataFrame({"customer_id": range(400), "arm": SPRING["arm"], "timestamp": day})
    buyers = [place for place, bought in enumerate(SPRING["converted"]) if bought]
    orders = pd.DataFrame({"customer_id": buyers, "order_id": buyers, "amount": 50.0})
    orders["timestamp"] = [day + pd.Timedelta(days=place % 10) for place in range(len(buyers))]
    curve = response_curve_table(contacts, orders, as_of="2024-06-01", horizon="20d")
    outcomes = pd.DataFrame(SPRING).assign(campaign_id="campaign")
    row = only(return_table(outcomes, **OF_REVENUE, curve=curve))
    lift = curve[curve["metric"] == "revenue_amount"].set_index("day")["difference"]
    covered = lift[lift * 0.4 * 200 >= 100].index[0]
    assert 1 < row["payback_days"] == covered < 10


def test_a_curve_of_other_contacts_is_refused():
    curve = pd.DataFrame({"arm": ["call"], "metric": ["revenue_amount"], "day": [1], "difference": [1.0]})
    with pytest.raises(SchemaError, match=r"curve has nothing of arm 'mail'\. Give response_curve_table"):
        return_table(pd.DataFrame(SPRING), **OF_REVENUE, curve=curve)
    with pytest.raises(SchemaError, match=r"curve has no metric 'revenue_amount', only \['converted'\]"):
        return_table(pd.DataFrame(SPRING), **OF_REVENUE, curve=curve.assign(metric="converted"))
    with pytest.raises(MissingColumnsError, match=r"return_table needs the columns \['day'\]"):
        return_table(pd.DataFrame(SPRING), **OF_REVENUE, curve=curve.drop(columns="day"))


def test_customers_not_contacted_are_no_control_group():
    outcomes = pd.DataFrame(SPRING).replace({"arm": {"control": "not contacted"}})
    with pytest.warns(DataQualityWarning, match="return_table: 'not contacted' is no control group.*See matched_effe"):
        row = only(return_table(outcomes, **OF_REVENUE, control="not contacted"))
    assert row["remark"] == "not comparable: the groups were not dealt at random"
    assert pd.isna(row["probability_profitable"])
    trial = only(return_table(pd.DataFrame(SPRING), **OF_REVENUE))
    assert row["incremental_profit_amount"] == trial["incremental_profit_amount"]


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"value": "revenue_amount"}, "revenue is no profit. Say how much of it is margin, such as margin_share=0.3"),
        ({}, r"no column 'margin_amount'. Of revenue say how much is margin: value='revenue_amount', margin_share=0.3"),
        ({"value": "revenu_amount"}, r"no column 'revenu_amount'. Did you mean 'revenue_amount'\?"),
        (OF_REVENUE | {"margin_share": 40}, "margin_share must be a fraction between 0 and 1"),
        (OF_REVENUE | {"contact_cost": -1}, "contact_cost must be a number of zero or more, got -1"),
        (OF_REVENUE | {"campaign_costs": "100"}, "campaign_costs must be a number of zero or more"),
        (
            OF_REVENUE | {"campaign_costs": {"spring": 1}},
            r"names the campaigns \['spring'\], and the table has no campaign_id: give one",
        ),
    ],
)
def test_money_that_does_not_add_up_is_refused(options, words):
    with pytest.raises(SchemaError, match=words):
        return_table(pd.DataFrame(SPRING), **options)


def test_costs_must_be_given():
    with pytest.raises(MissingColumnsError, match=r"what did a contact cost\? Type contact_cost=0.5"):
        return_table(pd.DataFrame(SPRING).drop(columns="contact_cost_amount"), **OF_REVENUE)
    with pytest.raises(SchemaError, match=r"one amount for 2 campaigns. Say which: campaign_costs=\{1: 100\}"):
        return_table(two_campaigns(), contact_cost=1, campaign_costs=100)
    with pytest.raises(SchemaError, match=r"names the campaigns \[3\], and the table has \[1, 2\]"):
        return_table(two_campaigns(), contact_cost=1, campaign_costs={3: 100})
    with pytest.raises(MissingColumnsError, match="'converted'"):
        return_table(pd.DataFrame(SPRING).drop(columns="converted"), **OF_REVENUE, offer_cost=1)


def test_a_handful_of_customers_have_a_probability_where_they_have_bounds():
    table = pd.DataFrame({
        "customer_id": range(5), "arm": ["mail"] * 3 + ["control"] * 2, "contact_cost_amount": [0.5] * 3 + [0.0] * 2,
        "margin_amount": [9.0, 4.0, 1.0, 2.0, 3.0], "pre_margin_amount": [1.0, 2.0, 5.0, 4.0, 2.0],
    })  # fmt: skip
    row = return_table(table).iloc[0]
    assert row["incremental_profit_amount_low"] < row["incremental_profit_amount_high"]
    assert 0 < row["probability_profitable"] < 1
