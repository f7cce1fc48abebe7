"""How surely a test finds a difference between two groups, and how large the groups must be for it.

Power is the probability that a two-sided test at level ``alpha`` finds the difference with its true sign; finding the
wrong sign is no success (R's ``power.prop.test`` and ``power.t.test`` with ``strict = FALSE``).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 1e15  # customers: nobody has more
CLOSE = 1e-12


def shares_power(base: float, other: float, base_count: float, other_count: float, alpha: float) -> float:
    """Return the power of the score test that two shares are equal.

    J. L. Fleiss, B. Levin and M. C. Paik (2003), "Statistical methods for rates and proportions", chapter 4:
    ``Phi((|p - q| - z sqrt(s (1 - s)(1/n + 1/m))) / sqrt(p (1 - p)/n + q (1 - q)/m))``, s the share of both together.
    """
    from scipy import special

    pooled = (base * base_count + other * other_count) / (base_count + other_count)
    under_null = math.sqrt(pooled * (1 - pooled) * (1 / base_count + 1 / other_count))
    spread = math.sqrt(base * (1 - base) / base_count + other * (1 - other) / other_count)
    margin = abs(base - other) + special.ndtri(alpha / 2) * under_null
    if spread == 0:
        return float(margin > 0)
    return float(special.ndtr(margin / spread))


def means_power(effect: float, base_count: float, other_count: float, alpha: float) -> float:
    """Return the power of Student's test that two means are equal; ``effect``: difference / standard deviation.

    The test's statistic has a noncentral t distribution, ``n + m - 2`` degrees of freedom, noncentrality
    ``effect / sqrt(1/n + 1/m)``.
    """
    from scipy import special

    freedom = base_count + other_count - 2
    if freedom <= 0:
        return 0.0
    centre = abs(effect) / math.sqrt(1 / base_count + 1 / other_count)
    bound = -special.stdtrit(freedom, alpha / 2)
    if centre > bound + 40:  # and the distribution function's series are of no use there
        return 1.0
    return float(1 - special.nctdtr(freedom, centre, bound))


def shares_count(base: float, other: float, ratio: float, alpha: float, power: float) -> float:
    """Return how many the base group needs, if the other one is ``ratio`` times as large, to reach a power.

    :func:`shares_power` solved for the count: it need not be whole.
    """
    from scipy import special

    pooled = (base + ratio * other) / (1 + ratio)
    null = math.sqrt(pooled * (1 - pooled) * (1 + 1 / ratio))
    spread = math.sqrt(base * (1 - base) + other * (1 - other) / ratio)
    reach = max(0.0, -special.ndtri(alpha / 2) * null + special.ndtri(power) * spread)
    return float((reach / (base - other)) ** 2)


def means_count(effect: float, ratio: float, alpha: float, power: float) -> float:
    """Return how many the base group needs, if the other one is ``ratio`` times as large: more than 2 in all."""
    least = 2 / (1 + ratio) * (1 + CLOSE)
    return first_reaching(power, lambda count: means_power(effect, count, count * ratio, alpha), least, MOST)


def means_effect(base_count: float, other_count: float, alpha: float, power: float) -> float:
    """Return the least difference found, in standard deviations; NaN for groups too small for any."""
    from scipy import special

    normal = (special.ndtri(power) - special.ndtri(alpha / 2)) * math.sqrt(1 / base_count + 1 / other_count)
    return first_reaching(
        power, lambda effect: means_power(effect, base_count, other_count, alpha), normal * (1 - 1e-6), normal * 1e6
    )


def first_reaching(goal: float, rising: Callable[[float], float], low: float, high: float) -> float:
    """Return where a rising function reaches a goal; ``low`` if it is there already, NaN if not even at ``high``."""
    from scipy import optimize

    if rising(low) >= goal:
        return low
    top = low
    while rising(top) < goal:
        if top >= high:
            return math.nan
        top = min(high, top * 2 if top > 0 else high)
    return float(optimize.brentq(lambda value: rising(value) - goal, low, top, xtol=CLOSE, rtol=8e-15 + CLOSE))
