"""The tables of the report, one line each: what it is called, what it is in words, and how it is made.

A table is made from :class:`~crmlytics.report._sources.Sources`. None means that nothing was given to make it from, and
is not spoken of; a ``SchemaError`` is a refusal, which the page tells in "How far to trust it".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crmlytics.report import _channel_parts as of_channels
from crmlytics.report import _customer_parts as of_customers
from crmlytics.report import _partner_parts as of_partners
from crmlytics.report import _revenue_parts as of_revenue
from crmlytics.report import _support_parts as of_support
from crmlytics.report import _value_parts as of_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from crmlytics.report._sources import Sources


@dataclass(frozen=True, slots=True)
class Part:
    """A table of the report.

    Attributes
    ----------
    name : str
        What sections ask for: ``context.table(name)``.
    words : str
        What it is, for those who read the page.
    make : function of Sources
        Returns a table of any engine, or None.
    is_needed : bool
        Whether there is no page without it.
    """

    name: str
    words: str
    make: Callable[[Sources], Any]
    is_needed: bool = False


PARTS = (
    Part("segments", "Segments", of_customers.segments, is_needed=True),
    Part("stages", "Stages of life", of_customers.stages),
    Part("stage_moves", "Moves between stages", of_customers.stage_moves),
    Part("behaviour", "Segments by behaviour", of_customers.behaviour),
    Part("best", "What sets the best customers apart", of_customers.best),
    Part("concentration", "Concentration of revenue", of_value.concentration),
    Part("pareto", "The interval of the concentration", of_value.pareto),
    Part("windows", "Concentration by length of time", of_value.windows),
    Part("whale", "What customers leave over", of_value.whale),
    Part("whale_sides", "Earning and losing customers", of_value.whale_sides),
    Part("value_groups", "Value now and expected", of_value.value_groups),
    Part("value_moves", "Moves between levels of value", of_value.value_moves),
    Part("kpis", "Figures by period", of_revenue.kpis, is_needed=True),
    Part("composition", "Revenue by kind of customer", of_revenue.composition, is_needed=True),
    Part("movements", "Movements of customers", of_revenue.movements, is_needed=True),
    Part("cohorts", "Cohorts", of_revenue.cohorts, is_needed=True),
    Part("bridge", "What changed revenue", of_revenue.bridge),
    Part("cuts", "Revenue by group", of_revenue.cuts),
    Part("forecast", "Forecast by period", of_revenue.forecast),
    Part("months", "Months of the year", of_revenue.months),
    Part("weekdays", "Days of the week", of_revenue.weekdays),
    Part("channels", "Channels", of_channels.channels),
    Part("channel_customers", "Customers won by each channel", of_channels.channel_customers),
    Part("channel_moves", "Moves between channels", of_channels.channel_moves),
    Part("multichannel", "Customers of several channels", of_channels.multichannel),
    Part("preferred_channels", "Preferred channels", of_channels.preferred_channels),
    Part("touchpoints", "What is touched around an order", of_channels.touchpoints),
    Part("credit", "Credit of channels", of_channels.credit),
    Part("partners", "Partners", of_partners.partners),
    Part("partner_concentration", "Concentration on partners", of_partners.partner_concentration),
    Part("partner_dependence", "What hangs on each partner", of_partners.partner_dependence),
    Part("partner_customers", "Customers brought by each partner", of_partners.partner_customers),
    Part("partner_credit", "Part of partners in sales", of_partners.partner_credit),
    Part("quotas", "Quotas", of_partners.quotas, is_needed=True),
    Part("tickets", "Tickets", of_support.tickets),
    Part("ticket_groups", "Tickets by kind", of_support.ticket_groups),
    Part("resolution", "Time to resolution", of_support.resolution),
    Part("backlog", "Open tickets by period", of_support.backlog),
    Part("satisfaction", "Satisfaction with support", of_support.satisfaction),
    Part("satisfaction_drivers", "What goes with satisfaction", of_support.satisfaction_drivers),
    Part("ticket_outcomes", "What customers do after a ticket", of_support.ticket_outcomes),
    Part("waiting", "Customers who wait", of_support.waiting),
    Part("workload", "Tickets to come", of_support.workload),
)
