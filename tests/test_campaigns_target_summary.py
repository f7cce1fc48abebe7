"""What the summary of targets promises: sums that add up, bounds that are the bounds', a hold-out honestly judged."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crmlytics._frames import to_pandas
from crmlytics.campaigns.planning.sizing import detectable_effect_table
from crmlytics.campaigns.targeting._plots import plot_arms
from crmlytics.campaigns.targeting.offers import Offer
from crmlytics.campaigns.targeting.target_summary import target_summary_table
from crmlytics.campaigns.targeting.targets import target_table
from crmlytics.decisions import response_target_table
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.testing import records

SCORES = {
    "customer_id": [1, 2, 3, 4],
    "uplift_email": [0.02, 0.04, -0.01, 0.0],
    "uplift_call": [0.02, 0.01, 0.1, 0.02],
}
EMAIL = Offer("email", value=50, contact_cost=0.5, uplift_standard_error=0.01)
CALL = Offer("call", value=50, contact_cost=2, uplift_standard_error=0.02)
OFFERS = [EMAIL, CALL]
Z = 1.959963984540054
EXPECTED = "The hold-out shows an uplift of {:.3g} reliably; {:.3g} is expected."


def many(n=6000, seed=0):
    random = np.random.default_rng(seed)
    columns = {"uplift_email": random.normal(0.01, 0.02, n), "uplift_call": random.normal(0.03, 0.05, n)}
    return pd.DataFrame({"customer_id": random.permutation(n)} | columns)


def test_sums_by_hand_on_every_frame(frame):
    targets = target_table(frame(SCORES), OFFERS, holdout_share=0)
    table = target_summary_table(targets)
    assert type(table) is type(targets)
    call, email, everything = records(table)
    assert call[:4] == ("call", 1, 0, 2.0)
    assert call[4:8] == pytest.approx((3.0, 3.0 - Z, 3.0 + Z, 0.1))
    assert email[:4] == ("email", 2, 0, 1.0)
    assert email[4:8] == pytest.approx((0.5 + 1.5, 2 - Z, 2 + Z, 0.03))  # both bounds at once: 2 x 0.01 x 50 Z
    assert everything[:4] == ("all", 3, 0, 3.0)
    assert everything[4:8] == pytest.approx((5.0, 5 - 2 * Z, 5 + 2 * Z, 0.16 / 3))
    assert [row[8] for row in (call, email, everything)] == [None] * 3  # no hold-out shows anything
    assert [row[9] for row in (call, email)] == [None, None]
    assert everything[9] == pytest.approx(5)
    assert everything[10] == "There is no hold-out: nobody will know what this campaign did."


def test_offers_add_up_to_all():
    targets = target_table(many(), OFFERS, budget=800)
    table = target_summary_table(targets, baseline_rate=0.1)
    counts = pd.crosstab(targets["arm"], targets["action"])
    assert table["arm"].tolist() == ["call", "email", "all"]
    assert table["contact_count"].tolist() == [*counts["contact"], counts["contact"].sum()]
    assert table["holdout_count"].tolist() == [*counts["hold out"], counts["hold out"].sum()]
    sums = table.columns[3:7]
    assert table[sums].iloc[-1].tolist() == pytest.approx(table[sums].iloc[:-1].sum().tolist())
    assert table["expected_cost_amount"].iloc[-1] <= 800
    uplift = targets[targets["action"] == "contact"].groupby("arm")["expected_uplift"].mean()
    assert table["expected_uplift"].tolist()[:2] == pytest.approx(uplift.tolist(), rel=1e-12)
    profit = table["expected_incremental_profit_amount"].iloc[-1]
    assert 0.999 * table["profit_bound_amount"].iloc[-1] < profit <= table["profit_bound_amount"].iloc[-1]
    assert table["profit_bound_amount"].isna().tolist() == [True, True, False]


def test_bounds_are_missing_where_one_offer_has_none():
    targets = target_table(many(), [EMAIL, dataclasses.replace(CALL, uplift_standard_error=None)])
    table = target_summary_table(targets).set_index("arm")
    assert table["expected_profit_low_amount"].isna().to_dict() == {"call": True, "email": False, "all": True}


def test_the_profit_lies_within_bounds_of_an_error_that_all_share():
    targets = target_table(many(), EMAIL)
    row = target_summary_table(targets).iloc[-1]
    contacted = targets[targets["action"] == "contact"]
    errors = np.random.default_rng(1).normal(0, 0.01, 4000)
    profit = ((contacted["expected_uplift"].to_numpy() + errors[:, None]) * 50 - 0.5).sum(axis=1)
    within = (profit >= row["expected_profit_low_amount"]) & (profit <= row["expected_profit_high_amount"])
    assert within.mean() == pytest.approx(0.95, abs=0.015)


def test_the_holdout_shows_the_detectable_uplift_as_often_as_promised():
    rate, power, significance = 0.08, 0.9, 0.1
    targets = target_table(many(40_000), EMAIL, holdout_share=0.3)
    row = target_summary_table(targets, baseline_rate=rate, power=power, significance=significance).iloc[0]
    n, m, uplift = row["contact_count"], row["holdout_count"], row["detectable_uplift"]
    random = np.random.default_rng(4)
    treated, control = random.binomial(n, rate + uplift, 4000), random.binomial(m, rate, 4000)
    pooled = (treated + control) / (n + m)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    shown = treated / n - control / m > stats.norm.ppf(1 - significance / 2) * error
    assert shown.mean() == pytest.approx(power, abs=0.02)


def test_it_is_the_effect_that_a_test_of_these_sizes_detects():
    targets = target_table(many(), OFFERS, holdout_share=0.2)
    for baseline, known in [({"baseline_rate": 0.1},) * 2, ({"standard_deviation": 20}, {"baseline_mean": 3.0})]:
        options = {"power": 0.7, "significance": 0.01} | baseline
        table = target_summary_table(targets, **options)
        for row in table.itertuples():
            sizes = {"control": row.holdout_count, "offer": row.contact_count}
            told = detectable_effect_table(sizes, **options | known)
            assert row.detectable_uplift == told["smallest_difference"][0]


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (None, "Give baseline_rate or standard_deviation to learn what the hold-out can show."),
        (0.0001, EXPECTED),
        (0.5, EXPECTED + " Hold out more, or judge several campaigns together."),
    ],
)
def test_the_note_says_whether_the_holdout_will_do(rate, words):
    table = target_summary_table(target_table(many(), EMAIL), baseline_rate=rate)
    for row in table.itertuples():
        assert row.note == words.format(row.detectable_uplift, row.expected_uplift)


def test_a_holdout_of_two_shows_nothing():
    targets = target_table(many(20), EMAIL)
    targets = targets[targets["action"] == "contact"].reset_index(drop=True)
    targets.loc[:1, "action"] = "hold out"
    row = target_summary_table(targets, baseline_rate=0.9).iloc[-1]
    assert np.isnan(row["detectable_uplift"])
    assert row["note"].startswith("The hold-out shows no uplift reliably; ")
    assert row["note"].endswith("Hold out more, or judge several campaigns together.")


def test_a_list_of_nobody_sums_up_to_nothing():
    table = target_summary_table(target_table(many(), Offer("email", value=0, contact_cost=1)), baseline_rate=0.1)
    assert records(table) == [("all", 0, 0, 0.0, 0.0, 0.0, 0.0, None, None, 0.0, "Nobody is contacted.")]


def test_refusals_say_what_to_give():
    decided = response_target_table(
        pd.DataFrame({"customer_id": [1], "buy_probability": [0.5]}), margin=9, contact_cost=1
    )
    with pytest.raises(
        MissingColumnsError, match=r"takes the result of campaigns.target_table.*decisions.summary_table"
    ):
        target_summary_table(decided)
    targets = target_table(many(), EMAIL)
    with pytest.raises(SchemaError, match="give baseline_rate for conversions, or standard_deviation for amounts"):
        target_summary_table(targets, baseline_rate=0.1, standard_deviation=2)
    with pytest.raises(SchemaError, match="baseline_rate must be a fraction between 0 and 1"):
        target_summary_table(targets, baseline_rate=5)
    with pytest.raises(SchemaError, match="standard_deviation must be a number above zero"):
        target_summary_table(targets, standard_deviation=0)
    with pytest.raises(SchemaError, match="targets has no rows"):
        target_summary_table(targets[:0])


# -- picture ---------------------------------------------------------------------------------------------------------


def test_the_picture_has_a_bar_per_offer_the_best_on_top():
    targets = target_table(many(), OFFERS)
    summary = to_pandas(target_summary_table(targets)).set_index("arm").drop(index="all")
    ax = plot_arms(targets)
    profit = summary["expected_incremental_profit_amount"].sort_values()
    assert [bar.get_width() for bar in ax.patches] == pytest.approx(profit.tolist())
    assert [label.get_text() for label in ax.get_yticklabels()] == profit.index.tolist()
    for text, arm in zip(ax.texts, profit.index, strict=True):
        row = summary.loc[arm]
        assert f"from {row.contact_count:,} contacts\n{row.holdout_count:,} held out" in text.get_text()


def test_the_picture_of_nobody_says_so():
    ax = plot_arms(target_table(many(), Offer("email", value=0, contact_cost=1)))
    assert [text.get_text() for text in ax.texts] == ["Nobody is contacted."]
    with pytest.raises(MissingColumnsError, match=r"plot_arms takes the result of campaigns.target_table\(...\)"):
        plot_arms(pd.DataFrame({"a": [1]}))
