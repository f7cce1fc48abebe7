"""How often campaigns contacted a customer before a cutoff, and how the contacts old enough were answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._periods import ratio
from crmlytics.snapshots._sources import fills, flag, is_older, per_customer, recency, window_flags

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from crmlytics.tables import Contacts

__all__ = ["contact_features", "fills"]

CALLER = "contact_features"
RESPONSE_DAYS = 30
CONTROL_ARMS = ("control", "holdout", "hold-out", "hold_out", "hold out", "held out", "kontrolle", "not contacted")


def contact_features(
    contacts: Contacts, cutoff: dt.datetime, lookbacks: Sequence[int], *, response_days: int = RESPONSE_DAYS
) -> nw.LazyFrame[Any]:
    """Describe each customer's contacts strictly before ``cutoff``, and the answers to those old enough.

    Parameters
    ----------
    contacts : Contacts
        Needs ``customer_id`` and ``timestamp``.
    cutoff : datetime
    lookbacks : whole numbers of days
    response_days : int, default 30
        ``responded`` and ``amount`` have no date of their own. They are read only of contacts at least so many days
        before the cutoff, so this must be the time your campaigns wait for an answer: an answer that came later than
        that, and later than the cutoff, would be read too early.

    Returns
    -------
    LazyFrame, one row per customer with a contact
        ``contact_count`` and ``contact_count_<days>d`` (Int64), ``contact_recency_days`` (Int64, calendar days since
        the last); with ``responded``: ``response_count`` (Int64) and ``response_share`` (Float64), of the contacts old
        enough whose answer is known; with ``amount``: ``response_amount`` (Float64, of the contacts old enough).

    Notes
    -----
    With ``arm``, lines of the control group ("control", "holdout", "not contacted") are no contacts.
    """
    roles = [role for role in ("arm", "responded", "amount") if contacts.has(role)]
    lines = contacts.before(cutoff).need("customer_id", "timestamp", *roles, caller=CALLER)
    if "arm" in roles:
        lines = lines.filter(not_held_out())
    old_enough = is_older("timestamp", response_days, cutoff)
    flags, shown = window_flags("contact", "timestamp", lookbacks, cutoff), {}
    if "responded" in roles:
        flags["_asked"] = flag(old_enough & ~nw.col("responded").is_null())
        flags["response_count"] = flag(old_enough & nw.col("responded").fill_null(value=False))
        shown["response_share"] = ratio("response_count", "_asked")
    if "amount" in roles:
        amount = nw.col("amount").fill_null(0.0)
        flags["response_amount"] = nw.when(old_enough).then(amount).otherwise(nw.lit(0.0))
    customers = per_customer(lines, flags, _last=nw.col("timestamp").max())
    columns = [name for name in flags if not name.startswith("_")]
    return customers.select("customer_id", *columns, contact_recency_days=recency("_last", cutoff), **shown)


def not_held_out(control: Any = None, *, arm: str = "arm") -> nw.Expr:
    """Whether a line is no line of the control group: ``control`` is its arm, by default any of ``CONTROL_ARMS``."""
    words = nw.col(arm).cast(nw.String).fill_null("").str.strip_chars().str.to_lowercase()
    return ~words.is_in(CONTROL_ARMS if control is None else (str(control).strip().lower(),))
