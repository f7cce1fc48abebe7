"""What goes with a number, other things equal: a regression with errors robust to clusters, and whose share is whose.

References
----------
J. G. MacKinnon and H. White (1985), "Some heteroskedasticity-consistent covariance matrix estimators with improved
finite sample properties", Journal of Econometrics 29: HC3, the jackknife; left out are whole clusters here (CR3).
P. Kline, R. Saggio and M. Solvsten (2020), "Leave-out estimation of variance components", Econometrica 88.
R. Lindeman, P. Merenda and R. Gold (1980), Introduction to bivariate and multivariate analysis, p. 119 (LMG).
U. Groemping (2007), "Estimators of relative importance in linear regression based on variance decomposition", The
American Statistician 61.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Counts = NDArray[np.int64]

ALIASED = 1e-8  # of a column's own length: what is left of it beside the columns before it
AT_ONCE = 2_000  # clusters left out in one go: bounds the memory


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A regression: coefficients, shape (k,), and their covariance, shape (k, k), from so many clusters.

    ``noise``, shape (k, k), is the covariance of the products of columns with errors, ``X' Var(errors) X``, without
    bias: the covariance of the coefficients is too large by design.
    """

    coefficients: Floats
    covariance: Floats
    noise: Floats
    clusters: int


def jackknifed_regression(design: Floats, values: Floats, cluster: Counts) -> Fit:
    """Fit ordinary least squares; the covariance is that of the fits without one cluster each.

    ``(G - 1) / G * sum of (b_g - b)(b_g - b)'``, with ``b_g - b = -(X'X - X_g'X_g)^-1 X_g'e_g``. Every column must
    remain estimable without any one cluster. The noise is ``sum of X_g'y_g (y_g - X_g b_g)'X_g``: what is predicted
    without a cluster errs apart from its own errors (Kline and others 2020).
    """
    members = np.unique(cluster, return_inverse=True)[1]
    clusters = int(members.max(initial=-1)) + 1
    gram = design.T @ design
    coefficients = np.asarray(np.linalg.solve(gram, design.T @ values), np.float64)
    order = np.argsort(members, kind="stable")
    starts = np.searchsorted(members[order], np.arange(clusters + 1))
    residuals, centred, design = (values - design @ coefficients)[order], (values - values.mean())[order], design[order]
    scores, towards = (np.add.reduceat(design * y[:, None], starts[:-1], axis=0) for y in (residuals, centred))
    shifts = np.empty((clusters, design.shape[1]))
    for first in range(0, clusters, AT_ONCE):
        last = min(first + AT_ONCE, clusters)
        own = _products(design[starts[first] : starts[last]], starts[first:last] - starts[first])
        shifts[first:last] = np.linalg.solve(gram - own, scores[first:last, :, None])[:, :, 0]
    return Fit(coefficients, (clusters - 1) / clusters * shifts.T @ shifts, towards.T @ shifts @ gram, clusters)


def aliased_columns(design: Floats) -> Counts:
    """Return the columns that the columns before them already say."""
    lengths = np.linalg.norm(design, axis=0)
    left = np.abs(np.diag(np.linalg.qr(design, mode="r")))
    return np.flatnonzero(left <= ALIASED * lengths)


def _products(rows: Floats, starts: Counts) -> Floats:
    """Sum the products of all columns from each start to the next, a column at a time: it holds no more than rows."""
    columns = [np.add.reduceat(rows * rows[:, [column]], starts, axis=0) for column in range(rows.shape[1])]
    return np.stack(columns, axis=1)


def explained_shares(design: Floats, values: Floats, noise: Floats, parts: Sequence[Sequence[int]]) -> Floats:
    """Return each part's share of the variance of the value (LMG), less what columns that say nothing would have.

    A part's share is what its columns add to R^2, averaged over all orders in which the parts can come in. The R^2 of
    some columns is lessened by ``tr(C^-1 M) / total``, with C their products and M their ``noise``. Where errors
    are independent and alike that is adjusted R^2: what says nothing has a share of 0 on average.

    Parameters
    ----------
    design : float64 array, shape (rows, k)
        The first column is the constant.
    values : float64 array, shape (rows,)
    noise : float64 array, shape (k, k)
        Of all columns (:func:`jackknifed_regression`).
    parts : columns of each part
    """
    centring, outcome = np.eye(design.shape[1]), values - values.mean()
    centring[0] -= design.mean(axis=0)
    columns = design @ centring
    gram, towards, errors = columns.T @ columns, columns.T @ outcome, centring.T @ noise @ centring
    explained = np.zeros(2 ** len(parts))
    for subset in range(1, len(explained)):
        of = [column for place, part in enumerate(parts) if subset >> place & 1 for column in part]
        told = np.linalg.solve(gram[np.ix_(of, of)], np.column_stack([towards[of], errors[np.ix_(of, of)]]))
        explained[subset] = (towards[of] @ told[:, 0] - np.trace(told[:, 1:])) / (outcome @ outcome)
    shares = np.zeros(len(parts))
    for part in range(len(parts)):
        for subset in range(len(explained)):
            if not subset >> part & 1:
                orders = len(parts) * comb(len(parts) - 1, subset.bit_count())
                shares[part] += (explained[subset | 1 << part] - explained[subset]) / orders
    return shares
