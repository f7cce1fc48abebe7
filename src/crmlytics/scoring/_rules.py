"""What a model of churn or of buying has to beat: rules that every analyst knows, on the same customers and cutoffs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._purchase_days import Purchases

    Vector = NDArray[np.float64]

MONTH_DAYS = 30
WEEK_DAYS = 7.0
NOBODY = -1
FEW_CUSTOMERS = 20  # with fewer nothing is fitted: nobody expects anything
QUINTILES = np.array([0.2, 0.4, 0.6, 0.8])


class Histories:
    """Purchase histories as they were known at a cutoff.

    Parameters
    ----------
    purchases : Purchases
        Days with a purchase, one history a customer.
    day : int
        The day of the cutoff, from 1970-01-01; purchases on it are not known yet.
    """

    def __init__(self, purchases: Purchases, day: int) -> None:
        owner = np.repeat(np.arange(len(purchases)), np.diff(purchases.starts))
        known = purchases.day < day
        self.customers, starts, counts = np.unique(owner[known], return_index=True, return_counts=True)
        days = purchases.day[known]
        self.first, self.last = days[starts], days[starts + counts - 1]
        self.x, self.t_x = (counts - 1).astype(np.float64), (self.last - self.first) / WEEK_DAYS
        self.T, self.day = (day - 1 - self.first) / WEEK_DAYS, day  # T ends with the last day known

    def of(self, owner: NDArray[np.int64], horizon_days: int) -> tuple[Vector, Vector, Vector]:
        """Return days of silence, repeat purchase days and those expected of some customers.

        Whose purchases all came back on the same day has none, and is taken to be silent since the data began.
        """
        at = np.minimum(np.searchsorted(self.customers, owner), len(self.customers) - 1)
        found = self.customers[at] == owner
        silent = np.where(found, self.day - self.last[at], self.day - self.first.min())
        expected = self.expected_purchases(horizon_days)
        return silent.astype(np.float64), np.where(found, self.x[at], 0.0), np.where(found, expected[at], 0.0)

    def expected_purchases(self, horizon_days: int) -> Vector:
        """Return the purchase days that the BG/NBD expects within the horizon, fitted to all customers known by then.

        Fader, P., Hardie, B. and Lee, K. (2005), "Counting your customers" the easy way, Marketing Science 24(2).
        """
        from crmlytics._kernels.beta_geo import BG_NBD
        from crmlytics._kernels.fitting import climb
        from crmlytics._kernels.population import Population

        if len(self.x) < FEW_CUSTOMERS:
            return np.zeros(len(self.x))
        population = Population(BG_NBD, self.x, self.t_x, self.T)
        starts = [np.log(np.array(start)) for start in BG_NBD.starts]
        with threadpool_limits(1, user_api="blas"):  # small vectors: threads would wait for one another
            theta = climb(population.objective(), starts, weight=len(self.x)).theta
        return np.asarray(population.alive(theta) * population.expected(theta, horizon_days / WEEK_DAYS))


def buying_rules(
    purchases: Purchases, customer: NDArray[Any], cutoff: NDArray[np.datetime64], amount: Vector, horizon_days: int
) -> dict[str, Vector]:  # fmt: skip
    """Score the rows of a panel by rules of thumb: higher is likelier to buy.

    Parameters
    ----------
    purchases : Purchases
    customer : array, shape (rows,)
        Ids.
    cutoff : datetime64 array, shape (rows,)
    amount : float64 array, shape (rows,)
        Money spent before the cutoff.
    horizon_days : int

    Returns
    -------
    dict of name to float64 array, shape (rows,)
        ``"recency"`` (days since the last purchase, negated), ``"RFM"`` (the sum of quintiles among the rows of the
        cutoff), ``"BG/NBD"`` (expected purchase days).
    """
    place = {identity: number for number, identity in enumerate(purchases.ids["customer_id"].tolist())}
    owner = np.array([place.get(identity, NOBODY) for identity in customer.tolist()], dtype=np.int64)
    rules = {name: np.empty(len(owner)) for name in ("recency", "RFM", "BG/NBD")}
    for moment in np.unique(cutoff):
        rows = np.flatnonzero(cutoff == moment)
        known = Histories(purchases, int(moment.astype("datetime64[D]").astype(np.int64)))
        recency, orders, expected = known.of(owner[rows], horizon_days)
        rules["recency"][rows] = -recency
        rules["RFM"][rows] = _quintile(-recency) + _quintile(orders) + _quintile(amount[rows])
        rules["BG/NBD"][rows] = expected
    return rules


def silence_windows(active_within_days: int | None) -> list[int]:
    """Return the windows of the rule "no order for w": the eligibility halved, and again, down to a month."""
    window = (active_within_days or 360) // 2
    windows = []
    while window >= MONTH_DAYS:
        windows.append(window)
        window //= 2
    return windows


def _quintile(values: Vector) -> Vector:
    return np.searchsorted(np.quantile(values, QUINTILES), values, side="left").astype(np.float64)
