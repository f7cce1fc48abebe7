"""What every plot shares: colours that colour-blind readers can tell apart, quiet axes, readable numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from crmlytics._frames import to_pandas
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from numpy.typing import ArrayLike

# Okabe & Ito (2008), "Color universal design", without black: blue, orange, green, vermilion, purple, sky, yellow
PALETTE = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442"]
INK, MUTED, RULE = "#222222", "#6B6B6B", "#DDDDDD"
MORE, LESS = PALETTE[0], PALETTE[1]  # than the others, in every picture: blue and orange
DARK = 0.55  # of the full blue: white text from here on


def axes(ax: Axes | None = None, *, size: tuple[float, float] = (8, 4.5)) -> Axes:
    """Return ``ax``, or the axes of a new figure of this size in inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def rows_of(table: Any, needed: Iterable[str], *, maker: str, caller: str) -> pd.DataFrame:
    """Return the rows to draw; refuse a table without these columns, or without rows, and name who makes it."""
    rows: pd.DataFrame = to_pandas(table, caller=caller)
    missing = [name for name in needed if name not in rows.columns]
    if missing:
        msg = f"{caller} draws the result of {maker}(...): no columns {missing} in {list(rows.columns)}."
        raise MissingColumnsError(msg)
    if rows.empty:
        msg = f"{caller}: the table has no rows. Keep at least one of {maker}(...)."
        raise SchemaError(msg)
    return rows


def tidy(ax: Axes, *, grid: str | None = "y") -> Axes:
    """Take away what carries no information; ``grid`` is the axis whose lines stay ("x", "y", "both" or None)."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(RULE)
    ax.tick_params(colors=MUTED, length=0)
    ax.xaxis.label.set_color(MUTED)
    ax.yaxis.label.set_color(MUTED)
    ax.set_axisbelow(True)
    if grid is not None:
        ax.grid(visible=True, axis=grid, color=RULE, linewidth=0.8)  # type: ignore[arg-type]
    return ax


def row_axes(ax: Axes | None, names: Iterable[Any], *, step: float = 0.4) -> Axes:
    """Return axes with a named row each, the first at the bottom; a new figure is ``step`` inches higher a row."""
    words = [str(name) for name in names]
    ax = tidy(axes(ax, size=(8.5, max(2.4, 1.4 + step * len(words)))), grid="x")
    ax.set_yticks(range(len(words)), words)
    ax.set_ylim(-0.6, len(words) - 0.4)
    ax.tick_params(axis="y", colors=INK)
    return ax


def draw_intervals(
    ax: Axes,
    rows: pd.DataFrame,
    name: str,
    *,
    places: ArrayLike | None = None,
    colour: str,
    label: str | None = None,
    filled: bool = True,
) -> None:
    """Draw the dots of a column, and lines from its ``_low`` to its ``_high``, which end at the dot where not known.

    Rows without a value are left out; ``places`` is how high each row lies, by default the first at 0.
    """
    at = np.arange(len(rows)) if places is None else np.asarray(places, np.float64)
    value, low, high = (rows[f"{name}{end}"].to_numpy(np.float64, na_value=np.nan) for end in ("", "_low", "_high"))
    known = ~np.isnan(value)
    if not known.any():
        return
    ends = [np.where(np.isnan(end), value, end)[known] for end in (low, high)]
    ax.hlines(at[known], *ends, color=colour, linewidth=1.6)
    ax.plot(value[known], at[known], "o", color=colour, markerfacecolor=colour if filled else "white", label=label)


def legend(ax: Axes, **where: Any) -> None:
    """Draw a legend without a frame, below the axes unless ``where`` says otherwise; none where nothing has a label."""
    if ax.get_legend_handles_labels()[0]:
        below = {"loc": "upper left", "bbox_to_anchor": (0, -0.16)}
        ax.legend(frameon=False, fontsize=9, **(where if "loc" in where else below | where))


def draw_differences(ax: Axes, values: ArrayLike, texts: ArrayLike, *, full: float) -> None:
    """Draw a table of differences: blue is more, orange less, full from ``full`` on, grey is missing."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("less to more", [LESS, "white", MORE])
    cells = np.asarray(values, np.float64)
    ax.set_facecolor(RULE)
    ax.imshow(np.ma.masked_invalid(cells), cmap=colours, vmin=-full, vmax=full, aspect="auto")
    for (row, column), text in np.ndenumerate(np.asarray(texts, object)):
        ink = "white" if cells[row, column] > DARK * full else INK
        ax.text(column, row, text, ha="center", va="center", color=ink, fontsize=9)


def percent_axis(axis: Axis, *, decimals: int | None = None) -> None:
    """Write the ticks of an axis of shares as per cent: 0.25 as 25%."""
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(xmax=1, decimals=decimals))


def date_axis(axis: Axis) -> None:
    """Write the ticks of an axis of dates in short: the year once, then months or days."""
    from matplotlib import dates

    locator: Any = cast("Any", dates.AutoDateLocator)()
    axis.set_major_locator(locator)
    axis.set_major_formatter(cast("Any", dates.ConciseDateFormatter)(locator))


def thousands_axis(axis: Axis) -> None:
    """Write the ticks of an axis of counts or money in short: 1,250 as 1.2k, 3,000,000 as 3M."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))


def short_number(value: Any) -> str:
    """Write a number in at most about five characters.

    >>> [short_number(value) for value in (0, 12.5, 950, 1250, 45_300, -3_000_000)]
    ['0', '12.5', '950', '1.2k', '45k', '-3M']
    """
    for unit, size in (("bn", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            scaled = value / size
            return f"{scaled:.0f}{unit}" if abs(scaled) >= 10 else f"{scaled:.1f}".rstrip("0").rstrip(".") + unit
    return f"{value:.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:.3g}"
