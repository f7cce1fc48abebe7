"""Objectives beside what was reached: baseline, target, due date, and where we are on the way."""

from __future__ import annotations

import datetime as dt
import math
import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import pandas as pd

from crmlytics._frames import compute, enter
from crmlytics._validation import as_moment, did_you_mean
from crmlytics.campaigns._experiment import CAMPAIGN, check_columns, word_of
from crmlytics.campaigns._rows import NUMBER, TEXT, WHOLE, kinds_of, refuse_mixed_ids, table_of
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CALLER = "scoreboard_table"
METRIC, OWNER, ACTUAL, MEASURED = "metric", "owner", "actual", "measured_at"
NEEDED, OPTIONAL = (METRIC, "baseline", "target", "due"), (CAMPAIGN, OWNER, "started_at", ACTUAL)
SHOWN = 5
DAY = dt.timedelta(days=1)


def scoreboard_table(
    objectives: Any, actuals: Mapping[str, float] | Any = None, *, as_of: str | dt.date | dt.datetime
) -> Any:
    """Set objectives beside what was measured: reached, on track, behind or missed.

    Parameters
    ----------
    objectives : dataframe, one row per metric (and campaign)
        ``metric``; ``baseline`` and ``target``, numbers in the metric's own unit (a target below the baseline means
        that less is better: churn from 0.05 to 0.04); ``due``, the last day that counts. If given, also ``started_at``
        (the day from which time runs), ``owner``, ``campaign_id``, and ``actual``. Days are dates, or text such as
        "2024-12-31".
    actuals : dict or dataframe, optional
        What was measured: ``{"churn rate": 0.046}``, or a table of ``metric``, ``actual`` and, if there are several,
        ``measured_at`` and ``campaign_id``. Of several the last one counts that was measured before ``as_of``, from
        ``started_at`` on and not after the day it was due. Metrics without an objective are ignored.
    as_of : date
        The day of the report; nothing measured on or after it is read.

    Returns
    -------
    dataframe of the kind of ``objectives``, one row per objective, sorted by campaign and metric
        ``campaign_id`` (Int64 or String, if given), ``metric`` (String), ``owner`` (String, if given); ``baseline``,
        ``target``, ``actual`` (Float64, null if not measured); ``measured_at`` (Datetime, null if not told), ``due``
        (Datetime);
        ``progress_share`` (Float64, of the way from baseline to target; below 0 on the way back, above 1 beyond the
        target); ``elapsed_share`` (Float64, of the time from ``started_at`` through ``due``; null without a start);
        ``days_left`` (Int64, calendar days still to come, the due day among them; 0 or less: it is over); ``gap``
        (Float64, ``target - actual``, by how much the metric still has to change, in its unit); ``status`` (String):

        ==============  ==============================================================================
        "reached"       the target, or more
        "missed"        it is over, and the target was not reached
        "on track"      at least as much of the way is made as of the time has passed
        "behind"        less is
        "under way"     not reached yet, and without ``started_at`` nobody can say whether in time
        "not started"   ``started_at`` is still to come
        "not measured"  there is no measurement, whether it is over or not
        ==============  ==============================================================================

    Raises
    ------
    SchemaError
        If an objective is not SMART, as far as that can be checked, with the letter that fails: *specific*, it names a
        metric, and each one once; *measurable*, baseline and target are numbers and differ; *assignable*, somebody is
        the ``owner``, if there is such a column; *time-bound*, it has a day on which it is due, not before its start.
        Whether it is *realistic* no table can tell: see :func:`goal_table` for what it takes. If ids of campaigns are
        numbers here and text there.

    Notes
    -----
    ``progress_share = (actual - baseline) / (target - baseline)``. "On track" takes progress to be even over time,
    which a metric that only moves after the campaign is not: it is "behind" until then.

    Examples
    --------
    >>> import pandas as pd
    >>> objectives = pd.DataFrame({
    ...     "metric": ["churn rate", "orders"], "baseline": [0.05, 1000.0], "target": [0.04, 1200.0],
    ...     "started_at": ["2024-01-01", "2024-01-01"], "due": ["2024-12-31", "2024-12-31"],
    ... })
    >>> table = scoreboard_table(objectives, {"churn rate": 0.044, "orders": 1050}, as_of="2024-07-01")
    >>> table[["metric", "actual", "progress_share", "elapsed_share", "days_left", "status"]].round(2)
           metric   actual  progress_share  elapsed_share  days_left    status
    0  churn rate     0.04            0.60            0.5        184  on track
    1      orders  1050.00            0.25            0.5        184    behind
    """
    now = as_moment(as_of, caller=CALLER)
    engine = enter(objectives, caller=CALLER)[1]
    table = _rows(objectives, NEEDED, caller=CALLER)
    given = [_read(row, place) for place, row in enumerate(table.to_dict("records"))]
    _refuse_not_smart([*given, *_repeated(given)])
    rows = [one for one in given if isinstance(one, _Objective)]
    measured = _measured(rows, table, actuals)
    _check_ids(rows, measured if actuals is not None else [])
    rows.sort(key=lambda one: (one.campaign is None, one.campaign or 0, one.metric))
    kinds = {name: kind for name, kind in SCHEMA.items() if name in table.columns or name not in {CAMPAIGN, OWNER}}
    ids = {CAMPAIGN: [one.campaign for one in rows]} if CAMPAIGN in kinds else {}
    return table_of(engine, [_row(one, _latest(one, measured, now), now) for one in rows], kinds, **ids)


def _check_ids(rows: list[_Objective], measured: list[_Measurement]) -> None:
    places: dict[str, Sequence[_Objective | _Measurement]] = {"objectives": rows, "actuals": measured}
    kinds = {place: kinds_of(one.campaign for one in ones) for place, ones in places.items()}
    refuse_mixed_ids(CAMPAIGN, kinds, caller=CALLER)


# -- what was wanted -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Objective:
    """One objective; ``due`` is the midnight that ends its last day."""

    metric: str
    campaign: int | str | None
    owner: str | None
    baseline: float
    target: float
    started_at: dt.datetime | None
    due: dt.datetime


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why an objective is none: ``letter`` of SMART."""

    where: str
    letter: str
    why: str


SCHEMA = {
    CAMPAIGN: TEXT, METRIC: TEXT, OWNER: TEXT, "baseline": NUMBER, "target": NUMBER, ACTUAL: NUMBER,
    MEASURED: nw.Datetime("us"), "due": nw.Datetime("us"), "progress_share": NUMBER, "elapsed_share": NUMBER,
    "days_left": WHOLE, "gap": NUMBER, "status": TEXT,
}  # fmt: skip


def _rows(native: Any, needed: Iterable[str], *, caller: str) -> pd.DataFrame:
    table: pd.DataFrame = compute(native, caller=caller).to_pandas()
    check_columns(table.columns, list(needed), caller=caller)
    return table


def _read(row: dict[str, Any], place: int) -> _Objective | _Fault:
    """Return an objective, or the first letter of SMART that it fails."""
    metric = _word(row[METRIC])
    if metric is None:
        return _Fault(f"row {place + 1}", "not specific", "it names no metric")
    baseline, target = _number(row["baseline"]), _number(row["target"])
    if baseline is None or target is None:
        lacking = "baseline" if baseline is None else "target"
        return _Fault(repr(metric), "not measurable", f"its {lacking} is no number")
    if baseline == target:
        return _Fault(repr(metric), "not measurable", f"target and baseline are both {target:g}, so nothing can change")
    owner = _word(row.get(OWNER))
    if OWNER in row and owner is None:
        return _Fault(repr(metric), "not assignable", "it has no owner")
    due, started = _day(row["due"], "due"), _day(row.get("started_at"), "started_at")
    if due is None:
        return _Fault(repr(metric), "not time-bound", "it has no day on which it is due")
    if started is not None and due < started:
        return _Fault(repr(metric), "not time-bound", f"it is due on {due:%Y-%m-%d}, before it starts")
    return _Objective(metric, _id(row.get(CAMPAIGN)), owner, baseline, target, started, due + DAY)


def _repeated(given: list[_Objective | _Fault]) -> list[_Fault]:
    keys = [(one.campaign, one.metric) for one in given if isinstance(one, _Objective)]
    twice = sorted({key for key in keys if keys.count(key) > 1}, key=str)
    return [_Fault(repr(metric), "not specific", "it comes more than once") for _, metric in twice]


def _refuse_not_smart(given: list[_Objective | _Fault]) -> None:
    faults = [one for one in given if isinstance(one, _Fault)]
    if not given:
        raise SchemaError(f"{CALLER}: objectives has no rows. Expected one row per metric.")
    if faults:
        listed = "; ".join(f"{fault.where} is {fault.letter}: {fault.why}" for fault in faults[:SHOWN])
        more = f" And {len(faults) - SHOWN} more." if len(faults) > SHOWN else ""
        msg = (
            f"{CALLER}: {listed}.{more} An objective is SMART: specific, measurable, assignable, realistic and "
            "time-bound, such as metric 'churn rate', baseline 0.05, target 0.04, due 2024-12-31."
        )
        raise SchemaError(msg)


def _word(value: Any) -> str | None:
    return None if value is None or pd.isna(value) or not word_of(value) else word_of(value)


def _id(value: Any) -> int | str | None:
    """Return an id as a whole number or as text."""
    word = _word(value)
    return int(word) if word is not None and isinstance(value, numbers.Real) else word


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _day(value: Any, name: str) -> dt.datetime | None:
    """Return the midnight that begins a day."""
    if value is None or pd.isna(value):
        return None
    moment = as_moment(value, name=name, caller=CALLER)
    return dt.datetime(moment.year, moment.month, moment.day)


# -- what was measured ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Measurement:
    metric: str
    campaign: int | str | None
    actual: float
    measured_at: dt.datetime | None


def _measured(objectives: list[_Objective], table: pd.DataFrame, actuals: Any) -> list[_Measurement]:
    """Read what was measured, from where it is given."""
    if actuals is not None and ACTUAL in table.columns:
        raise SchemaError(f"{CALLER}: objectives has a column 'actual', and actuals is given too. Give one of them.")
    if hasattr(actuals, "items") and not hasattr(actuals, "columns"):
        rows = [{METRIC: metric, ACTUAL: actual} for metric, actual in actuals.items()]
    elif actuals is not None:
        rows = _rows(actuals, (METRIC, ACTUAL), caller=CALLER).to_dict("records")
    else:
        rows = table.to_dict("records") if ACTUAL in table.columns else []
    read = [_measurement(row) for row in rows]
    wanted = {one.metric for one in objectives}
    if actuals is not None and read and wanted.isdisjoint(one.metric for one in read):
        first = read[0].metric
        msg = f"{CALLER}: actuals has none of the metrics {sorted(wanted)}, such as {first!r}."
        raise SchemaError(msg + did_you_mean(first, wanted))
    return [one for one in read if math.isfinite(one.actual)]


def _measurement(row: dict[str, Any]) -> _Measurement:
    metric, value = _word(row[METRIC]), row[ACTUAL]
    actual = math.nan if value is None or pd.isna(value) else _number(value)
    if metric is None or actual is None:
        raise SchemaError(f"{CALLER}: actuals must be numbers by metric, got {value!r} of {row[METRIC]!r}.")
    at = row.get(MEASURED)
    moment = None if at is None or pd.isna(at) else as_moment(at, name=MEASURED, caller=CALLER)
    return _Measurement(metric, _id(row.get(CAMPAIGN)), actual, moment)


def _latest(objective: _Objective, measured: list[_Measurement], now: dt.datetime) -> _Measurement | None:
    """Return the last measurement that counts for an objective."""
    start, end = objective.started_at or dt.datetime.min, min(now, objective.due)
    counts = [
        one
        for one in measured
        if one.metric == objective.metric
        and one.campaign in {None, objective.campaign}
        and (one.measured_at is None or start <= one.measured_at < end)
    ]
    if len(counts) > 1 and any(one.measured_at is None for one in counts):
        msg = (
            f"{CALLER}: {objective.metric!r} was measured {len(counts)} times, and not every time is told. Add the "
            "column 'measured_at', or keep one."
        )
        raise SchemaError(msg)
    return max(counts, key=lambda one: (one.measured_at, one.actual), default=None)


# -- where we are --------------------------------------------------------------------------------------------------


def _row(objective: _Objective, found: _Measurement | None, now: dt.datetime) -> dict[str, Any]:
    actual = None if found is None else found.actual
    way = objective.target - objective.baseline
    progress = None if actual is None else (actual - objective.baseline) / way
    return {
        CAMPAIGN: objective.campaign,
        METRIC: objective.metric,
        OWNER: objective.owner,
        "baseline": objective.baseline,
        "target": objective.target,
        ACTUAL: actual,
        MEASURED: None if found is None else found.measured_at,
        "due": objective.due - DAY,
        "progress_share": progress,
        "elapsed_share": _elapsed(objective, now),
        "days_left": _days_left(objective, now),
        "gap": None if actual is None else objective.target - actual,
        "status": _status(objective, progress, now),
    }


def _days_left(objective: _Objective, now: dt.datetime) -> int:
    return (objective.due.date() - now.date()).days


def _elapsed(objective: _Objective, now: dt.datetime) -> float | None:
    if objective.started_at is None:
        return None
    return min(1.0, max(0.0, (now - objective.started_at) / (objective.due - objective.started_at)))


def _status(objective: _Objective, progress: float | None, now: dt.datetime) -> str:
    if progress is None:
        not_yet = objective.started_at is not None and now < objective.started_at
        return "not started" if not_yet else "not measured"
    if progress >= 1:
        return "reached"
    if now >= objective.due:
        return "missed"
    elapsed = _elapsed(objective, now)
    if elapsed is None:
        return "under way"
    if objective.started_at is not None and now < objective.started_at:
        return "not started"
    return "on track" if progress >= elapsed else "behind"
