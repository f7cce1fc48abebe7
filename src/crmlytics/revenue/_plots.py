"""Pictures of revenue; each draws a table that was computed before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._periods import draw_stacks, period_labels
from crmlytics._plots import INK, MUTED, PALETTE, rows_of, short_number, tidy
from crmlytics._plots import axes as new_axes
from crmlytics._validation import check_choice
from crmlytics.revenue._pictures import money_axis

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes

COHORT_TITLES = {
    "retained_share": "Share of each cohort that ordered",
    "amount_per_customer": "Revenue per original customer",
    "cumulative_amount_per_customer": "Revenue per original customer so far",
}
MOST_CELLS_WRITTEN = 26


def plot_revenue(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw why revenue changed: each period's change, stacked from its three effects.

    Parameters
    ----------
    table : dataframe
        What :func:`revenue_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Bars above zero raised revenue, below zero lowered it; the dot is the sum. Periods that are not complete are
        pale.
    """
    effects = {
        "Number of customers": ("customer_effect_amount", PALETTE[0]),
        "Orders per customer": ("frequency_effect_amount", PALETTE[5]),
        "Average order amount": ("order_value_effect_amount", PALETTE[1]),
    }
    rows = _changes(table, effects, maker="revenue_table", caller="plot_revenue")
    return _draw_changes(rows, effects, title="Why revenue changed", ax=ax)


def plot_movements(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw which customers moved revenue: gains stacked above zero, losses below, the dot is the change.

    Parameters
    ----------
    table : dataframe
        What :func:`movement_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        The first period is left out, since everybody is new in it. Periods that are not complete are pale.
    """
    movements = {
        "New": ("new_amount", PALETTE[0]),
        "Reactivated": ("reactivated_amount", PALETTE[5]),
        "Expansion": ("expansion_amount", PALETTE[2]),
        "Contraction": ("contraction_amount", PALETTE[1]),
        "Lost": ("lost_amount", PALETTE[3]),
        "Returns only": ("returns_amount", PALETTE[4]),
    }
    rows = _changes(table, movements, maker="movement_table", caller="plot_movements")
    return _draw_changes(rows, movements, title="Who moved revenue", ax=ax)


def plot_cohorts(table: Any, *, value: str = "retained_share", ax: Axes | None = None) -> Axes:
    """Draw the cohorts as a heat map: a row is a generation of customers, read it from left to right.

    Parameters
    ----------
    table : dataframe
        What :func:`cohort_table` returned.
    value : {"retained_share", "amount_per_customer", "cumulative_amount_per_customer"}
        The column shown.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Cells of periods that are not complete are hatched. The colours end with the largest value after period 0, as
        every cohort is whole in period 0.
    """
    check_choice(value, COHORT_TITLES, name="value", caller="plot_cohorts")
    needed = ["cohort_start", "cohort_customer_count", "period_number", "is_complete", value]
    rows = rows_of(table, needed, maker="cohort_table", caller="plot_cohorts")
    grid = rows.pivot(index="cohort_start", columns="period_number", values=value)  # noqa: PD010  the other one drops what is missing
    open_cells = rows[~rows["is_complete"].astype(bool)]
    size = (min(max(6.0, 1.6 + 0.56 * grid.shape[1]), 14.0), min(max(2.5, 1.2 + 0.36 * grid.shape[0]), 10.0))
    ax = tidy(new_axes(ax, size=size), grid=None)
    _draw_cells(ax, grid.to_numpy(dtype=float, na_value=float("nan")), as_share=value == "retained_share")
    for cohort, number in zip(open_cells["cohort_start"], open_cells["period_number"], strict=True):
        _hatch(ax, int(number), grid.index.get_loc(cohort))
    sizes = rows.drop_duplicates("cohort_start")["cohort_customer_count"]
    names = [f"{start}  ({count:,})" for start, count in zip(period_labels(grid.index), sizes, strict=True)]
    for ticks, labels in ((ax.set_yticks, names), (ax.set_xticks, list(grid.columns))):
        step = -(-len(labels) // MOST_CELLS_WRITTEN)
        ticks(range(0, len(labels), step), labels[::step])
    ax.spines[:].set_visible(False)
    ax.set_xlabel("Periods since the first order")
    ax.set_ylabel("First order in (customers)")
    ax.set_title(COHORT_TITLES[value], loc="left")
    return ax


# -- inside --------------------------------------------------------------------------------------------------------


def _changes(table: Any, parts: Mapping[str, tuple[str, str]], *, maker: str, caller: str) -> pd.DataFrame:
    """Return the rows of all periods but the first, which has no change."""
    needed = ["period_start", "is_complete", "amount_change", *(column for column, _ in parts.values())]
    return rows_of(table, needed, maker=maker, caller=caller).iloc[1:]


def _draw_changes(rows: Any, parts: Mapping[str, tuple[str, str]], *, title: str, ax: Axes | None) -> Axes:
    ax = tidy(new_axes(ax))
    draw_stacks(ax, rows, parts)
    money_axis(ax.yaxis)
    ax.set_ylabel("Change from the period before")
    ax.set_title(title, loc="left")
    return ax


def _draw_cells(ax: Axes, cells: np.ndarray[Any, Any], *, as_share: bool) -> None:
    """Colour the cells and write their values, as long as there is room to read them."""
    later = cells[:, 1:] if cells.shape[1] > 1 else cells
    top = max(float(np.nanmax(later, initial=0.0)), 1e-12)
    ax.imshow(np.ma.masked_invalid(cells), cmap="Blues", vmin=0, vmax=top, aspect="auto")
    if cells.shape[1] > MOST_CELLS_WRITTEN:
        return
    for row, column in np.argwhere(np.isfinite(cells)):
        number = cells[row, column]
        text = f"{number:.0%}" if as_share else short_number(round(float(number), 1))
        colour = "white" if number > 0.6 * top else INK
        ax.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)


def _hatch(ax: Axes, column: int, row: int) -> None:
    from matplotlib.patches import Rectangle

    cell = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, hatch="////", edgecolor=MUTED, alpha=0.5, linewidth=0)
    ax.add_patch(cell)
