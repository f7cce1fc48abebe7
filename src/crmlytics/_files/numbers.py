"""Columns that should be numbers and came as text: read what can be read, count what can't."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crmlytics._files.columns import DECIMAL, MISSING_WORDS, SURE_DECIMAL
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    import pandas as pd

_LEAST_SHARE = 0.9  # of the values must be numbers, else it is not a column of numbers
_UNIT = r"[^\d\s.,'+\-]{1,4}"  # £, EUR, kg


@dataclass(frozen=True, slots=True, eq=False)
class ParsedNumbers:
    """Numbers read from text: ``numbers`` (float64), the ``unit`` cut off, the ``unreadable`` texts (now NaN)."""

    numbers: pd.Series
    unit: str
    unreadable: pd.Series


def parse_numbers(series: pd.Series) -> ParsedNumbers:
    """Read a column of numbers that a few words, or a unit at every number, have kept as text.

    Parameters
    ----------
    series : pandas.Series of text
        Missing values stay missing.

    Returns
    -------
    ParsedNumbers

    Raises
    ------
    SchemaError
        If fewer than 90 % of the values are numbers, or they come in several units (``£5`` and ``$7``).

    Examples
    --------
    >>> import pandas as pd
    >>> parsed = parse_numbers(pd.Series(["12,50 €", "1.000,00 €", "0,99 €"]))
    >>> parsed.numbers.tolist(), parsed.unit
    ([12.5, 1000.0, 0.99], '€')
    """
    import pandas as pd

    text = series.astype("string").str.strip()
    text = text.mask(text.isin(MISSING_WORDS))
    label = repr(series.name) if series.name is not None else "this column"
    parts = text.str.extract(rf"^([+-]?)({_UNIT})?\s*([+-]?[\d.,'\s]*\d[\d.,'\s]*?)\s*({_UNIT})?$")
    bare = parts[0].fillna("") + parts[2]
    unit = parts[1].fillna(parts[3])
    votes = {sign: int(bare.str.fullmatch(pattern).fillna(value=False).sum()) for sign, pattern in _full(DECIMAL)}
    sure = {sign: int(bare.str.fullmatch(pattern).fillna(value=False).sum()) for sign, pattern in _full(SURE_DECIMAL)}
    decimal = max(votes, key=lambda sign: (votes[sign], sure[sign]))
    pattern = dict(_full(DECIMAL))[decimal]
    fits = bare.str.fullmatch(pattern).fillna(value=False)
    unreadable = text[~fits & text.notna()]
    if votes[decimal] < _LEAST_SHARE * text.notna().sum() or not votes[decimal]:
        raise SchemaError(
            f"parse_numbers: {label} holds text, expected numbers, e.g. {list(unreadable.drop_duplicates()[:3])}. Is "
            "this the right column?"
        )
    units = sorted(unit[fits].dropna().unique())
    if len(units) > 1:
        raise SchemaError(
            f"parse_numbers: {label} has numbers in several units, {units[:5]}; convert them to one in the file."
        )
    plain = bare.str.replace(r"[,'\s]" if decimal == "." else r"[.'\s]", "", regex=True).str.replace(",", ".")
    numbers = pd.to_numeric(plain.where(fits), errors="coerce").astype("Float64").astype("float64")
    return ParsedNumbers(numbers.rename(series.name), units[0] if units else "", unreadable)


def _full(patterns: dict[str, str]) -> list[tuple[str, str]]:
    """Write Arrow's spelling of code points as Python's."""
    return [
        (sign, pattern.replace(r"\x{a0}", "\u00a0").replace(r"\x{202f}", "\u202f"))
        for sign, pattern in patterns.items()
    ]
