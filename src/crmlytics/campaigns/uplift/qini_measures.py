"""One ranking, many numbers called Qini: each convention by its name, its formula and the library that uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import table_with_lists
from crmlytics.campaigns._experiment import CONTROL, CUSTOMER, read_experiment
from crmlytics.campaigns.uplift._judging import TOPS, is_flag, stacked
from crmlytics.campaigns.uplift._trial import Trial, read_score_names, read_trials

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Measure = Callable[[Trial, np.ndarray[Any, Any]], float]
    Row = tuple[str, str, str, bool, Measure]

OURS = "crmlytics"
SKLIFT, CAUSALML = "scikit-uplift", "causalml"


def qini_measure_table(
    table: Any,
    *,
    score: str | Sequence[str],
    outcome: str = "converted",
    key: Sequence[str] = (CUSTOMER,),
    arm: str = "arm",
    control: Any = CONTROL,
) -> Any:
    """Sum a ranking up in every convention in use, to compare with figures of papers and of other libraries.

    Parameters
    ----------
    table, score, outcome, key, arm, control
        As in :func:`qini_table`.

    Returns
    -------
    dataframe of the kind that came in, one row per arm, score and convention
        ``arm``, ``score``, ``convention`` (String); ``value`` (Float64; null where the convention knows no amounts, or
        has nobody of an arm); ``formula`` (String); ``peer`` (String, the library and its function).

    Notes
    -----
    ``qini`` is ours: how much more contacting by this score brings than contacting as many at random, in outcome per
    customer, averaged over all shares contacted. Of 100 customers, .02 is two conversions more; of amounts it is money
    per customer. ``auuc`` is the same over contacting nobody, so it holds the average effect too and cannot be compared
    between trials.

    ``..._of_optimum`` (scikit-uplift) divides by what a ranking would reach that knew all outcomes: between -1 and 1,
    but small even of good models, since nobody can know them. It takes a mean of nobody for nought where the top of the
    ranking has one arm only. ``..._of_effect`` (causalml) divides by the effect of treating everybody, so it explodes
    where that is small, and loses its meaning where it is negative.

    References
    ----------
    N. J. Radcliffe (2007), "Using control groups to target on predicted lift", Direct Marketing Analytics Journal 3.
    F. Devriendt, J. Van Belle, T. Guns and W. Verbeke (2020), "Learning to rank for uplift modeling", IEEE TKDE.
    P. Gutierrez and J.-Y. Gerardy (2017), "Causal inference and uplift modelling: a review", PMLR 67.

    Examples
    --------
    >>> import pandas as pd
    >>> arms, bought = ["mail", "control"] * 4, [True, False, True, False, False, False, False, True]
    >>> trial = pd.DataFrame({"customer_id": range(8), "arm": arms, "converted": bought, "uplift": [2.0] * 4 + [1] * 4})
    >>> table = qini_measure_table(trial, score="uplift")
    >>> table.loc[[0, 2, 5], ["convention", "value"]].round(3)
            convention  value
    0             qini  0.188
    2  qini_of_optimum  0.632
    5   qini_of_effect  0.667
    """
    caller = "qini_measure_table"
    names = read_score_names(score, caller=caller)
    experiment = read_experiment(table, key=key, arm=arm, control=control, needs=[*names, outcome], caller=caller)
    trials = read_trials(experiment, outcome=outcome, scores=names, propensity=None, caller=caller)
    return table_with_lists(experiment.engine, stacked({name: _columns(trial) for name, trial in trials.items()}))


def _columns(trial: Trial) -> dict[str, Any]:
    rows, flags = _conventions(), is_flag(trial.outcome)
    names, formulas, peers = (np.array([row[place] for row in rows], object) for place in range(3))
    values = [
        measure(trial, score) if flags or not flags_only else float("nan")
        for score in trial.scores.values()
        for *_, flags_only, measure in rows
    ]
    count = len(trial.scores)
    return {
        "score": np.repeat(np.array(list(trial.scores), object), len(rows)),
        "convention": np.tile(names, count),
        "value": np.array(values, np.float64),
        "formula": np.tile(formulas, count),
        "peer": np.tile(peers, count),
    }


def _conventions() -> list[Row]:
    """Return name, formula, peer, whether it knows flags only, and the function of each convention."""
    from crmlytics._kernels import uplift_conventions as others
    from crmlytics._kernels.uplift_curves import curves

    def area(trial: Trial, score: Any) -> float:
        return float(curves(score, trial.outcome, trial.treated, trial.propensity, shares=np.ones(1)).area[0])

    def above(trial: Trial, score: Any) -> float:
        return float(curves(score, trial.outcome, trial.treated, trial.propensity, shares=np.ones(1)).qini[0])

    def by(function: Callable[..., float], *arguments: float, **options: bool) -> Measure:
        return lambda trial, score: function(score, trial.outcome, trial.treated, *arguments, **options)

    uplift, radcliffe = "(Y_t / N_t - Y_c / N_c) (N_t + N_c)", "Y_t - Y_c N_t / N_c"
    optimum = "area of {} less its diagonal, over the same of the best ranking"
    rows: list[Row] = [
        ("qini", f"area of {uplift} less its diagonal, per customer", OURS, False, above),
        ("auuc", f"area of {uplift}, per customer", OURS, False, area),
        ("qini_of_optimum", optimum.format(radcliffe), f"{SKLIFT} qini_auc_score", True, by(others.qini_of_optimum)),
        (
            "qini_of_optimum_without_negative_effects",
            f"{optimum.format(radcliffe)} without negative effects",
            f"{SKLIFT} qini_auc_score(negative_effect=False)",
            True,
            by(others.qini_of_optimum, negative_effects=False),
        ),
        ("uplift_of_optimum", optimum.format(uplift), f"{SKLIFT} uplift_auc_score", True, by(others.uplift_of_optimum)),
    ]
    normalised = "mean of {} over 0 to n customers{}, over its end"
    less = ", less that of its diagonal"
    rows += [
        (
            "qini_of_effect",
            normalised.format(radcliffe, less),
            f"{CAUSALML} qini_score",
            False,
            by(others.qini_of_effect),
        ),
        ("auuc_of_effect", normalised.format(uplift, ""), f"{CAUSALML} auuc_score", False, by(others.auuc_of_effect)),
    ]
    for percent in TOPS:
        for name, words, function in (
            ("overall", "of all", others.top_uplift),
            ("by_group", "of each arm", others.top_uplift_by_group),
        ):
            told = f"Y_t / N_t - Y_c / N_c among the first {percent}% {words}"
            peer = f'{SKLIFT} uplift_at_k(strategy="{name}", k={percent / 100})'
            rows.append((f"uplift_at_{percent}_{name}", told, peer, False, by(function, percent / 100)))
    return rows
