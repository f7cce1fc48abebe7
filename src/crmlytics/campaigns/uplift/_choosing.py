"""Which learner to believe: what each said of customers whom it had not seen, and how much of each is mixed.

One effect is never seen, but pseudo-outcomes are it plus noise, so the learner nearest to them is nearest to the
effects. Non-negative weights of what the learners say beyond the mean effect minimise the distance: M. J. van der Laan,
E. C. Polley and A. E. Hubbard (2007), "Super learner", Statistical Applications in Genetics and Molecular Biology 6(1),
with the loss of E. H. Kennedy (2023). Noise gets little weight, and then all get the mean.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from crmlytics._kernels.working import in_parts, own_warnings
from crmlytics.campaigns.uplift._calibration import Calibration
from crmlytics.campaigns.uplift._learners import INNER_FOLDS, Lesson, ResponseModel, cross_fitted, deal, pseudo_outcomes
from crmlytics.campaigns.uplift._trial import CHOSEN, RESPONSE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from crmlytics.campaigns.uplift._learners import Learner

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]

FOLDS = 5
LARGEST_AMOUNT = 0.99  # quantile of the amounts that are not nought: ours learn from no larger ones
MOST = 1.5  # of all weights: learners that learn slowly say too little
STRICTNESS = 1e3  # how strictly weights are held to it
LEAST = 1e-6  # a smaller weight is rounding


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """What competes.

    Attributes
    ----------
    learners : dict of str to Learner
        By name, not fitted.
    outcome_model : estimator
        Expects outcomes: for pseudo-outcomes, and as the response model.
    is_mixed : bool
        Mix what the learners say; else there is one of them, which is taken as it is.
    is_ours : bool
        The estimators are ours: they may run in threads, and learn from amounts with the largest cut.
    random_state : int
    """

    learners: Mapping[str, Learner]
    outcome_model: Any
    is_mixed: bool
    is_ours: bool
    random_state: int


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """What came of it.

    Attributes
    ----------
    model : Learner or Mixture
        Fitted on all rows.
    scores : dict of str to float64 array, shape (n,)
        What was said of each customer by models that had not seen them: by each learner, the mixture if there is one,
        and the response model.
    losses : dict of str to float
        Mean squared distance from pseudo-outcomes less that of the mean effect: below nought is better than it.
    weights : dict of str to float
        Of the mixture.
    calibration : Calibration
        How near the model's scores are to mean uplift.
    """

    model: Any
    scores: dict[str, Vector]
    losses: dict[str, float]
    weights: dict[str, float]
    calibration: Calibration


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """The mean effect, and what learners say of a customer beyond what they say of all, weighted.

    Attributes
    ----------
    level : float
        The mean effect, which is also the mean of what is said of the customers learnt from.
    members : tuple of (float, Learner, float)
        The weight of each, and the mean of what it says of them.
    """

    level: float
    members: tuple[tuple[float, Any, float], ...]

    def predict(self, matrix: Matrix) -> Vector:
        """Return the effect."""
        said = np.full(len(matrix), self.level)
        for weight, learner, mean in self.members:
            said += weight * (learner.predict(matrix) - mean)
        return said


def learn(lesson: Lesson, contest: Contest) -> Learnt:
    """Ask every learner about customers held out, weigh them by what came true, and fit those with a weight on all."""
    seen = lesson
    if contest.is_ours and not lesson.is_flag:
        seen = replace(lesson, outcome=cut(lesson.outcome))
    fold = deal(seen, FOLDS, contest.random_state)
    pasts, means, pseudo = _folds(seen, fold, contest)
    scores = _held_out(pasts, seen, fold, contest)
    origin = means[fold]
    rest = pseudo - origin
    losses = {name: float(np.mean((pseudo - scores[name]) ** 2) - np.mean(rest**2)) for name in contest.learners}
    everybody = seen.with_pseudo(pseudo)

    def calibrated(score: Vector, centre: float) -> Calibration:
        whole = pseudo + _weight(lesson) * np.where(lesson.treated, 1, -1) * (lesson.outcome - seen.outcome)
        return Calibration.learn(_beyond_mean(score, fold), whole, group=lesson.group, centre=centre)

    if not contest.is_mixed:
        (name,) = contest.learners
        model, level = _fit([name], everybody, contest)[name]
        return Learnt(model, scores, losses, {name: 1.0}, calibrated(scores[name], level))
    beyond = np.column_stack([_beyond_mean(scores[name], fold) for name in contest.learners])
    weights = dict(zip(contest.learners, mixing_weights(beyond, rest), strict=True))
    levels = means + np.array([_cut_off(lesson.rows(fold != number), past) for number, past in enumerate(pasts)])
    scores[CHOSEN] = levels[fold] + mixed_by_others(beyond, rest, fold)
    fitted = _fit([name for name, weight in weights.items() if weight > 0], everybody, contest)
    members = tuple((weights[name], *found) for name, found in fitted.items())
    mixture = Mixture(float(pseudo.mean()) + _cut_off(lesson, seen), members)
    judged = {name: scores[name] for name in (CHOSEN, RESPONSE)} | scores  # what the verdict is about comes first
    return Learnt(mixture, judged, losses, weights, calibrated(scores[CHOSEN], mixture.level))


def mixing_weights(beyond: Matrix, rest: Vector) -> Vector:
    """Return weights of columns, none negative and no more than 1.5 in all, whose sum is nearest to a vector."""
    from scipy.optimize import nnls

    rows: Any = np.linalg.qr(np.column_stack([beyond, rest]), mode="r")  # says of distances what all rows do
    strict = STRICTNESS * max(float(np.abs(rows).max()), 1e-300)
    columns = np.column_stack([rows[:, :-1], np.zeros(len(rows))])  # the last: nothing beyond the mean
    columns = np.vstack([columns, np.full(columns.shape[1], strict)])
    weights: Vector = nnls(columns, np.append(rows[:, -1], MOST * strict))[0][:-1]
    return np.where(weights > LEAST, weights, 0.0)


def mixed_by_others(beyond: Matrix, rest: Vector, fold: NDArray[np.int64]) -> Vector:
    """Return the mixture of each fold by the weights that the other folds give, so that choosing does not flatter."""
    mixed = np.empty(len(fold))
    for number in range(FOLDS):
        mine = fold == number
        mixed[mine] = beyond[mine] @ mixing_weights(beyond[~mine], rest[~mine])
    return mixed


def cut(amounts: Vector) -> Vector:
    """Return amounts, the largest hundredth of those that are not nought cut to what the others reach."""
    size = np.abs(amounts[amounts != 0])
    most = np.quantile(size, LARGEST_AMOUNT) if len(size) else 0.0
    return np.clip(amounts, -most, most)


# -- inside --------------------------------------------------------------------------------------------------------


def _beyond_mean(said: Vector, fold: NDArray[np.int64]) -> Vector:
    """Return what a learner says of customers beyond what it says of their fold: its level is not asked for."""
    means = np.bincount(fold, said) / np.bincount(fold)
    return said - means[fold]


def _folds(seen: Lesson, fold: NDArray[np.int64], contest: Contest) -> tuple[list[Lesson], Vector, Vector]:
    """Return what each fold is foretold from, the mean effect there, and the pseudo-outcomes of all rows."""

    def of(number: int) -> tuple[Lesson, float, Vector]:
        past, held = seen.rows(fold != number), seen.rows(fold == number)
        pseudo, expected = cross_fitted(
            contest.outcome_model, past, folds=INNER_FOLDS, random_state=contest.random_state, fresh=held.matrix
        )
        return past.with_pseudo(pseudo), float(pseudo.mean()), pseudo_outcomes(held, *expected)

    pasts, means, parts = zip(*_run(of, list(range(FOLDS)), contest), strict=True)
    pseudo = np.empty(len(seen))
    for number, part in enumerate(parts):
        pseudo[fold == number] = part
    return list(pasts), np.array(means), pseudo


def _held_out(pasts: list[Lesson], seen: Lesson, fold: NDArray[np.int64], contest: Contest) -> dict[str, Vector]:
    """Return what each learner, and the response model, says of the rows held out."""
    learners = {**contest.learners, RESPONSE: ResponseModel(contest.outcome_model)}

    def foretell(task: tuple[str, int]) -> Vector:
        name, number = task
        learner = copy.copy(learners[name]).fit(pasts[number])
        return learner.predict(seen.matrix[fold == number])

    tasks = [(name, number) for name in learners for number in range(FOLDS)]
    scores = {name: np.empty(len(seen)) for name in learners}
    for (name, number), said in zip(tasks, _run(foretell, tasks, contest), strict=True):
        scores[name][fold == number] = said
    return scores


def _fit(names: list[str], lesson: Lesson, contest: Contest) -> dict[str, tuple[Learner, float]]:
    """Return learners fitted on a lesson, and the mean of what each says of it."""

    def of(name: str) -> tuple[Learner, float]:
        learner = copy.copy(contest.learners[name]).fit(lesson)
        return learner, float(learner.predict(lesson.matrix).mean())

    return dict(zip(names, _run(of, names, contest), strict=True))


def _cut_off(lesson: Lesson, seen: Lesson) -> float:
    """Return the mean effect on what was cut off the largest amounts."""
    return _difference(lesson) - _difference(seen)


def _difference(lesson: Lesson) -> float:
    weight = _weight(lesson)
    means = [np.average(lesson.outcome[arm], weights=weight[arm]) for arm in (lesson.treated, ~lesson.treated)]
    return float(means[0] - means[1])


def _weight(lesson: Lesson) -> Vector:
    return np.where(lesson.treated, 1 / lesson.propensity, 1 / (1 - lesson.propensity))


def _run(task: Callable[[Any], Any], parts: list[Any], contest: Contest) -> list[Any]:
    """Do ours in threads, each with OpenMP kept to itself; a caller's estimators have threads of their own."""
    if not contest.is_ours or not parts:
        return [task(part) for part in parts]

    def alone(part: Any) -> Any:
        with threadpool_limits(1, user_api="openmp"):
            return task(part)

    with threadpool_limits(1, user_api="blas"), own_warnings():  # of the process: set once, around the threads
        return in_parts(alone, parts, label="uplift learners")
