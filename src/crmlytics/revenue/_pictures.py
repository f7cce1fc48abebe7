"""Pictures of bridges, of who revenue comes from, of forecasts and of seasons."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from crmlytics._frames import to_pandas
from crmlytics._periods import draw_bars, label_periods
from crmlytics._plots import INK, MUTED, PALETTE, short_number, thousands_axis, tidy
from crmlytics._plots import axes as new_axes
from crmlytics.exceptions import SchemaError
from crmlytics.revenue.bridges import EFFECTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEPS = {
    "new_amount": "New\ncustomers",
    "reactivated_amount": "Reactivated",
    "lost_amount": "Lost\ncustomers",
    "returns_amount": "Returns\nonly",
    "volume_effect_amount": "Volume",
    "mix_effect_amount": "Mix",
    "price_effect_amount": "Price",
    "added_products_amount": "Added\nproducts",
    "dropped_products_amount": "Dropped\nproducts",
    "other_effect_amount": "Other",
}
KINDS = {
    "retained": ("Retained", PALETTE[0]),
    "reactivated": ("Reactivated", PALETTE[5]),
    "new": ("New", PALETTE[2]),
    "returns": ("Returns only", PALETTE[4]),
}


def plot_bridge(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the bridge of one period as a waterfall: revenue before, each effect, revenue now.

    Parameters
    ----------
    table : dataframe
        What :func:`bridge_table` returned. Of several periods the last one that is complete is drawn (the last one if
        none is); filter the rows to draw another. Groups are added up.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Steps that are zero are left out.
    """
    rows = _one_bridge(table, caller="plot_bridge")
    sums = rows[["previous_amount", *EFFECTS, "total_amount"]].astype(float).sum()
    basis = "orders" if (rows["basis"] == "orders").all() else "units"
    names = {**STEPS, "volume_effect_amount": f"Volume\n({basis})"}
    steps = [name for name in EFFECTS if abs(sums[name]) >= 0.005]
    ax = tidy(new_axes(ax, size=(10, 4.8)))
    _draw_waterfall(ax, [float(sums[name]) for name in ("previous_amount", *steps, "total_amount")])
    now = rows.iloc[0]
    ends = ["Before", *(names[name] for name in steps), f"From\n{now['period_start']:%Y-%m-%d}"]
    ax.set_xticks(range(len(ends)), ends, fontsize=8)
    thousands_axis(ax.yaxis)
    ax.set_ylabel("Revenue")
    pale = "" if now["is_complete"] else " (a period is not complete)"
    ax.set_title(f"From one period to the next{pale}", loc="left")
    return ax


def plot_composition(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw who revenue came from in each period: retained, reactivated and new customers, stacked.

    Parameters
    ----------
    table : dataframe
        What :func:`composition_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Returns of customers without an order lie below zero. Periods that are not complete are pale.
    """
    rows = to_pandas(table, caller="plot_composition")
    ax = tidy(new_axes(ax))
    periods = rows[rows["kind"] == rows["kind"].iloc[0]].reset_index(drop=True)
    above, below = [0.0] * len(periods), [0.0] * len(periods)
    for kind, (label, colour) in KINDS.items():
        heights = [float(amount) for amount in rows.loc[rows["kind"] == kind, "total_amount"]]
        if not any(heights):
            continue
        bottoms = [up if height >= 0 else down for height, up, down in zip(heights, above, below, strict=True)]
        draw_bars(ax, periods, heights, colour, bottom=bottoms, label=label)
        above = [up + max(height, 0.0) for height, up in zip(heights, above, strict=True)]
        below = [down + min(height, 0.0) for height, down in zip(heights, below, strict=True)]
    label_periods(ax, periods)
    thousands_axis(ax.yaxis)
    ax.set_ylabel("Revenue")
    ax.set_title("Who revenue comes from", loc="left")
    ax.legend(frameon=False, ncols=4, loc="upper left", bbox_to_anchor=(0, -0.16), fontsize=9)
    return ax


def plot_forecast(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the forecast: existing and new customers stacked, the interval, and the benchmark as a line.

    Parameters
    ----------
    table : dataframe
        What :func:`revenue_forecast_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Periods without an interval have no bar of error: too few past forecasts looked as far ahead.
    """
    rows = to_pandas(table, caller="plot_forecast")
    ax = tidy(new_axes(ax))
    places = range(len(rows))
    existing, new = (rows[name].astype(float) for name in ("existing_amount", "new_amount"))
    ax.bar(places, existing, color=PALETTE[0], width=0.72, label="Existing customers")
    ax.bar(places, new, bottom=existing, color=PALETTE[2], width=0.72, label="New customers")
    lower, upper = (rows[name].astype(float) for name in ("forecast_amount_low", "forecast_amount_high"))
    known = lower.notna()
    middle = rows["forecast_amount"].astype(float)[known]
    spans = [middle - lower[known], upper[known] - middle]
    ax.errorbar(rows.index[known], middle, yerr=spans, fmt="none", ecolor=INK, capsize=4, linewidth=1.2,
                label="Interval")  # fmt: skip
    ax.plot(places, rows["benchmark_amount"].astype(float), "D--", color=PALETTE[3], markersize=5, linewidth=1,
            label=f"Benchmark: {rows['benchmark'].iloc[0]}")  # fmt: skip
    ax.axhline(0, color=MUTED, linewidth=0.8)
    label_periods(ax, rows)
    thousands_axis(ax.yaxis)
    ax.set_ylabel("Revenue")
    ax.set_title("Revenue to come", loc="left")
    ax.legend(frameon=False, ncols=4, loc="upper left", bbox_to_anchor=(0, -0.16), fontsize=9)
    return ax


def plot_seasonality(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the profile of a cycle: a bar for each month, weekday or hour from the mean, with its interval.

    Parameters
    ----------
    table : dataframe
        What :func:`seasonality_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Bars end at the index; the line at 1 is the mean. Pale where a single cycle was seen.
    """
    rows = to_pandas(table, caller="plot_seasonality")
    ax = tidy(new_axes(ax))
    index = rows["amount_index"].astype(float)
    reliable = bool(rows["is_reliable"].iloc[0])
    ax.bar(range(len(rows)), index - 1, bottom=1, color=PALETTE[0], width=0.72, alpha=1.0 if reliable else 0.45)
    if reliable:
        spans = [index - rows["amount_index_low"].astype(float), rows["amount_index_high"].astype(float) - index]
        ax.errorbar(range(len(rows)), index, yerr=spans, fmt="none", ecolor=INK, capsize=3, linewidth=1)
    ax.axhline(1, color=MUTED, linewidth=0.8)
    names = [part if part[0].isdigit() else part[:3] for part in rows["part"]]
    step = 1 if len(names) <= 12 else 3
    ax.set_xticks(range(0, len(names), step), names[::step])
    ax.set_ylabel("Revenue over the mean")
    count = int(rows["cycle_count"].iloc[0])
    cycles = {12: "year", 7: "week", 24: "day"}[len(rows)]
    ax.set_title(f"When revenue is made ({count:,} {cycles}{'s' if count > 1 else ''} seen)", loc="left")
    return ax


# -- inside --------------------------------------------------------------------------------------------------------


def _one_bridge(table: Any, *, caller: str) -> Any:
    """Return the rows of the last complete period, one per group."""
    rows = to_pandas(table, caller=caller)
    if rows.empty:
        msg = f"{caller}: the table has no rows. Keep at least one period of bridge_table."
        raise SchemaError(msg)
    complete = rows[rows["is_complete"].astype(bool)]
    chosen = complete if len(complete) else rows
    return chosen[chosen["period_start"] == chosen["period_start"].max()].reset_index(drop=True)


def _draw_waterfall(ax: Axes, heights: list[float]) -> None:
    """Draw the first and the last from zero, the steps between them from where the one before ended."""
    before, *steps, after = heights
    levels = [before]
    for step in steps:
        levels.append(levels[-1] + step)
    bottoms = [0.0, *levels[:-1], 0.0]
    colours = [MUTED, *(PALETTE[2] if step >= 0 else PALETTE[3] for step in steps), MUTED]
    ax.bar(range(len(heights)), heights, bottom=bottoms, color=colours, width=0.66)
    for place, (level, following) in enumerate(pairwise([*levels, after])):
        ax.plot([place + 0.33, place + 0.67], [level, level if place + 1 < len(levels) else following], color=MUTED,
                linewidth=0.8)  # fmt: skip
    for place, (height, bottom) in enumerate(zip(heights, bottoms, strict=True)):
        text = (
            short_number(height)
            if place in {0, len(heights) - 1}
            else f"{'+' if height >= 0 else ''}{short_number(height)}"
        )
        ax.annotate(text, (place, max(bottom, bottom + height)), xytext=(0, 3), textcoords="offset points", ha="center",
                    fontsize=8, color=INK)  # fmt: skip
    ax.axhline(0, color=MUTED, linewidth=0.8)
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.06 * (high - low))  # room for the numbers above the highest bar
