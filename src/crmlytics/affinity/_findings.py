"""What is found in rules, in words: one sentence a finding, with its numbers and what to be careful about."""

from __future__ import annotations

import math
from dataclasses import dataclass

NEARLY_ALL = 0.9  # of the baskets: a near-certain rule
AS_STRONG = 0.8  # of the confidence: worth a word on the other direction
FEW = 30  # baskets: a word of caution
MANY = 10  # other items: a driver


@dataclass(frozen=True, slots=True)
class Finding:
    """What the sentences are made of.

    Attributes
    ----------
    antecedent : list of str
        The names of the items in the antecedent.
    consequent : str
        The name of the item in the consequent.
    both_count, antecedent_count, consequent_count, basket_count : int
        The baskets that hold both sides, each side, and all baskets.
    simpler_share : float
        The confidence of the best rule with fewer items in its antecedent.
    could_be_chance : bool
        Whether independent items are in so many baskets together now and then (1 of 100 times).
    leads_to : list of str
        Other items that are strong consequents of a single antecedent, the most telling first.
    margin_amount : float
        What the consequent earns; NaN where not known.
    unit : {"baskets", "customers"}
        What was counted.
    """

    antecedent: list[str]
    consequent: str
    both_count: int
    antecedent_count: int
    consequent_count: int
    basket_count: int
    simpler_share: float
    could_be_chance: bool
    leads_to: list[str]
    margin_amount: float
    unit: str

    @property
    def confidence(self) -> float:
        """The share of the baskets with the antecedent that hold the consequent."""
        return self.both_count / self.antecedent_count

    @property
    def reverse_confidence(self) -> float:
        """The share of the baskets with the consequent that hold the antecedent."""
        return self.both_count / self.consequent_count

    @property
    def lift(self) -> float:
        """The confidence as a multiple of the share of all baskets."""
        return self.both_count * self.basket_count / (self.antecedent_count * self.consequent_count)

    @property
    def extra_count(self) -> float:
        """The baskets with both, less those expected by chance."""
        return self.both_count - self.antecedent_count * self.consequent_count / self.basket_count

    @property
    def kind(self) -> str:
        """Which sentence tells it."""
        if self.lift < 1:
            return "seldom"
        if len(self.antecedent) > 1:
            return "bundle"
        if self.confidence >= NEARLY_ALL:
            return "near_certain"
        return "driver" if len(self.leads_to) >= MANY else "pair"

    def sentence(self) -> str:
        """Say it, with a word of caution where it is due."""
        say = {"seldom": self._seldom, "bundle": self._bundle, "near_certain": self._near_certain}
        return say.get(self.kind, self._pair)() + self._worth() + self._caution()

    def _pair(self) -> str:
        x = self.antecedent[0]
        text = (
            f"Who buys {x} also buys {self.consequent} {_times(self.lift)} as often as usual: {self._both_of()}, "
            f"{self.extra_count:,.0f} more than by chance."
        )
        if self.reverse_confidence >= AS_STRONG * self.confidence:
            text += f" The other way round it is {_percent(self.reverse_confidence)}."
        if self.kind == "driver":
            others = f"{len(self.leads_to)} other items at least twice as often as usual"
            text += f" {x} also goes with {others}, above all {_listed(self.leads_to[:2])}."
        return text

    def _bundle(self) -> str:
        known = "one of the two" if len(self.antecedent) == 2 else "some of them"
        return (
            f"{_listed([*self.antecedent, self.consequent])} often go together. Who buys {_listed(self.antecedent)} "
            f"also buys {self.consequent} {_times(self.lift)} as often as usual: {self._both_of()}. With {known} it is "
            f"{_percent(self.simpler_share)} at best."
        )

    def _near_certain(self) -> str:
        return (
            f"Who buys {self.antecedent[0]} nearly always buys {self.consequent}: {self._both_of()}, "
            f"{_times(self.lift)} as often as usual. Perhaps they belong together: look before offering "
            "one as an extra."
        )

    def _seldom(self) -> str:
        return (
            f"Who buys {self.antecedent[0]} seldom buys {self.consequent}: {self._both_of()}, where chance gives "
            f"{self.both_count - self.extra_count:,.0f}. Perhaps one replaces the other."
        )

    def _both_of(self) -> str:
        return f"{self.both_count:,} of {self.antecedent_count:,} {self.unit} ({_percent(self.confidence)})"

    def _worth(self) -> str:
        if math.isnan(self.margin_amount) or self.extra_count <= 0:
            return ""
        worth = self.extra_count * self.margin_amount
        return f" The {self.unit} beyond chance come with a margin of {worth:,.0f} on {self.consequent}."

    def _caution(self) -> str:
        if self.both_count < FEW and self.kind != "seldom":
            return f" Only {self.both_count:,} {self.unit}: wait for more before acting on it."
        return " Now and then chance alone gives so many: wait for more data." if self.could_be_chance else ""


def _listed(names: list[str]) -> str:
    """Write names as in a sentence: a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _times(ratio: float) -> str:
    """Write a ratio with two digits that count: 1.25, 3.2, 16 times."""
    decimals = 2 if ratio < 1.5 else 1 if ratio < 10 else 0
    return f"{ratio:,.{decimals}f} times"


def _percent(share: float) -> str:
    """Write a share in per cent; what is not all is never rounded to it."""
    return f"{share:.1%}" if share < 0.01 or 0.995 <= share < 1 else f"{share:.0%}"
