"""What the tables of value refuse, in the same words everywhere."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import collect
from crmlytics._validation import as_moment
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable

DAY = dt.timedelta(days=1)


def no_line(as_of: Any, *, caller: str, since: Any = None) -> SchemaError:
    """Return what to raise where nothing is known at ``as_of``."""
    end = f"as_of={as_moment(as_of, caller=caller):%Y-%m-%d %H:%M}"
    if since is None:
        return SchemaError(f"{caller}: no line lies before {end}. Check as_of and the data.")
    start = f"since={as_moment(since, name='since', caller=caller):%Y-%m-%d %H:%M}"
    return SchemaError(f"{caller}: no line lies from {start} to {end}. Check both and the data.")


def is_empty(lines: nw.LazyFrame[Any], moment: str = "timestamp") -> bool:
    """Tell whether no line is left. A lazy engine is asked for one number."""
    return bool(collect(lines.select(nw.col(moment).min()))[moment].is_null().any())


def no_total(total: float, as_of: Any, *, caller: str) -> SchemaError:
    """Return what to raise where customers brought in nothing or less: nobody has a share of that."""
    moment = as_moment(as_of, caller=caller)
    return SchemaError(
        f"{caller}: customers brought in {total:,.2f} in all before {moment:%Y-%m-%d}; shares need a total above zero. "
        "Check the sign of amount, or set returns aside: Transactions(..., returns='set_aside')."
    )


def half_of(first: dt.datetime, end: dt.datetime) -> int:
    """Return the days of the shortest period of which two reach back to the first line; 0 where none does."""
    days = -(-(end - first) // DAY)
    return -(-days // 2) if days > 1 else 0


def check_top_shares(top_shares: Iterable[float], *, caller: str) -> list[float]:
    """Read shares of the customers, the smallest first."""
    shares = sorted({float(share) for share in top_shares})
    if not shares or not all(0 < share <= 1 for share in shares):
        msg = f"{caller}: top_shares must be fractions above 0 and up to 1, such as [0.01, 0.2], got {shares}."
        raise SchemaError(msg)
    return shares
