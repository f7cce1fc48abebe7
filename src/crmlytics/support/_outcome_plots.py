"""Pictures of what tickets go with, how many will come, and how many people it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._plots import MUTED, PALETTE, date_axis, draw_intervals, percent_axis, row_axes, rows_of, tidy
from crmlytics._plots import axes as new_axes
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

COLOURS = {"no ticket": PALETTE[5], "good ticket": PALETTE[0], "other tickets": PALETTE[1]}
DAY_HOURS = 24


def plot_ticket_outcomes(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw by how much fewer or more customers order after each kind of ticket than customers who were alike.

    Parameters
    ----------
    table : dataframe
        What :func:`ticket_outcome_table` returned.
    ax : Axes, optional
        Where to draw; a new figure, as high as the rows need, if not given.

    Returns
    -------
    Axes
        Differences of the share who order within the horizon, with their intervals; the colour is whom they are
        compared with. Left of the line fewer order. Rows without a comparison are left out.

    Raises
    ------
    MissingColumnsError, SchemaError
        For another table, or one in which nothing could be compared.
    """
    name = "returned_share_difference"
    needed = ["kind", "comparison", "ticket_count", "caution", *(f"{name}{end}" for end in ("", "_low", "_high"))]
    rows = rows_of(table, needed, maker="ticket_outcome_table", caller="plot_ticket_outcomes")
    why, rows = rows["caution"].iloc[0], rows[rows[name].notna()].iloc[::-1]
    if rows.empty:
        raise SchemaError(f"plot_ticket_outcomes: no row of the table has a difference to draw ({why}).")
    ax = row_axes(ax, [f"{kind} ({n:,})" for kind, n in zip(rows["kind"], rows["ticket_count"], strict=True)])
    places = np.arange(len(rows))
    for comparison, colour in COLOURS.items():
        mine = (rows["comparison"] == comparison).to_numpy(bool)
        draw_intervals(ax, rows[mine], name, places=places[mine], colour=colour, label=comparison)
    ax.axvline(0, color=MUTED, linewidth=0.8)
    percent_axis(ax.xaxis)
    ax.set_xlabel("Share who order again, less that of customers who were alike (association)")
    ax.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1), title="Beside")
    return ax


def plot_workload(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how many tickets are expected in each day or hour, and how far that may be off.

    Parameters
    ----------
    table : dataframe
        What :func:`workload_table` returned.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Steps are what is expected, the band is where the number that comes will lie, dots are the last week's numbers.
    """
    needed = ["period_start", "period_end", "last_week_count"]
    needed += [f"expected_count{end}" for end in ("", "_low", "_high")]
    rows = rows_of(table, needed, maker="workload_table", caller="plot_workload")
    ax = tidy(new_axes(ax))
    edges, low, expected, high = (
        _closed(rows, name) for name in ("period_start", "expected_count_low", "expected_count", "expected_count_high")
    )
    ax.fill_between(edges, low, high, step="post", color=PALETTE[0], alpha=0.15, linewidth=0)
    ax.step(edges, expected, where="post", color=PALETTE[0], label="Expected")
    middle = rows["period_start"] + (rows["period_end"] - rows["period_start"]) / 2
    ax.plot(middle, rows["last_week_count"].to_numpy(float), ".", color=PALETTE[1], label="Last week known")
    hours = (rows["period_end"] - rows["period_start"]).iloc[0] / np.timedelta64(1, "h")
    return _finished(ax, "Tickets a day" if hours >= DAY_HOURS else "Tickets an hour")


def plot_staffing(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how many agents it takes in each hour, and how many of them are busy.

    Parameters
    ----------
    table : dataframe
        What :func:`staffing_table` returned.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        The upper steps are the agents needed, pale ones those of a busy hour where they are known, the area below is
        the load: agents busy on average.
    """
    needed = ["period_start", "period_end", "load_erlangs", "agent_count"]
    rows = rows_of(table, needed, maker="staffing_table", caller="plot_staffing")
    ax = tidy(new_axes(ax))
    edges, load, agents = (_closed(rows, name) for name in ("period_start", "load_erlangs", "agent_count"))
    ax.fill_between(edges, load, step="post", color=PALETTE[5], alpha=0.5, linewidth=0, label="Busy on average")
    ax.step(edges, agents, where="post", color=PALETTE[0], label="Needed")
    if "agent_count_high" in rows:
        ax.step(edges, _closed(rows, "agent_count_high"), where="post", color=PALETTE[0], alpha=0.4,
                label="Needed in a busy hour")  # fmt: skip
    return _finished(ax, "Agents")


def _closed(rows: pd.DataFrame, name: str) -> Any:
    """Return a column with its last value once more, at the end of the last period: steps have an end."""
    last = rows["period_end" if name == "period_start" else name].iloc[-1:]
    dtype = "datetime64[us]" if name == "period_start" else float
    return np.concatenate([rows[name].astype(dtype).to_numpy(), last.astype(dtype).to_numpy()])


def _finished(ax: Axes, label: str) -> Axes:
    """Count from zero in whole numbers, write dates in short and put the legend on top."""
    from matplotlib.ticker import MaxNLocator

    date_axis(ax.xaxis)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylim(bottom=0)
    ax.set_ylabel(label)
    ax.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return ax
