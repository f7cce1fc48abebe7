"""Numbers and sentences as people read them."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    import pandas as pd

SPACE = "\u00a0"  # does not break: a figure stays with its unit
MINUS = "\u2212"
UNBROKEN, BROKEN = Markup('<strong class="figure">{}</strong>'), Markup("<strong>{}</strong>")
LONGEST_UNBROKEN = 24  # a longer name may be broken: it must fit a phone
MISSING = "\u2013"
SENTENCES = re.compile(r"(?<=[.?]) ")  # of a caution
_STEPS = ((1e12, "T"), (1e9, "bn"), (1e6, "M"))
_SHORT_FROM = 1e6  # below it every digit is written


def is_missing(value: Any) -> bool:
    """Tell whether a cell has no value: None, NaN, NaT, pandas' NA.

    >>> is_missing(None), is_missing(float("nan")), is_missing(0)
    (True, True, False)
    """
    import pandas as pd

    return value is None or bool(pd.isna(value))


def count(value: Any) -> str:
    """Write a whole number with separators.

    >>> count(541909)
    '541,909'
    """
    return MISSING if is_missing(value) else _signed(float(value), f"{abs(round(float(value))):,}")


def compact(value: Any) -> str:
    """Write a number in the space of a card: three digits and a unit from a million on.

    >>> compact(1234567).replace(SPACE, " "), compact(43_372), compact(4.2713), compact(0.0)
    ('1.23 M', '43,372', '4.27', '0')
    """
    if is_missing(value) or not math.isfinite(value):
        return MISSING
    size = abs(float(value))
    if size >= _SHORT_FROM * 0.9995:  # 999,999 is written 1.00 M
        step, unit = next((step, unit) for step, unit in _STEPS if size >= step * 0.9995)
        return _signed(float(value), _three_digits(size / step) + SPACE + unit)
    return _signed(float(value), _three_digits(size) if size < 100 else f"{size:,.0f}")


def short(value: float) -> str:
    r"""Write a round number of an axis as briefly as can be.

    >>> short(500_000).replace(SPACE, " "), short(-1_500_000).replace(SPACE, " "), short(250)
    ('500 k', '\u22121.5 M', '250')
    """
    size = abs(value)
    step, unit = next(((step, unit) for step, unit in (*_STEPS, (1e3, "k")) if size >= step), (1.0, ""))
    return (MINUS if value < 0 else "") + f"{size / step:.3g}" + (SPACE + unit if unit else "")


def amount(value: Any, currency: str = "") -> str:
    """Write money: whole from a hundred on, short from a million on, a symbol before and a code after.

    >>> amount(1234.5, "£"), amount(-12.345, "£"), amount(1234567, "EUR").replace(SPACE, " ")
    ('£1,234', '\u2212£12.35', '1.23 M EUR')
    """
    if is_missing(value) or not math.isfinite(value):
        return MISSING
    size = abs(float(value))
    text = compact(size) if size >= 100 else f"{size:.2f}" if size else "0"
    is_symbol = bool(currency) and not currency[-1].isalpha()
    text = currency + text if is_symbol else text + (" " + currency if currency else "")
    return _signed(float(value), text)


def percent(share: Any) -> str:
    """Write a share or a probability with two significant digits, never a false certainty.

    >>> [percent(x).replace(SPACE, " ") for x in (0.234, 0.0456, 0.9991, 0.0002, 1, 0)]
    ['23 %', '4.6 %', '> 99 %', '< 0.1 %', '100 %', '0 %']
    """
    if is_missing(share) or not math.isfinite(share):
        return MISSING
    value = abs(float(share)) * 100
    if value in {0.0, 100.0}:
        text = f"{value:.0f}"
    elif value < 0.1:
        return f"< 0.1{SPACE}%"
    elif 99 < value < 100:
        return f"> 99{SPACE}%"
    else:
        text = f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"
    return _signed(float(share), text + SPACE + "%")


def change(share: Any) -> str:
    r"""Write a relative change with its sign.

    >>> [change(x).replace(SPACE, " ") for x in (0.123, -0.05, -0.996)]
    ['+12 %', '\u22125.0 %', '< \u221299 %']
    """
    text = percent(share)
    if text.startswith(">") and share < 0:
        return f"< {MINUS}99{SPACE}%"
    return "+" + text if not is_missing(share) and share > 0 else text


def date(moment: dt.date | dt.datetime) -> str:
    """Write a date so that no country reads it wrong.

    >>> import datetime as dt
    >>> date(dt.date(2011, 12, 9)).replace(SPACE, " ")
    '9 Dec 2011'
    """
    return f"{moment.day}{SPACE}{_MONTHS[moment.month - 1]}{SPACE}{moment.year}"


def month(moment: dt.date | dt.datetime, *, year: bool = True) -> str:
    """Write a month.

    >>> import datetime as dt
    >>> month(dt.date(2011, 12, 1)).replace(SPACE, " "), month(dt.date(2011, 12, 1), year=False)
    ('Dec 2011', 'Dec')
    """
    name = _MONTHS[moment.month - 1]
    return f"{name}{SPACE}{moment.year}" if year else name


def counted(number: Any, noun: str, plural: str | None = None) -> str:
    """Write a number with its noun.

    >>> counted(1, "customer").replace(SPACE, " "), counted(2000, "customer").replace(SPACE, " ")
    ('1 customer', '2,000 customers')
    """
    return f"{count(number)}{SPACE}{noun if round(number) == 1 else plural or noun + 's'}"


def weeks(days: int) -> str:
    """Write a span of whole weeks.

    >>> weeks(91).replace(SPACE, " "), weeks(7).replace(SPACE, " ")
    ('13 weeks', '1 week')
    """
    return counted(days // 7, "week")


def hours(value: Any) -> str:
    """Write a length of time: minutes below an hour, days from three on and where it is whole days.

    >>> [hours(x).replace(SPACE, " ") for x in (0.25, 1.04, 5.62, 53.8, 79, 300)]
    ['15 minutes', '1 hour', '5.6 hours', '54 hours', '3.3 days', '12 days']
    >>> [hours(x).replace(SPACE, " ") for x in (0, 24)]  # such as where no hour is known
    ['the same day', '1 day']
    """
    if is_missing(value):
        return MISSING
    days, rest = divmod(float(value), 24)
    if rest == 0:
        return counted(days, "day") if days else "the same day"
    if value < 1:
        return counted(60 * value, "minute")
    if value < 72:
        text = f"{value:.2g}"
        return f"{text}{SPACE}{'hour' if text == '1' else 'hours'}"
    return f"{value / 24:,.{1 if days < 10 else 0}f}{SPACE}days"


def between(write: Callable[[Any], str], low: Any, high: Any) -> str:
    r"""Write an interval, or that there is none.

    >>> between(count, 3, 5), between(count, None, 5)
    ('3 \u2013 5', '\u2013')
    """
    return MISSING if is_missing(low) or is_missing(high) else f"{write(low)} \u2013 {write(high)}"


def signed(write: Callable[[Any], str], value: Any) -> str:
    """Write a difference with its sign.

    >>> signed(count, 3), signed(count, 0), signed(count, float("nan")) == MISSING
    ('+3', '0', True)
    """
    return MISSING if is_missing(value) else ("+" if value > 0 else "") + write(value)


def caution(table: pd.DataFrame) -> str:
    """Return the sentences that all rows of a table are cautioned by; those that name an argument are for who programs.

    >>> import pandas as pd
    >>> caution(pd.DataFrame({"caution": ["Few. It describes.", "It describes."]}))
    'It describes.'
    """
    rows = [[] if is_missing(text) else SENTENCES.split(text) for text in table["caution"]]
    return " ".join(text for text in rows[0] if "_" not in text and all(text in row for row in rows))


def verb(number: Any, singular: str, plural: str) -> str:
    """Choose the verb that goes with a number.

    >>> verb(1, "is", "are"), verb(0, "is", "are")
    ('is', 'are')
    """
    return singular if round(number) == 1 else plural


def sentence(pattern: str, *figures: str) -> Markup:
    """Fill a sentence with its figures, which are shown strong; everything is escaped.

    >>> sentence("{} of revenue comes from {}.", "78 %", "<b>")
    Markup('<strong class="figure">78 %</strong> of revenue comes from <strong class="figure">&lt;b&gt;</strong>.')
    """
    strong = [(UNBROKEN if len(figure) <= LONGEST_UNBROKEN else BROKEN).format(figure) for figure in figures]
    return escape(pattern).format(*strong)


def listed(names: list[str]) -> str:
    """Join names as a sentence does.

    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _signed(value: float, text: str) -> str:
    return MINUS + text if value < 0 and any(digit in text for digit in "123456789") else text


def _three_digits(size: float) -> str:
    if size == round(size) and size < 1000:
        return f"{size:.0f}"
    return f"{size:.2f}" if size < 9.995 else f"{size:.1f}" if size < 99.95 else f"{size:.0f}"
