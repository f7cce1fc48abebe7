"""How unequal amounts are: what the best customers make, the Gini coefficient, the tail; in samples of customers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

INTERVAL = 0.95
WHOLE = 1e-9  # 0.07 x 100 is not above 7


def bias_corrected(drawn: Vector, measured: float, interval: float = INTERVAL) -> tuple[float, float]:
    """Return the bounds of a figure by the bias-corrected percentile method; NaN where half the samples have none.

    Small samples hold the largest customers too seldom, so drawn shares lie below the measured one, as that lies below
    the truth: B. Efron (1987), "Better bootstrap confidence intervals", Journal of the American Statistical Association
    82, section 2. Of the limits, ``Phi(2 z0 + z)`` with ``z0 = Phi^-1(share of samples below the measured figure)``.
    """
    from scipy import special

    known = drawn[~np.isnan(drawn)]
    if 2 * len(known) < len(drawn):
        return np.nan, np.nan
    below = ((known < measured).sum() + (known == measured).sum() / 2) / len(known)
    least = 1 / (2 * len(known))
    shift = 2 * special.ndtri(min(max(below, least), 1 - least))
    reach = special.ndtri((1 + interval) / 2)
    low, high = np.quantile(known, special.ndtr([shift - reach, shift + reach]))
    return float(low), float(high)


@compiled
def drawn_top_shares(amounts: Vector, bundle: NDArray[np.int64], weights: Vector, top_share: float) -> Vector:
    """Return the share of the best ``top_share`` of the customers in every sample; NaN where the whole is not above 0.

    Parameters
    ----------
    amounts : float64 array, shape (customers,)
        The largest first: a sample need not be sorted again.
    bundle : int64 array, shape (customers,)
    weights : float64 array, shape (replicates, bundles)
        How often each bundle of customers was drawn.
    top_share : float
        Above 0, up to 1; customers are counted up to the next whole number.
    """
    shares = np.full(len(weights), np.nan)
    for replicate in range(len(weights)):
        drawn, whole = 0.0, 0.0
        for place in range(len(amounts)):
            times = weights[replicate, bundle[place]]
            drawn += times
            whole += times * amounts[place]
        if not whole > 0:
            continue
        left, best = np.ceil(top_share * drawn - WHOLE), 0.0
        for place in range(len(amounts)):
            times = min(weights[replicate, bundle[place]], left)
            best += times * amounts[place]
            left -= times
            if left <= 0:
                break
        shares[replicate] = best / whole
    return shares


@compiled
def drawn_ginis(amounts: Vector, bundle: NDArray[np.int64], weights: Vector) -> Vector:
    """Return the Gini coefficient of every sample; NaN where the whole is not above 0.

    ``(n + 1) / n - 2 sum(r x_r) / (n sum(x_r))`` with ranks r, 1 the largest; arrays as of :func:`drawn_top_shares`.
    """
    ginis = np.full(len(weights), np.nan)
    for replicate in range(len(weights)):
        drawn, whole, ranked = 0.0, 0.0, 0.0
        for place in range(len(amounts)):
            times = weights[replicate, bundle[place]]
            ranked += amounts[place] * times * (drawn + (times + 1) / 2)
            drawn += times
            whole += times * amounts[place]
        if whole > 0:
            ginis[replicate] = (drawn + 1) / drawn - 2 * ranked / (drawn * whole)
    return ginis


def hill_index(amounts: Vector) -> float:
    """Return the index of the tail after Hill (1975), from the largest: as many as the root of their number.

    Parameters
    ----------
    amounts : float64 array, shape (customers,)
        Above zero, the largest first. NaN where the largest are alike, or there is one.
    """
    largest = int(np.ceil(np.sqrt(len(amounts))))
    if largest >= len(amounts):
        return np.nan
    excess = float(np.log(amounts[:largest] / amounts[largest]).sum())
    return largest / excess if excess > 0 else np.nan
