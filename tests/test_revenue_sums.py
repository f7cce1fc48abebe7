"""Sums to the cent on real sales, on every engine: bridge, cuts, composition, contribution, migration."""

import datetime as dt
import math
from functools import cache

import numpy as np
import pandas as pd
import pytest

from crmlytics import Transactions
from crmlytics._frames import to_pandas
from crmlytics.revenue.bridges import EFFECTS, bridge_table
from crmlytics.revenue.composition import composition_table
from crmlytics.revenue.cuts import revenue_cut_table
from crmlytics.testing import make_frame
from crmlytics.value.contribution import contribution_table
from crmlytics.value.migration import value_migration_table

PARTS = 10_000  # amounts have four decimals at most: counted in these, sums are whole numbers
NEAR = 1e-6  # a cent is ten thousand times as much


@cache
def online_retail(folder):
    raw = pd.read_parquet(folder / "online_retail.parquet")
    raw = raw[raw["CustomerID"].notna() & (raw["UnitPrice"] > 0)].reset_index(drop=True)
    return pd.DataFrame({
        "customer_id": raw["CustomerID"].astype("int64"), "order_id": raw["InvoiceNo"].astype(str),
        "timestamp": raw["InvoiceDate"], "product_id": raw["StockCode"].astype(str),
        "quantity": raw["Quantity"].astype(float), "amount": raw["Quantity"] * raw["UnitPrice"],
        "category": raw["Country"].astype(str), "cost": 0.0,
    })  # fmt: skip


@cache
def adventureworks(folder):
    raw = pd.read_parquet(folder / "adventureworks" / "FactInternetSales.parquet")
    return pd.DataFrame({
        "customer_id": raw["CustomerKey"], "order_id": raw["SalesOrderNumber"], "timestamp": raw["OrderDate"],
        "product_id": raw["ProductKey"], "quantity": raw["OrderQuantity"].astype(float), "amount": raw["SalesAmount"],
        "category": raw["SalesTerritoryKey"].astype(str), "cost": raw["TotalProductCost"],
    })  # fmt: skip


def exact(sales, *keys):
    """Add amounts up in whole numbers, by keys; a series without rounding until its end."""
    return (sales["amount"] * PARTS).round().astype("int64").groupby(list(keys)).sum() / PARTS


def largest_miss(found, true):
    assert len(found) == len(true)
    return np.abs(found.to_numpy(float) - true.to_numpy(float)).max()


@pytest.mark.parametrize(("load", "as_of"), [(online_retail, "2011-12-10"), (adventureworks, "2014-01-29")])
def test_sums_are_those_of_the_lines_on_every_engine(shared_data, load, as_of, kind):
    if kind == "pyspark" and load is online_retail:
        pytest.skip("Spark adds up one of the two")
    sales = load(shared_data)
    tx = Transactions(make_frame(sales, kind))
    month = sales["timestamp"].dt.to_period("M").dt.start_time
    by_month = exact(sales, month)

    bridge = to_pandas(bridge_table(tx, as_of=as_of))
    assert largest_miss(bridge["total_amount"], by_month[1:]) < NEAR
    assert largest_miss(bridge["previous_amount"], by_month[:-1]) < NEAR
    for row in bridge.astype(dict.fromkeys(EFFECTS, float)).itertuples():
        assert abs(math.fsum(getattr(row, name) for name in EFFECTS) - row.total_amount + row.previous_amount) < NEAR

    cuts = to_pandas(revenue_cut_table(tx, as_of=as_of, by="category"))
    there = cuts["order_count"].ne(0) | cuts["total_amount"].ne(0)
    assert largest_miss(cuts.loc[there, "total_amount"], exact(sales, month, sales["category"])) < NEAR

    kinds = to_pandas(composition_table(tx, as_of=as_of))
    assert largest_miss(kinds["total_amount"].astype(float).groupby(kinds["period_start"]).sum(), by_month) < NEAR

    moves = to_pandas(value_migration_table(tx, as_of=as_of, period="180d"))
    end = dt.datetime.fromisoformat(as_of)
    halves = sum((sales["timestamp"] >= end - dt.timedelta(days=days)).astype(int) for days in (180, 360))
    for name, half in (("previous_amount", 1), ("current_amount", 2)):
        assert abs(math.fsum(moves[name]) - exact(sales, halves)[half]) < NEAR

    left = to_pandas(contribution_table(tx, as_of=as_of, costs={}))
    assert largest_miss(left["total_amount"], exact(sales, sales["customer_id"])) < NEAR
    margin = sales.assign(amount=sales["amount"] - sales["cost"])
    assert largest_miss(left["contribution_amount"], exact(margin, sales["customer_id"])) < NEAR
