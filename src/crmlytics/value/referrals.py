"""Who brought whom, and what the customers brought are worth beside those who brought them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from crmlytics._frames import collect
from crmlytics._lists import table_with_lists
from crmlytics._orders import ORDER_ROLES, orders_of
from crmlytics._validation import as_moment, warn
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Customers, Transactions
from crmlytics.value._answers import joinable
from crmlytics.value._checks import no_line
from crmlytics.value._reading import over_each

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    Counts = NDArray[np.int64]
    Vector = NDArray[np.float64]

CALLER = "referral_table"
KEY, LINK = "customer_id", "referred_by"


def referral_table(
    transactions: Transactions | Any, *, referrals: Customers | Any, as_of: str | dt.date | dt.datetime
) -> Any:
    """Say whom each customer brought, what these have brought in so far, and what part of the referrer's worth that is.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``.
    referrals : Customers or dataframe, one row per customer
        Needs ``customer_id`` and ``referred_by``, the id of the customer who brought this one; missing for who came
        without. It may hold the referred customers alone, or all.
    as_of : date
        The day described from; lines on or after it are left out.

    Returns
    -------
    dataframe of the kind that came in, one row per customer who brought somebody, sorted by ``customer_id``
        Whoever had no order before ``as_of`` is not counted as brought: when they came is in no table.
        ``generation`` (Int64, 0: brought by nobody known, 1: by one of those, and so on),
        ``referred_count`` (Int64, customers brought directly),
        ``referred_amount`` (Float64, their revenue so far, returns taken off),
        ``own_amount`` (Float64, the referrer's own revenue so far; 0 without a line),
        ``referral_share`` (Float64, ``referred_amount / (own_amount + referred_amount)``; null where that sum is not
        above zero),
        ``descendant_count``, ``descendant_amount`` (Int64 and Float64, customers of all generations below, and their
        revenue), ``generation_count`` (Int64, the generations below; 1 when nobody brought by them brought anybody).

    Raises
    ------
    SchemaError, MissingColumnsError
        When a customer has two rows in ``referrals``, ids of the tables differ in kind, or nobody was brought.

    Warns
    -----
    DataQualityWarning
        How many links are set aside: referrers who are in neither table, and customers who by their links brought
        themselves, alone or in a circle.

    Notes
    -----
    Each referred customer is in ``referred_amount`` of one referrer, so it may be added up over customers;
    ``descendant_amount`` may not, since a customer stands below all in the chain above.

    Kumar, Petersen and Leone (2010), "Driving profitability by encouraging customer referrals: who, when, and how",
    Journal of Marketing 74(5), 1-17, count the value of a referred customer in full only if they would not have come
    otherwise. **Here all are taken for such.** If a test or a survey says that a share would have come anyway, take it
    off, and do not forget what the reward for a referral costs. What was brought in so far favours those who referred
    long ago.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "b", "c", "d"], "order_id": [1, 2, 3, 4], "amount": [50.0, 30.0, 20.0, 10.0],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-10", "2024-01-12", "2024-01-20"]),
    ... })
    >>> brought = pd.DataFrame({"customer_id": ["b", "c", "d"], "referred_by": ["a", "a", "b"]})
    >>> table = referral_table(orders, referrals=brought, as_of="2024-02-01")
    >>> table[["customer_id", "referred_count", "referred_amount", "referral_share"]]
      customer_id  referred_count  referred_amount  referral_share
    0           a               2             50.0            0.50
    1           b               1             10.0            0.25
    """
    table = Transactions.bind(transactions).before(as_moment(as_of, caller=CALLER))
    people = Customers.bind(referrals)
    joinable(table, people, name="referrals", caller=CALLER)
    ids, parent, bought = _linked(_read_links(people), _bought(table))
    counted, amounts = bought["is_buyer"].to_numpy(np.int64), bought["amount"].to_numpy(np.float64)
    if not len(bought):
        raise no_line(as_of, caller=CALLER)
    if not counted[parent >= 0].any():
        msg = (
            f"{CALLER}: nobody with an order before as_of was referred by a known customer. Check {LINK} in referrals: "
            "it holds ids of customers."
        )
        raise SchemaError(msg)
    return table_with_lists(table.engine, _columns(ids, parent, counted, amounts))


# -- inside --------------------------------------------------------------------------------------------------------


def _bought(table: Transactions) -> pd.DataFrame:
    """Return the revenue of each customer with a line, and whether there was an order."""
    orders = orders_of(table.need(*ORDER_ROLES, caller=CALLER), KEY)
    sums = orders.group_by(KEY).agg(nw.col("amount").sum(), is_buyer=nw.col("is_order").max())
    return collect(sums.with_columns(nw.col("amount").cast(nw.Float64))).to_pandas()


def _read_links(people: Customers) -> pd.DataFrame:
    """Return whom each customer was brought by, both ids of one kind; a missing one is None."""
    rows = collect(people.validate().need(KEY, LINK, caller=CALLER)).to_pandas()
    if rows[KEY].duplicated().any():
        raise SchemaError(f"{CALLER}: {rows[KEY][rows[KEY].duplicated()].min()!r} has more than one row in referrals.")
    rows[LINK] = _of_kind(rows[LINK], people.id_kind(KEY))
    return rows


def _of_kind(links: pd.Series[Any], kind: str) -> pd.Series[Any]:
    """Return ids of referrers as those of customers are; missing ones make floats of whole numbers."""
    if not links.notna().any():
        return links
    if kind == "String" and pd.api.types.is_string_dtype(links.dropna().astype(object)):
        return links
    try:
        if kind == "Int64" and pd.api.types.is_numeric_dtype(links):
            return links.astype("Int64")
    except TypeError:  # 1.5 is no id
        pass
    msg = f"{CALLER}: {KEY} is {kind} and {LINK} is {links.dtype} in referrals. Give both the same kind."
    raise SchemaError(msg)


def _linked(links: pd.DataFrame, bought: pd.DataFrame) -> tuple[NDArray[Any], Counts, pd.DataFrame]:
    """Return all customers by id, the place of who brought each (-1 for nobody), and what they bought."""
    from crmlytics._kernels.referral_trees import youngest_first

    kind = "int64" if pd.api.types.is_integer_dtype(links[KEY]) else object
    ids = pd.Index(np.unique(np.concatenate([frame[KEY].to_numpy(kind) for frame in (links, bought)])))
    given = links[links[LINK].notna()]
    origin = ids.get_indexer(given[LINK].to_numpy(kind))
    parent = np.full(len(ids), -1)
    parent[ids.get_indexer(given[KEY].to_numpy(kind))] = origin
    circling = np.setdiff1d(np.arange(len(ids)), youngest_first(parent))
    parent[circling] = -1
    _tell(int((origin < 0).sum()), len(given), "name a referrer who is in neither table")
    _tell(len(circling), len(given), f"lead round in a circle, such as that of {ids[circling[:1]].tolist()}")
    return ids.to_numpy(), parent, bought.set_index(KEY).reindex(ids).fillna(0)


def _tell(count: int, total: int, what: str) -> None:
    if count:
        warn(f"{CALLER}: {count:,} of {total:,} links {what}: set aside, as if these customers came without.")


def _columns(ids: NDArray[Any], parent: Counts, counted: Counts, amounts: Vector) -> dict[str, NDArray[Any]]:
    from crmlytics._kernels.referral_trees import below, generation, youngest_first

    order = youngest_first(parent)
    heads, sums, generations = below(parent, order, amounts, counted)
    brought = (parent >= 0) & (counted == 1)
    direct = np.bincount(parent[brought], minlength=len(ids))
    direct_amount = np.bincount(parent[brought], amounts[brought], len(ids))
    columns = {
        KEY: ids,
        "generation": generation(parent, order),
        "referred_count": direct,
        "referred_amount": direct_amount,
        "own_amount": amounts,
        "referral_share": over_each(direct_amount, amounts + direct_amount),
        "descendant_count": heads,
        "descendant_amount": sums,
        "generation_count": generations,
    }
    return {name: values[heads > 0] for name, values in columns.items()}
