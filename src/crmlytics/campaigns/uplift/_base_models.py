"""What uplift learners learn with: the caller's estimator as it came, or careful models of ours for a weak signal.

Uplift is a small difference between noisy outcomes. Ours are therefore shallow, learn slowly, and stand on what alone
tells effects apart: with 3 of 20 columns behind an effect, knowing which is worth more than any model of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, clone

from crmlytics._kernels.multiple_testing import benjamini_hochberg

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.scoring._encoding import Design

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]

FALSE_DRIVERS = 0.1  # expected share of columns kept that drive nothing
PARTS = 8
KNOTS = (0.2, 0.4, 0.6, 0.8)
RIDGES = np.logspace(-3, 1.5, 10)  # per row
LARGEST_LEAF, SMALLEST_LEAF = 500, 20
BOOSTING: dict[str, Any] = {
    "learning_rate": 0.03, "max_iter": 100, "max_depth": 3, "l2_regularization": 10.0, "early_stopping": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """How the features of a table become a matrix that every estimator takes.

    Attributes
    ----------
    middle : float64 array, shape (features,)
        The median of a number, which stands for what is missing.
    gaps : bool array, shape (features,)
        Numbers that are missing somewhere, which gives them an indicator.
    levels : int64 array, shape (features,)
        How many levels a column of words has, one indicator each; 0 for a number.
    """

    middle: Vector
    gaps: NDArray[np.bool_]
    levels: NDArray[np.int64]

    @classmethod
    def learn(cls, design: Design) -> Columns:
        """Learn from encoded rows."""
        known = [column[~np.isnan(column)] for column in design.matrix.T]
        return cls(
            np.array([np.median(column) if len(column) else 0.0 for column in known]),
            np.asarray(np.isnan(design.matrix).any(axis=0)),
            np.array([len(feature.levels or ()) for feature in design.features]),
        )

    def matrix(self, design: Design) -> Matrix:
        """Return numbers as they are, then their indicators of what is missing, then those of levels."""
        number = self.levels == 0
        missing = np.isnan(design.matrix)
        words = [design.matrix[:, [at]] == np.arange(self.levels[at]) for at in np.flatnonzero(~number)]
        filled = np.where(missing, self.middle, design.matrix)[:, number]
        return np.hstack([filled, missing[:, number & self.gaps], *words]).astype(np.float64)


class SmoothRidge(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Ridge regression on lines that bend at the fifths of each number; how strong a ridge, cross-validation says."""

    def fit(self, X: Matrix, y: Vector) -> Self:
        """Learn one bent line a column."""
        from sklearn.linear_model import RidgeCV

        self.knots_ = np.quantile(X, [0.01, *KNOTS, 0.99], axis=0)
        columns = self._columns(X)
        self.mean_, spread = columns.mean(axis=0), columns.std(axis=0)
        self.scale_ = np.where(spread > 0, spread, 1.0)
        self.ridge_ = RidgeCV(RIDGES * len(X)).fit((columns - self.mean_) / self.scale_, y)
        return self

    def predict(self, X: Matrix) -> Vector:
        """Return the sum of the lines."""
        return np.asarray(self.ridge_.predict((self._columns(X) - self.mean_) / self.scale_))

    def _columns(self, X: Matrix) -> Matrix:
        low, *knots, high = self.knots_
        inside = np.where(high > low, np.clip(X, low, high), X)  # of a rare indicator both are nought
        return np.hstack([inside, *(np.maximum(inside - knot, 0) for knot in knots)])


class OnDrivers(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Another regressor on the columns that each tell effects apart, and on the straight line that they make together.

    A column is kept if its line or its eighths explain more of the effects than chance would (F test, false discovery
    rate 10%: Y. Benjamini and Y. Hochberg 1995). None kept: everybody's effect is the mean.

    Parameters
    ----------
    regressor : regressor
    with_line : bool
        Add the ridge regression on the columns kept as one more column: trees then find a threshold across several of
        them in one split.
    """

    def __init__(self, regressor: Any, *, with_line: bool = False) -> None:
        self.regressor = regressor
        self.with_line = with_line

    def fit(self, X: Matrix, y: Vector) -> Self:
        """Choose columns, then learn from them."""
        from sklearn.linear_model import RidgeCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self.p_values_ = driver_p_values(X, y)
        self.kept_ = np.flatnonzero(benjamini_hochberg(self.p_values_) <= FALSE_DRIVERS)
        self.mean_ = float(y.mean())
        if len(self.kept_):
            kept = X[:, self.kept_]
            line = make_pipeline(StandardScaler(), RidgeCV(RIDGES * len(X)))
            self.line_ = line.fit(kept, y) if self.with_line else None
            self.regressor_ = clone(self.regressor).fit(self.columns(X), y)
        return self

    def predict(self, X: Matrix) -> Vector:
        """Return what the regressor says of the columns kept."""
        if not len(self.kept_):
            return np.full(len(X), self.mean_)
        return np.asarray(self.regressor_.predict(self.columns(X)))

    def columns(self, X: Matrix) -> Matrix:
        """Return what the regressor learns from."""
        kept = X[:, self.kept_]
        return kept if self.line_ is None else np.column_stack([kept, self.line_.predict(kept)])


def driver_p_values(X: Matrix, y: Vector) -> Vector:
    """Return the p-value of each column: of its line or of its eighths, the smaller one times two."""
    rest = y - y.mean()
    total = float(rest @ rest)
    found = np.ones(X.shape[1])
    for at, column in enumerate(X.T):
        edges = np.unique(np.quantile(column, np.arange(1, PARTS) / PARTS))
        centred = column - column.mean()
        if not centred.any() or not total:
            continue
        part = np.searchsorted(edges, column, side="right")
        count, sums = np.bincount(part), np.bincount(part, rest)
        explained = float((sums[count > 0] ** 2 / count[count > 0]).sum())
        line = float((centred @ rest) ** 2 / (centred @ centred))
        tests = [_f_test(line, 1, total, len(y)), _f_test(explained, int((count > 0).sum()) - 1, total, len(y))]
        found[at] = min(1.0, 2 * min(tests))
    return found


def auto_outcome_model(rows: int, *, is_flag: bool, random_state: int) -> Any:
    """Return our model of an outcome: shallow trees, slowly added."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if is_flag else HistGradientBoostingRegressor
    return kind(**BOOSTING, min_samples_leaf=_leaf(rows), max_features=0.4, random_state=random_state)


def auto_effect_model(rows: int, *, random_state: int, **changed: Any) -> Any:
    """Return our model of an effect: the same for numbers."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    settings = {**BOOSTING, "min_samples_leaf": _leaf(rows), "max_features": 0.4, **changed}
    return HistGradientBoostingRegressor(**settings, random_state=random_state)


def auto_line_model(*, is_flag: bool) -> Any:
    """Return our model of lines, for learners that bring their own interactions."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = LogisticRegression(C=0.01, solver="newton-cholesky", tol=1e-8) if is_flag else Ridge(alpha=100.0)
    return make_pipeline(StandardScaler(), model)


# -- inside --------------------------------------------------------------------------------------------------------


def _leaf(rows: int) -> int:
    return int(np.clip(rows // 100, SMALLEST_LEAF, LARGEST_LEAF))


def _f_test(explained: float, degrees: int, total: float, rows: int) -> float:
    from scipy import special

    left = rows - 1 - degrees
    if degrees < 1 or left < 1:
        return 1.0
    return float(special.fdtrc(degrees, left, explained / degrees / max((total - explained) / left, 1e-300)))
