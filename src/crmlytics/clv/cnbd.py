"""BG/CNBD-k and MBG/CNBD-k: customers who buy more regularly than chance would have it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from crmlytics._kernels.beta_geo_erlang import BetaGeoErlang
from crmlytics._validation import check_count
from crmlytics.clv._histories import check_histories, read_histories, refuse_rows
from crmlytics.clv._purchases import CovariateModel
from crmlytics.exceptions import DataQualityWarning

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from crmlytics.clv._histories import Histories

INTERVALS = "log_interval_sum"
LARGEST_K = 12


class _Regular(CovariateModel):
    """What both models share; they differ in whether the first purchase is a chance to drop out."""

    _leaving = ("a", 1.0)
    _chances_at_first_purchase = 0

    def __init__(
        self,
        *,
        k: int | None = None,
        unit: Any = "7d",
        purchase_covariates: Sequence[str] = (),
        dropout_covariates: Sequence[str] = (),
        shared_covariates: Sequence[str] = (),
        l2: float = 0.0,
        priors: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            unit=unit,
            purchase_covariates=purchase_covariates,
            dropout_covariates=dropout_covariates,
            shared_covariates=shared_covariates,
            l2=l2,
            priors=priors,
        )
        self.k = k

    @property
    def _process(self) -> BetaGeoErlang:  # type: ignore[override]
        return BetaGeoErlang(first=self._chances_at_first_purchase, k=getattr(self, "k_", 1))

    def _fit(self, table: Histories, *, caller: str) -> Self:
        """Fit with the given k, or with k = 1, 2, ... until the likelihood falls."""
        if self.k is not None:
            candidates = [check_count(self.k, name="k", caller=caller)]
        else:
            candidates = [*range(1, LARGEST_K + 1)]
        self.k_log_likelihoods_: dict[int, float] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataQualityWarning)  # the verdict on the chosen k is said below
            for k in candidates:
                self.k_ = k
                super()._fit(table, caller=caller)
                self.k_log_likelihoods_[k] = self.log_likelihood_
                if k > 1 and self.log_likelihood_ < self.k_log_likelihoods_.get(k - 1, -np.inf):
                    break
        self.k_ = max(self.k_log_likelihoods_, key=self.k_log_likelihoods_.__getitem__)
        return super()._fit(table, caller=caller)

    def _log_likelihood_shift(self, table: Histories, scale: float) -> float:
        rescaled = -self.k_ * float(table["frequency"].sum()) * float(np.log(scale))
        return rescaled + (self.k_ - 1) * float(np.sort(table[INTERVALS]).sum())

    def _alive_is_assumed(self, table: Histories) -> npt.NDArray[np.bool_]:
        return np.asarray(table["frequency"] + self._chances_at_first_purchase == 0)

    def _read(self, X: Any, *, caller: str, attributes: Sequence[str] = ()) -> Histories:
        made_by = "btyd_table(tx, as_of=..., with_intervals=True)"
        names = ("frequency", "recency", "T", INTERVALS)
        table = read_histories(X, *names, caller=caller, attributes=attributes, made_by=made_by)
        check_histories(table, caller=caller)
        bad = ~np.isfinite(table[INTERVALS])
        refuse_rows(table, bad, f"a {INTERVALS} that is missing or infinite", "", caller=caller)
        return table


class BetaGeoCNBDModel(_Regular):
    """BG/CNBD-k: as :class:`BetaGeoModel`, but the time between purchases is a sum of k random steps.

    With k above 1 customers buy more regularly than chance would have it: a silence of the usual length means little,
    and one of twice that much. With k = 1 it is the BG/NBD. The time between purchases is Erlang(k, lambda), lambda
    varies over customers as gamma(r, rate alpha), the probability of leaving after a repeat purchase as beta(a, b); the
    mean time between purchases is k / lambda. One-time buyers are alive with certainty, as in the BG/NBD.

    Needs the column ``log_interval_sum``: ``btyd_table(..., with_intervals=True)``.

    Parameters
    ----------
    k : int, optional
        How many steps, of the rate lambda each, lie between two purchases: 1 is random, higher is more regular. By
        default the one with the highest likelihood.
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
    k_ : int
    k_log_likelihoods_ : dict
        The log-likelihood by k, of those that were tried.
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
    Reutterer, T., Platzer, M. and Schröder, N. (2021), Leveraging purchase regularity for predicting customer behavior
    the easy way, International Journal of Research in Marketing 38(1), 194-215.

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.clv import BetaGeoCNBDModel, btyd_table
    >>> from crmlytics.datasets import load_cdnow
    >>> orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    >>> table = btyd_table(orders, as_of="1997-10-01", unit="7d", with_intervals=True)
    >>> model = BetaGeoCNBDModel(unit="7d").fit(table)
    >>> model.k_
    1
    """

    _chances_at_first_purchase = 0


class ModifiedBetaGeoCNBDModel(_Regular):
    """MBG/CNBD-k: as :class:`BetaGeoCNBDModel`, but a customer may leave after the first purchase too.

    With k = 1 it is the MBG/NBD.

    Parameters
    ----------
    k : int, optional
        How many steps, of the rate lambda each, lie between two purchases: 1 is random, higher is more regular. By
        default the one with the highest likelihood.
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
    k_ : int
    k_log_likelihoods_ : dict
        The log-likelihood by k, of those that were tried.
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
    Reutterer, T., Platzer, M. and Schröder, N. (2021), Leveraging purchase regularity for predicting customer behavior
    the easy way, International Journal of Research in Marketing 38(1), 194-215.

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.clv import ModifiedBetaGeoCNBDModel, btyd_table
    >>> from crmlytics.datasets import load_cdnow
    >>> orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    >>> table = btyd_table(orders, as_of="1997-10-01", unit="7d", with_intervals=True)
    >>> model = ModifiedBetaGeoCNBDModel(unit="7d").fit(table)
    >>> model.k_
    1
    """

    _chances_at_first_purchase = 1
