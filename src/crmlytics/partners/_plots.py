"""Pictures of partners: what they sell, whom they bring, whose revenue it is, what hangs on them, how far they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crmlytics._plots import (
    INK,
    LESS,
    MORE,
    MUTED,
    PALETTE,
    draw_intervals,
    legend,
    percent_axis,
    row_axes,
    rows_of,
    thousands_axis,
)
from crmlytics._validation import check_choice
from crmlytics.partners._reading import DIRECT, PARTNER
from crmlytics.partners.customers import METRICS
from crmlytics.partners.quotas import BEHIND, MISSED, ON_TRACK, REACHED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST, STEP = 25, 0.32  # rows that can be read, and inches each
PARTS = {"sold_amount": "Sold", "sourced_amount": "Brought", "influenced_amount": "In touch"}
TITLES = {
    "first_order_amount": "First order: the partner's customers less those of others",
    "horizon_amount": "Revenue within the horizon: the partner's customers less those of others",
    "repeat_share": "Second order within the horizon: the partner's customers less those of others",
    "retained_share": "Still ordering: the partner's customers less those of others",
}


def plot_partners(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw what partners sold, the largest first, with intervals; inactive ones are pale.

    Parameters
    ----------
    table : dataframe
        What :func:`partner_table` returned. Of more than 25 rows the largest are drawn.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Beside each bar stand the places that cannot be ruled out, where it is of enough customers.
    """
    needed = [PARTNER, "rank_low", "rank_high", "amount", "amount_low", "amount_high", "is_inactive"]
    rows = _largest(rows_of(table, needed, maker="partner_table", caller="plot_partners"), "amount")
    ax = row_axes(ax, rows[PARTNER], step=STEP)
    bars = ax.barh(range(len(rows)), rows["amount"].astype(float), color=PALETTE[0], height=0.66)
    for bar, name, idle in zip(bars, rows[PARTNER], rows["is_inactive"], strict=True):
        bar.set_alpha(0.35 if idle else 1.0)
        bar.set_color(MUTED if name == DIRECT else PALETTE[0])
    draw_intervals(ax, rows, "amount", colour=INK)
    ends = rows[["amount", "amount_high"]].astype(float).max(axis=1)
    for place, (end, *places) in enumerate(zip(ends, rows["rank_low"], rows["rank_high"], strict=True)):
        words = "" if pd.isna(places[0]) else " to ".join(dict.fromkeys(f"{rank:.0f}" for rank in places))
        ax.annotate(words, (max(end, 0.0), place), xytext=(5, 0), textcoords="offset points", va="center", color=MUTED,
                    fontsize=8)  # fmt: skip
    thousands_axis(ax.xaxis)
    ax.margins(x=0.1)
    ax.set_xlabel("Revenue of the period, and which place it may be")
    ax.set_title("What partners sold", loc="left")
    return ax


def plot_partner_customers(table: Any, *, metric: str = "horizon_amount", ax: Axes | None = None) -> Axes:
    """Draw how the customers of each partner differ from those of others, as they are and like for like.

    Parameters
    ----------
    table : dataframe
        What :func:`partner_customer_table` returned. Of more than 25 partners those with most customers are drawn.
    metric : {"horizon_amount", "first_order_amount", "repeat_share", "retained_share"}
        The metric drawn.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Left of the line are customers worth less than those of the others.
    """
    caller = "plot_partner_customers"
    check_choice(metric, METRICS, name="metric", caller=caller)
    kinds = {"difference": (0.14, MUTED, "As they are"), "like_for_like_difference": (-0.14, MORE, "Like for like")}
    needed = [PARTNER, "metric", "observed_count", *[f"{kind}{end}" for kind in kinds for end in ("", "_low", "_high")]]
    rows = rows_of(table, needed, maker="partner_customer_table", caller=caller)
    rows = rows[rows["metric"] == metric].sort_values("observed_count", kind="stable").tail(MOST)
    rows = rows.sort_values("difference", kind="stable").reset_index(drop=True)
    ax = row_axes(ax, rows[PARTNER], step=STEP)
    for kind, (shift, colour, label) in kinds.items():
        draw_intervals(ax, rows, kind, places=rows.index + shift, colour=colour, label=label)
    ax.axvline(0, color=INK, linewidth=0.8)
    (percent_axis if metric.endswith("_share") else thousands_axis)(ax.xaxis)
    ax.set_xlabel("Difference a customer")
    ax.set_title(TITLES[metric], loc="left")
    legend(ax, ncols=2)
    return ax


def plot_partner_credit(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw what each partner sold, brought and was in touch with, beside its credit.

    Parameters
    ----------
    table : dataframe
        What :func:`partner_credit_table` returned. Of more than 25 rows those with most credit are drawn.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Credit adds up to revenue; so does what was sold, and what was brought.
    """
    needed = [PARTNER, *PARTS, "credit_amount"]
    rows = rows_of(table, needed, maker="partner_credit_table", caller="plot_partner_credit")
    rows = _largest(rows, "credit_amount")
    ax = row_axes(ax, rows[PARTNER], step=STEP)
    ax.barh(range(len(rows)), rows["credit_amount"].astype(float), color=PALETTE[0], height=0.66, alpha=0.8,
            label="Credit")  # fmt: skip
    looks = zip("osD", (INK, PALETTE[1], PALETTE[4]), (0.2, 0.0, -0.2), strict=True)  # equals do not hide each other
    for (name, label), (marker, colour, shift) in zip(PARTS.items(), looks, strict=True):
        ax.plot(rows[name].astype(float), np.arange(len(rows)) + shift, marker, color=colour, label=label, markersize=5)
    thousands_axis(ax.xaxis)
    ax.set_xlabel("Revenue")
    ax.set_title("Whose revenue it is", loc="left")
    legend(ax, ncols=4)
    return ax


def plot_partner_dependence(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw what hangs on each partner: revenue of customers who buy nowhere else, and of those who do.

    Parameters
    ----------
    table : dataframe
        What :func:`partner_dependence_table` returned. Of more than 25 rows the largest are drawn.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        The line on each bar goes from the least to the most that is at risk under the assumption.
    """
    needed = [PARTNER, "amount", "only_amount", "shared_amount", "staying_share", "at_risk_amount_low",
              "at_risk_amount_high"]  # fmt: skip
    rows = rows_of(table, needed, maker="partner_dependence_table", caller="plot_partner_dependence")
    rows = _largest(rows[rows[PARTNER] != DIRECT], "amount")
    ax = row_axes(ax, rows[PARTNER], step=STEP)
    only, shared = rows["only_amount"].astype(float), rows["shared_amount"].astype(float)
    ax.barh(range(len(rows)), only, color=LESS, height=0.66, label="Buy nowhere else")
    ax.barh(range(len(rows)), shared, left=only, color=MORE, alpha=0.5, height=0.66, label="Buy elsewhere, too")
    low, high = (rows[f"at_risk_amount_{end}"].astype(float) for end in ("low", "high"))
    ax.hlines(range(len(rows)), low, high, color=INK, linewidth=2, label="At risk, from least to most")
    ax.plot(high, range(len(rows)), "|", color=INK, markersize=9)
    thousands_axis(ax.xaxis)
    ax.set_xlabel("Revenue of the period")
    stays = float(rows["staying_share"].iloc[0]) if len(rows) else 0.0
    ax.set_title(f"What hangs on each partner, if {stays:.0%} would stay without it", loc="left")
    legend(ax, ncols=3)
    return ax


def plot_quotas(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how far partners are with their quotas in one period, and where they are expected to end.

    Parameters
    ----------
    table : dataframe
        What :func:`quota_table` returned. Of several periods the last that has begun is drawn; filter the rows to draw
        another. Of more than 25 partners those with the largest quotas are drawn.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        The line at 100 % is the quota; the dot is the forecast, with its interval.
    """
    kind = "forecast_attainment_share"
    needed = [PARTNER, "period_start", "period_end", "quota_amount", "attainment_share", "elapsed_share", "verdict",
              kind, f"{kind}_low", f"{kind}_high"]  # fmt: skip
    rows = _last_period(rows_of(table, needed, maker="quota_table", caller="plot_quotas"))
    rows = rows.sort_values("quota_amount", kind="stable").tail(MOST)
    rows = rows.sort_values("attainment_share", kind="stable").reset_index(drop=True)
    ax = row_axes(ax, rows[PARTNER], step=STEP)
    colours = {REACHED: PALETTE[2], ON_TRACK: PALETTE[2], MISSED: PALETTE[3], BEHIND: PALETTE[3]}
    ax.barh(range(len(rows)), rows["attainment_share"].astype(float), height=0.66,
            color=[colours.get(verdict, PALETTE[0]) for verdict in rows["verdict"]])  # fmt: skip
    draw_intervals(ax, rows, kind, colour=INK)
    ax.axvline(1, color=INK, linewidth=1)
    ax.set_xlim(0, _far_enough(rows, kind))
    percent_axis(ax.xaxis)
    ax.set_xlabel("Of the quota; green: reached or on track, red: missed or behind")
    first = rows.iloc[0]
    gone = float(first["elapsed_share"])
    ax.set_title(f"Quotas from {first['period_start']:%Y-%m-%d} to {first['period_end']:%Y-%m-%d}, {gone:.0%} gone",
                 loc="left")  # fmt: skip
    return ax


# -- inside --------------------------------------------------------------------------------------------------------


def _largest(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the rows with the largest values, the largest last: it is drawn on top."""
    return rows.sort_values(column, kind="stable").tail(MOST).reset_index(drop=True)


def _last_period(rows: pd.DataFrame) -> pd.DataFrame:
    begun = rows[rows["elapsed_share"] > 0]
    chosen = begun if len(begun) else rows
    last = chosen[["period_start", "period_end"]].sort_values(["period_start", "period_end"]).iloc[-1]
    return chosen[(chosen["period_start"] == last["period_start"]) & (chosen["period_end"] == last["period_end"])]


def _far_enough(rows: pd.DataFrame, kind: str) -> float:
    """Return where the axis ends: behind nearly all intervals, since a tiny quota may be exceeded a hundredfold."""
    ends = rows[["attainment_share", kind, f"{kind}_high"]].astype(float).max(axis=1)
    return float(max(1.2, 1.05 * min(ends.max(), 3 * ends.median())))
