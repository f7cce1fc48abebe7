"""From a history of stages to how far each lead has come, when, and how it ended: the rule of all pipeline tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crmlytics._baskets import encode, microseconds
from crmlytics._frames import collect, columns_of, enter
from crmlytics._validation import as_moment, did_you_mean, warn
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.leads._columns import floats, places
from crmlytics.leads._maturing import DAY
from crmlytics.leads._missing import UNKNOWN, group_words
from crmlytics.tables import Events, Leads

if TYPE_CHECKING:
    from collections.abc import Sequence

    import narwhals.stable.v2 as nw
    from numpy.typing import NDArray

    from crmlytics._frames import Engine

WON, LOST = "Won", "Lost"
LIKE = {"won": ("won", "sold", "signed"), "lost": ("lost", "dead", "junk", "disqualified", "unqualified", "rejected")}
MANY = 0.25  # of the leads without any record


@dataclass(frozen=True, slots=True)
class Stages:
    """The way of a lead: open stages in order, and the names of its ends.

    Attributes
    ----------
    names : tuple of str
    won, lost : tuple of str
    """

    names: tuple[str, ...]
    won: tuple[str, ...]
    lost: tuple[str, ...]

    def ranks(self) -> dict[str, int]:
        """Return the number of each stage from 0; winning has the next one, losing the one after."""
        count = len(self.names)
        ends = dict.fromkeys(self.won, count) | dict.fromkeys(self.lost, count + 1)
        return {name: number for number, name in enumerate(self.names)} | ends


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """How far leads have come, in days since 1970-01-01.

    Attributes
    ----------
    stages : Stages
    now : float
        The moment described from.
    entered : float64 array, shape (leads, stages + 1)
        When a lead was first in this stage or a later one; the last column is winning. NaN where it has not come.
    lost : float64 array, shape (leads,)
        When it was lost, NaN if it was not.
    skipped : bool array, shape (leads, stages)
        Whether a lead came past a stage that it was never recorded in.
    went_back : bool array, shape (leads, stages)
        Whether a lead was in an earlier stage after it had been in this one.
    amount : float64 array, shape (leads,)
        What a lead is worth if it is won; NaN where unknown.
    groups : dict of column to array of words
    reason : object array, shape (leads,)
        What the record of the loss gives as its reason, "unknown" where it gives none.
    """

    stages: Stages
    now: float
    entered: NDArray[np.float64]
    lost: NDArray[np.float64]
    skipped: NDArray[np.bool_]
    went_back: NDArray[np.bool_]
    amount: NDArray[np.float64]
    groups: dict[str, NDArray[Any]]
    reason: NDArray[Any]

    @property
    def furthest(self) -> NDArray[np.int64]:
        """The last open stage that each lead has reached."""
        reached: NDArray[np.int64] = (~np.isnan(self.entered[:, :-1])).sum(axis=1) - 1
        return reached

    @property
    def is_won(self) -> NDArray[np.bool_]:
        """Whether each lead is won."""
        return ~np.isnan(self.entered[:, -1])

    @property
    def is_open(self) -> NDArray[np.bool_]:
        """Whether each lead is neither won nor lost."""
        return ~self.is_won & np.isnan(self.lost)

    def spells(self, stage: int) -> Spells:
        """Return the stays in a stage: how long, and how they ended."""
        inside = ~np.isnan(self.entered[:, stage])
        start, following = self.entered[inside, stage], self.entered[inside, stage + 1]
        moved = ~np.isnan(following)
        lost = ~moved & ~np.isnan(self.lost[inside])
        end = np.where(moved, following, np.where(lost, self.lost[inside], self.now))
        return Spells(np.maximum(end - start, 0.0), moved, lost)

    def of(self, leads: NDArray[np.bool_]) -> Progress:
        """Return the progress of some of the leads."""
        per_lead = ("entered", "lost", "skipped", "went_back", "amount", "reason")
        groups = {name: words[leads] for name, words in self.groups.items()}
        return replace(self, groups=groups, **{name: getattr(self, name)[leads] for name in per_lead})


class Spells(NamedTuple):
    """Stays in a stage, each shape (leads that entered it,).

    Attributes
    ----------
    days : float64 array
        Until the lead moved on or was lost, or until now.
    moved, lost : bool arrays
        Neither is still open.
    """

    days: NDArray[np.float64]
    moved: NDArray[np.bool_]
    lost: NDArray[np.bool_]


def read_stages(stages: Sequence[str], won: str | Sequence[str], lost: str | Sequence[str], *, caller: str) -> Stages:
    """Check the names of stages and ends: each of one meaning."""
    if isinstance(stages, str) or not len(stages):
        raise SchemaError(f'{caller}: stages must be a list in order such as ["New", "Proposal"], got {stages!r}.')
    named = Stages(tuple(stages), _several(won), _several(lost))
    every = [*named.names, *named.won, *named.lost]
    if not named.won or not named.lost or not all(isinstance(name, str) for name in every):
        raise SchemaError(f"{caller}: stages, won and lost must be names, got {stages!r}, {won!r} and {lost!r}.")
    repeated = sorted({name for name in every if every.count(name) > 1})
    if repeated:
        raise SchemaError(f"{caller}: {repeated} appear more than once among stages, won and lost. Name each once.")
    return named


def read_progress(
    leads: Leads | Any,
    stage_history: Events | Any,
    stages: Stages,
    *,
    as_of: Any,
    amount: str | None = None,
    by: str | None = None,
    reason: str | None = None,
    caller: str,
) -> tuple[Progress, Engine]:
    """Read how far the leads created before ``as_of`` have come, by what was recorded before it."""
    moment = as_moment(as_of, caller=caller)
    table, history = Leads.bind(leads).before(moment), _bind_history(stage_history, caller=caller).before(moment)
    _check_ids(table, history, caller=caller)
    people = collect(_lead_plan(table, amount, by, caller=caller))
    if not len(people):
        raise SchemaError(f"{caller}: no lead was created before as_of, {moment}. Check as_of.")
    records = _read_records(history, people["lead_id"], stages, reason, caller=caller)
    _tell_silent(records, len(people), stages, caller=caller)
    now = np.datetime64(moment, "us").astype(np.int64) / DAY
    created = microseconds(people["created_at"].to_numpy()) / DAY
    value = floats(people[amount].to_arrow()) if amount else np.full(len(people), np.nan)
    if np.isinf(value).any():
        raise SchemaError(f"{caller}: amount={amount!r} has infinite values. Make them missing.")
    groups = {by: group_words(people[by])} if by else {}
    entered, lost, skipped, back = _lay_out(records, created, len(stages.names))
    why = np.full(len(people), UNKNOWN, object)
    why[records.lead] = records.reason  # by time: the last record stays, which is that of the loss
    progress = Progress(stages, now, entered, lost, skipped, back, value, groups, why)
    return progress, table.engine


def are_lost(
    stage: NDArray[Any] | None, waiting: NDArray[np.bool_], lost: str | Sequence[str], *, caller: str
) -> NDArray[np.bool_]:
    """Return the leads whose stage is one of ``lost``; warn where none is, and a stage of some looks like one."""
    names = _several(lost)
    if not all(isinstance(name, str) for name in names):
        raise SchemaError(f'{caller}: lost must be names of stages such as ["Lost"], got {lost!r}.')
    if stage is None or not names:
        return np.zeros(len(waiting), bool)
    found: NDArray[np.bool_] = np.isin(stage.astype(str), names)
    alike = [name for name in np.unique(stage[waiting].astype(str)).tolist() if _is_like(name, "lost")]
    if alike and not found.any():
        warn(f"{caller}: no lead is in a stage lost={list(names)}, but some are in {alike}. Type lost={alike}.")
    return found


# -- inside --------------------------------------------------------------------------------------------------------


class Records(NamedTuple):
    """Changes of stage, by lead, time and rank.

    Attributes
    ----------
    lead, rank : int64 arrays
        The number of the lead; what it changed to (see ``Stages.ranks``).
    day : float64 array
    reason : object array
    """

    lead: NDArray[np.int64]
    rank: NDArray[np.int64]
    day: NDArray[np.float64]
    reason: NDArray[Any]


def _several(names: Any) -> tuple[Any, ...]:
    return (names,) if isinstance(names, str) or not hasattr(names, "__iter__") else tuple(names)


def _bind_history(stage_history: Events | Any, *, caller: str) -> Events:
    """Take Events, or a frame with ``lead_id`` and ``stage`` for ``customer_id`` and ``event``."""
    if isinstance(stage_history, Events):
        return stage_history
    names = columns_of(enter(stage_history, caller=caller)[0])
    renamed = {"customer_id": "lead_id", "event": "stage"}
    roles = {role: column for role, column in renamed.items() if column in names and role not in names}
    return Events(stage_history, **roles)


def _check_ids(table: Leads, history: Events, *, caller: str) -> None:
    """Refuse to join ids of different kinds: lead 7 is not lead "7"."""
    if table.has("lead_id") and history.has("customer_id"):
        kinds = table.id_kind("lead_id"), history.id_kind("customer_id")
        if kinds[0] != kinds[1]:
            msg = f"{caller}: lead_id is {kinds[0]} in Leads, {kinds[1]} in the history. Give both the same kind."
            raise SchemaError(msg)


def _lead_plan(table: Leads, amount: str | None, by: str | None, *, caller: str) -> nw.LazyFrame[Any]:
    for role, column in (("amount", amount), ("by", by)):
        if column is not None and not table.has(column):
            hint = did_you_mean(column, table.columns)
            msg = f"{caller}: no column {role}={column!r}.{hint} Columns: {table.columns}"
            raise MissingColumnsError(msg)
    names = dict.fromkeys(["lead_id", "created_at", *(name for name in (amount, by) if name)])
    plan = table.need(*names, caller=caller).sort("lead_id")
    if amount and not plan.collect_schema()[amount].is_numeric():
        raise SchemaError(f"{caller}: amount={amount!r} holds {plan.collect_schema()[amount]}, expected numbers.")
    return plan


def _read_records(
    history: Events, lead_ids: nw.Series[Any], stages: Stages, reason: str | None, *, caller: str
) -> Records:
    """Read the changes of stage of these leads, in order."""
    if reason is not None and not history.has(reason):
        msg = f"{caller}: the history has no column reason={reason!r}.{did_you_mean(reason, history.columns)}"
        raise MissingColumnsError(msg)
    more = [reason] if reason else []
    frame = collect(history.need("customer_id", "timestamp", "event", *more, caller=caller))
    lead = places(lead_ids.to_arrow(), frame["customer_id"].to_arrow())
    code, names = encode(frame.to_arrow()["event"])
    rank = _ranks([str(name) for name in names.tolist()], stages, np.bincount(code, minlength=len(names)), caller)[code]
    kept = (lead >= 0) & (rank >= 0)
    day = microseconds(frame["timestamp"].to_numpy()) / DAY
    why = group_words(frame[reason]) if reason else np.full(len(frame), UNKNOWN, object)
    strange = int((lead < 0).sum())
    if strange and kept.any():
        warn(f"{caller}: {strange:,} of {len(lead):,} records are of leads that are not in the table, and left out.")
    if not kept.any():
        raise SchemaError(f"{caller}: no record before as_of in the history is of these leads. Check lead_id.")
    order = np.flatnonzero(kept)[np.lexsort((rank[kept], day[kept], lead[kept]))]
    again = (np.diff(lead[order], prepend=-1) == 0) & (np.diff(rank[order], prepend=-1) == 0)  # nothing changed
    order = order[~again]
    return Records(lead[order], rank[order], day[order], why[order])


def _ranks(names: list[str], stages: Stages, counts: NDArray[np.int64], caller: str) -> NDArray[np.int64]:
    """Give the stages found in the history their numbers; -1, and a warning, for those that were not named."""
    ranks = stages.ranks()
    absent = [name for name in stages.names if name not in names]
    hints = {name: hint for name in absent if (hint := did_you_mean(name, set(names) - set(ranks)))}
    if hints:
        told = "".join(f" {name!r} is not in it.{hint}" for name, hint in hints.items())
        raise SchemaError(f"{caller}: the history has the stages {names}.{told}")
    if len(absent) == len(stages.names):
        raise SchemaError(f"{caller}: none of the stages {list(stages.names)} is in the history, which has {names}.")
    _check_ends(names, stages, caller)
    unknown = {name: int(count) for name, count in zip(names, counts, strict=True) if name not in ranks}
    if unknown:
        listed = ", ".join(f"{name!r} {count:,}" for name, count in unknown.items())
        warn(f"{caller}: records of stages not named are left out: {listed}. Name them in stages, won or lost.")
    return np.array([ranks.get(name, -1) for name in names], np.int64)


def _check_ends(names: list[str], stages: Stages, caller: str) -> None:
    """Refuse names of ends that nothing has, where a stage without a name looks like one."""
    unnamed = [name for name in names if name not in stages.ranks()]
    for role, ends in (("won", stages.won), ("lost", stages.lost)):
        alike = [name for name in unnamed if _is_like(name, role)]
        hint = "".join(dict.fromkeys(did_you_mean(end, unnamed) for end in ends))
        if (alike or hint) and not set(ends) & set(names):
            listed = f" It has {alike}: type {role}={alike}." if alike else hint
            raise SchemaError(f"{caller}: the history has no stage {role}={list(ends)}.{listed}")


def _is_like(name: str, role: str) -> bool:
    return any(part in name.lower() for part in LIKE[role])


def _tell_silent(records: Records, leads: int, stages: Stages, *, caller: str) -> None:
    """Warn of leads that the history says nothing of, where they are many."""
    silent = leads - len(np.unique(records.lead))
    if silent >= MANY * leads:
        warn(
            f"{caller}: {silent:,} of {leads:,} leads have no record before as_of and count as open in "
            f"{stages.names[0]!r} since their creation. Is the history complete, and lead_id the same id in both?"
        )


def _lay_out(
    records: Records, created: NDArray[np.float64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return when each lead was first in each stage or beyond, when it was lost, what it skipped, where it turned back.

    An end counts if it is the last record of a lead; one that was followed by another record was taken back.
    """
    lead, rank, day, _ = records
    final = np.append(lead[1:] != lead[:-1], True) if len(lead) else np.zeros(0, bool)
    counts = (rank < count) | final
    first = np.full((len(created), count + 2), np.nan)
    place = lead[counts], rank[counts]
    np.fmin.at(first, place, day[counts])
    lost = first[:, -1].copy()
    seen = ~np.isnan(first[:, :count])
    entered = np.fmin.accumulate(first[:, count::-1], axis=1)[:, ::-1].copy()
    entered[:, 0] = np.fmin(entered[:, 0], created)  # in the first stage from creation until the first record
    here_at_once = entered[:, 1:] <= created[:, None]
    reached = ~np.isnan(entered)
    skipped = reached[:, 1:] & ~seen
    skipped[:, 0] &= here_at_once[:, 0]
    return entered, lost, skipped, _turned_back(lead[counts], rank[counts], len(created), count)


def _turned_back(lead: NDArray[np.int64], rank: NDArray[np.int64], leads: int, count: int) -> NDArray[np.bool_]:
    """Return from which stages each lead went on to an earlier one."""
    back = np.zeros((leads, count), bool)
    turn = np.flatnonzero((lead[1:] == lead[:-1]) & (rank[1:] < rank[:-1]))
    back[lead[turn], rank[turn]] = True
    return back
