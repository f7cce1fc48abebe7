"""Who came new in a period, how, and at what cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from crmlytics._frames import collect
from crmlytics._kernels.ratios import over
from crmlytics._sales import named
from crmlytics._validation import warn
from crmlytics.channels._reading import FEW, UNKNOWN, channel_costs, sorted_names, sums
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    import datetime as dt

    from crmlytics.channels._reading import Codes, Flags, Sales, Vector
    from crmlytics.tables import Customers

ACQUIRED_BY = "acquisition_channel"
EARLY_DAYS, CROWD = 30, 3  # so many times as many first orders at first as later: that is no growth


@dataclass(frozen=True, slots=True, eq=False)
class Newcomers:
    """Customers whose first order is of a period, and surely their first.

    Attributes
    ----------
    names : list of str
        The channels.
    customer, first, first_day, channel : int64 arrays
        Of each customer: the number, the row of the first order and its day, the number of the channel.
    cost : float64 array
        Of each customer, NaN where nobody knows.
    spent : float64 array
        Of each channel in all.
    left_out : int
        How many had joined before the first day of the data.
    cut_off : bool
        Whether old customers seem to be among them.
    """

    names: list[str]
    customer: Codes
    first: Codes
    first_day: Codes
    channel: Codes
    cost: Vector
    spent: Vector
    left_out: int
    cut_off: bool

    @classmethod
    def of(
        cls, sales: Sales, told: pd.DataFrame | None, begin: dt.datetime | None, costs: Any, *, caller: str
    ) -> Newcomers:
        """Find whose first order is of the period, and how they came."""
        people, left_out = _new(_people(sales, told), sales, begin, caller=caller)
        words, first = people[ACQUIRED_BY].to_numpy(object), people["first"].to_numpy(np.int64)
        paid = None if costs is None else channel_costs(costs, set(words), caller=caller)
        names = sorted_names([*words, *(paid or ())], caller=caller)
        number = {name: place for place, name in enumerate(names)}
        channel = np.array([number[name] for name in words], np.int64)
        cost, spent = _costs(people["cost"].to_numpy(np.float64, na_value=np.nan), channel, names, paid)
        customer, day = people["customer"].to_numpy(np.int64), sales.day[first]
        cut_off = _tell_cut_off(int(sales.day[0]), day[people["joined"].isna()], caller=caller)
        return cls(names, customer, first, day, channel, cost, spent, left_out, cut_off)

    def only(self, kept: Flags) -> Newcomers:
        """Return some of the customers."""
        own = {name: getattr(self, name)[kept] for name in ("customer", "first", "first_day", "channel", "cost")}
        return replace(self, **own)


def told_by(known: Customers, end: dt.datetime, *, caller: str) -> pd.DataFrame:
    """Return what customers say of how they came, when, and what it cost: one row each, the earliest with a channel."""
    roles = [name for name in ("valid_from", ACQUIRED_BY, "acquisition_cost") if known.has(name)]
    plan = known.need("customer_id", *roles, caller=caller)
    if ACQUIRED_BY in roles:
        plan = plan.with_columns(named(ACQUIRED_BY, UNKNOWN))
    if "valid_from" in roles:
        plan = plan.filter(nw.col("valid_from").is_null() | (nw.col("valid_from") < end))
    rows = collect(plan.select("customer_id", *roles)).to_pandas().rename(columns={"acquisition_cost": "cost"})
    rows = rows.sort_values(list(rows), kind="stable", na_position="first")  # a row without a beginning held always
    if "valid_from" in roles:
        begins = np.where(rows["customer_id"].duplicated(), 0, np.arange(len(rows)))
        rows["joined"] = rows["valid_from"].array.take(np.maximum.accumulate(begins))
    if ACQUIRED_BY in roles:
        is_unknown = rows[ACQUIRED_BY] == UNKNOWN
        if "cost" in rows:
            rows["cost"] = rows["cost"].mask(is_unknown)  # of no channel
        rows = pd.concat([rows[~is_unknown], rows[is_unknown]])
    return rows.drop_duplicates("customer_id")


def _people(sales: Sales, told: pd.DataFrame | None) -> pd.DataFrame:
    """Return the customers with an order, the row of the first, and the channel, cost and day of joining."""
    firsts = sales.firsts()
    people = pd.DataFrame({"customer_id": sales.customer_ids, "first": firsts})
    people = people.assign(customer=people.index)[firsts >= 0]
    if told is not None:
        told = told.astype({"customer_id": people["customer_id"].dtype})
        people = people.merge(told, on="customer_id", how="left")
    of_order = np.array(sales.names, object)[sales.channel[people["first"]]]
    said = people.get(ACQUIRED_BY, pd.Series(of_order, people.index)).astype(object)
    return pd.DataFrame({
        "customer": people["customer"], "first": people["first"], ACQUIRED_BY: said.where(said.notna(), UNKNOWN),
        "cost": people.get("cost", np.nan), "joined": people.get("joined", pd.NaT),
    })  # fmt: skip


def _new(people: pd.DataFrame, sales: Sales, begin: dt.datetime | None, *, caller: str) -> tuple[pd.DataFrame, int]:
    """Return whose first order is of the period, and how many of them are old: they joined before the data begin."""
    if begin is not None:
        people = people[sales.moment[people["first"]] >= np.datetime64(begin, "us")]
    start = sales.moment[0].astype("datetime64[D]")
    is_old = people["joined"].to_numpy("datetime64[D]") < start
    if is_old.any() and is_old.all():
        raise SchemaError(
            f"{caller}: valid_from says that everybody had joined before {start}, the first day of the orders, so "
            "nobody is new. Bind the day of joining, Customers(data, valid_from='<column>'), or none: valid_from=None."
        )
    return people[~is_old], int(is_old.sum())


def _costs(cost: Vector, channel: Codes, names: list[str], paid: dict[str, float] | None) -> tuple[Vector, Vector]:
    """Return what customers cost, and channels; an unknown cost is taken for the mean of the channel's others."""
    size = len(names)
    if paid is None:
        known = ~np.isnan(cost)
        mean = over(sums(channel[known], cost[known], size), np.bincount(channel[known], minlength=size))
        cost = np.where(known, cost, mean[channel])
        return cost, sums(channel, cost, size)
    spent = np.array([paid.get(name, np.nan) for name in names], np.float64)
    return over(spent, np.bincount(channel, minlength=size))[channel], spent


def _tell_cut_off(start: int, days: Codes, *, caller: str) -> bool:
    """Tell, and warn, whether first orders crowd where the data begin, so that old customers look new."""
    span = int(days.max(initial=start)) - start + 1
    if span <= 2 * EARLY_DAYS or len(days) < FEW:
        return False
    early = int((days < start + EARLY_DAYS).sum())
    later = (len(days) - early) * EARLY_DAYS / (span - EARLY_DAYS)
    if early <= CROWD * later:
        return False
    warn(
        f"{caller}: {early:,} customers have their first order in the first {EARLY_DAYS} days of the data, later "
        f"{later:,.0f} in as many. The data seem to begin amid the business, and old customers to look new. Bind "
        f'the day of joining, Customers(data, valid_from="<column>"), or leave these days out: '
        f'since="{np.datetime64(start + 3 * EARLY_DAYS, "D")}", or later.'
    )
    return True
