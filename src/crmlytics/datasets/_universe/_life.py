"""What customers asked support, and when they left: bad tickets make them leave sooner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crmlytics.datasets._universe import _laws as laws

if TYPE_CHECKING:
    from crmlytics.datasets._universe._people import Flags, People, Real, Whole

NEVER = 1e15  # seconds: beyond any data, and small enough to subtract


@dataclass(frozen=True, slots=True)
class Tickets:
    """One entry a ticket, by customer and opening; moments are seconds and may lie after the end of the data."""

    customer: Whole
    opened: Whole
    replied: Whole
    closed: Whole
    is_bad: Flags


def draw_tickets(rng: np.random.Generator, people: People, end: int) -> Tickets:
    """Draw what customers would ask support if none ever left."""
    open_s = end - people.joined
    count = rng.poisson(laws.YEARLY_TICKETS / laws.YEAR_DAYS / laws.DAY_S * open_s)
    customer = np.repeat(np.arange(len(count)), count)
    opened = people.joined[customer] + (rng.random(len(customer)) * open_s[customer]).astype(np.int64)
    order = np.lexsort((opened, customer))
    opened = opened[order]
    bad = rng.random(len(customer)) < laws.BAD_SHARE
    reply = np.where(bad, 12 + rng.exponential(36.0, len(bad)), rng.exponential(4.0, len(bad)))
    solve = rng.exponential(np.where(bad, 72.0, 8.0))
    replied = opened + (reply * 3_600).astype(np.int64) + 60
    return Tickets(customer, opened, replied, replied + (solve * 3_600).astype(np.int64) + 60, bad)


def draw_departures(rng: np.random.Generator, people: People, tickets: Tickets) -> Whole:
    """Draw the second at which each customer leaves, however late: the hazard steps up as bad tickets are closed."""
    steps = _bad_closings(tickets, len(people.joined))
    owed = rng.exponential(size=len(people.joined)) / people.hazard * laws.DAY_S  # of seconds at the first hazard
    left = np.full(len(owed), -1.0)
    since = people.joined.astype(float)
    for count in range(laws.MOST_BAD_TICKETS + 1):
        speed = np.exp(laws.BAD_TICKET_HAZARD * count)
        until = steps[:, count] if count < laws.MOST_BAD_TICKETS else np.full(len(owed), NEVER)
        leaves = (left < 0) & (owed < (until - since) * speed)
        left[leaves] = since[leaves] + owed[leaves] / speed
        alive = left < 0
        owed[alive] -= (until - since)[alive] * speed
        since = until
    seconds: Whole = np.ceil(np.minimum(left, NEVER)).astype(np.int64)
    return seconds


def _bad_closings(tickets: Tickets, count: int) -> Real:
    """Return when each customer's first bad tickets are closed, never where there are fewer."""
    bad = np.flatnonzero(tickets.is_bad)
    customer, closed = tickets.customer[bad], tickets.closed[bad]
    order = np.lexsort((closed, customer))
    customer, closed = customer[order], closed[order]
    rank = np.arange(len(customer)) - np.searchsorted(customer, customer)
    steps = np.full((count, laws.MOST_BAD_TICKETS), NEVER)
    early = rank < laws.MOST_BAD_TICKETS
    steps[customer[early], rank[early]] = closed[early]
    return steps
