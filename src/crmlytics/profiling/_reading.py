"""What a profile reads of a table: who is in which segment, and the columns that may tell the segments apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import collect, columns_of, enter
from crmlytics._segments import label
from crmlytics._validation import did_you_mean, warn
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.scoring._encoding import Feature, _feature, _levels, _words, is_neither
from crmlytics.scoring._reading import _check_ids, _check_names, with_whole_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics._frames import Engine

SHOWN = 5  # names in a message


@dataclass(frozen=True, slots=True)
class Asked:
    """Which columns of a table to read, as the caller names them.

    Attributes
    ----------
    segment : str
    key : str, or None where a table has none
    columns : sequence of str, or None for all others
    groups : sequence, or None for all segments
    as_levels : sequence of str
        Columns whose numbers are codes.
    least_count : int
        Segments with fewer customers are set aside.
    """

    segment: str
    key: str | None
    columns: Sequence[str] | None
    groups: Sequence[Any] | None
    as_levels: Sequence[str]
    least_count: int


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """The customers of the segments that are large enough.

    Attributes
    ----------
    table : pandas DataFrame
    engine : Engine
        The kind of table that came in.
    segments : tuple of str
        In order.
    code : int32 array, shape (customers,)
        The segment of each customer.
    groups : int64 array
        The segments that are asked for.
    features : tuple of Feature
        The columns that may tell them apart.
    left_out : dict of column to reason
        Those that cannot.
    """

    table: Any
    engine: Engine
    segments: tuple[str, ...]
    code: NDArray[np.int32]
    groups: NDArray[np.int64]
    features: tuple[Feature, ...]
    left_out: dict[str, str]

    @property
    def size(self) -> NDArray[np.int64]:
        """Customers by segment."""
        return np.bincount(self.code, minlength=len(self.segments))


def read_population(table: Any, asked: Asked, *, caller: str) -> Population:
    """Compute the columns asked for once; customers without a segment, or in one too small, are left out."""
    plan, engine = enter(table, caller=caller)
    _check_names(plan, caller=caller)
    names = _names(columns_of(plan), asked, index=_index_names(table), caller=caller)
    keys = [] if asked.key is None else [asked.key]
    wanted = plan.select(*keys, *names, label(asked.segment, plan.collect_schema()[asked.segment]))
    rows = collect(with_whole_ids(wanted, keys, caller=caller)).to_pandas()
    if keys:
        _check_ids(rows, keys, keys, caller=caller)
    segments, code = _segments(rows[asked.segment], asked, caller=caller)
    if (code < 0).any():
        rows, code = rows[code >= 0], code[code >= 0]
    groups = _groups(segments, asked, caller=caller)
    rows = _with_text_codes(rows, asked.as_levels, names, caller=caller)
    found = _learn(rows, names, asked.as_levels, caller=caller)
    features = tuple(feature for feature in found.values() if isinstance(feature, Feature))
    left_out = {name: reason for name, reason in found.items() if isinstance(reason, str)}
    return Population(rows, engine, segments, code, groups, features, left_out)


def _with_text_codes(rows: Any, as_levels: Sequence[str], names: list[str], *, caller: str) -> Any:
    """Make codes text: 3, not 3.0, for numbers that came as floats since some are missing."""
    check_columns(as_levels, names, what="as_levels", caller=caller)
    nested = [name for name in as_levels if is_neither(rows[name])]
    if nested:
        msg = f"{caller}: as_levels names {nested}, neither numbers nor words. Give a column for each property."
        raise SchemaError(msg)
    return rows.assign(**{name: _words(rows[name]).str.replace(r"\.0$", "", regex=True) for name in as_levels})


def _learn(rows: Any, names: list[str], as_levels: Sequence[str], *, caller: str) -> dict[str, Feature | str]:
    """Learn what each column is, or why it is of no use; the encoder would read codes as the numbers they look like."""
    found = {
        name: _levels(name, rows[name]) if name in as_levels else _feature(name, rows[name], caller) for name in names
    }
    if not any(isinstance(feature, Feature) for feature in found.values()):
        raise nothing_left({name: str(reason) for name, reason in found.items()}, caller=caller)
    return found


def nothing_left(left_out: dict[str, str], *, caller: str) -> SchemaError:
    """Return the error for a table without a column to compare segments by."""
    listed = "; ".join(f"{name}: {reason}" for name, reason in left_out.items()) or "the table has no other column"
    return SchemaError(f"{caller}: no column is left to compare segments by ({listed}).")


def report_left_out(left_out: dict[str, str], *, chosen: bool, caller: str) -> None:
    """Say which columns tell nothing; refuse them where the caller chose them."""
    if not left_out:
        return
    listed = "; ".join(f"{name!r}: {reason}" for name, reason in list(left_out.items())[:SHOWN])
    more = f"; and {len(left_out) - SHOWN} more" if len(left_out) > SHOWN else ""
    if chosen:
        msg = f"{caller}: columns names what cannot be profiled ({listed}{more}). Leave it out."
        raise SchemaError(msg)
    warn(f"{caller} leaves out {listed}{more}.")


def _index_names(table: Any) -> list[Any]:
    """Return what the index of a pandas table is called: no columns, though they look like it."""
    return list(getattr(getattr(table, "index", None), "names", ()))


def _names(known: list[str], asked: Asked, *, index: list[Any], caller: str) -> list[str]:
    """Return the columns to profile."""
    for what, name in (("segment", asked.segment), ("key", asked.key)):
        if name is not None and name not in known:
            none = " key=None if the table has one row per customer and no key." if what == "key" else ""
            if name in index:
                none = f" The index is called {name!r}: type table.reset_index()."
            msg = (
                f"{caller} needs the column {what}={name!r}, no such column.{did_you_mean(name, known)} "
                f"Columns: {known}.{none}"
            )
            raise MissingColumnsError(msg)
    apart = {asked.segment, asked.key}
    if asked.columns is None:
        return [name for name in known if name not in apart]
    check_columns(asked.columns, known, what="columns", caller=caller)
    taken = [name for name in asked.columns if name in apart]
    if taken:
        msg = f"{caller}: columns names {taken}, which is the key or the segment itself."
        raise SchemaError(msg)
    return list(dict.fromkeys(asked.columns))


def check_columns(names: Sequence[str], known: Sequence[str], *, what: str, caller: str) -> None:
    """Refuse a list of columns that is none, or names one that is not there."""
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        msg = f'{caller}: {what} must be a list of columns, such as {what}=["income", "age"], got {names!r}.'
        raise SchemaError(msg)
    for name in names:
        if name not in known:
            msg = f"{caller}: {what} names {name!r}, no such column.{did_you_mean(name, known)} Columns: {list(known)}"
            raise MissingColumnsError(msg)


def _segments(values: Any, asked: Asked, *, caller: str) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Return the segments that are large enough, and the code of each row's; -1 is left out."""
    import pandas as pd

    codes, found = pd.factorize(values, sort=True)
    size = np.bincount(codes[codes >= 0], minlength=len(found))
    large = np.flatnonzero(size >= asked.least_count)
    if len(large) < 2:
        msg = (
            f"{caller} compares segments: {asked.segment!r} has {_sizes(found, size)}, and it takes two of at least "
            f"least_count={asked.least_count} customers."
        )
        raise SchemaError(msg)
    if len(large) < len(found):
        aside = np.flatnonzero(size < asked.least_count)
        warn(
            f"{caller} sets aside {len(aside)} segments with fewer than least_count={asked.least_count} customers: "
            f"{[str(found[number]) for number in aside[:SHOWN]]}."
        )
    place = np.full(len(found) + 1, -1, np.int32)  # the last is that of no segment
    place[large] = np.arange(len(large))
    return tuple(str(found[number]) for number in large), place[codes]


def _sizes(found: Any, size: NDArray[np.int64]) -> str:
    """Tell the largest segments and their sizes."""
    largest = np.argsort(-size, kind="stable")[:SHOWN]
    told = ", ".join(f"{str(found[number])!r} with {size[number]:,}" for number in largest)
    return told or "nobody in any segment"


def _groups(segments: tuple[str, ...], asked: Asked, *, caller: str) -> NDArray[np.int64]:
    """Return the places of the segments asked for."""
    if asked.groups is None:
        return np.arange(len(segments))
    if isinstance(asked.groups, str) or not len(asked.groups):
        msg = f"{caller}: groups must be a list of segments such as groups=[{segments[0]!r}], got {asked.groups!r}."
        raise SchemaError(msg)
    for group in asked.groups:
        if str(group) not in segments:
            msg = (
                f"{caller}: groups names {group!r}, no segment of at least least_count={asked.least_count} customers."
                f"{did_you_mean(group, segments)} Segments: {list(segments)}"
            )
            raise SchemaError(msg)
    return np.array(sorted({segments.index(str(group)) for group in asked.groups}))
