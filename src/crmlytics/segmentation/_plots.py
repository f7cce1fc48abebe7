"""Pictures of segments: how many, what they are like, where customers stand and where they go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import to_pandas
from crmlytics._plots import DARK, INK, MUTED, PALETTE, draw_differences, percent_axis, rows_of, tidy
from crmlytics._plots import axes as new_axes
from crmlytics.segmentation._counting import APART, ENDS, STABLE, Z
from crmlytics.segmentation.lifecycle import STAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = PALETTE[:6]
STAGE_COLOURS = dict(zip(STAGES, (SKY, GREEN, BLUE, PURPLE, ORANGE, "#8C8C8C"), strict=True))
LARGE = 1.5  # standard deviations: the full colour
MOST_FEATURES = 20
MOVES = {  # what moves: who makes the table, the column of counts, what is counted
    "segment": ("segment_migration_table", "customer_count", "customers"),
    "stage": ("lifecycle_transition_table", "transition_count", "customers times steps"),
}


def plot_segment_count(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the evidence for each number of segments: stability, silhouette and valleys, and the gap above them.

    Parameters
    ----------
    table : dataframe
        As :func:`segment_count_table` makes it.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Of stability, silhouette and the highest valley; dotted is what stability must lie above, and the valley below.
        The gap is in an inset above 1.
    """
    needed = ["segment_count", "highest_valley", "gap", "gap_error", "suggested"]
    needed += [f"{name}{end}" for name in ("lowest_jaccard", "adjusted_rand", "silhouette") for end in ENDS]
    rows = _read(table, needed, "segment_count_table", caller="plot_segment_count")
    ax = new_axes(ax, size=(8, 5.5))
    count = rows["segment_count"].to_numpy(float)
    looks = (
        ("lowest_jaccard", "least stable segment (Jaccard)", BLUE),
        ("adjusted_rand", "whole partition (adjusted Rand)", GREEN),
        ("silhouette", "silhouette", ORANGE),
    )
    for name, label, colour in looks:
        ax.plot(count, rows[name].astype(float), "o-", color=colour, label=label, markersize=4)
        low, high = (rows[f"{name}_{end}"].astype(float) for end in ("low", "high"))
        ax.fill_between(count, low, high, color=colour, alpha=0.12, linewidth=0)
    valleys = rows["highest_valley"].astype(float)
    ax.plot(count, valleys, "s--", color=PURPLE, label="highest valley between neighbours", markersize=3, linewidth=1)
    for height, words in ((STABLE, " stable above"), (APART, " apart below")):
        ax.axhline(height, color=MUTED, linewidth=0.8, linestyle=":")
        ax.text(count[-1], height, words, color=MUTED, fontsize=8, va="center")
    suggested = count[rows["suggested"].astype(bool).to_numpy()][0]
    gap = ax.inset_axes((0, 0.7, 1, 0.3), sharex=ax)
    gap.errorbar(count, rows["gap"].astype(float), yerr=Z * rows["gap_error"].astype(float), color=INK, fmt="o-", ms=4)
    gap.tick_params(labelbottom=False)
    gap.set_ylabel("gap")
    for one in (ax, gap):
        tidy(one)
        one.axvline(suggested, color=VERMILION, linewidth=1.2, linestyle="--", zorder=0)
    words = "suggested: one cloud, no segments" if suggested == 1 else f"suggested: {suggested:.0f}"
    gap.set_title(words, color=VERMILION, fontsize=9, loc="left")
    ax.set_xticks(count, [f"{one:.0f}" for one in count])
    ax.set_xlabel("segments")
    lowest = min(0.0, float(rows["silhouette_low"].min()))
    ax.set_ylim(lowest, lowest + (1.05 - lowest) / 0.66)  # above 1 is the inset
    ax.set_yticks(np.arange(6) / 5)
    ax.set_ylabel("found again, apart", loc="bottom")
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.1), ncols=2, fontsize=8)
    return ax


def plot_segments(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw what makes each segment differ: a row per feature or level, a column per segment.

    Parameters
    ----------
    table : dataframe
        As :func:`segment_summary_table` makes it.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Differences in standard deviations, blue where the segment has more than everybody and orange where it has less,
        full at 1.5; of more than 20 features, those that differ most.
    """
    needed = ["segment", "customer_share", "feature", "level", "standardised_difference"]
    rows = _read(table, needed, "segment_summary_table", caller="plot_segments")
    levels = rows["level"].map(": {}".format, na_action="ignore").fillna("")
    rows = rows.assign(part=rows["feature"].astype(str) + levels)
    segments = list(dict.fromkeys(rows["segment"]))
    cells = rows.pivot_table(index="part", columns="segment", values="standardised_difference")[segments]
    cells = cells.loc[cells.abs().max(axis=1).sort_values(ascending=False, kind="stable").index[:MOST_FEATURES]]
    shares = rows.drop_duplicates("segment").set_index("segment")["customer_share"]
    ax = new_axes(ax, size=(3 + _widest(segments) * len(segments), 1.8 + 0.34 * len(cells)))
    values = cells.to_numpy(float)
    texts = [["" if np.isnan(one) else f"{one.round(1) + 0.0:+.1f}" for one in row] for row in values]
    draw_differences(ax, values, texts, full=LARGE)
    ax.set_yticks(range(len(cells)), cells.index)
    ax.set_xticks(range(len(segments)), [f"{_lines(name)}\n{shares[name]:.0%}" for name in segments], fontsize=8)
    ax.xaxis.tick_top()
    _frame_cells(ax, *values.shape)
    ax.set_xlabel("difference from everybody, in standard deviations\nblue: more, orange: less", color=MUTED)
    return ax


def plot_lifecycle(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how many customers are in each stage of life.

    Parameters
    ----------
    table : dataframe
        As :func:`lifecycle_table` makes it.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
    """
    rows = _read(table, ["customer_id", "stage"], "lifecycle_table", caller="plot_lifecycle")
    counts = rows["stage"].value_counts().reindex(list(STAGES), fill_value=0)
    ax = new_axes(ax, size=(8, 3.6))
    share = counts / max(counts.sum(), 1)
    ax.barh(range(len(STAGES)), share, color=[STAGE_COLOURS[stage] for stage in STAGES], height=0.7)
    for place, (part, count) in enumerate(zip(share, counts, strict=True)):
        ax.text(part, place, f"  {count:,}", va="center", color=INK, fontsize=9)
    ax.set_yticks(range(len(STAGES)), STAGES)
    ax.invert_yaxis()
    ax.margins(x=0.1)
    tidy(ax, grid="x")
    percent_axis(ax.xaxis, decimals=0)
    ax.set_xlabel("share of customers")
    return ax


def plot_migration(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw where customers of each segment, or stage, went: rows are shares that add up to 100 %.

    Parameters
    ----------
    table : dataframe
        As :func:`segment_migration_table` or :func:`lifecycle_transition_table` makes it.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Beside each row how many began there: customers, or with stages customers times steps.
    """
    frame = to_pandas(table, caller="plot_migration")
    what = "stage" if "from_stage" in frame else "segment"
    source, count, counted = MOVES[what]
    needed = [f"from_{what}", f"to_{what}", count, "transition_probability"]
    moves = _read(frame, needed, source, caller="plot_migration")
    rows, columns = (list(dict.fromkeys(moves[f"{side}_{what}"])) for side in ("from", "to"))
    columns = [name for name in rows if name in columns] + [name for name in columns if name not in rows]
    shares = moves.pivot_table(index=f"from_{what}", columns=f"to_{what}", values="transition_probability")
    values = shares.reindex(index=rows, columns=columns).fillna(0.0).to_numpy(float)
    sizes = moves.groupby(f"from_{what}")[count].sum()
    ax = new_axes(ax, size=(1.4 + _widest(rows) + _widest(columns) * len(columns), 1.6 + 0.5 * len(rows)))
    ax.imshow(values, cmap="Blues", aspect="auto", vmin=0, vmax=1)
    for i, j in np.argwhere(values >= 0.005):
        colour, weight = "white" if values[i, j] > DARK else INK, "bold" if rows[i] == columns[j] else "normal"
        ax.text(j, i, f"{values[i, j]:.0%}", ha="center", va="center", color=colour, fontsize=9, weight=weight)
    ax.set_xticks(range(len(columns)), [_lines(name) for name in columns], fontsize=8)
    ax.set_yticks(range(len(rows)), [f"{_lines(name)}  {sizes[name]:,.0f}" for name in rows], fontsize=8)
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")
    _frame_cells(ax, *values.shape)
    ax.set_xlabel("after", loc="left", color=MUTED)
    ax.set_ylabel(f"before ({counted})", loc="top", color=MUTED)
    return ax


# -- inside --------------------------------------------------------------------------------------------------------


def _read(table: Any, needed: Sequence[str], source: str, *, caller: str) -> Any:
    return rows_of(table, needed, maker=f"crm.segmentation.{source}", caller=caller)


def _lines(name: Any) -> str:
    """Write one difference of a name a line."""
    return str(name).replace(", ", ",\n")


def _widest(names: Sequence[str]) -> float:
    """Return the inches that the longest line takes, one at least."""
    return max(1.0, 0.075 * max(len(line) for name in names for line in _lines(name).split("\n")))


def _frame_cells(ax: Axes, rows: int, columns: int) -> None:
    """Part cells by white lines instead of a frame and ticks."""
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, colors=INK)
    ax.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=2)
    ax.tick_params(which="minor", length=0)
