"""Which offer for whom when money and hands are scarce: a knapsack in which each customer takes one offer at most.

Prices of the scarce things come first: the Lagrangian dual, a convex function of a few prices, minimised by cutting
planes (J. E. Kelley, 1960, Journal of SIAM 8(4)). Its value is a bound on what any allocation can earn. At these prices
all limits become one, and the greedy method for the multiple-choice knapsack fills it: each customer's offers on the
upper convex hull of profit over price, the steps of all hulls by profit per unit of price, each taken if it fits
(P. Sinha and A. Zoltners, 1979, Operations Research 27(3); H. Kellerer, U. Pferschy and D. Pisinger, 2004, "Knapsack
Problems", chapter 11). Under one limit that is within the profit of one step of the linear relaxation, hence of the
best.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crmlytics._kernels.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Codes = NDArray[np.int64]

LEFT = -1
FITS, BUDGET, CAPACITY = 0, 1, 2
ROUNDS = 200
TOLERANCE = 1e-7  # of the profit without limits
TOKEN = 1e-9  # the least price of what is scarce: of offers that pay alike, that which uses less
SLACK = 1e-12  # of the budget, for sums of floats


class Limits(NamedTuple):
    """What is scarce; infinite where it is not.

    Attributes
    ----------
    budget, capacity : float
        Money to be spent, and contacts in all.
    by_arm : float64 array, shape (arms,)
        Contacts with each offer.
    """

    budget: float
    capacity: float
    by_arm: Vector

    def vector(self) -> Vector:
        """Return all of them, shape (2 + arms,)."""
        return np.concatenate(([self.budget, self.capacity], self.by_arm))


class Allocation(NamedTuple):
    """Who gets what.

    Attributes
    ----------
    arm : int64 array, shape (n,)
        The offer's place, or LEFT.
    refused : int64 array, shape (n,)
        What stood against the first offer that did not fit: FITS, BUDGET or CAPACITY.
    """

    arm: Codes
    refused: Codes


class Prices(NamedTuple):
    """What a unit of each scarce thing is worth.

    Attributes
    ----------
    prices : float64 array, shape (2 + arms,)
        Of money, of a contact, and of a contact with each offer; next to nothing where enough is there.
    bound : float
        No allocation within the limits earns more.
    """

    prices: Vector
    bound: float


def best_prices(profit: Vector, cost: Vector, limits: Limits) -> Prices:
    """Minimise the dual: what scarce things are worth, if the worth of all of them is to be as low as it can be.

    Parameters
    ----------
    profit, cost : float64 arrays, shape (n, arms)
        Profit is minus infinity where an offer cannot be made; costs are finite and not negative.
    limits : Limits
    """
    limit = limits.vector()
    scarce = np.flatnonzero(np.isfinite(limit))
    prices, use = np.zeros(len(limit)), np.zeros(len(limit))
    best = Prices(prices.copy(), _dual_value(profit, cost, prices, use))
    if (use <= limit).all():
        return best
    worth = best.bound  # above zero: somebody uses something
    scale = np.append(use[0] if use[0] > 0 else 1.0, np.full(len(limit) - 1, use[1]))
    unit = worth / scale[scarce]  # prices and values near one, whatever the currency
    points, values, slopes = [np.zeros(len(scarce))], [1.0], [(limit - use)[scarce] * unit / worth]
    for _ in range(ROUNDS):
        point, lowest = _lowest_of_cuts(np.array(points), np.array(values), np.array(slopes))
        if best.bound / worth - lowest <= TOLERANCE:
            break
        prices[scarce] = point * unit
        use[:] = 0
        value = _dual_value(profit, cost, prices, use) + float(limit[scarce] @ prices[scarce])
        points, values = [*points, point], [*values, value / worth]
        slopes.append((limit - use)[scarce] * unit / worth)
        if value < best.bound:
            best = Prices(prices.copy(), value)
    best.prices[scarce] = np.maximum(best.prices[scarce], TOKEN * unit)
    return best


def allocate(profit: Vector, cost: Vector, uses: NDArray[np.bool_], limits: Limits, prices: Vector) -> Allocation:
    """Give each customer the offer that pays best at these prices, the best use of what is scarce first.

    Parameters
    ----------
    profit, cost : float64 arrays, shape (n, arms)
        As for :func:`best_prices`.
    uses : bool array, shape (n,)
        False for customers who get an offer on paper: as the others would, but they use nothing up.
    limits : Limits
    prices : float64 array, shape (2 + arms,)
    """
    rows, arms, slope, gain = _hull_steps(profit, cost * prices[0] + prices[1] + prices[2:])
    order = np.lexsort((-gain, -slope))
    return _taken(profit, cost, uses, limits, rows[order], arms[order])


def allocate_in_order(
    profit: Vector, cost: Vector, uses: NDArray[np.bool_], limits: Limits, order: Codes
) -> Allocation:
    """Go down a list of customers and give each the offer with the highest profit that still fits.

    Parameters
    ----------
    profit, cost, uses, limits
        As for :func:`allocate`.
    order : int64 array, shape (n,)
        Places of the customers, the first to be served first.
    """
    arms = np.argsort(profit[order], axis=1, kind="stable")  # a better offer that fits replaces the one before
    pays = np.take_along_axis(profit[order], arms, axis=1) > 0
    rows = np.broadcast_to(order[:, None], arms.shape)
    return _taken(profit, cost, uses, limits, rows[pays], arms[pays])


def _taken(
    profit: Vector, cost: Vector, uses: NDArray[np.bool_], limits: Limits, rows: Codes, arms: Codes
) -> Allocation:
    held, refused = np.full(len(profit), LEFT, np.int64), np.full(len(profit), FITS, np.int64)
    budget = limits.budget * (1 + SLACK)
    _take_steps(profit, cost, uses, rows, arms, budget, limits.capacity, limits.by_arm, held, refused)
    return Allocation(held, refused)


def _lowest_of_cuts(points: Vector, values: Vector, slopes: Vector) -> tuple[Vector, float]:
    """Return where the highest of some planes is lowest, among prices of zero or more, and how low."""
    from scipy import optimize

    count, size = slopes.shape
    planes = np.column_stack([slopes, -np.ones(count)])
    heights = (slopes * points).sum(axis=1) - values
    found = optimize.linprog(np.append(np.zeros(size), 1.0), planes, heights, bounds=(0, None), method="highs-ds")
    if found.x is None:  # the solver gave up: stop, any prices give a bound
        return points[-1], np.inf
    return found.x[:-1], float(found.fun)


@compiled
def _dual_value(profit: Vector, cost: Vector, prices: Vector, use: Vector) -> float:
    """Add up what customers bring beyond the price of what they use, and add what they use to ``use``."""
    value = 0.0
    for row in range(profit.shape[0]):
        most, chosen = 0.0, LEFT
        for arm in range(profit.shape[1]):
            surplus = profit[row, arm] - prices[0] * cost[row, arm] - prices[1] - prices[2 + arm]
            if surplus > most:
                most, chosen = surplus, arm
        if chosen != LEFT:
            value += most
            use[0] += cost[row, chosen]
            use[1] += 1
            use[2 + chosen] += 1
    return value


@compiled
def _hull_steps(profit: Vector, price: Vector) -> tuple[Codes, Codes, Vector, Vector]:
    """Walk along each customer's upper hull, from nothing to the most profit: row, arm, slope and gain of each step."""
    most = profit.shape[0] * profit.shape[1]
    rows, arms = np.empty(most, np.int64), np.empty(most, np.int64)
    slopes, gains = np.empty(most), np.empty(most)
    count = 0
    for row in range(profit.shape[0]):
        at_profit, at_price = 0.0, 0.0
        while True:
            steepest, further, chosen = 0.0, 0.0, LEFT
            for arm in range(profit.shape[1]):
                gain = profit[row, arm] - at_profit
                if gain > 0:
                    extra = price[row, arm] - at_price
                    slope = gain / extra if extra > 0 else np.inf
                    if slope > steepest or (slope == steepest and gain > further):
                        steepest, further, chosen = slope, gain, arm
            if chosen == LEFT:
                break
            at_profit, at_price = profit[row, chosen], price[row, chosen]
            rows[count], arms[count], slopes[count], gains[count] = row, chosen, steepest, further
            count += 1
    return rows[:count], arms[:count], slopes[:count], gains[:count]


@compiled
def _take_steps(
    profit: Vector,
    cost: Vector,
    uses: NDArray[np.bool_],
    rows: Codes,
    arms: Codes,
    budget: float,
    capacity: float,
    by_arm: Vector,
    held: Codes,
    refused: Codes,
) -> None:
    """Take each step that gains something and fits; fill ``held`` and ``refused``."""
    spent, contacts = 0.0, 0
    given = np.zeros(len(by_arm), np.int64)
    for step in range(len(rows)):
        row, arm = rows[step], arms[step]
        before = held[row]
        extra, added, gained = cost[row, arm], 1, profit[row, arm]
        if before != LEFT:
            extra, added, gained = extra - cost[row, before], 0, gained - profit[row, before]
        if gained <= 0:
            continue
        if spent + extra > budget:
            refused[row] = refused[row] if refused[row] != FITS else BUDGET
        elif contacts + added > capacity or given[arm] + 1 > by_arm[arm]:
            refused[row] = refused[row] if refused[row] != FITS else CAPACITY
        else:
            held[row] = arm
            if uses[row]:
                spent, contacts = spent + extra, contacts + added
                given[arm] += 1
                if before != LEFT:
                    given[before] -= 1
