"""The picture of a decision: money by the number of contacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmlytics._frames import to_pandas
from crmlytics._plots import MUTED, PALETTE, RULE, axes, percent_axis, short_number, thousands_axis, tidy
from crmlytics.exceptions import MissingColumnsError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_profit(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw what a campaign earns by how far it goes down the list.

    Parameters
    ----------
    table : dataframe
        What :func:`profit_table` or :func:`response_profit_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        The dot is the number of contacts that earns most; the band is the uncertainty of the acceptance.
    """
    rows = to_pandas(table, caller="plot_profit")
    needed = ["contact_count", "contact_share", "expected_profit_amount", "expected_profit_low_amount", "is_best"]
    missing = [name for name in needed if name not in rows.columns]
    if missing:
        msg = f"plot_profit draws the result of profit_table(...): no columns {missing} in {list(rows.columns)}."
        raise MissingColumnsError(msg)
    share, profit, low, high = (
        rows[name].to_numpy(dtype=float) for name in (*needed[1:4], "expected_profit_high_amount")
    )
    best = int(rows["is_best"].to_numpy(dtype=bool).argmax())
    ax = tidy(axes(ax))
    ax.axhline(0, color=RULE, linewidth=1)
    if (high > low).any():
        ax.fill_between(share, low, high, color=PALETTE[0], alpha=0.15, linewidth=0, label="95% of the acceptance")
        ax.legend(frameon=False, loc="lower left")
    ax.plot(share, profit, color=PALETTE[0], linewidth=2)
    ax.plot(share[best], profit[best], "o", color=PALETTE[3], markersize=8, markeredgecolor="white", zorder=3)
    count = int(rows["contact_count"].iloc[best])
    ax.annotate(
        f"{count:,} contacts earn {short_number(profit[best])}",
        (share[best], profit[best]),
        xytext=(0, 9),
        textcoords="offset points",
        ha="left" if share[best] < 0.5 else "right",
        color=MUTED,
    )
    ax.set(xlabel="Share of customers contacted, the best first", ylabel="Expected profit", xlim=(0, 1))
    ax.margins(y=0.12)
    percent_axis(ax.xaxis)
    thousands_axis(ax.yaxis)
    ax.set_title("Expected profit by number of contacts", loc="left")
    return ax
