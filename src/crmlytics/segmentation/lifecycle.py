"""Where each customer stands in life: new, growing, loyal, at risk, lapsed or won back, by their own rhythm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import day_number
from crmlytics._orders import gather
from crmlytics._validation import as_days, as_moment, check_amount
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt

CUSTOMER = "customer_id"
NEW, GROWING, LOYAL, WON_BACK, AT_RISK, LAPSED = STAGES = ("new", "growing", "loyal", "won back", "at risk", "lapsed")
PRIOR = 2.0  # intervals that everybody's rhythm counts as, beside the customer's own
LEAST_DAYS = 7.0  # no rhythm counts as faster: a week of holidays is no silence
CHANCE = 1.6448536269514722**2  # squared: one in twenty buys so much more by chance
EPOCH_ORDINAL = 719_163  # 1970-01-01 as a proleptic ordinal
PASSES = 2  # of looking for lapses: who lapses often has a rhythm in between
DIGITS = 1e6  # of days: sums differ in their last digits from engine to engine


@dataclass(frozen=True, slots=True)
class Rules:
    """What tells the stages apart: days looked back, and multiples of the usual interval."""

    window: int
    at_risk: float
    lapsed: float


def lifecycle_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    window: str | dt.timedelta = "90d",
    at_risk_factor: float = 2.0,
    lapsed_factor: float = 4.0,
) -> Any:
    """Place each customer in one of six stages, measured by the customer's own rhythm; computed where the data live.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``timestamp`` and ``amount``.
    as_of : date
        The day described from; lines on or after it are left out, so nothing leaks from the future.
    window : duration, default "90d"
        How far back "new", "won back" and "growing" look.
    at_risk_factor, lapsed_factor : float, default 2 and 4
        How many usual intervals a silence lasts that is a risk, and one that is the end. Where people buy at random
        moments, 13 % of all waits are longer than twice the mean and 2 % than four times.

    Returns
    -------
    dataframe of the kind that came in, one row per customer who ever bought, sorted by ``customer_id``
        ``customer_id``; ``stage`` (String); ``purchase_day_count`` (Int64, days with a purchase); ``silent_days``
        (Int64, calendar days from the last one to ``as_of``); ``usual_interval_days`` (Float64);
        ``silence_ratio`` (Float64, silence over the usual interval, which counts as a week at least);
        ``recent_purchase_day_count`` (Int64, in the window); ``expected_purchase_day_count`` (Float64, in the window,
        by the rhythm before it; null for who was no customer then); ``lapse_count`` (Int64, lapses that ended);
        ``days_since_return`` (Float64, whole days since the end of the last one; null without any).

    Raises
    ------
    SchemaError, MissingColumnsError
        For a date, duration or factor that cannot be read, or roles that are missing.

    Notes
    -----
    Each customer is in the first stage that fits:

    1. *lapsed*: silent for more than ``lapsed_factor`` usual intervals;
    2. *at risk*: silent for more than ``at_risk_factor`` of them;
    3. *won back*: within the window, bought again after a silence of more than ``lapsed_factor`` intervals, as usual
       until then;
    4. *new*: bought for the first time within the window, or once only: no rhythm to be loyal to;
    5. *growing*: bought on more days of the window than their earlier rhythm and chance explain: at least 2, and
       ``recent - expected`` at least 1.64 ``sqrt(expected)``;
    6. *loyal*: all others, who buy as they used to.

    ``usual_interval_days = (days between purchases + 2 m) / (number of these intervals + 2)``: the customer's own mean
    drawn towards m, the mean over customers of their mean intervals (``window`` where nobody bought twice), so that one
    purchase is no rhythm. Lapses are no intervals. No rhythm counts as faster than a week. ``expected`` is ``window``
    times ``(purchases before - 1 + 2) / (days known before, lapses taken off, + 2 m)``. A purchase is a day with more
    bought than returned (or goods for free); who only sent back is left out.

    When not to use: at the beginning of the data everybody looks new. For a probability of churn, see
    ``crm.churn.score_churn``: stages are words that everybody in the firm understands the same.

    Examples
    --------
    >>> import pandas as pd
    >>> days = {"ann": [0, 30, 61, 90, 120, 149], "bob": [0, 30, 60], "cleo": [140], "dan": [0, 10, 20, 145]}
    >>> orders = pd.DataFrame([(who, day) for who in days for day in days[who]], columns=["customer_id", "day"])
    >>> orders["timestamp"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(orders["day"], unit="D")
    >>> table = lifecycle_table(orders.assign(order_id=orders.index, amount=9.0), as_of="2024-05-30", window="60d")
    >>> table[["customer_id", "stage", "silent_days", "usual_interval_days"]].round(1)
      customer_id     stage  silent_days  usual_interval_days
    0         ann     loyal            1                 31.6
    1         bob   at risk           90                 33.0
    2        cleo       new           10                 36.0
    3         dan  won back            5                 23.0
    """
    caller = "lifecycle_table"
    moment = as_moment(as_of, caller=caller)
    rules = read_rules(window, at_risk_factor, lapsed_factor, caller=caller)
    table = Transactions.bind(transactions)
    return table.to_native(stage_plan(table, moment, rules, caller=caller).sort(CUSTOMER))


def read_rules(window: Any, at_risk_factor: Any, lapsed_factor: Any, *, caller: str) -> Rules:
    """Check what tells the stages apart."""
    days = as_days(window, name="window", caller=caller)
    risk = check_amount(at_risk_factor, name="at_risk_factor", caller=caller, positive=True)
    lapsed = check_amount(lapsed_factor, name="lapsed_factor", caller=caller, positive=True)
    if lapsed <= risk:
        msg = (
            f"{caller}: lapsed_factor must be above at_risk_factor, got {lapsed_factor!r} and {at_risk_factor!r}: "
            "customers are at risk before they have lapsed."
        )
        raise SchemaError(msg)
    return Rules(days, risk, lapsed)


def stage_plan(table: Transactions, moment: dt.datetime, rules: Rules, *, caller: str) -> nw.LazyFrame[Any]:
    """Return the columns of :func:`lifecycle_table` as a plan, one row per customer."""
    today = moment.toordinal() - EPOCH_ORDINAL
    days = _purchase_days(table.before(moment), caller=caller)
    rhythm = _with_silences(_with_everybody(days, rules))
    for _ in range(PASSES):
        rhythm = _with_lapses(rhythm, rules)
    return _staged(_per_customer(rhythm, today - rules.window), today, rules)


# -- inside --------------------------------------------------------------------------------------------------------


def _purchase_days(table: Transactions, *, caller: str) -> nw.LazyFrame[Any]:
    """Return one row per customer and day with a purchase: ``customer_id`` and ``_day``."""
    lines = table.need(CUSTOMER, "timestamp", "amount", caller=caller)
    lines = lines.select(CUSTOMER, "amount", _day=day_number(nw.col("timestamp")))
    if table.may_hold_returns:
        lines = gather(lines, CUSTOMER, "_day").filter(nw.col("is_order") == 1)
    return lines.select(CUSTOMER, "_day").unique()


def _with_everybody(days: nw.LazyFrame[Any], rules: Rules) -> nw.LazyFrame[Any]:
    """Add ``_usual``, the mean over customers of their mean intervals, to each row."""
    first, last, count = (nw.col(name) for name in ("_first", "_last", "_count"))
    histories = days.group_by(CUSTOMER).agg(_first=nw.col("_day").min(), _last=nw.col("_day").max(), _count=nw.len())
    own = histories.with_columns(
        _own=nw.when(count > 1).then((last - first).cast(nw.Float64) / (count - 1).cast(nw.Float64)).otherwise(None)
    )
    everybody = own.select(_usual=nw.col("_own").cast(nw.Float64).mean()).select(
        ((nw.col("_usual").fill_null(float(rules.window)) * DIGITS + 0.5).floor() / DIGITS).alias("_usual")
    )
    return days.join(everybody, how="cross")


def _with_silences(days: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Add the silence before each purchase, and what was known of the rhythm when it began."""
    day, before, first, number = (nw.col(name) for name in ("_day", "_before", "_first", "_number"))
    placed = days.with_columns(_one=nw.lit(1)).with_columns(
        _before=day.shift(1).over(CUSTOMER, order_by="_day"),
        _number=nw.col("_one").cum_sum().over(CUSTOMER, order_by="_day"),
        _first=day.min().over(CUSTOMER),
    )
    return placed.with_columns(
        _gap=nw.when(number > 1).then(day - before).otherwise(0).cast(nw.Int64),
        _elapsed=nw.when(number > 1).then(before - first).otherwise(0).cast(nw.Int64),
        _lapse=nw.lit(0).cast(nw.Int64),
    )


def _with_lapses(days: nw.LazyFrame[Any], rules: Rules) -> nw.LazyFrame[Any]:
    """Say of each silence whether it was a lapse by the rhythm until then, of which lapses found so far are no part."""
    gap, lapse = nw.col("_gap"), nw.col("_lapse")
    counted = days.with_columns(_lapse_gap=gap * lapse).with_columns(
        _lapses_then=lapse.cum_sum().over(CUSTOMER, order_by="_day") - lapse,
        _lapse_days_then=nw.col("_lapse_gap").cum_sum().over(CUSTOMER, order_by="_day") - nw.col("_lapse_gap"),
    )
    elapsed = (nw.col("_elapsed") - nw.col("_lapse_days_then")).cast(nw.Float64)
    intervals = (nw.col("_number") - 2 - nw.col("_lapses_then")).cast(nw.Float64)
    usual = (elapsed + PRIOR * nw.col("_usual")) / (intervals + PRIOR)
    is_lapse = (nw.col("_number") > 1) & (gap.cast(nw.Float64) > rules.lapsed * _at_least_a_week(usual))
    return counted.with_columns(_lapse=nw.when(is_lapse).then(1).otherwise(0).cast(nw.Int64))


def _per_customer(days: nw.LazyFrame[Any], start: int) -> nw.LazyFrame[Any]:
    """Add the purchases of each customer up; ``start`` is the first day of the window."""
    day, lapse, gap = nw.col("_day"), nw.col("_lapse"), nw.col("_gap")
    recent = (day >= start).cast(nw.Int64)
    marked = days.with_columns(
        _recent=recent,
        _lapse_gap=gap * lapse,
        _old_lapse_gap=gap * lapse * (1 - recent),
        _return=nw.when(lapse == 1).then(day).otherwise(None).cast(nw.Float64),
    )
    return marked.group_by(CUSTOMER).agg(
        nw.col("_usual").max(),
        _count=nw.len(),
        _first=day.min(),
        _last=day.max(),
        _recents=nw.col("_recent").sum(),
        _lapses=lapse.sum(),
        _lapse_days=nw.col("_lapse_gap").sum(),
        _old_lapse_days=nw.col("_old_lapse_gap").sum(),
        _returned=nw.col("_return").max(),
    )


def _staged(customers: nw.LazyFrame[Any], today: int, rules: Rules) -> nw.LazyFrame[Any]:
    """Add the measures of rhythm and the stage."""
    number = {name: nw.col(name).cast(nw.Float64) for name in ("_count", "_first", "_last", "_recents", "_lapses")}
    start, prior = float(today - rules.window), PRIOR * nw.col("_usual")
    tenure = number["_last"] - number["_first"] - nw.col("_lapse_days").cast(nw.Float64)
    usual = (tenure + prior) / (number["_count"] - 1.0 - number["_lapses"] + PRIOR)
    known = start - number["_first"] - nw.col("_old_lapse_days").cast(nw.Float64)
    rate = (number["_count"] - number["_recents"] - 1.0 + PRIOR) / (known + prior)
    measured = customers.with_columns(
        silent_days=(nw.lit(today) - nw.col("_last")).cast(nw.Int64),
        usual_interval_days=usual,
        expected_purchase_day_count=nw.when(nw.col("_first") < today - rules.window)
        .then(rate * float(rules.window))
        .otherwise(None),
        purchase_day_count=nw.col("_count").cast(nw.Int64),
        recent_purchase_day_count=nw.col("_recents").cast(nw.Int64),
        lapse_count=nw.col("_lapses").cast(nw.Int64),
        days_since_return=nw.lit(float(today)) - nw.col("_returned"),
    ).with_columns(
        silence_ratio=nw.col("silent_days").cast(nw.Float64) / _at_least_a_week(nw.col("usual_interval_days"))
    )
    return measured.with_columns(stage=_stage(rules)).select(
        CUSTOMER, "stage", "purchase_day_count", "silent_days", "usual_interval_days", "silence_ratio",
        "recent_purchase_day_count", nw.col("expected_purchase_day_count").cast(nw.Float64), "lapse_count",
        "days_since_return",
    )  # fmt: skip


def _stage(rules: Rules) -> nw.Expr:
    """Return the first stage that fits."""
    silence, recent = nw.col("silence_ratio"), nw.col("recent_purchase_day_count").cast(nw.Float64)
    expected = nw.col("expected_purchase_day_count")
    more = recent - expected
    returned = (nw.col("days_since_return") <= rules.window).fill_null(value=False)
    grows = ((recent >= 2.0) & (more > 0.0) & (more * more >= CHANCE * expected)).fill_null(value=False)
    is_new = expected.is_null() | (nw.col("purchase_day_count") == 1)
    stages = (
        (silence > rules.lapsed, LAPSED), (silence > rules.at_risk, AT_RISK), (returned, WON_BACK),
        (is_new, NEW), (grows, GROWING),
    )  # fmt: skip
    chosen: Any = nw.lit(LOYAL)
    for test, name in reversed(stages):
        chosen = nw.when(test).then(nw.lit(name)).otherwise(chosen)
    stage: nw.Expr = chosen.cast(nw.String)
    return stage


def _at_least_a_week(days: nw.Expr) -> nw.Expr:
    return nw.when(days > LEAST_DAYS).then(days).otherwise(LEAST_DAYS)
