"""What the segments hold, where on the grid customers sit, and who moved from segment to segment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import check_same_kind
from crmlytics.rfm._entering import MEASURES, check_same_id, enter_scores
from crmlytics.rfm._segments import ACTIONS, chosen_text, segment_position

if TYPE_CHECKING:
    from collections.abc import Mapping

NEW, GONE, NO_SEGMENT = "(new)", "(gone)", "(no segment)"


def segment_table(scores: Any, *, actions: Mapping[str, str] | None = None) -> Any:
    """Describe each segment: how many customers, how much of the revenue, how they buy, what to do.

    Parameters
    ----------
    scores : dataframe, one row per customer
        Needs ``customer_id``, ``recency_days``, ``order_count``, ``total_amount`` and ``segment``, as
        :meth:`RFMSegmenter.score_table` makes them.
    actions : mapping of segment to str, optional
        What to do for segments of your own, or instead of the suggestion for one of the eleven.

    Returns
    -------
    dataframe of the kind that came in, one row per segment that has customers
        ``segment`` (String); ``customer_count`` (Int64); ``customer_share`` (Float64, of all customers);
        ``total_amount`` (Float64, in the currency of the amounts); ``total_amount_share`` (Float64, of all; null where
        the amounts add up to zero); ``mean_recency_days``, ``mean_order_count``, ``mean_total_amount`` (Float64, per
        customer); ``suggested_action`` (String, null for own segments without one). Sorted from the best of the eleven
        segments to the worst (the order of the map in :class:`RFMSegmenter`), own segments after them by name.

    Examples
    --------
    >>> import pandas as pd
    >>> scores = pd.DataFrame({
    ...     "customer_id": [1, 2, 3], "recency_days": [5, 7, 90], "order_count": [9, 7, 1],
    ...     "total_amount": [50.0, 30.0, 20.0], "segment": ["Champions", "Champions", "Lost"],
    ... })
    >>> segment_table(scores)[["segment", "customer_count", "total_amount_share", "mean_recency_days"]]
         segment  customer_count  total_amount_share  mean_recency_days
    0  Champions               2                 0.8                6.0
    1       Lost               1                 0.2               90.0
    """
    plan, engine = enter_scores(scores, numbers=MEASURES, words=["segment"], caller="segment_table")
    sums = [f"sum_{name}" for name in MEASURES]
    per_segment = (
        plan.group_by("segment")
        .agg(customer_count=nw.len(), **{f"sum_{name}": nw.col(name).sum() for name in MEASURES})
        .with_columns(nw.col("customer_count").cast(nw.Int64), nw.col(sums).cast(nw.Float64))
    )
    count, amount = nw.col("customer_count"), nw.col("sum_total_amount")
    described = per_segment.with_columns(
        customer_share=count / count.sum(),
        total_amount=amount,
        total_amount_share=nw.when(amount.sum() != 0).then(amount / amount.sum()),
        suggested_action=chosen_text("segment", {**ACTIONS, **(actions or {})}),
        position=segment_position("segment"),
        **{f"mean_{name}": nw.col(f"sum_{name}") / count for name in MEASURES},
    )
    columns = ["segment", "customer_count", "customer_share", "total_amount", "total_amount_share"]
    columns += [*[f"mean_{name}" for name in MEASURES], "suggested_action"]
    return engine.to_native(described.sort("position", "segment").select(columns))


def grid_table(scores: Any) -> Any:
    """Count the customers in each cell of recency score by frequency score, and average what they spend.

    Parameters
    ----------
    scores : dataframe, one row per customer
        Needs ``customer_id``, ``r_score``, ``f_score`` and ``total_amount``.

    Returns
    -------
    dataframe of the kind that came in, one row per cell that has customers, sorted by ``r_score`` and ``f_score``
        ``r_score``, ``f_score``, ``customer_count`` (Int64), ``mean_total_amount`` (Float64, per customer).

    Examples
    --------
    >>> import pandas as pd
    >>> scores = pd.DataFrame({
    ...     "customer_id": [1, 2, 3], "r_score": [1, 2, 2], "f_score": [1, 2, 2], "total_amount": [20.0, 50.0, 30.0],
    ... })
    >>> grid_table(scores)
       r_score  f_score  customer_count  mean_total_amount
    0        1        1               1               20.0
    1        2        2               2               40.0
    """
    plan, engine = enter_scores(scores, numbers=["r_score", "f_score", "total_amount"], caller="grid_table")
    cells = (
        plan.group_by("r_score", "f_score")
        .agg(customer_count=nw.len(), mean_total_amount=nw.col("total_amount").mean())
        .with_columns(nw.col("r_score", "f_score", "customer_count").cast(nw.Int64))
        .with_columns(nw.col("mean_total_amount").cast(nw.Float64))
        .sort("r_score", "f_score")
    )
    return engine.to_native(cells)


def migration_table(before: Any, after: Any) -> Any:
    """Count who moved from which segment to which between two score tables; nobody is left out.

    Score both dates with one fitted :class:`RFMSegmenter`, so that the names mean the same.

    Parameters
    ----------
    before, after : dataframe, one row per customer, both of the same kind
        Need ``customer_id`` and ``segment``.

    Returns
    -------
    dataframe of the kind that came in, one row per pair of segments that someone has
        ``from_segment`` (String, "(new)" for customers who are only in ``after``); ``to_segment`` (String, "(gone)" for
        customers who are only in ``before``); ``customer_count`` (Int64); ``from_share`` (Float64, of the customers of
        ``from_segment``). Sorted by both in the order of :func:`segment_table`, "(new)" and "(gone)" last. A customer
        who is in a table without a segment, for want of a measure, has "(no segment)".

    Examples
    --------
    >>> import pandas as pd
    >>> before = pd.DataFrame({"customer_id": [1, 2, 3], "segment": ["Champions", "Champions", "Lost"]})
    >>> after = pd.DataFrame({"customer_id": [1, 2, 4], "segment": ["Champions", "At risk", "New customers"]})
    >>> migration_table(before, after)
      from_segment     to_segment  customer_count  from_share
    0    Champions      Champions               1         0.5
    1    Champions        At risk               1         0.5
    2         Lost         (gone)               1         1.0
    3        (new)  New customers               1         1.0
    """
    caller = "migration_table"
    (old, engine), (new, other) = (enter_scores(table, words=["segment"], caller=caller) for table in (before, after))
    names = ("before", "after")
    check_same_kind(dict(zip(names, (engine, other), strict=True)), caller=caller)
    check_same_id(old, new, names=names, caller=caller)
    segment = nw.col("segment").fill_null(NO_SEGMENT)  # before the join, which makes nulls of its own
    moves = (
        old.select("customer_id", from_segment=segment)
        .join(
            new.select(id_after=nw.col("customer_id"), to_segment=segment),
            left_on="customer_id",
            right_on="id_after",
            how="full",
        )
        .with_columns(nw.col("from_segment").fill_null(NEW), nw.col("to_segment").fill_null(GONE))
        .group_by("from_segment", "to_segment")
        .agg(customer_count=nw.len())
        .with_columns(nw.col("customer_count").cast(nw.Int64))
        .with_columns(
            from_share=nw.col("customer_count") / nw.col("customer_count").sum().over("from_segment"),
            from_position=segment_position("from_segment", last=[NEW]),
            to_position=segment_position("to_segment", last=[GONE]),
        )
        .sort("from_position", "from_segment", "to_position", "to_segment")
        .select("from_segment", "to_segment", "customer_count", "from_share")
    )
    return engine.to_native(moves)
