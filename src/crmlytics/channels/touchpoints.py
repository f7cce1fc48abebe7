"""Where channels are touched: before, on and after the day of an order, beside what the same customers do otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from crmlytics._cautions import cautions
from crmlytics._frames import check_same_kind, collect, day_number
from crmlytics._kernels.ratios import over
from crmlytics._orders import ORDER_ROLES, orders_of
from crmlytics._sales import named
from crmlytics._validation import as_days, as_moment, check_fraction
from crmlytics.channels._reading import CHANNEL, FEW, sorted_names, sums
from crmlytics.exceptions import SchemaError
from crmlytics.snapshots._contacts import not_held_out
from crmlytics.tables import Contacts, Events, Transactions, check_same_ids

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics._frames import Engine
    from crmlytics.channels._reading import Codes, Flags, Vector

    Columns = dict[str, NDArray[Any]]

CALLER = "touchpoint_table"
PHASES = BEFORE, AT, AFTER = ("before", "at", "after")
OUTSIDE = 3
SPAN = 10**7  # days: more than any data have
SCHEMA = nw.Schema({
    CHANNEL: nw.String(), "phase": nw.String(), "order_count": nw.Int64(), "reached_order_count": nw.Int64(),
    "reached_share": nw.Float64(), "reached_share_low": nw.Float64(), "reached_share_high": nw.Float64(),
    "touch_count": nw.Int64(), "touches_per_order": nw.Float64(), "phase_days": nw.Float64(),
    "usual_touches": nw.Float64(), "lift": nw.Float64(), "lift_low": nw.Float64(), "lift_high": nw.Float64(),
    "caution": nw.String(),
})  # fmt: skip
NO_CAUSE = (
    "Association, not effect: who is about to buy looks around, and who has bought looks after it; the order may bring "
    "the touch."
)


def touchpoint_table(
    events: Events | Contacts | Any,
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    before: str | dt.timedelta = "30d",
    after: str | dt.timedelta = "30d",
    control: Any = None,
    confidence: float = 0.95,
) -> Any:
    r"""Tell how often each channel is touched before, on and after the day of an order, beside what is usual.

    Parameters
    ----------
    events : Events, Contacts or dataframe of events
        Needs ``customer_id``, ``timestamp`` and ``channel``. An event with a channel is a touch; those of one
        ``session_id`` and channel, where it is bound, are one, on the day of the first. Of ``Contacts`` every row with
        a channel is one, but for those held out (``arm``).
    transactions : Transactions or dataframe of the same kind, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``. Orders of a customer on one day are one here.
    as_of : date
        Only what was before it is read.
    before, after : duration such as "30d", default "30d"
        How many calendar days before and after the day of an order belong to it.
    control : str or int, optional
        The arm of those held out. By default every usual name of it, such as "control", "holdout" or "not contacted".
    confidence : float, default 0.95

    Returns
    -------
    dataframe of the kind that came in, three rows per channel: "before", "at" and "after", channels sorted
        ``channel``, ``phase`` (String), ``order_count`` (Int64, days with an order whose whole windows lie in the data;
        the same on every row), ``reached_order_count`` (Int64, those with a touch in the phase), ``reached_share``
        (Float64, with ``reached_share_low`` and ``_high``: Wilson's, with customers as clusters), ``touch_count``
        (Int64, touches in the phase), ``touches_per_order`` (Float64), ``phase_days`` (Float64, calendar days of the
        phase, an order), ``usual_touches`` (Float64, what as many days of the same customers hold outside all phases),
        ``lift`` (Float64, how many times as often as usual), ``lift_low``, ``lift_high`` (null without a touch in the
        phase, and where one customer makes the figure; all four are null where no customer was touched on a day
        outside), ``caution`` (String).

    Raises
    ------
    SchemaError, MissingColumnsError
        When a role is missing, tables are of different kinds, no event has a channel, or no order has whole windows.

    Notes
    -----
    **Every day of a customer is in one phase.** "At" is the calendar day of an order, and so is a session of that day;
    other days are "before" if an order follows within ``before`` days, else "after" if one lies no more than ``after``
    days back, else outside. A touch belongs to one order. Frequent buyers so have shorter phases, as ``phase_days``
    says. An order counts when the first touch of the data lies ``before`` days before it or earlier, and ``as_of``
    more than ``after + before`` days after it: later orders, which nobody knows yet, would claim its days.

    **Usual** is what the same customer does on days outside all phases: who is touched often is compared with nobody
    else. ``lift`` looks at the days from a customer's first order, and what is before it left out, to the day before
    the last that anything is known of the customer; earlier and later nobody knows whether there was one. It is the
    ratio of rates of Mantel and Haenszel, over customers :math:`i` with :math:`a_i` touches on :math:`d_i` days of the
    phase and :math:`T_i` on :math:`D_i` days outside,
    :math:`\sum a_i D_i / (d_i + D_i) \,/\, \sum T_i d_i / (d_i + D_i)`; ``usual_touches`` is the rate outside, so
    weighted, times ``phase_days``. Its interval is Student's on the scale of logarithms, each customer one observation:
    with :math:`e_i` the customer's share of the numerator less that of the denominator, the variance is
    :math:`\sum e_i^2`, with :math:`(\sum e_i^2)^2 / \sum e_i^4 - 1` degrees of freedom: few, where few customers make
    the figure. Customers without a day outside say nothing of it. ``touches_per_order`` is of all orders, unweighted:
    divided by ``usual_touches`` it is not ``lift``, and would mix customers.

    **When not to use it**: to say that a channel sells. Touches before an order are as much sign as cause.

    References
    ----------
    N. Mantel and W. Haenszel (1959), Journal of the National Cancer Institute 22. H. J. Whitaker et al. (2006),
    "Tutorial in biostatistics: the self-controlled case series method", Statistics in Medicine 25.

    Examples
    --------
    A visit every ten days, and two more in the five days before the second order, of 21 March.

    >>> import pandas as pd
    >>> from crmlytics.channels.touchpoints import touchpoint_table
    >>> orders = pd.DataFrame({"customer_id": 1, "order_id": [1, 2], "amount": 9.0})
    >>> orders["timestamp"] = pd.to_datetime(["2024-01-01", "2024-03-21"])
    >>> days = [*pd.date_range("2024-01-01", "2024-05-30", freq="10D"), "2024-03-16", "2024-03-18"]
    >>> visits = pd.DataFrame({"customer_id": 1, "event": "visit", "channel": "web", "timestamp": pd.to_datetime(days)})
    >>> table = touchpoint_table(visits, orders, as_of="2024-06-01", before="5d", after="5d")
    >>> table[["phase", "touch_count", "touches_per_order", "usual_touches", "lift"]].round(2)
        phase  touch_count  touches_per_order  usual_touches  lift
    0  before            2                2.0            0.5   4.0
    1      at            1                1.0            0.1  10.0
    2   after            0                0.0            0.5   0.0
    """
    end = as_moment(as_of, caller=CALLER)
    lengths = as_days(before, name=BEFORE, caller=CALLER), as_days(after, name=AFTER, caller=CALLER)
    level = check_fraction(confidence, name="confidence", caller=CALLER)
    log = _read(events, transactions, end, control)
    phases = _Phases.of(log, *lengths)
    columns = _reached(log, phases, level)
    compared = _Compared.of(log, phases, *lengths)
    columns |= _lifts(log, phases, compared, level)
    columns["caution"] = _cautions(columns)
    return log.engine.from_columns({name: columns[name] for name in SCHEMA}, SCHEMA)


# -- what came in --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Log:
    """Touches and orders of customers who ordered.

    Attributes
    ----------
    names : list of str
        The channels.
    customers : int
    owner, day, channel : int64 arrays
        Of each touch: the number of the customer, the day from 1970-01-01, the number of the channel.
    order_owner, order_day : int64 arrays
        Sorted, one entry a customer and day with an order.
    first_touch, begin, end : int
        The first day with a touch, the first that both tables know, and the day after the last.
    """

    engine: Engine
    names: list[str]
    customers: int
    owner: Codes
    day: Codes
    channel: Codes
    order_owner: Codes
    order_day: Codes
    first_touch: int
    begin: int
    end: int


def _read(events: Any, transactions: Any, end: dt.datetime, control: Any) -> _Log:
    touching: Events | Contacts = events if isinstance(events, Contacts) else Events.bind(events)
    table = Transactions.bind(transactions)
    check_same_kind({"events": touching.engine, "transactions": table.engine}, caller=CALLER)
    check_same_ids([touching, table], role="customer_id", caller=CALLER)
    touches, bought = _touches(touching.before(end), control), _orders(table.before(end))
    if not len(touches) or not len(bought):
        what = "order lies" if len(touches) else "touch with a channel lies"
        raise SchemaError(f"{CALLER}: no {what} before as_of={end:%Y-%m-%d %H:%M}. Check as_of and the data.")
    first_touch, first_order = int(touches["day"].min()), int(bought["day"].min())
    customer, ids = pd.factorize(bought["customer_id"], sort=True)
    names = sorted_names(touches[CHANNEL], caller=CALLER)
    number = {name: place for place, name in enumerate(names)}
    owner = pd.Index(ids).get_indexer(touches["customer_id"].astype(bought["customer_id"].dtype))
    kept, rows = owner >= 0, np.lexsort((bought["day"].to_numpy(), customer))
    channel = np.array([number[name] for name in touches[CHANNEL]], np.int64)
    return _Log(
        table.engine, names, len(ids), owner[kept].astype(np.int64), touches["day"].to_numpy(np.int64)[kept],
        channel[kept], customer[rows].astype(np.int64), bought["day"].to_numpy(np.int64)[rows],
        first_touch, max(first_touch, first_order), int(np.datetime64(end, "D").astype(np.int64)),
    )  # fmt: skip


def _touches(table: Events | Contacts, control: Any) -> pd.DataFrame:
    """Return the customer, channel and day of each touch."""
    more = [name for name in ("session_id", "arm") if table.has(name)]
    lines = table.need("customer_id", "timestamp", CHANNEL, *more, caller=CALLER)
    lines = lines.with_columns(named(CHANNEL), day=day_number(nw.col("timestamp"))).filter(~nw.col(CHANNEL).is_null())
    if "arm" in more:
        lines = lines.filter(not_held_out(control))
    if "session_id" not in more:
        return collect(lines.select("customer_id", CHANNEL, "day")).to_pandas()
    alone = collect(lines.filter(nw.col("session_id").is_null()).select("customer_id", CHANNEL, "day")).to_pandas()
    of_session = lines.filter(~nw.col("session_id").is_null()).group_by("customer_id", "session_id", CHANNEL)
    found = collect(of_session.agg(day=nw.col("day").min())).to_pandas()
    return pd.concat([found[["customer_id", CHANNEL, "day"]], alone], ignore_index=True) if len(alone) else found


def _orders(table: Transactions) -> pd.DataFrame:
    plan = orders_of(table.need(*ORDER_ROLES, caller=CALLER), "customer_id").filter(nw.col("is_order") == 1)
    return collect(plan.select("customer_id", day=day_number(nw.col("ordered_at"))).unique()).to_pandas()


# -- phases --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Phases:
    """Whose each touch is, and how long phases are.

    Attributes
    ----------
    phase : int64 array
        Of each touch: 0 before, 1 at, 2 after, 3 outside and after an order, -1 not counted.
    order : int64 array
        The place of the order that a touch belongs to.
    counted : bool array
        Whether the whole windows of each order lie in the data.
    days : float64 array, shape (orders, 3)
        Days of the phases of each order.
    """

    phase: Codes
    order: Codes
    counted: Flags
    days: Vector

    @classmethod
    def of(cls, log: _Log, before: int, after: int) -> _Phases:
        """Give each day of a customer its phase."""
        counted = (log.order_day - before >= log.first_touch) & (log.order_day + after + before < log.end)
        if not counted.any():
            msg = (
                f"{CALLER}: no order has touches known {before:,} days before it, and {after + before:,} days of data "
                f'after it. Take shorter windows, such as before="{max(1, before // 2)}d".'
            )
            raise SchemaError(msg)
        phase, order = _dealt(log, before, after)
        is_counted = (phase == OUTSIDE) | counted[order]
        days = _phase_days(log, before, after)
        return cls(np.where(is_counted, phase, -1), order, counted, days)


def _phase_days(log: _Log, before: int, after: int) -> Vector:
    """Return how many days of each order are before, at and after it: those that no other order claims."""
    owner, day = log.order_owner, log.order_day
    between = np.where(owner[1:] == owner[:-1], np.diff(day) - 1, SPAN)
    ahead, behind = np.append(SPAN, between), np.append(between, SPAN)
    own_before = np.minimum(ahead, before)
    own_after = np.minimum(np.maximum(behind - before, 0), after)
    return np.column_stack([own_before, np.ones(len(day)), own_after]).astype(np.float64)


def _dealt(log: _Log, before: int, after: int) -> tuple[Codes, Codes]:
    """Return the phase of each touch, and the order it belongs to; outside, the order before it."""
    keys, asked = log.order_owner * SPAN + log.order_day, log.owner * SPAN + log.day
    place = np.searchsorted(keys, asked)
    following, previous = np.minimum(place, len(keys) - 1), np.maximum(place - 1, 0)
    has_next = (place < len(keys)) & (log.order_owner[following] == log.owner)
    has_last = (place > 0) & (log.order_owner[previous] == log.owner)
    ahead = np.where(has_next, log.order_day[following] - log.day, SPAN)
    back = np.where(has_last, log.day - log.order_day[previous], SPAN)
    phase = np.select([ahead == 0, ahead <= before, back <= after, has_last], [1, 0, 2, OUTSIDE], -1)
    return phase.astype(np.int64), np.where(ahead <= before, following, previous)


@dataclass(frozen=True, slots=True, eq=False)
class _Compared:
    """The days that phases are compared on: from each customer's first order to the day before the last known one.

    Attributes
    ----------
    touch : bool array
        Which touches lie on them.
    days : float64 array, shape (customers, 3)
        Of the phases of orders that count.
    outside : float64 array, shape (customers,)
        Of no phase, and surely so: an order that nobody knows yet would be later.
    """

    touch: Flags
    days: Vector
    outside: Vector

    @classmethod
    def of(cls, log: _Log, phases: _Phases, before: int, after: int) -> _Compared:
        """Find the days; the last known one is left out, since it is known for what happened on it."""
        last = np.full(log.customers, -1)
        for owner, day in ((log.owner, log.day), (log.order_owner, log.order_day)):
            np.maximum.at(last, owner, day)
        owner, day = log.order_owner, log.order_day
        is_first = np.diff(owner, prepend=-1) > 0
        days = phases.days.copy()
        days[is_first, 0] = 0  # nobody knows since when who had not ordered was there
        days[:, 1] = day < last[owner]
        days[:, 2] = np.clip(last[owner] - 1 - day, 0, days[:, 2])
        days[~phases.counted] = 0
        begins = np.maximum(day + after + 1, log.first_touch)
        stops = np.where(np.roll(is_first, -1), SPAN, np.roll(day, -1) - before - 1)
        until = np.minimum(last - 1, log.end - before - 1)
        outside = sums(owner, np.maximum(np.minimum(stops, until[owner]) - begins + 1, 0), log.customers)
        is_out = phases.phase == OUTSIDE
        touch = (phases.phase >= 0) & (log.day < last[log.owner]) & (~is_out | (log.day <= until[log.owner]))
        touch &= ~((phases.phase == 0) & is_first[phases.order])
        summed = np.column_stack([sums(owner, column, log.customers) for column in days.T])
        return cls(touch, summed, outside)


# -- figures -------------------------------------------------------------------------------------------------------


def _reached(log: _Log, phases: _Phases, level: float) -> Columns:
    width, orders = len(log.names), int(phases.counted.sum())
    rows = width * len(PHASES)
    of_order = np.flatnonzero((phases.phase >= 0) & (phases.phase < OUTSIDE))
    cell = log.channel[of_order] * len(PHASES) + phases.phase[of_order]
    touches = np.bincount(cell, minlength=rows)
    place = (np.cumsum(phases.counted) - 1)[phases.order[of_order]]
    reached = [_share(place[cell == row], log.order_owner[phases.counted], level) for row in range(rows)]
    count, low, high = (np.array(values) for values in zip(*reached, strict=True))
    return {
        CHANNEL: np.repeat(np.array(log.names, object), 3), "phase": np.tile(np.array(PHASES, object), width),
        "order_count": np.full(rows, orders), "reached_order_count": count,
        "reached_share": count / orders, "reached_share_low": low, "reached_share_high": high, "touch_count": touches,
        "touches_per_order": touches / orders, "phase_days": np.tile(phases.days[phases.counted].mean(axis=0), width),
    }  # fmt: skip


def _share(places: Codes, owner: Codes, level: float) -> tuple[int, float, float]:
    """Count the orders at some places, and say how sure their share is where a customer's orders are alike."""
    from crmlytics._kernels.clustered_means import group_means

    hit = np.zeros(len(owner))
    hit[places] = 1.0
    low, high = group_means(hit, np.zeros(len(owner), np.int64), 1, cluster=owner).share_interval(level)
    return int(hit.sum()), float(low[0]), float(high[0])


def _lifts(log: _Log, phases: _Phases, compared: _Compared, level: float) -> Columns:
    """Return how many times as often as usual, and how sure that is."""
    width, size = len(log.names), log.customers
    cell = ((log.owner * width + log.channel) * 4 + phases.phase)[compared.touch]
    count = np.bincount(cell, minlength=size * width * 4).reshape(size, width, 4).astype(np.float64)
    days, outside = compared.days[:, None, :], compared.outside[:, None, None]
    share_out, share_in = np.nan_to_num(over(outside, days + outside)), np.nan_to_num(over(days, days + outside))
    inside = (count[:, :, :3] * share_out).reshape(size, -1)
    usual = (count[:, :, 3:] * share_in).reshape(size, -1)
    exposure = np.tile((days * share_out).sum(axis=0).ravel(), width)
    expected = usual.sum(axis=0)
    phase_days = np.tile(phases.days[phases.counted].mean(axis=0), width)
    low, high = _bounds(inside, usual, level)
    return {
        "usual_touches": np.where(expected > 0, over(expected, exposure) * phase_days, np.nan),
        "lift": over(inside.sum(axis=0), expected), "lift_low": low, "lift_high": high,
    }  # fmt: skip


def _bounds(inside: Vector, usual: Vector, level: float) -> tuple[Vector, Vector]:
    """Return bounds of ratios of sums over rows, one a column; missing where a sum is nothing, or one row makes all."""
    from scipy.special import stdtrit

    above, below = inside.sum(axis=0), usual.sum(axis=0)
    parts = np.round(over(inside, above) - over(usual, below), 12)
    squares, rows = (parts**2).sum(axis=0), ((inside + usual) > 0).sum(axis=0)
    freedom = np.maximum(over(squares**2, (parts**4).sum(axis=0)) - 1, 1)
    reach = stdtrit(freedom, (1 + level) / 2) * np.sqrt(squares * over(rows, rows - 1))
    return over(above, below) * np.exp(-reach), over(above, below) * np.exp(reach)


def _cautions(columns: Columns) -> NDArray[Any]:
    return cautions(len(columns["lift"]), [
        (columns["order_count"] < FEW, f"Fewer than {FEW} orders."),
        (np.isnan(columns["lift"]), "Nobody was touched outside the phases: what is usual is not known."),
        (columns["phase"] == AT, "The order may have been placed in the touch itself."),
    ], first=NO_CAUSE)  # fmt: skip
