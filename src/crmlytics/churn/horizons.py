"""How long to wait before silence is called churn: the horizon, held against the customers' own intervals."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import table_with_lists
from crmlytics._purchase_days import read_purchases
from crmlytics._validation import as_days, warn
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics._kernels.kaplan_meier import Curves
    from crmlytics._purchase_days import Purchases
    from crmlytics.tables import Transactions

    Vector = NDArray[np.float64]

MOST_RETURNED = 0.9
HALF = 0.5
MONTH_DAYS = 30
MUCH_LONGER = 2


def horizon_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    horizons: Sequence[str | dt.timedelta] = ("30d", "60d", "90d", "120d", "180d", "365d"),
) -> Any:
    """Say which share of customers has ordered again after so many days: what a horizon of churn calls lost too early.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``.
    as_of : date
        Nothing at or after it is read.
    horizons : sequence of durations

    Returns
    -------
    dataframe of the kind that came in, one row per horizon, sorted by it
        ``horizon_days`` (Int64); ``returned_share`` (Float64, of all waits for a next purchase, those over by then:
        Kaplan and Meier's estimate, waits that still last counted in); ``returned_of_known_share`` (Float64, of the
        waits that end within the longest one seen); ``suggested`` (Boolean, on the first horizon after which 90% of
        these are over). A share is null beyond the longest wait seen.

    Notes
    -----
    A horizon by which half of the returns are still to come calls loyal customers lost; one much longer than all but
    the rarest return finds out late, and leaves little history to learn from.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "a", "a", "b", "b"], "order_id": [1, 2, 3, 4, 5], "amount": 5.0,
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-21", "2024-02-10", "2024-01-01", "2024-02-25"]),
    ... })
    >>> horizon_table(orders, as_of="2024-03-01", horizons=["30d", "55d", "60d"]).round(3)
       horizon_days  returned_share  returned_of_known_share  suggested
    0            30           0.667                    0.667      False
    1            55           1.000                    1.000       True
    2            60             NaN                      NaN      False
    """
    caller = "horizon_table"
    several = [horizons] if isinstance(horizons, (str, dt.timedelta)) else horizons
    days = np.array(sorted({as_days(value, name="horizons", caller=caller) for value in several}), dtype=np.int64)
    if not len(days):
        msg = f'{caller}: horizons is empty. Give some, such as horizons=["30d", "90d"].'
        raise SchemaError(msg)
    purchases, engine = read_purchases(transactions, as_of=as_of, by=("customer_id",), caller=caller)
    curve = waits(purchases)
    share = returned_share(curve, days)
    known = 1 - curve.survival[-1]
    of_known = share / known if known > 0 else np.full(len(share), np.nan)
    suggested = np.zeros(len(days), dtype=bool)
    if (of_known >= MOST_RETURNED).any():
        suggested[np.argmax(of_known >= MOST_RETURNED)] = True
    columns = {"horizon_days": days, "returned_share": share, "returned_of_known_share": of_known}
    return table_with_lists(engine, columns | {"suggested": suggested})


def warn_of_horizon(purchases: Purchases, horizon_days: int, *, caller: str) -> None:
    """Warn of a horizon that calls customers lost who mostly return, or that waits for what hardly ever comes."""
    curve = waits(purchases)
    known = 1 - curve.survival[-1]
    if known <= 0:
        return
    returned = (1 - curve.survival) / known
    suggestion = _months(curve.time[np.argmax(returned >= MOST_RETURNED)])
    at = np.searchsorted(curve.time, horizon_days, side="right") - 1
    share = float(returned[at]) if at >= 0 else 0.0
    if share < HALF:
        warn(
            f"{caller}: of the customers who order again, {share:.0%} do so within horizon={horizon_days}d: most who "
            f'would be called churned return later. Within {suggestion} days 90% do: horizon="{suggestion}d". See '
            "horizon_table."
        )
    elif horizon_days > MUCH_LONGER * suggestion:
        warn(
            f"{caller}: 90% of the customers who order again do so within {suggestion} days. horizon={horizon_days}d "
            f'finds out late and leaves little history to learn from: horizon="{suggestion}d" may do. See '
            "horizon_table."
        )


def waits(purchases: Purchases) -> Curves:
    """Return the curve of waits for a next purchase, those still lasting cut off."""
    from crmlytics._kernels.kaplan_meier import kaplan_meier

    time = np.diff(purchases.day, append=0).astype(np.float64)
    last = purchases.starts[1:] - 1
    ended = np.ones(len(time), dtype=bool)
    ended[last] = False
    time[last] = purchases.watched - purchases.day[last]
    return kaplan_meier(time, ended, np.zeros(len(time), dtype=np.int64), 1)


def returned_share(curve: Curves, days: NDArray[np.int64]) -> Vector:
    """Return the share of waits that are over after so many days; NaN beyond the longest seen."""
    at = np.searchsorted(curve.time, days, side="right") - 1
    share = np.where(at >= 0, 1 - curve.survival[np.maximum(at, 0)], 0.0)
    return np.where(days > curve.time[-1], np.nan, share)


def _months(days: float) -> int:
    return int(np.ceil(days / MONTH_DAYS)) * MONTH_DAYS
