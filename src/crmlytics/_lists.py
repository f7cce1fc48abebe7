"""Columns of lists, such as the items of a rule: built from arrays at once, for dataframes of every engine."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import Implementation

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from crmlytics._frames import Engine


def list_column(starts: NDArray[np.int64], codes: NDArray[np.int32], item_ids: NDArray[Any]) -> Any:
    """Return an Arrow array of lists: row ``i`` holds the ids of ``codes[starts[i]:starts[i + 1]]``, in that order."""
    import pyarrow as pa

    whole_numbers = item_ids.dtype.kind in "iu" or (len(item_ids) > 0 and isinstance(item_ids[0], numbers.Integral))
    ids = pa.array(item_ids, type=pa.int64() if whole_numbers else pa.string())
    offsets = pa.array(starts).cast(pa.int32())  # refuses more than 2**31 items in all
    return pa.ListArray.from_arrays(offsets, ids.take(pa.array(codes)))


def lists_of_lists(outer: NDArray[np.int64], lists: Any) -> Any:
    """Return an Arrow array of lists of lists: row ``i`` holds ``lists[outer[i]:outer[i + 1]]``, in that order."""
    import pyarrow as pa

    return pa.ListArray.from_arrays(pa.array(outer).cast(pa.int32()), lists)


def text_of_lists(lists: Any, between: str, within: str) -> NDArray[Any]:
    """Return lists of lists of words as text: ``within`` parts the words of an inner list, ``between`` these lists."""
    import pyarrow as pa
    import pyarrow.compute as pc

    inner = pa.ListArray.from_arrays(lists.offsets, pc.binary_join(lists.values, within))
    text: NDArray[Any] = pc.binary_join(inner, between).to_numpy(zero_copy_only=False)
    return text


def table_with_lists(engine: Engine, columns: Mapping[str, Any]) -> Any:
    """Build a table of this engine's kind from NumPy arrays and Arrow arrays of lists.

    Integers must come as int64 and numbers as float64: dtypes go out as they came in; NaN is missing. In pandas a
    column of lists has the dtype ``list<...>[pyarrow]``, everywhere else it is the engine's own.
    """
    columns = {name: _text(values) for name, values in columns.items()}
    if engine.implementation is Implementation.PANDAS:
        return _pandas_table(columns)
    import pyarrow as pa

    backend: Any = Implementation.POLARS if engine.implementation is Implementation.POLARS else Implementation.PYARROW
    table = pa.table({name: _missing(values) for name, values in columns.items()})
    return engine.from_eager(nw.DataFrame.from_arrow(table, backend=backend))


def _text(values: Any) -> Any:
    """Give ids of text a dtype that says so where there are none to tell it from."""
    is_object = getattr(getattr(values, "dtype", None), "kind", "") == "O"
    return values.astype("U1") if is_object and not len(values) else values


def _missing(values: Any) -> Any:
    """Turn NaN into what every engine but pandas takes for missing."""
    import pyarrow as pa

    is_number = getattr(getattr(values, "dtype", None), "kind", "") == "f"
    return pa.array(values, from_pandas=True) if is_number else values


def _pandas_table(columns: Mapping[str, Any]) -> Any:
    import pandas as pd
    import pyarrow as pa

    return pd.DataFrame(
        {
            name: pd.arrays.ArrowExtensionArray(values) if isinstance(values, pa.ListArray) else values
            for name, values in columns.items()
        }
    )
