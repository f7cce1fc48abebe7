"""How many tickets will come, by day or by hour, and how far that may be off."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._cautions import cautions
from crmlytics._frames import Engine, collect
from crmlytics._kernels.workload import (
    back_test,
    forecast_counts,
    weekly_counts,
    weeks_needed,
)
from crmlytics._validation import as_days, as_moment, check_choice, check_fraction
from crmlytics.exceptions import SchemaError
from crmlytics.support._reading import HOUR
from crmlytics.tables import Tickets

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.workload import BackTest

    Vector = NDArray[np.float64]
    Counts = NDArray[np.int64]

HOURS = {"day": 24, "hour": 1}
WEEK_HOURS = 168
SILENCE = 1e-6  # so rarely a week stays empty by chance that the export must have ended
UNUSUAL = 1e-3  # so rarely none comes for so long by chance that it may have
PROFILE, LAST_WEEK = "profile", "last week"
BETTER, WORSE, ALIKE = "better than last week", "worse than last week", "no clear difference from last week"
MAY_HAVE_ENDED = "No ticket since {last:%Y-%m-%d}, in which time {usual:,.1f} usually come: the export may end there."
NOT_BETTER = "In the back-test no better than last week's numbers: see workload_evaluation_table."
FORECAST_SCHEMA = nw.Schema({
    "period_start": nw.Datetime("us"), "period_end": nw.Datetime("us"), "expected_count": nw.Float64(),
    "expected_count_low": nw.Float64(), "expected_count_high": nw.Float64(), "last_week_count": nw.Float64(),
    "caution": nw.String(),
})  # fmt: skip
EVALUATION_SCHEMA = nw.Schema({
    "method": nw.String(), "origin_count": nw.Int64(), "period_count": nw.Int64(), "mean_count": nw.Float64(),
    "mean_error_count": nw.Float64(), "mean_absolute_error_count": nw.Float64(), "error_ratio": nw.Float64(),
    "error_difference_count": nw.Float64(), "error_difference_count_low": nw.Float64(),
    "error_difference_count_high": nw.Float64(), "total_error_share": nw.Float64(), "covered_share": nw.Float64(),
    "verdict": nw.String(),
})  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """The tickets of whole weeks before a moment.

    Attributes
    ----------
    engine : Engine
    counts : float64 array, shape (weeks, slots)
    start : datetime
        Where the forecast begins.
    hours : int
        Of a period.
    periods : int
        To forecast.
    last : datetime
        The last ticket.
    """

    engine: Engine
    counts: Vector
    start: dt.datetime
    hours: int
    periods: int
    last: dt.datetime


def workload_table(
    tickets: Tickets | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    period: str = "day",
    horizon: str | dt.timedelta = "14d",
    history: str | dt.timedelta = "182d",
    confidence: float = 0.95,
) -> Any:
    """Forecast how many tickets will be opened in each of the next days or hours.

    Parameters
    ----------
    tickets : Tickets or dataframe, one row per ticket
        Needs ``ticket_id`` and ``opened_at``.
    as_of : date
        Tickets opened on or after it are not read. The day (or hour) that it lies in is the first of the forecast, as a
        whole.
    period : {"day", "hour"}, default "day"
    horizon : str, default "14d"
        How far to look ahead.
    history : str, default "182d"
        How far to look back, in whole weeks before ``as_of``.
    confidence : float, default 0.95
        Of the intervals.

    Returns
    -------
    dataframe of the kind that came in, one row per day or hour, in order
        ``period_start``, ``period_end`` (datetime); ``expected_count`` (Float64) with ``_low`` and ``_high``, between
        which the number that comes will lie; ``last_week_count`` (Float64, the same hour of the last week known);
        ``caution`` (String, null, or that the forecast did no better than the last week's numbers, or that no ticket
        came for so long before ``as_of`` as less than one silence in a thousand lasts).

    Raises
    ------
    SchemaError, MissingColumnsError
        For an option that cannot be read, a role without a column, or too few weeks of tickets for a back-test.

    Notes
    -----
    Expected is the level of recent weeks (exponential weights; the half-life of 1, 2, 4 or 8 weeks that would have been
    best so far) times the share that falls on the weekday, or on the weekday and hour (half-life 13 weeks; hours of
    few tickets borrow from their weekday and their hour). Bounds are quantiles of a negative binomial whose spread is
    that of the errors which the same forecast would have made as long ahead before: chance, good and bad days, and a
    level that moves; a weekday that never had a ticket counts as half a one in all weeks.
    :func:`workload_evaluation_table` says how good it was.

    When not to use: across holidays, product launches and price changes, of which the tickets before know nothing. No
    trend and no season of the year is carried on beyond the level of the last weeks. Bounds are those of one day or
    hour each; those of sums are not the sums of bounds.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.date_range("2024-01-01", periods=84)  # twelve weeks, five tickets a day, two on Saturdays and Sundays
    >>> opened = days.repeat([5 if day.weekday() < 5 else 2 for day in days])
    >>> tickets = pd.DataFrame({"ticket_id": range(len(opened)), "opened_at": opened})
    >>> table = workload_table(tickets, as_of="2024-03-25", horizon="7d")
    >>> table["expected_count"].round(2).tolist()
    [5.0, 5.0, 5.0, 5.0, 5.0, 2.0, 2.0]
    """
    caller = "workload_table"
    check_fraction(confidence, name="confidence", caller=caller)
    past = _read(tickets, as_of=as_of, period=period, horizon=horizon, history=history, caller=caller)
    tested = back_test(past.counts, past.periods)
    expected = forecast_counts(past.counts, tested.half_life, past.periods)
    low, high = tested.bounds(expected, confidence)
    step = np.timedelta64(past.hours, "h")
    start = np.datetime64(past.start, "us") + step * np.arange(past.periods)
    columns: dict[str, Any] = {
        "period_start": start,
        "period_end": start + step,
        "expected_count": expected,
        "expected_count_low": low,
        "expected_count_high": high,
        "last_week_count": np.resize(past.counts[-1], past.periods),
        "caution": _cautions(past, tested),
    }
    return past.engine.from_columns(columns, FORECAST_SCHEMA)


def workload_evaluation_table(
    tickets: Tickets | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    period: str = "day",
    horizon: str | dt.timedelta = "14d",
    history: str | dt.timedelta = "182d",
    confidence: float = 0.95,
) -> Any:
    """Say how well :func:`workload_table` would have forecast at earlier moments, beside the last week's numbers.

    Parameters
    ----------
    tickets, as_of, period, horizon, history, confidence : as in :func:`workload_table`

    Returns
    -------
    dataframe of the kind that came in, one row per method
        ``method`` (String: "profile", the forecast; "last week", the numbers of the week before, again and again);
        ``origin_count``, ``period_count`` (Int64, moments forecast from, and days or hours forecast in all);
        ``mean_count`` (Float64, that came a period), ``mean_error_count`` (forecast less what came),
        ``mean_absolute_error_count``; ``error_ratio`` (of the latter to that of "last week"),
        ``error_difference_count`` with ``_low`` and ``_high`` (its difference to "last week", null for itself);
        ``total_error_share`` (by how much the total of a horizon was off, over what came); ``covered_share`` (of
        periods, that lay within the bounds; null for "last week", which has none); ``verdict`` (String, null for "last
        week").

    Raises
    ------
    SchemaError, MissingColumnsError
        As :func:`workload_table`.

    Notes
    -----
    Rolling origins, a horizon apart so that none is judged twice, each knowing the weeks before it alone; the half-life
    is chosen anew at each. Bounds at an origin have the spread of the errors at the other origins. The interval of the
    difference is Student's t over the origins; the verdict says whether it holds zero.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> random = np.random.default_rng(0)
    >>> days = pd.date_range("2024-01-01", periods=182)
    >>> opened = days.repeat(random.poisson([20 if day.weekday() < 5 else 6 for day in days]))
    >>> tickets = pd.DataFrame({"ticket_id": range(len(opened)), "opened_at": opened})
    >>> table = workload_evaluation_table(tickets, as_of=days[-1] + pd.Timedelta(days=1))
    >>> table[["method", "origin_count", "error_ratio", "covered_share", "verdict"]].round(2)
          method  origin_count  error_ratio  covered_share                verdict
    0    profile            11         0.77           0.95  better than last week
    1  last week            11         1.00            NaN                    NaN
    """
    caller = "workload_evaluation_table"
    check_fraction(confidence, name="confidence", caller=caller)
    past = _read(tickets, as_of=as_of, period=period, horizon=horizon, history=history, caller=caller)
    tested = back_test(past.counts, past.periods)
    naive = _absolute(tested.last_week, tested).mean(axis=1)
    rows = [
        _judged(PROFILE, tested.forecasts, tested, naive)
        | _compared(_absolute(tested.forecasts, tested).mean(axis=1) - naive, confidence)
        | {"covered_share": _covered(tested, confidence)},
        _judged(LAST_WEEK, tested.last_week, tested, naive),
    ]
    columns = {name: [row.get(name) for row in rows] for name in EVALUATION_SCHEMA}
    return past.engine.from_columns(columns, EVALUATION_SCHEMA)


# -- inside --------------------------------------------------------------------------------------------------------


def _read(tickets: Any, *, as_of: Any, period: str, horizon: Any, history: Any, caller: str) -> Past:
    """Count the tickets of whole weeks, the last of which ends with the last whole period before ``as_of``."""
    moment = as_moment(as_of, caller=caller)
    hours = HOURS[check_choice(period, HOURS, name="period", caller=caller)]
    periods = as_days(horizon, caller=caller) * 24 // hours
    most = as_days(history, name="history", caller=caller) // 7
    table = Tickets.bind(tickets)
    rows = collect(table.before(moment).need("ticket_id", "opened_at", caller=caller).select("opened_at")).to_pandas()
    opened = rows["opened_at"].astype("datetime64[us]").to_numpy().astype(np.int64)
    width = hours * HOUR
    end = int(np.datetime64(moment, "us").astype(np.int64)) // width * width
    weeks = min(most, (end - int(opened.min())) // (WEEK_HOURS * HOUR)) if len(opened) else 0
    slots = WEEK_HOURS // hours
    if weeks < weeks_needed(periods, slots):
        needed = weeks_needed(periods, slots)
        msg = (
            f"{caller}: {needed} whole weeks of tickets before as_of are needed to see how well a forecast of "
            f"{periods * hours // 24} days does, got {max(weeks, 0)}. Take a shorter horizon such as "
            f'horizon="7d", or history="{needed * 7}d" or longer.'
        )
        raise SchemaError(msg)
    counts = weekly_counts((end - 1 - opened) // width, weeks, slots)
    last = np.datetime64(int(opened.max()), "us").astype(dt.datetime)
    _refuse_silence(counts, last, moment, caller=caller)
    return Past(table.engine, counts, np.datetime64(end, "us").astype(dt.datetime), hours, periods, last)


def _refuse_silence(counts: Vector, last: dt.datetime, moment: dt.datetime, *, caller: str) -> None:
    """Refuse an export that ended: no ticket at all, or a last week as empty as none is by chance."""
    usual = float(counts.sum()) / len(counts)
    if usual == 0 or (counts[-1].sum() == 0 and np.exp(-usual) < SILENCE):
        msg = (
            f"{caller}: the last ticket is of {last:%Y-%m-%d}, and {usual:,.1f} a week came in the history before "
            f"as_of={moment:%Y-%m-%d}, none in its last week. Does the export end there? Take an as_of soon after it."
        )
        raise SchemaError(msg)


def _cautions(past: Past, tested: BackTest) -> NDArray[Any]:
    silent = (past.start - past.last - dt.timedelta.resolution) // dt.timedelta(hours=past.hours)
    usual = float(np.resize(past.counts.mean(axis=0)[::-1], max(silent, 0)).sum())
    ended = MAY_HAVE_ENDED.format(last=past.last, usual=usual)
    is_better = _absolute(tested.forecasts, tested).sum() < _absolute(tested.last_week, tested).sum()
    return cautions(past.periods, [(np.exp(-usual) < UNUSUAL, ended), (not is_better, NOT_BETTER)])


def _absolute(forecasts: Vector, tested: BackTest) -> Vector:
    return np.abs(forecasts - tested.counts)


def _judged(method: str, forecasts: Vector, tested: BackTest, naive: Vector) -> dict[str, Any]:
    came, error = tested.counts, float(_absolute(forecasts, tested).mean())
    total = np.abs(forecasts.sum(axis=1) - came.sum(axis=1)).sum()
    return {
        "method": method,
        "origin_count": len(came),
        "period_count": came.size,
        "mean_count": float(came.mean()),
        "mean_error_count": float((forecasts - came).mean()),
        "mean_absolute_error_count": error,
        "error_ratio": error / float(naive.mean()) if naive.mean() > 0 else None,
        "total_error_share": float(total / came.sum()) if came.sum() > 0 else None,
    }


def _compared(apart: Vector, confidence: float) -> dict[str, Any]:
    """Compare mean absolute errors origin by origin."""
    from scipy import special

    mean, error = float(apart.mean()), float(apart.std(ddof=1)) / np.sqrt(len(apart))
    reach = float(special.stdtrit(len(apart) - 1, (1 + confidence) / 2)) * error
    verdict = BETTER if mean + reach < 0 else WORSE if mean - reach > 0 else ALIKE
    ends = {"error_difference_count_low": mean - reach, "error_difference_count_high": mean + reach}
    return {"error_difference_count": mean, **ends, "verdict": verdict}


def _covered(tested: BackTest, confidence: float) -> float:
    """Return how often what came lay within bounds that had not seen it."""
    inside = []
    for origin, (came, expected) in enumerate(zip(tested.counts, tested.forecasts, strict=True)):
        low, high = tested.bounds(expected, confidence, origin)
        inside.append((low <= came) & (came <= high))
    return float(np.mean(inside))
