"""What makes a segment differ from everybody, in standard deviations, and the name that follows from it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Phrase = tuple[str, str | None, str]

LEAST = 0.3  # standard deviations: less is no difference that anybody sees
WORDS, MOST_WORDS = 2, 4  # differences in a name
EVERYBODY, AVERAGE = "everybody", "average"


def standardised_differences(matrix: Vector, labels: NDArray[Any], count: int) -> Vector:
    """Return the mean of each segment less that of everybody, over the standard deviation: shape (segments, columns).

    Of a level, that is the difference of shares over ``sqrt(p (1 - p))``. Missing for a segment without customers.
    """
    sizes = np.bincount(labels, minlength=count).astype(np.float64)
    sums = np.array([np.bincount(labels, column, count) for column in matrix.T]).T
    spread = matrix.std(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = sums / sizes[:, None] - matrix.mean(axis=0)
        return np.where(spread > 0, difference / spread, 0.0) * np.where(sizes > 0, 1.0, np.nan)[:, None]


def names_by_difference(differences: Vector, phrases: Sequence[Phrase]) -> list[str]:
    """Name segments by their largest differences, such as "high order_count, low recency_days"; no name comes twice.

    ``phrases`` are, for each column, its feature, and what is said where a segment has less (None: nothing) and more.
    """
    if len(differences) == 1:
        return [EVERYBODY]
    words = [_in_words(row, phrases) for row in differences]
    used = [WORDS] * len(words)
    names = _joined(words, used)
    for _ in range(WORDS, MOST_WORDS):
        times = Counter(names)
        used = [n + (times[name] > 1) for n, name in zip(used, names, strict=True)]
        names = _joined(words, used)
    times = Counter(names)
    seen: Counter[str] = Counter()
    for place, name in enumerate(names):
        seen[name] += 1
        names[place] = f"{name} ({seen[name]})" if times[name] > 1 else name
    return names


def _joined(words: list[list[tuple[str, str]]], used: list[int]) -> list[str]:
    """Join the first words of each segment; of two levels of a feature a customer has one or the other."""
    names = []
    for found, n in zip(words, used, strict=True):
        parts: dict[str, str] = {}
        for feature, phrase in found[:n]:
            parts[feature] = f"{parts[feature]} or {phrase.removeprefix(f'{feature} ')}" if feature in parts else phrase
        names.append(", ".join(parts.values()) or AVERAGE)
    return names


def _in_words(row: Vector, phrases: Sequence[Phrase]) -> list[tuple[str, str]]:
    """Return the features that differ and what to say of them, the largest difference first."""
    found = []
    for place in np.argsort(-np.abs(np.nan_to_num(row)), kind="stable"):
        feature, less, more = phrases[place]
        phrase = more if row[place] > 0 else less
        if abs(row[place]) >= LEAST and phrase is not None:
            found.append((feature, phrase))
    return found
