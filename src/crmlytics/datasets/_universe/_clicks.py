"""Clicks: visits that lead nowhere or trigger an order later, and the sessions in which web orders are placed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crmlytics.datasets._events import END, PAGES, _laws, _seconds, _walk
from crmlytics.datasets._universe import _laws as laws
from crmlytics.datasets._universe import _orders as ordering
from crmlytics.datasets._universe._lines import ids_or_missing, order_ids, words

if TYPE_CHECKING:
    from crmlytics.datasets._universe._people import Whole
    from crmlytics.datasets._universe._world import World

WAY = ("category", "product", "cart", "checkout", "purchase")  # of whoever comes to order
SHORTEST_S, LONGEST_S = 120, 900
FAULTS = ("missing_customer", "duplicate")


@dataclass(frozen=True, slots=True)
class Sessions:
    """One entry a session, by its beginning: first visits, then sessions of orders, sorted together.

    ``visit`` and ``order`` are places, -1 for none; ``of_visit`` and ``of_order`` the numbers of sessions, from 1.
    """

    customer: Whole
    second: Whole
    channel: Whole
    visit: Whole
    order: Whole
    of_visit: Whole
    of_order: Whole  # one entry an order, 0 for those of stores


def draw_sessions(rng: np.random.Generator, world: World) -> Sessions:
    """Draw how customers come to place their web orders, and number all sessions."""
    visits, orders = world.visits, world.orders
    web = np.flatnonzero(world.lines.is_web)
    begun = orders.second[web] - rng.integers(SHORTEST_S, LONGEST_S, len(web))
    names = [laws.CHANNELS.index(name) for name in laws.PURCHASE_CHANNELS]
    came = rng.choice(names, len(web), p=list(laws.PURCHASE_CHANNELS.values()))
    count = len(visits.customer)
    customer = np.concatenate([visits.customer, orders.customer[web]])
    second = np.concatenate([visits.second, begun])
    sort = np.lexsort((customer, second))
    number = np.empty(len(sort), np.int64)
    number[sort] = np.arange(1, len(sort) + 1)
    of_order = np.zeros(len(orders.customer), np.int64)
    of_order[web] = number[count:]
    return Sessions(
        customer[sort],
        second[sort],
        np.concatenate([visits.channel, came])[sort],
        np.concatenate([np.arange(count), np.full(len(web), -1)])[sort],
        np.concatenate([np.full(count, -1), web])[sort],
        number[:count],
        of_order,
    )


def session_truth(world: World) -> pd.DataFrame:
    """Lay out each session with the order placed in it and the one it triggered later."""
    made, orders = world.sessions, world.orders
    triggered = np.full(len(world.visits.customer), -1)
    rows = np.flatnonzero(orders.cause == ordering.VISIT)
    triggered[orders.source[rows]] = rows
    later = np.full(len(made.visit), -1)
    later[made.visit >= 0] = triggered[made.visit[made.visit >= 0]]
    ids = order_ids(np.arange(len(orders.customer))).array
    return pd.DataFrame({
        "session_id": np.arange(1, len(made.customer) + 1),
        "customer_id": made.customer + 1,
        "started_at": world.moments(made.second),
        "channel": words(laws.CHANNELS, made.channel),
        "order_id": ids.take(made.order, allow_fill=True),
        "triggered_order_id": ids.take(later, allow_fill=True),
    })  # fmt: skip


def events(world: World) -> pd.DataFrame:
    """Lay out the clicks by time, with dirt if asked for."""
    clicks, session = world.clicks, world.clicks["session"]
    made = world.sessions
    order = made.order[session]
    bought = clicks["page"] == PAGES.index("purchase")
    amounts = world.order_amounts
    cost = np.array([laws.CLICK_COSTS[name] for name in laws.CHANNELS])[made.channel[session]]
    lost = clicks["dirt"] == FAULTS.index("missing_customer") if "dirt" in clicks else None
    mobile = world.mobile[made.customer[session]].astype(int)
    return pd.DataFrame({
        "customer_id": ids_or_missing(made.customer[session], lost),
        "timestamp": world.moments(clicks["second"]),
        "event": words(PAGES, clicks["page"]),
        "session_id": session + 1,
        "channel": words(laws.CHANNELS, made.channel[session]),
        "device": words(("desktop", "mobile"), mobile),
        "amount": np.where(bought, amounts[np.where(bought, order, 0)], np.nan),
        "cost": np.where(clicks["is_first"], cost, 0.0),
    })  # fmt: skip


def event_truth(world: World) -> pd.DataFrame:
    """Lay out the truth of each click."""
    clicks = world.clicks
    fault = clicks.get("dirt", np.full(len(clicks["session"]), -1))
    return pd.DataFrame({
        "dirt": words((*FAULTS, "clean"), np.where(fault < 0, len(FAULTS), fault)),
        "true_customer_id": world.sessions.customer[clicks["session"]] + 1,
    })  # fmt: skip


def draw_clicks(rng: np.random.Generator, world: World) -> dict[str, Any]:
    """Draw the clicks of all sessions as columns, by time."""
    made = world.sessions
    visits, places = np.flatnonzero(made.visit >= 0), np.flatnonzero(made.order >= 0)
    session, page, second = (
        np.concatenate(pair) for pair in zip(_browse(rng, world, visits), _purchase(rng, world, places), strict=True)
    )
    inside = second < world.end
    session, page, second = session[inside], page[inside], second[inside]
    sort = np.lexsort((session, second))  # stable: clicks of the same second stay in order
    session, page, second = session[sort], page[sort], second[sort]
    first = np.zeros(len(session), bool)
    first[np.unique(session, return_index=True)[1]] = True
    clicks = {"session": session, "page": page, "second": second, "is_first": first}
    return _spoil(world.stream("dirty clicks"), clicks, world.dirt) if world.dirt else clicks


def _browse(rng: np.random.Generator, world: World, rows: Whole) -> tuple[Whole, Whole, Whole]:
    """Lead visits from page to page, as make_events does, but never to a purchase."""
    made = world.sessions
    ways = _laws(0.0, 0.0)
    purchase, end = PAGES.index("purchase"), PAGES.index(END)
    ways[..., end] += ways[..., purchase]
    ways[..., purchase] = 0.0
    customer = made.customer[rows]
    visits = {"customer": customer, "channel": made.channel[rows], "mobile": world.mobile[customer].astype(np.int64)}
    walked = _walk(rng, visits, ways)
    seconds = _seconds(rng, {"second": made.second[rows]}, walked)
    return rows[walked["visit"]], walked["page"], seconds


def _purchase(rng: np.random.Generator, world: World, rows: Whole) -> tuple[Whole, Whole, Whole]:
    """Lead sessions straight to the order, whose moment is that of the last click."""
    made = world.sessions
    begun, ordered = made.second[rows], world.orders.second[made.order[rows]]
    between = np.sort(rng.random((len(rows), len(WAY) - 2)), axis=1) * (ordered - begun)[:, None]
    seconds = np.column_stack([begun, begun[:, None] + between.astype(np.int64), ordered])
    pages = np.array([PAGES.index(page) for page in WAY])
    return np.repeat(rows, len(WAY)), np.tile(pages, len(rows)), seconds.ravel()


def _spoil(rng: np.random.Generator, clicks: dict[str, Any], share: float) -> dict[str, Any]:
    """Lose the customer of half of the share, and deliver the other half twice; copies follow their original."""
    count = len(clicks["session"])
    size = round(share / len(FAULTS) * count)
    chosen = rng.permutation(count)[: 2 * size]
    dirt = np.full(count, -1)
    dirt[chosen[:size]] = FAULTS.index("missing_customer")
    again = np.sort(chosen[size:])
    rows = np.insert(np.arange(count), again + 1, again)
    copied = np.insert(np.zeros(count, bool), again + 1, values=True)
    spoilt = {name: values[rows] for name, values in clicks.items()}
    spoilt["dirt"] = np.where(copied, FAULTS.index("duplicate"), dirt[rows])
    return spoilt
