"""From the columns of a table to the numbers that a model learns from, the same way again when it scores."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._validation import did_you_mean, warn
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

OTHER, MISSING = "other", "missing"
MOST_LEVELS = 100  # of one column; the rarer ones are pooled
FEW_LEVELS = 10
RARE = 20  # rows: a level with fewer says nothing by itself
DIGITS = 2.0**30
LARGE = 10_000
LARGEST = 1e100  # squares of larger numbers, added up, have no end
MOSTLY = 0.9  # of the words of a column: then the others are slips
NO_NUMBER = {"n/a", "na", "nan", "null", "none", "?", "-", "unknown", "missing"}
DECIMAL_COMMA = r"[-+]?\d+,\d+"
ISO_DATE = r"\d{4}-\d{2}-\d{2}"
ID_NAME = r"(^|[_\W])[iI][dD]$|[a-z]I[dD]$"
ID_LIKE = 0.5  # levels a row: a column of text with more is a name or an id, not a property


@dataclass(frozen=True, slots=True)
class Feature:
    """A column that a model learns from.

    Attributes
    ----------
    name : str
    levels : tuple of str, or None
        None for a numeric column; else the levels of a column of words, rare ones pooled as ``"other"``, which is last.
    """

    name: str
    levels: tuple[str, ...] | None = None

    def encode(self, values: Any, *, caller: str) -> NDArray[np.float64]:
        """Return numbers, or the codes of levels; NaN is missing, and so is a level never seen where none is rare."""
        if self.levels is None:
            return _numbers(values, self.name, caller)
        text = _words(values)
        place = {level: code for code, level in enumerate(self.levels)}
        unseen = place.get(OTHER, np.nan)
        codes = {word: place.get(word, unseen) for word in text.dropna().unique()}
        return np.asarray(text.map(codes).to_numpy(dtype=np.float64, na_value=np.nan))

    def in_words(self, value: float) -> str:
        """Return an encoded value as an analyst reads it."""
        if np.isnan(value):
            return MISSING
        return short(value) if self.levels is None else self.levels[int(value)]


def short(value: float) -> str:
    """Write a number with four digits, or whole.

    >>> [short(value) for value in (0.0783133, 94.3333, 4310.0, 123456.7)]
    ['0.07831', '94.33', '4310', '123457']
    """
    return f"{value:.4g}" if abs(value) < LARGE else f"{value:.0f}"


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """The encoded rows of a table.

    Attributes
    ----------
    matrix : float64 array, shape (rows, features)
        Numbers, and codes of levels; NaN is missing.
    features : tuple of Feature
    """

    matrix: NDArray[np.float64]
    features: tuple[Feature, ...]

    @property
    def names(self) -> list[str]:
        """The names of the features, in the order of the columns."""
        return [feature.name for feature in self.features]

    def rows(self, which: NDArray[Any]) -> Design:
        """Return some of the rows."""
        return Design(self.matrix[which], self.features)


@dataclass(frozen=True, slots=True)
class Encoder:
    """What was learnt of the columns of a table.

    Attributes
    ----------
    features : tuple of Feature
    left_out : dict of column to reason
        Columns that nothing can be learnt from.
    """

    features: tuple[Feature, ...]
    left_out: dict[str, str]

    def design(self, table: Any, *, caller: str, hint: str = "") -> Design:
        """Encode a pandas table that has the columns of the features; ``hint`` is what to do where it has not."""
        columns = [str(name) for name in table.columns]
        missing = [feature.name for feature in self.features if feature.name not in columns]
        if missing:
            named = f"the column {missing[0]!r}" if len(missing) == 1 else f"the columns {missing}"
            msg = (
                f"{caller}: the table lacks {named} that the model learnt from."
                f"{did_you_mean(missing[0], columns)}{hint} Columns: {columns}"
            )
            raise MissingColumnsError(msg)
        encoded = [feature.encode(table[feature.name], caller=caller) for feature in self.features]
        return Design(np.column_stack(encoded) if encoded else np.empty((len(table), 0)), self.features)


def looks_like_id(name: str) -> bool:
    """Whether a column is an id by its name: ``CustomerID``, ``order_id``, ``id``."""
    return re.search(ID_NAME, name) is not None


def learn_encoder(table: Any, names: Sequence[str], *, caller: str) -> Encoder:
    """Learn how the columns ``names`` of a pandas table become features.

    Numbers and flags stay numbers; text of numbers is read as numbers (a blank is missing); other text becomes levels,
    of which those with under ``RARE`` rows are pooled. Moments, constants and columns of names are left out.
    """
    features, left_out = [], {}
    for name in names:
        found = _feature(name, table[name], caller)
        if isinstance(found, Feature):
            features.append(found)
        else:
            left_out[name] = found
    if not features:
        listed = "; ".join(f"{name}: {reason}" for name, reason in left_out.items()) or "the table has no other column"
        msg = f"{caller}: no column is left to learn from ({listed})."
        raise SchemaError(msg)
    return Encoder(tuple(features), left_out)


# -- inside --------------------------------------------------------------------------------------------------------


def _feature(name: str, values: Any, caller: str) -> Feature | str:
    """Return the feature that a column is, or why it is none."""
    if values.isna().all():
        return "no value in any row"
    if is_neither(values):
        return "neither numbers nor words"
    if _is_time(values):
        return "a date or duration: give the days from it to the cutoff as a number"
    if looks_like_id(name):
        return "an id by its name"
    if _is_numeric(values):
        known = _numbers(values, name, caller)
        known = known[~np.isnan(known)]
        return Feature(name) if len(known) and known.min() < known.max() else "the same in every row"
    return _levels(name, _words(values))


def is_neither(values: Any) -> bool:
    """Whether a column holds lists or the like."""
    import pandas as pd

    nested = str(values.dtype).startswith(("list", "large_list", "fixed_size_list", "struct", "map"))
    return nested or pd.api.types.infer_dtype(values, skipna=True) == "mixed"


def _levels(name: str, words: Any) -> Feature | str:
    counts = words.value_counts()
    if len(counts) + bool(words.isna().any()) < 2:
        return "the same in every row"
    if len(counts) > max(ID_LIKE * len(words), FEW_LEVELS):
        return "different in nearly every row, as names and ids are"
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rare = min(RARE, len(words) // 50)
    kept = [level for level, count in ordered[:MOST_LEVELS] if count >= rare and level != OTHER]
    levels = sorted(kept) + ([OTHER] if len(kept) < len(counts) else [])
    return Feature(name, tuple(levels)) if len(levels) + bool(words.isna().any()) > 1 else "rare levels only"


def _is_numeric(values: Any) -> bool:
    """Whether a column holds numbers or flags, or is text that does."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(values) or str(values.dtype).startswith(("bool", "decimal")):
        return True
    if values.dtype == object and pd.api.types.infer_dtype(values, skipna=True) in {
        "boolean", "integer", "floating", "decimal", "mixed-integer-float", "empty",
    }:  # fmt: skip
        return True
    words = _known_words(values)
    if not len(words):
        return False
    if words.str.fullmatch(DECIMAL_COMMA).mean() >= MOSTLY:
        return True
    return bool(pd.to_numeric(words, errors="coerce").notna().mean() >= MOSTLY)


def _is_time(values: Any) -> bool:
    """Whether a column holds dates, moments or durations, as such or as text."""
    import pandas as pd

    kind = str(values.dtype)
    if kind.startswith(("datetime", "timestamp", "date", "timedelta", "duration", "time")):
        return True
    if pd.api.types.infer_dtype(values, skipna=True) in {"date", "datetime", "datetime64", "timedelta", "time"}:
        return True
    words = _known_words(values) if kind in {"object", "str", "string"} or "string" in kind else _no_words()
    return len(words) > 0 and bool(words.str.match(ISO_DATE).all())


def _no_words() -> Any:
    import pandas as pd

    return pd.Series([], dtype=pd.StringDtype(na_value=np.nan))


def _known_words(values: Any) -> Any:
    """Return the different words of a column that are not words for "missing"."""
    words = _words(values.drop_duplicates()).dropna()
    return words[~words.str.lower().isin(NO_NUMBER)]


def _numbers(values: Any, name: str, caller: str) -> NDArray[np.float64]:
    import pandas as pd

    if str(values.dtype) == "bool[pyarrow]":
        values = values.astype("boolean")
    elif not pd.api.types.is_numeric_dtype(values):
        if not _is_plain_object(values):
            values = _parsed(_words(values), name, caller)
        else:
            values = values.map(lambda value: np.nan if value is None or value is pd.NA else float(value))
    numbers = np.array(values.to_numpy(dtype=np.float64, na_value=np.nan))
    return _rounded(_finite(numbers, name, caller))


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return nine digits of each number: sums differ in their last ones from engine to engine, and so would ties."""
    share, power = np.frexp(values)
    return np.asarray(np.ldexp(np.round(share * DIGITS) / DIGITS, power))


def _parsed(words: Any, name: str, caller: str) -> Any:
    """Read text as numbers; a few strange words are missing and named, many are a mistake."""
    import pandas as pd

    numbers = pd.to_numeric(words, errors="coerce")
    strange = words[numbers.isna() & words.notna()]
    strange = strange[~strange.str.lower().isin(NO_NUMBER)]
    if not len(strange):
        return numbers
    shown = strange.drop_duplicates().head(3).tolist()
    if len(strange) > (1 - MOSTLY) * int(words.notna().sum()):
        comma = " Write a point for the decimal comma." if strange.str.fullmatch(DECIMAL_COMMA).all() else ""
        msg = f"{caller}: column {name!r} should hold numbers, got {shown} in {len(strange):,} rows.{comma}"
        raise SchemaError(msg)
    warn(f"{caller}: column {name!r} holds numbers, and {shown} in {len(strange):,} rows, which count as missing.")
    return numbers


def _is_plain_object(values: Any) -> bool:
    import pandas as pd

    kind = pd.api.types.infer_dtype(values, skipna=True)
    return "decimal" in str(values.dtype) or (values.dtype == object and kind not in {"string", "mixed"})


def _words(values: Any) -> Any:
    """Return a column as text; blanks are missing."""
    import pandas as pd

    text = pd.StringDtype(na_value=np.nan)
    codes, different = pd.factorize(values)  # each word is read once, however often it comes
    words = pd.Series([str(value).strip() or None for value in different], dtype=text)
    return pd.Series(words.reindex(codes).array, index=values.index, dtype=text)


def _finite(values: NDArray[np.float64], name: str, caller: str) -> NDArray[np.float64]:
    infinite = int(np.isinf(values).sum())
    if infinite:
        msg = f"{caller}: column {name!r} holds infinite values in {infinite:,} rows. Make them missing, or cap them."
        raise SchemaError(msg)
    huge = int((np.abs(values) > LARGEST).sum())
    if huge:
        msg = f"{caller}: column {name!r} holds numbers beyond {LARGEST:g} in {huge:,} rows. Give it in another unit."
        raise SchemaError(msg)
    return values
