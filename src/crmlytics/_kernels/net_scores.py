"""The interval of a net score: the share of promoters less that of detractors among the same answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

HALVINGS = 60


def net_score_interval(
    promoters: NDArray[Any], detractors: NDArray[Any], total: NDArray[Any], confidence: float
) -> tuple[Floats, Floats]:
    """Return the score interval of ``(promoters - detractors) / total``, within [-1, 1]; missing where total is 0.

    A net score is a difference of two shares of one multinomial, as in matched pairs, so the interval is that of
    T. Tango (1998), "Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design", Statistics in Medicine 17: all ``d`` with ``|b - c - n d| <= z sqrt(n (2 q + d (1 - d)))``, where ``q`` is
    the likeliest share of detractors if the difference is ``d``. Unlike the one of Wald it is not empty when all agree.
    """
    from scipy import special

    z = -special.ndtri((1 - confidence) / 2)
    up, down, answers = np.broadcast_arrays(
        *(np.asarray(count, np.float64) for count in (promoters, detractors, total))
    )
    answers = np.where(answers > 0, answers, np.nan)
    low, high = (_solved(up, down, answers, bound) for bound in (z, -z))
    empty = np.isnan(answers)
    low, high = np.where(up - down == -answers, -1.0, low), np.where(up - down == answers, 1.0, high)
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)


def _solved(up: Floats, down: Floats, total: Floats, bound: float) -> Floats:
    """Find the difference at which the statistic, which falls with it, is ``bound``, by halving [-1, 1]."""
    left, right = np.full(total.shape, -1.0), np.full(total.shape, 1.0)
    for _ in range(HALVINGS):
        middle = (left + right) / 2
        above = _statistic(up, down, total, middle) > bound
        left, right = np.where(above, middle, left), np.where(above, right, middle)
    found: Floats = (left + right) / 2
    return found


def _statistic(up: Floats, down: Floats, total: Floats, difference: Floats) -> Floats:
    b = (2 * total - up + down) * difference - up - down
    c = -down * difference * (1 - difference)
    share = np.maximum((np.sqrt(np.maximum(b * b - 8 * total * c, 0.0)) - b) / (4 * total), 0.0)
    variance = total * np.maximum(2 * share + difference * (1 - difference), 1e-300)
    statistic: Floats = (up - down - total * difference) / np.sqrt(variance)
    return statistic
