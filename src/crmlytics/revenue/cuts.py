"""Revenue by category, channel, country or any other attribute, and what each adds to growth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._orders import ORDER_ROLES, orders_of
from crmlytics._periods import filled, period_grid, ratio
from crmlytics._validation import as_moment, check_count
from crmlytics.revenue._groups import Grouping, comparisons, now_and_before
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt

CALLER = "revenue_cut_table"
KEYS = ("period_index", "group")


def revenue_cut_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    by: str,
    period: str | dt.timedelta = "month",
    lag: int = 1,
    customers: Any = None,
    products: Any = None,
) -> Any:
    """Cut revenue by a category, channel, country or other attribute: share, growth and what each adds to growth.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``.
    as_of : date
        The moment up to which the data are known; lines on or after it are left out.
    by : str
        ``"category"``, ``"channel"``, ``"partner_id"`` or ``"product_id"`` of the lines, an attribute of ``customers``
        such as ``"country"``, or ``"category"``, ``"department"`` or ``"tier"`` of ``products``.
    period : {"month", "quarter", "year"} or a number of days or weeks such as "7d", default "month"
        Calendar periods, or periods of days counted back from ``as_of``, so that the last one is whole.
    lag : int, default 1
        With which period each is compared: 1 is the one before, 12 with months the same month of the year before.
    customers, products : Customers or Products or dataframe, one row each, optional
        Where ``by`` is looked up if the order lines do not have it.

    Returns
    -------
    dataframe of the kind that came in, one row per period and group, sorted by both
        Every group has a row in every period, also where nothing was sold.
        ``period_start``, ``period_end`` (Datetime, the end excluded),
        ``is_complete`` (Boolean, this period is whole),
        ``group`` (String, the value of ``by``; ``"(unknown)"`` for lines without one),
        ``total_amount`` (Float64, revenue, returns taken off),
        ``amount_share`` (Float64, of the revenue of the period; null where that is not above zero),
        ``order_count`` (Int64, orders with something of the group: an order may count in several groups),
        ``customer_count`` (Int64, customers with such an order; likewise),
        ``previous_amount`` (Float64, revenue of the period compared with; null where there is none),
        ``amount_change`` (Float64, the difference),
        ``growth_share`` (Float64, ``amount_change / previous_amount``; null where that is not above zero),
        ``growth_contribution_share`` (Float64, ``amount_change`` / the revenue of *all* groups in the period compared
        with: over the groups of a period it adds up to the growth of the whole),
        ``is_comparable`` (Boolean, both periods are whole; false where there is none to compare with).

    Raises
    ------
    SchemaError
        When ``period`` or ``by`` is not known, tables differ in kind, or no line lies before ``as_of``.

    Notes
    -----
    An attribute of customers or products is the one they have today: somebody who moved is cut under the new country in
    every period. An order is one within a group when the group's lines of it add up to more than zero.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "b", "a", "b"], "order_id": [1, 2, 3, 4], "amount": [10.0, 30.0, 20.0, 28.0],
    ...     "channel": ["web", "shop", "web", "shop"],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-21", "2024-02-10", "2024-02-15"]),
    ... })
    >>> table = revenue_cut_table(orders, as_of="2024-03-01", by="channel")
    >>> print(table[["group", "total_amount", "amount_share", "growth_contribution_share"]].round(2).to_string())
      group  total_amount  amount_share  growth_contribution_share
    0  shop          30.0          0.75                        NaN
    1   web          10.0          0.25                        NaN
    2  shop          28.0          0.58                      -0.05
    3   web          20.0          0.42                       0.25
    """
    grid = period_grid(period, as_of=as_moment(as_of, caller=CALLER), caller=CALLER)
    lag = check_count(lag, name="lag", caller=CALLER)
    table = Transactions.bind(transactions).before(grid.as_of)
    lines = Grouping(by, customers, products).lines(table, ORDER_ROLES, caller=CALLER)
    rows = comparisons(grid.rows(table, lines, caller=CALLER), lag)
    lines = lines.with_columns(period_index=grid.number(nw.col("timestamp")))
    cuts = (
        rows.join(lines.select("group").unique(), how="cross")
        .join(_cells(lines, lag), on=list(KEYS), how="left")
        .with_columns(*filled(("order_count", "customer_count"), ("total_amount", "previous_amount")))
    )
    return table.to_native(_with_growth(cuts).sort("period_start", "group"))


# -- inside --------------------------------------------------------------------------------------------------------


def _cells(lines: nw.LazyFrame[Any], lag: int) -> nw.LazyFrame[Any]:
    """One row per period and group: amounts of now and before, orders and customers."""
    by_customer = (
        orders_of(lines, *KEYS, "customer_id")
        .group_by(*KEYS, "customer_id")
        .agg(nw.col("amount").sum(), order_count=nw.col("is_order").sum(), customer_count=nw.col("is_order").max())
    )
    sums = by_customer.group_by(*KEYS).agg(nw.col("amount", "order_count", "customer_count").sum())
    values = ("amount", "order_count", "customer_count")
    cells = now_and_before(sums, KEYS, values, lag)
    return cells.rename({"amount": "total_amount", "_before_amount": "previous_amount"})


def _with_growth(cuts: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    has_before = ~nw.col("_before_complete").is_null()
    previous = nw.when(has_before).then(nw.col("previous_amount")).otherwise(None).cast(nw.Float64)
    return (
        cuts.with_columns(
            previous_amount=previous,
            _all=nw.col("total_amount").sum().over("period_index"),
            _before_all=previous.sum().over("period_index"),
            is_comparable=nw.col("is_complete") & (nw.col("_before_complete").fill_null(0) == 1),
        )
        .with_columns(amount_change=nw.col("total_amount") - nw.col("previous_amount"))
        .select(
            "period_start",
            "period_end",
            "is_complete",
            "group",
            "total_amount",
            ratio("total_amount", "_all").alias("amount_share"),
            "order_count",
            "customer_count",
            "previous_amount",
            "amount_change",
            ratio("amount_change", "previous_amount").alias("growth_share"),
            ratio("amount_change", "_before_all").alias("growth_contribution_share"),
            "is_comparable",
        )
    )
