"""The tornado: what a business case hangs on, the widest swing on top."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import to_pandas
from crmlytics.exceptions import MissingColumnsError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEEDED = (
    "driver",
    "worst_value",
    "likely_value",
    "best_value",
    "worst_npv_amount",
    "likely_npv_amount",
    "best_npv_amount",
)


def plot_tornado(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how far each driver alone moves the net present value from what is likely.

    Parameters
    ----------
    table : dataframe
        What :func:`sensitivity_table` returned.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        One bar per driver from its worst (vermilion) to its best value (blue), both written beside it; the line is the
        likely case, whose values stand on the left. A bar that crosses zero, the dashed line, can make or break the
        case.

    Raises
    ------
    MissingColumnsError
        When it is no such table.
    """
    from crmlytics._plots import INK, MUTED, PALETTE, axes, short_number, thousands_axis, tidy

    rows = to_pandas(table, caller="plot_tornado")
    missing = [name for name in NEEDED if name not in rows.columns]
    if missing:
        raise MissingColumnsError(f"plot_tornado draws the result of sensitivity_table(...): no columns {missing}.")
    ax = tidy(axes(ax, size=(8, 1.2 + 0.5 * len(rows))), grid="x")
    likely, places = float(rows["likely_npv_amount"].iloc[0]), np.arange(len(rows))
    for end, colour, where in (("worst", PALETTE[3], "right"), ("best", PALETTE[0], "left")):
        reached = rows[f"{end}_npv_amount"].to_numpy(float)
        ax.barh(places, reached - likely, left=likely, color=colour, height=0.62, label=f"{end} value")
        for place, x, value in zip(places, reached, rows[f"{end}_value"], strict=True):
            text = ax.annotate(_value(value), (x, place), (-4 if end == "worst" else 4, 0), textcoords="offset points")
            text.set(ha=where, va="center", color=INK, fontsize=9)
    ax.axvline(likely, color=INK, linewidth=1)
    ax.axvline(0, color=MUTED, linewidth=1, linestyle="--")
    drivers = zip(rows["driver"], rows["likely_value"], strict=True)
    ax.set_yticks(places, [f"{str(name).replace('_', ' ')} = {_value(value)}" for name, value in drivers])
    ax.invert_yaxis()
    ax.margins(x=0.14)
    ax.set_xlabel(f"Net present value (likely: {short_number(likely)})")
    thousands_axis(ax.xaxis)
    ax.legend(frameon=False, fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return ax


def _value(value: float) -> str:
    """Write the value of a driver, a share as well as a number of customers."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
