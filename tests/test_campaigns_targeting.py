"""What target_table promises: money by hand, one offer each, limits kept, hold-outs that stay, refusals that help."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from crmlytics._frames import to_pandas
from crmlytics.campaigns.planning.eligibility import eligibility_table
from crmlytics.campaigns.targeting.offers import Offer
from crmlytics.campaigns.targeting.targets import target_table
from crmlytics.decisions import response_target_table
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.testing import records

SCORES = {
    "customer_id": [3, 1, 4, 2],
    "uplift_email": [0.02, 0.05, -0.01, 0.0],
    "uplift_voucher": [0.10, 0.06, 0.20, 0.01],
    "buy_probability": [0.2, 0.5, 0.3, 0.1],
    "margin": [40.0, 40.0, 30.0, 40.0],
}
EMAIL = Offer("email", value="margin", contact_cost=0.1)
VOUCHER = Offer("voucher", value="margin", contact_cost=0.5, offer_cost=5, redemption="buy_probability")
OFFERS = [EMAIL, VOUCHER]
# uplift x margin - contact - redemption x voucher
PROFIT = {
    1: {"email": 0.05 * 40 - 0.1, "voucher": 0.06 * 40 - 0.5 - 0.5 * 5},
    2: {"email": -0.1, "voucher": 0.01 * 40 - 0.5 - 0.1 * 5},
    3: {"email": 0.02 * 40 - 0.1, "voucher": 0.1 * 40 - 0.5 - 0.2 * 5},
    4: {"email": -0.01 * 30 - 0.1, "voucher": 0.2 * 30 - 0.5 - 0.3 * 5},
}


def many(n=3000, seed=0):
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "customer_id": [f"c{number}" for number in random.permutation(n)],
            "uplift_email": random.normal(0.01, 0.02, n),
            "uplift_voucher": random.normal(0.03, 0.03, n),
            "buy_probability": random.beta(1, 6, n),
            "margin": random.gamma(2, 30, n),
            "churn_probability": random.beta(1, 3, n),
        }
    )


@st.composite
def markets(draw):
    n = draw(st.integers(1, 20))
    columns = {
        name: draw(st.lists(st.integers(low, high), min_size=n, max_size=n))
        for name, low, high in [("uplift_email", -2, 6), ("uplift_voucher", -2, 12), ("buy_probability", 0, 10)]
    }
    scores = pd.DataFrame(columns) / [100, 100, 10]
    return scores.assign(customer_id=range(n), margin=draw(st.sampled_from([20.0, 50.0])))


def contacted(table):
    return table[table["action"] == "contact"]


# -- money by hand ---------------------------------------------------------------------------------------------------


def test_offers_by_hand_on_every_frame(frame):
    scores = frame(SCORES)
    table = target_table(scores, OFFERS, holdout_share=0)
    assert type(table) is type(scores)
    rows = records(table)
    assert [row[:5] for row in rows] == [
        (4, "voucher", "contact", None, 1),
        (3, "voucher", "contact", None, 2),
        (1, "email", "contact", None, 3),
        (2, None, "leave", "below threshold", 4),
    ]
    uplift, cost, profit, low, high, contact_cost, bound = zip(*(row[5:] for row in rows), strict=True)
    assert uplift == pytest.approx([0.2, 0.1, 0.05, 0.0])
    assert cost == pytest.approx([2.0, 1.5, 0.1, 0.1])
    assert profit == pytest.approx([PROFIT[4]["voucher"], PROFIT[3]["voucher"], PROFIT[1]["email"], PROFIT[2]["email"]])
    assert {*low, *high} == {None}  # the offers have no bounds
    assert contact_cost == (0.5, 0.5, 0.1, 0.1)
    assert bound == pytest.approx([4 + 2.5 + 1.9] * 4)


def test_a_budget_buys_the_steps_that_pay_most_per_unit():
    # steps: 1 email 19 per unit, 3 email 7, 4 voucher 2, 3 from email to voucher 1.8 for 1.4
    table = target_table(pd.DataFrame(SCORES), OFFERS, budget=2.2, holdout_share=0)
    assert table["customer_id"].tolist() == [4, 1, 3, 2]  # nobody is kept out: by profit
    assert table["arm"].fillna("-").tolist() == ["voucher", "email", "email", "-"]
    assert contacted(table)["expected_cost_amount"].sum() == pytest.approx(2.2)
    less = target_table(pd.DataFrame(SCORES), OFFERS, budget=2.1, holdout_share=0).set_index("customer_id")
    assert less.index.tolist() == [1, 4, 3, 2]  # by profit per unit of cost: 19, 2, 2.5 / 1.5
    assert less["reason"].fillna("-").to_dict() == {1: "-", 3: "-", 4: "budget", 2: "below threshold"}
    assert less.loc[3, "arm"] == "voucher"  # what is left buys the next step that fits
    assert less.loc[4, "expected_incremental_profit_amount"] == pytest.approx(4)  # of the best offer, if contacted


def test_capacity_of_an_offer_goes_to_who_gains_most_by_it():
    table = target_table(pd.DataFrame(SCORES), OFFERS, capacity={"voucher": 1}, holdout_share=0)
    arms = table.set_index("customer_id")["arm"].fillna("-").to_dict()
    assert arms == {4: "voucher", 3: "email", 1: "email", 2: "-"}
    none = target_table(pd.DataFrame(SCORES), OFFERS, capacity={"voucher": 0}, holdout_share=0).set_index("customer_id")
    assert none["reason"].fillna("-").to_dict() == {4: "capacity", 3: "-", 1: "-", 2: "below threshold"}
    in_all = target_table(pd.DataFrame(SCORES), OFFERS, capacity=1, holdout_share=0)
    assert contacted(in_all)["customer_id"].tolist() == [4]
    assert in_all["profit_bound_amount"].unique().tolist() == pytest.approx([4])


def test_a_ranking_of_ones_own_goes_down_its_list():
    options = {"by": "buy_probability", "holdout_share": 0}
    table = target_table(pd.DataFrame(SCORES), OFFERS, **options, capacity=2)
    assert table["customer_id"].tolist() == [1, 4, 3, 2]
    assert table["reason"].fillna("-").tolist() == ["-", "-", "capacity", "below threshold"]
    assert table["arm"].tolist()[:2] == ["email", "voucher"]
    best = target_table(pd.DataFrame(SCORES), OFFERS, holdout_share=0, capacity=2)
    profit = "expected_incremental_profit_amount"
    assert contacted(table)[profit].sum() < contacted(best)[profit].sum() == best["profit_bound_amount"][0]
    assert (table["profit_bound_amount"] == best["profit_bound_amount"]).all()


def test_bounds_are_those_of_the_uplift():
    scores = pd.DataFrame({"customer_id": [1], "uplift_call": [0.1], "low": [0.02], "high": [0.15], "error": [0.03]})
    call = Offer("call", value=50, contact_cost=2)
    for offer, low, high in [
        (dataclasses.replace(call, uplift_low="low", uplift_high="high"), 0.02 * 50 - 2, 0.15 * 50 - 2),
        (dataclasses.replace(call, uplift_low=0.05, uplift_high=0.1), 0.05 * 50 - 2, 3),
        (dataclasses.replace(call, uplift_standard_error="error"), 3 - 1.5 * 1.95996398, 3 + 1.5 * 1.95996398),
    ]:
        row = target_table(scores, offer, holdout_share=0).iloc[0]
        assert (row["expected_profit_low_amount"], row["expected_profit_high_amount"]) == pytest.approx((low, high))
        assert row["expected_incremental_profit_amount"] == pytest.approx(3)


def test_an_uplift_of_amounts_counts_as_it_is():
    scores = pd.DataFrame({"customer_id": [1, 2], "more": [3.0, 0.5]})
    table = target_table(scores, Offer("mail", uplift="more", value=1, contact_cost=1), holdout_share=0)
    assert table["expected_incremental_profit_amount"].tolist() == [2.0, -0.5]


def test_dtypes_are_the_same_whatever_happens():
    import polars as pl

    frames = [pl.DataFrame(SCORES), pl.DataFrame(SCORES).filter(pl.col("customer_id") == 2)]
    bounded = dataclasses.replace(EMAIL, uplift_standard_error=0.01)
    tables = [target_table(scores, offers, holdout_share=0) for scores in frames for offers in (OFFERS, bounded)]
    assert all(table.schema == tables[0].schema for table in tables)
    assert tables[0]["expected_profit_low_amount"].null_count() == 4  # not NaN
    names = {pl.String: ["arm", "action", "reason"], pl.Int64: ["customer_id", "rank"]}
    assert all(tables[0].schema[name] == dtype for dtype, columns in names.items() for name in columns)


# -- the list and its neighbours -------------------------------------------------------------------------------------


def test_one_offer_that_responders_take_is_a_response_campaign():
    scores = many()
    ours = target_table(
        scores, Offer("mail", uplift="buy_probability", value="margin", contact_cost=1, offer_cost=5,
                      redemption="buy_probability"), capacity=700,
    )  # fmt: skip
    theirs = response_target_table(scores, margin="margin", contact_cost=1, offer_cost=5, capacity=700)
    assert ours["customer_id"].tolist() == theirs["customer_id"].tolist()
    assert ours["expected_incremental_profit_amount"].tolist() == pytest.approx(
        theirs["expected_profit_amount"].tolist()
    )
    assert ours["expected_cost_amount"].tolist() == pytest.approx(theirs["expected_cost_amount"].tolist())
    # hold-outs after the last contact are on paper either way
    assert contacted(ours)["customer_id"].tolist() == contacted(theirs)["customer_id"].tolist()
    held = {name: set(t.loc[t["action"] == "hold out", "customer_id"]) for name, t in [("o", ours), ("t", theirs)]}
    assert held["o"] == held["t"]


@given(markets(), st.sampled_from([None, 0, 2.5, 9]), st.sampled_from([None, 3, {"voucher": 1}]), st.booleans())
def test_limits_are_kept_and_no_list_beats_the_bound(scores, budget, capacity, by_margin):
    by = "buy_probability" if by_margin else None
    table = target_table(scores, OFFERS, by=by, budget=budget, capacity=capacity, holdout_share=0.3)
    chosen = contacted(table)
    assert sorted(table["customer_id"]) == list(range(len(scores)))
    assert table["rank"].tolist() == list(range(1, len(scores) + 1))
    assert chosen["expected_cost_amount"].sum() <= (math.inf if budget is None else budget + 1e-9)
    assert len(chosen) <= (capacity if isinstance(capacity, int) else len(scores))
    assert (chosen["arm"] == "voucher").sum() <= (1 if isinstance(capacity, dict) else len(scores))
    assert chosen["expected_incremental_profit_amount"].sum() <= table["profit_bound_amount"][0] + 1e-9
    assert (table.loc[table["action"] != "leave", "expected_incremental_profit_amount"] > 0).all()
    assert (table["arm"].isna() == (table["action"] == "leave")).all()
    assert (table["reason"].isna() == (table["action"] != "leave")).all()


def test_the_order_of_the_rows_does_not_matter():
    scores = many()
    options = {"budget": 300, "capacity": {"voucher": 400}}
    table = target_table(scores, OFFERS, **options)
    pd.testing.assert_frame_equal(target_table(scores.sample(frac=1, random_state=3), OFFERS, **options), table)
    assert table["action"].nunique() == 3


def test_equal_customers_come_in_the_order_of_their_ids():
    scores = pd.DataFrame({"customer_id": [30, 4, 100], "uplift_email": 0.1, "margin": 40.0})
    assert target_table(scores, EMAIL)["customer_id"].tolist() == [4, 30, 100]


def test_holdouts_are_a_random_share_of_every_offer_and_stay():
    scores = many(20_000)
    table = target_table(scores, OFFERS, holdout_share=0.2)
    chosen = table[table["action"] != "leave"]
    for arm, group in chosen.groupby("arm"):
        held = group["action"] == "hold out"
        assert held.mean() == pytest.approx(0.2, abs=3 * math.sqrt(0.16 / len(group))), arm
        assert stats.ks_2samp(group.loc[held, "expected_uplift"], group["expected_uplift"]).pvalue > 0.01
    changed = target_table(scores.assign(margin=scores["margin"] * 1.3), OFFERS, holdout_share=0.2)
    both = chosen.merge(changed[changed["action"] != "leave"], on="customer_id")
    assert (both["action_x"] == both["action_y"]).all()
    other = chosen.merge(target_table(scores, OFFERS, holdout_share=0.2, random_state=1), on="customer_id")
    assert ((other["action_x"] == "hold out") & (other["action_y"] == "hold out")).mean() == pytest.approx(
        0.04, abs=0.01
    )


def test_held_out_customers_cost_nothing():
    table = target_table(many(), OFFERS, capacity=200, holdout_share=0.5)
    assert table["action"].value_counts()["contact"] == 200
    assert table["action"].value_counts()["hold out"] == pytest.approx(200, abs=60)


def test_the_expected_profit_of_true_uplifts_comes_true():
    scores = many(200_000)
    random = np.random.default_rng(5)
    table = target_table(scores, OFFERS, budget=60_000, holdout_share=0.3).merge(
        scores[["customer_id", "margin", "buy_probability"]], on="customer_id"
    )
    chosen = table[table["action"] != "leave"]
    treated = chosen["action"] == "contact"
    rate = (0.3 + chosen["expected_uplift"].where(treated, 0.0)).clip(0, 1)
    earned = (random.random(len(chosen)) < rate) * chosen["margin"]
    redeemed = (random.random(len(chosen)) < chosen["buy_probability"]) & (chosen["arm"] == "voucher")
    paid = chosen["arm"].map({"email": 0.1, "voucher": 0.5}) + 5 * redeemed
    assert paid[treated].sum() == pytest.approx(chosen.loc[treated, "expected_cost_amount"].sum(), rel=0.01)
    difference = earned[treated].mean() - earned[~treated].mean()
    error = math.sqrt(earned[treated].var() / treated.sum() + earned[~treated].var() / (~treated).sum())
    expected = chosen.loc[treated, "expected_incremental_profit_amount"].mean()
    assert difference - paid[treated].mean() == pytest.approx(expected, abs=3 * error)
    assert expected > 3 * error


# -- who may be contacted --------------------------------------------------------------------------------------------


def test_who_may_not_be_contacted_is_left_on_every_frame(frame):
    eligible = frame(
        {
            "customer_id": [5, 3, 1, 2],
            "is_eligible": [True, False, True, True],
            "reason": [None, "opted out", None, None],
        }
    )
    table = target_table(frame(SCORES), OFFERS, eligible=eligible, holdout_share=0)
    assert [row[:5] for row in records(table)] == [
        (1, "email", "contact", None, 1),
        (2, None, "leave", "below threshold", 2),
        (4, None, "leave", "not eligible: not in the eligibility table", 3),
        (3, None, "leave", "not eligible: opted out", 4),
    ]


def test_an_opt_out_holds_whatever_the_ranking():
    scores = many()
    people = scores[["customer_id"]].assign(consent=scores["buy_probability"] < 0.1)
    eligible = eligibility_table(people, as_of="2024-06-01")
    refused = set(people.loc[~people["consent"], "customer_id"])
    for options in ({}, {"by": "churn_probability"}, {"budget": 100}, {"capacity": 50}):
        table = target_table(scores, OFFERS, eligible=eligible, **options)
        assert not refused & set(table.loc[table["action"] != "leave", "customer_id"])
        assert table.loc[table["customer_id"].isin(refused), "reason"].str.startswith("not eligible: ").all()
        assert len(contacted(table)) > 20


def test_eligible_must_be_said():
    said = {"customer_id": [1, 3, 4], "is_eligible": pd.array([True, None, False], "boolean"), "reason": None}
    table = target_table(pd.DataFrame(SCORES), OFFERS, eligible=pd.DataFrame(said), holdout_share=0)
    reasons = table.set_index("customer_id")["reason"]
    assert reasons[[3, 4]].tolist() == ["not eligible: no reason given"] * 2
    assert contacted(table)["customer_id"].tolist() == [1]


def test_eligibility_must_speak_of_the_same_ids():
    eligible = pd.DataFrame({"customer_id": ["1", "2"], "is_eligible": True, "reason": None})
    with pytest.raises(SchemaError, match=r"customer_id is a whole number in scores and text in eligible.*1 and '1'"):
        target_table(pd.DataFrame(SCORES), OFFERS, eligible=eligible)
    with pytest.raises(MissingColumnsError, match=r"target_table needs \['is_eligible', 'reason'\]"):
        target_table(pd.DataFrame(SCORES), OFFERS, eligible=eligible[["customer_id"]])


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": ""}, "Offer: name must be a word such as 'email', other than"),
        ({"name": "control"}, r"other than \['control', 'all'\], got 'control'"),
        ({"value": -1}, "Offer 'mail': value must be a number of zero or more, got -1"),
        ({"value": None}, "Offer 'mail': value must be a number of zero or more, got None"),
        ({"contact_cost": float("nan")}, "contact_cost must be a number of zero or more"),
        ({"offer_cost": 5}, "offer_cost=5 is paid by whoever redeems. Give redemption=.*bought anyway"),
        ({"offer_cost": 5, "redemption": 20}, "redemption must lie between 0 and 1, got 20"),
        ({"uplift": True}, 'uplift must be a number or the name of a column, such as "uplift_email", got True'),
        ({"uplift": float("inf")}, "uplift must be a number or the name of a column"),
        ({"uplift_low": 0.1}, "give uplift_low and uplift_high, or uplift_standard_error, or none of them"),
        ({"uplift_low": 0, "uplift_high": 1, "uplift_standard_error": 1}, "or none of them"),
        ({"uplift_standard_error": -1}, "uplift_standard_error must be a number of zero or more"),
    ],
)  # fmt: skip
def test_offers_that_make_no_sense_are_refused(options, message):
    with pytest.raises(SchemaError, match=message):
        Offer(**({"name": "mail", "value": 10} | options))


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"uplift_email": [0.1, None, 0, 0]}, {}, r"'uplift_email' \(uplift of 'email'\) is missing in 1 of 4 rows"),
        ({"buy_probability": [0.1, 2, 0, 0]}, {}, r"redemption of 'voucher' must lie between 0 and 1, got 2"),
        ({"margin": [0.1, -2, 0, 0]}, {}, r"value of 'email' must be zero or more, got -2 \(1 customers\)\.$"),
        ({"customer_id": [1, 1, 2, 3]}, {}, "customer_id 1 has more than one row"),
        ({}, {"capacity": {"vouchr": 3}}, r"capacity names \['vouchr'\], which is no offer. Did you mean 'voucher'"),
        ({}, {"capacity": {"voucher": 0.5}}, "capacity of 'voucher' must be a whole number of at least 0, got 0.5"),
        ({}, {"capacity": 2.5}, "capacity must be a whole number"),
        ({}, {"budget": -1}, "budget must be a number of zero or more"),
        ({}, {"holdout_share": 1}, "holdout_share must be a fraction between 0 and 1"),
        ({}, {"offers": []}, r"offers must be a list such as \[Offer\(\"email\""),
        ({}, {"offers": {"email": 1}}, "offers must be a list such as"),
        ({}, {"offers": [EMAIL, EMAIL]}, r"more than one offer is called \['email'\]"),
        (
            {},
            {"offers": dataclasses.replace(EMAIL, uplift_low=0, uplift_high=0.03)},
            r"the uplift of 'email' must lie within its bounds, got 0.05 for 0 to 0.03 \(2 customers\)",
        ),
    ],
)
def test_bad_scores_and_limits_are_refused(changes, options, message):
    with pytest.raises(SchemaError, match=message):
        target_table(pd.DataFrame(SCORES | changes), **({"offers": OFFERS} | options))


def test_missing_columns_are_named():
    with pytest.raises(MissingColumnsError, match=r"target_table needs \['uplift_emial'\].*mean 'uplift_email'"):
        target_table(pd.DataFrame(SCORES), Offer("emial", value=1))
    with pytest.raises(MissingColumnsError, match=r"target_table needs \['clv_amount'\]"):
        target_table(pd.DataFrame(SCORES), OFFERS, by="clv_amount")


def test_the_key_keeps_its_name():
    with pytest.raises(SchemaError, match=r"key='rank' is the name of a column of the result. Rename it first"):
        target_table(pd.DataFrame(SCORES).rename(columns={"customer_id": "rank"}), OFFERS, key="rank")


def test_nobody_worth_a_contact_and_everybody_held_out():
    table = target_table(pd.DataFrame(SCORES), Offer("email", value=0, contact_cost=1), budget=1)
    assert table["reason"].unique().tolist() == ["below threshold"]
    assert table["profit_bound_amount"].unique().tolist() == [0]
    held = target_table(pd.DataFrame(SCORES), OFFERS, budget=0.5, holdout_share=1 - 1e-9)
    assert "contact" not in set(to_pandas(held)["action"])


def test_the_standard_error_of_a_model_is_found_beside_its_uplift():
    scores = pd.DataFrame(
        {"customer_id": [1, 2], "uplift_mail": [0.1, 0.2], "uplift_mail_standard_error": [0.01, 0.02]}
    )
    found = target_table(scores, Offer("mail", value=100), holdout_share=0)
    said = target_table(
        scores, Offer("mail", value=100, uplift_standard_error="uplift_mail_standard_error"), holdout_share=0
    )
    pd.testing.assert_frame_equal(found, said)
    assert found["expected_profit_low_amount"].tolist() == pytest.approx([20 - 1.96 * 2, 10 - 1.96], abs=1e-3)
    plain = target_table(scores, Offer("mail", value=100, uplift_low=0.0, uplift_high=0.5), holdout_share=0)
    assert plain["expected_profit_low_amount"].tolist() == [0.0, 0.0]
