"""What a campaign did, in sentences: found, not found, too small a trial to find it, or no trial at all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._plots import short_number
from crmlytics.campaigns._experiment import CAMPAIGN
from crmlytics.campaigns.measuring._no_trial import NOT_COMPARABLE, is_marked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crmlytics.campaigns.measuring.effects import Reading

    Row = Mapping[str, Any]

POWER = 0.8
LEAST_P_VALUE = 1e-4
SURE = 0.99
FOUND, HARM, NOTHING, TOO_SMALL = "found", "found, for the worse", "not found", "could not have been found"
ENDINGS = {
    FOUND: "an effect was found.",
    HARM: "an effect was found, and it is for the worse.",
    NOT_COMPARABLE: "not comparable, since the groups were not dealt at random: this is no effect of the campaign.",
}
MORE = "{} more customers, or read several campaigns together."
BOTH = "contact and hold out"  # where arms are of one size, holding out more of the same customers finds less


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one arm did to the metric that counts.

    Attributes
    ----------
    label : str
        The arm, after its campaign where there are several.
    finding : str
        ``"found"``, ``"found, for the worse"``, ``"not found"``, ``"could not have been found"`` or ``"not
        comparable"``: the groups were not dealt at random.
    detectable_difference : float
        The smallest difference that four of five such campaigns would find; NaN where so few can show none.
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
    label, cost = _label(row, several=several), short_number(row["cost_amount"])
    if is_marked(row):
        ahead = f"{label}: ahead of the other group by a margin of {brought} for a cost of {cost}"
        return f"{ahead}, {profit} ({low} to {high}) after it; how much of that the contacts earned cannot be told."
    told, probability = f"{label}: margin {brought} for a cost of {cost}", row.get("probability_profitable", np.nan)
    if np.isnan(probability):
        return f"{told}; how far that is chance cannot be told."
    likely = f"over {SURE:.0%}" if probability > SURE else f"{probability:.0%}"
    return f"{told}, profit {profit} ({low} to {high}); that it paid is {likely} probable."


# -- inside --------------------------------------------------------------------------------------------------------


def _verdict(row: Row, manner: Manner, sizes: Mapping[Any, int]) -> Verdict:
    label = _label(row, several=len(sizes) > 1)
    if np.isnan(row["p_value"]):
        return Verdict(label, TOO_SMALL, np.nan, f"{label}: {row['metric']} could not be compared: {row['remark']}.")
    comparisons = sizes[row.get(CAMPAIGN)] if manner.reading.is_corrected else 1
    detectable = np.nan if is_marked(row) else _detectable(row, manner, comparisons)
    finding = _finding(row, manner, detectable)
    ending = ENDINGS.get(finding) or _nothing_found(row, manner, detectable, comparisons)
    return Verdict(label, finding, detectable, f"{label}: {_compared(row, manner)}: {ending}")


def _detectable(row: Row, manner: Manner, comparisons: int) -> float:
    """Return the smallest difference found with this power, from the width of the interval; NaN where there is none."""
    from scipy import special

    alpha = manner.reading.alpha
    error = (row["difference_high"] - row["difference_low"]) / 2 / special.ndtri(1 - alpha / 2)
    found = float(error * (special.ndtri(1 - alpha / comparisons / 2) + special.ndtri(POWER)))
    if not manner.is_share:
        return found
    is_possible = found <= max(row["control_mean"], 1 - row["control_mean"])
    return found if is_possible and _all_against_none(row) <= alpha / comparisons else np.nan


def _all_against_none(row: Row) -> float:
    """Return the p-value of the largest difference that so many customers can show."""
    from crmlytics._kernels.proportion_tests import difference_p_value

    treated, control = (np.array([row[name]], np.int64) for name in ("treated_count", "control_count"))
    return float(difference_p_value(treated, treated, np.zeros_like(control), control)[0])


def _worthwhile(row: Row, manner: Manner) -> float:
    return float(manner.worthwhile_lift * abs(row["control_mean"]))


def _finding(row: Row, manner: Manner, detectable: float) -> str:
    if is_marked(row):
        return NOT_COMPARABLE
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


def _nothing_found(row: Row, manner: Manner, detectable: float, comparisons: int) -> str:
    """Say that no effect was found, and what that is worth."""
    is_corrected = row["p_value"] <= manner.reading.alpha
    told = "no effect was found" + f" after correction for {comparisons} comparisons" * is_corrected
    size, worthwhile = manner.size(detectable), _worthwhile(row, manner)
    if detectable <= worthwhile:
        return f"{told}, and one of {size} would have been in four of five such campaigns."
    if np.isnan(detectable):
        return f"{told}, and none could have been with so few customers: {MORE.format(BOTH)}"
    lift = f"{manner.worthwhile_lift:.0%} of control"
    lacking = f"one worth while ({lift}: {manner.size(worthwhile)}) could not have been relied on to show"
    if not worthwhile:
        lacking = f"{lift}, where there is nothing, does not say what would be worth while"
    more = MORE.format("hold out" if row["control_count"] < row["treated_count"] / 2 else BOTH)
    return f"{told}, but {lacking}. It takes {size} for four of five such campaigns to find it: {more}"


def _number(value: float) -> str:
    return f"{value:,.2f}" if abs(value) < 1_000 else short_number(value)


def _label(row: Row, *, several: bool) -> str:
    return f"{row[CAMPAIGN]}, {row['arm']}" if several else str(row["arm"])
