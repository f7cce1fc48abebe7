"""Who is due today: an event, a condition, what to do about it, and how long to be quiet afterwards."""

from __future__ import annotations

import datetime as dt
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import pandas as pd

from crmlytics._segments import label
from crmlytics._validation import as_moment, as_seconds, read_length
from crmlytics.campaigns._experiment import word_of
from crmlytics.campaigns.planning import when
from crmlytics.campaigns.planning._records import in_force, records_of
from crmlytics.campaigns.planning._trigger_windows import Window, refuse_unknown, rows_of
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Contacts, Customers, Events, Subscriptions, Tickets, Transactions, check_same_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from crmlytics._contract import Contract

CALLER = "trigger_table"
SOURCES: dict[str, type[Contract]] = {
    "transactions": Transactions,
    "events": Events,
    "customers": Customers,
    "subscriptions": Subscriptions,
    "tickets": Tickets,
}
DUE, ANSWERED, COOLING = "due", "answered", "cooling down"


@dataclass(frozen=True, slots=True)
class Trigger:
    """A standing order: when this happens to a customer, do that, and then leave them alone for a while.

    Parameters
    ----------
    name : str
        What it is called; also the ``campaign_id`` of its contacts, by which what was done is remembered.
    event : one of ``crmlytics.campaigns.planning.when``
        What must have happened: ``when.Order(number=1)``, ``when.Order(at_least=500)``, ``when.Silence("90d")``,
        ``when.Overdue(2.0)``, ``when.Event("add_to_cart", without="purchase", wait="1d")``,
        ``when.Anniversary("birth_date")``, ``when.ContractEnd("60d")``, ``when.LowMark(2)``.
    action : str
        What to do, in words.
    only : dict, optional
        The condition: attributes of the customer and the values wanted, such as ``{"segment": ["gold", "silver"]}``.
        Reads ``customers``.
    cool_down : str or timedelta, default "30d"
        For how long after a contact of this trigger the customer is left alone, ``"0d"`` for none.
    within : str or timedelta, default "1d"
        How late an event may still be answered. The distance between runs: ``"1d"`` where the table is made daily,
        ``"7d"`` weekly. With contacts given it may be longer, since no event is answered twice.

    Examples
    --------
    >>> from crmlytics.campaigns.planning import when
    >>> Trigger("welcome", when.Order(number=1), action="welcome mail").cool_down
    '30d'
    """

    name: str
    event: Any
    _: KW_ONLY
    action: str
    only: Mapping[str, Any] | None = None
    cool_down: str | dt.timedelta = "30d"
    within: str | dt.timedelta = "1d"

    def __post_init__(self) -> None:
        """Check every part."""
        for part in ("name", "action"):
            if not isinstance(getattr(self, part), str) or not getattr(self, part).strip():
                raise SchemaError(f"Trigger: {part} must be a few words, got {getattr(self, part)!r}.")
        if not isinstance(self.event, tuple(getattr(when, kind) for kind in when.__all__)):
            msg = (
                f"Trigger {self.name!r}: event must be one of {[f'when.{kind}' for kind in when.__all__]}, such as "
                f"when.Order(number=1), got {self.event!r}."
            )
            raise SchemaError(msg)
        if self.only is not None and not (hasattr(self.only, "items") and len(self.only)):
            msg = f'Trigger {self.name!r}: only must be a dict such as {{"segment": ["gold"]}}, got {self.only!r}.'
            raise SchemaError(msg)
        caller = f"Trigger {self.name!r}"
        read_length(self.cool_down, name="cool_down", caller=caller)
        as_seconds(self.within, name="within", caller=caller)


def trigger_table(
    triggers: Sequence[Trigger],
    *,
    as_of: str | dt.date | dt.datetime,
    transactions: Transactions | Any = None,
    events: Events | Any = None,
    customers: Customers | Any = None,
    subscriptions: Subscriptions | Any = None,
    tickets: Tickets | Any = None,
    contacts: Contacts | Any = None,
) -> Any:
    """List who is due today, for which trigger, and who would be, had they not been contacted already.

    Parameters
    ----------
    triggers : list of Trigger
        Names must differ.
    as_of : date
        The moment of the run; nothing at or after it is read.
    transactions, events, customers, subscriptions, tickets : contracts or dataframes
        What the triggers read; each says what it needs.
    contacts : Contacts or dataframe, optional
        What earlier runs led to: ``customer_id``, ``timestamp``, and the name of the trigger as ``campaign_id``. Not
        given, nobody was contacted before.

    Returns
    -------
    dataframe of the kind of the first table given, one row per customer and trigger, sorted by both
        ``customer_id``; ``trigger``, ``action`` (String); ``event_at`` (Datetime, when it happened, or will: the
        birthday, the end of the contract); ``due_at`` (Datetime, from when on it was to be answered, at most ``within``
        ago); ``status`` (String): "due"; "answered", if there was a contact of this trigger since ``due_at``; "cooling
        down", if there was one within ``cool_down``; ``last_contact_at`` (Datetime, of this trigger; null if never);
        ``reason`` (String, what happened, in words). Of several events of a customer the last one counts.

    Raises
    ------
    SchemaError, MissingColumnsError
        If a trigger reads a table that is not given, or that lacks a column; if an event, an attribute or every value
        wanted of it is unknown; if names repeat.

    Notes
    -----
    Contacts of the control group count like all others: whoever is held out for an event must not be dealt again the
    next day, until they are treated after all. To measure a trigger, give those who are due to :func:`assign_arms` with
    its name as ``campaign_id``, and log both arms as contacts.

    A customer may be due for several triggers on one day: :func:`eligibility_table` limits how often they are
    contacted, and honours who opted out.

    What is read of the future are only dates that were known: a birthday, and the agreed end of a contract. Of
    ``customers`` without ``valid_from`` nobody knows who was one at ``as_of``, and everybody in it has a birthday.
    Where it has the day of joining, type ``Customers(data, valid_from="joined_at")``.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.campaigns.planning import when
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "b", "b"], "order_id": [1, 2, 3], "amount": [40.0, 25.0, 700.0],
    ...     "timestamp": pd.to_datetime(["2024-05-31", "2024-02-01", "2024-05-31"]),
    ... })
    >>> triggers = [
    ...     Trigger("welcome", when.Order(number=1), action="welcome mail"),
    ...     Trigger("thanks", when.Order(at_least=500.0), action="call"),
    ... ]
    >>> table = trigger_table(triggers, transactions=orders, as_of="2024-06-01")
    >>> print(table[["customer_id", "trigger", "action", "status", "reason"]].to_string())
      customer_id  trigger        action status                              reason
    0           a  welcome  welcome mail    due   order 1 on 2024-05-31, of 40.00
    1           b   thanks          call    due    order on 2024-05-31, of 700.00
    """
    moment = as_moment(as_of, caller=CALLER)
    given = {"transactions": transactions, "events": events, "customers": customers, "subscriptions": subscriptions,
             "tickets": tickets}  # fmt: skip
    tables = {name: SOURCES[name].bind(table) for name, table in given.items() if table is not None}
    _check_triggers(triggers, tables)
    log = [] if contacts is None else [Contacts.bind(contacts)]
    check_same_ids([*tables.values(), *log], role="customer_id", caller=CALLER)
    used = {trigger.event.source for trigger in triggers} | {"customers"}
    known = {name: _known(table, moment) for name, table in tables.items() if name in used}
    rows = pd.concat([_found(trigger, known, moment) for trigger in triggers], ignore_index=True)
    last = _last_contacts(log[0].before(moment), triggers) if log else None
    rows = _with_status(rows, last, triggers, moment).sort_values(["customer_id", "trigger"])
    first = next(iter(tables.values()))
    return first.engine.from_columns(_columns(rows), _schema(first.id_kind("customer_id")))


# -- inside --------------------------------------------------------------------------------------------------------


def _check_triggers(triggers: Any, tables: Mapping[str, Contract]) -> None:
    if isinstance(triggers, Trigger) or not len(triggers) or not all(isinstance(one, Trigger) for one in triggers):
        msg = f'{CALLER}: triggers must be a list such as [Trigger("welcome", when.Order(number=1), action="mail")]'
        raise SchemaError(f"{msg}, got {triggers!r}.")
    names = [trigger.name for trigger in triggers]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"{CALLER}: the names {twice} come more than once. Contacts are remembered by them: give each its own."
        raise SchemaError(msg)
    for trigger in triggers:
        for source in (trigger.event.source, *(["customers"] if trigger.only else [])):
            if source not in tables:
                contract = SOURCES[source].__name__
                msg = f"{CALLER}: trigger {trigger.name!r} reads {source}. Give {source}={contract}(data, ...)."
                raise SchemaError(msg)


def _known(table: Contract, as_of: dt.datetime) -> Any:
    """Return what was known of a table: of transactions the orders; customers whole, since rules read their columns."""
    if isinstance(table, Transactions):
        return when.orders_known(table.before(as_of))
    return table if isinstance(table, Customers) else table.before(as_of)


def _found(trigger: Trigger, tables: Mapping[str, Any], as_of: dt.datetime) -> pd.DataFrame:
    """Return whom the event of a trigger happened to, of those that its condition holds for."""
    within = dt.timedelta(seconds=as_seconds(trigger.within, name="within", caller=CALLER))
    rows: pd.DataFrame = trigger.event.find(tables[trigger.event.source], Window(as_of, within))
    for column, values in (trigger.only or {}).items():
        wanted = [values] if isinstance(values, (str, bool, int, float)) else list(values)
        rows = rows[rows["customer_id"].isin(_who(tables["customers"], column, map(word_of, wanted), as_of))]
    return rows.assign(trigger=trigger.name, action=trigger.action)


def _who(customers: Customers, column: str, values: Iterable[str], as_of: dt.datetime) -> set[Any]:
    """Return the customers with one of these values of an attribute, as it stood just before ``as_of``."""
    lines = in_force(records_of(customers, column, caller=CALLER), as_of)
    wanted = list(values)
    lines = lines.select("customer_id", label(column, lines.collect_schema()[column]))
    chosen = rows_of(lines.filter(nw.col(column).is_in(wanted)).select("customer_id"))["customer_id"].tolist()
    if not chosen:
        refuse_unknown(lines, column, wanted, told=f"nobody on record just before as_of has {column}", caller=CALLER)
    return set(chosen)


def _last_contacts(contacts: Contacts, triggers: Sequence[Trigger]) -> pd.DataFrame:
    lines = contacts.need("customer_id", "campaign_id", "timestamp", caller=CALLER)
    lines = lines.with_columns(trigger=nw.col("campaign_id").cast(nw.String))
    lines = lines.filter(nw.col("trigger").is_in([trigger.name for trigger in triggers]))
    last = rows_of(lines.group_by("customer_id", "trigger").agg(last_contact_at=nw.col("timestamp").max()))
    return last.astype({"customer_id": object, "trigger": object})


def _with_status(
    rows: pd.DataFrame, last: pd.DataFrame | None, triggers: Sequence[Trigger], as_of: dt.datetime
) -> pd.DataFrame:
    if last is None:
        return rows.assign(last_contact_at=pd.NaT, status=DUE)
    joined = rows.astype({"trigger": object}).merge(last, on=["customer_id", "trigger"], how="left")
    quiet = {one.name: read_length(one.cool_down, name="cool_down", caller=CALLER) for one in triggers}
    contacted = joined["last_contact_at"]
    is_cooling = contacted > as_of - joined["trigger"].map(quiet)
    status = pd.Series(DUE, index=joined.index, dtype=object)
    status = status.mask(is_cooling.fillna(value=False), COOLING)
    status = status.mask((contacted >= joined["due_at"]).fillna(value=False), ANSWERED)
    return joined.assign(status=status)


def _schema(id_kind: str) -> nw.Schema:
    moment = nw.Datetime("us")
    return nw.Schema({
        "customer_id": nw.Int64() if id_kind == "Int64" else nw.String(), "trigger": nw.String(), "action": nw.String(),
        "event_at": moment, "due_at": moment, "status": nw.String(), "last_contact_at": moment, "reason": nw.String(),
    })  # fmt: skip


def _columns(rows: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the columns as lists, missing moments as None: what every engine takes for missing."""
    columns = {name: rows[name].tolist() for name in _schema("String").names()}
    return {name: [None if value is pd.NaT else value for value in values] for name, values in columns.items()}
