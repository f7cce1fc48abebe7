"""Pictures of loyalty: what customers do and say, and what those who say one thing then do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import to_pandas
from crmlytics._plots import INK, MUTED, PALETTE, percent_axis, rows_of, thousands_axis, tidy
from crmlytics._plots import axes as new_axes
from crmlytics._validation import check_choice
from crmlytics.value._customer_plots import reach

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

COLOURS = (PALETTE[3], MUTED, PALETTE[2])  # detractors, passives, promoters
FOLLOWED = {
    "retained_share": "Who stayed, by what they had said",
    "average_amount": "What a customer brought, by what they had said",
}


def plot_loyalty(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the net promoter score of groups, or the measures of loyalty, with their intervals.

    Parameters
    ----------
    table : dataframe
        What :func:`nps_table` or :func:`loyalty_measure_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        A dot per group, or per measure that is a share; the other measures have units of their own, and stand there as
        text.
    """
    if "measure" in to_pandas(table, caller="plot_loyalty").columns:
        return _measures(table, ax)
    names = ["nps_score", "nps_score_low", "nps_score_high"]
    rows = rows_of(table, ["group", "answer_count", *names], maker="nps_table", caller="plot_loyalty")
    labels = [f"{group} ({count:,})" for group, count in zip(rows["group"], rows["answer_count"], strict=True)]
    ax = _dots(rows, names, labels, ax)
    ax.axvline(0, color=MUTED, linewidth=1, linestyle="--")
    ax.set_xlabel("Net promoter score, from -100 to 100")
    ax.set_title("Promoters less detractors, per hundred answers", loc="left")
    return ax


def plot_service_profit(table: Any, *, measure: str = "retained_share", ax: Axes | None = None) -> Axes:
    """Draw what became of detractors, passives and promoters.

    Parameters
    ----------
    table : dataframe
        What :func:`service_profit_table` returned.
    measure : {"retained_share", "average_amount"}, default "retained_share"
        Who stayed, or what a customer brought.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        A bar per group with its 95 % interval; for amounts a rhomb is what they brought before.
    """
    check_choice(measure, FOLLOWED, name="measure", caller="plot_service_profit")
    names = [measure, f"{measure}_low", f"{measure}_high"]
    before = ["previous_average_amount"] if measure == "average_amount" else []
    needed = ["group", "customer_count", *names, *before]
    rows = rows_of(table, needed, maker="service_profit_table", caller="plot_service_profit")
    value, low, high = _numbers(rows, names)
    places = np.arange(len(rows))
    ax = tidy(new_axes(ax, size=(6.5, 4.5)))
    ax.bar(places, value, color=COLOURS, width=0.6, yerr=reach(value, low, high), ecolor=INK, capsize=4)
    for name in before:
        ax.plot(places, *_numbers(rows, [name]), "D", color="white", markeredgecolor=INK, label="Before the horizon")
        ax.legend(frameon=False, fontsize=9)
    labels = [f"{name}\n({count:,})" for name, count in zip(rows["group"], rows["customer_count"], strict=True)]
    ax.set_xticks(places, labels)
    (thousands_axis if before else percent_axis)(ax.yaxis)
    ax.set_ylim(bottom=min(0.0, float(np.nanmin(np.append(low, 0.0)))))
    ax.set_title(FOLLOWED[measure], loc="left")
    return ax


def _measures(table: Any, ax: Axes | None) -> Axes:
    """Draw shares on one axis; write what has another unit."""
    names = ["value", "value_low", "value_high"]
    rows = rows_of(table, ["measure", "customer_count", *names], maker="loyalty_measure_table", caller="plot_loyalty")
    labels = [
        f"{measure.replace('_', ' ')} ({count:,})"
        for measure, count in zip(rows["measure"], rows["customer_count"], strict=True)
    ]
    is_share = rows["measure"].str.endswith("_share").to_numpy(dtype=bool)
    drawn = rows.assign(value=rows["value"].where(is_share))
    ax = _dots(drawn, names, labels, ax)
    for place, (value, low, high) in enumerate(zip(*_numbers(rows, names), strict=True)):
        if np.isnan(value):
            ax.text(0.02, place, "nobody to measure", va="center", color=MUTED)
        elif not is_share[place]:
            between = "" if np.isnan(low) else f" ({low:.3g} to {high:.3g})"
            ax.text(0.02, place, f"{value:.3g}{between}", va="center", color=INK)
    ax.set_xlim(0, max(1.0, *ax.get_xlim()))
    percent_axis(ax.xaxis, decimals=0)
    ax.set_title("Loyalty: what customers do, and what they say", loc="left")
    return ax


def _dots(rows: pd.DataFrame, names: list[str], labels: list[str], ax: Axes | None) -> Axes:
    """Draw figures with their intervals below one another, the first row on top."""
    value, low, high = _numbers(rows, names)
    places = np.arange(len(rows))
    ax = tidy(new_axes(ax, size=(8, 1.4 + 0.5 * len(rows))), grid="x")
    ax.errorbar(value, places, xerr=reach(value, low, high), color=PALETTE[0], fmt="o", markersize=8, elinewidth=1.6,
                capsize=4)  # fmt: skip
    ax.set_yticks(places, labels)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    return ax


def _numbers(rows: pd.DataFrame, names: list[str]) -> list[Vector]:
    return [rows[name].to_numpy(dtype=float, na_value=np.nan) for name in names]
