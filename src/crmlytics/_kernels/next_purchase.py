"""What a customer may buy next, where each such item comes from, and what is known of it: a pass a customer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crmlytics._kernels.compiled import compiled
from crmlytics._kernels.next_purchase_population import VECTOR_DECAY, Histories, Links, Population, top

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Codes = NDArray[np.int32]
    Floats = NDArray[np.float32]

ANCHORS = 25  # own items that others go with: those bought most, later orders with more weight
NEIGHBOURS = 200  # customers whose baskets are looked into
FAST_DECAY = 0.7  # what an order weighs beside the one after it
HALF_LIFE_DAYS = 30.0
DAYS_DECIDE_TIES = 1e-3
LATELY = 5  # orders

OWN, BESIDE, AFTER, SIMILAR, POPULAR, NAMED = range(6)  # the sources of candidates

FEATURES = (
    # the customer and the item
    "times", "order_share", "share_since_first", "decayed_fast", "decayed_slow", "decayed_days", "recency_days",
    "recency_orders", "mean_gap", "log_mean_gap", "gap_spread", "last_gap", "age_days", "recency_in_gaps", "own_rank",
    # the item
    "buyer_share", "recent_orders", "repeat_share", "reorder_share", "item_gap", "recency_in_item_gaps",
    # the scores of the sources
    "beside", "after", "similar",
    # the customer
    "orders", "order_gap", "order_recency", "order_size", "last_size", "tenure", "distinct_items", "recent_order_count",
    "new_share",
)  # fmt: skip
OF_ITEM, OF_SOURCES, OF_CUSTOMER = (FEATURES.index(name) for name in ("buyer_share", "beside", "orders"))
OWN_RANK = FEATURES.index("own_rank")
N_FEATURES = len(FEATURES)

# what is kept of each own item while a history is read; days and orders are counted back from now
TIMES, FAST, SLOW, BY_DAYS, FIRST_DAY, LAST_DAY, FIRST_ORDER, LAST_ORDER, GAPS, LOG_GAPS, SQUARES, LAST_GAP = range(12)
N_KEPT = 12


class Candidates(NamedTuple):
    """What each customer may buy next.

    Attributes
    ----------
    starts : int64 array, shape (customers + 1,)
        The candidates of customer ``c`` are ``items[starts[c]:starts[c + 1]]``.
    items : int32 array
        Item codes, each at most once a customer.
    sources : int8 array
        Where each comes from: OWN; else the source in whose list it stands highest.
    features : float32 array, shape (candidates, N_FEATURES)
        NaN: not known, such as days since the last purchase of what was never bought.
    """

    starts: Ints
    items: Codes
    sources: NDArray[np.int8]
    features: Floats


class Desk(NamedTuple):
    """What the work on one customer needs room for; all empty between customers."""

    slot: Codes  # of each item: its row in ``kept`` if it is an own one, else -1
    place: Ints  # of each item: where it stands among the candidates, else -1
    own: Codes  # the own items
    kept: Floats  # (own items, N_KEPT)
    habit: Floats  # of each own item: how much it is bought
    score: Floats  # (3, items): of BESIDE, AFTER, SIMILAR
    scored: Codes  # (3, items): the items with a score
    likeness: Floats  # of each customer of the pool
    alike: Codes  # customers of the pool with some


def candidates_of(
    histories: Histories, now: Ints, pool_row: Ints, people: Population, *, own: int, new: int,
    offered: NDArray[np.bool_], named: tuple[Ints, Codes] | None = None,
) -> Candidates:  # fmt: skip
    """Return what each customer may buy next.

    Parameters
    ----------
    histories : Histories
    now : int64 array, shape (customers,)
        The day from which on purchases are predicted: days since an order count up to it.
    pool_row : int64 array, shape (customers,)
        Which row of the pool each customer is: nobody is compared with oneself. -1: none.
    people : Population
    own, new : int
        The most items of the own history, and the most new ones of each other source.
    offered : bool array, shape (items,)
        Which new items may be candidates.
    named : int64 and int32 array, optional
        Further candidates of each customer, like ``starts`` and ``items``.
    """
    customers = len(histories.begins)
    starts, items = named or (np.zeros(customers + 1, np.int64), np.empty(0, np.int32))
    sizes = histories.item_starts[histories.ends] - histories.item_starts[histories.begins]
    most = int((np.minimum(sizes, own) + 4 * new).sum() + len(items))
    return Candidates(*_candidates(
        histories, now, pool_row, people, own, new, offered, starts, items, int(sizes.max(initial=1)), most
    ))  # fmt: skip


@compiled
def _candidates(
    histories: Histories, now: Ints, pool_row: Ints, people: Population, own: int, new: int, offered: NDArray[np.bool_],
    named_starts: Ints, named: Codes, largest: int, most: int,
) -> tuple[Ints, Codes, NDArray[np.int8], Floats]:  # fmt: skip
    desk = _desk(len(people.popular), largest, len(people.vectors.starts) - 1)
    items, sources = np.empty(most, np.int32), np.empty(most, np.int8)
    ranks, features = np.empty(most, np.int32), np.full((most, N_FEATURES), np.nan, np.float32)
    starts = np.zeros(len(now) + 1, np.int64)
    counts = np.zeros(3, np.int64)
    for customer in range(len(now)):
        total = _read(histories, customer, now[customer], desk)
        mine = top(desk.habit, desk.own, total, max(own, ANCHORS))
        _score(histories, customer, pool_row[customer], people, mine, total, desk, counts)
        at = starts[customer]
        for rank in range(min(len(mine), own)):
            features[at, OWN_RANK] = rank
            at = _put(mine[rank], OWN, rank, at, items, sources, ranks, desk.place)
        for source in range(3):
            new_ones = _new(desk.score[source], desk.scored[source], counts[source], desk.slot, offered, new)
            for rank in range(len(new_ones)):
                at = _put(new_ones[rank], BESIDE + source, rank, at, items, sources, ranks, desk.place)
        at = _put_popular(people.popular, offered, new, at, items, sources, ranks, desk)
        for item in named[named_starts[customer] : named_starts[customer + 1]]:
            at = _put(item, NAMED, most, at, items, sources, ranks, desk.place)
        starts[customer + 1] = at
        _describe(starts[customer], at, items, people.rates, desk, features)
        _describe_customer(starts[customer], at, histories, customer, now[customer], total, desk, features)
        _clear(starts[customer], at, items, total, desk, counts)
    at = starts[-1]
    return starts, items[:at].copy(), sources[:at].copy(), features[:at].copy()


@compiled
def _desk(item_total: int, largest: int, pool: int) -> Desk:
    return Desk(
        np.full(item_total, -1, np.int32),
        np.full(item_total, -1, np.int64),
        np.empty(largest, np.int32),
        np.empty((largest, N_KEPT), np.float32),
        np.zeros(item_total, np.float32),
        np.zeros((3, item_total), np.float32),
        np.empty((3, item_total), np.int32),
        np.zeros(pool, np.float32),
        np.empty(pool, np.int32),
    )


@compiled
def _read(histories: Histories, customer: int, today: int, desk: Desk) -> int:
    """Read a history: which items, how often, how long ago. Return how many items."""
    slot, own, kept, items, total = desk.slot, desk.own, desk.kept, histories.items, 0
    for order in range(histories.begins[customer], histories.ends[customer]):
        ago, days = histories.ends[customer] - 1 - order, today - histories.moment[order]
        fast, slow, by_days = FAST_DECAY**ago, VECTOR_DECAY**ago, 0.5 ** (days / HALF_LIFE_DAYS)
        for place in range(histories.item_starts[order], histories.item_starts[order + 1]):
            item = items[place]
            if slot[item] < 0:
                slot[item], own[total] = total, item
                for column in range(N_KEPT):
                    kept[total, column] = 0
                kept[total, FIRST_DAY], kept[total, FIRST_ORDER] = days, ago
                kept[total, LAST_DAY], kept[total, LAST_GAP] = days, np.nan
                total += 1
            row = kept[slot[item]]
            row[TIMES] += 1
            row[FAST] += fast
            row[SLOW] += slow
            row[BY_DAYS] += by_days
            row[LAST_ORDER] = ago
            gap = row[LAST_DAY] - days
            if gap > 0:
                row[GAPS] += 1
                row[LOG_GAPS] += np.log(gap)
                row[SQUARES] += gap * gap
                row[LAST_GAP], row[LAST_DAY] = gap, days
    for place in range(total):
        desk.habit[own[place]] = kept[place, SLOW] + DAYS_DECIDE_TIES * kept[place, BY_DAYS]
    return total


@compiled
def _score(
    histories: Histories, customer: int, myself: int, people: Population, mine: Codes, total: int, desk: Desk,
    counts: Ints,
) -> None:  # fmt: skip
    """Score items by what is bought beside the own ones, after the last order, and by similar customers."""
    begin, end = histories.begins[customer], histories.ends[customer]
    last = histories.items[histories.item_starts[max(end - 1, begin)] : histories.item_starts[end]]
    counts[0] = _associated(mine[:ANCHORS], desk.habit, people.beside, desk.score[0], desk.scored[0])
    counts[1] = _associated(last, desk.habit, people.after, desk.score[1], desk.scored[1])
    counts[2] = _similar(people, myself, total, desk, desk.score[2], desk.scored[2])


@compiled
def _associated(anchors: Codes, habit: Floats, links: Links, score: Floats, scored: Codes) -> int:
    """Add up how strongly items go with the anchors, those bought more with more weight."""
    partners, strength, total = links.items, links.strength, 0
    for anchor in anchors:
        for rank in range(partners.shape[1]):
            other = partners[anchor, rank]
            if other < 0:
                break
            if score[other] == 0:
                scored[total] = other
                total += 1
            score[other] += habit[anchor] * strength[anchor, rank]
    return total


@compiled
def _similar(people: Population, myself: int, total: int, desk: Desk, score: Floats, scored: Codes) -> int:
    """Add up what the most similar customers bought, by their likeness: the cosine of what both bought."""
    vectors, holders, likeness, alike, met, squares = people.vectors, people.holders, desk.likeness, desk.alike, 0, 0.0
    for place in range(total):
        squares += desk.kept[place, SLOW] ** 2
    for place in range(total):
        item, weight = desk.own[place], desk.kept[place, SLOW] / np.sqrt(squares)
        for at in range(holders.starts[item], holders.starts[item + 1]):
            other = holders.columns[at]
            if other == myself:
                continue
            if likeness[other] == 0:
                alike[met] = other
                met += 1
            likeness[other] += weight * holders.weights[at]
    count = 0
    for other in top(likeness, alike, met, NEIGHBOURS):
        for at in range(vectors.starts[other], vectors.starts[other + 1]):
            item = vectors.columns[at]
            if score[item] == 0:
                scored[count] = item
                count += 1
            score[item] += likeness[other] * vectors.weights[at]
    for other in alike[:met]:
        likeness[other] = 0
    return count


@compiled
def _new(score: Floats, scored: Codes, count: int, slot: Codes, offered: NDArray[np.bool_], most: int) -> Codes:
    """Return the items of the highest score that the customer never bought."""
    unseen, total = np.empty(count, np.int32), 0
    for item in scored[:count]:
        if slot[item] < 0 and offered[item]:
            unseen[total] = item
            total += 1
    return top(score, unseen, total, most)


@compiled
def _put(
    item: int, source: int, rank: int, at: int, items: Codes, sources: NDArray[np.int8], ranks: Codes, place: Ints
) -> int:
    """Put a candidate at the end, unless it is there; its source is the one that ranks it highest."""
    if place[item] < 0:
        place[item], items[at], sources[at], ranks[at] = at, item, source, rank
        return at + 1
    if rank < ranks[place[item]]:
        sources[place[item]], ranks[place[item]] = source, rank
    return at


@compiled
def _put_popular(
    popular: Codes, offered: NDArray[np.bool_], most: int, at: int, items: Codes, sources: NDArray[np.int8],
    ranks: Codes, desk: Desk,
) -> int:  # fmt: skip
    rank = 0
    for item in popular:
        if rank == most:
            break
        if desk.slot[item] < 0 and offered[item]:
            at = _put(item, POPULAR, rank, at, items, sources, ranks, desk.place)
            rank += 1
    return at


@compiled
def _describe(first: int, last: int, items: Codes, rates: Floats, desk: Desk, features: Floats) -> None:
    """Fill in what is known of each candidate: in the order of FEATURES."""
    for at in range(first, last):
        item, row = items[at], features[at]
        if desk.slot[item] >= 0:
            _describe_own(desk.kept[desk.slot[item]], row)
            row[OF_ITEM + 5] = row[6] / rates[item, 4]
        else:
            row[0] = row[1] = row[3] = row[4] = row[5] = 0
        for column in range(5):
            row[OF_ITEM + column] = rates[item, column]
        for source in range(3):
            row[OF_SOURCES + source] = desk.score[source, item]


@compiled
def _describe_own(own: Floats, row: Floats) -> None:
    """Fill in what is known of a customer and an item bought before; ``order_share`` is finished with the customer."""
    gaps = own[GAPS]
    row[0], row[1] = own[TIMES], own[TIMES]
    if own[FIRST_ORDER] > 0:
        row[2] = (own[TIMES] - 1) / own[FIRST_ORDER]
    row[3], row[4], row[5], row[6], row[7] = own[FAST], own[SLOW], own[BY_DAYS], own[LAST_DAY], own[LAST_ORDER]
    row[11], row[12] = own[LAST_GAP], own[FIRST_DAY]
    if gaps > 0:
        mean = (own[FIRST_DAY] - own[LAST_DAY]) / gaps
        row[8], row[9], row[13] = mean, np.exp(own[LOG_GAPS] / gaps), own[LAST_DAY] / mean
        if gaps > 1:
            row[10] = np.sqrt(max(own[SQUARES] / gaps - mean * mean, 0.0)) / mean


@compiled
def _describe_customer(
    first: int, last: int, histories: Histories, customer: int, today: int, total: int, desk: Desk, features: Floats
) -> None:
    """Fill in what is known of the customer, the same for all candidates."""
    begin, end, moment = histories.begins[customer], histories.ends[customer], histories.moment
    starts, orders = histories.item_starts, end - begin
    about = np.full(N_FEATURES - OF_CUSTOMER, np.nan, np.float32)
    about[0], about[6], about[7] = orders, total, 0
    if orders > 0:
        about[2], about[5] = today - moment[end - 1], today - moment[begin]
        about[3], about[4] = (starts[end] - starts[begin]) / orders, starts[end] - starts[end - 1]
        fresh = 0
        for place in range(total):
            fresh += desk.kept[place, FIRST_ORDER] < LATELY
        about[8] = fresh / max(starts[end] - starts[max(end - LATELY, begin)], 1)
    if orders > 1:
        about[1] = (moment[end - 1] - moment[begin]) / (orders - 1)
    for order in range(begin, end):
        about[7] += 0.5 ** ((today - moment[order]) / HALF_LIFE_DAYS)
    for at in range(first, last):
        features[at, 1] /= max(orders, 1)
        for column in range(len(about)):
            features[at, OF_CUSTOMER + column] = about[column]


@compiled
def _clear(first: int, last: int, items: Codes, total: int, desk: Desk, counts: Ints) -> None:
    """Leave the desk as it was found."""
    for item in items[first:last]:
        desk.place[item] = -1
    for item in desk.own[:total]:
        desk.slot[item], desk.habit[item] = -1, 0
    for source in range(3):
        for item in desk.scored[source, : counts[source]]:
            desk.score[source, item] = 0
