"""Who is held out: customers dealt out at random, and later periods foretold from earlier ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Fold = tuple[NDArray[np.intp], NDArray[np.intp]]

FEW_PERIODS = 60  # with more different moments, as of leads, time is cut into blocks
BLOCKS = 6
TIME_FOLDS = 3
MANY_OUTCOMES = 2_000
FEWEST_OUTCOMES = 10  # of either kind, to learn from and to be judged by


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
        if _tells(outcome[train]) and _tells(outcome[test]):
            folds.append((train, test))
        if len(folds) == TIME_FOLDS:
            break
    return folds[::-1]


def blocks_of(period: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return when each period begins, rising, and which of them each row belongs to.

    More than 60 different moments, as leads have, are cut into six blocks of about as many rows.
    """
    starts, block = np.unique(period, return_inverse=True)
    if len(starts) > FEW_PERIODS:
        ordered = np.sort(period)
        starts = np.unique(ordered[np.arange(BLOCKS) * len(ordered) // BLOCKS])
        block = np.searchsorted(starts, period, side="right") - 1
    return starts, block


# -- inside --------------------------------------------------------------------------------------------------------


def _tells(outcome: NDArray[np.bool_]) -> bool:
    positive = int(outcome.sum())
    return min(positive, len(outcome) - positive) >= FEWEST_OUTCOMES
