"""How tables of one row per customer come in: the ids, and amounts of which some may be unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._validation import warn
from crmlytics.decisions._campaign import read_rows
from crmlytics.exceptions import SchemaError
from crmlytics.value._tables import TIE_DECIMALS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from crmlytics._frames import Engine

    Vector = NDArray[np.float64]

KEY = "customer_id"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Amounts:
    """Amounts of customers, sorted by id.

    Attributes
    ----------
    engine : Engine
        The kind of the table.
    ids : array, shape (customers,)
    columns : dict of str to float64 array, shape (customers,)
        Finite numbers; NaN is unknown.
    """

    engine: Engine
    ids: NDArray[Any]
    columns: dict[str, Vector]

    def known(self, *, what: str, caller: str, names: Sequence[str] | None = None) -> Amounts:
        """Leave out customers of whom an amount, or one of these, is unknown, and say how many these are."""
        is_known = ~np.isnan(np.array([self.columns[name] for name in names or self.columns])).any(axis=0)
        if not is_known.any():
            msg = f"{caller}: {what} is missing for all {len(self.ids):,} customers. Give it for some at least."
            raise SchemaError(msg)
        if is_known.all():
            return self
        warn(f"{caller}: {what} is missing for {int((~is_known).sum()):,} of {len(self.ids):,} customers, left out.")
        return Amounts(
            self.engine, self.ids[is_known], {name: values[is_known] for name, values in self.columns.items()}
        )


def read_amounts(table: Any, columns: Sequence[str], *, key: str, name: str, caller: str) -> Amounts:
    """Read columns of amounts of a table with one row per customer."""
    engine, ids, rows = read_rows(table, key=key, columns=columns, name=name, caller=caller)
    found: dict[str, Vector] = {}
    for column in columns:
        try:
            found[column] = rows[column].to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError) as error:
            msg = f"{caller}: the column {column!r} must hold numbers, got {rows[column].dtype}."
            raise SchemaError(msg) from error
        if np.isinf(found[column]).any():
            raise SchemaError(f"{caller}: {column!r} is infinite in {int(np.isinf(found[column]).sum()):,} rows.")
    return Amounts(engine, ids, found)


def settled(amounts: Any) -> Any:
    """Round amounts before their sign or their order decides anything: 0.1 + 0.2 - 0.3 is nobody's gain."""
    return np.round(amounts, TIE_DECIMALS)


def best_first(amounts: Vector) -> NDArray[np.int64]:
    """Return the places of the amounts, the largest first; equals stay in the order of their ids."""
    order: NDArray[np.int64] = np.argsort(-settled(amounts), kind="stable")
    return order


def over(amounts: NDArray[Any], whole: float) -> Vector:
    """Return shares of a whole; missing where that is not above zero: a share of nothing says nothing."""
    return amounts / whole if settled(whole) > 0 else np.full(len(amounts), np.nan)


def over_each(above: NDArray[Any], below: NDArray[Any]) -> Vector:
    """Return one by the other, row by row; missing where the lower one is not above zero."""
    found: Vector = np.divide(above, below, out=np.full(len(below), np.nan), where=settled(below) > 0)
    return found


def least_of_tiers(amounts: Vector, tiers: Mapping[str, float]) -> Vector:
    """Return the smallest amount that belongs to each tier but the last, in which all others are."""
    ends = np.ceil(np.cumsum(list(tiers.values()))[:-1] * len(amounts) - 1e-9).astype(np.int64)  # 0.1 + 0.2 is not 0.3
    least: Vector = np.sort(amounts)[::-1][np.minimum(ends, len(amounts)) - 1]
    return least
