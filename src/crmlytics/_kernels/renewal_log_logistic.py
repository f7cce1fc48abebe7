"""How long until the next event, for many keys at once: log-logistic intervals around a median of each key's own.

The logarithm of an interval of key i is mu_i + sigma x, x standard logistic; over the keys, mu_i is Normal(mu, tau^2).
The hazard first rises and then falls: after a long silence, the next event becomes ever less likely. Integrals over
mu_i are sums over a few nodes, laid around the mode of each key (adaptive Gauss-Hermite quadrature; J. C. Naylor and
A. F. M. Smith (1982), "Applications of a method for the efficient computation of posterior distributions").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.compiled import compiled
from crmlytics._kernels.fitting import climb
from crmlytics._kernels.renewal import LONGEST, MOST_FITTED, Spells

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.special import Vector

NODES, NODE_WEIGHTS = np.polynomial.hermite.hermgauss(9)
LARGEST = np.array([20.0, math.log(50.0), math.log(50.0)])  # of mu less its guess, ln sigma, ln tau
MOST_STEPS = 100
STEEP = 300.0  # exp of this squared is still a number


@dataclass(frozen=True, slots=True)
class LogLogisticNormal:
    """A population of keys with log-logistic intervals.

    Attributes
    ----------
    mu : float
        The logarithm of the median interval of a typical key, in days.
    sigma : float
        How irregular the intervals of a key are.
    tau : float
        How much keys differ.
    log_likelihood : float
        Of the spells fitted, with time in days.
    """

    mu: float
    sigma: float
    tau: float
    log_likelihood: float

    def posterior(self, spells: Spells) -> tuple[Vector, Vector]:
        """Return mean and standard deviation of what is known of each key's mu."""
        theta = np.array([self.mu, self.sigma, self.tau])
        return _moments(*_arrays(spells), theta, NODES, NODE_WEIGHTS)

    def typical(self, posterior: tuple[Vector, Vector]) -> Vector:
        """Return the median interval of each key at its mean mu, in days."""
        return np.asarray(np.exp(posterior[0]))

    def survival(self, posterior: tuple[Vector, Vector], time: Vector) -> Vector:
        """Return the probability that an interval of each key lasts longer than ``time`` days."""
        return _survival(*posterior, np.asarray(time, np.float64), self.sigma, NODES, NODE_WEIGHTS)

    def left(self, posterior: tuple[Vector, Vector], waited: Vector, share: Vector) -> Vector:
        """Return after how many more days a share of the intervals that lasted ``waited`` days have not ended."""
        waited, share = np.broadcast_arrays(np.asarray(waited, np.float64), share)
        more = _left(*posterior, waited, np.asarray(share, np.float64), self.sigma, NODES, NODE_WEIGHTS)
        return np.clip(more, 0.0, LONGEST)


def fit_log_logistic(spells: Spells, most: int = MOST_FITTED) -> LogLogisticNormal:
    """Fit the population by maximum likelihood; at least one spell must have ended."""
    spells = spells.sample(most)
    arrays = _arrays(spells)
    events = np.log(spells.time[spells.ended])
    middle, spread = float(events.mean()), max(float(events.std()), 0.1)

    def objective(theta: Vector) -> tuple[float, Vector]:
        sigma, tau = math.exp(theta[1]), math.exp(theta[2])
        value, gradient = _evaluate(*arrays, np.array([middle + theta[0], sigma, tau]), NODES, NODE_WEIGHTS)
        return value, gradient

    starts = [np.array([0.0, math.log(spread / width), math.log(spread / 2)]) for width in (3.0, 1.5)]
    found = climb(objective, starts, weight=len(spells.key), reach=LARGEST)
    sigma, tau = np.exp(found.theta[1:]).tolist()
    return LogLogisticNormal(middle + float(found.theta[0]), sigma, tau, found.log_likelihood - float(events.sum()))


def _arrays(spells: Spells) -> tuple[NDArray[np.int64], Vector, NDArray[np.bool_]]:
    """Return where the spells of each key begin, their logarithms and whether they ended; open ones of no time go."""
    spells = spells.of(spells.time > 0)
    starts = np.zeros(spells.keys + 1, np.int64)
    np.cumsum(np.bincount(spells.key, minlength=spells.keys), out=starts[1:])
    return starts, np.log(spells.time), spells.ended


@compiled
def _slopes(log_time: Vector, ended: NDArray[np.bool_], m: float, theta: Vector) -> tuple[float, float]:
    """Return the first and second derivative by m of the logarithm of what is known of a key."""
    mu, sigma, tau = theta
    first, second = (mu - m) / tau**2, -1 / tau**2
    for i in range(len(log_time)):
        below = 1 / (1 + math.exp((m - log_time[i]) / sigma))
        first += (2 * below - 1 if ended[i] else below) / sigma
        second -= (2 if ended[i] else 1) * below * (1 - below) / sigma**2
    return first, second


@compiled
def _mode(log_time: Vector, ended: NDArray[np.bool_], theta: Vector) -> tuple[float, float]:
    """Return the mode of m and the standard deviation that its curvature suggests: Newton's steps, none too long."""
    mu, sigma, tau = theta
    m, total, count = mu, 0.0, 0
    for i in range(len(log_time)):
        if ended[i]:
            total += log_time[i]
            count += 1
    if count:
        m = (mu / tau**2 + total / sigma**2) / (1 / tau**2 + count / sigma**2)
    second = -1.0
    for _ in range(MOST_STEPS):
        first, second = _slopes(log_time, ended, m, theta)
        step = min(max(-first / second, -2 * sigma), 2 * sigma)
        m += step
        if abs(step) < 1e-6 * sigma:
            break
    return m, 1 / math.sqrt(-second)


@compiled
def _log_density(log_time: Vector, ended: NDArray[np.bool_], m: float, theta: Vector) -> tuple[float, float]:
    """Return ln of spells and m together, without the constants of m's normal law, and its derivative by ln sigma."""
    mu, sigma, tau = theta
    log_sigma = math.log(sigma)
    value, slope = -0.5 * ((m - mu) / tau) ** 2 - math.log(tau), 0.0
    for i in range(len(log_time)):
        z = (log_time[i] - m) / sigma
        small = math.exp(-abs(z))
        softplus = max(z, 0.0) + math.log1p(small)
        below = (1.0 if z > 0 else small) / (1 + small)
        if ended[i]:
            value += z - log_sigma - 2 * softplus
            slope += 2 * z * below - z - 1
        else:
            value -= softplus
            slope += z * below
    return value, slope


@compiled
def _evaluate(
    starts: NDArray[np.int64], log_times: Vector, ends: NDArray[np.bool_], theta: Vector, nodes: Vector, weights: Vector
) -> tuple[float, Vector]:
    """Return the log-likelihood of log-times, and its derivatives by mu, ln sigma and ln tau (Fisher's identity)."""
    mu, tau = theta[0], theta[2]
    total, gradient = 0.0, np.zeros(3)
    logs, slopes, places = np.empty(len(nodes)), np.empty(len(nodes)), np.empty(len(nodes))
    for key in range(len(starts) - 1):
        if starts[key] == starts[key + 1]:
            continue
        log_time, ended = log_times[starts[key] : starts[key + 1]], ends[starts[key] : starts[key + 1]]
        mode, width = _mode(log_time, ended, theta)
        for j in range(len(nodes)):
            places[j] = mode + math.sqrt(2) * width * nodes[j]
            value, slopes[j] = _log_density(log_time, ended, places[j], theta)
            logs[j] = value + nodes[j] ** 2 + math.log(weights[j])
        top = logs.max()
        mass = np.exp(logs - top).sum()
        total += top + math.log(mass * width / math.sqrt(math.pi))
        for j in range(len(nodes)):
            share, away = math.exp(logs[j] - top) / mass, (places[j] - mu) / tau
            gradient[0] += share * away / tau
            gradient[1] += share * slopes[j]
            gradient[2] += share * (away**2 - 1)
    return total, gradient


@compiled
def _moments(
    starts: NDArray[np.int64], log_times: Vector, ends: NDArray[np.bool_], theta: Vector, nodes: Vector, weights: Vector
) -> tuple[Vector, Vector]:
    """Return mean and standard deviation of m for each key."""
    means, deviations = np.empty(len(starts) - 1), np.empty(len(starts) - 1)
    for key in range(len(starts) - 1):
        log_time, ended = log_times[starts[key] : starts[key + 1]], ends[starts[key] : starts[key + 1]]
        mode, width = _mode(log_time, ended, theta)
        peak = _log_density(log_time, ended, mode, theta)[0]
        mass, first, second = 0.0, 0.0, 0.0
        for j in range(len(nodes)):
            away = math.sqrt(2) * width * nodes[j]
            density = _log_density(log_time, ended, mode + away, theta)[0]
            share = math.exp(density - peak + nodes[j] ** 2) * weights[j]
            mass, first, second = mass + share, first + share * away, second + share * away * away
        means[key] = mode + first / mass
        deviations[key] = math.sqrt(max(second / mass - (first / mass) ** 2, 0.0))
    return means, deviations


@compiled
def _steep(log_ratio: float) -> float:
    return math.exp(min(max(log_ratio, -STEEP), STEEP))


@compiled
def _survival(mean: Vector, deviation: Vector, time: Vector, sigma: float, nodes: Vector, weights: Vector) -> Vector:
    found = np.empty(len(mean))
    for key in range(len(mean)):
        total = 0.0
        for j in range(len(nodes)):
            m = mean[key] + math.sqrt(2) * deviation[key] * nodes[j]
            odds = _steep((math.log(time[key]) - m) / sigma) if time[key] > 0 else 0.0
            total += weights[j] / (1 + odds)
        found[key] = total / math.sqrt(math.pi)
    return found


@compiled
def _left(
    mean: Vector, deviation: Vector, waited: Vector, share: Vector, sigma: float, nodes: Vector, weights: Vector
) -> Vector:
    """Solve S(waited + u) = share S(waited) for u.

    With x = exp((ln t - mean) / sigma), 1 / S is a concave rising function of x, nearly a line: Newton's steps from the
    left never pass the root.
    """
    found, odds = np.empty(len(mean)), np.empty(len(nodes))
    for key in range(len(mean)):
        for j in range(len(nodes)):
            odds[j] = _steep(-math.sqrt(2) * deviation[key] * nodes[j] / sigma)
        x = _steep((math.log(waited[key]) - mean[key]) / sigma) if waited[key] > 0 else 0.0
        survival = (weights / (1 + x * odds)).sum()
        target = share[key] * survival
        for _ in range(MOST_STEPS):
            slope = (weights * odds / (1 + x * odds) ** 2).sum()
            step = (survival / target - 1) * survival / slope
            x += step
            survival = (weights / (1 + x * odds)).sum()
            if step <= 1e-12 * x:
                break
        found[key] = math.exp(mean[key] + sigma * math.log(x)) - waited[key] if x > 0 else 0.0
    return found
