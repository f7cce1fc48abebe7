"""Who a customer was at a cutoff: the attributes on record just before it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import day_number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crmlytics.tables import Customers

CALLER = "customer_features"
NO_ATTRIBUTES = ("customer_id", "account_id", "valid_from", "valid_to")


def fills(columns: Iterable[str]) -> dict[str, int | float]:  # noqa: ARG001  as the other sources have it
    """Return nothing to fill in: a customer who is not on record has unknown attributes."""
    return {}


def customer_features(customers: Customers, cutoff: dt.datetime) -> nw.LazyFrame[Any]:
    """Return each customer's attributes as they stood just before ``cutoff``.

    Parameters
    ----------
    customers : Customers
        Needs ``customer_id``. With ``valid_from`` the row in force just before the cutoff is read (``valid_from`` <
        cutoff <= ``valid_to``; no ``valid_from`` means always, no ``valid_to`` still): a change at the very cutoff
        belongs to the future. Without ``valid_from`` the attributes are taken as they are, which is as of the day of
        your export: :func:`~crmlytics.snapshots.audit_leakage` warns of that.
    cutoff : datetime

    Returns
    -------
    LazyFrame, one row per customer on record
        The attributes under their names: words as String, numbers as Float64, true and false as 1 and 0 (Float64). A
        date becomes ``<name>_days`` (Float64, calendar days from it to the cutoff; null where it is not before the
        cutoff). ``account_id`` and the validity are no attributes.

    Notes
    -----
    Where periods of validity overlap, the row that began last counts. Where two of these contradict each other, the
    attribute is missing.
    """
    names = [name for name in customers.columns if name not in NO_ATTRIBUTES]
    validity = [name for name in ("valid_from", "valid_to") if customers.has(name)]
    lines = customers.need("customer_id", *validity, *names, caller=CALLER)
    schema = lines.collect_schema()
    if "valid_from" in validity:
        lines = _in_force(lines, cutoff, has_end="valid_to" in validity)
    readings = [_reading(name, schema[name], cutoff) for name in names]
    attributes = lines.select("customer_id", *readings)
    return _without_contradictions(attributes) if "valid_from" in validity else attributes


def _in_force(lines: nw.LazyFrame[Any], cutoff: dt.datetime | nw.Expr, *, has_end: bool) -> nw.LazyFrame[Any]:
    """Keep the rows in force just before the cutoff, or each customer's; of these the ones that began last."""
    always = dt.datetime(1, 1, 2)  # the first day that every engine can hold, whatever the zone
    lines = lines.with_columns(nw.col("valid_from").fill_null(always))
    lines = lines.filter(nw.col("valid_from") < cutoff)
    if has_end:
        lines = lines.filter(nw.col("valid_to").is_null() | (nw.col("valid_to") >= cutoff).fill_null(value=False))
    latest = lines.group_by("customer_id").agg(_latest=nw.col("valid_from").max())
    return lines.join(latest, on="customer_id", how="inner").filter(nw.col("valid_from") == nw.col("_latest"))


def _reading(name: str, dtype: Any, cutoff: dt.datetime) -> nw.Expr:
    """Read an attribute as words or as a number."""
    column = nw.col(name)
    if isinstance(dtype, (nw.Datetime, nw.Date)):
        days = day_number(nw.lit(cutoff)) - day_number(nw.when(column < cutoff).then(column).otherwise(nw.lit(cutoff)))
        return nw.when(column < cutoff).then(days).otherwise(None).cast(nw.Float64).alias(f"{name}_days")
    if dtype == nw.Boolean:
        return nw.when(column).then(nw.lit(1.0)).otherwise(nw.when(~column).then(nw.lit(0.0))).alias(name)
    if dtype.is_numeric():
        number = column.cast(nw.Float64)
        return number.fill_nan(None) if dtype.is_float() else number
    return column.cast(nw.String)


def _without_contradictions(attributes: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Give each customer one row; where rows that began together differ, nothing."""
    schema = attributes.collect_schema()
    names = [name for name in schema.names() if name != "customer_id"]
    ends = {f"_least_{i}": nw.col(name).min() for i, name in enumerate(names)}
    ends |= {f"_most_{i}": nw.col(name).max() for i, name in enumerate(names)}
    bounds = attributes.group_by("customer_id").agg(**ends)
    agreed = [
        nw.when(nw.col(f"_least_{i}") == nw.col(f"_most_{i}")).then(nw.col(f"_most_{i}")).cast(schema[name]).alias(name)
        for i, name in enumerate(names)
    ]
    return bounds.select("customer_id", *agreed)
