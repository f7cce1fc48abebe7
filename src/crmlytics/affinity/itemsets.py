"""Which items are bought together: frequent itemsets, counted exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._baskets import read_baskets
from crmlytics._lists import list_column, table_with_lists
from crmlytics._names import names_of
from crmlytics._support import check_wanted
from crmlytics._validation import as_bytes, warn
from crmlytics.affinity._cluster import is_on_cluster, mine_on_cluster
from crmlytics.affinity._mining import Wanted, mine_in_memory
from crmlytics.affinity.hierarchy import lifted, parents_of, read_hierarchy
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Products, Transactions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._baskets import Basket
    from crmlytics._frames import Engine
    from crmlytics._kernels.itemset_tree import ItemsetTree

CALLER = "frequent_itemsets"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Itemsets:
    """Frequent itemsets: compact in memory, a table when asked (:meth:`to_frame`).

    Attributes
    ----------
    tree : ItemsetTree
        The itemsets with their exact counts, twelve bytes each.
    rows : int32 array
        The rows of the tree that were asked for: all of them, or only the closed, the maximal, the most frequent.
    item_ids : array, shape (items,)
        The id of each item code.
    min_count : int
        The least number of baskets an itemset was kept for.
    max_len : int or None
        The most items an itemset could have; None: as many as there are.
    distinct_item_count : int or None
        How many items the baskets hold, frequent or not: the search was over all of them. None where nobody said.
    kind : {"all", "closed", "maximal"}
        Which itemsets these are.
    item : str
        What an item is: the role, such as ``"product_id"``; names the columns of what is made from these itemsets.
    basket : str or tuple
        What a basket is.
    engine : Engine
        The kind of dataframe that came in, and that results go out as.
    hierarchy : dict or None
        From each item id to the id of what stands next above it, where itemsets were mined with a hierarchy.
    """

    tree: ItemsetTree
    rows: NDArray[np.int32]
    item_ids: NDArray[Any]
    min_count: int
    max_len: int | None
    distinct_item_count: int | None
    kind: str
    item: str
    basket: Basket
    engine: Engine
    hierarchy: dict[str, str] | None = None

    @property
    def parents(self) -> NDArray[np.int32] | None:
        """The code of what stands next above each item code, -1 for nothing; None without a hierarchy."""
        return None if self.hierarchy is None else parents_of(self.item_ids, self.hierarchy)

    @property
    def basket_count(self) -> int:
        """How many baskets there were, also those without a frequent item."""
        return self.tree.basket_count

    def __len__(self) -> int:
        """Return how many itemsets there are."""
        return len(self.rows)

    def to_frame(self, *, names: Any = None) -> Any:
        """Return the itemsets as a table of the kind that came in, the most frequent first.

        Columns: ``itemset`` (List of ids, sorted), ``length`` (Int64), ``basket_count`` (Int64), ``support`` (Float64,
        the share of all baskets).

        With ``names``, a mapping from item id to name, the lists hold names (String, in the order of the ids; an item
        without one is called by its id).
        """
        labels = None if names is None else names_of(self.item_ids.tolist(), names, caller="Itemsets.to_frame")
        rows = self.rows[self.order()]
        count = self.tree.count[rows].astype(np.int64)
        starts, codes = self.tree.members(rows, order=self.id_order())
        columns = {
            "itemset": list_column(starts, codes, self.item_ids if labels is None else np.array(labels, object)),
            "length": np.diff(starts),
            "basket_count": count,
            "support": count / max(self.basket_count, 1),
        }
        return table_with_lists(self.engine, columns)

    def id_order(self) -> NDArray[np.int32]:
        """Return the place of each item code among the sorted ids."""
        order = np.empty(len(self.item_ids), np.int32)
        order[np.argsort(self.item_ids, kind="stable")] = np.arange(len(order), dtype=np.int32)
        return order

    def order(self) -> NDArray[np.int64]:
        """Return how the rows stand in a table: the most frequent first, then the shortest, then as mined."""
        lengths, counts = self.tree.lengths()[self.rows].astype(np.int64), self.tree.count[self.rows]
        return np.lexsort((self.rows, lengths, -counts))

    def __repr__(self) -> str:
        """Say how many there are, of how many baskets."""
        kind = "" if self.kind == "all" else f"{self.kind} "
        return (
            f"Itemsets: {len(self):,} {kind}itemsets of {self.item} in at least {self.min_count:,} "
            f"of {self.basket_count:,} baskets (.to_frame())"
        )


def frequent_itemsets(
    transactions: Transactions | Any,
    min_support: float | None = None,
    *,
    max_len: int | None = None,
    min_len: int = 1,
    kind: str = "all",
    top_k: int | None = None,
    basket: Basket = "order_id",
    item: str = "product_id",
    hierarchy: Products | Any | None = None,
    max_memory: str | int = "2GB",
) -> Itemsets:
    """Find the sets of items that are in the same basket often.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs the roles that ``basket`` and ``item`` name. Lines of one order and item count once. An item is in a
        basket if more of it was bought than returned there (by ``quantity``, else by ``amount``); a basket from which
        everything was returned, such as a credit note, is none. Lines without a customer are set aside where a
        customer column is bound: bind ``customer_id=None`` to keep anonymous baskets.
    min_support : int or float, optional
        A whole number: in at least so many baskets. A fraction: in at least this share of all baskets, decided
        exactly (1% of 9,835 baskets is 99). May be left out with ``top_k``.
    max_len, min_len : int
        The most and the fewest items of an itemset. Closed and maximal are judged against all itemsets, long ones too.
    kind : {"all", "closed", "maximal"}
        ``"closed"``: only sets to which no item can be added without losing baskets (no information is lost).
        ``"maximal"``: only sets to which no item can be added without falling below ``min_support``.
    top_k : int, optional
        Only the most frequent; among equals short ones and rare items first. With ``min_len=2``, the most frequent
        combinations.
    basket : "order_id", "customer_id" or a customer's days such as ("customer_id", "7d")
        What counts as bought together: in one order (of one customer), ever by one customer, or by one customer within
        a window of days (windows are counted off from 1970-01-01).
    item : {"product_id", "category", "channel", "partner_id"}
        What the items are.
    hierarchy : Products or dataframe, optional
        What stands above the items: ``category`` and/or ``department`` of each ``product_id``, or the ``department``
        of each ``category`` where that is the item. A basket then holds its items and all that stands above them, and
        no itemset holds an item and one above it. All ids are text: products as they are, ``"category: DAIRY"``,
        ``"department: FOOD"``; a category in two departments is two, ``"category: SNACKS (PETS)"``. Only with
        ``kind="all"``. Items without anything above them stand for themselves, and their number is told.
    max_memory : str or int
        Mining stops with an error before it takes more than this.

    Returns
    -------
    Itemsets
        ``.to_frame()`` is the table; :func:`association_rules` goes on from it.

    Raises
    ------
    ResultTooLargeError
        More itemsets than ``max_memory`` holds: the message says what to tighten.

    Notes
    -----
    Counts are exact whole numbers. Huge baskets cost time with the square of their size, no memory: nothing is ever
    one-hot encoded. An item that is in nearly every basket (a carrier bag, postage) doubles the number of itemsets and
    says nothing: filter it out first.

    Examples
    --------
    >>> import pandas as pd
    >>> lines = pd.DataFrame({
    ...     "order_id": [1, 1, 2, 2, 2, 3], "product_id": ["tea", "milk", "tea", "milk", "jam", "tea"],
    ... })
    >>> frequent_itemsets(lines, min_support=2).to_frame()
               itemset  length  basket_count   support
    0          ['tea']       1             3  1.000000
    1         ['milk']       1             2  0.666667
    2  ['milk' 'tea']       2             2  0.666667
    """
    wanted = Wanted(min_support, max_len, min_len, kind, top_k, as_bytes(max_memory, caller=CALLER))
    check_wanted(
        min_support=min_support, min_len=min_len, max_len=max_len, kind=kind, top_k=top_k, of="baskets", caller=CALLER
    )
    table = Transactions.bind(transactions)
    if hierarchy is not None:
        _refuse_with_hierarchy(kind, table)
    if is_on_cluster(table):
        parent_of, mined = None, mine_on_cluster(table, wanted, basket=basket, item=item, caller=CALLER)
    else:
        parent_of = None if hierarchy is None else read_hierarchy(hierarchy, table, item=item, caller=CALLER)
        baskets = read_baskets(table, basket=basket, item=item, caller=CALLER)
        if not len(baskets):
            warn(f"{CALLER}: no basket holds anything: every item was returned, or no line is left (see .audit).")
        baskets = baskets if parent_of is None else lifted(baskets, parent_of, caller=CALLER)
        mined = mine_in_memory(baskets, wanted, parent_of, caller=CALLER)
    return Itemsets(
        tree=mined.tree, rows=mined.rows, item_ids=mined.item_ids, min_count=mined.min_count, max_len=max_len,
        distinct_item_count=mined.distinct_item_count, kind=kind, item=item, basket=basket,
        engine=table.engine.without_table, hierarchy=parent_of,
    )  # fmt: skip


def _refuse_with_hierarchy(kind: str, table: Transactions) -> None:
    if kind != "all":
        msg = (
            f"{CALLER}: kind={kind!r} does not go with hierarchy=: what is always above an item would close every set. "
            'Type kind="all", and prune rules with without_implied(rules).'
        )
        raise SchemaError(msg)
    if is_on_cluster(table):
        msg = f"{CALLER}: hierarchy= is not handed to Spark. Collect the lines first: transactions.toPandas()."
        raise SchemaError(msg)
