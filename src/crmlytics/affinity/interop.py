"""Itemsets and rules from mlxtend, and for it."""

from __future__ import annotations

from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._baskets import ITEM_ROLES, encode
from crmlytics._frames import Implementation, enter
from crmlytics._validation import check_choice, check_count
from crmlytics.affinity._checks import check_itemsets
from crmlytics.affinity.itemsets import Itemsets
from crmlytics.affinity.rules import RuleSet
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from crmlytics._kernels.itemset_tree import ItemsetTree

ROUNDING = 1e-3  # of a basket: what a support of seven digits leaves of a million baskets
SHOWN = 5  # ids in a message
MLXTEND_MEASURES = {  # its name: ours, in its order; between lift and leverage stands representativity
    "support": "support",
    "confidence": "confidence",
    "lift": "lift",
    "representativity": None,
    "leverage": "leverage",
    "conviction": "conviction",
    "zhangs_metric": "zhang",
    "jaccard": "jaccard",
    "certainty": "certainty",
    "kulczynski": "kulczynski",
}


def to_mlxtend(found: Itemsets | RuleSet) -> Any:
    """Write itemsets or rules as mlxtend has them: a pandas frame with frozensets.

    Parameters
    ----------
    found : Itemsets or RuleSet

    Returns
    -------
    pandas.DataFrame, one row per itemset or rule, in the order of ``found``
        For itemsets, as of ``mlxtend.frequent_patterns.fpgrowth``, the most frequent first: ``support`` (float64, share
        of all baskets), ``itemsets`` (frozenset of ids).
        For rules, as of ``mlxtend.frequent_patterns.association_rules``: ``antecedents``, ``consequents`` (frozensets
        of ids), ``antecedent support``, ``consequent support``, ``support``, ``confidence``, ``lift``,
        ``representativity`` (always 1: no basket has missing values), ``leverage``, ``conviction``, ``zhangs_metric``,
        ``jaccard``, ``certainty``, ``kulczynski`` (float64). A rule without exception has the conviction inf, also
        where every basket holds the consequent, as in mlxtend.

    Notes
    -----
    ``mlxtend.frequent_patterns.association_rules(to_mlxtend(itemsets), num_itemsets=itemsets.basket_count)`` needs
    itemsets of ``kind="all"`` and ``min_len=1``.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.affinity.itemsets import frequent_itemsets
    >>> lines = pd.DataFrame({"order_id": [1, 1, 2, 3, 3], "product_id": ["tea", "milk", "tea", "tea", "milk"]})
    >>> frame = to_mlxtend(frequent_itemsets(lines, min_support=2)).round(2)
    >>> [(support, sorted(itemset)) for support, itemset in frame.itertuples(index=False)]
    [(1.0, ['tea']), (0.67, ['milk']), (0.67, ['milk', 'tea'])]
    """
    import pandas as pd

    if isinstance(found, RuleSet):
        return pd.DataFrame(_rule_columns(found))
    if not isinstance(found, Itemsets):
        msg = f"to_mlxtend: expected Itemsets or a RuleSet, got {type(found).__name__}. Give it before .to_frame()."
        raise SchemaError(msg)
    rows = found.rows[found.order()]
    support = found.tree.count[rows] / max(found.basket_count, 1)
    return pd.DataFrame({"support": support, "itemsets": _sets(found, rows)})


def from_mlxtend(frame: Any, *, basket_count: int, item_count: int | None = None, item: str = "product_id") -> Itemsets:
    """Take over frequent itemsets that mlxtend found, to make rules of them with :func:`association_rules`.

    Parameters
    ----------
    frame : pandas.DataFrame
        What ``apriori``, ``fpgrowth`` or ``hmine`` returned: ``support``, ``itemsets``, with every part of every
        itemset (not what ``fpmax`` returned). Ids are whole numbers or text.
    basket_count : int
        How many baskets were mined: the rows of the one-hot table. mlxtend knows shares only; counts are whole numbers
        again with it.
    item_count : int, optional
        How many different items the baskets held, frequent or not: the columns of the one-hot table,
        ``onehot.shape[1]``. Only :func:`significant_rules` without a holdout needs it, to correct for all rules that
        were possible.
    item : {"product_id", "category", "channel", "partner_id"}
        What the items are: names the columns of what is made from these itemsets.

    Returns
    -------
    Itemsets
        Of ``kind="all"``. Their ``min_count`` is the least count seen, and ``distinct_item_count`` is ``item_count``:
        mlxtend's frame does not say how many infrequent items there were.

    Raises
    ------
    SchemaError
        When a support is no whole number of baskets, a part of an itemset is missing, an itemset is there twice, an id
        is neither a whole number nor text, or ``item_count`` is less than the items of the itemsets.

    Examples
    --------
    >>> import pandas as pd
    >>> found = pd.DataFrame({
    ...     "support": [1.0, 2 / 3, 2 / 3],
    ...     "itemsets": [frozenset(["tea"]), frozenset(["milk"]), frozenset(["tea", "milk"])],
    ... })
    >>> from_mlxtend(found, basket_count=3)
    Itemsets: 3 itemsets of product_id in at least 2 of 3 baskets (.to_frame())
    """
    caller = "from_mlxtend"
    basket_count = check_count(basket_count, name="basket_count", caller=caller)
    check_choice(item, ITEM_ROLES, name="item", caller=caller)
    if "antecedents" in getattr(frame, "columns", ()):
        msg = (
            f"{caller}: this is a frame of rules. Type itemsets = from_mlxtend(<the frame of itemsets they were made "
            "of>, basket_count=...), then association_rules(itemsets) or rules_from_mlxtend(frame, itemsets)."
        )
        raise SchemaError(msg)
    engine = _pandas_engine(frame, ("support", "itemsets"), caller=caller)
    sets = frame["itemsets"].tolist()
    counts = _whole_counts(frame["support"], sets, basket_count, caller=caller)
    tree, item_ids = _tree(sets, counts, basket_count, caller=caller)
    item_count = _all_items(item_count, len(item_ids), caller=caller)
    return Itemsets(
        tree=tree, rows=np.arange(len(tree), dtype=np.int32), item_ids=item_ids,
        min_count=int(tree.count.min(initial=basket_count)), max_len=None, distinct_item_count=item_count,
        kind="all", item=item, basket="order_id", engine=engine.without_table,
    )  # fmt: skip


def rules_from_mlxtend(frame: Any, itemsets: Itemsets) -> RuleSet:
    """Take over rules that mlxtend made, in their order: to describe, plot, filter or recommend by them.

    Parameters
    ----------
    frame : pandas.DataFrame
        What mlxtend's ``association_rules`` returned: ``antecedents``, ``consequents``, ``support``.
    itemsets : Itemsets
        The itemsets of the same baskets, from :func:`from_mlxtend` or :func:`frequent_itemsets`: all counts are theirs.

    Returns
    -------
    RuleSet

    Raises
    ------
    SchemaError
        When ``itemsets`` lacks a side of a rule or both together, or has another support for them.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.affinity.itemsets import frequent_itemsets
    >>> lines = pd.DataFrame({"order_id": [1, 1, 2], "product_id": ["tea", "milk", "tea"]})
    >>> rules = pd.DataFrame({"antecedents": [{"tea"}], "consequents": [{"milk"}], "support": [0.5]})
    >>> len(rules_from_mlxtend(rules, frequent_itemsets(lines, min_support=1)))
    1
    """
    from crmlytics._kernels.itemset_index import index_of, rows_of_sets

    caller = "rules_from_mlxtend"
    check_itemsets(itemsets, caller=caller)
    _pandas_engine(frame, ("antecedents", "consequents", "support"), caller=caller)
    sides = [frame["antecedents"].tolist(), frame["consequents"].tolist()]
    sides.insert(0, [(*antecedent, *consequent) for antecedent, consequent in zip(*sides, strict=True)])
    code_of = {item_id: code for code, item_id in enumerate(itemsets.item_ids.tolist())}
    index, found = index_of(itemsets.tree), []
    for sets in sides:
        starts, flat = _flat(sets)
        codes = np.array([code_of.get(item_id, -1) for item_id in flat], np.int32)
        found.append(rows_of_sets(itemsets.tree, index, starts, codes))
        if (found[-1] < 0).any():
            lacking = sets[int(np.argmax(found[-1] < 0))]
            msg = (
                f"{caller}: a rule needs the itemset {_shown(lacking)}, which itemsets does not have. "
                "Give the itemsets the rules were made of."
            )
            raise SchemaError(msg)
    rules = RuleSet(itemsets, *found)
    _check_supports(frame["support"].to_numpy(float), rules, sides[0], caller=caller)
    return rules


# -- inside --------------------------------------------------------------------------------------------------------


def _rule_columns(rules: RuleSet) -> dict[str, Any]:
    itemsets, baskets = rules.itemsets, max(rules.itemsets.basket_count, 1)
    columns = {
        "antecedents": _sets(itemsets, rules.antecedent),
        "consequents": _sets(itemsets, rules.consequent),
        "antecedent support": rules.antecedent_count / baskets,
        "consequent support": rules.consequent_count / baskets,
    }
    for theirs, ours in MLXTEND_MEASURES.items():
        columns[theirs] = np.ones(len(rules)) if ours is None else rules.measure(ours)
    columns["conviction"] = np.where(rules.both_count == rules.antecedent_count, np.inf, columns["conviction"])
    return columns


def _sets(itemsets: Itemsets, rows: NDArray[np.int32]) -> NDArray[Any]:
    """Return the itemset of each row as a frozenset, made once however often it is there."""
    distinct, place = np.unique(rows, return_inverse=True)
    starts, codes = itemsets.tree.members(distinct)
    ids = itemsets.item_ids[codes].tolist()
    sets = np.empty(len(distinct), object)
    sets[:] = [frozenset(ids[start:end]) for start, end in pairwise(starts.tolist())]
    found: NDArray[Any] = sets[place]
    return found


def _pandas_engine(frame: Any, columns: Collection[str], *, caller: str) -> Any:
    engine = enter(frame, caller=caller)[1]
    if engine.implementation is not Implementation.PANDAS:
        msg = f"{caller}: expected the pandas frame that mlxtend returned, got a {engine.name} table."
        raise SchemaError(msg)
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        msg = f"{caller} needs the columns {missing}, as mlxtend names them, got {list(frame.columns)}."
        raise MissingColumnsError(msg)
    return engine


def _all_items(item_count: int | None, frequent: int, *, caller: str) -> int | None:
    if item_count is None:
        return None
    item_count = check_count(item_count, name="item_count", caller=caller)
    if item_count < frequent:
        msg = (
            f"{caller}: item_count={item_count:,} is less than the {frequent:,} items of the itemsets. Expected how "
            "many different items the baskets held, the columns of the one-hot table: item_count=onehot.shape[1]."
        )
        raise SchemaError(msg)
    return item_count


def _flat(sets: list[Collection[Any]]) -> tuple[NDArray[np.int64], list[Any]]:
    """Return where each set starts, and the ids one set after the other."""
    starts = np.zeros(len(sets) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, sets), np.int64, len(sets)), out=starts[1:])
    return starts, list(chain.from_iterable(sets))


def _whole_counts(support: Any, sets: list[Collection[Any]], basket_count: int, *, caller: str) -> NDArray[np.int32]:
    exact = support.to_numpy(float) * basket_count
    counts = np.round(exact)
    wrong = ~(np.abs(exact - counts) < ROUNDING) | (counts < 1) | (counts > basket_count)
    if wrong.any():
        row = int(np.argmax(wrong))
        msg = (
            f"{caller}: the support {support.iloc[row]} of {_shown(sets[row])} is {exact[row]:,.3f} of "
            f"{basket_count:,} baskets, expected a whole number of them. basket_count is how many rows the one-hot "
            "table had: basket_count=len(onehot). Supports must not be rounded."
        )
        raise SchemaError(msg)
    whole: NDArray[np.int32] = counts.astype(np.int32)
    return whole


def _tree(
    sets: list[Collection[Any]], counts: NDArray[np.int32], basket_count: int, *, caller: str
) -> tuple[ItemsetTree, NDArray[Any]]:
    """Build the tree of complete itemsets, rare items first, and return it with the id of each code."""
    from crmlytics._kernels.tree_of_sets import MissingSetError, tree_of_sets

    starts, flat = _flat(sets)
    found, ids = encode(_typed_ids(flat, caller=caller))
    single = np.diff(starts) == 1
    frequency = np.zeros(len(ids), np.int64)
    frequency[found[starts[:-1][single]]] = counts[single]
    order = np.argsort(frequency, kind="stable")  # ids are sorted: ties by id
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    try:
        tree, _ = tree_of_sets(starts, rank[found], counts, len(ids), basket_count)
        _check_complete(tree)
    except MissingSetError as error:
        lacking = ids[order][error.codes].tolist()
        msg = (
            f"{caller}: {_shown(lacking)} is part of a larger itemset and is not there itself, so its count is not "
            "known. Give all frequent itemsets, as apriori and fpgrowth return them: not those of fpmax, not filtered."
        )
        raise SchemaError(msg) from None
    except ValueError:
        msg = f"{caller}: some itemset is there twice. Drop it: frame.drop_duplicates('itemsets')."
        raise SchemaError(msg) from None
    return tree, ids[order]


def _check_complete(tree: ItemsetTree) -> None:
    """Refuse a tree in which an itemset without one of its items is not there."""
    from crmlytics._kernels.itemset_index import index_of, rows_without
    from crmlytics._kernels.tree_of_sets import MissingSetError

    rows = np.flatnonzero(tree.parent >= 0).astype(np.int32)
    starts, parts = rows_without(tree, index_of(tree), rows)
    if (parts < 0).any():
        place = int(np.argmax(parts < 0))
        row = int(np.searchsorted(starts, place, side="right")) - 1
        codes = tree.members(rows[row : row + 1])[1].tolist()
        del codes[place - int(starts[row])]
        raise MissingSetError(codes)


def _typed_ids(flat: list[Any], *, caller: str) -> Any:
    import pyarrow as pa

    try:
        ids = pa.array(flat, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        ids = None
    if ids is None or (len(flat) and not (pa.types.is_integer(ids.type) or pa.types.is_string(ids.type))):
        kinds = sorted({type(item_id).__name__ for item_id in flat})
        msg = f"{caller}: item ids must be whole numbers or text, all of one kind, got {kinds}."
        raise SchemaError(msg)
    return ids if len(flat) else pa.array([], pa.int64())


def _check_supports(support: NDArray[np.float64], rules: RuleSet, sets: list[Any], *, caller: str) -> None:
    baskets, counts = rules.itemsets.basket_count, rules.itemsets.tree.count[rules.both]
    wrong = ~(np.abs(support * baskets - counts) < ROUNDING)
    if wrong.any():
        row = int(np.argmax(wrong))
        msg = (
            f"{caller}: {_shown(sets[row])} is in {counts[row]:,} of the {baskets:,} baskets of itemsets, and the rule "
            f"says {support[row]:g} of them, {support[row] * baskets:,.3f}. Give itemsets of the same baskets."
        )
        raise SchemaError(msg)


def _shown(item_ids: Collection[Any]) -> str:
    """Write an itemset for a message."""
    ids = sorted(item_ids)
    return str(ids) if len(ids) <= SHOWN else f"{str(ids[:SHOWN])[:-1]}, ...]"
