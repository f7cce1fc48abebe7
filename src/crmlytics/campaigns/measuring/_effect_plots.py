"""The picture of what a campaign did: arms, segments and metrics one below the other, each with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import to_pandas
from crmlytics._plots import INK, MUTED, PALETTE, RULE, axes, percent_axis, tidy
from crmlytics.campaigns.measuring._effect_rows import SHARE_METHOD
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

NEEDED = ("arm", "metric", "difference", "ratio", "ratio_low", "ratio_high", "is_significant")
FLAGS, SHARES = ("converted", "responded"), SHARE_METHOD.partition(";")[0]
MOST_ROWS = 60
ROW_HEIGHT, MARGINS = 0.32, 1.3  # inches
MARK = 6.5
WIDEST = 3.0  # times the largest lift: an interval far beyond it is cut off, or all others vanish


def plot_effects(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the lift over the control group, with its interval, of every arm, segment and metric.

    Parameters
    ----------
    table : dataframe
        What :func:`effect_table` returned, at most 60 rows of it.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        One line per row, in their order: the lift is ``ratio - 1``; the difference stands at the right, of flags in
        percentage points, else in the metric's own unit. Filled dots are significant after correction; an arrow is an
        interval that goes on, or has no upper bound. Rows without a ratio have no dot.

    Raises
    ------
    MissingColumnsError, SchemaError
        When it is no table of effects, or has more rows than can be read.
    """
    rows = _read(table)
    lift, low, high = (rows[name].to_numpy(dtype=float) - 1 for name in ("ratio", "ratio_low", "ratio_high"))
    left, right = _limits(lift, low, high)
    significant = rows["is_significant"].to_numpy(dtype=bool)
    arms = list(dict.fromkeys(rows["arm"]))
    ax = tidy(axes(ax, size=(8, MARGINS + ROW_HEIGHT * len(rows))), grid="x")
    ax.axvline(0, color=MUTED, linewidth=1)
    for place, arm in enumerate(rows["arm"]):
        colour = PALETTE[arms.index(arm) % len(PALETTE)]
        _draw_interval(ax, place, (max(low[place], left), high[place]), right, colour)
        fill = colour if significant[place] else "white"
        ax.plot(lift[place], place, "o", color=colour, markerfacecolor=fill, markersize=MARK, zorder=3)
        told = _difference(rows.iloc[place]) if not np.isnan(lift[place]) else "no ratio"
        ax.annotate(told, (1.01, place), xycoords=("axes fraction", "data"), va="center", color=MUTED, fontsize="small")
    ax.set(xlim=(left, right), ylim=(len(rows) - 0.5, -0.5), yticks=range(len(rows)), yticklabels=_labels(rows))
    ax.tick_params(axis="y", colors=INK)
    ax.set_xlabel("Lift over control, with its interval (filled: significant; right: difference)")
    percent_axis(ax.xaxis, decimals=0)
    ax.spines["left"].set_color(RULE)
    ax.set_title("What the campaign did", loc="left")
    return ax


def _read(table: Any) -> pd.DataFrame:
    rows: pd.DataFrame = to_pandas(table, caller="plot_effects")
    missing = [name for name in NEEDED if name not in rows.columns]
    if missing:
        msg = f"plot_effects draws the result of effect_table(...): no columns {missing} in {list(rows.columns)}."
        raise MissingColumnsError(msg)
    if not 0 < len(rows) <= MOST_ROWS:
        msg = (
            f"plot_effects: the table has {len(rows):,} rows, expected 1 to {MOST_ROWS}. Draw some of them, such as "
            'table[table["metric"] == "converted"].'
        )
        raise SchemaError(msg)
    return rows


def _limits(lift: Any, low: Any, high: Any) -> tuple[float, float]:
    """Return how far the axis goes: as far as the intervals, unless one dwarfs everything."""
    reach = WIDEST * max(np.nanmax(np.abs(lift), initial=0.0), 0.1)
    left = max(np.nanmin(low, initial=0.0), -reach)
    right = min(np.nanmax(high, initial=0.0), reach) if not np.isnan(high).all() else reach
    margin = 0.05 * (right - left)
    return left - margin, right + margin


def _difference(row: Any) -> str:
    """Write a difference: of shares, which the method tells where they are not adjusted, in points."""
    difference, unit = float(row["difference"]), ""
    if row["metric"] in FLAGS or str(row.get("method")).startswith(SHARES):
        difference, unit = 100 * difference, " points"
    decimals = 1 if unit else 3 if abs(difference) < 1 else 2 if abs(difference) < 1_000 else 0
    return f"{round(difference, decimals) + 0.0:+,.{decimals}f}{unit}"  # + 0.0: no -0.0


def _draw_interval(ax: Axes, place: int, ends: tuple[float, float], right: float, colour: str) -> None:
    """Draw one interval; an arrow where it goes on."""
    low, high = ends
    if np.isnan(low):
        return
    ends_within = high < right
    ax.plot([low, high if ends_within else right], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
    if not ends_within:
        ax.plot(right, place, ">", color=colour, markersize=MARK, clip_on=False)


def _labels(rows: pd.DataFrame) -> list[str]:
    """Name each row by what tells it from the others."""
    keys = list(rows.columns[: list(rows.columns).index("metric") + 1])
    telling = [name for name in keys if len(set(rows[name])) > 1] or ["arm"]
    return [", ".join(str(value) for value in row) for row in rows[telling].itertuples(index=False, name=None)]
