"""Logistic regression on splines: a smooth curve for each number, a step for each level, and exact reasons."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from crmlytics._kernels.classification import probability_of
from crmlytics.scoring._folds import enough_of

KNOTS = 5
FEW_VALUES = 3  # a number with no more different values is a straight line
MOST_ROWS = 200_000  # a curve is as well known from so many rows as from all
LEAST_SPREAD = 1e-9


class SplineLogistic(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Ridge logistic regression on cubic B-splines of numbers and indicators of levels and of what is missing.

    Parameters
    ----------
    C : float
        Inverse strength of the ridge, on columns of mean 0 and variance 1.
    levels : sequence of int
        How many levels each feature has, 0 for a number.
    """

    def __init__(self, *, C: float = 1.0, levels: Any = ()) -> None:
        self.C = C
        self.levels = levels

    def fit(self, X: Any, y: Any) -> Self:
        """Learn curves from a matrix of numbers and codes, NaN for missing, as ``Design`` has it."""
        from sklearn.linear_model import LogisticRegression

        share = enough_of(y, MOST_ROWS)
        if share < 1:
            some = np.random.default_rng(0).random(len(X)) < share
            X, y = X[some], y[some]
        levels = self.levels or [0] * X.shape[1]
        self.curves_ = [_learn_curve(X[:, number], count) for number, count in enumerate(levels)]
        parts = [curve.columns(X[:, number]) for number, curve in enumerate(self.curves_)]
        self.owner_ = np.repeat(np.arange(len(parts)), [part.shape[1] for part in parts])
        matrix = np.hstack(parts)
        self.mean_ = matrix.mean(axis=0)
        spread = matrix.std(axis=0)
        self.scale_ = np.where(spread > LEAST_SPREAD, spread, 1.0)
        model = LogisticRegression(C=self.C, solver="newton-cholesky", tol=1e-8)
        model.fit((matrix - self.mean_) / self.scale_, y)
        self.coef_, self.intercept_, self.classes_ = model.coef_[0] / self.scale_, model.intercept_[0], model.classes_
        return self

    def contributions(self, X: Any) -> tuple[float, Any]:
        """Return the base, the log odds of nobody in particular, and what each feature adds to it, row by row."""
        added = np.empty(X.shape)
        for number, curve in enumerate(self.curves_):
            mine = self.owner_ == number
            added[:, number] = (curve.columns(X[:, number]) - self.mean_[mine]) @ self.coef_[mine]
        return float(self.intercept_), added

    def decision_function(self, X: Any) -> Any:
        """Return the log odds."""
        base, added = self.contributions(X)
        return base + added.sum(axis=1)

    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities of both classes."""
        probability = probability_of(self.decision_function(X))
        return np.column_stack([1 - probability, probability])

    def predict(self, X: Any) -> Any:
        """Return the likelier class."""
        return self.classes_[(self.decision_function(X) > 0).astype(int)]


class _Number:
    """A number: its middle for what is missing, and the knots of its curve."""

    def __init__(self, values: Any) -> None:
        from sklearn.preprocessing import SplineTransformer

        known = values[~np.isnan(values)]
        self.middle = float(np.median(known)) if len(known) else 0.0
        self.flags_missing = len(known) < len(values)
        self.low, self.high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
        different = np.unique(known)
        self.spline: Any = None
        if len(different) > FEW_VALUES:
            knots = np.unique(np.quantile(known, np.linspace(0, 1, KNOTS)))
            if len(knots) < KNOTS:  # many equal values: knots among the different ones
                knots = np.unique(np.quantile(different, np.linspace(0, 1, KNOTS)))
            self.spline = SplineTransformer(knots=knots[:, None], degree=3, include_bias=False).fit(known[:, None])

    def columns(self, values: Any) -> Any:
        missing = np.isnan(values)
        filled = np.clip(np.where(missing, self.middle, values), self.low, self.high)[:, None]
        columns = [filled if self.spline is None else self.spline.transform(filled)]
        return np.hstack([*columns, missing[:, None]]) if self.flags_missing else columns[0]


class _Levels:
    """A column of words: one indicator a level; what is missing is none of them."""

    def __init__(self, count: int) -> None:
        self.count = count

    def columns(self, values: Any) -> Any:
        return values[:, None] == np.arange(self.count, dtype=np.float64)


def _learn_curve(values: Any, levels: int) -> _Number | _Levels:
    return _Levels(levels) if levels else _Number(values)
