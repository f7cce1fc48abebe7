"""What was known of customers at a moment of their own, what came after it, and how two kinds of moments differ.

A landmark is a customer and a moment. Only what happened before it describes the customer, only what happened from it
on is outcome: H. C. van Houwelingen (2007), "Dynamic prediction by landmarking in event history analysis",
Scandinavian Journal of Statistics 34.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Counts = NDArray[np.int64]
    Flags = NDArray[np.bool_]

DIGITS = 11  # of the largest figure: what is smaller is the rounding of sums


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """What customers did, by customer and moment.

    Attributes
    ----------
    moments : int64 array
        All that differ, in order.
    moment : int64 array, shape (rows,)
    key : int64 array, shape (rows,)
        Rises with customer and moment.
    starts : int64 array, shape (customers + 1,)
        The rows of customer ``c`` are ``starts[c]`` to ``starts[c + 1]``.
    sums : int64 array, shape (rows + 1, k)
        Running sums of the figures over all rows before, in whole units: differences are exact, also where the whole
        sum runs over, so that no rounding tells customers apart.
    units : float64 array, shape (k,)
        How many make one.
    """

    moments: Counts
    moment: Counts
    key: Counts
    starts: Counts
    sums: Counts
    units: Vector

    @classmethod
    def of(cls, customer: Counts, moment: Counts, figures: Vector, customers: int) -> Timeline:
        """Lay rows out in order; ``figures`` has shape (rows, k)."""
        order = np.lexsort((moment, customer))
        moments, rank = np.unique(moment[order], return_inverse=True)
        largest = np.abs(figures).max(axis=0, initial=0.0)
        units = 10.0 ** (DIGITS - np.floor(np.log10(np.where(largest > 0, largest, 1.0))))
        whole = np.rint(figures[order] * units).astype(np.int64)
        sums = np.vstack([np.zeros(figures.shape[1], np.int64), np.cumsum(whole, axis=0)])
        starts = np.searchsorted(customer[order], np.arange(customers + 1))
        return cls(moments, moment[order], customer[order] * (len(moments) + 1) + rank, starts, sums, units)

    def before(self, customer: Counts, moment: Counts) -> Counts:
        """Return the place behind the customer's last row before the moment."""
        rank = np.searchsorted(self.moments, moment)
        return np.searchsorted(self.key, customer * (len(self.moments) + 1) + rank)

    def sums_between(self, customer: Counts, start: Counts | None, end: Counts) -> Vector:
        """Add up the customer's figures from ``start`` (None: the first) to before ``end``, shape (landmarks, k)."""
        first = self.starts[customer] if start is None else self.before(customer, start)
        total: Vector = (self.sums[self.before(customer, end)] - self.sums[first]) / self.units
        return total

    def first(self, customer: Counts) -> Counts:
        """Return the moment of the customer's first row; every customer must have one."""
        return self.moment[self.starts[customer]]

    def last(self, customer: Counts, moment: Counts) -> Counts:
        """Return the moment of the customer's last row before a moment; there must be one."""
        return self.moment[self.before(customer, moment) - 1]


def same_day_customers(first: Counts, moment: Counts, times: int, seed: int) -> tuple[Counts, Counts]:
    """Draw for each landmark customers who had begun before it: their places, and the landmark each was drawn for.

    With replacement, so that nobody's later days decide who is drawn; ``first`` is the moment at which each began.
    """
    order = np.argsort(first, kind="stable")
    begun = np.searchsorted(first[order], moment)
    random = np.random.default_rng(seed).random((len(moment), times))
    drawn = (random * begun[:, None]).astype(np.int64)
    landmark = np.repeat(np.arange(len(moment)), times)[np.repeat(begun > 0, times)]
    return order[drawn[begun > 0].ravel()], landmark


def clustered_effect(
    outcome: Vector, treated: Flags, weight: Vector, expected: Vector, cluster: Counts
) -> tuple[float, float]:
    """Return the doubly robust mean effect on the treated and its standard error, rows of one customer being alike.

    As :func:`~crmlytics._kernels.matching.doubly_robust_effect`; what the rows of a customer add to the error is summed
    before it is squared, times G / (G - 1) for G customers.
    """
    excess = outcome - expected
    one, other = float(excess[treated].mean()), float((weight * excess).sum() / weight.sum())
    influence = np.where(treated, (excess - one) / treated.mean(), -weight * (excess - other) / weight.mean())
    by_customer = np.bincount(np.unique(cluster, return_inverse=True)[1], influence)
    size = len(by_customer)
    square = (by_customer**2).sum() * size / (size - 1) if size > 1 else np.nan
    return one - other, float(np.sqrt(square)) / len(outcome)


def effective_customers(weight: Vector, customer: Counts) -> float:
    """Return as how many customers of one weight those of different weights tell: L. Kish (1965), Survey Sampling."""
    total = np.bincount(np.unique(customer, return_inverse=True)[1], weight)
    square = float((total**2).sum())
    return float(total.sum()) ** 2 / square if square else 0.0
