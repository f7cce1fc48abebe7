"""A grade anybody understands: does the model find more than a simple rule that flags as many customers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._kernels.draws import bounds
from crmlytics._lists import table_with_lists
from crmlytics.scoring._bootstrap import divided, shares_within

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._frames import Engine
    from crmlytics._kernels.draws import Draws
    from crmlytics.scoring._predictions import Predictions

    Vector = NDArray[np.float64]

BASE_RATE = "base rate"  # who knows nothing else flags at random
MUCH_BETTER = 1.1
FEW_POSITIVES = 50
SHORTEST = 0.1  # of a list that decides, in positives
UNKNOWN = "-"
LETTERS = ("A", "B", "C")


@dataclass(frozen=True, slots=True)
class Contest:
    """A model against one baseline, at the same number of customers flagged.

    Attributes
    ----------
    baseline : str
        Its name; ``"base rate"`` is a random choice.
    flagged_count : float
        How many customers both flag.
    found_count, baseline_found_count : float
        How many of these were positive: of the model, and of the baseline. Rows with the same score share fairly, so
        these need not be whole.
    ratio : float
        The first divided by the second; infinite where the baseline finds nobody, missing where neither does.
    ratio_low, ratio_high : float
        Its 95% interval, by a bootstrap of customers.
    """

    baseline: str
    flagged_count: float
    found_count: float
    baseline_found_count: float
    ratio: float
    ratio_low: float
    ratio_high: float


@dataclass(frozen=True, slots=True)
class Grade:
    """How much more a model finds than the simple rule that is hardest to beat.

    Attributes
    ----------
    letter : str
        ``"A"``: at least 10% more; ``"B"``: more, but less than 10%; ``"C"``: no more than the rule. ``"-"`` where
        nothing can be told: there are no positives, or nothing but chance to compare with.
    ratio : float
        Positives found by the model divided by those found by the rule, both flagging as many customers.
    baseline : str
        The rule; ``"base rate"``, a random choice, if nothing better was there.
    sentence : str
        What this says, with its interval, and how thin the evidence is.
    contests : tuple of Contest
        The model against each baseline, the hardest to beat first.
    """

    letter: str
    ratio: float
    baseline: str
    sentence: str
    contests: tuple[Contest, ...]

    def to_frame(self, engine: Engine) -> Any:
        """Return the contests as a table of this engine's kind, the baseline that is hardest to beat first."""
        rows = [asdict(contest) for contest in self.contests]
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        columns["baseline"] = columns["baseline"].astype(object)
        columns["ratio"] = np.where(np.isfinite(columns["ratio"]), columns["ratio"], np.nan)
        return table_with_lists(engine, columns)


def grade_predictions(predictions: Predictions, draws: Draws) -> Grade:
    """Grade a model against every baseline of its predictions.

    A yes-or-no rule, such as "no purchase in the last 90 days", sets the number itself: as many as it flags. Other
    scores, and rules that flag more customers than were positive, are compared at the number that was positive (of a
    rule a fair draw then): a rule that flags nearly everybody also finds nearly everybody, and nothing could find 10%
    more. At the same number flagged the ratio of positives found is also the ratio of precisions.

    The grade is that against the baseline with the lowest ratio. Rules that flag fewer than a tenth as many as were
    positive, such as no purchase for nearly as long as anybody counts as active, stand last and do not decide: so short
    a list finds more or less by chance.
    """
    y = predictions.outcome.astype(np.float64)
    baselines = {**predictions.baselines, BASE_RATE: np.zeros(len(y))}
    contests = [_contest(name, score, predictions, draws) for name, score in baselines.items()]
    ranked = tuple(sorted(contests, key=lambda contest: _difficulty(contest, float(y.sum()))))
    hardest = ranked[0]
    if np.isnan(hardest.ratio) or y.all():
        return Grade(UNKNOWN, float("nan"), hardest.baseline, _cannot_tell(y), ranked)
    if not predictions.baselines:
        return Grade(UNKNOWN, hardest.ratio, hardest.baseline, _against_chance(hardest, int(y.sum())), ranked)
    letter = _letter(hardest.ratio)
    return Grade(letter, hardest.ratio, hardest.baseline, _sentence(letter, ranked, int(y.sum())), ranked)


def _difficulty(contest: Contest, positives: float) -> tuple[bool, bool, float]:
    """Return what contests are sorted by: hard ones first, those that decide nothing last."""
    return bool(np.isnan(contest.ratio)), contest.flagged_count < SHORTEST * positives, contest.ratio


def _contest(name: str, score: Vector, predictions: Predictions, draws: Draws) -> Contest:
    y = predictions.outcome.astype(np.float64)
    depth = np.array([0.0, _depth(score, y)])
    model, rule = shares_within(predictions.probability, depth)[:, 0], shares_within(score, depth)[:, 0]
    columns = np.column_stack([model * y, model, rule * y, rule])
    found, _, ruled, _ = columns.sum(axis=0)
    drawn = draws.sums(columns)
    low, high = bounds(divided(divided(drawn[:, 0], drawn[:, 1]), divided(drawn[:, 2], drawn[:, 3])))
    return Contest(name, float(depth[1]), float(found), float(ruled), _ratio(found, ruled), float(low), float(high))


def _depth(score: Vector, y: Vector) -> float:
    """Return how many customers to flag: as many as a yes-or-no rule does, but no more than were positive."""
    values = np.unique(score)
    flagged = float((score == values[-1]).sum()) if len(values) == 2 else np.inf
    return min(flagged, float(y.sum()))


def _ratio(found: float, ruled: float) -> float:
    if ruled > 0:
        return float(found / ruled)
    return float("inf") if found > 0 else float("nan")


def _letter(ratio: float) -> str:
    if ratio >= MUCH_BETTER:
        return "A"
    return "B" if ratio > 1 else "C"


def _cannot_tell(y: Vector) -> str:
    which = "neither the model nor a baseline found anybody"
    if y.all() or not y.any():
        which = "all outcomes are positive" if y.any() else "no outcome is positive"
    return f"No grade: {which} among {len(y):,} rows held out."


def _sentence(letter: str, contests: tuple[Contest, ...], positives: int) -> str:
    hardest = contests[0]
    text = f"Grade {letter}: {_outcome_of(hardest, positives)}"
    if positives < FEW_POSITIVES:
        text += f" Thin evidence: only {positives} positives."
    best, worst = _letter(hardest.ratio_high), _letter(hardest.ratio_low)
    others = [other for other in LETTERS if best <= other <= worst and other != letter]
    if np.isfinite(hardest.ratio_high) and others:
        text += f" By the interval it might as well be {' or '.join(others)}."
    return text


def _against_chance(contest: Contest, positives: int) -> str:
    outcome = _outcome_of(contest, positives)
    return f"No grade: there was nothing but chance to compare with. {outcome[0].upper()}{outcome[1:]}"


def _outcome_of(contest: Contest, positives: int) -> str:
    rule = "a random choice" if contest.baseline == BASE_RATE else f"{contest.baseline!r}"
    return (
        f"among {contest.flagged_count:,.0f} flagged the model finds "
        f"{contest.found_count:,.0f} of {positives:,} positives, {rule} {contest.baseline_found_count:,.0f}: "
        f"{_more(contest.ratio)} (95% interval {_signed(contest.ratio_low)} to {_signed(contest.ratio_high)})."
    )


def _more(ratio: float) -> str:
    if np.isinf(ratio):
        return "some instead of none"
    change = abs(ratio - 1)
    return f"{change:.{0 if change >= 0.01 else 1}%} {'more' if ratio >= 1 else 'fewer'}"


def _signed(ratio: float) -> str:
    return "unknown" if np.isnan(ratio) else f"{ratio - 1:+.0%}"
