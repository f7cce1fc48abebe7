"""Whether shares differ, and by how much, as functions on arrays of counts; 0 of 0 is missing everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._kernels.proportions import wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[Any]
    Floats = NDArray[np.float64]

LEAST_EXPECTED = 5  # of those who count, and of those who do not: below it the normal distribution is not theirs


def share(count: Counts, total: Counts) -> Floats:
    """Divide counts by totals."""
    count, total = np.broadcast_arrays(count, total)
    shares: Floats = np.divide(count, total, out=np.full(total.shape, np.nan), where=total > 0)
    return shares


def difference_interval(
    count: Counts, total: Counts, other_count: Counts, other_total: Counts, alpha: float
) -> tuple[Floats, Floats]:
    """Return the interval of a difference of two shares, built from Wilson's intervals of both: never beyond [-1, 1].

    Method 10 of R. G. Newcombe (1998), "Interval estimation for the difference between independent proportions:
    comparison of eleven methods", Statistics in Medicine 17.
    """
    p, q = share(count, total), share(other_count, other_total)
    p_low, p_high = wilson(count, total, 1 - alpha)
    q_low, q_high = wilson(other_count, other_total, 1 - alpha)
    lower = p - q - np.sqrt((p - p_low) ** 2 + (q_high - q) ** 2)
    return lower, p - q + np.sqrt((p_high - p) ** 2 + (q - q_low) ** 2)


def difference_p_value(count: Counts, total: Counts, other_count: Counts, other_total: Counts) -> Floats:
    """Return the two-sided p-value of the test that two shares are equal: the score test, or Fisher's where few count.

    Fewer than 5 expected in a cell are few. Missing where a share is one of nobody.
    """
    compared = (count, total, other_count, other_total)
    p_value = score_p_value(*compared)
    few = np.flatnonzero(~np.isnan(p_value) & ~_is_enough(*compared))
    p_value[few] = exact_p_value(*(np.asarray(numbers)[few] for numbers in compared))
    return p_value


def exact_p_value(count: Counts, total: Counts, other_count: Counts, other_total: Counts) -> Floats:
    """Return the two-sided p-value of Fisher's exact test that two shares are equal: twice the smaller tail."""
    from crmlytics._kernels.hypergeometric import lower_tail, upper_tail

    table = (total + other_total, count + other_count, total, count)
    p_value: Floats = np.minimum(1.0, 2 * np.minimum(upper_tail(*table), lower_tail(*table)))
    return p_value


def _is_enough(count: Counts, total: Counts, other_count: Counts, other_total: Counts) -> NDArray[np.bool_]:
    """Whether at least 5 are expected in each of the four cells: decided on whole numbers."""
    both, fewest = total + other_total, np.minimum(total, other_total)
    counted = count + other_count
    enough: NDArray[np.bool_] = np.minimum(counted, both - counted) * fewest >= LEAST_EXPECTED * both
    return enough


def score_p_value(count: Counts, total: Counts, other_count: Counts, other_total: Counts) -> Floats:
    """Return the two-sided p-value of the score test that two shares are equal, the one with the pooled share.

    ``z = (p - q) / sqrt(s (1 - s) (1 / m + 1 / n))``, s the share of both together; its square is Pearson's
    chi-squared. 1 where nobody or everybody counts.
    """
    from scipy import special

    pooled = share(count + other_count, total + other_total)
    variance = pooled * (1 - pooled) * (share(np.ones(1), total) + share(np.ones(1), other_total))
    difference = share(count, total) - share(other_count, other_total)
    z = np.divide(difference, np.sqrt(variance), out=np.zeros(difference.shape), where=variance > 0)
    return np.where(np.isnan(difference), np.nan, 2 * special.ndtr(-np.abs(z)))


def equal_shares_p_value(count: Counts, total: Counts) -> float:
    """Return the p-value of Pearson's chi-squared test that several shares are equal.

    Two are tested as :func:`difference_p_value` tests them. Missing where a share is one of nobody, or fewer than 5
    are expected in a cell.
    """
    from scipy import special

    if len(total) == 2:
        return float(difference_p_value(count[:1], total[:1], count[1:], total[1:])[0])
    counted, everybody = int(count.sum()), int(total.sum())
    if not total.min() or total.min() * min(counted, everybody - counted) < LEAST_EXPECTED * everybody:
        return float("nan")
    pooled = counted / everybody
    square = ((count - total * pooled) ** 2 / (total * pooled * (1 - pooled))).sum()
    return float(special.chdtrc(len(total) - 1, square))
