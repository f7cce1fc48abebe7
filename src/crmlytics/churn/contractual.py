"""Customers under contract, where leaving is seen: who left, how many stay how long, and when they leave."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._baskets import encode
from crmlytics._frames import collect, day_number, enter, in_words
from crmlytics._validation import as_days, as_moment, check_fraction, did_you_mean
from crmlytics.churn._missing import optional
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.tables import Subscriptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.kaplan_meier import Curves

    Vector = NDArray[np.float64]
    Whole = NDArray[np.int64]

EPOCH = dt.date(1970, 1, 1).toordinal()
RUNNING, IN_GRACE, CHURNED = STATUSES = ("running", "in grace", "churned")
CONTRACT_SCHEMA: dict[str, Any] = {
    "started_at": nw.Datetime("us"), "ended_at": nw.Datetime("us"), "spell_number": nw.Int64(), "status": nw.String(),
    "churned": nw.Boolean(), "tenure_days": nw.Int64(), "observed_days": nw.Int64(), "subscription_count": nw.Int64(),
}  # fmt: skip
CURVE_SCHEMA: dict[str, Any] = {
    "time_days": nw.Int64(), "retention_probability": nw.Float64(), "retention_probability_low": nw.Float64(),
    "retention_probability_high": nw.Float64(), "churn_probability": nw.Float64(),
    "churn_probability_low": nw.Float64(), "churn_probability_high": nw.Float64(), "at_risk_count": nw.Int64(),
    "churned_count": nw.Int64(), "censored_count": nw.Int64(),
}  # fmt: skip


def contract_table(
    subscriptions: Subscriptions | Any, *, as_of: str | dt.date | dt.datetime, grace: str | dt.timedelta | None = "30d"
) -> Any:
    """Say how long each customer has been under contract, and who has left for good.

    Subscriptions that overlap, or follow one another within the grace days, are one relationship: a new plan or a late
    renewal is no churn. Who comes back later than that did leave, and has a row for each relationship.

    Parameters
    ----------
    subscriptions : Subscriptions or dataframe, one row per subscription
        Needs ``customer_id``, ``started_at`` and ``ended_at`` (null: it runs), the first day without the contract.
    as_of : date
        The day described from. What begins or ends on it or later is not known: also an end that is agreed already.
    grace : duration such as "30d", or None
        How long after an end a new start still continues the relationship. None: only up to the day of the end.

    Returns
    -------
    dataframe of the kind that came in, one row per relationship, sorted by ``customer_id`` and ``started_at``
        ``customer_id`` (Int64 or String); ``started_at`` (Datetime, the day of the first start); ``ended_at``
        (Datetime, the day of the last end; null while it runs); ``spell_number`` (Int64, 1 for the customer's first
        relationship); ``status`` (String, "running"; "in grace": ended, and may still be continued; "churned");
        ``churned`` (Boolean); ``tenure_days`` (Int64, calendar days from the start to the end, or to ``as_of``);
        ``observed_days`` (Int64, for how many of them it is known whether the customer left: see Notes);
        ``subscription_count`` (Int64, taken together); with the role ``plan`` (String) and ``price`` (Float64), those
        of the subscription that ends last.

    Raises
    ------
    SchemaError, MissingColumnsError
        For a date or duration that cannot be read, or a missing role.

    Notes
    -----
    *Observed days.* Whether somebody who ended in the last ``grace`` days left is not known yet, whereas whoever
    stayed is known to have stayed. To count the stayers' last days and leave out these ends would make churn look
    lower. So ``observed_days`` of all who have not churned stop ``grace`` days before ``as_of``, and
    :func:`retention_curve_table` and :class:`DiscreteTimeHazardModel` use them.

    When not to use: without contracts nobody says goodbye; see :func:`watchlist`. For the number of renewals made take
    :func:`~crmlytics.clv.tenure_table`.

    Examples
    --------
    >>> import pandas as pd
    >>> contracts = pd.DataFrame({
    ...     "customer_id": ["a", "b", "b", "c"],
    ...     "started_at": pd.to_datetime(["2024-01-01", "2024-01-01", "2024-03-10", "2024-02-01"]),
    ...     "ended_at": pd.to_datetime([None, "2024-03-01", None, "2024-03-01"]),
    ... })
    >>> table = contract_table(contracts, as_of="2024-05-01", grace="30d")
    >>> table[["customer_id", "ended_at", "status", "tenure_days", "observed_days"]]
      customer_id   ended_at   status  tenure_days  observed_days
    0           a        NaT  running          121             90
    1           b        NaT  running          121             90
    2           c 2024-03-01  churned           29             29
    """
    caller = "contract_table"
    moment = as_moment(as_of, caller=caller)
    days = 0 if grace is None else as_days(grace, name="grace", caller=caller)
    table = Subscriptions.bind(subscriptions)
    spells = _read_spells(table, moment, days, caller=caller)
    columns = spells.columns(moment, days)
    known = nw.Int64() if table.id_kind("customer_id") == "Int64" else nw.String()
    others = {name: kind for name, kind in (("plan", nw.String()), ("price", nw.Float64())) if table.has(name)}
    schema = {"customer_id": known} | CONTRACT_SCHEMA | others
    return table.engine.from_columns({name: optional(columns[name]) for name in schema}, nw.Schema(schema))


def retention_curve_table(
    contracts: Any, *, by: str | None = None, period: str | dt.timedelta = "30d", interval: float = 0.95
) -> Any:
    """Follow customers from the start of the contract: how many are left after 1, 2, 3, ... periods, and leave in each.

    Customers still under contract count for as long as they were seen, and neither as lost nor as kept for ever.

    Parameters
    ----------
    contracts : dataframe
        As :func:`contract_table` makes it, or any table with ``tenure_days`` (or ``observed_days``, which is taken
        where there is one) and ``churned`` (true or false).
    by : str, optional
        A column of words, numbers or true and false, such as ``"plan"``: a curve for each value. Rows without one are
        left out.
    period : duration such as "30d" or "52w"
        How long a period is.
    interval : float
        The probability that an interval, ``_low`` to ``_high``, is made to hold.

    Returns
    -------
    dataframe of the kind that came in, one row per curve and end of a period, sorted by both
        With ``by`` its column (String); ``time_days`` (Int64, since the start: 0, one period, two periods, ... as long
        as anybody was seen to its end); ``retention_probability`` (Float64, of still being a customer then) with
        ``_low`` and ``_high``; ``churn_probability`` (Float64, the hazard: of leaving in the period that ends then, of
        who was there at its start) with ``_low`` and ``_high``; ``at_risk_count`` (Int64, there at the start of the
        period), ``churned_count`` (Int64, who left in it), ``censored_count`` (Int64, who was seen no longer). At 0
        days there is no hazard (null); bounds are null where the probability is 0 or 1.

    Raises
    ------
    SchemaError, MissingColumnsError
        For a table without these columns, negative or missing days, an empty table, or a duration that cannot be read.

    Notes
    -----
    Kaplan and Meier's estimate from days, read at the ends of periods; the hazard of a period is
    ``1 - S(end) / S(start)`` (E. L. Kaplan and P. Meier (1958), "Nonparametric estimation from incomplete
    observations"). Intervals are normal on the scale of ln(-ln S) with Greenwood's variance, of which the terms of a
    period are those of its hazard. Relationships of a customer who came back count as independent.

    The curve joins customers of different age: its right end is known from the earliest only. If newer ones differ,
    draw a curve by year of start.

    Examples
    --------
    >>> import pandas as pd
    >>> contracts = pd.DataFrame({"tenure_days": [30, 45, 60, 90], "churned": [True, False, True, False]})
    >>> table = retention_curve_table(contracts)
    >>> table[["time_days", "retention_probability", "churn_probability", "at_risk_count"]]
       time_days  retention_probability  churn_probability  at_risk_count
    0          0                  1.000                NaN              4
    1         30                  0.750               0.25              4
    2         60                  0.375               0.50              3
    3         90                  0.375               0.00              1
    """
    caller = "retention_curve_table"
    days = as_days(period, name="period", caller=caller)
    check_fraction(interval, name="interval", caller=caller)
    frame, engine = enter(contracts, caller=caller)
    group = [] if by is None else [_label(frame, by, caller=caller)]
    frame = frame if by is None else frame.filter(~nw.col(by).is_null())
    seen, churned, found = read_durations(frame, group, caller=caller)
    code, names = (np.zeros(len(seen), np.int32), np.array([])) if by is None else encode(found.to_arrow()[by])
    columns, curve = _curve_columns(seen, churned, code.astype(np.int64), days, interval)
    labels = {} if by is None else {by: names[curve].tolist()}
    schema: dict[str, Any] = {name: nw.String() for name in labels} | CURVE_SCHEMA
    return engine.from_columns(labels | {name: optional(columns[name]) for name in CURVE_SCHEMA}, nw.Schema(schema))


# -- inside --------------------------------------------------------------------------------------------------------


def read_durations(
    frame: nw.LazyFrame[Any], others: list[nw.Expr], *, caller: str
) -> tuple[Vector, NDArray[np.bool_], nw.DataFrame[Any]]:
    """Read in one query how many days each was seen, whether they left then, and some other columns."""
    kinds = frame.collect_schema()
    seen = "observed_days" if "observed_days" in kinds.names() else "tenure_days"
    missing = [name for name in (seen, "churned") if name not in kinds.names()]
    if missing:
        repair = "Make a table of contracts: contract_table(...)."
        msg = f"{caller} needs the columns {missing}, got {kinds.names()}. {repair}"
        raise MissingColumnsError(msg)
    if kinds["churned"] != nw.Boolean and not kinds["churned"].is_integer():
        msg = f"{caller}: column 'churned' holds {kinds['churned']}, expected true or false: data['Churn'] == 'Yes'."
        raise SchemaError(msg)
    columns = {"_seen": nw.col(seen).cast(nw.Float64), "_churned": nw.col("churned").cast(nw.Int64)}
    found = collect(frame.select(*others, **columns))
    days = np.asarray(found["_seen"].to_numpy(), np.float64)
    if len(days) == 0 or found["_churned"].is_null().any() or not (np.isfinite(days) & (days >= 0)).all():
        what = f"values of {seen} (0 or more) and churned in every row" if len(days) else "rows"
        msg = f"{caller}: expected {what}. Check the table and the filters before it."
        raise SchemaError(msg)
    return days, np.asarray(found["_churned"].to_numpy()) != 0, found


def _label(frame: nw.LazyFrame[Any], by: str, *, caller: str) -> nw.Expr:
    """Read the column that parts curves as text."""
    kinds = frame.collect_schema()
    if by not in kinds.names():
        msg = f"{caller}: by: no column is called {by!r}.{did_you_mean(by, kinds.names())} Columns: {kinds.names()}"
        raise MissingColumnsError(msg)
    return in_words(by) if kinds[by] == nw.Boolean else nw.col(by).cast(nw.String)


@dataclass(frozen=True, slots=True, eq=False)
class _Spells:
    """Relationships, by customer and start: days are counted from 1970-01-01, and an end of ``end`` is not known."""

    customer_ids: list[Any]
    number: Whole
    start: Whole
    ended: Whole
    end: int
    subscriptions: Whole
    last: dict[str, list[Any]]

    def columns(self, moment: dt.datetime, grace: int) -> dict[str, Any]:
        """Return the columns of the table: arrays and lists."""
        runs = self.ended >= self.end
        known = self.end - 1 - grace  # the last day of which it is known who left on it
        status = np.select((runs, self.ended > known), (RUNNING, IN_GRACE), CHURNED)
        ended = np.where(runs, np.datetime64("NaT"), _moments(self.ended))
        tenure = np.where(runs, (moment.date().toordinal() - EPOCH), self.ended) - self.start
        columns: dict[str, Any] = {
            "customer_id": self.customer_ids, "started_at": _moments(self.start), "ended_at": ended,
            "spell_number": self.number, "status": status, "churned": status == CHURNED, "tenure_days": tenure,
            "observed_days": np.maximum(np.minimum(self.ended, known) - self.start, 0),
            "subscription_count": self.subscriptions,
        }  # fmt: skip
        return columns | self.last


def _read_spells(table: Subscriptions, moment: dt.datetime, grace: int, *, caller: str) -> _Spells:
    """Merge the subscriptions of each customer that began before a moment into relationships."""
    others = [name for name in ("plan", "price") if table.has(name)]
    needed = ("customer_id", "started_at", "ended_at", *others)
    table.need(*needed, caller=caller)
    lines = table.before(moment).need(*needed, caller=caller)
    end = (moment - dt.timedelta(microseconds=1)).toordinal() - EPOCH + 1
    known = nw.col("ended_at") < moment
    found = collect(
        lines.with_columns(nw.col("ended_at").fill_null(moment)).select(
            "customer_id",
            *([nw.col("plan").cast(nw.String)] if "plan" in others else []),
            *([nw.col("price")] if "price" in others else []),
            start=day_number(nw.col("started_at")),
            end=nw.when(known).then(day_number(nw.col("ended_at"))).otherwise(nw.lit(end)),
        )
    )
    code, ids = encode(found.to_arrow()["customer_id"])
    start, ended = (np.asarray(found[name].to_numpy(), np.int64) for name in ("start", "end"))
    words = [np.array([str(value) for value in found[name].to_list()]) for name in others]  # tell equal rows apart
    order = np.lexsort((*words[::-1], ended, start, code)).astype(np.int64)
    code, start, ended = code[order], start[order], ended[order]
    first, latest, until = _merged(code.astype(np.int64), start, ended, grace)
    number = np.arange(len(first)) - np.searchsorted(code[first], code[first]) + 1
    last = {name: [found[name].to_list()[place] for place in order[latest]] for name in others}
    count = np.diff(np.append(first, len(code)))
    return _Spells(ids[code[first]].tolist(), number, start[first], until, end, count, last)


def _merged(code: Whole, start: Whole, ended: Whole, grace: int) -> tuple[Whole, Whole, Whole]:
    """Return of each relationship the first row, the row that ends last (the later one of equals) and its end."""
    if not len(code):
        return (np.zeros(0, np.int64),) * 3
    low = int(min(start.min(), ended.min()))
    span = int(max(start.max(), ended.max())) - low + 1
    reach = np.maximum.accumulate(code * span + (ended - low)) - code * span + low  # the latest end so far
    begins = np.ones(len(code), bool)
    begins[1:] = (code[1:] != code[:-1]) | (start[1:] > reach[:-1] + grace)
    first = np.flatnonzero(begins)
    spell = np.cumsum(begins) - 1
    latest = np.lexsort((np.arange(len(code)), ended, spell))[np.append(first[1:], len(code)) - 1]
    return first, latest, ended[latest]


def _curve_columns(
    seen: Vector, churned: NDArray[np.bool_], group: Whole, period: int, interval: float
) -> tuple[dict[str, NDArray[Any]], Whole]:
    """Return the columns of the curves, and the curve of each row."""
    from scipy import stats

    from crmlytics._kernels.kaplan_meier import kaplan_meier

    groups = int(group.max()) + 1
    curves = kaplan_meier(seen, churned, group, groups)
    z = float(stats.norm.ppf((1 + interval) / 2))
    parts = [_at_periods(curves, number, period, z) for number in range(groups)]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in CURVE_SCHEMA}
    return columns, np.repeat(np.arange(groups), [len(part["time_days"]) for part in parts])


def _at_periods(curves: Curves, number: int, period: int, z: float) -> dict[str, NDArray[Any]]:
    """Read a curve at the ends of its periods."""
    rows = slice(curves.starts[number], curves.starts[number + 1])
    time, survival, variance = curves.time[rows], curves.survival[rows], curves.variance[rows]
    longest = int(time[-1] // period) if survival[-1] > 0 else int(np.ceil(time[-1] / period))
    ends = period * np.arange(longest + 1)
    place = np.searchsorted(time, ends, side="right")
    place[0] = 0  # who left on the first day left in the first period
    retained = np.append(1.0, survival)[place]
    spread = np.append(0.0, variance)[place]
    churned, cut = (np.diff(np.append(0.0, np.cumsum(part[rows]))[place]) for part in (curves.ended, curves.open))
    started = np.append(curves.at_risk[rows], 0.0)[place]
    stayed = np.full(len(ends), np.nan)
    stayed[1:] = np.divide(retained[1:], retained[:-1], out=np.full(longest, np.nan), where=retained[:-1] > 0)
    low, high = _interval(retained, spread, z)
    low_stayed, high_stayed = _interval(stayed, np.append(np.nan, np.diff(spread)), z)
    at_risk = np.append(started[:1], started[:-1])
    columns = (ends, retained, low, high, 1 - stayed, 1 - high_stayed, 1 - low_stayed)
    counts = (at_risk, np.append(0, churned), np.append(0, cut))
    return dict(zip(CURVE_SCHEMA, (*columns, *(count.astype(np.int64) for count in counts)), strict=True))


def _interval(share: Vector, variance: Vector, z: float) -> tuple[Vector, Vector]:
    """Return bounds of a share, normal on the scale of ln(-ln); NaN where it is 0 or 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.exp(z * np.sqrt(np.maximum(variance, 0.0)) / -np.log(share))
        known = (share > 0) & (share < 1)
        return np.where(known, share**reach, np.nan), np.where(known, share ** (1 / reach), np.nan)


def _moments(days: Whole) -> NDArray[Any]:
    return days.astype("datetime64[D]").astype("datetime64[us]")
