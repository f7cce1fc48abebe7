"""How often two items meet in a basket, against how often the same customer's baskets would bring them together.

Baskets are compared with baskets of the same customer and about the same size (2-3 items, 4-7, 8-15, ...), and of the
same period where periods are given: a stratum. Without the size, a customer's few big baskets would make complements of
everything: in 3,500 pairs of independent items, bought in baskets of unlike sizes, a test within customers alone found
99 in 100 "significant".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crmlytics._kernels.compiled import compiled
from crmlytics._kernels.working import PARTS_A_THREAD, in_parts, thread_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE_CLASSES = 64  # floor(log2(size)) is less


class Pairs(NamedTuple):
    """Pairs of items, one a place in every array: the first code is less than the second.

    Attributes
    ----------
    first, second : int64 arrays
        Item codes.
    observed : int64 array
        Baskets with both, of those that can be compared.
    expected, variance : float64 arrays
        Of ``observed``, if each stratum's purchases of one item fell on its baskets regardless of the other's.
    customers : int64 array
        Customers who bought both, in whatever basket.
    skipped : int
        Pairs that could meet but are expected in fewer baskets than asked for.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    observed: NDArray[np.int64]
    expected: NDArray[np.float64]
    variance: NDArray[np.float64]
    customers: NDArray[np.int64]
    skipped: int


class Held(NamedTuple):
    """Who holds what, both ways.

    Attributes
    ----------
    starts, items : arrays
        The items of holder ``h``, sorted, are ``items[starts[h]:starts[h + 1]]``.
    holder : int64 array
        The holder of each place of ``items``.
    place_starts, places : int64 arrays
        Item ``i`` stands in ``items`` at ``places[place_starts[i]:place_starts[i + 1]]``.
    """

    starts: NDArray[np.int64]
    items: NDArray[np.int32]
    holder: NDArray[np.int64]
    place_starts: NDArray[np.int64]
    places: NDArray[np.int64]


class Chances(NamedTuple):
    """What chance has to deal in each stratum.

    Attributes
    ----------
    number, size : float64 arrays, shape (strata,)
        Baskets, n, and as how many of one size they are for pairs, n*.
    share, rate : float64 arrays, one for each item of each stratum
        The share of baskets with the item, of n and (1 at most) of n*.
    """

    number: NDArray[np.float64]
    size: NDArray[np.float64]
    share: NDArray[np.float64]
    rate: NDArray[np.float64]


def pair_counts(
    starts: NDArray[np.int64],
    items: NDArray[np.int32],
    customer: NDArray[np.int32],
    item_total: int,
    min_expected: float,
    *,
    period: NDArray[np.int64] | None = None,
) -> Pairs:
    """Count the pairs that are expected in at least ``min_expected`` baskets, and what is expected of them.

    ``period`` is a number for each basket; None: all are of the same period.

    In a stratum of n baskets let n_a hold item a, and let s be the sizes of the baskets. If purchases fell on baskets
    regardless of one another, but filled baskets of these sizes, pairs would meet as in n* = sum_{a != b} n_a n_b /
    sum s (s - 1) baskets of one size (n* = n if all items have their own draw). With p_a = min(n_a / n*, 1), and 1 for
    an item in all n, a pair is expected to meet n* p_a p_b times, with the variance n*^2 p_a (1 - p_a) p_b (1 - p_b) /
    (n* - 1) of the hypergeometric distribution, or that for n baskets, whichever is larger; both are summed over strata
    (N. Mantel and W. Haenszel 1959).
    """
    sizes = np.diff(starts)
    basket = np.repeat(np.arange(len(sizes)), sizes)
    stratum = _strata(sizes, customer, np.zeros(len(sizes), np.int64) if period is None else period)
    inside = stratum[basket] >= 0
    by_customer, _ = _held(customer[basket].astype(np.int64), items, item_total)
    by_basket, _ = _held(basket[inside], items[inside], item_total)
    by_stratum, counts = _held(stratum[basket[inside]], items[inside], item_total)
    number = np.bincount(stratum[stratum >= 0]).astype(np.float64)
    size = _effective(by_stratum.starts, counts, stratum[stratum >= 0], sizes[stratum >= 0])
    share = counts / number[by_stratum.holder]
    rate = np.where(share < 1, np.minimum(counts / size[by_stratum.holder], 1.0), 1.0)
    chances = Chances(number, size, share, rate)

    def part(first: int) -> tuple[NDArray[np.float64], int]:
        return _companions(
            np.arange(first, item_total, step), by_basket, by_stratum, by_customer, chances, min_expected
        )

    step = PARTS_A_THREAD * thread_count()
    return _collected(in_parts(part, range(step), label="pairs"))


# -- inside --------------------------------------------------------------------------------------------------------


def _strata(sizes: NDArray[np.int64], customer: NDArray[np.int32], period: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of each basket's customer, size class and period; -1 for those that cannot be compared.

    A basket of one item cannot, nor one without another of the same three.
    """
    since = period - period.min(initial=0)
    key = (customer * (since.max(initial=0) + 1) + since) * SIZE_CLASSES + np.frexp(sizes)[1]
    _, same, members = np.unique(key, return_inverse=True, return_counts=True)
    compared = (members[same] >= 2) & (sizes >= 2)
    stratum = np.full(len(sizes), -1, np.int64)
    stratum[compared] = np.unique(same[compared], return_inverse=True)[1]
    return stratum


def _held(holder: NDArray[np.int64], items: NDArray[np.int32], item_total: int) -> tuple[Held, NDArray[np.int64]]:
    """Return each holder's items once, sorted, the way back from items to holders, and how often each was held."""
    keys, counts = np.unique(holder * item_total + items, return_counts=True)
    holders, codes = np.divmod(keys, item_total)
    number = np.unique(holders, return_inverse=True)[1].astype(np.int64)
    starts = np.append(0, np.cumsum(np.bincount(number))).astype(np.int64)
    places = np.argsort(codes, kind="stable")
    place_starts = np.searchsorted(codes[places], np.arange(item_total + 1)).astype(np.int64)
    return Held(starts, codes.astype(np.int32), number, place_starts, places), counts


def _effective(
    starts: NDArray[np.int64], counts: NDArray[np.int64], stratum: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return how many baskets of one size would bring as many pairs together: n* of each stratum."""
    numbers = counts.astype(np.float64)
    if not len(numbers):
        return numbers
    possible = np.add.reduceat(numbers, starts[:-1]) ** 2 - np.add.reduceat(numbers**2, starts[:-1])
    met = np.bincount(stratum, (sizes * (sizes - 1)).astype(np.float64))
    return np.asarray(possible / met)


@compiled
def _companions(
    firsts: NDArray[np.int64],
    by_basket: Held,
    by_stratum: Held,
    by_customer: Held,
    chances: Chances,
    min_expected: float,
) -> tuple[NDArray[np.float64], int]:
    """Sum these items' pairs with later ones: rows of first, second, observed, expected, variance and customers."""
    item_total = len(by_stratum.place_starts) - 1
    sums, met = np.zeros((item_total, 4)), np.empty(item_total, np.int64)
    rows, filled, skipped = np.empty((1024, 6)), 0, 0
    for first in firsts:
        count = _expect(first, by_stratum, chances, sums, met)
        _meet(first, by_basket, sums, 0)
        _meet(first, by_customer, sums, 3)
        for second in met[:count]:
            if sums[second, 1] < min_expected:
                skipped += 1
            else:
                if filled == len(rows):
                    rows = np.concatenate((rows, np.empty_like(rows)))
                rows[filled, 0], rows[filled, 1] = first, second
                rows[filled, 2:] = sums[second]
                filled += 1
            sums[second] = 0
    return rows[:filled], skipped


@compiled
def _expect(item: int, by_stratum: Held, chances: Chances, sums: NDArray[np.float64], met: NDArray[np.int64]) -> int:
    """Add expectation and variance of an item's pairs to columns 1 and 2 of ``sums``; note and count the pairs."""
    count = 0
    for at in range(by_stratum.place_starts[item], by_stratum.place_starts[item + 1]):
        place = by_stratum.places[at]
        stratum = by_stratum.holder[place]
        n, size, share, rate = chances.number[stratum], chances.size[stratum], chances.share[place], chances.rate[place]
        spread, spread_of_size = n * n / (n - 1) * share * (1 - share), size * size / (size - 1) * rate * (1 - rate)
        for other in range(place + 1, by_stratum.starts[stratum + 1]):
            code, its_share, its_rate = by_stratum.items[other], chances.share[other], chances.rate[other]
            if sums[code, 1] == 0:
                met[count] = code
                count += 1
            sums[code, 1] += size * rate * its_rate
            sums[code, 2] += max(spread * its_share * (1 - its_share), spread_of_size * its_rate * (1 - its_rate))
    return count


@compiled
def _meet(item: int, held: Held, sums: NDArray[np.float64], column: int) -> None:
    """Count who holds both this item and a later one that it can meet."""
    for at in range(held.place_starts[item], held.place_starts[item + 1]):
        place = held.places[at]
        for other in range(place + 1, held.starts[held.holder[place] + 1]):
            if sums[held.items[other], 1] > 0:
                sums[held.items[other], column] += 1


def _collected(parts: list[tuple[NDArray[np.float64], int]]) -> Pairs:
    rows = np.concatenate([np.empty((0, 6)), *(rows for rows, _ in parts)])
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    first, second, observed, customers = (rows[:, column].astype(np.int64) for column in (0, 1, 2, 5))
    return Pairs(first, second, observed, rows[:, 3], rows[:, 4], customers, int(sum(skipped for _, skipped in parts)))
