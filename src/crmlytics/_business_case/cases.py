"""Does it pay? Cash flows of scenarios, summed up as net present value, payback, return on investment and IRR."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._business_case._figures import Flows, internal_rate_of_return, net_present_value, payback_period
from crmlytics._business_case._reading import REVENUE, read_case

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crmlytics._business_case.plan import CampaignPlan


def business_case(
    scenarios: Mapping[str, Sequence[float] | CampaignPlan] | Any,
    *,
    discount_rate: float,
    probabilities: Mapping[str, float] | None = None,
) -> Any:
    """Judge scenarios of an investment (worst, likely, best) by their cash flows.

    Parameters
    ----------
    scenarios : dict of name to net cash flows or to :class:`CampaignPlan`, or dataframe
        The first cash flow of a list is that of period 0, now. A dataframe has ``scenario``, ``period`` (0, 1, ...),
        ``benefit_amount`` (of a campaign the margin of the extra sales, never their revenue) and ``cost_amount`` (both
        zero or more), and may have ``revenue_amount``; rows of one period add up, left out periods are 0.
        :func:`plan_scenarios` makes worst, likely and best of ranges.
    discount_rate : float
        Per period, zero or more: 0.1 if periods are years and money costs 10 % a year.
    probabilities : dict of name to probability, optional
        Of every scenario; they add up to 1. Adds a last row ``"expected"``, of the expected cash flows.

    Returns
    -------
    dataframe of the kind that came in (pandas for a dict), one row per scenario, sorted by ``scenario``
        ``scenario`` (String), ``benefit_amount``, ``cost_amount`` (Float64, sums, not discounted; of net cash flows the
        positive and the negative ones), ``npv_amount`` (Float64, ``sum of net_t / (1 + d)^t``),
        ``payback_period_count`` (Float64, periods until the cumulative net amount, not discounted, is first back to 0,
        interpolated within the period as if money came in evenly; 0 if it was never below, null if it stays so),
        ``roi`` (Float64, ``(benefits - costs) / costs``, not discounted; null without costs),
        ``irr`` (Float64, the discount rate at which the net present value is zero; null where there is none, or where
        net cash flows change sign more than once, so that there may be several). With plans, or with revenue in the
        dataframe, also ``revenue_amount`` (Float64, sum, not discounted; it is in no other figure); with probabilities
        ``probability`` (Float64, 1 for ``"expected"``).

    Raises
    ------
    SchemaError
        If amounts are missing or not finite, periods are not whole numbers of zero or more, or probabilities do not
        name every scenario and add up to 1.

    Notes
    -----
    The expected net present value is the mean of the scenarios' values; payback and IRR are those of the expected cash
    flows, not means. By Descartes' rule of signs, net cash flows that change sign once have exactly one IRR above -1.

    References
    ----------
    Brealey, R., Myers, S. and Allen, F., Principles of corporate finance, McGraw-Hill (the chapter on why net present
    value leads to better decisions than payback and IRR).

    Examples
    --------
    >>> flows = {"worst": [-100, 20, 30], "likely": [-100, 60, 60], "best": [-100, 80, 90]}
    >>> case = business_case(flows, discount_rate=0.1, probabilities={"worst": 0.25, "likely": 0.5, "best": 0.25})
    >>> case[["scenario", "npv_amount", "payback_period_count", "roi", "irr"]].round(3)
       scenario  npv_amount  payback_period_count   roi    irr
    0      best      47.107                 1.222  0.70  0.430
    1    likely       4.132                 1.667  0.20  0.131
    2     worst     -57.025                   NaN -0.50 -0.343
    3  expected      -0.413                 1.750  0.15  0.097
    """
    caller = "business_case"
    case = read_case(scenarios, discount_rate, probabilities, caller=caller)
    rows = [_judged(name, flows, case.discount_rate) for name, flows in case.flows.items()]
    for row in rows:
        if case.has_revenue:
            revenue = case.flows[row["scenario"]].revenue
            row[REVENUE] = None if revenue is None else math.fsum(revenue)
        if probabilities is not None:
            row["probability"] = case.weights[row["scenario"]]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    schema = nw.Schema({name: nw.String() if name == "scenario" else nw.Float64() for name in columns})
    return case.engine.from_columns(columns, schema)


def cash_flow_table(
    scenarios: Mapping[str, Sequence[float] | CampaignPlan] | Any,
    *,
    discount_rate: float,
    probabilities: Mapping[str, float] | None = None,
) -> Any:
    """List the cash flows of a business case by period, discounted and added up: what its figures are made of.

    Parameters
    ----------
    scenarios, discount_rate, probabilities
        As in :func:`business_case`.

    Returns
    -------
    dataframe of the kind that came in (pandas for a dict), one row per scenario and period, sorted by both
        ``scenario`` (String), ``period`` (Int64, from 0 to the last one of the scenario), ``benefit_amount``,
        ``cost_amount``, ``net_amount``, ``cumulative_amount``, ``discounted_amount`` (``net_amount / (1 + d)^t``),
        ``cumulative_discounted_amount`` (all Float64; the last one ends at the net present value); ``revenue_amount``
        (Float64) as there.

    Examples
    --------
    >>> table = cash_flow_table({"likely": [-100, 60, 60]}, discount_rate=0.1)
    >>> table[["period", "net_amount", "cumulative_amount", "cumulative_discounted_amount"]].round(2)
       period  net_amount  cumulative_amount  cumulative_discounted_amount
    0       0      -100.0             -100.0                       -100.00
    1       1        60.0              -40.0                        -45.45
    2       2        60.0               20.0                          4.13
    """
    case = read_case(scenarios, discount_rate, probabilities, caller="cash_flow_table")
    parts: dict[str, list[Any]] = {}
    for scenario, flows in case.flows.items():
        period = np.arange(len(flows.net))
        discounted = flows.net / (1 + case.discount_rate) ** period
        columns: dict[str, Any] = {
            "scenario": [scenario] * len(period),
            "period": period,
            "benefit_amount": flows.benefit,
            "cost_amount": flows.cost,
            "net_amount": flows.net,
            "cumulative_amount": np.cumsum(flows.net),
            "discounted_amount": discounted,
            "cumulative_discounted_amount": np.cumsum(discounted),
        }
        if case.has_revenue:
            columns[REVENUE] = [None] * len(period) if flows.revenue is None else flows.revenue
        for name, values in columns.items():
            parts.setdefault(name, []).extend(values)
    kinds: dict[str, Any] = {"scenario": nw.String(), "period": nw.Int64()}
    return case.engine.from_columns(parts, nw.Schema({name: kinds.get(name, nw.Float64()) for name in parts}))


def _judged(scenario: str, flows: Flows, discount_rate: float) -> dict[str, Any]:
    benefit, cost = math.fsum(flows.benefit), math.fsum(flows.cost)
    return {
        "scenario": scenario,
        "benefit_amount": benefit,
        "cost_amount": cost,
        "npv_amount": net_present_value(flows.net, discount_rate),
        "payback_period_count": payback_period(flows.net),
        "roi": (benefit - cost) / cost if cost else None,
        "irr": internal_rate_of_return(flows.net),
    }
