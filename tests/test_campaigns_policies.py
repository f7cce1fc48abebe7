"""What policy_table promises: counts and money by hand, chance as a yardstick, and that risk is not uplift."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics.campaigns.targeting.offers import Offer
from crmlytics.campaigns.targeting.policies import policy_table
from crmlytics.campaigns.targeting.targets import target_table
from crmlytics.decisions import target_table as retention_target_table
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.testing import records

SCORES = {
    "customer_id": [4, 3, 2, 1],
    "churn_probability": [0.9, 0.6, 0.3, 0.3],
    "uplift_call": [-0.05, 0.02, 0.1, 0.01],
    "redeems": [0.5, 0.0, 0.25, 0.0],
}
CALL = Offer("call", value=100, contact_cost=2, offer_cost=4, redemption="redeems")
PROFIT, COST = {4: -9, 3: 0, 2: 7, 1: -1}, {4: 4, 3: 2, 2: 3, 1: 2}


def test_rankings_by_hand_on_every_frame(frame):
    scores = frame(SCORES)
    table = policy_table(scores, CALL, policies={"churn": "churn_probability"}, contact_shares=[0.5, 1.0])
    assert type(table) is type(scores)
    rows = records(table)
    assert [row[:3] for row in rows] == [
        ("expected profit", 0.5, 2), ("expected profit", 1.0, 4), ("churn", 0.5, 2), ("churn", 1.0, 4),
        ("at random", 0.5, 2), ("at random", 1.0, 4),
    ]  # fmt: skip
    assert [row[3] for row in rows] == pytest.approx([0.06, 0.02, -0.015, 0.02, 0.02, 0.02])  # mean uplift
    assert [row[4] for row in rows] == pytest.approx([5, 11, 6, 11, 5.5, 11])
    assert [row[5] for row in rows] == pytest.approx([7, -3, -9, -3, -1.5, -3])
    assert {row[6] for row in rows} | {row[7] for row in rows} == {None}
    assert [row[8] for row in rows] == pytest.approx([0, 0, 16, 0, 8.5, 0])


def test_nothing_forgone_is_nought():
    scores = {name: np.random.default_rng(0).random(999) for name in ("uplift_call", "churn_probability")}
    call = Offer("call", value=100, contact_cost=2)
    scores = pd.DataFrame(scores).assign(customer_id=range(999))
    table = policy_table(scores, call, policies={"churn": "churn_probability"}, contact_shares=[1.0])
    assert table["forgone_profit_amount"].tolist() == [0.0, 0.0, 0.0]  # not 1.8e-12, for adding up in another order


def test_equal_customers_come_in_the_order_of_their_ids():
    table = policy_table(pd.DataFrame(SCORES), CALL, policies={"churn": "churn_probability"}, contact_shares=[0.75])
    assert table["expected_incremental_profit_amount"][1] == pytest.approx(PROFIT[4] + PROFIT[3] + PROFIT[1])


def test_a_ranking_stops_where_the_budget_is_spent():
    options = {"policies": {"churn": "churn_probability"}, "contact_shares": [0.25, 1.0]}
    table = policy_table(pd.DataFrame(SCORES), CALL, budget=6.5, **options)
    assert table["contact_count"].tolist() == [1, 2, 1, 2, 1, 2]  # costs 3 2 | 4 2 | 2.75 each on average
    assert table["expected_cost_amount"].tolist() == pytest.approx([3, 5, 4, 6, 2.75, 5.5])
    exact = policy_table(pd.DataFrame(SCORES), CALL, budget=11, **options)
    assert exact["contact_count"].tolist() == [1, 4, 1, 4, 1, 4]


def test_money_of_several_offers_with_bounds():
    scores = pd.DataFrame(SCORES | {"uplift_mail": [0.05, 0.0, 0.0, 0.0]})
    mail = Offer("mail", value=100, contact_cost=1, uplift_standard_error=0.01)
    table = policy_table(scores, [CALL, mail], policies={"churn": "churn_probability"}, contact_shares=[0.25])
    assert table["expected_incremental_profit_amount"].tolist()[:2] == pytest.approx([7, 4])
    assert table["expected_profit_low_amount"].isna().tolist() == [True, False, True]
    assert table["expected_profit_low_amount"][1] == pytest.approx(4 - 1.95996398)


@given(st.lists(st.tuples(st.integers(-5, 9), st.integers(0, 9)), min_size=1, max_size=30))
def test_nothing_beats_the_expected_profit_and_everybody_is_everybody(pairs):
    uplift, risk = np.array(pairs, float).T
    scores = pd.DataFrame({"customer_id": range(len(pairs)), "uplift_call": uplift / 100, "risk": risk})
    table = policy_table(
        scores, Offer("call", value=100, contact_cost=2), policies={"risk": "risk", "inverse": "uplift_call"}
    )
    assert table["forgone_profit_amount"].min() >= -1e-9
    everybody = table[table["contact_share"] == 1]
    assert everybody["expected_incremental_profit_amount"].tolist() == pytest.approx([(uplift - 2).sum()] * 4)


# -- risk is not uplift (Ascarza 2018) -------------------------------------------------------------------------------


def market(n, seed):
    """Customers whom a call keeps if they waver, and drives out if they are about to leave; and both outcomes."""
    random = np.random.default_rng(seed)
    risk = random.beta(1.2, 2.5, n)
    saved = 0.35 * np.exp(-(((risk - 0.3) / 0.12) ** 2)) - 0.12 * (risk > 0.6)
    draw = random.random(n)
    people = pd.DataFrame({"customer_id": np.arange(n), "churn_probability": risk})
    return people, draw < risk, draw < risk - saved, saved


def learnt_by_risk(pilot, left, called, people):
    """The uplift by twentieth of risk in a pilot whose calls were drawn at random."""
    edges = np.quantile(pilot["churn_probability"], np.arange(1, 20) / 20)
    of_pilot, of_people = (np.searchsorted(edges, table["churn_probability"]) for table in (pilot, people))
    stayed = [np.bincount(of_pilot[arm], ~left[arm]) / np.bincount(of_pilot[arm]) for arm in (called, ~called)]
    return (stayed[0] - stayed[1])[of_people]


@pytest.mark.parametrize("seed", range(3))
def test_calling_who_is_likeliest_to_leave_loses_what_uplift_earns(seed):
    value, cost = 200, 5
    pilot, left, left_if_called, _ = market(20_000, seed)
    called = np.random.default_rng(seed).random(len(pilot)) < 0.5
    seen = np.where(called, left_if_called, left)
    people, left, left_if_called, saved = market(20_000, seed + 100)
    people["uplift_call"] = learnt_by_risk(pilot, seen, called, people)
    call = Offer("call", value=value, contact_cost=cost)

    def earned(table):
        who = table.loc[table["action"] == "contact", "customer_id"].to_numpy()
        return value * (left[who].sum() - left_if_called[who].sum()) - cost * len(who)

    by_risk = retention_target_table(
        people, customer_value=value, offer_cost=0, contact_cost=cost, acceptance=0.3, capacity=4_000, holdout_share=0
    )
    by_uplift = target_table(people, call, capacity=4_000, holdout_share=0)
    everybody_knows = target_table(people.assign(uplift_call=saved), call, capacity=4_000, holdout_share=0)
    assert by_risk.loc[by_risk["action"] == "contact", "expected_profit_amount"].sum() > 100_000  # it promises much
    assert earned(by_risk) < -20_000  # and drives customers out
    assert earned(by_uplift) > 0.95 * earned(everybody_knows) > 100_000

    told = policy_table(people, call, policies={"churn": "churn_probability"}, contact_shares=[0.2]).set_index("policy")
    profit = told["expected_incremental_profit_amount"]
    assert profit["expected profit"] == pytest.approx(earned(by_uplift), rel=0.15)
    assert profit["churn"] < 0 < profit["at random"] < profit["expected profit"]


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policies": {}}, r"policies must name columns, such as \{\"churn\": \"churn_probability\"\}, got \{\}"),
        ({"policies": ["churn_probability"]}, "policies must name columns"),
        ({"policies": {"at random": "churn_probability"}}, r"\['at random'\] is compared anyway"),
        ({"contact_shares": [0.5, 0.2]}, r"contact_shares must rise, such as \[0.1, 0.2, 0.5\]"),
        ({"contact_shares": []}, "contact_shares must rise"),
        ({"contact_shares": [20]}, "contact_shares must be a fraction between 0 and 1"),
        ({"budget": -3}, "budget must be a number of zero or more"),
    ],
)
def test_comparisons_that_make_no_sense_are_refused(options, message):
    with pytest.raises(SchemaError, match=message):
        policy_table(pd.DataFrame(SCORES), CALL, **({"policies": {"churn": "churn_probability"}} | options))


def test_missing_columns_are_named():
    with pytest.raises(MissingColumnsError, match=r"policy_table needs \['clv_amount'\]"):
        policy_table(pd.DataFrame(SCORES), CALL, policies={"value": "clv_amount"})


def test_a_budget_that_does_not_bind_changes_nothing():
    scores = pd.DataFrame({
        "customer_id": [1, 2, 3, 4], "uplift_a": [0.1, 0.1, 0.5, 0.5], "fee": [0.1, 0.1, 10.0, 10.0],
    })  # fmt: skip
    offer = Offer("a", value=50, contact_cost="fee")
    options = {"policies": {"uplift": "uplift_a"}, "contact_shares": [0.5]}
    free, rich = policy_table(scores, offer, **options), policy_table(scores, offer, budget=100, **options)
    pd.testing.assert_frame_equal(free, rich)
    assert rich["expected_incremental_profit_amount"].tolist() == pytest.approx([30.0, 30.0, 19.9])
    tight = policy_table(scores, offer, budget=10, **options)  # one of 25 for 10, or two of 5 for .1 each
    assert tight["expected_incremental_profit_amount"].tolist()[:2] == pytest.approx([15.0, 15.0])
