"""What pages (or events) do: who enters, stays, leaves there, and who goes round in circles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import table_with_lists
from crmlytics.clickstream._walks import MICROSECONDS, read_walks, until_conversion

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics.clickstream._walks import Approaches, Walks
    from crmlytics.tables import Events

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

QUARTILES = (0.25, 0.5, 0.75)
OF_CONVERSION = ("conversion_share_with", "conversion_share_without")


def page_table(
    events: Events | Any,
    *,
    item: str = "page",
    by: str | None = None,
    converted: Any = None,
    as_of: str | dt.date | dt.datetime | None = None,
) -> Any:
    """Describe each page: how often it is visited, how many enter and leave there, and how long they stay.

    Parameters
    ----------
    events : Events or dataframe, one row per event
        Needs ``timestamp``, the role of ``item`` and that of ``by``.
    item : {"page", "event", "channel"}
        What is described.
    by : {"session_id", "customer_id"}, optional
        What is entered and left: sessions (where there are any, by default). By customers the time on a page may be the
        days until they come back: make sessions first (see :func:`add_sessions`).
    converted : str, int or list of them, optional
        The events that are the conversion (what ``item`` says, where no ``event`` is bound); of several, whichever
        comes first.
    as_of : date, optional
        Only events before it.

    Returns
    -------
    dataframe of the kind that came in, one row per page, sorted by it
        ``page`` (or as ``item`` is called; Int64 or String), ``visit_count`` (Int64),
        ``sequence_count`` (Int64, sessions or customers that hold it), ``entry_count``, ``exit_count`` (Int64,
        those that begin, and end, with it), ``bounce_count`` (Int64, those that hold nothing else: one event),
        ``entry_share`` (Float64, of all sessions, those that begin here), ``exit_share`` (Float64, of visits, those
        that were the last), ``bounce_share`` (Float64, of entries, those that were all; null without entries),
        ``timed_count`` (Int64, visits followed by another event), and of these, from one event to the next,
        ``mean_seconds``, ``lower_quartile_seconds``, ``median_seconds``, ``upper_quartile_seconds`` (Float64; null
        if there are none); ``conversion_share`` (Float64, of the sessions that hold the page before any conversion,
        those that converted; null without ``converted`` and of pages seen only after it).

    Notes
    -----
    How long visitors look at the last page of a session nobody knows: it has no next event. So times describe visits
    that went on, and say little of pages that most leave from: compare ``timed_count`` with ``visit_count``. The mean
    follows a few who were called away: read the median.

    Where most leave there need be no fault: after paying there is nothing left to do.

    Examples
    --------
    >>> import pandas as pd
    >>> clicks = pd.DataFrame({
    ...     "session_id": [1, 1, 1, 2], "page": ["home", "shoes", "home", "home"],
    ...     "timestamp": pd.to_datetime(["2024-05-01"] * 4) + pd.to_timedelta([0, 10, 40, 0], "s"),
    ... })
    >>> page_table(clicks)[["page", "visit_count", "entry_count", "exit_share", "bounce_share", "median_seconds"]]
        page  visit_count  entry_count  exit_share  bounce_share  median_seconds
    0   home            3            2    0.666667           0.5            10.0
    1  shoes            1            0    0.000000           NaN            30.0
    """
    walks = read_walks(events, by=by, item=item, as_of=as_of, caller="page_table")
    counts = _visits(walks)
    converting = np.full(len(walks.state_ids), np.nan)
    if converted is not None:
        converting = _conversion_shares(walks, converted, caller="page_table")
    columns = {item: walks.state_ids, **counts, **_times(walks), "conversion_share": converting}
    return table_with_lists(walks.engine, columns)


def loop_table(
    events: Events | Any,
    *,
    item: str = "event",
    by: str | None = None,
    converted: Any = None,
    as_of: str | dt.date | dt.datetime | None = None,
) -> Any:
    """Count who goes round in circles: repeats (A A) and returns (A B A), and whether they convert less than others.

    Parameters
    ----------
    events : Events or dataframe, one row per event
        Needs ``timestamp``, the role of ``item`` and that of ``by``.
    item : {"event", "page", "channel"}
        What is repeated.
    by : {"session_id", "customer_id"}, optional
        What loops are looked for in: sessions (where there are any, by default) or all that a customer did.
    converted : str, int or list of them, optional
        The events that are the conversion (what ``item`` says, where no ``event`` is bound); of several, whichever
        comes first. Loops are counted before it only, so that what follows cannot explain it.
    as_of : date, optional
        Only events before it.

    Returns
    -------
    dataframe of the kind that came in, two rows per event that was seen (before conversion), sorted by both columns
        ``event`` (or as ``item`` is called; Int64 or String), ``loop`` (String: "repeat", the same event twice
        running; "return", back after one other event), ``loop_count`` (Int64), ``sequence_count`` (Int64, sessions or
        customers that hold the event), ``loop_sequence_count`` (Int64, those of them that hold the loop),
        ``loop_sequence_share`` (Float64, their share), ``conversion_share_with``, ``conversion_share_without``
        (Float64, of the sessions that hold the event, with the loop and without it, those that converted; null where
        there are none, or without ``converted``).

    Notes
    -----
    A loop may be a dead end (the same error again and again) or good shopping (from the list to a product and back).
    The two shares compare sessions that both saw the event; they still differ in more than the loop, since longer
    sessions have more of everything.

    Examples
    --------
    >>> import pandas as pd
    >>> paths = ["list item list item buy", "list item", "error error"]
    >>> clicks = pd.DataFrame(
    ...     [(s, pd.Timestamp(2024, 5, 1, i), e) for s, path in enumerate(paths) for i, e in enumerate(path.split())],
    ...     columns=["session_id", "timestamp", "event"],
    ... )
    >>> loops = loop_table(clicks, converted="buy").query("loop_count > 0")
    >>> loops[["event", "loop", "loop_count", "loop_sequence_share", "conversion_share_with"]]
       event    loop  loop_count  loop_sequence_share  conversion_share_with
    0  error  repeat           1                  1.0                    0.0
    3   item  return           1                  0.5                    1.0
    5   list  return           1                  0.5                    1.0
    """
    caller = "loop_table"
    walks = read_walks(events, by=by, item=item, as_of=as_of, caller=caller)
    size = len(walks.state_ids)
    is_known = converted is not None
    converts = walks.converts(converted, caller=caller) if is_known else np.zeros(len(walks.clicks.moment), bool)
    columns = _loop_columns(until_conversion(walks, converts), size)
    if not is_known:
        columns |= dict.fromkeys(OF_CONVERSION, np.full(2 * size, np.nan))
    columns = {item: np.repeat(walks.state_ids, 2), **columns}
    rows = np.flatnonzero(columns["sequence_count"])
    return table_with_lists(walks.engine, {name: values[rows] for name, values in columns.items()})


# -- inside --------------------------------------------------------------------------------------------------------


def _visits(walks: Walks) -> dict[str, Any]:
    """Count visits, and those that begin a walk, end it, or are all of it."""
    from crmlytics._kernels.proportion_tests import share
    from crmlytics._kernels.transitions import walks_with

    size, states = len(walks.state_ids), walks.states
    begins, ends = states[walks.starts[:-1]], states[walks.starts[1:] - 1]
    visits, entries, exits = (np.bincount(some, minlength=size) for some in (states, begins, ends))
    bounces = np.bincount(begins[np.diff(walks.starts) == 1], minlength=size)
    return {
        "visit_count": visits,
        "sequence_count": walks_with(states, walks.walk(), size),
        "entry_count": entries,
        "exit_count": exits,
        "bounce_count": bounces,
        "entry_share": entries / max(len(walks), 1),
        "exit_share": exits / visits,
        "bounce_share": share(bounces, entries),
    }


def _times(walks: Walks) -> dict[str, Any]:
    """Return how long visits lasted that another event of the same walk followed."""
    from crmlytics._kernels.proportion_tests import share
    from crmlytics._kernels.transitions import grouped_quantiles

    walk, size = walks.walk(), len(walks.state_ids)
    goes_on = walk[1:] == walk[:-1]
    states, waited = walks.states[:-1][goes_on], np.diff(walks.moment)[goes_on]
    timed = np.bincount(states, minlength=size)
    lower, median, upper = grouped_quantiles(states, waited, size, QUARTILES) / MICROSECONDS
    return {
        "timed_count": timed,
        "mean_seconds": share(np.bincount(states, weights=waited / MICROSECONDS, minlength=size), timed),
        "lower_quartile_seconds": lower,
        "median_seconds": median,
        "upper_quartile_seconds": upper,
    }


def _conversion_shares(walks: Walks, converted: Any, *, caller: str) -> Floats:
    from crmlytics._kernels.proportion_tests import share
    from crmlytics._kernels.transitions import walks_with

    before = until_conversion(walks, walks.converts(converted, caller=caller))
    walk, states, size = before.walk(), before.states, len(walks.state_ids)
    return share(walks_with(states, walk, size, before.is_converted), walks_with(states, walk, size))


def _loop_columns(before: Approaches, size: int) -> dict[str, Any]:
    """Return two rows for each state, of its repeats and its returns."""
    from crmlytics._kernels.proportion_tests import share
    from crmlytics._kernels.transitions import walks_with

    walk, states = before.walk(), before.states
    held = np.repeat(walks_with(states, walk, size), 2)
    converting = np.repeat(walks_with(states, walk, size, before.is_converted), 2)
    loops = [_loops(states, walk, back, size, before.is_converted) for back in (1, 2)]
    count, looping, converting_too = (np.stack(column, axis=1).ravel() for column in zip(*loops, strict=True))
    shares = (share(converting_too, looping), share(converting - converting_too, held - looping))
    return {
        "loop": np.tile(np.array(["repeat", "return"], dtype=object), size),
        "loop_count": count,
        "sequence_count": held,
        "loop_sequence_count": looping,
        "loop_sequence_share": share(looping, held),
        **dict(zip(OF_CONVERSION, shares, strict=True)),
    }


def _loops(states: Ints, walk: Ints, back: int, size: int, marked: NDArray[np.bool_]) -> tuple[Ints, Ints, Ints]:
    """Count who is again where they were ``back`` steps ago, the walks that hold that, and the marked ones of them."""
    from crmlytics._kernels.transitions import walks_with

    is_back = (states[back:] == states[:-back]) & (walk[back:] == walk[:-back])
    if back > 1:
        is_back &= states[back:] != states[back - 1 : -1]  # A A A repeats itself twice, and returns nowhere
    states, walk = states[back:][is_back], walk[back:][is_back]
    return np.bincount(states, minlength=size), walks_with(states, walk, size), walks_with(states, walk, size, marked)
