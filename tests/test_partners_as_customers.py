"""What is promised of partners as customers: every topic takes them, named once in the contract."""

import pandas as pd
import pytest

from crmlytics import Transactions, clv, rfm, value
from crmlytics.partners.performance import partner_table

AS_OF = "2013-12-01"


@pytest.fixture(scope="module")
def lines(shared_data):
    return pd.read_parquet(shared_data / "adventureworks" / "FactResellerSales.parquet")


@pytest.fixture(scope="module")
def resellers(lines):
    return Transactions(lines, customer_id="ResellerKey", order_id="SalesOrderNumber", timestamp="OrderDate",
                        amount="SalesAmount", cost="TotalProductCost")  # fmt: skip


def test_rfm_and_value_of_resellers(lines, resellers):
    table = rfm.rfm_table(resellers, as_of=AS_OF)
    assert len(table) == lines["ResellerKey"].nunique()
    assert table["order_count"].sum() == lines["SalesOrderNumber"].nunique()
    worth = value.value_table(resellers, as_of=AS_OF)
    assert worth["total_amount"].sum() == pytest.approx(lines["SalesAmount"].sum(), abs=0.005)
    assert worth["customer_id"].dtype == "int64"


def test_lifetime_value_of_resellers(resellers):
    """They order once a quarter, so the model that knows regular customers is theirs."""
    table = clv.btyd_table(resellers, as_of=AS_OF, unit="7d", with_intervals=True)
    with pytest.warns(match="Predictions are usable"):
        model = clv.BetaGeoCNBDModel().fit(table)
    assert len(model.score_table(table, horizon="91d")) == len(table)


def test_partners_of_the_contract_are_customers_under_another_name(lines):
    """A column has one role: a copy of it makes each reseller a partner with itself as its only customer."""
    both = lines.assign(partner_id=lines["ResellerKey"])
    tx = Transactions(both, customer_id="ResellerKey", order_id="SalesOrderNumber", timestamp="OrderDate",
                      amount="SalesAmount", returns="keep")  # fmt: skip
    table = partner_table(tx, as_of=AS_OF, replicates=50).set_index("partner_id")
    now = lines[lines["OrderDate"] >= "2012-12-01"].groupby("ResellerKey")["SalesAmount"].sum()
    assert table.loc[str(now.idxmax()), "rank"] == 1
    assert set(table["drawn"]) <= {"orders", "too few"}
    assert table["customer_count"].max() == 1
