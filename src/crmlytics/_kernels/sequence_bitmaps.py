"""Mining long histories of few items: bitmaps of the elements that hold each item, and its last element.

Where a pattern is first complete in a sequence is one number. An item can follow in a later element if its last element
there comes after it: a comparison of two arrays, many sequences at a time (Z. Yang, Y. Wang, M. Kitsuregawa (2007),
"LAPIN: effective sequential pattern mining algorithms by last position induction"). Which elements can end a pattern is
a bitmap; an item may join the last element if its bitmap has one of these bits (J. Ayres, J. Gehrke, T. Yiu,
J. Flannick (2002), "Sequential pattern mining using a bitmap representation", SPAM). Only what extends a pattern is
tried on what grows from it; of what may join, only pairs that are frequent in one element. Where fewer than half of the
sequences hold a pattern, the table shrinks to these.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crmlytics._kernels.compiled import bits_set, compiled
from crmlytics._kernels.sequence_rows import (
    BYTES_A_ROW,
    JOINED,
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
from crmlytics._kernels.working import GO, in_parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from crmlytics._kernels.sequence_rows import Frequent, Question
    from crmlytics._kernels.working import Controls

    Ints = NDArray[np.int32]
    Longs = NDArray[np.int64]
    Shorts = NDArray[np.int16]
    Words = NDArray[np.uint64]
    Pairs = NDArray[np.bool_]

NEVER = 2**15 - 1  # where a pattern is complete in a sequence that does not hold it
BLOCK = 2**14
WIDTH = 3  # of an extension: item, step, count
EVERY_BIT = np.uint64(2**64 - 1)


class Table(NamedTuple):
    """Some items in some sequences, in rows.

    Attributes
    ----------
    bits : uint64 array, shape (rows * words,)
        The elements that hold an item: bit ``e & 63`` of word ``e >> 6`` of the sequence for its element ``e``.
    last : int16 array, shape (rows * sequences,)
        The last element of each sequence that holds the item, -1 where none does.
    firsts : int64 array, shape (sequences + 1,)
        The words of sequence ``s`` are those from ``firsts[s]`` to ``firsts[s + 1]``; short sequences come first.
    row_of : int32 array, shape (items,)
        The row of each item.
    short : int
        How many sequences have one word.
    """

    bits: Words
    last: Shorts
    firsts: Longs
    row_of: Ints
    short: int


def tasks_of(frequent: Frequent, question: Question, max_bytes: int) -> tuple[int, list[Callable[..., Ints]]]:
    """Return the bytes that all parts share, and for each part a function of its number and the controls."""
    needed = bytes_needed(frequent)
    if needed > max_bytes:
        raise TooManySequencesError
    table, ranges = _table_of(frequent), ranges_of(frequent.counts)
    pairs = in_parts(partial(_pairs, table, question.min_count), ranges, label="pairs of items")
    joined = np.concatenate([np.empty((0, len(frequent.codes)), np.bool_), *pairs])
    part = partial(_mine_part, table, frequent.counts, joined, question)
    return needed, [partial(part, span) for span in ranges]


def bytes_needed(frequent: Frequent) -> int:
    """Return how large the table of all items is, and what says which pairs are frequent in one element."""
    item_total, words = len(frequent.codes), int(_words_of(frequent).sum())
    return item_total * (8 * words + 2 * (len(frequent.starts) - 1) + item_total)


def _words_of(frequent: Frequent) -> Longs:
    return (np.diff(frequent.starts) + 63) >> 6


def _table_of(frequent: Frequent) -> Table:
    words, item_total = _words_of(frequent), len(frequent.codes)
    order = np.argsort(words, kind="stable")
    firsts = np.concatenate([[0], np.cumsum(words[order])])
    bits, last = _filled(frequent.starts, frequent.item_starts, frequent.items, order, firsts, item_total)
    return Table(bits, last, firsts, np.arange(item_total, dtype=np.int32), int((words == 1).sum()))


@compiled
def _filled(
    starts: Longs, item_starts: Longs, items: Ints, order: Longs, firsts: Longs, item_total: int
) -> tuple[Words, Shorts]:
    bits, last = np.zeros(item_total * firsts[-1], np.uint64), np.full(item_total * len(order), -1, np.int16)
    for number, sequence in enumerate(order):
        for element in range(starts[sequence], starts[sequence + 1]):
            at = element - starts[sequence]
            for place in range(item_starts[element], item_starts[element + 1]):
                item = items[place]
                bits[item * firsts[-1] + firsts[number] + (at >> 6)] |= np.uint64(1) << np.uint64(at & 63)
                last[item * len(order) + number] = at
    return bits, last


@compiled
def _first_bit(word: Any) -> int:
    return bits_set((word - np.uint64(1)) & ~word)


@compiled
def _follow(
    bits: Words, last: Shorts, firsts: Longs, short: int, ends: Shorts, into_ends: Shorts, into_mask: Words
) -> None:
    """Let an item follow a pattern in a later element: where that is for the first time, and the bits from there on."""
    for s in range(short):  # without branches: several sequences at a time
        later = ends[s] + 1
        word = bits[s] & (EVERY_BIT << np.uint64(later)) if later < 64 else np.uint64(0)
        into_mask[s] = word
        into_ends[s] = _first_bit(word) if word else NEVER
    for s in range(short, len(ends)):
        begin, stop = firsts[s], firsts[s + 1]
        into_ends[s] = NEVER
        if last[s] <= ends[s]:
            for word in range(begin, stop):
                into_mask[word] = 0
            continue
        later = ends[s] + 1
        first = begin + (later >> 6)
        for word in range(begin, stop):
            into_mask[word] = bits[word] if word >= first else np.uint64(0)
        into_mask[first] &= EVERY_BIT << np.uint64(later & 63)
        while into_mask[first] == 0:
            first += 1
        into_ends[s] = ((first - begin) << 6) + _first_bit(into_mask[first])


@compiled
def _narrow(bits: Words, firsts: Longs, short: int, mask: Words, into_ends: Shorts, into_mask: Words) -> None:
    """Let an item join the last element of a pattern."""
    for s in range(short):
        common = mask[s] & bits[s]
        into_mask[s] = common
        into_ends[s] = _first_bit(common) if common else NEVER
    for s in range(short, len(into_ends)):
        into_ends[s] = NEVER
        for word in range(firsts[s + 1] - 1, firsts[s] - 1, -1):
            into_mask[word] = mask[word] & bits[word]
            if into_mask[word]:
                into_ends[s] = ((word - firsts[s]) << 6) + _first_bit(into_mask[word])


@compiled
def _count_later(last: Shorts, ends: Shorts) -> int:
    """Count the sequences where an item follows a pattern."""
    total = 0
    for begin in range(0, len(ends), BLOCK):
        a, b = last[begin : begin + BLOCK], ends[begin : begin + BLOCK]
        count: Any = np.int16(0)  # as narrow as what is compared: 32 at a time
        for s in range(len(b)):
            count = np.int16(count + np.int16(a[s] > b[s]))
        total += count
    return total


@compiled
def _count_joined(bits: Words, mask: Words, firsts: Longs, short: int) -> int:
    """Count the sequences where an item joins the last element; so many sequences at the beginning have one word."""
    count = 0
    for word in range(short):
        count += (bits[word] & mask[word]) != 0
    for s in range(short, len(firsts) - 1):
        word, stop = firsts[s], firsts[s + 1]
        while word < stop and not bits[word] & mask[word]:
            word += 1
        count += word < stop
    return count


@compiled
def _pairs(table: Table, min_count: int, span: tuple[int, int]) -> Pairs:
    """Return with which others the items of a range are frequent in one element."""
    bits, last, firsts = table.bits, table.last, table.firsts
    item_total, n, words = len(table.row_of), len(firsts) - 1, firsts[-1]
    joined = np.zeros((span[1] - span[0], item_total), np.bool_)
    ends, mask, start = np.empty(n, np.int16), np.empty(words, np.uint64), np.full(n, -1, np.int16)
    for a in range(span[0], span[1]):
        _follow(bits[a * words : (a + 1) * words], last[a * n : (a + 1) * n], firsts, table.short, start, ends, mask)
        for b in range(a + 1, item_total):
            count = _count_joined(bits[b * words : (b + 1) * words], mask, firsts, table.short)
            joined[a - span[0], b] = count >= min_count
    return joined


@compiled
def _shrunk(table: Table, extensions: Longs, ends: Shorts, mask: Words) -> Table:
    """Return the table of the sequences that hold a pattern and of what may extend it; shrink the pattern's, too."""
    n, words, item_total = len(table.firsts) - 1, table.firsts[-1], len(table.row_of)
    firsts, row_of, rows = table.firsts, np.full(item_total, -1, np.int32), 0
    for at in range(0, len(extensions), WIDTH):
        if row_of[extensions[at]] < 0:
            row_of[extensions[at]] = rows
            rows += 1
    kept = np.flatnonzero(ends[:n] != NEVER)
    new_firsts = np.zeros(len(kept) + 1, np.int64)
    for number, s in enumerate(kept):
        new_firsts[number + 1] = new_firsts[number] + firsts[s + 1] - firsts[s]
        ends[number] = ends[s]
        for k in range(firsts[s + 1] - firsts[s]):
            mask[new_firsts[number] + k] = mask[firsts[s] + k]
    bits, last = np.empty(rows * new_firsts[-1], np.uint64), np.empty(rows * len(kept), np.int16)
    for item in range(item_total):
        if row_of[item] < 0:
            continue
        old_bits = table.bits[table.row_of[item] * words : (table.row_of[item] + 1) * words]
        old_last = table.last[table.row_of[item] * n : (table.row_of[item] + 1) * n]
        to_bits, to_last = row_of[item] * new_firsts[-1], row_of[item] * len(kept)
        for number, s in enumerate(kept):
            last[to_last + number] = old_last[s]
            for k in range(firsts[s + 1] - firsts[s]):
                bits[to_bits + new_firsts[number] + k] = old_bits[firsts[s] + k]
    return Table(bits, last, new_firsts, row_of, int(np.searchsorted(kept, table.short)))


@compiled
def _try(
    extensions: Longs, begin: int, end: int, at: int, table: Table, ends: Shorts, mask: Words, pairs: Pairs,
    limits: tuple[bool, int],
) -> int:  # fmt: skip
    """Count what may extend the pattern that extension ``at`` made, and write what is frequent behind ``end``.

    What may follow is what followed before; what may join followed before, too, or joined, if the pattern joined.
    """
    may_join, min_count = limits
    bits, last, firsts, row_of = table.bits, table.last, table.firsts, table.row_of
    n, words, short, top = len(firsts) - 1, firsts[-1], table.short, end
    item, step = extensions[at], extensions[at + 1]
    joined = pairs[item]
    for other in range(begin, end, WIDTH):
        code = extensions[other]
        row = row_of[code]
        if extensions[other + 1] == LATER:
            count = _count_later(last[row * n : (row + 1) * n], ends[:n])
            if count >= min_count:
                extensions[top], extensions[top + 1], extensions[top + 2] = code, LATER, count
                top += WIDTH
        if extensions[other + 1] == step and may_join and code > item and joined[code]:
            count = _count_joined(bits[row * words : (row + 1) * words], mask, firsts, short)
            if count >= min_count:
                extensions[top], extensions[top + 1], extensions[top + 2] = code, JOINED, count
                top += WIDTH
    return top


@compiled
def _complete(
    table: Table, item: int, step: int, ends: Shorts, mask: Words, into_ends: Shorts, into_mask: Words
) -> None:
    """Write where a pattern is complete with one item more."""
    n, words, row = len(table.firsts) - 1, table.firsts[-1], table.row_of[item]
    bits = table.bits[row * words : (row + 1) * words]
    if step == LATER:
        last = table.last[row * n : (row + 1) * n]
        _follow(bits, last, table.firsts, table.short, ends[:n], into_ends[:n], into_mask)
    else:
        _narrow(bits, table.firsts, table.short, mask, into_ends[:n], into_mask)


@compiled
def _size(table: Table) -> int:
    return 8 * (len(table.bits) + len(table.firsts)) + 2 * len(table.last) + 4 * len(table.row_of)


@compiled
def _mine_part(  # noqa: C901  one loop
    table: Table, counts: Longs, pairs: Pairs, question: Question, span: tuple[int, int], slot: int,
    shared: Controls,
) -> Ints:  # fmt: skip
    """Mine the patterns that begin with an item of a range, depth first."""
    n, words = len(table.firsts) - 1, table.firsts[-1]
    rows, used, held, signal = np.empty((256, 4), np.int32), 0, 0, shared.signal
    extensions = np.zeros(WIDTH * len(counts), np.int64)
    for item in range(len(counts)):
        extensions[WIDTH * item], extensions[WIDTH * item + 2] = item, counts[item]
    tables, ends, masks = [table], [np.full(n, -1, np.int16)], [np.empty(0, np.uint64)]
    begin, cursor, end, parent, width, level = np.zeros((6, question.max_len + 1), np.int64)
    cursor[0], end[0], parent[0], depth = WIDTH * span[0], len(extensions), -1, 0
    while depth >= 0 and signal[0] == GO:
        at, stop = cursor[depth], end[depth]
        if at == (stop if depth else WIDTH * span[1]):
            depth -= 1
            continue
        cursor[depth] += WIDTH
        rows = with_a_free_row(rows, used, slot, shared)
        if signal[0] != GO:
            break
        item, step, count = extensions[at], extensions[at + 1], extensions[at + 2]
        write(rows, used, item, parent[depth], step, count)
        used += 1
        shared.done[slot] += depth == 0
        if depth + 1 >= question.max_len:
            continue
        while len(tables) > level[depth] + 1:
            held -= _size(tables.pop())
        here, before = tables[-1], held
        if len(ends) == depth + 1:
            ends.append(np.empty(n, np.int16))
            masks.append(np.empty(words, np.uint64))
            held += 2 * n + 8 * words
        _complete(here, item, step, ends[depth], masks[depth], ends[depth + 1], masks[depth + 1])
        if 2 * count < len(here.firsts) - 1:
            here = _shrunk(here, extensions[begin[depth] : stop], ends[depth + 1], masks[depth + 1])
            tables.append(here)
            held += _size(here)
        if held > before and is_over(held, STACK, slot, shared):
            break
        items = width[depth] + 1 if step == JOINED else 1
        limits = (items < question.max_element_len, question.min_count)
        extensions = grown(extensions, stop + 2 * (stop - begin[depth]))
        top = _try(extensions, begin[depth], stop, at, here, ends[depth + 1], masks[depth + 1], pairs, limits)
        if top > stop:
            depth += 1
            begin[depth], cursor[depth], end[depth] = stop, stop, top
            parent[depth], width[depth], level[depth] = used - 1, items, len(tables) - 1
    shared.held[slot, RESULTS], shared.held[slot, STACK] = used * BYTES_A_ROW, 0
    return rows[:used].copy()
