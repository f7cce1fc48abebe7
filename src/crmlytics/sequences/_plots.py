"""Pictures of sequential patterns and of rules, the first of them: ``patterns.top(20)`` chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._plots import INK, MUTED, PALETTE, percent_axis, tidy
from crmlytics._plots import axes as new_axes
from crmlytics._validation import check_count
from crmlytics.exceptions import SchemaError
from crmlytics.sequences._checks import check_patterns, check_rules, sequences_of
from crmlytics.sequences._occurrences import times_between

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from crmlytics.sequences.patterns import SequencePatterns
    from crmlytics.sequences.rules import SequenceRules

LONGEST_NAME = 60
WIDE = 30  # greatest over least time, from which on a log scale reads better
SECONDS = (("days", 86_400), ("hours", 3_600), ("minutes", 60), ("seconds", 1))


def plot_sequences(patterns: SequencePatterns, *, n: int = 20, names: Any = None, ax: Axes | None = None) -> Axes:
    """Draw the first patterns as bars: the share of customers (or sessions) who hold each.

    Parameters
    ----------
    patterns : SequencePatterns
        Such as ``frequent_sequences(..., min_len=2)``: single items would come first.
    n : int, default 20
        How many at most.
    names : mapping, optional
        Item id to the name that is read.
    ax : Axes, optional
        Where to draw; a new figure, as high as the bars need, if not given.

    Returns
    -------
    Axes
        ``>`` is "and later", ``+`` "together with". The number at each bar is the count.
    """
    caller = "plot_sequences"
    patterns = check_patterns(patterns, caller=caller).top(check_count(n, name="n", caller=caller))
    if not len(patterns):
        raise SchemaError(f"{caller}: there are no patterns to draw. Mine with a lower min_support.")
    texts = patterns.texts(patterns.rows, names=names, caller=caller)
    counts = patterns.tree.count[patterns.rows]
    shares = counts / patterns.sequence_count
    ax = tidy(new_axes(ax, size=(9, 1.1 + 0.3 * len(patterns))), grid="x")
    bars = ax.barh(range(len(patterns)), shares, color=PALETTE[0], height=0.7)
    ax.bar_label(bars, [f"{count:,}" for count in counts], padding=3, color=MUTED, fontsize=8)
    ax.set_yticks(range(len(patterns)), [_short(text) for text in texts])
    ax.tick_params(axis="y", colors=INK)
    ax.set_ylim(len(patterns) - 0.4, -0.6)
    ax.set_xlim(0, 1.08 * shares.max())
    percent_axis(ax.xaxis)
    ax.set_xlabel(f"Share of {patterns.sequence_count:,} {patterns.layout.whose}")
    return ax


def plot_sequence_rules(rules: SequenceRules, *, n: int = 20, names: Any = None, ax: Axes | None = None) -> Axes:
    """Draw the first rules, a row each: how soon the consequent comes, how sure it is, and for how many.

    Parameters
    ----------
    rules : SequenceRules
        Such as ``rules.at_least(order_lift=1.5).top(20, by="confidence")``, found in memory: times are not known of
        those that Spark mined.
    n : int, default 20
        How many at most.
    names : mapping, optional
        Item id to the name that is read.
    ax : Axes, optional
        Where to draw; a new figure, as high as the rows need, if not given.

    Returns
    -------
    Axes
        A point is the median time between, the larger the more customers; its line spans the middle half of the times.
        On the right stands the confidence. Time is on a log scale where it is wide.
    """
    caller = "plot_sequence_rules"
    rules = check_rules(rules, caller=caller)
    rules = rules.take(np.arange(min(check_count(n, name="n", caller=caller), len(rules))))
    if not len(rules):
        raise SchemaError(f"{caller}: there are no rules to draw. Mine with a lower min_support or min_confidence.")
    sequences = sequences_of(rules.patterns, "the time between", caller=caller)
    unit, times = _in_a_readable_unit(rules.patterns.layout.unit, times_between(rules, sequences))
    ax = tidy(new_axes(ax, size=(9, 1.3 + 0.3 * len(rules))), grid="x")
    rows, counts = np.arange(len(rules)), rules.sequence_count
    ax.hlines(rows, times[0], times[2], color=PALETTE[5], linewidth=3, alpha=0.6, zorder=2)
    ax.scatter(times[1], rows, s=15 + 105 * counts / counts.max(), color=PALETTE[0], linewidths=0, zorder=3)
    _time_axis(ax, times, unit)
    texts = rules.texts(names=names, caller=caller)
    ax.set_yticks(rows, [_short(text) for text in texts])
    ax.tick_params(axis="y", colors=INK)
    ax.set_ylim(len(rules) - 0.4, -0.6)
    _confidences(ax, rules)
    return ax


def _time_axis(ax: Axes, times: NDArray[np.float64], unit: str) -> None:
    if times.min() > 0 and times.max() > WIDE * times.min():
        ax.set_xscale("log")
    else:
        ax.set_xlim(0, 1.05 * max(float(times.max()), 1e-9))
    ax.set_xlabel(f"{unit.capitalize()} from the antecedent to the consequent: median and middle half")


def _confidences(ax: Axes, rules: SequenceRules) -> None:
    """Write the confidence of each rule beside its row, under a heading."""
    shares = zip(rules.measure("confidence"), rules.sequence_count, strict=True)
    heading = f"Confidence\n({rules.patterns.layout.whose})"
    for row, text in enumerate([heading, *(f"{share:.0%} ({count:,})" for share, count in shares)], start=-1):
        ax.annotate(
            text, (1, row), xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points",
            fontsize=8, color=MUTED, va="center", annotation_clip=False,
        )  # fmt: skip


def _in_a_readable_unit(unit: str, times: NDArray[np.float64]) -> tuple[str, NDArray[np.float64]]:
    """Return times in the largest unit of which the median is at least two."""
    if unit == "days":
        return unit, times
    typical = float(np.median(times[1]))
    name, size = next(((name, size) for name, size in SECONDS if typical >= 2 * size), SECONDS[-1])
    return name, times / size


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1].rstrip()}…"
