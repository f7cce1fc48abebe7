"""The early-warning list that a sales team works with: who fell silent, what was tried, who is lost, who came back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect, day_number, enter
from crmlytics._purchase_days import EPOCH, as_moments, tell_silence
from crmlytics._segments import enter_segments
from crmlytics._validation import as_days, as_moment, check_amount, check_count
from crmlytics.churn._habits import Histories, read_histories
from crmlytics.churn._watch import COLUMNS, NEVER, Watch, column_of, read_watch
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

LEAST_DAYS = 7  # nobody is warned of within a week, however often they buy: holidays are no loss
FIXED, OWN = "fixed period", "own interval"


def watchlist(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    previous: Any = None,
    silent_for: str | dt.timedelta | None = "180d",
    overdue_factor: float | None = 2.0,
    min_purchase_count: int = 3,
    active_within: str | dt.timedelta | None = "365d",
    segments: Any = None,
) -> Any:
    """List the customers who fell silent, to be worked on until each has come back or is confirmed as lost.

    A customer is warned of when there was no order for longer than a fixed period, or for longer than a multiple of the
    customer's own usual interval, whichever passes first. The table is kept and given back to the next run as
    ``previous``: it remembers what was tried (:func:`defer`), who was lost (:func:`confirm_lost`), and finds out who
    ordered again.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``timestamp`` and ``amount``; with ``product_id`` the last product is told.
    as_of : date
        The day of the run; lines on or after it are left out, so nothing leaks from the future.
    previous : dataframe, optional
        The table that the last run, :func:`defer` or :func:`confirm_lost` gave, of any kind; it may have been a CSV or
        Excel file in between. None: a new list.
    silent_for : duration such as "90d", or None
        The fixed period: warn after more days than this without an order. None: only by the customer's own interval.
    overdue_factor : float or None, default 2.0
        Warn after more than this many usual intervals of the customer. None: only by the fixed period.
    min_purchase_count : int, default 3
        The fewest days with a purchase that make a habit; whoever has fewer is warned of by the fixed period only.
    active_within : duration such as "365d", or None
        Whoever ordered last before that is no longer put on the list: the first list would be mostly old losses. Who
        is on it already stays. None: everybody.
    segments : Customers or dataframe of the same kind, optional
        Needs ``customer_id`` and ``segment``.

    Returns
    -------
    dataframe of the kind of ``transactions``, one row per warning, sorted by ``customer_id`` and ``warned_at``
        Read it by ``priority``. Customers who came back and fell silent again have a row for each time.

        *What is to be done*: ``customer_id`` (Int64 or String); ``warned_at`` (Datetime, the ``as_of`` of the run that
        put them on the list); ``warning_count`` (Int64, 1 for the first time); ``state`` (String, "warned": nothing was
        tried, or the deferral is over; "deferred": a measure was taken and runs; "lost": confirmed; "won back": ordered
        again); ``priority`` (Int64, 1 first: those warned, then deferred, lost and won back, each by
        ``at_stake_amount``).

        *Why*: ``last_order_at`` (Datetime, the day of the last order before the warning); ``silent_days`` (Int64,
        calendar days from it to ``as_of``, or to the day they came back); ``usual_interval_days`` (Float64, the
        customer's median interval drawn towards everybody's, as in
        :func:`~crmlytics.sequences.overdue_table`; null if nobody bought twice); ``rule`` (String, "fixed period" or
        "own interval", the one that passed first).

        *What is at stake*: ``purchase_count`` (Int64, days with a purchase); ``tenure_days`` (Int64, from the first
        order to the last); ``total_amount`` (Float64); ``at_stake_amount`` (Float64, what they brought in the 365 days
        up to the last order, returns taken off); ``last_product`` (String, the id of what they spent most on in the
        last order; null without ``product_id``); ``segment`` (String).

        *What was done*: ``measure``, ``measure_reason`` (String), ``measure_at``, ``deferred_until`` (Datetime),
        ``lost_at`` (Datetime), ``lost_reason`` (String), ``won_back_at`` (Datetime, the day of the first order after
        the warning), all null until then; ``as_of`` (Datetime, of the last run, the same in every row).

        What says why and what is at stake is told as of the warning, and stays; only ``silent_days`` goes on.

    Raises
    ------
    SchemaError, MissingColumnsError
        For a date or duration that cannot be read; when both rules are None; when ``previous`` is of a later run, or
        was changed by hand against the rules (a loss without a measure).

    Warns
    -----
    DataQualityWarning
        When nobody bought anything for more than a week before ``as_of``, and for longer than ever before; when
        ``previous`` has columns that are not the list's.

    Notes
    -----
    An order is a day on which more was bought than returned (or goods were free); what comes back on another day undoes
    none. Nobody is warned of within a week of their last order. The same run twice changes nothing.

    *How early, how long?* Online Retail, lists as of 2011-09-10 (3,367 customers): those silent for more than 90 days
    are 43 % of all, and 18 % of them ordered within 30 days without anybody's doing; more than 180 days: 17 %, and
    12 %. By twice the own interval it is 6 %, at a median silence of 108 days, and 35 % come back by themselves. Where
    people buy weekly, twice is early: of the grocery customers warned of on 2017-10-01 (Complete Journey) 78 % were
    back within the month, at four times the own interval 62 %, at six times 48 %. So a customer won back is not yet one
    that was won by the measure: to know what measures do, hold some customers out.

    When not to use: for the probability that a customer leaves take a churn model. For customers under contract, who
    give notice, there is :func:`contract_table`.

    Examples
    --------
    >>> import pandas as pd
    >>> days = {"a": [0, 7, 14, 20, 28, 35], "b": [0, 30, 62], "c": [55]}
    >>> orders = pd.DataFrame([(who, day) for who in days for day in days[who]], columns=["customer_id", "day"])
    >>> orders["timestamp"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(orders["day"], unit="D")
    >>> watch = watchlist(orders.assign(amount=10.0), as_of="2024-03-06")
    >>> watch[["customer_id", "state", "silent_days", "usual_interval_days", "rule"]].round(1)
      customer_id   state  silent_days  usual_interval_days          rule
    0           a  warned           30                  7.6  own interval
    """
    caller = "watchlist"
    moment = as_moment(as_of, caller=caller)
    _check_rules(silent_for, overdue_factor, active_within, caller=caller)
    check_count(min_purchase_count, name="min_purchase_count", caller=caller, least=2)
    table = Transactions.bind(transactions)
    kept = None if previous is None else _read_previous(previous, table, moment, caller=caller)
    histories = read_histories(table, moment, caller=caller)
    tell_silence(histories.purchases, as_of, caller=caller)
    kept = None if kept is None else _won_back(kept, histories)
    usual = histories.usual_interval_days()
    limit, rule = _limits(histories, usual, silent_for, overdue_factor, min_purchase_count)
    silent = (moment - EPOCH).days - histories.purchases.last()
    most = np.inf if active_within is None else as_days(active_within, name="active_within", caller=caller)
    on_list = set() if kept is None else set(kept["customer_id"][kept.is_open].tolist())
    is_new = (silent > limit) & (silent <= most)
    is_new &= np.array([customer not in on_list for customer in histories.customer_ids.tolist()])
    rows = np.flatnonzero(is_new)
    fresh = _described(histories, rows) | {"usual_interval_days": usual[rows], "rule": rule[rows]}
    fresh["last_product"] = _last_products(table.before(moment), histories, rows, caller=caller)
    fresh["segment"] = _segments(segments, table, fresh["customer_id"], caller=caller)
    watch = _together(kept, fresh, moment, has_numbers=table.id_kind("customer_id") == "Int64")
    return watch.settled().to_native(table.engine)


# -- the rules -----------------------------------------------------------------------------------------------------


def _check_rules(silent_for: Any, overdue_factor: Any, active_within: Any, *, caller: str) -> None:
    if silent_for is None and overdue_factor is None:
        msg = f'{caller}: no rule is left. Give silent_for="180d", overdue_factor=2.0, or both.'
        raise SchemaError(msg)
    if overdue_factor is not None and check_amount(overdue_factor, name="overdue_factor", caller=caller) < 1:
        msg = f"{caller}: overdue_factor must be 1 or more, got {overdue_factor!r}: nobody is late before it is time."
        raise SchemaError(msg)
    days = 0 if silent_for is None else as_days(silent_for, name="silent_for", caller=caller)
    if active_within is not None and days >= as_days(active_within, name="active_within", caller=caller):
        msg = (
            f"{caller}: active_within={active_within!r} leaves out whoever the fixed period silent_for={silent_for!r} "
            "finds. Give a longer active_within, or None."
        )
        raise SchemaError(msg)


def _limits(
    histories: Histories, usual: NDArray[np.float64], silent_for: Any, overdue_factor: Any, min_purchase_count: int
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return after how many silent days each customer is warned of, and by which rule."""
    fixed = np.inf if silent_for is None else float(as_days(silent_for, name="silent_for", caller="watchlist"))
    has_habit = (histories.purchases.counts() >= min_purchase_count) & np.isfinite(usual) & (overdue_factor is not None)
    own = np.where(has_habit, np.maximum((overdue_factor or 0.0) * usual, LEAST_DAYS), np.inf)
    rule = np.where(own < fixed, np.array(OWN, object), np.array(FIXED, object))
    return np.minimum(own, max(fixed, LEAST_DAYS)), rule


def _won_back(kept: Watch, histories: Histories) -> Watch:
    """Close the warnings of customers who ordered after the last order known then, on the day they did."""
    place = {customer: number for number, customer in enumerate(histories.customer_ids.tolist())}
    last = kept["last_order_at"].astype("datetime64[D]").astype(np.int64)
    rows, days = [], []
    for row in np.flatnonzero(kept.is_open).tolist():
        number = place.get(kept["customer_id"][row])
        if number is None:  # no longer in the data
            continue
        bought = histories.days_of(number)
        later = int(np.searchsorted(bought, last[row], side="right"))
        if later < len(bought):
            rows.append(row)
            days.append(bought[later])
    return kept.changed(np.array(rows, np.int64), won_back_at=as_moments(np.array(days, np.int64)))


# -- rows of the list ----------------------------------------------------------------------------------------------


def _described(histories: Histories, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    purchases = histories.purchases
    first, last = purchases.day[purchases.starts[:-1]][rows], purchases.last()[rows]
    return {
        "customer_id": column_of("customer_id", histories.customer_ids[rows].tolist()),
        "last_order_at": as_moments(last),
        "purchase_count": purchases.counts()[rows],
        "tenure_days": last - first,
        "total_amount": histories.total_amount[rows],
        "at_stake_amount": histories.year_amount[rows],
    }


def _together(kept: Watch | None, fresh: dict[str, NDArray[Any]], moment: dt.datetime, *, has_numbers: bool) -> Watch:
    """Put new warnings below those that are kept."""
    rows = len(fresh["customer_id"])
    now = np.full(rows, np.datetime64(moment, "us"))
    earlier: dict[Any, int] = {}
    for customer in [] if kept is None else kept["customer_id"].tolist():
        earlier[customer] = earlier.get(customer, 0) + 1
    counts = [earlier.get(customer, 0) + 1 for customer in fresh["customer_id"].tolist()]
    fresh |= {"warned_at": now, "as_of": now, "warning_count": np.array(counts, np.int64)}
    empty = {"datetime64[us]": NEVER, "int64": 0, "float64": np.nan}
    blank = {name: column_of(name, []) for name in COLUMNS}
    columns = {
        name: fresh.get(name, np.full(rows, empty.get(str(column.dtype)), column.dtype))
        for name, column in blank.items()
    }
    if kept is not None:
        kept = kept.changed(np.arange(len(kept)), as_of=np.datetime64(moment, "us"))
        columns = {name: np.concatenate([kept[name], columns[name]]) for name in COLUMNS}
    return Watch(columns, has_numbers)


def _last_products(table: Transactions, histories: Histories, rows: NDArray[np.int64], *, caller: str) -> NDArray[Any]:
    """Return what each customer spent most on, on the day of the last order; of equals the first by id."""
    customers = histories.customer_ids[rows].tolist()
    if not table.has("product_id") or not customers:
        return column_of("last_product", [None] * len(customers))
    kind = nw.Int64() if table.id_kind("customer_id") == "Int64" else nw.String()
    wanted = {"customer_id": customers, "day": histories.purchases.last()[rows].tolist()}
    days = table.engine.from_columns(wanted, nw.Schema({"customer_id": kind, "day": nw.Int64()}))
    lines = table.need("customer_id", "timestamp", "product_id", "amount", caller=caller)
    lines = lines.select("customer_id", "product_id", "amount", day=day_number(nw.col("timestamp")))
    bought = lines.join(enter(days, caller=caller)[0], on=["customer_id", "day"], how="inner")
    spent = bought.group_by("customer_id", "product_id").agg(nw.col("amount").sum())
    found = collect(spent.filter(~nw.col("product_id").is_null()).sort("customer_id", "product_id"))
    best: dict[Any, tuple[float, Any]] = {}
    for customer, product, amount in found.select("customer_id", "product_id", "amount").rows():
        if customer not in best or amount > best[customer][0]:
            best[customer] = (amount, product)
    return column_of("last_product", [str(best[c][1]) if c in best else None for c in customers])


def _segments(segments: Any, table: Transactions, customers: NDArray[Any], *, caller: str) -> NDArray[Any]:
    if segments is None:
        return column_of("segment", [None] * len(customers))
    found = collect(enter_segments(segments, table, caller=caller))
    of_customer = dict(zip(found["customer_id"].to_list(), found["segment"].to_list(), strict=True))
    return column_of("segment", [of_customer.get(customer) for customer in customers.tolist()])


# -- the kept table ------------------------------------------------------------------------------------------------


def _read_previous(previous: Any, table: Transactions, moment: dt.datetime, *, caller: str) -> Watch:
    kept, _ = read_watch(previous, caller=caller)
    if not len(kept):
        return kept
    for name in ("as_of", "measure_at", "lost_at"):
        known = kept[name][~np.isnat(kept[name])]
        latest = known.max().item() if len(known) else moment
        if latest > moment and (name == "as_of" or latest.date() > moment.date()):
            msg = (
                f"{caller}: previous knows of {latest} ({name}), which lies after as_of={str(moment)!r}. Runs go "
                "forward in time: give the list of an earlier run, or a later as_of."
            )
            raise SchemaError(msg)
    return kept.changed(np.arange(len(kept)), customer_id=_ids_like(kept["customer_id"], table, caller=caller))


def _ids_like(ids: NDArray[Any], table: Transactions, *, caller: str) -> NDArray[Any]:
    """Give ids the kind they have in the transactions: a file may turn whole numbers into text, and text into numbers.

    Text that was read as numbers is refused: leading zeros are gone.
    """
    wanted, values = table.id_kind("customer_id"), ids.tolist()
    if wanted == "Int64" and all(isinstance(value, int) or _is_whole(value) for value in values):
        return column_of("customer_id", [int(value) for value in values])
    if wanted == "String" and all(isinstance(value, str) for value in values):
        return ids
    msg = (
        f"{caller}: customer_id holds {'text' if isinstance(values[0], str) else 'whole numbers'} such as "
        f"{values[0]!r} in previous and is {wanted} in transactions. A file may have dropped leading zeros: read it "
        'with text ids, such as pandas.read_csv(path, dtype={"customer_id": str}).'
    )
    raise SchemaError(msg)


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal() and str(int(text)) == text
