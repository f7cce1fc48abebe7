"""How features of many tables become columns of one: joined by customer, filled, of fixed dtypes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

CALLER = "Snapshots"
RESERVED = ("customer_id", "cutoff")
LABEL_PREFIX = "bought_"


@dataclass(frozen=True, slots=True)
class Part:
    """Columns by customer, and what stands for nothing having happened: a function from names to values."""

    frame: nw.LazyFrame[Any]
    fills: Callable[[Iterable[str]], Mapping[str, Any]]

    @property
    def names(self) -> list[str]:
        """The columns without the key and without those that help, which begin with ``_``."""
        return [name for name in self.frame.collect_schema().names() if name not in RESERVED and name[0] != "_"]

    def settle(self, table: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """Fill the columns in a table they were joined to: counts are Int64, words String, everything else Float64."""
        if not self.names:
            return table
        schema, fills = self.frame.collect_schema(), self.fills(self.names)
        return table.with_columns(*[_settled(name, schema[name], fills.get(name)) for name in self.names])


def attach(customers: nw.LazyFrame[Any], part: Part) -> nw.LazyFrame[Any]:
    """Add the columns of a part to every customer."""
    return part.settle(beside(customers, part.frame))


def beside(customers: nw.LazyFrame[Any], more: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Add columns by customer as they are, null for whom there are none."""
    return customers.join(more, on="customer_id", how="left")


def check_names(names: Iterable[str], labels: Iterable[str]) -> None:
    """Refuse features that are called alike, or as a label: to SQL engines ``City`` is ``city``."""
    seen = {name.lower() for name in (*RESERVED, *labels)}
    for name in names:
        if name.lower() in seen:
            msg = (
                f"{CALLER}: two columns would be called {name!r}. Rename yours (an attribute of the customers, or a "
                "value of targets) first."
            )
            raise SchemaError(msg)
        seen.add(name.lower())


def _settled(name: str, dtype: Any, fill: Any) -> nw.Expr:
    column = nw.col(name)
    if isinstance(fill, bool):
        return (column.fill_null(0) > 0).alias(name)
    if fill is not None:
        return column.fill_null(fill).cast(nw.Int64 if isinstance(fill, int) else nw.Float64)
    return column.cast(nw.String if dtype == nw.String else nw.Float64)
