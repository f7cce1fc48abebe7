"""What the result hangs on: one driver at a time from worst to best, and where each of them breaks even."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crmlytics._business_case._drivers import SCENARIOS, Drivers, read_drivers
from crmlytics._business_case._figures import TOLERANCE
from crmlytics._validation import check_amount
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from crmlytics._business_case.plan import CampaignPlan

Range = tuple[float, float, float]


def plan_scenarios(
    model: Callable[..., CampaignPlan | Sequence[float]], *, drivers: Mapping[str, float | Range]
) -> dict[str, Any]:
    """Make the scenarios of a business case: every driver at its worst, at its likely and at its best value.

    Parameters
    ----------
    model, drivers
        As in :func:`sensitivity_table`.

    Returns
    -------
    dict of ``"worst"``, ``"likely"`` and ``"best"`` to what the model says
        Hand it to :func:`business_case`.

    Raises
    ------
    SchemaError
        As :func:`sensitivity_table`.

    Notes
    -----
    That everything goes wrong at once is far less likely than that one thing does: give ``"worst"`` and ``"best"``
    small probabilities.

    Examples
    --------
    >>> drivers = {"customer_count": 10_000, "uplift_share": (0.005, 0.01, 0.02), "order_amount": (40, 50, 55),
    ...            "margin_share": 0.4, "contact_cost_amount": 0.15}
    >>> from crmlytics.campaigns import CampaignPlan, business_case
    >>> case = business_case(plan_scenarios(CampaignPlan, drivers=drivers), discount_rate=0.1)
    >>> case[["scenario", "revenue_amount", "benefit_amount", "cost_amount", "npv_amount"]].round(1)
      scenario  revenue_amount  benefit_amount  cost_amount  npv_amount
    0     best         11000.0          4400.0       1500.0      2500.0
    1   likely          5000.0          2000.0       1500.0       318.2
    2    worst          2000.0           800.0       1500.0      -772.7
    """
    read = read_drivers(model, drivers, caller="plan_scenarios")
    worst, best = ({name: ends[i] for name, ends in read.ranges.items()} for i in (0, 1))
    values = zip(SCENARIOS, (worst, {}, best), strict=True)
    return {scenario: read.scenario(**chosen) for scenario, chosen in values}


def sensitivity_table(
    model: Callable[..., CampaignPlan | Sequence[float]],
    *,
    drivers: Mapping[str, float | Range],
    discount_rate: float,
) -> Any:
    """Say what each driver does to the net present value, all others being as likely.

    Parameters
    ----------
    model : CampaignPlan or function
        Takes the drivers as keywords; returns a :class:`CampaignPlan` or a list of net cash flows, that of period 0
        first.
    drivers : dict of name to number or (worst, likely, best)
        A number is fixed. Worst is what brings least: of a cost the highest. Ranges should be equally wide in meaning,
        such as the values that are passed in one of ten cases.
    discount_rate : float
        Per period, zero or more.

    Returns
    -------
    pandas dataframe, one row per driver with a range, sorted by ``swing_amount``, the widest first (a tornado)
        ``driver`` (String), ``worst_value``, ``likely_value``, ``best_value``, ``worst_npv_amount``,
        ``likely_npv_amount`` (the same everywhere), ``best_npv_amount``, ``swing_amount`` (best less worst),
        ``break_even_value`` (where the net present value comes to zero on the way from worst to best; of a driver that
        the model takes in whole numbers only, such as periods, the first at which it is not below; missing if it does
        not; all Float64).

    Raises
    ------
    SchemaError
        When drivers are not what the model takes, no driver has a range, or the worst value brings more than the best.

    Notes
    -----
    One at a time: drivers that go wrong together are a scenario (:func:`plan_scenarios`), not a row of this table.

    Examples
    --------
    >>> drivers = {"customer_count": 10_000, "uplift_share": (0.005, 0.01, 0.02), "order_amount": (40, 50, 55),
    ...            "margin_share": 0.4, "contact_cost_amount": (0.2, 0.15, 0.1)}
    >>> from crmlytics.campaigns import CampaignPlan
    >>> table = sensitivity_table(CampaignPlan, drivers=drivers, discount_rate=0.1)
    >>> print(table.drop(columns=["likely_value", "likely_npv_amount"]).round(3).to_string())
                    driver  worst_value  best_value  worst_npv_amount  best_npv_amount  swing_amount  break_even_value
    0         uplift_share        0.005        0.02          -590.909         2136.364      2727.273             0.008
    1  contact_cost_amount        0.200        0.10          -181.818          818.182      1000.000             0.182
    2         order_amount       40.000       55.00           -45.455          500.000       545.455            41.250
    """
    caller = "sensitivity_table"
    rate = check_amount(discount_rate, name="discount_rate", caller=caller)
    read = read_drivers(model, drivers, caller=caller)
    likely = read.npv(rate, caller=caller)
    rows = [_row(name, read, likely, rate, caller=caller) for name in read.ranges]
    rows.sort(key=lambda row: (-row["swing_amount"], row["driver"]))
    return pd.DataFrame(rows).astype(dict.fromkeys(list(rows[0])[1:], float))


def _row(name: str, drivers: Drivers, likely: float, rate: float, *, caller: str) -> dict[str, Any]:
    worst, best = drivers.ranges[name]

    def npv(value: Any) -> float:
        return drivers.npv(rate, caller=caller, **{name: value})

    low, high = npv(worst), npv(best)
    if low - high > TOLERANCE * (abs(low) + abs(high)):
        msg = (
            f"{caller}: the worst value of {name!r} ({worst:g}) brings more than the best ({best:g}): {low:,.2f} "
            f"against {high:,.2f}. Give them as {name}=({best:g}, {drivers.likely[name]:g}, {worst:g})."
        )
        raise SchemaError(msg)
    return {
        "driver": name, "worst_value": worst, "likely_value": drivers.likely[name], "best_value": best,
        "worst_npv_amount": low, "likely_npv_amount": likely, "best_npv_amount": high, "swing_amount": high - low,
        "break_even_value": _break_even(npv, worst, best) if low < 0 <= high else np.nan,
    }  # fmt: skip


def _break_even(npv: Callable[[Any], float], worst: Any, best: Any) -> float:
    """Return where the net present value comes to zero, between a worst value below and a best value not below."""
    from scipy import optimize

    try:
        way = float(optimize.brentq(lambda part: npv(worst + part * (best - worst)), 0.0, 1.0, xtol=1e-14))
        return float(worst + way * (best - worst))
    except (TypeError, ValueError):  # such as half a period
        if not (isinstance(worst, Integral) and isinstance(best, Integral)):
            raise
    below, reached = int(worst), int(best)
    while abs(reached - below) > 1:
        middle = (below + reached) // 2
        below, reached = (middle, reached) if npv(middle) < 0 else (below, middle)
    return float(reached)
