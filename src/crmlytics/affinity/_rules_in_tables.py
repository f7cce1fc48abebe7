"""Rules in tables of lists, recognised by the ids of their items: the way back from a table to the rule set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import collect, columns_of, enter
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.affinity.itemsets import Itemsets
    from crmlytics.affinity.rules import RuleSet

CALLER = "RuleSet.matching"
SIDES = ("antecedent", "consequent")
TABLES = "a table as RuleSet.to_frame, significant_rules, contrast_table or describe_rules return it"


def positions_in(rules: RuleSet, table: Any) -> NDArray[np.int64]:
    """Return where in ``rules`` the rules stand that the rows of ``table`` name: in its order, each once."""
    lists = _lists(table)
    wanted = _as_number(*(_rows(rules.itemsets, column) for column in lists))
    known, place = np.unique(_as_number(rules.antecedent, rules.consequent), return_index=True)
    if not len(wanted):
        return np.zeros(0, np.int64)
    near = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    strange = known[near] != wanted if len(known) else np.ones(len(wanted), bool)
    if strange.any():
        raise SchemaError(_no_rules_of(rules, lists, strange))
    positions = place[near]
    first = np.sort(np.unique(positions, return_index=True)[1])
    chosen: NDArray[np.int64] = positions[first]
    return chosen


def _lists(table: Any) -> list[Any]:
    """Return the two sides as Arrow arrays of lists."""
    import pyarrow as pa

    frame, _ = enter(table, caller=CALLER)
    missing = [name for name in SIDES if name not in columns_of(frame)]
    if missing:
        msg = f"{CALLER} needs the columns {missing}, got {columns_of(frame)}. Give {TABLES}."
        raise MissingColumnsError(msg)
    rows = collect(frame.select(*SIDES))
    try:
        table = rows.to_arrow()
        both = [table[name].combine_chunks() for name in SIDES]
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # such as sets
        both = []
    if not both or (len(rows) and not all(_is_list(column.type) for column in both)):
        msg = (
            f"{CALLER}: antecedent and consequent must be lists of item ids, the first row has {rows[SIDES[0]][0]!r} "
            f"and {rows[SIDES[1]][0]!r}. Give {TABLES}, not read back from a text file."
        )
        raise SchemaError(msg)
    return both


def _is_list(dtype: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(dtype) or pa.types.is_large_list(dtype))


def _rows(itemsets: Itemsets, lists: Any) -> NDArray[np.int32]:
    """Return the row of the tree for each list of ids, -1 where it has none."""
    import pyarrow.compute as pc

    from crmlytics._kernels.itemset_index import index_of, rows_of_sets

    if not len(lists):
        return np.zeros(0, np.int32)
    code_of = {item_id: code for code, item_id in enumerate(itemsets.item_ids.tolist())}
    ids = lists.flatten().dictionary_encode()
    codes = np.array([code_of.get(item_id, -1) for item_id in ids.dictionary.to_pylist()] + [-1], np.int32)
    flat = codes[ids.indices.fill_null(-1).to_numpy(zero_copy_only=False)]  # a missing id: the last of codes
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return rows_of_sets(itemsets.tree, index_of(itemsets.tree), np.append(0, np.cumsum(lengths)), flat)


def _as_number(antecedent: NDArray[np.int32], consequent: NDArray[np.int32]) -> NDArray[np.int64]:
    """Write the two rows of a rule as one number; below zero where there is no such itemset."""
    number: NDArray[np.int64] = (antecedent.astype(np.int64) << 32) | consequent  # all bits of -1 are set
    return number


def _no_rules_of(rules: RuleSet, lists: list[Any], strange: NDArray[np.bool_]) -> str:
    antecedent, consequent = (column[int(np.argmax(strange))].as_py() for column in lists)
    such_as = f", such as {rules.itemsets.item_ids[-1:].tolist()}" if len(rules.itemsets.item_ids) else ""
    return (
        f"{CALLER}: {strange.sum():,} of {len(strange):,} rows are no rule of this set, the first "
        f"{antecedent} -> {consequent}. Rules are known by their item ids{such_as}: a table with names=... has none. "
        "Call it on the rules that the table was made from, before they were filtered."
    )
