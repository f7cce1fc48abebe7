"""Why an item is suggested, in words that a customer may read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.next_purchase_reasons import Evidence

OFTEN = 3  # purchases: fewer show no interval


def reasons_of(sources: NDArray[Any], evidence: Evidence, item_ids: NDArray[Any]) -> list[str]:
    """Return the reason of each suggestion: its source, with what speaks for it."""
    columns = (sources, *evidence[:2], item_ids[evidence.because], evidence.days_ago)
    return [_reason(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _reason(source: int, times: int, interval: int, because: Any, days_ago: int) -> str:
    """Put one reason into words.

    >>> from crmlytics._kernels.next_purchase import BESIDE, OWN, POPULAR
    >>> [_reason(OWN, 5, 28, 17, 30), _reason(OWN, 1, 0, 17, 1)]
    ['bought every 28 days, last 30 days ago', 'bought once, 1 day ago']
    >>> [_reason(BESIDE, 0, 0, "tea", 3), _reason(POPULAR, 0, 0, 17, -1)]
    ['goes with tea, bought 3 days ago', 'popular']
    """
    from crmlytics._kernels.next_purchase import AFTER, BESIDE, OWN, SIMILAR

    if source == OWN:
        return _own(times, interval, _ago(days_ago))
    if source == BESIDE:
        return f"goes with {because}, bought {_ago(days_ago)}"
    if source == AFTER:
        return f"often next after {because}, bought {_ago(days_ago)}"
    return "customers with similar purchases buy it" if source == SIMILAR else "popular"


def _own(times: int, interval: int, ago: str) -> str:
    if times >= OFTEN:
        return f"bought every {_days(interval)}, last {ago}"
    return f"bought twice, last {ago}" if times > 1 else f"bought once, {ago}"


def _ago(days: int) -> str:
    return "today" if days == 0 else f"{_days(days)} ago"


def _days(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"
