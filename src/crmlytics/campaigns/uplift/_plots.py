"""The pictures of uplift: what a ranking brings, where contacts stop to pay, and whether arms are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import to_pandas
from crmlytics._plots import INK, MUTED, PALETTE, RULE, axes, percent_axis, short_number, thousands_axis, tidy
from crmlytics.campaigns.uplift._covariates import MEAN
from crmlytics.campaigns.uplift._trial import CHOSEN
from crmlytics.campaigns.uplift.balance import LARGE
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MOST_ROWS = 30
LONGEST_NAME = 40


def plot_qini(table: Any, *, arm: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw what contacting by each score brings, the more customers are contacted.

    Parameters
    ----------
    table : dataframe
        What :func:`qini_table` returned, or ``evaluation.curve``.
    arm : str, optional
        The arm to draw, by default the first.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        A curve per score; the first has its 95% band; random contacts dashed. Of a model that mixes learners
        (``learner="auto"``) its own curve, the response model's, and the learners' in grey.

    Raises
    ------
    MissingColumnsError, SchemaError
        For another table, and for an arm that is not in it.
    """
    columns = ["incremental_outcome", "incremental_outcome_low", "incremental_outcome_high", "random_outcome"]
    rows = _read(table, ["arm", "score", "contact_share", "contact_count", *columns], "qini_table", caller="plot_qini")
    rows, told = _of_arm(rows, arm, caller="plot_qini")
    ax = tidy(axes(ax), grid="both")
    first = _draw_curves(ax, rows, columns)
    ax.set(xlabel="Share of customers contacted", ylabel="Incremental outcome", xlim=(0, 1))
    ax.set_title(told + _best_in_words(first), loc="left", color=INK)
    _finish(ax)
    return ax


def plot_incremental_profit(table: Any, *, arm: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the profit of contacting more and more customers, with the share where it is highest.

    Parameters
    ----------
    table : dataframe
        What :func:`incremental_profit_table` returned.
    arm : str, optional
        The arm to draw, by default the first.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        A curve per score with its best share as a dot; the first has its 95% band; random contacts dashed.

    Raises
    ------
    MissingColumnsError, SchemaError
        For another table, and for an arm that is not in it.
    """
    name = "incremental_profit"
    columns = [f"{name}_amount", f"{name}_amount_low", f"{name}_amount_high", "random_profit_amount"]
    needed = ["arm", "score", "contact_share", *columns, "is_best"]
    rows = _read(table, needed, "incremental_profit_table", caller="plot_incremental_profit")
    rows, told = _of_arm(rows, arm, caller="plot_incremental_profit")
    ax = tidy(axes(ax), grid="both")
    first = _draw_curves(ax, rows, columns)
    best = rows[rows["is_best"].astype(bool)]
    ax.plot(best["contact_share"], best[columns[0]], "o", color=INK, markersize=6, label="highest", zorder=4)
    top = first[first["is_best"].astype(bool)].iloc[0]
    share, profit, everybody = top["contact_share"], top[columns[0]], first[columns[0]].iloc[-1]
    title = f"{told}{top['score']}: {short_number(profit)} at {share:.0%} contacted; {short_number(everybody)} at 100%"
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


def _of_arm(rows: pd.DataFrame, arm: str | None, *, caller: str) -> tuple[pd.DataFrame, str]:
    """Return the rows of one arm, and its name where there are others."""
    arms = list(dict.fromkeys(rows["arm"]))
    arm = arms[0] if arm is None else arm
    if arm not in arms:
        raise SchemaError(f"{caller}: arm must be one of {arms}, got {arm!r}.")
    return rows[rows["arm"] == arm], f"{arm}, " if len(arms) > 1 else ""


def _draw_curves(ax: Axes, rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Draw the curves of an arm, the first with its band and random contacts, and return the rows of the first."""
    middle, low, high, random = columns
    parts = list(rows.groupby("score", sort=False))
    first = parts[0][1]
    for number, (score, part) in enumerate(parts):
        if number > 1 and parts[0][0] == CHOSEN:  # what was mixed
            style: dict[str, Any] = {
                "color": RULE,
                "linewidth": 1.0,
                "label": "its learners" if number == 2 else None,
                "zorder": 2,
            }
        else:
            colour = PALETTE[number % len(PALETTE)]
            style = {"color": colour, "linewidth": 2.5 if number == 0 else 1.5, "label": score, "zorder": 3}
        ax.plot(part["contact_share"], part[middle], **style)
    ax.fill_between(first["contact_share"], first[low], first[high], color=PALETTE[0], alpha=0.15, linewidth=0)
    ax.plot(first["contact_share"], first[random], "--", color=MUTED, linewidth=1, label="random contacts")
    return first


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
