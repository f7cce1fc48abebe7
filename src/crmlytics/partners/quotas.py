"""How far partners are with their quotas, and whether they will reach them."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, NamedTuple

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from crmlytics._cautions import cautions
from crmlytics._validation import as_moment, check_fraction
from crmlytics.exceptions import SchemaError
from crmlytics.partners._reading import PARTNER, Sales, read_rows, read_sales
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.quota_forecast import Outlook, Past
    from crmlytics.partners._reading import Codes, Vector

CALLER = "quota_table"
START, END, QUOTA = "period_start", "period_end", "quota_amount"
ALIKE = 0.1  # by how much periods may differ in length and still be the same kind
YEAR_DAYS = (350, 380)
REACHED, MISSED, ON_TRACK, BEHIND, OPEN, UNKNOWN, SILENT = (
    "reached", "missed", "on track", "behind", "open", "not known", "no sales",
)  # fmt: skip
SCHEMA = nw.Schema({
    PARTNER: nw.String(), START: nw.Datetime("us"), END: nw.Datetime("us"), QUOTA: nw.Float64(),
    "amount": nw.Float64(), "attainment_share": nw.Float64(), "elapsed_share": nw.Float64(),
    "run_rate_amount": nw.Float64(), "forecast_amount": nw.Float64(), "forecast_amount_low": nw.Float64(),
    "forecast_amount_high": nw.Float64(), "forecast_attainment_share": nw.Float64(),
    "forecast_attainment_share_low": nw.Float64(), "forecast_attainment_share_high": nw.Float64(),
    "reach_probability": nw.Float64(), "method": nw.String(), "past_forecast_count": nw.Int64(),
    "error_share": nw.Float64(), "run_rate_error_share": nw.Float64(), "verdict": nw.String(), "caution": nw.String(),
})  # fmt: skip
UNJUDGED = "No interval: that takes ten past forecasts, of four past periods."
CAUTION = "What a partner sells also hangs on its region: a quota says what was asked, not what was possible."


class _Now(NamedTuple):
    """What every period is told from: the sales, all periods and what was asked, the day, the confidence.

    ``asked`` has the shape (partners, periods); NaN without a quota.
    """

    sales: Sales
    periods: list[_Period]
    asked: Vector
    today: int
    confidence: float


class _Period(NamedTuple):
    """A period in days from 1970-01-01, the end excluded."""

    start: int
    end: int


def quota_table(
    transactions: Transactions | Any,
    quotas: Any,
    *,
    as_of: str | dt.date | dt.datetime,
    confidence: float = 0.95,
) -> Any:
    r"""Tell how much of its quota each partner has sold, and forecast what it will have sold at the end of the period.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp``, ``amount`` and ``partner_id``. Whoever has a quota can be a
        partner: a dealer, or a sales person (``partner_id="EmployeeKey"``).
    quotas : dataframe of the same kind, one row per partner and period
        Needs ``partner_id``, ``period_start``, ``period_end`` (dates, the end excluded) and ``quota_amount`` (above
        zero). Give those of past periods, too: forecasts learn from them.
    as_of : date
        The day described from; lines on or after it are left out.
    confidence : float, default 0.95
        Of the intervals of forecasts.

    Returns
    -------
    dataframe of the kind that came in, one row per quota, sorted by ``period_start``, ``period_end``, ``partner_id``
        ``partner_id`` (String), ``period_start``, ``period_end`` (Datetime), ``quota_amount`` (Float64), ``amount``
        (Float64, revenue in the period before ``as_of``, returns taken off), ``attainment_share`` (Float64, of the
        quota), ``elapsed_share`` (Float64, of the days of the period), ``run_rate_amount`` (Float64,
        ``amount / elapsed_share``; null before the period), ``forecast_amount``, ``forecast_amount_low``,
        ``forecast_amount_high`` (Float64, at the end of the period; then the amount itself),
        ``forecast_attainment_share``, ``forecast_attainment_share_low``, ``forecast_attainment_share_high`` (Float64,
        of the quota), ``reach_probability`` (Float64, of the quota at the end), ``method`` (String, "run rate",
        "level", "season", "quota", "rest of quota", or "over"), ``past_forecast_count`` (Int64, past forecasts of this
        method that it is judged by, 0 where these are fewer than ten), ``error_share``, ``run_rate_error_share``
        (Float64, their mean absolute error over the mean of what came, and that of the bare run rate at the same
        points), ``verdict`` (String), ``caution`` (String).

        The verdict: "reached" (the amount is there), "missed" (over without it), "on track" (the whole interval lies at
        the quota or above), "behind" (below it), "open" (the interval holds both), "not known" (no interval), "no
        sales" (the partner never sold anything).

    Raises
    ------
    SchemaError, MissingColumnsError
        When a role or column is missing, a quota is not above zero or given twice, a period ends before it starts, or
        its dates are missing or carry a time zone.

    Notes
    -----
    Five methods compete. The run rate carries on what came so far. "level" and "season" know that revenue comes when
    it comes, say at the end of a month: with g the part of a period's revenue that had come by this point in past
    periods of all partners, and U the mean of the partner's last four periods (level) or its period of a year before
    (season),

    .. math:: F = a + (1 - g)\,(a + (1 - g)\,U)

    after Benktander (1976): early in the period what was usual counts, late in it what came. "quota" is A, the quota
    times what all partners together attained of past quotas, since who sets a quota may know what nobody else does, and
    "rest of quota" is ``a + (1 - g) A``, after Bornhuetter and Ferguson (1972).

    All are made for every past period as it looked when as much of it was gone, from what was known then. The median of
    what a method missed, measured in what is usual (U, or A) or the forecast, whichever is larger, is added to its
    forecasts; the method with the least mean absolute error that is left, in relation to the partner's level, is taken,
    or the next where a partner has no history for it. Past periods are those of ``quotas`` that are over, as long to a
    tenth, and covered by the data. Where no past period ended below where it stood, no forecast does.

    A good quarter is good for all partners at once: their errors are no independent witnesses. With J periods that have
    errors, m of them each, whose means vary by :math:`v_b` and within which they vary by :math:`s_w^2`, the interval is

    .. math:: F \pm t \sqrt{\max(v_b - s_w^2 / m, 0) + s_w^2 + v_b / J}

    times what errors are measured in, with Student's t of at least J - 1 degrees of freedom (after Satterthwaite 1946);
    ``reach_probability`` is of the same distribution. Below four such periods, or ten past forecasts, there is neither.

    *How right it is.* AdventureWorks, 14 to 17 sales persons, seven quarters: the forecast was off by 8, 8, 8 and 0 %
    of revenue when 0, 20, 50 and 80 % of the quarter were gone; the run rate by 58, 33 and 26 % at the last three
    (orders are booked on one day a month). Quotas there were set by somebody who knew what would come; without them the
    forecast is off by 30 % at 20 %. Of the intervals of the first half 97 % held what came (95 % promised). In
    simulations with six to twelve past quarters, with and without good quarters for all, 91 to 97 % did; of quotas
    given less than 5 %, about 10 % were reached: at the ends probabilities are surer than they should be.

    Partners are taken to be alike in how far off forecasts are, in relation to what they sell. A new way of setting
    quotas, or a partner who gave notice, is known to nobody here. **When not to use it**: to judge people: a quota is a
    wish, and regions differ.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": 1, "order_id": range(3), "partner_id": ["x", "x", "y"], "amount": [60.0, 50.0, 20.0],
    ...     "timestamp": pd.to_datetime(["2024-01-10", "2024-04-10", "2024-04-12"]),
    ... })
    >>> quotas = pd.DataFrame({
    ...     "partner_id": ["x", "x", "y"], "quota_amount": [50.0, 80.0, 80.0],
    ...     "period_start": pd.to_datetime(["2024-01-01", "2024-04-01", "2024-04-01"]),
    ...     "period_end": pd.to_datetime(["2024-04-01", "2024-07-01", "2024-07-01"]),
    ... })
    >>> table = quota_table(orders, quotas, as_of="2024-05-01")
    >>> table[["partner_id", "amount", "attainment_share", "elapsed_share", "verdict"]].round(3)
      partner_id  amount  attainment_share  elapsed_share    verdict
    0          x    60.0             1.200           1.00    reached
    1          x    50.0             0.625           0.33  not known
    2          y    20.0             0.250           0.33  not known
    """
    end = as_moment(as_of, caller=CALLER)
    level = check_fraction(confidence, name="confidence", caller=CALLER)
    table = Transactions.bind(transactions)
    rows = _quotas(quotas, table)
    sales = read_sales(table, as_of=end, more_ids=rows[PARTNER], caller=CALLER)
    today = int(np.datetime64(end, "D").astype(np.int64))
    periods = sorted({_Period(*pair) for pair in rows[[START, END]].to_numpy().tolist()})
    now = _Now(sales, periods, _asked(rows, sales.names, periods), today, level)
    parts = [_of_period(now, place) for place in range(len(periods))]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for name in (START, END):
        columns[name] = columns[name].astype("datetime64[D]").astype("datetime64[us]")
    return sales.engine.from_columns({name: columns[name] for name in SCHEMA}, SCHEMA)


# -- inside --------------------------------------------------------------------------------------------------------


def _quotas(quotas: Any, table: Transactions) -> pd.DataFrame:
    """Read the quotas: days from 1970-01-01, amounts above zero, one a partner and period."""
    rows = read_rows(quotas, table, name="quotas", columns=(START, END, QUOTA), caller=CALLER)
    if not len(rows):
        raise SchemaError(f"{CALLER}: quotas has no rows. Expected one per partner and period.")
    for name in (START, END):
        rows[name] = _days(rows[name], name)
    try:
        rows[QUOTA] = rows[QUOTA].to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise SchemaError(f"{CALLER}: {QUOTA!r} must hold numbers, got {rows[QUOTA].dtype}.") from error
    bad = rows[~(np.isfinite(rows[QUOTA]) & (rows[QUOTA] > 0))]
    if len(bad):
        msg = f"{CALLER}: {QUOTA} must be above zero, got {bad[QUOTA].iloc[0]} of partner {bad[PARTNER].iloc[0]!r}."
        raise SchemaError(msg)
    if (rows[END] <= rows[START]).any():
        bad = rows[rows[END] <= rows[START]]
        msg = f"{CALLER}: period_end must lie after period_start, not so in a row of partner {bad[PARTNER].iloc[0]!r}."
        raise SchemaError(msg)
    twice = rows[rows.duplicated([PARTNER, START, END])]
    if len(twice):
        msg = f"{CALLER}: partner {twice[PARTNER].iloc[0]!r} has two quotas for the same period. Keep one."
        raise SchemaError(msg)
    return rows


def _days(values: pd.Series[Any], name: str) -> NDArray[np.int64]:
    expected = f"{CALLER}: {name!r} of quotas must hold dates, for example by pandas.to_datetime(quotas[{name!r}])"
    known = values.dropna()
    if len(known) < len(values):
        what = "Leave them out" if name == START else "Give the last period an end, too, or leave these rows out"
        msg = f"{CALLER}: {name} is missing in {len(values) - len(known):,} rows of quotas. {what}."
        raise SchemaError(msg)
    for value in known.astype(object):
        if not isinstance(value, dt.date):
            raise SchemaError(f"{expected}, got {value!r}.")
        if isinstance(value, dt.datetime) and value.tzinfo is not None:
            raise SchemaError(f"{CALLER}: {name!r} of quotas must hold dates without a time zone, got {value!r}.")
    days: NDArray[np.int64] = pd.to_datetime(known.astype(object)).to_numpy("datetime64[D]").astype(np.int64)
    return days


def _asked(rows: pd.DataFrame, names: list[str], periods: list[_Period]) -> Vector:
    number = {name: place for place, name in enumerate(names)}
    asked = np.full((len(names), len(periods)), np.nan)
    column = {period: place for place, period in enumerate(periods)}
    for partner, start, end, quota in zip(rows[PARTNER], rows[START], rows[END], rows[QUOTA], strict=True):
        asked[number[partner], column[_Period(start, end)]] = quota
    return asked


def _of_period(now: _Now, place: int) -> dict[str, NDArray[Any]]:
    """Return the rows of one period, by partner in the order of their names."""
    sales, today, period = now.sales, now.today, now.periods[place]
    who = np.flatnonzero(~np.isnan(now.asked[:, place]))
    quota = now.asked[who, place]
    amount = _between(sales, period.start, min(today, period.end))[who]
    elapsed = min(max((today - period.start) / (period.end - period.start), 0.0), 1.0)
    columns: dict[str, NDArray[Any]] = {
        PARTNER: np.array(sales.names, object)[who],
        START: np.full(len(who), period.start),
        END: np.full(len(who), period.end),
        QUOTA: quota,
        "amount": amount,
        "attainment_share": amount / quota,
        "elapsed_share": np.full(len(who), elapsed),
        "run_rate_amount": amount / elapsed if elapsed > 0 else np.full(len(who), np.nan),
    }
    columns |= _over(amount) if elapsed == 1 else _ahead(now, period, who, amount, quota)
    for end in ("", "_low", "_high"):
        columns[f"forecast_attainment_share{end}"] = columns[f"forecast_amount{end}"] / quota
    sold = np.bincount(sales.partner, minlength=len(sales.names))[who] > 0
    columns["verdict"] = _verdicts(columns, sold, is_over=elapsed == 1)
    columns["caution"] = cautions(len(who), [(columns["verdict"] == UNKNOWN, UNJUDGED)], first=CAUTION)
    is_met = amount >= quota
    columns["reach_probability"] = np.where(is_met & (elapsed == 1), 1.0, columns["reach_probability"])
    return columns


def _over(amount: Vector) -> dict[str, NDArray[Any]]:
    """Return the columns of a forecast for what is over: the amount itself."""
    none = np.full(len(amount), np.nan)
    return {
        "forecast_amount": amount, "forecast_amount_low": amount, "forecast_amount_high": amount,
        "reach_probability": np.zeros(len(amount)), "method": np.full(len(amount), "over", object),
        "past_forecast_count": np.zeros(len(amount), np.int64), "error_share": none, "run_rate_error_share": none,
    }  # fmt: skip


def _ahead(now: _Now, period: _Period, who: Codes, amount: Vector, quota: Vector) -> dict[str, NDArray[Any]]:
    """Return the columns of a forecast for a period that runs, or will."""
    from crmlytics._kernels.quota_forecast import METHODS, outlook

    past, season = _past(now, period, who)
    found: Outlook = outlook(amount, quota, past, season)
    low, high = found.interval(now.confidence)
    return {
        "forecast_amount": found.forecast,
        "forecast_amount_low": low,
        "forecast_amount_high": high,
        "reach_probability": found.reach_probability(quota),
        "method": np.array(METHODS, object)[found.method],
        "past_forecast_count": found.error_count[found.method],
        "error_share": found.error_share[found.method],
        "run_rate_error_share": found.run_rate_error_share[found.method],
    }


def _past(now: _Now, period: _Period, who: Codes) -> tuple[Past, int]:
    """Return past periods as they looked when as much of them was gone, and which of them is a year before this one."""
    from crmlytics._kernels.quota_forecast import Past

    sales, today, length = now.sales, now.today, period.end - period.start
    first = int(sales.day[0])
    places = [
        place
        for place, one in enumerate(now.periods)
        if one.end <= min(today, period.start)
        and abs(one.end - one.start - length) <= ALIKE * length
        and one.start >= first
    ]
    before = [now.periods[place] for place in places]
    elapsed = (today - period.start) / length  # below zero before the period: as far ahead was looked then
    cuts = [one.start + round(elapsed * (one.end - one.start)) for one in before]
    early, total = np.full((2, len(who), len(before)), np.nan)
    began = _first_days(sales)[who]
    for place, (one, cut) in enumerate(zip(before, cuts, strict=True)):
        known = began <= one.start
        early[:, place] = np.where(known, _between(sales, one.start, cut)[who], np.nan)
        total[:, place] = np.where(known, _between(sales, one.start, one.end)[who], np.nan)
    known_before = [sum(other.end <= cut for other in before[:place]) for place, cut in enumerate(cuts)]
    seasons = np.array([_year_before(one, before) for one in before], np.int64)
    quota = now.asked[who][:, places]
    past = Past(early, total, quota, np.array(known_before, np.int64), seasons, max(elapsed, 0.0))
    return past, _year_before(period, before)


def _between(sales: Sales, start: int, end: int) -> Vector:
    """Return the revenue of each partner from a day to another, which is excluded."""
    return sales.sums(sales.amount, (sales.day >= start) & (sales.day < end))


def _first_days(sales: Sales) -> Vector:
    """Return on which day each partner first sold; infinite where never."""
    first = np.full(len(sales.names), np.inf)
    np.minimum.at(first, sales.partner, sales.day.astype(np.float64))
    return first


def _year_before(period: _Period, others: list[_Period]) -> int:
    found = [place for place, one in enumerate(others) if YEAR_DAYS[0] <= period.start - one.start <= YEAR_DAYS[1]]
    return found[-1] if found else -1


def _verdicts(columns: dict[str, NDArray[Any]], sold: NDArray[np.bool_], *, is_over: bool) -> NDArray[Any]:
    quota, low, high = (columns[name] for name in (QUOTA, "forecast_amount_low", "forecast_amount_high"))
    told = [
        (~sold, SILENT),
        (columns["amount"] >= quota, REACHED),
        (np.full(len(quota), is_over), MISSED),
        (np.isnan(low) | np.isnan(high), UNKNOWN),
        (low >= quota, ON_TRACK),
        (high < quota, BEHIND),
    ]
    return np.select([which for which, _ in told], [word for _, word in told], OPEN).astype(object)
