"""Order lines or events, whichever came, as sequences: what patterns are mined in, and looked for again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._baskets import encode
from crmlytics._frames import collect, columns_of, enter
from crmlytics._sequences import offsets, read_event_sequences, read_sequences
from crmlytics._validation import as_days, as_seconds, check_choice, did_you_mean
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Events, Transactions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._sequences import Sequences

MICROSECONDS = 1_000_000
LIMITS = ("min_gap", "max_gap", "window")
ITEMS = {Transactions: ("product_id", "category", "channel", "partner_id"), Events: ("event", "page", "channel")}


@dataclass(frozen=True, slots=True)
class Layout:
    """What a sequence, an element and an item are: so that other data can be read in the same way.

    Attributes
    ----------
    item : str
        The role of an item, such as ``"product_id"`` or ``"page"``.
    by : {"customer_id", "session_id"}
        Whose sequence it is.
    element : {"day", "order_id", "event"}
        What stands together; events do if they are of the same moment.
    """

    item: str
    by: str
    element: str

    @property
    def of_events(self) -> bool:
        """Whether events are read, not order lines."""
        return self.element == "event"

    @property
    def whose(self) -> str:
        """Who has a sequence, in words."""
        return "customers" if self.by == "customer_id" else "sessions"

    @property
    def unit(self) -> str:
        """The unit in which times are told: seconds between clicks, days between purchases."""
        return "seconds" if self.of_events else "days"

    @property
    def units_a_moment(self) -> float:
        """How many of that unit one step of a ``moment`` is."""
        return 1 / MICROSECONDS if self.of_events else 1.0


def bind(data: Any, *, caller: str) -> Transactions | Events:
    """Bind a frame by its canonical names: one with an ``event`` column holds events, any other order lines."""
    if isinstance(data, (Transactions, Events)):
        return data
    is_frame = not hasattr(data, "need")
    holds_events = is_frame and "event" in columns_of(enter(data, caller=caller)[0])
    return Events.bind(data) if holds_events else Transactions.bind(data)


def layout_of(table: Transactions | Events, *, item: str | None, by: str, element: str | None, caller: str) -> Layout:
    """Check what items, sequences and elements are to be, for order lines or for events."""
    if item is not None:
        _check_item(item, Events if isinstance(table, Events) else Transactions, caller=caller)
    if isinstance(table, Events):
        if element is not None:
            msg = f"{caller}: element={element!r} is for order lines; events of a moment are one. Leave out element."
            raise SchemaError(msg)
        check_choice(by, ["customer_id", "session_id"], name="by", caller=caller)
        return Layout(item or "event", by, "event")
    if by != "customer_id":
        msg = f'{caller}: by={by!r} is for Events(...). Orders are followed by customer: by="customer_id", got {by!r}.'
        raise SchemaError(msg)
    element = check_choice(element or "day", ["day", "order_id"], name="element", caller=caller)
    return Layout(item or "product_id", by, element)


def _check_item(item: Any, contract: type[Transactions | Events], *, caller: str) -> None:
    roles = ITEMS[contract]
    if item not in roles:
        msg = (
            f"{caller}: item must be one of {list(roles)}, got {item!r}.{did_you_mean(item, roles)} If that is a "
            f"column of yours, bind it: {contract.__name__}(data, {roles[0]}={item!r})."
        )
        raise SchemaError(msg)


def read(
    table: Transactions | Events, layout: Layout, *, as_of: Any = None, known: NDArray[Any] | None = None, caller: str
) -> Sequences:
    """Read sequences; with ``known`` their items have the codes of these ids, and every sequence stays.

    Otherwise codes rise with the number of sequences that hold an item, and by id among equals, as on Spark.
    """
    if layout.of_events:
        found = read_event_sequences(table, item=layout.item, by=layout.by, as_of=as_of, caller=caller)
    else:
        found = read_sequences(table, item=layout.item, element=layout.element, as_of=as_of, caller=caller)
    return _recoded(found, _by_rarity(found) if known is None else known)


def ids_of(table: Transactions | Events, layout: Layout, *, as_of: Any, caller: str) -> NDArray[Any]:
    """Return the ids of all customers, or sessions, with a line before ``as_of``, sorted; whatever is on it."""
    by = nw.col(layout.by)
    table = table if as_of is None else table.before(as_of)
    plan = table.need(layout.by, "timestamp", caller=caller).filter(~by.is_null())
    return encode(collect(plan.select(by).unique()).to_arrow()[layout.by])[1]


def limits_in_moments(layout: Layout, given: dict[str, Any], *, caller: str) -> tuple[int, int, int] | None:
    """Read ``min_gap``, ``max_gap`` and ``window`` in the unit of moments, -1 for none; None if there is no limit."""
    if all(value is None for value in given.values()):
        return None
    least, most, window = (_in_moments(layout, given[name], name=name, caller=caller) for name in LIMITS)
    for name, longer in (("max_gap", most), ("window", window)):
        if 0 <= longer < least:
            msg = (
                f"{caller}: min_gap={given['min_gap']!r} is longer than {name}={given[name]!r}, so that no pattern of "
                f"two elements is possible. Give a shorter min_gap."
            )
            raise SchemaError(msg)
    return least, most, window


def _in_moments(layout: Layout, value: Any, *, name: str, caller: str) -> int:
    if value is None:
        return -1
    if layout.of_events:
        return as_seconds(value, name=name, caller=caller) * MICROSECONDS
    return as_days(value, name=name, caller=caller)


def _by_rarity(found: Sequences) -> NDArray[Any]:
    """Return the ids of the items, those in few sequences first."""
    from crmlytics._kernels.sequences import sequence_counts

    counts = sequence_counts(found.item_starts[found.starts], found.items, len(found.item_ids))
    by_id = np.argsort(found.item_ids, kind="stable")
    ids: NDArray[Any] = found.item_ids[by_id[np.argsort(counts[by_id], kind="stable")]]
    return ids


def _recoded(found: Sequences, known: NDArray[Any]) -> Sequences:
    """Give items the codes of those known; the others go, elements stay."""
    place = {item_id: code for code, item_id in enumerate(known.tolist())}
    code = np.array([place.get(item_id, -1) for item_id in found.item_ids.tolist()], np.int32)
    lengths = np.diff(found.item_starts)
    element = np.repeat(np.arange(len(lengths)), lengths)
    codes = code[found.items]
    element, codes = element[codes >= 0], codes[codes >= 0]
    keys = element * len(known) + codes
    keys.sort(kind="stable")  # nearly sorted: codes rise within an element
    items = (keys % max(len(known), 1)).astype(np.int32)
    return replace(
        found, item_starts=offsets(np.bincount(element, minlength=len(lengths))), items=items, item_ids=known
    )
