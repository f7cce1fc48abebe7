"""Choose a model on rows it had not seen, make its odds come true, and keep what it said of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from crmlytics._kernels.classification import calibration_line, log_loss, probability_of
from crmlytics._kernels.working import in_parts, own_warnings
from crmlytics.scoring._candidates import fit_quietly, knows_threads, raw_log_odds
from crmlytics.scoring._folds import deal_customers, enough_of, random_folds, time_folds
from crmlytics.scoring._importance import HeldOut
from crmlytics.scoring._predictions import OUT_OF_TIME, RANDOM_FOLDS, Predictions
from crmlytics.scoring._reasons import background_of
from crmlytics.scoring._single_feature import BEST_SINGLE, best_rate_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from crmlytics.scoring._encoding import Design, Encoder
    from crmlytics.scoring._folds import Fold

    Vector = NDArray[np.float64]
    Line = tuple[float, float]

FOLDS = 5
INNER_FOLDS = 3
MOST_ROWS = 100_000  # to choose and to judge on; the model chosen learns from all


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """What there is to learn from.

    Attributes
    ----------
    design : Design
    outcome : bool array, shape (rows,)
    group : int64 array, shape (rows,)
        The customer of a row, as a code from 0.
    period : array, shape (rows,), or None
    purge : timedelta64 or int
        How long before a period rows lie at least whose labels were known when it began.
    baselines : dict of name to float64 array, shape (rows,)
    """

    design: Design
    outcome: NDArray[np.bool_]
    group: NDArray[np.int64]
    period: NDArray[Any] | None
    purge: Any
    baselines: dict[str, NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.outcome)

    def rows(self, which: NDArray[Any]) -> Lessons:
        """Return some of the rows."""
        return Lessons(
            self.design.rows(which), self.outcome[which], self.group[which],
            None if self.period is None else self.period[which], self.purge,
            {name: values[which] for name, values in self.baselines.items()},
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A model that learnt, and the line that makes its log odds come true.

    Attributes
    ----------
    encoder : Encoder
    name : str
        Of the candidate.
    estimator : classifier
    slope, intercept : float
        Calibrated log odds are ``intercept + slope x`` those of the estimator. A slope of 0: nothing was learnt.
    background : float64 array, shape (some rows, features)
        Rows learnt from, encoded: what a classifier of the caller's is explained against.
    """

    encoder: Encoder
    name: str
    estimator: Any
    slope: float
    intercept: float
    background: Vector

    def log_odds(self, matrix: Vector) -> Vector:
        """Return the calibrated log odds of encoded rows."""
        return self.intercept + self.slope * raw_log_odds(self.estimator, matrix)


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """A fitted model, and how it was come by.

    Attributes
    ----------
    fitted : Fitted
    chosen_on : str
        The scheme of the rows that the candidates were compared on.
    log_losses : dict of candidate to float
        On these rows, after calibration: the lowest was chosen.
    predictions : tuple of Predictions
        Out of time first, where there are periods enough.
    """

    fitted: Fitted
    chosen_on: str
    log_losses: dict[str, float]
    predictions: tuple[Predictions, ...]


def learn(lessons: Lessons, encoder: Encoder, models: Mapping[str, Any], *, random_state: int) -> Learnt:
    """Compare the models where the future was held out, or customers where there is no time, and fit the best on all.

    The line of the final model comes from random folds of customers over all rows; out of time, from such folds of
    the rows learnt from. So what is judged is what a user would have had, choosing apart.
    """
    some = _sample(lessons, random_state)
    folds = random_folds(deal_customers(some.group, some.outcome, FOLDS, random_state))
    later = [] if some.period is None else time_folds(some.period, some.outcome, purge=some.purge)
    arena = later or folds
    scheme = OUT_OF_TIME if later else RANDOM_FOLDS
    odds = _held_out(models, arena, some)
    rows = np.concatenate([test for _, test in arena])
    losses = {name: _loss(values, some.outcome[rows]) for name, values in odds.items()}
    best = min(losses, key=lambda name: (losses[name], list(models).index(name)))
    chosen = {best: models[best]}
    dealt = odds[best] if not later else _held_out(chosen, folds, some)[best]
    predictions = [_of_folds(dealt, folds, some)]
    if later:
        predictions.insert(0, _of_future(chosen[best], odds[best], later, some, random_state))
    line = _line(dealt, some.outcome[np.concatenate([test for _, test in folds])])
    estimator = _fit_all(chosen[best], lessons)
    background = background_of(lessons.design.matrix, random_state=random_state)
    return Learnt(Fitted(encoder, best, estimator, *line, background), scheme, losses, tuple(predictions))


def held_out(model: Any, lessons: Lessons, *, random_state: int) -> list[HeldOut]:
    """Return each random fold of customers with the model fitted without it, and put on a line of its own."""
    from sklearn.base import clone

    some = _sample(lessons, random_state)
    folds = random_folds(deal_customers(some.group, some.outcome, FOLDS, random_state))
    found = []
    with threadpool_limits(1, user_api="blas"):
        for train, test in folds:
            estimator = fit_quietly(clone(model), some.design.matrix[train], some.outcome[train])
            part = some.rows(test)
            line = _line(raw_log_odds(estimator, part.design.matrix), part.outcome)
            predict = partial(_foretold, estimator, line)
            found.append(HeldOut(predict, part.design.matrix, part.outcome, part.group))
    return found


# -- inside --------------------------------------------------------------------------------------------------------


def _sample(lessons: Lessons, random_state: int) -> Lessons:
    """Return all rows, or those of some customers where there are more than it takes to choose and to judge."""
    share = enough_of(lessons.outcome, MOST_ROWS)
    if share >= 1:
        return lessons
    customers = int(lessons.group.max()) + 1
    drawn = np.random.default_rng(random_state).random(customers) < share
    some = lessons.rows(np.flatnonzero(drawn[lessons.group]))
    return replace(some, group=np.unique(some.group, return_inverse=True)[1])


def _held_out(models: Mapping[str, Any], folds: Sequence[Fold], lessons: Lessons) -> dict[str, Vector]:
    """Return each model's raw log odds of the rows held out, fold after fold."""
    from sklearn.base import clone

    def foretell(task: tuple[str, int]) -> Vector:
        name, number = task
        train, test = folds[number]
        matrix = lessons.design.matrix
        estimator = fit_quietly(clone(models[name]), matrix[train], lessons.outcome[train])
        return raw_log_odds(estimator, matrix[test])

    tasks = [(name, number) for name in models for number in range(len(folds))]
    in_threads = all(knows_threads(model) for model in models.values())
    with threadpool_limits(1, user_api="blas"), own_warnings():  # of the process: set once, around the threads
        foretold = in_parts(foretell, tasks, label="models") if in_threads else [foretell(task) for task in tasks]
    parts = [foretold[first : first + len(folds)] for first in range(0, len(tasks), len(folds))]
    return {name: np.concatenate(part) for name, part in zip(models, parts, strict=True)}


def _fit_all(model: Any, lessons: Lessons) -> Any:
    from sklearn.base import clone

    with threadpool_limits(1, user_api="blas"):
        return fit_quietly(clone(model), lessons.design.matrix, lessons.outcome)


def _of_folds(odds: Vector, folds: Sequence[Fold], lessons: Lessons) -> Predictions:
    """Return what was said of the rows of each fold, calibrated by the other folds."""
    rows = np.concatenate([test for _, test in folds])
    fold = np.repeat(np.arange(len(folds)), [len(test) for _, test in folds])
    probability = np.empty(len(odds))
    for number in range(len(folds)):
        mine = fold == number
        probability[mine] = _on_line(odds[mine], _line(odds[~mine], lessons.outcome[rows[~mine]]))
    return _predictions(RANDOM_FOLDS, probability, folds, lessons)


def _of_future(
    model: Any, odds: Vector, folds: Sequence[Fold], lessons: Lessons, random_state: int
) -> Predictions:  # fmt: skip
    """Return what was said of later periods, calibrated within the rows learnt from."""
    ends = np.cumsum([len(test) for _, test in folds])
    probability = []
    for (train, _), part in zip(folds, np.split(odds, ends[:-1]), strict=True):
        past = lessons.rows(train)
        group = np.unique(past.group, return_inverse=True)[1]
        inner = random_folds(deal_customers(group, past.outcome, INNER_FOLDS, random_state))
        seen = _held_out({"": model}, inner, past)[""]
        line = _line(seen, past.outcome[np.concatenate([test for _, test in inner])])
        probability.append(_on_line(part, line))
    return _predictions(OUT_OF_TIME, np.concatenate(probability), folds, lessons)


def _predictions(scheme: str, probability: Vector, folds: Sequence[Fold], lessons: Lessons) -> Predictions:
    """Put what was said in the order of the rows, beside the baselines and the best that one column does."""
    rows = np.concatenate([test for _, test in folds])
    single = np.concatenate([_single(train, test, lessons) for train, test in folds])
    order = np.argsort(rows, kind="stable")
    held_out = lessons.rows(rows[order])
    baselines = held_out.baselines | {BEST_SINGLE: single[order]}
    return Predictions(scheme, held_out.outcome, probability[order], held_out.group, held_out.period, baselines)


def _single(train: NDArray[np.intp], test: NDArray[np.intp], lessons: Lessons) -> Vector:
    past = lessons.rows(train)
    return best_rate_table(past.design, past.outcome).scores(lessons.design.matrix[test])


def _foretold(estimator: Any, line: Line, matrix: Vector) -> Vector:
    return _on_line(raw_log_odds(estimator, matrix), line)


def _loss(odds: Vector, outcome: NDArray[np.bool_]) -> float:
    return log_loss(outcome, _on_line(odds, _line(odds, outcome)))


def _line(odds: Vector, outcome: NDArray[np.bool_]) -> Line:
    """Return slope and intercept of the log odds that came true on those foretold (Platt 1999).

    Where those foretold to be likelier were not, the slope is 0; where they were without error, the odds stay.
    """
    intercept, slope = calibration_line(outcome, probability_of(odds))
    if np.isnan(slope):
        return (1.0, 0.0) if np.ptp(odds) > 0 else (0.0, _log_odds_of_all(outcome))
    return (slope, intercept) if slope > 0 else (0.0, _log_odds_of_all(outcome))


def _log_odds_of_all(outcome: NDArray[np.bool_]) -> float:
    return float(np.log(outcome.sum() / (~outcome).sum()))


def _on_line(odds: Vector, line: Line) -> Vector:
    return probability_of(line[1] + line[0] * odds)
