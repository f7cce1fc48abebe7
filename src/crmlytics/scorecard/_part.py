"""What a topic contributes to the scorecard, and what it may be built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import datetime as dt

    import narwhals.stable.v2 as nw

    from crmlytics.tables import Transactions


@dataclass(frozen=True, slots=True)
class Request:
    """What every part is built from.

    Attributes
    ----------
    known : Transactions
        The lines before ``as_of``; nothing later is in reach.
    as_of : datetime
        The moment described from.
    horizon_days : int
        How far forecasts look ahead.
    margin : float, optional
        The share of an amount that is margin.
    """

    known: Transactions
    as_of: dt.datetime
    horizon_days: int
    margin: float | None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the scorecard: its name, what it means, in which unit, and how sure it is."""

    name: str
    meaning: str
    unit: str
    certainty: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a back-test: its name, its value and what it means."""

    name: str
    value: float
    meaning: str


@dataclass(frozen=True, slots=True)
class Part:
    """What a topic knows about every customer.

    Attributes
    ----------
    table : eager narwhals frame, one row per customer
        ``customer_id`` and at least ``columns``; a customer without a row gets nulls.
    columns : tuple of Column
        What the scorecard takes over, in order.
    evaluation : tuple of Figure
        How the forecasts did on the past; empty for what was counted.
    """

    table: nw.DataFrame[Any]
    columns: tuple[Column, ...]
    evaluation: tuple[Figure, ...] = ()
