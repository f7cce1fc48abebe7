"""The picture of the offers; it draws a table that was computed before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import to_pandas
from crmlytics._plots import INK, MUTED, PALETTE, thousands_axis, tidy
from crmlytics._plots import axes as new_axes
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEEDED = ("customer_id", "rank", "target", "expected_profit_amount")
MOST_BARS = 20


def plot_offers(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw for how many customers each target is the best next offer, and what that is expected to earn.

    Parameters
    ----------
    table : dataframe
        As :func:`offer_table` makes it.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        A bar a target, the largest on top and at most 20: the expected profit of the customers whose first offer it is,
        their number beside it. Without a margin the bar is that number.
    """
    offers = to_pandas(table, caller="plot_offers")
    missing = [name for name in NEEDED if name not in offers.columns]
    if missing:
        msg = f"plot_offers needs {missing}: give it a table of offer_table(scores). Columns: {list(offers.columns)}"
        raise MissingColumnsError(msg)
    if not len(offers):
        raise SchemaError("plot_offers: the table has no offers. No offer pays: see margin and contact_cost.")
    first = offers[offers["rank"] == 1].groupby("target", sort=True)
    count = first.size().to_numpy()
    profit = first["expected_profit_amount"].sum(min_count=1).to_numpy(dtype=np.float64, na_value=np.nan)
    has_profit = bool(np.isfinite(profit).all())
    length = profit if has_profit else count.astype(np.float64)
    order = np.argsort(-length, kind="stable")[:MOST_BARS][::-1]
    place = np.arange(len(order))
    ax = new_axes(ax, size=(8, 1.2 + 0.36 * len(order)))
    ax.barh(place, length[order], color=PALETTE[0], height=0.7)
    if has_profit:
        for at, which in zip(place, order, strict=True):
            text = f" {count[which]:,} customer{'' if count[which] == 1 else 's'}"
            ax.annotate(text, (length[which], at), va="center", color=MUTED, fontsize=9)
    names = list(first.groups)
    ax.set_yticks(place, [str(names[which]) for which in order])
    ax.set(xlabel="expected profit of the best next offers" if has_profit else "customers whose best next offer it is")
    ax.margins(x=0.25)
    thousands_axis(ax.xaxis)
    tidy(ax, grid="x").tick_params(axis="y", colors=INK)
    return ax
