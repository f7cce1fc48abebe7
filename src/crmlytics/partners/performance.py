"""What each partner sold, earned, and brought anew; how it grew, and how sure its place is."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._kernels.ratios import over
from crmlytics._sales import cautions
from crmlytics._validation import as_days, as_moment, check_count, check_fraction
from crmlytics.partners._commission import commission_shares
from crmlytics.partners._pace import read_pace
from crmlytics.partners._reading import NO_CAUSE, PARTNER, covered_since, read_partners, read_sales

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from crmlytics.partners._reading import Codes, Flags, Sales, Vector
    from crmlytics.tables import Transactions

CALLER = "partner_table"
ENOUGH_CUSTOMERS, ENOUGH_ORDERS = 10, 5  # orders are drawn only of a partner with one customer
CUSTOMERS, ORDERS, NOTHING = "customers", "orders", "too few"
SCHEMA = nw.Schema({
    PARTNER: nw.String(), "rank": nw.Int64(), "rank_low": nw.Int64(), "rank_high": nw.Int64(),
    "amount": nw.Float64(), "amount_low": nw.Float64(), "amount_high": nw.Float64(),
    "amount_share": nw.Float64(), "amount_share_low": nw.Float64(), "amount_share_high": nw.Float64(),
    "previous_amount": nw.Float64(), "growth_share": nw.Float64(), "growth_share_low": nw.Float64(),
    "growth_share_high": nw.Float64(), "margin_amount": nw.Float64(), "commission_amount": nw.Float64(),
    "margin_after_commission_amount": nw.Float64(), "customer_count": nw.Int64(), "new_customer_count": nw.Int64(),
    "order_count": nw.Int64(), "last_order_at": nw.Datetime("us"), "silent_days": nw.Float64(),
    "usual_interval_days": nw.Float64(), "overdue_probability": nw.Float64(), "is_inactive": nw.Boolean(),
    "drawn": nw.String(), "caution": nw.String(),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sampling:
    """How intervals are made: their level, the number of samples, the seed."""

    confidence: float
    replicates: int
    seed: int


def check_sampling(confidence: Any, replicates: Any, random_state: Any, *, caller: str) -> Sampling:
    """Check the options of intervals."""
    return Sampling(
        check_fraction(confidence, name="confidence", caller=caller),
        check_count(replicates, name="replicates", caller=caller, least=20),
        check_count(random_state, name="random_state", caller=caller, least=0),
    )


def partner_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    window: str | dt.timedelta = "365d",
    commission: float | str | Mapping[Any, float] | None = None,
    partners: Any = None,
    confidence: float = 0.95,
    replicates: int = 1_000,
    random_state: int = 0,
) -> Any:
    r"""Tell what each partner sold in the last period: revenue, margin after commission, growth, place, pace.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp``, ``amount`` and ``partner_id`` (missing: sold without a
        partner); with ``cost`` the margin is told.
    as_of : date
        The day on which the last period ends; lines on or after it are left out.
    window : duration such as "365d" or "12w", default "365d"
        The length of the period, and of the one before it that growth is measured against.
    commission : share, mapping of partner to share, or name of a column of ``partners``, optional
        What a partner keeps of what it sells, returns taken off. None: not known. Names of who sold nothing are no
        mistake, so that the same mapping goes with every ``as_of``; if another partner is without one, a warning tells.
    partners : dataframe of the same kind, optional
        Needs ``partner_id``, one row each. Partners who sold nothing are shown, too.
    confidence : float, default 0.95
        Of the intervals.
    replicates : int, default 1000
        Samples drawn for them.
    random_state : int, default 0
        Seed of the samples.

    Returns
    -------
    dataframe of the kind that came in, one row per partner, sorted by ``partner_id``
        ``partner_id`` (String, whole numbers as text; ``"(direct)"`` comes first and is what had no partner),
        ``rank`` (Int64, by ``amount``, 1 the largest, equals share a place), ``rank_low``, ``rank_high`` (Int64, the
        best and the worst place that cannot be ruled out),
        ``amount`` (Float64, revenue of the period, returns taken off), ``amount_low``, ``amount_high``,
        ``amount_share`` (Float64, of all revenue of the period; null where that is not above zero),
        ``amount_share_low``, ``amount_share_high``, ``previous_amount`` (Float64, revenue of the period before; null
        where the data begin within it), ``growth_share`` (Float64, ``amount / previous_amount - 1``; null where that
        was not above zero), ``growth_share_low``, ``growth_share_high``,
        ``margin_amount`` (Float64, amount less cost; null where a cost is not known), ``commission_amount`` (Float64;
        null where no commission is known), ``margin_after_commission_amount`` (Float64),
        ``customer_count`` (Int64, with an order through the partner in the period), ``new_customer_count`` (Int64,
        those whose first order of all this was), ``order_count`` (Int64),
        ``last_order_at`` (Datetime, the day), ``silent_days`` (Float64, calendar days since), ``usual_interval_days``
        (Float64, the median days between days with an order, drawn towards those of all partners),
        ``overdue_probability`` (Float64, that such an interval would have ended by now), ``is_inactive`` (Boolean,
        never sold, or overdue with 95 % and for more than a week; where no partner sold on two days, silent for longer
        than ``window``),
        ``drawn`` (String, what samples are drawn of: "customers", from ten on; "orders" of a partner with one customer,
        from five on; "too few": no interval, and any place), ``caution`` (String).

    Raises
    ------
    SchemaError, MissingColumnsError
        When a role is missing, or a commission is no share.

    Warns
    -----
    DataQualityWarning
        When ``commission`` names nobody and leaves a partner out, and when the last line lies so long before ``as_of``
        that the data seem to have ended.

    Notes
    -----
    ``amount``, ``previous_amount`` and the counts of orders add up to those of the whole (an order with lines of two
    partners is one of each). Commission is paid on ``amount`` as it stands: a partner with more returns than sales pays
    back. Intervals draw customers again with all they bought (the bootstrap), since orders of one customer are alike;
    they tell how much of a difference is the luck of who happened to buy. They know no trend and no lost partner. Those
    of amounts and shares are corrected for skewness and for few customers (Efron 1987, with Student's quantiles).

    Ranks: a partner stands behind those that are surely above it, and before those surely below, in all comparisons at
    once (Mogstad, Romano, Shaikh and Wilhelm 2024, Review of Economic Studies 91). Where partners sell much the same,
    the interval is long, and a league table says nothing. The pace is that of
    :func:`crmlytics.sequences.overdue_table`.

    **When not to use it**: to tell which partner is *good*. A partner in a rich region sells more: what
    goes with its customers is told apart by :func:`partner_customer_table`, and what would have been sold without it
    only by an experiment.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "b", "a", "c", "d"], "order_id": range(5), "partner_id": ["north", "north", "north",
    ...     None, "south"], "amount": [100.0, 40.0, 120.0, 50.0, 90.0], "timestamp": pd.to_datetime(
    ...     ["2023-03-01", "2023-06-01", "2024-02-01", "2024-02-10", "2024-03-01"]),
    ... })
    >>> table = partner_table(orders, as_of="2024-04-01", window="180d", commission=0.1)
    >>> table[["partner_id", "rank", "amount", "amount_share", "commission_amount", "new_customer_count"]].round(2)
      partner_id  rank  amount  amount_share  commission_amount  new_customer_count
    0   (direct)     3    50.0          0.19                0.0                   1
    1      north     1   120.0          0.46               12.0                   0
    2      south     2    90.0          0.35                9.0                   1
    """
    end, days = as_moment(as_of, caller=CALLER), as_days(window, name="window", caller=CALLER)
    sampling = check_sampling(confidence, replicates, random_state, caller=CALLER)
    given = _given(transactions, partners, commission)
    more_ids = [] if given.rows is None else given.rows[PARTNER]
    sales = read_sales(given.table, as_of=end, more_ids=more_ids, caller=CALLER)
    middle, start = (end - dt.timedelta(days=times * days) for times in (1, 2))
    now, before = sales.within(middle, end), sales.within(start, middle)
    is_covered = covered_since(sales, start)
    shares = commission_shares(commission, sales.names, given.rows, caller=CALLER)
    columns = {PARTNER: np.array(sales.names, object)}
    columns |= _drawn(sales, now, before, sampling, is_covered=is_covered)
    columns |= _margins(sales, now, shares) | _counts(sales, now) | _paces(sales, end, days)
    columns["caution"] = _cautions(columns, is_covered=is_covered, asked=commission is not None)
    shown = sales.shown()
    return sales.engine.from_columns({name: columns[name][shown] for name in SCHEMA}, SCHEMA)


# -- inside --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Given:
    """The contract, and the table of partners where there is one."""

    table: Transactions
    rows: Any


def _given(transactions: Any, partners: Any, commission: Any) -> _Given:
    from crmlytics.tables import Transactions

    table = Transactions.bind(transactions)
    if partners is None:
        return _Given(table, None)
    named = [commission] if isinstance(commission, str) else []
    return _Given(table, read_partners(partners, table, columns=named, caller=CALLER))


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """What samples are drawn of.

    Attributes
    ----------
    unit : int64 array
        Of each sale drawn from, the customer or order that is drawn as one.
    words : array of str, shape (partners,)
        "customers", "orders" or "too few".
    units : int64 array, shape (partners,)
        How many of these each partner has.
    """

    unit: Codes
    words: NDArray[Any]
    units: Codes

    @property
    def is_enough(self) -> Flags:
        """Whether each partner has enough of them for an interval."""
        return np.asarray(self.words != NOTHING, bool)


def drawn_from(sales: Sales, rows: Flags) -> Source:
    """Choose between customers and orders for each partner, from some of the sales."""
    customers = sales.customer_counts(rows)
    enough = customers >= ENOUGH_CUSTOMERS
    orders = np.bincount(sales.partner[rows & sales.is_order], minlength=len(sales.names))
    words = np.where(enough, CUSTOMERS, np.where((customers == 1) & (orders >= ENOUGH_ORDERS), ORDERS, NOTHING))
    own = len(sales.customer_ids) + np.arange(len(sales.partner))
    unit = np.where(enough[sales.partner], sales.customer, own)[rows]
    return Source(unit, words.astype(object), np.where(enough, customers, orders))


def _drawn(sales: Sales, now: Flags, before: Flags, sampling: Sampling, *, is_covered: bool) -> dict[str, Any]:
    """Return amounts, shares, growth and ranks with their intervals."""
    from crmlytics._kernels.draws import Draws, bounds
    from crmlytics._kernels.partner_draws import group_sums, sum_bounds

    rows, count = now | before, len(sales.names)
    if not rows.any():
        rows = np.arange(len(rows)) == 0  # its amount is in neither period
    source = drawn_from(sales, rows)
    amount, previous = sales.sums(sales.amount, now), sales.sums(sales.amount, before)
    draws = Draws.of(source.unit, replicates=sampling.replicates, seed=sampling.seed)
    current, earlier = (
        group_sums(draws, np.where(period, sales.amount, 0.0)[rows], sales.partner[rows], count)
        for period in (now, before)
    )
    if not is_covered:
        previous, earlier = np.full(count, np.nan), np.full_like(earlier, np.nan)
    found: dict[str, Any] = {"amount": amount, "previous_amount": previous, "drawn": source.words}
    found["amount_share"] = over(amount, amount.sum())
    found["growth_share"] = over(amount, previous) - 1
    share = over(current, current.sum(axis=1, keepdims=True))
    intervals = {
        "amount": sum_bounds(current, source.units, sampling.confidence),
        "amount_share": sum_bounds(share, source.units, sampling.confidence),
        "growth_share": bounds(over(current, earlier) - 1, sampling.confidence),
    }
    for name, (low, high) in intervals.items():
        known = source.is_enough & ~np.isnan(found[name])
        found |= {f"{name}_low": np.where(known, low, np.nan), f"{name}_high": np.where(known, high, np.nan)}
    return found | _places(sales, amount, current, source.is_enough, sampling)


def _places(sales: Sales, amount: Vector, drawn: Vector, is_enough: Flags, sampling: Sampling) -> dict[str, Codes]:
    """Return the place of each partner that is shown, and which places it may have."""
    from crmlytics._kernels.partner_draws import rank_bounds

    shown = sales.shown()
    places = np.zeros((3, len(amount)), np.int64)
    best, worst = rank_bounds(drawn[:, shown], amount[shown], sampling.confidence)
    places[0, shown] = 1 + (amount[shown][None, :] > amount[shown][:, None]).sum(axis=1)
    places[1, shown] = np.where(is_enough[shown], best, 1)
    places[2, shown] = np.where(is_enough[shown], worst, len(shown))
    return dict(zip(("rank", "rank_low", "rank_high"), places, strict=True))


def _margins(sales: Sales, now: Flags, shares: Vector) -> dict[str, Vector]:
    amount, cost = sales.sums(sales.amount, now), sales.sums(sales.cost, now)
    margin = amount - cost if sales.table.has("cost") else np.full(len(amount), np.nan)
    paid = shares * amount
    return {"margin_amount": margin, "commission_amount": paid, "margin_after_commission_amount": margin - paid}


def _counts(sales: Sales, now: Flags) -> dict[str, Codes]:
    firsts = sales.firsts()
    firsts = firsts[firsts >= 0]
    new = sales.partner[firsts[now[firsts]]]
    return {
        "customer_count": sales.customer_counts(now),
        "new_customer_count": np.bincount(new, minlength=len(sales.names)),
        "order_count": np.bincount(sales.partner[now & sales.is_order], minlength=len(sales.names)),
    }


def _paces(sales: Sales, end: dt.datetime, days: int) -> dict[str, NDArray[Any]]:
    pace = read_pace(sales, end, days)
    last = np.where(np.isnan(pace.last_day), 0, pace.last_day).astype(np.int64).astype("datetime64[D]")
    return {
        "last_order_at": np.where(np.isnan(pace.last_day), np.datetime64("NaT"), last.astype("datetime64[us]")),
        "silent_days": pace.silent_days,
        "usual_interval_days": pace.usual_interval_days,
        "overdue_probability": pace.overdue_probability,
        "is_inactive": pace.is_inactive,
    }


def _cautions(columns: dict[str, Any], *, is_covered: bool, asked: bool) -> NDArray[Any]:
    """Say on every row what it does not show."""
    told = [
        (np.isnan(columns["silent_days"]), "Never sold anything."),
        (columns["drawn"] == NOTHING, "Too few customers for an interval."),
        (columns["amount"] < 0, "More came back than was sold."),
        (np.isnan(columns["commission_amount"]) & asked, "Its commission is not known."),
        (not is_covered, "The data begin within the period before: no growth."),
    ]
    return cautions(len(columns["rank"]), told, first=NO_CAUSE)
