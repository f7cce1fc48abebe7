"""Orders and what caused each: joining, habit, a visit or a contact; and those that a contact prevented."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crmlytics.datasets._universe import _laws as laws
from crmlytics.datasets._universe._campaigns import WINDOW_S, window_end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crmlytics.datasets._synthetic import _Clock
    from crmlytics.datasets._universe._campaigns import Campaign, Outlook
    from crmlytics.datasets._universe._people import Flags, People, Whole

CAUSES = ("joining", "habit", "visit", "contact")
JOINING, HABIT, VISIT, CONTACT = range(4)
PREVENTIONS = ("annoyed", "pulled forward")
PULLED = 2**40  # above every place


@dataclass(frozen=True, slots=True)
class Orders:
    """One entry an order; ``source`` is the place of the visit or contact that caused it, else -1."""

    customer: Whole
    second: Whole
    cause: Whole
    source: Whole

    def __getitem__(self, rows: Whole | Flags) -> Orders:
        """Return some of them."""
        return Orders(self.customer[rows], self.second[rows], self.cause[rows], self.source[rows])


@dataclass(frozen=True, slots=True)
class Contacts:
    """One entry a contact, or a customer held out: campaigns one after another, each by customer."""

    campaign: Whole
    customer: Whole
    contacted: Whole
    arm: Whole  # place in the arms of the campaign
    brings: Whole  # second of the order it brings, -1 for none
    pulls: Flags  # whether that order replaces a later one
    annoys: Flags  # whether it keeps away all orders of the window

    def by_campaign(self) -> list[Whole]:
        """Return the places of the contacts of each campaign."""
        return [np.flatnonzero(self.campaign == place) for place in range(len(laws.CAMPAIGNS))]


def draw_habit(rng: np.random.Generator, people: People, gone: Whole, clock: _Clock) -> Orders:
    """Draw the first order of each customer and those of habit, at random in operational time until ``gone``."""
    begin, stop = (np.interp(at / laws.DAY_S, clock.calendar, clock.operational) for at in (people.joined, gone))
    count = rng.poisson(people.weekly_rate / laws.WEEK_DAYS * (stop - begin))
    repeats = np.repeat(np.arange(len(count)), count)
    moment = begin[repeats] + rng.random(len(repeats)) * (stop - begin)[repeats]
    second = np.floor(clock.calendar_days(moment) * laws.DAY_S).astype(np.int64)
    customer = np.concatenate([np.arange(len(count)), repeats])
    cause = np.repeat([JOINING, HABIT], [len(count), len(repeats)])
    second = np.concatenate([people.joined, np.minimum(np.maximum(second, people.joined[repeats]), gone[repeats] - 1)])
    return Orders(customer, second, cause, np.full(len(customer), -1))


def draw_contacts(rng: np.random.Generator, campaigns: Sequence[Campaign], outlooks: Sequence[Outlook]) -> Contacts:
    """Draw what the contacts that were made do."""
    parts = [_draw_reaction(rng, *pair) for pair in zip(campaigns, outlooks, strict=True)]
    campaign = np.repeat(np.arange(len(campaigns)), [len(one.customer) for one in campaigns])
    joined = {
        name: np.concatenate([getattr(one, name) for one in campaigns]) for name in ("customer", "contacted", "arm")
    }
    brings, pulls, annoys = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Contacts(campaign=campaign, brings=brings, pulls=pulls, annoys=annoys, **joined)


def _draw_reaction(rng: np.random.Generator, campaign: Campaign, outlook: Outlook) -> tuple[Whole, Flags, Flags]:
    size = len(campaign.customer)
    of = np.arange(size)
    treated = campaign.arm > 0
    gain = np.where(treated, outlook.gain[campaign.arm - 1, of], 0.0)
    loss = np.where(treated, outlook.loss[campaign.arm - 1, of], 0.0)
    seconds = window_end(campaign.contacted) - campaign.contacted
    room = -np.expm1(-seconds / laws.DAY_S / laws.RESPONSE_DAYS)
    wait = -laws.RESPONSE_DAYS * np.log1p(-rng.random(size) * room)
    second = campaign.contacted + np.minimum((wait * laws.DAY_S).astype(np.int64), seconds - 1)
    bought = rng.random(size) < gain
    return np.where(bought, second, -1), bought & (rng.random(size) < laws.PULLED_SHARE), rng.random(size) < loss


def settle(habit: Orders, triggered: Orders, contacts: Contacts, count: int) -> tuple[Orders, Orders]:
    """Put all orders together, by time, and take out those that contacts prevented: what is placed, what is not."""
    usual = _together(habit, triggered)
    why = _find_prevented(usual, contacts, count)
    bought = np.flatnonzero(contacts.brings >= 0)
    brought = Orders(contacts.customer[bought], contacts.brings[bought], np.full(len(bought), CONTACT), bought)
    placed = _together(usual[why < 0], brought)
    return placed[np.lexsort((placed.cause, placed.customer, placed.second))], _as_prevented(usual, why)


def _together(*parts: Orders) -> Orders:
    return Orders(*(np.concatenate([getattr(part, name) for part in parts]) for name in Orders.__slots__))


def _as_prevented(usual: Orders, why: Whole) -> Orders:
    """Return the orders that were prevented, by time: as cause the place in PREVENTIONS, as source the contact."""
    rows = np.flatnonzero(why >= 0)
    kind, contact = np.divmod(why[rows], PULLED)
    lost = Orders(usual.customer[rows], usual.second[rows], kind, contact)
    return lost[np.lexsort((lost.customer, lost.second))]


def _find_prevented(orders: Orders, contacts: Contacts, count: int) -> Whole:
    """Return for each order the contact that prevents it, PULLED higher if it was pulled forward; -1 for none."""
    why = np.full(len(orders.customer), -1)
    ends = np.append(window_end(contacts.contacted), 0)
    for rows in contacts.by_campaign():
        contact = contact_on(orders, contacts, rows[contacts.annoys[rows]], count)
        why = np.maximum(why, contact)
        contact = _contact_before(orders, contacts, rows[contacts.pulls[rows]], count)
        since = orders.second - ends[contact]
        later = np.flatnonzero((contact >= 0) & (since >= 0) & (since < WINDOW_S) & (orders.cause == HABIT))
        later = later[np.lexsort((orders.second[later], contact[later]))]
        first = later[np.unique(contact[later], return_index=True)[1]]
        why[first] = contact[first] + PULLED
    return why


def contact_on(orders: Orders, contacts: Contacts, rows: Whole, count: int) -> Whole:
    """Return for each order the contact among ``rows``, one a customer, in whose window it lies; -1 for none."""
    contact = _contact_before(orders, contacts, rows, count)
    return np.where(orders.second < np.append(window_end(contacts.contacted), 0)[contact], contact, -1)


def _contact_before(orders: Orders, contacts: Contacts, rows: Whole, count: int) -> Whole:
    """Return for each order the contact among ``rows`` made before it; -1 for none: the last entry, which is added."""
    of = np.full(count, -1)
    of[contacts.customer[rows]] = rows
    contact = of[orders.customer]
    return np.where(orders.second >= np.append(contacts.contacted, 0)[contact], contact, -1)
