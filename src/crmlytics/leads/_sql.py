"""A scorecard as SQL: names and words quoted so that nothing in them is read as code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crmlytics._validation import check_choice
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from crmlytics.leads._bins import Bins


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a database quotes: names in ``quote``, and whether a backslash in a text escapes what follows."""

    quote: str
    escapes: bool

    def name(self, name: str) -> str:
        """Quote the name of a column or table."""
        return self.quote + name.replace(self.quote, self.quote * 2) + self.quote

    def texts(self, texts: Iterable[str]) -> str:
        """Quote words, with commas between."""
        return ", ".join(self.text(text) for text in texts)

    def number(self, value: float) -> str:
        """Write a number that databases read as the very same float: with an exponent it is never a decimal."""
        if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        mantissa, _, exponent = repr(value).partition("e")
        return f"{mantissa}E{int(exponent or 0)}"

    def text(self, text: str) -> str:
        """Quote a word."""
        if self.escapes:
            return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
        return "'" + text.replace("'", "''") + "'"


DIALECTS = {"standard": Dialect('"', escapes=False), "backslash": Dialect("`", escapes=True)}


def scorecard_query(
    parts: Sequence[tuple[str, Bins, Sequence[int]]], base: int, *, table: Any, key: str | None, dialect: Any
) -> str:
    """Write the query that adds up the points of each row: one CASE a column."""
    caller = "to_sql"
    spoken = DIALECTS[check_choice(dialect, DIALECTS, name="dialect", caller=caller)]
    source = ".".join(spoken.name(part) for part in _table_parts(table, caller=caller))
    cases = [_case(spoken.name(name), bins, points, spoken) for name, bins, points in parts]
    columns = [] if key is None else [f"  {spoken.name(key)},"]
    added = "\n".join(f"  + {case}" for case in cases)
    lines = ["SELECT", *columns, f"  {base}", *([added] if cases else []), "  AS points", f"FROM {source}"]
    return "\n".join(lines)


def _case(column: str, bins: Bins, points: Sequence[int], dialect: Dialect) -> str:
    asked = [f"      WHEN {test} THEN {points[code]}" for test, code in bins.conditions(column, dialect)]
    return "\n".join(["CASE", *asked, f"      ELSE {points[bins.left]}", "    END"])


def _table_parts(table: Any, *, caller: str) -> Sequence[str]:
    parts = (table,) if isinstance(table, str) else table
    if not isinstance(parts, (list, tuple)) or not parts or not all(isinstance(part, str) and part for part in parts):
        msg = f'{caller}: table must be a name such as "leads", or its parts such as ("crm", "leads"), got {table!r}.'
        raise SchemaError(msg)
    return parts
