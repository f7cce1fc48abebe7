"""How sales through partners come in: one row per customer, order and partner, computed once where the lines live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from crmlytics._frames import check_same_kind, collect, columns_of, enter, id_column
from crmlytics._orders import ORDER_ROLES, gather
from crmlytics._validation import did_you_mean
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from crmlytics._frames import Engine

    Vector = NDArray[np.float64]
    Codes = NDArray[np.int64]
    Flags = NDArray[np.bool_]

PARTNER = "partner_id"
DIRECT = "(direct)"  # what was sold, or brought, without any partner
DECIMALS = 6  # of an amount: sums of engines differ beyond
NO_CAUSE = "Association, not effect: some of these customers might have bought without the partner."


@dataclass(frozen=True, slots=True, eq=False)
class Sales:
    """What each customer bought in each order through each partner, in the order of time; arrays have a row a sale.

    Attributes
    ----------
    table : Transactions
        The lines before ``as_of``.
    names : list of str
        The partners, sorted by id; the first is ``"(direct)"``.
    customer_ids : array
        The customers, sorted.
    partner, customer, order : int64 arrays
        Numbers from 0: of the name, of the customer, of the customer's order.
    moment : datetime64[us] array
        Of the first line.
    amount, cost : float64 arrays
        ``cost`` is NaN where a line has none.
    is_order : bool array
        False for credit notes and what was cancelled.
    """

    table: Transactions
    names: list[str]
    customer_ids: NDArray[Any]
    partner: Codes
    customer: Codes
    order: Codes
    moment: NDArray[np.datetime64]
    amount: Vector
    cost: Vector
    is_order: Flags

    @property
    def engine(self) -> Engine:
        """The kind of table that came in."""
        return self.table.engine

    @property
    def day(self) -> Codes:
        """The days of the sales, from 1970-01-01."""
        return self.moment.astype("datetime64[D]").astype(np.int64)

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

    def firsts(self) -> Codes:
        """Return the row of each customer's first order, -1 without one; of its sellers who sold most counts."""
        rows = np.flatnonzero(self.is_order)
        customers, place = np.unique(self.customer[rows], return_index=True)
        found = np.full(len(self.customer_ids), -1)
        found[customers] = rows[place]
        return found

    def shown(self, *, also: Flags | None = None) -> Codes:
        """Return the partners that have a row in results: all, but ``"(direct)"`` only where there is any of it."""
        has_direct = bool((self.partner == 0).any()) or bool(also is not None and also[0])
        return np.arange(0 if has_direct else 1, len(self.names))


def read_sales(
    transactions: Transactions | Any, *, as_of: dt.datetime, more_ids: Sequence[Any] = (), caller: str
) -> Sales:
    """Read all sales before a moment; ``more_ids`` are partners who may have sold nothing."""
    table = Transactions.bind(transactions).before(as_of)
    costs = ["cost"] if table.has("cost") else []
    lines = table.need(*ORDER_ROLES, PARTNER, *costs, caller=caller)
    lines = lines.with_columns(
        nw.col(PARTNER).cast(nw.String).fill_null("").alias(PARTNER),
        _cost=nw.col("cost").fill_null(0.0) if costs else nw.lit(0.0),
        _unknown=nw.col("cost").is_null().cast(nw.Int64) if costs else nw.lit(1).cast(nw.Int64),
    )
    sums = {"cost": nw.col("_cost").sum(), "unknown": nw.col("_unknown").sum(), "moment": nw.col("timestamp").min()}
    rows = collect(gather(lines, "customer_id", "order_id", PARTNER, **sums)).to_pandas()
    if not len(rows):
        raise SchemaError(f"{caller}: no line lies before as_of={as_of:%Y-%m-%d %H:%M}. Check as_of and the data.")
    return _packed(table, rows, more_ids)


def _packed(table: Transactions, rows: pd.DataFrame, more_ids: Sequence[Any]) -> Sales:
    """Give partners, customers and orders numbers, and sort: the same whatever the order of the rows."""
    sold = rows[PARTNER].to_numpy(object)
    whole = table.id_kind(PARTNER) == "Int64"
    names = in_order({*map(str, sold), *map(str, more_ids)} - {"", DIRECT}, whole=whole)
    number = {"": 0, DIRECT: 0} | {name: place + 1 for place, name in enumerate(names)}
    partner = np.array([number[name] for name in sold], np.int64)
    customer, customer_ids = pd.factorize(rows["customer_id"], sort=True)
    order = pd.factorize(rows["order_id"], sort=True)[0]
    order = np.unique(np.column_stack([customer, order]), axis=0, return_inverse=True)[1].ravel()
    moment = rows["moment"].to_numpy("datetime64[us]")
    amount = np.round(rows["amount"].to_numpy(np.float64), DECIMALS)
    cost = np.where(rows["unknown"].to_numpy(np.int64) > 0, np.nan, rows["cost"].to_numpy(np.float64))
    at = np.lexsort((partner, -amount, order, customer, moment))
    return Sales(
        table=table,
        names=[DIRECT, *names],
        customer_ids=np.asarray(customer_ids),
        partner=partner[at],
        customer=customer.astype(np.int64)[at],
        order=order.astype(np.int64)[at],
        moment=moment[at],
        amount=amount[at],
        cost=np.asarray(np.round(cost, DECIMALS), np.float64)[at],
        is_order=rows["is_order"].to_numpy(np.int64)[at] == 1,
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
    found, wanted = "Int64" if pd.api.types.is_integer_dtype(rows[PARTNER]) else "String", "String"
    wanted = table.id_kind(PARTNER) if table.has(PARTNER) else found
    if found != wanted:
        msg = (
            f"{caller}: {PARTNER} is {found} in {name} and {wanted} in transactions. Give both the same kind, for "
            "example with .astype(str) on both sides."
        )
        raise SchemaError(msg)
    if rows[PARTNER].isna().any():
        msg = f"{caller}: {PARTNER} is missing in {int(rows[PARTNER].isna().sum()):,} rows of {name}. Leave them out."
        raise SchemaError(msg)
    rows[PARTNER] = rows[PARTNER].astype(str)
    return rows


def covered_since(sales: Sales, start: dt.datetime) -> bool:
    """Whether the data begin no later than the day of a moment."""
    return bool(sales.moment[0].astype("datetime64[D]") <= np.datetime64(start.date(), "D"))
