"""Segments over time: who moved, and whether the segments still fit the customers of today."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import check_same_kind, collect, columns_of, enter, id_column
from crmlytics._kernels.proportions import wilson
from crmlytics._lists import table_with_lists
from crmlytics._segments import label
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.segmentation._counting import Z
from crmlytics.segmentation._moves import CONFIDENCE, transition_columns
from crmlytics.segmentation._reading import KEY, SEGMENT, read_customers

if TYPE_CHECKING:
    from crmlytics._frames import Engine
    from crmlytics.segmentation.segmenter import CustomerSegmenter

NEW, GONE, NO_SEGMENT = "(new)", "(gone)", "(no segment)"
EVERYBODY = "(everybody)"


def segment_migration_table(before: Any, after: Any, *, key: str = KEY) -> Any:
    """Count who moved from which segment to which, as transition probabilities with intervals; nobody is left out.

    Score both dates with one fitted :class:`CustomerSegmenter`, so that segments mean the same: fitted anew, segments
    move and customers seem to.

    Parameters
    ----------
    before, after : dataframe, one row per customer, both of the same kind
        Need ``key`` and ``segment``. Joined and counted where they live.
    key : str, default "customer_id"

    Returns
    -------
    dataframe of the kind that came in, one row per pair of segments that someone has
        ``from_segment`` (String, "(new)" for who is only in ``after``); ``to_segment`` (String, "(gone)" for who is
        only in ``before``); ``customer_count`` (Int64); ``customer_share`` (Float64, of all in either table);
        ``transition_probability`` (Float64, of those in ``from_segment``), ``transition_probability_low``,
        ``transition_probability_high`` (Float64, 95 % interval of Wilson 1927). Sorted by both names, "(new)" and
        "(gone)" last. Who is in a table without a segment has "(no segment)".

    Raises
    ------
    SchemaError, MissingColumnsError
        For tables of different libraries, ids of different kinds, repeated customers, or a missing column.

    Examples
    --------
    >>> import pandas as pd
    >>> before = pd.DataFrame({"customer_id": [1, 2, 3], "segment": ["big", "big", "small"]})
    >>> after = pd.DataFrame({"customer_id": [1, 2, 4], "segment": ["big", "small", "small"]})
    >>> moves = segment_migration_table(before, after)
    >>> moves[["from_segment", "to_segment", "customer_count", "transition_probability"]]
      from_segment to_segment  customer_count  transition_probability
    0          big        big               1                     0.5
    1          big      small               1                     0.5
    2        small     (gone)               1                     1.0
    3        (new)      small               1                     1.0
    """
    caller = "segment_migration_table"
    old, engine = _enter(before, key, "before", caller=caller)
    new, other = _enter(after, key, "after", caller=caller)
    check_same_kind({"before": engine, "after": other}, caller=caller)
    kinds = [plan.collect_schema()["_id"] for plan in (old, new)]
    if kinds[0] != kinds[1]:
        msg = f"{caller}: {key} is {kinds[0]} in before and {kinds[1]} in after. Give both the same kind."
        raise SchemaError(msg)
    moves = (
        old.rename({"_segment": "from_segment"})
        .join(new.rename({"_id": "_other", "_segment": "to_segment"}), left_on="_id", right_on="_other", how="full")
        .with_columns(nw.col("from_segment").fill_null(NEW), nw.col("to_segment").fill_null(GONE))
        .group_by("from_segment", "to_segment")
        .agg(customer_count=nw.len())
    )
    found = collect(moves).to_pandas()
    found = found.assign(_new=found["from_segment"] == NEW, _gone=found["to_segment"] == GONE)
    found = found.sort_values(["_new", "from_segment", "_gone", "to_segment"])
    count = found["customer_count"].to_numpy(np.int64)
    from_total = found.assign(n=count).groupby("from_segment")["n"].transform("sum").to_numpy(np.int64)
    columns = {name: found[name].to_numpy(dtype=object) for name in ("from_segment", "to_segment")}
    columns |= {"customer_count": count, "customer_share": count / count.sum()}
    return table_with_lists(engine, columns | transition_columns(count, from_total))


def segment_drift_table(model: CustomerSegmenter, X: Any) -> Any:
    """Hold customers of today against those that segments were learnt from: sizes, and distances to the centres.

    Parameters
    ----------
    model : CustomerSegmenter
        Fitted.
    X : dataframe, one row per customer
        With the features of the model.

    Returns
    -------
    dataframe of the kind of ``X``, one row per segment in the order of their numbers, and one for "(everybody)"
        ``segment`` (String); ``fitted_count``, ``customer_count`` (Int64, at fit and now); ``fitted_share``,
        ``customer_share`` (Float64), ``customer_share_low``, ``customer_share_high`` (Float64, 95 % interval);
        ``psi`` (Float64, what the segment adds to the population stability index, and the whole index for everybody);
        ``fitted_mean_distance``, ``mean_distance`` (Float64, to the centre, in standard deviations of a feature; null
        for a segment that is empty now); ``distance_ratio`` (Float64, now over then), ``distance_ratio_low``,
        ``distance_ratio_high`` (Float64, 95 % interval); ``verdict`` (String: of sizes for everybody, as in
        :func:`crmlytics.metrics.stability_table`; of distances for a segment, "farther from the centre", "nearer" or
        "no more than chance").

    Notes
    -----
    Sizes tell that customers move between segments; distances that segments no longer describe them: when the ratio is
    well above 1, fit again. A segment may be of the same size and far from where it was.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.segmentation.segmenter import CustomerSegmenter
    >>> then = pd.DataFrame({"customer_id": range(60), "visits": [2, 3, 4, 20, 21, 22] * 10})
    >>> model = CustomerSegmenter(segments=2).fit(then)
    >>> now = then.assign(visits=[2, 3, 4, 3, 21, 22] * 10)
    >>> segment_drift_table(model, now)[["segment", "fitted_share", "customer_share", "psi"]].round(3)
           segment  fitted_share  customer_share    psi
    0   low visits           0.5           0.667  0.048
    1  high visits           0.5           0.333  0.068
    2  (everybody)           1.0           1.000  0.116
    """
    from sklearn.utils.validation import check_is_fitted

    caller = "segment_drift_table"
    check_is_fitted(model, "clusters_")
    rows = read_customers(X, key=model.key, caller=caller)
    matrix = model.encoding_.matrix(rows.table, caller=caller)
    labels = model.clusters_.labels(matrix)
    own = model.clusters_.distances(matrix)[np.arange(len(labels)), labels]
    columns = {SEGMENT: np.array([*model.segment_names_, EVERYBODY], dtype=object)}
    columns |= _size_columns(model, labels)
    columns |= _distance_columns(model, labels, own)
    columns["verdict"] = np.array([*_distance_words(columns), _size_words(model, labels)], dtype=object)
    return table_with_lists(rows.engine, columns)


# -- inside --------------------------------------------------------------------------------------------------------


def _enter(table: Any, key: str, what: str, *, caller: str) -> tuple[nw.LazyFrame[Any], Engine]:
    """Bring a table in as ``_id`` and ``_segment``, one row a customer."""
    plan, engine = enter(table, caller=caller)
    names = columns_of(plan)
    if key not in names or SEGMENT not in names:
        msg = f"{caller}: {what} needs the columns {[key, SEGMENT]}, got {names}. One row per customer."
        raise MissingColumnsError(msg)
    ids = id_column(key, plan.collect_schema()[key], caller=caller)
    segment = label(SEGMENT, plan.collect_schema()[SEGMENT]).fill_null(NO_SEGMENT)
    plan = plan.select(_id=ids, _segment=segment)
    without = nw.col("_id").is_null().cast(nw.Int64).sum()
    counted = collect(plan.select(rows=nw.len(), ids=nw.col("_id").n_unique(), without=without)).row(0)
    rows, different, unnamed = (int(value or 0) for value in counted)
    if unnamed or different < rows:
        msg = (
            f"{caller}: expected one row per {key} in {what}, and none without: {rows:,} rows, {different:,} customers."
        )
        raise SchemaError(msg)
    return plan, engine


def _size_columns(model: CustomerSegmenter, labels: Any) -> dict[str, Any]:
    """Return sizes then and now; half a customer more each where a segment is empty, or the index were infinite."""
    fitted, now = (
        model.sizes_.astype(np.float64),
        np.bincount(labels, minlength=model.segment_count_).astype(np.float64),
    )
    low, high = wilson(now, np.full(len(now), now.sum()), CONFIDENCE)
    more = 0.0 if (now > 0).all() else 0.5
    e, a = ((counts + more) / (counts + more).sum() for counts in (fitted, now))
    psi = (a - e) * np.log(a / e)
    return {
        "fitted_count": np.append(fitted, fitted.sum()).astype(np.int64),
        "customer_count": np.append(now, now.sum()).astype(np.int64),
        "fitted_share": np.append(fitted / fitted.sum(), 1.0),
        "customer_share": np.append(now / now.sum(), 1.0),
        "customer_share_low": np.append(low, 1.0),
        "customer_share_high": np.append(high, 1.0),
        "psi": np.append(psi, psi.sum()),
    }


def _distance_columns(model: CustomerSegmenter, labels: Any, own: Any) -> dict[str, Any]:
    """Return mean distances then and now; the interval of their ratio by the delta method."""
    parts = [own[labels == group] for group in range(model.segment_count_)]
    parts.append(own)
    sizes = model.sizes_
    share, means, errors = sizes / sizes.sum(), model.mean_distances_, model.distance_errors_
    then = np.append(means, (share * means).sum())
    variance = (share * (errors**2 * sizes + (means - then[-1]) ** 2)).sum()
    then_error = np.append(errors, np.sqrt(variance / sizes.sum()))
    now = np.array([part.mean() if len(part) else np.nan for part in parts])
    now_error = np.array([part.std() / np.sqrt(len(part)) if len(part) else np.nan for part in parts])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(then > 0, now / then, np.nan)
        reach = Z * np.sqrt(now_error**2 + (ratio * then_error) ** 2) / then
    return {
        "fitted_mean_distance": then, "mean_distance": now, "distance_ratio": ratio,
        "distance_ratio_low": np.maximum(ratio - reach, 0.0), "distance_ratio_high": ratio + reach,
    }  # fmt: skip


def _distance_words(columns: dict[str, Any]) -> list[str | None]:
    low, high = columns["distance_ratio_low"][:-1], columns["distance_ratio_high"][:-1]
    return [
        None
        if np.isnan(one)
        else "farther from the centre"
        if one > 1
        else "nearer"
        if other < 1
        else "no more than chance"
        for one, other in zip(low, high, strict=True)
    ]


def _size_words(model: CustomerSegmenter, labels: Any) -> str:
    """Return what the index of all segments means, chance taken into account."""
    import pandas as pd

    from crmlytics.metrics.stability import stability_table

    now = pd.DataFrame({SEGMENT: labels.astype(str)})
    then = pd.DataFrame({SEGMENT: np.repeat(np.arange(model.segment_count_), model.sizes_).astype(str)})
    return str(stability_table(then, now)["verdict"].iloc[0])
