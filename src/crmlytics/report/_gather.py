"""Compute once, on the caller's engine, the small tables that sections are written from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import collect, to_pandas
from crmlytics._validation import as_moment
from crmlytics.exceptions import SchemaError
from crmlytics.report._context import Context
from crmlytics.report._slipping import watch_table

if TYPE_CHECKING:
    import datetime as dt

    from crmlytics.tables import Transactions

CALLER = "write_report"
PERIODS = ((100, "7d"), (1100, "month"), (3650, "quarter"))  # up to so many days of orders: at most some 36 periods
CURVE = tuple(n / 100 for n in range(1, 101))
NEEDED = ("customer_id", "order_id", "timestamp", "amount")


def gather(
    transactions: Transactions,
    *,
    as_of: dt.datetime,
    horizon_days: int,
    margin: float | None = None,
    scorecard: Any = None,
    currency: str = "",
) -> Context:
    """Reduce the order lines, of any engine and size, to what fits a page."""
    from crmlytics import revenue, rfm, value
    from crmlytics.scorecard import score_customers

    known = transactions.before(as_of)
    first_day, last_day = _days(known, as_of)
    if scorecard is None:
        scorecard = score_customers(transactions, as_of=as_of, horizon=f"{horizon_days}d", margin=margin)
    period = next((name for days, name in PERIODS if (as_of.date() - first_day).days <= days), "year")
    options: dict[str, Any] = {"as_of": as_of, "period": period}
    scores = _pandas(scorecard.scores)
    tables = {
        "audit": _pandas(known.audit),
        "scores": scores,
        "guide": _pandas(scorecard.guide),
        "evaluation": _pandas(scorecard.evaluation),
        "watch": watch_table(scores, horizon_days=horizon_days),
        "segments": _pandas(rfm.segment_table(scores)),
        "kpis": _pandas(value.kpi_table(known, **options)),
        "movements": _pandas(revenue.movement_table(known, **options)),
        "cohorts": _pandas(revenue.cohort_table(known, **options)),
        "concentration": _or_none(value.concentration_table, known, as_of=as_of, top_shares=CURVE),
    }
    return Context(
        tables={name: table for name, table in tables.items() if table is not None},
        as_of=as_of,
        horizon_days=horizon_days,
        currency=currency,
        first_day=first_day,
        last_day=last_day,
    )


def _days(known: Transactions, as_of: dt.datetime) -> tuple[dt.date, dt.date]:
    """Return the first and the last day with a line before ``as_of``."""
    moment = nw.col("timestamp")
    lines = known.need(*NEEDED, caller=CALLER)
    first, last = collect(lines.select(first=moment.min(), last=moment.max())).row(0)
    if first is None or first != first:  # noqa: PLR0124  NaT
        msg = f"{CALLER}: no line lies before as_of={as_of:%Y-%m-%d}. Check as_of and the data."
        raise SchemaError(msg)
    return as_moment(first, caller=CALLER).date(), as_moment(last, caller=CALLER).date()


def _pandas(table: Any) -> Any:
    return None if table is None else to_pandas(table, caller=CALLER)


def _or_none(build: Any, *inputs: Any, **options: Any) -> Any:
    """Build a table, or None where the data do not allow it, such as shares of a total below zero."""
    try:
        return _pandas(build(*inputs, **options))
    except SchemaError:
        return None
