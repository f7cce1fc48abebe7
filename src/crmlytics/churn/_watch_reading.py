"""How the kept table of the watchlist is read again, whatever it went through, and what it can't say."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect, columns_of, enter
from crmlytics._validation import as_moment
from crmlytics.churn._missing import is_missing, optional
from crmlytics.churn._watch import COLUMNS, EMPTY, LOST, STATES, Holds, Watch, column_of
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from crmlytics._frames import Engine

SHOWN = 5  # ids in a message
NEEDED = ("customer_id", "warned_at", "warning_count", "last_order_at", "purchase_count", "tenure_days",
          "total_amount", "at_stake_amount", "rule", "as_of")  # fmt: skip
TOGETHER = (("measure", "measure_reason", "measure_at"), ("lost_at", "lost_reason"))  # all of them, or none
IN_ORDER = (("warned_at", "measure_at"), ("measure_at", "deferred_until"), ("measure_at", "lost_at"))
ROW_NUMBERS = "Unnamed: "  # what pandas calls the row numbers that it wrote into a file


def read_watch(native: Any, *, caller: str) -> tuple[Watch, Engine]:
    """Read a kept table, also one that was a CSV or Excel file in between and was filled in by hand."""
    frame, engine = enter(native, caller=caller)
    present = columns_of(frame)
    missing = [name for name in NEEDED if name not in present]
    if missing:
        msg = f"{caller} needs the columns {missing} of a watchlist, got {present}. Make one: watchlist(...)."
        raise MissingColumnsError(msg)
    found = collect(frame)
    values = {name: found[name].to_list() if name in present else [None] * len(found) for name in COLUMNS}
    columns = {name: _column(values[name], name, caller=caller) for name in COLUMNS}
    ids = columns["customer_id"].tolist()
    has_numbers = all(isinstance(value, int) for value in ids) if ids else found.schema["customer_id"].is_numeric()
    own = {name: _own(found[name], caller=caller) for name in present
           if name not in COLUMNS and not name.startswith(ROW_NUMBERS)}  # fmt: skip
    watch = Watch(columns, has_numbers, {name: values for name, (values, _) in own.items()},
                  {name: dtype for name, (_, dtype) in own.items()})  # fmt: skip
    _check(watch, caller=caller)
    return watch.settled(), engine


def ids_in_words(ids: Iterable[Any]) -> str:
    """List ids for a message, the first few of many."""
    ids = sorted(set(ids))
    more = f" and {len(ids) - SHOWN:,} more" if len(ids) > SHOWN else ""
    return f"{ids[:SHOWN]}{more}"


def ids_like(values: list[Any], *, has_numbers: bool, where: str, there: str, caller: str) -> list[Any]:
    """Give ids the kind they have there: a file may turn whole numbers into text, and text into numbers.

    Text that was read as numbers is refused: leading zeros are gone.
    """
    read = [_like(value, has_numbers=has_numbers) for value in values]
    if None not in read:
        return read
    wrong = values[read.index(None)]
    words = ("text", "whole numbers")
    kind = "nothing in some rows" if is_missing(wrong) else f"{words[not isinstance(wrong, str)]} such as {wrong!r}"
    msg = (
        f"{caller}: customer_id holds {kind} in {where} and is {words[has_numbers]} in {there}. A file may have "
        'dropped leading zeros: read it with text ids, such as pandas.read_csv(path, dtype={"customer_id": str}).'
    )
    raise SchemaError(msg)


# -- reading columns -----------------------------------------------------------------------------------------------


def _like(value: Any, *, has_numbers: bool) -> Any:
    """Return an id in the kind asked for; None if it can't be."""
    if not has_numbers:
        return str(value) if isinstance(value, str) else None
    if isinstance(value, str):
        return int(value) if value.removeprefix("-").isdecimal() and str(int(value)) == value else None
    try:
        return _whole(value)
    except (TypeError, ValueError):
        return None


def _column(values: list[Any], name: str, *, caller: str) -> NDArray[Any]:
    """Read a column: typed as it should be, or as text of the same meaning."""
    kind, read = COLUMNS[name], _READERS[COLUMNS[name]]
    cleaned = []
    for value in values:
        if _is_empty(value):
            if name in NEEDED:
                msg = f"{caller}: column {name!r} of the kept table has no value in some rows, expected {kind.value}."
                raise SchemaError(msg)
            cleaned.append(EMPTY.get(kind))
            continue
        try:
            cleaned.append(read(value))
        except (TypeError, ValueError) as error:
            msg = (
                f"{caller}: column {name!r} of the kept table holds {value!r}, expected {kind.value}. "
                "Convert it first, as the file was written."
            )
            raise SchemaError(msg) from error
    if kind is Holds.ID and len({type(value) for value in cleaned}) > 1:
        cleaned = [str(value) for value in cleaned]  # spreadsheets: 22423 beside "85123A"
    return column_of(name, cleaned)


def _own(column: nw.Series[Any], *, caller: str) -> tuple[NDArray[Any], Any]:
    """Read a column of the team's own, and what it becomes: of kinds that can say nothing in every engine."""
    dtype, values = column.dtype, optional(column.to_list())
    kind: Any = nw.String()
    read: Callable[[Any], Any] = str
    if dtype.is_numeric():
        kind, read = nw.Float64(), float
    elif dtype in (nw.Date, nw.Datetime):
        kind, read = nw.Datetime("us"), partial(as_moment, name=column.name, caller=caller)
    own = np.empty(len(values), object)
    own[:] = [None if value is None else read(value) for value in values]
    return own, kind


def _is_empty(value: Any) -> bool:
    return not value.strip() if isinstance(value, str) else is_missing(value)


def _moment(value: Any) -> np.datetime64:
    return np.datetime64(as_moment(value, name="date", caller="watchlist"), "us")


def _whole(value: Any) -> int:
    number = float(value)
    if isinstance(value, (bool, np.bool_)) or not number.is_integer():
        raise ValueError
    return int(number) if isinstance(value, str) else int(value)


def _text(value: Any) -> str:
    """Read text; a file gives numbers back where all of it are digits, and as floats if some are missing."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _id(value: Any) -> Any:
    return value if isinstance(value, str) else _whole(value)


_READERS: dict[Holds, Callable[[Any], Any]] = {
    Holds.ID: _id, Holds.MOMENT: _moment, Holds.WHOLE: _whole, Holds.NUMBER: float, Holds.TEXT: _text,
    Holds.FLAG: bool,  # whatever it says: it is computed anew
}  # fmt: skip


# -- what can't have come out of a watchlist -----------------------------------------------------------------------


def _check(watch: Watch, *, caller: str) -> None:
    """Refuse what was changed by hand against the rules."""
    for check in (_check_rows, _check_states, _check_lost, _check_together, _check_order):
        problem = check(watch)
        if problem:
            msg = f"{caller}: {problem}"
            raise SchemaError(msg)


def _check_rows(watch: Watch) -> str | None:
    ids = watch["customer_id"]
    keys = Counter(zip(ids.tolist(), watch["warned_at"].tolist(), strict=True))
    twice = {customer for (customer, _), count in keys.items() if count > 1}
    twice |= {customer for customer, count in Counter(ids[watch.is_open].tolist()).items() if count > 1}
    if not twice:
        return None
    return f"the kept table has open warnings twice for {ids_in_words(twice)}. Keep one row of each."


def _check_states(watch: Watch) -> str | None:
    said = watch["state"]
    unknown = sorted({state for state in said.tolist() if state is not None} - set(STATES))
    if unknown:
        return f"column 'state' of the kept table holds {unknown}, expected one of {list(STATES)}."
    untold = watch["customer_id"][(said == LOST) & np.isnat(watch["lost_at"]) & watch.is_open]
    if not len(untold):
        return None
    return (
        f"the kept table says 'lost' without a lost_at for {ids_in_words(untold.tolist())}. Type "
        'confirm_lost(watch, customers, reason="...", on="2024-01-31") instead of changing the state.'
    )


def _check_lost(watch: Watch) -> str | None:
    bare = watch["customer_id"][~np.isnat(watch["lost_at"]) & np.isnat(watch["measure_at"])]
    if not len(bare):
        return None
    return (
        f"the kept table has a lost_at without a measure_at for {ids_in_words(bare.tolist())}: a loss is confirmed "
        "after something was tried. Fill in measure, measure_reason and measure_at, or empty lost_at."
    )


def _check_together(watch: Watch) -> str | None:
    for names in TOGETHER:
        told = np.array([_is_told(watch[name]) for name in names])
        partly = told.any(axis=0) & ~told.all(axis=0)
        if partly.any():
            gaps = [name for name, here in zip(names, told, strict=True) if (partly & ~here).any()]
            return (
                f"the kept table has only some of {', '.join(names)} for "
                f"{ids_in_words(watch['customer_id'][partly].tolist())}. Fill in {', '.join(gaps)} there, or empty "
                "all of them."
            )
    until = watch["customer_id"][_is_told(watch["deferred_until"]) & np.isnat(watch["measure_at"])]
    if not len(until):
        return None
    return (
        f"the kept table has a deferred_until without a measure for {ids_in_words(until.tolist())}. Fill in measure, "
        "measure_reason and measure_at there, or empty deferred_until."
    )


def _check_order(watch: Watch) -> str | None:
    for first, then in IN_ORDER:
        wrong = watch[then].astype("datetime64[D]") < watch[first].astype("datetime64[D]")
        if wrong.any():
            row = np.flatnonzero(wrong)[0]
            return (
                f"the kept table has a {then} before the {first} for "
                f"{ids_in_words(watch['customer_id'][wrong].tolist())}, such as {watch[then][row].item():%Y-%m-%d} "
                f"before {watch[first][row].item():%Y-%m-%d}. Correct {then} there."
            )
    return None


def _is_told(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind == "M":
        return np.asarray(~np.isnat(values))
    return np.array([value is not None for value in values.tolist()], bool)
