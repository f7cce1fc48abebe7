"""How many of those who leave a state leave it one way and not another, some being there still."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

FEWEST_AS_LONG = 20  # exits that a probability rests on: where fewer took as long, those that took longest


@dataclass(frozen=True, slots=True, eq=False)
class Exits:
    """The stays that have ended, by their length.

    Attributes
    ----------
    time : float64 array, shape (exits,), rising
    passed : bool array, shape (exits,)
        Whether the stay ended the way that is asked for.
    weight : float64 array, shape (exits,)
        The inverse probability of being watched for so long.
    """

    time: Floats
    passed: Flags
    weight: Floats

    @property
    def probability(self) -> float:
        """The weighted share that passed, NaN without an exit."""
        return float(self.weight @ self.passed / self.weight.sum()) if len(self.weight) else np.nan

    @property
    def count(self) -> float:
        """How many exits of equal weight would say as much."""
        return float(self.weight.sum() ** 2 / (self.weight @ self.weight)) if len(self.weight) else 0.0

    @property
    def log_variance(self) -> float:
        """The variance of the logarithm of the probability; half an exit more of each kind keeps it finite."""
        if not len(self.weight):
            return np.nan
        p = (self.probability * self.count + 0.5) / (self.count + 1)
        return (1 - p) / (p * (self.count + 1))

    def probability_after(self, time: Floats) -> Floats:
        """Return the probability of passing once a stay has lasted for so long: the share of those that lasted longer.

        Where fewer than 20 lasted longer, of the 20 longest.
        """
        if not len(self.time):
            return np.full(len(time), np.nan)
        later = np.cumsum(self.weight[::-1])[::-1]
        passed = np.cumsum((self.weight * self.passed)[::-1])[::-1]
        place = np.searchsorted(self.time, time, side="right")
        place = np.minimum(place, max(len(self.time) - FEWEST_AS_LONG, 0))
        probability: Floats = passed[place] / later[place]
        return probability


def weigh_exits(time: Floats, passed: Flags, failed: Flags) -> Exits:
    """Weight the stays that ended by the inverse probability of being watched for so long.

    The sum of the weights of those passed, by the number of stays, is the cumulative incidence of O. Aalen and S.
    Johansen (1978), "An empirical transition matrix for non-homogeneous Markov chains based on censored observations".
    Stays that neither passed nor failed were cut off; one cut off at the moment at which another ends lasts longer.
    """
    ended = passed | failed
    order = np.lexsort((~ended, time))
    at_risk = np.arange(len(order), 0, -1)
    watched = np.cumprod(np.where(ended[order], 1.0, 1 - 1 / at_risk))
    kept = ended[order]
    before = np.append(1.0, watched[:-1])[kept]
    return Exits(time[order][kept], passed[order][kept], 1 / before)


def onward_probabilities(exits: list[Exits]) -> Floats:
    """Return the probability of passing each state and all after it; one more, of having passed all, is 1."""
    passed = np.array([one.probability for one in exits] + [1.0])
    return np.cumprod(passed[::-1])[::-1]


def onward_interval(exits: list[Exits], interval: float) -> tuple[Floats, Floats]:
    """Return the interval of each of :func:`onward_probabilities` but the last, normal on the scale of log odds."""
    from scipy import special

    p = onward_probabilities(exits)[:-1]
    variance = np.cumsum(np.array([one.log_variance for one in exits])[::-1])[::-1]
    inside = np.clip(p, 1e-3, 1 - 1e-3)
    reach = -special.ndtri((1 - interval) / 2) * np.sqrt(variance) / (1 - inside)
    middle = special.logit(inside)
    return np.minimum(special.expit(middle - reach), p), np.maximum(special.expit(middle + reach), p)
