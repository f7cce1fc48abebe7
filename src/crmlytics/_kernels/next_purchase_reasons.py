"""Why an item is suggested to a customer: own purchases of it, or the own item that it goes with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crmlytics._kernels.compiled import compiled
from crmlytics._kernels.next_purchase import AFTER, BESIDE, OWN
from crmlytics._kernels.next_purchase_population import VECTOR_DECAY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.next_purchase_population import Histories, Links, Population

    Ints = NDArray[np.int64]
    Codes = NDArray[np.int32]
    Floats = NDArray[np.float32]


class Evidence(NamedTuple):
    """What speaks for each suggestion.

    Attributes
    ----------
    times : int64 array
        On how many days the customer bought it.
    interval : int64 array
        The median number of days between them; 0 with fewer than two.
    because : int32 array
        The own item that it goes with; the item itself if it is an own one; -1 for none.
    days_ago : int64 array
        Days since the last purchase of that; -1 for none.
    """

    times: Ints
    interval: Ints
    because: Codes
    days_ago: Ints


def evidence_for(
    histories: Histories, now: Ints, owner: Ints, items: Codes, sources: NDArray[np.int8], people: Population
) -> Evidence:
    """Return what speaks for suggestions of ``items`` to the customers ``owner``, found by ``sources``."""
    return Evidence(*_evidence(histories, now, owner, items, sources, people.beside, people.after))


@compiled
def _evidence(
    histories: Histories, now: Ints, owner: Ints, items: Codes, sources: NDArray[np.int8], beside: Links, after: Links
) -> tuple[Ints, Ints, Codes, Ints]:
    begins, ends, item_starts, held, moment = histories
    times, interval = np.zeros(len(items), np.int64), np.zeros(len(items), np.int64)
    because, days_ago = np.full(len(items), -1, np.int32), np.full(len(items), -1, np.int64)
    days = np.empty((ends - begins).max() if len(begins) else 0, np.int64)
    for row in range(len(items)):
        item, begin, end, today = items[row], begins[owner[row]], ends[owner[row]], now[owner[row]]
        if sources[row] == OWN:
            times[row] = _days_of(item, begin, end, item_starts, held, moment, days)
            because[row], days_ago[row] = item, today - days[times[row] - 1]
            if times[row] > 1:
                interval[row] = np.int64(np.ceil(np.median(np.diff(days[: times[row]]))))
            continue
        order = -1
        if sources[row] == BESIDE:
            because[row], order = _link(item, begin, end, item_starts, held, beside)
        elif sources[row] == AFTER:
            because[row], order = _link(item, end - 1, end, item_starts, held, after)
        if order >= 0:
            days_ago[row] = today - moment[order]
    return times, interval, because, days_ago


@compiled
def _days_of(item: int, begin: int, end: int, item_starts: Ints, held: Codes, moment: Ints, days: Ints) -> int:
    """Write down the days on which an item was bought, rising; return how many."""
    count = 0
    for order in range(begin, end):
        for other in held[item_starts[order] : item_starts[order + 1]]:
            if other == item and (count == 0 or days[count - 1] < moment[order]):
                days[count] = moment[order]
                count += 1
    return count


@compiled
def _link(item: int, begin: int, end: int, item_starts: Ints, held: Codes, links: Links) -> tuple[int, int]:
    """Return the item bought that has the strongest link to this one, and its last order: later orders weigh more."""
    best, anchor, found = 0.0, -1, -1
    for order in range(begin, end):
        weight = VECTOR_DECAY ** (end - 1 - order)
        for other in held[item_starts[order] : item_starts[order + 1]]:
            for rank in range(links.items.shape[1]):
                if links.items[other, rank] == item and weight * links.strength[other, rank] > best:
                    best, anchor, found = weight * links.strength[other, rank], other, order
    return anchor, found
