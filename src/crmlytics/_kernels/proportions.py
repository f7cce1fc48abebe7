"""Shares of counts and how sure they are, as functions on arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def wilson(
    count: NDArray[Any], total: NDArray[Any], confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the interval of each share ``count / total`` at this confidence; missing where there is none to share.

    E. B. Wilson (1927), "Probable inference, the law of succession, and statistical inference", Journal of the American
    Statistical Association 22: ``(p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)``.
    """
    from scipy import special

    z = -special.ndtri((1 - confidence) / 2)
    n = np.where(np.asarray(total) > 0, np.asarray(total, np.float64), np.nan)
    p = np.asarray(count, np.float64) / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    reach = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return np.where(p == 0, 0.0, middle - reach), np.where(p == 1, 1.0, middle + reach)
