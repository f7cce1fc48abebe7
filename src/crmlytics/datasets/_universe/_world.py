"""The universe as arrays: each part is made when it is asked for, from a stream of random numbers of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from crmlytics.datasets._leads import SyntheticLeads, make_leads
from crmlytics.datasets._synthetic import _Clock, _make_catalogue, _season_clock
from crmlytics.datasets._universe import _laws as laws
from crmlytics.datasets._universe import _orders as ordering
from crmlytics.datasets._universe._campaigns import Campaign, Outlook, assign, expect
from crmlytics.datasets._universe._clicks import Sessions, draw_clicks, draw_sessions
from crmlytics.datasets._universe._life import Tickets, draw_departures, draw_tickets
from crmlytics.datasets._universe._lines import Lines, draw_lines, order_amounts, order_lines
from crmlytics.datasets._universe._people import People, draw_people
from crmlytics.datasets._universe._visits import Visits, draw_triggered, draw_visits

if TYPE_CHECKING:
    from typing import Any

    from crmlytics.datasets._universe._people import Flags, Real, Whole

STREAMS = (
    "leads",
    "people",
    "tickets",
    "departures",
    "visits",
    "habit",
    "triggers",
    "assignment",
    "reactions",
    "products",
    "lines",
    "clicks",
    "pages",
    "marks",
    "responses",
    "attributes",
    "subscriptions",
    "dirty lines",
    "dirty clicks",
    "devices",
    "opt-outs",
)  # fmt: skip  new ones come last: each one's place is its seed


@dataclass(frozen=True)
class World:
    """What was asked for, and every part that was needed so far; moments are seconds since ``origin``."""

    count: int
    origin: np.datetime64
    days: int
    dirt: float
    seed: int

    def stream(self, name: str) -> np.random.Generator:
        """Return the random numbers of one part, from their beginning."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(STREAMS.index(name),)))

    def moments(self, seconds: Whole) -> Any:
        """Return seconds since the origin as moments."""
        return self.origin + seconds.astype("timedelta64[s]")

    @property
    def end(self) -> int:
        """The second at which the data end."""
        return self.days * laws.DAY_S

    @cached_property
    def clock(self) -> _Clock:
        """Calendar days, and days weighted by how well they sell."""
        return _season_clock(self.origin, self.days, laws.SEASONALITY)

    @cached_property
    def leads(self) -> SyntheticLeads:
        """The leads, of whom the converted ones become customers."""
        seed = int(self.stream("leads").integers(2**31))
        count = max(int(self.count * laws.LEADS_PER_CUSTOMER), 1)
        return make_leads(count, start=str(self.origin.astype("datetime64[D]")), days=self.days, random_state=seed)

    @cached_property
    def people(self) -> People:
        """The customers."""
        at = (self.leads.leads["converted_at"].to_numpy() - self.origin) / np.timedelta64(1, "s")
        won = np.where(np.isnan(at), -1, at).astype(np.int64)
        return draw_people(self.stream("people"), self.count, won, self.days)

    @cached_property
    def tickets(self) -> Tickets:
        """The tickets there would be if nobody left."""
        return draw_tickets(self.stream("tickets"), self.people, self.end)

    @cached_property
    def left(self) -> Whole:
        """When each customer leaves, however late."""
        return draw_departures(self.stream("departures"), self.people, self.tickets)

    @cached_property
    def gone(self) -> Whole:
        """When each customer leaves or the data end."""
        return np.minimum(self.left, self.end)

    @cached_property
    def visits(self) -> Visits:
        """The visits without an order."""
        return draw_visits(self.stream("visits"), self.people, self.gone)

    @cached_property
    def campaigns(self) -> list[Campaign]:
        """Who takes part in what."""
        rng = self.stream("assignment")
        return [assign(rng, name, self.people, self.days) for name in laws.CAMPAIGNS]

    @cached_property
    def outlooks(self) -> list[Outlook]:
        """What was to be expected of whoever takes part, campaign by campaign."""
        return [expect(one, self.people, self.visits, self.left, self.clock) for one in self.campaigns]

    @cached_property
    def contacts(self) -> ordering.Contacts:
        """The contacts and what they did."""
        return ordering.draw_contacts(self.stream("reactions"), self.campaigns, self.outlooks)

    @cached_property
    def settled(self) -> tuple[ordering.Orders, ordering.Orders]:
        """The orders placed, and those that contacts prevented; both by time."""
        habit = ordering.draw_habit(self.stream("habit"), self.people, self.gone, self.clock)
        visit, second = draw_triggered(self.stream("triggers"), self.visits, self.gone)
        cause = np.full(len(visit), ordering.VISIT)
        triggered = ordering.Orders(self.visits.customer[visit], second, cause, visit)
        return ordering.settle(habit, triggered, self.contacts, self.count)

    @property
    def orders(self) -> ordering.Orders:
        """The orders placed, by time."""
        return self.settled[0]

    @cached_property
    def catalogue(self) -> dict[str, Any]:
        """What is sold."""
        return _make_catalogue(self.stream("products"), laws.PRODUCT_COUNT)

    @cached_property
    def lines(self) -> Lines:
        """The clean order lines."""
        return draw_lines(self.stream("lines"), self.orders, self.contacts, self.people, self.catalogue)

    @cached_property
    def rows(self) -> dict[str, Any]:
        """The order lines as columns, by time, with dirt if asked for."""
        return order_lines(self)

    @cached_property
    def order_amounts(self) -> Real:
        """The amount of each order, without dirt."""
        return order_amounts(self.lines, len(self.orders.customer))

    @cached_property
    def mobile(self) -> Flags:
        """Who clicks on a mobile."""
        share = np.where(self.people.is_young, laws.MOBILE_SHARE[True], laws.MOBILE_SHARE[False])
        return self.stream("devices").random(self.count) < share

    @cached_property
    def sessions(self) -> Sessions:
        """The visits, and the sessions in which web orders are placed."""
        return draw_sessions(self.stream("clicks"), self)

    @cached_property
    def clicks(self) -> dict[str, Any]:
        """The clicks as columns, by time, with dirt if asked for."""
        return draw_clicks(self.stream("pages"), self)
