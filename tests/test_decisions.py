"""What the decisions promise: money counted by hand, a hold-out that stays, limits that are kept, on every frame."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from crmlytics._frames import to_pandas
from crmlytics.decisions._plots import plot_profit
from crmlytics.decisions.response import response_profit_table, response_target_table, response_threshold
from crmlytics.decisions.retention import profit_table, profit_threshold, target_table
from crmlytics.decisions.summary import summary_table
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.metrics.profit import expected_max_profit
from crmlytics.testing import records

COSTS = {"offer_cost": 10, "contact_cost": 1, "acceptance": 0.3}
SCORES = {"customer_id": [3, 1, 2, 4], "churn_probability": [0.9, 0.1, 0.2, 0.5], "worth": [200.0, 200.0, 200.0, 30.0]}
RETAINED = {1: 0.1 * (0.3 * 190 - 1) - 0.9 * 11, 2: 0.2 * 56 - 0.8 * 11, 3: 0.9 * 56 - 0.1 * 11, 4: 0.5 * 5 - 0.5 * 11}


def many(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "customer_id": [f"c{number}" for number in rng.permutation(n)],
            "churn_probability": rng.beta(1, 3, n),
            "worth": rng.gamma(1, 150, n),
        }
    )


@st.composite
def lists_of_customers(draw):
    n = draw(st.integers(1, 30))
    chances = draw(st.lists(st.integers(0, 10), min_size=n, max_size=n))
    worth = draw(st.lists(st.integers(0, 400), min_size=n, max_size=n))
    return pd.DataFrame({
        "customer_id": range(n), "churn_probability": np.array(chances) / 10, "worth": np.array(worth, float)
    })  # fmt: skip


# -- thresholds ------------------------------------------------------------------------------------------------------


def test_threshold_is_where_the_profit_is_nothing():
    p = profit_threshold(customer_value=200, **COSTS)
    assert p == pytest.approx(11 / (0.3 * 190 + 10))
    assert p * (0.3 * 190 - 1) - (1 - p) * 11 == pytest.approx(0)
    assert profit_threshold(customer_value=200, offer_cost=10, contact_cost=1, acceptance=(6, 14)) == pytest.approx(p)
    assert profit_threshold(customer_value=5, **COSTS) > 1
    assert profit_threshold(customer_value=0, offer_cost=0, contact_cost=1, acceptance=0.3) == math.inf


def test_threshold_of_a_response():
    assert response_threshold(margin=25, contact_cost=1, offer_cost=5) == pytest.approx(0.05)
    assert response_threshold(margin=5, contact_cost=1, offer_cost=5) == math.inf


# -- lists of targets ------------------------------------------------------------------------------------------------


def test_profits_by_hand_on_every_frame(frame):
    scores = frame(SCORES)
    options = {"customer_value": "worth", "holdout_share": 0} | COSTS
    table = target_table(scores, **options)
    assert type(table) is type(scores)
    rows = list(to_pandas(table).itertuples())
    assert [row.customer_id for row in rows] == [3, 2, 4, 1]
    assert [row.expected_profit_amount for row in rows] == pytest.approx([RETAINED[row.customer_id] for row in rows])
    assert [row.threshold_probability for row in rows] == pytest.approx([11 / 67, 11 / 67, 11 / 16, 11 / 67])
    spent = {3: 1 + 10 * (0.1 + 0.3 * 0.9), 2: 1 + 10 * (0.8 + 0.3 * 0.2)}
    assert [row.expected_cost_amount for row in rows[:2]] == pytest.approx([spent[3], spent[2]])
    assert [row[-3:] for row in records(table)] == [
        (1, "contact", None), (2, "contact", None), (3, "leave", "below threshold"), (4, "leave", "below threshold"),
    ]  # fmt: skip


def test_dtypes_are_the_same_whatever_happens():
    import polars as pl

    frames = [pl.DataFrame(SCORES), pl.DataFrame(SCORES).head(1)]  # of one customer no reason is given at all
    schemas = [target_table(scores, customer_value="worth", **COSTS, holdout_share=0).schema for scores in frames]
    assert schemas[0] == schemas[1]
    assert schemas[0]["reason"] == pl.String
    assert schemas[0]["rank"] == pl.Int64


@given(lists_of_customers())
def test_contact_pays_exactly_above_the_threshold(scores):
    table = target_table(scores, customer_value="worth", holdout_share=0, **COSTS)
    clear = (table["churn_probability"] - table["threshold_probability"]).abs() > 1e-9
    above = table["churn_probability"] > table["threshold_probability"]
    assert ((table["action"] == "contact") == above)[clear].all()


@given(lists_of_customers(), st.integers(0, 8), st.floats(0, 60))
def test_limits_are_kept_and_money_is_not_left_lying(scores, capacity, budget):
    table = target_table(scores, customer_value="worth", capacity=capacity, budget=budget, **COSTS)
    contacted = table[table["action"] == "contact"]
    assert len(contacted) <= capacity
    assert contacted["expected_cost_amount"].sum() <= budget + 1e-9
    left = table[table["reason"].isin(["capacity", "budget"])]
    assert set(table.loc[table["action"] == "leave", "reason"]) <= {"below threshold", "capacity", "budget"}
    assert table.loc[table["action"] != "leave", "reason"].isna().all()
    if len(left):
        first = left.iloc[0]
        assert (table.loc[table["rank"] > first["rank"], "action"] == "leave").all()
        over = len(contacted) + 1 > capacity
        assert over or contacted["expected_cost_amount"].sum() + first["expected_cost_amount"] > budget


def test_a_budget_buys_what_it_can():
    scores = pd.DataFrame({"customer_id": ["dear", "cheap"], "buy_probability": [0.9, 0.1], "margin": [20.0, 40.0]})
    money = {"margin": "margin", "contact_cost": 0.1, "offer_cost": 10, "holdout_share": 0}
    free = response_target_table(scores, **money)
    assert free["customer_id"].tolist() == ["dear", "cheap"]
    assert free["expected_profit_amount"].tolist() == pytest.approx([8.9, 2.9])
    assert free["expected_cost_amount"].tolist() == pytest.approx([9.1, 1.1])
    enough = response_target_table(scores, **money, budget=10.2)
    assert enough["customer_id"].tolist() == ["cheap", "dear"]  # 2.6 and 0.98 per unit of cost
    assert enough["action"].tolist() == ["contact", "contact"]
    short = response_target_table(scores, **money, budget=10)
    assert [*short["action"], short["reason"].iloc[1]] == ["contact", "leave", "budget"]


def test_equal_customers_come_in_the_order_of_their_ids():
    scores = pd.DataFrame({"customer_id": [30, 4, 100, 2], "churn_probability": [0.5, 0.5, 0.5, 0.9]})
    table = target_table(scores, customer_value=200, **COSTS)
    assert table["customer_id"].tolist() == [2, 4, 30, 100]


def test_what_costs_nothing_comes_first():
    scores = pd.DataFrame({"customer_id": [1, 2, 3], "buy_probability": [0.0, 0.2, 0.1]})
    table = response_target_table(scores, margin=10, contact_cost=0, budget=0, holdout_share=0)
    assert table["customer_id"].tolist() == [2, 3, 1]
    assert table["action"].tolist() == ["contact", "contact", "leave"]


def test_the_holdout_is_random_and_stays_whatever_the_order():
    scores = many()
    options = {"customer_value": "worth", **COSTS}
    table = target_table(scores, **options).set_index("customer_id")
    chosen = table[table["action"] != "leave"]
    held = chosen["action"] == "hold out"
    assert held.mean() == pytest.approx(0.1, abs=3 * math.sqrt(0.09 / len(chosen)))
    assert stats.ks_2samp(chosen.loc[held, "churn_probability"], chosen["churn_probability"]).pvalue > 0.01
    pd.testing.assert_frame_equal(target_table(scores[::-1], **options).set_index("customer_id"), table)
    again = target_table(scores.assign(churn_probability=scores["churn_probability"] ** 1.1), **options)
    again = again.set_index("customer_id").loc[chosen.index, "action"]
    both = again != "leave"
    assert (again[both] == chosen.loc[both, "action"]).all()
    other = target_table(scores, **options, random_state=1).set_index("customer_id").loc[chosen.index]
    both_held = ((other["action"] == "hold out") & held).mean()
    assert both_held == pytest.approx(0.01, abs=3 * math.sqrt(0.01 / len(chosen)))


def test_the_holdout_is_the_same_for_ids_as_numbers_and_as_text():
    scores = many().assign(customer_id=range(3000))
    as_text = scores.assign(customer_id=scores["customer_id"].astype(str))
    tables = [target_table(each, customer_value="worth", **COSTS) for each in (scores, as_text)]
    held = [set(map(str, table.loc[table["action"] == "hold out", "customer_id"])) for table in tables]
    assert held[0] == held[1]
    assert len(held[0]) > 50


def test_held_out_customers_cost_nothing_and_use_no_capacity():
    table = target_table(many(), customer_value="worth", capacity=200, holdout_share=0.5, **COSTS)
    counts = table["action"].value_counts()
    assert counts["contact"] == 200
    assert counts["hold out"] == pytest.approx(200, abs=60)


def test_profit_at_the_bounds_of_the_acceptance():
    law = stats.beta(6, 14)
    row = target_table(
        pd.DataFrame(SCORES)[:1],
        customer_value=200, offer_cost=10, contact_cost=1, acceptance=(6, 14),
    ).iloc[0]  # fmt: skip
    low, high = (0.9 * (share * 190 - 1) - 0.1 * 11 for share in law.ppf([0.025, 0.975]))
    assert (row["expected_profit_low_amount"], row["expected_profit_high_amount"]) == pytest.approx((low, high))
    assert row["expected_profit_amount"] == pytest.approx(RETAINED[3])


def test_leads_have_their_own_key():
    leads = pd.DataFrame({"lead_id": ["x"], "conversion_probability": [0.5]})
    table = response_target_table(leads, probability="conversion_probability", margin=10, contact_cost=1, key="lead_id")
    assert table.columns[:2].tolist() == ["lead_id", "conversion_probability"]
    assert table["expected_profit_amount"].tolist() == [4.0]


# -- the curve -------------------------------------------------------------------------------------------------------


def test_profit_table_by_hand():
    table = profit_table(pd.DataFrame(SCORES), customer_value="worth", **COSTS)
    assert table["contact_count"].tolist() == [0, 1, 2, 3, 4]
    assert table["contact_share"].tolist() == [0, 0.25, 0.5, 0.75, 1]
    gained = [RETAINED[customer] for customer in (3, 2, 4, 1)]
    assert table["expected_profit_amount"].tolist() == pytest.approx([0, *np.cumsum(gained)])
    assert table["marginal_profit_amount"].tolist()[1:] == pytest.approx(gained)
    assert table["is_best"].tolist() == [False, False, True, False, False]
    assert table["expected_profit_low_amount"].tolist() == table["expected_profit_high_amount"].tolist()


@given(lists_of_customers())
def test_the_curve_and_the_list_agree_and_nothing_beats_the_best(scores):
    options = {"customer_value": "worth", **COSTS}
    curve, targets = profit_table(scores, **options), target_table(scores, **options, holdout_share=0)
    contacted = targets[targets["action"] == "contact"]
    best = curve[curve["is_best"]].iloc[0]
    assert best["contact_count"] == len(contacted)
    assert best["expected_profit_amount"] == pytest.approx(contacted["expected_profit_amount"].sum(), abs=1e-9)
    assert best["expected_cost_amount"] == pytest.approx(contacted["expected_cost_amount"].sum(), abs=1e-9)
    assert best["expected_profit_amount"] >= curve["expected_profit_amount"].max() - 1e-9
    assert curve["expected_profit_amount"].iloc[-1] == pytest.approx(targets["expected_profit_amount"].sum(), abs=1e-9)


def test_the_curve_of_a_long_list_has_a_hundred_steps_and_the_best():
    table = profit_table(many(), customer_value="worth", **COSTS)
    assert 101 <= len(table) <= 102
    assert table["is_best"].sum() == 1
    assert table["marginal_profit_amount"].dropna().is_monotonic_decreasing


def test_the_expected_profit_of_calibrated_scores_comes_true():
    scores = many(200_000)
    left = np.random.default_rng(9).random(len(scores)) < scores["churn_probability"].to_numpy()
    table = profit_table(scores, customer_value="worth", **COSTS)
    expected = target_table(scores, customer_value="worth", holdout_share=0, **COSTS).set_index("customer_id")
    value = expected.loc[scores["customer_id"], "expected_profit_amount"].to_numpy()
    found = expected_max_profit(left, value, customer_value=scores["worth"], **COSTS)
    best = table[table["is_best"]].iloc[0]
    assert found.total_profit_amount == pytest.approx(best["expected_profit_amount"], rel=0.02)
    assert found.fraction == pytest.approx(best["contact_share"], abs=0.05)


def test_the_curve_of_a_response():
    scores = pd.DataFrame({"customer_id": [1, 2, 3], "buy_probability": [0.01, 0.1, 0.5]})
    table = response_profit_table(scores, margin=30, contact_cost=1, offer_cost=5)
    assert table["expected_profit_amount"].tolist() == pytest.approx([0, 11.5, 13.0, 12.25])
    assert table["expected_cost_amount"].tolist() == pytest.approx([0, 3.5, 5.0, 6.05])


# -- the summary -----------------------------------------------------------------------------------------------------


def test_summary_adds_up_on_every_engine():
    import polars as pl

    for scores in (pl.from_pandas(many()), pl.from_pandas(many()).lazy(), many()):
        targets = target_table(scores, customer_value="worth", offer_cost=10, contact_cost=1)
        summary = summary_table(targets)
        assert type(summary) is type(targets)
        row, rows = (to_pandas(each) for each in (summary, targets))
        row, rows = row.iloc[0], rows[rows["action"] == "contact"]
        assert row.contact_count == len(rows)
        assert row.contact_count + row.holdout_count + row.leave_count == 3000
        assert row.expected_profit_amount == pytest.approx(rows["expected_profit_amount"].sum())
        assert row.expected_profit_low_amount < row.expected_profit_amount < row.expected_profit_high_amount
        assert "not who is moved by a contact (Ascarza 2018)" in row.note


def test_the_profit_of_the_list_lies_within_its_bounds_as_often_as_promised():
    scores = many()
    targets = target_table(scores, customer_value="worth", offer_cost=10, contact_cost=1).merge(
        scores[["customer_id", "worth"]], on="customer_id"
    )
    row = summary_table(targets).iloc[0]
    contacted = targets[targets["action"] == "contact"]
    p, gain = contacted["churn_probability"], contacted["worth"] - 10
    accepted = stats.beta(6, 14).rvs(4000, random_state=1)
    profit = accepted * (p @ gain) - (p + (1 - p) * 11).sum()
    within = (profit >= row["expected_profit_low_amount"]) & (profit <= row["expected_profit_high_amount"])
    assert within.mean() == pytest.approx(0.95, abs=0.015)


def test_the_holdout_shows_the_smallest_difference_as_often_as_promised():
    targets = target_table(many(20_000), customer_value="worth", **COSTS)
    row = summary_table(targets).iloc[0]
    n, m, p = row["contact_count"], row["holdout_count"], row["expected_share"]
    difference = row["smallest_difference_share"]
    rng = np.random.default_rng(4)
    contacted, held = rng.binomial(n, p - difference / 2, 4000) / n, rng.binomial(m, p + difference / 2, 4000) / m
    error = np.sqrt(contacted * (1 - contacted) / n + held * (1 - held) / m)
    assert (held - contacted > 1.96 * error).mean() == pytest.approx(0.8, abs=0.04)


def test_without_a_holdout_the_summary_says_so():
    row = summary_table(target_table(many(), customer_value="worth", holdout_share=0, **COSTS)).iloc[0]
    assert math.isnan(row["smallest_difference_share"])
    assert row["note"].endswith("There is no hold-out: nobody will know what this campaign did.")


def test_a_list_of_nobody_sums_up_to_nothing():
    row = summary_table(target_table(many(), customer_value=0, **COSTS)).iloc[0]
    assert (row["contact_count"], row["holdout_count"], row["expected_profit_amount"]) == (0, 0, 0)
    assert math.isnan(row["expected_share"])


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "more", "message"),
    [
        ({"churn_probability": [0.9, 0.1, 0.2, 1.5]}, {}, r"'churn_probability' must lie between 0 and 1, got 1.5"),
        ({"churn_probability": [0.9, 0.1, 0.2, None]}, {}, r"'churn_probability' is missing in 1 of 4 rows"),
        ({"customer_id": [1, 1, 2, 3]}, {}, r"customer_id 1 has more than one row \(1 rows too many\).*latest cutoff"),
        ({"customer_id": ["a", "b", "c", None]}, {}, "'customer_id' is missing in 1 rows"),
        ({"worth": [1.0, -2.0, 3.0, 4.0]}, {"customer_value": "worth"}, r"worth must be zero or more, got -2"),
        ({}, {"holdout_share": 1}, r"holdout_share must be a fraction between 0 and 1"),
        ({}, {"capacity": 2.5}, "capacity must be a whole number of at least 0, got 2.5"),
        ({}, {"budget": -1}, "budget must be a number of zero or more"),
        ({}, {"acceptance": 3}, "acceptance must be the share of those about to leave"),
        ({}, {"customer_value": None}, "customer_value must be a number of zero or more, got None"),
    ],
)
def test_bad_scores_and_money_are_refused(changes, more, message):
    scores = pd.DataFrame(SCORES | changes)
    with pytest.raises(SchemaError, match=message):
        target_table(scores, **({"customer_value": 200} | COSTS | more))


def test_missing_columns_are_named():
    scores = pd.DataFrame(SCORES)
    with pytest.raises(
        MissingColumnsError, match=r"target_table needs \['churn_probabilty'\].*mean 'churn_probability'"
    ):
        target_table(scores, probability="churn_probabilty", customer_value=200, **COSTS)
    with pytest.raises(MissingColumnsError, match=r"profit_table needs \['value'\]"):
        profit_table(scores, customer_value="value", **COSTS)
    with pytest.raises(MissingColumnsError, match=r"response_target_table needs \['buy_probability'\]"):
        response_target_table(scores, margin=1, contact_cost=1)
    with pytest.raises(SchemaError, match=r"\['rank'\] are names of columns of the result"):
        target_table(scores.assign(rank=0.5), probability="rank", customer_value=200, **COSTS)
    with pytest.raises(SchemaError, match="scores has no rows"):
        target_table(scores[:0], customer_value=200, **COSTS)


def test_summary_says_what_it_sums_up():
    with pytest.raises(MissingColumnsError, match=r"sums up the result of target_table\(...\)"):
        summary_table(pd.DataFrame(SCORES))
    targets = response_target_table(
        pd.DataFrame({"customer_id": [1], "buy_probability": [0.5]}), margin=9, contact_cost=1
    )
    with pytest.raises(MissingColumnsError, match=r"such as probability=\"buy_probability\""):
        summary_table(targets)


# -- picture ---------------------------------------------------------------------------------------------------------


def test_picture_marks_the_best():
    table = profit_table(many(), customer_value="worth", offer_cost=10, contact_cost=1)
    ax = plot_profit(table)
    best = table[table["is_best"]].iloc[0]
    assert any(text.get_text().startswith(f"{best['contact_count']:,} contacts earn") for text in ax.texts)
    with pytest.raises(MissingColumnsError, match=r"plot_profit draws the result of profit_table\(...\)"):
        plot_profit(pd.DataFrame({"a": [1]}))


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        ({"customer_value": "customer_id"}, "key='customer_id' and customer_value='customer_id' are the same column"),
        ({"customer_value": "churn_probability"}, "probability='churn_probability' and customer_value=.* are the same"),
        ({"customer_value": 200, "probability": "customer_id"}, "key='customer_id' and probability='customer_id' are"),
    ],
)
def test_one_column_has_one_role(roles, words):
    with pytest.raises(SchemaError, match=f"target_table: {words}"):
        target_table(pd.DataFrame(SCORES), **roles, **COSTS)


def test_whole_numbers_that_came_as_floats_are_ids(frame):
    floats = SCORES | {"customer_id": [3.0, 1.0, 2.0, 4.0]}
    whole, came = (target_table(frame(data), customer_value=200, **COSTS) for data in (SCORES, floats))
    assert records(came) == records(whole)


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([1.5, 2.0], "'customer_id' must be whole numbers or text, got 1.5. Is this the right column"),
        ([2.0**53, 2.0], "got 9007199254740992.0. It is too large to be held exactly"),
        ([np.nan, 2.0], "'customer_id' is missing in 1 rows"),
        ([np.inf, 2.0], "'customer_id' must be whole numbers or text, got inf"),
        ([2.0, 2.0], "customer_id 2 has more than one row"),
    ],
)
def test_other_floats_are_no_ids(ids, words):
    scores = pd.DataFrame({"customer_id": ids, "churn_probability": [0.5, 0.6]})
    with pytest.raises(SchemaError, match=words):
        target_table(scores, customer_value=200, **COSTS)
