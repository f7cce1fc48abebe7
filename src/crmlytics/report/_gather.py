"""Compute once, on the caller's engine, the small tables that sections are written from."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

from crmlytics.exceptions import DataQualityWarning, SchemaError
from crmlytics.report._context import Context
from crmlytics.report._parts import PARTS
from crmlytics.report._slipping import watch_table
from crmlytics.report._sources import Sources, added_up, bound, known_before, small

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from crmlytics.report._parts import Part
    from crmlytics.tables import Transactions

LEFT_OUT, CAUTION = "left out", "with caution"
ARGUMENT = re.compile(r'^\w+="[^"]*" ')
AS_OF = re.compile(r"as_of(=[\d-]+( [\d:]+)?)?")
CALLED = re.compile(r"^[\w.]+(\([^)]*\))?: ")  # "bridge_table: ..." opens a message for those who program


def gather(
    transactions: Transactions,
    *,
    as_of: dt.datetime,
    horizon_days: int,
    margin: float | None = None,
    scorecard: Any = None,
    currency: str = "",
    costs: Mapping[str, float] | None = None,
    quotas: Any = None,
    **others: Any,
) -> Context:
    """Reduce the order lines, of any engine and size, and the tables beside them to what fits a page."""
    from crmlytics.scorecard import score_customers

    known, first_day, last_day = known_before(transactions, as_of)
    tables = bound(others, transactions, as_of)
    if scorecard is None:
        options: dict[str, Any] = {"as_of": as_of, "horizon": f"{horizon_days}d", "margin": margin, "costs": costs}
        options |= {name: table for name, table in tables.items() if name != "events"}
        scorecard = score_customers(transactions, **options)
    scores = small(scorecard.scores)
    sources = Sources(
        known, added_up(known), scores, tables, quotas, _contribution(known, costs, tables, as_of), as_of,
        horizon_days, first_day=first_day, last_day=last_day, margin=margin,
    )  # fmt: skip
    found = {
        "audit": small(known.audit),
        "scores": scores,
        "guide": small(scorecard.guide),
        "evaluation": small(scorecard.evaluation),
        "watch": watch_table(scores, horizon_days=horizon_days),
    } | parts_of(sources)
    return Context(
        tables={name: table for name, table in found.items() if table is not None},
        as_of=as_of,
        horizon_days=horizon_days,
        currency=currency,
        first_day=first_day,
        last_day=last_day,
    )


def _contribution(
    known: Transactions, costs: Mapping[str, float] | None, tables: Mapping[str, Any], as_of: dt.datetime
) -> Any:
    """Say what each customer leaves over, where a cost is known; None where none is."""
    from crmlytics.scorecard._part import served
    from crmlytics.value import contribution_table

    counted = served(tables, costs)
    if costs is None and not counted and not known.has("cost"):
        return None
    return small(contribution_table(known, as_of=as_of, costs=costs or {}, **counted))


def parts_of(sources: Sources) -> dict[str, Any]:
    """Make every part that the data allow, and the table ``notes`` of the others: ``part``, ``outcome``, ``reason``."""
    import pandas as pd

    found: dict[str, Any] = {}
    notes: list[tuple[str, str, str]] = []
    for part in PARTS:
        try:
            found[part.name], cautions = _made(part, sources)
            notes += [(part.words, CAUTION, _readable(text)) for text in cautions]
        except SchemaError as refusal:
            if part.is_needed:
                raise
            notes.append((part.words, LEFT_OUT, _readable(str(refusal))))
    found["notes"] = pd.DataFrame(notes, columns=["part", "outcome", "reason"]) if notes else None
    return found


def _made(part: Part, sources: Sources) -> tuple[Any, list[str]]:
    """Make a part; what it warns of is written on the page and said nowhere else."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", DataQualityWarning)
        table = small(part.make(sources))
    for one in said:
        if not issubclass(one.category, DataQualityWarning):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    texts = [str(one.message) for one in said if issubclass(one.category, DataQualityWarning)]
    return table, list(dict.fromkeys(texts))


def _readable(message: str) -> str:
    """Return what a message says, without who says it and what to type: the first sentence."""
    text = ARGUMENT.sub("it ", CALLED.sub("", message).split(". ")[0].rstrip("."))
    text = AS_OF.sub("the date of this report", text)
    return text[:1].upper() + text[1:] + "."
