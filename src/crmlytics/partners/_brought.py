"""Who brought each customer, and in what customers are alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from crmlytics._frames import check_same_kind, collect, plan_of
from crmlytics._validation import did_you_mean
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.partners._reading import PARTNER, names_of
from crmlytics.snapshots._customers import _in_force, _without_contradictions
from crmlytics.tables import Customers, check_same_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics.partners._reading import Codes, Flags, Sales

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

    def only(self, kept: Flags) -> Brought:
        """Return some of the customers."""
        own = {name: getattr(self, name)[kept] for name in ("customer", "first", "first_day", "partner")}
        return replace(self, **own, stratum=None if self.stratum is None else self.stratum[kept])


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
    validity = [name for name in ("valid_from", "valid_to") if table.has(name)]
    wanted = list(dict.fromkeys([*strata, *([PARTNER] if table.has(PARTNER) else [])]))
    rows = collect(table.need(CUSTOMER, *dict.fromkeys([*validity, *wanted]), caller=caller)).to_pandas()
    if PARTNER in rows:
        rows[PARTNER] = names_of(rows[PARTNER], sales.table, name="customers", caller=caller)
    rows = rows.astype(dict.fromkeys(wanted, "string"))
    known = pd.DataFrame({CUSTOMER: sales.customer_ids[customer]})
    rows[CUSTOMER] = rows[CUSTOMER].astype(known[CUSTOMER].dtype)
    if "valid_from" in validity:
        after = known.assign(_moment=moment + np.timedelta64(1, "us"))  # the state at the order itself counts
        rows = _then(after.merge(rows.astype(dict.fromkeys(validity, "datetime64[us]")), on=CUSTOMER), wanted)
    return known.merge(rows, on=CUSTOMER, how="left")


def _then(dated: pd.DataFrame, wanted: list[str]) -> pd.DataFrame:
    """Return the state of each customer just before ``_moment``, as snapshots read it."""
    rows = _in_force(plan_of(dated), nw.col("_moment"), has_end="valid_to" in dated)
    settled: pd.DataFrame = collect(_without_contradictions(rows.select(CUSTOMER, *wanted))).to_pandas()
    return settled


def _strata(rows: pd.DataFrame, strata: Sequence[str]) -> Codes:
    """Give each combination of the columns a number; what is missing is a level of its own."""
    words = rows[list(strata)].fillna("(missing)")
    codes: Codes = words.groupby(list(strata), sort=True).ngroup().to_numpy(np.int64)
    return codes
