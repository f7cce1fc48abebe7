"""From what was counted of a column to the rows of a profile: shares, means, effects and tests, and what is hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics.profiling._counting import Levels, Numbers
from crmlytics.profiling._rounding import rounded_summary
from crmlytics.scoring._encoding import MISSING, short

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.group_differences import NumberSummary

    Columns = dict[str, NDArray[Any]]

RANKS = ("superiority_probability", "median_overall")  # of all customers: exact, or not at all
SURE = 1.96  # of a v-test: 5 % by chance
FORMED = "it formed the segments: no test"
LARGE_VALUES = "the mean is higher by a few large values: most are lower"
SMALL_VALUES = "the mean is lower by a few small values: most are higher"
HIDDEN, ROUNDED, NO_RANKS = "hidden", "rounded", "no ranks"
NO_SPREADS = "mean only, as_levels shows more"
FAR_VALUE = "most are {}, far from all others: if that is a code for none, make it missing"
LEVEL_FIGURES = ("count", "share_in_segment", "share_overall", "share_of_level", "lift")
NUMBER_FIGURES = (
    "mean", "mean_overall", "median", "median_overall", "standard_deviation", "standard_deviation_overall",
    "superiority_probability",
)  # fmt: skip
EFFECTS = ("effect_size", "effect_low", "effect_high")
TESTS = ("v_test", "p_value")
SPREADS = ("standard_deviation", "standard_deviation_overall", *EFFECTS, *TESTS)  # what one may follow from
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

    def note(self, what: str) -> str:
        """Say why figures are missing or not exact."""
        return f"{what}: a count below {self.least} could be told"


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
    order = np.argsort(levels.labels)  # as segments are: of two equal cells the same one goes from either side
    hidden = hidden_cells(levels.count[:, order], setting.least)[:, np.argsort(order)]
    return _hide(rows, hidden.ravel(), setting)


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
    rows = _number_rows(numbers, hidden[:, 0], setting)
    if lacks < setting.least:
        return rows
    missing = _of_levels(Levels(["known", MISSING], cells), setting)
    told = missing["level"] == MISSING
    return {name: np.concatenate([rows[name], missing[name][told]]) for name in rows}


def _number_rows(numbers: Numbers, hidden: NDArray[np.bool_], setting: Setting) -> Columns:
    """Return a row per segment; of few nothing is shown, and nothing that would tell who is missing or has what."""
    summary, segments = numbers.summary, len(numbers.missing)
    few = summary.count < setting.least
    rare = hidden | ((numbers.cells > 0) & (numbers.cells < setting.least)).any(axis=1)
    solved = _solved(numbers, setting) & ~few
    rounded = hidden | solved
    shown = summary
    if rounded.any() and not few.all():
        shown = rounded_summary(summary, rounded=rounded, hidden=hidden, size=setting.size, least=setting.least)
    figures = _number_figures(shown, setting)
    skewed = _skew_notes(figures, summary)
    figures |= _empty((RANKS if rare.any() else ()) + (SPREADS if solved.any() else ()), segments)
    figures["median"] = np.where(rare, np.nan, figures["median"])
    rows = _empty(LEVEL_FIGURES, segments) | figures | {"segment": np.arange(segments)}
    rows["count"] = np.where(hidden, np.nan, summary.count)
    rows["level"] = np.full(segments, None, object)
    rows = _hide(rows, few, setting)
    why = [ROUNDED if one else NO_RANKS for one in rounded] if rare.any() else []
    why = [NO_SPREADS] * segments if solved.any() else why
    safe = [setting.note(one) for one in why] if why else [None] * segments
    far = None if numbers.far_value is None else FAR_VALUE.format(short(numbers.far_value))
    notes = [hid or one or far or skew for hid, skew, one in zip(rows["note"], skewed, safe, strict=True)]
    return rows | {"note": np.array(notes, object)}


def _solved(numbers: Numbers, setting: Setting) -> NDArray[np.bool_]:
    """Whether count, mean and spread of a segment tell how many have a rare value."""
    from crmlytics._kernels.cell_suppression import moments_tell

    return np.array([moments_tell(numbers.values, cells, setting.least) for cells in numbers.cells])


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
    note[hidden] = setting.note(HIDDEN)
    return rows | shown | {"note": note}


def _empty(names: tuple[str, ...], length: int) -> Columns:
    return {name: np.full(length, np.nan) for name in names}
