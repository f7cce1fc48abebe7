"""What a fitted model of purchases says of customers, as tables that can be drawn."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy import special

from crmlytics._frames import collect, day_number
from crmlytics._kernels.effects import params_of
from crmlytics._kernels.population import Population
from crmlytics._validation import as_days, as_moment, check_count
from crmlytics.clv._covariates import check_levels
from crmlytics.clv._drawable import EPOCH, check_model, with_moments
from crmlytics.clv._histories import KEY, in_units, read_histories
from crmlytics.clv.preparing import last_day_before, purchase_days
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    import numpy.typing as npt

    from crmlytics._kernels.effects import Effect
    from crmlytics._kernels.special import Vector
    from crmlytics.clv._purchases import PurchaseModel

    Whole = npt.NDArray[np.int64]

CELLS = 50
SHOWN_SHARE = 0.99  # of the customers; the rest is the long tail to the right


def recency_frequency_table(
    model: PurchaseModel, *, T: Any, horizon: Any, most_frequency: int = 20, steps: int = 20, like: Any = None
) -> pd.DataFrame:
    """Say of each mix of frequency and recency how likely the customer is alive and what is still to come.

    Parameters
    ----------
    model : fitted model of purchases
    T : str or float
        For how long the customers have been watched: a duration such as ``"39w"``, or a number of units.
    horizon : str or float
        How far to look ahead.
    most_frequency : int, default 20
        Frequencies from 0 to this are shown.
    steps : int, default 20
        Recencies are 0 and this many equal steps up to T.
    like : dataframe of one row, optional
        Needed if the model has covariates: the customer whose covariates all have.

    Returns
    -------
    pandas.DataFrame, one row per frequency and recency
        ``frequency`` (Int64), ``recency`` (Float64, in units, from the first to the last purchase),
        ``alive_probability`` and ``expected_purchase_count`` (Float64, in the horizon; missing where there is no such
        customer: recency is 0 if, and only if, frequency is).

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.clv import ParetoNBDModel, btyd_table, recency_frequency_table
    >>> from crmlytics.datasets import load_cdnow
    >>> orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    >>> model = ParetoNBDModel().fit(btyd_table(orders, as_of="1997-10-01"))
    >>> table = recency_frequency_table(model, T="36w", horizon="52w", most_frequency=10, steps=3)
    >>> print(table.pivot(index="recency", columns="frequency", values="alive_probability")[[0, 1, 10]].round(2))
    frequency    0    1     10
    recency
    0.0        0.31  NaN   NaN
    12.0        NaN  0.5  0.01
    24.0        NaN  0.8  0.42
    36.0        NaN  1.0  1.00
    """
    caller = "recency_frequency_table"
    check_model(model, caller=caller)
    watched, ahead = (in_units(value, model.unit, caller=caller) for value in (T, horizon))
    most_frequency = check_count(most_frequency, name="most_frequency", caller=caller)
    steps = check_count(steps, name="steps", caller=caller)
    step, x = np.divmod(np.arange((steps + 1) * (most_frequency + 1)), most_frequency + 1)
    possible = (x == 0) == (step == 0)
    x, t_x = x.astype(float), watched * (step / steps)
    who = np.zeros(int(possible.sum()), dtype=np.intp)
    effects = [effect.of(who) for effect in _effects_of_one(model, like, caller=caller)]
    customers = Population(model._process, x[possible], t_x[possible], np.full(len(who), watched), effects)
    alive, expected = np.full(len(x), np.nan), np.full(len(x), np.nan)
    alive[possible] = customers.alive(model.theta_)
    expected[possible] = alive[possible] * customers.expected(model.theta_, ahead)
    columns = {"frequency": x.astype(np.int64), "recency": t_x}
    return pd.DataFrame(columns | {"alive_probability": alive, "expected_purchase_count": expected})


def alive_history_table(
    model: PurchaseModel,
    transactions: Transactions | Any,
    *,
    customer_id: int | str,
    as_of: str | dt.date | dt.datetime,
    step: str = "1d",
    like: Any = None,
) -> Any:
    """Follow how likely one customer was to be alive, day by day, given the purchases known on that day.

    Parameters
    ----------
    model : fitted model of purchases
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``timestamp`` and ``amount``.
    customer_id : int or str
        The customer, as in the table: 12346 is not "12346".
    as_of : date
        The day described from; lines on or after it are left out.
    step : str, default "1d"
        From one row to the next.
    like : dataframe of one row, optional
        Needed if the model has covariates: those of the customer.

    Returns
    -------
    dataframe of the kind that came in, one row per step, from the day of the first purchase
        ``customer_id``, ``day`` (Datetime), ``frequency`` (Int64, repeat purchases known on this day),
        ``is_purchase`` (Boolean, on this day or since the row before), ``alive_probability`` (Float64, at the end of
        the day).

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.clv import ModifiedBetaGeoModel, alive_history_table, btyd_table
    >>> from crmlytics.datasets import load_cdnow
    >>> orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    >>> model = ModifiedBetaGeoModel().fit(btyd_table(orders, as_of="1997-10-01"))
    >>> table = alive_history_table(model, orders, customer_id=1, as_of="1998-07-01", step="91d")
    >>> print(table.to_string(float_format="{:.2f}".format))
       customer_id        day  frequency  is_purchase  alive_probability
    0            1 1997-01-01          0         True               0.64
    1            1 1997-04-02          1         True               0.46
    2            1 1997-07-02          1        False               0.28
    3            1 1997-10-01          2         True               0.70
    4            1 1997-12-31          3         True               0.81
    5            1 1998-04-01          3        False               0.68
    """
    caller = "alive_history_table"
    check_model(model, caller=caller)
    as_of = as_moment(as_of, caller=caller)
    length = as_days(step, name="step", caller=caller)
    tx = Transactions.bind(transactions).before(as_of)
    customer_id, bought = _one_customer(tx, customer_id, caller=caller)
    days = np.arange(bought[0], (last_day_before(as_of) - EPOCH).days + 1, length)
    repeats = np.searchsorted(bought, days, side="right") - 1
    unit = as_days(model.unit, name="unit", caller=caller)
    t_x, T = (bought[repeats] - bought[0]) / unit, (days - bought[0]) / unit
    who = np.zeros(len(days), dtype=np.intp)
    effects = [effect.of(who) for effect in _effects_of_one(model, like, caller=caller)]
    columns = {
        "day": days,
        "frequency": repeats.astype(np.int64),
        "is_purchase": np.diff(repeats, prepend=-1) > 0,
        "alive_probability": Population(model._process, repeats.astype(float), t_x, T, effects).alive(model.theta_),
    }
    columns, schema = with_moments(columns, "day")
    kind = nw.String() if isinstance(customer_id, str) else nw.Int64()
    return tx.engine.from_columns({KEY: [customer_id] * len(days), **columns}, nw.Schema({KEY: kind, **schema}))


def heterogeneity_table(model: PurchaseModel, *, like: Any = None) -> pd.DataFrame:
    """Say how customers differ: the share of them by how fast they buy, and by how readily they leave.

    Shares of customers are given, not a density: that is often infinite at 0, and no picture shows how many customers
    are under such a spike.

    Parameters
    ----------
    model : fitted model of purchases
    like : dataframe of one row, optional
        Needed if the model has covariates: the customer whose covariates all have.

    Returns
    -------
    pandas.DataFrame, one row per process and cell of 50 equal ones, which hold 99 % of the customers or more
        ``process`` ("purchase" or "dropout"), ``measure`` ("rate", per unit of time; or "probability", at each
        purchase), ``unit_days`` (Int64, length of the unit), ``value_from`` and ``value_to`` (Float64, the cell),
        ``customer_share`` (Float64), ``density`` (Float64, ``customer_share`` by width of the cell), ``mean_value``
        (Float64, of all customers).

    Notes
    -----
    Purchase rates are gamma(r, rate alpha), of the CNBD-k models gamma(r, rate k alpha). Dropout rates are gamma(s,
    rate beta) in the Pareto/NBD and, on joining, gamma(s, rate beta / b) in the Gamma/Gompertz/NBD; probabilities of
    leaving at a purchase are beta(a, b). In the NBD nobody leaves: it has no rows for dropout. This is what customers
    are like when they join. Those who left since are the ones with higher values.

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.clv import BetaGeoModel, btyd_table, heterogeneity_table
    >>> from crmlytics.datasets import load_cdnow
    >>> orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    >>> table = heterogeneity_table(BetaGeoModel().fit(btyd_table(orders, as_of="1997-10-01")))
    >>> columns = ["measure", "value_from", "value_to", "customer_share", "mean_value"]
    >>> print(table.groupby("process")[columns].head(1).round(3).to_string())
            measure  value_from  value_to  customer_share  mean_value
    0          rate         0.0     0.011           0.522       0.055
    50  probability         0.0     0.017           0.081       0.246
    """
    caller = "heterogeneity_table"
    check_model(model, caller=caller)
    effects = _effects_of_one(model, like, caller=caller)
    values = params_of(model.theta_, len(model._names), effects)
    params = {name: float(np.ravel(value)[0]) for name, value in zip(model._names, values, strict=True)}
    rate = params["alpha"] * getattr(model, "k_", 1)
    parts = [_cells("purchase", "rate", *_gamma(params["r"], rate))]
    if "s" in params:
        parts.append(_cells("dropout", "rate", *_gamma(params["s"], params["beta"] / params.get("b", 1.0))))
    elif "a" in params:
        parts.append(_cells("dropout", "probability", *_beta(params["a"], params["b"])))
    table = pd.concat(parts, ignore_index=True)
    table.insert(2, "unit_days", as_days(model.unit, name="unit", caller=caller))
    return table


def _one_customer(tx: Transactions, customer_id: Any, *, caller: str) -> tuple[int | str, Whole]:
    """Return a customer's id as a plain value, and the purchase days as sorted day numbers."""
    days = purchase_days(tx, caller=caller)
    customer_id = _check_id(customer_id, is_text=days.collect_schema()[KEY] == nw.String, caller=caller)
    found = collect(days.filter(nw.col(KEY) == customer_id).select(day=day_number(nw.col("day"))))["day"]
    if len(found) == 0:
        raise SchemaError(f"{caller}: there is no purchase of customer {customer_id!r} before as_of.")
    return customer_id, np.sort(np.asarray(found.to_numpy(), dtype=np.int64))


def _check_id(customer_id: Any, *, is_text: bool, caller: str) -> int | str:
    """Read an id, or say that it is not of the kind of those in the table: 12346 is not "12346"."""
    if isinstance(customer_id, bool) or not isinstance(customer_id, (str, numbers.Integral)):
        raise SchemaError(f"{caller}: customer_id must be one id, a whole number or text, got {customer_id!r}.")
    plain = str(customer_id) if isinstance(customer_id, str) else int(customer_id)
    if isinstance(plain, str) is is_text:
        return plain
    kinds = ("text", "a whole number") if is_text else ("whole numbers", "text")
    msg = f"{caller}: the ids of the table are {kinds[0]}, got {plain!r}, which is {kinds[1]}."
    if is_text or str(plain).strip().isdecimal():
        msg += f" Write customer_id={str(plain) if is_text else int(plain)!r}."
    raise SchemaError(msg)


def _effects_of_one(model: PurchaseModel, like: Any, *, caller: str) -> list[Effect]:
    """Read the covariates of one customer."""
    coefficients = model._coefficients_
    if not coefficients.names:
        return []
    if like is None:
        msg = f"{caller}: the model has covariates, so say of which customer: like=<a row with {coefficients.columns}>."
        raise SchemaError(msg)
    table = read_histories(like, caller=caller, attributes=coefficients.columns)
    if len(table) != 1:
        raise SchemaError(f"{caller}: like must be a table of one row, one customer, got {len(table)} rows.")
    check_levels(table, coefficients, caller=caller)
    return coefficients.effects(table)


def _gamma(shape: float, rate: float) -> tuple[Callable[[Vector], Vector], float, float]:
    """Return the distribution function of gamma(shape, rate), its mean, and where to stop drawing."""
    mean = shape / rate
    return lambda v: special.gammainc(shape, rate * v), mean, special.gammaincinv(shape, SHOWN_SHARE) / rate


def _beta(a: float, b: float) -> tuple[Callable[[Vector], Vector], float, float]:
    return lambda v: special.betainc(a, b, v), a / (a + b), special.betaincinv(a, b, SHOWN_SHARE)


def _cells(
    process: str, measure: str, distribution: Callable[[Vector], Vector], mean: float, end: float
) -> pd.DataFrame:
    """Cut values from 0 to ``end`` into equal cells; or to the mean, where that lies beyond: it is never 0."""
    edges = np.linspace(0.0, max(end, mean), CELLS + 1)
    shares = np.diff(distribution(edges))
    columns = {"process": process, "measure": measure, "value_from": edges[:-1], "value_to": edges[1:]}
    return pd.DataFrame(columns | {"customer_share": shares, "density": shares / np.diff(edges), "mean_value": mean})
