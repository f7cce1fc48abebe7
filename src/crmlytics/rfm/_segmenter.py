"""Scores from 1 to n for recency, frequency and monetary value, and the segment they make."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Self

import narwhals.stable.v2 as nw
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from crmlytics._frames import collect
from crmlytics._validation import check_choice, check_count, warn
from crmlytics.exceptions import SchemaError
from crmlytics.rfm._entering import MEASURES, RFM_REPAIR, check_rows, enter_rfm
from crmlytics.rfm._segments import default_map, own_map, segment_expression
from crmlytics.rfm._thresholds import nested_cuts, quantile_cuts, score_array, score_expression

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crmlytics.rfm._thresholds import Scores, Vector

SCORES = ("r_score", "f_score", "m_score")
MOST_BINS = 9  # a score is one digit of rfm_score


class RFMSegmenter(BaseEstimator):  # type: ignore[misc]
    """Score customers from 1 to ``n_bins`` (best) on recency, frequency and monetary value, and name their segment.

    Parameters
    ----------
    n_bins : int, 2 to 9
        The number of scores.
    method : {"quantile", "nested", "cuts"}
        ``"quantile"``: the bins of each measure hold equal shares of all customers. ``"nested"``: recency as before,
        then order count in equal shares within each recency score, then amount within each pair of both (Hughes), so
        cells are of about equal size. ``"cuts"``: the thresholds that you give.
    cuts : mapping, for ``method="cuts"``
        For each of ``recency_days``, ``order_count`` and ``total_amount``: the n_bins - 1 thresholds, increasing; each
        is the largest value of its bin. With ``n_bins=3``, ``[30, 90]`` days score 3 up to 30, 2 up to 90, 1 above.
    segments : mapping, optional
        Your own segments: name to ranges of scores such as ``{"r": (4, 5), "f": 5}``, or to a list of such. ``"r"``,
        ``"f"`` and ``"m"`` are ranges (both ends included) or single scores, ``"fm"`` is the mean of the f and m
        scores, halves rounded up; what is left out may be anything. Every cell must fall in exactly one segment.
        By default the eleven segments of ``crmlytics.rfm`` (see Notes).

    Attributes
    ----------
    thresholds_ : dict of str to array of float64
        The thresholds of each measure, shape (n_bins - 1,); for ``"nested"`` (n_bins, n_bins - 1) for ``order_count``
        and (n_bins, n_bins, n_bins - 1) for ``total_amount``, by the earlier scores (score 1 first).
    empty_scores_ : dict of str to list of int
        For each of ``r_score``, ``f_score`` and ``m_score``: the scores that no fitted customer has.
    segment_map_ : tuple of (str, Box)
        The blocks of cells that make the segments.

    Raises
    ------
    SchemaError, MissingColumnsError
        From ``fit``: for parameters out of range, own segments with holes or overlaps, tables with missing or
        infinite values or repeated customers.

    Warns
    -----
    DataQualityWarning
        From ``fit`` by quantiles: so many customers share a value that some score goes to nobody.

    Notes
    -----
    *Ties.* A score is 1 plus the number of thresholds that a value exceeds (n_bins minus that number for recency, where
    less is better), so equal values always get the same score, and a value equal to a threshold stays in the lower bin.
    Values within a billionth of a threshold count as equal to it. Where many customers share a value, such as one
    order, bins are of unequal size and some may be empty. Quantiles are of type 7 (Hyndman & Fan 1996). R's ``rfm``
    package adds 1 to each quantile instead and gives a value below that sum the lower bin: the same for whole numbers
    when the quantile is whole.

    *Customers without an order.* Who has only sent things back has f score 1, and the r score of the last return, since
    :func:`rfm_table` knows nothing later of them: a recent return makes them "New customers" or "Promising", which they
    are not. Set them aside where segments are acted on: keep the rows with ``order_count`` above 0.

    *Segments.* Each score becomes the level 1 to 5 of its place on the scale (for five bins: itself); FM is the level
    of the mean of the f and m scores, halves rounded up.

    ====  ==================  ==================  ==================  =============  =============
    R     FM 1                FM 2                FM 3                FM 4           FM 5
    ====  ==================  ==================  ==================  =============  =============
    5     New customers       Potential loyalists Potential loyalists Champions      Champions
    4     Promising           Potential loyalists Potential loyalists Loyal          Loyal
    3     About to sleep      About to sleep      Need attention      Loyal          Loyal
    2     Hibernating         Hibernating         At risk             At risk        Cannot lose
    1     Lost                Lost                At risk             At risk        Cannot lose
    ====  ==================  ==================  ==================  =============  =============

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({
    ...     "customer_id": ["a", "b", "c"], "recency_days": [5, 40, 200],
    ...     "order_count": [9, 2, 1], "total_amount": [900.0, 80.0, 100.0],
    ... })
    >>> segmenter = RFMSegmenter(n_bins=3).fit(table)
    >>> segmenter.score_table(table)[["customer_id", "r_score", "f_score", "m_score", "rfm_score", "segment"]]
      customer_id  r_score  f_score  m_score rfm_score         segment
    0           a        3        3        3       333       Champions
    1           b        2        2        1       221  About to sleep
    2           c        1        1        2       112            Lost
    """

    def __init__(
        self,
        *,
        n_bins: int = 5,
        method: str = "quantile",
        cuts: Mapping[str, Any] | None = None,
        segments: Mapping[str, Any] | None = None,
    ) -> None:
        self.n_bins = n_bins
        self.method = method
        self.cuts = cuts
        self.segments = segments

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002  scikit-learn passes y
        """Learn the thresholds from an rfm table; any kind of frame, a lazy one is collected once.

        Parameters
        ----------
        X : dataframe, one row per customer
            ``customer_id``, ``recency_days``, ``order_count``, ``total_amount``, as :func:`rfm_table` makes them.
        y : None
            Not used.

        Returns
        -------
        RFMSegmenter
        """
        caller = "RFMSegmenter.fit"
        n_bins = self._check_parameters(caller)
        segment_map = (
            default_map(n_bins) if self.segments is None else own_map(self.segments, n_bins, caller="RFMSegmenter")
        )
        measures = _read_measures(X, caller=caller)
        self.thresholds_ = self._thresholds(measures, n_bins)
        self.segment_map_ = segment_map
        self.n_bins_ = n_bins
        scores = self._score_arrays(measures)
        self.empty_scores_ = {
            name: sorted(set(range(1, n_bins + 1)) - set(np.unique(values).tolist())) for name, values in scores.items()
        }
        if self.method != "cuts":
            self._warn_of_empty_scores(len(measures["recency_days"]))
        return self

    def score_table(self, X: Any) -> Any:
        """Score the customers of an rfm table, of the period fitted or of another, with the thresholds learned.

        Parameters
        ----------
        X : dataframe, one row per customer
            ``customer_id``, ``recency_days``, ``order_count``, ``total_amount``.

        Returns
        -------
        dataframe of the kind that came in (lazy stays lazy), one row per customer, sorted by ``customer_id``
            ``customer_id`` (Int64 or String); ``recency_days``, ``order_count``, ``total_amount`` as they came;
            ``r_score``, ``f_score``, ``m_score`` (Int64, 1 to ``n_bins``, ``n_bins`` is best: the most recent);
            ``rfm_score`` (String, the three digits, such as "543"); ``segment`` (String). In a lazy table a customer
            with a missing or infinite measure has null scores; in memory that is refused.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        SchemaError, MissingColumnsError
            For a table that is not an rfm table.
        """
        check_is_fitted(self, "thresholds_")
        plan, engine = enter_rfm(X, caller="RFMSegmenter.score_table")
        position = score_expression("recency_days", self.thresholds_["recency_days"])
        plan = plan.with_columns(r_score=(self.n_bins_ + 1 - position).cast(nw.Int64))
        for column, name, within in (("order_count", "f_score", 1), ("total_amount", "m_score", 2)):
            score = score_expression(column, self.thresholds_[column], *SCORES[:within])
            plan = plan.with_columns(score.cast(nw.Int64).alias(name))
        digits = nw.col("r_score") * 100 + nw.col("f_score") * 10 + nw.col("m_score")
        plan = plan.with_columns(
            rfm_score=digits.cast(nw.Int64).cast(nw.String), segment=segment_expression(self.segment_map_, self.n_bins_)
        )
        return engine.to_native(plan.sort("customer_id"))

    # -- inside --------------------------------------------------------------------------------------------------

    def _check_parameters(self, caller: str) -> int:
        n_bins = check_count(self.n_bins, name="n_bins", caller="RFMSegmenter", least=2)
        if n_bins > MOST_BINS:
            msg = f"RFMSegmenter: n_bins must be 2 to {MOST_BINS}, since each score is one digit, got {n_bins}."
            raise SchemaError(msg)
        check_choice(self.method, ["quantile", "nested", "cuts"], name="method", caller="RFMSegmenter")
        if (self.method == "cuts") != (self.cuts is not None):
            msg = (
                f"{caller}: method={self.method!r} with cuts={self.cuts!r}. Thresholds of your own go with "
                'method="cuts": cuts={"recency_days": [...], "order_count": [...], "total_amount": [...]}.'
            )
            raise SchemaError(msg)
        return n_bins

    def _thresholds(self, measures: Mapping[str, Vector], n_bins: int) -> dict[str, Vector]:
        if self.cuts is not None:
            return {name: _read_cuts(self.cuts, name, n_bins) for name in MEASURES}
        if self.method == "quantile":
            return {name: quantile_cuts(measures[name], n_bins) for name in MEASURES}
        recency, orders, amount = (measures[name] for name in MEASURES)
        cuts = quantile_cuts(recency, n_bins)
        r_score = n_bins + 1 - score_array(recency, cuts)
        order_cuts = nested_cuts(orders, n_bins, r_score)
        f_score = score_array(orders, order_cuts, r_score)
        amount_cuts = nested_cuts(amount, n_bins, r_score, f_score)
        return {"recency_days": cuts, "order_count": order_cuts, "total_amount": amount_cuts}

    def _score_arrays(self, measures: Mapping[str, Vector]) -> dict[str, Scores]:
        recency, orders, amount = ((measures[name], self.thresholds_[name]) for name in MEASURES)
        r_score = self.n_bins_ + 1 - score_array(*recency)
        f_score = score_array(*orders, r_score)
        return {"r_score": r_score, "f_score": f_score, "m_score": score_array(*amount, r_score, f_score)}

    def _warn_of_empty_scores(self, customers: int) -> None:
        empty = {name: scores for name, scores in self.empty_scores_.items() if scores}
        if empty:
            listed = "; ".join(f"{name} {', '.join(map(str, scores))}" for name, scores in empty.items())
            msg = (
                f"RFMSegmenter.fit: {customers:,} customers share so many equal values that no one gets {listed}. "
                f"Equal values get equal scores. Use fewer bins than n_bins={self.n_bins_}, or thresholds of your own "
                '(method="cuts").'
            )
            warn(msg)


def _read_measures(X: Any, *, caller: str) -> dict[str, Vector]:
    """Collect the three measures of an rfm table, once, and refuse what has no place on a scale."""
    plan, engine = enter_rfm(X, caller=caller)
    table = collect(plan.select("customer_id", nw.col(*MEASURES).cast(nw.Float64)))
    if len(table) == 0:
        msg = f"{caller}: the table has no rows. {RFM_REPAIR}"
        raise SchemaError(msg)
    if engine.is_lazy:  # a table in memory was checked as it came in
        check_rows(table.lazy(), MEASURES, caller=caller)
    return {name: np.asarray(table[name].to_numpy(), dtype=np.float64) for name in MEASURES}


def _read_cuts(cuts: Mapping[str, Any], name: str, n_bins: int) -> Vector:
    if name not in cuts:
        msg = f"RFMSegmenter: cuts has no {name!r}; it needs {list(MEASURES)}, got {list(cuts)}."
        raise SchemaError(msg)
    values = list(cuts[name])
    try:
        increasing = all(low < high for low, high in itertools.pairwise(values))
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        found, increasing = np.array([]), False
    if len(found) != n_bins - 1 or not increasing or not np.isfinite(found).all():
        msg = (
            f"RFMSegmenter: cuts[{name!r}] must be {n_bins - 1} increasing numbers for n_bins={n_bins} "
            f"(the largest value of each bin but the last), got {values!r}."
        )
        raise SchemaError(msg)
    return found
