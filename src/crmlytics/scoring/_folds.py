"""Who is held out: customers dealt out at random, and later periods foretold from earlier ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Fold = tuple[NDArray[np.intp], NDArray[np.intp]]

MOST_PERIODS = 60  # with more different moments, as of leads, time is cut into blocks
FEWEST_ROWS = 20  # of a period, on average: with fewer it is cut into blocks too
BLOCKS = 6
TIME_FOLDS = 3
MANY_OUTCOMES = 2_000
FEWEST_LEARNT, FEWEST_JUDGED = 20, 30  # of either outcome, before each later period and in these together


def deal_customers(
    group: NDArray[np.int64], outcome: NDArray[np.bool_], folds: int, random_state: int
) -> NDArray[np.int64]:
    """Return the fold of each row: customers with a positive outcome and others dealt evenly, their rows kept together.

    Parameters
    ----------
    group : int64 array
        The customer of a row, as a code from 0.
    outcome : bool array
    folds, random_state : int
    """
    rng = np.random.default_rng(random_state)
    positive = np.unique(group[outcome])
    fold = np.empty(int(group.max()) + 1, np.int64)
    for customers in (positive, np.setdiff1d(group, positive)):
        fold[rng.permutation(customers)] = np.arange(len(customers)) % folds
    return fold[group]


def enough_of(outcome: NDArray[np.bool_], most: int) -> float:
    """Return the share of the rows that it takes: about ``most`` rows, and a good many of the rarer outcome."""
    positive = int(outcome.sum())
    return max(most / len(outcome), MANY_OUTCOMES / max(min(positive, len(outcome) - positive), 1))


def random_folds(fold: NDArray[np.int64]) -> list[Fold]:
    """Return the rows to learn from and the rows held out, a pair a fold."""
    return [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(int(fold.max()) + 1)]


def time_folds(period: NDArray[Any], outcome: NDArray[np.bool_], *, purge: Any) -> list[Fold]:
    """Return the last few splits that foretell a period from rows whose labels were known when it began.

    None where later periods hold fewer than 30 rows of either outcome: random folds then tell more. A period counts if
    it has both outcomes, and at least 20 rows of either to learn from.

    Parameters
    ----------
    period : array of moments or whole numbers, shape (rows,)
    outcome : bool array, shape (rows,)
    purge : timedelta64 or int
        How long before the period tested rows to learn from must lie at least: gap + horizon.
    """
    starts, block = blocks_of(period)
    folds = []
    for number in range(len(starts) - 1, 0, -1):
        train, test = np.flatnonzero(period <= starts[number] - purge), np.flatnonzero(block == number)
        train = train[block[train] < number]
        if _rarer(outcome[train]) >= FEWEST_LEARNT and _rarer(outcome[test]):
            folds.append((train, test))
        if len(folds) == TIME_FOLDS:
            break
    judged = [outcome[test] for _, test in folds]
    return folds[::-1] if judged and _rarer(np.concatenate(judged)) >= FEWEST_JUDGED else []


def blocks_of(period: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return when each period begins, rising, and which of them each row belongs to.

    More than 60 different moments, as leads have, or moments with fewer than 20 rows each, are cut into blocks of about
    as many rows: six, or fewer where these would have less than 20.
    """
    starts, block = np.unique(period, return_inverse=True)
    most = max(len(period) // FEWEST_ROWS, 1)
    if len(starts) > min(most, MOST_PERIODS):
        blocks = min(most, BLOCKS)
        ordered = np.sort(period)
        starts = np.unique(ordered[np.arange(blocks) * len(ordered) // blocks])
        block = np.searchsorted(starts, period, side="right") - 1
    return starts, block


# -- inside --------------------------------------------------------------------------------------------------------


def _rarer(outcome: NDArray[np.bool_]) -> int:
    positive = int(outcome.sum())
    return min(positive, len(outcome) - positive)
