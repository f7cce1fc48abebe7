"""Profile-likelihood intervals: how far a parameter may go before the data object, the others giving way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, special

if TYPE_CHECKING:
    from crmlytics._kernels.fitting import Objective
    from crmlytics._kernels.special import Vector

FARTHEST = 20.0  # from the estimate, in theta: a factor of 5e8
TOLERANCE = 1e-4  # in theta


def profile_bounds(
    objective: Objective, theta: Vector, at: int, *, level: float, error: float, weight: float
) -> tuple[float, float]:
    """Return the bounds of one entry of theta between which twice the loss of log-likelihood is below its quantile.

    Parameters
    ----------
    objective : function of theta
        Returns the log-likelihood and its derivatives.
    theta : array (k,)
        Where it is greatest.
    at : int
        Which entry.
    error : float
        A guess of its standard error, to begin with.

    Returns
    -------
    low, high : float
        NaN where the likelihood does not fall so far: there is no bound on that side.
    """
    allowed = float(special.chdtri(1, 1 - level)) / 2
    low, high = (_distance(objective, theta, at, side, allowed=allowed, error=error, weight=weight) for side in (-1, 1))
    return float(theta[at] - low), float(theta[at] + high)


def _distance(
    objective: Objective, theta: Vector, at: int, side: int, *, allowed: float, error: float, weight: float
) -> float:
    """Return how far to this side the loss of log-likelihood stays below the one allowed; NaN if it does for ever."""
    free = np.arange(len(theta)) != at
    others, top = theta[free], objective(theta)[0]

    def excess(distance: float) -> float:
        nonlocal others  # start where they were last
        here = theta.copy()
        here[at] += side * distance

        def loss(moving: Vector) -> tuple[float, Vector]:
            here[free] = moving
            value, gradient = objective(here)
            return (top - value) / weight, -gradient[free] / weight

        found = optimize.minimize(loss, others, jac=True, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-8})
        others = found.x
        return float(found.fun) * weight - allowed

    near, far = 0.0, min(max(1.5 * error, 1e-3), FARTHEST)
    while excess(far) < 0:
        if far >= FARTHEST:
            return float("nan")
        near, far = far, min(2 * far, FARTHEST)
    return float(optimize.brentq(excess, near, far, xtol=TOLERANCE))
