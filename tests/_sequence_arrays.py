"""Sequences and patterns as the arrays that kernels take, and back.

A sequence is a list of (moment, set of items), a pattern a tuple of frozensets.
"""

from itertools import pairwise

import numpy as np

CONTEXT_PREFIX_SPAN = [  # SPMF's example: each character an item, each word an element
    "1 123 13 4 36",
    "14 3 23 15",
    "56 12 46 3 2",
    "5 7 16 3 2 3",
]


def spelt(*sequences):
    """Sequences from words, one element a day: ``"ab c"`` is a and b on day 0, c on day 1."""
    return [[(day, set(word)) for day, word in enumerate(text.split())] for text in sequences]


def as_arrays(sequences, item_ids):
    """Return ``starts``, ``item_starts``, ``items`` and ``moment`` as in ``Sequences``; an item's code is its place."""
    code = {item: place for place, item in enumerate(item_ids)}
    elements = [element for sequence in sequences for element in sequence]
    return (
        np.cumsum([0, *map(len, sequences)]),
        np.cumsum([0, *(len(items) for _, items in elements)]),
        np.array([place for _, items in elements for place in sorted(code[item] for item in items)], np.int32),
        np.array([moment for moment, _ in elements], np.int64),
    )


def as_members(patterns, item_ids):
    """Return patterns laid out as by ``SequenceTree.members``."""
    code, patterns = {item: place for place, item in enumerate(item_ids)}, list(patterns)
    flat = [
        (place, number > 0)
        for pattern in patterns
        for element in pattern
        for number, place in enumerate(sorted(code[item] for item in element))
    ]
    starts = np.cumsum([0, *(sum(map(len, pattern)) for pattern in patterns)])
    return starts, np.array([place for place, _ in flat], np.int32), np.array([same for _, same in flat], np.bool_)


def patterns_in(tree, item_ids, rows=None):
    """Return the patterns of some rows, of all if none are given, in their order."""
    rows = np.arange(len(tree)) if rows is None else rows
    starts, codes, joined = tree.members(rows.astype(np.int32))
    found = []
    for begin, end in pairwise(starts):
        pattern = []
        for code, same in zip(codes[begin:end], joined[begin:end], strict=True):
            pattern = (
                [*pattern[:-1], pattern[-1] | {item_ids[code]}] if same else [*pattern, frozenset([item_ids[code]])]
            )
        found.append(tuple(pattern))
    return found


def pattern(text):
    """Return the pattern that words spell, an element each."""
    return tuple(map(frozenset, text.split()))
