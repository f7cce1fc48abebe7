"""The tables of the report, one line each: what it is called, what it is in words, and how it is made.

A table is made from :class:`~crmlytics.report._sources.Sources`. None means that nothing was given to make it from, and
is not spoken of; a ``SchemaError`` is a refusal, which the page tells in "How far to trust it".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crmlytics.report import _customer_parts as of_customers
from crmlytics.report import _revenue_parts as of_revenue
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
)
