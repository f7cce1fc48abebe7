"""The Qini of other libraries, each as that library counts it. Ours is in ``uplift_curves``.

They are reproduced, not recommended: where only one arm has been met down the ranking, scikit-uplift takes the other
one's mean for nought. Equal scores are one straight segment here; peers let the order of the rows decide in places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Running counts and sums of outcomes down a ranking, at the last customer of every score, shape (k,)."""

    treated: Vector
    treated_sum: Vector
    control: Vector
    control_sum: Vector

    @classmethod
    def of(cls, score: Vector, outcome: Vector, treated: Flags) -> Ranking:
        """Count down one ranking."""
        order = np.argsort(-score, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
        arm, values = treated[order].astype(np.float64), outcome[order]
        parts = (arm, arm * values, 1 - arm, (1 - arm) * values)
        return cls(*(np.cumsum(part)[ends] for part in parts))

    @property
    def size(self) -> Vector:
        """Customers so far."""
        return self.treated + self.control


def qini_of_optimum(score: Vector, outcome: Vector, treated: Flags, *, negative_effects: bool = True) -> float:
    """Return the area between Radcliffe's curve and its diagonal, over that of the best ranking there could be.

    ``Y_t - Y_c N_t / N_c`` by customers contacted; scikit-uplift's ``qini_auc_score``. Outcomes are 0 and 1. Without
    negative effects there is no best ranking, and a missing value, where control does better on the whole.
    """
    curve = _radcliffe(Ranking.of(score, outcome, treated))
    if negative_effects:
        best = _radcliffe(Ranking.of(np.where(treated, outcome, -outcome), outcome, treated))
    else:
        gained = max(float(outcome[treated].sum() - treated.sum() * outcome[~treated].mean()), 0.0)
        best = np.array([0.0, gained, len(outcome)]), np.array([0.0, gained, gained])
    return _ratio(_over_diagonal(*curve, best), _over_diagonal(*best, best))


def uplift_of_optimum(score: Vector, outcome: Vector, treated: Flags) -> float:
    """Return the same of the curve ``(Y_t / N_t - Y_c / N_c) (N_t + N_c)``: scikit-uplift's ``uplift_auc_score``."""
    converted_control = ((outcome == 1) & ~treated).sum()
    lost_treated = ((outcome == 0) & treated).sum()
    first = outcome if converted_control > lost_treated else treated
    perfect = 2.0 * (outcome == treated) + first
    curve, best = (_gain(Ranking.of(ranks, outcome, treated)) for ranks in (score, perfect))
    return _ratio(_over_diagonal(*curve, best), _over_diagonal(*best, best))


def top_uplift(score: Vector, outcome: Vector, treated: Flags, share: float) -> float:
    """Return the difference of means among the first ``share``: scikit-uplift's ``uplift_at_k(strategy="overall")``.

    ``int(n * share)`` customers are the first. Those with the last score that fits are shared out in proportion.
    """
    within = _first(score, int(len(score) * share))
    return _mean(outcome, within * treated) - _mean(outcome, within * ~treated)


def top_uplift_by_group(score: Vector, outcome: Vector, treated: Flags, share: float) -> float:
    """Return the difference of means of the first ``share`` of each arm: its ``uplift_at_k(strategy="by_group")``."""
    means = []
    for rows in (treated, ~treated):
        within = _first(score[rows], int(rows.sum() * share))
        means.append(_mean(outcome[rows], within))
    return means[0] - means[1]


def qini_of_effect(score: Vector, outcome: Vector, treated: Flags, *, normalise: bool = True) -> float:
    """Return the mean of Radcliffe's curve less that of its diagonal over 0 to n customers: causalml's ``qini_score``.

    Normalised, the curve is divided by the size of its end: the effect of treating everybody.
    """
    ranking = Ranking.of(score, outcome, treated)
    with np.errstate(divide="ignore", invalid="ignore"):
        heights = ranking.treated_sum - ranking.control_sum * ranking.treated / ranking.control
    curve = _each(ranking.size, _known(ranking.size, heights))
    return _ratio(float(curve.mean() - curve[-1] / 2), float(abs(curve[-1])) if normalise else 1.0)


def auuc_of_effect(score: Vector, outcome: Vector, treated: Flags, *, normalise: bool = True) -> float:
    """Return the mean of the curve of gains over 0 to n customers: causalml's ``auuc_score``."""
    ranking = Ranking.of(score, outcome, treated)
    with np.errstate(divide="ignore", invalid="ignore"):
        lift = ranking.treated_sum / ranking.treated - ranking.control_sum / ranking.control
    curve = _each(ranking.size, _known(ranking.size, lift) * ranking.size)
    return _ratio(float(curve.mean()), float(abs(curve[-1])) if normalise else 1.0)


# -- inside --------------------------------------------------------------------------------------------------------


def _radcliffe(ranking: Ranking) -> tuple[Vector, Vector]:
    ratio = np.divide(ranking.treated, ranking.control, out=np.zeros(len(ranking.control)), where=ranking.control > 0)
    return _from_nought(ranking.size, ranking.treated_sum - ranking.control_sum * ratio)


def _gain(ranking: Ranking) -> tuple[Vector, Vector]:
    sums, counts = (ranking.treated_sum, ranking.control_sum), (ranking.treated, ranking.control)
    means = [
        np.divide(total, count, out=np.zeros(len(count)), where=count > 0)
        for total, count in zip(sums, counts, strict=True)
    ]
    return _from_nought(ranking.size, (means[0] - means[1]) * ranking.size)


def _from_nought(size: Vector, heights: Vector) -> tuple[Vector, Vector]:
    return np.append(0.0, size), np.append(0.0, heights)


def _over_diagonal(size: Vector, heights: Vector, best: tuple[Vector, Vector]) -> float:
    return float(np.trapezoid(heights, size)) - float(best[0][-1] * best[1][-1]) / 2


def _ratio(area: float, whole: float) -> float:
    """Divide, missing where there is nothing to divide by."""
    return area / whole if whole else float("nan")


def _known(size: Vector, heights: Vector) -> Vector:
    """Return heights with a straight line from nought to the first that is known, as pandas interpolates."""
    known = np.isfinite(heights)
    return np.interp(size, *_from_nought(size[known], heights[known]))


def _each(size: Vector, heights: Vector) -> Vector:
    """Return heights after each of 0 to n customers."""
    return np.interp(np.arange(size[-1] + 1), *_from_nought(size, heights))


def _first(score: Vector, count: int) -> Vector:
    """Return how much of each row is among the first ``count``."""
    _, tie, sizes = np.unique(-score, return_inverse=True, return_counts=True)
    starts = np.cumsum(sizes) - sizes
    shares: Vector = np.clip((count - starts) / sizes, 0, 1)[tie]
    return shares


def _mean(outcome: Vector, weight: Vector) -> float:
    total = weight.sum()
    return float(outcome @ weight / total) if total else float("nan")
