"""Sessions of events in order of time, as functions on arrays: where they begin and what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._kernels.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DAY = 86_400_000_000  # microseconds


def time_order(
    groups: Sequence[NDArray[np.int32]], moment: NDArray[np.int64], ties: Sequence[NDArray[Any]]
) -> NDArray[np.int64]:
    """Return the order by groups (the first one outermost), then by time, then by ties (the first one first).

    Ties are rare and many columns slow to sort by: only events of the same group and moment are sorted by them.
    """
    keys: tuple[NDArray[np.integer], ...] = (*groups, moment)
    order = np.lexsort(keys[::-1])
    alike = np.ones(max(len(order) - 1, 0), bool)
    for key in keys:
        in_order = key[order]
        alike &= in_order[1:] == in_order[:-1]
    if not alike.any() or not ties:
        return order
    run = np.concatenate(([0], np.cumsum(~alike)))
    tied = np.flatnonzero(np.append(alike, False) | np.append(False, alike))
    rows = order[tied]
    order[tied] = rows[np.lexsort((*(tie[rows] for tie in ties[::-1]), run[tied]))]
    return order


@compiled
def session_begins(
    starts: NDArray[np.int64],
    moment: NDArray[np.int64],
    channel: NDArray[np.int32],
    gap: int,
    new_day: bool,
    new_channel: bool,
) -> NDArray[np.bool_]:
    """Whether each event begins a session: the first of its group, and after a pause longer than ``gap``.

    With ``new_day`` also the first of a day; with ``new_channel`` one of another channel than the last known one of
    the session (-1: not known).
    """
    begins = np.zeros(len(moment), np.bool_)
    for group in range(len(starts) - 1):
        known = -1
        for event in range(starts[group], starts[group + 1]):
            new = event == starts[group] or moment[event] - moment[event - 1] > gap
            new = new or (new_day and moment[event] // DAY != moment[event - 1] // DAY)
            new = new or (new_channel and known >= 0 and channel[event] >= 0 and channel[event] != known)
            begins[event] = new
            if new or channel[event] >= 0:
                known = channel[event]
    return begins


@compiled
def distinct_counts(starts: NDArray[np.int64], codes: NDArray[np.int32], code_count: int) -> NDArray[np.int64]:
    """Count the different codes of each run; -1 is none."""
    counts = np.zeros(len(starts) - 1, np.int64)
    last_seen = np.full(code_count, -1, np.int64)
    for run in range(len(starts) - 1):
        for place in range(starts[run], starts[run + 1]):
            code = codes[place]
            if code >= 0 and last_seen[code] != run:
                last_seen[code] = run
                counts[run] += 1
    return counts


@compiled
def first_known(starts: NDArray[np.int64], codes: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the place of the first code of each run that is not -1, or -1."""
    found = np.full(len(starts) - 1, -1, np.int64)
    for run in range(len(starts) - 1):
        for place in range(starts[run], starts[run + 1]):
            if codes[place] >= 0:
                found[run] = place
                break
    return found


@compiled
def latest_known(starts: NDArray[np.int64], moment: NDArray[np.int64], codes: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the place of the latest code of each run that is not -1, or -1; runs may be out of order in time."""
    found = np.full(len(starts) - 1, -1, np.int64)
    for run in range(len(starts) - 1):
        for place in range(starts[run], starts[run + 1]):
            if codes[place] >= 0 and (found[run] < 0 or moment[place] >= moment[found[run]]):
                found[run] = place
    return found
