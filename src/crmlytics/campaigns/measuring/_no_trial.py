"""What is said of groups that were not dealt at random: their difference is not what the campaign did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._validation import warn
from crmlytics.campaigns._experiment import CAMPAIGN, NOT_CONTACTED, word_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

NOT_COMPARABLE = "not comparable"
REMARK = f"{NOT_COMPARABLE}: the groups were not dealt at random"
NO_CONTROL_GROUP = (
    f"{NOT_CONTACTED!r} is no control group: customers whom a campaign left out differ from those it contacted, and "
    "would have bought more or less anyway. See matched_effect_table(...) and difference_in_differences_table(...). "
    "Call a group 'control' if it was held out at random."
)


def is_trial(control: Any) -> bool:
    """Whether the control group may have been dealt at random."""
    return word_of(control) != NOT_CONTACTED


def tell_if_no_trial(control: Any, *, caller: str) -> None:
    """Warn of a comparison with customers whom nobody held out."""
    if not is_trial(control):
        warn(f"{caller}: {NO_CONTROL_GROUP}")


def remarked(
    rows: Iterable[dict[str, Any]], control: Any, apart: Collection[tuple[Any, str]] = ()
) -> list[dict[str, Any]]:
    """Return rows of results, marked where an arm (``apart``: campaign and arm) cannot be compared with control."""
    return [_marked(row) if not is_trial(control) or (row.get(CAMPAIGN), row["arm"]) in apart else row for row in rows]


def is_marked(row: Mapping[str, Any]) -> bool:
    """Whether a row of results says of itself that it cannot be compared."""
    return str(row.get("remark")).startswith(NOT_COMPARABLE)


def _marked(row: dict[str, Any]) -> dict[str, Any]:
    unknown = {name: np.nan for name in ("probability_profitable",) if name in row}
    return row | unknown | {"remark": "; ".join(filter(None, [REMARK, row.get("remark")]))}
