"""Who is in which segment: a table that the caller brings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import check_same_kind, columns_of, enter, in_words
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.tables import Customers

if TYPE_CHECKING:
    from crmlytics._contract import Contract


def enter_segments(segments: Any, table: Contract, *, caller: str) -> nw.LazyFrame[Any]:
    """Bring in who is in which segment; a customer without a segment is left out."""
    customers, lines = _customers(segments, caller=caller), type(table).__name__.lower()
    check_same_kind({"segments": customers.engine, lines: table.engine}, caller=caller)
    found, wanted = customers.id_kind("customer_id"), table.id_kind("customer_id")
    if found != wanted:
        msg = (
            f"{caller}: customer_id is {found} in segments and {wanted} in {lines}. "
            "Give both the same kind, for example with .astype(str) on both sides."
        )
        raise SchemaError(msg)
    plan = customers.need("customer_id", "segment", caller=caller)
    kind = plan.collect_schema()["segment"]
    return plan.select("customer_id", label("segment", kind)).filter(~nw.col("segment").is_null())


def label(name: str, kind: Any) -> nw.Expr:
    """Read segments as text: True, and 3 for numbers that came as 3.0 since some are missing."""
    if kind == nw.Boolean:
        return in_words(name)
    text = nw.col(name).cast(nw.String)
    return text.str.replace_all(r"\.0$", "") if kind.is_float() else text


def _customers(segments: Any, *, caller: str) -> Customers:
    if isinstance(segments, Customers):
        names = [name for name in ("customer_id", "segment") if segments.has(name)]
    else:
        names = columns_of(enter(segments, caller=caller)[0])
    missing = [name for name in ("customer_id", "segment") if name not in names]
    if missing:
        msg = f"{caller}: segments needs the columns {missing}, got {names}. One row per customer."
        raise MissingColumnsError(msg)
    return Customers.bind(segments)
