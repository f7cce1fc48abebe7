"""The pictures of uplift: what a ranking brings, where contacts stop to pay, and whether arms are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import to_pandas
from crmlytics._plots import INK, MUTED, PALETTE, RULE, axes, percent_axis, short_number, thousands_axis, tidy
from crmlytics.campaigns.uplift._covariates import MEAN
from crmlytics.campaigns.uplift.balance import LARGE
from crmlytics.exceptions import MissingColumnsError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MOST_ROWS = 30
LONGEST_NAME = 40


def plot_qini(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw what contacting by each score brings, the more customers are contacted.

    Parameters
    ----------
    table : dataframe
        What :func:`qini_table` returned, or ``evaluation.curve``.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        A curve per arm and score; the first score of each arm has its 95% band; random contacts dashed.
    """
    columns = ["incremental_outcome", "incremental_outcome_low", "incremental_outcome_high", "random_outcome"]
    rows = _read(table, ["arm", "score", "contact_share", "contact_count", *columns], "qini_table", caller="plot_qini")
    ax = tidy(axes(ax), grid="both")
    banded = _draw_curves(ax, rows, columns)
    for number, (_, part) in enumerate(rows.groupby("arm", sort=False)):
        first = part[part["score"] == part["score"].iloc[0]]
        label = "random contacts" if number == 0 else None
        ax.plot(first["contact_share"], first["random_outcome"], "--", color=MUTED, linewidth=1, label=label)
    ax.set(xlabel="Share of customers contacted", ylabel="Incremental outcome", xlim=(0, 1))
    ax.set_title(_best_in_words(banded), loc="left", color=INK)
    _finish(ax)
    return ax


def plot_incremental_profit(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the profit of contacting more and more customers, with the share where it is highest.

    Parameters
    ----------
    table : dataframe
        What :func:`incremental_profit_table` returned.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        A curve per arm and score with its best share as a dot; the first score of each arm has its 95% band; random
        contacts dashed.
    """
    name = "incremental_profit"
    columns = [f"{name}_amount", f"{name}_low_amount", f"{name}_high_amount", "random_profit_amount"]
    needed = ["arm", "score", "contact_share", *columns, "is_best"]
    rows = _read(table, needed, "incremental_profit_table", caller="plot_incremental_profit")
    ax = tidy(axes(ax), grid="both")
    first = _draw_curves(ax, rows, columns)
    for number, (_, part) in enumerate(rows.groupby("arm", sort=False)):
        random = part[part["score"] == part["score"].iloc[0]]
        label = "random contacts" if number == 0 else None
        ax.plot(random["contact_share"], random[columns[3]], "--", color=MUTED, linewidth=1, label=label)
    best = rows[rows["is_best"].astype(bool)]
    ax.plot(best["contact_share"], best[columns[0]], "o", color=INK, markersize=6, label="highest", zorder=4)
    top = first[first["is_best"].astype(bool)].iloc[0]
    share, profit, everybody = top["contact_share"], top[columns[0]], first[columns[0]].iloc[-1]
    title = f"{top['score']}: {short_number(profit)} at {share:.0%} contacted; {short_number(everybody)} at 100%"
    ax.axhline(0, color=RULE, linewidth=1, zorder=1)
    ax.set(xlabel="Share of customers contacted", ylabel="Incremental profit", xlim=(0, 1))
    ax.set_title(title, loc="left", color=INK)
    _finish(ax)
    return ax


def plot_balance(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how far arms were from control before the contact: a love plot.

    Parameters
    ----------
    table : dataframe
        What :func:`balance_table` returned, or ``evaluation.balance``.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Standardised differences, the largest on top, 30 at most; the band holds those of up to .1.
    """
    needed = ["arm", "covariate", "level", "standardised_difference"]
    rows = _read(table, needed, "balance_table", caller="plot_balance")
    rows = rows[np.isfinite(rows["standardised_difference"].to_numpy(dtype=float))]
    rows = rows.assign(line=[_line(name, level) for name, level in zip(rows["covariate"], rows["level"], strict=True)])
    size = rows["standardised_difference"].abs().groupby(rows["line"]).max().sort_values(kind="stable")
    lines = list(size.index[-MOST_ROWS:])
    place = {line: number for number, line in enumerate(lines)}
    ax = tidy(axes(ax, size=(8, max(2.5, 1.2 + 0.26 * len(lines)))), grid="x")
    ax.axvspan(-LARGE, LARGE, color=RULE, alpha=0.5, linewidth=0)
    ax.axvline(0, color=MUTED, linewidth=1)
    for number, (arm, part) in enumerate(rows[rows["line"].isin(lines)].groupby("arm", sort=False)):
        colour = PALETTE[number % len(PALETTE)]
        ax.plot(part["standardised_difference"], part["line"].map(place), "o", color=colour, markersize=6, label=arm)
    ax.set_yticks(range(len(lines)), lines)
    large = int((size > LARGE).sum())
    shown = f", the {len(lines)} largest" if len(size) > len(lines) else ""
    ax.set_title(f"{large} of {len(size)} differ by more than {LARGE}", loc="left", color=INK)
    ax.set_xlabel(f"Treated less control, in standard deviations{shown}")
    reach = 1.1 * max(LARGE, float(size.max()))
    ax.set(xlim=(-reach, reach), ylim=(-0.7, len(lines) - 0.3))
    if len(set(rows["arm"])) > 1:
        ax.legend(frameon=False)
    return ax


# -- inside --------------------------------------------------------------------------------------------------------


def _draw_curves(ax: Axes, rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Draw all curves, the first of each arm with its band, and return the rows of the very first."""
    several = len(set(rows["arm"])) > 1
    parts = list(rows.groupby(["arm", "score"], sort=False))
    banded: set[str] = set()
    for number, ((arm, score), part) in enumerate(parts):
        colour = PALETTE[number % len(PALETTE)]
        share, is_first = part["contact_share"], arm not in banded
        banded.add(arm)
        label = f"{arm}: {score}" if several else score
        ax.plot(share, part[columns[0]], color=colour, linewidth=2.5 if is_first else 1.5, label=label, zorder=3)
        if is_first:
            ax.fill_between(share, part[columns[1]], part[columns[2]], color=colour, alpha=0.15, linewidth=0)
    return parts[0][1]


def _best_in_words(part: pd.DataFrame) -> str:
    """Say where a curve is highest, and what it has with everybody contacted."""
    top = part.loc[part["incremental_outcome"].idxmax()]
    highest, everybody = short_number(top["incremental_outcome"]), short_number(part["incremental_outcome"].iloc[-1])
    return f"{top['score']}: {highest} more at {top['contact_share']:.0%} contacted, {everybody} at 100%"


def _finish(ax: Axes) -> None:
    percent_axis(ax.xaxis)
    thousands_axis(ax.yaxis)
    ax.legend(frameon=False, loc="best")


def _line(name: str, level: str) -> str:
    line = name if level == MEAN else f"{name}: {level}"
    return line if len(line) <= LONGEST_NAME else line[: LONGEST_NAME - 1] + "\u2026"


def _read(table: Any, needed: list[str], source: str, *, caller: str) -> pd.DataFrame:
    rows: pd.DataFrame = to_pandas(table, caller=caller)
    missing = [name for name in needed if name not in rows.columns]
    if missing:
        msg = f"{caller} draws the result of {source}: no columns {missing} in {list(rows.columns)}."
        raise MissingColumnsError(msg)
    return rows
