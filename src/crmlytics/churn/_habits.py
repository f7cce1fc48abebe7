"""Whose silence is unusual: the usual interval of each customer, and what they brought."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._baskets import encode
from crmlytics._frames import collect, day_number
from crmlytics._purchase_days import CUSTOMER, read_purchases

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics._purchase_days import Purchases
    from crmlytics.tables import Transactions

    Vector = NDArray[np.float64]

NOON = 0.5  # purchases count as made at noon, and what is known ends with a day
YEAR_DAYS = 365


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """What each customer bought when; customers are sorted by id.

    Attributes
    ----------
    purchases : Purchases
        The days on which each bought.
    total_amount : float64 array, shape (customers,)
        Of all lines, returns taken off.
    year_amount : float64 array, shape (customers,)
        Of the lines in the 365 days that end with the last purchase, and of what came back after it.
    """

    purchases: Purchases
    total_amount: Vector
    year_amount: Vector

    @property
    def customer_ids(self) -> NDArray[Any]:
        """Return who they are."""
        return self.purchases.ids[CUSTOMER]

    def days_of(self, number: int) -> NDArray[np.int64]:
        """Return the days on which a customer bought, rising, from 1970-01-01."""
        starts = self.purchases.starts
        return self.purchases.day[starts[number] : starts[number + 1]]

    def usual_interval_days(self) -> Vector:
        """Return the median interval of each customer, drawn towards everybody's; NaN if nobody bought twice.

        The number of the same name in ``sequences.overdue_table``: the likelier of two laws of intervals is fitted to
        all of them, with the times still waited; a customer's own completed intervals then say where in the population
        they stand. The wait of now is left out, since it is what is measured by it.
        """
        from crmlytics._kernels.renewal import Spells, fit_weibull
        from crmlytics._kernels.renewal_log_logistic import fit_log_logistic

        bought = self.purchases
        last = bought.starts[1:] - 1
        ended = np.ones(len(bought.day), bool)
        ended[last] = False
        if not ended.any():
            return np.full(len(bought), np.nan)
        time = np.diff(bought.day, append=0).astype(np.float64)
        time[last] = bought.watched - bought.last() + NOON
        spells = Spells(np.repeat(np.arange(len(bought)), bought.counts()), time, ended, len(bought))
        weibull, log_logistic = fit_weibull(spells), fit_log_logistic(spells)
        known = spells.completed()
        if weibull.log_likelihood >= log_logistic.log_likelihood:
            return weibull.typical(weibull.posterior(known))
        return log_logistic.typical(log_logistic.posterior(known))


def read_histories(table: Transactions, as_of: dt.datetime, *, caller: str) -> Histories:
    """Read the days on which each customer bought before ``as_of`` (more than came back, or for free), and for what."""
    needed = (CUSTOMER, "timestamp", "amount")
    table.need(*needed, caller=caller)
    purchases, _ = read_purchases(table, as_of=as_of, by=(CUSTOMER,), caller=caller)
    lines = table.before(as_of).need(*needed, caller=caller)
    days = lines.select(CUSTOMER, "amount", day=day_number(nw.col("timestamp"))).group_by(CUSTOMER, "day")
    found = collect(days.agg(nw.col("amount").sum())).to_arrow()
    code, ids = encode(found[CUSTOMER])
    number = np.full(len(ids), -1)  # who only sent back is nobody's customer
    number[np.isin(ids, purchases.ids[CUSTOMER])] = np.arange(len(purchases))
    day, amount = np.asarray(found["day"].to_numpy(), np.int64), np.asarray(found["amount"].to_numpy(), np.float64)
    order = np.lexsort((day, number[code]))  # or sums would hang on the order of rows
    order = order[number[code][order] >= 0]
    owner, day, amount = number[code][order], day[order], amount[order]
    recent = day > purchases.last()[owner] - YEAR_DAYS
    total = np.bincount(owner, amount, len(purchases)).astype(np.float64)
    year = np.bincount(owner[recent], amount[recent], len(purchases)).astype(np.float64)
    return Histories(purchases, total, year)
