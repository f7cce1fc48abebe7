"""What a fit by maximum likelihood leaves behind, and how far to trust it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from crmlytics._kernels.fitting import LARGEST_LOG, climb, measure
from crmlytics._kernels.profiling import profile_bounds
from crmlytics._kernels.uncertainty import trusted_covariance
from crmlytics._validation import check_fraction, warn
from crmlytics.clv._covariates import NONE
from crmlytics.clv._penalty import NEAR, Belief
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from crmlytics._kernels.fitting import Maximum, Objective
    from crmlytics.clv._covariates import Coefficients
    from crmlytics.clv._histories import Histories

Vector: TypeAlias = npt.NDArray[np.float64]

FORGIVEN = 1e-2  # of a log-likelihood
STOPPED_NEAR = 0.3  # in theta, of the edge of a prior
LIFETIME = "lifetime"  # a horizon without end
LARGEST_COEFFICIENT = 8.0  # of a standardised covariate: a factor of 3,000 within one standard deviation


class MaximumLikelihoodModel(BaseEstimator):  # type: ignore[misc]
    """What a fit by maximum likelihood leaves behind. Subclasses name their parameters.

    Attributes
    ----------
    theta_ : array (k,)
        Logarithms of the parameters, then the coefficients of covariates, if any: the scale on which estimates are
        closest to normal.
    information_ : array (k, k)
        Minus the second derivatives of the log-likelihood by theta.
    """

    _names: tuple[str, ...] = ()

    @property
    def _caller(self) -> str:
        return type(self).__name__

    @property
    def _params(self) -> Vector:
        return np.array([self.params_[name] for name in self._names])

    @property
    def aic_(self) -> float:
        """Akaike's information criterion, ``2 k - 2 log_likelihood_``: lower is better, on the same data only."""
        return float(2 * len(self.theta_) - 2 * self.log_likelihood_)

    @property
    def bic_(self) -> float:
        """Schwarz's criterion, ``k ln(n_customers_) - 2 log_likelihood_``: lower is better, on the same data only."""
        return float(len(self.theta_) * math.log(self.n_customers_) - 2 * self.log_likelihood_)

    def parameter_table(self, *, level: float = 0.95) -> pd.DataFrame:
        """Return the estimates with their standard errors and Wald intervals.

        The interval of a parameter is symmetric on the log scale, so it stays above zero; that of a coefficient of a
        covariate is symmetric as it is. Where the data say nothing about a parameter, its bounds are missing.

        Parameters
        ----------
        level : float, default 0.95
            Of confidence.

        Returns
        -------
        pandas.DataFrame, one row per parameter
            ``parameter``, ``estimate``, ``standard_error``, ``low``, ``high`` (Float64).
        """
        check_is_fitted(self)
        check_fraction(level, name="level", caller=f"{self._caller}.parameter_table")
        errors = np.sqrt(np.diag(self.theta_covariance_))
        reach = special.ndtri((1 + level) / 2) * errors
        low, high = self._from_theta(self.theta_ - reach), self._from_theta(self.theta_ + reach)
        table = {
            "parameter": list(self.standard_errors_),
            "estimate": self._from_theta(self.theta_),
            "standard_error": list(self.standard_errors_.values()),
            "low": low,
            "high": high,
        }
        return pd.DataFrame(table)

    def profile_table(self, X: Any, *, level: float = 0.95) -> pd.DataFrame:
        """Return the estimates with their profile-likelihood intervals.

        An interval holds the values of a parameter that the data do not reject when the others are chosen to suit it.
        Where the likelihood is lopsided or a ridge, it is more trustworthy than the Wald interval of
        :meth:`parameter_table`, and takes a few hundred evaluations of the likelihood a parameter.

        Parameters
        ----------
        X : dataframe, one row per customer
            What the model was fitted on.
        level : float, default 0.95
            Of confidence.

        Returns
        -------
        pandas.DataFrame, one row per parameter
            ``parameter``, ``estimate``, ``low``, ``high`` (Float64); a bound is missing where the data reject nothing
            on that side.

        References
        ----------
        Venzon, D. and Moolgavkar, S. (1988), A method for computing profile-likelihood-based confidence intervals,
        Applied Statistics 37(1), 87-94.
        """
        check_is_fitted(self)
        caller = f"{self._caller}.profile_table"
        check_fraction(level, name="level", caller=caller)
        if getattr(self, "l2", 0.0) or getattr(self, "priors", None):
            raise SchemaError(f"{caller}: a fit with l2 or priors has no profile likelihood. Use parameter_table.")
        objective, weight = self._objective(X, caller=caller), float(self.n_customers_)
        slope = objective(self.theta_)[1]
        left_to_gain = float(slope @ np.nan_to_num(self.theta_covariance_) @ slope) / 2
        if self.converged_ and left_to_gain > FORGIVEN:
            raise SchemaError(f"{caller}: X is not what the model was fitted on: the likelihood is greater elsewhere.")
        errors = np.nan_to_num(np.sqrt(np.diag(self.theta_covariance_)), nan=1.0)
        found = [
            profile_bounds(objective, self.theta_, at, level=level, error=float(error), weight=weight)
            for at, error in enumerate(errors)
        ]
        low, high = (self._from_theta(np.array(bounds)) for bounds in zip(*found, strict=True))
        names, estimates = list(self.standard_errors_), self._from_theta(self.theta_)
        return pd.DataFrame({"parameter": names, "estimate": estimates, "low": low, "high": high})

    def _objective(self, X: Any, *, caller: str) -> Objective:
        """Return the log-likelihood of these customers as a function of theta, with its derivatives."""
        raise NotImplementedError

    def _from_theta(self, theta: Vector) -> Vector:
        """Parameters as they are, from logarithms; coefficients stay."""
        return np.concatenate([np.exp(theta[: len(self._names)]), theta[len(self._names) :]])

    def _adopt(self, X: Any, params: Vector, *, customers: int, caller: str) -> None:
        """Take parameters over, in the units of ``X``, on which somebody else fitted them."""
        self._coefficients_, self.theta_, self.n_customers_ = NONE, np.log(params), customers
        found = measure(self._objective(X, caller=caller), self.theta_, weight=customers)
        verdict = "taken over: the likelihood is greatest at these parameters, as it should be."
        if not found.converged:
            verdict = "taken over: these parameters are not where the likelihood is greatest. Fit the model here, too."
        self._keep(found, np.ones(len(params)).tolist(), 0.0, verdict)

    def _maximise(
        self,
        objective: Objective,
        starts: Sequence[Vector],
        *,
        scales: Sequence[float],
        shift: float,
        coefficients: Coefficients,
        verdict: Callable[[Maximum], str],
    ) -> None:
        """Maximise over theta, with the penalty and the priors, and keep what was found.

        Parameters
        ----------
        scales : the caller's units of the parameters, in those of the search
        shift : what the log-likelihood has more in the caller's units
        verdict : says how far to trust a maximum
        """
        count, names = len(self._names), (*self._names, *coefficients.names)
        belief = Belief(
            l2=getattr(self, "l2", 0.0),
            priors=dict(getattr(self, "priors", None) or {}),
            names=names,
            matrix=coefficients.back_to_user_units(count),
            shift=np.concatenate([np.log(scales), np.zeros(len(coefficients.names))]),
            positive=count,
        )
        reach = np.concatenate([np.full(count, LARGEST_LOG), np.full(len(coefficients.names), LARGEST_COEFFICIENT)])
        starts = [belief.allowed_start(start) for start in starts]
        found = climb(belief.added_to(objective), starts, weight=self.n_customers_, reach=reach)
        shift -= belief.at(found.theta)[0]
        # a search that is stopped by the edge of a prior may stop a little before it
        words, cut_off = verdict(found), belief.excluding(found.theta, NEAR if found.converged else STOPPED_NEAR)
        if cut_off:
            found = replace(found, converged=False)
            words = (
                f"not converged: the prior of {', '.join(cut_off)} is zero next to the estimate, so it decides and not "
                "the data. Give a prior that is above zero wherever the parameter may be."
            )
        self._keep(found, scales, shift, words, coefficients=coefficients)

    def _keep(
        self, found: Maximum, scales: Sequence[float], shift: float, verdict: str, *, coefficients: Coefficients = NONE
    ) -> None:
        """Store a maximum, found in scaled units, in the caller's units, and warn if it deserves little trust."""
        count = len(self._names)
        back = coefficients.back_to_user_units(count)
        inverse = np.linalg.inv(back)
        self.theta_ = back @ found.theta
        self.theta_[:count] += np.log(np.asarray(scales))
        self.theta_covariance_ = _carried(found.covariance, back)
        self.information_ = inverse.T @ found.information @ inverse
        self._trusted_covariance_ = back @ trusted_covariance(found.information) @ back.T
        values = self._from_theta(self.theta_)
        stretch = np.concatenate([values[:count], np.ones(len(values) - count)])
        self.params_ = dict(zip(self._names, values[:count].tolist(), strict=True))
        self.coefficients_ = dict(zip(coefficients.names, values[count:].tolist(), strict=True))
        self.covariance_ = self.theta_covariance_ * np.outer(stretch, stretch)
        errors = np.sqrt(np.diag(self.covariance_))
        self.standard_errors_ = dict(zip((*self._names, *coefficients.names), errors.tolist(), strict=True))
        self.log_likelihood_ = float(found.log_likelihood + shift)
        self.converged_ = found.converged
        self.verdict_ = verdict
        if not self.converged_ or found.on_ridge.any():
            warn(f"{self._caller}: {self.verdict_}")


class CountingModel(MaximumLikelihoodModel):
    """A model that says how many purchases, or renewals, are still to come."""

    def _value_of_customers(
        self, X: Any, horizon: Any, discount_rate: Any, *, caller: str
    ) -> tuple[Histories, Vector, Vector]:
        """Discounted purchases expected of each customer, with their standard errors."""
        raise NotImplementedError

    def _value_of_new_customer(self, like: Any, horizon: Any, discount_rate: Any, *, caller: str) -> float:
        """Discounted repeat purchases expected of a customer who has just made the first one."""
        raise NotImplementedError


def _carried(covariance: Vector, matrix: Vector) -> Vector:
    """Covariance of ``matrix @ theta``; what is not known of one entry of theta stays its own affair."""
    known = np.isfinite(np.diag(covariance))
    block = np.ix_(known, known)
    carried = np.full_like(covariance, np.nan)
    carried[block] = matrix[block] @ covariance[block] @ matrix[block].T
    return carried


def describe(found: Maximum, names: Sequence[str], advice: Mapping[str, str]) -> str:
    """Say in a sentence how far to trust a fit; ``advice`` has the model's usual causes of a bound and of a ridge."""

    def listed(which: npt.NDArray[np.bool_]) -> str:
        return ", ".join(name for name, chosen in zip(names, which, strict=True) if chosen)

    if found.at_bound.any():
        return (
            f"not converged: {listed(found.at_bound)} ran to the edge of what was searched. {advice['bound']} "
            "Point predictions are usable; do not interpret the parameters."
        )
    if not found.converged:
        return (
            f"not converged: the likelihood has no well-defined maximum. {advice['bound']} "
            "Treat the predictions with care."
        )
    if found.on_ridge.any():
        return (
            f"converged on a ridge: {listed(found.on_ridge)} could be 20 times larger or smaller and fit as well. "
            f"{advice['ridge']} Predictions are usable; do not interpret these parameters one by one."
        )
    return "converged: the parameters are well determined."
