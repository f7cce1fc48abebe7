"""Rules, found before, and the baskets they are counted in now: what contrasts, trends and hold-outs share."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import list_column
from crmlytics.affinity.hierarchy import read_baskets_of
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics._baskets import Baskets
    from crmlytics._periods import PeriodGrid
    from crmlytics.affinity.rules import RuleSet
    from crmlytics.tables import Transactions

LEAST_EXPECTED = 5  # baskets with and without the consequent: below it a test by the normal distribution means nothing
EPOCH = np.datetime64("1970-01-01")


def baskets_for(rules: RuleSet, transactions: Transactions, *, days: bool = False, caller: str) -> Baskets:
    """Read baskets as those were that the rules come from, with the same item codes."""
    found = rules.itemsets
    if days and found.basket == "customer_id":
        msg = (
            f"{caller}: these rules are about all that a customer ever bought (basket='customer_id'), which has no "
            "period. Find rules with basket='order_id' or basket=('customer_id', '7d')."
        )
        raise SchemaError(msg)
    baskets = read_baskets_of(found, transactions, days=days, caller=caller)
    if len(rules) and not len(baskets.items):
        msg = (
            f"{caller}: none of the {len(found.item_ids):,} items of the rules was bought in these transactions. "
            f"Compare the ids: {found.item} is such as {found.item_ids[-1]!r} in the rules."
        )
        raise SchemaError(msg)
    return baskets


def only(baskets: Baskets, keep: NDArray[np.bool_]) -> Baskets:
    """Return some of the baskets: what is counted in them and who owns them."""
    lengths = np.diff(baskets.starts)
    items = baskets.items[np.repeat(keep, lengths)]
    return replace(
        baskets,
        starts=np.append(0, np.cumsum(lengths[keep])),
        items=items,
        basket_ids=baskets.basket_ids[keep],
        customer=None if baskets.customer is None else baskets.customer[keep],
        day=None if baskets.day is None else baskets.day[keep],
        values=None,
    )


def counts_by_group(
    rules: RuleSet, baskets: Baskets, group: NDArray[np.int32], group_count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Count baskets with both sides, antecedent and consequent (rules, groups), and all baskets (groups,)."""
    from crmlytics._kernels.rule_counts import count_itemsets

    rows = np.concatenate([rules.both, rules.antecedent, rules.consequent])
    counts = count_itemsets(rules.itemsets.tree, rows, baskets.starts, baskets.items, group, group_count)
    both, antecedent, consequent = np.split(counts, 3)
    return both, antecedent, consequent, np.bincount(group[group >= 0], minlength=group_count)


def period_numbers(baskets: Baskets, grid: PeriodGrid) -> NDArray[np.int64]:
    """Return the number of the period of each basket."""
    days, place = np.unique(np.asarray(baskets.day, np.int64), return_inverse=True)
    moments: list[dt.datetime] = (EPOCH + days).astype("datetime64[us]").tolist()
    numbers: NDArray[np.int64] = np.array([grid.number_of(moment) for moment in moments], np.int64)
    return numbers[place]


def rule_columns(rules: RuleSet, times: int = 1) -> dict[str, Any]:
    """Return the columns ``antecedent`` and ``consequent``, sorted ids, each rule repeated."""
    found = rules.itemsets
    sides = {"antecedent": rules.antecedent, "consequent": rules.consequent}
    return {
        name: list_column(*found.tree.members(np.repeat(rows, times), order=found.id_order()), found.item_ids)
        for name, rows in sides.items()
    }


def ratio_of(above: NDArray[Any], below: NDArray[Any]) -> NDArray[np.float64]:
    """Divide; NaN where nothing stands below."""
    result = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    np.divide(above, below, out=result, where=np.broadcast_to(below > 0, result.shape))
    return result
