"""What the figures of an uplift model come to, in words that a manager can act on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._kernels.multiple_testing import holm
from crmlytics.campaigns.uplift._judging import is_flag
from crmlytics.campaigns.uplift._trial import CHOSEN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

    from crmlytics.campaigns.uplift._judging import Judged
    from crmlytics.campaigns.uplift._trial import Trial

FOUND, AS_GOOD, NOTHING = "uplift found", "response targeting is as good", "nothing detectable"
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of one arm.

    Attributes
    ----------
    arm : str
    words : str
        ``"uplift found"``, ``"response targeting is as good"`` or ``"nothing detectable"``.
    score : str
        The score that the sentence is about: the best of those judged.
    sentence : str
        The words with their figures, and what forbids to believe them.
    """

    arm: str
    words: str
    score: str
    sentence: str

    def minding(self, remark: str) -> Verdict:
        """Return the same verdict with what forbids to believe it."""
        return replace(self, sentence=f"{self.sentence} But {remark}")


def give_verdict(
    arm: str, trial: Trial, judged: Mapping[str, Judged], figures: Mapping[str, Any], baseline: str | None
) -> Verdict:
    """Say whether a ranking is better than chance, and better than the response model.

    Where a learner was chosen fold by fold, it is judged alone: looking at all of them for the best would flatter. Else
    all are, and p-values are made as large as Holm asks for.
    """
    names = list(figures["score"])
    own = np.array([name != baseline and (CHOSEN not in names or name == CHOSEN) for name in names])
    own = own if own.any() else np.ones(len(names), bool)
    beats_chance = _adjusted(figures, "qini", own | np.array([name == baseline for name in names])) <= ALPHA
    p_value = _adjusted(figures, "difference", own)
    found = own & beats_chance & (p_value <= ALPHA if baseline in names else True)
    words = FOUND if found.any() else AS_GOOD if beats_chance.any() and baseline in names else NOTHING
    candidates = np.flatnonzero(found if found.any() else own)
    best = int(candidates[np.argmax(figures["qini"][candidates])])
    told = _Told(trial, figures, int(own.sum()))
    sentence = (
        f"{arm}: {words}. {told.ranking(words, best, baseline, p_value[best])} {told.effect(judged[names[best]])}"
    )
    return Verdict(arm, words, names[best], sentence)


def _adjusted(figures: Mapping[str, Any], name: str, tested: NDArray[np.bool_]) -> Vector:
    """Return Holm's p-values among the scores tested, 1 of figures that are not above nought."""
    p_value = holm(np.where(tested, figures[f"{name}_p_value"], np.nan))
    return np.where(figures[name] > 0, p_value, 1.0)


@dataclass(frozen=True, slots=True)
class _Told:
    """Sentences about figures: of flags per 100 customers, of amounts per customer."""

    trial: Trial
    figures: Mapping[str, Any]
    scores: int

    def ranking(self, words: str, best: int, baseline: str | None, p_value: float) -> str:
        """Say what the best score brings over random contacts, and over the response model."""
        name = self.figures["score"][best]
        if words == NOTHING:
            told = "No score ranks customers detectably better than chance; the best"
            return f"{told}, {name}, {self._over_chance(best)}."
        told = f"Contacting by {name} {self._over_chance(best)}"
        if baseline not in self.figures["score"]:
            return f"{told}; no response model was given to compare with (baseline=)."
        if name == baseline:
            return f"{told}."
        return f"{told}, {self._over_baseline(words, best, baseline, p_value)}."

    def _over_baseline(self, words: str, best: int, baseline: str | None, p_value: float) -> str:
        adjusted = f" adjusted for {self.scores} scores" if self.scores > 1 else ""
        difference = self._amount("difference", best)
        if words == FOUND:
            return f"better than {baseline} by {difference}, p = {p_value:.2g}{adjusted}"
        if self.figures["difference_high"][best] < 0:
            return f"worse than {baseline} (difference {difference})"
        return f"not detectably better than {baseline} (difference {difference}, p = {p_value:.2g}{adjusted})"

    def effect(self, one: Judged) -> str:
        """Say what treating everybody brings."""
        low, high = one.effect_bounds
        return f"Treating everybody brings {self._number(one.effect)} {self._interval(low, high)} {self._unit}."

    def _over_chance(self, row: int) -> str:
        return f"brings {self._amount('qini', row)} {self._unit} over random contacts, on average over all shares"

    def _amount(self, name: str, row: int) -> str:
        low, high = self.figures[f"{name}_low"][row], self.figures[f"{name}_high"][row]
        return f"{self._number(self.figures[name][row])} {self._interval(low, high)}"

    def _interval(self, low: float, high: float) -> str:
        return f"({self._number(low)} to {self._number(high)})"

    def _number(self, value: float) -> str:
        scaled = value * 100 if is_flag(self.trial.outcome) else value
        return f"{scaled:+.2f}" if abs(scaled) >= 0.1 or scaled == 0 else f"{scaled:+.2g}"

    @property
    def _unit(self) -> str:
        return "per 100 customers" if is_flag(self.trial.outcome) else "per customer"
