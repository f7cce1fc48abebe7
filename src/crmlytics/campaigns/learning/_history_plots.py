"""The picture of a history of campaigns: when, how large, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crmlytics._frames import to_pandas
from crmlytics._plots import INK, MUTED, PALETTE, date_axis, short_number, tidy
from crmlytics._plots import axes as new_axes
from crmlytics.campaigns._experiment import CAMPAIGN, check_columns
from crmlytics.campaigns.measuring._no_trial import NOT_COMPARABLE
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

CALLER = "plot_timeline"
GAIN, LOSS, OPEN = PALETTE[2], PALETTE[3], MUTED
PROFIT = "incremental_profit_amount"
NEEDED = (CAMPAIGN, "started_at", "ended_at", "contact_count")
TALLEST, FLATTEST = 0.72, 0.2  # of the distance between campaigns
SHORTEST = 0.012  # of the time shown: a campaign of one day is to be seen too


def plot_timeline(history: Any, *, ax: Axes | None = None) -> Axes:
    """Draw campaigns over time: how long, how large, and what they did.

    Parameters
    ----------
    history : dataframe
        As :func:`campaign_history_table` makes it, with ``started_at``. Campaigns without it are not drawn.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        A bar per campaign and arm, the earliest on top, from the first contact to the last; the more customers were
        contacted, the thicker. Green: the interval of the profit,
        or without it of the difference, lies above 0; red: below; grey: neither, or nothing was measured, or it was
        not comparable. Beside it the number of contacts, and the effect with its interval.
    """
    table = to_pandas(history, caller=CALLER)
    check_columns(table.columns, NEEDED, caller=CALLER)
    table = table[table["started_at"].notna()].reset_index(drop=True)
    if table.empty:
        msg = f"{CALLER}: no campaign has started_at. Add it to the plans, or give the results of measure_campaign."
        raise SchemaError(msg)
    start = table["started_at"].astype("datetime64[us]")
    end = table["ended_at"].astype("datetime64[us]").fillna(start)
    span = max(end.max() - start.min(), pd.Timedelta(days=1))
    width = (end - start).clip(lower=SHORTEST * span)
    place = np.arange(len(table))
    ax = new_axes(ax, size=(9, 1.2 + 0.5 * len(table)))
    rows = _rows(table)
    ax.barh(place, width, left=start, height=_heights(table["contact_count"]), color=[_colour(row) for row in rows])
    for at, right, row in zip(place, start + width, rows, strict=True):
        ax.annotate(_words(row), (right, at), (6, 0), textcoords="offset points", va="center", color=INK, fontsize=9)
    ax.set_yticks(place, [_label(row) for row in rows])
    ax.set_xlim(start.min() - 0.02 * span, end.max() + 0.45 * span)  # room for the words
    ax.set_ylim(len(table) - 0.4, -0.6)
    date_axis(ax.xaxis)
    tidy(ax, grid="x").tick_params(axis="y", colors=INK)
    return ax


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.astype(object).where(table.notna(), None).to_dict("records")
    return rows


def _heights(counts: pd.Series[Any]) -> NDArray[np.float64]:
    size = counts.astype("Float64").fillna(0.0).to_numpy(dtype=np.float64)
    heights: NDArray[np.float64] = np.maximum(TALLEST * size / max(float(size.max()), 1.0), FLATTEST)
    return heights


def _measure(row: dict[str, Any]) -> str | None:
    """Return the figure that a campaign is judged by: its profit, or else the difference."""
    return next((name for name in (PROFIT, "difference") if row.get(name) is not None), None)


def _colour(row: dict[str, Any]) -> str:
    name = _measure(row)
    low, high = (row.get(f"{name}_{end}") for end in ("low", "high"))
    if row.get("verdict") == NOT_COMPARABLE:
        return OPEN
    if low is not None and low > 0:
        return GAIN
    return LOSS if high is not None and high < 0 else OPEN


def _words(row: dict[str, Any]) -> str:
    count, name = row["contact_count"], _measure(row)
    contacted = "" if count is None else f"{int(count):,} contacted"
    if name is None:
        return contacted or "not measured"
    bounds = [row.get(f"{name}_{end}") for end in ("low", "high")]
    interval = "" if None in bounds else f" ({' to '.join(short_number(value) for value in bounds)})"
    what = "profit" if name == PROFIT else row.get("metric") or "effect"
    return f"{contacted}, {what} {'+' if row[name] > 0 else ''}{short_number(row[name])}{interval}".removeprefix(", ")


def _label(row: dict[str, Any]) -> str:
    arm = row.get("arm")
    return str(row[CAMPAIGN]) if arm is None else f"{row[CAMPAIGN]}, {arm}"
