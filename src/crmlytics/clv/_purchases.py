"""What all models of purchases share: fitting, scoring and forecasting, written once for any :class:`Process`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from crmlytics._kernels.fitting import climb
from crmlytics._kernels.forecast import forecast_purchases
from crmlytics._kernels.population import Population
from crmlytics._kernels.predictive import count_interval
from crmlytics._kernels.uncertainty import delta_errors, interval_around
from crmlytics._validation import as_days, check_amount, check_count, check_fraction, warn
from crmlytics.clv._base import LIFETIME, CountingModel, describe
from crmlytics.clv._covariates import check_levels, check_names, learn_coefficients
from crmlytics.clv._histories import check_histories, in_units, read_histories
from crmlytics.clv._penalty import check_penalty
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crmlytics._kernels.fitting import Maximum, Objective
    from crmlytics._kernels.process import Process
    from crmlytics._kernels.special import Vector
    from crmlytics._kernels.uncertainty import Scale
    from crmlytics.clv._covariates import Coefficients
    from crmlytics.clv._histories import Histories

DAYS_A_YEAR = 365.0
CERTAIN = 0.999
LONG_DAYS = 2 * 365  # that everybody's times are whole weeks for so long happens by no chance
IMPLAUSIBLE = 3.0  # coefficient of a standardised covariate: a factor of 20 within one standard deviation
MOST_STEPS = 2_000
ADVICE = {
    "bound": "Usually too few repeat purchases, or customers too much alike, to tell buying from leaving.",
    "ridge": "Usually hardly anybody drops out, or everybody has much the same dropout probability.",
}


class PurchaseModel(CountingModel):
    """A model of when customers buy and leave; subclasses say which process, and which parameters covariates move."""

    _process: Process
    _leaving: ClassVar[tuple[str, float] | None] = None  # the parameter that dropout covariates move, and the direction

    unit: Any
    l2: float
    priors: Mapping[str, Any] | None

    @property
    def _names(self) -> tuple[str, ...]:  # type: ignore[override]
        return self._process.names

    # --- fitting

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: ARG002  scikit-learn's signature
        """Estimate the parameters from a btyd table by maximum likelihood, or the mode of the posterior with priors.

        Parameters
        ----------
        X : dataframe, one row per customer, as :func:`crmlytics.clv.btyd_table` makes it
            Needs ``frequency``, ``recency`` and ``T``, and the columns of the covariates.
        y : ignored

        Returns
        -------
        self
        """
        caller = f"{self._caller}.fit"
        as_days(self.unit, name="unit", caller=caller)
        return self._fit(self._read(X, caller=caller, attributes=self._covariate_columns(caller)), caller=caller)

    def _fit(self, table: Histories, *, caller: str) -> Self:
        self._warn_of_unit(table, caller=caller)
        self.n_customers_ = len(table)
        sums = [float(np.sort(table[name]).sum()) for name in ("frequency", "recency", "T")]
        self._fitted_on_ = (*sums, as_days(self.unit, name="unit", caller=caller))
        self._coefficients_ = self._learn(table, caller=caller)
        names = (*self._names, *self._coefficients_.names)
        check_penalty(self.l2, self.priors, names, caller=caller)
        scale = float(np.sort(table["T"]).mean()) or 1.0  # sorted: no trace of the order that rows came in
        x, t_x, T = table["frequency"], table["recency"] / scale, table["T"] / scale
        population = Population(self._process, x, t_x, T, self._coefficients_.effects(table, standardise=True))
        self._maximise(
            population.objective(),
            self._starts(x, t_x, T),
            scales=[scale**power for power in self._process.time_powers],
            shift=self._log_likelihood_shift(table, scale),
            coefficients=self._coefficients_,
            verdict=lambda found: self._verdict(found, population, names),
        )
        return self

    def _warn_of_unit(self, table: Histories, *, caller: str) -> None:
        """Warn if the times look as if they were counted in another unit than that of the model."""
        T, t_x = table["T"], table["recency"]
        days_per_unit = as_days(self.unit, name="unit", caller=caller)
        looks = None
        if _are_whole(T) and _are_whole(t_x) and days_per_unit > 1 and float(T.max()) * days_per_unit > LONG_DAYS:
            looks = f"count up to {T.max():.0f}, all whole: days, not units of {self.unit!r}"
        elif days_per_unit == 1 and _are_whole(7 * T) and not _are_whole(T):
            looks = "are whole only when multiplied by 7: weeks, not days"
        if looks:
            warn(
                f"{caller}: recency and T look as if they were not in unit={self.unit!r}: they {looks}. A horizon such "
                'as "90d" would be misread. Give the model the unit of the table, as in btyd_table(..., unit="7d").'
            )

    def _starts(self, x: Vector, t_x: Vector, T: Vector) -> list[Vector]:
        """Return where to start the search: with covariates, where the maximum is without them."""
        starts = [np.log(np.array(start)) for start in self._process.starts]
        more = len(self._coefficients_.names)
        if not more:
            return starts
        plain = climb(Population(self._process, x, t_x, T).objective(), starts, weight=len(x))
        return [np.concatenate([plain.theta, np.zeros(more)])]

    def _log_likelihood_shift(self, table: Histories, scale: float) -> float:
        """Return the log-likelihood in the caller's unit of time less that with ``scale`` for a unit."""
        return -float(table["frequency"].sum()) * math.log(scale)

    def _verdict(self, found: Maximum, population: Population, names: Sequence[str]) -> str:
        wild = (np.abs(found.theta[len(self._names) :]) > IMPLAUSIBLE) & (not found.converged)
        if wild.any():
            runaway = ", ".join(name for name, far in zip(names[len(self._names) :], wild, strict=True) if far)
            return (
                f"not converged: the likelihood rises for ever with the coefficient of {runaway}. Usually one group of "
                "customers has nobody who stays, or nobody who leaves. Leave the covariate out, group its levels, or "
                "hold the coefficients together with l2=1.0."
            )
        if self._leaving is not None and not found.converged and population.alive(found.theta).min() > CERTAIN:
            return (
                "no dropout found: the likelihood rises as dropping out becomes rarer, so alive_probability is near 1 "
                "for everybody and tells nothing. purchase_probability and expected_purchase_count are usable: they "
                "are those of an NBD model. Do not interpret the parameters of dropout. A longer history may show who "
                "leaves."
            )
        return describe(found, names, ADVICE)

    # --- covariates

    def _covariate_columns(self, caller: str) -> list[str]:
        named = [check_names(getattr(self, name, ()), name=name, caller=caller) for name in COVARIATE_ARGUMENTS]
        purchase, dropout, shared = named
        own = sorted({"frequency", "recency", "T", "monetary_value"} & {*purchase, *dropout, *shared})
        if own:
            raise SchemaError(f"{caller}: {own} are what the model explains, not covariates of it.")
        twice = sorted(set(shared) & {*purchase, *dropout})
        if twice:
            raise SchemaError(
                f"{caller}: {twice} are in shared_covariates, which are covariates of both; name them once."
            )
        return list(dict.fromkeys([*purchase, *dropout, *shared]))

    def _learn(self, table: Histories, *, caller: str) -> Coefficients:
        purchase, dropout, shared = (
            check_names(getattr(self, name, ()), name=name, caller=caller) for name in COVARIATE_ARGUMENTS
        )
        levers = [(self._process.buying, -1.0, [("purchase", purchase), ("shared", shared)])]
        if self._leaving is not None:
            parameter, sign = self._leaving
            levers.append((self._names.index(parameter), sign, [("dropout", dropout), ("shared", shared)]))
        return learn_coefficients(table, levers, count=len(self._names), caller=caller)

    # --- scoring

    def score(self, X: Any, y: object = None) -> float:  # noqa: ARG002  scikit-learn's signature
        """Return the mean log-likelihood of a customer of ``X``, in the unit of ``X``: higher is better."""
        check_is_fitted(self)
        table, population = self._enter(X, caller=f"{self._caller}.score")
        total = float(population.log_likelihood(self.theta_).sum()) + self._log_likelihood_shift(table, 1.0)
        return total / len(table)

    def score_table(self, X: Any, *, horizon: Any, discount_rate: float | None = None, interval: float = 0.9) -> Any:
        """Score each customer for the time after the end of their history.

        Parameters
        ----------
        X : dataframe, one row per customer, as :func:`crmlytics.clv.btyd_table` makes it
            Needs ``frequency``, ``recency`` and ``T``, and the covariates; ``customer_id`` is the key if it is there.
        horizon : str or float
            How far to look: a duration such as ``"90d"`` or ``"12w"``, or a number of units of ``T``.
        discount_rate : float, optional
            Annual, such as 0.1: adds ``discounted_purchase_count``.
        interval : float, default 0.9
            The probability that an interval, ``_low`` to ``_high``, is made to hold.

        Returns
        -------
        dataframe of the kind that came in, one row per customer, sorted by key
            ``customer_id`` (or ``row_number``, from 0, where the table has no key), and each with ``_low`` and
            ``_high``: ``alive_probability`` (at the end of the history), ``alive_at_horizon_probability``,
            ``purchase_probability`` (of at least one purchase in the horizon: the headline),
            ``expected_purchase_count`` (days with a purchase in the horizon), all Float64; then
            ``purchase_count_low`` and ``purchase_count_high`` (Int64, what the customer will really do stays within
            them), ``alive_is_assumed`` (Boolean, the model gives this customer no chance to have left) and, with a
            ``discount_rate``, ``discounted_purchase_count`` with its bounds.

        Notes
        -----
        The intervals of probabilities and expectations are confidence intervals: they say how well the parameters are
        known (delta method, on the log-odds or log scale). Those of ``purchase_count`` say what a single customer may
        do, given the parameters: they are much wider.
        """
        check_is_fitted(self)
        caller = f"{self._caller}.score_table"
        horizon = in_units(horizon, self.unit, caller=caller)
        check_fraction(interval, name="interval", caller=caller)
        table, population = self._enter(X, caller=caller)
        names = [*SCALES] if discount_rate is not None else [*SCALES][:-1]
        rate = self._force_of_interest(discount_rate, caller=caller)

        def predict(theta: Vector) -> tuple[Vector, ...]:
            alive = population.alive(theta)
            none = population.counts(theta, horizon, 0)[population.future.inverse, 0]
            predicted = [
                alive,
                alive * population.survival(theta, horizon),
                alive * np.maximum(1 - none, 0.0),
                alive * population.expected(theta, horizon),
            ]
            if discount_rate is not None:
                predicted.append(alive * population.discounted(theta, horizon, rate))
            return tuple(predicted)

        predicted = delta_errors(predict, self.theta_, self._trusted_covariance_)
        scores: dict[str, Any] = {}
        for name, (value, error) in zip(names, predicted, strict=True):
            bounds = interval_around(value, error, level=interval, scale=SCALES[name])
            scores |= {name: value, f"{name}_low": bounds.low, f"{name}_high": bounds.high}
        low, high = count_interval(population, self.theta_, predicted[0][0], horizon, level=interval)
        scores |= {"purchase_count_low": low, "purchase_count_high": high}
        scores["alive_is_assumed"] = self._alive_is_assumed(table)
        return table.score_frame(scores)

    def residual_table(self, X: Any, *, discount_rate: float, interval: float = 0.9) -> Any:
        """Return the discounted purchases expected of each customer for ever after: residual transactions, or DERT.

        Parameters
        ----------
        X
            As in :meth:`score_table`.
        discount_rate : float
            Annual, above zero.
        interval : float, default 0.9

        Returns
        -------
        dataframe of the kind that came in, one row per customer, sorted by key
            ``discounted_residual_count`` (Float64) with ``_low`` and ``_high``.

        References
        ----------
        Fader, P., Hardie, B. and Lee, K. (2005), RFM and CLV: using iso-value curves for customer base analysis,
        Journal of Marketing Research 42(4), 415-430.
        """
        check_is_fitted(self)
        caller = f"{self._caller}.residual_table"
        check_fraction(interval, name="interval", caller=caller)
        check_amount(discount_rate, name="discount_rate", caller=caller, positive=True)
        table, population = self._enter(X, caller=caller)
        value, error = self._discounted(population, math.inf, self._force_of_interest(discount_rate, caller=caller))
        bounds = interval_around(value, error, level=interval, scale="log")
        name = "discounted_residual_count"
        return table.score_frame({name: value, f"{name}_low": bounds.low, f"{name}_high": bounds.high})

    def count_table(self, X: Any, *, horizon: Any, most: int = 5) -> Any:
        """Return how likely each customer is to make exactly 0, 1, 2, ... purchases in the horizon.

        Parameters
        ----------
        X, horizon
            As in :meth:`score_table`.
        most : int, default 5
            The largest number that gets a column of its own.

        Returns
        -------
        dataframe of the kind that came in, one row per customer, sorted by key
            ``probability_of_0`` ... ``probability_of_5`` and ``probability_of_more`` (Float64): they sum to 1.
        """
        check_is_fitted(self)
        caller = f"{self._caller}.count_table"
        horizon = in_units(horizon, self.unit, caller=caller)
        most = check_count(most, name="most", caller=caller, least=0)
        table, population = self._enter(X, caller=caller)
        alive = population.alive(self.theta_)
        mass = population.counts(self.theta_, horizon, most)[population.future.inverse] * alive[:, None]
        mass[:, 0] += 1 - alive
        scores = {f"probability_of_{n}": mass[:, n] for n in range(most + 1)}
        scores["probability_of_more"] = np.maximum(1 - mass.sum(axis=1), 0.0)
        return table.score_frame(scores)

    def new_customer_table(self, *, horizons: Sequence[Any], like: Any = None, interval: float = 0.9) -> pd.DataFrame:
        """Return what to expect of a customer in the time that begins with the first purchase.

        Parameters
        ----------
        horizons : list of str or float
            Durations such as ``"52w"``, or numbers of units of ``T``.
        like : dataframe, optional
            Customers whose covariates the new ones will have, on average; needed if the model has covariates.
        interval : float, default 0.9

        Returns
        -------
        pandas.DataFrame, one row per horizon
            ``horizon_days``, ``expected_purchase_count`` (repeat purchases; the first one is not counted),
            ``purchase_probability`` (of at least one), ``alive_at_horizon_probability``, each with ``_low`` and
            ``_high``.
        """
        check_is_fitted(self)
        caller = f"{self._caller}.new_customer_table"
        check_fraction(interval, name="interval", caller=caller)
        if np.ndim(horizons) != 1 or not len(horizons):
            raise SchemaError(f'{caller}: horizons must be a list such as horizons=["26w", "52w"], got {horizons!r}.')
        times = [in_units(horizon, self.unit, caller=caller) for horizon in horizons]
        newcomer = self._newcomer(like, caller=caller)

        def predict(theta: Vector) -> tuple[Vector, ...]:
            alive = newcomer.alive(theta)
            inverse = newcomer.future.inverse
            none = [newcomer.counts(theta, t, 0)[inverse, 0] for t in times]
            return (
                np.array([np.mean(alive * newcomer.survival(theta, t)) for t in times]),
                np.array([np.mean(alive * np.maximum(1 - p, 0.0)) for p in none]),
                np.array([np.mean(alive * newcomer.expected(theta, t)) for t in times]),
            )

        predicted = delta_errors(predict, self.theta_, self._trusted_covariance_)
        table: dict[str, Any] = {"horizon_days": np.array(times) * as_days(self.unit, name="unit", caller=caller)}
        names = ("alive_at_horizon_probability", "purchase_probability", "expected_purchase_count")
        for name, (value, error) in zip(names, predicted, strict=True):
            bounds = interval_around(value, error, level=interval, scale=SCALES[name])
            table |= {name: value, f"{name}_low": bounds.low, f"{name}_high": bounds.high}
        return pd.DataFrame(table)

    def forecast_table(
        self,
        X: Any,
        *,
        horizon: Any,
        step: str = "7d",
        new_customers: float | Sequence[float] = 0.0,
        interval: float = 0.9,
    ) -> pd.DataFrame:
        """Forecast the purchases of all customers together, step by step and since the beginning.

        Parameters
        ----------
        X : dataframe, one row per customer, as :func:`crmlytics.clv.btyd_table` makes it
        horizon : str or float
            How far to look; a last step that would go beyond it is left out.
        step : str, default "7d"
        new_customers : float or list of float, default 0
            How many customers join at the beginning of each step: one number, or one a step. Their repeat purchases
            are forecast; their first purchases are what you put in.
        interval : float, default 0.9

        Returns
        -------
        pandas.DataFrame, one row per step
            ``step`` (from 1), ``days_until`` (days from the end of the history to the end of the step),
            ``existing_purchase_count`` and ``new_customer_purchase_count`` (repeat purchases expected in the step),
            ``purchase_count`` (their sum) with ``_low`` and ``_high``, ``cumulative_purchase_count`` with ``_low`` and
            ``_high`` (since the beginning).

        Notes
        -----
        The bands hold what will really come, with probability ``interval``, if the model is right: they add the
        uncertainty of the parameters to the chance in what customers do. Seasons and promotions are in neither.
        """
        check_is_fitted(self)
        caller = f"{self._caller}.forecast_table"
        check_fraction(interval, name="interval", caller=caller)
        length = as_days(step, name="step", caller=caller) / as_days(self.unit, name="unit", caller=caller)
        count = math.floor(in_units(horizon, self.unit, caller=caller) / length + 1e-9)
        if not 1 <= count <= MOST_STEPS:
            raise SchemaError(
                f"{caller}: horizon {horizon!r} has {count} steps of {step!r}, expected 1 to {MOST_STEPS}."
            )
        joining = _per_step(new_customers, count, caller=caller)
        _, population = self._enter(X, caller=caller)
        ends = length * np.arange(1.0, count + 1)
        newcomer = self._newcomer(X, caller=caller) if joining.any() else None
        total = forecast_purchases(
            population, newcomer, joining, theta=self.theta_, covariance=self._trusted_covariance_, ends=ends
        )
        expected = total.existing + total.joined
        bounds = interval_around(expected, np.sqrt(total.variance), level=interval, scale="plain")
        sums = interval_around(total.cumulative, np.sqrt(total.cumulative_variance), level=interval, scale="plain")
        table = {
            "step": np.arange(1, count + 1),
            "days_until": np.round(ends * as_days(self.unit, name="unit", caller=caller)).astype(int),
            "existing_purchase_count": total.existing,
            "new_customer_purchase_count": total.joined,
            "purchase_count": expected,
            "purchase_count_low": np.maximum(bounds.low, 0.0),
            "purchase_count_high": bounds.high,
            "cumulative_purchase_count": total.cumulative,
            "cumulative_purchase_count_low": np.maximum(sums.low, 0.0),
            "cumulative_purchase_count_high": sums.high,
        }
        return pd.DataFrame(table)

    # --- inside

    def _discounted(self, population: Population, horizon: float, rate: float) -> tuple[Vector, Vector]:
        """Discounted purchases expected of each customer in the horizon, and their standard errors."""

        def predict(theta: Vector) -> tuple[Vector]:
            return (population.alive(theta) * population.discounted(theta, horizon, rate),)

        (found,) = delta_errors(predict, self.theta_, self._trusted_covariance_)
        return found

    def _value_of_customers(
        self, X: Any, horizon: Any, discount_rate: Any, *, caller: str
    ) -> tuple[Histories, Vector, Vector]:
        units, rate = horizon_and_rate(self, horizon, discount_rate, caller=caller)
        table, population = self._enter(X, caller=caller)
        return table, *self._discounted(population, units, rate)

    def _value_of_new_customer(self, like: Any, horizon: Any, discount_rate: Any, *, caller: str) -> float:
        units, rate = horizon_and_rate(self, horizon, discount_rate, caller=caller)
        return float(np.mean(self._discounted(self._newcomer(like, caller=caller), units, rate)[0]))

    def _objective(self, X: Any, *, caller: str) -> Objective:
        return self._enter(X, caller=caller)[1].objective()

    def _alive_is_assumed(self, table: Histories) -> Any:
        """Return which customers had no chance to leave, under this model."""
        return np.zeros(len(table), dtype=bool)

    def _force_of_interest(self, discount_rate: float | None, *, caller: str) -> float:
        """Return the continuous rate per unit of time that makes ``discount_rate`` in a year."""
        if discount_rate is None:
            return 0.0
        annual = check_amount(discount_rate, name="discount_rate", caller=caller)
        if annual > 1:
            msg = f"{caller}: discount_rate={annual:g} is {annual:.0%} a year. For 10 % type discount_rate=0.1."
            raise SchemaError(msg)
        return math.log1p(annual) * as_days(self.unit, name="unit", caller=caller) / DAYS_A_YEAR

    def _newcomer(self, like: Any, *, caller: str) -> Population:
        """Return customers with no history yet, as the covariates need them."""
        coefficients = self._coefficients_
        if not coefficients.names:
            none = np.zeros(1)
            return Population(self._process, none, none, none)
        if like is None:
            msg = (
                f"{caller}: the model has covariates, so say of which customers: "
                f"like=<a table with {coefficients.columns}>."
            )
            raise SchemaError(msg)
        table = read_histories(like, caller=caller, attributes=coefficients.columns)
        check_levels(table, coefficients, caller=caller)
        none = np.zeros(len(table))
        return Population(self._process, none, none, none, coefficients.effects(table))

    def _enter(self, X: Any, *, caller: str) -> tuple[Histories, Population]:
        table = self._read(X, caller=caller, attributes=self._coefficients_.columns)
        self._warn_of_unit(table, caller=caller)
        check_levels(table, self._coefficients_, caller=caller)
        effects = self._coefficients_.effects(table)
        return table, Population(self._process, table["frequency"], table["recency"], table["T"], effects)

    def _read(self, X: Any, *, caller: str, attributes: Sequence[str] = ()) -> Histories:
        table = read_histories(X, "frequency", "recency", "T", caller=caller, attributes=attributes)
        check_histories(table, caller=caller)
        return table


class CovariateModel(PurchaseModel):
    """A model of purchases whose two processes may both depend on covariates."""

    def __init__(
        self,
        *,
        unit: Any = "7d",
        purchase_covariates: Sequence[str] = (),
        dropout_covariates: Sequence[str] = (),
        shared_covariates: Sequence[str] = (),
        l2: float = 0.0,
        priors: Mapping[str, Any] | None = None,
    ) -> None:
        self.unit = unit
        self.purchase_covariates = purchase_covariates
        self.dropout_covariates = dropout_covariates
        self.shared_covariates = shared_covariates
        self.l2 = l2
        self.priors = priors


COVARIATE_ARGUMENTS = ("purchase_covariates", "dropout_covariates", "shared_covariates")
SCALES: dict[str, Scale] = {
    "alive_probability": "logit",
    "alive_at_horizon_probability": "logit",
    "purchase_probability": "logit",
    "expected_purchase_count": "log",
    "discounted_purchase_count": "log",
}


def horizon_and_rate(model: PurchaseModel, horizon: Any, discount_rate: Any, *, caller: str) -> tuple[float, float]:
    """Return how far to look, in units of the model (or infinitely), and the continuous rate per unit."""
    rate = model._force_of_interest(check_amount(discount_rate, name="discount_rate", caller=caller), caller=caller)
    if isinstance(horizon, str) and horizon.strip() == LIFETIME:
        if rate == 0:
            raise SchemaError(f'{caller}: horizon="lifetime" needs a discount_rate above 0: the sum may have no end.')
        return math.inf, rate
    return in_units(horizon, model.unit, caller=caller), rate


def _are_whole(values: Vector) -> bool:
    return bool(np.abs(values - np.round(values)).max() < 1e-6)


def _per_step(new_customers: Any, count: int, *, caller: str) -> Vector:
    if np.ndim(new_customers) == 0:
        return np.full(count, check_amount(new_customers, name="new_customers", caller=caller))
    try:
        joining = np.asarray(new_customers, dtype=float)
    except (TypeError, ValueError):
        joining = np.empty(0)
    if joining.shape != (count,) or not (np.isfinite(joining).all() and (joining >= 0).all()):
        msg = f"{caller}: new_customers must be one number of zero or more, or {count} of them, got {new_customers!r}."
        raise SchemaError(msg)
    return joining
