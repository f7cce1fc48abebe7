"""Behavioural segments of any customer table: learnt once, named by what differs, turned on new customers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import narwhals.stable.v2 as nw
import numpy as np
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted

from crmlytics._frames import columns_of, enter, to_pandas
from crmlytics._kernels.clusters import K_MEANS, METHODS, MOST_ROWS, find_clusters
from crmlytics._validation import warn
from crmlytics.scoring._batches import score_any
from crmlytics.scoring._reading import (
    ROW,
    check_key,
    feature_names,
    read_rows,
    refuse_ids_in_index,
    with_whole_ids,
)
from crmlytics.segmentation._counting import Plan, count_columns
from crmlytics.segmentation._differences import names_by_difference, standardised_differences
from crmlytics.segmentation._encoding import learn_encoding
from crmlytics.segmentation._reading import (
    KEY,
    SEGMENT,
    check_enough,
    check_method,
    check_segments,
    read_customers,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics._kernels.clusters import Clusters
    from crmlytics.segmentation._encoding import Encoding

COUNTS = range(2, 11)
SAMPLE_ROWS, REPLICATES, REFERENCES = 1_000, 20, 10
SCHEMA = nw.Schema({
    SEGMENT: nw.String(), "segment_number": nw.Int64(), "distance": nw.Float64(),
    "membership_probability": nw.Float64(), "second_segment": nw.String(), "second_probability": nw.Float64(),
})  # fmt: skip


class CustomerSegmenter(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Find customers who belong together, name each group by what makes it differ, and place new customers.

    Parameters
    ----------
    method : {"auto", "k-means", "gaussian mixture", "k-prototypes", "hierarchical"}
        ``"k-means"``: round groups, the fastest. ``"gaussian mixture"``: groups of any direction and width, with true
        probabilities; fitted to 20,000 customers at most. ``"k-prototypes"``: k-means whose centres have one level of
        each feature of words, the most frequent, where k-means mixes them (Huang 1998). ``"hierarchical"``: Ward's
        joining of the closest groups, on 3,000 customers at most, the others by the nearest centre. ``"auto"``:
        k-prototypes where at least half of the features are words, else k-means.
    segments : "auto" or int
        How many. ``"auto"`` takes the number that :func:`segment_count_table` suggests, which may be 1.
    features : sequence of str, optional
        The columns that make the segments. Default: all but the key; ids, dates, constants and columns of names are
        left out (``left_out_`` says why). Take behaviour that you would act on; each column has the same weight.
    key : str, default "customer_id"
        The column of the customer, never a feature.
    random_state : int

    Attributes
    ----------
    segment_names_ : list of str
        The names of segments 1, 2, ...: the largest has number 1.
    segment_shares_ : float64 array, shape (segments,)
        Of the customers learnt from.
    segment_count_ : int
    differences_ : float64 array, shape (segments, columns)
        What the names follow from: the mean of the segment less that of everybody, in standard deviations.
    method_ : str
        The method that was used.
    clusters_ : Clusters
        The centres, in the space of the encoding.
    encoding_ : Encoding
        How columns become that space.
    feature_names_in_ : array of str
    left_out_ : dict of column to str
        Columns that nothing can be learnt from, and why.

    Raises
    ------
    SchemaError
        From ``fit``: for parameters out of range, a table without a usable column, repeated customers, or fewer
        different customers than segments.
    MissingColumnsError
        For a feature or a key that the table lacks.

    Warns
    -----
    DataQualityWarning
        With ``segments="auto"``, when the data are one cloud: there is one segment, "everybody". When fewer segments
        are found than were looked for.

    Notes
    -----
    *Encoding.* Numbers: where one tail is more than three times as long as the other (95th percentile to median, median
    to 5th), ``sign(x) log(1 + |x| / u)`` is taken; u is the median or the 5th percentile of what is not zero, whichever
    makes the tails more alike, so that units do not matter. Values more than four robust standard deviations (quartiles
    / 1.349) from the median count as four, so that no single customer is a segment; then the variance is made 1.
    Missing numbers are the median. Words: one column a level, rare levels pooled as ``"other"``, missing as a level of
    its own, scaled so that their variances add up to 1: a column of words weighs as much as one of numbers. Text that
    holds numbers is read as numbers: write codes as words, such as "region 3". A flag, or a level, that fewer than one
    in ten have weighs less than 1. Columns that say the same twice weigh twice: leave one out.

    *Names* have the two largest differences from everybody of at least 0.3 standard deviations on this scale, more
    where two segments would be called the same. "channel shop or web": both levels are more frequent than usual.

    *Membership.* ``distance`` is the one to the centre of the own segment in the space of the encoding, in standard
    deviations of one feature. ``membership_probability`` is that of the mixture; with the other methods it supposes
    what k-means does, round groups of the same width and size.

    *No p-values.* Segments were made to differ in these columns: a test would find them different in pure noise (Gao,
    Bien & Witten 2022). Sizes of differences are honest (:func:`segment_summary_table`); tests are for columns that had
    no part in the segments.

    When not to use: to foretell (churn, purchases): a model on the columns themselves is better. Where the data are
    one cloud, segments are cuts for convenience: say so.

    References
    ----------
    Huang, Z. (1998), Extensions to the k-means algorithm for clustering large data sets with categorical values, Data
    Mining and Knowledge Discovery 2. Gao, L., Bien, J. and Witten, D. (2022), Selective inference for hierarchical
    clustering, Journal of the American Statistical Association 119. Wedel, M. and Kamakura, W. (2000), Market
    segmentation, 2nd edition.

    Examples
    --------
    >>> import pandas as pd
    >>> customers = pd.DataFrame({
    ...     "customer_id": range(8), "order_count": [1, 2, 1, 2, 20, 22, 21, 19], "channel": ["web"] * 4 + ["shop"] * 4,
    ... })
    >>> model = CustomerSegmenter(segments=2).fit(customers)
    >>> model.score_table(customers)[["customer_id", "segment", "segment_number"]].iloc[[0, 7]]
       customer_id                         segment  segment_number
    0            0    channel web, low order_count               1
    7            7  channel shop, high order_count               2
    """

    def __init__(
        self,
        *,
        method: str = "auto",
        segments: Any = "auto",
        features: Sequence[str] | None = None,
        key: str = KEY,
        random_state: int = 0,
    ) -> None:
        self.method = method
        self.segments = segments
        self.features = features
        self.key = key
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002  scikit-learn passes y
        """Learn segments from a table of any engine, one row per customer; a lazy one is collected once.

        Parameters
        ----------
        X : dataframe, one row per customer
        y : None
            Not used.

        Returns
        -------
        CustomerSegmenter
        """
        caller = "CustomerSegmenter.fit"
        rows = read_customers(X, key=self.key, caller=caller)
        names = feature_names(rows, self.features, (), caller=caller)
        encoding = learn_encoding(rows.table, names, caller=caller)
        matrix = encoding.matrix(rows.table, caller=caller)
        method = check_method(self.method, METHODS, len(encoding.blocks), len(encoding.names), caller=caller)
        count = check_segments(self.segments, matrix, caller=caller)
        if count is None:
            count = self._suggested(matrix, encoding, method, caller)
        clusters = find_clusters(matrix, count, method, encoding.blocks, seed=self.random_state)
        if len(clusters.centres) < count:
            _say_fewer(len(clusters.centres), count, method, len(matrix), caller=caller)
        self._keep(encoding, clusters, matrix, method)
        return self

    def fit_predict(self, X: Any, y: Any = None) -> NDArray[np.int64]:
        """Learn segments and return the number of the segment of each row, in the order of the rows."""
        return self.fit(X, y).predict(X)

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Return the number of the segment (1, 2, ...) of each row, in the order of the rows."""
        return self.clusters_.labels(self._matrix(X, "CustomerSegmenter.predict")) + 1

    def score(self, X: Any, y: Any = None) -> float:  # noqa: ARG002  scikit-learn passes y
        """Return how clearly segments part: the mean of 1 - distance to the own centre / distance to the next one.

        The simplified silhouette (Hruschka et al. 2004), at most 1; 0 with one segment.
        """
        distances = self.clusters_.distances(matrix := self._matrix(X, "CustomerSegmenter.score"))
        if distances.shape[1] == 1:
            return 0.0
        labels = self.clusters_.labels(matrix)[:, None]
        own = np.take_along_axis(distances, labels, axis=1)[:, 0]
        np.put_along_axis(distances, labels, np.inf, axis=1)
        other = distances.min(axis=1)
        return float(((other - own) / np.maximum(np.maximum(own, other), np.finfo(float).tiny)).mean())

    def score_table(self, X: Any) -> Any:
        """Place the customers of a table of any engine; on Spark where the data are, elsewhere batch by batch.

        Returns
        -------
        dataframe of the kind that came in, one row per key, sorted by it
            The key (``row_number`` for a table without one); ``segment`` (String), ``segment_number`` (Int64, 1 for the
            largest at ``fit``), ``distance`` (Float64, to its centre, in standard deviations of a feature),
            ``membership_probability`` (Float64), ``second_segment`` (String, the next likely; null with one segment),
            ``second_probability`` (Float64).
        """
        check_is_fitted(self, "clusters_")
        caller = "CustomerSegmenter.score_table"
        plan, engine = enter(X, caller=caller)
        refuse_ids_in_index(X, [self.key], columns_of(plan), caller=caller)
        placer = Placer(self.encoding_, self.clusters_, tuple(self.segment_names_), self.key, caller)
        if self.key not in columns_of(plan):
            rows = read_rows(X, key=(), caller=caller)
            found = placer.placed(rows.table, ROW)
            schema = nw.Schema({ROW: nw.Int64()} | dict(SCHEMA))
            return engine.from_columns({name: found[name].tolist() for name in schema}, schema)
        with_whole_ids(plan, [self.key], caller=caller)
        if not engine.is_lazy:
            check_key(plan, [self.key], [self.key], caller=caller)
        task = partial(Placer.placed, placer)
        return score_any(X, task, SCHEMA, key=[self.key], columns=self.encoding_.names, caller=caller)

    # -- inside --------------------------------------------------------------------------------------------------

    def _suggested(self, matrix: NDArray[np.float64], encoding: Encoding, method: str, caller: str) -> int:
        check_enough(matrix, COUNTS.stop - 1, what='segments="auto"', caller=caller)
        plan = Plan(COUNTS, method, encoding.blocks, SAMPLE_ROWS, REPLICATES, REFERENCES, self.random_state)
        columns = count_columns(matrix, plan)
        count = int(columns["segment_count"][columns["suggested"]][0])
        if count == 1:
            warn(
                f"{caller}: no number of segments is tighter than one cloud, found again in other samples and parted "
                "by valleys, so everybody is one segment. segments=4 cuts the cloud in four all the same; "
                "segment_count_table shows the evidence."
            )
        return count

    def _keep(self, encoding: Encoding, clusters: Clusters, matrix: NDArray[np.float64], method: str) -> None:
        labels, distances = clusters.labels(matrix), clusters.distances(matrix)
        count = len(clusters.centres)
        own = distances[np.arange(len(labels)), labels]
        self.encoding_, self.clusters_, self.method_ = encoding, clusters, method
        self.differences_ = standardised_differences(matrix, labels, count)
        self.segment_names_ = names_by_difference(self.differences_, encoding.phrases())
        self.segment_count_ = count
        self.sizes_ = np.bincount(labels, minlength=count)
        self.segment_shares_ = self.sizes_ / len(labels)
        self.mean_distances_ = np.array([own[labels == group].mean() for group in range(count)])
        self.distance_errors_ = np.array([own[labels == group].std() for group in range(count)]) / np.sqrt(self.sizes_)
        self.feature_names_in_ = np.array(encoding.names, dtype=object)
        self.n_features_in_ = len(encoding.names)
        self.left_out_ = dict(encoding.encoder.left_out)

    def _matrix(self, X: Any, caller: str) -> NDArray[np.float64]:
        check_is_fitted(self, "clusters_")
        return self.encoding_.matrix(to_pandas(X, caller=caller), caller=caller)


def _say_fewer(found: int, wanted: int, method: str, rows: int, *, caller: str) -> None:
    """Warn that nobody belongs to some of the segments that were looked for, and say why that may be."""
    few = MOST_ROWS[method]
    began = f", which begins with {few:,} of {rows:,} customers and may miss rare ones" if rows > few else ""
    other = f', or take method="{K_MEANS}"' if method != K_MEANS else ""
    warn(
        f"{caller}: {wanted} segments were looked for and {found} found: nobody would be in another one "
        f"(method={method!r}{began}). Type segments={found}{other}."
    )


@dataclass(frozen=True, slots=True)
class Placer:
    """What it takes to place a batch of customers: small enough to be sent to where the data are."""

    encoding: Encoding
    clusters: Clusters
    names: tuple[str, ...]
    key: str
    caller: str

    def placed(self, table: Any, key: str | None = None) -> Any:
        """Return the key and the columns of ``score_table`` for a pandas table."""
        matrix = self.encoding.matrix(table, caller=self.caller)
        distances = self.clusters.distances(matrix)
        likely = self.clusters.probabilities(matrix, distances)
        rows, labels = np.arange(len(table)), self.clusters.labels(matrix)
        names = np.array([*self.names, None], dtype=object)
        columns: dict[str, Any] = {SEGMENT: names[labels], "segment_number": labels + 1}
        columns |= {"distance": distances[rows, labels], "membership_probability": likely[rows, labels]}
        second, probability = np.full(len(table), len(self.names)), np.full(len(table), np.nan)
        if len(self.names) > 1:
            others = np.where(labels[:, None] == np.arange(len(self.names)), -1.0, likely)
            second = others.argmax(axis=1)
            probability = others[rows, second]
        columns |= {"second_segment": names[second], "second_probability": probability}
        return table[[key or self.key]].assign(**columns)
