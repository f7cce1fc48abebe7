"""Who revenue comes from, period by period: new, returning and reactivated customers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import enter
from crmlytics._periods import customer_periods, filled, first_active_period, opened, ratio
from crmlytics.revenue._groups import now_and_before

if TYPE_CHECKING:
    import datetime as dt

    from crmlytics.tables import Transactions

CALLER = "composition_table"
KINDS = ("new", "retained", "reactivated", "returns")
RANKS = nw.Schema({"kind": nw.String(), "_rank": nw.Int64()})


def composition_table(
    transactions: Transactions | Any, *, as_of: str | dt.date | dt.datetime, period: str | dt.timedelta = "month"
) -> Any:
    """Split the revenue of each period by the kind of customer it came from: new, retained, reactivated.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``.
    as_of : date
        The moment up to which the data are known; lines on or after it are left out.
    period : {"month", "quarter", "year"} or a number of days or weeks such as "7d", default "month"
        Calendar periods, or periods of days counted back from ``as_of``, so that the last one is whole.

    Returns
    -------
    dataframe of the kind that came in, four rows per period, sorted by time and in the order below
        ``period_start``, ``period_end`` (Datetime, the end excluded), ``is_complete`` (Boolean, the period is whole),
        ``kind`` (String): ``"new"`` (first order of all in the period), ``"retained"`` (ordered in the period before
        too), ``"reactivated"`` (ordered longer ago, not in the period before), ``"returns"`` (no order in the period,
        only something sent back),
        ``customer_count`` (Int64, customers of the kind), ``order_count`` (Int64, their orders in the period),
        ``total_amount`` (Float64, their revenue, returns taken off; over the kinds it adds up to that of the period),
        ``amount_share`` (Float64, of the revenue of the period; null where that is not above zero).

    Raises
    ------
    SchemaError
        When ``period`` is not known, or no line lies before ``as_of``.

    Notes
    -----
    The kinds are those of :func:`movement_table`, which shows what each adds to the *change*; this table shows what
    each adds to the level. For layers by the age of the customers see :func:`cohort_table`. In the first period
    everybody is new, and for some periods after it customers from before the data begin still enter as new.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "b", "a", "c"], "order_id": [1, 2, 3, 4], "amount": [10.0, 20.0, 15.0, 30.0],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-21", "2024-02-10", "2024-02-20"]),
    ... })
    >>> table = composition_table(orders, as_of="2024-03-01")
    >>> print(table[["kind", "customer_count", "total_amount", "amount_share"]].tail(4).round(2).to_string(index=False))
           kind  customer_count  total_amount  amount_share
            new               1          30.0          0.67
       retained               1          15.0          0.33
    reactivated               0           0.0          0.00
        returns               0           0.0          0.00
    """
    table, lines, grid = opened(transactions, as_of=as_of, period=period, caller=CALLER)
    ranks = table.engine.from_columns({"kind": list(KINDS), "_rank": list(range(len(KINDS)))}, RANKS)
    composition = (
        grid.rows(table, lines, caller=CALLER)
        .join(enter(ranks, caller=CALLER)[0], how="cross")
        .join(_by_kind(customer_periods(lines, grid)), on=["period_index", "kind"], how="left")
        .with_columns(*filled(("customer_count", "order_count"), ("total_amount",)))
        .with_columns(_all=nw.col("total_amount").sum().over("period_index"))
        .with_columns(amount_share=ratio("total_amount", "_all"))
        .sort("period_start", "_rank")
    )
    columns = ("period_start", "period_end", "is_complete", "kind", "customer_count", "order_count", "total_amount")
    return table.to_native(composition.select(*columns, "amount_share"))


# -- inside --------------------------------------------------------------------------------------------------------


def _by_kind(periods: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """One row per period and kind that has a line: customers, orders and revenue."""
    keys = ("customer_id", "period_index")
    both = now_and_before(
        periods.with_columns(_line=nw.lit(1)), keys, ("amount", "order_count", "is_active", "_line"), 1
    )
    active = nw.col("is_active") > 0
    kind = (
        nw.when(active & (nw.col("_before_is_active") > 0))
        .then(nw.lit("retained"))
        .when(active & (nw.col("first_index") == nw.col("period_index")))
        .then(nw.lit("new"))
        .when(active)
        .then(nw.lit("reactivated"))
        .otherwise(nw.lit("returns"))
    )
    return (
        both.filter(nw.col("_line") > 0)
        .join(first_active_period(periods), on="customer_id", how="left")
        .with_columns(kind=kind.cast(nw.String))
        .group_by("period_index", "kind")
        .agg(
            customer_count=nw.len(),
            order_count=nw.col("order_count").sum(),
            total_amount=nw.col("amount").sum(),
        )
    )
