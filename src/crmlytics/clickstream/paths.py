"""Which ways lead to conversion: runs of events that are frequent before it, and what converts after them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import list_column, table_with_lists
from crmlytics._sequences import offsets
from crmlytics._support import check_support, least_count
from crmlytics._validation import check_count, check_fraction
from crmlytics.clickstream._walks import read_walks, until_conversion

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics._kernels.transitions import Runs
    from crmlytics.clickstream._walks import Approaches, Walks
    from crmlytics.tables import Events

CALLER = "path_table"


def path_table(
    events: Events | Any,
    *,
    converted: Any,
    min_support: float = 0.01,
    min_len: int = 2,
    max_len: int = 4,
    item: str = "event",
    by: str | None = None,
    as_of: str | dt.date | dt.datetime | None = None,
    confidence: float = 0.95,
) -> Any:
    """Find the ways that many visitors go before they convert or leave, and what share of each way's visitors convert.

    A path is a run of events directly after each other, anywhere in a session before its first conversion: the
    conversion and what follows are in no path, so what is compared is what came before.

    Parameters
    ----------
    events : Events or dataframe, one row per event
        Needs ``timestamp``, the role of ``item`` and that of ``by``.
    converted : str, int or list of them
        The events that are the conversion (what ``item`` says, where no ``event`` is bound); of several, whichever
        comes first.
    min_support : float or int
        The least share (or number) of sessions that hold a path. Whether they converted does not matter: paths are not
        chosen by what they are tested for.
    min_len, max_len : int
        How many events a path has. Long ones are many: the data should have dozens of sessions for each.
    item : {"event", "page", "channel"}
        What an event is called by.
    by : {"session_id", "customer_id"}, optional
        What paths are looked for in: sessions (where there are any, by default) or all that a customer did.
    as_of : date, optional
        Only events before it. Sessions that are not over then count as not converted.
    confidence : float
        Of the interval of the share.

    Returns
    -------
    dataframe of the kind that came in, one row per path, the greatest lift first, then the most sessions, then by path
        ``path`` (List of Int64 or String), ``path_length`` (Int64, events),
        ``sequence_count`` (Int64, sessions or customers that hold it before converting), ``converted_count`` (Int64,
        those of them that converted), ``conversion_share`` (Float64, ``converted_count / sequence_count``),
        ``conversion_share_low``, ``conversion_share_high`` (Float64, Wilson's interval), ``lift`` (Float64,
        ``conversion_share`` over that of all sessions; null if none converted), ``p_value`` (Float64, two-sided, of
        Fisher's exact test against the sessions without the path, by doubling the smaller tail),
        ``adjusted_p_value`` (Float64, by Holm's method over all rows).

    Warns
    -----
    DataQualityWarning
        When an event of ``converted`` is not among the data.

    Notes
    -----
    Read lift with care. What stands directly before the conversion (the check-out) lifts most and is no news: remove
    it, or take it for the conversion, and ask what leads there. A long session holds more paths than a short one. And
    visitors who mean to buy go other ways than those who do not: a path is a sign of what they want, not the cause
    of it. Sessions are tested as if independent: where the same customers come often, ``by="customer_id"`` is the
    honest test.

    Runs are found by doubling up overlapping ones (R. Karp, R. Miller and A. Rosenberg 1972), pruned by support. For
    paths with gaps or sets of events see :mod:`crmlytics.sequences`.

    Examples
    --------
    >>> import pandas as pd
    >>> paths = ["home cart buy", "home cart buy home", "home help", "home help home", "home cart"]
    >>> clicks = pd.DataFrame(
    ...     [(s, pd.Timestamp(2024, 5, 1, i), e) for s, path in enumerate(paths) for i, e in enumerate(path.split())],
    ...     columns=["session_id", "timestamp", "event"],
    ... )
    >>> path_table(clicks, converted="buy", min_support=2)[["path", "sequence_count", "conversion_share", "lift"]]
                  path  sequence_count  conversion_share      lift
    0  ['home' 'cart']               3          0.666667  1.666667
    1  ['home' 'help']               2          0.000000  0.000000
    """
    check_support(min_support, of="sessions", caller=CALLER)
    check_count(min_len, name="min_len", caller=CALLER)
    check_count(max_len, name="max_len", caller=CALLER, least=min_len)
    check_fraction(confidence, name="confidence", caller=CALLER)
    walks = read_walks(events, by=by, item=item, as_of=as_of, caller=CALLER)
    least = least_count(min_support, len(walks))
    approaches = until_conversion(walks, walks.converts(converted, caller=CALLER))
    return table_with_lists(walks.engine, _columns(walks, approaches, (least, min_len, max_len), confidence))


# -- inside --------------------------------------------------------------------------------------------------------


def _columns(walks: Walks, approaches: Approaches, wanted: tuple[int, int, int], confidence: float) -> dict[str, Any]:
    from crmlytics._kernels.multiple_testing import holm
    from crmlytics._kernels.proportion_tests import share
    from crmlytics._kernels.proportions import wilson
    from crmlytics._kernels.transitions import Runs, frequent_runs

    least, min_len, max_len = wanted
    runs = frequent_runs(
        approaches.starts, approaches.states, approaches.is_converted, min_walks=least, max_len=max_len
    )
    runs = Runs(*(column[runs.length >= min_len] for column in runs))
    low, high = wilson(runs.marked, runs.walks, confidence)
    p_value = _p_values(runs, approaches)
    rows = _order(runs, approaches)
    columns = {
        "path_length": runs.length,
        "sequence_count": runs.walks,
        "converted_count": runs.marked,
        "conversion_share": runs.marked / runs.walks,
        "conversion_share_low": low,
        "conversion_share_high": high,
        "lift": share(runs.marked * len(walks), runs.walks * approaches.is_converted.sum()),
        "p_value": p_value,
        "adjusted_p_value": holm(p_value),
    }
    starts, codes = _members(runs, approaches, rows)
    path = list_column(starts, codes, walks.state_ids)
    return {"path": path} | {name: values[rows] for name, values in columns.items()}


def _p_values(runs: Runs, approaches: Approaches) -> NDArray[np.float64]:
    """Return the p-values of Fisher's test of each run, twice the smaller tail."""
    from crmlytics._kernels.proportion_tests import exact_p_value

    walks, converted = len(approaches.is_converted), int(approaches.is_converted.sum())
    return exact_p_value(runs.marked, runs.walks, converted - runs.marked, walks - runs.walks)


def _order(runs: Runs, approaches: Approaches) -> NDArray[np.int64]:
    """Sort by lift, falling, then by walks, falling, then by path."""
    longest = int(runs.length.max(initial=0))
    place = np.arange(longest)[:, None]
    at = np.where(place < runs.length, runs.at + place, 0)
    path = np.where(place < runs.length, approaches.states[at] if len(runs.at) else at, -1)
    return np.lexsort((*path[::-1], -runs.walks, -(runs.marked / runs.walks)))


def _members(
    runs: Runs, approaches: Approaches, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    starts = offsets(runs.length[rows])
    places = np.repeat(runs.at[rows] - starts[:-1], runs.length[rows]) + np.arange(starts[-1])
    return starts, approaches.states[places]
