"""Who may take the better one: for each customer a higher tier of what is bought already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect
from crmlytics._lists import table_with_lists
from crmlytics._sequences import Sequences, offsets, read_sequences
from crmlytics._validation import as_days, as_moment, check_count, warn
from crmlytics.exceptions import SchemaError
from crmlytics.sequences._allowed import SHOWN, Allowed, own_items
from crmlytics.sequences._recommender import days_from, tell_of_old_orders
from crmlytics.sequences.next_purchase import NextPurchaseModel
from crmlytics.tables import Products, Transactions

if TYPE_CHECKING:
    from numpy.typing import NDArray

PRICE_TIERS = ("low price", "middle price", "high price")  # thirds of the products of a category


class _Shelf(NamedTuple):
    """Tiers of categories, the rungs; those of a category follow one another, basic first.

    Attributes
    ----------
    rung : int64 array, shape (items,)
        The rung of each item; -1: no category or tier is known.
    category, tier : arrays, shape (rungs,)
        Their ids.
    above : int64 array, shape (rungs,)
        The rung above; -1: none.
    """

    rung: NDArray[np.int64]
    category: NDArray[Any]
    tier: NDArray[Any]
    above: NDArray[np.int64]


def upsell_table(
    transactions: Transactions | Any, products: Products | Any, *, as_of: Any, horizon: Any, n: int = 3,
    random_state: int = 0,
) -> Any:  # fmt: skip
    """Say for each customer which higher tier of a category bought already is likeliest to be bought.

    A :class:`NextPurchaseModel` learns on tiers of categories in place of products. Of each category that a customer
    buys it is asked for the tier next above the usual one, that of most of the customer's orders.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``product_id``.
    products : Products or dataframe, one row per product
        Needs ``product_id``, ``category`` and ``tier`` or ``price``. Tiers that are whole numbers rise; words stand,
        within each category, in order of the mean ``price`` of its products bought. Without tiers the thirds of each
        category's products by price are its tiers.
    as_of : date
        Nothing at or after it is read.
    horizon : str or timedelta
        The days from ``as_of`` that are predicted, such as ``"28d"``; takes a history of two horizons.
    n : int, default 3
        The most rows a customer.
    random_state : int, default 0

    Returns
    -------
    dataframe of the kind of the transactions, key (``customer_id``, ``rank``)
        ``customer_id``; ``rank`` (Int64, from 1); ``category``; ``present_tier`` (the customer's usual one; the higher
        of equal ones); ``tier`` (the next above it, of those sold); ``product_id`` (the product of that tier and
        category that most orders hold); ``probability`` (Float64, that the customer buys anything of that tier and
        category within the horizon from ``as_of``).

    Raises
    ------
    SchemaError
        When no tier can be told, when a tier is a word and none of its products in a category has a price, or when
        the model has too little to learn from.

    Warns
    -----
    DataQualityWarning
        When products that were bought have no category or tier: their purchases are left out; when the last order lies
        longer before ``as_of`` than the horizon is; and when the model has little to learn from.

    Notes
    -----
    The probability is that of a purchase without any offer: customers who take the better one now and then come first.
    Whether an offer moves the others only an experiment can tell, and whether it pays is a matter of margins.

    See Also
    --------
    NextPurchaseModel : what comes next, whatever its price.
    """
    caller = "upsell_table"
    moment, days = as_moment(as_of, caller=caller), as_days(horizon, caller=caller)
    n = check_count(n, name="n", caller=caller)
    table = Transactions.bind(transactions)
    bought = read_sequences(table, as_of=moment, caller=caller)
    tell_of_old_orders(bought, moment, days, caller=caller)
    shelf = _shelf(Products.bind(products), bought, caller=caller)
    on_rungs = _with_items(bought, shelf)
    now = days_from(on_rungs, moment)
    model = NextPurchaseModel(random_state=random_state)._fit_arrays(on_rungs, moment, now, days)  # noqa: SLF001
    starts, above = _steps_up(on_rungs, shelf)
    allowed = Allowed(np.ones(len(shelf.above), np.bool_), starts, above, only=True)
    ranked = model._rank(on_rungs, now, n, allowed, named=True)  # noqa: SLF001
    below = np.append(-1, np.arange(len(shelf.above)))[ranked.items]  # the rung before it, of the same category
    columns = {
        "customer_id": on_rungs.sequence_ids[ranked.owners()],
        "rank": ranked.ranks(),
        "category": shelf.category[ranked.items],
        "present_tier": shelf.tier[below],
        "tier": shelf.tier[ranked.items],
        "product_id": bought.item_ids[_most_bought(bought, shelf)[ranked.items]],
        "probability": ranked.scores,
    }
    return table_with_lists(table.engine, columns)


def _shelf(products: Products, bought: Sequences, *, caller: str) -> _Shelf:
    """Tell the tier of each item bought."""
    graded = [role for role in ("tier", "price") if products.has(role)]
    if not graded:
        msg = f"{caller}: products need a tier or a price. Name it: Products(frame, tier='<your column>')."
        raise SchemaError(msg)
    plan = products.need("product_id", "category", *graded, caller=caller)
    known = collect(plan.select("product_id", "category", *graded).drop_nulls(["product_id", "category", graded[0]]))
    place = {item_id: code for code, item_id in enumerate(bought.item_ids.tolist())}
    code = np.array([place.get(item_id, -1) for item_id in known["product_id"].to_list()], np.int64)
    known, code = known.filter((code >= 0).tolist()), code[code >= 0]
    if not len(code):
        msg = (
            f"{caller}: none of the products that were bought, such as {bought.item_ids[-1]!r}, is among the products "
            f"with a category and a {graded[0]}. Are the ids of the same kind?"
        )
        raise SchemaError(msg)
    if len(code) < len(bought.item_ids):
        lacking = len(bought.item_ids) - len(code)
        warn(f"{caller}: {lacking:,} of {len(bought.item_ids):,} products bought have no category or {graded[0]}.")
    categories, category = np.unique(np.array(known["category"].to_list()), return_inverse=True)
    names, tier = _tiers(known, category)
    rungs, first, rung_of = np.unique(category * len(names) + tier, return_index=True, return_inverse=True)
    owner, name = np.divmod(rungs, len(names))
    height = tier[first].astype(np.float64)
    if names.dtype.kind not in "iu" and "tier" in known.columns:
        height = _mean_price(known, rung_of, len(rungs))
        _refuse_unpriced(height, owner, [categories[owner], names[name]], caller=caller)
    order = np.lexsort((height, owner))
    rung = np.full(len(bought.item_ids), -1, np.int64)
    rung[code] = np.argsort(order)[rung_of]
    above = np.where(np.append(owner[1:] == owner[:-1], False), np.arange(1, len(rungs) + 1), -1)
    return _Shelf(rung, categories[owner], names[name[order]], above)


def _tiers(known: nw.DataFrame[Any], category: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the names of the tiers, and which of them each product is."""
    if "tier" not in known.columns:
        return np.array(PRICE_TIERS), _thirds(known["price"].to_numpy().astype(np.float64), category)
    names, tier = np.unique(np.array(known["tier"].to_list()), return_inverse=True)
    return names, tier


def _mean_price(known: nw.DataFrame[Any], rung: NDArray[np.int64], rungs: int) -> NDArray[np.float64]:
    """Return the mean price of the products of each rung that have one; NaN: none has."""
    price = np.full(len(rung), np.nan)
    if "price" in known.columns:
        price = known["price"].cast(nw.Float64).fill_null(float("nan")).to_numpy()
    order = np.lexsort((price, rung))  # one order of adding up, whatever that of the rows
    order = order[np.isfinite(price[order])]
    sums, counts = (np.bincount(rung[order], weight, rungs) for weight in (price[order], None))
    mean: NDArray[np.float64] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return mean


def _refuse_unpriced(
    height: NDArray[np.float64], owner: NDArray[np.int64], words: list[NDArray[Any]], *, caller: str
) -> None:
    """Refuse tiers whose place in their category no price tells; an only one needs no place."""
    lost = np.flatnonzero(np.isnan(height) & (np.bincount(owner)[owner] > 1))
    if len(lost):
        pairs = zip(*(word[lost[:SHOWN]].tolist() for word in words), strict=True)
        told = ", ".join(f"{tier!r} of {category!r}" for category, tier in pairs)
        msg = (
            f"{caller}: tiers are words, and no price says how high these stand: {told}. Give a price, or number the "
            "tiers: 1 for the basic one."
        )
        raise SchemaError(msg)


def _thirds(price: NDArray[np.float64], category: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the third of its category that each price is in; equal prices are in the same one."""
    level = np.zeros(len(price), np.int64)
    order = np.argsort(category, kind="stable")
    for members in np.split(order, np.cumsum(np.bincount(category))[:-1]):
        limits = np.quantile(price[members], [1 / 3, 2 / 3])
        level[members] = np.searchsorted(limits, price[members], side="left")
    return level


def _with_items(bought: Sequences, shelf: _Shelf) -> Sequences:
    """Return the same orders with tiers of categories in place of products."""
    order = np.repeat(np.arange(len(bought.moment)), np.diff(bought.item_starts))
    rung = shelf.rung[bought.items]
    keys = np.unique((order * len(shelf.above) + rung)[rung >= 0])
    lengths = np.bincount(keys // len(shelf.above), minlength=len(bought.moment))
    return Sequences(
        bought.starts, offsets(lengths), (keys % len(shelf.above)).astype(np.int32), bought.moment,
        bought.sequence_ids, np.arange(len(shelf.above)),
    )  # fmt: skip


def _steps_up(on_rungs: Sequences, shelf: _Shelf) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return for each customer the rungs next above the usual one of each category: starts, and rungs, rising."""
    starts, rung, count = own_items(on_rungs)
    customer = np.repeat(np.arange(len(on_rungs)), np.diff(starts))
    category = np.append(0, np.cumsum(shelf.above < 0))[rung]  # the number of the category of each
    order = np.lexsort((rung, count, category, customer))
    is_usual = np.append((np.diff(customer[order]) != 0) | (np.diff(category[order]) != 0), True)
    usual = order[is_usual]
    usual = usual[shelf.above[rung[usual]] >= 0]
    lengths = np.bincount(customer[usual], minlength=len(on_rungs))
    return offsets(lengths), shelf.above[rung[usual]].astype(np.int32)


def _most_bought(bought: Sequences, shelf: _Shelf) -> NDArray[np.int64]:
    """Return the item of each rung that most orders hold; among equals the first by code."""
    counts = np.bincount(bought.items, minlength=len(shelf.rung))
    order = np.lexsort((-np.arange(len(counts)), counts))
    best = np.zeros(len(shelf.above), np.int64)
    order = order[shelf.rung[order] >= 0]
    best[shelf.rung[order]] = order  # the last of several counts
    return best
