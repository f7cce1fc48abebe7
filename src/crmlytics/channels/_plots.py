"""Pictures of channels: what they did, whom they brought, who moves between them, who uses several, who is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crmlytics._plots import (
    INK,
    LESS,
    MORE,
    MUTED,
    PALETTE,
    draw_differences,
    draw_intervals,
    legend,
    row_axes,
    rows_of,
    short_number,
    thousands_axis,
)
from crmlytics._plots import axes as new_axes
from crmlytics.channels._reading import CHANNEL, UNKNOWN
from crmlytics.channels.migration import BACK, GONE, NEW
from crmlytics.channels.touchpoints import AFTER, AT, BEFORE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 20  # rows that can be read
KINDS = {1: (PALETTE[0], "One channel"), 2: (LESS, "Several channels"), 0: (MUTED, "None that is known")}
DRAWN = {BEFORE: (0.14, MORE), AFTER: (-0.14, LESS)}  # on the day of the order itself it is another scale


def plot_channels(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the revenue of each channel, the largest first, with the share of customers who order again.

    Parameters
    ----------
    table : dataframe
        What :func:`channel_table` returned. Of more than 20 rows the largest are drawn.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
    """
    needed = [CHANNEL, "amount", "amount_share", "repeat_share", "customer_count", "visit_count"]
    rows = rows_of(table, needed, maker="channel_table", caller="plot_channels")
    rows = rows.sort_values("amount", kind="stable").tail(MOST).reset_index(drop=True)
    ax = row_axes(ax, rows[CHANNEL])
    colours = [MUTED if name == UNKNOWN else PALETTE[0] for name in rows[CHANNEL]]
    ax.barh(range(len(rows)), rows["amount"].astype(float), color=colours, height=0.66)
    for place, row in enumerate(rows.itertuples()):
        words = f"{_percent(row.amount_share)} of revenue, {_percent(row.repeat_share)} of customers order again"
        if not row.customer_count:
            words = "no order under this name" + (f", and {row.visit_count:,} visits" if row.visit_count else "")
        _annotate(ax, words, max(float(row.amount), 0.0), place)
    thousands_axis(ax.xaxis)
    ax.set_xlim(right=1.6 * max(float(rows["amount"].max()), 1.0))
    ax.set_xlabel("Revenue of the period")
    ax.set_title("What passed through each channel", loc="left")
    return ax


def plot_acquisition_channels(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw what a customer of each channel brought within the horizon, and what is left after the cost.

    Parameters
    ----------
    table : dataframe
        What :func:`acquisition_channel_table` returned. Of more than 20 rows those with most customers are drawn.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
    """
    name = "acquisition_channel"
    kinds = {"horizon_amount": (0.14, PALETTE[0], "Revenue"), "net_amount": (-0.14, PALETTE[2], "Margin less cost")}
    needed = [name, "observed_count", *[f"{kind}{end}" for kind in kinds for end in ("", "_low", "_high")]]
    rows = rows_of(table, needed, maker="acquisition_channel_table", caller="plot_acquisition_channels")
    rows = rows.sort_values("observed_count", kind="stable").tail(MOST)
    rows = rows.sort_values("horizon_amount", kind="stable", na_position="first").reset_index(drop=True)
    ax = row_axes(ax, [f"{row[name]} ({row['observed_count']:,})" for row in rows.to_dict("records")])
    for kind, (shift, colour, label) in kinds.items():
        draw_intervals(ax, rows, kind, places=rows.index + shift, colour=colour, label=label)
    ax.axvline(0, color=INK, linewidth=0.8)
    thousands_axis(ax.xaxis)
    ax.set_xlabel("A customer, within the horizon from the first order")
    ax.set_title("What became of the customers whom each channel brought", loc="left")
    legend(ax, ncols=2)
    return ax


def plot_channel_migration(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw who moved from which channel to which: customers in each cell, darker the larger their share of the row.

    Parameters
    ----------
    table : dataframe
        What :func:`channel_migration_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Rows are where customers came from, columns where they went.
    """
    needed = ["from_channel", "to_channel", "customer_count", "from_share"]
    rows = rows_of(table, needed, maker="channel_migration_table", caller="plot_channel_migration")
    origins, targets = (_in_order(rows[name]) for name in ("from_channel", "to_channel"))
    shares, counts = np.zeros((2, len(origins), len(targets)))
    for row in rows.itertuples():
        cell = origins.index(row.from_channel), targets.index(row.to_channel)
        shares[cell], counts[cell] = row.from_share, row.customer_count
    ax = new_axes(ax, size=(2.4 + 1.1 * len(targets), 1.6 + 0.55 * len(origins)))
    texts = np.array([[short_number(count) if count else "" for count in line] for line in counts], object)
    draw_differences(ax, shares, texts, full=1.0)
    ax.set_xticks(range(len(targets)), targets)
    ax.set_yticks(range(len(origins)), origins)
    ax.tick_params(length=0, colors=INK)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("Main channel of the window", color=MUTED)
    ax.set_ylabel("Of the window before", color=MUTED)
    ax.set_title("Customers, by main channel", loc="left")
    return ax


def plot_channel_mix(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how many customers use each set of channels, and what one of them brought.

    Parameters
    ----------
    table : dataframe
        What :func:`channel_mix_table` returned. Of more than 20 rows those with most customers are drawn.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
    """
    needed = ["channels", "channel_count", "customer_count", "amount_per_customer", "orders_per_customer"]
    rows = rows_of(table, needed, maker="channel_mix_table", caller="plot_channel_mix")
    rows = rows.sort_values("customer_count", kind="stable").tail(MOST).reset_index(drop=True)
    ax = row_axes(ax, rows["channels"])
    kinds = rows["channel_count"].clip(upper=2)
    for kind, (colour, label) in KINDS.items():
        part = rows[kinds == kind]
        if len(part):
            ax.barh(part.index, part["customer_count"].astype(float), color=colour, height=0.66, label=label)
    for place, row in enumerate(rows.itertuples()):
        words = f"{short_number(row.amount_per_customer)} a customer in {row.orders_per_customer:.1f} orders"
        _annotate(ax, words, row.customer_count, place)
    thousands_axis(ax.xaxis)
    ax.set_xlim(right=1.5 * max(float(rows["customer_count"].max()), 1.0))
    ax.set_xlabel("Customers")
    ax.set_title("Which channels customers use together", loc="left")
    legend(ax, loc="lower right")
    return ax


def plot_touchpoints(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how many times as often as usual each channel is touched before and after the day of an order.

    Parameters
    ----------
    table : dataframe
        What :func:`touchpoint_table` returned. Of more than 20 channels those touched most are drawn.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        The line at 1 is what the same customers do otherwise. How it is on the day itself stands in words: where
        orders are placed in visits it is many times as often.
    """
    needed = [CHANNEL, "phase", "touch_count", "lift", "lift_low", "lift_high"]
    rows = rows_of(table, needed, maker="touchpoint_table", caller="plot_touchpoints")
    touched = rows.groupby(CHANNEL, sort=True)["touch_count"].sum().sort_values(kind="stable").tail(MOST)
    ax = row_axes(ax, touched.index, step=0.6)
    for phase, (shift, colour) in DRAWN.items():
        of_phase = _of_phase(rows, phase, touched.index)
        draw_intervals(ax, of_phase, "lift", places=of_phase.index + shift, colour=colour, label=phase)
    for place, lift in enumerate(_of_phase(rows, AT, touched.index)["lift"]):
        words = "" if pd.isna(lift) else f"{lift:.1f} times on the day"
        ax.annotate(words, (1, place), xycoords=("axes fraction", "data"), va="center", ha="right", color=MUTED,
                    fontsize=8)  # fmt: skip
    ax.axvline(1, color=INK, linewidth=0.8)
    ax.set_xlim(0, max(1.4, 1.35 * ax.get_xlim()[1]))
    ax.set_xlabel("Times as often as the same customers otherwise")
    ax.set_title("Touches before and after the day of an order", loc="left")
    legend(ax, ncols=3)
    return ax


# -- inside --------------------------------------------------------------------------------------------------------


def _annotate(ax: Axes, words: str, end: float, place: int) -> None:
    """Write words beside a bar."""
    ax.annotate(words, (end, place), xytext=(5, 0), textcoords="offset points", va="center", color=MUTED, fontsize=8)


def _of_phase(rows: pd.DataFrame, phase: str, channels: Any) -> pd.DataFrame:
    return rows[rows["phase"] == phase].set_index(CHANNEL).reindex(channels).reset_index()


def _in_order(names: pd.Series[Any]) -> list[str]:
    """Return channels in the order of the rows, those that are none last."""
    last = [UNKNOWN, NEW, BACK, GONE]
    found = list(dict.fromkeys(names))
    return [*sorted(name for name in found if name not in last), *[name for name in last if name in found]]


def _percent(share: Any) -> str:
    return "?" if pd.isna(share) else f"{share:.0%}"
