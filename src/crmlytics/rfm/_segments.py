"""The names of the cells of the score grid: every cell has exactly one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias

import narwhals.stable.v2 as nw

from crmlytics._validation import did_you_mean
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Range: TypeAlias = tuple[int, int]
SHOWN_CELLS = 8

# name: (R levels, FM levels) of five, and what to do; from best to worst
SEGMENTS: dict[str, tuple[Range, Range, str]] = {
    "Champions": ((5, 5), (4, 5), "Reward them, show them new things first, ask for reviews and referrals."),
    "Loyal": ((3, 4), (4, 5), "Keep them: loyalty benefits, and better or further products."),
    "Potential loyalists": ((4, 5), (2, 3), "Offer membership and products that go with what they bought."),
    "New customers": ((5, 5), (1, 1), "Welcome them, help with the first purchase, lead to a second."),
    "Promising": ((4, 4), (1, 1), "Bring the brand back to mind with a small reason to buy again."),
    "Need attention": ((3, 3), (3, 3), "Make a limited offer based on what they bought before."),
    "About to sleep": ((3, 3), (1, 2), "Remind them of popular products; share something useful."),
    "At risk": ((1, 2), (3, 4), "Write personally and win them back with a good offer."),
    "Cannot lose": ((1, 2), (5, 5), "Call them: find out what went wrong and make it good."),
    "Hibernating": ((2, 2), (1, 2), "Include them in cheap mailings only."),
    "Lost": ((1, 1), (1, 2), "Spend nothing beyond one last attempt."),
}
ACTIONS = {name: action for name, (_, _, action) in SEGMENTS.items()}


@dataclass(frozen=True, slots=True)
class Box:
    """A block of cells: inclusive ranges of the scores, and of the sum of the F and M scores."""

    r: Range
    f: Range
    m: Range
    f_plus_m: Range

    def tests(self, r: Any, f: Any, m: Any, *, n_bins: int) -> list[Any]:
        """Return what a cell must fulfil, leaving out what always holds; for whole numbers or expressions."""
        whole = (1, n_bins)
        sides = [(r, self.r, whole), (f, self.f, whole), (m, self.m, whole), (f + m, self.f_plus_m, (2, 2 * n_bins))]
        tests = [value >= low for value, (low, _), (least, _) in sides if low > least]
        return tests + [value <= high for value, (_, high), (_, most) in sides if high < most]


SegmentMap: TypeAlias = tuple[tuple[str, Box], ...]


def default_map(n_bins: int) -> SegmentMap:
    """Lay the eleven segments over a grid of any size: each score becomes the level 1 to 5 its middle falls in."""
    boxes = []
    for name, (r_levels, fm_levels, _) in SEGMENTS.items():
        r = [score for score in range(1, n_bins + 1) if r_levels[0] <= _level(2 * score - 1, n_bins) <= r_levels[1]]
        fm = [total for total in range(2, 2 * n_bins + 1) if fm_levels[0] <= _level(total - 1, n_bins) <= fm_levels[1]]
        if r and fm:  # few bins leave some segments without a cell
            boxes.append((name, Box((r[0], r[-1]), (1, n_bins), (1, n_bins), (fm[0], fm[-1]))))
    return tuple(boxes)


def own_map(segments: Mapping[str, Any], n_bins: int, *, caller: str) -> SegmentMap:
    """Read a map of the caller's, and refuse one that leaves cells without a segment or gives them two."""
    found = tuple(
        (str(name), _read_box(name, block, n_bins, caller=caller))
        for name, blocks in segments.items()
        for block in (blocks if isinstance(blocks, (list, tuple)) else [blocks])
    )
    holes, overlaps = _faults(found, n_bins)
    if holes:
        msg = f"{caller}: segments leaves {_listed(holes)} without a segment. Add a segment that holds them."
        raise SchemaError(msg)
    if overlaps:
        cell, names = next(iter(overlaps.items()))
        msg = (
            f"{caller}: segments gives {_listed(list(overlaps))} more than one segment "
            f"({cell} is in {names}). Make the ranges meet without overlapping."
        )
        raise SchemaError(msg)
    return found


def segment_expression(segment_map: SegmentMap, n_bins: int) -> nw.Expr:
    """Name the segment of each row from its r_score, f_score and m_score; null where a score is missing."""
    r, f, m = nw.col("r_score"), nw.col("f_score"), nw.col("m_score")
    chain: Any = None
    for name, box in reversed(segment_map):
        test = nw.all_horizontal(*[~score.is_null() for score in (r, f, m)], ignore_nulls=False)
        for condition in box.tests(r, f, m, n_bins=n_bins):
            test = test & condition
        chain = _when(test, nw.lit(name), chain)
    return chain  # type: ignore[no-any-return]


def chosen_text(column: str, texts: Mapping[str, str]) -> nw.Expr:
    """Return the text that belongs to each name in ``column``; null for a name that is not listed."""
    chain: Any = None
    for name, text in texts.items():
        chain = _when(nw.col(column) == name, nw.lit(text), chain)
    return chain  # type: ignore[no-any-return]


def segment_position(column: str, *, last: Iterable[str] = ()) -> nw.Expr:
    """Return the place of a segment in every table: the eleven from best to worst, own names after, ``last`` last."""
    chain: Any = nw.lit(len(SEGMENTS))
    places = {name: place for place, name in enumerate(SEGMENTS)} | dict.fromkeys(last, len(SEGMENTS) + 1)
    for name, place in places.items():
        chain = nw.when(nw.col(column) == name).then(nw.lit(place)).otherwise(chain)
    return chain.cast(nw.Int64)  # type: ignore[no-any-return]


def _when(test: nw.Expr, value: nw.Expr, otherwise: nw.Expr | None) -> nw.Expr:
    """Return a branch; null if there is no other (pandas has no literal null to write)."""
    branch = nw.when(test).then(value)
    return branch if otherwise is None else branch.otherwise(otherwise)


def _level(twice_the_middle: int, n_bins: int) -> int:
    """Return the fifth of the scale, 1 to 5, in which the middle of a score lies: exact in whole numbers."""
    return 5 * twice_the_middle // (2 * n_bins) + 1


def _read_box(name: Any, block: Any, n_bins: int, *, caller: str) -> Box:
    where = f"{caller}: segments[{name!r}]"
    if not hasattr(block, "items") or not block:
        msg = f'{where} must be ranges of scores such as {{"r": (4, 5), "fm": (4, 5)}}, got {block!r}.'
        raise SchemaError(msg)
    unknown = [key for key in block if key not in {"r", "f", "m", "fm"}]
    if unknown:
        hint = did_you_mean(unknown[0], ["r", "f", "m", "fm"])
        msg = f"{where} may name 'r', 'f', 'm' and 'fm' (the mean of f and m), got {unknown}.{hint}"
        raise SchemaError(msg)
    r, f, m, fm = (_read_range(block.get(key), n_bins, where=f"{where}[{key!r}]") for key in ("r", "f", "m", "fm"))
    return Box(r, f, m, (2 * fm[0] - 1 if fm[0] > 1 else 2, 2 * fm[1]))


def _read_range(value: Any, n_bins: int, *, where: str) -> Range:
    if value is None:
        return 1, n_bins
    ends = (value, value) if isinstance(value, int) else tuple(value) if isinstance(value, (tuple, list)) else ()
    whole = len(ends) == 2 and all(isinstance(end, int) and not isinstance(end, bool) for end in ends)
    if not whole or not 1 <= ends[0] <= ends[1] <= n_bins:
        msg = f"{where} must be a score or a range (low, high) of scores from 1 to {n_bins}, got {value!r}."
        raise SchemaError(msg)
    return ends[0], ends[1]


def _faults(segment_map: SegmentMap, n_bins: int) -> tuple[list[str], dict[str, list[str]]]:
    """Return the cells without a segment, and the names of those with several."""
    holes, overlaps = [], {}
    for r, f, m in product(range(1, n_bins + 1), repeat=3):
        names = [name for name, box in segment_map if all(box.tests(r, f, m, n_bins=n_bins))]
        if not names:
            holes.append(f"{r}{f}{m}")
        elif len(names) > 1:
            overlaps[f"{r}{f}{m}"] = names
    return holes, overlaps


def _listed(cells: list[str]) -> str:
    shown = ", ".join(cells[:SHOWN_CELLS]) + (", ..." if len(cells) > SHOWN_CELLS else "")
    return f"{len(cells)} cell{'s' if len(cells) > 1 else ''} ({shown})"
