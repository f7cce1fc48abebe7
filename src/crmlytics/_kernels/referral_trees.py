"""Who brought whom, as trees: from the youngest generation up, each customer hands on what is below."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]
    Vector = NDArray[np.float64]


@compiled
def youngest_first(parent: Counts) -> Counts:
    """Return the places of all who are on no cycle, each before the one who brought them.

    Parameters
    ----------
    parent : int64 array, shape (customers,)
        The place of who brought each; -1 for nobody.
    """
    waiting = np.zeros(len(parent), np.int64)
    for place in range(len(parent)):
        if parent[place] >= 0:
            waiting[parent[place]] += 1
    order, known = np.empty(len(parent), np.int64), 0
    for place in range(len(parent)):
        if waiting[place] == 0:
            order[known] = place
            known += 1
    done = 0
    while done < known:
        above = parent[order[done]]
        done += 1
        if above >= 0:
            waiting[above] -= 1
            if waiting[above] == 0:
                order[known] = above
                known += 1
    return order[:known]


@compiled
def below(parent: Counts, order: Counts, amounts: Vector, counted: Counts) -> tuple[Counts, Vector, Counts]:
    """Add up all generations below each customer: how many are counted, their amounts, and the generations.

    Parameters
    ----------
    parent, order : int64 arrays, shape (customers,)
        Without a cycle, and :func:`youngest_first` of it.
    amounts : float64 array, shape (customers,)
    counted : int64 array, shape (customers,)
        1 for who counts, 0 for who only links others; a generation is one that somebody counts in.
    """
    heads, sums = np.zeros(len(parent), np.int64), np.zeros(len(parent))
    generations = np.zeros(len(parent), np.int64)
    for place in order:
        above = parent[place]
        if above < 0:
            continue
        heads[above] += heads[place] + counted[place]
        sums[above] += sums[place] + counted[place] * amounts[place]
        deepest = generations[place] + 1 if heads[place] > 0 else counted[place]
        generations[above] = max(generations[above], deepest)
    return heads, sums, generations


@compiled
def generation(parent: Counts, order: Counts) -> Counts:
    """Return the generation of each: 0 for who was brought by nobody, 1 for whom they brought, and so on."""
    found = np.zeros(len(parent), np.int64)
    for place in order[::-1]:
        if parent[place] >= 0:
            found[place] = found[parent[place]] + 1
    return found
