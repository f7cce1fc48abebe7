"""From what was counted of a column to the rows of a profile: shares, means, effects and tests, and what is hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics.profiling._counting import Levels, Numbers
from crmlytics.scoring._encoding import MISSING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.group_differences import NumberSummary

    Columns = dict[str, NDArray[Any]]

SURE = 1.96  # of a v-test: 5 % by chance
FORMED = "it formed the segments: no test"
COUNT_HIDDEN = "count hidden: how many are missing could be told"
LARGE_VALUES = "the mean is higher by a few large values: most are lower"
SMALL_VALUES = "the mean is lower by a few small values: most are higher"
LEVEL_FIGURES = ("count", "share_in_segment", "share_overall", "share_of_level", "lift")
NUMBER_FIGURES = (
    "mean", "mean_overall", "median", "median_overall", "standard_deviation", "standard_deviation_overall",
    "superiority_probability",
)  # fmt: skip
EFFECTS = ("effect_size", "effect_low", "effect_high")
TESTS = ("v_test", "p_value")
FIGURES = (*LEVEL_FIGURES, *NUMBER_FIGURES, *EFFECTS, *TESTS)


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """What the rows of all columns share.

    Attributes
    ----------
    size : int64 array, shape (segments,)
        Customers by segment.
    least : int
        The smallest count that is shown.
    confidence : float
    """

    size: NDArray[np.int64]
    least: int
    confidence: float

    @property
    def hidden_note(self) -> str:
        """Why figures are missing."""
        return f"hidden: a count below {self.least} could be told"


def rows_of(counted: Levels | Numbers, setting: Setting, *, formed: bool) -> Columns:
    """Return the rows of a column, a segment and level each; segments are told by number."""
    rows = _of_levels(counted, setting) if isinstance(counted, Levels) else _of_numbers(counted, setting)
    if formed:
        for name in (*TESTS, *EFFECTS[1:]):
            rows[name] = np.full(len(rows["segment"]), np.nan)
        rows["note"] = np.array([note or FORMED for note in rows["note"]], object)
    return rows


def _of_levels(levels: Levels, setting: Setting) -> Columns:
    from crmlytics._kernels.cell_suppression import hidden_cells

    segments, kinds = levels.count.shape
    rows = _level_figures(levels.count, setting) | _empty(NUMBER_FIGURES, segments * kinds)
    rows["segment"] = np.repeat(np.arange(segments), kinds)
    rows["level"] = np.array(levels.labels * segments, object)
    return _hide(rows, hidden_cells(levels.count, setting.least).ravel(), setting)


def _level_figures(count: NDArray[np.int64], setting: Setting) -> Columns:
    from crmlytics._kernels.group_differences import cohen_h, level_v_test

    inside = count.ravel()
    group = np.repeat(setting.size, count.shape[1])
    level, total = np.tile(count.sum(axis=0), len(count)), np.full(inside.shape, setting.size.sum())
    effects = cohen_h(inside, group, level - inside, total - group, setting.confidence)
    tests = level_v_test(inside, group, level, total)
    figures = (inside, inside / group, level / total, inside / level, inside / group / (level / total))
    named = zip((*LEVEL_FIGURES, *EFFECTS, *TESTS), (*figures, *effects, *tests), strict=True)
    return {name: np.asarray(values, np.float64) for name, values in named}


def _of_numbers(numbers: Numbers, setting: Setting) -> Columns:
    from crmlytics._kernels.cell_suppression import hidden_cells

    cells = np.column_stack([numbers.summary.count, numbers.missing])
    lacks = int(numbers.missing.sum())
    if 0 < lacks < setting.least:  # a level of that few is not told of at all
        hidden = np.ones(cells.shape, bool)
    else:
        hidden = hidden_cells(cells, setting.least) if lacks else np.zeros(cells.shape, bool)
    rows = _number_rows(numbers.summary, hidden[:, 0], setting)
    if lacks < setting.least:
        return rows
    missing = _of_levels(Levels(["known", MISSING], cells), setting)
    told = missing["level"] == MISSING
    return {name: np.concatenate([rows[name], missing[name][told]]) for name in rows}


def _number_rows(summary: NumberSummary, hidden: NDArray[np.bool_], setting: Setting) -> Columns:
    """Return a row per segment; a mean of few is not shown, and a count not where it would tell who is missing."""
    figures = _number_figures(summary, setting)
    segments = len(summary.count)
    rows = _empty(LEVEL_FIGURES, segments) | figures | {"segment": np.arange(segments)}
    rows["count"] = np.where(hidden, np.nan, summary.count)
    rows["level"] = np.full(segments, None, object)
    rows = _hide(rows, summary.count < setting.least, setting)
    counts = [COUNT_HIDDEN if is_hidden else None for is_hidden in hidden]
    notes = zip(rows["note"], _skew_notes(figures, summary), counts, strict=True)
    return rows | {"note": np.array([gone or skewed or count for gone, skewed, count in notes], object)}


def _number_figures(summary: NumberSummary, setting: Setting) -> Columns:
    from crmlytics._kernels.group_differences import cohen_d, number_v_test, superiority

    with np.errstate(invalid="ignore"):
        spread = np.sqrt(summary.squares / summary.count)
    spread_overall = np.sqrt(summary.overall_squares / summary.count.sum())
    figures = (
        summary.mean, summary.overall_mean, summary.median, summary.overall_median, spread, spread_overall,
        superiority(summary), *cohen_d(summary, setting.confidence), *number_v_test(summary),
    )  # fmt: skip
    named = zip((*NUMBER_FIGURES, *EFFECTS, *TESTS), figures, strict=True)
    return {name: np.broadcast_to(values, summary.count.shape).astype(np.float64) for name, values in named}


def _skew_notes(figures: Columns, summary: NumberSummary) -> list[str | None]:
    """Say where mean and ranks point in opposite directions, both by more than chance."""
    n, total = summary.count, summary.count.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt((total + 1) / (12.0 * n * (total - n)))  # of U / mn, at most: ties make it smaller
        by_rank = (figures["superiority_probability"] - 0.5) / error
    v = figures["v_test"]
    notes = np.full(len(n), None, object)
    notes[(v > SURE) & (by_rank < -SURE)] = LARGE_VALUES
    notes[(v < -SURE) & (by_rank > SURE)] = SMALL_VALUES
    return list(notes)


def _hide(rows: Columns, hidden: NDArray[np.bool_], setting: Setting) -> Columns:
    """Leave out the figures of some rows, and say so."""
    shown = {name: np.where(hidden, np.nan, rows[name]) for name in FIGURES}
    note = np.full(len(hidden), None, object)
    note[hidden] = setting.hidden_note
    return rows | shown | {"note": note}


def _empty(names: tuple[str, ...], length: int) -> Columns:
    return {name: np.full(length, np.nan) for name in names}
