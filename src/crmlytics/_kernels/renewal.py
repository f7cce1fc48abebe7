"""How long until the next event, for many keys at once: Weibull intervals whose rates differ by key (partial pooling).

An interval T of key i has the hazard lambda_i k t^(k - 1); over the keys, lambda_i is Gamma(r, rate alpha). Given d
intervals that ended and the sum A of t^k over all of them, ended or open, lambda_i is Gamma(r + d, alpha + A): what is
known of one key and what is known of all are mixed by how much there is of each, and everything has a closed form.
With alpha = r beta, beta is the mean of t^k of a typical key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from crmlytics._kernels.fitting import climb, in_logs
from crmlytics._kernels.special import digamma_rise, log_rising

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.special import Vector

MOST_FITTED = 50_000  # spells: they say what three parameters are, to about a hundredth
FEWEST_KEYS = 1_000
LARGEST = np.log([50.0, 1e4, 1e6])  # k: a standard deviation of 2 %; r: all keys alike
TINY, BIG = 1e-300, 700.0  # a rate, and a logarithm, whose powers are still numbers
LONGEST = 1e6  # days: farther quantiles are called that far


@dataclass(frozen=True, slots=True, eq=False)
class Spells:
    """Times between events, and times waited so far, in days.

    Attributes
    ----------
    key : int64 array, shape (spells,)
        Whose each is: 0 to ``keys`` - 1, rising.
    time : float64 array, shape (spells,)
        Above zero where the spell ended.
    ended : bool array, shape (spells,)
        False: still waiting after ``time``.
    keys : int
        How many there are; a key may have no spell.
    """

    key: NDArray[np.int64]
    time: NDArray[np.float64]
    ended: NDArray[np.bool_]
    keys: int

    def counts(self) -> NDArray[np.int64]:
        """Return how many spells of each key ended."""
        return np.bincount(self.key[self.ended], minlength=self.keys)

    def of(self, kept: NDArray[np.bool_]) -> Spells:
        """Return some of the spells; every key stays."""
        return Spells(self.key[kept], self.time[kept], self.ended[kept], self.keys)

    def completed(self) -> Spells:
        """Return the spells that ended; every key stays."""
        return self.of(self.ended)

    def divided(self, by: NDArray[np.float64]) -> Spells:
        """Return the spells with the times of each key divided by a number."""
        return Spells(self.key, self.time / by[self.key], self.ended, self.keys)

    def sample(self, most: int) -> Spells:
        """Return about ``most`` of the spells: all spells of some keys, and some spells of keys that are few."""
        share = most / max(len(self.key), 1)
        if share >= 1:
            return self
        chance = np.random.default_rng(0)  # the same spells for the same data
        present = np.flatnonzero(np.bincount(self.key, minlength=self.keys))
        chosen = max(int(len(present) * share), min(len(present), FEWEST_KEYS))
        number = np.full(self.keys, -1)
        number[np.sort(chance.permutation(present)[:chosen])] = np.arange(chosen)
        kept = (number[self.key] >= 0) & (chance.random(len(self.key)) < share * len(present) / chosen)
        if not self.ended[kept].any():  # nothing to learn from
            return self
        return Spells(number[self.key[kept]], self.time[kept], self.ended[kept], chosen)


@dataclass(frozen=True, slots=True)
class WeibullGamma:
    """A population of keys with Weibull intervals.

    Attributes
    ----------
    k : float
        1: an end is as likely at any time; above: intervals are regular; below: clustered.
    r : float
        How alike the keys are: their own intervals count as much as the population's from r intervals on.
    beta : float
        The mean of (t / scale)^k at the mean rate.
    scale : float
        Days.
    log_likelihood : float
        Of the spells fitted, with time in days.
    """

    k: float
    r: float
    beta: float
    scale: float
    log_likelihood: float

    @property
    def middle(self) -> float:
        """The median interval of the key in the middle, in days."""
        rate = float(special.gammaincinv(self.r, 0.5)) / (self.r * self.beta)
        return float(self.scale * np.exp(min(np.log(np.log(2) / max(rate, TINY)) / self.k, BIG)))

    @property
    def shape(self) -> float:
        """The shape of the law: how regular the intervals of a key are."""
        return self.k

    @property
    def spread(self) -> float:
        """The standard deviation of the logarithms of the keys' medians."""
        return float(np.sqrt(special.polygamma(1, self.r))) / self.k

    def posterior(self, spells: Spells) -> tuple[Vector, Vector]:
        """Return shape and rate of what is known of each key."""
        waited = np.bincount(spells.key, (spells.time / self.scale) ** self.k, spells.keys)
        return np.asarray(self.r + spells.counts(), np.float64), np.asarray(self.r * self.beta + waited, np.float64)

    def typical(self, posterior: tuple[Vector, Vector]) -> Vector:
        """Return the median interval at each key's mean rate, in days.

        In the k-th power, it lies between the key's own and the population's, weighted by intervals and by r.
        """
        shape, rate = posterior
        return np.asarray(self.scale * (np.log(2) * rate / shape) ** (1 / self.k))

    def survival(self, posterior: tuple[Vector, Vector], time: Vector) -> Vector:
        """Return the probability that an interval of each key lasts longer than ``time`` days."""
        shape, rate = posterior
        with np.errstate(divide="ignore"):
            log_waited = self.k * np.log(time / self.scale)
        return np.asarray(np.exp(-shape * np.logaddexp(0.0, log_waited - np.log(rate))))

    def left(self, posterior: tuple[Vector, Vector], waited: Vector, share: Vector) -> Vector:
        """Return after how many more days a share of the intervals that lasted ``waited`` days have not ended."""
        shape, rate = posterior
        so_far = (waited / self.scale) ** self.k
        with np.errstate(over="ignore"):
            more = (rate + so_far) * np.expm1(np.minimum(-np.log(share) / shape, 700.0))
            total = self.scale * (so_far + more) ** (1 / self.k)
        return np.clip(total - waited, 0.0, LONGEST)


def fit_weibull(spells: Spells, most: int = MOST_FITTED) -> WeibullGamma:
    """Fit the population by maximum likelihood; at least one spell must have ended."""
    spells = spells.sample(most)
    scale = float(np.exp(np.log(spells.time[spells.ended]).mean()))
    likelihood = _Likelihood(spells, scale)
    starts = [np.log(start) for start in ([1.2, 2.0, 1.0], [0.7, 0.5, 2.0], [4.0, 5.0, 1.0])]
    found = climb(in_logs(likelihood), starts, weight=len(spells.key), reach=LARGEST)
    k, r, beta = found.params.tolist()
    return WeibullGamma(k, r, beta, scale, found.log_likelihood - likelihood.events * float(np.log(scale)))


class _Likelihood:
    """The log-likelihood of k, r and beta, with its derivatives. Days are whole, so each power is taken once a day."""

    def __init__(self, spells: Spells, scale: float) -> None:
        days, self.day = np.unique(spells.time, return_inverse=True)
        self.keys, self.key = spells.keys, spells.key
        positive = days > 0
        self.log_time = np.log(np.where(positive, days, 1.0) / scale)
        self.positive = positive
        self.count = spells.counts().astype(float)
        self.counts, self.how_often = np.unique(self.count, return_counts=True)
        self.events = float(self.count.sum())
        self.log_times = float(np.bincount(self.day[spells.ended], minlength=len(days)) @ self.log_time)

    def __call__(self, params: Vector) -> tuple[float, Vector]:
        k, r, beta = params
        alpha = r * beta
        power = np.where(self.positive, np.exp(k * self.log_time), 0.0)
        waited = np.bincount(self.key, power[self.day], self.keys)
        slope = np.bincount(self.key, (power * self.log_time)[self.day], self.keys)
        log_ratio, shape = np.log1p(waited / alpha), r + self.count
        rising = self.how_often @ log_rising(r, self.counts)
        value = self.events * np.log(k / alpha) + (k - 1) * self.log_times + rising - shape @ log_ratio
        by_k = self.events / k + self.log_times - np.sum(shape * (slope / (alpha + waited)))
        by_r = self.how_often @ digamma_rise(r, self.counts) - log_ratio.sum()
        by_alpha = (np.sum(shape * (waited / (alpha + waited))) - self.events) / alpha
        return float(value), np.array([by_k, by_r + beta * by_alpha, r * by_alpha])
