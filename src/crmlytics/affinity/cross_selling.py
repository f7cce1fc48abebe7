"""Cross-selling: what customers could own, judging by what others who own the same things own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._baskets import ITEM_ROLES
from crmlytics._frames import collect, enter
from crmlytics._validation import as_moment, check_choice, check_count
from crmlytics.affinity.itemsets import frequent_itemsets
from crmlytics.affinity.recommending import RuleRecommender, rules_above_chance
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt

CALLER = "cross_sell_table"
NAMES = {"confidence": "owning_share", "basket_count": "customer_count"}  # a basket is a customer


def cross_sell_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    n: int = 3,
    item: str = "product_id",
    min_support: float = 0.01,
    min_customer_count: int = 30,
    min_confidence: float = 0.1,
    max_len: int | None = 2,
    rank_by: str = "added_value",
    margin: Any = None,
) -> Any:
    """Suggest to each customer what others own who own the same things.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``timestamp`` and the column of ``item``. A customer owns an item if they bought more of
        it than they returned, in any order.
    as_of : date
        The moment up to which the data are known; lines on or after it are left out.
    n : int, default 3
        The most suggestions a customer gets.
    item : {"product_id", "category", "channel", "partner_id"}, default "product_id"
        What is owned.
    min_support : float or int, default 0.01
        The least share (or number) of customers who own all items of a rule. Customers own more than an order holds:
        a support that suits orders finds too much here.
    min_customer_count : int, default 30
        The least number of them, however few customers there are: a suggestion to many should not rest on a few.
    min_confidence : float, default 0.1
        The least share of the owners of the reason who own the suggestion.
    max_len : int or None, default 2
        The most items of a rule, reason and suggestion together. Customers own so much that there are very many longer
        reasons, each with fewer owners: the best of them looks better than it is.
    rank_by : str, default "added_value"
        Any measure of :meth:`RuleSet.measure`, or ``"associated_margin"`` with margins. By ``"confidence"`` nearly
        everybody is offered the best-sellers they lack.
    margin : mapping, pandas Series or Products, optional
        What an item earns from a customer who owns it: item id to amount (NaN: not known), amounts with item ids as
        their index, or products with ``price`` and ``cost``.

    Returns
    -------
    dataframe of the kind that came in, one row per customer and suggestion, sorted by ``customer_id`` and ``rank``
        ``customer_id``; ``rank`` (Int64, from 1); ``product_id`` or what else ``item`` is (Int64 or String, the
        suggestion, which the customer does not own);
        ``owning_share`` (Float64, of the owners of the reason those who own the suggestion too);
        ``lift`` (Float64, > 1, that share as a multiple of the share of all customers);
        ``because`` (List, the items the customer owns that are the reason);
        ``customer_count`` (Int64, customers who own reason and suggestion).
        With margins also ``associated_margin_amount`` (Float64, (P(suggestion | reason) - P(suggestion)) x margin of
        the suggestion; null where the margin is not known).
        Customers for whom no rule fires have no row.

    Raises
    ------
    SchemaError
        When no line lies before ``as_of``, or no rule reaches ``min_support``, ``min_customer_count`` and
        ``min_confidence``.
    ResultTooLargeError
        When more sets of items reach ``min_support`` than memory holds.

    Notes
    -----
    The share counts owners; it is no probability that this customer buys within some time. Nor does it say that an
    offer makes them buy: only an experiment can tell, in which some customers, drawn at random, get none.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": [1, 1, 2, 2, 3, 4], "order_id": [1, 2, 3, 4, 5, 6],
    ...     "product_id": ["phone", "case", "phone", "case", "phone", "radio"],
    ...     "timestamp": pd.to_datetime(["2024-01-01"] * 6),
    ... })
    >>> table = cross_sell_table(orders, as_of="2024-02-01", min_customer_count=2)
    >>> table[["customer_id", "rank", "product_id", "owning_share", "because"]].round(2)
       customer_id  rank product_id  owning_share    because
    0            3     1       case          0.67  ['phone']
    """
    check_choice(item, ITEM_ROLES, name="item", caller=CALLER)
    check_count(min_customer_count, name="min_customer_count", caller=CALLER)
    moment = as_moment(as_of, caller=CALLER)
    known = Transactions.bind(transactions).before(moment)
    lines = known.need("customer_id", "timestamp", item, caller=CALLER)
    if not len(collect(lines.head(1))):
        raise SchemaError(f"{CALLER}: no line lies before as_of={moment:%Y-%m-%d %H:%M}. Check as_of and the data.")
    itemsets = frequent_itemsets(known, min_support, max_len=max_len, basket="customer_id", item=item)
    rules = rules_above_chance(itemsets, min_confidence)
    rules = rules.take(np.flatnonzero(rules.both_count >= min_customer_count))
    if not len(rules):
        msg = (
            f"{CALLER}: no rule has a support of {min_support}, {min_customer_count:,} customers or more, a confidence "
            f"of {min_confidence} and a lift above 1. Lower min_customer_count, min_support or min_confidence."
        )
        raise SchemaError(msg)
    recommender = RuleRecommender(rank_by=rank_by)._fit(rules, margin, caller=CALLER)  # noqa: SLF001  names this caller
    plan, engine = enter(recommender._recommend(known, n, caller=CALLER), caller=CALLER)  # noqa: SLF001
    return engine.to_native(plan.rename(NAMES))
