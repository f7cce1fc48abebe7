"""The pictures of an evaluation: do probabilities come true, who is found first, does it hold over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import to_pandas
from crmlytics._plots import INK, MUTED, PALETTE, axes, percent_axis, tidy
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.scoring._evaluation import Evaluation
from crmlytics.scoring._measures import MODEL
from crmlytics.scoring._periods import period_count
from crmlytics.scoring._stability import in_words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_TICKS = 6


def plot_evaluation(evaluation: Evaluation) -> Figure:
    """Draw an evaluation on one page: calibration, gains, lift, and the cutoffs where there are several.

    Parameters
    ----------
    evaluation : Evaluation
        Such as ``model.evaluation_``.

    Returns
    -------
    matplotlib Figure
        Of three or four axes, each of them also a function of its own: :func:`crmlytics.metrics.plot_calibration`,
        :func:`plot_score_gains`, :func:`crmlytics.metrics.plot_lift`, :func:`plot_periods`.
    """
    import matplotlib.pyplot as plt

    from crmlytics.metrics._plots import plot_calibration, plot_lift

    if not isinstance(evaluation, Evaluation):
        msg = f"plot_evaluation: expected an Evaluation, such as model.evaluation_, got {type(evaluation).__name__}."
        raise SchemaError(msg)
    has_periods = period_count(evaluation.judged) > 1
    figure = plt.figure(figsize=(12, 9), layout="constrained")
    places = [figure.add_subplot(2, 2, number + 1) for number in range(4 if has_periods else 3)]
    plot_calibration(evaluation.calibration_table(), ax=places[0])
    places[0].set_title(f"Calibration error {evaluation.figure('calibration_error'):.3f}", loc="left")  # within cutoffs
    plot_score_gains(evaluation.gains_table(), ax=places[1])
    plot_lift(evaluation.lift_table(), ax=places[2])
    if has_periods:
        plot_periods(evaluation.period_table(), ax=places[3])
    count = f"{len(evaluation.judged.outcome):,} rows judged {evaluation.judged.scheme}"
    figure.suptitle(f"Grade {evaluation.grade.letter}, {count}", x=0.01, ha="left", color=INK)
    return figure


def plot_score_gains(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how many of the positives the model and its baselines find, by how many are flagged.

    Parameters
    ----------
    table : dataframe
        What :meth:`Evaluation.gains_table` returned.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        The model in front with its interval, the baselines behind, random choice dashed.
    """
    columns = ["score", "row_share", "positive_share", "positive_share_low", "positive_share_high"]
    rows = _read(table, columns, source="gains_table", caller="plot_score_gains")
    ax = tidy(axes(ax, size=(6.4, 5.6)), grid="both")
    for number, (name, part) in enumerate(rows.groupby("score", sort=False)):
        share, is_model = part["row_share"], name == MODEL
        colour = PALETTE[number % len(PALETTE)]
        width, order = (2.5, 3) if is_model else (1.2, 2)
        ax.plot(share, part["positive_share"], color=colour, linewidth=width, label=name, zorder=order)
        if is_model:
            low, high = part["positive_share_low"], part["positive_share_high"]
            ax.fill_between(share, low, high, color=colour, alpha=0.2, linewidth=0)
            fifth = float(np.interp(0.2, share, part["positive_share"]))
            ax.set_title(f"The first 20% hold {fifth:.0%} of the positives", loc="left")
    ax.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--", label="random choice")
    ax.set(xlabel="Share flagged", ylabel="Share of the positives found", xlim=(0, 1), ylim=(0, 1.02))
    percent_axis(ax.xaxis)
    percent_axis(ax.yaxis)
    ax.legend(frameon=False, loc="lower right")
    return ax


def plot_periods(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw what came true at each cutoff beside what was foretold.

    Parameters
    ----------
    table : dataframe
        What :meth:`Evaluation.period_table` returned.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Points with intervals came true, the line was foretold; the AUC of each cutoff stands above it.
    """
    columns = ["cutoff", "base_rate", "base_rate_low", "base_rate_high", "mean_probability", "auc"]
    rows = _read(table, columns, source="period_table", caller="plot_periods")
    rate, low, high, foretold, area = (rows[name].to_numpy(dtype=float) for name in columns[1:])
    places = np.arange(len(rows))
    ax = tidy(axes(ax))
    reach = np.maximum([rate - low, high - rate], 0)
    ax.errorbar(places, rate, yerr=reach, fmt="none", color=PALETTE[0], linewidth=1.2)
    ax.plot(places, rate, "o", color=PALETTE[0], markersize=7, markeredgecolor="white", label="came true")
    ax.plot(places, foretold, color=PALETTE[1], linewidth=2, marker="o", markersize=4, label="foretold")
    top = float(np.nanmax([high, foretold])) * 1.25
    step = -(-len(rows) // MOST_TICKS)
    for place in places[::step]:
        ax.annotate(f"AUC {area[place]:.2f}", (place, 0.97 * top), ha="center", va="top", color=MUTED, fontsize=9)
    cutoffs = rows["cutoff"].to_numpy()
    ax.set_xticks(places[::step], [in_words(cutoff) for cutoff in cutoffs[::step]])
    ax.set(xlabel="Cutoff", ylabel="Share of positives", xlim=(-0.5, len(rows) - 0.5), ylim=(0, top))
    percent_axis(ax.yaxis)
    ax.legend(frameon=False, loc="lower left", ncols=2)
    ax.set_title(f"{rate.min():.0%} to {rate.max():.0%} came true, cutoff by cutoff", loc="left")
    return ax


def _read(table: Any, needed: list[str], *, source: str, caller: str) -> pd.DataFrame:
    rows: pd.DataFrame = to_pandas(table, caller=caller)
    missing = [name for name in needed if name not in rows.columns]
    if missing:
        msg = f"{caller} draws the result of evaluation.{source}(): no columns {missing} in {list(rows.columns)}."
        raise MissingColumnsError(msg)
    return rows
