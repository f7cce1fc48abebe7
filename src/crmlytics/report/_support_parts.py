"""Tables of support: volumes and times, what is open, marks and what goes with them, what customers do afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import collect
from crmlytics.report._sources import CALLER, QUARTER, small
from crmlytics.report._words import is_missing

if TYPE_CHECKING:
    from crmlytics.report._sources import Sources

KINDS = ("category", "priority", "channel")
MOST_CURVES = 4
FIVE, TEN = (1.0, 5.0), (0.0, 10.0)  # scales of marks
LOW = {FIVE: 2.0, TEN: 6.0}  # marks up to it are low ones


def tickets(sources: Sources) -> Any:
    """Return ``support_table`` of all tickets."""
    from crmlytics.support import support_table

    table = sources.other("tickets")
    return None if table is None else support_table(table, as_of=sources.as_of, scale=_scale(table))


def ticket_groups(sources: Sources) -> Any:
    """Return ``support_table`` by whatever tickets tell, one below the other."""
    import pandas as pd

    from crmlytics.support import support_table

    table = sources.other("tickets")
    ways = [] if table is None else [by for by in KINDS if table.has(by)]
    found = [small(support_table(table, as_of=sources.as_of, by=by, scale=_scale(table))) for by in ways]
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
    """Return ``satisfaction_table`` of all tickets, where they have marks."""
    from crmlytics.support import satisfaction_table

    table = sources.other("tickets", "satisfaction")
    return None if table is None else satisfaction_table(table, as_of=sources.as_of, scale=_scale(table))


def satisfaction_drivers(sources: Sources) -> Any:
    """Return ``satisfaction_driver_table``, where tickets have marks."""
    from crmlytics.support import satisfaction_driver_table

    table = sources.other("tickets", "satisfaction")
    return None if table is None else satisfaction_driver_table(table, as_of=sources.as_of)


def ticket_outcomes(sources: Sources) -> Any:
    """Return ``ticket_outcome_table`` for a quarter, or the longest span that fits, with ``horizon_days``."""
    from crmlytics.support import ticket_outcome_table

    table = sources.other("tickets", "customer_id")
    if table is None:
        return None
    days = sources.span(2, longest=QUARTER)
    found = ticket_outcome_table(
        table, sources.known, as_of=sources.as_of, horizon=f"{days}d", low_mark=LOW[_scale(table)]
    )
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


def _scale(table: Any) -> tuple[float, float]:
    """Tell the scale of the marks: 1 to 5 where all lie in it, else 0 to 10."""
    if not table.has("satisfaction"):
        return FIVE
    mark = nw.col("satisfaction")
    low, high = collect(table.need("satisfaction", caller=CALLER).select(low=mark.min(), high=mark.max())).row(0)
    return FIVE if is_missing(low) or (low >= FIVE[0] and high <= FIVE[1]) else TEN
