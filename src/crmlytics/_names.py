"""What a manager reads instead of item ids."""

from __future__ import annotations

import numbers
from collections import Counter
from typing import TYPE_CHECKING, Any

from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN = 3  # ids in a message


def names_of(ids: Sequence[Any], names: Any, *, caller: str) -> list[str]:
    """Return the name of each id: from ``names``, a mapping or Series by id; the id itself where it has none.

    Items that share a name are told apart by their ids: "mailout (23203)".
    """
    if names is None:
        return list(map(str, ids))
    found = [_in_one_line(name) for name in _found(ids, names, caller=caller)]
    times = Counter(found)
    return [
        (f"{name} ({item_id})" if times[name] > 1 else name) if name else str(item_id)
        for item_id, name in zip(ids, found, strict=True)
    ]


def _found(ids: Sequence[Any], names: Any, *, caller: str) -> list[Any]:
    """Look each id up."""
    if not hasattr(names, "items") or not hasattr(names, "keys"):
        msg = f"{caller}: names must be a mapping such as {{item_id: name}}, got {type(names).__name__}."
        raise SchemaError(msg)
    known = set(names.keys())
    if len(known) < len(names):
        msg = f"{caller}: names has {len(names):,} names for {len(known):,} ids. Give each id one name."
        raise SchemaError(msg)
    by_id = dict(names.items())
    if all(isinstance(item_id, str) for item_id in ids):  # as hierarchies make them, also of numbers
        by_id = {str(key): name for key, name in by_id.items()}
    if ids and by_id.keys().isdisjoint(ids):
        given = ", ".join(map(repr, list(names.keys())[:SHOWN])) or "nothing"
        msg = f"{caller}: names has none of the items, such as {', '.join(map(repr, ids[:SHOWN]))}; it has {given}."
        raise SchemaError(msg)
    return [by_id.get(item_id) for item_id in ids]


def _in_one_line(name: Any) -> str:
    """Write a name without the spaces that files pad it with; nothing where it is missing."""
    return " ".join(str(name).split()) if isinstance(name, (str, numbers.Integral)) else ""
