"""What is handed to Spark's own library: the only module that imports it."""

from __future__ import annotations

from typing import Any


def frequent_itemsets(lines: Any, keys: list[str], item: str, *, min_count: int, basket_count: int) -> Any:
    """Mine itemsets on the cluster with MLlib's FPGrowth: a Spark frame of ``items`` (array) and ``freq``.

    ``lines`` is a Spark frame, one row per basket (``keys``) and item. MLlib takes the least support as a share of the
    baskets and rounds the product up: half a basket less than ``min_count`` is what gives ``min_count``.
    """
    from pyspark.ml.fpm import FPGrowth
    from pyspark.sql.functions import collect_set

    baskets = lines.groupBy(*keys).agg(collect_set(item).alias("items")).select("items")
    share = (min_count - 0.5) / max(basket_count, 1)
    return FPGrowth(itemsCol="items", minSupport=share).fit(baskets).freqItemsets
