"""How good ranked lists are: what they hit, how far their probabilities are right, and how sure that is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

METRICS = ("recall", "precision", "ndcg", "hit_rate", "reciprocal_rank", "repeat_recall", "explore_recall")
BINS = 10  # of equal size, for the calibration error
REPLICATES_AT_ONCE = 20


class Lists(NamedTuple):
    """Ranked lists, one a customer.

    Attributes
    ----------
    owner : int64 array
        The customer of each suggestion: rising.
    rank : int64 array
        The rank of each suggestion, from 1.
    is_hit : bool array
        Whether the customer bought it.
    is_own : bool array
        Whether the customer had bought it before.
    """

    owner: NDArray[np.int64]
    rank: NDArray[np.int64]
    is_hit: NDArray[np.bool_]
    is_own: NDArray[np.bool_]


class Intervals(NamedTuple):
    """Means with bootstrap intervals, shape (models, metrics), and those of the differences to a reference model."""

    value: Vector
    low: Vector
    high: Vector
    difference: Vector
    difference_low: Vector
    difference_high: Vector


def customer_metrics(lists: Lists, bought: NDArray[np.int64], repeated: NDArray[np.int64], k: int) -> Vector:
    """Return :data:`METRICS` of each customer, shape (metrics, customers), NaN where there is nothing to find.

    ``bought`` says how many different items each customer bought, ``repeated`` how many of these not for the first
    time. The ideal list, for ndcg, has a hit in each of its first min(k, bought) places.
    """
    hit = lists.is_hit
    owner, own, rank = lists.owner[hit], lists.is_own[hit], lists.rank[hit]
    customers = len(bought)
    hits, own_hits = np.bincount(owner, minlength=customers), np.bincount(owner[own], minlength=customers)
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])[np.minimum(bought, k)]
    first = np.full(customers, np.inf)
    np.minimum.at(first, owner, rank)
    gained = np.bincount(owner, discounts[rank - 1], customers)
    return np.array(
        [
            _share(hits, bought),
            hits / k,
            _share(gained, ideal),
            hits > 0,
            np.where(bought > 0, 1 / first, np.nan),
            _share(own_hits, repeated),
            _share(hits - own_hits, bought - repeated),
        ]
    )


def calibration(probability: Vector, outcome: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Return Brier score, calibration slope and expected calibration error of some probabilities.

    The slope is that of a logistic regression of the outcome on the logit of the probability: 1 is right, less says
    too much. The error is the mean distance of forecast and outcome over ten groups of equal size, by forecast.
    """
    if not len(probability):
        return math.nan, math.nan, math.nan
    brier = float(np.mean((probability - outcome) ** 2))
    order = np.argsort(probability, kind="stable")
    bins = np.array_split(order, min(BINS, len(order)))
    apart = sum(abs(float(np.sum(probability[rows])) - float(np.sum(outcome[rows]))) for rows in bins)
    return brier, _calibration_slope(probability, outcome), apart / len(order)


def bootstrap(values: Vector, customer: NDArray[np.int64], reference: int, *, replicates: int, seed: int) -> Intervals:
    """Draw customers with replacement, and take the middle 95% of the means.

    Parameters
    ----------
    values : float64 array, shape (models, metrics, rows)
        NaN where there is nothing to judge: for all models alike.
    customer : int64 array, shape (rows,)
        Whose row it is; a customer is drawn with all rows.
    reference : int
        The model that others are compared with, -1 for none.
    replicates, seed : int
    """
    models, metrics, _ = values.shape
    customers = int(customer.max(initial=-1)) + 1
    flat = np.where(np.isnan(values), 0, values).reshape(models * metrics, -1)
    sums = np.array([np.bincount(customer, row, customers) for row in flat]).T
    counts = np.array([np.bincount(customer, ~np.isnan(row), customers) for row in values[0]]).T
    value = _means(np.ones((1, customers)), sums, counts, models)[0]
    drawn = np.empty((replicates, models, metrics))
    random = np.random.default_rng(seed)
    for start in range(0, replicates, REPLICATES_AT_ONCE):
        part = drawn[start : start + REPLICATES_AT_ONCE]
        draws = random.integers(0, customers, (len(part), customers))
        weights = np.array([np.bincount(row, minlength=customers) for row in draws], np.float64)
        part[:] = _means(weights, sums, counts, models)
    if reference < 0:
        nothing = np.full((models, metrics), np.nan)
        return Intervals(value, *_middle(drawn), nothing, nothing, nothing)
    difference = value - value[reference]
    return Intervals(value, *_middle(drawn), difference, *_middle(drawn - drawn[:, reference : reference + 1]))


def _means(weights: Vector, sums: Vector, counts: Vector, models: int) -> Vector:
    """Return the weighted means, shape (replicates, models, metrics)."""
    totals = (weights @ sums).reshape(len(weights), models, -1)
    return _share(totals, np.broadcast_to((weights @ counts)[:, None, :], totals.shape))


def _middle(drawn: Vector) -> tuple[Vector, Vector]:
    """Return the 2.5% and the 97.5% quantile over the replicates in which something was defined."""
    low, high = np.full(drawn.shape[1:], np.nan), np.full(drawn.shape[1:], np.nan)
    for place in np.ndindex(drawn.shape[1:]):
        known = drawn[(slice(None), *place)]
        known = known[~np.isnan(known)]
        if len(known):
            low[place], high[place] = np.quantile(known, [0.025, 0.975])
    return low, high


def _share(part: NDArray[np.generic], whole: NDArray[np.generic]) -> Vector:
    """Divide; NaN where the whole is nothing."""
    shares = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=shares, where=np.asarray(whole) > 0)
    return shares


def _calibration_slope(probability: Vector, outcome: NDArray[np.bool_]) -> float:
    """Fit outcome ~ logit(probability) by Newton's method; NaN where there is no slope."""
    inside = np.clip(probability, 1e-9, 1 - 1e-9)
    logit = np.log(inside) - np.log1p(-inside)
    if outcome.all() or not outcome.any() or np.ptp(logit) < 1e-9:
        return math.nan
    design, weights = np.column_stack([np.ones(len(logit)), logit]), np.array([0.0, 1.0])
    for _ in range(50):
        fitted = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        curvature = (design * (fitted * (1 - fitted))[:, None]).T @ design
        step = np.linalg.lstsq(curvature, design.T @ (outcome - fitted), rcond=None)[0]
        weights = weights + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-10:
            return float(weights[1])
    return math.nan  # what is probable happened and nothing else: no finite slope
