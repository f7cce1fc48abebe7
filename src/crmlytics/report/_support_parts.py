"""Tables of support: volumes and times, what is open, marks and what goes with them, what customers do afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._validation import warn
from crmlytics.report._sources import CALLER, QUARTER, small

if TYPE_CHECKING:
    from crmlytics.report._sources import Sources
    from crmlytics.support._marks import Scale

KINDS = ("category", "priority", "channel")
MOST_CURVES = 4


def tickets(sources: Sources) -> Any:
    """Return ``support_table`` of all tickets, with the scale: ``lowest_mark`` and ``highest_mark``."""
    from crmlytics.support import support_table

    table, scale = _marked(sources)
    if table is None:
        return None
    found = small(support_table(table, as_of=sources.as_of, scale=scale))
    return found.assign(lowest_mark=scale[0], highest_mark=scale[1])


def ticket_groups(sources: Sources) -> Any:
    """Return ``support_table`` by whatever tickets tell, one below the other."""
    import pandas as pd

    from crmlytics.support import support_table

    table, scale = _marked(sources)
    ways = [] if table is None else [by for by in KINDS if table.has(by)]
    found = [small(support_table(table, as_of=sources.as_of, by=by, scale=scale)) for by in ways]
    return pd.concat(found, ignore_index=True) if found else None


def resolution(sources: Sources) -> Any:
    """Return ``resolution_curve_table`` by priority where there are few, else of all tickets."""
    from crmlytics.support import resolution_curve_table

    table = sources.other("tickets")
    if table is None:
        return None
    if table.has("priority"):
        curves = small(resolution_curve_table(table, as_of=sources.as_of, by="priority"))
        if curves["group"].nunique() <= MOST_CURVES:
            return curves
    return resolution_curve_table(table, as_of=sources.as_of)


def backlog(sources: Sources) -> Any:
    """Return ``backlog_table`` by the periods of the report."""
    from crmlytics.support import backlog_table

    table = sources.other("tickets")
    return None if table is None else backlog_table(table, as_of=sources.as_of, period=sources.period)


def satisfaction(sources: Sources) -> Any:
    """Return ``satisfaction_table`` of all tickets, where they have marks; tell of an unusual scale, or of none."""
    from crmlytics.support import satisfaction_table
    from crmlytics.support._marks import USUAL_SCALES

    table = sources.other("tickets", "satisfaction")
    if table is None:
        return None
    scale = _scale(sources) or USUAL_SCALES[-1]
    found = satisfaction_table(table, as_of=sources.as_of, scale=scale)
    if scale != USUAL_SCALES[0]:
        warn(f"{CALLER}: marks are read as {scale[0]:g} to {scale[1]:g}, the first usual scale that holds them all.")
    return found


def satisfaction_drivers(sources: Sources) -> Any:
    """Return ``satisfaction_driver_table``, where tickets have marks."""
    from crmlytics.support import satisfaction_driver_table

    is_marked = _scale(sources) is not None
    return satisfaction_driver_table(sources.other("tickets"), as_of=sources.as_of) if is_marked else None


def ticket_outcomes(sources: Sources) -> Any:
    """Return ``ticket_outcome_table`` for a quarter, or the longest span that fits, with ``horizon_days``."""
    from crmlytics.support import ticket_outcome_table

    table, scale = _marked(sources, "customer_id")
    if table is None:
        return None
    days = sources.span(2, longest=QUARTER)
    found = ticket_outcome_table(table, sources.known, as_of=sources.as_of, horizon=f"{days}d", scale=scale)
    return small(found).assign(horizon_days=days)


def waiting(sources: Sources) -> Any:
    """Return ``at_risk_table``, a customer's value being the revenue so far."""
    from crmlytics.support import at_risk_table

    table = sources.other("tickets", "customer_id")
    if table is None:
        return None
    lines = sources.orders.need("customer_id", "amount", caller=CALLER)
    worth = sources.orders.to_native(lines.group_by("customer_id").agg(total_amount=nw.col("amount").sum()))
    return at_risk_table(table, as_of=sources.as_of, values=worth, value="total_amount")


def workload(sources: Sources) -> Any:
    """Return ``workload_table`` by day, with the verdict on such forecasts in the past."""
    from crmlytics.support import workload_evaluation_table, workload_table

    table = sources.other("tickets")
    if table is None:
        return None
    trial = small(workload_evaluation_table(table, as_of=sources.as_of)).iloc[0]
    ahead = small(workload_table(table, as_of=sources.as_of))
    return ahead.assign(error_ratio=trial["error_ratio"], verdict=trial["verdict"])


# -- inside --------------------------------------------------------------------------------------------------------


def _marked(sources: Sources, *roles: str) -> tuple[Any, Scale]:
    """Return the tickets with the scale of their marks; without marks that fit none."""
    from crmlytics.support._marks import USUAL_SCALES

    table, scale = sources.other("tickets", *roles), _scale(sources)
    is_unfit = table is not None and scale is None
    return replace(table, satisfaction=None) if is_unfit else table, scale or USUAL_SCALES[0]


def _scale(sources: Sources) -> Scale | None:
    """Return the first usual scale that holds all marks known, None where none does or there are no marks."""
    from crmlytics.support._marks import scale_of
    from crmlytics.support._reading import read_tickets

    table = sources.other("tickets", "satisfaction")
    return None if table is None else scale_of(read_tickets(table, as_of=sources.as_of, caller=CALLER).mark)
