"""Customers under a model of purchases: what :class:`Process` says of one history, for many, and fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from crmlytics._kernels.effects import params_of, with_effects
from crmlytics._kernels.fitting import collapse, in_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crmlytics._kernels.effects import Effect
    from crmlytics._kernels.fitting import Objective
    from crmlytics._kernels.process import Process
    from crmlytics._kernels.special import Vector


@dataclass(frozen=True, slots=True)
class Distinct:
    """Customers of whom no two are alike in what matters, how many are like each, and which of them each one is."""

    columns: list[Vector]
    effects: list[Effect]
    weights: Vector
    inverse: npt.NDArray[np.intp]

    def of(self, cases: npt.NDArray[np.intp]) -> Distinct:
        """Return some of the cases."""
        columns = [column[cases] for column in self.columns]
        return Distinct(columns, [effect.of(cases) for effect in self.effects], self.weights[cases], self.inverse)


def distinct(columns: Sequence[Vector], effects: Sequence[Effect], *, ignore: int | None = None) -> Distinct:
    """Collapse customers with equal columns, but for the one to ignore, and equal covariates."""
    compared = [column for at, column in enumerate(columns) if at != ignore]
    rows = collapse(*compared, *(row for effect in effects for row in effect.covariates))
    first = np.empty(len(rows.weights), dtype=np.intp)
    first[rows.inverse] = np.arange(len(rows.inverse))
    few = [effect.of(first) for effect in effects]
    return Distinct([column[first] for column in columns], few, rows.weights, rows.inverse)


class Population:
    """The histories of customers, and what a process says of them for any theta.

    Parameters
    ----------
    process : Process
    x, t_x, T : arrays (n,)
    effects : sequence of Effect
    """

    def __init__(self, process: Process, x: Vector, t_x: Vector, T: Vector, effects: Sequence[Effect] = ()) -> None:
        self.process = process
        self.size = len(x)
        self.whole = distinct((x, t_x, T), effects)
        # of those alive: what is to come does not depend on when they last bought, so there are fewer cases
        self.future = distinct((x, t_x, T), effects, ignore=1) if process.forgets_recency else self.whole

    def objective(self) -> Objective:
        """Return the function of theta that gives the log-likelihood of all customers and its derivatives."""
        rows = self.whole
        if not rows.effects:
            x, t_x, T = rows.columns
            return in_logs(self.process.objective(x, t_x, T, rows.weights))
        return with_effects(
            lambda params: self.process.log_likelihood_and_gradient(params, *rows.columns),
            len(self.process.names),
            rows.effects,
            rows.weights,
        )

    def log_likelihood(self, theta: Vector) -> Vector:
        """Log-likelihood of each customer, (n,)."""
        return self._each(self.whole, theta, self.process.log_likelihood)

    def alive(self, theta: Vector) -> Vector:
        """P(alive at T), (n,)."""
        return self._each(self.whole, theta, self.process.alive_probability)

    def survival(self, theta: Vector, ahead: float) -> Vector:
        """P(alive at T + ahead | alive at T), (n,)."""
        return self._each(self.future, theta, self.process.survival_if_alive, ahead=ahead)

    def expected(self, theta: Vector, horizon: float) -> Vector:
        """Purchases expected in the horizon of each customer if alive, (n,)."""
        return self._each(self.future, theta, self.process.expected_purchases_if_alive, horizon=horizon)

    def expected_of_cases(self, theta: Vector, horizon: float) -> Vector:
        """Purchases expected in the horizon, if alive, of each case of ``future``, (m,)."""
        return self._few(self.future, theta, self.process.expected_purchases_if_alive, horizon=horizon)

    def survival_of_cases(self, theta: Vector, ahead: float) -> Vector:
        """P(alive at T + ahead | alive at T) of each case of ``future``, (m,)."""
        return self._few(self.future, theta, self.process.survival_if_alive, ahead=ahead)

    def discounted(self, theta: Vector, horizon: float, rate: float) -> Vector:
        """Discounted purchases expected in the horizon of each customer if alive, (n,)."""
        discounted = self.process.discounted_purchases_if_alive
        return self._each(self.future, theta, discounted, horizon=horizon, rate=rate)

    def counts(self, theta: Vector, horizon: float, most: int, cases: npt.NDArray[np.intp] | None = None) -> Vector:
        """P(0, 1, ..., most purchases in the horizon | alive) of cases of ``future`` (all, or these), (m, most + 1)."""
        rows = self.future if cases is None else self.future.of(cases)
        return self._few(rows, theta, self.process.count_probabilities_if_alive, horizon=horizon, most=most)

    def _few(self, rows: Distinct, theta: Vector, function: Callable[..., Vector], **options: float) -> Vector:
        params = params_of(theta, len(self.process.names), rows.effects)
        return np.asarray(function(params, *rows.columns, **options))

    def _each(self, rows: Distinct, theta: Vector, function: Callable[..., Vector], **options: float) -> Vector:
        return self._few(rows, theta, function, **options)[rows.inverse]
