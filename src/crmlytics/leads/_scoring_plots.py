"""Pictures of lead scoring: what gives points, and whether grades keep their word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import to_pandas
from crmlytics._plots import INK, MUTED, PALETTE, RULE, axes, percent_axis, tidy
from crmlytics.exceptions import MissingColumnsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

FOR, AGAINST = PALETTE[0], PALETTE[3]
LONGEST = 40  # letters of an attribute


def plot_points(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw what gives points and what takes them: a bar for each attribute, column by column.

    Attributes that no row had are left out.

    Parameters
    ----------
    table : dataframe
        As :func:`points_table` makes it.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    needed = ("characteristic", "attribute", "points", "row_count")
    data = _read(table, needed, caller="plot_points", made_by="points_table(...)")
    data = data[(data["characteristic"] != "everybody") & (data["row_count"] > 0)].reset_index(drop=True)
    ax = axes(ax, size=(8, 1.2 + 0.36 * max(len(data), 3)))
    firsts = data["characteristic"] != data["characteristic"].shift()
    place = np.arange(len(data)) + 1.0 * firsts.cumsum().to_numpy()  # room between columns
    colours = np.where(data["points"] > 0, FOR, AGAINST)
    ax.barh(place, data["points"], color=colours, height=0.75)
    words = [text if len(text) <= LONGEST else text[: LONGEST - 3] + "..." for text in data["attribute"]]
    ax.set_yticks(place, words)
    for at, name in zip(place[firsts], data["characteristic"][firsts], strict=True):
        ax.annotate(name, (0, at), xycoords=("axes fraction", "data"), xytext=(4, 11), textcoords="offset points",
                    color=INK, fontsize=9, fontweight="bold")  # fmt: skip
    ax.axvline(0, color=MUTED, linewidth=0.8)
    ax.invert_yaxis()
    ax.set_xlabel("points")
    return tidy(ax, grid="x")


def plot_grades(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw, for each grade, what the model said of leads it had not seen beside what came true, with its interval.

    Parameters
    ----------
    table : dataframe
        :attr:`LeadScores.grade_table`.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    needed = ("grade", "judged_count", "mean_probability", "converted_share", "converted_share_low")
    data = _read(table, (*needed, "converted_share_high"), caller="plot_grades", made_by="score_leads(...).grade_table")
    ax = axes(ax, size=(6.5, 4))
    place, share = np.arange(len(data)), data["converted_share"].astype(float)
    reach = [share - data["converted_share_low"], data["converted_share_high"] - share]
    ax.bar(place, share, color=PALETTE[5], width=0.6, label="came true")
    ax.errorbar(place, share, yerr=reach, fmt="none", ecolor=MUTED, linewidth=1.2, label="95% interval")
    ax.plot(place, data["mean_probability"], "D", color=PALETTE[3], label="was said")
    names = [f"{grade}\n{count:,} leads" for grade, count in zip(data["grade"], data["judged_count"], strict=True)]
    ax.set_xticks(place, names)
    ax.set_ylim(
        0, min(1.0, 1.25 * float(np.nanmax([*data["converted_share_high"], data["mean_probability"].max(), 0.01])))
    )
    ax.set_ylabel("converted in time")
    percent_axis(ax.yaxis)
    ax.legend(frameon=False, labelcolor=MUTED)
    ax.spines["bottom"].set_color(RULE)
    return tidy(ax)


def _read(table: Any, needed: Sequence[str], *, caller: str, made_by: str) -> Any:
    data = to_pandas(table, caller=caller)
    missing = [name for name in needed if name not in data.columns]
    if missing:
        raise MissingColumnsError(f"{caller} needs the columns {missing}, got {list(data.columns)}. Draw {made_by}.")
    return data
