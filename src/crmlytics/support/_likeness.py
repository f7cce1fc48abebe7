"""Two groups of landmarks made alike in what was known before: who has a counterpart, and how much each counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics.scoring._folds import deal_customers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Counts = NDArray[np.int64]
    Flags = NDArray[np.bool_]

FOLDS = 5
LEAST = 20  # customers of either group: below it a model of who is who says nothing, and so do those who are alike
CALIPER = 0.2  # standard deviations of the log odds: P. C. Austin (2011), Pharmaceutical Statistics 10
MOST_SPREAD = 1e-12
REFUSALS = FEW, FEW_ALIKE = (
    f"Fewer than {LEAST} customers in a group.",
    f"Fewer than {LEAST} customers of a group are alike.",
)


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """What one group has more than the other, things known before being equal.

    Attributes
    ----------
    matched : int
        Of the first group, those with somebody alike in the other: the means are theirs.
    mean, difference, error : float64 arrays, shape (outcomes,)
        The first group's means, what they have more, and how sure that is.
    customers : float
        Of the group that is the smaller, customers that weigh more telling as much as fewer of one weight.
    largest_imbalance : float
        Of all features the largest difference that is left, in standard deviations.
    """

    matched: int
    mean: Vector
    difference: Vector
    error: Vector
    customers: float
    largest_imbalance: float


def compare(features: Vector, treated: Flags, outcomes: Vector, customer: Counts, seed: int) -> Compared | str:
    """Compare the outcomes, shape (n, k), of two groups; or say why that cannot be done.

    Doubly robust (J. M. Robins, A. Rotnitzky and L. P. Zhao 1994): others weigh by the odds of being in the first
    group, and outcomes expected of the others are taken off; each is learnt from other customers.
    """
    from crmlytics._kernels.landmarks import clustered_effect, effective_customers
    from crmlytics._kernels.matching import find_twins, odds_weights

    if min(len(np.unique(customer[group])) for group in (treated, ~treated)) < LEAST:
        return FEW
    features = features[:, np.ptp(features, axis=0) > 0]
    score = _model(features, treated).decision_function(features)
    spread = float(np.sqrt((score[treated].var(ddof=1) + score[~treated].var(ddof=1)) / 2))
    twins = find_twins(score[treated], score[~treated], CALIPER * spread)
    kept = ~treated
    kept[np.flatnonzero(treated)[twins.matched]] = True
    fold = deal_customers(np.unique(customer, return_inverse=True)[1], treated, FOLDS, seed)
    probability, expected = _crossed(features, treated, outcomes, fold)
    own = treated[kept]
    weight = odds_weights(probability[kept], own)
    effective = min(effective_customers(each, customer[kept]) for each in (own.astype(np.float64), weight))
    if effective < LEAST:
        return FEW_ALIKE
    found = [
        clustered_effect(values, own, weight, guess, customer[kept])
        for values, guess in zip(outcomes[kept].T, expected[kept].T, strict=True)
    ]
    difference, error = np.array(found).T
    return Compared(
        matched=int(own.sum()),
        mean=outcomes[kept & treated].mean(axis=0),
        difference=difference,
        error=np.where(error > MOST_SPREAD, error, np.nan),
        customers=effective,
        largest_imbalance=_imbalance(features, treated, features[kept], own, weight),
    )


def _imbalance(features: Vector, treated: Flags, kept: Vector, own: Flags, weight: Vector) -> float:
    from crmlytics._kernels.matching import pooled_spread, standardised_difference

    spread = pooled_spread(features[treated], features[~treated])
    return float(np.abs(standardised_difference(kept[own], kept[~own], weight[~own], spread)).max(initial=0.0))


def _crossed(features: Vector, treated: Flags, outcomes: Vector, fold: Counts) -> tuple[Vector, Vector]:
    """Return the probability of the first group, and the outcomes expected of the other, learnt from others."""
    from crmlytics._kernels.matching import ridge_predictions

    probability, expected = np.empty(len(features)), np.empty(outcomes.shape)
    for number in range(FOLDS):
        held = fold == number
        model = _model(features[~held], treated[~held])
        probability[held] = model.predict_proba(features[held])[:, 1]
        learnt = ~held & ~treated
        basis, new_basis = _basis(model, features[learnt]), _basis(model, features[held])
        expected[held] = ridge_predictions(basis, outcomes[learnt], new_basis)
    return probability, expected


class _NothingDiffers:
    """The model of groups in which everybody is alike."""

    curves_ = ()

    def __init__(self, share: float) -> None:
        self.share = share

    def decision_function(self, features: Vector) -> Vector:
        return np.zeros(len(features))

    def predict_proba(self, features: Vector) -> Vector:
        return np.tile([1 - self.share, self.share], (len(features), 1))


def _model(features: Vector, treated: Flags) -> Any:
    from crmlytics.scoring._spline_logistic import SplineLogistic

    if not features.shape[1]:
        return _NothingDiffers(float(treated.mean()))
    return SplineLogistic(levels=[0] * features.shape[1]).fit(features, treated)


def _basis(model: Any, features: Vector) -> Vector:
    nothing = np.empty((len(features), 0))
    return np.hstack([nothing, *(curve.columns(features[:, number]) for number, curve in enumerate(model.curves_))])
