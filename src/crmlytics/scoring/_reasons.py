"""Why a row has its score: what each feature adds to the log odds, as a table of all and as the weightiest in words.

A contribution says what the model made of a value, not what would happen if the value were changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics.scoring._encoding import MISSING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from crmlytics._kernels.tree_shap import Leaves
    from crmlytics.scoring._encoding import Design

    Floats = NDArray[np.float64]

BACKGROUND_ROWS = 50  # measured on 20 features: errors of .01 to .03 of the log odds, one in twenty above .1
SAME = 1e-9  # of the log odds
RAISES, LOWERS = "raises", "lowers"
REASON_SCHEMA = nw.Schema(
    {
        "rank": nw.Int64(), "feature": nw.String(), "value": nw.String(), "contribution": nw.Float64(),
        "odds_factor": nw.Float64(), "direction": nw.String(), "reason": nw.String(),
    }
)  # fmt: skip


class Explained(NamedTuple):
    """Scores taken apart.

    Attributes
    ----------
    base : float
        The log odds of nobody in particular: the mean of the linear model over its training rows, of trees that know
        no feature, or of a sample of training rows for any other classifier.
    contributions : float64 array, shape (rows, features)
        What each feature adds to them; with ``base`` they sum to the log odds of the row. Of no rows, ``base`` is NaN.
    """

    base: float
    contributions: Floats


def explain(fitted: Any, design: Design) -> Explained:
    """Take the calibrated log odds of the rows of ``design`` apart: exactly for the models of this library.

    Parameters
    ----------
    fitted : Fitted
        ``estimator``, ``slope`` and ``intercept`` (log odds = intercept + slope times the estimator's), and
        ``background`` (float64, a sample of training rows as :func:`background_of` draws it, encoded).
    design : Design

    Returns
    -------
    Explained
        Spline logistic regression: by its own terms. Histogram gradient boosting: Shapley values, exact, by the
        counts of the trees. Any other classifier: Shapley values estimated against the background; their sum is exact,
        each has an error, and a row takes a hundred scores a feature: explain those you will look at.
    """
    if not len(design.matrix):
        return Explained(float("nan"), np.empty(design.matrix.shape))
    base, contributions = _raw(fitted.estimator, design.matrix, fitted.background)
    return Explained(float(fitted.intercept + fitted.slope * base), fitted.slope * contributions)


def background_of(matrix: Floats, *, random_state: int = 0) -> Floats:
    """Draw the training rows that a classifier of the caller's is explained against."""
    if len(matrix) <= BACKGROUND_ROWS:
        return matrix.copy()
    drawn = np.random.default_rng(random_state).choice(len(matrix), BACKGROUND_ROWS, replace=False)
    return matrix[np.sort(drawn)]


def contribution_columns(keys: Mapping[str, Any], design: Design, explained: Explained) -> dict[str, Any]:
    """Return the keys, ``base``, one column a feature and ``log_odds``, their sum: one row per row of the design."""
    columns = {**keys, "base": np.full(len(design.matrix), explained.base)}
    columns |= {name: explained.contributions[:, number] for number, name in enumerate(design.names)}
    return columns | {"log_odds": explained.base + explained.contributions.sum(axis=1)}


def contribution_schema(names: Sequence[str]) -> nw.Schema:
    """Return the dtypes of :func:`contribution_columns`, without the keys."""
    return nw.Schema(dict.fromkeys(["base", *names, "log_odds"], nw.Float64()))


def reason_columns(keys: Mapping[str, Any], design: Design, explained: Explained, *, n: int = 3) -> dict[str, Any]:
    """Return the ``n`` weightiest features of each row: its keys, then the columns of ``REASON_SCHEMA``.

    ``rank`` is 1 for the largest contribution, up or down; ``value`` is the row's own, in words; ``contribution`` is in
    log odds; ``odds_factor`` is its exponential, what the odds are multiplied by; ``direction`` is ``"raises"`` or
    ``"lowers"``; ``reason`` says all of it in words. Features that contribute nothing are no reason: a row may have
    fewer than ``n``.
    """
    size = np.abs(explained.contributions)
    first = np.argsort(-size, axis=1, kind="stable")[:, :n]
    row, place = np.nonzero(np.take_along_axis(size, first, axis=1) > 0)
    feature = first[row, place]
    contribution = explained.contributions[row, feature]
    words = [design.features[at].in_words(x) for at, x in zip(feature, design.matrix[row, feature], strict=True)]
    names = np.array([*design.names, None], object)[feature]
    factor = np.exp(contribution)
    reasons = [reason_in_words(*parts) for parts in zip(names, words, factor, strict=True)]
    return {name: np.asarray(values)[row] for name, values in keys.items()} | {
        "rank": (place + 1).astype(np.int64),
        "feature": names,
        "value": np.array(words, object),
        "contribution": contribution,
        "odds_factor": factor,
        "direction": np.where(contribution > 0, RAISES, LOWERS).astype(object),
        "reason": np.array(reasons, object),
    }


def reason_in_words(name: str, value: str, factor: float) -> str:
    """Say a reason in one line.

    >>> reason_in_words("recency_days", "210", 3.4613)
    'recency_days = 210 (odds x 3.46)'
    >>> reason_in_words("ticket_count", "missing", 0.0071)
    'ticket_count is missing (odds x 0.0071)'
    """
    known = f"{name} is missing" if value == MISSING else f"{name} = {value}"
    return f"{known} (odds x {factor:.3g})"


# -- inside --------------------------------------------------------------------------------------------------------


def _raw(estimator: Any, matrix: Floats, background: Floats) -> tuple[float, Floats]:
    """Return base and contributions of the log odds before calibration."""
    if hasattr(estimator, "contributions"):
        base, contributions = estimator.contributions(matrix)
        return float(base), contributions
    return _of_trees(estimator, matrix) or _sampled(estimator, matrix, background)


def _of_trees(estimator: Any, matrix: Floats) -> tuple[float, Floats] | None:
    """Return the exact values of scikit-learn's histogram trees; None for others, and where they do not add up.

    How scikit-learn keeps its trees is its own affair and may change: what does not sum to the score is not believed.
    """
    from crmlytics._kernels.tree_shap import base_of, tree_contributions

    try:
        leaves, offset, prepare, columns = _read(estimator)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None
    contributions = np.empty_like(matrix)
    contributions[:, columns] = tree_contributions(leaves, prepare(matrix))
    base = base_of(leaves) + offset
    agrees = np.allclose(base + contributions.sum(axis=1), estimator.decision_function(matrix), rtol=SAME, atol=SAME)
    return (base, contributions) if agrees else None


def _read(model: Any) -> tuple[Leaves, float, Any, NDArray[np.int64]]:
    """Return leaves, offset, the function from our matrix to the one the trees know, and which columns that has."""
    from crmlytics._kernels.tree_shap import counts_add_up, joined_trees, leaves_of

    trees = [only for (only,) in model._predictors]  # noqa: SLF001  one tree a round: two classes
    joined = joined_trees([tree.nodes for tree in trees], [tree.raw_left_cat_bitsets for tree in trees])
    if not counts_add_up(joined):
        msg = "the counts of the trees are not what they were"
        raise ValueError(msg)
    columns = np.arange(model.n_features_in_)
    if model.is_categorical_ is not None:  # scikit-learn puts these first
        columns = np.argsort(~model.is_categorical_, kind="stable")
    return leaves_of(joined), model._baseline_prediction.item(), _preparation(model), columns  # noqa: SLF001


def _preparation(model: Any) -> Any:
    return lambda matrix: model._preprocess_X(matrix, reset=False)  # noqa: SLF001


def _sampled(estimator: Any, matrix: Floats, background: Floats) -> tuple[float, Floats]:
    from crmlytics._kernels.shapley_sampling import sampled_contributions
    from crmlytics.scoring._candidates import raw_log_odds

    found = sampled_contributions(lambda rows: raw_log_odds(estimator, rows), matrix, background)
    return found.base, found.contributions
