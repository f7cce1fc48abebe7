"""Loops that rank what comes into a next basket: the best of some candidates, next-after-this, similar customers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crmlytics._kernels.compiled import compiled
from crmlytics._kernels.working import in_parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

CHUNK = 256  # customers that a thread ranks between two looks at Ctrl-C
GRID = 2.0**40  # scores that differ by less are equal: sums in another order are no reason to rank


class Rows(NamedTuple):
    """Sparse rows, of customers or items.

    Attributes
    ----------
    starts : int64 array, shape (rows + 1,)
        Row ``r`` is ``columns[starts[r]:starts[r + 1]]`` and ``values`` likewise.
    columns : int32 array
    values : float64 array
    """

    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[np.float64]


class Choice(NamedTuple):
    """What may be chosen for each customer, and what decides where scores do not.

    Attributes
    ----------
    order : int32 array, shape (items,)
        The items by preference among equals: popular ones first.
    place : int32 array, shape (items,)
        The place of each item in ``order``.
    anybody : bool array, shape (items,)
        Whether an item may be chosen at all.
    starts, listed : int64 and int32 array
        The items listed for each customer.
    only : bool
        Whether only what is listed may be chosen, or only other things.
    fill : bool
        Whether places that no candidate takes go to the first of ``order``, as far as they may be chosen.
    fill_scores : float64 array, shape (items,)
        The score of an item that fills a place.
    """

    order: NDArray[np.int32]
    place: NDArray[np.int32]
    anybody: NDArray[np.bool_]
    starts: NDArray[np.int64]
    listed: NDArray[np.int32]
    only: bool
    fill: bool
    fill_scores: NDArray[np.float64]


def best_candidates(candidates: Rows, choice: Choice, n: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Rank the candidates of each customer: items, shape (customers, n), -1 where there are fewer; their scores."""
    return _in_chunks(_best_candidates, len(candidates.starts) - 1, n, candidates, choice)


def best_successors(
    baskets: Rows, successors: Rows, choice: Choice, n: int
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Rank items by the mean over a basket's items of their rates as successors; the answer as best_candidates."""
    return _in_chunks(_best_successors, len(baskets.starts) - 1, n, baskets, successors, choice)


def best_by_neighbours(
    queries: Rows, itself: NDArray[np.int64], known: Rows, k: int, alpha: float, choice: Choice, n: int
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Rank items by ``alpha`` x own vector + (1 - ``alpha``) x mean vector of the ``k`` nearest known customers.

    Near is by Euclidean distance, among the known customers who share an item; ``itself`` is the row of each customer
    among them, -1 for none: nobody is a neighbour of theirs. The answer as best_candidates.
    """
    holders, norms = transposed(known, len(choice.order)), _norms(known)
    return _in_chunks(
        _best_by_neighbours, len(queries.starts) - 1, n, queries, itself, known, holders, norms, k, alpha, choice
    )


def transposed(rows: Rows, columns: int) -> Rows:
    """Return the rows of the columns."""
    owner = np.repeat(np.arange(len(rows.starts) - 1, dtype=np.int32), np.diff(rows.starts))
    order = np.argsort(rows.columns, kind="stable")
    starts = np.zeros(columns + 1, np.int64)
    np.cumsum(np.bincount(rows.columns, minlength=columns), out=starts[1:])
    return Rows(starts, owner[order], rows.values[order])


def successors_of(
    starts: NDArray[np.int64], item_starts: NDArray[np.int64], items: NDArray[np.int32], most: int, place: Any
) -> Rows:
    """Return for each item the ``most`` likely items of the basket that comes next.

    The value is the share of the baskets with the item, last baskets apart, whose next basket holds the other.
    ``place`` decides between equals: the lower the better.
    """
    has_next = np.ones(len(item_starts) - 1, np.bool_)
    has_next[starts[1:][np.diff(starts) > 0] - 1] = False
    held = transposed(Rows(item_starts, items, np.zeros(len(items))), len(place))
    parts = [(low, min(low + CHUNK, len(place))) for low in range(0, len(place), CHUNK)]

    def of(part: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
        return _successors(*part, held.starts, held.columns, has_next, item_starts, items, most, place)

    found = in_parts(of, parts, label="what comes next")
    lengths, columns, values = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    return Rows(np.concatenate([[0], np.cumsum(lengths)]), columns, values)


def _in_chunks(
    rank: Callable[..., None], customers: int, n: int, *arguments: Any
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Rank customers chunk by chunk in threads; each chunk writes its own rows."""
    items, scores = np.full((customers, n), -1, np.int32), np.zeros((customers, n))
    parts = [(low, min(low + CHUNK, customers)) for low in range(0, customers, CHUNK)]
    in_parts(lambda part: rank(*part, *arguments, items, scores), parts, label="customers ranked")
    return items, scores


@compiled
def _best_candidates(
    first: int, last: int, candidates: Rows, choice: Choice, items: NDArray[np.int32], scores: NDArray[np.float64]
) -> None:
    starts, columns, values = candidates.starts, candidates.columns, candidates.values
    total = len(choice.order)
    dense, seen, listed = np.zeros(total), np.full(total, -1, np.int32), np.full(total, -1, np.int32)
    for row in range(first, last):
        count = 0
        for entry in range(starts[row], starts[row + 1]):
            dense[columns[entry]] = values[entry]
            seen[columns[entry]] = row
            count += 1
        _choose(row, columns[starts[row] : starts[row + 1]], count, dense, seen, listed, choice, items, scores)


@compiled
def _best_successors(
    first: int, last: int, baskets: Rows, successors: Rows, choice: Choice,
    items: NDArray[np.int32], scores: NDArray[np.float64],
) -> None:  # fmt: skip
    starts, columns, values = successors.starts, successors.columns, successors.values
    basket_starts, basket_items = baskets.starts, baskets.columns
    total = len(choice.order)
    dense, seen, listed = np.zeros(total), np.full(total, -1, np.int32), np.full(total, -1, np.int32)
    touched = np.empty(total, np.int32)
    for row in range(first, last):
        count, size = 0, basket_starts[row + 1] - basket_starts[row]
        for place in range(basket_starts[row], basket_starts[row + 1]):
            item = basket_items[place]
            for entry in range(starts[item], starts[item + 1]):
                count = _add(row, columns[entry], values[entry] / size, dense, seen, touched, count)
        _choose(row, touched, count, dense, seen, listed, choice, items, scores)


@compiled
def _best_by_neighbours(
    first: int, last: int, queries: Rows, itself: NDArray[np.int64], known: Rows, holders: Rows,
    norms: NDArray[np.float64], k: int, alpha: float, choice: Choice,
    items: NDArray[np.int32], scores: NDArray[np.float64],
) -> None:  # fmt: skip
    starts, columns, values = known.starts, known.columns, known.values
    query_starts, query_items, query_values = queries.starts, queries.columns, queries.values
    total, customers = len(choice.order), len(norms)
    dense, seen, listed = np.zeros(total), np.full(total, -1, np.int32), np.full(total, -1, np.int32)
    touched = np.empty(total, np.int32)
    distance, met, near = np.zeros(customers), np.full(customers, -1, np.int32), np.empty(customers, np.int32)
    for row in range(first, last):
        count, low, high = 0, query_starts[row], query_starts[row + 1]
        for place in range(low, high):
            count = _add(row, query_items[place], alpha * query_values[place], dense, seen, touched, count)
        found = _distances(row, query_items[low:high], query_values[low:high], itself[row], holders, norms,
                           distance, met, near)  # fmt: skip
        chosen = _nearest(near, found, distance, k)
        for place in range(chosen):
            for entry in range(starts[near[place]], starts[near[place] + 1]):
                value = (1 - alpha) * values[entry] / chosen
                count = _add(row, columns[entry], value, dense, seen, touched, count)
        _choose(row, touched, count, dense, seen, listed, choice, items, scores)


@compiled
def _add(
    row: int, item: int, value: float, dense: NDArray[np.float64], seen: NDArray[np.int32], touched: NDArray[np.int32],
    count: int,
) -> int:  # fmt: skip
    """Add to the score of an item; the first time a row touches it, note it. Returns how many were touched."""
    if seen[item] == row:
        dense[item] += value
        return count
    seen[item], dense[item], touched[count] = row, value, item
    return count + 1


@compiled
def _distances(
    row: int, own_items: NDArray[np.int32], own_values: NDArray[np.float64], itself: int, holders: Rows,
    norms: NDArray[np.float64], distance: NDArray[np.float64], met: NDArray[np.int32], near: NDArray[np.int32],
) -> int:  # fmt: skip
    """Write the squared distance, but for a constant, to each customer who shares an item; return how many do."""
    starts, columns, values = holders.starts, holders.columns, holders.values
    found = 0
    for place in range(len(own_items)):
        for entry in range(starts[own_items[place]], starts[own_items[place] + 1]):
            other = columns[entry]
            if met[other] != row:
                if other == itself:
                    continue
                met[other], distance[other], near[found] = row, norms[other], other
                found += 1
            distance[other] -= 2 * own_values[place] * values[entry]
    return found


@compiled
def _nearest(near: NDArray[np.int32], found: int, distance: NDArray[np.float64], k: int) -> int:
    """Move the ``k`` nearest of the ``found`` to the front, low numbers among equals; return how many there are.

    The front is a heap with the farthest at its root, which a nearer one replaces.
    """
    if found <= k:
        return found
    for root in range(k // 2 - 1, -1, -1):
        _sift(near, root, k, distance)
    bound = distance[near[0]] + 2 / GRID  # most are beyond it: no need to look closer
    for place in range(k, found):
        if distance[near[place]] <= bound and _is_nearer(near[place], near[0], distance):
            near[0] = near[place]
            _sift(near, 0, k, distance)
            bound = distance[near[0]] + 2 / GRID
    return k


@compiled
def _sift(heap: NDArray[np.int32], root: int, size: int, distance: NDArray[np.float64]) -> None:
    """Let the root sink below those that are farther."""
    while 2 * root + 1 < size:
        child = 2 * root + 1
        if child + 1 < size and _is_nearer(heap[child], heap[child + 1], distance):
            child += 1
        if _is_nearer(heap[child], heap[root], distance):
            return
        heap[root], heap[child] = heap[child], heap[root]
        root = child


@compiled
def _is_nearer(one: int, other: int, distance: NDArray[np.float64]) -> bool:
    apart, other_apart = np.floor(distance[one] * GRID + 0.5), np.floor(distance[other] * GRID + 0.5)
    return bool(apart < other_apart or (apart == other_apart and one < other))


@compiled
def _choose(
    row: int, candidates: NDArray[np.int32], count: int, dense: NDArray[np.float64], seen: NDArray[np.int32],
    listed: NDArray[np.int32], choice: Choice, items: NDArray[np.int32], scores: NDArray[np.float64],
) -> None:  # fmt: skip
    """Write the best of the first ``count`` candidates, as far as they are allowed, into a row of the answer."""
    place, anybody, only = choice.place, choice.anybody, choice.only
    starts, of_customer = choice.starts, choice.listed
    for entry in range(starts[row], starts[row + 1]):
        listed[of_customer[entry]] = row
    found = 0
    for number in range(count):
        item = candidates[number]
        if anybody[item] and (listed[item] == row) == only:
            found = _insert(row, item, dense[item], found, place, items, scores)
    if choice.fill:
        _fill(row, found, seen, listed, choice, items, scores)


@compiled
def _fill(
    row: int, found: int, seen: NDArray[np.int32], listed: NDArray[np.int32], choice: Choice,
    items: NDArray[np.int32], scores: NDArray[np.float64],
) -> None:  # fmt: skip
    """Give the places that no candidate took to what is popular and allowed."""
    place, anybody, fill_scores = choice.place, choice.anybody, choice.fill_scores
    if choice.only:  # few are allowed: look at these, not at everything
        for entry in range(choice.starts[row], choice.starts[row + 1]):
            item = choice.listed[entry]
            if anybody[item] and seen[item] != row:
                found = _insert(row, item, fill_scores[item], found, place, items, scores)
        return
    for item in choice.order:
        if found == items.shape[1]:
            return
        if anybody[item] and listed[item] != row and seen[item] != row:
            found = _insert(row, item, fill_scores[item], found, place, items, scores)


@compiled
def _insert(
    row: int, item: int, score: float, found: int, place: NDArray[np.int32], items: NDArray[np.int32],
    scores: NDArray[np.float64],
) -> int:  # fmt: skip
    """Insert an item into a row of the answer, if it is good enough; return how many the row has."""
    at, most = found, int(items.shape[1])
    rounded = np.floor(score * GRID + 0.5)
    if at == most:
        at = most - 1
        lowest = np.floor(scores[row, at] * GRID + 0.5)
        if lowest > rounded or (lowest == rounded and place[items[row, at]] < place[item]):
            return found
    while at > 0:
        above = np.floor(scores[row, at - 1] * GRID + 0.5)
        if above > rounded or (above == rounded and place[items[row, at - 1]] < place[item]):
            break
        items[row, at], scores[row, at] = items[row, at - 1], scores[row, at - 1]
        at -= 1
    items[row, at], scores[row, at] = item, score
    return min(found + 1, most)


@compiled
def _successors(
    first: int, last: int, held_starts: NDArray[np.int64], held: NDArray[np.int32], has_next: NDArray[np.bool_],
    item_starts: NDArray[np.int64], items: NDArray[np.int32], most: int, place: NDArray[np.int32],
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:  # fmt: skip
    """Count what is in the basket after each with an item, for the items from ``first`` to ``last``."""
    total = len(place)
    dense, seen, touched = np.zeros(total), np.full(total, -1, np.int32), np.empty(total, np.int32)
    most = min(most, total)
    best, counts = np.full((last - first, most), -1, np.int32), np.zeros((last - first, most))
    lengths, sizes = np.zeros(last - first, np.int64), np.zeros(last - first)
    for item in range(first, last):
        count = 0
        for entry in range(held_starts[item], held_starts[item + 1]):
            if has_next[held[entry]]:
                sizes[item - first] += 1
                for other in range(item_starts[held[entry] + 1], item_starts[held[entry] + 2]):
                    count = _add(item, items[other], 1.0, dense, seen, touched, count)
        for number in range(count):
            lengths[item - first] = _insert(
                item - first, touched[number], dense[touched[number]], lengths[item - first], place, best, counts
            )
    columns, values, written = np.empty(lengths.sum(), np.int32), np.empty(lengths.sum()), 0
    for row in range(last - first):
        for number in range(lengths[row]):
            columns[written], values[written] = best[row, number], counts[row, number] / sizes[row]
            written += 1
    return lengths, columns, values


@compiled
def _norms(rows: Rows) -> NDArray[np.float64]:
    """Return the squared length of each row."""
    norms = np.zeros(len(rows.starts) - 1)
    for row in range(len(norms)):
        for entry in range(rows.starts[row], rows.starts[row + 1]):
            norms[row] += rows.values[entry] ** 2
    return norms
