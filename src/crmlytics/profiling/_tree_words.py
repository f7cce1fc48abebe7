"""The leaves of a tree as conditions that a person reads: bounds of a number are one condition, levels are by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics.scoring._encoding import short

if TYPE_CHECKING:
    from numpy.typing import NDArray

EVERYBODY = "all customers"


@dataclass(frozen=True, slots=True)
class Split:
    """What a column of the matrix that a tree learns from stands for.

    Attributes
    ----------
    name : str
        The column of the table.
    level : str, optional
        The level it marks by 1; None for a number.
    ends : pair of float, optional
        The lowest and the highest number, where all are whole.
    has_missing : bool, default False
    """

    name: str
    level: str | None = None
    ends: tuple[float, float] | None = None
    has_missing: bool = False


@dataclass(slots=True)
class _Bounds:
    """What a path says of one column."""

    above: float = -np.inf
    at_most: float = np.inf
    missing: bool = True
    level: str | None = None
    others: list[str] = field(default_factory=list)


def leaf_rules(tree: Any, splits: list[Split]) -> dict[int, str]:
    """Return the conditions of each leaf of a fitted tree, by its number."""
    found: dict[int, str] = {}
    paths: list[tuple[int, list[tuple[int, bool]]]] = [(0, [])]
    while paths:
        node, path = paths.pop()
        if tree.children_left[node] < 0:
            found[node] = _in_words(path, tree, splits)
            continue
        paths.append((int(tree.children_right[node]), [*path, (node, False)]))
        paths.append((int(tree.children_left[node]), [*path, (node, True)]))
    return found


def _in_words(path: list[tuple[int, bool]], tree: Any, splits: list[Split]) -> str:
    bounds: dict[str, _Bounds] = {}
    columns: dict[str, Split] = {}
    for node, is_left in path:
        split = splits[tree.feature[node]]
        columns[split.name] = split
        _narrow(bounds.setdefault(split.name, _Bounds()), split, float(tree.threshold[node]), is_left=is_left)
        bounds[split.name].missing &= bool(tree.missing_go_to_left[node]) == is_left
    return " and ".join(_condition(columns[name], found) for name, found in bounds.items()) or EVERYBODY


def _narrow(bounds: _Bounds, split: Split, threshold: float, *, is_left: bool) -> None:
    """Add what one step of a path says."""
    if split.level is not None and is_left:
        bounds.others.append(split.level)
    elif split.level is not None:
        bounds.level = split.level
    elif is_left:
        bounds.at_most = min(bounds.at_most, threshold)
    else:
        bounds.above = max(bounds.above, threshold)


def _condition(split: Split, bounds: _Bounds) -> str:
    if bounds.level is not None:
        return f"{split.name} is {bounds.level}"
    if split.level is not None:
        return f"{split.name} is not {' or '.join(bounds.others)}"
    if np.inf in {bounds.above, -bounds.at_most}:  # how scikit-learn parts the missing from all others
        return f"{split.name} is missing"
    if not (np.isfinite(bounds.above) or np.isfinite(bounds.at_most)):
        return f"{split.name} is known"
    words = _range(split, bounds)
    return f"({words} or missing)" if split.has_missing and bounds.missing else words


def _range(split: Split, bounds: _Bounds) -> str:
    low, high, first = bounds.above, bounds.at_most, "above"
    if split.ends is not None:
        low, high, first = np.floor(low) + 1, np.floor(high), "at least"
        if max(low, split.ends[0]) == min(high, split.ends[1]):
            return f"{split.name} is {short(max(low, split.ends[0]))}"
    parts = [f"{first} {short(low)}"] * bool(np.isfinite(low)) + [f"at most {short(high)}"] * bool(np.isfinite(high))
    return f"{split.name} {' and '.join(parts)}"


def ends_of(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the lowest and the highest known number, or None where some are not whole."""
    known = values[~np.isnan(values)]
    return (float(known.min()), float(known.max())) if (known == np.floor(known)).all() else None
