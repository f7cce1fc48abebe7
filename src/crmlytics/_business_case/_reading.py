"""Reading scenarios: lists of net cash flows, plans, or a table of benefits and costs by period."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from crmlytics._business_case._figures import TOLERANCE, Flows, Vector
from crmlytics._business_case.plan import LAST_PERIOD, CampaignPlan
from crmlytics._frames import Engine, collect, columns_of, enter
from crmlytics._validation import check_amount
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

EXPECTED = "expected"
NEEDED = ("benefit_amount", "cost_amount")
REVENUE = "revenue_amount"


@dataclass(frozen=True, slots=True)
class Case:
    """Scenarios by name, sorted; the expected one last, if there are probabilities (``weights``)."""

    flows: dict[str, Flows]
    discount_rate: float
    weights: dict[str, float]
    engine: Engine

    @property
    def has_revenue(self) -> bool:
        """Whether a scenario tells its revenue."""
        return any(flows.revenue is not None for flows in self.flows.values())


def read_case(scenarios: Any, discount_rate: float, probabilities: Mapping[str, float] | None, *, caller: str) -> Case:
    """Read scenarios, whatever they came as; probabilities add the expected one."""
    rate = check_amount(discount_rate, name="discount_rate", caller=caller)
    if isinstance(scenarios, Mapping):
        flows = {str(name): flows_of(scenario, name, caller=caller) for name, scenario in scenarios.items()}
        engine = enter(pd.DataFrame(), caller=caller)[1]
    else:
        flows, engine = _from_frame(scenarios, caller=caller)
    if not flows:
        raise SchemaError(f"{caller}: there is no scenario. Give at least one, such as {{'likely': [-100, 60, 60]}}.")
    flows = dict(sorted(flows.items()))
    if probabilities is None:
        return Case(flows, rate, {}, engine)
    weights = _check_weights(probabilities, flows, caller=caller)
    return Case({**flows, EXPECTED: _expected(flows, weights)}, rate, {**weights, EXPECTED: 1.0}, engine)


def flows_of(scenario: Sequence[float] | CampaignPlan, name: Any, *, caller: str) -> Flows:
    """Read one scenario: a plan, or a list of net cash flows."""
    if isinstance(scenario, CampaignPlan):
        return scenario.flows()
    msg = f"{caller}: the cash flows of {name!r} must be a list of finite numbers, got {scenario!r}."
    try:
        net = np.asarray(scenario, dtype=float)
    except (TypeError, ValueError) as error:
        raise SchemaError(msg) from error
    if net.ndim != 1 or len(net) == 0 or not np.isfinite(net).all():
        raise SchemaError(msg)
    return Flows(np.maximum(net, 0.0), np.maximum(-net, 0.0))


def _from_frame(native: Any, *, caller: str) -> tuple[dict[str, Flows], Engine]:
    frame, engine = enter(native, caller=caller)
    there = columns_of(frame)
    missing = [name for name in ("scenario", "period", *NEEDED) if name not in there]
    if missing:
        msg = f"{caller} needs the columns {missing}, got {there}. Or give a dict of name to cash flows."
        raise MissingColumnsError(msg)
    names = ["period", *NEEDED, *([REVENUE] if REVENUE in there else [])]
    numbers = [nw.col(name).cast(nw.Float64).fill_null(math.nan) for name in names]
    rows = collect(frame.select(nw.col("scenario").cast(nw.String), *numbers))
    if rows["scenario"].null_count():
        raise SchemaError(f"{caller}: some rows name no scenario.")
    values = {name: np.asarray(rows[name].to_numpy(), dtype=float) for name in names}
    _check_values(values, caller=caller)
    scenario = rows["scenario"].to_list()
    places = np.asarray(scenario, dtype=object)
    return {
        name: _by_period({column: each[places == name] for column, each in values.items()})
        for name in dict.fromkeys(scenario)
    }, engine


def _check_values(values: Mapping[str, Vector], *, caller: str) -> None:
    period, benefit, cost = (values[name] for name in ("period", *NEEDED))
    if not ((period >= 0) & (period <= LAST_PERIOD) & (period == np.floor(period))).all():
        raise SchemaError(f"{caller}: period must be a whole number from 0, which is now, to {LAST_PERIOD}.")
    if not (np.isfinite(benefit) & np.isfinite(cost) & (benefit >= 0) & (cost >= 0)).all():
        raise SchemaError(
            f"{caller}: benefit_amount and cost_amount must be numbers of zero or more; costs are positive."
        )
    if not np.isfinite(values.get(REVENUE, period)).all():
        raise SchemaError(f"{caller}: {REVENUE} is missing or not finite in some rows.")


def _by_period(values: Mapping[str, Vector]) -> Flows:
    number = values["period"].astype(np.int64)
    sums = {name: np.bincount(number, each).astype(float) for name, each in values.items()}
    return Flows(sums["benefit_amount"], sums["cost_amount"], sums.get(REVENUE))


def _check_weights(probabilities: Mapping[str, float], flows: Mapping[str, Flows], *, caller: str) -> dict[str, float]:
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


def _expected(flows: Mapping[str, Flows], weights: Mapping[str, float]) -> Flows:
    """Return the mean cash flows over scenarios; a scenario that ends early has none later."""
    longest = max(len(each.net) for each in flows.values())

    def mean(series: Mapping[str, Vector]) -> Vector:
        total = np.zeros(longest)
        for name, values in series.items():
            total[: len(values)] += weights[name] * values
        return total

    revenues = {name: each.revenue for name, each in flows.items() if each.revenue is not None}
    return Flows(
        mean({name: each.benefit for name, each in flows.items()}),
        mean({name: each.cost for name, each in flows.items()}),
        mean(revenues) if len(revenues) == len(flows) else None,
    )
