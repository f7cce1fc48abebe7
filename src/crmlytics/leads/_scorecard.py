"""A scorecard as numbers: bins, weights of evidence, coefficients and points of each column."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics.leads._bins import Wanted, bin_levels, bin_numbers
from crmlytics.leads._columns import Levels

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from crmlytics.leads._bins import Bins
    from crmlytics.leads._columns import ReadyTable

RIDGE = 1.0  # as much as one lead whose odds a weight of evidence of one would change by the factor e
USED, SAYS_NOTHING, ADDS_NOTHING = "used", "says no more than chance does", "adds nothing beside the other columns"
STRENGTHS = ((0.02, "none"), (0.1, "weak"), (0.3, "medium"), (0.5, "strong"), (math.inf, "suspicious"))
LARGEST_CODE = 2**62


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """How log odds become points: ``base_points`` at ``base_odds``, and ``doubling`` more where odds are twice that."""

    doubling: float
    base_points: float
    base_odds: float

    @property
    def factor(self) -> float:
        """Points for a log odds of one."""
        return self.doubling / math.log(2)

    def points(self, log_odds: Any) -> Any:
        """Return the points of log odds, not rounded."""
        return self.base_points + self.factor * (log_odds - math.log(self.base_odds))

    def probability(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Return the probability that points stand for."""
        log_odds = math.log(self.base_odds) + (points - self.base_points) / self.factor
        probability: NDArray[np.float64] = 1 / (1 + np.exp(-log_odds))
        return probability


@dataclass(frozen=True, slots=True, eq=False)
class Characteristic:
    """A column of a scorecard; arrays have one entry per bin.

    Attributes
    ----------
    name : str
    bins : NumberBins or LevelBins
    counts, events, weights : float64 arrays, shape (bins,)
        Rows, rows with the outcome, and weight of evidence.
    information_value, by_chance : float
    coefficient : float
        0 where the column is not used.
    points : int64 array, shape (bins,)
    verdict : str
    """

    name: str
    bins: Bins
    counts: NDArray[np.float64]
    events: NDArray[np.float64]
    weights: NDArray[np.float64]
    information_value: float
    by_chance: float
    verdict: str
    coefficient: float = 0.0
    points: Any = None

    @property
    def strength(self) -> str:
        """How much the column tells beyond what chance would, in words."""
        beyond = self.information_value - self.by_chance
        return next(word for limit, word in STRENGTHS if beyond < limit)


@dataclass(frozen=True, slots=True, eq=False)
class Rounding:
    """What whole points cost on the rows learnt from: exact score first, rounded one second."""

    auc: tuple[float, float]
    log_loss: tuple[float, float]
    mean_points: float
    largest_points: float


@dataclass(frozen=True, slots=True, eq=False)
class Scorecard:
    """All of a scorecard: ``base`` points for everybody, and those of each characteristic on top."""

    characteristics: tuple[Characteristic, ...]
    base: int
    scale: Scale
    rounding: Rounding

    @property
    def used(self) -> list[Characteristic]:
        """The columns that give points, the most telling first."""
        return [column for column in most_telling_first(self.characteristics) if column.verdict == USED]


def most_telling_first(columns: Iterable[Characteristic]) -> list[Characteristic]:
    """Sort columns by what they tell, then by name."""
    return sorted(columns, key=lambda column: (-column.information_value, column.name))


def learn_characteristic(
    name: str,
    column: NDArray[np.float64] | Levels,
    outcome: NDArray[np.bool_],
    direction: int | None,
    words: frozenset[str],
    *,
    want: Wanted,
) -> Characteristic:
    """Bin a column, weigh its bins, and say whether it tells more than chance would."""
    from crmlytics._kernels.evidence import information_values, weight_of_evidence

    if isinstance(column, Levels):
        bins = bin_levels(column, outcome, words, want)
    else:
        bins = bin_numbers(column, outcome, direction, want)
    codes = bins.codes(column, name=name, caller="fit")
    counts = np.bincount(codes, minlength=len(bins)).astype(np.float64)
    events = np.bincount(codes, outcome, len(bins)).astype(np.float64)
    total, positive = float(len(outcome)), float(outcome.sum())
    value = float(information_values(events, counts, positive, total, want.shrinkage).sum())
    spare = int((counts > 0).sum()) - 1
    by_chance = spare * (1 / positive + 1 / (total - positive))
    weights = weight_of_evidence(events, counts, positive / total, want.shrinkage)
    verdict = USED if spare and value > spare * want.price else SAYS_NOTHING
    return Characteristic(name, bins, counts, events, weights, value, by_chance, verdict)


def assemble(
    found: Sequence[Characteristic], codes: Mapping[str, NDArray[np.int64]], outcome: NDArray[np.bool_], scale: Scale
) -> Scorecard:
    """Weigh the columns together, and turn what they say into whole points."""
    from crmlytics._kernels.evidence import agreeing_logistic

    asked = [column for column in found if column.verdict == USED]
    patterns, events, counts = _patterns(asked, codes, outcome)
    design = np.column_stack(
        [np.empty((len(counts), 0)), *(c.weights[p] for c, p in zip(asked, patterns, strict=True))]
    )
    intercept, coefficients = agreeing_logistic(design, events, counts, RIDGE)
    settled = {c.name: _settled(c, float(b), scale) for c, b in zip(asked, coefficients, strict=True)}
    columns = tuple(settled.get(c.name, replace(c, points=np.zeros(len(c.bins), np.int64))) for c in found)
    base = round(scale.points(intercept))
    exact = scale.points(intercept + design @ coefficients)
    whole = base + sum((settled[c.name].points[p] for c, p in zip(asked, patterns, strict=True)), np.zeros(len(counts)))
    return Scorecard(columns, base, scale, _rounding(exact, whole, events, counts, scale))


def _settled(column: Characteristic, coefficient: float, scale: Scale) -> Characteristic:
    points = np.rint(scale.factor * coefficient * column.weights).astype(np.int64)
    verdict = USED if coefficient > 0 else ADDS_NOTHING
    return replace(column, coefficient=coefficient, points=points, verdict=verdict)


def _patterns(
    columns: Sequence[Characteristic], codes: Mapping[str, NDArray[np.int64]], outcome: NDArray[np.bool_]
) -> tuple[list[NDArray[np.int64]], NDArray[np.float64], NDArray[np.float64]]:
    """Count rows that fall into the same bins of all columns: their order no longer matters, and they are fewer."""
    code, size = np.zeros(len(outcome), np.int64), 1
    for column in columns:
        if size * len(column.bins) > LARGEST_CODE:
            held, code = np.unique(code, return_inverse=True)
            size = len(held)
        code, size = code * len(column.bins) + codes[column.name], size * len(column.bins)
    _, first, pattern = np.unique(code, return_index=True, return_inverse=True)
    events, counts = (np.bincount(pattern, weights).astype(np.float64) for weights in (outcome, None))
    return [codes[column.name][first] for column in columns], events, counts


def _rounding(
    exact: NDArray[np.float64],
    whole: NDArray[np.float64],
    events: NDArray[np.float64],
    counts: NDArray[np.float64],
    scale: Scale,
) -> Rounding:
    from crmlytics._kernels.classification import auc, log_loss

    outcome = np.repeat([True, False], len(counts))
    weight = np.concatenate([events, counts - events])
    both = [np.tile(score, 2) for score in (exact, whole)]
    difference = np.abs(exact - whole)
    return Rounding(
        (auc(outcome, both[0], weight), auc(outcome, both[1], weight)),
        (
            log_loss(outcome, scale.probability(both[0]), weight),
            log_loss(outcome, scale.probability(both[1]), weight),
        ),
        float(np.average(difference, weights=counts)),
        float(difference.max()),
    )


def codes_of(columns: Sequence[Characteristic], table: ReadyTable, words: frozenset[str]) -> dict[str, Any]:
    """Return the bin of each row in each of the columns."""
    return {c.name: c.bins.codes(table.column(c.name, words), name=c.name, caller=table.caller) for c in columns}
