"""What the sales team tells the watchlist: what was tried, who is lost, and what was a mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import collect, columns_of, enter
from crmlytics._validation import as_moment
from crmlytics.churn._watch import DAY, DEFERRED_DAYS, LOST, NEVER, Watch
from crmlytics.churn._watch_reading import ids_in_words, ids_like, read_watch
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

MOST_DAYS = 366  # from the last run to what is recorded: more is a mistyped year


def defer(
    watch: Any,
    customers: Any,
    *,
    measure: str,
    reason: str,
    on: str | dt.date | dt.datetime,
    until: str | dt.date | dt.datetime | None = None,
) -> Any:
    """Record what was done to keep some customers of the list: it waits for an answer, and is no longer to be done.

    Parameters
    ----------
    watch : dataframe
        As :func:`watchlist` makes it.
    customers : id, list of ids, or dataframe with ``customer_id``
        Who the measure was taken for; each must be on the list, and neither lost nor won back.
    measure, reason : str
        What was done, and why that: ``"called"``, ``"price complaint"``.
    on : date
        When; not before the warning or the last measure, and not more than a year after the last run.
    until : date, optional
        From which run on they are to be worked on again, unless they ordered; at most a year after ``on``. None: 30
        days after ``on``, so that nobody is put off for ever.

    Returns
    -------
    dataframe of the kind of ``watch``
        The whole list, with the measure recorded. It takes the place of an earlier one, which goes to
        ``earlier_measures``; ``measure_count`` counts them all. Who was dropped is on the list again.

    Raises
    ------
    SchemaError, MissingColumnsError
        For customers who are not open on the list, for dates out of order or in another year, for an empty measure or
        reason.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.churn import watchlist
    >>> orders = pd.DataFrame({"customer_id": ["a", "b"], "amount": [10.0, 10.0],
    ...                        "timestamp": pd.to_datetime(["2024-01-01", "2024-06-01"])})
    >>> watch = watchlist(orders, as_of="2024-06-02", silent_for="90d")
    >>> watch = defer(watch, "a", measure="called", reason="on holiday", on="2024-06-03", until="2024-07-01")
    >>> watch[["customer_id", "state", "measure", "deferred_until"]]
      customer_id     state measure deferred_until
    0           a  deferred  called     2024-07-01
    """
    caller = "defer"
    kept, engine = read_watch(watch, caller=caller)
    rows = _open_rows(kept, customers, caller=caller)
    _refuse_lost(kept, rows, caller=caller)
    day = _after(on, kept, rows, "warned_at", caller=caller)
    _after(on, kept, rows, "measure_at", caller=caller)
    told: dict[str, Any] = {
        "measure": _words(measure, "measure", caller=caller),
        "measure_reason": _words(reason, caller=caller),
        "measure_at": day,
        "measure_count": kept["measure_count"][rows] + 1,
        "earlier_measures": [_earlier(kept, row) for row in rows.tolist()],
        "deferred_until": _end(until, day, caller=caller),
        "dropped_at": NEVER,
    }
    return kept.changed(rows, **told).settled().to_native(engine)


def confirm_lost(watch: Any, customers: Any, *, reason: str, on: str | dt.date | dt.datetime) -> Any:
    """Record that some customers are lost: possible only after something was done to keep them.

    Parameters
    ----------
    watch : dataframe
        As :func:`watchlist` makes it.
    customers : id, list of ids, or dataframe with ``customer_id``
        Who is lost; a measure must be recorded for each (:func:`defer`).
    reason : str
        Why they left: ``"price"``, ``"closed down"``.
    on : date
        When it became known; not before the measure, and not more than a year after the last run.

    Returns
    -------
    dataframe of the kind of ``watch``
        The whole list, with the loss recorded. Who orders again nevertheless is won back at the next run; if the order
        was there before ``on``, it was no loss, and the run says so.

    Raises
    ------
    SchemaError, MissingColumnsError
        For customers without a measure, who are not open on the list or lost already; for dates out of order.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.churn import watchlist
    >>> orders = pd.DataFrame({"customer_id": ["a", "b"], "amount": [10.0, 10.0],
    ...                        "timestamp": pd.to_datetime(["2024-01-01", "2024-06-01"])})
    >>> watch = watchlist(orders, as_of="2024-06-02", silent_for="90d")
    >>> watch = defer(watch, "a", measure="called", reason="on holiday", on="2024-06-03")
    >>> watch = confirm_lost(watch, "a", reason="price", on="2024-06-20")
    >>> watch[["customer_id", "state", "measure", "lost_at", "lost_reason"]]
      customer_id state measure    lost_at lost_reason
    0           a  lost  called 2024-06-20       price
    """
    caller = "confirm_lost"
    kept, engine = read_watch(watch, caller=caller)
    rows = _open_rows(kept, customers, caller=caller)
    _refuse_lost(kept, rows, caller=caller)
    untried = kept["customer_id"][rows[np.isnat(kept["measure_at"][rows])]].tolist()
    if untried:
        listed = ids_in_words(untried)
        msg = (
            f"{caller}: no measure is recorded for {listed}, and a loss is confirmed only after something was tried. "
            f'Record it: defer(watch, {untried[:20]}, measure="called", reason="...", on="{str(on)[:10]}").'
        )
        raise SchemaError(msg)
    day = _after(on, kept, rows, "measure_at", caller=caller)
    return kept.changed(rows, lost_at=day, lost_reason=_words(reason, caller=caller)).settled().to_native(engine)


def reopen(watch: Any, customers: Any) -> Any:
    """Take back a loss that was confirmed by mistake: the customers are worked on again.

    Parameters
    ----------
    watch : dataframe
        As :func:`watchlist` makes it.
    customers : id, list of ids, or dataframe with ``customer_id``
        Who is not lost after all. Who ordered again need not be reopened: the next run finds them won back.

    Returns
    -------
    dataframe of the kind of ``watch``
        The whole list, without ``lost_at`` and ``lost_reason`` of these customers; their measure stays.

    Raises
    ------
    SchemaError, MissingColumnsError
        For customers who are not lost.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.churn import watchlist
    >>> orders = pd.DataFrame({"customer_id": ["a", "b"], "amount": [10.0, 10.0],
    ...                        "timestamp": pd.to_datetime(["2024-01-01", "2024-06-01"])})
    >>> watch = watchlist(orders, as_of="2024-06-02", silent_for="90d")
    >>> watch = defer(watch, "a", measure="called", reason="on holiday", on="2024-06-03")
    >>> watch = confirm_lost(watch, "a", reason="price", on="2024-06-20")
    >>> reopen(watch, "a")[["customer_id", "state", "measure", "lost_at"]]
      customer_id     state measure lost_at
    0           a  deferred  called     NaT
    """
    caller = "reopen"
    kept, engine = read_watch(watch, caller=caller)
    rows = _open_rows(kept, customers, caller=caller)
    others = kept["customer_id"][rows[kept["state"][rows] != LOST]].tolist()
    if others:
        msg = f"{caller}: {ids_in_words(others)} are not lost, so there is nothing to take back."
        raise SchemaError(msg)
    return kept.changed(rows, lost_at=NEVER, lost_reason=None).settled().to_native(engine)


# -- inside --------------------------------------------------------------------------------------------------------


def _open_rows(kept: Watch, customers: Any, *, caller: str) -> NDArray[np.int64]:
    """Return the rows of the customers meant, of whom each must have a warning that is open."""
    rows = np.flatnonzero(kept.is_open)
    open_at = dict(zip(kept["customer_id"][rows].tolist(), rows.tolist(), strict=True))
    asked = _asked(customers, caller=caller)
    if not asked:
        msg = f"{caller}: customers names nobody. Give an id, a list of ids or a table with customer_id."
        raise SchemaError(msg)
    asked = ids_like(asked, has_numbers=kept.has_numbers, where="customers", there="the list", caller=caller)
    missing = [customer for customer in asked if customer not in open_at]
    if missing:
        back = set(kept["customer_id"].tolist()) & set(missing)
        hint = " They came back: won back." if back == set(missing) else ""
        msg = f"{caller}: {ids_in_words(missing)} are not open on the list.{hint}"
        raise SchemaError(msg)
    return np.array([open_at[customer] for customer in dict.fromkeys(asked)], np.int64)


def _asked(customers: Any, *, caller: str) -> list[Any]:
    if isinstance(customers, (str, int, float, np.generic)):
        customers = [customers]
    elif not isinstance(customers, (list, tuple, set, np.ndarray)) and not hasattr(customers, "to_list"):
        frame, _ = enter(customers, caller=caller)
        if "customer_id" not in columns_of(frame):
            msg = f"{caller}: customers needs the column 'customer_id', got {columns_of(frame)}."
            raise MissingColumnsError(msg)
        customers = collect(frame.select("customer_id"))["customer_id"]
    return customers.to_list() if hasattr(customers, "to_list") else list(customers)


def _refuse_lost(kept: Watch, rows: NDArray[np.int64], *, caller: str) -> None:
    lost = kept["customer_id"][rows[kept["state"][rows] == LOST]].tolist()
    if lost:
        msg = f"{caller}: {ids_in_words(lost)} are confirmed as lost already. To take that back: reopen(watch, ...)."
        raise SchemaError(msg)


def _after(on: Any, kept: Watch, rows: NDArray[np.int64], name: str, *, caller: str) -> np.datetime64:
    """Read the day of what is recorded: not before what came before it, nor in another year."""
    day = np.datetime64(as_moment(on, name="on", caller=caller), "us")
    earlier = rows[day.astype("datetime64[D]") < kept[name][rows].astype("datetime64[D]")]
    if len(earlier):
        listed, latest = ids_in_words(kept["customer_id"][earlier].tolist()), kept[name][earlier].max().item()
        msg = (
            f"{caller}: on={_date(day)} lies before {name}={latest:%Y-%m-%d} of {listed}. Give a later day; if "
            f"{name} is wrong, correct it in the kept table."
        )
        raise SchemaError(msg)
    run = kept["as_of"].max()
    if day > run + MOST_DAYS * DAY:
        msg = f"{caller}: on={_date(day)} lies more than a year after the last run of {_date(run)}. Is the year right?"
        raise SchemaError(msg)
    return day


def _end(until: Any, day: np.datetime64, *, caller: str) -> np.datetime64:
    """Read the day on which a deferral is over."""
    if until is None:
        return day + DEFERRED_DAYS * DAY
    end = np.datetime64(as_moment(until, name="until", caller=caller), "us")
    if not day < end <= day + MOST_DAYS * DAY:
        msg = f"{caller}: until must lie after on={_date(day)}, by a year at most, got {_date(end)}."
        raise SchemaError(msg)
    return end


def _earlier(kept: Watch, row: int) -> str | None:
    """Tell the measures before the new one: those told already, and the one that it takes the place of."""
    told: str | None = kept["earlier_measures"][row]
    if kept["measure"][row] is None:
        return told
    last = f"{_date(kept['measure_at'][row])} {kept['measure'][row]} ({kept['measure_reason'][row]})"
    return f"{told}; {last}" if told else last


def _date(moment: np.datetime64) -> str:
    return str(moment.astype("datetime64[D]"))


def _words(value: Any, name: str = "reason", *, caller: str) -> str:
    if not isinstance(value, str) or not value.strip():
        msg = f'{caller}: {name} must be a few words such as {name}="called", got {value!r}.'
        raise SchemaError(msg)
    return value.strip()
