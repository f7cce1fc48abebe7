"""Plots of paths, of credit and of what a budget might be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._plots import (
    INK,
    MUTED,
    PALETTE,
    axes,
    legend,
    percent_axis,
    rows_of,
    short_number,
    thousands_axis,
    tidy,
)
from crmlytics.channels._beside import MEASURED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

SPREAD = 0.7  # of the room of a row, over which what is drawn in it is spread


def plot_paths(table: Any, *, most: int = 12, ax: Axes | None = None) -> Axes:
    """Draw the paths with most conversions, each with the share of those who came this way that converted.

    Parameters
    ----------
    table : dataframe
        The result of ``path_table``.
    most : int, default 12
        How many paths.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
    """
    columns = ("path", "conversion_count", "non_conversion_count", "comparable_conversion_count", "conversion_share")
    rows = rows_of(table, columns, maker="path_table", caller="plot_paths").head(most).iloc[::-1]
    ax = axes(ax, size=(8, 1.2 + 0.32 * len(rows)))
    converted = rows["conversion_count"].to_numpy(np.float64)
    total = rows["comparable_conversion_count"] + rows["non_conversion_count"]
    ax.barh(range(len(rows)), converted, color=PALETTE[0], height=0.7)
    for place, (count, share, of) in enumerate(zip(converted, rows["conversion_share"], total, strict=True)):
        if of > 0:
            ax.text(count, place, f"  {share:.0%} of {short_number(of)}", va="center", color=MUTED, fontsize=9)
    ax.set_yticks(range(len(rows)), rows["path"].tolist())
    ax.margins(x=0.18, y=0.02)
    ax.set_xlabel("Conversions; beside them the share that converts, of the paths that compare")
    ax.set_title("The ways that most conversions came", loc="left")
    thousands_axis(ax.xaxis)
    return tidy(ax, grid="x")


def plot_attribution(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the share of conversions that each model credits to each channel, with its interval.

    Where models lie far apart the rule decides, not the data. Crosses are what an experiment measured.

    Parameters
    ----------
    table : dataframe
        The result of ``attribution_table``.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
    """
    share = ("credit_share", "credit_share_low", "credit_share_high")
    rows = rows_of(table, ("model", "channel", *share), maker="attribution_table", caller="plot_attribution")
    drawn = [name for name in ("credit_share", MEASURED) if name in rows.columns]
    rows = rows.dropna(subset=drawn, how="all")  # what only has a cost
    channels, models = list(dict.fromkeys(rows["channel"])), list(dict.fromkeys(rows["model"]))
    places = {channel: len(channels) - 1 - place for place, channel in enumerate(channels)}
    ax = axes(ax, size=(8, 1.4 + (0.3 + 0.11 * len(models)) * len(channels)))
    for number, model in enumerate(models):
        part = rows[rows["model"] == model]
        middle, low, high = (part[name].to_numpy(np.float64) for name in share)
        at = np.array([places[channel] for channel in part["channel"]]) - _offset(number, len(models))
        colour = PALETTE[number % len(PALETTE)]
        ax.hlines(at, low, high, color=colour, linewidth=2)
        ax.plot(middle, at, "o", color=colour, markersize=6, label=model.replace("_", " "))
    _draw_measured(ax, rows, places)
    ax.set_yticks(list(places.values()), list(places))
    ax.set_xlim(left=min(0.0, ax.get_xlim()[0]))
    ax.set_xlabel("Share of all conversions credited (credit is not effect)")
    percent_axis(ax.xaxis, decimals=0)
    ax.set_title("Who gets the credit, by rule", loc="left")
    legend(ax, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return tidy(ax, grid="x")


def plot_budget(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw what each channel costs now and what is suggested, for each elasticity that was assumed.

    Parameters
    ----------
    table : dataframe
        The result of ``budget_table``, of one model.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
    """
    columns = ("model", "elasticity", "channel", "present_cost_amount", "suggested_cost_amount")
    rows = rows_of(table, columns, maker="budget_table", caller="plot_budget")
    rows = rows[rows["model"] == rows["model"].iloc[0]]
    present = rows.groupby("channel")["present_cost_amount"].first().sort_values(kind="stable")
    elasticities = sorted(set(rows["elasticity"].tolist()))
    ax = axes(ax, size=(8, 1.4 + (0.35 + 0.12 * len(elasticities)) * len(present)))
    places = {channel: place for place, channel in enumerate(present.index)}
    ax.vlines(
        present.to_numpy(np.float64), np.arange(len(present)) - 0.45, np.arange(len(present)) + 0.45,
        color=INK, linewidth=2, label="now",
    )  # fmt: skip
    for number, elasticity in enumerate(elasticities):
        part = rows[rows["elasticity"] == elasticity]
        at = np.array([places[channel] for channel in part["channel"]]) - _offset(number, len(elasticities))
        to, colour = part["suggested_cost_amount"].to_numpy(np.float64), PALETTE[number % len(PALETTE)]
        ax.hlines(at, part["present_cost_amount"].to_numpy(np.float64), to, color=colour, linewidth=1.5)
        ax.plot(to, at, "o", color=colour, markersize=7, label=f"elasticity {elasticity:g}")
    ax.set_yticks(list(places.values()), list(places))
    ax.set_xlim(left=0)
    ax.set_ylim(-0.6, len(present) - 0.4)
    ax.set_xlabel("Cost now and as suggested, if conversions grow as assumed")
    thousands_axis(ax.xaxis)
    ax.set_title("What if the budget moved", loc="left")
    legend(ax, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return tidy(ax, grid="x")


def _offset(number: int, count: int) -> float:
    """Return how far below the middle of its row the mark of one of several is drawn."""
    return SPREAD * ((number + 0.5) / count - 0.5)


def _draw_measured(ax: Axes, rows: pd.DataFrame, places: dict[str, int]) -> None:
    """Draw what an experiment measured as a share of the conversions that are credited."""
    if MEASURED not in rows.columns or rows[MEASURED].isna().all() or "credit_conversion_count" not in rows.columns:
        return
    first = rows[rows["model"] == rows["model"].iloc[0]]
    total = first["credit_conversion_count"].sum()
    known = first[first[MEASURED].notna()]
    at = [places[channel] for channel in known["channel"]]
    ax.plot(known[MEASURED].to_numpy(np.float64) / total, at, "x", color=INK, markersize=9, label="experiment")
