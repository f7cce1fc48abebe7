"""Mining short sequences, or such of many different items: each pattern is followed to where it is first complete.

For each sequence that holds a pattern one number is kept, the place of its last item where the pattern is complete for
the first time. Items in later elements may follow the pattern; items behind the place in the same element, or behind
the same last element in any later one, may join it (J. Pei, J. Han et al. (2004), "Mining sequential patterns by
pattern-growth: the PrefixSpan approach", with pseudo-projection). An item counts once a sequence: the first time, which
a look at the place of the same item before it tells. The last place of a sequence is not kept: nothing is behind it,
and a pattern with too few places left is not extended.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crmlytics._kernels.compiled import compiled
from crmlytics._kernels.sequence_rows import (
    BYTES_A_ROW,
    JOINED,
    LARGEST,
    LATER,
    RESULTS,
    STACK,
    TooManySequencesError,
    grown,
    is_over,
    ranges_of,
    with_a_free_row,
    write,
)
from crmlytics._kernels.working import GO

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from crmlytics._kernels.sequence_rows import Frequent, Question
    from crmlytics._kernels.working import Controls

    Ints = NDArray[np.int32]
    Longs = NDArray[np.int64]

BYTES_A_PLACE = 40  # see Places; and the sequences without rare items, from which they are made
ITEM, BEFORE, AFTER, BEGIN, END, LAST = range(6)  # what is known about a place, see Places
WIDTH = 5  # of an extension: item, step, count, and where its places begin and end


class Places(NamedTuple):
    """Where each item stands.

    Attributes
    ----------
    about : int32 array, shape (places, 6)
        For each place, sequence after sequence, element after element, side by side because they are read together:
        its item; the place of the same item before it in the sequence, and after it, -1 where there is none; where its
        element begins and ends; where its sequence ends.
    first_places : int32 array
        Places where an item is first in its sequence, sorted by item: those of item ``i`` are
        ``first_places[firsts[i]:firsts[i + 1]]``.
    firsts : int64 array, shape (items + 1,)
        See ``first_places``.
    """

    about: Ints
    first_places: Ints
    firsts: Longs


class State(NamedTuple):
    """What is used again and again while one part is mined, by item; the first axis of three is LATER or JOINED.

    Attributes
    ----------
    counts : int32 array, shape (2, items)
        The sequences counted so far; all 0 in between.
    found : int32 array, shape (2, items + 1)
        Room for a list of items, and for one that is written and not taken.
    free : int64 array, shape (2, items)
        Where the next place of an item is to be written; -1 for items that are not followed.
    seen : int64 array, shape (items,)
        The stamp of the sequence in which an item was counted last.
    stamp : int64 array, shape (1,)
        The next stamp that was never used.
    """

    counts: Ints
    found: Ints
    free: Longs
    seen: Longs
    stamp: Longs


def tasks_of(frequent: Frequent, question: Question, max_bytes: int) -> tuple[int, list[Callable[..., Ints]]]:
    """Return the bytes that all parts share, and for each part a function of its number and the controls."""
    needed = BYTES_A_PLACE * len(frequent.items)
    if len(frequent.items) > LARGEST or needed > max_bytes:
        raise TooManySequencesError
    places = _places_of(frequent)
    ranges = ranges_of(frequent.counts)
    return needed, [partial(_mine_part, first, last, places, question) for first, last in ranges]


def _places_of(frequent: Frequent) -> Places:
    firsts = np.concatenate([[0], np.cumsum(frequent.counts)])
    about = _about(frequent.starts, frequent.item_starts, frequent.items, len(frequent.codes))
    return Places(about, _first_places(about, firsts), firsts)


@compiled
def _about(starts: Longs, item_starts: Longs, items: Ints, item_total: int) -> Ints:
    about, latest = np.empty((len(items), 6), np.int32), np.full(item_total, -1, np.int64)
    for sequence in range(len(starts) - 1):
        first, last = item_starts[starts[sequence]], item_starts[starts[sequence + 1]]
        for element in range(starts[sequence], starts[sequence + 1]):
            for place in range(item_starts[element], item_starts[element + 1]):
                item, before = items[place], latest[items[place]]
                about[place, ITEM], about[place, LAST] = item, last
                about[place, BEGIN], about[place, END] = item_starts[element], item_starts[element + 1]
                about[place, BEFORE], about[place, AFTER] = -1, -1
                if before >= first:
                    about[place, BEFORE], about[before, AFTER] = before, place
                latest[item] = place
    return about


@compiled
def _first_places(about: Ints, firsts: Longs) -> Ints:
    places, free = np.empty(firsts[-1], np.int32), firsts[:-1].copy()
    for place in range(len(about)):
        if about[place, BEFORE] < 0:
            places[free[about[place, ITEM]]] = place
            free[about[place, ITEM]] += 1
    return places


@compiled
def _count_later(entries: Ints, places: Places, state: State, min_count: int) -> int:
    """Count the items in later elements: the frequent ones stand in ``found``, rising; other counts are 0 again."""
    about, counts, found = places.about, state.counts[LATER], state.found[LATER]
    touched = 0
    for entry in entries:
        begin = about[entry, END]
        for place in range(begin, about[entry, LAST]):
            item = about[place, ITEM]
            is_new = about[place, BEFORE] < begin  # used as a number: branches on it are guessed badly
            found[touched] = item
            touched += is_new & (counts[item] == 0)
            counts[item] += is_new
    return _frequent_of(found[:touched], counts, min_count)


@compiled
def _frequent_of(found: Ints, counts: Ints, min_count: int) -> int:
    frequent = 0
    for item in found:
        if counts[item] >= min_count:
            found[frequent] = item
            frequent += 1
        else:
            counts[item] = 0
    found[:frequent].sort()
    return frequent


@compiled
def _place_later(entries: Ints, places: Places, state: State, target: Ints) -> None:
    """Write where each frequent item in later elements is first, unless nothing is behind it."""
    about, free = places.about, state.free[LATER]
    for entry in entries:
        begin = about[entry, END]
        for place in range(begin, about[entry, LAST] - 1):
            item = about[place, ITEM]
            if about[place, BEFORE] < begin and free[item] >= 0:
                target[free[item]] = place
                free[item] += 1


@compiled
def _holds(place: int, row: int, rows: Ints, places: Places) -> bool:
    """Whether the element of a place, whose item is that of the row, holds the whole last element of the pattern."""
    about, begin = places.about, places.about[place, BEGIN]
    while rows[row, 2]:
        row = rows[row, 1]
        place -= 1
        while place >= begin and about[place, ITEM] > rows[row, 0]:
            place -= 1
        if place < begin or about[place, ITEM] != rows[row, 0]:
            return False
    return True


@compiled
def _count_joined(entries: Ints, places: Places, rows: Ints, row: int, state: State, min_count: int) -> int:
    """Count the items that may join the last element of the pattern in ``row``, as :func:`_count_later` does."""
    about = places.about
    counts, found, seen, stamp = state.counts[JOINED], state.found[JOINED], state.seen, state.stamp[0]
    touched = 0
    for number, entry in enumerate(entries):
        place = entry
        while place >= 0:
            if place == entry or _holds(place, row, rows, places):
                for other in range(place + 1, about[place, END]):
                    item = about[other, ITEM]
                    if seen[item] < stamp + number:
                        seen[item] = stamp + number
                        if counts[item] == 0:
                            found[touched] = item
                            touched += 1
                        counts[item] += 1
            place = about[place, AFTER]
    return _frequent_of(found[:touched], counts, min_count)


@compiled
def _place_joined(entries: Ints, places: Places, rows: Ints, row: int, state: State, target: Ints) -> None:
    """Write where each frequent item that joins the last element is first, unless nothing is behind it."""
    about = places.about
    free, seen, stamp = state.free[JOINED], state.seen, state.stamp[0] + len(entries)  # a second look at each
    for number, entry in enumerate(entries):
        place = entry
        while place >= 0:
            if place == entry or _holds(place, row, rows, places):
                for other in range(place + 1, about[place, END]):
                    item = about[other, ITEM]
                    if free[item] >= 0 and seen[item] < stamp + number:
                        seen[item] = stamp + number
                        target[free[item]] = other
                        free[item] += other + 1 < about[entry, LAST]
            place = about[place, AFTER]


@compiled
def _list(extensions: Longs, top: int, begin: int, later: Ints, joined: Ints, state: State) -> int:
    """Write what extends a pattern, items rising, in a later element before joined; give each room for its places."""
    counts, free = state.counts, state.free
    k, m = 0, 0
    while k < len(later) or m < len(joined):
        is_joined = k == len(later) or (m < len(joined) and joined[m] < later[k])
        step = JOINED if is_joined else LATER
        item = joined[m] if is_joined else later[k]
        k, m = k + 1 - step, m + step
        extensions[top], extensions[top + 1] = item, step
        extensions[top + 2], extensions[top + 3] = counts[step, item], begin
        free[step, item] = begin
        begin += counts[step, item]
        counts[step, item] = 0
        top += WIDTH
    return top


@compiled
def _extend(
    entries: Ints, span: tuple[int, int, int], extensions: Longs, top: int, limits: tuple[bool, bool, int],
    rows: Ints, row: int, places: Places, state: State, slot: int, shared: Controls,
) -> tuple[Ints, Longs, int]:  # fmt: skip
    """Find what extends a pattern frequently; write it, and where it is first, behind what is there.

    ``span`` says where the places of the pattern are in ``entries``, and where free room begins; ``limits``, whether
    items may join, whether extensions are extended in turn, and the fewest sequences.
    """
    may_join, is_followed, min_count = limits
    own, found = entries[span[0] : span[1]], state.found
    later, joined = found[LATER, : _count_later(own, places, state, min_count)], found[JOINED, :0]
    if may_join:
        joined = found[JOINED, : _count_joined(own, places, rows, row, state, min_count)]
    extensions = grown(extensions, top + WIDTH * (len(later) + len(joined)))
    end = _list(extensions, top, span[2], later, joined, state)
    if is_followed and end > top:
        needed = extensions[end - 2] + extensions[end - 3]
        if needed > len(entries) and is_over(12 * needed + 16 * len(extensions), STACK, slot, shared):
            return entries, extensions, top
        entries = grown(entries, needed)
        if len(later):
            _place_later(own, places, state, entries)
        if len(joined):
            _place_joined(own, places, rows, row, state, entries)
    state.stamp[0] += 2 * len(own)
    for at in range(top, end, WIDTH):
        item, step = extensions[at], extensions[at + 1]
        extensions[at + 4], state.free[step, item] = state.free[step, item], -1
    return entries, extensions, end


@compiled
def _mine_part(first: int, last: int, places: Places, question: Question, slot: int, shared: Controls) -> Ints:
    """Mine the patterns that begin with an item of a range, depth first."""
    item_total, deepest = len(places.firsts) - 1, question.max_len
    firsts = places.firsts[first : last + 1]
    entries = places.first_places[firsts[0] : firsts[-1]].copy()
    extensions = np.zeros(WIDTH * (last - first), np.int64)
    for k in range(last - first):
        extensions[WIDTH * k] = first + k
        extensions[WIDTH * k + 2] = firsts[k + 1] - firsts[k]
        extensions[WIDTH * k + 3], extensions[WIDTH * k + 4] = firsts[k] - firsts[0], firsts[k + 1] - firsts[0]
    counts, found = np.zeros((2, item_total), np.int32), np.empty((2, item_total + 1), np.int32)
    free, seen = np.full((2, item_total), -1, np.int64), np.zeros(item_total, np.int64)
    state = State(counts, found, free, seen, np.ones(1, np.int64))
    cursor, end, parent, width = np.zeros((4, deepest + 1), np.int64)
    end[0], parent[0], depth = len(extensions), -1, 0
    rows, used, signal = np.empty((256, 4), np.int32), 0, shared.signal
    while depth >= 0 and signal[0] == GO:
        at = cursor[depth]
        if at == end[depth]:
            depth -= 1
            continue
        cursor[depth] += WIDTH
        rows = with_a_free_row(rows, used, slot, shared)
        if signal[0] != GO:
            break
        step, own = extensions[at + 1], (extensions[at + 3], extensions[at + 4])
        write(rows, used, extensions[at], parent[depth], step, extensions[at + 2])
        used += 1
        shared.done[slot] += depth == 0
        if depth + 1 >= deepest or own[1] - own[0] < question.min_count:
            continue
        items = width[depth] + 1 if step == JOINED else 1
        stop = end[depth]
        room = extensions[stop - 3] + extensions[stop - 2]  # behind the places of its last sister
        limits = (items < question.max_element_len, depth + 2 < deepest, question.min_count)
        entries, extensions, top = _extend(
            entries, (own[0], own[1], room), extensions, stop, limits, rows, used - 1, places, state, slot, shared
        )
        if top > stop:
            depth += 1
            cursor[depth], end[depth], parent[depth], width[depth] = stop, top, used - 1, items
    shared.held[slot, RESULTS], shared.held[slot, STACK] = used * BYTES_A_ROW, 0
    return rows[:used].copy()
