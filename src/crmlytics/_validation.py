"""One helper a kind of argument: each returns the clean value or says what came, what was expected, what to type."""

from __future__ import annotations

import datetime as dt
import numbers
import re
import sys
import warnings
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from crmlytics.exceptions import DataQualityWarning, SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable

PACKAGE = "crmlytics"
LONGEST_DAYS = 36_525  # a century
ROUNDING = 1e-6  # shares add up to 1
SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kMG]?B)\s*$")
BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
DURATION = re.compile(r"^\s*(\d+)\s*([dw])\s*$")
SHORT_DURATION = re.compile(r"^\s*(\d+)\s*([smhdw])\s*$")
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def as_moment(value: Any, *, name: str = "as_of", caller: str) -> dt.datetime:
    """Read a date or moment: ``"2011-12-10"``, ``"2011-12-10 14:30"``, a date, a naive datetime or Timestamp.

    A date means the midnight that begins it.

    >>> as_moment("2011-12-10", caller="doctest")
    datetime.datetime(2011, 12, 10, 0, 0)
    """
    expected = f'{caller}: {name} must be a date such as {name}="2011-12-10"'
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value.strip())
        except ValueError as error:
            msg = f"{expected}, got {value!r} (year-month-day is the only text that is read)."
            raise SchemaError(msg) from error
    elif hasattr(value, "to_pydatetime") and value == value:  # noqa: PLR0124  pandas.Timestamp, not NaT
        value = value.to_pydatetime(warn=False)
    elif getattr(getattr(value, "dtype", None), "kind", "") == "M" and getattr(value, "ndim", 1) == 0:
        value = value.astype("datetime64[us]").item()  # numpy.datetime64
    if isinstance(value, dt.datetime) and value == value:  # noqa: PLR0124  NaT is a datetime that equals nothing
        if value.tzinfo is not None:
            msg = f"{expected} without a time zone, got {value!r}: give the wall-clock time of your data."
            raise SchemaError(msg)
        return value
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return dt.datetime(value.year, value.month, value.day)
    msg = f"{expected}, got {value!r}."
    raise SchemaError(msg)


def as_period(since: Any, as_of: Any, *, caller: str) -> tuple[dt.datetime | None, dt.datetime]:
    """Read the beginning of a period, None is that of the data, and its end, which is no part of it."""
    end = as_moment(as_of, caller=caller)
    if since is None:
        return None, end
    start = as_moment(since, name="since", caller=caller)
    if start >= end:
        msg = f"{caller}: since must lie before as_of, got since={start:%Y-%m-%d %H:%M}, as_of={end:%Y-%m-%d %H:%M}."
        raise SchemaError(msg)
    return start, end


def as_days(value: Any, *, name: str = "horizon", caller: str) -> int:
    """Read a duration as whole days: ``"90d"``, ``"12w"`` or a ``timedelta`` of whole days.

    >>> as_days("12w", caller="doctest")
    84
    """
    days = None
    if isinstance(value, str) and (found := DURATION.match(value)):
        days = int(found[1]) * (7 if found[2] == "w" else 1)
    elif isinstance(value, dt.timedelta) and value == dt.timedelta(days=value.days):
        days = value.days
    if days is None or not 1 <= days <= LONGEST_DAYS:
        example = f"{value}d" if str(value).isdecimal() and 1 <= int(value) <= LONGEST_DAYS else "90d"
        msg = (
            f'{caller}: {name} must be a duration in days or weeks such as {name}="{example}" or "12w", got {value!r}. '
            f"Months differ in length: write 30d or 91d. The longest is {LONGEST_DAYS}d."
        )
        raise SchemaError(msg)
    return days


def read_length(value: Any, *, name: str, caller: str) -> dt.timedelta:
    """Read a duration that may be none, ``"0d"``."""
    is_none = (isinstance(value, str) and value.strip() in {"0d", "0w"}) or value == dt.timedelta(0)
    return dt.timedelta(0) if is_none else dt.timedelta(days=as_days(value, name=name, caller=caller))


def as_seconds(value: Any, *, name: str = "gap", caller: str) -> int:
    """Read a duration as whole seconds: ``"90s"``, ``"30m"`` (minutes), ``"12h"``, ``"1d"``, ``"2w"``, a ``timedelta``.

    >>> as_seconds("30m", caller="doctest")
    1800
    """
    seconds = None
    if isinstance(value, str) and (found := SHORT_DURATION.match(value)):
        seconds = int(found[1]) * SECONDS[found[2]]
    elif isinstance(value, dt.timedelta) and not value.microseconds:
        seconds = value.days * SECONDS["d"] + value.seconds
    if seconds is None or not 1 <= seconds <= LONGEST_DAYS * SECONDS["d"]:
        msg = (
            f'{caller}: {name} must be a duration such as {name}="90s", "30m" (minutes), "12h" or "7d", got {value!r}. '
            f"The longest is {LONGEST_DAYS}d."
        )
        raise SchemaError(msg)
    return seconds


def as_bytes(value: Any, *, name: str = "max_memory", caller: str) -> int:
    """Read an amount of memory: ``"500MB"``, ``"2GB"`` or a number of bytes.

    >>> as_bytes("2GB", caller="doctest")
    2000000000
    """
    if isinstance(value, str) and (found := SIZE.match(value)):
        return int(float(found[1]) * BYTES[found[2]])
    if isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) > 0:
        return int(value)
    msg = f'{caller}: {name} must be an amount of memory such as {name}="500MB" or "2GB", got {value!r}.'
    raise SchemaError(msg)


def check_fraction(value: Any, *, name: str, caller: str) -> float:
    """Check a number between 0 and 1, both excluded."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < float(value) < 1:
        msg = f"{caller}: {name} must be a fraction between 0 and 1, such as {name}=0.2, got {value!r}."
        raise SchemaError(msg)
    return float(value)


def check_share(value: Any, *, name: str, caller: str) -> float:
    """Check a number from 0 to 1, both included."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not 0 <= float(value) <= 1:
        hint = f" Of {float(value):g} per cent type {float(value) / 100:g}." if is_number and 1 < value <= 100 else ""
        raise SchemaError(f"{caller}: {name} must be a share from 0 to 1, such as 0.15, got {value!r}.{hint}")
    return float(value)


def check_count(value: Any, *, name: str, caller: str, least: int = 1) -> int:
    """Check a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        msg = f"{caller}: {name} must be a whole number of at least {least}, got {value!r}."
        raise SchemaError(msg)
    return int(value)


def check_amount(value: Any, *, name: str, caller: str, positive: bool = False) -> float:
    """Check a finite number, not negative (or above zero where ``positive``)."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not (float(value) > 0 if positive else float(value) >= 0) or value == float("inf"):
        bound = "above zero" if positive else "of zero or more"
        msg = f"{caller}: {name} must be a number {bound}, got {value!r}."
        raise SchemaError(msg)
    return float(value)


def check_choice(value: Any, choices: Iterable[str], *, name: str, caller: str) -> str:
    """Check that ``value`` is one of the words allowed."""
    allowed = list(choices)
    if not isinstance(value, str) or value not in allowed:
        msg = f"{caller}: {name} must be one of {allowed}, got {value!r}.{did_you_mean(value, allowed)}"
        raise SchemaError(msg)
    return value


def check_tiers(value: Any, *, name: str = "tiers", caller: str) -> dict[str, float]:
    """Read the names of tiers, the best first, and the shares of customers in them.

    >>> check_tiers({"high": 0.2, "rest": 0.8}, caller="doctest")
    {'high': 0.2, 'rest': 0.8}
    """
    expected = f'{caller}: {name} must map names to shares that add up to 1 such as {name}={{"high": 0.2, "rest": 0.8}}'
    try:
        shares = {str(tier): float(share) for tier, share in value.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise SchemaError(f"{expected}, got {value!r}.") from error
    if not shares or not all(share > 0 for share in shares.values()) or not abs(sum(shares.values()) - 1) <= ROUNDING:
        raise SchemaError(f"{expected}, got {value!r}.")
    return shares


def did_you_mean(value: Any, candidates: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the likeliest candidate, or nothing."""
    names = [str(name) for name in candidates]
    by_lower_case = {name.lower(): name for name in names}
    close = get_close_matches(str(value).lower(), list(by_lower_case), n=1)
    return f" Did you mean {by_lower_case[close[0]]!r}?" if close else ""


def warn(message: str) -> None:
    """Warn of the quality of data, pointing at the first line of code outside this package."""
    level, frame = 1, sys._getframe()  # noqa: SLF001  what warnings itself does for stacklevel
    while frame is not None and str(frame.f_globals.get("__name__", "")).split(".")[0] == PACKAGE:
        level, frame = level + 1, frame.f_back  # type: ignore[assignment]
    warnings.warn(message, DataQualityWarning, stacklevel=level)
