"""Why any model says what it says: Shapley values estimated by walking from other rows to the row explained.

A walk begins at a row of the background, gives it the features of the row explained one after the other, in a random
order, and notes what each step does to the score (Castro, Gomez and Tejada 2009). Each order is walked forwards and
backwards, which halves the work for the same error and leaves none where features act at most in pairs (Mitchell,
Cooper, Frank and Holmes, "Sampling permutations for Shapley value estimation", JMLR 23, 2022).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ROWS_AT_ONCE = 20_000


class Sampled(NamedTuple):
    """Contributions estimated.

    Attributes
    ----------
    base : float
        The mean score of the background.
    contributions : float64 array, shape (rows, features)
        Those of a row and ``base`` add up to its score, whatever their error.
    standard_errors : float64 array, shape (rows, features)
        Of the orders and of the background together; NaN for a background of one row.
    """

    base: float
    contributions: Floats
    standard_errors: Floats


def sampled_contributions(
    score: Callable[[Floats], Floats], matrix: Floats, background: Floats, *, random_state: int = 0
) -> Sampled:
    """Estimate how much each feature moves the score of each row away from the mean of the background.

    Every row of the background is the beginning of two walks, so the model is asked for twice as many scores of a row
    as the background has rows times features. All rows are walked in the same orders: what is said of one does not
    depend on which others are there. The model is asked from one thread: not every classifier stands several.
    """
    rng = np.random.default_rng(random_state)
    orders = [rng.permutation(matrix.shape[1]) for _ in background]
    begins = score(background)
    parts = [
        _walks(score, matrix[first : first + ROWS_AT_ONCE], background, begins, orders)
        for first in range(0, len(matrix), ROWS_AT_ONCE)
    ]
    empty = np.empty((0, matrix.shape[1]))
    contributions, errors = (np.concatenate([empty, *(part[which] for part in parts)]) for which in (0, 1))
    return Sampled(float(begins.mean()), contributions, errors)


def _walks(
    score: Callable[[Floats], Floats],
    matrix: Floats,
    background: Floats,
    begins: Floats,
    orders: list[NDArray[np.int64]],
) -> tuple[Floats, Floats]:
    """Return means and standard errors over the pairs of walks."""
    ends, mean, squares = score(matrix), np.zeros(matrix.shape), np.zeros(matrix.shape)
    for number, order in enumerate(orders):
        pair = np.zeros(matrix.shape)
        for way in (order, order[::-1]):
            _walk(score, matrix, background[number], way, scores=(begins[number], ends), steps=pair)
        difference = pair / 2 - mean
        mean += difference / (number + 1)
        squares += difference * (pair / 2 - mean)
    count = len(orders)
    return mean, np.sqrt(squares / (count * (count - 1))) if count > 1 else np.full(matrix.shape, np.nan)


def _walk(
    score: Callable[[Floats], Floats],
    matrix: Floats,
    begin: Floats,
    order: NDArray[np.int64],
    *,
    scores: tuple[float, Floats],
    steps: Floats,
) -> None:
    """Add to ``steps`` what each feature changed, in the order given; the scores at both ends are known."""
    here, before = np.tile(begin, (len(matrix), 1)), np.full(len(matrix), scores[0])
    for at, feature in enumerate(order):
        here[:, feature] = matrix[:, feature]
        after = scores[1] if at + 1 == len(order) else score(here)
        steps[:, feature] += after - before
        before = after
