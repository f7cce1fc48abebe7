"""The kept table of the watchlist: what its columns hold, and how it is read again, whatever it went through."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect, columns_of, enter
from crmlytics._validation import as_moment, warn
from crmlytics.churn._missing import is_missing, optional
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from crmlytics._frames import Engine

SHOWN = 5  # ids in a message
WARNED, DEFERRED, LOST, WON_BACK = STATES = ("warned", "deferred", "lost", "won back")
DAY = np.timedelta64(1, "D")
NEVER = np.datetime64("NaT", "us")


class Holds(StrEnum):
    """What a column holds, as said in messages; the optional ones may be empty."""

    ID = "whole numbers or text"
    MOMENT = "dates such as 2024-01-31"
    WHOLE = "whole numbers"
    NUMBER = "numbers"
    TEXT = "text"


COLUMNS = {
    "customer_id": Holds.ID, "warned_at": Holds.MOMENT, "warning_count": Holds.WHOLE, "state": Holds.TEXT,
    "priority": Holds.WHOLE, "last_order_at": Holds.MOMENT, "silent_days": Holds.WHOLE,
    "usual_interval_days": Holds.NUMBER, "rule": Holds.TEXT, "purchase_count": Holds.WHOLE,
    "tenure_days": Holds.WHOLE, "total_amount": Holds.NUMBER, "at_stake_amount": Holds.NUMBER,
    "last_product": Holds.TEXT, "segment": Holds.TEXT, "measure": Holds.TEXT, "measure_reason": Holds.TEXT,
    "measure_at": Holds.MOMENT, "deferred_until": Holds.MOMENT, "lost_at": Holds.MOMENT, "lost_reason": Holds.TEXT,
    "won_back_at": Holds.MOMENT, "as_of": Holds.MOMENT,
}  # fmt: skip
NEEDED = ("customer_id", "warned_at", "warning_count", "last_order_at", "purchase_count", "tenure_days",
          "total_amount", "at_stake_amount", "rule", "as_of")  # fmt: skip
COMPUTED = ("state", "priority", "silent_days")
DTYPES: dict[Holds, Any] = {Holds.MOMENT: "datetime64[us]", Holds.WHOLE: np.int64, Holds.NUMBER: np.float64}


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """Warnings, one a row: a customer may be warned, come back, and fall silent again.

    Attributes
    ----------
    columns : dict of name to array
        As ``COLUMNS`` has them: moments are datetime64[us] with NaT, numbers float64 with NaN, ids and text objects
        with None.
    has_numbers : bool
        Whether ids are whole numbers, not text.
    """

    columns: dict[str, NDArray[Any]]
    has_numbers: bool

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column."""
        return self.columns[name]

    def __len__(self) -> int:
        """Return how many warnings there are."""
        return len(self.columns["warned_at"])

    @property
    def is_open(self) -> NDArray[np.bool_]:
        """Whether the customer of each warning has not come back."""
        is_open: NDArray[np.bool_] = np.isnat(self["won_back_at"])
        return is_open

    def changed(self, rows: NDArray[Any], **values: Any) -> Self:
        """Return the table with some columns of some rows set."""
        columns = dict(self.columns)
        for name, value in values.items():
            columns[name] = columns[name].copy()
            columns[name][rows] = value
        return replace(self, columns=columns)

    def settled(self) -> Self:
        """Return the rows in order, with the columns that follow from the others."""
        columns = dict(self.columns)
        as_of = columns["as_of"]
        running = np.isnat(columns["deferred_until"]) | (columns["deferred_until"] > as_of)
        facts = (~self.is_open, ~np.isnat(columns["lost_at"]), ~np.isnat(columns["measure_at"]) & running)
        rank = np.select(facts, (3, 2, 1), 0)
        until = np.where(self.is_open, as_of, columns["won_back_at"]).astype("datetime64[D]")
        columns["state"] = np.array(STATES, object)[rank]
        columns["silent_days"] = (until - columns["last_order_at"].astype("datetime64[D]")) // DAY
        customer = _numbered(columns["customer_id"])
        first = np.lexsort((columns["warned_at"], customer, -columns["at_stake_amount"], rank))
        columns["priority"] = np.empty(len(self), np.int64)
        columns["priority"][first] = np.arange(1, len(self) + 1)
        order = np.lexsort((columns["warned_at"], customer))
        return replace(self, columns={name: columns[name][order] for name in COLUMNS})

    def to_native(self, engine: Engine) -> Any:
        """Build the table that is handed out and kept."""
        kinds = {Holds.MOMENT: nw.Datetime("us"), Holds.WHOLE: nw.Int64(), Holds.NUMBER: nw.Float64()}
        schema = {name: kinds.get(kind, nw.String()) for name, kind in COLUMNS.items()}
        schema["customer_id"] = nw.Int64() if self.has_numbers else nw.String()
        return engine.from_columns({name: optional(self[name]) for name in COLUMNS}, nw.Schema(schema))


def read_watch(native: Any, *, caller: str) -> tuple[Watch, Engine]:
    """Read a kept table, also one that was a CSV or Excel file in between and was filled in by hand."""
    frame, engine = enter(native, caller=caller)
    present = columns_of(frame)
    missing = [name for name in NEEDED if name not in present]
    if missing:
        msg = f"{caller} needs the columns {missing} of a watchlist, got {present}. Make one: watchlist(...)."
        raise MissingColumnsError(msg)
    others = [name for name in present if name not in COLUMNS]
    if others:
        warn(f"{caller}: the columns {others} are not the watchlist's and are not kept. Keep them in a table of their "
             "own, by customer_id and warned_at.")  # fmt: skip
    known = [name for name in COLUMNS if name in present]
    found = collect(frame.select(known))
    values = {name: found[name].to_list() if name in known else [None] * len(found) for name in COLUMNS}
    columns = {name: _column(values[name], name, caller=caller) for name in COLUMNS}
    ids = columns["customer_id"].tolist()
    is_numeric = found.schema["customer_id"].is_numeric()
    watch = Watch(columns, all(isinstance(value, int) for value in ids) if ids else is_numeric)
    _check(watch, caller=caller)
    return watch.settled(), engine


def ids_in_words(ids: Iterable[Any]) -> str:
    """List ids for a message, the first few of many."""
    ids = sorted(set(ids))
    more = f" and {len(ids) - SHOWN:,} more" if len(ids) > SHOWN else ""
    return f"{ids[:SHOWN]}{more}"


def column_of(name: str, values: Any) -> NDArray[Any]:
    """Return values as a column of the kept table has them."""
    kind = COLUMNS[name]
    column: NDArray[Any] = np.empty(len(values), DTYPES.get(kind, object))
    column[:] = values
    return column


# -- inside --------------------------------------------------------------------------------------------------------


def _numbered(ids: NDArray[Any]) -> NDArray[np.int64]:
    """Return the place of each id among all, sorted."""
    place = {customer: number for number, customer in enumerate(sorted(set(ids.tolist())))}
    return np.array([place[customer] for customer in ids.tolist()], np.int64)


def _column(values: list[Any], name: str, *, caller: str) -> NDArray[Any]:
    """Read a column: typed as it should be, or as text of the same meaning."""
    kind, read = COLUMNS[name], _READERS[COLUMNS[name]]
    empty = {Holds.MOMENT: NEVER, Holds.NUMBER: np.nan, Holds.WHOLE: 0}.get(kind)
    cleaned = []
    for value in values:
        if _is_empty(value):
            if name in NEEDED:
                msg = f"{caller}: column {name!r} of the kept table has no value in some rows, expected {kind.value}."
                raise SchemaError(msg)
            cleaned.append(empty)
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


def _is_empty(value: Any) -> bool:
    return not value.strip() if isinstance(value, str) else is_missing(value)


def _moment(value: Any) -> np.datetime64:
    return np.datetime64(as_moment(value, name="date", caller="watchlist"), "us")


def _whole(value: Any) -> int:
    number = float(value)
    if isinstance(value, bool) or not number.is_integer():
        raise ValueError
    return int(value) if not isinstance(value, str) else int(number)


def _text(value: Any) -> str:
    """Read text; a file gives numbers back where all of it are digits, and as floats if some are missing."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _id(value: Any) -> Any:
    return value if isinstance(value, str) else _whole(value)


_READERS: dict[Holds, Callable[[Any], Any]] = {
    Holds.ID: _id, Holds.MOMENT: _moment, Holds.WHOLE: _whole, Holds.NUMBER: float, Holds.TEXT: _text,
}  # fmt: skip


def _check(watch: Watch, *, caller: str) -> None:
    """Refuse what can't have come out of a watchlist: it was changed by hand against the rules."""
    ids, said = watch["customer_id"], watch["state"]
    keys = Counter(zip(ids.tolist(), watch["warned_at"].tolist(), strict=True))
    twice = {customer for (customer, _), count in keys.items() if count > 1}
    twice |= {customer for customer, count in Counter(ids[watch.is_open].tolist()).items() if count > 1}
    unknown = sorted({state for state in said.tolist() if state is not None} - set(STATES))
    lost = ~np.isnat(watch["lost_at"])
    bare = ids[lost & np.isnat(watch["measure_at"])]
    untold = ids[(said == LOST) & ~lost & watch.is_open]
    if twice:
        msg = f"{caller}: the kept table has open warnings twice for {ids_in_words(twice)}. Keep one row of each."
    elif unknown:
        msg = f"{caller}: column 'state' of the kept table holds {unknown}, expected one of {list(STATES)}."
    elif len(bare):
        msg = (
            f"{caller}: the kept table has a lost_at without a measure_at for {ids_in_words(bare.tolist())}: a loss is "
            "confirmed after something was tried. Fill in measure, measure_reason and measure_at, or empty lost_at."
        )
    elif len(untold):
        msg = (
            f"{caller}: the kept table says 'lost' without a lost_at for {ids_in_words(untold.tolist())}. Type "
            'confirm_lost(watch, customers, reason="...", on="2024-01-31") instead of changing the state.'
        )
    else:
        return
    raise SchemaError(msg)
