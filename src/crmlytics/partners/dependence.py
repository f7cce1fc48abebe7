"""What hangs on each partner: revenue of customers who know no other way, and how few partners make how much."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._kernels.ratios import over
from crmlytics._validation import as_days, as_moment, check_share
from crmlytics.exceptions import SchemaError
from crmlytics.partners._reading import DIRECT, PARTNER, read_sales
from crmlytics.partners._sampling import check_sampling, drawn_from

if TYPE_CHECKING:
    from crmlytics.partners._reading import Codes, Flags, Sales, Vector
    from crmlytics.partners._sampling import Sampling, Source
    from crmlytics.tables import Transactions

DEPENDENCE, CONCENTRATION = "partner_dependence_table", "partner_concentration_table"
NO_FORECAST = "What hangs on the partner under the assumption staying_share={:g}, not what would happen."
CONCENTRATED, HIGHLY_CONCENTRATED = 0.10, 0.18  # US Merger Guidelines (2023), as shares instead of points
SCHEMA = nw.Schema({
    PARTNER: nw.String(), "amount": nw.Float64(), "amount_share": nw.Float64(), "amount_share_low": nw.Float64(),
    "amount_share_high": nw.Float64(), "customer_count": nw.Int64(), "only_customer_count": nw.Int64(),
    "only_customer_share": nw.Float64(), "only_amount": nw.Float64(), "shared_amount": nw.Float64(),
    "staying_share": nw.Float64(), "at_risk_amount_low": nw.Float64(), "at_risk_amount_high": nw.Float64(),
    "at_risk_share_low": nw.Float64(), "at_risk_share_high": nw.Float64(), "caution": nw.String(),
})  # fmt: skip
WHOLE_SCHEMA = nw.Schema({
    "partner_count": nw.Int64(), "amount": nw.Float64(), "direct_share": nw.Float64(),
    "top_partner_id": nw.String(), "top_share": nw.Float64(), "top_share_low": nw.Float64(),
    "top_share_high": nw.Float64(), "hhi": nw.Float64(), "hhi_low": nw.Float64(), "hhi_high": nw.Float64(),
    "effective_partner_count": nw.Float64(), "verdict": nw.String(), "caution": nw.String(),
})  # fmt: skip


def partner_dependence_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    window: str | dt.timedelta = "365d",
    staying_share: float = 0.0,
    confidence: float = 0.95,
    replicates: int = 1_000,
    random_state: int = 0,
) -> Any:
    r"""Tell what hangs on each partner: its share of revenue, its customers who buy nowhere else, revenue at risk.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp``, ``amount`` and ``partner_id``.
    as_of : date
        The day on which the period ends; lines on or after it are left out.
    window : duration such as "365d", default "365d"
        The length of the period.
    staying_share : float, default 0.0
        **Your assumption**: the share of revenue that would stay if the partner left, since customers follow you to
        another way. 0 is the worst case.
    confidence, replicates, random_state
        Of the intervals, as in :func:`partner_table`.

    Returns
    -------
    dataframe of the kind that came in, one row per partner with a sale in the period, sorted by ``partner_id``
        ``partner_id`` (String; ``"(direct)"``: without a partner; nothing of it is at risk), ``amount`` (Float64,
        revenue of the period, returns taken off), ``amount_share`` (Float64, of all revenue), ``amount_share_low``,
        ``amount_share_high`` (null where too few orders tell), ``customer_count`` (Int64, with an order through the
        partner), ``only_customer_count`` (Int64, those who ordered in no other way in the period),
        ``only_customer_share`` (Float64, of ``customer_count``; null without any), ``only_amount`` (Float64, revenue of
        these customers), ``shared_amount`` (Float64, the rest of ``amount``), ``staying_share`` (Float64, the
        assumption), ``at_risk_amount_low`` (Float64, ``(1 - staying_share)`` of ``only_amount``: customers who know
        another way all go there), ``at_risk_amount_high`` (Float64, the same of the whole ``amount``: none of them
        does), ``at_risk_share_low``, ``at_risk_share_high`` (Float64, of all revenue), ``caution`` (String).

    Raises
    ------
    SchemaError, MissingColumnsError
        When a role is missing, an option is not valid, or revenue of the period is not above zero.

    Notes
    -----
    ``at_risk_amount_low`` and ``_high`` are the bounds of what is not known, whether customers with two ways would
    take the other; they are no interval of chance. A customer who bought elsewhere before the period counts as one who
    buys only there: take a longer ``window`` where customers buy seldom. Where returns of a partner exceed its sales,
    its amounts are below zero and nothing is at risk. How few make how much is told by
    :func:`partner_concentration_table`.

    **When not to use it**: as a forecast. What customers do when their dealer closes has to be seen once, and put in as
    ``staying_share``.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": [1, 2, 2, 3], "order_id": range(4), "partner_id": ["x", "x", "y", None],
    ...     "amount": [40.0, 30.0, 20.0, 10.0], "timestamp": pd.to_datetime(["2024-01-01"] * 4),
    ... })
    >>> table = partner_dependence_table(orders, as_of="2024-02-01", window="90d", staying_share=0.25)
    >>> table[["partner_id", "only_amount", "at_risk_amount_low", "at_risk_amount_high"]]
      partner_id  only_amount  at_risk_amount_low  at_risk_amount_high
    0   (direct)         10.0                 0.0                  0.0
    1          x         40.0                30.0                 52.5
    2          y          0.0                 0.0                 15.0
    """
    stays = check_share(staying_share, name="staying_share", caller=DEPENDENCE)
    sampling = check_sampling(confidence, replicates, random_state, caller=DEPENDENCE)
    sales, rows = _period(transactions, as_of, window, caller=DEPENDENCE)
    amount, total = sales.sums(sales.amount, rows), float(sales.amount[rows].sum())
    customers, only = sales.customer_counts(rows), _only(sales, rows)
    known = _only_amounts(sales, rows, only)
    count = np.bincount(only[only >= 0], minlength=len(sales.names))
    has_risk = np.array([name != DIRECT for name in sales.names])
    least, most = ((1 - stays) * np.where(has_risk, np.maximum(part, 0.0), 0.0) for part in (known, amount))
    least = np.minimum(least, most)
    low, high = _share_bounds(sales, rows, sampling)
    columns = {
        PARTNER: np.array(sales.names, object),
        "amount": amount,
        "amount_share": amount / total,
        "amount_share_low": low,
        "amount_share_high": high,
        "customer_count": customers,
        "only_customer_count": count,
        "only_customer_share": over(count, customers),
        "only_amount": known,
        "shared_amount": amount - known,
        "staying_share": np.full(len(amount), stays),
        "at_risk_amount_low": least,
        "at_risk_amount_high": most,
        "at_risk_share_low": least / total,
        "at_risk_share_high": most / total,
        "caution": np.full(len(amount), NO_FORECAST.format(stays), object),
    }
    shown = np.flatnonzero(np.bincount(sales.partner[rows], minlength=len(amount)))
    return sales.engine.from_columns({name: columns[name][shown] for name in SCHEMA}, SCHEMA)


def partner_concentration_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    window: str | dt.timedelta = "365d",
    confidence: float = 0.95,
    replicates: int = 1_000,
    random_state: int = 0,
) -> Any:
    r"""Tell how few partners make how much of the revenue through partners: the largest one's share, and the HHI.

    Parameters
    ----------
    transactions, as_of, window, confidence, replicates, random_state
        As in :func:`partner_dependence_table`.

    Returns
    -------
    dataframe of the kind that came in, one row
        ``partner_count`` (Int64, with a sale in the period), ``amount`` (Float64, revenue through them, returns taken
        off), ``direct_share`` (Float64, of all revenue, without a partner), ``top_partner_id`` (String, who sold most;
        of equals the first), ``top_share`` (Float64, of ``amount``), ``top_share_low``, ``top_share_high``,
        ``hhi`` (Float64, the sum of the squared shares, less what chance adds to it where there is an interval: 1 with
        a single partner, 1 / n with n alike), ``hhi_low``, ``hhi_high``, ``effective_partner_count`` (Float64,
        ``1 / hhi``: so many partners alike would be as concentrated), ``verdict`` (String, "one partner", "highly
        concentrated" above an HHI of 0.18, "concentrated" above 0.10, else "spread"), ``caution`` (String).

    Raises
    ------
    SchemaError, MissingColumnsError
        As in :func:`partner_dependence_table`, and when nothing was sold through partners.

    Notes
    -----
    Shares of partners with more returns than sales count as zero. Intervals draw customers again (the bootstrap), and
    are of what sales would be in the long run, with whomever the largest share lies then. Chance makes partners look
    less alike than they are: the variances of the shares are taken off the HHI. Of n partners neither it nor a bound is
    below 1 / n. The borders of the verdict are those of the US Merger Guidelines of 2023 for markets; they are a
    convention here. A. O. Hirschman (1964), "The paternity of an index", American Economic Review 54.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": [1, 2, 2, 3], "order_id": range(4), "partner_id": ["x", "x", "y", None],
    ...     "amount": [40.0, 35.0, 25.0, 10.0], "timestamp": pd.to_datetime(["2024-01-01"] * 4),
    ... })
    >>> table = partner_concentration_table(orders, as_of="2024-02-01", window="90d")
    >>> table[["top_partner_id", "top_share", "hhi", "verdict"]]
      top_partner_id  top_share    hhi              verdict
    0              x       0.75  0.625  highly concentrated
    """
    sampling = check_sampling(confidence, replicates, random_state, caller=CONCENTRATION)
    sales, rows = _period(transactions, as_of, window, caller=CONCENTRATION)
    through = rows & (sales.partner > 0)
    amount = sales.sums(sales.amount, through)
    if not amount.sum() > 0:
        msg = (
            f"{CONCENTRATION}: revenue through partners is {amount.sum():,.2f} in the period; shares need one above "
            "zero. Check partner_id, or take a longer window."
        )
        raise SchemaError(msg)
    share = _positive_shares(amount)
    top = int(share.argmax())
    partners = int((np.bincount(sales.partner[through], minlength=len(amount)) > 0).sum())
    figures, is_sure = _concentration(sales, through, share, sampling)
    columns: dict[str, list[Any]] = {
        "partner_count": [partners],
        "amount": [float(amount.sum())],
        "direct_share": [float(sales.amount[rows & (sales.partner == 0)].sum() / sales.amount[rows].sum())],
        "top_partner_id": [sales.names[top]],
        "top_share": [float(share[top])],
        "effective_partner_count": [1 / figures["hhi"]],
        "verdict": [_verdict(figures["hhi"], partners)],
        "caution": ["Of what was sold, not of what would be lost." + ("" if is_sure else " Too few for intervals.")],
    }
    columns |= {name: [figure] for name, figure in figures.items()}
    return sales.engine.from_columns({name: columns[name] for name in WHOLE_SCHEMA}, WHOLE_SCHEMA)


# -- inside --------------------------------------------------------------------------------------------------------


def _period(transactions: Any, as_of: Any, window: Any, *, caller: str) -> tuple[Sales, Flags]:
    end, days = as_moment(as_of, caller=caller), as_days(window, name="window", caller=caller)
    sales = read_sales(transactions, as_of=end, caller=caller)
    rows = sales.within(end - dt.timedelta(days=days), end)
    total = float(sales.amount[rows].sum())
    if not total > 0:
        msg = (
            f"{caller}: revenue of the {days:,} days before as_of is {total:,.2f}; shares need one above zero. Check "
            "as_of and the data, or take a longer window."
        )
        raise SchemaError(msg)
    return sales, rows


def _only(sales: Sales, rows: Flags) -> Codes:
    """Return the one partner of whom each customer bought, -1 for none or several."""
    inside = rows & sales.is_order
    size = len(sales.customer_ids)
    least, most = np.full(size, len(sales.names)), np.full(size, -1)
    np.minimum.at(least, sales.customer[inside], sales.partner[inside])
    np.maximum.at(most, sales.customer[inside], sales.partner[inside])
    return np.where(least == most, most, -1)


def _only_amounts(sales: Sales, rows: Flags, only: Codes) -> Vector:
    return sales.sums(sales.amount, rows & (only[sales.customer] == sales.partner))


def _drawn(sales: Sales, rows: Flags, sampling: Sampling) -> tuple[Vector, Source]:
    """Return the amounts of partners in samples, and what was drawn."""
    from crmlytics._kernels.draws import Draws
    from crmlytics._kernels.partner_draws import group_sums

    source = drawn_from(sales, rows)
    draws = Draws.of(source.unit, replicates=sampling.replicates, seed=sampling.seed)
    return group_sums(draws, sales.amount[rows], sales.partner[rows], len(sales.names)), source


def _share_bounds(sales: Sales, rows: Flags, sampling: Sampling) -> tuple[Vector, Vector]:
    from crmlytics._kernels.partner_draws import sum_bounds

    drawn, source = _drawn(sales, rows, sampling)
    low, high = sum_bounds(over(drawn, drawn.sum(axis=1, keepdims=True)), source.units, sampling.confidence)
    return np.where(source.is_enough, low, np.nan), np.where(source.is_enough, high, np.nan)


def _positive_shares(amounts: Vector) -> Vector:
    above = np.maximum(amounts, 0.0)
    return over(above, above.sum(axis=-1, keepdims=True))


def _concentration(sales: Sales, through: Flags, share: Vector, sampling: Sampling) -> tuple[dict[str, float], bool]:
    """Return the HHI, its bounds and those of the largest share; bounds are missing where too few tell of the largest.

    Without them the HHI is that of the shares as they are.
    """
    from crmlytics._kernels.partner_draws import concentration, largest_bounds

    drawn, source = _drawn(sales, through, sampling)
    samples = _positive_shares(drawn)
    samples = samples[~np.isnan(samples).any(axis=1)]
    is_sure = bool(source.is_enough[share.argmax()]) and int((share > 0).sum()) > 1 and 2 * len(samples) >= len(drawn)
    figures = [float((share**2).sum()), np.nan, np.nan, np.nan, np.nan]
    if is_sure:
        level = sampling.confidence
        figures = [*concentration(samples, share, level), *largest_bounds(samples, share, level)]
    names = ("hhi", "hhi_low", "hhi_high", "top_share_low", "top_share_high")
    return dict(zip(names, figures, strict=True)), is_sure


def _verdict(hhi: float, partners: int) -> str:
    if partners == 1:
        return "one partner"
    if hhi > HIGHLY_CONCENTRATED:
        return "highly concentrated"
    return "concentrated" if hhi > CONCENTRATED else "spread"
