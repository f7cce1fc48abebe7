"""Show what is in a file, and the command that scores its customers."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from crmlytics._cli.guessing import guess_roles, reads_as_dates
from crmlytics._cli.loading import typed
from crmlytics._cli.parser import NEEDED_ROLES, flag

if TYPE_CHECKING:
    import pandas as pd

_KINDS = {"i": "whole numbers", "u": "whole numbers", "f": "numbers", "M": "dates", "b": "true or false"}
_VALUES, _WIDTH = 3, 40


def describe_file(frame: pd.DataFrame, file: str, sheet: str | None = None) -> str:
    """Write a table of the columns and, below it, the command to type."""
    roles = guess_roles(frame)
    rows = [("column", "kind", "filled", "first values", "looks like")]
    for name in frame.columns:
        role = next((role for role, column in roles.items() if column == name), "")
        rows.append((str(name), _kind(frame[name], role), _filled(frame[name]), _first(frame[name]), role))
    widths = [max(_width(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ["  ".join(_padded(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    heading = f"{file}: {len(frame):,} lines, {len(frame.columns)} columns"
    return "\n".join([heading, "", *[f"  {line}" for line in lines], "", *_advice(frame, roles, file, sheet), ""])


def _advice(frame: pd.DataFrame, roles: dict[str, str], file: str, sheet: str | None) -> list[str]:
    """Write the command, and what is left to fill in."""
    missing = [role for role in NEEDED_ROLES if role not in roles]
    if "amount" not in roles and not {"quantity", "unit_price"} <= set(roles):
        missing.append("amount")
    words = ["crmlytics", "score", file, *(["--sheet", sheet] if sheet else [])]
    words += [word for role, column in roles.items() for word in (flag(role), column)]
    words += [word for role in missing for word in (flag(role), "COLUMN")]
    moment = frame[roles["timestamp"]] if "timestamp" in roles else None
    unclear = moment is not None and reads_as_dates(moment) == "?"
    words += ["--timestamp-format", "FORMAT"] if unclear else []
    lines = ["To score these customers, type (check the columns first, they are guessed):", f"  {typed(*words)}"]
    if missing:
        lines.append(f"No column looks like {', '.join(missing)}: put its name in place of COLUMN.")
    if unclear:
        lines.append('The dates can be read in two ways: put "%d/%m/%Y" or "%m/%d/%Y", or how yours are, for FORMAT.')
    return lines


def _kind(series: pd.Series, role: str) -> str:
    kind = _KINDS.get(series.dtype.kind, "text")
    if role == "timestamp" and kind != "dates":
        pattern = reads_as_dates(series)
        return "dates in text" if pattern == "?" else f"dates as {pattern}"
    return kind


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
