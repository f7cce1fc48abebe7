"""The picture of a funnel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmlytics._frames import to_pandas
from crmlytics._plots import INK, MUTED, PALETTE, percent_axis, tidy
from crmlytics._plots import axes as new_axes
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEEDED = ["step_number", "step", "reached_count", "share_of_start", "share_of_previous", "dropped_count"]
BAR = 0.8  # of the room of a step
PALE = 0.18
INSIDE = 0.15  # of the longest bar: a shorter one has no room for a count and a share
ACROSS = 4  # entries of the legend in a row
LOSS = 0.12  # of the longest bar: what a loss needs to be written


def plot_funnel(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw a funnel: a bar for each step, and how many go on to the next one.

    Parameters
    ----------
    table : dataframe
        From :func:`funnel_table`, with segments or without.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Without segments: bars of counts, the loss pale beside them, and the share that came from the step before. With
        segments: bars of shares of the first step, side by side, since segments differ in size; how many began is
        in the legend.
    """
    frame = to_pandas(table, caller="plot_funnel")
    missing = [name for name in NEEDED if name not in frame.columns]
    if missing:
        msg = f"plot_funnel: expected the table of funnel_table, which has {missing} too, got {list(frame.columns)}."
        raise SchemaError(msg)
    if not len(frame):
        msg = "plot_funnel: the table has no rows; nobody began the funnel."
        raise SchemaError(msg)
    steps = list(dict.fromkeys(zip(frame["step_number"], frame["step"], strict=True)))
    ax = tidy(new_axes(ax, size=(8, 1 + 0.7 * len(steps))), grid=None)
    if "segment" in frame.columns:
        _draw_segments(ax, frame)
    else:
        _draw_counts(ax, frame)
    ax.set_yticks(range(len(steps)), labels=[name for _, name in steps])
    ax.set_ylim(len(steps) - 0.5, -0.5)  # the first step on top
    ax.spines["left"].set_visible(False)
    return ax


def _draw_counts(ax: Axes, frame: Any) -> None:
    longest = max(int(frame["reached_count"].max()), 1)
    places = range(len(frame))
    ax.barh(places, frame["reached_count"], height=BAR, color=PALETTE[0])
    for place, row in zip(places, frame.itertuples(), strict=True):
        ax.broken_barh(
            [(row.reached_count, row.dropped_count)], (place - BAR / 2, BAR), facecolor=PALETTE[0], alpha=PALE
        )
        share = f"  {row.share_of_previous:.0%}" if row.share_of_previous >= 0 else ""  # missing for the first
        _write_count(ax, place, f"{row.reached_count:,}{share}", row.reached_count, longest)
        _write_loss(ax, place, row, longest)
    ax.set_xlim(0, longest)
    ax.set_xticks([])
    ax.spines["bottom"].set_visible(False)
    ax.set_title("Who takes each step, and what share of the step before", loc="left")


def _write_count(ax: Axes, place: int, text: str, width: float, longest: float) -> None:
    inside = width >= INSIDE * longest
    edge = width - 0.01 * longest if inside else width + 0.01 * longest
    colour, side = ("white", "right") if inside else (INK, "left")
    ax.text(edge, place, text, va="center", ha=side, color=colour, fontweight="bold")


def _write_loss(ax: Axes, place: int, row: Any, longest: float) -> None:
    """Write how many were lost at the right end of the pale bar, where there is room beside the count."""
    beside = 0 if row.reached_count >= INSIDE * longest else INSIDE
    if row.dropped_count >= (LOSS + beside) * longest:
        right = row.reached_count + row.dropped_count - 0.01 * longest
        ax.text(right, place, f"{row.dropped_count:,} lost", va="center", ha="right", color=MUTED)


def _draw_segments(ax: Axes, frame: Any) -> None:
    groups = list(frame.groupby("segment", sort=False))
    height = BAR / len(groups)
    for number, (name, rows) in enumerate(groups):
        places = [step - 1 - BAR / 2 + (number + 0.5) * height for step in rows["step_number"]]
        began = int(rows["reached_count"].iloc[0])
        shares = rows["share_of_start"].fillna(0.0)
        ax.barh(places, shares, height=height * 0.92, color=PALETTE[number % len(PALETTE)], label=f"{name} ({began:,})")
        for place, share in zip(places, shares, strict=True):
            ax.text(share + 0.008, place, f"{share:.0%}", va="center", color=MUTED, fontsize=9)
    percent_axis(ax.xaxis)
    ax.set_xlim(0, 1.06)
    ax.set_xticks([])
    ax.spines["bottom"].set_visible(False)
    across = min(len(groups), ACROSS)
    below = ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, 0), ncols=across, alignment="left")
    below.set_title("Segment (who began)")
    ax.set_title("Share of those who took the first step", loc="left")
