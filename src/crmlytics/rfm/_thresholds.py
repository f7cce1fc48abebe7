"""Thresholds and the scores they give: on arrays while fitting, as one lazy expression while scoring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

Vector: TypeAlias = npt.NDArray[np.float64]
Scores: TypeAlias = npt.NDArray[np.int64]

SLACK = 1e-9  # amounts this close (relative) are equal: the order of a float sum must not decide a score


def quantile_cuts(values: Vector, n_bins: int) -> Vector:
    """Return the n_bins - 1 inner quantiles, type 7 of Hyndman & Fan (1996), with the position in exact integers."""
    ordered = np.sort(values)
    position, rest = np.divmod((len(ordered) - 1) * np.arange(1, n_bins), n_bins)
    above = ordered[np.minimum(position + 1, len(ordered) - 1)]
    cuts: Vector = ordered[position] + (above - ordered[position]) * rest / n_bins
    return cuts


def nested_cuts(values: Vector, n_bins: int, *within: Scores, parent: Vector | None = None) -> Vector:
    """Return the quantiles of ``values`` inside each combination of earlier scores; shape (n_bins, ..., n_bins - 1).

    A combination that nobody has takes the thresholds of the wider group it belongs to.
    """
    cuts = quantile_cuts(values, n_bins) if len(values) else parent
    if cuts is None:
        raise ValueError("no values")
    if not within:
        return cuts
    masks = [within[0] == score for score in range(1, n_bins + 1)]
    inner = [nested_cuts(values[mask], n_bins, *(w[mask] for w in within[1:]), parent=cuts) for mask in masks]
    return np.stack(inner)


def score_array(values: Vector, cuts: Vector, *within: Scores) -> Scores:
    """Return 1 plus the number of thresholds that each value exceeds; ``cuts`` as from :func:`nested_cuts`."""
    if cuts.ndim == 1:
        return np.searchsorted(_with_slack(cuts), values, side="left") + 1
    scores = np.zeros(len(values), dtype=np.int64)
    for score, inner in enumerate(cuts, start=1):
        mask = within[0] == score
        scores[mask] = score_array(values[mask], inner, *(w[mask] for w in within[1:]))
    return scores


def score_expression(column: str, cuts: Vector, *within: str) -> nw.Expr:
    """:func:`score_array` as a lazy expression; missing and infinite values have no score."""
    value = nw.col(column).cast(nw.Float64)
    usable = value.is_finite().fill_null(value=False)
    return nw.when(usable).then(_count_exceeded(value, cuts, within))


def _count_exceeded(value: nw.Expr, cuts: Vector, within: Sequence[str]) -> nw.Expr:
    if cuts.ndim == 1:
        exceeded = [(value > float(cut)).cast(nw.Int64) for cut in _with_slack(cuts)]
        return sum(exceeded, start=nw.lit(1).cast(nw.Int64))
    *others, last = [_count_exceeded(value, inner, within[1:]) for inner in cuts]
    chain: Any = last
    for score, expression in reversed(list(enumerate(others, start=1))):
        chain = nw.when(nw.col(within[0]) == score).then(expression).otherwise(chain)
    return chain  # type: ignore[no-any-return]


def _with_slack(cuts: Vector) -> Vector:
    slack: Vector = cuts + SLACK * np.abs(cuts)
    return slack
