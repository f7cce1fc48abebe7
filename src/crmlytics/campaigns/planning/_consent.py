"""What customers said about being contacted: the last word counts, and a no counts until a later yes."""

from __future__ import annotations

import datetime as dt
from functools import reduce
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics.campaigns._reading import is_contact
from crmlytics.campaigns.planning._records import in_force, records_of
from crmlytics.snapshots._sources import flag

if TYPE_CHECKING:
    from crmlytics.tables import Contacts, Customers

ALWAYS = dt.datetime(1, 1, 2)  # the first day that every engine can hold, whatever the zone
SAID = ("customer_id", "_agreed_at", "_refused_at", "_answered_yes")


def people_at(customers: Customers, moment: dt.datetime, *, caller: str) -> nw.LazyFrame[Any]:
    """Return the customers on record just before a moment: ``customer_id``, ``_agrees`` and ``_refuses`` (0 or 1).

    ``_refuses`` is the no of a table without dates, which nothing that has a date can be later than. Of rows that
    contradict each other only a yes of all is one.
    """
    is_dated, has_consent = customers.has("valid_from"), customers.has("consent")
    lines = in_force(records_of(customers, *["consent"] * has_consent, caller=caller), moment)
    no_consent = nw.lit(0).cast(nw.Int64)
    agrees = flag(nw.col("consent")) if has_consent else no_consent
    refuses = flag(~nw.col("consent")) if has_consent and not is_dated else no_consent
    marked = lines.select("customer_id", _agrees=agrees, _refuses=refuses)
    return marked.group_by("customer_id").agg(nw.col("_agrees").min(), nw.col("_refuses").max())


def statements(
    customers: Customers, contacts: Contacts | None, moment: dt.datetime, *, control: str, caller: str
) -> nw.LazyFrame[Any] | None:
    """Return when each customer last agreed and refused, in dated rows before the moment and in answers to contacts.

    ``_agreed_at`` and ``_refused_at`` (null if never), ``_answered_yes`` (0 or 1, ever to a contact); None if nothing
    that has a date tells of consent.
    """
    said = []
    if customers.has("valid_from", "consent"):
        said.append(_on_record(customers, moment, caller=caller))
    if contacts is not None and contacts.has("consent"):
        said.append(_answered(contacts, control, caller=caller))
    if not said:
        return None
    last = reduce(lambda one, other: nw.concat([one, other]), said).group_by("customer_id")
    return last.agg(*[nw.col(name).max() for name in SAID[1:]])


def _answered(contacts: Contacts, control: str, *, caller: str) -> nw.LazyFrame[Any]:
    """Date the answers to contacts: who was not contacted was asked nothing, so a yes is none there; a no counts."""
    roles = ["arm"] if contacts.has("arm") else []
    lines = contacts.need("customer_id", "timestamp", "consent", *roles, caller=caller)
    if roles:
        no_answer = nw.col("consent") & ~is_contact(control)
        lines = lines.filter(~no_answer.fill_null(value=False))
    return _dated(lines, "timestamp", _answered_yes=flag(nw.col("consent")))


def _on_record(customers: Customers, moment: dt.datetime, *, caller: str) -> nw.LazyFrame[Any]:
    """Date a yes from the first row after a no that says so: a row that carries it on does not give it again."""
    lines = customers.need("customer_id", "valid_from", "consent", caller=caller)
    lines = lines.with_columns(nw.col("valid_from").fill_null(ALWAYS)).filter(nw.col("valid_from") < moment)
    lines = _dated(lines, "valid_from", _answered_yes=nw.lit(0).cast(nw.Int64))
    refused = lines.group_by("customer_id").agg(_last_no=nw.col("_refused_at").max())
    since = (nw.col("_agreed_at") > nw.col("_last_no")).fill_null(value=False) | nw.col("_last_no").is_null()
    agreed = nw.when(since).then(nw.col("_agreed_at"))
    runs = lines.join(refused, on="customer_id", how="left").with_columns(_agreed_at=agreed)
    found = runs.group_by("customer_id").agg(
        nw.col("_agreed_at").min(), nw.col("_refused_at").max(), nw.col("_answered_yes").max()
    )
    return found.select(*SAID)


def _dated(lines: nw.LazyFrame[Any], moment: str, *, _answered_yes: nw.Expr) -> nw.LazyFrame[Any]:
    """Give every yes and every no its moment."""
    yes, no = nw.col("consent").fill_null(value=False), ~nw.col("consent").fill_null(value=True)
    dates = {"_agreed_at": nw.when(yes).then(nw.col(moment)), "_refused_at": nw.when(no).then(nw.col(moment))}
    return lines.with_columns(**dates, _answered_yes=_answered_yes).select(*SAID)
