"""From order lines to the days on which each customer bought (an item), and to the spells in between, in arrays."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._baskets import ITEM_ROLES, encode
from crmlytics._frames import collect, day_number
from crmlytics._orders import gather
from crmlytics._validation import as_moment, warn
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._frames import Engine

CUSTOMER = "customer_id"
EPOCH = dt.datetime(1970, 1, 1)
QUIET_DAYS = 7  # without any purchase at all: the data probably end before as_of


@dataclass(frozen=True, slots=True, eq=False)
class Purchases:
    """On which days each customer bought (each item); a row of ``starts`` is a history, sorted by the keys.

    Attributes
    ----------
    ids : dict of role to array, shape (histories,)
        Whose history it is: the ``customer_id``, and the item where asked for.
    customer : int64 array, shape (histories,)
        The number of the customer.
    item : int64 array, shape (histories,)
        The number of the item; 0 without items.
    starts : int64 array, shape (histories + 1,)
    day : int64 array
        Days from 1970-01-01, rising and without repetition within a history.
    today : int
        The day of ``as_of``.
    watched : int
        The last day of which something is known: the one before, unless ``as_of`` is a moment within a day.
    """

    ids: dict[str, NDArray[Any]]
    customer: NDArray[np.int64]
    item: NDArray[np.int64]
    starts: NDArray[np.int64]
    day: NDArray[np.int64]
    today: int
    watched: int

    def __len__(self) -> int:
        """Return how many histories there are."""
        return len(self.customer)

    def counts(self) -> NDArray[np.int64]:
        """Return on how many days each bought."""
        return np.diff(self.starts)

    def last(self) -> NDArray[np.int64]:
        """Return the last day on which each bought."""
        return self.day[self.starts[1:] - 1]


def read_purchases(
    transactions: Transactions | Any, *, as_of: Any, by: tuple[str, ...], caller: str
) -> tuple[Purchases, Engine]:
    """Read the days on which each customer bought before ``as_of``: more than came back, or for free."""
    moment = as_moment(as_of, caller=caller)
    table = Transactions.bind(transactions).before(moment)
    roles = (CUSTOMER, *[role for role in by if role != CUSTOMER])
    lines = table.need(*roles, "timestamp", "amount", caller=caller)
    lines = lines.select(*roles, "amount", day=day_number(nw.col("timestamp")))
    if table.may_hold_returns:
        days = gather(lines, *roles, "day").filter(nw.col("is_order") == 1).select(*roles, "day")
    else:
        days = lines.select(*roles, "day").unique()
    found = _without_missing(collect(days), roles, caller=caller)
    return _packed(found, roles, moment), table.engine


def check_by(by: Any, *, caller: str, items: bool = False) -> tuple[str, ...]:
    """Read whose intervals are meant: ("customer_id",), with an item, or, where allowed, an item alone."""
    names = (by,) if isinstance(by, str) else tuple(by) if isinstance(by, (tuple, list)) else ()
    alone = items and len(names) == 1 and names[0] in ITEM_ROLES
    if names == (CUSTOMER,) or alone or (len(names) == 2 and names[0] == CUSTOMER and names[1] in ITEM_ROLES):
        return names
    item = f', an item such as "product_id" (one of {list(ITEM_ROLES)})' if items else ""
    msg = (
        f'{caller}: by must be "customer_id"{item} or a customer\'s items such as ("customer_id", "product_id"), '
        f"got {by!r}."
    )
    raise SchemaError(msg)


def tell_silence(purchases: Purchases, as_of: Any, *, caller: str) -> None:
    """Warn if the data end so long before ``as_of`` that waiting for the end of the data is taken for silence."""
    days = np.unique(purchases.day)
    silent = purchases.watched - int(days[-1])
    if silent > max(QUIET_DAYS, int(np.diff(days).max(initial=0))):
        end = (EPOCH + dt.timedelta(days=int(days[-1]) + 1)).date()
        warn(
            f"{caller}: nobody bought anything in the last {silent:,} days before as_of={str(as_of)!r}, and "
            f'everybody is taken to have waited through them. If the data end there, write as_of="{end}".'
        )


def as_moments(days: NDArray[np.int64]) -> NDArray[np.datetime64]:
    """Turn day numbers into the moments that begin these days."""
    return days.astype("datetime64[D]").astype("datetime64[us]")


# -- inside --------------------------------------------------------------------------------------------------------


def _without_missing(days: nw.DataFrame[Any], roles: tuple[str, ...], *, caller: str) -> nw.DataFrame[Any]:
    if len(days) == 0:
        msg = f"{caller}: nobody bought anything before as_of. Check as_of and the data."
        raise SchemaError(msg)
    if len(roles) == 1:
        return days
    known = days.filter(~nw.col(roles[1]).is_null())
    if len(known) == 0:
        msg = f"{caller}: no line before as_of has a {roles[1]}. Check which column it names."
        raise SchemaError(msg)
    if len(known) < len(days):
        without = len(days) - len(known)
        warn(f"{caller}: {without:,} of {len(days):,} purchases have no {roles[1]} and are left out.")
    return known


def _packed(days: nw.DataFrame[Any], roles: tuple[str, ...], moment: dt.datetime) -> Purchases:
    arrow = days.to_arrow()
    day = np.asarray(arrow["day"].to_numpy(), np.int64)
    codes, ids = zip(*[encode(arrow[role]) for role in roles], strict=True)
    items = len(ids[1]) if len(roles) == 2 else 1
    number = codes[0].astype(np.int64) * items + (codes[1] if len(roles) == 2 else 0)
    order = np.lexsort((day, number))
    number, day = number[order], day[order]
    starts = np.append(np.flatnonzero(np.diff(number, prepend=-1)), len(number)).astype(np.int64)
    number = number[starts[:-1]]
    of_history = (number // items, number % items)
    names = {role: ids[place][of_history[place]] for place, role in enumerate(roles)}
    today, watched = ((at - EPOCH).days for at in (moment, moment - dt.timedelta(microseconds=1)))
    return Purchases(names, *of_history, starts, day, today, watched)
