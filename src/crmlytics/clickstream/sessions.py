"""Sessions: which events belong to one visit, and what each visit was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect
from crmlytics._lists import table_with_lists
from crmlytics.clickstream._reading import (
    SECOND,
    USUAL_GAP,
    codes_named,
    enter_events,
    made_sessions,
    ordered_clicks,
    read_visits,
    what_happens,
)
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Events

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics._frames import Engine
    from crmlytics.clickstream._reading import Visits

DAY = 86_400 * SECOND
ADDED = ("session_id", "session_number")


def add_sessions(
    events: Events | Any,
    *,
    gap: str | dt.timedelta = USUAL_GAP,
    new_day: bool = False,
    new_channel: bool = False,
) -> Any:
    """Say which session each event belongs to.

    A session is a run of events of one customer in which no pause is longer than ``gap``: a pause of exactly ``gap``
    goes on with the session.

    Parameters
    ----------
    events : Events or dataframe, one row per event
        Needs ``customer_id`` and ``timestamp``; no ``session_id``.
    gap : str or timedelta, default "30m"
        The longest pause within a session, such as ``"90s"``, ``"30m"`` or ``"12h"``.
    new_day : bool
        Whether a session ends at midnight.
    new_channel : bool
        Whether a session ends where an event has another ``channel`` (or campaign) than the last one known of the
        session. An event without a channel goes on with the session.

    Returns
    -------
    dataframe of the kind that came in, one row per event that the contract keeps
        All columns of the events, those with a role under its name, and ``session_id`` (String,
        ``"<customer_id>/<session_number>"``) and ``session_number`` (Int64, which session of the customer, from 1).
        Sorted by customer, time, ``event``, ``page``, ``channel`` and ``amount``; rows equal in these stay as they
        came.

    Raises
    ------
    SchemaError
        When the events have a ``session_id`` already, or a column of their own that is called ``session_number``.

    Notes
    -----
    Events of the same moment are of one session, unless ``new_channel`` parts them; then they are taken in order of
    ``event``, ``page`` and ``channel``. A session at the end of the data may still go on: later events change neither
    ids nor numbers, but earlier ones do.

    30 minutes are a custom, not a law of nature: where :func:`session_table` shows many sessions of one event, or many
    that begin minutes after the last one ended, try another.

    Examples
    --------
    >>> import pandas as pd
    >>> clicks = pd.DataFrame({
    ...     "customer_id": ["a", "a", "a"], "event": ["home", "product", "home"],
    ...     "timestamp": pd.to_datetime(["2024-05-01 10:00", "2024-05-01 10:30", "2024-05-01 11:01"]),
    ... })
    >>> add_sessions(clicks)[["event", "session_id", "session_number"]]
         event session_id  session_number
    0     home        a/1               1
    1  product        a/1               1
    2     home        a/2               2
    """
    caller = "add_sessions"
    whole = Events.bind(events)
    names = whole.columns
    _refuse_taken(names, caller)
    whole.need("customer_id", "timestamp", *(["channel"] if new_channel else []), caller=caller)
    lines = collect(whole.need(*names, caller=caller).select(names))
    roles = [name for name in ("customer_id", "timestamp", "event", "page", "channel", "amount") if whole.has(name)]
    clicks = ordered_clicks(lines.select(roles).to_arrow(), ["customer_id"], time_zone=whole.time_zone, caller=caller)
    visits = made_sessions(clicks, gap, new_day=new_day, new_channel=new_channel, caller=caller)
    session = np.repeat(np.arange(len(visits)), np.diff(visits.starts))
    added = {"session_id": visits.ids(whole.engine)[session], "session_number": visits.number[session]}
    return whole.engine.from_eager(_with_columns(lines[clicks.rows], added))


def session_table(
    events: Events | Any,
    *,
    gap: str | dt.timedelta | None = None,
    converted: Any = None,
    as_of: str | dt.date | dt.datetime | None = None,
    new_day: bool = False,
    new_channel: bool = False,
) -> Any:
    """Summarise each session: when, how long, where it began and ended, whether it bounced or converted.

    Parameters
    ----------
    events : Events or dataframe, one row per event
        Needs ``timestamp``, ``event`` or ``page``, and ``session_id`` or ``customer_id``.
    gap : str or timedelta, optional
        The longest pause within a session, as :func:`add_sessions` takes it. None: the sessions given by
        ``session_id``, which needs to be unique only within a customer; without such a column, ``"30m"``.
    converted : str or list, optional
        The events that make a session a success, such as ``"purchase"`` (the pages, where no ``event`` is bound).
    as_of : date, optional
        Only events before this moment are read.
    new_day, new_channel : bool
        Where else sessions that are made end, as for :func:`add_sessions`.

    Returns
    -------
    dataframe of the kind that came in, one row per session, by customer, beginning and id
        ``session_id`` (as given; String where sessions are made), ``customer_id`` (with that role),
        ``started_at``, ``ended_at`` (datetime, the first and last event), ``duration_seconds`` (Float64, between
        these two), ``event_count`` (Int64), ``page_count`` (Int64, different pages; different events where no ``page``
        is bound), ``entry``, ``exit`` (the first and last page, or event; missing where that event has no page),
        ``bounced`` (Boolean, a single event), ``converted`` (Boolean) and ``converted_at`` (datetime, the first such
        event; both only where ``converted`` is named), ``amount`` (Float64, summed over the events; with that role),
        ``channel`` (the first one known; with that role), ``visit_number`` (Int64, which session of the customer, from
        1) and ``days_since_previous`` (Float64, whole calendar days since the customer's last session began, missing
        for the first; both with ``customer_id``).

    Raises
    ------
    MissingColumnsError
        When neither ``event`` nor ``page`` is bound, or a customer is needed to make sessions.
    SchemaError
        When ``new_day`` or ``new_channel`` is asked of sessions that are given.

    Warns
    -----
    DataQualityWarning
        When no event is called as ``converted`` says, events have no ``session_id``, customers share one, more than 5 %
        of events share their moment with another one of the session, or some are near a change of the clock.

    Notes
    -----
    How long the last page was looked at is not known: nothing was clicked after it. So ``duration_seconds`` is too
    short by that time, and 0 where a session has one event. Compare durations of sessions with as many events.

    Examples
    --------
    >>> import pandas as pd
    >>> clicks = pd.DataFrame({
    ...     "customer_id": ["a", "a", "a"], "event": ["home", "purchase", "home"],
    ...     "timestamp": pd.to_datetime(["2024-05-01 10:00", "2024-05-01 10:20", "2024-05-03 09:00"]),
    ... })
    >>> table = session_table(clicks, converted="purchase")
    >>> table[["session_id", "duration_seconds", "bounced", "converted", "days_since_previous"]]
      session_id  duration_seconds  bounced  converted  days_since_previous
    0        a/1            1200.0    False       True                  NaN
    1        a/2               0.0     True      False                  2.0
    """
    caller = "session_table"
    table = enter_events(events, as_of=as_of, caller=caller)
    what = what_happens(table, caller=caller)
    others = [role for role in ("channel", "amount") if table.has(role)]
    visits = read_visits(table, gap, new_day=new_day, new_channel=new_channel, others=others, caller=caller)
    visits.tell_of_ties(caller=caller)
    order = np.lexsort((visits.number, visits.customer))
    columns = _named(visits, table.engine) | _measured(visits, table.engine)
    if converted is not None:
        columns |= _conversions(
            visits, codes_named(converted, visits.clicks, what, argument="converted", caller=caller)
        )
    columns |= _sourced(visits, table.engine)
    columns = {name: _taken(values, order) for name, values in columns.items()}
    if "customer_id" in columns:
        columns |= _repeated(visits, order)
    return table_with_lists(table.engine, columns)


# -- inside --------------------------------------------------------------------------------------------------------


def _refuse_taken(names: list[str], caller: str) -> None:
    """Refuse events that have one of the columns to be added."""
    if "session_id" in names:
        msg = (
            f"{caller}: the events have a session_id already. Use it, as session_table does, or leave it unused: "
            "Events(data, session_id=None)."
        )
        raise SchemaError(msg)
    taken = [name for name in names if name.lower() in ADDED]
    if taken:
        msg = f"{caller}: the events have a column {taken[0]!r} of their own. Rename it first."
        raise SchemaError(msg)


def _with_columns(lines: nw.DataFrame[Any], columns: dict[str, NDArray[Any]]) -> nw.DataFrame[Any]:
    kinds = {"session_id": nw.String(), "session_number": nw.Int64()}
    made = [nw.new_series(name, values, kinds[name], backend=lines.implementation) for name, values in columns.items()]
    return lines.with_columns(*made)


def _named(visits: Visits, engine: Engine) -> dict[str, Any]:
    first = visits.starts[:-1]
    clicks = visits.clicks
    owner = {"customer_id": clicks.values("customer_id", first, engine)} if "customer_id" in clicks.codes else {}
    return {"session_id": visits.ids(engine)} | owner


def _measured(visits: Visits, engine: Engine) -> dict[str, Any]:
    """Return when each session was, and what was seen in it."""
    from crmlytics._kernels.sessions import distinct_counts

    clicks, first, last = visits.clicks, visits.starts[:-1], visits.starts[1:] - 1
    seen = clicks.seen
    return {
        "started_at": _moments(clicks.moment[first]),
        "ended_at": _moments(clicks.moment[last]),
        "duration_seconds": (clicks.moment[last] - clicks.moment[first]) / SECOND,
        "event_count": last - first + 1,
        "page_count": distinct_counts(visits.starts, clicks.codes[seen], len(clicks.ids[seen])),
        "entry": clicks.values(seen, first, engine),
        "exit": clicks.values(seen, last, engine),
        "bounced": last == first,
    }


def _conversions(visits: Visits, is_wanted: NDArray[np.bool_]) -> dict[str, Any]:
    """Return whether and when each session converted."""
    from crmlytics._kernels.sessions import first_known

    clicks = visits.clicks
    what = clicks.codes["event" if "event" in clicks.codes else "page"]
    hits = np.where(np.append(is_wanted, False)[what], 0, -1).astype(np.int32)  # the last place is that of -1, no page
    place = first_known(visits.starts, hits)
    at = np.where(place >= 0, _moments(clicks.moment[place]), np.datetime64("NaT", "us"))
    return {"converted": place >= 0, "converted_at": at}


def _sourced(visits: Visits, engine: Engine) -> dict[str, Any]:
    """Return what each session brought, and where it came from."""
    from crmlytics._kernels.sessions import first_known

    clicks = visits.clicks
    columns: dict[str, Any] = {}
    if clicks.amount is not None:
        columns["amount"] = np.add.reduceat(clicks.amount, visits.starts[:-1]) if len(visits) else np.zeros(0)
    if "channel" in clicks.codes:
        columns["channel"] = clicks.values("channel", first_known(visits.starts, clicks.codes["channel"]), engine)
    return columns


def _repeated(visits: Visits, order: NDArray[np.int64]) -> dict[str, Any]:
    """Return which visit each session (in ``order``) is, and how long after the one before."""
    number, day = visits.number[order], visits.clicks.moment[visits.starts[:-1]][order] // DAY
    days = np.diff(day, prepend=day[:1]).astype(float)
    return {"visit_number": number, "days_since_previous": np.where(number > 1, days, np.nan)}


def _moments(microseconds: NDArray[np.int64]) -> NDArray[Any]:
    return microseconds.astype("datetime64[us]")


def _taken(values: Any, order: NDArray[np.int64]) -> Any:
    return values.take(order)
