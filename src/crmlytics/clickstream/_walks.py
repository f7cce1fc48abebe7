"""Visitors as walks from state to state: read once for transitions, conversion, paths and pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._sequences import EVENT_ITEMS, EVENT_KEYS, offsets
from crmlytics._validation import check_choice, warn
from crmlytics.clickstream._moments import tell_of_ties
from crmlytics.clickstream._reading import codes_named, enter_events, read_clicks
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._frames import Engine
    from crmlytics.clickstream._reading import Clicks
    from crmlytics.tables import Events

START, END = "(start)", "(end)"
MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Walks:
    """What was done in each session (or by each customer), event after event.

    Attributes
    ----------
    starts : int64 array, shape (walks + 1,)
        The states of walk ``w`` are ``states[starts[w]:starts[w + 1]]``, one or more.
    states : int64 array
        Codes that rise with the ids of states.
    places : int64 array
        Where each state stands in ``clicks``; events without a state are in no walk.
    groups : int64 array, shape (walks,)
        Which group of ``clicks`` each walk is.
    keys : dict of role to int32 array, shape (walks,)
        The codes of what each walk is of: its session, its customer, or both. Walks stand in order of the customer.
    item, by : str
        The role that states and walks are called by.
    clicks : Clicks
        Where the ids of codes are.
    engine : Engine
        The kind of table that came in.
    """

    starts: NDArray[np.int64]
    states: NDArray[np.int64]
    places: NDArray[np.int64]
    groups: NDArray[np.int64]
    keys: dict[str, NDArray[np.int32]]
    item: str
    by: str
    clicks: Clicks
    engine: Engine

    def __len__(self) -> int:
        """Return how many walks there are."""
        return len(self.starts) - 1

    @property
    def moment(self) -> NDArray[np.int64]:
        """When each state was entered, in microseconds since 1970-01-01."""
        return self.clicks.moment[self.places]

    @property
    def state_ids(self) -> NDArray[Any]:
        """The id of each state, sorted."""
        return self.clicks.ids[self.item]

    def names(self) -> NDArray[Any]:
        """Return the ids of the states as text."""
        return np.array([str(state) for state in self.state_ids.tolist()], dtype=object)

    def walk(self) -> NDArray[np.int64]:
        """Return the walk of each state."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def owner(self) -> NDArray[np.int64]:
        """Return the number of the customer of each walk, whose walks are alike; without customers, of each walk."""
        if "customer_id" not in self.keys:
            return np.arange(len(self))
        return np.unique(self.keys["customer_id"], return_inverse=True)[1]

    def key_columns(self, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return the columns that name some walks."""
        return {role: self.clicks.ids[role][codes[rows]] for role, codes in self.keys.items()}

    def converts(self, converted: Any, *, caller: str) -> NDArray[np.bool_]:
        """Return which clicks are a conversion, by the event where events are bound, else by the item."""
        role = "event" if "event" in self.clicks.codes else self.item
        is_it = codes_named(converted, self.clicks, role, argument="converted", caller=caller)
        return np.append(is_it, False)[self.clicks.codes[role]]  # the last place is that of -1, no page


@dataclass(frozen=True, slots=True, eq=False)
class Approaches:
    """Walks up to their first conversion: what came before it, and whether it came.

    Attributes
    ----------
    starts, states : int64 arrays
        As in :class:`Walks`; a walk that begins with the conversion is empty.
    is_converted : bool array, shape (walks,)
    """

    starts: NDArray[np.int64]
    states: NDArray[np.int64]
    is_converted: NDArray[np.bool_]

    def walk(self) -> NDArray[np.int64]:
        """Return the walk of each state."""
        return np.repeat(np.arange(len(self.is_converted)), np.diff(self.starts))


def read_walks(events: Events | Any, *, by: str | None, item: str, as_of: Any = None, caller: str) -> Walks:
    """Read events as walks; ``by`` is None for sessions where they are known, else customers."""
    table = enter_events(events, as_of=as_of, caller=caller)
    check_choice(item, EVENT_ITEMS, name="item", caller=caller)
    by = by or ("session_id" if table.has("session_id") else "customer_id")
    check_choice(by, EVENT_KEYS, name="by", caller=caller)
    group = [role for role in ("customer_id", by) if role == by or table.has(role)]
    group = list(dict.fromkeys(group))
    clicks = read_clicks(table, group, [item], caller=caller)
    taken = {START, END} & set(clicks.ids[item].tolist())
    if taken:
        msg = f"{caller}: the {item} {min(taken)!r} has the name of the beginning or end of a walk. Rename it first."
        raise SchemaError(msg)
    kept = _with_state(clicks, item, caller=caller)
    if not len(kept):
        msg = f"{caller}: no event is left that has {item!r}. Check as_of, and the audit of the events."
        raise SchemaError(msg)
    walk = clicks.group()[kept]
    tell_of_ties(walk, clicks.moment[kept], clicks.codes[item][kept], caller=caller)
    held, length = np.unique(walk, return_counts=True)
    keys = {role: clicks.codes[role][clicks.starts[held]] for role in reversed(group)}
    states = clicks.codes[item][kept].astype(np.int64)
    return Walks(offsets(length), states, kept, held, keys, item, by, clicks, table.engine)


def _with_state(clicks: Clicks, item: str, *, caller: str) -> NDArray[np.int64]:
    """Return the places of the events that have a state, and tell of those that have none."""
    kept = np.flatnonzero(clicks.codes[item] >= 0)
    total = len(clicks.moment)
    if len(kept) < total:
        warn(f"{caller}: {total - len(kept):,} of {total:,} events have no {item} and are left out.")
    return kept


def until_conversion(walks: Walks, converts: NDArray[np.bool_]) -> Approaches:
    """Cut walks at the first click that converts, which need have no state: neither it nor what follows is kept."""
    begins, ends = walks.clicks.starts[walks.groups], walks.clicks.starts[walks.groups + 1]
    hits = np.flatnonzero(converts)
    first = np.append(hits, len(converts))[np.searchsorted(hits, begins)]
    is_converted, walk = first < ends, walks.walk()
    kept = walks.places < np.minimum(first, ends)[walk]
    return Approaches(offsets(np.bincount(walk[kept], minlength=len(walks))), walks.states[kept], is_converted)
