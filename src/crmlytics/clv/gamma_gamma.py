"""Gamma-Gamma: what a customer's next order will be worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from crmlytics._kernels import gamma_gamma as kernel
from crmlytics._kernels.fitting import collapse, maximise
from crmlytics._validation import warn
from crmlytics.clv._base import Histories, MaximumLikelihoodModel, describe, read_histories, refuse_rows
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from crmlytics._kernels.special import Vector

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

    Attributes
    ----------
    params_ : dict
        ``p``, ``q``, ``gamma`` (in currency).
    standard_errors_, covariance_, log_likelihood_, converged_, verdict_
        As in :class:`BetaGeoModel`; the level of the log-likelihood depends on the currency.
    population_mean_amount_ : float
        ``p gamma / (q - 1)``: the mean order of a customer not seen yet; infinite if q <= 1.
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
    >>> model.score_table(table).head(3).round(2)
       customer_id  expected_order_amount
    0            1                  24.65
    1            2                  18.91
    2            3                  35.17
    >>> model.independence_verdict_
    'acceptable: frequency and spend of 946 repeat buyers correlate at 0.11 (95 % interval 0.05 to 0.18), a weak ...'
    """

    _names = ("p", "q", "gamma")

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
        table = self._read(X, caller=caller)
        repeat = table["frequency"] > 0
        if not repeat.any():
            raise SchemaError(
                f"{caller}: nobody bought twice, so spend per order cannot be learned. Use a longer history."
            )
        rows = collapse(table["frequency"][repeat], table["monetary_value"][repeat])
        (x, spend), weights = rows.columns, rows.weights
        scale = float(np.average(spend, weights=weights))  # of sorted rows: no trace of the order they came in
        scaled = spend / scale

        def objective(params: Vector) -> tuple[float, Vector]:
            value = np.sum(weights * kernel.gamma_gamma_log_likelihood(params, x, scaled))
            return float(value), np.sum(weights * kernel.gamma_gamma_gradient(params, x, scaled), axis=1)

        self.n_customers_ = int(repeat.sum())
        found = maximise(objective, STARTS, weight=self.n_customers_)
        self.correlation_ = _correlation(x, spend, weights)
        self.independence_verdict_ = _independence_verdict(self.correlation_, self.n_customers_)
        self._keep(
            found,
            (1.0, 1.0, scale),
            shift=-self.n_customers_ * float(np.log(scale)),
            verdict=describe(found, self._names, ADVICE),
        )
        none = np.zeros(1)
        self.population_mean_amount_ = float(kernel.expected_order_amount(self._params, none, none)[0])
        self._warn_if_mean_is_infinite()
        return self

    def score(self, X: Any, y: object = None) -> float:  # noqa: ARG002  scikit-learn's signature
        """Return the mean log-likelihood of a repeat buyer of ``X``, in the currency of ``X``: higher is better."""
        check_is_fitted(self)
        table = self._read(X, caller=f"{self._caller}.score")
        repeat = table["frequency"] > 0
        if not repeat.any():
            raise SchemaError(f"{self._caller}.score: nobody bought twice, so there is no spend to judge by.")
        value = kernel.gamma_gamma_log_likelihood(
            self._params, table["frequency"][repeat], table["monetary_value"][repeat]
        )
        return float(value.mean())

    def score_table(self, X: Any) -> Any:
        """Return the amount expected of each customer's future orders.

        Parameters
        ----------
        X : dataframe, one row per customer, as :func:`crmlytics.clv.btyd_table` makes it
            Needs ``frequency`` and ``monetary_value``; ``customer_id`` is the key if it is there.

        Returns
        -------
        dataframe of the kind that came in, one row per customer, sorted by key
            ``customer_id`` (or ``row_number``, from 0, where the table has no key), ``expected_order_amount``
            (Float64, mean of the customer's future orders, in the currency of ``monetary_value``; for one-time
            buyers the mean over customers, which is infinite if q <= 1).
        """
        check_is_fitted(self)
        table = self._read(X, caller=f"{self._caller}.score_table")
        amount = kernel.expected_order_amount(self._params, table["frequency"], table["monetary_value"])
        return table.score_frame({"expected_order_amount": amount})

    def _read(self, X: Any, *, caller: str) -> Histories:
        table = read_histories(X, "frequency", "monetary_value", caller=caller)
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
            "infinite under the fitted model: one-time buyers get expected_order_amount = inf. Look for a few extreme "
            "amounts (wholesale, errors) and set them aside or model them apart; or use the median spend for one-time "
            "buyers."
        )
        warn(msg)


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
