"""Whether a partner is silent for longer than its own pace explains."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crmlytics.partners._reading import LEAST_DAYS

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics.partners._reading import Sales

    Vector = NDArray[np.float64]

NOON = 0.5  # orders count as placed at noon, and what is known ends with a day
SURE = 0.95


class Pace(NamedTuple):
    """How often each partner sells, and since when it does not.

    Attributes
    ----------
    last_order_at : datetime64[us] array, shape (partners,)
        The last line of an order, NaT without one.
    silent_days, usual_interval_days, overdue_probability : float64 arrays, shape (partners,)
        NaN for a partner without an order; the latter two also where none sold on two days.
    is_inactive : bool array
    """

    last_order_at: NDArray[np.datetime64]
    silent_days: Vector
    usual_interval_days: Vector
    overdue_probability: Vector
    is_inactive: NDArray[np.bool_]


def read_pace(sales: Sales, as_of: dt.datetime, longest: int) -> Pace:
    """Tell the pace of each partner from the days on which it sold; ``longest`` days of silence where none is known."""
    pairs = np.unique(np.column_stack([sales.partner, sales.day])[sales.is_order], axis=0)
    key, day = pairs[:, 0], pairs[:, 1]
    last_order_at = _last_order_at(sales)
    last = np.where(np.isnat(last_order_at), np.nan, last_order_at.astype("datetime64[D]").astype(np.float64))
    today = int(np.datetime64(as_of, "D").astype(np.int64))
    watched = int((np.datetime64(as_of, "us") - np.timedelta64(1, "us")).astype("datetime64[D]").astype(np.int64))
    usual, overdue = _renewal(key, day, last, watched)
    silent = today - last
    is_late = np.where(np.isnan(overdue), silent > longest, (overdue >= SURE) & (silent > LEAST_DAYS))
    is_inactive = np.isnan(last) | is_late
    return Pace(last_order_at, silent, usual, overdue, is_inactive)


def _last_order_at(sales: Sales) -> NDArray[np.datetime64]:
    last = np.full(len(sales.names), np.datetime64("NaT"), "datetime64[us]")
    rows = np.flatnonzero(sales.is_order)
    rows = rows[np.argsort(sales.last_moment[rows], kind="stable")]
    last[sales.partner[rows]] = sales.last_moment[rows]  # moments rise: the last one stays
    return last


def _renewal(key: NDArray[np.int64], day: NDArray[np.int64], last: Vector, watched: int) -> tuple[Vector, Vector]:
    """Return the usual interval, and how likely an interval would have ended by now: as ``sequences.overdue_table``."""
    from crmlytics._kernels.renewal import Spells, fit_weibull
    from crmlytics._kernels.renewal_log_logistic import fit_log_logistic

    sold, number = np.unique(key, return_inverse=True)
    none = np.full(len(last), np.nan)
    ended = np.append(number[1:] == number[:-1], np.zeros(1, bool))[: len(number)]
    if not ended.any():
        return none, none
    waited = watched - last[sold] + NOON
    time = np.where(ended, np.diff(day, append=0), 0).astype(np.float64)
    time[~ended] = waited
    spells = Spells(number.astype(np.int64), time, ended, len(sold))
    weibull, log_logistic = fit_weibull(spells), fit_log_logistic(spells)
    model = weibull if weibull.log_likelihood >= log_logistic.log_likelihood else log_logistic
    known = model.posterior(spells.completed())
    usual, overdue = none.copy(), none.copy()
    usual[sold], overdue[sold] = model.typical(known), 1 - model.survival(known, waited)
    return usual, overdue
