"""Who is waiting for an answer, whose ticket is older than is usual, and what is at stake."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from crmlytics._cautions import cautions
from crmlytics._frames import check_same_kind
from crmlytics._validation import as_days, as_moment
from crmlytics.decisions._campaign import read_rows
from crmlytics.exceptions import SchemaError
from crmlytics.metrics._columns import as_numbers
from crmlytics.support._outcome_reading import places_of
from crmlytics.support._reading import DAY, HOUR, NEVER, read_tickets
from crmlytics.tables import Tickets

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics._kernels.kaplan_meier import Curves
    from crmlytics.support._reading import KnownTickets

    Vector = NDArray[np.float64]
    Counts = NDArray[np.int64]
    Flags = NDArray[np.bool_]

CALLER = "at_risk_table"
LEAST_CLOSED = 30  # tickets that a curve takes
ALL_TICKETS = "all tickets"
LIKENESS = (("category", "priority"), ("priority",), ())  # the first with enough closed tickets
URGENCIES = (("overdue", 0.9), ("late", 0.75), ("usual", 0.0))  # from which share of such tickets being closed on
ALMOST_ALL = 0.995
FEW = f"Fewer than {LEAST_CLOSED} closed tickets to compare with."
COLUMNS: dict[str, Any] = {
    "customer_id": nw.String(),
    "open_ticket_count": nw.Int64(),
    "oldest_age_hours": nw.Float64(),
    "ticket_id": nw.String(),
    "opened_at": nw.Datetime("us"),
    "age_hours": nw.Float64(),
    "is_answered": nw.Boolean(),
    "compared_with": nw.String(),
    "closed_by_then_share": nw.Float64(),
    "median_left_hours": nw.Float64(),
    "value_amount": nw.Float64(),
    "urgency": nw.String(),
    "rank": nw.Int64(),
    "reason": nw.String(),
    "caution": nw.String(),
}


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """The open tickets beside others like them; arrays of shape (open tickets,).

    Attributes
    ----------
    place : int64 array
        Of the ticket among all.
    customer : array
        The ids.
    age : float64 array
        Hours.
    share : float64 array
        Of such tickets, those closed by the age of this one; NaN where none is closed.
    left : float64 array
        Hours until half of such tickets as old are closed; NaN where that was never seen.
    longer : float64 array
        Hours that the longest of those closed took more than the age of this one; 0 if none did.
    compared_with : object array
    closed : int64 array
        Closed tickets behind the comparison.
    """

    place: Counts
    customer: NDArray[Any]
    age: Vector
    share: Vector
    left: Vector
    longer: Vector
    compared_with: NDArray[Any]
    closed: Counts


def at_risk_table(
    tickets: Tickets | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    values: Any = None,
    value: str = "value_amount",
    history: str | dt.timedelta = "365d",
) -> Any:
    """List the customers with open tickets, those first whose ticket is open for longer than others like it ever were.

    Parameters
    ----------
    tickets : Tickets or dataframe, one row per ticket
        Needs ``ticket_id``, ``customer_id``, ``opened_at`` and ``closed_at``; ``category`` and ``priority`` say which
        tickets are alike, ``first_reply_at`` whether one was answered.
    as_of : date
        The moment of the list: what happened on or after it is not known yet.
    values : dataframe, one row per customer, optional
        What each customer is worth, such as a value table or a scorecard; of the kind of ``tickets``.
    value : str, default "value_amount"
        The column of ``values`` that says it.
    history : str, default "365d"
        Tickets opened within so long before ``as_of`` say how long is usual.

    Returns
    -------
    dataframe of the kind of ``tickets``, one row per customer with an open ticket, sorted by ``rank``
        ``customer_id``; ``open_ticket_count`` (Int64), ``oldest_age_hours`` (Float64); then of the ticket that is most
        beyond what is usual: ``ticket_id``, ``opened_at``, ``age_hours`` (Float64), ``is_answered`` (Boolean, where
        there is ``first_reply_at``), ``compared_with`` (String: tickets of the same category and priority, where fewer
        than 30 of these are closed of the same priority, else all), ``closed_by_then_share`` (Float64, of these, that
        are closed by such an age; null where none is closed), ``median_left_hours`` (Float64, after which half of those
        as old are closed; null where it was never seen, ``reason`` then says how far was seen);

        ``value_amount`` (Float64, of ``values``; null where unknown), ``urgency`` (String: "overdue" from a closed
        share of 90 % on, "late" from 75 % on, "usual"; null where none is closed), ``rank`` (Int64, from 1: by urgency,
        then by value, then by closed share), ``reason`` (String, in words), ``caution`` (String, null where there is
        none). Without an open ticket the table has no rows.

    Raises
    ------
    SchemaError, MissingColumnsError
        For a date that cannot be read, a role or column that is missing, ids of another kind in ``values``, or no
        ticket before ``as_of``.

    Notes
    -----
    The share closed is ``1 - S(age)`` of Kaplan and Meier's curve, in which open tickets count for as long as they have
    waited: an average of closed ones would call everything late. The hours left are the median of the residual life,
    ``S(age + left) = S(age) / 2``.

    A ticket is open that has no ``closed_at`` before ``as_of``; when one that was reopened after it was closed again, a
    table of tickets does not say, so it does not count as open.

    When not to use: as the probability that the customer leaves. It says whose ticket is unusually old; what a bad
    ticket goes with, :func:`ticket_outcome_table` says.

    Examples
    --------
    >>> import pandas as pd
    >>> opened = pd.Timestamp("2024-01-01") + pd.to_timedelta(range(40), unit="D")
    >>> tickets = pd.DataFrame({"ticket_id": range(40), "customer_id": range(40), "opened_at": opened})
    >>> closed = opened + pd.to_timedelta([2] * 20 + [10] * 20, unit="h")
    >>> tickets["closed_at"] = closed.where(tickets["ticket_id"] < 38)
    >>> table = at_risk_table(tickets, as_of=opened[-1] + pd.Timedelta(hours=4))
    >>> table[["customer_id", "age_hours", "closed_by_then_share", "median_left_hours", "urgency"]].round(2)
       customer_id  age_hours  closed_by_then_share  median_left_hours  urgency
    0           38       28.0                  0.97                NaN  overdue
    1           39        4.0                  0.50                6.0    usual
    """
    moment, days = as_moment(as_of, caller=CALLER), as_days(history, name="history", caller=CALLER)
    table = Tickets.bind(tickets)
    words = [role for role in ("category", "priority") if table.has(role)]
    known = read_tickets(table, "customer_id", "closed_at", *words, as_of=moment, caller=CALLER)
    waiting = _waiting(known, is_recent=known.opened >= known.as_of - days * DAY)
    worst, counts, oldest = _worst_of_customers(known, waiting)
    worth = _values(values, value, table, waiting.customer[worst])
    columns = {
        "customer_id": waiting.customer[worst],
        "open_ticket_count": counts,
        "oldest_age_hours": oldest,
        "ticket_id": known.ids["ticket_id"][waiting.place[worst]],
        "value_amount": worth,
    }
    return _table(known, waiting, worst, columns)


# -- inside --------------------------------------------------------------------------------------------------------


def _waiting(known: KnownTickets, *, is_recent: Flags) -> Waiting:
    """Compare each open ticket with those most like it of which enough are closed."""
    from crmlytics._kernels.kaplan_meier import kaplan_meier

    place = np.flatnonzero(~known.is_closed)
    age, (hours, is_closed) = known.age_hours[place], known.hours_until(known.closed)
    share, left, longer = np.full((3, len(place)), np.nan)
    name, closed = np.full(len(place), ALL_TICKETS, object), np.zeros(len(place), np.int64)
    open_still = np.ones(len(place), bool)
    for roles in LIKENESS:
        if not set(roles) <= set(known.words):
            continue
        names, group = _groups(known, roles)
        curves = kaplan_meier(hours[is_recent], is_closed[is_recent], group[is_recent], len(names))
        enough = np.bincount(group[is_recent & is_closed], minlength=len(names))
        now = open_still & ((enough[group[place]] >= LEAST_CLOSED) | (not roles))
        share[now], left[now], longer[now] = _read(curves, group[place[now]], age[now])
        name[now], closed[now] = names[group[place[now]]], enough[group[place[now]]]
        open_still &= ~now
    share[closed == 0] = np.nan
    return Waiting(place, known.ids["customer_id"][place], age, share, left, longer, name, closed)


def _groups(known: KnownTickets, roles: tuple[str, ...]) -> tuple[NDArray[Any], Counts]:
    """Return the names of the groups and the group of each ticket."""
    if not roles:
        return np.array([ALL_TICKETS], object), np.zeros(len(known), np.int64)
    words = [[f"{role} {word}" for word in known.words[role]] for role in roles]
    joined = np.array([", ".join(parts) for parts in zip(*words, strict=True)], object)
    names, group = np.unique(joined, return_inverse=True)
    return names, group.astype(np.int64)


def _read(curves: Curves, group: Counts, age: Vector) -> tuple[Vector, Vector, Vector]:
    """Return which share is closed by each age, the hours until half of the rest is, and until the last that was."""
    share, left, longer = np.zeros(len(age)), np.full(len(age), np.nan), np.zeros(len(age))
    for one in np.unique(group):
        mine, of = group == one, slice(curves.starts[one], curves.starts[one + 1])
        time, survival = curves.time[of], curves.survival[of]
        if not len(time):
            continue
        place = np.searchsorted(time, age[mine], side="right") - 1
        waits = np.where(place >= 0, survival[np.maximum(place, 0)], 1.0)
        half = np.searchsorted(-survival, -waits / 2 - 1e-12, side="left")
        seen = (half < len(time)) & (waits > 0)
        share[mine] = 1 - waits
        left[mine] = np.where(seen, time[np.minimum(half, len(time) - 1)] - age[mine], np.nan)
        longer[mine] = np.maximum(time[curves.ended[of] > 0].max(initial=0.0) - age[mine], 0)
    return share, left, longer


def _worst_of_customers(known: KnownTickets, waiting: Waiting) -> tuple[Counts, Counts, Vector]:
    """Return of each customer the open ticket most beyond the usual, how many are open, and the age of the oldest."""
    opened = known.opened[waiting.place]
    ids, code, counts = np.unique(waiting.customer, return_inverse=True, return_counts=True)
    order = np.lexsort((waiting.place, opened, -np.round(waiting.share, 12), code))
    first = np.searchsorted(code[order], np.arange(len(ids)))
    eldest = np.full(len(ids), NEVER)
    np.minimum.at(eldest, code, opened)
    return order[first], counts.astype(np.int64), (known.as_of - eldest) / HOUR


def _values(values: Any, column: str, table: Tickets, customers: NDArray[Any]) -> Vector:
    """Return what each customer is worth, NaN where nobody says."""
    if values is None:
        return np.full(len(customers), np.nan)
    engine, ids, rows = read_rows(values, key="customer_id", columns=[column], name="values", caller=CALLER)
    check_same_kind({"tickets": table.engine, "values": engine}, caller=CALLER)
    kind = "Int64" if ids.dtype.kind == "i" else "String"
    if kind != table.id_kind("customer_id"):
        msg = (
            f"{CALLER}: customer_id is {table.id_kind('customer_id')} in tickets and {kind} in values. Give both the "
            "same kind, for example with .astype(str) on both sides."
        )
        raise SchemaError(msg)
    told = rows[column].to_numpy(object)
    known = ~pd.isna(told)
    worth = np.full(len(ids), np.nan)
    worth[known] = as_numbers(told[known], name=repr(column), caller=CALLER)
    place = places_of(customers, ids)
    return np.where(place >= 0, worth[np.maximum(place, 0)], np.nan)


def _table(known: KnownTickets, waiting: Waiting, worst: Counts, columns: dict[str, Any]) -> Any:
    place, share, worth = waiting.place[worst], waiting.share[worst], columns["value_amount"]
    limits = np.array([limit for _, limit in URGENCIES])
    band = (share[:, None] < limits - 1e-12).sum(axis=1)
    order = np.lexsort((np.arange(len(worst)), -share, np.where(np.isnan(worth), np.inf, -worth), band))
    columns |= {
        "opened_at": known.opened[place].astype("datetime64[us]"),
        "age_hours": waiting.age[worst],
        "is_answered": known.replied[place] < NEVER,
        "compared_with": waiting.compared_with[worst],
        "closed_by_then_share": share,
        "median_left_hours": waiting.left[worst],
        "urgency": np.where(np.isnan(share), None, np.array([name for name, _ in URGENCIES], object)[band]),
        "reason": np.array(list(map(partial(_reason, known, waiting), worst, columns["open_ticket_count"])), object),
        "caution": cautions(len(worst), [(waiting.closed[worst] < LEAST_CLOSED, FEW), *known.doubts]),
    }
    columns = {name: values[order] for name, values in columns.items()} | {"rank": np.arange(1, len(order) + 1)}
    kinds = COLUMNS | {name: _id_kind(columns[name]) for name in ("customer_id", "ticket_id")}
    if "first_reply_at" not in known.roles:
        del kinds["is_answered"]
    return known.engine.from_columns({name: columns[name] for name in kinds}, nw.Schema(kinds))


def _reason(known: KnownTickets, waiting: Waiting, number: int, open_tickets: int) -> str:
    """Say of a customer's ticket why it is where it is."""
    place, group, share = waiting.place[number], waiting.compared_with[number], waiting.share[number]
    of = group if group == ALL_TICKETS else f"tickets of {group}"
    told = "more than 99%" if ALMOST_ALL <= share < 1 else f"{share:.0%}"
    words = [f"open for {_hours(waiting.age[number])}"]
    words[0] += f", by when {told} of {of} are closed" if waiting.closed[number] else ""
    if np.isnan(waiting.left[number]) and waiting.closed[number]:
        longer = _hours(waiting.longer[number])
        seen = f"more than half of those as old stay open for {longer} more"
        words += [seen if waiting.longer[number] else "none that is closed took longer"]
    unanswered = "first_reply_at" in known.roles and known.replied[place] == NEVER
    words += ["no reply yet"] if unanswered else []
    words += ["reopened"] if known.reopened[place] < NEVER else []
    words += [f"{open_tickets} open tickets"] if open_tickets > 1 else []
    return "; ".join(words)


def _hours(hours: float) -> str:
    if hours >= 72:
        return f"{hours / 24:.0f} days"
    return "1 hour" if round(hours) == 1 else f"{hours:.0f} hours"


def _id_kind(ids: NDArray[Any]) -> Any:
    return nw.Int64() if ids.dtype.kind == "i" else nw.String()
