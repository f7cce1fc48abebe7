"""Who moved from which channel to which: the main channel of each customer in a window, and in the one before."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._cautions import cautions
from crmlytics._kernels.ratios import over
from crmlytics._validation import as_days, as_moment, check_fraction
from crmlytics.channels._reading import UNKNOWN, read_sales, sums
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.channels._reading import Codes, Sales
    from crmlytics.tables import Transactions

    Columns = dict[str, NDArray[Any]]

CALLER = "channel_migration_table"
NEW, BACK, GONE = "(new)", "(back)", "(gone)"
SCHEMA = nw.Schema({
    "from_channel": nw.String(), "to_channel": nw.String(), "customer_count": nw.Int64(), "reverse_count": nw.Int64(),
    "from_share": nw.Float64(), "from_share_low": nw.Float64(), "from_share_high": nw.Float64(),
    "previous_amount": nw.Float64(), "current_amount": nw.Float64(), "amount_change": nw.Float64(),
    "caution": nw.String(),
})  # fmt: skip
NO_CAUSE = "Association, not effect: who changes the channel may have changed much besides."


def channel_migration_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    window: str | dt.timedelta = "180d",
    confidence: float = 0.95,
) -> Any:
    """Count who moved from which channel to which, and what became of their amounts.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp``, ``amount`` and ``channel``.
    as_of : date
        The day on which the last window ends; lines on or after it are left out.
    window : duration such as "180d" or "26w", default "180d"
        The length of the last window, and of the one before it.
    confidence : float, default 0.95
        Of the intervals.

    Returns
    -------
    dataframe of the kind that came in, one row per move that was made, sorted by both channels
        ``from_channel`` (String, the main channel in the window before; ``"(new)"``: never ordered before this window,
        ``"(back)"``: ordered before, but not in the window before), ``to_channel`` (String, the main channel in this
        window; ``"(gone)"``: no order in it), ``customer_count`` (Int64), ``reverse_count`` (Int64, customers who
        moved the other way; 0 of those who stayed, came or went), ``from_share`` (Float64, of those who came from
        there), ``from_share_low``, ``from_share_high``, ``previous_amount``, ``current_amount`` (Float64, what these
        customers brought in the window before and in this one, through whatever channels, returns taken off),
        ``amount_change`` (Float64), ``caution`` (String).

    Raises
    ------
    SchemaError, MissingColumnsError
        When a role is missing, or nobody ordered in the window before.

    Notes
    -----
    The main channel is the one that a customer ordered through most often in the window; of equals the one of the last
    order, then the first by name. ``"(unknown)"`` is the main channel of those only of whose orders none has a channel.
    Customers and amounts add up to those of both windows: a customer with nothing but a credit note is there, too.
    Intervals are Wilson's.

    **When not to use it**: to see a trend in few orders. Who uses two channels alike changes the main one by chance;
    where as many move back (``reverse_count``), nobody moves. :func:`preferred_channel_table` says of whom the
    preference is clear. Nor on data that begin less than a window ahead of the window before: who is ``"(new)"`` there
    may be back, as ``caution`` says.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.channels.migration import channel_migration_table
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "b", "c", "a", "b", "d"], "order_id": range(6),
    ...     "amount": [9.0, 8.0, 7.0, 12.0, 8.0, 5.0],
    ...     "channel": ["store", "store", "web", "web", "store", "web"],
    ...     "timestamp": pd.to_datetime(["2024-01-10"] * 3 + ["2024-02-20"] * 3),
    ... })
    >>> moves = channel_migration_table(orders, as_of="2024-03-01", window="30d")
    >>> moves[["from_channel", "to_channel", "customer_count", "from_share", "amount_change"]]
      from_channel to_channel  customer_count  from_share  amount_change
    0        store      store               1         0.5            0.0
    1        store        web               1         0.5            3.0
    2          web     (gone)               1         1.0           -7.0
    3        (new)        web               1         1.0            5.0
    """
    end, days = as_moment(as_of, caller=CALLER), as_days(window, name="window", caller=CALLER)
    level = check_fraction(confidence, name="confidence", caller=CALLER)
    middle, start = (np.datetime64(end - dt.timedelta(days=times * days), "us") for times in (1, 2))
    sales = read_sales(transactions, as_of=end, caller=CALLER)
    now, before = sales.moment >= middle, (sales.moment >= start) & (sales.moment < middle)
    if not (before & sales.is_order).any():
        first, last = (str(moment.astype("datetime64[D]")) for moment in (start, middle))
        msg = (
            f"{CALLER}: nobody ordered from {first} to {last}, the window before the last. Take a shorter one: "
            f'window="{max(1, days // 2)}d".'
        )
        raise SchemaError(msg)
    columns = _moves(sales, now, before)
    columns |= _shares(columns, level)
    earlier = (start - sales.moment[0].astype("datetime64[D]")) / np.timedelta64(days, "D")
    columns["caution"] = _cautions(columns, float(earlier))
    return sales.engine.from_columns({name: columns[name] for name in SCHEMA}, SCHEMA)


# -- inside --------------------------------------------------------------------------------------------------------


def _moves(sales: Sales, now: NDArray[np.bool_], before: NDArray[np.bool_]) -> Columns:
    names = [*sales.names, NEW, BACK, GONE]
    width, size = len(names), len(sales.customer_ids)
    new, back, gone = (names.index(name) for name in (NEW, BACK, GONE))
    origin, target = sales.main_channel(before), sales.main_channel(now)
    known_before = sales.uses(~now).any(axis=1)
    origin = np.where(origin >= 0, origin, np.where(known_before, back, new))
    target = np.where(target >= 0, target, gone)
    seen = np.bincount(sales.customer[now | before], minlength=size) > 0
    then, today = (sums(sales.customer[rows], sales.amount[rows], size)[seen] for rows in (before, now))
    move, code = np.unique(origin[seen] * width + target[seen], return_inverse=True)
    count = np.bincount(code, minlength=len(move))
    found = dict(zip(move.tolist(), count.tolist(), strict=True))
    start, stop = move // width, move % width
    words, channels = np.array(names, object), len(sales.names)
    return {
        "from_channel": words[start], "to_channel": words[stop], "customer_count": count,
        "reverse_count": _reverse(found, start, stop, width, channels),
        "previous_amount": sums(code, then, len(move)), "current_amount": sums(code, today, len(move)),
    }  # fmt: skip


def _reverse(found: dict[int, int], start: Codes, stop: Codes, width: int, channels: int) -> Codes:
    """Count who moved the other way; there is none for who stayed, came or went."""
    pairs = zip(start.tolist(), stop.tolist(), strict=True)
    counts = [found.get(to * width + come, 0) if come != to and max(come, to) < channels else 0 for come, to in pairs]
    return np.array(counts, np.int64)


def _shares(columns: Columns, level: float) -> Columns:
    from crmlytics._kernels.proportions import wilson

    count, place = columns["customer_count"], np.unique(columns["from_channel"], return_inverse=True)[1]
    total = np.bincount(place, count)[place]
    low, high = wilson(count, total, level)
    return {
        "from_share": over(count, total), "from_share_low": low, "from_share_high": high,
        "amount_change": columns["current_amount"] - columns["previous_amount"],
    }  # fmt: skip


def _cautions(columns: Columns, earlier: float) -> NDArray[Any]:
    """Say what moves do not show; ``earlier`` is how many windows of data there are ahead of the window before."""
    origin, target, back = columns["from_channel"], columns["to_channel"], columns["reverse_count"]
    return cautions(len(origin), [
        ((origin == UNKNOWN) | (target == UNKNOWN), "A channel is not known."),
        (back >= columns["customer_count"], "As many moved back."),
        (earlier < 0, "The data begin within the window before: some of those who look new are not."),
        ((0 <= earlier < 1) & (origin == NEW), "The data begin shortly before: some of those who look new are back."),
    ], first=NO_CAUSE)  # fmt: skip
