"""How tables of customers come in: columns there, kinds right, one row a customer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import Engine, collect, columns_of, enter, id_column
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

MEASURES = ("recency_days", "order_count", "total_amount")
RFM_REPAIR = "Make one from your orders: crm.rfm.rfm_table(tx, as_of=...)."
SCORES_REPAIR = "Make one: crm.rfm.RFMSegmenter().fit(table).score_table(table)."


def enter_rfm(native: Any, *, caller: str) -> tuple[nw.LazyFrame[Any], Engine]:
    """Bring an rfm table in: id and three measures."""
    return enter_customers(native, MEASURES, (), repair=RFM_REPAIR, caller=caller)


def enter_scores(
    native: Any, *, numbers: Sequence[str] = (), words: Sequence[str] = (), caller: str
) -> tuple[nw.LazyFrame[Any], Engine]:
    """Bring a score table in, with the columns that the caller reads."""
    return enter_customers(native, numbers, words, repair=SCORES_REPAIR, caller=caller)


def enter_customers(
    native: Any, numbers: Sequence[str], words: Sequence[str], *, repair: str, caller: str
) -> tuple[nw.LazyFrame[Any], Engine]:
    """Bring in a table with one row a customer; a table in memory is checked for ids and numbers that are missing."""
    frame, engine = enter(native, caller=caller)
    wanted = ["customer_id", *numbers, *words]
    missing = [name for name in wanted if name not in columns_of(frame)]
    if missing:
        msg = f"{caller} needs the columns {missing}, got {columns_of(frame)}. {repair}"
        raise MissingColumnsError(msg)
    schema = frame.collect_schema()
    for name in numbers:
        if not schema[name].is_numeric():
            msg = f"{caller}: column {name!r} holds {schema[name]}, expected numbers. {repair}"
            raise SchemaError(msg)
    plan = frame.select(
        id_column("customer_id", schema["customer_id"], caller=caller),
        *[nw.col(name) for name in numbers],
        *[nw.col(name).cast(nw.String) for name in words],
    )
    if not engine.is_lazy:
        check_rows(plan, numbers, caller=caller)
    return plan, engine


def check_same_id(one: nw.LazyFrame[Any], other: nw.LazyFrame[Any], *, names: tuple[str, str], caller: str) -> None:
    """Refuse to join whole numbers with text: 12346 is not "12346"."""
    kinds = [frame.collect_schema()["customer_id"] for frame in (one, other)]
    if kinds[0] != kinds[1]:
        msg = (
            f"{caller}: customer_id is {kinds[0]} in {names[0]} and {kinds[1]} in {names[1]}. "
            "Give both the same kind, for example with .astype(str) on both sides."
        )
        raise SchemaError(msg)


def check_rows(plan: nw.LazyFrame[Any], numbers: Sequence[str], *, caller: str) -> None:
    """Refuse customers without an id, repeated ones, and numbers that are missing or infinite."""
    unusable = {name: ~nw.col(name).cast(nw.Float64).is_finite().fill_null(value=False) for name in numbers}
    unusable["customer_id"] = nw.col("customer_id").is_null()
    counts = {name: test.cast(nw.Int64).sum() for name, test in unusable.items()}
    values = collect(plan.select(_rows=nw.len(), _ids=nw.col("customer_id").n_unique(), **counts)).row(0)
    rows, ids, *bad = (int(value or 0) for value in values)
    found = {name: count for name, count in zip(counts, bad, strict=True) if count}
    if found:
        name, count = next(iter(found.items()))
        msg = f"{caller}: {count} of {rows} rows have no usable {name!r} (missing or infinite). Set them aside first."
        raise SchemaError(msg)
    if ids < rows:
        msg = f"{caller}: {rows - ids} rows repeat a customer_id; expected one row per customer."
        raise SchemaError(msg)
