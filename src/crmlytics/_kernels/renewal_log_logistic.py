"""How long until the next event, for many keys at once: log-logistic intervals around a median of each key's own.

The logarithm of an interval of key i is mu_i + sigma x, x standard logistic; over the keys, mu_i is Normal(mu, tau^2).
The hazard first rises and then falls: after a long silence, the next event becomes ever less likely.

Integrals over mu_i are sums over a few nodes. Spells that ended hold mu_i within a few sigma: nodes lie around its mode
(adaptive Gauss-Hermite quadrature; J. C. Naylor and A. F. M. Smith (1982), "Applications of a method for the efficient
computation of posterior distributions"). Without them mu_i is known to within tau, which may be many sigma, and what is
summed has edges as wide as sigma: there nodes are a grid no coarser than sigma. Of functions as smooth as these, whose
poles lie pi sigma from the axis, it leaves an error of exp(-2 pi^2) (L. N. Trefethen and J. A. C. Weideman (2014), "The
exponentially convergent trapezoidal rule").
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
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from crmlytics._kernels.special import Vector

NODES, NODE_WEIGHTS = np.polynomial.hermite.hermgauss(9)
LARGEST = np.array([20.0, math.log(50.0), math.log(50.0)])  # of mu less its guess, ln sigma, ln tau
MOST_STEPS = 100
STEEP = 300.0  # exp of this squared is still a number
REACH = 6.0  # standard deviations of a grid to either side
MOST_NODES = 1_000  # to either side: enough for keys that differ 150 times more than the intervals of one


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

    @property
    def middle(self) -> float:
        """The median interval of the key in the middle, in days."""
        return math.exp(self.mu)

    @property
    def shape(self) -> float:
        """The shape of the law: how regular the intervals of a key are."""
        return 1 / self.sigma

    @property
    def spread(self) -> float:
        """The standard deviation of the logarithms of the keys' medians."""
        return self.tau

    def posterior(self, spells: Spells) -> tuple[Vector, Vector]:
        """Return mean and standard deviation of what is known of each key's mu."""
        theta = np.array([self.mu, self.sigma, self.tau])
        return _moments(*_arrays(spells), theta, NODES, NODE_WEIGHTS)

    def typical(self, posterior: tuple[Vector, Vector]) -> Vector:
        """Return the median interval of each key at its mean mu, in days."""
        return np.asarray(np.exp(posterior[0]))

    def survival(self, posterior: tuple[Vector, Vector], time: Vector) -> Vector:
        """Return the probability that an interval of each key lasts longer than ``time`` days."""
        mean, deviation = posterior
        found, time = np.empty(len(mean)), np.asarray(time, np.float64)
        for rows, *grid in self._grids(deviation):
            found[rows] = _survival(mean[rows], deviation[rows], time[rows], self.sigma, *grid)
        return found

    def left(self, posterior: tuple[Vector, Vector], waited: Vector, share: Vector) -> Vector:
        """Return after how many more days a share of the intervals that lasted ``waited`` days have not ended."""
        mean, deviation = posterior
        waited, share = (np.broadcast_to(np.asarray(of, np.float64), mean.shape) for of in (waited, share))
        more = np.empty(len(mean))
        for rows, *grid in self._grids(deviation):
            more[rows] = _left(mean[rows], deviation[rows], waited[rows], share[rows], self.sigma, *grid)
        return np.clip(more, 0.0, LONGEST)

    def _grids(self, deviation: Vector) -> Iterator[tuple[NDArray[np.bool_], Vector, Vector]]:
        """Yield keys with the nodes, in deviations, and weights that do for them: little known ones need more."""
        wide = deviation > self.sigma
        for rows in (~wide, wide):
            if rows.any():
                nodes = REACH * _grid(float(deviation[rows].max()), self.sigma)
                weights = np.exp(-0.5 * nodes**2)
                yield rows, nodes, weights / weights.sum()


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
def _grid(deviation: float, sigma: float) -> Vector:
    """Return the places of a grid from -1 to 1 that, ``REACH`` deviations long, is as fine as sigma."""
    side = min(math.ceil(REACH * max(deviation / sigma, 1.0)), MOST_NODES)
    return np.arange(-side, side + 1) / side


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
def _places(
    log_time: Vector, ended: NDArray[np.bool_], theta: Vector, nodes: Vector, weights: Vector
) -> tuple[Vector, Vector]:
    """Return at which m to sum over what is known of a key, and the logarithms of the weights."""
    mu, sigma, tau = theta
    if not ended.any():
        grid = _grid(tau, sigma)
        return mu + REACH * tau * grid, np.full(len(grid), math.log(REACH * tau * (grid[1] - grid[0])))
    mode, width = _mode(log_time, ended, theta)
    return mode + math.sqrt(2) * width * nodes, nodes**2 + np.log(weights) + math.log(math.sqrt(2) * width)


@compiled
def _evaluate(
    starts: NDArray[np.int64], log_times: Vector, ends: NDArray[np.bool_], theta: Vector, nodes: Vector, weights: Vector
) -> tuple[float, Vector]:
    """Return the log-likelihood of log-times, and its derivatives by mu, ln sigma and ln tau (Fisher's identity)."""
    mu, tau = theta[0], theta[2]
    total, gradient = 0.0, np.zeros(3)
    for key in range(len(starts) - 1):
        if starts[key] == starts[key + 1]:
            continue
        log_time, ended = log_times[starts[key] : starts[key + 1]], ends[starts[key] : starts[key + 1]]
        places, logs = _places(log_time, ended, theta, nodes, weights)
        slopes = np.empty(len(places))
        for j in range(len(places)):
            value, slopes[j] = _log_density(log_time, ended, places[j], theta)
            logs[j] += value
        top = logs.max()
        mass = np.exp(logs - top).sum()
        total += top + math.log(mass / math.sqrt(2 * math.pi))
        for j in range(len(places)):
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
        places, logs = _places(log_time, ended, theta, nodes, weights)
        for j in range(len(places)):
            logs[j] += _log_density(log_time, ended, places[j], theta)[0]
        shares = np.exp(logs - logs.max())
        shares /= shares.sum()
        means[key] = (shares * places).sum()
        deviations[key] = math.sqrt((shares * (places - means[key]) ** 2).sum())
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
            m = mean[key] + deviation[key] * nodes[j]
            odds = _steep((math.log(time[key]) - m) / sigma) if time[key] > 0 else 0.0
            total += weights[j] / (1 + odds)
        found[key] = min(total, 1.0)
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
            odds[j] = _steep(-deviation[key] * nodes[j] / sigma)
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
