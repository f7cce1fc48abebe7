"""A classifier of the caller's, given what every classifier takes: indicators of levels, nothing missing."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone

from crmlytics._kernels.classification import probability_of


class Prepared(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Encode a matrix of numbers and codes for a classifier that knows neither codes nor missing values.

    Parameters
    ----------
    estimator : classifier with ``predict_proba`` or ``decision_function``
    levels : sequence of int
        How many levels each feature has, 0 for a number.
    """

    def __init__(self, estimator: Any, *, levels: Any = ()) -> None:
        self.estimator = estimator
        self.levels = levels

    def fit(self, X: Any, y: Any) -> Self:
        """Learn the middles of numbers, then fit the classifier on numbers of mean 0 and variance 1."""
        number = np.array([count == 0 for count in self.levels])
        self.number_ = number
        self.middle_ = np.array([np.median(column[~np.isnan(column)]) for column in X[:, number].T])
        self.gaps_ = np.isnan(X[:, number]).any(axis=0)
        columns = self._columns(X)
        self.mean_, spread = columns.mean(axis=0), columns.std(axis=0)
        self.scale_ = np.where(spread > 0, spread, 1.0)
        self.estimator_ = clone(self.estimator).fit((columns - self.mean_) / self.scale_, y)
        self.classes_ = self.estimator_.classes_
        return self

    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities of both classes, as the classifier gives them or as its decisions mean them."""
        columns = (self._columns(X) - self.mean_) / self.scale_
        if hasattr(self.estimator_, "predict_proba"):
            return self.estimator_.predict_proba(columns)
        probability = probability_of(self.estimator_.decision_function(columns))
        return np.column_stack([1 - probability, probability])

    def predict(self, X: Any) -> Any:
        """Return the likelier class."""
        return self.classes_[(self.predict_proba(X)[:, 1] > 1 / 2).astype(int)]

    def _columns(self, X: Any) -> Any:
        numbers = X[:, self.number_]
        missing = np.isnan(numbers)
        parts = [np.where(missing, self.middle_, numbers), missing[:, self.gaps_]]
        parts += [X[:, [at]] == np.arange(self.levels[at]) for at in np.flatnonzero(~self.number_)]
        return np.hstack(parts).astype(np.float64)
