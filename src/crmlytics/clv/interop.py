"""A door from the lifetimes package: its fitted models, as ours, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._validation import as_days
from crmlytics.clv.beta_geo import BetaGeoModel, ModifiedBetaGeoModel
from crmlytics.clv.gamma_gamma import GammaGammaModel
from crmlytics.clv.pareto import ParetoNBDModel
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from crmlytics.clv._base import MaximumLikelihoodModel

KINDS: dict[str, tuple[type, dict[str, str]]] = {
    "BetaGeoFitter": (BetaGeoModel, {}),
    "ModifiedBetaGeoFitter": (ModifiedBetaGeoModel, {}),
    "ParetoNBDFitter": (ParetoNBDModel, {}),
    "GammaGammaFitter": (GammaGammaModel, {"gamma": "v"}),  # our name: theirs
}


def from_lifetimes(fitter: Any, *, unit: str) -> MaximumLikelihoodModel:
    """Take over a model that was fitted with the lifetimes package, with its parameters as they are.

    Standard errors, intervals and the log-likelihood are computed here, from the data that the fitter keeps.

    Parameters
    ----------
    fitter : fitted BetaGeoFitter, ModifiedBetaGeoFitter, ParetoNBDFitter or GammaGammaFitter
    unit : str
        The unit of time of its ``recency`` and ``T``, which lifetimes does not know: ``"1d"`` for ``freq="D"``. Its
        ``freq="W"`` counts in calendar weeks, which is not ``"7d"``: make the table anew with :func:`btyd_table`.

    Returns
    -------
    :class:`BetaGeoModel`, :class:`ModifiedBetaGeoModel`, :class:`ParetoNBDModel` or :class:`GammaGammaModel`, fitted
        ``verdict_`` says whether the parameters are where the likelihood is greatest.

    Examples
    --------
    >>> import warnings
    >>> from crmlytics import Transactions
    >>> from crmlytics.clv import btyd_table, from_lifetimes
    >>> from crmlytics.datasets import load_cdnow
    >>> orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    >>> table = btyd_table(orders, as_of="1997-10-01", unit="1d")
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # lifetimes is archived and warns of much
    ...     from lifetimes import BetaGeoFitter
    ...     fitter = BetaGeoFitter().fit(table["frequency"], table["recency"], table["T"])
    >>> model = from_lifetimes(fitter, unit="1d")
    >>> model.verdict_
    'taken over: the likelihood is greatest at these parameters, as it should be.'
    """
    caller = "from_lifetimes"
    as_days(unit, name="unit", caller=caller)
    name = type(fitter).__name__
    if name not in KINDS or not hasattr(fitter, "params_"):
        what = "an unfitted one" if name in KINDS else name
        raise SchemaError(f"{caller}: expected a fitted {', '.join(KINDS)}, got {what}.")
    kind, theirs = KINDS[name]
    data = fitter.data
    weights = np.asarray(data.get("weights", 1.0), dtype=float)
    if (weights != 1).any():
        msg = f"{caller}: the fitter was given weights. Repeat the rows instead, and fit: {kind.__name__}().fit(table)."
        raise SchemaError(msg)
    model = kind() if kind is GammaGammaModel else kind(unit=unit)
    params = [float(fitter.params_[theirs.get(ours, ours)]) for ours in model._names]
    customers = int((data["frequency"] > 0).sum()) if kind is GammaGammaModel else len(data)
    if kind is not GammaGammaModel:
        model._warn_of_unit(model._read(data, caller=caller), caller=caller)
    model._adopt(data, np.array(params), customers=customers, caller=caller)
    return model
