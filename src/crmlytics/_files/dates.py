"""Dates written as text: find out how, and refuse to guess when the data do not say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    import pandas as pd

_LEAST_SHARE = 0.9  # of the distinct values must fit, else it is not a column of dates
_SCATTER = 5  # times as long a span: the two digits read as the year are days
_DAY_PARTS = ("%d{0}%m{0}%Y", "%m{0}%d{0}%Y", "%Y{0}%m{0}%d", "%d{0}%m{0}%y", "%m{0}%d{0}%y", "%y{0}%m{0}%d")
_NAMED_DAY_PARTS = ("%d{0}%b{0}%Y", "%d{0}%B{0}%Y", "%d{0}%b{0}%y")
_OTHER_DAY_PARTS = ("%Y%m%d", "%b %d, %Y", "%B %d, %Y", "%Y年%m月%d日")
_TIME_PARTS = ("", "%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p")
_SEPARATORS = "/.- "


@dataclass(frozen=True, slots=True, eq=False)
class ParsedDates:
    """Moments read from text: ``moments`` (datetime64[us]), the ``format`` found, how many are unreadable (now NaT)."""

    moments: pd.Series
    format: str
    unreadable_count: int


def parse_dates(series: pd.Series) -> ParsedDates:
    """Read a column of dates in text whose format is not known.

    Parameters
    ----------
    series : pandas.Series of text (or whole numbers such as 20240131)
        Missing values stay missing.

    Returns
    -------
    ParsedDates
        With the format that reads the most distinct values, at least 90 % of them.

    Raises
    ------
    SchemaError
        If no format fits, or two formats read the values equally well and differently (3/4/2024): the message says
        what to type.

    Examples
    --------
    >>> import pandas as pd
    >>> parse_dates(pd.Series(["3/4/2024 9:30", "25/4/2024 10:00"])).format
    '%d/%m/%Y %H:%M'
    """
    text = series.astype("string").str.strip()
    distinct = text.dropna().drop_duplicates()
    label = repr(series.name) if series.name is not None else "this column"
    if distinct.empty:
        raise SchemaError(f"parse_dates: {label} has no values.")
    found = {pattern: values for pattern in _candidates(distinct) if (values := _read(distinct, pattern)).notna().any()}
    best = max((values.notna().sum() for values in found.values()), default=0)
    if best < _LEAST_SHARE * len(distinct):
        raise SchemaError(
            f"parse_dates: {label} is not read as dates by any format known, e.g. {list(distinct[:3])}. "
            'Give the format, e.g. --timestamp-format "%d/%m/%Y %H:%M" (in Python timestamp_format=).'
        )
    winners = _without_scattered_years({p: values for p, values in found.items() if values.notna().sum() == best})
    _refuse_doubt(label, distinct, found, winners)
    moments = text.map(found[winners[0]].set_axis(distinct)).astype("datetime64[us]").rename(series.name)
    return ParsedDates(moments, winners[0], int((moments.isna() & text.notna()).sum()))


def _read(values: pd.Series, pattern: str) -> Any:
    """Read what can be read with one format."""
    import pandas as pd

    return pd.to_datetime(values, format=pattern, errors="coerce")


def _candidates(distinct: pd.Series) -> list[str]:
    """List the formats that the separators and times of the first values allow."""
    first = distinct.iloc[:50]
    separators = [sign for sign in _SEPARATORS if first.str.contains(rf"^\w+{re.escape(sign)}\w+").mean() > 1 / 2]
    days = [part.format(sign) for sign in separators for part in (*_DAY_PARTS, *_NAMED_DAY_PARTS)] + [*_OTHER_DAY_PARTS]
    formats = [f"{day} {time}".strip() for day, time in product(days, _TIME_PARTS)]
    return [pattern for pattern in formats if _read(first, pattern).notna().mean() > 1 / 4]


def _without_scattered_years(found: dict[str, Any]) -> list[str]:
    """Leave out readings that take days for two-digit years: they scatter the dates over decades."""
    spans: dict[bool, Any] = {}
    for pattern, values in found.items():
        span = values.max() - values.min()
        spans[pattern.startswith("%y")] = min(span, spans.get(pattern.startswith("%y"), span))
    shortest = min(spans.values())
    return [p for p in found if "%y" not in p or spans[p.startswith("%y")] <= _SCATTER * shortest]


def _refuse_doubt(label: str, distinct: pd.Series, found: dict[str, Any], winners: list[str]) -> None:
    """Raise if formats that fit equally well mean different days."""
    for other in winners[1:]:
        differ = found[winners[0]] != found[other]
        if differ.any():
            example = distinct[differ].iloc[0]
            one, two = (found[pattern][differ].iloc[0].date().isoformat() for pattern in (winners[0], other))
            raise SchemaError(
                f"parse_dates: {label} can be read in two ways: {example!r} is {one} by {winners[0]!r} and {two} by "
                f'{other!r}. Say which, e.g. --timestamp-format "{winners[0]}" (in Python timestamp_format=).'
            )
