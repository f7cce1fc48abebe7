"""What is believed of parameters before the data are seen, as a term added to the log-likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._validation import check_amount, did_you_mean
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crmlytics._kernels.fitting import Objective
    from crmlytics._kernels.special import Vector

STEP = 1e-5
NEAR = 1e-3
IMPOSSIBLE = -1e8  # log density outside of a prior's support, and its slope: finite, so that a search turns round


def check_penalty(l2: Any, priors: Any, names: Sequence[str], *, caller: str) -> None:
    """Check the penalty and that priors are of parameters that exist and have a density."""
    check_amount(l2, name="l2", caller=caller)
    if not isinstance(priors, Mapping | None):
        raise SchemaError(f"{caller}: priors must be a dict of name to distribution, got {type(priors).__name__}.")
    for name, prior in dict(priors or {}).items():
        if name not in names:
            raise SchemaError(
                f"{caller}: priors name {name!r}, expected one of {list(names)}.{did_you_mean(name, names)}"
            )
        if not (callable(getattr(prior, "logpdf", None)) and callable(getattr(prior, "median", None))):
            example = "scipy.stats.gamma(2, scale=0.5)"
            msg = f"{caller}: the prior of {name!r} has no logpdf or no median. Give a distribution such as {example}."
            raise SchemaError(msg)


@dataclass(frozen=True, slots=True)
class Belief:
    """A penalty and priors, as a function of theta as it is searched.

    Attributes
    ----------
    l2 : float
        ``l2 * sum(theta ** 2)`` is taken off: time in units of the mean T, covariates standardised, so that the penalty
        does not depend on the caller's units.
    priors : dict of name to a distribution with ``logpdf``
        Of parameters and coefficients, in the caller's units: theta in these is ``matrix @ theta + shift``, of which
        the first ``positive`` are logarithms.
    """

    l2: float
    priors: Mapping[str, Any]
    names: Sequence[str]
    matrix: Vector
    shift: Vector
    positive: int

    def added_to(self, objective: Objective) -> Objective:
        """Return the objective with what is believed added to it."""
        if not self.l2 and not self.priors:
            return objective

        def believed(theta: Vector) -> tuple[float, Vector]:
            (value, gradient), (more, slope) = objective(theta), self.at(theta)
            return value + more, gradient + slope

        return believed

    def allowed_start(self, theta: Vector) -> Vector:
        """Move a start to the median of each prior that excludes it."""
        in_user_units = self.matrix @ theta + self.shift
        for name in self.excluding(theta):
            at = list(self.names).index(name)
            median = float(self.priors[name].median())
            in_user_units[at] = np.log(median) if at < self.positive else median
        return np.asarray(np.linalg.solve(self.matrix, in_user_units - self.shift), dtype=float)

    def excluding(self, theta: Vector, near: float = NEAR) -> list[str]:
        """Return the names whose priors have no density at theta, or as near to it as this."""
        in_user_units = self.matrix @ theta + self.shift
        found = []
        for name, prior in self.priors.items():
            at = list(self.names).index(name)
            points = in_user_units[at] + np.array([-near, 0.0, near])
            densities = np.asarray(prior.logpdf(np.exp(points) if at < self.positive else points), dtype=float)
            if not np.isfinite(densities).all():
                found.append(name)
        return found

    def at(self, theta: Vector) -> tuple[float, Vector]:
        """Log-density at theta, up to a constant, and its derivatives."""
        value, slope = -self.l2 * float(np.sum(theta**2)), np.zeros_like(theta)
        in_user_units = self.matrix @ theta + self.shift
        for name, prior in self.priors.items():
            at = list(self.names).index(name)
            points = in_user_units[at] + np.array([-STEP, 0.0, STEP])
            densities = np.asarray(prior.logpdf(np.exp(points) if at < self.positive else points), dtype=float)
            if np.isfinite(densities).all():
                value += float(densities[1])
                slope[at] = (densities[2] - densities[0]) / (2 * STEP)
            else:
                median = float(prior.median())
                inside = (np.log(median) if at < self.positive else median) - points[1]
                value, slope[at] = value + IMPOSSIBLE, -IMPOSSIBLE * np.sign(inside)
        return value, slope @ self.matrix - 2 * self.l2 * theta
