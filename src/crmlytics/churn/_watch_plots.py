"""Pictures of the watchlist; each draws a table that was computed before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import to_pandas
from crmlytics._plots import INK, MUTED, PALETTE, short_number, thousands_axis, tidy
from crmlytics._plots import axes as new_axes
from crmlytics.churn.losses import BY
from crmlytics.exceptions import MissingColumnsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

MOST_BARS = 15
FLOWS = (("warned_count", 1, PALETTE[1], "warned of"), ("won_back_count", -1, PALETTE[2], "won back"),
         ("lost_count", -1, PALETTE[3], "confirmed lost"), ("dropped_count", -1, MUTED, "dropped"))  # fmt: skip


def plot_lost(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw what the customers lost brought in a year, by group.

    Parameters
    ----------
    table : dataframe
        As :func:`lost_table` makes it.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        A bar a group, the largest on top and at most 15; beside it the losses. The paler part at the end is the share
        of losses that came back, by number.
    """
    needed = ("lost_count", "lost_amount", "won_back_count", "won_back_share")
    groups = _read(table, needed, "lost_table(watch)", caller="plot_lost")
    names = [name for name in BY if name in groups.columns]
    groups = groups.sort_values("lost_amount", ascending=False, kind="stable").head(MOST_BARS)[::-1]
    place = np.arange(len(groups))
    amount = groups["lost_amount"].to_numpy(dtype=np.float64)
    back = amount * groups["won_back_share"].to_numpy(dtype=np.float64)
    ax = new_axes(ax, size=(8, 1.2 + 0.38 * len(groups)))
    ax.barh(place, amount - back, color=PALETTE[3], height=0.7)
    ax.barh(place, back, left=amount - back, color=PALETTE[3], alpha=0.35, height=0.7)
    for at, value, count, came in zip(place, amount, groups["lost_count"], groups["won_back_count"], strict=True):
        text = f" {int(count):,} lost" + (f", {int(came):,} came back" if came else "")
        ax.annotate(text, (max(value, 0.0), at), va="center", color=MUTED, fontsize=9)
    labels = groups[names].astype("object").where(groups[names].notna(), "not known")
    ax.set_yticks(place, [", ".join(map(str, row)) for row in labels.itertuples(index=False)])
    ax.set(xlabel="brought in the year up to the last order")
    ax.margins(x=0.25)
    thousands_axis(ax.xaxis)
    tidy(ax, grid="x").tick_params(axis="y", colors=INK)
    return ax


def plot_watch_movement(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw month by month who came onto the watchlist and who left it, and how long it is.

    Parameters
    ----------
    table : dataframe
        As :func:`watch_movement_table` makes it.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Above zero those warned of in the month, below zero those won back, confirmed as lost and dropped; the line is
        the number of customers on the list at the end of the month.
    """
    needed = ("month", *[name for name, *_ in FLOWS], "open_count")
    months = _read(table, needed, "watch_movement_table(watch)", caller="plot_watch_movement")
    place = np.arange(len(months))
    ax = new_axes(ax)
    below = np.zeros(len(months))
    for name, sign, colour, label in FLOWS:
        count = sign * months[name].to_numpy(dtype=np.float64)
        if label == "dropped" and not count.any():
            continue
        ax.bar(place, count, bottom=0 if sign > 0 else below, color=colour, width=0.7, label=label)
        below += count if sign < 0 else 0
    ax.plot(place, months["open_count"], color=INK, marker="o", markersize=4, linewidth=1.4, label="on the list")
    ax.axhline(0, color=MUTED, linewidth=0.8)
    step = max(1, int(np.ceil(len(months) / 12)))
    ax.set_xticks(place[::step], [f"{month:%b %Y}" for month in months["month"]][::step])
    ax.yaxis.set_major_formatter(lambda value, _: short_number(abs(value)))
    ax.set(ylabel="customers")
    ax.legend(frameon=False, labelcolor=INK, loc="lower left", bbox_to_anchor=(0, 1), ncols=5)
    return tidy(ax)


def _read(table: Any, needed: Sequence[str], repair: str, *, caller: str) -> pd.DataFrame:
    found: pd.DataFrame = to_pandas(table, caller=caller)
    missing = [name for name in needed if name not in found.columns]
    if missing:
        msg = f"{caller} needs the columns {missing}, got {list(found.columns)}. Make one: {repair}."
        raise MissingColumnsError(msg)
    return found
