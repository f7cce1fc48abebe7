"""Pictures of bridges, of cuts, of who revenue comes from, of forecasts and of seasons."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from crmlytics._periods import draw_bars, label_periods
from crmlytics._plots import INK, MUTED, PALETTE, RULE, percent_axis, rows_of, short_number, tidy
from crmlytics._plots import axes as new_axes
from crmlytics.revenue.bridges import EFFECTS
from crmlytics.revenue.seasonality import CYCLES, LABELS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

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
UNITS = (("bn", 1e9), ("M", 1e6), ("k", 1e3))
OTHERS = "(others)"
MOST_GROUPS = 6  # that colours can tell apart
NARROW = 0.75  # inches for a bar and its name
MARKERS = {"better": ("o", "full"), "worse": ("X", "full")}
TESTED = ("period_number", "absolute_error_share", "benchmark_absolute_error_share", "skill_share", "benchmark",
          "verdict")  # fmt: skip
DRAWN = ("period_start", "existing_amount", "new_amount", "forecast_amount", "forecast_amount_low",
         "forecast_amount_high", "benchmark_amount", "benchmark")  # fmt: skip


def plot_bridge(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the bridge of one period as a waterfall: revenue before, each effect, revenue now.

    Parameters
    ----------
    table : dataframe
        What :func:`bridge_table` returned. Of several periods the last one that is complete is drawn (the last one if
        none is); filter the rows to draw another. Groups are added up, and the title says so: what kept customers did
        is told within each, so that is not the bridge of the whole.
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
    _name_steps(ax, ends)
    money_axis(ax.yaxis)
    ax.set_ylabel("Revenue")
    pale = "" if now["is_complete"] else " (a period is not complete)"
    groups = rows["group"].nunique()
    sums_of = f", {groups} groups added up" if groups > 1 else ""
    ax.set_title(f"From one period to the next{sums_of}{pale}", loc="left")
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
    needed = ["period_start", "is_complete", "kind", "total_amount"]
    rows = rows_of(table, needed, maker="composition_table", caller="plot_composition")
    ax = tidy(new_axes(ax))
    periods = rows[rows["kind"] == rows["kind"].iloc[0]].reset_index(drop=True)
    layers = []
    for kind, (label, colour) in KINDS.items():
        layers.append((label, colour, [float(amount) for amount in rows.loc[rows["kind"] == kind, "total_amount"]]))
    _draw_layers(ax, periods, layers)
    ax.set_title("Who revenue comes from", loc="left")
    return ax


def plot_revenue_cuts(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the revenue of each group, period by period, stacked.

    Parameters
    ----------
    table : dataframe
        What :func:`revenue_cut_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        The six largest groups over all periods; what is left is added up as "(others)". Groups of which more came back
        than was sold lie below zero. Periods that are not complete are pale.
    """
    needed = ["period_start", "is_complete", "group", "total_amount"]
    rows = rows_of(table, needed, maker="revenue_cut_table", caller="plot_revenue_cuts")
    ax = tidy(new_axes(ax))
    sums = rows.assign(total_amount=rows["total_amount"].astype(float)).groupby("group")["total_amount"].sum()
    largest = sums.abs().sort_values(ascending=False, kind="stable").index[:MOST_GROUPS]
    rows = rows.assign(group=rows["group"].where(rows["group"].isin(largest), OTHERS))
    amounts = rows.astype({"total_amount": float}).groupby(["group", "period_start"])["total_amount"].sum()
    periods = rows.drop_duplicates("period_start").reset_index(drop=True)
    named = [*largest, *([OTHERS] if len(sums) > len(largest) else [])]
    colours = [*PALETTE[: len(largest)], RULE]
    _draw_layers(
        ax, periods, [(name, colour, list(amounts[name])) for name, colour in zip(named, colours, strict=False)]
    )
    ax.set_title("Revenue by group", loc="left")
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
    rows = rows_of(table, DRAWN, maker="revenue_forecast_table", caller="plot_forecast")
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
            label=f"Benchmark: {', '.join(dict.fromkeys(rows['benchmark']))}")  # fmt: skip
    ax.axhline(0, color=MUTED, linewidth=0.8)
    label_periods(ax, rows)
    money_axis(ax.yaxis)
    ax.set_ylabel("Revenue")
    ax.set_title("Revenue to come", loc="left")
    ax.legend(frameon=False, ncols=4, loc="upper left", bbox_to_anchor=(0, -0.16), fontsize=9)
    return ax


def plot_forecast_evaluation(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how far past forecasts missed, beside the benchmark, by how many periods they looked ahead.

    Parameters
    ----------
    table : dataframe
        What :func:`forecast_evaluation_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Errors as shares of revenue, both at the origins of the benchmark. A full dot is better than the benchmark by
        more than chance, a cross worse, a hollow dot neither.
    """
    rows = rows_of(table, TESTED, maker="forecast_evaluation_table", caller="plot_forecast_evaluation")
    ax = tidy(new_axes(ax))
    errors, theirs, skill = (rows[name].astype(float) for name in TESTED[1:4])
    mine = (theirs * (1 - skill)).fillna(errors)
    ahead = rows["period_number"].astype(int)
    name = f"Benchmark: {', '.join(dict.fromkeys(rows['benchmark']))}"
    ax.plot(ahead, theirs, "D--", color=PALETTE[3], markersize=5, linewidth=1, label=name)
    ax.plot(ahead, mine, color=PALETTE[0], linewidth=1.6, label="Forecast")
    for place, error, verdict in zip(ahead, mine, rows["verdict"], strict=True):
        marker, fill = MARKERS.get(verdict, ("o", "none"))
        ax.plot([place], [error], marker, color=PALETTE[0], fillstyle=fill, markersize=8)
    ax.set_ylim(bottom=0)
    ax.set_xticks(ahead)
    ax.set_xlabel("Periods ahead")
    ax.set_ylabel("Mean miss, share of revenue")
    percent_axis(ax.yaxis)
    ax.set_title("How far past forecasts missed", loc="left")
    ax.legend(frameon=False, ncols=2, loc="upper left", bbox_to_anchor=(0, -0.16), fontsize=9)
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
        Bars end at the index; the line at 1 is the mean. Pale where a single cycle was seen, or no more than chance.
    """
    needed = ["part", "amount_index", "amount_index_low", "amount_index_high", "cycle_count", "is_reliable"]
    rows = rows_of(table, needed, maker="seasonality_table", caller="plot_seasonality")
    ax = tidy(new_axes(ax))
    index = rows["amount_index"].astype(float)
    reliable = bool(rows["is_reliable"].iloc[0])
    ax.bar(range(len(rows)), index - 1, bottom=1, color=PALETTE[0], width=0.72, alpha=1.0 if reliable else 0.45)
    if index.size and rows["amount_index_low"].notna().all():
        spans = [index - rows["amount_index_low"].astype(float), rows["amount_index_high"].astype(float) - index]
        ax.errorbar(range(len(rows)), index, yerr=spans, fmt="none", ecolor=INK, capsize=3, linewidth=1)
    ax.axhline(1, color=MUTED, linewidth=0.8)
    names = [part if part[0].isdigit() else part[:3] for part in rows["part"]]
    step = 1 if len(names) <= 12 else 3
    ax.set_xticks(range(0, len(names), step), names[::step])
    ax.set_ylabel("Revenue over the mean")
    count = int(rows["cycle_count"].iloc[0])
    cycles = next(CYCLES[of] for of, parts in LABELS.items() if rows["part"].iloc[0] in parts)
    chance = ", no more than chance" if count > 1 and not reliable else ""
    ax.set_title(f"When revenue is made ({count:,} {cycles if count > 1 else cycles[:-1]} seen{chance})", loc="left")
    return ax


# -- inside --------------------------------------------------------------------------------------------------------


def _one_bridge(table: Any, *, caller: str) -> Any:
    """Return the rows of the last complete period, one per group."""
    needed = ["period_start", "is_complete", "group", "basis", "previous_amount", "total_amount", *EFFECTS]
    rows = rows_of(table, needed, maker="bridge_table", caller=caller)
    complete = rows[rows["is_complete"].astype(bool)]
    chosen = complete if len(complete) else rows
    return chosen[chosen["period_start"] == chosen["period_start"].max()].reset_index(drop=True)


def money_axis(axis: Axis) -> None:
    """Write the ticks of an axis of money in short and in full: 1,250,000 as 1.25M."""
    from matplotlib.ticker import FuncFormatter

    def written(value: float, _: int | None) -> str:
        name, size = next(((name, size) for name, size in UNITS if abs(value) >= size), ("", 1.0))
        return f"{round(value / size, 6):g}{name}"

    axis.set_major_formatter(FuncFormatter(written))


def _draw_layers(ax: Axes, periods: Any, layers: Iterable[tuple[str, str, list[float]]]) -> None:
    """Stack (label, colour, heights) up and down from zero, and write what every such picture has."""
    above, below = [0.0] * len(periods), [0.0] * len(periods)
    for label, colour, heights in layers:
        if not any(heights):
            continue
        bottoms = [up if height >= 0 else down for height, up, down in zip(heights, above, below, strict=True)]
        draw_bars(ax, periods, heights, colour, bottom=bottoms, label=label)
        above = [up + max(height, 0.0) for height, up in zip(heights, above, strict=True)]
        below = [down + min(height, 0.0) for height, down in zip(heights, below, strict=True)]
    label_periods(ax, periods)
    money_axis(ax.yaxis)
    ax.set_ylabel("Revenue")
    ax.legend(frameon=False, ncols=4, loc="upper left", bbox_to_anchor=(0, -0.16), fontsize=9)


def _name_steps(ax: Axes, names: list[str]) -> None:
    """Write the names under the bars, slanted where they would run into one another."""
    width = ax.get_window_extent().width / ax.figure.dpi
    if width / len(names) >= NARROW:
        ax.set_xticks(range(len(names)), names, fontsize=8)
        return
    flat = [name.replace("\n", " ") for name in names]
    ax.set_xticks(range(len(flat)), flat, fontsize=8, rotation=40, ha="right", rotation_mode="anchor")


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
