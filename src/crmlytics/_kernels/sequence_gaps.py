"""Mining sequential patterns whose elements may not be too far apart, nor too close.

Patterns grow by one item, depth first; each is followed by the list of its ends (:mod:`.sequence_steps`). What may
extend it is counted in the words of its ends (an item that joins the last element) and of the elements that may follow
them (an item in an element of its own), each item once a sequence.

A pattern's prefixes are at least as frequent as it, whatever the limits, so that growth from them finds everything.
More is not taken for granted: with a largest gap a pattern may be frequent although it is not without one of its inner
elements, whose neighbours are too far apart then.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crmlytics._kernels.compiled import compiled
from crmlytics._kernels.sequence_rows import (
    BYTES_A_ROW,
    RESULTS,
    STACK,
    TooManySequencesError,
    is_over,
    tree_of,
    with_a_free_row,
    write,
)
from crmlytics._kernels.sequence_steps import (
    ENDS,
    LARGEST,
    REACH,
    TOP,
    bytes_of,
    bytes_of_stack,
    extend,
    new_stack,
    places_of,
    put_item,
    reach,
)
from crmlytics._kernels.working import FULL, GO, controls, run, thread_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.sequence_rows import Question
    from crmlytics._kernels.sequence_steps import Limits, Places, Stack
    from crmlytics._kernels.sequence_tree import SequenceTree
    from crmlytics._kernels.working import Controls

    Ints = NDArray[np.int32]
    Longs = NDArray[np.int64]

TASKS_A_THREAD = 24  # enough that no thread waits long for the last one
CURSOR, STOP, ROW, WIDTH = 0, 1, 2, 3  # of each level: what waits there; its pattern, the items of the last element
LOOKS = 4  # entries read for each item before the best count is looked for


class Tally(NamedTuple):
    """What extends a pattern, as it is counted.

    Attributes
    ----------
    counts : int32 array, shape (2, items)
        Sequences in which each item follows the pattern in a later element, or joins its last; 0 between two patterns.
    seen : int64 array, shape (2, items)
        The visit in which each was last counted.
    visits : int64 array, shape (1,)
        How many visits there have been, one for each sequence of each pattern.
    found : int32 array, shape (2 * items,)
        The extensions that are frequent, ``2 * item + joined``.
    """

    counts: Ints
    seen: Longs
    visits: Longs
    found: Ints


class Waiting(NamedTuple):
    """Extensions that have yet to be looked at, level after level: what they are, and their counts."""

    keys: Ints
    counts: Ints


def mine_within(
    starts: Longs,
    item_starts: Longs,
    items: Ints,
    moment: Longs,
    item_total: int,
    question: Question,
    limits: Limits,
    *,
    max_bytes: int,
) -> SequenceTree:
    """Return the sequential patterns within limits of time that enough sequences hold.

    Parameters
    ----------
    starts, item_starts, items, moment : arrays
        As in ``Sequences``; ``moment`` never falls within a sequence.
    item_total : int
        How many items have a code.
    question : Question
    limits : Limits
    max_bytes : int
        The memory that may be taken.

    Returns
    -------
    SequenceTree
        Depth first; what extends a pattern comes by item, in an element of its own before the last element.

    Raises
    ------
    TooManySequencesError
        Before more memory is taken than allowed.
    """
    if len(items) > LARGEST:
        raise TooManySequencesError
    held = _sequences_with(starts, item_starts, items, item_total)
    codes = np.flatnonzero(held >= question.min_count).astype(np.int32)
    code_of = np.full(item_total, -1, np.int32)
    code_of[codes] = np.arange(len(codes), dtype=np.int32)
    places = places_of(starts, item_starts, items, moment, code_of, limits)
    room = max_bytes - bytes_of(places)
    if room < 0:
        raise TooManySequencesError
    edges = _edges(places, max(1, min(len(codes), TASKS_A_THREAD * thread_count())))
    shared = controls(len(edges) - 1, room)
    tasks = [
        partial(_mine, int(first), int(last), number, held[codes], places, question, shared)
        for number, (first, last) in enumerate(pairwise(edges))
    ]
    parts = run(tasks, shared, steps=len(codes), label="sequential patterns")
    if shared.signal[0] == FULL:
        raise TooManySequencesError
    return tree_of(parts, codes, item_total, len(starts) - 1)


def _edges(places: Places, tasks: int) -> Longs:
    """Cut the items into ranges that stand in about as many words: these take about as long."""
    cuts = np.searchsorted(places.item_starts, np.linspace(0, places.item_starts[-1], tasks + 1)[1:-1])
    return np.unique(np.concatenate([[0], cuts, [len(places.item_starts) - 1]]))


@compiled
def _sequences_with(starts: Longs, item_starts: Longs, items: Ints, item_total: int) -> Ints:
    counts, last = np.zeros(item_total, np.int32), np.full(item_total, -1, np.int64)
    for sequence in range(len(starts) - 1):
        for item in items[item_starts[starts[sequence]] : item_starts[starts[sequence + 1]]]:
            counts[item] += last[item] != sequence
            last[item] = sequence
    return counts


@compiled
def _mine(first: int, last: int, slot: int, held: Ints, places: Places, question: Question, shared: Controls) -> Ints:
    """Mine the patterns whose first item is in a range, depth first; a row is item, parent, joined, count.

    What waits at a level is ``waiting[state[level, CURSOR]:state[level, STOP]]``; at level 0 it is single items.
    """
    stack, signal = new_stack(places, question.max_len), shared.signal
    rows, state = np.empty((256, 4), np.int32), np.zeros((len(stack.marks), 4), np.int64)
    waiting, tally = _roots(first, last, held), _new_tally(len(held))
    state[0, STOP], state[0, ROW] = last - first, -1
    level = used = state[0, CURSOR]  # 0, but of no type of its own: numba would compile all that takes it twice
    is_over(bytes_of_stack(stack), STACK, slot, shared)
    while level >= 0 and signal[0] == GO:
        at = state[level, CURSOR]
        if at == state[level, STOP]:
            level -= 1
            shared.done[slot] = state[0, CURSOR]
            continue
        state[level, CURSOR] += 1
        rows = with_a_free_row(rows, used, slot, shared)
        if signal[0] != GO:
            break
        item, joined = waiting.keys[at] >> 1, waiting.keys[at] & 1
        write(rows, used, item, state[level, ROW], joined, waiting.counts[at])
        state[level + 1, ROW], state[level + 1, WIDTH] = used, state[level, WIDTH] + 1 if joined else 1
        used += 1
        if level + 1 == question.max_len:
            continue
        level += 1
        if level == 1:
            put_item(stack, item, places)
        else:
            extend(stack, level - 1, item, joined == 1, places)
        stack = reach(stack, level, places, slot, shared)
        if signal[0] == GO:
            may_join = state[level, WIDTH] < question.max_element_len
            total = _count_extensions(stack, level, item if may_join else len(held), places, tally, question.min_count)
            waiting = _let_wait(waiting, state, level, tally, total)
    shared.held[slot, RESULTS], shared.held[slot, STACK] = used * BYTES_A_ROW, 0
    return rows[:used].copy()


@compiled
def _roots(first: int, last: int, held: Ints) -> Waiting:
    keys, counts = np.empty(last - first, np.int32), np.empty(last - first, np.int32)
    for k in range(last - first):
        keys[k], counts[k] = 2 * (first + k), held[first + k]
    return Waiting(keys, counts)


@compiled
def _new_tally(item_total: int) -> Tally:
    counts, seen = np.zeros((2, item_total), np.int32), np.zeros((2, item_total), np.int64)
    return Tally(counts, seen, np.zeros(1, np.int64), np.empty(2 * item_total, np.int32))


@compiled
def _let_wait(waiting: Waiting, state: Longs, level: int, tally: Tally, total: int) -> Waiting:
    """Let the frequent extensions of a pattern wait behind what waits already, in order; clear their counts."""
    begin = state[level - 1, STOP]
    if begin + total > len(waiting.keys):
        larger = Waiting(np.empty(2 * (begin + total), np.int32), np.empty(2 * (begin + total), np.int32))
        for k in range(begin):
            larger.keys[k], larger.counts[k] = waiting.keys[k], waiting.counts[k]
        waiting = larger
    keys, counts = waiting
    for k in range(total):  # insertion sort: they are few
        key, place = tally.found[k], begin + k
        while place > begin and keys[place - 1] > key:
            keys[place] = keys[place - 1]
            place -= 1
        keys[place] = key
    for place in range(begin, begin + total):
        joined, item = keys[place] & 1, keys[place] >> 1
        counts[place] = tally.counts[joined, item]
        tally.counts[joined, item] = 0
    state[level, CURSOR], state[level, STOP] = begin, begin + total
    return waiting


@compiled
def _count_extensions(stack: Stack, level: int, last_item: int, places: Places, tally: Tally, min_count: int) -> int:
    """Count what extends the pattern of a level; write what is frequent to ``tally.found``, and return how much it is.

    Items that may join have codes above ``last_item``. Each part ends early where no item can be frequent any more.
    """
    word, bits, _, marks = stack
    sequence, starts, items, item_bits = places.sequence, places.starts, places.items, places.bits
    total = 0
    for joined in range(2):
        begin, end = (marks[level, ENDS], marks[level, REACH]) if joined else (marks[level, REACH], marks[level, TOP])
        above = last_item if joined else -1
        counts, seen, found = tally.counts[joined], tally.seen[joined], tally.found
        visit, previous, touched, read = tally.visits[0], -1, total, 0
        left = _distinct(word, begin, end, sequence)
        for k in range(begin, end):
            if sequence[word[k]] != previous:
                previous = sequence[word[k]]
                if read >= LOOKS * len(counts):
                    if _best(found, total, touched, counts) + left < min_count:
                        break
                    read = 0
                visit, left = visit + 1, left - 1
            lowest, highest = starts[word[k]], starts[word[k] + 1]
            for entry in range(highest - 1, lowest - 1, -1):
                item = items[entry]
                if item <= above:
                    break
                if item_bits[entry] & bits[k] != 0 and seen[item] != visit:
                    seen[item] = visit
                    if counts[item] == 0:
                        found[touched] = 2 * item + joined
                        touched += 1
                    counts[item] += 1
            read += highest - lowest
        tally.visits[0] = visit
        total = _keep_frequent(found, total, touched, counts, min_count)
    return total


@compiled
def _distinct(word: Ints, begin: int, end: int, sequence: Ints) -> int:
    distinct, previous = 0, -1
    for k in range(begin, end):
        distinct += sequence[word[k]] != previous
        previous = sequence[word[k]]
    return distinct


@compiled
def _best(found: Ints, begin: int, end: int, counts: Ints) -> int:
    best = 0
    for k in range(begin, end):
        best = max(best, counts[found[k] >> 1])
    return best


@compiled
def _keep_frequent(found: Ints, begin: int, end: int, counts: Ints, min_count: int) -> int:
    """Keep what is frequent; the counts of the rest are 0 again."""
    kept = begin
    for k in range(begin, end):
        key = found[k]
        if counts[key >> 1] >= min_count:
            found[kept] = key
            kept += 1
        else:
            counts[key >> 1] = 0
    return kept
