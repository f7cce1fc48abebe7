"""What is handed to Spark's own library: the only module that imports it."""

from __future__ import annotations

import warnings
from typing import Any


def frequent_itemsets(lines: Any, keys: list[str], item: str, *, min_count: int, basket_count: int) -> Any:
    """Mine itemsets on the cluster with MLlib's FPGrowth: a Spark frame of ``items`` (array) and ``freq``.

    ``lines`` is a Spark frame, one row per basket (``keys``) and item. MLlib takes the least support as a share of the
    baskets and rounds the product up: half a basket less than ``min_count`` is what gives ``min_count``.
    """
    from pyspark.ml.fpm import FPGrowth
    from pyspark.sql.functions import collect_set

    baskets = lines.groupBy(*keys).agg(collect_set(item).alias("items")).select("items")
    found = FPGrowth(itemsCol="items", minSupport=_share(min_count, basket_count)).fit(baskets).freqItemsets
    return found.filter(found["freq"] >= min_count)


def frequent_sequences(
    lines: Any, key: str, order: list[str], *, max_len: int, min_count: int, sequence_count: int
) -> Any:
    """Mine sequential patterns on the cluster with MLlib's PrefixSpan: a Spark frame of ``sequence`` and ``freq``.

    ``lines`` has one row per sequence (``key``), element (``order``, which also sorts them) and ``item``. The share is
    set as for itemsets. MLlib would stop at ten items.
    """
    from pyspark.ml.fpm import PrefixSpan
    from pyspark.sql.functions import collect_list, collect_set, sort_array, struct, transform

    elements = lines.groupBy(key, *order).agg(sort_array(collect_set("item")).alias("items"))
    in_order = sort_array(collect_list(struct(*order, "items"))).alias("elements")
    sequences = elements.groupBy(key).agg(in_order)
    sequences = sequences.select(transform("elements", lambda element: element["items"]).alias("sequence"))
    miner = PrefixSpan(minSupport=_share(min_count, sequence_count), maxPatternLength=max_len)
    found = miner.findFrequentSequentialPatterns(sequences)
    return found.filter(found["freq"] >= min_count)


def _share(min_count: int, total: int) -> float:
    """Return the share of which MLlib makes the least count; it takes none above one, where nothing can be found."""
    return min((min_count - 0.5) / max(total, 1), 1.0)


def map_batches(frame: Any, score: Any, added: Any, *, key: list[str]) -> Any:
    """Give a Spark frame to ``score`` as pandas tables, Arrow batch by batch where it lives; a Spark frame of results.

    ``score`` gives back ``key``, which keeps its types, and the columns of the Arrow schema ``added``. It is pickled
    once and sent to every worker; Spark broadcasts it by itself if it is large.
    """
    from pyspark.sql.pandas.types import from_arrow_schema
    from pyspark.sql.types import StructType

    new = from_arrow_schema(added, prefer_timestamp_ntz=True).fields
    types = StructType([*(frame.schema[name] for name in key), *new])
    with warnings.catch_warnings():  # of pandas 3, which Spark itself does not touch here: Arrow goes in and out
        warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas", category=FutureWarning)
        return frame.mapInArrow(_BatchScorer(score, added, key), types)


class _BatchScorer:
    """What runs on the workers."""

    def __init__(self, score: Any, added: Any, key: list[str]) -> None:
        self.score, self.added, self.key = score, added, key

    def __call__(self, batches: Any) -> Any:
        """Score one Arrow batch after the other."""
        import pandas as pd
        import pyarrow as pa

        for batch in batches:
            if batch.num_rows:
                types = pa.schema([*(batch.schema.field(name) for name in self.key), *self.added])
                scored = self.score(batch.to_pandas(types_mapper=pd.ArrowDtype))
                yield from pa.Table.from_pandas(scored, types, preserve_index=False).to_batches()
