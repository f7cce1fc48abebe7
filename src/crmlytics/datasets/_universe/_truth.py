"""What was planted, laid out as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crmlytics.datasets._universe import _laws as laws
from crmlytics.datasets._universe import _orders as ordering
from crmlytics.datasets._universe._lines import order_ids, words
from crmlytics.datasets._universe._people import type_probabilities
from crmlytics.datasets._universe._tables import ARMS, arm_places, known, ticket_rows

if TYPE_CHECKING:
    from crmlytics.datasets._universe._campaigns import Campaign, Outlook
    from crmlytics.datasets._universe._people import People, Real, Whole
    from crmlytics.datasets._universe._world import World

MEASURES = ("probability", "order_count", "revenue_amount", "margin_amount")


def customer_truth(world: World) -> pd.DataFrame:
    """Lay out what was planted in each customer."""
    people = world.people
    lead_ids = world.leads.leads["lead_id"].astype("Int64").array
    return pd.DataFrame({
        "customer_id": np.arange(1, world.count + 1),
        "lead_id": lead_ids.take(people.lead, allow_fill=True),
        "response_type": words(laws.TYPES, people.response_type),
        "is_deal_seeker": people.is_deal_seeker,
        "weekly_order_rate": people.weekly_rate,
        "mean_order_amount": people.order_amount,
        "yearly_hazard": people.hazard * laws.YEAR_DAYS,
        "dropped_out_at": known(world, world.left),
    })  # fmt: skip


def ticket_truth(world: World) -> pd.DataFrame:
    """Lay out which tickets went badly."""
    rows = ticket_rows(world)
    return pd.DataFrame({"ticket_id": np.arange(1, len(rows) + 1), "is_bad": world.tickets.is_bad[rows]})


def orders(world: World) -> pd.DataFrame:
    """Lay out what caused each order."""
    made, numbers = world.orders, world.sessions
    contact = np.where(made.cause == ordering.CONTACT, made.source, -1)
    visit = np.where(made.cause == ordering.VISIT, made.source, -1)
    return pd.DataFrame({
        "order_id": order_ids(np.arange(len(made.customer))),
        "customer_id": made.customer + 1,
        "timestamp": world.moments(made.second),
        "cause": words(ordering.CAUSES, made.cause),
        **_contact_names(world, contact),
        "visit_session_id": _ids(numbers.of_visit, visit),
        "session_id": _ids(numbers.of_order, np.where(world.lines.is_web, np.arange(len(visit)), -1)),
    })  # fmt: skip


def prevented_orders(world: World) -> pd.DataFrame:
    """Lay out the orders that a contact prevented."""
    made = world.settled[1]
    return pd.DataFrame({
        "customer_id": made.customer + 1,
        "timestamp": world.moments(made.second),
        "reason": words(ordering.PREVENTIONS, made.cause),
        **_contact_names(world, made.source),
    })  # fmt: skip


def _contact_names(world: World, contact: Whole) -> dict[str, Any]:
    """Return campaign and arm of contacts by place; -1 is missing."""
    campaign, arm = (np.append(of, -1)[contact] for of in (world.contacts.campaign, arm_places(world)))
    return {"campaign_id": words(laws.CAMPAIGNS, campaign), "arm": words(ARMS, arm)}


def _ids(numbers: Whole, places: Whole) -> Any:
    return pd.Series(np.append(numbers, -1)[places]).astype("Int64").mask(places < 0)


def uplifts(world: World) -> pd.DataFrame:
    """Lay out what each arm of a campaign would do to each customer of it."""
    pairs = sorted(zip(world.campaigns, world.outlooks, strict=True), key=lambda pair: pair[0].name)
    parts = [
        _uplift_part(world.people, campaign, outlook, arm)
        for campaign, outlook in pairs
        for arm in sorted(campaign.arms[1:])
    ]
    return pd.concat(parts, ignore_index=True)


def _uplift_part(people: People, campaign: Campaign, outlook: Outlook, arm: str) -> pd.DataFrame:
    place = campaign.arms.index(arm)
    size, who = len(campaign.customer), campaign.customer
    without = _expected(people, who, outlook.order_probability, outlook.order_count, 0.0)
    gain, loss = outlook.gain[place - 1], outlook.loss[place - 1]
    count = outlook.order_count * (1 - loss) + gain
    probability = outlook.order_probability + outlook.uplift[place - 1]
    treated = _expected(people, who, probability, count, laws.ARM_DISCOUNT[arm])
    pairs = {
        name: column
        for measure in MEASURES
        for name, column in (
            (f"control_{measure}", without[measure]),
            (f"uplift_{measure}", treated[measure] - without[measure]),
        )
    }
    return pd.DataFrame({
        "campaign_id": words((campaign.name,), np.zeros(size, int)),
        "arm": words((arm,), np.zeros(size, int)),
        "customer_id": who + 1,
        "is_assigned": campaign.arm == place,
        "response_type": words(laws.TYPES, people.response_type[who]),
        **pairs,
        "uplift_later_order_count": -laws.PULLED_SHARE * gain * outlook.later_probability,
        "contact_cost_amount": np.full(size, laws.ARM_COSTS[arm]),
    })  # fmt: skip


def _expected(people: People, who: Whole, probability: Real, count: Real, discount: float) -> dict[str, Real]:
    """Return what a customer is expected to do in the window, with a campaign's discount on all orders."""
    revenue = count * people.order_amount[who] * (1 - discount)
    goods = count * people.list_amount[who] * laws.COST_SHARE
    return dict(zip(MEASURES, (probability, count, revenue, revenue - goods), strict=True))


def average_effects(world: World) -> pd.DataFrame:
    """Average the uplifts over the customers of each campaign, beside what is expected of any customer who stays."""
    table = uplifts(world)
    columns = [f"{kind}_{measure}" for measure in MEASURES for kind in ("control", "uplift")]
    grouped = table.groupby(["campaign_id", "arm"])
    averages = grouped[[*columns, "uplift_later_order_count"]].mean().reset_index()
    averages.insert(2, "customer_count", grouped.size().to_numpy())
    averages.insert(3, "assigned_count", grouped["is_assigned"].sum().to_numpy())
    assigned = table[table["is_assigned"]].groupby(["campaign_id", "arm"])["uplift_probability"].mean()
    keys = pd.MultiIndex.from_frame(averages[["campaign_id", "arm"]])
    averages["assigned_uplift_probability"] = assigned.reindex(keys).to_numpy()
    planted = {arm: _planted_average(arm) for arm in laws.UPLIFTS}
    averages["planted_uplift_probability"] = averages["arm"].map(planted).astype(float)
    return averages


def _planted_average(arm: str) -> float:
    """Average what is planted over all customers there could be."""
    places = np.meshgrid([0, 1], range(len(laws.HOUSEHOLDS)), range(len(laws.SEGMENTS)))
    young, household, segment = (place.ravel() for place in places)
    weight = np.array([1 - laws.YOUNG_SHARE, laws.YOUNG_SHARE])[young]
    weight *= np.array(list(laws.HOUSEHOLDS.values()))[household] * np.array(list(laws.SEGMENTS.values()))[segment]
    chance = type_probabilities(young.astype(bool), household, segment)
    alone, family, annoyed = laws.UPLIFTS[arm]
    persuaded = np.where(household == list(laws.HOUSEHOLDS).index("family"), family, alone)
    return float((weight * (chance[:, 0] * persuaded + chance[:, 1] * annoyed)).sum())


def channel_effects(world: World) -> pd.DataFrame:
    """Lay out what visits through each channel really brought."""
    made, orders_of = world.visits, world.orders
    size = len(laws.CHANNELS)
    triggered = np.flatnonzero(orders_of.cause == ordering.VISIT)
    channel = made.channel[orders_of.source[triggered]]
    totals = world.order_amounts[triggered]
    return pd.DataFrame({
        "channel": list(laws.CHANNELS),
        "visit_count": np.bincount(made.channel, minlength=size),
        "order_probability": list(laws.VISIT_EFFECTS.values()),
        "incremental_order_count": np.bincount(channel, minlength=size),
        "incremental_revenue_amount": np.bincount(channel, weights=totals, minlength=size).round(2),
    })  # fmt: skip


def effects(world: World) -> pd.DataFrame:
    """Lay out the planted coefficients, those of leads included."""
    rows = [*_logarithms(), *_chances()]
    table = pd.DataFrame(rows, columns=["outcome", "table", "column", "level", "effect"])
    of_leads = world.leads.effects.rename(columns={"log_odds": "effect"})
    return pd.concat([table, of_leads.assign(outcome="log_odds_converted", table="leads")], ignore_index=True)


def _logarithms() -> list[tuple[str, str, str, str, float]]:
    """Return what is added up as logarithms: of the yearly hazard, the weekly rate and the amount of an order."""
    rows = [("log_hazard", "customers", "(intercept)", "", float(np.log(laws.YEARLY_HAZARD)))]
    rows += [("log_hazard", "customers", *row) for row in _flat(laws.HAZARD_EFFECTS)]
    rows += [
        ("log_hazard", "customer_truth", "is_deal_seeker", "True", laws.DEAL_SEEKER_HAZARD),
        ("log_hazard", "ticket_truth", "is_bad", "each, up to three", laws.BAD_TICKET_HAZARD),
        ("log_order_rate", "customers", "(intercept)", "", float(np.log(laws.WEEKLY_RATE))),
    ]
    rows += [("log_order_rate", "customers", *row) for row in _flat(laws.RATE_EFFECTS)]
    rows += [("log_order_rate", "customer_truth", *row) for row in _flat({"response_type": laws.TYPE_RATE_EFFECTS})]
    rows += [("log_order_amount", "customers", "(intercept)", "", float(np.log(laws.ORDER_AMOUNT)))]
    return rows + [("log_order_amount", "customers", *row) for row in _flat(laws.AMOUNT_EFFECTS)]


def _chances() -> list[tuple[str, str, str, str, float]]:
    """Return what is added to probabilities, and how contacts work over time."""
    rows = [
        (f"probability_{kind.replace(' ', '_')}", "customers", column or "(intercept)", level, share)
        for kind, levels in laws.TYPE_SHARES.items()
        for (column, level), share in levels.items()
    ]
    rows += [("order_probability", "events", *row) for row in _flat({"channel": laws.VISIT_EFFECTS})]
    for arm, shifts in laws.UPLIFTS.items():
        kinds = ("persuadable, no family", "persuadable, family", "sleeping dog")
        rows += [
            (f"uplift_{arm}", "customer_truth", "response_type", *pair) for pair in zip(kinds, shifts, strict=True)
        ]
    rows += [("probability_opts_out", "customer_truth", *row) for row in _flat({"response_type": laws.OPT_OUTS})]
    return [
        *rows,
        ("response_scale_days", "orders", "cause", "contact", laws.RESPONSE_DAYS),
        ("pulled_forward_share", "orders", "cause", "contact", laws.PULLED_SHARE),
    ]


def _flat(effects: dict[str, dict[str, float]]) -> list[tuple[str, str, float]]:
    return [(column, level, value) for column, levels in effects.items() for level, value in levels.items()]
