"""What a customer has had to do with each target: the family of features for propensity to buy a single thing."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import days_between
from crmlytics._orders import gather
from crmlytics.snapshots._history import at_level
from crmlytics.snapshots._joining import Part, beside

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from crmlytics.snapshots._history import History

COUNT, RECENCY = "order_count_", "recency_days_"


def target_features(history: History, targets: Mapping[str, tuple[Any, ...]]) -> Part:
    """``order_count_<value>``, ``recency_days_<value>``: orders with each target, calendar days since the last of them.

    An order with a target adds up to more than nothing of it: what was given back within the order was not bought. The
    recency is null where it never was.
    """
    customers = history.lines.select("customer_id").unique()
    return Part(reduce(beside, [_bought(history, *target) for target in targets.items()], customers), _fills)


# -- inside --------------------------------------------------------------------------------------------------------


def _bought(history: History, level: str, values: tuple[Any, ...]) -> nw.LazyFrame[Any]:
    lines = at_level(history.lines, level, history.products).filter(nw.col(level).is_in(values))
    orders = gather(lines, "customer_id", "order_id", level, _at=nw.col("timestamp").max())
    bought = orders.filter(nw.col("is_order") == 1).group_by("customer_id", level)
    each = bought.agg(_orders=nw.col("is_order").sum(), _last=nw.col("_at").max())  # few rows: columns come cheap
    each = each.with_columns(_since=days_between(nw.col("_last"), history.cutoff))
    shown = {f"{COUNT}{value}": _of(value, level, "_orders") for value in values}
    shown |= {f"{RECENCY}{value}": _of(value, level, "_since") for value in values}
    return each.with_columns(**shown).group_by("customer_id").agg(*[nw.col(name).max() for name in shown])


def _of(value: Any, level: str, name: str) -> nw.Expr:
    return nw.when(nw.col(level) == value).then(nw.col(name))


def _fills(columns: Iterable[str]) -> dict[str, int]:
    return {name: 0 for name in columns if name.startswith(COUNT)}
