"""Campaigns: who takes part in which arm, and what each arm would do to each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crmlytics.datasets._universe import _laws as laws
from crmlytics.datasets._universe._visits import share_triggered, trigger_probability

if TYPE_CHECKING:
    from crmlytics.datasets._synthetic import _Clock
    from crmlytics.datasets._universe._people import People, Real, Whole
    from crmlytics.datasets._universe._visits import Visits

WINDOW_S = laws.WINDOW_DAYS * laws.DAY_S


def window_end(contacted: Whole) -> Whole:
    """Return the second at which a contact stops working: the end of the last day, that of the contact the first."""
    return contacted // laws.DAY_S * laws.DAY_S + WINDOW_S


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign: one entry a customer who takes part, by customer."""

    name: str
    arms: tuple[str, ...]  # control first
    customer: Whole
    contacted: Whole  # second; of the control group: the moment of the assignment
    arm: Whole  # place in ``arms``


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is expected of each customer of a campaign in the window, without and with each arm but control.

    ``order_probability`` (n,), ``order_count`` (n,), ``later_probability`` (n,; of a habit order in the next window);
    ``gain`` and ``loss`` (arms - 1, n): the probability that the contact brings an order, and that it keeps away all
    orders of the window.
    """

    order_probability: Real
    order_count: Real
    later_probability: Real
    gain: Real
    loss: Real

    @property
    def uplift(self) -> Real:
        """What each arm adds to the probability of an order: shape (arms - 1, n)."""
        return (1 - self.order_probability) * self.gain - self.order_probability * self.loss


def assign(rng: np.random.Generator, name: str, people: People, days: int) -> Campaign:
    """Divide everyone who consents and has been a customer for a month over the arms: exact shares, at random."""
    begin = round(days * laws.BEGINS[name]) * laws.DAY_S
    customer = np.flatnonzero(people.consent & (people.joined <= begin - laws.MEMBER_DAYS * laws.DAY_S))
    shares = laws.CAMPAIGNS[name]
    limits = np.round(np.cumsum(list(shares.values())) * len(customer)).astype(int)
    arm = np.empty(len(customer), np.int64)
    arm[rng.permutation(len(customer))] = np.searchsorted(limits, np.arange(len(customer)), side="right")
    contacted = begin + rng.integers(9 * 3_600, 18 * 3_600, len(customer))  # in working hours
    return Campaign(name, tuple(shares), customer, contacted, arm)


def expect(campaign: Campaign, people: People, visits: Visits, left: Whole, clock: _Clock) -> Outlook:
    """Work out the probabilities of the window, and what each arm changes about them."""
    who, start = campaign.customer, campaign.contacted
    stop = window_end(start)
    triggers, silence = _expect_triggered(campaign, visits, left)
    habit = _expected_habit(people, who, (start, stop), left, clock)
    probability = -np.expm1(silence - habit)
    stays = left[who] >= stop
    points = np.array([planted_uplift(people, arm)[who] for arm in campaign.arms[1:]]) * stays
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(points > 0, np.minimum(points / (1 - probability), 1), 0.0)
        loss = np.where(points < 0, np.minimum(-points / probability, 1), 0.0)
    later = -np.expm1(-_expected_habit(people, who, (stop, stop + WINDOW_S), left, clock))
    return Outlook(probability, habit + triggers, later, gain, loss)


def planted_uplift(people: People, arm: str) -> Real:
    """Return what an arm adds to each customer's probability of an order, if the customer stays."""
    alone, family, annoyed = laws.UPLIFTS[arm]
    has_family = people.household == list(laws.HOUSEHOLDS).index("family")
    persuaded = np.where(has_family, family, alone)
    kinds = [people.response_type == laws.TYPES.index(kind) for kind in ("persuadable", "sleeping dog")]
    return np.select(kinds, [persuaded, np.full(len(persuaded), annoyed)], 0.0)


def _expected_habit(people: People, who: Whole, window: tuple[Whole, Whole], left: Whole, clock: _Clock) -> Real:
    """Return the habit orders expected in a window: none once the customer has left or the data have ended."""
    moments = [np.minimum(moment, left[who]) / laws.DAY_S for moment in window]  # the clock stops with the data
    begin, stop = (np.interp(moment, clock.calendar, clock.operational) for moment in moments)
    expected: Real = people.weekly_rate[who] / laws.WEEK_DAYS * np.maximum(stop - begin, 0.0)
    return expected


def _expect_triggered(campaign: Campaign, visits: Visits, left: Whole) -> tuple[Real, Real]:
    """Return the orders visits are expected to trigger in the window, and the logarithm of the chance of none."""
    size = len(campaign.customer)
    place = np.full(len(left), -1)
    place[campaign.customer] = np.arange(size)
    reach = laws.TRIGGER_DAYS[2] * laws.DAY_S
    first, last = campaign.contacted.min(initial=0) - reach, campaign.contacted.max(initial=0) + WINDOW_S
    near = (visits.second >= first) & (visits.second < last) & (place[visits.customer] >= 0)
    who, second = place[visits.customer[near]], visits.second[near]
    start = campaign.contacted[who]
    stop = np.minimum(window_end(start), left[visits.customer[near]])
    within = share_triggered((stop - second) / laws.DAY_S) - share_triggered((start - second) / laws.DAY_S)
    chance = trigger_probability(visits)[near] * np.maximum(within, 0.0)
    count, silence = (np.bincount(who, weights=each, minlength=size) for each in (chance, np.log1p(-chance)))
    return count.astype(float), silence.astype(float)  # without a single visit NumPy counts in whole numbers
