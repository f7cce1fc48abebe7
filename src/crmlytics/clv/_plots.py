"""Pictures of models of purchases; each draws a table that was computed before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import to_pandas
from crmlytics._plots import INK, MUTED, PALETTE, date_axis, percent_axis, short_number, thousands_axis, tidy
from crmlytics._plots import axes as new_axes
from crmlytics._validation import check_choice
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

ACTUAL, MODEL = MUTED, PALETTE[0]
KINDS = {"step": "", "cumulative": "cumulative_"}
PROCESSES = ("purchase", "dropout")
GRID_VALUES = {
    "alive_probability": "Probability of being alive",
    "expected_purchase_count": "Purchases expected in the horizon",
}
TOP_SHARE = 0.2  # of the customers: the share that everybody asks for
SKEWED = 3.0  # mean over median, from which on a logarithmic axis shows more
BINS = 40
NEXT_TO_NOTHING = 0.005  # of the customers: on a logarithmic axis a few would take up most of it


def plot_frequency(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how many customers made 0, 1, 2, ... repeat purchases, and how many the model expects.

    Parameters
    ----------
    table : dataframe
        What :func:`frequency_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Grey bars are the data, blue ones the model.
    """
    columns = ["frequency", "is_or_more", "actual_customer_count", "expected_customer_count"]
    rows = _read(table, columns, source="frequency_table", caller="plot_frequency")
    ax = tidy(new_axes(ax))
    ax.bar(rows["frequency"] - 0.2, rows["actual_customer_count"], width=0.38, color=ACTUAL, label="Actual")
    ax.bar(rows["frequency"] + 0.2, rows["expected_customer_count"], width=0.38, color=MODEL, label="Expected")
    _label_frequencies(ax, rows)
    thousands_axis(ax.yaxis)
    ax.set_ylabel("Customers")
    _legend_beside_title(ax)
    ax.set_title("Customers by number of repeat purchases", loc="left")
    return ax


def plot_tracking(table: Any, *, kind: str = "step", ax: Axes | None = None) -> Axes:
    """Draw the repeat purchases of a cohort over time, and what the model expects.

    Parameters
    ----------
    table : dataframe
        What :func:`tracking_table` returned.
    kind : {"step", "cumulative"}, default "step"
        The purchases of each step, or those since the beginning.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Each step is drawn at its end; the dashed line is where the model stopped learning.
    """
    prefix = KINDS[check_choice(kind, KINDS, name="kind", caller="plot_tracking")]
    actual, expected = f"{prefix}actual_purchase_count", f"{prefix}expected_purchase_count"
    columns = ["step_end", "is_holdout", actual, expected]
    rows = _read(table, columns, source="tracking_table", caller="plot_tracking")
    ax = tidy(new_axes(ax))
    ax.plot(rows["step_end"], rows[actual], color=ACTUAL, linewidth=1.6, label="Actual")
    ax.plot(rows["step_end"], rows[expected], color=MODEL, linewidth=2.2, label="Expected")
    holdout = rows["is_holdout"].astype(bool)
    if holdout.any() and not holdout.all():
        end = rows.loc[~holdout, "step_end"].iloc[-1]
        ax.axvline(end, color=INK, linewidth=1, linestyle="--")
        ax.annotate(" holdout", (end, 1), xycoords=("data", "axes fraction"), va="top", color=MUTED)
    date_axis(ax.xaxis)
    ax.set_ylim(bottom=0)
    thousands_axis(ax.yaxis)
    ax.set_ylabel("Repeat purchases" if kind == "step" else "Repeat purchases since the beginning")
    _legend_beside_title(ax)
    ax.set_title("Repeat purchases of the cohort" + (", per step" if kind == "step" else ", added up"), loc="left")
    return ax


def plot_conditional(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the purchases per customer in the holdout by those in the calibration period, forecast and made.

    Parameters
    ----------
    table : dataframe
        What :func:`conditional_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Below each frequency stands how many customers there are.
    """
    columns = ["frequency", "is_or_more", "customer_count", "predicted_mean_count", "actual_mean_count"]
    rows = _read(table, columns, source="conditional_table", caller="plot_conditional")
    ax = tidy(new_axes(ax))
    for name, colour, label in (("actual", ACTUAL, "Actual"), ("predicted", MODEL, "Predicted")):
        values = rows[f"{name}_mean_count"].astype(float)
        ax.plot(rows["frequency"], values, "o-", color=colour, linewidth=2, markeredgecolor="white", label=label)
    _label_frequencies(ax, rows, counts=rows["customer_count"])
    ax.set_ylim(bottom=0)
    ax.set_ylabel("Purchases per customer in the holdout")
    _legend_beside_title(ax)
    ax.set_title("Purchases in the holdout by purchases before", loc="left")
    return ax


def plot_calibration(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw what customers with similar forecasts did, against their forecast.

    Parameters
    ----------
    table : dataframe
        What :func:`calibration_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        On the dashed line forecasts are right; above it, customers bought more than forecast.
    """
    columns = ["decile", "customer_count", "predicted_mean_count", "actual_mean_count"]
    rows = _read(table, columns, source="calibration_table", caller="plot_calibration")
    predicted, actual = (rows[name].to_numpy(dtype=float) for name in columns[2:])
    ax = tidy(new_axes(ax, size=(6, 5.6)), grid="both")
    end = 1.08 * max(predicted.max(), actual.max(), 1e-9)
    ax.plot([0, end], [0, end], color=MUTED, linewidth=1, linestyle="--", label="Forecast right")
    ax.plot(predicted, actual, "o", color=MODEL, markeredgecolor="white", markersize=9, label="Group of customers")
    ax.set(xlim=(0, end), ylim=(0, end), aspect="equal")
    ax.set_xlabel("Predicted purchases per customer")
    ax.set_ylabel("Actual purchases per customer")
    ax.legend(frameon=False, loc="upper left")
    ax.set_title(f"Forecast and outcome in {len(rows)} groups by forecast", loc="left")
    return ax


def plot_recency_frequency(table: Any, *, value: str = "alive_probability", ax: Axes | None = None) -> Axes:
    """Draw what the model says of each mix of frequency and recency, as a heat map.

    Parameters
    ----------
    table : dataframe
        What :func:`recency_frequency_table` returned.
    value : {"alive_probability", "expected_purchase_count"}, default "alive_probability"
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        The best customers are at the top right: many purchases, the last one just now.
    """
    from matplotlib.ticker import MaxNLocator

    caller = "plot_recency_frequency"
    check_choice(value, GRID_VALUES, name="value", caller=caller)
    cells = _read(table, ["frequency", "recency", value], source="recency_frequency_table", caller=caller)
    grid = cells.pivot_table(index="recency", columns="frequency", values=value, dropna=False)
    ax = new_axes(ax, size=(7.5, 5.2))
    most = 1.0 if value == "alive_probability" else None
    image = ax.pcolormesh(grid.columns, grid.index, grid.to_numpy(dtype=float), cmap="viridis", vmin=0, vmax=most)
    bar = ax.figure.colorbar(image, ax=ax)
    if most:
        percent_axis(bar.ax.yaxis, decimals=0)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, colors=MUTED)
    tidy(ax, grid=None)
    ax.spines[:].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("Frequency: repeat purchases")
    ax.set_ylabel("Recency: first to last purchase, in units of T")
    ax.set_title(GRID_VALUES[value], loc="left")
    return ax


def plot_alive_history(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how likely a customer was to be alive over time, with the days of purchase.

    Parameters
    ----------
    table : dataframe
        What :func:`alive_history_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Dotted lines are purchases; each sets the probability back up.
    """
    columns = ["customer_id", "day", "is_purchase", "alive_probability"]
    rows = _read(table, columns, source="alive_history_table", caller="plot_alive_history")
    ax = tidy(new_axes(ax))
    bought = rows[rows["is_purchase"].astype(bool)]
    ax.vlines(bought["day"], 0, 1, color=PALETTE[3], linewidth=1, linestyle=":", label="Purchase")
    ax.plot(rows["day"], rows["alive_probability"], color=MODEL, linewidth=2.2, label="Alive")
    ax.set_ylim(0, 1.02)
    percent_axis(ax.yaxis, decimals=0)
    date_axis(ax.xaxis)
    ax.set_ylabel("Probability of being alive")
    _legend_beside_title(ax)
    ax.set_title(f"Customer {rows['customer_id'].iloc[0]}, day by day", loc="left")
    return ax


def plot_heterogeneity(table: Any, *, process: str = "purchase", ax: Axes | None = None) -> Axes:
    """Draw how customers differ in how fast they buy, or in how readily they leave.

    Parameters
    ----------
    table : dataframe
        What :func:`heterogeneity_table` returned.
    process : {"purchase", "dropout"}, default "purchase"
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Bars are shares of customers; the dashed line is the mean of all.
    """
    caller = "plot_heterogeneity"
    check_choice(process, PROCESSES, name="process", caller=caller)
    columns = ["process", "measure", "unit_days", "value_from", "value_to", "customer_share", "mean_value"]
    rows = _read(table, columns, source="heterogeneity_table", caller=caller)
    cells = rows[rows["process"] == process]
    if cells.empty:
        raise SchemaError(f'{caller}: the table has no rows of process="{process}": in this model nobody leaves.')
    ax = tidy(new_axes(ax))
    width = cells["value_to"] - cells["value_from"]
    ax.bar(cells["value_from"], cells["customer_share"], width=width, align="edge", color=MODEL, edgecolor="white")
    mean = float(cells["mean_value"].iloc[0])
    ax.axvline(mean, color=INK, linewidth=1.2, linestyle="--")
    ax.annotate(f"  mean {mean:.3g}", (mean, 0.97), xycoords=("data", "axes fraction"), va="top", color=INK)
    ax.set_xlim(0, float(cells["value_to"].max()))
    percent_axis(ax.yaxis, decimals=0)
    ax.set_ylabel("Share of customers")
    per = f"per {_unit_in_words(int(cells['unit_days'].iloc[0]))}"
    if process == "purchase":
        ax.set_xlabel(f"Purchases {per}, while a customer")
        ax.set_title("How customers differ in how fast they buy", loc="left")
    else:
        is_rate = cells["measure"].iloc[0] == "rate"
        ax.set_xlabel(f"Rate of leaving {per}" if is_rate else "Probability of leaving, at each purchase")
        ax.set_title("How customers differ in how readily they leave", loc="left")
    return ax


def plot_value_distribution(table: Any, *, value: str = "clv_amount", ax: Axes | None = None) -> Axes:
    """Draw how the customers' values are distributed, with the mean and what the best customers are worth.

    Parameters
    ----------
    table : dataframe, one row per customer
        What :func:`clv_table` returned.
    value : str, default "clv_amount"
        The column drawn. Infinite and missing values are left out, and, where the axis is logarithmic, the customers
        who are worth next to nothing (the lowest 0.5 %); the label says how many.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        The axis is logarithmic if the mean is more than three times the median.
    """
    caller = "plot_value_distribution"
    values = _read(table, [value], source="clv_table", caller=caller)[value].to_numpy(dtype=float, na_value=np.nan)
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        raise SchemaError(f"{caller}: column {value!r} has no finite value to draw.")
    mean = float(finite.mean())
    is_log = bool(finite.min() >= 0 and mean > SKEWED * np.median(finite))
    lowest = max(float(np.quantile(finite, NEXT_TO_NOTHING)), np.finfo(float).tiny) if is_log else -np.inf
    drawn = finite[finite >= lowest]
    ax = tidy(new_axes(ax))
    ax.hist(drawn, bins=_bins(drawn, is_log=is_log), color=MODEL, edgecolor="white", linewidth=0.6)
    ax.margins(y=0.12)
    if is_log:
        ax.set_xscale("log")
        ax.minorticks_off()
    ax.axvline(mean, color=INK, linewidth=1.2, linestyle="--")
    ax.annotate(f"  mean {short_number(mean)}", (mean, 0.97), xycoords=("data", "axes fraction"), va="top", color=INK)
    thousands_axis(ax.xaxis)
    thousands_axis(ax.yaxis)
    left_out = len(values) - len(drawn)
    note = f" ({left_out:,} not drawn: infinite, missing or next to nothing)" if left_out else ""
    ax.set_xlabel(f"{value}, per customer{note}")
    ax.set_ylabel("Customers")
    ax.set_title(_share_of_the_best(finite), loc="left")
    return ax


def plot_forecast(table: Any, *, kind: str = "step", ax: Axes | None = None) -> Axes:
    """Draw a forecast of all customers' purchases with its band.

    Parameters
    ----------
    table : dataframe
        What the ``forecast_table`` of a model returned.
    kind : {"step", "cumulative"}, default "step"
        The purchases of each step, or those since the beginning.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        The band is the interval; where new customers were forecast too, the dashed line is those already there.
    """
    column = KINDS[check_choice(kind, KINDS, name="kind", caller="plot_forecast")] + "purchase_count"
    names = ["days_until", column, f"{column}_low", f"{column}_high", "existing_purchase_count"]
    names += ["new_customer_purchase_count"]
    rows = _read(table, names, source="forecast_table of a model", caller="plot_forecast").astype(float)
    ax = tidy(new_axes(ax))
    days = rows["days_until"]
    ax.fill_between(days, rows[f"{column}_low"], rows[f"{column}_high"], color=MODEL, alpha=0.18, linewidth=0)
    ax.plot(days, rows[column], color=MODEL, linewidth=2.2, label="All customers")
    if (rows["new_customer_purchase_count"] > 0).any():
        existing = rows["existing_purchase_count"]
        known = existing if kind == "step" else existing.cumsum()
        ax.plot(days, known, color=PALETTE[1], linewidth=2, linestyle="--", label="Customers already there")
        _legend_beside_title(ax)
    ax.set_ylim(bottom=0)
    thousands_axis(ax.yaxis)
    ax.set_xlabel("Days ahead")
    ax.set_ylabel("Repeat purchases")
    ax.set_title("Forecast of purchases" + (", per step" if kind == "step" else ", added up"), loc="left")
    return ax


# --- inside


def plot_retention(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw a retention curve: the share of customers left and the renewal rate, with what was observed.

    Parameters
    ----------
    table : dataframe
        What :meth:`ShiftedBetaGeoModel.retention_table` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        Lines are the model, bands its intervals, points what was observed.
    """
    rows = to_pandas(table, caller="plot_retention")
    ax = tidy(new_axes(ax))
    curves = {"renewal": ("Renewed, of those asked", PALETTE[1], -18), "survival": ("Still customers", PALETTE[0], 10)}
    for name, (label, colour, lift) in curves.items():
        curve = f"{name}_probability"
        ax.fill_between(
            rows["period"], rows[f"{curve}_low"], rows[f"{curve}_high"], color=colour, alpha=0.18, linewidth=0
        )
        ax.plot(rows["period"], rows[curve], color=colour, linewidth=2.2)
        ax.plot(rows["period"], rows[f"observed_{name}_rate"], "o", color=colour, markeredgecolor="white", markersize=7)
        end = (rows["period"].iloc[-1], rows[curve].iloc[-1])
        ax.annotate(label, end, (0, lift), textcoords="offset points", ha="right", color=INK)
    known = int(rows["observed_renewal_rate"].notna().sum())
    if 0 < known < len(rows):
        ax.axvline(rows["period"].iloc[known - 1] + 0.5, color=MUTED, linewidth=1, linestyle="--")
    ax.set_ylim(0, 1.02)
    percent_axis(ax.yaxis, decimals=0)
    ax.set_xlabel("Renewal")
    ax.set_title("Retention: points observed, lines and bands from the model", loc="left")
    return ax


def _read(table: Any, needed: list[str], *, source: str, caller: str) -> pd.DataFrame:
    rows: pd.DataFrame = to_pandas(table, caller=caller)
    missing = [name for name in needed if name not in rows.columns]
    if missing:
        msg = f"{caller} draws the result of {source}(...): no columns {missing} in {list(rows.columns)}."
        raise MissingColumnsError(msg)
    return rows


def _label_frequencies(ax: Axes, rows: pd.DataFrame, counts: Any = None) -> None:
    names = [f"{n}+" if more else f"{n}" for n, more in zip(rows["frequency"], rows["is_or_more"], strict=True)]
    if counts is not None:
        names = [f"{name}\n({count:,})" for name, count in zip(names, counts, strict=True)]
    ax.set_xticks(rows["frequency"].tolist(), names)
    ax.set_xlabel("Repeat purchases in the calibration period" + (" (customers)" if counts is not None else ""))


def _legend_beside_title(ax: Axes) -> None:
    ax.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=9, borderaxespad=0.2)


def _unit_in_words(days: int) -> str:
    return {1: "day", 7: "week"}.get(days, f"{days} days")


def _bins(values: np.ndarray[Any, Any], *, is_log: bool) -> Any:
    low, high = float(values.min()), float(values.max())
    return np.geomspace(low, high, BINS + 1) if is_log and low < high else BINS


def _share_of_the_best(values: np.ndarray[Any, Any]) -> str:
    """Say which share of the total the best fifth of the customers are."""
    best = np.sort(values)[::-1][: max(1, round(TOP_SHARE * len(values)))]
    total = values.sum()
    if total <= 0:
        return "Value of the customers"
    return f"The best {TOP_SHARE:.0%} of customers hold {best.sum() / total:.0%} of the total"
