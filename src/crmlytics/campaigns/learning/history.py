"""The memory of campaigns: what was planned beside what was measured, and whether the plan was right."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import pandas as pd

from crmlytics._frames import collect, columns_of, enter
from crmlytics._validation import as_moment, did_you_mean, warn
from crmlytics.campaigns._experiment import CAMPAIGN, check_columns, word_of
from crmlytics.campaigns._rows import NUMBER, TEXT, kinds_of, refuse_mixed_ids, table_of
from crmlytics.campaigns.measuring._no_trial import NOT_COMPARABLE, is_marked
from crmlytics.exceptions import SchemaError
from crmlytics.scoring._reading import with_whole_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from crmlytics._frames import Engine
    from crmlytics.campaigns.measuring.campaign_result import CampaignResult

    Row = Mapping[str, Any]
    Key = tuple[Any, str | None]

CALLER = "campaign_history_table"
ARM, METRIC, UNIT, CURRENCY = "arm", "metric", "unit", "currency"
OTHERWISE = "measured otherwise"
PROFIT = "incremental_profit_amount"
MOMENT = nw.Datetime("us")
PLANNED = {
    "planned_contact_count": "contact_count",
    "planned_cost_amount": "cost_amount",
    "planned_difference": "difference",
    "planned_profit_amount": PROFIT,
}
DEVIATIONS = {
    "contact_count": "contact_deviation_count",
    "cost_amount": "cost_deviation_amount",
    "difference": "difference_deviation",
    PROFIT: "profit_deviation_amount",
}
FIGURES = {
    "started_at": MOMENT, "ended_at": MOMENT,
    "planned_contact_count": NUMBER, "contact_count": NUMBER, "contact_deviation_count": NUMBER,
    "planned_cost_amount": NUMBER, "cost_amount": NUMBER, "cost_deviation_amount": NUMBER,
    METRIC: TEXT, "planned_difference": NUMBER, "difference": NUMBER, "difference_low": NUMBER,
    "difference_high": NUMBER, "difference_deviation": NUMBER,
    "planned_profit_amount": NUMBER, PROFIT: NUMBER, f"{PROFIT}_low": NUMBER, f"{PROFIT}_high": NUMBER,
    "profit_deviation_amount": NUMBER,
    "verdict": TEXT,
}  # fmt: skip


def campaign_history_table(
    plans: Any,
    results: CampaignResult | Iterable[CampaignResult] | None = None,
    *,
    effects: Any = None,
    returns: Any = None,
    metric: str | None = None,
) -> Any:
    """Set the plan of each campaign beside its result.

    Parameters
    ----------
    plans : dataframe, one row per campaign (and arm)
        ``campaign_id``; ``arm`` if arms were planned one by one; of ``planned_contact_count``, ``planned_cost_amount``,
        ``planned_difference`` (treated less control, in ``metric``) and ``planned_profit_amount`` those that were
        planned; ``metric``, if campaigns aimed at different ones; ``unit`` (of the difference) and ``currency`` (of
        amounts), words that are compared with those of the results, where both tell them. All other columns, such as
        ``channel`` or ``offer``, are kept.
    results : CampaignResult or list of them, optional
        What :func:`measure_campaign` returned.
    effects, returns : dataframe, optional
        Kept tables instead: what :func:`effect_table` and :func:`return_table` returned, of any campaigns; with
        ``unit`` or ``currency``, if you add them.
    metric : str, optional
        The metric of the differences, for plans that do not say it. Not needed where the effects have but one.

    Returns
    -------
    dataframe of the kind of ``plans``, one row per campaign and arm, sorted by ``started_at``, campaign and arm
        ``campaign_id``; ``arm`` (String, null where nothing was measured and the plan names none); the other columns of
        the plan (numbers as Float64, dates as Datetime, anything else as String); ``started_at``, ``ended_at``
        (Datetime, when the first and the last customer were contacted, if ``results`` tell it, else those of the plan);
        ``planned_contact_count``, ``contact_count`` (Float64, since they may be missing; customers treated),
        ``contact_deviation_count``; ``planned_cost_amount``, ``cost_amount``, ``cost_deviation_amount`` (Float64);
        ``metric`` (String), ``planned_difference``, ``difference``, ``difference_low``, ``difference_high``,
        ``difference_deviation`` (Float64); ``planned_profit_amount``, ``incremental_profit_amount`` with ``_low`` and
        ``_high``, ``profit_deviation_amount`` (Float64). Deviations are
        measured less planned. What was measured in another metric, unit or currency than planned is null. ``verdict``
        (String), by profit if it was planned and measured, else by the difference:

        ====================  ==================================================================================
        "better than planned"  the whole interval lies above the plan
        "worse than planned"   the whole interval lies below it
        "as planned"           the plan lies in the interval, and no effect at all does not
        "cannot tell"          both lie in it, or there is no interval: the campaign was too small to tell them apart
        "not comparable"       measured, but the groups were not dealt at random, as ``remark`` of the results says
        "measured otherwise"   planned in one metric, unit or currency and measured in another
        "no plan"              measured, but not planned in figures
        "not measured"         planned, and there is no result
        ====================  ==================================================================================

    Raises
    ------
    SchemaError, MissingColumnsError
        If a campaign (and arm) has two plans or two results; if arms were measured for which the plan does not tell
        which it is of; if it is not clear which metric was planned.

    Warns
    -----
    DataQualityWarning
        When a plan without a result and a result without a plan differ only in capitals, spaces or signs.

    Notes
    -----
    A history is only as good as it is complete. Put every campaign in when it is planned, not when it has worked: with
    the failures left out, :func:`what_worked_table` finds that everything works.

    Examples
    --------
    >>> import pandas as pd
    >>> plans = pd.DataFrame({
    ...     "campaign_id": ["may", "june"], "channel": ["e-mail", "letter"], "planned_difference": [0.02, 0.05],
    ... })
    >>> effects = pd.DataFrame({
    ...     "campaign_id": ["may", "june"], "arm": "offer", "metric": "converted", "treated_count": [9000, 800],
    ...     "difference": [0.018, 0.01], "difference_low": [0.011, -0.01], "difference_high": [0.025, 0.03],
    ... })
    >>> history = campaign_history_table(plans, effects=effects)
    >>> history[["campaign_id", "channel", "planned_difference", "difference", "verdict"]]
      campaign_id channel  planned_difference  difference             verdict
    0        june  letter                0.05       0.010  worse than planned
    1         may  e-mail                0.02       0.018          as planned
    """
    planned, kinds, engine = _read(plans, [CAMPAIGN])
    told: list[Any] = [results] if hasattr(results, "effects") else list(results or ())
    found = _Results(
        _together([*(one.effects for one in told), effects], ["difference"]),
        _together([*(one.returns for one in told), returns], [PROFIT, "cost_amount"]),
        _dates([one.outcomes for one in told]),
    )
    _check_ids([row[CAMPAIGN] for row in planned], [campaign for campaign, _ in found.keys])
    pairs = _paired(_by_key(planned, "plans"), found.keys)
    _tell_alike(pairs, found.keys)
    rows = [_row(key, plan, found, metric) for key, plan in pairs]
    rows.sort(key=lambda row: (row["started_at"] is None, row["started_at"] or 0, row[CAMPAIGN], row[ARM] or ""))
    kept = {name: kind for name, kind in kinds.items() if name not in {CAMPAIGN, ARM, *FIGURES}}
    columns = {CAMPAIGN: TEXT, ARM: TEXT, **kept, **FIGURES}
    return table_of(engine, rows, columns, **{CAMPAIGN: [row[CAMPAIGN] for row in rows]})


# -- reading -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Results:
    """What was measured: effects, returns (lists of rows) and the dates of contacts, by campaign and arm."""

    effects: list[Row]
    returns: list[Row]
    dates: dict[Key, Row]

    @property
    def keys(self) -> set[Key]:
        return {_key(row) for row in (*self.effects, *self.returns)}

    def of(self, rows: list[Row], key: Key, name: str) -> Row:
        """Return the row of a campaign and arm, an empty one if there is none."""
        return _by_key([row for row in rows if _key(row) == key], name).get(key, {})


def _read(native: Any, needs: Sequence[str]) -> tuple[list[Row], dict[str, Any], Engine]:
    """Return the rows of a table, missing values as None, and what kind its columns have in the result."""
    plan, engine = enter(native, caller=CALLER)
    check_columns(columns_of(plan), needs, caller=CALLER)
    plan = with_whole_ids(plan, [CAMPAIGN], caller=CALLER)
    kinds = {name: _kind(dtype) for name, dtype in plan.collect_schema().items()}
    table = collect(plan).to_pandas()
    columns = [[_value(value) for value in table[name].tolist()] for name in kinds]
    return [dict(zip(kinds, values, strict=True)) for values in zip(*columns, strict=True)], kinds, engine


def _kind(dtype: Any) -> Any:
    """Whole numbers become floats: a campaign without a plan has none, and NumPy's whole numbers are never missing."""
    if dtype.is_numeric():
        return NUMBER
    return MOMENT if dtype.is_temporal() else TEXT


def _value(value: Any) -> Any:
    if pd.isna(value):
        return None
    if isinstance(value, dt.date):
        return as_moment(value, name="a date", caller=CALLER)
    return str(value) if isinstance(value, bool) else value


def _together(tables: Sequence[Any], needs: Sequence[str]) -> list[Row]:
    """Return the rows of several tables of results; None is no table."""
    return [row for table in tables if table is not None for row in _read(table, [CAMPAIGN, *needs])[0]]


def _dates(outcomes: Sequence[Any]) -> dict[Key, Row]:
    """Return when the first and the last customer of each campaign and arm was contacted first."""
    dates: dict[Key, Row] = {}
    for table in outcomes:
        plan = with_whole_ids(enter(table, caller=CALLER)[0], [CAMPAIGN], caller=CALLER)
        moments = {"started_at": nw.col("contacted_at").min(), "ended_at": nw.col("contacted_at").max()}
        rows = collect(plan.group_by(CAMPAIGN, ARM).agg(**moments)).to_pandas().to_dict("records")
        dates |= {_key(row): {name: _value(row[name]) for name in moments} for row in rows}
    return dates


def _check_ids(planned: list[Any], measured: list[Any]) -> None:
    """Refuse ids that are missing, or of different kinds."""
    if None in planned or None in measured:
        raise SchemaError(f"{CALLER}: campaign_id is missing in some rows. Give each campaign its own.")
    refuse_mixed_ids(CAMPAIGN, {"plans": kinds_of(planned), "the results": kinds_of(measured)}, caller=CALLER)


def _key(row: Row) -> Key:
    return row[CAMPAIGN], None if row.get(ARM) is None else word_of(row[ARM])


def _by_key(rows: list[Row], name: str) -> dict[Key, Row]:
    found = {_key(row): row for row in rows}
    if len(found) < len(rows):
        counts = Counter(map(_key, rows))
        campaign, arm = next(key for key in found if counts[key] > 1)
        which = f"campaign {campaign!r}" + ("" if arm is None else f", arm {arm!r},")
        msg = f"{CALLER}: {which} has {counts[campaign, arm]} rows in {name}. Keep one of each, without segments."
        raise SchemaError(msg)
    return found


# -- pairing -------------------------------------------------------------------------------------------------------


def _paired(plans: dict[Key, Row], measured: set[Key]) -> list[tuple[Key, Row]]:
    """Return each plan under the arm that it was measured in, and what was measured without a plan."""
    pairs: list[tuple[Key, Row]] = []
    for (campaign, arm), plan in plans.items():
        arms = sorted({other for name, other in measured if name == campaign}, key=str) if arm is None else [arm]
        if len(arms) > 1:
            msg = (
                f"{CALLER}: campaign {campaign!r} was measured in the arms {arms}, and the plan does not say of which "
                "it is. Add the column 'arm' to plans, one row each."
            )
            raise SchemaError(msg)
        pairs.append(((campaign, arms[0] if arms else None), plan))
    taken = {key for key, _ in pairs}
    return pairs + [(key, {}) for key in measured - taken]


def _tell_alike(pairs: list[tuple[Key, Row]], measured: set[Key]) -> None:
    """Warn of plans without a result beside results without a plan that are called nearly the same."""
    unplanned = sorted((key for key, plan in pairs if not plan), key=str)
    for planned in [key for key, plan in pairs if plan and key not in measured]:
        alike = [": ".join(map(str, key)) for key in unplanned if _is_alike(planned, key)]
        if alike:
            name = ": ".join(str(part) for part in planned if part is not None)
            warn(
                f"{CALLER}: the plan {name!r} has no result, and the result {alike[0]!r} has no plan. If they are the "
                "same, call them alike."
            )


def _is_alike(planned: Key, measured: Key) -> bool:
    """Whether only capitals, spaces and signs differ; a plan without an arm goes with any."""

    def bare(name: Any) -> str:
        return "".join(filter(str.isalnum, str(name).casefold()))

    return all(one is None or bare(one) == bare(other) for one, other in zip(planned, measured, strict=True))


def _effect_of(found: _Results, key: Key, plan: Row, metric: str | None) -> Row:
    """Return the effect in the metric that was planned."""
    metrics = sorted({str(row[METRIC]) for row in found.effects if row.get(METRIC) is not None})
    wanted = plan.get(METRIC) or metric or (metrics[0] if len(metrics) == 1 else None)
    if wanted is None and metrics:
        msg = f"{CALLER}: effects has the metrics {metrics}. Say which one counts: metric={metrics[0]!r}."
        raise SchemaError(msg)
    if metric is not None and metrics and metric not in metrics:
        raise SchemaError(f"{CALLER}: no effect is in metric={metric!r}.{did_you_mean(metric, metrics)}")
    rows = [row for row in found.effects if row.get(METRIC) in {None, wanted}]
    return {METRIC: wanted} | dict(found.of(rows, key, "effects"))


def _row(key: Key, plan: Row, found: _Results, metric: str | None) -> Row:
    effect, earned = _effect_of(found, key, plan, metric), found.of(found.returns, key, "returns")
    treated = earned.get("treated_count", effect.get("treated_count"))
    otherwise = _otherwise(plan, effect, earned, is_measured=any(_key(row) == key for row in found.effects))
    measured = {**effect, **earned, "contact_count": treated} | dict.fromkeys(otherwise)
    row = {name: measured.get(name) for name in FIGURES} | {name: plan.get(name) for name in PLANNED}
    row |= _when(found.dates.get(key, {}), plan)
    row |= {
        DEVIATIONS[name]: None if row[name] is None or plan.get(wanted) is None else row[name] - plan[wanted]
        for wanted, name in PLANNED.items()
    }
    kept = {name: value for name, value in plan.items() if name not in FIGURES}
    verdict = NOT_COMPARABLE if is_marked(effect) or is_marked(earned) else _verdict(row, otherwise)
    return {**kept, **row, CAMPAIGN: key[0], ARM: key[1], "verdict": verdict}


def _otherwise(plan: Row, effect: Row, earned: Row, *, is_measured: bool) -> set[str]:
    """Return the figures that were measured in another metric, unit or currency than was planned."""
    found: set[str] = set()
    if _differ(plan, effect, UNIT, CURRENCY) or (is_measured and "difference" not in effect):
        found |= {"difference", "difference_low", "difference_high"}
    if _differ(plan, earned, CURRENCY):
        found |= {"cost_amount", PROFIT, f"{PROFIT}_low", f"{PROFIT}_high"}
    return found


def _differ(plan: Row, measured: Row, *names: str) -> bool:
    """Whether both tell one of these, and differently."""
    pairs = [(plan.get(name), measured.get(name)) for name in names]
    return any(None not in pair and len({str(one).strip().casefold() for one in pair}) > 1 for pair in pairs)


def _when(dates: Row, plan: Row) -> Row:
    given = {name: dates.get(name, plan.get(name)) for name in ("started_at", "ended_at")}
    return {name: None if at is None else as_moment(at, name=name, caller=CALLER) for name, at in given.items()}


def _verdict(row: Row, otherwise: set[str]) -> str:
    pairs = [("planned_profit_amount", PROFIT), ("planned_difference", "difference")]
    is_there = {name: row[name] is not None or name in otherwise for _, name in pairs}
    both = [(row[plan], name) for plan, name in pairs if row[plan] is not None and is_there[name]]
    if not both:
        is_planned = any(row[plan] is not None for plan, _ in pairs)
        return "no plan" if any(is_there.values()) and not is_planned else "not measured"
    planned, name = both[0]
    if name in otherwise:
        return OTHERWISE
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if low is None or high is None:
        return "cannot tell"
    if not low <= planned <= high:
        return "better than planned" if low > planned else "worse than planned"
    return "cannot tell" if low <= 0 <= high and planned != 0 else "as planned"
