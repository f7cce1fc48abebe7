"""What to beat: the forecasts and lifetime values a course begins with, none of which needs a model to be fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt

from crmlytics._frames import collect, day_number
from crmlytics._kernels.markov import chain_value, expected_recency_purchases, recency_chain, stopping_value
from crmlytics._validation import as_days, as_moment, check_amount, check_count
from crmlytics.clv.preparing import holdout_days, purchase_days, split_day
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    import pandas as pd

    from crmlytics._kernels.special import Vector

Whole = npt.NDArray[np.int64]


def baseline_table(
    transactions: Transactions | Any,
    *,
    calibration_end: str | dt.date | dt.datetime,
    as_of: str | dt.date | dt.datetime,
    period: str | None = None,
) -> Any:
    """Forecast each customer's purchase days in a holdout by the rules of thumb that a model must beat.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``timestamp`` and ``amount``.
    calibration_end : date
        The first day of the holdout. Nothing on or after it is read.
    as_of : date
        The end of the holdout: it gives the length of what is forecast.
    period : str, optional
        The step of the retention rate, of the recency classes and of the chain, such as ``"30d"``; the holdout must be
        a whole number of periods long. Default: the whole holdout is one period.

    Returns
    -------
    dataframe of the kind that came in, one row per customer with a purchase before ``calibration_end``, sorted by it
        Forecasts of the number of days with a purchase in the holdout, all Float64:
        ``last_period_count`` (as many as in the time of the same length before),
        ``mean_count`` (everybody buys at the mean rate: repeat purchases of all / T of all, times the holdout),
        ``historic_rate_count`` (x / T times the holdout; 0 for who joined on the last day, T = 0),
        ``retention_rate_count`` (``m (r + r^2 + ... + r^n)`` over n periods, for who bought in the last period, 0 for
        others: r is the share of buyers of the period before last who bought in the last one, m the mean of the buyers
        of the last period),
        ``retention_table_count`` (one holdout length earlier: the mean of those who then were of the same recency),
        ``markov_count`` (``m`` times the purchases expected of a chain over periods since the last purchase).
        A column is null where the history is too short to estimate its rate: nobody had bought one length (or, for
        the retention rate, two periods) before ``calibration_end``.

    Raises
    ------
    SchemaError
        If ``calibration_end`` is not the beginning of a day before ``as_of``, or the holdout is no whole number of
        periods.

    Notes
    -----
    Recency classes are whole periods since the last purchase: 0 for a purchase in the last period. A class that nobody
    was in when its rate was estimated takes that of the nearest class that somebody was in (of two, the more recent).
    What counts as a purchase day is said at :func:`btyd_table`; :func:`holdout_table` has what happened.

    References
    ----------
    Pfeifer, P. and Carraway, R. (2000), Modeling customer relationships as Markov chains, Journal of Interactive
    Marketing 14(2), 43-55 (the chain).

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "a", "a", "b", "b", "c"], "amount": 9.0,
    ...     "timestamp": pd.to_datetime(
    ...         ["2024-01-01", "2024-01-09", "2024-01-12", "2024-01-02", "2024-01-10", "2024-01-03"]),
    ... })
    >>> table = baseline_table(orders, calibration_end="2024-01-15", as_of="2024-01-22")
    >>> table[["customer_id", "last_period_count", "retention_rate_count", "markov_count"]]
      customer_id  last_period_count  retention_rate_count  markov_count
    0           a                2.0                   1.0           1.0
    1           b                1.0                   1.0           1.0
    2           c                0.0                   0.0           1.0
    """
    caller = "baseline_table"
    as_of = as_moment(as_of, caller=caller)
    calibration_end = split_day(calibration_end, as_of, caller=caller)
    length = holdout_days(calibration_end, as_of)
    step = length if period is None else as_days(period, name="period", caller=caller)
    if length % step:
        msg = f"{caller}: the holdout of {length} days is no whole number of periods of {step} days."
        raise SchemaError(msg)
    table = Transactions.bind(transactions).before(calibration_end)
    days = _read_days(table, calibration_end, caller=caller)
    forecasts = {
        "last_period_count": days.counts(-length, 0),
        "mean_count": _mean_forecast(days, length),
        "historic_rate_count": _historic_forecast(days, length),
        "retention_rate_count": _retention_forecast(days, step, length // step),
        "retention_table_count": _retention_table_forecast(days, step, length),
        "markov_count": _markov_forecast(days, step, length // step),
    }
    columns = {name: [None] * len(days.keys) if values is None else values for name, values in forecasts.items()}
    kind = nw.String() if days.keys.dtype == object else nw.Int64()
    schema = nw.Schema({"customer_id": kind, **dict.fromkeys(forecasts, nw.Float64())})
    keys = days.keys.tolist() if days.keys.dtype == object else days.keys
    return table.engine.from_columns({"customer_id": keys, **columns}, schema)


def retention_lifetime_value(
    margin_amount: float, *, retention_rate: float, discount_rate: float, immediate_margin: bool = False
) -> float:
    """Value of a customer who renews at a constant rate for ever: the textbook formula ``m r / (1 + d - r)``.

    Parameters
    ----------
    margin_amount : float
        What a customer brings per period, m.
    retention_rate : float
        Probability r of staying for another period, from 0 to 1.
    discount_rate : float
        Per period, d.
    immediate_margin : bool, default False
        Whether a first margin, certain and not discounted, is part of the value: ``m (1 + d) / (1 + d - r)``, the value
        of a customer just acquired. Without it: of one whose margin was just paid, the next one due in a period.

    Returns
    -------
    float
        In the currency of ``margin_amount``; one at the end of period t = 1, 2, ... is worth ``m r^t / (1 + d)^t``.

    Notes
    -----
    All customers have the same r, for ever. Where they differ, those who stay are the more loyal ones, and this value
    is too low (Fader and Hardie 2010): see :func:`retention_elasticity_table`.

    References
    ----------
    Gupta, S. and Lehmann, D. (2003), Customers as assets, Journal of Interactive Marketing 17(1), 9-24.

    Examples
    --------
    >>> round(retention_lifetime_value(100.0, retention_rate=0.8, discount_rate=0.1), 2)
    266.67
    >>> round(retention_lifetime_value(100.0, retention_rate=0.8, discount_rate=0.1, immediate_margin=True), 2)
    366.67
    """
    caller = "retention_lifetime_value"
    margin = check_amount(margin_amount, name="margin_amount", caller=caller)
    retention = check_amount(retention_rate, name="retention_rate", caller=caller)
    discount = check_amount(discount_rate, name="discount_rate", caller=caller)
    if retention > 1:
        raise SchemaError(f"{caller}: retention_rate must be a share from 0 to 1, got {retention_rate!r}.")
    leaving = discount + (1 - retention)
    if leaving == 0:
        raise SchemaError(f"{caller}: nobody leaves and nothing is discounted, so the value is infinite.")
    return margin * ((1 + discount) if immediate_margin else retention) / leaving


def markov_value_table(
    purchase_probabilities: Sequence[float],
    *,
    margin_amount: float,
    contact_cost: float,
    discount_rate: float,
    horizon: int | None = None,
) -> pd.DataFrame:
    """Value customers by how long ago they bought, and say up to when it pays to contact them.

    A customer of recency r bought r periods ago (1: has just bought), is contacted, and buys in the next period with
    probability ``p_r``: then the recency is 1, else r + 1. After the last recency customers are given up.

    Parameters
    ----------
    purchase_probabilities : sequence of float
        p_1, p_2, ..., p_n, from 0 to 1.
    margin_amount : float
        What a purchase brings, before the cost of contact.
    contact_cost : float
        Of contacting a customer once.
    discount_rate : float
        Per period; above zero where the horizon is infinite.
    horizon : int, optional
        Periods after the present one. Default: for ever.

    Returns
    -------
    pandas.DataFrame, one row per recency
        ``recency`` (int, 1, ..., n), ``purchase_probability``, ``value_amount`` (contacted at every recency up to n),
        ``best_value_amount`` (contacted only where that pays; who is not is given up), ``is_contacted`` (bool, whether
        it pays at this recency, with the whole horizon ahead).

    Notes
    -----
    ``V = (I - P / (1 + d))^-1 R`` with the rewards ``R = (margin_amount - contact_cost, -contact_cost, ...)``, and
    ``V_T = R + P R / (1 + d) + ... + P^T R / (1 + d)^T``. A purchase and the next contact fall on the same moment.

    References
    ----------
    Pfeifer, P. and Carraway, R. (2000), Modeling customer relationships as Markov chains, Journal of Interactive
    Marketing 14(2), 43-55: the example is theirs.

    Examples
    --------
    >>> example = {"margin_amount": 40, "contact_cost": 4, "discount_rate": 0.2}
    >>> markov_value_table([0.3, 0.2, 0.15, 0.05], **example).round(3)
       recency  purchase_probability  value_amount  best_value_amount  is_contacted
    0        1                  0.30        52.320             53.149          True
    1        2                  0.20         5.554              6.621          True
    2        3                  0.15         1.251              2.644          True
    3        4                  0.05        -1.820              0.000         False

    It does not pay to contact customers of recency 4, so they are given up. Within four periods:

    >>> markov_value_table([0.3, 0.2, 0.15, 0.05], **example, horizon=4)["value_amount"].round(3).tolist()
    [50.115, 4.22, 0.592, -1.98]
    """
    import pandas as pd

    caller = "markov_value_table"
    p = _check_probabilities(purchase_probabilities, caller=caller)
    margin = check_amount(margin_amount, name="margin_amount", caller=caller)
    cost = check_amount(contact_cost, name="contact_cost", caller=caller)
    discount = check_amount(discount_rate, name="discount_rate", caller=caller, positive=horizon is None)
    if horizon is not None:
        check_count(horizon, name="horizon", caller=caller, least=0)
    chain = recency_chain(p)
    margins = np.where(np.arange(len(p)) == 0, margin, 0.0)
    best, contacted = stopping_value(chain, margins, cost, discount, horizon)
    return pd.DataFrame(
        {
            "recency": np.arange(1, len(p) + 1),
            "purchase_probability": p,
            "value_amount": chain_value(chain, margins - cost, discount, horizon),
            "best_value_amount": best,
            "is_contacted": contacted,
        },
    )


def _check_probabilities(values: Sequence[float], *, caller: str) -> Vector:
    p = np.asarray(values, dtype=float)
    if p.ndim != 1 or len(p) == 0 or not ((p >= 0) & (p <= 1)).all():
        msg = f"{caller}: purchase_probabilities must be a list of shares from 0 to 1, got {values!r}."
        raise SchemaError(msg)
    return p


@dataclass(frozen=True, slots=True)
class _Days:
    """Purchase days as arrays: one entry a day, and the customers they belong to.

    Attributes
    ----------
    keys : array, one entry per customer, sorted
    codes : int array, one entry per purchase day
        The place of its customer in ``keys``.
    numbers : int array, one entry per purchase day
        Counted from the end of calibration: -1 is the day before it.
    """

    keys: npt.NDArray[Any]
    codes: Whole
    numbers: Whole

    def counts(self, start: int, end: int) -> Vector:
        """Return each customer's purchase days from ``start`` (inclusive) to ``end`` (exclusive)."""
        inside = (self.numbers >= start) & (self.numbers < end)
        return np.bincount(self.codes[inside], minlength=len(self.keys)).astype(float)

    def silence(self, at: int) -> Whole:
        """Return each customer's days since the last purchase before day ``at``; -1 for who had none."""
        known = self.numbers < at
        silence = np.full(len(self.keys), np.iinfo(np.int64).max)
        np.minimum.at(silence, self.codes[known], at - 1 - self.numbers[known])
        return np.where(silence == np.iinfo(np.int64).max, -1, silence)


def _read_days(table: Transactions, calibration_end: dt.datetime, *, caller: str) -> _Days:
    plan = purchase_days(table, caller=caller).select("customer_id", number=day_number(nw.col("day")))
    days = collect(plan)
    ids = days["customer_id"]
    is_text = table.id_kind("customer_id") == "String"
    keys = np.asarray(ids.to_list(), dtype=object) if is_text else np.asarray(ids.to_numpy(), dtype=np.int64)
    keys, codes = np.unique(keys, return_inverse=True)
    end = np.datetime64(calibration_end, "D").astype(np.int64)
    return _Days(keys, codes, np.asarray(days["number"].to_numpy(), dtype=np.int64) - end)


def _mean_forecast(days: _Days, length: int) -> Vector:
    watched = float((-1 - _first(days)).sum())
    rate = (len(days.codes) - len(days.keys)) / watched if watched else 0.0
    return np.full(len(days.keys), rate * length)


def _historic_forecast(days: _Days, length: int) -> Vector:
    watched = -1 - _first(days)
    repeats = np.bincount(days.codes, minlength=len(days.keys)) - 1
    return repeats / np.maximum(watched, 1) * float(length)  # no repeats where nothing was watched


def _first(days: _Days) -> Whole:
    first = np.zeros(len(days.keys), dtype=np.int64)
    np.minimum.at(first, days.codes, days.numbers)
    return first


def _retention_forecast(days: _Days, step: int, steps: int) -> Vector | None:
    last, before = days.counts(-step, 0), days.counts(-2 * step, -step) > 0
    if not before.any():
        return None
    active = last > 0
    rate = float((before & active).sum() / before.sum())
    return np.asarray(active * _purchases_per_buyer(last) * sum(rate**j for j in range(1, steps + 1)))


def _retention_table_forecast(days: _Days, step: int, length: int) -> Vector | None:
    means = _means_by_class(days.silence(-length) // step, days.counts(-length, 0))
    if means is None:
        return None
    return np.asarray(means[np.minimum(days.silence(0) // step, len(means) - 1)])


def _markov_forecast(days: _Days, step: int, steps: int) -> Vector | None:
    last = days.counts(-step, 0)
    probabilities = _means_by_class(days.silence(-step) // step, (last > 0).astype(float))
    if probabilities is None:
        return None
    expected = expected_recency_purchases(probabilities, steps) * _purchases_per_buyer(last)
    return np.asarray(expected[np.minimum(days.silence(0) // step, len(expected) - 1)])


def _purchases_per_buyer(counts: Vector) -> float:
    buyers = (counts > 0).sum()
    return float(counts.sum() / buyers) if buyers else 0.0


def _means_by_class(classes: Whole, outcomes: Vector) -> Vector | None:
    """Return the mean outcome of class 0, 1, ..., the oldest seen; an empty class takes that of its nearest."""
    known = classes >= 0
    if not known.any():
        return None
    sizes = np.bincount(classes[known])
    seen = np.flatnonzero(sizes)
    means = np.bincount(classes[known], outcomes[known])[seen] / sizes[seen]
    distance = np.abs(np.arange(len(sizes))[:, None] - seen)
    return np.asarray(means[distance.argmin(axis=1)])  # of two as near, the first: the more recent
