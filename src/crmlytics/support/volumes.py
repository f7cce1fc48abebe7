"""How many tickets, how fast they are answered and settled, how many come back: one row a group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._cautions import BOUNDS, with_bounds
from crmlytics._validation import as_seconds, check_fraction
from crmlytics.exceptions import SchemaError
from crmlytics.support._marks import check_scale, mark_columns, read_marks
from crmlytics.support._reading import NEVER, read_tickets

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics._kernels.clustered_means import GroupMeans
    from crmlytics.support._reading import KnownTickets, Moments
    from crmlytics.tables import Tickets

    Target = str | dt.timedelta | Mapping[str, str | dt.timedelta]

CALLER = "support_table"
MICROSECONDS = 1_000_000
SCHEMA = nw.Schema(
    {"by": nw.String(), "group": nw.String()}
    | dict.fromkeys(("ticket_count", "open_count", "customer_count"), nw.Int64())
    | {f"first_reply_median_hours{end}": nw.Float64() for end in BOUNDS}
    | {f"reply_within_target_share{end}": nw.Float64() for end in BOUNDS}
    | {"reply_target_hours": nw.Float64()}
    | {"reply_undecided_count": nw.Int64(), "closed_unanswered_count": nw.Int64()}
    | {"resolution_p25_hours": nw.Float64()}
    | {f"resolution_median_hours{end}": nw.Float64() for end in BOUNDS}
    | {"resolution_p75_hours": nw.Float64()}
    | {f"resolution_within_target_share{end}": nw.Float64() for end in BOUNDS}
    | {"resolution_target_hours": nw.Float64(), "resolution_undecided_count": nw.Int64()}
    | {f"reopened_share{end}": nw.Float64() for end in BOUNDS}
    | {f"repeat_share{end}": nw.Float64() for end in BOUNDS}
    | {"mark_count": nw.Int64()}
    | {f"{name}{end}": nw.Float64() for name in ("satisfaction_mean", "nps_score") for end in BOUNDS}
    | {"caution": nw.String()}
)


def support_table(
    tickets: Tickets | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    since: str | dt.date | dt.datetime | None = None,
    by: str | None = None,
    reply_target: Target = "8h",
    resolution_target: Target = "72h",
    repeat_window: str | dt.timedelta = "7d",
    scale: tuple[float, float] = (1, 5),
    confidence: float = 0.95,
) -> Any:
    """Say how many tickets there are, how fast they are answered and closed, how many come back, how they are marked.

    Tickets that are open count for as long as they have waited: the median of those closed alone would be too short,
    since the slow ones are still open.

    Parameters
    ----------
    tickets : Tickets or dataframe, one row per ticket
        Needs ``ticket_id``, ``opened_at`` and ``closed_at``. Columns that ``customer_id``, ``first_reply_at``,
        ``reopened_at`` or ``satisfaction`` tell are there with them.
    as_of : date
        The day described from: nothing that happened on or after it is read.
    since : date, optional
        Leave out the tickets opened before it.
    by : {"category", "priority", "channel"}, optional
        A row for each of them; without it one row for all.
    reply_target, resolution_target : duration such as "8h" or "3d", or a dictionary of group to duration
        How soon a ticket should be answered and closed, in hours by the clock, at night and on Sundays too. Where each
        priority has its own: ``by="priority", resolution_target={"high": "8h", "normal": "3d"}``.
    repeat_window : duration, default "7d"
        How soon another ticket of the same customer counts as a repeated contact.
    scale : (lowest, highest), default (1, 5)
        Of ``satisfaction``. With (0, 10) the marks are read as a net promoter score too.
    confidence : float, default 0.95
        Of the intervals.

    Returns
    -------
    dataframe of the kind that came in, one row per group, sorted by its id
        *Volumes*: ``by`` (String, what groups, "(all)" without), ``group`` (String; tickets without one are the last
        row, "(unknown)"), ``ticket_count``, ``open_count`` (at ``as_of``), with ``customer_id`` ``customer_count``
        (Int64).

        *First reply*, with ``first_reply_at``: ``first_reply_median_hours`` with ``_low`` and ``_high`` (Float64, hours
        by which half have been answered, null if fewer are); ``reply_within_target_share`` with bounds;
        ``reply_target_hours`` (Float64); ``reply_undecided_count`` (Int64, tickets not answered and younger than the
        target); ``closed_unanswered_count`` (Int64, closed without a reply: they count as waiting for one).

        *Resolution*: ``resolution_p25_hours``, ``resolution_median_hours`` with bounds, ``resolution_p75_hours``
        (Float64), ``resolution_within_target_share`` with bounds, ``resolution_target_hours``,
        ``resolution_undecided_count``.

        *Coming back*: with ``reopened_at`` ``reopened_share`` with bounds (of tickets closed or reopened, those
        reopened so far), with ``customer_id`` ``repeat_share`` with bounds (of tickets at least ``repeat_window`` old,
        those followed by another of the same customer within it).

        *Marks* of closed tickets, with ``satisfaction``: ``mark_count`` (Int64), ``satisfaction_mean`` with bounds,
        ``nps_score`` with bounds (-100 to 100, only on a scale of 0 to 10).

        ``caution`` (String, null where there is none): how the row must not be read.

    Raises
    ------
    SchemaError, MissingColumnsError
        For a date, duration or scale that cannot be read, a mark beyond the scale, a role without a column, or no
        ticket before ``as_of``.

    Notes
    -----
    Times and shares within a target are read off Kaplan and Meier's curve: a ticket open for longer than the target has
    missed it, a younger one is undecided and counts for as long as it has waited. Their intervals, on the scale of
    ln(-ln S), and all others allow for a customer's tickets being alike, and are missing of a single customer. A
    ticket that was closed, reopened and closed again has one ``closed_at``, the last, and is open until then. One that
    was reopened after it counts as closed: the table does not say when it was closed again (:func:`backlog_table`
    counts these).

    When not to use: to judge teams or channels against each other. They are asked different things; the differences
    describe.

    Examples
    --------
    >>> import pandas as pd
    >>> moments = lambda *days: pd.to_datetime([None if day is None else f"2024-01-{day:02}" for day in days])
    >>> tickets = pd.DataFrame({
    ...     "ticket_id": [1, 2, 3, 4], "customer_id": ["a", "a", "b", "c"], "opened_at": moments(1, 3, 5, 20),
    ...     "closed_at": moments(2, 6, 10, None),
    ... })
    >>> table = support_table(tickets, as_of="2024-01-21")
    >>> columns = ["ticket_count", "open_count", "resolution_median_hours", "repeat_share"]
    >>> table[columns].round(2)
       ticket_count  open_count  resolution_median_hours  repeat_share
    0             4           1                     72.0          0.33
    """
    from crmlytics._kernels.clustered_means import group_means

    check_fraction(confidence, name="confidence", caller=CALLER)
    scale = check_scale(scale, caller=CALLER)
    window = as_seconds(repeat_window, name="repeat_window", caller=CALLER) * MICROSECONDS
    known = read_tickets(tickets, "closed_at", as_of=as_of, since=since, by=by, caller=CALLER)
    marks = read_marks(known, scale, caller=CALLER)
    cases = group_means(np.ones(len(known)), known.group, known.groups, cluster=known.customer)
    columns: dict[str, Any] = known.labels() | _volumes(known, cases)
    columns |= _replies(known, _hours(known, "reply_target", reply_target), confidence)
    columns |= _resolutions(known, _hours(known, "resolution_target", resolution_target), confidence)
    columns |= _reopened(known, confidence) | _repeated(known, window, confidence)
    columns |= mark_columns(known, marks, scale, confidence) if "satisfaction" in known.roles else {}
    columns["caution"] = known.cautions(cases)
    schema = nw.Schema({name: kind for name, kind in SCHEMA.items() if name in columns})
    return known.engine.from_columns({name: columns[name] for name in schema}, schema)


def _hours(known: KnownTickets, name: str, target: Target) -> NDArray[np.float64]:
    """Read the target of each group."""
    named = {str(group): one for group, one in target.items()} if isinstance(target, Mapping) else None
    lacking = [group for group in known.names if named is not None and group not in named]
    if lacking:
        msg = f"{CALLER}: {name} has no duration for {lacking}. Name each group (by={known.by!r}): {known.names}"
        raise SchemaError(msg)
    each = [target if named is None else named[group] for group in known.names]
    return np.array([as_seconds(one, name=name, caller=CALLER) for one in each]) / 3_600


def _volumes(known: KnownTickets, cases: GroupMeans) -> dict[str, Any]:
    volumes = {"ticket_count": cases.count, "open_count": known.count(~known.is_closed)}
    return volumes if known.customer is None else volumes | {"customer_count": cases.clusters}


def _replies(known: KnownTickets, target: NDArray[np.float64], confidence: float) -> dict[str, Any]:
    if "first_reply_at" not in known.roles:
        return {}
    waited = _waited(known, known.replied, target, confidence)
    unanswered = known.is_closed & (known.replied == NEVER)
    return {
        **with_bounds("first_reply_median_hours", *waited["median"]),
        **with_bounds("reply_within_target_share", *waited["within"]),
        "reply_target_hours": target,
        "reply_undecided_count": waited["undecided"],
        "closed_unanswered_count": known.count(unanswered),
    }


def _resolutions(known: KnownTickets, target: NDArray[np.float64], confidence: float) -> dict[str, Any]:
    waited = _waited(known, known.closed, target, confidence)
    return {
        "resolution_p25_hours": waited["p25"],
        **with_bounds("resolution_median_hours", *waited["median"]),
        "resolution_p75_hours": waited["p75"],
        **with_bounds("resolution_within_target_share", *waited["within"]),
        "resolution_target_hours": target,
        "resolution_undecided_count": waited["undecided"],
    }


def _waited(known: KnownTickets, moment: Moments, target: NDArray[np.float64], confidence: float) -> dict[str, Any]:
    """Return what there is to say of how long the tickets of each group waited for something."""
    from crmlytics._kernels.kaplan_meier import kaplan_meier
    from crmlytics._kernels.waiting_times import quantile, quantile_interval, share_within

    hours, ended = known.hours_until(moment)
    curves = kaplan_meier(hours, ended, known.group, known.groups, cluster=known.customer)
    return {
        "p25": quantile(curves, 0.25),
        "median": (quantile(curves, 0.5), *quantile_interval(curves, 0.5, confidence)),
        "p75": quantile(curves, 0.75),
        "within": share_within(curves, target, confidence),
        "undecided": known.count(~ended & (hours < target[known.group])),
    }


def _reopened(known: KnownTickets, confidence: float) -> dict[str, Any]:
    if "reopened_at" not in known.roles:
        return {}
    reopened = known.reopened < NEVER
    return _share("reopened_share", known, reopened, known.is_closed | reopened, confidence)


def _repeated(known: KnownTickets, window: int, confidence: float) -> dict[str, Any]:
    """Return the share of tickets followed by another, of those that could have been."""
    if known.customer is None:
        return {}
    order = np.lexsort((known.opened, known.customer))
    following = np.full(len(known), NEVER)
    same = known.customer[order][1:] == known.customer[order][:-1]
    following[order[:-1][same]] = known.opened[order[1:][same]]
    repeated = (following < NEVER) & (following - known.opened <= window)
    old_enough = known.as_of - known.opened >= window
    return _share("repeat_share", known, repeated, old_enough, confidence)


def _share(
    name: str, known: KnownTickets, flags: NDArray[np.bool_], of: NDArray[np.bool_], confidence: float
) -> dict[str, Any]:
    from crmlytics._kernels.clustered_means import group_means

    cluster = None if known.customer is None else known.customer[of]
    means = group_means(flags[of].astype(np.float64), known.group[of], known.groups, cluster=cluster)
    return with_bounds(name, means.mean, *means.share_interval(confidence))
