"""What customers may buy next: histories up to some moment, what all of them teach, and each customer's candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics._kernels.next_purchase import Candidates
    from crmlytics._kernels.next_purchase_population import Histories, Population
    from crmlytics._sequences import Sequences

POOL = 10_000  # customers that others are compared with: more cost time and hardly help
PART = 256  # customers: a fraction of a second, so that Ctrl-C is heard
LIMITS = {"all": (120, 20), "repeat": (240, 0), "new": (0, 50)}  # own items, and new ones of each other source


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A moment of each history: what was before it is known, what comes after it is to be predicted.

    Attributes
    ----------
    ends : int64 array, shape (sequences,)
        The first order of each sequence that is not known.
    now : int64 array, shape (sequences,)
        The day of the cut.
    until : int64 array, shape (sequences,)
        The first order that is not to be predicted either.
    """

    ends: NDArray[np.int64]
    now: NDArray[np.int64]
    until: NDArray[np.int64]


def cut_at_end(sequences: Sequences, now: NDArray[np.int64]) -> Cut:
    """Return the cut after all that is there."""
    return Cut(sequences.starts[1:], now, sequences.starts[1:])


def cut_before_order(sequences: Sequences, back: int) -> Cut:
    """Return the cut before the last order of each history, or one of the orders before, counted back from 1."""
    begins, ends = sequences.starts[:-1], sequences.starts[1:] - back
    is_there = ends >= begins
    ends = np.maximum(ends, begins)
    return Cut(ends, sequences.moment[ends], ends + is_there)


def cut_before_day(sequences: Sequences, day: NDArray[np.int64], horizon: int) -> Cut:
    """Return the cut before a day of each sequence, to predict the days from then on."""
    lengths = np.diff(sequences.starts)
    owners, first = np.repeat(np.arange(len(lengths)), lengths), np.repeat(day, lengths)
    ends, until = (
        sequences.starts[:-1] + np.bincount(owners, sequences.moment < limit, len(lengths)).astype(np.int64)
        for limit in (first, first + horizon)
    )
    return Cut(ends, day, until)


@dataclass(frozen=True, slots=True, eq=False)
class Crowd:
    """What all histories up to a cut teach: of items, and of customers to compare others with.

    Attributes
    ----------
    people : Population
    pool_ids : array
        The ids of the customers of the pool, sorted.
    """

    people: Population
    pool_ids: NDArray[Any]

    @classmethod
    def of(cls, sequences: Sequences, cut: Cut, random_state: int) -> Crowd:
        """Learn from what was before a cut."""
        from crmlytics._kernels.next_purchase_population import population_of

        pool = np.flatnonzero(cut.ends > sequences.starts[:-1])
        if len(pool) > POOL:
            pool = np.sort(np.random.default_rng(random_state).choice(pool, POOL, replace=False))
        histories = histories_of(sequences, cut)
        return cls(population_of(histories, len(sequences.item_ids), pool), sequences.sequence_ids[pool])

    def rows(self, ids: NDArray[Any]) -> NDArray[np.int64]:
        """Return which of the pool each customer is; -1: none."""
        place = np.minimum(np.searchsorted(self.pool_ids, ids), len(self.pool_ids) - 1)
        return np.where(self.pool_ids[place] == ids, place, -1).astype(np.int64)


def histories_of(sequences: Sequences, cut: Cut, customers: Any = slice(None)) -> Histories:
    """Return what was before a cut, of some customers."""
    from crmlytics._kernels.next_purchase_population import Histories

    begins, ends = sequences.starts[:-1][customers], cut.ends[customers]
    return Histories(begins, ends, sequences.item_starts, sequences.items, sequences.moment)


def candidates_at(
    sequences: Sequences, cut: Cut, crowd: Crowd, customers: NDArray[np.int64], *, which: str,
    offered: NDArray[np.bool_] | None = None, named: tuple[NDArray[np.int64], NDArray[np.int32]] | None = None,
) -> Candidates:  # fmt: skip
    """Return the candidates of some customers and what is known of them before a cut."""
    from crmlytics._kernels.next_purchase import candidates_of

    own, new = LIMITS[which]
    return candidates_of(
        histories_of(sequences, cut, customers),
        cut.now[customers],
        crowd.rows(sequences.sequence_ids[customers]),
        crowd.people,
        own=own,
        new=new,
        offered=np.ones(len(sequences.item_ids), np.bool_) if offered is None else offered,
        named=named,
    )


def in_small_parts(customers: NDArray[np.int64]) -> Sequence[NDArray[np.int64]]:
    """Cut customers into parts that are soon done."""
    return np.split(customers, range(PART, len(customers), PART))
