"""What the sales team tells the watchlist: what was tried, who is lost, and what was a mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import collect, columns_of, enter
from crmlytics._validation import as_moment
from crmlytics.churn._watch import LOST, NEVER, Watch, ids_in_words, read_watch
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from numpy.typing import NDArray


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
        When; not before the warning.
    until : date, optional
        From which run on they are to be worked on again, unless they ordered. None: until they are lost or come back.

    Returns
    -------
    dataframe of the kind of ``watch``
        The whole list, with the measure recorded. A later measure takes the place of an earlier one.

    Raises
    ------
    SchemaError, MissingColumnsError
        For customers who are not open on the list, for dates out of order, for an empty measure or reason.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.churn.watching import watchlist
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
    day = _after(on, kept["warned_at"][rows], "the warning", caller=caller)
    end = NEVER if until is None else np.datetime64(as_moment(until, name="until", caller=caller), "us")
    if end <= day:
        msg = f"{caller}: until must lie after on={str(on)!r}, got {str(until)!r}."
        raise SchemaError(msg)
    told = {"measure": _words(measure, "measure", caller=caller), "measure_reason": _words(reason, caller=caller)}
    return kept.changed(rows, **told, measure_at=day, deferred_until=end).settled().to_native(engine)


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
        When it became known; not before the measure.

    Returns
    -------
    dataframe of the kind of ``watch``
        The whole list, with the loss recorded. Who orders again nevertheless is won back at the next run.

    Raises
    ------
    SchemaError, MissingColumnsError
        For customers without a measure, who are not open on the list or lost already; for dates out of order.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.churn.watching import watchlist
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
            f'Record it: defer(watch, {untried[:5]}, measure="called", reason="...", on="{str(on)[:10]}").'
        )
        raise SchemaError(msg)
    day = _after(on, kept["measure_at"][rows], "the measure", caller=caller)
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
    >>> from crmlytics.churn.watching import watchlist
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
    missing = [customer for customer in asked if customer not in open_at]
    if missing:
        back = set(kept["customer_id"].tolist()) & set(missing)
        hint = " They came back: won back." if back == set(missing) else ""
        kind = "whole numbers" if kept.has_numbers else "text"
        msg = f"{caller}: {ids_in_words(missing)} are not open on the list, whose ids are {kind}.{hint}"
        raise SchemaError(msg)
    return np.array([open_at[customer] for customer in asked], np.int64)


def _asked(customers: Any, *, caller: str) -> Sequence[Any]:
    if isinstance(customers, (str, int, np.integer)):
        customers = [customers]
    elif not isinstance(customers, (list, tuple, set, np.ndarray)) and not hasattr(customers, "to_list"):
        frame, _ = enter(customers, caller=caller)
        if "customer_id" not in columns_of(frame):
            msg = f"{caller}: customers needs the column 'customer_id', got {columns_of(frame)}."
            raise MissingColumnsError(msg)
        customers = collect(frame.select("customer_id"))["customer_id"]
    values = customers.to_list() if hasattr(customers, "to_list") else list(customers)
    return list(dict.fromkeys(int(v) if isinstance(v, np.integer) else v for v in values))


def _refuse_lost(kept: Watch, rows: NDArray[np.int64], *, caller: str) -> None:
    lost = kept["customer_id"][rows[kept["state"][rows] == LOST]].tolist()
    if lost:
        msg = f"{caller}: {ids_in_words(lost)} are confirmed as lost already. To take that back: reopen(watch, ...)."
        raise SchemaError(msg)


def _after(on: Any, earliest: NDArray[Any], what: str, *, caller: str) -> np.datetime64:
    day = as_moment(on, name="on", caller=caller)
    latest = earliest.max().item()
    if day.date() < latest.date():
        msg = f"{caller}: on={str(on)!r} lies before {what} of {latest.date()}."
        raise SchemaError(msg)
    return np.datetime64(day, "us")


def _words(value: Any, name: str = "reason", *, caller: str) -> str:
    if not isinstance(value, str) or not value.strip():
        msg = f'{caller}: {name} must be a few words such as {name}="called", got {value!r}.'
        raise SchemaError(msg)
    return value.strip()
