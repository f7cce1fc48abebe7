"""How many segments there are, if any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmlytics._lists import table_with_lists
from crmlytics._validation import check_count
from crmlytics.exceptions import SchemaError
from crmlytics.scoring._reading import feature_names
from crmlytics.segmentation._counting import Plan, count_columns
from crmlytics.segmentation._encoding import learn_encoding
from crmlytics.segmentation._reading import KEY, check_enough, check_method, read_customers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def segment_count_table(
    X: Any,
    *,
    counts: Iterable[int] = range(2, 11),
    method: str = "auto",
    features: Sequence[str] | None = None,
    key: str = KEY,
    sample_rows: int = 1_000,
    replicates: int = 20,
    references: int = 10,
    random_state: int = 0,
) -> Any:
    """Lay side by side what speaks for each number of segments, and say when the data are one cloud without any.

    Parameters
    ----------
    X : dataframe, one row per customer
    counts : iterable of int, default 2 to 10
        The numbers of segments to try.
    method, features, key, random_state
        As in :class:`CustomerSegmenter`.
    sample_rows : int, default 1,000
        Customers drawn at random to be looked at. More of them cost time and find smaller segments.
    replicates : int, default 20
        Bootstrap samples in which segments are looked for again.
    references : int, default 10
        Tables without segments that the data are held against.

    Returns
    -------
    dataframe of the kind that came in, one row per number of segments, 1 first
        ``segment_count`` (Int64); ``lowest_jaccard`` (Float64, 0 to 1: how alike the least stable segment is to the one
        found again in a bootstrap sample, on average), ``lowest_jaccard_low``, ``lowest_jaccard_high`` (the middle 95 %
        of samples); ``adjusted_rand`` (Float64, agreement of the whole partition: 1 complete, 0 chance) with ``_low``
        and ``_high`` likewise; ``silhouette`` (Float64, -1 to 1: how much closer customers are to their own segment
        than to the next) with ``_low`` and ``_high`` (95 % interval of the mean); ``highest_valley`` (Float64, 0 to 1:
        of neighbouring segments that are least apart, the density between over that of the lower peak; 0 is an empty
        valley, 1 none); ``smallest_share`` (Float64, of the customers); ``gap`` (Float64, how much tighter, in
        logarithms, than tables without segments) and ``gap_error`` (Float64, its simulation error); ``suggested``
        (Boolean, true once); ``verdict`` (String). Stability, silhouette and valley are null for one segment.

    Raises
    ------
    SchemaError
        For numbers below 2 or too few different customers.

    Notes
    -----
    *Suggested.* The largest number whose segments are stable, tighter than one cloud and apart; one segment where there
    is none. Stable is a ``lowest_jaccard`` of 0.75 or more: below 0.6 a segment is not found again (Hennig 2007).
    Tighter than one cloud is ``gap(k) - 2 gap_error(k) > gap(1)``; Tibshirani et al. (2001), who compare k with k + 1
    only and by one error, miss four groups that no single cut parts. Apart is a ``highest_valley`` below 0.55: each
    segment and its three nearest are looked at along the line of their centres, both weighing the same, by a kernel
    density of bandwidth ``0.54 n^(-1/5)`` standard deviations.

    *"neighbours, no islands"* is suggested where the silhouette is below 0.25: segments stand apart along a line, and
    not by far; noise in other features does that too.

    *"stable, no tighter than one cloud"*: cuts through a long cloud are found again, too; but so are groups that only a
    few columns part, while the others, all of the same weight, blur them. Ask again with fewer ``features``.

    *Gap.* Reference tables have numbers spread evenly in the box along their principal axes; words, and numbers of at
    most ten different values, are dealt out anew, each column for itself.

    *What is still cut.* Flags and ordered words that hang together, shares that are mostly 0 or 1, and rings have empty
    places between their corners and are cut into groups that are no islands: look at the profile before believing them.

    References
    ----------
    Hennig, C. (2007), Cluster-wise assessment of cluster stability, Computational Statistics & Data Analysis 52.
    Tibshirani, R., Walther, G. and Hastie, T. (2001), Estimating the number of clusters in a data set via the gap
    statistic, Journal of the Royal Statistical Society B 63.
    Hubert, L. and Arabie, P. (1985), Comparing partitions, Journal of Classification 2.
    Rousseeuw, P. (1987), Silhouettes, Journal of Computational and Applied Mathematics 20.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> customers = pd.DataFrame({
    ...     "customer_id": range(120), "visits": rng.normal([10, 10, 30], 2, (40, 3)).T.ravel(),
    ...     "basket": rng.normal([20, 50, 50], 4, (40, 3)).T.ravel(),
    ... })
    >>> table = segment_count_table(customers, counts=[2, 3, 4])
    >>> table[["segment_count", "lowest_jaccard", "suggested", "verdict"]].round(1)
       segment_count  lowest_jaccard  suggested                            verdict
    0              1             NaN      False                more than one cloud
    1              2             0.8      False  stable, no tighter than one cloud
    2              3             1.0       True          the most that stand apart
    3              4             0.7      False                    not found again
    """
    caller = "segment_count_table"
    from crmlytics._kernels.clusters import METHODS

    wanted = _check_counts(counts, caller=caller)
    for name, value in (("sample_rows", sample_rows), ("replicates", replicates), ("references", references)):
        check_count(value, name=name, caller=caller, least=2)
    rows = read_customers(X, key=key, caller=caller)
    encoding = learn_encoding(rows.table, feature_names(rows, features, (), caller=caller), caller=caller)
    matrix = encoding.matrix(rows.table, caller=caller)
    chosen = check_method(method, METHODS, len(encoding.blocks), len(encoding.names), caller=caller)
    check_enough(matrix, wanted[-1], what=f"counts up to {wanted[-1]}", caller=caller)
    plan = Plan(wanted, chosen, encoding.blocks, sample_rows, replicates, references, random_state)
    return table_with_lists(rows.engine, count_columns(matrix, plan))


def _check_counts(counts: Any, *, caller: str) -> list[int]:
    try:
        wanted = sorted({check_count(count, name="counts", caller=caller, least=2) for count in counts})
    except TypeError:
        wanted = []
    if not wanted:
        msg = f"{caller}: counts must be whole numbers of at least 2 such as counts=range(2, 11), got {counts!r}."
        raise SchemaError(msg)
    return wanted
