"""Which sequences hold which patterns, and how much time is between a pattern and its last element.

Patterns are put into a prefix tree and walked in its order, depth first: what a prefix leads to is worked out once, for
all sequences at once (:mod:`.sequence_steps`).
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crmlytics._kernels.compiled import bits_set, compiled
from crmlytics._kernels.sequence_kinds import prefix_tree
from crmlytics._kernels.sequence_steps import (
    ENDS,
    ONE,
    REACH,
    STARTS,
    bit_number,
    extend,
    new_stack,
    places_of,
    put_item,
    reach,
)
from crmlytics._kernels.working import GO, controls, run, thread_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.sequence_steps import Limits, Places, Stack
    from crmlytics._kernels.working import Controls

    Ints = NDArray[np.int32]
    Longs = NDArray[np.int64]
    Flags = NDArray[np.bool_]
    Floats = NDArray[np.float64]
    Patterns = tuple[Longs, Ints, Flags]
    Sequences = tuple[Longs, Longs, Ints, Longs]

TASKS_A_THREAD = 24
AS_MUCH_AS_IT_TAKES = 2**62  # one pattern's ends a level: no more than the sequences themselves
QUARTERS = 4
LIVE = 2**30  # longer than any pattern
BYTES_AT_A_TIME = 1 << 26


class Walk(NamedTuple):
    """The prefix tree of the patterns, row by row, and where the answers go.

    Attributes
    ----------
    item, length : int64 arrays, shape (rows,)
        The last item of each row, and how many items it has.
    joined : bool array, shape (rows,)
        Whether the last item stands in the same element as the one before it.
    before : int64 array, shape (rows,)
        How many items stand before the last element.
    number : int32 array, shape (rows,)
        The place of the answer; -1 for a row that only leads to others.
    counts : int32 array, shape (answers,)
        The sequences that hold each pattern.
    held : bool array, shape (answers, sequences), or (0, 0) if it is not asked for
        Which they are.
    times : float64 array, shape (answers, 3), or (0, 3) if it is not asked for
        See :func:`times_to_last`.
    """

    item: Longs
    length: Longs
    joined: Flags
    before: Longs
    number: Ints
    counts: Ints
    held: Flags
    times: Floats


def count_holders(patterns: Patterns, sequences: Sequences, limits: Limits) -> Ints:
    """Return how many sequences hold each pattern.

    Parameters
    ----------
    patterns : int64 array, shape (patterns + 1,), and int32 and bool arrays
        As ``SequenceTree.members`` returns them: pattern ``i`` is ``codes[starts[i]:starts[i + 1]]``, and where
        ``joined`` is false a new element begins. None is empty.
    sequences : arrays
        ``starts``, ``item_starts``, ``items`` and ``moment`` of ``Sequences``: those that the patterns were found in,
        or others with the same item codes; an item of no pattern may have any code.
    limits : Limits

    Returns
    -------
    int32 array, shape (patterns,)
    """
    return _walked(patterns, *_laid_out(patterns[1], sequences, limits)).counts


def holders(patterns: Patterns, sequences: Sequences, limits: Limits) -> Flags:
    """Say which sequences hold which patterns; see :func:`count_holders`.

    Returns
    -------
    bool array, shape (sequences, patterns)
        One byte each: for many patterns, ask for some at a time.
    """
    return _walked(patterns, *_laid_out(patterns[1], sequences, limits), held=True).held.T


def count_both(patterns: Patterns, others: Patterns, sequences: Sequences, limits: Limits) -> Ints:
    """Return how many sequences hold each pattern and the other one of the same number; see :func:`count_holders`.

    Returns
    -------
    int32 array, shape (patterns,)
    """
    total = len(patterns[0]) - 1
    laid_out = _laid_out(np.concatenate([patterns[1], others[1]]), sequences, limits)
    both, at_a_time = np.zeros(total, np.int32), max(1, BYTES_AT_A_TIME // max(len(sequences[0]) - 1, 1))
    for first in range(0, total, at_a_time):
        some = slice(first, min(first + at_a_time, total))
        one, other = (_walked(_part(side, some), *laid_out, held=True).held for side in (patterns, others))
        np.bitwise_and(one, other, out=one)
        both[some] = np.count_nonzero(one, axis=1)
    return both


def times_to_last(patterns: Patterns, sequences: Sequences, limits: Limits) -> Floats:
    """Return the quartiles, over the sequences that hold a pattern, of the time from its rest to its last element.

    In each sequence it is the time from the first completion of the rest that leads to the whole pattern within the
    limits, to the first element that then completes the whole. That is also the first element at which the whole is
    complete at all, because what can follow an earlier element is never later. Of several follow-ups only this one
    counts, and a sequence counts once.

    Returns
    -------
    float64 array, shape (patterns, 3)
        First quartile, median and third quartile, interpolated linearly, in the unit of ``moment``. NaN where no
        sequence holds the pattern, and for a pattern of one element.
    """
    return _walked(patterns, *_laid_out(patterns[1], sequences, limits), times=True).times


def _laid_out(codes: Ints, sequences: Sequences, limits: Limits) -> tuple[Places, Ints]:
    """Return the places of some items, and the number that each has there."""
    used = np.unique(codes)
    code_of = np.full(int(used.max(initial=-1)) + 1, -1, np.int32)
    code_of[used] = np.arange(len(used))
    return places_of(*sequences, code_of, limits), code_of


def _part(patterns: Patterns, some: slice) -> Patterns:
    """Return the patterns from ``some.start`` up to ``some.stop``."""
    starts, codes, joined = patterns
    begin, end = starts[some.start], starts[some.stop]
    return starts[some.start : some.stop + 1] - begin, codes[begin:end], joined[begin:end]


def _walked(patterns: Patterns, places: Places, code_of: Ints, *, held: bool = False, times: bool = False) -> Walk:
    """Walk all patterns; the answers are in the order of the patterns."""
    starts, codes, joined = patterns
    tree, row_of = prefix_tree(starts, code_of[codes], joined, len(code_of))
    rows, number_of = np.unique(row_of, return_inverse=True)
    answer = np.full(len(tree), -1, np.int32)
    answer[rows] = np.arange(len(rows))
    length = tree.lengths().astype(np.int64)  # as elsewhere: numba compiles what takes other numbers once more
    walk = Walk(
        item=tree.item.astype(np.int64),
        length=length,
        joined=tree.joined,
        before=_before_last(tree.parent, tree.joined, length),
        number=answer,
        counts=np.zeros(len(rows), np.int32),
        held=np.zeros((len(rows), len(places.words) - 1) if held else (0, 0), np.bool_),
        times=np.full((len(rows) if times else 0, QUARTERS - 1), np.nan),
    )
    edges = _edges(np.flatnonzero(tree.parent < 0), len(tree))
    shared = controls(len(edges) - 1, AS_MUCH_AS_IT_TAKES)
    tasks = [
        partial(_walk, int(first), int(last), number, walk, places, shared)
        for number, (first, last) in enumerate(pairwise(edges))
    ]
    run(tasks, shared, steps=len(tree), label="matching patterns")
    return walk._replace(
        counts=walk.counts[number_of],
        held=walk.held[number_of] if held else walk.held,
        times=walk.times[number_of] if times else walk.times,
    )


def _edges(branches: Longs, row_total: int) -> Longs:
    """Cut the tree between branches, into parts of about as many rows."""
    wanted = np.linspace(0, row_total, TASKS_A_THREAD * thread_count() + 1)[1:-1]
    bounds = np.append(branches, row_total)
    return np.unique(np.concatenate([[0], bounds[np.searchsorted(bounds, wanted)], [row_total]]))


def _before_last(parent: Ints, joined: Flags, length: Longs) -> Longs:
    """Return how many items stand before the last element of each row."""
    before = length - 1
    for level in range(2, int(length.max(initial=0)) + 1):  # a row that joined has the answer of its parent
        rows = np.flatnonzero(joined & (length == level))
        before[rows] = before[parent[rows]]
    return before


@compiled
def _walk(first: int, last: int, slot: int, walk: Walk, places: Places, shared: Controls) -> None:
    stack, dead = new_stack(places, places.longest), LIVE
    marks, times = stack.marks, np.empty(len(places.words), np.int64)
    for row in range(first, last):
        level, number = walk.length[row], walk.number[row]
        shared.done[slot] = row - first
        if shared.signal[0] != GO:
            break
        if level > dead:  # some prefix is in no sequence
            continue
        dead = LIVE
        if level == 1:
            put_item(stack, walk.item[row], places)
        else:
            extend(stack, level - 1, walk.item[row], walk.joined[row], places)
        if marks[level, ENDS] == marks[level, REACH]:
            dead = level
            continue
        if number >= 0:
            _answer(stack, level, number, walk, places.sequence)
        if number >= 0 and len(walk.times) > 0 and walk.before[row] > 0:
            total = _times(stack, level, walk.before[row], places, times)
            _put_quartiles(times[:total], walk.times[number])
        if row + 1 < last and walk.length[row + 1] > level:
            stack = reach(stack, level, places, slot, shared)


@compiled
def _answer(stack: Stack, level: int, number: int, walk: Walk, sequence: Ints) -> None:
    """Write how many sequences hold the pattern of a level, and which."""
    word, marks, previous = stack.word, stack.marks, -1
    for k in range(marks[level, ENDS], marks[level, REACH]):
        if sequence[word[k]] != previous:
            previous = sequence[word[k]]
            walk.counts[number] += 1
            if len(walk.held) > 0:
                walk.held[number, previous] = True


@compiled
def _times(stack: Stack, level: int, rest_level: int, places: Places, times: Longs) -> int:
    """Write the time between a level and a pattern that begins with it, once a sequence; return how many these are."""
    word, bits, starts, marks = stack
    sequence, first, closes, fits, moment = places.sequence, places.first, places.closes, places.fits, places.moment
    k, at = marks[rest_level, ENDS], marks[rest_level, STARTS]
    rest, total, previous = bits[k], 0, -1
    for whole in range(marks[level, ENDS], marks[level, REACH]):
        if sequence[word[whole]] == previous:
            continue
        previous = sequence[word[whole]]
        last = first[word[whole]] + bit_number(bits[whole])
        while sequence[word[k]] != previous:
            at += bits_set(rest)
            k += 1
            rest = bits[k]
        while True:
            end = first[word[k]] + bit_number(rest)
            if closes[end] > last and (len(fits) == 0 or fits[starts[at]] > last):
                break
            at += 1
            rest &= rest - ONE
            if rest == 0:
                k += 1
                rest = bits[k]
        times[total] = moment[last] - moment[end]
        total += 1
    return total


@compiled
def _put_quartiles(times: Longs, quartiles: Floats) -> None:
    times.sort()
    for quarter in range(1, QUARTERS):
        place = (len(times) - 1) * quarter
        low = place // QUARTERS
        high = min(low + 1, len(times) - 1)
        quartiles[quarter - 1] = times[low] + (times[high] - times[low]) * (place % QUARTERS) / QUARTERS
