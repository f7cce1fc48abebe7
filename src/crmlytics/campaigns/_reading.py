"""Contacts and what customers did, as every table of this topic reads them: the rules about arms and time live here."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import check_same_kind, collect, columns_of, day_number, days_between, enter
from crmlytics._orders import ORDER_ROLES, orders_of
from crmlytics._validation import as_moment, did_you_mean, warn
from crmlytics.campaigns._experiment import CAMPAIGN, CUSTOMER, NOT_CONTACTED, TREATED, missing_arms
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.tables import Contacts, Customers, Events, Transactions, check_same_ids

if TYPE_CHECKING:
    from crmlytics._contract import Contract

KEY = [CAMPAIGN, CUSTOMER]
SILENT_DAYS, SILENT_TIMES = (
    7,
    10.0,
)  # at the end of outcomes: longer, and so many times their mean distance, is no chance


def read_tables(contacts: Any, outcomes: Any, *, caller: str, **others: Contract) -> dict[str, Contract]:
    """Bind contacts and outcomes, of one library and with ids of one kind."""
    tables = {"contacts": Contacts.bind(contacts), "outcomes": _bind_outcomes(outcomes, caller=caller), **others}
    if not tables["contacts"].has("timestamp"):
        msg = (
            f"{caller} needs 'timestamp' of contacts: when each customer was contacted, or dealt to the control group. "
            'Name yours, Contacts(data, timestamp="start_date"), or say it: data.assign(timestamp=<day>). '
            f"Columns: {columns_of(enter(tables['contacts'].data, caller=caller)[0])}"
        )
        raise MissingColumnsError(msg)
    check_same_kind({name: table.engine for name, table in tables.items()}, caller=caller)
    check_same_ids(tables.values(), role=CUSTOMER, caller=caller)
    return tables


# -- who was dealt to what -----------------------------------------------------------------------------------------


def is_contact(control: str) -> nw.Expr:
    """Whether a line is a contact: its arm is neither the control group nor that of those added to compare with."""
    held_out = nw.col("arm").cast(nw.String).is_in([control, NOT_CONTACTED])
    return (~held_out).fill_null(value=True)


def assigned(contacts: Contract, control: str, *, caller: str) -> nw.LazyFrame[Any]:
    """Return one row per campaign and customer, of the arm and the moment of the first contact."""
    roles = [role for role in (CAMPAIGN, "arm", "cost", "responded") if contacts.has(role)]
    lines = contacts.need(CUSTOMER, "timestamp", *roles, caller=caller)
    lines = lines.with_columns(
        nw.col(CAMPAIGN) if CAMPAIGN in roles else nw.lit("campaign").alias(CAMPAIGN),
        nw.col("arm").cast(nw.String) if "arm" in roles else nw.lit(TREATED).alias("arm"),
    )
    sums = {"contacted_at": nw.col("timestamp").min(), "contact_count": nw.len(), "_arms": nw.col("arm").n_unique()}
    if "cost" in roles:
        _tell_missing_costs(lines.filter(is_contact(control)), "contacts", caller=caller)
        sums["contact_cost_amount"] = nw.col("cost").sum()
    if "responded" in roles:
        lines = lines.with_columns(responded=nw.col("responded").fill_null(value=False).cast(nw.Int64))
        sums["responded"] = nw.col("responded").max()
    _check_arms(lines, caller=caller)
    whole = lines.group_by(*KEY).agg(**sums)
    first = lines.join(whole.select(*KEY, "contacted_at"), on=KEY, how="inner")
    first = first.filter(nw.col("timestamp") == nw.col("contacted_at"))
    arm = first.group_by(*KEY).agg(arm=nw.col("arm").min(), _last_arm=nw.col("arm").max())
    dealt = whole.join(arm, on=KEY, how="inner")
    _tell_several_arms(dealt, caller=caller)
    is_treated = is_contact(control)
    of_contacts = {"contact_count": nw.Int64, "contact_cost_amount": nw.Float64}
    settled = {
        name: nw.when(is_treated).then(nw.col(name)).otherwise(nw.lit(0)).fill_null(0).cast(kind)
        for name, kind in of_contacts.items()
        if name in sums
    }
    return dealt.with_columns(is_treated=is_treated, **settled)


def _tell_missing_costs(lines: nw.LazyFrame[Any], what: str, *, caller: str) -> None:
    found = collect(lines.select(lines=nw.len(), missing=nw.col("cost").is_null().cast(nw.Int64).sum()))
    if found["missing"][0]:
        warn(
            f"{caller}: cost is missing in {found['missing'][0]:,} of {found['lines'][0]:,} {what}, which count as "
            "costing nothing: what was earned looks better than it is. Fill the costs in, or leave them out: cost=None."
        )


def _check_arms(lines: nw.LazyFrame[Any], *, caller: str) -> None:
    found = collect(lines.select(lines=nw.len(), missing=nw.col("arm").is_null().cast(nw.Int64).sum()))
    if not found["lines"][0]:
        msg = f"{caller}: no contact lies before as_of. Is as_of right, and is timestamp= the column of the contacts?"
        raise SchemaError(msg)
    if found["missing"][0]:
        raise SchemaError(missing_arms(found["missing"][0], "contacts", caller=caller))


def _tell_several_arms(dealt: nw.LazyFrame[Any], *, caller: str) -> None:
    """Refuse customers dealt to two arms at once; warn of those contacted in another arm later."""
    at_once = nw.col("arm") != nw.col("_last_arm")
    flags = dealt.select(at_once=at_once.cast(nw.Int64), later=(nw.col("_arms") > 1).cast(nw.Int64))
    found = collect(flags.select(nw.all().sum()))
    if found["at_once"][0]:
        example = collect(dealt.filter(at_once).sort(*KEY).head(1))
        customer, campaign, arm, other = (example[name][0] for name in (CUSTOMER, CAMPAIGN, "arm", "_last_arm"))
        msg = (
            f"{caller}: {found['at_once'][0]:,} customers are in two arms of a campaign at the same moment, such as "
            f"customer {customer!r} in {arm!r} and {other!r} of {campaign!r}. Keep one contact of each, of the arm "
            "that the customer was dealt to."
        )
        raise SchemaError(msg)
    if found["later"][0]:
        warn(
            f"{caller}: {found['later'][0]:,} customers were contacted in several arms of a campaign. They stay in the "
            "arm of their first contact."
        )


def with_windows_over(dealt: nw.LazyFrame[Any], horizon: int, as_of: dt.datetime, *, caller: str) -> nw.LazyFrame[Any]:
    is_over = days_between(nw.col("contacted_at"), as_of) >= horizon
    found = collect(dealt.select(all=nw.len(), over=is_over.cast(nw.Int64).sum()))
    early = found["all"][0] - found["over"][0]
    if not early:
        return dealt
    told = f"the {horizon} days after the contact are not over at {as_of:%Y-%m-%d}"
    if not found["over"][0]:
        raise SchemaError(f"{caller}: of all {early:,} customers {told}. Take a shorter horizon, or wait.")
    warn(f"{caller}: {early:,} of {found['all'][0]:,} customers are left out: {told}.")
    return dealt.filter(is_over)


# -- what they did -------------------------------------------------------------------------------------------------


def _bind_outcomes(outcomes: Any, *, caller: str) -> Contract:
    if isinstance(outcomes, (Transactions, Events)):
        return outcomes
    if isinstance(outcomes, Contacts | Customers):
        msg = f"{caller}: outcomes must be Transactions or Events, got {type(outcomes).__name__}."
        raise SchemaError(msg)
    names = columns_of(enter(outcomes, caller=caller)[0])
    if "order_id" in names:
        return Transactions.bind(outcomes)
    if "event" in names:
        return Events.bind(outcomes)
    msg = (
        f"{caller}: outcomes must be purchases or events. Name the columns: Transactions(data, order_id=..., ...) or "
        f"Events(data, event=..., ...). Columns: {names}"
    )
    raise SchemaError(msg)


def tell_silence(outcomes: Contract, dealt: nw.LazyFrame[Any], horizon: int | nw.Expr, *, caller: str) -> None:
    """Warn when outcomes end long before the windows do: an export that stops early looks like customers who stay away.

    Long is a week and ten times the mean distance between two lines; of a history shorter than that nobody can tell.
    """
    moment = nw.col("timestamp")
    lines = outcomes.need("timestamp", caller=caller)
    found = collect(lines.select(first=moment.min(), last=moment.max(), lines=nw.len()))
    if not found["lines"][0]:
        return
    first, last = (as_moment(found[name][0], name="timestamp", caller=caller).date() for name in ("first", "last"))
    end = day_number(nw.col("contacted_at")) + horizon
    after = last.toordinal() - dt.date(1970, 1, 1).toordinal() + 1
    windows = dealt.select(end=end, later=(end > after).cast(nw.Int64))
    latest = collect(windows.select(nw.col("end").max(), nw.col("later").sum()))
    silent, history = latest["end"][0] - after, (last - first).days
    if SILENT_DAYS <= silent <= history and silent * found["lines"][0] > SILENT_TIMES * history:
        warn(
            f"{caller}: the outcomes end on {last}, up to {silent} days before the windows of {latest['later'][0]:,} "
            "customers do: what they did after that day is not there, and counts as nothing. Give outcomes up to the "
            f'end of the windows, or as_of="{last + dt.timedelta(days=1)}".'
        )


def doings(outcomes: Contract, event: str | None, *, caller: str) -> tuple[nw.LazyFrame[Any], dict[str, str]]:
    """Return one row per order or event, and which of its columns each figure adds up."""
    if isinstance(outcomes, Transactions):
        if event is not None:
            msg = f"{caller}: event={event!r} goes with Events, and outcomes are Transactions."
            raise SchemaError(msg)
        return _orders(outcomes, caller=caller)
    return _events(outcomes, event, caller=caller)


def of_event(lines: nw.LazyFrame[Any], event: str | None, *, caller: str) -> nw.LazyFrame[Any]:
    """Keep the events of one kind; one that never occurs is misspelt."""
    if event is None:
        return lines
    chosen = lines.filter(nw.col("event") == event)
    if not len(collect(chosen.head(1))):
        known = collect(lines.select("event").unique())["event"].to_list()
        msg = f"{caller}: no event is {event!r}.{did_you_mean(event, known)} Events: {sorted(known)[:10]}"
        raise SchemaError(msg)
    return chosen


def _orders(transactions: Transactions, *, caller: str) -> tuple[nw.LazyFrame[Any], dict[str, str]]:
    has_cost = transactions.has("cost")
    lines = transactions.need(*ORDER_ROLES, *["cost"] * has_cost, caller=caller)
    if has_cost:
        _tell_missing_costs(lines, "order lines", caller=caller)
    costs = {"_cost": nw.col("cost").sum()} if has_cost else {}
    orders = orders_of(lines, CUSTOMER, **costs).with_columns(_moment=nw.col("ordered_at"))
    if has_cost:
        orders = orders.with_columns(_margin=nw.col("amount") - nw.col("_cost"))
    figures = {"order_count": "is_order", "revenue_amount": "amount"}
    return orders, figures | ({"margin_amount": "_margin"} if has_cost else {})


def _events(events: Contract, event: str | None, *, caller: str) -> tuple[nw.LazyFrame[Any], dict[str, str]]:
    roles = [role for role in ("amount",) if events.has(role)]
    lines = events.need(CUSTOMER, "timestamp", *["event"] * (event is not None), *roles, caller=caller)
    lines = of_event(lines, event, caller=caller)
    lines = lines.with_columns(_one=nw.lit(1).cast(nw.Int64), _moment=nw.col("timestamp"))
    figures = {"event_count": "_one"}
    if "amount" in roles:
        figures["revenue_amount"] = "amount"
    return lines, figures
