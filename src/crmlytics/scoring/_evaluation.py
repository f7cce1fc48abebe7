"""How far a score can be trusted: judged on rows it had not seen, beside what is simple."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._kernels.draws import Draws
from crmlytics._lists import table_with_lists
from crmlytics._validation import check_count
from crmlytics.exceptions import SchemaError
from crmlytics.metrics._columns import (
    as_array,
    as_codes,
    as_flags,
    as_numbers,
    check_lengths,
    check_probabilities,
    engine_of,
)
from crmlytics.scoring._bins import calibration_columns, gains_columns, lift_columns
from crmlytics.scoring._grading import Grade, grade_predictions
from crmlytics.scoring._measures import AUC, BASE_RATE, LIFT, MODEL, OF_PROBABILITIES, Measured, compared, measure
from crmlytics.scoring._periods import period_count
from crmlytics.scoring._predictions import OUT_OF_TIME, RANDOM_FOLDS, Predictions
from crmlytics.scoring._remarks import headlines, remarks_on
from crmlytics.scoring._stability import period_columns, stability_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics._frames import Engine

SCHEMES = (OUT_OF_TIME, RANDOM_FOLDS)
FIGURES = (AUC, "auc_low", "auc_high", "average_precision", *OF_PROBABILITIES)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Evaluation:
    """How good a model was on rows that it had not seen: its figures, their intervals, its grade.

    :meth:`to_frame` has the model beside its baselines, :meth:`comparison_table` the differences,
    :meth:`lift_table`, :meth:`gains_table` and :meth:`calibration_table` look into the ranking,
    :meth:`period_table` and :meth:`stability_table` at one cutoff after the other. :attr:`grade` says it in a letter,
    :attr:`remarks` what to mind.

    Attributes
    ----------
    predictions : tuple of Predictions
        What was judged, ``"out of time"`` first.
    measures, comparisons : dict of str to array
        The columns of :meth:`to_frame` and of :meth:`comparison_table`.
    grade : Grade
        How much more the model finds than the simple rule that is hardest to beat, out of time if that was judged.
    remarks : tuple of str
        Sentences about what makes these figures worth less than they look.
    replicates, seed : int
        Samples of customers for the intervals.
    engine : Engine
        The kind of dataframe that tables go out as.
    """

    predictions: tuple[Predictions, ...]
    measures: dict[str, NDArray[Any]]
    comparisons: dict[str, NDArray[Any]]
    grade: Grade
    remarks: tuple[str, ...]
    replicates: int
    seed: int
    engine: Engine

    @property
    def judged(self) -> Predictions:
        """The predictions that count: out of time if there are any, else of random folds."""
        return self.predictions[0]

    def to_frame(self) -> Any:
        """Return the model beside its baselines: one row per scheme and score, out of time first.

        Columns: ``scheme`` (String, ``"out of time"``: learnt from earlier cutoffs only, which is what scoring tomorrow
        is like; ``"random folds"`` of customers flatter); ``score`` (String: ``"model"``, the baselines, ``"base
        rate"``, which gives everybody the share of positives of these very rows); ``row_count``, ``customer_count``,
        ``positive_count`` (Int64); ``base_rate`` (Float64, share of positives); ``auc`` (Float64, how often a positive
        is scored higher than a negative, equals half) with ``auc_low`` and ``auc_high`` (its 95% interval by a
        bootstrap of customers); ``average_precision``; and of probabilities only, else null: ``log_loss``,
        ``brier_score``, ``calibration_error`` (mean distance of probability and frequency over ten groups of equal
        size, fewer where these would have less than 100 rows; with several cutoffs it is taken within each of them,
        those under 100 rows together with the next, and weighted by rows, since over all of them one that was promised
        too much makes up for one that was promised too little; of the base rate it is nought at one cutoff, and else
        how far cutoffs differ), ``mean_probability``. A baseline counts as a probability when it lies within 0 and 1
        and is more than a yes or no. Null where there is one outcome only.
        """
        return table_with_lists(self.engine, self.measures)

    def comparison_table(self) -> Any:
        """Return how sure it is that the model beats each baseline: one row per scheme, baseline and metric.

        Columns: ``scheme``, ``baseline``, ``metric`` (String: ``"auc"``, ``"top_decile_lift"``: how many times the base
        rate is found among the tenth with the highest scores); ``model_value``, ``baseline_value``, ``difference``
        (Float64) with ``difference_low`` and ``difference_high`` (95%, of the same samples of customers: above nought
        says that the model is better); ``not_better_share`` (Float64, how many of the samples say that it is not: read
        it as a one-sided p-value).
        """
        return table_with_lists(self.engine, self.comparisons)

    def lift_table(self) -> Any:
        """Return what each tenth of the ranking holds, as :func:`crmlytics.metrics.lift_table` does.

        One row per bin, the highest scores first: ``bin``, ``row_count`` (Int64), ``positive_count``, ``mean_score``
        (the mean probability), ``positive_share``, ``lift`` (its ratio to the base rate), ``cumulative_row_share``,
        ``cumulative_positive_share`` (of all positives, found down to here), ``cumulative_lift`` (Float64), the shares
        of positives and the lifts with ``_low`` and ``_high`` (95%).
        """
        resampling = {"replicates": self.replicates, "random_state": self.seed}
        return table_with_lists(self.engine, lift_columns(self.judged, **resampling))

    def gains_table(self) -> Any:
        """Return how many positives are found when the highest scores are flagged: one row per score and share.

        Columns: ``score`` (String: ``"model"`` and the baselines), ``row_share`` (Float64, how many are flagged, in
        steps of .05), ``positive_share`` (Float64, of all positives, those found) with ``positive_share_low`` and
        ``positive_share_high``, ``perfect_share`` (Float64, found by a list with all positives on top). Who flags at
        random finds ``row_share``.
        """
        return table_with_lists(self.engine, gains_columns(self.judged, self._draws()))

    def calibration_table(self) -> Any:
        """Return whether probabilities come true, as :func:`crmlytics.metrics.calibration_table` does.

        One row per tenth of the rows, the lowest probabilities first: ``bin``, ``row_count`` (Int64),
        ``positive_count``, ``mean_predicted_probability``, ``observed_share`` with ``observed_share_low`` and
        ``observed_share_high`` (Float64, 95%): Wilson's interval for as many independent rows as customers with several
        cutoffs are worth. Calibrated probabilities lie within nearly all of these intervals.
        """
        return table_with_lists(self.engine, calibration_columns(self.judged, self._draws()))

    def period_table(self) -> Any:
        """Return each cutoff by itself: one row per cutoff, rising.

        More than 60 different moments, as leads have, or moments with fewer than 20 rows each, are taken in blocks of
        about as many rows: six, or fewer where these would have less than 20.

        Columns: ``cutoff`` (Datetime or Int64, as it came; of a block the first), ``row_count``, ``positive_count``
        (Int64), ``base_rate`` with ``base_rate_low`` and ``base_rate_high``, ``mean_probability``, ``difference`` (mean
        probability less base rate: calibration in the large) with its interval, ``auc`` with its interval (Float64,
        95%).

        Raises
        ------
        SchemaError
            When the predictions have no cutoffs.
        """
        self._need_cutoffs("period_table", least=1)
        return table_with_lists(self.engine, period_columns(self.judged, self._draws()))

    def stability_table(self) -> Any:
        """Return whether scores are spread as they were at the cutoff before: one row per cutoff but the first.

        Columns: ``cutoff``, ``previous_cutoff``, ``row_count``, ``previous_row_count`` (Int64), ``psi`` (Float64, the
        population stability index over tenths of the scores at the cutoff before), ``critical_psi`` (Float64, what
        chance alone exceeds in 1 of 20 cases, given how many rows there are), ``p_value``, ``verdict`` (String), as
        :func:`crmlytics.metrics.stability_table` has them. Out of time each cutoff has a model of its own.

        Raises
        ------
        SchemaError
            When the predictions have fewer than two cutoffs.
        """
        self._need_cutoffs("stability_table", least=2)
        return table_with_lists(self.engine, stability_columns(self.judged))

    def grade_table(self) -> Any:
        """Return the model against each baseline at as many customers flagged: the hardest to beat first.

        Columns: ``baseline`` (String), ``flagged_count`` (Float64), ``found_count`` and ``baseline_found_count``
        (Float64, positives among them), ``ratio`` (Float64; null where the baseline finds nobody) with ``ratio_low``
        and ``ratio_high`` (95%).
        """
        return self.grade.to_frame(self.engine)

    def figure(self, name: str, *, scheme: str | None = None, score: str = MODEL) -> float:
        """Return one figure of :meth:`to_frame`, such as ``"auc"``: of the model, in the scheme that counts."""
        found = (self.measures["scheme"] == (scheme or self.judged.scheme)) & (self.measures["score"] == score)
        if name not in self.measures or not found.any():
            msg = f"Evaluation.figure: no {name!r} of {score!r} in {scheme or self.judged.scheme!r}."
            raise SchemaError(msg + " See .to_frame().")
        return float(self.measures[name][found][0])

    def __repr__(self) -> str:
        """Tell the story: who was judged, how well customers are ranked, probabilities, grade, what to mind."""
        return "\n".join([*headlines(self), self.grade.sentence, *self.remarks[:1]])

    def _draws(self) -> Draws:
        return Draws.of(self.judged.group, replicates=self.replicates, seed=self.seed)

    def _need_cutoffs(self, caller: str, *, least: int) -> None:
        count = period_count(self.judged)
        if count < least:
            msg = (
                f"{caller}: the predictions judged have {count or 'no'} cutoff{'s' * (count != 1)}, expected "
                f"{'some' if least == 1 else f'at least {least}'}. Train on snapshots of several cutoffs, such as "
                "Snapshots(..., cutoffs=[...]).panel_table()."
            )
            raise SchemaError(msg)


def evaluate_predictions(
    predictions: Predictions | Sequence[Predictions],
    *,
    engine: Engine | None = None,
    replicates: int = 500,
    seed: int = 0,
) -> Evaluation:
    """Judge what any model said about rows that it had not seen.

    Parameters
    ----------
    predictions : Predictions or a list of them
        One of each scheme at most; those out of time count, if there are any. Their columns may be lists, arrays or
        columns of a dataframe, ``group`` any ids, ``period`` dates, moments or whole numbers.
    engine : Engine, optional
        The kind of dataframe that tables go out as: by default that of the column of probabilities, pandas for lists
        and arrays.
    replicates : int, default 500
        How many samples of customers make an interval.
    seed : int, default 0
        Of these samples.

    Returns
    -------
    Evaluation

    Raises
    ------
    SchemaError
        When there is nothing to judge, a scheme comes twice or is unknown, lengths differ, probabilities lie outside 0
        and 1, or a value is missing.

    Notes
    -----
    Intervals are those of drawing customers again, each with all rows and cutoffs, for the model as it was fitted: they
    do not tell how another training period would have turned out. That is what :meth:`Evaluation.period_table` is for.

    Examples
    --------
    >>> from crmlytics.scoring import Predictions, evaluate_predictions
    >>> left, probability, recency = [1, 1, 0, 1, 0, 0], [0.9, 0.8, 0.6, 0.5, 0.3, 0.1], [80, 9, 40, 60, 5, 30]
    >>> customers = ["ann", "bob", "cyd", "dan", "eve", "flo"]
    >>> predictions = Predictions("random folds", left, probability, customers, baselines={"recency": recency})
    >>> evaluation = evaluate_predictions(predictions)
    >>> evaluation.to_frame()[["score", "auc", "brier_score"]].round(3)
           score    auc  brier_score
    0      model  0.889        0.127
    1    recency  0.778          NaN
    2  base rate  0.500        0.250
    """
    caller = "evaluate_predictions"
    given = [predictions] if isinstance(predictions, Predictions) else predictions
    replicates = check_count(replicates, name="replicates", caller=caller, least=100)
    seed = check_count(seed, name="seed", caller=caller, least=0)
    ordered = _checked(given, caller=caller)
    draws = [Draws.of(one.group, replicates=replicates, seed=seed) for one in ordered]
    measured = [measure(one, drawn) for one, drawn in zip(ordered, draws, strict=True)]
    return Evaluation(
        predictions=ordered,
        measures=_stacked([_measure_columns(one, rows) for one, rows in zip(ordered, measured, strict=True)]),
        comparisons=_stacked([_comparison_columns(one, rows) for one, rows in zip(ordered, measured, strict=True)]),
        grade=grade_predictions(ordered[0], draws[0]),
        remarks=tuple(remarks_on(ordered, measured, draws[0])),
        replicates=replicates,
        seed=seed,
        engine=engine.without_table if engine else engine_of(given[0].probability, caller=caller),
    )


# -- checking --------------------------------------------------------------------------------------------------------


def _checked(predictions: Any, *, caller: str) -> tuple[Predictions, ...]:
    schemes = [_scheme_of(one, caller=caller) for one in predictions]
    if not schemes or len(set(schemes)) < len(schemes) or set(schemes) - set(SCHEMES):
        msg = f"{caller}: expected predictions of {' and '.join(map(repr, SCHEMES))}, one each, got {schemes}."
        raise SchemaError(msg)
    read = [_read(one, caller=f"{caller} ({one.scheme})") for one in predictions]
    return tuple(sorted(read, key=lambda one: SCHEMES.index(one.scheme)))


def _scheme_of(predictions: Any, *, caller: str) -> str:
    if isinstance(predictions, Predictions):
        return predictions.scheme
    msg = (
        f"{caller}: expected Predictions, got {type(predictions).__name__}. Type evaluate_predictions("
        'Predictions("random folds", outcome, probability, customer_id, baselines={"recency": recency_days})).'
    )
    raise SchemaError(msg)


def _read(predictions: Predictions, *, caller: str) -> Predictions:
    """Return the columns as arrays, or say what is wrong with them."""
    if taken := sorted({MODEL, BASE_RATE} & set(predictions.baselines)):
        raise SchemaError(f"{caller}: {taken} is no name for a baseline. Give it another.")
    period = predictions.period
    read = Predictions(
        predictions.scheme,
        outcome=as_flags(predictions.outcome, name="outcome", caller=caller),
        probability=as_numbers(predictions.probability, name="probability", caller=caller),
        group=as_codes(predictions.group, name="group", caller=caller),
        period=None if period is None else _as_moments(period, caller=caller),
        baselines={
            name: as_numbers(score, name=repr(name), caller=caller) for name, score in predictions.baselines.items()
        },
        noun=predictions.noun,
    )
    columns = {"probability": read.probability, "group": read.group, **read.baselines}
    columns |= {} if read.period is None else {"period": read.period}
    check_lengths({"outcome": len(read.outcome)} | {name: len(found) for name, found in columns.items()}, caller=caller)
    if not len(read.outcome):
        raise SchemaError(f"{caller}: there are no rows. Expected those held out.")
    check_probabilities(read.probability, name="probability", caller=caller)
    return read


def _as_moments(period: Any, *, caller: str) -> NDArray[Any]:
    """Return cutoffs as moments or whole numbers."""
    array = as_array(period, name="period", caller=caller)
    if array.dtype.kind == "O" and all(isinstance(one, dt.date) and not getattr(one, "tzinfo", None) for one in array):
        array = array.astype("datetime64[us]")
    if array.dtype.kind == "M" and not np.isnat(array).any():
        return array.astype("datetime64[us]")
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    shown = ", ".join(map(repr, array[:2].tolist()))
    msg = (
        f"{caller}: period must be the cutoff of each row, dates without time zone or whole numbers, none missing, got "
        f"{shown} ({array.dtype}). Type pandas.to_datetime(period), or leave it out."
    )
    raise SchemaError(msg)


# -- tables ----------------------------------------------------------------------------------------------------------


def _measure_columns(predictions: Predictions, measured: list[Measured]) -> dict[str, NDArray[Any]]:
    y, count = predictions.outcome, len(measured)
    columns: dict[str, NDArray[Any]] = {
        "scheme": np.full(count, predictions.scheme, object),
        "score": np.array([one.name for one in measured], object),
        "row_count": np.full(count, len(y)),
        "customer_count": np.full(count, len(np.unique(predictions.group))),
        "positive_count": np.full(count, int(y.sum())),
        "base_rate": np.full(count, float(y.mean())),
    }
    return columns | {name: np.array([one.values[name] for one in measured]) for name in FIGURES}


def _comparison_columns(predictions: Predictions, measured: list[Measured]) -> dict[str, NDArray[Any]]:
    model, *baselines = measured
    rows = [compared(model, baseline, metric) for baseline in baselines for metric in (AUC, LIFT)]
    columns: dict[str, NDArray[Any]] = {
        "scheme": np.full(len(rows), predictions.scheme, object),
        "baseline": np.array([baseline.name for baseline in baselines for _ in (AUC, LIFT)], object),
        "metric": np.array([AUC, LIFT] * len(baselines), object),
    }
    return columns | {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _stacked(tables: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
