"""What sections are written from: a few small pandas tables, computed once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crmlytics.report import _words

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    import pandas as pd


@dataclass(frozen=True, slots=True)
class Context:
    """All that a section may be written from.

    Attributes
    ----------
    tables : dict of name to pandas.DataFrame
        Small tables by name; one that could not be made is not there, and its sections stay away.
    as_of : datetime
        The moment described from.
    horizon_days : int
        How far the scores look ahead.
    currency : str
        What stands at amounts, such as ``"£"``; may be empty.
    first_day, last_day : date
        The first and last day with an order before ``as_of``.
    """

    tables: Mapping[str, pd.DataFrame]
    as_of: dt.datetime
    horizon_days: int
    currency: str
    first_day: dt.date
    last_day: dt.date

    def table(self, name: str, *needed: str) -> Any:
        """Return a table, or None where it or one of its ``needed`` columns is missing."""
        table = self.tables.get(name)
        return None if table is None or not set(needed) <= set(table.columns) else table

    @property
    def horizon(self) -> str:
        """The horizon in words."""
        return _words.counted(self.horizon_days, "day")

    def money(self, value: Any) -> str:
        """Write an amount in the report's currency."""
        return _words.amount(value, self.currency)
