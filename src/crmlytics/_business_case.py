"""Does it pay? Cash flows of scenarios, summed up as net present value, payback, return on investment and IRR."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy import optimize

from crmlytics._frames import Engine, collect, columns_of, enter
from crmlytics._validation import check_amount
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

Vector = np.ndarray[Any, np.dtype[np.float64]]

EXPECTED = "expected"
LAST_PERIOD = 10_000
REACH = 700.0  # of ln(1 + rate): a rate beyond e^700 is no rate
TOLERANCE = 1e-9  # money that adds up to this share of what was moved is nothing


def business_case(
    scenarios: Mapping[str, Sequence[float]] | Any,
    *,
    discount_rate: float,
    probabilities: Mapping[str, float] | None = None,
) -> Any:
    """Judge scenarios of an investment (worst, likely, best) by their cash flows.

    Parameters
    ----------
    scenarios : dict of name to net cash flows, or dataframe
        The first cash flow of a list is that of period 0, now. A dataframe has ``scenario``, ``period`` (0, 1, ...),
        ``benefit_amount`` and ``cost_amount`` (both zero or more); rows of one period add up, left out periods are 0.
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
        net cash flows change sign more than once, so that there may be several). With probabilities also
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
    case = _read_case(scenarios, discount_rate, probabilities, caller=caller)
    rows = [_judged(name, flows, case.discount_rate) for name, flows in case.flows.items()]
    if probabilities is not None:
        for row in rows:
            row["probability"] = case.weights[row["scenario"]]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    schema = nw.Schema({name: nw.String() if name == "scenario" else nw.Float64() for name in columns})
    return case.engine.from_columns(columns, schema)


def cash_flow_table(
    scenarios: Mapping[str, Sequence[float]] | Any,
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
        ``cumulative_discounted_amount`` (all Float64; the last one ends at the net present value).

    Examples
    --------
    >>> table = cash_flow_table({"likely": [-100, 60, 60]}, discount_rate=0.1)
    >>> table[["period", "net_amount", "cumulative_amount", "cumulative_discounted_amount"]].round(2)
       period  net_amount  cumulative_amount  cumulative_discounted_amount
    0       0      -100.0             -100.0                       -100.00
    1       1        60.0              -40.0                        -45.45
    2       2        60.0               20.0                          4.13
    """
    case = _read_case(scenarios, discount_rate, probabilities, caller="cash_flow_table")
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
        for name, values in columns.items():
            parts.setdefault(name, []).extend(values)
    kinds: dict[str, Any] = {"scenario": nw.String(), "period": nw.Int64()}
    return case.engine.from_columns(parts, nw.Schema({name: kinds.get(name, nw.Float64()) for name in parts}))


# -- figures of one series of cash flows


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


# -- reading


@dataclass(frozen=True, slots=True)
class _Flows:
    """Benefits and costs of periods 0, 1, ..., two arrays of one shape."""

    benefit: Vector
    cost: Vector

    @property
    def net(self) -> Vector:
        return np.asarray(self.benefit - self.cost)


@dataclass(frozen=True, slots=True)
class _Case:
    flows: dict[str, _Flows]
    discount_rate: float
    weights: dict[str, float]
    engine: Engine


def _judged(scenario: str, flows: _Flows, discount_rate: float) -> dict[str, Any]:
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


def _read_case(
    scenarios: Any, discount_rate: float, probabilities: Mapping[str, float] | None, *, caller: str
) -> _Case:
    rate = check_amount(discount_rate, name="discount_rate", caller=caller)
    if isinstance(scenarios, Mapping):
        flows, engine = _from_lists(scenarios, caller=caller), enter(pd.DataFrame(), caller=caller)[1]
    else:
        flows, engine = _from_frame(scenarios, caller=caller)
    if not flows:
        raise SchemaError(f"{caller}: there is no scenario. Give at least one, such as {{'likely': [-100, 60, 60]}}.")
    flows = dict(sorted(flows.items()))
    if probabilities is None:
        return _Case(flows, rate, {}, engine)
    weights = _check_weights(probabilities, flows, caller=caller)
    return _Case({**flows, EXPECTED: _expected(flows, weights)}, rate, {**weights, EXPECTED: 1.0}, engine)


def _from_lists(scenarios: Mapping[str, Sequence[float]], *, caller: str) -> dict[str, _Flows]:
    flows = {}
    for name, values in scenarios.items():
        net = np.asarray(values, dtype=float)
        if net.ndim != 1 or len(net) == 0 or not np.isfinite(net).all():
            msg = f"{caller}: the cash flows of {name!r} must be a list of finite numbers, got {values!r}."
            raise SchemaError(msg)
        flows[str(name)] = _Flows(np.maximum(net, 0.0), np.maximum(-net, 0.0))
    return flows


def _from_frame(native: Any, *, caller: str) -> tuple[dict[str, _Flows], Engine]:
    frame, engine = enter(native, caller=caller)
    names = ["scenario", "period", "benefit_amount", "cost_amount"]
    missing = [name for name in names if name not in columns_of(frame)]
    if missing:
        msg = f"{caller} needs the columns {missing}, got {columns_of(frame)}. Or give a dict of name to cash flows."
        raise MissingColumnsError(msg)
    numbers = [nw.col(name).cast(nw.Float64).fill_null(math.nan) for name in names[1:]]
    rows = collect(frame.select(nw.col("scenario").cast(nw.String), *numbers))
    period, benefit, cost = (np.asarray(rows[name].to_numpy(), dtype=float) for name in names[1:])
    if rows["scenario"].null_count():
        raise SchemaError(f"{caller}: some rows name no scenario.")
    if not ((period >= 0) & (period <= LAST_PERIOD) & (period == np.floor(period))).all():
        raise SchemaError(f"{caller}: period must be a whole number from 0, which is now, to {LAST_PERIOD}.")
    if not (np.isfinite(benefit) & np.isfinite(cost) & (benefit >= 0) & (cost >= 0)).all():
        raise SchemaError(
            f"{caller}: benefit_amount and cost_amount must be numbers of zero or more; costs are positive."
        )
    scenario = rows["scenario"].to_list()
    places = np.asarray(scenario, dtype=object)
    return {
        name: _by_period(period[places == name], benefit[places == name], cost[places == name])
        for name in dict.fromkeys(scenario)
    }, engine


def _by_period(period: Vector, benefit: Vector, cost: Vector) -> _Flows:
    number = period.astype(np.int64)
    return _Flows(np.bincount(number, benefit).astype(float), np.bincount(number, cost).astype(float))


def _check_weights(probabilities: Mapping[str, float], flows: Mapping[str, _Flows], *, caller: str) -> dict[str, float]:
    if set(probabilities) != set(flows):
        msg = f"{caller}: probabilities must name every scenario: {sorted(flows)}, got {sorted(probabilities)}."
        raise SchemaError(msg)
    if EXPECTED in flows:
        raise SchemaError(
            f"{caller}: a scenario is called {EXPECTED!r}, like the row that probabilities add. Rename it."
        )
    weights = {name: check_amount(value, name=f"probability of {name!r}", caller=caller)
               for name, value in probabilities.items()}  # fmt: skip
    total = math.fsum(weights.values())
    if abs(total - 1) > TOLERANCE:
        raise SchemaError(f"{caller}: the probabilities add up to {total:g}, expected 1.")
    return weights


def _expected(flows: Mapping[str, _Flows], weights: Mapping[str, float]) -> _Flows:
    """Return the mean cash flows over scenarios; a scenario that ends early has none later."""
    longest = max(len(each.net) for each in flows.values())
    benefit, cost = np.zeros(longest), np.zeros(longest)
    for name, each in flows.items():
        benefit[: len(each.net)] += weights[name] * each.benefit
        cost[: len(each.net)] += weights[name] * each.cost
    return _Flows(benefit, cost)
