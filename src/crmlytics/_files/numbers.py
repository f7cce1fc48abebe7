"""Columns that should be numbers and came as text: read what can be read, count what can't."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crmlytics._files.columns import DECIMAL, MISSING_WORDS, SURE_DECIMAL
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    import pandas as pd

_LEAST_SHARE = 0.9  # of the values must be numbers, else it is not a column of numbers
_CURRENCY_SIGNS = "$\u00a2-\u00a5\u060b\u09f2\u09f3\u0e3f\u20a0-\u20c0\ufdfc\ufe69\uff04\uffe0\uffe1\uffe5\uffe6"
_UNIT = rf"(?:[^\W\d_]|[{_CURRENCY_SIGNS}]){{1,4}}\.?"  # £, EUR, kg, Fr.: never punctuation, which may be a sign
_WRITTEN = (  # ($12.00), -$5, $-5, 12,00- €: the unit and the sign on either side
    rf"^(?P<unit_0>{_UNIT})?\s*(?P<open>\()?\s*(?P<sign_0>[+-])?\s*(?P<unit_1>{_UNIT})?\s*(?P<sign_1>[+-])?\s*"
    rf"(?P<bare>[\d.,](?:[\d.,'\s]*[\d.,])?)"
    rf"\s*(?P<sign_2>[+-])?\s*(?P<unit_2>{_UNIT})?\s*(?P<sign_3>[+-])?\s*(?P<close>\))?\s*(?P<unit_3>{_UNIT})?$"
)
_SIGNS = {
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\ufe58\ufe63\uff0d", "-"),
    **dict.fromkeys("\u2018\u2019\u02bc\u00b4`", "'"),
    "\uff08": "(", "\uff09": ")", "\uff0b": "+", **dict.fromkeys("\u00a0\u2009\u202f", " "),
}  # fmt: skip
_SAME = {"EUR": "€", "EURO": "€", "USD": "$", "US$": "$", "GBP": "£"}


@dataclass(frozen=True, slots=True, eq=False)
class ParsedNumbers:
    """Numbers read from text: ``numbers`` (float64), the ``unit`` cut off, the ``unreadable`` texts (now NaN)."""

    numbers: pd.Series
    unit: str
    unreadable: pd.Series


def parse_numbers(series: pd.Series, *, decimal: str | None = None, likely: str | None = None) -> ParsedNumbers:
    """Read a column of numbers that a few words, or a unit at every number, have kept as text.

    Parameters
    ----------
    series : pandas.Series of text
        Missing values stay missing. Brackets, a minus on either side and every dash make a number negative.
    decimal : "." or ",", optional
        The decimal sign; found out if not given.
    likely : "." or ",", optional
        The decimal sign of other columns of the file: it settles what the values leave open.

    Returns
    -------
    ParsedNumbers

    Raises
    ------
    SchemaError
        If fewer than 90 % of the values are numbers, they come in several units (``£5`` and ``$7``), or every one can
        be read with either decimal sign (``1.250`` and ``400``).

    Examples
    --------
    >>> import pandas as pd
    >>> parsed = parse_numbers(pd.Series(["12,50 €", "(1.000,00 €)", "0,99- €"]))
    >>> parsed.numbers.tolist(), parsed.unit
    ([12.5, -1000.0, -0.99], '€')
    """
    import pandas as pd

    text = series.astype("string").str.strip()
    label = repr(series.name) if series.name is not None else "this column"
    bare, negative, unit = _taken_apart(text)
    present = text.notna() & ~text.str.translate(str.maketrans(_SIGNS)).isin(MISSING_WORDS)
    decimal = decimal or _find_sign(bare, label, likely)
    fits = _matching(bare, DECIMAL[decimal])
    unreadable = text[~fits & present]
    if not fits.any() or fits.sum() < _LEAST_SHARE * present.sum():
        raise SchemaError(
            f"parse_numbers: {label} holds text, expected numbers, e.g. {list(unreadable.drop_duplicates()[:3])}. Is "
            "this the right column?"
        )
    plain = bare.str.replace(r"[,'\s]" if decimal == "." else r"[.'\s]", "", regex=True).str.replace(",", ".")
    numbers = pd.to_numeric(plain.where(fits), errors="coerce").astype("Float64").astype("float64")
    numbers = numbers.where(~negative, -numbers)
    return ParsedNumbers(numbers.rename(series.name), _one_unit(unit[fits], label), unreadable)


def sure_votes(series: pd.Series) -> dict[str, int]:
    """Count the values that only one decimal sign can read, in a column of numbers with a unit; else none."""
    bare, _, _ = _taken_apart(series.astype("string").str.strip())
    if bare.notna().sum() < _LEAST_SHARE * series.notna().sum():
        return dict.fromkeys(SURE_DECIMAL, 0)
    return {sign: int(_matching(bare, pattern).sum()) for sign, pattern in SURE_DECIMAL.items()}


def _taken_apart(text: pd.Series) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Split into the digits with their separators, whether they are negative, and the unit; nothing if no number."""
    plain = text.str.translate(str.maketrans(_SIGNS))
    plain = plain.str.replace(rf"(?<=\d)[.,]-{{1,2}}(?=\s*(?:{_UNIT})?$)", "", regex=True)  # Fr. 12.- has no cents
    parts = plain.str.extract(_WRITTEN)
    signs, units = (_joined(parts, name) for name in ("sign", "unit"))
    in_brackets = parts["open"].notna() & parts["close"].notna()
    sign_count = signs.str.len() + in_brackets
    unit_count = sum(parts[f"unit_{place}"].notna().astype(int) for place in range(4))
    is_number = (parts["open"].notna() == parts["close"].notna()) & (sign_count <= 1) & (unit_count <= 1)
    return parts["bare"].where(is_number), in_brackets | (signs == "-"), units.mask(units == "")


def _joined(parts: pd.DataFrame, name: str) -> pd.Series:
    """Write together what was found before and after the digits."""
    first, *others = (parts[f"{name}_{place}"].fillna("").astype(object) for place in range(4))
    return first.str.cat(others).astype(object)


def _find_sign(bare: pd.Series, label: str, likely: str | None) -> str:
    """Find the decimal sign that reads most values; refuse if either does and they differ."""
    votes = {sign: int(_matching(bare, pattern).sum()) for sign, pattern in DECIMAL.items()}
    sure = {sign: int(_matching(bare, pattern).sum()) for sign, pattern in SURE_DECIMAL.items()}
    if votes["."] != votes[","] or sure["."] != sure[","]:
        return max(votes, key=lambda sign: (votes[sign], sure[sign]))
    doubtful = bare[bare.str.fullmatch(r".*[1-9]\d{0,2}[.,]\d{3}").fillna(value=False)]
    if likely or doubtful.empty or any(sure.values()):
        return likely or "."
    example = doubtful.iloc[0]
    whole, split = example.replace(".", "").replace(",", ""), float(example.replace(",", "."))
    raise SchemaError(
        f"parse_numbers: {label} can be read in two ways: {example} can be {whole} or {split:g}. Say "
        "which sign stands before the decimals (in Python decimal=): --decimal , or --decimal ."
    )


def _one_unit(units: pd.Series, label: str) -> str:
    """Return the unit of a column; the sign of a currency and its code are one."""
    found = sorted(units.dropna().unique())
    meant = {_SAME.get(unit.upper(), unit) for unit in found}
    if len(meant) > 1:
        raise SchemaError(
            f"parse_numbers: {label} has numbers in several units, {found[:5]}; convert them to one in the file."
        )
    return found[0] if len(found) == 1 else "".join(meant)


def _matching(bare: pd.Series, pattern: str) -> pd.Series:
    """Tell which values match a pattern, whose code points are written as Arrow does."""
    pattern = pattern.replace(r"\x{a0}", "\u00a0").replace(r"\x{202f}", "\u202f")
    return bare.str.fullmatch(pattern).fillna(value=False).astype(bool)
