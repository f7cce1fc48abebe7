"""Pictures of how long customers under contract stay; each draws a table that was computed before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmlytics._frames import to_pandas
from crmlytics._plots import INK, PALETTE, percent_axis, tidy
from crmlytics._plots import axes as new_axes
from crmlytics.churn.contractual import CURVE_SCHEMA
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

FEWEST_AT_RISK = 10  # a hazard of fewer customers is drawn pale


def plot_retention(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how many customers are left after how many days, with intervals.

    Parameters
    ----------
    table : dataframe
        As :func:`retention_curve_table` makes it, of at most seven curves.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        A line a group, from everybody at the start down; the band holds the share with the probability asked for.
    """
    ax = new_axes(ax)
    curves = _curves(table, caller="plot_retention")
    for (label, curve), colour in zip(curves, PALETTE, strict=False):
        days = curve["time_days"].to_numpy()
        low, high = (curve[f"retention_probability_{end}"].astype(float).to_numpy() for end in ("low", "high"))
        ax.plot(days, curve["retention_probability"].to_numpy(), color=colour, linewidth=1.8, label=label)
        ax.fill_between(days, low, high, color=colour, alpha=0.15, linewidth=0)
    ax.set(xlim=(0, None), ylim=(0, 1.02), xlabel="days since the start", ylabel="still customers")
    return _finished(ax, curves)


def plot_hazard(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw in which period of a contract customers leave: of those still there, the share that goes.

    Parameters
    ----------
    table : dataframe
        As :func:`retention_curve_table` makes it, of at most seven curves.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        A point a period, at its end, with its interval; the line leads the eye. Points of fewer than ten customers are
        pale: they jump by chance.
    """
    ax = new_axes(ax)
    curves = _curves(table, caller="plot_hazard")
    for (label, curve), colour in zip(curves, PALETTE, strict=False):
        known = curve[curve["churn_probability"].notna()]
        days, few = known["time_days"].to_numpy(), known["at_risk_count"].to_numpy() < FEWEST_AT_RISK
        hazard, low, high = (known[f"churn_probability{end}"].astype(float).to_numpy() for end in ("", "_low", "_high"))
        ax.plot(days, hazard, color=colour, linewidth=1.0, alpha=0.5)
        ax.vlines(days, low, high, color=colour, linewidth=1.2, alpha=0.35)
        ax.plot(days[~few], hazard[~few], "o", color=colour, markersize=4, label=label)
        ax.plot(days[few], hazard[few], "o", color=colour, markersize=4, alpha=0.3)
    ax.set(
        xlim=(0, None), ylim=(0, None), xlabel="days since the start, end of the period", ylabel="leave in the period"
    )
    return _finished(ax, curves)


# -- inside --------------------------------------------------------------------------------------------------------


def _curves(table: Any, *, caller: str) -> list[tuple[str | None, pd.DataFrame]]:
    """Return the curves of a table with their names; one alone has none."""
    found = to_pandas(table, caller=caller)
    missing = [name for name in CURVE_SCHEMA if name not in found.columns]
    if missing:
        repair = "Make one: retention_curve_table(contracts)."
        msg = f"{caller} needs the columns {missing}, got {list(found.columns)}. {repair}"
        raise MissingColumnsError(msg)
    keys = [name for name in found.columns if name not in CURVE_SCHEMA]
    if not keys:
        return [(None, found)]
    curves: list[tuple[str | None, pd.DataFrame]] = [
        (str(name), curve) for name, curve in found.groupby(keys[0], sort=True)
    ]
    if len(curves) > len(PALETTE):
        msg = (
            f"{caller}: {len(curves)} curves cannot be told apart, at most {len(PALETTE)} can. "
            f"Keep the {keys[0]}s you compare."
        )
        raise SchemaError(msg)
    return curves


def _finished(ax: Axes, curves: list[tuple[str | None, pd.DataFrame]]) -> Axes:
    percent_axis(ax.yaxis)
    if curves[0][0] is not None:
        ax.legend(frameon=False, labelcolor=INK)
    return tidy(ax, grid="both")
