"""From a file and the names of its columns to a contract, with every fault in the words of the command line."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING

from crmlytics._cli.parser import NEEDED_ROLES, ROLES, flag
from crmlytics._validation import did_you_mean
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    import argparse

    import pandas as pd

    from crmlytics._cli.steps import Steps
    from crmlytics.tables import Transactions

_NUMBERS = ("quantity", "unit_price", "amount", "list_price", "discount_amount", "cost")
_SHOWN = 3


def load_transactions(options: argparse.Namespace, steps: Steps) -> Transactions:
    """Read the file, make dates and numbers of text, and bind the columns."""
    from crmlytics._files import read_table

    with steps.step(f"reading {options.file}") as step:
        frame = read_table(options.file, sheet=options.sheet)
        step.result = f"{len(frame):,} lines, {len(frame.columns)} columns"
    columns = choose_columns(frame, options)
    with steps.step("checking the lines") as step:
        tx = _bind(frame, columns, options, steps)
        received, kept = tx.audit["lines"].iloc[:2]
        step.result = f"{kept:,} of {received:,} kept"
    return tx


def choose_columns(frame: pd.DataFrame, options: argparse.Namespace) -> dict[str, str | None]:
    """Return role -> column for all roles; None for those not used.

    Raises
    ------
    MissingColumnsError
        If a column is not there, or a needed role has none: with the likeliest column as it is typed.
    """
    names = [str(name) for name in frame.columns]
    named = {role: column for role in ROLES if (column := getattr(options, role)) is not None}
    _check_named(named, names, options.file)
    found = {role: role for role in ROLES if role in names and role not in {*named, *named.values()}}
    chosen = {role: named.get(role) or found.get(role) for role in ROLES}
    missing = [role for role in _needed(options) if not chosen[role]]
    if not chosen["amount"] and not (chosen["quantity"] and chosen["unit_price"]):
        missing.append("amount")
    if missing:
        raise MissingColumnsError(_ask_for(missing, frame, chosen, options))
    return chosen


def _check_named(named: dict[str, str], names: list[str], file: str) -> None:
    """Refuse names that the file does not have, and one column for two roles."""
    taken: dict[str, str] = {}
    for role, column in named.items():
        if column and column not in names:
            hint = did_you_mean(column, names)
            raise MissingColumnsError(f"{flag(role)} {column!r}: {file} has no such column.{hint} Columns: {names}")
        if column in taken:
            both = f"{flag(taken[column])} and {flag(role)}"
            raise SchemaError(f"column {column!r} was given to {both}. Name one column for each.")
        if column:
            taken[column] = role


def _needed(options: argparse.Namespace) -> list[str]:
    """List the roles that must have a column, the money apart."""
    return [*NEEDED_ROLES, *(("product_id", "quantity") if options.returns == "match" else ())]


def typed(*words: str) -> str:
    """Write words so that a shell takes them as they are.

    >>> typed("crmlytics", "look", "my sales.csv")
    "crmlytics look 'my sales.csv'"
    """
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _ask_for(
    missing: list[str], frame: pd.DataFrame, chosen: dict[str, str | None], options: argparse.Namespace
) -> str:
    """Ask for the roles without a column, with what to type if the file lets guess it."""
    from crmlytics._cli.guessing import guess_roles

    free = frame.drop(columns=[column for column in chosen.values() if column])
    guessed = guess_roles(free)
    wanted = [role for role in missing if role in guessed]
    if "amount" in missing and "amount" not in guessed:
        wanted += [role for role in ("quantity", "unit_price") if role in guessed]
    words = [word for role in wanted for word in (flag(role), guessed[role])]
    likely = f" Likely: {typed(*words)}." if words else ""
    asked = ", ".join(f"{flag(role)} ({ROLES[role]})" for role in missing)
    return (
        f"{options.file}: say which columns to use: {asked}.{likely} Columns: {[str(c) for c in frame.columns]}. "
        f"The whole command: {typed('crmlytics', 'look', options.file)}"
    )


def _bind(
    frame: pd.DataFrame, columns: dict[str, str | None], options: argparse.Namespace, steps: Steps
) -> Transactions:
    from crmlytics.tables import Transactions

    read = {c: _as_role(frame[c], role, options, steps) for role, c in columns.items() if c}
    if options.duplicates == "keep":  # else lines are told apart by every column
        frame = frame[list(dict.fromkeys(column for column in columns.values() if column))]
    return Transactions(
        frame.assign(**read),
        **columns,
        returns=options.returns,
        duplicates=options.duplicates,
        time_zone=options.time_zone,
        timestamp_format=options.timestamp_format,
    )


def _as_role(series: pd.Series, role: str, options: argparse.Namespace, steps: Steps) -> pd.Series:
    """Make moments and numbers of text, where the role is one."""
    try:
        if role == "timestamp":
            return _moments(series, options.timestamp_format, steps)
        return _numbers(series, steps) if role in _NUMBERS else series
    except SchemaError as error:
        raise SchemaError(f"{flag(role)}: {error}") from error


def _moments(series: pd.Series, timestamp_format: str | None, steps: Steps) -> pd.Series:
    """Read dates in text, or whole numbers such as 20240131, by the format found; others stay."""
    from crmlytics._files import parse_dates

    if series.dtype.kind in "Mfb":
        return series
    if timestamp_format is not None:
        return _moments_written(series, timestamp_format)
    parsed = parse_dates(series)
    steps.note(f'dates in {series.name!r} are read as "{parsed.format}" (else give --timestamp-format)')
    return parsed.moments


def _moments_written(series: pd.Series, timestamp_format: str) -> pd.Series:
    """Read dates in text by the format given; those that do not fit become missing, but not all."""
    import pandas as pd

    text = series.astype("string").str.strip()
    try:
        moments = pd.to_datetime(text, format=timestamp_format, errors="coerce")
    except ValueError as error:
        raise SchemaError(f"--timestamp-format {timestamp_format!r}: {error}.") from error
    if moments.isna().all():
        raise SchemaError(
            f"no value of {series.name!r} is written as {timestamp_format!r}, e.g. {list(text.dropna()[:3])}."
        )
    return moments


def _numbers(series: pd.Series, steps: Steps) -> pd.Series:
    """Read numbers that a unit or a few words have kept as text; others stay."""
    from crmlytics._files import parse_numbers

    if series.dtype.kind in "iufMb":
        return series
    parsed = parse_numbers(series)
    if parsed.unit:
        steps.note(f"numbers in {series.name!r} are read without their unit, {parsed.unit!r}")
    if len(parsed.unreadable):
        shown = list(parsed.unreadable.drop_duplicates()[:_SHOWN])
        count = len(parsed.unreadable)
        steps.note(f"values in {series.name!r} that are no numbers, e.g. {shown}, are taken as missing ({count:,})")
    return parsed.numbers
