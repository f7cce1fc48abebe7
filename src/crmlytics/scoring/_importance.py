"""What a model's quality hangs on: how much worse it judges held-out rows when a feature is shuffled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NORMAL_95 = 1.959963984540054
LOSS, AUC = 0, 1
IMPORTANCE_SCHEMA = nw.Schema(
    {"feature": nw.String()}
    | {
        name: nw.Float64()
        for name in (
            "log_loss_increase", "log_loss_increase_low", "log_loss_increase_high",
            "auc_drop", "auc_drop_low", "auc_drop_high", "mean_abs_contribution",
        )
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Rows that a model had not seen when it was fitted, with that model.

    Attributes
    ----------
    predict : function from a matrix to float64 array, shape (rows,)
        The probabilities of the model that was fitted without these rows.
    matrix : float64 array, shape (rows, features)
    outcome : bool array, shape (rows,)
    group : int64 array, shape (rows,)
        The customer of a row, as a code: the rows of one are not independent.
    """

    predict: Callable[[Floats], Floats]
    matrix: Floats
    outcome: NDArray[np.bool_]
    group: NDArray[np.int64]


def importance_columns(
    names: Sequence[str],
    folds: Sequence[HeldOut],
    contributions: Floats,
    *,
    repeats: int = 5,
    random_state: int = 0,
    in_threads: bool = True,
) -> dict[str, Any]:
    """Return how much each feature matters: one row a feature, the most important first.

    A feature is shuffled among the rows of a fold, ``repeats`` times, and the model of that fold asked again
    (L. Breiman, "Random forests", Machine Learning 45, 2001). ``log_loss_increase`` and ``auc_drop`` are means over
    rows and repeats, each with the bounds of its 95% interval (``_low``, ``_high``), over customers and shuffles: an
    interval that holds 0 says that the model does no worse without knowing the feature. The AUC is that within folds,
    and its error sums the placements of each customer's rows (N. A. Obuchowski, Biometrics 53, 1997). Both are
    missing where no fold has both outcomes. ``mean_abs_contribution`` is the mean size of the feature's contribution
    to the log odds, from ``contributions`` (rows, features). With ``in_threads``, several threads ask the models.

    Features that say the same stand in for each other: shuffling one of them costs little, and all of them may look
    unimportant. Contributions divide what they say among them, so the last column shows it.
    """
    folds = [fold for fold in folds if fold.outcome.any() and not fold.outcome.all()]
    figures = np.full((len(names), 2, 3), np.nan)
    if folds:
        whole = [_placed(fold, fold.predict(fold.matrix)) for fold in folds]
        shuffled = partial(_cost_of_shuffling, folds, whole, repeats=repeats, seed=random_state)
        costs = (
            _in_threads(shuffled, len(names)) if in_threads else [shuffled(feature) for feature in range(len(names))]
        )
        figures = np.array(costs)
    size = np.abs(contributions).mean(axis=0)
    weight = np.where(np.isnan(figures[:, LOSS, 0]), size, figures[:, LOSS, 0])
    order = np.argsort(-weight, kind="stable")
    columns: dict[str, Any] = {"feature": np.array(names, object)[order]}
    for measure, name in ((LOSS, "log_loss_increase"), (AUC, "auc_drop")):
        for which, bound in enumerate(("", "_low", "_high")):
            columns[name + bound] = figures[order, measure, which]
    return columns | {"mean_abs_contribution": size[order]}


# -- inside --------------------------------------------------------------------------------------------------------


def _in_threads(task: Callable[[int], Floats], features: int) -> list[Floats]:
    """Do a task for each feature, one a thread, which OpenMP and BLAS leave alone."""
    from threadpoolctl import threadpool_limits

    from crmlytics._kernels.working import in_parts

    def one(feature: int) -> Floats:
        with threadpool_limits(1, user_api="openmp"):
            return task(feature)

    with threadpool_limits(1, user_api="blas"):  # of the process: set once, around the threads
        return in_parts(one, range(features), label="Importance")


def _cost_of_shuffling(
    folds: Sequence[HeldOut], whole: Sequence[Floats], feature: int, *, repeats: int, seed: int
) -> Floats:
    """Return value, low and high of what a model loses with a feature, in log loss and in AUC."""
    rng = np.random.default_rng([seed, feature])
    costs = []  # one array (rows of all folds, 2) a repeat
    for _ in range(repeats):
        parts = []
        for fold, known in zip(folds, whole, strict=True):
            shuffled = fold.matrix.copy()
            shuffled[:, feature] = rng.permutation(shuffled[:, feature])
            parts.append((_placed(fold, fold.predict(shuffled)) - known) * [1, -1])
        costs.append(np.concatenate(parts))
    by_repeat = np.array([cost.mean(axis=0) for cost in costs])
    value = by_repeat.mean(axis=0)
    error = np.hypot(_customer_error(np.mean(costs, axis=0), folds), _mean_error(by_repeat))
    return np.column_stack([value, value - NORMAL_95 * error, value + NORMAL_95 * error])


def _placed(fold: HeldOut, probability: Floats) -> Floats:
    """Return each row's log loss and its part in the AUC of the fold, the mean of which it is: shape (rows, 2).

    To first order in the customers drawn, that part is the AUC and what the row's placement is away from it: the share
    of the other outcome that is on the right side of the row, ties counted half.
    """
    from crmlytics._kernels.classification import log_losses

    y, rows = fold.outcome, len(fold.outcome)
    placement = np.empty(rows)
    for mine in (True, False):
        other = np.sort(probability[y != mine])
        here = probability[y == mine]
        below = (np.searchsorted(other, here, "left") + np.searchsorted(other, here, "right")) / (2 * len(other))
        placement[y == mine] = below if mine else 1 - below
    area = placement[y].mean()
    share = np.where(y, y.mean(), 1 - y.mean())
    return np.column_stack([log_losses(y, probability), area + (placement - area) / share])


def _customer_error(costs: Floats, folds: Sequence[HeldOut]) -> Floats:
    """Return the standard error of the mean over rows when customers are what is drawn."""
    _, customer = np.unique(np.concatenate([fold.group for fold in folds]), return_inverse=True)
    away = costs - costs.mean(axis=0)
    sums = np.column_stack([np.bincount(customer, column) for column in away.T])
    correction = len(sums) / max(len(sums) - 1, 1)
    error: Floats = np.sqrt(correction * (sums**2).sum(axis=0)) / len(costs)
    return error


def _mean_error(values: Floats) -> Floats:
    """Return the standard error of the mean over the repeats."""
    if len(values) < 2:
        return np.zeros(values.shape[1])
    error: Floats = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return error
