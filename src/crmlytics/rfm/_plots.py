"""Pictures of RFM tables; each draws a table that was computed before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import to_pandas
from crmlytics._plots import INK, MUTED, PALETTE, percent_axis, short_number, tidy
from crmlytics._plots import axes as new_axes
from crmlytics.exceptions import MissingColumnsError
from crmlytics.rfm._segments import SEGMENTS
from crmlytics.rfm._summaries import GONE, NEW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = PALETTE[:6]
COLOURS = {
    "Champions": BLUE,
    "Loyal": "#3A8FC4",
    "Potential loyalists": GREEN,
    "New customers": "#4DB894",
    "Promising": "#8CD0B8",
    "Need attention": "#F2C14E",
    "About to sleep": ORANGE,
    "At risk": VERMILION,
    "Cannot lose": "#A63C06",
    "Hibernating": "#8C8C8C",
    "Lost": "#BDBDBD",
}
DARK = {"Champions", "Loyal", "Potential loyalists", "At risk", "Cannot lose"}  # need white text


def plot_segments(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the segments as rectangles whose areas are their shares of customers.

    Parameters
    ----------
    table : dataframe
        As :func:`segment_table` makes it.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
    """
    import matplotlib.patches as mpatches

    segments = _read(table, ["segment", "customer_share", "total_amount_share"], caller="plot_segments")
    segments = segments.sort_values("customer_share", ascending=False, kind="stable")
    ax = new_axes(ax, size=(9, 5.5))
    others = iter(PALETTE * len(segments))
    rectangles = _squarify(segments["customer_share"].tolist(), 0.0, 0.0, 1.0, 1.0)
    for row, (x, y, width, height) in zip(segments.itertuples(), rectangles, strict=True):
        colour = COLOURS.get(row.segment) or next(others)
        ax.add_patch(mpatches.Rectangle((x, y), width, height, facecolor=colour, edgecolor="white", linewidth=2.5))
        _label_rectangle(ax, row, (x, y, width, height))
    ax.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.set_title("Area: share of customers", loc="left", color=MUTED, fontsize=10)
    return ax


def plot_rfm_heatmap(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the grid of recency by frequency score: number of customers in each cell, shaded by what they spend.

    Parameters
    ----------
    table : dataframe
        As :func:`grid_table` makes it.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
    """
    cells = _read(table, ["r_score", "f_score", "customer_count", "mean_total_amount"], caller="plot_rfm_heatmap")
    n_bins = int(max(cells["r_score"].max(), cells["f_score"].max()))
    counts = np.zeros((n_bins, n_bins))
    amounts = np.full((n_bins, n_bins), np.nan)
    at = (cells["r_score"].astype(int) - 1, cells["f_score"].astype(int) - 1)
    counts[at] = cells["customer_count"]
    amounts[at] = cells["mean_total_amount"]
    ax = new_axes(ax, size=(6.5, 5.2))
    image = ax.imshow(amounts, origin="lower", cmap="Blues", aspect="auto")
    _write_cells(ax, counts, amounts, image)
    _score_ticks(ax, n_bins)
    bar = ax.figure.colorbar(image, ax=ax, format=lambda value, _: short_number(value))
    bar.set_label("mean amount per customer", color=MUTED)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, colors=MUTED)
    ax.set_title(f"Number of customers by score ({n_bins} = best)", loc="left", fontsize=11)
    return ax


def plot_migration(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw where the customers of each segment went: rows are shares that add up to 100 %.

    Parameters
    ----------
    table : dataframe
        As :func:`migration_table` makes it.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
    """
    moves = _read(table, ["from_segment", "to_segment", "customer_count", "from_share"], caller="plot_migration")
    rows, columns = _in_order(moves["from_segment"]), _in_order(moves["to_segment"])
    shares = moves.pivot_table(index="from_segment", columns="to_segment", values="from_share", aggfunc="sum")
    shares = shares.reindex(index=rows, columns=columns).fillna(0.0).to_numpy()
    sizes = moves.groupby("from_segment")["customer_count"].sum()
    ax = new_axes(ax, size=(1.6 + 0.72 * len(columns), 1.6 + 0.42 * len(rows)))
    ax.imshow(shares, cmap="Blues", aspect="auto", vmin=0, vmax=1)
    for i, j in np.argwhere(shares >= 0.005):
        stays = rows[i] == columns[j]
        colour = "white" if shares[i, j] > 0.55 else INK
        weight = "bold" if stays else "normal"
        ax.text(j, i, f"{shares[i, j]:.0%}", ha="center", va="center", color=colour, fontsize=9, weight=weight)
    ax.set_xticks(range(len(columns)), columns, rotation=40, ha="left", rotation_mode="anchor")
    ax.set_yticks(range(len(rows)), [f"{name}  {sizes[name]:,.0f}" for name in rows])
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")
    _frame_cells(ax, len(rows), len(columns))
    ax.set_xlabel("after", loc="left", color=MUTED)
    ax.set_ylabel("before (customers)", loc="top", color=MUTED)
    return ax


def plot_response(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the response of each cell with its interval against the break-even response.

    Parameters
    ----------
    table : dataframe
        As :func:`rfm_response_table` makes it.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
    """
    needed = ["response_rate", "response_rate_low", "response_rate_high", "break_even_rate"]
    needed += ["is_worth_mailing", "is_uncertain"]
    cells = _read(table, needed, caller="plot_response")
    ax = new_axes(ax, size=(max(8.0, 2.0 + 0.22 * len(cells)), 4.5))
    place = np.arange(len(cells))
    worth, uncertain = cells["is_worth_mailing"].astype(bool), cells["is_uncertain"].astype(bool)
    rate = cells["response_rate"].to_numpy(dtype=float)
    spread = np.vstack([rate - cells["response_rate_low"], cells["response_rate_high"] - rate]).clip(min=0)
    looks = [
        ("worth mailing", worth & ~uncertain, BLUE),
        ("too few contacts to tell", uncertain, "#A9A9A9"),
        ("not worth mailing", ~worth & ~uncertain, VERMILION),
    ]
    for label, mask, colour in looks:
        if mask.any():
            ax.bar(place[mask], rate[mask], color=colour, width=0.75, label=label)
    ax.errorbar(place, rate, yerr=spread, fmt="none", ecolor=INK, elinewidth=0.9, alpha=0.65)
    break_even = float(cells["break_even_rate"].iloc[0])
    ax.axhline(break_even, color=INK, linewidth=1.2, linestyle="--", label=f"break-even {break_even:.1%}")
    names = cells.iloc[:, 0].astype(str)
    ax.set_xticks(place, names, rotation=90 if len(cells) > 12 else 30, ha="center" if len(cells) > 12 else "right")
    ax.set_xlim(-0.7, len(cells) - 0.3)
    tidy(ax)
    if len(cells) > 40:
        ax.tick_params(axis="x", labelsize=7)
    percent_axis(ax.yaxis)
    ax.set_ylabel("response")
    ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0.2)
    return ax


def plot_response_gains(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the share of responses reached against the share of contacts made, best cells first.

    Parameters
    ----------
    table : dataframe
        As :func:`rfm_response_table` makes it.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
    """
    needed = ["cumulative_contact_share", "cumulative_response_share", "cumulative_profit_amount"]
    cells = _read(table, needed, caller="plot_response_gains")
    ax = new_axes(ax, size=(6, 5))
    contacts = np.concatenate([[0.0], cells["cumulative_contact_share"]])
    responses = np.concatenate([[0.0], cells["cumulative_response_share"].astype(float)])
    ax.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1.2, label="random order")
    ax.plot(contacts, responses, color=BLUE, linewidth=2.2, label="best cells first")
    best = int(np.argmax(np.concatenate([[0.0], cells["cumulative_profit_amount"]])))
    if best:
        profit = cells["cumulative_profit_amount"].iloc[best - 1]
        ax.plot(contacts[best], responses[best], "o", color=ORANGE, markersize=9)
        ax.annotate(
            f"most profit: {short_number(profit)}\nmail {contacts[best]:.0%}, reach {responses[best]:.0%}",
            (contacts[best], responses[best]),
            xytext=(12, -12),
            textcoords="offset points",
            va="top",
            color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 2},
        )
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="share of contacts", ylabel="share of responses")
    tidy(ax, grid="both")
    percent_axis(ax.xaxis)
    percent_axis(ax.yaxis)
    ax.legend(frameon=False, loc="lower right")
    return ax


# -- inside ------------------------------------------------------------------------------------------------------


def _read(table: Any, needed: Sequence[str], *, caller: str) -> Any:
    frame = to_pandas(table, caller=caller)
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        source = {
            "plot_segments": "segment_table",
            "plot_rfm_heatmap": "grid_table",
            "plot_migration": "migration_table",
        }.get(caller, "rfm_response_table")
        msg = f"{caller} draws the result of crm.rfm.{source}(...): no columns {missing} in {list(frame.columns)}."
        raise MissingColumnsError(msg)
    return frame


def _squarify(shares: list[float], x: float, y: float, width: float, height: float) -> list[tuple[float, ...]]:
    """Fill a rectangle with one rectangle a share, as square as can be (Bruls, Huizing & van Wijk 2000).

    ``shares`` are sorted, largest first. Returns (x, y, width, height) for each, in order.
    """
    if not shares:
        return []
    scale = width * height / sum(shares)
    side = min(width, height)

    def worst(strip: list[float]) -> float:
        thickness = sum(strip) * scale / side
        return max(max(thickness**2 / (s * scale), s * scale / thickness**2) for s in strip)

    taken = 1
    while taken < len(shares) and worst(shares[: taken + 1]) <= worst(shares[:taken]):
        taken += 1
    strip, rest = shares[:taken], shares[taken:]
    thickness = sum(strip) * scale / side
    lengths = [share * scale / thickness for share in strip]
    starts = np.concatenate([[0.0], np.cumsum(lengths)[:-1]]).tolist()
    if width >= height:  # a column at the left, filled from the top
        placed = [(x, y + height - s - n, thickness, n) for s, n in zip(starts, lengths, strict=True)]
        return placed + _squarify(rest, x + thickness, y, width - thickness, height)
    placed = [(x + s, y + height - thickness, n, thickness) for s, n in zip(starts, lengths, strict=True)]
    return placed + _squarify(rest, x, y, width, height - thickness)


def _label_rectangle(ax: Axes, row: Any, place: tuple[float, ...]) -> None:
    """Write as much as fits: name, share of customers, share of revenue."""
    x, y, width, height = place
    box = ax.get_position()
    inches = ax.get_figure(root=True).get_size_inches()  # type: ignore[union-attr]
    across, up = width * box.width * inches[0], height * box.height * inches[1]
    name = str(row.segment)
    size = min(12.0, 72 * across * 0.9 / (0.58 * len(name)))
    if size < 6.5:
        words = name.split()
        name = "\n".join(words)
        size = min(10.0, 72 * across * 0.9 / (0.58 * max(len(word) for word in words)))
    colour = "white" if row.segment in DARK else INK
    lines = [f"{row.customer_share:.0%} of customers"]
    if row.total_amount_share == row.total_amount_share:  # not missing
        lines.append(f"{row.total_amount_share:.0%} of revenue")
    head = size * 1.25 * (name.count("\n") + 1) / 72
    small = min(9.5, 72 * across * 0.9 / (0.52 * max(map(len, lines))))
    if size < 5 or head > up:
        return
    fits = small >= 6 and head + len(lines) * small * 1.35 / 72 < up * 0.92
    middle = y + height / 2
    if not fits:
        ax.text(x + width / 2, middle, name, ha="center", va="center", color=colour, fontsize=size, weight="bold")
        return
    ax.text(x + width / 2, middle, name, ha="center", va="bottom", color=colour, fontsize=size, weight="bold")
    ax.text(x + width / 2, middle, "\n".join(lines), ha="center", va="top", color=colour, fontsize=small)


def _write_cells(ax: Axes, counts: Any, amounts: Any, image: Any) -> None:
    for i, j in np.argwhere(counts > 0):
        dark = image.norm(amounts[i, j]) > 0.55
        text = f"{counts[i, j]:,.0f}"
        ax.text(j, i, text, ha="center", va="center", color="white" if dark else INK, fontsize=11)


def _score_ticks(ax: Axes, n_bins: int) -> None:
    ax.set_xticks(range(n_bins), [str(score) for score in range(1, n_bins + 1)])
    ax.set_yticks(range(n_bins), [str(score) for score in range(1, n_bins + 1)])
    ax.set_xlabel("frequency score  (orders →)", color=MUTED)
    ax.set_ylabel("recency score  (more recent →)", color=MUTED)
    _frame_cells(ax, n_bins, n_bins)


def _frame_cells(ax: Axes, rows: int, columns: int) -> None:
    """Part the cells by white lines."""
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, colors=INK)
    ax.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    ax.grid(visible=True, which="minor", color="white", linewidth=2)
    ax.tick_params(which="minor", length=0)


def _in_order(names: Any) -> list[str]:
    places = {name: place for place, name in enumerate(SEGMENTS)} | {NEW: len(SEGMENTS) + 1, GONE: len(SEGMENTS) + 1}
    return sorted(set(names), key=lambda name: (places.get(name, len(SEGMENTS)), name))
