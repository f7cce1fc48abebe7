"""One thing by another, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def over(numerator: ArrayLike, denominator: ArrayLike) -> NDArray[np.float64]:
    """Divide; missing where there is nothing above zero to divide by: a share of nothing says nothing.

    >>> over([1.0, 2.0], [4.0, 0.0])
    array([0.25,  nan])
    """
    below = np.asarray(denominator, np.float64)
    return np.asarray(numerator, np.float64) / np.where(below > 0, below, np.nan)
