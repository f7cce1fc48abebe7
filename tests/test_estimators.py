"""Every estimator of the library keeps the house's promises, on every kind of frame; a new one must be listed here."""

import shutil

import numpy as np
import pytest

import crmlytics as crm
from _simulated_customers import sudden_leavers
from crmlytics.testing import all_estimators, check_table_estimator


def _ready_table(rows=500):
    """Customers with an outcome that falls with tenure."""
    rng = np.random.default_rng(8)
    tenure = rng.integers(1, 900, rows)
    return {
        "customer_id": list(range(rows)),
        "tenure_days": tenure.tolist(),
        "plan": rng.choice(["basic", "plus"], rows).tolist(),
        "churned": (rng.random(rows) < 0.7 - tenure / 1800).tolist(),
    }


def _with_outcome(name):
    return {name if column == "churned" else column: values for column, values in _ready_table().items()}


ORDERS = crm.datasets.make_transactions(customers=150, random_state=5).transactions
RFM = crm.rfm.rfm_table(ORDERS, as_of="2025-01-01")
HISTORIES = crm.clv.btyd_table(ORDERS, as_of="2025-01-01", with_intervals=True)
SUDDEN = sudden_leavers(np.random.default_rng(3), 500)
OPPORTUNITIES = crm.clv.discrete_table(ORDERS, as_of="2025-01-01", period="month")
TENURES = {
    "customer_id": range(1000),
    "renewal_count": [t for t, count in enumerate([131, 126, 90, 60, 42, 34, 26, 491]) for _ in range(count)],
    "is_active": [False] * 509 + [True] * 491,
}
READY = _ready_table()
LEADS = {"lead_id": READY["customer_id"], **{name: READY[name] for name in ("tenure_days", "plan")}}
LEADS["converted"] = READY["churned"]
CONTRACTS = {name: READY[name] for name in ("customer_id", "tenure_days", "churned")}
CAMPAIGN = _with_outcome("converted")
CAMPAIGN["arm"] = ["mail", "control"] * (len(CAMPAIGN["converted"]) // 2)
PEOPLE = {name: READY[name] for name in ("customer_id", "tenure_days", "plan")}
SMOOTH = {"model": "logistic"}  # trees are tried in test_scoring_model.py
QUICK = {
    "CustomerSegmenter": {"segments": 3},  # how many there are is asked in test_segmentation_counting.py
    "UpliftModel": {"learner": "t"},  # what mixes them is tried in test_campaigns_uplift_model.py
}
EXAMPLES = {
    "BetaDiscreteWeibullModel": (TENURES, {"horizon": 6}),
    "BetaGeoBetaBinomModel": (OPPORTUNITIES, {"horizon": 6, "discount_rate": 0.01}),
    "BetaGeoCNBDModel": (HISTORIES, {"horizon": "90d"}),
    "BetaGeoModel": (HISTORIES, {"horizon": "90d"}),
    "ChurnModel": (READY, {}),
    "CustomerSegmenter": (PEOPLE, {}),
    "DiscreteTimeHazardModel": (CONTRACTS, {"horizon": "90d"}),
    "GammaGammaModel": (HISTORIES, {}),
    "GammaGompertzNBDModel": (SUDDEN, {"horizon": "90d"}),
    "LeadModel": (LEADS, {}),
    "ModifiedBetaGeoCNBDModel": (HISTORIES, {"horizon": "90d"}),
    "ModifiedBetaGeoModel": (HISTORIES, {"horizon": "90d"}),
    "NBDModel": (HISTORIES, {"horizon": "90d"}),
    "ParetoNBDModel": (HISTORIES, {"horizon": "90d"}),
    "PointsScorecard": (LEADS, {}),
    "PropensityModel": (_with_outcome("bought"), {}),
    "RFMSegmenter": (RFM, {}),
    "ScoringModel": (_with_outcome("target"), {}),
    "ShiftedBetaGeoModel": (TENURES, {"horizon": 6}),
    "UpliftModel": (CAMPAIGN, {}),
}


def made(kind):
    return kind(**(SMOOTH if issubclass(kind, crm.scoring.ScoringModel) else QUICK.get(kind.__name__, {})))


def test_every_estimator_is_listed_here():
    assert sorted(EXAMPLES) == [name for name, _ in all_estimators()]


@pytest.mark.parametrize(("name", "kind"), all_estimators())
def test_every_estimator_keeps_the_promises(name, kind):
    table, options = EXAMPLES[name]
    check_table_estimator(made(kind), table, score_options=options, tolerance=1e-6)


@pytest.mark.spark
@pytest.mark.xdist_group("spark")
@pytest.mark.skipif(shutil.which("java") is None, reason="PySpark needs Java")
@pytest.mark.parametrize(("name", "kind"), all_estimators())
def test_every_estimator_keeps_the_promises_on_spark(name, kind):
    table, options = EXAMPLES[name]
    check_table_estimator(made(kind), table, kinds=["pandas", "pyspark"], score_options=options, tolerance=1e-6)
