"""What a goal such as "25 % more sales" asks of customers, their orders, their baskets and their loyalty."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from crmlytics._validation import check_amount, did_you_mean
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

ALONE, ALIKE, LIMITED = "alone", "all alike", "within limits"
ROUNDING = 1e-12


def goal_table(
    *,
    customers: float,
    orders_per_customer: float,
    order_value: float,
    retention: float | None = None,
    goal: float = 1.25,
    limits: Mapping[str, float] | None = None,
) -> Any:
    """Solve for the levers of a sales goal: each alone, all alike, and all within what each can give.

    Parameters
    ----------
    customers : float
        Customers today.
    orders_per_customer, order_value : float
        Orders of a customer in the period, and revenue of an order.
    retention : float, optional
        Share of the customers who stay for the period; those who leave order nothing. Never above 1.
    goal : float, default 1.25
        Sales wanted, as a multiple of today's: 1.25 is 25 % more.
    limits : dict of lever to value, optional
        The most that a lever can reach, in its own unit, such as ``{"retention": 0.85, "order_value": 55}``.

    Returns
    -------
    pandas dataframe, one row per way and lever, in the order of the formula
        ``way`` (String: ``"alone"``, one lever does it all; ``"all alike"``, all rise by the same factor; ``"within
        limits"``, all rise by the same factor until they reach their limits), ``lever`` (String), ``today_value``,
        ``needed_value`` (Float64, in the unit of the lever; also beyond a limit, but not within limits),
        ``change_share`` (Float64, rise over today), ``effect_share`` (Float64, part of the growth that this lever
        makes: ``ln(needed / today) / ln(growth)``, which adds up to 1 in each way; missing if there is no growth),
        ``reaches_goal`` (Boolean, of the way, with no lever beyond its limit), ``sales_amount`` (Float64, what the way
        comes to with no lever beyond its limit).

    Raises
    ------
    SchemaError
        When a lever is not above zero, a limit lies below today's value, or the goal is not above 1.

    Notes
    -----
    ``sales = customers x retention x orders per customer x order value``. A lever alone must rise by the factor
    ``goal``, which a retention of more than ``1 / goal`` cannot; k levers alike by ``goal^(1/k)``: four levers need
    5.7 % each for 25 % more. Factors multiply, so growth is shared by their logarithms.

    When not to use: retention works again in every further period; for what it is worth over a lifetime see
    ``crm.clv.retention_elasticity``. And levers pull at each other: customers won by a discount order less.

    Examples
    --------
    >>> table = goal_table(customers=10_000, retention=0.85, orders_per_customer=4, order_value=50,
    ...                    limits={"order_value": 51})
    >>> print(table.drop(columns=["today_value", "change_share"]).round({"needed_value": 3, "effect_share": 3,
    ...                                                                  "sales_amount": 0}).to_string())
                  way                lever  needed_value  effect_share  reaches_goal  sales_amount
    0           alone            customers     12500.000         1.000          True     2125000.0
    1           alone            retention         1.062         1.000         False     2000000.0
    2           alone  orders_per_customer         5.000         1.000          True     2125000.0
    3           alone          order_value        62.500         1.000         False     1734000.0
    4       all alike            customers     10573.713         0.250         False     2049895.0
    5       all alike            retention         0.899         0.250         False     2049895.0
    6       all alike  orders_per_customer         4.229         0.250         False     2049895.0
    7       all alike          order_value        52.869         0.250         False     2049895.0
    8   within limits            customers     10701.302         0.304          True     2125000.0
    9   within limits            retention         0.910         0.304          True     2125000.0
    10  within limits  orders_per_customer         4.281         0.304          True     2125000.0
    11  within limits          order_value        51.000         0.089          True     2125000.0
    """
    caller = "goal_table"
    levers = {"customers": customers, "retention": retention, "orders_per_customer": orders_per_customer,
              "order_value": order_value}  # fmt: skip
    today = {name: check_amount(value, name=name, caller=caller, positive=True)
             for name, value in levers.items() if value is not None}  # fmt: skip
    if retention is not None and retention > 1:
        raise SchemaError(f"{caller}: retention must be a share above 0 and at most 1, got {retention!r}.")
    most = _limits(today, limits, caller=caller)
    if check_amount(goal, name="goal", caller=caller) <= 1:
        raise SchemaError(f"{caller}: goal must be above 1, such as goal=1.25 for 25 % more sales, got {goal!r}.")
    alike = dict.fromkeys(today, goal ** (1 / len(today)))
    rows = [row for name in today for row in _rows(ALONE, {name: goal}, today, most, goal)]
    rows += _rows(ALIKE, alike, today, most, goal) + _rows(LIMITED, _within(most, goal), today, most, goal)
    return pd.DataFrame(rows)


def _rows(
    way: str, factors: Mapping[str, float], today: Mapping[str, float], most: Mapping[str, float], goal: float
) -> list[dict[str, Any]]:
    """Return the rows of one way; levers without a factor stay as they are."""
    growth = math.prod(factors.values())
    reached = math.prod(min(factor, most[name]) for name, factor in factors.items())
    return [
        {
            "way": way, "lever": name, "today_value": today[name], "needed_value": today[name] * factor,
            "change_share": factor - 1, "effect_share": math.log(factor) / math.log(growth) if growth > 1 else math.nan,
            "reaches_goal": reached >= goal * (1 - ROUNDING), "sales_amount": math.prod(today.values()) * reached,
        }
        for name, factor in factors.items()
    ]  # fmt: skip


def _within(most: Mapping[str, float], goal: float) -> dict[str, float]:
    """Return the factors that reach the goal, equal but for levers at their limit; or all limits, if these do not."""
    at_limit: dict[str, float] = {}
    while len(at_limit) < len(most):
        factor = (goal / math.prod(at_limit.values())) ** (1 / (len(most) - len(at_limit)))
        beyond = {name: limit for name, limit in most.items() if name not in at_limit and limit < factor}
        if not beyond:
            return {name: at_limit.get(name, factor) for name in most}
        at_limit |= beyond
    return {name: at_limit[name] for name in most}


def _limits(today: Mapping[str, float], limits: Mapping[str, float] | None, *, caller: str) -> dict[str, float]:
    """Return how far each lever can rise, as a factor: infinite without a limit."""
    most = dict.fromkeys(today, math.inf)
    if "retention" in today:
        limits = {"retention": 1.0, **(limits or {})}
    for name, value in (limits or {}).items():
        if name not in today:
            hint = did_you_mean(name, today)
            raise SchemaError(f"{caller}: limits has {name!r}, which is no lever here.{hint} Levers: {list(today)}")
        limit = check_amount(value, name=f"limits[{name!r}]", caller=caller)
        if limit < today[name] or (name == "retention" and limit > 1):
            bounds = f"{today[name]:g} (today) or more" + (" and at most 1" if name == "retention" else "")
            raise SchemaError(f"{caller}: the limit of {name!r} must be {bounds}, got {value!r}.")
        most[name] = limit / today[name]
    return most
