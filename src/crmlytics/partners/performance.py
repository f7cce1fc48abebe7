"""What each partner sold, earned, and brought anew; how it grew, and how sure its place is."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._cautions import cautions
from crmlytics._kernels.ratios import over
from crmlytics._validation import as_days, as_moment
from crmlytics.partners._commission import commission_shares
from crmlytics.partners._pace import read_pace
from crmlytics.partners._reading import NO_CAUSE, PARTNER, covered_since, read_partners, read_sales
from crmlytics.partners._sampling import NOTHING, Sampling, check_sampling, drawn_from

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from crmlytics.partners._reading import Codes, Flags, Sales, Vector
    from crmlytics.tables import Transactions

CALLER = "partner_table"
MANY_CUSTOMERS = 50
FEW_RANKED = f"Under {MANY_CUSTOMERS} customers: where amounts differ much, its place is surer than it should be."
SCHEMA = nw.Schema({
    PARTNER: nw.String(), "rank": nw.Int64(), "rank_low": nw.Int64(), "rank_high": nw.Int64(),
    "amount": nw.Float64(), "amount_low": nw.Float64(), "amount_high": nw.Float64(),
    "amount_share": nw.Float64(), "amount_share_low": nw.Float64(), "amount_share_high": nw.Float64(),
    "previous_amount": nw.Float64(), "growth_share": nw.Float64(), "growth_share_low": nw.Float64(),
    "growth_share_high": nw.Float64(), "margin_amount": nw.Float64(), "commission_amount": nw.Float64(),
    "margin_after_commission_amount": nw.Float64(), "customer_count": nw.Int64(), "new_customer_count": nw.Int64(),
    "order_count": nw.Int64(), "last_order_at": nw.Datetime("us"), "silent_days": nw.Int64(),
    "usual_interval_days": nw.Float64(), "overdue_probability": nw.Float64(), "is_inactive": nw.Boolean(),
    "drawn": nw.String(), "caution": nw.String(),
})  # fmt: skip


def partner_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    window: str | dt.timedelta = "365d",
    margin: float | None = None,
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
        partner). With ``cost`` the margin is told.
    as_of : date
        The day on which the last period ends; lines on or after it are left out.
    window : duration such as "365d" or "12w", default "365d"
        The length of the period, and of the one before it that growth is measured against.
    margin : share, optional
        How much of an amount is margin, such as 0.3. By default amounts less the ``cost`` of lines, where bound.
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
        ``rank`` (Int64, among partners by ``amount``, 1 the largest, equals share a place; null of ``"(direct)"``),
        ``rank_low``, ``rank_high`` (Int64, the best and the worst place that cannot be ruled out; null where ``drawn``
        is "too few"),
        ``amount`` (Float64, revenue of the period, returns taken off), ``amount_low``, ``amount_high``,
        ``amount_share`` (Float64, of all revenue of the period; null where that is not above zero),
        ``amount_share_low``, ``amount_share_high``, ``previous_amount`` (Float64, revenue of the period before; null
        where the data begin within it), ``growth_share`` (Float64, ``amount / previous_amount - 1``; null where that
        was not above zero), ``growth_share_low``, ``growth_share_high`` (null where nothing is sold now, too),
        ``margin_amount`` (Float64, null where it is not known of every line), ``commission_amount`` (Float64; null
        where no commission is known), ``margin_after_commission_amount`` (Float64),
        ``customer_count`` (Int64, with an order through the partner in the period), ``new_customer_count`` (Int64,
        those whose first order of all this was), ``order_count`` (Int64),
        ``last_order_at`` (Datetime, the last line of an order), ``silent_days`` (Int64, calendar days since;
        both null where it never sold), ``usual_interval_days``
        (Float64, the median days between days with an order, drawn towards those of all partners),
        ``overdue_probability`` (Float64, that such an interval would have ended by now), ``is_inactive`` (Boolean,
        never sold, or overdue with 95 % and for more than a week; where no partner sold on two days, silent for longer
        than ``window``),
        ``drawn`` (String, what samples are drawn of: "customers", from ten on; "orders" of a partner with one customer,
        from five on; "too few": no interval, no bounds of the place), ``caution`` (String).

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
    they tell how much of a difference is the luck of who happened to buy, those of amounts also of how many did. They
    know no trend and no lost partner. Those of amounts and shares are corrected for skewness and for few customers
    (Efron 1987, with Student's quantiles); of a dozen customers whose amounts differ by a factor of ten they still hold
    87 % instead of 95 %. Those of growth are on the logarithmic scale, with as many degrees of freedom as customers
    count.

    Ranks: a partner stands behind those that are surely above it, and before those surely below, in all comparisons at
    once (Mogstad, Romano, Shaikh and Wilhelm 2024, Review of Economic Studies 91). Where partners sell much the same,
    the interval is long, and a league table says nothing. With under about 50 customers whose amounts differ much (by a
    factor of ten and more) it is too short: a partner whom chance gave no large order looks surely small. The pace is
    that of :func:`crmlytics.sequences.overdue_table`.

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
    0   (direct)  <NA>    50.0          0.19                0.0                   1
    1      north     1   120.0          0.46               12.0                   0
    2      south     2    90.0          0.35                9.0                   1
    """
    end, days = as_moment(as_of, caller=CALLER), as_days(window, name="window", caller=CALLER)
    sampling = check_sampling(confidence, replicates, random_state, caller=CALLER)
    given = _given(transactions, partners, commission)
    more_ids = [] if given.rows is None else given.rows[PARTNER]
    sales = read_sales(given.table, as_of=end, margin=margin, more_ids=more_ids, caller=CALLER)
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


def _drawn(sales: Sales, now: Flags, before: Flags, sampling: Sampling, *, is_covered: bool) -> dict[str, Any]:
    """Return amounts, shares, growth and ranks with their intervals."""
    from crmlytics._kernels.draws import Draws
    from crmlytics._kernels.partner_draws import group_sums, growth_bounds, of_any_number, sum_bounds

    rows, count = now | before, len(sales.names)
    if not rows.any():
        rows = np.arange(len(rows)) == 0  # its amount is in neither period
    source, partner = drawn_from(sales, rows), sales.partner[rows]
    current, earlier = (np.where(period, sales.amount, 0.0)[rows] for period in (now, before))
    amount, previous = sales.sums(sales.amount, now), sales.sums(sales.amount, before)
    if not is_covered:
        previous = np.full(count, np.nan)
    found: dict[str, Any] = {"amount": amount, "previous_amount": previous, "drawn": source.words}
    found["amount_share"] = over(amount, amount.sum())
    found["growth_share"] = over(amount, previous) - 1
    draws = Draws.of(source.unit, replicates=sampling.replicates, seed=sampling.seed)
    drawn = group_sums(draws, current, partner, count)
    free = of_any_number(drawn, len(np.unique(source.unit)), sampling.seed)
    share = over(drawn, drawn.sum(axis=1, keepdims=True))
    intervals = {
        "amount": sum_bounds(free, source.units, sampling.confidence),
        "amount_share": sum_bounds(share, source.units, sampling.confidence),
        "growth_share": growth_bounds(current, earlier, source.unit, partner, count, sampling.confidence),
    }
    for name, (low, high) in intervals.items():
        known = source.is_enough & ~np.isnan(found[name])
        found |= {f"{name}_low": np.where(known, low, np.nan), f"{name}_high": np.where(known, high, np.nan)}
    return found | _places(amount, drawn, source.is_enough, sampling.confidence)


def _places(amount: Vector, drawn: Vector, is_enough: Flags, confidence: float) -> dict[str, Vector]:
    """Return the place of each among partners, and which places it may have; missing of what had no partner."""
    from crmlytics._kernels.partner_draws import rank_bounds

    amount, drawn = amount[1:], drawn[:, 1:]  # the first name is "(direct)"
    places = np.full((3, 1 + len(amount)), np.nan)
    places[0, 1:] = 1 + len(amount) - np.searchsorted(np.sort(amount), amount, side="right")
    places[1:, 1:][:, is_enough[1:]] = rank_bounds(drawn, amount, is_enough[1:], confidence)
    return dict(zip(("rank", "rank_low", "rank_high"), places, strict=True))


def _margins(sales: Sales, now: Flags, shares: Vector) -> dict[str, Vector]:
    margin = np.where(sales.has_margin, sales.sums(sales.margin, now), np.nan)
    paid = shares * sales.sums(sales.amount, now)
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
    return {
        "last_order_at": pace.last_order_at,
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
        (~np.isnan(columns["rank_low"]) & (columns["customer_count"] < MANY_CUSTOMERS), FEW_RANKED),
        (columns["amount"] < 0, "More came back than was sold."),
        (np.isnan(columns["commission_amount"]) & asked, "Its commission is not known."),
        (not is_covered, "The data begin within the period before: no growth."),
    ]
    return cautions(len(columns["rank"]), told, first=NO_CAUSE)
