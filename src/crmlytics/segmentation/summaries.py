"""What the segments look like: sizes, means and sizes of differences, and no p-values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import table_with_lists
from crmlytics.exceptions import SchemaError
from crmlytics.scoring._reading import feature_names
from crmlytics.segmentation._differences import standardised_differences
from crmlytics.segmentation._encoding import learn_encoding
from crmlytics.segmentation._reading import (
    KEY,
    SEGMENT,
    check_same_ids,
    read_customers,
    read_keyed,
    say_left_out,
    segment_labels,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics.segmentation._encoding import Encoding

    Vector = NDArray[np.float64]


def segment_summary_table(X: Any, segments: Any, *, features: Sequence[str] | None = None, key: str = KEY) -> Any:
    """Describe each segment: how large it is, what is usual in it, and by how much that differs from everybody.

    Parameters
    ----------
    X : dataframe, one row per customer
        What the segments were made from, or anything else that is known of the customers.
    segments : dataframe, one row per customer
        Needs ``key`` and ``segment``, as :meth:`CustomerSegmenter.score_table` makes them; segments of any origin will
        do. Customers who are in one of the tables only are left out, with a warning.
    features : sequence of str, optional
        The columns to describe. Default: all but the key and ``segment``; ids, dates, constants and names are left out.
    key : str, default "customer_id"

    Returns
    -------
    dataframe of the kind of ``X``, one row per segment, feature and level
        ``segment`` (String); ``customer_count`` (Int64); ``customer_share`` (Float64, of all); ``feature`` (String);
        ``level`` (String, null for numbers); ``mean``, ``median`` (Float64, of the known numbers; null for levels);
        ``level_share`` (Float64, of the segment; null for numbers); ``overall_mean``, ``overall_share`` (Float64, the
        same of everybody); ``standardised_difference`` (Float64, positive where the segment has more). The largest
        segment first, then by the size of the difference.

    Raises
    ------
    SchemaError
        When no customer is in both tables, or ids are numbers in one and text in the other.
    MissingColumnsError
        For a column that a table lacks.

    Warns
    -----
    DataQualityWarning
        When customers are in one of the tables only.

    Notes
    -----
    ``standardised_difference`` is the mean of the segment less that of everybody, over everybody's standard deviation,
    on the scale that :class:`CustomerSegmenter` reads numbers on (logarithms of heavy tails, extremes cut); for a level
    it is ``(p_segment - p) / sqrt(p (1 - p))``. By rule of thumb 0.2 is small, 0.5 medium, 0.8 large (Cohen 1988).

    There are no p-values: segments were made to differ in these columns, and a test would call cuts through pure noise
    significant (Gao, Bien & Witten 2022). What had no part in them may be tested: ``crm.profiling``.

    Examples
    --------
    >>> import pandas as pd
    >>> customers = pd.DataFrame({"customer_id": [1, 2, 3, 4], "order_count": [1, 3, 10, 12]})
    >>> segments = pd.DataFrame({"customer_id": [1, 2, 3, 4], "segment": ["few", "few", "many", "many"]})
    >>> table = segment_summary_table(customers, segments)
    >>> table[["segment", "feature", "mean", "overall_mean", "standardised_difference"]].round(2)
      segment      feature  mean  overall_mean  standardised_difference
    0     few  order_count   2.0           6.5                    -0.98
    1    many  order_count  11.0           6.5                     0.98
    """
    caller = "segment_summary_table"
    rows = read_customers(X, key=key, caller=caller)
    placed = read_keyed(segments, key=key, columns=[SEGMENT], what="segments", caller=caller)
    check_same_ids(rows, placed, names=("X", "segments"), caller=caller)
    names = feature_names(rows, features, (SEGMENT,), caller=caller)
    labels = segment_labels(placed.table[SEGMENT], what="segments", caller=caller)
    found = dict(zip(placed.table[key], labels, strict=True))
    known = rows.table[key].isin(list(found))
    table = rows.table[known].reset_index(drop=True)
    if not len(table):
        msg = f"{caller}: no customer of X is in segments. Check key={key!r} in both tables."
        raise SchemaError(msg)
    say_left_out(rows, placed, names=("X", "segments"), caller=caller)
    groups = _Groups.of(np.array([found[one] for one in table[key]], dtype=object))
    encoding = learn_encoding(table, names, caller=caller)
    return table_with_lists(rows.engine, _columns(table, encoding, groups, caller))


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """Who is in which segment: names (largest first), the number of each row's segment, and sizes."""

    names: list[str]
    labels: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @classmethod
    def of(cls, words: NDArray[Any]) -> _Groups:
        names, codes, sizes = np.unique(words, return_inverse=True, return_counts=True)
        order = np.lexsort((np.arange(len(names)), -sizes))
        return cls([str(name) for name in names[order]], np.argsort(order)[codes], sizes[order])


def _columns(table: Any, encoding: Encoding, groups: _Groups, caller: str) -> dict[str, NDArray[Any]]:
    """Return the columns of the table: a row for each segment and column of the encoding, sorted."""
    parts, count = encoding.parts(), len(groups.names)
    matrix = encoding.matrix(table, caller=caller)
    difference = standardised_differences(matrix, groups.labels, count)
    order = np.argsort(-np.abs(difference), axis=1, kind="stable")
    group, part = np.repeat(np.arange(count), len(parts)), order.ravel()
    found = _figures(table, encoding, matrix, groups, caller)
    levels = np.array([level for _, level in parts], dtype=object)
    return {
        SEGMENT: np.array(groups.names, dtype=object)[group],
        "customer_count": groups.sizes[group],
        "customer_share": (groups.sizes / len(table))[group],
        "feature": np.array([name for name, _ in parts], dtype=object)[part],
        "level": levels[part],
        **{name: values[group, part] for name, values in found.items()},
        "standardised_difference": difference[group, part],
    }


def _figures(table: Any, encoding: Encoding, matrix: Vector, groups: _Groups, caller: str) -> dict[str, Vector]:
    """Return the figures of each segment (rows) and column of the encoding (columns)."""
    names = ("mean", "median", "level_share", "overall_mean", "overall_share")
    found = {name: np.full((len(groups.names), matrix.shape[1]), np.nan) for name in names}
    design = encoding.encoder.design(table, caller=caller)
    masks = [groups.labels == group for group in range(len(groups.names))]
    for start, column, values in zip(encoding.starts, encoding.columns, design.matrix.T, strict=True):
        if design.features[encoding.starts.index(start)].levels is None:
            found["overall_mean"][:, start] = np.nanmean(values)
            for group, mask in enumerate(masks):
                known = values[mask & ~np.isnan(values)]
                if len(known):
                    found["mean"][group, start], found["median"][group, start] = known.mean(), np.median(known)
            continue
        indicators = matrix[:, start : start + column.width] > 0
        found["overall_share"][:, start : start + column.width] = indicators.mean(axis=0)
        for group, mask in enumerate(masks):
            found["level_share"][group, start : start + column.width] = indicators[mask].mean(axis=0)
    return found
