"""Which ways customers came: the channels they touched on the way to a conversion, and those that led to none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._baskets import encode
from crmlytics.channels._paths import read_journeys

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics.channels._paths import Touches
    from crmlytics.tables import Events, Transactions

CALLER = "path_table"
SCHEMA = nw.Schema(
    {
        "path": nw.String(),
        "touch_count": nw.Int64(),
        "conversion_count": nw.Int64(),
        "non_conversion_count": nw.Int64(),
        "comparable_conversion_count": nw.Int64(),
        "conversion_share": nw.Float64(),
        "amount": nw.Float64(),
        "median_days_to_conversion": nw.Float64(),
    }
)


def path_table(
    events: Events | Any,
    transactions: Transactions | Any = None,
    *,
    as_of: str | dt.date | dt.datetime,
    since: str | dt.date | dt.datetime | None = None,
    lookback: Any = "30d",
    conversion: Any = "purchase",
) -> Any:
    """Count the ways of channels that customers came before they converted, and those that led to no conversion.

    Parameters
    ----------
    events : Events or dataframe, one row per event
        Needs ``customer_id``, ``timestamp`` and ``channel``, and ``event`` where no transactions are given. An event
        with a channel is a touchpoint; the events of one ``session_id``, where it is bound, are one, of the channel
        and moment of the first of them. Of logs that were delivered twice keep one:
        ``Events(data, duplicates="set_aside")``.
    transactions : Transactions or dataframe, one row per order line, optional
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``. If given, its orders are the conversions;
        orders that are dated only lie at the end of their day. Credit notes are none, and their money is not counted.
    as_of : date
        Only what was before it is read.
    since : date, optional
        Conversions, and paths without one that began there, count from it on; touchpoints before it belong to the
        paths of conversions after it. Data that begin here should count from ``lookback`` later: the first paths are
        cut off.
    lookback : duration such as "30d", default "30d"
        The most calendar days from a touchpoint to the conversion that it may have led to.
    conversion : str or int, default "purchase"
        The event that is the conversion; none where transactions are given. One row each: two of one session are two
        conversions, and the second one's path holds what was touched after the first.

    Returns
    -------
    dataframe of the kind that came in, one row per path, the most conversions first, then non-conversions, then by path
        ``path`` (String, channels in order of time joined by `` > ``; "(no touchpoint)" of conversions without one),
        ``touch_count`` (Int64, touchpoints of the path), ``conversion_count``, ``non_conversion_count`` (Int64, how
        often the path ended with a conversion and without), ``comparable_conversion_count`` (Int64, of the conversions
        those that compare with the paths without one), ``conversion_share`` (Float64, of these and the paths without
        one; null without touchpoints, and where there are neither), ``amount`` (Float64, the money of its conversions;
        null where no amounts are known), ``median_days_to_conversion`` (Float64, calendar days from its first
        touchpoint; null without conversions and touchpoints).

    Raises
    ------
    SchemaError
        When no event has a channel, nothing converts, a name of a channel has a ``>``, ``conversion`` is given with
        transactions, or arguments are out of range.
    MissingColumnsError
        When a role has no column.

    Warns
    -----
    DataQualityWarning
        When touchpoints younger than ``lookback`` led to no conversion yet: they are undecided, and in no path. When
        more than 5 % of touchpoints share their moment with another channel's of the same customer: their order is not
        known. When sessions are not bound and more than a fifth repeat the channel of the one before on the same day.
        When some conversions have no amount.

    Notes
    -----
    A path ends with a conversion, and a customer's next one begins after it. Touchpoints within no conversion's window
    make paths that did not convert, broken where two lie further apart than ``lookback``. The rows add up to all
    conversions and to their money.

    **What share converts** cannot be read from all conversions: near ``as_of`` a path that converts is known at once,
    and one that does not only after ``lookback``; near ``since`` it is alike. ``conversion_share`` counts paths whose
    first touchpoint lies in the period, more than ``lookback`` before ``as_of``: of these all are known. It is null in
    a period no longer than ``lookback``.

    An event that converts and has a channel is a touchpoint as well: the buyer came that way. Where it only repeats
    the channel of an earlier event, bind sessions or leave its channel empty.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.channels.paths import path_table
    >>> events = pd.DataFrame({
    ...     "customer_id": ["a", "a", "a", "b", "c"],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-05", "2024-01-05", "2024-01-02", "2024-01-03"]),
    ...     "event": ["visit", "visit", "purchase", "visit", "purchase"],
    ...     "channel": ["social", "email", None, "social", None],
    ... })
    >>> path_table(events, as_of="2024-03-01").iloc[:, :4]
                  path  touch_count  conversion_count  non_conversion_count
    0  (no touchpoint)            0                 1                     0
    1   social > email            2                 1                     0
    2           social            1                 0                     1
    """
    touches = read_journeys(
        events, transactions, as_of=as_of, since=since, lookback=lookback, conversion=conversion, caller=CALLER
    )
    touches.tell_of_undecided(lookback, caller=CALLER)
    return touches.engine.from_columns(_columns(touches), SCHEMA)


# -- inside --------------------------------------------------------------------------------------------------------


def _columns(touches: Touches) -> dict[str, Any]:
    journeys = touches.journeys
    path, texts = encode(touches.texts().astype(object))
    size, is_converted = len(texts), journeys.is_converted
    groups = (is_converted, ~is_converted, is_converted & journeys.is_comparable)
    converted, others, compared = (np.bincount(path[group], minlength=size) for group in groups)
    share = np.divide(compared, compared + others, out=np.full(size, np.nan), where=compared + others > 0)
    length = np.zeros(size, np.int64)
    length[path] = journeys.lengths
    amount = np.bincount(path, journeys.amount, size) if touches.has_amount else np.full(size, np.nan)
    rows = np.lexsort((np.arange(size), -others, -converted))
    median = _median_days(touches, path, size)
    columns = (texts, length, converted, others, compared, share, amount, median)
    return {name: values[rows] for name, values in zip(SCHEMA.names(), columns, strict=True)}


def _median_days(touches: Touches, path: NDArray[np.int32], size: int) -> NDArray[np.float64]:
    """Return the median days of each path from the first touch to the conversion."""
    journeys, median = touches.journeys, np.full(size, np.nan)
    rows = np.flatnonzero(journeys.is_converted & (journeys.lengths > 0))
    if touches.days is None or not len(rows):
        return median
    days, of_path = touches.days[journeys.starts[rows]], path[rows]
    order = np.lexsort((days, of_path))
    days, of_path = days[order], of_path[order]
    count = np.bincount(of_path, minlength=size)
    begin, known = np.cumsum(count) - count, count > 0
    upper, lower = (begin + count // 2)[known], (begin + (count - 1) // 2)[known]
    median[known] = (days[lower] + days[upper]) / 2
    return median
