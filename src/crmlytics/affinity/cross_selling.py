"""Cross-selling: what customers could own, judging by what others who own the same things own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmlytics._frames import enter
from crmlytics._validation import as_moment
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt

NAMES = {"confidence": "owning_share", "basket_count": "customer_count"}  # a basket is a customer


def cross_sell_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    n: int = 3,
    item: str = "product_id",
    min_support: float = 0.01,
    min_confidence: float = 0.1,
    max_len: int | None = 2,
    rank_by: str = "confidence",
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
    min_confidence : float, default 0.1
        The least share of the owners of the reason who own the suggestion.
    max_len : int or None, default 2
        The most items of a rule, reason and suggestion together. Customers own so much that there are very many longer
        reasons, each with fewer owners: the best of them looks better than it is.
    rank_by : str, default "confidence"
        Any measure of :meth:`RuleSet.measure`, or ``"associated_margin"`` with margins.
    margin : mapping or Products, optional
        What an item earns from a customer who owns it: item id to amount, or products with ``price`` and ``cost``.

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
        When no rule reaches ``min_support`` and ``min_confidence``.
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
    >>> table = cross_sell_table(orders, as_of="2024-02-01")
    >>> table[["customer_id", "rank", "product_id", "owning_share", "because"]].round(2)
       customer_id  rank product_id  owning_share    because
    0            3     1       case          0.67  ['phone']
    """
    from crmlytics.affinity.recommending import RuleRecommender

    caller = "cross_sell_table"
    known = Transactions.bind(transactions).before(as_moment(as_of, caller=caller))
    recommender = RuleRecommender(
        min_support=min_support,
        min_confidence=min_confidence,
        max_len=max_len,
        rank_by=rank_by,
        basket="customer_id",
        item=item,
    )
    suggested = recommender.fit(known, margin=margin).recommend(known, n=n)
    plan, engine = enter(suggested, caller=caller)
    return engine.to_native(plan.rename(NAMES))
