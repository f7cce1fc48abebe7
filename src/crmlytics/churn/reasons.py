"""What moves the risk of whom: the reasons of single customers, summed up by segment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import collect, to_pandas
from crmlytics._kernels.classification import probability_of
from crmlytics._lists import table_with_lists
from crmlytics._plots import PALETTE, axes, tidy
from crmlytics._segments import enter_segments
from crmlytics._validation import check_count
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from crmlytics.churn.scoring import ChurnScores

EVERYBODY = "all"
COLUMNS: dict[str, Any] = {
    "segment": object, "rank": np.int64, "feature": np.int64, "customer_count": np.int64, "customer_share": np.float64,
    "mean_odds_factor": np.float64, "mean_churn_probability": np.float64,
}  # fmt: skip
RAISING = 3  # reasons of a customer that count


def churn_reason_table(churn: ChurnScores, *, segments: Any = None, n: int = 5) -> Any:
    """Say what raises the risk of churn in each segment, and of how many customers.

    Parameters
    ----------
    churn : ChurnScores
        From :func:`score_churn`.
    segments : dataframe, one row per customer, optional
        ``customer_id`` and ``segment``, such as :class:`crmlytics.rfm.RFMSegmenter` makes them; a customer without a
        segment counts under ``"all"`` only.
    n : int, default 5
        How many reasons a segment.

    Returns
    -------
    dataframe of the kind that came in, one row per segment and reason, ``"all"`` first, the commonest reason first
        ``segment`` (String), ``rank`` (Int64, 1 is the commonest), ``feature`` (String); ``customer_count`` (Int64,
        customers for whom it is among the three features that raise the risk most); ``customer_share`` (Float64, of
        the segment); ``mean_odds_factor`` (Float64, of these customers: the geometric mean of what it multiplies the
        odds of churn by); ``mean_churn_probability`` (Float64, of these customers).

    Notes
    -----
    Reasons are what the model makes of the data; they need not be causes, and what is told here is no experiment.

    Examples
    --------
    >>> from crmlytics.churn import score_churn
    >>> from crmlytics.datasets import make_transactions
    >>> made = make_transactions(customers=400, random_state=1)
    >>> churn = score_churn(made.transactions, as_of="2024-12-31", horizon="90d", model="logistic")
    >>> churn_reason_table(churn, n=1)[["segment", "rank"]]
      segment  rank
    0     all     1
    """
    caller = "churn_reason_table"
    n = check_count(n, name="n", caller=caller)
    added = to_pandas(churn.model.contribution_table(churn.features), caller=caller)
    names = list(churn.model.feature_names_in_)
    contributions = added[names].to_numpy(dtype=np.float64)
    probability = probability_of(added["log_odds"].to_numpy(dtype=np.float64))
    raises = _weightiest(contributions)
    rows = []
    for segment, members in _members(churn, added["customer_id"], segments, caller=caller).items():
        rows += _reasons(segment, raises[members], contributions[members], probability[members], n)
    columns = {name: np.array([row[name] for row in rows], kind) for name, kind in COLUMNS.items()}
    columns["feature"] = np.array([names[feature] for feature in columns["feature"]], object)
    return table_with_lists(churn.snapshots.transactions.engine, columns)


def plot_churn_reasons(table: Any, *, segment: str = EVERYBODY, ax: Axes | None = None) -> Axes:
    """Draw how many customers of a segment each reason puts at risk.

    Parameters
    ----------
    table : dataframe
        From :func:`churn_reason_table`.
    segment : str, default "all"
    ax : matplotlib Axes, optional
    """
    rows = to_pandas(table, caller="plot_churn_reasons")
    known = list(dict.fromkeys(rows["segment"]))
    if segment not in known:
        msg = f"plot_churn_reasons: the table has no segment {segment!r}. Segments: {known}"
        raise SchemaError(msg)
    rows = rows[rows["segment"] == segment].iloc[::-1]
    ax = tidy(axes(ax), grid="x")
    bars = ax.barh(rows["feature"], rows["customer_count"], color=PALETTE[0])
    ax.bar_label(bars, [f"odds x {factor:.2g}" for factor in rows["mean_odds_factor"]], padding=4)
    ax.margins(x=0.15)
    ax.set_xlabel("Customers for whom it is one of the three main risks")
    ax.set_title(f"What raises the risk: {segment}", loc="left")
    return ax


# -- inside --------------------------------------------------------------------------------------------------------


def _weightiest(contributions: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Mark, in each row, the features that raise the risk most."""
    first = np.argsort(-contributions, axis=1, kind="stable")[:, :RAISING]
    marked = np.zeros(contributions.shape, dtype=bool)
    np.put_along_axis(marked, first, values=True, axis=1)
    return marked & (contributions > 0)


def _members(churn: ChurnScores, customers: Any, segments: Any, *, caller: str) -> dict[str, np.ndarray[Any, Any]]:
    """Return the rows of each segment, everybody first."""
    members = {EVERYBODY: np.arange(len(customers))}
    if segments is None:
        return members
    known = collect(enter_segments(segments, churn.snapshots.transactions, caller=caller)).to_pandas()
    segment = customers.map(known.set_index("customer_id")["segment"])
    return members | {str(name): np.flatnonzero(segment == name) for name in sorted(segment.dropna().unique())}


def _reasons(segment: str, raises: Any, contributions: Any, probability: Any, n: int) -> list[dict[str, Any]]:
    counts = raises.sum(axis=0)
    found = [feature for feature in np.argsort(-counts, kind="stable")[:n] if counts[feature]]
    return [
        {
            "segment": segment, "rank": rank, "feature": int(feature), "customer_count": int(counts[feature]),
            "customer_share": counts[feature] / len(raises),
            "mean_odds_factor": float(np.exp(contributions[raises[:, feature], feature].mean())),
            "mean_churn_probability": float(probability[raises[:, feature]].mean()),
        }
        for rank, feature in enumerate(found, start=1)
    ]  # fmt: skip
