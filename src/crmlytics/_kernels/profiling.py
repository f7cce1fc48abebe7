"""Profile-likelihood intervals: how far a parameter may go before the data object, the others giving way."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, special

from crmlytics._kernels.fitting import measure

if TYPE_CHECKING:
    from crmlytics._kernels.fitting import Objective
    from crmlytics._kernels.special import Vector

FARTHEST = 20.0  # from the estimate, in theta: a factor of 5e8; the others may go twice as far
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
    axes = _axes_of_others(measure(objective, theta, weight=weight).information, at)
    low, high = (_distance(objective, theta, at, side, axes=axes, allowed=allowed, error=error) for side in (-1, 1))
    return float(theta[at] - low), float(theta[at] + high)


def _axes_of_others(information: Vector, at: int) -> Vector:
    """Directions, as columns, in which the others move: a standard error each, so that no unit of theta matters."""
    others = np.delete(np.delete(information, at, axis=0), at, axis=1)
    if not np.isfinite(others).all():
        return np.eye(len(others))
    values, vectors = np.linalg.eigh(others)
    return np.asarray(vectors / np.sqrt(np.maximum(values, 1.0)))


def _distance(
    objective: Objective, theta: Vector, at: int, side: int, *, axes: Vector, allowed: float, error: float
) -> float:
    """Return how far to this side the loss of log-likelihood stays below the one allowed; NaN if it does for ever."""
    free = np.arange(len(theta)) != at
    others, top = np.zeros(len(axes)), objective(theta)[0]

    @cache  # the ends of the bracket keep their signs, though the others start elsewhere by then
    def excess(distance: float) -> float:
        nonlocal others  # start where they were last
        here = theta.copy()
        here[at] += side * distance

        def loss(moves: Vector) -> tuple[float, Vector]:
            here[free] = theta[free] + axes @ moves
            value, gradient = objective(here)
            return top - value, -gradient[free] @ axes

        bounds = [(-reach, reach) for reach in 2 * FARTHEST / np.abs(axes).max(axis=0)]
        options = {"ftol": 1e-12, "gtol": 1e-5}
        found = optimize.minimize(loss, others, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        others = found.x
        return float(found.fun) - allowed

    near, far = 0.0, min(max(1.5 * error, 1e-3), FARTHEST)
    while excess(near) < 0 and excess(far) < 0:
        if far >= FARTHEST:
            return float("nan")
        near, far = far, min(2 * far, FARTHEST)
    return float(optimize.brentq(excess, near, far, xtol=min(TOLERANCE, 1e-3 * error)))
