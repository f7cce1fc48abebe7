"""The kept table of the watchlist: its columns, what follows from them, and how it is handed out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics.churn._missing import optional

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._frames import Engine

WARNED, DEFERRED, LOST, WON_BACK, DROPPED, MISTAKEN = STATES = (
    "warned", "deferred", "lost", "won back", "dropped", "mistaken",
)  # fmt: skip
DAY = np.timedelta64(1, "D")
DEFERRED_DAYS = 30  # a measure without a deferred_until waits so long for an answer
NEVER = np.datetime64("NaT", "us")


class Holds(StrEnum):
    """What a column holds, as said in messages; the optional ones may be empty."""

    ID = "whole numbers or text"
    MOMENT = "dates such as 2024-01-31"
    WHOLE = "whole numbers"
    NUMBER = "numbers"
    TEXT = "text"
    FLAG = "true or false"


COLUMNS = {
    "customer_id": Holds.ID, "warned_at": Holds.MOMENT, "warning_count": Holds.WHOLE, "state": Holds.TEXT,
    "priority": Holds.WHOLE, "is_new": Holds.FLAG, "last_order_at": Holds.MOMENT, "silent_days": Holds.WHOLE,
    "usual_interval_days": Holds.NUMBER, "rule": Holds.TEXT, "purchase_count": Holds.WHOLE,
    "tenure_days": Holds.WHOLE, "total_amount": Holds.NUMBER, "at_stake_amount": Holds.NUMBER,
    "last_product": Holds.TEXT, "segment": Holds.TEXT, "measure": Holds.TEXT, "measure_reason": Holds.TEXT,
    "measure_at": Holds.MOMENT, "measure_count": Holds.WHOLE, "earlier_measures": Holds.TEXT,
    "deferred_until": Holds.MOMENT, "lost_at": Holds.MOMENT, "lost_reason": Holds.TEXT, "won_back_at": Holds.MOMENT,
    "dropped_at": Holds.MOMENT, "as_of": Holds.MOMENT,
}  # fmt: skip
DTYPES: dict[Holds, Any] = {
    Holds.MOMENT: "datetime64[us]", Holds.WHOLE: np.int64, Holds.NUMBER: np.float64, Holds.FLAG: np.bool_,
}  # fmt: skip
EMPTY: dict[Holds, Any] = {Holds.MOMENT: NEVER, Holds.WHOLE: 0, Holds.NUMBER: np.nan, Holds.FLAG: False}


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
    own : dict of name to array
        The columns that the team put beside them, as objects with None.
    own_dtypes : dict of name to narwhals dtype
    """

    columns: dict[str, NDArray[Any]]
    has_numbers: bool
    own: dict[str, NDArray[Any]] = field(default_factory=dict)
    own_dtypes: dict[str, Any] = field(default_factory=dict)

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

    @property
    def is_mistaken(self) -> NDArray[np.bool_]:
        """Whether the customer of each warning had ordered before it, and the order was loaded later."""
        return _days(self["won_back_at"]) < _days(self["warned_at"])

    @property
    def is_lost(self) -> NDArray[np.bool_]:
        """Whether a loss was confirmed of a customer who had not ordered by then."""
        is_lost: NDArray[np.bool_] = ~np.isnat(self["lost_at"])
        return is_lost & ~(_days(self["won_back_at"]) <= _days(self["lost_at"]))

    @property
    def is_deferred(self) -> NDArray[np.bool_]:
        """Whether a measure waits for an answer."""
        return self["deferred_until"] > self["as_of"]

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
        tried = ~np.isnat(columns["measure_at"])
        until = np.where(tried, columns["measure_at"] + DEFERRED_DAYS * DAY, NEVER)
        columns["deferred_until"] = np.where(np.isnat(columns["deferred_until"]), until, columns["deferred_until"])
        columns["measure_count"] = np.maximum(columns["measure_count"], tried)
        settled = replace(self, columns=columns)
        facts = (settled.is_mistaken, ~self.is_open, ~np.isnat(columns["lost_at"]), ~np.isnat(columns["dropped_at"]),
                 settled.is_deferred)  # fmt: skip
        rank = np.select(facts, [STATES.index(state) for state in (MISTAKEN, WON_BACK, LOST, DROPPED, DEFERRED)], 0)
        columns["state"] = np.array(STATES, object)[rank]
        columns["is_new"] = (columns["warned_at"] == columns["as_of"]) & self.is_open
        until = _days(np.where(self.is_open, columns["as_of"], columns["won_back_at"]))
        columns["silent_days"] = (until - _days(columns["last_order_at"])) // DAY
        customer = _numbered(columns["customer_id"])
        first = np.lexsort((columns["warned_at"], customer, -columns["at_stake_amount"], rank))
        columns["priority"] = np.empty(len(self), np.int64)
        columns["priority"][first] = np.arange(1, len(self) + 1)
        order = np.lexsort((columns["warned_at"], customer))
        own = {name: values[order] for name, values in self.own.items()}
        return replace(self, columns={name: columns[name][order] for name in COLUMNS}, own=own)

    def to_native(self, engine: Engine) -> Any:
        """Build the table that is handed out and kept."""
        kinds = {Holds.MOMENT: nw.Datetime("us"), Holds.WHOLE: nw.Int64(), Holds.NUMBER: nw.Float64(),
                 Holds.FLAG: nw.Boolean()}  # fmt: skip
        schema = {name: kinds.get(kind, nw.String()) for name, kind in COLUMNS.items()} | self.own_dtypes
        schema["customer_id"] = nw.Int64() if self.has_numbers else nw.String()
        columns = {name: optional(values) for name, values in (self.columns | self.own).items()}
        return engine.from_columns(columns, nw.Schema(schema))


def column_of(name: str, values: Any) -> NDArray[Any]:
    """Return values as a column of the kept table has them."""
    column: NDArray[Any] = np.empty(len(values), DTYPES.get(COLUMNS[name], object))
    column[:] = values
    return column


def empty_column(name: str, rows: int) -> NDArray[Any]:
    """Return a column in which nothing is told yet."""
    return column_of(name, [EMPTY.get(COLUMNS[name])] * rows)


# -- inside --------------------------------------------------------------------------------------------------------


def _days(moments: NDArray[Any]) -> NDArray[Any]:
    return moments.astype("datetime64[D]")


def _numbered(ids: NDArray[Any]) -> NDArray[np.int64]:
    """Return the place of each id among all, sorted."""
    place = {customer: number for number, customer in enumerate(sorted(set(ids.tolist())))}
    return np.array([place[customer] for customer in ids.tolist()], np.int64)
