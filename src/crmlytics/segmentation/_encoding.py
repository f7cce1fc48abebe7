"""From the columns of a customer table to a space in which distances mean something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from crmlytics.scoring._encoding import MISSING, learn_encoder, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics.scoring._encoding import Encoder

    Vector = NDArray[np.float64]

TAIL = (
    3.0  # times as far from the median to the 95th percentile as to the 5th: what is that uneven is read as logarithm
)
UNITS = (0.5, 0.05)  # quantiles of what is not zero that may count as one
NORMAL_QUARTILES = 1.349  # standard deviations between the quartiles of a normal distribution
REACH = 4.0  # robust standard deviations: nobody counts as farther away, so that one customer is no segment
LEAST_VARIANCE = 0.09  # of a flag whose rarer value one in ten has: rarer ones would weigh ever more


@dataclass(frozen=True, slots=True)
class Numbers:
    """How a column of numbers is read: the logarithm where the tail is heavy, cut at both ends, variance 1.

    ``unit`` is what counts as one where the logarithm is taken, else None; ``values`` are the two of a flag, as words.
    """

    unit: float | None
    low: float
    high: float
    middle: float
    spread: float
    values: tuple[str, str] | None = None

    @classmethod
    def of(cls, values: Vector, *, is_boolean: bool = False) -> Self:
        """Learn how to read values, of which at least two differ; NaN is missing."""
        known = values[~np.isnan(values)]
        unit = _unit(known)
        read = _signed_log(known, unit)
        lower, middle, upper = np.quantile(read, [0.25, 0.5, 0.75])
        reach = REACH * ((upper - lower) / NORMAL_QUARTILES or read.std())
        low, high = max(float(middle - reach), float(read.min())), min(float(middle + reach), float(read.max()))
        spread = float(np.clip(read, low, high).std())
        if upper == lower:
            spread = max(spread, float(np.sqrt(LEAST_VARIANCE)) * (high - low))
        words = ("False", "True") if is_boolean else (short(float(known.min())), short(float(known.max())))
        return cls(unit, low, high, float(middle), spread, words if _is_flag(known) else None)

    @property
    def width(self) -> int:
        """How many columns it becomes."""
        return 1

    def in_words(self, name: str) -> tuple[str, str]:
        """Return what to say of a segment that has less, and of one that has more."""
        if self.values is None:
            return f"low {name}", f"high {name}"
        return f"{name} {self.values[0]}", f"{name} {self.values[1]}"

    def place(self, values: Vector) -> Vector:
        """Return the column, 0 being the median and what is missing."""
        read = np.clip(_signed_log(values, self.unit), self.low, self.high)
        return np.where(np.isnan(values), 0.0, (read - self.middle) / self.spread)[:, None]


@dataclass(frozen=True, slots=True)
class Words:
    """How a column of words is read: one column a level, which together weigh as much as one number.

    ``shares`` are those of the levels, of which ``"missing"`` is the last one if any was.
    """

    levels: tuple[str, ...]
    shares: tuple[float, ...]
    height: float

    @classmethod
    def of(cls, codes: Vector, levels: tuple[str, ...]) -> Self:
        """Learn the shares of levels from codes; NaN is missing."""
        missing = np.isnan(codes)
        if missing.any():
            levels = (*levels, MISSING)
        counts = np.bincount(np.where(missing, len(levels) - 1, codes).astype(np.int64), minlength=len(levels))
        shares = counts / len(codes)
        variance = max(1.0 - float((shares**2).sum()), 2 * LEAST_VARIANCE)
        return cls(levels, tuple(shares.tolist()), float(1 / np.sqrt(variance)))

    @property
    def width(self) -> int:
        """How many columns it becomes."""
        return len(self.levels)

    def place(self, codes: Vector) -> Vector:
        """Return the columns; what is neither known nor was ever missing stands in the middle of all levels."""
        last = len(self.levels) - 1 if self.levels[-1] == MISSING else -1
        code = np.where(np.isnan(codes), last, codes).astype(np.int64)
        indicators = (code[:, None] == np.arange(len(self.levels))).astype(np.float64)
        indicators[code < 0] = self.shares
        return np.asarray(indicators * self.height)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the columns of a table become a matrix, learnt once and used again."""

    encoder: Encoder
    columns: tuple[Numbers | Words, ...]

    @property
    def names(self) -> list[str]:
        """The features, one a column of the table."""
        return [feature.name for feature in self.encoder.features]

    @property
    def blocks(self) -> list[slice]:
        """The columns of the matrix that are the levels of one feature of words."""
        places = zip(self.starts, self.columns, strict=True)
        return [slice(start, start + column.width) for start, column in places if isinstance(column, Words)]

    @property
    def starts(self) -> list[int]:
        """Where the columns of each feature begin."""
        return [0, *np.cumsum([column.width for column in self.columns])[:-1].tolist()]

    def parts(self) -> list[tuple[str, str | None]]:
        """Return the feature and the level (None of numbers) that each column of the matrix stands for."""
        found: list[tuple[str, str | None]] = []
        for name, column in zip(self.names, self.columns, strict=True):
            levels = column.levels if isinstance(column, Words) else (None,)
            found += [(name, level) for level in levels]
        return found

    def phrases(self) -> list[tuple[str, str | None, str]]:
        """Return the feature of each column of the matrix, and what to say where it is less and where it is more."""
        found: list[tuple[str, str | None, str]] = []
        for name, column in zip(self.names, self.columns, strict=True):
            if isinstance(column, Words):  # what is rare follows from what is frequent
                found += [(name, None, f"{name} {level}") for level in column.levels]
            else:
                found.append((name, *column.in_words(name)))
        return found

    def matrix(self, table: Any, *, caller: str) -> Vector:
        """Encode a pandas table."""
        design = self.encoder.design(table, caller=caller).matrix
        placed = [column.place(values) for column, values in zip(self.columns, design.T, strict=True)]
        return np.ascontiguousarray(np.hstack(placed))


def learn_encoding(table: Any, names: Sequence[str], *, caller: str) -> Encoding:
    """Learn how the columns ``names`` of a pandas table are read."""
    encoder = learn_encoder(table, names, caller=caller)
    design = encoder.design(table, caller=caller)
    columns = tuple(
        Words.of(values, feature.levels)
        if feature.levels is not None
        else Numbers.of(values, is_boolean=str(table[feature.name].dtype).startswith("bool"))
        for feature, values in zip(design.features, design.matrix.T, strict=True)
    )
    return Encoding(encoder, columns)


# -- inside --------------------------------------------------------------------------------------------------------


def _unit(known: Vector) -> float | None:
    """Return the unit of the logarithm that makes both tails most alike; None where they are, and for flags."""
    if _is_flag(known) or _unevenness(known) <= np.log(TAIL):
        return None
    size = np.abs(known[known != 0])
    units = [float(np.quantile(size, share)) for share in UNITS]
    return min(units, key=lambda unit: _unevenness(_signed_log(known, unit)))


def _is_flag(known: Vector) -> bool:
    return not ((known != known.min()) & (known != known.max())).any()


def _unevenness(values: Vector) -> float:
    """Return the logarithm of how many times as long the longer tail is as the shorter one."""
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    shorter, longer = sorted((middle - low, high - middle))
    return float(np.log(longer / shorter)) if shorter > 0 else np.inf if longer > 0 else 0.0


def _signed_log(values: Vector, unit: float | None) -> Vector:
    return values if unit is None else np.asarray(np.sign(values) * np.log1p(np.abs(values) / unit))
