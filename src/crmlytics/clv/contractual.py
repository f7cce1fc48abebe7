"""Customers under contract: how many will renew, how long a customer stays, and what that is worth in periods."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from crmlytics._kernels import contractual as kernel
from crmlytics._kernels.fitting import climb
from crmlytics._kernels.uncertainty import delta_errors, interval_around, trusted_covariance
from crmlytics._validation import check_amount, check_count, check_fraction
from crmlytics.clv._base import LIFETIME, CountingModel, describe
from crmlytics.clv._contractual_tables import read_cohorts, read_customers, read_renewals
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crmlytics._kernels.fitting import Maximum, Objective
    from crmlytics._kernels.special import Vector
    from crmlytics._kernels.uncertainty import Scale
    from crmlytics.clv._contractual_tables import Renewals
    from crmlytics.clv._histories import Histories

MOST_PERIODS = 100_000
ALIKE = 1e-4
LEAST_RATE = 1e-5  # 3 million periods until what is left does not count
ADVICE = {
    "bound": "Usually customers much alike, too few renewals seen, or nobody who left.",
    "ridge": "Usually customers much alike, or too few renewals seen to tell how customers differ.",
}


class _Retention(CountingModel):
    """What both models share; they differ in whether a customer's own renewal probability changes with time."""

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: ARG002  scikit-learn's signature
        """Estimate the parameters by maximum likelihood from a customer table or from a cohort table.

        Parameters
        ----------
        X : dataframe
            One row per customer, as :func:`crmlytics.clv.tenure_table` makes it: ``renewal_count`` (renewals made) and
            ``is_active``. Or one row per period and cohort: ``period`` (0 at the start, then 1, 2, ... renewals
            later), ``customer_count`` (customers left) and, if there are several, ``cohort``. Cohorts may be of
            different length and may begin after period 0: only renewals that were seen to come due are counted.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        MissingColumnsError
            If neither kind of table is there.
        SchemaError
            If a cohort grows, has gaps or holds shares instead of counts; if no renewal has come due yet.
        """
        found = read_renewals(X, caller=f"{self._caller}.fit")
        starts = [np.log(np.array(start)) for start in self._starts]
        maximum = climb(self._of_theta(found), starts, weight=found.customer_count)
        self.n_customers_ = found.customer_count
        self.renewed_counts_, self.lost_counts_ = found.renewed, found.lost
        self._fitted_on_ = tuple(found.renewed.tolist()), tuple(found.lost.tolist())
        self._keep(maximum, [1.0] * len(self._names), shift=0.0, verdict=_verdict(maximum, self._names))
        return self

    def score(self, X: Any, y: object = None) -> float:  # noqa: ARG002  scikit-learn's signature
        """Return the mean log-likelihood of a customer of ``X``, either kind of table: higher is better."""
        check_is_fitted(self)
        found = read_renewals(X, caller=f"{self._caller}.score")
        return self._of_theta(found)(self.theta_)[0] / found.customer_count

    def retention_table(self, *, horizon: int, interval: float = 0.9) -> pd.DataFrame:
        """Return the retention curve of a new cohort, beside what was observed.

        Parameters
        ----------
        horizon : int
            The last renewal shown.
        interval : float, default 0.9
            Confidence of the intervals, which tell how well the curve is known; not how much a small cohort strays.

        Returns
        -------
        pandas.DataFrame, one row per renewal
            ``period`` (int, 1 to ``horizon``), ``survival_probability`` (S(t): of making at least t renewals),
            ``renewal_probability`` (r(t) = S(t) / S(t - 1): the retention rate), each with ``_low`` and ``_high``;
            ``at_risk_count`` (float, customers whose t-th renewal was seen to come due), ``observed_renewal_rate`` (of
            these; missing beyond), ``observed_survival_rate`` (product of these rates, the Kaplan-Meier estimate).
        """
        check_is_fitted(self)
        caller = f"{self._caller}.retention_table"
        period = np.arange(1.0, check_horizon(horizon, caller=caller) + 1)

        def predict(theta: Vector) -> tuple[Vector, ...]:
            params = self._weibull(theta)
            survival, renewal = kernel.log_survival(params, period), kernel.log_renewal_probability(params, period)
            return np.exp(survival), np.exp(renewal)

        names: dict[str, Scale] = {"survival_probability": "logit", "renewal_probability": "logit"}
        columns = {"period": period.astype(int)} | self._with_intervals(predict, names, interval, caller=caller)
        return pd.DataFrame(columns | self._observed(len(period)))

    def residual_lifetime_table(
        self, *, most_renewals: int, discount_rate: float, horizon: int | None = None, interval: float = 0.9
    ) -> pd.DataFrame:
        """Return how many periods customers will still pay for, by the renewals they have made.

        The customer stands just before the next renewal, and if they renew, the first payment comes at once: it is not
        discounted (Fader and Hardie 2010). Multiply by the margin of a period to get residual lifetime value.

        Parameters
        ----------
        most_renewals : int
            The last row.
        discount_rate : float
            Per period: 10 % a year is ``1.1 ** (1 / 12) - 1`` for months. With a ``horizon`` it may be 0.
        horizon : int, optional
            Renewals looked ahead; without one all that ever come.
        interval : float, default 0.9
            Confidence of the intervals.

        Returns
        -------
        pandas.DataFrame, one row per number of renewals made
            ``renewal_count`` (int, 0 to ``most_renewals``), ``discounted_renewal_count`` (discounted expected residual
            lifetime: the sum over j of ``S(n + j) / S(n) / (1 + discount_rate) ** (j - 1)``), with ``_low``, ``_high``.
        """
        check_is_fitted(self)
        caller = f"{self._caller}.residual_lifetime_table"
        renewals = np.arange(check_count(most_renewals, name="most_renewals", caller=caller, least=0) + 1.0)
        horizon_or_all, rate = check_ahead(horizon, discount_rate, caller=caller)

        def predict(theta: Vector) -> tuple[Vector, ...]:
            return (kernel.expected_renewals(self._weibull(theta), renewals, horizon=horizon_or_all, rate=rate),)

        scores = self._with_intervals(predict, {"discounted_renewal_count": "log"}, interval, caller=caller)
        return pd.DataFrame({"renewal_count": renewals.astype(int)} | scores)

    def expected_new_customer_periods(self, *, discount_rate: float = 0.0, horizon: int | None = None) -> float:
        """Return the periods that a new customer is expected to pay for, the first one included.

        ``sum over t = 0..horizon of S(t) / (1 + discount_rate) ** t``: with a rate of 0 the expected tenure within the
        horizon, else the discounted expected lifetime (DEL).

        Parameters
        ----------
        discount_rate : float, default 0
            Per period. May be 0 only with a ``horizon``: for many parameters the expected lifetime is infinite.
        horizon : int, optional
            Renewals looked ahead; without one all that ever come.
        """
        check_is_fitted(self)
        caller = f"{self._caller}.expected_new_customer_periods"
        horizon_or_all, rate = check_ahead(horizon, discount_rate, caller=caller)
        new = np.zeros(1)
        ahead = kernel.expected_renewals(self._weibull(self.theta_), new, horizon=horizon_or_all, rate=rate)
        return float(1 + ahead[0] / (1 + rate))

    def score_table(self, X: Any, *, horizon: int, discount_rate: float = 0.0, interval: float = 0.9) -> Any:
        """Score each customer for the renewals ahead.

        Parameters
        ----------
        X : dataframe, one row per customer, as :func:`crmlytics.clv.tenure_table` makes it
            Needs ``renewal_count`` and ``is_active``; ``customer_id`` is the key if it is there.
        horizon : int
            How many renewals to look ahead.
        discount_rate : float, default 0
            Per period; the next renewal is not discounted.
        interval : float, default 0.9
            Confidence of the intervals, which tell how well the prediction is known; not what one customer will do.

        Returns
        -------
        dataframe of the kind that came in, one row per customer, sorted by key
            ``customer_id`` (or ``row_number``, from 0, where the table has no key), ``renewal_probability`` (Float64,
            of the next renewal), ``survival_probability`` (Float64, of all renewals in the horizon),
            ``expected_renewal_count`` (Float64, renewals in the horizon), ``discounted_renewal_count`` (Float64, the
            same discounted), each with ``_low`` and ``_high``. All are 0 for customers who have left.
        """
        check_is_fitted(self)
        caller = f"{self._caller}.score_table"
        ahead = check_horizon(horizon, caller=caller)
        rate = check_amount(discount_rate, name="discount_rate", caller=caller)
        table = read_customers(X, caller=caller)
        made, which = np.unique(table["renewal_count"], return_inverse=True)
        names: dict[str, Scale] = {
            "renewal_probability": "logit",
            "survival_probability": "logit",
            "expected_renewal_count": "log",
            "discounted_renewal_count": "log",
        }
        few = self._with_intervals(
            lambda theta: _ahead(self._weibull(theta), made, ahead, rate), names, interval, caller=caller
        )
        return table.score_frame({name: values[which] * table["is_active"] for name, values in few.items()})

    def projection_table(self, X: Any, *, horizon: int, interval: float = 0.9) -> Any:
        """Project cohorts from their last known period.

        Parameters
        ----------
        X : dataframe, one row per period and cohort
            Needs ``period``, ``customer_count`` and, if there are several cohorts, ``cohort``.
        horizon : int
            How many periods to project.
        interval : float, default 0.9
            Probability that the count lies within the band, whether it strays because the parameters are estimates or
            because customers decide one by one. Normal on the log-odds of the share left: rough below ten customers.

        Returns
        -------
        dataframe of the kind that came in, one row per cohort and projected period, sorted by them
            ``cohort`` (if it came in), ``period`` (Int64), ``customer_count`` (Float64, expected),
            ``customer_count_low``, ``customer_count_high`` (Float64).
        """
        check_is_fitted(self)
        caller = f"{self._caller}.projection_table"
        steps = np.arange(1.0, check_horizon(horizon, caller=caller) + 1)
        level = check_fraction(interval, name="interval", caller=caller)
        cohorts = read_cohorts(X, caller=caller)
        last, known = cohorts.period[cohorts.is_last].astype(float), cohorts.customer_count[cohorts.is_last]
        share, error = self._share_left(last, steps)
        customers = known[:, None]
        one_by_one = share * (1 - share) / np.maximum(customers, 1.0)
        band = interval_around(share, np.sqrt(error**2 + one_by_one), level=level, scale="logit")
        names = ("customer_count", "customer_count_low", "customer_count_high")
        columns: dict[str, Any] = {"period": (last[:, None] + steps).ravel().astype(int)}
        parts = (band.value, band.low, band.high)
        columns |= {name: (part * customers).ravel() for name, part in zip(names, parts, strict=True)}
        schema: dict[str, Any] = {"period": nw.Int64()} | dict.fromkeys(names, nw.Float64())
        if cohorts.has_key:
            keys = np.repeat(cohorts.cohort[cohorts.is_last], len(steps))
            is_text = keys.dtype.kind == "U"
            columns = {"cohort": keys.tolist() if is_text else keys} | columns
            schema = {"cohort": nw.String() if is_text else nw.Int64()} | schema
        return cohorts.engine.from_columns(columns, nw.Schema(schema))

    # -- inside --------------------------------------------------------------------------------------------------

    def _value_of_customers(
        self, X: Any, horizon: Any, discount_rate: Any, *, caller: str
    ) -> tuple[Histories, Vector, Vector]:
        ahead, rate = ahead_of(horizon, discount_rate, caller=caller)
        table = read_customers(X, caller=caller)
        made, which = np.unique(table["renewal_count"], return_inverse=True)

        def predict(theta: Vector) -> tuple[Vector]:
            return (kernel.expected_renewals(self._weibull(theta), made, horizon=ahead, rate=rate),)

        ((value, error),) = delta_errors(predict, self.theta_, trusted_covariance(self.information_))
        return table, value[which] * table["is_active"], error[which] * table["is_active"]

    def _value_of_new_customer(self, like: Any, horizon: Any, discount_rate: Any, *, caller: str) -> float:  # noqa: ARG002
        ahead, rate = ahead_of(horizon, discount_rate, caller=caller)
        renewals = kernel.expected_renewals(self._weibull(self.theta_), np.zeros(1), horizon=ahead, rate=rate)
        return float(renewals[0] / (1 + rate))  # a period passes before the first one

    _starts: tuple[tuple[float, ...], ...] = ()

    def _weibull(self, theta: Vector) -> Vector:
        """Return (gamma, delta, c) of the beta discrete Weibull."""
        raise NotImplementedError

    def _objective(self, X: Any, *, caller: str) -> Objective:
        return self._of_theta(read_renewals(X, caller=caller))

    def _of_theta(self, found: Renewals) -> Objective:
        """Return the log-likelihood of these renewals as a function of theta, with its derivatives."""
        period = np.arange(1.0, len(found.renewed) + 1)
        of_params = kernel.retention_objective(period, found.renewed, found.lost)

        def objective(theta: Vector) -> tuple[float, Vector]:
            params = self._weibull(theta)
            value, gradient = of_params(params)
            return value, (gradient * params)[: len(theta)]

        return objective

    def _with_intervals(
        self,
        predict: Callable[[Vector], tuple[Vector, ...]],
        scales: Mapping[str, Scale],
        interval: float,
        *,
        caller: str,
    ) -> dict[str, Vector]:
        """Return each prediction with its bounds, three columns a name."""
        level = check_fraction(interval, name="interval", caller=caller)
        columns: dict[str, Vector] = {}
        found = delta_errors(predict, self.theta_, trusted_covariance(self.information_))
        for (name, scale), (value, error) in zip(scales.items(), found, strict=True):
            band = interval_around(value, error, level=level, scale=scale)
            columns |= {name: band.value, f"{name}_low": band.low, f"{name}_high": band.high}
        return columns

    def _share_left(self, period: Vector, steps: Vector) -> tuple[Vector, Vector]:
        """Share of the customers of a period who are left after steps more, and its standard error."""

        def predict(theta: Vector) -> tuple[Vector, ...]:
            params = self._weibull(theta)
            now = kernel.log_survival(params, period)
            return (np.exp(kernel.log_survival(params, period[:, None] + steps) - now[:, None]),)

        ((share, error),) = delta_errors(predict, self.theta_, trusted_covariance(self.information_))
        return share, error

    def _observed(self, length: int) -> dict[str, Vector]:
        """Return customers at risk and rates observed at renewals 1 to length, missing where there were none."""
        at_risk = self.renewed_counts_ + self.lost_counts_
        rate = np.divide(self.renewed_counts_, at_risk, out=np.full_like(at_risk, math.nan), where=at_risk > 0)
        missing = np.full(max(length - len(rate), 0), math.nan)
        return {
            "at_risk_count": np.concatenate([at_risk, np.zeros_like(missing)])[:length],
            "observed_renewal_rate": np.concatenate([rate, missing])[:length],
            "observed_survival_rate": np.concatenate([np.cumprod(rate), missing])[:length],
        }


class ShiftedBetaGeoModel(_Retention):
    """Shifted beta-geometric (sBG): customers differ in how likely they are to leave, and each stays as they are.

    At every renewal a customer leaves with their own probability, which varies over customers as Beta(alpha, beta).
    Of a cohort ``S(t) = B(alpha, beta + t) / B(alpha, beta)`` are left after t renewals, and of those
    ``r(t) = (beta + t - 1) / (alpha + beta + t - 1)`` made the last one: the retention rate rises although nobody
    changes, because those likely to leave leave first.

    Attributes
    ----------
    params_ : dict
        ``alpha``, ``beta``: on average ``alpha / (alpha + beta)`` of new customers leave at the first renewal; the
        smaller ``alpha + beta``, the more customers differ.
    standard_errors_, covariance_, log_likelihood_, converged_, verdict_
        As in :class:`BetaGeoModel`.
    renewed_counts_, lost_counts_ : arrays, one entry per renewal t = 1, 2, ...
        How many customers made the t-th renewal, and how many left instead.
    n_customers_ : int

    Warns
    -----
    DataQualityWarning
        If the fit did not converge, or hardly determines a parameter.

    References
    ----------
    Fader, P. and Hardie, B. (2007), How to project customer retention, Journal of Interactive Marketing 21(1), 76-90.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.clv import ShiftedBetaGeoModel
    >>> high_end = pd.DataFrame({"period": range(8), "customer_count": [1000, 869, 743, 653, 593, 551, 517, 491]})
    >>> model = ShiftedBetaGeoModel().fit(high_end)
    >>> {name: round(value, 3) for name, value in model.params_.items()}
    {'alpha': 0.668, 'beta': 3.806}
    >>> print(model.projection_table(high_end, horizon=3).round(1).to_string())
       period  customer_count  customer_count_low  customer_count_high
    0       8           462.4                451.4                470.5
    1       9           437.6                422.6                449.7
    2      10           415.9                397.7                431.2
    """

    _names = ("alpha", "beta")
    _starts = ((1.0, 1.0), (0.3, 3.0), (5.0, 20.0))

    def _weibull(self, theta: Vector) -> Vector:
        return np.append(np.exp(theta), 1.0)


class BetaDiscreteWeibullModel(_Retention):
    """Beta discrete Weibull (BdW): as :class:`ShiftedBetaGeoModel`, but a customer's own loyalty may change with time.

    ``S(t) = B(gamma, delta + t ** c) / B(gamma, delta)``. With c = 1 it is the sBG. With c above 1 each customer is
    more likely to leave at each renewal (wear-out), with c below 1 less likely (habit); that those who are likely to
    leave go first raises retention rates in any case. Use it if the sBG misses the observed renewal rates; compare
    ``log_likelihood_`` (twice the difference is chi-squared with one degree of freedom if c is 1).

    Attributes
    ----------
    params_ : dict
        ``gamma``, ``delta`` (alpha and beta of the sBG), ``c`` (duration dependence).
    standard_errors_, covariance_, log_likelihood_, converged_, verdict_
        As in :class:`BetaGeoModel`.
    renewed_counts_, lost_counts_ : arrays, one entry per renewal t = 1, 2, ...
        How many customers made the t-th renewal, and how many left instead.
    n_customers_ : int

    Warns
    -----
    DataQualityWarning
        If the fit did not converge, or hardly determines a parameter.

    References
    ----------
    Fader, P., Hardie, B., Liu, Y., Davin, J. and Steenburgh, T. (2018), "How to project customer retention" revisited:
    the role of duration dependence, Journal of Interactive Marketing 43, 1-16.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.clv import BetaDiscreteWeibullModel
    >>> high_end = pd.DataFrame({"period": range(8), "customer_count": [1000, 869, 743, 653, 593, 551, 517, 491]})
    >>> model = BetaDiscreteWeibullModel().fit(high_end)
    >>> {name: round(value, 3) for name, value in model.params_.items()}
    {'gamma': 0.214, 'delta': 1.427, 'c': 1.724}
    >>> round(model.projection_table(high_end, horizon=5)["customer_count"].iloc[-1])
    404
    """

    _names = ("gamma", "delta", "c")
    _starts = ((1.0, 1.0, 1.0), (0.3, 3.0, 1.5), (5.0, 20.0, 0.7))

    def _weibull(self, theta: Vector) -> Vector:
        return np.exp(theta)


def _verdict(found: Maximum, names: tuple[str, ...]) -> str:
    polarisation = 1 / (
        1 + found.params[:2].sum()
    )  # of the paper: 0 if customers are alike, 1 if each is all or nothing
    if found.converged or polarisation > ALIKE:
        return describe(found, names, ADVICE)
    first, second = names[:2]
    return (
        f"no difference between customers found: the likelihood rises as they become alike "
        f"(1 / ({first} + {second} + 1) = {polarisation:.0e}). Predictions are usable: they are those of one renewal "
        f"probability for everybody{', changing with time,' if len(names) > 2 else ''} and "
        f"{first} / ({first} + {second}) of new customers leave at the first renewal. Do not interpret {first} and "
        f"{second} one by one."
    )


def _ahead(params: Vector, made: Vector, horizon: int, rate: float) -> tuple[Vector, ...]:
    """Next renewal, all renewals, expected and discounted count of customers with ``made`` renewals."""
    survival = kernel.log_survival(params, made + horizon) - kernel.log_survival(params, made)
    expected = kernel.expected_renewals(params, made, horizon=horizon, rate=0.0)
    discounted = kernel.expected_renewals(params, made, horizon=horizon, rate=rate)
    return np.exp(kernel.log_renewal_probability(params, made + 1)), np.exp(survival), expected, discounted


def check_horizon(horizon: Any, *, caller: str) -> int:
    """Check a whole number of periods to look ahead."""
    count = check_count(horizon, name="horizon", caller=caller)
    if count > MOST_PERIODS:
        raise SchemaError(f"{caller}: horizon must be at most {MOST_PERIODS:,} periods, got {horizon!r}.")
    return count


def ahead_of(horizon: Any, discount_rate: Any, *, caller: str) -> tuple[float, float]:
    """Check the same, ``"lifetime"`` being all periods to come."""
    everything = isinstance(horizon, str) and horizon.strip() == LIFETIME
    return check_ahead(None if everything else horizon, discount_rate, caller=caller)


def check_ahead(horizon: Any, discount_rate: Any, *, caller: str) -> tuple[float, float]:
    """Check a horizon, None for all periods to come, together with a discount rate that keeps the sum finite."""
    rate = check_amount(discount_rate, name="discount_rate", caller=caller)
    if horizon is not None:
        return float(check_horizon(horizon, caller=caller)), rate
    if rate < LEAST_RATE:
        msg = (
            f"{caller}: without a horizon, discount_rate must be at least {LEAST_RATE:g} per period, got "
            f"{discount_rate!r}: the sum over all periods may be infinite. Give horizon=<periods> or a higher rate."
        )
        raise SchemaError(msg)
    return math.inf, rate
