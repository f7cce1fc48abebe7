"""The moments that a panel is taken at: listing them, and which may train for which."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._validation import as_days, as_moment, check_count
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Split = tuple[NDArray[np.int64], NDArray[np.int64]]


def cutoff_dates(
    last: str | dt.date | dt.datetime, *, every: str | dt.timedelta = "30d", count: int = 6
) -> list[dt.datetime]:
    """List moments at equal distances, the last of them given: the cutoffs of a panel.

    Parameters
    ----------
    last : date
        The latest cutoff.
    every : str or timedelta, default "30d"
        The days from one to the next.
    count : int, default 6
        How many, at least 1.

    Returns
    -------
    list of datetime, in order

    Raises
    ------
    SchemaError
        For a date, duration or count that cannot be read.

    Notes
    -----
    Cutoffs close together repeat themselves: a customer hardly changes in a week. A month apart is usual. For a season
    in the data they should go round the year: ``every="30d", count=12``.

    Examples
    --------
    >>> [f"{moment:%Y-%m-%d}" for moment in cutoff_dates("2011-09-10", every="30d", count=3)]
    ['2011-07-12', '2011-08-11', '2011-09-10']
    """
    caller = "cutoff_dates"
    end = as_moment(last, name="last", caller=caller)
    step = as_days(every, name="every", caller=caller)
    number = check_count(count, name="count", caller=caller)
    return [end - dt.timedelta(days=step * back) for back in range(number - 1, -1, -1)]


def read_cutoffs(cutoffs: Any, *, caller: str) -> tuple[dt.datetime, ...]:
    """Read one moment or several: sorted, each once."""
    several = hasattr(cutoffs, "__iter__") and not isinstance(cutoffs, (str, bytes))
    moments = {as_moment(value, name="cutoffs", caller=caller) for value in (cutoffs if several else [cutoffs])}
    if not moments:
        msg = f'{caller}: cutoffs is empty. Give at least one, such as cutoffs=cutoff_dates("2011-09-10", count=6).'
        raise SchemaError(msg)
    return tuple(sorted(moments))


def rolling_origin(cutoffs: NDArray[Any], wait: dt.timedelta, *, least: int) -> list[Split]:
    """Split rows by their cutoff: each cutoff tests what the rows before it, whose labels were known by then, taught.

    Parameters
    ----------
    cutoffs : datetime64 array, shape (rows,)
    wait : timedelta
        From a cutoff to the end of its label window.
    least : int
        The training cutoffs that a test needs.

    Returns
    -------
    list of (train, test)
        Positions of rows.
    """
    moments = np.unique(cutoffs)
    splits = []
    for moment in moments:
        known = moments <= moment - np.timedelta64(wait)
        if known.sum() >= least:
            splits.append((np.flatnonzero(cutoffs <= moment - np.timedelta64(wait)), np.flatnonzero(cutoffs == moment)))
    return splits


def check_splits(splits: Sequence[Split], cutoffs: Sequence[dt.datetime], wait: dt.timedelta, *, least: int) -> None:
    """Refuse cutoffs of which none may train for another, saying which one would."""
    if splits:
        return
    latest = max(cutoffs)
    needed = latest - wait
    msg = (
        f"Snapshots.splits: to test at {latest:%Y-%m-%d}, training cutoffs must lie at or before {needed:%Y-%m-%d}, "
        f"{wait.days} days (gap + horizon) earlier, or their labels were not known yet; min_train_cutoffs={least} of "
        f'them. Add earlier ones, such as cutoffs=cutoff_dates("{latest:%Y-%m-%d}", every="30d", '
        f"count={-(-wait.days // 30) + least}), or take a shorter horizon."
    )
    raise SchemaError(msg)
