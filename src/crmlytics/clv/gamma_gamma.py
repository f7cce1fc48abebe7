"""Gamma-Gamma: what a customer's next order will be worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from crmlytics._kernels import gamma_gamma as kernel
from crmlytics._kernels.effects import params_of, with_effects
from crmlytics._kernels.population import distinct
from crmlytics._kernels.uncertainty import delta_errors, interval_around
from crmlytics._validation import check_fraction, warn
from crmlytics.clv._base import MaximumLikelihoodModel, describe
from crmlytics.clv._covariates import check_levels, check_names, learn_coefficients
from crmlytics.clv._histories import read_histories, refuse_rows
from crmlytics.clv._penalty import check_penalty
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crmlytics._kernels.effects import Effect
    from crmlytics._kernels.fitting import Objective
    from crmlytics._kernels.population import Distinct
    from crmlytics._kernels.process import Params
    from crmlytics._kernels.special import Vector
    from crmlytics.clv._histories import Histories

STARTS = ((5.0, 4.0, 1.0), (1.0, 2.0, 1.0), (20.0, 20.0, 1.0))  # spend in units of its mean
ADVICE = {
    "bound": "Usually customers whose spend hardly varies, or too few of them.",
    "ridge": "Usually too few repeat purchases to tell how spend varies within a customer from between customers.",
}
NORMAL_95 = 1.959963984540054


class GammaGammaModel(MaximumLikelihoodModel):
    """Gamma-Gamma: a customer's orders vary around a mean of their own, and those means vary over customers.

    An order of a customer is gamma(p, rate nu), nu varies over customers as gamma(q, rate gamma). The mean m of
    x orders has density ``gamma^q m^(px-1) x^(px) / (B(px, q) (gamma + m x)^(px+q))``. Future orders are expected at
    ``p (gamma + m x) / (p x + q - 1)``: between the customer's own mean and that of all customers, nearer to their own
    the more often they bought.

    The model assumes that spend does not depend on how often a customer buys: see ``independence_verdict_``.

    Parameters
    ----------
    spend_covariates : list of str
        Columns that explain how much a customer spends per order: a covariate z multiplies gamma, and so the mean
        order, by ``exp(coefficient * z)``.
    l2 : float, default 0
    priors : dict of str to distribution, optional
        As in :class:`BetaGeoModel`; spend is searched in units of its mean.

    Attributes
    ----------
    params_ : dict
        ``p``, ``q``, ``gamma`` (in currency).
    coefficients_ : dict
        Of covariates, ``"spend:age"``.
    standard_errors_, covariance_, log_likelihood_, aic_, bic_, converged_, verdict_
        As in :class:`BetaGeoModel`; the level of the log-likelihood depends on the currency.
    population_mean_amount_ : float
        ``p gamma / (q - 1)``: the mean order of a customer not seen yet; infinite if q <= 1. With covariates, of one
        with zeros and first levels.
    correlation_ : float
        Between ``frequency`` and ``monetary_value`` of repeat buyers; NaN where it is not defined.
    independence_verdict_ : str
        What the correlation means for the model, in a sentence.
    n_customers_ : int
        Repeat buyers, the ones that were fitted.

    Warns
    -----
    DataQualityWarning
        If q <= 1, so that the mean over customers is infinite, and one-time buyers get ``inf``; if the fit did not
        converge, or hardly determines a parameter.

    References
    ----------
    Fader, P., Hardie, B. and Lee, K. (2005), RFM and CLV: using iso-value curves for customer base analysis, Journal of
    Marketing Research 42(4), 415-430. Fader, P. and Hardie, B. (2013), The Gamma-Gamma model of monetary value.

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.clv import GammaGammaModel, btyd_table
    >>> from crmlytics.datasets import load_cdnow
    >>> orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    >>> table = btyd_table(orders, as_of="1997-10-01", unit="7d")
    >>> model = GammaGammaModel().fit(table)
    >>> round(model.population_mean_amount_, 2)
    35.17
    >>> print(model.score_table(table).head(3).round(2).to_string())
       customer_id  expected_order_amount  expected_order_amount_low  expected_order_amount_high
    0            1                  24.65                      23.82                       25.51
    1            2                  18.91                      16.84                       21.23
    2            3                  35.17                      33.68                       36.72
    >>> model.independence_verdict_
    'acceptable: frequency and spend of 946 repeat buyers correlate at 0.11 (95 % interval 0.05 to 0.18), a weak ...'
    """

    _names = ("p", "q", "gamma")

    def __init__(
        self,
        *,
        spend_covariates: Sequence[str] = (),
        l2: float = 0.0,
        priors: Mapping[str, Any] | None = None,
    ) -> None:
        self.spend_covariates = spend_covariates
        self.l2 = l2
        self.priors = priors

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: ARG002  scikit-learn's signature
        """Estimate the parameters from the repeat buyers of a btyd table by maximum likelihood.

        Parameters
        ----------
        X : dataframe, one row per customer, as :func:`crmlytics.clv.btyd_table` makes it
            Needs ``frequency`` and ``monetary_value``. Rows of frequency 0 are left out.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        SchemaError
            If a repeat buyer's ``monetary_value`` is missing, zero or negative: the model has no place for it.
        """
        caller = f"{self._caller}.fit"
        covariates = check_names(self.spend_covariates, name="spend_covariates", caller=caller)
        table = self._read(X, caller=caller, attributes=covariates)
        repeat = table["frequency"] > 0
        if not repeat.any():
            raise SchemaError(
                f"{caller}: nobody bought twice, so spend per order cannot be learned. Use a longer history."
            )
        buyers = table.of(repeat)
        self.n_customers_ = len(buyers)
        self._fitted_on_ = tuple(float(np.sort(buyers[name]).sum()) for name in ("frequency", "monetary_value"))
        self._coefficients_ = learn_coefficients(buyers, [(2, 1.0, [("spend", covariates)])], count=3, caller=caller)
        names = (*self._names, *self._coefficients_.names)
        check_penalty(self.l2, self.priors, names, caller=caller)
        scale = float(np.sort(buyers["monetary_value"]).mean())  # sorted: no trace of the order that rows came in
        rows = _distinct(buyers, self._coefficients_.effects(buyers, standardise=True))
        more = np.zeros(len(self._coefficients_.names))
        self._maximise(
            _log_likelihood(rows, scale),
            [np.concatenate([np.log(start), more]) for start in STARTS],
            scales=(1.0, 1.0, scale),
            shift=-self.n_customers_ * float(np.log(scale)),
            coefficients=self._coefficients_,
            verdict=lambda found: describe(found, names, ADVICE),
        )
        self._describe(buyers)
        return self

    def _adopt(self, X: Any, params: Vector, *, customers: int, caller: str) -> None:
        super()._adopt(X, params, customers=customers, caller=caller)
        table = self._read(X, caller=caller)
        self._describe(table.of(table["frequency"] > 0))

    def _describe(self, buyers: Histories) -> None:
        """Keep what follows from the parameters and the data, and warn if the mean is infinite."""
        rows = _distinct(buyers, ())
        x, spend = rows.columns
        self.correlation_ = _correlation(x, spend, rows.weights)
        self.independence_verdict_ = _independence_verdict(self.correlation_, self.n_customers_)
        self.population_mean_amount_ = float(kernel.expected_order_amount(self._params, np.zeros(1), np.zeros(1))[0])
        self._warn_if_mean_is_infinite()

    def score(self, X: Any, y: object = None) -> float:  # noqa: ARG002  scikit-learn's signature
        """Return the mean log-likelihood of a repeat buyer of ``X``, in the currency of ``X``: higher is better."""
        check_is_fitted(self)
        table = self._enter(X, caller=f"{self._caller}.score")
        buyers = table.of(table["frequency"] > 0)
        if not len(buyers):
            raise SchemaError(f"{self._caller}.score: nobody bought twice, so there is no spend to judge by.")
        params = params_of(self.theta_, 3, self._coefficients_.effects(buyers))
        return float(kernel.gamma_gamma_log_likelihood(params, buyers["frequency"], buyers["monetary_value"]).mean())

    def score_table(self, X: Any, *, interval: float = 0.9) -> Any:
        """Return the amount expected of each customer's future orders.

        Parameters
        ----------
        X : dataframe, one row per customer, as :func:`crmlytics.clv.btyd_table` makes it
            Needs ``frequency`` and ``monetary_value``, and the covariates; ``customer_id`` is the key if it is there.
        interval : float, default 0.9
            The probability that an interval, ``_low`` to ``_high``, is made to hold: it says how well the parameters
            are known, not how much single orders vary.

        Returns
        -------
        dataframe of the kind that came in, one row per customer, sorted by key
            ``customer_id`` (or ``row_number``, from 0, where the table has no key), ``expected_order_amount``
            (Float64, mean of the customer's future orders, in the currency of ``monetary_value``; for one-time
            buyers the mean over customers, which is infinite if q <= 1) with ``_low`` and ``_high``.
        """
        check_is_fitted(self)
        caller = f"{self._caller}.score_table"
        check_fraction(interval, name="interval", caller=caller)
        table = self._enter(X, caller=caller)
        value, error = self._amounts(table)
        bounds = interval_around(value, error, level=interval, scale="log")
        name = "expected_order_amount"
        return table.score_frame({name: value, f"{name}_low": bounds.low, f"{name}_high": bounds.high})

    def _objective(self, X: Any, *, caller: str) -> Objective:
        table = self._enter(X, caller=caller)
        buyers = table.of(table["frequency"] > 0)
        return _log_likelihood(_distinct(buyers, self._coefficients_.effects(buyers)), 1.0)

    def _amounts(self, table: Histories) -> tuple[Vector, Vector]:
        """Amount expected of each customer's orders, and its standard error; infinite with error zero, if it is."""
        rows = _distinct(table, self._coefficients_.effects(table))

        def predict(theta: Vector) -> tuple[Vector]:
            return (kernel.expected_order_amount(params_of(theta, 3, rows.effects), *rows.columns),)

        with np.errstate(invalid="ignore"):  # infinite less infinite
            ((value, error),) = delta_errors(predict, self.theta_, self._trusted_covariance_)
        error = np.where(np.isfinite(value) & np.isfinite(error), error, 0.0)
        return value[rows.inverse], error[rows.inverse]

    def _enter(self, X: Any, *, caller: str) -> Histories:
        table = self._read(X, caller=caller, attributes=self._coefficients_.columns)
        check_levels(table, self._coefficients_, caller=caller)
        return table

    def _read(self, X: Any, *, caller: str, attributes: Sequence[str] = ()) -> Histories:
        table = read_histories(X, "frequency", "monetary_value", caller=caller, attributes=attributes)
        x, spend = table["frequency"], table["monetary_value"]
        whole = "frequency counts repeat purchases: 0 for a customer who bought once."
        bad = ~np.isfinite(x) | (x < 0) | (x != np.floor(x))
        refuse_rows(table, bad, "a frequency that is not a whole number >= 0", whole, caller=caller)
        repair = (
            "The model needs orders above zero. Leave these customers out: "
            'table[(table["frequency"] == 0) | (table["monetary_value"] > 0)].'
        )
        bad = (x > 0) & ~(np.isfinite(spend) & (spend > 0))
        refuse_rows(table, bad, "repeat purchases but a monetary_value that is not above zero", repair, caller=caller)
        return table

    def _warn_if_mean_is_infinite(self) -> None:
        if np.isfinite(self.population_mean_amount_):
            return
        msg = (
            f"{self._caller}: q = {self.params_['q']:.3g} is at most 1, so the mean order over all customers is "
            "infinite under the fitted model: one-time buyers get expected_order_amount = inf, and so does whoever has "
            "p x + q <= 1. Look for a few extreme "
            "amounts (wholesale, errors) and set them aside or model them apart; or use the median spend for one-time "
            "buyers."
        )
        warn(msg)


def _distinct(table: Histories, effects: Sequence[Effect]) -> Distinct:
    """Collapse customers with the same frequency, mean spend and covariates; the spend of one-time buyers is nought."""
    return distinct((table["frequency"], np.where(table["frequency"] > 0, table["monetary_value"], 0.0)), effects)


def _log_likelihood(rows: Distinct, scale: float) -> Objective:
    """Return the log-likelihood of repeat buyers as a function of theta, with spend in units of ``scale``."""
    x, spend = rows.columns[0], rows.columns[1] / scale

    def value_and_gradient(params: Params) -> tuple[Vector, Vector]:
        return kernel.gamma_gamma_log_likelihood(params, x, spend), kernel.gamma_gamma_gradient(params, x, spend)

    return with_effects(value_and_gradient, 3, rows.effects, rows.weights)


def _correlation(x: Vector, spend: Vector, weights: Vector) -> float:
    if weights.sum() < 4 or np.ptp(x) == 0 or np.ptp(spend) == 0:
        return float("nan")
    spread = np.cov(x, spend, aweights=weights)
    return float(spread[0, 1] / np.sqrt(spread[0, 0] * spread[1, 1]))


def _independence_verdict(correlation: float, count: int) -> str:
    if not np.isfinite(correlation):
        return f"cannot be judged: {count} repeat buyers, or no variation among them."
    reach = NORMAL_95 / np.sqrt(count - 3)
    middle = np.arctanh(np.clip(correlation, -1 + 1e-12, 1 - 1e-12))  # R. A. Fisher's interval
    low, high = np.tanh(middle - reach), np.tanh(middle + reach)
    found = (
        f"frequency and spend of {count:,} repeat buyers correlate at {correlation:.2f} "
        f"(95 % interval {low:.2f} to {high:.2f})"
    )
    if low <= 0 <= high:
        return f"acceptable: {found}, which may be none at all, as the model assumes."
    if abs(correlation) < 0.3:
        return f"acceptable: {found}, a weak relation that the model leaves out."
    more = "more" if correlation > 0 else "less"
    return (
        f"doubtful: {found}; frequent buyers spend {more} per order, which the model leaves out. "
        "Fit groups of customers apart, or predict spend with a model that takes frequency into account."
    )
