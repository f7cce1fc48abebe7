"""What a manager reads instead of item ids."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from crmlytics.affinity.itemsets import Itemsets

SHOWN = 3  # ids in a message


def item_names(itemsets: Itemsets, names: Any, *, caller: str) -> list[str]:
    """Return the name of each item code: from ``names``, a mapping or Series by id; the id itself where it has none."""
    ids = itemsets.item_ids.tolist()
    if names is None:
        return list(map(str, ids))
    if not hasattr(names, "get") or not hasattr(names, "keys"):
        msg = f"{caller}: names must be a mapping such as {{item_id: name}}, got {type(names).__name__}."
        raise SchemaError(msg)
    known = set(names.keys())
    if len(known) < len(names):
        msg = f"{caller}: names has {len(names):,} names for {len(known):,} ids. Give each id one name."
        raise SchemaError(msg)
    if ids and known.isdisjoint(ids):
        given = ", ".join(map(repr, list(names.keys())[:SHOWN])) or "nothing"
        msg = f"{caller}: names has none of the items, such as {', '.join(map(repr, ids[:SHOWN]))}; it has {given}."
        raise SchemaError(msg)
    return [_in_one_line(names.get(item_id)) or str(item_id) for item_id in ids]


def _in_one_line(name: Any) -> str:
    """Write a name without the spaces that files pad it with; nothing where it is missing."""
    return " ".join(str(name).split()) if isinstance(name, (str, numbers.Integral)) else ""
