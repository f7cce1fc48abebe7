"""Who moved up and down in value between two periods, and the revenue that moved with them."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect
from crmlytics._lists import table_with_lists
from crmlytics._validation import as_days, as_moment, check_tiers
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Transactions
from crmlytics.value._checks import half_of, no_line
from crmlytics.value._reading import least_of_tiers, settled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

TIERS = {"high": 0.2, "middle": 0.3, "low": 0.5}
NOTHING, NEW, BACK, GONE = "(nothing)", "(new)", "(back)", "(gone)"


def value_migration_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    period: str | dt.timedelta = "365d",
    tiers: Mapping[str, float] | None = None,
) -> Any:
    """Count who moved from which tier of value to which between the last period and the one before, with the revenue.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``timestamp`` and ``amount``.
    as_of : date
        The day on which the last period ends; lines on or after it are left out.
    period : duration such as "365d" or "12w", default "365d"
        The length of both periods. A year holds every season once.
    tiers : mapping of str to float, optional
        Names of the tiers, the most valuable first, and their shares of the customers of the period before, which add
        up to 1. Default: ``{"high": 0.2, "middle": 0.3, "low": 0.5}``.

    Returns
    -------
    dataframe of the kind that came in, one row per pair of tiers that someone has, in the order of the tiers
        ``from_tier`` (String; "(nothing)": lines that add up to zero or less; "(back)": silent in that period, but
        known from before it; "(new)": not known before the last period), ``to_tier`` (String; "(gone)": no line in the
        last period), ``customer_count`` (Int64), ``from_share`` (Float64, of the customers of ``from_tier``),
        ``previous_amount``, ``current_amount``, ``amount_change`` (Float64, revenue then, now, and what moved; they
        add up to the revenue of the two periods), ``average_change_amount`` (Float64, a customer).

    Raises
    ------
    SchemaError
        When no line lies before ``as_of``, or nobody brought anything in the period before the last: there is nothing
        to migrate from.

    Notes
    -----
    Tiers are cut once, at the amounts that parted the customers of the period before (equal amounts are in the same
    tier, the higher one), and the last period is held against the same amounts: so all may rise, and do so when prices
    rise. Who was at the top then had, on average, some luck, and falls a little without any change of heart (regression
    to the mean). Which movement changed revenue how is told by :func:`crmlytics.revenue.movement_table`.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "b", "c", "a", "b", "d"], "order_id": range(6),
    ...     "amount": [100.0, 10.0, 8.0, 40.0, 60.0, 30.0],
    ...     "timestamp": pd.to_datetime(["2023-01-01"] * 3 + ["2024-01-01"] * 3),
    ... })
    >>> moves = value_migration_table(orders, as_of="2024-03-01", tiers={"top": 0.3, "rest": 0.7})
    >>> moves[["from_tier", "to_tier", "customer_count", "previous_amount", "current_amount"]]
      from_tier to_tier  customer_count  previous_amount  current_amount
    0       top    rest               1            100.0            40.0
    1      rest    rest               1             10.0            60.0
    2      rest  (gone)               1              8.0             0.0
    3     (new)    rest               1              0.0            30.0
    """
    caller = "value_migration_table"
    end, days = as_moment(as_of, caller=caller), as_days(period, name="period", caller=caller)
    shares = check_tiers(TIERS if tiers is None else tiers, caller=caller)
    table = Transactions.bind(transactions).before(end)
    rows = _two_periods(table, end, days, caller=caller)
    then, now = rows["previous"], rows["current"]
    bought = (rows["previous_lines"] > 0) & (settled(then) > 0)
    if not bought.any():
        raise _nothing_before(rows, end, days, caller=caller)
    least = least_of_tiers(settled(then[bought]), shares)
    names = [*shares, NOTHING, BACK, NEW, GONE]
    place = {name: number for number, name in enumerate(names)}
    origin = _tiers(then, least, place[NOTHING])
    silent = np.where(rows["earlier_lines"] > 0, place[BACK], place[NEW])
    origin = np.where(rows["previous_lines"] > 0, origin, silent)
    target = np.where(rows["current_lines"] > 0, _tiers(now, least, place[NOTHING]), place[GONE])
    seen = (rows["previous_lines"] > 0) | (rows["current_lines"] > 0)
    return table_with_lists(table.engine, _moves(origin[seen], target[seen], then[seen], now[seen], names))


def _two_periods(table: Transactions, end: dt.datetime, days: int, *, caller: str) -> dict[str, NDArray[Any]]:
    """Add up, where the lines live, what each customer brought in both periods and how many lines came when."""
    moment, amount = nw.col("timestamp"), nw.col("amount")
    middle, start = (end - dt.timedelta(days=times * days) for times in (1, 2))
    when = {"current": moment >= middle, "previous": (moment >= start) & (moment < middle), "earlier": moment < start}
    sums = {name: nw.when(test).then(amount).otherwise(nw.lit(0.0)) for name, test in when.items()}
    sums |= {f"{name}_lines": test.cast(nw.Int64) for name, test in when.items()}
    lines = table.need("customer_id", "timestamp", "amount", caller=caller).with_columns(**sums)
    grouped = lines.group_by("customer_id").agg(*[nw.col(name).sum() for name in sums], _first=moment.min())
    rows = collect(grouped).sort("customer_id")
    if not len(rows):
        raise no_line(end, caller=caller)
    found = {name: np.asarray(rows[name].to_numpy(), np.float64) for name in sums}
    return found | {"first": rows["_first"].to_numpy().astype("datetime64[us]")}


def _nothing_before(rows: dict[str, NDArray[Any]], end: dt.datetime, days: int, *, caller: str) -> SchemaError:
    """Say why there is nothing to migrate from: more came back than was bought, or no line is that old."""
    start, middle = (end - dt.timedelta(days=times * days) for times in (2, 1))
    said = f"{caller}: nobody brought anything from {start:%Y-%m-%d} to {middle:%Y-%m-%d}, the period before the last"
    if rows["previous_lines"].any():
        remedy = "set returns aside: Transactions(..., returns='set_aside')"
        return SchemaError(f"{said}: its lines add up to nothing or less. Check the sign of amount, or {remedy}.")
    first = rows["first"].min().item()
    half = half_of(first, end)
    remedy = f'Take period="{half}d": two of these reach back to it.' if half else "That is one period, and no other."
    return SchemaError(f"{said}: it has no line, and the first of all is of {first:%Y-%m-%d}. {remedy}")


def _tiers(amounts: Vector, least: Vector, nothing: int) -> NDArray[np.int64]:
    """Return the number of the tier of each amount, 0 the most valuable; equals stay together."""
    worth = settled(amounts)
    tier = (worth[:, None] < least[None, :]).sum(axis=1)
    return np.where(worth > 0, tier, nothing)


def _moves(
    origin: NDArray[np.int64], target: NDArray[np.int64], then: Vector, now: Vector, names: list[str]
) -> dict[str, NDArray[Any]]:
    pair, code = np.unique(origin * len(names) + target, return_inverse=True)
    count = np.bincount(code, minlength=len(pair))
    previous, current = np.bincount(code, then, len(pair)), np.bincount(code, now, len(pair))
    words, start = np.array(names, object), pair // len(names)
    return {
        "from_tier": words[start],
        "to_tier": words[pair % len(names)],
        "customer_count": count,
        "from_share": count / np.bincount(start, count)[start],
        "previous_amount": previous,
        "current_amount": current,
        "amount_change": current - previous,
        "average_change_amount": (current - previous) / count,
    }
