"""What contacting the customers with the highest scores brings: Qini curves, and the tenths of a ranking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmlytics._lists import table_with_lists
from crmlytics._validation import check_count
from crmlytics.campaigns._experiment import CONTROL, CUSTOMER, read_experiment
from crmlytics.campaigns.uplift._judging import curve_columns, decile_columns, judge, stacked
from crmlytics.campaigns.uplift._trial import read_score_names, read_trials
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

BINS = 10


def qini_table(
    table: Any,
    *,
    score: str | Sequence[str],
    outcome: str = "converted",
    key: Sequence[str] = (CUSTOMER,),
    arm: str = "arm",
    control: Any = CONTROL,
    propensity: str | None = None,
    replicates: int = 1000,
    random_state: int = 0,
) -> Any:
    """Follow what is gained as more customers are contacted, the highest scores first: the Qini curve.

    Parameters
    ----------
    table : dataframe, one row per key
        Customers of an experiment, such as :func:`outcome_table` returns, with columns of scores.
    score : column name or several
        Predicted uplift, or anything else to rank by, of models that have not seen these outcomes.
    outcome : str, default "converted"
        True or false, or an amount or count per customer.
    key, arm, control
        Columns of ids and of arms, and how the control group is called.
    propensity : column name, optional
        Each customer's probability of having been given the arm rather than control, where it was not the same for all.
    replicates : int, default 1000
        Samples of customers for the band, at least 100.
    random_state : int, default 0
        Of these samples.

    Returns
    -------
    dataframe of the kind that came in, one row per arm, score and share contacted (0 to 1 in steps of .01)
        ``arm``, ``score`` (String); ``contact_share`` (Float64), ``contact_count`` (Int64, of the customers of this arm
        and of control); ``incremental_outcome`` (Float64, what contacting as many brings over contacting nobody, in
        units of the outcome: conversions, or money) with ``incremental_outcome_low`` and ``incremental_outcome_high``
        (95%, point by point); ``random_outcome`` (Float64, what as many random contacts bring).

    Raises
    ------
    SchemaError
        When columns are missing or hold missing values, or there is no control group.

    Notes
    -----
    At share ``s`` of ``n`` customers: ``n s (mean outcome of the treated - mean outcome of control)`` among those with
    the highest scores, as if all ``n`` had been at choice: extrapolated from the part of them that was treated. This is
    Radcliffe's (2007) curve, ``Y_t - Y_c N_t / N_c``, in customers instead of treated customers;
    :func:`qini_measure_table` has the others. Customers with equal scores are contacted in random order, so that they
    are one straight line; the order of the rows makes no difference.

    Examples
    --------
    >>> import pandas as pd
    >>> arms, bought = ["mail", "control"] * 4, [True, False, True, True, False, False, False, True]
    >>> trial = pd.DataFrame({"customer_id": range(8), "arm": arms, "converted": bought, "uplift": [2.0] * 4 + [1] * 4})
    >>> curve = qini_table(trial, score="uplift")
    >>> curve.loc[[0, 25, 50, 100], ["contact_share", "contact_count", "incremental_outcome", "random_outcome"]]
         contact_share  contact_count  incremental_outcome  random_outcome
    0             0.00              0                  0.0             0.0
    25            0.25              2                  1.0             0.0
    50            0.50              4                  2.0             0.0
    100           1.00              8                  0.0             0.0
    """
    caller = "qini_table"
    replicates = check_count(replicates, name="replicates", caller=caller, least=100)
    seed = check_count(random_state, name="random_state", caller=caller, least=0)
    names = read_score_names(score, caller=caller)
    experiment = read_experiment(table, key=key, arm=arm, control=control, needs=[*names, outcome], caller=caller)
    trials = read_trials(experiment, outcome=outcome, scores=names, propensity=propensity, caller=caller)
    columns = {
        name: curve_columns(judge(trial, replicates=replicates, seed=seed), len(trial.outcome))
        for name, trial in trials.items()
    }
    return table_with_lists(experiment.engine, stacked(columns))


def uplift_table(
    table: Any,
    *,
    score: str | Sequence[str],
    outcome: str = "converted",
    n_bins: int = BINS,
    key: Sequence[str] = (CUSTOMER,),
    arm: str = "arm",
    control: Any = CONTROL,
    propensity: str | None = None,
) -> Any:
    """Cut a ranking into tenths and compare treated with control in each.

    Parameters
    ----------
    table, score, outcome, key, arm, control, propensity
        As in :func:`qini_table`.
    n_bins : int, default 10
        Slices of equal size. Customers with equal scores that an edge divides are shared out in proportion.

    Returns
    -------
    dataframe of the kind that came in, one row per arm, score and slice, the highest scores first
        ``arm``, ``score`` (String); ``bin`` (Int64, from 1); ``treated_count``, ``control_count`` (Float64, a fraction
        where ties were shared out); ``treated_mean``, ``control_mean`` (Float64, mean outcome; a share of flags);
        ``uplift`` (Float64, their difference) with ``uplift_low`` and ``uplift_high`` (95%: Newcombe's interval of
        flags, Welch's of amounts; null where a slice has nobody of an arm); ``predicted_uplift`` (Float64, mean score:
        of a calibrated model it lies within most of these intervals).

    Raises
    ------
    SchemaError
        When columns are missing or hold missing values, there is no control group, or more slices than customers.

    Examples
    --------
    >>> import pandas as pd
    >>> arms, bought = ["mail", "control"] * 4, [True, False, True, True, False, False, False, True]
    >>> trial = pd.DataFrame({"customer_id": range(8), "arm": arms, "converted": bought, "uplift": [2.0] * 4 + [1] * 4})
    >>> uplift_table(trial, score="uplift", n_bins=2)[["bin", "treated_mean", "control_mean", "uplift"]]
       bin  treated_mean  control_mean  uplift
    0    1           1.0           0.5     0.5
    1    2           0.0           0.5    -0.5
    """
    caller = "uplift_table"
    n_bins = check_count(n_bins, name="n_bins", caller=caller)
    names = read_score_names(score, caller=caller)
    experiment = read_experiment(table, key=key, arm=arm, control=control, needs=[*names, outcome], caller=caller)
    trials = read_trials(experiment, outcome=outcome, scores=names, propensity=propensity, caller=caller)
    fewest = min(len(trial.outcome) for trial in trials.values())
    if fewest < n_bins:
        raise SchemaError(f"{caller}: expected at least one customer per slice, got {fewest:,} for n_bins={n_bins}.")
    return table_with_lists(
        experiment.engine, stacked({name: decile_columns(trial, n_bins) for name, trial in trials.items()})
    )
