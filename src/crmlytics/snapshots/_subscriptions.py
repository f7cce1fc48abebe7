"""What contracts a customer had at a cutoff, when those running then had no end yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import day_number
from crmlytics.snapshots._sources import fills, flag, is_known, per_customer, recency

if TYPE_CHECKING:
    import datetime as dt

    from crmlytics.tables import Subscriptions

__all__ = ["fills", "subscription_features"]

CALLER = "subscription_features"
IN_ORDER = ["started_at", "plan"]


def subscription_features(subscriptions: Subscriptions, cutoff: dt.datetime) -> nw.LazyFrame[Any]:
    """Describe each customer's subscriptions started before ``cutoff``, by what was known of them then.

    Parameters
    ----------
    subscriptions : Subscriptions
        Needs ``customer_id`` and ``started_at``.
    cutoff : datetime
        Nothing at or after it is read: a subscription that ends then or later runs.

    Returns
    -------
    LazyFrame, one row per customer who ever subscribed
        ``subscription_count`` (Int64, all so far), ``running_subscription_count`` (Int64), ``subscription_days``
        (Int64, calendar days since the first start), ``running_days`` (Float64, since the start of the oldest that
        runs; null if none does), ``end_recency_days`` (Float64, since the last end; null before any); with ``price``:
        ``running_price_amount`` (Float64, of a billing period, of all that run); with ``plan``: ``running_plan``
        (String, of the one that runs and began last; of those of one moment the last by name), ``plan_change_count``
        (Int64, starts of another plan than that of the start before).

    Notes
    -----
    ``price`` and ``plan`` have no date of their own: they are taken to hold from the start of the subscription. If your
    system overwrites them, close the old line and open a new one at each change.
    """
    roles = [role for role in ("ended_at", "plan", "price") if subscriptions.has(role)]
    lines = subscriptions.before(cutoff).need("customer_id", "started_at", *roles, caller=CALLER)
    ended = is_known("ended_at", cutoff) if "ended_at" in roles else nw.lit(value=False)
    lines = lines.with_columns(_ended=ended).with_columns(
        _age=_age("started_at", ~nw.col("_ended"), cutoff),
        _silence=_age("ended_at", nw.col("_ended"), cutoff) if "ended_at" in roles else nw.lit(None).cast(nw.Float64),
    )
    flags = {"subscription_count": nw.lit(1).cast(nw.Int64), "running_subscription_count": flag(~nw.col("_ended"))}
    if "price" in roles:
        price = nw.col("price").fill_null(0.0)
        flags["running_price_amount"] = nw.when(~nw.col("_ended")).then(price).otherwise(nw.lit(0.0))
    ages = {"_first": nw.col("started_at").min(), "running_days": nw.col("_age").max()}
    plans = {}
    if "plan" in roles:
        lines = _in_order(lines)
        flags["plan_change_count"] = flag(nw.col("_begins_run") & (nw.col("_number") > 1))
        plans["running_plan"] = nw.col("_running_plan").max()
    customers = per_customer(lines, flags, **ages, end_recency_days=nw.col("_silence").min(), **plans)
    return customers.select(
        "customer_id",
        *flags,
        subscription_days=recency("_first", cutoff),
        running_days=nw.col("running_days").cast(nw.Float64),
        end_recency_days=nw.col("end_recency_days").cast(nw.Float64),
        **{name: nw.col(name).cast(nw.String) for name in plans},
    )


def _age(moment: str, known: nw.Expr, cutoff: dt.datetime) -> nw.Expr:
    """Calendar days from a moment to the cutoff as Float64, null where it is not ``known``."""
    date = nw.when(known).then(nw.col(moment)).otherwise(nw.lit(cutoff))
    days = (day_number(nw.lit(cutoff)) - day_number(date)).cast(nw.Float64)
    return nw.when(known).then(days).otherwise(None).cast(nw.Float64)


def _in_order(lines: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Mark where a run of one plan begins, and the plan that runs and began last: windows, no join.

    Plans are in order of their start, those of one moment by name. Within a run of one plan, its number among all lines
    and its number among the lines of the plan grow together, so their difference names the run.
    """
    known, one = ~nw.col("plan").is_null(), nw.lit(1).cast(nw.Int64)
    lines = lines.with_columns(plan=nw.col("plan").cast(nw.String).fill_null(""), _known=flag(known), _one=one)
    customer, running = ["customer_id", "_known"], flag(~nw.col("_ended"))
    lines = lines.with_columns(_number=nw.col("_one").cum_sum().over(*customer, order_by=IN_ORDER))
    lines = lines.with_columns(
        _run=nw.col("_number") - nw.col("_one").cum_sum().over(*customer, "plan", order_by="_number"),
        _backwards=-nw.col("_number"),
        _running=running,
    ).with_columns(
        _in_run=nw.col("_one").cum_sum().over(*customer, "plan", "_run", order_by="_number"),
        _running_later=nw.col("_running").cum_sum().over(*customer, order_by="_backwards"),
    )
    is_last = (nw.col("_known") == 1) & (nw.col("_running") == 1) & (nw.col("_running_later") == 1)
    return lines.with_columns(
        _begins_run=(nw.col("_known") == 1) & (nw.col("_in_run") == 1),
        _running_plan=nw.when(is_last).then(nw.col("plan")),
    )
