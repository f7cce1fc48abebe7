"""How far a row can be trusted: the bounds of its figures, and what it must not be read as, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

BOUNDS = ("", "_low", "_high")


def with_bounds(name: str, value: Any, low: Any, high: Any) -> dict[str, Any]:
    """Return a figure and its bounds as columns."""
    return {name + end: column for end, column in zip(BOUNDS, (value, low, high), strict=True)}


def cautions(rows: int, told: Iterable[tuple[Any, str]], *, first: str | None = None) -> NDArray[Any]:
    """Write on every row the first sentence, and of ``told`` each that holds for the row; None where nothing does."""
    holds = [(np.broadcast_to(which, rows), words) for which, words in told]
    said = ([first, *(words for which, words in holds if which[row])] for row in range(rows))
    return np.array([" ".join(filter(None, sentences)) or None for sentences in said], object)
