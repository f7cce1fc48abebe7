"""What moments cannot tell: the order of events that share one, and pauses where a clock is changed."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from crmlytics._validation import LONGEST_DAYS, warn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

MANY_TIES = 20  # one event in so many may share its moment before it is told
HOUR = 3_600_000_000  # microseconds
DAY = 24 * HOUR
MICROSECOND = dt.timedelta(microseconds=1)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def tell_of_ties(group: NDArray[Any], moment: Ints, what: NDArray[Any], *, caller: str) -> None:
    """Warn where more than 5 % of events share their moment with another one of their group that is something else.

    All are arrays of the events in order of group and moment; ``what`` happened is a code.
    """
    tied = tied_count(group, moment, what)
    if tied * MANY_TIES > len(moment):
        warn(
            f"{caller}: {tied:,} of {len(moment):,} events share their moment with another event of the same "
            "customer or session, so their order is made up. If rows stand in order, number them within it and make "
            'moments that keep the order: timestamp + pd.to_timedelta(counter, unit="s").'
        )


def tied_count(group: NDArray[Any], moment: Ints, what: NDArray[Any]) -> int:
    """Count the events in runs of the same group and moment that hold different things."""
    if not len(moment):
        return 0
    is_new = np.concatenate(([True], (group[1:] != group[:-1]) | (moment[1:] != moment[:-1])))
    begins = np.flatnonzero(is_new)
    is_mixed = np.minimum.reduceat(what, begins) < np.maximum.reduceat(what, begins)
    return int(np.diff(np.append(begins, len(moment)))[is_mixed].sum())


def tell_of_clock_changes(moment: Ints, time_zone: str | None, *, caller: str) -> None:
    """Warn of events within an hour of a change of the clock: local time jumps there.

    ``moment`` is in microseconds of the local time of ``time_zone``, in any order.
    """
    if time_zone is None:
        return
    changes = clock_changes(time_zone, moment)
    near = {when: int(((moment >= first - HOUR) & (moment < last + HOUR)).sum()) for first, last, when in changes}
    near = {when: count for when, count in near.items() if count}
    if near:
        warn(
            f"{caller}: {sum(near.values()):,} of {len(moment):,} events are within an hour of a change of the clock "
            f"in {time_zone} ({', '.join(near)}), where local time jumps: pauses are wrong by it, and when it goes "
            'back events change places. For sessions and ways say time_zone="UTC".'
        )


def clock_changes(time_zone: str, moment: Ints) -> list[tuple[int, int, str]]:
    """Find the changes of a clock near some local moments: the local times left out or had twice, and the day."""
    try:
        zone = ZoneInfo(time_zone)
    except ZoneInfoNotFoundError:  # a system without a data base of zones
        return []
    here = np.unique(moment // DAY)
    found = []
    for number in np.unique(np.concatenate([here - 1, here, here + 1])).tolist():
        if not -LONGEST_DAYS < number < LONGEST_DAYS:  # a date such as 9999-12-31 means none
            continue
        start = EPOCH + number * MICROSECOND * DAY
        jump = _offset(start, zone), _offset(start + DAY * MICROSECOND, zone)
        if jump[0] != jump[1]:
            change = _change_between(start, start + DAY * MICROSECOND, zone)
            low, high = ((change + offset - EPOCH) // MICROSECOND for offset in sorted(jump))
            found.append((low, high, str((change + jump[0]).date())))
    return found


def _offset(instant: dt.datetime, zone: ZoneInfo) -> dt.timedelta:
    return instant.astimezone(zone).utcoffset() or dt.timedelta()


def _change_between(before: dt.datetime, after: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """Return the first second at which the clock is as it is at the later instant."""
    offset = _offset(after, zone)
    while after - before > dt.timedelta(seconds=1):
        middle = before + (after - before) / 2
        before, after = (before, middle) if _offset(middle, zone) == offset else (middle, after)
    return after.replace(microsecond=0)
