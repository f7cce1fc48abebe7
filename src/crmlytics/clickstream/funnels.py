"""Funnels: how many get how far on the way to a goal, and where one segment loses more than another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import table_with_lists
from crmlytics._validation import check_choice, check_fraction
from crmlytics.clickstream._funnel import Funnel
from crmlytics.clickstream._reading import enter_events
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics.clickstream._funnel import Ways
    from crmlytics.tables import Events


def funnel_table(
    events: Events | Any,
    steps: Sequence[Any],
    *,
    by: str = "customer_id",
    item: str = "event",
    order: str = "ordered",
    within: str | dt.timedelta | None = None,
    segments: Any = None,
    as_of: str | dt.date | dt.datetime | None = None,
) -> Any:
    """Count who takes each step of the way to a goal, and how many are lost between two steps.

    Parameters
    ----------
    events : Events or dataframe, one row per event
        Needs ``timestamp`` and the roles that ``by`` and ``item`` name.
    steps : list
        The events of the funnel, two or more, such as ``["product", "cart", "purchase"]``. A list within the list
        is a step that any of its events makes: ``["product", ["cart", "wish_list"], "purchase"]``.
    by : {"customer_id", "session_id"}
        Who goes through the funnel. Sessions can be made by :func:`add_sessions`; their ids need to be unique only
        within a customer.
    item : {"event", "page"}
        What steps are.
    order : {"ordered", "any"}
        ``"ordered"``: each step after the one before, other events in between allowed. ``"any"``: whoever took this
        step and all before it in the list, in whatever order; no event may then be of two steps.
    within : str or timedelta, optional
        The longest time from the first step to any other (in any order: from the first of these events to the last),
        such as ``"30m"`` or ``"7d"``. A visitor who begins several times gets every chance.
    segments : str or dataframe, optional
        Count each segment by itself: the name of a column of the events, such as ``"channel"`` (words, whole numbers,
        or true and false; whoever is counted is in the segment of their first event of the first step), or a table of
        ``customer_id`` and ``segment``. Who has none is left out, and told.
    as_of : date, optional
        Only events before this moment are read.

    Returns
    -------
    dataframe of the kind that came in, one row per segment (sorted) and step (in order)
        ``segment`` (String, with ``segments``), ``step_number`` (Int64, from 1), ``step`` (String, the events joined
        by " or "), ``reached_count`` (Int64, customers or sessions that took this step and all before it),
        ``share_of_start`` (Float64, of those who took the first step), ``share_of_previous`` (Float64, of those who
        took the step before; missing for the first), ``dropped_count`` (Int64, those who took the step before, not
        this one), ``median_seconds_from_previous`` (Float64, between the step before and this one; missing for the
        first, and in any order). A share of nobody is missing.

    Raises
    ------
    SchemaError
        When ``steps`` are fewer than two, or not names, or overlap in any order.

    Warns
    -----
    DataQualityWarning
        When no event is called as a step, somebody is in no segment, or events of different steps share their moment.

    Notes
    -----
    Exact: for each step the latest beginning is kept from which it can be completed, so a window misses nobody. Of
    several ways through the funnel the time of one is told: it goes furthest, gets there first and begins last. An
    event makes one step only: ``["product", "product"]`` asks for two views. Events of the same moment are taken in
    order of the steps, then of their names.

    Whoever came shortly before the end of the data had less time: with ``within="7d"``, end a comparison of periods at
    ``as_of`` and leave out who began in the last 7 days.

    Examples
    --------
    >>> import pandas as pd
    >>> clicks = pd.DataFrame(
    ...     [("a", 1, "product"), ("a", 2, "cart"), ("a", 9, "purchase"), ("b", 3, "cart"), ("b", 4, "product")],
    ...     columns=["customer_id", "minute", "event"],
    ... )
    >>> clicks["timestamp"] = pd.Timestamp("2024-05-01") + pd.to_timedelta(clicks.pop("minute"), unit="min")
    >>> table = funnel_table(clicks, ["product", "cart", "purchase"])
    >>> table[["step", "reached_count", "share_of_start", "median_seconds_from_previous"]]
           step  reached_count  share_of_start  median_seconds_from_previous
    0   product              2             1.0                           NaN
    1      cart              1             0.5                          60.0
    2  purchase              1             0.5                         420.0
    """
    caller = "funnel_table"
    check_choice(by, ["customer_id", "session_id"], name="by", caller=caller)
    table = enter_events(events, as_of=as_of, caller=caller)
    funnel = Funnel(steps, item, order, within, caller)
    ways = funnel.ways(table, by, segments)
    return table_with_lists(table.engine, _counted(ways, funnel.names, named=segments is not None))


def funnel_test_table(
    events: Events | Any,
    steps: Sequence[Any],
    *,
    segments: Any,
    item: str = "event",
    order: str = "ordered",
    within: str | dt.timedelta | None = None,
    as_of: str | dt.date | dt.datetime | None = None,
    alpha: float = 0.05,
) -> Any:
    """Test at each step of a funnel whether segments differ in how many go on from the step before.

    Customers are compared, not sessions: a customer's sessions are not independent, and tests that take them for so
    see differences that are none.

    Parameters
    ----------
    events, steps, segments, item, order, within, as_of
        As :func:`funnel_table` takes them; ``customer_id`` is needed.
    alpha : float
        The probability of a single false "differs" in the whole table.

    Returns
    -------
    dataframe of the kind that came in, one row per step (from the second) and two segments (sorted)
        ``step_number`` (Int64), ``step``, ``segment``, ``other_segment`` (String), ``previous_count``,
        ``other_previous_count`` (Int64, customers who took the step before), ``reached_count``,
        ``other_reached_count`` (Int64, those of them who took this one), ``share_of_previous``,
        ``other_share_of_previous``, ``difference`` (Float64, the first less the other), ``difference_low``,
        ``difference_high`` (Float64, its interval at 1 - ``alpha``, for this row alone), ``p_value``,
        ``adjusted_p_value`` (Float64, by Holm's method over all rows), ``differs`` (Boolean, ``adjusted_p_value <=
        alpha``), ``step_p_value`` (Float64, of the chi-squared test that all segments are alike at this step).

    Raises
    ------
    SchemaError
        When fewer than two segments begin the funnel.

    Notes
    -----
    Two segments: the score test of two shares (its square is Pearson's chi-squared); where fewer than 5 would be
    expected to go on, or not to, Fisher's exact test instead (twice the smaller tail). The interval is that of R. G.
    Newcombe (1998), "Interval estimation for the difference between independent proportions", Statistics in Medicine
    17, method 10. With two segments ``step_p_value`` is ``p_value``; with more it is missing where fewer than 5 are
    expected. A share of nobody has no p-value.

    Segments that differ were not made alike: who comes by e-mail is another customer than who comes by an
    advertisement. What a change of the site did is told by a test on visitors drawn by lot.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = [(c, m, e) for c in range(80) for m, e in enumerate(["cart", "purchase"][: 1 + (c % 8 < (c // 40) * 4)])]
    >>> clicks = pd.DataFrame(rows, columns=["customer_id", "minute", "event"])
    >>> clicks["timestamp"] = pd.Timestamp("2024-05-01") + pd.to_timedelta(clicks["minute"], unit="min")
    >>> who = pd.DataFrame({"customer_id": range(80), "segment": ["new"] * 40 + ["old"] * 40})
    >>> table = funnel_test_table(clicks, ["cart", "purchase"], segments=who)
    >>> table[["segment", "other_segment", "difference", "difference_low", "difference_high", "differs"]].round(3)
      segment other_segment  difference  difference_low  difference_high  differs
    0     new           old        -0.5          -0.648           -0.328     True
    """
    caller = "funnel_test_table"
    check_fraction(alpha, name="alpha", caller=caller)
    if segments is None:
        msg = f'{caller}: segments must be the name of a column such as "channel", or a table of segments, got None.'
        raise SchemaError(msg)
    table = enter_events(events, as_of=as_of, caller=caller)
    funnel = Funnel(steps, item, order, within, caller)
    ways = funnel.ways(table, "customer_id", segments)
    if len(ways.names) < 2:
        msg = f"{caller}: expected at least two segments that begin the funnel, got {ways.names}."
        raise SchemaError(msg)
    return table_with_lists(table.engine, _tested(ways, funnel.names, alpha))


# -- inside --------------------------------------------------------------------------------------------------------


def _counted(ways: Ways, steps: list[str], *, named: bool) -> dict[str, Any]:
    from crmlytics._kernels.proportion_tests import share

    reached = ways.reached()
    previous = np.concatenate([reached[:, :1], reached[:, :-1]], axis=1)
    of_previous = share(reached, previous)
    of_previous[:, 0] = np.nan
    columns = {
        "reached_count": reached,
        "share_of_start": share(reached, reached[:, :1]),
        "share_of_previous": of_previous,
        "dropped_count": previous - reached,
        "median_seconds_from_previous": _medians(ways),
    }
    sides = {"segment": np.repeat(np.array(ways.names, object), len(steps))} if named else {}
    sides |= {
        "step_number": np.tile(np.arange(1, len(steps) + 1), len(ways.names)),
        "step": np.tile(np.array(steps, object), len(ways.names)),
    }
    return sides | {name: values.ravel() for name, values in columns.items()}


def _medians(ways: Ways) -> NDArray[np.float64]:
    """Return the median time from the step before: shape (segments, steps)."""
    medians = np.full((len(ways.names), ways.seconds.shape[1]), np.nan)
    for number, step in np.ndindex(medians.shape):
        seconds = ways.seconds[ways.group == number, step]
        seconds = seconds[~np.isnan(seconds)]
        if len(seconds):
            medians[number, step] = np.median(seconds)
    return medians


def _tested(ways: Ways, steps: list[str], alpha: float) -> dict[str, Any]:
    """Compare every two segments at every step from the second."""
    from crmlytics._kernels.multiple_testing import holm
    from crmlytics._kernels.proportion_tests import difference_interval, difference_p_value, share

    reached = ways.reached()
    one, other = np.triu_indices(len(ways.names), 1)
    step = np.repeat(np.arange(1, len(steps)), len(one))
    one, other = np.tile(one, len(steps) - 1), np.tile(other, len(steps) - 1)
    count, total = reached[one, step], reached[one, step - 1]
    other_count, other_total = reached[other, step], reached[other, step - 1]
    compared = (count, total, other_count, other_total)
    low, high = difference_interval(*compared, alpha)
    p_value = difference_p_value(*compared)
    adjusted = holm(p_value)
    names = np.array(ways.names, object)
    return {
        "step_number": step + 1,
        "step": np.array(steps, object)[step],
        "segment": names[one],
        "other_segment": names[other],
        "previous_count": total,
        "other_previous_count": other_total,
        "reached_count": count,
        "other_reached_count": other_count,
        "share_of_previous": share(count, total),
        "other_share_of_previous": share(other_count, other_total),
        "difference": share(count, total) - share(other_count, other_total),
        "difference_low": low,
        "difference_high": high,
        "p_value": p_value,
        "adjusted_p_value": adjusted,
        "differs": adjusted <= alpha,
        "step_p_value": _step_p_values(reached)[step - 1],
    }


def _step_p_values(reached: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the p-value of the test that all segments are alike, for each step from the second."""
    from crmlytics._kernels.proportion_tests import equal_shares_p_value

    steps = range(1, reached.shape[1])
    return np.array([equal_shares_p_value(reached[:, step], reached[:, step - 1]) for step in steps])
