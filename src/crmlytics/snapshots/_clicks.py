"""What a customer did on the site or elsewhere before a cutoff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics.snapshots._sources import fills, flag, per_customer, recency, window_flags

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from crmlytics.tables import Events

__all__ = ["click_features", "fills"]

CALLER = "click_features"
DIFFERENT = {"event": "event_kind", "page": "event_page", "session_id": "event_session", "channel": "event_channel"}


def click_features(events: Events, cutoff: dt.datetime, lookbacks: Sequence[int]) -> nw.LazyFrame[Any]:
    """Describe each customer's events strictly before ``cutoff``.

    Parameters
    ----------
    events : Events
        Needs ``customer_id`` and ``timestamp``.
    cutoff : datetime
    lookbacks : whole numbers of days

    Returns
    -------
    LazyFrame, one row per customer with an event
        ``event_count`` and ``event_count_<days>d`` (Int64), ``event_recency_days`` (Int64, calendar days since the
        last), ``event_day_count`` (Int64, different days), and for each role bound the number of different ones
        (Int64): ``event_kind_count`` (``event``), ``event_page_count`` (``page``), ``event_session_count``
        (``session_id``), ``event_channel_count`` (``channel``).

    Notes
    -----
    For hours, bounces and single kinds of events see :func:`crmlytics.clickstream.visitor_table`.
    """
    roles = [role for role in DIFFERENT if events.has(role)]
    lines = events.before(cutoff).need("customer_id", "timestamp", *roles, caller=CALLER)
    lines = lines.with_columns(_day=nw.col("timestamp").dt.truncate("1d"))
    flags = window_flags("event", "timestamp", lookbacks, cutoff)
    gaps = {f"_gaps_{role}": flag(nw.col(role).is_null()) for role in roles}
    different = {f"_{role}": nw.col(role).n_unique() for role in ["_day", *roles]}
    customers = per_customer(lines, flags | gaps, _last=nw.col("timestamp").max(), **different)
    counts = {f"{DIFFERENT[role]}_count": _different(role) for role in roles}
    return customers.select(
        "customer_id",
        *flags,
        event_recency_days=recency("_last", cutoff),
        event_day_count=nw.col("__day").cast(nw.Int64),
        **counts,
    )


def _different(role: str) -> nw.Expr:
    """Count the different known values: ``n_unique`` counts a gap as one."""
    gap = (nw.col(f"_gaps_{role}") > 0).cast(nw.Int64)
    return nw.col(f"_{role}").cast(nw.Int64) - gap
