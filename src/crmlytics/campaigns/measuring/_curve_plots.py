"""Pictures of effects over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import to_pandas
from crmlytics._plots import MUTED, PALETTE, RULE, axes, percent_axis, thousands_axis, tidy
from crmlytics._validation import check_choice
from crmlytics.campaigns._experiment import CAMPAIGN, check_columns
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

CURVE = (CAMPAIGN, "arm", "metric", "day", "difference", "difference_low", "difference_high")
STUDY = (CAMPAIGN, "arm", "metric", "period", "difference", "difference_low", "difference_high", "pre_trend_p_value")
MOST_BANDS = 3
ALPHA = 0.05
APART = 0.15  # of a period, between the marks of arms


def plot_response_curve(curve: Any, *, metric: str = "converted", ax: Axes | None = None) -> Axes:
    """Draw how far each arm is ahead of the control group since the contact, with the band that holds the whole curve.

    Parameters
    ----------
    curve : dataframe
        The table of :func:`response_curve_table`, of at most three campaigns and arms: more bands cannot be read.
    metric : str, default "converted"
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    caller = "plot_response_curve"
    groups = _groups(curve, CURVE, metric, most=MOST_BANDS, caller=caller)
    ax = tidy(axes(ax))
    ax.axhline(0, color=MUTED, linewidth=1)
    for color, (name, rows) in zip(PALETTE, groups.items(), strict=False):
        day = np.append(0, rows["day"])
        middle, low, high = (np.append(0.0, rows[f"difference{end}"]) for end in ("", "_low", "_high"))
        ax.fill_between(day, low, high, color=color, alpha=0.15, linewidth=0)
        ax.plot(day, middle, color=color, linewidth=2, label=name)
    ax.set_xlim(left=0)
    ax.set_xlabel("days since the contact")
    _name_axis(ax, metric, "lift over control so far")
    return _legend(ax, groups)


def plot_event_study(study: Any, *, metric: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw how far the treated were ahead of the comparison, period by period, before and after the contact.

    Parameters
    ----------
    study : dataframe
        The table of :func:`event_study_table`, of at most seven campaigns and arms.
    metric : str, optional
        By default the first of the table.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    caller = "plot_event_study"
    groups = _groups(study, STUDY, metric, most=len(PALETTE), caller=caller)
    ax = tidy(axes(ax))
    ax.axhline(0, color=MUTED, linewidth=1)
    ax.axvline(-0.5, color=RULE, linewidth=1.5, linestyle="--")
    failed = []
    for place, (color, (name, rows)) in enumerate(zip(PALETTE, groups.items(), strict=False)):
        failed += [name] if (rows["pre_trend_p_value"] < ALPHA).any() else []
        at = rows["period"].to_numpy(float) + (place - (len(groups) - 1) / 2) * APART
        middle, low, high = (rows[f"difference{end}"].to_numpy(float) for end in ("", "_low", "_high"))
        reach = np.nan_to_num(np.abs(np.vstack([middle - low, high - middle])))
        ax.errorbar(at, middle, yerr=reach, fmt="o", color=color, capsize=0, linewidth=2, label=name)
    ax.set_xlabel("periods since the contact (-1 is what the others are compared with)")
    _name_axis(ax, str(next(iter(groups.values()))["metric"].iloc[0]), "difference to period -1")
    if failed:
        whose = f" of {', '.join(failed)}" if len(groups) > 1 else ""
        ax.set_title(f"Parallel trends{whose} fail: parted before the contact", loc="left", fontsize=10)
    return _legend(ax, groups)


def _groups(
    table: Any, columns: tuple[str, ...], metric: str | None, *, most: int, caller: str
) -> dict[str, pd.DataFrame]:
    """Return the rows of a metric by campaign and arm, as a reader calls them."""
    rows = to_pandas(table, caller=caller)
    check_columns(rows.columns, columns, caller=caller)
    known = rows["metric"].drop_duplicates().tolist()
    chosen = known[0] if metric is None and known else check_choice(metric, known, name="metric", caller=caller)
    rows = rows[(rows["metric"] == chosen) & rows["difference"].notna()]
    several = len(set(rows[CAMPAIGN])) > 1
    groups = {
        f"{campaign}: {arm}" if several else str(arm): part
        for (campaign, arm), part in rows.groupby([CAMPAIGN, "arm"], sort=True)
    }
    if not 1 <= len(groups) <= most:
        column = CAMPAIGN if several else "arm"
        msg = (
            f"{caller}: expected 1 to {most} campaigns and arms, got {len(groups)}: {list(groups)}. Draw some of them, "
            f'such as table[table["{column}"] == {rows[column].min()!r}].'
        )
        raise SchemaError(msg)
    return groups


def _name_axis(ax: Axes, metric: str, what: str) -> None:
    """Say what is measured, shares in per cent."""
    if metric == "converted":
        percent_axis(ax.yaxis)
        ax.set_ylabel(f"customers who converted\n{what}")
        return
    thousands_axis(ax.yaxis)
    ax.set_ylabel(f"{metric.replace('_', ' ')} per customer\n{what}")


def _legend(ax: Axes, groups: dict[str, Any]) -> Axes:
    if len(groups) > 1:
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))  # beside: curves may be anywhere within
    return ax
