"""Who customers are: the attributes on record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import collect
from crmlytics._validation import warn
from crmlytics.scorecard._part import Column, Part
from crmlytics.snapshots._customers import customer_features

if TYPE_CHECKING:
    from crmlytics.scorecard._part import Request

AS_OF_THEN = "As on record just before {as_of:%Y-%m-%d}."
AS_OF_EXPORT = "As given: on record on the day of your export, which may be later than {as_of:%Y-%m-%d}."


def attributes_part(request: Request, scores: nw.DataFrame[Any]) -> Part | None:
    """Return the attributes of the table of customers, under their own names; None without one."""
    customers = request.customers
    if customers is None:
        return None
    table = collect(customer_features(customers, request.as_of))
    taken = sorted(set(table.columns) & set(scores.columns) - {"customer_id"})
    if taken:
        warn(f"scorecard: it makes {taken} itself, so those of customers are left out. Rename them there to keep them.")
        table = table.drop(taken)
    certainty = (AS_OF_THEN if customers.has("valid_from") else AS_OF_EXPORT).format(as_of=request.as_of)
    columns = [
        Column(name, f"Attribute {name!r} of the table of customers; empty for who is not in it",
               "text" if kind == nw.String else "number", certainty)
        for name, kind in table.schema.items() if name != "customer_id"
    ]  # fmt: skip
    return Part(table, tuple(columns))
