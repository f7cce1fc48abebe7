"""How often is often: a least count, or a share of all, decided exactly; and the most frequent of what is mined."""

from __future__ import annotations

import math
import numbers
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

from crmlytics._validation import check_choice, check_count
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

DENOMINATOR = 10**9
KINDS = ("all", "closed", "maximal")
T = TypeVar("T")


def check_wanted(*, min_support: Any, min_len: Any, max_len: Any, kind: Any, top_k: Any, of: str, caller: str) -> None:
    """Check what a miner is asked for; ``of`` says what is counted, such as ``"baskets"``."""
    if min_support is None and top_k is None:
        msg = (
            f"{caller}: give min_support, such as min_support=0.01 (of all {of}) or min_support=100 ({of}), or top_k, "
            "such as top_k=50."
        )
        raise SchemaError(msg)
    if min_support is not None:
        check_support(min_support, of=of, caller=caller)
    check_count(min_len, name="min_len", caller=caller)
    check_choice(kind, KINDS, name="kind", caller=caller)
    if max_len is not None:
        check_count(max_len, name="max_len", caller=caller, least=min_len)
    if top_k is not None:
        check_count(top_k, name="top_k", caller=caller)
        if kind == "maximal" and min_support is None:
            msg = f"{caller}: what is maximal depends on min_support. Give it too, such as min_support=0.01."
            raise SchemaError(msg)


def check_support(min_support: Any, *, of: str, caller: str) -> None:
    """Check a whole number of at least one, or a share of all."""
    is_count = isinstance(min_support, numbers.Integral) and not isinstance(min_support, bool)
    is_share = isinstance(min_support, numbers.Real) and not isinstance(min_support, (bool, numbers.Integral))
    if (is_count and min_support >= 1) or (is_share and 0 < float(min_support) <= 1):
        return
    msg = (
        f"{caller}: min_support must be a whole number of {of} such as min_support=100, or a share of them between 0 "
        f"and 1 such as min_support=0.01, got {min_support!r}."
    )
    raise SchemaError(msg)


def least_count(min_support: Any, total: int) -> int:
    """Return the fewest of ``total`` that reach the support, a count or a share as it was written.

    >>> least_count(0.01, 9835), least_count(0.1, 10), least_count(7, 10), least_count(None, 10)
    (99, 1, 7, 1)
    """
    if min_support is None:
        return 1
    if isinstance(min_support, numbers.Integral):
        return int(min_support)
    share = Fraction(repr(float(min_support))).limit_denominator(DENOMINATOR)  # 5/6 is five sixths
    return max(1, math.ceil(share * total))


def mined_for_top(
    mined_at: Callable[[int], tuple[T, NDArray[np.int32]]],
    counts: NDArray[np.int64],
    top_k: int,
    floor: int,
    too_many_error: type[Exception],
) -> tuple[T, NDArray[np.int32]]:
    """Lower the threshold until at least ``top_k`` rows are found, or the floor is reached.

    It begins at the count of the ``top_k``-th item (``counts`` rise), which the ``top_k``-th pattern reaches if single
    items are  A threshold at which there are too many is not passed by again.
    """
    threshold = max(int(counts[-min(top_k, len(counts))]) if len(counts) else floor, floor)
    too_many, too_few = floor - 1, threshold + 1
    while True:
        try:
            found = mined_at(threshold)
        except too_many_error:
            too_many = threshold
            if too_few - too_many <= 1:
                raise
        else:
            if len(found[1]) >= top_k or threshold == floor:
                return found
            too_few = threshold
        threshold = max(floor, (too_many + too_few) // 2 if too_many >= floor else too_few // 2)
