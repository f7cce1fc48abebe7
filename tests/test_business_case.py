"""What a business case promises: figures counted by hand on every frame, the rules of money, refusals."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crmlytics._business_case import CampaignPlan, goal_table, plan_scenarios, plot_tornado, sensitivity_table
from crmlytics.clv import business_case, cash_flow_table
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.testing import records

CASE = {
    "scenario": ["worst", "worst", "worst", "likely", "likely", "likely", "likely"],
    "period": [0, 1, 2, 2, 0, 1, 1],
    "benefit_amount": [0.0, 30.0, 40.0, 110.0, 0.0, 50.0, 5.0],
    "cost_amount": [100.0, 10.0, 0.0, 0.0, 100.0, 0.0, 5.0],
}
WEIGHTS = {"likely": 0.75, "worst": 0.25}


def test_case_by_hand_on_every_kind(frame):
    case = frame(CASE)
    table = business_case(case, discount_rate=0.1)
    assert type(table) is type(case)
    likely, worst = records(table)
    assert likely[:3] == ("likely", 165.0, 105.0)
    assert worst[:3] == ("worst", 70.0, 110.0)
    assert likely[3] == pytest.approx(-100 + 50 / 1.1 + 110 / 1.21, rel=1e-14)
    assert worst[3] == pytest.approx(-100 + 20 / 1.1 + 40 / 1.21, rel=1e-14)
    assert likely[4] == pytest.approx(1 + 50 / 110)
    assert worst[4] is None
    assert (likely[5], worst[5]) == pytest.approx((60 / 105, -40 / 110))
    assert likely[6] == pytest.approx(
        (50 + math.sqrt(50**2 + 4 * 100 * 110)) / 200 - 1, rel=1e-12
    )  # 100 q^2 = 50 q + 110
    assert worst[6] == pytest.approx((20 + math.sqrt(20**2 + 4 * 100 * 40)) / 200 - 1, rel=1e-12)


def test_cash_flows_by_hand_on_every_kind(frame):
    rows = records(cash_flow_table(frame(CASE), discount_rate=0.25))
    assert rows[:3] == [
        ("likely", 0, 0.0, 100.0, -100.0, -100.0, -100.0, -100.0),
        ("likely", 1, 55.0, 5.0, 50.0, -50.0, 40.0, -60.0),
        ("likely", 2, 110.0, 0.0, 110.0, 60.0, 70.4, pytest.approx(10.4)),
    ]
    assert [row[0] for row in rows[3:]] == ["worst"] * 3


def test_probabilities_add_the_case_of_the_expected_flows(frame):
    rows = records(business_case(frame(CASE), discount_rate=0.1, probabilities=WEIGHTS))
    likely, worst, expected = rows
    assert [row[0] for row in rows] == ["likely", "worst", "expected"]
    assert [row[7] for row in rows] == [0.75, 0.25, 1.0]
    assert expected[3] == pytest.approx(0.75 * likely[3] + 0.25 * worst[3], rel=1e-13)
    assert expected[4] == pytest.approx(1 + (100 - 42.5) / 92.5)  # -100, 42.5, 92.5
    flows = cash_flow_table({"a": [-1], "b": [-1, 4]}, discount_rate=0, probabilities={"a": 0.5, "b": 0.5})
    assert flows.loc[flows["scenario"] == "expected", "net_amount"].tolist() == [-1, 2]


@pytest.mark.parametrize(
    ("flows", "payback", "irr"),
    [
        ([-100, 110], 1 - 10 / 110, 0.1),
        ([-100, 0, 0, 133.1], 2 + 100 / 133.1, 0.1),
        ([-100, 50, 50], 2.0, 0.0),
        ([-100, 20], None, -0.8),
        ([-100, 250, -150], 100 / 250, None),  # NPV is zero at 0 % and at 50 %
        ([-1000, 3600, -4310, 1716], 1000 / 3600, None),  # at 10, 20 and 30 %
        ([0, 0, 10], 0.0, None),
        ([-10, -5], None, None),
        ([0.0], 0.0, None),
        ([0, -100, 0, 121], 2 + 100 / 121, 0.1),
        ([-1e-8, 1e8], 1e-16, 1e16 - 1),
        ([-0.3, 0.1, 0.1, 0.1], 3.0, 0.0),  # 0.1 + 0.1 + 0.1 - 0.3 is not 0 in binary
    ],
)
def test_payback_and_irr(flows, payback, irr):
    row = dict(
        zip(["payback", "roi", "irr"], records(business_case({"only": flows}, discount_rate=0.1))[0][4:], strict=True)
    )
    assert row["payback"] == (None if payback is None else pytest.approx(payback, abs=1e-9))
    assert row["irr"] == (None if irr is None else pytest.approx(irr, rel=1e-9, abs=1e-12))


amounts = st.lists(st.integers(-(10**6), 10**6).map(float), min_size=1, max_size=30)


@given(flows=amounts, rate=st.floats(0, 2))
def test_the_figures_keep_the_rules_of_money(flows, rate):
    (row,) = records(business_case({"only": flows}, discount_rate=rate))
    npv, payback, roi, irr = row[3:]
    moved = sum(map(abs, flows))
    assert npv == pytest.approx(sum(flow / (1 + rate) ** t for t, flow in enumerate(flows)), abs=1e-9 * moved)
    running = np.cumsum(flows)
    if payback is None:
        assert running[-1] < 0
    elif payback > 0:
        assert running[math.ceil(payback)] >= 0 > running[math.ceil(payback) - 1]
    else:
        assert (running >= 0).all()
    assert (roi is None) == (min(flows) >= 0)
    if irr is not None and -0.9 < irr < 10:
        at_irr = sum(flow / (1 + irr) ** t for t, flow in enumerate(flows))
        scale = sum(abs(flow) / (1 + irr) ** t for t, flow in enumerate(flows))
        assert abs(at_irr) < 1e-10 * scale
    table = cash_flow_table({"only": flows}, discount_rate=rate)
    assert table["cumulative_discounted_amount"].iloc[-1] == pytest.approx(npv, abs=1e-9 * moved)
    assert table["net_amount"].tolist() == flows


@given(investment=st.floats(1, 1e6), returns=st.lists(st.floats(0, 1e6), min_size=1, max_size=40), rate=st.floats(0, 1))
def test_irr_above_the_discount_rate_means_it_pays(investment, returns, rate):
    assume(max(returns) > 0)
    row = records(business_case({"only": [-investment, *returns]}, discount_rate=rate))[0]
    assert row[6] is not None
    assume(abs(row[3]) > 1e-9 * investment)
    assert (row[6] > rate) == (row[3] > 0)


def test_refusals_say_what_to_give():
    table = pd.DataFrame(CASE)
    with pytest.raises(MissingColumnsError, match=r"business_case needs the columns \['cost_amount'\].*give a dict"):
        business_case(table.drop(columns="cost_amount"), discount_rate=0.1)
    with pytest.raises(
        SchemaError, match="benefit_amount and cost_amount must be numbers of zero or more; costs are posi"
    ):
        business_case(table.assign(cost_amount=-1.0), discount_rate=0.1)
    with pytest.raises(SchemaError, match="benefit_amount and cost_amount must be numbers of zero or more"):
        business_case(table.assign(benefit_amount=[math.nan, *[1.0] * 6]), discount_rate=0.1)
    for bad in (-1, 0.5, 1e9, math.nan):
        with pytest.raises(SchemaError, match="period must be a whole number from 0, which is now, to 10000"):
            business_case(table.assign(period=bad), discount_rate=0.1)
    with pytest.raises(SchemaError, match="some rows name no scenario"):
        business_case(table.assign(scenario=[None, *["a"] * 6]), discount_rate=0.1)
    with pytest.raises(SchemaError, match=r"cash flows of 'a' must be a list of finite numbers, got \[1, nan\]"):
        cash_flow_table({"a": [1, math.nan]}, discount_rate=0.1)
    with pytest.raises(SchemaError, match="business_case: there is no scenario"):
        business_case({}, discount_rate=0.1)
    with pytest.raises(SchemaError, match=r"discount_rate must be a number of zero or more, got -0\.1"):
        business_case(table, discount_rate=-0.1)


def test_probabilities_must_be_complete():
    table = pd.DataFrame(CASE)
    with pytest.raises(SchemaError, match=r"must name every scenario: \['likely', 'worst'\], got \['likely'\]"):
        business_case(table, discount_rate=0.1, probabilities={"likely": 1.0})
    with pytest.raises(SchemaError, match=r"the probabilities add up to 1\.25, expected 1"):
        business_case(table, discount_rate=0.1, probabilities={"likely": 1.0, "worst": 0.25})
    with pytest.raises(SchemaError, match="a scenario is called 'expected', like the row that probabilities add"):
        business_case({"expected": [-1, 2]}, discount_rate=0.1, probabilities={"expected": 1.0})


# -- plans, drivers and what they do

PLAN = {
    "customer_count": 1000, "uplift_share": 0.02, "order_amount": 50, "margin_share": 0.4, "orders_per_period": 2,
    "retention_share": 0.5, "period_count": 2, "contact_cost_amount": 0.25, "offer_cost_amount": 4, "taker_share": 0.05,
    "fixed_cost_amount": 100, "running_cost_amount": 10,
}  # fmt: skip


def test_a_plan_by_hand():
    """20 more buyers, 2 orders of 50: 2,000 of revenue, then half of it; 100 + 1,000 x (0.25 + 0.05 x 4) = 550."""
    plan = CampaignPlan(**PLAN)
    assert records(plan.to_frame("likely")) == [
        ("likely", 0, 0.0, 0.0, 550.0),
        ("likely", 1, 2000.0, 800.0, 10.0),
        ("likely", 2, 1000.0, 400.0, 10.0),
    ]
    case = business_case({"likely": plan}, discount_rate=0.25)
    assert records(case[["revenue_amount", "benefit_amount", "cost_amount"]]) == [(3000.0, 1200.0, 570.0)]
    assert case["npv_amount"][0] == pytest.approx(-550 + 790 / 1.25 + 390 / 1.5625)
    assert case["payback_period_count"][0] == pytest.approx(550 / 790)
    assert records(case) == records(business_case(plan.to_frame("likely"), discount_rate=0.25))
    lost = CampaignPlan(customer_count=100, uplift_share=-0.1, order_amount=10, margin_share=0.5)
    assert records(lost.to_frame())[1] == ("plan", 1, -100.0, 0.0, 50.0)  # the margin lost is a cost


def test_revenue_comes_along_on_every_kind(frame):
    case = frame({**CASE, "revenue_amount": [0.0, 60.0, 80.0, 220.0, 0.0, 100.0, 10.0]})
    table = business_case(case, discount_rate=0.1, probabilities=WEIGHTS)
    assert [row[7] for row in records(table)] == [330.0, 140.0, 0.75 * 330 + 0.25 * 140]
    assert [row[:7] for row in records(table)[:2]] == records(business_case(frame(CASE), discount_rate=0.1))
    assert [row[-1] for row in records(cash_flow_table(case, discount_rate=0.1))][:3] == [0.0, 110.0, 220.0]


def test_revenue_is_missing_where_a_scenario_does_not_tell_it():
    mixed = {"list": [-100, 120], "plan": CampaignPlan(**PLAN)}
    case = business_case(mixed, discount_rate=0.1, probabilities={"list": 0.5, "plan": 0.5})
    assert [value[-2] for value in records(case)] == [None, 3000.0, None]
    assert [value[-1] for value in records(cash_flow_table(mixed, discount_rate=0.1))][:3] == [None, None, 0.0]


RANGES = {**PLAN, "uplift_share": (0.005, 0.02, 0.03), "order_amount": (40, 50, 60), "period_count": (1, 2, 6)}


def test_scenarios_take_all_drivers_to_one_end():
    scenarios = plan_scenarios(CampaignPlan, drivers=RANGES)
    assert list(scenarios) == ["worst", "likely", "best"]
    ends = {"uplift_share": 0.03, "order_amount": 60, "period_count": 6}
    assert scenarios["best"] == CampaignPlan(**{**PLAN, **ends})
    assert scenarios["likely"] == CampaignPlan(**PLAN)
    assert scenarios["worst"] == CampaignPlan(**{**PLAN, "uplift_share": 0.005, "order_amount": 40, "period_count": 1})


def test_sensitivity_by_hand():
    """Without discount: net = customers x uplift x 2 x order x 0.4 x 1.5 - 570 with two periods."""
    table = sensitivity_table(CampaignPlan, drivers=RANGES, discount_rate=0.0).set_index("driver")
    assert list(table.index) == ["uplift_share", "period_count", "order_amount"]
    assert table.loc["uplift_share"].tolist() == pytest.approx(
        [0.005, 0.02, 0.03, -270.0, 630.0, 1230.0, 1500.0, 570 / 60_000]
    )
    assert table.loc["order_amount"].drop("break_even_value").tolist() == pytest.approx(
        [40, 50, 60, 390, 630, 870, 480]
    )
    assert table.loc["period_count"].drop("break_even_value").tolist() == [1, 2, 6, 240, 630, 965, 725]
    assert table["break_even_value"].isna().tolist() == [False, True, True]
    assert table["likely_npv_amount"].eq(table["likely_npv_amount"].iloc[0]).all()


def test_periods_break_even_at_whole_ones():
    plan = {**PLAN, "uplift_share": 0.01, "period_count": (1, 2, 9)}
    table = sensitivity_table(CampaignPlan, drivers=plan, discount_rate=0.0)
    assert table["break_even_value"].tolist() == [2.0]  # -550 + 390, + 190: still below after one, above after two
    assert sensitivity_table(CampaignPlan, drivers=plan, discount_rate=0.5)["break_even_value"].isna().all()


@given(
    cost=st.tuples(st.floats(0, 50), st.floats(51, 90), st.floats(91, 300)),
    benefit=st.tuples(st.floats(0, 50), st.floats(51, 90), st.floats(91, 300)),
    rate=st.floats(0, 0.5),
)
def test_any_function_of_drivers_will_do(cost, benefit, rate):
    drivers = {"cost": cost[::-1], "benefit": benefit, "years": 3}

    def model(cost, benefit, years):
        return [-cost] + [benefit / years] * years

    table = sensitivity_table(model, drivers=drivers, discount_rate=rate).set_index("driver")
    worth = sum((1 + rate) ** -t for t in (1, 2, 3)) / 3
    assert table["swing_amount"]["cost"] == pytest.approx(cost[2] - cost[0])
    assert table["swing_amount"]["benefit"] == pytest.approx((benefit[2] - benefit[0]) * worth)
    assert table["swing_amount"].is_monotonic_decreasing
    for driver, even in (("benefit", cost[1] / worth), ("cost", benefit[1] * worth)):
        row = table.loc[driver]
        if row["worst_npv_amount"] < 0 <= row["best_npv_amount"]:
            assert row["break_even_value"] == pytest.approx(even)
        else:
            assert np.isnan(row["break_even_value"])


def test_the_tornado_draws_the_table_as_it_is():
    table = sensitivity_table(CampaignPlan, drivers=RANGES, discount_rate=0.0)
    ax = plot_tornado(table)
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([-900, -390, -240, 600, 335, 240])
    assert [label.get_text() for label in ax.get_yticklabels()][:2] == ["uplift share = 0.02", "period count = 2"]
    assert [text.get_text() for text in ax.texts] == ["0.005", "1", "40", "0.03", "6", "60"]
    assert ax.yaxis_inverted()
    with pytest.raises(MissingColumnsError, match=r"plot_tornado draws the result of sensitivity_table\(\.\.\.\): no"):
        plot_tornado(table.drop(columns="driver"))


def test_refusals_of_plans_and_drivers():
    with pytest.raises(SchemaError, match=r"retention_share must be a share from 0 to 1, got 1\.5"):
        CampaignPlan(**{**PLAN, "retention_share": 1.5})
    with pytest.raises(SchemaError, match=r"uplift_share must be a share from -1 to 1, such as 0\.02, got 2"):
        CampaignPlan(**{**PLAN, "uplift_share": 2})
    with pytest.raises(SchemaError, match="order_amount must be a number of zero or more, got -1"):
        CampaignPlan(**{**PLAN, "order_amount": -1})
    with pytest.raises(SchemaError, match=r"period_count must be a whole number of at least 1, got 1\.5"):
        CampaignPlan(**{**PLAN, "period_count": 1.5})
    args = {"discount_rate": 0.1}
    with pytest.raises(SchemaError, match=r"does not take these drivers.*It takes \['customer_count', 'uplift_share'"):
        sensitivity_table(CampaignPlan, drivers={"custmers": (1, 2, 3)}, **args)
    with pytest.raises(SchemaError, match=r"no driver has a range\. Give \(worst, likely, best\)"):
        sensitivity_table(CampaignPlan, drivers=PLAN, **args)
    with pytest.raises(SchemaError, match=r"'margin_share' must be a number or \(worst, likely, best\), got \(1, 2\)"):
        sensitivity_table(CampaignPlan, drivers={"margin_share": (1, 2)}, **args)
    with pytest.raises(SchemaError, match="the likely value of 'margin_share' must lie between the worst and the best"):
        sensitivity_table(CampaignPlan, drivers={**PLAN, "margin_share": (0.1, 0.4, 0.3)}, **args)
    with pytest.raises(
        SchemaError, match=r"worst value of 'order_amount' \(60\) brings more.*order_amount=\(40, 50, 60\)"
    ):
        sensitivity_table(CampaignPlan, drivers={**PLAN, "order_amount": (60, 50, 40)}, **args)
    with pytest.raises(SchemaError, match="model must be CampaignPlan or a function of drivers, got 3"):
        plan_scenarios(3, drivers=RANGES)
    with pytest.raises(SchemaError, match="drivers must map names to values"):
        plan_scenarios(CampaignPlan, drivers=[1])
    with pytest.raises(SchemaError, match=r"the cash flows of 'a' must be a list of finite numbers, got 'x'"):
        business_case({"a": "x"}, discount_rate=0.1)
    with pytest.raises(SchemaError, match="revenue_amount is missing or not finite in some rows"):
        business_case(pd.DataFrame(CASE).assign(revenue_amount=math.nan), discount_rate=0.1)


# -- goals

LEVERS = {"customers": 1000, "retention": 0.8, "orders_per_customer": 5, "order_value": 20}  # sales of 80,000


def test_a_quarter_more_by_hand():
    table = goal_table(**LEVERS)
    assert table["way"].tolist() == ["alone"] * 4 + ["all alike"] * 4 + ["within limits"] * 4
    assert table["lever"].tolist() == list(LEVERS) * 3
    assert table["needed_value"][:4].tolist() == pytest.approx([1250, 1.0, 6.25, 25])
    assert table["reaches_goal"].all()  # a retention of exactly 1 is the last that can
    assert table["change_share"][4:].tolist() == pytest.approx([1.25**0.25 - 1] * 8)
    assert table["effect_share"].tolist() == pytest.approx([1] * 4 + [0.25] * 8)
    assert table["sales_amount"].tolist() == pytest.approx([100_000] * 12)


def test_retention_cannot_do_what_is_beyond_everybody():
    table = goal_table(**{**LEVERS, "retention": 0.9}, goal=1.5).set_index(["way", "lever"])
    alone = table.loc["alone", "retention"]
    assert alone["needed_value"] == pytest.approx(1.35)
    assert not alone["reaches_goal"]
    assert alone["sales_amount"] == pytest.approx(100_000)  # if nobody left
    limited = table.loc["within limits"]
    assert limited["needed_value"]["retention"] == pytest.approx(0.9 * 1.5**0.25)  # 0.996: not at its limit
    table = goal_table(customers=10, orders_per_customer=1, order_value=1, goal=8)
    assert table["needed_value"][3:].tolist() == pytest.approx([20, 2, 2] * 2)


def test_limits_are_made_up_for_by_the_others():
    limits = {"order_value": 21, "retention": 0.8}
    table = goal_table(**LEVERS, limits=limits).set_index(["way", "lever"])
    needed = table.loc["within limits", "needed_value"]
    factor = (1.25 / 1.05) ** 0.5
    assert needed.tolist() == pytest.approx([1000 * factor, 0.8, 5 * factor, 21])
    shares = table.loc["within limits", "effect_share"]
    assert shares.tolist() == pytest.approx([math.log(f) / math.log(1.25) for f in (factor, 1, factor, 1.05)])
    assert not table.loc["all alike", "reaches_goal"].any()
    assert table.loc["all alike", "sales_amount"].tolist() == pytest.approx([80_000 * 1.25**0.5 * 1.05] * 4)
    short = goal_table(**LEVERS, limits={**limits, "customers": 1100, "orders_per_customer": 5}).iloc[8:]
    assert short["needed_value"].tolist() == pytest.approx([1100, 0.8, 5, 21])
    assert not short["reaches_goal"].any()
    assert short["sales_amount"].tolist() == pytest.approx([92_400] * 4)
    ones = {"customers": 1.0, "orders_per_customer": 1.0, "order_value": 1.0}
    nothing = goal_table(**ones, limits=ones).iloc[6:]
    assert nothing["effect_share"].isna().all()


@given(
    goal=st.floats(1.01, 5), retention=st.floats(0.05, 1), room=st.lists(st.floats(1, 3), min_size=3, max_size=3)
)  # fmt: skip
def test_levers_multiply_to_the_goal_whatever_the_limits(goal, retention, room):
    names = ["customers", "orders_per_customer", "order_value"]
    limits = {name: LEVERS[name] * factor for name, factor in zip(names, room, strict=True)}
    table = goal_table(**{**LEVERS, "retention": retention}, goal=goal, limits=limits)
    today = 100_000 * retention
    for way in ("all alike", "within limits"):
        rows = table[table["way"] == way]
        if rows["effect_share"].notna().all():
            assert rows["effect_share"].sum() == pytest.approx(1)
    rows = table[table["way"] == "within limits"]
    assert rows["needed_value"].prod() == pytest.approx(min(goal * today, today * math.prod(room) / retention))
    assert rows["reaches_goal"].iloc[0] == (rows["sales_amount"].iloc[0] >= goal * today * (1 - 1e-12))
    most = {**limits, "retention": 1.0}
    assert all(row.needed_value <= most[row.lever] * (1 + 1e-12) for row in rows.itertuples())


def test_goals_refuse_what_is_no_goal():
    with pytest.raises(SchemaError, match=r"goal must be above 1, such as goal=1\.25 for 25 % more sales, got 0\.25"):
        goal_table(**LEVERS, goal=0.25)
    with pytest.raises(SchemaError, match="retention must be a share above 0 and at most 1, got 80"):
        goal_table(**{**LEVERS, "retention": 80})
    with pytest.raises(SchemaError, match="customers must be a number above zero, got 0"):
        goal_table(**{**LEVERS, "customers": 0})
    with pytest.raises(
        SchemaError, match=r"limits has 'order_valu', which is no lever here\. Did you mean 'order_value'"
    ):
        goal_table(**LEVERS, limits={"order_valu": 30})
    with pytest.raises(SchemaError, match=r"the limit of 'order_value' must be 20 \(today\) or more, got 10"):
        goal_table(**LEVERS, limits={"order_value": 10})
    with pytest.raises(
        SchemaError, match=r"the limit of 'retention' must be 0\.8 \(today\) or more and at most 1, got 2"
    ):
        goal_table(**LEVERS, limits={"retention": 2})
