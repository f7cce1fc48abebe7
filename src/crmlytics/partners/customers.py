"""What became of the customers whom each partner brought, beside those whom others brought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._cautions import cautions
from crmlytics._kernels.ratios import over
from crmlytics._sales import followed, is_observed
from crmlytics._validation import as_days, as_moment, check_fraction
from crmlytics.partners._brought import Brought, read_brought
from crmlytics.partners._reading import NO_CAUSE, PARTNER, read_sales, rows_in_order

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics.partners._reading import Sales, Vector
    from crmlytics.tables import Customers, Transactions

    Columns = dict[str, NDArray[Any]]

CALLER = "partner_customer_table"
METRICS = ("first_order_amount", "horizon_amount", "repeat_share", "retained_share")
FEW = 30
SCHEMA = nw.Schema({
    PARTNER: nw.String(), "metric": nw.String(), "customer_count": nw.Int64(), "observed_count": nw.Int64(),
    "mean": nw.Float64(), "mean_low": nw.Float64(), "mean_high": nw.Float64(), "others_mean": nw.Float64(),
    "difference": nw.Float64(), "difference_low": nw.Float64(), "difference_high": nw.Float64(),
    "p_value": nw.Float64(), "adjusted_p_value": nw.Float64(), "like_for_like_count": nw.Int64(),
    "like_for_like_difference": nw.Float64(), "like_for_like_difference_low": nw.Float64(),
    "like_for_like_difference_high": nw.Float64(), "like_for_like_p_value": nw.Float64(),
    "like_for_like_adjusted_p_value": nw.Float64(), "caution": nw.String(),
})  # fmt: skip


def partner_customer_table(
    transactions: Transactions | Any,
    customers: Customers | Any = None,
    *,
    as_of: str | dt.date | dt.datetime,
    horizon: str | dt.timedelta = "180d",
    like_for_like: Sequence[str] = (),
    confidence: float = 0.95,
) -> Any:
    r"""Compare what became of the customers whom each partner brought with those whom all others brought.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp``, ``amount`` and ``partner_id``.
    customers : Customers or dataframe of the same kind, optional
        Who the customers are. Where it has ``partner_id``, that is who brought a customer; else it is who sold the
        first order.
    as_of : date
        The day described from; lines on or after it are left out.
    horizon : duration such as "180d" or "26w", default "180d"
        How long each customer is followed from the first order on. Whoever has not been there as long is not counted.
    like_for_like : sequence of str, optional
        Columns of ``customers``, such as ``["region", "segment"]``: customers are compared with those of others who
        are the same in all of them. Of dated customers the state at the first order counts.
    confidence : float, default 0.95
        Of the intervals.

    Returns
    -------
    dataframe of the kind that came in, four rows per partner, sorted by ``partner_id`` and in the order of the metrics
        ``partner_id`` (String; ``"(direct)"``: brought by none), ``metric`` (String, see below), ``customer_count``
        (Int64, brought before ``as_of``), ``observed_count`` (Int64, those whose horizon is over: all that follows is
        of them), ``mean`` (Float64, a customer), ``mean_low``, ``mean_high``, ``others_mean`` (Float64, of the
        customers whom all others brought), ``difference`` (Float64, ``mean - others_mean``), ``difference_low``,
        ``difference_high``, ``p_value`` (Float64, of no difference), ``adjusted_p_value`` (Float64, after Holm for all
        partners of the metric), ``like_for_like_count`` (Int64, customers who have at least two of others alike; 0
        without ``like_for_like``), ``like_for_like_difference`` (Float64, the difference among those alike),
        ``like_for_like_difference_low``, ``like_for_like_difference_high``, ``like_for_like_p_value``,
        ``like_for_like_adjusted_p_value`` (Float64), ``caution`` (String).

        The metrics: ``first_order_amount`` (of the first order), ``horizon_amount`` (all that the customer brought
        within the horizon, through whomever, returns taken off), ``repeat_share`` (of the customers, with a second
        order within it), ``retained_share`` (with an order in its second half). Amounts are in the currency of
        ``amount``.

    Raises
    ------
    SchemaError, MissingColumnsError
        When a role or a column is missing, tables or ids are of different kinds, or nobody has been there for the
        horizon.

    Notes
    -----
    The horizon begins with the first order and counts calendar days. Amounts: Welch's interval, corrected for the
    skewness of amounts (Hall 1992). Shares: Wilson's interval, of differences Newcombe's, with the score or Fisher's
    test. Like for like: the partner's customers are dealt to strata, and in each compared with those of others; the
    differences are weighted as the partner's customers are spread (direct standardisation).

    **What it shows, and what not.** Partners differ in whom they meet. ``difference`` holds both, what the partner did
    and whom it met; ``like_for_like_difference`` takes out what the columns tell, and nothing else. In the made
    customer base of :func:`crmlytics.datasets.make_universe` the first partner of a region gets more of the premium
    customers: PA05, which does nothing to amounts, brings customers worth more than those of the others together.
    Where a partner serves a region alone, nobody is alike, and nothing can be told. The comparison is with the other
    partners there are: whom they bring moves it, too.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": [1, 2, 3, 4, 1, 3], "order_id": range(6), "partner_id": list("xxyyxy"),
    ...     "amount": [10.0, 14.0, 30.0, 34.0, 10.0, 40.0],
    ...     "timestamp": pd.to_datetime(["2024-01-01"] * 4 + ["2024-02-01"] * 2),
    ... })
    >>> table = partner_customer_table(orders, as_of="2024-06-01", horizon="60d")
    >>> table.loc[table["metric"] == "horizon_amount", ["partner_id", "observed_count", "mean", "others_mean"]]
      partner_id  observed_count  mean  others_mean
    1          x               2  17.0         52.0
    5          y               2  52.0         17.0
    """
    end, days = as_moment(as_of, caller=CALLER), as_days(horizon, caller=CALLER)
    level = check_fraction(confidence, name="confidence", caller=CALLER)
    sales = read_sales(transactions, as_of=end, caller=CALLER)
    brought = read_brought(sales, customers, strata=like_for_like, caller=CALLER)
    observed = brought.only(is_observed(brought.first_day, end, days, caller=CALLER))
    values = _outcomes(sales, observed, days)
    columns = _compared(observed, values, level)
    count = np.bincount(brought.partner, minlength=len(brought.names))
    return _table(sales, observed, columns, count)


# -- inside --------------------------------------------------------------------------------------------------------


def _outcomes(sales: Sales, observed: Brought, days: int) -> dict[str, Vector]:
    """Return the metrics of each customer observed."""
    bought = followed(sales, observed.customer, observed.first, days)
    return {
        "first_order_amount": bought.total(sales.amount, bought.is_first),
        "horizon_amount": bought.total(sales.amount),
        "repeat_share": bought.whether(bought.is_later),
        "retained_share": bought.whether(bought.is_later & (2 * bought.since >= days)),
    }


def _compared(observed: Brought, values: dict[str, Vector], level: float) -> list[Columns]:
    from crmlytics._kernels.like_for_like import against_others
    from crmlytics._kernels.multiple_testing import holm

    groups, has_strata = len(observed.names), observed.stratum is not None
    stratum = np.zeros(len(observed.partner), np.int64) if observed.stratum is None else observed.stratum
    found = []
    for name, numbers in values.items():
        plain = _shares if name.endswith("_share") else _amounts
        columns = plain(numbers, observed.partner, groups, level)
        alike = against_others(numbers, observed.partner, groups, stratum)
        low, high = alike.interval(level)
        told = {
            "like_for_like_difference": alike.difference,
            "like_for_like_difference_low": low,
            "like_for_like_difference_high": high,
            "like_for_like_p_value": alike.p_value(),
            "like_for_like_adjusted_p_value": holm(alike.p_value()),
        }
        none = np.full(groups, np.nan)
        columns |= {key: column if has_strata else none for key, column in told.items()}
        columns["like_for_like_count"] = alike.members if has_strata else np.zeros(groups, np.int64)
        columns["adjusted_p_value"] = holm(columns["p_value"])
        found.append(columns)
    return found


def _amounts(values: Vector, group: NDArray[np.int64], groups: int, level: float) -> dict[str, NDArray[Any]]:
    from crmlytics._kernels.like_for_like import against_others, mean_interval

    mean, low, high = mean_interval(values, group, groups, level)
    other = _means_of_others(values, group, groups)
    told = against_others(values, group, groups, np.zeros(len(group), np.int64))
    least, most = told.interval(level)
    return {
        "mean": mean, "mean_low": low, "mean_high": high, "others_mean": other, "difference": mean - other,
        "difference_low": least, "difference_high": most, "p_value": told.p_value(),
    }  # fmt: skip


def _shares(values: Vector, group: NDArray[np.int64], groups: int, level: float) -> dict[str, NDArray[Any]]:
    from crmlytics._kernels.proportions import wilson
    from crmlytics._kernels.treatment_effects import share_effects

    total = np.bincount(group, minlength=groups)
    count = np.bincount(group, values, groups).astype(np.int64)
    low, high = wilson(count, total, level)
    told = share_effects(count, total, count.sum() - count, total.sum() - total, level)
    return {
        "mean": told.treated_mean, "mean_low": low, "mean_high": high, "others_mean": told.control_mean,
        "difference": told.difference, "difference_low": told.difference_low,
        "difference_high": told.difference_high, "p_value": told.p_value,
    }  # fmt: skip


def _means_of_others(values: Vector, group: NDArray[np.int64], groups: int) -> Vector:
    count, total = np.bincount(group, minlength=groups), np.bincount(group, values, groups)
    return over(values.sum() - total, len(values) - count)


def _table(sales: Sales, observed: Brought, metrics: list[Columns], brought: NDArray[np.int64]) -> Any:
    """Put the metrics of each partner below one another."""
    partners = rows_in_order(observed.names, np.flatnonzero(brought), sales.table)
    seen = np.bincount(observed.partner, minlength=len(brought))
    columns: dict[str, NDArray[Any]] = {
        PARTNER: np.repeat(np.array(observed.names, object)[partners], len(METRICS)),
        "metric": np.tile(np.array(METRICS, object), len(partners)),
        "customer_count": np.repeat(brought[partners], len(METRICS)),
        "observed_count": np.repeat(seen[partners], len(METRICS)),
    }
    for name in metrics[0]:
        columns[name] = np.column_stack([metric[name][partners] for metric in metrics]).ravel()
    columns["caution"] = _cautions(columns, has_strata=observed.stratum is not None)
    return sales.engine.from_columns({name: columns[name] for name in SCHEMA}, SCHEMA)


def _cautions(columns: dict[str, NDArray[Any]], *, has_strata: bool) -> NDArray[Any]:
    told = [
        (not has_strata, "Whom the partner met is not taken out: give like_for_like."),
        (columns["observed_count"] < FEW, f"Fewer than {FEW} customers."),
        (np.isnan(columns["others_mean"]), "No other customers to compare with."),
        (has_strata & (columns["like_for_like_count"] == 0), "None of others is alike."),
    ]
    return cautions(len(columns["mean"]), told, first=NO_CAUSE)
