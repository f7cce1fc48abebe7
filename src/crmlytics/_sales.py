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
    moment, last_moment : datetime64[us] arrays
        Of the first line, and of the last.
    amount, margin : float64 arrays
        ``margin`` is NaN where it is not known of a line.
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
    last_moment: NDArray[np.datetime64]
    amount: Vector
    margin: Vector
    is_order: Flags

    @property
    def engine(self) -> Engine:
        """The kind of table that came in."""
        return self.table.engine

    @property
    def day(self) -> Codes:
        """The days of the sales, from 1970-01-01."""
        return self.moment.astype("datetime64[D]").astype(np.int64)

    @property
    def has_margin(self) -> bool:
        """Whether the margin of any sale is known."""
        return bool((~np.isnan(self.margin)).any())

    def firsts(self) -> Codes:
        """Return the row of each customer's first order, -1 without one; of its names the largest amount counts."""
        rows = np.flatnonzero(self.is_order)
        customers, place = np.unique(self.customer[rows], return_index=True)
        found = np.full(len(self.customer_ids), -1)
        found[customers] = rows[place]
        return found


def named(role: str, none: str | None = None) -> nw.Expr:
    """Return a channel or partner as text without the blanks around it; ``none`` where nothing is left of it."""
    text = nw.col(role).cast(nw.String).fill_null("").str.strip_chars()
    given = nw.when(text != "").then(text)
    return (given if none is None else given.otherwise(nw.lit(none))).alias(role)


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
    moment = nw.col("timestamp")
    sums = {"cost": nw.col("_cost").sum(), "unknown": nw.col("_unknown").sum()}
    plan = gather(lines, "customer_id", "order_id", NAME, **sums, moment=moment.min(), last_moment=moment.max())
    rows = collect(plan).to_pandas()
    if not len(rows):
        when = "before" if since is None else f"between since={since:%Y-%m-%d %H:%M} and"
        raise SchemaError(f"{caller}: no line lies {when} as_of={as_of:%Y-%m-%d %H:%M}. Check as_of and the data.")
    return rows


def numbered(rows: pd.DataFrame, number: dict[str, int], *, margin: float | None) -> dict[str, Any]:
    """Give names, customers and orders numbers, and sort by time: the arrays of :class:`GroupedSales`.

    ``margin`` is a share of amounts; None: amounts less costs, where these are known.
    """
    group = np.array([number[name] for name in rows[NAME]], np.int64)
    customer, customer_ids = pd.factorize(rows["customer_id"], sort=True)
    order = pd.factorize(rows["order_id"], sort=True)[0]
    order = np.unique(np.column_stack([customer, order]), axis=0, return_inverse=True)[1].ravel()
    moment, last_moment = (rows[name].to_numpy("datetime64[us]") for name in ("moment", "last_moment"))
    amount = np.round(rows["amount"].to_numpy(np.float64), DECIMALS)
    cost = np.where(rows["unknown"].to_numpy(np.int64) > 0, np.nan, rows["cost"].to_numpy(np.float64))
    left = np.round(amount - cost, DECIMALS) if margin is None else margin * amount
    at = np.lexsort((group, -amount, order, customer, moment))
    return {
        "customer_ids": np.asarray(customer_ids),
        "group": group[at],
        "customer": customer.astype(np.int64)[at],
        "order": order.astype(np.int64)[at],
        "moment": moment[at],
        "last_moment": last_moment[at],
        "amount": amount[at],
        "margin": left[at],
        "is_order": rows["is_order"].to_numpy(np.int64)[at] == 1,
    }


# -- customers, each followed from the first order on ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """What customers bought in their first days; arrays have a row a sale.

    Attributes
    ----------
    customers : int
        How many are followed.
    rows, own, since : int64 arrays
        The row of the sales, the place of the customer among those followed, the days since the first order.
    is_first, is_later : bool arrays
        Whether the sale is of the first order, whether it is another order.
    """

    customers: int
    rows: Codes
    own: Codes
    since: Codes
    is_first: Flags
    is_later: Flags

    def total(self, values: Vector, among: Flags | slice = slice(None)) -> Vector:
        """Add up values of the sales by customer, or of some of those followed."""
        return np.bincount(self.own[among], values[self.rows][among], self.customers).astype(np.float64)

    def whether(self, flags: Flags) -> Vector:
        """Return 1 for customers with such a sale, else 0."""
        return np.minimum(np.bincount(self.own[flags], minlength=self.customers), 1).astype(np.float64)


def followed(sales: GroupedSales, customer: Codes, first: Codes, days: int) -> Followed:
    """Follow customers for so many days; ``first`` are the rows of their first orders, whose day is the first."""
    place = np.full(len(sales.customer_ids), -1)
    place[customer] = np.arange(len(customer))
    own = place[sales.customer]
    since = sales.day - sales.day[first][own]
    rows = np.flatnonzero((own >= 0) & (since >= 0) & (since < days))
    own = own[rows]
    is_first = sales.order[rows] == sales.order[first][own]
    return Followed(len(customer), rows, own, since[rows], is_first, sales.is_order[rows] & ~is_first)


def is_observed(first_day: Codes, end: dt.datetime, days: int, *, caller: str) -> Flags:
    """Whether so many days are over since the first order of each customer; refused where they are of nobody."""
    last = int(np.datetime64(end, "D").astype(np.int64)) - days
    observed: Flags = first_day <= last
    if not observed.any():
        msg = (
            f"{caller}: nobody had the first order {days:,} days before as_of or earlier. Take a shorter horizon, such "
            f'as horizon="{max(1, days // 2)}d".'
        )
        raise SchemaError(msg)
    return observed
