"""Show what is in a file, and the command that scores its customers."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from crmlytics._cli.guessing import dates_in_text, guess_roles, reads_as_dates, unit_of
from crmlytics._cli.loading import typed
from crmlytics._cli.parser import MONEY_ROLES, NEEDED_ROLES, flag
from crmlytics._files.columns import shown

if TYPE_CHECKING:
    import pandas as pd

    from crmlytics._files import ReadFile

_KINDS = {"i": "whole numbers", "u": "whole numbers", "f": "numbers", "M": "dates", "b": "true or false"}
_VALUES, _WIDTH = 3, 40
_LETTERS = {
    "%d": "dd", "%m": "mm", "%Y": "yyyy", "%y": "yy", "%b": "mmm", "%B": "mmmm", "%H": "hh", "%I": "hh", "%M": "mm",
    "%S": "ss", "%f": "ffffff", "%p": "am",
}  # fmt: skip


def describe_file(found: ReadFile, file: str, *, sheet: str | None = None, decimal: str | None = None) -> str:
    """Write a table of the columns and, below it, the command to type."""
    frame = found.frame
    roles = guess_roles(frame)
    rows = [("column", "kind", "filled", "first values", "looks like")]
    for name in frame.columns:
        role = next((role for role, column in roles.items() if column == name), "")
        rows.append((str(name), _kind(frame[name], role), _filled(frame[name]), _first(frame[name]), role))
    widths = [max(_width(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ["  ".join(_padded(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    heading = [f"{file}: {len(frame):,} lines, {len(frame.columns)} columns", *_how_read(found, sheet)]
    given = {"--sheet": sheet, "--decimal": decimal}
    advice = _advice(found, roles, file, {option: word for option, word in given.items() if word})
    return "\n".join([*heading, "", *[f"  {line}" for line in lines], "", *advice, ""])


def _how_read(found: ReadFile, sheet: str | None) -> list[str]:
    """Say what was assumed of a text file, and which sheets of a workbook are not shown."""
    if found.format is not None:
        return [f"read as {found.format}"]
    others = [name for name in found.sheets if name != (sheet or found.sheets[0])]
    if not others:
        return []
    return [f"sheet {sheet or found.sheets[0]!r}; other sheets, for --sheet: {shown(others)}"]


def _advice(found: ReadFile, roles: dict[str, str], file: str, given: dict[str, str]) -> list[str]:
    """Write the command, and what is left to fill in."""
    frame = found.frame
    missing = [role for role in NEEDED_ROLES if role not in roles]
    if "amount" not in roles and not {"quantity", "unit_price"} <= set(roles):
        missing.append("amount")
    words = ["crmlytics", "score", file, *(word for pair in given.items() for word in pair)]
    words += [word for role, column in roles.items() for word in (flag(role), column)]
    words += [word for role in missing for word in (flag(role), "COLUMN")]
    moment = frame[roles["timestamp"]] if "timestamp" in roles else None
    unclear = moment is not None and reads_as_dates(moment) == "?"
    words += ["--timestamp-format", "FORMAT"] if unclear else []
    zone = getattr(moment.dtype, "tz", None) if moment is not None else None
    words += ["--time-zone", "ZONE"] if zone is not None else []
    doubtful = "--decimal" not in given and not (found.format and found.format.decimal)
    doubtful = doubtful and any(unit_of(frame[roles[role]]) == "?" for role in MONEY_ROLES if role in roles)
    words += ["--decimal", "SIGN"] if doubtful else []
    lines = ["To score these customers, type (check the columns first, they are guessed):", f"  {typed(*words)}"]
    if missing:
        lines.append(f"No column looks like {', '.join(missing)}: put its name in place of COLUMN.")
    if unclear:
        lines.append('The dates can be read in two ways: put "%d/%m/%Y" or "%m/%d/%Y", or how yours are, for FORMAT.')
    if zone is not None:
        lines.append(
            f"The moments carry a time zone ({zone}): put that in which a day begins for you, such as Europe/London, "
            "for ZONE."
        )
    if doubtful:
        lines.append("The amounts can be read in two ways, as 1.250 can: put , or . for SIGN, the one before cents.")
    if "order_id" not in roles:
        lines.append("No column looks like order_id: without --order-id, one day of a customer counts as one order.")
    return lines


def _kind(series: pd.Series, role: str) -> str:
    kind = _KINDS.get(series.dtype.kind, "text")
    pattern = reads_as_dates(series) if role == "timestamp" else dates_in_text(series)
    if pattern is not None:
        return "dates in text" if pattern == "?" else f"dates ({_as_written(pattern)})"
    unit = None if role.endswith("_id") else unit_of(series)  # A1, A2 are invoices and no amounts of A
    if unit is None:
        return kind
    return "numbers, in doubt" if unit == "?" else f"numbers with {unit}" if unit else "numbers in text"


def _as_written(pattern: str) -> str:
    """Write the format of a date for people.

    >>> _as_written("%d.%m.%Y %H:%M"), _as_written("%b %d, %Y %I:%M %p")
    ('dd.mm.yyyy hh:mm', 'mmm dd, yyyy hh:mm am')
    """
    for directive, letters in _LETTERS.items():
        pattern = pattern.replace(directive, letters)
    return pattern


def _filled(series: pd.Series) -> str:
    share = float(series.notna().mean()) * 100
    return f"{share:.0f} %" if share in {0.0, 100.0} else f"{min(max(share, 0.1), 99.9):.1f} %"


def _first(series: pd.Series) -> str:
    text = ", ".join(str(value).replace("\n", " ") for value in series.dropna().drop_duplicates().head(_VALUES))
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."


def _width(text: str) -> int:
    """Count the places a terminal needs: Chinese signs take two."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))
