"""Tables of where revenue comes from, what changed it, when it comes, and what is to come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmlytics.exceptions import SchemaError
from crmlytics.report._customer_parts import attributes_at
from crmlytics.report._sources import CALLER, small
from crmlytics.tables import Customers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crmlytics.report._sources import Sources

DAYS_IN = {"7d": 7, "month": 30, "quarter": 91, "year": 365}
MOST_AHEAD = 6  # periods
LINE_ROLES, PRODUCT_ROLES = ("category", "channel", "partner_id"), ("department", "category", "tier")
CUSTOMER_ROLES = ("country", "region", "acquisition_channel")
LARGEST, MOVERS = 8, 3  # groups kept of a cut: by revenue, and by change
TRIAL = ["period_number", "absolute_error_share", "benchmark_absolute_error_share"]


def kpis(sources: Sources) -> Any:
    """Return ``kpi_table``."""
    from crmlytics.value import kpi_table

    return kpi_table(sources.orders, as_of=sources.as_of, period=sources.period)


def composition(sources: Sources) -> Any:
    """Return ``composition_table``."""
    from crmlytics.revenue import composition_table

    return composition_table(sources.orders, as_of=sources.as_of, period=sources.period)


def movements(sources: Sources) -> Any:
    """Return ``movement_table``."""
    from crmlytics.revenue import movement_table

    return movement_table(sources.orders, as_of=sources.as_of, period=sources.period)


def cohorts(sources: Sources) -> Any:
    """Return ``cohort_table``."""
    from crmlytics.revenue import cohort_table

    return cohort_table(sources.orders, as_of=sources.as_of, period=sources.period)


def bridge(sources: Sources) -> Any:
    """Return the last row of ``bridge_table`` between the two spans of the report, with ``span_days`` and ``lag``."""
    from crmlytics.revenue import bridge_table

    days, lag = sources.comparison
    table = small(bridge_table(sources.known, as_of=sources.as_of, period=f"{days}d", lag=lag))
    return table.tail(1).reset_index(drop=True).assign(span_days=days, lag=lag)


def cuts(sources: Sources) -> Any:
    """Return the groups that matter of ``revenue_cut_table``, for whatever can be cut by, told apart by ``by``."""
    import pandas as pd

    found = [_cut(sources, by, tables) for by, tables in _ways_to_cut(sources)]
    return pd.concat(found, ignore_index=True) if found else None


def forecast(sources: Sources) -> Any:
    """Return ``revenue_forecast_table`` for the horizon, with the errors of past forecasts beside it."""
    from crmlytics.revenue import forecast_evaluation_table, revenue_forecast_table

    periods = min(MOST_AHEAD, -(-sources.horizon_days // DAYS_IN[sources.period]))
    options: dict[str, Any] = {"as_of": sources.as_of, "period": sources.period, "horizon": periods}
    trial = small(forecast_evaluation_table(sources.orders, **options))[TRIAL]
    return small(revenue_forecast_table(sources.orders, **options)).merge(trial, on="period_number", how="left")


def months(sources: Sources) -> Any:
    """Return ``seasonality_table`` of the months."""
    return _season(sources, "month")


def weekdays(sources: Sources) -> Any:
    """Return ``seasonality_table`` of the days of the week."""
    return _season(sources, "weekday")


# -- inside --------------------------------------------------------------------------------------------------------


def _season(sources: Sources, of: str) -> Any:
    from crmlytics.revenue import seasonality_table

    table = small(seasonality_table(sources.orders, as_of=sources.as_of, of=of))
    if not table["is_reliable"].astype(bool).all():
        what, cycles = "year" if of == "month" else "week", int(table["cycle_count"].min())
        short, chance = f"only {cycles} whole {what} is known", f"in {cycles} whole {what}s no {of} surely differs"
        why = chance if cycles > 1 else short
        raise SchemaError(f"{CALLER}: {why}, so that a season cannot be told from growth or chance.")
    return table


def _ways_to_cut(sources: Sources) -> Iterator[tuple[str, dict[str, Any]]]:
    """Tell by which roles and attributes the data can be cut, and the table to look each up in."""
    lines, others = sources.known, sources.others
    there = [by for by in LINE_ROLES if lines.has(by)]
    yield from ((by, {}) for by in there)
    if "products" in others and lines.has("product_id"):
        found = [by for by in PRODUCT_ROLES if others["products"].has(by) and by not in there]
        yield from ((by, {"products": others["products"]}) for by in found[:1])  # the broadest
    if "customers" in others:
        roles = [by for by in CUSTOMER_ROLES if others["customers"].has(by)]
        table = Customers(others["customers"].to_native(attributes_at(sources).select("customer_id", *roles)))
        yield from ((by, {"customers": table}) for by in roles)
    if lines.has("product_id"):
        yield "product_id", {}


def _cut(sources: Sources, by: str, tables: dict[str, Any]) -> Any:
    """Cut the two spans of the report by a role: the largest groups, and those that moved most."""
    from crmlytics.revenue import revenue_cut_table

    days, lag = sources.comparison
    options: dict[str, Any] = {"as_of": sources.as_of, "period": f"{days}d", "lag": lag}
    table = small(revenue_cut_table(sources.known, by=by, **options, **tables))
    last = table[table["period_start"] == table["period_start"].max()]
    size, moved = last["total_amount"].astype(float), last["amount_change"].astype(float).abs()
    order = last.assign(_size=-size, _moved=-moved)
    kept = order.sort_values(["_size", "group"]).head(LARGEST).index.union(
        order.sort_values(["_moved", "group"]).head(MOVERS).index
    )  # fmt: skip
    rows = order.loc[kept].sort_values(["_size", "group"]).drop(columns=["_size", "_moved"])
    return rows.assign(by=by, group_count=len(last), span_days=days, lag=lag)
