"""Mining frequent itemsets: Eclat on bitsets that are local to each item.

Items are taken one by one, rare ones first. The baskets of an item are numbered from 0, and each item that is often
with it gets a set of these numbers, as bits. Larger sets are intersections of them, found depth first (M. J. Zaki
(2000), "Scalable algorithms for association mining"). Rare items have few baskets, so their bitsets are short, and a
basket is read once for each of its items; no pass over the data follows.

Closed and maximal sets keep, beside the items that may follow, those that were tried before: if one of these is in
every basket of a set, the set and all that grows from it are found elsewhere (T. Uno, T. Asai, Y. Uchida, H. Arimura
(2004), "LCM ver. 2", where it is the prefix-preserving closure).
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crmlytics._kernels.compiled import bits_set, compiled
from crmlytics._kernels.itemset_tree import ItemsetTree
from crmlytics._kernels.working import FULL, GO, controls, run, thread_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.working import Controls

    Ints = NDArray[np.int32]
    Words = NDArray[np.uint64]

ALL, CLOSED, MAXIMAL = 0, 1, 2
KINDS = {"all": ALL, "closed": CLOSED, "maximal": MAXIMAL}
TASKS_A_THREAD = 24  # enough that no thread waits long for the last one
NO_LIMIT = 2**30
RESULTS, STACK = 0, 1  # what memory is held for
BYTES_A_ROW = 48  # four numbers as it is found, as many when the parts are joined, and which rows answer
LARGEST = 2**31 - 1  # places and rows are 32-bit numbers


class Columns(NamedTuple):
    """Where each item stands in the baskets.

    Attributes
    ----------
    items : int32 array
        Item codes, basket after basket, rising within one.
    begins, ends : int32 arrays, one entry for each of ``items``
        Where the basket of this entry begins and ends in ``items``.
    places : int32 array
        Entries sorted by item: those of item ``i`` are ``places[firsts[i]:firsts[i + 1]]``.
    firsts : int64 array, shape (items + 1,)
        See ``places``.
    ancestors : int32 array, shape (items, levels)
        The codes above each item in a hierarchy, -1 where there is none; no itemset holds an item and one above it.
    """

    items: Ints
    begins: Ints
    ends: Ints
    places: Ints
    firsts: NDArray[np.int64]
    ancestors: Ints


class Question(NamedTuple):
    """What is looked for."""

    min_count: int
    max_len: int
    kind: int


class Stack(NamedTuple):
    """Classes of sets with a common prefix, one behind the other: what may follow, and in which baskets.

    Attributes
    ----------
    bits : uint64 array
        The baskets of each entry, ``words`` words an entry.
    codes, sizes : int32 arrays
        The item of each entry, and in how many baskets it is together with the prefix.
    """

    bits: Words
    codes: Ints
    sizes: Ints


class TooManyItemsetsError(Exception):
    """The itemsets found so far fill the memory allowed."""


def columns_of(starts: NDArray[np.int64], items: Ints, item_total: int, ancestors: Ints | None = None) -> Columns:
    """Turn baskets, item codes that rise within ``items[starts[b]:starts[b + 1]]``, into columns of items."""
    if starts[-1] > LARGEST:
        raise TooManyItemsetsError
    sizes = np.diff(starts)
    firsts = np.zeros(item_total + 1, np.int64)
    np.cumsum(np.bincount(items, minlength=item_total), out=firsts[1:])
    if ancestors is None:
        ancestors = np.empty((item_total, 0), np.int32)
    return Columns(
        items,
        np.repeat(starts[:-1].astype(np.int32), sizes),
        np.repeat(starts[1:].astype(np.int32), sizes),
        _places(items, firsts),
        firsts,
        ancestors,
    )


def frequent_part(starts: NDArray[np.int64], items: Ints, first: int) -> tuple[NDArray[np.int64], Ints]:
    """Leave out the items with a code below ``first``, and number the others from 0."""
    if first == 0:
        return starts, items
    inside = items >= first
    before = np.zeros(len(items) + 1, np.int64)
    np.cumsum(inside, out=before[1:])
    return before[starts], items[inside] - np.int32(first)


def mine(columns: Columns, question: Question, *, basket_count: int, max_bytes: int) -> tuple[ItemsetTree, Ints]:
    """Return the itemsets as a tree, and the rows of it that answer the question.

    Every row has its exact count. With kind ALL every row answers; else the rows in between only lead to others.

    Raises
    ------
    TooManyItemsetsError
        Before more memory is taken than allowed.
    """
    item_total = len(columns.firsts) - 1
    edges = _edges(columns, max(1, min(item_total, TASKS_A_THREAD * thread_count())))
    shared = controls(len(edges) - 1, max_bytes)
    task = _mine_all if question.kind == ALL else _mine_closed
    tasks = [
        partial(task, int(first), int(last), number, columns, question, shared)
        for number, (first, last) in enumerate(pairwise(edges))
    ]
    parts = run(tasks, shared, steps=item_total, label="frequent itemsets")
    if shared.signal[0] == FULL:
        raise TooManyItemsetsError
    return _joined(parts, item_total, basket_count)


def _edges(columns: Columns, tasks: int) -> NDArray[np.int64]:
    """Cut the items into ranges with about as many places each: these take about as long."""
    cuts = np.searchsorted(columns.firsts, np.linspace(0, columns.firsts[-1], tasks + 1)[1:-1])
    return np.unique(np.concatenate([[0], cuts, [len(columns.firsts) - 1]]))


def _joined(parts: list[Ints], item_total: int, basket_count: int) -> tuple[ItemsetTree, Ints]:
    """Put the parts behind one another: the row of a parent moves by as many rows as come before its part."""
    offset = 0
    for rows in parts:
        rows[rows[:, 1] >= 0, 1] += offset
        offset += len(rows)
        if offset > LARGEST:
            raise TooManyItemsetsError
    parts = parts or [np.empty((0, 4), np.int32)]
    item, parent, count, answers = (np.concatenate([rows[:, k] for rows in parts]) for k in range(4))
    return ItemsetTree(item, parent, count, item_total, basket_count), np.flatnonzero(answers).astype(np.int32)


@compiled
def _places(items: Ints, firsts: NDArray[np.int64]) -> Ints:
    places = np.empty(len(items), np.int32)
    following = firsts[:-1].copy()
    for entry in range(len(items)):
        places[following[items[entry]]] = entry
        following[items[entry]] += 1
    return places


@compiled
def _with_a_free_row(rows: Ints, used: int, slot: int, shared: Controls) -> Ints:
    """Return the rows, in twice the room if they were full; if none is left, give the signal FULL."""
    if used < len(rows) or _is_over(2 * len(rows) * BYTES_A_ROW, RESULTS, slot, shared):
        return rows
    larger = np.empty((2 * len(rows), 4), np.int32)
    for row in range(used):  # copied by hand: what numba compiles for slices takes it seconds
        for k in range(4):
            larger[row, k] = rows[row, k]
    return larger


@compiled
def _write(rows: Ints, row: int, code: int, parent: int, size: int, answers: int) -> None:
    rows[row, 0], rows[row, 1], rows[row, 2], rows[row, 3] = code, parent, size, answers


@compiled
def _is_over(needed: int, what: int, slot: int, shared: Controls) -> bool:
    """Whether so many bytes would be too many, all tasks together; gives the signal FULL if so."""
    shared.held[slot, what] = needed
    if shared.held.sum() > shared.room[0]:
        shared.signal[0] = FULL
    return bool(shared.signal[0] != GO)


@compiled
def _copy(old: NDArray[Any], new: NDArray[Any]) -> None:
    for k in range(len(old)):
        new[k] = old[k]


@compiled
def _with_room(stack: Stack, entries: int, words: int, slot: int, shared: Controls) -> Stack:
    """Return the stack, in larger copies of its arrays if they are too short; unless there is no memory left."""
    bits, codes, sizes = stack
    if entries * words > len(bits):
        if _is_over(24 * entries * words, STACK, slot, shared):  # while it is copied, the old one is there, too
            return stack
        bits = np.empty(2 * entries * words, np.uint64)
        _copy(stack.bits, bits)
    if entries > len(codes):
        codes, sizes = np.empty(2 * entries, np.int32), np.empty(2 * entries, np.int32)
        _copy(stack.codes, codes)
        _copy(stack.sizes, sizes)
    return Stack(bits, codes, sizes)


@compiled
def _is_apart(code: int, row: int, rows: Ints, ancestors: Ints) -> bool:
    """Whether an item stands neither above nor below an item of the set in ``row``."""
    while row >= 0:
        other = rows[row, 0]
        for level in range(ancestors.shape[1]):
            if ancestors[code, level] == other or ancestors[other, level] == code:
                return False
        row = rows[row, 1]
    return True


@compiled
def _apart_from(row: int, rows: Ints, found: Ints, counts: Ints, ancestors: Ints) -> int:
    """Keep what stands neither above nor below the items of a set; the counts of the rest are 0 again."""
    kept = 0
    for code in found:
        if _is_apart(code, row, rows, ancestors):
            found[kept] = code
            kept += 1
        else:
            counts[code] = 0
    return kept


@compiled
def _companions(places: Ints, columns: Columns, counts: Ints, found: Ints, min_count: int, earlier: bool) -> int:
    """Count the items beside these places: the frequent ones stand in ``found``, rising; other counts are 0 again."""
    touched = 0
    items, begins, ends = columns.items, columns.begins, columns.ends  # a look into the tuple costs more than the work
    for place in places:
        for entry in range(begins[place] if earlier else place + 1, ends[place]):
            code = items[entry]
            if counts[code] == 0:
                found[touched] = code
                touched += 1
            counts[code] += 1
    frequent = 0
    for code in found[:touched]:
        if counts[code] >= min_count:
            found[frequent] = code
            frequent += 1
        else:
            counts[code] = 0
    found[:frequent].sort()
    return frequent


@compiled
def _first_class(
    places: Ints, columns: Columns, stack: Stack, found: Ints, counts: Ints, row_of: Ints, earlier: bool,
    slot: int, shared: Controls,
) -> Stack:  # fmt: skip
    """Put what was found beside these places on the stack, with its places as bits; clear ``counts`` behind it."""
    words = (len(places) + 63) >> 6
    stack = _with_room(stack, len(found), words, slot, shared)
    if shared.signal[0] != GO:
        return stack
    bits, codes, sizes = stack
    items, begins, ends = columns.items, columns.begins, columns.ends
    bits[: len(found) * words] = 0
    for row, code in enumerate(found):
        codes[row], sizes[row], row_of[code] = code, counts[code], row
    for number, place in enumerate(places):
        bit, word = np.uint64(1) << np.uint64(number & 63), number >> 6
        for entry in range(begins[place] if earlier else place + 1, ends[place]):
            row = row_of[items[entry]]
            if row >= 0:
                bits[row * words + word] |= bit
    for code in found:
        counts[code], row_of[code] = 0, -1
    return stack


@compiled
def _intersect(bits: Words, one: int, other: int, into: int, words: int) -> int:
    """Write the intersection of two entries into a third, and return its size."""
    a, b = bits[one * words : (one + 1) * words], bits[other * words : (other + 1) * words]
    target = bits[into * words : (into + 1) * words]  # slices: a loop over these takes eight words at a time
    size = 0
    for word in range(words):
        common = a[word] & b[word]
        target[word] = common
        size += bits_set(common)
    return size


# -- all itemsets ----------------------------------------------------------------------------------------------------


@compiled
def _mine_all(first: int, last: int, slot: int, columns: Columns, question: Question, shared: Controls) -> Ints:
    """Mine the sets whose rarest item is in a range; a row is item, parent, count, 1."""
    item_total = len(columns.firsts) - 1
    rows, used = np.empty((256, 4), np.int32), 0
    counts, found = np.zeros(item_total, np.int32), np.empty(item_total, np.int32)
    row_of = np.full(item_total, -1, np.int32)
    stack = Stack(np.empty(1024, np.uint64), np.empty(64, np.int32), np.empty(64, np.int32))
    for root in range(first, last):
        places = columns.places[columns.firsts[root] : columns.firsts[root + 1]]
        rows = _with_a_free_row(rows, used, slot, shared)
        if shared.signal[0] != GO:
            break
        _write(rows, used, root, -1, len(places), 1)
        parent, used = used, used + 1
        frequent = 0
        if question.max_len > 1:
            frequent = _companions(places, columns, counts, found, question.min_count, False)
            frequent = _apart_from(parent, rows, found[:frequent], counts, columns.ancestors)
        if question.max_len == 2:
            rows, used = _put_last(rows, used, parent, found[:frequent], counts, slot, shared)
        elif frequent:
            stack = _first_class(places, columns, stack, found[:frequent], counts, row_of, False, slot, shared)
            limits = (frequent, (len(places) + 63) >> 6, parent)
            rows, used, stack = _search_bits(rows, used, stack, limits, columns.ancestors, question, slot, shared)
        if shared.signal[0] != GO:
            break
        shared.done[slot] += 1
    shared.held[slot, RESULTS], shared.held[slot, STACK] = used * BYTES_A_ROW, 0
    return rows[:used].copy()


@compiled
def _put_last(
    rows: Ints, used: int, parent: int, found: Ints, counts: Ints, slot: int, shared: Controls
) -> tuple[Ints, int]:
    """Write sets that are not extended."""
    for code in found:
        rows = _with_a_free_row(rows, used, slot, shared)
        if shared.signal[0] != GO:
            break
        _write(rows, used, code, parent, counts[code], 1)
        used += 1
        counts[code] = 0
    return rows, used


@compiled
def _search_bits(  # noqa: C901
    rows: Ints, used: int, stack: Stack, limits: tuple[int, int, int],
    ancestors: Ints, question: Question, slot: int, shared: Controls,
) -> tuple[Ints, int, Stack]:  # fmt: skip
    """Extend one root depth first: the class at ``depth`` is ``stack[cursor[depth]:end[depth]]``, its prefix a row."""
    frequent, words, parent = limits
    end, cursor, prefix = np.zeros((3, frequent + 1), np.int64)
    end[0], prefix[0], depth = frequent, parent, 0
    min_count, max_len, signal = question.min_count, question.max_len, shared.signal
    bits, codes, sizes = stack
    while depth >= 0 and signal[0] == GO:
        a, stop = cursor[depth], end[depth]
        if a == stop:
            depth -= 1
            continue
        cursor[depth] += 1
        if used == len(rows):
            rows = _with_a_free_row(rows, used, slot, shared)
            if signal[0] != GO:
                break
        _write(rows, used, codes[a], prefix[depth], sizes[a], 1)
        used += 1
        if depth + 2 >= max_len or a + 1 == stop:
            continue
        if 2 * stop - a > len(codes) or (2 * stop - a) * words > len(bits):  # its class is written behind its own
            stack = _with_room(stack, 2 * stop - a, words, slot, shared)
            bits, codes, sizes = stack
            if signal[0] != GO:
                break
        top = stop
        for b in range(a + 1, stop):
            size = _intersect(bits, a, b, top, words)
            if size >= min_count and _is_apart(codes[b], used - 1, rows, ancestors):
                codes[top], sizes[top] = codes[b], size
                top += 1
        if top > stop:
            depth += 1
            cursor[depth], end[depth], prefix[depth] = stop, top, used - 1
    return rows, used, stack


# -- closed and maximal itemsets -------------------------------------------------------------------------------------


@compiled
def _mine_closed(first: int, last: int, slot: int, columns: Columns, question: Question, shared: Controls) -> Ints:
    """Mine the closed sets whose rarest item is in a range; a row is item, parent, count, whether it answers."""
    item_total = len(columns.firsts) - 1
    rows, used = np.empty((256, 4), np.int32), 0
    counts, found = np.zeros(item_total, np.int32), np.empty(item_total, np.int32)
    row_of, always = np.full(item_total, -1, np.int32), np.empty(item_total, np.int32)
    stack = Stack(np.empty(1024, np.uint64), np.empty(64, np.int32), np.empty(64, np.int32))
    for root in range(first, last):
        shared.done[slot] += 1
        places = columns.places[columns.firsts[root] : columns.firsts[root + 1]]
        frequent = _companions(places, columns, counts, found, question.min_count, True)
        tried, kept, extra, is_covered = 0, 0, 0, False
        for code in found[:frequent]:
            if counts[code] < len(places):
                found[kept] = code
                tried, kept = tried + (code < root), kept + 1
                continue
            counts[code] = 0
            if code != root:
                is_covered |= code < root
                always[extra] = code
                extra += 1
        if is_covered or extra + 1 > question.max_len:
            counts[found[:kept]] = 0
            continue
        answers = question.kind == CLOSED or kept == 0
        rows, used = _put_chain(rows, used, root, -1, len(places), answers, always[:extra], slot, shared)
        if shared.signal[0] != GO:
            break
        stack = _first_class(places, columns, stack, found[:kept], counts, row_of, True, slot, shared)
        if shared.signal[0] != GO:
            break
        limits = (tried, kept, (len(places) + 63) >> 6, used - 1, extra + 1)
        rows, used, stack = _search_closed(rows, used, stack, limits, always, question, slot, shared)
    shared.held[slot, RESULTS], shared.held[slot, STACK] = used * BYTES_A_ROW, 0
    return rows[:used].copy()


@compiled
def _put_chain(
    rows: Ints, used: int, code: int, parent: int, size: int, answers: bool, always: Ints,
    slot: int, shared: Controls,
) -> tuple[Ints, int]:  # fmt: skip
    """Write a set and, one a row behind it, the items that are always with it; the last one is the closed set."""
    for k in range(-1, len(always)):
        rows = _with_a_free_row(rows, used, slot, shared)
        if shared.signal[0] != GO:
            break
        is_last = k + 1 == len(always)
        _write(rows, used, code if k < 0 else always[k], parent, size, answers and is_last)
        parent, used = used, used + 1
    return rows, used


@compiled
def _search_closed(  # noqa: C901
    rows: Ints, used: int, stack: Stack, limits: tuple[int, int, int, int, int],
    always: Ints, question: Question, slot: int, shared: Controls,
) -> tuple[Ints, int, Stack]:  # fmt: skip
    """Extend one root depth first.

    The root's own class stays at the bottom of the stack; ``tried`` are the entries of it that were tried before what
    is being tried: where one of these covers a set, that set was found already.
    """
    first_tried, kept, words, row, root_length = limits
    end, cursor, before = np.zeros(kept + 1, np.int64), np.zeros(kept + 1, np.int64), np.zeros(kept + 1, np.int64)
    prefix, length, begin = np.zeros(kept + 1, np.int64), np.zeros(kept + 1, np.int64), np.zeros(kept + 1, np.int64)
    entry_of = np.empty(len(always), np.int32)
    for k in range(kept):
        entry_of[stack.codes[k]] = k
    tried = np.arange(kept + 1)
    begin[0], cursor[0], end[0], before[0] = first_tried, first_tried, kept, first_tried
    prefix[0], length[0], depth = row, root_length, 0
    bits, codes, sizes = stack
    min_count, max_len = question.min_count, question.max_len
    while depth >= 0:
        a, stop = cursor[depth], end[depth]
        if a == stop or length[depth] >= max_len:
            depth -= 1
            continue
        cursor[depth] += 1
        if a > begin[depth]:  # only now: what grew from it was written over
            tried[before[depth]] = entry_of[codes[a - 1]]
            before[depth] += 1
        earlier = tried[: before[depth]]
        if _is_covered(bits, sizes, a, earlier, words):
            continue
        if 2 * stop - a > len(codes) or (2 * stop - a) * words > len(bits):
            stack = _with_room(stack, 2 * stop - a, words, slot, shared)
            bits, codes, sizes = stack
            if shared.signal[0] != GO:
                break
        top, extra = _keep_common(stack, (a, stop), words, always, min_count)
        if length[depth] + 1 + extra > max_len:
            continue
        answers = question.kind == CLOSED or (top == stop and not _is_extended(bits, a, earlier, words, min_count))
        rows, used = _put_chain(rows, used, codes[a], prefix[depth], sizes[a], answers, always[:extra], slot, shared)
        if shared.signal[0] != GO:
            break
        if top > stop:
            depth += 1
            begin[depth], cursor[depth], end[depth], before[depth] = stop, stop, top, len(earlier)
            prefix[depth], length[depth] = used - 1, length[depth - 1] + 1 + extra
    return rows, used, stack


@compiled
def _is_covered(bits: Words, sizes: Ints, a: int, entries: NDArray[np.int64], words: int) -> bool:
    """Whether one of the entries is in every basket of entry ``a``."""
    own = bits[a * words : (a + 1) * words]
    for entry in entries:
        if sizes[entry] < sizes[a]:
            continue
        other = bits[entry * words : (entry + 1) * words]
        word = 0
        while word < words and not own[word] & ~other[word]:
            word += 1
        if word == words:
            return True
    return False


@compiled
def _is_extended(bits: Words, a: int, entries: NDArray[np.int64], words: int, min_count: int) -> bool:
    """Whether one of the entries is frequent together with entry ``a``."""
    own = bits[a * words : (a + 1) * words]
    for entry in entries:
        other = bits[entry * words : (entry + 1) * words]
        size = 0
        for word in range(words):
            size += bits_set(own[word] & other[word])
        if size >= min_count:
            return True
    return False


@compiled
def _keep_common(stack: Stack, span: tuple[int, int], words: int, always: Ints, min_count: int) -> tuple[int, int]:
    """Intersect the entries behind ``a`` with it, and write the frequent ones behind its class.

    Returns where they end, and how many entries are in every basket of ``a`` (those are put in ``always`` instead).
    """
    a, stop = span
    bits, codes, sizes = stack
    top, extra = stop, 0
    for b in range(a + 1, stop):
        size = _intersect(bits, a, b, top, words)
        if size == sizes[a]:
            always[extra] = codes[b]
            extra += 1
        elif size >= min_count:
            codes[top], sizes[top] = codes[b], size
            top += 1
    return top, extra
