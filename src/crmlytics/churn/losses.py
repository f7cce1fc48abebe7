"""Who was lost, and how the watchlist moved: for whoever answers for the customers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._validation import check_choice
from crmlytics.churn._missing import optional
from crmlytics.churn._watch_reading import read_watch
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics.churn._watch import Watch

BY = ("segment", "last_product", "lost_reason", "measure", "measure_reason", "rule")
LOST_SCHEMA: dict[str, Any] = {
    "lost_count": nw.Int64(), "lost_share": nw.Float64(), "lost_amount": nw.Float64(),
    "lost_amount_share": nw.Float64(), "median_tenure_days": nw.Float64(), "median_silent_days": nw.Float64(),
    "won_back_count": nw.Int64(), "won_back_share": nw.Float64(),
}  # fmt: skip
MOVEMENTS = {"warned_count": "warned_at", "measure_count": "measure_at", "lost_count": "lost_at",
             "won_back_count": "won_back_at", "dropped_count": "dropped_at"}  # fmt: skip


def lost_table(watch: Any, *, by: str | Sequence[str] = "segment") -> Any:
    """Say who was lost, and what with them: by segment, last product, reason or what was tried.

    Parameters
    ----------
    watch : dataframe
        As :func:`watchlist` makes it.
    by : str or several
        ``"segment"``, ``"last_product"``, ``"lost_reason"``, ``"measure"``, ``"measure_reason"`` or ``"rule"``.

    Returns
    -------
    dataframe of the kind of ``watch``, one row per group with a loss, sorted by group (without one last)
        The columns of ``by`` (String); ``lost_count`` (Int64, losses confirmed; a customer lost twice counts twice, one
        who had ordered again before the loss was confirmed not at all);
        ``lost_share`` (Float64, of all losses); ``lost_amount`` (Float64, what these customers brought in the 365 days
        up to their last order, and so about what a year without them costs); ``lost_amount_share`` (Float64, of that of
        all losses; null if it is not above zero); ``median_tenure_days`` (Float64, from the first order to the last);
        ``median_silent_days`` (Float64, from the last order to the loss being confirmed); ``won_back_count`` (Int64,
        those who ordered again after all), ``won_back_share`` (Float64, of ``lost_count``).

    Raises
    ------
    SchemaError, MissingColumnsError
        For a ``by`` that is none, or a table that is no watchlist.

    Notes
    -----
    Shares are of the losses, not of the customers: a segment with many losses may only be a large one. Divide by the
    customers of each segment to compare.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.churn import confirm_lost, defer, watchlist
    >>> orders = pd.DataFrame({"customer_id": ["a", "b", "c"], "amount": [30.0, 10.0, 5.0],
    ...                        "timestamp": pd.to_datetime(["2024-01-01", "2024-01-05", "2024-06-01"])})
    >>> watch = watchlist(orders, as_of="2024-06-02", silent_for="90d")
    >>> watch = defer(watch, ["a", "b"], measure="called", reason="no answer", on="2024-06-03")
    >>> watch = confirm_lost(watch, ["a", "b"], reason="price", on="2024-06-20")
    >>> lost_table(watch, by="lost_reason")[["lost_reason", "lost_count", "lost_amount", "median_silent_days"]]
      lost_reason  lost_count  lost_amount  median_silent_days
    0       price           2         40.0               169.0
    """
    caller = "lost_table"
    names = _names(by, caller=caller)
    kept, engine = read_watch(watch, caller=caller)
    lost = np.flatnonzero(kept.is_lost)
    group, keys = _groups([kept[name][lost].tolist() for name in names])
    columns: dict[str, Any] = {name: [key[place] for key in keys] for place, name in enumerate(names)}
    columns |= {name: optional(values) for name, values in _losses(kept, lost, group, len(keys)).items()}
    return engine.from_columns(columns, nw.Schema({name: nw.String() for name in names} | LOST_SCHEMA))


def watch_movement_table(watch: Any) -> Any:
    """Count month by month what came onto the watchlist and what became of it.

    Parameters
    ----------
    watch : dataframe
        As :func:`watchlist` makes it.

    Returns
    -------
    dataframe of the kind of ``watch``, one row per month from the first warning to the last run, sorted by month
        ``month`` (Datetime, its first day); ``warned_count`` (Int64, warnings); ``measure_count`` (Int64, warnings
        whose last measure was taken); ``lost_count`` (Int64, losses confirmed, also of those who came back later);
        ``won_back_count`` (Int64, those who ordered again, lost before or not); ``dropped_count`` (Int64, too old);
        ``open_count`` (Int64, at the end of the month on the list, and neither lost, won back nor dropped then).

    Raises
    ------
    SchemaError, MissingColumnsError
        For a table that is no watchlist.

    Notes
    -----
    A customer is warned of at a run and won back on the day of the order. With one run a month, whoever fell silent
    between two runs and came back before the second was never on the list. Mistaken warnings are left out, and losses
    confirmed when the customer had already ordered again are none.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.churn import watchlist
    >>> orders = pd.DataFrame({"customer_id": ["a", "b", "c", "b"], "amount": [30.0, 10.0, 5.0, 9.0],
    ...                        "timestamp": pd.to_datetime(["2024-01-01", "2024-01-05", "2024-06-01", "2024-07-09"])})
    >>> watch = watchlist(orders, as_of="2024-06-02", silent_for="90d")
    >>> watch = watchlist(orders, as_of="2024-07-10", silent_for="90d", previous=watch)
    >>> watch_movement_table(watch)[["month", "warned_count", "won_back_count", "open_count"]]
           month  warned_count  won_back_count  open_count
    0 2024-06-01             2               0           2
    1 2024-07-01             0               1           1
    """
    kept, engine = read_watch(watch, caller="watch_movement_table")
    dates = {count: kept[name][~kept.is_mistaken] for count, name in MOVEMENTS.items()}
    over = np.fmin(np.fmin(dates["lost_count"], dates["won_back_count"]), dates["dropped_count"])  # the first of them
    dates["lost_count"] = kept["lost_at"][kept.is_lost]
    known = np.concatenate([*dates.values(), kept["as_of"]])
    known = known[~np.isnat(known)].astype("datetime64[M]")
    months = np.arange(known.min(), known.max() + 1) if len(known) else known
    counts = {count: _per_month(moments, months) for count, moments in dates.items()}
    counts["open_count"] = np.cumsum(counts["warned_count"]) - np.cumsum(_per_month(over, months))
    columns = {"month": months.astype("datetime64[us]").tolist()} | counts
    return engine.from_columns(columns, nw.Schema({"month": nw.Datetime("us")} | {name: nw.Int64() for name in counts}))


# -- inside --------------------------------------------------------------------------------------------------------


def _names(by: Any, *, caller: str) -> list[str]:
    names = [by] if isinstance(by, str) else list(by) if isinstance(by, (list, tuple)) else []
    if not names or len(set(names)) < len(names):
        msg = f"{caller}: by must be one or several of {list(BY)}, each once, got {by!r}."
        raise SchemaError(msg)
    return [check_choice(name, BY, name="by", caller=caller) for name in names]


def _groups(values: list[list[Any]]) -> tuple[NDArray[np.int64], list[tuple[Any, ...]]]:
    """Return the group of each row, and the keys of the groups, sorted, None last."""
    rows = list(zip(*values, strict=True))
    keys = sorted(set(rows), key=lambda key: [(value is None, value or "") for value in key])
    place = {key: number for number, key in enumerate(keys)}
    return np.array([place[row] for row in rows], np.int64), keys


def _losses(kept: Watch, lost: NDArray[np.int64], group: NDArray[np.int64], groups: int) -> dict[str, NDArray[Any]]:
    amount = kept["at_stake_amount"][lost]
    count, total = np.bincount(group, minlength=groups), np.bincount(group, amount, groups)
    back = np.bincount(group[~kept.is_open[lost]], minlength=groups)
    silent = (kept["lost_at"][lost].astype("datetime64[D]") - kept["last_order_at"][lost]) // np.timedelta64(1, "D")
    return {
        "lost_count": count,
        "lost_share": count / len(lost) if len(lost) else count,
        "lost_amount": total,
        "lost_amount_share": total / amount.sum() if amount.sum() > 0 else np.full(groups, np.nan),
        "median_tenure_days": _medians(kept["tenure_days"][lost], group, groups),
        "median_silent_days": _medians(silent, group, groups),
        "won_back_count": back,
        "won_back_share": back / count,
    }


def _medians(values: NDArray[Any], group: NDArray[np.int64], groups: int) -> NDArray[np.float64]:
    return np.array([np.median(values[group == number]) for number in range(groups)], np.float64)


def _per_month(moments: NDArray[Any], months: NDArray[Any]) -> NDArray[np.int64]:
    """Count the moments that lie in each month."""
    known = moments[~np.isnat(moments)].astype("datetime64[M]")
    return np.bincount(np.searchsorted(months, known), minlength=len(months))
