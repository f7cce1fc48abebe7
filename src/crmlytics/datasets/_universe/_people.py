"""Who the customers are, when they join, and what they are inclined to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crmlytics.datasets._universe import _laws as laws

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Whole = NDArray[np.int64]
    Real = NDArray[np.float64]
    Flags = NDArray[np.bool_]


FIRST_S = 3_600  # nobody joins before: the session of a first order lies within the data


@dataclass(frozen=True, slots=True)
class People:
    """One entry a customer, all of shape (n,); words are places in the names of ``_laws``."""

    segment: Whole
    region: Whole
    household: Whole
    acquisition: Whole  # place in ACQUISITION; SALES comes last
    partner: Whole
    age: Whole  # in years, when the data begin
    lead: Whole  # which lead became this customer, -1 for none
    joined: Whole  # second
    consent: Flags
    is_deal_seeker: Flags
    response_type: Whole
    weekly_rate: Real  # of habit orders
    nu: Real  # rate of the gamma distributed amount of an order before discounts
    hazard: Real  # of leaving, a day, without bad tickets

    @property
    def is_young(self) -> Flags:
        """Whether below forty when the data begin."""
        return self.age < laws.YOUNG_BELOW

    @property
    def list_amount(self) -> Real:
        """Expected amount of an order before discounts."""
        return laws.ORDER_SHAPE / self.nu

    @property
    def order_amount(self) -> Real:
        """Expected amount of an order."""
        return self.list_amount * (1 - laws.DISCOUNT * self.discounted_share)

    @property
    def discounted_share(self) -> Real:
        """Probability that an order comes with a discount."""
        usual, seeker = laws.DISCOUNTED_SHARE[False], laws.DISCOUNTED_SHARE[True]
        return np.where(self.is_deal_seeker, seeker, usual)


def draw_people(rng: np.random.Generator, count: int, won: Whole, days: int) -> People:
    """Draw the customers, those among them that were leads, won at the seconds ``won`` (-1: not won), included."""
    segment, region, household = (
        _drawn(rng, count, shares) for shares in (laws.SEGMENTS, laws.REGIONS, laws.HOUSEHOLDS)
    )
    lead, joined = _join(rng, count, won, days)
    acquisition = np.where(lead >= 0, len(laws.ACQUISITION), _drawn(rng, count, laws.ACQUISITION))
    partner = 2 * region + (rng.random(count) >= _by(laws.FIRST_PARTNER_SHARE, segment))
    seeker = rng.random(count) < _by(laws.DEAL_SEEKER_SHARE, segment)
    age = _draw_ages(rng, count)
    response = _draw_types(rng, age < laws.YOUNG_BELOW, household, segment)
    places = {"segment": segment, "partner_id": partner, "acquisition_channel": acquisition}
    wanted = np.exp(_sum(laws.RATE_EFFECTS, places) + _by(laws.TYPE_RATE_EFFECTS, response))
    spent = laws.ORDER_AMOUNT * np.exp(_sum(laws.AMOUNT_EFFECTS, places))
    left = np.exp(_sum(laws.HAZARD_EFFECTS, places) + laws.DEAL_SEEKER_HAZARD * seeker)
    return People(
        segment=segment,
        region=region,
        household=household,
        acquisition=acquisition,
        partner=partner,
        age=age,
        lead=lead,
        joined=joined,
        consent=rng.random(count) < laws.CONSENT_SHARE,
        is_deal_seeker=seeker,
        response_type=response,
        weekly_rate=laws.WEEKLY_RATE * wanted * rng.gamma(laws.RATE_SHAPE, 1 / laws.RATE_SHAPE, count),
        nu=rng.gamma(laws.SPEND_SHAPE, 1.0, count) * laws.ORDER_SHAPE / (laws.SPEND_SHAPE - 1) / spent,
        hazard=laws.YEARLY_HAZARD / laws.YEAR_DAYS * left,
    )


def type_probabilities(young: Flags, household: Whole, segment: Whole) -> Real:
    """Return the probability of each response type, in the order of TYPES: shape (n, 4)."""
    premium = segment == list(laws.SEGMENTS).index("premium")
    holds = {
        ("", ""): np.ones(len(young), bool),
        ("age", "below 40"): young,
        ("household", "family"): household == list(laws.HOUSEHOLDS).index("family"),
        ("segment and age", "premium, 40 and above"): premium & ~young,
        ("segment", "premium"): premium,
    }
    shares = np.zeros((len(young), len(laws.TYPES)))
    for place, name in enumerate(laws.TYPES[:-1]):
        for level, share in laws.TYPE_SHARES[name].items():
            shares[:, place] += share * holds[level]
    shares[:, -1] = 1 - shares.sum(axis=1)
    return shares


def _draw_ages(rng: np.random.Generator, count: int) -> Whole:
    young = rng.random(count) < laws.YOUNG_SHARE
    ranges = ((laws.AGES[0], laws.YOUNG_BELOW), (laws.YOUNG_BELOW, laws.AGES[1]))
    below, above = (rng.integers(*ages, count) for ages in ranges)
    return np.where(young, below, above)


def _draw_types(rng: np.random.Generator, young: Flags, household: Whole, segment: Whole) -> Whole:
    limits = type_probabilities(young, household, segment).cumsum(axis=1)[:, :-1]
    places: Whole = (rng.random(len(young))[:, None] >= limits).sum(axis=1)
    return places


def _join(rng: np.random.Generator, count: int, won: Whole, days: int) -> tuple[Whole, Whole]:
    """Say which lead each customer was, and when the customer joins: leads within a day of being won."""
    lead = np.full(count, -1)
    leads = np.flatnonzero(won >= 0)[:count]
    lead[rng.permutation(count)[: len(leads)]] = leads
    joined = rng.integers(FIRST_S, int(days * laws.JOINING_SHARE) * laws.DAY_S, count)
    room = np.minimum(laws.DAY_S, days * laws.DAY_S - won[lead])
    soon = won[lead] + (rng.random(count) * room).astype(np.int64)
    return lead, np.maximum(np.where(lead >= 0, soon, joined), FIRST_S)


def _drawn(rng: np.random.Generator, count: int, shares: Mapping[str, float]) -> Whole:
    limits = np.cumsum(list(shares.values()))[:-1]
    places: Whole = np.searchsorted(limits, rng.random(count), side="right")
    return places


def _by(values: Mapping[str, float], places: Whole) -> Real:
    return np.array(list(values.values()))[places]


def _sum(effects: Mapping[str, Mapping[str, float]], places: Mapping[str, Whole]) -> Real:
    total: Real = np.sum([_by(values, places[column]) for column, values in effects.items()], axis=0)
    return total
