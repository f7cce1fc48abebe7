"""Reading leads as they were known at a moment: how old, converted or not, and whether their outcome is settled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._baskets import microseconds
from crmlytics._frames import collect
from crmlytics._validation import as_moment, warn
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.leads._missing import group_words
from crmlytics.tables import Leads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics._frames import Engine

    Flags = NDArray[np.bool_]

DAY = 86_400e6  # microseconds
PRIOR = 10.0  # leads: what a source with few of them is drawn to the mean with


@dataclass(frozen=True, slots=True, eq=False)
class KnownLeads:
    """Leads created before a moment, by id, as they were known then.

    Attributes
    ----------
    table : pandas DataFrame
        ``lead_id``, ``created_at`` and the columns asked for.
    engine : Engine
    created : int64 array, shape (leads,)
        Microseconds since 1970-01-01.
    age_days : float64 array, shape (leads,)
        From creation to the moment.
    converted : bool array, shape (leads,)
    days : float64 array, shape (leads,)
        From creation to conversion; NaN where the lead had not converted, or nobody knows when.
    groups : array of words, shape (leads,), or None
        The groups asked for.
    """

    table: Any
    engine: Engine
    created: NDArray[np.int64]
    age_days: NDArray[np.float64]
    converted: Flags
    days: NDArray[np.float64]
    groups: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.created)

    @property
    def undated(self) -> Flags:
        """Whether a lead converted at a moment that nobody knows."""
        return np.asarray(self.converted & np.isnan(self.days))

    def settled(self, within: int) -> Flags:
        """Whether the outcome of a lead is known: those younger than ``within`` days could still convert in time."""
        return np.asarray(self.age_days >= within)

    def in_time(self, within: int) -> Flags:
        """Whether a lead converted within so many days of its creation, at an unknown moment included."""
        return np.asarray(self.undated | (self.days < within))


def read_known(
    leads: Leads | Any, *, as_of: Any, columns: Sequence[str] = (), by: str | None = None, caller: str
) -> KnownLeads:
    """Read leads created before ``as_of``; nothing that happened at it or later counts."""
    moment = as_moment(as_of, caller=caller)
    table = Leads.bind(leads).before(moment)
    outcome = [name for name in ("converted", "converted_at") if table.has(name)]
    if not outcome:
        msg = (
            f"{caller} needs 'converted_at' (or 'converted'), and Leads has neither. "
            "Name yours: Leads(data, converted_at='<your column>')."
        )
        raise MissingColumnsError(msg)
    names = dict.fromkeys(["lead_id", "created_at", *outcome, *columns, *([by] if by else [])])
    frame = collect(table.need(*names, caller=caller).sort("lead_id"))
    if not len(frame):
        raise SchemaError(f"{caller}: no lead was created before as_of={moment:%Y-%m-%d}. Check as_of.")
    words = None if by is None else group_words(frame[by])
    pandas = frame.to_arrow().replace_schema_metadata(None).to_pandas()  # the same dtypes, whatever the engine
    created = _moments(frame["created_at"])
    now = float(np.datetime64(moment, "us").astype(np.int64))
    converted, day = _conversions(frame, outcome, now)
    day = np.maximum(day, created)  # only a date: midnight of the day on which the lead came in
    kept = ["lead_id", "created_at", *(name for name in columns if name not in {"lead_id", "created_at"})]
    age, days = (now - created) / DAY, (day - created) / DAY
    return KnownLeads(pandas[kept], table.engine, created.astype(np.int64), age, converted, days, words)


def tell_undated(undated: Flags, converted: Flags, *, within: int, caller: str) -> None:
    """Warn of conversions whose moment is unknown."""
    count, total = int(undated.sum()), int(converted.sum())
    if count:
        warn(
            f"{caller}: {count:,} of {total:,} conversions have no converted_at: they count as converted within "
            f"{within} days of creation, though some may have taken longer."
        )


def rate_so_far(known: KnownLeads, name: str, within: int) -> NDArray[np.float64]:
    """Return, for each lead, the share that converted in time of earlier leads of its source: a rule to beat.

    Only leads count whose outcome was settled when this one was created; few of them are drawn to the share of all
    such leads.
    """
    import pandas as pd

    group = pd.factorize(known.table[name].astype("object"), use_na_sentinel=False)[0].astype(np.int64)
    settled_at = known.created + within * int(DAY)
    won = known.in_time(within)
    every, won_of_all = _settled_before(known.created, settled_at, won, np.zeros(len(known), np.int64))
    counts, wins = _settled_before(known.created, settled_at, won, group)
    mean = (won_of_all + 1) / (every + 2)  # Laplace's rule: before anything is settled nothing is known
    rate: NDArray[np.float64] = (wins + PRIOR * mean) / (counts + PRIOR)
    return rate


def _settled_before(
    created: NDArray[np.int64], settled_at: NDArray[np.int64], won: Flags, group: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Count, for each lead, the leads of its group settled before its creation, and those of them that converted."""
    order = np.lexsort((settled_at, group))
    counts, wins = np.empty(len(group)), np.empty(len(group))
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        running = np.concatenate([[0.0], np.cumsum(won[members])])
        place = np.searchsorted(settled_at[members], created[members], side="right")
        counts[members], wins[members] = place, running[place]
    return counts, wins


def _conversions(frame: Any, outcome: Sequence[str], now: float) -> tuple[Flags, NDArray[np.float64]]:
    """Return who had converted by now, and when (NaN: unknown)."""
    day = _moments(frame["converted_at"]) if "converted_at" in outcome else np.full(len(frame), np.nan)
    said = ~np.isnan(day)
    if "converted" in outcome:
        said = np.array([value is True for value in frame["converted"].to_list()], bool)
    converted = said & ~(day >= now)
    return converted, np.where(converted, day, np.nan)


def _moments(series: Any) -> NDArray[np.float64]:
    """Return moments as microseconds since 1970-01-01, NaN where there is none."""
    values = np.asarray(series.to_numpy()).astype("datetime64[us]")
    return np.where(np.isnat(values), np.nan, microseconds(values).astype(np.float64))
