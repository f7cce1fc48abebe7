"""Reading drivers: which are fixed, which range from worst to best, and whether the model takes them."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from crmlytics._business_case._figures import net_present_value
from crmlytics._business_case._reading import flows_of
from crmlytics.exceptions import SchemaError

SCENARIOS = ("worst", "likely", "best")


@dataclass(frozen=True, slots=True)
class Drivers:
    """A model and the values of its drivers: ``likely`` of all, ``ranges`` (worst, best) of those that may vary."""

    model: Callable[..., Any]
    likely: dict[str, Any]
    ranges: dict[str, tuple[Any, Any]]

    def scenario(self, **values: Any) -> Any:
        """Return the model's answer where all drivers but these are likely."""
        return self.model(**{**self.likely, **values})

    def npv(self, discount_rate: float, *, caller: str, **values: Any) -> float:
        """Return the net present value where all drivers but these are likely."""
        return net_present_value(flows_of(self.scenario(**values), values, caller=caller).net, discount_rate)


def read_drivers(model: Any, drivers: Any, *, caller: str) -> Drivers:
    """Read ``{name: number}`` and ``{name: (worst, likely, best)}``."""
    example = 'such as drivers={"customer_count": 10_000, "uplift_share": (0.005, 0.01, 0.02)}'
    if not callable(model):
        raise SchemaError(f"{caller}: model must be CampaignPlan or a function of drivers, got {model!r}.")
    if not isinstance(drivers, Mapping):
        raise SchemaError(f"{caller}: drivers must map names to values, {example}, got {drivers!r}.")
    likely, ranges = {}, {}
    for name, value in drivers.items():
        worst, likely[name], best = _three(name, value, caller=caller)
        if isinstance(value, (tuple, list)):
            ranges[name] = (worst, best)
    if not ranges:
        raise SchemaError(f"{caller}: no driver has a range. Give (worst, likely, best), {example}.")
    _check_names(model, likely, caller=caller)
    return Drivers(model, likely, ranges)


def _three(name: str, value: Any, *, caller: str) -> tuple[Any, Any, Any]:
    three = tuple(value) if isinstance(value, (tuple, list)) else (value,) * 3
    numeric = [isinstance(each, numbers.Real) and not isinstance(each, bool) for each in three]
    if len(three) != 3 or not all(numeric) or not all(math.isfinite(each) for each in three):
        msg = f"{caller}: the driver {name!r} must be a number or (worst, likely, best), got {value!r}."
        raise SchemaError(msg)
    worst, likely, best = three
    if not (worst <= likely <= best or worst >= likely >= best):
        msg = f"{caller}: the likely value of {name!r} must lie between the worst and the best, got {value!r}."
        raise SchemaError(msg)
    return worst, likely, best


def _check_names(model: Callable[..., Any], likely: Mapping[str, Any], *, caller: str) -> None:
    signature = inspect.signature(model)
    try:
        signature.bind(**likely)
    except TypeError as error:
        msg = f"{caller}: the model does not take these drivers ({error}). It takes {list(signature.parameters)}."
        raise SchemaError(msg) from error
