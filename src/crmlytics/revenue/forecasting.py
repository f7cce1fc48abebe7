"""Revenue to come, from existing and from new customers, and how well such forecasts did before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect
from crmlytics._kernels.ratios import over
from crmlytics._periods import customer_periods, first_active_period, opened
from crmlytics._validation import check_count, check_fraction, warn
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics._kernels.forecast_errors import BackTest
    from crmlytics._kernels.revenue_forecast import Triangle
    from crmlytics._periods import PeriodGrid
    from crmlytics.tables import Transactions

    Vector = NDArray[np.float64]

SURE = 0.05
DAYS_IN_A_YEAR = 365.25
NO_COHORT = -1_000_000_000
BENCHMARKS = ("naive", "exponential smoothing", "seasonal naive")
VERDICTS = ("better", "worse", "no clear difference", "not known")
FORECAST_SCHEMA = nw.Schema(
    {"period_start": nw.Datetime("us"), "period_end": nw.Datetime("us"), "period_number": nw.Int64()}
    | dict.fromkeys(
        ("existing_amount", "new_amount", "forecast_amount", "forecast_amount_low", "forecast_amount_high"),
        nw.Float64(),
    )
    | {"benchmark_amount": nw.Float64(), "benchmark": nw.String(), "verdict": nw.String()}
)
EVALUATION_SCHEMA = nw.Schema(
    {"period_number": nw.Int64(), "origin_count": nw.Int64()}
    | dict.fromkeys(("mean_absolute_error_amount", "bias_amount", "absolute_error_share"), nw.Float64())
    | {"benchmark_origin_count": nw.Int64()}
    | dict.fromkeys(("benchmark_absolute_error_amount", "benchmark_absolute_error_share"), nw.Float64())
    | dict.fromkeys(("skill_share", "p_value", "coverage_share"), nw.Float64())
    | {"benchmark": nw.String(), "verdict": nw.String()}
)


@dataclass(frozen=True, slots=True, eq=False)
class _History:
    """What is known at ``as_of``: the contract, the periods, the number of the first whole one, and the cohorts."""

    table: Transactions
    grid: PeriodGrid
    first: int
    triangle: Triangle

    @property
    def periods(self) -> int:
        return len(self.triangle.sizes)

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """The names of those the forecast is held against, in the order of the kernel."""
        return (*BENCHMARKS[:2], "weekly naive" if self.grid.days == 1 else BENCHMARKS[2])


def revenue_forecast_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    horizon: int = 6,
    period: str | dt.timedelta = "month",
    interval: float = 0.95,
) -> Any:
    r"""Forecast revenue from existing and from new customers, with intervals made from the errors of past forecasts.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``.
    as_of : date
        The moment up to which the data are known; nothing on or after it is read.
    horizon : int, default 6
        How many periods to look ahead; at most as many as are known.
    period : {"month", "quarter", "year"} or a number of days or weeks such as "7d", default "month"
        Calendar periods, or periods of days counted back from ``as_of``. Only whole periods teach: with ``as_of`` in
        the middle of a month the first month forecast is the one it lies in, as a whole.
    interval : float, default 0.95
        The probability with which revenue is to fall between the bounds.

    Returns
    -------
    dataframe of the kind that came in, one row per period ahead, sorted by time
        ``period_start``, ``period_end`` (Datetime, the end excluded), ``period_number`` (Int64, 1 is the next period),
        ``existing_amount`` (Float64, from customers with an order before the first period forecast),
        ``new_amount`` (Float64, from customers whose first order is still to come),
        ``forecast_amount`` (Float64, the sum of both),
        ``forecast_amount_low``, ``forecast_amount_high`` (Float64, the interval; null where fewer than three past
        forecasts looked as far ahead; the lower is not below zero unless revenue of a period was),
        ``benchmark_amount`` (Float64, what the benchmark says),
        ``benchmark`` (String, the hardest to beat of three at this number of periods ahead, the one that missed least
        in the past: ``"naive"``, the last period; ``"exponential smoothing"``, a level that follows revenue;
        ``"seasonal naive"``, the same period a year before, with days ``"weekly naive"``, the same day a week before,
        once three past forecasts of it can be checked),
        ``verdict`` (String, whether forecasts as far ahead as this beat the benchmark: see
        :func:`forecast_evaluation_table`).

    Raises
    ------
    SchemaError
        When there are fewer than six whole periods, ``horizon`` is longer than what is known, or an option is not
        valid.

    Warns
    -----
    DataQualityWarning
        With less than two years, with days two weeks (no seasonality can be told), or too short a history for
        intervals.

    Notes
    -----
    The forecast is a mean of three, weighed by how each did in the past.

    *Cohorts.* A season is a year: 12 months, 4 quarters or 52 weeks; with days (``"1d"``) it is a week. Customers with
    their first order in the same period are a cohort. The last season, six periods at least, tells what a customer of
    each age brings in (revenue of all cohorts at that age / their original customers; old ages, which fewer than three
    cohorts have reached, share one figure), as actuaries read a triangle of claims:

    .. math:: \text{existing}_{T+h} = \theta \sum_c N_c\, r_{T+h-c}, \quad
              \text{new}_{T+h} = \bar N \left(r_0 + \theta \sum_{k=1}^{h-1} r_k\right)

    with :math:`N_c` customers in cohort c, :math:`r_k` revenue per original customer at age k, :math:`\bar N` new
    customers a period in the last half season (three periods at least), and :math:`\theta`, between .5 and 2, what
    fits the rates to that half. The first cohort holds whoever was there when the data begin and has no age: it goes on
    from its last half season and falls as it fell since the half before, by at most a fifth a period; it does not grow.
    With two seasons or more, all above zero, revenue and cohorts are divided by a factor for the season before, and
    revenue is multiplied by it afterwards: a mean of ratios to a centred moving average, drawn towards 1.

    *Level.* Simple exponential smoothing of revenue divided by the same factors, with the constant that told each next
    period best. *Cycle.* The same period of the season before, once three such forecasts can be checked.

    Weights are as :math:`1 / \text{MSE}^2` of the forecasts as far ahead whose outcome was known at the origin, with
    four more at the usual error (twice the usual for the cohorts, which know least at first). What the mean makes of
    the cohorts' total is shared out in proportion: ``existing_amount`` and ``new_amount`` are the cohorts' figures
    times one factor (where one of them is below zero, the existing customers take the difference).

    The interval is the forecast plus and minus Student's *t* times the root mean square error of past forecasts with
    the same horizon, scaled by the revenue of the season before each; late origins count more than early ones, which
    knew little. Past forecasts overlap, so they are fewer than they seem and an interval far ahead is rather too narrow
    where revenue grows fast: see ``coverage_share``.

    It knows no plans: a campaign, a price rise or a new shop is not in the past. A business that doubles every year
    outgrows it, since no trend in arrivals is carried on. With ``returns="match"`` in the contract, past forecasts
    know which orders would be returned later; those to come do not.

    References: R. L. Bornhuetter, R. E. Ferguson, The actuary and IBNR, Proceedings of the Casualty Actuarial Society
    59 (1972), 181-195. J. M. Bates, C. W. J. Granger, The combination of forecasts, Operational Research Quarterly 20
    (1969), 451-468. R. J. Hyndman, G. Athanasopoulos, Forecasting: principles and practice, 3rd ed. (2021),
    sections 3.4, 5.10 and 8.1.

    Examples
    --------
    >>> import pandas as pd, warnings
    >>> months = pd.date_range("2023-01-01", periods=8, freq="MS")
    >>> orders = pd.DataFrame({"customer_id": ["a"] * 8, "order_id": range(8), "timestamp": months, "amount": 10.0})
    >>> with warnings.catch_warnings(action="ignore"):
    ...     table = revenue_forecast_table(orders, as_of="2023-09-01", horizon=2)
    >>> print(table[["period_start", "existing_amount", "new_amount", "forecast_amount"]].to_string())
      period_start  existing_amount  new_amount  forecast_amount
    0   2023-09-01             10.0         0.0             10.0
    1   2023-10-01             10.0         0.0             10.0
    """
    from crmlytics._kernels import revenue_forecast as kernel
    from crmlytics._kernels.forecast_errors import error_spread, half_widths, hardest

    caller = "revenue_forecast_table"
    interval = check_fraction(interval, name="interval", caller=caller)
    history = _history(transactions, as_of=as_of, period=period, caller=caller)
    horizon = _checked_horizon(horizon, history, caller=caller)
    _warn_of_short_history(history, horizon, caller=caller)
    ahead, test = kernel.forecast(history.triangle, horizon)
    low, high = _bounds(ahead.total, history.triangle, half_widths(*error_spread(test), interval) * ahead.scale)
    which = hardest(test)
    numbers = [history.first + history.periods + ahead for ahead in range(horizon)]
    columns: dict[str, Any] = {
        "period_start": [history.grid.start(number) for number in numbers],
        "period_end": [history.grid.start(number + 1) for number in numbers],
        "period_number": list(range(1, horizon + 1)),
        "existing_amount": ahead.existing,
        "new_amount": ahead.new,
        "forecast_amount": ahead.total,
        "forecast_amount_low": low,
        "forecast_amount_high": high,
        "benchmark_amount": ahead.benchmarks[which, np.arange(horizon)],
        "benchmark": [history.benchmarks[number] for number in which],
        "verdict": [_verdict(*compared) for compared in _compared(test, which)],
    }
    return history.table.engine.from_columns(columns, FORECAST_SCHEMA)


def forecast_evaluation_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    horizon: int = 6,
    period: str | dt.timedelta = "month",
    interval: float = 0.95,
) -> Any:
    r"""Repeat the forecast from every past period with enough history and compare it with what came.

    Parameters
    ----------
    transactions, as_of, horizon, period, interval
        As in :func:`revenue_forecast_table`.

    Returns
    -------
    dataframe of the kind that came in, one row per number of periods ahead, sorted by it
        ``period_number`` (Int64, how many periods ahead), ``origin_count`` (Int64, past forecasts that looked so far,
        at most 52, the latest),
        ``mean_absolute_error_amount`` (Float64), ``bias_amount`` (Float64, mean of forecast less actual: above zero the
        forecasts were too high), ``absolute_error_share`` (Float64, sum of absolute errors over sum of what came, in
        absolute terms), ``benchmark_origin_count`` (Int64, origins at which the benchmark could be told: the seasonal
        one needs a year, the weekly one a week, the others none), ``benchmark_absolute_error_amount``,
        ``benchmark_absolute_error_share`` (Float64, the same errors of the benchmark), ``skill_share`` (Float64, 1 -
        the mean absolute error over that of the benchmark at the same origins; below zero the benchmark was better),
        ``p_value`` (Float64, of no difference between the two; null with no more origins of both than periods ahead,
        or fewer than three),
        ``coverage_share`` (Float64, how often revenue lay in the interval that could be told then, made from the
        outcomes known at each origin alone: it should be near ``interval``; null where there was none to try),
        ``benchmark`` (String, as in :func:`revenue_forecast_table`),
        ``verdict`` (String): ``"better"`` or ``"worse"`` than the benchmark with p <= 0.05,
        ``"no clear difference"``, or ``"not known"`` without a p-value.

    Raises
    ------
    SchemaError
        As in :func:`revenue_forecast_table`.

    Notes
    -----
    Each past forecast is made from the periods before it alone, season and weights included (rolling origin). The
    benchmark is the one of three that missed least at the origins all of them could be told at, so it is the harder
    for having been chosen afterwards: "better" is hard to get, and "worse" comes by chance somewhat more often than p
    says.

    The test compares mean absolute errors as Diebold and Mariano do. Errors h periods ahead overlap, so the variance of
    their mean difference is estimated from :math:`B = \lfloor (n - 1) / h \rfloor` cosines, with Student's *t* of B
    degrees (Lazarus, Lewis, Stock & Watson): in simulations a nominal 5 % came to 5 to 7 % for 1, 3 and 6 periods ahead
    with 10, 20 and 40 origins. "No clear difference" is the usual answer with fewer than about twenty origins, whatever
    ``skill_share`` says: do not read it as "equal".

    References: F. X. Diebold, R. S. Mariano, Comparing predictive accuracy, Journal of Business & Economic Statistics
    13 (1995), 253-263. E. Lazarus, D. J. Lewis, J. H. Stock, M. W. Watson, HAR inference: recommendations for practice,
    Journal of Business & Economic Statistics 36 (2018), 541-559.

    Examples
    --------
    >>> import pandas as pd
    >>> months = pd.date_range("2023-01-01", periods=9, freq="MS")
    >>> amounts = [10.0, 12.0, 8.0, 11.0, 9.0, 10.0, 13.0, 7.0, 10.0]
    >>> orders = pd.DataFrame({"customer_id": ["a"] * 9, "order_id": range(9), "timestamp": months, "amount": amounts})
    >>> table = forecast_evaluation_table(orders, as_of="2023-10-01", horizon=2)
    >>> print(table[["period_number", "origin_count", "benchmark_absolute_error_amount", "verdict"]].to_string())
       period_number  origin_count  benchmark_absolute_error_amount              verdict
    0              1             3                         2.054615  no clear difference
    1              2             2                         3.000000            not known
    """
    from crmlytics._kernels import revenue_forecast as kernel
    from crmlytics._kernels.forecast_errors import coverage, hardest

    caller = "forecast_evaluation_table"
    interval = check_fraction(interval, name="interval", caller=caller)
    history = _history(transactions, as_of=as_of, period=period, caller=caller)
    horizon = _checked_horizon(horizon, history, caller=caller)
    _, test = kernel.forecast(history.triangle, horizon)
    which = hardest(test)
    benchmark = test.benchmark(which)
    mine, theirs = _error_sizes(test.forecast, test.actual), _error_sizes(benchmark, test.actual)
    beside = _error_sizes(np.where(np.isnan(benchmark), np.nan, test.forecast), test.actual)
    compared = _compared(test, which)
    columns: dict[str, Any] = {
        "period_number": list(range(1, horizon + 1)),
        "origin_count": [int(count) for count in np.isfinite(test.actual).sum(axis=0)],
        "mean_absolute_error_amount": mine[0],
        "bias_amount": _mean(test.forecast - test.actual),
        "absolute_error_share": mine[1],
        "benchmark_origin_count": [int(count) for count in np.isfinite(benchmark + test.actual).sum(axis=0)],
        "benchmark_absolute_error_amount": theirs[0],
        "benchmark_absolute_error_share": theirs[1],
        "skill_share": 1 - over(beside[0], theirs[0]),
        "p_value": np.array([p_value for _, p_value in compared]),
        "coverage_share": coverage(test, interval),
        "benchmark": [history.benchmarks[number] for number in which],
        "verdict": [_verdict(*pair) for pair in compared],
    }
    return history.table.engine.from_columns(columns, EVALUATION_SCHEMA)


# -- inside --------------------------------------------------------------------------------------------------------


def _history(transactions: Any, *, as_of: Any, period: Any, caller: str) -> _History:
    """Read the triangle of whole periods; customers of a first, partial one are among those there from the start."""
    from crmlytics._kernels.revenue_forecast import LEAST_PERIODS

    table, lines, grid = opened(transactions, as_of=as_of, period=period, caller=caller)
    rows = collect(grid.rows(table, lines, caller=caller))
    whole = [
        number for number, complete in zip(rows["period_index"].to_list(), rows["is_complete"].to_list(), strict=True)
        if complete
    ]  # fmt: skip
    if len(whole) < LEAST_PERIODS:
        msg = (
            f"{caller}: a forecast needs at least {LEAST_PERIODS} whole periods before as_of, got {len(whole)}. "
            'Take a shorter period such as period="7d", or wait for more data.'
        )
        raise SchemaError(msg)
    return _History(table, grid, whole[0], _triangle(lines, grid, whole))


def _triangle(lines: nw.LazyFrame[Any], grid: PeriodGrid, whole: list[int]) -> Triangle:
    from crmlytics._kernels.revenue_forecast import Triangle

    periods = customer_periods(lines, grid)
    sums = collect(
        periods.join(first_active_period(periods), on="customer_id", how="left")
        .with_columns(nw.col("first_index").fill_null(NO_COHORT).cast(nw.Int64))
        .filter((nw.col("period_index") >= whole[0]) & (nw.col("period_index") <= whole[-1]))
        .with_columns(_is_first=(nw.col("period_index") == nw.col("first_index")).cast(nw.Int64))
        .group_by("first_index", "period_index")
        .agg(nw.col("amount").sum(), size=nw.col("_is_first").sum())
        .sort("first_index", "period_index")
    )
    first, period, size = (sums[name].to_numpy().astype(np.int64) for name in ("first_index", "period_index", "size"))
    amount = sums["amount"].to_numpy().astype(np.float64)
    n = len(whole)
    cohort, period = np.maximum(first - whole[0], 0), period - whole[0]
    is_known = (first != NO_COHORT) & (cohort <= period)  # a return before the first order undoes an older purchase
    amounts, sizes, unassigned = np.zeros((n, n)), np.zeros(n), np.zeros(n)
    np.add.at(amounts, (cohort[is_known], period[is_known]), amount[is_known])
    np.add.at(sizes, cohort[is_known], size[is_known].astype(np.float64))
    np.add.at(unassigned, period[~is_known], amount[~is_known])
    return Triangle(amounts, sizes, unassigned, _cycle(grid))


def _cycle(grid: PeriodGrid) -> int:
    """Return how many periods make a season: those of a year, or the seven days of a week."""
    if grid.months:
        return 12 // grid.months
    if grid.days == 1:
        return 7
    return max(round(DAYS_IN_A_YEAR / grid.days), 1)


def _checked_horizon(horizon: Any, history: _History, *, caller: str) -> int:
    steps: int = check_count(horizon, name="horizon", caller=caller)
    if steps > history.periods:
        msg = (
            f"{caller}: horizon must be at most the number of whole periods known, {history.periods}, got {steps}. "
            f"Type horizon={history.periods} or less."
        )
        raise SchemaError(msg)
    return steps


def _warn_of_short_history(history: _History, horizon: int, *, caller: str) -> None:
    from crmlytics._kernels.revenue_forecast import LEAST_PERIODS, recent_periods

    cycle = history.triangle.cycle
    told = []
    if cycle > 1 and history.periods < 2 * cycle:
        told.append(f"fewer than {2 * cycle}, two seasons: no seasonality is estimated")
    least = max(LEAST_PERIODS, recent_periods(cycle))
    with_three = history.periods - least - 2  # the furthest look ahead that three origins can check
    if with_three < horizon:
        told.append(f"too few to check a look ahead of more than {max(with_three, 0)}: these have no interval")
    if told:
        warn(f"{caller}: only {history.periods} whole periods are known, {', and '.join(told)}.")


def _bounds(middle: Vector, triangle: Triangle, half: Vector) -> tuple[Vector, Vector]:
    """Return the interval around a forecast; where no period was below zero, none will be."""
    floor = np.minimum(middle, 0.0) if (triangle.totals >= 0).all() else np.full(len(middle), -np.inf)
    return np.maximum(middle - half, floor), middle + half


def _compared(test: BackTest, which: NDArray[np.int64]) -> list[tuple[float, float]]:
    from crmlytics._kernels.forecast_errors import compare_errors

    mine, theirs = test.forecast - test.actual, test.benchmark(which) - test.actual
    return [compare_errors(mine[:, step], theirs[:, step], step + 1) for step in range(mine.shape[1])]


def _verdict(difference: float, p_value: float) -> str:
    if np.isnan(p_value):
        return VERDICTS[3]
    if p_value > SURE:
        return VERDICTS[2]
    return VERDICTS[0] if difference < 0 else VERDICTS[1]


def _error_sizes(forecast: Vector, actual: Vector) -> tuple[Vector, Vector]:
    """Return the mean absolute error, and the sum of absolute errors over that of what came."""
    error = _mean(np.abs(forecast - actual))
    return error, over(error, _mean(np.abs(actual + 0 * forecast)))


def _mean(values: Vector) -> Vector:
    known = np.isfinite(values)
    return over(np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0).astype(np.float64))
