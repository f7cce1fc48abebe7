"""Pictures of support: how long groups wait, what is left to do, what goes with satisfaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._periods import draw_bars, label_periods
from crmlytics._plots import INK, MUTED, PALETTE, draw_intervals, percent_axis, row_axes, rows_of, tidy
from crmlytics._plots import axes as new_axes
from crmlytics.exceptions import SchemaError
from crmlytics.support._reading import ALL

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

UNITS = ((48.0, 24.0, "days"), (0.0, 1.0, "hours"))  # from so many hours on, by so many
HARDLY_ANY = 0.02
SHORT_HOURS = 0.1  # below it the scale is no longer one of logarithms: some are answered at once
WAITS = {"first_reply": "for a first reply", "resolution": "to be closed"}


def plot_resolution(curves: Any, *, ax: Axes | None = None) -> Axes:
    """Draw which share of the tickets still waits, hour after hour, a line for each group.

    Parameters
    ----------
    curves : dataframe
        What :func:`resolution_curve_table` returned; keep the rows of at most seven groups.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Steps down where tickets end; the band is the interval. Where a line ends nobody was watched for longer.
    """
    caller = "plot_resolution"
    needed = ["group", "event", "time_hours", "waiting_share", "waiting_share_low", "waiting_share_high"]
    rows = rows_of(curves, needed, maker="resolution_curve_table", caller=caller)
    groups = list(dict.fromkeys(rows["group"]))
    if len(groups) > len(PALETTE):
        msg = (
            f"{caller}: {len(groups)} groups are more than can be told apart. Keep the rows of {len(PALETTE)} at most."
        )
        raise SchemaError(msg)
    ax = tidy(new_axes(ax), grid="both")
    scale, unit = _unit(_shown(rows))
    for group, colour in zip(groups, PALETTE, strict=False):
        part = rows[rows["group"] == group]
        hours = part["time_hours"].to_numpy(float) / scale
        low, high = (part[f"waiting_share_{end}"].to_numpy(float) for end in ("low", "high"))
        ax.step(hours, part["waiting_share"].to_numpy(float), where="post", color=colour, label=group)
        ax.fill_between(hours, low, high, step="post", color=colour, alpha=0.15, linewidth=0)
    ax.set_ylim(0, 1.02)
    ax.set_xlim(0, _shown(rows) / scale)
    percent_axis(ax.yaxis)
    ax.set_xlabel(f"{unit.capitalize()} since the ticket was opened")
    ax.set_ylabel(f"Waiting {WAITS[rows['event'].iloc[0]]}")
    if groups != [ALL]:
        ax.legend(frameon=False, title=str(rows["by"].iloc[0]) if "by" in rows else None)
    return ax


def plot_backlog(backlog: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the tickets opened and closed in each period, and those left open at its end.

    Parameters
    ----------
    backlog : dataframe
        What :func:`backlog_table` returned, of one group.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Opened upwards, closed downwards, the line is what is left. Pale bars are periods that are not complete.
    """
    caller = "plot_backlog"
    needed = ["group", "period_start", "is_complete", "opened_count", "closed_count", "backlog_end_count"]
    rows = rows_of(backlog, needed, maker="backlog_table", caller=caller).reset_index(drop=True)
    groups = list(dict.fromkeys(rows["group"]))
    if len(groups) > 1:
        msg = f"{caller}: keep one group, such as the rows of {groups[0]!r}; there are {len(groups)}."
        raise SchemaError(msg)
    ax = tidy(new_axes(ax))
    draw_bars(ax, rows, rows["opened_count"].to_numpy(float), PALETTE[5], label="Opened")
    draw_bars(ax, rows, -rows["closed_count"].to_numpy(float), PALETTE[2], label="Closed")
    ax.plot(range(len(rows)), rows["backlog_end_count"].to_numpy(float), "o-", color=INK, markersize=4,
            label="Open at the end")  # fmt: skip
    ax.axhline(0, color=MUTED, linewidth=0.8)
    _positive_ticks(ax)
    ax.set_ylabel("Tickets")
    label_periods(ax, rows)
    ax.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def plot_support(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how long each group waits for a first reply and for the end: medians with their intervals.

    Parameters
    ----------
    table : dataframe
        What :func:`support_table` returned.
    ax : Axes, optional
        Where to draw; a new figure, as high as the groups need, if not given.

    Returns
    -------
    Axes
        Hours are on a log scale; the longest wait is on top. A group without a point has closed fewer than half.
    """
    needed = ["group", "ticket_count", *(f"resolution_median_hours{end}" for end in ("", "_low", "_high"))]
    rows = rows_of(table, needed, maker="support_table", caller="plot_support")
    rows = rows.sort_values(["resolution_median_hours", "group"], kind="stable", na_position="last")
    names = [f"{group} ({count:,})" for group, count in zip(rows["group"], rows["ticket_count"], strict=True)]
    ax = row_axes(ax, names)
    parts = {"resolution_median_hours": ("Closed", PALETTE[0], 0.0)}
    if "first_reply_median_hours" in rows:
        parts["first_reply_median_hours"] = ("First reply", PALETTE[1], 0.22)
    for name, (label, colour, shift) in parts.items():
        draw_intervals(ax, rows, name, places=np.arange(len(rows)) + shift, colour=colour, label=label)
    ax.set_xscale("symlog", linthresh=SHORT_HOURS)
    ax.set_xlim(left=0)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlabel("Hours by which half of the tickets are there, and the interval")
    ax.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def plot_satisfaction_drivers(drivers: Any, *, ax: Axes | None = None) -> Axes:
    """Draw by how much marks differ with each driver, other things equal, with intervals.

    Parameters
    ----------
    drivers : dataframe
        What :func:`satisfaction_driver_table` returned.
    ax : Axes, optional
        Where to draw; a new figure, as high as the rows need, if not given.

    Returns
    -------
    Axes
        What explains most is on top. Full points are more than chance (adjusted p below 0.05).
    """
    needed = ["driver", "level", "compared", "adjusted_p_value",
              *(f"mark_difference{end}" for end in ("", "_low", "_high"))]  # fmt: skip
    rows = rows_of(drivers, needed, maker="satisfaction_driver_table", caller="plot_satisfaction_drivers").iloc[::-1]
    ax = row_axes(ax, [_named(row) for row in rows.to_dict("records")])
    places, sure = np.arange(len(rows)), rows["adjusted_p_value"].to_numpy(float) < 0.05
    for which in (sure, ~sure):
        draw_intervals(
            ax, rows[which], "mark_difference", places=places[which], colour=PALETTE[0], filled=which is sure
        )
    ax.axvline(0, color=MUTED, linewidth=0.8)
    ax.set_xlabel("Difference of marks, other things equal, and its interval: an association, no cause")
    return ax


def _named(row: dict[str, Any]) -> str:
    if isinstance(row["level"], str):
        return f"{row['driver']}: {row['level']} {row['compared'].removeprefix(row['level']).strip()}"
    return f"{row['driver'].removesuffix('_hours')}: {row['compared']}"


def _shown(rows: pd.DataFrame) -> float:
    """Return until when there is something to see: until hardly any ticket waits."""
    hours, waiting = (rows[name].to_numpy(float) for name in ("time_hours", "waiting_share"))
    still = hours[waiting > HARDLY_ANY]
    return float(max(still.max() if len(still) else 0.0, hours.max() * HARDLY_ANY, 1e-9))


def _unit(hours: float) -> tuple[float, str]:
    return next((scale, unit) for least, scale, unit in UNITS if hours >= least)


def _positive_ticks(ax: Axes) -> None:
    from matplotlib.ticker import FuncFormatter

    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):,.0f}"))
