"""The early-warning list that a sales team works with: who fell silent, what was tried, who is lost, who came back."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect, day_number, enter
from crmlytics._purchase_days import EPOCH, as_moments, tell_silence
from crmlytics._segments import enter_segments
from crmlytics._validation import as_days, as_moment, check_amount, check_count, warn
from crmlytics.churn._habits import Histories, read_histories
from crmlytics.churn._watch import COLUMNS, Watch, column_of, empty_column
from crmlytics.churn._watch_reading import ids_in_words, ids_like, read_watch
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
    drop_after: str | dt.timedelta | None = "365d",
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
    drop_after : duration such as "365d", or None
        A warning so old is dropped, unless it is deferred or lost: nobody works on a list that only grows. None: never.
    segments : Customers or dataframe of the same kind, optional
        Needs ``customer_id`` and ``segment``.

    Returns
    -------
    dataframe of the kind of ``transactions``, one row per warning, sorted by ``customer_id`` and ``warned_at``
        Read it by ``priority``. Customers who came back and fell silent again have a row for each time.

        *What is to be done*: ``customer_id`` (Int64 or String); ``warned_at`` (Datetime, the ``as_of`` of the run that
        put them on the list); ``warning_count`` (Int64, 1 for the first time); ``state`` (String, "warned": nothing was
        tried, or the deferral is over; "deferred": a measure was taken and runs; "lost": confirmed; "won back": ordered
        again; "dropped": too old; "mistaken": an order from before the warning was loaded later); ``priority`` (Int64,
        1 first: by state in this order, then by ``at_stake_amount``); ``is_new`` (Boolean, put on the list by the last
        run).

        *Why*: ``last_order_at`` (Datetime, the day of the last order before the warning); ``silent_days`` (Int64,
        calendar days from it to ``as_of``, or to the day they came back); ``usual_interval_days`` (Float64, the
        customer's median interval drawn towards everybody's, as in
        :func:`~crmlytics.sequences.overdue_table`; null if nobody bought twice); ``rule`` (String, "fixed period" or
        "own interval", the one that passed first).

        *What is at stake*: ``purchase_count`` (Int64, days with a purchase); ``tenure_days`` (Int64, from the first
        order to the last); ``total_amount`` (Float64); ``at_stake_amount`` (Float64, what they brought in the 365 days
        up to the last order, returns taken off); ``last_product`` (String, the id of what they spent most on in the
        last order; null without ``product_id``); ``segment`` (String).

        *What was done*: ``measure``, ``measure_reason`` (String), ``measure_at`` (Datetime), the last one;
        ``measure_count`` (Int64, 0 until then); ``earlier_measures`` (String, "2024-06-10 called (price); ...");
        ``deferred_until``, ``lost_at`` (Datetime), ``lost_reason`` (String), ``won_back_at`` (Datetime, the day of the
        first order after the last one known at the warning), ``dropped_at`` (Datetime, of the run), all null until
        then; ``as_of`` (Datetime, of the last run, the same in every row). Columns of your own follow, such as
        ``owner`` or ``note`` (numbers as Float64, dates as Datetime, anything else as String): each row keeps its own,
        and they are null in new rows.

        What says why and what is at stake is told as of the warning, and stays; only ``silent_days`` goes on.

    Raises
    ------
    SchemaError, MissingColumnsError
        For a date or duration that cannot be read; when both rules are None; when ``previous`` is of a later run, or
        was changed by hand against the rules (a loss without a measure, a measure without a reason or a date, dates out
        of order or after ``as_of``).

    Warns
    -----
    DataQualityWarning
        When nobody bought anything for more than a week before ``as_of``, and for longer than ever before; when
        warnings turn out to be mistaken, or customers confirmed as lost to have ordered before that.

    Notes
    -----
    An order is a day on which more was bought than returned (or goods were free); what comes back on another day undoes
    none. Nobody is warned of within a week of their last order. The same run twice changes nothing. Who was dropped is
    not warned of again before they have ordered; :func:`defer` takes them back.

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
    if drop_after is not None:
        as_days(drop_after, name="drop_after", caller=caller)
    check_count(min_purchase_count, name="min_purchase_count", caller=caller, least=2)
    table = Transactions.bind(transactions)
    kept = None if previous is None else _read_previous(previous, table, moment, caller=caller)
    histories = read_histories(table, moment, caller=caller)
    tell_silence(histories.purchases, as_of, caller=caller)
    kept = None if kept is None else _dropped(_won_back(kept, histories), drop_after, caller=caller)
    usual = histories.usual_interval_days()
    limit, rule = _limits(histories, usual, silent_for, overdue_factor, min_purchase_count)
    silent = (moment - EPOCH).days - histories.purchases.last()
    most = np.inf if active_within is None else as_days(active_within, name="active_within", caller=caller)
    on_list = _on_list(kept)
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
    found = np.array(rows, np.int64)
    known = kept.changed(found, won_back_at=as_moments(np.array(days, np.int64)))
    _tell_mistakes(known, found)
    return known


def _tell_mistakes(kept: Watch, found: NDArray[np.int64]) -> None:
    """Warn of what the orders found now contradict: warnings, and losses."""
    is_loss = ~np.isnat(kept["lost_at"]) & ~kept.is_lost & ~kept.is_mistaken
    mistaken, no_loss = (kept["customer_id"][found[which[found]]].tolist() for which in (kept.is_mistaken, is_loss))
    if mistaken:
        were = "warnings were" if len(mistaken) > 1 else "warning was"
        warn(f"watchlist: {len(mistaken):,} {were} mistaken: orders before the warning have arrived since, of "
             f"{ids_in_words(mistaken)}. They count neither as warned nor as won back.")  # fmt: skip
    if no_loss:
        were = "losses were" if len(no_loss) > 1 else "loss was"
        warn(f"watchlist: {len(no_loss):,} {were} confirmed when the customer had already ordered again: "
             f"{ids_in_words(no_loss)}. They count as won back, not as lost.")  # fmt: skip


def _dropped(kept: Watch, drop_after: Any, *, caller: str) -> Watch:
    """Close the warnings that are too old, as of the run."""
    if drop_after is None:
        return kept
    oldest = kept["as_of"] - np.timedelta64(as_days(drop_after, name="drop_after", caller=caller), "D")
    idle = kept.is_open & np.isnat(kept["lost_at"]) & np.isnat(kept["dropped_at"]) & ~kept.is_deferred
    rows = np.flatnonzero(idle & (kept["warned_at"] <= oldest))
    return kept.changed(rows, dropped_at=kept["as_of"][rows])


def _on_list(kept: Watch | None) -> set[Any]:
    """Return who is not warned of now: who has not come back, and whose warning of this run was mistaken."""
    if kept is None:
        return set()
    told = kept.is_open | (kept["warned_at"] == kept["as_of"])  # a second warning of a moment would not be told apart
    return set(kept["customer_id"][told].tolist())


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
    before = Counter([] if kept is None else kept["customer_id"][~kept.is_mistaken].tolist())
    counts = [before[customer] + 1 for customer in fresh["customer_id"].tolist()]
    fresh |= {"warned_at": now, "as_of": now, "warning_count": np.array(counts, np.int64)}
    columns = {name: fresh[name] if name in fresh else empty_column(name, rows) for name in COLUMNS}
    if kept is None:
        return Watch(columns, has_numbers)
    columns = {name: np.concatenate([kept[name], columns[name]]) for name in COLUMNS}
    own = {name: np.concatenate([values, np.full(rows, None)]) for name, values in kept.own.items()}
    return Watch(columns, has_numbers, own, kept.own_dtypes)


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
    """Read the kept table as of this run."""
    kept, _ = read_watch(previous, caller=caller)
    has_numbers = table.id_kind("customer_id") == "Int64"
    if not len(kept):
        return kept
    _check_forward(kept, moment, caller=caller)
    ids = ids_like(kept["customer_id"].tolist(), has_numbers=has_numbers, where="previous", there="transactions",
                   caller=caller)  # fmt: skip
    everybody = np.arange(len(kept))
    return kept.changed(everybody, customer_id=column_of("customer_id", ids), as_of=np.datetime64(moment, "us"))


def _check_forward(kept: Watch, moment: dt.datetime, *, caller: str) -> None:
    """Refuse a list of a later run, and what was recorded for a day that has not come."""
    latest = kept["as_of"].max().item()
    if latest > moment:
        msg = (
            f"{caller}: previous is of {_date(latest)}, which lies after as_of={_date(moment)}. Runs go forward in "
            "time: give the list of an earlier run, or a later as_of."
        )
        raise SchemaError(msg)
    for name in ("measure_at", "lost_at"):
        later = kept[name].astype("datetime64[D]") > np.datetime64(moment, "D")
        if later.any():
            day = kept[name][later].max().item()
            msg = (
                f"{caller}: previous has a {name} after as_of={moment:%Y-%m-%d} for "
                f"{ids_in_words(kept['customer_id'][later].tolist())}, such as {day:%Y-%m-%d}. Correct {name} of these "
                "rows in the kept table, or give a later as_of."
            )
            raise SchemaError(msg)


def _date(moment: dt.datetime) -> str:
    return str(moment).removesuffix(" 00:00:00")
