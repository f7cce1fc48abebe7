"""From order lines or events to sequences of elements in time, in arrays: the one place that reads them in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._baskets import encode, microseconds, read_baskets, recoded
from crmlytics._frames import collect
from crmlytics._validation import check_choice, warn
from crmlytics.tables import Events, Transactions

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Sequences:
    """Who did what when: for each customer (or session) elements in order of time, each a set of items.

    Attributes
    ----------
    starts : int64 array, shape (sequences + 1,)
        The elements of sequence ``s`` are ``starts[s]`` to ``starts[s + 1]``, in order of ``moment``.
    item_starts : int64 array, shape (elements + 1,)
        The items of element ``e`` are ``items[item_starts[e]:item_starts[e + 1]]``.
    items : int32 array
        Item codes, rising and without repetition within an element; rare items have small codes.
    moment : int64 array, shape (elements,)
        When each element was, in ``unit``s since 1970-01-01.
    sequence_ids : array, shape (sequences,)
        The id of each sequence (of the customer, say), sorted: int64, or str as an object array.
    item_ids : array, shape (items,)
        The id of each code.
    unit : str
        The unit of ``moment``: ``"d"`` (calendar days) or ``"us"`` (microseconds).
    """

    starts: NDArray[np.int64]
    item_starts: NDArray[np.int64]
    items: NDArray[np.int32]
    moment: NDArray[np.int64]
    sequence_ids: NDArray[Any]
    item_ids: NDArray[Any]
    unit: str = "d"

    def __len__(self) -> int:
        """Return how many sequences there are."""
        return len(self.starts) - 1


ELEMENTS = {"day": ("customer_id", "1d"), "order_id": "order_id"}
EVENT_ITEMS = ("event", "page", "channel")
EVENT_KEYS = ("customer_id", "session_id")


def read_sequences(
    transactions: Transactions | Any,
    *,
    item: str = "product_id",
    element: str = "order_id",
    as_of: Any = None,
    known: NDArray[Any] | None = None,
    caller: str,
) -> Sequences:
    """Read what each customer bought, order after order or day after day.

    What was returned within an element is not in it, and an element that holds nothing is none (see
    :func:`read_baskets`). Orders of the same moment stand in order of their ids: of dates without hours that is made up
    (ids of text sort "10" before "9"), so that these want ``element="day"``.

    Parameters
    ----------
    transactions : Transactions or dataframe
    item : str
        What an item is: the role, such as ``"product_id"``.
    element : {"order_id", "day"}
        What stands together: an order, or all that a customer bought on one day.
    as_of : date, optional
        Only lines before it.
    known : array, optional
        The item ids whose codes are 0, 1, ...; other items are left out.
    caller : str
        Who asks, for messages.
    """
    check_choice(element, ELEMENTS, name="element", caller=caller)
    table = Transactions.bind(transactions)
    table.need("customer_id", "timestamp", caller=caller)
    table = table if as_of is None else table.before(as_of)
    baskets = read_baskets(table, basket=ELEMENTS[element], item=item, known=known, days=True, caller=caller)  # type: ignore[arg-type]
    customer, moment = np.asarray(baskets.customer), np.asarray(baskets.moment)
    order = np.lexsort((moment, customer))  # stable: equal moments stay in order of their ids
    held, sequence = np.unique(customer[order], return_inverse=True)
    lengths = np.diff(baskets.starts)[order]
    item_starts = offsets(lengths)
    places = np.repeat(baskets.starts[order] - item_starts[:-1], lengths) + np.arange(item_starts[-1])
    return Sequences(
        starts=offsets(np.bincount(sequence, minlength=len(held))),
        item_starts=item_starts,
        items=baskets.items[places],
        moment=np.asarray(baskets.day)[order],
        sequence_ids=np.asarray(baskets.customer_ids)[held],
        item_ids=baskets.item_ids,
    )


def read_event_sequences(
    events: Events | Any,
    *,
    item: str = "event",
    by: str = "customer_id",
    as_of: Any = None,
    known: NDArray[Any] | None = None,
    caller: str,
) -> Sequences:
    """Read what each customer did, or what was done in each session: all events of one moment are one element.

    A table has no order of its own: of two events of the same moment neither follows the other.

    Parameters
    ----------
    events : Events or dataframe
    item : {"event", "page", "channel"}
        What an item is; events without one are left out and told.
    by : {"customer_id", "session_id"}
        What a sequence is.
    as_of : date, optional
        Only events before it.
    known : array, optional
        The item ids whose codes are 0, 1, ...; other items are left out.
    caller : str
        Who asks, for messages.
    """
    check_choice(item, EVENT_ITEMS, name="item", caller=caller)
    check_choice(by, EVENT_KEYS, name="by", caller=caller)
    table = Events.bind(events)
    table = table if as_of is None else table.before(as_of)
    plan = table.need(by, "timestamp", item, caller=caller)
    arrow = collect(plan.select(item=nw.col(item), key=nw.col(by), moment=nw.col("timestamp"))).to_arrow()
    arrow = _without_gaps(arrow, {"item": item, "key": by}, caller=caller)
    item_code, item_ids = encode(arrow["item"])
    key_code, key_ids = encode(arrow["key"])
    moment = microseconds(arrow["moment"].to_numpy())
    codes, item_ids = recoded(item_code.astype(np.int64), item_ids, known)
    order = _in_order(key_code, moment, codes)
    order = order[codes[order] >= 0]
    key_code, moment, codes = key_code[order], moment[order], codes[order]
    begins = _differs(key_code) | _differs(moment)
    kept = begins | _differs(codes)  # what happens twice at one moment is in its element once
    owner = key_code[begins]
    return Sequences(
        starts=_runs(_differs(owner)),
        item_starts=_runs(begins[kept]),
        items=codes[kept],
        moment=moment[begins],
        sequence_ids=key_ids[owner[_differs(owner)]],
        item_ids=item_ids,
        unit="us",
    )


def _differs(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Say which values differ from the one before; the first one does."""
    differs = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=differs[1:])
    return differs


def _runs(begins: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return where each of some runs begins, and where the last one ends, from flags that are up where one begins."""
    return np.append(np.flatnonzero(begins), len(begins))


def _in_order(key: NDArray[np.int32], moment: NDArray[np.int64], item: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the order by key, then moment, then item: by one number where it fits, which is quicker if in order.

    The codes of items begin at -1.
    """
    if not len(key):
        return np.arange(0)
    moments, items = int(np.ptp(moment)) + 1, int(item.max()) + 2
    if (int(key.max()) + 1) * moments * items > np.iinfo(np.int64).max:
        return np.lexsort((item, moment, key))
    return np.argsort((key * np.int64(moments) + (moment - moment.min())) * items + (item + 1), kind="stable")


def _without_gaps(arrow: Any, roles: dict[str, str], *, caller: str) -> Any:
    """Leave out the rows that lack one of the columns, and tell how many."""
    import pyarrow.compute as pc

    for column, role in roles.items():
        missing = arrow[column].null_count
        if missing:
            warn(f"{caller}: {missing:,} of {len(arrow):,} events have no {role} and are left out.")
            arrow = arrow.filter(pc.is_valid(arrow[column]))
    return arrow


def offsets(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each of some runs begins, and where the last one ends."""
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts
