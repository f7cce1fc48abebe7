"""How many people it takes to answer the tickets of each hour in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect, columns_of, enter
from crmlytics._kernels.workload import agents_needed
from crmlytics._validation import as_seconds, check_fraction
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics._frames import Engine

    Vector = NDArray[np.float64]

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
        ``period_start``, ``period_end`` and ``expected_count``, such as :func:`workload_table` with ``by="hour"``;
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
        When a column is missing, a count is missing or negative, or periods are longer than an hour: nobody arrives
        evenly over a day.

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
    seconds = _seconds(rows)
    load = _counts(rows, "expected_count") * handling / seconds
    _refuse_overload(load)
    found = agents_needed(load, handling, within, share)
    columns: dict[str, Any] = {
        "period_start": _moments(rows, "period_start"),
        "period_end": _moments(rows, "period_end"),
        "expected_count": load * seconds / handling,
        "load_erlangs": load,
        "agent_count": found.agents,
        "answered_within_share": found.answered,
        "wait_probability": found.waits,
        "mean_wait_seconds": found.mean_wait,
        "occupancy_share": np.divide(load, found.agents, out=np.full(len(load), np.nan), where=found.agents > 0),
    }
    if "expected_count_high" in rows:
        busy = _counts(rows, "expected_count_high") * handling / seconds
        _refuse_overload(busy)
        columns["agent_count_high"] = agents_needed(busy, handling, within, share).agents
    return engine.from_columns(columns, nw.Schema({name: SCHEMA[name] for name in columns}))


# -- inside --------------------------------------------------------------------------------------------------------


def _read_workload(workload: Any) -> tuple[Engine, Any]:
    frame, engine = enter(workload, caller=CALLER)
    names = columns_of(frame)
    missing = [name for name in ("period_start", "period_end", "expected_count") if name not in names]
    if missing:
        msg = f'{CALLER} needs the result of workload_table(..., by="hour"): no columns {missing} in {names}.'
        raise MissingColumnsError(msg)
    rows = collect(frame).to_pandas().sort_values("period_start").reset_index(drop=True)
    if rows.empty:
        raise SchemaError(f"{CALLER}: the table has no rows. Expected one row per hour.")
    return engine, rows


def _refuse_overload(load: Vector) -> None:
    """Refuse a load that no centre has: the search for the number of agents would not end."""
    from crmlytics._kernels.workload import MOST_AGENTS

    if (load > MOST_AGENTS / 2).any():
        msg = (
            f"{CALLER}: {float(load.max()):,.0f} agents would be busy all the time; up to {MOST_AGENTS // 2:,} can be "
            "staffed. Check expected_count and the unit of handling_time."
        )
        raise SchemaError(msg)


def _moments(rows: Any, name: str) -> NDArray[Any]:
    moments: NDArray[Any] = rows[name].astype("datetime64[us]").to_numpy()
    return moments


def _seconds(rows: Any) -> Vector:
    seconds: Vector = (_moments(rows, "period_end") - _moments(rows, "period_start")) / np.timedelta64(1, "s")
    if not ((seconds > 0) & (seconds <= HOUR_SECONDS)).all():
        longest = float(np.nanmax(seconds)) / HOUR_SECONDS
        msg = (
            f"{CALLER}: periods must be an hour or shorter, got {longest:g} hours: customers do not arrive evenly over "
            'longer ones. Make the forecast with workload_table(..., by="hour").'
        )
        raise SchemaError(msg)
    return seconds


def _counts(rows: Any, name: str) -> Vector:
    counts: Vector = rows[name].to_numpy(np.float64, na_value=np.nan)
    if not (counts >= 0).all() or np.isinf(counts).any():
        raise SchemaError(
            f"{CALLER}: {name} must be numbers of zero or more, got {counts[~(counts >= 0)][:1].tolist()}."
        )
    return counts
