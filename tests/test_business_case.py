"""What a business case promises: figures counted by hand on every frame, rules of money, helpful refusals."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

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
