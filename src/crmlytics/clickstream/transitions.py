"""Where visitors go next: transitions between events or pages, and between two groups of visitors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import table_with_lists
from crmlytics._validation import check_fraction
from crmlytics.clickstream._walks import END, MICROSECONDS, START, read_walks

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics._kernels.transitions import Steps
    from crmlytics.clickstream._walks import Walks
    from crmlytics.tables import Events


def transition_table(
    events: Events | Any,
    *,
    item: str = "event",
    by: str | None = None,
    as_of: str | dt.date | dt.datetime | None = None,
    confidence: float = 0.95,
) -> Any:
    """Count what follows what: of those who are in a state, how many go where next, and after how long.

    Parameters
    ----------
    events : Events or dataframe, one row per event
        Needs ``timestamp``, the role of ``item`` and that of ``by``. Events of the same moment stand in order of their
        ids, and are told where they are more than 5 %.
    item : {"event", "page", "channel"}
        What a state is.
    by : {"session_id", "customer_id"}, optional
        What is walked through: sessions (where there are any, by default; see :func:`add_sessions`), or all that a
        customer ever did, in which the last event of a visit is followed by the first of the next.
    as_of : date, optional
        Only events before it. Sessions that are not over then end there.
    confidence : float
        Of the interval of a probability.

    Returns
    -------
    dataframe of the kind that came in, one row per transition seen, sorted by ``from_state`` and ``to_state``
        ``from_state`` (String, "(start)" before the first event; first in order), ``to_state`` (String, "(end)" after
        the last event; last in order); what repeats itself is a transition from a state to itself.
        ``transition_count`` (Int64), ``sequence_count`` (Int64, sessions or customers in which it was seen),
        ``probability`` (Float64, share of all transitions from ``from_state``), ``probability_low``,
        ``probability_high`` (Float64, Wilson's interval), ``median_seconds`` (Float64, between the two events; null
        from "(start)" and to "(end)").

    Notes
    -----
    ``probability`` is the maximum likelihood estimate of a Markov chain of order one, n(i, j) / n(i). Its interval
    takes transitions for independent, which those of one visitor are not quite: read ``sequence_count`` beside it.
    Whether what came before matters as well, :class:`MarkovChainModel` tells.

    A transition is no cause: that most go from the cart to the check-out does not say that a visitor led to the cart
    would.

    Examples
    --------
    >>> import pandas as pd
    >>> clicks = pd.DataFrame({
    ...     "session_id": [1, 1, 1, 2, 2], "event": ["home", "cart", "home", "home", "cart"],
    ...     "timestamp": pd.to_datetime(["2024-05-01"] * 5) + pd.to_timedelta([0, 5, 9, 0, 7], "s"),
    ... })
    >>> transition_table(clicks)[["from_state", "to_state", "transition_count", "probability", "median_seconds"]]
      from_state to_state  transition_count  probability  median_seconds
    0    (start)     home                 2     1.000000             NaN
    1       cart     home                 1     0.500000             4.0
    2       cart    (end)                 1     0.500000             NaN
    3       home     cart                 2     0.666667             6.0
    4       home    (end)                 1     0.333333             NaN
    """
    caller = "transition_table"
    check_fraction(confidence, name="confidence", caller=caller)
    walks = read_walks(events, by=by, item=item, as_of=as_of, caller=caller)
    return table_with_lists(walks.engine, _columns(walks, confidence))


# -- inside --------------------------------------------------------------------------------------------------------


def _columns(walks: Walks, confidence: float) -> dict[str, Any]:
    from crmlytics._kernels.proportions import wilson
    from crmlytics._kernels.transitions import steps, walks_with

    names = np.array([START, *walks.names(), END], dtype=object)
    walked = steps(walks.starts, walks.states + 1, 0, len(names) - 1)
    key, group, count = np.unique(
        walked.origin * len(names) + walked.destination, return_inverse=True, return_counts=True
    )
    origin, destination = key // len(names), key % len(names)
    total = np.bincount(walked.origin, minlength=len(names))[origin]
    low, high = wilson(count, total, confidence)
    return {
        "from_state": names[origin],
        "to_state": names[destination],
        "transition_count": count,
        "sequence_count": walks_with(group, walked.walk, len(key)),
        "probability": count / total,
        "probability_low": low,
        "probability_high": high,
        "median_seconds": _median_seconds(walks, walked, group, len(key)),
    }


def _median_seconds(walks: Walks, walked: Steps, group: NDArray[np.int64], groups: int) -> NDArray[np.float64]:
    """Return the median time of each transition between two events."""
    from crmlytics._kernels.transitions import grouped_quantiles

    is_between = (walked.place > 0) & (walked.destination <= len(walks.state_ids))  # neither into a walk nor out
    walk = walks.walk()
    waited = np.diff(walks.moment)[walk[1:] == walk[:-1]]
    median: NDArray[np.float64] = grouped_quantiles(group[is_between], waited, groups, (0.5,))[0] / MICROSECONDS
    return median
