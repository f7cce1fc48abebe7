"""BG/NBD and MBG/NBD: how many orders a customer will still place, and whether there will be one at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.beta_geo import BG_NBD, MBG_NBD
from crmlytics.clv._purchases import CovariateModel

if TYPE_CHECKING:
    import numpy.typing as npt

    from crmlytics.clv._histories import Histories


class BetaGeoModel(CovariateModel):
    """BG/NBD: while alive, a customer buys at a steady random rate; after each repeat purchase they may leave for good.

    The purchase rate varies over customers as gamma(r, rate alpha), the probability of leaving after a repeat purchase
    as beta(a, b). A customer with x repeat purchases, the last at t_x, watched until T, has likelihood

    ``Γ(r+x)/Γ(r) alpha^r [B(a,b+x)/B(a,b) (alpha+T)^-(r+x) + (x>0) B(a+1,b+x-1)/B(a,b) (alpha+t_x)^-(r+x)]``.

    **One-time buyers are alive with certainty in this model**: nobody can leave before the first repeat purchase, so
    ``alive_probability`` is 1 for them however long ago they bought, and ``alive_is_assumed`` says so. Do not report
    it; take ``alive_probability`` from :class:`ModifiedBetaGeoModel`. ``purchase_probability`` and
    ``expected_purchase_count`` do not have this defect.

    A covariate z of purchases multiplies the purchase rate by ``exp(coefficient * z)`` (alpha by its inverse); one of
    dropout multiplies ``a / b``, the odds of leaving, by ``exp(coefficient * z)`` (through ``a``: one coefficient a
    covariate, where separate ones on ``a`` and ``b`` tend to run away together).

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
        ``r``, ``alpha`` (in time units), ``a``, ``b``.
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
    Fader, P., Hardie, B. and Lee, K. (2005), "Counting your customers" the easy way, Marketing Science 24(2), 275-284.
    Fader, P. and Hardie, B. (2007), Incorporating time-invariant covariates into the Pareto/NBD and BG/NBD models.

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.clv import BetaGeoModel, btyd_table
    >>> from crmlytics.datasets import load_cdnow
    >>> orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    >>> table = btyd_table(orders, as_of="1997-10-01", unit="7d")
    >>> model = BetaGeoModel(unit="7d").fit(table)
    >>> {name: round(value, 3) for name, value in model.params_.items()}
    {'r': 0.243, 'alpha': 4.414, 'a': 0.793, 'b': 2.426}
    >>> columns = ["customer_id", "purchase_probability", "expected_purchase_count", "alive_is_assumed"]
    >>> print(model.score_table(table, horizon="90d")[columns].head(3).round(3).to_string())
       customer_id  purchase_probability  expected_purchase_count  alive_is_assumed
    0            1                 0.321                    0.452             False
    1            2                 0.059                    0.074             False
    2            3                 0.061                    0.069              True
    """

    _process = BG_NBD
    _leaving = ("a", 1.0)

    def _alive_is_assumed(self, table: Histories) -> npt.NDArray[np.bool_]:
        return np.asarray(table["frequency"] == 0)


class ModifiedBetaGeoModel(CovariateModel):
    """MBG/NBD: as :class:`BetaGeoModel`, but a customer may leave after the first purchase too.

    So the silence of one-time buyers counts against them, and ``alive_probability`` means something for everybody.
    A customer with x repeat purchases, the last at t_x, watched until T, has likelihood

    ``Γ(r+x)/Γ(r) alpha^r [B(a,b+x+1)/B(a,b) (alpha+T)^-(r+x) + B(a+1,b+x)/B(a,b) (alpha+t_x)^-(r+x)]``.

    Covariates act as in :class:`BetaGeoModel`.

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
        ``r``, ``alpha`` (in time units), ``a``, ``b``.
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
    Batislam, E., Denizel, M. and Filiztekin, A. (2007), Empirical validation and comparison of models for customer base
    analysis, International Journal of Research in Marketing 24(3), 201-209. Hoppe, D. and Wagner, U. (2007), Customer
    base analysis: the case for a central variant of the betageometric/NBD model, Marketing JRM 3(2), 75-90.

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.clv import ModifiedBetaGeoModel, btyd_table
    >>> from crmlytics.datasets import load_cdnow
    >>> orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    >>> table = btyd_table(orders, as_of="1997-10-01", unit="7d")
    >>> model = ModifiedBetaGeoModel(unit="7d").fit(table)
    >>> model.verdict_
    'converged: the parameters are well determined.'
    >>> columns = ["customer_id", "alive_probability", "purchase_probability", "expected_purchase_count"]
    >>> print(model.score_table(table, horizon="90d")[columns].head(3).round(3).to_string())
       customer_id  alive_probability  purchase_probability  expected_purchase_count
    0            1              0.706                 0.332                    0.472
    1            2              0.171                 0.054                    0.070
    2            3              0.390                 0.048                    0.055
    """

    _process = MBG_NBD
    _leaving = ("a", 1.0)
