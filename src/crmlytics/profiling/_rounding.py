"""Numbers of which some counts must not be told: rounded so far that a few customers more or less are not seen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.group_differences import NumberSummary

    Flags = NDArray[np.bool_]
    Floats = NDArray[np.float64]

STEPS = np.array([1.0, 2.0, 5.0])  # figures are rounded to one of these times a power of ten


def rounded_summary(
    summary: NumberSummary, *, rounded: Flags, hidden: Flags, size: NDArray[np.int64], least: int
) -> NumberSummary:
    """Return the summary that everybody may compute with: what follows from it tells no more than it does itself.

    Parameters
    ----------
    rounded : bool array, shape (segments,)
        Where mean and spread are rounded to what ``least`` customers, a standard deviation away, move the mean by.
    hidden : bool array, shape (segments,)
        Where the count of known numbers is hidden: it is taken as if as large a share were missing in each of them.
    size : int64 array, shape (segments,)
        Customers by segment, known to all.

    Returns
    -------
    NumberSummary
        Without segments of fewer than ``least`` known numbers: their means would follow from that of everybody.
    """
    told = summary.count >= least
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt(summary.squares / summary.count)
        unit = _unit(least * spread / summary.count)
        spread = np.where(rounded, np.round(spread / unit) * unit, spread)
        mean = np.where(rounded, np.round(summary.mean / unit) * unit, summary.mean)
    count = np.where(hidden, _shared_out(summary, hidden, size, least), summary.count) * told
    squares = np.where(told, np.where(rounded, spread**2 * count, summary.squares), 0.0)
    return replace(summary, count=count, mean=mean, squares=squares)


# -- inside --------------------------------------------------------------------------------------------------------


def _unit(least: Floats) -> Any:
    """Return the largest round number that is not above each; a tiny one where there is no spread to hide."""
    known = np.where(np.isfinite(least) & (least > 0), least, np.finfo(float).tiny)
    power = 10.0 ** np.floor(np.log10(known))
    return power * STEPS[np.searchsorted(STEPS, known / power, side="right") - 1]


def _shared_out(summary: NumberSummary, hidden: Flags, size: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    """Return the counts if what is missing in hidden segments were shared out by size; few count as least - 1."""
    among = size[hidden].sum()
    missing = max(int(among - summary.count[hidden].sum()), least - 1)
    return np.asarray(np.rint(size * (1 - missing / max(among, 1))), np.int64)
