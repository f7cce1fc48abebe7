"""Is the order right, and are the probabilities? The measures of a classifier, with intervals by customer."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np

from crmlytics._kernels.draws import bounds
from crmlytics._lists import table_with_lists
from crmlytics._validation import check_count, check_fraction
from crmlytics.exceptions import SchemaError
from crmlytics.metrics._columns import Judged, Resampling, read_probabilities, read_resampling, read_scores

BINS = 10


def classification_table(
    y: Any,
    probability: Any,
    *,
    customer_id: Any = None,
    replicates: int = 1000,
    interval: float = 0.95,
    random_state: int = 0,
) -> Any:
    """Measure how well probabilities order the rows, how close they are to the truth, and how sure that is.

    Parameters
    ----------
    y : column of true and false, or 1 and 0
        What came true. A list, an array or a column of a dataframe.
    probability : column of numbers from 0 to 1
        What was expected of the same rows, before it was known.
    customer_id : column, optional
        Whose row it is. Give it where customers have several rows (several cutoffs): they are drawn with all their
        rows, since rows of one customer are alike and intervals that forget it are too narrow.
    replicates : int, default 1000
        Bootstrap samples, at least 100.
    interval : float, default 0.95
        The share of samples within the bounds.
    random_state : int, default 0

    Returns
    -------
    dataframe of the kind of the columns (pandas for lists and arrays), one row per measure
        ``metric`` (String), ``value``, ``low``, ``high`` (Float64). The metrics, in this order:
        ``auc`` (a positive has a higher probability than a negative; ties count half);
        ``average_precision`` (compare it with ``observed_share``, which chance reaches);
        ``log_loss`` and ``brier_score`` (lower is better; they judge order and calibration together);
        ``calibration_error`` (ECE: mean gap between probability and outcome in 10 bins of equal size);
        ``calibration_intercept`` and ``calibration_slope`` (of the outcome on the log odds; 0 and 1 are right, a slope
        below 1 means too extreme; missing where outcomes are separated without error or all probabilities are equal);
        ``mean_predicted_probability``, ``observed_share`` and their difference ``calibration_in_the_large``.

    Raises
    ------
    SchemaError
        When lengths differ, values are missing, probabilities lie outside 0 to 1, or there is one outcome only.

    Notes
    -----
    Intervals are percentiles of the bootstrap over customers; more than 5,000 are dealt into 5,000 bundles, which are
    drawn instead. The calibration error cannot be negative, so that noise alone raises it, and resampling adds noise:
    its bounds are moved down by the amount the samples exceed the value on average. Even calibrated probabilities show
    an error of about ``0.8 sqrt(10 b / n)``, b being the Brier score.

    Intervals say how sure the measure is for customers like these in this period. They know nothing of other periods:
    for that, compare cutoffs.

    References
    ----------
    E. W. Steyerberg et al. (2010), "Assessing the performance of prediction models", Epidemiology 21(1).

    Examples
    --------
    >>> from crmlytics.metrics import classification_table
    >>> y = [0, 0, 1, 0, 1, 0, 1, 1, 0, 1]
    >>> p = [0.1, 0.2, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    >>> classification_table(y, p).round(3).head(4)
                  metric  value    low   high
    0                auc  0.700  0.312  1.000
    1  average_precision  0.728  0.325  1.000
    2           log_loss  0.649  0.354  1.001
    3        brier_score  0.229  0.101  0.379
    """
    caller = "classification_table"
    judged = read_probabilities(y, probability, caller=caller)
    resampling = read_resampling(
        customer_id,
        judged,
        replicates=replicates,
        interval=interval,
        random_state=random_state,
        caller=caller,
    )
    return table_with_lists(judged.engine, _measured(judged, resampling))


def calibration_table(y: Any, probability: Any, *, n_bins: int = BINS, interval: float = 0.95) -> Any:
    """Compare probability and outcome in bins of rows with similar probabilities.

    Parameters
    ----------
    y, probability
        As in :func:`classification_table`.
    n_bins : int, default 10
        Bins of equal size, to a row. Rows with one probability that two bins divide are shared out in proportion, as
        if they were shuffled: that is the only order they have.
    interval : float, default 0.95
        Confidence of the bounds.

    Returns
    -------
    dataframe of the kind of the columns, one row per bin, the lowest probabilities first
        ``bin`` (Int64, from 1), ``row_count`` (Int64), ``positive_count`` (Float64, a fraction where ties were shared
        out), ``mean_predicted_probability``, ``observed_share``, ``observed_share_low``, ``observed_share_high``
        (Float64, E. B. Wilson's interval; it takes rows for independent and is too narrow where customers have
        several).

    Raises
    ------
    SchemaError
        As :func:`classification_table`, and when there are fewer rows than bins.

    Notes
    -----
    The gaps ``|mean_predicted_probability - observed_share|``, weighted by ``row_count``, are the calibration error.

    Examples
    --------
    >>> from crmlytics.metrics import calibration_table
    >>> y = [0, 0, 1, 0, 1, 0, 1, 1, 0, 1]
    >>> p = [0.1, 0.2, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    >>> table = calibration_table(y, p, n_bins=2)
    >>> print(table.drop(columns=["bin", "positive_count"]).round(2).to_string())
       row_count  mean_predicted_probability  observed_share  observed_share_low  observed_share_high
    0          5                        0.24             0.4                0.12                 0.77
    1          5                        0.70             0.6                0.23                 0.88
    """
    from crmlytics._kernels.classification import bin_edges, share_out, ties_of
    from crmlytics._kernels.proportions import wilson

    caller = "calibration_table"
    judged = read_probabilities(y, probability, caller=caller)
    bins = check_bins(n_bins, rows=len(judged.y), caller=caller)
    interval = check_fraction(interval, name="interval", caller=caller)
    ties = ties_of(judged.y, judged.score)
    total, positive, p = ties.total[::-1], ties.positive[::-1], ties.score[::-1]
    edges = bin_edges(len(judged.y), bins)
    size, count = np.diff(edges), share_out(total, positive, edges)
    low, high = wilson(count, size, interval)
    columns = {
        "bin": np.arange(1, bins + 1),
        "row_count": size.astype(np.int64),
        "positive_count": count,
        "mean_predicted_probability": share_out(total, total * p, edges) / size,
        "observed_share": count / size,
        "observed_share_low": low,
        "observed_share_high": high,
    }
    return table_with_lists(judged.engine, columns)


def confusion_table(y: Any, probability: Any, *, threshold: float | list[float]) -> Any:
    """Count hits, misses and false alarms when everybody at or above a threshold is taken for a positive.

    Parameters
    ----------
    y : column of true and false, or 1 and 0
    probability : column of numbers
        Probabilities or any other score.
    threshold : float or list of them
        Rows at or above it are called positive. Which one pays is a question of money, not of these counts: see
        :func:`crmlytics.decisions.profit_threshold`. 0.5 is rarely it.

    Returns
    -------
    dataframe of the kind of the columns, one row per threshold, in the order given
        ``threshold`` (Float64), ``true_positive_count``, ``false_positive_count``, ``false_negative_count``,
        ``true_negative_count`` (Int64), ``selected_share`` (of all rows, called positive), ``precision`` (of those
        called positive, the share that was; missing if nobody was called), ``recall`` (of the positives, the share
        found), ``specificity`` (of the negatives, the share left alone), ``f1`` (harmonic mean of precision and
        recall; all Float64).

    Raises
    ------
    SchemaError
        When lengths differ, values are missing, or there is one outcome only.

    Examples
    --------
    >>> from crmlytics.metrics import confusion_table
    >>> table = confusion_table([0, 1, 0, 1, 1], [0.1, 0.4, 0.6, 0.8, 0.9], threshold=[0.5, 0.85])
    >>> print(table[["threshold", "true_positive_count", "precision", "recall"]].round(3).to_string())
       threshold  true_positive_count  precision  recall
    0       0.50                    2      0.667   0.667
    1       0.85                    1      1.000   0.333
    """
    caller = "confusion_table"
    judged = read_scores(y, probability, caller=caller, name="probability")
    cuts = np.array(_as_thresholds(threshold, caller=caller))
    scores, positives = np.sort(judged.score), np.sort(judged.score[judged.y])
    selected = len(scores) - np.searchsorted(scores, cuts)
    hits = len(positives) - np.searchsorted(positives, cuts)
    negatives = len(scores) - len(positives)
    columns = {
        "threshold": cuts,
        "true_positive_count": hits,
        "false_positive_count": selected - hits,
        "false_negative_count": len(positives) - hits,
        "true_negative_count": negatives - (selected - hits),
        "selected_share": selected / len(scores),
        "precision": np.divide(hits, selected, out=np.full(len(cuts), np.nan), where=selected > 0),
        "recall": hits / len(positives),
        "specificity": 1 - (selected - hits) / negatives,
        "f1": 2 * hits / (selected + len(positives)),
    }
    return table_with_lists(judged.engine, columns)


def check_bins(n_bins: Any, *, rows: int, caller: str) -> int:
    """Check a number of bins, of which each is to hold a row."""
    bins = check_count(n_bins, name="n_bins", caller=caller, least=2)
    if bins > rows:
        msg = f"{caller}: n_bins={bins} bins need as many rows, got {rows:,}. Type n_bins={max(2, rows // 5)} or fewer."
        raise SchemaError(msg)
    return bins


def _measured(judged: Judged, resampling: Resampling) -> dict[str, Any]:
    from crmlytics._kernels.classification import calibration_line
    from crmlytics._kernels.cluster_bootstrap import MEASURES, bootstrap, classification_statistic

    line, draws = calibration_line(judged.y, judged.score), resampling.draws
    statistic = classification_statistic(judged.y, judged.score, draws.bundle, line, BINS)
    value = statistic(np.ones(draws.bundles))
    value[[MEASURES.index("calibration_intercept"), MEASURES.index("calibration_slope")]] = line
    samples = bootstrap(statistic, draws, label="intervals")
    low, high = bounds(samples, resampling.interval)
    error = MEASURES.index("calibration_error")
    raised = samples[:, error].mean() - value[error]
    low[error], high[error] = max(low[error] - raised, 0.0), max(high[error] - raised, value[error])
    return {"metric": np.array(MEASURES, dtype=object), "value": value, "low": low, "high": high}


def _as_thresholds(threshold: Any, *, caller: str) -> list[float]:
    given = threshold if isinstance(threshold, (list, tuple, np.ndarray)) else [threshold]
    if not len(given) or not all(_is_threshold(cut) for cut in given):
        msg = f"{caller}: threshold must be a number such as threshold=0.3, or a list of them, got {threshold!r}."
        raise SchemaError(msg)
    return [float(cut) for cut in given]


def _is_threshold(cut: Any) -> bool:
    return isinstance(cut, numbers.Real) and not isinstance(cut, bool) and not math.isnan(float(cut))
