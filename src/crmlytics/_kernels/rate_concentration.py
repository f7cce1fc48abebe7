"""How concentrated rates of buying are, told from counts: what a window shows (NBD) and what lasts (gamma).

Customers buy at random moments at rates of their own, gamma distributed with shape r over customers. Counts of a window
are then negative binomial, and more concentrated than the rates: chance has its share.

References
----------
Schmittlein, D., Cooper, L., Morrison, D. (1993), Truth in concentration in the land of (80/20) laws, Marketing Science
12(2), 167-183.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, special, stats

from crmlytics._kernels.special import log_rising

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Counts = NDArray[np.int64]

LOWEST, HIGHEST = np.log(1e-4), np.log(1e4)  # of r: beyond, one customer buys it all, or all are alike
NARROW = 1e-8


def counted_top_share(counts: Counts, top_share: float) -> float:
    """Return what the best make of all orders; of customers who are equal at the border a part is counted."""
    ranked = np.sort(counts)[::-1]
    best = top_share * len(ranked)
    whole = int(best)
    border = (best - whole) * ranked[whole] if whole < len(ranked) else 0.0
    return float((ranked[:whole].sum() + border) / ranked.sum())


def window_top_share(shape: float, mean: float, top_share: float) -> float:
    """Return what the best make of the orders of a window in which customers order ``mean`` times on average.

    Of counts n, negative binomial with shape r, the share ``n p(n) / mean`` of orders is that of n - 1 with shape
    r + 1. Customers at the border count in part.
    """
    if np.isinf(shape):
        counts = one_more = stats.poisson(mean)
    else:
        counts, one_more = (stats.nbinom(shape + more, shape / (shape + mean)) for more in (0, 1))
    least = float(counts.isf(top_share))  # P(count > least) <= top_share
    return float(one_more.sf(least - 1) + (top_share - counts.sf(least)) * least / mean)


def window_silent_share(shape: float, mean: float) -> float:
    """Return the share of customers who do not order in such a window."""
    return float(np.exp(-mean if np.isinf(shape) else -shape * np.log1p(mean / shape)))


def lasting_top_share(shape: float, top_share: float) -> float:
    """Return what those who buy fastest make of all purchases in the long run: one less Lorenz' curve of the gamma."""
    if np.isinf(shape):
        return top_share
    fastest = special.gammainccinv(shape, top_share)
    return float(special.gammaincc(shape + 1, fastest))


def change_index(late: Counts, counts: Counts) -> tuple[float, float]:
    """Say how unlike the halves of a window are, customer by customer: the index, and how many deviations it is off 1.

    At steady rates a customer's n orders fall into the later half as tosses of a coin, whose chance p is that of all
    orders: a season of all moves p and nothing else. The index is the mean of ``(late - np)^2 / (np(1-p))`` over who
    ordered: 1 by chance alone, more where customers left or paused, less where they order at intervals (Fisher's index
    of dispersion; its variance is that of binomial counts). NaN where all orders fall into one half.
    """
    orders = counts[counts > 0].astype(np.float64)
    chance = late.sum() / max(orders.sum(), 1.0)
    spread = orders * chance * (1 - chance)
    if not (spread > 0).any():
        return np.nan, np.nan
    squares = (late[counts > 0] - orders * chance) ** 2 / spread
    variance = float(np.sum(1 / spread + 2 - 6 / orders))
    off = (squares.sum() - len(orders)) / np.sqrt(variance) if variance > 0 else 0.0
    return float(squares.mean()), float(off)


def rate_shape(counts: Counts, interval: float) -> tuple[float, float, float]:
    """Estimate the shape r of the rates from counts of windows of one length, with the bounds of its interval.

    Maximum likelihood; bounds where twice the log-likelihood falls by the quantile of chi-square with one degree of
    freedom. Where counts vary no more than chance (variance not above the mean) r is infinite: all are alike.
    """
    log_likelihood = _profile(counts)
    found = optimize.minimize_scalar(
        lambda at: -log_likelihood(at), bounds=(LOWEST, HIGHEST), method="bounded", options={"xatol": NARROW}
    )
    is_alike = counts.var() <= counts.mean()
    best = HIGHEST if is_alike else float(found.x)
    drop = log_likelihood(best) - float(stats.chi2.ppf(interval, 1)) / 2

    def above(at: float) -> float:
        return log_likelihood(at) - drop

    low = LOWEST if above(LOWEST) > 0 else optimize.brentq(above, LOWEST, best)
    high = HIGHEST if is_alike or above(HIGHEST) > 0 else optimize.brentq(above, best, HIGHEST)
    shape, least, most = (np.inf if at >= HIGHEST else float(np.exp(at)) for at in (best, low, high))
    return shape, least, most


def _profile(counts: Counts) -> Callable[[float], float]:
    """Return the log-likelihood of log r, where the mean is that of the counts, as it is at any r."""
    distinct, weights = np.unique(counts, return_counts=True)
    mean, customers, orders = float(counts.mean()), len(counts), float(counts.sum())

    def log_likelihood(at: float) -> float:
        shape = np.exp(at)
        rising = float(weights @ log_rising(shape, distinct.astype(np.float64)))
        return float(rising - customers * shape * np.log1p(mean / shape) - orders * np.log(shape + mean))

    return log_likelihood
