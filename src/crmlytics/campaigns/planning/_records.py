"""Customers as their rows stood just before a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmlytics._frames import columns_of
from crmlytics._validation import did_you_mean
from crmlytics.exceptions import MissingColumnsError
from crmlytics.snapshots._customers import _in_force

if TYPE_CHECKING:
    import datetime as dt

    import narwhals.stable.v2 as nw

    from crmlytics.tables import Customers


def records_of(customers: Customers, *columns: str, caller: str) -> nw.LazyFrame[Any]:
    """Return ``customer_id``, these columns and since when and until when they hold, as far as that is told."""
    unknown = [name for name in columns if not customers.has(name)]
    if unknown:
        hint = did_you_mean(unknown[0], customers.columns)
        raise MissingColumnsError(f"{caller}: customers has no {unknown[0]!r}.{hint} Columns: {customers.columns}")
    validity = [name for name in ("valid_from", "valid_to") if customers.has(name)]
    return customers.need("customer_id", *validity, *columns, caller=caller)


def in_force(records: nw.LazyFrame[Any], moment: dt.datetime) -> nw.LazyFrame[Any]:
    """Keep the records in force just before a moment; all, where none tells since when it holds."""
    names = columns_of(records)
    return _in_force(records, moment, has_end="valid_to" in names) if "valid_from" in names else records
