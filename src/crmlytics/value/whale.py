"""Who earns the profit and who destroys it: the whale curve, its two sides, and deciles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import columns_of, enter
from crmlytics._lists import table_with_lists
from crmlytics.exceptions import SchemaError
from crmlytics.value._reading import KEY, best_first, over, over_each, read_amounts, settled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

AMOUNT = "contribution_amount"
SIDES = ("earning", "even", "losing")
DECILES = 10
PARTS = {"margin_amount": "margin_share", "contribution_amount": "contribution_share"}  # of revenue


def whale_curve_table(contribution: Any, *, amount: str = AMOUNT, key: str = KEY) -> Any:
    """Add contributions up over the customers, the best first: the curve climbs, and falls with the loss makers.

    Parameters
    ----------
    contribution : dataframe, one row per customer
        Such as :func:`contribution_table` returns. Customers whose contribution is unknown are left out, with a
        warning.
    amount : str, default "contribution_amount"
        The column of what a customer leaves over.
    key : str, default "customer_id"
        The column with the id of the customer.

    Returns
    -------
    dataframe of the kind that came in, one row per customer, sorted by ``rank``
        ``rank`` (Int64, 1 the largest contribution, ties by id), the key, ``contribution_amount`` (Float64),
        ``cumulative_contribution_amount`` (Float64, of this customer and all better ones),
        ``cumulative_customer_share`` (Float64, ``rank`` / number of customers), ``cumulative_contribution_share``
        (Float64, of the whole contribution: above 1 where loss makers follow; null where the whole is not above zero),
        ``is_peak`` (Boolean, true once: the last customer who earns anything; with nobody who does, the first).

    Raises
    ------
    SchemaError, MissingColumnsError
        When there are no customers, ids are missing or repeated, or every contribution is unknown.

    Notes
    -----
    Cooper and Kaplan (1991), "Profit priorities from activity-based costing", Harvard Business Review 69(3), found that
    20 % of customers earned 225 % of profit. How high the whale leaps depends on the costs that were put in: with
    ``costs={}`` hardly anybody loses. It is no list of whom to drop: a loss of the first year may be an investment.

    Examples
    --------
    >>> import pandas as pd
    >>> left = pd.DataFrame({"customer_id": ["a", "b", "c", "d"], "contribution_amount": [60.0, -30.0, 0.0, 20.0]})
    >>> columns = ["customer_id", "cumulative_contribution_amount", "cumulative_contribution_share", "is_peak"]
    >>> print(whale_curve_table(left)[columns].to_string())
      customer_id  cumulative_contribution_amount  cumulative_contribution_share  is_peak
    0           a                            60.0                            1.2    False
    1           d                            80.0                            1.6     True
    2           c                            80.0                            1.6    False
    3           b                            50.0                            1.0    False
    """
    caller = "whale_curve_table"
    read = read_amounts(contribution, [amount], key=key, name="contribution", caller=caller)
    read = read.known(what=repr(amount), caller=caller)
    order = best_first(read.columns[amount])
    amounts = read.columns[amount][order]
    summed, rank = np.cumsum(amounts), np.arange(1, len(amounts) + 1)
    columns = {
        "rank": rank,
        key: read.ids[order],
        AMOUNT: amounts,
        f"cumulative_{AMOUNT}": summed,
        "cumulative_customer_share": rank / len(rank),
        "cumulative_contribution_share": over(summed, summed[-1]),
        "is_peak": rank == max(1, int((settled(amounts) > 0).sum())),
    }
    return table_with_lists(read.engine, columns)


def whale_summary_table(contribution: Any, *, amount: str = AMOUNT, key: str = KEY) -> Any:
    """Say in three rows what the earning customers make and what the loss makers destroy of it.

    Parameters
    ----------
    contribution, amount, key
        As in :func:`whale_curve_table`.

    Returns
    -------
    dataframe of the kind that came in, the rows "earning", "even" and "losing", also where there is nobody
        ``side`` (String), ``customer_count`` (Int64), ``customer_share`` (Float64), ``contribution_amount`` (Float64;
        that of "earning" is the peak of the curve, that of "losing" what is destroyed, <= 0),
        ``peak_share`` (Float64, the contribution in shares of the peak; null where nobody earns anything).

    Raises
    ------
    SchemaError, MissingColumnsError
        As :func:`whale_curve_table`.

    Examples
    --------
    >>> import pandas as pd
    >>> left = pd.DataFrame({"customer_id": ["a", "b", "c", "d"], "contribution_amount": [60.0, -30.0, 0.0, 20.0]})
    >>> whale_summary_table(left)
          side  customer_count  customer_share  contribution_amount  peak_share
    0  earning               2            0.50                 80.0       1.000
    1     even               1            0.25                  0.0       0.000
    2   losing               1            0.25                -30.0      -0.375
    """
    caller = "whale_summary_table"
    read = read_amounts(contribution, [amount], key=key, name="contribution", caller=caller)
    amounts = read.known(what=repr(amount), caller=caller).columns[amount]
    side = 1 - np.sign(settled(amounts)).astype(np.int64)
    count, summed = np.bincount(side, minlength=3), np.bincount(side, amounts, 3)
    columns = {
        "side": np.array(SIDES, object),
        "customer_count": count,
        "customer_share": count / len(amounts),
        AMOUNT: summed,
        "peak_share": over(summed, summed[0]),
    }
    return table_with_lists(read.engine, columns)


def value_decile_table(values: Any, *, amount: str = AMOUNT, key: str = KEY) -> Any:
    """Deal customers into tenths by what they are worth, the best first, and say what each tenth brings.

    Parameters
    ----------
    values : dataframe, one row per customer
        Such as :func:`contribution_table` or :func:`value_table` returns. Customers whose amount is unknown are left
        out, with a warning.
    amount : str, default "contribution_amount"
        The column that is ranked and added up: ``"total_amount"`` for revenue.
    key : str, default "customer_id"
        The column with the id of the customer.

    Returns
    -------
    dataframe of the kind that came in, ten rows, the best tenth first
        ``decile`` (Int64, 1 the best), ``customer_count`` (Int64; tenths differ by one customer at most),
        ``total_amount``, ``average_amount``, ``most_amount``, ``least_amount`` (Float64, of the tenth),
        ``amount_share``, ``cumulative_amount_share`` (Float64, of the whole; null where that is not above zero).
        Where ``values`` has the columns for it: ``order_count`` (Int64, of the tenth); with ``total_amount``, which is
        revenue, also ``average_order_amount`` (Float64, revenue / orders), ``margin_share`` of ``margin_amount`` and
        ``contribution_share`` of ``contribution_amount`` (Float64, of the revenue of the tenth; null where the amount
        of one of its customers is unknown).

    Raises
    ------
    SchemaError, MissingColumnsError
        With fewer than ten customers, and as :func:`whale_curve_table`.

    Notes
    -----
    Customers at a boundary may be equal; the id then decides, and ``least_amount`` of one tenth is ``most_amount`` of
    the next. Averages of tenths hide one customer who makes half: look at ``most_amount``.

    Examples
    --------
    >>> import pandas as pd
    >>> values = pd.DataFrame({"customer_id": range(20), "contribution_amount": [float(n) for n in range(20)]})
    >>> value_decile_table(values)[["decile", "customer_count", "total_amount", "least_amount", "amount_share"]].head(2)
       decile  customer_count  total_amount  least_amount  amount_share
    0       1               2          37.0          18.0      0.194737
    1       2               2          33.0          16.0      0.173684
    """
    caller = "value_decile_table"
    there = columns_of(enter(values, caller=caller)[0])
    wanted = dict.fromkeys([amount, *(name for name in (*PARTS, "order_count", "total_amount") if name in there)])
    read = read_amounts(values, list(wanted), key=key, name="values", caller=caller)
    read = read.known(what=repr(amount), names=[amount], caller=caller)
    amounts = read.columns[amount]
    customers = len(amounts)
    if customers < DECILES:
        msg = f"{caller}: ten tenths need at least 10 customers, got {customers}. List them with whale_curve_table."
        raise SchemaError(msg)
    ends = np.arange(1, DECILES + 1) * customers // DECILES
    starts = np.append(0, ends[:-1])
    order = best_first(amounts)
    ranked = amounts[order]
    summed, count = np.add.reduceat(ranked, starts), ends - starts
    columns = {
        "decile": np.arange(1, DECILES + 1),
        "customer_count": count,
        "total_amount": summed,
        "average_amount": summed / count,
        "most_amount": ranked[starts],
        "least_amount": ranked[ends - 1],
        "amount_share": over(summed, float(summed.sum())),
        "cumulative_amount_share": over(np.cumsum(summed), float(summed.sum())),
        **_orders_and_margins({name: np.add.reduceat(part[order], starts) for name, part in read.columns.items()}),
    }
    return table_with_lists(read.engine, columns)


def _orders_and_margins(sums: dict[str, Vector]) -> dict[str, NDArray[Any]]:
    """Return what else is known of each tenth: orders, and what is left of its revenue."""
    found: dict[str, NDArray[Any]] = {}
    orders, revenue = sums.get("order_count"), sums.get("total_amount")
    if orders is not None:
        found["order_count"] = orders.astype(np.int64)
    if orders is not None and revenue is not None:
        found["average_order_amount"] = over_each(revenue, orders)
    if revenue is not None:
        found |= {told: over_each(sums[name], revenue) for name, told in PARTS.items() if name in sums}
    return found
