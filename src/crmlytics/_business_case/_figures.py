"""Figures of one series of cash flows, and what such a series is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

Vector = np.ndarray[Any, np.dtype[np.float64]]

REACH = 700.0  # of ln(1 + rate): a rate beyond e^700 is no rate
TOLERANCE = 1e-9  # money that adds up to this share of what was moved is nothing


@dataclass(frozen=True, slots=True)
class Flows:
    """Benefits and costs of periods 0, 1, ..., arrays of one shape; the revenue behind them where it is known."""

    benefit: Vector
    cost: Vector
    revenue: Vector | None = None

    @property
    def net(self) -> Vector:
        """Benefits less costs."""
        return np.asarray(self.benefit - self.cost)


def net_present_value(net: Vector, discount_rate: float) -> float:
    """``sum of net_t / (1 + d)^t`` over t = 0, 1, ..."""
    return math.fsum(net / (1 + discount_rate) ** np.arange(len(net)))


def payback_period(net: Vector) -> float | None:
    """Periods until a running sum that was negative is so no longer, by linear interpolation.

    0 if it never was, None if it stays so.
    """
    running = np.cumsum(net)
    in_debt = running < -TOLERANCE * np.abs(net).sum()
    if not in_debt.any():
        return 0.0
    first = int(in_debt.argmax())
    if in_debt[first:].all():
        return None
    period = first + int(in_debt[first:].argmin())
    return float(min(period, period - 1 - running[period - 1] / net[period]))


def internal_rate_of_return(net: Vector) -> float | None:
    """Rate at which the net present value is zero, if signs change just once; else None.

    Solved for u = ln(1 + rate), with terms scaled to the largest one: no power overflows.
    """
    from scipy import optimize

    moved = np.flatnonzero(net)
    signs = np.sign(net[moved])
    if (np.diff(signs) != 0).sum() != 1:
        return None
    logs = np.log(np.abs(net[moved]))

    def balance(u: float) -> float:
        exponents = logs - u * moved
        return float(np.sum(signs * np.exp(exponents - exponents.max())))

    reach = 1.0
    while balance(-reach) * balance(reach) > 0 and reach < REACH:
        reach *= 2
    if balance(-reach) * balance(reach) > 0:
        return None
    return math.expm1(float(optimize.brentq(balance, -reach, reach, xtol=1e-14, rtol=1e-14)))
