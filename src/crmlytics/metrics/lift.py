"""How much better than chance is the top of the list? Lift and gains, with intervals by customer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._kernels.draws import bounds
from crmlytics._lists import table_with_lists
from crmlytics._validation import check_count
from crmlytics.metrics._columns import Judged, Resampling, read_resampling, read_scores
from crmlytics.metrics.classification import BINS, check_bins

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]


def lift_table(
    y: Any,
    score: Any,
    *,
    n_bins: int = BINS,
    customer_id: Any = None,
    replicates: int = 1000,
    interval: float = 0.95,
    random_state: int = 0,
) -> Any:
    """Cut the list into bins from the highest score down, and count how many positives each holds.

    Parameters
    ----------
    y : column of true and false, or 1 and 0
        What came true.
    score : column of numbers
        Probabilities or any other score; higher is likelier.
    n_bins : int, default 10
        Bins of equal size, to a row (deciles). Rows with one score that two bins divide are shared out in proportion,
        as if they were shuffled: the table does not depend on the order of the rows.
    customer_id, replicates, interval, random_state
        As in :func:`classification_table`.

    Returns
    -------
    dataframe of the kind of the columns, one row per bin, the highest scores first
        ``bin`` (Int64, from 1), ``row_count`` (Int64), ``positive_count`` (Float64, a fraction where ties were shared
        out), ``mean_score``, ``positive_share`` (of the rows of the bin), ``lift`` (that share over the share in all
        rows), ``cumulative_row_share``, ``cumulative_positive_share`` (of all positives, those in this bin and above),
        ``cumulative_lift``; and for ``positive_share``, ``lift``, ``cumulative_positive_share`` and
        ``cumulative_lift`` the bounds ``<name>_low`` and ``<name>_high`` (all Float64).

    Raises
    ------
    SchemaError
        When lengths differ, values are missing, there is one outcome only, or there are fewer rows than bins.

    Examples
    --------
    >>> from crmlytics.metrics import lift_table
    >>> y = [1, 1, 1, 0, 1, 0, 0, 0, 0, 0]
    >>> s = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0]
    >>> table = lift_table(y, s, n_bins=2)
    >>> print(table[["bin", "row_count", "positive_share", "lift", "cumulative_positive_share"]].to_string())
       bin  row_count  positive_share  lift  cumulative_positive_share
    0    1          5             0.8   2.0                        1.0
    1    2          5             0.0   0.0                        1.0
    """
    caller = "lift_table"
    judged = read_scores(y, score, caller=caller)
    bins = check_bins(n_bins, rows=len(judged.y), caller=caller)
    resampling = read_resampling(
        customer_id,
        judged,
        replicates=replicates,
        interval=interval,
        random_state=random_state,
        caller=caller,
    )
    counted = _counted(judged, resampling, bins)
    total, positive, score_sum = counted.value
    columns = {
        "bin": np.arange(1, bins + 1),
        "row_count": total.astype(np.int64),
        "positive_count": positive,
        "mean_score": score_sum / total,
        **counted.with_bounds("positive_share", _shares),
        **counted.with_bounds("lift", _lifts),
        "cumulative_row_share": np.cumsum(total) / total.sum(),
        **counted.with_bounds("cumulative_positive_share", _captured),
        **counted.with_bounds("cumulative_lift", _cumulative_lifts),
    }
    return table_with_lists(judged.engine, columns)


def gains_table(
    y: Any,
    score: Any,
    *,
    n_points: int = 100,
    customer_id: Any = None,
    replicates: int = 1000,
    interval: float = 0.95,
    random_state: int = 0,
) -> Any:
    """Follow the list from the highest score down: what share of all positives has been found by then.

    Parameters
    ----------
    y, score, customer_id, replicates, interval, random_state
        As in :func:`lift_table`.
    n_points : int, default 100
        Steps of equal size, to a row; fewer where there are fewer rows.

    Returns
    -------
    dataframe of the kind of the columns, one row per point, from nobody to everybody
        ``row_share`` (of the list), ``positive_share`` (of all positives, those found), ``positive_share_low``,
        ``positive_share_high``, ``perfect_share`` (found by a list that has all positives first; chance finds
        ``row_share``; all Float64).

    Raises
    ------
    SchemaError
        When lengths differ, values are missing, or there is one outcome only.

    Examples
    --------
    >>> from crmlytics.metrics import gains_table
    >>> table = gains_table([1, 1, 0, 1, 0], [0.9, 0.8, 0.7, 0.6, 0.5])
    >>> print(table[["row_share", "positive_share", "perfect_share"]].round(3).to_string())
       row_share  positive_share  perfect_share
    0        0.0           0.000          0.000
    1        0.2           0.333          0.333
    2        0.4           0.667          0.667
    3        0.6           0.667          1.000
    4        0.8           1.000          1.000
    5        1.0           1.000          1.000
    """
    caller = "gains_table"
    judged = read_scores(y, score, caller=caller)
    points = min(check_count(n_points, name="n_points", caller=caller, least=2), len(judged.y))
    resampling = read_resampling(
        customer_id,
        judged,
        replicates=replicates,
        interval=interval,
        random_state=random_state,
        caller=caller,
    )
    counted = _counted(judged, resampling, points)
    total, positive, _ = counted.value
    shares = np.cumsum(total) / total.sum()
    columns = {
        "row_share": shares,
        **counted.with_bounds("positive_share", _captured),
        "perfect_share": np.minimum(np.cumsum(total) / positive.sum(), 1.0),
    }
    return table_with_lists(judged.engine, {name: np.append(0.0, values) for name, values in columns.items()})


@dataclass(frozen=True, slots=True)
class _Counted:
    """Rows, positives and summed scores by bin, shape (3, bins), and the same of replicates (replicates, 3, bins)."""

    value: Vector
    samples: Vector
    interval: float

    def with_bounds(self, name: str, measure: Any) -> dict[str, Vector]:
        """Return a measure of rows and positives by bin, and its bounds, as columns."""
        with np.errstate(invalid="ignore", divide="ignore"):  # a replicate may have no positive, a bin no row
            low, high = bounds(measure(self.samples[:, 0], self.samples[:, 1]), self.interval)
        return {name: measure(*self.value[:2]), f"{name}_low": low, f"{name}_high": high}


def _counted(judged: Judged, resampling: Resampling, bins: int) -> _Counted:
    from crmlytics._kernels.cluster_bootstrap import binned_statistic, bootstrap

    draws = resampling.draws
    statistic = binned_statistic(judged.y, judged.score, draws.bundle, bins)
    samples = bootstrap(statistic, draws, label="intervals")
    return _Counted(statistic(np.ones(draws.bundles)), samples, resampling.interval)


def _shares(total: Vector, positive: Vector) -> Vector:
    return positive / total


def _lifts(total: Vector, positive: Vector) -> Vector:
    return np.asarray(_shares(total, positive) / (positive.sum(-1, keepdims=True) / total.sum(-1, keepdims=True)))


def _captured(total: Vector, positive: Vector) -> Vector:  # noqa: ARG001  one signature for all measures
    return np.asarray(positive.cumsum(-1) / positive.sum(-1, keepdims=True))


def _cumulative_lifts(total: Vector, positive: Vector) -> Vector:
    return np.asarray(_captured(total, positive) / (total.cumsum(-1) / total.sum(-1, keepdims=True)))
