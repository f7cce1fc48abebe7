"""Checks by eye: what a model of purchases says beside what happened, as tables that can be drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect, day_number
from crmlytics._kernels.effects import params_of
from crmlytics._kernels.population import distinct
from crmlytics._validation import as_days, as_moment, check_count
from crmlytics.clv._covariates import check_levels
from crmlytics.clv._drawable import EPOCH, check_model, schema_of, with_moments
from crmlytics.clv._histories import KEY, read_histories
from crmlytics.clv._holdout import read_holdout
from crmlytics.clv._purchases import MOST_STEPS, PurchaseModel
from crmlytics.clv.preparing import days_as_known, holdout_days, split_day
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    import numpy.typing as npt

    from crmlytics._kernels.effects import Effect
    from crmlytics._kernels.process import Params
    from crmlytics._kernels.special import Vector

    Whole = npt.NDArray[np.int64]

LEAST_EXPECTED = 1e-9  # customers: the last expected count is 1 less the others, so below this is rounding error


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
    check_model(model, caller=caller)
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
    return table.engine.from_columns(columns, schema_of(columns))


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
    check_model(model, caller=caller)
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
    return tx.engine.from_columns(*with_moments(columns, "step_start", "step_end"))


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
    check_model(model, caller=caller)
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
    schema = schema_of(columns)
    return holdout.engine.from_columns(columns, schema)


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


# --- covariates


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


def _means(values: Vector, group: Whole, sizes: Whole) -> Vector:
    """Return the mean of each group, NaN where nobody is in it."""
    means = np.full(len(sizes), np.nan)
    np.divide(np.bincount(group, values, minlength=len(sizes)), sizes, out=means, where=sizes > 0)
    return means
