"""Whether shares differ, and by how much, as functions on arrays of counts; 0 of 0 is missing everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._kernels.proportions import wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[Any]
    Floats = NDArray[np.float64]


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
    """Return the p-value of Pearson's chi-squared test that several shares are equal; missing for fewer than two."""
    from scipy import special

    count, total = count[total > 0], total[total > 0]
    if len(total) < 2:
        return float("nan")
    pooled = count.sum() / total.sum()
    if pooled in {0.0, 1.0}:
        return 1.0
    square = ((count - total * pooled) ** 2 / (total * pooled * (1 - pooled))).sum()
    return float(special.chdtrc(len(total) - 1, square))
