"""The tables an analyst sees, but for the order lines and the clicks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crmlytics.datasets._synthetic import _product_ids
from crmlytics.datasets._universe import _laws as laws
from crmlytics.datasets._universe._lines import words
from crmlytics.datasets._universe._orders import contact_on

if TYPE_CHECKING:
    from crmlytics.datasets._universe._people import Flags, Whole
    from crmlytics.datasets._universe._world import World

ARMS = ("control", *sorted({arm for arms in laws.CAMPAIGNS.values() for arm in arms} - {"control"}))
CHANNELS = (*laws.ACQUISITION, laws.SALES)
TOPICS = {"delivery": 0.4, "product": 0.3, "billing": 0.2, "account": 0.1}
DESKS = {"email": 0.5, "phone": 0.3, "chat": 0.2}
PLANS = {"basic": 4.9, "plus": 9.9}
MARKED_SHARE, REOPENED_SHARE = 0.6, 0.3  # of closed tickets; of closed bad ones
CLUB_SHARE, CLUB_DAYS, PERIOD_DAYS = 0.2, 60.0, 30


def customers(world: World) -> pd.DataFrame:
    """Lay out who the customers are."""
    people, rng = world.people, world.stream("attributes")
    count = world.count
    cost = np.array([laws.MEAN_ACQUISITION_COST[name] for name in CHANNELS])[people.acquisition]
    income = np.exp(rng.normal(10.3 + 0.25 * people.segment, 0.35))
    year = world.origin.astype("datetime64[Y]")
    since_new_year = world.origin.astype("datetime64[D]") - year.astype("datetime64[D]")
    birthday = (year - people.age).astype("datetime64[D]") + since_new_year - rng.integers(1, 364, count)
    return pd.DataFrame({
        "customer_id": np.arange(1, count + 1),
        "joined_at": world.moments(people.joined),
        "segment": words(laws.SEGMENTS, people.segment),
        "region": words(laws.REGIONS, people.region),
        "household": words(laws.HOUSEHOLDS, people.household),
        "age": people.age,
        "birthday": birthday.astype("datetime64[us]"),
        "income_amount": income.round(-2),
        "acquisition_channel": words(CHANNELS, people.acquisition),
        "acquisition_cost": (cost * rng.gamma(4.0, 0.25, count)).round(2),
        "partner_id": words(laws.PARTNERS, people.partner),
        "consent": people.consent,
    })  # fmt: skip


def products(world: World) -> pd.DataFrame:
    """Lay out what is sold."""
    catalogue, places = world.catalogue, np.arange(laws.PRODUCT_COUNT)
    price = catalogue["list_price"]
    return pd.DataFrame({
        "product_id": _product_ids(places),
        "category": words(laws.CATEGORIES, places % len(laws.CATEGORIES)),
        "price": price,
        "cost": (price * laws.COST_SHARE).round(2),
    })  # fmt: skip


def partners(world: World) -> pd.DataFrame:  # noqa: ARG001  as every table
    """Lay out the dealers that serve customers."""
    return pd.DataFrame({"partner_id": list(laws.PARTNERS), "region": list(laws.PARTNERS.values())})


def contacts(world: World) -> pd.DataFrame:
    """Lay out the contacts, by time."""
    made = world.contacts
    sort = np.lexsort((made.customer, made.contacted))
    arm = arm_places(world)[sort]
    return pd.DataFrame({
        "customer_id": made.customer[sort] + 1,
        "campaign_id": words(laws.CAMPAIGNS, made.campaign[sort]),
        "timestamp": world.moments(made.contacted[sort]),
        "channel": words([laws.ARM_CHANNELS[name] for name in ARMS[1:]], arm - 1),
        "arm": words(ARMS, arm),
        "responded": _responses(world)[sort],
        "cost": np.array([laws.ARM_COSTS.get(name, 0.0) for name in ARMS])[arm],
        "consent": _answers(world)[sort].reset_index(drop=True),
    })  # fmt: skip


def arm_places(world: World) -> Whole:
    """Return the place in ARMS of the arm of each contact."""
    places = np.array([ARMS.index(name) for one in world.campaigns for name in one.arms])
    first = np.cumsum([0] + [len(one.arms) for one in world.campaigns])
    taken: Whole = places[first[world.contacts.campaign] + world.contacts.arm]
    return taken


def _answers(world: World) -> pd.Series[Any]:
    """Return the answers on consent: a no of some whom the last campaign contacted, missing for all others."""
    made = world.contacts
    chance = np.array(list(laws.OPT_OUTS.values()))[world.people.response_type[made.customer]]
    asked = (made.arm > 0) & (made.campaign == len(laws.CAMPAIGNS) - 1)
    refused = asked & (world.stream("opt-outs").random(len(chance)) < chance)
    return pd.Series(~refused, dtype="boolean").mask(~refused)


def _responses(world: World) -> Flags:
    """Say who is booked as a response: whom the contact brought, and some who would have ordered anyway."""
    made = world.contacts
    ordered = np.zeros(len(made.customer), bool)
    for rows in made.by_campaign():
        contact = contact_on(world.orders, made, rows, world.count)
        ordered[contact[contact >= 0]] = True
    named = ordered & (world.stream("responses").random(len(ordered)) < laws.NAMED_SHARE)
    return (made.arm > 0) & (named | (made.brings >= 0))


def tickets(world: World) -> pd.DataFrame:
    """Lay out the tickets by time of opening, as support shows them at the end of the data."""
    made, rows = world.tickets, ticket_rows(world)
    rng, bad = world.stream("marks"), made.is_bad[rows]
    reopened = made.closed[rows] + (rng.exponential(3.0, len(rows)) * laws.DAY_S).astype(np.int64) + 3_600
    again = bad & (rng.random(len(rows)) < REOPENED_SHARE)
    mark = np.where(bad, rng.integers(1, 4, len(rows)), rng.integers(3, 6, len(rows))).astype(float)
    mark[(rng.random(len(rows)) >= MARKED_SHARE) | (made.closed[rows] >= world.end)] = np.nan
    urgent = rng.random(len(rows)) < np.where(bad, 0.4, 0.2)
    return pd.DataFrame({
        "ticket_id": np.arange(1, len(rows) + 1),
        "customer_id": made.customer[rows] + 1,
        "opened_at": world.moments(made.opened[rows]),
        "first_reply_at": known(world, made.replied[rows]),
        "closed_at": known(world, made.closed[rows]),
        "reopened_at": known(world, np.where(again, reopened, world.end)),
        "category": rng.choice(list(TOPICS), len(rows), p=list(TOPICS.values())),
        "priority": words(("normal", "high"), urgent.astype(int)),
        "channel": rng.choice(list(DESKS), len(rows), p=list(DESKS.values())),
        "satisfaction": mark,
    })  # fmt: skip


def ticket_rows(world: World) -> Whole:
    """Return the tickets that were opened, by time: nobody asks who has left."""
    made = world.tickets
    opened = np.flatnonzero(made.opened < world.gone[made.customer])
    return opened[np.lexsort((made.customer[opened], made.opened[opened]))]


def subscriptions(world: World) -> pd.DataFrame:
    """Lay out the memberships of the club, paid by thirty days: the period in which a customer leaves is the last."""
    rng, people = world.stream("subscriptions"), world.people
    wants = rng.random(world.count) < CLUB_SHARE
    started = people.joined + (rng.exponential(CLUB_DAYS, world.count) * laws.DAY_S).astype(np.int64)
    plan = (rng.random(world.count) < 0.4).astype(int)
    rows = np.flatnonzero(wants & (started < world.gone))
    period = PERIOD_DAYS * laws.DAY_S
    ended = started[rows] - (started[rows] - world.left[rows]) // period * period  # rounded up
    return pd.DataFrame({
        "customer_id": rows + 1,
        "plan": words(PLANS, plan[rows]),
        "price": np.array(list(PLANS.values()))[plan[rows]],
        "started_at": world.moments(started[rows]),
        "ended_at": known(world, ended),
    })  # fmt: skip


def leads(world: World) -> pd.DataFrame:
    """Lay out the leads, with the customer each became."""
    people = world.people
    became = np.full(len(world.leads.leads), -1)
    rows = np.flatnonzero(people.lead >= 0)
    became[people.lead[rows]] = rows
    ids = pd.Series(became + 1).astype("Int64").mask(became < 0)
    return world.leads.leads.assign(customer_id=ids)


def known(world: World, seconds: Whole) -> Any:
    """Return moments, missing where they lie after the end of the data."""
    return pd.Series(world.moments(np.minimum(seconds, world.end))).mask(seconds >= world.end)
