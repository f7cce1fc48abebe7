"""From events to arrays in order of time, and to sessions: the one place where clickstream analysis reads events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._baskets import encode, microseconds
from crmlytics._frames import Implementation, collect, id_column, in_words
from crmlytics._sequences import offsets
from crmlytics._validation import as_moment, as_seconds, did_you_mean, warn
from crmlytics.clickstream._moments import tell_of_clock_changes, tell_of_ties
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.tables import Events

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from crmlytics._frames import Engine

SECOND = 1_000_000  # microseconds
MOST_HOLDERS = 3  # customers that share a session by mistake: a cookie, a name, another device
USUAL_GAP = "30m"
TIES = ("event", "page")  # events of one moment stand in order of these, then of what else was read of them


@dataclass(frozen=True, slots=True, eq=False)
class Clicks:
    """Events in order: those of a group (a customer, or one session of a customer) together, in order of time.

    Attributes
    ----------
    starts : int64 array, shape (groups + 1,)
        The events of group ``g`` are ``starts[g]`` to ``starts[g + 1]``.
    moment : int64 array, shape (events,)
        Microseconds since 1970-01-01.
    codes : dict of role to int32 array, shape (events,)
        What each event is, an index to ``ids``; -1 where nothing is given.
    ids : dict of role to array
        The ids of the codes, sorted.
    amount : float64 array, shape (events,), or None
        The money of each event, 0 where nothing is given.
    rows : int64 array, shape (events,)
        Where each event stood in the table.
    """

    starts: NDArray[np.int64]
    moment: NDArray[np.int64]
    codes: dict[str, NDArray[np.int32]]
    ids: dict[str, NDArray[Any]]
    amount: NDArray[np.float64] | None
    rows: NDArray[np.int64]

    @property
    def seen(self) -> str:
        """The role that says what was looked at: ``"page"``, or ``"event"`` where no page is bound."""
        return "page" if "page" in self.codes else "event"

    def group(self) -> NDArray[np.int64]:
        """Return the group of each event."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def values(self, role: str, places: NDArray[np.int64], engine: Engine) -> Any:
        """Return the ids at some places (-1: none) as a column for this engine, missing ones as it has them."""
        codes = np.append(self.codes[role], np.int32(-1))[places]
        return id_values(self.ids[role], codes, engine)


@dataclass(frozen=True, slots=True, eq=False)
class Visits:
    """The sessions in some clicks, by customer and time.

    Attributes
    ----------
    clicks : Clicks
    starts : int64 array, shape (sessions + 1,)
        The events of session ``s`` are ``starts[s]`` to ``starts[s + 1]``; sessions stand as their events do.
    customer : int32 array, shape (sessions,)
        The code of the customer, all 0 where customers are not known.
    number : int64 array, shape (sessions,)
        Which visit of the customer it is, from 1, by the moment it began.
    is_made : bool
        Whether the sessions were made from pauses, not given by ``session_id``.
    """

    clicks: Clicks
    starts: NDArray[np.int64]
    customer: NDArray[np.int32]
    number: NDArray[np.int64]
    is_made: bool

    def __len__(self) -> int:
        """Return how many sessions there are."""
        return len(self.starts) - 1

    def tell_of_ties(self, *, caller: str) -> None:
        """Warn where what was entered and left by hangs on events of one moment."""
        seen = np.flatnonzero(self.clicks.codes[self.clicks.seen] >= 0)
        session = np.repeat(np.arange(len(self)), np.diff(self.starts))[seen]
        tell_of_ties(session, self.clicks.moment[seen], self.clicks.codes[self.clicks.seen][seen], caller=caller)

    def ids(self, engine: Engine) -> Any:
        """Return the id of each session: the one given, or ``"<customer_id>/<number>"``."""
        if not self.is_made:
            return self.clicks.values("session_id", self.starts[:-1], engine)
        return made_ids(self.clicks.ids["customer_id"][self.customer], self.number)


def enter_events(events: Any, *, as_of: Any, caller: str) -> Events:
    """Bind events, and keep those before ``as_of``."""
    table = Events.bind(events)
    return table if as_of is None else table.before(as_moment(as_of, caller=caller))


def what_happens(table: Events, *, caller: str) -> str:
    """Return the role that says what an event is: ``"event"``, or ``"page"`` where no event is bound."""
    found = next((role for role in TIES if table.has(role)), None)
    if found is None:
        msg = (
            f"{caller} needs 'event' or 'page', and Events has {list(table.sources)}. "
            "Name yours: Events(data, event='<your column>')."
        )
        raise MissingColumnsError(msg)
    return found


def read_clicks(table: Events, group: Sequence[str], others: Iterable[str] = (), *, caller: str) -> Clicks:
    """Read events in order of ``group`` (roles, such as ``["customer_id"]``) and time.

    Events without a session are left out where sessions are groups, and told. ``others`` are further columns wanted:
    roles, and columns of their own.
    """
    ties = [role for role in TIES if table.has(role)]
    roles = list(dict.fromkeys([*group, *ties, *others, "timestamp"]))
    plan = table.need(*roles, caller=caller)
    schema = plan.collect_schema()
    own = {name: _own_column(name, schema[name], caller=caller) for name in roles if name not in table.sources}
    arrow = collect(plan.select(*(own.get(name, nw.col(name)) for name in roles))).to_arrow()
    for name in own:
        arrow = arrow.set_column(arrow.column_names.index(name), name, _whole(arrow[name], name, caller=caller))
    clicks = ordered_clicks(arrow, group, time_zone=table.time_zone, caller=caller)
    if {"customer_id", "session_id"} <= set(group):
        _tell_of_shared_sessions(clicks, caller=caller)
    return clicks


def ordered_clicks(arrow: Any, group: Sequence[str], *, time_zone: str | None, caller: str) -> Clicks:
    """Bring an Arrow table of events, under their roles, in order of ``group`` and time."""
    from crmlytics._kernels.sessions import time_order

    moment = microseconds(arrow["timestamp"].to_numpy())
    tell_of_clock_changes(moment, time_zone, caller=caller)
    coded = {role: codes_of(arrow[role]) for role in arrow.column_names if role not in {"timestamp", "amount"}}
    codes = {role: pair[0] for role, pair in coded.items()}
    amount = _amounts(arrow)
    ties: list[NDArray[Any]] = [codes[role] for role in (*TIES, "channel") if role in codes]
    ties += [] if amount is None else [amount]  # or sums would be rounded as the rows happen to stand
    order = time_order([codes[role] for role in group], moment, ties)
    order = _in_groups(order, codes, group, caller=caller)
    codes = {role: values[order] for role, values in codes.items()}
    ids = {role: pair[1] for role, pair in coded.items()}
    money = None if amount is None else amount[order]
    return Clicks(_starts_of(codes, group), moment[order], codes, ids, money, order)


def read_visits(
    table: Events, gap: Any, *, new_day: bool, new_channel: bool, others: Iterable[str] = (), caller: str
) -> Visits:
    """Read the sessions of events: those given as ``session_id`` if ``gap`` is None and there are any, else made."""
    if gap is None and table.has("session_id"):
        if new_day or new_channel:
            msg = (
                f"{caller}: new_day and new_channel are for sessions that are made, and these events have a "
                f'session_id. To make new ones, say gap="{USUAL_GAP}".'
            )
            raise SchemaError(msg)
        group = [role for role in ("customer_id", "session_id") if table.has(role)]
        return given_sessions(read_clicks(table, group, others, caller=caller))
    wanted = [*others, *(["channel"] if new_channel else [])]
    clicks = read_clicks(table, ["customer_id"], wanted, caller=caller)
    return made_sessions(
        clicks, USUAL_GAP if gap is None else gap, new_day=new_day, new_channel=new_channel, caller=caller
    )


def made_sessions(clicks: Clicks, gap: Any, *, new_day: bool, new_channel: bool, caller: str) -> Visits:
    """Cut each customer's events where a pause is longer than ``gap``."""
    from crmlytics._kernels.sessions import session_begins

    pause = as_seconds(gap, name="gap", caller=caller) * SECOND
    channel = clicks.codes["channel"] if new_channel else np.full(len(clicks.moment), -1, np.int32)
    begins = session_begins(clicks.starts, clicks.moment, channel, pause, bool(new_day), bool(new_channel))
    starts = np.append(np.flatnonzero(begins), len(begins))
    customer = clicks.codes["customer_id"][starts[:-1]]
    return Visits(clicks, starts, customer, _numbered(customer), is_made=True)


def given_sessions(clicks: Clicks) -> Visits:
    """Take the groups as sessions, numbered by the moment they began, then by id."""
    first = clicks.starts[:-1]
    known = "customer_id" in clicks.codes
    customer = clicks.codes["customer_id"][first] if known else np.zeros(len(first), np.int32)
    order = np.lexsort((clicks.moment[first], customer))  # stable: equal moments stay in order of their ids
    number = np.empty(len(first), np.int64)
    number[order] = _numbered(customer[order])
    return Visits(clicks, clicks.starts, customer, number, is_made=False)


def made_ids(customer_ids: NDArray[Any], number: NDArray[np.int64]) -> NDArray[Any]:
    """Name sessions so that later events change no name: by the customer, and which visit it is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = [pa.array(values).cast(pa.string()) for values in (customer_ids, number)]
    joined = pc.binary_join_element_wise(*parts, "/")
    return np.asarray(joined.to_numpy(zero_copy_only=False), object)


def codes_named(names: Any, clicks: Clicks, role: str, *, argument: str, caller: str) -> NDArray[np.bool_]:
    """Return which codes of a role have one of these names (one, or a list of them); tell of those that none has."""
    wanted = as_names(names, argument=argument, caller=caller)
    known = clicks.ids[role].tolist()
    for name in wanted:
        if name not in known:
            hint = _page_hint(name, clicks, role, argument) or did_you_mean(name, map(str, known))
            warn(f"{caller}: {argument} names {name!r}, and no event that was read has this {role}.{hint}")
    return np.array([name in wanted for name in known], bool)


def _page_hint(name: Any, clicks: Clicks, role: str, argument: str) -> str:
    """Return what to type where no event is called so, but a page is."""
    if role != "event" or name not in clicks.ids.get("page", np.zeros(0)).tolist():
        return ""
    repair = 'item="page"' if argument == "steps" else "Events(data, event=None)"
    return f" A page has this name: if you mean pages, say {repair}."


def as_names(names: Any, *, argument: str, caller: str) -> list[Any]:
    """Check one name of an event, or some: a list, an array, a column."""
    found = as_list(names)
    found = [found] if _is_name(found) else found
    is_list = isinstance(found, (list, tuple, set, frozenset)) and len(found) > 0
    if not is_list or not all(_is_name(name) for name in found):
        msg = f'{caller}: {argument} must be an event or a list of events such as ["purchase"], got {names!r}.'
        raise SchemaError(msg)
    return list(found)


def as_list(values: Any) -> Any:
    """Return an array or column as a list, a number of NumPy as Python's, and anything else as it is."""
    convert = next((way for way in ("tolist", "to_list", "to_pylist") if hasattr(values, way)), None)
    return values if convert is None else getattr(values, convert)()


def _is_name(value: Any) -> bool:
    return isinstance(value, (str, int, np.integer)) and not isinstance(value, bool)


def codes_of(values: Any) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Give the ids of an Arrow column numbers in their order, -1 where there is none."""
    import pyarrow.compute as pc

    if not values.null_count:
        return encode(values)
    codes = np.full(len(values), -1, np.int32)
    codes[pc.is_valid(values).to_numpy()], ids = encode(values.drop_null())
    return codes, ids


def id_values(ids: NDArray[Any], codes: NDArray[np.int32], engine: Engine) -> Any:
    """Return the id of each code (-1: missing) as a column for this engine."""
    if len(ids) and (codes >= 0).all():
        return ids[codes]
    whole = ids.dtype.kind in "iu"
    found = np.array([*ids.tolist(), None], object)[codes]  # the last place is that of -1
    if engine.implementation is Implementation.PANDAS:
        import pandas as pd

        return pd.array(found, dtype="Int64" if whole else "str")
    import pyarrow as pa

    return pa.array(found, type=pa.int64() if whole else pa.string())


def _own_column(name: str, dtype: Any, *, caller: str) -> nw.Expr:
    """Read a column without a role: what is true or false as words; numbers as they are, they are looked at later."""
    if dtype == nw.Boolean:
        return in_words(name)
    return nw.col(name) if dtype.is_float() else id_column(name, dtype, caller=caller)


def _whole(values: Any, name: str, *, caller: str) -> Any:
    """Make floats that are whole numbers integers: a column of numbers with gaps came as floats."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(values.type):
        return values
    values = pc.if_else(pc.is_nan(values), None, values)
    try:
        return values.cast(pa.int64())  # refuses fractions
    except pa.ArrowInvalid as error:
        msg = (
            f"{caller}: column {name!r} holds fractions, expected words or whole numbers. Make groups of them first, "
            f"for example with pd.qcut(data[{name!r}], 4).astype(str)."
        )
        raise SchemaError(msg) from error


def _tell_of_shared_sessions(clicks: Clicks, *, caller: str) -> None:
    """Warn of sessions whose id several customers have: who logs in on the way is two customers to a log.

    Not where an id has many: then sessions are numbered within each customer.
    """
    sessions, holders = np.unique(clicks.codes["session_id"][clicks.starts[:-1]], return_counts=True)
    shared = int((holders > 1).sum())
    if shared and holders.max() <= MOST_HOLDERS:
        warn(
            f"{caller}: {shared:,} of {len(sessions):,} session_ids belong to several customers, and are taken for a "
            "session of each. If ids are unique, bind customer_id=None: Events(data, customer_id=None). If each "
            'customer has their own, make them unique: customer_id + "/" + session_id.'
        )


def _in_groups(
    order: NDArray[np.int64], codes: dict[str, NDArray[np.int32]], group: Sequence[str], *, caller: str
) -> NDArray[np.int64]:
    """Leave out events that are in no group, and tell."""
    inside = np.logical_and.reduce([codes[role][order] >= 0 for role in group])
    if inside.all():
        return order
    warn(f"{caller}: {int((~inside).sum()):,} of {len(order):,} events have no {group[-1]} and are left out.")
    return order[inside]


def _starts_of(codes: dict[str, NDArray[np.int32]], group: Sequence[str]) -> NDArray[np.int64]:
    changes = np.logical_or.reduce([codes[role][1:] != codes[role][:-1] for role in group])
    count = len(codes[group[0]])
    first = np.concatenate(([True] if count else [], changes)).astype(bool)
    return np.append(np.flatnonzero(first), count)


def _numbered(owner: NDArray[np.int32]) -> NDArray[np.int64]:
    """Count up within runs of the same owner, from 1."""
    lengths = np.bincount(owner) if len(owner) else np.zeros(0, np.int64)
    return np.arange(1, len(owner) + 1) - offsets(lengths)[:-1][owner]


def _amounts(arrow: Any) -> NDArray[np.float64] | None:
    if "amount" not in arrow.column_names:
        return None
    return np.nan_to_num(np.asarray(arrow["amount"].to_numpy(), np.float64), posinf=0.0, neginf=0.0)
