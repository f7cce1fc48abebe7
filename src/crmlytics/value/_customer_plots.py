"""Pictures of who is worth what: the whale, windows of concentration, the value matrix, migration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._plots import DARK, INK, MUTED, PALETTE, RULE, percent_axis, rows_of, short_number, thousands_axis, tidy
from crmlytics._plots import axes as new_axes
from crmlytics.value.matrix import GROUPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

COLOURS = dict(zip(GROUPS, (PALETTE[0], PALETTE[2], MUTED, PALETTE[3]), strict=True))
MOST_POINTS = 20_000  # more say nothing more, and take long to draw


def plot_whale_curve(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how contribution adds up over the customers, and what the loss makers take back.

    Parameters
    ----------
    table : dataframe
        What :func:`whale_curve_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        The dot is the last customer who earns anything; the red part of the curve is what the others destroy.
    """
    needed = ["cumulative_customer_share", "cumulative_contribution_amount", "is_peak"]
    rows = rows_of(table, needed, maker="whale_curve_table", caller="plot_whale_curve")
    share = np.append(0.0, rows["cumulative_customer_share"].to_numpy(dtype=float))
    summed = np.append(0.0, rows["cumulative_contribution_amount"].to_numpy(dtype=float))
    peak = int(rows["is_peak"].to_numpy(dtype=bool).argmax()) + 1
    ax = tidy(new_axes(ax), grid="both")
    ax.axhline(0, color=MUTED, linewidth=0.8)
    ax.axhline(summed[-1], color=MUTED, linewidth=1, linestyle="--")
    ax.plot(share[: peak + 1], summed[: peak + 1], color=PALETTE[0], linewidth=2.2)
    ax.plot(share[peak:], summed[peak:], color=PALETTE[3], linewidth=2.2)
    ax.fill_between(share[peak:], summed[peak:], summed[peak], color=PALETTE[3], alpha=0.12, linewidth=0)
    ax.plot(share[peak], summed[peak], "o", color=PALETTE[0], markeredgecolor="white", markersize=9)
    text = (
        f"{share[peak]:.0%} of customers earn {short_number(summed[peak])};\n"
        f"the others take {short_number(summed[peak] - summed[-1])} back"
    )
    side = "right" if share[peak] > 0.5 else "left"
    ax.annotate(text, (share[peak], summed[peak]), (0, -70), textcoords="offset points", ha=side, color=INK)
    ax.set_xlim(0, 1.02)
    ax.margins(y=0.1)
    percent_axis(ax.xaxis, decimals=0)
    thousands_axis(ax.yaxis)
    ax.set(xlabel="Share of customers, best first", ylabel="Contribution so far")
    ax.set_title("The whale curve: who earns, and who takes it back", loc="left")
    return ax


def plot_value_deciles(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw what each tenth of the customers brings, the best first.

    Parameters
    ----------
    table : dataframe
        What :func:`value_decile_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Over each bar what this tenth and all better ones make of the whole; a tenth that costs more than it brings is
        red.
    """
    needed = ["decile", "total_amount", "cumulative_amount_share"]
    rows = rows_of(table, needed, maker="value_decile_table", caller="plot_value_deciles").sort_values("decile")
    amounts = rows["total_amount"].to_numpy(dtype=float)
    shares = rows["cumulative_amount_share"].to_numpy(dtype=float, na_value=np.nan)
    ax = tidy(new_axes(ax))
    ax.bar(rows["decile"], amounts, color=np.where(amounts < 0, PALETTE[3], PALETTE[0]), width=0.72)
    for decile, amount, share in zip(rows["decile"], amounts, shares, strict=True):
        if not np.isnan(share):
            ax.annotate(f"{share:.0%}", (decile, max(amount, 0)), (0, 3), textcoords="offset points", ha="center",
                        color=INK, fontsize=9)  # fmt: skip
    ax.axhline(0, color=MUTED, linewidth=0.8)
    ax.margins(y=0.12)
    ax.set_xticks(rows["decile"])
    thousands_axis(ax.yaxis)
    ax.set(xlabel="Tenth of the customers, the best first", ylabel="Brought in")
    ax.set_title("What each tenth brings, and makes with all better ones", loc="left")
    return ax


def plot_concentration_windows(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the share of the best customers by the length of the window, with its intervals.

    Parameters
    ----------
    table : dataframe
        What :func:`concentration_window_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Two lines: among all known customers, and among those active in the window.
    """
    names = {"known_amount_share": "All known customers", "active_amount_share": "Customers active in the window"}
    needed = ["window_days", *names]
    rows = rows_of(table, needed, maker="concentration_window_table", caller="plot_concentration_windows")
    ax = tidy(new_axes(ax))
    places = np.arange(len(rows))
    for number, (name, label) in enumerate(names.items()):
        value, low, high = (
            rows[f"{name}{end}"].to_numpy(dtype=float, na_value=np.nan) for end in ("", "_low", "_high")
        )
        ax.errorbar(
            places + 0.08 * (2 * number - 1), value, yerr=reach(value, low, high), color=PALETTE[number],
            marker="o", linewidth=2, elinewidth=1.2, capsize=3, label=label,
        )  # fmt: skip
    ax.set_xticks(places, [f"{days:,} days" for days in rows["window_days"]])
    percent_axis(ax.yaxis, decimals=0)
    ax.legend(frameon=False, fontsize=9)
    ax.set(xlabel="Length of the window", ylabel="Share of revenue of the best")
    ax.set_title("What the best customers make, by length of the window", loc="left")
    return ax


def plot_order_concentration(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw what the best customers make of orders in each window, beside what lasts without chance.

    Parameters
    ----------
    table : dataframe
        What :func:`order_concentration_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Crosses are what the model expects to be counted: where they lie off the line, do not trust what lasts.
    """
    lasting = [f"lasting_order_share{end}" for end in ("", "_low", "_high")]
    needed = ["window_days", "order_share", "expected_order_share", *lasting]
    rows = rows_of(table, needed, maker="order_concentration_table", caller="plot_order_concentration")
    seen, expected, value, low, high = (rows[name].to_numpy(dtype=float, na_value=np.nan) for name in needed[1:])
    ax = tidy(new_axes(ax))
    places = np.arange(len(rows))
    ax.plot(places, seen, color=PALETTE[1], marker="o", linewidth=2, label="Counted in the window")
    ax.plot(places, expected, "x", color=INK, markersize=8, label="Expected by the model")
    ax.errorbar(places, value, yerr=reach(value, low, high), color=PALETTE[0], marker="o", linewidth=2,
                elinewidth=1.2, capsize=3, label="In the long run")  # fmt: skip
    ax.set_xticks(places, [f"{days:,} days" for days in rows["window_days"]])
    ax.set_ylim(0, 1.02)
    percent_axis(ax.yaxis, decimals=0)
    ax.legend(frameon=False, ncols=3, loc="upper left", bbox_to_anchor=(0, -0.16), fontsize=9)
    ax.set(xlabel="Length of the window", ylabel="Share of orders of the best")
    ax.set_title("Concentration of orders: in a window, and what lasts", loc="left")
    return ax


def plot_value_matrix(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw what customers could be worth over what they are worth, in the colours of their groups.

    Parameters
    ----------
    table : dataframe
        What :func:`value_matrix_table` returned. Of more than 20,000 customers every n-th is drawn.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        On the dashed line a customer is worth all they could be. Both axes are linear up to the median size of a value
        and logarithmic beyond it.
    """
    needed = ["current_amount", "potential_amount", "value_group"]
    rows = rows_of(table, needed, maker="value_matrix_table", caller="plot_value_matrix")
    counts = rows["value_group"].value_counts()
    rows = rows.iloc[:: -(-len(rows) // MOST_POINTS) or 1]
    amounts = rows[needed[:2]].to_numpy(dtype=float)
    ax = tidy(new_axes(ax, size=(7.5, 5.5)), grid="both")
    for group in GROUPS:
        of_group = (rows["value_group"] == group).to_numpy(dtype=bool)
        label = f"{group} ({int(counts.get(group, 0)):,})"
        today, could = amounts[of_group].T
        ax.scatter(today, could, s=16, color=COLOURS[group], alpha=0.6, linewidth=0, label=label)
    ends = [amounts.min(), amounts.max()]
    ax.plot(ends, ends, color=MUTED, linewidth=1, linestyle="--")
    sizes = np.abs(amounts[amounts != 0])
    middle = float(np.median(sizes)) if len(sizes) else 1.0
    for axis, scale in ((ax.xaxis, ax.set_xscale), (ax.yaxis, ax.set_yscale)):
        scale("symlog", linthresh=middle)
        thousands_axis(axis)
    ax.axhline(0, color=RULE, linewidth=1)
    ax.axvline(0, color=RULE, linewidth=1)
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.14), ncols=2, fontsize=9)
    ax.set(xlabel="Worth today", ylabel="Could be worth")
    ax.set_title("Current and potential value", loc="left")
    return ax


def plot_value_migration(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw who moved between tiers of value as a grid, darker where more customers went, with the revenue that moved.

    Parameters
    ----------
    table : dataframe
        What :func:`value_migration_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        In each cell the share of the customers of the row, and the change of their revenue.
    """
    needed = ["from_tier", "to_tier", "from_share", "amount_change", "customer_count"]
    rows = rows_of(table, needed, maker="value_migration_table", caller="plot_value_migration")
    origins, targets = (_in_order(rows, name) for name in needed[:2])
    grid = np.zeros((len(origins), len(targets)))
    ax = tidy(new_axes(ax, size=(2 + 1.3 * len(targets), 1.4 + 0.6 * len(origins))), grid=None)
    most = int(rows["customer_count"].max())
    for origin, target, share, change, count in rows[needed].itertuples(index=False):
        row, column = origins.index(origin), targets.index(target)
        grid[row, column] = count  # not the share: the one customer of a tier is no dark cell
        cents = round(float(change), 2) + 0.0  # not -0
        text = f"{share:.0%}\n{'+' if cents > 0 else ''}{short_number(cents)}"
        ax.text(column, row, text, ha="center", va="center", fontsize=9, color="white" if count > DARK * most else INK)
    ax.imshow(grid, cmap="Blues", vmin=0, vmax=most, aspect="auto")
    ax.set_xticks(range(len(targets)), targets)
    ax.set_yticks(range(len(origins)), origins)
    ax.set(xlabel="Tier in the last period", ylabel="Tier in the period before")
    ax.set_title("Value migration: share of the tier, change of revenue (darker: more customers)", loc="left")
    return ax


def reach(value: Vector, low: Vector, high: Vector) -> Vector:
    """Return how far an interval goes down and up; a share of 1 may lie a last bit above its bound."""
    return np.maximum([value - low, high - value], 0.0)


def _in_order(rows: pd.DataFrame, name: str) -> Sequence[str]:
    """Return the tiers as they come in rows, those in brackets last: a tier may miss from the first row."""
    tiers = list(dict.fromkeys(rows["from_tier"])) + list(dict.fromkeys(rows["to_tier"]))
    there = set(rows[name])
    return sorted((tier for tier in dict.fromkeys(tiers) if tier in there), key=lambda tier: tier.startswith("("))
