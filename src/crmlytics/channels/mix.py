"""Which channels customers use together, and whether those who use several are worth more like for like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._cautions import cautions
from crmlytics._validation import as_period, check_fraction
from crmlytics.channels._reading import FEW, UNKNOWN, read_sales, sums
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics.channels._reading import Codes, Flags, Sales, Vector
    from crmlytics.tables import Transactions

    Columns = dict[str, NDArray[Any]]

BETWEEN = " + "
NO_ORDER = "(no order)"
EXACT = 10  # orders that are compared by their very number
STEP = 1.1  # beyond, those within a tenth of one another are
COMPARISONS = ("all customers", "with two orders or more", "at equal number of orders")
MIX_SCHEMA = nw.Schema({
    "channels": nw.String(), "channel_count": nw.Int64(), "customer_count": nw.Int64(), "customer_share": nw.Float64(),
    "order_count": nw.Int64(), "orders_per_customer": nw.Float64(), "amount": nw.Float64(),
    "amount_per_customer": nw.Float64(), "amount_per_customer_low": nw.Float64(),
    "amount_per_customer_high": nw.Float64(), "amount_per_order": nw.Float64(), "amount_per_order_low": nw.Float64(),
    "amount_per_order_high": nw.Float64(), "caution": nw.String(),
})  # fmt: skip
MULTI_SCHEMA = nw.Schema({
    "comparison": nw.String(), "several_count": nw.Int64(), "one_count": nw.Int64(), "several_amount": nw.Float64(),
    "one_amount": nw.Float64(), "difference": nw.Float64(), "difference_low": nw.Float64(),
    "difference_high": nw.Float64(), "p_value": nw.Float64(), "adjusted_p_value": nw.Float64(), "caution": nw.String(),
})  # fmt: skip
MORE_CHANCES = "Who orders more often has more chances to use a second channel: look at equal numbers of orders."
NO_CAUSE = "Association, not effect: a second channel makes nobody a better customer by itself."


def channel_mix_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    since: str | dt.date | dt.datetime | None = None,
    confidence: float = 0.95,
) -> Any:
    """Count the customers of each set of channels, and what they brought.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp``, ``amount`` and ``channel``.
    as_of : date
        Only what was before it is read.
    since : date, optional
        The beginning of the period; by default that of the data.
    confidence : float, default 0.95

    Returns
    -------
    dataframe of the kind that came in, one row per set of channels, sorted by ``channel_count`` and ``channels``
        ``channels`` (String, the channels that a customer ordered through, sorted, joined by `` + ``; ``"(unknown)"``
        where none of the orders has one, ``"(no order)"`` for credit notes alone), ``channel_count`` (Int64, known
        ones), ``customer_count`` (Int64), ``customer_share`` (Float64, of all customers), ``order_count`` (Int64),
        ``orders_per_customer`` (Float64), ``amount`` (Float64, returns taken off), ``amount_per_customer``,
        ``amount_per_order`` (Float64, orders' own amounts, credit notes not taken off), each with the bounds of its
        interval, ``_low`` and ``_high``; ``caution`` (String).

    Raises
    ------
    SchemaError, MissingColumnsError
        When a role is missing, or no line lies in the period.

    Notes
    -----
    Every customer is in one set; customers, orders and amounts add up. Intervals: of amounts per customer Student's,
    corrected for skewness (Hall 1992); of amounts per order Student's with customers as clusters.

    **When not to use it**: to say that channels add up to better customers. Who orders more often has more chances to
    use a second channel, so sets of several channels hold those who order most: :func:`multichannel_table` compares
    customers with equally many orders.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.channels.mix import channel_mix_table
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "a", "b", "c"], "order_id": [1, 2, 3, 4], "amount": [10.0, 30.0, 40.0, 20.0],
    ...     "channel": ["web", "store", "store", "store"], "timestamp": pd.to_datetime(["2024-01-01"] * 4),
    ... })
    >>> table = channel_mix_table(orders, as_of="2024-02-01")
    >>> table[["channels", "channel_count", "customer_count", "order_count", "amount_per_customer"]]
          channels  channel_count  customer_count  order_count  amount_per_customer
    0        store              1               2            2                 30.0
    1  store + web              2               1            2                 40.0
    """
    caller = "channel_mix_table"
    sales = _read(transactions, as_of, since, caller=caller)
    level = check_fraction(confidence, name="confidence", caller=caller)
    columns = _mixes(sales, level)
    columns["caution"] = cautions(len(columns["channels"]), [
        (columns["channel_count"] > 1, MORE_CHANCES),
        (columns["customer_count"] < FEW, f"Fewer than {FEW} customers."),
    ], first=NO_CAUSE)  # fmt: skip
    return sales.engine.from_columns({name: columns[name] for name in MIX_SCHEMA}, MIX_SCHEMA)


def multichannel_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    since: str | dt.date | dt.datetime | None = None,
    confidence: float = 0.95,
) -> Any:
    """Compare customers of several channels with those of one: as they are, and at an equal number of orders.

    Parameters
    ----------
    transactions, as_of, since, confidence
        As for :func:`channel_mix_table`.

    Returns
    -------
    dataframe of the kind that came in, three rows
        ``comparison`` (String: ``"all customers"``, ``"with two orders or more"``, ``"at equal number of orders"``),
        ``several_count``, ``one_count`` (Int64, customers of several channels and of one who are compared),
        ``several_amount``, ``one_amount`` (Float64, what a customer brought in the period, returns taken off; in the
        last row of several channels as if they ordered as often as the others), ``difference`` (Float64,
        ``several_amount - one_amount``), ``difference_low``, ``difference_high``, ``p_value`` (Float64, of no
        difference; null, like the interval, where a side has fewer than two customers), ``adjusted_p_value`` (Float64,
        after Holm for the three), ``caution`` (String).

    Raises
    ------
    SchemaError, MissingColumnsError
        When a role is missing, or no order of the period has a channel.

    Notes
    -----
    "Customers of several channels are worth three times as much" is said everywhere, and mostly counts orders: with
    one order nobody uses two channels, with twenty almost everybody would by chance. The last row deals customers with
    two orders or more to strata of as many orders (beyond ten, within a tenth of one another) and weights the
    differences as those of one channel are spread (direct standardisation). What is left is a difference of money
    an order. Intervals and tests: Welch's, corrected for skewness (Hall 1992). Orders without a channel count as
    orders, and as no channel.

    **When not to use it**: as a reason to push customers to a second channel. Even at equal numbers of orders those
    who chose it are others. An experiment tells.

    Examples
    --------
    Two orders of 10 each, whatever the channel; who orders four times uses both.

    >>> import pandas as pd
    >>> from crmlytics.channels.mix import multichannel_table
    >>> who = ["a", "a", "b", "b", "c", "c", "d", "d", "e", "f", *"gggg", *"hhhh"]
    >>> which = ["web", "web", "web", "web", "web", "store", "store", "web", "web", "web", *["web", "store"] * 4]
    >>> orders = pd.DataFrame({
    ...     "customer_id": who, "order_id": range(18), "amount": 10.0, "channel": which,
    ...     "timestamp": pd.to_datetime(["2024-01-01"] * 18),
    ... })
    >>> table = multichannel_table(orders, as_of="2024-02-01")
    >>> table[["comparison", "several_amount", "one_amount", "difference"]]
                      comparison  several_amount  one_amount  difference
    0              all customers            30.0        15.0        15.0
    1    with two orders or more            30.0        20.0        10.0
    2  at equal number of orders            20.0        20.0         0.0
    """
    caller = "multichannel_table"
    sales = _read(transactions, as_of, since, caller=caller)
    level = check_fraction(confidence, name="confidence", caller=caller)
    used = sales.uses(sales.is_known).sum(axis=1)
    if not used.any():
        raise SchemaError(f"{caller}: no order of the period has a channel. Check the column channel, and as_of.")
    columns = _against_one(sales, used, level)
    columns["caution"] = cautions(3, [
        (np.array([True, True, False]), MORE_CHANCES),
        (np.minimum(columns["several_count"], columns["one_count"]) < FEW, f"Fewer than {FEW} customers on a side."),
    ], first=NO_CAUSE)  # fmt: skip
    return sales.engine.from_columns({name: columns[name] for name in MULTI_SCHEMA}, MULTI_SCHEMA)


# -- inside --------------------------------------------------------------------------------------------------------


def _read(transactions: Any, as_of: Any, since: Any, *, caller: str) -> Sales:
    begin, end = as_period(since, as_of, caller=caller)
    return read_sales(transactions, as_of=end, since=begin, caller=caller)


def _mixes(sales: Sales, level: float) -> Columns:
    from crmlytics._kernels.clustered_means import group_means
    from crmlytics._kernels.like_for_like import mean_interval

    words, count, group = _sets(sales)
    size, orders = len(words), sales.order_counts()
    amount = sums(sales.customer, sales.amount, len(group))
    customers = np.bincount(group, minlength=size)
    mean, low, high = mean_interval(amount, group, size, level)
    each, owner = _order_amounts(sales)
    per_order = group_means(each, group[owner], size, cluster=owner)
    order_low, order_high = per_order.interval(level)
    order_count = np.bincount(group, orders, size).astype(np.int64)
    columns = {
        "channels": words, "channel_count": count, "customer_count": customers,
        "customer_share": customers / len(group), "order_count": order_count,
        "orders_per_customer": order_count / customers, "amount": sums(group, amount, size),
        "amount_per_customer": mean, "amount_per_customer_low": low, "amount_per_customer_high": high,
        "amount_per_order": per_order.mean, "amount_per_order_low": order_low, "amount_per_order_high": order_high,
    }  # fmt: skip
    at = np.lexsort((words.astype(str), count))
    return {name: values[at] for name, values in columns.items()}


def _sets(sales: Sales) -> tuple[NDArray[Any], Codes, Codes]:
    """Return the sets of channels that there are, how many channels each has, and the number of each customer's."""
    known: Flags = sales.uses(sales.is_known)
    has_order = sales.uses(np.ones(len(sales.order), bool)).any(axis=1)
    kinds, group = np.unique(np.column_stack([has_order, known]), axis=0, return_inverse=True)
    names = np.array(sales.names, object)
    words = [BETWEEN.join(names[kind[1:]]) if kind[1:].any() else UNKNOWN if kind[0] else NO_ORDER for kind in kinds]
    return np.array(words, object), kinds[:, 1:].sum(axis=1).astype(np.int64), group.ravel()


def _order_amounts(sales: Sales) -> tuple[Vector, Codes]:
    """Return the amount of each order, and whose it is."""
    rows = np.flatnonzero(sales.is_order)
    _, place, code = np.unique(sales.order[rows], return_index=True, return_inverse=True)
    return sums(code, sales.amount[rows], len(place)), sales.customer[rows][place]


def _against_one(sales: Sales, used: Codes, level: float) -> Columns:
    from crmlytics._kernels.multiple_testing import holm

    orders = sales.order_counts()
    amount = sums(sales.customer, sales.amount, len(used))
    everybody, returning = used > 0, (used > 0) & (orders > 1)
    beyond = EXACT + np.floor(np.log(np.maximum(orders, EXACT) / EXACT) / np.log(STEP)).astype(np.int64)
    alike = np.where(orders <= EXACT, orders, beyond + 1)
    whole = np.zeros(len(used), np.int64)
    cases = ((everybody, whole), (returning, whole), (returning, alike))
    rows = [_compared(amount[who], used[who] > 1, stratum[who], level) for who, stratum in cases]
    columns: Columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    columns["adjusted_p_value"] = holm(columns["p_value"].astype(np.float64))
    return columns | {"comparison": np.array(COMPARISONS, object)}


def _compared(amount: Vector, several: Flags, stratum: Codes, level: float) -> dict[str, Any]:
    """Compare customers of several channels with those of one in the same strata."""
    from crmlytics._kernels.like_for_like import LEAST, against_others

    strata = int(stratum.max()) + 1
    both = np.bincount(stratum[several], minlength=strata), np.bincount(stratum[~several], minlength=strata)
    used = ((both[0] >= LEAST) & (both[1] >= LEAST))[stratum]
    told = against_others(amount, several.astype(np.int64), 2, stratum)  # as those of one channel, 0, are spread
    low, high = told.interval(level)
    return {
        "several_count": int((several & used).sum()), "one_count": int((~several & used).sum()),
        "several_amount": told.others_mean[0], "one_amount": told.mean[0],
        "difference": told.others_mean[0] - told.mean[0], "difference_low": -high[0],
        "difference_high": -low[0], "p_value": told.p_value()[0],
    }  # fmt: skip
