"""What is looked for, and mining it in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._support import least_count, mined_for_top
from crmlytics.exceptions import ResultTooLargeError
from crmlytics.sequences._occurrences import arrays_of, as_limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.sequence_tree import SequenceTree
    from crmlytics._kernels.sequences import Question
    from crmlytics._sequences import Sequences

    Found = tuple[SequenceTree, NDArray[np.int32]]

NO_LIMIT = 2**30


@dataclass(frozen=True, slots=True)
class Wanted:
    """The arguments of ``frequent_sequences`` that say which patterns are wanted.

    ``limits`` are the least and the greatest gap and the window, in the unit of the sequences, -1 where there is none;
    None where there is no limit at all.
    """

    min_support: Any
    max_len: int | None
    min_len: int
    max_element_len: int | None
    kind: str
    top_k: int | None
    max_bytes: int
    limits: tuple[int, int, int] | None = None

    def question(self, min_count: int) -> Question:
        """Ask for patterns of the lengths wanted; one item longer where only those can tell what is closed."""
        from crmlytics._kernels.sequences import Question

        more = 0 if self.kind == "all" else 1
        lengths = (NO_LIMIT if most is None else most + more for most in (self.max_len, self.max_element_len))
        return Question(min_count, *lengths)

    def fitting(self, tree: SequenceTree) -> NDArray[np.int32]:
        """Return the rows of patterns that are of the kind wanted, long enough, and not too long."""
        rows = _rows_of_kind(tree, self.kind)
        lengths = tree.lengths()[rows]
        kept = (lengths >= self.min_len) & (lengths <= (self.max_len or NO_LIMIT))
        if self.max_element_len is not None:
            kept &= longest_elements(tree)[rows] <= self.max_element_len
        return rows[kept]

    def top(self, tree: SequenceTree, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """Keep the ``top_k`` most frequent; among equals short ones and rare items first."""
        order = np.lexsort((rows, tree.lengths()[rows], -tree.count[rows]))
        return np.sort(rows[order[: self.top_k]])

    def too_many(self, min_count: int, sequence_count: int, caller: str) -> str:
        """Say that there are more patterns than memory for them, and what to type."""
        which = f"in at least {min_count:,} of {sequence_count:,} sequences"
        tighten = ["a higher min_support", "max_len=3", "max_element_len=1", "max_gap='30d'"]
        if self.top_k is None:
            tighten.append("top_k=1000")
        else:
            which = f"among which the top_k={self.top_k:,} are looked for"
            tighten.append(f"a top_k below {self.top_k:,}")
        return (
            f"{caller}: the patterns {which} need more than max_memory={self.max_bytes / 1e6:,.0f} MB. Ask for fewer: "
            f"{', '.join(tighten[:-1])} or {tighten[-1]}; or give more, such as max_memory='8GB'."
        )

    def least_of(self, tree: SequenceTree, rows: NDArray[np.int32], floor: int) -> int:
        """Return the count that all patterns found reach: of the ``top_k`` that of the last one."""
        return floor if self.top_k is None or not len(rows) else int(tree.count[rows].min())


@dataclass(frozen=True, slots=True, eq=False)
class Mined:
    """What was found: see the attributes of ``SequencePatterns``."""

    tree: SequenceTree
    rows: NDArray[np.int32]
    item_ids: NDArray[Any]
    min_count: int


def mine_in_memory(sequences: Sequences, wanted: Wanted, *, caller: str) -> Mined:
    """Mine what is wanted from sequences whose item codes rise with the number of sequences that hold them."""
    from crmlytics._kernels.sequences import TooManySequencesError, sequence_counts

    floor = least_count(wanted.min_support, len(sequences))

    def mined_at(min_count: int) -> Found:
        tree = _tree(sequences, wanted, min_count)
        return tree, wanted.fitting(tree)

    try:
        if wanted.top_k is not None and wanted.kind != "maximal":
            bounds = sequences.item_starts[sequences.starts]
            counts = sequence_counts(bounds, sequences.items, len(sequences.item_ids))
            tree, rows = mined_for_top(mined_at, counts, wanted.top_k, floor, TooManySequencesError)
            rows = wanted.top(tree, rows)
        else:  # what is maximal depends on the threshold
            tree, rows = mined_at(floor)
            rows = rows if wanted.top_k is None else wanted.top(tree, rows)
    except TooManySequencesError:
        raise ResultTooLargeError(wanted.too_many(floor, len(sequences), caller)) from None
    return Mined(tree, rows, sequences.item_ids, wanted.least_of(tree, rows, floor))


def _tree(sequences: Sequences, wanted: Wanted, min_count: int) -> SequenceTree:
    from crmlytics._kernels.sequence_gaps import mine_within
    from crmlytics._kernels.sequences import mine

    question = wanted.question(min_count)
    if wanted.limits is None:
        return mine(sequences, question, max_bytes=wanted.max_bytes)
    given = (len(sequences.item_ids), question, as_limits(wanted.limits))
    return mine_within(*arrays_of(sequences), *given, max_bytes=wanted.max_bytes)


def _rows_of_kind(tree: SequenceTree, kind: str) -> NDArray[np.int32]:
    if kind == "all":
        return np.arange(len(tree), dtype=np.int32)
    from crmlytics._kernels.sequence_kinds import closed_rows, maximal_rows

    return closed_rows(tree) if kind == "closed" else maximal_rows(tree)


def longest_elements(tree: SequenceTree) -> NDArray[np.int32]:
    """Return how many items the largest element of each pattern has."""
    starts, _, joined = tree.members(np.arange(len(tree), dtype=np.int32))
    places = np.arange(len(joined))
    place_in_element = places - np.maximum.accumulate(np.where(joined, 0, places)) + 1
    longest = np.maximum.reduceat(place_in_element, starts[:-1]) if len(tree) else np.zeros(0)
    return longest.astype(np.int32)
