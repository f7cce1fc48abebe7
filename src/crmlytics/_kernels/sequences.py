"""Mining sequential patterns without limits of time: which algorithm, in how many parts.

Both algorithms find the same patterns with the same counts, in the same order: a parent before its children, and
these by item, in a later element before joined to the last one.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._kernels import sequence_bitmaps, sequence_projection
from crmlytics._kernels.compiled import compiled
from crmlytics._kernels.sequence_rows import NO_LIMIT, Frequent, Question, TooManySequencesError, tree_of
from crmlytics._kernels.working import FULL, controls, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.sequence_tree import SequenceTree

    Ints = NDArray[np.int32]
    Longs = NDArray[np.int64]

__all__ = ["NO_LIMIT", "Question", "TooManySequencesError", "mine"]

ALGORITHMS = {"projection": sequence_projection, "bitmaps": sequence_bitmaps}

DENSE = 3  # measured: bitmaps win from a third of a place for each item and sequence


def mine(sequences: Any, question: Question, *, max_bytes: int, algorithm: str | None = None) -> SequenceTree:
    """Return all patterns that are frequent enough, as a tree with the item codes of the sequences.

    Parameters
    ----------
    sequences : Sequences
    question : Question
    max_bytes : int
        The memory that patterns and work may take.
    algorithm : {"projection", "bitmaps"}, optional
        The algorithm; chosen by the data if not given.

    Raises
    ------
    TooManySequencesError
        Before more memory is taken than allowed.
    """
    frequent = frequent_part(sequences, question)
    question = within(question, frequent)
    miner = ALGORITHMS[algorithm or suited_to(frequent, max_bytes)]
    needed, tasks = miner.tasks_of(frequent, question, max_bytes)
    shared = controls(len(tasks), max_bytes - needed)
    calls = [partial(task, number, shared) for number, task in enumerate(tasks)]
    parts = run(calls, shared, steps=len(frequent.codes), label="sequential patterns")
    if shared.signal[0] == FULL:
        raise TooManySequencesError
    return tree_of(parts, frequent.codes, len(sequences.item_ids), len(sequences))


def frequent_part(sequences: Any, question: Question) -> Frequent:
    """Leave out what is in too few sequences, and the elements and sequences without anything else."""
    starts, item_starts, items = sequences.starts, sequences.item_starts, sequences.items
    counts = sequence_counts(item_starts[starts], items, len(sequences.item_ids))
    codes = np.flatnonzero(counts >= question.min_count)
    number = np.full(len(counts), -1, np.int32)
    number[codes] = np.arange(len(codes))
    return Frequent(*_without_rare(starts, item_starts, items, number), codes.astype(np.int32), counts[codes])


def within(question: Question, frequent: Frequent) -> Question:
    """Lower the limits to what the sequences hold: a depth, and no search for what joins single items."""
    longest = int(np.diff(frequent.item_starts[frequent.starts]).max(initial=1))
    widest = int(np.diff(frequent.item_starts).max(initial=1))
    return Question(question.min_count, min(question.max_len, longest), min(question.max_element_len, widest))


def suited_to(frequent: Frequent, max_bytes: int) -> str:
    """Return the faster algorithm, of those that have room."""
    lengths, item_total = np.diff(frequent.starts), len(frequent.codes)
    is_dense = DENSE * len(frequent.items) > item_total * len(lengths)
    has_room = sequence_bitmaps.bytes_needed(frequent) <= max_bytes // 2
    is_short = lengths.max(initial=0) < sequence_bitmaps.NEVER
    return "bitmaps" if is_dense and has_room and is_short else "projection"


@compiled
def sequence_counts(bounds: Longs, items: Ints, item_total: int) -> Longs:
    """Count the sequences that hold each item: sequence ``s`` is ``items[bounds[s]:bounds[s + 1]]``."""
    counts, last = np.zeros(item_total, np.int64), np.full(item_total, -1, np.int64)
    for sequence in range(len(bounds) - 1):
        for place in range(bounds[sequence], bounds[sequence + 1]):
            item = items[place]
            counts[item] += last[item] != sequence
            last[item] = sequence
    return counts


@compiled
def _without_rare(starts: Longs, item_starts: Longs, items: Ints, number: Ints) -> tuple[Longs, Longs, Ints]:
    kept_starts, kept_ends, kept = np.zeros_like(starts), np.zeros_like(item_starts), np.empty_like(items)
    sequences, elements, size = 0, 0, 0
    for sequence in range(len(starts) - 1):
        for element in range(starts[sequence], starts[sequence + 1]):
            for place in range(item_starts[element], item_starts[element + 1]):
                kept[size] = number[items[place]]
                size += kept[size] >= 0
            elements += size > kept_ends[elements]
            kept_ends[elements] = size
        sequences += elements > kept_starts[sequences]
        kept_starts[sequences] = elements
    return kept_starts[: sequences + 1], kept_ends[: elements + 1], kept[:size]
