"""Families of features that need more than sums over orders: intervals, breadth, channels."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import day_number, days_between
from crmlytics._orders import gather
from crmlytics._periods import ratio
from crmlytics.snapshots._history import at_level, levels_of
from crmlytics.snapshots._joining import beside

if TYPE_CHECKING:
    from crmlytics.snapshots._history import History


def intervals(history: History) -> nw.LazyFrame[Any]:
    """``mean_interval_days``, ``interval_cv``, ``overdue_ratio``: the days between a customer's days with an order.

    Their mean, their coefficient of variation (sample standard deviation by mean) and ``recency_days`` by their mean.
    Null where there is no interval; ``interval_cv`` where there are less than two.
    """
    ordered = history.orders.with_columns(_day=day_number(nw.col("ordered_at")))
    days = ordered.group_by("customer_id", "_day").agg(_last=nw.col("completed_at").max())
    before = nw.col("_day").shift(1).over("customer_id", order_by="_day")
    gaps = days.with_columns(_gap=(nw.col("_day") - before).cast(nw.Float64).fill_null(0.0))
    gaps = gaps.with_columns(_square=nw.col("_gap") * nw.col("_gap"), _is_gap=(nw.col("_gap") > 0).cast(nw.Int64))
    summed = gaps.group_by("customer_id").agg(
        nw.col("_last").max(), nw.col("_gap").sum(), nw.col("_square").sum(), nw.col("_is_gap").sum()
    )
    described = summed.with_columns(
        _mean=ratio("_gap", "_is_gap"),
        _recency=days_between(nw.col("_last"), history.cutoff),
        _others=nw.col("_is_gap") - 1,
        _deviations=nw.col("_square") - nw.col("_gap") * nw.col("_gap") / _positive(nw.col("_is_gap")),
    ).with_columns(_variance=ratio("_deviations", "_others"))
    spread = nw.when(nw.col("_variance") > 0).then(nw.col("_variance")).otherwise(nw.lit(0.0)) ** 0.5  # no -1e-12
    return described.select(
        "customer_id",
        mean_interval_days=nw.col("_mean"),
        interval_cv=nw.when(nw.col("_others") > 0).then(spread / nw.col("_mean")).otherwise(None),
        overdue_ratio=ratio("_recency", "_mean"),
    )


def breadth(history: History) -> nw.LazyFrame[Any]:
    """``product_count``, ``top_product_share``; as many for categories and departments: how wide a customer buys.

    How many different ones a customer bought and did not give back, and the largest one's share of their amount.
    """
    levels = levels_of(history.transactions, history.products)
    return reduce(beside, [_breadth(history, level) for level in levels], _everybody(history))


def channels(history: History) -> nw.LazyFrame[Any]:
    """``channel_count``, ``top_channel_share``, ``last_channel``: where a customer orders.

    How many channels, the share of the orders of the channel with the most, and the channel of the last order (of those
    of one moment the first by name).
    """
    lines = history.lines.filter(~nw.col("channel").is_null())
    orders = gather(lines, "customer_id", "order_id", "channel", _last=nw.col("timestamp").max())
    grouped = orders.filter(nw.col("is_order") == 1).group_by("customer_id", "channel")
    used = grouped.agg(_orders=nw.col("is_order").sum(), _last=nw.col("_last").max())
    summed = used.group_by("customer_id").agg(
        channel_count=nw.len(),
        _all=nw.col("_orders").sum(),
        _most=nw.col("_orders").max(),
        _latest=nw.col("_last").max(),
    )
    latest = used.join(summed.select("customer_id", "_latest"), on="customer_id", how="inner")
    in_last_order = latest.filter(nw.col("_last") == nw.col("_latest"))
    named = in_last_order.group_by("customer_id").agg(last_channel=nw.col("channel").min())
    return summed.join(named, on="customer_id", how="inner").select(
        "customer_id", "channel_count", nw.col("last_channel").cast(nw.String), top_channel_share=ratio("_most", "_all")
    )


# -- inside --------------------------------------------------------------------------------------------------------


def _everybody(history: History) -> nw.LazyFrame[Any]:
    return history.lines.select("customer_id").unique()


def _breadth(history: History, level: str) -> nw.LazyFrame[Any]:
    name = level.removesuffix("_id")
    bought = gather(at_level(history.lines, level, history.products), "customer_id", level)
    summed = (
        bought.filter(nw.col("is_order") == 1)
        .group_by("customer_id")
        .agg(_count=nw.col("is_order").sum(), _all=nw.col("amount").sum(), _most=nw.col("amount").max())
    )
    return summed.select(
        "customer_id", **{f"{name}_count": nw.col("_count"), f"top_{name}_share": ratio("_most", "_all")}
    )


def _positive(count: nw.Expr) -> nw.Expr:
    return nw.when(count > 0).then(count).otherwise(nw.lit(1))
