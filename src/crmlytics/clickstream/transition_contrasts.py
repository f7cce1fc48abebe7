"""Do two groups of visitors go different ways: their transitions side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import columns_of, enter, to_pandas
from crmlytics._lists import table_with_lists
from crmlytics._validation import check_fraction
from crmlytics.clickstream._walks import END, START
from crmlytics.exceptions import MissingColumnsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._frames import Engine

CALLER = "transition_contrast_table"
NEEDED = ["from_state", "to_state", "transition_count"]


def transition_contrast_table(transitions: Any, others: Any, *, confidence: float = 0.95) -> Any:
    """Compare where two groups of visitors go next: new ones and old ones, this month and the last, two channels.

    Parameters
    ----------
    transitions, others : dataframes
        The transitions of each group, as :func:`transition_table` makes them.
    confidence : float
        Of the interval of a difference.

    Returns
    -------
    dataframe of the kind of ``transitions``, one row per transition that either group has, sorted by both states
        ``from_state`` ("(start)" first), ``to_state`` (String; "(end)" last); ``transition_count``,
        ``other_transition_count`` (Int64), ``probability``, ``other_probability`` (Float64, shares of all transitions
        from ``from_state`` in each group; null where a group never was there), ``probability_difference``,
        ``probability_difference_low``, ``probability_difference_high`` (Float64, the first less the other; interval of
        R. Newcombe 1998, method 10), ``p_value`` (Float64, two-sided, of the test that both are equal; null where
        a group never was in ``from_state``), ``adjusted_p_value`` (Float64, by Holm's method over all rows tested).

    Notes
    -----
    The test is the score test of two shares; where fewer than 5 would be expected, as with most transitions of a small
    group, Fisher's exact test (twice the smaller tail). Transitions are tested as if independent. Those of one visitor
    are not quite, so a p-value near the limit is no finding. Groups that visitors chose themselves differ in more than
    their name: no difference here tells what would happen if they were led another way.

    Examples
    --------
    >>> import pandas as pd
    >>> new = pd.DataFrame({"from_state": ["home"] * 2, "to_state": ["cart", "(end)"], "transition_count": [5, 15]})
    >>> old = new.assign(transition_count=[12, 8])
    >>> found = transition_contrast_table(new, old)
    >>> found[["to_state", "probability", "other_probability", "probability_difference", "p_value"]].round(3)
      to_state  probability  other_probability  probability_difference  p_value
    0     cart         0.25                0.6                   -0.35    0.025
    1    (end)         0.75                0.4                    0.35    0.025
    """
    check_fraction(confidence, name="confidence", caller=CALLER)
    engine, counts = _read(transitions, "transitions")
    _, other_counts = _read(others, "others")
    steps = sorted(counts.keys() | other_counts.keys(), key=lambda step: (_place(step[0]), _place(step[1])))
    origin = [step[0] for step in steps]
    count, other = (np.array([of.get(step, 0) for step in steps], np.int64) for of in (counts, other_counts))
    numbers = _compared(count, _totals(origin, count), other, _totals(origin, other), confidence)
    names = (np.array(column, dtype=object) for column in (origin, [step[1] for step in steps]))
    return table_with_lists(engine, dict(zip(NEEDED[:2], names, strict=True)) | numbers)


# -- inside --------------------------------------------------------------------------------------------------------


def _read(transitions: Any, argument: str) -> tuple[Engine, dict[tuple[str, str], int]]:
    plan, engine = enter(transitions, caller=CALLER)
    names = columns_of(plan)
    missing = [name for name in NEEDED if name not in names]
    if missing:
        msg = f"{CALLER}: {argument} needs the columns {missing}, got {names}. Make it with transition_table(events)."
        raise MissingColumnsError(msg)
    table = to_pandas(transitions, caller=CALLER)
    rows = zip(*(table[name].tolist() for name in NEEDED), strict=True)
    return engine, {(origin, destination): int(count) for origin, destination, count in rows}


def _place(state: str) -> tuple[int, str]:
    """Return what sorts the beginning first and the end last."""
    return {START: 0, END: 2}.get(state, 1), state


def _totals(origin: list[str], count: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum over all transitions from the same state, for each."""
    _, code = np.unique(np.array(origin, dtype=str), return_inverse=True)
    total: NDArray[np.int64] = np.zeros(len(origin), np.int64)
    np.add.at(total, code, count)
    return total[code]


def _compared(
    count: NDArray[np.int64], total: NDArray[np.int64], other: NDArray[np.int64], other_total: NDArray[np.int64],
    confidence: float,
) -> dict[str, NDArray[Any]]:  # fmt: skip
    from crmlytics._kernels.multiple_testing import holm
    from crmlytics._kernels.proportion_tests import difference_interval, difference_p_value, share

    low, high = difference_interval(count, total, other, other_total, 1 - confidence)
    p_value = difference_p_value(count, total, other, other_total)
    return {
        "transition_count": count,
        "other_transition_count": other,
        "probability": share(count, total),
        "other_probability": share(other, other_total),
        "probability_difference": share(count, total) - share(other, other_total),
        "probability_difference_low": low,
        "probability_difference_high": high,
        "p_value": p_value,
        "adjusted_p_value": holm(p_value),
    }
