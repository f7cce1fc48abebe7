"""Which items may be suggested to whom: the customer's own or new ones, in stock, not owned yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from narwhals.stable.v2.dependencies import is_into_series

from crmlytics._contract import Contract
from crmlytics._frames import collect, columns_of, enter, id_column
from crmlytics._validation import warn
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._sequences import Sequences

WHICH = ("all", "repeat", "new")
SHOWN = 3  # ids in a message


@dataclass(frozen=True, slots=True, eq=False)
class Allowed:
    """Which items may be suggested to which customer.

    Attributes
    ----------
    anybody : bool array, shape (items,)
        Whether an item may be suggested at all.
    starts, items : int64 and int32 array
        The items listed for customer ``c`` are ``items[starts[c]:starts[c + 1]]``, sorted, each once.
    only : bool
        Whether what is listed is all that a customer may be suggested (True), or what must not be (False).
    """

    anybody: NDArray[np.bool_]
    starts: NDArray[np.int64]
    items: NDArray[np.int32]
    only: bool

    @classmethod
    def of(
        cls,
        sequences: Sequences,
        *,
        which: str = "all",
        exclude: Any = None,
        item: str = "product_id",
        caller: str = "recommend_table",
    ) -> Allowed:
        """Return what may be suggested to the customers of these histories; ``exclude`` as ``recommend_table`` has it.

        >>> from crmlytics._sequences import Sequences
        >>> bought = Sequences(*map(np.array, ([0, 1, 2], [0, 2, 3], [0, 2, 1], [5, 5], ["ann", "bob"], [10, 20, 30])))
        >>> Allowed.of(bought, which="new").pairs(np.array([0, 0, 0]), np.array([0, 1, 2])).tolist()
        [False, True, False]
        """
        excluded, pairs = _read(exclude, sequences, item, caller=caller)
        listed = pairs
        if which != "all":
            total = max(len(sequences.item_ids), 1)
            starts, items, _ = own_items(sequences)
            own = np.repeat(np.arange(len(sequences)), np.diff(starts)) * total + items
            listed = np.setdiff1d(own, pairs, assume_unique=True) if which == "repeat" else np.union1d(own, pairs)
        return cls(~excluded, *_by_sequence(listed, sequences), which == "repeat")

    def pairs(self, sequence: NDArray[Any], item: NDArray[Any]) -> NDArray[np.bool_]:
        """Say of each customer (number of the sequence) and item whether it may be suggested."""
        owners = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        listed = owners * len(self.anybody) + self.items
        is_listed = is_among(sequence.astype(np.int64) * len(self.anybody) + item, listed)
        allowed: NDArray[np.bool_] = self.anybody[item] & (is_listed == self.only)
        return allowed


def own_items(sequences: Sequences) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Return the items of each sequence, sorted, each once, and in how many elements each is: starts, items, counts."""
    total = max(len(sequences.item_ids), 1)
    first_item = sequences.item_starts[sequences.starts]
    owners = np.repeat(np.arange(len(sequences)), np.diff(first_item))
    keys, counts = np.unique(owners * total + sequences.items, return_counts=True)
    return *_by_sequence(keys, sequences), counts.astype(np.int64)


def is_among(keys: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say of each key whether it is among the known ones, which are sorted."""
    if not len(known):
        return np.zeros(len(keys), np.bool_)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    found: NDArray[np.bool_] = known[place] == keys
    return found


def _by_sequence(keys: NDArray[np.int64], sequences: Sequences) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Cut sorted keys, ``sequence * items + item``, at the sequences: starts and items."""
    total = max(len(sequences.item_ids), 1)
    starts = np.searchsorted(keys, np.arange(len(sequences) + 1) * total)
    return starts.astype(np.int64), (keys % total).astype(np.int32)


def _read(exclude: Any, sequences: Sequences, item: str, *, caller: str) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Read what to exclude: whether each item is for everybody, and the pairs, ``sequence * items + item``, sorted."""
    nothing, nobody = np.zeros(len(sequences.item_ids), np.bool_), np.empty(0, np.int64)
    if exclude is None:
        return nothing, nobody
    columns = _columns(exclude, item, caller=caller)
    items = _codes(columns[item], sequences.item_ids)
    if len(items) and (items < 0).all():
        _tell_unknown("items", item, columns[item], sequences.item_ids, caller=caller)
    if "customer_id" in columns:
        owners = _codes(columns["customer_id"], sequences.sequence_ids)
        if len(owners) and len(sequences) and (owners < 0).all():
            _tell_unknown("customers", "customer_id", columns["customer_id"], sequences.sequence_ids, caller=caller)
        both = (items >= 0) & (owners >= 0)
        return nothing, np.unique(owners[both] * len(nothing) + items[both])
    nothing[items[items >= 0]] = True
    return nothing, nobody


def kind_of(ids: Any) -> str:
    """Return what ids are, numbers or text.

    >>> kind_of(np.array([17, 42])), kind_of([None, "tea"])
    ('numbers', 'text')
    """
    is_whole = isinstance(ids, np.ndarray) and ids.dtype.kind in "iu"
    return "text" if not is_whole and any(isinstance(one, str) for one in ids) else "numbers"


def refuse_kinds(role: str, got: str, expected: str, *, where: str, caller: str) -> None:
    """Refuse ids of another kind than those that they are to be found among."""
    if got != expected:
        kind = "str" if expected == "text" else "int"
        msg = (
            f"{caller}: {role} holds {got}{where} {expected}, so none is found. Convert it first, for example with "
            f"data[{role!r}].astype({kind})."
        )
        raise SchemaError(msg)


def _tell_unknown(what: str, role: str, ids: list[Any], known: NDArray[Any], *, caller: str) -> None:
    """Tell that nothing excluded is known; ids of another kind are refused."""
    if any(one is not None for one in ids):
        refuse_kinds(role, kind_of(ids), kind_of(known), where=" in exclude, and in the transactions", caller=caller)
    some, got = (", ".join(map(repr, few)) for few in (known[-SHOWN:].tolist(), ids[:SHOWN]))
    warn(f"{caller}: exclude has none of the {what} that are known, such as {some}; it has {got}.")


def _codes(ids: list[Any], known: NDArray[Any]) -> NDArray[np.int64]:
    """Return the code of each id, -1 for one that is not known."""
    code = {known_id: number for number, known_id in enumerate(known.tolist())}
    return np.array([code.get(one, -1) for one in ids], np.int64)


def _columns(exclude: Any, item: str, *, caller: str) -> dict[str, list[Any]]:
    """Read what to exclude as lists of ids: of items and, where it has them, of customers."""
    if is_into_series(exclude):
        exclude = exclude.to_pylist() if hasattr(exclude, "to_pylist") else exclude.to_list()  # Arrow calls it so
    if isinstance(exclude, (list, tuple, set, frozenset, np.ndarray)):
        return {item: exclude.tolist() if isinstance(exclude, np.ndarray) else list(exclude)}
    if isinstance(exclude, Contract):
        roles = [role for role in ("customer_id", item) if exclude.has(role) or role == item]
        frame = exclude.need(*roles, caller=caller)
    elif isinstance(exclude, (str, int)) or (isinstance(exclude, Iterable) and not hasattr(exclude, "columns")):
        msg = f"{caller}: exclude must be a list of ids such as exclude=[17, 42], or a frame, got {exclude!r:.80}."
        raise SchemaError(msg)
    else:
        frame, _ = enter(exclude, caller=caller)
    names = columns_of(frame)
    if item not in names:
        msg = f"{caller}: exclude needs a column {item!r} (and 'customer_id' for pairs). Columns: {names}."
        raise SchemaError(msg)
    schema = frame.collect_schema()
    wanted = [name for name in ("customer_id", item) if name in names]
    table = collect(frame.select(*(id_column(name, schema[name], caller=caller) for name in wanted)))
    return {name: table[name].to_list() for name in wanted}
