"""What the features of every other table share: windows before a cutoff, and what a customer without a row gets."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import day_number, days_between

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def fills(columns: Iterable[str]) -> dict[str, int | float]:
    """Return what stands for "nothing happened": counts are 0, amounts are 0.0; shares, means and days stay unknown."""
    by_unit = {"_count": 0, "_amount": 0.0}
    return {name: value for name in columns for unit, value in by_unit.items() if unit in name}


def flag(test: nw.Expr) -> nw.Expr:
    """Write a test as 1 or 0 (Int64), unknown as 0: no engine sums truth values like another."""
    return test.fill_null(value=False).cast(nw.Int64)


def is_since(moment: str, days: int, cutoff: dt.datetime) -> nw.Expr:
    """Whether a moment, known to lie before the cutoff, lies within so many days of it."""
    return nw.col(moment) >= cutoff - dt.timedelta(days=days)


def is_older(moment: str, days: int, cutoff: dt.datetime) -> nw.Expr:
    """Whether a moment lies at least so many days before the cutoff."""
    return (nw.col(moment) <= cutoff - dt.timedelta(days=days)).fill_null(value=False)


def is_known(moment: str, cutoff: dt.datetime) -> nw.Expr:
    """Whether what a moment dates had happened: filled in, and strictly before the cutoff."""
    return (nw.col(moment) < cutoff).fill_null(value=False)


def window_flags(what: str, moment: str, lookbacks: Sequence[int], cutoff: dt.datetime) -> dict[str, nw.Expr]:
    """Return ``<what>_count`` and ``<what>_count_<days>d`` as flags of a line: their sums are the counts."""
    windows = {f"{what}_count_{days}d": flag(is_since(moment, days, cutoff)) for days in lookbacks}
    return {f"{what}_count": nw.lit(1).cast(nw.Int64)} | windows


def days_from(start: str, end: str, known: nw.Expr) -> nw.Expr:
    """Calendar days between two moments of a line where ``known``, else 0: NumPy's whole numbers have no missing."""
    return day_number(nw.when(known).then(nw.col(end)).otherwise(nw.col(start))) - day_number(nw.col(start))


def per_customer(lines: nw.LazyFrame[Any], flags: Mapping[str, nw.Expr], **more: nw.Expr) -> nw.LazyFrame[Any]:
    """Add columns of a line up by customer, as Int64 or Float64, beside other aggregates, as they are."""
    marked = lines.with_columns(**flags)
    schema = marked.collect_schema()
    sums = marked.group_by("customer_id").agg(*[nw.col(name).sum() for name in flags], **more)
    kinds = {name: nw.Float64 if schema[name].is_float() else nw.Int64 for name in flags}
    return sums.with_columns(*[nw.col(name).cast(kind) for name, kind in kinds.items()])


def recency(last: str, cutoff: dt.datetime) -> nw.Expr:
    """Calendar days from the last moment to the cutoff."""
    return days_between(nw.col(last), cutoff).cast(nw.Int64)
