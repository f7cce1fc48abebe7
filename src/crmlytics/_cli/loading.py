"""From a file and the names of its columns to a contract, with every fault in the words of the command line."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from typing import TYPE_CHECKING

from crmlytics._cli.parser import NEEDED_ROLES, ROLES, flag
from crmlytics._files.columns import shown
from crmlytics._validation import did_you_mean
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    import argparse

    import pandas as pd

    from crmlytics._cli.steps import Steps
    from crmlytics.tables import Transactions

_NUMBERS = ("quantity", "unit_price", "amount", "list_price", "discount_amount", "cost")
_SHOWN = 3
_MOST_LOST = 0.2  # of the lines: more dates than that are not slips


def load_transactions(options: argparse.Namespace, steps: Steps) -> Transactions:
    """Read the file, make dates and numbers of text, and bind the columns."""
    from crmlytics._files import read_file

    with steps.step(f"reading {options.file}") as step:
        found = read_file(options.file, sheet=options.sheet, decimal=options.decimal)
        frame = found.frame
        step.result = f"{len(frame):,} lines, {len(frame.columns)} columns"
        if found.format is not None:
            steps.remark(f"read as {found.format}")
    columns = choose_columns(frame, options)
    with steps.step("checking the lines") as step:
        tx = _bind(frame, columns, options, steps, likely=found.format.decimal if found.format else None)
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
            msg = f"{flag(role)} {column!r}: {file} has no such column.{hint} Columns: {shown(names)}"
            raise MissingColumnsError(msg)
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
        f"{options.file}: say which columns to use: {asked}.{likely} Columns: {shown(frame.columns)}. "
        f"The whole command: {typed('crmlytics', 'look', options.file)}"
    )


def _bind(
    frame: pd.DataFrame,
    columns: dict[str, str | None],
    options: argparse.Namespace,
    steps: Steps,
    *,
    likely: str | None,
) -> Transactions:
    from crmlytics.tables import Transactions

    read = {c: _as_role(frame[c], role, options, steps, likely=likely) for role, c in columns.items() if c}
    whole = frame
    if options.duplicates == "keep":  # else lines are told apart by every column
        frame = frame[list(dict.fromkeys(column for column in columns.values() if column))]
    frame = frame.assign(**read)
    if not columns["order_id"]:
        frame, columns = _with_days_as_orders(frame, columns, options.time_zone)
        steps.note(
            "no --order-id is given: all that a customer bought on one day counts as one order"
            f"{_likely_order(whole, read)}"
        )
    return Transactions(
        frame,
        **columns,
        returns=options.returns,
        duplicates=options.duplicates,
        time_zone=options.time_zone,
        timestamp_format=options.timestamp_format,
    )


def _likely_order(frame: pd.DataFrame, used: dict[str, pd.Series]) -> str:
    """Name the column that looks like an order's, if one does."""
    from crmlytics._cli.guessing import guess_roles

    column = guess_roles(frame.drop(columns=list(used)).head(1000)).get("order_id")
    return f" (likely: {typed(flag('order_id'), column)})" if column else ""


def _with_days_as_orders(
    frame: pd.DataFrame, columns: dict[str, str | None], time_zone: str | None
) -> tuple[pd.DataFrame, dict[str, str | None]]:
    """Give each day of a customer a number that stands in for an order."""
    moments = frame[columns["timestamp"]]
    if moments.dtype.kind == "M":
        if time_zone and getattr(moments.dtype, "tz", None) is not None:
            moments = moments.dt.tz_convert(time_zone)
        moments = moments.dt.normalize()
    name = next(text for text in ("order_id", "order_id_made", "order_id_made_of_day") if text not in frame.columns)
    numbers = frame.groupby([frame[columns["customer_id"]], moments], dropna=False, sort=False).ngroup()
    return frame.assign(**{name: numbers.to_numpy()}), {**columns, "order_id": name}


def _as_role(
    series: pd.Series, role: str, options: argparse.Namespace, steps: Steps, *, likely: str | None
) -> pd.Series:
    """Make moments and numbers of text, where the role is one."""
    try:
        if role == "timestamp":
            return _moments(series, options.timestamp_format, steps)
        return _numbers(series, options.decimal, likely, steps) if role in _NUMBERS else series
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
    _refuse_mostly_unreadable(series, parsed.moments, parsed.format)
    steps.note(f'dates in {series.name!r} are read as "{parsed.format}" (else give --timestamp-format)')
    return parsed.moments


def _moments_written(series: pd.Series, timestamp_format: str) -> pd.Series:
    """Read dates in text by the format given; those that do not fit become missing, but not all."""
    import pandas as pd

    if (meant := _as_directives(timestamp_format)) is not None:
        raise SchemaError(f'--timestamp-format {timestamp_format!r}: write it as "{meant}".')
    text = series.astype("string").str.strip()
    try:
        moments = pd.to_datetime(text, format=timestamp_format, errors="coerce")
    except ValueError as error:
        raise SchemaError(f"--timestamp-format {timestamp_format!r}: {error}.") from error
    if moments.isna().all():
        raise SchemaError(
            f"no value of {series.name!r} is written as {timestamp_format!r}, e.g. {list(text.dropna()[:3])}."
        )
    _refuse_mostly_unreadable(series, moments, timestamp_format)
    return moments


def _refuse_mostly_unreadable(series: pd.Series, moments: pd.Series, timestamp_format: str) -> None:
    """Refuse a format that leaves out more lines than a few slips explain."""
    lost = series[moments.isna() & series.notna()]
    if len(lost) > _MOST_LOST * len(series):
        raise SchemaError(
            f'{len(lost):,} of {len(series):,} values of {series.name!r} can\'t be read as "{timestamp_format}", e.g. '
            f"{list(lost.drop_duplicates()[:_SHOWN])}. Write all dates in one way in the file (an empty cell means "
            "that there is none), or give the format that most of them have with --timestamp-format."
        )


def _as_directives(text: str) -> str | None:
    """Translate a format as spreadsheets write it; None if it has directives, or nothing of a date.

    >>> _as_directives("dd/mm/yyyy hh:mm:ss"), _as_directives("YYYY-MM-DD"), _as_directives("%d.%m.%Y")
    ('%d/%m/%Y %H:%M:%S', '%Y-%m-%d', None)
    """
    if "%" in text or not re.search(r"(?i)y|d", text):
        return None
    minutes = re.sub(r"(?i)(h{1,2}\W)m{1,2}", r"\1%M", text)
    pattern = r"%M|[yY]{3,4}|[yY]{1,2}|[dD]{1,2}|[mM]{3,}|[mM]{1,2}|[hH]{1,2}|[sS]{1,2}"
    return re.sub(pattern, lambda found: found[0] if found[0] == "%M" else _directive(found[0].lower()), minutes)


def _directive(letters: str) -> str:
    """Translate one part of a spreadsheet's format."""
    long = {"yyyy": "%Y", "yyy": "%Y", "mmm": "%b", "mmmm": "%B"}
    return long.get(letters) or {"y": "%y", "d": "%d", "m": "%m", "h": "%H", "s": "%S"}[letters[0]]


def _numbers(series: pd.Series, decimal: str | None, likely: str | None, steps: Steps) -> pd.Series:
    """Read numbers that a unit or a few words have kept as text; others stay."""
    from crmlytics._files import parse_numbers

    if series.dtype.kind in "iufMb":
        return series
    parsed = parse_numbers(series, decimal=decimal, likely=likely)
    if parsed.unit:
        steps.note(f"numbers in {series.name!r} are read without their unit, {parsed.unit!r}")
    if len(parsed.unreadable):
        shown = list(parsed.unreadable.drop_duplicates()[:_SHOWN])
        count = len(parsed.unreadable)
        steps.note(f"values in {series.name!r} that are no numbers, e.g. {shown}, are taken as missing ({count:,})")
    return parsed.numbers
