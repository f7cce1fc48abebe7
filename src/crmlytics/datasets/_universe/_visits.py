"""Visits to the web shop, and the orders some of them trigger days later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crmlytics.datasets._universe import _laws as laws

if TYPE_CHECKING:
    from crmlytics.datasets._universe._people import People, Real, Whole


@dataclass(frozen=True, slots=True)
class Visits:
    """One entry a visit that ends without an order, by customer and time."""

    customer: Whole
    second: Whole
    channel: Whole


def draw_visits(rng: np.random.Generator, people: People, gone: Whole) -> Visits:
    """Draw visits at random moments from joining until ``gone``, the customer's departure or the end of the data."""
    span = gone - people.joined
    rate = rng.gamma(laws.VISIT_SHAPE, laws.YEARLY_VISITS / laws.VISIT_SHAPE / laws.YEAR_DAYS / laws.DAY_S, len(gone))
    count = rng.poisson(rate * span)
    customer = np.repeat(np.arange(len(gone)), count)
    second = people.joined[customer] + (rng.random(len(customer)) * span[customer]).astype(np.int64)
    limits = np.cumsum([laws.CHANNEL_SHARES[False], laws.CHANNEL_SHARES[True]], axis=1)[:, :-1]
    channel = (rng.random(len(customer))[:, None] >= limits[people.is_young[customer].astype(int)]).sum(axis=1)
    order = np.lexsort((second, customer))
    return Visits(customer, second[order], channel)


def draw_triggered(rng: np.random.Generator, visits: Visits, gone: Whole) -> tuple[Whole, Whole]:
    """Return the visits that trigger an order, and its second; nobody orders who has left by then."""
    visit = np.flatnonzero(rng.random(len(visits.channel)) < trigger_probability(visits))
    soonest, scale, latest = laws.TRIGGER_DAYS
    room = -np.expm1(-(latest - soonest) / scale)
    wait = soonest - scale * np.log1p(-rng.random(len(visit)) * room)
    second = visits.second[visit] + (wait * laws.DAY_S).astype(np.int64)
    kept = second < gone[visits.customer[visit]]
    return visit[kept], second[kept]


def trigger_probability(visits: Visits) -> Real:
    """Return the probability that each visit triggers an order."""
    return np.array(list(laws.VISIT_EFFECTS.values()))[visits.channel]


def share_triggered(days: Real) -> Real:
    """Return the share of triggered orders that came within so many days of the visit."""
    soonest, scale, latest = laws.TRIGGER_DAYS
    share: Real = np.expm1(-(np.clip(days, soonest, latest) - soonest) / scale) / np.expm1(-(latest - soonest) / scale)
    return share
