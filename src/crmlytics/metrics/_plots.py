"""The pictures of a score: lift, gains, calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import to_pandas
from crmlytics._plots import INK, MUTED, PALETTE, axes, percent_axis, tidy
from crmlytics.exceptions import MissingColumnsError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def plot_lift(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how much better than chance each bin of a list is.

    Parameters
    ----------
    table : dataframe
        What :func:`lift_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Bars with their bootstrap intervals; 1 is chance.
    """
    rows = _read(table, ["bin", "lift", "lift_low", "lift_high"], source="lift_table", caller="plot_lift")
    places, lift, low, high = (rows[name].to_numpy(dtype=float) for name in ("bin", "lift", "lift_low", "lift_high"))
    ax = tidy(axes(ax))
    ax.bar(places, lift, color=PALETTE[0], width=0.8)
    reach = np.nan_to_num(np.maximum([lift - low, high - lift], 0.0))
    ax.errorbar(places, lift, yerr=reach, fmt="none", color=INK, linewidth=1, capsize=3)
    ax.axhline(1, color=MUTED, linewidth=1, linestyle="--")
    ax.annotate("chance", (1, 1), xycoords=("axes fraction", "data"), xytext=(2, 0), textcoords="offset points",
                va="center", color=MUTED)  # fmt: skip
    ax.set_xticks(places if len(places) <= 20 else places[:: len(places) // 10])
    ax.set(xlabel="Bin of the list, the highest scores first", ylabel="Lift", xlim=(0.4, len(places) + 0.6))
    ax.set_ylim(bottom=0)
    ax.set_title(f"The first bin holds {lift[0]:.1f} times as many as chance", loc="left")
    return ax


def plot_gains(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw what share of all positives has been found, by how far one goes down the list.

    Parameters
    ----------
    table : dataframe
        What :func:`gains_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Between the dashed line of chance and the thin line of a list without error; the band is the bootstrap interval.
    """
    columns = ["row_share", "positive_share", "positive_share_low", "positive_share_high", "perfect_share"]
    rows = _read(table, columns, source="gains_table", caller="plot_gains")
    share, found, low, high, perfect = (rows[name].to_numpy(dtype=float) for name in columns)
    ax = tidy(axes(ax, size=(6.4, 5.6)), grid="both")
    ax.fill_between(share, low, high, color=PALETTE[0], alpha=0.2, linewidth=0)
    ax.plot(share, perfect, color=MUTED, linewidth=1, label="No error")
    ax.plot(share, found, color=PALETTE[0], linewidth=2, label="This score")
    ax.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--", label="Chance")
    ax.set(xlabel="Share of the list", ylabel="Share of the positives found", xlim=(0, 1), ylim=(0, 1.02))
    percent_axis(ax.xaxis)
    percent_axis(ax.yaxis)
    ax.legend(frameon=False, loc="lower right")
    fifth = float(np.interp(0.2, share, found))
    ax.set_title(f"The first 20% of the list hold {fifth:.0%} of the positives", loc="left")
    return ax


def plot_calibration(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw what came true against what was expected, in bins of rows with similar probabilities.

    Parameters
    ----------
    table : dataframe
        What :func:`calibration_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        On the dashed line probabilities are right; above it more came true than expected. Bars are Wilson's intervals.
    """
    columns = ["mean_predicted_probability", "observed_share", "observed_share_low", "observed_share_high", "row_count"]
    rows = _read(table, columns, source="calibration_table", caller="plot_calibration")
    expected, observed, low, high, count = (rows[name].to_numpy(dtype=float) for name in columns)
    ax = tidy(axes(ax, size=(6.4, 5.6)), grid="both")
    end = min(1.0, 1.05 * max(expected.max(), high.max()))
    ax.plot([0, end], [0, end], color=MUTED, linewidth=1, linestyle="--", label="Probability right")
    reach = np.maximum([observed - low, high - observed], 0.0)
    ax.errorbar(expected, observed, yerr=reach, fmt="o", color=PALETTE[0], markersize=7, markeredgecolor="white",
                linewidth=1.2, label=f"{len(rows)} bins")  # fmt: skip
    ax.set(xlabel="Mean predicted probability", ylabel="Share that came true", xlim=(0, end), ylim=(0, end))
    percent_axis(ax.xaxis)
    percent_axis(ax.yaxis)
    ax.legend(frameon=False, loc="upper left")
    error = float(count @ np.abs(expected - observed) / count.sum())
    ax.set_title(f"Calibration error {error:.3f}", loc="left")
    return ax


def _read(table: Any, needed: list[str], *, source: str, caller: str) -> pd.DataFrame:
    rows: pd.DataFrame = to_pandas(table, caller=caller)
    missing = [name for name in needed if name not in rows.columns]
    if missing:
        msg = f"{caller} draws the result of {source}(...): no columns {missing} in {list(rows.columns)}."
        raise MissingColumnsError(msg)
    return rows
