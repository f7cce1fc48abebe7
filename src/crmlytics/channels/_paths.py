"""From events and orders to journeys: which touchpoints lie before which conversion, and which before none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._baskets import MICROSECONDS_A_DAY, encode, microseconds
from crmlytics._frames import check_same_kind, collect
from crmlytics._orders import ORDER_ROLES, orders_of
from crmlytics._sales import named
from crmlytics._validation import as_days, as_period, warn
from crmlytics.channels._journeys import Log, joined
from crmlytics.channels._reading import CHANNEL, is_conversion, no_conversion, sorted_names
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Events, Transactions, check_same_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._frames import Engine
    from crmlytics._kernels.attribution import Journeys

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

BETWEEN = " > "
NO_TOUCH = "(no touchpoint)"
DEFAULTS = {"lookback": "30d", "conversion": "purchase"}  # of what counted paths, or orders, take no other


@dataclass(frozen=True, slots=True, eq=False)
class Touches:
    """Journeys, and what is known besides.

    Attributes
    ----------
    journeys : Journeys
    channels : list of str
        The name of each code.
    days : float64 array, shape (touches,), or None
        Calendar days from each touch to the conversion; 0 without one. None: no moments are known.
    owner : int64 array, shape (journeys,), or None
        The number of the customer of each journey. None: not known.
    costs : float64 array, shape (channels,), or None
        What the touches of each channel cost, NaN where that is not known.
    has_amount : bool
    undecided : int
        Touches that are in no journey yet.
    engine : Engine
    """

    journeys: Journeys
    channels: list[str]
    days: Floats | None
    owner: Ints | None
    costs: Floats | None
    has_amount: bool
    undecided: int
    engine: Engine

    def texts(self) -> NDArray[Any]:
        """Return the path of each journey as text."""
        import pyarrow as pa
        import pyarrow.compute as pc

        names = pa.array(self.channels, pa.string()).take(pa.array(self.journeys.channels))
        lists = pa.ListArray.from_arrays(pa.array(self.journeys.starts).cast(pa.int32()), names)
        joined = pc.binary_join(lists, BETWEEN).to_numpy(zero_copy_only=False)
        return np.where(self.journeys.lengths > 0, joined, NO_TOUCH)

    def tell_of_undecided(self, lookback: Any, *, caller: str) -> None:
        """Warn of touches too young to say whether they convert."""
        if self.undecided:
            warn(
                f"{caller}: {self.undecided:,} touchpoints are younger than lookback={lookback!r} at as_of and no "
                "conversion has followed yet: they are undecided, and in no path."
            )


# -- events and orders ---------------------------------------------------------------------------------------------


def read_journeys(
    events: Any, transactions: Any, *, as_of: Any, since: Any, lookback: Any, conversion: Any, caller: str
) -> Touches:
    """Cut what each customer did into the ways to conversions, and ways that led to none."""
    days = as_days(lookback, name="lookback", caller=caller)
    start, until = as_period(since, as_of, caller=caller)
    begin = np.iinfo(np.int64).min if start is None else int(np.datetime64(start, "us").astype(np.int64))
    table = Events.bind(events)
    orders = None if transactions is None else Transactions.bind(transactions)
    if orders is not None:
        if conversion != DEFAULTS["conversion"]:
            raise SchemaError(f"{caller}: orders convert where transactions are given. Leave conversion out.")
        check_same_kind({"events": table.engine, "transactions": orders.engine}, caller=caller)
        check_same_ids([table, orders], role="customer_id", caller=caller)
    rows = _event_rows(table.before(until), None if orders is not None else conversion, caller=caller)
    bought = None if orders is None else _order_rows(orders.before(until), caller=caller)
    owners = _customers(rows, bought)
    channel, names = _channels(rows[CHANNEL], caller=caller)
    touches, costs = _touches(rows, owners[: len(channel)], channel, len(names), begin)
    touches.tell_of_doubts(has_sessions=table.has("session_id"), caller=caller)
    conversions, has_amount = _conversions(rows, bought, owners, caller=caller)
    today = int(np.datetime64(until, "D").astype(np.int64))
    journeys, apart, owner, undecided = joined(touches, conversions, begin=begin, today=today, lookback=days)
    return Touches(journeys, names, apart, owner, costs, has_amount, undecided, table.engine)


def _event_rows(table: Events, conversion: Any, *, caller: str) -> Any:
    """Collect the events that touch or convert, as an Arrow table."""
    roles = ["customer_id", "timestamp", CHANNEL, *(name for name in ("session_id", "cost") if table.has(name))]
    touches = ~nw.col(CHANNEL).is_null()
    if conversion is None:
        return collect(table.need(*roles, caller=caller).with_columns(named(CHANNEL)).filter(touches)).to_arrow()
    wanted = [*roles, *(["amount"] if table.has("amount") else [])]
    plan = table.need(*wanted, "event", caller=caller).with_columns(named(CHANNEL))
    converts = is_conversion(table, conversion, caller=caller)
    found = collect(plan.filter(touches | converts).select(*wanted, converts=converts.cast(nw.Int64))).to_arrow()
    if not (found["converts"].to_numpy() > 0).any():
        raise no_conversion(plan, conversion, "before as_of", caller=caller)
    return found


def _order_rows(table: Transactions, *, caller: str) -> Any:
    plan = orders_of(table.need(*ORDER_ROLES, caller=caller), "customer_id").filter(nw.col("is_order") == 1)
    found = collect(plan.select("customer_id", timestamp=nw.col("ordered_at"), amount=nw.col("amount"))).to_arrow()
    if not found.num_rows:
        raise SchemaError(f"{caller}: transactions hold no order before as_of. Check as_of, and their audit.")
    return found


def _customers(rows: Any, bought: Any) -> Ints:
    """Give the customers of events, and then of orders, numbers in the order of their ids."""
    import pyarrow as pa

    parts = [rows["customer_id"]] + ([] if bought is None else [bought["customer_id"]])
    kind = pa.int64() if pa.types.is_integer(parts[0].type) else pa.string()
    whole = pa.chunked_array([chunk for part in parts for chunk in part.cast(kind).chunks], kind)
    return encode(whole)[0].astype(np.int64)


def _codes(values: Any) -> tuple[Ints, NDArray[Any]]:
    """Give ids numbers in their order, -1 where there is none."""
    import pyarrow.compute as pc

    codes = np.full(len(values), -1, np.int64)
    known, ids = encode(values.drop_null())
    codes[pc.is_valid(values).to_numpy()] = known
    return codes, ids


def _channels(values: Any, *, caller: str) -> tuple[Ints, list[str]]:
    """Give channels numbers in their order, -1 where there is none."""
    codes, ids = _codes(values)
    names = sorted_names(ids.tolist(), caller=caller)
    if not names:
        raise SchemaError(f"{caller}: no event before as_of has a channel. Check as_of, and the audit of the events.")
    unfit = [name for name in names if ">" in name or name == NO_TOUCH]
    if unfit:
        raise SchemaError(f"{caller}: the channel {unfit[0]!r} cannot be told apart in a path. Rename it first.")
    number = {name: place for place, name in enumerate(names)}
    return np.array([*(number[name] for name in ids.tolist()), -1])[codes], names


def _touches(rows: Any, owner: Ints, channel: Ints, size: int, begin: int) -> tuple[Log, Floats | None]:
    """Return the touches, one a session where sessions are known, and what each channel cost since ``begin``."""
    moment = microseconds(rows["timestamp"].to_numpy())
    log = Log(owner, moment, channel, np.zeros(len(owner)))
    touched = np.flatnonzero(channel >= 0)
    costs = _costs(rows, channel, moment >= begin, size) if "cost" in rows.column_names else None
    if "session_id" in rows.column_names:
        session = _codes(rows["session_id"])[0]
        order = touched[np.lexsort((channel[touched], moment[touched], session[touched], owner[touched]))]
        later = (owner[order][1:] == owner[order][:-1]) & (session[order][1:] == session[order][:-1])
        touched = order[~np.append([False], later)[: len(order)] | (session[order] < 0)]
    return log.at(touched).in_order(), costs


def _costs(rows: Any, channel: Ints, counted: NDArray[np.bool_], size: int) -> Floats:
    cost = np.asarray(rows["cost"].to_numpy(), np.float64)
    known = np.flatnonzero(counted & (channel >= 0) & ~np.isnan(cost))
    known = known[np.lexsort((cost[known], channel[known]))]  # or sums would be rounded as the rows happen to stand
    total = np.bincount(channel[known], cost[known], size)
    return np.where(np.bincount(channel[known], minlength=size) > 0, total, np.nan)


def _conversions(rows: Any, bought: Any, owners: Ints, *, caller: str) -> tuple[Log, bool]:
    """Return conversions, and whether amounts are known; orders that are dated only lie at the end of their day."""
    if bought is None:
        found = np.flatnonzero(rows["converts"].to_numpy() > 0)
        owner, moment = owners[found], microseconds(rows["timestamp"].to_numpy())[found]
        amount, has_amount = np.zeros(len(found)), False
        if "amount" in rows.column_names:
            given = np.asarray(rows["amount"].to_numpy(), np.float64)[found]
            amount, has_amount = known_money(given, "conversions", caller=caller)
    else:
        owner, moment = owners[rows.num_rows :], microseconds(bought["timestamp"].to_numpy())
        amount, has_amount = np.asarray(bought["amount"].to_numpy(), np.float64), True
        if (moment % MICROSECONDS_A_DAY == 0).all():
            moment = moment + MICROSECONDS_A_DAY - 1
    return Log(owner, moment, np.zeros(len(owner), np.int64), amount).in_order(), has_amount


def known_money(amount: Floats, what: str, *, caller: str) -> tuple[Floats, bool]:
    """Return amounts of what converted, 0 where one is missing, and whether any is known."""
    if (amount < 0).any():
        raise SchemaError(f"{caller}: a conversion has the amount {np.nanmin(amount)}; expected zero or more.")
    missing = np.isnan(amount)
    if missing.any() and not missing.all():
        warn(f"{caller}: {missing.sum():,} of {len(amount):,} {what} have no amount, and count as 0 in money.")
    return np.nan_to_num(amount), not missing.all()
