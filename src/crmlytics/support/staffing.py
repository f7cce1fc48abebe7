"""How many people it takes to answer the tickets of each hour in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect, columns_of, enter
from crmlytics._kernels.workload import MOST_AGENTS, agents_needed
from crmlytics._validation import as_seconds, check_fraction
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.metrics._columns import as_numbers

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics._frames import Engine

    Vector = NDArray[np.float64]
    Moments = NDArray[np.datetime64]

CALLER = "staffing_table"
HOUR_SECONDS = 3_600
SCHEMA = nw.Schema({
    "period_start": nw.Datetime("us"), "period_end": nw.Datetime("us"), "expected_count": nw.Float64(),
    "load_erlangs": nw.Float64(), "agent_count": nw.Int64(), "answered_within_share": nw.Float64(),
    "wait_probability": nw.Float64(), "mean_wait_seconds": nw.Float64(), "occupancy_share": nw.Float64(),
    "agent_count_high": nw.Int64(),
})  # fmt: skip


def staffing_table(
    workload: Any,
    *,
    handling_time: str | dt.timedelta,
    answer_within: str | dt.timedelta = "20s",
    answered_share: float = 0.8,
) -> Any:
    """Say how many agents it takes in each hour to answer most customers within a time: Erlang C.

    Parameters
    ----------
    workload : dataframe, one row per hour or shorter period
        ``period_start``, ``period_end`` and ``expected_count``, such as :func:`workload_table` with ``period="hour"``;
        ``expected_count_high`` for the agents of a busy hour.
    handling_time : str
        That an agent spends on one ticket on average, such as ``"12m"``.
    answer_within : str, default "20s"
        Within which time customers are to be answered.
    answered_share : float, default 0.8
        Which share of them.

    Returns
    -------
    dataframe of the kind that came in, one row per period, in order
        ``period_start``, ``period_end`` (datetime), ``expected_count`` (Float64); ``load_erlangs`` (Float64, agents
        busy on average), ``agent_count`` (Int64, the fewest who reach the target); with these
        ``answered_within_share``, ``wait_probability`` (of having to wait at all), ``mean_wait_seconds`` (of all
        customers), ``occupancy_share`` (of their time, that agents are busy; null without agents; all Float64);
        ``agent_count_high`` (Int64, for ``expected_count_high``, where there is one).

    Raises
    ------
    SchemaError, MissingColumnsError
        When a column is missing; moments have a time zone; a count is missing or negative, or takes more than 10,000
        agents; periods overlap, or are longer than an hour: nobody arrives evenly over a day.

    Notes
    -----
    Customers arrive by chance at a steady rate, wait in one line as long as it takes, and are served in times that are
    exponentially distributed (M/M/n). With load A and n agents ``P(wait) = n B / (n - A (1 - B))``, B being Erlang's
    formula of loss, and ``1 - P(wait) exp(-(n - A) t / handling time)`` are answered within t.

    When not to use: for e-mail and other work that can lie until it is quieter; there the load of the day is enough.
    Who hangs up makes the truth milder, who calls again makes it harder. Agents are those at their desks: divide by the
    share of paid time that is spent there.

    References
    ----------
    A. K. Erlang (1917), Post Office Electrical Engineers' Journal 10. N. Gans, G. Koole and A. Mandelbaum (2003),
    "Telephone call centers: tutorial, review, and research prospects", Manufacturing and Service Operations Management
    5.

    Examples
    --------
    >>> import pandas as pd
    >>> hour = pd.DataFrame({"period_start": [pd.Timestamp("2024-01-01 09:00")], "expected_count": 200.0})
    >>> hour["period_end"] = hour["period_start"] + pd.Timedelta(hours=1)
    >>> table = staffing_table(hour, handling_time="3m")
    >>> table[["load_erlangs", "agent_count", "answered_within_share", "mean_wait_seconds"]].round(3)
       load_erlangs  agent_count  answered_within_share  mean_wait_seconds
    0          10.0           14                  0.888              7.836
    """
    handling = as_seconds(handling_time, name="handling_time", caller=CALLER)
    within = as_seconds(answer_within, name="answer_within", caller=CALLER)
    share = check_fraction(answered_share, name="answered_share", caller=CALLER)
    engine, rows = _read_workload(workload)
    start, end = (_moments(rows, name) for name in ("period_start", "period_end"))
    seconds = _seconds(start, end)
    count = as_numbers(rows["expected_count"], name="expected_count", caller=CALLER)
    load = _load(count, seconds, handling)
    found = agents_needed(load, handling, within, share)
    columns: dict[str, Any] = {
        "period_start": start,
        "period_end": end,
        "expected_count": count,
        "load_erlangs": load,
        "agent_count": found.agents,
        "answered_within_share": found.answered,
        "wait_probability": found.waits,
        "mean_wait_seconds": found.mean_wait,
        "occupancy_share": np.divide(load, found.agents, out=np.full(len(load), np.nan), where=found.agents > 0),
    }
    if "expected_count_high" in rows:
        high = as_numbers(rows["expected_count_high"], name="expected_count_high", caller=CALLER)
        columns["agent_count_high"] = agents_needed(_load(high, seconds, handling), handling, within, share).agents
    return engine.from_columns(columns, nw.Schema({name: SCHEMA[name] for name in columns}))


# -- inside --------------------------------------------------------------------------------------------------------


def _read_workload(workload: Any) -> tuple[Engine, Any]:
    frame, engine = enter(workload, caller=CALLER)
    names = columns_of(frame)
    missing = [name for name in ("period_start", "period_end", "expected_count") if name not in names]
    if missing:
        msg = f'{CALLER} needs the result of workload_table(..., period="hour"): no columns {missing} in {names}.'
        raise MissingColumnsError(msg)
    schema = frame.collect_schema()
    for name in ("period_start", "period_end"):
        if getattr(schema[name], "time_zone", "of no moment") is not None:
            msg = f"{CALLER}: {name} must be moments without a time zone, as your clocks show, got {schema[name]}."
            raise SchemaError(msg)
    rows = collect(frame).to_pandas().sort_values("period_start").reset_index(drop=True)
    if rows.empty:
        raise SchemaError(f"{CALLER}: the table has no rows. Expected one row per hour.")
    return engine, rows


def _moments(rows: Any, name: str) -> Moments:
    moments: Moments = rows[name].astype("datetime64[us]").to_numpy()
    return moments


def _seconds(start: Moments, end: Moments) -> Vector:
    """Return how long periods are; refuse what is no row of hours one after the other."""
    seconds: Vector = (end - start) / np.timedelta64(1, "s")
    refused = {
        "every period needs a start and an end": np.isnan(seconds),
        "periods must end after they start": seconds <= 0,
        "periods must be an hour or shorter, customers do not arrive evenly over longer ones": seconds > HOUR_SECONDS,
        "periods must not overlap, one line of customers at a time": np.append(end[:-1] > start[1:], False),
    }
    for why, wrong in refused.items():
        if wrong.any():
            first, last = (str(moments[wrong.argmax()].astype("datetime64[s]")) for moments in (start, end))
            repair = 'Make the forecast with workload_table(..., period="hour").'
            raise SchemaError(f"{CALLER}: {why}, got {first} to {last}. {repair}")
    return seconds


def _load(count: Vector, seconds: Vector, handling: float) -> Vector:
    """Return the agents busy on average; refuse a load that no centre has: the search for agents would not end."""
    if (count < 0).any():
        raise SchemaError(f"{CALLER}: the numbers of tickets must be zero or more, got {float(count.min()):g}.")
    load = count * handling / seconds
    if (load > MOST_AGENTS / 2).any():
        msg = (
            f"{CALLER}: {float(load.max()):,.0f} agents would be busy all the time; up to {MOST_AGENTS // 2:,} can be "
            "staffed. Check expected_count and the unit of handling_time."
        )
        raise SchemaError(msg)
    return load
