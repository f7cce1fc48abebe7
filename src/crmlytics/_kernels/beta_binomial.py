"""BG/BB: buying at regular opportunities and leaving for good, as functions on arrays of one entry per customer.

A customer had ``n`` opportunities and bought at ``x`` of them, the last time at opportunity ``t_x`` (0 for never). At
each opportunity a customer first leaves with probability theta, and if not buys with probability p. Over customers p
varies as Beta(alpha, beta) and theta as Beta(gamma, delta), so leaving alone is a shifted beta-geometric.
``params`` is (alpha, beta, gamma, delta); ``x``, ``t_x`` and ``n`` are arrays of whole numbers, as floats.

References
----------
Fader, P., Hardie, B. and Shang, J. (2010), Customer-base analysis in a discrete-time noncontractual setting, Marketing
Science 29(6), 1086-1108.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from crmlytics._kernels.contractual import expected_renewals, log_beta_moment
from crmlytics._kernels.special import Vector, digamma_rise, dot, log_rising

if TYPE_CHECKING:
    from collections.abc import Callable

Whole: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stories:
    """The ways in which each history can have come about: left before opportunity k + 1, or never left.

    Attributes
    ----------
    row : array of int, one entry per story
        The customer, in order. A customer has n - t_x + 1 stories, the one of not having left first.
    starts : array of int, one entry per customer
        Where in the other arrays a customer's stories begin.
    lived : array of int
        Opportunities that the customer lived to see: n, or k = t_x, ..., n - 1.
    missed : array of int
        Of these, the ones at which nothing was bought.
    left : array of int
        1 for a story of leaving, else 0.
    """

    row: Whole
    starts: Whole
    lived: Whole
    missed: Whole
    left: Whole


def stories_of(x: Vector, t_x: Vector, n: Vector) -> Stories:
    """List the stories of each history."""
    bought, last, total = (part.astype(np.int64) for part in (x, t_x, n))
    each = total - last + 1
    starts = np.cumsum(each) - each
    row = np.repeat(np.arange(len(each)), each)
    place = np.arange(len(row)) - starts[row]
    left = (place > 0).astype(np.int64)
    lived = np.where(place > 0, last[row] + place - 1, total[row])
    return Stories(row, starts, lived, lived - bought[row], left)


def _log_weights(params: Vector, stories: Stories) -> Vector:
    """Log-probability of each story, but for the factor of the purchases that all stories of a customer share.

    ``B(alpha + x, beta + k - x) / B(alpha, beta) * B(gamma + left, delta + k) / B(gamma, delta)`` over
    ``Γ(alpha + x) / Γ(alpha)``, from tables by k: there are few different ones.
    """
    alpha, beta, gamma, delta = params
    count = np.arange(stories.lived.max() + 2, dtype=float)
    by_lived = log_rising(delta, count) - log_rising(alpha + beta, count)
    misses, hazards = log_rising(beta, count), log_rising(gamma + delta, count)
    left = stories.left
    leaving = left * np.log(gamma) - hazards[stories.lived + left]
    return np.asarray(by_lived[stories.lived] + misses[stories.missed] + leaving)


def _log_totals(log_weights: Vector, stories: Stories) -> Vector:
    """Log of the sum over each customer's stories."""
    most = np.maximum.reduceat(log_weights, stories.starts)
    return np.asarray(most + np.log(np.add.reduceat(np.exp(log_weights - most[stories.row]), stories.starts)))


def log_likelihood(params: Vector, x: Vector, t_x: Vector, n: Vector) -> Vector:
    """Log-likelihood of each history (equation 5 of the paper), without the binomial coefficient, as there."""
    stories = stories_of(x, t_x, n)
    return np.asarray(log_rising(params[0], x) + _log_totals(_log_weights(params, stories), stories))


def objective(x: Vector, t_x: Vector, n: Vector, weights: Vector) -> Callable[[Vector], tuple[float, Vector]]:
    """Return the function of the parameters that gives the weighted log-likelihood and its derivatives."""
    stories = stories_of(x, t_x, n)
    count = np.arange(stories.lived.max() + 2, dtype=float)
    size = len(count)

    def value_and_gradient(params: Vector) -> tuple[float, Vector]:
        alpha, beta, gamma, delta = params
        log_weights = _log_weights(params, stories)
        totals = _log_totals(log_weights, stories)
        share = np.exp(log_weights - totals[stories.row]) * weights[stories.row]
        indices = (stories.lived, stories.missed, stories.lived + stories.left)
        lived, missed, seen = (np.bincount(index, share, size).astype(float) for index in indices)
        both, either = dot(lived, digamma_rise(alpha + beta, count)), dot(seen, digamma_rise(gamma + delta, count))
        gradient = [
            dot(weights, digamma_rise(alpha, x)) - both,
            dot(missed, digamma_rise(beta, count)) - both,
            dot(share, stories.left / gamma) - either,
            dot(lived, digamma_rise(delta, count)) - either,
        ]
        return dot(weights, log_rising(alpha, x) + totals), np.array(gradient)

    return value_and_gradient


def alive_probability(params: Vector, x: Vector, t_x: Vector, n: Vector, *, ahead: int = 0) -> Vector:
    """P(still a customer at opportunity n + ahead), equation 11 of the paper.

    At opportunity n itself whoever bought there is alive with certainty.
    """
    _, _, gamma, delta = params
    stories = stories_of(x, t_x, n)
    log_weights = _log_weights(params, stories)
    alive = log_weights[stories.starts] - _log_totals(log_weights, stories)
    return np.asarray(np.exp(np.minimum(alive, 0.0) + log_beta_moment(float(ahead), delta + n, gamma)))


def expected_purchases_if_alive(params: Vector, x: Vector, n: Vector, *, horizon: float, rate: float = 0.0) -> Vector:
    """Purchases expected at the next ``horizon`` opportunities of a customer alive at opportunity n.

    The j-th of them is discounted by ``(1 + rate)^-j``, as in the paper's DERT (equation 14); ``horizon`` may be
    infinite if ``rate`` is above zero. Buying and leaving are independent given the history of one alive, so this is

    ``(alpha + x) / (alpha + beta + n) * sum over j of B(gamma, delta + n + j) / B(gamma, delta + n) / (1 + rate)^j``.

    The closed forms of the paper have poles at gamma = 1; the sum has none.
    """
    alpha, beta, gamma, delta = params
    periods = expected_renewals(np.array([gamma, delta, 1.0]), n, horizon=horizon, rate=rate)
    return np.asarray((alpha + x) / (alpha + beta + n) * periods / (1 + rate))


def purchase_probability_if_alive(params: Vector, x: Vector, n: Vector, *, horizon: int) -> Vector:
    """P(at least one purchase at the next ``horizon`` opportunities) of a customer alive at opportunity n.

    Summed over the opportunity of the first purchase, all terms positive.
    """
    alpha, beta, gamma, delta = params
    total, waiting = np.zeros(len(x)), np.ones(len(x))
    for i in range(horizon):
        waiting = waiting * (delta + n + i) / (gamma + delta + n + i) / (alpha + beta + n + i)
        total += waiting * (alpha + x)
        waiting = waiting * (beta + n - x + i)
    return total


def count_probabilities_if_alive(params: Vector, x: Vector, n: Vector, *, horizon: int, most: int) -> Vector:
    """P(exactly 0, 1, ..., most purchases at the next ``horizon`` opportunities) of a customer alive at n.

    Shape (customers, most + 1). ``sum over i of P(lives to see i of them) * P(k of i | beta-binomial)``, all terms
    positive; the beta-binomial of i + 1 follows from that of i.
    """
    alpha, beta, gamma, delta = params
    buying, idle = (alpha + x)[:, None], (beta + n - x)[:, None]
    count = np.arange(most + 1)
    among = np.zeros((len(x), most + 1))
    among[:, 0] = 1.0
    total, alive = np.zeros_like(among), np.ones(len(x))
    for i in range(horizon):
        total += (alive * gamma / (gamma + delta + n + i))[:, None] * among
        alive = alive * (delta + n + i) / (gamma + delta + n + i)
        bought = among[:, :-1] * (buying + count[:-1])
        among = among * np.maximum(idle + i - count, 0.0)
        among[:, 1:] += bought
        among /= buying + idle + i
    return np.asarray(total + alive[:, None] * among)
