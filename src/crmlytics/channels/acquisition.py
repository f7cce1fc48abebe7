"""What became of the customers whom each channel brought, in the same time for all, and what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._cautions import cautions, with_bounds
from crmlytics._frames import check_same_kind
from crmlytics._kernels.ratios import over
from crmlytics._sales import followed, is_observed
from crmlytics._validation import as_days, as_period, check_fraction
from crmlytics.channels._newcomers import ACQUIRED_BY, Newcomers, told_by
from crmlytics.channels._reading import FEW, NO_CAUSE, UNKNOWN, read_sales, sums
from crmlytics.tables import Customers, Transactions, check_same_ids

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from crmlytics.channels._reading import Codes, Sales, Vector

    Columns = dict[str, NDArray[Any]]

CALLER = "acquisition_channel_table"
SCHEMA = nw.Schema({
    ACQUIRED_BY: nw.String(), "customer_count": nw.Int64(), "observed_count": nw.Int64(),
    "first_order_amount": nw.Float64(), "first_order_amount_low": nw.Float64(), "first_order_amount_high": nw.Float64(),
    "repeat_share": nw.Float64(), "repeat_share_low": nw.Float64(), "repeat_share_high": nw.Float64(),
    "repeat_difference": nw.Float64(), "repeat_difference_low": nw.Float64(), "repeat_difference_high": nw.Float64(),
    "repeat_p_value": nw.Float64(), "repeat_adjusted_p_value": nw.Float64(),
    "horizon_amount": nw.Float64(), "horizon_amount_low": nw.Float64(), "horizon_amount_high": nw.Float64(),
    "horizon_difference": nw.Float64(), "horizon_difference_low": nw.Float64(),
    "horizon_difference_high": nw.Float64(), "horizon_p_value": nw.Float64(), "horizon_adjusted_p_value": nw.Float64(),
    "horizon_margin_amount": nw.Float64(), "acquisition_cost_amount": nw.Float64(),
    "net_amount": nw.Float64(), "net_amount_low": nw.Float64(), "net_amount_high": nw.Float64(),
    "cost_amount": nw.Float64(), "return_on_cost": nw.Float64(), "roi": nw.Float64(), "caution": nw.String(),
})  # fmt: skip


def acquisition_channel_table(
    transactions: Transactions | Any,
    customers: Customers | Any = None,
    *,
    as_of: str | dt.date | dt.datetime,
    since: str | dt.date | dt.datetime | None = None,
    horizon: str | dt.timedelta = "180d",
    costs: Mapping[Any, float] | None = None,
    margin: float | None = None,
    confidence: float = 0.95,
) -> Any:
    """Compare the customers whom each channel brought: first order, return, value in the same time, cost.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``; and ``channel`` where customers do not say
        how they came. With ``cost`` the margin is told.
    customers : Customers or dataframe of the same kind, optional
        Where it has ``acquisition_channel``, that is how a customer came (missing, or no row: ``"(unknown)"``), with
        ``acquisition_cost``, where bound, as the cost. Else it is the channel of the first order. Of dated customers
        (``valid_from``) the earliest row begun before ``as_of`` that has a channel counts; and whose first row begins
        before the first day of the orders is an old customer, and left out. Bind the day of joining, where there is
        one: ``Customers(data, valid_from="joined_at")``.
    as_of : date
        The day described from; nothing at or after it is read.
    since : date, optional
        Customers count whose first order was then or later: the time that ``costs`` were paid in.
    horizon : duration such as "180d" or "26w", default "180d"
        How long each customer is followed from the first order on. Whoever has not been there as long is not compared.
    costs : dict of channel to amount, optional
        What each channel cost in all, for the ``customer_count`` it brought; one that brought nobody has a row, too.
        Overrides ``acquisition_cost``.
    margin : share, optional
        How much of an amount is margin. By default amounts less the ``cost`` of lines, where bound.
    confidence : float, default 0.95

    Returns
    -------
    dataframe of the kind that came in, one row per channel, sorted by it, ``"(unknown)"`` last
        ``acquisition_channel`` (String), ``customer_count`` (Int64, brought), ``observed_count`` (Int64, those whose
        horizon is over: what follows is of them, a customer),
        ``first_order_amount``, ``repeat_share`` (with a second order within the horizon), ``horizon_amount`` (all that
        the customer brought within it through whatever channels, returns taken off), each with the bounds of its
        interval, ``_low`` and ``_high``; ``repeat_difference`` and ``horizon_difference`` (from the customers of all
        other channels), each with ``_low`` and ``_high``; ``repeat_p_value``, ``horizon_p_value`` (of no difference),
        ``repeat_adjusted_p_value``, ``horizon_adjusted_p_value`` (after Holm for all channels);
        ``horizon_margin_amount`` (null where it is not known of every line),
        ``acquisition_cost_amount`` (what a customer cost), ``net_amount`` (margin less cost), ``net_amount_low``,
        ``net_amount_high``, ``cost_amount`` (in all, for all whom it brought), ``return_on_cost`` (``horizon_amount``
        by cost, before any margin), ``roi`` (``net_amount`` by cost, -1 of a cost that brought nobody; all Float64,
        null where not known), ``caution`` (String).

    Raises
    ------
    SchemaError, MissingColumnsError
        When a role is missing, tables are of different kinds, nobody has been there for the horizon, everybody had
        joined before the first order, or costs seem to misspell a channel.

    Warns
    -----
    DataQualityWarning
        When first orders crowd at the beginning of the data: old customers then look new. Bind the day of joining, or
        take a later ``since``. When channels differ in case or blanks only.

    Notes
    -----
    Amounts: Student's interval, differences Welch's, both corrected for the skewness of amounts (Hall 1992). Shares:
    Wilson's interval, differences Newcombe's, with the score or Fisher's test. A customer whose own cost is not known
    is taken to have cost the mean of the channel's others. The horizon counts calendar days, the day of the first
    order the first.

    **When not to use it**: to say what a channel *makes* of customers. Channels meet different people, in different
    months; and who came by a channel might have come by another. It says whom a channel met.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.channels.acquisition import acquisition_channel_table
    >>> orders = pd.DataFrame({
    ...     "customer_id": [1, 1, 2, 3, 4], "order_id": range(5), "amount": [10.0, 20.0, 14.0, 30.0, 34.0],
    ...     "channel": ["ads", "shop", "ads", "shop", "shop"],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-02-01", "2024-01-01", "2024-01-01", "2024-01-05"]),
    ... })
    >>> table = acquisition_channel_table(orders, as_of="2024-06-01", horizon="60d", costs={"ads": 8.0}, margin=0.5)
    >>> table[["acquisition_channel", "repeat_share", "horizon_amount", "net_amount", "roi"]]
      acquisition_channel  repeat_share  horizon_amount  net_amount   roi
    0                 ads           0.5            22.0         7.0  1.75
    1                shop           0.0            32.0         NaN   NaN
    """
    (begin, end), days = as_period(since, as_of, caller=CALLER), as_days(horizon, caller=CALLER)
    level = check_fraction(confidence, name="confidence", caller=CALLER)
    table, known = _bound(transactions, customers)
    told = None if known is None else told_by(known, end, caller=CALLER)
    of_orders = told is None or ACQUIRED_BY not in told
    sales = read_sales(table, as_of=end, margin=margin, by_channel=of_orders, caller=CALLER)
    brought = Newcomers.of(sales, told, begin, costs, caller=CALLER)
    observed = brought.only(is_observed(brought.first_day, end, days, caller=CALLER))
    values = _outcomes(sales, observed, days)
    columns = _counts(brought, observed) | _compared(values, observed, level)
    columns["cost_amount"] = brought.spent
    columns |= _paid(columns, values, observed, level)
    columns["caution"] = _cautions(columns, brought)
    return sales.engine.from_columns({name: columns[name] for name in SCHEMA}, SCHEMA)


# -- inside ------------------------------------------------------------------------------------------------------------


def _bound(transactions: Any, customers: Any) -> tuple[Transactions, Customers | None]:
    """Bind both tables."""
    table = Transactions.bind(transactions)
    if customers is None:
        return table, None
    known = Customers.bind(customers)
    check_same_kind({"transactions": table.engine, "customers": known.engine}, caller=CALLER)
    check_same_ids([table, known], role="customer_id", caller=CALLER)
    if not known.has(ACQUIRED_BY) and not table.has("channel"):
        known.need("customer_id", ACQUIRED_BY, caller=CALLER)
    return table, known


def _outcomes(sales: Sales, observed: Newcomers, days: int) -> dict[str, Vector]:
    """Return first order, second order, amount and margin of each customer observed."""
    bought = followed(sales, observed.customer, observed.first, days)
    return {
        "first_order_amount": bought.total(sales.amount, bought.is_first),
        "repeat": bought.whether(bought.is_later),
        "horizon_amount": bought.total(sales.amount),
        "margin": bought.total(sales.margin),
    }


def _counts(brought: Newcomers, observed: Newcomers) -> Columns:
    size = len(brought.names)
    return {
        ACQUIRED_BY: np.array(brought.names, object),
        "customer_count": np.bincount(brought.channel, minlength=size),
        "observed_count": np.bincount(observed.channel, minlength=size),
    }


def _compared(values: dict[str, Vector], observed: Newcomers, level: float) -> Columns:
    from crmlytics._kernels.like_for_like import against_others, mean_interval
    from crmlytics._kernels.multiple_testing import holm
    from crmlytics._kernels.proportions import wilson
    from crmlytics._kernels.treatment_effects import share_effects

    channel, size = observed.channel, len(observed.names)
    columns: Columns = {}
    for name in ("first_order_amount", "horizon_amount"):
        columns |= with_bounds(name, *mean_interval(values[name], channel, size, level))
    against = against_others(values["horizon_amount"], channel, size, np.zeros(len(channel), np.int64))
    columns |= with_bounds("horizon_difference", against.difference, *against.interval(level))
    total, back = np.bincount(channel, minlength=size), np.bincount(channel, values["repeat"], size).astype(np.int64)
    columns |= with_bounds("repeat_share", over(back, total), *wilson(back, total, level))
    told = share_effects(back, total, back.sum() - back, total.sum() - total, level)
    columns |= with_bounds("repeat_difference", told.difference, told.difference_low, told.difference_high)
    for name, p_value in {"repeat": told.p_value, "horizon": against.p_value()}.items():
        columns |= {f"{name}_p_value": p_value, f"{name}_adjusted_p_value": holm(p_value)}
    return columns


def _paid(columns: Columns, values: dict[str, Vector], observed: Newcomers, level: float) -> Columns:
    """Return what a customer cost, what is left of the margin, and what came back of the cost."""
    size, channel, count = len(observed.names), observed.channel, columns["observed_count"]
    margin = over(sums(channel, values["margin"], size), count)
    cost = over(sums(channel, observed.cost, size), count)
    left = values["margin"] - observed.cost
    lost = (columns["customer_count"] == 0) & (columns["cost_amount"] > 0)  # paid for nobody
    return {
        "horizon_margin_amount": margin,
        "acquisition_cost_amount": cost,
        **with_bounds("net_amount", margin - cost, *_bounds_apart(left, channel, size, level)),
        "return_on_cost": np.where(lost, 0.0, over(columns["horizon_amount"], cost)),
        "roi": np.where(lost, -1.0, over(margin - cost, cost)),
    }


def _bounds_apart(values: Vector, group: Codes, groups: int, level: float) -> tuple[Vector, Vector]:
    """Return bounds of means of groups of which all values are known; NaN of the others."""
    from crmlytics._kernels.like_for_like import mean_interval

    unknown = np.bincount(group[np.isnan(values)], minlength=groups) > 0
    kept = ~unknown[group]
    low, high = np.full((2, groups), np.nan)
    if kept.any():
        low, high = mean_interval(values[kept], group[kept], groups, level)[1:]
    return low, high


def _cautions(columns: Columns, brought: Newcomers) -> NDArray[Any]:
    count, seen = columns["customer_count"], columns["observed_count"]
    return cautions(len(seen), [
        (brought.cut_off, "The data seem to begin amid the business: old customers look new."),
        (brought.left_out > 0, f"Left out: {brought.left_out:,} who had joined before the data begin."),
        (count == 0, "It brought nobody, or customers call it otherwise."),
        ((count > 0) & (seen == 0), "Of none of its customers the horizon is over."),
        ((seen > 0) & (seen < FEW), f"Fewer than {FEW} customers."),
        (seen == seen.sum(), "No other customers to compare with."),
        (columns[ACQUIRED_BY] == UNKNOWN, "How these customers came is not known."),
    ], first=NO_CAUSE)  # fmt: skip
