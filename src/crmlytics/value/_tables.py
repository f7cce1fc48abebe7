"""The tables of value: one row a customer, a top share or a period."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import collect, days_between
from crmlytics._orders import ORDER_ROLES, orders_of
from crmlytics._periods import customer_periods, filled, first_active_period, opened, ratio
from crmlytics._validation import as_moment
from crmlytics.tables import Transactions
from crmlytics.value._checks import check_top_shares, is_empty, no_line, no_total

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

TOP_SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
TIE_DECIMALS = 6  # engines add floats in different orders: equal totals must not get ranks by their last bit


def value_table(transactions: Transactions | Any, *, as_of: str | dt.date | dt.datetime) -> Any:
    """Measure what each customer has brought in before ``as_of``, and their place among all customers.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``; with ``cost`` the contribution is added.
    as_of : date
        The day described from; lines on or after it are left out, so nothing leaks from the future.

    Returns
    -------
    dataframe of the kind that came in, one row per customer, sorted by ``customer_id``
        ``total_amount`` (Float64, all lines; returns are negative lines and are taken off),
        ``order_count`` (Int64, orders; credit notes are none, see Notes),
        ``average_order_amount`` (Float64, ``total_amount / order_count``; null without an order),
        ``first_order_at``, ``last_order_at`` (Datetime, the first line of the first order and the last line of the last
        one, from which :func:`~crmlytics.rfm.rfm_table` counts recency; null without an order),
        ``tenure_days`` (Int64, >= 0, calendar days from the customer's first line of any kind to ``as_of``),
        ``amount_share`` (Float64, ``total_amount`` / that of all customers),
        ``rank`` (Int64, 1 is the largest ``total_amount``; each rank once, ties go by ``customer_id``),
        ``cumulative_customer_share`` (Float64, ``rank`` / number of customers),
        ``cumulative_amount_share`` (Float64, share of all revenue made by this customer and those ranked above).
        With the role ``cost`` also ``contribution_amount`` (Float64, sum of ``amount - cost``; null when a line of the
        customer has no cost, since an unknown cost is not zero).

    Raises
    ------
    SchemaError
        When no line lies before ``as_of``; even a lazy engine is asked for that at once, and for nothing else.

    Notes
    -----
    An order is an ``order_id`` of one customer whose lines add up to more than zero, or are free without any of them a
    return. Credit notes and orders cancelled under their own number lower ``total_amount`` and are no orders.

    Shares are null when the customers' total is not above zero: a share of nothing says nothing. With a positive total
    and some customers below zero, the cumulative share rises above 1 and comes back to 1 with the last customer.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "a", "b", "c"], "order_id": [1, 2, 3, 4], "amount": [50.0, 30.0, 15.0, 5.0],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-20", "2024-01-10", "2024-01-30"]),
    ... })
    >>> columns = ["customer_id", "total_amount", "order_count", "tenure_days", "cumulative_amount_share"]
    >>> print(value_table(orders, as_of="2024-01-31")[columns].to_string())
      customer_id  total_amount  order_count  tenure_days  cumulative_amount_share
    0           a          80.0            2           30                     0.80
    1           b          15.0            1           21                     0.95
    2           c           5.0            1            1                     1.00
    """
    caller = "value_table"
    as_of = as_moment(as_of, caller=caller)
    table = Transactions.bind(transactions).before(as_of)
    with_cost = table.has("cost")
    lines = table.need(*ORDER_ROLES, *(["cost"] if with_cost else []), caller=caller)
    if is_empty(lines):
        raise no_line(as_of, caller=caller)
    customers = _ranked(_customers(lines, with_cost=with_cost)).select(
        "customer_id",
        "total_amount",
        "order_count",
        average_order_amount=ratio("total_amount", "order_count"),
        first_order_at=nw.col("first_order_at").cast(nw.Datetime("us")),
        last_order_at=nw.col("last_order_at").cast(nw.Datetime("us")),
        tenure_days=days_between(nw.col("first_line_at"), as_of),
        amount_share=ratio("total_amount", "_all"),
        rank=nw.col("rank"),
        cumulative_customer_share=nw.col("rank").cast(nw.Float64) / nw.col("_customers").cast(nw.Float64),
        cumulative_amount_share=ratio("_cumulative", "_all"),
        **({"contribution_amount": _contribution()} if with_cost else {}),
    )
    return table.to_native(customers.sort("customer_id"))


def concentration_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    top_shares: Iterable[float] = TOP_SHARES,
) -> Any:
    """Say how much of all revenue the best customers make: "the top 20 % make 75 %".

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``.
    as_of : date
        The day described from; lines on or after it are left out.
    top_shares : fractions above 0 and up to 1, default (0.01, 0.05, 0.1, 0.2, 0.5)
        Shares of the customers. For the whole curve (the mirror image of Lorenz's, which begins with the poorest):
        ``[n / 100 for n in range(1, 101)]``.

    Returns
    -------
    dataframe of the kind that came in, one row per top share, sorted by it
        ``top_share`` (Float64), ``customer_count`` (Int64, the smallest number of customers that is at least this
        share), ``total_amount`` (Float64, what they brought in), ``amount_share`` (Float64, of all revenue),
        ``least_amount`` (Float64, the smallest total among them: what it takes to belong).

    Raises
    ------
    SchemaError
        When no line lies before ``as_of``, or all customers together brought in nothing or less.

    Notes
    -----
    Customers are ranked by ``total_amount`` as in :func:`value_table`. Customers below zero (more returned than bought
    in the data) stay in: they lower the total, so shares of the best can lie above 1. To measure concentration among
    buyers alone, set returns aside in the contract. A lazy engine is queried, once: the total must be known.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "a", "b", "c"], "order_id": [1, 2, 3, 4], "amount": [50.0, 30.0, 15.0, 5.0],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-20", "2024-01-10", "2024-01-30"]),
    ... })
    >>> concentration_table(orders, as_of="2024-01-31", top_shares=[0.2, 0.5])
       top_share  customer_count  total_amount  amount_share  least_amount
    0        0.2               1          80.0          0.80          80.0
    1        0.5               2          95.0          0.95          15.0
    """
    caller = "concentration_table"
    shares = check_top_shares(top_shares, caller=caller)
    table, ranked, customer_count, total = _measured(transactions, as_of, caller=caller)
    wanted = {share: math.ceil(share * customer_count - 1e-9) for share in shares}  # 0.07 x 100 is not above 7
    rows = collect(ranked.filter(nw.col("rank").is_in(sorted(set(wanted.values())))))
    found = {int(row["rank"]): row for row in rows.iter_rows(named=True)}
    columns: dict[str, list[Any]] = {
        "top_share": shares,
        "customer_count": [wanted[share] for share in shares],
        "total_amount": [float(found[wanted[share]]["_cumulative"]) for share in shares],
        "amount_share": [float(found[wanted[share]]["_cumulative"]) / total for share in shares],
        "least_amount": [float(found[wanted[share]]["total_amount"]) for share in shares],
    }
    schema = nw.Schema({name: nw.Int64() if name == "customer_count" else nw.Float64() for name in columns})
    return table.engine.from_columns(columns, schema)


def gini(transactions: Transactions | Any, *, as_of: str | dt.date | dt.datetime) -> float:
    r"""Measure in one number how unequally customers share in revenue: 0 all alike, near 1 one makes it all.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``.
    as_of : date
        The day described from; lines on or after it are left out.

    Returns
    -------
    float
        Between 0 and :math:`(n - 1) / n`; above that only when some customers are below zero.

    Raises
    ------
    SchemaError
        When no line lies before ``as_of``, or all customers together brought in nothing or less.

    Notes
    -----
    Twice the area between the Lorenz curve and the diagonal. With :math:`x_r` the total of the customer of rank
    :math:`r`, 1 the largest, among :math:`n`:

    .. math:: G = \frac{n + 1}{n} - \frac{2 \sum_r r x_r}{n \sum_r x_r}

    Reference: A. Sen, On Economic Inequality, 1973, section 2.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "b", "c"], "order_id": [1, 2, 3], "amount": [80.0, 15.0, 5.0],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-20", "2024-01-10"]),
    ... })
    >>> round(gini(orders, as_of="2024-01-31"), 3)
    0.5
    """
    _, ranked, n, total = _measured(transactions, as_of, caller="gini")
    weighted = nw.col("rank").cast(nw.Float64) * nw.col("total_amount")
    return (n + 1) / n - 2 * float(collect(ranked.select(weighted.sum().alias("sum"))).row(0)[0]) / (n * total)


def kpi_table(
    transactions: Transactions | Any, *, as_of: str | dt.date | dt.datetime, period: str | dt.timedelta = "month"
) -> Any:
    """Count the key figures of a customer base, one row per period.

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
    dataframe of the kind that came in, one row per period from the first line to ``as_of``, sorted by time
        Periods without a line are there, with zeros.
        ``period_start``, ``period_end`` (Datetime, the end excluded),
        ``is_complete`` (Boolean, false when ``as_of`` lies before the end, and for the first period when its first
        line comes after its first day, since the data may begin there),
        ``customer_count`` (Int64, active customers: with an order in the period),
        ``new_customer_count`` (Int64, with their first order of all in the period),
        ``returning_customer_count`` (Int64, active customers who ordered in an earlier period),
        ``returning_share`` (Float64, ``returning_customer_count / customer_count``),
        ``repeat_share`` (Float64, the repeat rate: share of active customers with two or more orders in the period),
        ``order_count`` (Int64, orders; credit notes are none),
        ``total_amount`` (Float64, revenue: all lines, returns taken off in the period they came back),
        ``average_order_amount`` (Float64, ``total_amount / order_count``),
        ``orders_per_customer`` (Float64, ``order_count / customer_count``),
        ``amount_per_customer`` (Float64, ``total_amount / customer_count``),
        ``days_between_orders`` (Float64, mean calendar days from an order of the period to the same customer's order
        before it, first orders left out). Ratios are null in a period without orders.

    Raises
    ------
    SchemaError
        When ``period`` is not known, or no line lies before ``as_of``.

    Notes
    -----
    An order is told from a credit note as in :func:`value_table`. An order with lines in two periods counts in both,
    each with its own lines. ``days_between_orders`` grows with the age of the data: early periods can only hold short
    gaps, and at every time the gaps of customers who will be back late are still open. A lazy engine is asked at once
    for the moment of the first line, so that empty periods can be listed; everything else stays lazy.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "a", "b", "a"], "order_id": [1, 2, 3, 4], "amount": [50.0, 30.0, 15.0, 5.0],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-21", "2024-01-10", "2024-03-01"]),
    ... })
    >>> columns = ["period_start", "is_complete", "customer_count", "new_customer_count", "repeat_share", "order_count"]
    >>> print(kpi_table(orders, as_of="2024-03-15")[columns].to_string())
      period_start  is_complete  customer_count  new_customer_count  repeat_share  order_count
    0   2024-01-01         True               2                   2           0.5            3
    1   2024-02-01         True               0                   0           NaN            0
    2   2024-03-01        False               1                   0           0.0            1
    """
    caller = "kpi_table"
    table, lines, grid = opened(transactions, as_of=as_of, period=period, caller=caller)
    counts = ("customer_count", "new_customer_count", "_repeaters", "order_count", "_gaps")
    kpis = (
        grid.rows(table, lines, caller=caller)
        .join(_period_sums(customer_periods(lines, grid)), on="period_index", how="left")
        .with_columns(*filled(counts, ("total_amount", "_gap_days")))
        .with_columns(returning_customer_count=nw.col("customer_count") - nw.col("new_customer_count"))
        .select(
            "period_start",
            "period_end",
            "is_complete",
            "customer_count",
            "new_customer_count",
            "returning_customer_count",
            "order_count",
            "total_amount",
            returning_share=ratio("returning_customer_count", "customer_count"),
            repeat_share=ratio("_repeaters", "customer_count"),
            average_order_amount=ratio("total_amount", "order_count"),
            orders_per_customer=ratio("order_count", "customer_count"),
            amount_per_customer=ratio("total_amount", "customer_count"),
            days_between_orders=ratio("_gap_days", "_gaps"),
        )
    )
    return table.to_native(kpis.sort("period_start"))


# -- inside --------------------------------------------------------------------------------------------------------


def _customers(lines: nw.LazyFrame[Any], *, with_cost: bool) -> nw.LazyFrame[Any]:
    """One row per customer: totals, orders, first and last moments."""
    cost: dict[str, nw.Expr] = {}
    if with_cost:
        lines = lines.with_columns(_uncosted=nw.col("cost").is_null().cast(nw.Int64))
        cost = {"_cost": nw.col("cost").sum(), "_uncosted": nw.col("_uncosted").sum()}
    is_order = nw.col("is_order") == 1
    first, last = (nw.when(is_order).then(nw.col(name)).otherwise(None) for name in ("ordered_at", "completed_at"))
    return (
        orders_of(lines, "customer_id", **cost)
        .with_columns(_first=first, _last=last)
        .group_by("customer_id")
        .agg(
            total_amount=nw.col("amount").sum(),
            order_count=nw.col("is_order").sum(),
            first_order_at=nw.col("_first").min(),
            last_order_at=nw.col("_last").max(),
            first_line_at=nw.col("ordered_at").min(),
            **{name: nw.col(name).sum() for name in cost},
        )
        .with_columns(nw.col("total_amount").cast(nw.Float64), nw.col("order_count").cast(nw.Int64))
    )


def in_ties(amount: nw.Expr) -> nw.Expr:
    """Turn amounts into whole numbers for ranks: PyArrow leaves the last bit when it rounds to decimals."""
    return (amount * 10.0**TIE_DECIMALS).round(0)


def _ranked(customers: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Add ``rank`` and, for shares, ``_cumulative``, ``_all`` and ``_customers``."""
    best_first = ["_order", "customer_id"]  # 0 - x, not -x: pandas fails to sort 0.0 beside -0.0 in Arrow columns
    return (
        customers.with_columns(_order=0.0 - in_ties(nw.col("total_amount")), _one=nw.lit(1).cast(nw.Int64))
        .with_columns(
            rank=nw.col("_one").cum_sum().over(order_by=best_first),
            _cumulative=nw.col("total_amount").cum_sum().over(order_by=best_first),
            _all=nw.col("total_amount").sum(),
            _customers=nw.col("_one").sum(),
        )
        .with_columns(nw.col("rank").cast(nw.Int64), nw.col("_all").cast(nw.Float64))
    )


def _contribution() -> nw.Expr:
    known = nw.when(nw.col("_uncosted") == 0).then(nw.col("total_amount") - nw.col("_cost").cast(nw.Float64))
    return known.otherwise(None).cast(nw.Float64)


def _measured(
    transactions: Transactions | Any, as_of: Any, *, caller: str
) -> tuple[Transactions, nw.LazyFrame[Any], int, float]:
    """Rank the customers and learn how many there are and what they brought in; refuse a total that has no shares."""
    as_of = as_moment(as_of, caller=caller)
    table = Transactions.bind(transactions).before(as_of)
    customers = collect(_customers(table.need(*ORDER_ROLES, caller=caller), with_cost=False))
    total = float(customers["total_amount"].sum())
    if not len(customers):
        raise no_line(as_of, caller=caller)
    if not total > 0:
        raise no_total(total, as_of, caller=caller)
    return table, _ranked(customers.lazy()), len(customers), total


def _period_sums(periods: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """One row per period with a line: the sums that the key figures are ratios of."""
    return (
        periods.group_by("period_index")
        .agg(total_amount=nw.col("amount").sum())
        .join(_active_sums(periods.filter(nw.col("is_active") == 1)), on="period_index", how="left")
    )


def _active_sums(active: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Count customers, orders and gaps; gaps telescope: last order of this period minus last of the one before."""
    before = nw.col("last_order_day").shift(1).over("customer_id", order_by="period_index")
    is_new = nw.col("period_index") == nw.col("first_index")
    since = nw.when(is_new).then(nw.col("first_order_day")).otherwise(nw.col("_before"))
    return (
        active.join(first_active_period(active), on="customer_id", how="inner")
        .with_columns(_before=before)
        .with_columns(
            _new=is_new.cast(nw.Int64),
            _repeats=(nw.col("order_count") > 1).cast(nw.Int64),
            _days=nw.col("last_order_day") - since,
        )
        .group_by("period_index")
        .agg(
            customer_count=nw.col("is_active").sum(),
            new_customer_count=nw.col("_new").sum(),
            order_count=nw.col("order_count").sum(),
            _repeaters=nw.col("_repeats").sum(),
            _gap_days=nw.col("_days").sum(),
        )
        .with_columns(_gaps=nw.col("order_count") - nw.col("new_customer_count"))
    )
