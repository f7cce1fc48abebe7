"""Words that stand for nothing: what forms and systems write where nobody answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._baskets import encode
from crmlytics._frames import enter
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

UNKNOWN = "unknown"
BLANKS = "\t\n\r\u00a0"  # besides the space; the last does not break a line, and comes with pasted text
MISSING_WORDS = (
    "", "-", "--", "?", "missing", "n/a", "na", "nan", "none", "not provided", "not specified", "null", "select",
    "unknown", "unspecified",
)  # fmt: skip


def check_missing_words(words: Any, *, caller: str) -> frozenset[str]:
    """Check words for missing values, and write them as they are compared."""
    if isinstance(words, str) or not hasattr(words, "__iter__") or not all(isinstance(word, str) for word in words):
        msg = f'{caller}: missing_words must be a list of words such as ["", "select", "unknown"], got {words!r}.'
        raise SchemaError(msg)
    return as_compared(words)


def as_compared(words: Iterable[str]) -> frozenset[str]:
    r"""Write words as they are compared: in small letters, without blanks of any kind around them.

    >>> sorted(as_compared([" Select", "N/A\u00a0", "not\tprovided"]))
    ['n/a', 'not provided', 'select']
    """
    return frozenset(_spaced(word).strip(" ").lower() for word in words)


def is_missing(text: str, words: frozenset[str]) -> bool:
    """Whether a text stands for nothing; ``words`` as they are compared."""
    return not words.isdisjoint(as_compared([text]))


def is_missing_sql(column: str, words: str, text: Callable[[str], str]) -> str:
    """Write the same as SQL that every database reads; ``text`` quotes."""
    for blank in BLANKS:
        column = f"REPLACE({column}, {text(blank)}, ' ')"
    return f"LOWER(TRIM({column})) IN ({words})"


def without_words(native: Any, words: frozenset[str], *, keep: Iterable[str] = (), caller: str) -> Any:
    """Return a table of any engine with such words taken out of its columns of text, those of ``keep`` left alone."""
    plan, engine = enter(native, caller=caller)
    kept, schema = set(keep), plan.collect_schema()
    texts = [name for name, kind in schema.items() if kind in {nw.String, nw.Categorical, nw.Enum} and name not in kept]
    if not words or not texts:
        return native
    columns = {name: nw.col(name).cast(nw.String) for name in texts}
    filled = {
        name: nw.when(~_compared(column).is_in(sorted(words))).then(column).alias(name)
        for name, column in columns.items()
    }
    return engine.to_native(plan.with_columns(**filled))


def texts(series: nw.Series[Any]) -> Any:
    """Return a column as an Arrow array of text, null where there is no value, whatever the engine holds for it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        values = series.to_arrow()
        if pa.types.is_floating(values.type):
            values = pc.if_else(pc.is_nan(values), None, values)
        if pa.types.is_boolean(values.type):
            values = pc.if_else(values, "True", "False")
        values = values.cast(pa.string())
    except pa.ArrowException:  # a pandas column of several types
        values = pa.array([None if value is None or value != value else str(value) for value in series.to_list()])  # noqa: PLR0124  NaN
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def group_words(series: nw.Series[Any], words: frozenset[str] = frozenset(MISSING_WORDS)) -> NDArray[Any]:
    """Return a column as names of groups: its text without blanks around it, "unknown" where there is nothing.

    Numbers are written with all their digits, truth values as "True" and "False".
    """
    code, levels = encode(texts(series).fill_null(""))
    names = [UNKNOWN if is_missing(level, words) else level.strip() for level in levels.tolist()]
    named: NDArray[Any] = np.array(names, object)[code]
    return named


def _spaced(text: str) -> str:
    for blank in BLANKS:
        text = text.replace(blank, " ")
    return text


def _compared(column: nw.Expr) -> nw.Expr:
    for blank in BLANKS:
        column = column.str.replace_all(blank, " ", literal=True)
    return column.str.strip_chars(" ").str.to_lowercase()
