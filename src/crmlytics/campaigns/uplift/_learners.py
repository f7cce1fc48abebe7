"""Ways to learn whom a contact changes: each learns from one arm and control, and predicts treated less control.

All take what is to be learnt as a :class:`Lesson` of plain arrays and know neither tables nor columns. With the same
scikit-learn estimators they predict what the papers' formulas give; what they share is named as in
S. R. Künzel, J. S. Sekhon, P. J. Bickel and B. Yu (2019), "Metalearners for estimating heterogeneous treatment effects
using machine learning", PNAS 116(10).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.utils.validation import has_fit_parameter

from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]

INNER_FOLDS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What there is to learn from: one arm and control.

    Attributes
    ----------
    matrix : float64 array, shape (n, features)
        Nothing missing.
    outcome : float64 array, shape (n,)
    treated : bool array, shape (n,)
    propensity : float64 array, shape (n,)
        Probability of the arm rather than control.
    group : int64 array, shape (n,)
        The customer of each row, who is held out as a whole.
    pseudo : float64 array, shape (n,), optional
        Doubly robust pseudo-outcomes, where they have been computed before.
    """

    matrix: Matrix
    outcome: Vector
    treated: NDArray[np.bool_]
    propensity: Vector
    group: NDArray[np.int64]
    pseudo: Vector | None = None

    def __len__(self) -> int:
        return len(self.outcome)

    @property
    def is_flag(self) -> bool:
        """Whether the outcome is yes or no, rather than an amount or a count."""
        return bool(np.isin(self.outcome, (0.0, 1.0)).all())

    def rows(self, which: NDArray[Any]) -> Lesson:
        """Return some of the rows, without what was computed of all."""
        arrays = (self.matrix, self.outcome, self.treated, self.propensity, self.group)
        return Lesson(*(array[which] for array in arrays))

    def with_pseudo(self, pseudo: Vector) -> Lesson:
        """Return the same rows beside their pseudo-outcomes."""
        return replace(self, pseudo=pseudo)


class Learner(Protocol):
    """What every learner does."""

    def fit(self, lesson: Lesson) -> Self:
        """Learn."""

    def predict(self, matrix: Matrix) -> Vector:
        """Return the predicted outcome if treated less that if not."""


class SLearner:
    """One model of the outcome, the treatment among its features, asked twice (V. S. Y. Lo 2002).

    Parameters
    ----------
    outcome_model : classifier or regressor
    interactions : bool
        Give it the product of treatment and each feature too, which lines need to have any opinion on whom to treat.
    """

    def __init__(self, outcome_model: Any, *, interactions: bool = False) -> None:
        self.outcome_model = outcome_model
        self.interactions = interactions

    def fit(self, lesson: Lesson) -> Self:
        """Learn from both arms at once."""
        columns = self._columns(lesson.matrix, lesson.treated.astype(np.float64))
        self.outcome_ = clone(self.outcome_model).fit(columns, lesson.outcome)
        return self

    def predict(self, matrix: Matrix) -> Vector:
        """Return E(outcome | treated) - E(outcome | not)."""
        ones = np.ones(len(matrix))
        return expected(self.outcome_, self._columns(matrix, ones)) - expected(
            self.outcome_, self._columns(matrix, ones * 0)
        )

    def _columns(self, matrix: Matrix, treated: Vector) -> Matrix:
        products = [matrix * treated[:, None]] if self.interactions else []
        return np.column_stack([matrix, *products, treated])


class TLearner:
    """Two models of the outcome, one an arm, and their difference (B. Hansotia and B. Rukstales 2002)."""

    def __init__(self, outcome_model: Any) -> None:
        self.outcome_model = outcome_model

    def fit(self, lesson: Lesson) -> Self:
        """Learn from each arm apart."""
        self.control_, self.treated_ = fit_arms(self.outcome_model, lesson)
        return self

    def predict(self, matrix: Matrix) -> Vector:
        """Return E(outcome | treated) - E(outcome | not)."""
        return expected(self.treated_, matrix) - expected(self.control_, matrix)


class XLearner:
    """What each customer's outcome differs by from what the other arm's model expects, learnt an arm (Künzel 2019).

    The effects learnt of control count by the propensity, those learnt of the treated by the rest: with few treated,
    more rests on the model of the many in control. The mean propensity is taken, so that predicting needs none.
    """

    def __init__(self, outcome_model: Any, effect_model: Any) -> None:
        self.outcome_model = outcome_model
        self.effect_model = effect_model

    def fit(self, lesson: Lesson) -> Self:
        """Learn outcomes an arm, then effects an arm."""
        control, treated = lesson.rows(~lesson.treated), lesson.rows(lesson.treated)
        of_control, of_treated = fit_arms(self.outcome_model, lesson)
        gained = expected(of_treated, control.matrix) - control.outcome
        self.control_ = clone(self.effect_model).fit(control.matrix, gained)
        gained = treated.outcome - expected(of_control, treated.matrix)
        self.treated_ = clone(self.effect_model).fit(treated.matrix, gained)
        self.propensity_ = float(lesson.propensity.mean())
        return self

    def predict(self, matrix: Matrix) -> Vector:
        """Return the weighted mean of both effects."""
        share = self.propensity_
        return share * expected(self.control_, matrix) + (1 - share) * expected(self.treated_, matrix)


class DRLearner:
    """A regression on doubly robust pseudo-outcomes, each a noisy, unbiased look at one customer's effect.

    E. H. Kennedy (2023), "Towards optimal doubly robust estimation of heterogeneous causal effects", Electronic Journal
    of Statistics 17(2): outcomes are expected by models that have not seen the customer, propensities are known.
    """

    def __init__(self, outcome_model: Any, effect_model: Any, *, random_state: int = 0) -> None:
        self.outcome_model = outcome_model
        self.effect_model = effect_model
        self.random_state = random_state

    def fit(self, lesson: Lesson) -> Self:
        """Learn the effect from pseudo-outcomes."""
        pseudo = lesson.pseudo
        if pseudo is None:
            pseudo, _ = cross_fitted(self.outcome_model, lesson, folds=INNER_FOLDS, random_state=self.random_state)
        self.effect_ = clone(self.effect_model).fit(lesson.matrix, pseudo)
        return self

    def predict(self, matrix: Matrix) -> Vector:
        """Return the effect."""
        return expected(self.effect_, matrix)


class ClassTransformation:
    """One classifier of "treated and yes, or untreated and no", which is above a half where treatment helps.

    M. Jaśkowski and S. Jaroszewicz (2012), "Uplift modeling for clinical trial data", ICML Workshop on Clinical Data
    Analysis. It holds for arms of equal size; others are made so by weights of 1 / propensity, their mean 1.
    """

    def __init__(self, outcome_model: Any) -> None:
        self.outcome_model = outcome_model

    def fit(self, lesson: Lesson) -> Self:
        """Learn from both arms at once."""
        weight = np.where(lesson.treated, 1 / lesson.propensity, 1 / (1 - lesson.propensity))
        weight /= weight.mean()
        model = clone(self.outcome_model)
        options = {} if np.allclose(weight, 1, rtol=0, atol=1e-12) else {"sample_weight": weight}
        if options and not has_fit_parameter(model, "sample_weight"):
            msg = (
                f"class transformation: arms of unequal size need weights, and {type(model).__name__} takes none "
                '(sample_weight). Take another base_model, or learner="dr".'
            )
            raise SchemaError(msg)
        self.outcome_ = model.fit(lesson.matrix, (lesson.outcome == lesson.treated).astype(np.int64), **options)
        return self

    def predict(self, matrix: Matrix) -> Vector:
        """Return 2 P(transformed) - 1."""
        return 2 * expected(self.outcome_, matrix) - 1


class ResponseModel:
    """What is likely of the treated anyway: no uplift, but what campaigns are mostly aimed by, so the one to beat."""

    def __init__(self, outcome_model: Any) -> None:
        self.outcome_model = outcome_model

    def fit(self, lesson: Lesson) -> Self:
        """Learn from the treated."""
        self.treated_ = clone(self.outcome_model).fit(lesson.matrix[lesson.treated], lesson.outcome[lesson.treated])
        return self

    def predict(self, matrix: Matrix) -> Vector:
        """Return E(outcome | treated)."""
        return expected(self.treated_, matrix)


# -- parts ---------------------------------------------------------------------------------------------------------


def expected(model: Any, matrix: Matrix) -> Vector:
    """Return what a fitted model expects: the probability of yes, or the amount."""
    said = model.predict_proba(matrix)[:, 1] if is_classifier(model) else model.predict(matrix)
    return np.asarray(said, np.float64)


def fit_arms(model: Any, lesson: Lesson) -> tuple[Any, Any]:
    """Return models of the outcome in control and among the treated."""
    control, treated = (
        clone(model).fit(lesson.matrix[rows], lesson.outcome[rows]) for rows in (~lesson.treated, lesson.treated)
    )
    return control, treated


def cross_fitted(
    model: Any, lesson: Lesson, *, folds: int, random_state: int, fresh: Matrix | None = None
) -> tuple[Vector, tuple[Vector, Vector]]:
    """Return pseudo-outcomes from models that have not seen the customer, and what these expect of fresh rows.

    Parameters
    ----------
    model : classifier or regressor
    lesson : Lesson
    folds, random_state : int
        How customers are held out.
    fresh : float64 array, optional
        Rows of other customers.

    Returns
    -------
    pseudo-outcomes, shape (n,), and the mean expectation of fresh rows in control and if treated
    """
    fresh = lesson.matrix[:0] if fresh is None else fresh
    control, treated = np.empty(len(lesson)), np.empty(len(lesson))
    of_fresh = np.zeros((2, len(fresh)))
    fold = deal(lesson, folds, random_state)
    for number in range(folds):
        out = fold == number
        arms = fit_arms(model, lesson.rows(~out))
        control[out], treated[out] = (expected(arm, lesson.matrix[out]) for arm in arms)
        if len(fresh):
            of_fresh += [expected(arm, fresh) / folds for arm in arms]
    return pseudo_outcomes(lesson, control, treated), (of_fresh[0], of_fresh[1])


def pseudo_outcomes(lesson: Lesson, control: Vector, treated: Vector) -> Vector:
    """Return the expected difference, and what the outcome seen differs from its expectation by, over its chance."""
    seen = np.where(
        lesson.treated,
        (lesson.outcome - treated) / lesson.propensity,
        -(lesson.outcome - control) / (1 - lesson.propensity),
    )
    return np.asarray(treated - control + seen)


def deal(lesson: Lesson, folds: int, random_state: int) -> NDArray[np.int64]:
    """Return the fold of each row: arms and outcomes dealt evenly, the rows of a customer kept together."""
    rng = np.random.default_rng(random_state)
    kind = np.zeros(int(lesson.group.max()) + 1, np.int64)
    np.maximum.at(kind, lesson.group, 1 + 2 * (lesson.outcome != 0) + lesson.treated)
    fold = np.zeros(len(kind), np.int64)
    for one in range(1, 5):
        customers = np.flatnonzero(kind == one)
        fold[rng.permutation(customers)] = np.arange(len(customers)) % folds
    return fold[lesson.group]
