"""What the arguments of Snapshots have to be, held against one another and against the data."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import check_same_kind, collect
from crmlytics._validation import as_moment, warn
from crmlytics.exceptions import SchemaError
from crmlytics.snapshots._history import CALLER
from crmlytics.tables import Contacts, Customers, Events, Products, Subscriptions, Tickets, check_same_ids

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crmlytics._contract import Contract
    from crmlytics.tables import Transactions

OTHERS: dict[str, type[Contract]] = {
    "events": Events,
    "tickets": Tickets,
    "contacts": Contacts,
    "customers": Customers,
    "products": Products,
    "subscriptions": Subscriptions,
}
SHOWN = 5
DAY = dt.timedelta(days=1)


def bind_others(given: Mapping[str, Any], transactions: Transactions) -> dict[str, Contract]:
    """Bind the tables beside the transactions; all of one library, with ids of one kind."""
    tables = {name: OTHERS[name].bind(table) for name, table in given.items()}
    check_same_kind(
        {"transactions": transactions.engine} | {name: table.engine for name, table in tables.items()}, caller=CALLER
    )
    for name, table in tables.items():
        table.need("product_id" if name == "products" else "customer_id", caller=CALLER)
        for role in ("customer_id", "product_id"):
            check_same_ids([transactions, table], role=role, caller=CALLER)
    return tables


def check_known(transactions: Transactions, cutoff: dt.datetime) -> None:
    """Refuse a cutoff before any line: asked of the lines before it alone, as everything that features read."""
    if _moments(transactions.before(cutoff)) is None:
        begin = _moments(transactions)
        since = f": the data begin on {begin[0]:%Y-%m-%d %H:%M}" if begin else ""
        msg = f"{CALLER}: nothing was known at the cutoff {cutoff:%Y-%m-%d}{since}. Leave out the cutoffs up to then."
        raise SchemaError(msg)


def check_labels_known(
    transactions: Transactions, cutoff: dt.datetime, wait: dt.timedelta, *, observed_until: dt.datetime | None
) -> None:
    """Refuse a last cutoff whose label window reaches beyond the data."""
    until, told = observed_until, "observed_until"
    if until is None:
        _, last = _moments(transactions) or (cutoff, cutoff)
        until, told = dt.datetime.combine(last.date(), dt.time()) + DAY, f"last line {last:%Y-%m-%d %H:%M}"
    if cutoff > until - wait:
        msg = (
            f"{CALLER}: the labels of the cutoff {cutoff:%Y-%m-%d} need {wait.days} days (gap + horizon), to "
            f"{cutoff + wait:%Y-%m-%d}, and the data are known until {until:%Y-%m-%d} ({told}). The last cutoff "
            f"possible is {until - wait:%Y-%m-%d}. Take earlier cutoffs or a shorter horizon, or say observed_until= "
            "if the data are complete up to a later day. To score customers today no label is needed: features_table."
        )
        raise SchemaError(msg)


def check_eligible(table: nw.LazyFrame[Any], cutoffs: Sequence[dt.datetime], *, rule: str) -> None:
    """Refuse an empty table; warn of cutoffs at which nobody is eligible."""
    found = collect(table.select("cutoff").unique())["cutoff"].to_list()
    there = {as_moment(moment, name="cutoff", caller=CALLER) for moment in found}
    empty = [moment for moment in cutoffs if moment not in there]
    if not empty:
        return
    dates = ", ".join(f"{moment:%Y-%m-%d}" for moment in empty[:SHOWN])
    msg = f"{CALLER}: nobody is eligible ({rule}) at {len(empty)} of {len(cutoffs)} cutoffs: {dates}."
    if len(empty) == len(cutoffs):
        repair = " Take cutoffs within the data, or a longer active_within (None: whoever ever ordered)."
        raise SchemaError(msg + repair)
    warn(msg)


def check_bought(table: nw.LazyFrame[Any], names: Sequence[str]) -> None:
    """Warn of targets that nobody bought in any window."""
    if not names:
        return
    flags = collect(table.select(*[nw.col(name).cast(nw.Int64).max() for name in names]))
    never = [name for name in names if not flags[name][0]]
    if never:
        warn(f"{CALLER}: {never} are true for nobody in any window. Are the targets spelt as in the data?")


def _moments(transactions: Transactions) -> tuple[dt.datetime, dt.datetime] | None:
    """Return the moments of the first and the last line kept; None without a line."""
    moment = nw.col("timestamp")
    found = collect(transactions.need("timestamp", caller=CALLER).select(first=moment.min(), last=moment.max()))
    if found["first"].is_null().any():
        return None
    first, last = (as_moment(found[name][0], name="timestamp", caller=CALLER) for name in ("first", "last"))
    return first, last
