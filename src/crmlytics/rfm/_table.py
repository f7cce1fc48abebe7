"""From order lines to one row a customer: recency, frequency, monetary value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import days_between
from crmlytics._orders import ORDER_ROLES, orders_of
from crmlytics._validation import as_moment
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt


def rfm_table(transactions: Transactions | Any, *, as_of: str | dt.date | dt.datetime) -> Any:
    """Summarise each customer's orders before ``as_of`` as recency, frequency and monetary value.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``.
    as_of : date
        The day described from; lines on or after it are left out, so nothing leaks from the future.

    Returns
    -------
    dataframe of the kind that came in, one row per customer, sorted by ``customer_id``
        ``customer_id`` (Int64 or String), ``recency_days`` (Int64, calendar days from the last line of the last order
        to ``as_of``: at least 1 if ``as_of`` is a date), ``order_count`` (Int64, orders; credit notes are none, see
        Notes), ``total_amount`` (Float64, in the currency of ``amount``).

    Raises
    ------
    SchemaError, MissingColumnsError
        For a date that cannot be read, or a role that has no column.

    Notes
    -----
    An order is an ``order_id`` of one customer whose lines add up to more than zero, or are free without any of them a
    return. A credit note, or an order cancelled under its own number, is no order and no sign of life; it takes its
    negative amount off the total, so totals add up to the kept amount. A customer who has only sent things back has
    ``order_count`` 0, and the last line stands in for the last order. To take a return off together with the purchase
    it undoes, say so once, in the contract: ``Transactions(..., returns="match")``.

    R's ``rfm`` package counts the same days; it alone counts an order of the analysis date itself, at recency 0.

    References
    ----------
    Hughes A. M. (1994). Strategic Database Marketing. Probus.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "a", "a", "b"], "order_id": [1, 1, 2, 3], "amount": [4.0, 6.0, 5.0, 7.0],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-01", "2024-01-11", "2024-01-21"]),
    ... })
    >>> rfm_table(orders, as_of="2024-01-31")
      customer_id  recency_days  order_count  total_amount
    0           a            20            2          15.0
    1           b            10            1           7.0
    """
    as_of = as_moment(as_of, caller="rfm_table")
    table = Transactions.bind(transactions).before(as_of)
    lines = table.need(*ORDER_ROLES, caller="rfm_table")
    customers = _customers(lines) if table.may_hold_returns else _customers_without_returns(lines)
    measures = customers.select(
        "customer_id",
        recency_days=days_between(nw.col("last_order"), as_of),
        order_count=nw.col("order_count").cast(nw.Int64),  # after agg: inside it pandas loops over groups
        total_amount=nw.col("total_amount").cast(nw.Float64),
    )
    return table.to_native(measures.sort("customer_id"))


def _customers_without_returns(lines: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Count distinct ids: the same as :func:`_customers` where no amount is negative, and quicker on pandas."""
    return lines.group_by("customer_id").agg(
        last_order=nw.col("timestamp").max(),
        order_count=nw.col("order_id").n_unique(),
        total_amount=nw.col("amount").sum(),
    )


def _customers(lines: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Gather lines into orders first, since a credit note is none; without any order the last line stands in."""
    completed, last_line = nw.col("completed_at"), nw.col("last_line")
    return (
        orders_of(lines, "customer_id")
        .with_columns(last_order=nw.when(nw.col("is_order") == 1).then(completed).otherwise(None))
        .group_by("customer_id")
        .agg(
            nw.col("last_order").max(),
            last_line=completed.max(),
            order_count=nw.col("is_order").sum(),
            total_amount=nw.col("amount").sum(),
        )
        .with_columns(last_order=nw.when(nw.col("order_count") > 0).then(nw.col("last_order")).otherwise(last_line))
    )
