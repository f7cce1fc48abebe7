"""From events and orders to journeys: which touchpoints lie before which conversion, and which before none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._baskets import MICROSECONDS_A_DAY, encode, microseconds
from crmlytics._frames import check_same_kind, collect, columns_of, compute, enter
from crmlytics._orders import ORDER_ROLES, orders_of
from crmlytics._validation import as_days, as_moment, did_you_mean, warn
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.tables import Events, Transactions, check_same_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._frames import Engine
    from crmlytics._kernels.attribution import Journeys

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

BETWEEN = " > "
NO_TOUCH = "(no touchpoint)"
PATH_COLUMNS = ("path", "conversion_count", "non_conversion_count")
SHOWN = 30  # names of events that a hint is looked for among


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


def is_path_table(data: Any, *, caller: str) -> bool:
    """Whether a table holds paths already counted."""
    if isinstance(data, Events):
        return False
    names = columns_of(enter(data, caller=caller)[0])
    return "path" in names and "conversion_count" in names


# -- paths already counted -----------------------------------------------------------------------------------------


def read_paths(paths: Any, *, caller: str) -> Touches:
    """Read a table of paths: each is a journey that converted, and one that did not."""
    from crmlytics._kernels.attribution import Journeys

    frame, engine = enter(paths, caller=caller)
    names = columns_of(frame)
    missing = [name for name in PATH_COLUMNS if name not in names]
    if missing:
        msg = f"{caller}: a table of paths needs {list(PATH_COLUMNS)}; {missing} missing in {names}."
        raise MissingColumnsError(msg)
    rows = compute(paths, caller=caller).to_arrow()
    starts, channels, ids = _parsed(rows["path"], caller=caller)
    converting, others = (_counts(rows[name], name, caller=caller) for name in PATH_COLUMNS[1:])
    money = _money(rows, converting, caller=caller)
    if ((np.diff(starts) == 0) & (others > 0)).any():
        msg = f"{caller}: {NO_TOUCH!r} is the path of conversions without a touchpoint: expected no non-conversions."
        raise SchemaError(msg)
    kinds = np.concatenate([np.flatnonzero(converting > 0), np.flatnonzero(others > 0)])
    is_converted = np.arange(len(kinds)) < (converting > 0).sum()
    lengths = np.diff(starts)[kinds]
    begins = np.append(0, np.cumsum(lengths))
    places = np.repeat(starts[kinds] - begins[:-1], lengths) + np.arange(begins[-1])
    count = np.where(is_converted, converting[kinds], others[kinds])
    mean = np.divide(money, converting, out=np.zeros(len(money)), where=converting > 0)[kinds]
    journeys = Journeys(begins, channels[places], is_converted, np.where(is_converted, mean, 0.0), count)
    return Touches(journeys, ids, None, None, None, "amount" in names, 0, engine)


def _parsed(texts: Any, *, caller: str) -> tuple[Ints, Ints, list[str]]:
    """Split paths at ">": where each begins, the codes of channels and their names."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)) or texts.null_count:
        msg = f'{caller}: path must be text such as "email > search" in every row. Use "{NO_TOUCH}" for no touchpoint.'
        raise SchemaError(msg)
    texts = pc.utf8_trim_whitespace(texts.cast(pa.string()))
    lists = pc.split_pattern(texts, ">")
    bare = pc.equal(texts, NO_TOUCH).to_numpy(zero_copy_only=False)
    lengths = np.where(bare, 1, pc.list_value_length(lists).to_numpy()).astype(np.int64)
    steps = pc.utf8_trim_whitespace(lists.flatten())
    kept = ~np.repeat(bare, lengths)
    codes, ids = encode(steps.filter(pa.array(kept)))
    if len(ids) and ids[0] == "":
        msg = f"{caller}: a path has a step without a name. Expected channels joined by {BETWEEN!r}."
        raise SchemaError(msg)
    starts = np.append(0, np.cumsum(np.where(bare, 0, lengths)))
    return starts, codes.astype(np.int64), ids.tolist()


def _counts(values: Any, name: str, *, caller: str) -> Floats:
    count = np.nan_to_num(np.asarray(values.to_numpy(), np.float64), nan=-1.0)
    if (count < 0).any() or (count != np.floor(count)).any():
        raise SchemaError(f"{caller}: {name} must hold whole numbers of zero or more, got {count.min()}.")
    return count


def _money(rows: Any, converting: Floats, *, caller: str) -> Floats:
    if "amount" not in rows.column_names:
        return np.zeros(len(converting))
    money = np.nan_to_num(np.asarray(rows["amount"].to_numpy(), np.float64))
    if (money < 0).any() or ((money > 0) & (converting == 0)).any():
        msg = f"{caller}: amount must be zero or more, and zero on paths without a conversion."
        raise SchemaError(msg)
    return money


# -- events and orders ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Log:
    """Rows in order of customer and time: touches (``code`` a channel) or conversions (``value`` their money)."""

    owner: Ints
    moment: Ints
    code: Ints
    value: Floats

    @property
    def day(self) -> Ints:
        return self.moment // MICROSECONDS_A_DAY

    def at(self, rows: NDArray[Any]) -> _Log:
        return _Log(self.owner[rows], self.moment[rows], self.code[rows], self.value[rows])

    def in_order(self) -> _Log:
        return self.at(np.lexsort((self.value, self.code, self.moment, self.owner)))


def read_journeys(
    events: Any, transactions: Any, *, as_of: Any, since: Any, lookback: Any, conversion: Any, caller: str
) -> Touches:
    """Cut what each customer did into the ways to conversions, and ways that led to none."""
    days = as_days(lookback, name="lookback", caller=caller)
    until, begin = _period(as_of, since, caller=caller)
    table = Events.bind(events)
    orders = None if transactions is None else Transactions.bind(transactions)
    if orders is not None:
        check_same_kind({"events": table.engine, "transactions": orders.engine}, caller=caller)
        check_same_ids([table, orders], role="customer_id", caller=caller)
    rows = _event_rows(table.before(until), None if orders is not None else conversion, caller=caller)
    bought = None if orders is None else _order_rows(orders.before(until), caller=caller)
    owners = _customers(rows, bought)
    channel, ids = _codes(rows["channel"])
    names = _channel_names(ids, caller=caller)
    touches, costs = _touches(rows, owners[: len(channel)], channel, len(names), begin)
    conversions = _conversions(rows, bought, owners, caller=caller)
    journeys, apart, owner, undecided = _joined(touches, conversions, (until, begin, days))
    has_amount = bought is not None or table.has("amount")
    return Touches(journeys, names, apart, owner, costs, has_amount, undecided, table.engine)


def _period(as_of: Any, since: Any, *, caller: str) -> tuple[Any, int]:
    until = as_moment(as_of, caller=caller)
    if since is None:
        return until, np.iinfo(np.int64).min
    begin = as_moment(since, name="since", caller=caller)
    if begin >= until:
        raise SchemaError(f"{caller}: since must lie before as_of, got {begin} and {until}.")
    return until, int(np.datetime64(begin, "us").astype(np.int64))


def _event_rows(table: Events, conversion: Any, *, caller: str) -> Any:
    """Collect the events that touch or convert, as an Arrow table."""
    roles = ["customer_id", "timestamp", "channel", *(name for name in ("session_id", "cost") if table.has(name))]
    touches = ~nw.col("channel").is_null()
    if conversion is None:
        return collect(table.need(*roles, caller=caller).filter(touches).select(*roles)).to_arrow()
    roles += ["event", *(["amount"] if table.has("amount") else [])]
    plan = table.need(*roles, caller=caller)
    converts = _converts(table, conversion, caller=caller)
    wanted = [name for name in roles if name != "event"]
    found = collect(plan.filter(touches | converts).select(*wanted, converts=converts.cast(nw.Int64))).to_arrow()
    if not (found["converts"].to_numpy() > 0).any():
        known = collect(plan.select("event").unique().sort("event").head(SHOWN))["event"].to_list()
        msg = (
            f"{caller}: no event before as_of is called {conversion!r}.{did_you_mean(conversion, known)} "
            f"Events: {known}. Say conversion=..., or give transactions."
        )
        raise SchemaError(msg)
    return found


def _converts(table: Events, conversion: Any, *, caller: str) -> nw.Expr:
    is_text = table.id_kind("event") == "String"
    if isinstance(conversion, bool) or not isinstance(conversion, str if is_text else int):
        kind = "a word" if is_text else "a whole number"
        raise SchemaError(f"{caller}: conversion must be an event, which are {kind} here, got {conversion!r}.")
    return (nw.col("event") == conversion).fill_null(value=False)


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


def _channel_names(ids: NDArray[Any], *, caller: str) -> list[str]:
    names = [str(name) for name in ids.tolist()]
    if not names:
        raise SchemaError(f"{caller}: no event before as_of has a channel. Check as_of, and the audit of the events.")
    unfit = [name for name in names if ">" in name or name == NO_TOUCH]
    if unfit:
        raise SchemaError(f"{caller}: the channel {unfit[0]!r} cannot be told apart in a path. Rename it first.")
    return names


def _touches(rows: Any, owner: Ints, channel: Ints, size: int, begin: int) -> tuple[_Log, Floats | None]:
    """Return the touches, one a session where sessions are known, and what each channel cost since ``begin``."""
    moment = microseconds(rows["timestamp"].to_numpy())
    log = _Log(owner, moment, channel, np.zeros(len(owner)))
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


def _conversions(rows: Any, bought: Any, owners: Ints, *, caller: str) -> _Log:
    """Return the conversions; the moment of orders that are dated only is the end of their day."""
    if bought is None:
        found = np.flatnonzero(rows["converts"].to_numpy() > 0)
        moment = microseconds(rows["timestamp"].to_numpy())[found]
        amount = rows["amount"].to_numpy() if "amount" in rows.column_names else np.zeros(len(owners))
        amount, owner = np.nan_to_num(np.asarray(amount, np.float64)[found]), owners[found]
        if (amount < 0).any():
            raise SchemaError(f"{caller}: a conversion has the amount {amount.min()}; expected zero or more.")
    else:
        owner, moment = owners[rows.num_rows :], microseconds(bought["timestamp"].to_numpy())
        amount = np.asarray(bought["amount"].to_numpy(), np.float64)
        if (moment % MICROSECONDS_A_DAY == 0).all():
            moment = moment + MICROSECONDS_A_DAY - 1
    return _Log(owner, moment, np.zeros(len(owner), np.int64), amount).in_order()


def _joined(touches: _Log, conversions: _Log, window: tuple[Any, int, int]) -> tuple[Journeys, Floats, Ints, int]:
    """Give each touch its journey: that of the conversion it led to, or one that led to none.

    Returned are the journeys, the days of touches, the customer of each journey and the number of undecided touches.
    """
    from crmlytics._kernels.attribution import Journeys

    until, begin, lookback = window
    following = _following(touches, conversions)
    apart = conversions.day[following] - touches.day if len(conversions.owner) else np.zeros(len(touches.owner))
    leads = (following >= 0) & (apart <= lookback)
    today = int(np.datetime64(until, "D").astype(np.int64))
    young = ~leads & (today - touches.day <= lookback) & (touches.moment >= begin)
    alone = np.flatnonzero(~leads & ~young & (touches.moment >= begin))
    counted = np.flatnonzero(conversions.moment >= begin)
    number = np.full(len(conversions.owner) + 1, -1)
    number[counted] = np.arange(len(counted))
    journey = np.where(leads, number[following], -1)
    journey[alone] = len(counted) + _runs(touches.at(alone), lookback)
    kept = np.flatnonzero(journey >= 0)
    kept = kept[np.argsort(journey[kept], kind="stable")]
    total = max(len(counted), int(journey.max(initial=-1)) + 1)
    starts = np.append(0, np.cumsum(np.bincount(journey[kept], minlength=total)))
    owner = np.zeros(total, np.int64)
    owner[journey[kept]] = touches.owner[kept]
    owner[: len(counted)] = conversions.owner[counted]
    is_converted = np.arange(total) < len(counted)
    amount = np.append(conversions.value[counted], np.zeros(total - len(counted)))
    journeys = Journeys(starts, touches.code[kept], is_converted, amount, np.ones(total))
    days = np.where(leads, apart, 0.0)[kept]
    return journeys, days, owner, int(young.sum())


def _following(touches: _Log, conversions: _Log) -> Ints:
    """Return the next conversion of each touch's customer, at its moment or after it, or -1."""
    size = len(touches.owner)
    owner = np.concatenate([touches.owner, conversions.owner])
    kind = np.arange(len(owner)) >= size
    order = np.lexsort((kind, np.concatenate([touches.moment, conversions.moment]), owner))
    places = np.where(kind[order], np.arange(len(order)), len(order))
    ahead = np.append(order, -1)[np.minimum.accumulate(places[::-1])[::-1]]
    found = np.empty(len(order), np.int64)
    found[order] = np.where((ahead >= 0) & (owner[ahead] == owner[order]), ahead - size, -1)
    return found[:size]


def _runs(touches: _Log, lookback: int) -> Ints:
    """Give numbers to the runs of touches of one customer that lie no further apart than ``lookback``."""
    if not len(touches.owner):
        return np.zeros(0, np.int64)
    breaks = (np.diff(touches.owner) != 0) | (np.diff(touches.day) > lookback)
    return np.append(0, np.cumsum(breaks))
