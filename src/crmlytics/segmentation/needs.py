"""Differentiate by value and by needs: who is worth what, and who wants what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import table_with_lists
from crmlytics._validation import check_tiers
from crmlytics.exceptions import SchemaError
from crmlytics.segmentation._reading import KEY, SEGMENT, check_same_ids, read_keyed, say_left_out, segment_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

TIERS = {"high": 0.2, "middle": 0.3, "low": 0.5}


def value_needs_table(
    values: Any, needs: Any, *, value: str = "total_amount", tiers: Mapping[str, float] | None = None, key: str = KEY
) -> Any:
    """Cross tiers of value with segments of needs: how many customers are in each cell, and what they are worth.

    Parameters
    ----------
    values : dataframe, one row per customer
        Needs ``key`` and the column ``value``: past amounts or, better, expected ones.
    needs : dataframe, one row per customer
        Needs ``key`` and ``segment``, made from what customers want and do, not from how much they spend.
    value : str, default "total_amount"
        The column of what a customer is worth.
    tiers : mapping of str to float, optional
        Names of the tiers, the most valuable first, and their shares of customers, which add up to 1. Default:
        ``{"high": 0.2, "middle": 0.3, "low": 0.5}``.
    key : str, default "customer_id"

    Returns
    -------
    dataframe of the kind of ``values``, one row per tier and segment, also those without a customer
        ``value_tier``, ``segment`` (String); ``customer_count`` (Int64); ``customer_share`` (Float64, of all);
        ``value_amount`` (Float64, of them all, in the unit of ``value``); ``value_share`` (Float64, of the whole value;
        null where that is not above zero); ``mean_value_amount`` (Float64, a customer; null in an empty cell);
        ``tier_share`` (Float64, the share of this tier within the segment); ``lift`` (Float64, customers over those
        expected if value and needs had nothing to do with each other). Tiers in their order, then segments by name.

    Raises
    ------
    SchemaError
        When no customer is in both tables, values are missing or infinite, or shares do not add up to 1.

    Warns
    -----
    DataQualityWarning
        When customers are in one of the tables only: they are left out.

    Notes
    -----
    Equal values are in the same tier, the higher one, so that tiers may differ from their shares.

    Peppers and Rogers (2016), "Managing customer experience and relationships", chapters 5 and 6: value says how much
    to spend on a customer, needs say on what.

    Examples
    --------
    >>> import pandas as pd
    >>> values = pd.DataFrame({"customer_id": [1, 2, 3, 4], "total_amount": [90.0, 10.0, 50.0, 50.0]})
    >>> needs = pd.DataFrame({"customer_id": [1, 2, 3, 4], "segment": ["fresh", "fresh", "bulk", "fresh"]})
    >>> table = value_needs_table(values, needs, tiers={"top": 0.25, "rest": 0.75})
    >>> table[["value_tier", "segment", "customer_count", "value_amount", "lift"]].round(2)
      value_tier segment  customer_count  value_amount  lift
    0        top    bulk               0           0.0  0.00
    1        top   fresh               1          90.0  1.33
    2       rest    bulk               1          50.0  1.33
    3       rest   fresh               2          60.0  0.89
    """
    caller = "value_needs_table"
    shares = check_tiers(TIERS if tiers is None else tiers, caller=caller)
    worth = read_keyed(values, key=key, columns=[value], what="values", caller=caller)
    wanted = read_keyed(needs, key=key, columns=[SEGMENT], what="needs", caller=caller)
    check_same_ids(worth, wanted, names=("values", "needs"), caller=caller)
    labels = segment_labels(wanted.table[SEGMENT], what="needs", caller=caller)
    found = dict(zip(wanted.table[key], labels, strict=True))
    amounts = _read_amounts(worth.table[value], value, caller=caller)
    both = worth.table[key].isin(list(found)).to_numpy(dtype=bool)
    if not both.any():
        msg = f"{caller}: no customer of values is in needs. Check key={key!r} in both tables."
        raise SchemaError(msg)
    say_left_out(worth, wanted, names=("values", "needs"), caller=caller)
    segment = np.array([found[one] for one in worth.table[key][both]], dtype=object)
    return table_with_lists(worth.engine, _columns(amounts[both], segment, shares))


def _columns(amounts: Vector, segment: NDArray[Any], tiers: Mapping[str, float]) -> dict[str, NDArray[Any]]:
    names, code = np.unique(segment, return_inverse=True)
    shape = (len(tiers), len(names))
    cell = _tier_of(amounts, list(tiers.values())) * len(names) + code
    count = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    worth = np.bincount(cell, amounts, shape[0] * shape[1]).reshape(shape)
    expected = np.outer(count.sum(axis=1), count.sum(axis=0)) / count.sum()
    empty = np.full(shape, np.nan)
    whole = worth.sum()
    figures = {
        "customer_count": count,
        "customer_share": count / count.sum(),
        "value_amount": worth,
        "value_share": worth / whole if whole > 0 else empty,
        "mean_value_amount": np.divide(worth, count, out=empty.copy(), where=count > 0),
        "tier_share": count / count.sum(axis=0),
        "lift": np.divide(count, expected, out=empty.copy(), where=expected > 0),
    }
    words = {"value_tier": np.repeat(np.array(list(tiers), dtype=object), len(names))}
    words[SEGMENT] = np.tile(names.astype(object), len(tiers))
    return words | {name: values.ravel() for name, values in figures.items()}


def _tier_of(amounts: Vector, shares: list[float]) -> NDArray[np.int64]:
    """Return the tier of each customer, 0 the most valuable, by how many are worth more: equals stay together."""
    in_order = np.sort(-amounts)
    worth_more = np.searchsorted(in_order, -amounts, side="left") / len(amounts)
    ends = np.cumsum(shares)[:-1] - 1e-9  # 0.1 + 0.2 is not 0.3
    return np.asarray(np.searchsorted(ends, worth_more, side="right"), np.int64)


def _read_amounts(values: Any, name: str, *, caller: str) -> Vector:
    try:
        amounts = values.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise SchemaError(f"{caller}: the column value={name!r} must hold numbers, got {values.dtype}.") from error
    unusable = int((~np.isfinite(amounts)).sum())
    if unusable:
        msg = f"{caller}: {name!r} is missing or infinite in {unusable:,} rows. Leave these out, or give 0."
        raise SchemaError(msg)
    return np.asarray(amounts)
