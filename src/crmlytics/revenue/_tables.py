"""The tables of revenue: its drivers, its movements by period, and its cohorts."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._periods import customer_periods, filled, first_active_period, opened, ratio
from crmlytics.revenue._groups import TIE_DECIMALS

if TYPE_CHECKING:
    import datetime as dt

    from crmlytics.tables import Transactions

MOVEMENTS = ("new", "reactivated", "expansion", "contraction", "lost", "returns")
NEVER = -1_000_000_000  # the first period of a customer without an order: no period has this number


def revenue_table(
    transactions: Transactions | Any, *, as_of: str | dt.date | dt.datetime, period: str | dt.timedelta = "month"
) -> Any:
    r"""Split revenue by period into customers x orders per customer x order value, and its change among the three.

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
        ``period_start``, ``period_end`` (Datetime, the end excluded), ``is_complete`` (Boolean, see
        :func:`~crmlytics.value.kpi_table`; a change to or from an incomplete period says little),
        ``total_amount`` (Float64, revenue: all lines, returns taken off),
        ``customer_count`` (Int64, with an order in the period),
        ``orders_per_customer``, ``average_order_amount`` (Float64; the product of the three is ``total_amount``; null
        in a period without orders),
        ``amount_change`` (Float64, ``total_amount`` less that of the period before; null in the first period),
        ``change_share`` (Float64, of the amount of the period before; null where that is not above zero),
        ``customer_effect_amount``, ``frequency_effect_amount``, ``order_value_effect_amount`` (Float64, the part of
        the change that more customers, more orders each and larger orders account for; they add up to
        ``amount_change``).

    Raises
    ------
    SchemaError
        When ``period`` is not known, or no line lies before ``as_of``.

    Notes
    -----
    The effects are the Shapley values of the three factors: each factor's change is valued at the mean of the others
    before and after, over every order in which the factors could have changed. With :math:`R = xyz`,

    .. math:: R_1 - R_0 = \sum_{x, y, z} (x_1 - x_0) \left[ \frac{y_0 z_0 + y_1 z_1}{3}
              + \frac{y_0 z_1 + y_1 z_0}{6} \right]

    with no remainder. Unlike the logarithmic mean Divisia method it needs no positive amounts, so a period in which
    returns outweigh sales is split as well. To or from a period without orders the whole change is the customers'.

    References: J. Albrecht, D. Francois, K. Schoors, A Shapley decomposition of carbon emissions without residuals,
    Energy Policy 30 (2002), 727-736. The same formula: J. W. Sun, Energy Economics 20 (1998), 85-100.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "b", "a", "b", "c"], "order_id": [1, 2, 3, 4, 5],
    ...     "amount": [10.0, 20.0, 15.0, 15.0, 30.0],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-21", "2024-02-10", "2024-02-15", "2024-02-20"]),
    ... })
    >>> columns = ["total_amount", "customer_count", "average_order_amount", "amount_change", "customer_effect_amount"]
    >>> print(revenue_table(orders, as_of="2024-03-01")[columns].to_string())
       total_amount  customer_count  average_order_amount  amount_change  customer_effect_amount
    0          30.0               2                  15.0            NaN                     NaN
    1          60.0               3                  20.0           30.0                    17.5
    """
    caller = "revenue_table"
    table, lines, grid = opened(transactions, as_of=as_of, period=period, caller=caller)
    sums = (
        customer_periods(lines, grid)
        .group_by("period_index")
        .agg(
            total_amount=nw.col("amount").sum(),
            customer_count=nw.col("is_active").sum(),
            order_count=nw.col("order_count").sum(),
        )
    )
    factors = (
        grid.rows(table, lines, caller=caller)
        .join(sums, on="period_index", how="left")
        .with_columns(*filled(("customer_count", "order_count"), ("total_amount",)))
        .with_columns(
            orders_per_customer=ratio("order_count", "customer_count"),
            average_order_amount=ratio("total_amount", "order_count"),
        )
    )
    return table.to_native(_with_effects(factors).sort("period_start"))


def movement_table(
    transactions: Transactions | Any, *, as_of: str | dt.date | dt.datetime, period: str | dt.timedelta = "month"
) -> Any:
    """Split the change of revenue between periods by what customers did: came, came back, bought more, less, left.

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
        ``period_start``, ``period_end`` (Datetime, the end excluded), ``is_complete`` (Boolean, see
        :func:`~crmlytics.value.kpi_table`),
        ``previous_amount``, ``total_amount``, ``amount_change`` (Float64, revenue of the period before, of this one,
        and the difference), which is the sum of six movements (Float64):
        ``new_amount`` (customers with their first order of all in this period),
        ``reactivated_amount`` (ordered now, not in the period before, but earlier),
        ``expansion_amount`` (>= 0; ordered in both periods, and brought in more now),
        ``contraction_amount`` (<= 0; ordered in both, and brought in less),
        ``lost_amount`` (mostly < 0; ordered in the period before and not now),
        ``returns_amount`` (ordered in neither, but returned something in one of them), and the customers (Int64)
        ``customer_count`` = ``new_customer_count`` + ``reactivated_customer_count`` + ``retained_customer_count``
        (ordered in both), of whom ``expansion_customer_count`` and ``contraction_customer_count`` brought in more and
        less; ``lost_customer_count``.

    Raises
    ------
    SchemaError
        When ``period`` is not known, or no line lies before ``as_of``.

    Notes
    -----
    A customer's movement is their amount now less their amount in the period before, returns taken off where they
    came back, and falls under one heading. In the first period everybody is new and ``previous_amount`` is 0: what came
    before is not known. "Lost" means silent for one period: with a period shorter than the usual time between orders
    most of the lost come back and are "reactivated" later. Take a period that most active customers order in.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "b", "a", "c"], "order_id": [1, 2, 3, 4], "amount": [10.0, 20.0, 16.0, 30.0],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-21", "2024-02-10", "2024-02-20"]),
    ... })
    >>> movement_table(orders, as_of="2024-03-01")[["amount_change", "new_amount", "expansion_amount", "lost_amount"]]
       amount_change  new_amount  expansion_amount  lost_amount
    0           30.0        30.0               0.0          0.0
    1           16.0        30.0               6.0        -20.0
    """
    caller = "movement_table"
    table, lines, grid = opened(transactions, as_of=as_of, period=period, caller=caller)
    amounts = tuple(f"{name}_amount" for name in MOVEMENTS)
    counts = ("new", "reactivated", "retained", "expansion", "contraction", "lost")
    counted = tuple(f"{name}_customer_count" for name in counts)
    moved = _movements(_this_and_before(customer_periods(lines, grid)))
    movements = (
        grid.rows(table, lines, caller=caller)
        .join(moved, on="period_index", how="left")
        .with_columns(*filled(("customer_count", *counted), ("previous_amount", "total_amount", *amounts)))
        .with_columns(amount_change=reduce(add, [nw.col(name) for name in amounts]))
        .select("period_start", "period_end", "is_complete", "previous_amount", "total_amount", "amount_change",
                *amounts, "customer_count", *counted)
    )  # fmt: skip
    return table.to_native(movements.sort("period_start"))


def cohort_table(
    transactions: Transactions | Any, *, as_of: str | dt.date | dt.datetime, period: str | dt.timedelta = "month"
) -> Any:
    """Follow each generation of customers, those with their first order in the same period, through the periods since.

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
    dataframe of the kind that came in, one row per cohort and period since, sorted by both
        Every period up to ``as_of`` is there, also one in which nobody of the cohort ordered; a period without any
        first order has no cohort. ``cohort_start`` (Datetime, start of the period of the first order),
        ``period_number`` (Int64, 0 for that period), ``period_start``, ``period_end`` (Datetime),
        ``is_complete`` (Boolean, false when the period is not over at ``as_of``, or the data begin within it),
        ``cohort_customer_count`` (Int64, customers in the cohort),
        ``customer_count`` (Int64, those who ordered in the period),
        ``retained_share`` (Float64, ``customer_count / cohort_customer_count``; 1 in period 0),
        ``total_amount`` (Float64, revenue from the cohort in the period, returns taken off),
        ``amount_per_customer`` (Float64, ``total_amount / cohort_customer_count``: per original customer),
        ``cumulative_amount_per_customer`` (Float64, the same from period 0 on).

    Raises
    ------
    SchemaError
        When ``period`` is not known, or no line lies before ``as_of``.

    Notes
    -----
    The first cohorts are not made of new customers alone: whoever bought before the data begin enters with their first
    order in the data. Returns before a customer's first order in the data, and those of customers without any order,
    undo purchases made before the data begin: they belong to no cohort and are in no cell.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "b", "a", "c"], "order_id": [1, 2, 3, 4], "amount": [10.0, 20.0, 16.0, 30.0],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-21", "2024-02-10", "2024-02-20"]),
    ... })
    >>> columns = ["cohort_start", "period_number", "cohort_customer_count", "retained_share", "amount_per_customer"]
    >>> print(cohort_table(orders, as_of="2024-03-01")[columns].to_string())
      cohort_start  period_number  cohort_customer_count  retained_share  amount_per_customer
    0   2024-01-01              0                      2             1.0                 15.0
    1   2024-01-01              1                      2             0.5                  8.0
    2   2024-02-01              0                      1             1.0                 30.0
    """
    caller = "cohort_table"
    table, lines, grid = opened(transactions, as_of=as_of, period=period, caller=caller)
    periods = customer_periods(lines, grid)
    rows = grid.rows(table, lines, caller=caller)
    firsts = first_active_period(periods)
    cells = (
        _cohorts(firsts, rows)
        .join(rows, how="cross")
        .filter(nw.col("period_index") >= nw.col("first_index"))
        .join(_cell_sums(periods, firsts), on=["first_index", "period_index"], how="left")
        .with_columns(*filled(("customer_count",), ("total_amount",)))
        .with_columns(_running=nw.col("total_amount").cum_sum().over("first_index", order_by="period_index"))
        .select(
            "cohort_start",
            (nw.col("period_index") - nw.col("first_index")).cast(nw.Int64).alias("period_number"),
            "period_start",
            "period_end",
            "is_complete",
            "cohort_customer_count",
            "customer_count",
            ratio("customer_count", "cohort_customer_count").alias("retained_share"),
            "total_amount",
            ratio("total_amount", "cohort_customer_count").alias("amount_per_customer"),
            ratio("_running", "cohort_customer_count").alias("cumulative_amount_per_customer"),
        )
    )
    return table.to_native(cells.sort("cohort_start", "period_number"))


# -- inside --------------------------------------------------------------------------------------------------------


def _with_effects(factors: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Add the change from the period before, and its three Shapley parts."""
    names = ("total_amount", "customer_count", "orders_per_customer", "average_order_amount")
    before = {f"_{name}": nw.col(name).shift(1).over(order_by="period_index") for name in names}
    change = nw.col("total_amount") - nw.col("_total_amount")
    x, y, z = ((nw.col(f"_{name}"), nw.col(name)) for name in names[1:])
    split = {"customer": _shapley(x, y, z), "frequency": _shapley(y, x, z), "order_value": _shapley(z, x, y)}
    comparable = ~(nw.col("average_order_amount").is_null() | nw.col("_average_order_amount").is_null())
    effects = {
        f"{name}_effect_amount": nw.when(comparable)
        .then(effect)
        .otherwise(change if name == "customer" else change - change)  # 0; null in the first period
        .cast(nw.Float64)
        for name, effect in split.items()
    }
    return (
        factors.with_columns(**before)
        .with_columns(amount_change=change.cast(nw.Float64))
        .with_columns(change_share=ratio("amount_change", "_total_amount"), **effects)
        .select("period_start", "period_end", "is_complete", *names, "amount_change", "change_share", *effects)
    )


def _shapley(factor: tuple[nw.Expr, nw.Expr], one: tuple[nw.Expr, nw.Expr], two: tuple[nw.Expr, nw.Expr]) -> nw.Expr:
    """Value a factor's change at the others before and after, as all orders of change on average do."""
    weight = (one[0] * two[0] + one[1] * two[1]) / 3 + (one[0] * two[1] + one[1] * two[0]) / 6
    return (factor[1] - factor[0]) * weight


def _this_and_before(periods: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """One row per customer and period with a line in it or in the period before: amounts and activity of both."""
    known = periods.join(first_active_period(periods), on="customer_id", how="left").select(
        "customer_id",
        "period_index",
        "amount",
        "is_active",
        nw.col("first_index").fill_null(NEVER).cast(nw.Int64),
    )
    none, nothing = nw.lit(0).cast(nw.Int64), nw.lit(0.0)
    now = known.select("customer_id", "period_index", "first_index", "amount", "is_active",
                       _before=nothing, _was_active=none)  # fmt: skip
    later = known.select("customer_id", nw.col("period_index") + 1, "first_index", amount=nothing, is_active=none,
                         _before=nw.col("amount"), _was_active=nw.col("is_active"))  # fmt: skip
    return (
        nw.concat([now, later])
        .group_by("customer_id", "period_index", "first_index")
        .agg(
            nw.col("amount").sum(),
            nw.col("is_active").max(),
            nw.col("_before").sum(),
            nw.col("_was_active").max(),
        )
    )


def _movements(customers: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """One row per period: customers and amounts under each heading."""
    active, was_active = nw.col("is_active") == 1, nw.col("_was_active") == 1
    change = nw.col("amount") - nw.col("_before")
    moved = change.round(TIE_DECIMALS)
    retained, is_new = active & was_active, nw.col("first_index") == nw.col("period_index")
    headings = {
        "new": active & ~was_active & is_new,
        "reactivated": active & ~was_active & ~is_new,
        "retained": retained,
        "expansion": retained & (moved > 0),
        "contraction": retained & (moved < 0),
        "lost": ~active & was_active,
        "returns": ~active & ~was_active,
    }
    marks = {f"_{name}": test.cast(nw.Int64) for name, test in headings.items()}
    # a loss times 0 is -0.0, which pandas shows; plus 0.0 it is 0.0
    amounts = {f"{name}_amount": change * nw.col(f"_{name}").cast(nw.Float64) + 0.0 for name in MOVEMENTS}
    return (
        customers.with_columns(**marks)
        .with_columns(**amounts)
        .group_by("period_index")
        .agg(
            nw.col(*amounts).sum(),
            previous_amount=nw.col("_before").sum(),
            total_amount=nw.col("amount").sum(),
            customer_count=nw.col("is_active").sum(),
            **{f"{name}_customer_count": nw.col(f"_{name}").sum() for name in headings if name != "returns"},
        )
    )


def _cohorts(firsts: nw.LazyFrame[Any], rows: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """One row per cohort: its period and its customers."""
    starts = rows.select(first_index=nw.col("period_index"), cohort_start=nw.col("period_start"))
    sizes = firsts.group_by("first_index").agg(cohort_customer_count=nw.len())
    joined = starts.join(sizes, on="first_index", how="inner")
    return joined.with_columns(nw.col("cohort_customer_count").cast(nw.Int64))


def _cell_sums(periods: nw.LazyFrame[Any], firsts: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """One row per cohort and period with a line: active customers and amount."""
    return (
        periods.join(firsts, on="customer_id", how="inner")
        .group_by("first_index", "period_index")
        .agg(total_amount=nw.col("amount").sum(), customer_count=nw.col("is_active").sum())
    )
