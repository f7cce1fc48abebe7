"""The sales pipeline: how many leads pass each stage, how fast, why others are lost, what the open ones will bring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import table_with_lists
from crmlytics._validation import check_choice, check_fraction
from crmlytics.exceptions import SchemaError
from crmlytics.leads._stages import LOST, WON, read_progress, read_stages

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics._kernels.competing_risks import Exits
    from crmlytics.leads._stages import Progress, Spells
    from crmlytics.tables import Events, Leads

    Floats = NDArray[np.float64]

GROUPS = ("stage", "source", "owner")


def pipeline_table(
    leads: Leads | Any,
    stage_history: Events | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    stages: Sequence[str],
    won: str | Sequence[str] = WON,
    lost: str | Sequence[str] = LOST,
    interval: float = 0.95,
) -> Any:
    """Count how far leads come in the pipeline, how likely they move on from each stage, and how long they stay.

    Leads that are still in a stage are neither failures nor left out: they count for as long as they have been seen.
    The share of leads moved on among those resolved so far flatters when losses are recorded later than successes, and
    the share among all leads makes failures of the young.

    Parameters
    ----------
    leads : Leads or dataframe, one row per lead
        Needs ``lead_id`` and ``created_at``.
    stage_history : Events or dataframe, one row per change of stage
        Events whose ``customer_id`` is the lead and whose ``event`` is the stage it changed to; or a frame with
        ``lead_id``, ``timestamp`` and ``stage``. Records of leads that are not in ``leads`` are left out.
    as_of : date
        The moment described from; leads created and stages recorded on or after it are left out.
    stages : list of str
        The open stages, in order.
    won, lost : str or list of str
        The stages that end it.
    interval : float
        The probability that an interval, ``_low`` to ``_high``, is made to hold.

    Returns
    -------
    dataframe of the kind that came in, one row per stage, in order
        ``stage_number`` (Int64, from 1), ``stage`` (String); ``entered_count`` (Int64, leads that came to this stage or
        past it), of which ``moved_on_count`` went further (or were won), ``lost_count`` were lost here and
        ``open_count`` are here still; ``skipped_count`` (Int64, those of the entered never recorded here),
        ``moved_back_count`` (Int64, leads that went back from here to an earlier stage);
        ``moved_on_share`` (Float64, of those resolved, as counted), ``moved_on_probability`` (Float64, of a lead that
        enters, with those still open accounted for) with ``_low`` and ``_high``; ``median_days`` (Float64, in this
        stage, those still here accounted for; null if more than half are), ``win_probability`` (Float64, of a lead that
        enters this stage to be won in the end) with ``_low`` and ``_high``. A share of nobody is null.

    Raises
    ------
    SchemaError, MissingColumnsError
        For names of stages that are not in the history, or have two meanings; for infinite amounts.

    Warns
    -----
    DataQualityWarning
        When the history has stages that were not named, or leads that are not in the table: their records are left
        out. When a quarter of the leads or more have no record before ``as_of``.

    Notes
    -----
    The rule: a lead is in the first stage from its creation. It enters a stage when it is first recorded there *or
    further*; so a skipped stage counts as passed in no time, and a lead that goes back stays where it had come to (its
    time there runs on). An end counts if nothing is recorded after it: a lead that was lost and came back is open.

    ``moved_on_probability`` is the share moved on among those resolved, each weighted by the inverse probability of
    being watched for so long: the estimate of O. Aalen and S. Johansen (1978) of competing risks ("An empirical
    transition matrix for non-homogeneous Markov chains based on censored observations"), divided by that of being
    resolved at all. Its interval is Wilson's, with the effective number ``sum(w)^2 / sum(w^2)`` of weighted leads.
    Leads open for longer than any was before it was resolved are taken to end as the others did. ``win_probability``
    is the product from this stage on, its interval normal on the scale of log odds.

    A pipeline described in the past tells of the leads it had: who buys leads of another source tomorrow will see
    others.

    Examples
    --------
    >>> import pandas as pd
    >>> leads = pd.DataFrame({"lead_id": [1, 2, 3], "created_at": pd.to_datetime(["2024-01-01"] * 3)})
    >>> history = pd.DataFrame(
    ...     [(1, "2024-01-03", "Offer"), (1, "2024-01-09", "Won"), (2, "2024-01-05", "Lost"),
    ...      (3, "2024-01-07", "Offer")],
    ...     columns=["lead_id", "timestamp", "stage"],
    ... )
    >>> history["timestamp"] = pd.to_datetime(history["timestamp"])
    >>> table = pipeline_table(leads, history, as_of="2024-01-10", stages=["New", "Offer"])
    >>> table[["stage", "entered_count", "moved_on_count", "lost_count", "open_count", "median_days"]]
       stage  entered_count  moved_on_count  lost_count  open_count  median_days
    0    New              3               2           1           0          4.0
    1  Offer              2               1           0           1          6.0
    """
    from crmlytics._kernels.competing_risks import onward_interval, onward_probabilities, weigh_exits

    caller = "pipeline_table"
    check_fraction(interval, name="interval", caller=caller)
    named = read_stages(stages, won, lost, caller=caller)
    progress, engine = read_progress(leads, stage_history, named, as_of=as_of, caller=caller)
    spells = [progress.spells(number) for number in range(len(named.names))]
    exits = [weigh_exits(*one) for one in spells]
    low, high = onward_interval(exits, interval)
    columns = {
        "stage_number": np.arange(1, len(spells) + 1),
        "stage": np.array(named.names, object),
        **_counts(progress, spells),
        **_moving_columns(spells, exits, interval),
        "median_days": np.array([_median_days(one) for one in spells]),
        "win_probability": onward_probabilities(exits)[:-1],
        "win_probability_low": low,
        "win_probability_high": high,
    }
    return table_with_lists(engine, columns)


def forecast_table(
    leads: Leads | Any,
    stage_history: Events | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    stages: Sequence[str],
    amount: str,
    won: str | Sequence[str] = WON,
    lost: str | Sequence[str] = LOST,
    by: str | None = "stage",
    interval: float = 0.95,
) -> Any:
    """Forecast what the open leads will bring in the end: the amount of each, times the probability that it is won.

    Parameters
    ----------
    leads, stage_history, as_of, stages, won, lost, interval
        As :func:`pipeline_table` takes them.
    amount : str
        The column of ``leads`` of what a lead is worth if won.
    by : {"stage", "source", "owner"} or None
        A row for each; None makes one of all, whose interval is narrower than the intervals of the rows add up to.

    Returns
    -------
    dataframe of the kind that came in, one row per stage (in order), source or owner (sorted)
        The column that ``by`` names (String; a missing source or owner is "unknown"), ``open_count`` (Int64, open
        leads), ``without_amount_count`` (Int64, those of them without an amount, which bring nothing here),
        ``open_amount`` (Float64), ``win_probability`` (Float64, the mean over open leads, null without any),
        ``expected_won_count`` (Float64), ``expected_amount`` (Float64) with ``_low`` and ``_high``; null where a lead
        is in a stage that nobody has left yet, or before it.

    Raises
    ------
    SchemaError, MissingColumnsError
        As :func:`pipeline_table`; for amounts that are negative.

    Notes
    -----
    The probability of a lead is that of moving on from its stage, given how long it has been there, times those of
    all stages after it. The first is the weighted share moved on (see :func:`pipeline_table`) among leads resolved
    after a longer time or, where those are fewer than 20, among the 20 that took longest.

    The interval is that of the sum that comes in, not of its mean: whether each lead is won is left to chance, and
    the probabilities of the stages are known from so many leads only. It is normal, cut at nothing and at the open
    amount; of a few large leads take it for a rough one. When the money comes in is not foretold.

    Examples
    --------
    >>> from crmlytics.datasets._leads import STAGES, make_leads
    >>> made = make_leads(2000)
    >>> table = forecast_table(made.leads, made.stage_history, as_of="2024-12-31", stages=STAGES, amount="deal_amount")
    >>> table[["stage", "open_count", "win_probability"]].round(2)
           stage  open_count  win_probability
    0        New          24             0.27
    1  Contacted          88             0.30
    2  Qualified          45             0.49
    3   Proposal          23             0.65
    """
    caller = "forecast_table"
    check_fraction(interval, name="interval", caller=caller)
    if by is not None:
        check_choice(by, GROUPS, name="by", caller=caller)
    named = read_stages(stages, won, lost, caller=caller)
    column = None if by == "stage" else by
    progress, engine = read_progress(leads, stage_history, named, as_of=as_of, amount=amount, by=column, caller=caller)
    if (progress.amount < 0).any():
        raise SchemaError(f"{caller}: amount={amount!r} has negative values. What a lead is worth is zero or more.")
    exits = _exits(progress)
    probability = _open_probabilities(progress, exits)
    return table_with_lists(engine, _forecast(progress, exits, probability, by, interval))


def velocity_table(
    leads: Leads | Any,
    stage_history: Events | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    stages: Sequence[str],
    amount: str,
    won: str | Sequence[str] = WON,
    lost: str | Sequence[str] = LOST,
    by: str | None = None,
) -> Any:
    """Measure the sales velocity: what the pipeline brings a day, from how many leads, of what worth, won how fast.

    Parameters
    ----------
    leads, stage_history, as_of, stages, won, lost
        As :func:`pipeline_table` takes them.
    amount : str
        The column of ``leads`` of what a lead is worth if won.
    by : {"source", "owner"}, optional
        A row for each.

    Returns
    -------
    dataframe of the kind that came in, one row, or one per source or owner (sorted)
        The column that ``by`` names (String), ``open_count`` (Int64), ``won_count`` (Int64), ``mean_won_amount``
        (Float64, of won leads that have an amount), ``win_probability`` (Float64, of a new lead, those still open
        accounted for), ``cycle_days`` (Float64, the mean from creation to winning, of won leads), ``amount_per_day``
        (Float64, ``open_count * mean_won_amount * win_probability / cycle_days``). What rests on no won lead is null.

    Notes
    -----
    The formula is the usual one. It takes every open lead for a new one; :func:`forecast_table` does not. In young data
    only fast leads are won yet, and ``cycle_days`` is too short.

    Examples
    --------
    >>> from crmlytics.datasets._leads import STAGES, make_leads
    >>> made = make_leads(2000)
    >>> table = velocity_table(made.leads, made.stage_history, as_of="2024-12-31", stages=STAGES, amount="deal_amount")
    >>> table[["open_count", "won_count", "win_probability", "cycle_days"]].round(2)
       open_count  won_count  win_probability  cycle_days
    0         180        563             0.32       40.78
    """
    caller = "velocity_table"
    if by is not None:
        check_choice(by, GROUPS[1:], name="by", caller=caller)
    named = read_stages(stages, won, lost, caller=caller)
    progress, engine = read_progress(leads, stage_history, named, as_of=as_of, amount=amount, by=by, caller=caller)
    if by is None:
        return table_with_lists(engine, _velocity([progress]))
    names = np.unique(progress.groups[by].astype(str)).astype(object)
    parts = [progress.of(progress.groups[by] == name) for name in names]
    return table_with_lists(engine, {by: names, **_velocity(parts)})


def loss_reason_table(
    leads: Leads | Any,
    stage_history: Events | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    stages: Sequence[str],
    reason: str = "reason",
    won: str | Sequence[str] = WON,
    lost: str | Sequence[str] = LOST,
    amount: str | None = None,
) -> Any:
    """Count why leads were lost, and in which stage.

    Parameters
    ----------
    leads, stage_history, as_of, stages, won, lost
        As :func:`pipeline_table` takes them.
    reason : str
        The column of ``stage_history`` that gives the reason, on the record of the loss.
    amount : str, optional
        The column of ``leads`` of what a lead was worth.

    Returns
    -------
    dataframe of the kind that came in, one row per stage (in order) and reason (most frequent first, then by name)
        ``stage_number`` (Int64, from 1), ``stage``, ``reason`` (String, "unknown" where none was given),
        ``lost_count`` (Int64), ``share_of_stage`` (Float64, of the leads lost in this stage), ``share_of_all``
        (Float64, of all lost), ``median_days`` (Float64, in the stage until the loss); with ``amount``
        ``lost_amount`` (Float64). Stages that lost nobody have no row.

    Examples
    --------
    >>> from crmlytics.datasets._leads import STAGES, make_leads
    >>> made = make_leads(2000)
    >>> table = loss_reason_table(made.leads, made.stage_history, as_of="2024-12-31", stages=STAGES)
    >>> table[["stage", "reason", "lost_count", "share_of_stage"]].head(4).round(2)
      stage      reason  lost_count  share_of_stage
    0   New       price         143            0.40
    1   New  competitor         101            0.28
    2   New     no need          74            0.21
    3   New     unknown          37            0.10
    """
    caller = "loss_reason_table"
    named = read_stages(stages, won, lost, caller=caller)
    progress, engine = read_progress(
        leads, stage_history, named, as_of=as_of, amount=amount, reason=reason, caller=caller
    )
    return table_with_lists(engine, _reasons(progress, with_amount=amount is not None))


# -- columns -------------------------------------------------------------------------------------------------------


def _counts(progress: Progress, spells: list[Spells]) -> dict[str, Any]:
    moved, lost = (np.array([one[which].sum() for one in spells], np.int64) for which in (1, 2))
    entered = np.array([len(one.days) for one in spells], np.int64)
    return {
        "entered_count": entered,
        "moved_on_count": moved,
        "lost_count": lost,
        "open_count": entered - moved - lost,
        "skipped_count": progress.skipped.sum(axis=0).astype(np.int64),
        "moved_back_count": progress.went_back.sum(axis=0).astype(np.int64),
    }


def _exits(progress: Progress) -> list[Exits]:
    from crmlytics._kernels.competing_risks import weigh_exits

    return [weigh_exits(*progress.spells(number)) for number in range(len(progress.stages.names))]


def _moving_columns(spells: list[Spells], exits: list[Exits], interval: float) -> dict[str, Any]:
    from crmlytics._kernels.proportion_tests import share
    from crmlytics._kernels.proportions import wilson

    moved = np.array([one.moved.sum() for one in spells])
    probability = np.array([one.probability for one in exits])
    count = np.array([one.count for one in exits])
    low, high = wilson(probability * count, count, interval)
    return {
        "moved_on_share": share(moved, moved + np.array([one.lost.sum() for one in spells])),
        "moved_on_probability": probability,
        "moved_on_probability_low": low,
        "moved_on_probability_high": high,
    }


def _median_days(spells: Spells) -> float:
    from crmlytics._kernels.kaplan_meier import kaplan_meier

    if not len(spells.days):
        return np.nan
    one_group = np.zeros(len(spells.days), np.int64)
    return float(kaplan_meier(spells.days, spells.moved | spells.lost, one_group, 1).median()[0])


def _open_probabilities(progress: Progress, exits: list[Exits]) -> Floats:
    """Return the probability of winning of each lead that is open, given its stage and time there; else NaN."""
    from crmlytics._kernels.competing_risks import onward_probabilities

    probability, stage, wins = np.full(len(progress.lost), np.nan), progress.furthest, onward_probabilities(exits)
    for number, one in enumerate(exits):
        here = progress.is_open & (stage == number)
        age = progress.now - progress.entered[here, number]
        probability[here] = one.probability_after(age) * wins[number + 1]
    return probability


def _forecast(
    progress: Progress, exits: list[Exits], probability: Floats, by: str | None, interval: float
) -> dict[str, Any]:
    """Sum the open leads of each group."""
    stage = progress.furthest
    if by == "stage":
        names, group = np.array(progress.stages.names, object), stage
    else:
        words = np.full(len(stage), "") if by is None else progress.groups[by].astype(str)
        names, group = np.unique(words, return_inverse=True)
        names = names.astype(object)
    kept = progress.is_open
    group, stage, p = group[kept], stage[kept], probability[kept]
    money = np.nan_to_num(progress.amount[kept])
    count = np.bincount(group, minlength=len(names))
    sums = [
        np.bincount(group, values, len(names)).astype(np.float64)
        for values in (money, p, money * p, money**2 * p * (1 - p))
    ]
    expected, chance = sums[2], sums[3]
    learnt = _learnt_variance(group, stage, money * p, exits, len(names))
    low, high = _sum_interval(expected, chance + learnt, sums[0], interval)
    mean = np.divide(sums[1], count, out=np.full(len(names), np.nan), where=count > 0)
    return ({} if by is None else {by: names}) | {
        "open_count": count.astype(np.int64),
        "without_amount_count": np.bincount(group, np.isnan(progress.amount[kept]), len(names)).astype(np.int64),
        "open_amount": sums[0],
        "win_probability": mean,
        "expected_won_count": sums[1],
        "expected_amount": expected,
        "expected_amount_low": low,
        "expected_amount_high": high,
    }


def _learnt_variance(
    group: NDArray[np.int64], stage: NDArray[np.int64], worth: Floats, exits: list[Exits], groups: int
) -> Floats:
    """Return the variance of each group's sum that the probabilities of the stages bring, which all leads share."""
    total = np.zeros(groups)
    for number, one in enumerate(exits):  # a stage's probability is a factor of all leads there or before it
        before = stage <= number
        concerned = np.bincount(group[before], worth[before], groups)
        total += np.where(concerned > 0, concerned**2 * one.log_variance, 0.0)
    return total


def _sum_interval(mean: Floats, variance: Floats, most: Floats, interval: float) -> tuple[Floats, Floats]:
    from scipy import special

    reach = -special.ndtri((1 - interval) / 2) * np.sqrt(variance)
    return np.clip(mean - reach, 0.0, most), np.clip(mean + reach, 0.0, most)


def _velocity(parts: list[Progress]) -> dict[str, Any]:
    rows = [_velocity_of(one) for one in parts]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    speed = columns["open_count"] * columns["mean_won_amount"] * columns["win_probability"] / columns["cycle_days"]
    return columns | {"amount_per_day": speed}


def _velocity_of(progress: Progress) -> dict[str, Any]:
    from crmlytics._kernels.competing_risks import onward_probabilities

    won = progress.is_won
    amounts = progress.amount[won]
    amounts = amounts[~np.isnan(amounts)]
    cycle = progress.entered[won, -1] - progress.entered[won, 0]
    return {
        "open_count": int(progress.is_open.sum()),
        "won_count": int(won.sum()),
        "mean_won_amount": float(amounts.mean()) if len(amounts) else np.nan,
        "win_probability": float(onward_probabilities(_exits(progress))[0]),
        "cycle_days": float(cycle.mean()) if len(cycle) and cycle.mean() > 0 else np.nan,
    }


def _reasons(progress: Progress, *, with_amount: bool) -> dict[str, Any]:
    """Count the lost leads by stage and reason."""
    lost = ~np.isnan(progress.lost)
    stage, why = progress.furthest[lost], progress.reason[lost]
    days = np.maximum(progress.lost[lost] - progress.entered[lost, stage], 0.0)
    names, code = np.unique(why.astype(str), return_inverse=True)
    keys, row, count = np.unique(stage * max(len(names), 1) + code, return_inverse=True, return_counts=True)
    at, reason = keys // max(len(names), 1), keys % max(len(names), 1)
    order = np.lexsort((reason, -count, at))
    columns = {
        "stage_number": at + 1,
        "stage": np.array(progress.stages.names, object)[at],
        "reason": names.astype(object)[reason],
        "lost_count": count,
        "share_of_stage": count / np.bincount(stage, minlength=len(progress.stages.names))[at],
        "share_of_all": count / max(len(stage), 1),
        "median_days": np.array([np.median(days[row == number]) for number in range(len(keys))], np.float64),
    }
    if with_amount:
        columns["lost_amount"] = np.bincount(row, np.nan_to_num(progress.amount[lost]), len(keys))
    return {name: values[order] for name, values in columns.items()}
