"""How customer tables come in: one row a customer, a method that exists, enough different rows to tell apart."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import columns_of, enter
from crmlytics._validation import check_choice, did_you_mean, warn
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.scoring._encoding import looks_like_id
from crmlytics.scoring._reading import read_rows, refuse_ids_in_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics.scoring._reading import Rows

KEY = "customer_id"
SEGMENT = "segment"
AUTO = "auto"
MOSTLY_WORDS = 0.5  # of the features: then centres are levels that exist


def read_customers(X: Any, *, key: str, caller: str) -> Rows:
    """Compute a table of customers once, sorted by its key; without the usual key every row is a customer."""
    if not isinstance(key, str):
        msg = f'{caller}: key must be the name of a column such as key="customer_id", got {key!r}.'
        raise SchemaError(msg)
    names = columns_of(enter(X, caller=caller)[0])
    refuse_ids_in_index(X, [key], names, caller=caller)
    if key not in names and key != KEY:
        msg = f"{caller}: key names {key!r}, no such column.{did_you_mean(key, names)} Columns: {names}"
        raise MissingColumnsError(msg)
    likely = [name for name in names if isinstance(name, str) and looks_like_id(name)]
    if key not in names and likely:
        warn(
            f"{caller}: the table has no {key!r}, so every row counts as a customer of its own. If {likely[0]!r} is "
            f"the customer, type key={likely[0]!r}."
        )
    return read_rows(X, key=[key], caller=caller)


def read_keyed(table: Any, *, key: str, columns: Sequence[str], what: str, caller: str) -> Rows:
    """Compute a table of customers that must have its key and some columns."""
    names = columns_of(enter(table, caller=caller)[0])
    refuse_ids_in_index(table, [key], names, caller=caller)
    missing = [name for name in (key, *columns) if name not in names]
    if missing:
        msg = f"{caller}: {what} needs the columns {[key, *columns]}, got {names}. One row per customer."
        raise MissingColumnsError(msg)
    return read_rows(table, key=[key], caller=caller)


def segment_labels(values: Any, *, what: str, caller: str) -> Any:
    """Read segments as text, also those that came as numbers; none may be missing."""
    if values.isna().any():
        msg = f"{caller}: {int(values.isna().sum()):,} rows of {what} have no segment. Leave them out, or name one."
        raise SchemaError(msg)
    numeric = str(values.dtype).lower().startswith(("float", "double"))
    return values.map(lambda value: str(value).removesuffix(".0") if numeric else str(value)).astype(object)


def check_same_ids(one: Rows, other: Rows, *, names: tuple[str, str], caller: str) -> None:
    """Refuse to join whole numbers with text: 12346 is not "12346"."""
    kinds = ["String" if id_schema(rows) == nw.String else "Int64" for rows in (one, other)]
    if kinds[0] != kinds[1]:
        msg = (
            f"{caller}: {one.key[0]} is {kinds[0]} in {names[0]} and {kinds[1]} in {names[1]}. "
            "Give both the same kind, for example with .astype(str) on both sides."
        )
        raise SchemaError(msg)


def say_left_out(one: Rows, other: Rows, *, names: tuple[str, str], caller: str) -> None:
    """Warn of customers who are in one of two tables only, and are left out."""
    parts = []
    for rows, others, (name, other_name) in ((one, other, names), (other, one, names[::-1])):
        key = rows.key[0]
        lone = rows.table[key][~rows.table[key].isin(others.table[key].tolist()).to_numpy(dtype=bool)]
        if len(lone):
            which = f"{len(lone):,} of {len(rows.table):,} customers of {name}"
            parts.append(f"{which} are not in {other_name} (such as {lone.tolist()[0]!r})")
    if parts:
        warn(f"{caller}: {', '.join(parts)} and are left out. Give both tables the same customers to keep them.")


def id_schema(rows: Rows) -> Any:
    """Return the kind of the key: Int64 or String."""
    import pandas as pd

    return nw.Int64() if pd.api.types.is_integer_dtype(rows.table[rows.key[0]].dtype) else nw.String()


def check_method(method: Any, methods: Sequence[str], blocks: int, features: int, *, caller: str) -> str:
    """Read the method; "auto" is k-prototypes where at least half of the features are words, else k-means."""
    check_choice(method, [AUTO, *methods], name="method", caller=caller)
    if method != AUTO:
        return str(method)
    return "k-prototypes" if blocks >= MOSTLY_WORDS * features else "k-means"


def check_segments(segments: Any, matrix: NDArray[np.float64], *, caller: str) -> int | None:
    """Read how many segments are wanted; None leaves it to the data."""
    if segments == AUTO and isinstance(segments, str):
        return None
    if isinstance(segments, bool) or not isinstance(segments, numbers.Integral) or segments < 1:
        msg = f'{caller}: segments must be "auto" or a whole number of at least 1, got {segments!r}.'
        raise SchemaError(msg)
    check_enough(matrix, int(segments), what=f"segments={segments}", caller=caller)
    return int(segments)


def check_enough(matrix: NDArray[np.float64], count: int, *, what: str, caller: str) -> None:
    """Refuse fewer different customers than segments."""
    if count <= 1 or len(np.unique(matrix[: 50 * count], axis=0)) >= count:
        return
    different = len(np.unique(matrix, axis=0))
    if different < count:
        msg = (
            f"{caller}: {what} needs {count} different customers, and the {len(matrix):,} rows hold {different:,}. "
            "Ask for fewer segments, or give more features."
        )
        raise SchemaError(msg)
