"""What all customers' histories say about the items: how popular, how often bought again, what goes with what."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crmlytics._kernels.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Codes = NDArray[np.int32]
    Floats = NDArray[np.float32]

PARTNERS = 20  # items kept beside each item: further ones hardly add to a score
DOUBT = 10.0  # orders together of which a link counts half: two of rare items are soon together by chance
LARGE_ORDER = 500  # items: larger orders hold everything together with everything, and cost the square of their size
PRIOR = 20.0  # an item's rates weigh as much as those of all items once it was seen so often
RECENT_DAYS = 30.0  # half-life of recent popularity
VECTOR_DECAY = 0.95  # what an order weighs beside the one after it, where customers are compared


class Histories(NamedTuple):
    """Orders of customers, each up to an order of its own: arrays of ``Sequences`` and where each history ends.

    Attributes
    ----------
    begins, ends : int64 arrays, shape (customers,)
        The orders of customer ``c`` are ``begins[c]`` to ``ends[c]``, in order of time.
    item_starts : int64 array
    items : int32 array
    moment : int64 array
        As in ``Sequences``, in days.
    """

    begins: Ints
    ends: Ints
    item_starts: Ints
    items: Codes
    moment: Ints


class Links(NamedTuple):
    """What goes with each item: ``items[item]``, the strongest first and -1 where there is no more, and how strongly.

    Both are of shape (items, PARTNERS), int32 and float32. The strength is n_ab / sqrt(n_a n_b) x n_ab / (n_ab + 10),
    of orders.
    """

    items: Codes
    strength: Floats


class Rows(NamedTuple):
    """A sparse matrix: the columns of row ``r`` are ``columns[starts[r]:starts[r + 1]]``, with their weights."""

    starts: Ints
    columns: Codes
    weights: Floats


class Population(NamedTuple):
    """What is known of items, and of the customers that others are compared with (the pool).

    Attributes
    ----------
    popular : int32 array, shape (items,)
        All item codes, the one in most orders of late first; ties by all orders, then by code.
    rates : float32 array, shape (items, 5)
        Of each item: the share of customers who bought it, the orders of late that hold it, the share of its buyers who
        bought it again, the share of orders after a first purchase that hold it again, its typical days between.
    beside, after : Links
        What is most often in the same order, and in the next order but not in this one.
    vectors : Rows
        What each customer of the pool bought, a vector of length 1.
    holders : Rows
        The same, item by item.
    """

    popular: Codes
    rates: Floats
    beside: Links
    after: Links
    vectors: Rows
    holders: Rows


def population_of(histories: Histories, item_total: int, pool: Ints) -> Population:
    """Learn from histories what candidates and their features need; ``pool`` are the customers to compare with."""
    counts, buyers, repeats, chances, gaps, log_gaps = _tallies(*histories, item_total)
    recent = _recent(*histories, item_total, RECENT_DAYS)
    rates = [
        buyers / max(len(histories.begins), 1),
        recent,
        _drawn(repeats, buyers),
        _drawn(counts - buyers, chances),
        np.exp(_drawn(log_gaps, gaps)),
    ]
    ends, item_starts, items = histories[1:4]
    orders_of = _orders_of_items(*histories[:4], counts)
    vectors = Rows(*_vectors(*histories[:4], pool, item_total, VECTOR_DECAY))
    return Population(
        popular=np.lexsort((np.arange(item_total), -counts, -recent)).astype(np.int32),
        rates=np.column_stack(rates).astype(np.float32),
        beside=Links(*_partners(*orders_of, ends, item_starts, items, counts, 0, PARTNERS)),
        after=Links(*_partners(*orders_of, ends, item_starts, items, counts, 1, PARTNERS)),
        vectors=vectors,
        holders=Rows(*_by_item(*vectors, item_total)),
    )


def _drawn(part: NDArray[np.number], whole: Ints) -> NDArray[np.float64]:
    """Return the rate of each item, drawn to that of all items where little is known of it."""
    overall = part.sum() / max(whole.sum(), 1)
    return np.asarray((part + PRIOR * overall) / (whole + PRIOR), np.float64)


@compiled
def _tallies(
    begins: Ints, ends: Ints, item_starts: Ints, items: Codes, moment: Ints, item_total: int
) -> tuple[Ints, Ints, Ints, Ints, Ints, NDArray[np.float64]]:
    """Count orders, buyers, those who came back, orders after a first purchase, and gaps; add up logs of their days."""
    counts, buyers = np.zeros(item_total, np.int64), np.zeros(item_total, np.int64)
    repeats, chances = np.zeros(item_total, np.int64), np.zeros(item_total, np.int64)
    gaps, log_gaps = np.zeros(item_total, np.int64), np.zeros(item_total)
    owner, times = np.full(item_total, -1, np.int64), np.zeros(item_total, np.int64)
    last_day = np.zeros(item_total, np.int64)
    for customer in range(len(begins)):
        for order in range(begins[customer], ends[customer]):
            day = moment[order]
            for item in items[item_starts[order] : item_starts[order + 1]]:
                counts[item] += 1
                if owner[item] != customer:
                    owner[item], times[item], last_day[item] = customer, 1, day
                    buyers[item] += 1
                    chances[item] += ends[customer] - 1 - order
                    continue
                times[item] += 1
                repeats[item] += times[item] == 2
                if day > last_day[item]:
                    gaps[item] += 1
                    log_gaps[item] += np.log(float(day - last_day[item]))
                    last_day[item] = day
    return counts, buyers, repeats, chances, gaps, log_gaps


@compiled
def _recent(
    begins: Ints, ends: Ints, item_starts: Ints, items: Codes, moment: Ints, item_total: int, half_life: float
) -> NDArray[np.float64]:
    """Count the orders that hold each item: one a half-life before the last of all orders counts half."""
    today = np.int64(-(2**62))
    for customer in range(len(begins)):
        if ends[customer] > begins[customer]:
            today = max(today, moment[ends[customer] - 1])
    found = np.zeros(item_total)
    for customer in range(len(begins)):
        for order in range(begins[customer], ends[customer]):
            weight = 0.5 ** ((today - moment[order]) / half_life)
            for item in items[item_starts[order] : item_starts[order + 1]]:
                found[item] += weight
    return found


@compiled
def _orders_of_items(
    begins: Ints, ends: Ints, item_starts: Ints, items: Codes, counts: Ints
) -> tuple[Ints, Ints, Codes]:
    """Return which orders, of which customers, hold item ``i``: those from ``starts[i]`` to ``starts[i + 1]``."""
    starts = np.zeros(len(counts) + 1, np.int64)
    for item in range(len(counts)):
        starts[item + 1] = starts[item] + counts[item]
    orders, customers, at = np.empty(starts[-1], np.int64), np.empty(starts[-1], np.int32), starts.copy()
    for customer in range(len(begins)):
        for order in range(begins[customer], ends[customer]):
            for item in items[item_starts[order] : item_starts[order + 1]]:
                orders[at[item]], customers[at[item]] = order, customer
                at[item] += 1
    return starts, orders, customers


@compiled
def _partners(
    starts: Ints, orders: Ints, customers: Codes, ends: Ints, item_starts: Ints, items: Codes, counts: Ints,
    ahead: int, most: int,
) -> tuple[Codes, Floats]:  # fmt: skip
    """Return what is most often ``ahead`` orders after each item, and how strongly; once together is chance."""
    item_total = len(counts)
    found, strength = np.full((item_total, most), -1, np.int32), np.zeros((item_total, most), np.float32)
    together, mark = np.zeros(item_total, np.int64), np.full(item_total, -1, np.int64)
    met, score = np.empty(item_total, np.int32), np.zeros(item_total, np.float32)
    for item in range(item_total):
        total = 0
        for place in range(starts[item], starts[item + 1]):
            if orders[place] + ahead < ends[customers[place]]:
                total = _meet(item, orders[place], ahead, place, item_starts, items, together, mark, met, total)
        kept = 0
        for other in met[:total]:
            if together[other] > 1:
                doubt = together[other] / (together[other] + DOUBT)
                score[other] = doubt * together[other] / np.sqrt(float(counts[item]) * float(counts[other]))
                met[kept] = other
                kept += 1
            together[other] = 0
        best = top(score, met, kept, most)
        for rank in range(len(best)):
            found[item, rank], strength[item, rank] = best[rank], score[best[rank]]
    return found, strength


@compiled
def _meet(
    item: int, order: int, ahead: int, visit: int, item_starts: Ints, items: Codes, together: Ints, mark: Ints,
    met: Codes, total: int,
) -> int:  # fmt: skip
    """Count what is in the order that comes ``ahead`` of one with the item, but not in that one itself."""
    if item_starts[order + ahead + 1] - item_starts[order + ahead] > LARGE_ORDER:
        return total
    mark[item] = visit
    if ahead > 0:
        for other in items[item_starts[order] : item_starts[order + 1]]:
            mark[other] = visit
    for other in items[item_starts[order + ahead] : item_starts[order + ahead + 1]]:
        if mark[other] == visit:
            continue
        if together[other] == 0:
            met[total] = other
            total += 1
        together[other] += 1
    return total


@compiled
def _vectors(
    begins: Ints, ends: Ints, item_starts: Ints, items: Codes, pool: Ints, item_total: int, decay: float
) -> tuple[Ints, Codes, Floats]:
    """Return what each customer of the pool bought, later orders with more weight, as vectors of length 1."""
    size = 0
    for customer in pool:
        size += item_starts[ends[customer]] - item_starts[begins[customer]]
    starts, codes = np.zeros(len(pool) + 1, np.int64), np.empty(size, np.int32)
    weights, weight = np.empty(size, np.float32), np.zeros(item_total, np.float32)
    at = 0
    for row in range(len(pool)):
        for order in range(begins[pool[row]], ends[pool[row]]):
            for item in items[item_starts[order] : item_starts[order + 1]]:
                if weight[item] == 0:
                    codes[at] = item
                    at += 1
                weight[item] += decay ** (ends[pool[row]] - 1 - order)
        squares = 0.0
        for place in range(starts[row], at):
            squares += weight[codes[place]] ** 2
        for place in range(starts[row], at):
            weights[place] = weight[codes[place]] / np.sqrt(squares)
            weight[codes[place]] = 0
        starts[row + 1] = at
    return starts, codes[:at].copy(), weights[:at].copy()


@compiled
def _by_item(starts: Ints, codes: Codes, weights: Floats, item_total: int) -> tuple[Ints, Codes, Floats]:
    """Turn rows of items into items with their rows."""
    item_starts = np.zeros(item_total + 1, np.int64)
    for code in codes:
        item_starts[code + 1] += 1
    for item in range(item_total):
        item_starts[item + 1] += item_starts[item]
    rows, turned, at = np.empty(len(codes), np.int32), np.empty(len(codes), np.float32), item_starts.copy()
    for row in range(len(starts) - 1):
        for place in range(starts[row], starts[row + 1]):
            to = at[codes[place]]
            rows[to], turned[to] = row, weights[place]
            at[codes[place]] += 1
    return item_starts, rows, turned


@compiled
def top(score: Floats, codes: Codes, total: int, most: int) -> Codes:
    """Return up to ``most`` of the first ``total`` codes, the highest ``score[code]`` first, ties by code."""
    heap = np.empty(min(total, most), np.int32)  # its first is the worst of those kept
    size = 0
    for code in codes[:total]:
        if size < len(heap):
            at = size
            size += 1
            while at > 0 and _worse(score, code, heap[(at - 1) // 2]):
                heap[at] = heap[(at - 1) // 2]
                at = (at - 1) // 2
            heap[at] = code
        elif size > 0 and _worse(score, heap[0], code):
            _sink(score, heap, size, code)
    for left in range(size - 1, 0, -1):  # the worst goes to the end
        worst = heap[0]
        _sink(score, heap, left, heap[left])
        heap[left] = worst
    return heap


@compiled
def _worse(score: Floats, one: int, other: int) -> bool:
    return bool(score[one] < score[other] or (score[one] == score[other] and one > other))


@compiled
def _sink(score: Floats, heap: Codes, size: int, code: int) -> None:
    """Put a code in the place of the first of a heap, and down from there to where it belongs."""
    at = 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _worse(score, heap[child + 1], heap[child]):
            child += 1
        if not _worse(score, heap[child], code):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = code
