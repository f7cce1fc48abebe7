"""From the columns of a table of contracts to the numbers a hazard is fitted to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import columns_of, in_words
from crmlytics._validation import did_you_mean
from crmlytics.churn._missing import is_missing
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FEWEST = 20  # rows of a level: rarer ones stand together
OTHER, MISSING = "(other)", "(missing)"


@dataclass(frozen=True, slots=True)
class Numeric:
    """A column of numbers: how many standard deviations from its mean; missing ones are at the mean, and flagged."""

    name: str
    mean: float
    deviation: float
    has_missing: bool

    @property
    def effects(self) -> list[tuple[str, str | None, float]]:
        """Feature, level and the size of a step of each column made."""
        return [(self.name, None, self.deviation)] + ([(self.name, MISSING, 1.0)] if self.has_missing else [])

    def matrix(self, values: nw.Series[Any]) -> NDArray[np.float64]:
        """Return the columns made of it."""
        number = np.asarray(values.cast(nw.Float64).to_numpy(), np.float64)
        missing = ~np.isfinite(number)
        scaled = (np.where(missing, self.mean, number) - self.mean) / self.deviation
        return np.stack([scaled, missing] if self.has_missing else [scaled], axis=1)


@dataclass(frozen=True, slots=True)
class Words:
    """A column of words: one flag a level, beside the most common one, which is what they are compared with."""

    name: str
    reference: str
    levels: tuple[str, ...]

    @property
    def effects(self) -> list[tuple[str, str | None, float]]:
        """Feature, level and the size of a step of each column made."""
        return [(self.name, level, 1.0) for level in self.levels]

    def matrix(self, values: nw.Series[Any]) -> NDArray[np.float64]:
        """Return the columns made of it; a level never seen is one of the others, if there were any."""
        words = _words(values)
        words = np.where(np.isin(words, [self.reference, *self.levels]), words, OTHER)
        return np.stack([words == level for level in self.levels], axis=1).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Encoder:
    """How every feature is read."""

    columns: tuple[Numeric | Words, ...]

    @property
    def effects(self) -> list[tuple[str, str | None, float]]:
        """Feature, level and the size of a step of each column of the matrix."""
        return [effect for column in self.columns for effect in column.effects]

    def matrix(self, frame: nw.DataFrame[Any]) -> NDArray[np.float64]:
        """Return the numbers, one row per row of the frame."""
        parts = [column.matrix(frame[column.name]) for column in self.columns]
        return np.concatenate([np.zeros((len(frame), 0)), *parts], axis=1)


def choose_features(
    frame: nw.LazyFrame[Any], features: Sequence[str] | None, reserved: Sequence[str], *, caller: str
) -> list[str]:
    """Return the columns that are features: those named, or all that are neither reserved nor moments."""
    present, kinds = columns_of(frame), frame.collect_schema()
    usable = [name for name in present if name not in reserved and not isinstance(kinds[name], (nw.Datetime, nw.Date))]
    if features is None:
        return usable
    for name in [features] if isinstance(features, str) else features:
        if name not in present:
            msg = f"{caller}: features: no column is called {name!r}.{did_you_mean(name, usable)} Columns: {usable}"
            raise MissingColumnsError(msg)
        if name not in usable:
            msg = f"{caller}: {name!r} can't be a feature: it is the key, the outcome or a moment. Choose of {usable}."
            raise SchemaError(msg)
    return [features] if isinstance(features, str) else list(features)


def feature_columns(frame: nw.LazyFrame[Any], names: Sequence[str], *, caller: str) -> list[nw.Expr]:
    """Return how features are read from a frame; the names of columns are kept."""
    kinds = frame.collect_schema()
    missing = [name for name in names if name not in kinds.names()]
    if missing:
        msg = f"{caller} needs the columns {missing}, got {kinds.names()}. Give a table as the one it was fitted on."
        raise MissingColumnsError(msg)
    return [in_words(name) if kinds[name] == nw.Boolean else nw.col(name) for name in names]


def learn_encoder(frame: nw.DataFrame[Any], names: Sequence[str], *, caller: str) -> Encoder:
    """Learn means and levels; columns that are the same everywhere say nothing and are left out."""
    columns: list[Numeric | Words] = []
    for name in names:
        kind = frame.schema[name]
        if not kind.is_numeric() and not isinstance(kind, (nw.String, nw.Categorical, nw.Enum, nw.Object, nw.Unknown)):
            msg = f"{caller}: column {name!r} holds {kind}, expected numbers, words or true and false."
            raise SchemaError(msg)
        learn = _learn_numeric if kind.is_numeric() else _learn_words
        column = learn(name, frame[name])
        if column is not None:
            columns.append(column)
    return Encoder(tuple(columns))


# -- inside --------------------------------------------------------------------------------------------------------


def _learn_numeric(name: str, values: nw.Series[Any]) -> Numeric | None:
    number = np.asarray(values.cast(nw.Float64).to_numpy(), np.float64)
    known = np.sort(number[np.isfinite(number)])  # sorted: sums don't hang on the order of rows
    deviation = float(known.std()) if len(known) else 0.0
    if not deviation > 0:
        return None
    return Numeric(name, float(known.mean()), deviation, len(known) < len(number))


def _learn_words(name: str, values: nw.Series[Any]) -> Words | None:
    levels, counts = np.unique(_words(values), return_counts=True)
    common = counts >= FEWEST
    counted = dict(zip(levels[common].tolist(), counts[common].tolist(), strict=True))
    if counts[~common].sum() >= FEWEST:
        counted[OTHER] = int(counts[~common].sum())
    if len(counted) < 2:
        return None
    reference = max(sorted(counted), key=lambda level: counted[level])
    return Words(name, reference, tuple(sorted(set(counted) - {reference})))


def _words(values: nw.Series[Any]) -> NDArray[Any]:
    return np.array([MISSING if is_missing(value) else str(value) for value in values.to_list()])
