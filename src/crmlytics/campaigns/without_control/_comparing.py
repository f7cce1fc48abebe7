"""Treated beside comparison: what results without a random control group have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import columns_of, enter
from crmlytics.campaigns._experiment import CAMPAIGN, CUSTOMER, Experiment, read_experiment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from crmlytics._kernels.panel_effects import Differences

LEAST = 2  # customers, or nothing is known of how they vary
TOO_FEW = "Too few customers in a group: at least 2 are needed."
UNTOLD = "cannot be told: nothing varies between the customers of a group"
NO_SPREAD = "No interval: nothing varies between the customers of a group."


def read_outcomes(outcomes: Any, comparison: Any, *, caller: str) -> Experiment:
    """Read a table of outcomes, of one campaign or of several."""
    columns = columns_of(enter(outcomes, caller=caller)[0])
    key = [name for name in (CAMPAIGN, CUSTOMER) if name in columns or name == CUSTOMER]
    return read_experiment(outcomes, key=key, control=comparison, caller=caller)


def arms_of(experiment: Experiment) -> Iterator[tuple[dict[str, Any], NDArray[np.int64], NDArray[np.int64]]]:
    """Go through campaigns and arms: what a row of results is called, the treated rows, those of the comparison."""
    table = experiment.table
    parts = table.groupby(CAMPAIGN, sort=True).indices if CAMPAIGN in experiment.key else {None: np.arange(len(table))}
    for campaign, places in parts.items():
        here = np.asarray(places, np.int64)
        name = {} if campaign is None else {CAMPAIGN: campaign}
        for code in np.unique(experiment.arm[here]):
            if code:
                arm = experiment.arm[here]
                yield name | {"arm": experiment.arms[code]}, here[arm == code], here[arm == 0]


def campaign_ids(experiment: Experiment) -> dict[str, list[Any]]:
    """Return the campaigns, if the table knows any."""
    return {CAMPAIGN: experiment.table[CAMPAIGN].tolist()} if CAMPAIGN in experiment.key else {}


def with_campaign(kinds: Mapping[str, Any], experiment: Experiment) -> dict[str, Any]:
    """Return the columns of a result, without that of the campaign where the table knows none."""
    return {name: kind for name, kind in kinds.items() if name != CAMPAIGN or CAMPAIGN in experiment.key}


def told(found: Differences, place: int, confidence: float) -> dict[str, Any]:
    """Return one of several differences as the columns that tell it."""
    low, high = found.interval(confidence)
    return {
        "difference": found.estimate[place],
        "difference_low": low[place],
        "difference_high": high[place],
        "p_value": found.p_value()[place],
    }


def with_remark(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row whose caution says so if there is no interval since nothing varies."""
    lacks_interval = np.isnan(row.get("difference_low", 0.0))
    return row | {"caution": f"{row['caution']} {NO_SPREAD}"} if lacks_interval else row
