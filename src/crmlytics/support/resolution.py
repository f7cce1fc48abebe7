"""How many tickets still wait, hour after hour: Kaplan and Meier's curve of each group, and whether groups differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._validation import check_choice, check_count, check_fraction
from crmlytics.support._reading import read_tickets

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics._kernels.kaplan_meier import Curves
    from crmlytics.support._reading import KnownTickets
    from crmlytics.tables import Tickets

    Vector = NDArray[np.float64]

CALLER = "resolution_curve_table"
EVENTS = {"resolution": "closed_at", "first_reply": "first_reply_at"}
SCHEMA = nw.Schema({
    "by": nw.String(), "group": nw.String(), "event": nw.String(), "time_hours": nw.Float64(),
    "waiting_share": nw.Float64(), "waiting_share_low": nw.Float64(), "waiting_share_high": nw.Float64(),
    "ticket_count": nw.Int64(), "ended_count": nw.Int64(), "cut_off_count": nw.Int64(), "waiting_count": nw.Int64(),
    "p_value": nw.Float64(), "adjusted_p_value": nw.Float64(), "caution": nw.String(),
})  # fmt: skip


def resolution_curve_table(
    tickets: Tickets | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    since: str | dt.date | dt.datetime | None = None,
    by: str | None = None,
    event: str = "resolution",
    points: int | None = 200,
    confidence: float = 0.95,
) -> Any:
    """Say which share of the tickets still waits after so many hours, for each group, and whether groups differ.

    Parameters
    ----------
    tickets : Tickets or dataframe, one row per ticket
        Needs ``ticket_id``, ``opened_at`` and ``closed_at``, or ``first_reply_at``.
    as_of : date
        The day described from: nothing that happened on or after it is read. What has not ended by then counts for as
        long as it has waited.
    since : date, optional
        Leave out the tickets opened before it.
    by : {"category", "priority", "channel"}, optional
        A curve for each of them; without it one for all.
    event : {"resolution", "first_reply"}
        What tickets wait for: to be closed, or to be answered.
    points : int or None, default 200
        The most rows of a group, spread evenly over the moments at which a ticket ended, the first and the last among
        them; a row that is there is exact. None: all of them.
    confidence : float, default 0.95
        Of the intervals.

    Returns
    -------
    dataframe of the kind that came in, one row per group and time, sorted by both
        ``by``, ``group``, ``event`` (String), ``time_hours`` (Float64, since the opening, by the clock; the first row
        is 0); ``waiting_share`` (Float64, that waits longer) with ``_low`` and ``_high``, null where it is 1 or 0;
        ``ticket_count``, ``ended_count`` (until then), ``cut_off_count`` (still open at ``as_of`` and not watched for
        longer), ``waiting_count`` (the rest; all Int64); ``p_value``, ``adjusted_p_value`` (Float64, of the test that
        the group waits as long as all others, the same in all its rows; null without others, and where fewer than 5
        endings are expected or 10 customers are there), ``caution`` (String, null where there is none).

    Raises
    ------
    SchemaError, MissingColumnsError
        For a date or an option that cannot be read, a role without a column, or no ticket before ``as_of``.

    Notes
    -----
    ``S(t) = product over times of (1 - d / n)``, d that ended of n that waited until then (E. L. Kaplan and P. Meier,
    1958). Bounds are normal on the scale of ln(-ln S), with Greenwood's variance where tickets have no customer; with
    one, tickets of a customer are alike and the curve without each customer gives the variance (Student's t with a
    degree of freedom for each customer that they are worth, by Kish, less one). The test is that of the log-rank (N.
    Mantel, 1966), robust to customers as well where some have several tickets, adjusted for the number of groups by
    Holm's method.

    When not to use: to say why a group waits longer. That is described, not explained.

    Examples
    --------
    >>> import pandas as pd
    >>> opened = pd.Timestamp("2024-01-01")
    >>> closed = [opened + pd.Timedelta(hours=hours) for hours in (2, 5, 9)] + [None]
    >>> tickets = pd.DataFrame({"ticket_id": [1, 2, 3, 4], "opened_at": opened, "closed_at": closed})
    >>> curve = resolution_curve_table(tickets, as_of="2024-01-02")
    >>> curve[["time_hours", "waiting_share", "ended_count", "cut_off_count", "waiting_count"]]
       time_hours  waiting_share  ended_count  cut_off_count  waiting_count
    0         0.0           1.00            0              0              4
    1         2.0           0.75            1              0              3
    2         5.0           0.50            2              0              2
    3         9.0           0.25            3              0              1
    4        24.0           0.25            3              1              0
    """
    from crmlytics._kernels.kaplan_meier import kaplan_meier
    from crmlytics._kernels.waiting_times import survival_interval

    check_fraction(confidence, name="confidence", caller=CALLER)
    role = EVENTS[check_choice(event, EVENTS, name="event", caller=CALLER)]
    if points is not None:
        check_count(points, name="points", caller=CALLER, least=2)
    known = read_tickets(tickets, role, as_of=as_of, since=since, by=by, caller=CALLER)
    hours, ended = known.hours_until(known.closed if role == "closed_at" else known.replied)
    curves = kaplan_meier(hours, ended, known.group, known.groups, cluster=known.customer)
    bounds = survival_interval(curves, confidence)
    rows = [_rows(curves, bounds, group, points) for group in range(known.groups)]
    sizes = np.array([len(part["time_hours"]) for part in rows])
    columns: dict[str, Any] = {name: np.concatenate([part[name] for part in rows]) for name in rows[0]}
    labels = {**known.labels(), "event": [event] * known.groups, "caution": known.cautions()}
    columns |= {name: np.repeat(np.array(words, object), sizes) for name, words in labels.items()}
    p_value, adjusted = _tests(known, hours, ended)
    columns |= {"p_value": np.repeat(p_value, sizes), "adjusted_p_value": np.repeat(adjusted, sizes)}
    return known.engine.from_columns({name: columns[name] for name in SCHEMA}, SCHEMA)


def _rows(curves: Curves, bounds: tuple[Vector, Vector], group: int, points: int | None) -> dict[str, NDArray[Any]]:
    """Return the curve of a group from time 0 on, at the times at which a ticket ended and at the last."""
    of = slice(curves.starts[group], curves.starts[group + 1])
    ended, cut_off = (np.rint(np.cumsum(counts[of])).astype(np.int64) for counts in (curves.ended, curves.open))
    total = int(ended[-1] + cut_off[-1])
    kept = _kept(curves.ended[of] > 0, points)
    low, high = (bound[of] for bound in bounds)
    start: list[Any] = [0.0, 1.0, np.nan, np.nan, total, 0, 0]
    found = [curves.time[of], curves.survival[of], low, high, np.full(len(ended), total), ended, cut_off]
    names = ("time_hours", "waiting_share", "waiting_share_low", "waiting_share_high", "ticket_count", "ended_count",
             "cut_off_count")  # fmt: skip
    begins_later = bool(curves.time[of][kept[0]] > 0)
    rows = {
        name: np.concatenate([[first], values[kept]])[0 if begins_later else 1 :]
        for name, first, values in zip(names, start, found, strict=True)
    }
    return rows | {"waiting_count": rows["ticket_count"] - rows["ended_count"] - rows["cut_off_count"]}


def _kept(is_ending: NDArray[np.bool_], points: int | None) -> NDArray[np.int64]:
    places = np.flatnonzero(is_ending)
    places = np.unique(np.append(places, len(is_ending) - 1))
    if points is None or len(places) <= points:
        return places
    return places[np.unique(np.rint(np.linspace(0, len(places) - 1, points)).astype(np.int64))]


def _tests(known: KnownTickets, hours: Vector, ended: NDArray[np.bool_]) -> tuple[Vector, Vector]:
    """Test each group against all others; of two groups that is one test."""
    from crmlytics._kernels.multiple_testing import holm
    from crmlytics._kernels.waiting_times import log_rank

    if known.groups < 2:
        return np.full(1, np.nan), np.full(1, np.nan)
    p_value = log_rank(hours, ended, known.group, known.groups, cluster=known.customer)[1]
    return p_value, p_value if known.groups == 2 else holm(p_value)
