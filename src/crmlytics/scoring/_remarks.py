"""An evaluation in words: its headlines, and what makes its figures worth less than they look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crmlytics.scoring._folds import FEWEST_JUDGED, FEWEST_LEARNT, time_folds
from crmlytics.scoring._measures import AUC, LIFT, compared
from crmlytics.scoring._periods import period_count, when
from crmlytics.scoring._predictions import RANDOM_FOLDS
from crmlytics.scoring._stability import in_words, levels_of, movement_of

if TYPE_CHECKING:
    from crmlytics._kernels.draws import Draws
    from crmlytics.scoring._evaluation import Evaluation
    from crmlytics.scoring._measures import Measured
    from crmlytics.scoring._predictions import Predictions

FEW = 50
FLATTERED = 0.01  # of an AUC


def headlines(evaluation: Evaluation) -> list[str]:
    """Return who was judged, how well they are ranked, and how far probabilities hold, a line each."""
    judged, figure = evaluation.judged, evaluation.figure
    count = period_count(judged)
    at, cutoff = when(judged)
    cutoffs = f" {at} {count} {cutoff}{'s' * (count > 1)}" if count else ""
    beside = ""
    if len(evaluation.predictions) > 1:
        beside = f"; in random folds {figure(AUC, scheme=RANDOM_FOLDS):.3f}"
    top = evaluation.comparisons["model_value"][evaluation.comparisons["metric"] == LIFT][0]
    rows, units = f"{len(judged.outcome):,}", f"{figure('customer_count'):,.0f}"
    who = f"{units} {judged.noun}{cutoffs}" if rows == units else f"{rows} rows of {units} {judged.noun}{cutoffs}"
    interval = f"{figure('auc_low'):.3f} to {figure('auc_high'):.3f}{beside}"
    mean, rate = figure("mean_probability"), figure("base_rate")
    error, worst = figure("calibration_error"), worst_cutoff(judged)
    return [
        f"Evaluation {judged.scheme}: {who}, {rate:.1%} positive",
        f"Ranking: AUC {figure(AUC):.3f} ({interval}), the top tenth has {top:.1f} times the base rate",
        f"Probabilities: calibration error {error:.3f}, mean {mean:.1%} against {rate:.1%} that came true"
        + (f"; worst {worst}" if worst else ""),
    ]


def worst_cutoff(judged: Predictions) -> str | None:
    """Say what was foretold and what came true at the cutoff farthest off; None if none is, by more than chance.

    Nor is there a worst one of fewer than two.
    """
    if period_count(judged) < 2:
        return None
    levels = levels_of(judged)
    if not levels.off.any():
        return None
    worst = int(np.where(levels.off, np.abs(levels.foretold - levels.true), 0).argmax())
    foretold, true = levels.foretold[worst], levels.true[worst]
    return f"at {in_words(levels.cutoffs[worst])}: {foretold:.1%} foretold, {true:.1%} came true"


def remarks_on(predictions: tuple[Predictions, ...], measured: list[list[Measured]], draws: Draws) -> list[str]:
    """Return what makes the figures worth less than they look, the gravest first."""
    judged = predictions[0]
    positives = int(judged.outcome.sum())
    movement = movement_of(judged, draws)
    return [
        sentence
        for sentence in (
            _one_class(judged),
            _too_few(min(positives, len(judged.outcome) - positives)),
            _not_better(measured[0]),
            movement.sentence if movement else None,
            _flattered(predictions, measured),
        )
        if sentence
    ]


def _one_class(judged: Predictions) -> str | None:
    if judged.outcome.any() and not judged.outcome.all():
        return None
    return f"All outcomes held out are the same: nothing can be said about the order of {judged.noun}."


def _too_few(rarer: int) -> str | None:
    if not 0 < rarer < FEW:
        return None
    return f"Only {rarer} rows held out had the rarer outcome: every figure is rough, see the intervals."


def _not_better(measured: list[Measured]) -> str | None:
    """Name the baseline that the model does not clearly beat, if there is one."""
    model, *baselines = measured
    rows = [(compared(model, baseline, AUC), baseline.name) for baseline in baselines]
    row, name = min(rows, key=lambda found: found[0]["difference_low"])
    if not row["difference_low"] <= 0:
        return None
    words = "Worse than" if row["difference_high"] < 0 else "Not clearly better than"
    return (
        f"{words} {name!r}: AUC {row['difference']:+.3f} ({row['difference_low']:+.3f} to "
        f"{row['difference_high']:+.3f}). The simpler one may do."
    )


def _flattered(predictions: tuple[Predictions, ...], measured: list[list[Measured]]) -> str | None:
    if predictions[0].scheme == RANDOM_FOLDS:
        return (
            f"Judged in random folds only, which flatter: {predictions[0].noun} of tomorrow differ from those of "
            f"yesterday. {_out_of_time(predictions[0])}"
        )
    if len(predictions) == 1:
        return None
    later, random = (rows[0].values[AUC] for rows in measured)
    if not random - later >= FLATTERED:
        return None
    return f"Random folds say AUC {random:.3f}, out of time it is {later:.3f}: expect the second."


def _out_of_time(judged: Predictions) -> str:
    """Say what it takes to judge out of time."""
    if period_count(judged) < 2:
        return "With cutoffs, or rows in the order of time, judge out of time."
    period = np.asarray(judged.period)
    purge = np.timedelta64(0, "us") if period.dtype.kind == "M" else 0
    takes = f"{FEWEST_JUDGED} of either outcome, and {FEWEST_LEARNT} of either known before them"
    if time_folds(period, judged.outcome, purge=purge):
        return f"To judge out of time takes later rows, {takes} (gap and horizon lie between)."
    return f"There are too few later rows to judge out of time: that takes {takes}."
