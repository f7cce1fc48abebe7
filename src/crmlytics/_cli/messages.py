"""Say what the library says in the words of the command line: options that are typed, not keywords."""

from __future__ import annotations

import re

from crmlytics._cli.parser import ROLES, flag

_CALLERS = (
    "Transactions|scorecard|score_customers|write_report|parse_dates|parse_numbers|read_table|write_table|crmlytics"
)
_OPTIONS = (
    *ROLES, "as_of", "horizon", "margin", "returns", "duplicates", "time_zone", "timestamp_format", "sheet", "decimal",
)  # fmt: skip


def as_typed(text: str) -> str:
    """Rewrite a message for somebody who types commands.

    >>> as_typed('Transactions(timestamp="Day"): say in which zone, such as time_zone="Europe/London".')
    '--timestamp "Day": say in which zone, such as --time-zone "Europe/London".'
    """
    text = text.replace("The table .audit has them all.", "audit.csv lists them all.")
    text = text.replace("force=True (--force)", "--force")
    text = re.sub(r" \(in Python \w+=\)", "", text)
    text = re.sub(rf"\b(?:{_CALLERS})\((\w+=(?:'[^']*'|\"[^\"]*\"))\)", r"\1", text)
    text = re.sub(rf"(?:^|(?<=: ))(?:{_CALLERS}): ", "", text)
    text = re.sub(rf"^({'|'.join(_OPTIONS)}) must be", lambda found: f"{flag(found[1])} must be", text)
    return re.sub(rf"\b({'|'.join(_OPTIONS)})=(?=['\"\d])", lambda found: flag(found[1]) + " ", text)
