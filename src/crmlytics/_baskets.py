"""From order lines to baskets of items, in arrays: the one place where affinity analysis reads transactions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect, day_number
from crmlytics._orders import ROUNDING
from crmlytics._validation import as_days, check_choice, warn
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Basket = str | tuple[str, str]
    Codes = NDArray[np.int32]
    Keys = NDArray[np.int64]

ITEM_ROLES = ("product_id", "category", "channel", "partner_id")
DENSE = 4  # whole numbers that leave at most three of four places empty are their own codes
MICROSECONDS_A_DAY = 86_400_000_000
ENOUGH = 10_000_000  # keeps a floor division positive: engines round negative ones differently


@dataclass(frozen=True, slots=True, eq=False)
class Baskets:
    """What was bought together: sets of items, one a basket.

    Attributes
    ----------
    starts : int64 array, shape (baskets + 1,)
        The items of basket ``b`` are ``items[starts[b]:starts[b + 1]]``.
    items : int32 array
        Item codes, rising and without repetition within a basket.
    item_ids : array, shape (items,)
        The id of each code, Python ints or str as an object array or int64 array.
    basket_ids : array, shape (baskets,)
        The id of each basket: the order, or the customer where a basket is what a customer bought.
    customer : int32 array, shape (baskets,), or None
        The number of the customer of each basket, an index to ``customer_ids``. None: not asked for or not known.
    customer_ids : array or None
        The ids of the customers.
    day : int64 array, shape (baskets,), or None
        Days from 1970-01-01 to the last line of each basket, where asked for.
    values : float64 array, shape (items,), or None
        The sum of what was asked for (a margin, say) over the lines of each basket and item.
    moment : int64 array, shape (baskets,), or None
        Microseconds from 1970-01-01 to the last line of each basket, where days are asked for.
    """

    starts: NDArray[np.int64]
    items: NDArray[np.int32]
    item_ids: NDArray[Any]
    basket_ids: NDArray[Any]
    customer: NDArray[np.int32] | None = None
    customer_ids: NDArray[Any] | None = None
    day: NDArray[np.int64] | None = None
    values: NDArray[np.float64] | None = None
    moment: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """Return how many baskets there are."""
        return len(self.starts) - 1


def read_baskets(
    transactions: Transactions | Any,
    *,
    basket: Basket = "order_id",
    item: str = "product_id",
    known: NDArray[Any] | None = None,
    days: bool = False,
    value: nw.Expr | None = None,
    value_roles: tuple[str, ...] = (),
    caller: str,
) -> Baskets:
    """Read what was bought together.

    A basket is an order (of one customer, where customers are known), all that a customer bought (``"customer_id"``),
    or what a customer bought within some days (``("customer_id", "7d")``: days are counted off from 1970-01-01).
    An item is in it if more of it was bought than returned; a basket without any item left is none.

    Parameters
    ----------
    transactions : Transactions or dataframe
    basket, item : what is a basket, and what is an item
    known : array, optional
        The item ids whose codes are 0, 1, ...; other items are left out, baskets stay. Otherwise every item has a
        code, rare ones first and by id among equals.
    days : bool
        Whether :attr:`Baskets.day` and :attr:`Baskets.moment` are wanted.
    value, value_roles : expression and the roles it needs, optional
        What :attr:`Baskets.values` sums.
    caller : str
        Who asks, for messages.
    """
    table = Transactions.bind(transactions)
    plan, _ = _plan(table, basket, item, days=days, value=value, value_roles=value_roles, caller=caller)
    lines = _lines(plan, item, caller=caller)
    item_code, item_ids = encode(lines["item"])
    basket_code, ids, owner, owner_ids = _basket_codes(lines, basket)
    keys, values = _entries(basket_code, item_code, len(item_ids), lines)
    moment = _last_of(microseconds(lines["moment"]), basket_code, len(ids)) if days else None
    del lines, basket_code, item_code  # millions of lines: memory for what follows
    of_basket, kept = _without_empty(keys, len(item_ids), len(ids))
    keys %= max(len(item_ids), 1)
    codes, item_ids = recoded(keys, item_ids, known)
    starts, items, values = packed(of_basket, codes, values, (len(kept), len(item_ids)))
    moment = _picked(moment, kept)
    day = None if moment is None else moment // MICROSECONDS_A_DAY
    return Baskets(starts, items, item_ids, ids[kept], _picked(owner, kept), owner_ids, day, values, moment)


def basket_days(basket: Any, *, caller: str) -> int | None:
    """Check what a basket is; return the days of a basket of days, else None."""
    if isinstance(basket, (tuple, list)) and len(basket) == 2 and basket[0] == "customer_id":
        return as_days(basket[1], name="basket", caller=caller)
    if isinstance(basket, str) and basket in {"order_id", "customer_id"}:
        return None
    msg = (
        f'{caller}: basket must be "order_id", "customer_id" (all a customer bought) or a customer\'s days such as '
        f'("customer_id", "1d"), got {basket!r}.'
    )
    raise SchemaError(msg)


def encode(values: Any) -> tuple[Codes, NDArray[Any]]:
    """Give the ids of an Arrow or NumPy array numbers from 0, in the order of the ids: codes and sorted ids."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(values, np.ndarray):
        values = pa.array(values)
    values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_integer(values.type):
        return _encode_whole(values.to_numpy(zero_copy_only=False))
    coded = values.dictionary_encode()
    ids = coded.dictionary.to_numpy(zero_copy_only=False)
    order = pc.sort_indices(coded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank[coded.indices.to_numpy()], ids[order]


def _encode_whole(numbers: NDArray[Any]) -> tuple[Codes, NDArray[Any]]:
    numbers = numbers.astype(np.int64, copy=False)
    if not len(numbers):
        return numbers.astype(np.int32), numbers
    least, span = int(numbers.min()), int(numbers.max()) - int(numbers.min()) + 1
    if span > DENSE * len(numbers):
        ids, codes = np.unique(numbers, return_inverse=True)
        return codes.astype(np.int32), ids
    present = np.zeros(span, bool)
    places = numbers - least if least else numbers
    present[places] = True
    return (np.cumsum(present, dtype=np.int32) - 1)[places], np.flatnonzero(present) + least


def basket_lines(table: Transactions, *, basket: Basket, item: str, caller: str) -> tuple[nw.LazyFrame[Any], list[str]]:
    """Return one row per basket and item that is in it, as a plan, and the columns that name a basket."""
    lines, keys = _plan(table, basket, item, caller=caller)
    _tell_missing(lines, item, caller=caller)
    lines = lines.filter(~nw.col("item").is_null())
    if "units" not in lines.collect_schema().names():
        return lines.select(*keys, "item").unique(), keys
    units = nw.col("units")
    sums = lines.group_by(*keys, "item").agg(_sum=units.sum(), _least=units.min(), _most=units.max())
    bought = (nw.col("_least") >= 0) | (nw.col("_sum") > ROUNDING * nw.col("_most"))
    return sums.filter(bought).select(*keys, "item"), keys


def _plan(
    table: Transactions, basket: Basket, item: str, *, days: bool = False, value: Any = None,
    value_roles: tuple[str, ...] = (), caller: str,
) -> tuple[nw.LazyFrame[Any], list[str]]:  # fmt: skip
    """Select the columns that are needed, by our names, and say which of them name a basket."""
    check_choice(item, ITEM_ROLES, name="item", caller=caller)
    length = basket_days(basket, caller=caller)
    if basket == "order_id":
        keys = [role for role in ("customer_id", "order_id") if table.has(role) or role == "order_id"]
    else:
        keys = ["customer_id"]
    wanted = {"item": nw.col(item)} | {key: nw.col(key) for key in keys}
    moments = ["timestamp"] if days or length else []
    wanted |= {"moment": nw.col("timestamp")} if days else {}
    wanted |= {"bucket": (day_number(nw.col("timestamp")) + ENOUGH * length) // length} if length else {}
    units = next((role for role in ("quantity", "amount") if table.has(role)), None)
    wanted |= {"units": nw.col(units)} if units and table.may_hold_returns else {}
    wanted |= {"value": value} if value is not None else {}
    roles = dict.fromkeys([*keys, item, *moments, *([units] if "units" in wanted and units else []), *value_roles])
    return table.need(*roles, caller=caller).select(**wanted), [*keys, *(["bucket"] if length else [])]


def _lines(lines: nw.LazyFrame[Any], item: str, *, caller: str) -> dict[str, Any]:
    """Collect the columns as Arrow arrays of ids and NumPy arrays of numbers, without the lines that have no item."""
    found = collect(lines)
    if _tell_missing(found.lazy(), item, caller=caller):
        found = found.filter(~nw.col("item").is_null())
    arrow = found.to_arrow()
    ids = ("item", "customer_id", "order_id")
    columns = {name: arrow[name] if name in ids else arrow[name].to_numpy() for name in arrow.column_names}
    if "units" in columns and not (columns["units"] < 0).any():
        del columns["units"]
    return columns


def _tell_missing(lines: nw.LazyFrame[Any], item: str, *, caller: str) -> int:
    found = collect(lines.select(missing=nw.col("item").is_null().cast(nw.Int64).sum(), lines=nw.len()))
    missing, total = int(found["missing"][0] or 0), int(found["lines"][0])
    if missing:
        warn(f"{caller}: {missing:,} of {total:,} lines have no {item} and are left out.")
    return missing


def _basket_codes(
    lines: dict[str, Any], basket: Basket
) -> tuple[Codes, NDArray[Any], NDArray[np.int32] | None, NDArray[Any] | None]:
    """Give baskets numbers: that of each line, the id of each basket, its customer, and the ids of the customers."""
    if "customer_id" not in lines:
        return *encode(lines["order_id"]), None, None
    owner, owner_ids = encode(lines["customer_id"])
    if basket == "customer_id":
        return owner, owner_ids, np.arange(len(owner_ids), dtype=np.int32), owner_ids
    part, part_ids = encode(lines["order_id"] if basket == "order_id" else lines["bucket"])
    if basket == "order_id" and (owner_of := _only_owner(owner, part, len(part_ids))) is not None:
        return part, part_ids, owner_of, owner_ids
    pairs, codes = np.unique(owner.astype(np.int64) * len(part_ids) + part, return_inverse=True)
    owner_of = (pairs // len(part_ids)).astype(np.int32)
    ids = part_ids[pairs % len(part_ids)] if basket == "order_id" else owner_ids[owner_of]
    return codes.astype(np.int32), ids, owner_of, owner_ids


def _only_owner(owner: Codes, order: Codes, orders: int) -> NDArray[np.int32] | None:
    """Return the customer of each order, or None if some order number is used by several customers."""
    owner_of = np.empty(orders, np.int32)
    owner_of[order] = owner
    return owner_of if np.array_equal(owner_of[order], owner) else None


def _picked(array: NDArray[Any] | None, kept: Keys) -> NDArray[Any] | None:
    return None if array is None else array[kept]


def microseconds(moments: NDArray[Any]) -> Keys:
    """Return moments as whole microseconds since 1970-01-01."""
    return moments.astype("datetime64[us]").astype(np.int64)


def _last_of(moment: Keys, basket_code: Codes, baskets: int) -> Keys:
    last = np.full(baskets, np.iinfo(np.int64).min)
    np.maximum.at(last, basket_code, moment)
    return last


def _entries(
    basket_code: Codes, item_code: Codes, items: int, lines: dict[str, Any]
) -> tuple[Keys, NDArray[np.float64] | None]:
    """Return basket x items + item, sorted, once for each item that is in a basket, and its value."""
    keys = _joined(basket_code, items, item_code)
    if "units" not in lines and "value" not in lines:
        keys.sort()
        again = np.flatnonzero(keys[1:] == keys[:-1]) + 1
        return np.delete(keys, again) if len(again) else keys, None
    keys, entry = np.unique(keys, return_inverse=True)
    values: Any = np.bincount(entry, lines["value"], len(keys)) if "value" in lines else None
    if "units" not in lines:
        return keys, values
    units = np.nan_to_num(np.asarray(lines["units"], dtype=np.float64))  # an unknown number neither adds nor takes
    largest = np.bincount(entry, np.abs(units), len(keys))
    returned = np.bincount(entry, units < 0, len(keys)) > 0
    bought = ~returned | (np.bincount(entry, units, len(keys)) > ROUNDING * largest)
    return keys[bought], None if values is None else values[bought]


def _joined(high: Codes, size: int, low: Codes) -> Keys:
    """Return ``high * size + low`` without a second array of that length."""
    keys = high.astype(np.int64)
    keys *= max(size, 1)
    keys += low
    return keys


def _without_empty(keys: Keys, items: int, baskets: int) -> tuple[Codes, Keys]:
    """Renumber the baskets that hold something: the basket of each entry, and which baskets were kept."""
    basket = (keys // max(items, 1)).astype(np.int32)
    held = np.zeros(baskets, bool)
    held[basket] = True
    kept = np.flatnonzero(held)
    return basket if len(kept) == baskets else (np.cumsum(held, dtype=np.int32) - 1)[basket], kept


def recoded(codes: Keys, item_ids: NDArray[Any], known: NDArray[Any] | None) -> tuple[Codes, NDArray[Any]]:
    """Give items the codes of those known (-1: not among them), or codes that rise with their frequency."""
    if known is None:
        order = np.argsort(np.bincount(codes, minlength=len(item_ids)), kind="stable")
        ids = item_ids[order]
    else:
        position = {item_id: place for place, item_id in enumerate(item_ids.tolist())}
        order = np.array([position.get(item_id, -1) for item_id in known.tolist()], dtype=np.int64)
        ids = known
    rank = np.full(len(item_ids) + 1, -1, np.int32)  # the last place takes what is known but not here
    rank[order] = np.arange(len(order), dtype=np.int32)
    rank[-1] = -1
    return rank[codes], ids


def packed(
    basket: Codes, codes: Codes, values: NDArray[np.float64] | None, shape: tuple[int, int]
) -> tuple[Keys, Codes, NDArray[np.float64] | None]:
    """Pack entries basket by basket, item codes rising; entries of unknown items are left out."""
    baskets, items = shape
    if (codes < 0).any():
        inside = codes >= 0
        basket, codes, values = basket[inside], codes[inside], None if values is None else values[inside]
    keys = _joined(basket, items, codes)
    if values is None:
        keys.sort()
    else:
        order = np.argsort(keys)
        keys, values = keys[order], values[order]
    starts = np.zeros(baskets + 1, np.int64)
    np.cumsum(np.bincount(basket, minlength=baskets), out=starts[1:])
    keys %= max(items, 1)
    return starts, keys.astype(np.int32), values
