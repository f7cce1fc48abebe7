"""What the tables of the report are made from: the contracts, cut at ``as_of``, and lengths of time that fit them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import check_same_kind, collect, to_pandas
from crmlytics._orders import ORDER_ROLES
from crmlytics._validation import as_moment
from crmlytics.exceptions import SchemaError
from crmlytics.report._words import is_missing
from crmlytics.tables import Contacts, Customers, Events, Products, Tickets, Transactions

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from crmlytics._contract import Contract

CALLER = "write_report"
PERIODS = ((100, "7d"), (1100, "month"), (3650, "quarter"))  # up to so many days of orders: at most some 36 periods
OTHERS: dict[str, type[Contract]] = {
    "customers": Customers, "products": Products, "tickets": Tickets, "contacts": Contacts, "events": Events,
}  # fmt: skip
YEAR, QUARTER = 364, 91  # whole weeks, so that weekends weigh the same
SPANS = (YEAR, 182, QUARTER, 28, 7)


@dataclass(frozen=True, slots=True)
class Sources:
    """What a table of the report may be made from.

    Attributes
    ----------
    known : Transactions
        The lines before ``as_of``; nothing later is in reach.
    orders : Transactions
        The same money in fewer lines, for what asks for no product: customers, orders, moments and amounts.
    scores : pandas.DataFrame, one row per customer
        The scorecard.
    others : dict of str to contract
        The tables given beside the order lines, by name; those with moments are cut at ``as_of``.
    quotas : dataframe, one row per partner and period, optional
    contribution : pandas.DataFrame, one row per customer, optional
        What each leaves over once the goods and the serving are paid for, where costs are known.
    as_of : datetime
    horizon_days : int
    first_day, last_day : date
        With an order line before ``as_of``.
    margin : float, optional
        The share of an amount that is profit.
    """

    known: Transactions
    orders: Transactions
    scores: Any
    others: Mapping[str, Any]
    quotas: Any
    contribution: Any
    as_of: dt.datetime
    horizon_days: int
    first_day: dt.date
    last_day: dt.date
    margin: float | None = None

    @property
    def known_days(self) -> int:
        """The days from the first line to ``as_of``."""
        return (self.as_of.date() - self.first_day).days

    @property
    def period(self) -> str:
        """The length of the periods that the page is told in."""
        return next((name for days, name in PERIODS if self.known_days <= days), "year")

    def span(self, count: int, longest: int = YEAR) -> int:
        """Return the longest span of whole weeks, in days, of which the data hold ``count``."""
        fitting = (days for days in SPANS if days <= longest and count * days <= self.known_days)
        found = next(fitting, None)
        if found is None:
            msg = f"{CALLER}: it needs {count} weeks of orders, and there are {self.known_days} days."
            raise SchemaError(msg)
        return found

    def other(self, name: str, *roles: str) -> Any:
        """Return a table given beside the order lines, or None where it, or one of these roles, is not there."""
        table = self.others.get(name)
        return None if table is None or not table.has(*roles) else table

    @property
    def comparison(self) -> tuple[int, int]:
        """What is held against what: the days of a period, and how many periods before the other one lies.

        A year and the year before; else a quarter and the same one a year before; else two spans in a row.
        """
        if 2 * YEAR > self.known_days >= YEAR + QUARTER:
            return QUARTER, YEAR // QUARTER
        return self.span(2), 1


def known_before(transactions: Transactions, as_of: dt.datetime) -> tuple[Transactions, dt.date, dt.date]:
    """Cut the lines at ``as_of`` and return them with the days of the first and the last."""
    known = transactions.before(as_of)
    moment = nw.col("timestamp")
    lines = known.need(*ORDER_ROLES, caller=CALLER)
    first, last = collect(lines.select(first=moment.min(), last=moment.max())).row(0)
    if is_missing(first):
        msg = f"{CALLER}: no line lies before as_of={as_of:%Y-%m-%d}. Check as_of and the data."
        raise SchemaError(msg)
    return known, as_moment(first, caller=CALLER).date(), as_moment(last, caller=CALLER).date()


def added_up(known: Transactions) -> Transactions:
    """Add up lines of the same customer, order and moment, which most tables need no finer.

    What was bought, sent back and given away stay apart, so that an order is told from a credit note as in the lines.
    A lazy engine would repeat this for every table: its lines are left as they are.
    """
    if known.engine.is_lazy:
        return known
    keys = [name for name in ORDER_ROLES if name != "amount"]
    sign = (nw.col("amount") > 0).cast(nw.Int64) - (nw.col("amount") < 0).cast(nw.Int64)
    lines = known.need(*ORDER_ROLES, caller=CALLER).with_columns(_sign=sign)
    sums = lines.group_by(*keys, "_sign").agg(nw.col("amount").sum()).select(*ORDER_ROLES).sort(*ORDER_ROLES)
    return Transactions(known.to_native(sums))


def bound(given: Mapping[str, Any], transactions: Transactions, as_of: dt.datetime) -> dict[str, Any]:
    """Bind the tables given beside the order lines, and cut those with moments at ``as_of``."""
    tables = {name: OTHERS[name].bind(table) for name, table in given.items() if table is not None}
    check_same_kind(
        {"transactions": transactions.engine} | {name: table.engine for name, table in tables.items()}, caller=CALLER
    )
    for name, table in tables.items():
        _check_ids(name, table, transactions)
    return {
        name: table.before(as_of) if table.moment_role and table.has(table.moment_role) else table
        for name, table in tables.items()
    }


def _check_ids(name: str, table: Contract, transactions: Transactions) -> None:
    for key in ("customer_id", "product_id"):
        if table.has(key) and transactions.has(key) and table.id_kind(key) != transactions.id_kind(key):
            msg = (
                f"{CALLER}: {key} is {table.id_kind(key)} in {name} and {transactions.id_kind(key)} in transactions. "
                "Give both the same kind, for example with .astype(str) on both sides."
            )
            raise SchemaError(msg)


def small(table: Any) -> Any:
    """Return a table of any engine as pandas."""
    return None if table is None else to_pandas(table, caller=CALLER)
