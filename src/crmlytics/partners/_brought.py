"""Who brought each customer, and in what customers are alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crmlytics._frames import check_same_kind, collect
from crmlytics._validation import did_you_mean
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.partners._reading import PARTNER, names_of
from crmlytics.tables import Customers, check_same_ids

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics.partners._reading import Sales

    Codes = NDArray[np.int64]

CUSTOMER = "customer_id"


@dataclass(frozen=True, slots=True, eq=False)
class Brought:
    """Customers with an order, and who brought them; arrays have a row a customer.

    Attributes
    ----------
    names : list of str
        The partners: those of the sales, and after them those who only brought customers.
    customer : int64 array
        Their numbers in the sales.
    first : int64 array
        The rows of their first orders in the sales.
    first_day : int64 array
        The days of these, from 1970-01-01.
    partner : int64 array
        The number of the name of who brought them.
    stratum : int64 array or None
        Customers of the same number are alike; None where nobody asked.
    """

    names: list[str]
    customer: Codes
    first: Codes
    first_day: Codes
    partner: Codes
    stratum: Codes | None

    def until(self, end: dt.datetime, days: int) -> Brought:
        """Return the customers whose first so many days are over at a moment."""
        last = int(np.datetime64(end, "D").astype(np.int64)) - days
        kept = self.first_day <= last
        stratum = None if self.stratum is None else self.stratum[kept]
        return Brought(
            self.names, self.customer[kept], self.first[kept], self.first_day[kept], self.partner[kept], stratum
        )


def read_brought(sales: Sales, customers: Any, *, strata: Sequence[str] = (), caller: str) -> Brought:
    """Tell who brought each customer: ``partner_id`` of the customers where it is given, else the first order's."""
    firsts = sales.firsts()
    customer = np.flatnonzero(firsts >= 0)
    first = firsts[customer]
    seller = np.array(sales.names, object)[sales.partner[first]]
    if isinstance(strata, str):
        raise SchemaError(f"{caller}: like_for_like must be a list of columns, such as like_for_like=[{strata!r}].")
    if customers is None:
        if strata:
            raise SchemaError(f"{caller}: like_for_like names columns of customers. Give that table: customers=...")
        named, stratum = seller, None
    else:
        rows = _states(sales, customers, customer, sales.moment[first], strata, caller=caller)
        named = np.where(rows[PARTNER].isna(), seller, rows[PARTNER].to_numpy(object)) if PARTNER in rows else seller
        stratum = _strata(rows, strata) if strata else None
    names = [*sales.names, *sorted(set(named) - set(sales.names))]
    number = {name: place for place, name in enumerate(names)}
    partner = np.array([number[name] for name in named], np.int64)
    return Brought(names, customer, first, sales.day[first], partner, stratum)


def _states(
    sales: Sales, native: Any, customer: Codes, moment: NDArray[Any], strata: Sequence[str], *, caller: str
) -> pd.DataFrame:
    """Return what is known of each customer at the first order; missing for who is not in the table."""
    table = Customers.bind(native)
    check_same_kind({"transactions": sales.engine, "customers": table.engine}, caller=caller)
    check_same_ids([sales.table, table], role=CUSTOMER, caller=caller)
    there = table.columns
    for name in strata:
        if name not in there:
            msg = f"{caller}: like_for_like names {name!r}, no such column.{did_you_mean(name, there)} Columns: {there}"
            raise MissingColumnsError(msg)
    dates = [name for name in ("valid_from", "valid_to") if table.has(name)]
    wanted = [*strata, *([PARTNER] if table.has(PARTNER) else [])]
    rows = collect(table.need(CUSTOMER, *dict.fromkeys([*wanted, *dates]), caller=caller)).to_pandas()
    known = pd.DataFrame({CUSTOMER: sales.customer_ids[customer], "_moment": moment})
    rows[CUSTOMER] = rows[CUSTOMER].astype(known[CUSTOMER].dtype)
    joined = known.merge(rows, on=CUSTOMER, how="left")
    if dates:
        joined = _valid_then(joined, dates)
    joined = joined.drop_duplicates(CUSTOMER, keep="last")
    settled = known[[CUSTOMER]].merge(joined, on=CUSTOMER, how="left")
    if PARTNER in settled:
        settled[PARTNER] = names_of(settled[PARTNER], sales.table, name="customers", caller=caller)
    return settled


def _valid_then(joined: pd.DataFrame, dates: Sequence[str]) -> pd.DataFrame:
    """Keep the state of the moment of the first order; of several the last that began."""
    moment = joined["_moment"].astype("datetime64[us]")
    start = joined["valid_from"].astype("datetime64[us]")
    holds = start <= moment
    if "valid_to" in dates:
        end = joined["valid_to"].astype("datetime64[us]")
        holds &= end.isna() | (end > moment)
    return joined[holds].sort_values([CUSTOMER, "valid_from"], kind="stable")


def _strata(rows: pd.DataFrame, strata: Sequence[str]) -> Codes:
    """Give each combination of the columns a number; what is missing is a level of its own."""
    words = rows[list(strata)].astype("string").fillna("(missing)")
    codes: Codes = words.groupby(list(strata), sort=True).ngroup().to_numpy(np.int64)
    return codes
