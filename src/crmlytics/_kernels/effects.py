"""Covariates: what is known of a customer multiplies a parameter of theirs.

Theta are the logarithms of a model's parameters, then the coefficients of covariates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from crmlytics._kernels.special import Vector, dot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crmlytics._kernels.fitting import Objective
    from crmlytics._kernels.process import Params


@dataclass(frozen=True, slots=True)
class Effect:
    """Covariates that multiply one parameter by ``exp(sign * (theta[at] @ covariates))``.

    Attributes
    ----------
    parameter : int
    sign : float
    covariates : array (m, n)
        One row per covariate, one column per customer.
    at : array of int (m,)
        Where in theta the coefficients are: two effects that share a place share the coefficient.
    """

    parameter: int
    sign: float
    covariates: Vector
    at: npt.NDArray[np.intp]

    def of(self, customers: npt.NDArray[np.intp]) -> Effect:
        """Return the same effect on some of the customers."""
        return Effect(self.parameter, self.sign, self.covariates[:, customers], self.at)


def params_of(theta: Vector, count: int, effects: Sequence[Effect]) -> Params:
    """Return the ``count`` parameters: numbers, but arrays of an entry per customer where covariates have an effect."""
    params: list[float | Vector] = list(np.exp(theta[:count]))
    for effect in effects:
        params[effect.parameter] = params[effect.parameter] * np.exp(
            effect.sign * (theta[effect.at] @ effect.covariates)
        )
    return params


def with_effects(
    value_and_gradient: Callable[[Params], tuple[Vector, Vector]],
    count: int,
    effects: Sequence[Effect],
    weights: Vector,
) -> Objective:
    """Return the function of theta that sums log-likelihoods of customers whose parameters differ.

    Parameters
    ----------
    value_and_gradient : function of the parameters
        Returns the log-likelihood of each customer, (n,), and its derivatives by the parameters, (count, n).
    """

    def objective(theta: Vector) -> tuple[float, Vector]:
        params = params_of(theta, count, effects)
        value, by_param = value_and_gradient(params)
        by_log = [weights * by_param[j] * params[j] for j in range(count)]
        gradient = np.zeros_like(theta)
        gradient[:count] = [float(np.sum(column)) for column in by_log]
        for effect in effects:
            np.add.at(gradient, effect.at, effect.sign * np.sum(effect.covariates * by_log[effect.parameter], axis=1))
        return dot(weights, value), gradient

    return objective
