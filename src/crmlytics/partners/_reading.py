"""How sales through partners come in: who sold what to whom, and what is known about the partners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crmlytics._frames import check_same_kind, collect, columns_of, enter, id_column
from crmlytics._sales import NAME, GroupedSales, named, numbered, sum_up
from crmlytics._validation import check_fraction, did_you_mean, warn
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Codes = NDArray[np.int64]
    Flags = NDArray[np.bool_]

PARTNER = "partner_id"
DIRECT = "(direct)"  # what was sold, or brought, without any partner
LEAST_DAYS = 7  # nobody is silent within a week: holidays are no loss
TELLING_DAYS = 10  # with sales: fewer know no longest silence
NO_CAUSE = "Association, not effect: some of these customers might have bought without the partner."


@dataclass(frozen=True, eq=False)
class Sales(GroupedSales):
    """Sales by partner, sorted by id; the first name is ``"(direct)"``."""

    @property
    def partner(self) -> Codes:
        """The number of each sale's partner."""
        return self.group

    def within(self, start: dt.datetime, end: dt.datetime) -> Flags:
        """Whether each sale began in a period; its end is excluded."""
        return np.asarray((self.moment >= np.datetime64(start, "us")) & (self.moment < np.datetime64(end, "us")))

    def sums(self, values: NDArray[Any], rows: Flags) -> Vector:
        """Add up values of some sales by partner."""
        total: Vector = np.bincount(self.partner[rows], values[rows], len(self.names)).astype(np.float64)
        return total

    def customer_counts(self, rows: Flags) -> Codes:
        """Count the customers with an order in some of the sales, by partner."""
        pairs = np.unique(np.column_stack([self.partner, self.customer])[rows & self.is_order], axis=0)
        return np.bincount(pairs[:, 0], minlength=len(self.names))

    def shown(self) -> Codes:
        """Return the partners that have a row in results: all, but ``"(direct)"`` only where there is any of it."""
        return np.arange(0 if (self.partner == 0).any() else 1, len(self.names))


def read_sales(
    transactions: Transactions | Any,
    *,
    as_of: dt.datetime,
    margin: Any = None,
    more_ids: Sequence[Any] = (),
    caller: str,
) -> Sales:
    """Read all sales before a moment; the margin is a share of amounts, else amounts less costs where these are known.

    ``more_ids`` are partners who may have sold nothing.
    """
    share = None if margin is None else check_fraction(margin, name="margin", caller=caller)
    table = Transactions.bind(transactions).before(as_of)
    rows = sum_up(table, PARTNER, named(PARTNER, DIRECT), as_of=as_of, caller=caller)
    names = in_order({DIRECT, *rows[NAME], *map(str, more_ids)}, whole=table.id_kind(PARTNER) == "Int64")
    number = {name: place for place, name in enumerate(names)}
    sales = Sales(table=table, names=names, **numbered(rows, number, margin=share))
    _warn_of_silence(sales, as_of, caller=caller)
    return sales


def _warn_of_silence(sales: Sales, as_of: dt.datetime, *, caller: str) -> None:
    """Warn if there was none for longer than ever before, and a week: the data may end before ``as_of``."""
    days = np.unique(sales.day)
    silent = int(np.datetime64(as_of, "D").astype(np.int64) - days[-1])
    if len(days) >= TELLING_DAYS and silent > max(LEAST_DAYS, int(np.diff(days).max())):
        last = days[-1].astype("datetime64[D]")
        warn(
            f"{caller}: the last line is of {last}, {silent:,} days before as_of, longer than there was ever none. If "
            f'the data end there, every partner looks silent: type as_of="{last + 1}".'
        )


def in_order(names: Iterable[str], *, whole: bool) -> list[str]:
    """Sort names of partners, ``"(direct)"`` first; ``whole`` numbers by their size."""
    return sorted(names, key=lambda name: (name != DIRECT, int(name) if whole and name != DIRECT else 0, name))


def rows_in_order(names: Sequence[str], kept: Codes, table: Transactions) -> Codes:
    """Return some of the names' numbers, in the order of the names."""
    place = {names[number]: number for number in kept.tolist()}
    return np.array([place[name] for name in in_order(place, whole=table.id_kind(PARTNER) == "Int64")], np.int64)


def read_partners(partners: Any, table: Transactions, *, columns: Sequence[str] = (), caller: str) -> pd.DataFrame:
    """Read a table of one row per partner: the ids, and columns of it."""
    rows = read_rows(partners, table, name="partners", columns=columns, caller=caller)
    repeated = rows[PARTNER][rows[PARTNER].duplicated()]
    if len(repeated):
        msg = f"{caller}: partners has more than one row of {repeated.tolist()[0]!r}. Keep one row per partner."
        raise SchemaError(msg)
    return rows


def read_rows(native: Any, table: Transactions, *, name: str, columns: Sequence[str], caller: str) -> pd.DataFrame:
    """Read columns of a table about partners, whose ids are of the kind of those of the transactions."""
    frame, engine = enter(native, caller=caller)
    check_same_kind({"transactions": table.engine, name: engine}, caller=caller)
    there = columns_of(frame)
    missing = [column for column in (PARTNER, *columns) if column not in there]
    if missing:
        msg = f"{caller}: {name} needs {missing}.{did_you_mean(missing[0], there)} Columns: {there}"
        raise MissingColumnsError(msg)
    ids = id_column(PARTNER, frame.collect_schema()[PARTNER], caller=caller)
    rows = collect(frame.select(ids, *columns)).to_pandas()
    rows[PARTNER] = names_of(rows[PARTNER], table, name=name, caller=caller)
    if rows[PARTNER].isna().any():
        msg = f"{caller}: {PARTNER} is missing in {int(rows[PARTNER].isna().sum()):,} rows of {name}. Leave them out."
        raise SchemaError(msg)
    return rows


def names_of(ids: pd.Series[Any], table: Transactions, *, name: str, caller: str) -> pd.Series[Any]:
    """Read ids of partners, of the kind of those of the transactions, as names; None where there is none."""
    is_whole = pd.api.types.is_numeric_dtype(ids.dtype)
    found = "Int64" if is_whole else "String"
    wanted = table.id_kind(PARTNER) if table.has(PARTNER) else found
    if found != wanted and ids.notna().any():
        msg = (
            f"{caller}: {PARTNER} is {found} in {name} and {wanted} in transactions. Give both the same kind, for "
            "example with .astype(str) on both sides."
        )
        raise SchemaError(msg)
    words = (ids.astype("Float64").astype("Int64") if is_whole else ids).astype("string").str.strip().astype(object)
    return words.where(words.notna() & (words != ""), None)


def covered_since(sales: Sales, start: dt.datetime) -> bool:
    """Whether the data begin no later than the day of a moment."""
    return bool(sales.moment[0].astype("datetime64[D]") <= np.datetime64(start.date(), "D"))
