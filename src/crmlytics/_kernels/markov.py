"""Customers as Markov chains, as functions on float arrays: recency states, and renewals at a rate of one's own.

References
----------
Pfeifer, P. and Carraway, R. (2000), Modeling customer relationships as Markov chains, Journal of Interactive Marketing
14(2), 43-55. Fader, P. and Hardie, B. (2010), Customer-base valuation in a contractual setting: the perils of ignoring
heterogeneity, Marketing Science 29(1), 85-93.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from crmlytics._kernels.special import Vector

BLOCK = 4096
NEGLIGIBLE = 1e-17


def recency_chain(purchase_probabilities: Vector) -> Vector:
    """Transitions between recency states 1, ..., n, shape (n, n): a purchase leads to state 1, none to the next.

    The rows add up to 1, but for the last one: who does not buy there is a customer no longer.
    """
    n = len(purchase_probabilities)
    chain = np.zeros((n, n))
    chain[np.arange(n - 1), np.arange(1, n)] = 1 - purchase_probabilities[:-1]
    chain[:, 0] += purchase_probabilities
    return chain


def chain_value(chain: Vector, reward: Vector, discount_rate: float, horizon: int | None = None) -> Vector:
    """Value of each state: the discounted sum of rewards at times 0, 1, ..., ``horizon``, or for ever.

    ``V = (I - P / (1 + d))^-1 R``, and ``V_T = sum of (P / (1 + d))^t R`` over t = 0, ..., T.
    """
    step = chain / (1 + discount_rate)
    if horizon is None:
        return np.asarray(np.linalg.solve(np.eye(len(reward)) - step, reward))
    value = reward
    for _ in range(horizon):
        value = reward + step @ value
    return value


def stopping_value(
    chain: Vector, margins: Vector, contact_cost: float, discount_rate: float, horizon: int | None = None
) -> tuple[Vector, npt.NDArray[np.bool_]]:
    """Value of each state if customers are contacted only where that pays, and where it does.

    ``V = margins + max(0, P V / (1 + d) - contact_cost)``: a customer who is not contacted is given up. For ever by
    policy iteration: each round improves on the last one, until none does.
    """
    step = chain / (1 + discount_rate)
    if horizon is not None:
        ahead = np.full(len(margins), -contact_cost)  # at the horizon a contact is paid, and brings nothing any more
        for _ in range(horizon):
            ahead = step @ (margins + np.maximum(ahead, 0.0)) - contact_cost
        return margins + np.maximum(ahead, 0.0), ahead > 0
    contacted, total = np.ones(len(margins), dtype=bool), -np.inf
    while True:
        value = chain_value(chain * contacted[:, None], margins - contact_cost * contacted, discount_rate)
        better = step @ value > contact_cost
        if (better == contacted).all() or value.sum() <= total:
            return value, contacted
        contacted, total = better, value.sum()


def expected_recency_purchases(purchase_probabilities: Vector, steps: int) -> Vector:
    """Purchases expected in ``steps`` steps from each recency state; the last state keeps those who do not buy."""
    p = purchase_probabilities
    older = np.minimum(np.arange(len(p)) + 1, len(p) - 1)
    expected = np.zeros(len(p))
    for _ in range(steps):
        expected = p * (1 + expected[0]) + (1 - p) * expected[older]
    return expected


def discounted_renewals(alpha: float, beta: float, discount_rate: float) -> tuple[float, float]:
    """Return ``E[sum r^j z^(j-1)]`` and ``E[sum j r^j z^(j-1)]`` over j >= 1; z = 1 / (1 + d), r is beta(beta, alpha).

    The first is the discounted expected residual lifetime of a customer who is about to renew or not, the renewal now
    at hand not discounted; the second its derivative by the logarithm of everybody's r. They are
    ``m 2F1(1, beta + 1; alpha + beta + 1; z)`` and ``m 2F1(2, beta + 1; alpha + beta + 1; z)``, with m the mean of r.
    All terms are positive, and are added up until the rest, bounded by a geometric series, is below 1e-17 of the sum.
    """
    lifetime = weighted = 0.0
    done, survival = 0, np.ones(1)
    reach = (1 + discount_rate) / discount_rate  # 1 / (1 - z): the rest is at most geometric
    while True:
        j = np.arange(done + 1, done + BLOCK + 1, dtype=float)
        survival = survival[-1] * np.cumprod((beta + j - 1) / (alpha + beta + j - 1))
        terms = survival * np.exp(-(j - 1) * math.log1p(discount_rate))
        lifetime += math.fsum(terms)
        weighted += math.fsum(j * terms)
        done += BLOCK
        if terms[-1] * reach * (done + reach) < NEGLIGIBLE * weighted:
            return lifetime, weighted
