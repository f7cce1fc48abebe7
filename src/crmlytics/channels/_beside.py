"""What is known of channels beside their touchpoints: what they cost, and what an experiment measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._measured import read_measured
from crmlytics.channels._credit import CALLER
from crmlytics.channels._reading import channel_costs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.channels._paths import Touches

    Floats = NDArray[np.float64]

MEASURED = "incremental_conversion_count"


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """Costs and experiments by channel; arrays have a value a channel, NaN where it is not known.

    Attributes
    ----------
    channels : list of str
        Those with touchpoints, and after them those that only have a cost.
    cost : float64 array
    measured : dict of float64 arrays
    """

    channels: list[str]
    cost: Floats
    measured: dict[str, Floats]

    @classmethod
    def of(cls, costs: Any, experiment: Any, touches: Touches) -> Beside:
        """Read what the caller says; costs are those of the events if he says nothing."""
        channels, known = touches.channels, touches.costs
        if costs is not None:
            given = channel_costs(costs, channels, caller=CALLER)
            channels = [*channels, *sorted(given.keys() - set(channels))]
            known = np.array([given.get(name, np.nan) for name in channels])
        cost = np.full(len(channels), np.nan) if known is None else known
        measured = read_measured(experiment, channels, role="channel", figure=MEASURED, caller=CALLER)
        return cls(channels, cost, measured)
