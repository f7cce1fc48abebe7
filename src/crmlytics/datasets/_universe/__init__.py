"""One made customer base, linked from the first lead to the last order, of which everything is known."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from crmlytics._validation import as_moment, check_count
from crmlytics.datasets._universe._laws import LEAST_DAYS
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    import datetime as dt

    import pandas as pd

    from crmlytics.datasets._universe._world import World

CALLER = "make_universe"


@dataclass(frozen=True, repr=False, eq=False)
class SyntheticUniverse:
    """A made customer base and the truth behind it; every table is a pandas DataFrame.

    A table is made when it is first asked for, with the parts that it hangs on, and kept: whoever needs orders and
    contacts does not wait for clicks. What is made does not depend on what was asked for before. Customers are Int64
    numbers from 1; moments are in microseconds, money in one currency.

    The tables an analyst sees, under the names of the contracts: ``customers``, ``products``, ``partners``,
    ``transactions``, ``events``, ``tickets``, ``contacts``, ``leads``, ``stage_history``, ``subscriptions``. The
    truth: ``lines``, ``event_lines`` (row by row beside ``transactions`` and ``events``), ``customer_truth``,
    ``ticket_truth``, ``lead_truth``, ``orders``, ``prevented_orders``, ``sessions``, ``uplifts``, ``average_effects``,
    ``channel_effects``, ``effects``.
    """

    _world: World

    def __repr__(self) -> str:
        """Say what was made, without making it."""
        world = self._world
        dirt = f", {world.dirt:.1%} of lines and clicks dirty" if world.dirt else ""
        day = world.origin.astype("datetime64[D]")
        return f"SyntheticUniverse({world.count:,} customers, {world.days:,} days from {day}{dirt})"

    @cached_property
    def customers(self) -> pd.DataFrame:
        """Who the customers are, one row each.

        ``customer_id``, ``joined_at`` (the moment of the first order), ``segment``, ``region``, ``household``, ``age``
        (years when the data begin), ``birthday``, ``income_amount`` (moves nothing), ``acquisition_channel``,
        ``acquisition_cost``, ``partner_id`` (the dealer who serves the customer), ``consent`` (to be contacted, as
        said on joining). Every customer there will ever be is a row: who had joined by a day, and no others,
        ``Customers(customers, valid_from="joined_at")`` gives to functions that ask for the state of a day.
        """
        from crmlytics.datasets._universe import _tables

        return _tables.customers(self._world)

    @cached_property
    def products(self) -> pd.DataFrame:
        """What is sold, one row a product: ``product_id``, ``category``, ``price``, ``cost`` (usual, of one unit)."""
        from crmlytics.datasets._universe import _tables

        return _tables.products(self._world)

    @cached_property
    def partners(self) -> pd.DataFrame:
        """The dealers, one row each: ``partner_id``, ``region``.

        Premium customers more often go to the first of a region.
        """
        from crmlytics.datasets._universe import _tables

        return _tables.partners(self._world)

    @cached_property
    def transactions(self) -> pd.DataFrame:
        """The order lines, by time.

        ``customer_id``, ``order_id`` (text; with dirt ``C...`` cancels ``...``), ``timestamp``, ``product_id``,
        ``category``, ``quantity``, ``list_price``, ``unit_price`` (less discounts), ``amount`` (quantity x unit_price),
        ``discount_amount``, ``cost`` (both of the line), ``channel`` ("store" or "web"), ``partner_id``.
        """
        from crmlytics.datasets._universe import _lines

        return _lines.transactions(self._world)

    @cached_property
    def lines(self) -> pd.DataFrame:
        """The truth of each row of ``transactions``.

        ``dirt`` ("clean", "missing_customer", "duplicate", "zero_price", "negative_price", "cancelled",
        "cancellation"), ``true_customer_id``, ``true_order_id``.
        """
        from crmlytics.datasets._universe import _lines

        return _lines.line_truth(self._world)

    @cached_property
    def events(self) -> pd.DataFrame:
        """The clicks, by time.

        ``customer_id``, ``timestamp``, ``event`` (the kind of page), ``session_id``, ``channel`` (of the session),
        ``device``, ``amount`` (of a purchase, else missing), ``cost`` (of the click that began the session, else 0).
        """
        from crmlytics.datasets._universe import _clicks

        return _clicks.events(self._world)

    @cached_property
    def event_lines(self) -> pd.DataFrame:
        """The truth of each row of ``events``.

        ``dirt`` ("clean", "missing_customer", "duplicate"), ``true_customer_id``.
        """
        from crmlytics.datasets._universe import _clicks

        return _clicks.event_truth(self._world)

    @cached_property
    def tickets(self) -> pd.DataFrame:
        """What customers asked support, by time of opening, as it stands at the end of the data.

        ``ticket_id``, ``customer_id``, ``opened_at``, ``first_reply_at``, ``closed_at``, ``reopened_at`` (missing where
        it did not happen before the end), ``category``, ``priority``, ``channel``, ``satisfaction`` (1 to 5, of some).
        """
        from crmlytics.datasets._universe import _tables

        return _tables.tickets(self._world)

    @cached_property
    def contacts(self) -> pd.DataFrame:
        """Whom campaigns contacted or held out, by time.

        ``customer_id``, ``campaign_id``, ``timestamp`` (of the control group: of the assignment), ``channel`` (missing
        for the control group), ``arm``, ``responded`` (booked as a response: never of the control group), ``cost``,
        ``consent`` (the answer: false of who opted out, else missing; only the last campaign, ``"autumn"``, could be
        answered so).
        """
        from crmlytics.datasets._universe import _tables

        return _tables.contacts(self._world)

    @cached_property
    def leads(self) -> pd.DataFrame:
        """The leads of ``make_leads``, and the ``customer_id`` (Int64) that those who converted became."""
        from crmlytics.datasets._universe import _tables

        return _tables.leads(self._world)

    @cached_property
    def stage_history(self) -> pd.DataFrame:
        """The changes of stage of leads, by time: ``lead_id``, ``timestamp``, ``stage``, ``reason``."""
        return self._world.leads.stage_history

    @cached_property
    def subscriptions(self) -> pd.DataFrame:
        """Memberships of the club, one row each: ``customer_id``, ``plan``, ``price``, ``started_at``, ``ended_at``.

        They are paid by thirty days, and end with the period in which the customer leaves.
        """
        from crmlytics.datasets._universe import _tables

        return _tables.subscriptions(self._world)

    @cached_property
    def customer_truth(self) -> pd.DataFrame:
        """What was planted in each customer.

        ``customer_id``, ``lead_id`` (Int64, missing for who was none), ``response_type``, ``is_deal_seeker`` (takes
        discounts more often), ``weekly_order_rate`` (of habit orders, while a customer), ``mean_order_amount``
        (expected, outside campaigns), ``yearly_hazard`` (of leaving, before any bad ticket), ``dropped_out_at``
        (missing for who is still a customer at the end).
        """
        from crmlytics.datasets._universe import _truth

        return _truth.customer_truth(self._world)

    @cached_property
    def ticket_truth(self) -> pd.DataFrame:
        """Which tickets went badly: ``ticket_id``, ``is_bad``."""
        from crmlytics.datasets._universe import _truth

        return _truth.ticket_truth(self._world)

    @cached_property
    def lead_truth(self) -> pd.DataFrame:
        """The truth of each lead, as ``make_leads`` gives it."""
        return self._world.leads.truth

    @cached_property
    def orders(self) -> pd.DataFrame:
        """What caused each order, by time.

        ``order_id``, ``customer_id``, ``timestamp``, ``cause`` ("joining", "habit", "visit", "contact"),
        ``campaign_id`` and ``arm`` (of a contact that brought it), ``visit_session_id`` (of a visit that triggered it),
        ``session_id`` (in which it was placed; missing for stores).
        """
        from crmlytics.datasets._universe import _truth

        return _truth.orders(self._world)

    @cached_property
    def prevented_orders(self) -> pd.DataFrame:
        """The orders that a contact prevented, by time.

        ``customer_id``, ``timestamp`` (when it would have been placed), ``reason`` ("annoyed", "pulled forward"),
        ``campaign_id``, ``arm``.
        """
        from crmlytics.datasets._universe import _truth

        return _truth.prevented_orders(self._world)

    @cached_property
    def sessions(self) -> pd.DataFrame:
        """The sessions on the web, by beginning.

        ``session_id``, ``customer_id``, ``started_at``, ``channel``, ``order_id`` (placed in it),
        ``triggered_order_id`` (placed because of it, days later).
        """
        from crmlytics.datasets._universe import _clicks

        return _clicks.session_truth(self._world)

    @cached_property
    def uplifts(self) -> pd.DataFrame:
        """What each arm would do to each customer of a campaign, by ``campaign_id``, ``arm`` and ``customer_id``.

        ``is_assigned`` (to this arm), ``response_type``; then what is expected of the window without a contact and what
        the arm adds to it: ``control_`` and ``uplift_probability`` (of any order), ``_order_count``,
        ``_revenue_amount`` and ``_margin_amount`` (revenue less goods, before the cost of the contact);
        ``uplift_later_order_count`` (in the thirty days after the window: orders pulled forward),
        ``contact_cost_amount``.
        """
        from crmlytics.datasets._universe import _truth

        return _truth.uplifts(self._world)

    @cached_property
    def average_effects(self) -> pd.DataFrame:
        """Average effects of each arm of a campaign, by ``campaign_id`` and ``arm``.

        ``customer_count`` (of the campaign, all arms), ``assigned_count`` (of this arm), the means of ``uplifts`` over
        all customers of the campaign, ``assigned_uplift_probability`` (over those of this arm), and
        ``planted_uplift_probability`` (in the population, of a customer who stays).
        """
        from crmlytics.datasets._universe import _truth

        return _truth.average_effects(self._world)

    @cached_property
    def channel_effects(self) -> pd.DataFrame:
        """What visits through each channel brought.

        ``channel``, ``visit_count`` (sessions without an order), ``order_probability`` (planted, that a visit triggers
        an order), ``incremental_order_count`` and ``incremental_revenue_amount`` (of the orders that visits triggered).
        """
        from crmlytics.datasets._universe import _truth

        return _truth.channel_effects(self._world)

    @cached_property
    def effects(self) -> pd.DataFrame:
        """The planted coefficients, one row each.

        ``outcome`` (what is moved, and on which scale), ``table``, ``column``, ``level``, ``effect``.
        """
        from crmlytics.datasets._universe import _truth

        return _truth.effects(self._world)


def make_universe(
    *,
    customers: int = 10_000,
    start: str | dt.date | dt.datetime = "2024-01-01",
    days: int = 540,
    dirt: float = 0.0,
    random_state: int = 0,
) -> SyntheticUniverse:
    r"""Make a customer base in which everything hangs together, and keep the truth.

    Leads become customers, customers order by habit and after visits to the web shop, ask support, take part in
    campaigns with a control group dealt at random, and leave. Each of this has planted causes, and what was caused is
    in the tables: an order that a contact brought is a row of ``transactions``, and the truth knows which.

    Parameters
    ----------
    customers : int
        How many, at least 1.
    start, days : date, int
        The first day of the data and their length, at least 365; nothing at or after ``start + days`` is known.
    dirt : float
        Share of order lines and of clicks that are spoilt, 0 to 1. Of n order lines a fifth of the share each
        (exactly ``round(dirt / 5 * n)``) lose their customer, come twice, get a price of zero or a negative price, or
        are cancelled by a further line; of n clicks a half each (``round(dirt / 2 * n)``) lose their customer or come
        twice. The clean rows and the rest of the truth stay as they are without dirt.
    random_state : int
        Seed; the same arguments give the same tables.

    Returns
    -------
    SyntheticUniverse
        Tables that the contracts take as they are, and the truth; each is made when it is asked for.

    Raises
    ------
    SchemaError
        If an argument is out of its range.

    Notes
    -----
    All coefficients are in ``effects``. What was planted:

    Joining
        A lead that converts is a customer within a day; all others join in the first half of the days. Joining is the
        first order.
    Orders of habit
        Poisson, with a Gamma distributed rate times :math:`\exp` of the effects of segment and response type, in a
        yearly wave. Amounts are Gamma distributed around a mean of the customer, which moves with segment and partner;
        customers are not dealt to partners at random. Some orders are discounted by 15 %, those of deal seekers more
        often. Goods cost 60 % of the list price on average.
    Leaving
        The hazard is :math:`h_0 \exp(x'\beta + 0.7 \min(b(t), 3))`: segment, acquisition channel, partner, deal
        seekers, and the number :math:`b(t)` of bad tickets closed before t. Bad tickets are answered late and marked
        low. Whoever has left neither orders, visits nor asks, and no contact brings anything.
    Visits
        A visit triggers an order with the planted probability of its channel, half a day to seven days later; visits
        add up, so the incremental orders of a channel are those that its visits triggered. Orders on the web are
        placed in a session of their own, of customers who come directly or through a search ad whatever made them
        order: who credits the last click credits the search ad.
    Campaigns
        Everyone who consents and has been a customer for thirty days takes part; arms get exact shares, at random. An
        arm adds :math:`\tau` to the probability :math:`p_0` of any order from the contact to the end of thirty
        calendar days: persuadables are brought an order with probability :math:`\tau / (1 - p_0)`, sleeping dogs stay
        away in the window with probability :math:`-\tau / p_0`, and sure things and lost causes do what they do
        anyway (:math:`\tau = 0`, as for who leaves within the window). What makes a persuadable is age, household and
        segment. Orders brought come soon: a truncated exponential with a scale of seven days. With
        discounts, all orders of the window are cheaper. Three in ten orders brought are pulled forward:
        the next order of habit in the thirty days after the window is not placed. Some whom the last campaign contacts
        opt out, sleeping dogs most often; they are not contacted again.

    ``uplifts`` holds expectations, given the customer, the visits and when the customer leaves. Their mean over a
    campaign, in ``average_effects``, is what a comparison with the control group estimates.

    References
    ----------
    Radcliffe & Surry (2011). Real-world uplift modelling with significance-based uplift trees (the four types).
    Neyman (1923), Rubin (1974). Potential outcomes.

    Examples
    --------
    >>> made = make_universe(customers=500, random_state=1)
    >>> made
    SyntheticUniverse(500 customers, 540 days from 2024-01-01)
    >>> made.orders["cause"].value_counts().to_dict()
    {'habit': ..., 'joining': 500, 'visit': ..., 'contact': ...}
    >>> made.contacts.groupby(["campaign_id", "arm"]).size()["summer"].to_dict()
    {'control': ..., 'email': ...}
    """
    import numpy as np

    from crmlytics.datasets._universe._world import World

    check_count(customers, name="customers", caller=CALLER)
    check_count(days, name="days", caller=CALLER, least=LEAST_DAYS)
    check_count(random_state, name="random_state", caller=CALLER, least=0)
    if isinstance(dirt, bool) or not isinstance(dirt, numbers.Real) or not 0 <= float(dirt) <= 1:
        raise SchemaError(f"{CALLER}: dirt must be a share between 0 and 1, such as dirt=0.05, got {dirt!r}.")
    origin = np.datetime64(as_moment(start, name="start", caller=CALLER).date(), "us")
    return SyntheticUniverse(World(customers, origin, days, float(dirt), random_state))
