"""What the contacted had in common beforehand, and who of the others was like them: twins, weights, expectations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._validation import check_amount, check_count, did_you_mean
from crmlytics.campaigns._experiment import check_columns
from crmlytics.campaigns.outcomes import AMOUNTS, COUNTS
from crmlytics.campaigns.uplift._trial import AFTER_CONTACT
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics._kernels.matching import Twins
    from crmlytics.campaigns._experiment import Experiment
    from crmlytics.scoring._encoding import Design

    Vector = NDArray[np.float64]
    Places = NDArray[np.int64]

FOLDS = 5
LEAST = 2 * FOLDS  # customers of a group: two a fold


@dataclass(frozen=True, slots=True)
class Plan:
    """How to look for twins: the features, the caliper in standard deviations of the log odds, and the seed."""

    features: tuple[str, ...]
    caliper: float
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """One arm beside the customers it is compared with.

    Attributes
    ----------
    treated, other : int64 arrays
        Rows of the table; of the treated only those with a twin.
    treated_count : int
        The treated, with twins or without.
    twins : Twins
        Of all treated.
    other_score : float64 array, shape (others,)
        Log odds of being treated.
    twin_weight : float64 array, shape (others,)
        How much each other customer counts as a twin.
    odds_weight : float64 array, shape (treated + others,)
        How much each counts by the odds of being treated, from a model that had not seen the customer; 0 if treated.
    expected : float64 array, shape (treated + others, outcomes)
        Expected if not contacted, by a model that had not seen the customer.
    """

    treated: Places
    other: Places
    treated_count: int
    twins: Twins
    other_score: Vector
    twin_weight: Vector
    odds_weight: Vector
    expected: Vector


def read_plan(
    experiment: Experiment,
    features: Sequence[str] | None,
    metrics: Sequence[str],
    *,
    caliper: float,
    random_state: int,
    caller: str,
) -> Plan:
    """Check the options; without names the features are all columns of before the contact."""
    columns = list(map(str, experiment.table.columns))
    apart = {*experiment.key, "arm", *AFTER_CONTACT, *metrics}
    if isinstance(features, str):
        raise SchemaError(f"{caller}: features must be a list of columns, such as features=[{features!r}].")
    names = [name for name in columns if name not in apart] if features is None else list(features)
    for name in names:
        if name not in columns:
            msg = f"{caller}: features names {name!r}, no such column.{did_you_mean(name, columns)} Columns: {columns}"
            raise MissingColumnsError(msg)
        if name in apart:
            raise SchemaError(f"{caller}: features names {name!r}, which is an id, the arm or known only afterwards.")
    if not names:
        msg = (
            f"{caller}: no column says what customers were like before the contact. Add such columns: the pre_period "
            "and customers= of outcome_table do."
        )
        raise SchemaError(msg)
    seed = check_count(random_state, name="random_state", caller=caller, least=0)
    return Plan(tuple(names), check_amount(caliper, name="caliper", caller=caller, positive=True), seed)


def read_metrics(experiment: Experiment, metrics: Sequence[str] | None, *, caller: str) -> dict[str, Vector]:
    """Return outcomes, flags as 0 and 1."""
    known = ["converted", *COUNTS, *AMOUNTS]
    if isinstance(metrics, str):
        raise SchemaError(f"{caller}: metrics must be a list of columns, such as metrics=[{metrics!r}].")
    names = [name for name in known if name in experiment.table] if metrics is None else list(metrics)
    if not names:
        columns = list(map(str, experiment.table.columns))
        raise MissingColumnsError(f"{caller} needs an outcome, one of {known} or metrics=[...]. Columns: {columns}")
    check_columns(experiment.table.columns, names, caller=caller)
    return {name: experiment.numbers(name, caller=caller) for name in names}


def design_of(experiment: Experiment, plan: Plan, *, caller: str) -> Design:
    """Encode the features of all rows."""
    from crmlytics.scoring._encoding import learn_encoder

    table = experiment.table
    return learn_encoder(table, plan.features, caller=caller).design(table, caller=caller)


def find_likeness(design: Design, outcomes: Vector, treated: Places, other: Places, plan: Plan) -> Likeness | None:
    """Match one arm; None where nobody has a twin.

    Parameters
    ----------
    outcomes : float64 array, shape (rows of the design, outcomes)
    """
    from crmlytics._kernels.matching import find_twins, odds_weights

    both = np.concatenate([treated, other])
    is_treated = np.arange(len(both)) < len(treated)
    matrix = design.matrix[both]
    levels = [len(feature.levels or ()) for feature in design.features]
    score = _model(matrix, is_treated, levels).decision_function(matrix)
    twins = find_twins(score[is_treated], score[~is_treated], plan.caliper * _spread(score, is_treated))
    if not twins.matched.any():
        return None
    probability, expected = _crossed(matrix, is_treated, outcomes[both], levels, plan.seed)
    kept = np.concatenate([twins.matched, np.ones(len(other), bool)])
    return Likeness(
        treated=treated[twins.matched],
        other=other,
        treated_count=len(treated),
        twins=twins,
        other_score=score[~is_treated],
        twin_weight=twins.weights(),
        odds_weight=odds_weights(probability[kept], is_treated[kept]),
        expected=expected[kept],
    )


def _spread(score: Vector, is_treated: NDArray[np.bool_]) -> float:
    """Return the standard deviation of the log odds, the mean of both groups' variances."""
    return float(np.sqrt((score[is_treated].var(ddof=1) + score[~is_treated].var(ddof=1)) / 2))


def _model(matrix: Vector, is_treated: NDArray[np.bool_], levels: list[int]) -> Any:
    from crmlytics.scoring._spline_logistic import SplineLogistic

    return SplineLogistic(levels=levels).fit(matrix, is_treated)


def _crossed(
    matrix: Vector, is_treated: NDArray[np.bool_], outcomes: Vector, levels: list[int], seed: int
) -> tuple[Vector, Vector]:
    """Return the probability of being treated and the outcomes expected untreated, each learnt without the customer."""
    from crmlytics._kernels.matching import ridge_predictions

    fold = _folds(is_treated, seed)
    probability, expected = np.empty(len(matrix)), np.empty(outcomes.shape)
    for number in range(FOLDS):
        held = fold == number
        model = _model(matrix[~held], is_treated[~held], levels)
        probability[held] = model.predict_proba(matrix[held])[:, 1]
        learnt = ~held & ~is_treated
        expected[held] = ridge_predictions(_basis(model, matrix[learnt]), outcomes[learnt], _basis(model, matrix[held]))
    return probability, expected


def _basis(model: Any, matrix: Vector) -> Vector:
    """Return the curves of the model of the contact as columns: outcomes are learnt on the same ones."""
    return np.hstack([curve.columns(matrix[:, number]) for number, curve in enumerate(model.curves_)])


def _folds(is_treated: NDArray[np.bool_], seed: int) -> Places:
    """Deal both groups out to folds of equal size."""
    fold = np.empty(len(is_treated), np.int64)
    random = np.random.default_rng(seed)
    for group in (is_treated, ~is_treated):
        fold[group] = random.permutation(np.arange(group.sum()) % FOLDS)
    return fold
