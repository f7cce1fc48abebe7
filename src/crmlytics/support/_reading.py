"""How tickets come in: as they stood at a day, with what happened later not known yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._cautions import cautions
from crmlytics._frames import collect
from crmlytics._validation import as_period, check_choice
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Tickets

if TYPE_CHECKING:
    import datetime as dt

    import pandas as pd
    from numpy.typing import NDArray

    from crmlytics._frames import Engine
    from crmlytics._kernels.clustered_means import GroupMeans

    Vector = NDArray[np.float64]
    Moments = NDArray[np.int64]  # microseconds since 1970
    Flags = NDArray[np.bool_]

BY = ("category", "priority", "channel")
ALL, UNKNOWN = "(all)", "(unknown)"
NEVER = np.iinfo(np.int64).max
HOUR = 3_600_000_000
DAY = 24 * HOUR
FEW = 30
LONG_SILENCE = 7 * DAY
USUALLY_OPEN = 5  # tickets: where so many are open on average, none by chance is one day in 150
GROUPS_DIFFER = "Association, not effect: groups differ in who asks what, not only in how they are answered."


@dataclass(frozen=True, slots=True, eq=False)
class KnownTickets:
    """The tickets opened before a moment and what was known of them then; arrays of shape (tickets,).

    Attributes
    ----------
    engine : Engine
    as_of : int
        Microseconds since 1970, as all moments.
    by : str
        The role that groups, or "(all)".
    names : list of str
        Of the groups, in the order of their ids; tickets without one (nothing, or blank) are the last, "(unknown)".
    group : int64 array
    opened, closed, replied, reopened : int64 arrays
        ``NEVER`` where it had not happened by then, or is in no column.
    customer : int64 array or None
        Numbers of customers, None where the tickets have none.
    mark : float64 array
        NaN where there is none, or the ticket was open: a mark has no date of its own.
    roles : frozenset of str
        The roles that have a column.
    ids : dict of int64 or object arrays
        Of tickets and, where they have some, of customers.
    words : dict of object arrays
        Category, priority and channel as text, where they were asked for.
    """

    engine: Engine
    as_of: int
    by: str
    names: list[str]
    group: NDArray[np.int64]
    opened: Moments
    closed: Moments
    replied: Moments
    reopened: Moments
    customer: NDArray[np.int64] | None
    mark: Vector
    roles: frozenset[str]
    ids: dict[str, NDArray[Any]]
    words: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.opened)

    @property
    def groups(self) -> int:
        """The number of groups."""
        return len(self.names)

    @property
    def is_closed(self) -> Flags:
        """Whether a ticket had been closed."""
        return self.closed < NEVER

    @property
    def age_hours(self) -> Vector:
        """For how long a ticket had been known."""
        return (self.as_of - self.opened) / HOUR

    def hours_until(self, moment: Moments) -> tuple[Vector, Flags]:
        """Return the hours from the opening to a moment, to ``as_of`` where it had not come, and whether it had."""
        ended = moment < NEVER
        return (np.where(ended, moment, self.as_of) - self.opened) / HOUR, ended

    def count(self, flags: Flags) -> NDArray[np.int64]:
        """Count the tickets of each group that are flagged."""
        return np.bincount(self.group[flags], minlength=self.groups)

    @property
    def doubts(self) -> list[tuple[Any, str]]:
        """What makes the tickets as a whole doubtful, and whether it does."""
        moments = np.sort(np.concatenate([self.opened, self.closed, self.replied, self.reopened]))
        moments = moments[moments < NEVER]
        last = moments[-1].astype("datetime64[us]").astype(str)[:10]
        is_old = self.as_of - moments[-1] > max(LONG_SILENCE, 3 * np.diff(moments).max(initial=0))
        waits, covered = self.closed - self.opened, self.as_of - self.opened.min()
        some_were_open = waits.sum(dtype=np.float64) >= USUALLY_OPEN * covered  # Little's law
        return [
            (not (moments % DAY).any(), "Moments are dates without a time: hours are those of whole days."),
            (is_old, f"Nothing happened after {last}: the export may be old."),
            (self.is_closed.all() & some_were_open, "No ticket is open: the export may lack those."),
            ("closed_at" in self.roles and not self.is_closed.any(), "No ticket is closed: closed_at may be lacking."),
        ]

    def labels(self) -> dict[str, list[str]]:
        """Return the columns that say which group a row is about."""
        return {"by": [self.by] * self.groups, "group": self.names}

    def cautions(self, cases: GroupMeans | None = None, of: str = "tickets") -> NDArray[Any]:
        """Say of each group how it must not be read; ``cases`` are of customers where tickets have one."""
        told = self.doubts
        if cases is not None:
            few, of = cases.clusters < FEW, of if self.customer is None else "customers"
            uneven = ~few & (cases.worth < FEW)
            told = [(few, f"Fewer than {FEW} {of}."), (uneven, "Few customers have most of the tickets."), *told]
        return cautions(self.groups, told, first=None if self.by == ALL else GROUPS_DIFFER)


def read_tickets(
    tickets: Tickets | Any, *needed: str, as_of: Any, since: Any = None, by: str | None = None, caller: str
) -> KnownTickets:
    """Read the tickets opened before ``as_of`` (and not before ``since``), sorted by id.

    ``needed`` are the roles that must have a column, besides ``ticket_id`` and ``opened_at``; the others are read where
    they have one.
    """
    start, moment = as_period(since, as_of, caller=caller)
    if by is not None:
        check_choice(by, BY, name="by", caller=caller)
    table = Tickets.bind(tickets)
    asked = {"ticket_id", "opened_at", *needed, *([by] if by else [])}
    table.need(*sorted(asked), caller=caller)
    may = ("customer_id", "closed_at", "first_reply_at", "reopened_at", "satisfaction")
    roles = sorted(asked | {role for role in may if table.has(role)})
    kept = table.before(moment) if start is None else table.between(start, moment)
    rows = collect(kept.need(*roles, caller=caller)).to_pandas().sort_values("ticket_id").reset_index(drop=True)
    if rows.empty:
        first = "" if start is None else f" from since={since} on,"
        msg = (
            f"{caller}: no ticket was opened{first} before as_of={moment:%Y-%m-%d %H:%M}. Check the dates and the data."
        )
        raise SchemaError(msg)
    words = {role: _words(rows, role) for role in needed if role in BY}
    return _known(rows, table, moment, by, words)


def _known(
    rows: pd.DataFrame, table: Tickets, moment: dt.datetime, by: str | None, words: dict[str, NDArray[Any]]
) -> KnownTickets:
    as_of = int(np.datetime64(moment, "us").astype(np.int64))
    opened, closed, replied, reopened = (
        _moments(rows, role, as_of) for role in ("opened_at", "closed_at", "first_reply_at", "reopened_at")
    )
    names, group = ([ALL], np.zeros(len(rows), np.int64)) if by is None else _groups(rows[by])
    mark = np.full(len(rows), np.nan)
    if "satisfaction" in rows:
        mark = np.where(closed < NEVER, rows["satisfaction"].to_numpy(np.float64, na_value=np.nan), np.nan)
    ids = {role: ids_of(rows[role]) for role in ("ticket_id", "customer_id") if role in rows}
    customer = np.unique(ids["customer_id"], return_inverse=True)[1] if "customer_id" in ids else None
    return KnownTickets(
        table.engine,
        as_of,
        by or ALL,
        names,
        group,
        opened,
        closed,
        replied,
        reopened,
        customer,
        mark,
        frozenset(rows.columns),
        ids,
        words,
    )


def _moments(rows: pd.DataFrame, role: str, as_of: int) -> Moments:
    if role not in rows:
        return np.full(len(rows), NEVER)
    moments = rows[role].astype("datetime64[us]").to_numpy()
    known = ~np.isnat(moments)
    microseconds = np.where(known, moments.astype(np.int64), NEVER)
    return np.where(microseconds < as_of, microseconds, NEVER)


def ids_of(values: pd.Series[Any]) -> NDArray[Any]:
    """Return ids as int64, or as text."""
    import pandas as pd

    return np.asarray(values, np.int64 if pd.api.types.is_integer_dtype(values.dtype) else object)


def _groups(values: pd.Series[Any]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the names of what is there, in the order of the ids, and the number of each row's; blank text is none."""
    import pandas as pd

    if pd.api.types.is_float_dtype(values.dtype):  # whole numbers with gaps, as Polars hands them over
        values = values.astype("Int64")
    if not pd.api.types.is_numeric_dtype(values.dtype):
        values = values.str.strip()
        values = values.mask(values.isin(["", UNKNOWN]))
    codes, found = pd.factorize(values, sort=True)
    names, missing = [str(name) for name in found], codes < 0
    if missing.any():
        names.append(UNKNOWN)
    return names, np.where(missing, len(found), codes).astype(np.int64)


def _words(rows: pd.DataFrame, role: str) -> NDArray[Any]:
    names, codes = _groups(rows[role])
    return np.array(names, object)[codes]
