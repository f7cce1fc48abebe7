"""BG/NBD and MBG/NBD: how many orders a customer will still place, and whether there will be one at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from crmlytics._kernels import beta_geo as btyd
from crmlytics._kernels.fitting import collapse, maximise
from crmlytics._validation import as_days
from crmlytics.clv._base import MaximumLikelihoodModel, check_histories, describe, in_units, read_histories

if TYPE_CHECKING:
    from crmlytics._kernels.fitting import Maximum
    from crmlytics._kernels.special import Vector
    from crmlytics.clv._base import Histories

STARTS = ((0.5, 0.3, 1.0, 2.0), (1.0, 1.0, 0.3, 3.0), (0.2, 0.1, 5.0, 20.0))  # time in units of the mean T
NO_DROPOUT = 1e-4
ADVICE = {
    "bound": "Usually too few repeat purchases, or customers too much alike, to tell buying from leaving.",
    "ridge": "Usually hardly anybody drops out, or everybody has much the same dropout probability.",
}


class _BetaGeo(MaximumLikelihoodModel):
    """What both models share; they differ in whether the first purchase is a chance to drop out."""

    _names = ("r", "alpha", "a", "b")
    _chances_at_first_purchase = 0

    def __init__(self, *, unit: Any = "7d") -> None:
        self.unit = unit

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: ARG002  scikit-learn's signature
        """Estimate the parameters from a btyd table by maximum likelihood.

        Parameters
        ----------
        X : dataframe, one row per customer, as :func:`crmlytics.clv.btyd_table` makes it
            Needs ``frequency``, ``recency`` and ``T``.
        y : ignored

        Returns
        -------
        self
        """
        caller = f"{self._caller}.fit"
        as_days(self.unit, name="unit", caller=caller)
        table = self._read(X, caller=caller)
        rows = collapse(table["frequency"], table["recency"], table["T"])
        x, t_x, T = rows.columns
        scale = float(np.average(T, weights=rows.weights)) or 1.0  # of sorted rows: no trace of the order they came in
        data = btyd.beta_geo_data(x, t_x / scale, T / scale, rows.weights, self._chances_at_first_purchase)
        found = maximise(lambda params: btyd.beta_geo_total(params, data), STARTS, weight=len(table))
        self.n_customers_ = len(table)
        shift = -float(table["frequency"].sum()) * float(np.log(scale))
        self._keep(found, (1.0, scale, 1.0, 1.0), shift=shift, verdict=_verdict(found, self._names))
        return self

    def score(self, X: Any, y: object = None) -> float:  # noqa: ARG002  scikit-learn's signature
        """Return the mean log-likelihood of a customer of ``X``, in the unit of ``X``: higher is better."""
        check_is_fitted(self)
        table = self._read(X, caller=f"{self._caller}.score")
        value = btyd.beta_geo_log_likelihood(
            self._params, *self._with_chances(table["frequency"], table["recency"], table["T"])
        )
        return float(value.mean())

    def score_table(self, X: Any, *, horizon: Any) -> Any:
        """Score each customer for the time after the end of their history.

        Parameters
        ----------
        X : dataframe, one row per customer, as :func:`crmlytics.clv.btyd_table` makes it
            Needs ``frequency``, ``recency`` and ``T``; ``customer_id`` is the key if it is there.
        horizon : str or float
            How far to look: a duration such as ``"90d"`` or ``"12w"``, or a number of units of ``T``.

        Returns
        -------
        dataframe of the kind that came in, one row per customer, sorted by key
            ``customer_id`` (or ``row_number``, from 0, where the table has no key), ``alive_probability`` (Float64,
            at the end of the history), ``expected_purchase_count`` (Float64, days with a purchase in the horizon),
            ``purchase_probability`` (Float64, of at least one purchase in the horizon).
        """
        check_is_fitted(self)
        caller = f"{self._caller}.score_table"
        horizon = in_units(horizon, self.unit, caller=caller)
        table = self._read(X, caller=caller)
        x, t_x, T, chances = self._with_chances(table["frequency"], table["recency"], table["T"])
        alive = btyd.alive_probability(self._params, x, t_x, T, chances)
        if_alive = btyd.purchase_probability_if_alive(self._params, x, T, horizon)
        return table.score_frame(
            {
                "alive_probability": alive,
                "expected_purchase_count": alive * self._expected_if_alive(x, T, horizon),
                "purchase_probability": alive * if_alive,
            },
        )

    def expected_new_customer_purchases(self, *, horizon: Any) -> float:
        """Repeat purchases expected of a customer in the ``horizon`` that begins with the first purchase.

        Parameters
        ----------
        horizon : str or float
            A duration such as ``"52w"``, or a number of units of ``T``.
        """
        check_is_fitted(self)
        horizon = in_units(horizon, self.unit, caller=f"{self._caller}.expected_new_customer_purchases")
        new = np.zeros(1)
        chances = new + self._chances_at_first_purchase
        alive = btyd.alive_probability(self._params, new, new, new, chances)
        return float((alive * self._expected_if_alive(new, new, horizon))[0])

    def _expected_if_alive(self, x: Vector, T: Vector, horizon: float) -> Vector:
        """Return the expectation, which does not depend on recency, once for each distinct (x, T)."""
        rows = collapse(x, T)
        few_x, few_T = rows.columns
        chances = few_x + self._chances_at_first_purchase
        distinct = btyd.expected_purchases_if_alive(self._params, few_x, few_T, chances, horizon)
        return distinct[rows.inverse]

    def _read(self, X: Any, *, caller: str) -> Histories:
        table = read_histories(X, "frequency", "recency", "T", caller=caller)
        check_histories(table, caller=caller)
        return table

    def _with_chances(self, x: Vector, t_x: Vector, T: Vector) -> tuple[Vector, Vector, Vector, Vector]:
        return x, t_x, T, x + self._chances_at_first_purchase


class BetaGeoModel(_BetaGeo):
    """BG/NBD: while alive, a customer buys at a steady random rate; after each repeat purchase they may leave for good.

    The purchase rate varies over customers as gamma(r, rate alpha), the probability of leaving after a repeat purchase
    as beta(a, b). A customer with x repeat purchases, the last at t_x, watched until T, has likelihood

    ``Γ(r+x)/Γ(r) alpha^r [B(a,b+x)/B(a,b) (alpha+T)^-(r+x) + (x>0) B(a+1,b+x-1)/B(a,b) (alpha+t_x)^-(r+x)]``.

    **One-time buyers are alive with certainty in this model**: nobody can leave before the first repeat purchase, so
    ``alive_probability`` is 1 for them however long ago they bought. Do not report it; take ``alive_probability`` from
    :class:`ModifiedBetaGeoModel`. ``purchase_probability`` and ``expected_purchase_count`` do not have this defect.

    Parameters
    ----------
    unit : str, default "7d"
        The time unit of ``recency`` and ``T``: the ``unit`` given to :func:`crmlytics.clv.btyd_table`. It turns a
        ``horizon`` such as ``"90d"`` into that unit.

    Attributes
    ----------
    params_ : dict
        ``r``, ``alpha`` (in time units), ``a``, ``b``.
    standard_errors_ : dict
        Of the parameters, from the observed information; NaN where they do not exist.
    covariance_ : array (4, 4)
        Of the parameters, in the order of ``params_``.
    log_likelihood_ : float
        At the maximum; its level depends on the time unit.
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
    >>> print(model.score_table(table, horizon="90d").head(3).round(3).to_string())
       customer_id  alive_probability  expected_purchase_count  purchase_probability
    0            1              0.727                    0.452                 0.321
    1            2              0.212                    0.074                 0.059
    2            3              1.000                    0.069                 0.061
    """

    _chances_at_first_purchase = 0


class ModifiedBetaGeoModel(_BetaGeo):
    """MBG/NBD: as :class:`BetaGeoModel`, but a customer may leave after the first purchase too.

    So the silence of one-time buyers counts against them, and ``alive_probability`` means something for everybody.
    A customer with x repeat purchases, the last at t_x, watched until T, has likelihood

    ``Γ(r+x)/Γ(r) alpha^r [B(a,b+x+1)/B(a,b) (alpha+T)^-(r+x) + B(a+1,b+x)/B(a,b) (alpha+t_x)^-(r+x)]``.

    Parameters
    ----------
    unit : str, default "7d"
        The time unit of ``recency`` and ``T``: the ``unit`` given to :func:`crmlytics.clv.btyd_table`. It turns a
        ``horizon`` such as ``"90d"`` into that unit.

    Attributes
    ----------
    params_ : dict
        ``r``, ``alpha`` (in time units), ``a``, ``b``.
    standard_errors_ : dict
        Of the parameters, from the observed information; NaN where they do not exist.
    covariance_ : array (4, 4)
        Of the parameters, in the order of ``params_``.
    log_likelihood_ : float
        At the maximum; its level depends on the time unit.
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
    >>> print(model.score_table(table, horizon="90d").head(3).round(3).to_string())
       customer_id  alive_probability  expected_purchase_count  purchase_probability
    0            1              0.706                    0.472                 0.332
    1            2              0.171                    0.070                 0.054
    2            3              0.390                    0.055                 0.048
    """

    _chances_at_first_purchase = 1


def _verdict(found: Maximum, names: tuple[str, ...]) -> str:
    _, _, a, b = found.params
    if found.converged or a / (a + b) > NO_DROPOUT:
        return describe(found, names, ADVICE)
    return (
        f"no dropout found: the likelihood rises as the dropout probability falls to zero (a / (a + b) = "
        f"{a / (a + b):.0e}), so alive_probability is near 1 for everybody and tells nothing. purchase_probability and "
        "expected_purchase_count are usable: they are those of an NBD model with these r and alpha. Do not interpret a "
        "and b. A longer history may show who leaves."
    )
