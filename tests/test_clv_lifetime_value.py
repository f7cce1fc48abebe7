"""What clv_table and new_customer_value promise: products of their factors, margins as said, nothing counted twice."""

import math

import numpy as np
import pandas as pd
import pytest

from crmlytics import Transactions
from crmlytics.clv import (
    BetaGeoBetaBinomModel,
    GammaGammaModel,
    ModifiedBetaGeoModel,
    NBDModel,
    ParetoNBDModel,
    ShiftedBetaGeoModel,
    btyd_table,
    clv_table,
    new_customer_value,
)
from crmlytics.datasets import load_cdnow, load_donations
from crmlytics.exceptions import SchemaError
from crmlytics.testing import make_frame, records


@pytest.fixture(scope="module")
def cdnow():
    orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    return btyd_table(orders, as_of="1997-10-01", unit="7d")


@pytest.fixture(scope="module")
def counts(cdnow):
    return ParetoNBDModel().fit(cdnow)


@pytest.fixture(scope="module")
def spend(cdnow):
    return GammaGammaModel().fit(cdnow)


def test_value_is_purchases_times_amount_times_margin(cdnow, counts, spend):
    value = clv_table(cdnow, counts=counts, spend=spend, horizon="365d", discount_rate=0.1, margin=0.3)
    purchases = counts.score_table(cdnow, horizon="365d", discount_rate=0.1)["discounted_purchase_count"]
    amounts = spend.score_table(cdnow)["expected_order_amount"]
    np.testing.assert_allclose(value["discounted_purchase_count"], purchases, rtol=1e-10)
    np.testing.assert_allclose(value["expected_revenue_amount"], purchases * amounts, rtol=1e-10)
    np.testing.assert_allclose(value["clv_amount"], 0.3 * purchases * amounts, rtol=1e-10)
    assert (value["clv_amount_low"] < value["clv_amount"]).all()
    assert (value["clv_amount"] < value["clv_amount_high"]).all()


def test_without_a_margin_nothing_is_called_clv(cdnow, counts, spend):
    value = clv_table(cdnow, counts=counts, spend=spend, horizon="365d", discount_rate=0.1)
    assert not [name for name in value.columns if "clv" in name]
    assert "expected_revenue_amount" in value.columns


def test_discounting_is_annual_and_continuous_in_any_unit(cdnow):
    """NBD customers buy at a steady rate: discounted purchases are rate * (1 - exp(-d t)) / d."""
    model = NBDModel().fit(cdnow)
    r, alpha = model.params_.values()
    rate = (r + cdnow["frequency"]) / (alpha + cdnow["T"])
    force = math.log(1.15) * 7 / 365
    value = clv_table(cdnow, counts=model, order_margin_amount=2.0, horizon="730d", discount_rate=0.15)
    expected = rate * (1 - math.exp(-force * 730 / 7)) / force
    np.testing.assert_allclose(value["discounted_purchase_count"], expected, rtol=1e-9)
    np.testing.assert_allclose(value["clv_amount"], 2 * expected, rtol=1e-9)
    ever = clv_table(cdnow, counts=model, order_margin_amount=2.0, horizon="lifetime", discount_rate=0.15)
    np.testing.assert_allclose(ever["clv_amount"], 2 * rate / force, rtol=1e-9)
    days = cdnow.assign(recency=cdnow["recency"] * 7, T=cdnow["T"] * 7)
    daily = clv_table(
        days, counts=NBDModel(unit="1d").fit(days), order_margin_amount=2.0, horizon="730d", discount_rate=0.15
    )
    np.testing.assert_allclose(daily["clv_amount"], value["clv_amount"], rtol=1e-6)


def test_a_longer_horizon_is_worth_more_and_tends_to_the_lifetime(cdnow, counts, spend):
    totals = [
        clv_table(cdnow, counts=counts, spend=spend, horizon=horizon, discount_rate=0.15, margin=1.0)[
            "clv_amount"
        ].sum()
        for horizon in ("90d", "365d", "3650d", "36500d", "lifetime")
    ]
    assert totals == sorted(totals)
    assert totals[3] == pytest.approx(totals[4], rel=1e-5)
    ever = counts.residual_table(cdnow, discount_rate=0.15)["discounted_residual_count"].sum()
    found = clv_table(cdnow, counts=counts, order_margin_amount=1, horizon="lifetime", discount_rate=0.15)
    assert found["clv_amount"].sum() == pytest.approx(ever)


def test_margins_may_be_columns_and_amounts(cdnow, counts):
    table = cdnow.assign(rate=np.where(cdnow["customer_id"] % 2 == 0, 0.2, 0.4), own=50.0, per_order=9.0)
    options = {"counts": counts, "horizon": 20, "discount_rate": 0.0}
    by_column = clv_table(table, spend="own", margin="rate", **options)
    np.testing.assert_allclose(by_column["clv_amount"], by_column["discounted_purchase_count"] * 50 * table["rate"])
    by_amount = clv_table(table, order_margin_amount="per_order", **options)
    np.testing.assert_allclose(by_amount["clv_amount"], by_amount["discounted_purchase_count"] * 9)
    undiscounted = counts.score_table(table, horizon=20)["expected_purchase_count"]
    np.testing.assert_allclose(by_amount["discounted_purchase_count"], undiscounted, rtol=1e-9)


def test_uncertainty_of_both_factors_is_in_the_interval(cdnow, counts, spend):
    value = clv_table(cdnow, counts=counts, spend=spend, horizon="365d", discount_rate=0.1, margin=0.3)

    def reach(name):
        return np.log(value[f"{name}_high"] / value[name]).to_numpy()

    together = np.hypot(reach("discounted_purchase_count"), reach("expected_order_amount"))
    np.testing.assert_allclose(reach("clv_amount"), together, rtol=1e-9)


def test_an_infinite_mean_order_gives_an_infinite_value_and_finite_others():
    rng = np.random.default_rng(0)
    amounts = np.exp(rng.normal(3, 3, 400))
    table = pd.DataFrame(
        {"frequency": [0, *[2] * 400], "monetary_value": [np.nan, *amounts], "recency": 0.0, "T": 30.0}
    )
    table.loc[1:, "recency"] = rng.uniform(1, 30, 400)
    with pytest.warns(match="q = .* is at most 1"):
        spend = GammaGammaModel().fit(table)
    assert spend.params_["p"] * 2 + spend.params_["q"] > 1
    value = clv_table(
        table, counts=NBDModel(l2=0.1).fit(table), spend=spend, horizon="365d", discount_rate=0.1, margin=0.5
    )
    assert value.loc[0, ["clv_amount_low", "clv_amount", "clv_amount_high"]].tolist() == [math.inf] * 3
    assert np.isfinite(value.iloc[1:].to_numpy()).all()


def test_every_kind_of_frame_comes_back_as_it_came(frame, cdnow, counts, spend):
    few = cdnow.head(60)
    data = {name: few[name].tolist() for name in few} | {"rate": [0.3] * 60}
    options = {"counts": counts, "spend": spend, "horizon": "365d", "discount_rate": 0.1, "margin": "rate"}
    came = frame(data)
    table = clv_table(came, **options)
    assert type(table) is type(came)
    for row, other in zip(records(table), records(clv_table(make_frame(data, "pandas"), **options)), strict=True):
        assert row == pytest.approx(other, rel=1e-9)


def test_a_new_customer_is_worth_repeat_purchases_and_what_is_chosen_to_count(cdnow, spend):
    """Fader & Hardie: a new customer's lifetime is that of the history (0, 0, 0)."""
    counts = ModifiedBetaGeoModel().fit(cdnow)
    options = {"counts": counts, "spend": spend, "horizon": "lifetime", "discount_rate": 0.15, "margin": 0.4}
    bare = new_customer_value(**options, count_first_purchase=False, acquisition_cost=0.0)
    full = new_customer_value(**options, count_first_purchase=True, acquisition_cost=7.0)
    nobody = pd.DataFrame({"frequency": [0], "recency": [0.0], "T": [0.0]})
    ever = counts.residual_table(nobody, discount_rate=0.15)["discounted_residual_count"][0]
    mean = spend.population_mean_amount_
    assert bare.clv_amount == pytest.approx(0.4 * mean * ever)
    assert full.clv_amount == pytest.approx(bare.clv_amount + 0.4 * mean - 7.0)
    assert full.first_purchase_amount == pytest.approx(0.4 * mean)
    row = full.to_frame().iloc[0]
    assert row["clv_amount"] == row["repeat_purchase_amount"] + row["first_purchase_amount"] - row["acquisition_cost"]


GOOD = {"horizon": "365d", "discount_rate": 0.1}
REFUSALS = [
    ({"margin": 30}, "margin must be a share of revenue, above 0 and up to 1, got 30.*divide by 100"),
    ({"margin": 0.3, "order_margin_amount": 2.0}, "give margin .* or order_margin_amount .*, not both"),
    ({"spend": None}, r"needs spend=<a fitted GammaGammaModel or a column>, or order_margin_amount=5\.0"),
    ({"spend": 35.0}, "spend must be a fitted GammaGammaModel or the name of a column, got float"),
    ({"counts": GammaGammaModel()}, "counts must be a fitted model of purchases .*got GammaGammaModel"),
    ({"horizon": "lifetime", "discount_rate": 0}, 'horizon="lifetime" needs a discount_rate above 0'),
    ({"horizon": "a year"}, "horizon must be a duration .*got 'a year'"),
    ({"discount_rate": -0.1}, "discount_rate must be a number of zero or more, got -0.1"),
    ({"margin": "frequency"}, r"\d+ of 2357 rows have no margin between 0 and 1 in 'frequency' \(customer_id 1, "),
    ({"discount_rate": 10}, "discount_rate=10 is 1000% a year. For 10 % type discount_rate=0.1"),
    ({"margin": "30%"}, r"margin='30%' is not a column\. Give a number such as margin=0\.3, or the name"),
    ({"interval": 1.0}, "interval must be a fraction between 0 and 1"),
]


@pytest.mark.parametrize(("options", "text"), REFUSALS)
def test_refusals_say_what_to_type(cdnow, counts, spend, options, text):
    with pytest.raises(SchemaError, match=f"clv_table: {text}"):
        clv_table(cdnow, **({"counts": counts, "spend": spend, **GOOD} | options))


def test_a_spend_with_covariates_has_no_one_mean(cdnow, counts):
    even = cdnow.assign(even=cdnow["customer_id"] % 2)
    spend = GammaGammaModel(spend_covariates=["even"]).fit(even)
    with pytest.raises(SchemaError, match=r"new_customer_value: spend has covariates.*spend=35\.0"):
        new_customer_value(
            counts=counts, spend=spend, margin=0.3, count_first_purchase=True, acquisition_cost=0.0, **GOOD
        )


def test_models_by_opportunity_and_by_renewal_value_customers_too():
    """DERT of donors (Fader, Hardie & Shang 2010) and DERL of the High End (Fader & Hardie 2007), times a margin."""
    counts = load_donations().rename(columns={"periods": "T"})
    donors = counts.loc[counts.index.repeat(counts["weights"])].reset_index(drop=True)
    donation = BetaGeoBetaBinomModel().fit(donors)
    options = {"horizon": "lifetime", "discount_rate": 0.1, "order_margin_amount": 2.0}
    few = pd.DataFrame({"customer_id": [1, 2], "frequency": [6, 0], "recency": [6, 0], "T": [6, 6]})
    value = clv_table(few, counts=donation, **options)
    assert value["discounted_purchase_count"].tolist() == pytest.approx([5.9098, 0.1148], abs=2e-4)
    assert value["clv_amount"].tolist() == pytest.approx((2 * value["discounted_purchase_count"]).tolist())
    new = new_customer_value(
        counts=donation, spend=50.0, margin=0.5, count_first_purchase=False, acquisition_cost=0.0,
        horizon="lifetime", discount_rate=0.1,
    )  # fmt: skip
    begun = pd.DataFrame({"frequency": [0], "recency": [0], "T": [0]})
    ever = donation.residual_table(begun, discount_rate=0.1)["discounted_residual_count"][0]
    assert new.clv_amount == pytest.approx(25 * ever)

    left = [131, 126, 90, 60, 42, 34, 26]
    members = pd.DataFrame(
        {
            "renewal_count": [n for n, count in enumerate(left) for _ in range(count)] + [7] * 491,
            "is_active": [False] * sum(left) + [True] * 491,
        },
    )
    contract = ShiftedBetaGeoModel().fit(members)
    value = clv_table(members.tail(2).assign(customer_id=[1, 2], is_active=[True, False]), counts=contract, **options)
    assert value["discounted_purchase_count"].tolist() == pytest.approx([7.5296, 0.0], abs=2e-4)
    assert value["clv_amount_low"][0] < 2 * 7.5296 < value["clv_amount_high"][0]
    new = new_customer_value(
        counts=contract, spend=1.0, margin=1.0, count_first_purchase=True, acquisition_cost=0.0,
        horizon="lifetime", discount_rate=0.1,
    )  # fmt: skip
    assert new.clv_amount == pytest.approx(contract.expected_new_customer_periods(discount_rate=0.1))
