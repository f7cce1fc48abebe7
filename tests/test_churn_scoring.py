"""What score_churn promises: nothing of the future, honest rivals, a horizon that suits, reasons by segment."""

import datetime as dt
import re

import numpy as np
import pandas as pd
import pytest

import crmlytics as crm
from crmlytics._forward import training_cutoffs
from crmlytics._purchase_days import read_purchases
from crmlytics.churn import ChurnModel, churn_reason_table, horizon_table, plot_churn_reasons, score_churn
from crmlytics.exceptions import DataQualityWarning, SchemaError
from crmlytics.scoring._rules import Histories, buying_rules, silence_windows
from crmlytics.snapshots import Snapshots, cutoff_dates
from crmlytics.testing import records

MADE = crm.datasets.make_transactions(customers=500, random_state=1)
ORDERS = MADE.transactions
AS_OF = "2024-09-30"
CUTOFFS = cutoff_dates("2024-07-02", every="60d", count=5)
QUICK = {"horizon": "90d", "model": "logistic", "cutoffs": CUTOFFS}


@pytest.fixture(scope="module")
def churn():
    return score_churn(ORDERS, as_of=AS_OF, **QUICK)


# -- in one call ---------------------------------------------------------------------------------------------------


def test_scores_everybody_active_once(churn):
    rfm = crm.rfm.rfm_table(ORDERS, as_of=AS_OF)
    orders = ORDERS[ORDERS["timestamp"] < AS_OF]
    known = set(Snapshots(orders, cutoffs="2024-05-01", horizon="90d").features_table(AS_OF)["customer_id"])
    assert set(churn.scores["customer_id"]) == known
    assert known <= set(rfm["customer_id"])
    assert churn.scores["customer_id"].is_monotonic_increasing
    assert churn.scores["churn_probability"].between(0, 1).all()
    assert list(churn.scores.columns) == [
        "customer_id", "cutoff", "churn_probability", "lift", "reason_1", "reason_2", "reason_3", "recency_days",
        "order_count", "total_amount",
    ]  # fmt: skip


def test_the_future_changes_nothing(churn):
    late = ORDERS["timestamp"] >= AS_OF
    poisoned = ORDERS.assign(amount=ORDERS["amount"].where(~late, 1e6), unit_price=ORDERS["unit_price"].where(~late, 9))
    more = poisoned[late].assign(order_id=lambda t: t["order_id"] + "x")
    again = score_churn(pd.concat([poisoned[::-1], more]), as_of=AS_OF, **QUICK)
    pd.testing.assert_frame_equal(again.scores, churn.scores, rtol=1e-8)


def test_who_dropped_out_is_scored_higher(churn):
    truth = MADE.customers.set_index("customer_id")["dropped_out_at"] < AS_OF
    gone = churn.scores["customer_id"].map(truth).to_numpy(dtype=bool)
    probability = churn.scores["churn_probability"].to_numpy()
    assert probability[gone].mean() > probability[~gone].mean() + 0.05


def test_it_learns_from_closed_windows_and_is_judged_on_later_ones(churn):
    assert churn.snapshots.cutoffs[-1] + dt.timedelta(days=90) == churn.as_of
    out_of_time = churn.evaluation.predictions[0]
    assert out_of_time.scheme == "out of time"
    assert set(out_of_time.baselines) == {
        "recency", "RFM", "BG/NBD", "no order for 90 days", "no order for 45 days", "best single feature"
    }  # fmt: skip
    card = str(churn.card())
    assert "no order within 90d of the cutoff" in card
    assert "trained as of" in card


def test_every_frame_gets_the_same_scores(frame, churn):
    scores = score_churn(frame({name: list(values) for name, values in ORDERS.items()}), as_of=AS_OF, **QUICK).scores
    found = [(row[0], row[2]) for row in records(scores)]
    wanted = [(row[0], row[2]) for row in records(churn.scores)]
    assert [row[0] for row in found] == [row[0] for row in wanted]
    np.testing.assert_allclose([row[1] for row in found], [row[1] for row in wanted], rtol=1e-6)


def test_online_retail_is_no_worse_than_any_rule_and_better_than_rfm(shared_data):
    lines = pd.read_parquet(shared_data / "online_retail.parquet")
    with pytest.warns(DataQualityWarning, match="lines set aside"):
        tx = crm.Transactions(
            lines, customer_id="CustomerID", order_id="InvoiceNo", timestamp="InvoiceDate", product_id="StockCode",
            quantity="Quantity", unit_price="UnitPrice",
        )  # fmt: skip
    found = score_churn(
        tx, as_of="2011-12-09", cutoffs=cutoff_dates("2011-09-10", every="30d", count=8), model="boosting"
    )
    judged = found.evaluation.predictions[0]
    last = judged.period == np.datetime64("2011-09-10")
    y, probability = judged.outcome[last], judged.probability[last]
    rules = {name: values[last] for name, values in judged.baselines.items()}
    model = crm.metrics.classification_table(y, probability, replicates=100).set_index("metric").loc["auc", "value"]
    assert model > 0.74
    areas = {name: _auc(y, scores) for name, scores in rules.items()}
    assert model > max(areas.values())
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, len(y), len(y)) for _ in range(400)]
    gain = [_auc(y[rows], probability[rows]) - _auc(y[rows], rules["RFM"][rows]) for rows in drawn]
    assert np.quantile(gain, 0.05) > 0


def _auc(y, score):
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(y, score)


def test_cutoffs_go_back_as_far_as_the_data_or_a_year():
    purchases, _ = read_purchases(ORDERS, as_of=AS_OF, by=("customer_id",), caller="test")
    cutoffs = training_cutoffs(purchases, dt.datetime(2024, 9, 30), dt.timedelta(days=90), caller="test")
    assert len(cutoffs) == 12
    assert cutoffs[-1] == dt.datetime(2024, 7, 2)
    assert set(np.diff(cutoffs)) == {dt.timedelta(days=30)}
    early = training_cutoffs(purchases, dt.datetime(2023, 8, 1), dt.timedelta(days=90), caller="test")
    assert early[0] - dt.datetime(2023, 1, 1) >= dt.timedelta(days=60)


def test_families_may_leave_out_what_rules_and_seasons_are_told_from():
    found = score_churn(ORDERS, as_of=AS_OF, families=["recency", "frequency"], **QUICK)
    assert set(found.model.feature_names_in_) == {
        "recency_days", "order_count", "order_count_30d", "order_count_90d", "order_count_365d",
    }  # fmt: skip
    assert "total_amount" not in found.scores.columns


# -- rivals --------------------------------------------------------------------------------------------------------


def test_rules_by_hand():
    days = pd.to_datetime(["2024-01-01", "2024-01-11", "2024-01-01", "2024-02-01"])
    orders = pd.DataFrame({"customer_id": ["a", "a", "b", "b"], "order_id": range(4), "timestamp": days, "amount": 1.0})
    purchases, _ = read_purchases(orders, as_of="2024-03-01", by=("customer_id",), caller="test")
    rows = np.array(["a", "b", "c"], dtype=object)
    cutoff = np.array(["2024-01-21"] * 3, dtype="datetime64[us]")
    rules = buying_rules(purchases, rows, cutoff, np.array([2.0, 1.0, 1.0]), 30)
    assert rules["recency"].tolist() == [-10, -20, -20]  # c is not known: silent since the data began
    assert rules["RFM"].argmax() == 0
    assert silence_windows(180) == [90, 45]
    assert silence_windows(None) == [180, 90, 45]


def test_expected_purchases_are_those_of_the_beta_geo_model():
    purchases, _ = read_purchases(ORDERS, as_of=AS_OF, by=("customer_id",), caller="test")
    day = (dt.datetime(2024, 9, 30) - dt.datetime(1970, 1, 1)).days
    table = crm.clv.btyd_table(ORDERS, as_of=AS_OF, unit="7d")
    wanted = crm.clv.BetaGeoModel().fit(table).score_table(table, horizon="90d")
    found = Histories(purchases, day).expected_purchases(90)
    column = next(name for name in wanted.columns if name.startswith("expected_purchase"))
    np.testing.assert_allclose(found, wanted[column], rtol=1e-3)


# -- the horizon ---------------------------------------------------------------------------------------------------


def test_horizons_by_hand():
    days = pd.to_datetime(["2024-01-01", "2024-01-11", "2024-01-31", "2024-01-01", "2024-02-10"])
    orders = pd.DataFrame({"customer_id": list("aaabb"), "order_id": range(5), "timestamp": days, "amount": 5.0})
    table = horizon_table(orders, as_of="2024-03-01", horizons=["7d", "10d", "20d", "40d", "90d"])
    # waits: 10, 20, 40 over; 29 and 19 cut off: at risk 5, then 3 (after 19), then 1
    assert records(table)[:4] == [
        (7, 0.0, 0.0, False),
        (10, pytest.approx(1 / 5), pytest.approx(1 / 5), False),
        (20, pytest.approx(1 - 4 / 5 * 2 / 3), pytest.approx(1 - 4 / 5 * 2 / 3), False),
        (40, 1.0, 1.0, True),
    ]
    assert records(table)[4][1] is None


def test_a_silly_horizon_is_told_with_a_better_one():
    with pytest.warns(DataQualityWarning, match=re.escape("most who would be called churned return later")):
        score_churn(ORDERS, **{**QUICK, "as_of": AS_OF, "horizon": "7d"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"as_of": "2023-02-20", "horizon": "30d"}, "This history is too short for any horizon"),
        (
            {"as_of": "2023-06-01", "horizon": "180d"},
            "history allows is a gap and horizon of 91 days",
        ),
        ({"as_of": "2022-01-01"}, "nobody bought anything before as_of"),
        ({"as_of": AS_OF, "horizon": 90}, 'such as horizon="90d"'),
        ({"as_of": AS_OF, "families": ["recencey"]}, "Did you mean 'recency'?"),
    ],
)
def test_what_cannot_be_scored_is_refused(options, message):
    with pytest.raises(SchemaError, match=re.escape(message)):
        score_churn(ORDERS, **{"model": "logistic", **options})


# -- reasons by segment --------------------------------------------------------------------------------------------


def test_reasons_count_customers(churn):
    halves = churn.scores[["customer_id"]].assign(segment=np.where(churn.scores["customer_id"] % 2, "odd", "even"))
    table = churn_reason_table(churn, segments=halves, n=50)
    counts = table.pivot_table(index="feature", columns="segment", values="customer_count", fill_value=0)
    assert (counts["all"] == counts["odd"] + counts["even"]).all()
    assert list(dict.fromkeys(table["segment"])) == ["all", "even", "odd"]
    added = churn.model.contribution_table(churn.features)
    parts = added[list(churn.model.feature_names_in_)].to_numpy()
    third = np.sort(parts, axis=1)[:, -3]
    feature = table["feature"][0]
    by_hand = ((added[feature].to_numpy() >= third) & (added[feature].to_numpy() > 0)).sum()
    assert table["customer_count"][0] == by_hand


def test_reasons_are_drawn(churn):
    table = churn_reason_table(churn, n=4)
    ax = plot_churn_reasons(table)
    assert [label.get_text() for label in ax.get_yticklabels()] == table["feature"].tolist()[::-1]
    with pytest.raises(SchemaError, match=re.escape("no segment 'gold'. Segments: ['all']")):
        plot_churn_reasons(table, segment="gold")


def test_a_ready_table_is_scored_too(churn):
    panel = churn.snapshots.panel_table()
    panel = panel.assign(churned=~panel["bought"])
    model = ChurnModel(purge="90d", model="logistic").fit(panel)
    assert "bought" not in model.feature_names_in_
    assert list(model.score_table(churn.features).columns) == ["customer_id", "cutoff", "churn_probability", "lift"]
