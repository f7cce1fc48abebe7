"""Pictures of the time to the next purchase; each draws a table that was computed before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import to_pandas
from crmlytics._plots import INK, MUTED, PALETTE, percent_axis, short_number, tidy
from crmlytics._plots import axes as new_axes
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.sequences.survival import read_curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CURVES = len(PALETTE)
LATE_FROM = 0.9  # as overdue_table has it
TICKS = [1, 2, 3, 7, 14, 30, 60, 90, 180, 365, 730, 1825, 3650]


def plot_survival(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how many have bought again after how many days, with intervals and the medians.

    Parameters
    ----------
    table : dataframe
        As :func:`survival_table` makes it, of at most seven segments or items.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        The share that has bought again rises with the days since the purchase; the steps end where nobody was seen
        longer. A dot marks the day by which half have; of several curves the legend tells it.
    """
    curves, (low, high), ids, _ = read_curves(table, caller="plot_survival")
    if len(curves.starts) - 1 > MOST_CURVES:
        msg = (
            f"plot_survival: {len(curves.starts) - 1} curves cannot be told apart, at most {MOST_CURVES} can. "
            f"Keep the {next(iter(ids))}s you compare."
        )
        raise SchemaError(msg)
    ax = new_axes(ax)
    ax.axhline(0.5, color=MUTED, linewidth=0.8, linestyle=(0, (4, 4)))
    for number, (median, colour) in enumerate(zip(curves.median(), PALETTE, strict=False)):
        rows = slice(curves.starts[number], curves.starts[number + 1])
        days, returned = curves.time[rows], 1 - curves.survival[rows]
        label = _curve_label(ids, number, curves.at_risk[rows][0], median)
        ax.step(days, returned, where="post", color=colour, linewidth=1.8, label=label)
        ax.fill_between(days, 1 - high[rows], 1 - low[rows], step="post", color=colour, alpha=0.15, linewidth=0)
        if np.isfinite(median):
            ax.plot(median, 0.5, "o", color=colour, markersize=6, zorder=3)
            if not ids:
                ax.annotate(
                    _days(median), (median, 0.5), (6, -13), textcoords="offset points", color=colour, fontsize=9
                )
    ax.set(xlim=(0, None), ylim=(0, 1), xlabel="days since the purchase", ylabel="have bought again")
    percent_axis(ax.yaxis)
    for role in ids:
        ax.legend(frameon=False, labelcolor=INK, loc="lower right", title=f"{role} (intervals), median")
    return tidy(ax, grid="both")


def plot_overdue(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how long each customer has waited against their usual interval.

    Parameters
    ----------
    table : dataframe
        As :func:`due_table` (everybody) or :func:`overdue_table` makes it.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Above the dashed line customers have waited longer than usual; an ``overdue_probability`` of 0.9 and more is
        vermilion. Customers with a single purchase, who have no habit of their own, are small and grey: they wait
        against the usual interval of everybody. Both axes are logarithmic.
    """
    needed = ["usual_interval_days", "days_since_last", "overdue_probability", "purchase_count"]
    customers = to_pandas(table, caller="plot_overdue")
    missing = [name for name in needed if name not in customers.columns]
    if missing:
        msg = f"plot_overdue needs the columns {missing}, got {list(customers.columns)}. Make one: due_table(tx, ...)."
        raise MissingColumnsError(msg)
    usual, since, late, purchases = (customers[name].to_numpy(dtype=np.float64) for name in needed)
    since, once = np.maximum(since, 1.0), purchases == 1
    ax = new_axes(ax, size=(7, 5.4))
    ax.set(xscale="log", yscale="log", xlabel="usual days between purchases", ylabel="days since the last purchase")
    alpha = float(np.clip(40 / np.sqrt(max(len(since), 1)), 0.15, 0.8))
    for rows, size, colour, label in (
        (once, 3, MUTED, "one purchase"),
        (~once & (late < LATE_FROM), 14, PALETTE[0], _range(late[~once])),
        (~once & (late >= LATE_FROM), 14, PALETTE[3], f"{LATE_FROM} or more"),
    ):
        if rows.any():
            text = f"{label} ({short_number(int(rows.sum()))})"
            ax.scatter(usual[rows], since[rows], s=size, color=colour, alpha=alpha, linewidth=0, label=text)
    ends = np.array(
        [min(usual.min(initial=1e3), since.min(initial=1e3)), max(usual.max(initial=1), since.max(initial=1))]
    )
    ax.plot(ends, ends, color=MUTED, linewidth=0.9, linestyle=(0, (4, 4)))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(_fixed([tick for tick in TICKS if ends[0] / 2 <= tick <= 2 * ends[1]]))
        axis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axis.set_minor_locator(_fixed([]))
    if len(since):
        _legend_above(ax)
    return tidy(ax, grid="both")


def _days(median: float) -> str:
    return f"{median:.4g} d" if np.isfinite(median) else "not yet"


def _curve_label(ids: dict[str, Any], number: int, intervals: float, median: float) -> str:
    return "".join(f"{names[number]} ({short_number(int(intervals))}), {_days(median)}" for names in ids.values())


def _range(late: Any) -> str:
    """Say which probabilities below the limit the table holds: overdue_table keeps those from its threshold on."""
    least = np.floor(100 * late.min(initial=1.0)) / 100
    return f"{least:g} to {LATE_FROM}" if 0 < least < LATE_FROM else f"below {LATE_FROM}"


def _legend_above(ax: Axes) -> None:
    """Put the legend where there are no points."""
    legend = ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, labelcolor=INK, handletextpad=0)
    legend.set_title("probability of being overdue")
    legend.set_alignment("left")
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1)


def _fixed(ticks: list[int]) -> Any:
    from matplotlib.ticker import FixedLocator

    return FixedLocator(ticks)
