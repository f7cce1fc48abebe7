"""Pictures of a profile: all segments side by side, and one by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._plots import INK, LESS, MORE, MUTED, axes, draw_differences, short_number, tidy
from crmlytics._validation import check_count, did_you_mean
from crmlytics.exceptions import SchemaError
from crmlytics.profiling._reading_profiles import in_words, is_mean, percent, read_profile, strongest_of_each_column
from crmlytics.scoring._encoding import short

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

LARGE = 0.8  # Cohen's "large": the full colour
LONG = 10_000  # a mean beyond is written in thousands
LONGEST = 44  # characters of a label
LONGEST_LINE = 20  # of the name of a segment


def plot_profile(profile: Any, *, most: int = 15, ax: Axes | None = None) -> Axes:
    """Draw what sets segments apart, side by side: a row per level or number, a column per segment.

    Parameters
    ----------
    profile : dataframe
        What :func:`profile_table` returned.
    most : int, default 15
        How many rows at most, those with the largest effects. Of a column with two levels the rarer is drawn.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Blue is more or higher than among all other customers, orange less or lower, full at an effect of .8. The text
        is the share of the segment with the level, or its mean. Grey was hidden.
    """
    caller = "plot_profile"
    most = check_count(most, name="most", caller=caller)
    rows = read_profile(profile, caller=caller)
    told = [(in_words(row), _value(row)) for _, row in rows.iterrows()]
    rows[["label", "text"]] = np.array(told, object)
    chosen, segments = _comparison(rows, most), list(dict.fromkeys(rows["segment"]))
    effects = _grid(rows, "effect_size", chosen, segments).astype(np.float64)
    texts = _grid(rows, "text", chosen, segments)
    names = [_in_lines(name) for name in segments]
    widest = max(len(line) for name in names for line in name.split("\n"))
    ax = axes(ax, size=(max(6.4, 3.2 + max(1.1, 0.085 * widest) * len(segments)), 1.4 + 0.34 * len(chosen)))
    draw_differences(ax, effects, texts, full=LARGE)
    ax.set_xticks(range(len(segments)), names)
    ax.set_yticks(range(len(chosen)), [_cut(label) for label in chosen])
    ax.set_xlabel("share or mean of the segment\nblue: more than all others, orange: less", fontsize=9)
    ax.xaxis.tick_top()
    tidy(ax, grid=None).spines[:].set_visible(False)
    ax.tick_params(colors=INK)
    ax.set_title("Segments against all other customers", loc="left")
    return ax


def plot_profile_card(profile: Any, *, segment: str, most: int = 10, ax: Axes | None = None) -> Axes:
    """Draw what sets one segment apart: the largest effect of each column, with its interval.

    Parameters
    ----------
    profile : dataframe
        What :func:`profile_table` returned.
    segment : str
    most : int, default 10
        How many columns at most.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        A bar per column, to the right where the segment has more; the text gives the share or mean of the segment, and
        that of all customers.

    Raises
    ------
    SchemaError
        When the profile has no such segment.
    """
    caller = "plot_profile_card"
    most = check_count(most, name="most", caller=caller)
    rows = read_profile(profile, caller=caller)
    known = list(dict.fromkeys(rows["segment"]))
    if str(segment) not in known:
        msg = f"{caller}: the profile has no segment {segment!r}.{did_you_mean(segment, known)} Segments: {known}"
        raise SchemaError(msg)
    rows = rows[(rows["segment"] == str(segment)) & rows["effect_size"].notna()]
    rows = strongest_of_each_column(rows).head(most).iloc[::-1]
    ax = tidy(axes(ax, size=(8, 1.2 + 0.4 * len(rows))), grid="x")
    effect = rows["effect_size"].to_numpy()
    reach = np.abs(rows[["effect_low", "effect_high"]].to_numpy().T - effect)
    colours = [MORE if value > 0 else LESS for value in effect]
    ax.barh(np.arange(len(rows)), effect, color=colours, height=0.65)
    ax.errorbar(effect, np.arange(len(rows)), xerr=np.nan_to_num(reach), fmt="none", ecolor=INK, elinewidth=1)
    ax.axvline(0, color=MUTED, linewidth=0.8)
    ax.set_yticks(np.arange(len(rows)), [_cut(in_words(row)) for _, row in rows.iterrows()])
    for place, (_, row) in enumerate(rows.iterrows()):
        text = f"{_value(row)}, all {_value(row, of_all=True)}"
        ax.annotate(text, (1.02, place), xycoords=("axes fraction", "data"), va="center", color=INK, fontsize=9)
    ax.tick_params(axis="y", colors=INK)
    ax.set_xlabel("Effect size against all other customers (.2 small, .5 medium, .8 large)")
    ax.set_title(f"{segment}: what sets it apart", loc="left")
    return ax


# -- inside --------------------------------------------------------------------------------------------------------


def _comparison(rows: pd.DataFrame, most: int) -> list[str]:
    """Return the labels of the rows to draw, the largest effect first."""
    shown = rows[rows["effect_size"].notna()]
    shown = shown.assign(size=shown["effect_size"].abs().round(9), common=shown["share_overall"].fillna(0))
    rarer = shown.sort_values("common", kind="stable").drop_duplicates(["segment", "column", "size"])  # of two, one
    chosen = rarer.groupby("label")["size"].max()
    return list(chosen.sort_values(ascending=False, kind="stable").index[:most])


def _grid(rows: pd.DataFrame, name: str, labels: list[str], segments: list[str]) -> np.ndarray[Any, Any]:
    wide = rows.pivot_table(index="label", columns="segment", values=name, aggfunc="first")
    return np.asarray(wide.reindex(index=labels, columns=segments).to_numpy())


def _value(row: Any, *, of_all: bool = False) -> str:
    """Write the mean or the share of a row."""
    of = "overall" if of_all else "in_segment"
    value = row["mean_overall" if of_all else "mean"] if is_mean(row) else row[f"share_{of}"]
    if np.isnan(value):
        return "hidden"
    if not is_mean(row):
        return percent(value)
    return short(value) if abs(value) < LONG else short_number(value)


def _in_lines(name: str) -> str:
    """Write each difference that a segment is named by on a line of its own."""
    return ",\n".join(_cut(part, LONGEST_LINE) for part in name.split(", "))


def _cut(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
