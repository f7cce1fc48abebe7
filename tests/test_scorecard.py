"""What the scorecard promises: one row per customer, nothing from the future, and honest words on every column."""

import datetime as dt
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crmlytics as crm
from crmlytics._cli.summary import _back_test, _outlook
from crmlytics._frames import to_pandas
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.scorecard import score_customers, scorecard_table
from crmlytics.testing import make_frame, records

AS_OF = "2024-12-01"
COUNTED = ["recency_days", "order_count", "total_amount", "r_score", "f_score", "m_score", "rfm_score", "segment"]
COUNTED += ["average_order_amount", "tenure_days", "amount_share", "value_decile"]
COUNTED += ["stage", "usual_interval_days", "silence_ratio", "returned_share", "product_count"]
FORECAST = ["alive_probability", "purchase_probability", "expected_purchase_count", "expected_order_amount"]
GROUPS = ["current_amount", "growth_amount", "value_group", "action", "behaviour_segment", "behaviour_probability"]
WORDS = ["customer_id", "rfm_score", "segment", "stage", "value_group", "action", "behaviour_segment"]
BASE = crm.datasets.make_transactions(customers=300, random_state=7).transactions


@pytest.fixture(scope="module")
def card():
    return score_customers(BASE, as_of=AS_OF)


def few(customers):
    return {
        "customer_id": [f"c{i}" for i in range(customers)],
        "order_id": list(range(customers)),
        "timestamp": [dt.datetime(2024, 1, 1) + dt.timedelta(days=i) for i in range(customers)],
        "amount": [10.0 + i for i in range(customers)],
    }


def test_one_row_per_customer_sorted_with_the_documented_columns(card):
    known = BASE[BASE["timestamp"] < AS_OF]
    assert card.scores["customer_id"].tolist() == sorted(known["customer_id"].unique())
    assert card.scores.columns.tolist() == ["customer_id", *COUNTED, *FORECAST, "expected_revenue_amount", *GROUPS]
    assert card.scores["total_amount"].sum() == pytest.approx(known["amount"].sum())


def test_the_guide_explains_every_column_and_only_those(card):
    assert card.guide["column"].tolist() == card.scores.columns.tolist()[1:]
    assert (card.guide[["meaning", "unit", "certainty"]].map(len) > 3).all().all()


def test_columns_agree_with_the_topics_they_come_from(card):
    rfm = crm.rfm.rfm_table(BASE, as_of=AS_OF)
    value = crm.value.value_table(BASE, as_of=AS_OF)
    for column in ("recency_days", "order_count", "total_amount"):
        pd.testing.assert_series_equal(card.scores[column], rfm[column])
    for column in ("order_count", "total_amount", "average_order_amount", "tenure_days", "amount_share"):
        pd.testing.assert_series_equal(card.scores[column], value[column])


def test_expected_revenue_is_purchases_times_amount_and_clv_its_margin(card):
    scores = card.scores
    product = scores["expected_purchase_count"] * scores["expected_order_amount"]
    np.testing.assert_allclose(scores["expected_revenue_amount"], product)
    with_margin = scorecard_table(BASE, as_of=AS_OF, margin=0.25, segmenter=card.segmenter)
    assert "expected_revenue_amount" not in with_margin.columns
    np.testing.assert_allclose(with_margin["clv_amount"], 0.25 * product)


def test_only_a_margin_makes_a_column_called_clv(card):
    assert not [column for column in card.scores.columns if "clv" in column]


def test_probabilities_are_probabilities_and_grow_with_the_horizon(card):
    assert card.scores["purchase_probability"].between(0, 1).all()
    assert card.scores["alive_probability"].between(0, 1).all()
    longer = scorecard_table(BASE, as_of=AS_OF, horizon="26w", segmenter=card.segmenter)
    assert (longer["purchase_probability"] > card.scores["purchase_probability"]).all()
    assert (card.scores["purchase_probability"] <= card.scores["alive_probability"] + 1e-12).all()


def test_one_time_buyers_are_not_called_alive_with_certainty(card):
    once = card.scores[(card.scores["order_count"] == 1) & (card.scores["recency_days"] > 200)]
    assert len(once) > 0
    assert once["alive_probability"].max() < 0.9


def test_the_back_test_compares_with_what_was_counted_by_hand(card):
    figures = dict(zip(card.evaluation["name"], card.evaluation["value"], strict=True))
    cutoff = pd.Timestamp(AS_OF) - pd.Timedelta(days=90)
    days = BASE.assign(day=BASE["timestamp"].dt.normalize()).groupby(["customer_id", "day"])["amount"].sum()
    days = days[days > 0].reset_index()
    known = days.loc[days["day"] < cutoff, "customer_id"].unique()
    later = days[(days["day"] >= cutoff) & (days["day"] < AS_OF) & days["customer_id"].isin(known)]
    assert figures["known_customer_count"] == len(known)
    assert figures["actual_purchase_count"] == len(later)
    assert figures["actual_buyer_share"] == pytest.approx(later["customer_id"].nunique() / len(known))
    assert 0.75 < figures["expected_purchase_count"] / figures["actual_purchase_count"] < 1.33
    assert figures["purchase_ranking_auc"] > 0.7


def test_what_happens_later_changes_nothing(card):
    poison = BASE.iloc[:50].assign(timestamp=pd.Timestamp(AS_OF), amount=1e9)
    pd.testing.assert_frame_equal(scorecard_table(pd.concat([BASE, poison]), as_of=AS_OF), card.scores)


def test_every_frame_kind_gives_the_same_scores_as_its_own_kind(card, frame, kind):
    columns = ["customer_id", "order_id", "timestamp", "product_id", "amount"]
    orders = frame({name: BASE[name].tolist() for name in columns})
    found = score_customers(orders, as_of=AS_OF)
    assert {type(found.scores), type(found.guide), type(found.evaluation)} == {type(orders)}
    table = to_pandas(found.scores)
    expected = card.scores
    assert table.columns.tolist() == expected.columns.tolist()
    for column in WORDS[2:]:
        assert table[column].tolist() == expected[column].tolist(), f"{kind} {column}"
    for column in expected.columns.drop(WORDS):
        # sums are added in each engine's own order, and the fit follows
        np.testing.assert_allclose(table[column].astype(float), expected[column], rtol=1e-5, err_msg=f"{kind} {column}")


@settings(max_examples=4)
@given(seed=st.integers(0, 100))
def test_row_order_does_not_matter(card, seed):
    shuffled = BASE.sample(frac=1, random_state=seed)
    pd.testing.assert_frame_equal(scorecard_table(shuffled, as_of=AS_OF), card.scores, rtol=1e-6)


def test_too_few_repeat_buyers_leave_the_forecast_empty_and_say_so():
    found = score_customers(make_frame(few(8), "pandas"), as_of="2024-03-01")
    assert found.scores[[*FORECAST, "expected_revenue_amount"]].isna().all().all()
    assert found.scores["total_amount"].tolist() == few(8)["amount"]
    certainty = dict(zip(found.guide["column"], found.guide["certainty"], strict=True))
    assert "not estimated: 0 customers bought again, at least 30 are needed" in certainty["alive_probability"]
    assert "nobody has score 2, 3, 4, 5" in certainty["f_score"]
    assert "Not back-tested" in certainty["purchase_probability"]
    assert records(found.evaluation) == []


def test_a_customer_with_returns_only_has_no_forecast(card):
    ghost = BASE.iloc[[0]].assign(customer_id=999_999, amount=-5.0, timestamp=pd.Timestamp("2024-05-01"))
    scores = scorecard_table(pd.concat([BASE, ghost]), as_of=AS_OF, segmenter=card.segmenter)
    row = scores[scores["customer_id"] == 999_999].iloc[0]
    assert row["total_amount"] == -5.0
    assert np.isnan(row["purchase_probability"])


def test_free_repeat_purchases_do_not_stop_the_amounts(card):
    free = BASE[BASE["customer_id"] == BASE["customer_id"].iloc[0]].assign(amount=0.0)
    orders = pd.concat([BASE[BASE["customer_id"] != BASE["customer_id"].iloc[0]], free])
    scores = scorecard_table(orders, as_of=AS_OF, segmenter=card.segmenter)
    assert np.isfinite(scores["expected_order_amount"]).all()


@pytest.fixture(scope="module")
def free_later():
    """Everybody pays for the first order only: what comes after it is free."""
    first = BASE.groupby("customer_id")["timestamp"].transform("min").dt.normalize()
    return BASE.assign(amount=BASE["amount"].where(BASE["timestamp"].dt.normalize() == first, 0.0))


def test_where_nobody_paid_again_only_the_amounts_stay_empty(card, free_later):
    found = score_customers(free_later, as_of=AS_OF, segmenter=card.segmenter)
    assert found.scores[FORECAST[:-1]].notna().all().all()
    assert found.scores[["expected_order_amount", "expected_revenue_amount"]].isna().all().all()
    certainty = dict(zip(found.guide["column"], found.guide["certainty"], strict=True))
    why = "not estimated: 0 customers paid for a repeat purchase, at least 30 are needed"
    assert why in certainty["expected_order_amount"]
    assert why in certainty["expected_revenue_amount"]
    assert "Back-test on the last 90 days" in certainty["purchase_probability"]
    assert not found.evaluation["name"].str.endswith("_revenue_amount").any()
    assert (
        why
        in score_customers(free_later, as_of=AS_OF, margin=0.2, segmenter=card.segmenter)
        .guide.set_index("column")
        .loc["clv_amount", "certainty"]
    )


@pytest.mark.parametrize(("payers", "is_estimated"), [(29, False), (30, True)])
def test_thirty_who_paid_again_are_enough_for_amounts(card, free_later, payers, is_estimated):
    chosen = crm.clv.btyd_table(BASE, as_of=AS_OF).query("monetary_value > 0")["customer_id"].iloc[:payers]
    orders = pd.concat([free_later[~free_later["customer_id"].isin(chosen)], BASE[BASE["customer_id"].isin(chosen)]])
    scores = scorecard_table(orders, as_of=AS_OF, segmenter=card.segmenter)
    assert scores["expected_order_amount"].notna().any() == is_estimated


def test_the_summary_does_not_call_an_amount_nobody_estimated_zero(free_later):
    card = score_customers(free_later, as_of=AS_OF)
    outcome = SimpleNamespace(scores=card.scores, evaluation=card.evaluation, horizon_days=90, currency="EUR")
    assert _outlook(outcome).endswith("of them expected to buy, expected revenue not estimated (see guide.csv)")
    assert re.search(r"this forecast expected [\d,]+ purchases; [\d,]+ came", _back_test(outcome))


def test_the_guide_says_what_time_is_counted_from():
    ghost = BASE.iloc[[0]].assign(customer_id=999_999, amount=-5.0, timestamp=pd.Timestamp("2024-11-21"))
    card = score_customers(pd.concat([BASE, ghost]), as_of=AS_OF)
    row = card.scores[card.scores["customer_id"] == 999_999].iloc[0]
    assert (row["order_count"], row["recency_days"], row["tenure_days"]) == (0, 10, 10)
    meaning = dict(zip(card.guide["column"], card.guide["meaning"], strict=True))
    assert meaning["recency_days"] == "Calendar days since the last order; without any order, since the last return"
    assert meaning["tenure_days"] == "Calendar days since the first line of any kind, order or return"


def test_the_callers_names_come_back():
    own = BASE.rename(columns={"customer_id": "Kunde", "amount": "Betrag"})
    tx = crm.Transactions(own, customer_id="Kunde", amount="Betrag")
    assert tx.with_source_names(scorecard_table(tx, as_of=AS_OF)).columns[0] == "Kunde"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"as_of": "1.12.2024"},
            r"score_customers: as_of must be a date such as as_of=\"2011-12-10\", got '1.12.2024'",
        ),
        (
            {"as_of": AS_OF, "horizon": "3 months"},
            r"horizon must be a duration in days or weeks such as horizon=\"90d\"",
        ),
        ({"as_of": AS_OF, "margin": 30}, r"margin must be a fraction between 0 and 1, such as margin=0.2, got 30"),
        ({"as_of": "1999-01-01"}, "no line lies before as_of=1999-01-01. Check as_of and the data"),
    ],
)
def test_arguments_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(SchemaError, match=message):
        score_customers(BASE, **arguments)


def test_a_refusal_names_the_function_that_was_called():
    with pytest.raises(SchemaError, match=r"^scorecard_table: as_of must be a date"):
        scorecard_table(BASE, as_of="soon")


def test_a_missing_role_is_named():
    with pytest.raises(MissingColumnsError, match=r"rfm_table needs \['amount'\].*amount='<your column>'"):
        score_customers(BASE.drop(columns=["amount", "unit_price"], errors="ignore"), as_of=AS_OF)
