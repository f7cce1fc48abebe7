"""Checks by eye: what a model of purchases says beside what happened, as tables that can be drawn."""

from __future__ import annotations

import datetime as dt
import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy import special
from sklearn.utils.validation import check_is_fitted

from crmlytics._frames import collect, day_number
from crmlytics._kernels.effects import params_of
from crmlytics._kernels.population import Population, distinct
from crmlytics._validation import as_days, as_moment, check_count
from crmlytics.clv._covariates import check_levels
from crmlytics.clv._histories import DTYPES, KEY, in_units, read_histories
from crmlytics.clv._holdout import read_holdout
from crmlytics.clv._purchases import MOST_STEPS, PurchaseModel
from crmlytics.clv.preparing import days_as_known, holdout_days, last_day_before, purchase_days, split_day
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from crmlytics._kernels.effects import Effect
    from crmlytics._kernels.process import Params
    from crmlytics._kernels.special import Vector

    Whole = npt.NDArray[np.int64]

EPOCH = dt.datetime(1970, 1, 1)
LEAST_EXPECTED = 1e-9  # customers: the last expected count is 1 less the others, so below this is rounding error
CELLS = 50
SHOWN_SHARE = 0.99  # of the customers; the rest is the long tail to the right


def frequency_table(model: PurchaseModel, X: Any, *, most: int = 7) -> Any:
    """Count the customers with 0, 1, 2, ... repeat purchases, beside how many the model expects.

    Expected is the sum over customers of the probability that somebody who has just joined makes n repeat purchases in
    the time T that the customer was watched. Nothing the customer did enters, so a model may fail this check.

    Parameters
    ----------
    model : fitted model of purchases
    X : dataframe, one row per customer, as :func:`btyd_table` makes it
        Usually what the model was fitted on.
    most : int, default 7
        The last row holds the customers with this many repeat purchases or more.

    Returns
    -------
    dataframe of the kind that came in, one row per number of repeat purchases
        ``frequency`` (Int64, from 0 to ``most``), ``is_or_more`` (Boolean, True in the last row),
        ``actual_customer_count`` (Int64), ``expected_customer_count`` (Float64), ``chi_square_contribution`` (Float64,
        ``(actual - expected)^2 / expected``). Summed, the contributions are Pearson's statistic; its degrees of freedom
        are the number of rows, less the number of fitted parameters, less 1.

    References
    ----------
    Fader, P., Hardie, B. and Lee, K. (2005), "Counting your customers" the easy way, Marketing Science 24(2), 275-284,
    figure 1.

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.clv import BetaGeoModel, btyd_table, frequency_table
    >>> from crmlytics.datasets import load_cdnow
    >>> orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    >>> table = btyd_table(orders, as_of="1997-10-01")
    >>> found = frequency_table(BetaGeoModel().fit(table), table)
    >>> print(found.iloc[:, [0, 2, 3]].round(1).head(3).to_string())
       frequency  actual_customer_count  expected_customer_count
    0          0                   1411                   1407.7
    1          1                    439                    460.3
    2          2                    214                    192.5
    >>> round(float(found["chi_square_contribution"].sum()), 2)
    4.82
    """
    caller = "frequency_table"
    _check_model(model, caller=caller)
    most = check_count(most, name="most", caller=caller)
    table, _ = model._enter(X, caller=caller)
    groups = distinct([table["T"]], model._coefficients_.effects(table))
    exactly = _Newcomers(model, groups.effects).counts(groups.columns[0], most - 1)
    expected = groups.weights @ np.column_stack([exactly, np.maximum(1 - exactly.sum(axis=1), 0.0)])
    actual = np.bincount(np.minimum(table["frequency"], most).astype(np.int64), minlength=most + 1)
    columns = {
        "frequency": np.arange(most + 1),
        "is_or_more": np.arange(most + 1) == most,
        "actual_customer_count": actual,
        "expected_customer_count": expected,
        "chi_square_contribution": (actual - expected) ** 2 / np.maximum(expected, LEAST_EXPECTED),
    }
    return table.engine.from_columns(columns, _schema(columns))


def tracking_table(
    model: PurchaseModel,
    transactions: Transactions | Any,
    *,
    calibration_end: str | dt.date | dt.datetime,
    as_of: str | dt.date | dt.datetime,
    step: str = "7d",
    X: Any = None,
) -> Any:
    """Follow a cohort through calibration and holdout: repeat purchases per step, beside what the model expects.

    The cohort are the customers known at ``calibration_end``. Expected is the sum, over those who have joined, of what
    somebody makes in the time since joining; nothing they did since enters. A model that fits the calibration period
    but drifts away in the holdout gets dropout wrong.

    Parameters
    ----------
    model : fitted model of purchases
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``timestamp`` and ``amount``.
    calibration_end : date
        The first day of the holdout; a step begins there.
    as_of : date
        The end of the holdout: lines on or after it are left out, and so is a step that would go beyond it.
    step : str, default "7d"
        Length of a step. Steps are counted from ``calibration_end`` both ways, so the first one may begin before the
        first purchase of all.
    X : dataframe, optional
        Needed if the model has covariates: ``customer_id`` and the covariates of everybody in the cohort.

    Returns
    -------
    dataframe of the kind that came in, one row per step
        ``step`` (Int64, from 1), ``step_start`` and ``step_end`` (Datetime, the end excluded), ``is_holdout``
        (Boolean), ``actual_purchase_count`` (Int64, repeat purchases: days with a purchase after the first one),
        ``expected_purchase_count`` (Float64), ``cumulative_actual_purchase_count`` (Int64) and
        ``cumulative_expected_purchase_count`` (Float64, since the beginning).

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.clv import ModifiedBetaGeoModel, btyd_table, tracking_table
    >>> from crmlytics.datasets import load_cdnow
    >>> orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    >>> model = ModifiedBetaGeoModel().fit(btyd_table(orders, as_of="1997-10-01"))
    >>> table = tracking_table(model, orders, calibration_end="1997-10-01", as_of="1998-07-01", step="91d")
    >>> columns = ["step_start", "is_holdout", "actual_purchase_count", "expected_purchase_count"]
    >>> print(table[columns].to_string(float_format="{:.1f}".format))
      step_start  is_holdout  actual_purchase_count  expected_purchase_count
    0 1997-01-01       False                    828                    711.1
    1 1997-04-02       False                    918                   1015.0
    2 1997-07-02       False                    711                    749.6
    3 1997-10-01        True                    726                    607.4
    4 1997-12-31        True                    661                    515.9
    5 1998-04-01        True                    495                    451.0
    """
    caller = "tracking_table"
    _check_model(model, caller=caller)
    as_of = as_moment(as_of, caller=caller)
    split = split_day(calibration_end, as_of, caller=caller)
    length = as_days(step, name="step", caller=caller)
    tx = Transactions.bind(transactions).before(as_of)
    cohort = _read_cohort(tx, split, caller=caller)
    effects = _effects_by_key(model, X, cohort.keys, caller=caller)
    holdout = (split - EPOCH).days
    edges = _edges(int(cohort.first.min()), holdout, holdout + holdout_days(split, as_of), length, caller=caller)
    actual = _count_per_step(cohort.repeat_days, edges)
    expected = _expected_by(model, cohort.first, effects, edges[1:] - 1)
    columns = {
        "step": np.arange(1, len(edges)),
        "step_start": edges[:-1],
        "step_end": edges[1:],
        "is_holdout": edges[:-1] >= holdout,
        "actual_purchase_count": actual,
        "expected_purchase_count": np.diff(expected, prepend=0.0),
        "cumulative_actual_purchase_count": np.cumsum(actual),
        "cumulative_expected_purchase_count": expected,
    }
    return tx.engine.from_columns(*_with_moments(columns, "step_start", "step_end"))


def conditional_table(model: PurchaseModel, X: Any, *, most: int = 7) -> Any:
    """Compare forecast and outcome of a holdout by the number of repeat purchases in the calibration period.

    Parameters
    ----------
    model : fitted model of purchases
    X : dataframe, one row per customer, as :func:`holdout_table` makes it
        Late joiners are left out.
    most : int, default 7
        The last row holds the customers with this many repeat purchases or more.

    Returns
    -------
    dataframe of the kind that came in, one row per number of repeat purchases
        ``frequency`` (Int64, from 0 to ``most``), ``is_or_more`` (Boolean, True in the last row), ``customer_count``
        (Int64), ``predicted_mean_count`` and ``actual_mean_count`` (Float64, purchases in the holdout per customer;
        null where there is no customer).

    References
    ----------
    Fader, P., Hardie, B. and Lee, K. (2005), "Counting your customers" the easy way, Marketing Science 24(2), 275-284,
    figure 4.

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.clv import ModifiedBetaGeoModel, btyd_table, conditional_table, holdout_table
    >>> from crmlytics.datasets import load_cdnow
    >>> orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    >>> model = ModifiedBetaGeoModel().fit(btyd_table(orders, as_of="1997-10-01"))
    >>> holdout = holdout_table(orders, calibration_end="1997-10-01", as_of="1998-07-01")
    >>> print(conditional_table(model, holdout, most=3).round(2).to_string())
       frequency  is_or_more  customer_count  predicted_mean_count  actual_mean_count
    0          0       False            1411                  0.19               0.24
    1          1       False             439                  0.55               0.70
    2          2       False             214                  1.05               1.39
    3          3        True             293                  2.90               3.22
    """
    caller = "conditional_table"
    _check_model(model, caller=caller)
    most = check_count(most, name="most", caller=caller)
    holdout = read_holdout(X, caller=caller)
    table, population = model._enter(holdout.frame, caller=caller)
    predicted = population.alive(model.theta_) * population.expected(model.theta_, holdout.span)
    group = np.minimum(table["frequency"], most).astype(np.int64)
    sizes = np.bincount(group, minlength=most + 1)
    columns = {
        "frequency": np.arange(most + 1),
        "is_or_more": np.arange(most + 1) == most,
        "customer_count": sizes,
        "predicted_mean_count": _means(predicted, group, sizes),
        "actual_mean_count": _means(holdout.actual, group, sizes),
    }
    schema = _schema(columns)
    return holdout.engine.from_columns({name: _with_nulls(values) for name, values in columns.items()}, schema)


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
    _check_model(model, caller=caller)
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
    _check_model(model, caller=caller)
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
    columns, schema = _with_moments(columns, "day")
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
    _check_model(model, caller=caller)
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


# --- customers from the day they joined


@dataclass(frozen=True, slots=True)
class _Newcomers:
    """Groups of customers on the day they joined, alike in covariates; each is asked for a time of its own."""

    model: PurchaseModel
    effects: Sequence[Effect]

    def expected(self, elapsed: Vector) -> Vector:
        """Repeat purchases expected until ``elapsed``, (groups,)."""
        found = np.zeros(len(elapsed))
        begun = np.flatnonzero(elapsed > 0)  # nothing happens in no time, and that is no question for a process
        if len(begun):
            params, none, alive = self._joining(begun)
            horizon = elapsed[begun]
            mean = self.model._process.expected_purchases_if_alive(params, none, none, none, horizon=horizon)
            found[begun] = alive * mean
        return found

    def counts(self, elapsed: Vector, most: int) -> Vector:
        """P(0, 1, ..., most repeat purchases until ``elapsed``), (groups, most + 1)."""
        found = np.zeros((len(elapsed), most + 1))
        found[:, 0] = 1.0
        begun = np.flatnonzero(elapsed > 0)
        if len(begun):
            params, none, alive = self._joining(begun)
            count = self.model._process.count_probabilities_if_alive
            found[begun] = alive[:, None] * count(params, none, none, none, horizon=elapsed[begun], most=most)
            found[begun, 0] += 1 - alive
        return found

    def _joining(self, groups: npt.NDArray[np.intp]) -> tuple[Params, Vector, Vector]:
        """Return the parameters of some groups, noughts for their history, and P(alive) just after joining."""
        params = params_of(self.model.theta_, len(self.model._names), [effect.of(groups) for effect in self.effects])
        none = np.zeros(len(groups))
        return params, none, self.model._process.alive_probability(params, none, none, none)


@dataclass(frozen=True, slots=True)
class _Cohort:
    """Customers by their key and first purchase, and the days of all their repeat purchases, as day numbers."""

    keys: list[Any]
    first: Whole
    repeat_days: Whole


def _read_cohort(tx: Transactions, split: dt.datetime, *, caller: str) -> _Cohort:
    """Read the customers who first bought before ``split``."""
    days = days_as_known(tx, split, caller=caller).with_columns(first=nw.col("day").min().over(KEY))
    days = days.filter(nw.col("first") < split)
    table = collect(days.select(KEY, first=day_number(nw.col("first")), day=day_number(nw.col("day"))))
    if len(table) == 0:
        raise SchemaError(f"{caller}: nobody bought before calibration_end={split:%Y-%m-%d}. Check the dates.")
    first, day = (np.asarray(table[name].to_numpy(), dtype=np.int64) for name in ("first", "day"))
    joined = day == first
    keys = table[KEY].to_list()
    return _Cohort([keys[at] for at in np.flatnonzero(joined)], first[joined], day[~joined])


def _edges(first: int, holdout: int, end: int, length: int, *, caller: str) -> Whole:
    """Return where steps begin and end: whole steps both ways from the holdout, the first one with ``first`` in it."""
    before, after = -((first - holdout) // length), (end - holdout) // length
    if before + after > MOST_STEPS:
        msg = (
            f"{caller}: {before + after:,} steps of {length} days, expected at most {MOST_STEPS:,}. Take a longer step."
        )
        raise SchemaError(msg)
    return holdout + length * np.arange(-before, after + 1)


def _count_per_step(days: Whole, edges: Whole) -> Whole:
    """Count the days in each step; days after the last step are left out."""
    return np.diff(np.searchsorted(np.sort(days), edges))


def _expected_by(model: PurchaseModel, first: Whole, effects: Sequence[Effect], until: Whole) -> Vector:
    """Repeat purchases expected of all customers together by the end of each day in ``until``, (steps,)."""
    groups = distinct([first.astype(float)], effects)
    newcomers = _Newcomers(model, groups.effects)
    unit = as_days(model.unit, name="unit", caller=type(model).__name__)
    return np.array([groups.weights @ newcomers.expected((day - groups.columns[0]) / unit) for day in until])


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


# --- covariates


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


def _effects_by_key(model: PurchaseModel, X: Any, keys: Sequence[Any], *, caller: str) -> list[Effect]:
    """Read the covariates of the customers with these keys, in their order."""
    coefficients = model._coefficients_
    if not coefficients.names:
        return []
    if X is None:
        needed = [KEY, *coefficients.columns]
        raise SchemaError(f"{caller}: the model has covariates, so say who has which: X=<a table with {needed}>.")
    table = read_histories(X, caller=caller, attributes=coefficients.columns)
    check_levels(table, coefficients, caller=caller)
    places = {key: place for place, key in enumerate(table.keys.tolist())} if table.key_name == KEY else {}
    unknown = [key for key in keys if key not in places]
    if unknown:
        first = ", ".join(map(repr, unknown[:5]))
        raise SchemaError(f"{caller}: X lacks {len(unknown)} of {len(keys)} customers of the cohort ({KEY} {first}).")
    order = np.array([places[key] for key in keys], dtype=np.intp)
    return [effect.of(order) for effect in coefficients.effects(table)]


# --- how customers differ


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


# --- tables


def _check_model(model: Any, *, caller: str) -> None:
    if not isinstance(model, PurchaseModel):
        kind = type(model).__name__
        msg = f"{caller}: model must be a fitted model of purchases such as ModifiedBetaGeoModel, got {kind}."
        raise SchemaError(msg)
    check_is_fitted(model)


def _means(values: Vector, group: Whole, sizes: Whole) -> Vector:
    """Return the mean of each group, NaN where nobody is in it."""
    means = np.full(len(sizes), np.nan)
    np.divide(np.bincount(group, values, minlength=len(sizes)), sizes, out=means, where=sizes > 0)
    return means


def _with_nulls(values: npt.NDArray[Any]) -> list[Any]:
    """Return Python values with None for NaN, which engines do not take for missing."""
    return [None if value != value else value for value in values.tolist()]  # noqa: PLR0124  NaN equals nothing


def _schema(columns: dict[str, Any]) -> nw.Schema:
    return nw.Schema({name: DTYPES[values.dtype.kind]() for name, values in columns.items()})


def _with_moments(columns: dict[str, Any], *moments: str) -> tuple[dict[str, Any], nw.Schema]:
    """Turn day numbers into the moments that begin these days."""
    schema: dict[str, Any] = dict(_schema(columns))
    for name in moments:
        columns = columns | {name: [EPOCH + dt.timedelta(days=day) for day in columns[name].tolist()]}
        schema[name] = nw.Datetime("us")
    return columns, nw.Schema(schema)
