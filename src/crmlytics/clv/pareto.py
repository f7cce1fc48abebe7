"""Pareto/NBD and Gamma/Gompertz/NBD, where customers leave at any time, and NBD, where nobody leaves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._kernels.lifetime_nbd import GAMMA_GOMPERTZ_NBD, NBD, PARETO_NBD
from crmlytics.clv._purchases import CovariateModel, PurchaseModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from crmlytics._kernels.fitting import Maximum
    from crmlytics._kernels.population import Population
    from crmlytics.clv._histories import Histories

STEADY = 1e-2  # a hazard that grows by a hundredth within the mean T


class NBDModel(PurchaseModel):
    """NBD: customers buy at a steady random rate that varies over customers as gamma(r, rate alpha); nobody leaves.

    The benchmark that a model with dropout has to beat. A customer with x repeat purchases until T has likelihood
    ``Γ(r+x)/Γ(r) alpha^r (alpha+T)^-(r+x)``, and in the horizon t is expected to make ``t (r+x) / (alpha+T)``
    purchases. ``alive_probability`` is 1 for everybody, and ``alive_is_assumed`` says that it is no finding.

    Parameters
    ----------
    unit : str, default "7d"
        The time unit of ``recency`` and ``T``: the ``unit`` given to :func:`crmlytics.clv.btyd_table`. It turns a
        ``horizon`` such as ``"90d"`` into that unit.
    purchase_covariates : list of str
        Columns that explain how fast a customer buys. Numbers and truth values enter as they are; of a text, the first
        level in alphabetical order is what the others are compared with.
    l2 : float, default 0
        Penalty on the squares of log-parameters (time in units of the mean T) and of the coefficients of standardised
        covariates: holds estimates together where the data say little.
    priors : dict of str to distribution, optional
        Of parameters and coefficients by name, anything with a ``logpdf`` such as ``scipy.stats.gamma(2, scale=0.5)``:
        then the estimate is the mode of the posterior density, and the standard errors are its curvature.

    Attributes
    ----------
    params_ : dict
        ``r``, ``alpha`` (in time units).
    coefficients_ : dict
        Of covariates, ``"purchase:age"``.
    standard_errors_ : dict
        Of the parameters and coefficients, from the observed information; NaN where they do not exist.
    covariance_ : array (k, k)
        Of the parameters and coefficients.
    log_likelihood_ : float
        At the estimate, penalty and priors not in it; its level depends on the time unit.
    aic_, bic_ : float
    converged_ : bool
    verdict_ : str
        How far to trust the fit, in a sentence.
    n_customers_ : int

    Warns
    -----
    DataQualityWarning
        If the fit did not converge, or hardly determines a parameter.

    References
    ----------
    Ehrenberg, A. (1959), The pattern of consumer purchases, Applied Statistics 8(1), 26-41. Morrison, D. and
    Schmittlein, D. (1988), Generalizing the NBD model for customer purchases, JBES 6(2), 145-159.

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.clv import NBDModel, btyd_table
    >>> from crmlytics.datasets import load_cdnow
    >>> orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    >>> table = btyd_table(orders, as_of="1997-10-01", unit="7d")
    >>> model = NBDModel(unit="7d").fit(table)
    >>> {name: round(value, 3) for name, value in model.params_.items()}
    {'r': 0.385, 'alpha': 12.072}
    >>> round(model.log_likelihood_, 2)
    -9763.66
    """

    _process = NBD

    def __init__(
        self,
        *,
        unit: Any = "7d",
        purchase_covariates: Sequence[str] = (),
        l2: float = 0.0,
        priors: Mapping[str, Any] | None = None,
    ) -> None:
        self.unit = unit
        self.purchase_covariates = purchase_covariates
        self.l2 = l2
        self.priors = priors

    def _alive_is_assumed(self, table: Histories) -> npt.NDArray[np.bool_]:
        return np.ones(len(table), dtype=bool)


class ParetoNBDModel(CovariateModel):
    """Pareto/NBD: a customer buys at a steady random rate and leaves at a random time, whether they buy or not.

    The purchase rate varies over customers as gamma(r, rate alpha), the rate of leaving as gamma(s, rate beta), so
    lifetimes have survival function ``(beta / (beta + t))^s``. A customer with x repeat purchases, the last at t_x,
    watched until T, has likelihood

    ``Γ(r+x)/Γ(r) alpha^r beta^s [(alpha+T)^-(r+x) (beta+T)^-s + s ∫_{t_x}^T (alpha+u)^-(r+x) (beta+u)^-(s+1) du]``.

    A covariate z of purchases multiplies the purchase rate by ``exp(coefficient * z)`` (alpha by its inverse), one of
    dropout the rate of leaving (beta by its inverse).

    Parameters
    ----------
    unit : str, default "7d"
        The time unit of ``recency`` and ``T``: the ``unit`` given to :func:`crmlytics.clv.btyd_table`. It turns a
        ``horizon`` such as ``"90d"`` into that unit.
    purchase_covariates, dropout_covariates, shared_covariates : list of str
        Columns that explain how fast a customer buys, how soon they leave, or both with one coefficient (a
        constraint). Numbers and truth values enter as they are; of a text, the first level in alphabetical order is
        what the others are compared with.
    l2 : float, default 0
        Penalty on the squares of log-parameters (time in units of the mean T) and of the coefficients of standardised
        covariates: holds estimates together where the data say little.
    priors : dict of str to distribution, optional
        Of parameters and coefficients by name, anything with a ``logpdf`` such as ``scipy.stats.gamma(2, scale=0.5)``:
        then the estimate is the mode of the posterior density, and the standard errors are its curvature.

    Attributes
    ----------
    params_ : dict
        ``r``, ``alpha`` (in time units), ``s``, ``beta`` (in time units).
    coefficients_ : dict
        Of covariates, ``"purchase:age"``, ``"dropout:age"``, ``"shared:age"``.
    standard_errors_ : dict
        Of the parameters and coefficients, from the observed information; NaN where they do not exist.
    covariance_ : array (k, k)
        Of the parameters and coefficients.
    log_likelihood_ : float
        At the estimate, penalty and priors not in it; its level depends on the time unit.
    aic_, bic_ : float
    converged_ : bool
    verdict_ : str
        How far to trust the fit, in a sentence.
    n_customers_ : int

    Warns
    -----
    DataQualityWarning
        If the fit did not converge, or hardly determines a parameter.

    References
    ----------
    Schmittlein, D., Morrison, D. and Colombo, R. (1987), Counting your customers: who are they and what will they do
    next?, Management Science 33(1), 1-24. Fader, P. and Hardie, B. (2005), A note on deriving the Pareto/NBD model and
    related expressions. Fader, P. and Hardie, B. (2007), Incorporating time-invariant covariates into the Pareto/NBD
    and BG/NBD models.

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.clv import ParetoNBDModel, btyd_table
    >>> from crmlytics.datasets import load_cdnow
    >>> orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    >>> table = btyd_table(orders, as_of="1997-10-01", unit="7d")
    >>> model = ParetoNBDModel(unit="7d").fit(table)
    >>> {name: round(value, 3) for name, value in model.params_.items()}
    {'r': 0.553, 'alpha': 10.578, 's': 0.606, 'beta': 11.669}
    >>> columns = ["customer_id", "alive_probability", "purchase_probability", "expected_purchase_count"]
    >>> print(model.score_table(table, horizon="90d")[columns].head(3).round(3).to_string())
       customer_id  alive_probability  purchase_probability  expected_purchase_count
    0            1              0.869                 0.364                    0.538
    1            2              0.168                 0.048                    0.063
    2            3              0.295                 0.033                    0.040
    """

    _process = PARETO_NBD
    _leaving = ("beta", -1.0)


class GammaGompertzNBDModel(CovariateModel):
    """Gamma/Gompertz/NBD: as :class:`ParetoNBDModel`, but the chance to leave may grow with the time as a customer.

    The purchase rate varies over customers as gamma(r, rate alpha). The hazard of leaving grows as ``exp(b t)``, from a
    level that varies over customers as gamma(s, rate beta), so lifetimes have survival function
    ``(beta / (beta - 1 + exp(b t)))^s`` and density f. A customer with x repeat purchases, the last at t_x, watched
    until T, has likelihood

    ``Γ(r+x)/Γ(r) alpha^r [(alpha+T)^-(r+x) S(T) + ∫_{t_x}^T (alpha+u)^-(r+x) f(u) du]``.

    Where b is small, the model is a Pareto/NBD with ``beta / b`` for its beta: then b and beta are a ridge, and the
    simpler model says the same.

    A covariate z of purchases multiplies the purchase rate by ``exp(coefficient * z)``, one of dropout the hazard of
    leaving (beta by its inverse).

    Parameters
    ----------
    unit : str, default "7d"
        The time unit of ``recency`` and ``T``: the ``unit`` given to :func:`crmlytics.clv.btyd_table`. It turns a
        ``horizon`` such as ``"90d"`` into that unit.
    purchase_covariates, dropout_covariates, shared_covariates : list of str
        Columns that explain how fast a customer buys, how soon they leave, or both with one coefficient (a
        constraint). Numbers and truth values enter as they are; of a text, the first level in alphabetical order is
        what the others are compared with.
    l2 : float, default 0
        Penalty on the squares of log-parameters (time in units of the mean T) and of the coefficients of standardised
        covariates: holds estimates together where the data say little.
    priors : dict of str to distribution, optional
        Of parameters and coefficients by name, anything with a ``logpdf`` such as ``scipy.stats.gamma(2, scale=0.5)``:
        then the estimate is the mode of the posterior density, and the standard errors are its curvature.

    Attributes
    ----------
    params_ : dict
        ``r``, ``alpha`` (in time units), ``b`` (per time unit), ``s``, ``beta``.
    coefficients_ : dict
        Of covariates, ``"purchase:age"``, ``"dropout:age"``, ``"shared:age"``.
    standard_errors_ : dict
        Of the parameters and coefficients, from the observed information; NaN where they do not exist.
    covariance_ : array (k, k)
        Of the parameters and coefficients.
    log_likelihood_ : float
        At the estimate, penalty and priors not in it; its level depends on the time unit.
    aic_, bic_ : float
    converged_ : bool
    verdict_ : str
        How far to trust the fit, in a sentence.
    n_customers_ : int

    Warns
    -----
    DataQualityWarning
        If the fit did not converge, or hardly determines a parameter.

    References
    ----------
    Bemmaor, A. and Glady, N. (2012), Modeling purchasing behavior with sudden "death": a flexible customer lifetime
    model, Management Science 58(5), 1012-1021.

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.clv import GammaGompertzNBDModel, btyd_table
    >>> from crmlytics.datasets import load_cdnow
    >>> orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    >>> table = btyd_table(orders, as_of="1997-10-01", unit="7d")
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # the verdict comes as a warning, too
    ...     model = GammaGompertzNBDModel(unit="7d").fit(table)
    >>> model.verdict_
    'no growing hazard found: b is nearly 0, so customers leave as in a Pareto/NBD ...'
    """

    _process = GAMMA_GOMPERTZ_NBD
    _leaving = ("beta", -1.0)

    def _verdict(self, found: Maximum, population: Population, names: Sequence[str]) -> str:
        b = math.exp(found.theta[self._names.index("b")])  # time in units of the mean T
        if b < STEADY and (not found.converged or found.on_ridge.any()):
            return (
                "no growing hazard found: b is nearly 0, so customers leave as in a Pareto/NBD (with beta / b for its "
                "beta), and b and beta cannot be told apart. Predictions are usable; ParetoNBDModel makes the same "
                "ones with one parameter fewer."
            )
        return super()._verdict(found, population, names)
