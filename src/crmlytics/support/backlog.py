"""What is left to do: tickets opened and closed, and those open at the end of each period, with their age."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._periods import period_grid
from crmlytics._validation import as_moment
from crmlytics.support._reading import HOUR, NEVER, read_tickets

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics._periods import PeriodGrid
    from crmlytics.support._reading import KnownTickets, Moments
    from crmlytics.tables import Tickets

    Counts = NDArray[np.int64]

CALLER = "backlog_table"
COUNTS = ("backlog_start_count", "opened_count", "closed_count", "backlog_end_count", "reopened_count",
          "reopened_backlog_count")  # fmt: skip
SCHEMA = nw.Schema(
    {"by": nw.String(), "group": nw.String(), "period_index": nw.Int64()}
    | {"period_start": nw.Datetime("us"), "period_end": nw.Datetime("us"), "is_complete": nw.Boolean()}
    | dict.fromkeys(COUNTS, nw.Int64())
    | {"median_age_hours": nw.Float64(), "oldest_age_hours": nw.Float64(), "caution": nw.String()}
)


def backlog_table(
    tickets: Tickets | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    period: str | dt.timedelta = "7d",
    by: str | None = None,
) -> Any:
    """Count, period by period, the tickets opened and closed and those left open, and say how old these are.

    Parameters
    ----------
    tickets : Tickets or dataframe, one row per ticket
        Needs ``ticket_id``, ``opened_at`` and ``closed_at``; with ``reopened_at`` tickets reopened are counted.
    as_of : date
        The day described from: nothing that happened on or after it is read.
    period : "month", "quarter", "year" or duration such as "7d" or "4w"
        Periods of days are counted back from ``as_of``.
    by : {"category", "priority", "channel"}, optional
        Rows for each of them; without it rows for all.

    Returns
    -------
    dataframe of the kind that came in, one row per group and period, sorted by both
        ``by``, ``group`` (String), ``period_index`` (Int64), ``period_start``, ``period_end`` (Datetime, exclusive),
        ``is_complete`` (Boolean, whether the tickets cover all of the period);

        ``backlog_start_count + opened_count - closed_count = backlog_end_count`` (Int64; the end is that of the
        period, or ``as_of``); with ``reopened_at`` ``reopened_count`` (Int64, tickets reopened in the period) and
        ``reopened_backlog_count`` (Int64, tickets reopened after their ``closed_at`` by the end: as the table does not
        say when they were closed again, they are not in the backlog, and it may be so much larger);

        ``median_age_hours``, ``oldest_age_hours`` (Float64, of the tickets open at the end, by the clock; null where
        there are none); ``caution`` (String, null where there is none).

    Raises
    ------
    SchemaError, MissingColumnsError
        For a date or period that cannot be read, a role without a column, or no ticket before ``as_of``.

    Notes
    -----
    The backlog begins empty with the first ticket of the table: what was open before is not in it. A ticket that was
    closed, reopened and closed again has one ``closed_at``, the last, and is open until then.

    When not to use: of an export of closed tickets alone, in which every backlog ends at nothing, or of one older than
    ``as_of``, after which nothing is closed. ``caution`` says where it looks like one.

    Examples
    --------
    >>> import pandas as pd
    >>> moments = lambda *days: pd.to_datetime([None if day is None else f"2024-01-{day:02}" for day in days])
    >>> tickets = pd.DataFrame({
    ...     "ticket_id": [1, 2, 3, 4], "opened_at": moments(1, 3, 5, 12), "closed_at": moments(2, 9, None, 13),
    ... })
    >>> table = backlog_table(tickets, as_of="2024-01-15")
    >>> table[["period_start", "opened_count", "closed_count", "backlog_end_count", "oldest_age_hours"]]
      period_start  opened_count  closed_count  backlog_end_count  oldest_age_hours
    0   2024-01-01             3             1                  2             120.0
    1   2024-01-08             1             2                  1             240.0
    """
    grid = period_grid(period, as_of=as_moment(as_of, caller=CALLER), caller=CALLER)
    known = read_tickets(tickets, "closed_at", as_of=as_of, by=by, caller=CALLER)
    periods = _periods(known, grid)
    ends = np.minimum(np.array(periods["period_end"], "datetime64[us]").astype(np.int64), known.as_of)
    parts = [_of_group(known, known.group == group, ends) for group in range(known.groups)]
    columns: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns |= {name: values * known.groups for name, values in periods.items()}
    labels = known.labels() | {"caution": known.cautions()}
    columns |= {name: np.repeat(np.array(words, object), len(ends)) for name, words in labels.items()}
    has_reopened = "reopened_at" in known.roles
    schema = nw.Schema({name: kind for name, kind in SCHEMA.items() if has_reopened or "reopened" not in name})
    return known.engine.from_columns({name: columns[name] for name in schema}, schema)


def _periods(known: KnownTickets, grid: PeriodGrid) -> dict[str, list[Any]]:
    """Return the periods from the first ticket to ``as_of``, also those in which nothing happened."""
    first = as_moment(known.opened.min().astype("datetime64[us]"), name="opened_at", caller=CALLER)
    numbers = list(range(grid.number_of(first), grid.last + 1))
    starts, ends = [grid.start(n) for n in numbers], [grid.start(n + 1) for n in numbers]
    is_covered = [start.date() >= first.date() for start in starts]
    return {
        "period_index": numbers,
        "period_start": starts,
        "period_end": ends,
        "is_complete": [known and end <= grid.as_of for known, end in zip(is_covered, ends, strict=True)],
    }


def _of_group(known: KnownTickets, inside: NDArray[np.bool_], ends: Moments) -> dict[str, NDArray[Any]]:
    opened, closed, reopened = known.opened[inside], known.closed[inside], known.reopened[inside]
    again = np.where(reopened > closed, reopened, NEVER)
    opened_by, closed_by, reopened_by, again_by = (_by(moments, ends) for moments in (opened, closed, reopened, again))
    left = opened_by - closed_by
    median, oldest = _ages(opened, closed, ends)
    return {
        "backlog_start_count": np.append(0, left[:-1]),
        "opened_count": np.diff(opened_by, prepend=0),
        "closed_count": np.diff(closed_by, prepend=0),
        "backlog_end_count": left,
        "reopened_count": np.diff(reopened_by, prepend=0),
        "reopened_backlog_count": again_by,
        "median_age_hours": median,
        "oldest_age_hours": oldest,
    }


def _by(moments: Moments, ends: Moments) -> Counts:
    """Count the moments before each end."""
    return np.searchsorted(np.sort(moments), ends, side="left")


def _ages(opened: Moments, closed: Moments, ends: Moments) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the median and the greatest age, in hours, of what is open at each end."""
    median, oldest = np.full(len(ends), np.nan), np.full(len(ends), np.nan)
    for place, end in enumerate(ends.tolist()):
        ages = (end - opened[(opened < end) & (closed >= end)]) / HOUR
        if len(ages):
            median[place], oldest[place] = np.median(ages), ages.max()
    return median, oldest
