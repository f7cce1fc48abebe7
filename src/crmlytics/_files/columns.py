"""Columns of text into numbers, moments and truths where all values agree; Arrow columns into pandas without loss."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    import pyarrow as pa

MISSING_WORDS = ("NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None", "-")

_MOST_NAMES, _LONGEST_NAME = 10, 60
_WHOLE = r"^[+-]?(0|[1-9]\d{0,17})$"
_ISO_MOMENT = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?$"
_ISO_ZONED = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)$"
_INFINITE = r"|[+-]?(inf|Inf|INF|Infinity|infinity)"
_INTEGER_PART = r"(0|[1-9]\d{0,15})?"  # longer ones are ids: a float would round them
DECIMAL = {
    sign: (
        rf"^([+-]?{_INTEGER_PART}({point}\d*)?([eE][+-]?\d+)?"
        rf"|[+-]?[1-9]\d{{0,2}}([{group}' \x{{a0}}\x{{202f}}]\d{{3}})+({point}\d*)?{_INFINITE})$"
    )
    for sign, point, group in ((".", r"\.", ","), (",", ",", "."))
}
SURE_DECIMAL = {  # values that can be read with this decimal sign only
    ".": r"^[+-]?(\d+\.(\d{0,2}|\d{4,})|\d{4,}\.\d+|0\.\d+|[\d,]*,\d{3}\.\d*|\d{1,3}(,\d{3}){2,})$",
    ",": r"^[+-]?(\d+,(\d{0,2}|\d{4,})|\d{4,},\d+|0,\d+|[\d.]*\.\d{3},\d*|\d{1,3}(\.\d{3}){2,})$",
}


def check_header(cells: list[str | None], *, name: str) -> list[str]:
    """Name columns without a name ``unnamed_1``, ...; refuse names that come twice, and data in place of a header."""
    header = [f"unnamed_{place}" if cell is None else cell.strip() for place, cell in enumerate(cells, start=1)]
    twice = sorted(cell for cell, count in Counter(header).items() if count > 1)
    if twice:
        raise SchemaError(f"{name}: several columns have the same name, {shown(twice)}; rename them in the file.")
    if all(re.match(rf"{_WHOLE}|{_ISO_MOMENT}|^[\d.,:/ -]+$", cell) for cell in header):
        raise SchemaError(
            f"{name}: the first line looks like data, {shown(header)}; put a line with column names above it."
        )
    return header


def shown(names: Iterable[object]) -> str:
    """Write a list of columns as a message has room for: the first ten, each cut where it is very long.

    >>> shown(["a", "b"]), shown(range(12))
    ("['a', 'b']", "['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ... (12 columns)]")
    """
    texts = [str(name) for name in names]
    some = [text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}..." for text in texts[:_MOST_NAMES]]
    return str(some) if len(texts) <= _MOST_NAMES else f"{str(some)[:-1]}, ... ({len(texts)} columns)]"


def distinct(column: pa.ChunkedArray) -> pa.Array:
    """List the distinct values of a column, trimmed, without the missing ones."""
    import pyarrow.compute as pc

    values = column.unique()
    values = values.combine_chunks() if hasattr(values, "combine_chunks") else values
    return pc.utf8_trim_whitespace(values.drop_null())


def without_missing(values: pa.Array) -> pa.Array:
    """Leave out the words that mean nothing is there."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return values.filter(pc.invert(pc.is_in(values, pa.array(MISSING_WORDS))))


def all_match(values: pa.Array, pattern: str) -> bool:
    """Tell whether there are values and all match; the first few settle most cases."""
    import pyarrow.compute as pc

    if not len(values):
        return False
    return all(pc.all(pc.match_substring_regex(part, pattern)).as_py() for part in (values[:50], values))


def with_kind(column: pa.ChunkedArray, decimals: str, *, may_doubt: bool = False) -> Any:
    """Convert one column of text, or leave it.

    Parameters
    ----------
    column : pyarrow.ChunkedArray of text
    decimals : str
        The decimal signs to try, the likelier first.
    may_doubt : bool
        Whether numbers that either sign can read (1.250) stay text.
    """
    import pyarrow as pa

    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    converted = _convert(encoded.dictionary, decimals, may_doubt=may_doubt)
    return column if converted is None else converted.take(encoded.indices)


def _convert(uniques: pa.Array, decimals: str, *, may_doubt: bool) -> pa.Array | None:
    """Convert the distinct values of a column, in place; nothing if they have no common kind but text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(uniques)
    missing = pc.is_in(trimmed, pa.array(MISSING_WORDS))
    values = trimmed.filter(pc.invert(missing))
    present = pc.if_else(missing, pa.scalar(None, pa.string()), trimmed)
    if all_match(values, _WHOLE):
        return pc.cast(pc.utf8_ltrim(present, "+"), pa.int64())
    if may_doubt and is_doubtful(values):
        return None
    for sign in decimals:
        if all_match(values, DECIMAL[sign]):
            return _to_numbers(present, sign)
    if all_match(values, r"^(?i:true|false)$"):
        return pc.equal(pc.utf8_lower(present), "true")
    if all_match(values, _ISO_MOMENT):
        return _to_moments(present, pa.timestamp("us"))
    if all_match(values, _ISO_ZONED):
        return _to_moments(present, pa.timestamp("us", "UTC"))
    return None


def is_doubtful(values: pa.Array) -> bool:
    """Tell whether all values can be read with either decimal sign, and some then differ: 1.250 and 400."""
    import pyarrow.compute as pc

    either = all(all_match(values, pattern) for pattern in DECIMAL.values())
    return either and bool(pc.any(pc.match_substring_regex(values, r"[.,]\d{3}$")).as_py())


def _to_numbers(values: pa.Array, decimal: str) -> pa.Array | None:
    """Drop thousands separators, and convert; whole numbers if all were."""
    import pyarrow as pa
    import pyarrow.compute as pc

    thousands = r"[, '\x{a0}\x{202f}+]" if decimal == "." else r"[. '\x{a0}\x{202f}+]"
    plain = pc.replace_substring(pc.replace_substring_regex(values, thousands, ""), ",", ".")
    try:
        return pc.cast(plain, pa.int64() if all_match(plain.drop_null(), _WHOLE) else pa.float64())
    except pa.ArrowInvalid:
        return None


def _to_moments(values: pa.Array, kind: pa.DataType) -> pa.Array | None:
    """Convert ISO-8601; nothing if a value such as 2024-02-30 is no date."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return pc.cast(values, kind)
    except pa.ArrowInvalid:
        return None


def arrow_to_frame(table: pa.Table) -> pd.DataFrame:
    """Convert column by column: no whole number becomes a float, no date an object."""
    import pandas as pd

    columns = [_arrow_to_series(table.column(place)) for place in range(table.num_columns)]
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=range(table.num_rows))
    return frame.set_axis(table.column_names, axis=1)


def _arrow_to_series(column: pa.ChunkedArray) -> pd.Series:
    """Convert one column."""
    import pandas as pd
    import pyarrow as pa

    kind = column.type
    if pa.types.is_integer(kind) and column.null_count:
        nullable = {"int64": pd.Int64Dtype(), "uint64": pd.UInt64Dtype()}
        wide = "uint64" if pa.types.is_uint64(kind) else "int64"
        return column.cast(wide).to_pandas(types_mapper=lambda _: nullable[wide])
    if pa.types.is_boolean(kind) and column.null_count:
        return column.to_pandas(types_mapper=lambda _: pd.BooleanDtype())
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("us"))
    elif pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    return column.to_pandas()
