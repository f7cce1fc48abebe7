"""Customer lifetime value: discounted purchases times what an order is worth times the margin on it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from crmlytics._frames import columns_of, compute, enter
from crmlytics._kernels.uncertainty import interval_around
from crmlytics._validation import check_amount, check_fraction
from crmlytics.clv._base import CountingModel
from crmlytics.clv._histories import read_histories, refuse_rows
from crmlytics.clv.gamma_gamma import GammaGammaModel
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from crmlytics._kernels.special import Vector
    from crmlytics.clv._histories import Histories


def clv_table(
    X: Any,
    *,
    counts: CountingModel,
    spend: GammaGammaModel | str | None = None,
    horizon: Any,
    discount_rate: float,
    margin: float | str | None = None,
    order_margin_amount: float | str | None = None,
    interval: float = 0.9,
) -> Any:
    """Value the purchases that each customer has still to make.

    What is past is past: neither purchases already made nor the cost of having won the customer are in it. For a
    customer still to be won, see :func:`new_customer_value`.

    Parameters
    ----------
    X : dataframe, one row per customer, as :func:`btyd_table` makes it
    counts : fitted model of purchases
        Such as :class:`ModifiedBetaGeoModel`; or of contracts, in which every renewal counts as a purchase, such as
        :class:`ShiftedBetaGeoModel`, with a table of :func:`tenure_table`.
    spend : fitted :class:`GammaGammaModel`, or name of a column
        Says what an order of a customer is worth; a column holds amounts of your own. Not needed with
        ``order_margin_amount``.
    horizon : str, float or "lifetime"
        How far to look: ``"365d"``, a number of units of ``T``, or ``"lifetime"`` for ever after, which needs a
        ``discount_rate`` above zero. For models by opportunity or renewal, a whole number of these or "lifetime".
    discount_rate : float
        Annual; 0 for none. A purchase in half a year counts ``(1 + discount_rate) ** -0.5``. For models by opportunity
        or renewal: per period, counted as their ``score_table`` does.
    margin : float, or name of a column
        The share of revenue that is left after the costs of the order, above 0 and up to 1. Without it there is
        revenue, and no ``clv_amount``.
    order_margin_amount : float, or name of a column, optional
        What is left of an order, as an amount, instead of ``spend`` times ``margin``.
    interval : float, default 0.9
        The probability that an interval, ``_low`` to ``_high``, is made to hold: how well the parameters are known.

    Returns
    -------
    dataframe of the kind that came in, one row per customer, sorted by key
        All Float64, each with ``_low`` and ``_high``: ``discounted_purchase_count``; ``expected_order_amount`` and
        ``expected_revenue_amount`` (their product) with ``spend``; ``clv_amount`` with ``margin`` or
        ``order_margin_amount``. Amounts are in the currency that came in. Where the mean order is infinite under the
        fitted Gamma-Gamma model (q <= 1, one-time buyers), so is the value.

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.clv import GammaGammaModel, ModifiedBetaGeoModel, btyd_table, clv_table
    >>> from crmlytics.datasets import load_cdnow
    >>> orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    >>> table = btyd_table(orders, as_of="1997-10-01", unit="7d")
    >>> counts, spend = ModifiedBetaGeoModel().fit(table), GammaGammaModel().fit(table)
    >>> value = clv_table(table, counts=counts, spend=spend, horizon="365d", discount_rate=0.1, margin=0.3)
    >>> columns = ["customer_id", "clv_amount_low", "clv_amount", "clv_amount_high"]
    >>> print(value[columns].head(3).round(2).to_string())
       customer_id  clv_amount_low  clv_amount  clv_amount_high
    0            1           10.48       11.33            12.25
    1            2            1.05        1.31             1.63
    2            3            1.74        2.00             2.29
    """
    caller = "clv_table"
    _check_models(counts, spend, margin, order_margin_amount, caller=caller)
    check_fraction(interval, name="interval", caller=caller)
    _, engine = enter(X, caller=caller)
    X = compute(X, caller=caller).to_native()  # once: several models read it, and must see the same order of rows
    table, value, error = counts._value_of_customers(X, horizon, discount_rate, caller=caller)
    purchases = _Estimate(value, error / np.where(value > 0, value, 1.0))
    columns = {"discounted_purchase_count": purchases}
    if spend is not None:
        columns["expected_order_amount"] = _order_amounts(X, spend, caller=caller)
        columns["expected_revenue_amount"] = purchases.times(columns["expected_order_amount"])
    if margin is not None:
        share = _Estimate.of(_column_or_number(X, margin, table, name="margin", most=1.0, caller=caller))
        columns["clv_amount"] = columns["expected_revenue_amount"].times(share)
    if order_margin_amount is not None:
        amount = _column_or_number(X, order_margin_amount, table, name="order_margin_amount", caller=caller)
        columns["clv_amount"] = purchases.times(_Estimate.of(amount))
    scores: dict[str, Vector] = {}
    for name, estimate in columns.items():
        scores |= estimate.columns(name, interval)
    return table.score_frame(scores, engine)


@dataclass(frozen=True, slots=True)
class NewCustomerValue:
    """What a customer still to be won is worth.

    Attributes
    ----------
    discounted_purchase_count : float
        Repeat purchases.
    order_amount : float
    repeat_purchase_amount, first_purchase_amount : float
        Margin on them; the first one is 0 if it was chosen not to count.
    acquisition_cost : float
    clv_amount : float
        Margin on all purchases that count, less the cost of acquisition.
    """

    discounted_purchase_count: float
    order_amount: float
    repeat_purchase_amount: float
    first_purchase_amount: float
    acquisition_cost: float
    clv_amount: float

    def to_frame(self) -> pd.DataFrame:
        """Return one row with the attributes as columns."""
        return pd.DataFrame([asdict(self)])


def new_customer_value(
    *,
    counts: CountingModel,
    spend: GammaGammaModel | float,
    horizon: Any,
    discount_rate: float,
    margin: float,
    count_first_purchase: bool,
    acquisition_cost: float,
    like: Any = None,
) -> NewCustomerValue:
    """Value a customer from the moment of the first purchase.

    Parameters
    ----------
    counts, horizon, discount_rate
        As in :func:`clv_table`.
    spend : fitted :class:`GammaGammaModel` without covariates, or the mean amount of an order
    margin : float
        The share of revenue that is left after the costs of an order.
    count_first_purchase : bool
        Whether the margin on the first purchase belongs to the value. It does if the question is what may be paid for
        winning a customer; it does not if that purchase pays for itself elsewhere.
    acquisition_cost : float
        What winning the customer costs; 0 to leave it out.
    like : dataframe, optional
        Customers whose covariates the new ones will have, on average; needed if ``counts`` has covariates.

    Returns
    -------
    NewCustomerValue

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.clv import GammaGammaModel, ModifiedBetaGeoModel, btyd_table, new_customer_value
    >>> from crmlytics.datasets import load_cdnow
    >>> orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    >>> table = btyd_table(orders, as_of="1997-10-01", unit="7d")
    >>> counts, spend = ModifiedBetaGeoModel().fit(table), GammaGammaModel().fit(table)
    >>> value = new_customer_value(counts=counts, spend=spend, horizon="lifetime", discount_rate=0.1, margin=0.3,
    ...                            count_first_purchase=True, acquisition_cost=12.0)
    >>> round(value.clv_amount, 2)
    39.14
    """
    caller = "new_customer_value"
    if isinstance(spend, GammaGammaModel):
        check_is_fitted(spend)
        if spend.coefficients_:
            msg = f"{caller}: spend has covariates, so there is no one mean. Give the mean of their orders: spend=35.0."
            raise SchemaError(msg)
        order_amount = spend.population_mean_amount_
    else:
        order_amount = check_amount(spend, name="spend", caller=caller, positive=True)
    _check_counts(counts, caller=caller)
    if not isinstance(count_first_purchase, bool):
        raise SchemaError(f"{caller}: count_first_purchase must be True or False, got {count_first_purchase!r}.")
    margin = _check_share(margin, caller=caller)
    cost = check_amount(acquisition_cost, name="acquisition_cost", caller=caller)
    purchases = counts._value_of_new_customer(like, horizon, discount_rate, caller=caller)
    first = margin * order_amount if count_first_purchase else 0.0
    repeat = margin * order_amount * purchases
    return NewCustomerValue(purchases, order_amount, repeat, first, cost, repeat + first - cost)


@dataclass(frozen=True, slots=True)
class _Estimate:
    """A positive amount per customer, with its standard error relative to it."""

    value: Vector
    relative_error: Vector

    @classmethod
    def of(cls, value: Vector) -> _Estimate:
        return cls(value, np.zeros_like(value))

    def times(self, other: _Estimate) -> _Estimate:
        """Multiply with an independent estimate: relative errors add up as squares."""
        with np.errstate(invalid="ignore"):
            product = self.value * other.value
        product = np.where(np.isnan(product), 0.0, product)  # an infinite order that will not be placed
        return _Estimate(product, np.hypot(self.relative_error, other.relative_error))

    def columns(self, name: str, level: float) -> dict[str, Vector]:
        finite = np.where(np.isfinite(self.value), self.value, 1.0)
        bounds = interval_around(finite, finite * self.relative_error, level=level, scale="log")
        low = np.where(np.isfinite(self.value), bounds.low, self.value)
        high = np.where(np.isfinite(self.value), bounds.high, self.value)
        return {name: self.value, f"{name}_low": low, f"{name}_high": high}


def _check_models(counts: Any, spend: Any, margin: Any, order_margin_amount: Any, *, caller: str) -> None:
    _check_counts(counts, caller=caller)
    if isinstance(spend, GammaGammaModel):
        check_is_fitted(spend)
    elif spend is not None and not isinstance(spend, str):
        msg = f"{caller}: spend must be a fitted GammaGammaModel or the name of a column, got {type(spend).__name__}."
        raise SchemaError(msg)
    if margin is not None and order_margin_amount is not None:
        raise SchemaError(f"{caller}: give margin (a share) or order_margin_amount (an amount an order), not both.")
    if spend is None and order_margin_amount is None:
        raise SchemaError(f"{caller}: needs spend=<a fitted GammaGammaModel or a column>, or order_margin_amount=5.0.")


def _check_counts(counts: Any, *, caller: str) -> None:
    if not isinstance(counts, CountingModel):
        kind = type(counts).__name__
        msg = f"{caller}: counts must be a fitted model of purchases such as ModifiedBetaGeoModel, got {kind}."
        raise SchemaError(msg)
    check_is_fitted(counts)


def _check_share(margin: Any, *, caller: str) -> float:
    share = check_amount(margin, name="margin", caller=caller, positive=True)
    if share > 1:
        msg = (
            f"{caller}: margin must be a share of revenue, above 0 and up to 1, got {margin!r}. "
            "For an amount an order type order_margin_amount=..., for percent divide by 100."
        )
        raise SchemaError(msg)
    return share


def _order_amounts(X: Any, spend: GammaGammaModel | str, *, caller: str) -> _Estimate:
    if isinstance(spend, GammaGammaModel):
        value, error = spend._amounts(spend._enter(X, caller=caller))
        return _Estimate(value, error / np.where(np.isfinite(value), value, 1.0))
    table = read_histories(X, spend, caller=caller)
    bad = ~(np.isfinite(table[spend]) & (table[spend] >= 0))
    refuse_rows(table, bad, f"no amount of zero or more in {spend!r}", "", caller=caller)
    return _Estimate.of(table[spend])


def _column_or_number(
    X: Any, given: float | str, table: Histories, *, name: str, caller: str, most: float = math.inf
) -> Vector:
    if isinstance(given, str) and given not in columns_of(enter(X, caller=caller)[0]):
        msg = f"{caller}: {name}={given!r} is not a column. Give a number such as {name}=0.3, or the name of a column."
        raise MissingColumnsError(msg)
    if not isinstance(given, str):
        number = _check_share(given, caller=caller) if most == 1.0 else check_amount(given, name=name, caller=caller)
        return np.full(len(table), number)
    column = read_histories(X, given, caller=caller)
    bad = ~(np.isfinite(column[given]) & (column[given] >= 0) & (column[given] <= most))
    bounds = "between 0 and 1" if most == 1.0 else "of zero or more"
    refuse_rows(column, bad, f"no {name} {bounds} in {given!r}", "", caller=caller)
    return column[given]
