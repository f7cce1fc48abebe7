"""rfm_table against the hand-written native query, on pandas, Polars and DuckDB, measured in one run.

Run: ``python benchmarks/rfm_table.py [lines]`` (5,000,000 by default). Each figure is the best of five. "check" is the
data check of the contract, timed apart, as a ratio to the same native query. "returns" has 2 % negative lines: credit
notes are no orders, so both sides gather lines into orders first.
"""

import sys
import time

import duckdb
import numpy as np
import pandas as pd
import polars as pl

import crmlytics as crm

AS_OF = pd.Timestamp("2024-11-01")


def order_lines(count, return_share):
    rng = np.random.default_rng(0)
    lines = pd.DataFrame(
        {
            "customer_id": rng.integers(0, count // 16, count),
            "order_id": rng.integers(0, count // 3, count),
            "timestamp": pd.Timestamp("2023-01-01") + pd.to_timedelta(rng.integers(0, 700 * 86_400, count), unit="s"),
            "amount": rng.gamma(2, 10, count) * np.where(rng.random(count) < return_share, -1, 1),
        }
    )
    return lines.astype({"timestamp": "datetime64[us]"})


def best(run, repeats=5):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def pandas_query(lines, *, returns):
    known = lines[lines["timestamp"] < AS_OF]
    if returns:
        orders = known.groupby(["customer_id", "order_id"], sort=False).agg(
            last=("timestamp", "max"), amount=("amount", "sum"), least=("amount", "min")
        )
        is_order = (orders["amount"] > 0) | (orders["least"] >= 0)
        orders["orders"], orders["last"] = is_order.astype("int64"), orders["last"].where(is_order)
        table = orders.groupby("customer_id").agg(
            last=("last", "max"), order_count=("orders", "sum"), total_amount=("amount", "sum")
        )
    else:
        table = known.groupby("customer_id").agg(
            last=("timestamp", "max"), order_count=("order_id", "nunique"), total_amount=("amount", "sum")
        )
    table["recency_days"] = (AS_OF - table["last"].dt.normalize()).dt.days
    return table.reset_index()[["customer_id", "recency_days", "order_count", "total_amount"]]


def polars_query(lines, *, returns):
    known = lines.lazy().filter(pl.col("timestamp") < AS_OF.to_pydatetime())
    last, orders = pl.col("timestamp").max(), pl.col("order_id").n_unique()
    if returns:
        is_order = (pl.col("amount") > 0) | (pl.col("least") >= 0)
        known = (
            known.group_by("customer_id", "order_id")
            .agg(pl.col("timestamp").max(), pl.col("amount").sum(), least=pl.col("amount").min())
            .with_columns(timestamp=pl.when(is_order).then(pl.col("timestamp")), is_order=is_order)
        )
        orders = pl.col("is_order").sum()
    table = known.group_by("customer_id").agg(last=last, order_count=orders, total_amount=pl.col("amount").sum())
    days = (pl.lit(AS_OF.date()) - pl.col("last").dt.date()).dt.total_days()
    return (
        table.select("customer_id", days.alias("recency_days"), "order_count", "total_amount")
        .sort("customer_id")
        .collect()
    )


PLAIN_SQL = """select customer_id, date_diff('day', max(timestamp)::date, date '2024-11-01') recency_days,
    count(distinct order_id) order_count, sum(amount) total_amount
    from lines where timestamp < timestamp '2024-11-01' group by 1 order by 1"""
RETURNS_SQL = """select customer_id,
    date_diff('day', max(last) filter (is_order)::date, date '2024-11-01') recency_days,
    count(*) filter (is_order) order_count, sum(amount) total_amount
    from (select customer_id, order_id, max(timestamp) as last, sum(amount) amount,
              sum(amount) > 0 or min(amount) >= 0 as is_order
          from lines where timestamp < timestamp '2024-11-01' group by 1, 2) group by 1 order by 1"""


def compare(name, query, lines, finish=lambda table: table):
    native = best(query)
    contract = crm.Transactions(lines)
    ours = best(lambda: finish(crm.rfm.rfm_table(contract.validate(), as_of="2024-11-01")))
    check = best(lambda: crm.Transactions(lines).validate())
    print(f"{name:<16} native {native:5.2f} s   rfm_table {ours / native:4.2f} x   check {check / native:4.2f} x")


def main(count):
    for name, return_share in (("", 0.0), (" returns", 0.02)):
        lines, returns = order_lines(count, return_share), return_share > 0
        compare("pandas" + name, lambda: pandas_query(lines, returns=returns), lines)  # noqa: B023  used at once
        frame = pl.from_pandas(lines)
        compare("polars" + name, lambda: polars_query(frame, returns=returns), frame)  # noqa: B023
        connection = duckdb.connect()
        connection.register("frame", lines)
        connection.execute("create table lines as select * from frame")
        sql = RETURNS_SQL if returns else PLAIN_SQL
        compare("duckdb" + name, lambda: connection.sql(sql).df(), connection.table("lines"), lambda table: table.df())  # noqa: B023


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000)
