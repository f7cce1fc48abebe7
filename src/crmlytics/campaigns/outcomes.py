"""From contacts and what customers did to one row per customer of a campaign: the table that results are read from."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import check_same_kind, collect, columns_of, day_number, days_between, enter
from crmlytics._orders import ORDER_ROLES, orders_of
from crmlytics._validation import as_days, as_moment, did_you_mean, warn
from crmlytics.campaigns._experiment import CAMPAIGN, CONTROL, CUSTOMER, word_of
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Contacts, Customers, Events, Transactions, check_same_ids

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crmlytics._contract import Contract

CALLER = "outcome_table"
KEY = [CAMPAIGN, CUSTOMER]
TREATED = "treated"  # the arm of all contacts, where none is named
COUNTS = ("order_count", "event_count")
AMOUNTS = ("revenue_amount", "margin_amount")
PRE = "pre_"
NO_ATTRIBUTES = ("customer_id", "account_id", "valid_from", "valid_to")
ALWAYS = dt.datetime(1, 1, 2)  # the first day that every engine can hold, whatever the zone


def outcome_table(
    contacts: Any,
    outcomes: Any,
    *,
    as_of: str | dt.date | dt.datetime,
    horizon: str | dt.timedelta = "30d",
    pre_period: str | dt.timedelta = "90d",
    event: str | None = None,
    customers: Any = None,
    control: Any = CONTROL,
) -> Any:
    """Say what every customer of a campaign, contacted or held out, did after the contact and before it.

    Parameters
    ----------
    contacts : Contacts or dataframe
        Who was dealt to which arm, the control group among them: needs ``customer_id`` and ``timestamp`` (of the
        control group: of the assignment). Without ``campaign_id`` all contacts are of one campaign, ``"campaign"``;
        without ``arm`` all are ``"treated"``, and nothing tells what they would have done anyway.
    outcomes : Transactions or Events, or dataframe
        What may be the outcome: purchases, or page views, registrations and any other event. A dataframe with
        ``order_id`` is read as Transactions, one with ``event`` as Events.
    as_of : date or datetime
        Nothing at or after it is read.
    horizon : str, default "30d"
        How long after the contact an outcome counts: from the moment of the contact to the end of this many calendar
        days, that of the contact being the first.
    pre_period : str, default "90d"
        How long before the contact customers are described by the same figures, to make comparisons sharper.
    event : str, optional
        Which of the events is the outcome; all of them if not given.
    customers : Customers or dataframe, optional
        Attributes to add, as they stood at the contact where they are dated.
    control : str or number, default "control"
        How the arm of the control group is called.

    Returns
    -------
    dataframe of the kind that came in, one row per campaign and customer, sorted by both
        ``campaign_id``, ``customer_id``; ``arm`` (String); ``is_treated`` (Boolean, the arm is not the control group);
        ``contacted_at`` (the first contact of the campaign); ``contact_count`` (Int64; 0 in the control group);
        ``contact_cost_amount`` (Float64, of all contacts, where contacts have a ``cost``); ``responded`` (Boolean,
        where contacts have it: to any of them); ``converted`` (Boolean, an order or event within the horizon);
        ``order_count`` or, of events, ``event_count`` (Int64); ``revenue_amount`` (Float64, less returns; where there
        are amounts); ``margin_amount`` (Float64, less ``cost``, where outcomes have one); the same figures of the
        period before the contact, as ``pre_converted``, ``pre_order_count``, ``pre_revenue_amount`` ...; then the
        attributes.

    Raises
    ------
    SchemaError
        If outcomes are neither purchases nor events, an arm is missing, a customer is in two arms of a campaign at the
        same moment, tables are of different kinds, or no window is over at ``as_of``.

    Warns
    -----
    DataQualityWarning
        Where windows are not over at ``as_of`` (these customers are left out), and where customers were contacted in
        several arms of one campaign: they stay in that of the first contact (intention to treat), since leaving them
        out would leave out the contacted more often than the others.

    Notes
    -----
    An order counts where its first line lies, with all its lines; one that only returns goods is no order, but its
    amount counts. An outcome before the contact is none: it describes the customer. Of dates without a time of day,
    orders of the day of the contact count as later.

    Examples
    --------
    >>> import pandas as pd
    >>> contacts = pd.DataFrame({
    ...     "customer_id": [1, 2, 3], "arm": ["offer", "control", "offer"],
    ...     "timestamp": pd.to_datetime(["2024-03-01", "2024-03-01", "2024-03-01"]),
    ... })
    >>> orders = pd.DataFrame({
    ...     "customer_id": [1, 2, 3], "order_id": [11, 12, 13], "amount": [30.0, 20.0, 50.0],
    ...     "timestamp": pd.to_datetime(["2024-03-05", "2024-02-05", "2024-05-05"]),
    ... })
    >>> table = outcome_table(contacts, orders, as_of="2024-06-01")
    >>> print(table[["customer_id", "arm", "converted", "revenue_amount", "pre_revenue_amount"]].to_string())
       customer_id      arm  converted  revenue_amount  pre_revenue_amount
    0            1    offer       True            30.0                 0.0
    1            2  control      False             0.0                20.0
    2            3    offer      False             0.0                 0.0
    """
    moment = as_moment(as_of, caller=CALLER)
    windows = {"": as_days(horizon, caller=CALLER), PRE: as_days(pre_period, name="pre_period", caller=CALLER)}
    tables: dict[str, Contract] = {"contacts": Contacts.bind(contacts), "outcomes": _bind_outcomes(outcomes)}
    if customers is not None:
        tables["customers"] = Customers.bind(customers)
    check_same_kind({name: table.engine for name, table in tables.items()}, caller=CALLER)
    check_same_ids(tables.values(), role=CUSTOMER, caller=CALLER)
    assigned = _assigned(tables["contacts"].before(moment), word_of(control))
    assigned = _with_windows_over(assigned, windows[""], moment)
    done, figures = _doings(tables["outcomes"].before(moment), event)
    table = _counted(assigned, done, figures, windows)
    if "customers" in tables:
        table = _with_attributes(table, tables["customers"])
    return tables["contacts"].engine.to_native(table.sort(*KEY))


# -- who was dealt to what -----------------------------------------------------------------------------------------


def _assigned(contacts: Contract, control: str) -> nw.LazyFrame[Any]:
    """Return one row per campaign and customer, of the arm and the moment of the first contact."""
    roles = [role for role in (CAMPAIGN, "arm", "cost", "responded") if contacts.has(role)]
    lines = contacts.need(CUSTOMER, "timestamp", *roles, caller=CALLER)
    lines = lines.with_columns(
        nw.col(CAMPAIGN) if CAMPAIGN in roles else nw.lit("campaign").alias(CAMPAIGN),
        nw.col("arm").cast(nw.String) if "arm" in roles else nw.lit(TREATED).alias("arm"),
    )
    sums = {"contacted_at": nw.col("timestamp").min(), "contact_count": nw.len(), "_arms": nw.col("arm").n_unique()}
    if "cost" in roles:
        sums["contact_cost_amount"] = nw.col("cost").sum()
    if "responded" in roles:
        lines = lines.with_columns(responded=nw.col("responded").fill_null(value=False).cast(nw.Int64))
        sums["responded"] = nw.col("responded").max()
    _check_arms(lines)
    whole = lines.group_by(*KEY).agg(**sums)
    first = lines.join(whole.select(*KEY, "contacted_at"), on=KEY, how="inner")
    first = first.filter(nw.col("timestamp") == nw.col("contacted_at"))
    arm = first.group_by(*KEY).agg(arm=nw.col("arm").min(), _last_arm=nw.col("arm").max())
    assigned = whole.join(arm, on=KEY, how="inner")
    _tell_several_arms(assigned)
    is_treated = nw.col("arm") != control
    return assigned.with_columns(
        is_treated=is_treated,
        contact_count=nw.when(is_treated).then(nw.col("contact_count")).otherwise(nw.lit(0)).cast(nw.Int64),
    )


def _check_arms(lines: nw.LazyFrame[Any]) -> None:
    found = collect(lines.select(lines=nw.len(), missing=nw.col("arm").is_null().cast(nw.Int64).sum()))
    if not found["lines"][0]:
        msg = f"{CALLER}: no contact lies before as_of. Is as_of right, and is timestamp= the column of the contacts?"
        raise SchemaError(msg)
    if found["missing"][0]:
        msg = (
            f"{CALLER}: arm is missing in {found['missing'][0]:,} contacts. Leave out who was in no arm, or fill in "
            "the control group."
        )
        raise SchemaError(msg)


def _tell_several_arms(assigned: nw.LazyFrame[Any]) -> None:
    """Refuse customers dealt to two arms at once; warn of those contacted in another arm later."""
    at_once = nw.col("arm") != nw.col("_last_arm")
    flags = assigned.select(at_once=at_once.cast(nw.Int64), later=(nw.col("_arms") > 1).cast(nw.Int64))
    found = collect(flags.select(nw.all().sum()))
    if found["at_once"][0]:
        example = collect(assigned.filter(at_once).sort(*KEY).head(1))
        customer, campaign, arm, other = (example[name][0] for name in (CUSTOMER, CAMPAIGN, "arm", "_last_arm"))
        msg = (
            f"{CALLER}: {found['at_once'][0]:,} customers are in two arms of a campaign at the same moment, such as "
            f"customer {customer!r} in {arm!r} and {other!r} of {campaign!r}. Keep one contact of each, of the arm "
            "that the customer was dealt to."
        )
        raise SchemaError(msg)
    if found["later"][0]:
        warn(
            f"{CALLER}: {found['later'][0]:,} customers were contacted in several arms of a campaign. They stay in the "
            "arm of their first contact."
        )


def _with_windows_over(assigned: nw.LazyFrame[Any], horizon: int, as_of: dt.datetime) -> nw.LazyFrame[Any]:
    is_over = days_between(nw.col("contacted_at"), as_of) >= horizon
    found = collect(assigned.select(all=nw.len(), over=is_over.cast(nw.Int64).sum()))
    early = found["all"][0] - found["over"][0]
    if not early:
        return assigned
    told = f"the {horizon} days after the contact are not over at {as_of:%Y-%m-%d}"
    if not found["over"][0]:
        raise SchemaError(f"{CALLER}: of all {early:,} customers {told}. Take a shorter horizon, or wait.")
    warn(f"{CALLER}: {early:,} of {found['all'][0]:,} customers are left out: {told}.")
    return assigned.filter(is_over)


# -- what they did -------------------------------------------------------------------------------------------------


def _bind_outcomes(outcomes: Any) -> Contract:
    if isinstance(outcomes, (Transactions, Events)):
        return outcomes
    if isinstance(outcomes, Contacts | Customers):
        msg = f"{CALLER}: outcomes must be Transactions or Events, got {type(outcomes).__name__}."
        raise SchemaError(msg)
    names = columns_of(enter(outcomes, caller=CALLER)[0])
    if "order_id" in names:
        return Transactions.bind(outcomes)
    if "event" in names:
        return Events.bind(outcomes)
    msg = (
        f"{CALLER}: outcomes must be purchases or events. Name the columns: Transactions(data, order_id=..., ...) or "
        f"Events(data, event=..., ...). Columns: {names}"
    )
    raise SchemaError(msg)


def _doings(outcomes: Contract, event: str | None) -> tuple[nw.LazyFrame[Any], dict[str, str]]:
    """Return one row per order or event, and which of its columns each figure adds up."""
    if isinstance(outcomes, Transactions):
        if event is not None:
            msg = f"{CALLER}: event={event!r} goes with Events, and outcomes are Transactions."
            raise SchemaError(msg)
        return _orders(outcomes)
    return _events(outcomes, event)


def _orders(transactions: Transactions) -> tuple[nw.LazyFrame[Any], dict[str, str]]:
    has_cost = transactions.has("cost")
    lines = transactions.need(*ORDER_ROLES, *["cost"] * has_cost, caller=CALLER)
    costs = {"_cost": nw.col("cost").sum()} if has_cost else {}
    orders = orders_of(lines, CUSTOMER, **costs).with_columns(_moment=nw.col("ordered_at"))
    if has_cost:
        orders = orders.with_columns(_margin=nw.col("amount") - nw.col("_cost"))
    figures = {"order_count": "is_order", "revenue_amount": "amount"}
    return orders, figures | ({"margin_amount": "_margin"} if has_cost else {})


def _events(events: Contract, event: str | None) -> tuple[nw.LazyFrame[Any], dict[str, str]]:
    roles = [role for role in ("amount", "cost") if events.has(role)]
    lines = events.need(CUSTOMER, "timestamp", *["event"] * (event is not None), *roles, caller=CALLER)
    if event is not None:
        lines = lines.filter(nw.col("event") == event)
        if not len(collect(lines.head(1))):
            known = collect(events.need("event", caller=CALLER).select("event").unique())["event"].to_list()
            msg = f"{CALLER}: no event is {event!r}.{did_you_mean(event, known)} Events: {sorted(known)[:10]}"
            raise SchemaError(msg)
    lines = lines.with_columns(_one=nw.lit(1).cast(nw.Int64), _moment=nw.col("timestamp"))
    figures = {"event_count": "_one"}
    if "amount" in roles:
        figures["revenue_amount"] = "amount"
    return lines, figures


def _counted(
    assigned: nw.LazyFrame[Any], done: nw.LazyFrame[Any], figures: Mapping[str, str], windows: Mapping[str, int]
) -> nw.LazyFrame[Any]:
    """Add the figures of both windows: what nobody did is 0."""
    contacted = nw.col("contacted_at")
    pairs = assigned.select(*KEY, "contacted_at").join(done, on=CUSTOMER, how="inner")
    pairs = pairs.with_columns(_day=day_number(nw.col("_moment")) - day_number(contacted))
    is_in = {
        "": (nw.col("_moment") >= contacted) & (nw.col("_day") < windows[""]),
        PRE: (nw.col("_moment") < contacted) & (nw.col("_day") >= -windows[PRE]),
    }
    parts = {
        f"{prefix}{name}": nw.when(test).then(nw.col(column)).otherwise(nw.lit(0))
        for prefix, test in is_in.items()
        for name, column in figures.items()
    }
    sums = pairs.select(*KEY, **parts).group_by(*KEY).agg(*[nw.col(name).sum() for name in parts])
    table = assigned.join(sums, on=KEY, how="left")
    kinds = {name: nw.Int64 if name.removeprefix(PRE) in COUNTS else nw.Float64 for name in parts}
    table = table.with_columns(*[nw.col(name).fill_null(0).cast(kind) for name, kind in kinds.items()])
    count = next(iter(figures))
    shown = [name for name in ("contact_cost_amount", "responded") if name in columns_of(assigned)]
    return table.select(
        *KEY, "arm", "is_treated", "contacted_at", "contact_count", *[_fixed(name) for name in shown],
        (nw.col(count) > 0).alias("converted"), *figures,
        (nw.col(PRE + count) > 0).alias(PRE + "converted"), *[PRE + name for name in figures],
    )  # fmt: skip


def _fixed(name: str) -> nw.Expr:
    return (nw.col(name) > 0) if name == "responded" else nw.col(name).fill_null(0.0).cast(nw.Float64)


# -- who they are --------------------------------------------------------------------------------------------------


def _with_attributes(table: nw.LazyFrame[Any], customers: Contract) -> nw.LazyFrame[Any]:
    """Add the attributes in force at the contact; of several rows in force, those of the one that began last."""
    names = [name for name in customers.columns if name not in NO_ATTRIBUTES]
    taken = [name for name in names if name in columns_of(table)]
    if taken:
        msg = f"{CALLER}: customers has columns called {taken}, like the result. Rename these first."
        raise SchemaError(msg)
    validity = [name for name in ("valid_from", "valid_to") if customers.has(name)]
    lines = customers.need(CUSTOMER, *validity, *names, caller=CALLER)
    if "valid_from" not in validity:
        return table.join(lines.select(CUSTOMER, *names), on=CUSTOMER, how="left")
    lines = table.select(*KEY, "contacted_at").join(lines, on=CUSTOMER, how="inner")
    lines = lines.with_columns(nw.col("valid_from").fill_null(ALWAYS))
    in_force = nw.col("valid_from") <= nw.col("contacted_at")
    if "valid_to" in validity:
        ends = nw.col("valid_to").is_null() | (nw.col("valid_to") > nw.col("contacted_at")).fill_null(value=False)
        in_force = in_force & ends
    lines = lines.filter(in_force)
    latest = lines.group_by(*KEY).agg(_latest=nw.col("valid_from").max())
    lines = lines.join(latest, on=KEY, how="inner").filter(nw.col("valid_from") == nw.col("_latest"))
    _check_one_row(lines)
    return table.join(lines.select(*KEY, *names), on=KEY, how="left")


def _check_one_row(lines: nw.LazyFrame[Any]) -> None:
    rows = lines.group_by(*KEY).agg(_rows=nw.len()).filter(nw.col("_rows") > 1)
    found = collect(rows.select(CUSTOMER).sort(CUSTOMER).head(1))
    if len(found):
        msg = (
            f"{CALLER}: customers has two rows that begin together for customer {found[CUSTOMER][0]!r}. Keep one row "
            "per customer and valid_from."
        )
        raise SchemaError(msg)
