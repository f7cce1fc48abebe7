"""The picture of a list of targets: what each offer is expected to bring, and to how many it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._plots import INK, MUTED, PALETTE, RULE, axes, short_number, thousands_axis, tidy
from crmlytics.campaigns.targeting.target_summary import ALL, read_targets, target_summary_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_arms(targets: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the profit expected of each offer, with the number of its contacts.

    Parameters
    ----------
    targets : dataframe
        What :func:`target_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        A bar per offer, the most profitable on top; the whisker spans the bounds of the uplift, where they are known.

    Raises
    ------
    MissingColumnsError
        When it is no table of targets.
    """
    rows = target_summary_table(read_targets(targets, caller="plot_arms")[0])
    rows = rows[rows["arm"] != ALL].sort_values(["expected_incremental_profit_amount", "arm"], ascending=[True, False])
    profit, low, high = (
        rows[f"expected_{name}_amount"].to_numpy(dtype=float)
        for name in ("incremental_profit", "profit_low", "profit_high")
    )
    places = np.arange(len(rows))
    ax = tidy(axes(ax, size=(8, 1.6 + 0.7 * max(len(rows), 1))), grid="x")
    ax.barh(places, profit, height=0.55, color=PALETTE[0], alpha=0.6)
    ax.hlines(places, low, high, color=INK, linewidth=1.5)
    ax.axvline(0, color=RULE, linewidth=1)
    if not len(rows):
        ax.text(0.5, 0.5, "Nobody is contacted.", transform=ax.transAxes, ha="center", va="center", color=MUTED)
    ends = np.fmax(np.fmax(profit, high), 0)
    for place, end, row in zip(places, ends, rows.itertuples(), strict=True):
        money = short_number(row.expected_incremental_profit_amount)
        told = f"{money} from {row.contact_count:,} contacts\n{row.holdout_count:,} held out"
        ax.annotate(told, (end, place), xytext=(6, 0), textcoords="offset points", va="center", color=MUTED, fontsize=9)
    ax.set_yticks(places, rows["arm"].tolist())
    ax.set(xlabel="Expected incremental profit")
    ax.margins(x=0.3)
    thousands_axis(ax.xaxis)
    ax.set_title("What each offer is expected to bring", loc="left")
    return ax
