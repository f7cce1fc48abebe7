"""What a campaign did, in sentences: found, not found, or too small a trial to find it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._plots import short_number
from crmlytics.campaigns._experiment import CAMPAIGN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crmlytics.campaigns.measuring.effects import Reading

    Row = Mapping[str, Any]

POWER = 0.8
LEAST_P_VALUE = 1e-4
SURE = 0.99
FOUND, HARM, NOTHING, TOO_SMALL = "found", "found, for the worse", "not found", "could not have been found"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one arm did to the metric that counts.

    Attributes
    ----------
    label : str
        The arm, after its campaign where there are several.
    finding : str
        ``"found"``, ``"found, for the worse"``, ``"not found"`` or ``"could not have been found"``.
    detectable_difference : float
        The smallest difference that four of five such campaigns would find.
    sentence : str
    """

    label: str
    finding: str
    detectable_difference: float
    sentence: str


@dataclass(frozen=True, slots=True)
class Manner:
    """How figures of a metric are judged and written.

    Attributes
    ----------
    is_share : bool
        In per cent, differences in points.
    worthwhile_lift : float
        The smallest effect worth while, as a share of the control group's mean.
    """

    is_share: bool
    reading: Reading
    worthwhile_lift: float

    def level(self, value: float) -> str:
        """Write a mean."""
        return f"{value:.1%}" if self.is_share else _number(value)

    def size(self, value: float) -> str:
        """Write how large a difference is."""
        return f"{100 * abs(value):.1f} points" if self.is_share else _number(abs(value))

    def signed(self, value: float) -> str:
        """Write a difference."""
        sign = "+" if value >= 0 else "-"
        return sign + (f"{100 * abs(value):.1f}" if self.is_share else _number(abs(value)))


def verdicts_on(rows: Sequence[Row], manner: Manner) -> list[Verdict]:
    """Judge every arm of every campaign in one metric."""
    sizes = Counter(row.get(CAMPAIGN) for row in rows)
    return [_verdict(row, manner, sizes) for row in rows]


def money_words(row: Row, *, several: bool) -> str:
    """Say in a sentence what an arm earned and cost."""
    brought = short_number(row["incremental_margin_amount"])
    profit, low, high = (short_number(row[f"incremental_profit_amount{end}"]) for end in ("", "_low", "_high"))
    told = f"{_label(row, several=several)}: margin {brought} for a cost of {short_number(row['cost_amount'])}"
    probability = row.get("probability_profitable", np.nan)
    if np.isnan(probability):
        return f"{told}; how far that is chance cannot be told."
    likely = f"over {SURE:.0%}" if probability > SURE else f"{probability:.0%}"
    return f"{told}, profit {profit} ({low} to {high}); that it paid is {likely} probable."


# -- inside --------------------------------------------------------------------------------------------------------


def _verdict(row: Row, manner: Manner, sizes: Mapping[Any, int]) -> Verdict:
    label = _label(row, several=len(sizes) > 1)
    if np.isnan(row["p_value"]):
        return Verdict(label, TOO_SMALL, np.nan, f"{label}: {row['metric']} could not be compared: {row['remark']}.")
    detectable = _detectable(row, manner.reading, sizes[row.get(CAMPAIGN)])
    finding = _finding(row, manner, detectable)
    sentence = f"{label}: {_compared(row, manner)}: {_ending(finding, row, manner, detectable)}"
    return Verdict(label, finding, detectable, sentence)


def _detectable(row: Row, reading: Reading, comparisons: int) -> float:
    """Return the smallest difference found with this power, from the width of the interval."""
    from scipy import special

    error = (row["difference_high"] - row["difference_low"]) / 2 / special.ndtri(1 - reading.alpha / 2)
    family = comparisons if reading.correction else 1
    return float(error * (special.ndtri(1 - reading.alpha / family / 2) + special.ndtri(POWER)))


def _worthwhile(row: Row, manner: Manner) -> float:
    return float(manner.worthwhile_lift * abs(row["control_mean"]))


def _finding(row: Row, manner: Manner, detectable: float) -> str:
    if row["is_significant"]:
        return FOUND if row["difference"] > 0 else HARM
    return NOTHING if detectable <= _worthwhile(row, manner) else TOO_SMALL


def _compared(row: Row, manner: Manner) -> str:
    means = f"{manner.level(row['treated_mean'])} against {manner.level(row['control_mean'])} in control"
    low, high = (manner.signed(row[f"difference_{end}"]) for end in ("low", "high"))
    p_value = row["adjusted_p_value"]
    told = f"p = {p_value:.2g}" if p_value >= LEAST_P_VALUE else f"p < {LEAST_P_VALUE}"
    points = " points" * manner.is_share
    interval = f"{manner.reading.confidence:.0%} {low} to {high}, {told}"
    return f"{row['metric']} {means}, {manner.signed(row['difference'])}{points} ({interval})"


def _ending(finding: str, row: Row, manner: Manner, detectable: float) -> str:
    if finding == FOUND:
        return "an effect was found."
    if finding == HARM:
        return "an effect was found, and it is for the worse."
    if finding == NOTHING:
        size = manner.size(detectable)
        return f"no effect was found, and one of {size} would have been in four of five such campaigns."
    worthwhile = manner.size(_worthwhile(row, manner))
    return (
        f"no effect was found, but one worth while ({manner.worthwhile_lift:.0%} of control: {worthwhile}) could not "
        f"have been relied on to show. It takes {manner.size(detectable)} for four of five such campaigns to find it: "
        "hold out more customers, or read several campaigns together."
    )


def _number(value: float) -> str:
    return f"{value:,.2f}" if abs(value) < 1_000 else short_number(value)


def _label(row: Row, *, several: bool) -> str:
    return f"{row[CAMPAIGN]}, {row['arm']}" if several else str(row["arm"])
