"""What an order is: the one rule that every topic counts by."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw

ORDER_ROLES = ("customer_id", "order_id", "timestamp", "amount")  # what telling orders from credit notes takes
ROUNDING = 1e-9  # 0.1 + 0.2 - 0.3 is no order


def gather(lines: nw.LazyFrame[Any], *keys: str, **more: nw.Expr) -> nw.LazyFrame[Any]:
    """Add lines up to one row per ``keys``, with ``amount``, ``is_order`` and the aggregates ``more``.

    ``is_order`` (Int64, 0 or 1) is 0 for credit notes and for what was cancelled under the same keys: the lines add up
    to nothing or less, and some are returns. Its amount counts; it is no order. Free goods without a return are one.
    """
    amount, smallest, largest = (nw.col(name) for name in ("amount", "_smallest", "_largest"))
    sums = {"amount": amount.sum(), "_smallest": amount.min(), "_largest": amount.max()}
    is_order = ((amount > ROUNDING * largest.abs()) | (smallest >= 0)).cast(nw.Int64)
    return lines.group_by(*keys).agg(**sums, **more).with_columns(is_order=is_order).drop("_smallest", "_largest")


def orders_of(lines: nw.LazyFrame[Any], *keys: str, **more: nw.Expr) -> nw.LazyFrame[Any]:
    """Gather lines into orders: one row per ``keys`` and ``order_id``, with the moments of its first and last line.

    These are ``ordered_at`` and ``completed_at``. The days to a next order count from the first order's ``ordered_at``;
    silence, and so recency, counts from the last order's ``completed_at``.
    """
    moment = nw.col("timestamp")
    return gather(lines, *keys, "order_id", ordered_at=moment.min(), completed_at=moment.max(), **more)
