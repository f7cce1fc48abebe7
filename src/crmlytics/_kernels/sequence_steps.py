"""One step of a sequential pattern within limits of time: where it ends, and which elements may come next.

A pattern is followed by its ends: the elements at which it can be complete. What comes next depends on the ends alone
where gaps are limited, and on the moment of the first element, too, where the whole time is. For each end the latest
first element is kept: whatever fits with an earlier one fits with it (M. J. Zaki (2000), "Sequence mining in
categorical domains: incorporating constraints", cSPADE). It never falls from one end to a later one: by induction, the
elements that a later end can follow are as late or later, so the latest of them has the latest start. Therefore the
latest end that an element can follow decides for it, and nothing is lost.

Ends are bits, 64 elements of a sequence a word; words without any are not kept, so that a rare pattern is a short list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crmlytics._kernels.compiled import bits_set, compiled
from crmlytics._kernels.sequence_rows import STACK, is_over
from crmlytics._kernels.working import GO

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.working import Controls

    Ints = NDArray[np.int32]
    Longs = NDArray[np.int64]
    Bits = NDArray[np.uint64]

NONE = -1  # no limit
LARGEST = 2**31 - 1  # elements and words are 32-bit numbers
ENDS, REACH, TOP, STARTS, STARTS_TOP, MARKS = 0, 1, 2, 3, 4, 5  # what is marked of each level of a stack
ONE, FULL_WORD = np.uint64(1), ~np.uint64(0)


class Limits(NamedTuple):
    """How far apart the elements of a pattern may be, in the unit of ``moment``; -1 is no limit.

    Elements of a pattern are always different elements of the sequence, one later than the other in its order; two at
    the same moment are 0 apart.

    Attributes
    ----------
    min_gap, max_gap : int
        The least and the most time from each element of the pattern to the next, both inclusive.
    window : int
        The most time from the first element to the last, inclusive.
    """

    min_gap: int = NONE
    max_gap: int = NONE
    window: int = NONE


class Places(NamedTuple):
    """Which items stand where: words of up to 64 elements of one sequence, and what may follow each element.

    Attributes
    ----------
    sequence : int32 array, shape (words,)
        The sequence of each word.
    first : int32 array, shape (words + 1,)
        The element of its lowest bit; how many elements there are.
    words : int64 array, shape (sequences + 1,)
        The words of sequence ``s`` are ``words[s]`` up to ``words[s + 1]``.
    starts : int64 array, shape (words + 1,)
        The entries of word ``w`` are ``starts[w]`` up to ``starts[w + 1]``, one for each item that stands in it.
    items, bits : int32 and uint64 arrays, shape (entries,)
        Item codes, rising within a word, and the elements of the word that hold the item.
    item_starts : int64 array, shape (items + 1,)
        The same by item: ``item_words[item_starts[i]:item_starts[i + 1]]`` are the words that item ``i`` stands in.
    item_words, item_bits : int32 and uint64 arrays, shape (entries,)
        See ``item_starts``, and ``bits``.
    opens, closes : int32 arrays, shape (elements,)
        The elements that can follow element ``e`` in a pattern: from ``opens[e]`` up to ``closes[e]``.
    fits : int32 array, shape (elements,), or empty without a window
        A pattern that starts at element ``e`` ends before ``fits[e]``.
    moment : int64 array, shape (elements,)
        When each element was.
    longest : int
        The most items of a sequence, over all its elements.
    """

    sequence: Ints
    first: Ints
    words: Longs
    starts: Longs
    items: Ints
    bits: Bits
    item_starts: Longs
    item_words: Ints
    item_bits: Bits
    opens: Ints
    closes: Ints
    fits: Ints
    moment: Longs
    longest: int


class Stack(NamedTuple):
    """The pattern that is being looked at and all its prefixes, level by level, one behind the other.

    ``marks[level]`` says where: the ends of the pattern are the words from ENDS up to REACH, the elements that may
    follow them those from REACH up to TOP; with a window, the first element of each end, bit by bit, stands in
    ``starts`` from STARTS up to STARTS_TOP.
    """

    word: Ints
    bits: Bits
    starts: Ints
    marks: Longs


def places_of(starts: Longs, item_starts: Longs, items: Ints, moment: Longs, code_of: Ints, limits: Limits) -> Places:
    """Lay out sequences (see ``Sequences``) for the items with a code in ``code_of``; -1 there leaves an item out.

    Codes rise with the items. Elements without any such item are left out: an element's number counts the others.
    """
    starts, item_starts, items, moment = _thinned(starts, item_starts, items, moment, code_of)
    words = _offsets((np.diff(starts) + 63) >> 6)
    sequence = np.repeat(np.arange(len(starts) - 1, dtype=np.int32), np.diff(words))
    first = np.append(starts[sequence] + 64 * (np.arange(len(sequence)) - words[sequence]), len(moment)).astype(
        np.int32
    )
    of_item = _offsets(np.bincount(items, minlength=code_of.max(initial=-1) + 1))
    by_item, item_words, item_bits = _by_item(first, item_starts, items, of_item)
    by_word = _offsets(np.bincount(item_words, minlength=len(sequence)))
    word_items, word_bits = _by_word(by_item, item_words, item_bits, by_word)
    ends = np.repeat(starts[1:], np.diff(starts)).astype(np.int32)
    opens = _first_apart(starts, moment, max(limits.min_gap, 0))
    closes = ends if limits.max_gap == NONE else _first_apart(starts, moment, limits.max_gap + 1)
    fits = ends[:0] if limits.window == NONE else _first_apart(starts, moment, limits.window + 1)
    longest = int(np.diff(item_starts[starts]).max(initial=0))
    return Places(
        sequence, first, words, by_word, word_items, word_bits, by_item, item_words, item_bits,
        opens, closes, fits, moment, longest,
    )  # fmt: skip


def _offsets(sizes: Longs) -> Longs:
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


def bytes_of(places: Places) -> int:
    """Return how much memory these arrays take."""
    return sum(array.nbytes for array in places[:-1])


@compiled
def _thinned(
    starts: Longs, item_starts: Longs, items: Ints, moment: Longs, code_of: Ints
) -> tuple[Longs, Longs, Ints, Longs]:
    new_starts, new_items = np.zeros_like(starts), np.empty(len(items), np.int32)
    new_item_starts, new_moment = np.zeros(len(item_starts), np.int64), np.empty(len(moment), np.int64)
    elements, used = 0, 0
    for sequence in range(len(starts) - 1):
        for element in range(starts[sequence], starts[sequence + 1]):
            for place in range(item_starts[element], item_starts[element + 1]):
                item = items[place]
                if 0 <= item < len(code_of) and code_of[item] >= 0:
                    new_items[used] = code_of[item]
                    used += 1
            if used > new_item_starts[elements]:
                new_moment[elements] = moment[element]
                elements += 1
                new_item_starts[elements] = used
        new_starts[sequence + 1] = elements
    return new_starts, new_item_starts[: elements + 1].copy(), new_items[:used].copy(), new_moment[:elements].copy()


@compiled
def _first_apart(starts: Longs, moment: Longs, least: int) -> Ints:
    """Return the first later element that is at least so much time away, or the end of the sequence."""
    found = np.empty(len(moment), np.int32)
    for sequence in range(len(starts) - 1):
        later, end = starts[sequence], starts[sequence + 1]
        for element in range(starts[sequence], end):
            later = max(later, element + 1)
            while later < end and moment[later] - moment[element] < least:
                later += 1
            found[element] = later
    return found


@compiled
def _by_item(first: Ints, item_starts: Longs, items: Ints, place_starts: Longs) -> tuple[Longs, Ints, Bits]:
    """Return, item after item, the words that it stands in, and its elements in each."""
    word_of = np.empty(len(items), np.int32)
    element_of, free = np.empty(len(items), np.int32), place_starts[:-1].copy()
    word = 0
    for element in range(len(item_starts) - 1):
        while first[word + 1] <= element:
            word += 1
        for place in range(item_starts[element], item_starts[element + 1]):
            word_of[free[items[place]]], element_of[free[items[place]]] = word, element
            free[items[place]] += 1
    starts, bits, used = np.zeros(len(place_starts), np.int64), np.empty(len(items), np.uint64), 0
    for item in range(len(place_starts) - 1):
        for place in range(place_starts[item], place_starts[item + 1]):
            word = word_of[place]
            bit = ONE << np.uint64(element_of[place] - first[word])
            if used > starts[item] and word_of[used - 1] == word:
                bits[used - 1] |= bit
            else:
                word_of[used], bits[used] = word, bit
                used += 1
        starts[item + 1] = used
    return starts, word_of[:used].copy(), bits[:used].copy()


@compiled
def _by_word(item_starts: Longs, item_words: Ints, item_bits: Bits, starts: Longs) -> tuple[Ints, Bits]:
    """Return the same entries word after word."""
    items, bits, free = np.empty(len(item_words), np.int32), np.empty(len(item_words), np.uint64), starts[:-1].copy()
    for item in range(len(item_starts) - 1):
        for entry in range(item_starts[item], item_starts[item + 1]):
            place = free[item_words[entry]]
            items[place], bits[place] = item, item_bits[entry]
            free[item_words[entry]] += 1
    return items, bits


# -- steps: a level of the stack is worked out from the level before it, level 0 from nothing ------------------------


@compiled
def new_stack(places: Places, max_len: int) -> Stack:
    """Return a stack with room for any single item, and marks for patterns of up to so many items."""
    words, elements = 1, places.first[-1] if len(places.fits) > 0 else 0
    for item in range(len(places.item_starts) - 1):
        words = max(words, places.item_starts[item + 1] - places.item_starts[item])
    marks = np.zeros((min(max_len, places.longest) + 2, MARKS), np.int64)
    return Stack(np.empty(words + 1, np.int32), np.empty(words + 1, np.uint64), np.empty(elements, np.int32), marks)


@compiled
def bytes_of_stack(stack: Stack) -> int:
    """Return how much memory a stack takes."""
    return 12 * len(stack.word) + 4 * len(stack.starts) + 8 * stack.marks.size


@compiled
def put_item(stack: Stack, item: int, places: Places) -> None:
    """Write the ends of the pattern of one item on level 1."""
    word, bits, starts, marks = stack
    into, begin = 0, places.item_starts[item]
    size = places.item_starts[item + 1] - begin
    for k in range(size):
        word[k], bits[k] = places.item_words[begin + k], places.item_bits[begin + k]
        rest = bits[k]
        while len(places.fits) > 0 and rest != 0:
            starts[into] = places.first[word[k]] + bit_number(rest)
            rest &= rest - ONE
            into += 1
    marks[1, ENDS], marks[1, REACH], marks[1, TOP], marks[1, STARTS], marks[1, STARTS_TOP] = 0, size, size, 0, into


@compiled
def extend(stack: Stack, level: int, item: int, joined: bool, places: Places) -> None:
    """Write the ends of the pattern of a level and one item more on the next level.

    The item joins the last element, or stands in an element of its own among those that may follow: see :func:`reach`.
    """
    word, bits, _, marks = stack
    starts, items, item_bits = places.starts, places.items, places.bits
    begin, end = (marks[level, ENDS], marks[level, REACH]) if joined else (marks[level, REACH], marks[level, TOP])
    into = marks[level, TOP]
    marks[level + 1, ENDS] = into
    for k in range(begin, end):
        low = starts[word[k]]
        width = starts[word[k] + 1] - low
        while width > 1:
            half = width >> 1
            low += half if items[low + half] <= item else 0
            width -= half
        common = bits[k] & item_bits[low]
        if items[low] == item and common != 0:
            word[into], bits[into] = word[k], common
            into += 1
    marks[level + 1, REACH], marks[level + 1, TOP] = into, into
    if len(places.fits) > 0:
        if joined:
            _keep_starts(stack, level)
        else:
            _hand_on_starts(stack, level, places.first, places.opens)


@compiled
def bit_number(bits: int) -> int:
    """Return the place of the lowest bit set."""
    return bits_set(~bits & (bits - ONE))


@compiled
def _keep_starts(stack: Stack, level: int) -> None:
    """Write the starts of the next level, whose ends are some of the ends of this one."""
    word, bits, starts, marks = stack
    k, at, into = marks[level, ENDS], marks[level, STARTS], marks[level, STARTS_TOP]
    marks[level + 1, STARTS] = into
    for child in range(marks[level + 1, ENDS], marks[level + 1, REACH]):
        while word[k] < word[child]:
            at += bits_set(bits[k])
            k += 1
        rest = bits[k]
        while rest != 0:
            if bits[child] & rest & ~(rest - ONE) != 0:
                starts[into] = starts[at]
                into += 1
            at += 1
            rest &= rest - ONE
        k += 1
    marks[level + 1, STARTS_TOP] = into


@compiled
def _hand_on_starts(stack: Stack, level: int, first: Ints, opens: Ints) -> None:
    """Write the starts of the next level: that of the latest end of this one which each of its ends can follow."""
    word, bits, starts, marks = stack
    k, last = marks[level, ENDS], marks[level, REACH]
    at, into, start, rest = marks[level, STARTS], marks[level, STARTS_TOP], 0, bits[k]
    marks[level + 1, STARTS] = into
    for child in range(marks[level + 1, ENDS], marks[level + 1, REACH]):
        left = bits[child]
        while left != 0:
            element = first[word[child]] + bit_number(left)
            left &= left - ONE
            while k < last and opens[first[word[k]] + bit_number(rest)] <= element:
                start = starts[at]
                at += 1
                rest &= rest - ONE
                if rest == 0:
                    k += 1
                    rest = bits[k]  # one past the ends at most: the elements that may follow them
            starts[into] = start
            into += 1
    marks[level + 1, STARTS_TOP] = into


@compiled
def reach(stack: Stack, level: int, places: Places, slot: int, shared: Controls) -> Stack:
    """Write the elements that may follow the pattern of a level behind its ends; see that the next level has room."""
    stack = _with_room(stack, level, places.sequence, places.words, places.first, slot, shared)
    if shared.signal[0] == GO:
        _put_reach(stack, level, places.first, places.opens, places.closes, places.fits)
    return stack


@compiled
def _with_room(
    stack: Stack, level: int, sequence: Ints, words: Longs, first: Ints, slot: int, shared: Controls
) -> Stack:  # fmt: skip
    """Return the stack, in larger copies of its arrays if they are too short; unless there is no memory left.

    What follows a pattern is no more than what is left of its sequences, and the next level no more than that.
    """
    word, bits, starts, marks = stack
    word_total, start_total, previous = marks[level, REACH], marks[level, STARTS_TOP], -1
    for k in range(marks[level, ENDS], marks[level, REACH]):
        if sequence[word[k]] != previous:
            previous = sequence[word[k]]
            word_total += 2 * (words[previous + 1] - word[k])
            start_total += first[words[previous + 1]] - first[word[k]]
    start_total = start_total if len(starts) > 0 else 0
    if word_total <= len(word) and start_total <= len(starts):
        return stack
    word_total, start_total = max(2 * word_total, len(word)), max(2 * start_total, len(starts))
    if is_over(bytes_of_stack(stack) + 12 * word_total + 4 * start_total, STACK, slot, shared):
        return stack  # the old one is there, too, while it is copied
    larger = Stack(
        np.empty(word_total, np.int32), np.empty(word_total, np.uint64), np.empty(start_total, np.int32), marks
    )
    for k in range(len(word)):
        larger.word[k], larger.bits[k] = word[k], bits[k]
    for k in range(len(starts)):
        larger.starts[k] = starts[k]
    return larger


@compiled
def _put_reach(stack: Stack, level: int, first: Ints, opens: Ints, closes: Ints, fits: Ints) -> None:
    """Write the union of what may follow each end; it rises as the ends do."""
    word, bits, starts, marks = stack
    at, into = marks[level, STARTS], marks[level, REACH]
    filled, current, held = 0, -1, np.uint64(0)
    for k in range(marks[level, ENDS], marks[level, REACH]):
        base, rest = first[word[k]], bits[k]
        while rest != 0:
            end = base + bit_number(rest)
            rest &= rest - ONE
            low, high = max(opens[end], filled), closes[end]
            if len(fits) > 0:
                high = min(high, fits[starts[at]])
                at += 1
            while low < high:
                target = word[k] + ((low - base) >> 6)
                if target != current:
                    if held != 0:
                        word[into], bits[into] = current, held
                        into += 1
                    current, held = target, np.uint64(0)
                filled = min(high, first[target] + 64)
                to_here = FULL_WORD >> np.uint64(64 - (filled - first[target]))
                held |= (FULL_WORD << np.uint64(low - first[target])) & to_here
                low = filled
    if held != 0:
        word[into], bits[into] = current, held
        into += 1
    marks[level, TOP] = into
