"""What stands above an item: the category of a product, the department of a category.

R. Srikant, R. Agrawal (1995), "Mining generalized association rules", VLDB: a basket holds its items and all that
stands above them, and no itemset holds an item together with one above it, which would say nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._baskets import packed, read_baskets, recoded
from crmlytics._frames import collect
from crmlytics._validation import check_choice, warn
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.tables import Products, check_same_ids

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from crmlytics._baskets import Baskets
    from crmlytics.affinity.itemsets import Itemsets
    from crmlytics.tables import Transactions

    Ints = NDArray[np.int32]

ABOVE = {"product_id": ("category", "department"), "category": ("department",)}  # nearest first
SHOWN = 5


def read_hierarchy(products: Products | Any, table: Transactions, *, item: str, caller: str) -> dict[str, str]:
    """Read what stands above each item: from its id, as text, to that of the next level, such as "category: DAIRY".

    A level that an item does not have is passed over: a product without a category stands below its department. A
    category of the same name in two departments is two categories, ``"category: SNACKS (FOOD)"`` and
    ``"category: SNACKS (PETS)"``, and that is told.

    Parameters
    ----------
    products : Products or dataframe, one row per product
        Needs the role that ``item`` names, and ``category`` or ``department`` (``department`` where an item is a
        category).
    table : Transactions
        Whose items these are: ids must be of the same kind.
    item : {"product_id", "category"}
    caller : str
        Who asks, for messages.
    """
    check_choice(item, ABOVE, name="item", caller=f"{caller}(hierarchy=...)")
    products = Products.bind(products)
    levels = _levels(products, item, caller=caller)
    check_same_ids([table, products], role=item, caller=caller)
    found = collect(products.need(item, *levels, caller=caller).unique()).to_arrow()
    columns = {name: found[name].to_pylist() for name in (item, *levels)}
    _refuse_several(columns[item], item, levels, caller=caller)
    paths = _named(columns, levels, caller=caller)
    parent_of: dict[str, str] = {}
    for item_id, path in zip(columns[item], paths, strict=True):
        chain = [str(item_id), *(name for name in path if name is not None)]
        if item_id is not None:
            parent_of |= pairwise(chain)
    _refuse_names_of_levels(columns[item], set(parent_of.values()), caller=caller)
    return parent_of


def lifted(
    baskets: Baskets, parent_of: Mapping[str, str], *, known: NDArray[Any] | None = None, caller: str | None = None
) -> Baskets:
    """Add to each basket what stands above its items; ids become text, values add up.

    Codes are those of ``known``, if it is given; otherwise they rise with frequency, ties by id. With ``caller``, items
    that have nothing above them are told.
    """
    leaves = [str(item_id) for item_id in baskets.item_ids.tolist()]
    if caller is not None:
        _tell_lonely(leaves, parent_of, caller=caller)
    ids = _with_all_above(leaves, parent_of)
    place = {item_id: number for number, item_id in enumerate(ids.tolist())}
    leaf = np.array([place[item_id] for item_id in leaves], dtype=np.int64)
    chains = np.column_stack([leaf, ancestors_of(parents_of(ids, parent_of))[leaf]])[baskets.items]
    basket = np.repeat(np.arange(len(baskets)), np.diff(baskets.starts))
    keys, entry = np.unique((basket[:, None] * len(ids) + chains)[chains >= 0], return_inverse=True)
    values = None
    if baskets.values is not None:
        each = np.broadcast_to(baskets.values[:, None], chains.shape)[chains >= 0]
        values = np.bincount(entry, each, len(keys)).astype(np.float64)
    return _coded(baskets, keys // max(len(ids), 1), keys % max(len(ids), 1), values, (ids, known))


def read_baskets_of(itemsets: Itemsets, transactions: Transactions | Any, *, caller: str, **options: Any) -> Baskets:
    """Read transactions into baskets as ``itemsets`` have them, in their codes; ``options`` as :func:`read_baskets`."""
    options = {"basket": itemsets.basket, "item": itemsets.item, "caller": caller, **options}
    if itemsets.hierarchy is None:
        return read_baskets(transactions, known=itemsets.item_ids, **options)
    return in_codes_of(read_baskets(transactions, **options), itemsets)


def in_codes_of(baskets: Baskets, itemsets: Itemsets) -> Baskets:
    """Give the items of baskets the codes of ``itemsets`` and add what stands above them; others are left out."""
    if itemsets.hierarchy is not None:
        return lifted(baskets, itemsets.hierarchy, known=itemsets.item_ids)
    basket = np.repeat(np.arange(len(baskets)), np.diff(baskets.starts))
    codes = baskets.items.astype(np.int64)
    return _coded(baskets, basket, codes, baskets.values, (baskets.item_ids, itemsets.item_ids))


def parents_of(item_ids: NDArray[Any], parent_of: Mapping[str, str]) -> Ints:
    """Return the code of what stands next above each item code; -1: nothing."""
    code = {item_id: number for number, item_id in enumerate(item_ids.tolist())}
    return np.array([code.get(parent_of.get(item_id, ""), -1) for item_id in item_ids.tolist()], dtype=np.int32)


def ancestors_of(parents: Ints) -> Ints:
    """Return all that stands above each item code, nearest first, filled up with -1: shape (items, levels)."""
    levels, above = [], parents
    while (above >= 0).any():
        levels.append(above)
        above = np.where(above >= 0, parents[above], np.int32(-1))
    return np.column_stack(levels) if levels else np.empty((len(parents), 0), np.int32)


# -- inside --------------------------------------------------------------------------------------------------------


def _levels(products: Products, item: str, *, caller: str) -> list[str]:
    levels = [name for name in ABOVE[item] if products.has(name)]
    if not levels:
        first, wanted = ABOVE[item][0], " or ".join(ABOVE[item])
        msg = (
            f"{caller}: hierarchy= needs {wanted} above {item}, and Products has {list(products.sources)}. "
            f"Name yours: Products(data, {first}='<your column>')."
        )
        raise MissingColumnsError(msg)
    return levels


def _refuse_several(ids: list[Any], item: str, levels: list[str], *, caller: str) -> None:
    seen: set[Any] = set()
    several = sorted({item_id for item_id in ids if item_id in seen or seen.add(item_id)} - {None})  # type: ignore[func-returns-value]
    if several:
        msg = (
            f"{caller}: hierarchy= must have one {' and one '.join(levels)} for each {item}, but {several[:SHOWN]} "
            f"{'has' if len(several) == 1 else 'have'} several. Keep one row of each."
        )
        raise SchemaError(msg)


def _refuse_names_of_levels(ids: list[Any], above: set[str], *, caller: str) -> None:
    taken = sorted(above.intersection(map(str, ids)))
    if taken:
        msg = f"{caller}: some products are named like levels above them: {taken[:SHOWN]}. Rename one or the other."
        raise SchemaError(msg)


def _named(columns: dict[str, list[Any]], levels: list[str], *, caller: str) -> list[tuple[str | None, ...]]:
    """Return the names of what stands above each row; a category in several departments is told apart by them."""
    names = [[None if value is None else f"{level}: {value}" for value in columns[level]] for level in levels]
    if len(levels) == 2:
        pairs = {pair for pair in zip(*names, strict=True) if pair[0] is not None}
        departments = Counter(name for name, _ in pairs)
        shared = sorted(name for name, count in departments.items() if count > 1)
        if shared:
            warn(
                f"{caller}: {len(shared):,} categories are in more than one department, such as {shared[:3]}: each "
                f"is taken for as many categories, named like '{shared[0]} (<department>)'."
            )
        names[0] = [
            f"{name} ({department})" if name and departments[name] > 1 and department is not None else name
            for name, department in zip(names[0], columns["department"], strict=True)
        ]
    return list(zip(*names, strict=True))


def _with_all_above(leaves: list[str], parent_of: Mapping[str, str]) -> NDArray[Any]:
    """Return the ids of items and of all that stands above them, sorted."""
    found, level = set(leaves), set(leaves)
    while level := {parent_of[item_id] for item_id in level if item_id in parent_of}:
        found |= level
    return np.array(sorted(found), dtype=object)


def _tell_lonely(leaves: list[str], parent_of: Mapping[str, str], *, caller: str) -> None:
    lonely = [item_id for item_id in leaves if item_id not in parent_of]
    if lonely:
        warn(
            f"{caller}: {len(lonely):,} of {len(leaves):,} items bought have nothing above them in the hierarchy, "
            f"such as {sorted(lonely)[:SHOWN]}: they stand for themselves only."
        )


def _coded(
    baskets: Baskets,
    basket: NDArray[np.int64],
    codes: NDArray[np.int64],
    values: NDArray[np.float64] | None,
    ids: tuple[NDArray[Any], NDArray[Any] | None],
) -> Baskets:
    """Return the baskets with these entries instead, in the codes that :func:`read_baskets` would give."""
    coded, item_ids = recoded(codes, *ids)
    of_basket = basket.astype(np.int32)
    starts, items, values = packed(of_basket, coded, values, (len(baskets), len(item_ids)))
    return replace(baskets, starts=starts, items=items, item_ids=item_ids, values=values)
