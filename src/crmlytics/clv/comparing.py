"""The likelihood-ratio test: is the larger of two nested models worth its parameters."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.utils.validation import check_is_fitted

from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from crmlytics.clv._base import MaximumLikelihoodModel

UNFINISHED = 1e-2  # of a log-likelihood
# smaller: the larger models of which it is a case, and whether it lies at the edge of them
NESTED = {
    ("NBDModel", "ParetoNBDModel"): True,
    ("NBDModel", "BetaGeoModel"): True,
    ("NBDModel", "ModifiedBetaGeoModel"): True,
    ("NBDModel", "GammaGompertzNBDModel"): True,
    ("ParetoNBDModel", "GammaGompertzNBDModel"): True,
    ("ShiftedBetaGeoModel", "BetaDiscreteWeibullModel"): False,
}


@dataclass(frozen=True, slots=True)
class LikelihoodRatioTest:
    """Whether a larger model fits better than chance alone would make it.

    Attributes
    ----------
    statistic : float
        Twice the difference of the log-likelihoods.
    degrees_of_freedom : int
        How many parameters more the larger model has.
    p_value : float
        How probable so large a difference is if the smaller model is true.
    is_on_boundary : bool
        The smaller model lies at the edge of the larger one's parameters (nobody leaves): then the p-value is larger
        than it should be, and a small one can be trusted all the more.
    verdict : str
    """

    statistic: float
    degrees_of_freedom: int
    p_value: float
    is_on_boundary: bool
    verdict: str

    def to_frame(self) -> pd.DataFrame:
        """Return one row with the attributes as columns."""
        return pd.DataFrame([asdict(self)])


def likelihood_ratio_test(smaller: MaximumLikelihoodModel, larger: MaximumLikelihoodModel) -> LikelihoodRatioTest:
    """Test whether the larger of two nested models, fitted on the same customers, is worth its parameters.

    Parameters
    ----------
    smaller, larger : fitted models
        The smaller one a case of the larger: the same kind with fewer covariates, NBD within any model with dropout,
        Pareto/NBD within Gamma/Gompertz/NBD, shifted beta-geometric within beta-discrete-Weibull. For others, which
        are not cases of each other, compare ``aic_`` or ``bic_``.

    Returns
    -------
    LikelihoodRatioTest

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.clv import NBDModel, ParetoNBDModel, btyd_table, likelihood_ratio_test
    >>> from crmlytics.datasets import load_cdnow
    >>> orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    >>> table = btyd_table(orders, as_of="1997-10-01", unit="7d")
    >>> test = likelihood_ratio_test(NBDModel().fit(table), ParetoNBDModel().fit(table))
    >>> round(test.statistic, 2), test.degrees_of_freedom
    (337.36, 2)
    """
    caller = "likelihood_ratio_test"
    for model in (smaller, larger):
        check_is_fitted(model)
        if getattr(model, "l2", 0.0) or getattr(model, "priors", None):
            raise SchemaError(
                f"{caller}: a fit with l2 or priors is not at the maximum of its likelihood. Fit it without."
            )
    at_edge = _check_nested(smaller, larger, caller=caller)
    if smaller.n_customers_ != larger.n_customers_:
        msg = (
            f"{caller}: fitted on {smaller.n_customers_} and on {larger.n_customers_} customers. "
            "Fit both on the same table."
        )
        raise SchemaError(msg)
    if getattr(smaller, "_fitted_on_", None) != getattr(larger, "_fitted_on_", None):
        raise SchemaError(
            f"{caller}: fitted on different histories, or in different units. Fit both on the same table."
        )
    gained = float(larger.log_likelihood_ - smaller.log_likelihood_)
    if gained < -UNFINISHED:
        kind = type(larger).__name__
        msg = (
            f"{caller}: {kind} has a lower log-likelihood than a case of it, so its search stopped short: "
            f"{larger.verdict_}"
        )
        raise SchemaError(msg)
    statistic = max(2 * gained, 0.0)
    freedom = len(larger.theta_) - len(smaller.theta_)
    p_value = float(stats.chi2.sf(statistic, freedom))
    better, degrees = p_value < 0.05, "degree" if freedom == 1 else "degrees"
    how = "better than chance would make it" if better else "no better than chance may"
    verdict = (
        f"{type(larger).__name__} fits {how}: "
        f"chi-square {statistic:.2f} on {freedom} {degrees} of freedom, p {_in_words(p_value)}."
    )
    if at_edge and not better:
        verdict += " The smaller model is at the edge of the larger, so the true p-value is smaller than this one."
    return LikelihoodRatioTest(statistic, freedom, p_value, at_edge, verdict)


def _check_nested(smaller: MaximumLikelihoodModel, larger: MaximumLikelihoodModel, *, caller: str) -> bool:
    kinds = type(smaller).__name__, type(larger).__name__
    fewer, more = set(smaller.coefficients_), set(larger.coefficients_)
    same_kind = kinds[0] == kinds[1] and getattr(smaller, "k_", 1) == getattr(larger, "k_", 1)
    if same_kind and fewer < more:
        return False
    if kinds in NESTED and fewer <= more:
        return NESTED[kinds]
    msg = (
        f"{caller}: {kinds[0]} {sorted(fewer)} is not a smaller case of {kinds[1]} {sorted(more)}. "
        "Compare aic_ or bic_, or judge both on a holdout: crm.clv.evaluation_table."
    )
    raise SchemaError(msg)


def _in_words(p_value: float) -> str:
    return "< 0.001" if p_value < 0.001 else f"= {np.round(p_value, 3):.3f}"
