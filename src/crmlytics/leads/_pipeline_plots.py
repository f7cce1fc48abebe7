"""The picture of a pipeline: how many leads come to each stage, and what becomes of them there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from crmlytics._frames import to_pandas
from crmlytics._plots import INK, MUTED, PALETTE, RULE, axes, thousands_axis, tidy
from crmlytics.exceptions import MissingColumnsError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEEDED = ("stage", "entered_count", "moved_on_count", "open_count", "lost_count", "moved_on_probability",
          "median_days")  # fmt: skip
PARTS = {"moved_on_count": ("moved on", PALETTE[0]), "open_count": ("still here", PALETTE[5]),
         "lost_count": ("lost here", RULE)}  # fmt: skip


def plot_pipeline(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw a bar a stage: the leads that moved on, are still there and were lost, with probability and time.

    Parameters
    ----------
    table : dataframe
        As :func:`pipeline_table` makes it.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    data = to_pandas(table, caller="plot_pipeline")
    missing = [name for name in NEEDED if name not in data.columns]
    if missing:
        msg = f"plot_pipeline needs the columns {missing} of a pipeline table. Make one: pipeline_table(...)."
        raise MissingColumnsError(msg)
    ax = axes(ax, size=(8, 1.2 + 0.7 * len(data)))
    start = 0 * data["entered_count"]
    for column, (label, colour) in PARTS.items():
        ax.barh(data["stage"], data[column], left=start, color=colour, label=label, height=0.7)
        start = start + data[column]
    for place, row in enumerate(data.itertuples()):
        ax.annotate(_words(row), (row.entered_count, place), xytext=(6, 0), textcoords="offset points",
                    va="center", color=INK, fontsize=9)  # fmt: skip
    ax.invert_yaxis()
    ax.set_xlim(0, 1.28 * max(data["entered_count"].max(), 1))  # room for the words
    ax.set_xlabel("leads that came to the stage")
    ax.legend(frameon=False, labelcolor=MUTED, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
    thousands_axis(ax.xaxis)
    return tidy(ax, grid="x")


def _words(row: Any) -> str:
    """Say how likely a lead moves on, and how long it takes, where that is known."""
    known = [
        (row.moved_on_probability, "{:.0%} move on"),
        (row.median_days, "{:.1f} days" if row.median_days < 10 else "{:.0f} days"),
    ]
    return ", ".join(text.format(value) for value, text in known if not math.isnan(value))
