"""What each channel did in a period: customers, orders, money, visits and what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._cautions import cautions
from crmlytics._kernels.ratios import over
from crmlytics._validation import as_period, check_fraction
from crmlytics.channels._reading import (
    CHANNEL,
    FEW,
    NO_CAUSE,
    UNKNOWN,
    channel_costs,
    read_sales,
    sorted_names,
    sums,
)
from crmlytics.channels._visits import read_visits

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from crmlytics.channels._reading import Codes, Sales
    from crmlytics.channels._visits import Visits
    from crmlytics.tables import Events, Transactions

    Columns = dict[str, NDArray[Any]]

CALLER = "channel_table"
SCHEMA = nw.Schema({
    CHANNEL: nw.String(), "customer_count": nw.Int64(), "order_count": nw.Int64(), "amount": nw.Float64(),
    "amount_share": nw.Float64(), "amount_per_order": nw.Float64(), "amount_per_order_low": nw.Float64(),
    "amount_per_order_high": nw.Float64(), "orders_per_customer": nw.Float64(),
    "repeat_customer_count": nw.Int64(), "repeat_share": nw.Float64(), "repeat_share_low": nw.Float64(),
    "repeat_share_high": nw.Float64(), "margin_amount": nw.Float64(), "visit_count": nw.Int64(),
    "converting_visit_count": nw.Int64(), "conversion_share": nw.Float64(), "conversion_share_low": nw.Float64(),
    "conversion_share_high": nw.Float64(), "cost_amount": nw.Float64(), "return_on_cost": nw.Float64(),
    "roi": nw.Float64(), "caution": nw.String(),
})  # fmt: skip


def channel_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    since: str | dt.date | dt.datetime | None = None,
    events: Events | Any = None,
    conversion: Any = "purchase",
    costs: Mapping[Any, float] | None = None,
    margin: float | None = None,
    confidence: float = 0.95,
) -> Any:
    """Tell what each channel did: whom it served, what was bought, how visits went, what it cost.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp``, ``amount`` and ``channel``; a line without a channel is of
        ``"(unknown)"``. With ``cost`` the margin is told.
    as_of : date
        Only what was before it is read.
    since : date, optional
        The beginning of the period; by default that of the data.
    events : Events or dataframe of the same kind, optional
        What was clicked: needs ``timestamp``, ``channel`` and ``session_id`` or ``customer_id``. A visit is a session,
        else a customer's day; its channel is that of its first event that has one. Channels are matched to those of
        orders by name.
    conversion : str or int, default "purchase"
        The event that makes a visit a converting one.
    costs : dict of channel to amount, optional
        What each channel cost in the period; one that nobody ordered through has a row, too. By default what its
        events cost, where ``Events.cost`` is bound.
    margin : share, optional
        How much of an amount is margin, such as 0.3. By default amounts less the ``cost`` of lines, where bound.
    confidence : float, default 0.95

    Returns
    -------
    dataframe of the kind that came in, one row per channel, sorted by it, ``"(unknown)"`` last
        ``channel`` (String), ``customer_count`` (Int64, customers with an order through it), ``order_count`` (Int64),
        ``amount`` (Float64, returns taken off), ``amount_share`` (of all revenue; null where that is not above zero),
        ``amount_per_order`` (of its orders, credit notes not taken off), ``amount_per_order_low``,
        ``amount_per_order_high`` (orders of one customer are taken for alike), ``orders_per_customer`` (Float64),
        ``repeat_customer_count`` (Int64, its customers with two orders or more in the period through whatever
        channels), ``repeat_share`` (Float64, of its customers), ``repeat_share_low``, ``repeat_share_high``,
        ``margin_amount`` (Float64, null where it is not known of every line), ``visit_count``,
        ``converting_visit_count`` (Int64, 0 without events), ``conversion_share`` (Float64, of its visits; null where
        events have no names), ``conversion_share_low``, ``conversion_share_high``, ``cost_amount``, ``return_on_cost``
        (``amount / cost_amount``, before any margin), ``roi`` (``(margin_amount - cost_amount) / cost_amount``; all
        Float64, null where not known, of ``"(unknown)"``, and where events name the channel and no order does: orders
        may call it otherwise), ``caution`` (String).

    Raises
    ------
    SchemaError, MissingColumnsError
        When a role is missing, no line lies in the period, or costs seem to misspell a channel.

    Warns
    -----
    DataQualityWarning
        When channels differ in case or blanks only.

    Notes
    -----
    Amounts, shares and visits add up over the rows. An order with lines of two channels is one of each, and a customer
    of two is counted in both. Customers who came late in the period had less time for a second order: compare
    ``repeat_share`` between channels of one age only, or take :func:`acquisition_channel_table`, which gives all the
    same time. Intervals: Student's for amounts and Wilson's for shares, with customers as clusters.

    **When not to use it**: to move a budget. A channel is credited here with all that passed through it; part of that
    would have come another way. :func:`attribution_table` shares credit among touchpoints, also where orders and
    events name channels differently, and an experiment tells effects.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.channels.performance import channel_table
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "a", "b", "c"], "order_id": [1, 2, 3, 4], "amount": [10.0, 30.0, 40.0, 20.0],
    ...     "channel": ["web", "store", "store", None], "timestamp": pd.to_datetime(["2024-01-01"] * 4),
    ... })
    >>> table = channel_table(orders, as_of="2024-02-01", costs={"web": 5.0})
    >>> table[["channel", "customer_count", "amount_share", "repeat_share", "return_on_cost"]]
         channel  customer_count  amount_share  repeat_share  return_on_cost
    0      store               2           0.7           0.5             NaN
    1        web               1           0.1           1.0             2.0
    2  (unknown)               1           0.2           0.0             NaN
    """
    level = check_fraction(confidence, name="confidence", caller=CALLER)
    begin, end = as_period(since, as_of, caller=CALLER)
    sales = read_sales(transactions, as_of=end, since=begin, margin=margin, caller=CALLER)
    visits = None if events is None else read_visits(events, sales.engine, (begin, end), conversion, caller=CALLER)
    known = [*sales.names, *(set() if visits is None else set(visits.channel))]
    paid = channel_costs(costs, known, caller=CALLER) if costs is not None else {} if visits is None else visits.costs
    names = sorted_names([*known, *paid], caller=CALLER)
    columns = {CHANNEL: np.array(names, object)} | _sold(sales, names, level) | _visited(visits, names, level)
    columns |= _paid(columns, paid)
    columns["caution"] = _cautions(columns)
    return sales.engine.from_columns({name: columns[name] for name in SCHEMA}, SCHEMA)


# -- inside --------------------------------------------------------------------------------------------------------


def _sold(sales: Sales, names: list[str], level: float) -> Columns:
    from crmlytics._kernels.clustered_means import group_means
    from crmlytics._kernels.proportions import wilson

    place = np.array([names.index(name) for name in sales.names], np.int64)
    channel, size, bought = place[sales.channel], len(names), sales.is_order
    order_count = np.bincount(channel[bought], minlength=size)
    amount = sums(channel, sales.amount, size)
    means = group_means(sales.amount[bought], channel[bought], size, cluster=sales.customer[bought])
    low, high = means.interval(level)
    customers, repeated = _customers(sales, place, size)
    repeat_low, repeat_high = wilson(repeated, customers, level)
    return {
        "customer_count": customers, "order_count": order_count, "amount": amount,
        "amount_share": over(amount, np.full(size, amount.sum())), "amount_per_order": means.mean,
        "amount_per_order_low": low, "amount_per_order_high": high,
        "orders_per_customer": over(order_count, customers), "repeat_customer_count": repeated,
        "repeat_share": over(repeated, customers), "repeat_share_low": repeat_low, "repeat_share_high": repeat_high,
        "margin_amount": np.where(sales.has_margin, sums(channel, sales.margin, size), np.nan),
    }  # fmt: skip


def _customers(sales: Sales, place: Codes, size: int) -> tuple[Codes, Codes]:
    """Count the customers of each channel, and those of them who ordered twice anywhere."""
    uses = sales.uses(np.ones(len(sales.order), bool))
    counts, again = np.zeros(size, np.int64), np.zeros(size, np.int64)
    counts[place] = uses.sum(axis=0)
    again[place] = uses[sales.order_counts() > 1].sum(axis=0)
    return counts, again


def _visited(visits: Visits | None, names: list[str], level: float) -> Columns:
    """Return visits and how many of them converted; missing where nobody knows."""
    from crmlytics._kernels.clustered_means import group_means

    columns: Columns = dict.fromkeys(("visit_count", "converting_visit_count"), np.zeros(len(names), np.int64))
    columns |= dict.fromkeys([f"conversion_share{end}" for end in ("", "_low", "_high")], np.full(len(names), np.nan))
    if visits is None:
        return columns
    number = {name: place for place, name in enumerate(names)}
    channel = np.array([number[name] for name in visits.channel], np.int64)
    columns["visit_count"] = np.bincount(channel, minlength=len(names))
    if visits.is_converted is not None:
        done = visits.is_converted.astype(np.float64)
        shares = group_means(done, channel, len(names), cluster=visits.visitor)
        low, high = shares.share_interval(level)
        columns["converting_visit_count"] = np.bincount(channel[visits.is_converted], minlength=len(names))
        columns |= {"conversion_share": shares.mean, "conversion_share_low": low, "conversion_share_high": high}
    return columns


def _paid(columns: Columns, paid: dict[str, float]) -> Columns:
    """Return what channels cost, and what came back of it where cost and orders are surely of one channel."""
    cost = np.array([paid.get(name, np.nan) for name in columns[CHANNEL]], np.float64)
    held = np.where((columns[CHANNEL] == UNKNOWN) | _is_only_visited(columns), np.nan, cost)
    return {
        "cost_amount": cost,
        "return_on_cost": over(columns["amount"], held),
        "roi": over(columns["margin_amount"] - cost, held),
    }


def _is_only_visited(columns: Columns) -> Any:
    return (columns["order_count"] == 0) & (columns["visit_count"] > 0)


def _cautions(columns: Columns) -> NDArray[Any]:
    sold, visited, costs = columns["order_count"] > 0, _is_only_visited(columns), ~np.isnan(columns["cost_amount"])
    return cautions(len(sold), [
        (visited, "Visits and no order name this channel: attribution_table credits channels that orders do not name."),
        (~sold & ~visited & costs, "Nobody ordered through it, or orders call it otherwise."),
        (sold & (columns["customer_count"] < FEW), f"Fewer than {FEW} customers."),
        (columns["amount"] < 0, "More came back than was sold."),
        (sold & costs, "Its cost is held against all that passed through it, not what it caused."),
    ], first=NO_CAUSE)  # fmt: skip
