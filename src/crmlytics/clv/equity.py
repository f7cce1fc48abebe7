"""What a customer base is worth, present customers and those still to be won, and what moves that worth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from crmlytics._frames import collect, columns_of, enter
from crmlytics._kernels.markov import discounted_renewals
from crmlytics._validation import as_days, check_amount, check_count
from crmlytics.clv._purchases import PurchaseModel, horizon_and_rate
from crmlytics.clv.lifetime_value import NewCustomerValue
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from crmlytics._kernels.special import Vector

DAYS_A_YEAR = 365.0
VALUE = "clv_amount"
STEP = 1e-3  # of a logarithm: with five points an elasticity of 1 is exact to 1e-12, one of 10 to 1e-8


# -- customer equity


@dataclass(frozen=True, slots=True)
class CustomerEquity:
    """The worth of a customer base: of the present customers, and of those still to be won.

    Attributes
    ----------
    customer_count : int
        Present customers.
    present_amount : float
        Their lifetime values, added up.
    new_customer_count : float
        To be won within the horizon.
    new_amount : float
        Their lifetime values, discounted to today.
    acquisition_cost_amount : float
        What winning them costs, discounted to today.
    """

    customer_count: int
    present_amount: float
    new_customer_count: float
    new_amount: float
    acquisition_cost_amount: float

    @property
    def equity_amount(self) -> float:
        """Present and new customers, less the cost of winning the new ones."""
        return self.present_amount + self.new_amount - self.acquisition_cost_amount

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each part and for the whole, as pandas.

        Columns: ``part`` (``"present customers"``, ``"new customers"``, ``"all"``), ``customer_count``,
        ``value_amount``, ``acquisition_cost_amount``, ``equity_amount`` (the former less the latter; all float).
        """
        counts = np.array([self.customer_count, self.new_customer_count])
        values = np.array([self.present_amount, self.new_amount])
        costs = np.array([0.0, self.acquisition_cost_amount])
        numbers = {
            "customer_count": counts,
            "value_amount": values,
            "acquisition_cost_amount": costs,
            "equity_amount": values - costs,
        }
        columns = {name: [*parts.tolist(), float(parts.sum())] for name, parts in numbers.items()}
        return pd.DataFrame({"part": ["present customers", "new customers", "all"], **columns})

    def elasticity_table(self, *, retention_elasticity: float | None = None) -> pd.DataFrame:
        """Say by how many per cent customer equity rises if a lever rises by one per cent.

        Parameters
        ----------
        retention_elasticity : float, optional
            Of the lifetime value of a customer, present or new, to retention: it depends on the model of retention, see
            :func:`retention_elasticity_table` and :func:`elasticity_table`. Adds the lever ``"retention"``.

        Returns
        -------
        pandas.DataFrame, one row per lever
            ``lever`` (``"acquisition_cost"``, ``"margin"``, ``"new_customer_count"``, ``"new_customer_value"``,
            ``"order_value"``, ``"present_customer_value"``, ``"retention"``), ``elasticity``.

        Raises
        ------
        SchemaError
            If equity is not above zero: a per cent of a loss says nothing.

        Notes
        -----
        Lifetime values are taken to be proportional to margin and to order value, as they are where no fixed cost a
        customer is taken off: then both levers move all values alike.
        """
        whole = self.equity_amount
        if not whole > 0:
            msg = f"CustomerEquity.elasticity_table: equity is {whole:,.2f}; elasticities need one above zero."
            raise SchemaError(msg)
        values = self.present_amount + self.new_amount
        moved = {
            "acquisition_cost": -self.acquisition_cost_amount,
            "margin": values,
            "new_customer_count": self.new_amount - self.acquisition_cost_amount,
            "new_customer_value": self.new_amount,
            "order_value": values,
            "present_customer_value": self.present_amount,
        }
        if retention_elasticity is not None:
            moved["retention"] = float(retention_elasticity) * values
        return pd.DataFrame({"lever": list(moved), "elasticity": [amount / whole for amount in moved.values()]})


def customer_equity(
    values: Any,
    *,
    new_customers_per_period: float | Sequence[float],
    new_customer_value: float | NewCustomerValue,
    acquisition_cost: float | None = None,
    horizon: Any,
    discount_rate: float,
    period: str = "365d",
) -> CustomerEquity:
    """Add up what the present customers are worth, and those that are expected to be won.

    Parameters
    ----------
    values : dataframe with a column ``clv_amount``, list of numbers, or number
        Lifetime values of the present customers, such as :func:`clv_table` gives them.
    new_customers_per_period : float or sequence of float
        Customers won in each period, or in the first, second, ... period of the horizon.
    new_customer_value : float or NewCustomerValue
        Lifetime value of a customer at the moment of being won, without the cost of that; or what
        :func:`new_customer_value` returned, which knows its cost.
    acquisition_cost : float
        Of winning one customer. Not with a ``NewCustomerValue``.
    horizon : str
        How long customers go on being won, such as ``"1825d"``: a whole number of periods.
    discount_rate : float
        Annual; 0 for none. A period counts as its days / 365 years.
    period : str, default "365d"
        In days or weeks.

    Returns
    -------
    CustomerEquity
        Has ``to_frame()`` and ``elasticity_table()``.

    Raises
    ------
    SchemaError
        If a value is missing or not finite, or the horizon is no whole number of periods.

    Notes
    -----
    ``sum of values + sum over k = 1, ..., n of N_k (V - c) / (1 + d)^(k p)``, with p the years of a period: the
    customers of a period count at its end, which is the cautious choice.

    References
    ----------
    Blattberg, R. and Deighton, J. (1996), Manage marketing by the customer equity test, Harvard Business Review,
    July-August, 136-144. Gupta, S., Lehmann, D. and Stuart, J. (2004), Valuing customers, Journal of Marketing Research
    41(1), 7-18.

    Examples
    --------
    >>> equity = customer_equity(
    ...     [120.0, 80.0, 0.0], new_customers_per_period=2, new_customer_value=90.0, acquisition_cost=30.0,
    ...     horizon="730d", discount_rate=0.1)
    >>> equity.to_frame()[["part", "customer_count", "value_amount", "equity_amount"]].round(2)
                    part  customer_count  value_amount  equity_amount
    0  present customers             3.0         200.0         200.00
    1      new customers             4.0         312.4         208.26
    2                all             7.0         512.4         408.26
    """
    caller = "customer_equity"
    present = _read_values(values, caller=caller)
    worth, cost = _worth_and_cost(new_customer_value, acquisition_cost, caller=caller)
    rate = check_amount(discount_rate, name="discount_rate", caller=caller)
    length = as_days(period, name="period", caller=caller)
    won = _read_new_customers(new_customers_per_period, _whole_periods(horizon, length, caller=caller), caller=caller)
    discounted = float(np.sum(won * (1 + rate) ** (-np.arange(1, len(won) + 1) * length / DAYS_A_YEAR)))
    return CustomerEquity(
        customer_count=len(present),
        present_amount=math.fsum(present),
        new_customer_count=math.fsum(won),
        new_amount=discounted * worth,
        acquisition_cost_amount=discounted * cost,
    )


def _worth_and_cost(value: Any, cost: Any, *, caller: str) -> tuple[float, float]:
    """Return what a new customer is worth before the cost of acquisition, and that cost: it is taken off once."""
    if isinstance(value, NewCustomerValue):
        if cost is not None:
            known = f"{value.acquisition_cost:g}"
            raise SchemaError(f"{caller}: new_customer_value knows its acquisition_cost of {known}: leave it out here.")
        return value.clv_amount + value.acquisition_cost, value.acquisition_cost
    worth = check_amount(value, name="new_customer_value", caller=caller)
    return worth, check_amount(cost, name="acquisition_cost", caller=caller)


def _read_values(values: Any, *, caller: str) -> Vector:
    if isinstance(values, (int, float, list, tuple, np.ndarray, np.number)) or getattr(values, "ndim", 2) == 1:
        try:
            numbers = np.atleast_1d(np.asarray(values, dtype=float))
        except (TypeError, ValueError) as error:
            raise SchemaError(f"{caller}: values must be numbers, got {values!r:.60}.") from error
        if numbers.ndim != 1:
            raise SchemaError(f"{caller}: values must be one list of numbers, got {numbers.ndim} dimensions.")
    else:
        frame, _ = enter(values, caller=caller)
        if VALUE not in columns_of(frame):
            msg = f"{caller} needs a column {VALUE!r} or a list of numbers, got columns {columns_of(frame)}."
            raise MissingColumnsError(msg)
        kind = frame.collect_schema()[VALUE]
        if not kind.is_numeric():
            raise SchemaError(f"{caller}: column {VALUE!r} holds {kind}, expected numbers.")
        column = collect(frame.select(nw.col(VALUE).cast(nw.Float64).fill_null(math.nan)))[VALUE]
        numbers = np.asarray(column.to_numpy(), dtype=float)
    bad = int((~np.isfinite(numbers)).sum())
    if bad:
        raise SchemaError(f"{caller}: {bad} of {len(numbers)} lifetime values are missing or infinite.")
    return numbers


def _whole_periods(horizon: Any, length: int, *, caller: str) -> int:
    days = as_days(horizon, name="horizon", caller=caller)
    if days % length:
        msg = f"{caller}: the horizon of {days} days is no whole number of periods of {length} days."
        raise SchemaError(msg)
    return days // length


def _read_new_customers(value: Any, periods: int, *, caller: str) -> Vector:
    name = "new_customers_per_period"
    if np.ndim(value) == 0:
        return np.full(periods, check_amount(value, name=name, caller=caller))
    if len(value) != periods:
        msg = (
            f"{caller}: {name} has {len(value)} numbers, expected one for each of the {periods} periods of the horizon."
        )
        raise SchemaError(msg)
    return np.array([check_amount(each, name=name, caller=caller) for each in list(value)])


# -- elasticities


def elasticity_table(value: Callable[[dict[str, float]], float], levers: Mapping[str, float]) -> pd.DataFrame:
    """Say by how many per cent a value rises if a lever rises by one per cent: any value, any lever.

    Parameters
    ----------
    value : function of a dict of levers that returns a number
        Such as the lifetime value of a new customer as a function of the parameters of a model.
    levers : dict of name to number above zero
        Where to look from.

    Returns
    -------
    pandas.DataFrame, one row per lever, in the order given
        ``lever``, ``level`` (what it is now), ``elasticity`` (``d ln value / d ln lever``).

    Raises
    ------
    SchemaError
        If a lever is not above zero, or the value is zero or not finite there or near by.

    Notes
    -----
    Central differences of five points in the logarithm of one lever at a time. In models without a contract a lever
    of retention is what scales dropout: ``beta`` of the Pareto/NBD (customers live longer in proportion), ``a`` of the
    BG/NBD (an elasticity to dropout: negative).

    Examples
    --------
    >>> def value(levers):  # margin times r / (1 + d - r)
    ...     return levers["margin"] * levers["retention"] / (1.1 - levers["retention"])
    >>> elasticity_table(value, {"margin": 50.0, "retention": 0.8}).round(3)
           lever  level  elasticity
    0     margin   50.0       1.000
    1  retention    0.8       3.667
    """
    caller = "elasticity_table"
    level = {name: check_amount(number, name=name, caller=caller, positive=True) for name, number in levers.items()}

    def at(name: str, steps: int) -> float:
        found = float(value({**level, name: level[name] * math.exp(steps * STEP)}))
        if not math.isfinite(found):
            raise SchemaError(
                f"{caller}: the value is {found} where {name} is {level[name] * math.exp(steps * STEP):g}."
            )
        return found

    here = float(value(dict(level)))
    if here == 0 or not math.isfinite(here):
        raise SchemaError(f"{caller}: the value is {here:g} at the levers given; a per cent of it says nothing.")
    slopes = [(8 * (at(name, 1) - at(name, -1)) - (at(name, 2) - at(name, -2))) / (12 * STEP) / here for name in level]
    return pd.DataFrame({"lever": list(level), "level": list(level.values()), "elasticity": slopes})


def retention_elasticity(X: Any, *, counts: PurchaseModel, horizon: Any, discount_rate: float) -> float:
    """Say by how many per cent the future purchases of a base without contracts rise if customers stay 1 % longer.

    Parameters
    ----------
    X : dataframe, one row per customer, as :func:`btyd_table` makes it
    counts : fitted model of purchases
        Any but the CNBD-k models, in which leaving and buying keep step.
    horizon : str, float or "lifetime"
        As in :func:`clv_table`.
    discount_rate : float
        Annual; above 0 for ``"lifetime"``.

    Returns
    -------
    float
        ``d ln V / d ln c``, where V is the sum of the discounted purchases of all customers and c stretches the time
        they have still to stay: from now on, everybody's hazard of leaving is divided by c. 0 if nobody leaves. With
        constant margins it is the elasticity of lifetime value too: for :meth:`CustomerEquity.elasticity_table`.

    Notes
    -----
    With u = t / c, stretching lifetimes by c is the same as discounting c times as fast up to horizon / c, c times
    over: ``V(c) = c V(horizon / c, c rate)``. Customers differ in their hazard of leaving, as Fader and Hardie (2010)
    demand for customers with contracts.

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.clv import ParetoNBDModel, btyd_table
    >>> from crmlytics.datasets import load_cdnow
    >>> orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    >>> table = btyd_table(orders, as_of="1997-10-01", unit="7d")
    >>> model = ParetoNBDModel().fit(table)
    >>> round(retention_elasticity(table, counts=model, horizon="lifetime", discount_rate=0.15), 3)
    0.403
    """
    caller = "retention_elasticity"
    if not isinstance(counts, PurchaseModel) or hasattr(counts, "k_"):
        kind = type(counts).__name__
        raise SchemaError(f"{caller}: counts must be a fitted NBD, Pareto/NBD, BG/NBD or MBG/NBD model, got {kind}.")
    check_is_fitted(counts)
    units, rate = horizon_and_rate(counts, horizon, discount_rate, caller=caller)
    _, population = counts._enter(X, caller=caller)
    alive = population.alive(counts.theta_)

    def value(stretch: float) -> float:
        purchases = population.discounted(counts.theta_, units / stretch, rate * stretch)
        return stretch * float(np.sum(alive * purchases))

    return float(elasticity_table(lambda lever: value(lever["stay"]), {"stay": 1.0})["elasticity"][0])


def retention_elasticity_table(
    alpha: float, beta: float, *, discount_rate: float, most_renewals: int = 4
) -> pd.DataFrame:
    """Set the value of contract customers who differ in retention beside that of customers who are all alike.

    Everybody has a retention rate r of their own, which varies over customers as beta(beta, alpha), the shifted
    beta-geometric model. Those who have renewed more often are the more loyal ones: residual lifetime is longer, and
    gains more from a rise of everybody's r, than the retention rate they show now would make believe.

    Parameters
    ----------
    alpha, beta : float
        Parameters of a fitted :class:`ShiftedBetaGeoModel`; the mean churn rate is ``alpha / (alpha + beta)``.
    discount_rate : float
        Per period, above zero.
    most_renewals : int, default 4
        Rows for customers who have renewed 0, 1, ... times.

    Returns
    -------
    pandas.DataFrame, one row per number of renewals made
        ``renewal_count`` (int), ``retention_rate`` (mean of those who are still there: what can be observed),
        ``residual_lifetime_count`` (discounted expected further periods of a customer about to renew or not, the
        renewal at hand not discounted: ``E[r (1 + d) / (1 + d - r)]``), ``elasticity`` (per cent by which that rises if
        everybody's r rises by one per cent), ``constant_rate_lifetime_count`` and ``constant_rate_elasticity`` (the
        same if all had the observed rate: ``r (1 + d) / (1 + d - r)`` and ``(1 + d) / (1 + d - r)``). All float.

    Notes
    -----
    By Jensen's inequality the constant rate gives too low a value and too low an elasticity, always.

    References
    ----------
    Fader, P. and Hardie, B. (2010), Customer-base valuation in a contractual setting: the perils of ignoring
    heterogeneity, Marketing Science 29(1), 85-93. The example is their second case.

    Examples
    --------
    >>> table = retention_elasticity_table(1 / 15, 4 / 15, discount_rate=0.1, most_renewals=2)
    >>> table[["renewal_count", "residual_lifetime_count", "elasticity", "constant_rate_elasticity"]].round(2)
       renewal_count  residual_lifetime_count  elasticity  constant_rate_elasticity
    0              0                     7.68       10.38                      3.67
    1              1                     9.46       10.47                      7.33
    2              2                     9.86       10.53                      8.56
    """
    caller = "retention_elasticity_table"
    alpha = check_amount(alpha, name="alpha", caller=caller, positive=True)
    beta = check_amount(beta, name="beta", caller=caller, positive=True)
    d = check_amount(discount_rate, name="discount_rate", caller=caller, positive=True)
    renewals = np.arange(check_count(most_renewals, name="most_renewals", caller=caller, least=0) + 1)
    rate = (beta + renewals) / (alpha + beta + renewals)
    found = np.array([discounted_renewals(alpha, beta + float(n), d) for n in renewals])
    constant = (1 + d) / (d + alpha / (alpha + beta + renewals))
    return pd.DataFrame(
        {
            "renewal_count": renewals,
            "retention_rate": rate,
            "residual_lifetime_count": found[:, 0],
            "elasticity": found[:, 1] / found[:, 0],
            "constant_rate_lifetime_count": rate * constant,
            "constant_rate_elasticity": constant,
        },
    )
