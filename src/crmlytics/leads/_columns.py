"""Reading the columns of a ready table: numbers, levels, the outcome and the key, once for all engines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import Engine, collect, columns_of, enter, id_column
from crmlytics._validation import did_you_mean
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.leads._missing import is_missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SHOWN = 3  # examples in a message
OUTCOMES = ("converted", "converted_at", "stage")  # the outcome of a lead under three names, never learnt from


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """A column of words or truth values: a code per row (-1 is missing) and the words, in their own order."""

    codes: NDArray[np.int64]
    names: list[str]
    is_flag: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ReadyTable:
    """A table with one row a lead (or customer), in memory.

    Attributes
    ----------
    arrow : pyarrow.Table
    key_name : str
        ``row_number`` (from 0) where the table has no key.
    keys : array
        Int64 or text.
    engine : Engine
        The kind of the table, and the way back to it.
    """

    arrow: Any
    key_name: str
    keys: NDArray[Any]
    engine: Engine
    caller: str

    def __len__(self) -> int:
        return len(self.keys)

    def readable(self) -> list[str]:
        """Return the names of columns that numbers or levels can be read from."""
        return [field.name for field in self.arrow.schema if _is_readable(field.type)]

    def column(self, name: str, missing_words: frozenset[str]) -> NDArray[np.float64] | Levels:
        """Return a column as numbers (NaN is missing) or levels; one without any value as numbers."""
        import pyarrow as pa
        import pyarrow.compute as pc

        values = self.arrow[name].combine_chunks()
        if pa.types.is_boolean(values.type):
            codes = values.cast(pa.int8()).fill_null(-1).to_numpy(zero_copy_only=False)
            return Levels(codes.astype(np.int64), ["False", "True"], is_flag=True)
        if _is_number(values.type) or pa.types.is_null(values.type):
            return floats(values)
        coded = values.cast(pa.string()).dictionary_encode()
        order = pc.sort_indices(coded.dictionary).to_numpy()
        names = [coded.dictionary[int(place)].as_py() for place in order]
        rank = np.full(len(order) + 1, -1, np.int64)  # the last place is that of a missing one
        rank[order] = [-1 if is_missing(name, missing_words) else code for code, name in enumerate(names)]
        return Levels(rank[coded.indices.fill_null(len(order)).to_numpy(zero_copy_only=False)], names)

    def outcome(self, target: str) -> NDArray[np.bool_]:
        """Return the outcome of each row: true or false, both of which must occur."""
        import pyarrow as pa

        values = self.arrow[target].combine_chunks()
        if not (pa.types.is_boolean(values.type) or _is_number(values.type)):
            msg = f"{self.caller}: the outcome {target!r} holds {values.type}, expected true and false (or 1 and 0). "
            raise SchemaError(f"{msg}Make it so, for example data[{target!r}] == 'Yes'.")
        if values.null_count:
            msg = f"{self.caller}: {values.null_count:,} rows have no outcome {target!r}. Leave them out of the fit."
            raise SchemaError(msg)
        numbers = floats(values)
        found = np.unique(numbers)
        if not np.isin(found, [0.0, 1.0]).all():
            msg = f"{self.caller}: the outcome {target!r} must be true or false, got {found[:SHOWN].tolist()}."
            raise SchemaError(msg)
        if len(found) < 2:
            msg = f"{self.caller}: every row has {target!r} = {bool(found[0])}. Nothing can be learnt from one outcome."
            raise SchemaError(msg)
        return np.asarray(numbers == 1)


def floats(values: Any) -> NDArray[np.float64]:
    """Return an Arrow array of numbers as floats, NaN where there is none; large ones lose their last digits."""
    import pyarrow as pa

    return np.array(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)


def places(known: Any, others: Any) -> NDArray[np.int64]:
    """Return where each of the other ids is among the known ones, -1 for those that are not there; Arrow arrays."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = pc.index_in(others.cast(known.type), value_set=known)  # engines differ in their types of text
    found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), np.int64)


def read_table(X: Any, *, key: str | None, needed: Sequence[str], caller: str) -> ReadyTable:
    """Collect a table of any engine once; the ``needed`` columns must be there."""
    frame, engine = enter(X, caller=caller)
    present = columns_of(frame)
    missing = [name for name in needed if name not in present]
    if missing:
        hint = did_you_mean(missing[0], present)
        raise MissingColumnsError(f"{caller} needs the columns {missing}, got {present}.{hint}")
    computed = collect(frame)
    if len(computed) == 0:
        raise SchemaError(f"{caller}: the table has no rows. Check the filters before it.")
    keys = np.arange(len(computed))
    if key is not None and key in present:
        keys = _keys(computed.select(id_column(key, computed.schema[key], caller=caller)), key, caller=caller)
    try:
        arrow = computed.to_arrow().select(present)  # without the index of pandas
    except Exception as error:
        msg = f"{caller}: a column holds values of several kinds ({error}). Make it text or numbers first."
        raise SchemaError(msg) from error
    return ReadyTable(arrow, key if key is not None and key in present else "row_number", keys, engine, caller)


def _keys(ids: Any, name: str, *, caller: str) -> NDArray[Any]:
    column = ids.to_arrow()[name].combine_chunks()
    if column.null_count:
        raise SchemaError(f"{caller}: {column.null_count:,} rows have no {name}. Leave them out.")
    keys: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    repeated = len(keys) - len(column.unique())
    if repeated:
        raise SchemaError(f"{caller}: {repeated:,} rows repeat a {name}. Keep one row each.")
    return keys


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_readable(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return _is_readable(kind.value_type)
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_boolean)
    return _is_number(kind) or pa.types.is_null(kind) or any(test(kind) for test in tests)
