"""Which purchases or clicks follow one another often: sequential patterns, counted exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import list_column, lists_of_lists, table_with_lists, text_of_lists
from crmlytics._names import names_of
from crmlytics._sequences import offsets
from crmlytics._support import check_wanted
from crmlytics._validation import as_bytes, check_count, warn
from crmlytics.exceptions import SchemaError
from crmlytics.sequences._checks import check_patterns
from crmlytics.sequences._cluster import is_on_cluster, mine_on_cluster
from crmlytics.sequences._mining import Wanted, mine_in_memory
from crmlytics.sequences._occurrences import holding
from crmlytics.sequences._reading import bind, ids_of, layout_of, limits_in_moments, read

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._frames import Engine
    from crmlytics._kernels.sequence_tree import SequenceTree
    from crmlytics._sequences import Sequences
    from crmlytics.sequences._reading import Layout
    from crmlytics.tables import Events, Transactions

CALLER = "frequent_sequences"
FEATURES = "pattern_features"
MOST_FEATURES = 1_000
THEN, WITH = " > ", " + "  # between elements, and between items of one


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SequencePatterns:
    """Frequent sequential patterns: compact in memory, a table when asked (:meth:`to_frame`).

    Attributes
    ----------
    tree : SequenceTree
        The patterns with their exact counts, thirteen bytes each.
    rows : int32 array
        The rows of the tree that were asked for, in order: all, or only the closed, the maximal, the most frequent.
    item_ids : array, shape (items,)
        The id of each item code.
    sequences : Sequences or None
        What they were mined in, for times and tests; None where Spark mined them.
    layout : Layout
        What a sequence, an element and an item are.
    limits : tuple of three int, or None
        ``min_gap``, ``max_gap`` and ``window`` in days (events: microseconds), -1 for none.
    min_count : int
        The least number of sequences a pattern was kept for; of the ``top_k`` the number of the last one.
    kind : {"all", "closed", "maximal"}
        Which patterns these are.
    engine : Engine
        The kind of dataframe that came in, and that results go out as.
    """

    tree: SequenceTree
    rows: NDArray[np.int32]
    item_ids: NDArray[Any]
    sequences: Sequences | None
    layout: Layout
    limits: tuple[int, int, int] | None
    min_count: int
    kind: str
    engine: Engine

    @property
    def sequence_count(self) -> int:
        """How many sequences (customers or sessions) there were: those with at least one item that was kept."""
        return self.tree.sequence_count

    def __len__(self) -> int:
        """Return how many patterns there are."""
        return len(self.rows)

    def top(self, n: int) -> SequencePatterns:
        """Keep the ``n`` patterns that stand first: the most frequent, the shorter among equals."""
        return replace(self, rows=self.rows[: check_count(n, name="n", caller="SequencePatterns.top")])

    def to_frame(self, *, names: Any = None) -> Any:
        """Return the patterns as a table of the kind that came in, the most frequent first.

        Columns: ``pattern`` (List of Lists of ids: elements in order, the items of each sorted), ``text`` (String, to
        read: ``"tea > milk + jam"`` is tea, and later milk and jam together), ``length`` (Int64, items),
        ``element_count`` (Int64), ``sequence_count`` (Int64, the sequences that hold the pattern, however often),
        ``support`` (Float64, their share of all).

        With ``names``, a mapping from item id to name, the text holds names; the lists hold ids.
        """
        count = self.tree.count[self.rows].astype(np.int64)
        columns = {
            "pattern": self.lists(self.rows),
            "text": self.texts(self.rows, names=names, caller="SequencePatterns.to_frame"),
            "length": self.tree.lengths()[self.rows].astype(np.int64),
            "element_count": self.tree.element_counts()[self.rows].astype(np.int64),
            "sequence_count": count,
            "support": count / max(self.sequence_count, 1),
        }
        return table_with_lists(self.engine, columns)

    def lists(self, rows: NDArray[np.int32], labels: NDArray[Any] | None = None) -> Any:
        """Return rows of the tree as an Arrow array of lists of lists: of ids, or of the ``labels`` of their codes."""
        _, codes, joined = self.tree.members(rows)
        if joined.any():  # else nothing stands beside something else
            rank = np.empty(len(self.item_ids), np.int64)
            rank[np.argsort(self.item_ids, kind="stable")] = np.arange(len(rank))
            codes = codes[np.lexsort((rank[codes], np.cumsum(~joined)))]
        inner = np.append(np.flatnonzero(~joined), len(codes))
        elements = list_column(inner, codes, self.item_ids if labels is None else labels)
        return lists_of_lists(offsets(self.tree.element_counts()[rows].astype(np.int64)), elements)

    def texts(self, rows: NDArray[np.int32], *, names: Any = None, caller: str) -> NDArray[Any]:
        """Return rows of the tree as text to read."""
        labels = names_of(self.item_ids.tolist(), names, caller=caller)
        return text_of_lists(self.lists(rows, np.array(labels, object)), THEN, WITH)

    def __repr__(self) -> str:
        """Say how many there are, in how many sequences."""
        kind = "" if self.kind == "all" else f"{self.kind} "
        return (
            f"SequencePatterns: {len(self):,} {kind}patterns of {self.layout.item} in at least {self.min_count:,} "
            f"of {self.sequence_count:,} {self.layout.whose} (.to_frame())"
        )


def frequent_sequences(
    data: Transactions | Events | Any,
    min_support: float | None = None,
    *,
    max_gap: Any = None,
    min_gap: Any = None,
    window: Any = None,
    max_len: int | None = None,
    min_len: int = 1,
    max_element_len: int | None = None,
    kind: str = "all",
    top_k: int | None = None,
    item: str | None = None,
    by: str = "customer_id",
    element: str | None = None,
    as_of: Any = None,
    max_memory: str | int = "2GB",
) -> SequencePatterns:
    """Find what many customers buy, or click, one after another.

    A pattern is a row of elements, each a set of items: ``tea > milk + jam`` is held by a customer who bought tea and,
    on a later day, milk and jam, whatever came in between. It counts once a customer, however often it occurs.

    Parameters
    ----------
    data : Transactions, Events or dataframe
        One row per order line or event. A dataframe with an ``event`` column holds events. Order lines need
        ``customer_id``, ``timestamp`` and the roles of ``item`` and ``element``; events ``timestamp`` and the roles of
        ``item`` and ``by``. What was returned within an element was not bought.
    min_support : int or float, optional
        A whole number: held by at least so many sequences. A fraction: by at least this share of all, decided exactly;
        all are those with at least one item: who returned everything, or has no line with ``item``, is none. May be
        left out with ``top_k``.
    max_gap, min_gap : duration, optional
        The most and the least time from one element of the pattern to the next, both included: ``max_gap="30d"`` allows
        30 calendar days, not 31. Order lines: days or weeks. Events: also ``"90s"``, ``"30m"``, ``"12h"``.
    window : duration, optional
        The most time from the first element of the pattern to the last.
    max_len, min_len : int
        The most and the fewest items of a pattern, over all its elements.
    max_element_len : int, optional
        The most items of one element; 1: what follows what, not what is bought together.
    kind : {"all", "closed", "maximal"}
        ``"closed"``: only patterns to which no item can be added, anywhere, without losing sequences (no count is
        lost). ``"maximal"``: only those to which none can be added without falling below ``min_support``. Judged
        against patterns of any length; with limits of time, among the patterns that keep to them.
    top_k : int, optional
        Only the most frequent; among equals short ones and rare items first.
    item : str, optional
        What the items are. Order lines: ``"product_id"`` (default), ``"category"``, ``"channel"``, ``"partner_id"``.
        Events: ``"event"`` (default), ``"page"``, ``"channel"``.
    by : {"customer_id", "session_id"}
        Whose events are a sequence: all of a customer, or those of one session. Orders are a customer's.
    element : {"day", "order_id"}, optional
        What stands together among order lines: a customer's day (default), or an order. Orders of the same moment
        follow each other in order of their ids, so that dates without hours, or ids of text ("10" sorts before "9"),
        want ``"day"``. Events of the same moment stand together: neither follows the other.
    as_of : date, optional
        Only lines before it.
    max_memory : str or int
        Mining stops with an error before the patterns, as a table of 250 bytes each, would take more than this.

    Returns
    -------
    SequencePatterns
        ``.to_frame()`` is the table; :func:`sequence_rules` and :func:`pattern_features` go on from it.

    Raises
    ------
    SchemaError
        Arguments that do not go together; limits of time on Spark.
    ResultTooLargeError
        More patterns than ``max_memory`` holds: the message says what to tighten.

    Notes
    -----
    R. Agrawal, R. Srikant, "Mining sequential patterns", ICDE 1995. Found by prefix projection (J. Pei et al.,
    "PrefixSpan", ICDE 2001) or in bitmaps (J. Ayres et al., "Sequential pattern mining using a bitmap representation",
    KDD 2002), whichever suits the data; with limits of time in lists of occurrences (M. Zaki, "Sequence mining in
    categorical domains: incorporating constraints", CIKM 2000). On PySpark frames by MLlib's PrefixSpan, with the same
    counts; times and tests of rules are then not known.

    *When not to use it*: customers with hundreds of days hold every order of frequent items, so that without
    ``max_gap`` a pattern says little more than that its items are popular, and there are millions. For shops visited
    weekly begin with ``max_len=3, max_element_len=1, max_gap="30d"``, and look at ``order_lift`` of
    :func:`sequence_rules`.

    Examples
    --------
    >>> import pandas as pd
    >>> lines = pd.DataFrame({
    ...     "customer_id": ["ann", "ann", "bob", "bob", "bob"],
    ...     "order_id": [1, 2, 3, 4, 4],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-20", "2024-01-05", "2024-02-01", "2024-02-01"]),
    ...     "product_id": ["printer", "ink", "printer", "ink", "paper"],
    ... })
    >>> patterns = frequent_sequences(lines, min_support=2, max_gap="30d")
    >>> patterns.to_frame()[["text", "length", "sequence_count", "support"]]
                text  length  sequence_count  support
    0            ink       1               2      1.0
    1        printer       1               2      1.0
    2  printer > ink       2               2      1.0
    """
    table = bind(data, caller=CALLER)
    layout = layout_of(table, item=item, by=by, element=element, caller=CALLER)
    limits = limits_in_moments(layout, {"min_gap": min_gap, "max_gap": max_gap, "window": window}, caller=CALLER)
    wanted = Wanted(
        min_support, max_len, min_len, max_element_len, kind, top_k, as_bytes(max_memory, caller=CALLER), limits
    )
    check_wanted(
        min_support=min_support, min_len=min_len, max_len=max_len, kind=kind, top_k=top_k, of="customers", caller=CALLER
    )
    if max_element_len is not None:
        check_count(max_element_len, name="max_element_len", caller=CALLER)
    if is_on_cluster(table):
        sequences, mined = None, mine_on_cluster(table, wanted, layout, as_of=as_of, caller=CALLER)
    else:
        sequences = read(table, layout, as_of=as_of, caller=CALLER)
        if not len(sequences):
            warn(f"{CALLER}: there is no sequence: no line with {layout.item} is left (see .audit).")
        mined = mine_in_memory(sequences, wanted, caller=CALLER)
    lengths, counts = mined.tree.lengths()[mined.rows], mined.tree.count[mined.rows]
    return SequencePatterns(
        tree=mined.tree, rows=mined.rows[np.lexsort((mined.rows, lengths, -counts))], item_ids=mined.item_ids,
        sequences=sequences, layout=layout, limits=limits, min_count=mined.min_count, kind=kind,
        engine=table.engine.without_table,
    )  # fmt: skip


def pattern_features(
    patterns: SequencePatterns, data: Transactions | Events | Any, *, as_of: Any, names: Any = None
) -> Any:
    """Say of every customer which patterns they hold before ``as_of``: features for a model of something later.

    Parameters
    ----------
    patterns : SequencePatterns
        A handful, such as ``frequent_sequences(..., top_k=30, min_len=2)``: at most 1,000.
    data : Transactions, Events or dataframe
        Of the kind that the patterns were mined in. Mine them before ``as_of`` as well, or the features know the
        future.
    as_of : date
        Only lines before it.
    names : mapping, optional
        Item id to the name that stands in the columns' names.

    Returns
    -------
    dataframe of the kind that came in, one row per customer (or session) with a line before ``as_of``, sorted by id
        ``customer_id`` (or ``session_id``; Int64 or String), and a column for each pattern, named by its text such as
        ``"tea > milk"`` (Boolean: whether it is held, within the limits of time it was mined with). Who returned
        everything, or has no line with an item, is there too, and holds nothing.

    Examples
    --------
    >>> import pandas as pd
    >>> lines = pd.DataFrame({
    ...     "customer_id": ["ann", "ann", "bob"], "order_id": [1, 2, 3], "product_id": ["printer", "ink", "ink"],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-20", "2024-01-05"]),
    ... })
    >>> patterns = frequent_sequences(lines, min_support=1, min_len=2)
    >>> pattern_features(patterns, lines, as_of="2024-02-01")
      customer_id  printer > ink
    0         ann           True
    1         bob          False
    """
    check_patterns(patterns, caller=FEATURES)
    if len(patterns) > MOST_FEATURES:
        msg = f"{FEATURES}: {len(patterns):,} patterns would be as many columns. Choose: patterns.top(30)."
        raise SchemaError(msg)
    table = bind(data, caller=FEATURES)
    sequences = read(table, patterns.layout, as_of=as_of, known=patterns.item_ids, caller=FEATURES)
    texts = patterns.texts(patterns.rows, names=names, caller=FEATURES)
    ids = ids_of(table, patterns.layout, as_of=as_of, caller=FEATURES)
    held = np.zeros((len(ids), len(texts)), bool)
    found = holding(patterns.tree.members(patterns.rows), sequences, patterns.limits)
    held[np.searchsorted(ids, sequences.sequence_ids)] = found
    features = {text: held[:, place] for place, text in enumerate(texts)}
    if len(features) < len(texts):  # ids with " > " or " + " in them
        raise SchemaError(f"{FEATURES}: some patterns read alike. Give items other names, with names={{id: name}}.")
    return table_with_lists(table.engine, {patterns.layout.by: ids} | features)
