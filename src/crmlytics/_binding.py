"""Which column plays which role, whether its kind fits, and how it is read under its canonical name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

import narwhals.stable.v2 as nw

from crmlytics._frames import columns_of
from crmlytics._native import drop_nanoseconds, parse_moments, settle_float_ids, settle_objects, to_wall_clock
from crmlytics._validation import did_you_mean
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

LARGEST_EXACT = {nw.Float32: 2**24, nw.UInt64: 2**63, nw.Int128: 2**63, nw.UInt128: 2**63}  # others: 2**53


class Kind(StrEnum):
    """What the values of a role are."""

    ID = "whole numbers or text"
    MOMENT = "dates or datetimes"
    NUMBER = "numbers"
    FLAG = "true or false"


@dataclass(frozen=True, slots=True)
class Binding:
    """A frame whose columns have been given roles.

    Attributes
    ----------
    plan : LazyFrame
        The frame with every bound role under its canonical name; ids that came as floats are still floats.
    sources : dict of role to the caller's column name
    float_ids : tuple of roles
        Ids that came as floats and become Int64 once the lines without one are set aside.
    unfit_ids : dict of role to expression
        For ids of a kind wider than Int64: whether a value has no exact place there, such as 1.5.
    """

    plan: nw.LazyFrame[Any]
    sources: dict[str, str]
    float_ids: tuple[str, ...]
    unfit_ids: dict[str, nw.Expr]


def bind_roles(
    frame: nw.LazyFrame[Any],
    named: Mapping[str, str | None],
    kinds: Mapping[str, Kind],
    *,
    caller: str,
    time_zone: str | None = None,
    timestamp_format: str | None = None,
    optional: frozenset[str] = frozenset(),
    attribute_names: Callable[[int, str], str | None] = lambda *_: None,
) -> Binding:
    """Read ``frame`` under canonical names, or say which column, role or kind is wrong.

    ``optional`` are the roles in which a kept line may have no value. ``attribute_names`` says how the columns without
    a role are called, by their number and name; None leaves one out.
    """
    _check_moment_options(time_zone, timestamp_format, caller=caller)
    sources = _resolve(columns_of(frame), named, caller=caller)
    came_as = frame.collect_schema()
    frame = _settle(frame, sources, kinds, optional, caller=caller)
    frame = _read_moments(frame, sources, kinds, time_zone, timestamp_format, caller=caller)
    schema = frame.collect_schema()
    roles = {
        role: _canonical(column, schema[column], kinds[role], where=f"{caller}({role}={column!r})").alias(role)
        for role, column in sources.items()
    }
    others = [column for column in schema.names() if column not in sources.values()]
    named_others = [(column, attribute_names(i, column)) for i, column in enumerate(others)]
    attributes = [nw.col(column).alias(name) for column, name in named_others if name is not None]
    ids = {role: came_as[column] for role, column in sources.items() if kinds[role] is Kind.ID}
    float_ids = tuple(role for role, dtype in ids.items() if _is_fractional(dtype))
    unfit_ids = {role: _is_unfit(role, dtype) for role, dtype in ids.items() if role in float_ids or _is_wide(dtype)}
    return Binding(frame.select(*roles.values(), *attributes), sources, float_ids, unfit_ids)


def own_name(column: str, roles: Iterable[str]) -> str | None:
    """Return the name of an attribute, None if it is that of a role: to SQL engines ``Amount`` is ``amount``."""
    return None if column.lower() in {role.lower() for role in roles} else column


def is_no_id(role: str, dtype: Any) -> nw.Expr:
    """Whether a line has no value for an id: null, NaN or text of nothing but blanks."""
    column = nw.col(role)
    if dtype == nw.String:
        return column.is_null() | (column.str.strip_chars() == "").fill_null(value=False)
    if dtype.is_float():
        return ~column.is_finite().fill_null(value=False)
    return column.is_null()


def _is_unfit(role: str, dtype: Any) -> nw.Expr:
    """Whether an id is not a whole number, or one too large to be held exactly."""
    column, largest = nw.col(role), next((n for kind, n in LARGEST_EXACT.items() if dtype == kind), 2**53)
    if _is_wide(dtype):
        return (column > largest - 1).fill_null(value=False)
    fractional = (column != column.floor()) | (column.abs() >= largest)
    return (fractional & column.is_finite()).fill_null(value=False)


def _resolve(columns: list[str], named: Mapping[str, str | None], *, caller: str) -> dict[str, str]:
    """Role -> column: roles named by the caller first, then canonical names that are simply there."""
    explicit = {role: column for role, column in named.items() if column is not None and column != role}
    for role, column in explicit.items():
        if column not in columns:
            msg = f"{caller}({role}={column!r}): no such column.{did_you_mean(column, columns)} Columns: {columns}"
            raise MissingColumnsError(msg)
    claimed = list(explicit.values())
    repeated = {column: [role for role in explicit if explicit[role] == column] for column in claimed}
    for column, roles in repeated.items():
        if len(roles) > 1:
            msg = f"{caller}: column {column!r} was given two roles, {roles}. Name one column for each role."
            raise SchemaError(msg)
    for role, canonical in named.items():
        if role not in explicit and canonical in repeated:
            msg = (
                f"{caller}: column {canonical!r} was given two roles, {[role, *repeated[canonical]]}. "
                f"If your data have no {role}, say {role}=None."
            )
            raise SchemaError(msg)
    found = {role: column for role, column in named.items() if role in explicit or column in columns}
    if not found:
        example = ", ".join(f"{role}='<your column>'" for role in list(named)[:3])
        msg = f"{caller}: no column has a role. Name yours: {caller}(data, {example}). Columns: {columns}"
        raise MissingColumnsError(msg)
    return {role: column for role, column in found.items() if column is not None}


def _settle(
    frame: nw.LazyFrame[Any],
    sources: Mapping[str, str],
    kinds: Mapping[str, Kind],
    optional: frozenset[str],
    *,
    caller: str,
) -> nw.LazyFrame[Any]:
    def of(kind: Kind) -> list[str]:
        return [column for role, column in sources.items() if kinds[role] is kind]

    frame = settle_objects(
        frame, ids=of(Kind.ID), numbers=of(Kind.NUMBER), moments=of(Kind.MOMENT), flags=of(Kind.FLAG), caller=caller
    )
    return settle_float_ids(
        frame, [sources[role] for role in optional if kinds.get(role) is Kind.ID and role in sources]
    )


def _read_moments(
    frame: nw.LazyFrame[Any],
    sources: Mapping[str, str],
    kinds: Mapping[str, Kind],
    time_zone: str | None,
    timestamp_format: str | None,
    *,
    caller: str,
) -> nw.LazyFrame[Any]:
    """Parse text moments and turn aware ones into wall-clock time, where the caller said how."""
    schema = frame.collect_schema()
    moments = {role: column for role, column in sources.items() if kinds[role] is Kind.MOMENT}
    zones = {role: getattr(schema[column], "time_zone", None) for role, column in moments.items()}
    aware = {role: column for role, column in moments.items() if zones[role] is not None}
    text = {r: c for r, c in moments.items() if schema[c] == nw.String}
    for role, column in text.items():
        if timestamp_format is None:
            msg = (
                f"{caller}({role}={column!r}): the column holds text, expected dates. Say how to read it, "
                f'such as timestamp_format="%d/%m/%Y %H:%M", or convert it first.'
            )
            raise SchemaError(msg)
        frame = parse_moments(frame, column, timestamp_format, caller=caller)
    for column in moments.values():
        if getattr(schema[column], "time_unit", None) == "ns":
            frame = drop_nanoseconds(frame, column)
    for role, column in aware.items():
        if time_zone is None:
            msg = (
                f"{caller}({role}={column!r}): the moments carry a time zone ({zones[role]}). "
                f'Say in which zone a day begins for you, such as time_zone="Europe/London".'
            )
            raise SchemaError(msg)
        frame = to_wall_clock(frame, column, time_zone)
    if time_zone is not None and not aware:
        msg = f"{caller}: time_zone={time_zone!r} is for moments that carry a zone; {list(moments.values())} do not."
        raise SchemaError(msg)
    return frame


def _check_moment_options(time_zone: str | None, timestamp_format: str | None, *, caller: str) -> None:
    zones = available_timezones() if time_zone is not None else set()  # none where the system has no data base of zones
    if time_zone is not None and zones and time_zone not in zones:
        hint = did_you_mean(time_zone, zones)
        msg = f'{caller}: time_zone={time_zone!r} is not known, expected one such as "Europe/London".{hint}'
        raise SchemaError(msg)
    if timestamp_format is not None and ("%z" in timestamp_format or "%Z" in timestamp_format):
        msg = (
            f"{caller}: timestamp_format={timestamp_format!r}: zones in text are read differently by every engine. "
            "Parse the column first, for example pandas.to_datetime(column, utc=True), and give time_zone=."
        )
        raise SchemaError(msg)


def _is_wide(dtype: Any) -> bool:
    return dtype in (nw.UInt64, nw.Int128, nw.UInt128)


def _is_fractional(dtype: Any) -> bool:
    return bool(dtype.is_float() or dtype.is_decimal())


def _canonical(column: str, dtype: Any, kind: Kind, *, where: str) -> nw.Expr:
    """Read one column as its role: Int64 or String ids, naive microseconds, Float64 numbers, Boolean flags."""
    target = _TARGETS[kind](dtype)
    if target is None:
        hint = " Convert it first, for example with pandas.to_numeric." if dtype == nw.String else ""
        if kind is Kind.ID and dtype == nw.Boolean:
            hint = ' Say it in words first, such as column.map({True: "mail", False: "control"}).'
        if kind is Kind.FLAG:
            hint = ' Say which value is true, such as column == "yes", or column == 1.'
        msg = f"{where}: the column holds {dtype}, expected {kind.value}.{hint}"
        raise SchemaError(msg)
    if kind is Kind.FLAG and dtype != nw.Boolean:
        return nw.col(column) != 0
    read = nw.col(column) if dtype == target else nw.col(column).cast(target)
    return read.fill_nan(None) if dtype.is_float() else read


def _id_target(dtype: Any) -> Any:
    if dtype == nw.Unknown:  # a column without a single value has no type on Polars and Arrow
        return nw.String()
    if dtype.is_integer():
        return dtype if _is_wide(dtype) else nw.Int64()
    if _is_fractional(dtype):
        return nw.Float64()
    return nw.String() if isinstance(dtype, (nw.String, nw.Categorical, nw.Enum)) else None


def _moment_target(dtype: Any) -> Any:
    return nw.Datetime("us") if isinstance(dtype, (nw.Datetime, nw.Date, nw.Unknown)) else None


def _number_target(dtype: Any) -> Any:
    return nw.Float64() if dtype.is_numeric() or dtype == nw.Unknown else None


def _flag_target(dtype: Any) -> Any:
    return nw.Boolean() if dtype in (nw.Boolean, nw.Unknown) or dtype.is_integer() else None


_TARGETS = {
    Kind.ID: _id_target,
    Kind.MOMENT: _moment_target,
    Kind.NUMBER: _number_target,
    Kind.FLAG: _flag_target,
}
