"""Visitors: what each customer did on the site before a moment, as features for a model."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import table_with_lists
from crmlytics._validation import as_days, as_moment
from crmlytics.clickstream._reading import SECOND, as_list, as_names, codes_named, read_visits, what_happens
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Events

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from crmlytics._frames import Engine
    from crmlytics.clickstream._reading import Clicks, Visits

CALLER = "visitor_table"
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
PARTS_OF_DAY = ("night", "morning", "afternoon", "evening")  # of six hours each, from midnight
SATURDAY = 2  # days from 1970-01-01, a Thursday


def visitor_table(
    events: Events | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    lookback: str | dt.timedelta | None = "30d",
    converted: Any = None,
    count_events: Any = (),
    gap: str | dt.timedelta | None = None,
) -> Any:
    """Summarise what each customer did on the site before ``as_of``: features for a propensity or churn model.

    Parameters
    ----------
    events : Events or dataframe, one row per event
        Needs ``customer_id``, ``timestamp`` and ``event`` or ``page``.
    as_of : date
        The moment described from; events at or after it are not read, so nothing leaks from the future.
    lookback : str or None, default "30d"
        How far back: events from the midnight that begins the day so many days before ``as_of``. None: all.
    converted : str or list, optional
        The events that are a success, such as ``"purchase"`` (the pages, where no ``event`` is bound).
    count_events : str or list, optional
        Events to be counted, each in a column ``<event>_count``.
    gap : str or timedelta, optional
        The longest pause within a session, as :func:`session_table` takes it. A session that began before the
        lookback is cut by it.

    Returns
    -------
    dataframe of the kind that came in, one row per customer with an event in the lookback, sorted by ``customer_id``
        ``customer_id``, ``session_count``, ``event_count``, ``page_count`` (Int64, different pages; different events
        where no ``page`` is bound), ``active_day_count`` (Int64, different days with an event),
        ``days_since_last_event`` (Int64, calendar days to ``as_of``), ``mean_session_seconds`` (Float64, from the
        first to the last event of a session), ``mean_session_events`` (Float64), ``bounced_share`` (Float64, of the
        sessions, those of a single event), ``night_share``, ``morning_share``, ``afternoon_share``, ``evening_share``
        (Float64, of the events, six hours each from midnight; they add up to 1), ``weekend_share`` (Float64, Saturday
        and Sunday); with ``converted``: ``converted`` (Boolean, ever in the lookback) and ``converted_share``
        (Float64, of the sessions); then a column ``<event>_count`` (Int64) for each of ``count_events``; with the role:
        ``amount`` (Float64, summed) and ``last_channel`` (the latest known).

    Raises
    ------
    SchemaError
        When a count would be called as another column.

    Warns
    -----
    DataQualityWarning
        When no event is called as ``converted`` or ``count_events`` say.

    Notes
    -----
    Who was not on the site has no row: join it to your customers, and fill counts with 0; ``days_since_last_event`` is
    then unknown, not 0. To train, take an ``as_of`` in the past and the outcome after it; to score, today.

    ``converted`` tells who bought before ``as_of``. It is a feature, never the outcome that a model learns.

    Examples
    --------
    >>> import pandas as pd
    >>> clicks = pd.DataFrame({
    ...     "customer_id": ["a", "a", "a", "b"], "event": ["home", "cart", "cart", "home"],
    ...     "timestamp": pd.to_datetime(["2024-05-01 10:00", "2024-05-01 10:20", "2024-05-03 19:00", "2024-04-01 9:00"],
    ...                                 format="%Y-%m-%d %H:%M"),
    ... })
    >>> table = visitor_table(clicks, as_of="2024-05-08", count_events="cart")
    >>> table[["customer_id", "session_count", "days_since_last_event", "bounced_share", "cart_count"]]
      customer_id  session_count  days_since_last_event  bounced_share  cart_count
    0           a              2                      5            0.5           2
    """
    end = as_moment(as_of, caller=CALLER)
    table = _within(Events.bind(events), end, lookback)
    what = what_happens(table, caller=CALLER)
    table.need("customer_id", caller=CALLER)
    wanted = as_list(count_events)
    counted = [] if wanted in ((), [], None) else as_names(wanted, argument="count_events", caller=CALLER)
    others = [role for role in ("channel", "amount") if table.has(role)]
    visits = read_visits(table, gap, new_day=False, new_channel=False, others=others, caller=CALLER)
    customers = _Customers(visits, table.engine)
    columns = customers.visited() | customers.active(end) | customers.hours()
    if converted is not None:
        columns |= customers.conversions(
            codes_named(converted, visits.clicks, what, argument="converted", caller=CALLER)
        )
    for name in dict.fromkeys(counted):
        is_it = codes_named(name, visits.clicks, what, argument="count_events", caller=CALLER)
        columns |= _new(columns, f"{name}_count", customers.count_of(is_it))
    return table_with_lists(table.engine, columns | customers.sources())


# -- inside --------------------------------------------------------------------------------------------------------


class _Customers:
    """The visits of each customer, from which columns are computed: arrays with an entry per customer."""

    def __init__(self, visits: Visits, engine: Engine) -> None:
        self.visits, self.engine = visits, engine
        self.clicks: Clicks = visits.clicks
        owner = self.clicks.codes["customer_id"]
        first = np.flatnonzero(np.diff(owner, prepend=np.int32(-1)))
        self.starts = np.append(first, len(owner))
        self.of_event = np.repeat(np.arange(len(first)), np.diff(self.starts))
        self.of_session = self.of_event[visits.starts[:-1]]
        self.events = np.diff(self.starts)
        self.sessions = np.bincount(self.of_session, minlength=len(first))

    def visited(self) -> dict[str, Any]:
        """Return how often and how much."""
        from crmlytics._kernels.sessions import distinct_counts

        seen = self.clicks.seen
        return {
            "customer_id": self.clicks.ids["customer_id"][self.clicks.codes["customer_id"][self.starts[:-1]]],
            "session_count": self.sessions,
            "event_count": self.events,
            "page_count": distinct_counts(self.starts, self.clicks.codes[seen], len(self.clicks.ids[seen])),
        }

    def active(self, end: dt.datetime) -> dict[str, Any]:
        """Return on how many days, how recently, and how long and deep sessions are."""
        day = self.clicks.moment // DAY
        last = np.maximum.reduceat(day, self.starts[:-1]) if len(day) else day
        days = np.unique(np.stack([self.of_event, day]), axis=1)[0] if len(day) else self.of_event
        starts, moment = self.visits.starts, self.clicks.moment
        seconds = (moment[starts[1:] - 1] - moment[starts[:-1]]) / SECOND
        bounced = np.diff(starts) == 1
        return {
            "active_day_count": np.bincount(days, minlength=len(self.events)),
            "days_since_last_event": (end.date() - dt.date(1970, 1, 1)).days - last,
            "mean_session_seconds": self._per_session(seconds),
            "mean_session_events": self.events / self.sessions,
            "bounced_share": self._per_session(bounced),
        }

    def hours(self) -> dict[str, Any]:
        """Return at what time of the day and week."""
        part = self.clicks.moment % DAY // (6 * HOUR)
        weekend = (self.clicks.moment // DAY - SATURDAY) % 7 < 2
        shares = {f"{name}_share": self._per_event(part == number) for number, name in enumerate(PARTS_OF_DAY)}
        return shares | {"weekend_share": self._per_event(weekend)}

    def conversions(self, is_it: NDArray[np.bool_]) -> dict[str, Any]:
        """Return who converted, and in what share of the sessions."""
        hits = np.concatenate(([0], np.cumsum(self._are(is_it))))
        in_session = hits[self.visits.starts[1:]] > hits[self.visits.starts[:-1]]
        share = self._per_session(in_session)
        return {"converted": share > 0, "converted_share": share}

    def count_of(self, is_it: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Count the events of some kinds."""
        return np.bincount(self.of_event[self._are(is_it)], minlength=len(self.events))

    def sources(self) -> dict[str, Any]:
        """Return what the customers brought, and where they came from last."""
        from crmlytics._kernels.sessions import latest_known

        clicks, columns = self.clicks, {}
        if clicks.amount is not None:
            columns["amount"] = np.bincount(self.of_event, clicks.amount, len(self.events))
        if "channel" in clicks.codes:
            place = latest_known(self.starts, clicks.moment, clicks.codes["channel"])
            columns["last_channel"] = clicks.values("channel", place, self.engine)
        return columns

    def _are(self, is_it: NDArray[np.bool_]) -> NDArray[np.bool_]:
        codes = self.clicks.codes["event" if "event" in self.clicks.codes else "page"]
        return np.append(is_it, False)[codes]  # the last place is that of -1, no page

    def _per_session(self, values: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(self.of_session, values, len(self.events)) / self.sessions

    def _per_event(self, values: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(self.of_event, values, len(self.events)) / self.events


def _within(table: Events, end: dt.datetime, lookback: Any) -> Events:
    if lookback is None:
        return table.before(end)
    days = as_days(lookback, name="lookback", caller=CALLER)
    start = dt.datetime.combine(end.date(), dt.time()) - dt.timedelta(days=days)
    return table.between(start, end)


def _new(columns: Iterable[str], name: str, values: NDArray[np.int64]) -> dict[str, Any]:
    """Refuse a column that is there already: to SQL engines ``Cart_count`` is ``cart_count``."""
    if name.lower() in {other.lower() for other in columns}:
        msg = f"{CALLER}: count_events would make a second column {name!r}. Rename the event in your data first."
        raise SchemaError(msg)
    return {name: values}
