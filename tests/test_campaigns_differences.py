"""What differences in differences promise: values by hand and from a famous study, plain words, helpful refusals."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics._kernels.treatment_effects import mean_effect
from crmlytics.campaigns.without_control.differences import PAIR_KINDS, difference_in_differences_table
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

OUTCOMES = {
    "campaign_id": [7] * 8,
    "customer_id": ["h", "a", "b", "c", "d", "e", "f", "g"],
    "arm": ["not contacted", "mail", "mail", "mail", "call", "call", "not contacted", "not contacted"],
    "pre_revenue_amount": [30.0, 30.0, 60.0, 90.0, 0.0, 3.0, 0.0, 60.0],
    "revenue_amount": [12.0, 20.0, 25.0, 60.0, 5.0, 9.0, 3.0, 18.0],
}


def cells(table, *columns):
    places = [list(PAIR_KINDS).index(name) for name in columns]
    return [tuple(row[place] for place in places) for row in records(table)]


def made(treated, other):
    """Return a table of outcomes; the two arguments are of shape (customers, 2)."""
    values = np.vstack([treated, other])
    return pd.DataFrame({
        "customer_id": np.arange(len(values)),
        "arm": ["mail"] * len(treated) + ["control"] * len(other),
        "pre_revenue_amount": values[:, 0],
        "revenue_amount": values[:, 1],
    })  # fmt: skip


def test_changes_by_hand_on_every_frame(frame):
    table = frame(OUTCOMES)
    found = difference_in_differences_table(table, comparison="not contacted", horizon="30d", pre_period="90d")
    assert type(found) is type(table)
    counts = ("campaign_id", "arm", "metric", "treated_count", "comparison_count")
    assert cells(found, *counts) == [(7, "call", "revenue_amount", 2, 3), (7, "mail", "revenue_amount", 3, 3)]
    means = ("treated_before_mean", "treated_after_mean", "comparison_before_mean", "comparison_after_mean")
    assert cells(found, *means) == [(0.5, 7.0, 10.0, 11.0), (20.0, 35.0, 10.0, 11.0)]  # before: a third of 90 days
    changes = {"call": [5.0, 8.0], "mail": [10.0, 5.0, 30.0], "not contacted": [2.0, 3.0, -2.0]}
    told = cells(found, "difference", "difference_low", "difference_high", "p_value")
    for arm, row in zip(("call", "mail"), told, strict=True):
        effect = mean_effect(*(np.array(changes[name])[:, None] for name in (arm, "not contacted")), 0.95)
        expected = (np.mean(changes[arm]) - 1.0, effect.difference_low, effect.difference_high, effect.p_value)
        np.testing.assert_allclose(row, expected, rtol=1e-9)


def test_minimum_wages_of_card_and_krueger():
    """Table 3, row 4 of the paper: changes of the balanced sample, 2.75 (1.34) from .47 (.48) and -2.28 (1.25)."""

    def stores(count, mean, error):  # half a step above the mean, half below it
        apart = error * np.sqrt(count - 1) * np.where(np.arange(count) % 2, 1.0, -1.0)
        return np.column_stack([np.full(count, 20.0), 20.0 + mean + apart])

    found = difference_in_differences_table(
        made(stores(290, 0.47, 0.48), stores(76, -2.28, 1.25)), horizon="30d", pre_period="30d", confidence=0.6827
    ).iloc[0]
    assert found.difference == pytest.approx(2.75, abs=0.005)
    assert (found.difference_high - found.difference_low) / 2 == pytest.approx(1.34, abs=0.02)


def test_says_what_it_cannot_show():
    alike = difference_in_differences_table(made([[10, 5], [20, 9]], [[20, 5], [10, 4]])).caution[0]
    assert alike.startswith("Taken for granted: without the contact both groups would have changed alike.")
    assert "standard deviations" not in alike
    chosen = difference_in_differences_table(made([[30, 5], [60, 9]], [[0, 5], [30, 4]])).caution[0]
    assert "the treated were 1.41 standard deviations above the comparison: if they were chosen for that" in chosen


def test_customers_chosen_for_a_good_month_fall_back_and_the_caution_tells():
    random = np.random.default_rng(3)
    usual = random.gamma(3.0, 10.0, 4_000)
    before, after = usual + random.normal(0, 20, 4_000), usual + random.normal(0, 20, 4_000)
    best = before > np.quantile(before, 0.8)
    found = difference_in_differences_table(
        made(*(np.column_stack([before, after])[rows] for rows in (best, ~best))), pre_period="30d"
    ).iloc[0]
    assert found.difference_high < -10  # nobody did anything to them
    assert "2.88 standard deviations above" in found.caution


def test_too_few_customers_are_told_not_guessed():
    found = difference_in_differences_table(made([[10.0, 5.0]], [[1.0, 2.0], [3.0, 4.0]])).iloc[0]
    assert pd.isna(found.difference)
    assert pd.isna(found.p_value)
    assert found.caution == "Too few customers in a group: at least 2 are needed."


def test_where_nothing_varies_there_is_no_interval():
    found = difference_in_differences_table(made([[10, 30], [7.7, 27.7]], [[10, 10], [3, 3]]), pre_period="30d").iloc[0]
    assert found.difference == pytest.approx(20)
    assert found[["difference_low", "difference_high", "p_value"]].isna().all()
    assert found.caution.endswith(" No interval: nothing varies between the customers of a group.")


def test_a_campaign_without_comparison_has_a_row_that_says_so():
    table = pd.concat([
        made([[1, 2], [2, 3]], [[1, 2], [2, 2]]).assign(campaign_id="a"),
        made([[1, 2], [2, 3]], np.empty((0, 2))).assign(campaign_id="b"),
    ])  # fmt: skip
    found = difference_in_differences_table(table)
    assert found.comparison_count.tolist() == [2, 0]
    assert found.difference.isna().tolist() == [False, True]


@given(
    shift=st.tuples(st.integers(-50, 50), st.integers(-50, 50)),
    values=st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=4, max_size=12),
)
def test_what_groups_always_differ_in_does_not_count(shift, values):
    values = np.array(values, float)
    treated, other = values[::2], values[1::2]
    plain = difference_in_differences_table(made(treated, other), pre_period="30d")
    moved = made(treated + shift[0], other + shift[1]).sample(frac=1, random_state=0)
    found = difference_in_differences_table(moved, pre_period="30d")
    columns = ["difference", "difference_low", "difference_high", "p_value"]
    np.testing.assert_allclose(found[columns].astype(float), plain[columns].astype(float), atol=1e-9)


def test_refusals():
    table = make_frame(OUTCOMES, "pandas")
    with pytest.raises(SchemaError, match=r"no row has arm='control'.*Arms: \['call', 'mail', 'not contacted'\]"):
        difference_in_differences_table(table)
    with pytest.raises(MissingColumnsError, match=r"needs \['margin_amount', 'pre_margin_amount'\].*outcome_table"):
        difference_in_differences_table(table, comparison="call", metrics=["margin_amount"])
    with pytest.raises(MissingColumnsError, match=r"needs \['revenue_amount', 'pre_revenue_amount'\]"):
        difference_in_differences_table(table.drop(columns="pre_revenue_amount"), comparison="call")
    with pytest.raises(SchemaError, match=r"metrics must be a list.*metrics=\['revenue_amount'\]"):
        difference_in_differences_table(table, comparison="call", metrics="revenue_amount")
    with pytest.raises(SchemaError, match="horizon must be a duration"):
        difference_in_differences_table(table, comparison="call", horizon=30)
