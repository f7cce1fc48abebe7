"""How many segments the data hold: the evidence for each number, and the number that follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from crmlytics._kernels.draws import bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics._kernels.cluster_counts import Evidence

    Vector = NDArray[np.float64]

STABLE = 0.75  # Hennig (2007): from here on a group is found again; below 0.6 it is not
Z = 1.959963984540054
ENDS = ("", "_low", "_high")
APART = 0.55  # of the lower peak: the highest valley between two neighbours is lower than that
ISLANDS_FROM = 0.25  # silhouette (Rousseeuw 1987): below it there is no substantial structure
ERRORS = 2.0  # that a gap must lie above that of one cloud: several numbers are tried
ONE_CLOUD, SEVERAL = "one cloud: no segments", "more than one cloud"
NOT_TIGHTER, STABLE_ONLY = "no tighter than one cloud", "stable, no tighter than one cloud"
UNSTABLE, NO_VALLEY = "not found again", "found again, no valley between"
ISLANDS, NEIGHBOURS, FEWER = "the most that stand apart", "neighbours, no islands", "apart, and more are"


@dataclass(frozen=True, slots=True)
class Plan:
    """How the number of segments is looked for: all that :func:`count_columns` does hangs on it."""

    counts: Sequence[int]
    method: str
    blocks: Sequence[slice]
    sample_rows: int
    replicates: int
    references: int
    seed: int


def count_columns(matrix: Vector, plan: Plan) -> dict[str, NDArray[Any]]:
    """Return the columns of ``segment_count_table``, a row for each number of segments, 1 being the first."""
    from crmlytics._kernels.cluster_counts import evidence_for, reference_dispersions

    random = np.random.default_rng(plan.seed)
    few = matrix[np.sort(random.permutation(len(matrix))[: plan.sample_rows])]
    counts = [1, *plan.counts]
    options = {"replicates": plan.replicates, "seed": plan.seed}
    with threadpool_limits(1):  # small matrices: threads would wait for each other
        found = [evidence_for(few, count, plan.method, plan.blocks, **options) for count in counts]
        clouds = reference_dispersions(
            few, counts, plan.method, plan.blocks, references=plan.references, seed=plan.seed
        )
    gap = clouds.mean(axis=0) - np.array([one.log_dispersion for one in found])
    gap_error = clouds.std(axis=0) * np.sqrt(1 + 1 / plan.references)
    rows = [_row(one) for one in found]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    columns = {"segment_count": np.array(counts, np.int64)} | columns | {"gap": gap, "gap_error": gap_error}
    return columns | _judged(columns)


def _row(one: Evidence) -> dict[str, float]:
    """Summarise the evidence for one number of segments."""
    if not len(one.silhouette):
        names = [f"{name}{end}" for name in ("lowest_jaccard", "adjusted_rand", "silhouette") for end in ENDS]
        return dict.fromkeys(names, np.nan) | {"highest_valley": np.nan, "smallest_share": 1.0}
    weakest = one.jaccard[:, [int(np.nanmean(one.jaccard, axis=0).argmin())]]
    error = Z * one.silhouette.std() / np.sqrt(len(one.silhouette))
    middle = one.silhouette.mean()
    return (
        _with_bounds("lowest_jaccard", weakest[:, 0])
        | _with_bounds("adjusted_rand", one.rand)
        | {"silhouette": middle, "silhouette_low": middle - error, "silhouette_high": middle + error}
        | {"highest_valley": one.valley, "smallest_share": float(one.sizes.min() / one.sizes.sum())}
    )


def _with_bounds(name: str, drawn: Vector) -> dict[str, float]:
    low, high = bounds(drawn)
    return {name: float(np.nanmean(drawn)), f"{name}_low": float(low), f"{name}_high": float(high)}


def _judged(columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Suggest a number of segments and say of each why it is the one, or is not."""
    gap, error = columns["gap"], columns["gap_error"]
    tighter = gap - ERRORS * error > gap[0]
    stable = np.nan_to_num(columns["lowest_jaccard"], nan=0.0) >= STABLE
    apart = np.nan_to_num(columns["highest_valley"], nan=1.0) < APART
    good = tighter & stable & apart
    chosen = int(np.flatnonzero(good).max(initial=0))
    loose = np.where(stable, STABLE_ONLY, NOT_TIGHTER)
    words = np.select([~tighter, ~stable, ~apart], [loose, UNSTABLE, NO_VALLEY], FEWER).astype(object)
    words[0] = ONE_CLOUD if chosen == 0 else SEVERAL
    if chosen:
        words[chosen] = ISLANDS if columns["silhouette"][chosen] >= ISLANDS_FROM else NEIGHBOURS
    suggested = np.arange(len(gap)) == chosen
    return {"suggested": suggested, "verdict": words}
