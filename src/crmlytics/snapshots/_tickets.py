"""What a customer's tickets said at a cutoff, when those open then had no ending yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._periods import ratio
from crmlytics.snapshots._sources import days_from, fills, flag, is_known, is_older, per_customer, recency, window_flags

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from crmlytics.tables import Tickets

__all__ = ["fills", "ticket_features"]

CALLER = "ticket_features"
MARK_DAYS = 7  # a mark has no date of its own: by then after the closing it has been given


def ticket_features(tickets: Tickets, cutoff: dt.datetime, lookbacks: Sequence[int]) -> nw.LazyFrame[Any]:
    """Describe each customer's tickets opened before ``cutoff``, by what was known of them then.

    Parameters
    ----------
    tickets : Tickets
        Needs ``ticket_id``, ``customer_id`` and ``opened_at``.
    cutoff : datetime
        Nothing at or after it is read: a ticket closed later is open, its mark unknown.
    lookbacks : whole numbers of days

    Returns
    -------
    LazyFrame, one row per customer with a ticket
        ``ticket_count`` and ``ticket_count_<days>d`` (Int64), ``ticket_recency_days`` (Int64, calendar days since the
        last was opened); with ``closed_at``: ``open_ticket_count`` (Int64), ``mean_closing_days`` (Float64, of those
        closed); with ``first_reply_at``: ``unanswered_ticket_count`` (Int64, open or closed without a first reply),
        ``mean_reply_days`` (Float64, of those answered); with ``reopened_at``: ``reopened_ticket_count`` (Int64); with
        ``closed_at`` and ``satisfaction``: ``mean_satisfaction`` (Float64, of tickets closed at least seven days
        before, since a mark has no date of its own).

    Notes
    -----
    A table of tickets holds one ``closed_at``: that of a ticket closed, reopened and closed again is the last. Such a
    ticket counts as open until then. ``category`` and ``priority`` change while a ticket is worked on: they are not
    read.
    """
    endings = [role for role in ("closed_at", "first_reply_at", "reopened_at", "satisfaction") if tickets.has(role)]
    lines = tickets.before(cutoff).need("ticket_id", "customer_id", "opened_at", *endings, caller=CALLER)
    flags, shown = window_flags("ticket", "opened_at", lookbacks, cutoff), {}
    if "closed_at" in endings:
        flags |= _ended("closed_at", "_closed", "open_ticket_count", cutoff)
        shown["mean_closing_days"] = ratio("_closed_days", "_closed")
    if "first_reply_at" in endings:
        flags |= _ended("first_reply_at", "_replied", "unanswered_ticket_count", cutoff)
        shown["mean_reply_days"] = ratio("_replied_days", "_replied")
    if "reopened_at" in endings:
        flags["reopened_ticket_count"] = flag(is_known("reopened_at", cutoff))
    if {"closed_at", "satisfaction"} <= set(endings):
        flags |= _marks(cutoff)
        shown["mean_satisfaction"] = ratio("_marks", "_marked")
    customers = per_customer(lines, flags, _last=nw.col("opened_at").max())
    counts = [name for name in flags if not name.startswith("_")]
    return customers.select("customer_id", *counts, ticket_recency_days=recency("_last", cutoff), **shown)


def _ended(moment: str, ended: str, pending: str, cutoff: dt.datetime) -> dict[str, nw.Expr]:
    known = is_known(moment, cutoff)
    return {ended: flag(known), f"{ended}_days": days_from("opened_at", moment, known), pending: flag(~known)}


def _marks(cutoff: dt.datetime) -> dict[str, nw.Expr]:
    marked = is_older("closed_at", MARK_DAYS, cutoff) & ~nw.col("satisfaction").is_null()
    return {"_marked": flag(marked), "_marks": nw.when(marked).then(nw.col("satisfaction")).otherwise(nw.lit(0.0))}
