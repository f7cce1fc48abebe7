"""Pictures of value; each draws a table that was computed before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmlytics._periods import draw_bars, label_periods
from crmlytics._plots import INK, MUTED, PALETTE, RULE, percent_axis, rows_of, thousands_axis, tidy
from crmlytics._plots import axes as new_axes
from crmlytics._validation import check_choice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKED_SHARE = 0.2  # the point of the Pareto curve that everybody asks for
MOST_BARS = 12  # beyond, labels run into each other
KPI_TITLES = {
    "total_amount": "Revenue",
    "customer_count": "Active customers",
    "new_customer_count": "New customers",
    "returning_customer_count": "Returning customers",
    "returning_share": "Active customers who had ordered in an earlier period",
    "repeat_share": "Active customers with two or more orders in the period",
    "order_count": "Orders",
    "average_order_amount": "Average order amount",
    "orders_per_customer": "Orders per active customer",
    "amount_per_customer": "Revenue per active customer",
    "days_between_orders": "Days since the order before",
}


def plot_value(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how revenue adds up over the customers, from the best one down (Pareto curve).

    Parameters
    ----------
    table : dataframe
        What :func:`value_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        The dashed line is what it would be if all customers were worth the same.
    """
    needed = ["rank", "cumulative_customer_share", "cumulative_amount_share"]
    rows = rows_of(table, needed, maker="value_table", caller="plot_value").sort_values("rank")
    ax = tidy(new_axes(ax), grid="both")
    customers = [0.0, *rows["cumulative_customer_share"].astype(float)]
    amounts = [0.0, *rows["cumulative_amount_share"].astype(float)]
    ax.fill_between(customers, amounts, customers, color=PALETTE[0], alpha=0.12, linewidth=0)
    ax.plot(customers, amounts, color=PALETTE[0], linewidth=2.2)
    ax.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--")
    mark = next((place for place, share in enumerate(customers) if share >= MARKED_SHARE), len(customers) - 1)
    ax.plot(customers[mark], amounts[mark], "o", color=PALETTE[0], markeredgecolor="white", markersize=9)
    text = f"{customers[mark]:.0%} of customers\nmake {amounts[mark]:.0%} of revenue"
    ax.annotate(text, (customers[mark], amounts[mark]), (12, -6), textcoords="offset points", va="top", color=INK)
    ax.set_xlim(0, 1)
    ax.set_ylim(bottom=0)
    percent_axis(ax.xaxis, decimals=0)
    percent_axis(ax.yaxis, decimals=0)
    ax.set_xlabel("Share of customers, best first")
    ax.set_ylabel("Share of revenue")
    ax.set_title("How revenue adds up over the customers", loc="left")
    return ax


def plot_concentration(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how much of revenue the best customers make: a bar per top share, or a curve through more than twelve.

    Parameters
    ----------
    table : dataframe
        What :func:`concentration_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        The pale bar behind each one, or the dashed line, is the share of customers: what it would be if all were worth
        the same.
    """
    needed = ["top_share", "customer_count", "amount_share"]
    rows = rows_of(table, needed, maker="concentration_table", caller="plot_concentration").sort_values("top_share")
    ax = _shares_as_curve(rows, ax) if len(rows) > MOST_BARS else _shares_as_bars(rows, ax)
    percent_axis(ax.xaxis, decimals=0)
    ax.set_title("What the best customers make of revenue", loc="left")
    return ax


def _shares_as_curve(rows: Any, ax: Axes | None) -> Axes:
    ax = tidy(new_axes(ax), grid="both")
    customers, amounts = ([0.0, *rows[name].astype(float)] for name in ("top_share", "amount_share"))
    ax.fill_between(customers, amounts, customers, color=PALETTE[0], alpha=0.12, linewidth=0)
    ax.plot(customers, amounts, color=PALETTE[0], linewidth=2.2)
    ax.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--")
    mark = max(place for place, share in enumerate(customers) if share <= MARKED_SHARE + 1e-9)
    ax.plot(customers[mark], amounts[mark], "o", color=PALETTE[0], markeredgecolor="white", markersize=9)
    text = f"Top {100 * customers[mark]:.3g}%: {amounts[mark]:.0%}"
    ax.annotate(text, (customers[mark], amounts[mark]), (12, -6), textcoords="offset points", va="top", color=INK)
    ax.set(xlim=(0, 1), xlabel="Share of customers, best first", ylabel="Share of revenue")
    ax.set_ylim(bottom=0)
    percent_axis(ax.yaxis, decimals=0)
    return ax


def _shares_as_bars(rows: Any, ax: Axes | None) -> Axes:
    ax = tidy(new_axes(ax, size=(8, 1.4 + 0.5 * len(rows))), grid=None)
    places = range(len(rows))
    ax.barh(places, rows["amount_share"].astype(float), color=PALETTE[0], height=0.62, label="Share of revenue")
    ax.barh(places, rows["top_share"].astype(float), color=RULE, height=0.24, label="Share of customers")
    for place, share in zip(places, rows["amount_share"], strict=True):
        ax.text(float(share), place, f" {share:.0%}", va="center", color=INK)
    names = [
        f"Top {share:.3g}% ({n:,})" for share, n in zip(100 * rows["top_share"], rows["customer_count"], strict=True)
    ]
    ax.set_yticks(places, names)
    ax.invert_yaxis()
    ax.set_xlim(0, max(1.0, 1.1 * float(rows["amount_share"].max())))
    ax.legend(frameon=False, loc="upper right", fontsize=9)
    return ax


def plot_kpis(table: Any, *, kpi: str = "total_amount", ax: Axes | None = None) -> Axes:
    """Draw one key figure over the periods.

    Parameters
    ----------
    table : dataframe
        What :func:`kpi_table` returned.
    kpi : str, default "total_amount"
        The column drawn. ``"customer_count"`` is split into new and returning customers.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Bars, pale for periods that are not complete.
    """
    check_choice(kpi, KPI_TITLES, name="kpi", caller="plot_kpis")
    drawn = ["new_customer_count", "returning_customer_count"] if kpi == "customer_count" else [kpi]
    rows = rows_of(table, ["period_start", "is_complete", *drawn], maker="kpi_table", caller="plot_kpis")
    ax = tidy(new_axes(ax))
    if kpi == "customer_count":
        returning = rows["returning_customer_count"].astype(float)
        draw_bars(ax, rows, returning, PALETTE[0], label="Returning")
        draw_bars(ax, rows, rows["new_customer_count"].astype(float), PALETTE[1], bottom=returning, label="New")
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.16), ncols=2, fontsize=9)
    else:
        draw_bars(ax, rows, rows[kpi].astype(float), PALETTE[0])
    label_periods(ax, rows)
    if kpi.endswith("_share"):
        percent_axis(ax.yaxis)
    else:
        thousands_axis(ax.yaxis)
    ax.set_title(KPI_TITLES[kpi], loc="left")
    return ax
