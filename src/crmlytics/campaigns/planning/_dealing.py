"""Dealing customers to arms: pure functions on arrays of hashes and codes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Codes = NDArray[np.int64]

ROUNDING = 1e-9


def hashes(values: NDArray[Any], campaign_id: Any, random_state: int) -> NDArray[np.uint64]:
    """Return a number for each value that looks random, and is always the same for it in this campaign."""
    key = hashlib.blake2b(f"{random_state} {campaign_id}".encode(), digest_size=8).hexdigest()
    words = np.array([str(value) for value in values.tolist()], dtype=object)
    return np.asarray(pd.util.hash_array(words, hash_key=key, categorize=False))


def deal(order: NDArray[np.uint64], stratum: NDArray[np.uint64], kept: Codes, shares: Vector) -> Codes:
    """Return the arm of each customer.

    Parameters
    ----------
    order : array, shape (n,)
        Customers of a stratum are dealt from the lowest number up; equal ones as they come.
    stratum : array, shape (n,)
        Equal numbers are a stratum; strata are dealt from the lowest number up.
    kept : int64 array, shape (n,)
        The arm of those who have one, -1 for the others.
    shares : float64 array, shape (arms,)
    """
    _, code = np.unique(stratum, return_inverse=True)
    strata, arms = int(code.max()) + 1, len(shares)
    is_new = kept < 0
    had = np.bincount(code[~is_new] * arms + kept[~is_new], minlength=strata * arms).reshape(strata, arms)
    new = np.bincount(code[is_new], minlength=strata)
    quota = quotas(had, new, shares)
    arm = kept.copy()
    rows = np.flatnonzero(is_new)
    rows = rows[np.lexsort((order[rows], code[rows]))]
    arm[rows] = np.repeat(np.tile(np.arange(arms), strata), quota.ravel())
    return arm


def quotas(had: Codes, new: Codes, shares: Vector) -> Codes:
    """Return how many of the new customers of each stratum go to each arm.

    Parameters
    ----------
    had : int64 array, shape (strata, arms)
        Customers who have an arm.
    new : int64 array, shape (strata,)

    Returns
    -------
    int64 array, shape (strata, arms)
        Each is :func:`wanted` rounded down or up. Who is rounded up is decided by the remainder plus what the arm has
        missed in the strata before: the sums over strata come near their shares too.
    """
    given = np.zeros(had.shape, dtype=np.int64)
    missed = np.zeros(len(shares))
    for i, (counts, count) in enumerate(zip(had, new, strict=True)):
        ideal = wanted(counts, int(count), shares)
        whole = np.floor(ideal + ROUNDING)
        remainder = ideal - whole
        left = int(count - whole.sum())
        may = remainder > ROUNDING
        first = np.argsort(-np.where(may, remainder + missed, -np.inf), kind="stable")[:left]
        whole[first] += 1
        missed += ideal - whole
        given[i] = whole
    return given


def wanted(had: Codes, count: int, shares: Vector) -> Vector:
    """Return the new customers of each arm, not whole, that bring a stratum nearest to the shares.

    Where nobody has too many already this is ``share * total - had``. Else the others get less by the same number each
    (least squares: pour ``count`` into the deepest holes up to one level).
    """
    deficit = shares * (had.sum() + count) - had
    deepest = np.sort(deficit)[::-1]
    levels = (np.cumsum(deepest) - count) / np.arange(1, len(deepest) + 1)
    level = levels[deepest > levels][-1] if count else deepest[0]
    poured: Vector = np.maximum(0.0, deficit - level)
    return poured
