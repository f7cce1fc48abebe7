"""Words that stand for nothing: what forms and systems write where nobody answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import enter
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    """Write words as they are compared: in small letters, without blanks around them.

    >>> sorted(as_compared([" Select", "N/A"]))
    ['n/a', 'select']
    """
    return frozenset(word.strip(" ").lower() for word in words)


def without_words(native: Any, words: frozenset[str], *, keep: Iterable[str] = (), caller: str) -> Any:
    """Return a table of any engine with such words taken out of its columns of text, those of ``keep`` left alone."""
    plan, engine = enter(native, caller=caller)
    kept, schema = set(keep), plan.collect_schema()
    texts = [name for name, kind in schema.items() if kind in {nw.String, nw.Categorical, nw.Enum} and name not in kept]
    if not words or not texts:
        return native
    columns = {name: nw.col(name).cast(nw.String) for name in texts}
    filled = {
        name: nw.when(~column.str.strip_chars(" ").str.to_lowercase().is_in(sorted(words))).then(column).alias(name)
        for name, column in columns.items()
    }
    return engine.to_native(plan.with_columns(**filled))
