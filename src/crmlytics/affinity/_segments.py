"""Who is in which segment: a table that the caller brings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import collect, columns_of, enter, id_column
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from crmlytics.tables import Transactions


def enter_segments(segments: Any, table: Transactions, *, caller: str) -> nw.LazyFrame[Any]:
    """Bring in who is in which segment; a customer without a segment is left out."""
    frame, engine = enter(segments, caller=caller)
    missing = [name for name in ("customer_id", "segment") if name not in columns_of(frame)]
    if missing:
        msg = f"{caller}: segments needs the columns {missing}, got {columns_of(frame)}. One row per customer."
        raise MissingColumnsError(msg)
    if engine.implementation is not table.engine.implementation:
        msg = (
            f"{caller}: segments is a {engine.name} table and transactions a {table.engine.name} table. "
            "Give both as the same kind of table."
        )
        raise SchemaError(msg)
    kind = frame.collect_schema()["customer_id"]
    plan = frame.select(id_column("customer_id", kind, caller=caller), nw.col("segment").cast(nw.String))
    found = str(plan.collect_schema()["customer_id"])
    if found != table.id_kind("customer_id"):
        msg = (
            f"{caller}: customer_id is {found} in segments and {table.id_kind('customer_id')} in transactions. "
            "Give both the same kind, for example with .astype(str) on both sides."
        )
        raise SchemaError(msg)
    plan = plan.filter(~nw.col("segment").is_null() & ~nw.col("customer_id").is_null())
    rows, ids = collect(plan.select(rows=nw.len(), ids=nw.col("customer_id").n_unique())).row(0)
    if ids < rows:
        msg = f"{caller}: {rows - ids} rows of segments repeat a customer_id; expected one row per customer."
        raise SchemaError(msg)
    return plan
