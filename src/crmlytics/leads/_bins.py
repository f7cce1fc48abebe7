"""Bins of a column: how values fall into them, how they read in words, and how SQL says the same."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from crmlytics.exceptions import SchemaError
from crmlytics.leads._columns import Levels
from crmlytics.leads._missing import is_missing_sql

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.leads._sql import Dialect

FINE_BINS = 40  # quantiles that the bins are joined from
FINE_LEVELS = 100  # groups of levels that the bins are joined from, where there are more
RARE = 20  # rows: a level with fewer is not told apart from others
MISSING, OTHER = "missing", "any other"


@dataclass(frozen=True, slots=True)
class NumberBins:
    """Bins of numbers: up to the first cut, from it (included) to the next, ...; the last is for missing values."""

    cuts: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.cuts) + 2

    def codes(self, values: Any, *, name: str, caller: str) -> NDArray[np.int64]:
        """Return the bin of each value; infinite ones are no numbers."""
        if isinstance(values, Levels) and not values.names:  # text without any value
            return np.full(len(values.codes), len(self.cuts) + 1)
        if isinstance(values, Levels):
            raise SchemaError(f"{caller}: {name!r} was numbers when it was learnt, and is now words or truth values.")
        codes: NDArray[np.int64] = np.searchsorted(np.array(self.cuts), values, side="right").astype(np.int64)
        codes[~np.isfinite(values)] = len(self.cuts) + 1
        return codes

    def words(self) -> list[str]:
        """Name the bins."""
        if not self.cuts:
            return ["any value", MISSING]
        written = [_written(cut) for cut in self.cuts]
        between = [f"[{low}, {high})" for low, high in pairwise(written)]
        return [f"under {written[0]}", *between, f"{written[-1]} or more", MISSING]

    def conditions(self, column: str, dialect: Dialect) -> list[tuple[str, int]]:
        """Return the SQL of each bin but the last to be asked, in the order of asking, and their numbers."""
        largest = dialect.number(float(np.finfo(np.float64).max))
        missing = (
            f"{column} IS NULL OR NOT ({column} BETWEEN -{largest} AND {largest})"  # not a number is never between
        )
        return [(missing, len(self.cuts) + 1)] + [
            (f"{column} < {dialect.number(cut)}", code) for code, cut in enumerate(self.cuts)
        ]

    @property
    def left(self) -> int:
        """The bin of what meets no condition."""
        return len(self.cuts)


@dataclass(frozen=True, slots=True)
class LevelBins:
    """Bins of words or truth values: groups of levels, then any other level, then missing ones."""

    groups: tuple[tuple[str, ...], ...]
    is_flag: bool
    missing_words: frozenset[str]

    def __len__(self) -> int:
        return len(self.groups) + 2

    def codes(self, values: Any, *, name: str, caller: str) -> NDArray[np.int64]:
        """Return the bin of each value."""
        is_empty = not isinstance(values, Levels) and not np.isfinite(values).any()  # a column without any value
        if is_empty:
            return np.full(len(values), len(self.groups) + 1)
        if not isinstance(values, Levels) or values.is_flag != self.is_flag:
            kind = "truth values" if self.is_flag else "words"
            raise SchemaError(f"{caller}: {name!r} was {kind} when it was learnt, and now it is not.")
        number = {level: code for code, group in enumerate(self.groups) for level in group}
        of_level = [number.get(level, len(self.groups)) for level in values.names]
        return np.array([*of_level, len(self.groups) + 1], np.int64)[values.codes]

    def words(self) -> list[str]:
        """Name the bins."""
        return [*(", ".join(map(_quoted, group)) for group in self.groups), OTHER, MISSING]

    def conditions(self, column: str, dialect: Dialect) -> list[tuple[str, int]]:
        """Return the SQL of each bin but the last to be asked, in the order of asking, and their numbers."""
        missing = f"{column} IS NULL"
        if self.is_flag:
            tests = {"True": column, "False": f"NOT {column}"}
            groups = [" OR ".join(tests[level] for level in group) for group in self.groups]
        else:
            groups = [f"{column} IN ({dialect.texts(group)})" for group in self.groups]
            if self.missing_words:
                words = dialect.texts(sorted(self.missing_words))
                missing += f" OR {is_missing_sql(column, words, dialect.text)}"
        return [(missing, len(self.groups) + 1), *((test, code) for code, test in enumerate(groups))]

    @property
    def left(self) -> int:
        """The bin of what meets no condition."""
        return len(self.groups)


Bins: TypeAlias = NumberBins | LevelBins


@dataclass(frozen=True, slots=True)
class Wanted:
    """What bins have to be like.

    Attributes
    ----------
    max_bins : int
    least_count, least_positives : float
        The fewest rows of a bin, and the fewest of each outcome in it.
    shrinkage : float
        Average rows added to each bin.
    price : float
        The information value that a bin has to bring.
    """

    max_bins: int
    least_count: float
    least_positives: float
    shrinkage: float
    price: float


def bin_numbers(values: NDArray[np.float64], outcome: NDArray[np.bool_], direction: int | None, want: Wanted) -> Bins:
    """Cut a column of numbers where it tells most of the outcome, rising or falling (None: whichever tells more)."""
    from crmlytics._kernels.evidence import FALLING, RISING, best_bins

    known = np.isfinite(values)
    ordered = np.sort(values[known])
    if not len(ordered):
        return NumberBins(())
    places = np.arange(1, FINE_BINS) * len(ordered) // FINE_BINS
    starts = np.unique(np.searchsorted(ordered, ordered[places], side="left"))  # never within equal values
    starts = starts[starts > 0]
    lows = ordered[starts]
    events, counts = _tally(np.searchsorted(lows, values[known], side="right"), outcome[known], len(lows) + 1)
    found = [
        best_bins(
            events, counts, (float(outcome.sum()), float(len(outcome))), shape,
            want.max_bins, (want.least_count, want.least_positives), want.shrinkage, want.price,
        )
        for shape in ((RISING, FALLING) if direction is None else (direction,))
    ]  # fmt: skip
    edges, _ = max(found, key=lambda way: way[1])
    cut_at = starts[edges[1:-1] - 1]
    return NumberBins(tuple(_roundest(float(ordered[at - 1]), float(ordered[at])) for at in cut_at))


def bin_levels(column: Levels, outcome: NDArray[np.bool_], missing_words: frozenset[str], want: Wanted) -> Bins:
    """Join levels with similar outcomes; rare ones are pooled as any other.

    The levels are put in the order of their outcomes first, so chance makes them differ: its share, one for each level
    after the first, is charged before they may be told apart at all.
    """
    from crmlytics._kernels.evidence import RISING, best_bins, weight_of_evidence

    known = column.codes >= 0
    events, counts = _tally(column.codes[known], outcome[known], len(column.names))
    total = float(outcome.sum()), float(len(outcome))
    common = np.flatnonzero(counts >= RARE)
    if not len(common):
        return LevelBins((), column.is_flag, missing_words)
    weight = weight_of_evidence(events[common], counts[common], total[0] / total[1], want.shrinkage)
    common = common[np.lexsort((common, weight))]
    limits = (want.least_count, want.least_positives)
    starts = _fine_groups(counts[common])
    fine = np.add.reduceat(events[common], starts), np.add.reduceat(counts[common], starts)
    edges, value = best_bins(*fine, total, RISING, want.max_bins, limits, want.shrinkage, want.price)
    chance = (len(common) - 1) * (1 / total[0] + 1 / (total[1] - total[0]))
    _, whole = best_bins(*fine, total, RISING, 1, limits, want.shrinkage, want.price)
    if value - chance <= whole:
        edges = np.array([0, len(starts)])
    groups = [common[start:end] for start, end in pairwise(np.append(starts, len(common))[edges])]
    named = tuple(tuple(column.names[code] for code in sorted(group)) for group in groups)
    return LevelBins(named, column.is_flag, missing_words)


def _fine_groups(counts: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return where each level begins or, where there are many, each group of neighbours with about as many rows."""
    if len(counts) <= FINE_LEVELS:
        return np.arange(len(counts))
    middle = np.cumsum(counts) - counts / 2
    return np.flatnonzero(np.diff(middle * FINE_LEVELS // counts.sum(), prepend=-1.0))


def _tally(
    codes: NDArray[Any], outcome: NDArray[np.bool_], bins: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    counts = np.bincount(codes, minlength=bins).astype(np.float64)
    return np.bincount(codes, outcome, bins).astype(np.float64), counts


def _roundest(low: float, high: float) -> float:
    """Return the number with the fewest digits that is above ``low`` and not above ``high``.

    >>> _roundest(17.0, 26.5), _roundest(0.1234, 0.1251), _roundest(-3.0, 2.0)
    (20.0, 0.125, 0.0)
    """
    if low < 0 <= high:
        return 0.0
    first = math.floor(math.log10(max(abs(low), abs(high))))
    for digits in range(17):
        rounded = _floor(high, first - digits)
        if low < rounded <= high:
            return rounded
    return high


def _floor(value: float, exponent: int) -> float:
    """Round down to a multiple of a power of ten, written as exactly as a float can."""
    if exponent >= 0:
        return float(math.floor(value / 10.0**exponent)) * 10.0**exponent
    return math.floor(value * 10.0**-exponent) / 10.0**-exponent


def _quoted(level: str) -> str:
    """Write a level such that it is told from its neighbours: one with a comma in quotes."""
    return '"' + level.replace('"', '""') + '"' if "," in level else level


def _written(cut: float) -> str:
    return repr(int(cut)) if cut.is_integer() and abs(cut) < 1e15 else repr(cut)
