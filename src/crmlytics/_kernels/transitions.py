"""Walks from state to state, on arrays: their steps, the runs of states within them, and what groups of steps take.

The states of walk ``w`` are ``states[starts[w]:starts[w + 1]]``, codes from 0; a walk may be empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]


class Steps(NamedTuple):
    """The steps of all walks, walk by walk: into the first state, from state to state, out of the last one.

    Attributes
    ----------
    origin, destination : int64 arrays, shape (states + walks,)
        The codes that each step leads from and to.
    walk : int64 array
        The walk of each step.
    place : int64 array
        The number of each step within its walk, from 0.
    """

    origin: Ints
    destination: Ints
    walk: Ints
    place: Ints


def steps(starts: Ints, states: Ints, first: int, last: int | Ints) -> Steps:
    """Return the steps of walks that come from the state ``first`` and go to the state ``last`` (one for each walk)."""
    walks, total = len(starts) - 1, len(states)
    number = np.arange(walks)
    walk = np.repeat(number, np.diff(starts) + 1)
    inside = np.arange(total) + np.repeat(number, np.diff(starts))
    origin, destination = np.full((2, total + walks), first, np.int64)
    origin[inside + 1] = states
    destination[inside] = states
    destination[starts[1:] + number] = last
    return Steps(origin, destination, walk, np.arange(total + walks) - (starts[:-1] + number)[walk])


def grouped_quantiles(groups: Ints, values: NDArray[np.int64], count: int, fractions: tuple[float, ...]) -> Floats:
    """Return quantiles of the values of each of ``count`` groups, shape (fractions, groups); NaN of an empty group.

    Between two values quantiles are interpolated linearly.
    """
    ordered = values[np.lexsort((values, groups))]
    size = np.bincount(groups, minlength=count)
    begin = np.cumsum(size) - size
    found = np.full((len(fractions), count), np.nan)
    held = np.flatnonzero(size)
    for row, fraction in enumerate(fractions):
        place = fraction * (size[held] - 1)
        below = place.astype(np.int64)
        low = ordered[begin[held] + below]
        high = ordered[begin[held] + np.minimum(below + 1, size[held] - 1)]
        found[row, held] = low + (place - below) * (high - low)
    return found


def walks_with(groups: Ints, walk: Ints, count: int, weight: NDArray[np.bool_] | None = None) -> Ints:
    """Count the walks that hold something of each of ``count`` groups; with weights, those walks of weight 1."""
    order = np.argsort(groups, kind="stable")  # walks rise within a group if they rise in all
    group, walk = groups[order], walk[order]
    is_new = np.ones(len(group), bool)
    is_new[1:] = (group[1:] != group[:-1]) | (walk[1:] != walk[:-1])
    if weight is not None:
        is_new &= weight[walk]
    return np.bincount(group[is_new], minlength=count)


class Runs(NamedTuple):
    """Runs of states that many walks hold.

    Attributes
    ----------
    at : int64 array, shape (runs,)
        A place among the states where the run stands.
    length : int64 array
        How many states it has.
    walks : int64 array
        How many walks hold it.
    marked : int64 array
        How many of these are marked.
    """

    at: Ints
    length: Ints
    walks: Ints
    marked: Ints


def frequent_runs(starts: Ints, states: Ints, marked: NDArray[np.bool_], *, min_walks: int, max_len: int) -> Runs:
    """Find the runs of up to ``max_len`` states next to each other that at least ``min_walks`` walks hold.

    A run of k states is two of k - 1 states that overlap, so its code comes from theirs, and only runs of frequent
    ones are looked at (the naming of R. Karp, R. Miller and A. Rosenberg 1972, pruned as by Apriori).
    """
    walk = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    at, key = np.arange(len(states)), states
    found = []
    for length in range(1, max_len + 1):
        _, first, code = np.unique(key, return_index=True, return_inverse=True)
        walks = walks_with(code, walk[at], len(first))
        frequent = np.flatnonzero(walks >= min_walks)
        with_mark = walks_with(code, walk[at], len(first), marked)
        lengths = np.full(len(frequent), length)
        found.append(Runs(at[first[frequent]], lengths, walks[frequent], with_mark[frequent]))
        if not len(frequent):
            break
        at, key = _longer(at, code, walks >= min_walks, walk)
    return Runs(*(np.concatenate(column) for column in zip(*found, strict=True)))


def _longer(at: Ints, code: Ints, is_frequent: NDArray[np.bool_], walk: Ints) -> tuple[Ints, Ints]:
    """Return where two frequent runs overlap in all but one state, and a code of both."""
    kept = is_frequent[code]
    at, code = at[kept], code[kept]
    follows = np.flatnonzero((at[1:] == at[:-1] + 1) & (walk[at[1:]] == walk[at[:-1]]))
    return at[follows], code[follows] * len(is_frequent) + code[follows + 1]
