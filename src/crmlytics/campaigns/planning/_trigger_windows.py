"""When a trigger is due, and what every rule hands back: few rows, those of the window, computed in memory."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import pandas as pd

from crmlytics._frames import collect
from crmlytics._validation import did_you_mean
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DAY = dt.timedelta(days=1)
EPOCH = dt.datetime(1970, 1, 1)
MOST_WORDS = 50


@dataclass(frozen=True, slots=True)
class Window:
    """The time up to ``as_of`` in which something must have become due to be answered now.

    Runs that follow one another at a distance of ``within`` find everything once: windows touch and do not overlap.
    """

    as_of: dt.datetime
    within: dt.timedelta

    def moments(self, wait: dt.timedelta = dt.timedelta(0)) -> tuple[dt.datetime, dt.datetime]:
        """Return from when on, and before when, a moment lies that becomes due after ``wait``.

        It is due strictly before ``as_of``, as everything that is read lies before it.
        """
        return self.as_of - self.within - wait, self.as_of - wait

    def days(self, after: dt.timedelta) -> tuple[dt.datetime, dt.datetime]:
        """Return the same for calendar days, due at midnight so long ``after`` (or before, if negative).

        The day that begins at ``as_of`` is due: a birthday is answered on the day, not on the next.
        """
        low, high = (midnight(at - after) + DAY for at in (self.as_of - self.within, self.as_of))
        return low, high


def midnight(moment: dt.datetime) -> dt.datetime:
    """Return the midnight that begins the day of a moment."""
    return dt.datetime(moment.year, moment.month, moment.day)


def rows_of(plan: nw.LazyFrame[Any]) -> pd.DataFrame:
    """Compute a plan as a pandas table whose moments are NumPy's, whatever the engine."""
    table: pd.DataFrame = collect(plan).to_pandas().reset_index(drop=True)
    moments = [name for name in table.columns if pd.api.types.is_datetime64_any_dtype(table[name])]
    return table.astype(dict.fromkeys(moments, "datetime64[us]"))


def refuse_unknown(lines: nw.LazyFrame[Any], column: str, wanted: Iterable[str], *, told: str, caller: str) -> None:
    """Refuse words that do not occur in a column at all: a misspelt one would be due to nobody, for ever."""
    words = lines.filter(~nw.col(column).is_null()).select(column).unique().sort(column).head(MOST_WORDS)
    known = rows_of(words)[column].tolist()
    unknown = [name for name in wanted if name not in known]
    if unknown and len(known) < MOST_WORDS:
        msg = f"{caller}: {told} {unknown[0]!r}.{did_you_mean(unknown[0], known)} There are: {known}"
        raise SchemaError(msg)


def found(customers: Iterable[Any], events: Any, reasons: Sequence[str], *, due: Any = None) -> pd.DataFrame:
    """Return what a rule found: ``customer_id``, ``event_at``, ``due_at`` (that of the event if not given), reasons."""
    event_at = pd.Series(list(events), dtype="datetime64[us]")
    due_at = event_at if due is None else pd.Series(list(due), dtype="datetime64[us]")
    ids = pd.Series(list(customers), dtype=object)
    return pd.DataFrame({"customer_id": ids, "event_at": event_at, "due_at": due_at, "reason": list(reasons)})
