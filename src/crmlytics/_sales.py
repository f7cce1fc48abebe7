"""How sales come in by channel or partner: one row per customer, order and name, added up once where the lines live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from crmlytics._frames import collect
from crmlytics._orders import ORDER_ROLES, gather
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from crmlytics._frames import Engine
    from crmlytics.tables import Transactions

    Vector = NDArray[np.float64]
    Codes = NDArray[np.int64]
    Flags = NDArray[np.bool_]

NAME = "name"
DECIMALS = 6  # of an amount: sums of engines differ beyond


@dataclass(frozen=True, eq=False)
class GroupedSales:
    """What each customer bought in each order under each name, in the order of time; arrays have a row a sale.

    Attributes
    ----------
    table : Transactions
        The lines of the period.
    names : list of str
        The channels or partners.
    customer_ids : array
        The customers, sorted.
    group, customer, order : int64 arrays
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
    group: Codes
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

    def firsts(self) -> Codes:
        """Return the row of each customer's first order, -1 without one; of its names the largest amount counts."""
        rows = np.flatnonzero(self.is_order)
        customers, place = np.unique(self.customer[rows], return_index=True)
        found = np.full(len(self.customer_ids), -1)
        found[customers] = rows[place]
        return found


def sum_up(
    table: Transactions,
    role: str | None,
    names: nw.Expr,
    *,
    as_of: dt.datetime,
    since: dt.datetime | None = None,
    caller: str,
) -> pd.DataFrame:
    """Add up the lines of a period by customer, order and ``names``, an expression of the ``role`` (None: of none)."""
    has_cost = table.has("cost")
    roles = [*([role] if role else []), *(["cost"] if has_cost else [])]
    lines = table.need(*ORDER_ROLES, *roles, caller=caller).with_columns(
        names.alias(NAME),
        _cost=nw.col("cost").fill_null(0.0) if has_cost else nw.lit(0.0),
        _unknown=nw.col("cost").is_null().cast(nw.Int64) if has_cost else nw.lit(1).cast(nw.Int64),
    )
    sums = {"cost": nw.col("_cost").sum(), "unknown": nw.col("_unknown").sum(), "moment": nw.col("timestamp").min()}
    rows = collect(gather(lines, "customer_id", "order_id", NAME, **sums)).to_pandas()
    if not len(rows):
        when = "before" if since is None else f"between since={since:%Y-%m-%d %H:%M} and"
        raise SchemaError(f"{caller}: no line lies {when} as_of={as_of:%Y-%m-%d %H:%M}. Check as_of and the data.")
    return rows


def numbered(rows: pd.DataFrame, number: dict[str, int]) -> dict[str, Any]:
    """Give names, customers and orders numbers, and sort by time: the arrays of :class:`GroupedSales`."""
    group = np.array([number[name] for name in rows[NAME]], np.int64)
    customer, customer_ids = pd.factorize(rows["customer_id"], sort=True)
    order = pd.factorize(rows["order_id"], sort=True)[0]
    order = np.unique(np.column_stack([customer, order]), axis=0, return_inverse=True)[1].ravel()
    moment = rows["moment"].to_numpy("datetime64[us]")
    amount = np.round(rows["amount"].to_numpy(np.float64), DECIMALS)
    cost = np.where(rows["unknown"].to_numpy(np.int64) > 0, np.nan, rows["cost"].to_numpy(np.float64))
    at = np.lexsort((group, -amount, order, customer, moment))
    return {
        "customer_ids": np.asarray(customer_ids),
        "group": group[at],
        "customer": customer.astype(np.int64)[at],
        "order": order.astype(np.int64)[at],
        "moment": moment[at],
        "amount": amount[at],
        "cost": np.asarray(np.round(cost, DECIMALS), np.float64)[at],
        "is_order": rows["is_order"].to_numpy(np.int64)[at] == 1,
    }


def cautions(rows: int, told: Iterable[tuple[Any, str]], *, first: str) -> NDArray[Any]:
    """Write on every row what it does not show: the first sentence, and each that holds for the row."""
    holds = [(np.broadcast_to(which, rows), words) for which, words in told]
    said = [first + "".join(f" {words}" for which, words in holds if which[row]) for row in range(rows)]
    return np.array(said, object)
